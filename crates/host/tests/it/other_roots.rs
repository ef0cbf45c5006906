//! Root file systems of others below this one are named and left out, and nobody but root hides
//! anything by them.

use host::Host;
use host::components::components;
use model::value::WalkSeen;
use model::{Answer, Value, WalkTest};

use crate::observe_support::{Tree, is_root, skip};

const RELEASE: &[u8] = b"ID=debian\nPRETTY_NAME=\"Debian 13 (trixie)\"\n";
const STATUS: &[u8] =
    b"Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n";

/// A tree as debootstrap makes it, with something to find in it.
fn debootstrapped(tree: &Tree, at: &str) {
    tree.file(&format!("{at}/usr/lib/os-release"), RELEASE);
    tree.link(&format!("{at}/etc/os-release"), "../usr/lib/os-release");
    tree.file(&format!("{at}/var/lib/dpkg/status"), STATUS);
    tree.file(&format!("{at}/usr/bin/su"), b"");
    tree.mode(&format!("{at}/usr/bin/su"), 0o4755);
    tree.file(&format!("{at}/srv/open"), b"");
    tree.mode(&format!("{at}/srv/open"), 0o666);
    tree.file(
        &format!("{at}/usr/lib/node_modules/old/package.json"),
        br#"{"name": "old", "version": "1.0.0"}"#,
    );
    tree.dir(&format!("{at}/tmp"));
    tree.mode(&format!("{at}/tmp"), 0o1777);
}

fn host_tree() -> Tree {
    let tree = Tree::with(&[
        (
            "/etc/passwd",
            b"root:x:0:0::/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\n",
        ),
        ("/etc/group", b"root:x:0:\nana:x:1000:\n"),
        ("/etc/os-release", RELEASE),
        ("/usr/lib/os-release", RELEASE),
        ("/var/lib/dpkg/status", STATUS),
        ("/var/lib/dpkg/info/dpkg.list", b"/.\n"),
    ]);
    tree.dir("/tmp");
    tree
}

fn seen(tree: &Tree, test: WalkTest) -> WalkSeen {
    let mut answers = tree.host().walk(&[test].into_iter().collect(), &|_| {});
    match answers.remove(&test).map(|observed| observed.answer) {
        Some(Answer::Known(Value::Walk(seen))) => seen,
        other => panic!("{test:?}: {other:?}"),
    }
}

fn hits(tree: &Tree, test: WalkTest) -> Vec<String> {
    let hits = seen(tree, test).hits;
    hits.iter().map(|hit| hit.path.to_string()).collect()
}

fn other_roots(tree: &Tree) -> Vec<String> {
    let roots = seen(tree, WalkTest::WorldWritableFiles).other_roots;
    roots.iter().map(|root| root.path.to_string()).collect()
}

fn own(tree: &Tree, path: &str, uid: u32) {
    let path = tree.at(path);
    std::os::unix::fs::lchown(path, Some(uid), Some(uid)).expect("root may");
}

#[test]
fn trees_of_others_are_named_and_left_out() {
    if !is_root() {
        return skip("only root makes such trees");
    }
    let tree = host_tree();
    let places = [
        "/home/ana/chroot",
        "/srv/chroot/trixie",
        "/var/lib/machines/build",
    ];
    for at in places {
        debootstrapped(&tree, at);
    }
    // In a folder of hers: what is in it is root's all the same.
    own(&tree, "/home/ana", 1000);
    // As container images are: another package manager, or none of its tools.
    tree.file("/srv/alpine/etc/os-release", b"ID=alpine\n");
    tree.file("/srv/alpine/lib/apk/db/installed", b"");
    tree.file("/srv/alpine/usr/bin/su", b"");
    tree.mode("/srv/alpine/usr/bin/su", 0o4755);
    // Within another: one is enough.
    debootstrapped(&tree, "/srv/chroot/trixie/srv/inner");
    let found = seen(&tree, WalkTest::UnknownPrivilegedPrograms);
    assert_eq!(found.hits, []);
    let named: Vec<_> = found
        .other_roots
        .iter()
        .map(|root| (root.path.to_string(), root.release.clone()))
        .collect();
    let debian = || Some("Debian 13 (trixie)".to_owned());
    assert_eq!(
        named,
        [
            ("/home/ana/chroot".to_owned(), debian()),
            ("/srv/alpine".to_owned(), Some("alpine".to_owned())),
            ("/srv/chroot/trixie".to_owned(), debian()),
            ("/var/lib/machines/build".to_owned(), debian()),
        ]
    );
    assert_eq!(hits(&tree, WalkTest::WorldWritableFiles), [""; 0]);
    let inventory = components(&tree.host(), &|_| {});
    let names: Vec<&str> = inventory
        .components
        .iter()
        .map(|component| component.name.as_str())
        .collect();
    assert_eq!(names, ["dpkg"], "its own package, and nothing of theirs");
    assert_eq!(inventory.other_roots, found.other_roots);
}

#[test]
fn what_others_may_write_in_such_a_tree_is_judged() {
    if !is_root() {
        return skip("only root makes such trees");
    }
    let tree = host_tree();
    debootstrapped(&tree, "/srv/chroot");
    for (path, owner) in [
        ("/srv/chroot/tmp/mine", 1000),
        ("/srv/chroot/home/ana/deep/mine", 1000),
        ("/srv/chroot/var/shared/mine", 0),
    ] {
        tree.file(path, b"");
        own(&tree, path, owner);
        tree.mode(path, 0o4755);
    }
    own(&tree, "/srv/chroot/home/ana", 1000);
    // Below what she may write, root's directories prove nothing.
    tree.mode("/srv/chroot/var/shared", 0o775);
    assert_eq!(
        hits(&tree, WalkTest::UnknownPrivilegedPrograms),
        [
            "/srv/chroot/home/ana/deep/mine",
            "/srv/chroot/tmp/mine",
            "/srv/chroot/var/shared/mine",
        ]
    );
    assert_eq!(other_roots(&tree), ["/srv/chroot"]);
}

#[test]
fn no_user_makes_a_tree_that_counts() {
    if !is_root() {
        return skip("only root gives files away");
    }
    let tree = host_tree();
    for at in ["/home/ana/hers", "/home/ana/open", "/opt/vendor"] {
        debootstrapped(&tree, at);
    }
    own(&tree, "/home/ana/hers", 1000);
    tree.mode("/home/ana/open", 0o777);
    // A bundle of programs is no root file system: it has no database of packages.
    std::fs::remove_file(tree.at("/opt/vendor/var/lib/dpkg/status")).expect("it is there");
    assert_eq!(
        hits(&tree, WalkTest::UnknownPrivilegedPrograms),
        [
            "/home/ana/hers/usr/bin/su",
            "/home/ana/open/usr/bin/su",
            "/opt/vendor/usr/bin/su",
        ]
    );
    assert_eq!(other_roots(&tree), [""; 0]);
}

#[test]
fn the_tree_itself_is_none_of_others() {
    let tree = host_tree();
    tree.file("/srv/open", b"");
    tree.mode("/srv/open", 0o666);
    assert_eq!(hits(&tree, WalkTest::WorldWritableFiles), ["/srv/open"]);
    assert_eq!(other_roots(&tree), [""; 0]);
}
