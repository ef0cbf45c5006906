//! Signed bundles of feeds: one file that carries them to hosts without a network.
//!
//! A bundle is a tar archive. Its first member is the signed manifest, and then come the feeds'
//! documents, in the manifest's order. There is one way only to write one: a reader knows every
//! byte of every header beforehand, so nothing in it can name another place, stand in it twice
//! or be read in two ways. What is not vouched for is copied and hashed, and never parsed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use trust::bundle::{Entry, Manifest};
use trust::{CosignError, KeyId, Keys, Moment, SecretKey, Signed, Verified};

use super::documents::{copy_hashed, header};
use super::import::{self, Imported};
use super::keys::Accept;
use super::records::FromBundle;
use super::{FeedError, FeedName, Feeds, fail};

const MANIFEST: &str = "steadfast-feeds.dsse.json";
const BLOCK: usize = 512;
/// An envelope that is larger is refused by its reader as well.
const MANIFEST_BYTES: u64 = 1 << 20;

/// What came of a file.
#[derive(Clone, Debug)]
pub enum Taken {
    Feed(Imported),
    Bundle(Bundle),
}

/// A bundle that was imported.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub from: FromBundle,
    pub expires: Timestamp,
    pub feeds: Vec<Imported>,
}

/// A bundle that was written.
#[derive(Clone, Debug)]
pub struct Exported {
    pub manifest: Manifest,
    pub size_bytes: u64,
}

/// The place of a member's documents.
fn member(feed: &str) -> String {
    format!("feeds/{feed}.tar.zst")
}

fn padding(size_bytes: u64) -> usize {
    let over = size_bytes % BLOCK as u64;
    usize::try_from((BLOCK as u64 - over) % BLOCK as u64).expect("below a block")
}

/// Does a file begin as a bundle does? By its bytes, since names lie.
pub fn is_bundle(start: &[u8]) -> bool {
    let name = MANIFEST.as_bytes();
    start.len() >= BLOCK
        && start.starts_with(name)
        && start[name.len()..100].iter().all(|byte| *byte == 0)
        && start.get(257..262) == Some(b"ustar")
}

/// Takes a file in: a signed bundle when it is one, and else a feed of the name.
///
/// # Errors
/// When it is not believed, or can't be read as a whole: then nothing is changed.
pub fn take_in(
    feeds: &Feeds,
    path: &Path,
    name: Option<&FeedName>,
    accept: &Accept,
    now: Timestamp,
) -> Result<Taken, FeedError> {
    let lock = feeds.lock()?;
    feeds.within(&lock, || take(feeds, path, path, name, accept, now, None))
}

/// The same, under the lock.
pub(super) fn take(
    feeds: &Feeds,
    path: &Path,
    shown: &Path,
    name: Option<&FeedName>,
    accept: &Accept,
    now: Timestamp,
    source: Option<&str>,
) -> Result<Taken, FeedError> {
    let refused = |why: &str| FeedError::Refused {
        path: shown.to_owned(),
        why: why.to_owned(),
    };
    let mut file = None;
    if path.metadata().map_err(fail("open", shown))?.is_file() {
        let mut opened = File::open(path).map_err(fail("open", shown))?;
        let mut start = Vec::with_capacity(BLOCK);
        (&mut opened)
            .take(BLOCK as u64)
            .read_to_end(&mut start)
            .map_err(fail("read", shown))?;
        if is_bundle(&start) {
            file = Some((opened, start));
        }
    }
    let Some((file, start)) = file else {
        // Where bundles are wanted, a feed that nobody signed is how they would be got round.
        if !accept.unsigned {
            return Err(FeedError::NotSigned {
                path: shown.to_owned(),
            });
        }
        let usual;
        let name = match name {
            Some(name) => name,
            None => {
                // `.` and `..` are called what they lead to.
                let named = match path.file_name() {
                    Some(_) => path.to_owned(),
                    None => path.canonicalize().map_err(fail("open", shown))?,
                };
                usual = FeedName::from_file(&named)?;
                &usual
            }
        };
        let built = import::build(feeds, path, shown, name, now)?;
        let imported = built.imported.clone();
        feeds.settle(vec![built], source, None)?;
        return Ok(Taken::Feed(imported));
    };
    if name.is_some() && source.is_none() {
        return Err(refused("is a bundle, whose feeds have their names"));
    }
    let Some(keys) = &accept.keys else {
        return Err(FeedError::NoKeys {
            path: shown.to_owned(),
        });
    };
    let mut reader = Reader {
        input: io::BufReader::with_capacity(256 << 10, file),
        shown,
    };
    let seen = feeds.records()?.seen;
    let verified = reader.verified(&start, keys, &Moment { now, seen: &seen })?;
    unpack(feeds, reader, &verified, now, source).map(Taken::Bundle)
}

