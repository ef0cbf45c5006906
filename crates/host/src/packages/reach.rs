//! How far somebody could reach a component as it runs on this host now: its files are mapped by
//! a process that listens for others, on the loopback only, or not at all; or it is merely
//! installed. What an interpreter has loaded can't be seen from outside, and is said to be
//! unknown.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use advisory::rank::{Exposure, Unseen};
use model::HostPath;
use model::component::{Component, Ecosystem, EvidenceKind};

use super::sockets::{Listening, listening};
use super::users::{ids, mapped, maps};
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
    /// Some processes could not be looked at, and none of the others has it mapped.
    Unknown,
    /// Mapped by a process that listens on an address that others reach.
    Outside,
}

/// What reads programs instead of being linked with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Language {
    Java,
    Node,
    Python,
    Ruby,
}

/// What a look at this host's processes can't tell: of a container image, and of what a lockfile
/// alone speaks of.
pub fn unseen(component: &Component) -> Option<Exposure> {
    if component.image.is_some() {
        return Some(Exposure::Unknown(Unseen::Image));
    }
    let mut kinds = component.evidence.iter().map(|evidence| evidence.how);
    kinds
        .all(|how| how == EvidenceKind::Lockfile)
        .then_some(Exposure::Declared)
}

/// What runs now.
#[derive(Clone, Debug)]
pub struct Running {
    /// Files that are mapped, and archives that are held open.
    by_file: BTreeMap<Vec<u8>, Reach>,
    interpreters: BTreeMap<Language, Reach>,
    kernel: String,
    /// Could every process be looked at?
    whole: bool,
    /// Those that could not: `nginx (812)`.
    unseen: Vec<String>,
}

/// A package's list of files: tens of thousands of lines for documentation.
pub const LIST_LIMIT_BYTES: u64 = 32 << 20;
/// Below so many processes a second thread costs more than it saves.
const ALONE: usize = 32;

impl Running {
    /// Looks at every process and its sockets, once.
    pub fn now() -> Self {
        let kernel = rustix::system::uname();
        let mut running = Self {
            by_file: BTreeMap::new(),
            interpreters: BTreeMap::new(),
            kernel: kernel.release().to_string_lossy().into_owned(),
            whole: true,
            unseen: Vec::new(),
        };
        let Ok(ids) = ids() else {
            running.whole = false;
            return running;
        };
        let threads = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(4);
        let share = match ids.len() <= ALONE {
            true => ids.len().max(1),
            false => ids.len().div_ceil(threads),
        };
        let networks = Networks::default();
        let parts: Vec<Part<'_>> = thread::scope(|scope| {
            let looking: Vec<_> = ids
                .chunks(share)
                .map(|ids| scope.spawn(|| Part::of(ids, &networks)))
                .collect();
            looking
                .into_iter()
                .map(|part| {
                    part.join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect()
        });
        for part in parts {
            running.whole &= part.whole;
            running.unseen.extend(part.unseen);
            worst(&mut running.by_file, part.by_file);
            worst(&mut running.interpreters, part.interpreters);
        }
        running
    }

    /// The processes that could not be looked at, by name and id.
    pub fn unseen(&self) -> &[String] {
        &self.unseen
    }

    /// How far a component of this host can be reached.
    pub fn of(&self, component: &Component) -> Exposure {
        if let Some(exposure) = unseen(component) {
            return exposure;
        }
        if let Some(architecture) = &component.architecture {
            return match self.of_package(&component.name, architecture) {
                Some(Reach::Unknown) => Exposure::Unknown(Unseen::Processes),
                Some(reach) => exposure(reach),
                None => Exposure::Unknown(Unseen::Files),
            };
        }
        if let Some(reach) = self.of_files(component) {
            return exposure(reach);
        }
        if !self.whole {
            return Exposure::Unknown(Unseen::Processes);
        }
        // What is compiled is mapped or does not run.
        let language = language_of(&component.ecosystem);
        let interpreter = language.and_then(|language| self.interpreters.get(&language));
        match interpreter {
            None => Exposure::Installed,
            Some(Reach::Outside | Reach::Unknown) => Exposure::Unknown(Unseen::Interpreted),
            Some(_) => Exposure::AtMostLocal,
        }
    }

    /// Of an installed package of Debian; none where it can't be told which files are its.
    pub fn of_package(&self, name: &str, architecture: &str) -> Option<Reach> {
        // Packets of others reach the running kernel before anybody listens.
        if name.strip_prefix("linux-image-") == Some(&self.kernel) {
            return Some(Reach::Outside);
        }
        let list = list_of(name, architecture)?;
        let reach = list
            .split(|byte| *byte == b'\n')
            .filter_map(|line| match is_merged(line) {
                true => self.by_file.get(&[b"/usr", line].concat()),
                false => self.by_file.get(line),
            })
            .max();
        Some(reach.copied().unwrap_or(match self.whole {
            true => Reach::Installed,
            false => Reach::Unknown,
        }))
    }

