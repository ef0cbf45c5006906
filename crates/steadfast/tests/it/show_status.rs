//! What `patch status` says of what is not finished, and of the kernel.

use host::packages::{Lists, names_of};
use jiff::Timestamp;
use jiff::civil::date;
use model::ChangeState;
use steadfast::show::apt_lists::AptLists;
use steadfast::show::patch_status::{Status, Unfinished, Waiting, write};

use crate::show_changes::changes;

/// The words of the answer to a host on which 6.1.0-32 runs.
fn said(newest: Option<&str>, due: bool, is_older: bool, is_removed: bool) -> String {
    said_of(&Status {
        booted_kernel: "6.1.0-32-amd64".to_owned(),
        newest_kernel: newest.map(str::to_owned),
        reboot_due: due,
        kernel_is_due: due,
        next_boot_is_older: is_older,
        booted_kernel_is_removed: is_removed,
        ..Status::default()
    })
}

fn said_of(status: &Status) -> String {
    let mut out = Vec::new();
    write(&mut out, status, date(2026, 11, 24)).expect("a vector takes any bytes");
    let text = String::from_utf8(out).expect("UTF-8");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A change that is not finished comes before everything else, with the command that ends it.
#[test]
fn what_was_interrupted_comes_first() {
    let of = |state, at_work| {
        let mut change = changes().remove(0);
        (change.state, change.ended) = (state, None);
        let pending = Waiting {
            name: "demo".to_owned(),
            architecture: "all".to_owned(),
            from: Some("1".to_owned()),
            to: "2".to_owned(),
            security: true,
        };
        said_of(&Status {
            unfinished: vec![Unfinished {
                command: None,
                change,
                at_work,
            }],
            pending: vec![pending],
            plan: "steadfast patch plan --only security".to_owned(),
            ..Status::default()
        })
    };
    let said = of(ChangeState::Applying, false);
    let first = "change c-119 was interrupted while it was being applied, since 2026-11-23 14:42: \
                 1 file, 1 reload next steadfast recover finishes it or takes it back, unless";
    assert!(said.starts_with(first), "{said}");
    // No plan is made before that.
    assert!(!said.contains("steadfast patch plan"), "{said}");
    let said = of(ChangeState::Applying, true);
    assert!(said.starts_with("change c-119 is at work now"), "{said}");
    assert!(!said.contains("steadfast recover"), "{said}");
    let said = of(ChangeState::AwaitingConfirmation, false);
    let first = "change c-119 waits to be confirmed, since 2026-11-23 14:42: 1 file, 1 reload next \
                 steadfast confirm c-119 keeps it";
    assert!(said.starts_with(first), "{said}");
    assert!(
        said.ends_with("next steadfast patch plan --only security"),
        "{said}"
    );
}

#[test]
fn the_next_boot_is_told() {
    let own = Some("6.1.0-32-amd64");
    let older = Some("6.1.0-28-amd64");
    let newer = Some("6.1.0-33-amd64");
    let gone = "the package of the one that runs is gone, and until the reboot no more of its \
                modules can be loaded";
    let cases = [
        (
            said(own, false, false, false),
            "is the newest installed.",
            false,
        ),
        (
            said(own, true, false, false),
            "an older build of kernel 6.1.0-32-amd64 runs",
            false,
        ),
        (
            said(own, true, true, false),
            "the next boot runs the older one",
            false,
        ),
        (
            said(newer, true, false, true),
            "kernel 6.1.0-32-amd64 runs, and 6.1.0-33-amd64 is installed;",
            true,
        ),
        (
            said(older, true, true, true),
            "reboot due: kernel 6.1.0-32-amd64 runs, and the next boot runs the older \
             6.1.0-28-amd64, the newest that is installed;",
            true,
        ),
        (
            said(None, false, false, false),
            "is not of this host's packages",
            false,
        ),
    ];
    for (said, wanted, is_gone) in cases {
        assert!(said.contains(wanted), "no `{wanted}`: {said}");
        assert_eq!(said.contains(gone), is_gone, "{said}");
    }
}

/// Packages ask for a restart for the sake of other files than a kernel's.
#[test]
fn packages_may_ask_for_a_reboot() {
    let said = |asked_for: Option<&str>| {
        said_of(&Status {
            booted_kernel: "6.1.0-32-amd64".to_owned(),
            newest_kernel: Some("6.1.0-32-amd64".to_owned()),
            reboot_due: asked_for.is_some(),
            reboot_asked_for: asked_for.map(names_of),
            ..Status::default()
        })
    };
    let both = said(Some("libc6\ndbus\n\nlibc6\n"));
    assert!(
        both.contains("Kernel 6.1.0-32-amd64 is the newest installed."),
        "{both}"
    );
    assert!(
        both.contains("reboot due: asked for by libc6, dbus (/run/reboot-required)"),
        "{both}"
    );
    assert!(said(Some("")).contains("reboot due: something on this host asks for it"));
    assert!(!said(None).contains("reboot due"));
}

/// Of old lists, or none, it is not said that nothing is pending.
#[test]
fn what_is_pending_is_as_old_as_the_lists() {
    let now: Timestamp = "2026-11-28T08:00:00Z".parse().expect("a time");
    let fetched = |text: &str| Lists::Of {
        fetched: text.parse().expect("a time"),
    };
    let since = "2026-11-20T08:00:00Z".parse().expect("a time");
    let fresh = [
        (
            "2026-11-28T07:00:00Z",
            "apt's lists are less than a day old",
        ),
        ("2026-11-27T08:00:00Z", "apt's lists are 1 day old"),
        ("2026-11-21T08:00:00Z", "apt's lists are 7 days old"),
    ];
    for (time, words) in fresh {
        let lists = AptLists::of(fetched(time), now);
        assert_eq!(lists.unknown_text(), None);
        let said = said_of(&Status {
            lists: Some(lists),
            ..Status::default()
        });
        assert!(said.contains("pending no upgrade lists "), "{said}");
        assert!(said.contains(words), "{said}");
    }
    let stale = [
        (Lists::Missing, "apt has no lists of packages"),
        (
            Lists::Expired { since },
            "apt's lists are out of date: one was valid until 2026-11-20",
        ),
        (
            fetched("2025-11-28T08:00:00Z"),
            "apt's lists are 365 days old",
        ),
    ];
    for (lists, words) in stale {
        let text = AptLists::of(lists, now).unknown_text();
        let wanted = format!("what is pending: {words} (apt-get update)");
        assert_eq!(text, Some(wanted));
    }
    let said = said_of(&Status {
        is_narrowed: true,
        ..Status::default()
    });
    let narrowed = "no upgrade of those that were asked for";
    assert!(said.contains(narrowed), "{said}");
    let said = said_of(&Status {
        pending_is_unknown: true,
        ..Status::default()
    });
    assert!(said.contains("no upgrade that is known"), "{said}");
}
