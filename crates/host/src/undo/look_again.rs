//! What a person can do with a change that is neither as before nor as planned, besides undoing
//! it: look again, and keep it as it is.

use std::time::Duration;

use jiff::Timestamp;
use model::count::plural;
use model::{ChangeId, ChangeState, Outside};

use super::{running, since, standing};
use crate::LocalHost;
use crate::act::{self, ActError};
use crate::journal::{Batch, Kept, Role};
use crate::lock::{Lock, LockError};
use crate::outside;
use crate::state::{ChangeRecord, State, StateError};
use crate::take_back::goes_to_rest;
use crate::target::Target;

/// What is not as it was before the change.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// A path, or what else it is.
    pub what: String,
    /// What it is now, and what it was.
    pub how: String,
}

#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("change {id} needs no person: it is {}", .state.words())]
    NeedsNobody { id: ChangeId, state: ChangeState },
    #[error("change {0} was made in another tree than the one that is looked at")]
    OtherRoot(ChangeId),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Act(#[from] ActError),
}

/// Looks at everything that a change in need of a person touched, and gives what is not as it
/// was. Where nothing differs the change ends: it is taken back.
///
/// # Errors
/// When it needs no person, or can't be looked at.
pub fn look_again(
    host: &LocalHost,
    state: &State,
    id: ChangeId,
    now: Timestamp,
    lock_wait: Duration,
) -> Result<Vec<Difference>, LookError> {
    let target = Target::of(host)?;
    let _lock = Lock::take(&target.root, lock_wait)?;
    let mut record = needy(state, &target, id)?;
    let differences = differences(&target, &record)?;
    if differences.is_empty() {
        let note = match record.header.change.outside.is_empty() {
            true => "looked at again: everything is as it was before it",
            false => {
                "looked at again: all that it was to write is as it was before it; what changed beside \
                 that stays"
            }
        };
        end(state, &mut record, ChangeState::RolledBack, now, note)?;
    }
    Ok(differences)
}

/// What a change in need of a person left otherwise than it was before it; nothing is recorded.
///
/// # Errors
/// As [`look_again`].
pub fn differing(
    host: &LocalHost,
    state: &State,
    id: ChangeId,
) -> Result<Vec<Difference>, LookError> {
    let target = Target::of(host)?;
    let record = needy(state, &target, id)?;
    Ok(differences(&target, &record)?)
}

/// What a change that was undone left otherwise than it was before it, looked at now; with what changed
/// beside it while it and its undo were at work.
///
/// # Errors
/// When it can't be looked at.
pub fn after_undo(
    host: &LocalHost,
    state: &State,
    id: ChangeId,
) -> Result<Vec<Difference>, LookError> {
    let target = Target::of(host)?;
    let record = state.change(id)?;
    if record.header.root != target.root.path() {
        return Err(LookError::OtherRoot(id));
    }
    let mut found = differences(&target, &record)?;
    let mut beside = record.header.change.outside.clone();
    if let Some(began) = outside::undone_since(&record.actions) {
        beside = beside.and(outside::tell(&record.images, state, began, &mut |_| {}));
    }
    found.extend(of_outside(&beside));
    Ok(found)
}

/// What changed beside the change, and is not put back by its undo.
fn of_outside(outside: &Outside) -> Vec<Difference> {
    let named = outside.paths.iter().map(|path| Difference {
        what: path.to_string(),
        how: "changed while the change or its undo was at work, by it or by others".to_owned(),
    });
    let mut found: Vec<Difference> = named.collect();
    let more = outside.total.saturating_sub(outside.paths.len() as u64);
    if more > 0 {
        found.push(Difference {
            what: plural(usize::try_from(more).unwrap_or(usize::MAX), "more path"),
            how: "changed meanwhile as well".to_owned(),
        });
    }
    if outside.unreadable > 0 {
        found.push(Difference {
            what: "other places".to_owned(),
            how: "what changed there meanwhile can't be told".to_owned(),
        });
    }
    found
}

/// Ends a change in need of a person: what is there now stays.
///
/// # Errors
/// When it needs no person, or the journal can't be written.
pub fn keep_as_it_is(
    host: &LocalHost,
    state: &State,
    id: ChangeId,
    by: &str,
    now: Timestamp,
    lock_wait: Duration,
) -> Result<Vec<Difference>, LookError> {
    let target = Target::of(host)?;
    let _lock = Lock::take(&target.root, lock_wait)?;
    let mut record = needy(state, &target, id)?;
    // What can't be looked at stays as well.
    let differences = differences(&target, &record).unwrap_or_else(|error| {
        vec![Difference {
            what: "what it touched".to_owned(),
            how: format!("it can't be looked at: {error}"),
        }]
    });
    let before = record.header.change.note.take();
    let before = before.map_or_else(String::new, |before| format!("; before that: {before}"));
    let note = format!("kept as it is by {by} at {now:.0}{before}");
    end(state, &mut record, ChangeState::KeptAsItIs, now, &note)?;
    Ok(differences)
}

fn needy(state: &State, target: &Target, id: ChangeId) -> Result<ChangeRecord, LookError> {
    let record = state.change(id)?;
    let now = record.header.change.state;
    if now != ChangeState::NeedsHuman {
        return Err(LookError::NeedsNobody { id, state: now });
    }
    if record.header.root != target.root.path() {
        return Err(LookError::OtherRoot(id));
    }
    Ok(record)
}

fn end(
    state: &State,
    record: &mut ChangeRecord,
    to: ChangeState,
    now: Timestamp,
    note: &str,
) -> Result<(), StateError> {
    let header = &mut record.header;
    debug_assert!(header.change.state.allows(to), "no such transition");
    header.change.state = to;
    header.change.ended = Some(now);
    header.change.note = Some(note.to_owned());
    let batch = Batch::default().put(header.change.id, "", header);
    Ok(state.journal().write(batch)?)
}

/// All that the actions of the change touched and kept, looked at now.
pub(super) fn differences(
    target: &Target,
    record: &ChangeRecord,
) -> Result<Vec<Difference>, ActError> {
    let mut all = ChangeRecord::clone(record);
    all.header.taken_back.clear();
    all.header.leaves.clear();
    let begun = standing(&all);
    let mut found = Vec::new();
    for image in &record.images {
        if image.role != Role::Touched || image.actions.is_disjoint(&begun) {
            continue;
        }
        let now = image.now(&target.root, None)?;
        if !now.exactly(&image.before) {
            found.push(Difference {
                what: image.path.to_string(),
                how: match now.same_as(&image.before) {
                    true => "only its time is another than before".to_owned(),
                    false => since::told(&image.before, &now),
                },
            });
        }
    }
    // A unit that rested before is looked at as that, and not as one that was told something.
    let resting = goes_to_rest(record.actions.iter());
    for action in &record.actions {
        let rests =
            matches!(&action.kept, Kept::Told { name, .. } if resting.contains(name.as_str()));
        if !action.state.was_begun() || rests {
            continue;
        }
        let how = match (&action.kept, act::is_back(&action.kept)) {
            (_, Some(true)) => continue,
            (_, Some(false)) => "it is not as it was before",
            (Kept::Unseen { said }, None) => said,
            (_, None) => "whether it is as it was can't be looked at",
        };
        found.push(Difference {
            what: action.id.to_string(),
            how: how.to_owned(),
        });
    }
    let still = running::still(
        target.root.is_live(),
        &record.images,
        &record.actions,
        &begun,
    );
    let still = still.running.into_iter().chain(still.unseen);
    found.extend(still.map(|one| Difference {
        what: one.who,
        how: one.how,
    }));
    Ok(found)
}
