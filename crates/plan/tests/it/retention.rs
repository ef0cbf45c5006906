//! Which before-images are kept no longer.

use jiff::{SignedDuration, Timestamp};
use model::{ChangeId, ChangeState};
use plan::retention::{Held, Retention, due};

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().expect("RFC 3339")
}

fn held(id: u64, days_ago: i64, state: ChangeState) -> Held {
    Held {
        id: ChangeId(id),
        state,
        ended: Some(now() - SignedDuration::from_hours(24 * days_ago)),
        secrets: false,
        own: false,
        expired: false,
    }
}

#[track_caller]
fn check(changes: &[Held], newest: usize, wanted: &[u64]) {
    let rule = Retention {
        newest,
        ..Retention::default()
    };
    let found: Vec<u64> = due(changes, now(), &rule).iter().map(|id| id.0).collect();
    assert_eq!(found, wanted, "{changes:?}");
}

#[test]
fn age_decides_and_secrets_go_earlier() {
    use ChangeState::Committed;
    let secret = |id, days| Held {
        secrets: true,
        ..held(id, days, Committed)
    };
    check(&[held(1, 89, Committed)], 0, &[]);
    check(&[held(1, 90, Committed)], 0, &[1]);
    check(&[secret(1, 29), secret(2, 30)], 0, &[2]);
    // A clock that was set back takes nothing.
    check(&[held(1, -400, Committed)], 0, &[]);
    let gone = Held {
        expired: true,
        ..held(1, 400, Committed)
    };
    check(&[gone], 0, &[]);
}

#[test]
fn the_newest_that_are_in_effect_are_kept() {
    use ChangeState::{Committed, RolledBack, Undone};
    let old = |id, state| held(id, 400, state);
    let all = [
        old(1, Committed),
        old(2, Committed),
        old(3, Undone),
        old(4, Committed),
        old(5, RolledBack),
    ];
    check(&all, 2, &[1, 3, 5]);
    check(&all, 9, &[3, 5]);
    check(&all, 0, &[1, 2, 3, 4, 5]);
    let own = Held {
        own: true,
        ..old(6, Committed)
    };
    check(&[old(1, Committed), own], 1, &[6]);
}

#[test]
fn what_is_unfinished_or_needs_a_person_is_kept_whatever_the_rule_says() {
    use ChangeState as S;
    let states = [
        S::Planned,
        S::Imaged,
        S::Applying,
        S::Validating,
        S::AwaitingConfirmation,
        S::Undoing,
        S::AwaitingUndoConfirmation,
        S::Redoing,
        S::RollingBack,
        S::NeedsHuman,
    ];
    for state in states {
        check(&[held(1, 4000, state)], 0, &[]);
    }
}
