//! Before-images that are kept no longer go, and no others.

use std::time::Duration;

use host::{CrashPoints, Recovery, UndoError, Undone, expire};
use jiff::{SignedDuration, Timestamp};
use model::{ChangeId, ChangeState};
use plan::retention::Retention;

use crate::bench::{Bench, Snapshot, put};
use crate::change_crash::kill_at;

/// Keeps nothing that is a day old, but the newest change.
const STRICT: Retention = Retention {
    days: 1,
    secret_days: 1,
    newest: 1,
};

fn in_a_week() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(24 * 7)
}

/// Two changes: of both, `shared` is a before-image; only of the first, `first`.
fn changed() -> Bench {
    let bench = Bench::new();
    for (path, content) in [
        ("/etc/a.conf", "shared\n"),
        ("/etc/b.conf", "shared\n"),
        ("/etc/c.conf", "first\n"),
    ] {
        std::fs::write(bench.path(path), content).expect("a file");
    }
    let first = bench.plan([put("/etc/a.conf", "a\n"), put("/etc/c.conf", "c\n")]);
    bench.apply(&first).expect("applied");
    bench
        .apply(&bench.plan([put("/etc/b.conf", "b\n")]))
        .expect("applied");
    bench
}

fn run(bench: &Bench, rule: &Retention, crash: &CrashPoints) -> expire::Expired {
    let wait = Duration::from_secs(5);
    expire::expire(&bench.host(), &bench.open(), rule, in_a_week(), wait, crash).expect("it runs")
}

/// For the sweep below, in a process that is killed.
pub fn strictly(bench: &Bench, crash: &CrashPoints) {
    run(bench, &STRICT, crash);
}

fn contents(bench: &Bench) -> Vec<String> {
    let images = bench.open().images().directory().to_owned();
    let mut contents: Vec<String> = std::fs::read_dir(images)
        .expect("a directory")
        .filter_map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).ok())
        .collect();
    contents.sort();
    contents
}

/// The first change is gone for good, the second can be undone.
#[track_caller]
fn expect_first_expired(bench: &Bench, at: &str) {
    assert_eq!(contents(bench), ["b\n", "shared\n"], "{at}");
    match bench.undo(1, CrashPoints::none()) {
        Err(UndoError::Expired { id, .. }) => assert_eq!(id, ChangeId(1), "{at}"),
        other => panic!("{at}: {other:?}"),
    }
    let undone = bench.undo(2, CrashPoints::none());
    assert!(
        matches!(undone, Ok(Undone::Done { .. })),
        "{at}: {undone:?}"
    );
    assert_eq!(bench.read("/etc/b.conf"), "shared\n", "{at}");
}

#[test]
fn only_what_no_kept_change_refers_to_goes() {
    let bench = changed();
    let before = bench.snapshot();
    let early = run(&bench, &Retention::default(), &CrashPoints::none());
    assert_eq!(early, expire::Expired::default());
    let expired = run(&bench, &STRICT, &CrashPoints::none());
    assert_eq!(expired.changes, [ChangeId(1)]);
    // `first`, and the two that the change had left.
    assert_eq!((expired.files, expired.size_bytes), (3, 10));
    let same: (Snapshot, Snapshot) = (before, bench.snapshot());
    assert_eq!(same.0, same.1, "nothing of the host is touched");
    let again = run(&bench, &STRICT, &CrashPoints::none());
    assert_eq!(again, expire::Expired::default());
    let change = bench.open().history().expect("a history").remove(0);
    assert!(change.expired.is_some());
    assert_eq!(change.state, ChangeState::Committed);
    expect_first_expired(&bench, "expired");
}

#[test]
fn killed_at_every_point_the_next_run_goes_on() {
    let mut nth = 1;
    loop {
        let bench = changed();
        if !kill_at(&bench, "expire", nth) {
            break;
        }
        let recovered = bench.recover(&CrashPoints::none());
        let untouched = recovered
            .iter()
            .all(|one| matches!(one.outcome, Recovery::NothingTouched));
        assert!(untouched, "{recovered:?}");
        run(&bench, &STRICT, &CrashPoints::none());
        expect_first_expired(&bench, &format!("point {nth}"));
        nth += 1;
    }
    assert!(nth > 4, "only {nth} points were tried");
}

/// What waits to be confirmed needs its images, however old it looks.
#[test]
fn an_unfinished_change_keeps_its_images() {
    let bench = changed();
    let mut plan = bench.plan([put("/etc/d.conf", "d\n")]);
    plan.actions[0].risk = model::Risk::Connectivity;
    let options = host::ApplyOptions {
        detach: true,
        ..crate::bench::options()
    };
    host::apply(
        &bench.host(),
        &bench.open(),
        &plan,
        &options,
        &|_| host::Verdict::default(),
        &mut |_| {},
    )
    .expect("applied");
    let rule = Retention {
        newest: 0,
        ..STRICT
    };
    let expired = run(&bench, &rule, &CrashPoints::none());
    assert_eq!(expired.changes, [ChangeId(1), ChangeId(2)]);
    assert_eq!(contents(&bench), ["d\n"]);
}
