//! The check of a command that the policy declares: it says whether what the command is for holds.

use model::value::Output;
use model::{Action, Answer, Effect, Plan, Probe, Value};

use crate::Host;
use crate::act::Root;
use crate::local::LocalHost;

/// Do all checks that the action rests on pass in this moment? No where there is none, and where one
/// can't be asked.
pub fn is_as_wanted(root: &Root, plan: &Plan, action: &Action) -> bool {
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
    checks.peek().is_some()
        && host.is_ok_and(|host| {
            checks.all(|check| {
                let answer = host.probe(check).answer;
                matches!(
                    answer,
                    Answer::Known(Value::Output(Output {
                        status: Some(0),
                        ..
                    }))
                )
            })
        })
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
