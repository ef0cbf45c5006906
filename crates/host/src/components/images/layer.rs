//! One layer: which files of it may speak of components, and what it takes away from those
//! below.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::CStr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use model::HostPath;
use model::count::size;
use model::value::Reason;
use rustix::fs::{self, FileType as RawType, Statx};

use super::{Place, tar};
use crate::components::found::Contents;
use crate::components::search::{FileId, Kind, kind, may_be_program, speaker};
use crate::components::source::OpenFile;
use crate::local::Inner;
use crate::tree::Trouble;
use crate::walk::starts;
use crate::walk::traverse::{Here, NotRead, Visit, raw_type, traverse};

/// More files than this in one layer are not kept: no distribution has as many.
pub const MOST_FILES: usize = 2_000_000;
/// About what is held of a name besides its bytes.
const NAME_BYTES: usize = 64;
/// All that is kept of one layer: a thousand packages and the names of all their files have 20 MB.
const KEPT_LIMIT_BYTES: u64 = 128 << 20;

/// All that is kept of all layers of root's stores at once, and of those of a user.
const ALL_KEPT_LIMIT_BYTES: u64 = 1 << 30;
const ALL_KEPT_OF_USER_BYTES: u64 = 512 << 20;

/// "Whiteout files MUST be prefixed with .wh." (OCI image specification).
const WHITEOUT: &[u8] = b".wh.";
/// "Opaque whiteout: a file with the name .wh..wh..opq".
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What of an image is looked at: what may speak of components anywhere, and its packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Speaks(Kind),
    /// dpkg's status file, or one of those that distroless images have for each package.
    Status,
    /// apk's database: packages, and which files each has.
    Apk,
    /// Which files a package has: dpkg's list, or the sums of a distroless image.
    List,
    Release,
}

/// A file of a layer that is looked at.
pub struct LayerFile {
    pub role: Role,
    /// What is in it; none while it can still be read from its directory.
    pub read: Option<Read>,
    pub owner: u32,
    /// Which file of the host it is, when that has more than one name.
    pub linked: Option<FileId>,
}

impl LayerFile {
    /// Of an archive.
    pub fn held(role: Role, read: Read) -> Self {
        Self {
            role,
            read: Some(read),
            owner: 0,
            linked: None,
        }
    }
}

/// What was in a file that can't be read again.
pub enum Read {
    Contents(Contents),
    Bytes(Vec<u8>),
}

/// A layer. Paths are as in the image, from its root.
#[derive(Default)]
pub struct Layer {
    pub files: BTreeMap<Vec<u8>, LayerFile>,
    /// Everything but directories, and what is taken away.
    pub taken: HashSet<Box<[u8]>>,
    /// Directories of which nothing below is seen.
    pub opaque: HashSet<Box<[u8]>>,
    pub unread: Option<Reason>,
    /// Of an archive: databases, names, and what was found.
    kept_bytes: u64,
}

impl Layer {
    /// Makes room for what is to be kept.
    pub fn keep(&mut self, bytes: u64) -> Result<(), Reason> {
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        if self.kept_bytes <= KEPT_LIMIT_BYTES {
            return Ok(());
        }
        Err(Reason::Failed {
            why: format!(
                "names, databases of packages and what was found are over the limit of {}",
                size(KEPT_LIMIT_BYTES)
            ),
        })
    }

    /// Takes a whiteout for what it says; false when the name is none.
    pub fn whiteout(&mut self, directory: &[u8], name: &[u8]) -> bool {
        if name == OPAQUE {
            self.opaque.insert(directory.into());
        } else if let Some(name) = name.strip_prefix(WHITEOUT) {
            self.taken.insert(join(directory, name).into());
        } else {
            return false;
        }
        true
    }
}

/// Of a directory from the image's root and a name in it.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        b"/" => [b"/", name].concat(),
        _ => [directory, b"/", name].concat(),
    }
}

/// What a file at this place is for us.
pub fn role(directory: &[u8], name: &[u8], is_executable: bool) -> Option<Role> {
    match (directory, name) {
        (b"/var/lib/dpkg", b"status") => return Some(Role::Status),
        (b"/var/lib/dpkg/status.d", _) => {
            return Some(match name.ends_with(b".md5sums") {
                true => Role::List,
                false => Role::Status,
            });
        }
        (b"/var/lib/dpkg/info", _) if name.ends_with(b".list") => return Some(Role::List),
        (b"/lib/apk/db" | b"/usr/lib/apk/db", b"installed") => return Some(Role::Apk),
        (b"/etc" | b"/usr/lib", b"os-release") => return Some(Role::Release),
        _ => {}
    }
    let by_name = kind(directory, name);
    let kind = by_name.or((is_executable && may_be_program(name)).then_some(Kind::Program));
    kind.map(Role::Speaks)
}

/// What is kept of layers that are directories: names only, since their files can be read.
#[derive(Clone, Copy)]
pub(crate) struct Most {
    /// Of one layer.
    files: usize,
    kept_bytes: u64,
    /// Of all layers, archives among them.
    all_bytes: u64,
}

