//! Before-images and after-images: content by its digest, each stored once, mode 0600,
//! durable before anything rests on it. They may hold secrets, and never leave the state
//! directory.

pub mod node;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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
}

impl Images {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
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
        let (digest, size_bytes) = copy(source, &mut file)?;
        let path = self.path(&digest);
        if path.exists() {
            std::fs::remove_file(&temporary)?;
        } else {
            file.sync_all()?;
            std::fs::rename(&temporary, &path)?;
            File::open(&self.directory)?.sync_all()?;
        }
        Ok((digest, size_bytes))
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
