//! The view of the host that a validator gets: the new files laid over the old, and throwaway
//! copies of the directories that it writes to although it is only asked. Made in a mount
//! namespace of the calling thread, on a file system that ends with it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use model::HostPath;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;

use super::{Laid, Rights, real_path};
use crate::act::place::Root;

/// The overlays' upper layers are made here, and are hidden before anything runs. Only this
/// namespace sees the mount.
const WORKSHOP: &str = "/tmp";

const ACCOUNTS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// More mounts below one directory than a host has for its configuration and its logs; what
/// is mounted beyond them seems empty.
const MOST_MOUNTS: usize = 64;

/// A directory that gets an overlay.
struct Part {
    at: PathBuf,
    /// What is there now, whatever is mounted over it later.
    lower: OwnedFd,
    permissions: std::fs::Permissions,
    /// A file system of its own below a directory that gets an overlay, which hides it.
    is_mounted_below: bool,
}

/// Moves this thread into a mount namespace of its own and lays the files over the host's.
/// Gives the mounts in which a program may write.
pub(super) fn lay_over(
    root: &Root,
    laid: &Laid,
    scratch: &[&str],
    directory: Option<&str>,
) -> Result<Vec<PathBuf>, String> {
    #[expect(
        unsafe_code,
        reason = "only the mount namespace is left, no file descriptors are unshared"
    )]
    // SAFETY: `UnshareFlags::FILES` is not among the flags.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .map_err(|error| format!("no private mount namespace: {error}"))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)
        .map_err(|error| format!("no private mounts: {error}"))?;
    let mut directories = tops(root, laid)?;
    let scratch = [WORKSHOP].iter().chain(scratch).map(PathBuf::from);
    let scratch: Vec<PathBuf> = scratch.filter(|directory| directory.is_dir()).collect();
    for throwaway in &scratch {
        if !directories.contains(throwaway) {
            directories.push(throwaway.clone());
        }
    }
    // All are opened before the first mount hides one.
    let parts = parts(&directories)?;
    let no_place = |error| format!("no place for a view: {error}");
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("steadfast", WORKSHOP, "tmpfs", flags, c"mode=0700").map_err(no_place)?;
    let workshop = open(Path::new(WORKSHOP)).map_err(no_place)?;
    let mut mounted = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        match overlay(&workshop, number, part) {
            Ok(()) => mounted.push(part.at.clone()),
            // FUSE, an overlay over overlays: the program sees an empty directory there.
            Err(_) if part.is_mounted_below => {}
            Err(error) => return Err(format!("no view of `{}`: {error}", part.at.display())),
        }
    }
    if !mounted.iter().any(|at| at == Path::new(WORKSHOP)) {
        // The overlays hold on to it.
        rustix::mount::unmount(WORKSHOP, UnmountFlags::DETACH).map_err(no_place)?;
    }
    // What lies in no overlay is the host's own: `/` itself, and files that stand right in it.
    let is_in_view = |real: &Path| directories.iter().any(|top| real.starts_with(top));
    write_all(root, laid, &is_in_view)?;
    if let Some(directory) = directory {
        make(Path::new(directory))
            .map_err(|error| format!("cannot make `{directory}`: {error}"))?;
    }
    mounted.retain(|at| scratch.iter().any(|top| at.starts_with(top)));
    Ok(mounted)
}

/// Writes what is laid where `is_in_view` says that it may be: there it goes when the view goes.
pub(super) fn write_all(
    root: &Root,
    laid: &Laid,
    is_in_view: &dyn Fn(&Path) -> bool,
) -> Result<(), String> {
    let place = |path: &HostPath, follows: bool| {
        Ok::<_, String>(really(root, path, follows)?.filter(|real| is_in_view(real)))
    };
    for path in &laid.directories {
        if let Some(real) = place(path, true)?
            && !real.exists()
        {
            std::fs::create_dir_all(&real)
                .map_err(|error| format!("cannot make `{path}` in a view: {error}"))?;
        }
    }
    for (path, content) in &laid.files {
        let Some(real) = place(path, content.is_some())? else {
            continue;
        };
        let written = match content {
            Some(content) => write_over(&real, content),
            None => gone(&real),
        };
        written.map_err(|error| format!("cannot lay `{path}` over: {error}"))?;
    }
    for (path, target) in &laid.links {
        let Some(real) = place(path, false)?.filter(|real| !is_directory(real)) else {
            continue;
        };
        gone(&real)
            .and_then(|()| std::os::unix::fs::symlink(OsStr::from_bytes(target), &real))
            .map_err(|error| format!("cannot lay the link `{path}` over: {error}"))?;
    }
    for (path, rights) in &laid.rights {
        let Some(real) = place(path, true)? else {
            continue;
        };
        give(&real, rights).map_err(|error| format!("no rights of `{path}` in a view: {error}"))?;
    }
    for (path, names, rest) in [
        (
            ACCOUNTS,
            &laid.accounts,
            "x:64999:64999::/nonexistent:/usr/sbin/nologin",
        ),
        (GROUPS, &laid.groups, "x:64999:"),
    ] {
        let path = HostPath::literal(path);
        if let Some(real) = place(&path, true)?.filter(|_| !names.is_empty()) {
            add_names(&real, names, rest)
                .map_err(|error| format!("cannot add to `{path}` in a view: {error}"))?;
        }
    }
    Ok(())
}

fn is_directory(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_dir())
}

