//! Finding the directory in which an effect acts, one component at a time, relative to
//! directory handles, so that no link that somebody planted is ever followed.
//!
//! A link in the path is followed only when it, and the directory that holds it, belong to
//! root (or to the account that runs us) and nobody else may write that directory:
//! `/var/run` works, a link in a directory that a user owns is refused.

use std::collections::VecDeque;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use model::count::size;
use model::{Digest, HostPath, printable};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::ActError;

/// The kernel's own limit on links in one path (path_resolution(7)).
const LINK_LIMIT: u32 = 40;

/// The tree in which effects act: a host's own root, or, for tests, a directory in which
/// only file effects are carried out.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    path: PathBuf,
    live: bool,
}

/// May a link at the end of the path be followed?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLink {
    /// As any other link in the path: when it can be trusted.
    Follow,
    /// The link itself is meant.
    Itself,
}

/// With whose rights an effect writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Those of this process.
    Own,
    /// Those of the account that owns a directory on the way.
    Account { uid: u32, gid: u32 },
}

/// A name in an open directory.
#[derive(Debug)]
pub struct Place {
    pub dir: OwnedFd,
    pub name: Vec<u8>,
    /// Where the path led, links resolved.
    pub path: HostPath,
    pub rights: Rights,
    /// May somebody else than root or we write the directory?
    pub shared: bool,
}

impl Root {
    /// The running host's own root.
    pub fn live() -> Result<Self, ActError> {
        Self::open(Path::new("/"), true)
    }

    /// A tree below which only files are changed.
    pub fn tree(path: &Path) -> Result<Self, ActError> {
        Self::open(path, false)
    }

    fn open(path: &Path, live: bool) -> Result<Self, ActError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|source| ActError::Program {
                what: format!("open the root directory `{}`", path.display()),
                why: source.to_string(),
            })?;
        Ok(Self {
            fd,
            path: path.to_owned(),
            live,
        })
    }

    /// Is this the running host, whose services and kernel may be changed?
    pub fn is_live(&self) -> bool {
        self.live
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The digest of this tree's `/etc/machine-id`, which binds a journal to its host.
    pub fn machine(&self) -> Option<Digest> {
        let bytes = self
            .read(&HostPath::literal("/etc/machine-id"), 256)
            .ok()??;
        let id = bytes.trim_ascii();
        (!id.is_empty()).then(|| Digest::of(id))
    }

    /// The content of a small regular file; none when there is none.
    pub fn read(&self, path: &HostPath, limit_bytes: u64) -> Result<Option<Vec<u8>>, ActError> {
        let read = self.read_with_mode(path, limit_bytes)?;
        Ok(read.map(|(bytes, _)| bytes))
    }

    /// The same, and the mode of the file that was read, whatever stands under its name by then.
    pub fn read_with_mode(
        &self,
        path: &HostPath,
        limit_bytes: u64,
    ) -> Result<Option<(Vec<u8>, u32)>, ActError> {
        let place = match self.find(path, LastLink::Follow) {
            Ok(place) => place,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(file) = place.open_file()? else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(&file).map_err(place.fail("look at"))?;
        read_bounded(file, limit_bytes)
            .map(|bytes| Some((bytes, stat.st_mode)))
            .map_err(|source| ActError::path("read", path, source))
    }

    /// The names in a directory; none when there is no such directory.
    pub fn list(&self, directory: &HostPath) -> Result<Option<Vec<Vec<u8>>>, ActError> {
        // The place of any name in it holds a handle on the directory.
        let inside = directory
            .join("x")
            .map_err(|error| ActError::refused(directory, error.to_string()))?;
        let place = match self.find(&inside, LastLink::Itself) {
            Ok(place) => place,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&place.dir).map_err(place.fail("list"))? {
            let entry = entry.map_err(place.fail("list"))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        Ok(Some(names))
    }

    /// The directory and the name that `path` stands for.
    ///
    /// # Errors
    /// When a directory on the way is missing ([`ActError::is_missing`]) or a link on the
    /// way can't be trusted.
    pub fn find(&self, path: &HostPath, last: LastLink) -> Result<Place, ActError> {
        let fail = |source: Errno| ActError::path("open", path, source.into());
        let mut todo: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        let mut above: Vec<Directory> = vec![Directory::open(&self.fd, b".").map_err(fail)?];
        let mut links = 0;
        loop {
            let here = above.last().expect("the root directory is never popped");
            let Some(name) = todo.pop_front() else {
                return Err(ActError::refused(path, "it is the root directory itself"));
            };
            if name == b".." {
                if above.len() > 1 {
                    above.pop();
                }
                if todo.is_empty() {
                    return Err(ActError::refused(path, "a link on the way ends in `..`"));
                }
                continue;
            }
            let at_end = todo.is_empty();
            if at_end && last == LastLink::Itself {
                return Place::new(&above, name, path);
            }
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let next = match rustix::fs::openat(&here.fd, &*name, flags, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT) if at_end => return Place::new(&above, name, path),
                Err(error) => return Err(fail(error)),
            };
            let stat = rustix::fs::fstat(&next).map_err(fail)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    if links > LINK_LIMIT {
                        return Err(fail(Errno::LOOP));
                    }
                    if !is_trusted(stat.st_uid) || here.is_shared() {
                        return Err(ActError::refused(
                            path,
                            format!(
                                "`{}` on the way is a link that someone else than root could \
                                 have put there",
                                printable(&name)
                            ),
                        ));
                    }
                    let target = rustix::fs::readlinkat(&next, "", Vec::new()).map_err(fail)?;
                    let target = target.into_bytes();
                    if target.starts_with(b"/") {
                        above.truncate(1);
                    }
                    for part in target.split(|byte| *byte == b'/').rev() {
                        if !part.is_empty() && part != b"." {
                            todo.push_front(part.to_vec());
                        }
                    }
                }
                FileType::Directory if !at_end => above.push(Directory {
                    fd: next,
                    name,
                    stat,
                }),
                _ if at_end => return Place::new(&above, name, path),
                _ => return Err(fail(Errno::NOTDIR)),
            }
        }
    }
}