fn unpack(
    feeds: &Feeds,
    mut reader: Reader<'_, impl Read>,
    verified: &Verified<Manifest>,
    now: Timestamp,
    source: Option<&str>,
) -> Result<Bundle, FeedError> {
    let manifest = verified.get();
    let mut copies = Vec::with_capacity(manifest.feeds.len());
    for entry in &manifest.feeds {
        let copy = feeds.directory.join(format!("{}.part", entry.name));
        let mut file = feeds.create_private(&copy).map_err(fail("create", &copy))?;
        reader.member(entry, &mut file, &copy)?;
        copies.push((FeedName::new(&entry.name)?, copy));
    }
    reader.end()?;
    let mut built = Vec::with_capacity(copies.len());
    for (name, copy) in copies {
        let shown = reader.shown.join(member(name.as_str()));
        built.push(import::build(feeds, &copy, &shown, &name, now)?);
        // It takes room, and is swept in the end as well.
        let _ = std::fs::remove_file(&copy);
    }
    let from = FromBundle {
        made: manifest.made,
        by: manifest.by.clone(),
        signed_by: verified.by().to_vec(),
    };
    let imported = built.iter().map(|built| built.imported.clone()).collect();
    feeds.settle(built, source, Some(&from))?;
    Ok(Bundle {
        from,
        expires: manifest.expires,
        feeds: imported,
    })
}

/// Is this a whole bundle that is believed at this moment? Reads all of it and keeps nothing.
///
/// # Errors
/// Why not.
pub fn check(
    input: impl Read,
    shown: &Path,
    keys: &Keys,
    moment: &Moment<'_>,
) -> Result<Verified<Manifest>, FeedError> {
    let mut reader = Reader { input, shown };
    let mut start = vec![0; BLOCK];
    reader.exact(&mut start)?;
    if !is_bundle(&start) {
        return Err(reader.refused("is no bundle"));
    }
    let verified = reader.verified(&start, keys, moment)?;
    for entry in &verified.get().feeds {
        reader.member(entry, &mut io::sink(), shown)?;
    }
    reader.end()?;
    Ok(verified)
}

/// Reads a bundle from front to back.
struct Reader<'a, R> {
    input: R,
    shown: &'a Path,
}

