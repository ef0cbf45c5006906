//! The lockfiles and manifests of a source folder: found, read, and on a copy of them the
//! ecosystem's own tool asked for an upgrade. The folder itself is never changed.
//!
//! What is in it may come from anyone: links are not followed, everything has a bound, and a tool
//! sees nothing of it but manifests and lockfiles (see [`workshop`]).

mod cargo;
mod holders;
mod npm;
mod pip;
mod workshop;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use advisory::remedy::Upgrade;
use model::HostPath;
use model::component::{Component, Evidence, EvidenceKind};
use model::count::size;
use model::dependency::{LockFormat, LockedFrom, Lockfile};
use model::value::Reason;
use rustix::fs::{CWD, FileType, Mode, OFlags};

use workshop::Workshop;

use crate::components::lock;
use crate::components::source::{OpenFile, Source, malformed};

/// A large monorepo has some hundred thousand files.
const MOST_ENTRIES: usize = 1_000_000;
const DEEPEST: usize = 32;
const MOST_LOCKFILES: usize = 1_000;
/// Of what a tool is shown: manifests, and the names of source files.
const MOST_NAMES: usize = 20_000;
/// The largest manifests have some ten kilobytes.
const MANIFEST_LIMIT_BYTES: u64 = 4 << 20;

/// All lockfiles together; what a large monorepo has is a tenth of it.
const ALL_LIMIT_BYTES: usize = 256 << 20;

/// Folders in which the lockfiles are others' (`vendor`, `node_modules`), or none's.
const SKIPPED: [&str; 7] = [
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "node_modules",
    "target",
    "vendor",
];

/// What a source folder says that it needs.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    handle: OwnedFd,
    /// In the order of their paths.
    pub lockfiles: Vec<Lockfile>,
    /// What may hold some and could not be read, by its path below the folder.
    pub unread: Vec<(String, Reason)>,
    /// Manifests beside and below the lockfiles, by their paths.
    manifests: BTreeSet<String>,
    /// Source files of Rust, by their paths: cargo wants them to be there.
    sources: BTreeSet<String>,
    /// What the lockfiles have together.
    read_bytes: usize,
    /// Files that requirements take in, by their paths, and who does.
    included: BTreeMap<String, String>,
}

/// A package that should go to another version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub version: String,
    pub to: Upgrade,
}

/// A file of the folder as it would become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Below the folder.
    pub path: String,
    pub old: Vec<u8>,
    pub new: Vec<u8>,
}

/// What a tool made of the upgrades that were wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upgraded {
    pub changed: Vec<Changed>,
    /// Each that was wanted, with why it could not be made, where it could not.
    pub refused: Vec<(Wanted, String)>,
    /// What to know about how it was made.
    pub notes: Vec<String>,
}

/// Why a tool is not asked for an upgrade that others would have to follow.
const MAJOR: &str = "only a new major version closes it: what asks for it has to change first";

impl Upgraded {
    /// A file as the tool left it on the copy, where that is another than it was.
    fn take(&mut self, workshop: &Workshop, path: &str, old: &[u8]) -> Result<(), NotAsked> {
        let new = workshop.result(path).map_err(NotAsked)?;
        if let Some(new) = new.filter(|new| new != old) {
            self.changed.push(Changed {
                path: path.to_owned(),
                old: old.to_owned(),
                new,
            });
        }
        Ok(())
    }
}

/// Why no tool was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAsked(pub String);

impl Folder {
    /// Looks through a folder.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn read(path: &Path) -> io::Result<Self> {
        let root = std::fs::canonicalize(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(CWD, &root, flags, Mode::empty())?;
        let mut folder = Self {
            root,
            handle: handle.try_clone()?,
            lockfiles: Vec::new(),
            unread: Vec::new(),
            manifests: BTreeSet::new(),
            sources: BTreeSet::new(),
            read_bytes: 0,
            included: BTreeMap::new(),
        };
        let mut entries = 0;
        folder.look(&handle, "", 0, &mut entries);
        folder.look_at_included();
        folder.settle_constrained();
        folder
            .lockfiles
            .sort_by(|one, other| one.path.cmp(&other.path));
        folder.unread.sort();
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.root
    }

