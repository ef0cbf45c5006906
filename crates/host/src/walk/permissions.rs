//! Looking for entries that the walk's tests name: what anyone may write, what runs with
//! another's rights, and what nobody owns.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use model::probe::WalkTests;
use model::value::{FileType, OtherRoot, WALK_LIMIT};
use model::{Blob, HostPath, Mode, WalkTest};
use rustix::fs::{self, FileType as RawType, Statx};
use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use super::starts::Start;
use super::traverse::{Here, NotRead, Visit, Walked, raw_type, traverse};
use crate::local::Inner;
use crate::probe::accounts::{Names, Owned};
use crate::tree::{Node, file_type};

/// Programs that may belong to a package are kept until the lists of files are read. No
/// distribution has so many; the rest is counted as unknown, which it is.
const MOST_CANDIDATES: usize = 20_000;

/// Something that a test looks for.
pub struct Hit {
    pub path: Vec<u8>,
    pub node: Node,
}

#[derive(Default)]
pub struct Hits {
    /// At least the first of them: those of root's, then the others, in the order of their paths.
    pub list: Vec<Hit>,
    pub total: u64,
}

/// What the whole walk found.
#[derive(Default)]
pub struct Found {
    pub hits: BTreeMap<WalkTest, Hits>,
    /// The first of them.
    pub unreadable: BTreeSet<HostPath>,
    pub unreadable_total: u64,
    pub other_roots: Vec<OtherRoot>,
    /// Somebody owns a file of whom nobody could say whether they exist.
    pub unknown_owner: bool,
}

/// `layers` are directories with the files of images, which are not gone into.
pub fn find(
    host: &Arc<Inner>,
    starts: &[Start],
    layers: &HashSet<Vec<u8>>,
    tests: &WalkTests,
    entries_seen: &(dyn Fn(u64) + Sync),
) -> Found {
    let Walked {
        visitors,
        unreadable,
        other_roots,
    } = traverse(
        starts,
        host.tree.is_root(),
        &|| Permissions::new(host, layers, tests),
        entries_seen,
    );
    let mut found = Found {
        unreadable: unreadable.first,
        unreadable_total: unreadable.total,
        other_roots,
        ..Found::default()
    };
    for visitor in visitors {
        found.unknown_owner |= visitor.unknown_owner;
        for (test, hits) in visitor.hits {
            let all = found.hits.entry(test).or_default();
            all.total += hits.total;
            all.list.extend(hits.list);
        }
    }
    for test in tests {
        found.hits.entry(*test).or_default();
    }
    found
}

struct Permissions<'a> {
    host: &'a Arc<Inner>,
    layers: &'a HashSet<Vec<u8>>,
    names: &'a Names,
    hits: BTreeMap<WalkTest, Hits>,
    unknown_owner: bool,
    /// What is needed of which entries.
    wants: Wants,
    /// Does this thread have a working directory of its own?
    own_directory: bool,
    users: HashMap<u32, bool>,
    groups: HashMap<u32, bool>,
    last: Option<(u32, u32)>,
}

/// Which tests run, unpacked.
#[derive(Clone, Copy)]
struct Wants {
    writable_files: bool,
    writable_directories: bool,
    privileged: bool,
    unowned: bool,
    capabilities: bool,
}

impl Wants {
    fn new(tests: &WalkTests) -> Self {
        Self {
            writable_files: tests.contains(&WalkTest::WorldWritableFiles),
            writable_directories: tests.contains(&WalkTest::WorldWritableDirectoriesWithoutSticky),
            privileged: tests.contains(&WalkTest::UnknownPrivilegedPrograms),
            unowned: tests.contains(&WalkTest::Unowned),
            capabilities: tests.contains(&WalkTest::UnknownCapabilities),
        }
    }

    /// Must an entry of this type be looked at?
    fn looks_at(self, file_type: RawType) -> bool {
        match file_type {
            RawType::RegularFile => {
                self.writable_files || self.privileged || self.unowned || self.capabilities
            }
            _ => self.unowned,
        }
    }
}

impl Visit for Permissions<'_> {
    const OF_THIS_HOST: bool = true;

    fn wants(&self, _: &CStr, file_type: RawType) -> bool {
        self.wants.looks_at(file_type)
    }

    fn enters(&self, path: &[u8]) -> bool {
        !self.layers.contains(path)
    }

    fn start(&mut self, here: &mut Here<'_>, stat: &Statx) -> Result<(), NotRead> {
        self.test(here, c"", stat)
    }

    fn entry(&mut self, here: &mut Here<'_>, name: &CStr, stat: &Statx) -> Result<(), NotRead> {
        if here.in_other_root {
            return Ok(());
        }
        let has_capabilities = self.wants.capabilities
            && raw_type(stat) == RawType::RegularFile
            && stat.stx_mode & 0o111 != 0;
        let capabilities = match has_capabilities {
            true => self.capabilities(here, name, stat),
            false => Ok(()),
        };
        self.test(here, name, stat).and(capabilities)
    }
}

impl<'a> Permissions<'a> {
    fn new(host: &'a Arc<Inner>, layers: &'a HashSet<Vec<u8>>, tests: &WalkTests) -> Self {
        let wants = Wants::new(tests);
        Self {
            host,
            layers,
            names: host.names(),
            hits: BTreeMap::new(),
            unknown_owner: false,
            own_directory: wants.capabilities && own_working_directory(),
            wants,
            users: HashMap::new(),
            groups: HashMap::new(),
            last: None,
        }
    }

