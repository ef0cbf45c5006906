//! What of a change belongs to which of its actions: looked up, and never looked through, since a plan
//! may have a hundred thousand files.

use std::collections::{BTreeMap, BTreeSet};

use model::{ActionId, HostPath, Probe};

use crate::act::unit;
use crate::journal::Imaged;

/// The places of each action's images in the list of all.
#[derive(Default)]
pub(super) struct Places(BTreeMap<ActionId, Vec<usize>>);

impl Places {
    pub(super) fn of(images: &[Imaged]) -> Self {
        let mut places: BTreeMap<ActionId, Vec<usize>> = BTreeMap::new();
        for (place, image) in images.iter().enumerate() {
            for action in &image.actions {
                places.entry(*action).or_default().push(place);
            }
        }
        Self(places)
    }

    pub(super) fn of_action(&self, id: ActionId) -> &[usize] {
        self.0.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// What this change has changed by now, and by which of its actions.
#[derive(Default)]
pub(super) struct ChangedByUs {
    paths: BTreeMap<HostPath, BTreeSet<ActionId>>,
    actions: BTreeSet<ActionId>,
    /// A file of units, since systemd has last read them.
    units: bool,
}

impl ChangedByUs {
    /// Also what is no path may be changed by it: a unit, a value of the kernel.
    pub(super) fn begin(&mut self, action: ActionId) {
        self.actions.insert(action);
    }

    /// Must systemd read its units again? Then that is done now.
    pub(super) fn take_units(&mut self) -> bool {
        std::mem::take(&mut self.units)
    }

    pub(super) fn add(&mut self, action: ActionId, path: &HostPath) {
        self.units |= unit::is_read_by_systemd(path);
        if let Some(by) = self.paths.get_mut(path) {
            by.insert(action);
            return;
        }
        self.paths.insert(path.clone(), BTreeSet::from([action]));
    }

    /// Does the probe look at something that an action other than these has changed?
    pub(super) fn touches(&self, probe: &Probe, but: [ActionId; 2]) -> bool {
        match probe {
            Probe::File { path, .. }
            | Probe::FileDigest { path }
            | Probe::Meta { path }
            | Probe::Found { path }
            | Probe::Dir { path }
            | Probe::Writers { path, .. } => {
                let mut above = path.ancestors();
                above.any(|path| self.has(&path, but))
                    || path
                        .below_in(&self.paths)
                        .any(|(_, by)| is_by_others(by, but))
            }
            // What these see depends on more than one path; the check before the first action
            // covered them.
            _ => is_by_others(&self.actions, but),
        }
    }

    /// Has an action other than these changed what is at this path?
    pub(super) fn has(&self, path: &HostPath, but: [ActionId; 2]) -> bool {
        self.paths.get(path).is_some_and(|by| is_by_others(by, but))
    }
}

fn is_by_others(by: &BTreeSet<ActionId>, but: [ActionId; 2]) -> bool {
    by.iter().any(|action| !but.contains(action))
}
