//! Before-images and after-images: content by its digest, each stored once, mode 0600,
//! durable before anything rests on it. They may hold secrets, and never leave the state
//! directory.

pub mod node;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::Digest;
use sha2::{Digest as _, Sha256};

pub use node::{Attributes, FileTime, Node};

use crate::act::ActError;

/// A file that is larger than this is not imaged, so it is not changed either: 1 GiB holds
/// every file that a policy has a reason to replace.
const IMAGE_LIMIT_BYTES: u64 = 1 << 30;

/// The store of contents below a state directory.
#[derive(Debug)]
pub struct Images {
    directory: PathBuf,
    /// What was not stored before this process stored it.
    fresh: Mutex<BTreeSet<Digest>>,
}

impl Images {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            fresh: Mutex::default(),
        }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(digest.to_string())
    }

    /// Stores all that `source` gives, durably.
    pub fn store(&self, source: &mut impl Read) -> io::Result<(Digest, u64)> {
        // One process at a time writes here (the lock), so a fixed name is enough; what a
        // crash left behind is overwritten.
        let temporary = self.directory.join("incoming");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        let stored = self.finish(source, &mut file, &temporary);
        if stored.is_err() {
            // It would take the room that is missing.
            let _ = std::fs::remove_file(&temporary);
        }
        stored
    }

    fn finish(
        &self,
        source: &mut impl Read,
        file: &mut File,
        temporary: &Path,
    ) -> io::Result<(Digest, u64)> {
        let (digest, size_bytes) = copy(source, file)?;
        let path = self.path(&digest);
        if path.exists() {
            std::fs::remove_file(temporary)?;
        } else {
            file.sync_all()?;
            std::fs::rename(temporary, &path)?;
            self.lock_fresh().insert(digest);
            File::open(&self.directory)?.sync_all()?;
        }
        Ok((digest, size_bytes))
    }

    fn lock_fresh(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on records rest on what was stored.
    pub(crate) fn keep_fresh(&self) {
        self.lock_fresh().clear();
    }

    /// Nothing will rest on what was stored for a change that is refused: it goes again.
    pub(crate) fn forget_fresh(&self) {
        for digest in std::mem::take(&mut *self.lock_fresh()) {
            // What stays only takes room.
            let _ = std::fs::remove_file(self.path(&digest));
        }
    }

    /// Is the content stored?
    pub fn has(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    pub fn store_bytes(&self, bytes: &[u8]) -> io::Result<Digest> {
        self.store(&mut &*bytes).map(|(digest, _)| digest)
    }

    /// The stored content, checked against its digest before it is handed out.
    pub fn open(&self, digest: &Digest) -> Result<File, ActError> {
        let damaged = |_: io::Error| ActError::Image(*digest);
        let mut file = File::open(self.path(digest)).map_err(damaged)?;
        let (found, _) = crate::image::digest(&mut file).map_err(damaged)?;
        if found != *digest {
            return Err(ActError::Image(*digest));
        }
        file.seek(SeekFrom::Start(0)).map_err(damaged)?;
        Ok(file)
    }

    /// The stored content in memory, when it is at most `limit_bytes`.
    pub fn read(&self, digest: &Digest, limit_bytes: u64) -> Result<Vec<u8>, ActError> {
        crate::act::place::read_bounded(self.open(digest)?, limit_bytes)
            .map_err(|_| ActError::Image(*digest))
    }
}

/// The digest and the size of all that `source` gives.
pub fn digest(source: &mut impl Read) -> io::Result<(Digest, u64)> {
    copy(source, &mut io::sink())
}

fn copy(source: &mut impl Read, into: &mut impl Write) -> io::Result<(Digest, u64)> {
    let mut hash = Sha256::new();
    let mut size_bytes = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        size_bytes += read as u64;
        if size_bytes > IMAGE_LIMIT_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "larger than a before-image may be (1 GiB)",
            ));
        }
        hash.update(&buffer[..read]);
        into.write_all(&buffer[..read])?;
    }
    Ok((Digest::from_bytes(hash.finalize().into()), size_bytes))
}
