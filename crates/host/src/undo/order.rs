//! What a change has in its hands, so that of two that share something the later one is undone first.
//! Accounts are told apart by entry, and a group by its members: two changes that each made an account
//! share nothing, although both wrote the same files.

use std::collections::BTreeSet;

use super::{standing, upgraded};
use crate::act::{account, runtime};
use crate::journal::{Imaged, Kept, Role};
use crate::records::accounts::touched;
use crate::records::{Shared, is_lock, shared};
use crate::state::{ChangeRecord, State};
use model::HostPath;

/// Paths, accounts, parameters, modules, mounts, units.
#[derive(Debug, Default)]
pub(super) struct Things {
    wholly: BTreeSet<String>,
    /// Groups of which only the members are otherwise.
    in_part: BTreeSet<String>,
    /// Those of both that packages wrote, and no other action.
    packaged: BTreeSet<String>,
}

impl Things {
    pub(super) fn of(state: &State, record: &ChangeRecord) -> Self {
        // But for what others have made of some places it is undone.
        let is_undone = !record.header.theirs.is_empty() && record.header.leaves.is_empty();
        let standing = standing(record);
        let upgrades = crate::apply::upgrades(&record.plan);
        let mut things = Self::default();
        let theirs = &record.header.theirs;
        let is_back = |path: &HostPath| {
            let mut theirs = theirs.iter();
            is_undone && !theirs.any(|one| path.is_within(one) || one.is_within(path))
        };
        let stands =
            |image: &&Imaged| image.role == Role::Touched && !image.actions.is_disjoint(&standing);
        for image in record.images.iter().filter(stands) {
            if is_back(&image.path) {
                continue;
            }
            // No lock and no copy of a database is anybody's work.
            if is_lock(&image.path) || shared(&image.path) == Some(Shared::Backup) {
                continue;
            }
            let mut own = Self::default();
            own.add(state, image);
            if image.actions.is_subset(&upgrades) {
                things.packaged.extend(own.wholly.iter().cloned());
                things.packaged.extend(own.in_part.iter().cloned());
            }
            things.wholly.extend(own.wholly);
            things.in_part.extend(own.in_part);
        }
        if is_undone {
            return things;
        }
        let actions = record.actions.iter();
        let kept = actions
            .filter(|action| standing.contains(&action.id))
            .flat_map(|action| of_kept(&action.kept));
        things.wholly.extend(kept);
        things
    }

    fn add(&mut self, state: &State, image: &Imaged) {
        let read = |node| upgraded::reads(state.images(), node);
        let left = image.after.as_ref().unwrap_or(&image.before);
        let both = match account::is_of_accounts(&image.path) {
            true => read(&image.before).zip(read(left)),
            false => None,
        };
        let Some((before, left)) = both else {
            self.wholly.insert(image.path.to_string());
            return;
        };
        let (what, members) = match image.path.as_bytes() {
            b"/etc/group" => ("group", Some(3)),
            b"/etc/gshadow" => ("group", Some(2)),
            _ => ("account", None),
        };
        let touched = touched(&before, &left, members);
        let name = |what: &str, name: &String| format!("{what} {name}");
        let wholly = touched.wholly.iter().map(|one| name(what, one));
        let joined = touched.joined.iter().map(|one| name("account", one));
        self.wholly.extend(wholly);
        self.in_part.extend(joined);
        let members = touched.members.iter().map(|one| name(what, one));
        self.in_part.extend(members);
    }

    /// What both have, unless each has another part of it. What packages of both wrote is told apart by
    /// package, and by entry.
    pub(super) fn shared_with(&self, later: &Self) -> Option<String> {
        let of_packages =
            |what: &&String| self.packaged.contains(*what) && later.packaged.contains(*what);
        let all = self.wholly.intersection(&later.wholly);
        let all = all.chain(self.wholly.intersection(&later.in_part));
        let mut all = all.chain(self.in_part.intersection(&later.wholly));
        all.find(|what| !of_packages(what)).cloned()
    }
}

fn of_kept(kept: &Kept) -> Vec<String> {
    match kept {
        // With those that it moved along.
        Kept::Sysctl { key, others, .. } => std::iter::once(key)
            .chain(others.keys())
            .map(|key| format!("kernel parameter {}", runtime::plain_key(key)))
            .collect(),
        Kept::Mount { path, .. } => vec![format!("mount {path}")],
        Kept::Module { name, .. } => vec![format!("module {name}")],
        Kept::Unit { name, .. } => vec![format!("unit {name}")],
        Kept::Packages(before) => {
            let names = before.packages.iter();
            names
                .map(|package| format!("package {}", package.name))
                .collect()
        }
        Kept::Nothing
        | Kept::Told { .. }
        | Kept::Upgrade { .. }
        | Kept::Effect(_)
        | Kept::Again(_)
        | Kept::Unseen { .. }
        | Kept::Irreversible { .. } => Vec::new(),
    }
}
