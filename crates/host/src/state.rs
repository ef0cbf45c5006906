//! The state directory: journal, before-images, the host's key and a reserve of space.
//! As root it is used only when it and all its ancestors belong to root and nobody else
//! may write them; recovery acts on what is in here.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use model::{ActionId, Change, ChangeId, ChangeState, Digest, HostPath, Plan};
use rustix::fs::FallocateFlags;

use crate::act::place::{LastLink, Root};
use crate::act::{ActError, says_full};
use crate::image::Images;
use crate::journal::{ActionRecord, Header, Imaged, Journal, JournalError};

/// Room that is given back when the disk is full, so that a change can be taken back: a few
/// configuration files and the journal's transactions fit many times.
const RESERVE_BYTES: u64 = 4 << 20;

/// May the directory be made?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    Yes,
    No,
}

/// The state directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("there is no state directory `{}`", .0.display())]
    Missing(PathBuf),
    /// Key, before-images or the program's copy are there, so changes were recorded.
    #[error(
        "the journal `{}` is missing or empty, and there is what earlier changes left beside it",
        .0.display()
    )]
    LostJournal(PathBuf),
    #[error("refused to use {}", untrusted(directory.as_deref(), path, why))]
    Untrusted {
        /// The state directory; none for a file of another kind.
        directory: Option<PathBuf>,
        /// Itself, a file in it, or a directory above it.
        path: PathBuf,
        why: String,
    },
    #[error("cannot {what} `{}`: {source}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The change is halfway back; `steadfast recover` completes it.
    #[error("there is no room to take change {id} back: {why}")]
    NoRoom { id: ChangeId, why: String },
    #[error("there is no change {0}")]
    NoSuchChange(ChangeId),
    #[error(transparent)]
    Act(#[from] ActError),
}

/// The directory that was named, and what of it or above it is wrong.
fn untrusted(directory: Option<&Path>, path: &Path, why: &str) -> String {
    let path_shown = path.display();
    match directory {
        None => format!("`{path_shown}`: it {why}"),
        Some(directory) if directory == path => {
            format!("the state directory `{path_shown}`: it {why}")
        }
        Some(directory) => {
            let directory = directory.display();
            format!("the state directory `{directory}`: `{path_shown}` {why}")
        }
    }
}

impl StateError {
    /// Was there no room left?
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => says_full(source),
            Self::Journal(error) => error.is_full(),
            Self::Act(error) => error.is_full(),
            Self::NoRoom { .. } => true,
            Self::Missing(_)
            | Self::LostJournal(_)
            | Self::Untrusted { .. }
            | Self::NoSuchChange(_) => false,
        }
    }
}

fn fail(what: &'static str, path: &Path) -> impl Fn(io::Error) -> StateError {
    move |source| StateError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

/// An open state directory.
#[derive(Debug)]
pub struct State {
    directory: PathBuf,
    journal: Journal,
    images: Images,
}

/// Everything that the journal knows about one change.
#[derive(Clone, Debug)]
pub struct ChangeRecord {
    pub header: Header,
    pub plan: Plan,
    pub actions: Vec<ActionRecord>,
    pub images: Vec<Imaged>,
}

impl ChangeRecord {
    /// Did one of these actions begin, and not come to its end?
    pub(crate) fn is_cut_short(&self, of: &BTreeSet<ActionId>) -> bool {
        let mut actions = self.actions.iter();
        actions.any(|one| of.contains(&one.id) && one.state.is_cut_short())
    }
}

/// A change that is not final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub change: Change,
    /// Until when it can be confirmed, where it waits for that.
    pub deadline: Option<jiff::Timestamp>,
    header: Box<Header>,
}

impl Pending {
    /// Is the time to confirm it over?
    pub fn is_over(&self, now: jiff::Timestamp) -> bool {
        crate::confirm::is_over(&self.header, now)
    }
}

