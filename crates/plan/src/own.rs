//! What Steadfast puts on a host for itself: the unit that recovers at boot with its link, the
//! guards of changes that wait, its state. None of that changes what a plan rests on, whether it
//! came after the plan was made or went. It hides nothing from an audit, which sees all of it.

use std::collections::BTreeMap;

use model::plan::Premise;
use model::value::{DirEntry, WritersSeen};
use model::{Answer, HostPath, Observed, Plan, Probe, Value};

/// Where systemd reads units, and where our link starts one at boot. The directory may be there
/// for its sake only.
const WANTS: (&str, &str) = ("/etc/systemd/system", "sysinit.target.wants");
/// Whose names begin like our units: those that recover, and those that take a change back.
const SYSTEMD: [&str; 2] = ["/etc/systemd", "/run/systemd"];
const NAMES: [&[u8]; 2] = [b"steadfast-recover", b"steadfast-revert-"];
/// Of root's alone: the state, and the lock of the accounts' files.
const OTHERS: [&str; 2] = ["/var/lib/steadfast", "/etc/.pwd.lock"];

/// Does the premise hold, by what the host says now?
pub fn still_holds(premise: &Premise, now: &Observed) -> bool {
    if premise.digest == now.digest || is_of_own(&premise.probe) {
        return true;
    }
    let others = |seen: &Observed| -> Vec<Observed> {
        let ways = [false, true].into_iter();
        ways.filter_map(|wants| without(&premise.probe, seen, wants))
            .collect()
    };
    let now = others(now);
    let is_among = |digest: model::Digest| now.iter().any(|seen| seen.digest == digest);
    is_among(premise.digest)
        || premise.seen.as_ref().is_some_and(|seen| {
            // It was there then, and is not by now, or is another.
            others(seen).iter().any(|seen| is_among(seen.digest))
        })
}

/// The plan without premises that look at what is ours alone, the others numbered anew.
pub fn leave_out(mut plan: Plan) -> Plan {
    if !plan.premises.iter().any(|one| is_of_own(&one.probe)) {
        return plan;
    }
    let mut places: BTreeMap<u32, u32> = BTreeMap::new();
    let mut others = Vec::with_capacity(plan.premises.len());
    for (place, premise) in (0u32..).zip(std::mem::take(&mut plan.premises)) {
        if !is_of_own(&premise.probe) {
            let next = u32::try_from(others.len()).expect("no more than there were");
            places.insert(place, next);
            others.push(premise);
        }
    }
    plan.premises = others;
    for action in &mut plan.actions {
        action.rests_on = action
            .rests_on
            .iter()
            .filter_map(|place| places.get(place).copied())
            .collect();
    }
    plan
}

fn is_of_own(probe: &Probe) -> bool {
    match probe {
        Probe::File { path, .. }
        | Probe::FileDigest { path }
        | Probe::Meta { path }
        | Probe::Found { path }
        | Probe::Dir { path }
        | Probe::Writers { path, .. } => is_own(path),
        Probe::Unit { name } => NAMES.iter().any(|own| name.as_bytes().starts_with(own)),
        _ => false,
    }
}

/// The answer without what is ours; `wants`: without the directory of our link too, where nothing
/// else is in it. None where the question lists nothing.
fn without(probe: &Probe, seen: &Observed, wants: bool) -> Option<Observed> {
    match (probe, &seen.answer) {
        (Probe::Dir { path }, Answer::Known(Value::Dir(entries))) => {
            let others: Vec<DirEntry> = entries
                .iter()
                .filter(|entry| match path.join(entry.name.as_bytes()) {
                    Ok(path) => !(is_own(&path) || wants && is_wants(&path)),
                    Err(_) => true,
                })
                .cloned()
                .collect();
            Some(Observed::new(match others.is_empty() && is_wants(path) {
                true => Answer::Absent,
                false => Answer::Known(Value::Dir(others)),
            }))
        }
        (Probe::Dir { path }, Answer::Absent) if is_wants(path) => Some(seen.clone()),
        (Probe::Writers { .. }, Answer::Known(Value::Writers(all))) => {
            let mut others: Vec<WritersSeen> = all
                .iter()
                .filter(|seen| !is_own(&seen.path))
                .cloned()
                .collect();
            let is_in_wants = |seen: &WritersSeen| {
                let above = seen.path.parent();
                above.is_some_and(|above| is_wants(&above))
            };
            if wants && !others.iter().any(is_in_wants) {
                others.retain(|seen| !is_wants(&seen.path));
            }
            Some(Observed::new(Answer::Known(Value::Writers(others))))
        }
        _ => None,
    }
}

fn is_wants(path: &HostPath) -> bool {
    let above = path.parent();
    path.file_name() == WANTS.1.as_bytes()
        && above.is_some_and(|above| above.as_bytes() == WANTS.0.as_bytes())
}

fn is_own(path: &HostPath) -> bool {
    let name = path.file_name();
    let is_unit = NAMES.iter().any(|own| name.starts_with(own))
        && SYSTEMD
            .iter()
            .any(|top| path.is_within(&HostPath::literal(top)));
    is_unit
        || OTHERS
            .iter()
            .any(|own| path.is_within(&HostPath::literal(own)))
}
