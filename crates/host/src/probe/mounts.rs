//! What is mounted, and what is asked for at boot.

use std::sync::Arc;

use model::Value;
use model::value::{Mount, MountsSeen};

use crate::local::Inner;
use crate::parse::mount::{parse_fstab, parse_mountinfo};
use crate::tree::Trouble;

/// A host with ten thousand containers has a few MB of mounts.
const LIMIT_BYTES: u64 = 16 << 20;

/// The mounts as the kernel has them. Where two have one path, the later hides the earlier.
pub fn mounted(host: &Arc<Inner>) -> Result<Vec<Mount>, Trouble> {
    host.refuse_offline()?;
    let bytes = host.read("/proc/self/mountinfo", LIMIT_BYTES)?;
    Ok(parse_mountinfo(&bytes)
        .into_iter()
        .map(|line| line.mount)
        .collect())
}

pub fn mounts(host: &Arc<Inner>) -> Result<Value, Trouble> {
    let mounted = mounted(host)?;
    let fstab = match host.read("/etc/fstab", 1 << 20) {
        Ok(bytes) => parse_fstab(&bytes),
        Err(Trouble::Absent) => Vec::new(),
        Err(trouble) => return Err(trouble),
    };
    Ok(Value::Mounts(MountsSeen { mounted, fstab }))
}
