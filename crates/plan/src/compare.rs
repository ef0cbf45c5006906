//! Compares a saved plan with the one that policy and host give now. A saved plan is a
//! claim: it is carried out only when nothing differs.

use std::collections::BTreeMap;

use model::plan::Premise;
use model::{Action, Plan, Probe};

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

/// Every difference; empty when the plans are the same, byte for byte.
pub fn differences(saved: &Plan, now: &Plan) -> Vec<Difference> {
    if saved.host != now.host {
        return vec![Difference::OtherHost {
            saved: saved.host.hostname.clone(),
            now: now.host.hostname.clone(),
        }];
    }
    let mut known: BTreeMap<&Probe, &Premise> = BTreeMap::new();
    for premise in &now.premises {
        known.entry(&premise.probe).or_insert(premise);
    }
    let mut differences: Vec<Difference> = saved
        .premises
        .iter()
        .filter_map(|premise| {
            let again = known.get(&premise.probe).copied();
            let changed = again.is_none_or(|again| again.digest != premise.digest);
            changed.then(|| Difference::Observed {
                saved: Box::new(premise.clone()),
                now: again.cloned().map(Box::new),
            })
        })
        .collect();
    for place in 0..saved.actions.len().max(now.actions.len()) {
        let (old, new) = (saved.actions.get(place), now.actions.get(place));
        if old != new {
            differences.push(Difference::Action {
                saved: old.cloned().map(Box::new),
                now: new.cloned().map(Box::new),
            });
        }
    }
    if differences.is_empty() && saved != now {
        differences.push(Difference::Words);
    }
    differences
}
