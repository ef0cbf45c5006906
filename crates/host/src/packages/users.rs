//! Which running processes have which files of the host mapped, and whose they are: what an
//! upgrade has to restart, and what an advisory's file is exposed by.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use model::HostPath;
use rustix::io::Errno;

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
    pub maps: BTreeSet<HostPath>,
    /// Mapped files that are not there any more under their name.
    pub deleted: BTreeSet<HostPath>,
}

/// All processes that can be looked at, but for those of the kernel and for ourselves.
pub fn processes() -> Vec<Process> {
    look().0
}

/// The same, and whether all could be looked at.
pub(super) fn look() -> (Vec<Process>, bool) {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return (Vec::new(), false);
    };
    let own = std::process::id();
    let mut found = Vec::new();
    let mut whole = true;
    for id in entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|id| *id != own)
    {
        match process(id) {
            Some(process) if process.maps.is_empty() && process.deleted.is_empty() => {}
            Some(process) => found.push(process),
            // One that has ended meanwhile hides nothing.
            None => whole &= !Path::new("/proc").join(id.to_string()).exists(),
        }
    }
    found.sort_by_key(|process: &Process| process.id);
    (found, whole)
}

/// None where it can't be looked at. Those of the kernel have nothing mapped, and newer kernels
/// say so with an error.
fn process(id: u32) -> Option<Process> {
    let folder = Path::new("/proc").join(id.to_string());
    let maps = match try_read(&folder.join("maps")) {
        Ok(maps) => maps,
        Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => Vec::new(),
        Err(_) => return None,
    };
    let (maps, deleted) = parse_maps(&maps);
    let name = read(&folder.join("comm")).unwrap_or_default();
    let cgroup = read(&folder.join("cgroup")).unwrap_or_default();
    Some(Process {
        id,
        name: model::printable(name.trim_ascii_end()),
        unit: parse_unit(&cgroup),
        maps,
        deleted,
    })
}

fn read(path: &Path) -> Option<Vec<u8>> {
    try_read(path).ok()
}

fn try_read(path: &Path) -> std::io::Result<Vec<u8>> {
    crate::act::place::read_bounded(std::fs::File::open(path)?, LIMIT_BYTES)
}

/// The files of proc_pid_maps(5), and those that are deleted.
pub fn parse_maps(bytes: &[u8]) -> (BTreeSet<HostPath>, BTreeSet<HostPath>) {
    const DELETED: &[u8] = b" (deleted)";
    let (mut maps, mut deleted) = (BTreeSet::new(), BTreeSet::new());
    for line in bytes.split(|byte| *byte == b'\n') {
        // The path begins after five fields, and may hold blanks; a line feed is `\012`.
        let Some(at) = line.iter().position(|byte| *byte == b'/') else {
            continue;
        };
        let name = &line[at..];
        let (name, into) = match name.strip_suffix(DELETED) {
            Some(name) => (name, &mut deleted),
            None => (name, &mut maps),
        };
        if [&b"/dev/"[..], b"/memfd:", b"/SYSV", b"/proc/"]
            .iter()
            .any(|start| name.starts_with(start))
        {
            continue;
        }
        if let Ok(path) = HostPath::from_bytes(std::ffi::OsStr::from_bytes(name).as_bytes()) {
            into.insert(path);
        }
    }
    (maps, deleted)
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
                part.starts_with("user@") || part.ends_with(".service") || part.ends_with(".scope")
            })
        })
        .map(str::to_owned)
}
