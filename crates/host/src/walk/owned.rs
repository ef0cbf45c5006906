//! Which files of the local file systems belong to certain accounts or groups.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;

use model::HostPath;
use rustix::fs::{FileType, Statx};

use super::starts::starts;
use super::traverse::{Here, NotRead, Visit, Walked, traverse};
use crate::HostError;
use crate::tree::Tree;

/// A few of many say enough.
const MOST_NAMED: usize = 3;

/// What belongs to each of the numbers that were asked about: at most three paths each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owned {
    pub(crate) by_user: BTreeMap<u32, BTreeSet<HostPath>>,
    pub(crate) by_group: BTreeMap<u32, BTreeSet<HostPath>>,
    /// Directories that could not be looked into.
    pub(crate) unreadable: u64,
}

/// Walks the running host. Paths for which `is_left_out` holds count for nobody.
pub(crate) fn owned(
    users: &BTreeSet<u32>,
    groups: &BTreeSet<u32>,
    is_left_out: &(dyn Fn(&HostPath) -> bool + Sync),
) -> Result<Owned, HostError> {
    let tree = Tree::running()?;
    let Walked {
        visitors,
        unreadable,
        ..
    } = traverse(
        &starts(&tree),
        tree.is_root(),
        &|| Visitor {
            users,
            groups,
            is_left_out,
            found: Owned::default(),
        },
        &|_| (),
    );
    let mut all = Owned {
        unreadable: unreadable.total,
        ..Owned::default()
    };
    for Visitor { found, .. } in visitors {
        for (into, from) in [
            (&mut all.by_user, found.by_user),
            (&mut all.by_group, found.by_group),
        ] {
            for (number, paths) in from {
                into.entry(number).or_default().extend(paths);
            }
        }
    }
    Ok(all)
}

struct Visitor<'a> {
    users: &'a BTreeSet<u32>,
    groups: &'a BTreeSet<u32>,
    is_left_out: &'a (dyn Fn(&HostPath) -> bool + Sync),
    found: Owned,
}

impl Visit for Visitor<'_> {
    fn wants(&self, _: &CStr, _: FileType) -> bool {
        true
    }

    fn entry(&mut self, here: &mut Here<'_>, name: &CStr, stat: &Statx) -> Result<(), NotRead> {
        let is_users = self.users.contains(&stat.stx_uid);
        let is_groups = self.groups.contains(&stat.stx_gid);
        if !is_users && !is_groups {
            return Ok(());
        }
        let path = HostPath::from_bytes(&here.path(name.to_bytes())).map_err(|_| NotRead)?;
        if (self.is_left_out)(&path) {
            return Ok(());
        }
        let note = |of: &mut BTreeMap<u32, BTreeSet<HostPath>>, number| {
            let paths = of.entry(number).or_default();
            if paths.len() < MOST_NAMED {
                paths.insert(path.clone());
            }
        };
        if is_users {
            note(&mut self.found.by_user, stat.stx_uid);
        }
        if is_groups {
            note(&mut self.found.by_group, stat.stx_gid);
        }
        Ok(())
    }
}
