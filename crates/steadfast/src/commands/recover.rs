//! `steadfast recover`: finishes or takes back what was interrupted.

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;

/// Finish or take back what a crash or a power cut interrupted
///
/// Runs by itself at boot, and before any command that changes something. It acts only on
/// records that this host wrote.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sudo steadfast recover")]
pub struct Args {
    /// Take back this unconfirmed change when its time is up: how the recovery unit calls it
    #[arg(long, value_name = "CHANGE", hide = true)]
    unconfirmed: Option<String>,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let _ = &args.unconfirmed;
    let Some(state) = context.existing_state()? else {
        crate::say(format_args!("nothing to recover: there is no journal yet"));
        return Ok(Exit::AsWanted);
    };
    context.recover(&state)
}
