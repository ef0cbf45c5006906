//! What of the local file systems was changed since a moment, by the times of change, which
//! nobody can set (inode(7)). What was removed shows in its directory.

use std::collections::BTreeSet;
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
/// So many are kept of each thread, to tell which directories only hold what is named beside them.
const MOST_KEPT: usize = 10_000;

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
            found: Vec::new(),
            total: 0,
            until,
            cut: &cut,
        },
        &|_| (),
    );
    let mut found = Vec::new();
    let mut total = 0;
    for visitor in visitors {
        total += visitor.total;
        found.extend(visitor.found);
    }
    let kept = found.len();
    let mut paths = files(found);
    let total = total - (kept - paths.len()) as u64;
    paths.truncate(MOST_NAMED);
    Ok(Outside {
        paths,
        total,
        // What there was no time for was not looked at either.
        unreadable: unreadable.total + u64::from(cut.load(Ordering::Relaxed)),
    })
}

/// What changed, in order, without directories that changed only in that they hold it: people ask for
/// files. One alone stays, since what was removed leaves no other trace.
fn files(found: Vec<Changed>) -> Vec<HostPath> {
    let parents: BTreeSet<HostPath> = found.iter().filter_map(|one| one.path.parent()).collect();
    let mut paths: Vec<HostPath> = found
        .into_iter()
        .filter(|one| !one.is_directory || !parents.contains(&one.path))
        .map(|one| one.path)
        .collect();
    paths.sort();
    paths
}

struct Changed {
    path: HostPath,
    is_directory: bool,
}

struct Since<'a> {
    since: Timestamp,
    expected: &'a Expected<'a>,
    found: Vec<Changed>,
    total: u64,
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
        self.total += 1;
        if self.found.len() < MOST_KEPT {
            self.found.push(Changed { path, is_directory });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Changed, files};
    use model::HostPath;

    #[test]
    fn a_directory_is_named_only_where_nothing_in_it_is() {
        let found = [
            ("/srv", true),
            ("/srv/new", true),
            ("/srv/new/file", false),
            ("/opt/emptied", true),
            ("/etc/a", false),
        ];
        let found = found.map(|(path, is_directory)| Changed {
            path: HostPath::literal(path),
            is_directory,
        });
        let named: Vec<String> = files(found.into())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(named, ["/etc/a", "/opt/emptied", "/srv/new/file"]);
    }
}
