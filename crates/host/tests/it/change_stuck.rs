//! A taking back that did not work out: nothing is claimed of it that was not looked at, it is
//! tried again, and a person has ways to end it.

use std::time::Duration;

use host::{Applied, CrashPoints, LookError, UndoError, Undone, Verdict};
use jiff::Timestamp;
use model::{ChangeId, ChangeState, Risk};

use crate::bench::{Bench, assert_same, options, put, remove};

const ID: ChangeId = ChangeId(1);

/// A change that failed, and whose taking back failed too: the removed file's only copy was out of
/// reach meanwhile. Gives what brings it back.
fn stuck(bench: &Bench) -> impl Fn() + use<> {
    stuck_of(bench, Risk::default())
}

fn stuck_of(bench: &Bench, risk: Risk) -> impl Fn() + use<> {
    let mut plan = bench.plan(vec![
        remove("/etc/gone.conf"),
        put("/etc/app.conf", "new\n"),
    ]);
    plan.actions[0].risk = risk;
    let restore = std::cell::RefCell::new(None);
    let (applied, _) = bench.apply_with(&plan, CrashPoints::none(), &|_| {
        *restore.borrow_mut() = Some(bench.lose_image("soon gone\n"));
        Verdict {
            failed: vec![("rule-1".to_owned(), "it is not".to_owned())],
            ..Verdict::default()
        }
    });
    assert!(
        matches!(applied, Ok(Applied::NeedsHuman { .. })),
        "{applied:?}"
    );
    assert!(!bench.path("/etc/gone.conf").exists());
    restore.into_inner().expect("it was verified")
}

fn state_of(bench: &Bench) -> ChangeState {
    let record = bench.open().change(ID).expect("a record");
    record.header.change.state
}

/// Case A1: the second undo said "the host is as it was before it" and did nothing.
#[test]
fn an_undo_tries_what_a_failed_roll_back_left() {
    let bench = Bench::new();
    let before = bench.snapshot();
    let restore = stuck(&bench);
    let now = bench.snapshot();
    match bench.undo(1, CrashPoints::none()) {
        Err(error @ UndoError::NoImage { .. }) => {
            assert!(error.to_string().contains("change c-1"), "{error}");
            assert!(error.to_string().contains("`/etc/gone.conf`"), "{error}");
        }
        other => panic!("not refused: {other:?}"),
    }
    assert_same(&now, &bench.snapshot(), "nothing was touched");
    assert_eq!(state_of(&bench), ChangeState::NeedsHuman);
    restore();
    let undone = bench.undo(1, CrashPoints::none());
    assert!(
        matches!(&undone, Ok(Undone::Done { proof: Some(_), .. })),
        "{undone:?}"
    );
    assert_same(&before, &bench.snapshot(), "as it was");
    assert_eq!(state_of(&bench), ChangeState::Undone);
}

/// It was not in effect before, and so it is not "in effect again".
#[test]
fn an_undo_that_nobody_confirms_leaves_a_stuck_change_as_it_was() {
    let bench = Bench::new();
    let restore = stuck_of(&bench, Risk::Connectivity);
    restore();
    let before = bench.snapshot();
    let options = host::ApplyOptions {
        confirm_within: Duration::from_millis(200),
        ..options()
    };
    let undone = host::undo(&bench.host(), &bench.open(), ID, &options, &mut |_| {});
    assert!(
        matches!(
            &undone,
            Ok(Undone::TakenBack {
                now: ChangeState::NeedsHuman,
                seen: true,
                ..
            })
        ),
        "{undone:?}"
    );
    assert_same(&before, &bench.snapshot(), "as before the undo");
    assert_eq!(state_of(&bench), ChangeState::NeedsHuman);
}

fn look(bench: &Bench) -> Result<Vec<host::Difference>, LookError> {
    let wait = Duration::from_secs(5);
    host::look_again(&bench.host(), &bench.open(), ID, Timestamp::now(), wait)
}

#[test]
fn looking_again_says_what_differs_and_ends_it_when_nothing_does() {
    let bench = Bench::new();
    let restore = stuck(&bench);
    let differences = look(&bench).expect("looked at");
    assert_eq!(differences.len(), 1, "{differences:?}");
    assert_eq!(differences[0].what, "/etc/gone.conf");
    assert_eq!(state_of(&bench), ChangeState::NeedsHuman);
    restore();
    assert!(bench.undo(1, CrashPoints::none()).is_ok());
    assert!(matches!(look(&bench), Err(LookError::NeedsNobody { .. })));
}

#[test]
fn kept_as_it_is_names_who_decided_and_can_still_be_undone() {
    let bench = Bench::new();
    let before = bench.snapshot();
    let restore = stuck(&bench);
    let (host, state) = (bench.host(), bench.open());
    let wait = Duration::from_secs(5);
    let kept = host::keep_as_it_is(&host, &state, ID, "ana", Timestamp::now(), wait);
    assert_eq!(kept.expect("kept").len(), 1);
    let record = state.change(ID).expect("a record");
    assert_eq!(record.header.change.state, ChangeState::KeptAsItIs);
    let note = record.header.change.note.expect("a note");
    assert!(note.starts_with("kept as it is by ana at "), "{note}");
    assert!(state.unended().expect("a list").is_empty());
    drop(state);
    restore();
    assert!(bench.undo(1, CrashPoints::none()).is_ok());
    assert_same(&before, &bench.snapshot(), "as it was");
}

/// Case A13: two of three were put back before it was noticed.
#[test]
fn a_missing_before_image_is_noticed_before_anything_is_touched() {
    let bench = Bench::new();
    let plan = bench.plan(vec![
        put("/etc/app.conf", "new\n"),
        remove("/etc/gone.conf"),
        put("/etc/open.conf", "closed\n"),
    ]);
    assert!(matches!(bench.apply(&plan), Ok(Applied::Committed(_))));
    let restore = bench.lose_image("soon gone\n");
    let now = bench.snapshot();
    let refused = bench.undo(1, CrashPoints::none());
    assert!(
        matches!(refused, Err(UndoError::NoImage { .. })),
        "{refused:?}"
    );
    assert_same(&now, &bench.snapshot(), "nothing was touched");
    restore();
    // Bytes that are not those of its name are as good as none.
    let name = model::Digest::of(b"soon gone\n").to_string();
    let image = bench.state.join("images").join(name);
    std::fs::write(&image, "soon lost\n").expect("damaged");
    let refused = bench.undo(1, CrashPoints::none());
    assert!(
        matches!(refused, Err(UndoError::NoImage { .. })),
        "{refused:?}"
    );
    std::fs::write(&image, "soon gone\n").expect("mended");
    assert!(bench.undo(1, CrashPoints::none()).is_ok());
}