    /// By the files that prove a component, and by those beside them that can only be its own.
    fn of_files(&self, component: &Component) -> Option<Reach> {
        let reaches = component.evidence.iter().flat_map(|evidence| {
            let path = evidence.path.as_bytes();
            let own = self.by_file.get(path).copied();
            let folders = folders(component, path);
            let below = folders.into_iter().filter_map(|folder| {
                let end = [&folder[..folder.len() - 1], b"0"].concat();
                // `0` comes right after `/`.
                let below = self.by_file.range(folder..end);
                below.map(|(_, reach)| *reach).max()
            });
            own.into_iter().chain(below.collect::<Vec<_>>())
        });
        reaches.max()
    }
}

const fn exposure(reach: Reach) -> Exposure {
    match reach {
        Reach::Outside => Exposure::Outside,
        Reach::Loopback => Exposure::Loopback,
        Reach::Runs => Exposure::Runs,
        Reach::Installed => Exposure::Installed,
        Reach::Unknown => Exposure::Unknown(Unseen::Processes),
    }
}

const fn language_of(ecosystem: &Ecosystem) -> Option<Language> {
    match ecosystem {
        Ecosystem::Maven => Some(Language::Java),
        Ecosystem::Npm => Some(Language::Node),
        Ecosystem::PyPi => Some(Language::Python),
        Ecosystem::RubyGems => Some(Language::Ruby),
        Ecosystem::Debian { .. }
        | Ecosystem::OtherDpkg { .. }
        | Ecosystem::Apk { .. }
        | Ecosystem::CratesIo
        | Ecosystem::Go => None,
    }
}

/// The folders of a component's own files, each with a slash at its end: shared objects of a
/// package of Python, Node or Ruby are mapped like any other.
fn folders(component: &Component, evidence: &[u8]) -> Vec<Vec<u8>> {
    let path = Path::new(std::ffi::OsStr::from_bytes(evidence));
    let folder = |path: &Path| [path.as_os_str().as_bytes(), b"/"].concat();
    match component.ecosystem {
        Ecosystem::Npm => path.parent().map(folder).into_iter().collect(),
        // `site-packages/NAME-1.0.dist-info/METADATA` lies beside `site-packages/NAME/`.
        Ecosystem::PyPi => {
            let Some(site) = path.ancestors().nth(2) else {
                return Vec::new();
            };
            let normal = component.name.to_lowercase().replace(['-', '.'], "_");
            let names = [
                component.name.clone(),
                normal.clone(),
                format!("{normal}.libs"),
            ];
            names.iter().map(|name| folder(&site.join(name))).collect()
        }
        // `specifications/NAME-1.0.gemspec` lies beside `gems/NAME-1.0/`.
        Ecosystem::RubyGems => {
            let (Some(stem), Some(home)) = (path.file_stem(), path.ancestors().nth(2)) else {
                return Vec::new();
            };
            vec![folder(&home.join("gems").join(stem))]
        }
        _ => Vec::new(),
    }
}

fn worst<K: Ord>(all: &mut BTreeMap<K, Reach>, more: BTreeMap<K, Reach>) {
    for (key, reach) in more {
        let known = all.entry(key).or_insert(reach);
        *known = reach.max(*known);
    }
}

/// The files of an installed package, as dpkg lists them. None where it has no list.
pub fn files_of(name: &str, architecture: &str) -> Option<Vec<HostPath>> {
    Some(files_in(&list_of(name, architecture)?))
}

/// The files in a list of dpkg's, as they are named on a merged host.
pub fn files_in(list: &[u8]) -> Vec<HostPath> {
    let lines = list.split(|byte| *byte == b'\n');
    let paths = lines.map(|line| match is_merged(line) {
        true => HostPath::from_bytes(&[b"/usr", line].concat()),
        false => HostPath::from_bytes(line),
    });
    paths.filter_map(Result::ok).collect()
}

/// Where dpkg's list of a package's files is: under one of these names.
pub fn lists_of(name: &str, architecture: &str) -> [String; 2] {
    let folder = "/var/lib/dpkg/info";
    [
        format!("{folder}/{name}.list"),
        format!("{folder}/{name}:{architecture}.list"),
    ]
}

fn list_of(name: &str, architecture: &str) -> Option<Vec<u8>> {
    lists_of(name, architecture)
        .iter()
        .find_map(|path| read_bounded(std::fs::File::open(path).ok()?, LIST_LIMIT_BYTES).ok())
}

/// Packages may still name `/lib`, which is `/usr/lib` on a merged host.
pub(super) fn is_merged(line: &[u8]) -> bool {
    [&b"/lib/"[..], b"/lib64/", b"/bin/", b"/sbin/"]
        .iter()
        .any(|top| line.starts_with(top))
}

