//! What is imported: one file, a directory, or an archive. Hands out the bytes of one document
//! after the other, and keeps the bounds: how many there are, how large each is, how large all
//! of them are, and how much more they are than what was read from the disk.

use model::count::size;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{FeedError, fail};

/// What is known of the largest feeds, some times over: all of OSV is half a million records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub documents: u64,
    /// Debian's tracker is one document of 70 MB, and the largest OSV record has 5.
    pub document_bytes: u64,
    pub total_bytes: u64,
    /// Unpacked bytes for each packed one, once there are enough of them to tell. Records of one
    /// kind pack well (measured: 29 to 1 for Debian's); a bomb is a thousand to one.
    pub ratio: u64,
    pub depth: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            documents: 2_000_000,
            document_bytes: 256 << 20,
            total_bytes: 16 << 30,
            ratio: 200,
            depth: 16,
        }
    }
}

/// Below this much, nothing is a bomb.
const RATIO_FROM_BYTES: u64 = 64 << 20;

/// A name that doesn't fit a header of a tar archive; a path of Linux has 4,096 bytes.
const LONG_NAME_BYTES: u64 = 64 << 10;

/// Of a refused name, this much is shown.
const LONGEST_SHOWN_BYTES: usize = 200;

type Each<'a> = &'a mut dyn FnMut(&str, &[u8]) -> Result<(), FeedError>;

/// Calls `each` with the name and the bytes of every document. `shown` is what messages call it.
///
/// # Errors
/// When something can't be read or breaks a bound: then nothing of it counts.
pub(super) fn read(
    path: &Path,
    shown: &Path,
    bounds: Bounds,
    each: Each<'_>,
) -> Result<(), FeedError> {
    let metadata = path.metadata().map_err(fail("open", path))?;
    let mut reading = Reading {
        path: path.to_owned(),
        shown: shown.to_owned(),
        bounds,
        documents: 0,
        total_bytes: 0,
        packed_bytes: Rc::default(),
        buffer: Vec::new(),
    };
    if metadata.is_dir() {
        reading.directory(path, 0, each)
    } else if metadata.is_file() {
        reading.file(path, each)
    } else {
        Err(reading.refused("is neither a file nor a directory"))
    }
}

/// How far the reading has come.
struct Reading {
    path: PathBuf,
    /// What the person named.
    shown: PathBuf,
    bounds: Bounds,
    documents: u64,
    total_bytes: u64,
    packed_bytes: Rc<Cell<u64>>,
    buffer: Vec<u8>,
}

/// What a file is, by its first bytes: names lie.
enum Packing {
    Plain,
    Gzip,
    Zstd,
    Zip,
}

fn packing(start: &[u8]) -> Packing {
    match start {
        // RFC 1952, 2.3.1.
        [0x1f, 0x8b, ..] => Packing::Gzip,
        // RFC 8878, 3.1.1.
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
        // APPNOTE.TXT 4.3.7, and of an empty archive.
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Packing::Zip,
        _ => Packing::Plain,
    }
}

/// POSIX ustar, and GNU's: the magic stands in the first header.
fn is_tar(start: &[u8]) -> bool {
    start.get(257..262) == Some(b"ustar")
}

/// Counts what comes from the disk.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

/// Why a stream was ended.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct TooMuch(String);

/// Ends a stream that unpacks to too much, whoever reads it and for what.
struct Bounded<R> {
    inner: R,
    bounds: Bounds,
    total_bytes: u64,
    packed_bytes: Rc<Cell<u64>>,
    /// How many zeros came last.
    zeros: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.total_bytes += read as u64;
        let last = buffer[..read].iter().rev();
        let zeros = last.take_while(|byte| **byte == 0).count();
        self.zeros = if zeros == read {
            self.zeros + zeros
        } else {
            zeros
        };
        match self
            .bounds
            .broken(self.total_bytes, self.packed_bytes.get())
        {
            Some(why) => Err(io::Error::other(TooMuch(why))),
            None => Ok(read),
        }
    }
}

impl Bounds {
    /// Which bound so many bytes break.
    fn broken(&self, total_bytes: u64, packed_bytes: u64) -> Option<String> {
        if total_bytes > self.total_bytes {
            return Some(format!("unpacks to more than {}", size(self.total_bytes)));
        }
        let is_bomb =
            total_bytes > RATIO_FROM_BYTES && total_bytes / packed_bytes.max(1) > self.ratio;
        is_bomb.then(|| format!("unpacks to more than {} times its size", self.ratio))
    }
}