    fn unread(&mut self, path: &str, why: impl Into<Reason>) {
        if self.unread.len() < MOST_LOCKFILES {
            self.unread.push((path.to_owned(), why.into()));
        }
    }

    fn look(&mut self, directory: &OwnedFd, path: &str, depth: usize, entries: &mut usize) {
        let shown = if path.is_empty() { "." } else { path };
        let listed = rustix::fs::Dir::read_from(directory)
            .and_then(|listing| listing.collect::<Result<Vec<_>, _>>());
        let mut listed = match listed {
            Ok(listed) => listed,
            Err(errno) => return self.unread(shown, failed(errno.into())),
        };
        listed.sort_by(|one, other| one.file_name().cmp(other.file_name()));
        for entry in listed {
            let raw = entry.file_name();
            if matches!(raw.to_bytes(), b"." | b"..") {
                continue;
            }
            *entries += 1;
            if *entries > MOST_ENTRIES {
                if *entries == MOST_ENTRIES + 1 {
                    self.unread(shown, malformed(format!("more than {MOST_ENTRIES} files")));
                }
                return;
            }
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            let kind = match entry.file_type() {
                FileType::Unknown => rustix::fs::statat(directory, raw, flags)
                    .map_or(FileType::Unknown, |stat| {
                        FileType::from_raw_mode(stat.st_mode)
                    }),
                known => known,
            };
            let Ok(name) = raw.to_str() else {
                // No tool's file is called so; what lies below it may be.
                if kind == FileType::Directory {
                    self.unread(shown, malformed("a folder whose name is not UTF-8"));
                }
                continue;
            };
            let below = match path {
                "" => name.to_owned(),
                path => format!("{path}/{name}"),
            };
            match kind {
                FileType::Directory if SKIPPED.contains(&name) => {}
                FileType::Directory if depth == DEEPEST => {
                    self.unread(
                        &below,
                        malformed(format!("more than {DEEPEST} folders deep")),
                    );
                }
                FileType::Directory => match open(directory, name, OFlags::DIRECTORY) {
                    Ok(inner) => self.look(&inner, &below, depth + 1, entries),
                    Err(error) => self.unread(&below, failed(error)),
                },
                FileType::Symlink if lock::format(base_name(path), name).is_some() => {
                    self.unread(&below, malformed("a link, which is not followed"));
                }
                FileType::RegularFile => self.file(directory, name, below),
                _ => {}
            }
        }
    }

    fn file(&mut self, directory: &OwnedFd, name: &str, below: String) {
        let is_manifest = matches!(name, "Cargo.toml" | "package.json");
        if is_manifest && self.manifests.len() < MOST_NAMES {
            self.manifests.insert(below);
            return;
        }
        if name.ends_with(".rs") && self.sources.len() < MOST_NAMES {
            self.sources.insert(below);
            return;
        }
        let Some(format) = lock::format(base_name(folder_of(&below)), name) else {
            return;
        };
        self.lockfile(directory, name, below, format);
    }

    fn lockfile(&mut self, directory: &OwnedFd, name: &str, below: String, format: LockFormat) {
        if self.lockfiles.len() == MOST_LOCKFILES {
            return self.unread(
                &below,
                malformed(format!("more than {MOST_LOCKFILES} lockfiles")),
            );
        }
        let beside = match lock::beside(format).map(|name| content(directory, name)) {
            None | Some(Ok(None)) => None,
            Some(Ok(Some(bytes))) => Some(bytes),
            // The lockfile is read all the same.
            Some(Err(why)) => {
                let beside = lock::beside(format).unwrap_or_default();
                self.unread(&below, malformed(format!("`{beside}` beside it: {why}")));
                None
            }
        };
        let packages = content(directory, name).and_then(|bytes| {
            let bytes = bytes.unwrap_or_default();
            self.read_bytes += bytes.len();
            if self.read_bytes > ALL_LIMIT_BYTES {
                let why = format!("the lockfiles have more than {}", size(ALL_LIMIT_BYTES));
                return Err(malformed(why));
            }
            if format == LockFormat::Requirements {
                self.include(&below, &bytes);
            }
            lock::read(format, &bytes, beside.as_deref())
        });
        match packages {
            Ok(packages) => self.lockfiles.push(Lockfile {
                path: below,
                format,
                packages,
            }),
            Err(why) => self.unread(&below, why),
        }
    }

