//! What a rehearsal told, kept for as long as nothing that it rests on has changed: a plan that is
//! reviewed and then applied need not be rehearsed twice. Kept in the state directory, a few of them;
//! what does not fit in every input is as if it were not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::patching::DebconfAnswer;
use model::{Digest, HostPath, PackageUpgrade};
use serde::{Deserialize, Serialize};

use super::changes::Changes;
use super::rehearsal::{Check, Room, UpgradeRehearsed};
use crate::act::place::read_bounded;
use crate::rehearse::Place;
use crate::state::State;

/// Below the state directory.
const FOLDER: &str = "rehearsals";
/// Raise it when a rehearsal tells more, or does something else.
const FORMAT: u32 = 2;
/// A plan that is under review, and some that are not taken.
const KEPT: usize = 4;
/// The write set of an upgrade of everything has some 100,000 paths.
const LIMIT_BYTES: u64 = 64 << 20;
/// What runs on a host, and what users write, is no input that could be compared.
const OLDEST: SignedDuration = SignedDuration::from_hours(7 * 24);
/// dpkg's and apt's databases, and what decides how they behave.
const FILES: [&str; 9] = [
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/arch",
    "/var/lib/dpkg/diversions",
    "/var/lib/dpkg/statoverride",
    "/var/lib/apt/extended_states",
    "/etc/dpkg/dpkg.cfg",
    "/etc/kernel-img.conf",
    "/var/cache/debconf/config.dat",
    "/proc/self/mounts",
];
/// Folders of which each file counts, by its name, its size and when it was last changed.
const FOLDERS: [&str; 20] = [
    "/var/lib/apt/lists",
    "/etc/apt",
    "/etc/apt/apt.conf.d",
    "/etc/apt/preferences.d",
    "/etc/apt/sources.list.d",
    "/etc/dpkg/dpkg.cfg.d",
    "/var/lib/dpkg/info",
    "/var/lib/dpkg/alternatives",
    "/var/lib/dpkg/triggers",
    crate::records::UPDATES,
    // What scripts of packages look up, and what they run.
    "/etc/default",
    "/etc/default/grub.d",
    "/etc/initramfs-tools",
    "/etc/initramfs-tools/conf.d",
    "/etc/initramfs-tools/hooks",
    "/etc/kernel",
    "/etc/kernel/postinst.d",
    "/etc/kernel/postrm.d",
    "/etc/kernel/preinst.d",
    "/etc/kernel/prerm.d",
];

/// What is asked for: the rest of what a rehearsal rests on is the host's.
#[derive(Debug, Serialize)]
pub struct Asked<'a> {
    pub packages: &'a [PackageUpgrade],
    pub unfinished: &'a [String],
    pub checks: Vec<(&'a [String], u64)>,
    pub data: &'a [HostPath],
    pub limit_seconds: u64,
    pub answers: &'a [DebconfAnswer],
}

impl<'a> Asked<'a> {
    pub fn of(
        packages: &'a [PackageUpgrade],
        unfinished: &'a [String],
        answers: &'a [DebconfAnswer],
        checks: &'a [Check],
        data: &'a [HostPath],
        limit: Duration,
    ) -> Self {
        let checks = checks.iter();
        Self {
            packages,
            unfinished,
            checks: checks
                .map(|check| (check.argv.as_slice(), check.limit.as_secs()))
                .collect(),
            data,
            limit_seconds: limit.as_secs(),
            answers,
        }
    }

    /// Of everything that a rehearsal of it rests on, but for the paths that it writes: these are
    /// only known afterwards.
    fn digest(&self) -> std::io::Result<Digest> {
        let mut files: BTreeMap<&str, Digest> = BTreeMap::new();
        for path in FILES {
            let bytes = match File::open(path) {
                Ok(file) => read_bounded(file, LIMIT_BYTES)?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(error),
            };
            files.insert(path, Digest::of(&bytes));
        }
        let mut folders: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
        for folder in FOLDERS {
            folders.insert(folder, entries(Path::new(folder))?);
        }
        let kernel = rustix::system::uname();
        let all = serde_json::to_vec(&(
            FORMAT,
            env!("CARGO_PKG_VERSION"),
            kernel.release().to_string_lossy(),
            self,
            files,
            folders,
        ))
        .map_err(std::io::Error::other)?;
        Ok(Digest::of(&all))
    }
}

/// The entries of a folder as they are, and what those lead to that are links.
fn entries(folder: &Path) -> std::io::Result<BTreeMap<String, String>> {
    let listed = match std::fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut all = BTreeMap::new();
    for entry in listed {
        let entry = entry?;
        let name = entry.file_name();
        // apt's and dpkg's own locks, and what is just being fetched.
        if matches!(name.as_encoded_bytes(), b"lock" | b"Lock" | b"partial") {
            continue;
        }
        let mut looks = seen(&entry.path());
        if entry.file_type()?.is_symlink() {
            looks.push_str(" -> ");
            looks.push_str(&told(entry.path().metadata()));
        }
        // Names that differ only in what is no text are kept apart.
        all.insert(name.as_encoded_bytes().escape_ascii().to_string(), looks);
    }
    Ok(all)
}

/// A path as it is, without what reading changes. What takes its place, or changes it, is seen by the
/// time at which its inode changed, which nobody can set (inode(7)).
fn seen(path: &Path) -> String {
    told(path.symlink_metadata())
}

