//! What is at one path, in full: enough to put it back byte for byte, with owner, mode,
//! ACL, extended attributes and modification time.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

use model::{Blob, Digest, HostPath, Mode};
use rustix::fs::{FileType, IFlags, Mode as RawMode, OFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Images;
use crate::act::ActError;
use crate::act::place::{LastLink, Place, Root};

/// The kernel's limit on the list of names and on one value (xattr(7)).
const XATTR_LIMIT_BYTES: usize = 64 << 10;

/// A moment as the file system has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTime {
    pub seconds: i64,
    pub nanoseconds: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    pub mode: Mode,
    pub uid: u32,
    pub gid: u32,
    pub modified: FileTime,
    /// Names are ASCII in practice; one that is not UTF-8 can't be kept and is an error.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extended: BTreeMap<String, Blob>,
    /// Inode flags that people set with chattr(1), and that a new inode would not have.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flags: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands in a reference"
)]
fn is_zero(flags: &u32) -> bool {
    *flags == 0
}

/// The flags that are kept (FS_IOC_GETFLAGS(2const)): `S`, `d`, `A` and `D` of chattr(1). The
/// others are the file system's own, or refuse a change altogether.
pub(crate) fn kept_flags() -> IFlags {
    IFlags::SYNC | IFlags::NODUMP | IFlags::NOATIME | IFlags::DIRSYNC
}

/// A path's before-image or after-image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    Absent,
    File {
        content: Digest,
        size_bytes: u64,
        attributes: Attributes,
    },
    /// A regular file of which only the metadata is changed: its content is neither read nor
    /// kept, so it may have any size, and may be written meanwhile.
    Unread {
        attributes: Attributes,
    },
    Directory {
        attributes: Attributes,
    },
    Link {
        target: Blob,
        uid: u32,
        gid: u32,
        modified: FileTime,
    },
    /// A device, a pipe or a socket: its metadata can be put back, the thing itself can't.
    Other {
        attributes: Attributes,
    },
}

impl Node {
    /// What is at `path` now, its content stored in `images`, or only digested.
    /// Also gives the path that a trusted link led to.
    pub fn capture(
        root: &Root,
        path: &HostPath,
        last: LastLink,
        images: Option<&Images>,
    ) -> Result<(HostPath, Self), ActError> {
        match root.find(path, last) {
            Ok(place) => Ok((place.path.clone(), Self::at(&place, images)?)),
            Err(error) if error.is_missing() => Ok((path.clone(), Self::Absent)),
            Err(error) => Err(error),
        }
    }

    /// What is at `place` now.
    pub fn at(place: &Place, images: Option<&Images>) -> Result<Self, ActError> {
        let Some(stat) = place.stat()? else {
            return Ok(Self::Absent);
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let Some(mut file) = place.open_file()? else {
                    return Ok(Self::Absent);
                };
                let stat = rustix::fs::fstat(&file).map_err(place.fail("look at"))?;
                let attributes = Attributes::of(&file, &stat, place)?;
                // Too large to be kept, so its content is not what is changed.
                if images.is_none() && is_beyond_an_image(&stat) {
                    return Ok(Self::Unread { attributes });
                }
                if is_beyond_an_image(&stat) {
                    return Err(ActError::refused(&place.path, BEYOND_AN_IMAGE));
                }
                let fail = |source| ActError::path("read", &place.path, source);
                let (content, size_bytes) = match images {
                    Some(images) => images.store(&mut file).map_err(fail)?,
                    None => super::digest(&mut file).map_err(fail)?,
                };
                Ok(Self::File {
                    content,
                    size_bytes,
                    attributes,
                })
            }
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(&place.dir, &*place.name, flags, RawMode::empty())
                    .map_err(place.fail("open"))?;
                let stat = rustix::fs::fstat(&fd).map_err(place.fail("look at"))?;
                Ok(Self::Directory {
                    attributes: Attributes::of(&fd, &stat, place)?,
                })
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&place.dir, &*place.name, Vec::new())
                    .map_err(place.fail("read the link"))?;
                Ok(Self::Link {
                    target: target.into_bytes().into(),
                    uid: stat.st_uid,
                    gid: stat.st_gid,
                    modified: FileTime::of(&stat),
                })
            }
            _ => Ok(Self::Other {
                attributes: Attributes::plain(&stat),
            }),
        }
    }

    /// What is at `path` now, without its content where it is a regular file.
    pub fn unread(root: &Root, path: &HostPath) -> Result<Self, ActError> {
        match root.find(path, LastLink::Itself) {
            Ok(place) => Self::unread_at(&place),
            Err(error) if error.is_missing() => Ok(Self::Absent),
            Err(error) => Err(error),
        }
    }

    pub fn unread_at(place: &Place) -> Result<Self, ActError> {
        let is_file = place
            .stat()?
            .is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        let Some(file) = is_file.then(|| place.open_file()).transpose()?.flatten() else {
            return Self::at(place, None);
        };
        let stat = rustix::fs::fstat(&file).map_err(place.fail("look at"))?;
        let attributes = Attributes::of(&file, &stat, place)?;
        Ok(Self::Unread { attributes })
    }

    pub fn is_unread(&self) -> bool {
        matches!(self, Self::Unread { .. })
    }

    pub fn attributes(&self) -> Option<&Attributes> {
        match self {
            Self::File { attributes, .. }
            | Self::Unread { attributes }
            | Self::Directory { attributes }
            | Self::Other { attributes } => Some(attributes),
            Self::Absent | Self::Link { .. } => None,
        }
    }

    pub fn content(&self) -> Option<Digest> {
        match self {
            Self::File { content, .. } => Some(*content),
            _ => None,
        }
    }

    /// The same thing, times left out: a directory's time changes with its entries, and a
    /// file that was saved again with the same bytes is still what it was.
    pub fn same_as(&self, other: &Self) -> bool {
        let (one, other) = (self.timeless(), other.timeless());
        match (&one, &other) {
            // What was recorded without its content is compared without it. One that was recorded with
            // it, and is too large to be read now, is not what it was.
            (
                Self::File {
                    attributes: one, ..
                },
                Self::Unread { attributes: other },
            ) => one == other,
            _ => one == other,
        }
    }

    /// Equal down to the modification time, except that a directory's is judged apart.
    pub fn exactly(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Directory { .. }, Self::Directory { .. }) | (_, Self::Unread { .. }) => {
                self.same_as(other)
            }
            _ => self == other,
        }
    }

    fn timeless(&self) -> Self {
        const NONE: FileTime = FileTime {
            seconds: 0,
            nanoseconds: 0,
        };
        let mut node = self.clone();
        match &mut node {
            Self::File { attributes, .. }
            | Self::Unread { attributes }
            | Self::Directory { attributes }
            | Self::Other { attributes } => attributes.modified = NONE,
            Self::Link { modified, .. } => *modified = NONE,
            Self::Absent => {}
        }
        node
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::File { .. } | Self::Unread { .. } => "a file",
            Self::Directory { .. } => "a directory",
            Self::Link { .. } => "a link",
            Self::Other { .. } => "a special file",
        }
    }
}

