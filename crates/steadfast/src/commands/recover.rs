//! `steadfast recover`: finishes or takes back what was interrupted.

use std::time::{Duration, Instant};

use host::{LocalHost, State};
use jiff::Timestamp;
use model::Change;

use crate::context::{self, Context};
use crate::duration::Span;
use crate::exit::Exit;
use crate::failure::Failure;

/// Finish or take back what a crash or a power cut interrupted
///
/// Runs by itself at boot, and before any command that changes something. It acts only on
/// records that this host wrote.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sudo steadfast recover")]
pub struct Args {
    /// Put the recovery unit and a copy of this program in place now, as the first apply does
    #[arg(long)]
    install: bool,
    /// How long another change may keep this waiting
    #[arg(long, value_name = "TIME", default_value = "10s")]
    wait: Span,
    /// Stay until no change waits any more, as the guard of one does
    #[arg(long, hide = true)]
    watch: bool,
}

/// How often the guard looks for a sign-in and at the deadline.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether a change is still at work.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    if args.install {
        let host =
            LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
        let state = context.open_state()?;
        context::install_recovery(&host, &state)?;
    }
    let Some(state) = context.existing_state()? else {
        crate::say(format_args!("nothing to recover: there is no journal yet"));
        return Ok(Exit::AsWanted);
    };
    if args.watch {
        return watch(&state);
    }
    let pending = state.pending().map_err(context::refused)?;
    if pending.is_empty() {
        crate::say(format_args!("nothing to recover: every change is final"));
        return Ok(Exit::AsWanted);
    }
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let pending: Vec<Change> = pending.into_iter().map(|pending| pending.change).collect();
    let left = await_work(&state, &pending, args.wait.0)?;
    context::recover_within(&host, &state, left)
}

/// Keeps or takes back what waits, as soon as that can be decided.
fn watch(state: &State) -> Result<Exit, Failure> {
    loop {
        let pending = state.pending().map_err(context::refused)?;
        if pending.is_empty() {
            return Ok(Exit::AsWanted);
        }
        for one in pending.iter().filter(|one| one.change.state.is_awaiting()) {
            let record = state.change(one.change.id).map_err(context::refused)?;
            if host::confirm::is_due(&record.header, Timestamp::now()) {
                let host = LocalHost::running()
                    .map_err(|error| Failure::because(Exit::Unchecked, error))?;
                context::recover(&host, state)?;
                break;
            }
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

/// Waits for a change that is at work, and says so and how it ended. Gives what is left of the time.
fn await_work(state: &State, pending: &[Change], wait: Duration) -> Result<Duration, Failure> {
    let until = Instant::now() + wait;
    let left = || until.saturating_duration_since(Instant::now());
    let at_work: Vec<&Change> = pending
        .iter()
        .filter(|change| !change.state.is_awaiting())
        .collect();
    if at_work.is_empty() || !host::lock::is_at_work() {
        return Ok(wait);
    }
    for change in &at_work {
        crate::say(format_args!(
            "change {} is at work ({}): waiting for it",
            change.id,
            change.state.words()
        ));
    }
    while host::lock::is_at_work() && !left().is_zero() {
        std::thread::sleep(LOOK_EVERY);
    }
    for change in at_work {
        let record = state.change(change.id).map_err(context::refused)?;
        let now = record.header.change.state;
        if now.is_final() {
            crate::say(format_args!(
                "change {} ended by itself: it is {}",
                change.id,
                now.words()
            ));
        }
    }
    Ok(left())
}
