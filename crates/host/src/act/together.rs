//! Units that start or stop with another (systemd.unit(5): `Requires=`, `BindsTo=`, `PartOf=`, …). What
//! an action did to them is its own, and goes back with it.

use std::collections::{BTreeMap, BTreeSet};

use super::ActError;
use super::health;
use super::unit::{act, bring_up, check_name, is_active, is_booted, sort_as_started, systemctl};
use model::UnitOp;
use model::plan::Along;

/// What starts and stops by itself, or when it is needed. Targets and slices only group.
const ENDINGS: [&str; 4] = [".service", ".socket", ".timer", ".path"];
/// A target leads to some hundred.
const MOST: usize = 1_000;

/// The units that stand in a relation to this one, and whether each is up.
pub fn around(name: &str) -> Result<BTreeMap<String, bool>, ActError> {
    check_name(name)?;
    if !is_booted() {
        return Ok(BTreeMap::new());
    }
    let mut names = BTreeSet::new();
    for direction in [&[][..], &["--reverse"]] {
        let listed = systemctl()?
            .args(["list-dependencies", "--plain", "--all"])
            .args(direction.iter().copied())
            .args(["--", name])
            .answer()?;
        let lines = listed.stdout.lines().map(|line| {
            // A mark of its state stands before each.
            let line = line.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
            line.trim()
        });
        names.extend(
            lines
                .filter(|unit| *unit != name && ENDINGS.iter().any(|end| unit.ends_with(end)))
                .filter(|unit| check_name(unit).is_ok())
                .take(MOST)
                .map(str::to_owned),
        );
    }
    let shown = systemctl()?
        .args([
            "show",
            "--property=Conflicts,ConflictedBy",
            "--value",
            "--",
            name,
        ])
        .answer()?;
    let conflicts = shown.stdout.split_whitespace();
    names.extend(
        conflicts
            .filter(|unit| *unit != name && ENDINGS.iter().any(|end| unit.ends_with(end)))
            .filter(|unit| check_name(unit).is_ok())
            .map(str::to_owned),
    );
    now(names.iter())
}

/// Whether each of these is up now. What comes to its end by itself is left out.
pub fn now<'a>(
    names: impl Iterator<Item = &'a String>,
) -> Result<BTreeMap<String, bool>, ActError> {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() || !is_booted() {
        return Ok(BTreeMap::new());
    }
    let seen = health::look(&names)?;
    let both = names.into_iter().zip(seen);
    Ok(both
        .filter(|(_, seen)| !seen.is_oneshot())
        .map(|(name, seen)| (name.to_owned(), seen.is_up()))
        .collect())
}

/// Leaves of what was noted before an action those that are otherwise after it.
pub fn narrow(others: &mut BTreeMap<String, bool>) -> Result<(), ActError> {
    let now = now(others.keys())?;
    others.retain(|name, up| now.get(name).is_some_and(|now| now != up));
    Ok(())
}

/// Starts and stops them as they were, each behind what it needs.
pub fn put_back(others: &BTreeMap<String, bool>) -> Result<(), ActError> {
    let now = now(others.keys())?;
    let differs = |name: &String, up: bool| now.get(name).is_some_and(|now| *now != up);
    let mut down: Vec<&String> = others
        .iter()
        .filter(|(name, up)| **up && differs(name, true))
        .map(|(name, _)| name)
        .collect();
    sort_as_started(&mut down, |name| Some(name.as_str()))?;
    for name in down {
        bring_up(name)?;
    }
    for (name, up) in others {
        if !up && differs(name, false) && !is_needed(name)? {
            act(name, UnitOp::Stop)?;
        }
    }
    Ok(())
}

/// Are they as they were? None where one is up that others need by now.
pub fn are_back(others: &BTreeMap<String, bool>) -> Option<bool> {
    let Ok(now) = now(others.keys()) else {
        return None;
    };
    for (name, up) in others {
        match (up, now.get(name)) {
            (true, Some(false)) => return Some(false),
            (false, Some(true)) if is_needed(name).unwrap_or(true) => return None,
            (false, Some(true)) => return Some(false),
            _ => {}
        }
    }
    Some(true)
}

