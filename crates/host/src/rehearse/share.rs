//! How much of the machine a rehearsal may take: a control group of its own, with limits on
//! processes and memory (Documentation/admin-guide/cgroup-v2.rst). The limits of a process alone
//! do not bound what root starts.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where systemd mounts the hierarchy.
const HIERARCHY: &str = "/sys/fs/cgroup";
/// Ended processes leave their group soon after.
const TRIES: u32 = 50;

/// Removed, with all that is left in it, when it is dropped.
pub(super) struct Share {
    directory: PathBuf,
    processes: File,
}

impl Share {
    /// None where this host has no such hierarchy, or does not let us make a group.
    pub(super) fn take(memory_bytes: u64, processes: u64) -> Option<Self> {
        let top = Path::new(HIERARCHY);
        let controllers = std::fs::read_to_string(top.join("cgroup.subtree_control")).ok()?;
        let has = |name: &str| controllers.split_whitespace().any(|one| one == name);
        if !has("memory") || !has("pids") {
            return None;
        }
        let directory = top.join(format!("steadfast-rehearsal-{}", std::process::id()));
        // Of an earlier process of this number.
        let _ = std::fs::remove_dir(&directory);
        std::fs::create_dir(&directory).ok()?;
        let open = || -> io::Result<File> {
            std::fs::write(directory.join("pids.max"), processes.to_string())?;
            std::fs::write(directory.join("memory.max"), memory_bytes.to_string())?;
            // All of it ends when it takes too much, and nothing else.
            let _ = std::fs::write(directory.join("memory.oom.group"), "1");
            // Not every kernel counts swap.
            let _ = std::fs::write(directory.join("memory.swap.max"), "0");
            let list = directory.join("cgroup.procs");
            OpenOptions::new().write(true).open(list)
        };
        match open() {
            Ok(processes) => Some(Self {
                directory,
                processes,
            }),
            Err(_) => {
                let _ = std::fs::remove_dir(&directory);
                None
            }
        }
    }

    /// What a process writes `0` to, and is in the group.
    pub(super) fn door(&self) -> BorrowedFd<'_> {
        self.processes.as_fd()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        for _ in 0..TRIES {
            let kill = OpenOptions::new()
                .write(true)
                .open(self.directory.join("cgroup.kill"));
            if let Ok(mut kill) = kill {
                let _ = kill.write_all(b"1");
            }
            match std::fs::remove_dir(&self.directory) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                _ => return,
            }
        }
    }
}
