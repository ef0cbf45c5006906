//! What a host's files are, exactly: for "byte for byte" comparisons before a change and after its undo.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// What a running host itself keeps writing, for the `ignore` of [`diff`].
pub const NOISE: &[&str] = &["/run", "/tmp", "/var/log", "/var/tmp", "/var/lib/systemd"];

/// Longer than any extended attribute may be (xattr(7)), so a larger one can't exist.
const XATTR_LIMIT_BYTES: usize = 64 << 10;

/// Every file of a tree by its absolute path within it. Inode numbers, change times and access times are left out: nothing can restore them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The files, by path.
    pub entries: BTreeMap<PathBuf, Entry>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is, and what it holds.
    pub kind: Kind,
    /// Permission bits, with set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its modification time, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Extended attributes in hex, ACLs and capabilities among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, String>,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A regular file.
    File {
        /// Its length.
        size_bytes: u64,
        /// The SHA-256 of what it holds, in hex.
        sha256: String,
    },
    /// A folder.
    Directory,
    /// A symbolic link.
    Link {
        /// Where it points.
        target: PathBuf,
    },
    /// A device, by type (`c` or `b`) and number.
    Device {
        /// `c` or `b`.
        class: char,
        /// Its number.
        number: u64,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// A file that isn't the same in two snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its path.
    pub path: PathBuf,
    /// What it was, or nothing when it's new.
    pub before: Option<Entry>,
    /// What it is, or nothing when it's gone.
    pub after: Option<Entry>,
}

impl Difference {
    /// Whether only the modification time differs.
    pub fn is_only_mtime(&self) -> bool {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => {
                Entry {
                    mtime_ns: after.mtime_ns,
                    ..before.clone()
                } == *after
            }
            _ => false,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (None, Some(after)) => write!(f, "new {:?}: {after:?}", self.path),
            (Some(before), Some(after)) => {
                write!(f, "changed {:?}: from {before:?} to {after:?}", self.path)
            }
            (Some(_), None) | (None, None) => write!(f, "gone {:?}", self.path),
        }
    }
}

