//! Which processes an account has, as the kernel tells it (proc_pid_status(5)). A process gives itself
//! its name, which may be any bytes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::packages::users::parse_unit;

/// What is read of a process's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Harmless to show.
    pub name: String,
    /// The real one, the effective, the saved and the file system's.
    pub uids: Vec<u32>,
}

/// A process that runs as one of the accounts that were asked about.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) uid: u32,
}

impl Running {
    /// Does it belong to one of these units? Not where that can't be told.
    pub(crate) fn is_of(&self, units: &BTreeSet<String>) -> bool {
        is_of(self.id, units)
    }
}

fn is_of(id: u32, units: &BTreeSet<String>) -> bool {
    let groups = fs::read(folder(id).join("cgroup")).unwrap_or_default();
    is_of_one(&groups, units)
}

/// By its control groups (proc_pid_cgroup(5)).
fn is_of_one(groups: &[u8], units: &BTreeSet<String>) -> bool {
    parse_unit(groups).is_some_and(|unit| units.contains(&unit))
}

/// The processes that run as these.
///
/// # Errors
/// Where one of all can't be looked at: it may be one of theirs.
pub(crate) fn of_accounts(users: &BTreeSet<u32>) -> io::Result<Vec<Running>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let id = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(id) = id else { continue };
        let Some(Status { name, uids }) = status(id)? else {
            continue;
        };
        if let Some(uid) = uids.into_iter().find(|uid| users.contains(uid)) {
            found.push(Running { id, name, uid });
        }
    }
    Ok(found)
}

/// As whom units run, and what they have open to write to.
#[derive(Clone, Debug, Default)]
pub(crate) struct OfUnits {
    pub(crate) users: BTreeSet<u32>,
    pub(crate) writes: BTreeSet<PathBuf>,
}

/// The processes in the control groups of these units. What can't be looked at is in none.
pub(crate) fn of_units(units: &BTreeSet<String>) -> OfUnits {
    let mut found = OfUnits::default();
    if units.is_empty() {
        return found;
    }
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if !is_of(id, units) {
            continue;
        }
        if let Ok(Some(status)) = status(id) {
            found.users.extend(status.uids);
        }
        found.writes.extend(open_to_write(id));
    }
    found
}

/// What a process has open to write to. What can't be looked at is not among it.
fn open_to_write(id: u32) -> impl Iterator<Item = PathBuf> {
    let open = fs::read_dir(folder(id).join("fd")).into_iter().flatten();
    open.flatten().filter_map(move |entry| {
        let path = fs::read_link(entry.path()).ok()?;
        let flags = descriptor_flags(id, &entry.file_name())?;
        (flags & WRITES != 0).then_some(path)
    })
}

/// `O_WRONLY` and `O_RDWR` (open(2)), the same on every architecture.
const WRITES: u32 = 0o1 | 0o2;

/// The flags with which one of a process's descriptors was opened.
pub(crate) fn descriptor_flags(id: u32, descriptor: &OsStr) -> Option<u32> {
    let bytes = fs::read(folder(id).join("fdinfo").join(descriptor)).ok()?;
    parse_flags(&bytes)
}

/// The line `flags:`, in octal digits (proc_pid_fdinfo(5)).
fn parse_flags(bytes: &[u8]) -> Option<u32> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let flags = lines.find_map(|line| line.strip_prefix(b"flags:"))?;
    u32::from_str_radix(str::from_utf8(flags).ok()?.trim(), 8).ok()
}

/// None: it has ended.
pub(crate) fn status(id: u32) -> io::Result<Option<Status>> {
    let bytes = match fs::read(folder(id).join("status")) {
        Ok(bytes) => bytes,
        Err(error) if has_ended(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let status = parse_status(&bytes).ok_or_else(|| {
        let why = format!("the status of process {id} is not understood");
        io::Error::new(io::ErrorKind::InvalidData, why)
    })?;
    Ok(Some(status))
}

/// Was this said since the process has come to its end?
pub(crate) fn has_ended(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::SRCH)
    )
}

