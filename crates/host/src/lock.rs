//! One change at a time on a host, whatever state directory it uses. The kernel frees the
//! lock when its holder dies (flock(2)), so nothing stale has to be cleared.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::act::place::Root;

/// How often a lock that is held is tried again: flock(2) itself knows no time limit.
const TRY_EVERY: Duration = Duration::from_millis(25);

/// Nobody is refused sooner: whoever only looks ([`is_at_work`]) holds the lock for a moment.
const AT_LEAST: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another change is at work on this host{}", holder.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Held { holder: Option<u32> },
    #[error("cannot take the lock `{}`: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("a change that is kept in `{}` is not finished", .0.display())]
    Elsewhere(PathBuf),
    #[error("refused to use the lock directory `{}`: someone else could write it", .0.display())]
    Untrusted(PathBuf),
}

/// Held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the host's lock, waiting at most `wait`, and never less than a tenth of a second.
    pub fn take(root: &Root, wait: Duration) -> Result<Self, LockError> {
        let directory = directory();
        let path = directory.join(name(root));
        let fail = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        match DirBuilder::new().mode(0o700).create(&directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(fail(error)),
        }
        let metadata = directory.symlink_metadata().map_err(fail)?;
        if !metadata.is_dir()
            || metadata.uid() != rustix::process::geteuid().as_raw()
            || metadata.mode() & 0o022 != 0
        {
            return Err(LockError::Untrusted(directory));
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        let until = Instant::now() + wait.max(AT_LEAST);
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(TRY_EVERY),
                Err(Errno::WOULDBLOCK) => {
                    return Err(LockError::Held {
                        holder: holder(&mut file),
                    });
                }
                Err(error) => return Err(fail(error.into())),
            }
        }
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| write!(file, "{}", std::process::id()))
            .map_err(fail)?;
        Ok(Self { file, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would do; a child that inherited the handle must not keep the lock.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// Is a change of this host at work now? Makes nothing; holds the lock for a moment, beside others
/// that look.
pub fn is_at_work() -> bool {
    let Ok(file) = File::open(directory().join("lock")) else {
        return false;
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            // Closing would do as well.
            let _ = rustix::fs::flock(&file, FlockOperation::Unlock);
            false
        }
        Err(error) => error == Errno::WOULDBLOCK,
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// `/run/steadfast` for root; for anyone else a directory that only they can write.
fn directory() -> PathBuf {
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        return PathBuf::from("/run/steadfast");
    }
    let runtime = PathBuf::from(format!("/run/user/{}", uid.as_raw()));
    if runtime.is_dir() {
        runtime.join("steadfast")
    } else {
        PathBuf::from(format!("/tmp/steadfast-{}", uid.as_raw()))
    }
}

/// Another tree than the host's own has a lock of its own.
fn name(root: &Root) -> String {
    match root.is_live() {
        true => "lock".to_owned(),
        false => match Path::new(root.path()).metadata() {
            Ok(metadata) => format!("lock-{}-{}", metadata.dev(), metadata.ino()),
            Err(_) => "lock-other".to_owned(),
        },
    }
}
