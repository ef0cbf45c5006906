//! An undo that could cut people off stays only when somebody confirms it. Unconfirmed,
//! interrupted or killed at any point, it ends in the change being in effect again, to the
//! last modification time.

use std::time::Duration;

use host::{ApplyOptions, CrashPoints, Event, Guard, Recovery, UndoError, Undone, Verdict};
use jiff::Timestamp;
use model::{ChangeId, ChangeState, Risk};

use crate::bench::{Bench, Snapshot, assert_same, make_dir, options, put, remove};
use crate::change_crash::{effects, kill_at};

/// Applies and confirms a change of risk `connectivity` with every effect on files.
fn changed() -> (Bench, Snapshot) {
    changed_by(effects())
}

/// Enough for the sweeps: a file that was there, a directory and a file that were not, and one
/// that goes.
fn changed_a_little() -> (Bench, Snapshot) {
    changed_by(vec![
        put("/etc/app.conf", "one = 1\ntwo = 22\nthree = 3\n"),
        make_dir("/etc/new.d"),
        put("/etc/new.d/20-b.conf", "b\n"),
        remove("/etc/gone.conf"),
    ])
}

fn changed_by(effects: Vec<model::Effect>) -> (Bench, Snapshot) {
    let bench = Bench::new();
    let mut plan = bench.plan(effects);
    plan.actions[0].risk = Risk::Connectivity;
    let applied = host::apply(
        &bench.host(),
        &bench.open(),
        &plan,
        &options(),
        &|_| Verdict::default(),
        &mut confirming(&bench),
    );
    assert!(
        matches!(applied, Ok(host::Applied::Committed(_))),
        "{applied:?}"
    );
    let after = bench.snapshot();
    (bench, after)
}

/// Confirms the first time that something waits.
fn confirming(bench: &Bench) -> impl FnMut(Event) {
    let mut confirmed = false;
    move |event| {
        if let Event::Waiting { .. } = event
            && !confirmed
        {
            confirmed = true;
            let now = Timestamp::now();
            host::confirm(&bench.host(), &bench.open(), ChangeId(1), "a test", now)
                .expect("confirmed");
        }
    }
}

fn undo(
    bench: &Bench,
    options: &ApplyOptions<'_>,
    sink: &mut dyn FnMut(Event),
) -> Result<Undone, UndoError> {
    host::undo(&bench.host(), &bench.open(), ChangeId(1), options, sink)
}

fn soon() -> ApplyOptions<'static> {
    ApplyOptions {
        confirm_within: Duration::from_millis(200),
        ..options()
    }
}

fn state(bench: &Bench) -> ChangeState {
    bench.open().history().expect("a history")[0].state
}

/// In the sweeps below, run in a process that is killed. The rest of the way, from the waiting
/// on, is that of a recovery.
pub fn begin(bench: &Bench, crash: CrashPoints) {
    let options = ApplyOptions {
        crash,
        detach: true,
        ..options()
    };
    let undone = undo(bench, &options, &mut |_| {}).expect("it runs");
    assert!(
        matches!(undone, Undone::AwaitingConfirmation(..)),
        "{undone:?}"
    );
}

/// The same, for a recovery that comes after the deadline.
pub fn recover_late(bench: &Bench, crash: &CrashPoints) -> Vec<host::Recovered> {
    host::recover(
        &bench.host(),
        &bench.open(),
        Timestamp::now() + Duration::from_secs(3600),
        Duration::from_secs(5),
        crash,
        &mut |_| {},
    )
    .expect("recovery runs")
}

/// The change is in effect as it was, and can be undone as if nothing had been.
#[track_caller]
fn expect_in_effect(bench: &Bench, after: &Snapshot, at: &str) {
    assert_same(after, &bench.snapshot(), at);
    assert_eq!(state(bench), ChangeState::Committed, "{at}");
    let pending = bench.open().pending().expect("a list");
    assert!(pending.is_empty(), "{at}: {pending:?}");
}

#[test]
fn a_confirmed_undo_stays() {
    let bench = Bench::new();
    let before = bench.snapshot();
    drop(bench);
    let (bench, _) = changed();
    let undone = undo(&bench, &options(), &mut confirming(&bench));
    assert!(
        matches!(&undone, Ok(Undone::Done { merged, .. }) if merged.is_empty()),
        "{undone:?}"
    );
    assert_same(&before, &bench.snapshot(), "undone");
    assert_eq!(state(&bench), ChangeState::Undone);
    let change = bench.open().history().expect("a history").remove(0);
    let note = change.note.unwrap_or_default();
    assert!(note.contains("confirmed by a test"), "{note}");
}

