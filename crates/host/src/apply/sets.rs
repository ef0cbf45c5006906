//! Which actions stand and fall together. What is asked of a set takes as long as the set is large,
//! however large the plan is: a failure costs what hangs on it, and no more.

use std::collections::{BTreeMap, BTreeSet};

use model::{ActionId, Plan};

use crate::journal::{Imaged, Role};

/// The change sets of a plan, joined where they turn out to touch one path (two accounts in
/// one file).
pub(super) struct Sets {
    pub(super) of: BTreeMap<ActionId, u32>,
    /// Those of each set, in the plan's order.
    members: BTreeMap<u32, Vec<ActionId>>,
    /// The sets that stand on a set.
    dependents: BTreeMap<u32, BTreeSet<u32>>,
}

impl Sets {
    pub(super) fn of(plan: &Plan, images: &[Imaged]) -> Self {
        let declared: BTreeMap<ActionId, u32> = plan
            .actions
            .iter()
            .map(|action| (action.id, action.change_set))
            .collect();
        let mut joined = Joined::default();
        for image in images.iter().filter(|image| image.role == Role::Touched) {
            let mut sets = image.actions.iter().map(|id| declared[id]);
            if let Some(first) = sets.next() {
                sets.for_each(|set| joined.join(first, set));
            }
        }
        let of: BTreeMap<ActionId, u32> = declared
            .into_iter()
            .map(|(id, set)| match plan.selection.all_or_nothing {
                true => (id, 0),
                false => (id, joined.first(set)),
            })
            .collect();
        let mut members: BTreeMap<u32, Vec<ActionId>> = BTreeMap::new();
        for (id, set) in &of {
            members.entry(*set).or_default().push(*id);
        }
        let mut dependents: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for action in &plan.actions {
            for before in action.after.iter().filter_map(|id| of.get(id)) {
                if *before != of[&action.id] {
                    let on_it = dependents.entry(*before).or_default();
                    on_it.insert(of[&action.id]);
                }
            }
        }
        Self {
            of,
            members,
            dependents,
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.members.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = u32> {
        self.members.keys().copied()
    }

    /// The actions of a set.
    pub(super) fn members(&self, set: u32) -> &[ActionId] {
        self.members.get(&set).map_or(&[], Vec::as_slice)
    }

    /// These sets and all that stand on them.
    pub(super) fn with_dependents(&self, sets: impl IntoIterator<Item = u32>) -> BTreeSet<u32> {
        let mut open: Vec<u32> = sets.into_iter().collect();
        let mut found = BTreeSet::new();
        while let Some(set) = open.pop() {
            if found.insert(set) {
                open.extend(self.dependents.get(&set).into_iter().flatten());
            }
        }
        found
    }
}

/// Disjoint sets of numbers, each called by its least one (Tarjan). A number that was never joined
/// is a set by itself.
#[derive(Default)]
struct Joined(BTreeMap<u32, u32>);

impl Joined {
    fn first(&mut self, mut set: u32) -> u32 {
        while let Some(less) = self.0.get(&set).copied() {
            if let Some(least) = self.0.get(&less).copied() {
                self.0.insert(set, least);
            }
            set = less;
        }
        set
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.first(a), self.first(b));
        if a != b {
            self.0.insert(a.max(b), a.min(b));
        }
    }
}
