//! A way back is checked before it is promised, and one failure costs what hangs on it.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use host::{Applied, CrashPoints, Create, Host, State, StateError, Undone, Verdict};
use model::{Effect, HostPath, Mode, Plan, Premise, Probe};
use plan::outlook::Outlook;
use rustix::fs::{IFlags, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::bench::{Bench, assert_same, is_root, link, make_dir, put, remove, set_mode, skip};

const EVE: u32 = 4242;
const BOB: u32 = 4243;

/// A bench whose `/home/eve/app` belongs to Eve, with files of root in it.
fn with_app() -> Bench {
    let bench = Bench::new();
    let app = bench.path("/home/eve/app");
    std::fs::create_dir_all(&app).expect("directories");
    for directory in [bench.path("/home/eve"), app.clone()] {
        chown(&directory, Some(EVE), Some(EVE)).expect("given away");
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\neve:x:4242:4242::/home/eve:/bin/sh\n\
                  bob:x:4243:4243::/home/bob:/bin/sh\n";
    std::fs::write(bench.path("/etc/passwd"), passwd).expect("written");
    std::fs::write(bench.path("/etc/group"), "root:x:0:\nsudo:x:27:\n").expect("written");
    std::fs::write(app.join("precious"), "root's\n").expect("written");
    chown(app.join("precious"), Some(0), Some(0)).expect("root's");
    std::os::unix::fs::symlink("precious", app.join("link")).expect("a link");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(bench.root.parent().expect("a parent"), open).expect("a mode");
    bench
}

fn put_as(path: &str, content: &str, owner: Option<&str>, group: Option<&str>) -> Effect {
    Effect::PutFile {
        path: path.parse().expect("a path"),
        content: content.into(),
        mode: Some(Mode::new(0o640)),
        owner: owner.map(str::to_owned),
        group: group.map(str::to_owned),
        as_user: None,
        drop_acl: false,
    }
}

#[test]
fn files_of_root_in_a_directory_of_an_account_are_changed_and_put_back() {
    if !is_root() {
        return skip("needs root to own directories as two accounts");
    }
    const PRECIOUS: &str = "/home/eve/app/precious";
    let mut directory = make_dir("/home/eve/app/new.d");
    if let Effect::MakeDir { owner, .. } = &mut directory {
        *owner = Some("root".to_owned());
    }
    let cases: Vec<(&str, Effect, Option<u32>)> = vec![
        ("removed", remove(PRECIOUS), None),
        ("content", put(PRECIOUS, "new\n"), Some(0)),
        (
            "to eve",
            put_as(PRECIOUS, "new\n", Some("eve"), None),
            Some(EVE),
        ),
        (
            "to root",
            put_as(PRECIOUS, "new\n", Some("root"), None),
            Some(0),
        ),
        (
            "to bob",
            put_as(PRECIOUS, "new\n", Some("bob"), None),
            Some(BOB),
        ),
        (
            "a group",
            put_as(PRECIOUS, "new\n", None, Some("sudo")),
            Some(0),
        ),
        ("a directory", directory, Some(0)),
        ("a link", remove("/home/eve/app/link"), None),
    ];
    for (name, effect, owner) in cases {
        let bench = with_app();
        let before = bench.snapshot();
        let path = effect.path().expect("a path").to_string();
        let applied = bench.apply(&bench.plan([effect])).expect("applied");
        assert!(
            matches!(applied, Applied::Committed(_)),
            "{name}: {applied:?}"
        );
        let uid = bench
            .path(&path)
            .symlink_metadata()
            .ok()
            .map(|metadata| metadata.uid());
        assert_eq!(uid, owner, "{name}");
        let undone = bench.undo(1, CrashPoints::none()).expect("undone");
        assert!(matches!(undone, Undone::Done { .. }), "{name}: {undone:?}");
        assert_same(&before, &bench.snapshot(), name);
    }
}

#[test]
fn a_set_id_file_is_not_given_to_root_in_a_directory_of_an_account() {
    if !is_root() {
        return skip("needs root to own directories as two accounts");
    }
    let bench = with_app();
    let before = bench.snapshot();
    let mut effect = put_as("/home/eve/app/tool", "new\n", Some("root"), None);
    if let Effect::PutFile { mode, .. } = &mut effect {
        *mode = Some(Mode::new(0o4755));
    }
    let applied = bench.apply(&bench.plan([effect])).expect("an end");
    assert!(
        matches!(applied, Applied::TakenBack { verified: true, .. }),
        "{applied:?}"
    );
    assert_same(&before, &bench.snapshot(), "taken back");
    // Nor could one that is there be put back.
    let precious = bench.path("/home/eve/app/precious");
    std::fs::set_permissions(precious, PermissionsExt::from_mode(0o4755)).expect("a mode");
    refused(&bench, remove("/home/eve/app/precious"), "set-ID bits");
}

#[test]
fn new_content_has_no_set_id_bits_unless_they_are_said() {
    let bench = Bench::new();
    let open = bench.path("/etc/open.conf");
    let mode = || open.metadata().expect("metadata").mode() & 0o7777;
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o6755)).expect("a mode");
    bench
        .apply(&bench.plan([put("/etc/open.conf", "new\n")]))
        .expect("applied");
    assert_eq!(mode(), 0o755);
    bench.undo(1, CrashPoints::none()).expect("undone");
    assert_eq!(mode(), 0o6755);
}

