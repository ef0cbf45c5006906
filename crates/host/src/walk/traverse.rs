//! Going through directories on several threads. Each thread keeps a stack of directories
//! and gives half of it away when another one has nothing to do. A directory is opened by
//! its path below the start, so that no chain of open directories is needed and depth costs
//! no descriptors; the kernel follows no link and leaves no mount on the way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use model::probe::WalkTests;
use model::value::{FileType, WALK_LIMIT};
use model::{Blob, HostPath, Mode, WalkTest};
use rustix::fs::{
    self, AtFlags, FileType as RawType, Mode as OpenMode, OFlags, RawDir, ResolveFlags, Statx,
    StatxAttributes, StatxFlags,
};
use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use super::starts::{Start, is_pruned};
use crate::local::Inner;
use crate::probe::accounts::{Names, Owned};
use crate::tree::{Node, file_type};

/// More threads than this wait for the same locks of the kernel.
const MOST_THREADS: usize = 4;

/// One call of getdents64 fills this; most directories fit.
const BUFFER_BYTES: usize = 64 << 10;

/// Programs that may belong to a package are kept until the lists of files are read. No
/// distribution has so many; the rest is counted as unknown, which it is.
const MOST_CANDIDATES: usize = 20_000;

/// How often the caller hears how far the walk is.
const TELL: Duration = Duration::from_millis(100);

/// Something that a test looks for.
pub struct Hit {
    pub path: Vec<u8>,
    pub node: Node,
}

#[derive(Default)]
pub struct Hits {
    /// At least the first of them in the order of their paths.
    pub list: Vec<Hit>,
    pub total: u64,
}

/// What the whole walk found.
#[derive(Default)]
pub struct Found {
    pub hits: BTreeMap<WalkTest, Hits>,
    /// The first of them.
    pub unreadable: BTreeSet<HostPath>,
    pub unreadable_total: u64,
    /// Somebody owns a file of whom nobody could say whether they exist.
    pub unknown_owner: bool,
}

/// A directory to go through.
struct Pending {
    start: usize,
    /// Below the start, without a slash in front; empty for the start itself.
    relative: Box<[u8]>,
}

struct Shared<'a> {
    host: &'a Arc<Inner>,
    names: &'a Names,
    starts: &'a [Start],
    tests: &'a WalkTests,
    threads: usize,
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Threads without work, for a look without the lock.
    idle: AtomicUsize,
    entries: AtomicU64,
}

#[derive(Default)]
struct Queue {
    pending: Vec<Pending>,
    idle: usize,
    finished: bool,
}

pub fn traverse(
    host: &Arc<Inner>,
    starts: &[Start],
    tests: &WalkTests,
    entries_seen: &(dyn Fn(u64) + Sync),
) -> Found {
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST_THREADS);
    let shared = Shared {
        host,
        names: host.names(),
        starts,
        tests,
        threads,
        queue: Mutex::new(Queue {
            pending: (0..starts.len())
                .map(|start| Pending {
                    start,
                    relative: Box::default(),
                })
                .collect(),
            ..Queue::default()
        }),
        wake: Condvar::new(),
        idle: AtomicUsize::new(0),
        entries: AtomicU64::new(0),
    };
    let mut found = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| Worker::new(&shared).run()))
            .collect();
        shared.tell(entries_seen);
        workers
            .into_iter()
            .map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .reduce(Found::merge)
            .unwrap_or_default()
    });
    entries_seen(shared.entries.load(Ordering::Relaxed));
    for test in tests {
        found.hits.entry(*test).or_default();
    }
    found
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells how far the walk is, until it ends.
    fn tell(&self, entries_seen: &(dyn Fn(u64) + Sync)) {
        let mut queue = self.lock();
        while !queue.finished {
            let (next, timeout) = self
                .wake
                .wait_timeout(queue, TELL)
                .unwrap_or_else(PoisonError::into_inner);
            queue = next;
            if timeout.timed_out() {
                drop(queue);
                entries_seen(self.entries.load(Ordering::Relaxed));
                queue = self.lock();
            }
        }
    }

    /// Waits for work; none when there will never be any again.
    fn take(&self) -> Option<Pending> {
        let mut queue = self.lock();
        queue.idle += 1;
        self.idle.store(queue.idle, Ordering::Relaxed);
        loop {
            if let Some(pending) = queue.pending.pop() {
                queue.idle -= 1;
                self.idle.store(queue.idle, Ordering::Relaxed);
                return Some(pending);
            }
            if queue.idle == self.threads {
                queue.finished = true;
                self.wake.notify_all();
            }
            if queue.finished {
                return None;
            }
            queue = self
                .wake
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives away the older half of a stack: directories nearer to the top have more below.
    fn give(&self, stack: &mut Vec<Pending>) {
        let half = stack.len() / 2;
        self.lock().pending.extend(stack.drain(..half));
        self.wake.notify_all();
    }
}

/// Lets the other threads end when one of them fails: it will never be idle.
struct FinishOnPanic<'a, 'b>(&'a Shared<'b>);

impl Drop for FinishOnPanic<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().finished = true;
            self.0.wake.notify_all();
        }
    }
}

