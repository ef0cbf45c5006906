//! `steadfast undo`: takes a change back exactly.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::str::FromStr;

use advisory::assess::Finding;
use host::packages::installed::still_there;
use host::packages::{kernel, owners};
use host::{
    ApplyOptions, ChangeRecord, Choice, Left, LocalHost, Obstacle, RecoverError, Recovery, State,
    TakeBackError, UndoError, Undone,
};
use jiff::Timestamp;
use model::count::{first_of, plural};
use model::{ChangeId, ChangeState, Effect, HostPath, PackageUpgrade, Plan, Risk};

use crate::assessing::{Effects, NewVersion, Outlook, Terms};
use crate::context::{self, Context};
use crate::duration::Span;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::layout::{Paper, Text};
use crate::named_change::ToWhat;
use crate::show;
use crate::show::events::Lines;
use crate::show::vulns::unknown_text;
use crate::still_open::old_version;
use crate::style::{Role, Style};
use crate::typed::with_state;

/// Take a change back: content, modes, owners, attributes and times as they were
///
/// Where someone else changed a file since, only our own lines are taken back, and that is
/// said; where that can't be told apart, nothing is touched and the difference is shown.
/// The undo of a change that could cut people off is confirmed like the change itself, or the
/// change is put into effect again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sudo steadfast undo last\n  sudo steadfast undo c-19 --yes --confirm-within 5m\n  \
    sudo steadfast undo c-19 --except /etc/motd\n  sudo steadfast undo c-19 --keep-theirs\n\n\
    Of a change that is undone in part the rest is in effect, and is undone by another undo.\n\n\
    Exit codes: 0 when all that was asked for is taken back; 1 when something of it stays, since others \
    changed it, need it or run it by now; 3 when something could not be looked at afterwards; 4 when the undo \
    failed, and the change is in effect again; 5 when a person is needed: what is in the way is named, \
    and nothing was touched, or the host is neither as before nor as planned."
)]
pub struct Args {
    /// The change: c-19, 19, `last`, or the beginning of its plan's id; without it, the one that
    /// waits, or the last one
    #[arg(value_name = "CHANGE")]
    change: Option<String>,
    /// Take back only what the change did to this place, or to what is in it; or to this kernel
    /// parameter, module or unit
    #[arg(long, value_name = "PATH")]
    only: Vec<Chosen>,
    /// Leave in effect what the change did to this place, or to what is in it; or to this kernel
    /// parameter, module or unit
    #[arg(long, value_name = "PATH")]
    except: Vec<Chosen>,
    /// Leave what someone else changed since as it is now, and take the rest back
    #[arg(long)]
    keep_theirs: bool,
    /// Delete the data that was written since into directories of packages that go
    #[arg(long, conflicts_with = "keep_theirs")]
    accept_data_loss: bool,
    /// How long an undo that could cut people off waits for a new sign-in
    #[arg(long, value_name = "TIME", default_value = "2m")]
    confirm_within: Span,
    /// Do not wait for the confirmation here; the host takes the undo back by itself
    #[arg(long)]
    detach: bool,
    /// Do not ask; needed where there is no terminal
    #[arg(long)]
    yes: bool,
}

/// A place, or what has none: a parameter of the kernel, a module, a unit.
#[derive(Clone, Debug)]
enum Chosen {
    Path(HostPath),
    Named(String),
}

impl FromStr for Chosen {
    type Err = model::path::BadPath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(key) = text.strip_prefix("/proc/sys/") {
            return Ok(Self::Named(key.replace('/', ".")));
        }
        match text.starts_with('/') || text.is_empty() {
            true => text.parse().map(Self::Path),
            false => Ok(Self::Named(text.to_owned())),
        }
    }
}

fn paths(chosen: &[Chosen]) -> Vec<HostPath> {
    let paths = chosen.iter().filter_map(|one| match one {
        Chosen::Path(path) => Some(path.clone()),
        Chosen::Named(_) => None,
    });
    paths.collect()
}