fn resting_on(bench: &Bench, mut plan: Plan, probe: Probe) -> Plan {
    plan.premises.push(Premise {
        digest: bench.host().probe(&probe).digest,
        seen: None,
        probe,
        after: None,
        form: None,
    });
    plan.actions[0].rests_on = vec![0];
    plan
}

#[test]
fn the_room_that_is_kept_beside_a_new_file_is_no_change_of_its_directory() {
    if !is_root() {
        return skip("needs root to mount a small file system");
    }
    let disk = Mounted::tmpfs();
    let bench = Bench::with_tree_in(&disk.path);
    let directory = || Probe::Dir {
        path: "/etc/app.d".parse().expect("a path"),
    };
    let plan = bench.plan([put("/etc/app.d/20-b.conf", "b\n")]);
    let plan = resting_on(&bench, plan, directory());
    let applied = bench.apply(&plan).expect("applied");
    assert!(matches!(applied, Applied::Committed(_)), "{applied:?}");
}

#[test]
fn what_rests_on_something_that_changed_is_left_and_the_rest_stands() {
    let bench = Bench::new();
    let effects = [
        (0, put("/etc/app.d/20-b.conf", "b\n")),
        (1, remove("/etc/gone.conf")),
    ];
    let directory = Probe::Dir {
        path: "/etc/app.d".parse().expect("a path"),
    };
    let plan = resting_on(&bench, bench.plan_in_sets(effects), directory);
    std::fs::write(bench.path("/etc/app.d/theirs"), "x").expect("written");
    let applied = bench.apply(&plan).expect("applied");
    let Applied::PartlyTakenBack { why, .. } = applied else {
        panic!("{applied:?}");
    };
    assert_eq!(why, ["what is in `/etc/app.d` changed since"]);
    assert!(!bench.path("/etc/app.d/20-b.conf").exists());
    assert!(!bench.path("/etc/gone.conf").exists());
    // All or nothing means what it says.
    let mut plan = plan;
    plan.selection.all_or_nothing = true;
    assert!(matches!(
        bench.apply(&plan),
        Err(host::ApplyError::Changed(_))
    ));
}