fn folder(id: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{id}"))
}

/// The lines `Name:` and `Uid:`. None without these.
pub fn parse_status(bytes: &[u8]) -> Option<Status> {
    let line = |name: &[u8]| {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        lines.find_map(|line| line.strip_prefix(name))
    };
    let uids = str::from_utf8(line(b"Uid:")?).ok()?;
    let uids: Result<Vec<u32>, _> = uids.split_whitespace().map(str::parse).collect();
    Some(Status {
        name: model::printable(line(b"Name:")?.trim_ascii()),
        uids: uids.ok().filter(|uids| !uids.is_empty())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_whatever_it_calls_itself() {
        let status = parse_status(
            b"Name:\t\xff\xfeevil\nUmask:\t0022\nState:\tS (sleeping)\nUid:\t33\t33\t0\t33\nGid:\t33\n",
        );
        let status = status.expect("a status");
        assert_eq!(status.uids, [33, 33, 0, 33]);
        assert!(status.name.ends_with("evil"), "{}", status.name);
        for none in [
            &b""[..],
            b"Name:\tx\n",
            b"Name:\tx\nUid:\t\n",
            b"Name:\tx\nUid:\ta\n",
        ] {
            assert_eq!(parse_status(none), None);
        }
    }

    #[test]
    fn the_process_that_asks_is_of_its_account() {
        let uid = rustix::process::geteuid().as_raw();
        let own = std::process::id();
        let running = of_accounts(&BTreeSet::from([uid])).expect("a look");
        assert!(running.iter().any(|one| one.id == own && one.uid == uid));
        // The highest number is nobody's (chown(2)).
        let none = of_accounts(&BTreeSet::from([u32::MAX])).expect("a look");
        assert!(none.is_empty(), "{none:?}");
        assert_eq!(status(u32::MAX - 1).expect("a look"), None);
    }

    #[test]
    fn a_process_is_of_the_unit_that_systemd_of_the_system_knows() {
        let units = BTreeSet::from(["nginx.service".to_owned()]);
        for (groups, wanted) in [
            ("0::/system.slice/nginx.service\n", true),
            ("0::/system.slice/nginx.service/worker\n", true),
            ("0::/system.slice/nginx.service.d\n", false),
            // Anybody's own, and one in a container.
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service\n",
                false,
            ),
            (
                "0::/user.slice/user-1000.slice/session-4.scope/nginx.service\n",
                false,
            ),
            (
                "0::/machine.slice/box.scope/system.slice/nginx.service\n",
                false,
            ),
            (
                "8:pids:/nginx.service\n0::/system.slice/ssh.service\n",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(is_of_one(groups.as_bytes(), &units), wanted, "{groups}");
        }
    }

    #[test]
    fn what_is_read_is_not_written() {
        let name = format!("steadfast-test-open-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let (read, written) = (folder.join("read"), folder.join("written"));
        fs::write(&read, "x").expect("a file");
        let reads = fs::File::open(&read).expect("it is there");
        let writes = fs::File::create(&written).expect("a file");
        let open: BTreeSet<PathBuf> = open_to_write(std::process::id()).collect();
        drop((reads, writes));
        fs::remove_dir_all(&folder).expect("it is ours");
        assert!(open.contains(&written), "{open:?}");
        assert!(!open.contains(&read), "{open:?}");
    }

    #[test]
    fn the_flags_of_a_descriptor() {
        let flags = |text: &str| parse_flags(text.as_bytes());
        assert_eq!(
            flags("pos:\t0\nflags:\t0102001\nmnt_id:\t9\n"),
            Some(0o102_001)
        );
        for none in ["", "pos:\t0\n", "flags:\t9\n", "flags:\n"] {
            assert_eq!(flags(none), None, "{none:?}");
        }
    }
}