fn names(chosen: &[Chosen]) -> Vec<String> {
    let names = chosen.iter().filter_map(|one| match one {
        Chosen::Path(_) => None,
        Chosen::Named(name) => Some(name.clone()),
    });
    names.collect()
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    if rustix::process::geteuid().is_root() {
        super::apply::recover_overdue(context)?;
    }
    let state = context.needed_state()?;
    let change = context.named_change(&state, args.change.as_deref(), ToWhat::Undo)?;
    let record = state.change(change.id).map_err(context::refused)?;
    if matches!(change.state, ChangeState::Undone | ChangeState::RolledBack) {
        // Before anything is said of what it would bring back.
        let (id, state) = (change.id, change.state);
        return Err(refusal(UndoError::NotCommitted { id, state }, &record.plan));
    }
    if !args.yes {
        let mut err = std::io::stderr().lock();
        show::change::write(&mut err, &change, Some(&record.plan), &Style::for_stderr())?;
        err.flush()?;
    }
    match change.state {
        // What of it is back already is not known before it is looked at.
        ChangeState::NeedsHuman | ChangeState::KeptAsItIs => crate::say(format_args!(
            "change {}: everything that it touched is looked at again, and what is not as before \
             it is put back",
            change.id
        )),
        _ => brings_back(change.id, &record.plan, context.directory()),
    }
    let question = format!("take back change {}?", change.id);
    if !context::consent(args.yes, &question)? {
        crate::say(format_args!("nothing was changed"));
        return Ok(Exit::AsWanted);
    }
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    if change.state == ChangeState::AwaitingConfirmation {
        return take_back_waiting(args, &host, &state, &record);
    }
    if host::undo::way_back_risk(&record) >= Risk::Connectivity
        && rustix::process::geteuid().is_root()
    {
        // Who takes the undo back after a restart must be there before it begins.
        context::install_recovery(&host, &state)?;
    }
    context::heed_interrupts();
    let options = ApplyOptions {
        detach: args.detach,
        ..context::options(&host, &state, args.confirm_within.0)
    };
    let style = Style::for_stderr();
    let mut err = std::io::stderr();
    let live = err.is_terminal();
    let mut lines = Lines::new(&mut err, Some(&record.plan), &style, live);
    let choice = Choice {
        only: paths(&args.only),
        except: paths(&args.except),
        only_named: names(&args.only),
        except_named: names(&args.except),
        keep_theirs: args.keep_theirs,
        accept_data_loss: args.accept_data_loss,
        by_itself: false,
    };
    let undone = host::undo_chosen(&host, &state, change.id, &choice, &options, &mut |event| {
        // Nobody may be reading; the journal has it all.
        drop(lines.show(&event));
    })
    .map_err(|error| refusal(error, &record.plan))?;
    let exit = conclude(&undone, !args.only.is_empty() || !args.except.is_empty());
    context::expire(&host, &state);
    Ok(exit)
}

/// Nothing of it is confirmed yet: its own way back, which was made for that, is gone now.
fn take_back_waiting(
    args: &Args,
    host: &LocalHost,
    state: &State,
    record: &ChangeRecord,
) -> Result<Exit, Failure> {
    let id = record.header.change.id;
    let is_part = !args.only.is_empty() || !args.except.is_empty();
    if is_part || args.keep_theirs || args.accept_data_loss {
        return Err(Failure::new(
            Exit::BadInput,
            format_args!("change {id} waits to be confirmed, and goes back as a whole"),
            "nothing was touched; undo it without these, or confirm it first",
        ));
    }
    let style = Style::for_stderr();
    let mut err = std::io::stderr();
    let live = err.is_terminal();
    let mut lines = Lines::new(&mut err, Some(&record.plan), &style, live);
    let options = context::options(host, state, args.confirm_within.0);
    let limits = (Timestamp::now(), options.lock_wait);
    let taken = host::take_back_waiting(host, state, id, &options.by, limits, &mut |event| {
        // Nobody may be reading; the journal has it all.
        drop(lines.show(&event));
    })
    .map_err(|error| match &error {
        TakeBackError::NotAwaiting { .. } => Failure::with_help(
            Exit::BadInput,
            error,
            "nothing was touched; steadfast history lists the changes",
        ),
        TakeBackError::Recover(RecoverError::Lock(_)) => Failure::with_help(
            Exit::Findings,
            error,
            "nothing was touched; try again later",
        ),
        TakeBackError::Recover(_) => Failure::because(Exit::NeedsPerson, error),
    })?;
    match taken {
        Recovery::NeedsHuman { why } => {
            let why = model::printable(why.join("; ").as_bytes());
            crate::say(format_args!("change {id} could not be taken back: {why}"));
            Ok(Exit::NeedsPerson)
        }
        Recovery::AsBefore { seen: true, .. } => {
            crate::say(format_args!(
                "change {id} is taken back: the host is as it was before it"
            ));
            Ok(Exit::AsWanted)
        }
        Recovery::AsBefore { seen: false, .. } => {
            crate::say(format_args!(
                "change {id} is taken back, and may not be as before: what stays, or can't be looked \
                 at, is named above"
            ));
            Ok(Exit::Findings)
        }
        Recovery::NothingTouched => {
            crate::say(format_args!(
                "change {id} is taken back: nothing was touched"
            ));
            Ok(Exit::AsWanted)
        }
        // Somebody else was faster.
        Recovery::AsPlanned { .. } | Recovery::StillAwaiting { .. } => {
            crate::say(format_args!("change {id} was not taken back"));
            Ok(Exit::Findings)
        }
        Recovery::Undone { seen: true } => {
            crate::say(format_args!(
                "change {id} undone: the host is as it was before it"
            ));
            Ok(Exit::AsWanted)
        }
        Recovery::Undone { seen: false } => {
            crate::say(format_args!("change {id} undone, and may not be as before"));
            Ok(Exit::Findings)
        }
        Recovery::UndoTakenBack { was, seen, why } => {
            let (said, exit) = context::undo_taken_back(was, seen);
            let why = model::printable(why.as_bytes());
            crate::say(format_args!("change {id}: {said}: {why}"));
            Ok(exit)
        }
    }
}