/// Would something that runs end with it?
fn is_needed(name: &str) -> Result<bool, ActError> {
    check_name(name)?;
    let shown = systemctl()?
        .args([
            "show",
            "--property=RequiredBy,BoundBy",
            "--value",
            "--",
            name,
        ])
        .answer()?;
    for unit in shown.stdout.split_whitespace() {
        let counts = ENDINGS.iter().any(|end| unit.ends_with(end)) && check_name(unit).is_ok();
        if counts && is_active(unit)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What one unit is to others, and whether it is up.
#[derive(Clone, Debug, Default)]
pub struct Related {
    pub is_up: bool,
    /// Started with it: `Requires=`, `BindsTo=`, `Wants=`, `Upholds=`.
    pub pulls: Vec<String>,
    /// Stopped, or begun anew, with it: who requires it, is bound to it, or is part of it.
    pub follows: Vec<String>,
    /// Stopped before it starts: `Conflicts=`, in both directions.
    pub conflicts: Vec<String>,
}

/// Says of units what they are to others.
pub type Look<'a> = &'a mut dyn FnMut(&[String]) -> Result<BTreeMap<String, Related>, ActError>;

const PULLS: [&str; 4] = ["Requires", "BindsTo", "Wants", "Upholds"];
const FOLLOWS: [&str; 5] = [
    "RequiredBy",
    "RequisiteOf",
    "BoundBy",
    "ConsistsOf",
    "PropagatesStopTo",
];
const CONFLICTS: [&str; 2] = ["Conflicts", "ConflictedBy"];

/// What systemd would start and stop along with the unit, by what runs now.
pub fn foreseen(name: &str, op: UnitOp) -> Result<Along, ActError> {
    if !matches!(op, UnitOp::Start | UnitOp::Stop | UnitOp::Restart) || !is_booted() {
        return Ok(Along::default());
    }
    check_name(name)?;
    along(name, op, &mut related)
}

/// The same, where `look` says how units are related (systemd.unit(5)).
pub fn along(name: &str, op: UnitOp, look: Look<'_>) -> Result<Along, ActError> {
    let mut known: BTreeMap<String, Related> = BTreeMap::new();
    let mut along = Along::default();
    let first = vec![name.to_owned()];
    know(&mut known, &first, look)?;
    let is_up = known.get(name).is_some_and(|unit| unit.is_up);
    let ending = match op {
        UnitOp::Stop | UnitOp::Restart if is_up => first.clone(),
        _ => Vec::new(),
    };
    let ended = spread(&mut known, ending, look, |unit| &unit.follows, true)?;
    match op {
        UnitOp::Restart => along.restarts = ended,
        _ => along.stops = ended,
    }
    if op == UnitOp::Stop || is_up && op == UnitOp::Start {
        return Ok(shown(along));
    }
    along.starts = spread(&mut known, first.clone(), look, |unit| &unit.pulls, false)?;
    let begins = first.iter().chain(&along.starts);
    let conflicts: Vec<String> = begins
        .filter_map(|name| known.get(name))
        .flat_map(|unit| unit.conflicts.iter().cloned())
        .collect();
    know(&mut known, &conflicts, look)?;
    let up = |name: &String| known.get(name).is_some_and(|unit| unit.is_up);
    let conflicts: Vec<String> = conflicts.into_iter().filter(up).collect();
    along.stops.extend(conflicts.iter().cloned());
    let ended = spread(&mut known, conflicts, look, |unit| &unit.follows, true)?;
    along.stops.extend(ended);
    along.stops.remove(name);
    Ok(shown(along))
}

fn know(
    known: &mut BTreeMap<String, Related>,
    names: &[String],
    look: Look<'_>,
) -> Result<(), ActError> {
    let new = names.iter().filter(|name| !known.contains_key(*name));
    let new: BTreeSet<String> = new
        .filter(|name| check_name(name).is_ok())
        .take(MOST.saturating_sub(known.len()))
        .cloned()
        .collect();
    if !new.is_empty() {
        let new: Vec<String> = new.into_iter().collect();
        known.extend(look(&new)?);
    }
    Ok(())
}

/// All that a job for these reaches by a relation, of those that are up, or down.
fn spread(
    known: &mut BTreeMap<String, Related>,
    from: Vec<String>,
    look: Look<'_>,
    relation: fn(&Related) -> &Vec<String>,
    up: bool,
) -> Result<BTreeSet<String>, ActError> {
    let start: BTreeSet<String> = from.iter().cloned().collect();
    let mut reached = BTreeSet::new();
    let mut queue = from;
    while !queue.is_empty() {
        let next: BTreeSet<String> = queue
            .iter()
            .filter_map(|name| known.get(name))
            .flat_map(|unit| relation(unit).iter().cloned())
            .filter(|name| !reached.contains(name) && !start.contains(name))
            .collect();
        let next: Vec<String> = next.into_iter().collect();
        know(known, &next, look)?;
        queue = next
            .into_iter()
            .filter(|name| known.get(name).is_some_and(|unit| unit.is_up == up))
            .collect();
        reached.extend(queue.iter().cloned());
    }
    Ok(reached)
}

/// Those that mean something to people: targets, slices and mounts only group or carry.
fn shown(mut along: Along) -> Along {
    for names in [&mut along.starts, &mut along.stops, &mut along.restarts] {
        names.retain(|name| ENDINGS.iter().any(|end| name.ends_with(end)));
    }
    along
}

/// What systemd says of these units. One that there is not is related to nothing, and not up.
fn related(names: &[String]) -> Result<BTreeMap<String, Related>, ActError> {
    let properties = ["LoadState", "ActiveState", "SubState"];
    let properties = properties
        .iter()
        .chain(&PULLS)
        .chain(&FOLLOWS)
        .chain(&CONFLICTS);
    let properties: Vec<&str> = properties.copied().collect();
    let listed = systemctl()?
        .args([&*format!("--property={}", properties.join(","))])
        .args(["show", "--"])
        .args(names)
        .succeed()?;
    let blocks = listed.stdout.split("\n\n");
    Ok(names
        .iter()
        .zip(blocks)
        .filter_map(|(name, block)| {
            let values: BTreeMap<&str, &str> = block
                .lines()
                .filter_map(|line| line.split_once('='))
                .collect();
            if values.get("LoadState") == Some(&"not-found") {
                return None;
            }
            let all = |keys: &[&str]| -> Vec<String> {
                let values = keys.iter().filter_map(|key| values.get(key));
                values
                    .flat_map(|value| value.split_whitespace())
                    .map(str::to_owned)
                    .collect()
            };
            let unit = Related {
                is_up: match values.get("ActiveState").copied().unwrap_or_default() {
                    "active" | "reloading" | "refreshing" => true,
                    "activating" => {
                        let sub = values.get("SubState").copied().unwrap_or_default();
                        !sub.starts_with("auto-restart")
                    }
                    _ => false,
                },
                pulls: all(&PULLS),
                follows: all(&FOLLOWS),
                conflicts: all(&CONFLICTS),
            };
            Some((name.clone(), unit))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::{Related, along};
    use model::UnitOp;
    use model::plan::Along;
    use std::collections::{BTreeMap, BTreeSet};

    fn units() -> BTreeMap<String, Related> {
        let mut units: BTreeMap<String, Related> = BTreeMap::new();
        for name in ["db", "web", "metrics", "part", "old", "rest"] {
            let unit = Related {
                is_up: true,
                ..Related::default()
            };
            units.insert(format!("{name}.service"), unit);
        }
        for name in ["helper", "new", "deep"] {
            units.insert(format!("{name}.service"), Related::default());
        }
        let mut relate = |one: &str, other: &str, what: fn(&mut Related) -> &mut Vec<String>| {
            let unit = units
                .get_mut(&format!("{one}.service"))
                .expect("it is there");
            what(unit).push(format!("{other}.service"));
        };
        // web requires db, metrics is bound to web, part is part of db.
        relate("db", "web", |unit| &mut unit.follows);
        relate("db", "part", |unit| &mut unit.follows);
        relate("web", "metrics", |unit| &mut unit.follows);
        relate("web", "db", |unit| &mut unit.pulls);
        // new wants helper, which requires deep and db, and conflicts with old, which rest follows.
        relate("new", "helper", |unit| &mut unit.pulls);
        relate("helper", "deep", |unit| &mut unit.pulls);
        relate("helper", "db", |unit| &mut unit.pulls);
        relate("new", "old", |unit| &mut unit.conflicts);
        relate("old", "rest", |unit| &mut unit.follows);
        // In a circle.
        relate("metrics", "db", |unit| &mut unit.follows);
        // What is down already stops no more.
        relate("db", "deep", |unit| &mut unit.follows);
        units
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| format!("{name}.service")).collect()
    }

    #[test]
    fn what_moves_along_is_all_that_systemd_s_jobs_reach() {
        let units = units();
        let found = |name: &str, op: UnitOp| {
            let mut look = |names: &[String]| {
                let known = names.iter().filter_map(|name| units.get_key_value(name));
                Ok(known
                    .map(|(name, unit)| (name.clone(), unit.clone()))
                    .collect())
            };
            along(&format!("{name}.service"), op, &mut look).expect("all is known")
        };
        let follows = set(&["web", "metrics", "part"]);
        let of = |starts: &[&str], stops: &[&str]| Along {
            starts: set(starts),
            stops: set(stops),
            restarts: BTreeSet::new(),
        };
        assert_eq!(found("db", UnitOp::Stop).stops, follows);
        let restarted = found("db", UnitOp::Restart);
        assert_eq!(restarted.restarts, follows);
        assert!(restarted.stops.is_empty() && restarted.starts.is_empty());
        assert_eq!(
            found("new", UnitOp::Start),
            of(&["helper", "deep"], &["old", "rest"])
        );
        // It is down: a restart starts it.
        assert_eq!(
            found("new", UnitOp::Restart),
            of(&["helper", "deep"], &["old", "rest"])
        );
        assert_eq!(found("web", UnitOp::Start), Along::default());
        assert_eq!(found("part", UnitOp::Stop), Along::default());
        assert_eq!(found("nosuch", UnitOp::Stop), Along::default());
    }
}
