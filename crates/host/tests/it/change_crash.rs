//! `kill -9` at every step of an apply and of an undo, and again during the recovery: the
//! tree is afterwards exactly as before or exactly as planned, and the report says which.

use std::process::Command;

use host::{CrashPoints, Recovery};
use model::ChangeState;

use crate::bench::{Bench, Snapshot, assert_same, every_file_effect, killing, timeless};

/// Plans on account files, beside those on paths: several files that change as one.
pub fn effects() -> Vec<model::Effect> {
    let mut effects = every_file_effect();
    effects.push(model::Effect::Account(model::AccountOp::CreateUser {
        name: "bob".to_owned(),
        uid: None,
        group: None,
        comment: String::new(),
        home: "/home/bob".parse().expect("a path"),
        create_home: true,
        shell: "/bin/sh".to_owned(),
        system: false,
    }));
    effects
}

/// What the process that is killed does.
const ROLE: &str = "STEADFAST_TEST_CRASH";

/// Runs in a process of its own, which dies at the point that it was told.
#[test]
#[ignore = "run by the tests below, in a process that is killed"]
fn victim() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let mut words = role.split(' ');
    let mut next = || words.next().expect("a word");
    let (what, nth) = (next(), next().parse().expect("a number"));
    let bench = Bench::at(next().as_ref(), next().as_ref());
    let crash = killing(nth);
    match what {
        "apply" => {
            let plan = bench.plan(effects());
            let (applied, _) = bench.apply_with(&plan, crash, &|_| host::Verdict::default());
            applied.expect("applied");
        }
        "undo" => {
            bench.undo(1, crash).expect("undone");
        }
        "recover" => {
            bench.recover(&crash);
        }
        "guarded-undo" => crate::change_undo_confirm::begin(&bench, crash),
        "expire" => crate::change_expire::strictly(&bench, &crash),
        "recover-late" => {
            crate::change_undo_confirm::recover_late(&bench, &crash);
        }
        other => panic!("no role `{other}`"),
    }
}

/// Was it killed? Else it came to its end, and the sweep is through.
pub fn kill_at(bench: &Bench, what: &str, nth: u32) -> bool {
    let role = format!(
        "{what} {nth} {} {}",
        bench.root.display(),
        bench.state.display()
    );
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "change_crash::victim",
            "--ignored",
            "--nocapture",
        ])
        .env(ROLE, role)
        .output()
        .expect("the victim runs");
    if output.status.success() {
        return false;
    }
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    assert_eq!(
        signal,
        Some(9),
        "{what} failed at point {nth}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    true
}

fn planned() -> Snapshot {
    let bench = Bench::new();
    bench.apply(&bench.plan(effects())).expect("applied");
    timeless(&bench.snapshot())
}

fn check_recovered(bench: &Bench, before: &Snapshot, planned: &Snapshot, at: &str) {
    let recovered = bench.recover(&CrashPoints::none());
    let state = bench.open();
    let history = state.history().expect("a history");
    let now = bench.snapshot();
    let last = history.last().map(|change| change.state);
    match last {
        Some(ChangeState::Committed) => assert_same(planned, &timeless(&now), at),
        None | Some(ChangeState::RolledBack | ChangeState::Undone) => {
            assert_same(before, &now, &format!("{at}: {recovered:?}"));
        }
        other => panic!("{at}: {other:?}, {recovered:?}"),
    }
    for recovered in &recovered {
        let as_before = matches!(
            recovered.outcome,
            Recovery::AsBefore { .. } | Recovery::NothingTouched | Recovery::Undone { .. }
        );
        assert_eq!(as_before, &now == before, "{at}: the report is right");
    }
    assert!(state.pending().expect("a list").is_empty(), "{at}");
}

#[test]
fn killed_at_every_point_of_an_apply() {
    let planned = planned();
    let mut nth = 1;
    loop {
        let bench = Bench::new();
        let before = bench.snapshot();
        if !kill_at(&bench, "apply", nth) {
            break;
        }
        check_recovered(&bench, &before, &planned, &format!("apply, point {nth}"));
        nth += 1;
    }
    assert!(nth > 30, "only {nth} points were tried");
}

/// Between the points as well: killed from outside, at moments that a seed decides.
#[test]
fn killed_at_random_moments() {
    let planned = planned();
    let seed = std::env::var("STEADFAST_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        // A test run is repeatable; other seeds are a campaign, run by hand.
        .unwrap_or(9);
    say_seed(seed);
    let mut random = seed | 1;
    for round in 0..12 {
        let bench = Bench::new();
        let before = bench.snapshot();
        let role = format!("apply 0 {} {}", bench.root.display(), bench.state.display());
        let mut victim = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "change_crash::victim", "--ignored"])
            .env(ROLE, role)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the victim runs");
        // xorshift64: any spread will do, as long as the seed brings it back.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(std::time::Duration::from_micros(random % 400_000));
        let _ = victim.kill();
        victim.wait().expect("it ended");
        check_recovered(
            &bench,
            &before,
            &planned,
            &format!("seed {seed}, round {round}"),
        );
    }
}

#[expect(
    clippy::print_stdout,
    reason = "a failure can be repeated with the seed"
)]
fn say_seed(seed: u64) {
    println!("STEADFAST_TEST_SEED={seed}");
}

#[test]
fn killed_at_every_point_of_an_undo() {
    let planned = planned();
    let mut nth = 1;
    loop {
        let bench = Bench::new();
        let before = bench.snapshot();
        bench.apply(&bench.plan(effects())).expect("applied");
        if !kill_at(&bench, "undo", nth) {
            break;
        }
        check_recovered(&bench, &before, &planned, &format!("undo, point {nth}"));
        nth += 1;
    }
    assert!(nth > 15, "only {nth} points were tried");
}

#[test]
fn killed_at_every_point_of_a_recovery() {
    let planned = planned();
    let mut nth = 1;
    loop {
        let bench = Bench::new();
        let before = bench.snapshot();
        // Late in the apply, when nearly everything is done.
        assert!(kill_at(&bench, "apply", 40), "the apply has 40 points");
        if !kill_at(&bench, "recover", nth) {
            break;
        }
        check_recovered(&bench, &before, &planned, &format!("recovery, point {nth}"));
        nth += 1;
    }
    assert!(nth > 10, "only {nth} points were tried");
}
