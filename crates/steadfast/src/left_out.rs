//! What a plan leaves out is not as wanted, or nobody knows whether it is: how a command that made
//! or carried out the plan ends, and what it says last.

use std::collections::BTreeMap;

use model::Plan;
use model::count::first_of;
use model::plan::LeftAlone;

use crate::exit::Exit;

/// Wants that are named; the rest is counted.
const NAMED: usize = 6;

/// What can't be done or is for somebody's hands is a finding; what could not be looked at is
/// unknown, and never as wanted.
pub fn exit(left: &[LeftAlone]) -> Exit {
    left.iter()
        .map(|one| {
            if one.is_impossible() || one.is_by_hand_of_role() {
                Exit::Findings
            } else if one.is_unknown() {
                Exit::Unchecked
            } else {
                Exit::AsWanted
            }
        })
        .collect()
}

/// The last lines of who carried out the rest.
pub fn say(left: &[LeftAlone]) {
    let undone = |one: &&LeftAlone| one.is_impossible() || one.is_by_hand_of_role();
    for one in left.iter().filter(undone) {
        crate::say(format_args!("left out for {}: {}", one.what, one.why));
    }
    for one in left.iter().filter(|one| one.is_unknown()).take(NAMED) {
        crate::say(format_args!("{}: {}", one.what, one.why));
    }
    say_unknown(left);
}

/// The last line where something could not be looked at.
pub fn say_unknown(left: &[LeftAlone]) {
    if let Some(line) = unknown_line(left) {
        crate::say(format_args!("{line}"));
    }
}

pub fn unknown_line(left: &[LeftAlone]) -> Option<String> {
    let unknown = left.iter().filter(|one| one.is_unknown());
    let mut what: Vec<String> = unknown.map(|one| one.what.clone()).collect();
    // A rule has several wants, and one name.
    what.dedup();
    let is_any = !what.is_empty();
    is_any.then(|| {
        format!(
            "not known to be as wanted, since it could not be looked at: {}",
            first_of(&what, NAMED)
        )
    })
}

/// What the plan served and could be looked at before it, and can't be looked at after it: nothing
/// shows that its goal is reached.
pub fn newly_unknown(plan: &Plan, rest: &Plan) -> Vec<(String, String)> {
    fn unknown(plan: &Plan) -> BTreeMap<&str, Vec<&LeftAlone>> {
        let mut all: BTreeMap<&str, Vec<&LeftAlone>> = BTreeMap::new();
        for one in plan.left_alone.iter().filter(|one| one.is_unknown()) {
            all.entry(&one.what).or_default().push(one);
        }
        all
    }
    let before = unknown(plan);
    let is_served = |name: &str| {
        let mut serves = plan.actions.iter().flat_map(|action| &action.serves);
        // A want of a role is called by the role and its key.
        serves.any(|served| {
            name.strip_prefix(served.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
        })
    };
    let mut failed = Vec::new();
    for (name, now) in unknown(rest) {
        let more = now.len() > before.get(name).map_or(0, Vec::len);
        if more && is_served(name) {
            let why = format!("it can't be looked at any more: {}", now[0].why);
            let (served, _) = name.split_once(": ").unwrap_or((name, ""));
            failed.push((served.to_owned(), why));
        }
    }
    failed
}
