//! Part of a change is undone, and the rest later: what rests on a part goes with it, or the undo
//! is refused with the reason.

use host::{Applied, Choice, CrashPoints, UndoError, Undone};
use model::{ChangeId, ChangeState, HostPath};

use crate::bench::{Bench, assert_same, make_dir, put, set_mode};

fn committed(bench: &Bench) {
    let plan = bench.plan(vec![
        put("/etc/app.conf", "one = 1\ntwo = 22\nthree = 3\n"),
        make_dir("/etc/new.d"),
        put("/etc/new.d/a", "a\n"),
        set_mode("/etc/open.conf", 0o600),
    ]);
    let applied = bench.apply(&plan);
    assert!(matches!(applied, Ok(Applied::Committed(_))), "{applied:?}");
}

fn paths(paths: &[&str]) -> Vec<HostPath> {
    paths
        .iter()
        .map(|path| path.parse().expect("a path"))
        .collect()
}

fn only(named: &[&str]) -> Choice {
    Choice {
        only: paths(named),
        ..Choice::default()
    }
}

fn except(named: &[&str]) -> Choice {
    Choice {
        except: paths(named),
        ..Choice::default()
    }
}

/// What stands after a part was undone.
#[track_caller]
fn standing(undone: Result<Undone, UndoError>) -> Vec<String> {
    match undone {
        Ok(Undone::Done { proof, left, .. }) => {
            assert_eq!(proof.is_some(), left.standing.is_empty());
            left.standing
        }
        other => panic!("not undone: {other:?}"),
    }
}

fn first(bench: &Bench) -> model::Change {
    let record = bench.open().change(ChangeId(1));
    record.expect("a record").header.change
}

#[test]
fn a_part_goes_back_and_the_rest_later() {
    let cases: [(Choice, &[&str]); 3] = [
        (
            only(&["/etc/app.conf"]),
            &["/etc/new.d", "/etc/new.d/a", "/etc/open.conf"],
        ),
        (only(&["/etc/new.d"]), &["/etc/app.conf", "/etc/open.conf"]),
        (except(&["/etc/new.d"]), &["/etc/new.d", "/etc/new.d/a"]),
    ];
    for (choice, left) in cases {
        let bench = Bench::new();
        let before = bench.snapshot();
        committed(&bench);
        assert_eq!(standing(bench.undo_chosen(1, &choice)), left, "{choice:?}");
        let change = first(&bench);
        assert_eq!(change.state, ChangeState::Committed);
        assert!(change.undone_in_part, "{change:?}");
        assert_ne!(before, bench.snapshot());
        // Of what went back nobody takes anything back again.
        std::fs::write(bench.path("/etc/hostname"), "theirs\n").expect("written");
        std::fs::write(bench.path("/etc/hostname"), "bench\n").expect("written");
        assert!(standing(bench.undo(1, CrashPoints::none())).is_empty());
        let change = first(&bench);
        assert_eq!(change.state, ChangeState::Undone);
        for path in ["/etc/app.conf", "/etc/open.conf"] {
            assert_eq!(before.get(path), bench.snapshot().get(path), "{choice:?}");
        }
        assert!(!bench.path("/etc/new.d").exists());
    }
}

#[test]
fn what_rests_on_a_part_does_not_lose_it() {
    let bench = Bench::new();
    committed(&bench);
    let now = bench.snapshot();
    let refused: [(Choice, &str); 3] = [
        (
            except(&["/etc/new.d/a"]),
            "`/etc/new.d/a` would stay, and is in `/etc/new.d`",
        ),
        (
            only(&["/etc/passwd"]),
            "nothing of change c-1 that is in effect is at `/etc/passwd`",
        ),
        (
            except(&["/etc"]),
            "nothing of change c-1 is left to take back",
        ),
    ];
    for (choice, why) in refused {
        match bench.undo_chosen(1, &choice) {
            Err(UndoError::Choice(said)) => assert!(said.contains(why), "{said}"),
            other => panic!("{choice:?} is not refused: {other:?}"),
        }
        assert_same(&now, &bench.snapshot(), "nothing was touched");
    }
}

#[test]
fn a_drifted_file_is_left_as_it_is_where_that_is_asked_for() {
    let bench = Bench::new();
    committed(&bench);
    let theirs = "one = 1\ntwo = 222\nthree = 3\n";
    std::fs::write(bench.path("/etc/app.conf"), theirs).expect("written");
    std::fs::write(bench.path("/etc/new.d/theirs"), "x").expect("written");
    let refused = bench.undo(1, CrashPoints::none());
    assert!(
        matches!(refused, Err(UndoError::Conflict(_))),
        "{refused:?}"
    );
    let choice = Choice {
        keep_theirs: true,
        ..Choice::default()
    };
    match bench.undo_chosen(1, &choice) {
        Ok(Undone::Done { proof, left, .. }) => {
            assert_eq!(proof, None, "it is not as it was");
            assert_eq!(left.theirs, paths(&["/etc/app.conf", "/etc/new.d/theirs"]));
        }
        other => panic!("not undone: {other:?}"),
    }
    assert_eq!(bench.read("/etc/app.conf"), theirs);
    assert_eq!(bench.read("/etc/new.d/theirs"), "x");
    assert!(!bench.path("/etc/new.d/a").exists());
}

/// What has no way back and stays is in nobody's way.
#[test]
fn a_part_goes_back_beside_a_step_that_can_not() {
    let bench = Bench::new();
    let before = bench.read("/etc/app.conf");
    let mut plan = bench.plan_in_sets([
        (0, put("/etc/app.conf", "new\n")),
        (1, put("/etc/kept.conf", "kept\n")),
    ]);
    plan.actions[1].inverse = model::Inverse::Irreversible {
        why: "`two` declares no way back".to_owned(),
    };
    let applied = bench.apply(&plan);
    assert!(matches!(applied, Ok(Applied::Committed(_))), "{applied:?}");
    let all = bench.undo(1, CrashPoints::none());
    assert!(
        matches!(all, Err(UndoError::Irreversible { .. })),
        "{all:?}"
    );
    let part = bench.undo_chosen(1, &only(&["/etc/app.conf"]));
    assert_eq!(standing(part), ["/etc/kept.conf"]);
    assert_eq!(bench.read("/etc/app.conf"), before);
    assert_eq!(bench.read("/etc/kept.conf"), "kept\n");
}