#[test]
fn a_change_of_mode_needs_neither_size_nor_content() {
    let bench = Bench::new();
    let (huge, log) = (bench.path("/var/lib/huge"), bench.path("/var/lib/log"));
    let made = std::fs::File::create(&huge).expect("a file");
    if made.set_len(2 << 40).is_err() {
        return skip("the file system has no files of 2 TB");
    }
    std::fs::write(&log, "one\n").expect("a file");
    for path in [&huge, &log] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o666)).expect("a mode");
    }
    let mode = |path: &Path| path.metadata().expect("metadata").mode() & 0o7777;
    let plan = bench.plan([
        set_mode("/var/lib/huge", 0o664),
        set_mode("/var/lib/log", 0o664),
    ]);
    let applied = bench.apply(&plan).expect("applied");
    assert!(matches!(applied, Applied::Committed(_)), "{applied:?}");
    assert_eq!((mode(&huge), mode(&log)), (0o664, 0o664));
    let images = std::fs::read_dir(bench.state.join("images"))
        .expect("images")
        .count();
    assert_eq!(images, 0, "a mode has no content");
    // It is written on.
    std::fs::write(&log, "one\ntwo\n").expect("a file");
    let undone = bench.undo(1, CrashPoints::none()).expect("undone");
    assert!(matches!(undone, Undone::Done { .. }), "{undone:?}");
    assert_eq!((mode(&huge), mode(&log)), (0o666, 0o666));
    assert_eq!(bench.read("/var/lib/log"), "one\ntwo\n");
}

#[test]
fn what_is_too_large_to_be_kept_costs_its_own_action() {
    let bench = Bench::new();
    let made = std::fs::File::create(bench.path("/var/lib/huge")).expect("a file");
    made.set_len(2 << 30).expect("a sparse file");
    let effects = [(0, remove("/var/lib/huge")), (1, remove("/etc/gone.conf"))];
    let applied = bench.apply(&bench.plan_in_sets(effects)).expect("applied");
    let Applied::PartlyTakenBack { why, .. } = applied else {
        panic!("{applied:?}");
    };
    assert!(
        why[0].contains("/var/lib/huge") && why[0].contains("1 GiB"),
        "{why:?}"
    );
    assert!(bench.path("/var/lib/huge").exists() && !bench.path("/etc/gone.conf").exists());
}

#[test]
fn the_reserve_is_no_larger_than_the_last_change_needs() {
    if !is_root() {
        return skip("needs root to mount a small file system");
    }
    let disk = Mounted::tmpfs();
    let bench = Bench::inside(&disk.path);
    let reserve = || {
        bench
            .state
            .join("reserve")
            .metadata()
            .map(|found| found.len())
    };
    std::fs::write(bench.path("/etc/app.conf"), "x".repeat(9 << 20)).expect("a file");
    let modes = bench.plan([set_mode("/etc/app.conf", 0o600)]);
    bench.apply(&modes).expect("applied");
    assert_eq!(
        reserve().expect("a reserve"),
        4 << 20,
        "a mode needs no room"
    );
    bench
        .apply(&bench.plan([put("/etc/app.conf", "small\n")]))
        .expect("applied");
    assert!(reserve().expect("a reserve") > 13 << 20);
    bench
        .apply(&bench.plan([put("/etc/app.conf", "smaller\n")]))
        .expect("applied");
    assert!(reserve().expect("a reserve") < 5 << 20);
}

#[test]
fn one_file_that_is_refused_does_not_take_back_the_others_of_its_rule() {
    let bench = Bench::new();
    let open = bench.path("/etc/app.conf");
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o666)).expect("a mode");
    let effects = [
        (0, set_mode("/etc/app.conf", 0o664)),
        (1, remove("/etc/machine-id")),
    ];
    let mut plan = bench.plan_in_sets(effects);
    for action in &mut plan.actions {
        action.serves = vec!["one-rule".to_owned()];
    }
    let verify = |_: &Plan| Verdict {
        failed: vec![("one-rule".to_owned(), "a file is left".to_owned())],
        ..Verdict::default()
    };
    let (applied, _) = bench.apply_with(&plan, CrashPoints::none(), &verify);
    let applied = applied.expect("an end");
    let Applied::PartlyTakenBack { why, .. } = applied else {
        panic!("{applied:?}");
    };
    assert!(
        why[0].contains("machine-id") && why[1].contains("a file is left"),
        "{why:?}"
    );
    assert_eq!(open.metadata().expect("metadata").mode() & 0o7777, 0o664);
}

