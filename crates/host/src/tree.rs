//! A root directory and safe, read-only ways into it. Every path is resolved by the
//! kernel inside that root (`openat2`, `RESOLVE_IN_ROOT`), so a link in a tree that is
//! looked at with `--root` can't lead out of it, and nothing is opened for reading before
//! it is known to be a regular file or a directory: opening a device can act, opening a
//! FIFO can wait.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::value::{FileType, Reason};
use model::{Blob, HostPath, Mode};
use rustix::fs::{self, AtFlags, CWD, Mode as OpenMode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::path::DecInt;

use crate::HostError;
use crate::act::{ActError, LastLink, Root};
use crate::parse::acl::{RawEntry, parse_acl};

/// The kernel asks for a new try when something was renamed meanwhile; a tree in which
/// somebody renames forever does not hold us up.
const MOST_TRIES: u32 = 16;

/// This process's open files (proc_pid_fd(5)).
const OWN_FILES: &str = "/proc/self/fd";

/// POSIX ACLs as the kernel keeps them (acl(5)).
const ACCESS_ACL: &str = "system.posix_acl_access";
const DEFAULT_ACL: &str = "system.posix_acl_default";

/// The most that an extended attribute holds (xattr(7)); file systems allow ACLs far less.
const ACL_LIMIT_BYTES: usize = 1 << 16;

/// A directory with more entries than this is not a configuration directory.
const MOST_ENTRIES: usize = 100_000;

/// Why something in the tree could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    Absent,
    Unknown(Reason),
}

impl From<Reason> for Trouble {
    fn from(reason: Reason) -> Self {
        Self::Unknown(reason)
    }
}

/// Metadata as the kernel gives it, names not yet looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub file_type: FileType,
    pub mode: Mode,
    pub uid: u32,
    pub gid: u32,
    pub size_bytes: u64,
    pub hard_links: u64,
    /// Where a link points, as stored.
    pub target: Option<Blob>,
}

/// A file that was opened and is a regular one.
pub struct Opened {
    pub file: OwnedFd,
    pub node: Node,
    /// Where the path led, when links were followed.
    pub resolved: Option<HostPath>,
}

/// A root directory.
pub struct Tree {
    root: OwnedFd,
    path: PathBuf,
    /// The running system's own root, not another tree.
    live: bool,
    /// Does this kernel (and its seccomp filter) have `openat2`?
    openat2: bool,
    /// `/proc/self/fd`: files that are open, by their numbers. None where no `/proc` is.
    own_files: Option<OwnedFd>,
    is_root: bool,
}

impl Tree {
    /// The running system.
    pub fn running() -> Result<Self, HostError> {
        Self::open(Path::new("/"), true)
    }

    /// A tree at `path`, looked at from outside.
    pub fn offline(path: &Path) -> Result<Self, HostError> {
        let tree = Self::open(path, false)?;
        if tree.openat2 {
            Ok(tree)
        } else {
            Err(HostError::NoOpenat2)
        }
    }

