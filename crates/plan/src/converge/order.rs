//! The order of steps, and which of them stand or fall together.

use std::collections::BTreeMap;

use model::{AccountOp, Action, ActionId, Effect, HostPath};
use resource::{Drift, Edit, Phase};

use super::Drifting;
use super::fold::Step;

/// File order, with the natural order (sources, packages, accounts, directories, files,
/// kernel, services) added. What keeps its place in the list goes after all that stands
/// before it, and before nothing that follows.
pub(super) fn in_natural_order(drifted: Vec<Drifting>) -> Vec<Drifting> {
    let mut latest = Phase::Source;
    let mut deepest = 0;
    let mut keyed: Vec<((Phase, Rank, usize, usize), Drifting)> = Vec::new();
    for (place, item) in drifted.into_iter().enumerate() {
        let phase = match item.phase {
            Phase::AsListed => latest,
            phase => phase,
        };
        latest = latest.max(phase);
        deepest = deepest.max(depth(&item));
        let depth = match item.phase {
            Phase::AsListed => deepest,
            _ => depth(&item),
        };
        match item.phase {
            Phase::Account => keyed.extend(
                accounts(item)
                    .into_iter()
                    .map(|(rank, item)| ((phase, rank, 0, place), item)),
            ),
            // What keeps its place goes after the accounts before it.
            _ => keyed.push(((phase, Rank::Members, depth, place), item)),
        }
    }
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, item)| item).collect()
}

/// A directory is made after the one that holds it, however they are listed.
fn depth(item: &Drifting) -> usize {
    if item.phase != Phase::Directory {
        return 0;
    }
    let edits = item.drifts.iter().flat_map(|drift| &drift.edits);
    let made = edits.filter_map(|edit| match edit {
        Edit::Act {
            effect: Effect::MakeDir { path, .. },
            ..
        } => Some(path.components().count()),
        _ => None,
    });
    made.min().unwrap_or_default()
}

/// The order among accounts: a group is there before the account that it is the main group of,
/// and an account before it is a member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Groups,
    Users,
    Members,
}

/// The parts of what one resource wants of accounts, by their rank.
fn accounts(item: Drifting) -> Vec<(Rank, Drifting)> {
    let mut parts: BTreeMap<Rank, Vec<Drift>> = BTreeMap::new();
    for drift in item.drifts {
        let mut edits: BTreeMap<Rank, Vec<Edit>> = BTreeMap::new();
        for edit in drift.edits {
            edits.entry(rank(&edit)).or_default().push(edit);
        }
        // What takes effect with the drift comes after all of it.
        let mut activate = drift.activate;
        let last = edits.keys().next_back().copied().unwrap_or(Rank::Users);
        edits.entry(last).or_default();
        for (rank, edits) in edits {
            parts.entry(rank).or_default().push(Drift {
                observed: drift.observed.clone(),
                wanted: drift.wanted.clone(),
                at: drift.at.clone(),
                note: drift.note.clone(),
                edits,
                by_hand: drift.by_hand.clone(),
                activate: match rank == last {
                    true => std::mem::take(&mut activate),
                    false => Vec::new(),
                },
            });
        }
    }
    parts
        .into_iter()
        .map(|(rank, drifts)| {
            let part = Drifting {
                serves: item.serves.clone(),
                risk: item.risk,
                risk_why: item.risk_why,
                phase: item.phase,
                secret: item.secret,
                rests_on: item.rests_on.clone(),
                drifts,
            };
            (rank, part)
        })
        .collect()
}

fn rank(edit: &Edit) -> Rank {
    let Edit::Act {
        effect: Effect::Account(op),
        ..
    } = edit
    else {
        return Rank::Users;
    };
    match op {
        AccountOp::CreateGroup { .. } => Rank::Groups,
        AccountOp::AddMember { .. }
        | AccountOp::RemoveMember { .. }
        | AccountOp::RemoveGroup { .. } => Rank::Members,
        AccountOp::CreateUser { .. }
        | AccountOp::RemoveUser { .. }
        | AccountOp::SetShell { .. }
        | AccountOp::LockPassword { .. }
        | AccountOp::SetAgeing { .. }
        | AccountOp::SetUid { .. } => Rank::Users,
    }
}

