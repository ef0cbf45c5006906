//! A new kernel that Debian really published, on an emulated machine: its findings stay open until
//! it runs, and are gone then although the old one stays installed; the undo brings both back.

use std::time::Duration;

use lab::{Disk, Exec, Image, Machine, Pending, Release, Requirements, Snapshot};

use crate::booted::{PROGRAM, cache, lab_is_wanted, listed};
use crate::lab_machine_power::{BOOT_WRITES, SPARED, on_machines, run, say, steadfast, stripped};
use crate::lab_patch::MAKE;
use crate::many_kinds::{all_is_wanted, todays_updates_are_wanted};

/// Where the upgrade writes.
const WATCHED: [&str; 4] = ["/boot", "/etc", "/usr/lib/modules", "/var/lib/dpkg"];

/// A hundred megabytes are unpacked and an initramfs is made, on a copy and again, emulated.
const PATIENCE: Duration = Duration::from_secs(1800);

/// What an initramfs of this machine needs; all drivers would take it minutes to pack and unpack.
const SMALL: &str = "printf 'MODULES=list\\nCOMPRESS=gzip\\n' > /etc/initramfs-tools/conf.d/lab && \
    printf 'ext4\\nvirtio_pci\\nvirtio_blk\\n' >> /etc/initramfs-tools/modules";

const RELEASE: &str = "uname -r";

fn look(machine: &Machine) -> Snapshot {
    machine.snapshot(&WATCHED).expect("it can be looked at")
}

/// Nobody listens to the power button where logind is spared.
fn restart(machine: &mut Machine) {
    run(machine, &Exec::shell("sync"), 0);
    machine.power_cut();
    machine.boot().expect("it boots");
}

#[track_caller]
fn expect(machine: &Machine, words: &[&str], code: i32, wanted: &[&str]) -> String {
    let output = machine.exec(&steadfast(words).limit(PATIENCE));
    let output = output.expect("it ends");
    let said = format!("{}{}", output.text(), output.errors());
    assert_eq!(output.code(), Some(code), "{words:?}: {said}");
    let joined = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in wanted {
        assert!(joined.contains(word), "{words:?}, no `{word}`: {said}");
    }
    joined
}

#[test]
fn a_kernel_is_upgraded_booted_and_taken_back() {
    if !all_is_wanted() {
        return;
    }
    if todays_updates_are_wanted() && lab_is_wanted(Requirements::Machines) {
        on_machines(upgraded_booted_and_taken_back);
    }
}

#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn upgraded_booted_and_taken_back() {
    let hear = &mut |said: &str| say(said);
    let disk = Disk::build(Release::Trixie, &cache(), hear).expect("a disk");
    let image = Image::build(Release::Trixie, &cache(), hear).expect("an image");
    let pending = Pending::fetch(&image, &["linux-image-amd64"], hear).expect("archives answer");
    let is_kernel = |name: &str| name.starts_with("linux-image-") && name != "linux-image-amd64";
    let new = pending.updates().iter().find(|one| is_kernel(&one.package));
    let Some(new) = new else {
        eprintln!("skipped: the archives of this machine have no newer kernel");
        return;
    };
    let new_release = new.package.trim_start_matches("linux-image-");
    let mut machine = Machine::start(&disk).expect("a machine boots");
    let old_release = run(&machine, &Exec::shell(RELEASE), 0);
    assert_ne!(old_release.trim(), new_release);
    machine.copy_in(stripped(), PROGRAM).expect("copied");
    run(&machine, &Exec::shell(SPARED), 0);
    run(&machine, &Exec::shell(SMALL), 0);
    for path in pending.after().expect("a folder") {
        let name = path.file_name().expect("a file").to_string_lossy();
        if name.starts_with("linux-image-") {
            let to = format!("/srv/archive/{name}");
            machine.copy_in(&path, &to).expect("copied");
        }
    }
    run(&machine, &Exec::shell(&format!("{MAKE}index\nsync")), 0);
    run(&machine, &steadfast(&["recover", "--install"]), 0);
    let record = format!(
        r#"{{"schema_version": "1.6.0", "id": "CVE-2099-0001", "modified": "2026-11-01T00:00:00Z",
        "published": "2026-11-01T00:00:00Z",
        "affected": [{{"package": {{"ecosystem": "Debian:13", "name": "linux"}},
        "ranges": [{{"type": "ECOSYSTEM",
        "events": [{{"introduced": "0"}}, {{"fixed": "{}"}}]}}]}}]}}"#,
        new.to
    );
    let path = "/srv/feed/CVE-2099-0001.json";
    machine.write_file(path, record).expect("written");
    let import = ["feed", "import", "/srv/feed", "--name", "debian"];
    expect(&machine, &import, 0, &[]);
    let vulns = ["vulns", "--os-only", "CVE-2099-0001"];
    expect(&machine, &vulns, 1, &["linux", &new.to]);

    let before = look(&machine);
    expect(&machine, &["patch", "plan"], 1, &[&new.package, "reboot"]);
    say("planned");
    expect(
        &machine,
        &["patch", "apply", "--yes"],
        0,
        &["it is as planned"],
    );
    say("applied");
    let until = format!("until {new_release} is booted");
    let told = expect(&machine, &["patch", "status"], 1, &["CVE-2099-0001"]);
    say(&format!("{until}: {told}"));
    expect(&machine, &vulns, 1, &["CVE-2099-0001"]);

    machine.boots(new_release).expect("it is there");
    restart(&mut machine);
    assert_eq!(run(&machine, &Exec::shell(RELEASE), 0).trim(), new_release);
    // The only feed is small and old, which is unknown, and not clean.
    let told = expect(&machine, &["patch", "status"], 3, &["stale"]);
    assert!(!told.contains("CVE-2099-0001 in linux"), "{told}");
    let told = expect(&machine, &vulns, 3, &[]);
    say(&format!("after the boot: {told}"));

    expect(
        &machine,
        &["undo", "last", "--yes"],
        0,
        &[
            "the kernel that runs goes with this",
            "come back 1 known vulnerability: CVE-2099-0001 in linux",
        ],
    );
    let back = format!(
        "kernel {new_release} runs, and the next boot runs the older {}",
        old_release.trim()
    );
    expect(&machine, &["patch", "status"], 1, &[&back, "modules"]);
    // The one that the next boot runs is none to fall back on.
    let told = expect(&machine, &vulns, 1, &["CVE-2099-0001"]);
    assert!(!told.contains("apt-get remove"), "{told}");
    let found = lab::diff(&before, &look(&machine), &BOOT_WRITES);
    assert!(found.is_empty(), "not as it was:\n{}", listed(&found));
    machine.boots(old_release.trim()).expect("it is there");
    restart(&mut machine);
    expect(&machine, &vulns, 1, &["CVE-2099-0001"]);
}