/// A mount that goes with the test.
struct Mounted {
    path: std::path::PathBuf,
    _folder: Option<tempfile::TempDir>,
}

impl Mounted {
    fn tmpfs() -> Self {
        let folder =
            tempfile::TempDir::with_prefix_in("steadfast-test-", "/run").expect("a folder");
        let path = folder.path().join("disk");
        std::fs::create_dir(&path).expect("a directory");
        let flags = MountFlags::empty();
        rustix::mount::mount("none", &path, "tmpfs", flags, c"size=64m,mode=0755")
            .expect("mounted");
        Self {
            path,
            _folder: Some(folder),
        }
    }

    fn bound(path: &Path) -> Self {
        rustix::mount::mount_bind(path, path).expect("bound");
        Self {
            path: path.to_owned(),
            _folder: None,
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.path, UnmountFlags::DETACH);
    }
}

/// Sets flags of chattr(1); false where the file system has none.
fn set_flags(path: &Path, flags: IFlags) -> bool {
    let fd = rustix::fs::open(path, OFlags::RDONLY, rustix::fs::Mode::empty()).expect("opened");
    rustix::fs::ioctl_setflags(&fd, flags).is_ok()
}

fn outlook(bench: &Bench, plan: &Plan) -> Vec<Outlook> {
    let said = host::outlook(
        &bench.host(),
        &bench.state,
        plan,
        &std::collections::BTreeSet::new(),
    )
    .expect("a look");
    said.into_values().collect()
}

/// What is refused costs its own set, leaves everything as it was, and names the cause.
#[track_caller]
fn refused(bench: &Bench, effect: Effect, cause: &str) {
    let before = bench.snapshot();
    let plan = bench.plan([effect]);
    // A plan that is made from the host says so already.
    let said = outlook(bench, &plan);
    let [Outlook::Impossible(why)] = &said[..] else {
        panic!("{cause}: {said:?}");
    };
    assert!(
        why.contains(cause) && why.starts_with('/'),
        "{cause}: {why}"
    );
    let applied = bench.apply(&plan).expect("an end");
    let Applied::TakenBack {
        why,
        verified: true,
        ..
    } = applied
    else {
        panic!("{applied:?}");
    };
    assert!(
        why.iter().any(|why| why.contains(cause)),
        "{cause}: {why:?}"
    );
    assert_same(&before, &bench.snapshot(), cause);
}

#[test]
fn what_can_not_be_put_back_is_refused_before_anything_is_touched() {
    if !is_root() {
        return skip("needs root to mount, and to set flags");
    }
    let bench = Bench::new();
    std::fs::write(bench.path("/etc/machine-id"), "0123456789abcdef\n").expect("a file");
    refused(&bench, put("/etc/machine-id", "other\n"), "journal");
    let bound = Mounted::bound(&bench.path("/etc/app.conf"));
    refused(&bench, put("/etc/app.conf", "new\n"), "mounted on it");
    drop(bound);
    let file = bench.path("/etc/open.conf");
    if set_flags(&file, IFlags::IMMUTABLE) {
        refused(&bench, put("/etc/open.conf", "new\n"), "chattr +i");
        refused(&bench, set_mode("/etc/open.conf", 0o600), "chattr +i");
        assert!(set_flags(&file, IFlags::APPEND));
        refused(&bench, remove("/etc/open.conf"), "chattr +a");
        assert!(set_flags(&file, IFlags::empty()));
        assert!(set_flags(&bench.path("/etc/app.d"), IFlags::IMMUTABLE));
        refused(&bench, put("/etc/app.d/new", "x"), "directory is immutable");
        assert!(set_flags(&bench.path("/etc/app.d"), IFlags::empty()));
    }
    std::fs::hard_link(bench.path("/etc/app.conf"), bench.path("/etc/second")).expect("a link");
    refused(&bench, put("/etc/app.conf", "new\n"), "2 names");
    std::fs::remove_file(bench.path("/etc/second")).expect("removed");
    refused(&bench, put("/etc/app.conf/x", "new\n"), "not a directory");
    let root = Mounted::bound(&bench.root);
    let flags = MountFlags::RDONLY | MountFlags::BIND;
    rustix::mount::mount_remount(&root.path, flags, c"").expect("read-only");
    refused(&bench, put("/etc/app.conf", "new\n"), "read-only");
}

