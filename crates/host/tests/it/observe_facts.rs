//! Facts of trees that are broken, strange, or whole.

use model::facts::{Fact, Init};
use model::value::Reason;

use crate::observe_support::Tree;

/// Every file that facts read.
const FILES: [&str; 14] = [
    "/etc/os-release",
    "/etc/hostname",
    "/etc/machine-id",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/updates/0001",
    "/var/lib/apt/extended_states",
    "/etc/systemd/system/x.service",
    "/run/systemd/container",
    "/usr/lib/systemd/systemd",
    "/etc/shadow",
    "/etc/fstab",
];

#[test]
fn an_empty_tree_has_unknown_facts() {
    let facts = Tree::new().host().facts();
    assert_eq!(facts.hostname, "unknown");
    assert_eq!(facts.machine, None);
    assert!(matches!(
        facts.release,
        Fact::Unknown(Reason::Unavailable { .. })
    ));
    assert!(matches!(
        facts.packages,
        Fact::Unknown(Reason::Unavailable { .. })
    ));
    assert!(matches!(
        facts.accounts,
        Fact::Unknown(Reason::Unavailable { .. })
    ));
    assert_eq!(facts.mounts, Fact::Unknown(Reason::Offline));
    assert_eq!(facts.interfaces, Fact::Unknown(Reason::Offline));
    assert_eq!(facts.kernel, Fact::Unknown(Reason::Offline));
    assert_eq!(facts.container, Fact::Unknown(Reason::Offline));
    assert_eq!(facts.init, Init::Other);
    // What boots from a tree has a kernel of its own.
    assert!(facts.offline && facts.owns_kernel);
}

#[test]
fn garbage_in_every_file_is_survived() {
    let garbage: Vec<u8> = (0..60_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for content in [
        &garbage[..],
        b"",
        b"\n\n\n",
        b"\0\0\0",
        b"\xff:\xff:\xff=\xff",
    ] {
        let tree = Tree::new();
        for file in FILES {
            tree.file(file, content);
        }
        let facts = tree.host().facts();
        assert!(matches!(
            facts.release,
            Fact::Unknown(Reason::Malformed { .. })
        ));
        assert_eq!(facts.machine, None);
        assert!(!facts.hostname.contains('\x1b'));
    }
}

#[test]
fn directories_and_loops_in_place_of_files_are_survived() {
    let tree = Tree::new();
    for file in FILES {
        tree.dir(file);
    }
    assert!(tree.host().facts().release.known().is_none());
    let tree = Tree::new();
    for file in FILES {
        tree.link(file, file);
    }
    assert!(tree.host().facts().packages.known().is_none());
}

#[test]
fn a_whole_tree_is_known() {
    let tree = Tree::with(&[
        ("/usr/lib/os-release", b"ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME='Debian 12'\n"),
        ("/etc/hostname", b"web-03\n"),
        ("/etc/machine-id", b"0123456789abcdef0123456789abcdef\n"),
        ("/etc/passwd", b"root:x:0:0::/root:/bin/sh\nroot:x:9:9::/:/\n"),
        ("/etc/group", b"root:x:0:\nsudo:x:27:ana\n"),
        ("/var/lib/dpkg/status", b"Package: dpkg\nStatus: install ok installed\nArchitecture: arm64\nVersion: 1\n\nPackage: x\nStatus: install ok unpacked\nVersion: 1\n"),
        ("/usr/lib/systemd/systemd", b""),
    ]);
    tree.link("/etc/os-release", "../usr/lib/os-release");
    let host = tree.host();
    let facts = host.facts();
    let release = facts.release.known().expect("known");
    assert_eq!(
        (&*release.id, release.version.as_deref(), &*release.pretty),
        ("debian", Some("12"), "Debian 12")
    );
    assert_eq!(facts.hostname, "web-03");
    assert_eq!(
        facts.machine,
        Some(model::Digest::of(b"0123456789abcdef0123456789abcdef"))
    );
    assert_eq!(facts.architecture, "arm64");
    assert_eq!(facts.init, Init::Systemd);
    let packages: Vec<_> = facts.packages.known().expect("known").keys().collect();
    assert_eq!(packages, ["dpkg"]);
    assert_eq!(facts.accounts.known().expect("known")["root"].uid, 0);
    assert_eq!(
        facts.groups.known().expect("known")["sudo"].members,
        ["ana"]
    );
    assert_eq!(host.identity().machine, facts.machine);
}

#[test]
fn this_machine_is_known_to_an_ordinary_user_too() {
    let check = || {
        let facts = host::LocalHost::running().expect("this machine").facts();
        assert!(facts.kernel.known().is_some());
        assert!(
            facts
                .accounts
                .known()
                .is_some_and(|accounts| accounts.contains_key("root"))
        );
        assert!(
            facts
                .mounts
                .known()
                .is_some_and(|mounts| !mounts.is_empty())
        );
        let interfaces = facts.interfaces.known().expect("known").clone();
        assert!(
            interfaces["lo"]
                .iter()
                .any(|address| address == "127.0.0.1/8")
        );
        assert!(!facts.offline);
        facts.is_root
    };
    assert_eq!(check(), crate::observe_support::is_root());
    assert!(!crate::observe_support::as_nobody(check) || !crate::observe_support::is_root());
}