impl State {
    /// Opens the state directory of this machine.
    ///
    /// # Errors
    /// When it is missing and must not be made, when someone else could have written it, or
    /// when its journal was not written by this host.
    pub fn open(directory: &Path, create: Create) -> Result<Self, StateError> {
        let machine = Root::live()?.machine();
        Self::open_for(directory, create, machine)
    }

    /// As [`State::open`], for a given machine: what a journal is bound to.
    #[doc(hidden)]
    pub fn open_for(
        directory: &Path,
        create: Create,
        machine: Option<Digest>,
    ) -> Result<Self, StateError> {
        let existed = directory.exists();
        let directory = trusted(directory, create)?;
        let images = directory.join("images");
        if !images.exists() {
            DirBuilder::new()
                .mode(0o700)
                .create(&images)
                .map_err(fail("create", &images))?;
        }
        let journal = directory.join("journal.db");
        for path in [&images, &journal, &directory.join("key")] {
            trust_private(path)?;
        }
        refuse_lost_journal(&directory, &images, &journal)?;
        let key = read_key(&directory.join("key"), journal.exists())?;
        if !journal.exists() {
            // Made with its mode before SQLite would make it with another.
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&journal)
                .map_err(fail("create", &journal))?;
        }
        let journal = Journal::open(&journal, key, machine)?;
        // A journal of another host is refused now, not halfway through a recovery.
        journal.headers()?;
        if !existed {
            sync_directory(&directory)?;
        }
        Ok(Self {
            images: Images::new(images),
            directory,
            journal,
        })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    pub fn images(&self) -> &Images {
        &self.images
    }

    /// All changes, the newest last.
    pub fn history(&self) -> Result<Vec<Change>, StateError> {
        let headers = self.journal.headers()?;
        Ok(headers.into_iter().map(|header| header.change).collect())
    }

    /// Changes that are not final: interrupted, at work, or waiting to be confirmed.
    pub fn pending(&self) -> Result<Vec<Pending>, StateError> {
        self.listed(|state| !state.is_final())
    }

    /// The same, and those that need a person.
    pub fn unended(&self) -> Result<Vec<Pending>, StateError> {
        self.listed(|state| !state.is_final() || state == ChangeState::NeedsHuman)
    }

    fn listed(&self, which: impl Fn(ChangeState) -> bool) -> Result<Vec<Pending>, StateError> {
        let headers = self.journal.headers()?.into_iter();
        Ok(headers
            .filter(|header| which(header.change.state))
            .map(|header| Pending {
                deadline: header.deadline,
                change: header.change.clone(),
                header: Box::new(header),
            })
            .collect())
    }

    /// One change in full.
    pub fn change(&self, id: ChangeId) -> Result<ChangeRecord, StateError> {
        let missing = || StateError::NoSuchChange(id);
        let header: Header = self.journal.get(id, "")?.ok_or_else(missing)?;
        let plan: Plan = self.journal.get(id, "")?.ok_or_else(missing)?;
        let actions: Vec<(String, ActionRecord)> = self.journal.list(id)?;
        let images: Vec<(String, Imaged)> = self.journal.list(id)?;
        let images: Vec<Imaged> = images.into_iter().map(|(_, image)| image).collect();
        // While it is only planned, the before-images are not there yet, and nothing rests
        // on them.
        let is_imaged = header.change.state != ChangeState::Planned;
        if is_imaged
            && header
                .images
                .is_some_and(|digest| digest != digest_of(&images))
        {
            return Err(JournalError::Foreign {
                kind: "image",
                change: id.0,
            }
            .into());
        }
        // Nor can the record of an action be taken away unnoticed: it holds the way back.
        let recorded = actions.iter().map(|(_, action)| action.id);
        if is_imaged && !recorded.eq(plan.actions.iter().map(|action| action.id)) {
            return Err(JournalError::Foreign {
                kind: "action",
                change: id.0,
            }
            .into());
        }
        Ok(ChangeRecord {
            header,
            plan,
            actions: actions.into_iter().map(|(_, action)| action).collect(),
            images,
        })
    }

