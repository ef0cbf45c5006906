//! `steadfast expire`: deletes before-images that are kept no longer.

use host::LocalHost;
use host::expire::{self, ExpireError};
use jiff::Timestamp;
use plan::retention::Retention;

use crate::context::{self, Context};
use crate::duration::Days;
use crate::exit::Exit;
use crate::failure::Failure;
use model::count::size;

/// Delete before-images that are too old to be needed
///
/// Runs by itself after each apply and undo: before-images are kept for 90 days after their
/// change ended, for 30 days where one of them may hold a secret, and those of the 5 newest
/// changes in effect for as long as they are among these. A change without its before-images
/// can no longer be undone. What is not finished or needs a person is kept always. With
/// --older-than or --keep, another rule holds for this once.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sudo steadfast expire\n  sudo steadfast expire --older-than 7 --keep 1"
)]
pub struct Args {
    /// Keep them for so many days, with secrets or without
    #[arg(long, value_name = "DAYS")]
    older_than: Option<Days>,
    /// Keep those of so many of the newest changes in effect
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    /// Do not ask; needed where there is no terminal
    #[arg(long)]
    yes: bool,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let Some(state) = context.existing_state()? else {
        crate::say(format_args!("nothing to expire: there is no journal yet"));
        return Ok(Exit::AsWanted);
    };
    let usual = Retention::default();
    let older_than = args.older_than.map(|days| u32::from(days.0));
    let rule = Retention {
        days: older_than.unwrap_or(usual.days),
        secret_days: older_than.unwrap_or(usual.secret_days),
        newest: args.keep.unwrap_or(usual.newest),
    };
    let now = Timestamp::now();
    let due = expire::due(&state, &rule, now).map_err(context::refused)?;
    if !due.is_empty() {
        let names = context::names(&due);
        let question =
            format!("delete the before-images of {names}? they can no longer be undone after that");
        if !context::consent(args.yes, &question)? {
            crate::say(format_args!("nothing was changed"));
            return Ok(Exit::AsWanted);
        }
    }
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let crash = host::CrashPoints::default();
    let expired =
        expire::expire(&host, &state, &rule, now, context::LOCK_WAIT, &crash).map_err(|error| {
            match error {
                ExpireError::Lock(_) => {
                    Failure::with_help(Exit::Findings, error, "try again later")
                }
                _ => Failure::because(Exit::NeedsPerson, error),
            }
        })?;
    context::say_expired(&expired);
    let files = match expired.files {
        0 => "nothing was deleted".to_owned(),
        1 => format!("1 before-image deleted, {}", size(expired.size_bytes)),
        many => format!("{many} before-images deleted, {}", size(expired.size_bytes)),
    };
    crate::say(format_args!("{files}"));
    Ok(Exit::AsWanted)
}
