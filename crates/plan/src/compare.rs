//! Compares a saved plan with the one that policy and host give now. A saved plan is a
//! claim: it is carried out only when nothing differs.

use std::collections::{BTreeMap, BTreeSet};

use model::plan::{Along, PLAN_FORMAT, Premise};
use model::{Action, ActionId, Blob, Effect, HostPath, Plan, Probe};

use crate::outlook::without;
use crate::own;

/// Why a saved plan is not what this host needs now.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// Made for another host.
    OtherHost { saved: String, now: String },
    /// Something that the plan rests on has changed since.
    Observed {
        saved: Box<Premise>,
        now: Option<Box<Premise>>,
    },
    /// The policy or the host asks for an action that the saved plan does not have, has
    /// differently, or no longer asks for one that it has.
    Action {
        saved: Option<Box<Action>>,
        now: Option<Box<Action>>,
    },
    /// The same actions, but the saved plan says something else about them or about what
    /// it leaves alone.
    Words,
}

/// Every difference; empty when the plans do the same, byte for byte but for what packages make
/// anew each time. What was found since by a walk over all files is left for the next plan, since
/// any user can make such files at any moment.
pub fn differences(saved: &Plan, now: &Plan) -> Vec<Difference> {
    if saved.host != now.host {
        return vec![Difference::OtherHost {
            saved: saved.host.hostname.clone(),
            now: now.host.hostname.clone(),
        }];
    }
    let saved = &own::leave_out(saved.clone());
    let now = &own::leave_out(now.clone());
    let found_since = found_since(saved, now);
    let changed_now = match found_since.places.is_empty() {
        true => now.clone(),
        false => without(now.clone(), |action| found_since.is_of(action)),
    };
    let now = &changed_now;
    let mut known: BTreeMap<(&Probe, Option<ActionId>), &Premise> = BTreeMap::new();
    for premise in &now.premises {
        known
            .entry((&premise.probe, premise.after))
            .or_insert(premise);
    }
    let mut differences: Vec<Difference> = saved
        .premises
        .iter()
        .filter_map(|premise| {
            let again = known.get(&(&premise.probe, premise.after)).copied();
            let changed = again.is_none_or(|again| !is_same_premise(premise, again));
            changed.then(|| Difference::Observed {
                saved: Box::new(premise.clone()),
                now: again.cloned().map(Box::new),
            })
        })
        .collect();
    for place in 0..saved.actions.len().max(now.actions.len()) {
        let (old, new) = (saved.actions.get(place), now.actions.get(place));
        let is_same = match (old, new) {
            (Some(old), Some(new)) => is_same_action(old, new) && ends_no_more(old, new),
            _ => false,
        };
        if !is_same {
            differences.push(Difference::Action {
                saved: old.cloned().map(Box::new),
                now: new.cloned().map(Box::new),
            });
        }
    }
    let words = |plan: &Plan| {
        let mut plan = found_since.regard(without_bytes(plan));
        // Compared one by one above.
        plan.premises.clear();
        plan
    };
    if differences.is_empty() && words(saved) != words(now) {
        differences.push(Difference::Words);
    }
    differences
}

/// What packages bring is made anew on each copy of the host: of a file that a script writes, only
/// what was decided by it is compared.
fn is_same_premise(saved: &Premise, now: &Premise) -> bool {
    let is_own_doing = || {
        let seen = now.seen.as_ref();
        seen.is_some_and(|seen| own::still_holds(saved, seen))
    };
    saved.digest == now.digest || saved.form.is_some() && saved.form == now.form || is_own_doing()
}

/// Is the same done, as far as it was shown? What moves along hangs on what runs.
pub(crate) fn is_same_action(saved: &Action, now: &Action) -> bool {
    let (mut saved, mut now) = (saved.clone(), now.clone());
    now.along = saved.along.clone();
    saved == now
        || saved.edit.is_some() && {
            empty(&mut saved);
            empty(&mut now);
            saved == now
        }
}

/// Does nothing stop or begin anew along with it that was not shown to?
fn ends_no_more(saved: &Action, now: &Action) -> bool {
    let ends = |action: &Action| -> BTreeSet<String> {
        let along = &action.along;
        along.stops.union(&along.restarts).cloned().collect()
    };
    ends(now).is_subset(&ends(saved))
}

/// What walks over all files have found since a plan was saved.
struct FoundSince<'a> {
    /// Their places among the premises of now.
    places: BTreeSet<u32>,
    /// What says something else of them by now than it did, with no step of either plan.
    names: BTreeSet<&'a str>,
}

fn found_since<'a>(saved: &Plan, now: &'a Plan) -> FoundSince<'a> {
    fn finds(plan: &Plan) -> impl Iterator<Item = (u32, &HostPath)> {
        let premises = (0u32..).zip(&plan.premises);
        premises.filter_map(|(place, premise)| match &premise.probe {
            Probe::Found { path } => Some((place, path)),
            _ => None,
        })
    }
    let known: BTreeSet<&HostPath> = finds(saved).map(|(_, path)| path).collect();
    let new = finds(now).filter(|(_, path)| !known.contains(path));
    let mut found = FoundSince {
        places: new.map(|(place, _)| place).collect(),
        names: BTreeSet::new(),
    };
    let theirs = now.actions.iter().filter(|action| found.is_of(action));
    let served = theirs.flat_map(|action| action.serves.iter().map(String::as_str));
    // A file that nobody owns is for somebody's hands.
    let by_hand = now.left_alone.iter().filter(|left| left.is_by_hand());
    found.names = served
        .chain(by_hand.map(|left| left.what.as_str()))
        .collect();
    found
}

impl FoundSince<'_> {
    fn is_of(&self, action: &Action) -> bool {
        let mut places = action.rests_on.iter();
        places.any(|place| self.places.contains(place))
    }

    fn regard(&self, mut plan: Plan) -> Plan {
        plan.left_alone
            .retain(|left| !self.names.contains(left.what.as_str()));
        plan
    }
}

/// The plan as it is compared, in the newest form.
fn without_bytes(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.format = PLAN_FORMAT;
    for premise in &mut plan.premises {
        if let Some(form) = premise.form {
            premise.digest = form;
            premise.seen = None;
        }
    }
    for action in &mut plan.actions {
        action.along = Along::default();
        if action.edit.is_some() {
            empty(action);
        }
    }
    plan
}

fn empty(action: &mut Action) {
    if let Effect::PutFile { content, .. } = &mut action.effect {
        *content = Blob::default();
    }
}