    /// The plan that a change carries out, or carried out.
    pub fn plan_of(&self, id: ChangeId) -> Result<Plan, StateError> {
        let plan = self.journal.get(id, "")?;
        plan.ok_or(StateError::NoSuchChange(id))
    }

    /// What a file held before a change; none where the change did not touch it, where there was
    /// none, and where its image is gone or is larger than `limit_bytes`.
    pub fn content_before(
        &self,
        id: ChangeId,
        path: &HostPath,
        limit_bytes: u64,
    ) -> Result<Option<Vec<u8>>, StateError> {
        let image: Option<Imaged> = self.journal.get(id, &format!("{path:?}"))?;
        let content = image.and_then(|image| image.before.content());
        Ok(content.and_then(|digest| self.images.read(&digest, limit_bytes).ok()))
    }

    /// The file system that holds the directory.
    pub(crate) fn device(&self) -> Option<u64> {
        self.directory.metadata().map(|own| own.dev()).ok()
    }

    /// Takes the space that makes a way back possible when the disk is full: for the journal,
    /// and `beside_bytes` for what is on the same file system.
    pub(crate) fn reserve(&self, beside_bytes: u64) -> Result<(), StateError> {
        let wanted = RESERVE_BYTES + beside_bytes;
        self.reserve_between(wanted, wanted)?;
        // What an earlier change needed is given back.
        let path = self.directory.join("reserve");
        let is_larger = |metadata: std::fs::Metadata| metadata.len() > wanted;
        if path.metadata().is_ok_and(is_larger) {
            OpenOptions::new()
                .write(true)
                .open(&path)
                .and_then(|file| file.set_len(wanted))
                .map_err(fail("shrink", &path))?;
        }
        Ok(())
    }

    /// As much as is usual, or at least so much.
    pub(crate) fn reserve_at_least(&self, least_bytes: u64) -> Result<(), StateError> {
        self.reserve_between(least_bytes, least_bytes.max(RESERVE_BYTES))
    }

    /// After a way back: what can be kept for the next one is kept.
    pub(crate) fn reserve_again(&self) {
        // It is a help for later, and later asks again.
        let _ = self.reserve(0);
    }

    fn reserve_between(&self, least_bytes: u64, wanted_bytes: u64) -> Result<(), StateError> {
        let path = self.directory.join("reserve");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(fail("create", &path))?;
        let has = file.metadata().map_err(fail("look at", &path))?.len();
        if has >= wanted_bytes {
            return Ok(());
        }
        let take =
            |size_bytes| match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size_bytes)
            {
                // A file system that can't reserve is used without.
                Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
                Err(error) => {
                    // Some of it may have been taken.
                    let _ = file.set_len(has);
                    Err(io::Error::from(error))
                }
            };
        let Err(error) = take(wanted_bytes) else {
            return Ok(());
        };
        if has >= least_bytes || least_bytes < wanted_bytes && take(least_bytes).is_ok() {
            return Ok(());
        }
        if has == 0 {
            let _ = std::fs::remove_file(&path);
        }
        Err(fail("reserve room in", &path)(error))
    }

    /// Gives the reserve back, since it is needed now.
    pub(crate) fn release(&self) {
        // Where it can't be removed there is nothing better to do than to go on.
        let _ = std::fs::remove_file(self.directory.join("reserve"));
    }
}

/// The digest over the before-images, in the order of their paths.
pub(crate) fn digest_of(images: &[Imaged]) -> Digest {
    let mut before: Vec<_> = images
        .iter()
        .map(|image| (&image.path, image.role, &image.before))
        .collect();
    before.sort_by(|a, b| a.0.cmp(b.0));
    Digest::of_json(&before)
}

/// The state directory, where nobody else could have written it.
pub(crate) fn trusted(directory: &Path, create: Create) -> Result<PathBuf, StateError> {
    let named = std::path::absolute(directory).map_err(fail("find", directory))?;
    trust_links(&named)?;
    match (named.exists(), create) {
        (false, Create::No) => return Err(StateError::Missing(named)),
        (false, Create::Yes) => make_directories(&named)?,
        (true, _) => {}
    }
    let directory = named.canonicalize().map_err(fail("open", &named))?;
    trust_ancestors(&directory, &named)?;
    Ok(directory)
}

