//! Findings that are open although the version that is installed does not have them: something still
//! runs the old files, or the upgrade is not finished. `vulns`, `patch status` and the end of
//! `patch apply` ask here, so that they say the same.
//!
//! What waits for the boot of a newer kernel is told by `advisory` itself.

use std::collections::{BTreeMap, BTreeSet};

use advisory::assess::{Assessment, Finding, KeptOpen, Until};
use host::State;
use host::feeds::FeedError;
use host::packages::log::logged;
use host::packages::reach::{LIST_LIMIT_BYTES, files_in, files_of, lists_of};
use host::packages::users::Process;
use jiff::{SignedDuration, Timestamp};
use model::component::SourcePackage;
use model::{ChangeId, ChangeState, Component, Effect, HostPath, PackageUpgrade};

use crate::assessing::{NewVersion, effects, with_versions, without_rebuild};

/// What is asked about.
pub struct Question<'a> {
    /// The journal, where there is one.
    pub state: Option<&'a State>,
    /// Those that run old files ([`host::packages::old_files`]).
    pub running: &'a [Process],
    pub components: &'a [Component],
    /// What the feeds say of these components.
    pub now: &'a Assessment,
    /// What they would say of others.
    pub assess: &'a dyn Fn(&[Component]) -> Result<Assessment, FeedError>,
}

/// What is open beside the findings of what is installed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StillOpen {
    /// As they are found in the old versions, each with what keeps it open.
    pub findings: Vec<Finding>,
    /// Packages of which it can't be told what their old versions were built from.
    pub unclear: Vec<String>,
}

impl StillOpen {
    /// What can't be told, in words.
    pub fn unknown(&self) -> Option<String> {
        (!self.unclear.is_empty()).then(|| {
            format!(
                "what the old versions of these were built from, and so which findings are open: {}",
                self.unclear.join(", ")
            )
        })
    }
}

/// # Errors
/// When the journal or a feed can't be read, in words.
pub fn still_open(question: &Question<'_>) -> Result<StillOpen, String> {
    let fail = |error: &dyn std::fmt::Display| format!("what upgrades left running: {error}");
    let runs_it = |process: &&Process, files: &BTreeSet<HostPath>| -> bool {
        !process.deleted.is_disjoint(files)
    };
    let mut why: BTreeMap<String, BTreeSet<KeptOpen>> = BTreeMap::new();
    let mut versions = Vec::new();
    let mut known = BTreeSet::new();
    let replaced = match question.state {
        Some(state) => {
            replaced(state, !question.running.is_empty()).map_err(|error| fail(&error))?
        }
        None => BTreeMap::new(),
    };
    for upgrades in replaced.values() {
        let Some(newest) = upgrades.last() else {
            continue;
        };
        let mut kept = BTreeSet::new();
        let mut oldest = upgrades.len() - 1;
        if newest.is_unfinished {
            let change = newest.change.to_string();
            kept.insert(KeptOpen::Unfinished { change });
        }
        if let (Some(state), false) = (question.state, question.running.is_empty()) {
            let files = files(state, upgrades).map_err(|error| fail(&error))?;
            for process in question.running.iter().filter(|one| runs_it(one, &files)) {
                kept.insert(runs(process));
                oldest = oldest.min(first_since(upgrades, process));
            }
        }
        let name = newest.package.bare_name();
        known.insert((name.to_owned(), newest.package.to.clone()));
        if !kept.is_empty() {
            why.entry(name.to_owned()).or_default().extend(kept);
            versions.push(old_version(&upgrades[oldest].package));
        }
    }
    if !question.running.is_empty() {
        for old in by_others(question.components, &known) {
            let files = files_of(&old.name, &old.architecture).unwrap_or_default();
            let files = files.into_iter().collect();
            let running = question.running.iter();
            let kept: BTreeSet<KeptOpen> = running
                .filter(|process| runs_it(process, &files))
                .map(runs)
                .collect();
            // What our own changes say of it is older.
            let is_known = why.contains_key(&old.name);
            if !kept.is_empty() {
                why.entry(old.name.clone()).or_default().extend(kept);
                versions.extend((!is_known).then_some(old));
            }
        }
    }
    if versions.is_empty() {
        return Ok(StillOpen::default());
    }
    let (before, unclear) = with_versions(question.components, &versions);
    let before = (question.assess)(&before).map_err(|error| fail(&error))?;
    let brought = effects(question.now.clone(), before, Vec::new()).brought;
    let findings = brought.into_iter().filter_map(|mut finding| {
        let reasons = finding.components.iter();
        let reasons = reasons.filter_map(|name| why.get(name)).flatten();
        let reasons: BTreeSet<KeptOpen> = reasons.cloned().collect();
        finding.kept_open = reasons.into_iter().collect();
        (!finding.kept_open.is_empty()).then_some(finding)
    });
    Ok(StillOpen {
        findings: findings.collect(),
        unclear,
    })
}

/// Whose old files a process runs, and what ends it.
fn runs(process: &Process) -> KeptOpen {
    let (who, until) = match &process.unit {
        None => (who(process), Until::End),
        Some(unit) if plan::patch::left_for_a_reboot(unit).is_some() => {
            (unit.clone(), Until::Reboot)
        }
        Some(unit) if plan::patch::is_a_session(unit) => (unit.clone(), Until::End),
        Some(unit) => (unit.clone(), Until::Restart),
    };
    KeptOpen::RunsOldFiles { who, until }
}

