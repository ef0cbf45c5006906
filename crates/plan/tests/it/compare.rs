//! A saved plan against today's.

use model::Plan;
use model::plan::Selection;
use plan::compare::{Difference, differences};

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
                if matches!(&saved.probe, model::Probe::File { path, .. }
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