/// What differs between two snapshots, outside of the `ignore`d paths and what lies below them.
pub fn diff(before: &Snapshot, after: &Snapshot, ignore: &[&str]) -> Vec<Difference> {
    let mut paths: Vec<_> = before.entries.keys().chain(after.entries.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    let differs = |path: &&PathBuf| before.entries.get(*path) != after.entries.get(*path);
    let heeded = |path: &&PathBuf| !ignore.iter().any(|prefix| path.starts_with(prefix));
    let entry = |snapshot: &Snapshot, path| snapshot.entries.get(path).cloned();
    let paths = paths.into_iter().filter(heeded).filter(differs);
    paths
        .map(|path| Difference {
            path: path.clone(),
            before: entry(before, path),
            after: entry(after, path),
        })
        .collect()
}

impl Snapshot {
    /// Reads a whole tree, without following links.
    pub fn of_tree(root: &Path) -> Result<Self> {
        let mut snapshot = Self::default();
        snapshot.add_tree(root, Path::new("/"))?;
        Ok(snapshot)
    }

    fn add_tree(&mut self, root: &Path, path: &Path) -> Result<()> {
        let real = below(root, path);
        let Some(entry) = Entry::read(&real)? else {
            return Ok(());
        };
        let is_folder = entry.kind == Kind::Directory;
        self.entries.insert(path.to_owned(), entry);
        if is_folder {
            for name in names(&real)? {
                self.add_tree(root, &path.join(name))?;
            }
        }
        Ok(())
    }

    /// What an overlay shows: `self` is the lower tree's snapshot, `upper` the upper folder, `merged` the mount. Reads only what the upper
    /// folder holds, since the rest can't have changed.
    pub(crate) fn overlaid(&self, upper: &Path, merged: &Path) -> Result<Self> {
        let mut snapshot = self.clone();
        snapshot.overlay(upper, merged, Path::new("/"))?;
        Ok(snapshot)
    }

    fn overlay(&mut self, upper: &Path, merged: &Path, path: &Path) -> Result<()> {
        let above = below(upper, path);
        // The kernel's overlayfs documentation, "whiteouts and opaque directories": what a whiteout or an opaque folder hides is gone.
        let opaque = xattr(&above, "trusted.overlay.opaque")?.is_some_and(|value| value == b"y");
        match Entry::read(&below(merged, path))? {
            None => self.forget(path),
            Some(entry) => {
                let is_folder = entry.kind == Kind::Directory;
                if opaque || !is_folder {
                    self.forget(path);
                }
                self.entries.insert(path.to_owned(), entry);
                if is_folder {
                    for name in names(&above)? {
                        self.overlay(upper, merged, &path.join(name))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes out a path and all that lies below it.
    fn forget(&mut self, path: &Path) {
        let gone: Vec<_> = self
            .entries
            .range(path.to_owned()..)
            .map(|(path, _)| path)
            .take_while(|other| other.starts_with(path))
            .cloned()
            .collect();
        for path in gone {
            self.entries.remove(&path);
        }
    }
}

impl Entry {
    /// Reads one file; nothing when it isn't there.
    fn read(path: &Path) -> Result<Option<Self>> {
        let meta = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(Error::io("look at", path))?,
        };
        let class = meta.file_type();
        let kind = if class.is_file() {
            Kind::File {
                size_bytes: meta.len(),
                sha256: sha256_of(path)?,
            }
        } else if class.is_dir() {
            Kind::Directory
        } else if class.is_symlink() {
            Kind::Link {
                target: fs::read_link(path).map_err(Error::io("read", path))?,
            }
        } else if class.is_fifo() {
            Kind::Fifo
        } else if class.is_socket() {
            Kind::Socket
        } else {
            Kind::Device {
                class: if class.is_block_device() { 'b' } else { 'c' },
                number: meta.rdev(),
            }
        };
        let mtime_ns = meta.mtime() * 1_000_000_000 + meta.mtime_nsec();
        Ok(Some(Self {
            kind,
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            mtime_ns,
            xattrs: xattrs(path)?,
        }))
    }
}

/// `path` within `root`: a link in its last place is not followed by what is done with the result, those before it come from a walk.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn names(folder: &Path) -> Result<Vec<std::ffi::OsString>> {
    let entries = fs::read_dir(folder).map_err(Error::io("list", folder))?;
    entries
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<std::io::Result<_>>()
        .map_err(Error::io("list", folder))
}

fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer).map_err(Error::io("read", path))? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

fn xattrs(path: &Path) -> Result<BTreeMap<String, String>> {
    // Most files have none, and asking for the list's length is the cheapest way to know.
    match rustix::fs::llistxattr_query(path) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(BTreeMap::new()),
        Ok(_) => {}
        Err(error) => return Err(Error::io("list the attributes of", path)(error)),
    }
    let mut list = vec![0u8; XATTR_LIMIT_BYTES];
    let length = rustix::fs::llistxattr(path, &mut list[..])
        .map_err(Error::io("list the attributes of", path))?;
    let names = list[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty());
    // Overlayfs keeps its own notes in attributes that a mount doesn't show but a lower tree may.
    let names = names
        .map(String::from_utf8_lossy)
        .filter(|name| !name.starts_with("trusted.overlay."));
    names
        .filter_map(|name| {
            xattr(path, &name)
                .transpose()
                .map(|value| Ok((name.into_owned(), hex(&value?))))
        })
        .collect()
}

fn xattr(path: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let mut value = vec![0u8; XATTR_LIMIT_BYTES];
    match rustix::fs::lgetxattr(path, name, &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOENT) => Ok(None),
        Err(error) => Err(Error::io("read an attribute of", path)(error)),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The SHA-256 of some bytes, in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
