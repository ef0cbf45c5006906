//! `steadfast patch`: pending upgrades of packages, rehearsed, applied and taken back exactly.

mod apply;
mod choosing;
mod dependencies;
mod due;
mod making;
mod plan;
pub mod reboot;
mod restart;
mod status;
mod still_open;
mod well;
mod when;

use std::path::PathBuf;

pub(crate) use making::{answers_of, not_fetched, trust};

use clap::ValueEnum;
use model::plan::{Patches, Selection};

use crate::commands::feed::refused;
use crate::context::Context;
use crate::duration::{Days, Span};
use crate::exit::Exit;
use crate::failure::Failure;

/// Upgrade packages: rehearsed on a copy of this host first, and taken back exactly
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Plan(plan::Args),
    Apply(apply::Args),
    Status(status::Args),
    Restart(restart::Args),
    Dependencies(dependencies::Args),
}

pub fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Plan(args) => plan::run(args, context),
        Command::Apply(args) => apply::run(args, context),
        Command::Status(args) => status::run(args, context),
        Command::Restart(args) => restart::run(args, context),
        Command::Dependencies(args) => dependencies::run(args, context),
    }
}

/// Which of the pending upgrades are taken.
#[derive(Clone, Debug, clap::Args)]
struct Which {
    /// Which of the pending upgrades
    #[arg(long, value_enum, default_value_t)]
    only: Only,
    /// Only those that close findings which are due within so many days, or overdue: "14d"
    #[arg(long, value_name = "DAYS")]
    deadline_within: Option<Days>,
    /// Only this package, or what is built from a source of this name; may be given several times
    #[arg(long = "package", value_name = "NAME")]
    packages: Vec<String>,
    /// Leave this package as it is, or what is built from a source of this name, and what can't be upgraded without it; may be given several times
    #[arg(long = "exclude", value_name = "NAME")]
    excluded: Vec<String>,
    /// Only what closes this vulnerability, by the feeds or by a changelog; may be given several times
    #[arg(long = "cve", value_name = "CVE")]
    vulnerabilities: Vec<String>,
    /// No upgrade: finish, or install again, what dpkg left unfinished
    #[arg(long, conflicts_with_all = ["only", "deadline_within", "packages", "excluded", "vulnerabilities"])]
    repair: bool,
    /// With --repair: take this package back to the version that was there before, where what is there
    /// can't be finished; may be given several times
    #[arg(long, value_name = "NAME", requires = "repair")]
    previous: Vec<String>,
    /// The policy with `patches.yaml`, by which the host is also audited before and after
    /// [default: /etc/steadfast/policy, when there]
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    /// An upgrade that takes longer is stopped, and taken back [default: 1h]
    #[arg(long, value_name = "TIME")]
    limit: Option<Span>,
    #[command(flatten)]
    when: when::When,
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

/// Both together: of the security updates, those that close what is due.
fn patches(only: Only, deadline_within: Option<Days>) -> Patches {
    match (deadline_within, only) {
        (Some(days), only) => Patches::Due {
            within_days: days.0,
            only_security: only == Only::Security,
        },
        (None, Only::All) => Patches::All,
        (None, Only::Security) => Patches::Security,
    }
}

impl Which {
    /// As it is kept in a plan.
    fn selection(&self) -> Selection {
        let patches = match self.repair {
            true => Patches::Repair,
            false => patches(self.only, self.deadline_within),
        };
        let policy = self.policy.as_ref();
        let mut selection = Selection {
            patches: Some(patches),
            packages: self.packages.clone(),
            excluded: self.excluded.clone(),
            vulnerabilities: self.vulnerabilities.clone(),
            previous: self.previous.clone(),
            policy: policy.map(|path| path.to_string_lossy().into_owned()),
            limit_seconds: self.limit.map(|limit| limit.0.as_secs()),
            ..Selection::default()
        };
        self.when.select(&mut selection);
        selection
    }
}
