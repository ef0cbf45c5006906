//! The locks of other programs that are held while something is put back: dpkg's, and that of the
//! account files. What was decided by what lay there is then written to what lies there.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::HostPath;
use rustix::fs::{Mode as RawMode, OFlags};
use rustix::io::Errno;

use super::package::{LOCKS, lock_holder, named_process};
use super::place::{LastLink, Root};
use super::{ActError, Context};

/// The file that lckpwdf(3) locks.
pub(super) const ACCOUNTS: &str = "/etc/.pwd.lock";
/// lckpwdf(3) waits as long, and so does whoever asked for an undo.
pub const LOCK_WAIT: Duration = Duration::from_secs(15);
/// The package manager that a killed upgrade left at work ends by itself within this.
pub const LEFT_AT_WORK: Duration = Duration::from_mins(15);
const TRY_EVERY: Duration = Duration::from_millis(100);

/// What is held now.
#[derive(Debug, Default)]
pub struct Held {
    dpkg: Mutex<Option<DpkgLock>>,
    accounts: Mutex<Option<AccountLock>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context<'_> {
    /// From here on nobody else's package manager begins. Before the one that is at work has ended,
    /// nothing of what it writes can be put back.
    pub(crate) fn hold_dpkg(&self, wait: Duration) -> Result<(), ActError> {
        let mut held = locked(&self.held.dpkg);
        if held.is_none() {
            *held = Some(DpkgLock::take(wait)?);
        }
        Ok(())
    }

    /// From here on nobody else's tool writes the account files.
    pub(crate) fn hold_accounts(&self) -> Result<(), ActError> {
        let mut held = locked(&self.held.accounts);
        if held.is_none() {
            *held = AccountLock::take(self.root, false)?;
        }
        Ok(())
    }

    /// Units that are started may want it: those with a user of their own (systemd.exec(5),
    /// `DynamicUser=`).
    pub(crate) fn let_go_of_accounts(&self) {
        *locked(&self.held.accounts) = None;
    }

    /// Nothing is held any more.
    pub(crate) fn let_go(&self) {
        self.let_go_of_accounts();
        *locked(&self.held.dpkg) = None;
    }
}

/// dpkg's own locks.
#[derive(Debug)]
struct DpkgLock {
    _files: Vec<File>,
}

impl DpkgLock {
    fn take(wait: Duration) -> Result<Self, ActError> {
        let until = Instant::now() + wait;
        let mut files = Vec::new();
        for path in LOCKS {
            let file = match OpenOptions::new().write(true).open(path) {
                Ok(file) => file,
                // No dpkg is at work where there is none.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(ActError::program(format!("open `{path}`"), error));
                }
            };
            let is_ours = locks_until(&file, until)
                .map_err(|error| ActError::program(format!("lock `{path}`"), error))?;
            if !is_ours {
                let holder = match lock_holder() {
                    Some(holder) => format!("{} holds dpkg's lock", named_process(holder)),
                    None => "somebody holds dpkg's lock".to_owned(),
                };
                return Err(ActError::program("put back what packages wrote", holder));
            }
            files.push(file);
        }
        Ok(Self { _files: files })
    }
}

/// The lock that the system's own account tools take.
#[derive(Debug)]
pub(super) struct AccountLock {
    _file: OwnedFd,
}

impl AccountLock {
    /// None where there is no such file and none is to be made.
    pub(super) fn take(root: &Root, make: bool) -> Result<Option<Self>, ActError> {
        let place = root.find(&HostPath::literal(ACCOUNTS), LastLink::Itself)?;
        let mut flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        flags.set(OFlags::CREATE, make);
        let mode = RawMode::from_raw_mode(0o600);
        let file = match rustix::fs::openat(&place.dir, &*place.name, flags, mode) {
            Ok(file) => file,
            Err(Errno::NOENT) if !make => return Ok(None),
            Err(error) => return Err(place.fail("open")(error)),
        };
        match locks_until(&file, Instant::now() + LOCK_WAIT) {
            Ok(true) => Ok(Some(Self { _file: file })),
            Ok(false) => Err(ActError::program(
                "change the accounts",
                "another program holds the account files (/etc/.pwd.lock)",
            )),
            Err(error) => Err(ActError::program(format!("lock `{ACCOUNTS}`"), error)),
        }
    }
}

/// False when somebody else had it all the time.
fn locks_until(file: &impl AsFd, until: Instant) -> std::io::Result<bool> {
    while !try_lock(file)? {
        if Instant::now() >= until {
            return Ok(false);
        }
        std::thread::sleep(TRY_EVERY);
    }
    Ok(true)
}

/// A lock of the open file, not of the process: another descriptor of ours that is closed does not
/// give it up (fcntl(2), open file description locks). False when somebody else has it.
#[expect(unsafe_code, reason = "no library has F_OFD_SETLK")]
fn try_lock(file: &impl AsFd) -> std::io::Result<bool> {
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let descriptor = file.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open, and `whole` lives longer than the call, which only reads it.
    if unsafe { libc::fcntl(descriptor, libc::F_OFD_SETLK, &raw const whole) } == 0 {
        return Ok(true);
    }
    let error = std::io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_file_has_locked_another_does_not_get() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let open = || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            options.open(&path).expect("the file")
        };
        let (one, other) = (open(), open());
        assert!(try_lock(&one).expect("the first"));
        assert!(!try_lock(&other).expect("the second"));
        // A third that is opened and closed gives up nothing.
        drop(open());
        assert!(!locks_until(&other, Instant::now()).expect("the second"));
        drop(one);
        assert!(try_lock(&other).expect("the second, at last"));
    }
}
