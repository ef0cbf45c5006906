//! `steadfast patch plan`: what an upgrade would do to this host, seen on a copy of it.

use std::path::PathBuf;

use host::LocalHost;

use super::{Only, make};
use crate::commands::Format;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;

/// Fetch pending upgrades, run them on a copy of this host, and show what they would do
///
/// Installs nothing. The copy has no network, and its programs can't reach the host.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  steadfast patch plan --only security\n  \
    steadfast patch plan --output patch.json\n\n\
    Exits with 1 when there is something to do, and with 0 when there is not.")]
pub struct Args {
    /// Which of the pending upgrades
    #[arg(long, value_enum, default_value_t)]
    only: Only,
    /// Save the plan to this file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let state = context.open_state()?;
    let plan = make(args.only.into(), &host, &state)?;
    crate::commands::plan::write(
        &plan,
        args.output.as_deref(),
        args.format,
        &|_| None,
        "steadfast patch apply",
    )
}
