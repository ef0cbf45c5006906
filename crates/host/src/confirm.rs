//! Confirm or revert: what could cut people off stays only when somebody confirms it, by
//! `steadfast confirm` or by signing in anew over SSH. A timer of systemd takes it back when
//! this process is gone, and the unit that runs at boot when the machine was restarted.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use model::{ChangeId, ChangeState, Digest};

use crate::LocalHost;
use crate::act::place::Root;
use crate::act::program::Program;
use crate::act::{ActError, Context, unit};
use crate::apply::{Applied, ApplyOptions, boot_id};
use crate::crash::CrashPoints;
use crate::event::Event;
use crate::install;
use crate::journal::{Batch, Header, Imaged};
use crate::lock::{Lock, LockError};
use crate::state::{ChangeRecord, State, StateError};
use crate::take_back::tidy;
use crate::target::Target;
use crate::undo;

mod sign_in;

pub use sign_in::{SignIn, parse_accepted, parse_journal};

/// Carrying out the plan itself may take this long before the guard thinks that it died.
/// It tries again until it gets the lock, so a longer apply is not cut off.
pub(crate) const APPLY_LIMIT: Duration = Duration::from_secs(600);

/// How often a waiting change looks for its confirmation.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Asking the system's log costs a process, so it is asked less often.
const ASK_LOG_EVERY: u32 = 5;

/// Who takes a change back when this process is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// A timer of systemd that runs this copy of the program.
    Systemd { program: PathBuf },
    /// Nobody: what could cut people off is refused, for this reason.
    None { why: String },
    /// For tests of what is around it.
    #[doc(hidden)]
    Assumed,
}

impl Guard {
    /// The guard that this host can have: systemd, and recovery units that are installed.
    pub fn of(state: &State) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::None {
                why: "only root can leave behind what would take it back: run with sudo".to_owned(),
            };
        }
        if !unit::is_booted() {
            return Self::None {
                why: "systemd does not run this host, so nothing could take the change back \
                      if the connection is lost"
                    .to_owned(),
            };
        }
        let program = install::program(state);
        match program.is_file() {
            true => Self::Systemd { program },
            false => Self::None {
                why: "the recovery units are not installed".to_owned(),
            },
        }
    }

    pub(crate) fn check(&self, root: &Root) -> Result<(), String> {
        match self {
            Self::Systemd { .. } if !root.is_live() => {
                Err("this tree is not the running host".to_owned())
            }
            Self::Systemd { .. } | Self::Assumed => Ok(()),
            Self::None { why } => Err(why.clone()),
        }
    }

    pub(crate) fn arm(&self, id: ChangeId, state: &State, after: Duration) -> Result<(), String> {
        self.timer(&format!("{}-apply", timer_name(id, state)), state, after)
    }

    pub(crate) fn arm_deadline(
        &self,
        id: ChangeId,
        state: &State,
        after: Duration,
    ) -> Result<(), String> {
        self.timer(&timer_name(id, state), state, after)
    }

    fn timer(&self, name: &str, state: &State, after: Duration) -> Result<(), String> {
        let Self::Systemd { program } = self else {
            return Ok(());
        };
        let start = || -> Result<(), ActError> {
            Program::find(&["/usr/bin/systemd-run", "/bin/systemd-run"])?
                .args([
                    format!("--unit={name}"),
                    "--description=Take back a Steadfast change that nobody confirmed".to_owned(),
                    // A second later than the process that waits, which then does it itself;
                    // and again as long as there is something to take back.
                    format!("--on-active={}", after.as_secs() + 1),
                    "--timer-property=AccuracySec=100ms".to_owned(),
                    "--timer-property=OnUnitInactiveSec=15".to_owned(),
                    "--property=Type=oneshot".to_owned(),
                    // It took something back: that is no failure of the host.
                    "--property=SuccessExitStatus=4".to_owned(),
                    "--collect".to_owned(),
                    "--quiet".to_owned(),
                    "--".to_owned(),
                    program.display().to_string(),
                    "recover".to_owned(),
                    "--state".to_owned(),
                    state.directory().display().to_string(),
                ])
                .succeed()
                .map(drop)
        };
        start().map_err(|error| format!("nothing would take the change back: {error}"))
    }

    pub(crate) fn disarm(&self, id: ChangeId, state: &State) {
        if matches!(self, Self::Systemd { .. }) {
            disarm(id, state);
        }
    }
}

/// Changes of two state directories may have one number, and neither may stop the other's
/// timer.
fn timer_name(id: ChangeId, state: &State) -> String {
    let directory = Digest::of(state.directory().as_os_str().as_encoded_bytes()).to_string();
    format!("steadfast-revert-{id}-{}", &directory[..8])
}

/// Stops the timers of a change that is final. One that stays finds nothing to do.
pub(crate) fn disarm(id: ChangeId, state: &State) {
    if !unit::is_booted() {
        return;
    }
    let name = timer_name(id, state);
    let Ok(program) = Program::find(&["/usr/bin/systemctl", "/bin/systemctl"]) else {
        return;
    };
    let _ = program
        .args([
            "stop".to_owned(),
            "--quiet".to_owned(),
            format!("{name}.timer"),
            format!("{name}-apply.timer"),
        ])
        .run();
}

