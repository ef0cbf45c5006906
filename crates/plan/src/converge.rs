//! From answers to a plan: what would be done so that this host is as wanted, what
//! would not, and why.
//!
//! The edits of all drifted resources are folded path by path, ordered, and tied into
//! change sets. The same input gives the same plan.

mod bring;
mod fold;
mod lines;
mod order;
mod parents;

pub(crate) use fold::validator_of_unit;

use std::collections::BTreeMap;

use model::plan::{HostIdentity, LeftAlone, PLAN_FORMAT, Premise, Selection, may_hold_secrets};
use model::value::Meta;
use model::{Answer, HostPath, Observed, Plan, Probe, SourceLine, Value};
use resource::{Answers, Applies, Drift, Edit, Judgement, Wanted, WantedResource};

use crate::audit::is_fixable;
use crate::stages::Brought;

/// Two declarations can't both hold, or an edit does not fit what was observed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvergeError {
    #[error("`{first}` and `{second}` want different things of {path}: {why}")]
    Contradiction {
        path: HostPath,
        first: String,
        second: String,
        why: String,
    },
}

/// Makes the plan for everything in `wanted`. The caller has narrowed `wanted` to what
/// was selected; `selection` is kept in the plan so that it can be made again.
///
/// # Errors
/// When two declarations contradict each other on one path.
pub fn plan(
    wanted: &Wanted,
    seen: &Answers,
    host: HostIdentity,
    selection: Selection,
) -> Result<Plan, ConvergeError> {
    make(wanted, seen, host, selection, None)
}

/// The same over what holds after packages: actions say which lines of a file they change, since
/// the others may be made anew on the host.
///
/// # Errors
/// As [`plan`].
pub fn plan_after_packages(
    wanted: &Wanted,
    seen: &Answers,
    host: HostIdentity,
    selection: Selection,
    brought: &Brought,
) -> Result<Plan, ConvergeError> {
    make(wanted, seen, host, selection, Some(brought))
}

fn make(
    wanted: &Wanted,
    seen: &Answers,
    host: HostIdentity,
    selection: Selection,
    brought: Option<&Brought>,
) -> Result<Plan, ConvergeError> {
    let mut left_alone = Vec::new();
    let mut drifted = Vec::new();
    // The items of `drifted`, in its order.
    let mut behind = Vec::new();
    let mut premises = Premises::default();
    // What is about a unit that is not there, by its place in `left_alone`.
    let mut of_missing = Vec::new();
    for item in items(wanted) {
        let drifts = match drifts(&item, seen) {
            Ok(drifts) => drifts,
            Err((why, at)) => {
                let unit = item.want.resource.key().name;
                if bring::is_missing(&unit, seen) {
                    of_missing.push((left_alone.len(), unit));
                }
                left_alone.push(item.left_alone(why, at));
                continue;
            }
        };
        for drift in &drifts {
            if !is_fixable(drift) {
                let hand = drift.by_hand.as_deref().unwrap_or("no fix is known");
                let why = format!("{} {hand}", LeftAlone::BY_HAND);
                left_alone.push(item.left_alone(why, drift.at.clone()));
            }
        }
        let drifts: Vec<Drift> = drifts.into_iter().filter(is_fixable).collect();
        if drifts.is_empty() {
            continue;
        }
        let found = found(item.want, seen);
        let rests_on = premises.add(item.want, seen);
        for (drifts, rests_on) in premises.each_find(drifts, &rests_on, &found) {
            drifted.push(Drifting {
                serves: item.name.clone(),
                risk: item.risk.max(item.want.resource.risk()),
                risk_why: item.want.resource.risk_why(),
                phase: item.want.resource.phase(),
                secret: item.want.is_secret(),
                rests_on,
                drifts,
            });
            behind.push(item.clone());
        }
    }
    for at in (0..drifted.len()).rev() {
        if let Some(unit) = bring::missing(&drifted[at], seen)
            && !drifted.iter().any(|other| bring::may_bring(other, &unit))
        {
            let unit = model::printable(unit.as_bytes());
            let why = format!(
                "{} there is no {unit}, and nothing in this plan brings it: name the package or the \
                 file that does",
                LeftAlone::BY_HAND
            );
            left_alone.push(behind[at].left_alone(why, Vec::new()));
            drifted.remove(at);
            behind.remove(at);
        }
    }
    for (place, unit) in of_missing {
        if drifted.iter().any(|item| bring::writes(item, &unit)) {
            left_alone[place].why = format!(
                "{} {} comes with this plan, and is looked at when it is there",
                LeftAlone::UNKNOWN,
                model::printable(unit.as_bytes())
            );
        }
    }
    bring::give_main_groups(&mut drifted);
    for (place, what) in bring::take_out_strangers(&mut drifted, seen) {
        let why = format!(
            "{} there is no {what}, and nothing in this plan makes it",
            LeftAlone::BY_HAND
        );
        left_alone.push(behind[place].left_alone(why, Vec::new()));
    }
    parents::add_missing(&mut drifted, seen);
    let steps = fold::fold(order::in_natural_order(drifted), seen, brought)?;
    let actions = order::tie(steps, selection.all_or_nothing);
    left_alone.dedup();
    Ok(Plan {
        format: PLAN_FORMAT,
        host,
        selection,
        actions,
        left_alone,
        premises: premises.list,
    })
}

