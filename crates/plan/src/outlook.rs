//! What a look at the host says of a plan's actions before anything is begun: what can't be done
//! or not be taken back is left out by name, with all that stands or falls with it.

use std::collections::{BTreeMap, BTreeSet};

use model::plan::{Along, LeftAlone};
use model::{Action, ActionId, Plan, Risk};

/// What the host says of one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It can't be done, or not be taken back: the path and the cause.
    Impossible(String),
    /// The new content goes without what the old one had: set-ID bits, capabilities.
    Drops(String),
    /// Other units start or stop with the one that is told.
    Moves(Along),
}

/// The plan without what can't be done, and with what is lost said.
pub fn regard(mut plan: Plan, outlook: &BTreeMap<ActionId, Outlook>) -> Plan {
    if outlook.is_empty() {
        return plan;
    }
    for action in &mut plan.actions {
        if let Some(Outlook::Moves(along)) = outlook.get(&action.id) {
            action.along = along.clone();
        }
        if let Some(Outlook::Drops(what)) = outlook.get(&action.id)
            && action.risk <= Risk::Service
        {
            action.risk = Risk::Service;
            action.risk_why = Some(what.clone());
        }
    }
    let impossible = |action: &Action| match outlook.get(&action.id) {
        Some(Outlook::Impossible(why)) => Some(why),
        _ => None,
    };
    let sets: BTreeSet<u32> = plan
        .actions
        .iter()
        .filter(|action| impossible(action).is_some())
        .map(|action| action.change_set)
        .collect();
    if sets.is_empty() {
        return plan;
    }
    let mut fellows: BTreeMap<u32, usize> = BTreeMap::new();
    let possible = plan
        .actions
        .iter()
        .filter(|action| impossible(action).is_none());
    for action in possible {
        *fellows.entry(action.change_set).or_default() += 1;
    }
    for action in &plan.actions {
        let Some(why) = impossible(action) else {
            continue;
        };
        let with_it = match fellows.get(&action.change_set).copied().unwrap_or_default() {
            0 => String::new(),
            1 => "; 1 step that stands or falls with it is left out too".to_owned(),
            others => format!("; {others} steps that stand or fall with it are left out too"),
        };
        plan.left_alone.push(LeftAlone {
            what: action.serves.join(", "),
            why: format!("{} {why}{with_it}", LeftAlone::IMPOSSIBLE),
            at: Vec::new(),
        });
    }
    plan.left_alone.dedup();
    without(plan, |action| sets.contains(&action.change_set))
}

/// The plan without these actions, and what is left numbered anew. Nothing that stays may go after
/// one of them.
pub(crate) fn without(mut plan: Plan, is_left_out: impl Fn(&Action) -> bool) -> Plan {
    plan.actions.retain(|action| !is_left_out(action));
    let ids: BTreeMap<ActionId, ActionId> = (0..)
        .zip(&plan.actions)
        .map(|(place, action)| (action.id, ActionId(place)))
        .collect();
    let used: BTreeSet<u32> = plan
        .actions
        .iter()
        .flat_map(|action| action.rests_on.iter().copied())
        .collect();
    let premises: BTreeMap<u32, u32> = used.into_iter().zip(0..).collect();
    let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
    for action in &mut plan.actions {
        action.id = ids[&action.id];
        action.after = action
            .after
            .iter()
            .filter_map(|id| ids.get(id).copied())
            .collect();
        action.rests_on = action
            .rests_on
            .iter()
            .map(|place| premises[place])
            .collect();
        let next = u32::try_from(numbers.len()).expect("no more sets than actions");
        action.change_set = *numbers.entry(action.change_set).or_insert(next);
    }
    plan.premises = (0..)
        .zip(std::mem::take(&mut plan.premises))
        .filter(|(place, _)| premises.contains_key(place))
        .map(|(_, premise)| premise)
        .collect();
    for premise in &mut plan.premises {
        premise.after = premise.after.and_then(|id| ids.get(&id).copied());
    }
    plan
}
