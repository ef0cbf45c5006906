//! What pending and held upgrades do to the findings: which are due, which upgrade closes them,
//! and which stay open for a hold.

use std::collections::BTreeSet;

use advisory::assess::Finding;
use advisory::waive::waive;
use host::packages::{Caches, Held, Pending, listed};
use jiff::civil::Date;
use model::effect::bare_name;
use model::plan::LeftAlone;
use model::{PackageUpgrade, VulnerabilityWaiver};

use super::making::today;
use crate::assessing::{Effects, NewVersion, Outlook};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::patch::{Cause, HeldBack};

/// Who answers for what, on this host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waivers<'a> {
    pub(super) all: &'a [VulnerabilityWaiver],
    pub(super) hostname: &'a str,
}

impl Waivers<'_> {
    /// Findings that nobody answers for.
    pub(super) fn counting(&self, findings: Vec<Finding>) -> Vec<Finding> {
        waive(findings, self.all, self.hostname, today()).findings
    }

    /// Findings that count and are due until then, the overdue among them.
    pub(super) fn due(&self, findings: Vec<Finding>, until: Date) -> Vec<Finding> {
        let counting = self.counting(findings);
        let date = |finding: &Finding| finding.ranking.due().map(|due| due.date);
        counting
            .into_iter()
            .filter(|finding| date(finding).is_some_and(|date| date <= until))
            .collect()
    }
}

/// So many days from now.
pub(super) fn within(days: u16) -> Date {
    today().saturating_add(jiff::Span::new().days(i32::from(days)))
}

/// The pending upgrades as versions, with what the lists say that each is built from.
pub(super) fn versions(caches: &Caches, pending: &[Pending]) -> Result<Vec<NewVersion>, Failure> {
    let listed =
        listed(caches, pending).map_err(|error| Failure::because(Exit::Unchecked, error))?;
    Ok(pending
        .iter()
        .map(|pending| NewVersion {
            name: pending.name.clone(),
            architecture: pending.architecture.clone(),
            version: Some(pending.to.clone()),
            source: listed
                .get(&pending.file_name())
                .map(|listed| listed.source.clone()),
        })
        .collect())
}

pub(super) fn new_version(package: &PackageUpgrade) -> NewVersion {
    NewVersion {
        name: package.name.clone(),
        architecture: package.architecture.clone(),
        version: Some(package.to.clone()),
        source: package.source.clone(),
    }
}

/// The names of the packages that close what is due until then; and what is due and nothing
/// pending closes.
pub(super) fn closing_due(
    effects: Effects,
    versions: &[NewVersion],
    waivers: Waivers<'_>,
    until: Date,
) -> (BTreeSet<String>, Vec<Finding>) {
    let remaining = waivers.due(effects.remaining, until);
    closing_of(waivers.due(effects.closed, until), &remaining, versions)
}

/// The names of the packages that close these findings, which are closed when all is upgraded, or
/// remain; and those of the second that nothing pending closes.
pub(super) fn closing_of(
    closed: Vec<Finding>,
    remaining: &[Finding],
    versions: &[NewVersion],
) -> (BTreeSet<String>, Vec<Finding>) {
    let closed = closed.into_iter();
    let mut names: BTreeSet<String> = closed.flat_map(|finding| finding.components).collect();
    let mut not_closed = Vec::new();
    for finding in remaining {
        let closing = closing(finding, remaining, versions);
        if closing.is_empty() {
            not_closed.push(finding.clone());
        }
        names.extend(closing);
    }
    (names, not_closed)
}

/// What a new package brings beside an old one that stays, as kernels are: those pending packages
/// of the same source that are upgraded, and pull it in, to a version without the finding.
fn closing(finding: &Finding, remaining: &[Finding], versions: &[NewVersion]) -> Vec<String> {
    let still = |version: &str| {
        remaining.iter().any(|other| {
            other.name == finding.name
                && other.package.name == finding.package.name
                && other.package.version == version
        })
    };
    let is_newer = |version: &&NewVersion| {
        let bare = bare_name(&version.name);
        finding.components.iter().any(|name| name == bare)
            && version.source.as_ref().is_some_and(|source| {
                source.version != finding.package.version && !still(&source.version)
            })
    };
    let names = versions.iter().filter(is_newer);
    names
        .map(|version| bare_name(&version.name).to_owned())
        .collect()
}

/// Why a newer version is not taken, as it is said for people and for programs.
fn cause(held: &Held, pending: &Pending) -> Cause {
    let is_it = |one: &Pending| one == pending;
    if held.held.iter().any(is_it) {
        Cause::Held
    } else if held.pinned.iter().any(is_it) {
        Cause::Pinned
    } else if held.behind.iter().any(is_it) {
        Cause::Waits
    } else {
        Cause::KeptBack
    }
}

/// What is held, pinned or kept back, and which findings stay open for that: those that go when it is
/// upgraded together with what is upgraded anyway, and not without it.
pub(super) fn held_back(
    caches: &Caches,
    held: &Held,
    outlook: Option<&Outlook<'_>>,
    anyway: &[NewVersion],
    waivers: Waivers<'_>,
) -> Result<Vec<HeldBack>, Failure> {
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = held.held.iter().map(|one| one.name.clone()).collect();
    let all: Vec<Pending> = held.all().cloned().collect();
    let (kept_open, versions) = match outlook {
        // Without a feed nothing is known to stay open, and whose source it is need not be asked.
        Some(outlook) if !outlook.now().feeds.is_empty() => {
            let versions = versions(caches, &all)?;
            (kept_open(outlook, &versions, anyway, waivers)?, versions)
        }
        _ => (Vec::new(), Vec::new()),
    };
    let source_of = |pending: &Pending| {
        let is_it = |version: &&NewVersion| {
            version.name == pending.name && version.architecture == pending.architecture
        };
        let source = versions.iter().find(is_it)?.source.as_ref()?;
        Some(source.name.clone())
    };
    Ok(all
        .into_iter()
        .map(|pending| {
            let bare = bare_name(&pending.name).to_owned();
            let of_it = kept_open
                .iter()
                .filter(|one| one.components.contains(&bare));
            let cause = cause(held, &pending);
            HeldBack {
                waits_for: match cause {
                    Cause::Waits => names.clone(),
                    _ => Vec::new(),
                },
                why: cause,
                security: pending.is_security(),
                keeps_open: of_it.cloned().collect(),
                source: source_of(&pending),
                name: pending.name,
                from: pending.from,
                to: pending.to,
            }
        })
        .collect())
}

fn kept_open(
    outlook: &Outlook<'_>,
    held: &[NewVersion],
    anyway: &[NewVersion],
    waivers: Waivers<'_>,
) -> Result<Vec<Finding>, Failure> {
    let key = |finding: &Finding| (finding.name.clone(), finding.package.clone());
    let goes = |versions: &[NewVersion]| -> Result<Vec<Finding>, Failure> {
        let effects = outlook.with(versions).map_err(super::refused)?;
        Ok(effects.closed_or_booted().cloned().collect())
    };
    let without: BTreeSet<_> = goes(anyway)?.iter().map(key).collect();
    let with = goes(&[anyway, held].concat())?;
    let kept = with.into_iter().filter(|one| !without.contains(&key(one)));
    Ok(waive(kept.collect(), waivers.all, waivers.hostname, today()).findings)
}

/// As a plan says it: what is true of the host alone.
pub(super) fn left_alone(held: &HeldBack) -> LeftAlone {
    LeftAlone {
        what: held.name.clone(),
        why: held.text(),
        at: Vec::new(),
    }
}