/// The unit of a process, or the process.
pub fn who(process: &Process) -> String {
    let unit = process.unit.clone();
    unit.unwrap_or_else(|| format!("{} (process {})", process.name, process.id))
}

/// An upgrade of one package.
struct Upgrade {
    change: ChangeId,
    /// When it was done; when it was begun, where it is not finished.
    at: Timestamp,
    is_unfinished: bool,
    package: PackageUpgrade,
}

/// How inexactly it is known when a process began, beside the time of a change.
const INEXACT: SignedDuration = SignedDuration::from_secs(2);

/// The first upgrade that a process saw: it runs what was there before that. Where that can't be
/// told it may be the first of all.
fn first_since(upgrades: &[Upgrade], process: &Process) -> usize {
    let saw = |upgrade: &Upgrade| {
        let started = process.started;
        started.is_none_or(|started| {
            upgrade
                .at
                .saturating_add(INEXACT)
                .is_ok_and(|at| at >= started)
        })
    };
    upgrades.iter().position(saw).unwrap_or(upgrades.len() - 1)
}

/// The upgrades from an older version, in their order, by the names of the packages. `finished`
/// says whether what is finished is asked about as well.
fn replaced(
    state: &State,
    finished: bool,
) -> Result<BTreeMap<String, Vec<Upgrade>>, host::StateError> {
    let mut all: BTreeMap<String, Vec<Upgrade>> = BTreeMap::new();
    for change in state.history()? {
        let is_unfinished = match change.state {
            ChangeState::Committed | ChangeState::AwaitingConfirmation => false,
            ChangeState::Imaged
            | ChangeState::Applying
            | ChangeState::Validating
            | ChangeState::Undoing
            | ChangeState::Redoing
            | ChangeState::RollingBack => true,
            // The old version is there, or a person has to look.
            ChangeState::Planned
            | ChangeState::AwaitingUndoConfirmation
            | ChangeState::Undone
            | ChangeState::RolledBack
            | ChangeState::NeedsHuman => continue,
        };
        if change.serves != [plan::patch::SERVES] || !(is_unfinished || finished) {
            continue;
        }
        let actions = state.plan_of(change.id)?.actions.into_iter();
        let packages = actions.filter_map(|action| match action.effect {
            Effect::Upgrade { packages, .. } => Some(packages),
            _ => None,
        });
        for package in packages.flatten().filter(|package| package.from.is_some()) {
            let upgrades = all.entry(package.name.clone()).or_default();
            // The same version installed again.
            let is_again = upgrades
                .last()
                .is_some_and(|known| known.package.to == package.to && !is_unfinished);
            if !is_again {
                upgrades.push(Upgrade {
                    change: change.id,
                    at: change.ended.unwrap_or(change.started),
                    is_unfinished,
                    package,
                });
            }
        }
    }
    Ok(all)
}

/// The versions before upgrades that others made, by dpkg's own log: of what is installed as it was
/// logged, and that no change of ours upgraded to that.
fn by_others(components: &[Component], known: &BTreeSet<(String, String)>) -> Vec<NewVersion> {
    let logged = logged();
    let packages = components.iter().filter(|one| one.image.is_none());
    packages
        .filter_map(|component| {
            let architecture = component.architecture.clone()?;
            let name = component.name.clone();
            let upgrade = logged.get(&(name.clone(), architecture.clone()))?;
            let is_ours = known.contains(&(name.clone(), component.version.clone()));
            (upgrade.to == component.version && !is_ours).then(|| NewVersion {
                name,
                architecture,
                version: Some(upgrade.from.clone()),
                source: None,
            })
        })
        .collect()
}

/// The files of a package, as it is and as it was before each upgrade: a library's name may hold its
/// version.
fn files(state: &State, upgrades: &[Upgrade]) -> Result<BTreeSet<HostPath>, host::StateError> {
    let mut files = BTreeSet::new();
    for Upgrade {
        change, package, ..
    } in upgrades
    {
        let name = package.bare_name();
        files.extend(files_of(name, &package.architecture).unwrap_or_default());
        for list in lists_of(name, &package.architecture) {
            if let Ok(list) = HostPath::from_bytes(list.as_bytes())
                && let Some(before) = state.content_before(*change, &list, LIST_LIMIT_BYTES)?
            {
                files.extend(files_in(&before));
            }
        }
    }
    Ok(files)
}

/// The version before an upgrade, with what it was built from where that can be told by the new one.
pub fn old_version(package: &PackageUpgrade) -> NewVersion {
    let source = package.source.as_ref();
    let source = source.filter(|source| without_rebuild(&package.to) == source.version);
    NewVersion {
        name: package.name.clone(),
        architecture: package.architecture.clone(),
        version: package.from.clone(),
        source: source
            .zip(package.from.as_ref())
            .map(|(source, from)| SourcePackage {
                name: source.name.clone(),
                version: without_rebuild(from).to_owned(),
            }),
    }
}
