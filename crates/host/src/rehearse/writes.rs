//! Which paths a rehearsal wrote: what lies in the upper layers of its overlays
//! (Documentation/filesystems/overlayfs.rst).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use model::HostPath;

/// What is larger than this is not compared by eye, nor read to its end.
pub(crate) const READABLE_BYTES: u64 = 256 << 10;

/// A rehearsal that writes more paths than this is none of an upgrade.
const MOST_PATHS: usize = 500_000;

/// Written at each run by whoever runs it, and by nobody else: what went there belongs to the
/// evidence or can be made again.
pub(crate) const EVIDENCE: [&str; 3] = ["/var/log", "/var/cache/apt", "/var/lib/apt/lists"];

/// Put into the copy by us.
const OWN: &str = "/usr/sbin/policy-rc.d";

/// One overlay: what it lies over, and where its own layer is.
pub(super) struct Layer {
    /// As the host names it.
    pub(super) at: PathBuf,
    /// What was there before, by a handle's path.
    pub(super) lower: PathBuf,
    pub(super) upper: PathBuf,
}

/// The content of those new files whose names end so, as far as a person would read them.
pub(super) fn contents(
    layers: &[Layer],
    paths: &BTreeSet<HostPath>,
    endings: &[&str],
) -> io::Result<BTreeMap<HostPath, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for path in paths {
        let has = |ending: &&str| path.as_bytes().ends_with(ending.as_bytes());
        if !endings.iter().any(has) {
            continue;
        }
        let of = layers
            .iter()
            .filter(|layer| path.as_path().starts_with(&layer.at))
            .max_by_key(|layer| layer.at.as_os_str().len());
        let below =
            of.and_then(|layer| Some((layer, path.as_path().strip_prefix(&layer.at).ok()?)));
        let Some((layer, below)) = below else {
            continue;
        };
        let upper = layer.upper.join(below);
        if upper
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_file())
        {
            let mut bytes = Vec::new();
            let file = File::open(upper)?.take(READABLE_BYTES);
            let read = { file }.read_to_end(&mut bytes);
            found.insert(path.clone(), read.map(|_| bytes).unwrap_or_default());
        }
    }
    Ok(found)
}

/// What was written on each of the host's file systems, in bytes.
pub(super) fn sizes(layers: &[Layer]) -> io::Result<BTreeMap<PathBuf, u64>> {
    let mut sizes = BTreeMap::new();
    for layer in layers {
        let mut total = 0;
        let mut open = vec![layer.upper.clone()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory)? {
                let entry = entry?;
                let metadata = entry.path().symlink_metadata()?;
                match metadata.is_dir() {
                    true => open.push(entry.path()),
                    false => total += metadata.blocks() * 512,
                }
            }
        }
        sizes.insert(layer.at.clone(), total);
    }
    Ok(sizes)
}

/// What of the writes is not told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Untold<'a> {
    /// Nothing in these.
    pub below: &'a [HostPath],
    /// Where data lies: in these only directories that are new, with all that is in them. What was
    /// there changes all the time.
    pub data: &'a [HostPath],
}

/// Every path that was made, changed or removed in these layers, but for what is not to be told.
pub(super) fn writes(layers: &[Layer], untold: Untold<'_>) -> io::Result<BTreeSet<HostPath>> {
    let left_out: Vec<HostPath> = EVIDENCE
        .iter()
        .chain([&OWN])
        .map(|top| HostPath::literal(top))
        .chain(untold.below.iter().cloned())
        .collect();
    let mut found = BTreeSet::new();
    for layer in layers {
        let mut open = vec![PathBuf::new()];
        while let Some(below) = open.pop() {
            for entry in std::fs::read_dir(layer.upper.join(&below))? {
                let below = below.join(entry?.file_name());
                let host = host_path(&layer.at.join(&below))?;
                if is_left_out(&host, &left_out) {
                    continue;
                }
                if is_left_out(&host, untold.data) && !is_new_data(layer, &below, &host, &found)? {
                    if layer.upper.join(&below).symlink_metadata()?.is_dir() {
                        open.push(below);
                    }
                    continue;
                }
                look(layer, below, host, &left_out, &mut found, &mut open)?;
            }
        }
    }
    Ok(found)
}

/// Is it a directory that was not there, or in one?
fn is_new_data(
    layer: &Layer,
    below: &Path,
    host: &HostPath,
    found: &BTreeSet<HostPath>,
) -> io::Result<bool> {
    let is_in_one = host.parent().is_some_and(|parent| found.contains(&parent));
    let is_directory = layer.upper.join(below).symlink_metadata()?.is_dir();
    let was_there = layer.lower.join(below).symlink_metadata().is_ok();
    Ok(!was_there && (is_directory || is_in_one))
}

fn look(
    layer: &Layer,
    below: PathBuf,
    host: HostPath,
    left_out: &[HostPath],
    found: &mut BTreeSet<HostPath>,
    open: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let (upper, lower) = (layer.upper.join(&below), layer.lower.join(&below));
    let now = upper.symlink_metadata()?;
    let before = lower.symlink_metadata().ok();
    let was_directory = before.as_ref().is_some_and(Metadata::is_dir);
    // Of what is gone, and of a directory that was made anew, all that was below went as well.
    if was_directory && (!now.is_dir() || is_opaque(&upper)?) {
        add_all(layer, &below, left_out, found)?;
    }
    if is_whiteout(&now) {
        if before.is_some() {
            found.insert(host);
        }
        return checked(found);
    }
    if now.is_dir() {
        open.push(below);
        // It is there for what lies in it, unless it is new or changed itself: what came and went
        // in it has changed its time.
        if !was_directory || !before.is_some_and(|before| is_same_directory(&before, &now)) {
            found.insert(host);
        }
        return checked(found);
    }
    found.insert(host);
    checked(found)
}

fn checked(found: &BTreeSet<HostPath>) -> io::Result<()> {
    match found.len() <= MOST_PATHS {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "it wrote more than {MOST_PATHS} paths"
        ))),
    }
}

/// A character device of number 0 stands for what was removed.
fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

fn is_opaque(upper: &Path) -> io::Result<bool> {
    let mut value = [0; 1];
    match rustix::fs::lgetxattr(upper, c"trusted.overlay.opaque", &mut value[..]) {
        Ok(1) => Ok(value == *b"y"),
        Ok(_) | Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn is_same_directory(before: &Metadata, now: &Metadata) -> bool {
    let of = |of: &Metadata| {
        let modified = (of.mtime(), of.mtime_nsec());
        (of.mode(), of.uid(), of.gid(), modified)
    };
    of(before) == of(now)
}

/// What lay below a directory of the host.
fn add_all(
    layer: &Layer,
    below: &Path,
    left_out: &[HostPath],
    found: &mut BTreeSet<HostPath>,
) -> io::Result<()> {
    let mut open = vec![below.to_owned()];
    while let Some(below) = open.pop() {
        for entry in std::fs::read_dir(layer.lower.join(&below))? {
            let entry = entry?;
            let below = below.join(entry.file_name());
            let host = host_path(&layer.at.join(&below))?;
            if is_left_out(&host, left_out) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                open.push(below);
            }
            found.insert(host);
            checked(found)?;
        }
    }
    Ok(())
}

fn is_left_out(path: &HostPath, left_out: &[HostPath]) -> bool {
    left_out.iter().any(|top| path.is_within(top))
}

fn host_path(path: &Path) -> io::Result<HostPath> {
    HostPath::from_bytes(path.as_os_str().as_encoded_bytes()).map_err(io::Error::other)
}
