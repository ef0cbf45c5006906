//! The run folder of one host: its mounts, its console's log, its control group.
//!
//! A test that is killed can't clean up. So each run folder is locked by the process that owns it, and whoever makes the next one takes
//! away those that nobody holds any more: the processes in their control group (so never another's), their mounts, their files.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::fs::{FlockOperation, flock};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Pid;

use crate::control_group::ControlGroups;
use crate::requirements::program;
use crate::{Error, Result};

/// A run folder, which goes when this goes.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    groups: ControlGroups,
    _lock: File,
}

impl Scratch {
    /// Makes one below `cache`, after taking away what dead processes left.
    pub(crate) fn create(cache: &Path) -> Result<Self> {
        let runs = cache.join("run");
        private_folder(&runs)?;
        let _guard = lock(&runs.join(".lock"))?;
        sweep(&runs);
        let path = tempfile::Builder::new()
            .prefix("lab-")
            .tempdir_in(&runs)
            .map_err(Error::io("create a folder in", &runs))?
            .keep();
        let _lock = lock(&path.join("lock"))?;
        let groups = ControlGroups::of(&path);
        groups.create()?;
        Ok(Self {
            path,
            groups,
            _lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder's own name, which no other running host has.
    pub(crate) fn name(&self) -> String {
        self.path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    /// The start of a command line that runs a program in the host's control group. The caller adds the program and its arguments.
    pub(crate) fn launcher(&self) -> Command {
        let mut command = Command::new("/bin/sh");
        let line = r#"while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@""#;
        command
            .args(["-c", line, "sh"])
            .args(&self.groups.folders)
            .arg("--");
        command
    }

    /// The same, in a session of its own, so that a terminal's hang-up or Ctrl-C doesn't reach it.
    pub(crate) fn detached_launcher(&self) -> Result<Command> {
        let mut command = self.launcher();
        command.arg(program("setsid")?);
        Ok(command)
    }

    /// Ends all processes of the host at once.
    pub(crate) fn end(&self, host: &mut Child) {
        self.groups.kill();
        let _ = host.kill();
        let _ = host.wait();
        self.groups.wait_until_empty();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Makes a folder that only root may look into.
pub(crate) fn private_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::io("create", path))
}

/// Waits for an exclusive lock on a file, which it makes; the lock goes with the file.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).map_err(Error::io("create", path))?;
    flock(&file, FlockOperation::LockExclusive).map_err(Error::io("lock", path))?;
    Ok(file)
}

/// Takes away the run folders that no process holds.
fn sweep(runs: &Path) {
    for entry in fs::read_dir(runs).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(file) = File::open(path.join("lock")) else {
            continue;
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            remove(&path);
        }
    }
}

fn remove(path: &Path) {
    let groups = ControlGroups::of(path);
    groups.kill();
    groups.wait_until_empty();
    groups.remove();
    unmount_below(path);
    // Never into a mount that could not be taken away: its files may be an image's.
    let Ok(device) = fs::metadata(path).map(|meta| meta.dev()) else {
        return;
    };
    let mounted = fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.metadata().is_ok_and(|meta| meta.dev() != device));
    if !mounted {
        let _ = fs::remove_dir_all(path);
    }
}

/// Unmounts everything below a folder, the newest first. Lazily: a program that is just ending may still stand in it.
pub(crate) fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // proc(5): the fifth field is the mount point; the paths of run folders hold nothing that is escaped there.
    let points = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(Path::new)
        .filter(|point| point.starts_with(folder));
    for point in points.collect::<Vec<_>>().into_iter().rev() {
        let _ = unmount(point, UnmountFlags::DETACH);
    }
}

/// The processes that `parent` started.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let wanted = format!("PPid:\t{}", parent.as_raw_nonzero());
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| {
        entry
            .file_name()
            .to_str()?
            .parse()
            .ok()
            .and_then(Pid::from_raw)
    });
    pids.filter(|&pid| status(pid).lines().any(|line| line == wanted))
        .collect()
}

/// Whether a process is the first one of a process namespace of its own.
pub(crate) fn is_init(pid: Pid) -> bool {
    status(pid)
        .lines()
        .filter_map(|line| line.strip_prefix("NSpid:"))
        .any(|ids| ids.split_whitespace().skip(1).last() == Some("1"))
}

fn status(pid: Pid) -> String {
    fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default()
}
