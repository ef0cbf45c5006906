//! Which processes an account has, as the kernel tells it (proc_pid_status(5)). A process gives itself
//! its name, which may be any bytes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

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
    /// Its control groups (proc_pid_cgroup(5)); none where they can't be read.
    pub(crate) fn cgroups(&self) -> Option<String> {
        let bytes = fs::read(folder(self.id).join("cgroup")).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
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

/// As whom units run, and what they hold open.
#[derive(Clone, Debug, Default)]
pub(crate) struct OfUnits {
    pub(crate) users: BTreeSet<u32>,
    pub(crate) open: BTreeSet<PathBuf>,
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
        let groups = fs::read(folder(id).join("cgroup")).unwrap_or_default();
        let groups = String::from_utf8_lossy(&groups);
        let mut of = groups.lines().flat_map(|line| line.split('/'));
        if !of.any(|unit| units.contains(unit)) {
            continue;
        }
        if let Ok(Some(status)) = status(id) {
            found.users.extend(status.uids);
        }
        let open = fs::read_dir(folder(id).join("fd")).into_iter().flatten();
        let leads = |entry: io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
        found.open.extend(open.filter_map(leads));
    }
    found
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
}