/// Packages that are named before an undo of many.
const NAMED: usize = 8;

/// The first of these, and where the others are.
fn named(id: ChangeId, names: &[String]) -> String {
    match names.len() > NAMED {
        true => format!(
            "{} ({})",
            first_of(names, NAMED),
            with_state(&format!("steadfast show {id}"))
        ),
        false => names.join(", "),
    }
}

/// Says which older versions come back, and what the feeds say of them.
fn brings_back(id: ChangeId, plan: &Plan, state: &Path) {
    let packages: Vec<&PackageUpgrade> = plan
        .actions
        .iter()
        .filter_map(|action| match &action.effect {
            Effect::Upgrade { packages, .. } => Some(packages),
            _ => None,
        })
        .flatten()
        .collect();
    // An undo before this one may have taken them. Where dpkg can't be asked, all are named.
    let packages = match host::packages::installed::installed() {
        Ok(installed) => still_there(packages, &installed),
        Err(_) => packages,
    };
    if packages.is_empty() {
        return;
    }
    let (old, new): (Vec<_>, Vec<_>) = packages
        .iter()
        .partition::<Vec<&PackageUpgrade>, _>(|package| package.from.is_some());
    if !new.is_empty() {
        let names: Vec<String> = new.iter().map(|package| package.name.clone()).collect();
        crate::say(format_args!(
            "{} that came with this: {}",
            match new.len() {
                1 => "1 package goes".to_owned(),
                more => format!("{more} packages go"),
            },
            named(id, &names)
        ));
    }
    if !old.is_empty() {
        let named = |package: &&PackageUpgrade| {
            let from = package.from.as_deref().unwrap_or_default();
            format!("{} {from}", package.name)
        };
        let names: Vec<String> = old.iter().map(named).collect();
        crate::say(format_args!(
            "this brings back the older versions of {}: {}",
            plural(old.len(), "package"),
            self::named(id, &names)
        ));
    }
    takes_kernel(&packages);
    let brought = brought(&packages, state);
    match &brought {
        Ok(effects) if !effects.now.feeds.is_empty() => {
            if !effects.brought.is_empty() {
                crate::say(format_args!(
                    "with them come back {}: {}",
                    plural(effects.brought.len(), "known vulnerability"),
                    first_names(&effects.brought)
                ));
            }
            for state in effects.now.feeds.iter().filter(|state| state.used) {
                let days = state.age_seconds / (24 * 3600);
                crate::say(format_args!(
                    "by feed {}, {} old",
                    state.feed.name,
                    plural(usize::try_from(days).unwrap_or(0), "day")
                ));
            }
            if !effects.unclear.is_empty() {
                crate::say(format_args!(
                    "unknown: what the older versions of these were built from: {}",
                    effects.unclear.join(", ")
                ));
            }
            for why in &effects.now.unknown {
                crate::say(format_args!("unknown: {}", unknown_text(why)));
            }
        }
        Ok(_) => crate::say(format_args!(
            "which vulnerabilities come back with them is unknown: there is no feed"
        )),
        Err(why) => crate::say(format_args!(
            "which vulnerabilities come back with them is unknown: {why}"
        )),
    }
    let vulnerable: Vec<&str> = packages
        .iter()
        .filter(|package| package.is_security() && package.from.is_some())
        .map(|package| package.name.as_str())
        .collect();
    if !vulnerable.is_empty() {
        crate::say(format_args!(
            "with them comes back what their security updates closed: {}",
            vulnerable.join(", ")
        ));
    }
}