impl Reading {
    fn refused(&self, why: impl Into<String>) -> FeedError {
        FeedError::Refused {
            path: self.shown.clone(),
            why: why.into(),
        }
    }

    /// Regular files only, in the order of their names; links are not followed.
    fn directory(&mut self, path: &Path, depth: usize, each: Each<'_>) -> Result<(), FeedError> {
        if depth > self.bounds.depth {
            return Err(self.refused(format!("has folders in folders, {depth} deep")));
        }
        let entries = std::fs::read_dir(path).map_err(fail("list", path))?;
        let mut entries = entries
            .collect::<io::Result<Vec<_>>>()
            .map_err(fail("list", path))?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let kind = entry.file_type().map_err(fail("look at", &path))?;
            // A checkout of a database has its history beside it.
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if kind.is_dir() {
                self.directory(&path, depth + 1, each)?;
            } else if kind.is_file() {
                self.file(&path, each)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, each: Each<'_>) -> Result<(), FeedError> {
        let mut file = File::open(path).map_err(fail("open", path))?;
        let mut start = Vec::with_capacity(512);
        (&mut file)
            .take(512)
            .read_to_end(&mut start)
            .and_then(|_| file.rewind())
            .map_err(fail("read", path))?;
        let name = path.strip_prefix(&self.path).unwrap_or(path);
        let name = match name.as_os_str().is_empty() {
            true => path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            false => name.display().to_string(),
        };
        let counted = Counted {
            inner: BufReader::with_capacity(256 << 10, &file),
            count: Rc::clone(&self.packed_bytes),
        };
        let packed = |error: io::Error| self.refused(format!("can't be unpacked: {error}"));
        match packing(&start) {
            Packing::Zip => self.zip(&file, each),
            Packing::Plain => self.stream(&name, &mut { counted }, each),
            Packing::Gzip => {
                let mut unpacked = flate2::read::MultiGzDecoder::new(counted);
                self.stream(strip(&name, ".gz"), &mut unpacked, each)
            }
            Packing::Zstd => {
                let mut unpacked = zstd::stream::read::Decoder::new(counted).map_err(packed)?;
                // A frame may ask for this much memory, 2^27 bytes, and no more.
                unpacked.window_log_max(27).map_err(packed)?;
                self.stream(strip(&name, ".zst"), &mut unpacked, each)
            }
        }
    }

    /// A tar archive, or a document by itself.
    fn stream(
        &mut self,
        name: &str,
        bytes: &mut dyn Read,
        each: Each<'_>,
    ) -> Result<(), FeedError> {
        let mut bytes = Bounded {
            inner: bytes,
            bounds: self.bounds,
            total_bytes: 0,
            packed_bytes: Rc::clone(&self.packed_bytes),
            zeros: 0,
        };
        let mut start = Vec::with_capacity(512);
        (&mut bytes)
            .take(512)
            .read_to_end(&mut start)
            .map_err(|error| self.torn(name, &error))?;
        let whole = start.as_slice().chain(bytes);
        if !is_tar(&start) {
            return self.document(name, whole, each);
        }
        let mut archive = tar::Archive::new(whole);
        let entries = archive.entries().map_err(|error| self.torn(name, &error))?;
        // Raw: what extends a header (a name of any length) is taken into memory otherwise.
        for entry in entries.raw(true) {
            let mut entry = entry.map_err(|error| self.torn(name, &error))?;
            self.leads_nowhere(&entry.path_bytes())?;
            let kind = entry.header().entry_type();
            if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
                self.long_name(name, &mut entry)?;
            }
            if !kind.is_file() {
                continue;
            }
            let member = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            self.document(member.trim_start_matches("./"), &mut entry, each)?;
        }
        // The reader of archives stops at the end's first mark; a packed stream that is cut off
        // behind it is torn as well.
        let mut rest = archive.into_inner();
        let after = io::copy(&mut (&mut rest).take(1 << 20), &mut io::sink())
            .map_err(|error| self.torn(name, &error))?;
        if after == 1 << 20 {
            return Err(self.refused("goes on after its end"));
        }
        // "At the end of the archive file there are two 512-byte blocks filled with binary
        // zeros" (POSIX, pax): without them it was cut off between two members.
        let (_, bytes) = rest.into_inner();
        if bytes.zeros < 2 * 512 {
            return Err(self.refused(format!("`{name}` ends too early: its end is missing")));
        }
        Ok(())
    }