    fn test(&mut self, here: &Here<'_>, name: &CStr, stat: &Statx) -> Result<(), NotRead> {
        let mode = stat.stx_mode;
        let wants = self.wants;
        match raw_type(stat) {
            RawType::RegularFile => {
                if wants.writable_files && mode & 0o002 != 0 {
                    self.hit(WalkTest::WorldWritableFiles, here, name, stat)?;
                }
                if wants.privileged && mode & 0o6000 != 0 {
                    self.hit(WalkTest::UnknownPrivilegedPrograms, here, name, stat)?;
                }
            }
            RawType::Directory if wants.writable_directories && mode & 0o1002 == 0o002 => {
                let test = WalkTest::WorldWritableDirectoriesWithoutSticky;
                self.hit(test, here, name, stat)?;
            }
            _ => {}
        }
        if wants.unowned && !self.is_owned(stat.stx_uid, stat.stx_gid) {
            self.hit(WalkTest::Unowned, here, name, stat)?;
        }
        Ok(())
    }

    fn is_owned(&mut self, uid: u32, gid: u32) -> bool {
        // Most neighbours have the same owner.
        if self.last == Some((uid, gid)) {
            return true;
        }
        let (host, names) = (self.host, self.names);
        let mut unknown = false;
        let mut known = |owned| {
            unknown |= owned == Owned::Unknown;
            owned != Owned::No
        };
        let user = *self
            .users
            .entry(uid)
            .or_insert_with(|| known(names.user_exists(host, uid)));
        let group = *self
            .groups
            .entry(gid)
            .or_insert_with(|| known(names.group_exists(host, gid)));
        self.unknown_owner |= unknown;
        if user && group {
            self.last = Some((uid, gid));
        }
        user && group
    }

    fn capabilities(
        &mut self,
        here: &mut Here<'_>,
        name: &CStr,
        stat: &Statx,
    ) -> Result<(), NotRead> {
        const ATTRIBUTE: &CStr = c"security.capability";
        // There is no getxattrat(2) before Linux 6.13. A thread with a working directory of
        // its own can enter it; otherwise the path goes through /proc.
        if self.own_directory && !here.entered {
            here.entered = rustix::process::fchdir(here.fd).is_ok();
        }
        let size = if here.entered {
            fs::lgetxattr(name, ATTRIBUTE, &mut [0u8; 0])
        } else {
            let mut path = format!("/proc/self/fd/{}/", here.fd.as_raw_fd()).into_bytes();
            path.extend_from_slice(name.to_bytes());
            fs::lgetxattr(path, ATTRIBUTE, &mut [0u8; 0])
        };
        match size {
            Ok(_) | Err(Errno::RANGE) => self.hit(WalkTest::UnknownCapabilities, here, name, stat),
            // It has none, its file system has none, or it has vanished.
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOENT) => Ok(()),
            Err(_) => Err(NotRead),
        }
    }

    fn hit(
        &mut self,
        test: WalkTest,
        here: &Here<'_>,
        name: &CStr,
        stat: &Statx,
    ) -> Result<(), NotRead> {
        let path = here.path(name.to_bytes());
        HostPath::from_bytes(&path).map_err(|_| NotRead)?;
        let hits = self.hits.entry(test).or_default();
        hits.total += 1;
        let limit = if super::by_package(test) {
            MOST_CANDIDATES
        } else {
            // The first of them in the end are among the first of each thread.
            WALK_LIMIT
        };
        hits.list.push(Hit {
            node: node(here.fd, name, stat),
            path,
        });
        if hits.list.len() >= limit * 2 {
            hits.shorten(limit);
        }
        Ok(())
    }
}

impl Hits {
    /// What is root's comes first: no account can hide it behind a thousand files of its own.
    pub(super) fn shorten(&mut self, limit: usize) {
        let rank = |hit: &Hit| hit.node.uid != 0;
        let before =
            |one: &Hit, other: &Hit| (rank(one), &one.path).cmp(&(rank(other), &other.path));
        self.list.sort_by(before);
        self.list.truncate(limit);
    }
}

fn node(directory: BorrowedFd<'_>, name: &CStr, stat: &Statx) -> Node {
    let mode = u32::from(stat.stx_mode);
    let file_type = file_type(RawType::from_raw_mode(mode));
    let regular = file_type == FileType::Regular;
    Node {
        file_type,
        mode: Mode::new(mode),
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        // What is looked for is who may do what: a file that grows meanwhile is the same.
        size_bytes: 0,
        hard_links: if regular {
            u64::from(stat.stx_nlink)
        } else {
            1
        },
        target: (file_type == FileType::Link)
            .then(|| fs::readlinkat(directory, name, Vec::new()).ok())
            .flatten()
            .map(|target| Blob::from(target.into_bytes())),
    }
}

/// Gives this thread a working directory of its own. A container may forbid it.
#[expect(unsafe_code, reason = "rustix has no safe form of unshare(2)")]
fn own_working_directory() -> bool {
    // SAFETY: the danger is in `UnshareFlags::FILES`, which is not used: only the working
    // directory, the root and the umask stop being shared, and this thread ends with the walk.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }.is_ok()
}
