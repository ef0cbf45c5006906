//! What could cut people off stays only when somebody confirms it.

use std::time::Duration;

use host::confirm::{
    Began, Process, Proof, Session, SignIn, began, judge, on_startup, parse_accepted,
    parse_journal, parse_stat,
};
use host::undo::{UndoError, Undone};
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

/// Lines as journald of Debian 12 and of Debian 13 gives them.
#[test]
fn the_process_of_a_connection_is_read() {
    let lines = [
        (
            r#"{"_UID":"0","_EXE":"/usr/sbin/sshd","_PID":"412","__CURSOR":"s=1;i=2d","__REALTIME_TIMESTAMP":"1764470405000001","__MONOTONIC_TIMESTAMP":"90100200","_BOOT_ID":"b1","MESSAGE":"Accepted publickey for ana from 127.0.0.1 port 40022 ssh2: ED25519 SHA256:abc"}"#,
            412,
        ),
        (
            r#"{"__SEQNUM":"45","_UID":"0","_EXE":"/usr/lib/openssh/sshd-session","_PID":"98","__CURSOR":"s=1;i=2d","__REALTIME_TIMESTAMP":"1764470405000001","__MONOTONIC_TIMESTAMP":"7","_BOOT_ID":"b1","MESSAGE":"Accepted publickey for ana from 127.0.0.1 port 40022 ssh2: ED25519 SHA256:abc"}"#,
            98,
        ),
    ];
    let activated = Timestamp::from_second(1_764_470_400).expect("a time");
    for (line, wanted) in lines {
        let found = parse_journal(line, activated);
        let [one] = found.as_slice() else {
            panic!("one sign-in in {line}, not {found:?}");
        };
        assert_eq!(one.pid, wanted);
        assert_eq!(one.sign_in.account, "ana");
    }
}

/// The connection counts, not the moment at which the passphrase was typed.
#[test]
fn only_a_connection_that_began_after_the_change_counts() {
    let connections = [301, 412].into();
    assert_eq!(began(412, Some(&connections)), Began::Before);
    assert_eq!(began(413, Some(&connections)), Began::After);
    assert_eq!(began(413, None), Began::Unknown);
    let stats = [
        (
            "412 (sshd) S 301 412 412 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 9010 17000000 900 1",
            Some((301, 90_100)),
        ),
        (
            "9 (a) b) (c) S 1 9 9 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12 17000000 900 1",
            Some((1, 120)),
        ),
        ("412 (sshd) S 301", None),
        ("", None),
    ];
    for (stat, wanted) in stats {
        assert_eq!(parse_stat(stat.as_bytes()), wanted, "{stat}");
    }
    let odd = b"9 (\xff\xfe) S 7 9 9 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12 17000000 900 1";
    assert_eq!(parse_stat(odd), Some((7, 120)), "a name of any bytes");
}

#[test]
fn a_confirmation_proves_what_its_login_shows() {
    let process = |pid, started_ms| Process { pid, started_ms };
    let session = |audit, above: &[(u32, u64)], login: Option<(u32, u64)>| Session {
        audit,
        above: above.iter().map(|(pid, at)| process(*pid, *at)).collect(),
        login: login.map(|(pid, at)| process(pid, at)),
    };
    // sudo, a shell and the connection.
    let made_by = session(Some(4), &[(30, 900), (20, 110), (10, 100)], Some((10, 100)));
    let activated = 1000;
    let cases = [
        // The same shell, another sudo.
        (
            session(
                Some(4),
                &[(31, 5000), (20, 110), (10, 100)],
                Some((10, 100)),
            ),
            Proof::SameLogin,
        ),
        // A tmux that this login left behind, or began after the change.
        (session(Some(4), &[(40, 300)], None), Proof::SameLogin),
        (session(Some(4), &[(40, 5000)], None), Proof::SameLogin),
        // The same where the kernel keeps no audit sessions.
        (
            session(None, &[(31, 5000), (20, 110), (10, 100)], Some((10, 100))),
            Proof::SameLogin,
        ),
        (
            session(None, &[(41, 5000), (40, 300)], None),
            Proof::EarlierLogin,
        ),
        // Another terminal that was open before.
        (
            session(Some(3), &[(21, 95), (9, 90)], Some((9, 90))),
            Proof::EarlierLogin,
        ),
        // A connection that was open when the change took effect.
        (
            session(Some(5), &[(51, 4000), (50, 1000)], Some((50, 1000))),
            Proof::EarlierLogin,
        ),
        (
            session(Some(5), &[(51, 4000), (50, 2500)], Some((50, 2500))),
            Proof::NewLogin,
        ),
        // That number had another process then.
        (
            session(Some(5), &[(20, 4000), (10, 3000)], Some((10, 3000))),
            Proof::NewLogin,
        ),
        (session(None, &[], None), Proof::NoLogin),
        (session(None, &[(60, 4000)], None), Proof::NoLogin),
    ];
    for (caller, wanted) in cases {
        assert_eq!(judge(&caller, &made_by, activated), wanted, "{caller:?}");
    }
}