/// There is nothing to put back, and nobody is needed for it; it is not called as before.
#[test]
fn a_file_that_somebody_deletes_before_its_mode_is_set_needs_no_person() {
    let bench = Bench::new();
    let file = bench.path("/etc/app.conf");
    let plan = bench.plan([set_mode("/etc/app.conf", 0o600)]);
    let gone = file.clone();
    let crash = CrashPoints::calling(move |point| {
        if point == "imaged" {
            std::fs::remove_file(&gone).expect("removed");
        }
    });
    let (applied, _) = bench.apply_with(&plan, crash, &|_| Verdict::default());
    let applied = applied.expect("an end");
    assert!(
        matches!(
            &applied,
            Applied::TakenBack {
                verified: true,
                seen: false,
                ..
            }
        ),
        "{applied:?}"
    );
    assert!(!file.exists());
}

/// Nothing is made where the kernel keeps its own things, nor in our state, whatever its path is, nor
/// behind a link that the plan itself makes.
#[test]
fn places_where_no_file_can_be_put_are_known_when_it_is_planned() {
    if !is_root() {
        return skip("needs root to mount");
    }
    let bench = Bench::new();
    let told = |effects: Vec<Effect>, cause: &str| {
        let said = outlook(&bench, &bench.plan(effects));
        let found = said.iter().any(|one| {
            matches!(one, Outlook::Impossible(why) if why.contains(cause) && why.starts_with('/'))
        });
        assert!(found, "{cause}: {said:?}");
    };
    let place = bench.path("/etc/app.d");
    rustix::mount::mount("proc", &place, "proc", MountFlags::empty(), None).expect("mounted");
    let mounted = Mounted {
        path: place.clone(),
        _folder: None,
    };
    let value = "/etc/app.d/sys/net/ipv4/ip_default_ttl";
    told(vec![put(value, "63\n")], "the kernel's own (proc)");
    drop(mounted);

    std::fs::create_dir_all(bench.state.join("inner/most")).expect("directories");
    std::fs::write(bench.state.join("inner/file"), "x").expect("a file");
    let cause = "own state directory";
    rustix::mount::mount_bind(&bench.state, &place).expect("bound");
    let mounted = Mounted {
        path: place.clone(),
        _folder: None,
    };
    told(vec![put("/etc/app.d/journal.db", "x")], cause);
    told(vec![put("/etc/app.d/inner/most/new", "x")], cause);
    drop(mounted);
    rustix::mount::mount_bind(bench.state.join("inner"), &place).expect("bound");
    let mounted = Mounted {
        path: place,
        _folder: None,
    };
    told(vec![put("/etc/app.d/file", "x")], cause);
    drop(mounted);
    assert_eq!(
        outlook(&bench, &bench.plan([put("/etc/app.d/file", "x")])),
        []
    );

    told(
        vec![link("/etc/ld1", "/etc/app.d"), put("/etc/ld1/inside", "x")],
        "is a link that this plan makes",
    );
}

