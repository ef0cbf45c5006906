//! The restart of the machine after a patch that needs one, and the look at the host when it is up.

use std::time::{Duration, Instant};

use ::plan::patch::left_for_a_reboot;
use host::packages::kernel;
use host::packages::old_files::OldFiles;
use host::restart::{self, RestartError};
use host::{LocalHost, State};
use jiff::Timestamp;
use model::count::{first_of, plural};
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
/// Processes that are named.
const NAMED: usize = 8;

/// Why the machine is to be restarted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reasons {
    /// What goes on with what an upgrade replaced until then.
    known: Vec<String>,
    /// What may, and can't be looked at.
    unknown: Vec<String>,
}

impl Reasons {
    fn find(host: &LocalHost) -> Result<Self, Failure> {
        let components = host
            .distribution_packages()
            .map_err(|why| Failure::new(Exit::Unchecked, why, "the machine was not restarted"))?;
        let is_kernel_due = is_reboot_due(&kernel(host), &components);
        Ok(Self::of(is_kernel_due, &OldFiles::now()))
    }

    fn of(is_kernel_due: bool, old: &OldFiles) -> Self {
        let mut known: Vec<String> = Vec::new();
        if is_kernel_due {
            known.push("the kernel".to_owned());
        }
        for process in &old.running {
            if let Some(unit) = process.unit.as_deref()
                && left_for_a_reboot(unit).is_some()
                && !known.iter().any(|one| one == unit)
            {
                known.push(unit.to_owned());
            }
        }
        // Of another unit, it can be restarted without the machine.
        let may_wait = |unit: &String| left_for_a_reboot(unit).is_some();
        let unseen = old.unseen.iter();
        let unknown = unseen.filter(|one| one.unit.as_ref().is_none_or(may_wait));
        Self {
            known,
            unknown: unknown.map(ToString::to_string).collect(),
        }
    }
}

/// Restarts the machine where that is needed, for the newest patch that is in effect or waits.
pub(super) fn after(
    context: &Context,
    host: &LocalHost,
    before: &Before,
    times: Option<&Times>,
    confirm_within: Span,
) -> Result<Exit, Failure> {
    let reasons = Reasons::find(host)?;
    if reasons.known.is_empty() {
        if reasons.unknown.is_empty() {
            crate::say(format_args!("no restart of the machine is needed"));
            return Ok(Exit::AsWanted);
        }
        crate::say(format_args!(
            "unknown: whether a restart of the machine is needed, since these can't be looked at: {}; \
             the machine is not restarted",
            first_of(&reasons.unknown, NAMED)
        ));
        return Ok(Exit::Unchecked);
    }
    let what = reasons.known.join(", ");
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

#[cfg(test)]
mod tests {
    use super::{OldFiles, Reasons};
    use host::packages::users::Unseen;

    #[test]
    fn what_can_not_be_looked_at_may_ask_for_a_restart() {
        let unseen = |id: Option<u32>, unit: Option<&str>| OldFiles {
            unseen: vec![Unseen {
                id,
                name: "x".to_owned(),
                unit: unit.map(str::to_owned),
            }],
            ..OldFiles::default()
        };
        let unknown = |old: &OldFiles| Reasons::of(false, old).unknown;
        assert_eq!(unknown(&unseen(Some(7), Some("dbus.service"))), ["x (7)"]);
        assert_eq!(unknown(&unseen(Some(7), None)), ["x (7)"]);
        assert_eq!(unknown(&unseen(None, None)).len(), 1);
        assert!(unknown(&unseen(Some(7), Some("nginx.service"))).is_empty());
        assert!(unknown(&OldFiles::default()).is_empty());
        assert_eq!(
            Reasons::of(true, &OldFiles::default()).known,
            ["the kernel"]
        );
    }
}
