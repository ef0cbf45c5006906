//! Which actions stand and fall together.

use std::collections::{BTreeMap, BTreeSet};

use model::{ActionId, Plan};

use crate::journal::{Imaged, Role};

/// The change sets of a plan, joined where they turn out to touch one path (two accounts in
/// one file).
pub(super) struct Sets {
    pub(super) of: BTreeMap<ActionId, u32>,
}

impl Sets {
    pub(super) fn of(plan: &Plan, images: &[Imaged]) -> Self {
        let mut of: BTreeMap<ActionId, u32> = plan
            .actions
            .iter()
            .map(|action| (action.id, action.change_set))
            .collect();
        for image in images.iter().filter(|image| image.role == Role::Touched) {
            let sets: BTreeSet<u32> = image.actions.iter().map(|id| of[id]).collect();
            let Some(first) = sets.first().copied() else {
                continue;
            };
            of.values_mut()
                .filter(|set| sets.contains(set))
                .for_each(|set| *set = first);
        }
        if plan.selection.all_or_nothing {
            of.values_mut().for_each(|set| *set = 0);
        }
        Self { of }
    }

    /// A set and all that stand on it.
    pub(super) fn with_dependents(&self, plan: &Plan, set: u32) -> BTreeSet<u32> {
        let mut found = BTreeSet::from([set]);
        loop {
            let more: Vec<u32> = plan
                .actions
                .iter()
                .filter(|action| {
                    action
                        .after
                        .iter()
                        .any(|id| self.of.get(id).is_some_and(|set| found.contains(set)))
                })
                .map(|action| self.of[&action.id])
                .filter(|set| !found.contains(set))
                .collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }
}
