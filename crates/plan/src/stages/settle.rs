//! A stage on the host itself. What packages bring there may differ from what the copy had: their
//! scripts make keys, identifiers and dates anew each time. What was decided over the copy is
//! decided again over the host's own files, and must come out as it was shown.

use std::collections::BTreeMap;
use std::mem::discriminant;

use model::plan::LineEdit;
use model::{Action, ActionId, Observed, Plan, Premise, Probe, secrets};

use crate::compare::is_same_action;

/// Lines that a message shows of each kind.
const LINES: usize = 3;
/// A longer line is cut.
const LINE_CHARACTERS: usize = 80;

/// On the host something else would be done than was shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not as the plan showed it: {why}")]
pub struct Differs {
    /// The action that is not carried out.
    pub action: ActionId,
    pub what: String,
    pub why: String,
}

/// The premises of this stage whose files differ on the host in nothing but their bytes.
pub fn made_anew(
    plan: &Plan,
    stage: ActionId,
    probe: impl Fn(&Probe) -> Observed,
) -> BTreeMap<&Probe, Observed> {
    let of_stage = |premise: &&Premise| premise.after == Some(stage) && premise.form.is_some();
    let premises = plan.premises.iter().filter(of_stage);
    let differing = premises.filter_map(|premise| {
        let now = probe(&premise.probe);
        let is_anew = now.digest != premise.digest && now.form() == premise.form;
        is_anew.then_some((&premise.probe, now))
    });
    differing.collect()
}

/// The plan with the host's own files in its stage. `now` is what they hold, and `again` was decided
/// by it.
///
/// # Errors
/// When it is not what was shown.
pub fn settle(
    shown: &Plan,
    again: &Plan,
    stage: ActionId,
    now: &BTreeMap<&Probe, Observed>,
) -> Result<Plan, Differs> {
    let mut settled = shown.clone();
    for action in &mut settled.actions {
        if !rests_on(shown, action, stage, now) {
            continue;
        }
        let same = again
            .actions
            .iter()
            .find(|other| is_about_the_same(action, other));
        let Some(same) = same else {
            return Err(differs(action, "there it is not needed".to_owned()));
        };
        if !has_same_end(action, same) {
            return Err(differs(action, why(action, same)));
        }
        action.effect.clone_from(&same.effect);
    }
    let is_new = |other: &&Action| {
        let mut known = shown.actions.iter();
        !known.any(|action| is_about_the_same(action, other))
    };
    if let Some(more) = again.actions.iter().find(is_new) {
        return Err(Differs {
            action: stage,
            what: more
                .effect
                .path()
                .map_or_else(|| more.serves.join(", "), ToString::to_string),
            why: "there more is to be done".to_owned(),
        });
    }
    for premise in &mut settled.premises {
        if premise.after == Some(stage)
            && let Some(now) = now.get(&premise.probe)
        {
            premise.digest = now.digest;
            premise.seen = premise.seen.is_some().then(|| now.clone());
        }
    }
    Ok(settled)
}

fn rests_on(
    plan: &Plan,
    action: &Action,
    stage: ActionId,
    now: &BTreeMap<&Probe, Observed>,
) -> bool {
    let places = action.rests_on.iter();
    places
        .filter_map(|place| plan.premises.get(*place as usize))
        .any(|premise| premise.after == Some(stage) && now.contains_key(&premise.probe))
}

/// Of one path there is one action of a kind.
fn is_about_the_same(one: &Action, other: &Action) -> bool {
    match one.effect.path() {
        Some(path) => {
            other.effect.path() == Some(path)
                && discriminant(&one.effect) == discriminant(&other.effect)
        }
        None => one.effect == other.effect,
    }
}

/// Does it change the same lines, or, where a whole file is written, to the same bytes? Where it
/// stands in its plan is of no matter.
fn has_same_end(shown: &Action, again: &Action) -> bool {
    let again = Action {
        effect: again.effect.clone(),
        edit: again.edit.clone(),
        ..shown.clone()
    };
    is_same_action(shown, &again)
}

fn differs(action: &Action, why: String) -> Differs {
    Differs {
        action: action.id,
        what: match action.effect.path() {
            Some(path) => path.to_string(),
            None => action.serves.join(", "),
        },
        why,
    }
}

fn why(shown: &Action, again: &Action) -> String {
    let is_secret = shown.is_secret() || again.is_secret();
    match (&shown.edit, &again.edit) {
        (Some(shown), Some(again)) if !is_secret => {
            format!("shown was {}, and it would be {}", said(shown), said(again))
        }
        _ => "something else would be done to it".to_owned(),
    }
}

fn said(edit: &LineEdit) -> String {
    let signed = |sign: char, lines: &[String]| {
        let more = lines.len().saturating_sub(LINES);
        let mut said: Vec<String> = lines
            .iter()
            .take(LINES)
            .map(|line| {
                let line = secrets::hidden(line.trim_end(), true);
                let cut: String = line.chars().take(LINE_CHARACTERS).collect();
                format!("`{sign}{}`", model::printable(cut.as_bytes()))
            })
            .collect();
        if more > 0 {
            said.push(format!("{more} more"));
        }
        said
    };
    let mut all = signed('-', &edit.gone);
    all.extend(signed('+', &edit.new));
    match all.is_empty() {
        true => "nothing".to_owned(),
        false => all.join(" "),
    }
}
