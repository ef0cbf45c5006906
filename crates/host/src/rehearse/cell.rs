//! Where a rehearsal's programs run: on a copy of the host, as process 1 of their own, without
//! network, and without the capabilities that reach beyond files and processes. Entered between
//! fork and exec.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, UnshareFlags};

use crate::tool::sandbox::{close_others_on_exec, keep_only, make_read_only, unshare};

/// What maintainer scripts may do: own, read and write files, become other accounts, end their
/// own processes. Administration, modules, raw devices, boot, tracing, clocks and the network's
/// configuration are not among it (capabilities(7)), nor is what opens a file by its number and
/// not by its name: through any mount of the host's own that leads to all that lies beside it
/// (open_by_handle_at(2)).
const KEEP: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::SYS_CHROOT);

/// Parts of `/proc` through which the kernel itself could be changed.
const KERNEL: [&CStr; 5] = [
    c"/proc/sys",
    c"/proc/sysrq-trigger",
    c"/proc/irq",
    c"/proc/bus",
    c"/proc/fs",
];

/// How much of the machine the programs may take.
pub(super) struct Limits {
    /// Of one process.
    pub(super) memory_bytes: u64,
    pub(super) processes: u64,
    /// Of one file.
    pub(super) file_bytes: u64,
}

/// The copy, and what its programs may take.
pub(super) struct Cell {
    root: CString,
    memory: Rlimit,
    processes: Rlimit,
    file: Rlimit,
    /// The list of a control group's processes.
    group: Option<OwnedFd>,
}

impl Cell {
    /// `root` is a mount point of the calling thread's namespace.
    pub(super) fn new(root: CString, limits: &Limits, group: Option<OwnedFd>) -> Self {
        let limit = |most| Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        Self {
            root,
            memory: limit(limits.memory_bytes),
            processes: limit(limits.processes),
            file: limit(limits.file_bytes),
            group,
        }
    }

    /// Enters it. For a child between fork and exec: makes system calls and does nothing else,
    /// so it is async-signal-safe. What returns is process 1 of the cell; the process that was
    /// forked first waits for it and ends as it does.
    ///
    /// # Errors
    /// When the kernel, or a container around us, refuses a step.
    pub(super) fn enter(&self) -> io::Result<()> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if let Some(group) = &self.group {
            rustix::io::write(group, b"0")?;
        }
        // Its own mounts as well: a new root would be the new root of everybody who shares
        // them (pivot_root(2)).
        unshare(
            UnshareFlags::NEWNS
                | UnshareFlags::NEWPID
                | UnshareFlags::NEWNET
                | UnshareFlags::NEWIPC
                | UnshareFlags::NEWUTS
                | UnshareFlags::NEWCGROUP,
        )?;
        become_first()?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        self.leave_the_host()?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount(c"proc", c"/proc", c"proc", flags, None)?;
        for path in KERNEL {
            match mount_bind(path, path).and_then(|()| make_read_only(path)) {
                // Not every kernel has all of them.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        rustix::process::setrlimit(Resource::Core, none)?;
        rustix::process::setrlimit(Resource::Data, self.memory)?;
        rustix::process::setrlimit(Resource::Nproc, self.processes)?;
        rustix::process::setrlimit(Resource::Fsize, self.file)?;
        close_others_on_exec();
        rustix::thread::set_no_new_privs(true)?;
        keep_only(KEEP)?;
        Ok(())
    }

    /// Nothing of the old tree stays within reach, not even for who can chroot.
    fn leave_the_host(&self) -> Result<(), Errno> {
        rustix::process::chdir(&*self.root)?;
        rustix::process::pivot_root(c".", c".")?;
        unmount(c".", UnmountFlags::DETACH)?;
        rustix::process::chdir(c"/")
    }
}

/// Forks once more: the child is the first process of the new namespace, and returns.
#[expect(unsafe_code, reason = "fork(2) between fork and exec")]
fn become_first() -> Result<(), Errno> {
    // SAFETY: this process has one thread, the one that was forked; only async-signal-safe
    // functions are called here and in what follows.
    match unsafe { libc::fork() } {
        0 => Ok(()),
        child if child > 0 => {
            let mut status = 0;
            // SAFETY: the calls take no pointers but that to `status`, which lives on this
            // stack. Descriptors are closed since whoever started us waits for the end of a
            // pipe that only an exec or an end closes.
            unsafe {
                libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32);
                while libc::waitpid(child, &raw mut status, 0) < 0 {
                    if io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
                        libc::_exit(126);
                    }
                }
                // As a shell does it.
                libc::_exit(match libc::WIFEXITED(status) {
                    true => libc::WEXITSTATUS(status),
                    false => 128 + libc::WTERMSIG(status),
                })
            }
        }
        _ => {
            let errno = io::Error::last_os_error().raw_os_error();
            Err(Errno::from_raw_os_error(errno.unwrap_or(libc::EIO)))
        }
    }
}
