//! What a program that is only asked may touch: nothing. Between fork and exec, the child
//! gets mount, network and IPC namespaces of its own, makes every mount read-only, and
//! gives up all capabilities but those that its question needs.
//!
//! It is no defence against a hostile program: one that runs as root's user id can still
//! talk to root's sockets, unless it is kept from sockets at all (`no_sockets`), as checks of a
//! policy are. It keeps honest programs from their side effects.

use std::ffi::{CStr, CString};
use std::io;
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use rustix::process::{Gid, Resource, Rlimit, Signal, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

/// Where the throwaway directories live until the overlays hold on to them.
const WORKSHOP: &CStr = c"/tmp";

/// Devices that programs expect to work; every other device node is out of reach.
pub(crate) const DEVICES: [&CStr; 6] = [
    c"/dev/null",
    c"/dev/zero",
    c"/dev/full",
    c"/dev/random",
    c"/dev/urandom",
    c"/dev/tty",
];

// linux/mount.h
const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NOSUID: u64 = 2;
const MOUNT_ATTR_NODEV: u64 = 4;

/// How much of the host one program sees.
#[derive(Debug)]
pub struct Sandbox {
    /// Capabilities that stay.
    pub keep: CapabilitySet,
    /// Directories that seem writable: what is written there goes nowhere.
    pub scratch: Vec<&'static CStr>,
    /// A directory that must exist, below one of `scratch`.
    pub make_directory: Option<&'static CStr>,
    /// Mounts of the caller's own namespace that stay writable, since the caller has made them
    /// for this: what is written there goes nowhere either.
    pub writable: Vec<PathBuf>,
    /// Directories that stay writable, whatever lies around them.
    pub own: Vec<PathBuf>,
    /// It may bind addresses that this host has, in a network that has none.
    pub any_address: bool,
    /// It stays in the host's network.
    pub network: bool,
    /// The account and group that root becomes first; all capabilities end with that.
    pub account: Option<(Uid, Gid)>,
    /// The other groups of that account.
    pub groups: Vec<Gid>,
    /// It can't make a socket to talk to other programs with: root's programs obey root's user id,
    /// whatever capabilities it has.
    pub no_sockets: bool,
    /// Run all the same where namespaces are refused: only for a program that is known to
    /// write nothing, run by an ordinary user.
    pub optional: bool,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            keep: CapabilitySet::empty(),
            scratch: Vec::new(),
            make_directory: None,
            writable: Vec::new(),
            own: Vec::new(),
            any_address: false,
            network: false,
            account: None,
            groups: Vec::new(),
            no_sockets: false,
            optional: false,
        }
    }
}

/// Everything that entering needs, made before the fork: between fork and exec, memory may
/// not be allocated, since another thread may have held the allocator's lock.
pub struct Prepared {
    sandbox: Sandbox,
    root: bool,
    overlays: Vec<Overlay>,
    writable: Vec<CString>,
    own: Vec<CString>,
    uid_map: CString,
    gid_map: CString,
}

struct Overlay {
    at: &'static CStr,
    upper: CString,
    work: CString,
    options: CString,
}

impl Sandbox {
    pub fn prepare(self) -> Prepared {
        let text = |text: String| CString::new(text).expect("made of literals and numbers");
        let overlays = self
            .scratch
            .iter()
            .enumerate()
            .map(|(number, at)| {
                let place = WORKSHOP.to_string_lossy();
                let (upper, work) = (format!("{place}/u{number}"), format!("{place}/w{number}"));
                let lower = at.to_string_lossy();
                Overlay {
                    at,
                    options: text(format!("lowerdir={lower},upperdir={upper},workdir={work}")),
                    upper: text(upper),
                    work: text(work),
                }
            })
            .collect();
        // A path with a zero byte is none that is mounted.
        let paths = |paths: &[PathBuf]| {
            let paths = paths.iter().map(|path| path.as_os_str().as_encoded_bytes());
            paths.filter_map(|bytes| CString::new(bytes).ok()).collect()
        };
        let (writable, own) = (paths(&self.writable), paths(&self.own));
        let uid = rustix::process::geteuid();
        let gid = rustix::process::getegid();
        Prepared {
            sandbox: self,
            root: uid.is_root(),
            overlays,
            writable,
            own,
            uid_map: text(format!("{0} {0} 1", uid.as_raw())),
            gid_map: text(format!("{0} {0} 1", gid.as_raw())),
        }
    }
}