    fn open(path: &Path, live: bool) -> Result<Self, HostError> {
        let failed = |errno: Errno| HostError::Root {
            path: path.to_owned(),
            source: errno.into(),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(path, flags, OpenMode::empty()).map_err(failed)?;
        let openat2 = fs::openat2(&root, ".", flags, OpenMode::empty(), ResolveFlags::IN_ROOT);
        Ok(Self {
            openat2: openat2.is_ok(),
            own_files: fs::open(OWN_FILES, flags, OpenMode::empty()).ok(),
            // As the kernel names it, so that what it says of open files can be compared.
            path: fs::readlinkat(CWD, own_fd(root.as_fd()), Vec::new())
                .map(|target| PathBuf::from(std::ffi::OsStr::from_bytes(target.as_bytes())))
                .unwrap_or_else(|_| path.to_owned()),
            root,
            live,
            is_root: rustix::process::geteuid().is_root(),
        })
    }

    pub fn is_live(&self) -> bool {
        self.live
    }

    pub fn is_root(&self) -> bool {
        self.is_root
    }

    /// Does looking this path up follow a link? Where it does, it may lead anywhere.
    pub fn has_links(&self, path: &HostPath) -> bool {
        !self.openat2
            || matches!(
                self.reference(path, OFlags::empty(), ResolveFlags::NO_SYMLINKS),
                Err(Errno::LOOP)
            )
    }

    /// Where the root lies, as the kernel names it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn root_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens `path` as a mere reference (`O_PATH`), which acts on nothing.
    fn reference(
        &self,
        path: &HostPath,
        extra: OFlags,
        resolve: ResolveFlags,
    ) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | extra;
        let relative = relative(path);
        if !self.openat2 {
            // Only the running system's own root comes here, where the kernel resolves
            // absolute links against the same root.
            return fs::openat(&self.root, relative, flags, OpenMode::empty());
        }
        let resolve = resolve | ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut tries = 0;
        loop {
            match fs::openat2(&self.root, relative, flags, OpenMode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) if tries < MOST_TRIES => tries += 1,
                other => return other,
            }
        }
    }

    /// A reference to where `path` leads, and where that is when links were followed.
    fn follow(&self, path: &HostPath, extra: OFlags) -> Result<(OwnedFd, Option<HostPath>), Errno> {
        // Most paths have no links: asking for that first saves finding out afterwards.
        if self.openat2 {
            match self.reference(path, extra, ResolveFlags::NO_SYMLINKS) {
                Err(Errno::LOOP) => {}
                other => return other.map(|fd| (fd, None)),
            }
        }
        let fd = self.reference(path, extra, ResolveFlags::empty())?;
        let resolved = self.where_is(fd.as_fd()).filter(|real| real != path);
        Ok((fd, resolved))
    }

    /// The same, for what is read.
    ///
    /// Root reads what an ordinary user may not: a link of theirs to such a file would bring its
    /// content into reports, plans and, through an edit, into their own file; one to a directory,
    /// the names in it.
    fn follow_trusted(&self, path: &HostPath) -> Result<(OwnedFd, Option<HostPath>), Trouble> {
        let (reference, resolved) = self
            .follow(path, OFlags::empty())
            .map_err(|errno| self.trouble(errno))?;
        if resolved.is_some() && self.live && self.is_root {
            let (reference, resolved) = trusted_links(path)?;
            return Ok((reference, Some(resolved)));
        }
        Ok((reference, resolved))
    }

    /// The path of an open file inside this root, as the kernel tells it.
    fn where_is(&self, fd: BorrowedFd<'_>) -> Option<HostPath> {
        let target = fs::readlinkat(CWD, own_fd(fd), Vec::new()).ok()?;
        let inside = Path::new(std::ffi::OsStr::from_bytes(target.as_bytes()))
            .strip_prefix(&self.path)
            .ok()?;
        HostPath::literal("/")
            .join(inside.as_os_str().as_bytes())
            .ok()
    }

    /// Opens a regular file for reading, following links inside the root.
    pub fn open_file(&self, path: &HostPath) -> Result<Opened, Trouble> {
        let (reference, resolved) = self.follow_trusted(path)?;
        let node = self.node(reference.as_fd(), false)?;
        if node.file_type != FileType::Regular {
            let what = match node.file_type {
                FileType::Directory => "is a directory",
                _ => "is not a regular file",
            };
            return Err(Reason::Malformed {
                why: format!("`{path}` {what}"),
            }
            .into());
        }
        let file = self
            .reopen(reference.as_fd(), path, OFlags::NONBLOCK | OFlags::NOCTTY)
            .map_err(|errno| self.trouble(errno))?;
        Ok(Opened {
            file,
            node,
            resolved,
        })
    }

    /// From a reference to a handle that can be read. `/proc/self/fd/N` opens exactly the
    /// file that was looked at, whatever has been put under its name since.
    fn reopen(
        &self,
        reference: BorrowedFd<'_>,
        path: &HostPath,
        extra: OFlags,
    ) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | extra;
        let number = DecInt::from_fd(reference);
        let open = |flags| match &self.own_files {
            Some(own_files) => fs::openat(own_files, number.as_c_str(), flags, OpenMode::empty()),
            // No /proc: the name it is.
            None if self.openat2 => fs::openat2(
                &self.root,
                relative(path),
                flags,
                OpenMode::empty(),
                ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            ),
            None => Err(Errno::NOENT),
        };
        // Only a file's owner and root may leave its access time alone (open(2)).
        match open(flags | OFlags::NOATIME) {
            Err(Errno::PERM) => open(flags),
            other => other,
        }
    }

    /// The content of a regular file, at most `limit_bytes` of it.
    pub fn read(&self, path: &HostPath, limit_bytes: u64) -> Result<(Opened, Vec<u8>), Trouble> {
        let opened = self.open_file(path)?;
        let content = self.content(&opened, limit_bytes)?;
        Ok((opened, content))
    }

    fn content(&self, opened: &Opened, limit_bytes: u64) -> Result<Vec<u8>, Trouble> {
        let too_large = |size_bytes: u64| {
            Trouble::Unknown(Reason::TooLarge {
                size_bytes,
                limit_bytes,
            })
        };
        let size = opened.node.size_bytes;
        if size > limit_bytes {
            return Err(too_large(size));
        }
        // Files of /proc and /sys say that they are empty: they are read until they end.
        let first = if size == 0 { 4096 } else { size + 1 };
        let mut content = Vec::with_capacity(usize::try_from(first).unwrap_or(4096));
        loop {
            match rustix::io::read(&opened.file, rustix::buffer::spare_capacity(&mut content)) {
                Ok(0) => return Ok(content),
                // There was room for more than the file is long, and no more came.
                Ok(_) if size > 0 && content.len() as u64 == size => return Ok(content),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(self.trouble(errno)),
            }
            if content.len() as u64 > limit_bytes {
                return Err(too_large(size.max(content.len() as u64)));
            }
            if content.len() == content.capacity() {
                content.reserve(content.len().clamp(4096, 1 << 20));
            }
        }
    }

    /// The metadata of the path itself.
    pub fn meta(&self, path: &HostPath) -> Result<Node, Trouble> {
        let fd = self
            .reference(path, OFlags::NOFOLLOW, ResolveFlags::empty())
            .map_err(|errno| self.trouble(errno))?;
        self.node(fd.as_fd(), true)
    }

    fn node(&self, fd: BorrowedFd<'_>, with_target: bool) -> Result<Node, Trouble> {
        let stat = fs::fstat(fd).map_err(|errno| self.trouble(errno))?;
        let file_type = file_type(fs::FileType::from_raw_mode(stat.st_mode));
        let regular = file_type == FileType::Regular;
        let target = if with_target && file_type == FileType::Link {
            let target =
                fs::readlinkat(fd, c"", Vec::new()).map_err(|errno| self.trouble(errno))?;
            Some(Blob::from(target.into_bytes()))
        } else {
            None
        };
        Ok(Node {
            file_type,
            mode: Mode::new(stat.st_mode),
            uid: stat.st_uid,
            gid: stat.st_gid,
            size_bytes: if regular {
                u64::try_from(stat.st_size).unwrap_or(0)
            } else {
                0
            },
            // The width of a link count differs between architectures.
            hard_links: if regular { stat.st_nlink as u64 } else { 1 },
            target,
        })
    }

    /// The entries of the path's own ACL (acl(5)); none where the mode says all.
    pub fn acl(&self, path: &HostPath) -> Result<Option<Vec<RawEntry>>, Trouble> {
        self.acl_called(ACCESS_ACL, path)
    }

    /// The entries that what is made in this directory gets; none where it has no default ACL.
    pub fn default_acl(&self, path: &HostPath) -> Result<Option<Vec<RawEntry>>, Trouble> {
        self.acl_called(DEFAULT_ACL, path)
    }

    fn acl_called(
        &self,
        attribute: &str,
        path: &HostPath,
    ) -> Result<Option<Vec<RawEntry>>, Trouble> {
        let fd = self
            .reference(path, OFlags::NOFOLLOW, ResolveFlags::empty())
            .map_err(|errno| self.trouble(errno))?;
        if self.own_files.is_none() {
            let what = "/proc is not there, through which ACLs are read".to_owned();
            return Err(Reason::Unavailable { what }.into());
        }
        let mut bytes = vec![0; ACL_LIMIT_BYTES];
        let length = fs::getxattr(own_fd(fd.as_fd()), attribute, &mut bytes[..]);
        self.acl_entries(length, &bytes, path)
    }

    /// The ACL of a file that was opened for reading.
    pub fn acl_of(
        &self,
        opened: &Opened,
        path: &HostPath,
    ) -> Result<Option<Vec<RawEntry>>, Trouble> {
        let mut bytes = vec![0; ACL_LIMIT_BYTES];
        let length = fs::fgetxattr(&opened.file, ACCESS_ACL, &mut bytes[..]);
        self.acl_entries(length, &bytes, path)
    }

    fn acl_entries(
        &self,
        length: Result<usize, Errno>,
        bytes: &[u8],
        path: &HostPath,
    ) -> Result<Option<Vec<RawEntry>>, Trouble> {
        match length {
            Ok(length) => match parse_acl(&bytes[..length]) {
                Some(entries) => Ok(Some(entries)),
                None => Err(failed(&format!("the ACL of `{path}` is not understood"))),
            },
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => Err(self.trouble(errno)),
        }
    }

    /// Where a directory really lies, and its metadata. Links are followed as to a file.
    pub fn directory(&self, path: &HostPath) -> Result<(HostPath, Node), Trouble> {
        let (reference, resolved) = self.follow_trusted(path)?;
        let node = self.node(reference.as_fd(), false)?;
        if node.file_type != FileType::Directory {
            return Err(Reason::Malformed {
                why: format!("`{path}` is not a directory"),
            }
            .into());
        }
        Ok((resolved.unwrap_or_else(|| path.clone()), node))
    }

    /// The names in a directory with their types, sorted. Links to it are followed.
    pub fn list(&self, path: &HostPath) -> Result<Vec<(Vec<u8>, FileType)>, Trouble> {
        let (reference, _) = self.follow_trusted(path)?;
        let node = self.node(reference.as_fd(), false)?;
        if node.file_type != FileType::Directory {
            return Err(Reason::Malformed {
                why: format!("`{path}` is not a directory"),
            }
            .into());
        }
        let directory = self
            .reopen(reference.as_fd(), path, OFlags::DIRECTORY)
            .map_err(|errno| self.trouble(errno))?;
        let mut names = Vec::new();
        let mut buffer = Vec::with_capacity(16 << 10);
        let mut entries = fs::RawDir::new(&directory, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|errno| self.trouble(errno))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if names.len() == MOST_ENTRIES {
                return Err(Reason::Failed {
                    why: format!("`{path}` has more than {MOST_ENTRIES} entries"),
                }
                .into());
            }
            let file_type = match entry.file_type() {
                // Some file systems don't say.
                fs::FileType::Unknown => {
                    match fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(stat) => file_type(fs::FileType::from_raw_mode(stat.st_mode)),
                        Err(Errno::NOENT) => continue,
                        Err(errno) => return Err(self.trouble(errno)),
                    }
                }
                known => file_type(known),
            };
            names.push((name.to_bytes().to_vec(), file_type));
        }
        names.sort();
        Ok(names)
    }

    /// Does the path exist, links followed? What can't be told counts as absent, so this is
    /// for hints only, never for a judgement.
    pub fn exists(&self, path: &HostPath) -> bool {
        self.follow(path, OFlags::empty()).is_ok()
    }

    /// What an error of the kernel means for an answer.
    pub fn trouble(&self, errno: Errno) -> Trouble {
        match errno {
            Errno::NOENT | Errno::NOTDIR => Trouble::Absent,
            Errno::ACCESS | Errno::PERM if !self.is_root => Reason::NeedsRoot.into(),
            Errno::LOOP => failed("the links on this path form a loop, or lead through /proc"),
            Errno::NAMETOOLONG => failed("the path is longer than the kernel allows"),
            Errno::AGAIN => failed("the path kept changing while it was looked up"),
            other => failed(&io::Error::from(other).to_string()),
        }
    }
}

