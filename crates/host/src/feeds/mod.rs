//! Feeds of advisories: read from files, kept as one index per feed in the state folder's
//! `feeds/`, and handed to `advisory`, which knows what they say.
//!
//! Feeds come from outside. Nothing in them is unpacked to the disk, everything has a bound, and
//! an import that fails leaves the index of before as it was.

mod bundle;
mod documents;
mod fetch;
mod import;
mod keys;
mod records;
mod remove;
mod source;
mod update;

pub use bundle::{Bundle, Cosigned, Exported, Taken, check, cosign, export, is_bundle, take_in};
pub use fetch::{Address, Fetcher, Limits};
pub use import::{Imported, import};
pub use keys::{Accept, folder_keys, generate, named_keys, secret_key};
pub use records::{Failed, FromBundle, Origin, Records, Source};
pub use remove::{Removal, removal, remove};
pub use update::{Updated, add, update};

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use advisory::index::{self, IndexError, PREFIX_BYTES, TextPlace};
use advisory::{Feed, Index};
use memmap2::{Advice, MmapMut};
use trust::{KeysError, Rejected};

use crate::state::{self, Create, StateError};

/// A dozen is usual.
const MOST_FEEDS: usize = 64;
const ENDING: &str = "idx";

/// Feeds can't be imported or read.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("cannot {what} `{}`: {source}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("refused `{}`: {why}", path.display())]
    Refused { path: PathBuf, why: String },
    #[error("the index of feed `{name}` {source}")]
    Index {
        name: String,
        #[source]
        source: IndexError,
    },
    #[error("`{0}` can't be a feed's name")]
    BadName(String),
    #[error("there are more than {MOST_FEEDS} feeds")]
    TooMany,
    #[error("another import is at work")]
    Busy,
    #[error("refused `{}`: {source}", path.display())]
    Rejected { path: PathBuf, source: Rejected },
    #[error("`{}` is a signed bundle, and no key is trusted", path.display())]
    NoKeys { path: PathBuf },
    #[error("`{}` is not signed, and only what is signed is taken here", path.display())]
    NotSigned { path: PathBuf },
    #[error("`{}` {why}", path.display())]
    Key { path: PathBuf, why: String },
    #[error("the trusted keys can't be used: {0}")]
    Keys(#[from] KeysError),
    #[error("`{url}` can't be a feed's address: {why}")]
    BadAddress { url: String, why: &'static str },
    #[error("cannot fetch `{url}`: {why}")]
    Fetch { url: String, why: String },
    #[error("there is no program here that fetches: {0}")]
    NoFetcher(String),
    #[error("there is no feed `{0}`")]
    NoFeed(String),
    #[error("no address was added for `{0}`")]
    NoSource(String),
    #[error("the documents of feed `{0}` were not kept")]
    NoDocuments(String),
}

impl FeedError {
    /// Was there no room left?
    pub fn is_full(&self) -> bool {
        match self {
            Self::State(error) => error.is_full(),
            Self::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

pub(crate) fn fail(what: &'static str, path: &Path) -> impl Fn(io::Error) -> FeedError {
    move |source| FeedError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

/// A name of a feed, which is a file's name as well.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedName(String);

impl FeedName {
    /// # Errors
    /// When it is anything but lower-case letters, digits and hyphens.
    pub fn new(name: &str) -> Result<Self, FeedError> {
        match trust::bundle::is_name(name) {
            true => Ok(Self(name.to_owned())),
            false => Err(FeedError::BadName(name.to_owned())),
        }
    }

    /// From a file's name: `debian-osv-2025-02-12.tar.zst` is `debian-osv`. A date says which
    /// edition it is, not which feed.
    pub fn from_file(path: &Path) -> Result<Self, FeedError> {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let lower = file.to_lowercase();
        let stem = lower.split('.').next().unwrap_or_default();
        let words = stem.split(|letter: char| !letter.is_ascii_alphanumeric());
        let is_number = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit());
        let mut words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        while words.len() > 1 && words.last().is_some_and(is_number) {
            words.pop();
        }
        Self::new(&words.join("-"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The state folder's `feeds/`.
#[derive(Debug)]
pub struct Feeds {
    directory: PathBuf,
}

impl Feeds {
    /// Opens the folder of a state directory.
    ///
    /// # Errors
    /// When somebody else could have written it.
    pub fn open(state: &Path, create: Create) -> Result<Option<Self>, FeedError> {
        let state = match state::trusted(state, create) {
            Ok(state) => state,
            Err(StateError::Missing(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let directory = state.join("feeds");
        match directory.symlink_metadata() {
            Ok(_) => state::trust_private(&directory)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if create == Create::No {
                    return Ok(None);
                }
                DirBuilder::new()
                    .mode(0o700)
                    .create(&directory)
                    .map_err(fail("create", &directory))?;
                state::sync_directory(&state)?;
            }
            Err(error) => return Err(fail("look at", &directory)(error)),
        }
        Ok(Some(Self { directory }))
    }

    fn path(&self, name: &FeedName) -> PathBuf {
        self.directory.join(format!("{}.{ENDING}", name.as_str()))
    }

    /// The names of the feeds that there are, sorted.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn names(&self) -> Result<Vec<FeedName>, FeedError> {
        let entries = std::fs::read_dir(&self.directory).map_err(fail("list", &self.directory))?;
        let mut names = Vec::new();
        for entry in entries {
            let path = entry.map_err(fail("list", &self.directory))?.path();
            let is_index = path.extension().is_some_and(|ending| ending == ENDING);
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            // What an interrupted import left behind is called otherwise.
            if let (true, Some(Ok(name))) = (is_index, stem.map(FeedName::new)) {
                names.push(name);
            }
            if names.len() > MOST_FEEDS {
                return Err(FeedError::TooMany);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Reads the head of a feed's index.
    ///
    /// # Errors
    /// When it can't be read, or is damaged.
    pub fn read(&self, name: &FeedName) -> Result<Held, FeedError> {
        let path = self.path(name);
        let broken = |source| FeedError::Index {
            name: name.as_str().to_owned(),
            source,
        };
        let file = self.open_private(&path).map_err(fail("open", &path))?;
        let size_bytes = file.metadata().map_err(fail("look at", &path))?.len();
        let mut prefix = vec![0; PREFIX_BYTES.min(usize::try_from(size_bytes).unwrap_or(0))];
        file.read_exact_at(&mut prefix, 0)
            .map_err(fail("read", &path))?;
        let length = index::head_length(&prefix, size_bytes).map_err(broken)?;
        let mut head = Memory::of(length).map_err(fail("find memory for", &path))?;
        file.read_exact_at(head.bytes_mut(), 0)
            .map_err(fail("read", &path))?;
        let feed = Index::open(head.bytes())
            .and_then(|index| index.feed())
            .map_err(broken)?;
        Ok(Held {
            name: name.clone(),
            feed,
            size_bytes,
            path,
            file,
            head,
        })
    }

    /// Writes an index beside its place.
    fn stage(&self, name: &FeedName, bytes: &[u8]) -> Result<(), FeedError> {
        let path = self.path(name).with_extension("new");
        let write = || {
            let mut file = self.create_private(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(fail("write", &path))
    }

    /// Puts a staged index in the place of the one of before: it is one or the other, at any
    /// moment.
    fn put(&self, name: &FeedName) -> Result<(), FeedError> {
        let path = self.path(name);
        std::fs::rename(path.with_extension("new"), &path).map_err(fail("write", &path))?;
        state::sync_directory(&self.directory)?;
        Ok(())
    }

    /// Replaces a file of ours by another content. Its name has a dot, so that it is none of a
    /// feed's.
    fn replace(&self, file: &str, bytes: &[u8]) -> Result<(), FeedError> {
        let path = self.directory.join(file);
        let temporary = self.directory.join(format!("{file}.new"));
        let write = || {
            let mut file = self.create_private(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)
        };
        write().map_err(fail("write", &path))?;
        state::sync_directory(&self.directory)?;
        Ok(())
    }

    fn create_private(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
    }

    fn open_private(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
    }

    /// One import at a time; held until it is dropped.
    fn lock(&self) -> Result<File, FeedError> {
        let path = self.directory.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(fail("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(FeedError::Busy),
            Err(TryLockError::Error(error)) => Err(fail("lock", &path)(error)),
        }
    }
}

/// Memory in large pages where the kernel has them: eight million bytes are two thousand page
/// faults, which take longer than reading them. It is a copy; were it the file itself, whoever cut
/// that short would end this program.
#[derive(Debug)]
struct Memory {
    pages: MmapMut,
    length: usize,
}

/// Linux puts what is as long as some of these on their borders (mmap(2)).
const LARGE_PAGE_BYTES: usize = 2 << 20;

impl Memory {
    fn of(length: usize) -> io::Result<Self> {
        let pages = MmapMut::map_anon(length.next_multiple_of(LARGE_PAGE_BYTES))?;
        // A kernel without large pages refuses, and nothing is lost.
        let _ = pages.advise(Advice::HugePage);
        Ok(Self { pages, length })
    }

    fn bytes(&self) -> &[u8] {
        &self.pages[..self.length]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.pages[..self.length]
    }
}

/// A feed's index, its head in memory.
#[derive(Debug)]
pub struct Held {
    pub name: FeedName,
    pub feed: Feed,
    pub size_bytes: u64,
    path: PathBuf,
    file: File,
    head: Memory,
}

impl Held {
    /// # Errors
    /// Never for one that [`Feeds::read`] gave.
    pub fn index(&self) -> Result<Index<'_>, FeedError> {
        Index::opened(self.head.bytes()).map_err(|source| self.broken(source))
    }

    /// Summary and details of an advisory.
    ///
    /// # Errors
    /// When the file can't be read, or is damaged.
    pub fn text(&self, place: &TextPlace) -> Result<(String, String), FeedError> {
        // Bounded by the file: a block that claims to be larger can't be read.
        let room = usize::try_from(self.size_bytes).unwrap_or(usize::MAX);
        let mut packed = vec![0; place.packed_bytes.min(room)];
        let at = self.head.length as u64 + place.offset_bytes;
        self.file
            .read_exact_at(&mut packed, at)
            .map_err(fail("read", &self.path))?;
        place.read(&packed).map_err(|source| self.broken(source))
    }

    fn broken(&self, source: IndexError) -> FeedError {
        FeedError::Index {
            name: self.name.as_str().to_owned(),
            source,
        }
    }
}