impl Most {
    pub(crate) const OF_ROOT: Self = Self {
        files: MOST_FILES,
        kept_bytes: KEPT_LIMIT_BYTES,
        all_bytes: ALL_KEPT_LIMIT_BYTES,
    };
    pub(crate) const OF_USER: Self = Self {
        all_bytes: ALL_KEPT_OF_USER_BYTES,
        ..Self::OF_ROOT
    };
}

/// About what is held of a file in this directory.
pub fn held_bytes(directory: &[u8], name: &[u8], role: Option<Role>) -> u64 {
    let name_bytes = directory.len() + name.len() + NAME_BYTES;
    let file_bytes = role.map_or(0, |_| name_bytes + size_of::<LayerFile>());
    (name_bytes + file_bytes) as u64
}

/// Reads what each of these layers has.
pub(crate) fn read_all(
    host: &Arc<Inner>,
    layers: &mut BTreeMap<Place, Layer>,
    most: Most,
    entries_seen: &(dyn Fn(u64) + Sync),
) {
    let mut starts = Vec::new();
    let mut left_bytes = most.all_bytes;
    for (place, layer) in layers.iter_mut() {
        match place {
            Place::Archive(_) if left_bytes == 0 => {
                let limit = most.all_bytes;
                let why = format!(
                    "what is kept of all layers is over the limit of {}",
                    size(limit)
                );
                layer.unread = Some(Reason::Failed { why });
            }
            Place::Directory(path) => match starts::at(&host.tree, path) {
                Some(start) => starts.push(start),
                None => {
                    layer.unread = Some(match host.tree.meta(path) {
                        Err(Trouble::Unknown(why)) => why,
                        _ => Reason::Unavailable {
                            what: "a layer of an image is not there".to_owned(),
                        },
                    });
                }
            },
            Place::Archive(path) => match host.tree.open_file(path) {
                Ok(opened) => {
                    let file = OpenFile {
                        file: opened.file,
                        size_bytes: opened.node.size_bytes,
                    };
                    if let Err(why) = tar::read(&file, layer) {
                        layer.unread = Some(why);
                    }
                    left_bytes = left_bytes.saturating_sub(layer.kept_bytes);
                }
                Err(Trouble::Unknown(why)) => layer.unread = Some(why),
                Err(Trouble::Absent) => {
                    let what = "a layer of an image is not kept in its packed form".to_owned();
                    layer.unread = Some(Reason::Unavailable { what });
                }
            },
        }
    }
    let left_bytes = AtomicU64::new(left_bytes);
    let rooms: HashMap<HostPath, Room<'_>> = starts
        .iter()
        .map(|start| (start.path.clone(), Room::new(most, &left_bytes)))
        .collect();
    let visitor = || Directories {
        layers: HashMap::new(),
        rooms: &rooms,
    };
    let walked = traverse(&starts, host.tree.is_root(), &visitor, entries_seen);
    for visitor in walked.visitors {
        for (path, part) in visitor.layers {
            let layer = layers.entry(Place::Directory(path)).or_default();
            layer.files.extend(part.files);
            merge(&mut layer.taken, part.taken);
            merge(&mut layer.opaque, part.opaque);
        }
    }
    for (path, room) in &rooms {
        if let Some(layer) = layers.get_mut(&Place::Directory(path.clone())) {
            layer.unread = room.reached();
        }
    }
    for path in walked.unreadable.first {
        for (place, layer) in layers.iter_mut() {
            if path.is_within(place.path()) {
                layer.unread = Some(Reason::Failed {
                    why: format!("`{path}` can't be read"),
                });
            }
        }
    }
}

/// Most layers are read by one thread.
fn merge(into: &mut HashSet<Box<[u8]>>, part: HashSet<Box<[u8]>>) {
    match into.is_empty() {
        true => *into = part,
        false => into.extend(part),
    }
}

/// What was kept of one layer.
struct Room<'a> {
    most: Most,
    files: AtomicUsize,
    kept_bytes: AtomicU64,
    /// Of all layers of one owner.
    left_bytes: &'a AtomicU64,
    is_full: AtomicBool,
}

impl<'a> Room<'a> {
    fn new(most: Most, left_bytes: &'a AtomicU64) -> Self {
        Self {
            most,
            files: AtomicUsize::new(0),
            kept_bytes: AtomicU64::new(0),
            left_bytes,
            is_full: AtomicBool::new(false),
        }
    }

    /// Makes room for one more name.
    fn keep(&self, bytes: u64) -> bool {
        let take = |left: u64| left.checked_sub(bytes);
        let order = Ordering::Relaxed;
        let fits = self.files.fetch_add(1, order) < self.most.files
            && self.kept_bytes.fetch_add(bytes, order) + bytes <= self.most.kept_bytes
            && self.left_bytes.fetch_update(order, order, take).is_ok();
        if !fits {
            self.is_full.store(true, order);
        }
        fits
    }