/// Looks the path up again, following only links that nobody else than root could have put
/// there: the same that a change follows.
fn trusted_links(path: &HostPath) -> Result<(OwnedFd, HostPath), Trouble> {
    let trouble = |error: ActError| match error {
        error if error.is_missing() => Trouble::Absent,
        ActError::Refused { why, .. } => failed(&why),
        error => failed(&error.to_string()),
    };
    let place = Root::live()
        .and_then(|root| root.find(path, LastLink::Follow))
        .map_err(trouble)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let reference = fs::openat(&place.dir, &*place.name, flags, OpenMode::empty())
        .map_err(|errno| trouble(place.fail("open")(errno)))?;
    Ok((reference, place.path))
}

fn failed(why: &str) -> Trouble {
    Trouble::Unknown(Reason::Failed {
        why: why.to_owned(),
    })
}

/// `/proc/self/fd/N` of an open file.
fn own_fd(fd: BorrowedFd<'_>) -> String {
    format!("{OWN_FILES}/{}", fd.as_raw_fd())
}

/// The path below the root's handle.
fn relative(path: &HostPath) -> &Path {
    match path.as_bytes() {
        b"/" => Path::new("."),
        bytes => Path::new(std::ffi::OsStr::from_bytes(&bytes[1..])),
    }
}

pub fn file_type(raw: fs::FileType) -> FileType {
    match raw {
        fs::FileType::RegularFile => FileType::Regular,
        fs::FileType::Directory => FileType::Directory,
        fs::FileType::Symlink => FileType::Link,
        _ => FileType::Other,
    }
}
