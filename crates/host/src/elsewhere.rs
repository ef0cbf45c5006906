//! Changes that are kept in another state directory of this host (`--state`). One that is
//! not finished there must not be built upon: its way back would find what it did not leave.
//! It never changes anything in those directories.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::lock::{Lock, LockError};
use crate::state::{Create, State, StateError};

/// Refuses while the state directory that was last used on this host holds an unfinished
/// change, and is not `state`'s; then notes that `state` is the last one. After a restart of
/// the machine nothing is noted, and the recovery unit sees to what was unfinished.
pub(crate) fn claim(lock: &Lock, state: &State) -> Result<(), LockError> {
    let note = lock.path().with_extension("journal");
    let ours = state.directory();
    match fs::read(&note) {
        Ok(bytes) => {
            let theirs = path_of(bytes);
            if theirs != ours && is_unfinished(&theirs) {
                return Err(LockError::Elsewhere(theirs));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(LockError::Io { path: note, source }),
    }
    write(&note, ours).map_err(|source| LockError::Io { path: note, source })
}

fn path_of(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(bytes).into()
}

/// What can't be looked at may be unfinished.
fn is_unfinished(directory: &Path) -> bool {
    match State::open(directory, Create::No) {
        Ok(state) => state.pending().map_or(true, |pending| !pending.is_empty()),
        Err(StateError::Missing(_)) => false,
        Err(_) => true,
    }
}

/// In one step, so that a kill leaves the old note or the new one.
fn write(note: &Path, directory: &Path) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let temporary = note.with_extension("journal-new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(directory.as_os_str().as_bytes())?;
    fs::rename(&temporary, note)
}