/// Cases F14 and A14 of 2026-11-30.
#[test]
fn a_look_at_the_host_tells_missing_directories_and_lost_privilege() {
    let bench = Bench::new();
    let absent = outlook(&bench, &bench.plan([put("/etc/none/x", "x\n")]));
    let [Outlook::Impossible(why)] = &absent[..] else {
        panic!("{absent:?}");
    };
    assert!(why.contains("there is no /etc/none"), "{why}");
    let directory = Effect::MakeDir {
        path: HostPath::literal("/etc/none"),
        mode: Mode::new(0o755),
        owner: None,
        group: None,
        as_user: None,
    };
    let made = bench.plan([directory, put("/etc/none/x", "x\n")]);
    assert_eq!(outlook(&bench, &made), []);
    let set_id = bench.path("/etc/app.conf");
    std::fs::set_permissions(&set_id, PermissionsExt::from_mode(0o4755)).expect("a mode");
    let mut new = bench.plan([put("/etc/app.conf", "x\n")]);
    let said = outlook(&bench, &new);
    let [Outlook::Drops(what)] = &said[..] else {
        panic!("{said:?}");
    };
    assert!(what.contains("set-user-ID bit"), "{what}");
    let Effect::PutFile { mode, .. } = &mut new.actions[0].effect else {
        panic!("a file");
    };
    *mode = Some(Mode::new(0o4755));
    // Who says the mode means it.
    assert_eq!(outlook(&bench, &new), []);
}

#[test]
fn steadfasts_own_state_is_no_target() {
    let bench = Bench::new();
    let inside = Bench::inside(&bench.root);
    let own = Bench::at(&bench.root, &bench.root.join("state"));
    if is_root() {
        return skip("root's state does not lie below `/tmp`");
    }
    drop(inside);
    drop(own.open());
    let applied = own
        .apply(&own.plan([put("/state/journal.db", "x")]))
        .expect("an end");
    assert!(matches!(applied, Applied::TakenBack { .. }), "{applied:?}");
}

#[test]
fn flags_of_chattr_are_kept_by_a_change_and_by_its_undo() {
    let bench = Bench::new();
    let flags = IFlags::NOATIME | IFlags::NODUMP;
    let path = bench.path("/etc/app.conf");
    if !set_flags(&path, flags) {
        return skip("the file system has no flags");
    }
    let has = || {
        let fd =
            rustix::fs::open(&path, OFlags::RDONLY, rustix::fs::Mode::empty()).expect("opened");
        rustix::fs::ioctl_getflags(&fd).expect("flags") & flags
    };
    bench
        .apply(&bench.plan([put("/etc/app.conf", "new\n")]))
        .expect("applied");
    assert_eq!(has(), flags);
    bench.undo(1, CrashPoints::none()).expect("undone");
    assert_eq!(has(), flags);
    // A file that was removed is made anew, with its flags.
    bench
        .apply(&bench.plan([remove("/etc/app.conf")]))
        .expect("applied");
    bench.undo(2, CrashPoints::none()).expect("undone");
    assert_eq!(has(), flags);
}

#[test]
fn an_empty_journal_beside_what_changes_left_is_damage() {
    let bench = Bench::new();
    bench
        .apply(&bench.plan([remove("/etc/gone.conf")]))
        .expect("applied");
    for name in ["journal.db-wal", "journal.db-shm"] {
        let _ = std::fs::remove_file(bench.state.join(name));
    }
    let open = || State::open(&bench.state, Create::Yes).map(drop);
    std::fs::write(bench.state.join("journal.db"), "").expect("emptied");
    assert!(matches!(open(), Err(StateError::LostJournal(_))));
    std::fs::remove_file(bench.state.join("journal.db")).expect("removed");
    assert!(matches!(open(), Err(StateError::LostJournal(_))));
    assert!(!bench.state.join("journal.db").exists(), "nothing was made");
}

#[test]
fn a_first_run_that_was_cut_short_is_no_damage() {
    let bench = Bench::new();
    drop(bench.open());
    std::fs::remove_file(bench.state.join("journal.db")).expect("removed");
    assert!(State::open(&bench.state, Create::Yes).is_ok());
}
