//! Which files may speak of components: by their names, or because they may be run. None is
//! opened here.

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use model::HostPath;
use model::value::OtherRoot;
use rustix::fs::{self, AtFlags, FileType as RawType, Statx, StatxFlags};

use super::{java, python, rust};
use crate::walk::starts::Start;
use crate::walk::traverse::{Here, NotRead, Unreadable, Visit, Walked, raw_type, traverse};

/// More than this are not looked into, of root's files and of those of all others: a host with a
/// hundred checkouts of a large web application has half as many.
const MOST_CANDIDATES: usize = 1_000_000;
/// Of one user's files.
const MOST_OF_USER: usize = 500_000;
/// The paths of so many files; of one user's, half of it.
const PATHS_LIMIT_BYTES: usize = 256 << 20;

/// What a file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    PythonMetadata,
    /// A wheel or an egg that is one file.
    PythonArchive,
    /// A list of the copies in a `_vendor` directory.
    PythonVendored,
    NodePackage,
    NodeLock,
    Java,
    Gem,
    GoVendored,
    /// The manifest of a crate that `cargo vendor` copied.
    CargoVendored,
    Program,
}

/// A file to look into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    pub path: HostPath,
    pub kind: Kind,
    pub owner: u32,
    /// Which file it is, when that has more than one name.
    pub linked: Option<FileId>,
}

/// A file by whatever name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    device: (u32, u32),
    inode: u64,
}

impl FileId {
    /// Of a file that has more than one name.
    pub fn of_linked(stat: &Statx) -> Option<Self> {
        (stat.stx_nlink > 1).then_some(Self {
            device: (stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
        })
    }

    /// The same, of one that is open.
    pub fn of(file: &impl AsFd) -> Option<Self> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let stat = fs::statx(file, c"", flags, StatxFlags::NLINK | StatxFlags::INO);
        Self::of_linked(&stat.ok()?)
    }
}

/// What was found, and what could not be entered.
pub struct Search {
    /// Sorted.
    pub candidates: Vec<Candidate>,
    pub unreadable: Unreadable,
    /// Files that are more than are looked into.
    pub left_out: usize,
    /// Directories that look like stores of images, and their owners. Sorted.
    pub stores: Vec<(HostPath, u32)>,
    /// Sorted.
    pub other_roots: Vec<OtherRoot>,
}

/// `layers` are directories with the files of images, which are looked at as such.
pub fn search(
    starts: &[Start],
    layers: &HashSet<Vec<u8>>,
    is_root: bool,
    entries_seen: &(dyn Fn(u64) + Sync),
) -> Search {
    let room = Mutex::new(Room::default());
    let visitor = || Candidates {
        layers,
        found: Vec::new(),
        stores: Vec::new(),
        room: &room,
    };
    let Walked {
        visitors,
        unreadable,
        other_roots,
    } = traverse(starts, is_root, &visitor, entries_seen);
    let mut candidates = Vec::new();
    let mut stores = Vec::new();
    for visitor in visitors {
        stores.extend(visitor.stores);
        candidates.extend(visitor.found);
    }
    stores.sort();
    stores.dedup();
    candidates.sort();
    let room = room.into_inner().unwrap_or_else(PoisonError::into_inner);
    Search {
        candidates,
        unreadable,
        left_out: room.left_out,
        stores,
        other_roots,
    }
}

/// How many files there are, and whose: nobody takes the place of root's.
#[derive(Default)]
struct Room {
    of_root: Taken,
    of_others: Taken,
    by_owner: HashMap<u32, Taken>,
    left_out: usize,
}

/// What is held of one owner's.
#[derive(Clone, Copy, Default)]
struct Taken {
    files: usize,
    path_bytes: usize,
}

impl Taken {
    fn with(self, path: &[u8]) -> Self {
        Self {
            files: self.files + 1,
            path_bytes: self.path_bytes + path.len(),
        }
    }

    const fn is_within(self, files: usize, path_bytes: usize) -> bool {
        self.files <= files && self.path_bytes <= path_bytes
    }
}

