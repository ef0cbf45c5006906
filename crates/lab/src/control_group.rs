//! The control groups of one host: one folder in each hierarchy that systemd uses, so that two hosts never share one (systemd in one would
//! end the services of the other), and so that all of a host's processes can be ended, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, Result};

/// Killed processes are gone within milliseconds, unless they wait for a disk.
const LIMIT: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(2);

/// A host's folders.
#[derive(Debug)]
pub(crate) struct ControlGroups {
    /// One per hierarchy, whether they exist or not.
    pub folders: Vec<PathBuf>,
}

impl ControlGroups {
    /// Those of the host with this run folder.
    pub(crate) fn of(run: &Path) -> Self {
        let name = format!(
            "steadfast-{}",
            run.file_name().unwrap_or_default().to_string_lossy()
        );
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        // proc(5): fields up to ` - `, the fifth of which is the mount point; then type, source, and the options of the whole hierarchy.
        let hierarchies = mounts.lines().filter_map(|line| {
            let (mount, kind) = line.split_once(" - ")?;
            let is_systemds = kind.starts_with("cgroup2 ")
                || (kind.starts_with("cgroup ") && kind.ends_with("name=systemd"));
            is_systemds.then(|| mount.split(' ').nth(4)).flatten()
        });
        Self {
            folders: hierarchies
                .map(|point| Path::new(point).join(&name))
                .collect(),
        }
    }

    pub(crate) fn create(&self) -> Result<()> {
        self.folders.iter().try_for_each(|folder| {
            fs::create_dir(folder).map_err(Error::io("create the control group", folder))
        })
    }

    /// Sends `SIGKILL` to all that is in them.
    pub(crate) fn kill(&self) {
        for folder in &self.folders {
            // The kernel's "Control Group v2", cgroup.kill: the whole subtree, and what it forks meanwhile.
            if fs::write(folder.join("cgroup.kill"), "1").is_err() {
                for pid in processes(folder) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
        }
    }

    pub(crate) fn wait_until_empty(&self) {
        let deadline = Instant::now() + LIMIT;
        while self
            .folders
            .iter()
            .any(|folder| !processes(folder).is_empty())
            && Instant::now() < deadline
        {
            sleep(TICK);
        }
    }

    pub(crate) fn remove(&self) {
        self.folders.iter().for_each(|folder| remove(folder));
    }
}

fn processes(folder: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let own = text
        .lines()
        .filter_map(|line| line.parse().ok().and_then(Pid::from_raw));
    own.chain(children(folder).iter().flat_map(|child| processes(child)))
        .collect()
}

fn remove(folder: &Path) {
    children(folder).iter().for_each(|child| remove(child));
    let _ = fs::remove_dir(folder);
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