fn make_directories(directory: &Path) -> Result<(), StateError> {
    let mut missing: Vec<&Path> = directory
        .ancestors()
        .take_while(|path| !path.exists())
        .collect();
    while let Some(path) = missing.pop() {
        let mode = if missing.is_empty() { 0o700 } else { 0o755 };
        DirBuilder::new()
            .mode(mode)
            .create(path)
            .map_err(fail("create", path))?;
        sync_directory(path.parent().unwrap_or(Path::new("/")))?;
    }
    Ok(())
}

pub(crate) fn sync_directory(path: &Path) -> Result<(), StateError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(fail("sync", path))
}

/// As root, no link that somebody else could have put there leads to the directory.
fn trust_links(directory: &Path) -> Result<(), StateError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let untrusted = |why: String| StateError::Untrusted {
        directory: Some(directory.to_owned()),
        path: directory.to_owned(),
        why,
    };
    let path = HostPath::from_bytes(directory.as_os_str().as_encoded_bytes())
        .map_err(|error| untrusted(error.to_string()))?;
    match Root::live()?.find(&path, LastLink::Follow) {
        Ok(_) => Ok(()),
        Err(error) if error.is_missing() => Ok(()),
        Err(ActError::Refused { why, .. }) => Err(untrusted(format!("can't be trusted: {why}"))),
        Err(error) => Err(error.into()),
    }
}

/// `named` is what somebody called it, perhaps through a link.
fn trust_ancestors(directory: &Path, named: &Path) -> Result<(), StateError> {
    let us = rustix::process::geteuid().as_raw();
    for path in directory.ancestors() {
        let metadata = path.symlink_metadata().map_err(fail("look at", path))?;
        let untrusted = |why: String| StateError::Untrusted {
            directory: Some(named.to_owned()),
            path: path.to_owned(),
            why,
        };
        if !metadata.is_dir() {
            return Err(untrusted("is not a directory".to_owned()));
        }
        if metadata.uid() != 0 && metadata.uid() != us {
            return Err(untrusted(format!("belongs to user id {}", metadata.uid())));
        }
        let mode = metadata.mode();
        // An ordinary user's directory may lie in a sticky one such as `/tmp`: nobody else
        // can rename what is theirs. Root has better places.
        let sticky = us != 0 && path != directory && mode & 0o1000 != 0;
        if mode & 0o022 != 0 && !sticky {
            return Err(untrusted(format!(
                "may be written by others than its owner (mode {:04o})",
                mode & 0o7777
            )));
        }
    }
    let metadata = directory.metadata().map_err(fail("look at", directory))?;
    if metadata.mode() & 0o077 != 0 {
        // One that holds other things was named by mistake: closing `/etc` ends a host.
        let is_ours = directory.join("key").exists();
        let mut entries = std::fs::read_dir(directory).map_err(fail("list", directory))?;
        if !is_ours && entries.next().is_some() {
            return Err(StateError::Untrusted {
                directory: Some(named.to_owned()),
                path: directory.to_owned(),
                why: "holds files that are not Steadfast's, and others may read it".to_owned(),
            });
        }
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
            .map_err(fail("close to others", directory))?;
    }
    Ok(())
}

/// Could anybody but root have written this file or directory, or have another one found under this
/// name? The links on the way count as well: whose they are, what is read through them is.
///
/// # Errors
/// When that is so, or can't be looked at.
pub fn trust_as_roots(path: &Path) -> Result<(), StateError> {
    let named = std::path::absolute(path).map_err(fail("find", path))?;
    let mut way = PathBuf::new();
    for part in named.components() {
        match part {
            // Above what the link leads to, where it is one.
            Component::ParentDir => {
                way = found_as_roots(&way)?;
                way.pop();
            }
            part => way.push(part),
        }
    }
    found_as_roots(&way).map(drop)
}