/// Says it where the kernel that runs is among what goes.
fn takes_kernel(packages: &[&PackageUpgrade]) {
    let Ok(host) = LocalHost::running() else {
        // The undo itself says why.
        return;
    };
    let kernel = kernel(&host);
    let mut packages = packages.iter();
    let of_it = packages.find(|package| kernel.is_of(package.bare_name(), &package.to));
    match of_it.map(|package| (&package.name, &package.from)) {
        Some((name, None)) => crate::say(format_args!(
            "the kernel that runs goes with this, {name}: until a reboot, which is due then, no \
             more of its modules can be loaded; the next boot runs an older one"
        )),
        Some((name, Some(from))) => crate::say(format_args!(
            "an older build takes the place of the kernel that runs, {name}: a reboot is due then, \
             and runs {from}"
        )),
        None => {}
    }
}

/// What the older versions do to the findings.
fn brought(packages: &[&PackageUpgrade], state: &Path) -> Result<Effects, String> {
    let host = LocalHost::running().map_err(|error| error.to_string())?;
    let components = host
        .distribution_packages()
        .map_err(|reason| reason.to_string())?;
    let versions: Vec<NewVersion> = packages
        .iter()
        .map(|package| old_version(package))
        .collect();
    let terms = Terms::usual(Timestamp::now());
    Outlook::of(state, &host, &components, &terms)
        .and_then(|outlook| outlook.with(&versions))
        .map_err(|error| error.to_string())
}