struct Worker<'a, 'b> {
    shared: &'a Shared<'b>,
    stack: Vec<Pending>,
    found: Found,
    /// What is needed of which entries.
    wants: Wants,
    /// Does this thread have a working directory of its own?
    own_directory: bool,
    users: HashMap<u32, bool>,
    groups: HashMap<u32, bool>,
    last: Option<(u32, u32)>,
}

/// Which tests run, unpacked.
#[derive(Clone, Copy)]
struct Wants {
    writable_files: bool,
    writable_directories: bool,
    privileged: bool,
    unowned: bool,
    capabilities: bool,
}

impl Wants {
    fn new(tests: &WalkTests) -> Self {
        Self {
            writable_files: tests.contains(&WalkTest::WorldWritableFiles),
            writable_directories: tests.contains(&WalkTest::WorldWritableDirectoriesWithoutSticky),
            privileged: tests.contains(&WalkTest::UnknownPrivilegedPrograms),
            unowned: tests.contains(&WalkTest::Unowned),
            capabilities: tests.contains(&WalkTest::UnknownCapabilities),
        }
    }

    /// Must an entry of this type be looked at?
    fn looks_at(self, file_type: RawType) -> bool {
        match file_type {
            RawType::RegularFile => {
                self.writable_files || self.privileged || self.unowned || self.capabilities
            }
            // Which mount it is on has to be known.
            RawType::Directory | RawType::Unknown => true,
            _ => self.unowned,
        }
    }
}

/// The directory that is gone through now.
struct Here<'a> {
    start: &'a Start,
    start_number: usize,
    relative: &'a [u8],
    fd: BorrowedFd<'a>,
    /// Is it this thread's working directory?
    entered: bool,
}

impl Here<'_> {
    /// The path of an entry inside the tree.
    fn path(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.start.path.as_bytes().to_vec();
        for part in [self.relative, name] {
            if !part.is_empty() {
                if path.last() != Some(&b'/') {
                    path.push(b'/');
                }
                path.extend_from_slice(part);
            }
        }
        path
    }
}

impl<'a, 'b> Worker<'a, 'b> {
    fn new(shared: &'a Shared<'b>) -> Self {
        let wants = Wants::new(shared.tests);
        Self {
            shared,
            stack: Vec::new(),
            found: Found::default(),
            own_directory: wants.capabilities && own_working_directory(),
            wants,
            users: HashMap::new(),
            groups: HashMap::new(),
            last: None,
        }
    }

    fn run(mut self) -> Found {
        let _finish = FinishOnPanic(self.shared);
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        while let Some(pending) = self.stack.pop().or_else(|| self.shared.take()) {
            self.directory(&pending, &mut buffer);
            if self.stack.len() > 1 && self.shared.idle.load(Ordering::Relaxed) > 0 {
                self.shared.give(&mut self.stack);
            }
        }
        self.found
    }

