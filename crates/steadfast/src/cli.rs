//! The command line's grammar. Each command's arguments stand with the command.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands;

/// Holds Linux hosts to a state that people have reviewed, and proves it.
///
/// Start with `steadfast audit`: it reads only, changes nothing and sends nothing.
#[derive(Debug, Parser)]
#[command(
    name = "steadfast",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 as wanted, 1 findings or changes, 2 bad input, \
    3 could not be checked, 4 failed and taken back, 5 a person is needed."
)]
pub struct Cli {
    /// Where the journal and the before-images are kept
    /// [default: /var/lib/steadfast, or the user's state folder when not root]
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Audit(commands::audit::Args),
    Inventory(commands::inventory::Args),
    Plan(commands::plan::Args),
    Apply(commands::apply::Args),
    #[command(subcommand)]
    Patch(commands::patch::Command),
    Confirm(commands::confirm::Args),
    Undo(commands::undo::Args),
    History(commands::history::Args),
    Show(commands::show::Args),
    Expire(commands::expire::Args),
    #[command(subcommand)]
    Rule(commands::rule::Command),
    #[command(subcommand)]
    Baseline(commands::baseline::Command),
    #[command(subcommand)]
    Feed(commands::feed::Command),
    Vulns(commands::vulns::Args),
    Schema(commands::schema::Args),
    Recover(commands::recover::Args),
    Demo(commands::demo::Args),
    #[command(hide = true)]
    Reference(commands::reference::Args),
    Uninstall(commands::uninstall::Args),
}
