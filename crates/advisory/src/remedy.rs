//! The smallest upgrade of a package that closes what is known about it.
//!
//! Feeds say which versions are affected, not which there are: the versions to choose from are
//! those that advisories name as fixed, and, where an advisory only names the last affected one,
//! whatever comes after it.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use model::Component;
use serde::Serialize;

use crate::index::{Index, IndexError, Written};
use crate::matching::range::{Place, Point};
use crate::matching::{Subject, Verdict, entries, judge_place};
use crate::version::{Order, order_of};

/// So many versions are tried, the nearest first. The package with the most advisories of all
/// has a hundred and some.
const MOST_TRIED: usize = 512;

/// A version to go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upgrade {
    pub version: String,
    /// This version is affected itself, and what comes after it is not: its number is not known.
    pub above: bool,
    /// Who asked for the present version may be given this one; otherwise it is a new major one.
    pub compatible: bool,
}

/// What to do about all findings of one package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// None where no version is known that closes a finding and brings no other one.
    pub to: Option<Upgrade>,
    /// The findings that it closes.
    pub closes: Vec<String>,
    /// Those that no version closes, or none that closes the others as well, or that only a new
    /// major version closes.
    pub remains: Vec<String>,
    /// The one that closes more than `to` does, where that is a new major version.
    pub further: Option<Upgrade>,
}