impl Room {
    /// Takes in a file of this owner, unless there are too many.
    fn take(&mut self, owner: u32, path: &[u8]) -> bool {
        let fits = match owner {
            0 => {
                let taken = self.of_root.with(path);
                let fits = taken.is_within(MOST_CANDIDATES, PATHS_LIMIT_BYTES);
                self.of_root = if fits { taken } else { self.of_root };
                fits
            }
            owner => {
                let own = self.by_owner.entry(owner).or_default();
                let (taken, all) = (own.with(path), self.of_others.with(path));
                let fits = taken.is_within(MOST_OF_USER, PATHS_LIMIT_BYTES / 2)
                    && all.is_within(MOST_CANDIDATES, PATHS_LIMIT_BYTES);
                if fits {
                    (*own, self.of_others) = (taken, all);
                }
                fits
            }
        };
        self.left_out += usize::from(!fits);
        fits
    }
}

struct Candidates<'a> {
    layers: &'a HashSet<Vec<u8>>,
    found: Vec<Candidate>,
    stores: Vec<(HostPath, u32)>,
    room: &'a Mutex<Room>,
}

impl Candidates<'_> {
    fn has_room(&self, owner: u32, path: &HostPath) -> bool {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        room.take(owner, path.as_bytes())
    }
}

impl Visit for Candidates<'_> {
    const OF_THIS_HOST: bool = true;

    fn wants(&self, name: &CStr, file_type: RawType) -> bool {
        let name = name.to_bytes();
        file_type == RawType::RegularFile && (may_speak(name) || may_be_program(name))
    }

    fn enters(&self, path: &[u8]) -> bool {
        // What no known store covers is looked into as files: the store of a user whom a directory
        // service knows, or in a copy of a home.
        !self.layers.contains(path)
    }

    fn entry(&mut self, here: &mut Here<'_>, name: &CStr, stat: &Statx) -> Result<(), NotRead> {
        if here.in_other_root {
            return Ok(());
        }
        let name = name.to_bytes();
        if raw_type(stat) == RawType::Directory {
            let store = store(&here.path(b""), name).and_then(|at| HostPath::from_bytes(at).ok());
            // More than are looked into count as files that are not.
            if let Some(store) = store
                && self.has_room(stat.stx_uid, &store)
            {
                self.stores.push((store, stat.stx_uid));
            }
            return Ok(());
        }
        if raw_type(stat) != RawType::RegularFile || stat.stx_size == 0 {
            return Ok(());
        }
        let is_executable = stat.stx_mode & 0o111 != 0 && may_be_program(name);
        let by_name = may_speak(name)
            .then(|| kind(&here.path(b""), name))
            .flatten();
        let Some(kind) = by_name.or(is_executable.then_some(Kind::Program)) else {
            return Ok(());
        };
        let path = HostPath::from_bytes(&here.path(speaker(kind, name))).map_err(|_| NotRead)?;
        if !self.has_room(stat.stx_uid, &path) {
            return Ok(());
        }
        self.found.push(Candidate {
            path,
            kind,
            owner: stat.stx_uid,
            linked: FileId::of_linked(stat),
        });
        Ok(())
    }
}

/// The store of images that has a directory of this name in this one: a store of podman, of Docker
/// (`image/overlay2/imagedb`), or of containerd.
fn store<'a>(directory: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match name {
        b"overlay-images" | b"vfs-images" | b"io.containerd.content.v1.content" => Some(directory),
        b"imagedb" => {
            let (above, _) = split(directory)?;
            let (store, image) = split(above)?;
            (image == b"image").then_some(store)
        }
        _ => None,
    }
}

fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    Some((&path[..slash.max(1)], &path[slash + 1..]))
}

/// A quick look at the name alone.
fn may_speak(name: &[u8]) -> bool {
    matches!(
        name,
        b"METADATA"
            | b"PKG-INFO"
            | b"vendor.txt"
            | b"vendored.txt"
            | b"package.json"
            | b"package-lock.json"
            | b"npm-shrinkwrap.json"
            | b"modules.txt"
            | b".cargo-checksum.json"
    ) || name.ends_with(b".egg-info")
        || name.ends_with(b".gemspec")
        || name.ends_with(b".gem")
        || python::is_archive(name)
        || java::is_archive(name)
}

