//! Which running processes have which files of the host mapped, and whose they are: what an
//! upgrade has to restart, and what an advisory's file is exposed by.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use jiff::Timestamp;
use model::HostPath;
use rustix::io::Errno;

use super::reach::{comm, named};
use crate::act::unit::is_name;
use crate::processes::has_ended;

/// Maps of one process: a browser has ten thousand lines.
const LIMIT_BYTES: u64 = 16 << 20;

/// One process, and the files that it has mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub id: u32,
    /// What it is called (proc_pid_comm(5)).
    pub name: String,
    /// systemd's unit that it belongs to.
    pub unit: Option<String>,
    /// When it began, to the second; none where that can't be told.
    pub started: Option<Timestamp>,
    pub maps: BTreeSet<HostPath>,
    /// Mapped files that are not there any more under their name.
    pub deleted: BTreeSet<HostPath>,
    /// Since when those are not there, as far as it was asked and could be told.
    pub deleted_at: BTreeMap<HostPath, Timestamp>,
}

/// The unit that this program itself runs in.
pub fn own_unit() -> Option<String> {
    parse_unit(&read(Path::new("/proc/self/cgroup"))?)
}

/// All processes, but for those of the kernel and for ourselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processes {
    /// Those that have files mapped.
    pub seen: Vec<Process>,
    /// Those that can't be looked at: each may run anything.
    pub unseen: Vec<Unseen>,
}

/// A process of which it can't be told what it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// None stands for all processes: nobody could say which there are.
    pub id: Option<u32>,
    /// What it is called; empty where that can't be told.
    pub name: String,
    /// systemd's unit that it belongs to, where that can be told.
    pub unit: Option<String>,
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => f.write_str(&named(id, &self.name)),
            None => f.write_str("all, since /proc can't be read"),
        }
    }
}

/// Looks at every process.
pub fn processes() -> Processes {
    let mut found = Processes::default();
    let Ok(ids) = ids() else {
        found.unseen.push(Unseen {
            id: None,
            name: String::new(),
            unit: None,
        });
        return found;
    };
    for id in ids {
        let folder = Path::new("/proc").join(id.to_string());
        match process(id, &folder) {
            Some(process) if process.maps.is_empty() && process.deleted.is_empty() => {}
            Some(process) => found.seen.push(process),
            // One that has ended meanwhile hides nothing.
            None if !folder.exists() => {}
            None => found.unseen.push(Unseen {
                id: Some(id),
                name: comm(&folder),
                unit: read(&folder.join("cgroup")).and_then(|cgroup| parse_unit(&cgroup)),
            }),
        }
    }
    found.seen.sort_by_key(|process| process.id);
    found.unseen.sort_by_key(|process| process.id);
    found
}