    fn directory(&mut self, pending: &Pending, buffer: &mut [MaybeUninit<u8>]) {
        let start = &self.shared.starts[pending.start];
        let directory = match open(start, &pending.relative, self.shared.host.tree.is_root()) {
            Ok(directory) => directory,
            // It has vanished, or something else has taken its place, or it is another mount.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return,
            Err(_) => {
                self.unreadable(start, &pending.relative);
                return;
            }
        };
        let mut here = Here {
            start,
            start_number: pending.start,
            relative: &pending.relative,
            fd: directory.as_fd(),
            entered: false,
        };
        if pending.relative.is_empty() {
            self.start_itself(&here);
        }
        let mut entries = RawDir::new(&directory, buffer);
        let mut count = 0;
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                // It was removed while it was open.
                Err(Errno::NOENT) => break,
                Err(_) => {
                    self.unreadable(start, &pending.relative);
                    break;
                }
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            count += 1;
            if self.wants.looks_at(entry.file_type()) {
                self.entry(&mut here, name);
            }
        }
        self.shared.entries.fetch_add(count, Ordering::Relaxed);
    }

    /// The directory at which a walk begins is an entry of none that is walked.
    fn start_itself(&mut self, here: &Here<'_>) {
        if let Ok(stat) = look(here.fd, c"", AtFlags::EMPTY_PATH) {
            self.test(
                here,
                c"",
                &stat,
                RawType::from_raw_mode(u32::from(stat.stx_mode)),
            );
        }
    }

    fn entry(&mut self, here: &mut Here<'_>, name: &CStr) {
        let stat = match look(here.fd, name, AtFlags::empty()) {
            Ok(stat) => stat,
            // It has vanished.
            Err(Errno::NOENT) => return,
            Err(_) => {
                self.unreadable(here.start, here.relative);
                return;
            }
        };
        let raw_type = RawType::from_raw_mode(u32::from(stat.stx_mode));
        if raw_type == RawType::Directory {
            // Another mount is walked on its own, or not at all.
            let elsewhere = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
                || !stat
                    .stx_attributes_mask
                    .contains(StatxAttributes::MOUNT_ROOT)
                    && (stat.stx_dev_major, stat.stx_dev_minor) != here.start.device;
            if elsewhere {
                return;
            }
            self.descend(here, name.to_bytes());
        } else if self.wants.capabilities
            && raw_type == RawType::RegularFile
            && stat.stx_mode & 0o111 != 0
        {
            self.capabilities(here, name, &stat);
        }
        self.test(here, name, &stat, raw_type);
    }

    fn descend(&mut self, here: &Here<'_>, name: &[u8]) {
        let path = here.path(name);
        if is_pruned(&path) {
            return;
        }
        // Too deep to be named in one system call, or in a report.
        if HostPath::from_bytes(&path).is_err() {
            self.unreadable(here.start, here.relative);
            return;
        }
        let mut relative = Vec::with_capacity(here.relative.len() + 1 + name.len());
        if !here.relative.is_empty() {
            relative.extend_from_slice(here.relative);
            relative.push(b'/');
        }
        relative.extend_from_slice(name);
        self.stack.push(Pending {
            start: here.start_number,
            relative: relative.into(),
        });
    }

    fn test(&mut self, here: &Here<'_>, name: &CStr, stat: &Statx, raw_type: RawType) {
        let mode = stat.stx_mode;
        let wants = self.wants;
        match raw_type {
            RawType::RegularFile => {
                if wants.writable_files && mode & 0o002 != 0 {
                    self.hit(WalkTest::WorldWritableFiles, here, name, stat);
                }
                if wants.privileged && mode & 0o6000 != 0 {
                    self.hit(WalkTest::UnknownPrivilegedPrograms, here, name, stat);
                }
            }
            RawType::Directory if wants.writable_directories && mode & 0o1002 == 0o002 => {
                let test = WalkTest::WorldWritableDirectoriesWithoutSticky;
                self.hit(test, here, name, stat);
            }
            _ => {}
        }
        if wants.unowned && !self.is_owned(stat.stx_uid, stat.stx_gid) {
            self.hit(WalkTest::Unowned, here, name, stat);
        }
    }

    fn is_owned(&mut self, uid: u32, gid: u32) -> bool {
        // Most neighbours have the same owner.
        if self.last == Some((uid, gid)) {
            return true;
        }
        let (host, names) = (self.shared.host, self.shared.names);
        let mut unknown = false;
        let mut known = |owned| {
            unknown |= owned == Owned::Unknown;
            owned != Owned::No
        };
        let user = *self
            .users
            .entry(uid)
            .or_insert_with(|| known(names.user_exists(host, uid)));
        let group = *self
            .groups
            .entry(gid)
            .or_insert_with(|| known(names.group_exists(host, gid)));
        self.found.unknown_owner |= unknown;
        if user && group {
            self.last = Some((uid, gid));
        }
        user && group
    }

    fn capabilities(&mut self, here: &mut Here<'_>, name: &CStr, stat: &Statx) {
        const ATTRIBUTE: &CStr = c"security.capability";
        // There is no getxattrat(2) before Linux 6.13. A thread with a working directory of
        // its own can enter it; otherwise the path goes through /proc.
        if self.own_directory && !here.entered {
            here.entered = rustix::process::fchdir(here.fd).is_ok();
        }
        let size = if here.entered {
            fs::lgetxattr(name, ATTRIBUTE, &mut [0u8; 0])
        } else {
            let mut path = format!("/proc/self/fd/{}/", here.fd.as_raw_fd()).into_bytes();
            path.extend_from_slice(name.to_bytes());
            fs::lgetxattr(path, ATTRIBUTE, &mut [0u8; 0])
        };
        match size {
            Ok(_) | Err(Errno::RANGE) => {
                self.hit(WalkTest::UnknownCapabilities, here, name, stat);
            }
            // It has none, its file system has none, or it has vanished.
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOENT) => {}
            Err(_) => self.unreadable(here.start, here.relative),
        }
    }

    fn hit(&mut self, test: WalkTest, here: &Here<'_>, name: &CStr, stat: &Statx) {
        let path = here.path(name.to_bytes());
        if HostPath::from_bytes(&path).is_err() {
            self.unreadable(here.start, here.relative);
            return;
        }
        let hits = self.found.hits.entry(test).or_default();
        hits.total += 1;
        let limit = if super::by_package(test) {
            MOST_CANDIDATES
        } else {
            // The first of them in the end are among the first of each thread.
            WALK_LIMIT
        };
        hits.list.push(Hit {
            node: node(here.fd, name, stat),
            path,
        });
        if hits.list.len() >= limit * 2 {
            hits.shorten(limit);
        }
    }

    fn unreadable(&mut self, start: &Start, relative: &[u8]) {
        self.found.unreadable_total += 1;
        if let Ok(path) = start.path.join(relative) {
            self.found.unreadable.insert(path);
            if self.found.unreadable.len() > super::MOST_UNREADABLE {
                self.found.unreadable.pop_last();
            }
        }
    }
}

