//! The walk, on trees made for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use host::Host;
use model::probe::WalkTests;
use model::value::{OverrideSeen, WALK_LIMIT, WalkSeen};
use model::{Answer, Mode, Observed, Probe, Value, WalkTest};

use crate::observe_support::{Tree, as_nobody, is_root, path, reason, skip};

const ALL: [WalkTest; 5] = [
    WalkTest::WorldWritableFiles,
    WalkTest::WorldWritableDirectoriesWithoutSticky,
    WalkTest::UnknownPrivilegedPrograms,
    WalkTest::Unowned,
    WalkTest::UnknownCapabilities,
];

fn walk(tree: &Tree, tests: &[WalkTest]) -> BTreeMap<WalkTest, Observed> {
    let tests: WalkTests = tests.iter().copied().collect();
    tree.host().walk(&tests, &|_| {})
}

fn seen(tree: &Tree, test: WalkTest) -> WalkSeen {
    match walk(tree, &[test])
        .remove(&test)
        .map(|observed| observed.answer)
    {
        Some(Answer::Known(Value::Walk(seen))) => seen,
        other => panic!("{test:?}: {other:?}"),
    }
}

fn paths(tree: &Tree, test: WalkTest) -> Vec<String> {
    seen(tree, test)
        .hits
        .iter()
        .map(|hit| hit.path.to_string())
        .collect()
}

/// A database that holds none at all is one that can't be read.
const ONE_PACKAGE: &[u8] =
    b"Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n";

/// Account files that name whoever runs the tests.
fn accounts(tree: &Tree) {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    tree.file(
        "/etc/passwd",
        format!("me:x:{uid}:{gid}::/:/bin/sh\n").as_bytes(),
    );
    tree.file("/etc/group", format!("us:x:{gid}:\n").as_bytes());
}

#[test]
fn layers_that_a_configuration_of_roots_moved_are_left_out() {
    let tree = Tree::with(&[
        (
            "/etc/docker/daemon.json",
            br#"{"data-root": "/data/docker"}"#,
        ),
        (
            "/etc/containers/storage.conf",
            b"[storage]\ngraphroot = \"/data/podman\"\n",
        ),
        ("/etc/containerd/config.toml", b"root = \"/data/ctrd\"\n"),
        // Nobody else has anything left out.
        (
            "/home/me/.config/containers/storage.conf",
            b"[storage]\ngraphroot = \"/home/me/store\"\n",
        ),
    ]);
    accounts(&tree);
    let found = [
        "/data/docker/volumes/open",
        "/home/me/store/overlay/a/diff/open",
        "/srv/docker/overlay2/open",
    ];
    let layers = [
        "/data/ctrd/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs/open",
        "/data/docker/overlay2/a/diff/open",
        "/data/podman/overlay/a/diff/open",
        "/var/lib/docker/overlay2/a/diff/open",
    ];
    for path in found.iter().chain(&layers) {
        tree.file(path, b"");
        tree.mode(path, 0o666);
    }
    assert_eq!(paths(&tree, WalkTest::WorldWritableFiles), found);
}

#[test]
fn what_anyone_may_write_is_found() {
    let tree = Tree::with(&[("/a/open", b""), ("/a/closed", b""), ("/b/open", b"")]);
    accounts(&tree);
    tree.mode("/a/open", 0o666);
    tree.mode("/b/open", 0o602);
    tree.dir("/tmp");
    tree.mode("/tmp", 0o1777);
    tree.dir("/drop/inner");
    tree.mode("/drop", 0o777);
    // Links have no permissions of their own, and lead nowhere that is walked.
    tree.link("/link", "/a/open");
    assert_eq!(
        paths(&tree, WalkTest::WorldWritableFiles),
        ["/a/open", "/b/open"]
    );
    assert_eq!(
        paths(&tree, WalkTest::WorldWritableDirectoriesWithoutSticky),
        ["/drop"]
    );
    tree.mode("/", 0o777);
    assert_eq!(
        paths(&tree, WalkTest::WorldWritableDirectoriesWithoutSticky),
        ["/", "/drop"]
    );
    tree.mode("/", 0o755);
}

