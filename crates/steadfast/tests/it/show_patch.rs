//! What `patch plan` says first, what is said once, and which flags the next command has.

use jiff::civil::date;
use model::plan::{HostIdentity, LeftAlone, PLAN_FORMAT, Patches, Selection};
use model::{Action, ActionId, Digest, Effect, HostPath, Inverse, PackageUpgrade, Plan, UnitOp};
use plan::data::{Data, DataState};
use steadfast::assessing::effects;
use steadfast::exit::Exit;
use steadfast::show::patch::{Cause, Foretold, HeldBack, Ours, Telling, ours, write};
use steadfast::show::patch_status::Status;
use steadfast::style::Style;

use crate::show_still_open::{assessed, openssl};
use crate::vulns::{Bench, record};

fn action(place: u32, effect: Effect) -> Action {
    Action {
        id: ActionId(place),
        serves: vec!["patches".to_owned()],
        effect,
        inverse: Inverse::Restore,
        rests_on: Vec::new(),
        after: Vec::new(),
        change_set: 0,
        risk: model::plan::Risk::Service,
        risk_why: None,
        validate: None,
        sensitive: false,
        decided_on_host: false,
        along: model::plan::Along::default(),
        edit: None,
    }
}

/// An upgrade of one package, the restart of one service, and one that waits for a reboot.
fn plan(left_alone: &[&str]) -> Plan {
    let package = PackageUpgrade {
        name: "libssl3".to_owned(),
        architecture: "amd64".to_owned(),
        from: Some("3.0.10-1".to_owned()),
        to: "3.0.11-1".to_owned(),
        source: None,
        origins: Vec::new(),
        security: None,
        archive: Digest::of(b""),
    };
    let restart = Effect::Unit {
        name: "nginx.service".to_owned(),
        op: UnitOp::Restart,
    };
    let upgrade = Effect::Upgrade {
        packages: vec![package],
        writes: Vec::new(),
        unfinished: Vec::new(),
        answers: Vec::new(),
        removals: Vec::new(),
        named: Vec::new(),
        limit_seconds: 1800,
    };
    Plan {
        format: PLAN_FORMAT,
        host: HostIdentity {
            hostname: "web-1".to_owned(),
            machine: None,
        },
        selection: Selection {
            patches: Some(Patches::Security),
            ..Selection::default()
        },
        actions: vec![action(0, upgrade), action(1, restart)],
        left_alone: left_alone
            .iter()
            .map(|what| LeftAlone {
                what: (*what).to_owned(),
                why: "goes on with what it has mapped, until a reboot: it is systemd itself"
                    .to_owned(),
                at: Vec::new(),
            })
            .collect(),
        premises: Vec::new(),
    }
}

