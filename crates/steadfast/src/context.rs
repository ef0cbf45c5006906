//! What every command that touches the journal shares: where it is, who asks, and that
//! what was interrupted is dealt with first.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host::expire::{ExpireError, Expired};
use host::packages::Turn;
use host::{
    Applied, ApplyError, ApplyOptions, CrashPoints, Create, Event, Guard, Installed, LocalHost,
    Pending, Recovered, Recovery, State, StateError, Unended,
};
use jiff::Timestamp;
use model::count::first_of;
use model::restart::Restarted;
use model::{Change, ChangeId, ChangeState};
use plan::report::{Unended as UnendedChange, UnendedKind};
use plan::retention::Retention;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::named_change::{ToWhat, named};
use crate::show;
use crate::typed::{state_or, with_state};

/// Where root keeps the journal.
const SYSTEM_STATE: &str = "/var/lib/steadfast";

pub struct Context {
    state: PathBuf,
    /// Nobody named the folder: it is whose account this runs under.
    is_usual: bool,
}

impl Context {
    /// `state` as given on the command line.
    pub fn new(state: Option<PathBuf>) -> Self {
        Self {
            is_usual: state.is_none(),
            state: state.unwrap_or_else(default_state),
        }
    }

    pub fn directory(&self) -> &Path {
        &self.state
    }

    /// Says where root's are, to someone else who found none of their own.
    pub fn mention_roots(&self, what: &str, command: &str) {
        let others = !rustix::process::geteuid().is_root() && Path::new(SYSTEM_STATE).is_dir();
        if self.is_usual && others {
            crate::say(format_args!(
                "root's {what} are in {SYSTEM_STATE}: sudo steadfast {command}"
            ));
        }
    }

    /// The journal, made when there is none.
    pub fn open_state(&self) -> Result<State, Failure> {
        State::open(&self.state, Create::Yes).map_err(refused)
    }

    /// The journal; none when nothing was ever changed.
    pub fn existing_state(&self) -> Result<Option<State>, Failure> {
        match State::open(&self.state, Create::No) {
            Ok(state) => Ok(Some(state)),
            Err(StateError::Missing(_)) => Ok(None),
            Err(error) => Err(refused(error)),
        }
    }

    /// The journal, where something was changed; a folder that holds only feeds has none, and gets
    /// none.
    pub fn existing_journal(&self) -> Result<Option<State>, Failure> {
        match self.state.join("journal.db").exists() {
            true => self.existing_state(),
            false => host::state::refuse_lost(&self.state)
                .map_err(refused)
                .map(|()| None),
        }
    }

    /// The journal of a command that needs one.
    pub fn needed_state(&self) -> Result<State, Failure> {
        let state = self.existing_state()?;
        state.ok_or_else(|| {
            Failure::new(
                Exit::BadInput,
                format_args!("there is no journal in `{}`", self.state.display()),
                "nothing was changed on this host yet, or name its place with --state",
            )
        })
    }

    /// The change that a person names for `what`; where none is named, the one that waits to be
    /// confirmed, or else the last one.
    pub fn named_change(
        &self,
        state: &State,
        typed: Option<&str>,
        what: ToWhat,
    ) -> Result<Change, Failure> {
        let history = state.history().map_err(refused)?;
        named(&history, typed, what).cloned()
    }

    /// One line for each change that waits to be confirmed or needs a person and of which `which`
    /// holds, above whatever a command says: who reads that all is well must not miss it.
    pub fn mention_unended(&self, which: impl Fn(UnendedKind) -> bool) {
        if let Ok(Some(state)) = self.existing_journal() {
            let history = state.history().unwrap_or_default();
            let restarted = history.iter().rev().find(|one| one.restart.is_some());
            if let Some(text) = restarted.and_then(restarted_text) {
                crate::say(format_args!("{text}"));
            }
        }
        // What is wrong with the journal, the command itself says.
        for one in self.unended().unwrap_or_default() {
            if which(one.kind) {
                crate::say(format_args!("{}", one.says));
            }
        }
    }

    /// The changes of this host that wait to be confirmed or need a person.
    ///
    /// # Errors
    /// When the journal can't be read: then there may be some.
    pub fn unended(&self) -> Result<Vec<UnendedChange>, Failure> {
        let Some(state) = self.existing_journal()? else {
            return Ok(Vec::new());
        };
        let all = state.unended().map_err(refused)?;
        let now = Timestamp::now();
        Ok(all.iter().filter_map(|one| unended(one, now)).collect())
    }
}

