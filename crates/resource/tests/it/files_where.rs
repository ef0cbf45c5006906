//! `files_where`.

use model::value::{Reason, WalkHit, WalkSeen};
use model::{Probe, WalkTest};
use resource::kind::files_where::glob_matches;

use crate::support::{Host, check, judge, path, refused, words};

#[test]
fn each_hit_loses_what_makes_it_one_and_nothing_else() {
    let host = Host::new()
        .file_as("/srv/app/cache", "x", 0o666, "app", "app")
        .file_as("/srv/app/ok", "x", 0o664, "app", "app");
    let after = check(
        "files_where: {test: world_writable_files}",
        &host,
        "drift: mode 0666, wanted not writable for everyone @ /srv/app/cache",
    );
    assert_eq!(after.nodes[&path("/srv/app/cache")].mode, 0o664);
    assert_eq!(after.nodes[&path("/srv/app/ok")].mode, 0o664);

    let host = Host::new().dir_as("/srv/drop", 0o777, "root", "root");
    let after = check(
        "files_where: {test: world_writable_directories_without_sticky}",
        &host,
        "drift: mode 0777, wanted the sticky bit @ /srv/drop",
    );
    assert_eq!(after.nodes[&path("/srv/drop")].mode, 0o1777);

    let host = Host::new().file_as("/opt/x", "", 0o6755, "root", "root");
    let after = check(
        "files_where: {test: unknown_privileged_programs}",
        &host,
        "drift: mode 6755, owner root, group root, of no package, \
         wanted no set-ID bit, or a package that owns it @ /opt/x",
    );
    assert_eq!(after.nodes[&path("/opt/x")].mode, 0o755);
}

#[test]
fn who_should_own_a_file_is_for_a_person_to_say() {
    let host = Host::new().file_as("/srv/left", "", 0o644, "1234", "root");
    check(
        "files_where: {test: unowned}",
        &host,
        "drift: owner 1234, group root, wanted an owner and a group that exist @ /srv/left \
         (by hand: give it to an account with `chown`, or remove it)",
    );
}

#[test]
fn exceptions_are_left_out() {
    let host = Host::new().file_as("/srv/app/cache", "x", 0o666, "app", "app");
    check(
        "files_where: {test: world_writable_files, except: [/srv/*/cache]}",
        &host,
        "ok: none",
    );
    refused(
        "files_where: {test: unowned, except: [srv]}",
        "`srv` is not an absolute path",
    );
}

fn found(hits: usize, total: u64, unreadable_total: u64) -> Host {
    let mut host = Host::new();
    let names: Vec<String> = (0..hits).map(|n| format!("/srv/{n}")).collect();
    for name in &names {
        host = host.file_as(name, "", 0o755, "root", "root");
    }
    let template = host.clone();
    let hits = names
        .iter()
        .map(|name| {
            let seen = template.answer(&Probe::Meta { path: path(name) });
            let model::Answer::Known(model::Value::Meta(meta)) = seen.answer else {
                panic!("{name} is in the tree");
            };
            WalkHit {
                path: path(name),
                meta,
            }
        })
        .collect();
    let seen = WalkSeen {
        hits,
        total,
        unreadable: vec![path("/home/ana")],
        unreadable_total,
    };
    host.walks.insert(WalkTest::UnknownCapabilities, seen);
    host
}

#[test]
fn what_could_not_be_looked_at_is_never_a_pass() {
    let yaml = "files_where: {test: unknown_capabilities}";
    check(yaml, &found(0, 0, 0), "ok: none");
    check(
        yaml,
        &found(0, 0, 7),
        "unknown: 7 directories could not be read, such as /home/ana",
    );
    check(
        yaml,
        &found(1, 1, 0),
        "drift: has capabilities, of no package, wanted no capabilities, or a package that owns \
         it @ /srv/0",
    );
    // A fix of the part that is listed would not reach its goal.
    let said = words(&judge(yaml, &found(1, 5000, 0)));
    assert!(said.contains("by hand: more than 1000 files"), "{said}");

    let host = Host::new().cannot_tell(
        Probe::Walk {
            test: WalkTest::UnknownCapabilities,
        },
        Reason::NeedsRoot,
    );
    check(yaml, &host, "unknown: needs root: run with sudo");
}

#[test]
fn globs() {
    for (glob, name, expected) in [
        ("/a", "/a", true),
        ("/a", "/ab", false),
        ("/a/*", "/a/b", true),
        ("/a/*", "/a/b/c", false),
        ("/a/**", "/a/b/c", true),
        ("/a/**", "/a", false),
        ("**/*.sock", "/run/x/y.sock", true),
        ("/a/?/c", "/a/b/c", true),
        ("/a?b", "/a/b", false),
        ("/**/x/**/y", "/1/x/2/3/y", true),
        ("/**/x/**/y", "/1/x/2/3/z", false),
        ("", "/", false),
    ] {
        assert_eq!(
            glob_matches(glob.as_bytes(), name.as_bytes()),
            expected,
            "{glob} {name}"
        );
    }
    // Bounded however many stars there are.
    let stars = "**a".repeat(100);
    assert!(!glob_matches(stars.as_bytes(), "b".repeat(4000).as_bytes()));
}
