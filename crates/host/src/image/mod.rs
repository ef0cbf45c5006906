//! Before-images and after-images: content by its digest, each stored once, mode 0600,
//! durable before anything rests on it, and compressed where that helps (Zstandard, RFC 8878).
//! They may hold secrets, and never leave the state directory.

pub mod node;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::Digest;
use sha2::{Digest as _, Sha256};

pub use node::{Attributes, FileTime, Node};

use crate::act::ActError;

/// A file that is larger than this is not imaged, so it is not changed either: 1 GiB holds
/// every file that a policy has a reason to replace.
pub(crate) const IMAGE_LIMIT_BYTES: u64 = 1 << 30;

/// The store of contents below a state directory.
#[derive(Debug)]
pub struct Images {
    directory: PathBuf,
    /// What was not stored before this process stored it.
    fresh: Mutex<BTreeSet<Digest>>,
    /// Contents become durable together, at the end: see [`Images::sync_together`].
    together: AtomicBool,
}

impl Images {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            fresh: Mutex::default(),
            together: AtomicBool::new(false),
        }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The files that may hold the content, as it is and compressed.
    fn paths(&self, digest: &Digest) -> [PathBuf; 2] {
        let name = digest.to_string();
        [
            self.directory.join(format!("{name}{PACKED}")),
            self.directory.join(name),
        ]
    }

    /// The content, as it was stored.
    fn content(&self, digest: &Digest) -> io::Result<Content> {
        let [packed, plain] = self.paths(digest);
        match File::open(&packed) {
            Ok(file) => Content::packed(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Content::Plain(File::open(plain)?))
            }
            Err(error) => Err(error),
        }
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
        let mut first = Vec::with_capacity(SAMPLE_BYTES);
        source.take(SAMPLE_BYTES as u64).read_to_end(&mut first)?;
        let mut source = first.chain(&mut *source);
        let packs = is_worth_packing(&first)?;
        let (digest, size_bytes) = match packs {
            false => copy(&mut source, file)?,
            true => {
                let mut encoder = zstd::Encoder::new(&mut *file, LEVEL)?;
                let copied = copy(&mut source, &mut encoder)?;
                encoder.finish()?;
                copied
            }
        };
        let [packed, plain] = self.paths(&digest);
        let path = if packs { packed } else { plain };
        let is_damaged = self.has(&digest) && !self.holds(&digest);
        if self.has(&digest) && !is_damaged {
            std::fs::remove_file(temporary)?;
        } else {
            let at_once = !self.together.load(Ordering::Relaxed);
            if at_once {
                file.sync_all()?;
            }
            std::fs::rename(temporary, &path)?;
            if is_damaged {
                // The other form of it would be read first. Older changes rest on it as well.
                let [packed, plain] = self.paths(&digest);
                for other in [packed, plain].into_iter().filter(|other| *other != path) {
                    let _ = std::fs::remove_file(other);
                }
            } else {
                self.lock_fresh().insert(digest);
            }
            if at_once {
                File::open(&self.directory)?.sync_all()?;
            }
        }
        Ok((digest, size_bytes))
    }

    fn lock_fresh(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Thousands of contents are stored by `work`: none of them waits for the disk by itself,
    /// and when this returns they are durable. A mark is there meanwhile, since a power cut may
    /// leave the names of contents that were not written: see [`Images::mend`].
    pub(crate) fn sync_together<T, E: From<ActError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let fail = |error| ActError::program("sync the before-images", error);
        let mark = self.mark();
        File::create(&mark)
            .and_then(|file| file.sync_all())
            .and_then(|()| File::open(&self.directory)?.sync_all())
            .map_err(fail)?;
        self.together.store(true, Ordering::Relaxed);
        let done = work();
        self.together.store(false, Ordering::Relaxed);
        File::open(&self.directory)
            .and_then(|directory| Ok(rustix::fs::syncfs(&directory)?))
            .and_then(|()| std::fs::remove_file(&mark))
            .map_err(fail)?;
        done
    }

    fn mark(&self) -> PathBuf {
        self.directory.join("not-synced")
    }

    /// Removes what a power cut left that is not the content of its name. Before anything else
    /// is stored: what has a name counts as stored.
    pub(crate) fn mend(&self) -> io::Result<()> {
        let mark = self.mark();
        if !mark.exists() {
            return Ok(());
        }
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let Some(named) = digest_of_name(&entry.file_name()) else {
                continue;
            };
            let file = File::open(entry.path())?;
            let is_packed = entry
                .file_name()
                .as_encoded_bytes()
                .ends_with(PACKED.as_bytes());
            let content = match is_packed {
                true => Content::packed(file),
                false => Ok(Content::Plain(file)),
            };
            // What was not written in full can't be unpacked either.
            let found = content.and_then(|mut content| digest(&mut content));
            if !found.is_ok_and(|(found, _)| found == named) {
                std::fs::remove_file(entry.path())?;
            }
        }
        rustix::fs::syncfs(&File::open(&self.directory)?)?;
        std::fs::remove_file(&mark)
    }

    /// From here on records rest on what was stored.
    pub(crate) fn keep_fresh(&self) {
        self.lock_fresh().clear();
    }

    /// Nothing will rest on what was stored for a change that is refused: it goes again.
    pub(crate) fn forget_fresh(&self) {
        for digest in std::mem::take(&mut *self.lock_fresh()) {
            for path in self.paths(&digest) {
                // What stays only takes room.
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// Is the content stored, and whole?
    pub fn holds(&self, digest: &Digest) -> bool {
        self.has(digest) && self.open(digest).is_ok()
    }

    /// Is something stored under its name? What is in it was not read.
    fn has(&self, digest: &Digest) -> bool {
        self.paths(digest).iter().any(|path| path.exists())
    }

    pub fn store_bytes(&self, bytes: &[u8]) -> io::Result<Digest> {
        self.store(&mut &*bytes).map(|(digest, _)| digest)
    }

    /// The stored content, checked against its digest before it is handed out.
    pub fn open(&self, digest: &Digest) -> Result<Content, ActError> {
        let damaged = |_: io::Error| ActError::Image(*digest);
        let mut content = self.content(digest).map_err(damaged)?;
        let (found, _) = crate::image::digest(&mut content).map_err(damaged)?;
        if found != *digest {
            return Err(ActError::Image(*digest));
        }
        self.content(digest).map_err(damaged)
    }

    /// The stored content in memory, when it is at most `limit_bytes`.
    pub fn read(&self, digest: &Digest, limit_bytes: u64) -> Result<Vec<u8>, ActError> {
        crate::act::place::read_bounded(self.open(digest)?, limit_bytes)
            .map_err(|_| ActError::Image(*digest))
    }
}

/// The ending of a file that holds compressed content.
const PACKED: &str = ".zst";
/// The fastest that is worth it: before-images are written while a host waits.
const LEVEL: i32 = 1;
/// What shows whether compressing helps. Less than a block of a file system takes that anyway.
const SAMPLE_BYTES: usize = 64 << 10;
const BLOCK_BYTES: usize = 4096;

/// The digest by which a stored file is called.
pub(crate) fn digest_of_name(name: &OsStr) -> Option<Digest> {
    let name = name.to_str()?;
    name.strip_suffix(PACKED).unwrap_or(name).parse().ok()
}

/// Package files and pictures are compressed already.
fn is_worth_packing(first: &[u8]) -> io::Result<bool> {
    if first.len() <= BLOCK_BYTES {
        return Ok(false);
    }
    let packed = zstd::bulk::compress(first, LEVEL)?;
    Ok(packed.len() < first.len() / 10 * 9)
}

/// Stored content, to be read from its beginning.
pub enum Content {
    Plain(File),
    Packed(Box<zstd::Decoder<'static, BufReader<File>>>),
}

impl Content {
    fn packed(file: File) -> io::Result<Self> {
        Ok(Self::Packed(Box::new(zstd::Decoder::new(file)?)))
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Packed(decoder) => decoder.read(buffer),
        }
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