#[test]
fn programs_are_told_with_their_packages() {
    let tree = Tree::with(&[
        (
            "/var/lib/dpkg/status",
            b"Package: login\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n\
            Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n\
            Package: lib\nStatus: install ok installed\nArchitecture: i386\nVersion: 1\n",
        ),
        (
            "/var/lib/dpkg/info/login.list",
            b"/.\n/bin\n/bin/su\n/usr/bin/passwd\n/usr/bin/moved\n",
        ),
        ("/var/lib/dpkg/info/gone.list", b"/usr/bin/left\n"),
        ("/var/lib/dpkg/info/lib:i386.list", b"/usr/lib/helper\n"),
        (
            "/var/lib/dpkg/diversions",
            b"/usr/bin/moved\n/usr/bin/moved.distrib\nother\n",
        ),
    ]);
    accounts(&tree);
    tree.file(
        "/var/lib/dpkg/statoverride",
        b"not a line\nroot #7 4750 /bin/su\nroot root 99999 /usr/bin/passwd\n",
    );
    tree.link("/bin", "usr/bin");
    for name in [
        "bin/su",
        "bin/passwd",
        "bin/left",
        "bin/mine",
        "bin/moved",
        "bin/moved.distrib",
        "lib/helper",
    ] {
        let name = format!("/usr/{name}");
        tree.file(&name, b"");
        tree.mode(&name, 0o4755);
    }
    // Set-group-ID counts, and a directory with it does not.
    tree.file("/opt/sgid", b"");
    tree.mode("/opt/sgid", 0o2755);
    tree.dir("/opt/shared");
    tree.mode("/opt/shared", 0o2775);
    let seen = seen(&tree, WalkTest::UnknownPrivilegedPrograms);
    let told: Vec<String> = seen
        .hits
        .iter()
        .map(|hit| format!("{} {}", hit.path, hit.package.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(
        told,
        [
            "/opt/sgid -",
            "/usr/bin/left -",
            "/usr/bin/mine -",
            "/usr/bin/moved -",
            "/usr/bin/moved.distrib login",
            "/usr/bin/passwd login",
            "/usr/bin/su login",
            "/usr/lib/helper lib",
        ]
    );
    assert_eq!(seen.total, 8);
    let declared: Vec<_> = seen
        .hits
        .iter()
        .filter_map(|hit| Some((hit.path.to_string(), hit.declared.clone()?)))
        .collect();
    let of_su = OverrideSeen {
        owner: "root".to_owned(),
        group: "#7".to_owned(),
        mode: Mode::new(0o4750),
    };
    assert_eq!(declared, [("/usr/bin/su".to_owned(), of_su)]);
}

#[test]
fn without_a_package_database_programs_are_unknown_and_not_foreign() {
    let tree = Tree::with(&[("/opt/suid", b"")]);
    accounts(&tree);
    assert_eq!(seen(&tree, WalkTest::UnknownPrivilegedPrograms).total, 0);
    tree.mode("/opt/suid", 0o4755);
    let answers = walk(&tree, &ALL);
    assert!(matches!(
        answers[&WalkTest::UnknownPrivilegedPrograms].answer,
        Answer::Unknown(_)
    ));
    assert!(matches!(
        answers[&WalkTest::WorldWritableFiles].answer,
        Answer::Known(_)
    ));
    // Nor where the database has lost its lists.
    tree.file("/var/lib/dpkg/status", b"");
    let answers = walk(&tree, &ALL);
    assert!(matches!(
        answers[&WalkTest::UnknownPrivilegedPrograms].answer,
        Answer::Unknown(_)
    ));
}

#[test]
fn owners_without_a_name_are_found() {
    if !is_root() {
        return skip("needs root");
    }
    let tree = Tree::with(&[("/user", b""), ("/group", b""), ("/fine", b"")]);
    accounts(&tree);
    tree.link("/link", "nowhere");
    let own = |name: &str, uid, gid| {
        std::os::unix::fs::lchown(tree.at(name), uid, gid).expect("an owner");
    };
    own("/user", Some(4242), None);
    own("/group", None, Some(4242));
    own("/link", Some(4243), None);
    assert_eq!(
        paths(&tree, WalkTest::Unowned),
        ["/group", "/link", "/user"]
    );
    // Where accounts come from elsewhere too, nothing is called unowned in a tree.
    tree.file("/etc/nsswitch.conf", b"passwd: files ldap\n");
    let answers = walk(&tree, &[WalkTest::Unowned]);
    assert!(matches!(
        answers[&WalkTest::Unowned].answer,
        Answer::Unknown(_)
    ));
}

#[test]
fn without_account_files_nothing_is_called_unowned() {
    let tree = Tree::with(&[("/file", b"")]);
    let answer = tree.ask(&Probe::Walk {
        test: WalkTest::Unowned,
    });
    assert!(reason(answer).to_string().contains("/etc/passwd"));
}

#[test]
fn capabilities_are_found() {
    if !is_root() {
        return skip("needs root");
    }
    // VFS_CAP_REVISION_2 with CAP_NET_RAW, effective (linux/capability.h).
    let raw: [u8; 20] = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let tree = Tree::with(&[("/opt/ping", b""), ("/opt/data", b""), ("/opt/plain", b"")]);
    accounts(&tree);
    tree.file("/var/lib/dpkg/status", ONE_PACKAGE);
    tree.file("/var/lib/dpkg/info/dpkg.list", b"/usr/bin/dpkg\n");
    tree.mode("/opt/ping", 0o755);
    tree.mode("/opt/plain", 0o755);
    for name in ["/opt/ping", "/opt/data"] {
        let flags = rustix::fs::XattrFlags::empty();
        if rustix::fs::setxattr(tree.at(name), c"security.capability", &raw, flags).is_err() {
            return skip("this file system takes no capabilities");
        }
    }
    // One that nobody may execute gives nobody anything.
    assert_eq!(paths(&tree, WalkTest::UnknownCapabilities), ["/opt/ping"]);
}

#[test]
fn many_hits_are_counted_and_the_first_listed() {
    let tree = Tree::new();
    accounts(&tree);
    let many = WALK_LIMIT + 500;
    for number in 0..many {
        let name = format!("/d{}/f{number:05}", number % 7);
        tree.file(&name, b"");
        tree.mode(&name, 0o666);
    }
    let seen = seen(&tree, WalkTest::WorldWritableFiles);
    assert_eq!((seen.hits.len(), seen.total), (WALK_LIMIT, many as u64));
    let mut all: Vec<String> = (0..many).map(|n| format!("/d{}/f{n:05}", n % 7)).collect();
    all.sort();
    all.truncate(WALK_LIMIT);
    let listed: Vec<String> = seen.hits.iter().map(|hit| hit.path.to_string()).collect();
    assert_eq!(listed, all);
}

#[test]
fn what_can_not_be_read_is_counted() {
    let tree = Tree::with(&[("/secret/inner/open", b""), ("/open", b"")]);
    accounts(&tree);
    tree.mode("/open", 0o666);
    tree.mode("/secret", 0o700);
    let check = || seen(&tree, WalkTest::WorldWritableFiles);
    if is_root() {
        assert_eq!(check().unreadable_total, 0);
        let seen = as_nobody(check);
        assert_eq!((seen.total, seen.unreadable_total), (1, 1));
        assert_eq!(seen.unreadable, [path("/secret")]);
    }
}

#[test]
fn a_tree_deeper_than_any_path_is_survived_and_counted() {
    let tree = Tree::new();
    accounts(&tree);
    let name = "d".repeat(200);
    let mode = rustix::fs::Mode::from_raw_mode(0o755);
    let open =
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let mut here =
        rustix::fs::open(tree.root(), open, rustix::fs::Mode::empty()).expect("the root");
    for _ in 0..40 {
        rustix::fs::mkdirat(&here, &*name, mode).expect("a directory");
        here = rustix::fs::openat(&here, &*name, open, rustix::fs::Mode::empty()).expect("it");
    }
    let seen = seen(&tree, WalkTest::WorldWritableFiles);
    assert!(seen.unreadable_total > 0);
}

#[test]
fn files_that_vanish_meanwhile_are_no_trouble() {
    let tree = Tree::new();
    accounts(&tree);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for name in ["/x/a/b", "/y/c", "/z/d/e/f"] {
                    tree.dir(name);
                }
                for name in ["/x", "/y", "/z"] {
                    let _ = std::fs::remove_dir_all(tree.at(name));
                }
            }
        });
        let all: Vec<(u64, u64)> = (0..200)
            .map(|_| seen(&tree, WalkTest::WorldWritableFiles))
            .map(|seen| (seen.total, seen.unreadable_total))
            .collect();
        stop.store(true, Ordering::Relaxed);
        assert!(all.iter().all(|seen| *seen == (0, 0)), "{all:?}");
    });
}

