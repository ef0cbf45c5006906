//! `steadfast confirm`: keeps a change that waits to be confirmed.

use host::{ConfirmError, LocalHost, Proof, Session, Unproven, after_undo};
use jiff::Timestamp;
use model::ChangeState;

use crate::commands::recover::say_each;
use crate::context::{self, Context};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::named_change::ToWhat;
use crate::show::events::way_back;

/// Keep a change, or an undo, that would otherwise be taken back
///
/// From a login that began after the change, this proves that nobody is cut off. From the
/// login that made the change, or an earlier one, it proves nothing, and is refused. From no
/// login at all (a script, a timer, a container's console) nothing can be told: the change is
/// kept, with exit 0, and recorded as kept without a proof. So a job that applies and confirms
/// ends the guard itself; let it end with `--detach`, and have a person confirm.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sudo steadfast confirm\n  sudo steadfast confirm c-19 --unproven"
)]
pub struct Args {
    /// The change: c-19, 19 or `last`; without it, the one that waits
    #[arg(value_name = "CHANGE")]
    change: Option<String>,
    /// Keep it from this login too, although that does not show that anyone can sign in
    #[arg(long)]
    unproven: bool,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let state = context.needed_state()?;
    let change = context.named_change(&state, args.change.as_deref(), ToWhat::Confirm)?;
    let is_undo = match change.state {
        ChangeState::Committed => {
            crate::say(format_args!("change {} is in effect already", change.id));
            return Ok(Exit::AsWanted);
        }
        ChangeState::Undone => {
            crate::say(format_args!("change {} is undone already", change.id));
            return Ok(Exit::AsWanted);
        }
        state => state == ChangeState::AwaitingUndoConfirmation,
    };
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let by = context::who(&host);
    let unproven = match args.unproven {
        true => Unproven::Accept,
        false => Unproven::Refuse,
    };
    let caller = Session::of_caller();
    let asked_by = (by.as_str(), &caller);
    let now = Timestamp::now();
    let proof = host::confirm_from(&host, &state, change.id, asked_by, unproven, now);
    let proof = proof.map_err(|error| {
        let (exit, help) = match error {
            ConfirmError::NotAwaiting { .. } => {
                (Exit::BadInput, "steadfast history lists the changes")
            }
            ConfirmError::TooLate(_) => (Exit::TakenBack, "it is being taken back; apply it again"),
            ConfirmError::Unproven { .. } => (
                Exit::Findings,
                "sign in anew, and confirm it from there; or add --unproven to keep it all the same",
            ),
            ConfirmError::Lock(_) => (Exit::Findings, "try again"),
            ConfirmError::State(_) | ConfirmError::Act(_) => (
                Exit::NeedsPerson,
                "steadfast history shows what is going on",
            ),
        };
        Failure::with_help(exit, error, help)
    })?;
    if proof != Proof::NewLogin {
        crate::say(format_args!(
            "kept without a proof: nothing shows that anyone can still sign in"
        ));
    }
    if is_undo {
        // Nothing but a look makes these words.
        let found = after_undo(&host, &state, change.id);
        let so = match found.as_deref() {
            Ok([]) => ": the host is as it was before it",
            _ => "",
        };
        crate::say(format_args!(
            "change {} undone, and stays so{so}",
            change.id
        ));
        match found {
            Ok(found) => say_each(change.id, &found),
            Err(error) => crate::say(format_args!(
                "whether the host is as it was before it can't be looked at: {error}"
            )),
        }
        return Ok(Exit::AsWanted);
    }
    crate::say(format_args!(
        "change {0} is confirmed, and stays in effect. {1}",
        change.id,
        way_back(change.id, &change.no_way_back)
    ));
    Ok(Exit::AsWanted)
}
