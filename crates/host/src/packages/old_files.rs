//! Which running processes run old files: those that are mapped, and whose content is not there any
//! more under their names. The same bytes as another file, as an undo or a new installation puts
//! them back, are not old: whoever runs them need not be restarted.
//!
//! What can't be compared counts as old.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use model::HostPath;
use rustix::fs::{Mode, OFlags};

use super::reach::is_merged;
use super::users::{DELETED, Inode, Process, Range, deleted_ranges, maps, processes};
use crate::act::{LastLink, Root};

/// What is read at most in one look. The libraries that everything maps have some ten MB.
const BUDGET_BYTES: u64 = 256 << 20;
/// Read at once of each of two files.
const CHUNK_BYTES: usize = 64 << 10;

/// The processes that run old files; `deleted` has only these.
pub fn runs_old_files() -> Vec<Process> {
    let mut compared = Compared::default();
    let mut all = processes();
    for process in &mut all {
        let id = process.id;
        process
            .deleted
            .retain(|path| !is_of_packages(path) || !compared.is_unchanged(id, path));
    }
    all.retain(|process| !process.deleted.is_empty());
    all
}

/// Is it where packages have what runs? What lies elsewhere is of users, and is not opened.
fn is_of_packages(path: &HostPath) -> bool {
    let bytes = path.as_bytes();
    bytes.starts_with(b"/usr/") || bytes.starts_with(b"/opt/") || is_merged(bytes)
}

/// Files that were compared, each once however many have it mapped.
#[derive(Debug)]
pub struct Compared {
    /// By the device and the inode of what is mapped, and the name that it had.
    known: BTreeMap<(Vec<u8>, Vec<u8>, HostPath), bool>,
    left_bytes: u64,
}

impl Default for Compared {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            left_bytes: BUDGET_BYTES,
        }
    }
}

impl Compared {
    /// Has the file of this name now the content that the process has mapped under it? False where
    /// that can't be told.
    pub fn is_unchanged(&mut self, process: u32, path: &HostPath) -> bool {
        let folder = Path::new("/proc").join(process.to_string());
        let Some(maps) = maps(&folder) else {
            return false;
        };
        // One name may have been put in place several times.
        let mut places: BTreeMap<Inode<'_>, Range> = BTreeMap::new();
        for (range, file) in deleted_ranges(&maps, path) {
            places.entry(file).or_insert(range);
        }
        !places.is_empty()
            && places.into_iter().all(|((device, inode), range)| {
                let key = (device.to_vec(), inode.to_vec(), path.clone());
                if let Some(known) = self.known.get(&key) {
                    return *known;
                }
                let mapped = mapped_file(&folder, range, path);
                let is_same = mapped.is_some_and(|mapped| self.is_same(mapped, path));
                self.known.insert(key, is_same);
                is_same
            })
    }

    fn is_same(&mut self, mapped: File, path: &HostPath) -> bool {
        let Some(now) = file_now(path) else {
            return false;
        };
        let (Ok(one), Ok(other)) = (mapped.metadata(), now.metadata()) else {
            return false;
        };
        // Both are read.
        let cost_bytes = one.len().saturating_add(other.len());
        if !one.is_file() || one.len() != other.len() || cost_bytes > self.left_bytes {
            return false;
        }
        self.left_bytes -= cost_bytes;
        is_equal(mapped, now, one.len()).unwrap_or(false)
    }
}

/// What a process has mapped there, though it has no name any more: through proc_pid_map_files(5),
/// which only a real root may open, or as the program that it runs.
fn mapped_file(folder: &Path, (from, to): Range, path: &HostPath) -> Option<File> {
    let name = [path.as_bytes(), DELETED].concat();
    [format!("map_files/{from:x}-{to:x}"), "exe".to_owned()]
        .iter()
        .find_map(|link| {
            let link = folder.join(link);
            // Another may be mapped there meanwhile.
            let target = std::fs::read_link(&link).ok()?;
            if target.as_os_str().as_bytes() != name {
                return None;
            }
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            Some(File::from(
                rustix::fs::open(link, flags, Mode::empty()).ok()?,
            ))
        })
}

/// What lies under a name now, through no link and no directory that somebody else may write.
fn file_now(path: &HostPath) -> Option<File> {
    let place = Root::live().ok()?.find(path, LastLink::Itself).ok()?;
    match place.shared {
        true => None,
        false => place.open_file().ok()?,
    }
}

/// Compares so many bytes. A file that ends before is another one.
fn is_equal(mut one: File, mut other: File, mut left_bytes: u64) -> std::io::Result<bool> {
    let (mut first, mut second) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    while left_bytes > 0 {
        let size = CHUNK_BYTES.min(usize::try_from(left_bytes).unwrap_or(CHUNK_BYTES));
        one.read_exact(&mut first[..size])?;
        other.read_exact(&mut second[..size])?;
        if first[..size] != second[..size] {
            return Ok(false);
        }
        left_bytes -= size as u64;
    }
    Ok(true)
}
