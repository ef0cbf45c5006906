//! Compares a saved plan with the one that policy and host give now. A saved plan is a
//! claim: it is carried out only when nothing differs.

use std::collections::BTreeMap;

use model::plan::{PLAN_FORMAT, Premise};
use model::{Action, ActionId, Blob, Effect, Plan, Probe};

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

/// Every difference; empty when the plans are the same, byte for byte but for what packages make
/// anew each time.
pub fn differences(saved: &Plan, now: &Plan) -> Vec<Difference> {
    if saved.host != now.host {
        return vec![Difference::OtherHost {
            saved: saved.host.hostname.clone(),
            now: now.host.hostname.clone(),
        }];
    }
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
            (Some(old), Some(new)) => is_same_action(old, new),
            _ => false,
        };
        if !is_same {
            differences.push(Difference::Action {
                saved: old.cloned().map(Box::new),
                now: new.cloned().map(Box::new),
            });
        }
    }
    if differences.is_empty() && without_bytes(saved) != without_bytes(now) {
        differences.push(Difference::Words);
    }
    differences
}

/// What packages bring is made anew on each copy of the host: of a file that a script writes, only
/// what was decided by it is compared.
fn is_same_premise(saved: &Premise, now: &Premise) -> bool {
    saved.digest == now.digest || saved.form.is_some() && saved.form == now.form
}

/// Is the same done, as far as it was shown?
pub(crate) fn is_same_action(saved: &Action, now: &Action) -> bool {
    saved == now
        || saved.edit.is_some() && {
            let (mut saved, mut now) = (saved.clone(), now.clone());
            empty(&mut saved);
            empty(&mut now);
            saved == now
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
    for action in plan.actions.iter_mut().filter(|one| one.edit.is_some()) {
        empty(action);
    }
    plan
}

fn empty(action: &mut Action) {
    if let Effect::PutFile { content, .. } = &mut action.effect {
        *content = Blob::default();
    }
}
