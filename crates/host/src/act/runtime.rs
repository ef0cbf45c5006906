//! What the running kernel holds: parameters, mount options, modules, audit rules; and the
//! commands of a user's own policy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::HostPath;
use rustix::mount::MountFlags;

use super::ActError;
use super::names::Account;
use super::place::read_bounded;
use super::program::Program;

/// The kernel gives a parameter in one page (proc(5)).
const SYSCTL_LIMIT_BYTES: u64 = 4096;
/// A host with thousands of mounts has a few hundred kilobytes here.
const TABLE_LIMIT_BYTES: u64 = 16 << 20;

/// Below `/proc/sys`. As in sysctl.d(5): when the first separator is a slash, dots belong to
/// names.
fn sysctl_path(key: &str) -> Result<PathBuf, ActError> {
    let first = key.find(['.', '/']);
    let path = match first.map(|at| key.as_bytes()[at]) {
        Some(b'/') => key.to_owned(),
        // The two are swapped, so that `net.ipv4.conf.eth0/100.forwarding` works.
        _ => key
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
    };
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if key.contains('\0') || !path.split('/').all(plain) {
        return Err(ActError::program(
            format!(
                "find the kernel parameter `{}`",
                model::printable(key.as_bytes())
            ),
            "not a parameter's name",
        ));
    }
    Ok(Path::new("/proc/sys").join(path))
}

/// Why nobody can set a parameter here, as far as its place tells: in a container most of `/proc/sys` is
/// mounted read-only.
pub fn not_settable(key: &str) -> Option<&'static str> {
    let path = sysctl_path(key).ok()?;
    let mount = rustix::fs::statvfs(&path).ok()?;
    if mount.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return Some(
            "/proc/sys is mounted read-only here, as in a container: set it on the machine below",
        );
    }
    let mode = rustix::fs::stat(&path).ok()?.st_mode;
    (mode & 0o222 == 0).then_some("this kernel lets nobody set it")
}

/// A kernel parameter's running value, without its last newline.
pub fn sysctl(key: &str) -> Result<String, ActError> {
    let path = sysctl_path(key)?;
    let bytes = std::fs::File::open(&path)
        .and_then(|file| read_bounded(file, SYSCTL_LIMIT_BYTES))
        .map_err(|error| ActError::program(format!("read the kernel parameter `{key}`"), error))?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

/// What the kernel may set when this is set, and how it is now: a switch for all interfaces sets that of
/// each, and forwarding sets what goes with it (ip-sysctl.rst). A parameter that can't be read has no value.
pub fn set_with(key: &str) -> BTreeMap<String, String> {
    let plain = key.replace('/', ".");
    let is_of_all = [
        "net.ipv4.conf.all.",
        "net.ipv6.conf.all.",
        "net.ipv4.conf.default.",
        "net.ipv6.conf.default.",
    ]
    .iter()
    .any(|top| plain.starts_with(top));
    if plain != "net.ipv4.ip_forward" && !is_of_all {
        return BTreeMap::new();
    }
    let mut names = vec!["net/ipv4/ip_forward".to_owned()];
    for family in ["net/ipv4/conf", "net/ipv6/conf"] {
        for interface in listed(family) {
            let below = format!("{family}/{interface}");
            names.extend(
                listed(&below)
                    .into_iter()
                    .map(|leaf| format!("{below}/{leaf}")),
            );
        }
    }
    let own = sysctl_path(key).ok();
    names.retain(|name| own != sysctl_path(name).ok());
    values(names.iter())
}

/// Do both names mean one parameter?
pub fn is_same_key(one: &str, other: &str) -> bool {
    sysctl_path(one).is_ok_and(|one| sysctl_path(other).is_ok_and(|other| one == other))
}

/// A parameter's name in one spelling, with dots between its parts.
pub fn plain_key(key: &str) -> String {
    let path = sysctl_path(key).ok();
    let below = path
        .as_ref()
        .and_then(|path| path.strip_prefix("/proc/sys").ok()?.to_str());
    let swapped = below.map(|path| {
        let both = path.chars().map(|c| match c {
            '/' => '.',
            '.' => '/',
            other => other,
        });
        both.collect()
    });
    swapped.unwrap_or_else(|| key.to_owned())
}

/// The names in a directory of parameters.
fn listed(below: &str) -> Vec<String> {
    /// A router has some thousand interfaces.
    const MOST: usize = 10_000;
    let found = std::fs::read_dir(Path::new("/proc/sys").join(below));
    let names = found.into_iter().flatten().flatten().take(MOST);
    names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// The values of these, of which each can be read.
pub fn values<'a>(names: impl Iterator<Item = &'a String>) -> BTreeMap<String, String> {
    names
        .filter_map(|name| Some((name.clone(), sysctl(name).ok()?)))
        .collect()
}

/// Leaves of what was noted before an action those that are otherwise after it.
pub fn narrow(others: &mut BTreeMap<String, String>) {
    others.retain(|name, before| sysctl(name).is_ok_and(|now| now != *before));
}

/// Sets a kernel parameter and reads it again: the kernel takes some values and keeps others.
pub fn set_sysctl(key: &str, value: &str) -> Result<(), ActError> {
    if same_value(&sysctl(key)?, value) {
        return Ok(());
    }
    let what = || format!("set the kernel parameter `{key}` to `{value}`");
    std::fs::write(sysctl_path(key)?, format!("{value}\n"))
        .map_err(|error| ActError::program(what(), error))?;
    let now = sysctl(key)?;
    if same_value(&now, value) {
        return Ok(());
    }
    Err(ActError::program(
        what(),
        format!("the kernel keeps `{now}`"),
    ))
}

/// Several numbers are parted by tabs when read and by blanks when written.
pub(crate) fn same_value(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

/// The per-mount options at a mount point, from `/proc/self/mountinfo` (proc(5)).
pub fn mount_options(path: &HostPath) -> Result<Vec<String>, ActError> {
    let what = || format!("find the mount at `{path}`");
    let bytes = std::fs::File::open("/proc/self/mountinfo")
        .and_then(|file| read_bounded(file, TABLE_LIMIT_BYTES))
        .map_err(|error| ActError::program(what(), error))?;
    parse_mountinfo(&bytes, path.as_bytes())
        .ok_or_else(|| ActError::program(what(), "nothing is mounted there"))
}

/// The options of the topmost mount at `path`.
pub fn parse_mountinfo(table: &[u8], path: &[u8]) -> Option<Vec<String>> {
    // The last line for a mount point is the mount that is seen.
    table.split(|byte| *byte == b'\n').rev().find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let point = fields.nth(4)?;
        let options = fields.next()?;
        (unescape(point) == path).then(|| {
            String::from_utf8_lossy(options)
                .split(',')
                .map(str::to_owned)
                .collect()
        })
    })
}

