//! What could cut people off stays only when somebody confirms it.

use std::time::Duration;

use host::confirm::{SignIn, parse_accepted};
use host::{Applied, ApplyError, ApplyOptions, Event, Guard, Recovery, Verdict};
use jiff::Timestamp;
use model::{ChangeId, ChangeState, Plan, Risk};

use crate::bench::{Bench, options, put};

fn risky(bench: &Bench) -> Plan {
    let mut plan = bench.plan([put("/etc/app.conf", "PermitRootLogin no\n")]);
    plan.actions[0].risk = Risk::Connectivity;
    plan
}

fn apply(
    bench: &Bench,
    options: &ApplyOptions<'_>,
    sink: &mut dyn FnMut(Event),
) -> Result<Applied, ApplyError> {
    host::apply(
        &bench.host(),
        &bench.open(),
        &risky(bench),
        options,
        &|_| Verdict::default(),
        sink,
    )
}

#[test]
fn a_confirmed_change_stays() {
    let bench = Bench::new();
    let mut confirmed = false;
    let applied = apply(&bench, &options(), &mut |event| {
        if let Event::Waiting { .. } = event
            && !confirmed
        {
            confirmed = true;
            let now = Timestamp::now();
            host::confirm(&bench.host(), &bench.open(), ChangeId(1), "a test", now)
                .expect("confirmed");
        }
    });
    assert!(matches!(applied, Ok(Applied::Committed(_))), "{applied:?}");
    assert_eq!(bench.read("/etc/app.conf"), "PermitRootLogin no\n");
    let again = host::confirm(
        &bench.host(),
        &bench.open(),
        ChangeId(1),
        "x",
        Timestamp::now(),
    );
    assert!(again.is_err(), "only what waits can be confirmed");
}

#[test]
fn nobody_confirms_and_it_is_taken_back() {
    let bench = Bench::new();
    let before = bench.snapshot();
    let options = ApplyOptions {
        confirm_within: Duration::from_millis(300),
        ..options()
    };
    let applied = apply(&bench, &options, &mut |_| {});
    assert!(
        matches!(applied, Ok(Applied::TakenBack { verified: true, .. })),
        "{applied:?}"
    );
    assert_eq!(before, bench.snapshot());
    let late = host::confirm(
        &bench.host(),
        &bench.open(),
        ChangeId(1),
        "x",
        Timestamp::now(),
    );
    assert!(late.is_err());
}

#[test]
fn an_interrupt_takes_it_back() {
    let bench = Bench::new();
    let before = bench.snapshot();
    let waiting = std::cell::Cell::new(false);
    let interrupted = || waiting.get();
    let options = ApplyOptions {
        interrupted: &interrupted,
        ..options()
    };
    let applied = apply(&bench, &options, &mut |event| {
        waiting.set(waiting.get() || matches!(event, Event::Waiting { .. }));
    });
    assert!(
        matches!(applied, Ok(Applied::TakenBack { verified: true, .. })),
        "{applied:?}"
    );
    assert_eq!(before, bench.snapshot());
}

#[test]
fn without_a_guard_it_is_refused() {
    let bench = Bench::new();
    let before = bench.snapshot();
    let options = ApplyOptions {
        guard: Guard::None {
            why: "no systemd here".to_owned(),
        },
        ..options()
    };
    let applied = apply(&bench, &options, &mut |_| {});
    assert!(
        matches!(applied, Err(ApplyError::NoGuard(_))),
        "{applied:?}"
    );
    assert_eq!(before, bench.snapshot());
}

/// The process that waits dies; what runs later decides by the deadline.
#[test]
fn recovery_takes_back_what_is_past_its_deadline_and_leaves_the_rest() {
    let bench = Bench::new();
    let before = bench.snapshot();
    // A panic in the sink stands for the death of the process: nothing after it runs.
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = apply(&bench, &options(), &mut |event| {
            assert!(!matches!(event, Event::Waiting { .. }), "the process dies");
        });
    }));
    assert!(died.is_err());
    let refused = bench.apply(&bench.plan([put("/etc/open.conf", "x\n")]));
    assert!(
        matches!(refused, Err(ApplyError::Pending(_))),
        "{refused:?}"
    );
    let recover = |now: Timestamp| {
        let wait = Duration::from_secs(5);
        let none = host::CrashPoints::none();
        host::recover(&bench.host(), &bench.open(), now, wait, &none, &mut |_| {})
            .expect("recovery runs")
    };
    let now = Timestamp::now();
    let outcome = &recover(now)[0].outcome;
    assert!(
        matches!(outcome, Recovery::StillAwaiting { .. }),
        "{outcome:?}"
    );
    assert_eq!(bench.read("/etc/app.conf"), "PermitRootLogin no\n");
    let outcome = &recover(now + Duration::from_secs(60))[0].outcome;
    assert!(matches!(outcome, Recovery::AsBefore { .. }), "{outcome:?}");
    assert_eq!(before, bench.snapshot());
    let state = bench.open().history().expect("a history")[0].state;
    assert_eq!(state, ChangeState::RolledBack);
}

#[test]
fn only_real_sign_ins_are_read() {
    let cases = [
        (
            "Accepted publickey for ana from 10.0.4.7 port 51234 ssh2: ED25519 SHA256:abc",
            Some(("ana", "10.0.4.7")),
        ),
        (
            "Accepted password for root from fe80::1%eth0 port 22 ssh2",
            Some(("root", "fe80::1%eth0")),
        ),
        ("Accepted publickey for ana from 10.0.4.7", None),
        ("Accepted publickey for ana from 10.0.4.7 port x ssh2", None),
        ("Failed password for ana from 10.0.4.7 port 1 ssh2", None),
        (
            "Invalid user Accepted publickey for ana from 1.1.1.1 port 1",
            None,
        ),
        ("Accepted  for  from  port ", None),
        ("", None),
    ];
    for (message, wanted) in cases {
        let wanted = wanted.map(|(account, from)| SignIn {
            account: account.to_owned(),
            from: from.to_owned(),
        });
        assert_eq!(parse_accepted(message), wanted, "{message}");
    }
}
