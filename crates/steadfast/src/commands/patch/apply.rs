//! `steadfast patch apply`: upgrades what was rehearsed, and takes it back when the host is not
//! well afterwards.

use std::path::PathBuf;

use host::LocalHost;
use host::packages::{self, Waited};
use model::Plan;
use model::effect::USUAL_LIMIT_SECONDS;
use model::plan::Selection;
use plan::data::Data;

use super::Which;
use super::making::{Made, make, today};
use super::well::Before;
use super::{reboot, still_open};
use crate::commands::apply::{self, Task, carry_out};
use crate::context::{self, Context};
use crate::duration::Span;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show;
use crate::style::Style;

/// Upgrade packages as rehearsed, restart what runs the old files, and verify
///
/// Every path that the rehearsal wrote is imaged before the first package is unpacked, so that
/// `steadfast undo` puts all of it back: files, versions, automatic marks.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  steadfast patch apply --only security --yes\n  \
    steadfast patch apply patch.json\n  \
    steadfast patch apply --only security --window \"Sat 02:00-05:00\" --reboot --yes"
)]
pub struct Args {
    /// A plan saved by `steadfast patch plan --output`
    #[arg(value_name = "PLAN", conflicts_with_all = ["only", "deadline_within", "packages", "excluded", "vulnerabilities", "repair", "previous", "policy", "limit"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// How long a change that could cut people off waits for a new sign-in
    #[arg(long, value_name = "TIME", default_value = "2m")]
    confirm_within: Span,
    /// Do not wait for the confirmation here; the host takes the change back by itself
    #[arg(long)]
    detach: bool,
    /// Wait for the window, however long that takes, where it is closed
    #[arg(long)]
    wait_for_window: bool,
    /// Restart the machine afterwards, where the kernel or what only a restart ends needs it, and look at
    /// the host when it is up
    #[arg(long)]
    reboot: bool,
    /// How long another package manager that is at work may keep it waiting
    #[arg(long, value_name = "TIME", default_value = "1m")]
    wait: Span,
    /// Take the risk to data of a service that has no backup whose restore was proven
    #[arg(long)]
    accept_data_loss: bool,
    /// Do not ask; needed where there is no terminal
    #[arg(long)]
    yes: bool,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    apply::recover_first(context)?;
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let saved = args.file.as_deref().map(apply::read).transpose()?;
    let selection = match &saved {
        None => args.which.selection(),
        Some(plan) => selection_of(plan)?,
    };
    let when = &args.which.when;
    let times = match &saved {
        None => when.times(),
        Some(_) => when.with_saved(&selection)?,
    };
    if let Some(times) = &times {
        let limit = selection.limit_seconds.unwrap_or(USUAL_LIMIT_SECONDS);
        if limit > times.needs().as_secs() {
            return Err(Failure::new(
                Exit::BadInput,
                format_args!("this plan may take {limit} s, and --needs says less"),
                format_args!("give --needs {limit}s, or plan it with --limit"),
            ));
        }
        if !times.wait(&host, args.wait_for_window)? {
            return Ok(Exit::AsWanted);
        }
    } else if args.wait_for_window {
        return Err(Failure::new(
            Exit::BadInput,
            "there is no window to wait for",
            "nothing was changed; add --window, or a plan that has one",
        ));
    }
    let state = context.open_state()?;
    let _turn = context::take_turn(&state)?;
    wait_for_others(args.wait)?;
    // Before it is rehearsed for minutes: what would stop it then.
    let ready = |data: &[Data]| {
        refuse_at_risk(data, args.accept_data_loss)?;
        match args.yes {
            true => Ok(()),
            false => apply::needs_terminal(),
        }
    };
    let made = make(selection, &host, &state, &ready)?;
    let Made { plan, foretold, .. } = &made;
    if let Some(saved) = &saved {
        apply::refuse_unless_same(saved, plan)?;
    }
    if plan.actions.is_empty() {
        apply::nothing_to_do(
            &foretold.left_beside_held(plan),
            foretold.headline_without_actions(),
        )?;
        let style = Style::for_stderr();
        show::patch::write_brief(&mut std::io::stderr().lock(), &telling(&made), &style)?;
        let exit = foretold.exit_without_actions();
        if !args.reboot {
            return Ok(exit);
        }
        // One that did not fit into the window of its patch.
        let before = Before::look(&made)?;
        let ended = reboot::after(context, &host, &before, times.as_ref(), args.confirm_within)?;
        return Ok(exit.or(ended));
    }
    // The proof of a restore may have become too old meanwhile.
    refuse_at_risk(&made.foretold.data, args.accept_data_loss)?;
    let style = Style::for_stderr();
    if args.yes {
        show::patch::write_brief(&mut std::io::stderr().lock(), &telling(&made), &style)?;
    } else {
        show::patch::write(&mut std::io::stderr().lock(), &telling(&made), &style)?;
        if args.reboot {
            crate::say(format_args!(
                "afterwards the machine is restarted, where that is needed"
            ));
        }
        if !apply::ask()? {
            crate::say(format_args!("nothing was changed"));
            return Ok(Exit::AsWanted);
        }
    }
    crate::say(format_args!("looking at the host as it is"));
    let before = Before::look(&made)?;
    // Fetching, rehearsing and asking took their time.
    wait_for_others(args.wait)?;
    if let Some(times) = &times {
        times.refuse_unless_open(&host)?;
    }
    let task = Task {
        host: &host,
        plan,
        is_root: true,
        confirm_within: args.confirm_within,
        detach: args.detach,
        verify: &|plan| before.verdict(plan, context.directory()),
        decide_again: None,
    };
    let exit = carry_out(context, &task)?;
    if exit == Exit::AsWanted {
        still_open::say(context, plan);
        if args.reboot {
            return reboot::after(context, &host, &before, times.as_ref(), args.confirm_within);
        }
    }
    Ok(exit)
}

