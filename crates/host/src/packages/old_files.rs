//! Which running processes run old files: those that are mapped, and whose content is not there any
//! more under their names. The same bytes as another file, as an undo or a new installation puts
//! them back, are not old: whoever runs them need not be restarted.
//!
//! What can't be compared counts as old.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use jiff::Timestamp;
use model::HostPath;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Statx, StatxFlags};

use super::owners::owners;
use super::reach::is_merged;
use super::users::{
    DELETED, Inode, Process, Processes, Range, Unseen, deleted_ranges, maps, processes,
};
use crate::act::{LastLink, Root};

/// What is read at most in one look. The libraries that everything maps have some ten MB.
const BUDGET_BYTES: u64 = 256 << 20;
/// Read at once of each of two files.
const CHUNK_BYTES: usize = 64 << 10;
/// Deleted files of one process that are looked at: after an upgrade of everything a browser has some
/// hundreds.
const MOST_LOOKED_AT: usize = 1000;

/// What runs of what is not there any more.
#[derive(Clone, Debug, Default)]
pub struct OldFiles {
    /// The processes that run old files; `deleted` has only these.
    pub running: Vec<Process>,
    /// The processes that can't be looked at.
    pub unseen: Vec<Unseen>,
}

impl OldFiles {
    /// Looks at every process.
    pub fn now() -> Self {
        let mut compared = Compared::default();
        let Processes {
            seen: mut running,
            unseen,
        } = processes();
        for process in &mut running {
            compared.look(process, is_of_packages);
        }
        drop_scratch(&mut running);
        running.retain(|process| !process.deleted.is_empty());
        Self { running, unseen }
    }
}

/// Takes out what was never replaced by an upgrade: what programs map for themselves and unlink, as
/// libffi, compilers at run time and databases do.
fn drop_scratch(running: &mut [Process]) {
    let elsewhere = running.iter().flat_map(|process| &process.deleted);
    let elsewhere = elsewhere.filter(|path| !is_of_packages(path));
    let elsewhere: BTreeSet<String> = elsewhere.map(ToString::to_string).collect();
    if elsewhere.is_empty() {
        return;
    }
    let owned = owners(&elsewhere);
    for process in running {
        let folder = Path::new("/proc").join(process.id.to_string());
        // Where it can't be told what is executed, it may all be.
        let maps = maps(&folder);
        process.deleted.retain(|path| {
            let is_owned = owned.contains_key(&path.to_string());
            let is_executed = || {
                let maps = maps.as_deref();
                maps.is_none_or(|maps| is_mapped_to_execute(maps, path))
            };
            is_of_upgrade(path, is_owned, is_executed)
        });
        let deleted = &process.deleted;
        process.deleted_at.retain(|path, _| deleted.contains(path));
    }
}

/// Where programs put what is theirs alone, and where users have their files.
const SCRATCH: [&str; 8] = [
    "/dev",
    "/home",
    "/proc",
    "/root",
    "/run",
    "/tmp",
    "/var/cache",
    "/var/tmp",
];

/// Can a mapped file that is gone be one that an upgrade, of packages or by hand, has replaced? What
/// lies where packages have their files, or is a package's, can. Of the rest, only what is executed, as
/// a program below `/srv`, and not what lies where nobody upgrades anything.
pub fn is_of_upgrade(path: &HostPath, is_owned: bool, is_executed: impl FnOnce() -> bool) -> bool {
    let is_scratch = || {
        SCRATCH
            .iter()
            .any(|top| path.is_within(&HostPath::literal(top)))
    };
    is_of_packages(path) || is_owned || !is_scratch() && is_executed()
}

/// Has a process a deleted file mapped as something to execute? What is made on the host itself, as
/// caches are, is replaced often and is only data. True where it can't be told.
pub fn is_executed(process: u32, path: &HostPath) -> bool {
    let folder = Path::new("/proc").join(process.to_string());
    maps(&folder).is_none_or(|maps| is_mapped_to_execute(&maps, path))
}

/// Does proc_pid_maps(5) say so of a deleted file?
pub fn is_mapped_to_execute(maps: &[u8], path: &HostPath) -> bool {
    let end = [path.as_bytes(), DELETED].concat();
    maps.split(|byte| *byte == b'\n').any(|line| {
        let name = line.iter().position(|byte| *byte == b'/');
        let permissions = line.split(|byte| *byte == b' ').nth(1);
        name.is_some_and(|at| line[at..] == *end)
            && permissions.is_some_and(|permissions| permissions.contains(&b'x'))
    })
}

/// Is it where packages have what runs? What lies elsewhere is of users, and is not opened.
pub fn is_of_packages(path: &HostPath) -> bool {
    let bytes = path.as_bytes();
    bytes.starts_with(b"/usr/") || bytes.starts_with(b"/opt/") || is_merged(bytes)
}

/// Files that were compared, each once however many have it mapped.
#[derive(Debug)]
pub struct Compared {
    /// By the device and the inode of what was opened, and the name that it had.
    known: BTreeMap<((u32, u32), u64, HostPath), bool>,
    left_bytes: u64,
}

impl Default for Compared {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            left_bytes: BUDGET_BYTES,
        }
    }
}

/// A file that a process has mapped.
struct Mapped {
    /// Of the path alone: nothing of the file system is asked to open it.
    handle: OwnedFd,
    stat: Statx,
}