/// Turns steps into actions with ids, dependencies and change sets.
///
/// Actions are tied when one activates the other, when one path lies within the other, or
/// when they serve the same rule or role.
pub(super) fn tie(steps: Vec<Step>, all_or_nothing: bool) -> Vec<Action> {
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    let mut sets = Sets::new(steps.len());
    for (place, step) in steps.iter().enumerate() {
        for activation in &step.activates {
            after[*activation].push(place);
            sets.join(place, *activation);
        }
    }
    tie_paths(&steps, &mut after, &mut sets);
    tie_served(&steps, &mut after, &mut sets);
    if all_or_nothing {
        (1..steps.len()).for_each(|place| sets.join(0, place));
    }
    let numbers = sets.numbers();
    steps
        .into_iter()
        .zip(after)
        .enumerate()
        .map(|(place, (step, mut after))| {
            after.sort_unstable();
            after.dedup();
            Action {
                id: id(place),
                serves: step.serves,
                effect: step.effect,
                inverse: step.inverse,
                rests_on: step.rests_on,
                after: after.into_iter().map(id).collect(),
                change_set: numbers[place],
                risk: step.risk,
                risk_why: step.risk_why,
                validate: step.validate,
                sensitive: step.sensitive,
                decided_on_host: false,
                along: model::plan::Along::default(),
                edit: step.edit,
            }
        })
        .collect()
}

fn id(place: usize) -> ActionId {
    ActionId(u32::try_from(place).expect("a plan has far fewer actions than 2^32"))
}

/// A file goes after the directory that is made for it.
fn tie_paths(steps: &[Step], after: &mut [Vec<usize>], sets: &mut Sets) {
    let directories: BTreeMap<&HostPath, usize> = steps
        .iter()
        .enumerate()
        .filter_map(|(place, step)| match &step.effect {
            Effect::MakeDir { path, .. } => Some((path, place)),
            _ => None,
        })
        .collect();
    if directories.is_empty() {
        return;
    }
    for (place, step) in steps.iter().enumerate() {
        let mut above = step.effect.path().and_then(HostPath::parent);
        while let Some(path) = above {
            if let Some(directory) = directories.get(&path)
                && *directory != place
            {
                after[place].push(*directory);
                sets.join(*directory, place);
            }
            above = path.parent();
        }
    }
}

/// What one rule or role asked for stands in its natural order. Steps that have nothing
/// to do with each other but a role's name are ordered, and fall together, only when one
/// of them is more than a file: forty files of a role are not one fate.
fn tie_served(steps: &[Step], after: &mut [Vec<usize>], sets: &mut Sets) {
    let mut served: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, step) in steps.iter().enumerate() {
        for name in &step.serves {
            served.entry(name).or_default().push(place);
        }
    }
    for places in served.values() {
        let mut earlier: Option<usize> = None;
        for &place in places {
            let stands_under_others = matches!(
                steps[place].effect,
                Effect::Package { .. } | Effect::Account(_) | Effect::Run { .. }
            );
            let stands_on_others = matches!(
                steps[place].effect,
                Effect::Unit { .. } | Effect::Run { .. }
            );
            if stands_on_others {
                for &under in places.iter().take_while(|under| **under < place) {
                    after[place].push(under);
                    sets.join(under, place);
                }
            } else if let Some(earlier) = earlier {
                after[place].push(earlier);
                sets.join(earlier, place);
            }
            if stands_under_others {
                earlier = Some(place);
            }
        }
    }
}

/// Disjoint sets of steps (Tarjan's union by smallest member).
struct Sets(Vec<usize>);

impl Sets {
    fn new(len: usize) -> Self {
        Self((0..len).collect())
    }

    fn find(&mut self, mut place: usize) -> usize {
        while self.0[place] != place {
            self.0[place] = self.0[self.0[place]];
            place = self.0[place];
        }
        place
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.0[a.max(b)] = a.min(b);
    }

    /// The sets' numbers, counted from 0 in the order of their first members.
    fn numbers(mut self) -> Vec<u32> {
        let mut known: BTreeMap<usize, u32> = BTreeMap::new();
        (0..self.0.len())
            .map(|place| {
                let root = self.find(place);
                let next = u32::try_from(known.len()).expect("no more sets than actions");
                *known.entry(root).or_insert(next)
            })
            .collect()
    }
}