fn said(plan: &Plan, foretold: &Foretold) -> String {
    let mut out = Vec::new();
    let telling = Telling {
        plan,
        foretold,
        saved: None,
        next: true,
        today: date(2026, 2, 1),
    };
    write(&mut out, &telling, &Style::plain(100, true)).expect("a vector");
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn what_decides_comes_first() {
    let bench = Bench::new("headline");
    bench.feeds(&[record("CVE-2026-0001", Some("3.0.11-1"), "critical")]);
    let before = assessed(&bench, &[openssl("3.0.10-1")]);
    let after = assessed(&bench, &[openssl("3.0.11-1")]);
    let mut foretold = Foretold {
        effects: Some(effects(before, after, Vec::new())),
        ..Foretold::default()
    };
    let text = said(&plan(&[]), &foretold);
    let first = text.lines().next().expect("a line");
    assert!(
        first.ends_with("1 package, closes 1 finding (1 overdue), 1 restart, no reboot"),
        "{text}"
    );
    assert!(
        text.ends_with("next      steadfast patch apply --only security\n"),
        "{text}"
    );
    // Once, not as a plan and again as a patch.
    assert_eq!(text.matches("plan ").count(), 1, "{text}");

    foretold.data = vec![Data {
        package: "redis-server".to_owned(),
        state: DataState::AtRisk {
            why: "no backup is declared".to_owned(),
        },
    }];
    let text = said(&plan(&["init.scope"]), &foretold);
    let at = |wanted: &str| {
        text.find(wanted)
            .unwrap_or_else(|| panic!("{wanted}: {text}"))
    };
    assert!(at("needs a reboot") < 120, "{text}");
    let order = [
        "restarts  nginx.service",
        "reboot    init.scope runs on with the old files until then",
        "needs     --accept-data-loss",
        "closes    1 finding",
        "upgrade",
        "feeds ",
        "next ",
    ];
    assert!(order.is_sorted_by_key(|wanted| at(wanted)), "{text}");
    assert!(
        text.ends_with("next      steadfast patch apply --only security --accept-data-loss\n"),
        "{text}"
    );
    foretold.effects = None;
    let text = said(&plan(&[]), &foretold);
    assert!(text.contains("1 package, 1 restart, no reboot"), "{text}");
}

/// Case 11 of a day of patching: feeds that end before an update came out can't say that it closes
/// nothing.
#[test]
fn feeds_that_ended_leave_unknown_what_it_closes() {
    let bench = Bench::new("ended");
    bench.feeds(&[record("CVE-2026-0001", Some("3.0.9-1"), "critical")]);
    let mut before = assessed(&bench, &[openssl("3.0.10-1")]);
    let after = assessed(&bench, &[openssl("3.0.11-1")]);
    assert!(before.findings.is_empty());
    let told = |now: &advisory::assess::Assessment| {
        let foretold = Foretold {
            effects: Some(effects(now.clone(), after.clone(), Vec::new())),
            ..Foretold::default()
        };
        said(&plan(&[]), &foretold)
    };
    for feed in &mut before.feeds {
        feed.stale = false;
    }
    let text = told(&before);
    assert!(text.contains("closes no known finding"), "{text}");
    for feed in &mut before.feeds {
        feed.stale = true;
    }
    let text = told(&before);
    assert!(
        text.contains("which findings it closes is unknown: the feeds end on 20"),
        "{text}"
    );
    assert!(text.contains("know no later fix"), "{text}");
    assert!(!text.contains("no known finding"), "{text}");
}

#[test]
fn what_is_held_of_one_source_is_said_once() {
    let bench = Bench::new("held");
    bench.feeds(&[record("CVE-2026-0001", Some("3.0.11-1"), "critical")]);
    let keeps_open = assessed(&bench, &[openssl("3.0.10-1")]).findings;
    let held = |name: &str, source: Option<&str>| HeldBack {
        name: name.to_owned(),
        source: source.map(str::to_owned),
        from: Some("3.0.10-1".to_owned()),
        to: "3.0.11-1".to_owned(),
        security: true,
        why: Cause::Held,
        waits_for: Vec::new(),
        keeps_open: keeps_open.clone(),
    };
    let of_one = [
        held("libssl3", Some("openssl")),
        held("openssl", Some("openssl")),
        held("other", None),
    ];
    let foretold = Foretold {
        held: of_one.into(),
        ..Foretold::default()
    };
    let text = said(&plan(&[]), &foretold);
    let together = "held      openssl (libssl3, openssl): held at 3.0.10-1; 3.0.11-1 is a security";
    assert!(text.contains(together), "{text}");
    assert!(text.contains("held      other: held at"), "{text}");
    assert_eq!(text.matches("CVE-2026-0001").count(), 2, "{text}");
}

/// Case 24: without a feed nothing is known to stay open for a hold, and it is said all the same.
#[test]
fn what_keeps_nothing_open_is_said_as_well() {
    let one = |name: &str, why: Cause, security: bool| HeldBack {
        name: name.to_owned(),
        source: None,
        from: Some("1.0-1".to_owned()),
        to: "1.0-2".to_owned(),
        security,
        why,
        waits_for: Vec::new(),
        keeps_open: Vec::new(),
    };
    let foretold = Foretold {
        held: vec![
            one("toolb", Cause::Held, false),
            one("toola", Cause::Held, false),
            one("toolc", Cause::Pinned, true),
            one("toold", Cause::KeptBack, false),
        ],
        ..Foretold::default()
    };
    let text = said(&plan(&[]), &foretold);
    let wanted = [
        "pinned    toolc: kept at 1.0-1 by a pin; 1.0-2 is a security update",
        "held      toolb, toola: held at 1.0-1; 1.0-2 is newer",
        "kept back toold: kept back at 1.0-1 by apt",
    ];
    let at = |wanted: &str| {
        text.find(wanted)
            .unwrap_or_else(|| panic!("{wanted}: {text}"))
    };
    assert!(wanted.is_sorted_by_key(|wanted| at(wanted)), "{text}");
    let mut status = Status {
        held: foretold.held,
        broken: [("failp".to_owned(), "half-configured".to_owned())].into(),
        ..Status::default()
    };
    let status_text = |status: &Status| {
        let mut out = Vec::new();
        steadfast::show::patch_status::write(&mut out, status, date(2026, 2, 1)).expect("a vector");
        String::from_utf8(out).expect("UTF-8")
    };
    let text = status_text(&status);
    for wanted in wanted {
        assert!(text.contains(wanted), "{text}");
    }
    // Case 6: before everything else.
    let first = "dpkg has not finished its work: failp is half-configured\n";
    assert!(text.starts_with(first), "{text}");
    assert!(text.contains("steadfast patch plan --repair"), "{text}");
    status.package_manager = Some("process 812 (dpkg)".to_owned());
    let text = status_text(&status);
    assert!(text.starts_with("process 812 (dpkg) is at work"), "{text}");
    assert!(!text.contains("--repair"), "{text}");
}

/// What can't be told is never nothing.
#[test]
fn what_is_unknown_is_not_nothing() {
    let mut empty = plan(&[]);
    empty.actions.clear();
    let mut foretold = Foretold::default();
    assert_eq!(foretold.exit_without_actions(), Exit::AsWanted);
    assert!(said(&empty, &foretold).contains("nothing to do"));
    foretold.unknown = vec!["what is pending: apt has no lists of packages".to_owned()];
    assert_eq!(foretold.exit_without_actions(), Exit::Unchecked);
    let text = said(&empty, &foretold);
    assert!(!text.contains("nothing to do"), "{text}");
    assert!(
        text.contains("unknown   what is pending: apt has no lists of packages"),
        "{text}"
    );
    let json = foretold.to_json();
    assert_eq!(json["unknown"][0], foretold.unknown[0].as_str());
    let bench = Bench::new("unknown");
    bench.feeds(&[record("CVE-2026-0001", Some("3.0.11-1"), "critical")]);
    foretold.not_closed = assessed(&bench, &[openssl("3.0.10-1")]).findings;
    assert_eq!(foretold.exit_without_actions(), Exit::Findings);
}

/// A configuration file may lie where others put what they like: it is neither waited for nor followed
/// to what is not public.
#[test]
fn a_configuration_file_is_shown_as_it_is_or_not_at_all() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let tree = tempfile::tempdir().expect("a folder");
    let at = |name: &str| tree.path().join(name);
    let write = |name: &str, mode: u32| {
        std::fs::write(at(name), name).expect("written");
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(at(name), mode).expect("a mode");
    };
    write("public.conf", 0o644);
    write("private.conf", 0o640);
    // The link's own mode lets everybody read it.
    symlink("private.conf", at("link.conf")).expect("a link");
    let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe.conf"), fifo, mode, 0).expect("a pipe");
    std::fs::create_dir(at("folder.conf")).expect("made");
    let root = host::act::Root::tree(tree.path()).expect("a tree");
    let look = |name: &str| ours(&root, &HostPath::literal("/").join(name).expect("a path"));
    let file = |bytes: &str, is_public: bool| {
        Ok(Ours {
            bytes: bytes.as_bytes().to_vec(),
            is_public,
        })
    };
    assert_eq!(look("public.conf"), file("public.conf", true));
    assert_eq!(look("private.conf"), file("private.conf", false));
    assert_eq!(look("none.conf"), file("", true));
    for name in ["pipe.conf", "folder.conf"] {
        let why = look(name).expect_err(name);
        assert!(why.contains("not a regular file"), "{why}");
    }
    // Followed where nobody but root could have put it, and judged by what it leads to.
    assert!(look("link.conf").map_or(true, |found| !found.is_public));
}