/// What a file of this name is in this directory.
pub fn kind(directory: &[u8], name: &[u8]) -> Option<Kind> {
    let mut parents = directory.rsplit(|byte| *byte == b'/');
    let parent = parents.next().unwrap_or_default();
    match name {
        b"METADATA" => parent
            .ends_with(b".dist-info")
            .then_some(Kind::PythonMetadata),
        b"PKG-INFO" => (parent.ends_with(b".egg-info") || parent == b"EGG-INFO")
            .then_some(Kind::PythonMetadata),
        b"vendor.txt" | b"vendored.txt" => (parent == b"_vendor").then_some(Kind::PythonVendored),
        b"modules.txt" => {
            // In the cache of modules (`PATH@VERSION`), the list lies without what it lists: what
            // a module has copied is not a part of it, but its list is.
            let is_cache = directory.contains(&b'@');
            (parent == b"vendor" && !is_cache).then_some(Kind::GoVendored)
        }
        b".cargo-checksum.json" => Some(Kind::CargoVendored),
        b"package.json" => {
            // Of an installed package only its own: what lies deeper is a part of it, such as
            // made-up packages for its tests.
            let grandparent = parents.next().unwrap_or_default();
            let is_own = grandparent == b"node_modules"
                || grandparent.starts_with(b"@") && parents.next() == Some(b"node_modules");
            let is_within = directory
                .split(|byte| *byte == b'/')
                .any(|part| part == b"node_modules");
            (is_own || !is_within).then_some(Kind::NodePackage)
        }
        b"package-lock.json" | b"npm-shrinkwrap.json" => Some(Kind::NodeLock),
        _ if name.ends_with(b".egg-info") => Some(Kind::PythonMetadata),
        _ if name.ends_with(b".gemspec") => {
            let is_installed = parent == b"specifications"
                || parent == b"default" && parents.next() == Some(b"specifications");
            is_installed.then_some(Kind::Gem)
        }
        _ if name.ends_with(b".gem") => {
            // Caches of other names hold what was installed, or only fetched.
            (parent == b"cache" && parents.next() == Some(b"vendor")).then_some(Kind::Gem)
        }
        _ if python::is_archive(name) => Some(Kind::PythonArchive),
        _ => java::is_archive(name).then_some(Kind::Java),
    }
}

/// The file that is looked into when one of this name was found: that a crate was copied is said
/// by another file than which one it is.
pub fn speaker(kind: Kind, name: &[u8]) -> &[u8] {
    match kind {
        Kind::CargoVendored => rust::MANIFEST.as_bytes(),
        _ => name,
    }
}

/// Endings of files that no linker writes. Most files of a host have one, and need not be
/// looked at.
const NO_PROGRAMS: [&[u8]; 40] = [
    b"c", b"cc", b"conf", b"cpp", b"crt", b"css", b"csv", b"deb", b"gif", b"go", b"gz", b"h",
    b"hpp", b"htm", b"html", b"ico", b"jar", b"jpg", b"js", b"json", b"list", b"map", b"md",
    b"md5sums", b"mjs", b"mo", b"pem", b"pl", b"pm", b"png", b"po", b"py", b"pyc", b"rb", b"rs",
    b"svg", b"ts", b"txt", b"xml", b"xz",
];

pub fn may_be_program(name: &[u8]) -> bool {
    match memchr::memrchr(b'.', name) {
        Some(dot) => !NO_PROGRAMS.contains(&&name[dot + 1..]),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_CANDIDATES, MOST_OF_USER, Room};

    #[test]
    fn nobody_takes_the_place_of_others() {
        let mut room = Room::default();
        let takes = |room: &mut Room, owner, path: &[u8], times| {
            (0..times).filter(|_| room.take(owner, path)).count()
        };
        // One user, and then as many as may be one person.
        assert_eq!(
            takes(&mut room, 1000, b"/a", MOST_OF_USER + 7),
            MOST_OF_USER
        );
        assert_eq!(room.left_out, 7);
        assert!(room.take(1001, b"/b"));
        for owner in 100_000..100_010 {
            takes(&mut room, owner, b"/c", MOST_OF_USER / 5);
        }
        assert!(!room.take(1001, b"/d"), "all users have a total");
        assert_eq!(
            takes(&mut room, 0, b"/e", MOST_CANDIDATES + 1),
            MOST_CANDIDATES,
            "root's has its own"
        );
        // Long paths are as many bytes as many short ones.
        let mut room = Room::default();
        let long = vec![b'x'; 4096];
        assert_eq!(takes(&mut room, 1000, &long, 40_000), 32_768);
        assert_eq!(takes(&mut room, 0, &long, 70_000), 65_536);
    }
}
