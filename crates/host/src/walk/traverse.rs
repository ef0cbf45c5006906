//! Going through directories on several threads. Each thread keeps a stack of directories
//! and gives half of it away when another one has nothing to do. A directory is opened by
//! its path below the start, so that no chain of open directories is needed and depth costs
//! no descriptors; the kernel follows no link and leaves no mount on the way.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use model::HostPath;
use model::value::{MOST_OTHER_ROOTS, OtherRoot};
use rustix::fs::{
    self, AtFlags, FileType as RawType, Mode as OpenMode, OFlags, RawDir, ResolveFlags, Statx,
    StatxAttributes, StatxFlags,
};
use rustix::io::Errno;

use super::roots;
use super::starts::{Start, is_pruned, step_by_step};

/// More threads than this wait for the same locks of the kernel.
const MOST_THREADS: usize = 4;

/// One call of getdents64 fills this; most directories fit.
const BUFFER_BYTES: usize = 64 << 10;

/// How often the caller hears how far the walk is.
const TELL: Duration = Duration::from_millis(100);

/// This many directories that can't be read are named; all are counted.
pub const MOST_UNREADABLE: usize = 10;

/// What is looked for. Each thread has a visitor of its own.
pub trait Visit: Send {
    /// Is it about this host, and not about the root file systems of others below it? Then these are
    /// looked for, and entries in them are told apart by [`Here::in_other_root`].
    const OF_THIS_HOST: bool = false;

    /// Must an entry of this name and type be looked at? Directories always are.
    fn wants(&self, name: &CStr, file_type: RawType) -> bool;

    /// Is this directory gone into?
    fn enters(&self, path: &[u8]) -> bool {
        let _ = path;
        true
    }

    /// The directory at which a walk begins, which is an entry of none that is walked.
    fn start(&mut self, here: &mut Here<'_>, stat: &Statx) -> Result<(), NotRead> {
        let _ = (here, stat);
        Ok(())
    }

    /// An entry that is wanted, and every directory on the same mount.
    fn entry(&mut self, here: &mut Here<'_>, name: &CStr, stat: &Statx) -> Result<(), NotRead>;
}

/// Something of an entry could not be read; its directory counts as unreadable.
#[derive(Debug)]
pub struct NotRead;

/// What the whole walk found.
pub struct Walked<V> {
    pub visitors: Vec<V>,
    pub unreadable: Unreadable,
    /// Sorted.
    pub other_roots: Vec<OtherRoot>,
}

/// Directories that could not be read.
#[derive(Default)]
pub struct Unreadable {
    /// The first of them.
    pub first: BTreeSet<HostPath>,
    pub total: u64,
}

/// A directory to go through.
struct Pending<'a> {
    start: Beginning<'a>,
    /// Below the start, without a slash in front; empty for the start itself.
    relative: Box<[u8]>,
    /// Is it in a root file system of others?
    in_other_root: bool,
    /// Might it be the top of one?
    may_be_top: bool,
}

/// Where a walk begins, or goes on by a handle of its own.
#[derive(Clone)]
enum Beginning<'a> {
    Given(&'a Start),
    OtherRoot(Arc<Start>),
}

impl Deref for Beginning<'_> {
    type Target = Start;

    fn deref(&self) -> &Start {
        match self {
            Self::Given(start) => start,
            Self::OtherRoot(start) => start,
        }
    }
}

struct Shared<'a> {
    is_root: bool,
    threads: usize,
    queue: Mutex<Queue<'a>>,
    other_roots: Mutex<Vec<OtherRoot>>,
    wake: Condvar,
    /// Threads without work, for a look without the lock.
    idle: AtomicUsize,
    entries: AtomicU64,
}

#[derive(Default)]
struct Queue<'a> {
    pending: Vec<Pending<'a>>,
    idle: usize,
    finished: bool,
}

/// Goes through all that lies below the starts. `visitor` is called once in each thread.
pub fn traverse<V: Visit>(
    starts: &[Start],
    is_root: bool,
    visitor: &(dyn Fn() -> V + Sync),
    entries_seen: &(dyn Fn(u64) + Sync),
) -> Walked<V> {
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST_THREADS);
    let shared = Shared {
        is_root,
        threads,
        queue: Mutex::new(Queue {
            pending: starts
                .iter()
                .map(|start| Pending {
                    start: Beginning::Given(start),
                    relative: Box::default(),
                    in_other_root: false,
                    // The tree's own top is none of others.
                    may_be_top: start.path.as_bytes() != b"/",
                })
                .collect(),
            ..Queue::default()
        }),
        other_roots: Mutex::default(),
        wake: Condvar::new(),
        idle: AtomicUsize::new(0),
        entries: AtomicU64::new(0),
    };
    let (visitors, unreadable) = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| Worker::new(&shared, visitor()).run()))
            .collect();
        shared.tell(entries_seen);
        workers
            .into_iter()
            .map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .unzip::<_, _, Vec<_>, Vec<_>>()
    });
    entries_seen(shared.entries.load(Ordering::Relaxed));
    let unreadable = unreadable
        .into_iter()
        .reduce(Unreadable::merge)
        .unwrap_or_default();
    let mut other_roots = shared
        .other_roots
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    other_roots.sort();
    Walked {
        visitors,
        unreadable,
        other_roots,
    }
}

