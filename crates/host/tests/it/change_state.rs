//! The state directory, the journal and the lock: what is trusted, and what is refused.

use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::time::Duration;

use host::state::trust_as_roots;
use host::{Applied, ApplyError, ApplyOptions, Create, State, StateError, Verdict};
use model::Digest;

use crate::bench::{Bench, is_root, options, put, skip};

fn open_to_others(path: &std::path::Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let bench = Bench::new();
    drop(bench.open());
    let parent = bench.state.parent().expect("a parent").to_owned();
    for (path, mode) in [
        (bench.state.clone(), 0o777),
        (bench.state.clone(), 0o770),
        (parent, 0o777),
    ] {
        open_to_others(&path, mode);
        match State::open(&bench.state, Create::No) {
            Err(error @ StateError::Untrusted { .. }) => {
                // The folder that was named, and what is wrong with it or above it.
                let said = error.to_string();
                for named in [&bench.state, &path] {
                    let named = format!("`{}`", named.display());
                    assert!(said.contains(&named), "{named}: {said}");
                }
            }
            other => panic!("{} {mode:o}: {other:?}", path.display()),
        }
        open_to_others(&path, 0o700);
    }
    for file in ["key", "journal.db", "images"] {
        let path = bench.state.join(file);
        open_to_others(&path, 0o644);
        let opened = State::open(&bench.state, Create::No);
        assert!(
            matches!(opened, Err(StateError::Untrusted { .. })),
            "{file}"
        );
        open_to_others(&path, if file == "images" { 0o700 } else { 0o600 });
    }
    assert!(State::open(&bench.state, Create::No).is_ok());
}

#[test]
fn a_directory_of_another_account_is_refused() {
    if !is_root() {
        return skip("needs root to give a directory away");
    }
    let bench = Bench::new();
    drop(bench.open());
    std::os::unix::fs::chown(&bench.state, Some(4242), None).expect("given away");
    assert!(matches!(
        State::open(&bench.state, Create::No),
        Err(StateError::Untrusted { .. })
    ));
}

#[test]
fn a_missing_directory_is_not_made_unless_asked() {
    let bench = Bench::new();
    assert!(matches!(
        State::open(&bench.state, Create::No),
        Err(StateError::Missing(_))
    ));
    assert!(!bench.state.exists());
}

#[test]
fn a_journal_that_this_host_did_not_write_is_refused() {
    let bench = Bench::new();
    bench
        .apply(&bench.plan([put("/etc/app.conf", "new\n")]))
        .expect("applied");
    let elsewhere = Some(Digest::of(b"another machine"));
    assert!(
        State::open_for(&bench.state, Create::No, elsewhere).is_err(),
        "a state directory that was carried to another machine"
    );
    let other = Bench::new();
    drop(other.open());
    std::fs::copy(
        bench.state.join("journal.db"),
        other.state.join("journal.db"),
    )
    .expect("copied");
    assert!(
        State::open(&other.state, Create::No).is_err(),
        "a journal that was carried to another state directory"
    );
    std::fs::remove_file(bench.state.join("key")).expect("removed");
    assert!(
        State::open(&bench.state, Create::No).is_err(),
        "a journal without its key"
    );
}

#[test]
fn an_altered_journal_is_refused() {
    let cases = [
        "UPDATE record SET body = replace(body, 'committed', 'applying') WHERE kind = 'change'",
        "UPDATE record SET body = replace(body, 'app.conf', 'open.conf') WHERE kind = 'image'",
        "DELETE FROM record WHERE kind = 'image' AND key LIKE '%app.conf%'",
        "DELETE FROM record WHERE kind = 'action'",
        "UPDATE record SET change = 7 WHERE kind = 'change'",
        "UPDATE record SET mac = zeroblob(32) WHERE kind = 'plan'",
    ];
    for sql in cases {
        let bench = Bench::new();
        bench
            .apply(&bench.plan([put("/etc/app.conf", "new\n")]))
            .expect("applied");
        let journal = rusqlite::Connection::open(bench.state.join("journal.db")).expect("opens");
        let changed = journal.execute(sql, []).expect("altered");
        assert!(changed > 0, "{sql}");
        drop(journal);
        let read = State::open(&bench.state, Create::No)
            .and_then(|state| state.change(model::ChangeId(1)));
        assert!(read.is_err(), "{sql}");
        assert_eq!(bench.read("/etc/app.conf"), "new\n");
    }
}

#[test]
fn a_damaged_before_image_is_never_put_back() {
    let bench = Bench::new();
    bench
        .apply(&bench.plan([put("/etc/app.conf", "new\n")]))
        .expect("applied");
    let before = bench
        .state
        .join("images")
        .join(Digest::of(b"one = 1\ntwo = 2\nthree = 3\n").to_string());
    std::fs::write(&before, "planted\n").expect("damaged");
    let undone = bench.undo(1, host::CrashPoints::none());
    assert!(
        matches!(undone, Ok(host::Undone::NeedsHuman { .. }) | Err(_)),
        "{undone:?}"
    );
    assert_eq!(bench.read("/etc/app.conf"), "new\n");
}

