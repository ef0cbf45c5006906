//! What is shown while a change is carried out.

use std::time::Duration;

use host::Event;
use jiff::Timestamp;
use model::plan::Validator;
use model::{ActionId, ChangeId, HostPath};
use steadfast::show::events::Lines;
use steadfast::style::Style;
use unicode_width::UnicodeWidthStr;

use crate::samples::HOSTILE;
use crate::show_plan::{everything, root_login};

const ID: ChangeId = ChangeId(19);

const fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

fn rendered(events: &[Event], plan: Option<&model::Plan>, style: &Style, live: bool) -> String {
    let mut out = Vec::new();
    let mut lines = Lines::new(&mut out, plan, style, live);
    for event in events {
        lines.show(event).expect("a vector takes any bytes");
    }
    String::from_utf8(out).expect("events are shown in UTF-8")
}

fn good() -> Vec<Event> {
    let deadline: Timestamp = "2026-11-23T14:44:10Z".parse().expect("RFC 3339");
    vec![
        Event::Recorded { id: ID },
        Event::Imaged {
            paths: 1,
            took: ms(4),
        },
        Event::Accepted {
            validator: Validator::Sshd,
            took: ms(31),
        },
        Event::Done {
            action: ActionId(0),
            took: ms(2),
        },
        Event::Activated {
            action: ActionId(1),
            took: ms(118),
        },
        Event::StayedUp {
            units: vec!["ssh.service".to_owned()],
            took: ms(2003),
        },
        Event::Verified { took: ms(12_345) },
        Event::AwaitingConfirmation { id: ID, deadline },
        Event::Waiting { left: ms(119_000) },
        Event::Waiting { left: ms(107_000) },
        Event::Confirmed {
            id: ID,
            by: "ana signed in from 10.0.4.7".to_owned(),
        },
        Event::Committed {
            id: ID,
            no_way_back: Vec::new(),
        },
    ]
}

fn bad() -> Vec<Event> {
    let said = format!("{HOSTILE}\n\nline 3/4 at /etc/x:1\n{}", "more\n".repeat(30));
    vec![
        Event::Refused {
            validator: Validator::Nginx,
            said,
        },
        Event::NotValidated {
            validator: Validator::Sudoers,
            why: HOSTILE.to_owned(),
        },
        Event::Done {
            action: ActionId(9),
            took: ms(1),
        },
        Event::Failed {
            action: ActionId(16),
            why: HOSTILE.to_owned(),
        },
        Event::Skipped {
            action: ActionId(999),
            why: HOSTILE.to_owned(),
        },
        Event::NotReached {
            what: HOSTILE.to_owned(),
            why: format!("not reached: {HOSTILE}"),
        },
        // Only what was not said yet is said.
        Event::TakingBack {
            id: ID,
            why: format!("not reached: {HOSTILE}"),
        },
        Event::TakingBack {
            id: ID,
            why: format!("and this: {HOSTILE}"),
        },
        Event::PutBack {
            path: HostPath::from_bytes(b"/tmp/\x1b[31m\xff").expect("absolute"),
        },
        Event::TakenBack {
            id: ID,
            same: 3,
            of: 3,
        },
        Event::TakenBack {
            id: ID,
            same: 0,
            of: 0,
        },
        Event::TakenBack {
            id: ID,
            same: 2,
            of: 3,
        },
        Event::Stuck {
            id: ID,
            why: HOSTILE.to_owned(),
        },
    ]
}

#[test]
fn events_read_as_intended() {
    let style = Style::plain(80, true);
    insta::assert_snapshot!(
        "events_good",
        rendered(&good(), Some(&root_login()), &style, false)
    );
    insta::assert_snapshot!(
        "events_bad",
        rendered(&bad(), Some(&everything()), &style, false)
    );
    let ascii = Style::plain(60, false);
    insta::assert_snapshot!("events_ascii", rendered(&good(), None, &ascii, false));
}

#[test]
fn a_change_in_effect_says_that_some_of_it_is_not() {
    let events = [
        Event::TakenBack {
            id: ID,
            same: 3,
            of: 3,
        },
        Event::Committed {
            id: ID,
            no_way_back: Vec::new(),
        },
    ];
    let text = rendered(&events, None, &Style::plain(80, true), false);
    assert!(
        text.contains("3 of 3 files checked, and as before"),
        "{text}"
    );
    assert!(
        text.contains("in effect, without what was taken back"),
        "{text}"
    );
}

#[test]
fn what_is_stuck_is_never_called_taken_back() {
    let stuck = Event::Stuck {
        id: ID,
        why: "no space".to_owned(),
    };
    for events in [
        vec![Event::TakenBack {
            id: ID,
            same: 2,
            of: 3,
        }],
        vec![
            stuck,
            Event::TakenBack {
                id: ID,
                same: 3,
                of: 3,
            },
        ],
    ] {
        let text = rendered(&events, None, &Style::plain(80, true), false);
        assert!(text.contains("change c-19 needs a person"), "{text}");
        assert!(!text.contains("✓"), "{text}");
    }
}

#[test]
fn events_are_harmless_and_fit() {
    for unicode in [true, false] {
        for width in [40, 80] {
            let style = Style::plain(width, unicode);
            let text = rendered(&bad(), Some(&everything()), &style, false);
            assert!(!text.contains("SECRET"), "{text}");
            for line in text.lines() {
                assert!(line.width() <= width, "{line}");
                assert!(!line.chars().any(model::escape::is_hidden), "{line}");
            }
        }
    }
}

#[test]
fn only_a_terminal_sees_the_time_run() {
    let style = Style::plain(80, true);
    let live = rendered(&good(), Some(&root_login()), &style, true);
    assert!(
        live.contains("\r\x1b[K … 1:47 left (Ctrl-C takes it back)\r\x1b[K ✓ kept"),
        "{live:?}"
    );
    let still = rendered(&good(), Some(&root_login()), &style, false);
    assert!(
        !still.contains('\r') && !still.contains("left"),
        "{still:?}"
    );
}