impl<R: Read> Reader<'_, R> {
    fn refused(&self, why: impl Into<String>) -> FeedError {
        FeedError::Refused {
            path: self.shown.to_owned(),
            why: why.into(),
        }
    }

    fn exact(&mut self, buffer: &mut [u8]) -> Result<(), FeedError> {
        self.input.read_exact(buffer).map_err(|error| {
            match error.kind() == io::ErrorKind::UnexpectedEof {
                true => self.refused("ends too early: it is a part of a bundle"),
                false => fail("read", self.shown)(error),
            }
        })
    }

    /// Nothing can hide in what fills a block.
    fn padding(&mut self, size_bytes: u64) -> Result<(), FeedError> {
        let mut rest = [0; BLOCK];
        let rest = &mut rest[..padding(size_bytes)];
        self.exact(rest)?;
        match rest.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(self.refused("is damaged: something stands where nothing may")),
        }
    }

    /// The manifest, believed or refused, before anything else is read.
    fn verified(
        &mut self,
        start: &[u8],
        keys: &Keys,
        moment: &Moment<'_>,
    ) -> Result<Verified<Manifest>, FeedError> {
        self.manifest(start)?
            .verify(keys, moment)
            .map_err(|source| FeedError::Rejected {
                path: self.shown.to_owned(),
                source,
            })
    }

    fn manifest(&mut self, start: &[u8]) -> Result<Signed<Manifest>, FeedError> {
        let mut claimed = tar::Header::new_old();
        claimed.as_mut_bytes().copy_from_slice(start);
        let size_bytes = claimed
            .size()
            .ok()
            .filter(|size| *size <= MANIFEST_BYTES)
            .filter(|size| header(MANIFEST, *size).as_bytes() == start)
            .ok_or_else(|| self.refused("is damaged: its first header is not a bundle's"))?;
        let mut bytes = vec![0; usize::try_from(size_bytes).expect("a small number")];
        self.exact(&mut bytes)?;
        self.padding(size_bytes)?;
        Signed::read(&bytes).map_err(|error| self.refused(error.to_string()))
    }

    /// Copies what the manifest promises, and nothing else.
    fn member(
        &mut self,
        entry: &Entry,
        into: &mut impl Write,
        copy: &Path,
    ) -> Result<(), FeedError> {
        let name = member(&entry.name);
        let mut found = [0; BLOCK];
        self.exact(&mut found)?;
        if found != *header(&name, entry.size_bytes).as_bytes() {
            return Err(self.refused(format!(
                "is not what was signed: `{name}` does not stand where the manifest has it"
            )));
        }
        let mut bytes = (&mut self.input).take(entry.size_bytes);
        let (digest, size_bytes) =
            copy_hashed(&mut bytes, into).map_err(fail("copy into", copy))?;
        if size_bytes < entry.size_bytes {
            return Err(self.refused("ends too early: it is a part of a bundle"));
        }
        if digest != entry.sha256 {
            return Err(self.refused(format!(
                "is not what was signed: `{name}` has another SHA-256"
            )));
        }
        self.padding(entry.size_bytes)
    }

    /// "At the end of the archive file there are two 512-byte blocks filled with binary zeros"
    /// (POSIX, pax), and here nothing behind them.
    fn end(&mut self) -> Result<(), FeedError> {
        let mut end = [0; 2 * BLOCK];
        self.exact(&mut end)?;
        let more = self
            .input
            .read(&mut [0])
            .map_err(fail("read", self.shown))?;
        match end.iter().all(|byte| *byte == 0) && more == 0 {
            true => Ok(()),
            false => Err(self.refused("goes on after what was signed")),
        }
    }
}

/// Writes a bundle of these feeds, or of all.
///
/// # Errors
/// When a feed is not there, or something can't be read or written: then there is no bundle.
pub fn export(
    feeds: &Feeds,
    path: &Path,
    names: &[FeedName],
    keys: &[SecretKey],
    by: &str,
    now: Timestamp,
    good_for: SignedDuration,
) -> Result<Exported, FeedError> {
    let _lock = feeds.lock()?;
    let records = feeds.records()?;
    let held = feeds.names()?;
    let mut names = match names {
        [] => held.clone(),
        names => names.to_vec(),
    };
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Err(FeedError::NoFeed("*".to_owned()));
    }
    let mut entries = Vec::with_capacity(names.len());
    for name in &names {
        let text = name.as_str().to_owned();
        if !held.contains(name) {
            return Err(FeedError::NoFeed(text));
        }
        let Some(origin) = records.feeds.get(&text) else {
            return Err(FeedError::NoDocuments(text));
        };
        entries.push(Entry {
            name: text,
            sha256: origin.documents,
            size_bytes: origin.size_bytes,
        });
    }
    let manifest = Manifest {
        made: now,
        expires: now + good_for,
        by: by.to_owned(),
        feeds: entries,
    };
    let envelope = trust::sign(&manifest, keys);
    let size_bytes = put(path, None, |file| {
        write(file, path, &envelope, &manifest, |entry, out| {
            let documents = feeds.documents(&entry.sha256);
            let mut from = feeds
                .open_private(&documents)
                .map_err(fail("open", &documents))?;
            let copied = copy_hashed(&mut from, out).map_err(fail("write", path))?;
            // What goes out is what came in: a disk that changed it is noticed here.
            match copied == (entry.sha256, entry.size_bytes) {
                true => Ok(()),
                false => Err(FeedError::Refused {
                    path: documents,
                    why: "is damaged: import the feed again".to_owned(),
                }),
            }
        })
    })?;
    Ok(Exported {
        manifest,
        size_bytes,
    })
}

/// A bundle that got more signatures.
#[derive(Clone, Debug)]
pub struct Cosigned {
    pub manifest: Manifest,
    /// Those of the trusted keys that had signed it before.
    pub by: Vec<KeyId>,
}