/// The least version above the subject's that no known advisory affects: of the same major
/// version where that closes anything, and a release rather than what came before it. Findings of which
/// no end is known stand in nobody's way; they remain.
///
/// # Errors
/// When an index is damaged.
pub fn remedy(
    indexes: &[Index<'_>],
    subject: &Subject,
    components: &[&Component],
) -> Result<Remedy, IndexError> {
    let Some(order) = order_of(&subject.ecosystem) else {
        return Ok(Remedy::default());
    };
    // Of a backport, a later one is of the same release.
    let ecosystem = subject.record().ecosystem.into_owned();
    let affecting = |version: &str, place: Place| -> Result<BTreeSet<&str>, IndexError> {
        let other = Subject {
            version: version.to_owned(),
            ecosystem: ecosystem.clone(),
            name: subject.name.clone(),
        };
        let judged = judge_place(indexes, &other, place, components)?;
        let affected = judged.iter().filter(|one| {
            // What can't be told of a version does not recommend it.
            one.informational.is_none()
                && matches!(
                    one.verdict,
                    Verdict::Affected { .. } | Verdict::Unknown { .. }
                )
        });
        Ok(affected.map(|one| one.name).collect())
    };
    let judged = judge_place(indexes, subject, Place::At, components)?;
    let (mut present, mut unclear) = (BTreeSet::new(), BTreeSet::new());
    // What is known of a package and is no vulnerability is no reason to go elsewhere.
    for one in judged.iter().filter(|one| one.informational.is_none()) {
        match one.verdict {
            Verdict::Affected { .. } => drop(present.insert(one.name)),
            Verdict::Unknown { .. } => drop(unclear.insert(one.name)),
            Verdict::Fixed { .. } | Verdict::NotAffected { .. } => {}
        }
    }
    if present.is_empty() {
        return Ok(Remedy::default());
    }
    let mut tried = Vec::new();
    for (version, place) in candidates(indexes, subject, components, order)? {
        let mut left = affecting(version, place)?;
        // Was as unclear before.
        left.retain(|name| !unclear.contains(name));
        tried.push((version, place, left));
    }
    // Who asked for the present version is given one of its own kind first: it closes something
    // today, and a new major version is work.
    let (own, _): (Vec<&Tried<'_>>, Vec<_>) = tried
        .iter()
        .partition(|(version, ..)| order.is_compatible(&subject.version, version));
    let every: Vec<&Tried<'_>> = tried.iter().collect();
    let of_all = best(&every, &present);
    let chosen = best(&own, &present).or(of_all);
    let closed = |(_, _, left): &Tried<'_>| present.difference(left).count();
    let further = match (chosen, of_all) {
        (Some(chosen), Some(other)) if closed(other) > closed(chosen) => Some(other),
        _ => None,
    };
    let upgrade = |(version, place, _): &Tried<'_>| Upgrade {
        version: written_as(order, &subject.version, version),
        above: *place == Place::JustAbove,
        compatible: order.is_compatible(&subject.version, version),
    };
    let owned =
        |names: &mut dyn Iterator<Item = &&str>| names.map(|&name| name.to_owned()).collect();
    Ok(match chosen {
        None => Remedy {
            remains: owned(&mut present.iter()),
            ..Remedy::default()
        },
        Some(chosen) => Remedy {
            to: Some(upgrade(chosen)),
            closes: owned(&mut present.difference(&chosen.2)),
            remains: owned(&mut present.intersection(&chosen.2)),
            further: further.map(upgrade),
        },
    })
}

/// A version, and what is left of it there.
type Tried<'a> = (&'a str, Place, BTreeSet<&'a str>);

/// The nearest version that closes all that any of these closes and brings nothing, or where there
/// is none the nearest of those that close most.
fn best<'t, 'a>(tried: &[&'t Tried<'a>], present: &BTreeSet<&'a str>) -> Option<&'t Tried<'a>> {
    let closable: BTreeSet<&str> = present
        .iter()
        .copied()
        .filter(|name| tried.iter().any(|(_, _, left)| !left.contains(name)))
        .collect();
    let brings = |left: &BTreeSet<&str>| left.difference(present).next().is_some();
    let closed = |left: &BTreeSet<&str>| present.difference(left).count();
    let all = tried
        .iter()
        .find(|(_, _, left)| !closable.is_empty() && !brings(left) && left.is_disjoint(&closable));
    all.copied().or_else(|| {
        let good = tried.iter().filter(|(_, _, left)| !brings(left));
        good.rev()
            .max_by_key(|(_, _, left)| closed(left))
            .filter(|(_, _, left)| closed(left) > 0)
            .copied()
    })
}

/// Go's database leaves out the letter that its versions begin with.
fn written_as(order: Order, present: &str, version: &str) -> String {
    let needs_letter = order == Order::Go && present.starts_with('v') && !version.starts_with('v');
    format!("{}{version}", if needs_letter { "v" } else { "" })
}

/// Where something about the package ends, above its version: the best to go to first.
fn candidates<'a>(
    indexes: &[Index<'a>],
    subject: &Subject,
    components: &[&Component],
    order: Order,
) -> Result<Vec<(&'a str, Place)>, IndexError> {
    let mut all: Vec<(&'a str, Place)> = Vec::new();
    let record = subject.record();
    for (_, entries) in entries(indexes, &record, subject, components, order)? {
        for entry in entries {
            for written in entry?.points()?.written() {
                let (version, place) = match written? {
                    Written::Point(Point::Fixed(version)) => (version, Place::At),
                    Written::Point(Point::LastAffected(version)) | Written::Exactly(version) => {
                        (version, Place::JustAbove)
                    }
                    _ => continue,
                };
                let is_above = match order.compare(version, record.version) {
                    Some(Ordering::Greater) => true,
                    Some(Ordering::Equal) => place == Place::JustAbove,
                    Some(Ordering::Less) | None => false,
                };
                if is_above {
                    all.push((version, place));
                }
            }
        }
    }
    let from_prerelease = order.is_prerelease(&subject.version);
    let rank = |(version, place): &(&str, Place)| {
        (
            !order.is_compatible(&subject.version, version),
            !from_prerelease && order.is_prerelease(version),
            *place == Place::JustAbove,
        )
    };
    all.sort_by(|one, other| {
        let (major, early, above) = rank(one);
        let (other_major, other_early, other_above) = rank(other);
        (major, early)
            .cmp(&(other_major, other_early))
            .then_with(|| order.compare(one.0, other.0).unwrap_or(Ordering::Equal))
            .then(above.cmp(&other_above))
    });
    all.dedup();
    all.truncate(MOST_TRIED);
    Ok(all)
}