#[test]
fn two_applies_never_interleave() {
    let bench = Bench::new();
    let second_state = bench.state.with_file_name("second");
    let (inside, is_inside) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let verify = move |_: &model::Plan| {
                inside.send(()).expect("the test waits");
                may_go_on.recv().expect("the test goes on");
                Verdict::default()
            };
            let plan = bench.plan([put("/etc/app.conf", "first\n")]);
            bench
                .apply_with(&plan, host::CrashPoints::none(), &verify)
                .0
        });
        is_inside.recv().expect("the first apply is at work");
        let options = ApplyOptions {
            lock_wait: Duration::from_millis(100),
            ..options()
        };
        let state = State::open(&second_state, Create::Yes).expect("another state directory");
        let plan = bench.plan([put("/etc/app.conf", "second\n")]);
        let host = bench.host();
        let verify = |_: &model::Plan| Verdict::default();
        match host::apply(&host, &state, &plan, &options, &verify, &mut |_| {}) {
            Err(ApplyError::Lock(host::lock::LockError::Held { holder })) => {
                assert_eq!(holder, Some(std::process::id()));
            }
            other => panic!("not refused: {other:?}"),
        }
        go_on.send(()).expect("the first apply waits");
        let first = first.join().expect("no panic").expect("applied");
        assert!(matches!(first, Applied::Committed(_)));
        assert_eq!(bench.read("/etc/app.conf"), "first\n");
        // Free again.
        let second = host::apply(&host, &state, &plan, &options, &verify, &mut |_| {});
        assert!(matches!(second, Ok(Applied::Committed(_))), "{second:?}");
    });
}

/// Where SQLite keeps `user_version` (sqlite.org/fileformat2.html, 1.3).
const FORM_AT: usize = 63;

fn set_form(bench: &Bench, form: u8) {
    let path = bench.state.join("journal.db");
    let mut bytes = std::fs::read(&path).expect("a journal");
    bytes[FORM_AT] = form;
    std::fs::write(&path, bytes).expect("written");
}

fn form(bench: &Bench) -> u8 {
    std::fs::read(bench.state.join("journal.db")).expect("a journal")[FORM_AT]
}

#[test]
fn a_journal_of_an_older_form_is_read_and_of_a_newer_one_refused() {
    let bench = Bench::new();
    drop(bench.open());
    assert_eq!(form(&bench), 2);
    // Plans without stages are as they were.
    set_form(&bench, 1);
    let state = bench.open();
    assert_eq!(state.history().expect("it is read"), []);
    drop(state);
    assert_eq!(form(&bench), 1, "reading changes nothing");
    let plan = bench.plan(vec![put("/etc/one", "one")]);
    bench.apply(&plan).expect("applied");
    assert_eq!(form(&bench), 2, "an older steadfast is to refuse it now");
    set_form(&bench, 3);
    let error = State::open(&bench.state, Create::No).map(drop);
    let said = error.expect_err("it is newer").to_string();
    assert!(said.contains("a newer steadfast (its form is 3)"), "{said}");
}

/// Who owns a link on the way decides what is read through it, whatever it leads to now.
#[test]
fn what_others_lead_to_is_not_roots() {
    use std::os::unix::fs::{chown, lchown, symlink};
    if !is_root() {
        return skip("needs root to own directories as two accounts");
    }
    let top = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let path = |below: &str| top.path().join(below);
    for folder in ["policy", "bob"] {
        std::fs::create_dir(path(folder)).expect("made");
        open_to_others(&path(folder), 0o755);
    }
    open_to_others(top.path(), 0o755);
    std::fs::write(path("policy/patches.yaml"), "checks: []\n").expect("written");
    symlink("policy", path("current")).expect("a link");
    if trust_as_roots(top.path()).is_err() {
        return skip("needs a target directory that is root's alone");
    }
    symlink(path("policy"), path("bob/policy")).expect("a link");
    lchown(path("bob/policy"), Some(4242), Some(4242)).expect("given away");
    chown(path("bob"), Some(4242), Some(4242)).expect("given away");
    for (below, wanted) in [
        ("policy/patches.yaml", true),
        ("current/patches.yaml", true),
        ("policy/../policy/patches.yaml", true),
        ("current/../policy/patches.yaml", true),
        ("bob/policy/patches.yaml", false),
        ("bob/policy/../policy/patches.yaml", false),
        ("bob/../policy/patches.yaml", false),
        ("policy/none.yaml", false),
    ] {
        let trusted = trust_as_roots(&path(below));
        assert_eq!(trusted.is_ok(), wanted, "{below}: {trusted:?}");
    }
}