/// Root, or the account that runs us, which could do the same by itself.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

struct Directory {
    fd: OwnedFd,
    name: Vec<u8>,
    stat: Stat,
}

impl Directory {
    fn open(fd: &OwnedFd, name: &[u8]) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(fd, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&fd)?;
        Ok(Self {
            fd,
            name: name.to_vec(),
            stat,
        })
    }

    /// May someone else than root or we put an entry here? With an ACL (acl(5)) the group
    /// bits are the mask over all its entries, so looking at them covers ACLs too.
    fn is_shared(&self) -> bool {
        !is_trusted(self.stat.st_uid) || self.stat.st_mode & 0o022 != 0
    }
}

impl Place {
    /// Is something mounted here? False where nobody can tell (statx(2)).
    pub fn is_mount_root(&self) -> bool {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        rustix::fs::statx(&self.dir, &*self.name, flags, StatxFlags::empty())
            .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }

    fn new(above: &[Directory], name: Vec<u8>, asked: &HostPath) -> Result<Self, ActError> {
        let here = above.last().expect("the root directory is never popped");
        let fail = |source: Errno| ActError::path("open", asked, source.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(&here.fd, ".", flags, Mode::empty()).map_err(fail)?;
        let mut bytes = Vec::new();
        for part in above.iter().skip(1).map(|dir| &dir.name).chain([&name]) {
            bytes.push(b'/');
            bytes.extend_from_slice(part);
        }
        let path = HostPath::from_bytes(&bytes)
            .map_err(|error| ActError::refused(asked, error.to_string()))?;
        // The first directory of another owner decides: whoever owns it can put anything
        // of theirs below it.
        let rights = above
            .iter()
            .find(|dir| !is_trusted(dir.stat.st_uid))
            .map_or(Rights::Own, |dir| Rights::Account {
                uid: dir.stat.st_uid,
                gid: dir.stat.st_gid,
            });
        Ok(Self {
            dir,
            name,
            path,
            rights,
            shared: here.is_shared() || rights != Rights::Own,
        })
    }

    /// What is there now; none when there is nothing.
    pub fn stat(&self) -> Result<Option<Stat>, ActError> {
        match rustix::fs::statat(&self.dir, &*self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.fail("look at")(error)),
        }
    }

    /// The regular file that is there, to be read; none when there is nothing.
    pub fn open_file(&self) -> Result<Option<std::fs::File>, ActError> {
        // Opening a pipe would wait for its other end, so it is never waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.dir, &*self.name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.fail("open")(error)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(self.fail("look at"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(ActError::refused(&self.path, "it is not a regular file"));
        }
        Ok(Some(std::fs::File::from(fd)))
    }

    /// Makes a changed directory entry durable.
    pub fn sync(&self) -> Result<(), ActError> {
        rustix::fs::fsync(self.dir.as_fd()).map_err(self.fail("sync the directory of"))
    }

    pub fn fail(&self, what: &'static str) -> impl Fn(Errno) -> ActError + '_ {
        move |source| ActError::path(what, &self.path, source.into())
    }
}

/// All of a reader, unless it is longer than `limit_bytes`.
pub fn read_bounded(reader: impl Read, limit_bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("larger than {}", size(limit_bytes)),
        ));
    }
    Ok(bytes)
}
