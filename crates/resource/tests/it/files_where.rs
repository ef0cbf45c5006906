//! `files_where`.

use model::value::{OverrideSeen, Reason, WalkHit, WalkSeen};
use model::{Mode, Probe, WalkTest};
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
         wanted no set-ID bit, or one that its package gives it @ /opt/x",
    );
    assert_eq!(after.nodes[&path("/opt/x")].mode, 0o755);
}

const PRIVILEGED: &str = "files_where: {test: unknown_privileged_programs}";

/// A host with one program of a package.
fn packaged(package: &str, name: &str, mode: u32, owner: &str, group: &str) -> Host {
    let mut host = Host::new().file_as(name, "", mode, owner, group);
    host.owners.insert(path(name), package.to_owned());
    host
}

#[test]
fn a_packaged_program_has_the_bits_that_its_package_gives_it() {
    for (package, name, mode, owner, group) in [
        ("util-linux", "/usr/bin/su", 0o4755, "root", "root"),
        ("passwd", "/usr/bin/chage", 0o2755, "root", "shadow"),
        (
            "openssh-client",
            "/usr/bin/ssh-agent",
            0o2755,
            "root",
            "_ssh",
        ),
        ("at", "/usr/bin/at", 0o6755, "daemon", "daemon"),
        // Less than the package gives is no trouble.
        ("at", "/usr/bin/at", 0o4755, "daemon", "daemon"),
        (
            "libutempter0",
            "/usr/lib/aarch64-linux-gnu/utempter/utempter",
            0o2755,
            "root",
            "utmp",
        ),
    ] {
        check(
            PRIVILEGED,
            &packaged(package, name, mode, owner, group),
            "ok: none",
        );
    }
    for (package, name, mode, owner, group, left) in [
        ("coreutils", "/usr/bin/cp", 0o4755, "root", "root", 0o755),
        (
            "util-linux",
            "/usr/bin/mount",
            0o4755,
            "root",
            "root",
            0o755,
        ),
        // Only what was added goes.
        ("util-linux", "/usr/bin/su", 0o6755, "root", "root", 0o4755),
        // The bit is the package's, whose rights it gives is not.
        ("passwd", "/usr/bin/chage", 0o2755, "root", "root", 0o755),
    ] {
        let after = check(
            PRIVILEGED,
            &packaged(package, name, mode, owner, group),
            &format!(
                "drift: mode {mode:04o}, owner {owner}, group {group}, of {package}, \
                 wanted no set-ID bit, or one that its package gives it @ {name}"
            ),
        );
        assert_eq!(after.nodes[&path(name)].mode, left, "{name}");
    }
}

/// Every line of the table says of its own file that its package gives it that.
#[test]
fn the_table_of_packages_reads_as_it_is_written() {
    let table = include_str!("../../src/kind/packaged_rights.txt");
    let mut rows = 0;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [""] | ["none", _, ..] => continue,
            [package, mode, who, name] => {
                rows += 1;
                let (owner, group) = who.split_once(':').expect(line);
                let bits = u32::from_str_radix(mode, 8).unwrap_or(0o755);
                let host = packaged(package, &name.replace('*', "x"), bits, owner, group);
                assert!(mode == "cap" || bits & 0o6000 != 0, "{line}");
                if mode != "cap" {
                    check(PRIVILEGED, &host, "ok: none");
                }
            }
            _ => panic!("{line}"),
        }
    }
    assert!(rows > 90, "{rows}");
}

#[test]
fn what_an_administrator_declares_counts() {
    let declared = |mode, owner: &str| OverrideSeen {
        owner: owner.to_owned(),
        group: "root".to_owned(),
        mode: Mode::new(mode),
    };
    let with = |mut host: Host, name: &str, entry| {
        host.declared.insert(path(name), entry);
        host
    };
    let cp = || packaged("coreutils", "/usr/bin/cp", 0o4755, "root", "root");
    check(
        PRIVILEGED,
        &with(cp(), "/usr/bin/cp", declared(0o4755, "root")),
        "ok: none",
    );
    let drift = "drift: mode 4755, owner root, group root, of coreutils, wanted no set-ID bit, or \
                 one that its package gives it @ /usr/bin/cp";
    check(
        PRIVILEGED,
        &with(cp(), "/usr/bin/cp", declared(0o4755, "ana")),
        drift,
    );
    // A bit that was taken away on purpose and is back.
    let su = packaged("util-linux", "/usr/bin/su", 0o4755, "root", "root");
    let after = check(
        PRIVILEGED,
        &with(su, "/usr/bin/su", declared(0o755, "root")),
        "drift: mode 4755, owner root, group root, of util-linux, wanted no set-ID bit, or one \
         that its package gives it @ /usr/bin/su",
    );
    assert_eq!(after.nodes[&path("/usr/bin/su")].mode, 0o755);
    // Of a package that is not known here, too; and for a file of no package.
    let name = "/opt/vendor/helper";
    let of = |package| packaged(package, name, 0o4755, "root", "root");
    check(
        PRIVILEGED,
        &with(of("vendor"), name, declared(0o4755, "root")),
        "ok: none",
    );
}

#[test]
fn a_package_that_nobody_has_read_is_unknown_and_hides_nothing() {
    let name = "/opt/google/chrome/chrome-sandbox";
    let chrome = packaged("google-chrome-stable", name, 0o4755, "root", "root");
    check(
        PRIVILEGED,
        &chrome,
        "unknown: /opt/google/chrome/chrome-sandbox mode 4755, owner root, group root, of \
         google-chrome-stable, and packages do not record whether they mean it: \
         `dpkg-statoverride --add`, or an exception, declares it",
    );
    check(
        "files_where: {test: unknown_privileged_programs, except: ['/opt/google/**']}",
        &chrome,
        "ok: none",
    );
    let both = chrome.file_as("/opt/x", "", 0o4755, "root", "root");
    let said = words(&judge(PRIVILEGED, &both));
    assert!(said.starts_with("drift: mode 4755"), "{said}");
    assert!(said.ends_with("@ /opt/x"), "{said}");
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
                package: None,
                declared: None,
            }
        })
        .collect();
    let seen = WalkSeen {
        hits,
        total,
        unreadable: vec![path("/home/ana")],
        unreadable_total,
        other_roots: Vec::new(),
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
        "drift: has capabilities, of no package, wanted no capabilities, or those that its \
         package gives it @ /srv/0",
    );
    // Each file is one by itself: those that are listed are fixed, and the rest is named.
    let more = judge(yaml, &found(1, 5000, 0));
    let resource::Judgement::Drift(drifts) = &more else {
        panic!("{}", words(&more));
    };
    let edits: Vec<usize> = drifts.iter().map(|drift| drift.edits.len()).collect();
    assert_eq!(edits, [1, 0]);
    assert!(drifts[0].by_hand.is_none());
    assert_eq!(drifts[1].observed, "4999 files more that are not listed");
    assert!(drifts[1].by_hand.is_some());

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