/// A change can't be confirmed.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    #[error("change {id} is {}: there is nothing to confirm", .state.words())]
    NotAwaiting { id: ChangeId, state: ChangeState },
    #[error("the time to confirm change {0} is over")]
    TooLate(ChangeId),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Act(#[from] ActError),
}

/// Keeps a change, or an undo, that waits to be confirmed. `by` says who, or how.
pub fn confirm(
    host: &LocalHost,
    state: &State,
    id: ChangeId,
    by: &str,
    now: Timestamp,
) -> Result<(), ConfirmError> {
    let target = Target::of(host)?;
    // Whoever waits for the confirmation holds no lock meanwhile.
    let _lock = Lock::take(&target.root, Duration::from_secs(10))?;
    let record = state.change(id)?;
    let mut header = record.header.clone();
    if !header.change.state.is_awaiting() {
        return Err(ConfirmError::NotAwaiting {
            id,
            state: header.change.state,
        });
    }
    if is_over(&header, now) {
        return Err(ConfirmError::TooLate(id));
    }
    let (token, crash) = (header.token.clone(), CrashPoints::none());
    let context = Context::new(&target.root, state.images(), &token, &crash);
    match header.change.state {
        ChangeState::AwaitingUndoConfirmation => {
            let record = ChangeRecord { header, ..record };
            undo::again::keep(state, record, by, now)?;
        }
        _ => keep(&context, state, &mut header, &record.images, by, now)?,
    }
    disarm(id, state);
    Ok(())
}

/// Past its deadline, or from before a restart of the machine.
pub(crate) fn is_over(header: &Header, now: Timestamp) -> bool {
    header.deadline.is_none_or(|deadline| now > deadline) || header.boot != boot_id()
}

pub(crate) fn keep(
    context: &Context<'_>,
    state: &State,
    header: &mut Header,
    images: &[Imaged],
    by: &str,
    now: Timestamp,
) -> Result<(), StateError> {
    tidy(context, images)?;
    header.change.state = ChangeState::Committed;
    header.change.ended = Some(now);
    header.change.note = Some(format!("confirmed by {by}"));
    Ok(state
        .journal()
        .write(Batch::default().put(header.change.id, "", header))?)
}

/// How the waiting ended.
pub(crate) enum Waited {
    Confirmed(String),
    /// Somebody else finished it.
    EndedElsewhere(Box<Header>),
    Interrupted,
    Expired,
}

/// Waits, in the state `awaited`, for a confirmation: by the command, which writes it to the journal, or by a sign-in,
/// which is looked for here.
pub(crate) fn wait(
    state: &State,
    id: ChangeId,
    awaited: ChangeState,
    deadline: Timestamp,
    options: &ApplyOptions<'_>,
    sink: &mut dyn FnMut(Event),
) -> Result<Waited, StateError> {
    let kept = match awaited {
        ChangeState::AwaitingUndoConfirmation => ChangeState::Undone,
        _ => ChangeState::Committed,
    };
    let mut rounds = 0;
    loop {
        let header = state.change(id)?.header;
        match header.change.state {
            state if state == awaited => {}
            state if state == kept => {
                return Ok(Waited::Confirmed(header.change.note.unwrap_or_default()));
            }
            _ => return Ok(Waited::EndedElsewhere(Box::new(header))),
        }
        if (options.interrupted)() {
            return Ok(Waited::Interrupted);
        }
        let now = (options.now)();
        if now >= deadline {
            return Ok(Waited::Expired);
        }
        if rounds % ASK_LOG_EVERY == 0
            && let Some(by) = sign_in::since(&header)
            && let Ok(host) = LocalHost::running()
            && confirm(&host, state, id, &by, now).is_ok()
        {
            return Ok(Waited::Confirmed(by));
        }
        rounds += 1;
        let left = deadline.duration_since(now).unsigned_abs();
        sink(Event::Waiting { left });
        std::thread::sleep(LOOK_EVERY.min(left));
    }
}

/// A sign-in that keeps the change although nobody waits for it any more.
pub(crate) fn confirmed_by_sign_in(header: &Header) -> Option<String> {
    sign_in::since(header)
}

/// What became of a change that somebody else finished.
pub(crate) fn ended(header: &Header) -> Applied {
    let id = header.change.id;
    let why: Vec<String> = header.change.note.iter().cloned().collect();
    match header.change.state {
        ChangeState::Committed => Applied::Committed(id),
        ChangeState::RolledBack | ChangeState::Undone => Applied::TakenBack {
            id,
            why,
            verified: true,
        },
        ChangeState::AwaitingConfirmation => {
            Applied::AwaitingConfirmation(id, header.deadline.unwrap_or(header.change.started))
        }
        _ => Applied::NeedsHuman { id, why },
    }
}