fn gone(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Programs look the accounts up that a configuration names: those that the plan makes are there.
fn add_names(path: &Path, names: &BTreeSet<String>, rest: &str) -> std::io::Result<()> {
    let mut text = std::fs::read_to_string(path)?;
    for name in names {
        let is_there = text
            .lines()
            .any(|line| line.split(':').next() == Some(name.as_str()));
        if !is_there {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text += &format!("{name}:{rest}\n");
        }
    }
    std::fs::write(path, text)
}

/// Where it is written, which follows a link that stands there; or what is removed, which is the
/// link itself.
fn really(root: &Root, path: &HostPath, is_written: bool) -> Result<Option<PathBuf>, String> {
    match (is_written, path.parent(), path.as_path().file_name()) {
        (false, Some(parent), Some(name)) => {
            Ok(real_path(root, &parent)?.map(|parent| parent.join(name)))
        }
        _ => real_path(root, path),
    }
}

pub(super) fn make(directory: &Path) -> std::io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    std::fs::create_dir(directory)?;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))
}

fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

/// The directories and what is mounted below them, parents first.
fn parts(directories: &[PathBuf]) -> Result<Vec<Part>, String> {
    let mounts = std::fs::read("/proc/self/mountinfo")
        .map_err(|error| format!("the mounts can't be listed: {error}"))?;
    let below = mount_points(&mounts);
    let mut wanted: Vec<(PathBuf, bool)> = Vec::new();
    for directory in directories {
        wanted.push((directory.clone(), false));
        let inside = below
            .iter()
            .filter(|point| point.starts_with(directory) && *point != directory);
        wanted.extend(inside.take(MOST_MOUNTS).map(|point| (point.clone(), true)));
    }
    wanted.sort();
    wanted.dedup_by(|a, b| a.0 == b.0);
    let mut parts = Vec::new();
    for (at, is_mounted_below) in wanted {
        let opened = open(&at).map_err(std::io::Error::from).and_then(|lower| {
            let permissions = at.metadata()?.permissions();
            Ok((lower, permissions))
        });
        match opened {
            Ok((lower, permissions)) => parts.push(Part {
                at,
                lower,
                permissions,
                is_mounted_below,
            }),
            // A file that is mounted over a file, or one that is gone.
            Err(_) if is_mounted_below => {}
            Err(error) => return Err(format!("no view of `{}`: {error}", at.display())),
        }
    }
    Ok(parts)
}

/// The fifth field of each line; blanks and the like are written as `\040` (proc(5)).
fn mount_points(mountinfo: &[u8]) -> Vec<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    mountinfo
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(|field| {
            let mut path = Vec::with_capacity(field.len());
            let mut rest = field;
            while let Some((byte, after)) = rest.split_first() {
                let octal = (*byte == b'\\')
                    .then(|| str::from_utf8(after.get(..3)?).ok())
                    .flatten()
                    .and_then(|digits| u8::from_str_radix(digits, 8).ok());
                path.push(octal.unwrap_or(*byte));
                rest = if octal.is_some() { &after[3..] } else { after };
            }
            PathBuf::from(std::ffi::OsString::from_vec(path))
        })
        .collect()
}

fn overlay(workshop: &OwnedFd, number: usize, part: &Part) -> std::io::Result<()> {
    // By handle, since the names may lead elsewhere by now; and a name may hold a colon or a
    // comma, which would end the option.
    let through = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let place = |what: &str| format!("{}/{what}-{number}", through(workshop));
    let (upper, work) = (place("upper"), place("work"));
    for made in [&upper, &work] {
        std::fs::create_dir(made)?;
        std::fs::set_permissions(made, part.permissions.clone())?;
    }
    let lower = through(&part.lower);
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    let options = std::ffi::CString::new(options).map_err(std::io::Error::other)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("steadfast", &part.at, "overlay", flags, &*options)?;
    Ok(())
}

/// In the view, a file keeps the owner and mode that it has; a new one is root's.
fn write_over(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let is_new = !path.exists();
    if is_new && let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::File::create(path)?.write_all(content)?;
    if is_new {
        // visudo refuses rules that others may read or write less than it refuses open ones.
        let mode = match path.starts_with("/etc/sudoers.d") {
            true => 0o440,
            false => 0o644,
        };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// What is not there was removed, or is made by something that is no file.
fn give(path: &Path, rights: &Rights) -> std::io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let owner = rights.is_roots.then_some(0);
    let group = rights.is_of_group_root.then_some(0);
    if owner.is_some() || group.is_some() {
        std::os::unix::fs::chown(path, owner, group)?;
    }
    match rights.mode {
        Some(mode) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode.bits())),
        None => Ok(()),
    }
}

/// The top directories below which something is laid: `/etc`, most often.
fn tops(root: &Root, laid: &Laid) -> Result<Vec<PathBuf>, String> {
    let mut tops: Vec<PathBuf> = Vec::new();
    let accounts = [
        (ACCOUNTS, laid.accounts.is_empty()),
        (GROUPS, laid.groups.is_empty()),
    ];
    let accounts = accounts
        .into_iter()
        .filter(|(_, is_empty)| !is_empty)
        .map(|(path, _)| HostPath::literal(path));
    let paths = laid.files.keys().chain(laid.rights.keys());
    let paths = paths.chain(&laid.directories).chain(laid.links.keys());
    for path in paths.cloned().chain(accounts) {
        let Some(real) = real_path(root, &path)? else {
            continue;
        };
        let top: PathBuf = real.components().take(2).collect();
        let is_below_root = top.parent().is_some();
        if is_below_root && !tops.contains(&top) && top.is_dir() {
            tops.push(top);
        }
    }
    Ok(tops)
}