#[test]
fn an_undo_that_nobody_confirms_is_taken_back() {
    let (bench, after) = changed();
    let undone = undo(&bench, &soon(), &mut |_| {});
    assert!(matches!(undone, Ok(Undone::TakenBack { .. })), "{undone:?}");
    expect_in_effect(&bench, &after, "unconfirmed");
    let change = bench.open().history().expect("a history").remove(0);
    let note = change.note.unwrap_or_default();
    assert!(note.contains("nobody confirmed"), "{note}");
    // It can be undone again, and this time it is confirmed.
    let undone = undo(&bench, &options(), &mut confirming(&bench));
    assert!(matches!(undone, Ok(Undone::Done { .. })), "{undone:?}");
}

#[test]
fn an_interrupt_takes_the_undo_back() {
    let (bench, after) = changed();
    let waiting = std::cell::Cell::new(false);
    let interrupted = || waiting.get();
    let options = ApplyOptions {
        interrupted: &interrupted,
        ..options()
    };
    let undone = undo(&bench, &options, &mut |event| {
        waiting.set(waiting.get() || matches!(event, Event::Waiting { .. }));
    });
    assert!(matches!(undone, Ok(Undone::TakenBack { .. })), "{undone:?}");
    expect_in_effect(&bench, &after, "interrupted");
}

#[test]
fn without_a_guard_the_undo_is_refused() {
    let (bench, after) = changed();
    let options = ApplyOptions {
        guard: Guard::None {
            why: "no systemd here".to_owned(),
        },
        ..options()
    };
    let undone = undo(&bench, &options, &mut |_| {});
    assert!(matches!(undone, Err(UndoError::NoGuard(_))), "{undone:?}");
    expect_in_effect(&bench, &after, "refused");
}

/// What somebody else wrote since is there again, too.
#[test]
fn what_others_changed_since_comes_back_as_well() {
    let (bench, _) = changed();
    let path = bench.path("/etc/app.conf");
    let text = std::fs::read_to_string(&path).expect("a file") + "four = 4\n";
    std::fs::write(&path, text).expect("it is written");
    let since = bench.snapshot();
    let mut between = String::new();
    let undone = undo(&bench, &soon(), &mut |event| {
        if let Event::Waiting { .. } = event {
            between = bench.read("/etc/app.conf");
        }
    });
    assert_eq!(between, "one = 1\ntwo = 2\nthree = 3\nfour = 4\n");
    assert!(matches!(undone, Ok(Undone::TakenBack { .. })), "{undone:?}");
    expect_in_effect(&bench, &since, "merged");
}

/// The process that waits dies; what runs later decides by the deadline.
#[test]
fn recovery_takes_the_undo_back_past_its_deadline() {
    let (bench, after) = changed();
    let detached = ApplyOptions {
        detach: true,
        ..options()
    };
    let undone = undo(&bench, &detached, &mut |_| {});
    assert!(
        matches!(undone, Ok(Undone::AwaitingConfirmation(..))),
        "{undone:?}"
    );
    let early = bench.recover(&CrashPoints::none());
    assert!(
        matches!(early[0].outcome, Recovery::StillAwaiting { .. }),
        "{early:?}"
    );
    let late = recover_late(&bench, &CrashPoints::none());
    assert!(
        matches!(late[0].outcome, Recovery::UndoTakenBack { .. }),
        "{late:?}"
    );
    expect_in_effect(&bench, &after, "past the deadline");
}

#[test]
fn killed_at_every_point_of_an_undo_that_nobody_confirms() {
    let mut nth = 1;
    loop {
        let (bench, after) = changed_a_little();
        if !kill_at(&bench, "guarded-undo", nth) {
            break;
        }
        let recovered = recover_late(&bench, &CrashPoints::none());
        let at = format!("undo, point {nth}: {recovered:?}");
        expect_in_effect(&bench, &after, &at);
        for one in &recovered {
            assert!(
                matches!(one.outcome, Recovery::UndoTakenBack { .. }),
                "{at}"
            );
        }
        nth += 1;
    }
    assert!(nth > 15, "only {nth} points were tried");
}

#[test]
fn killed_at_every_point_of_taking_an_undo_back() {
    let mut nth = 1;
    loop {
        let (bench, after) = changed_a_little();
        begin(&bench, CrashPoints::none());
        if !kill_at(&bench, "recover-late", nth) {
            break;
        }
        let recovered = recover_late(&bench, &CrashPoints::none());
        let at = format!("recovery, point {nth}: {recovered:?}");
        expect_in_effect(&bench, &after, &at);
        nth += 1;
    }
    assert!(nth > 10, "only {nth} points were tried");
}

#[test]
fn the_points_of_an_undo_are_passed() {
    let (bench, _) = changed();
    let passed = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let list = std::sync::Arc::clone(&passed);
    let crash = CrashPoints::calling(move |name| {
        list.lock()
            .expect("no panic holds it")
            .push(name.to_owned());
    });
    let options = ApplyOptions { crash, ..soon() };
    undo(&bench, &options, &mut |_| {}).expect("it runs");
    let passed = passed.lock().expect("no panic holds it");
    for point in ["undo guarded", "undoing", "redoing", "redone"] {
        assert!(passed.iter().any(|name| name == point), "{passed:?}");
    }
}
