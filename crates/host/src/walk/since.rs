//! What of the local file systems was changed since a moment, by the times of change, which
//! nobody can set (inode(7)). What was removed shows in its directory.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use model::{HostPath, Outside};
use rustix::fs::{FileType, Statx};

use super::starts::starts;
use super::traverse::{Here, NotRead, Visit, Walked, traverse};
use crate::HostError;
use crate::tree::Tree;

/// This many are named; all are counted.
const MOST_NAMED: usize = 200;

/// A walk of a million files takes a few seconds.
const LONGEST: Duration = Duration::from_secs(60);

/// Which changes are nobody's concern.
pub(crate) struct Expected<'a> {
    /// Directories that are not gone into, nor spoken of.
    pub(crate) below: &'a [HostPath],
    pub(crate) paths: &'a (dyn Fn(&HostPath) -> bool + Sync),
}

/// Walks the running host, but for what is expected.
pub(crate) fn changed_since(
    since: Timestamp,
    expected: &Expected<'_>,
) -> Result<Outside, HostError> {
    let tree = Tree::running()?;
    let starts = starts(&tree);
    let until = Instant::now() + LONGEST;
    let cut = AtomicBool::new(false);
    let Walked {
        visitors,
        unreadable,
        ..
    } = traverse(
        &starts,
        tree.is_root(),
        &|| Since {
            since,
            expected,
            found: Outside::default(),
            until,
            cut: &cut,
        },
        &|_| (),
    );
    let mut all = Outside {
        // What there was no time for was not looked at either.
        unreadable: unreadable.total + u64::from(cut.load(Ordering::Relaxed)),
        ..Outside::default()
    };
    for visitor in visitors {
        all.total += visitor.found.total;
        all.paths.extend(visitor.found.paths);
    }
    all.paths.sort();
    all.paths.truncate(MOST_NAMED);
    Ok(all)
}

struct Since<'a> {
    since: Timestamp,
    expected: &'a Expected<'a>,
    found: Outside,
    until: Instant,
    /// There was no time for all.
    cut: &'a AtomicBool,
}

impl Visit for Since<'_> {
    fn wants(&self, _: &CStr, _: FileType) -> bool {
        true
    }

    fn enters(&self, path: &[u8]) -> bool {
        if Instant::now() > self.until {
            self.cut.store(true, Ordering::Relaxed);
            return false;
        }
        let below = self.expected.below.iter();
        HostPath::from_bytes(path).is_ok_and(|path| !below.clone().any(|top| path.is_within(top)))
    }

    fn entry(&mut self, here: &mut Here<'_>, name: &CStr, stat: &Statx) -> Result<(), NotRead> {
        let changed = Timestamp::new(
            stat.stx_ctime.tv_sec,
            i32::try_from(stat.stx_ctime.tv_nsec).unwrap_or_default(),
        );
        if changed.is_ok_and(|changed| changed < self.since) {
            return Ok(());
        }
        let path = HostPath::from_bytes(&here.path(name.to_bytes())).map_err(|_| NotRead)?;
        let below = |top: &HostPath| path.is_within(top);
        if self.expected.below.iter().any(below) || (self.expected.paths)(&path) {
            return Ok(());
        }
        // That something in it came or went shows in its time of modification; what a script gives a
        // directory's own owner or mode once more, as that of base-files does, changes nothing.
        let modified = Timestamp::new(
            stat.stx_mtime.tv_sec,
            i32::try_from(stat.stx_mtime.tv_nsec).unwrap_or_default(),
        );
        let is_directory = FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::Directory;
        if is_directory && modified.is_ok_and(|modified| modified < self.since) {
            return Ok(());
        }
        self.found.total += 1;
        if self.found.paths.len() < MOST_NAMED {
            self.found.paths.push(path);
        }
        Ok(())
    }
}