/// Counted from the start of systemd, so that what is loaded anew ends at the same moment.
#[test]
fn the_time_of_the_timer_does_not_begin_anew() {
    let after = Duration::from_secs(15);
    let began = 40_000_000;
    assert_eq!(
        on_startup(began, 100_000_000, after),
        Duration::from_secs(75)
    );
    // A container's systemd is younger than the machine.
    assert_eq!(
        on_startup(99_000_000, 100_000_000, after),
        after + Duration::from_secs(1)
    );
}

/// Elsewhere, and of no risk: either can be taken back without the other.
#[test]
fn what_waits_holds_up_only_what_is_near() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("/opt")).expect("a folder is made");
    let detached = ApplyOptions {
        detach: true,
        ..options()
    };
    let applied = apply(&bench, &detached, &mut |_| {});
    assert!(
        matches!(applied, Ok(Applied::AwaitingConfirmation(..))),
        "{applied:?}"
    );
    let near = ["/etc/app.conf", "/etc/beside.conf"];
    for path in near {
        let refused = bench.apply(&bench.plan([put(path, "x\n")]));
        let Err(ApplyError::Pending(first)) = refused else {
            panic!("{path}: {refused:?}");
        };
        assert_eq!(first.change.id, ChangeId(1));
        assert_eq!(
            first.to_string(),
            "change c-1 waits to be confirmed, and comes first"
        );
        assert!(first.deadline.is_some());
    }
    let refused = apply(&bench, &detached, &mut |_| {});
    assert!(
        matches!(refused, Err(ApplyError::Pending(_))),
        "{refused:?}"
    );
    let apart = bench.apply(&bench.plan([put("/opt/apart.conf", "x\n")]));
    assert!(matches!(apart, Ok(Applied::Committed(_))), "{apart:?}");
    let later = Timestamp::now() + Duration::from_secs(600);
    let none = host::CrashPoints::none();
    let wait = Duration::from_secs(5);
    host::recover(
        &bench.host(),
        &bench.open(),
        later,
        wait,
        &none,
        &mut |_| {},
    )
    .expect("recovery runs");
    assert_eq!(bench.read("/opt/apart.conf"), "x\n");
    let states: Vec<ChangeState> = bench
        .open()
        .history()
        .expect("a history")
        .iter()
        .map(|one| one.state)
        .collect();
    assert_eq!(states, [ChangeState::RolledBack, ChangeState::Committed]);
}

/// An undo as well: what it puts back is elsewhere, and cuts nobody off.
#[test]
fn what_waits_holds_up_only_an_undo_that_is_near() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("/opt")).expect("a folder is made");
    for (at, path) in [(1, "/opt/apart.conf"), (2, "/etc/beside.conf")] {
        let applied = bench.apply(&bench.plan([put(path, "x\n")]));
        assert!(
            matches!(&applied, Ok(Applied::Committed(id)) if *id == ChangeId(at)),
            "{applied:?}"
        );
    }
    let detached = ApplyOptions {
        detach: true,
        ..options()
    };
    apply(&bench, &detached, &mut |_| {}).expect("it is applied");
    let undo = |id: u64| {
        host::undo(
            &bench.host(),
            &bench.open(),
            ChangeId(id),
            &options(),
            &mut |_| {},
        )
    };
    for near in [2, 3] {
        let refused = undo(near);
        let Err(UndoError::Pending(first)) = refused else {
            panic!("{near}: {refused:?}");
        };
        assert_eq!(first.change.id, ChangeId(3));
    }
    let undone = undo(1);
    assert!(matches!(undone, Ok(Undone::Done { .. })), "{undone:?}");
    assert!(!bench.path("/opt/apart.conf").exists());
    host::confirm(
        &bench.host(),
        &bench.open(),
        ChangeId(3),
        "a test",
        Timestamp::now(),
    )
    .expect("what waits can be confirmed still");
    assert!(matches!(undo(2), Ok(Undone::Done { .. })));
}

#[test]
fn a_clock_that_is_set_back_lengthens_no_wait() {
    let bench = Bench::new();
    let before = bench.snapshot();
    let detached = ApplyOptions {
        detach: true,
        confirm_within: Duration::from_millis(200),
        ..options()
    };
    let applied = apply(&bench, &detached, &mut |_| {});
    assert!(applied.is_ok(), "{applied:?}");
    let (wait, none) = (Duration::from_secs(5), host::CrashPoints::none());
    let until = std::time::Instant::now() + wait;
    while bench.snapshot() != before {
        assert!(std::time::Instant::now() < until, "it is taken back");
        let an_hour_ago = Timestamp::now() - Duration::from_secs(3600);
        let recovered = host::recover(
            &bench.host(),
            &bench.open(),
            an_hour_ago,
            wait,
            &none,
            &mut |_| {},
        );
        recovered.expect("recovery runs");
    }
}