/// What people must know of the last restart for a change that stands.
fn restarted_text(change: &Change) -> Option<String> {
    let id = change.id;
    let stands = matches!(
        change.state,
        ChangeState::Committed | ChangeState::AwaitingConfirmation
    );
    match change.restart.as_ref().filter(|_| stands)? {
        Restarted::Due => Some(format!(
            "change {id}: the machine is being restarted for it, or was and nobody looked at the host \
             since: steadfast recover"
        )),
        Restarted::Well { .. } => None,
        Restarted::Unwell { why, .. } => Some(format!(
            "change {id}: after the restart for it the host is not as before ({}): steadfast recover \
             looks again, steadfast undo {id} takes it back",
            first_of(why, 2)
        )),
    }
}

/// What ends a change that another waits for, each with its command.
pub fn what_ends(first: &Unended) -> String {
    let change = &first.change;
    let steps = show::change::endings(change);
    let mut said: Vec<String> = steps
        .into_iter()
        .map(|step| format!("{} {}", step.command, step.note))
        .collect();
    if let (ChangeState::AwaitingConfirmation, Some(deadline)) = (change.state, first.deadline) {
        said.push(format!("without that it is taken back at {deadline:.0}"));
    }
    said.join("; ")
}

/// What people must know of a change that waits, or that needs a person.
fn unended(pending: &Pending, now: Timestamp) -> Option<UnendedChange> {
    let id = pending.change.id;
    let (kind, what) = match pending.change.state {
        ChangeState::AwaitingConfirmation => (UnendedKind::AwaitingConfirmation, "change"),
        ChangeState::AwaitingUndoConfirmation => {
            (UnendedKind::AwaitingUndoConfirmation, "the undo of change")
        }
        ChangeState::NeedsHuman => (UnendedKind::NeedsPerson, "change"),
        _ => return None,
    };
    let overdue = kind != UnendedKind::NeedsPerson && pending.is_over(now);
    let says = match (kind, overdue) {
        (UnendedKind::NeedsPerson, _) => {
            let summary = model::printable(pending.change.summary.as_bytes());
            let recover = with_state(&format!("steadfast recover {id}"));
            format!(
                "{what} {id} needs a person ({summary}); what differs, and what ends it: {recover}"
            )
        }
        (_, true) => format!(
            "{what} {id} is in effect past its deadline, and nobody confirmed it; what takes it \
             back: {}",
            with_state("sudo steadfast recover")
        ),
        (_, false) => format!(
            "{what} {id} is in effect and not confirmed{}; what keeps it: {}",
            pending.deadline.map_or_else(String::new, |deadline| {
                format!(", and is taken back at {deadline:.0}")
            }),
            with_state(&format!("steadfast confirm {id}"))
        ),
    };
    Some(UnendedChange {
        change: id.to_string(),
        kind,
        deadline: pending.deadline,
        overdue,
        says,
    })
}

/// Asks a question whose answer is no unless it is yes. Without a terminal, nobody can.
pub fn consent(yes: bool, question: &str) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::BadInput,
            "there is no terminal to ask at",
            "add --yes when you mean it",
        ));
    }
    let mut err = std::io::stderr().lock();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    drop(err);
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// One patch at a time: they share the package files and the folder of the copy.
pub fn take_turn(state: &State) -> Result<Turn, Failure> {
    match Turn::take(state) {
        Ok(Some(turn)) => Ok(turn),
        Ok(None) => Err(Failure::new(
            Exit::Findings,
            "another patch is planned or applied on this host now",
            "nothing was changed; try again later",
        )),
        Err(error) => Err(Failure::because(Exit::Unchecked, error)),
    }
}

/// The account that runs this, and the one behind `sudo`, as they call themselves: a note
/// for people, on which nothing is decided.
pub fn who(host: &LocalHost) -> String {
    let uid = rustix::process::getuid().as_raw();
    let facts = host.facts();
    let name = facts
        .accounts
        .known()
        .and_then(|accounts| accounts.iter().find(|(_, account)| account.uid == uid))
        .map_or_else(|| format!("uid {uid}"), |(name, _)| name.clone());
    match std::env::var("SUDO_USER") {
        Ok(person) if uid == 0 && !person.is_empty() => {
            format!("{} (as {name})", model::printable(person.as_bytes()))
        }
        _ => name,
    }
}

fn default_state() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from(SYSTEM_STATE);
    }
    // XDG Base Directory Specification 0.8: state that persists between restarts.
    let home = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    home.unwrap_or_else(|| PathBuf::from("/tmp"))
        .join("steadfast")
}

