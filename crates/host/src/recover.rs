//! Finishing or taking back what a crash, a lost connection or a power cut interrupted. Run
//! at boot, by the guard's timer, and before each command that changes something. Acts only
//! on records that this host wrote.

use std::time::Duration;

use jiff::Timestamp;
use model::count::first_of;
use model::{ChangeId, ChangeState, Risk};

use crate::LocalHost;
use crate::act::{ActError, Context};
use crate::apply::{Applied, finish_taking_back};
use crate::confirm;
use crate::crash::CrashPoints;
use crate::event::Event;
use crate::journal::Batch;
use crate::lock::{Lock, LockError};
use crate::restart;
use crate::state::{ChangeRecord, State, StateError};
use crate::target::Target;
use crate::undo;

/// What became of one interrupted change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    pub id: ChangeId,
    pub outcome: Recovery,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing had been touched.
    NothingTouched,
    /// The host is as it was before, checked path by path.
    AsBefore {
        /// All of it was looked at, and is as it was; else `why` says what is not.
        seen: bool,
        why: String,
    },
    /// The host is as planned.
    AsPlanned {
        why: String,
    },
    /// It, or its undo, still has time to be confirmed.
    StillAwaiting {
        deadline: Timestamp,
        undo: bool,
    },
    /// An interrupted undo was completed, or one that waited was confirmed. `seen` says whether
    /// everything was looked at, and is as it was before the change.
    Undone {
        seen: bool,
    },
    /// An undo that nobody confirmed was taken back: the change is again what it was.
    UndoTakenBack {
        was: ChangeState,
        /// All of it was looked at, and is as it was before the undo; else `why` says what is not.
        seen: bool,
        why: String,
    },
    NeedsHuman {
        why: Vec<String>,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Act(#[from] ActError),
}

/// A change that waits is not taken back.
#[derive(Debug, thiserror::Error)]
pub enum TakeBackError {
    #[error("change {id} is {}: it waits for nobody", .state.words())]
    NotAwaiting { id: ChangeId, state: ChangeState },
    #[error(transparent)]
    Recover(RecoverError),
}

impl<E: Into<RecoverError>> From<E> for TakeBackError {
    fn from(error: E) -> Self {
        Self::Recover(error.into())
    }
}

/// Deals with every change that is not final.
pub fn recover(
    host: &LocalHost,
    state: &State,
    now: Timestamp,
    lock_wait: Duration,
    crash: &CrashPoints,
    sink: &mut dyn FnMut(Event),
) -> Result<Vec<Recovered>, RecoverError> {
    if state.pending()?.is_empty() {
        return Ok(Vec::new());
    }
    let target = Target::of(host)?;
    // A living apply holds the lock: then there is nothing to recover yet.
    let _lock = Lock::take(&target.root, lock_wait)?;
    let mut recovered = Vec::new();
    for pending in state.pending()? {
        let record = state.change(pending.change.id)?;
        if record.header.root != target.root.path() {
            continue;
        }
        recovered.push(Recovered {
            id: pending.change.id,
            outcome: one(&target, state, record, now, crash, sink)?,
        });
    }
    Ok(recovered)
}

fn one(
    target: &Target,
    state: &State,
    record: ChangeRecord,
    now: Timestamp,
    crash: &CrashPoints,
    sink: &mut dyn FnMut(Event),
) -> Result<Recovery, RecoverError> {
    let ChangeRecord {
        mut header,
        plan,
        actions,
        images,
    } = record;
    let id = header.change.id;
    let token = header.token.clone();
    let context = Context::new(&target.root, state.images(), &token, crash);
    let unconfirmed;
    let why = match header.change.state {
        ChangeState::Planned => {
            header.change.state = ChangeState::RolledBack;
            header.change.ended = Some(now);
            header.change.note = Some("interrupted before anything was touched".to_owned());
            state
                .journal()
                .write(Batch::default().put(id, "", &header))
                .map_err(StateError::from)?;
            confirm::disarm(id, state);
            return Ok(Recovery::NothingTouched);
        }
        ChangeState::AwaitingConfirmation => {
            // Somebody who got in since shows that nobody is cut off, in time or late.
            let restarted = header.boot != crate::apply::boot_id();
            if !restarted && let Some(by) = confirm::confirmed_by_sign_in(&header) {
                confirm::keep(&context, state, &mut header, &images, &by, now)?;
                confirm::disarm(id, state);
                return Ok(Recovery::AsPlanned {
                    why: format!("confirmed by {by}"),
                });
            }
            let ours = header.restart.clone().filter(|one| one.is_made(&header));
            let mut unguarded = None;
            if let Some(restart) = ours {
                let again =
                    restart::wait_on(&context, state, (&mut header, &images), &restart, now);
                unguarded = again.err();
            }
            if unguarded.is_none() && !confirm::is_over(&header, now) {
                return Ok(Recovery::StillAwaiting {
                    deadline: header.deadline.unwrap_or(now),
                    undo: false,
                });
            }
            unconfirmed = match restarted {
                true if unguarded.is_some() => {
                    "the machine was restarted, and nothing would take it back if nobody confirmed it"
                        .to_owned()
                }
                true => "the machine was restarted before anyone confirmed it".to_owned(),
                false => confirm::unconfirmed(&header),
            };
            unconfirmed.as_str()
        }
        ChangeState::Imaged | ChangeState::Applying | ChangeState::Validating => {
            "interrupted while it was carried out"
        }
        ChangeState::RollingBack => "interrupted while it was taken back",
        ChangeState::AwaitingUndoConfirmation => {
            let restarted = header.boot != crate::apply::boot_id();
            let record = ChangeRecord {
                header,
                plan,
                actions,
                images,
            };
            if !restarted && let Some(by) = confirm::confirmed_by_sign_in(&record.header) {
                undo::again::keep(state, record, &by, now)?;
                confirm::disarm(id, state);
                return Ok(Recovery::Undone { seen: false });
            }
            if !confirm::is_over(&record.header, now) {
                return Ok(Recovery::StillAwaiting {
                    deadline: record.header.deadline.unwrap_or(now),
                    undo: true,
                });
            }
            let why = match restarted {
                true => "the machine was restarted before anyone confirmed it".to_owned(),
                false => confirm::unconfirmed(&record.header),
            };
            return take_undo_back(&context, state, record, now, &why, sink);
        }
        ChangeState::Undoing | ChangeState::Redoing if header.undo.is_some() => {
            // An interrupted taking back keeps the reason that it had.
            let why = match (&header.change.state, &header.change.note) {
                (ChangeState::Redoing, Some(note)) => note.clone(),
                _ => "interrupted while it was undone".to_owned(),
            };
            let record = ChangeRecord {
                header,
                plan,
                actions,
                images,
            };
            return take_undo_back(&context, state, record, now, &why, sink);
        }
        ChangeState::Undoing | ChangeState::Redoing => {
            let given_up = header.given_up.as_ref();
            let was = given_up.map_or(ChangeState::Committed, |one| one.header.change.state);
            let record = ChangeRecord {
                header,
                plan,
                actions,
                images,
            };
            let finished = undo::finish(&context, state, record, now, true, sink)?;
            confirm::disarm(id, state);
            return Ok(match finished {
                undo::Finished::Undone { proof, .. } => Recovery::Undone {
                    seen: proof.is_some(),
                },
                undo::Finished::Stuck(why) => Recovery::NeedsHuman { why },
                undo::Finished::GivenUp(found) => Recovery::UndoTakenBack {
                    was,
                    seen: false,
                    why: found
                        .iter()
                        .map(undo::Obstacle::words)
                        .collect::<Vec<_>>()
                        .join("; "),
                },
            });
        }
        ChangeState::Committed
        | ChangeState::Undone
        | ChangeState::RolledBack
        | ChangeState::NeedsHuman
        | ChangeState::KeptAsItIs => {
            return Ok(Recovery::AsPlanned {
                why: "it is final".to_owned(),
            });
        }
    };
    // An interrupted taking back keeps the reason that it had.
    let why = match (&header.change.state, &header.change.note) {
        (ChangeState::RollingBack, Some(note)) => vec![note.clone()],
        _ => vec![why.to_owned()],
    };
    let record = ChangeRecord {
        header,
        plan,
        actions,
        images,
    };
    take_back_one(&context, state, record, now, why, sink)
}

/// Takes a change back that waits to be confirmed, now and not at its deadline.
///
/// # Errors
/// When it does not wait, or could not be looked at. Nothing was touched then.
pub fn take_back_waiting(
    host: &LocalHost,
    state: &State,
    id: ChangeId,
    by: &str,
    (now, lock_wait): (Timestamp, Duration),
    sink: &mut dyn FnMut(Event),
) -> Result<Recovery, TakeBackError> {
    let target = Target::of(host)?;
    let _lock = Lock::take(&target.root, lock_wait)?;
    let record = state.change(id)?;
    let waits = record.header.change.state;
    // It may have been confirmed while we reached for the lock.
    if waits != ChangeState::AwaitingConfirmation || record.header.root != target.root.path() {
        return Err(TakeBackError::NotAwaiting { id, state: waits });
    }
    let (token, crash) = (record.header.token.clone(), CrashPoints::none());
    let context = Context::new(&target.root, state.images(), &token, &crash);
    let why = vec![format!("asked for by {by} while it waited to be confirmed")];
    Ok(take_back_one(&context, state, record, now, why, sink)?)
}

fn take_back_one(
    context: &Context<'_>,
    state: &State,
    record: ChangeRecord,
    now: Timestamp,
    why: Vec<String>,
    sink: &mut dyn FnMut(Event),
) -> Result<Recovery, RecoverError> {
    let id = record.header.change.id;
    if let Some(why) = without_images(context, &record)? {
        let mut header = record.header;
        header.change.state = ChangeState::NeedsHuman;
        header.change.ended = Some(now);
        header.change.note = Some(why.clone());
        state
            .journal()
            .write(Batch::default().put(id, "", &header))
            .map_err(StateError::from)?;
        confirm::disarm(id, state);
        return Ok(Recovery::NeedsHuman { why: vec![why] });
    }
    let ChangeRecord {
        mut header,
        plan,
        mut actions,
        images,
    } = record;
    let applied = finish_taking_back(
        context,
        state,
        &mut header,
        &plan,
        &mut actions,
        &images,
        now,
        why.clone(),
        false,
        sink,
    )?;
    confirm::disarm(id, state);
    Ok(match applied {
        Applied::NeedsHuman { why, .. } => Recovery::NeedsHuman { why },
        // What is not as it was is named with it.
        Applied::TakenBack { why, seen, .. } => Recovery::AsBefore {
            seen,
            why: why.join("; "),
        },
        _ => Recovery::AsBefore {
            seen: false,
            why: why.join("; "),
        },
    })
}

/// Why nothing of it is taken back: a before-image is missing or damaged. What could cut people off
/// goes back as far as it can all the same.
fn without_images(
    context: &Context<'_>,
    record: &ChangeRecord,
) -> Result<Option<String>, RecoverError> {
    if record.plan.risk() >= Risk::Connectivity {
        return Ok(None);
    }
    let begun = undo::standing(record);
    let missing = undo::missing_images(context, record, &begun)?;
    let names: Vec<String> = missing.iter().map(|path| format!("`{path}`")).collect();
    Ok((!names.is_empty()).then(|| {
        format!(
            "the before-image of {} is missing or damaged: nothing was taken back",
            first_of(&names, 8)
        )
    }))
}

fn take_undo_back(
    context: &Context<'_>,
    state: &State,
    record: ChangeRecord,
    now: Timestamp,
    why: &str,
    sink: &mut dyn FnMut(Event),
) -> Result<Recovery, RecoverError> {
    let id = record.header.change.id;
    let whys = vec![why.to_owned()];
    let undo = record.header.undo.as_ref();
    let was = undo.map_or(ChangeState::Committed, |undo| undo.state);
    let undone = undo::again::take_undo_back(context, state, record, now, whys, sink)?;
    confirm::disarm(id, state);
    Ok(match undone {
        undo::Undone::NeedsHuman { why, .. } => Recovery::NeedsHuman { why },
        undo::Undone::TakenBack { why, seen, .. } => Recovery::UndoTakenBack {
            was,
            seen,
            why: why.join("; "),
        },
        undo::Undone::Done { .. } | undo::Undone::AwaitingConfirmation(..) => {
            Recovery::UndoTakenBack {
                was,
                seen: false,
                why: why.to_owned(),
            }
        }
    })
}
