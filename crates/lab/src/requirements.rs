//! What the lab needs of the machine it runs on, and how to get it on Debian.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{Exec, run, run_ok};
use crate::{Error, Result};

/// A slow mirror and eighty packages.
const INSTALL_LIMIT: Duration = Duration::from_secs(900);
/// Where programs are looked for; the environment's `PATH` is not asked.
const PATH: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
const CGROUPS: &str = "/sys/fs/cgroup";

/// A program that is needed, and the package that has it.
struct Tool {
    program: &'static str,
    package: &'static str,
}

const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package }
}

const FOR_CONTAINERS: [Tool; 6] = [
    tool("debootstrap", "debootstrap"),
    tool("systemd-nspawn", "systemd-container"),
    tool("nsenter", "util-linux"),
    tool("setsid", "util-linux"),
    tool("mount", "mount"),
    tool("ssh", "openssh-client"),
];
const FOR_MACHINES: [Tool; 4] = [
    tool("qemu-system-x86_64", "qemu-system-x86"),
    tool("qemu-img", "qemu-utils"),
    tool("mkfs.ext4", "e2fsprogs"),
    tool("ssh-keygen", "openssh-client"),
];

/// What is to be run, which decides what is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirements {
    /// Booted containers.
    Containers,
    /// Containers and emulated machines.
    Machines,
}

/// What this machine lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Missing {
    /// Each thing that is missing, in words.
    pub what: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} missing", self.what.join(", "))
    }
}

impl Requirements {
    /// Says what is missing, so that a test may say why it was skipped.
    pub fn check(self) -> std::result::Result<(), Missing> {
        let mut what = Vec::new();
        if !rustix::process::geteuid().is_root() {
            what.push("root".to_owned());
        }
        what.extend(self.missing_tools().map(|tool| tool.program.to_owned()));
        if !has_cgroups() {
            what.push(format!("control groups at {CGROUPS}"));
        }
        if what.is_empty() {
            Ok(())
        } else {
            Err(Missing { what })
        }
    }

    fn missing_tools(self) -> impl Iterator<Item = &'static Tool> {
        let for_machines = match self {
            Self::Containers => &[],
            Self::Machines => &FOR_MACHINES[..],
        };
        FOR_CONTAINERS
            .iter()
            .chain(for_machines)
            .filter(|tool| find(tool.program).is_none())
    }
}

/// Whether a test that needs the lab can run, or else why it's skipped. `switch` is what the caller found in the environment variable
/// `STEADFAST_LAB`: such tests run only where it is `1`, so that a plain `cargo test` stays fast, rootless and offline.
pub fn wanted(switch: Option<&OsStr>, needs: Requirements) -> std::result::Result<(), String> {
    if switch != Some(OsStr::new("1")) {
        return Err("STEADFAST_LAB is not 1".to_owned());
    }
    needs.check().map_err(|missing| missing.to_string())
}

/// Installs what is missing with apt and mounts control groups where nothing is mounted. Needs root, and changes this machine.
pub fn install_requirements(needs: Requirements, progress: &mut dyn FnMut(&str)) -> Result<()> {
    // Twice: a tool that was there may go when another comes. A `qemu-utils` of another release
    // is removed to make room for `qemu-system-x86`.
    for _ in 0..2 {
        install_missing(needs, progress)?;
    }
    if !has_cgroups() {
        progress("mounting control groups");
        let mut mount = Command::new("/bin/mount");
        mount.args(["-t", "cgroup2", "cgroup2", CGROUPS]);
        run_ok(mount, crate::command::DEFAULT_LIMIT)?;
    }
    Ok(needs.check()?)
}

fn install_missing(needs: Requirements, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let mut packages: Vec<_> = needs.missing_tools().map(|tool| tool.package).collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    progress(&format!("installing {}", packages.join(", ")));
    run_ok(apt(&["update"], &[]), INSTALL_LIMIT)?;
    let first = run(
        apt(&["install", "--no-install-recommends"], &packages),
        INSTALL_LIMIT,
    )?;
    if !first.success() {
        install_beside_newer_qemu_img(&packages, first.ok())?;
    }
    Ok(())
}

/// A machine that once took `qemu-utils` from backports, and no longer has that source, can't install the rest of QEMU beside it: the two
/// must be of one version, so this takes the release's own.
fn install_beside_newer_qemu_img(packages: &[&str], refused: Result<String>) -> Result<()> {
    let codename = own_codename();
    let (true, Some(codename)) = (packages.contains(&"qemu-system-x86"), codename) else {
        return refused.map(drop);
    };
    let own = format!("qemu-utils/{codename}");
    let packages: Vec<_> = packages
        .iter()
        .copied()
        .filter(|package| *package != "qemu-utils")
        .chain([own.as_str()])
        .collect();
    run_ok(
        apt(
            &["install", "--no-install-recommends", "--allow-downgrades"],
            &packages,
        ),
        INSTALL_LIMIT,
    )
    .map(drop)
}

fn apt(verb: &[&str], packages: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/apt-get");
    command
        .arg("--yes")
        .args(verb)
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8");
    command
}

fn has_cgroups() -> bool {
    fs::read_dir(CGROUPS).is_ok_and(|mut entries| entries.next().is_some())
}

/// `VERSION_CODENAME` of this machine.
pub(crate) fn own_codename() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").ok()?;
    release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"').to_owned())
}

/// The absolute path of a program.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    PATH.iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.is_file())
}

/// The absolute path of a program, or an error that names what is missing.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    find(name).ok_or_else(|| {
        Error::Missing(Missing {
            what: vec![name.to_owned()],
        })
    })
}

/// What `exec` says for a command that runs on this machine itself.
pub(crate) fn local(exec: &Exec) -> Result<Command> {
    let name = exec
        .argv
        .first()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut command = Command::new(program(&name)?);
    command
        .args(&exec.argv[1..])
        .env("LC_ALL", "C.UTF-8")
        .envs(exec.env.iter().map(|(name, value)| (name, value)));
    Ok(command)
}