/// The journal can't be used: a person has to look at it.
pub fn refused(error: StateError) -> Failure {
    if error.is_full() {
        let help = "nothing was touched; make room on this file system, and try again";
        return Failure::with_help(Exit::Findings, error, help);
    }
    if matches!(error, StateError::LostJournal(_) | StateError::Journal(_)) {
        let help = format!(
            "nothing was touched. Put the whole folder back from a backup; without one, move it away:\n\
             {}\n\
             Then Steadfast begins anew, and what was changed before can't be undone by it. The \
             before-images stay in `images` of the folder that was moved",
            move_away()
        );
        return Failure::with_help(Exit::NeedsPerson, error, help);
    }
    if let StateError::Io { path, .. } = &error
        && path.ends_with("key")
    {
        let help = format!(
            "nothing was touched. Put the key back from a backup of the folder; without it nobody can \
             prove what the journal says, and nothing in it can be undone by Steadfast: move the folder \
             away, and Steadfast begins anew:\n\
             {}\n\
             The before-images stay in `images` of the folder that was moved",
            move_away()
        );
        return Failure::with_help(Exit::NeedsPerson, error, help);
    }
    Failure::with_help(
        Exit::NeedsPerson,
        error,
        "nothing was touched; another folder can be named with --state",
    )
}

/// What takes a damaged folder out of the way, and keeps it.
fn move_away() -> String {
    let folder = state_or(default_state);
    let quoted = show::plan::quoted(&folder.to_string_lossy());
    let damaged = show::plan::quoted(&format!("{}.damaged", folder.display()));
    format!("mv {quoted} {damaged}")
}

/// Set by the first Ctrl-C (SIGINT) or SIGTERM: what waits is then taken back in order.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C a request instead of a death: a change in the middle is taken back in
/// order. The journal survives a death as well, but the person would have to wait for
/// `recover`.
pub fn heed_interrupts() {
    // A process may ask only once; a second command in one process keeps the first.
    let _ = ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst));
}

/// Has the person had enough?
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// How long another change may keep a command waiting, before it is refused.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The options of every command that changes the host.
pub fn options<'a>(host: &LocalHost, state: &State, confirm_within: Duration) -> ApplyOptions<'a> {
    ApplyOptions {
        by: who(host),
        now: &Timestamp::now,
        confirm_within,
        lock_wait: LOCK_WAIT,
        interrupted: &|| INTERRUPTED.load(Ordering::SeqCst),
        detach: false,
        guard: Guard::of(state),
        crash: CrashPoints::default(),
        decide_again: None,
    }
}

/// Finishes or takes back what was interrupted, and says what became of it.
pub fn recover(host: &LocalHost, state: &State) -> Result<Exit, Failure> {
    recover_within(host, state, LOCK_WAIT)
}

/// The same, waiting so long for another change that is at work.
pub fn recover_within(
    host: &LocalHost,
    state: &State,
    lock_wait: Duration,
) -> Result<Exit, Failure> {
    let mut silent = |_: Event| {};
    let recovered = host::recover(
        host,
        state,
        Timestamp::now(),
        lock_wait,
        &CrashPoints::default(),
        &mut silent,
    )
    .map_err(|error| Failure::because(Exit::NeedsPerson, error))?;
    let mut exit = Exit::AsWanted;
    for Recovered { id, outcome } in recovered {
        let said = match outcome {
            Recovery::NothingTouched => "nothing had been touched".to_owned(),
            Recovery::AsBefore { why, seen: true } => {
                exit = exit.or(Exit::TakenBack);
                format!("taken back, the host is as it was before: {why}")
            }
            Recovery::AsBefore { why, seen: false } => {
                exit = exit.or(Exit::TakenBack);
                format!("taken back, and may not be as before: {why}")
            }
            Recovery::AsPlanned { why } => format!("the host is as planned: {why}"),
            Recovery::StillAwaiting {
                deadline,
                undo: true,
            } => format!(
                "undone, and put into effect again at {deadline:.0} unless `{}` keeps the undo",
                with_state(&format!("steadfast confirm {id}"))
            ),
            Recovery::StillAwaiting { deadline, .. } => format!(
                "in effect, and taken back at {deadline:.0} unless `{}` keeps it",
                with_state(&format!("steadfast confirm {id}"))
            ),
            Recovery::Undone { seen: true } => {
                "undone: the host is as it was before the change".to_owned()
            }
            Recovery::Undone { seen: false } => "undone".to_owned(),
            Recovery::UndoTakenBack { was, why, seen } => {
                let (said, ended) = undo_taken_back(was, seen);
                exit = exit.or(ended);
                format!("{said}: {why}")
            }
            Recovery::NeedsHuman { why } => {
                exit = exit.or(Exit::NeedsPerson);
                format!(
                    "needs a person: {}; next: {}",
                    why.join("; "),
                    with_state(&format!("steadfast recover {id}"))
                )
            }
        };
        crate::say(format_args!(
            "change {id}: {}",
            model::printable(said.as_bytes())
        ));
    }
    Ok(exit)
}

