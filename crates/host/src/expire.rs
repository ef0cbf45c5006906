//! Lets before-images go that are kept no longer: the journal says first that their change
//! can't be undone any more, then the contents are deleted that no other change refers to.
//! Killed in between, the next run goes on.

use std::collections::BTreeSet;
use std::fs::File;
use std::time::Duration;

use jiff::Timestamp;
use model::{ChangeId, Digest};
use plan::retention::{self, Held, Retention};

use crate::LocalHost;
use crate::act::ActError;
use crate::crash::CrashPoints;
use crate::image::Node;
use crate::image::digest_of_name;
use crate::journal::{ActionRecord, Batch, Header, Imaged, JournalError, Kept};
use crate::lock::{Lock, LockError};
use crate::state::{State, StateError};
use crate::target::Target;

/// So many changes at a time: this runs behind another command, which people wait for.
const MOST_CHANGES: usize = 200;
/// And so many files; the next run goes on.
const MOST_FILES: usize = 5_000;

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// These can no longer be undone.
    pub changes: Vec<ChangeId>,
    pub files: usize,
    pub size_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ExpireError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Act(#[from] ActError),
}

impl From<JournalError> for ExpireError {
    fn from(error: JournalError) -> Self {
        Self::State(error.into())
    }
}

/// The changes whose before-images would go now.
pub fn due(state: &State, rule: &Retention, now: Timestamp) -> Result<Vec<ChangeId>, StateError> {
    Ok(due_of(&state.journal().headers()?, rule, now))
}

fn due_of(headers: &[Header], rule: &Retention, now: Timestamp) -> Vec<ChangeId> {
    let held: Vec<Held> = headers
        .iter()
        .map(|header| Held {
            id: header.change.id,
            state: header.change.state,
            ended: header.change.ended,
            secrets: header.secrets,
            own: header.own,
            expired: header.change.expired.is_some(),
        })
        .collect();
    let mut due = retention::due(&held, now, rule);
    due.truncate(MOST_CHANGES);
    due
}

/// A change of which the journal says that its before-images are gone, and they may not be.
fn is_unswept(header: &Header) -> bool {
    header.change.expired.is_some() && !header.swept
}

/// Lets go what `rule` does not keep.
pub fn expire(
    host: &LocalHost,
    state: &State,
    rule: &Retention,
    now: Timestamp,
    lock_wait: Duration,
    crash: &CrashPoints,
) -> Result<Expired, ExpireError> {
    let headers = state.journal().headers()?;
    if due_of(&headers, rule, now).is_empty() && !headers.iter().any(is_unswept) {
        return Ok(Expired::default());
    }
    let target = Target::of(host)?;
    // A change that begins stores its images before the journal speaks of them.
    let _lock = Lock::take(&target.root, lock_wait)?;
    let mut headers = state.journal().headers()?;
    let due = due_of(&headers, rule, now);
    let mut batch = Batch::default();
    for header in &mut headers {
        if due.contains(&header.change.id) {
            header.change.expired = Some(now);
            batch = batch.put(header.change.id, "", header);
        }
    }
    state.journal().write(batch)?;
    crash.here("expired");
    let mut expired = Expired {
        changes: due,
        ..Expired::default()
    };
    let kept = referred_to(state, &headers)?;
    if !sweep(state, &kept, &mut expired, crash)? {
        return Ok(expired);
    }
    let mut batch = Batch::default();
    for header in headers.iter_mut().filter(|header| is_unswept(header)) {
        header.swept = true;
        batch = batch.put(header.change.id, "", header);
    }
    state.journal().write(batch)?;
    crash.here("swept");
    Ok(expired)
}

/// Every content that a change which is kept needs for its way back, or for the way back of
/// its undo.
fn referred_to(state: &State, headers: &[Header]) -> Result<BTreeSet<Digest>, JournalError> {
    let mut kept = BTreeSet::new();
    for header in headers {
        if header.change.expired.is_some() {
            continue;
        }
        let id = header.change.id;
        for (_, image) in state.journal().list::<Imaged>(id)? {
            let undo = image.undo.map(|undo| [undo.from, undo.to]);
            let nodes = [Some(image.before), image.after, image.redo];
            kept.extend(
                nodes
                    .iter()
                    .flatten()
                    .chain(undo.iter().flatten())
                    .filter_map(Node::content),
            );
        }
        for (_, action) in state.journal().list::<ActionRecord>(id)? {
            for way in [Some(action.kept), action.again].into_iter().flatten() {
                if let Kept::Packages(before) = way {
                    kept.extend(before.packages.iter().filter_map(|package| package.archive));
                }
            }
        }
    }
    Ok(kept)
}

/// Deletes what nothing refers to. False: there was more than one run takes.
fn sweep(
    state: &State,
    kept: &BTreeSet<Digest>,
    expired: &mut Expired,
    crash: &CrashPoints,
) -> Result<bool, StateError> {
    let directory = state.images().directory();
    let fail = |what| {
        move |source| StateError::Io {
            what,
            path: directory.to_owned(),
            source,
        }
    };
    for entry in std::fs::read_dir(directory).map_err(fail("list"))? {
        let entry = entry.map_err(fail("list"))?;
        // Whatever else lies there has another name than a digest.
        let digest = digest_of_name(&entry.file_name());
        if digest.is_none_or(|digest| kept.contains(&digest)) {
            continue;
        }
        if expired.files >= MOST_FILES {
            return Ok(false);
        }
        let size = entry.metadata().map_or(0, |metadata| metadata.len());
        std::fs::remove_file(entry.path()).map_err(fail("delete a before-image in"))?;
        expired.files += 1;
        expired.size_bytes += size;
        crash.here("before-image deleted");
    }
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(fail("sync"))?;
    Ok(true)
}