/// Adds the signatures of `signers` to a bundle that at least the threshold of `keys` signed: all
/// of it is checked first, so that nobody vouches for what was changed on its way. The file is
/// replaced as a whole or not at all.
///
/// # Errors
/// Why it is not believed, that all of `signers` signed it before, or that it can't be written.
pub fn cosign(
    path: &Path,
    signers: &[SecretKey],
    keys: &Keys,
    now: Timestamp,
) -> Result<Cosigned, FeedError> {
    // A pipe would be waited for without end.
    if !path.metadata().map_err(fail("open", path))?.is_file() {
        return Err(FeedError::Refused {
            path: path.to_owned(),
            why: "is not a regular file".to_owned(),
        });
    }
    let file = File::open(path).map_err(fail("open", path))?;
    // Whoever may read it, and no other, may do so after it is replaced.
    let permissions = file.metadata().map_err(fail("read", path))?.permissions();
    let mut reader = Reader {
        input: io::BufReader::with_capacity(256 << 10, file),
        shown: path,
    };
    let mut start = vec![0; BLOCK];
    reader.exact(&mut start)?;
    if !is_bundle(&start) {
        return Err(reader.refused("is no bundle"));
    }
    let seen = BTreeMap::new();
    let moment = Moment { now, seen: &seen };
    let signed = reader.manifest(&start)?;
    let (verified, envelope) =
        signed
            .cosign(signers, keys, &moment)
            .map_err(|error| match error {
                CosignError::Rejected(source) => FeedError::Rejected {
                    path: path.to_owned(),
                    source,
                },
                error => reader.refused(format!("gets no further signature: {error}")),
            })?;
    let manifest = verified.get().clone();
    put(path, Some(permissions), |file| {
        let written = write(file, path, &envelope, &manifest, |entry, out| {
            reader.member(entry, out, path)
        })?;
        reader.end()?;
        Ok(written)
    })?;
    Ok(Cosigned {
        by: verified.by().to_vec(),
        manifest,
    })
}

/// Writes a file beside its place and then into it: nobody copies half a bundle. Made anew, so
/// that no link that somebody else put there is written through. `permissions` are those of a file
/// that it replaces.
fn put(
    path: &Path,
    permissions: Option<Permissions>,
    write: impl FnOnce(&File) -> Result<u64, FeedError>,
) -> Result<u64, FeedError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        // Nobody else reads what a replaced file may have kept to its owner.
        .mode(if permissions.is_some() { 0o600 } else { 0o644 })
        .open(&temporary)
        .map_err(fail("create", &temporary))?;
    let written = write(&file).and_then(|size_bytes| {
        if let Some(permissions) = permissions {
            let failed = fail("set the mode of", &temporary);
            file.set_permissions(permissions).map_err(failed)?;
        }
        std::fs::rename(&temporary, path).map_err(fail("write", path))?;
        // Without this, a crash may bring back what was there before.
        let directory = match path.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(fail("sync", directory))?;
        Ok(size_bytes)
    });
    written.inspect_err(|_| {
        // Half a bundle is of no use; one that stays is refused wherever it is read.
        let _ = std::fs::remove_file(&temporary);
    })
}

/// The one way to write a bundle. `member_of` gives the bytes of an entry, and has checked them.
fn write(
    file: &File,
    path: &Path,
    envelope: &str,
    manifest: &Manifest,
    mut member_of: impl FnMut(&Entry, &mut io::BufWriter<&File>) -> Result<(), FeedError>,
) -> Result<u64, FeedError> {
    let zeros = [0; 2 * BLOCK];
    let mut out = io::BufWriter::new(file);
    let failed = fail("write", path);
    let size_bytes = envelope.len() as u64;
    out.write_all(header(MANIFEST, size_bytes).as_bytes())
        .and_then(|()| out.write_all(envelope.as_bytes()))
        .and_then(|()| out.write_all(&zeros[..padding(size_bytes)]))
        .map_err(&failed)?;
    for entry in &manifest.feeds {
        out.write_all(header(&member(&entry.name), entry.size_bytes).as_bytes())
            .map_err(&failed)?;
        member_of(entry, &mut out)?;
        out.write_all(&zeros[..padding(entry.size_bytes)])
            .map_err(&failed)?;
    }
    out.write_all(&zeros)
        .and_then(|()| out.flush())
        .and_then(|()| file.sync_all())
        .map_err(&failed)?;
    Ok(file.metadata().map_err(&failed)?.len())
}