/// What is shown of it here: the next command is this one.
fn telling(made: &Made) -> show::patch::Telling<'_> {
    show::patch::Telling {
        plan: &made.plan,
        foretold: &made.foretold,
        saved: None,
        next: false,
        today: today(),
    }
}

/// What another package manager does would be done on top of what was planned, or under it.
fn wait_for_others(limit: Span) -> Result<(), Failure> {
    context::heed_interrupts();
    let waited = packages::wait_for_others(limit.0, &context::is_interrupted, &mut |holder| {
        crate::say(format_args!(
            "waiting for {holder}, which holds dpkg's lock (Ctrl-C ends the wait)"
        ));
    });
    let refuse = |what: &dyn std::fmt::Display| {
        Err(Failure::new(
            Exit::Findings,
            what,
            "nothing was changed; try again when it is done, or give it more time with --wait",
        ))
    };
    match waited {
        Waited::Free => Ok(()),
        Waited::StillHeld(holder) => refuse(&format_args!("{holder} still holds dpkg's lock")),
        Waited::Interrupted => refuse(&"interrupted while it waited"),
    }
}

fn selection_of(plan: &Plan) -> Result<Selection, Failure> {
    match plan.selection.patches {
        Some(_) => Ok(plan.selection.clone()),
        None => Err(Failure::new(
            Exit::BadInput,
            "this plan is none of a patch",
            "a plan of a policy is carried out with: steadfast apply",
        )),
    }
}

/// What services keep is no part of the way back.
fn refuse_at_risk(data: &[Data], accepted: bool) -> Result<(), Failure> {
    let mut at_risk = data.iter().filter(|data| data.is_at_risk());
    match at_risk.next() {
        Some(data) if !accepted => Err(Failure::new(
            Exit::Findings,
            format_args!(
                "`{}` keeps data that no undo brings back, and nothing proves that a backup does",
                data.package
            ),
            "nothing was changed; declare its backup in the policy's patches.yaml, or take the \
             risk: --accept-data-loss",
        )),
        _ => Ok(()),
    }
}