/// What passes by `after` and did not by `before`, as a plan over `after` names it.
pub fn passing_now(wanted: &Wanted, before: &Answers, after: &Answers) -> Vec<LeftAlone> {
    let passes = |item: &Item<'_>, seen: &Answers| {
        matches!(item.applies, Applies::Yes)
            && matches!(item.want.judge(seen), Judgement::Compliant { .. })
    };
    items(wanted)
        .filter(|item| passes(item, after) && !passes(item, before))
        .filter_map(|item| {
            let (why, at) = drifts(&item, after).err()?;
            Some(item.left_alone(why, at))
        })
        .collect()
}

/// The drifts of one resource, or why it is left alone.
fn drifts(item: &Item<'_>, seen: &Answers) -> Result<Vec<Drift>, (String, Vec<SourceLine>)> {
    let leave = |why: String| Err((why, Vec::new()));
    match item.applies {
        Applies::Yes => {}
        Applies::No(why) => return leave(format!("{}: {why}", LeftAlone::NOT_APPLICABLE)),
        Applies::SwitchedOff(why) => return leave(format!("switched off: {why}")),
        Applies::NotProven(label) => return leave(format!("not fixed: {label}")),
        Applies::Unknown(reason) => return leave(format!("{} {reason}", LeftAlone::UNKNOWN)),
    }
    match item.want.judge(seen) {
        Judgement::Drift(drifts) => Ok(drifts),
        Judgement::Compliant { observed, at } => {
            Err((format!("{} ({observed})", LeftAlone::PASSES), at))
        }
        Judgement::NotApplicable(why) => leave(format!("{}: {why}", LeftAlone::NOT_APPLICABLE)),
        Judgement::Unknown(reason) => leave(format!("{} {reason}", LeftAlone::UNKNOWN)),
        Judgement::Error(why) => leave(format!("{} {why}", LeftAlone::ERROR)),
    }
}

/// A drifted resource on its way into the plan.
struct Drifting {
    serves: String,
    risk: model::Risk,
    /// What makes it so, where its kind says it.
    risk_why: Option<&'static str>,
    phase: resource::Phase,
    /// Nothing of its content is shown.
    secret: bool,
    rests_on: Vec<u32>,
    drifts: Vec<Drift>,
}

/// One wanted resource with the name of what wants it.
#[derive(Clone)]
struct Item<'a> {
    name: String,
    applies: &'a Applies,
    risk: model::Risk,
    want: &'a WantedResource,
}

fn items(wanted: &Wanted) -> impl Iterator<Item = Item<'_>> {
    let rules = wanted.rules.iter().flat_map(|rule| {
        rule.want.iter().map(|want| Item {
            name: rule.meta.id.to_string(),
            applies: &rule.applies,
            risk: rule.meta.risk,
            want,
        })
    });
    let roles = wanted.roles.iter().flat_map(|role| {
        role.want.iter().map(|want| Item {
            name: format!("{}{}", LeftAlone::OF_ROLE, role.name),
            applies: &Applies::Yes,
            risk: model::Risk::None,
            want,
        })
    });
    rules.chain(roles)
}

impl Item<'_> {
    fn left_alone(&self, why: String, at: Vec<SourceLine>) -> LeftAlone {
        let what = if self.name.starts_with(LeftAlone::OF_ROLE) {
            format!("{}: {}", self.name, self.want.resource.key())
        } else {
            self.name.clone()
        };
        LeftAlone { what, why, at }
    }
}