/// The listening sockets of each network, found once for all threads.
type Networks = Mutex<BTreeMap<u64, Arc<Listening>>>;

/// What some of the processes have.
struct Part<'a> {
    by_file: BTreeMap<Vec<u8>, Reach>,
    interpreters: BTreeMap<Language, Reach>,
    whole: bool,
    unseen: Vec<String>,
    networks: &'a Networks,
}

impl<'a> Part<'a> {
    fn of(ids: &[u32], networks: &'a Networks) -> Self {
        let mut part = Self {
            by_file: BTreeMap::new(),
            interpreters: BTreeMap::new(),
            whole: true,
            unseen: Vec::new(),
            networks,
        };
        for id in ids {
            let folder = Path::new("/proc").join(id.to_string());
            match maps(&folder) {
                Some(maps) if maps.is_empty() => {}
                Some(maps) => part.take(*id, &folder, &maps),
                // One that has ended meanwhile hides nothing.
                None if !folder.exists() => {}
                None => {
                    part.whole = false;
                    part.unseen.push(named(*id, &comm(&folder)));
                }
            }
        }
        part
    }

    fn take(&mut self, id: u32, folder: &Path, maps: &[u8]) {
        let files: Vec<&[u8]> = mapped(maps).map(|(name, _)| name).collect();
        let mut languages: Vec<Language> = files.iter().filter_map(|name| language(name)).collect();
        languages.dedup();
        let has_archives = languages.contains(&Language::Java);
        let (reach, archives) = self.reach(folder, has_archives);
        if reach == Reach::Unknown {
            self.unseen.push(named(id, &comm(folder)));
        }
        let files = files.into_iter().map(<[u8]>::to_vec).chain(archives);
        worst(&mut self.by_file, files.map(|name| (name, reach)).collect());
        let languages = languages.into_iter().map(|language| (language, reach));
        worst(&mut self.interpreters, languages.collect());
    }

    /// Whom a process listens for, by its own sockets in its own network; and the archives that
    /// it holds open, which a Java machine reads without mapping them.
    fn reach(&self, folder: &Path, has_archives: bool) -> (Reach, Vec<Vec<u8>>) {
        let Ok(network) = std::fs::metadata(folder.join("ns/net")) else {
            return (Reach::Unknown, Vec::new());
        };
        let sockets = {
            let mut networks = match self.networks.lock() {
                Ok(networks) => networks,
                // Another thread has panicked, which is told when it is joined.
                Err(poisoned) => poisoned.into_inner(),
            };
            let known = networks.entry(network.ino());
            known.or_insert_with(|| Arc::new(listening(folder))).clone()
        };
        if sockets.is_empty() && !has_archives {
            return (Reach::Runs, Vec::new());
        }
        let Ok(entries) = std::fs::read_dir(folder.join("fd")) else {
            return (Reach::Unknown, Vec::new());
        };
        let (mut reach, mut archives) = (Reach::Runs, Vec::new());
        for target in entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()) {
            let target = target.as_os_str().as_bytes();
            match socket(target).and_then(|number| sockets.get(&number)) {
                Some(true) => reach = reach.max(Reach::Loopback),
                Some(false) => reach = Reach::Outside,
                None if has_archives && target.starts_with(b"/") => archives.push(target.to_vec()),
                None => {}
            }
        }
        (reach, archives)
    }
}

/// What a process is called, which everybody may read (proc_pid_comm(5)). Empty where it can't be told.
pub(super) fn comm(folder: &Path) -> String {
    let file = std::fs::File::open(folder.join("comm"));
    let name = file.ok().and_then(|file| read_bounded(file, 4096).ok());
    model::printable(name.unwrap_or_default().trim_ascii_end())
}

/// `nginx (812)`.
pub(super) fn named(id: u32, name: &str) -> String {
    match name.is_empty() {
        true => format!("process {id}"),
        false => format!("{name} ({id})"),
    }
}

/// `socket:[1234]` (proc_pid_fd(5)).
fn socket(target: &[u8]) -> Option<u64> {
    let number = target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    str::from_utf8(number).ok()?.parse().ok()
}

/// Whose interpreter a mapped file is part of.
fn language(path: &[u8]) -> Option<Language> {
    let name = path.rsplit(|byte| *byte == b'/').next()?;
    let numbered = |stem: &[u8]| {
        let rest = name.strip_prefix(stem);
        rest.is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_digit))
    };
    let starts = |stem: &[u8]| name.starts_with(stem);
    if numbered(b"python") || numbered(b"libpython") || numbered(b"pypy") || starts(b"libpypy") {
        Some(Language::Python)
    } else if numbered(b"node") || name == b"nodejs" || starts(b"libnode.so") || name == b"bun" {
        Some(Language::Node)
    } else if numbered(b"ruby") || starts(b"libruby") {
        Some(Language::Ruby)
    } else if name == b"libjvm.so" {
        Some(Language::Java)
    } else {
        None
    }
}