/// The units that have processes other than ourselves. Their control groups may be read where what they
/// run may not.
///
/// # Errors
/// Where it can't be told of one of all.
pub fn units() -> io::Result<BTreeSet<String>> {
    let mut units = BTreeSet::new();
    for id in ids()? {
        match try_read(&Path::new("/proc").join(id.to_string()).join("cgroup")) {
            Ok(cgroup) => units.extend(parse_unit(&cgroup)),
            Err(error) if has_ended(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(units)
}

/// The ids of all processes but ourselves.
pub(super) fn ids() -> io::Result<Vec<u32>> {
    let own = std::process::id();
    let entries = std::fs::read_dir("/proc")?;
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    Ok(ids.filter(|id| *id != own).collect())
}

/// The bytes of a process's maps. Those of the kernel have nothing mapped, and newer kernels say
/// so with an error. None where it can't be looked at.
pub(super) fn maps(folder: &Path) -> Option<Vec<u8>> {
    match try_read(&folder.join("maps")) {
        Ok(maps) => Some(maps),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => Some(Vec::new()),
        Err(_) => None,
    }
}

/// None where it can't be looked at.
fn process(id: u32, folder: &Path) -> Option<Process> {
    let maps = maps(folder)?;
    let (maps, deleted) = parse_maps(&maps);
    let cgroup = read(&folder.join("cgroup")).unwrap_or_default();
    Some(Process {
        id,
        name: comm(folder),
        unit: parse_unit(&cgroup),
        started: read(&folder.join("stat")).and_then(|stat| {
            let seconds = booted()?.checked_add(parse_start(&stat)?)?;
            Timestamp::from_second(seconds).ok()
        }),
        maps,
        deleted,
        deleted_at: BTreeMap::new(),
    })
}

/// When the machine began, in seconds of its clock (proc_stat(5), `btime`).
fn booted() -> Option<i64> {
    static BOOTED: OnceLock<Option<i64>> = OnceLock::new();
    *BOOTED.get_or_init(|| {
        let stat = read(Path::new("/proc/stat"))?;
        let mut lines = str::from_utf8(&stat).ok()?.lines();
        lines.find_map(|line| line.strip_prefix("btime ")?.parse().ok())
    })
}

/// How many seconds after that a process began: field 22 of proc_pid_stat(5).
pub fn parse_start(stat: &[u8]) -> Option<i64> {
    /// USER_HZ, on every architecture that Debian releases.
    const TICKS_PER_SECOND: i64 = 100;
    // The name of the program may hold anything, and ends at the last parenthesis.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = str::from_utf8(&stat[end + 1..]).ok()?;
    let ticks: i64 = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

fn read(path: &Path) -> Option<Vec<u8>> {
    try_read(path).ok()
}

fn try_read(path: &Path) -> io::Result<Vec<u8>> {
    crate::act::place::read_bounded(std::fs::File::open(path)?, LIMIT_BYTES)
}

/// The files of proc_pid_maps(5), and those that are deleted.
pub fn parse_maps(bytes: &[u8]) -> (BTreeSet<HostPath>, BTreeSet<HostPath>) {
    let (mut maps, mut deleted) = (BTreeSet::new(), BTreeSet::new());
    for (name, is_deleted) in mapped(bytes) {
        let into = if is_deleted { &mut deleted } else { &mut maps };
        if let Ok(path) = HostPath::from_bytes(name) {
            into.insert(path);
        }
    }
    (maps, deleted)
}

/// Where something is mapped: from here, and up to there.
pub(super) type Range = (u64, u64);

/// The device and the inode of a mapped file, as the kernel writes them.
pub(super) type Inode<'a> = (&'a [u8], &'a [u8]);

/// The files that a process has mapped and that are deleted: where, each place once.
pub(super) fn deleted_ranges(maps: &[u8]) -> impl Iterator<Item = (&[u8], Inode<'_>, Range)> {
    let mut last: (&[u8], Inode<'_>) = (b"", (b"", b""));
    maps.split(|byte| *byte == b'\n').filter_map(move |line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let name = &line[line.iter().position(|byte| *byte == b'/')?..];
        let name = name.strip_suffix(DELETED)?;
        let (from, to) = str::from_utf8(fields.next()?).ok()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        // Permissions and offset, device, inode.
        let inode = (fields.nth(2)?, fields.next()?);
        if (name, inode) == last {
            return None;
        }
        last = (name, inode);
        Some((name, inode, (number(from)?, number(to)?)))
    })
}

/// What stands behind the name of a mapped file that is not there any more.
pub(super) const DELETED: &[u8] = b" (deleted)";

/// The names of mapped files, and whether each is deleted; a file is mapped in several parts,
/// one after the other, and is given once for those.
pub(super) fn mapped(bytes: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let mut last: &[u8] = b"";
    bytes.split(|byte| *byte == b'\n').filter_map(move |line| {
        // The path begins after five fields, and may hold blanks; a line feed is `\012`.
        let name = &line[line.iter().position(|byte| *byte == b'/')?..];
        if name == last {
            return None;
        }
        last = name;
        let (name, is_deleted) = match name.strip_suffix(DELETED) {
            Some(name) => (name, true),
            None => (name, false),
        };
        let is_file = ![&b"/dev/"[..], b"/memfd:", b"/SYSV", b"/proc/"]
            .iter()
            .any(|start| name.starts_with(start));
        is_file.then_some((name, is_deleted))
    })
}

/// The unit that a process belongs to (proc_pid_cgroup(5)): version 2 has one line, version 1
/// one of systemd's own, and a host may have both and use one.
pub fn parse_unit(bytes: &[u8]) -> Option<String> {
    let text = str::from_utf8(bytes).ok()?;
    text.lines()
        .filter(|line| line.starts_with("0::") || line.contains(":name=systemd:"))
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .find_map(|path| {
            // A user's own services belong to `user@1000.service`, which systemd of the system
            // knows; a session's scope lies in a slice.
            path.split('/').find(|part| {
                let is_one = part.starts_with("user@")
                    || part.ends_with(".service")
                    || part.ends_with(".scope");
                // Anybody with a group of their own calls those below it as they like.
                is_one && is_name(part)
            })
        })
        .map(str::to_owned)
}
