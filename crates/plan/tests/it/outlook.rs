//! What a look at the host says of a plan.

use std::collections::BTreeMap;

use model::plan::Selection;
use model::{ActionId, Effect, Plan, Risk, Severity};
use plan::converge::plan as converge;
use plan::outlook::{Outlook, regard};
use serde_json::json;

use crate::support::{Memory, host, rule, wanted};

/// Three files of two rules; the second rule's stand or fall together.
fn three() -> Plan {
    let memory = Memory::new(
        &[("/etc/a", "1\n"), ("/etc/b", "1\n"), ("/etc/c", "1\n")],
        &[],
    );
    let file = |path: &str| json!({"file": {"path": path, "content": "2\n"}});
    let wanted = wanted(vec![
        rule("one", Severity::Low, &[file("/etc/a")]),
        rule("two", Severity::Low, &[file("/etc/b"), file("/etc/c")]),
    ]);
    let answers = memory.answers(&wanted);
    let mut plan = converge(&wanted, &answers, host(), Selection::default()).expect("a plan");
    plan.actions[2].change_set = plan.actions[1].change_set;
    plan.actions[2].after = vec![ActionId(1)];
    plan
}

fn impossible(id: u32) -> BTreeMap<ActionId, Outlook> {
    let why = "/etc/x: it is immutable (chattr +i)".to_owned();
    BTreeMap::from([(ActionId(id), Outlook::Impossible(why))])
}

fn paths(plan: &Plan) -> Vec<String> {
    let paths = plan
        .actions
        .iter()
        .filter_map(|action| action.effect.path());
    paths.map(ToString::to_string).collect()
}

#[test]
fn what_can_not_be_done_is_left_out_by_name_and_the_rest_stands() {
    let plan = regard(three(), &impossible(0));
    assert_eq!(paths(&plan), ["/etc/b", "/etc/c"]);
    assert_eq!(plan.actions[1].after, [ActionId(0)]);
    assert_eq!(plan.actions[0].change_set, 0);
    // What only that action rested on holds nothing up any more.
    assert_eq!(plan.premises.len(), 2, "{:#?}", plan.premises);
    for action in &plan.actions {
        let place = action.rests_on[0] as usize;
        let probe = format!("{:?}", plan.premises[place].probe);
        let path = action.effect.path().expect("a file").to_string();
        assert!(probe.contains(&path), "{path}: {probe}");
    }
    let left = &plan.left_alone[0];
    assert!(left.is_impossible());
    assert_eq!(left.what, "one");
    assert_eq!(
        left.why,
        "can't be done: /etc/x: it is immutable (chattr +i)"
    );
}

#[test]
fn what_stands_or_falls_with_it_goes_too() {
    let plan = regard(three(), &impossible(2));
    assert_eq!(paths(&plan), ["/etc/a"]);
    assert!(
        plan.left_alone[0]
            .why
            .ends_with("1 step that stands or falls with it is left out too"),
        "{:?}",
        plan.left_alone
    );
}

#[test]
fn bits_that_new_content_loses_are_said_as_a_risk() {
    let drops = Outlook::Drops("/etc/a loses its set-user-ID bit".to_owned());
    let plan = regard(three(), &BTreeMap::from([(ActionId(0), drops)]));
    assert!(matches!(plan.actions[0].effect, Effect::PutFile { .. }));
    assert_eq!(plan.actions[0].risk, Risk::Service);
    let why = plan.actions[0].risk_why.as_deref();
    assert_eq!(why, Some("/etc/a loses its set-user-ID bit"));
    assert_eq!(plan.actions.len(), 3);
}
