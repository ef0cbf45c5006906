//! One file per command. Each has its arguments, whose doc comments are its help, and a
//! `run` that returns an exit code.

pub mod apply;
pub mod audit;
pub mod baseline;
pub mod confirm;
pub mod demo;
pub mod expire;
pub mod feed;
pub mod history;
pub mod inventory;
pub mod patch;
pub mod plan;
pub mod recover;
pub mod reference;
pub mod rule;
pub mod schema;
pub mod show;
pub mod undo;
pub mod uninstall;
pub mod vulns;

use ::plan::report::UnendedKind;
use clap::ValueEnum;

use crate::cli::{Cli, Command};
use crate::context::Context;
use crate::exit::Exit;
use crate::typed;

/// Runs the command, and tells people what went wrong, if anything did.
pub fn run(cli: &Cli) -> Exit {
    if let Some(state) = &cli.state {
        typed::state_is(state);
    }
    let context = Context::new(cli.state.clone());
    let (waits, needy) = (
        says_what_waits(&cli.command),
        says_what_needs_a_person(&cli.command),
    );
    if waits || needy {
        context.mention_unended(|kind| match kind {
            UnendedKind::NeedsPerson => needy,
            UnendedKind::AwaitingConfirmation | UnendedKind::AwaitingUndoConfirmation => waits,
        });
    }
    let ended = match &cli.command {
        Command::Audit(args) => audit::run(args, &context),
        Command::Inventory(args) => inventory::run(args),
        Command::Plan(args) => plan::run(args, &context),
        Command::Apply(args) => apply::run(args, &context),
        Command::Patch(command) => patch::run(command, &context),
        Command::Confirm(args) => confirm::run(args, &context),
        Command::Undo(args) => undo::run(args, &context),
        Command::History(args) => history::run(args, &context),
        Command::Show(args) => show::run(args, &context),
        Command::Expire(args) => expire::run(args, &context),
        Command::Rule(command) => rule::run(command),
        Command::Baseline(command) => baseline::run(command),
        Command::Feed(command) => feed::run(command, &context),
        Command::Vulns(args) => vulns::run(args, &context),
        Command::Schema(args) => schema::run(args),
        Command::Recover(args) => recover::run(args, &context),
        Command::Demo(args) => demo::run(args),
        Command::Reference(args) => reference::run(args),
        Command::Uninstall(args) => uninstall::run(args, &context),
    };
    ended.unwrap_or_else(|failure| {
        for report in &failure.reports {
            crate::say(format_args!("{report:?}"));
        }
        failure.exit
    })
}

/// All say what waits to be confirmed before they begin, but those that end the wait.
fn says_what_waits(command: &Command) -> bool {
    !matches!(
        command,
        Command::Confirm(_)
            | Command::Recover(_)
            // Deals with it first, and says so.
            | Command::Apply(_)
    )
}

/// Those that judge a host, or change it, say what is neither as before nor as planned; the others
/// list it themselves.
fn says_what_needs_a_person(command: &Command) -> bool {
    matches!(
        command,
        Command::Audit(_) | Command::Plan(_) | Command::Apply(_) | Command::Patch(_)
    )
}

/// How a command that lists or shows writes its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Human,
    /// For programs: stable and documented
    Json,
}
