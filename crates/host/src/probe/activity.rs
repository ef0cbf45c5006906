//! Who works with an account: processes with its id, jobs of its own, and logins since the last
//! boot. All of it is read as it is now; nothing is asked of a program.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;

use model::value::{ActivitySeen, Reason};
use model::{HostPath, Value};

use crate::local::Inner;
use crate::parse::wtmp::logins;
use crate::processes::of_accounts;
use crate::tree::Trouble;

const CRONTABS: &str = "/var/spool/cron/crontabs";
/// A year of logins on a busy host; logrotate takes it away each month.
const WTMP_LIMIT_BYTES: u64 = 64 << 20;

pub fn activity(host: &Arc<Inner>, account: &str, uid: u32) -> Result<Value, Trouble> {
    if !host.tree.is_live() {
        return Err(Reason::Offline.into());
    }
    Ok(Value::Activity(ActivitySeen {
        runs: runs(uid)?,
        has_crontab: has_crontab(host, account)?,
        signed_in: signed_in(host, account)?,
    }))
}

fn runs(uid: u32) -> Result<bool, Trouble> {
    match of_accounts(&BTreeSet::from([uid])) {
        Ok(running) => Ok(!running.is_empty()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(Reason::NeedsRoot.into()),
        Err(error) => Err(Reason::Failed {
            why: format!("the processes can't be looked at: {error}"),
        }
        .into()),
    }
}

fn has_crontab(host: &Arc<Inner>, account: &str) -> Result<bool, Trouble> {
    let Ok(path) = HostPath::literal(CRONTABS).join(account) else {
        return Ok(false);
    };
    match host.tree.meta(&path) {
        Ok(_) => Ok(true),
        Err(Trouble::Absent) => Ok(false),
        Err(trouble) => Err(trouble),
    }
}

fn signed_in(host: &Arc<Inner>, account: &str) -> Result<bool, Trouble> {
    if !cfg!(target_arch = "x86_64") {
        let what = "wtmp has another form on this architecture".to_owned();
        return Err(Reason::Unavailable { what }.into());
    }
    let booted = host.read("/proc/stat", 1 << 20)?;
    let booted = String::from_utf8_lossy(&booted)
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse::<i64>().ok())
        .ok_or_else(|| Reason::Malformed {
            why: "/proc/stat has no btime".to_owned(),
        })?;
    match host.read("/var/log/wtmp", WTMP_LIMIT_BYTES) {
        Ok(bytes) => Ok(
            logins(&bytes).any(|login| login.user == account.as_bytes() && login.at_s >= booted)
        ),
        // Debian 13 has none any more; what runs tells more.
        Err(Trouble::Absent) => Ok(false),
        Err(trouble) => Err(trouble),
    }
}