impl Prepared {
    /// Enters the sandbox. For a child between fork and exec: makes system calls and does
    /// nothing else, so it is async-signal-safe.
    ///
    /// # Errors
    /// When the kernel, or a container around us, refuses a step.
    pub fn enter(&self) -> io::Result<()> {
        // Nobody is left to read the answer when we die.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        close_others_on_exec();
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        rustix::process::setrlimit(Resource::Core, none)?;
        match self.namespaces() {
            Ok(()) => {}
            Err(_) if self.sandbox.optional => {}
            Err(errno) => return Err(errno.into()),
        }
        rustix::thread::set_no_new_privs(true)?;
        match self.sandbox.account.filter(|_| self.root) {
            Some((uid, gid)) => become_account(uid, gid, &self.sandbox.groups)?,
            None => self.drop_capabilities()?,
        }
        if self.sandbox.no_sockets {
            super::sockets::forbid()?;
        }
        Ok(())
    }

    fn namespaces(&self) -> Result<(), Errno> {
        let mut flags = UnshareFlags::NEWNS | UnshareFlags::NEWIPC;
        if !self.sandbox.network {
            flags |= UnshareFlags::NEWNET;
        }
        if !self.root {
            flags |= UnshareFlags::NEWUSER;
        }
        unshare(flags)?;
        if !self.root {
            // An ordinary user may map only itself, and only after giving up its groups' say
            // (user_namespaces(7)).
            write_own(c"/proc/self/setgroups", c"deny")?;
            write_own(c"/proc/self/uid_map", &self.uid_map)?;
            write_own(c"/proc/self/gid_map", &self.gid_map)?;
        }
        mount_change(
            c"/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )?;
        for path in &self.own {
            mount_bind(path, path)?;
        }
        if self.sandbox.any_address {
            self.allow_any_address();
        }
        if self.root {
            let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
            mount_setattr(c"/", libc::AT_RECURSIVE, attributes, 0)?;
            for device in DEVICES {
                // A host may lack some; what can't be given back stays out of reach.
                if mount_bind(device, device).is_ok() {
                    let _ = mount_setattr(device, 0, 0, MOUNT_ATTR_NODEV);
                }
            }
        } else {
            mount_setattr(c"/", libc::AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0)?;
        }
        for path in self.writable.iter().chain(&self.own) {
            mount_setattr(path, 0, 0, MOUNT_ATTR_RDONLY)?;
        }
        self.mount_overlays()
    }

    /// In the network namespace just made: no interface is there, and programs bind what they
    /// will serve (ip-sysctl.rst, `ip_nonlocal_bind`).
    fn allow_any_address(&self) {
        const SWITCHES: [&CStr; 2] = [
            c"/proc/sys/net/ipv4/ip_nonlocal_bind",
            c"/proc/sys/net/ipv6/ip_nonlocal_bind",
        ];
        let written = SWITCHES.map(|switch| write_own(switch, c"1"));
        if written.iter().all(Result::is_ok) {
            return;
        }
        // A container may have made it read-only; another one is ours alone. Where that is
        // refused too, or there is no IPv6, only what binds a single address complains.
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        if mount(c"proc", c"/proc", c"proc", flags, None).is_ok() {
            for switch in SWITCHES {
                let _ = write_own(switch, c"1");
            }
            let _ = unmount(c"/proc", UnmountFlags::DETACH);
        }
    }

    fn mount_overlays(&self) -> Result<(), Errno> {
        if self.overlays.is_empty() {
            return Ok(());
        }
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount(c"tmpfs", WORKSHOP, c"tmpfs", flags, c"size=16m,mode=0700")?;
        for overlay in &self.overlays {
            let mode = Mode::from_raw_mode(0o755);
            rustix::fs::mkdirat(CWD, &*overlay.upper, mode)?;
            rustix::fs::mkdirat(CWD, &*overlay.work, mode)?;
            mount(c"overlay", overlay.at, c"overlay", flags, &*overlay.options)?;
        }
        if let Some(directory) = self.sandbox.make_directory {
            rustix::fs::mkdirat(CWD, directory, Mode::from_raw_mode(0o755))?;
        }
        // The overlays hold on to it.
        unmount(WORKSHOP, UnmountFlags::DETACH)
    }

    fn drop_capabilities(&self) -> Result<(), Errno> {
        match self.root {
            true => keep_only(self.sandbox.keep),
            false => set_own(CapabilitySet::empty()),
        }
    }
}

/// Becomes another account, for good. For root.
pub(crate) fn become_account(uid: Uid, gid: Gid, groups: &[Gid]) -> Result<(), Errno> {
    keep_only(CapabilitySet::SETUID | CapabilitySet::SETGID)?;
    rustix::thread::set_thread_groups(groups)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    // "If all of the real, effective and saved user IDs … are changed to nonzero values, all
    // capabilities are cleared" (capabilities(7)).
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    // It ends with a change of the account (prctl(2), PR_SET_PDEATHSIG).
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
}

/// Gives up every capability but these, for good. For root.
pub(crate) fn keep_only(keep: CapabilitySet) -> Result<(), Errno> {
    // Root's programs get what the bounding set has (capabilities(7)).
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if keep.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // Beyond the last one that this kernel has.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    set_own(keep)
}

fn set_own(keep: CapabilitySet) -> Result<(), Errno> {
    // A container may not have all of those itself.
    let have = rustix::thread::capabilities(None)?.permitted;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: keep & have,
            permitted: keep & have,
            inheritable: CapabilitySet::empty(),
        },
    )
}