/// The observed values that decided something, each once.
#[derive(Default)]
struct Premises {
    list: Vec<Premise>,
    place: BTreeMap<Probe, u32>,
}

/// What a walk over all files found for this resource, by its path.
fn found<'a>(want: &WantedResource, seen: &'a Answers) -> BTreeMap<&'a HostPath, &'a Meta> {
    let probes = want.resource.probes(seen).into_iter();
    let walks = probes.filter_map(|probe| match &seen.get(&probe)?.answer {
        Answer::Known(Value::Walk(walk)) => Some(walk),
        _ => None,
    });
    let hits = walks.flat_map(|walk| &walk.hits);
    hits.map(|hit| (&hit.path, &hit.meta)).collect()
}

impl Premises {
    /// Each file that a walk found is a thing by itself: what is done to it rests on that file, and
    /// not on what else the walk found, which any user changes by making a file anywhere. Drifts of
    /// what no walk found stay together.
    fn each_find(
        &mut self,
        drifts: Vec<Drift>,
        rests_on: &[u32],
        found: &BTreeMap<&HostPath, &Meta>,
    ) -> Vec<(Vec<Drift>, Vec<u32>)> {
        if found.is_empty() {
            return vec![(drifts, rests_on.to_vec())];
        }
        let mut each = Vec::with_capacity(drifts.len());
        for drift in drifts {
            let mut rests_on = rests_on.to_vec();
            for edit in &drift.edits {
                if let Edit::Meta { path, .. } = edit
                    && let Some(meta) = found.get(path)
                {
                    let meta = (*meta).clone().rights_only();
                    let probe = Probe::Found { path: path.clone() };
                    let observed = Observed::new(Answer::Known(Value::Meta(meta)));
                    rests_on.push(self.place(probe, &observed));
                }
            }
            rests_on.sort_unstable();
            rests_on.dedup();
            each.push((vec![drift], rests_on));
        }
        each
    }

    fn place(&mut self, probe: Probe, observed: &Observed) -> u32 {
        *self.place.entry(probe).or_insert_with_key(|probe| {
            let place =
                u32::try_from(self.list.len()).expect("a plan has far fewer premises than 2^32");
            self.list.push(premise(probe, observed));
            place
        })
    }

    /// Every probe of this resource that was answered, but for walks; the places of them.
    fn add(&mut self, want: &WantedResource, seen: &Answers) -> Vec<u32> {
        let mut places: Vec<u32> = want
            .resource
            .probes(seen)
            .into_iter()
            .filter(|probe| !matches!(probe, Probe::Walk { .. }))
            .filter_map(|probe| {
                let observed = seen.get(&probe)?;
                Some(self.place(probe, observed))
            })
            .collect();
        places.sort_unstable();
        places.dedup();
        if want.is_secret() {
            for place in &places {
                let premise = &mut self.list[*place as usize];
                let is_content = premise.seen.as_ref().is_some_and(|seen| {
                    !matches!(
                        seen.answer,
                        Answer::Absent | Answer::Unknown(_) | Answer::Known(Value::Meta(_))
                    )
                });
                if is_content {
                    premise.seen = None;
                }
            }
        }
        places
    }
}

/// Values larger than this are held as a digest only: nobody reads a longer difference.
const LARGEST_SHOWN_BYTES: usize = 64 * 1024;

fn premise(probe: &Probe, observed: &Observed) -> Premise {
    Premise {
        probe: probe.clone(),
        digest: observed.digest,
        seen: may_be_shown(probe, observed).then(|| observed.clone()),
        after: None,
        form: None,
    }
}

fn may_be_shown(probe: &Probe, observed: &Observed) -> bool {
    match (probe, &observed.answer) {
        (_, Answer::Absent | Answer::Unknown(_)) => true,
        (Probe::File { path, .. }, Answer::Known(Value::File(file))) => {
            !may_hold_secrets(path) && file.content.as_bytes().len() <= LARGEST_SHOWN_BYTES
        }
        // Large lists, of which a digest says as much as a reader needs.
        (Probe::Accounts | Probe::Modules | Probe::Walk { .. } | Probe::Mounts, _) => false,
        // Output of programs may hold anything.
        (Probe::Command { .. } | Probe::Tool { .. }, _) => false,
        _ => true,
    }
}