/// How a change is whose undo was taken back, which is `now` again what it was; `seen`: all of it was
/// looked at.
pub fn undo_taken_back(now: ChangeState, seen: bool) -> (&'static str, Exit) {
    match (now, seen) {
        (ChangeState::Committed, true) => (
            "the undo was taken back, and the change is in effect again",
            Exit::TakenBack,
        ),
        (ChangeState::Committed, false) => (
            "the undo was taken back, and not all of the change was seen to be in effect again",
            Exit::TakenBack,
        ),
        (ChangeState::NeedsHuman, true) => (
            "the undo was taken back, and the change needs a person, as before it",
            Exit::NeedsPerson,
        ),
        (ChangeState::NeedsHuman, false) => (
            "the undo was taken back, but not all was seen to be as before it; the change needs a \
             person, as it did then",
            Exit::NeedsPerson,
        ),
        (_, true) => (
            "the undo was taken back, and all is as before it",
            Exit::TakenBack,
        ),
        (_, false) => (
            "the undo was taken back, and not all was seen to be as before it",
            Exit::TakenBack,
        ),
    }
}

/// Does a change need a person?
pub fn needs_person(state: &State) -> Result<bool, Failure> {
    let history = state.history().map_err(refused)?;
    let mut states = history.iter().map(|change| change.state);
    Ok(states.any(|state| state == ChangeState::NeedsHuman))
}

/// Lets before-images go that are kept no longer. Behind a command that did something else,
/// so that what goes wrong here is said and does not change how that ended.
pub fn expire(host: &LocalHost, state: &State) {
    let rule = Retention::default();
    let crash = CrashPoints::default();
    let expired = host::expire::expire(host, state, &rule, Timestamp::now(), LOCK_WAIT, &crash);
    match expired {
        Ok(expired) => say_expired(&expired),
        // Another change is at work, and sees to it when it is done.
        Err(ExpireError::Lock(_)) => {}
        Err(error) => crate::say(format_args!(
            "before-images that are kept no longer could not be deleted: {error}"
        )),
    }
}

/// Which changes can no longer be undone, and what went.
pub fn say_expired(expired: &Expired) {
    if !expired.changes.is_empty() {
        crate::say(format_args!(
            "can no longer be undone, since their before-images expired: {}",
            names(&expired.changes)
        ));
    }
}

/// `c-3, c-4`, and how many more.
pub fn names(changes: &[ChangeId]) -> String {
    const MOST: usize = 12;
    let shown: Vec<String> = changes.iter().take(MOST).map(ToString::to_string).collect();
    match changes.len().saturating_sub(MOST) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Puts a copy of this program and a recovery unit in place, so that what a crash
/// interrupts is dealt with at boot. The first change of a host does this.
pub fn install_recovery(host: &LocalHost, state: &State) -> Result<(), Failure> {
    let running = std::env::current_exe()?;
    let options = options(host, state, Duration::ZERO);
    let installed =
        host::install(host, state, &running, &options, &mut |_| {}).map_err(|error| {
            let (exit, help) = match &error {
                ApplyError::Lock(_) => (Exit::Findings, "nothing was changed; try again later"),
                _ if error.is_full() => (
                    Exit::Findings,
                    "nothing was changed; make room on this file system, and try again",
                ),
                _ => (
                    Exit::NeedsPerson,
                    "steadfast history shows what is going on",
                ),
            };
            Failure::with_help(exit, error, help)
        })?;
    let (exit, id, why) = match installed {
        Installed::AlreadyThere | Installed::NoSystemd | Installed::Now(Applied::Nothing) => {
            return Ok(());
        }
        Installed::Now(Applied::Committed(id)) => {
            crate::say(format_args!(
                "recovery at boot is installed (change {id}; `steadfast uninstall` removes it)"
            ));
            return Ok(());
        }
        Installed::Now(
            Applied::TakenBack {
                id,
                why,
                verified: true,
                ..
            }
            | Applied::PartlyTakenBack { id, why },
        ) => (Exit::TakenBack, id, why),
        Installed::Now(Applied::TakenBack { id, why, .. } | Applied::NeedsHuman { id, why }) => {
            (Exit::NeedsPerson, id, why)
        }
        Installed::Now(Applied::AwaitingConfirmation(id, _)) => (Exit::NeedsPerson, id, Vec::new()),
    };
    Err(Failure::new(
        exit,
        format_args!(
            "recovery at boot could not be installed (change {id}): {}",
            model::printable(why.join("; ").as_bytes())
        ),
        "without it nothing is changed: a crash could not be taken back",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_in_effect_is_said_to_be_so_again() {
        for (now, words, code) in [
            (ChangeState::Committed, "in effect again", Exit::TakenBack),
            (ChangeState::NeedsHuman, "needs a person", Exit::NeedsPerson),
            (ChangeState::KeptAsItIs, "as before it", Exit::TakenBack),
        ] {
            for seen in [true, false] {
                let (said, exit) = undo_taken_back(now, seen);
                assert!(said.contains(words), "{said}");
                assert_eq!(said.contains("in effect"), words.contains("in effect"));
                assert_eq!(exit, code, "{said}");
            }
        }
    }
}
