//! `steadfast confirm`: keeps a change that waits to be confirmed.

use host::{ConfirmError, LocalHost};
use jiff::Timestamp;
use model::ChangeState;

use crate::context::{self, Context};
use crate::exit::Exit;
use crate::failure::Failure;

/// Keep a change, or an undo, that would otherwise be taken back
///
/// From a connection that was made after the change, this proves that nobody is cut off.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sudo steadfast confirm c-19")]
pub struct Args {
    /// The change: c-19, 19 or `last`
    #[arg(value_name = "CHANGE")]
    change: String,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let state = context.needed_state()?;
    let change = context.change(&state, &args.change)?;
    let is_undo = match change.state {
        ChangeState::Committed => {
            crate::say(format_args!("change {} is committed already", change.id));
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
    host::confirm(&host, &state, change.id, &by, Timestamp::now()).map_err(|error| {
        let (exit, help) = match error {
            ConfirmError::NotAwaiting { .. } => {
                (Exit::BadInput, "steadfast history lists the changes")
            }
            ConfirmError::TooLate(_) => (Exit::TakenBack, "it is being taken back; apply it again"),
            ConfirmError::Lock(_) => (Exit::Findings, "try again"),
            ConfirmError::State(_) | ConfirmError::Act(_) => (
                Exit::NeedsPerson,
                "steadfast history shows what is going on",
            ),
        };
        Failure::with_help(exit, error, help)
    })?;
    if is_undo {
        crate::say(format_args!(
            "change {} undone: the host stays as it was before it",
            change.id
        ));
        return Ok(Exit::AsWanted);
    }
    crate::say(format_args!(
        "change {0} committed. steadfast undo {0} takes it back.",
        change.id
    ));
    Ok(Exit::AsWanted)
}