/// Blank, tab, newline and backslash are written in octal: `\040`.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = (byte == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(code) => {
                out.push(code);
                rest = &tail[3..];
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    out
}

/// Changes the options of one mount only: `MS_REMOUNT|MS_BIND` (mount(2)) leaves the file
/// system's own options and its other mounts alone.
pub fn remount(path: &HostPath, options: &[String]) -> Result<(), ActError> {
    // Nothing but a mount point can be remounted; ask before acting, for the better message.
    let now = mount_options(path)?;
    let flags = remount_flags(options, &now)
        .map_err(|why| ActError::program(format!("remount `{path}`"), why))?;
    rustix::mount::mount_remount(path.as_path(), flags, c"")
        .map_err(|error| ActError::program(format!("remount `{path}`"), error))
}

/// The flags of mount(2) for these options. What is not among the flags is taken from the mount, so
/// that an option that it has by now, as the kernel lists them in mountinfo, and that is not known
/// here must not be dropped. Others that are not known are the file system's own, and stay.
pub fn remount_flags(options: &[String], now: &[String]) -> Result<MountFlags, String> {
    let mut flags = MountFlags::BIND;
    for option in options {
        flags |= match option.as_str() {
            "ro" => MountFlags::RDONLY,
            "nosuid" => MountFlags::NOSUID,
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            "noatime" => MountFlags::NOATIME,
            "nodiratime" => MountFlags::NODIRATIME,
            "relatime" => MountFlags::RELATIME,
            "strictatime" => MountFlags::STRICTATIME,
            "nosymfollow" => MountFlags::NOSYMFOLLOW,
            // The opposites, and a mapping of ids, which no remount changes (mount_setattr(2)).
            "rw" | "suid" | "dev" | "exec" | "atime" | "diratime" | "symfollow" | "idmapped" => {
                MountFlags::empty()
            }
            other if !now.iter().any(|option| option == other) => MountFlags::empty(),
            other => {
                return Err(format!(
                    "its option `{other}` is not known, and would be lost"
                ));
            }
        };
    }
    Ok(flags)
}

/// Is the module in the kernel now?
pub fn is_loaded(name: &str) -> Result<bool, ActError> {
    let name = name.replace('-', "_");
    let bytes = std::fs::File::open("/proc/modules")
        .and_then(|file| read_bounded(file, TABLE_LIMIT_BYTES))
        .map_err(|error| ActError::program("read the list of modules", error))?;
    Ok(String::from_utf8_lossy(&bytes)
        .lines()
        .any(|line| line.split(' ').next() == Some(&name)))
}

pub fn set_module(name: &str, loaded: bool) -> Result<(), ActError> {
    let program = Program::find(&["/usr/sbin/modprobe", "/sbin/modprobe"])?;
    let program = match loaded {
        true => program.args(["--", name]),
        false => program.args(["-r", "--", name]),
    };
    program.succeed()?;
    match is_loaded(name)? == loaded {
        true => Ok(()),
        false => Err(ActError::program(
            format!("change the module `{name}`"),
            "modprobe said nothing, and did nothing",
        )),
    }
}

/// What `augenrules --load` writes: the rules of all files in one, and what that was before
/// (augenrules(8)).
pub const AUDIT_RULES: [&str; 2] = ["/etc/audit/audit.rules", "/etc/audit/audit.rules.prev"];

pub fn load_audit_rules() -> Result<(), ActError> {
    Program::find(&["/usr/sbin/augenrules", "/sbin/augenrules"])?
        .args(["--load"])
        .succeed()
        .map(drop)
}

/// After the written rules were put back: `augenrules` would write them anew, and not as they
/// were where somebody had not loaded their change yet.
pub fn load_audit_rules_that_were() -> Result<(), ActError> {
    let auditctl = Program::find(&["/usr/sbin/auditctl", "/sbin/auditctl"])?;
    let written = AUDIT_RULES[0];
    let arguments: &[&str] = match Path::new(written).try_exists() {
        Ok(false) => &["-D"],
        _ => &["-R", written],
    };
    auditctl.args(arguments.iter().copied()).succeed().map(drop)
}

/// A command of the user's own policy.
pub fn run(argv: &[String], timeout_ms: u32, user: Option<&str>) -> Result<(), ActError> {
    let Some((path, arguments)) = argv.split_first().filter(|(path, _)| path.starts_with('/'))
    else {
        return Err(ActError::program(
            "run a command",
            "its first word is not an absolute path",
        ));
    };
    let account = user.map(Account::find).transpose()?;
    Program::at(Path::new(path))
        .args(arguments.iter().cloned())
        .account(account)
        .limit(Duration::from_millis(timeout_ms.into()))
        .succeed()
        .map(drop)
}
