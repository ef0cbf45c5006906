//! Which change `last` is, and what is said where the command can't mean it.

use host::install::OWN;
use jiff::Timestamp;
use model::{Change, ChangeId, ChangeState, Digest, Outside, PlanId};
use steadfast::exit::Exit;
use steadfast::named_change::{ToWhat, named};

use ChangeState::{
    Applying, AwaitingConfirmation, AwaitingUndoConfirmation, Committed, KeptAsItIs, NeedsHuman,
    RolledBack, Undoing, Undone,
};

fn change(n: u64, state: ChangeState) -> Change {
    Change {
        id: ChangeId(n),
        plan: PlanId(Digest::of(&n.to_be_bytes())),
        state,
        started: Timestamp::UNIX_EPOCH,
        ended: None,
        by: "ana".to_owned(),
        summary: format!("{n} files"),
        serves: vec!["role web".to_owned()],
        note: None,
        expired: None,
        outside: Outside::default(),
        unproven: false,
        undone_in_part: false,
        restart: None,
        no_way_back: Vec::new(),
    }
}

/// c-1 is Steadfast's own; the states are those of c-2 and on.
fn history(states: &[ChangeState]) -> Vec<Change> {
    let mut own = change(1, Committed);
    own.serves = vec![OWN.to_owned()];
    let others = (2..).zip(states).map(|(n, state)| change(n, *state));
    [own].into_iter().chain(others).collect()
}

/// The number of the change that is meant, or all words that are said.
fn meant(history: &[Change], typed: Option<&str>, what: ToWhat) -> Result<u64, String> {
    match named(history, typed, what) {
        Ok(change) => Ok(change.id.0),
        Err(failure) => {
            assert_eq!(failure.exit, Exit::BadInput);
            let help = failure.reports.iter().filter_map(|report| report.help());
            let help: Vec<String> = help.map(|help| help.to_string()).collect();
            Err(format!("{failure} | {}", help.join(" ")))
        }
    }
}

#[test]
fn the_last_change_is_the_newest_and_no_older_one_stands_in_for_it() {
    type Case = (
        &'static [ChangeState],
        ToWhat,
        Result<u64, &'static [&'static str]>,
    );
    let gone: Case = (
        &[Committed, Committed, RolledBack],
        ToWhat::Undo,
        Err(&[
            "the last change, c-4, is taken back already",
            "nothing was touched",
            "c-3 (3 files): steadfast undo c-3",
        ]),
    );
    let cases: [Case; 21] = [
        gone,
        (&[Committed, Committed], ToWhat::Undo, Ok(3)),
        // What is at work may wait next: that another is ended is no confirmation of it.
        (
            &[Undoing, Undone],
            ToWhat::Confirm,
            Err(&[
                "no change waits to be confirmed yet: c-2 is being undone",
                "nothing was confirmed",
            ]),
        ),
        (&[Committed, Applying], ToWhat::Confirm, Ok(3)),
        // Twice the same command takes back one change.
        (
            &[Committed, Undone],
            ToWhat::Undo,
            Err(&[
                "c-3, is undone already",
                "in effect is c-2 (2 files): steadfast undo c-2",
            ]),
        ),
        (
            &[RolledBack],
            ToWhat::Undo,
            Err(&[
                "c-2, is taken back already",
                "no change before it is in effect",
            ]),
        ),
        (
            &[Committed, RolledBack, KeptAsItIs],
            ToWhat::Undo,
            Err(&[
                "c-4, is kept as it is",
                "steadfast undo c-4",
                "in effect is c-2 (2 files): steadfast undo c-2",
            ]),
        ),
        (
            &[NeedsHuman, RolledBack],
            ToWhat::Undo,
            Err(&["before it that is in need of a person is c-2"]),
        ),
        (&[Committed, NeedsHuman], ToWhat::Undo, Ok(3)),
        (&[Committed, AwaitingConfirmation], ToWhat::Undo, Ok(3)),
        (&[Committed, AwaitingUndoConfirmation], ToWhat::Undo, Ok(3)),
        (&[], ToWhat::Undo, Err(&["there is no change yet"])),
        // Each of these is told by its own state, and never as an older one.
        (&[Committed, RolledBack], ToWhat::Confirm, Ok(3)),
        (&[Committed, Undone], ToWhat::Confirm, Ok(3)),
        (&[Committed, NeedsHuman], ToWhat::Confirm, Ok(3)),
        (&[Committed, AwaitingConfirmation], ToWhat::Confirm, Ok(3)),
        // "In effect already" would be read as if the other were confirmed.
        (
            &[AwaitingConfirmation, Committed],
            ToWhat::Confirm,
            Err(&[
                "c-3, is in effect",
                "steadfast confirm c-2",
                "nothing was confirmed",
            ]),
        ),
        (&[Committed, RolledBack], ToWhat::Show, Ok(3)),
        (&[Committed, Undone], ToWhat::Show, Ok(3)),
        (&[NeedsHuman, Committed], ToWhat::SeeTo, Ok(3)),
        (&[], ToWhat::Show, Err(&["there is no change yet"])),
    ];
    for (states, what, wanted) in cases {
        let found = meant(&history(states), Some("last"), what);
        match (&found, wanted) {
            (Ok(found), Ok(wanted)) => assert_eq!(*found, wanted, "{states:?}, {what:?}"),
            (Err(said), Err(parts)) => {
                for part in parts {
                    assert!(said.contains(part), "{states:?}, {what:?}: {said}");
                }
            }
            _ => panic!("{states:?}, {what:?}: {found:?}, wanted {wanted:?}"),
        }
    }
}

#[test]
fn without_a_name_it_is_the_one_that_waits_and_a_name_means_what_it_names() {
    let waits = history(&[AwaitingConfirmation, Committed]);
    assert_eq!(meant(&waits, None, ToWhat::Confirm), Ok(2));
    assert_eq!(meant(&waits, None, ToWhat::Undo), Ok(2));
    let none = history(&[Committed, RolledBack]);
    let said = meant(&none, None, ToWhat::Undo).expect_err("the newest is taken back");
    assert!(said.contains("steadfast undo c-2"), "{said}");
    let two = history(&[AwaitingConfirmation, AwaitingUndoConfirmation]);
    let said = meant(&two, None, ToWhat::Confirm).expect_err("two wait");
    assert!(said.contains("c-2, c-3"), "{said}");
    assert_eq!(meant(&none, Some("c-2"), ToWhat::Undo), Ok(2));
    assert_eq!(meant(&none, Some("3"), ToWhat::Undo), Ok(3));
    let said = meant(&none, Some("c-9"), ToWhat::Undo).expect_err("there is none");
    assert!(said.contains("there is no change `c-9`"), "{said}");
    // What expired can't be undone, and is not offered.
    let mut expired = history(&[Committed, Committed, Undone]);
    expired[2].expired = Some(Timestamp::UNIX_EPOCH);
    let said = meant(&expired, Some("last"), ToWhat::Undo).expect_err("undone");
    assert!(said.contains("steadfast undo c-2"), "{said}");
}
