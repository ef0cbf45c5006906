//! `steadfast patch`: pending upgrades of packages, rehearsed, applied and taken back exactly.

mod apply;
mod making;
mod plan;
mod status;
mod well;

use clap::ValueEnum;
use model::plan::Patches;

use crate::context::Context;
use crate::duration::Days;
use crate::exit::Exit;
use crate::failure::Failure;

/// Upgrade packages: rehearsed on a copy of this host first, and taken back exactly
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Plan(plan::Args),
    Apply(apply::Args),
    Status(status::Args),
}

pub fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Plan(args) => plan::run(args, context),
        Command::Apply(args) => apply::run(args, context),
        Command::Status(args) => status::run(args, context),
    }
}

/// Which of the pending upgrades are taken.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Which {
    /// Which of the pending upgrades
    #[arg(long, value_enum, default_value_t)]
    only: Only,
    /// Only those that close findings which are due within so many days, or overdue: "14d"
    #[arg(long, value_name = "DAYS", conflicts_with = "only")]
    deadline_within: Option<Days>,
}

/// Which of the pending upgrades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Only {
    /// All that remove nothing
    #[default]
    All,
    /// What the distribution publishes as security updates, and what that needs
    Security,
}

impl From<Which> for Patches {
    fn from(which: Which) -> Self {
        match (which.deadline_within, which.only) {
            (Some(days), _) => Self::Due {
                within_days: days.0,
            },
            (None, Only::All) => Self::All,
            (None, Only::Security) => Self::Security,
        }
    }
}