impl Compared {
    /// Takes out of `deleted` what has the same content under its name now, and says of the rest when
    /// it was taken away. Only files of which `is_wanted` are opened.
    pub fn look(&mut self, process: &mut Process, is_wanted: impl Fn(&HostPath) -> bool) {
        let deleted = process.deleted.iter();
        let wanted = deleted.filter(|path| is_wanted(path)).take(MOST_LOOKED_AT);
        let wanted: BTreeSet<HostPath> = wanted.cloned().collect();
        if wanted.is_empty() {
            return;
        }
        let folder = Path::new("/proc").join(process.id.to_string());
        let Some(maps) = maps(&folder) else {
            return;
        };
        // One name may have been put in place several times.
        let mut places: BTreeMap<HostPath, BTreeMap<Inode<'_>, Range>> = BTreeMap::new();
        for (name, inode, range) in deleted_ranges(&maps) {
            if let Ok(path) = HostPath::from_bytes(name)
                && wanted.contains(&path)
            {
                let of_path = places.entry(path).or_default();
                if of_path.len() < MOST_LOOKED_AT {
                    of_path.entry(inode).or_insert(range);
                }
            }
        }
        for (path, places) in places {
            let now = file_now(&path);
            let mut at: Option<Timestamp> = None;
            let mut is_unchanged = true;
            for ((_, inode), range) in places {
                let mapped = mapped_file(&folder, range, inode, &path);
                let is_same = match (&mapped, &now) {
                    (Some(mapped), Some(now)) => self.is_same(mapped, now, &path),
                    _ => false,
                };
                is_unchanged &= is_same;
                // Nothing is done to a file without a name any more, but for the last of its names
                // being taken away.
                let stat = mapped.as_ref().map(|mapped| &mapped.stat);
                let nameless = stat.filter(|stat| stat.stx_nlink == 0);
                let since = nameless.and_then(changed_at);
                if let (false, Some(since)) = (is_same, since) {
                    at = Some(at.map_or(since, |at| at.min(since)));
                }
            }
            if is_unchanged {
                process.deleted.remove(&path);
            } else if let Some(at) = at {
                process.deleted_at.insert(path, at);
            }
        }
    }

    fn is_same(&mut self, mapped: &Mapped, now: &(File, Statx), path: &HostPath) -> bool {
        let (now, there) = now;
        let one = &mapped.stat;
        // On another file system it is not what packages brought, and it may be one that never
        // answers.
        if device(one) != device(there)
            || FileType::from_raw_mode(one.stx_mode.into()) != FileType::RegularFile
            || one.stx_size != there.stx_size
        {
            return false;
        }
        let key = (device(one), one.stx_ino, path.clone());
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        // Both are read.
        let cost_bytes = one.stx_size.saturating_mul(2);
        if cost_bytes > self.left_bytes {
            return false;
        }
        self.left_bytes -= cost_bytes;
        let is_same = now
            .try_clone()
            .and_then(|now| is_equal(reopened(&mapped.handle)?, now, one.stx_size))
            .unwrap_or(false);
        self.known.insert(key, is_same);
        is_same
    }
}

fn device(stat: &Statx) -> (u32, u32) {
    (stat.stx_dev_major, stat.stx_dev_minor)
}

fn changed_at(stat: &Statx) -> Option<Timestamp> {
    let nanoseconds = i32::try_from(stat.stx_ctime.tv_nsec).ok()?;
    Timestamp::new(stat.stx_ctime.tv_sec, nanoseconds).ok()
}

/// Without asking a file system of others, which may let us wait.
fn look_at(handle: &OwnedFd) -> Option<Statx> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let mask = StatxFlags::BASIC_STATS;
    rustix::fs::statx(handle, "", flags, mask).ok()
}

/// What a process has mapped there, though it has no name any more: through proc_pid_map_files(5),
/// which only a real root may open, or as the program that it runs.
fn mapped_file(folder: &Path, (from, to): Range, inode: &[u8], path: &HostPath) -> Option<Mapped> {
    let name = [path.as_bytes(), DELETED].concat();
    let inode: u64 = str::from_utf8(inode).ok()?.parse().ok()?;
    [format!("map_files/{from:x}-{to:x}"), "exe".to_owned()]
        .iter()
        .find_map(|link| {
            let link = folder.join(link);
            let target = std::fs::read_link(&link).ok()?;
            if target.as_os_str().as_bytes() != name {
                return None;
            }
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let handle = rustix::fs::open(link, flags, Mode::empty()).ok()?;
            let stat = look_at(&handle)?;
            // Another may be mapped there meanwhile, or be the program.
            (stat.stx_ino == inode).then_some(Mapped { handle, stat })
        })
}

/// The same file, to be read.
fn reopened(handle: &OwnedFd) -> std::io::Result<File> {
    let link = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(link, flags, Mode::empty())?))
}

/// What lies under a name now, through no link and no directory that somebody else may write.
fn file_now(path: &HostPath) -> Option<(File, Statx)> {
    let place = Root::live().ok()?.find(path, LastLink::Itself).ok()?;
    if place.shared {
        return None;
    }
    let file = place.open_file().ok()??;
    let handle = OwnedFd::from(file);
    let stat = look_at(&handle)?;
    Some((File::from(handle), stat))
}

/// Compares so many bytes from the beginning. A file that ends before is another one.
fn is_equal(one: File, other: File, mut left_bytes: u64) -> std::io::Result<bool> {
    let (mut first, mut second) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    let mut at = 0;
    while left_bytes > 0 {
        let size = CHUNK_BYTES.min(usize::try_from(left_bytes).unwrap_or(CHUNK_BYTES));
        one.read_exact_at(&mut first[..size], at)?;
        other.read_exact_at(&mut second[..size], at)?;
        if first[..size] != second[..size] {
            return Ok(false);
        }
        left_bytes -= size as u64;
        at += size as u64;
    }
    Ok(true)
}