    fn reached(&self) -> Option<Reason> {
        let Most {
            files,
            kept_bytes,
            all_bytes,
        } = self.most;
        self.is_full.load(Ordering::Relaxed).then(|| Reason::Failed {
            why: format!(
                "more files than are looked into: the limits are {files} files and {} of their names, \
                 and {} of all layers",
                size(kept_bytes),
                size(all_bytes)
            ),
        })
    }
}

/// Layers that are directories, by their paths.
struct Directories<'a> {
    layers: HashMap<HostPath, Layer>,
    rooms: &'a HashMap<HostPath, Room<'a>>,
}

impl Visit for Directories<'_> {
    fn wants(&self, _: &CStr, _: RawType) -> bool {
        true
    }

    fn entry(&mut self, here: &mut Here<'_>, name: &CStr, stat: &Statx) -> Result<(), NotRead> {
        let layer = match self.layers.get_mut(&here.start.path) {
            Some(layer) => layer,
            None => self.layers.entry(here.start.path.clone()).or_default(),
        };
        // Of each layer there is one.
        let room = self.rooms.get(&here.start.path).ok_or(NotRead)?;
        let directory = [b"/", here.relative].concat();
        let name_bytes = name.to_bytes();
        if raw_type(stat) == RawType::Directory {
            if is_opaque(here, name) && room.keep(held_bytes(&directory, name_bytes, None)) {
                layer.opaque.insert(join(&directory, name_bytes).into());
            }
            return Ok(());
        }
        let is_executable = stat.stx_mode & 0o111 != 0;
        let role = match raw_type(stat) {
            RawType::RegularFile => role(&directory, name_bytes, is_executable),
            _ => None,
        };
        if !room.keep(held_bytes(&directory, name_bytes, role))
            || layer.whiteout(&directory, name_bytes)
        {
            return Ok(());
        }
        if let Some(role) = role {
            let name = match role {
                Role::Speaks(kind) => speaker(kind, name_bytes),
                _ => name_bytes,
            };
            let file = LayerFile {
                role,
                read: None,
                owner: stat.stx_uid,
                linked: FileId::of_linked(stat),
            };
            layer.files.insert(join(&directory, name), file);
        }
        layer.taken.insert(join(&directory, name_bytes).into());
        Ok(())
    }
}

/// "A directory is made opaque by setting the xattr "trusted.overlay.opaque" to "y""
/// (overlayfs.rst); without privileges it is `user.overlay.opaque`.
fn is_opaque(here: &Here<'_>, name: &CStr) -> bool {
    let mut path = format!("/proc/self/fd/{}/", here.fd.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    [c"trusted.overlay.opaque", c"user.overlay.opaque"]
        .into_iter()
        .any(|attribute| {
            let mut value = [0u8; 1];
            matches!(fs::lgetxattr(&*path, attribute, &mut value), Ok(1)) && value == *b"y"
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::HostPath;

    use super::{Layer, Most, Place, Role, held_bytes, read_all};
    use crate::LocalHost;
    use crate::components::search::Kind;

    #[test]
    fn a_layer_with_more_files_than_are_kept_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        for layer in ["one", "two"] {
            let at = folder.path().join(layer).join("a");
            std::fs::create_dir_all(&at).expect("a directory");
            for name in 0..10 {
                std::fs::write(at.join(format!("{name}.jar")), b"x").expect("a file");
            }
        }
        let host = LocalHost::offline(folder.path()).expect("a tree");
        // How many files of both layers are kept, and of how many layers something is said.
        let read = |most: Most| {
            let mut layers = BTreeMap::from(
                [HostPath::literal("/one"), HostPath::literal("/two")]
                    .map(|path| (Place::Directory(path), Layer::default())),
            );
            read_all(&host.inner, &mut layers, most, &|_| {});
            let files: usize = layers.values().map(|layer| layer.files.len()).sum();
            let said = layers.values().filter_map(|layer| layer.unread.clone());
            let said: Vec<String> = said.map(|why| why.to_string()).collect();
            let is_limit = |why: &String| why.starts_with("more files than are looked into");
            assert!(said.iter().all(is_limit), "{said:?}");
            (files, said.len())
        };
        let usual = Most::OF_USER;
        assert_eq!(read(usual), (20, 0));
        assert_eq!(read(Most { files: 10, ..usual }), (20, 0));
        assert_eq!(read(Most { files: 9, ..usual }), (18, 2));
        let one = held_bytes(b"/a", b"0.jar", Some(Role::Speaks(Kind::Java)));
        let (kept_bytes, all_bytes) = (5 * one, 15 * one);
        assert_eq!(
            read(Most {
                kept_bytes,
                ..usual
            }),
            (10, 2)
        );
        let (files, said) = read(Most { all_bytes, ..usual });
        assert!(files == 15 && said >= 1, "{files} {said}");
    }
}
