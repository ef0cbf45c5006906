//! The restart of the machine after a patch that needs one, and the look at the host when it is up.

use std::time::{Duration, Instant};

use ::plan::patch::left_for_a_reboot;
use host::packages::kernel;
use host::packages::old_files::OldFiles;
use host::restart::{self, RestartError};
use host::{LocalHost, State};
use jiff::Timestamp;
use model::count::plural;
use model::{Change, ChangeId, ChangeState, Effect, Plan};

use super::status::is_reboot_due;
use super::well::Before;
use super::when::Times;
use crate::context::{self, Context};
use crate::duration::Span;
use crate::exit::Exit;
use crate::failure::Failure;

/// A machine that is restarted so late is up again after its window.
const NEEDS: Duration = Duration::from_secs(300);

/// Why the machine is to be restarted: what goes on with what an upgrade replaced until then.
fn reasons(host: &LocalHost) -> Result<Vec<String>, Failure> {
    let components = host
        .distribution_packages()
        .map_err(|why| Failure::new(Exit::Unchecked, why, "the machine was not restarted"))?;
    let mut reasons = Vec::new();
    if is_reboot_due(&kernel(host), &components) {
        reasons.push("the kernel".to_owned());
    }
    let old = OldFiles::now();
    for process in &old.running {
        if let Some(unit) = process.unit.as_deref()
            && left_for_a_reboot(unit).is_some()
            && !reasons.iter().any(|one| one == unit)
        {
            reasons.push(unit.to_owned());
        }
    }
    Ok(reasons)
}

/// Restarts the machine where that is needed, for the newest patch that is in effect or waits.
pub(super) fn after(
    context: &Context,
    host: &LocalHost,
    before: &Before,
    times: Option<&Times>,
    confirm_within: Span,
) -> Result<Exit, Failure> {
    let reasons = reasons(host)?;
    if reasons.is_empty() {
        crate::say(format_args!("no restart of the machine is needed"));
        return Ok(Exit::AsWanted);
    }
    let what = reasons.join(", ");
    if let Some(times) = times
        && !times.is_open_for(NEEDS)
    {
        crate::say(format_args!(
            "the machine is not restarted, since the window closes before it is up again; {what} \
             waits for that: steadfast patch apply --reboot in the next one"
        ));
        return Ok(Exit::Findings);
    }
    let state = context.open_state()?;
    let Some(id) = newest(&state)? else {
        crate::say(format_args!(
            "the machine is not restarted: {what} waits for that, and no patch of Steadfast's is the \
             cause"
        ));
        return Ok(Exit::Findings);
    };
    crate::say(format_args!(
        "the machine is restarted now, for {what}; when it is up, the host is looked at again: \
         steadfast show {id}"
    ));
    restart::restart(host, &state, id, &before.expected(), confirm_within.0).map_err(refusal)?;
    Ok(Exit::AsWanted)
}

fn refusal(error: RestartError) -> Failure {
    let exit = match error {
        RestartError::NotInEffect { .. } | RestartError::NoGuard(_) | RestartError::Lock(_) => {
            Exit::Findings
        }
        RestartError::State(_) | RestartError::Act(_) => Exit::NeedsPerson,
    };
    let help = "the machine was not restarted; the patch stays as it is";
    Failure::with_help(exit, error, help)
}

/// The newest upgrade that is in effect, or waits to be confirmed.
fn newest(state: &State) -> Result<Option<ChangeId>, Failure> {
    let stands = |change: &&Change| {
        matches!(
            change.state,
            ChangeState::Committed | ChangeState::AwaitingConfirmation
        )
    };
    let history = state.history().map_err(context::refused)?;
    for change in history.iter().rev().filter(stands) {
        let plan = state.plan_of(change.id).map_err(context::refused)?;
        if is_an_upgrade(&plan) {
            return Ok(Some(change.id));
        }
    }
    Ok(None)
}

fn is_an_upgrade(plan: &Plan) -> bool {
    let mut effects = plan.actions.iter().map(|action| &action.effect);
    plan.selection.patches.is_some()
        && effects.any(|effect| matches!(effect, Effect::Upgrade { .. }))
}

/// A host that is not up by then is looked at as it is.
const UP_LIMIT: Duration = Duration::from_secs(900);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Waits until the host is up.
pub fn wait_until_up() {
    let until = Instant::now() + UP_LIMIT;
    while restart::is_booting() && Instant::now() < until {
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Looks at the host after the restart for each of these changes, and records how it is.
pub fn look(context: &Context, state: &State, changes: &[ChangeId]) -> Result<Exit, Failure> {
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let mut exit = Exit::AsWanted;
    for &id in changes {
        let expected = restart::expected(state, id).map_err(context::refused)?;
        let plan = state.plan_of(id).map_err(context::refused)?;
        let before = Before::noted(expected, &plan);
        let why = before.after_restart(context.directory());
        if why.is_empty() {
            crate::say(format_args!(
                "change {id}: the machine was restarted for it, and the host is well"
            ));
        } else {
            exit = exit.or(Exit::Findings);
            crate::say(format_args!(
                "change {id}: after the restart {} not as before",
                match why.len() {
                    1 => "1 thing is".to_owned(),
                    _ => format!("{} are", plural(why.len(), "thing")),
                }
            ));
            for one in &why {
                crate::say(format_args!("  {one}"));
            }
        }
        restart::conclude(&host, state, id, why, Timestamp::now())
            .map_err(|error| Failure::because(Exit::NeedsPerson, error))?;
    }
    Ok(exit)
}
