//! Where a walk begins: the mounts that hold files of this host.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use model::HostPath;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, openat, openat2, statx};
use rustix::io::Errno;

use crate::local::{is_of_the_kernel, is_remote, mount_lines};
use crate::parse::mount::MountLine;
use crate::tree::Tree;

/// The layers and mounts of containers. They hold other hosts' files, once for each layer and
/// once more for each running container, below directories that only root may enter.
const CONTAINERS: [&str; 12] = [
    "/run/containerd",
    "/var/lib/containerd",
    "/var/lib/containers/storage/overlay",
    "/var/lib/containers/storage/vfs",
    "/var/lib/docker/aufs",
    "/var/lib/docker/btrfs",
    "/var/lib/docker/devicemapper",
    "/var/lib/docker/fuse-overlayfs",
    "/var/lib/docker/overlay",
    "/var/lib/docker/overlay2",
    "/var/lib/docker/vfs",
    "/var/lib/docker/zfs",
];

/// A directory from which a walk goes down without leaving its mount.
pub struct Start {
    pub directory: OwnedFd,
    /// Its path inside the tree.
    pub path: HostPath,
    pub device: (u32, u32),
}

/// Is this the place of container layers?
pub fn is_pruned(path: &[u8]) -> bool {
    CONTAINERS.iter().any(|place| path == place.as_bytes())
}

/// The mounts to walk, each file system's tree once.
pub fn starts(tree: &Tree) -> Vec<Start> {
    let top = HostPath::literal("/");
    let root =
        HostPath::from_bytes(tree.path().as_os_str().as_bytes()).unwrap_or_else(|_| top.clone());
    let mut lines = mount_lines().unwrap_or_default();
    // Of a file system that is mounted in several places, the place that shows most of it.
    lines.sort_by_key(|line| line.root.len());
    let mut starts: Vec<Start> = Vec::new();
    let mut walked: Vec<MountLine> = Vec::new();
    // The tree itself comes first: it may be any directory of any file system, one that would
    // not be walked by itself too, since somebody named it.
    if let Some((start, _)) = open(tree, &top) {
        if let Some(own) = own_mount(&lines, &root) {
            walked.push(below(own, &root));
        }
        starts.push(start);
    }
    for line in lines {
        let Some(inside) = line.mount.path.as_bytes().strip_prefix(root.as_bytes()) else {
            continue;
        };
        let Ok(path) = top.join(inside) else { continue };
        if line.mount.path == root
            || !line.mount.path.is_within(&root)
            || is_remote(&line.mount.fs_type)
            || is_of_the_kernel(&line.mount.fs_type)
            // A snap: read-only, and its programs are confined by snapd.
            || line.mount.fs_type == "squashfs"
            || CONTAINERS
                .iter()
                .any(|place| path.is_within(&HostPath::literal(place)))
            || walked.iter().any(|other| covers(other, &line))
        {
            continue;
        }
        // A mount that another one hides can't be reached.
        if let Some((start, id)) = open(tree, &path)
            && id.is_none_or(|id| id == line.id)
        {
            starts.push(start);
            walked.push(line);
        }
    }
    starts
}

/// The mount that `root` lies on: the longest path, and of equals the one mounted last.
fn own_mount<'a>(lines: &'a [MountLine], root: &HostPath) -> Option<&'a MountLine> {
    lines
        .iter()
        .filter(|line| root.is_within(&line.mount.path))
        .max_by_key(|line| (line.mount.path.as_bytes().len(), line.id))
}

/// The part of a mount that begins at `root`, when the tree is a directory in it.
fn below(line: &MountLine, root: &HostPath) -> MountLine {
    let mut part = line.clone();
    let inside = root
        .as_bytes()
        .strip_prefix(line.mount.path.as_bytes())
        .unwrap_or_default();
    if !inside.is_empty() {
        let joined = [&part.root[..], b"/", inside].concat();
        part.root = HostPath::from_bytes(&joined).map_or(joined, |path| path.as_bytes().to_vec());
    }
    part
}

/// Does a walk of `one` see all files of `other`?
fn covers(one: &MountLine, other: &MountLine) -> bool {
    one.device == other.device
        && match (
            HostPath::from_bytes(&one.root),
            HostPath::from_bytes(&other.root),
        ) {
            (Ok(one), Ok(other)) => other.is_within(&one),
            _ => false,
        }
}

/// The mounts of this machine, to ask what a path of a tree lies on.
pub struct Mounts {
    lines: Vec<MountLine>,
    root: HostPath,
}

impl Mounts {
    pub fn of(tree: &Tree) -> Self {
        let root = HostPath::from_bytes(tree.path().as_os_str().as_bytes());
        Self {
            lines: mount_lines().unwrap_or_default(),
            root: root.unwrap_or_else(|_| HostPath::literal("/")),
        }
    }

    /// The type of the file system on which this path lies, when it is one that is not walked:
    /// somebody else serves it, or the kernel shows its own things there.
    pub fn not_walked(&self, path: &HostPath) -> Option<&str> {
        let full = self.root.join(&path.as_bytes()[1..]).ok()?;
        let line = own_mount(&self.lines, &full)?;
        let fs_type = line.mount.fs_type.as_str();
        // The tree itself is walked whatever it lies on.
        let is_below = line.mount.path != self.root && line.mount.path.is_within(&self.root);
        (is_below && (is_remote(fs_type) || is_of_the_kernel(fs_type))).then_some(fs_type)
    }
}

/// One directory, to be walked whatever it lies on.
pub fn at(tree: &Tree, path: &HostPath) -> Option<Start> {
    open(tree, path).map(|(start, _)| start)
}

fn open(tree: &Tree, path: &HostPath) -> Option<(Start, Option<u64>)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let relative = match path.as_bytes() {
        b"/" => &b"."[..],
        bytes => &bytes[1..],
    };
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    let directory = match openat2(tree.root_fd(), relative, flags, Mode::empty(), resolve) {
        // An older kernel, or a container that forbids the call.
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(tree.root_fd(), relative, flags).ok()?,
        // A link on the way could lead anywhere, and out of the tree.
        other => other.ok()?,
    };
    let stat = statx(
        &directory,
        c"",
        AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC,
        StatxFlags::MODE | StatxFlags::MNT_ID,
    )
    .ok()?;
    let id = StatxFlags::from_bits_retain(stat.stx_mask)
        .contains(StatxFlags::MNT_ID)
        .then_some(stat.stx_mnt_id);
    Some((
        Start {
            directory,
            path: path.clone(),
            device: (stat.stx_dev_major, stat.stx_dev_minor),
        },
        id,
    ))
}

/// Opens a directory name by name, so that no link on the way is followed.
pub(super) fn step_by_step(
    from: BorrowedFd<'_>,
    relative: &[u8],
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    // What lies on the way is only passed.
    let passed = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = openat(from, c".", passed, Mode::empty())?;
    let mut names = relative.split(|byte| *byte == b'/').peekable();
    while let Some(name) = names.next() {
        let is_last = names.peek().is_none();
        let flags = if is_last { flags } else { passed };
        at = openat(&at, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(at)
}