impl<'a> Shared<'a> {
    fn lock(&self) -> MutexGuard<'_, Queue<'a>> {
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
    fn take(&self) -> Option<Pending<'a>> {
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
    fn give(&self, stack: &mut Vec<Pending<'a>>) {
        let half = stack.len() / 2;
        self.lock().pending.extend(stack.drain(..half));
        self.wake.notify_all();
    }

    /// Where to go on in this directory when it is the top of a root file system of others.
    fn other_root(&self, directory: &OwnedFd, pending: &Pending<'_>) -> Option<Start> {
        let path = pending.start.path.join(&pending.relative);
        let path = path.unwrap_or_else(|_| pending.start.path.clone());
        let found = roots::other_root(directory.as_fd(), &path)?;
        let stat = look(directory.as_fd(), c"", AtFlags::EMPTY_PATH).ok()?;
        let mut known = self
            .other_roots
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_OTHER_ROOTS {
            return None;
        }
        let start = Start {
            directory: directory.try_clone().ok()?,
            path,
            device: (stat.stx_dev_major, stat.stx_dev_minor),
        };
        known.push(found);
        Some(start)
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

struct Worker<'a, 'b, V> {
    shared: &'a Shared<'b>,
    stack: Vec<Pending<'b>>,
    visitor: V,
    unreadable: Unreadable,
}

/// The directory that is gone through now.
pub struct Here<'a> {
    pub start: &'a Start,
    /// Below the start, without a slash in front.
    pub relative: &'a [u8],
    pub fd: BorrowedFd<'a>,
    /// Is it this thread's working directory?
    pub entered: bool,
    /// Is it in a root file system of others, and was all that lies in it put there by root?
    pub in_other_root: bool,
}

impl Here<'_> {
    /// The path of an entry inside the tree.
    pub fn path(&self, name: &[u8]) -> Vec<u8> {
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

impl<'a, 'b, V: Visit> Worker<'a, 'b, V> {
    fn new(shared: &'a Shared<'b>, visitor: V) -> Self {
        Self {
            shared,
            stack: Vec::new(),
            visitor,
            unreadable: Unreadable::default(),
        }
    }

    fn run(mut self) -> (V, Unreadable) {
        let _finish = FinishOnPanic(self.shared);
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        while let Some(pending) = self.stack.pop().or_else(|| self.shared.take()) {
            self.directory(&pending, &mut buffer);
            if self.stack.len() > 1 && self.shared.idle.load(Ordering::Relaxed) > 0 {
                self.shared.give(&mut self.stack);
            }
        }
        (self.visitor, self.unreadable)
    }

    fn directory(&mut self, pending: &Pending<'b>, buffer: &mut [MaybeUninit<u8>]) {
        let mut start = pending.start.clone();
        let directory = match open(&start, &pending.relative, self.shared.is_root) {
            Ok(directory) => directory,
            // It has vanished, or something else has taken its place, or it is another mount.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return,
            Err(_) => {
                self.unreadable.add(&start, &pending.relative);
                return;
            }
        };
        let mut relative = &*pending.relative;
        let mut in_other_root = pending.in_other_root && roots::only_root_writes(directory.as_fd());
        if V::OF_THIS_HOST
            && pending.may_be_top
            && !pending.in_other_root
            && let Some(other) = self.shared.other_root(&directory, pending)
        {
            start = Beginning::OtherRoot(Arc::new(other));
            relative = b"";
            in_other_root = true;
        }
        let mut here = Here {
            start: &start,
            relative,
            fd: directory.as_fd(),
            entered: false,
            in_other_root,
        };
        if pending.relative.is_empty()
            && let Ok(stat) = look(here.fd, c"", AtFlags::EMPTY_PATH)
            && self.visitor.start(&mut here, &stat).is_err()
        {
            self.unreadable.add(&start, relative);
        }
        let mut entries = RawDir::new(&directory, buffer);
        let mut count = 0;
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                // It was removed while it was open.
                Err(Errno::NOENT) => break,
                Err(_) => {
                    self.unreadable.add(&start, relative);
                    break;
                }
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            count += 1;
            // Which mount a directory is on has to be known.
            let wanted = matches!(entry.file_type(), RawType::Directory | RawType::Unknown)
                || self.visitor.wants(name, entry.file_type());
            if wanted {
                self.entry(&start, &mut here, name);
            }
        }
        self.shared.entries.fetch_add(count, Ordering::Relaxed);
    }

    fn entry(&mut self, start: &Beginning<'b>, here: &mut Here<'_>, name: &CStr) {
        let stat = match look(here.fd, name, AtFlags::empty()) {
            Ok(stat) => stat,
            // It has vanished.
            Err(Errno::NOENT) => return,
            Err(_) => {
                self.unreadable.add(here.start, here.relative);
                return;
            }
        };
        if raw_type(&stat) == RawType::Directory {
            // Another mount is walked on its own, or not at all.
            let elsewhere = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
                || !stat
                    .stx_attributes_mask
                    .contains(StatxAttributes::MOUNT_ROOT)
                    && (stat.stx_dev_major, stat.stx_dev_minor) != here.start.device;
            if elsewhere {
                return;
            }
            self.descend(start, here, name.to_bytes(), roots::may_be_top(&stat));
        }
        if self.visitor.entry(here, name, &stat).is_err() {
            self.unreadable.add(here.start, here.relative);
        }
    }

    fn descend(&mut self, start: &Beginning<'b>, here: &Here<'_>, name: &[u8], may_be_top: bool) {
        let path = here.path(name);
        if is_pruned(&path) || !self.visitor.enters(&path) {
            return;
        }
        // Too deep to be named in one system call, or in a report.
        if HostPath::from_bytes(&path).is_err() {
            self.unreadable.add(here.start, here.relative);
            return;
        }
        let mut relative = Vec::with_capacity(here.relative.len() + 1 + name.len());
        if !here.relative.is_empty() {
            relative.extend_from_slice(here.relative);
            relative.push(b'/');
        }
        relative.extend_from_slice(name);
        self.stack.push(Pending {
            start: start.clone(),
            relative: relative.into(),
            in_other_root: here.in_other_root,
            may_be_top,
        });
    }
}

impl Unreadable {
    fn add(&mut self, start: &Start, relative: &[u8]) {
        self.total += 1;
        if let Ok(path) = start.path.join(relative) {
            self.first.insert(path);
            if self.first.len() > MOST_UNREADABLE {
                self.first.pop_last();
            }
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.total += other.total;
        self.first.extend(other.first);
        while self.first.len() > MOST_UNREADABLE {
            self.first.pop_last();
        }
        self
    }
}

/// What an entry is, by its mode.
pub fn raw_type(stat: &Statx) -> RawType {
    RawType::from_raw_mode(u32::from(stat.stx_mode))
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
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(start.directory.as_fd(), relative, flags),
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
        | StatxFlags::INO
        | StatxFlags::SIZE
        | StatxFlags::MTIME
        | StatxFlags::CTIME;
    fs::statx(directory, name, flags, mask)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::thread;

    use model::HostPath;
    use rustix::fs::{CWD, Mode, OFlags, openat};

    use super::super::starts::{Start, step_by_step};
    use super::open;

    /// Has the kernel know no `openat2` for this thread, as an older one.
    #[expect(unsafe_code, reason = "no library has seccomp(2)")]
    fn forget_openat2() -> bool {
        let step = |code: u32, jt, jf, k| libc::sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        };
        let number = libc::SYS_openat2 as u32;
        let mut steps = [
            // The number of the call.
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
            step(
                libc::BPF_RET | libc::BPF_K,
                0,
                0,
                libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
            ),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog {
            len: steps.len() as u16,
            filter: steps.as_mut_ptr(),
        };
        rustix::thread::set_no_new_privs(true).is_ok()
            // SAFETY: the program outlives the call, and holds for this thread alone.
            && unsafe {
                libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                )
            } == 0
    }

    #[test]
    fn without_openat2_no_link_is_followed_either() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("a/b")).expect("directories");
        std::os::unix::fs::symlink("a", at("link")).expect("a link");
        std::os::unix::fs::symlink("b", at("a/link")).expect("a link");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, folder.path(), flags, Mode::empty()).expect("it is there");
        let start = Start {
            directory,
            path: HostPath::literal("/"),
            device: (0, 0),
        };
        let check = || {
            for good in ["", "a", "a/b"] {
                assert!(open(&start, good.as_bytes(), false).is_ok(), "{good}");
            }
            for bad in ["link", "link/b", "a/link"] {
                assert!(open(&start, bad.as_bytes(), false).is_err(), "{bad}");
                let stepped = step_by_step(start.directory.as_fd(), bad.as_bytes(), flags);
                assert!(stepped.is_err(), "{bad}");
            }
        };
        check();
        thread::scope(|scope| {
            let without = scope.spawn(|| {
                assert!(forget_openat2(), "seccomp is there");
                check();
            });
            without.join().expect("it holds");
        });
    }
}
