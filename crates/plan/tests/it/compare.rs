//! A saved plan against today's.

use model::plan::Selection;
use model::{Plan, Probe};
use plan::compare::{Difference, differences};
use serde_json::json;

use crate::support::{Memory, host, rule, sysctl, wanted};
use model::Severity;

fn plan_for(memory: &Memory) -> Plan {
    let wanted = wanted(vec![rule("r", Severity::High, &[sysctl("k.x", 1)])]);
    let answers = memory.answers(&wanted);
    plan::converge::plan(&wanted, &answers, host(), Selection::default()).expect("a plan")
}

fn bad() -> Memory {
    Memory::new(&[("/etc/sysctl.d/10.conf", "k.x = 0\n")], &[("k.x", "0")])
}

#[test]
fn the_same_state_gives_the_same_plan() {
    let (saved, now) = (plan_for(&bad()), plan_for(&bad()));
    assert_eq!(saved.to_json(), now.to_json());
    assert_eq!(differences(&saved, &now), []);
}

#[test]
fn a_saved_plan_survives_its_form() {
    let plan = plan_for(&bad());
    let read: Plan = serde_json::from_str(&plan.to_json()).expect("our own form");
    assert_eq!(read, plan);
    assert_eq!(read.id(), plan.id());
}

#[test]
fn a_changed_host_is_told_by_what_changed() {
    let saved = plan_for(&bad());
    let mut changed = bad();
    changed.files.insert(
        "/etc/sysctl.d/10.conf".to_owned(),
        "k.x = 0\n# mine\n".to_owned(),
    );
    let found = differences(&saved, &plan_for(&changed));
    assert!(
        found.iter().any(|difference| matches!(difference,
            Difference::Observed { saved, now: Some(_) }
                if matches!(&saved.probe, Probe::File { path, .. }
                    if path.to_string() == "/etc/sysctl.d/10.conf"))),
        "{found:?}"
    );
}

#[test]
fn any_alteration_of_a_saved_plan_is_a_difference() {
    let now = plan_for(&bad());
    let alterations: [fn(&mut Plan); 5] = [
        |plan| plan.actions.clear(),
        |plan| plan.actions[0].sensitive = true,
        |plan| plan.host.hostname = "db-01".to_owned(),
        |plan| {
            plan.left_alone.push(model::plan::LeftAlone {
                what: "r".to_owned(),
                why: "because".to_owned(),
                at: Vec::new(),
            })
        },
        |plan| plan.premises[0].digest = model::Digest::of(b"something else"),
    ];
    for (at, alter) in alterations.into_iter().enumerate() {
        let mut saved = now.clone();
        alter(&mut saved);
        assert_ne!(differences(&saved, &now), [], "alteration {at}");
    }
}

fn plan_of_walk(open: &[(&str, u64)]) -> Plan {
    let mut memory = Memory::new(&[], &[]);
    memory.open = open
        .iter()
        .map(|(path, size)| ((*path).to_owned(), *size))
        .collect();
    let walks = json!({"files_where": {"test": "world_writable_files"}});
    let wanted = wanted(vec![
        rule("files", Severity::High, &[walks]),
        rule("r", Severity::High, &[sysctl("k.x", 1)]),
    ]);
    let mut answers = memory.answers(&wanted);
    for (probe, seen) in bad().answers(&wanted).iter() {
        if !matches!(probe, Probe::Walk { .. }) {
            answers.insert(probe.clone(), seen.clone());
        }
    }
    plan::converge::plan(&wanted, &answers, host(), Selection::default()).expect("a plan")
}

/// Any user makes files anywhere at any moment: a plan rests on those that it changes.
#[test]
fn what_a_walk_finds_later_is_no_difference_and_what_it_found_is() {
    let saved = plan_of_walk(&[("/srv/b", 1), ("/srv/d", 1)]);
    let on: Vec<String> = saved
        .premises
        .iter()
        .map(|premise| premise.probe.to_string())
        .collect();
    assert!(
        !saved
            .premises
            .iter()
            .any(|premise| matches!(premise.probe, Probe::Walk { .. }))
    );
    assert!(on.contains(&"who may use `/srv/b`".to_owned()), "{on:?}");
    // Each file is a thing by itself.
    let finds: Vec<&model::Action> = saved
        .actions
        .iter()
        .filter(|action| action.serves == ["files"])
        .collect();
    assert_eq!(finds.len(), 2);
    assert!(finds.iter().all(|action| action.rests_on.len() == 1));
    assert_ne!(finds[0].rests_on, finds[1].rests_on);
    // Files before, between and after them, and a log that grows.
    let now = plan_of_walk(&[
        ("/srv/a", 1),
        ("/srv/b", 999),
        ("/srv/c", 1),
        ("/srv/d", 1),
        ("/srv/e", 1),
    ]);
    assert_eq!(now.actions.len(), saved.actions.len() + 3);
    assert_eq!(differences(&saved, &now), []);
    // The rule passed, and does not by now: that is for the next plan.
    let none = plan_of_walk(&[]);
    assert!(none.left_alone.iter().any(|left| left.passes()));
    assert_eq!(differences(&none, &saved), []);
    // One that was to be changed is gone.
    let gone = plan_of_walk(&[("/srv/b", 1), ("/srv/c", 1)]);
    assert!(differences(&saved, &gone).iter().any(|one| matches!(one,
        Difference::Observed { saved, now: None } if saved.probe.to_string().contains("/srv/d"))));
}

/// As the commit c59aa7a wrote it, before plans had stages.
const OLDER: &str = include_str!("older/plan-1.json");

#[test]
fn a_plan_of_an_older_form_is_read_and_says_the_same() {
    let older = Plan::from_json(OLDER).expect("form 1");
    assert_eq!(older.format, 1);
    assert!(!older.actions.is_empty());
    // Byte for byte: its name is the digest of it.
    let written: serde_json::Value = serde_json::from_str(&older.to_json()).expect("JSON");
    let read: serde_json::Value = serde_json::from_str(OLDER).expect("JSON");
    assert_eq!(written, read);
    // Made again today it has today's form, and does the same.
    let mut today = older.clone();
    today.format = model::plan::PLAN_FORMAT;
    assert_eq!(differences(&older, &today), []);
    today.actions.pop();
    assert_ne!(differences(&older, &today), []);
}

#[test]
fn a_plan_of_a_newer_form_is_refused_by_its_number() {
    let newer = r#"{"format": 3, "host": "another form altogether", "stages": []}"#;
    let said = Plan::from_json(newer).expect_err("it is newer").to_string();
    assert!(said.contains("newer steadfast: its format is 3"), "{said}");
    let none = r#"{"format": 0}"#;
    let said = Plan::from_json(none)
        .expect_err("there was none")
        .to_string();
    assert!(said.contains("format 0 is not known"), "{said}");
}
