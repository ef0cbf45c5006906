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
            is_in_doubt: false,
        },
        Event::TakenBack {
            id: ID,
            same: 0,
            of: 0,
            is_in_doubt: false,
        },
        Event::TakenBack {
            id: ID,
            same: 2,
            of: 3,
            is_in_doubt: false,
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
            is_in_doubt: false,
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
            is_in_doubt: false,
        }],
        vec![
            stuck,
            Event::TakenBack {
                id: ID,
                same: 3,
                of: 3,
                is_in_doubt: false,
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

/// Case C5 of the sysadmin's look: `... (404 characters)` stood where the cause began.
#[test]
fn a_cause_is_never_cut() {
    let why = format!(
        "{}: createdb: database \"appdb\" already exists",
        "the fix ended badly ".repeat(60)
    );
    let failed = Event::TakingBack {
        id: ID,
        why: why.clone(),
    };
    let text = rendered(&[failed], None, &Style::plain(80, true), false);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(&text).contains(&words(&why)), "{text}");
}

/// Case C15: forty translations stood before the few paths that matter.
#[test]
fn parts_of_packages_are_counted_and_what_people_write_is_named() {
    let put_back = |path: &str| Event::PutBack {
        path: HostPath::from_bytes(path.as_bytes()).expect("absolute"),
    };
    let mut events: Vec<Event> = (0..200)
        .map(|number| put_back(&format!("/usr/share/locale/l{number}/LC_MESSAGES/demo.mo")))
        .collect();
    events.extend(["/usr/bin/demo", "/etc/demo.conf", "/usr/local/bin/mine"].map(put_back));
    events.push(Event::TakenBack {
        id: ID,
        same: 203,
        of: 203,
        is_in_doubt: false,
    });
    let text = rendered(&events, None, &Style::plain(100, true), false);
    assert_eq!(
        text,
        " ✓ put back /etc/demo.conf\n \
          ✓ put back /usr/local/bin/mine\n \
          ✓ put back 201 files in /usr/share/locale, /usr/bin\n \
          ✓ taken back: 203 of 203 files checked, and as before\n"
    );
    // A few are named.
    let few = [
        put_back("/usr/bin/demo"),
        Event::TakenBack {
            id: ID,
            same: 1,
            of: 1,
            is_in_doubt: false,
        },
    ];
    let text = rendered(&few, None, &Style::plain(100, true), false);
    assert!(text.contains("put back /usr/bin/demo\n"), "{text}");
    // Of many others each is found where the line says.
    let mut many: Vec<Event> = (0..50)
        .map(|number| put_back(&format!("/srv/{number}")))
        .collect();
    many.push(Event::TakenBack {
        id: ID,
        same: 50,
        of: 50,
        is_in_doubt: false,
    });
    let text = rendered(&many, None, &Style::plain(100, true), false);
    assert!(
        text.contains("put back 10 more files (each: steadfast show c-19 --format json)"),
        "{text}"
    );
}

/// Where the set's way back does not work out, the whole change goes back: what was said is not said again.
#[test]
fn one_way_back_is_told_once() {
    let put_back = |path: &str| Event::PutBack {
        path: HostPath::from_bytes(path.as_bytes()).expect("absolute"),
    };
    let failed = || Event::TakingBack {
        id: ID,
        why: "ssh.service did not stay up".to_owned(),
    };
    let events = [
        failed(),
        put_back("/etc/a"),
        failed(),
        put_back("/etc/a"),
        put_back("/etc/b"),
    ];
    let text = rendered(&events, None, &Style::plain(80, true), false);
    for once in ["did not stay up", "/etc/a", "/etc/b"] {
        assert_eq!(text.matches(once).count(), 1, "{once}: {text}");
    }
}

/// Lines that are not shown are found where it says.
#[test]
fn what_is_not_shown_of_a_failure_has_its_place() {
    let failed = Event::Failed {
        action: ActionId(0),
        why: "a line\n".repeat(30),
    };
    let text = rendered(
        &[Event::Recorded { id: ID }, failed],
        None,
        &Style::plain(80, true),
        false,
    );
    assert!(
        text.contains("... 10 more lines: steadfast show c-19"),
        "{text}"
    );
}

/// What others wrote while an undo was at work is no failure of it: its end says which places these are.
#[test]
fn an_undo_beside_others_needs_no_person() {
    let events = [
        Event::TakingBack {
            id: ID,
            why: "undo".to_owned(),
        },
        Event::TakenBack {
            id: ID,
            same: 45,
            of: 53,
            is_in_doubt: false,
        },
    ];
    let text = rendered(&events, None, &Style::plain(80, true), false);
    assert!(
        text.contains("45 of 53 files checked, and as before"),
        "{text}"
    );
    assert!(!text.contains("needs a person"), "{text}");
}
