//! How a command ends by what its plan leaves out.

use model::plan::LeftAlone;
use steadfast::exit::Exit;
use steadfast::left_out::{exit, newly_unknown, unknown_line};

use crate::show_plan::root_login;

fn left(what: &str, why: &str) -> LeftAlone {
    LeftAlone {
        what: what.to_owned(),
        why: why.to_owned(),
        at: Vec::new(),
    }
}

#[test]
fn what_is_not_known_is_never_as_wanted() {
    let passes = left("cron-files", "passes already (mode 0600)");
    let unknown = left(
        "role web: sysctl:kernel.x",
        "unknown: `/proc/sys` is not there",
    );
    let error = left("logs", "error: no answer");
    let impossible = left("role web", "can't be done: /etc/x is immutable");
    let by_hand = left("role web: file:/x", "by hand: move it");
    let of_rule = left("logs", "by hand: move it");
    let cases: [(&[&LeftAlone], Exit); 8] = [
        (&[], Exit::AsWanted),
        (&[&passes], Exit::AsWanted),
        (&[&passes, &unknown], Exit::Unchecked),
        (&[&error], Exit::Unchecked),
        (&[&unknown, &impossible], Exit::Findings),
        (&[&by_hand], Exit::Findings),
        // `plan --baseline` of a host on which all is done that can be done.
        (&[&of_rule], Exit::AsWanted),
        (&[&of_rule, &error], Exit::Unchecked),
    ];
    for (all, wanted) in cases {
        let all: Vec<LeftAlone> = all.iter().map(|one| (*one).clone()).collect();
        assert_eq!(exit(&all), wanted, "{all:?}");
    }
    assert_eq!(unknown_line(&[passes.clone(), of_rule]), None);
    assert_eq!(
        unknown_line(&[passes, unknown, error.clone(), error]).as_deref(),
        Some(
            "not known to be as wanted, since it could not be looked at: role web: \
             sysctl:kernel.x, logs"
        )
    );
}

#[test]
fn what_can_not_be_looked_at_after_a_change_has_not_reached_its_goal() {
    let plan = root_login();
    let served = plan.actions[0].serves[0].clone();
    let mut rest = plan.clone();
    rest.left_alone = vec![left(&served, "unknown: no answer within 5000 ms")];
    let failed = newly_unknown(&plan, &rest);
    assert_eq!(
        failed,
        [(
            served.clone(),
            "it can't be looked at any more: unknown: no answer within 5000 ms".to_owned()
        )]
    );
    // It could not be before.
    let mut before = plan.clone();
    before.left_alone = vec![left(&served, "unknown: no answer within 4000 ms")];
    assert_eq!(newly_unknown(&before, &rest), []);
    // A part of it could not be before, another can't be by now.
    rest.left_alone.push(left(&served, "error: no memory"));
    assert_eq!(newly_unknown(&before, &rest).len(), 1);
    // Of something else, this change knows nothing.
    rest.left_alone = vec![left("another-rule", "unknown: no answer")];
    assert_eq!(newly_unknown(&plan, &rest), []);
    // A want of a role is named by its key.
    let mut of_role = plan;
    of_role.actions[0].serves = vec!["role web".to_owned()];
    rest.left_alone = vec![left("role web: file:/x", "unknown: no answer")];
    assert_eq!(newly_unknown(&of_role, &rest)[0].0, "role web");
    rest.left_alone = vec![left("role web2: file:/x", "unknown: no answer")];
    assert_eq!(newly_unknown(&of_role, &rest), []);
}