impl Hits {
    fn shorten(&mut self, limit: usize) {
        self.list.sort_by(|one, other| one.path.cmp(&other.path));
        self.list.truncate(limit);
    }
}

impl Found {
    fn merge(mut self, other: Self) -> Self {
        for (test, hits) in other.hits {
            let mine = self.hits.entry(test).or_default();
            mine.total += hits.total;
            mine.list.extend(hits.list);
        }
        self.unreadable.extend(other.unreadable);
        self.unreadable_total += other.unreadable_total;
        self.unknown_owner |= other.unknown_owner;
        self
    }
}

fn open(start: &Start, relative: &[u8], is_root: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if is_root {
        flags |= OFlags::NOATIME;
    }
    let relative = if relative.is_empty() { b"." } else { relative };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match fs::openat2(
        &start.directory,
        relative,
        flags,
        OpenMode::empty(),
        resolve,
    ) {
        // An older kernel, or a container that forbids the call.
        Err(Errno::NOSYS | Errno::PERM) => {
            fs::openat(&start.directory, relative, flags, OpenMode::empty())
        }
        other => other,
    }
}

fn look(directory: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> Result<Statx, Errno> {
    // What is known without asking a server is enough, and nothing gets mounted.
    let flags =
        flags | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    let mask = StatxFlags::TYPE
        | StatxFlags::MODE
        | StatxFlags::UID
        | StatxFlags::GID
        | StatxFlags::NLINK
        | StatxFlags::SIZE;
    fs::statx(directory, name, flags, mask)
}

fn node(directory: BorrowedFd<'_>, name: &CStr, stat: &Statx) -> Node {
    let mode = u32::from(stat.stx_mode);
    let file_type = file_type(RawType::from_raw_mode(mode));
    let regular = file_type == FileType::Regular;
    Node {
        file_type,
        mode: Mode::new(mode),
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        size_bytes: if regular { stat.stx_size } else { 0 },
        hard_links: if regular {
            u64::from(stat.stx_nlink)
        } else {
            1
        },
        target: (file_type == FileType::Link)
            .then(|| fs::readlinkat(directory, name, Vec::new()).ok())
            .flatten()
            .map(|target| Blob::from(target.into_bytes())),
    }
}

/// Gives this thread a working directory of its own. A container may forbid it.
#[expect(unsafe_code, reason = "rustix has no safe form of unshare(2)")]
fn own_working_directory() -> bool {
    // SAFETY: the danger is in `UnshareFlags::FILES`, which is not used: only the working
    // directory, the root and the umask stop being shared, and this thread ends with the walk.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }.is_ok()
}
