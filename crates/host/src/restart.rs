//! A restart of the machine that belongs to a change. It is noted before it begins; the unit that runs
//! at boot sees to it that the host is looked at when it is up. What waits to be confirmed waits on
//! over this one restart: a new sign-in after it is the better proof.

use std::time::Duration;

use jiff::Timestamp;
use model::restart::{Expected, Restarted};
use model::{ChangeId, ChangeState};
use serde::{Deserialize, Serialize};

use crate::LocalHost;
use crate::act::{ActError, Context, unit};
use crate::apply::boot_id;
use crate::confirm::{self, Guard};
use crate::journal::{Batch, Header, Imaged, Record};
use crate::lock::{Lock, LockError};
use crate::state::{State, StateError};
use crate::target::Target;

/// A machine is up again after so long, or a change that waits is taken back: its own firmware and
/// checks of file systems are reckoned with.
const BOOT_LIMIT: Duration = Duration::from_secs(600);

/// That a machine is to be restarted for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// The boot in which that was asked for.
    pub from: Option<String>,
    /// How long a change that waits to be confirmed waits after it.
    pub confirm_within_ms: u64,
}

impl Restart {
    /// Has it been made, and was it the only one since?
    pub(crate) fn is_made(&self, header: &Header) -> bool {
        self.from.is_some() && self.from == header.boot && header.boot != boot_id()
    }
}

impl Record for Expected {
    const KIND: &'static str = "expected";
}

#[derive(Debug, thiserror::Error)]
pub enum RestartError {
    #[error("change {id} is {}: the machine is not restarted for it", .state.words())]
    NotInEffect { id: ChangeId, state: ChangeState },
    #[error("nothing would look at the host after the restart: {0}")]
    NoGuard(String),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Act(#[from] ActError),
}

/// Notes what must hold afterwards, and asks systemd for the restart.
///
/// # Errors
/// When it is refused, or systemd does. Nothing is noted then.
pub fn restart(
    host: &LocalHost,
    state: &State,
    id: ChangeId,
    expected: &Expected,
    confirm_within: Duration,
) -> Result<(), RestartError> {
    let target = Target::of(host)?;
    let guard = Guard::of(state);
    guard.check(&target.root).map_err(RestartError::NoGuard)?;
    let _lock = Lock::take(&target.root, Duration::from_secs(10))?;
    let before = state.change(id)?.header;
    let state_now = before.change.state;
    if !matches!(
        state_now,
        ChangeState::Committed | ChangeState::AwaitingConfirmation
    ) {
        return Err(RestartError::NotInEffect {
            id,
            state: state_now,
        });
    }
    let mut header = before.clone();
    header.change.restart = Some(Restarted::Due);
    // A change of an earlier boot has nothing of it to go on with.
    header.restart = Some(Restart {
        from: boot_id(),
        confirm_within_ms: u64::try_from(confirm_within.as_millis()).unwrap_or(u64::MAX),
    });
    let write = |header: &Header| {
        let batch = Batch::default().put(id, "", header).put(id, "", expected);
        state.journal().write(batch).map_err(StateError::from)
    };
    write(&header)?;
    if let Err(error) = unit::restart_machine() {
        write(&before)?;
        return Err(error.into());
    }
    Ok(())
}

/// The changes for which the machine was restarted, and after which nobody has looked at the host, or
/// it was not well.
pub fn unchecked(state: &State) -> Result<Vec<ChangeId>, StateError> {
    let headers = state.journal().headers()?.into_iter();
    let stands = |header: &Header| {
        matches!(
            header.change.state,
            ChangeState::Committed | ChangeState::AwaitingConfirmation
        )
    };
    Ok(headers
        .filter(stands)
        .filter(|header| {
            matches!(
                header.change.restart,
                Some(Restarted::Due | Restarted::Unwell { .. })
            )
        })
        .filter(|header| {
            let from = header.restart.as_ref().and_then(|one| one.from.as_ref());
            from != boot_id().as_ref()
        })
        .map(|header| header.change.id)
        .collect())
}

/// What must hold after the restart.
pub fn expected(state: &State, id: ChangeId) -> Result<Expected, StateError> {
    let expected = state.journal().get(id, "")?;
    expected.ok_or(StateError::NoSuchChange(id))
}

/// Records how the host is after the restart.
pub fn conclude(
    host: &LocalHost,
    state: &State,
    id: ChangeId,
    why: Vec<String>,
    now: Timestamp,
) -> Result<(), RestartError> {
    let target = Target::of(host)?;
    let _lock = Lock::take(&target.root, Duration::from_secs(60))?;
    let mut header = state.change(id)?.header;
    header.change.restart = Some(match why.is_empty() {
        true => Restarted::Well { at: now },
        false => Restarted::Unwell { at: now, why },
    });
    let batch = Batch::default().put(id, "", &header);
    Ok(state.journal().write(batch).map_err(StateError::from)?)
}

/// Is the host on its way up?
pub fn is_booting() -> bool {
    unit::is_booted() && unit::is_booting().unwrap_or(false)
}

/// Has systemd look at the host as soon as it is up: for the unit at boot, which must not wait.
pub fn look_when_up(state: &State) -> Result<(), String> {
    Guard::of(state).look_when_up(state)
}

/// A change that waits goes on to wait, in this boot, guarded as before. The reason where it can't.
pub(crate) fn wait_on(
    context: &Context<'_>,
    state: &State,
    (header, images): (&mut Header, &[Imaged]),
    restart: &Restart,
    now: Timestamp,
) -> Result<(), String> {
    let within = Duration::from_millis(restart.confirm_within_ms) + BOOT_LIMIT;
    let guard = match context.root.is_live() {
        true => Guard::of(state),
        false => Guard::Assumed,
    };
    header.boot = boot_id();
    confirm::begin_at(context.root, header, images, now, within);
    let id = header.change.id;
    let batch = Batch::default().put(id, "", &*header);
    state
        .journal()
        .write(batch)
        .map_err(|error| error.to_string())?;
    guard.arm_deadline(id, state, within)
}
