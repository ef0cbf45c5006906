//! How far somebody could reach the files of a package as they run on this host now: mapped by a
//! process that listens for others, on the loopback only, or not at all; or merely installed.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use model::HostPath;

use super::users::look;
use crate::act::place::read_bounded;

/// From the mildest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Nothing that runs has it mapped.
    Installed,
    /// Mapped by a process that does not listen.
    Runs,
    /// Mapped by a process that listens on the loopback only.
    Loopback,
    /// Mapped by a process that listens on an address that others reach.
    Outside,
    /// Some processes could not be looked at, and none of the others has it mapped.
    Unknown,
}

/// What runs now.
#[derive(Clone, Debug)]
pub struct Running {
    by_file: BTreeMap<HostPath, Reach>,
    kernel: String,
    /// Could every process be looked at?
    whole: bool,
}

/// A package's list of files: tens of thousands of lines for documentation.
const LIST_LIMIT_BYTES: u64 = 32 << 20;
/// A host with more sockets than this fills the file.
const SOCKETS_LIMIT_BYTES: u64 = 64 << 20;

impl Running {
    /// Looks at every process and its sockets.
    pub fn now() -> Self {
        let (processes, whole) = look();
        let mut sockets: BTreeMap<u64, BTreeMap<u64, bool>> = BTreeMap::new();
        let mut by_file: BTreeMap<HostPath, Reach> = BTreeMap::new();
        for process in processes {
            let reach = reach_of(process.id, &mut sockets);
            for path in process.maps.into_iter().chain(process.deleted) {
                let known = by_file.entry(path).or_insert(reach);
                *known = reach.max(*known);
            }
        }
        Self {
            by_file,
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            whole,
        }
    }

    /// Of an installed package of Debian.
    pub fn of_package(&self, name: &str, architecture: &str) -> Reach {
        // Packets of others reach the running kernel before anybody listens.
        if name.strip_prefix("linux-image-") == Some(&self.kernel) {
            return Reach::Outside;
        }
        let none = match self.whole {
            true => Reach::Installed,
            false => Reach::Unknown,
        };
        let Some(files) = files_of(name, architecture) else {
            return Reach::Unknown;
        };
        files
            .iter()
            .filter_map(|path| self.by_file.get(path).copied())
            .max()
            .unwrap_or(none)
    }
}

/// The files of an installed package, as dpkg lists them. None where it has no list.
pub fn files_of(name: &str, architecture: &str) -> Option<Vec<HostPath>> {
    let lists = [
        format!("{name}.list"),
        format!("{name}:{architecture}.list"),
    ];
    let list = lists.iter().find_map(|list| {
        let path = Path::new("/var/lib/dpkg/info").join(list);
        read_bounded(std::fs::File::open(path).ok()?, LIST_LIMIT_BYTES).ok()
    })?;
    let lines = list.split(|byte| *byte == b'\n');
    Some(
        lines
            .filter_map(|line| HostPath::from_bytes(&merged(line)).ok())
            .collect(),
    )
}

/// Packages may still name `/lib`, which is `/usr/lib` on a merged host.
fn merged(line: &[u8]) -> Vec<u8> {
    let is_below = [&b"/lib/"[..], b"/lib64/", b"/bin/", b"/sbin/"]
        .iter()
        .any(|top| line.starts_with(top));
    match is_below {
        true => [b"/usr", line].concat(),
        false => line.to_vec(),
    }
}

/// Whom a process listens for, by its own sockets in its own network.
fn reach_of(id: u32, known: &mut BTreeMap<u64, BTreeMap<u64, bool>>) -> Reach {
    let folder = Path::new("/proc").join(id.to_string());
    let Ok(network) = std::fs::metadata(folder.join("ns/net")).map(|network| network.ino()) else {
        return Reach::Runs;
    };
    let sockets = known.entry(network).or_insert_with(|| listening(&folder));
    let Ok(entries) = std::fs::read_dir(folder.join("fd")) else {
        return Reach::Runs;
    };
    entries
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|target| {
            let number = target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?
                .parse::<u64>()
                .ok()?;
            sockets.get(&number).copied()
        })
        .map(|only_loopback| match only_loopback {
            true => Reach::Loopback,
            false => Reach::Outside,
        })
        .max()
        .unwrap_or(Reach::Runs)
}

/// The sockets that listen in a process's network, and whether only on the loopback.
fn listening(folder: &Path) -> BTreeMap<u64, bool> {
    let mut found = BTreeMap::new();
    for (name, state) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")] {
        let path = folder.join("net").join(name);
        let bytes =
            std::fs::File::open(path).and_then(|file| read_bounded(file, SOCKETS_LIMIT_BYTES));
        found.extend(parse_sockets(&bytes.unwrap_or_default(), state));
    }
    found
}

/// Reads proc_net(5): the inode of each socket in `state`, and whether its own address is one of
/// the loopback.
pub fn parse_sockets(bytes: &[u8], state: &str) -> BTreeMap<u64, bool> {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (own, now, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
            let (address, _) = own.split_once(':')?;
            (*now == state).then(|| Some((inode.parse().ok()?, is_loopback(address))))?
        })
        .collect()
}

/// Addresses are in hex, each 32 bits in the machine's own order.
fn is_loopback(hex: &str) -> bool {
    // ::1, and 127.0.0.0/8, also within IPv6.
    let one = match cfg!(target_endian = "little") {
        true => "00000000000000000000000001000000",
        false => "00000000000000000000000000000001",
    };
    let last_word = hex.get(hex.len().saturating_sub(8)..).unwrap_or(hex);
    let is_mapped = hex.len() == 32 && hex.starts_with("0000000000000000FFFF0000");
    let is_v4 = hex.len() == 8 || is_mapped;
    let first_byte = match cfg!(target_endian = "little") {
        true => last_word.get(6..8),
        false => last_word.get(0..2),
    };
    hex == one || is_v4 && first_byte == Some("7F")
}
