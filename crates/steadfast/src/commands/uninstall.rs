//! `steadfast uninstall`: removes what the first apply installed.

use std::time::Duration;

use host::{ApplyError, LocalHost};

use crate::context::{self, Context};
use crate::exit::Exit;
use crate::failure::Failure;

/// Remove the recovery units and the copy of the program that the first apply installed
///
/// Changes that were made stay; their journal stays too, unless --purge is given, after
/// which they can no longer be undone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sudo steadfast uninstall")]
pub struct Args {
    /// Remove the journal and all before-images as well
    #[arg(long)]
    purge: bool,
    /// Do not ask; needed where there is no terminal
    #[arg(long)]
    yes: bool,
}

fn refusal(error: ApplyError) -> Failure {
    match &error {
        ApplyError::Pending(first) => {
            let help = format!("nothing was removed; {}", context::what_ends(first));
            Failure::with_help(Exit::NeedsPerson, error, help)
        }
        _ => Failure::because(Exit::NeedsPerson, error),
    }
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let Some(state) = context.existing_state()? else {
        crate::say(format_args!("nothing is installed: there is no journal"));
        return Ok(Exit::AsWanted);
    };
    let question = if args.purge {
        "remove the recovery units, the journal and all before-images? \
         no change can be undone after that"
    } else {
        "remove the recovery units?"
    };
    if !context::consent(args.yes, question)? {
        crate::say(format_args!("nothing was changed"));
        return Ok(Exit::AsWanted);
    }
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let options = context::options(&host, &state, Duration::ZERO);
    let done = host::uninstall(&host, &state, &options, &mut |_| {}).map_err(refusal)?;
    for path in &done.removed {
        crate::say(format_args!("removed  {}", path.display()));
    }
    for path in &done.others {
        crate::say(format_args!(
            "stays    {}, which is another state folder's: uninstall with its --state",
            path.display()
        ));
    }
    if !args.purge {
        for path in &done.stays {
            crate::say(format_args!(
                "stays    {}, without which nothing can be undone",
                path.display()
            ));
        }
        return Ok(Exit::AsWanted);
    }
    let directory = state.directory().to_owned();
    drop(state);
    std::fs::remove_dir_all(&directory).map_err(|error| {
        Failure::new(
            Exit::NeedsPerson,
            format_args!("can't remove `{}`: {error}", directory.display()),
            "remove it by hand",
        )
    })?;
    crate::say(format_args!("removed  {}", directory.display()));
    Ok(Exit::AsWanted)
}
