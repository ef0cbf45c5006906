//! Units that start or stop with another (systemd.unit(5): `Requires=`, `BindsTo=`, `PartOf=`, …). What
//! an action did to them is its own, and goes back with it.

use std::collections::{BTreeMap, BTreeSet};

use super::ActError;
use super::health;
use super::unit::{act, bring_up, check_name, is_active, is_booted, sort_as_started, systemctl};
use model::UnitOp;

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
