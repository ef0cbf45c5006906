//! Is the host well after a patch? It is when what was well before still is, and what the patch
//! was for is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use advisory::assess::Finding;
use host::packages::Check;
use host::packages::users::processes;
use host::{LocalHost, Verdict};
use jiff::Timestamp;
use model::{Effect, Outcome, Plan, RuleId};

use super::making::{Made, today};
use crate::assessing::{Terms, assess_host};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::survey::{Selectors, Survey};

/// How the host was before.
pub(super) struct Before {
    /// Rules of the baselines that fit the host, and of its policy, that it met.
    met: BTreeSet<RuleId>,
    selectors: Selectors,
    /// Checks that passed.
    passed: Vec<Check>,
    /// What the patch closes, by vulnerability and source package.
    closes: BTreeSet<(String, String)>,
}

impl Before {
    /// Looks at the host. Changes nothing.
    pub(super) fn look(made: &Made) -> Result<Self, Failure> {
        let selectors = Selectors::from(&made.plan.selection);
        let closes = made
            .foretold
            .effects
            .iter()
            .flat_map(|effects| &effects.closed);
        let checks = made.checks.iter();
        Ok(Self {
            met: outcomes(&selectors)?
                .into_iter()
                .filter(|(_, outcome)| *outcome == Outcome::Pass)
                .map(|(rule, _)| rule)
                .collect(),
            selectors,
            passed: checks
                .filter(|check| check.ask().is_ok())
                .cloned()
                .collect(),
            closes: closes.map(key).collect(),
        })
    }

    /// Looks again. What failed costs the whole patch.
    pub(super) fn verdict(&self, plan: &Plan, state: &Path) -> Verdict {
        let mut failed = runs_old(plan);
        for check in &self.passed {
            if let Err(said) = check.ask() {
                failed.push(format!(
                    "`{}` passed before and fails now: {said}",
                    check.shown()
                ));
            }
        }
        match outcomes(&self.selectors) {
            Ok(outcomes) => failed.extend(self.met.iter().filter_map(|rule| {
                let now = outcomes.get(rule);
                let stands =
                    |outcome: &&Outcome| matches!(outcome, Outcome::Pass | Outcome::NotApplicable);
                match now.filter(stands) {
                    Some(_) => None,
                    None => Some(format!(
                        "rule {rule} passed before, and is {} now",
                        now.map_or("gone", |outcome| outcome.as_str())
                    )),
                }
            })),
            Err(why) => failed.push(format!("the audit could not be made again: {why}")),
        }
        failed.extend(self.still_here(state));
        let serves = ::plan::patch::SERVES;
        Verdict {
            failed: failed
                .into_iter()
                .map(|why| (serves.to_owned(), why))
                .collect(),
        }
    }

    /// Findings that it was to close.
    fn still_here(&self, state: &Path) -> Vec<String> {
        if self.closes.is_empty() {
            return Vec::new();
        }
        let components = match LocalHost::running() {
            Ok(host) => host.distribution_packages().map_err(|why| why.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let assessed = components.and_then(|components| {
            // What is here does not hang on how it is ranked.
            let terms = Terms::usual(Timestamp::now());
            assess_host(state, &components, &terms).map_err(|error| error.to_string())
        });
        match assessed {
            Ok(assessment) => {
                let here = assessment.findings.iter().map(key);
                here.filter(|key| self.closes.contains(key))
                    .map(|(name, package)| format!("{name} in {package} is still here"))
                    .collect()
            }
            Err(why) => vec![format!("whether its findings are gone is unknown: {why}")],
        }
    }
}

fn key(finding: &Finding) -> (String, String) {
    (finding.name.clone(), finding.package.name.clone())
}

/// What an audit of this host says of each rule.
fn outcomes(selectors: &Selectors) -> Result<BTreeMap<RuleId, Outcome>, Failure> {
    let survey = Survey::take(None, selectors, &Progress::hidden())?;
    let findings = ::plan::audit::findings(
        &survey.wanted,
        &survey.answers,
        &survey.facts.hostname,
        today(),
    );
    Ok(findings
        .into_iter()
        .map(|finding| (finding.rule.id, finding.outcome))
        .collect())
}

/// The new versions are installed, or the upgrade would have failed; now, does anything that
/// was told still run the old files?
fn runs_old(plan: &Plan) -> Vec<String> {
    let told: Vec<&String> = plan
        .actions
        .iter()
        .filter_map(|action| match &action.effect {
            Effect::Unit { name, .. } => Some(name),
            _ => None,
        })
        .collect();
    let writes: Vec<_> = plan
        .actions
        .iter()
        .filter_map(|action| match &action.effect {
            Effect::Upgrade { writes, .. } => Some(writes),
            _ => None,
        })
        .flatten()
        .collect();
    processes()
        .into_iter()
        .filter(|process| {
            process
                .unit
                .as_ref()
                .is_some_and(|unit| told.contains(&unit))
        })
        .filter_map(|process| {
            let old = process
                .deleted
                .iter()
                .find(|path| writes.binary_search(path).is_ok())?;
            Some(format!(
                "process {} ({}) was restarted and still runs the old {old}",
                process.id, process.name
            ))
        })
        .collect()
}
