//! A feed's documents, kept as they were read: what a bundle carries to other hosts.
//!
//! An index can be read by the version of Steadfast that wrote it; the documents by every one.
//! They are kept in one archive of plain files, so that a receiver's reader meets none of the
//! packings, links and names that the source had.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use model::Digest;
use sha2::{Digest as _, Sha256};

use super::{FeedError, Feeds, fail};

/// Quick rather than small: it is done at each import.
const LEVEL: i32 = 1;
/// Of the longest name, this much is left: a header's field has a hundred bytes.
const NAME_BYTES: usize = 80;

/// Writes the archive while a feed is read.
pub(super) struct Keeper {
    path: PathBuf,
    archive: tar::Builder<zstd::Encoder<'static, File>>,
}

/// The archive, under its temporary name.
#[derive(Debug)]
pub(super) struct Kept {
    pub path: PathBuf,
    pub digest: Digest,
    pub size_bytes: u64,
}

impl Keeper {
    pub fn new(feeds: &Feeds, name: &str) -> Result<Self, FeedError> {
        let path = feeds.directory.join(format!("{name}.documents.new"));
        let file = feeds.create_private(&path).map_err(fail("create", &path))?;
        let packer = zstd::Encoder::new(file, LEVEL).map_err(fail("write", &path))?;
        Ok(Self {
            archive: tar::Builder::new(packer),
            path,
        })
    }

    pub fn add(&mut self, document: &str, bytes: &[u8]) -> Result<(), FeedError> {
        let header = header(&plain_name(document), bytes.len() as u64);
        self.archive
            .append(&header, bytes)
            .map_err(fail("write", &self.path))
    }

    pub fn finish(self) -> Result<Kept, FeedError> {
        let fail = fail("write", &self.path);
        let mut file = self
            .archive
            .into_inner()
            .and_then(zstd::Encoder::finish)
            .map_err(&fail)?;
        file.flush().and_then(|()| file.sync_all()).map_err(&fail)?;
        let mut file = File::open(&self.path).map_err(&fail)?;
        let (digest, size_bytes) = copy_hashed(&mut file, &mut io::sink()).map_err(&fail)?;
        Ok(Kept {
            path: self.path.clone(),
            digest,
            size_bytes,
        })
    }
}

/// Nothing but a plain file, and the same for the same content: no owner, no time.
pub(super) fn header(name: &str, size_bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    let bytes = header.as_mut_bytes();
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size_bytes);
    header.set_cksum();
    header
}

/// The last part of a name, with its ending, by which a reader knows the form.
fn plain_name(document: &str) -> String {
    let last = document.rsplit('/').next().unwrap_or_default();
    let plain = |letter: char| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => letter,
        _ => '_',
    };
    let name: String = last.chars().map(plain).collect();
    // One byte for each letter by now.
    let name = &name[name.len().saturating_sub(NAME_BYTES)..];
    match name.starts_with('.') || name.is_empty() {
        true => format!("_{name}"),
        false => name.to_owned(),
    }
}

impl Feeds {
    /// The file of a feed's documents, named by their digest.
    pub(super) fn documents(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{digest}.documents"))
    }

    /// Removes what interrupted imports left behind, and documents that no feed has.
    pub(super) fn sweep(&self) -> Result<(), FeedError> {
        let wanted = self.records()?;
        let wanted: Vec<PathBuf> = wanted
            .feeds
            .values()
            .map(|origin| self.documents(&origin.documents))
            .collect();
        let entries = std::fs::read_dir(&self.directory).map_err(fail("list", &self.directory))?;
        for entry in entries.collect::<io::Result<Vec<_>>>().unwrap_or_default() {
            let path = entry.path();
            let ending = path.extension().and_then(|ending| ending.to_str());
            let goes = match ending {
                Some("new" | "part") => true,
                Some("documents") => !wanted.contains(&path),
                _ => false,
            };
            if goes {
                // What stays takes room, and the next import tries again.
                let _ = std::fs::remove_file(&path);
            }
        }
        Ok(())
    }
}

/// Copies, and says what was copied.
pub(super) fn copy_hashed(
    from: &mut impl Read,
    into: &mut impl Write,
) -> io::Result<(Digest, u64)> {
    let mut hash = Sha256::new();
    let mut size_bytes = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&buffer[..read]);
        into.write_all(&buffer[..read])?;
        size_bytes += read as u64;
    }
    Ok((Digest::from_bytes(hash.finalize().into()), size_bytes))
}