    /// Notes what a requirements file takes in.
    fn include(&mut self, path: &str, bytes: &[u8]) {
        let Ok(included) = lock::includes(&String::from_utf8_lossy(bytes)) else {
            // It can't be read itself, which is said.
            return;
        };
        for one in included {
            let said = format!("{path}:{}", one.line);
            match within(folder_of(path), &one.path) {
                Some(inner) if !one.path.contains("://") => {
                    self.included.entry(inner).or_insert(said);
                }
                _ => {
                    let shown = model::printable(one.path.as_bytes());
                    self.unread(&said, malformed(format!("`{shown}` is outside the folder")));
                }
            }
        }
    }

    /// Reads what requirements take in and what is not called as a lockfile is. They may take in
    /// more.
    fn look_at_included(&mut self) {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        loop {
            let is_new = |path: &&String| {
                !seen.contains(*path) && !self.lockfiles.iter().any(|known| known.path == **path)
            };
            let Some(path) = self.included.keys().find(is_new).cloned() else {
                return;
            };
            let said = self.included[&path].clone();
            seen.insert(path.clone());
            let (folders, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let mut directory = self.handle.try_clone().map_err(failed);
            for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
                directory = directory
                    .and_then(|above| open(&above, folder, OFlags::DIRECTORY).map_err(failed));
            }
            let is_there = directory.and_then(|directory| {
                open(&directory, name, OFlags::empty()).map_err(failed)?;
                Ok(directory)
            });
            match is_there {
                Ok(directory) => {
                    let name = name.to_owned();
                    self.lockfile(&directory, &name, path, LockFormat::Requirements);
                }
                Err(why) => {
                    let shown = model::printable(path.as_bytes());
                    self.unread(
                        &said,
                        malformed(format!("`{shown}`, which it takes in: {why}")),
                    );
                }
            }
        }
    }

    /// What is asked for without a version and pinned by a file that is taken in, as constraints
    /// do, is pinned.
    fn settle_constrained(&mut self) {
        let normal = |name: &str| advisory::version::Order::Python.normal_name(name);
        let pinned: BTreeSet<String> = self
            .lockfiles
            .iter()
            .filter(|lockfile| self.included.contains_key(&lockfile.path))
            .flat_map(|lockfile| &lockfile.packages)
            .filter(|package| package.from == LockedFrom::Registry)
            .map(|package| normal(&package.name))
            .collect();
        let is_pip = |lockfile: &&mut Lockfile| lockfile.format == LockFormat::Requirements;
        for lockfile in self.lockfiles.iter_mut().filter(is_pip) {
            for package in &mut lockfile.packages {
                if package.from == LockedFrom::Unpinned && pinned.contains(&normal(&package.name)) {
                    // The line that pins it is counted.
                    package.from = LockedFrom::Project;
                }
            }
        }
    }

    /// A file's content; none when it is not there. No link is followed on the way.
    fn content(&self, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, Reason> {
        let mut directory = self.handle.try_clone().map_err(failed)?;
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
            directory = match open(&directory, folder, OFlags::DIRECTORY) {
                Ok(inner) => inner,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(failed(error)),
            };
        }
        content_within(&directory, name, limit_bytes)
    }

    /// What the lockfiles want installed from registries, each with the file that says so.
    pub fn components(&self) -> Vec<Component> {
        let mut all = Vec::new();
        for lockfile in &self.lockfiles {
            all.extend(self.components_of(lockfile));
        }
        all
    }