/// Where it is, when root alone decides that.
fn found_as_roots(way: &Path) -> Result<PathBuf, StateError> {
    if way.parent().is_some() {
        trust_links(way).map_err(|error| match error {
            StateError::Untrusted { path, why, .. } => StateError::Untrusted {
                directory: None,
                path,
                why,
            },
            other => other,
        })?;
    }
    let found = way.canonicalize().map_err(fail("look at", way))?;
    for path in found.ancestors() {
        let metadata = path.symlink_metadata().map_err(fail("look at", path))?;
        let mode = metadata.mode();
        let why = if metadata.uid() != 0 {
            format!("belongs to user id {}", metadata.uid())
        } else if mode & 0o022 != 0 {
            format!(
                "may be written by others than root (mode {:04o})",
                mode & 0o7777
            )
        } else {
            continue;
        };
        return Err(StateError::Untrusted {
            directory: None,
            path: path.to_owned(),
            why,
        });
    }
    Ok(found)
}

/// A file of ours is ours alone, and no link.
pub(crate) fn trust_private(path: &Path) -> Result<(), StateError> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail("look at", path)(error)),
    };
    let why = if metadata.is_symlink() {
        "is a link".to_owned()
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        format!("belongs to user id {}", metadata.uid())
    } else if metadata.mode() & 0o077 != 0 {
        format!("is open to others (mode {:04o})", metadata.mode() & 0o7777)
    } else {
        return Ok(());
    };
    Err(StateError::Untrusted {
        directory: path.parent().map(Path::to_owned),
        path: path.to_owned(),
        why,
    })
}

/// A journal that is missing or empty beside what only a journal's changes leave is damage: on
/// a new host there is nothing yet.
fn refuse_lost_journal(directory: &Path, images: &Path, journal: &Path) -> Result<(), StateError> {
    let has_content = |path: &Path| path.metadata().is_ok_and(|metadata| metadata.len() > 0);
    // What SQLite wrote last may be in its write-ahead log alone.
    if has_content(journal) || has_content(&directory.join("journal.db-wal")) {
        return Ok(());
    }
    // The reserve is taken by a change that the journal has; the key alone may be left by a
    // first run that was cut short.
    let has_images = match std::fs::read_dir(images) {
        Ok(entries) => entries
            .filter_map(Result::ok)
            .any(|entry| crate::image::digest_of_name(&entry.file_name()).is_some()),
        // They may be lost together with the journal.
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(fail("list", images)(error)),
    };
    let left = ["reserve", "bin"].map(|name| directory.join(name));
    if has_images || left.iter().any(|path| path.exists()) {
        return Err(StateError::LostJournal(journal.to_owned()));
    }
    Ok(())
}

/// Is there what only changes leave, and no journal that has them?
///
/// # Errors
/// That it is so, or that it can't be told.
pub fn refuse_lost(directory: &Path) -> Result<(), StateError> {
    let (images, journal) = (directory.join("images"), directory.join("journal.db"));
    refuse_lost_journal(directory, &images, &journal)
}

/// The key that authenticates this host's records, made at the first use.
fn read_key(path: &Path, has_journal: bool) -> Result<[u8; 32], StateError> {
    let mut key = [0; 32];
    match File::open(path) {
        Ok(mut file) => {
            file.read_exact(&mut key).map_err(fail("read", path))?;
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !has_journal => {
            random(&mut key).map_err(fail("create", path))?;
            let temporary = path.with_extension("new");
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)
                .map_err(fail("create", path))?;
            file.write_all(&key)
                .and_then(|()| file.sync_all())
                .and_then(|()| std::fs::rename(&temporary, path))
                .map_err(fail("create", path))?;
            sync_directory(path.parent().unwrap_or(Path::new("/")))?;
            Ok(key)
        }
        Err(error) => Err(fail("read", path)(error)),
    }
}

/// Fills `bytes` from the kernel's random source (getrandom(2)).
pub(crate) fn random(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut bytes[filled..], flags)?;
    }
    Ok(())
}
