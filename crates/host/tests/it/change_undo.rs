//! Undo: byte for byte, or only our own lines, or a refusal.

use host::{Applied, CrashPoints, Left, UndoError, Undone};
use model::{ChangeId, ChangeState, Effect};

use crate::bench::{Bench, every_file_effect, make_dir, put, set_mode};

fn committed(bench: &Bench, effects: Vec<Effect>) -> u64 {
    match bench.apply(&bench.plan(effects)) {
        Ok(Applied::Committed(id)) => id.0,
        other => panic!("not committed: {other:?}"),
    }
}

/// Nothing but what was looked at makes a proof.
#[track_caller]
fn assert_proven(undone: &Undone) {
    match undone {
        Undone::Done {
            merged,
            proof: Some(_),
            left,
            ..
        } => assert!(merged.is_empty() && **left == Left::default(), "{undone:?}"),
        other => panic!("not as it was: {other:?}"),
    }
}

#[test]
fn everything_comes_back_byte_for_byte() {
    let bench = Bench::new();
    let before = bench.snapshot();
    let id = committed(&bench, every_file_effect());
    assert_ne!(before, bench.snapshot());
    let undone = bench.undo(id, CrashPoints::none()).expect("undone");
    assert_proven(&undone);
    assert_eq!(before, bench.snapshot());
    let record = bench.open().change(ChangeId(id)).expect("a record");
    assert_eq!(record.header.change.state, ChangeState::Undone);
    assert!(matches!(
        bench.undo(id, CrashPoints::none()),
        Err(UndoError::NotCommitted { .. })
    ));
}

#[test]
fn what_others_changed_since_stays() {
    let bench = Bench::new();
    let id = committed(
        &bench,
        vec![put("/etc/app.conf", "one = 1\ntwo = 22\nthree = 3\n")],
    );
    std::fs::write(
        bench.path("/etc/app.conf"),
        "# theirs\none = 1\ntwo = 22\nthree = 3\nfour = 4\n",
    )
    .expect("written");
    let undone = bench.undo(id, CrashPoints::none()).expect("undone");
    let Undone::Done { merged, .. } = undone else {
        panic!("{undone:?}");
    };
    assert_eq!(merged.len(), 1, "said not to be byte for byte");
    assert_eq!(
        bench.read("/etc/app.conf"),
        "# theirs\none = 1\ntwo = 2\nthree = 3\nfour = 4\n"
    );
}

/// apt keeps what it read of dpkg's status as long as its time and its size are the same: after an
/// undo by lines or entries it went on with the version that was gone.
#[test]
fn what_is_merged_has_a_new_time_though_its_size_is_the_same() {
    let bench = Bench::new();
    let id = committed(
        &bench,
        vec![put("/etc/app.conf", "one = 1\ntwo = 9\nthree = 3\n")],
    );
    let path = bench.path("/etc/app.conf");
    std::fs::write(&path, "# theirs\none = 1\ntwo = 9\nthree = 3\n").expect("written");
    let metadata = || std::fs::metadata(&path).expect("a file");
    let before = metadata();
    bench.undo(id, CrashPoints::none()).expect("undone");
    let content = bench.read("/etc/app.conf");
    assert_eq!(content, "# theirs\none = 1\ntwo = 2\nthree = 3\n");
    let now = metadata();
    assert_eq!(before.len(), now.len());
    assert!(now.modified().expect("a time") > before.modified().expect("a time"));
}

#[test]
fn a_line_of_ours_that_others_changed_is_a_conflict() {
    let bench = Bench::new();
    let id = committed(
        &bench,
        vec![
            put("/etc/app.conf", "one = 1\ntwo = 22\nthree = 3\n"),
            set_mode("/etc/open.conf", 0o600),
        ],
    );
    std::fs::write(
        bench.path("/etc/app.conf"),
        "one = 1\ntwo = 222\nthree = 3\n",
    )
    .expect("written");
    let before = bench.snapshot();
    match bench.undo(id, CrashPoints::none()) {
        Err(UndoError::Conflict(obstacles)) => {
            assert_eq!(obstacles.len(), 1);
            let (left, now) = obstacles[0].difference.clone().expect("a difference");
            assert!(left.contains("22\n") && now.contains("222\n"));
        }
        other => panic!("no conflict: {other:?}"),
    }
    assert_eq!(before, bench.snapshot(), "nothing was touched");
}

#[test]
fn a_mode_that_others_changed_is_a_conflict_and_another_attribute_is_not() {
    let bench = Bench::new();
    let id = committed(&bench, vec![set_mode("/etc/open.conf", 0o600)]);
    let mode = |bits| std::os::unix::fs::PermissionsExt::from_mode(bits);
    std::fs::set_permissions(bench.path("/etc/open.conf"), mode(0o644)).expect("a mode");
    // 0644 is what was there before: nothing is left to undo.
    assert!(bench.undo(id, CrashPoints::none()).is_ok());
    let id = committed(&bench, vec![set_mode("/etc/open.conf", 0o600)]);
    std::fs::set_permissions(bench.path("/etc/open.conf"), mode(0o666)).expect("a mode");
    assert!(matches!(
        bench.undo(id, CrashPoints::none()),
        Err(UndoError::Conflict(_))
    ));
}

#[test]
fn a_directory_of_ours_that_others_use_is_a_conflict() {
    let bench = Bench::new();
    let id = committed(
        &bench,
        vec![make_dir("/etc/new.d"), put("/etc/new.d/a", "a\n")],
    );
    std::fs::write(bench.path("/etc/new.d/theirs"), "x").expect("written");
    assert!(matches!(
        bench.undo(id, CrashPoints::none()),
        Err(UndoError::Conflict(_))
    ));
    std::fs::remove_file(bench.path("/etc/new.d/theirs")).expect("removed");
    assert!(bench.undo(id, CrashPoints::none()).is_ok());
    assert!(!bench.path("/etc/new.d").exists());
}

#[test]
fn out_of_order_is_refused_by_name() {
    let bench = Bench::new();
    let first = committed(&bench, vec![put("/etc/app.conf", "first\n")]);
    let second = committed(&bench, vec![put("/etc/app.conf", "second\n")]);
    match bench.undo(first, CrashPoints::none()) {
        Err(UndoError::OutOfOrder { later, what, .. }) => {
            assert_eq!((later.0, what.as_str()), (second, "/etc/app.conf"));
        }
        other => panic!("not refused: {other:?}"),
    }
    assert!(bench.undo(second, CrashPoints::none()).is_ok());
    assert_eq!(bench.read("/etc/app.conf"), "first\n");
    assert!(bench.undo(first, CrashPoints::none()).is_ok());
}

/// A link that the change made, to a directory with other things in it, is only a link.
#[test]
fn a_link_to_a_full_directory_goes_back() {
    let bench = Bench::new();
    let before = bench.snapshot();
    let link = Effect::Link {
        path: "/etc/to-etc".parse().expect("a path"),
        target: ".".into(),
    };
    let id = committed(&bench, vec![link]);
    assert_ne!(before, bench.snapshot());
    let undone = bench.undo(id, CrashPoints::none()).expect("undone");
    assert_proven(&undone);
    assert_eq!(before, bench.snapshot());
}
