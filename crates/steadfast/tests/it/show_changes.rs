//! The history of changes, and one change.

use jiff::Timestamp;
use model::{Change, ChangeId, ChangeState, Digest, PlanId};
use steadfast::show::{change, history};
use steadfast::style::Style;

use crate::samples::HOSTILE;

pub fn changes() -> Vec<Change> {
    use ChangeState::{AwaitingConfirmation, Committed, NeedsHuman, RolledBack, Undone};
    let started: Timestamp = "2026-11-23T14:42:10Z".parse().expect("RFC 3339");
    [
        Committed,
        AwaitingConfirmation,
        Undone,
        RolledBack,
        NeedsHuman,
    ]
    .into_iter()
    .enumerate()
    .map(|(n, state)| Change {
        id: ChangeId(119 - n as u64),
        plan: PlanId(Digest::of(&[n as u8])),
        state,
        started,
        ended: state.is_final().then_some(started),
        by: "ana (sudo)".to_owned(),
        summary: "1 file, 1 reload".to_owned(),
        serves: vec!["ssh-root-login".to_owned()],
        note: (!matches!(state, Committed | AwaitingConfirmation)).then(|| HOSTILE.to_owned()),
        expired: None,
        outside: model::Outside::default(),
        unproven: false,
        undone_in_part: false,
        restart: None,
        no_way_back: Vec::new(),
    })
    .chain([Change {
        id: ChangeId(7),
        plan: PlanId(Digest::of(b"old")),
        state: Committed,
        started,
        ended: Some(started),
        by: "ana (sudo)".to_owned(),
        summary: "1 file".to_owned(),
        serves: vec!["ssh-root-login".to_owned()],
        note: None,
        expired: Some("2027-02-21T09:00:00Z".parse().expect("RFC 3339")),
        outside: model::Outside::default(),
        unproven: false,
        undone_in_part: false,
        restart: None,
        no_way_back: Vec::new(),
    }])
    .collect()
}

#[test]
fn history_and_changes_read_as_intended() {
    let style = Style::plain(80, true);
    let mut out = Vec::new();
    history::write(&mut out, &changes(), "/var/lib/steadfast", false, &style).expect("a vector");
    for one in &changes() {
        out.extend(b"-----\n");
        change::write(&mut out, one, None, &style).expect("a vector");
    }
    out.extend(b"-----\n");
    history::write(&mut out, &[], "/var/lib/steadfast", false, &style).expect("a vector");
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(
        text.chars()
            .all(|c| c == '\n' || !model::escape::is_hidden(c))
    );
    insta::assert_snapshot!(text);
}

/// A program says why over several lines; a cause is one.
#[test]
fn a_cause_of_several_lines_is_shown_on_one() {
    let mut one = changes().swap_remove(3);
    one.note = Some("directive is duplicate in x.conf:1\nnginx: test failed\n".to_owned());
    let style = Style::plain(80, true);
    let mut out = Vec::new();
    history::write(&mut out, &[one.clone()], "/x", false, &style).expect("a vector");
    change::write(&mut out, &one, None, &style).expect("a vector");
    let text = String::from_utf8(out).expect("UTF-8");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = text.matches("in x.conf:1; nginx: test failed").count();
    assert_eq!(shown, 2, "{text}");
}

/// What is not finished names the command that ends it, before all others.
#[test]
fn an_unfinished_change_says_what_ends_it() {
    let mut all = changes();
    (all[0].state, all[0].ended) = (ChangeState::Applying, None);
    let mut out = Vec::new();
    history::write(&mut out, &all, "/x", false, &Style::plain(80, true)).expect("a vector");
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(
        text.contains("by ana (sudo); not finished: steadfast recover ends it\n"),
        "{text}"
    );
    // Nothing has to end what somebody is at work on.
    let mut out = Vec::new();
    history::write(&mut out, &all, "/x", true, &Style::plain(80, true)).expect("a vector");
    let at_work = String::from_utf8(out).expect("UTF-8");
    assert!(
        at_work.contains("by ana (sudo); at work now\n"),
        "{at_work}"
    );
    assert!(!at_work.contains("steadfast recover\n"), "{at_work}");
    assert!(text.contains("next      steadfast recover\n"), "{text}");
    assert!(text.contains("          steadfast confirm c-118"), "{text}");
}