impl FileTime {
    pub fn of(stat: &Stat) -> Self {
        Self {
            seconds: stat.st_mtime,
            nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        }
    }

    /// That of the clock.
    pub fn now() -> Self {
        let now = jiff::Timestamp::now();
        Self {
            seconds: now.as_second(),
            nanoseconds: u32::try_from(now.subsec_nanosecond()).unwrap_or(0),
        }
    }
}

impl Attributes {
    fn plain(stat: &Stat) -> Self {
        Self {
            mode: Mode::new(stat.st_mode),
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: FileTime::of(stat),
            extended: BTreeMap::new(),
            flags: 0,
        }
    }

    fn of(fd: &impl AsFd, stat: &Stat, place: &Place) -> Result<Self, ActError> {
        Ok(Self {
            extended: extended(fd, place)?,
            // A file system that has no flags says so in several ways.
            flags: rustix::fs::ioctl_getflags(fd).map_or(0, |flags| (flags & kept_flags()).bits()),
            ..Self::plain(stat)
        })
    }
}

/// Why such a file is not changed.
pub(crate) const BEYOND_AN_IMAGE: &str = "it is larger than a before-image may be (1 GiB)";

pub(crate) fn is_beyond_an_image(stat: &Stat) -> bool {
    u64::try_from(stat.st_size).is_ok_and(|size| size > super::IMAGE_LIMIT_BYTES)
}

/// Every extended attribute that this process may see: ACLs (`system.posix_acl_*`), file
/// capabilities (`security.capability`), labels and the user's own.
pub fn extended(fd: &impl AsFd, place: &Place) -> Result<BTreeMap<String, Blob>, ActError> {
    let fail = |source: Errno| place.fail("read the extended attributes of")(source);
    let mut names = vec![0; XATTR_LIMIT_BYTES];
    let length = match rustix::fs::flistxattr(fd, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(BTreeMap::new()),
        Err(error) => return Err(fail(error)),
    };
    let mut found = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0) {
        if name.is_empty() {
            continue;
        }
        let name = str::from_utf8(name).map_err(|_| {
            ActError::refused(&place.path, "an extended attribute's name is not UTF-8")
        })?;
        let mut value = vec![0; XATTR_LIMIT_BYTES];
        match rustix::fs::fgetxattr(fd, name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                found.insert(name.to_owned(), Blob::from(value));
            }
            Err(Errno::NODATA) => {}
            Err(error) => return Err(fail(error)),
        }
    }
    Ok(found)
}

/// The path through which a handle that was opened without read rights can be changed
/// (proc_pid_fd(5)): it leads to the very inode, whatever its name became.
pub fn through_proc(fd: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// A file's bytes as they are now, for a merge: at most `limit_bytes`.
pub fn read_all(file: File, limit_bytes: u64) -> std::io::Result<Vec<u8>> {
    crate::act::place::read_bounded(file, limit_bytes)
}