/// The most urgent, by name.
fn first_names(findings: &[Finding]) -> String {
    const NAMED: usize = 6;
    let named = findings.iter().take(NAMED);
    let named: Vec<String> = named
        .map(|finding| format!("{} in {}", finding.name, finding.package.name))
        .collect();
    match findings.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// `named`: the person said which part is taken back.
fn conclude(undone: &Undone, named: bool) -> Exit {
    match undone {
        Undone::Done {
            id,
            merged,
            proof,
            left,
        } => {
            match (proof, left.standing.is_empty() && left.theirs.is_empty()) {
                // Nothing but a proof makes these words.
                (Some(_), true) if merged.is_empty() => crate::say(format_args!(
                    "change {id} undone: the host is as it was before it"
                )),
                (_, true) if left.outside.is_empty() => {
                    crate::say(format_args!("change {id} undone"));
                }
                (_, true) => crate::say(format_args!(
                    "change {id} undone; what changed outside what it was to write, named above, is \
                     not put back"
                )),
                (_, false) => {
                    let logs = HostPath::literal("/var/log");
                    let is_logs = left.theirs.iter().all(|path| path.is_within(&logs));
                    let flag = match is_logs && !left.theirs.is_empty() {
                        true => " --accept-data-loss",
                        false => "",
                    };
                    crate::say(format_args!(
                        "change {id} undone in part; the rest is undone by: {}",
                        with_state(&format!("steadfast undo {id}{flag}"))
                    ));
                }
            }
            let paths = |paths: &[HostPath]| -> Vec<String> {
                paths.iter().map(ToString::to_string).collect()
            };
            say_left("still in effect", &left.standing);
            say_left("stays, since others have it by now", &left.stays);
            say_left(
                "not byte-identical, since they hold what others wrote, or what stays",
                &paths(merged),
            );
            say_left(
                "left as they are now, because others or services wrote there since",
                &paths(&left.theirs),
            );
            say_left(
                "put back, and written anew since, by units that were started or by others",
                &paths(&left.anew),
            );
            say_left(
                "can't be looked at, and is not known to be as before",
                &left.unseen,
            );
            say_left("still at work", &left.running);
            let others: Vec<HostPath> = left
                .differing
                .iter()
                .filter(|path| !merged.contains(path))
                .filter(|path| !left.theirs.iter().any(|theirs| path.is_within(theirs)))
                .cloned()
                .collect();
            say_left("not as they were before the change", &paths(&others));
            say_left(
                "not as before any more when it was confirmed",
                &left.changed,
            );
            ended_as(left, named)
        }
        Undone::AwaitingConfirmation(id, deadline) => {
            crate::say(format_args!(
                "change {id} is undone, and is put into effect again at {deadline:.0} unless the \
                 undo is confirmed: {}",
                with_state(&format!("steadfast confirm {id}"))
            ));
            Exit::AsWanted
        }
        Undone::TakenBack { id, now, why, seen } => {
            let why = model::printable(why.join("; ").as_bytes());
            let (said, exit) = context::undo_taken_back(*now, *seen);
            crate::say(format_args!("change {id}: {said}: {why}"));
            exit
        }
        Undone::NeedsHuman { id, why } => {
            let why = model::printable(why.join("; ").as_bytes());
            crate::say(format_args!("change {id} could not be taken back: {why}"));
            Exit::NeedsPerson
        }
    }
}

/// What was left as it was asked for by its name (`--only`, `--except`) is as wanted; what others made
/// it stay, nobody knew before.
pub fn ended_as(left: &Left, named: bool) -> Exit {
    let standing = !left.standing.is_empty() && !named;
    // What changed outside of its write set is named, and was never to be taken back.
    let stays = standing
        || !left.changed.is_empty()
        || !left.theirs.is_empty()
        || !left.stays.is_empty()
        || !left.running.is_empty();
    let is_seen = left.unseen.is_empty() && left.outside.unreadable == 0;
    match (stays, is_seen) {
        (true, _) => Exit::Findings,
        (false, false) => Exit::Unchecked,
        (false, true) => Exit::AsWanted,
    }
}

/// Says which places are otherwise than before, and why.
fn say_left(why: &str, what: &[String]) {
    if what.is_empty() {
        return;
    }
    crate::say(format_args!("{why}:"));
    for one in what {
        crate::say(format_args!("  {one}"));
    }
}

/// How a change dealt with packages.
enum Packages {
    None,
    Rehearsed,
    /// By the package manager alone: what it wrote is not known by path.
    AsOlderVersionsDid,
}

impl Packages {
    fn of(plan: &Plan) -> Self {
        let any = |is_meant: fn(&Effect) -> bool| {
            let mut effects = plan.actions.iter().map(|action| &action.effect);
            effects.any(is_meant)
        };
        if any(|effect| matches!(effect, Effect::Package { .. })) {
            Self::AsOlderVersionsDid
        } else if any(|effect| matches!(effect, Effect::Upgrade { .. })) {
            Self::Rehearsed
        } else {
            Self::None
        }
    }
}

fn refusal(error: UndoError, plan: &Plan) -> Failure {
    let (exit, help) = match &error {
        UndoError::Conflict(obstacles) => {
            // The message below says it in one line, should nobody see these.
            let _ = show_obstacles(obstacles);
            (
                Exit::NeedsPerson,
                match Packages::of(plan) {
                    // No place, but accounts, groups and the like.
                    _ if obstacles.iter().all(|one| !one.what.starts_with('/')) => {
                        "nothing was touched; put these in order by hand, or leave them as they are \
                         (--keep-theirs)"
                    }
                    Packages::AsOlderVersionsDid => {
                        "nothing was touched; move these elsewhere, undo, and move them back"
                    }
                    Packages::Rehearsed => {
                        "nothing was touched; --keep-theirs leaves these as they are where that \
                         can be, and takes the rest back; a packaged file is put back by apt-get \
                         install --reinstall PACKAGE"
                    }
                    Packages::None => {
                        "nothing was touched; put these places in order by hand, leave them as they \
                         are (--keep-theirs), or leave what the change did there (--except PATH)"
                    }
                },
            )
        }
        UndoError::NoGuard(_) => (
            Exit::Findings,
            "nothing was touched; such an undo needs a host that systemd runs",
        ),
        UndoError::Unfinished { .. } => (
            Exit::NeedsPerson,
            "see to it as soon as there is room: steadfast recover",
        ),
        UndoError::Expired { .. } => (
            Exit::BadInput,
            "nothing was touched; what it changed can only be changed forwards",
        ),
        UndoError::NoImage { .. } => (
            Exit::NeedsPerson,
            "nothing was touched; --except PATH takes the rest back",
        ),
        UndoError::Choice(_) => (Exit::BadInput, "nothing was touched"),
        UndoError::NotCommitted { .. } => (
            Exit::BadInput,
            "nothing was touched; steadfast history lists the changes",
        ),
        UndoError::OutOfOrder { .. } => (Exit::BadInput, "nothing was touched"),
        UndoError::Irreversible { .. } => (Exit::NeedsPerson, "nothing was touched"),
        UndoError::Lock(_) => (Exit::Findings, "nothing was touched; try again later"),
        _ if error.is_full() => (
            Exit::Findings,
            "nothing was touched; make room on this file system, and try again",
        ),
        UndoError::Pending(first) => {
            let help = format!("nothing was touched; {}", context::what_ends(first));
            return Failure::with_help(Exit::NeedsPerson, error, help);
        }
        UndoError::OtherRoot { .. } | UndoError::State(_) | UndoError::Act(_) => (
            Exit::NeedsPerson,
            "steadfast history shows what is going on",
        ),
    };
    Failure::with_help(exit, error, help)
}

/// Places that are shown; the rest is counted.
const OBSTACLES: usize = 20;

fn show_obstacles(obstacles: &[Obstacle]) -> std::io::Result<()> {
    let shown = obstacles.iter().take(OBSTACLES);
    let owners = owners(&shown.clone().map(|one| one.what.clone()).collect());
    let style = Style::for_stderr();
    let mut err = std::io::stderr().lock();
    for obstacle in shown {
        {
            let owner = owners.get(&obstacle.what);
            let owner = owner.map(|package| format!("; it is of the package {package}"));
            let mut paper = Paper::new(&mut err, &style);
            let text = Text::new().say(Role::Strong, &obstacle.what).gap(1);
            let text = text.plain(&obstacle.why);
            paper.line(&text.plain(owner.as_deref().unwrap_or_default()))?;
        }
        if let Some((left, now)) = &obstacle.difference {
            show::difference::write_contents(&mut err, left.as_bytes(), now.as_bytes(), &style)?;
        }
    }
    if obstacles.len() > OBSTACLES {
        // Each undo shows the first of those that are left.
        let more = format!(
            "and {}: the next undo shows those that are left then",
            plural(obstacles.len() - OBSTACLES, "more place")
        );
        Paper::new(&mut err, &style).line(&Text::new().plain(&more))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Exit, Left, ended_as};
    use model::{HostPath, Outside};

    /// What was asked for by its name is as wanted; what stays for others' sake is not known before.
    #[test]
    fn what_stays_decides_the_exit_code() {
        let place = || vec!["/etc/motd".to_owned()];
        let path = || vec![HostPath::literal("/etc/motd")];
        let outside = Outside {
            paths: path(),
            total: 1,
            unreadable: 0,
        };
        for (what, left, named, exit) in [
            ("whole", Left::default(), false, Exit::AsWanted),
            (
                "--except",
                Left {
                    standing: place(),
                    ..Left::default()
                },
                true,
                Exit::AsWanted,
            ),
            (
                "--keep-theirs, a value",
                Left {
                    standing: place(),
                    ..Left::default()
                },
                false,
                Exit::Findings,
            ),
            (
                "--keep-theirs, a file",
                Left {
                    theirs: path(),
                    ..Left::default()
                },
                false,
                Exit::Findings,
            ),
            (
                "others need it",
                Left {
                    stays: place(),
                    ..Left::default()
                },
                true,
                Exit::Findings,
            ),
            (
                "outside",
                Left {
                    outside,
                    ..Left::default()
                },
                false,
                Exit::AsWanted,
            ),
            (
                "written anew",
                Left {
                    anew: path(),
                    ..Left::default()
                },
                false,
                Exit::AsWanted,
            ),
            (
                "not looked at",
                Left {
                    unseen: place(),
                    ..Left::default()
                },
                false,
                Exit::Unchecked,
            ),
            (
                "outside, not looked at",
                Left {
                    outside: Outside::unseen(),
                    ..Left::default()
                },
                false,
                Exit::Unchecked,
            ),
            (
                "changed before it was confirmed",
                Left {
                    changed: place(),
                    ..Left::default()
                },
                false,
                Exit::Findings,
            ),
            (
                "runs on",
                Left {
                    running: place(),
                    ..Left::default()
                },
                false,
                Exit::Findings,
            ),
        ] {
            assert_eq!(ended_as(&left, named), exit, "{what}");
        }
    }
}
