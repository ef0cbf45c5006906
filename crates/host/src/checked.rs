//! The check of a command that the policy declares: it says whether what the command is for holds.

use model::value::Output;
use model::{Action, Answer, Effect, Plan, Probe, Value};

use crate::Host;
use crate::act::Root;
use crate::local::LocalHost;

/// Do all checks that the action rests on pass in this moment? None where there is none, and where one
/// can't be asked.
pub fn is_as_wanted(root: &Root, plan: &Plan, action: &Action) -> Option<bool> {
    let places = action.rests_on.iter();
    let mut checks = places
        .filter_map(|place| plan.premises.get(*place as usize))
        .map(|premise| &premise.probe)
        .filter(|probe| matches!(probe, Probe::Command { .. }))
        .peekable();
    let host = match root.is_live() {
        true => LocalHost::running(),
        false => LocalHost::offline(root.path()),
    };
    checks.peek()?;
    let host = host.ok()?;
    let mut all = true;
    for check in checks {
        match host.probe(check).answer {
            Answer::Known(Value::Output(Output {
                status: Some(status),
                ..
            })) => all &= status == 0,
            _ => return None,
        }
    }
    Some(all)
}

/// How a command's way back is called.
pub fn way_back(back: &Effect) -> String {
    match back {
        Effect::Run { argv, .. } => {
            format!("`{}`", model::printable(argv.join(" ").as_bytes()))
        }
        _ => "its way back".to_owned(),
    }
}

/// What is said of one that was not taken.
pub fn not_run(back: &Effect, why: &str) -> String {
    format!("{} was not run: {why}", way_back(back))
}
