//! What pending and held upgrades do to the findings: which are due, which upgrade closes them,
//! and which stay open for a hold.

use std::collections::BTreeSet;

use advisory::assess::Finding;
use advisory::waive::waive;
use host::packages::{Held, Pending, listed};
use jiff::civil::Date;
use model::effect::bare_name;
use model::plan::LeftAlone;
use model::{PackageUpgrade, VulnerabilityWaiver};

use super::making::today;
use crate::assessing::{Effects, NewVersion, Outlook};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::patch::HeldBack;

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
pub(super) fn versions(pending: &[Pending]) -> Result<Vec<NewVersion>, Failure> {
    let listed = listed(pending).map_err(|error| Failure::because(Exit::Unchecked, error))?;
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
    let mut names: BTreeSet<String> = waivers
        .due(effects.closed, until)
        .into_iter()
        .flat_map(|finding| finding.components)
        .collect();
    let mut not_closed = Vec::new();
    for finding in &remaining {
        let closing = closing(finding, &remaining, versions);
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

/// What is held, and which findings stay open for that: those that go when it is upgraded together
/// with what is upgraded anyway, and not without it.
pub(super) fn held_back(
    held: &Held,
    outlook: Option<&Outlook<'_>>,
    anyway: &[NewVersion],
    waivers: Waivers<'_>,
) -> Result<Vec<HeldBack>, Failure> {
    if held.held.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = held.held.iter().map(|one| one.name.clone()).collect();
    let all: Vec<Pending> = held.held.iter().chain(&held.behind).cloned().collect();
    let (kept_open, versions) = match outlook {
        None => (Vec::new(), Vec::new()),
        Some(outlook) => {
            let versions = versions(&all)?;
            (kept_open(outlook, &versions, anyway, waivers)?, versions)
        }
    };
    let source_of = |pending: &Pending| {
        let is_it = |version: &&NewVersion| {
            version.name == pending.name && version.architecture == pending.architecture
        };
        let source = versions.iter().find(is_it)?.source.as_ref()?;
        Some(source.name.clone())
    };
    let is_held = |name: &String| names.contains(name);
    Ok(all
        .into_iter()
        .map(|pending| {
            let bare = bare_name(&pending.name).to_owned();
            let of_it = kept_open
                .iter()
                .filter(|one| one.components.contains(&bare));
            HeldBack {
                waits_for: match is_held(&pending.name) {
                    true => Vec::new(),
                    false => names.clone(),
                },
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
    let from = held.from.as_deref().unwrap_or("nothing");
    let what = match held.security {
        true => "a security update is",
        false => "a newer version is",
    };
    let to = &held.to;
    let why = match held.waits_for.as_slice() {
        [] => format!("is held at {from}, and {what} {to}"),
        names => format!(
            "stays at {from}, and {what} {to}: it waits for {}",
            names.join(", ")
        ),
    };
    LeftAlone {
        what: held.name.clone(),
        why,
        at: Vec::new(),
    }
}