fn told(meta: std::io::Result<Metadata>) -> String {
    match meta {
        Ok(meta) => format!(
            "{:o} {} {} {} {} {}.{}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.ino(),
            if meta.is_dir() { 0 } else { meta.len() },
            if meta.is_dir() { 0 } else { meta.ctime() },
            if meta.is_dir() { 0 } else { meta.ctime_nsec() },
        ),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// All paths of a write set, as they are on the host.
fn written(writes: &BTreeSet<HostPath>) -> Digest {
    let lines = writes.iter().map(|path| seen(path.as_path()));
    Digest::of(lines.collect::<Vec<_>>().join("\n").as_bytes())
}

/// As it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    inputs: Digest,
    at: Timestamp,
    /// How the paths that it writes were, before any of it.
    written: Digest,
    writes: BTreeSet<HostPath>,
    on_disk: bool,
    is_bounded: bool,
    room: Vec<(PathBuf, u64)>,
    conflicts: Vec<(HostPath, Vec<u8>)>,
    questions: Vec<String>,
    changes: BTreeMap<String, Changes>,
    took_ms: u64,
}

/// A rehearsal that was done before.
#[derive(Clone, Debug)]
pub struct Remembered {
    pub at: Timestamp,
    pub took: Duration,
    pub rehearsed: UpgradeRehearsed,
}

/// Keeps it. Where it can't be kept, it is done again.
pub fn remember(
    state: &State,
    asked: &Asked<'_>,
    now: Timestamp,
    took: Duration,
    rehearsed: &UpgradeRehearsed,
) {
    // What does not pass is never taken for what does.
    if !rehearsed.broken.is_empty() {
        return;
    }
    let Ok(inputs) = asked.digest() else {
        return;
    };
    let kept = Kept {
        inputs,
        at: now,
        written: written(&rehearsed.writes),
        writes: rehearsed.writes.clone(),
        on_disk: rehearsed.place == Place::Disk,
        is_bounded: rehearsed.is_bounded,
        room: rehearsed
            .room
            .iter()
            .map(|room| (room.at.clone(), room.written_bytes))
            .collect(),
        conflicts: rehearsed.conflicts.clone().into_iter().collect(),
        questions: rehearsed.questions.clone(),
        changes: rehearsed.changes.clone(),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    };
    let folder = state.directory().join(FOLDER);
    let keep = || -> std::io::Result<()> {
        if !folder.is_dir() {
            std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        }
        let bytes = serde_json::to_vec(&kept).map_err(std::io::Error::other)?;
        if bytes.len() as u64 > LIMIT_BYTES {
            return Ok(());
        }
        let new = folder.join("new");
        let _ = std::fs::remove_file(&new);
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        // Damage is seen by it: half of it written, or another's bytes.
        writeln!(file, "{}", Digest::of(&bytes))?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, folder.join(format!("{inputs}.json")))
    };
    let _ = keep();
    drop_oldest(&folder);
}

fn drop_oldest(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<_> = entries
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    all.sort();
    let more = all.len().saturating_sub(KEPT);
    for (_, path) in all.into_iter().take(more) {
        let _ = std::fs::remove_file(path);
    }
}

/// The rehearsal of the same, where nothing that it rests on has changed since, and there is room for
/// what it writes.
pub fn recall(state: &State, asked: &Asked<'_>, now: Timestamp) -> Option<Remembered> {
    let inputs = asked.digest().ok()?;
    let path = state
        .directory()
        .join(FOLDER)
        .join(format!("{inputs}.json"));
    let bytes = read_bounded(File::open(path).ok()?, LIMIT_BYTES + 128).ok()?;
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (digest, rest) = bytes.split_at(end);
    let body = &rest[1..];
    if Digest::of(body).to_string().as_bytes() != digest {
        return None;
    }
    let kept: Kept = serde_json::from_slice(body).ok()?;
    let age = now.duration_since(kept.at);
    if kept.inputs != inputs
        || age.is_negative()
        || age > OLDEST
        || kept.written != written(&kept.writes)
    {
        return None;
    }
    let room: Option<Vec<Room>> = kept
        .room
        .into_iter()
        .map(|(at, written_bytes)| Room::now(at, written_bytes))
        .collect();
    Some(Remembered {
        at: kept.at,
        took: Duration::from_millis(kept.took_ms),
        rehearsed: UpgradeRehearsed {
            writes: kept.writes,
            place: match kept.on_disk {
                true => Place::Disk,
                false => Place::Memory,
            },
            is_bounded: kept.is_bounded,
            room: room?,
            broken: BTreeMap::new(),
            conflicts: kept.conflicts.into_iter().collect(),
            questions: kept.questions,
            changes: kept.changes,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_looks_otherwise_when_anything_in_it_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let inside = folder.path().join("conf.d");
        let look = || entries(&inside).expect("a look");
        assert!(look().is_empty(), "there is none");
        std::fs::create_dir(&inside).expect("made");
        let elsewhere = folder.path().join("proxy");
        std::fs::write(&elsewhere, "one").expect("written");
        std::os::unix::fs::symlink(&elsewhere, inside.join("99proxy")).expect("a link");
        let first = look();
        assert_eq!(first, look(), "nothing changed");
        std::fs::write(&elsewhere, "two, and longer").expect("written");
        let second = look();
        assert_ne!(first, second, "what the link leads to");
        std::fs::write(inside.join("lock"), "").expect("written");
        assert_eq!(second, look(), "a lock is no input");
        std::fs::write(inside.join("00new"), "").expect("written");
        assert_ne!(second, look(), "a new file");
        // What can't be listed is not empty.
        assert!(entries(&elsewhere).is_err());
    }
}
