//! `steadfast patch restart`: ends what upgrades of others began, by restarting what still runs their
//! old files.

use std::collections::BTreeSet;

use ::plan::patch::{User, restart};
use host::packages::old_files::OldFiles;
use host::packages::users::Process;
use host::{LocalHost, Verdict};
use model::plan::{Patches, Selection};
use model::{Effect, Plan};

use super::making::not_restarted;
use super::still_open;
use crate::commands::apply::{self, Task, carry_out};
use crate::context::Context;
use crate::duration::Span;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show;
use crate::still_open::who;
use crate::style::Style;

/// Restart the services that still run old files, whoever upgraded them
///
/// In the order in which systemd starts them, each watched until it is up, as a change that `history`
/// shows. What can't be restarted under everybody's feet (dbus, logind, people's sessions) is left, and
/// named with the reason.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  steadfast patch restart\n  steadfast patch restart --yes")]
pub struct Args {
    /// How long a change that could cut people off waits for a new sign-in
    #[arg(long, value_name = "TIME", default_value = "2m")]
    confirm_within: Span,
    /// Do not wait for the confirmation here; the host takes the change back by itself
    #[arg(long)]
    detach: bool,
    /// Do not ask; needed where there is no terminal
    #[arg(long)]
    yes: bool,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(
            Exit::BadInput,
            "what others run can be seen, and services restarted, by root only",
            "run with sudo",
        ));
    }
    apply::recover_first(context)?;
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let old = OldFiles::now();
    let users: Vec<User> = old.running.iter().map(user).collect();
    let selection = Selection {
        patches: Some(Patches::Restart),
        ..Selection::default()
    };
    let stay = not_restarted(&users)?;
    let plan = restart(host.identity(), selection, &users, &stay);
    for name in &old.unseen {
        crate::say(format_args!("unknown: what of old files runs in {name}"));
    }
    if plan.actions.is_empty() {
        apply::nothing_to_do(&plan.left_alone, "nothing to restart")?;
        return Ok(exit(&plan, &old));
    }
    if !args.yes {
        apply::needs_terminal()?;
        let mut err = std::io::stderr().lock();
        show::plan::write(&mut err, &plan, &|_| None, None, &Style::for_stderr())?;
        drop(err);
        if !apply::ask()? {
            crate::say(format_args!("nothing was changed"));
            return Ok(Exit::AsWanted);
        }
    }
    let task = Task {
        host: &host,
        plan: &plan,
        is_root: true,
        confirm_within: args.confirm_within,
        detach: args.detach,
        // That each is up again is looked at while it is told; what still runs old files is no reason to
        // restart it once more.
        verify: &|_| Verdict::default(),
        decide_again: None,
    };
    let ended = carry_out(context, &task)?;
    if ended != Exit::AsWanted {
        return Ok(ended);
    }
    let now = OldFiles::now();
    let told: BTreeSet<&str> = plan.actions.iter().filter_map(unit).collect();
    let mut still: BTreeSet<String> = BTreeSet::new();
    for process in &now.running {
        if process
            .unit
            .as_deref()
            .is_some_and(|unit| told.contains(unit))
        {
            still.insert(who(process));
        }
    }
    for name in still {
        crate::say(format_args!(
            "{name} was restarted, and still runs old files"
        ));
    }
    for left in &plan.left_alone {
        crate::say(format_args!("{} {}", left.what, left.why));
    }
    still_open::say(context, &plan);
    Ok(exit(&plan, &now))
}

/// As `patch status` ends: what still runs old files is a finding.
fn exit(plan: &Plan, now: &OldFiles) -> Exit {
    match (
        now.running.is_empty() && plan.left_alone.is_empty(),
        now.unseen.is_empty(),
    ) {
        (false, _) => Exit::Findings,
        (true, false) => Exit::Unchecked,
        (true, true) => Exit::AsWanted,
    }
}

fn unit(action: &model::Action) -> Option<&str> {
    match &action.effect {
        Effect::Unit { name, .. } => Some(name),
        _ => None,
    }
}

/// Of the old files alone.
fn user(process: &Process) -> User {
    User {
        unit: process.unit.clone(),
        name: process.name.clone(),
        maps: process.deleted.clone(),
    }
}
