//! From which login a command was called, and since when that login lasts. A login that is
//! older than a change shows nothing about it: it was let in by what was there before.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::processes;

/// Programs that let people in, and stay above what they do.
const LOGINS: [&str; 4] = [
    "/usr/sbin/sshd",
    "/usr/lib/openssh/sshd-session",
    "/usr/bin/login",
    "/bin/login",
];

/// Nested shells, sudo, su and tmux make a few steps; more is a loop.
const MOST_STEPS: usize = 64;
/// Processes that are looked at for the login of an audit session.
const MOST_PROCESSES: usize = 100_000;

/// Numbers come again, so that only both together name a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    /// Since the machine was started, in steps of 10 ms.
    pub started_ms: u64,
}

/// Where a command was called from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The kernel's number of the login (pam_loginuid(8)), which sudo, su and tmux keep.
    pub audit: Option<u32>,
    /// What it was called by, the nearest first, up to the login, or to what the first
    /// process started.
    pub above: Vec<Process>,
    /// What let the person in.
    pub login: Option<Process>,
}

/// What a confirmation by the command is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It came over a login that began after the change.
    NewLogin,
    /// It came from the login that made the change.
    SameLogin,
    /// It came from a login, or a terminal, that began before the change.
    EarlierLogin,
    /// It came from no login that is known.
    NoLogin,
}

impl Proof {
    /// Where it came from.
    pub fn words(self) -> &'static str {
        match self {
            Self::NewLogin => "a login that began after it",
            Self::SameLogin => "the login that made it",
            Self::EarlierLogin => "a login that began before it",
            Self::NoLogin => "no login",
        }
    }
}

/// Judges `caller` by the session that made the change, and by when it took effect.
pub fn judge(caller: &Session, made_by: &Session, activated_ms: u64) -> Proof {
    let is_same_audit = caller.audit.is_some() && caller.audit == made_by.audit;
    let shares = |process: &Process| made_by.above.contains(process);
    if is_same_audit || caller.above.iter().any(shares) {
        return Proof::SameLogin;
    }
    let is_new = |process: &Process| process.started_ms > activated_ms;
    match (&caller.login, caller.above.last()) {
        (Some(login), _) if is_new(login) => Proof::NewLogin,
        (Some(_), _) => Proof::EarlierLogin,
        (None, Some(outermost)) if outermost.started_ms <= activated_ms => Proof::EarlierLogin,
        (None, _) => Proof::NoLogin,
    }
}

/// The parent and the start, in `/proc/PID/stat` (proc_pid_stat(5)). The name may hold any bytes,
/// blanks and brackets too; fields are counted from behind it.
pub fn parse_stat(stat: &[u8]) -> Option<(u32, u64)> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = str::from_utf8(&stat[end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    // The 22nd of all, in USER_HZ, which is 100 on each Linux.
    let ticks: u64 = fields.nth(17)?.parse().ok()?;
    Some((parent, ticks.checked_mul(10)?))
}

/// The numbers of sshd's processes that there are now (`sshd`, and since OpenSSH 9.8
/// `sshd-session` and `sshd-auth`).
pub(super) fn connections() -> Option<BTreeSet<u32>> {
    let is_sshd = |pid: &u32| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim_end() == "sshd" || name.starts_with("sshd-"))
    };
    let entries = std::fs::read_dir("/proc").ok()?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Some(pids.filter(is_sshd).collect())
}

fn stat(pid: u32) -> Option<(u32, u64)> {
    parse_stat(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Root's own program at one of the places of [`LOGINS`]: a name alone can be taken by anyone.
fn is_login(pid: u32) -> bool {
    let program = std::fs::read_link(format!("/proc/{pid}/exe"));
    let is_named = program.is_ok_and(|program| LOGINS.iter().any(|one| program == Path::new(one)));
    is_named && is_roots(pid)
}

fn is_roots(pid: u32) -> bool {
    let status = processes::status(pid).ok().flatten();
    status.is_some_and(|status| status.uids.first() == Some(&0))
}

fn audit_of(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/sessionid")).ok()?;
    // What never was a login has the highest number.
    text.trim()
        .parse()
        .ok()
        .filter(|number| *number != u32::MAX)
}

/// A manager of units starts what it is asked to, by whomever.
fn is_manager(pid: u32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
    pid <= 1 || name.is_ok_and(|name| name.trim_end() == "systemd")
}

impl Session {
    /// Where this process was called from.
    pub fn of_caller() -> Self {
        let own = std::process::id();
        let mut session = Self {
            audit: audit_of(own),
            ..Self::default()
        };
        let mut next = stat(own).map(|(parent, _)| parent);
        while let Some(pid) = next
            && session.above.len() < MOST_STEPS
            && !is_manager(pid)
            && let Some((parent, started_ms)) = stat(pid)
        {
            let process = Process { pid, started_ms };
            session.above.push(process);
            if is_login(pid) {
                session.login = Some(process);
                break;
            }
            next = Some(parent);
        }
        if session.login.is_none() {
            session.login = session.audit.and_then(login_of);
        }
        session
    }
}

/// The first process of an audit session that lets people in: above a tmux that was left by
/// its terminal there is none any more.
fn login_of(audit: u32) -> Option<Process> {
    let processes = std::fs::read_dir("/proc").ok()?;
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.take(MOST_PROCESSES)
        .filter(|pid| audit_of(*pid) == Some(audit) && is_login(*pid))
        .filter_map(|pid| {
            Some(Process {
                pid,
                started_ms: stat(pid)?.1,
            })
        })
        .min_by_key(|process| process.started_ms)
}
