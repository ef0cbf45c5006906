//! dpkg's database in a tree.

use model::value::{PackageSeen, Reason};
use model::{Answer, Probe, Value};

use crate::observe_support::{Tree, reason};

const STATUS: &[u8] = b"Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.21\n\n\
Package: libc6\nStatus: install ok installed\nArchitecture: i386\nVersion: 2.36-i\nSource: glibc\n\n\
Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36\nSource: glibc (2.36)\nDescription: text\n Package: not-one\n\n\
Package: telnetd\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 0.17\n\n\
Package: tzdata\nStatus: install ok installed\nArchitecture: all\nVersion: 2024a\n\n\
Package: half\nStatus: install ok half-configured\nArchitecture: amd64\nVersion: 1\n\n\
Package: no-status\nVersion: 1\n";
const AUTOMATIC: &[u8] = b"Package: libc6\nArchitecture: amd64\nAuto-Installed: 1\n\n\
Package: tzdata\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: dpkg\nAuto-Installed: 0\n";

fn package(tree: &Tree, name: &str) -> Answer {
    tree.ask(&Probe::Package {
        name: name.to_owned(),
    })
}

fn known(tree: &Tree, name: &str) -> PackageSeen {
    match package(tree, name) {
        Answer::Known(Value::Package(seen)) => seen,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn packages_are_read_from_the_database() {
    let tree = Tree::with(&[
        ("/var/lib/dpkg/status", STATUS),
        ("/var/lib/apt/extended_states", AUTOMATIC),
    ]);
    // The host's own architecture is meant, unless another one is named.
    assert_eq!(known(&tree, "libc6").version, "2.36");
    assert_eq!(known(&tree, "libc6:i386").version, "2.36-i");
    let cases = [
        ("dpkg", true, Some(false)),
        ("libc6", true, Some(true)),
        ("libc6:i386", true, Some(false)),
        ("telnetd", false, Some(false)),
        ("tzdata", true, Some(true)),
        ("half", false, Some(false)),
    ];
    for (name, installed, automatic) in cases {
        let seen = known(&tree, name);
        assert_eq!(
            (seen.installed, seen.automatic),
            (installed, automatic),
            "{name}"
        );
    }
    for name in ["nothing", "no-status", "not-one", "libc6:arm64"] {
        assert_eq!(package(&tree, name), Answer::Absent, "{name}");
    }
}

#[test]
fn what_dpkg_did_last_counts() {
    let tree = Tree::with(&[
        ("/var/lib/dpkg/status", STATUS),
        (
            "/var/lib/dpkg/updates/0001",
            b"Package: half\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2\n",
        ),
        (
            "/var/lib/dpkg/updates/tmp.i",
            b"Package: nothing\nStatus: install ok installed\n",
        ),
    ]);
    assert_eq!(known(&tree, "half").version, "2");
    assert_eq!(package(&tree, "nothing"), Answer::Absent);
}

#[test]
fn without_a_database_nothing_is_said_to_be_absent() {
    let tree = Tree::new();
    assert!(matches!(
        reason(package(&tree, "bash")),
        Reason::Unavailable { .. }
    ));
    let huge = Tree::with(&[("/var/lib/dpkg/status", b"")]);
    let file = std::fs::File::options()
        .write(true)
        .open(huge.at("/var/lib/dpkg/status"))
        .expect("a file");
    file.set_len(100 << 20).expect("a sparse file");
    let why = reason(package(&huge, "bash")).to_string();
    assert!(
        why.contains("/var/lib/dpkg/status") && why.contains("over the limit"),
        "{why}"
    );
    for text in ["", "\n\n", "what is this\n\0\u{1b}[31m\n", "Version: 1\n"] {
        let broken = Tree::with(&[("/var/lib/dpkg/status", text.as_bytes())]);
        let why = reason(package(&broken, "bash"));
        assert!(matches!(why, Reason::Malformed { .. }), "{text:?}: {why}");
    }
}