#[test]
fn it_finds_what_find_finds() {
    if std::process::Command::new("find")
        .arg("--version")
        .output()
        .is_err()
    {
        return skip("no find");
    }
    let tree = Tree::new();
    accounts(&tree);
    // Modes from a fixed sequence, over a tree that is wide here and deep there.
    let mut state = 12345u32;
    let mut next = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let mut directories = vec![String::new()];
    for number in 0..600 {
        let parent = directories[next(directories.len() as u32) as usize].clone();
        let name = format!("{parent}/n{number}");
        let mode = [0o644, 0o666, 0o755, 0o777, 0o1777, 0o4755, 0o2755][next(7) as usize];
        if next(3) == 0 {
            tree.dir(&name);
            directories.push(name.clone());
        } else {
            tree.file(&name, b"");
        }
        tree.mode(&name, mode);
    }
    tree.file("/var/lib/dpkg/status", ONE_PACKAGE);
    tree.file("/var/lib/dpkg/info/dpkg.list", b"/usr/bin/dpkg\n");
    let find = |expression: &str| -> BTreeSet<String> {
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("find . -xdev {expression} -print")])
            .current_dir(tree.root())
            .output()
            .expect("find runs");
        let text = String::from_utf8(output.stdout).expect("our own names");
        text.lines()
            .map(|line| line.trim_start_matches('.').to_owned())
            .collect()
    };
    let cases = [
        (WalkTest::WorldWritableFiles, "-type f -perm -0002"),
        (
            WalkTest::WorldWritableDirectoriesWithoutSticky,
            "-type d -perm -0002 ! -perm -1000",
        ),
        (WalkTest::UnknownPrivilegedPrograms, "-type f -perm /6000"),
    ];
    for (test, expression) in cases {
        let ours: BTreeSet<String> = paths(&tree, test).into_iter().collect();
        assert!(!ours.is_empty());
        assert_eq!(ours, find(expression), "{test:?}");
    }
}

#[test]
fn it_tells_how_far_it_is() {
    let tree = Tree::with(&[("/a/b/c", b""), ("/a/d", b"")]);
    accounts(&tree);
    let last = AtomicU64::new(0);
    let tests: WalkTests = ALL.into_iter().collect();
    tree.host()
        .walk(&tests, &|entries| last.store(entries, Ordering::Relaxed));
    // a, a/b, a/b/c, a/d, etc, etc/passwd, etc/group
    assert_eq!(last.into_inner(), 7);
}

#[test]
fn layers_of_containers_are_left_out() {
    let tree = Tree::with(&[
        ("/var/lib/docker/overlay2/x/file", b""),
        ("/var/lib/docker/volumes/x/file", b""),
    ]);
    accounts(&tree);
    tree.mode("/var/lib/docker/overlay2/x/file", 0o666);
    tree.mode("/var/lib/docker/volumes/x/file", 0o666);
    assert_eq!(
        paths(&tree, WalkTest::WorldWritableFiles),
        ["/var/lib/docker/volumes/x/file"]
    );
}