    /// The name that the next member has for those who take long ones. Here it is only refused.
    fn long_name(&self, name: &str, entry: &mut impl Read) -> Result<(), FeedError> {
        let mut bytes = Vec::new();
        entry
            .take(LONG_NAME_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| self.torn(name, &error))?;
        if bytes.len() as u64 > LONG_NAME_BYTES {
            return Err(self.refused("has a member whose name is too long"));
        }
        // A record of pax, or the name itself, which a zero ends.
        let paths = tar::PaxExtensions::new(&bytes)
            .map_while(Result::ok)
            .filter(|extension| extension.key_bytes() == b"path");
        for path in paths {
            self.leads_nowhere(path.value_bytes())?;
        }
        let long = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        match long.contains(&b'\n') {
            true => Ok(()),
            false => self.leads_nowhere(long),
        }
    }

    /// Nothing is unpacked to a disk, but whoever names a member so means to reach something:
    /// what they say of packages is not believed either.
    fn leads_nowhere(&self, member: &[u8]) -> Result<(), FeedError> {
        let Some(why) = leads_out(member) else {
            return Ok(());
        };
        let member = model::printable(&member[..member.len().min(LONGEST_SHOWN_BYTES)]);
        Err(self.refused(format!("its member `{member}` {why}")))
    }

    fn zip(&mut self, file: &File, each: Each<'_>) -> Result<(), FeedError> {
        let packed = file.metadata().map_err(fail("look at", &self.path))?.len();
        self.packed_bytes.set(self.packed_bytes.get() + packed);
        let unpack = |error: zip::result::ZipError| FeedError::Refused {
            path: self.shown.clone(),
            why: format!("can't be unpacked: {error}"),
        };
        let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(unpack)?;
        // Two members that share their bytes are how a small archive unpacks to a huge one.
        if archive.has_overlapping_files().map_err(unpack)? {
            return Err(self.refused("has members that overlap"));
        }
        for at in 0..archive.len() {
            let unpack = |error: zip::result::ZipError| FeedError::Refused {
                path: self.shown.clone(),
                why: format!("can't be unpacked: {error}"),
            };
            let member = archive.by_index(at).map_err(unpack)?;
            self.leads_nowhere(member.name_raw())?;
            if !member.is_file() {
                continue;
            }
            let name = String::from_utf8_lossy(member.name_raw()).into_owned();
            let bounded = Bounded {
                inner: member,
                bounds: self.bounds,
                total_bytes: self.total_bytes,
                packed_bytes: Rc::clone(&self.packed_bytes),
                zeros: 0,
            };
            self.document(&name, bounded, each)?;
        }
        Ok(())
    }

    fn torn(&self, name: &str, error: &io::Error) -> FeedError {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        self.refused(match inner {
            Some(TooMuch(why)) => why.clone(),
            None => format!("`{name}` ends too early or is damaged: {error}"),
        })
    }

    fn document(&mut self, name: &str, bytes: impl Read, each: Each<'_>) -> Result<(), FeedError> {
        self.documents += 1;
        if self.documents > self.bounds.documents {
            return Err(self.refused(format!("holds more than {} files", self.bounds.documents)));
        }
        let limit = self.bounds.document_bytes;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let read = bytes.take(limit + 1).read_to_end(&mut buffer);
        read.map_err(|error| self.torn(name, &error))?;
        let size_bytes = buffer.len() as u64;
        if size_bytes > limit {
            return Err(self.refused(format!("`{name}` is larger than {}", size(limit))));
        }
        self.total_bytes += size_bytes;
        let packed_bytes = self.packed_bytes.get();
        if let Some(why) = self.bounds.broken(self.total_bytes, packed_bytes) {
            return Err(self.refused(why));
        }
        let said = each(name, &buffer);
        // One huge document must not be paid for until the end.
        if buffer.capacity() > 16 << 20 {
            buffer = Vec::new();
        }
        self.buffer = buffer;
        said
    }
}

/// How the name of an archive's member leads out of the directory into which it is unpacked, on
/// any system.
fn leads_out(member: &[u8]) -> Option<&'static str> {
    let is_drive = member.len() > 1 && member[0].is_ascii_alphabetic() && member[1] == b':';
    let climbs = member.split(|byte| *byte == b'/').any(|part| part == b"..");
    if member.first() == Some(&b'/') {
        Some("is an absolute path")
    } else if is_drive {
        Some("begins with a drive")
    } else if member.contains(&b'\\') {
        Some("has a backslash in its name")
    } else if climbs {
        Some("leads out of the archive")
    } else {
        member.contains(&0).then_some("has a zero in its name")
    }
}

fn strip<'a>(name: &'a str, ending: &str) -> &'a str {
    name.strip_suffix(ending).unwrap_or(name)
}