/// Makes one mount read-only.
pub(crate) fn make_read_only(path: &CStr) -> Result<(), Errno> {
    mount_setattr(path, 0, MOUNT_ATTR_RDONLY, 0)
}

/// Makes a mount and all below it read-only.
pub(crate) fn make_read_only_below(path: &CStr) -> Result<(), Errno> {
    mount_setattr(path, libc::AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0)
}

fn write_own(path: &CStr, text: &CStr) -> Result<(), Errno> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.to_bytes()).map(drop)
}

#[expect(unsafe_code, reason = "rustix has no safe form of unshare(2)")]
pub(crate) fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: the danger is in `UnshareFlags::FILES`, which no caller here uses.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Sets and clears attributes of a mount (mount_setattr(2), Linux 5.12), which neither
/// rustix nor libc wraps yet.
#[expect(unsafe_code, reason = "a system call without a wrapper")]
fn mount_setattr(path: &CStr, flags: i32, set: u64, clear: u64) -> Result<(), Errno> {
    #[repr(C)]
    struct MountAttributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let attributes = MountAttributes {
        set,
        clear,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: `path` is a C string, and the kernel reads as many bytes of `attributes` as
    // it is told, which is its size; both live until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        let errno = io::Error::last_os_error().raw_os_error();
        Err(Errno::from_raw_os_error(errno.unwrap_or(libc::EIO)))
    }
}

/// No file that anybody left open reaches the program.
#[expect(unsafe_code, reason = "a system call without a wrapper")]
pub(crate) fn close_others_on_exec() {
    // linux/close_range.h
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: the call takes no pointers, and only marks descriptors; nothing is closed
    // while this code runs. Kernels before 5.11 refuse it, and ours are marked anyway.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, CLOSE_RANGE_CLOEXEC) };
}
