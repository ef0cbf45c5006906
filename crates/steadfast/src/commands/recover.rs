//! `steadfast recover`: finishes or takes back what was interrupted.

use host::LocalHost;

use crate::context::{self, Context};
use crate::duration::Span;
use crate::exit::Exit;
use crate::failure::Failure;

/// Finish or take back what a crash or a power cut interrupted
///
/// Runs by itself at boot, and before any command that changes something. It acts only on
/// records that this host wrote.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sudo steadfast recover")]
pub struct Args {
    /// Put the recovery unit and a copy of this program in place now, as the first apply does
    #[arg(long)]
    install: bool,
    /// How long another change may keep this waiting
    #[arg(long, value_name = "TIME", default_value = "10s")]
    wait: Span,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    if args.install {
        let host =
            LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
        let state = context.open_state()?;
        context::install_recovery(&host, &state)?;
    }
    let Some(state) = context.existing_state()? else {
        crate::say(format_args!("nothing to recover: there is no journal yet"));
        return Ok(Exit::AsWanted);
    };
    let pending = state.pending().map_err(context::refused)?;
    if pending.is_empty() {
        crate::say(format_args!("nothing to recover: every change is final"));
        return Ok(Exit::AsWanted);
    }
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    context::recover_within(&host, &state, args.wait.0)
}
