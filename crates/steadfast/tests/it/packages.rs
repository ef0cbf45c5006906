//! Real Debian packages for hosts that reach no network: fetched once into the lab's cache,
//! and seen by the hosts as an archive of their own.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::{Container, Image, Options, Release};

use crate::booted::{Host, cache, lab_is_wanted};

/// Where a host sees the archive.
const ARCHIVE: &str = "/srv/archive";

/// A booted host whose only archive has these packages and what they depend on.
pub fn host_that_can_install(release: Release, packages: &[&str]) -> Option<Host> {
    if !lab_is_wanted(lab::Requirements::Containers) {
        return None;
    }
    let binds = vec![(archive(release, packages), PathBuf::from(ARCHIVE))];
    let host = Host::on(
        release,
        Options {
            binds,
            // A database server with what it needs has some 300 MB.
            disk_bytes: 4 << 30,
            ..Options::default()
        },
    )?;
    // Signatures are apt's business: what is shown here is what is done with a package.
    host.write(
        "/etc/apt/sources.list",
        format!("deb [trusted=yes] file:{ARCHIVE} ./\n"),
    );
    host.shell("rm -rf /var/lib/apt/lists/* /etc/apt/sources.list.d/*; apt-get -q update");
    Some(host)
}

/// The folder with the packages, made where it is not there yet.
fn archive(release: Release, packages: &[&str]) -> PathBuf {
    let cache = cache();
    let name = format!("archive-{}-{}", release.codename(), packages.join("-"));
    let folder = cache.join(&name);
    if folder.is_dir() {
        return folder;
    }
    let image = Image::build(release, &cache, &mut |_| {}).expect("an image");
    // Not booted: its files alone, with this machine's way to the network.
    let tree = Container::prepare(&image, Options::default()).expect("a tree");
    let root = tree.root_path();
    let _ = std::fs::copy("/etc/resolv.conf", root.join("etc/resolv.conf"));
    for more in std::fs::read_dir("/etc/apt/apt.conf.d").expect("apt's settings") {
        let more = more.expect("an entry").path();
        let name = more.file_name().expect("a name");
        if std::fs::read_to_string(&more).is_ok_and(|text| text.contains("Acquire")) {
            let _ = std::fs::copy(&more, root.join("etc/apt/apt.conf.d").join(name));
        }
    }
    run(Command::new("chroot")
        .arg(&root)
        .args(["apt-get", "-q", "update"]));
    run(Command::new("chroot")
        .arg(&root)
        .args([
            "apt-get",
            "-qy",
            "--no-install-recommends",
            "--download-only",
            // What the image has already, too.
            "--reinstall",
        ])
        .args(["-oDir::Cache::archives=/srv", "install"])
        .args(packages));

    let building = cache.join(format!(".{name}.{}", std::process::id()));
    std::fs::create_dir(&building).expect("a folder of this process's own");
    let mut index = String::new();
    for entry in std::fs::read_dir(root.join("srv")).expect("what apt fetched") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "deb") {
            let name = path.file_name().expect("a name").to_string_lossy();
            std::fs::copy(&path, building.join(&*name)).expect("copied");
            index += &stanza(&path, &name);
        }
    }
    std::fs::write(building.join("Packages"), index).expect("an index");
    // Who comes second finds it there, and has made the same.
    if std::fs::rename(&building, &folder).is_err() {
        std::fs::remove_dir_all(&building).expect("removed");
    }
    folder
}

/// One package in the index: what dpkg-deb(1) says of it, and how to get it.
fn stanza(path: &Path, name: &str) -> String {
    let control = run(Command::new("dpkg-deb").arg("--field").arg(path));
    let sum = run(Command::new("sha256sum").arg(path));
    let sum = sum.split_whitespace().next().expect("a digest").to_owned();
    let size = path.metadata().expect("its length").len();
    let mut text = control.trim_end().to_owned();
    write!(
        text,
        "\nFilename: ./{name}\nSize: {size}\nSHA256: {sum}\n\n"
    )
    .expect("text grows");
    text
}

fn run(command: &mut Command) -> String {
    let output = command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}
