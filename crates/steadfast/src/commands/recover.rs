//! `steadfast recover`: finishes or takes back what was interrupted.

use std::time::{Duration, Instant};

use host::{Difference, LocalHost, LookError, State};
use jiff::Timestamp;
use model::count::plural;
use model::{Change, ChangeId, ChangeState};

use crate::commands::patch::reboot;
use crate::context::{self, Context};
use crate::duration::Span;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::named_change::ToWhat;
use crate::show;
use crate::typed::with_state;

/// Finish or take back what a crash or a power cut interrupted, and see to what needs a person
///
/// Runs by itself at boot, and before any command that changes something. It acts only on
/// records that this host wrote. With a change that needs a person it looks again at all that
/// the change touched, and says what is not as it was before; where nothing differs, the change
/// ends there.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sudo steadfast recover\n  sudo steadfast recover c-4\n  \
    sudo steadfast recover --keep-as-it-is c-4\n\n\
    Exits with 5 while a change needs a person."
)]
pub struct Args {
    /// The change that needs a person, and is looked at again: c-4, 4, `last`
    #[arg(value_name = "CHANGE")]
    change: Option<String>,
    /// End a change that needs a person: what is there now stays, and who decided that is recorded
    #[arg(long, requires = "change")]
    keep_as_it_is: bool,
    /// Put the recovery unit and a copy of this program in place now, as the first apply does
    #[arg(long)]
    install: bool,
    /// How long another change may keep this waiting
    #[arg(long, value_name = "TIME", default_value = "10s")]
    wait: Span,
    /// Stay until no change waits any more, as the guard of one does
    #[arg(long, hide = true)]
    watch: bool,
    /// Wait until the host is up, and look at it, after a restart for a patch
    #[arg(long, hide = true, conflicts_with = "watch")]
    restarted: bool,
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
    if let Some(typed) = &args.change {
        return see_to(args, context, &state, typed);
    }
    if args.restarted {
        reboot::wait_until_up();
    }
    let restarted = after_restart(context, &state)?;
    if args.restarted {
        return Ok(restarted);
    }
    let ended = end_what_pends(args, &state)?;
    Ok(restarted.or(ended))
}

/// Looks at the host after a restart for a patch, or has that done when it is up.
fn after_restart(context: &Context, state: &State) -> Result<Exit, Failure> {
    let unchecked = host::restart::unchecked(state).map_err(context::refused)?;
    if unchecked.is_empty() {
        return Ok(Exit::AsWanted);
    }
    if !host::restart::is_booting() {
        return reboot::look(context, state, &unchecked);
    }
    if let Err(why) = host::restart::look_when_up(state) {
        crate::say(format_args!("{why}"));
    }
    Ok(Exit::AsWanted)
}

fn end_what_pends(args: &Args, state: &State) -> Result<Exit, Failure> {
    let pending = state.pending().map_err(context::refused)?;
    if pending.is_empty() {
        return needy(state);
    }
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let pending: Vec<Change> = pending.into_iter().map(|pending| pending.change).collect();
    let left = await_work(state, &pending, args.wait.0)?;
    let exit = context::recover_within(&host, state, left)?;
    Ok(match context::needs_person(state)? {
        true => exit.or(Exit::NeedsPerson),
        false => exit,
    })
}

/// Says of each change in need of a person what differs and what ends it.
fn needy(state: &State) -> Result<Exit, Failure> {
    let history = state.history().map_err(context::refused)?;
    let mut needy = history
        .iter()
        .filter(|change| change.state == ChangeState::NeedsHuman)
        .peekable();
    if needy.peek().is_none() {
        crate::say(format_args!("nothing to recover: every change is final"));
        return Ok(Exit::AsWanted);
    }
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    for change in needy {
        let differences = host::undo::look_again::differing(&host, state, change.id);
        match differences {
            Ok(differences) => say_differing(change, &differences),
            Err(error) => crate::say(format_args!(
                "change {} needs a person, and can't be looked at: {error}",
                change.id
            )),
        }
    }
    Ok(Exit::NeedsPerson)
}

/// Looks at one change again, or ends it as it is.
fn see_to(args: &Args, context: &Context, state: &State, typed: &str) -> Result<Exit, Failure> {
    let change = context.named_change(state, Some(typed), ToWhat::SeeTo)?;
    let id = change.id;
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let (now, wait) = (Timestamp::now(), args.wait.0);
    let seen = match args.keep_as_it_is {
        true => host::keep_as_it_is(&host, state, id, &context::who(&host), now, wait),
        false => host::look_again(&host, state, id, now, wait),
    };
    let differences = seen.map_err(|error| match &error {
        LookError::NeedsNobody { .. } => Failure::with_help(
            Exit::BadInput,
            error,
            "steadfast history lists the changes; steadfast recover without a name ends what was \
             interrupted",
        ),
        LookError::Lock(_) => Failure::with_help(Exit::Findings, error, "try again later"),
        _ => Failure::because(Exit::NeedsPerson, error),
    })?;
    if args.keep_as_it_is {
        crate::say(format_args!(
            "change {id} is ended, and kept as it is: {} otherwise than before it",
            plural(differences.len(), "place")
        ));
        say_each(id, &differences);
        return Ok(Exit::AsWanted);
    }
    if differences.is_empty() {
        crate::say(format_args!(
            "change {id}: looked at again, {} as it was before it; it is ended",
            match change.outside.is_empty() {
                true => "everything is",
                false => "all that it was to write is",
            }
        ));
        return Ok(Exit::AsWanted);
    }
    say_differing(&change, &differences);
    Ok(Exit::NeedsPerson)
}

/// Differences that are listed; `show --format json` has them all.
const LISTED: usize = 40;

fn say_differing(change: &Change, differences: &[Difference]) {
    let id = change.id;
    let how = match differences.len() {
        // It did not end well, and by now nothing of it is left.
        0 => "all that it touched is as before it by now, and looking again ends it".to_owned(),
        1 => "1 place is not as before it".to_owned(),
        more => format!("{more} places are not as before it"),
    };
    crate::say(format_args!("change {id} needs a person: {how}"));
    say_each(id, differences);
    for step in show::change::endings(change) {
        crate::say(format_args!("next: {} ({})", step.command, step.note));
    }
}

pub fn say_each(id: ChangeId, differences: &[Difference]) {
    for Difference { what, how } in differences.iter().take(LISTED) {
        crate::say(format_args!("  {what}: {how}"));
    }
    if let Some(more) = differences.len().checked_sub(LISTED + 1) {
        let all = with_state(&format!("steadfast show {id} --format json"));
        crate::say(format_args!("  and {} more: {all}", more + 1));
    }
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