    /// The same of one lockfile, which need not be as it is in the folder.
    pub fn components_of(&self, lockfile: &Lockfile) -> Vec<Component> {
        let path = self.root.join(&lockfile.path);
        let Ok(path) = HostPath::from_bytes(path.as_os_str().as_bytes()) else {
            return Vec::new();
        };
        let of_registry = |from| from == LockedFrom::Registry;
        let packages = lockfile.packages.iter().filter(|one| of_registry(one.from));
        let component = |package: &model::dependency::Locked| Component {
            ecosystem: lockfile.format.ecosystem(),
            name: package.name.clone(),
            version: package.version.clone(),
            source: None,
            architecture: None,
            origin: None,
            evidence: [Evidence {
                path: path.clone(),
                how: EvidenceKind::Lockfile,
                member: None,
            }]
            .into(),
            image: None,
            packages: Vec::new(),
            instead_of: None,
        };
        packages.map(component).collect()
    }

    /// Asks the lockfile's own tool for these upgrades, on a copy. `interrupted` is asked between
    /// its runs.
    ///
    /// # Errors
    /// When it is not asked, or can't be, with the reason.
    pub fn upgrade(
        &self,
        lockfile: &Lockfile,
        wanted: &[Wanted],
        interrupted: fn() -> bool,
    ) -> Result<Upgraded, NotAsked> {
        match lockfile.format {
            LockFormat::Cargo => cargo::upgrade(self, lockfile, wanted, interrupted),
            LockFormat::Npm => npm::upgrade(self, lockfile, wanted, interrupted),
            LockFormat::Requirements => pip::upgrade(self, lockfile, wanted, interrupted),
            _ => Err(NotAsked(
                "only cargo, npm and pip are asked; this file's own tool can make the upgrade"
                    .to_owned(),
            )),
        }
    }
}

/// The lockfile as it is in a changed copy: of a file that did not change, as it was.
///
/// # Errors
/// When the tool wrote what can't be read.
pub fn reread(lockfile: &Lockfile, changed: &[Changed]) -> Result<Lockfile, Reason> {
    let Some(file) = changed.iter().find(|file| file.path == lockfile.path) else {
        return Ok(lockfile.clone());
    };
    Ok(Lockfile {
        packages: lock::read(lockfile.format, &file.new, None)?,
        ..lockfile.clone()
    })
}

/// The folder part of a path below the folder: empty, or without a slash at its end.
fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The last name of a path below the folder.
fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// `path` as it is written in a file of `folder`; none when it leads out of what was looked
/// through.
fn within(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn open(directory: &OwnedFd, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    // A pipe of this name must not keep us waiting.
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let name = OsStr::from_bytes(name.as_bytes());
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

fn content(directory: &OwnedFd, name: &str) -> Result<Option<Vec<u8>>, Reason> {
    content_within(directory, name, lock::LIMIT_BYTES)
}

fn content_within(
    directory: &OwnedFd,
    name: &str,
    limit_bytes: u64,
) -> Result<Option<Vec<u8>>, Reason> {
    let file = match open(directory, name, OFlags::empty()) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // ELOOP: it is a link.
        Err(error) => return Err(failed(error)),
    };
    let stat = rustix::fs::fstat(&file).map_err(|errno| failed(errno.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(malformed("no regular file"));
    }
    let size_bytes = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    OpenFile { file, size_bytes }.whole(limit_bytes).map(Some)
}

fn failed(error: io::Error) -> Reason {
    Reason::Failed {
        why: error.to_string(),
    }
}

/// Content by path, as it goes into a copy.
type Files = BTreeMap<String, Vec<u8>>;

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn a_path_stays_in_the_folder_or_is_none() {
        let cases = [
            ("", "a/b", Some("a/b")),
            ("a", "../b", Some("b")),
            ("a/b", "./../../c/", Some("c")),
            ("a", "../../b", None),
            ("", "..", None),
            ("a", "/etc", None),
            ("a", "..", Some("")),
        ];
        for (folder, path, expected) in cases {
            assert_eq!(within(folder, path).as_deref(), expected, "{folder} {path}");
        }
    }
}
