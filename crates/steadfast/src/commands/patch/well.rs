//! Is the host well after a patch? It is when what was well before still is, and what the patch
//! was for is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use advisory::assess;
use host::act::health::{Health, Seen, Watched, look, watch};
use host::act::unit::is_booted;
use host::act::{ActError, LastLink, Root};
use host::packages::Check;
use host::packages::users::{Processes, processes, units};
use host::{LocalHost, Verdict};
use jiff::Timestamp;
use model::finding::Drifted;
use model::patching::SmokeCheck;
use model::restart::Expected;
use model::{Effect, Finding, HostPath, Outcome, Plan, RuleId};

use super::making::{Made, today};
use crate::assessing::{Outlook, Terms};
use crate::exit::Exit;
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
    /// Services that ran.
    ran: BTreeMap<String, Seen>,
    /// What the patch closes, by vulnerability and source package.
    closes: BTreeSet<(String, String)>,
    /// What only the boot of a newer kernel will close.
    until_boot: BTreeSet<(String, String)>,
}

impl Before {
    /// Looks at the host. Changes nothing.
    pub(super) fn look(made: &Made) -> Result<Self, Failure> {
        let selectors = Selectors::from(&made.plan.selection);
        let effects = made.foretold.effects.iter();
        let closes = effects.clone().flat_map(|effects| &effects.closed);
        let until_boot = effects.flat_map(|effects| effects.until_boot());
        let checks = made.checks.iter();
        Ok(Self {
            met: findings(&selectors)?
                .into_iter()
                .filter(|(_, finding)| finding.outcome == Outcome::Pass)
                .map(|(rule, _)| rule)
                .collect(),
            selectors,
            passed: checks
                .filter(|check| check.ask().is_ok())
                .cloned()
                .collect(),
            ran: running()?,
            closes: closes.map(key).collect(),
            until_boot: until_boot.map(key).collect(),
        })
    }

    /// What must hold after a restart of the machine.
    pub(super) fn expected(&self) -> Expected {
        let as_written = |check: &Check| SmokeCheck {
            argv: check.argv.clone(),
            limit_seconds: check.limit.as_secs(),
        };
        Expected {
            ran: self.came_from_files(),
            checks: self.passed.iter().map(as_written).collect(),
            met: self.met.clone(),
            gone: self.closes.union(&self.until_boot).cloned().collect(),
        }
    }

    /// What systemd can start again: a transient unit does not outlive the machine's restart.
    fn came_from_files(&self) -> BTreeSet<String> {
        let lasting = self.ran.iter().filter(|(_, seen)| !seen.is_transient());
        lasting.map(|(name, _)| name.clone()).collect()
    }

    /// The same, read again after it.
    pub(super) fn noted(expected: Expected, plan: &Plan) -> Self {
        let check = |check: SmokeCheck| Check {
            argv: check.argv,
            limit: Duration::from_secs(check.limit_seconds),
        };
        let ran = expected.ran.into_iter();
        Self {
            met: expected.met,
            selectors: Selectors::from(&plan.selection),
            passed: expected.checks.into_iter().map(check).collect(),
            ran: ran.map(|name| (name, Seen::default())).collect(),
            closes: expected.gone,
            until_boot: BTreeSet::new(),
        }
    }

    /// Looks at the host when it is up again.
    pub(super) fn after_restart(&self, state: &Path) -> Vec<String> {
        self.failures(state)
    }

    /// Looks again. What failed costs the whole patch.
    pub(super) fn verdict(&self, plan: &Plan, state: &Path) -> Verdict {
        let mut failed = runs_old(plan);
        failed.extend(self.failures(state));
        let serves = ::plan::patch::SERVES;
        Verdict {
            failed: failed
                .into_iter()
                .map(|why| (serves.to_owned(), why))
                .collect(),
            ..Verdict::default()
        }
    }

    fn failures(&self, state: &Path) -> Vec<String> {
        let mut failed = self.gone_down();
        for check in &self.passed {
            if let Err(said) = check.ask() {
                failed.push(format!(
                    "`{}` passed before and fails now: {said}",
                    check.shown()
                ));
            }
        }
        match self.worse() {
            Ok(worse) => failed.extend(worse),
            Err(why) => failed.push(format!("the audit could not be made again: {why}")),
        }
        failed.extend(self.still_here(state));
        failed
    }

    /// Services that ran and do not any more, whoever stopped them: a maintainer's script, or what
    /// it could not start again. One that another's restart ended has the time that systemd gives it.
    fn gone_down(&self) -> Vec<String> {
        let names: Vec<&str> = self.ran.keys().map(String::as_str).collect();
        let now = match look(&names) {
            Ok(now) => now,
            Err(error) => return vec![format!("whether services run is unknown: {error}")],
        };
        let mut down = Vec::new();
        let mut waited_for = Vec::new();
        for ((name, before), now) in self.ran.iter().zip(now) {
            match before.health(&now) {
                Health::Down(_) if now.is_up() => {}
                Health::Down(_) if before.restarts_once(&now).is_some() => {
                    crate::say(format_args!(
                        "{name} has ended, and is waited for until systemd starts it again"
                    ));
                    waited_for.push(Watched {
                        name: name.clone(),
                        seen: before.clone(),
                    });
                }
                Health::Down(why) => down.push((name.clone(), why)),
                Health::Up | Health::Starting | Health::Rests => {}
            }
        }
        match watch(&waited_for) {
            Ok(still) => down.extend(still),
            Err(error) => return vec![format!("whether services run is unknown: {error}")],
        }
        down.into_iter()
            .map(|(name, why)| format!("`{name}` ran before: {why}"))
            .collect()
    }

    /// Rules that the host met and does not meet any more, by what root alone could have changed:
    /// anybody could open a file of their own to others while a patch is at work. What can't be
    /// told now is asked once more, and said.
    fn worse(&self) -> Result<Vec<String>, Failure> {
        let unclear = |findings: &BTreeMap<RuleId, Finding>| {
            self.met.iter().any(|rule| {
                let outcome = findings.get(rule).map(|finding| finding.outcome);
                matches!(outcome, Some(Outcome::Unknown | Outcome::Error))
            })
        };
        let mut findings = findings(&self.selectors)?;
        if unclear(&findings) {
            std::thread::sleep(SETTLE);
            findings = self::findings(&self.selectors)?;
        }
        let root = Root::live().ok();
        let mut worse = Vec::new();
        for rule in &self.met {
            let Some(finding) = findings.get(rule) else {
                continue;
            };
            match finding.outcome {
                Outcome::Fail
                    if finding
                        .drifts
                        .iter()
                        .any(|one| is_roots(one, root.as_ref())) =>
                {
                    worse.push(format!(
                        "rule {rule} passed before, and fails now: {}",
                        finding
                            .drifts
                            .iter()
                            .map(|drifted| format!("{} {}", drifted.resource, drifted.observed))
                            .collect::<Vec<_>>()
                            .join("; ")
                    ));
                }
                Outcome::Fail => crate::say(format_args!(
                    "rule {rule} fails since somebody changed what is theirs meanwhile"
                )),
                Outcome::Unknown | Outcome::Error => crate::say(format_args!(
                    "rule {rule} passed before, and can't be told now: {}",
                    finding.reason.as_deref().unwrap_or("no reason was given")
                )),
                _ => {}
            }
        }
        Ok(worse)
    }

    /// Findings that it was to close, and those of the kernel that runs for which none that does
    /// not have them is installed.
    fn still_here(&self, state: &Path) -> Vec<String> {
        if self.closes.is_empty() && self.until_boot.is_empty() {
            return Vec::new();
        }
        // What is here does not hang on how it is ranked.
        let terms = Terms::usual(Timestamp::now());
        let here = || -> Result<Vec<assess::Finding>, String> {
            let host = LocalHost::running().map_err(|error| error.to_string())?;
            let components = host.distribution_packages();
            let components = components.map_err(|why| why.to_string())?;
            let outlook = Outlook::of(state, &host, &components, &terms);
            let outlook = outlook.map_err(|error| error.to_string())?;
            Ok(outlook.now().findings.clone())
        };
        match here() {
            Ok(findings) => {
                let is_open = |finding: &&assess::Finding| {
                    let key = key(finding);
                    let waits = finding.until_boot_of.is_some();
                    self.closes.contains(&key) || !waits && self.until_boot.contains(&key)
                };
                let here = findings.iter().filter(is_open).map(key);
                here.map(|(name, package)| format!("{name} in {package} is still here"))
                    .collect()
            }
            Err(why) => vec![format!("whether its findings are gone is unknown: {why}")],
        }
    }
}

fn key(finding: &assess::Finding) -> (String, String) {
    (finding.name.clone(), finding.package.name.clone())
}

/// The services with processes that are up and do not end by themselves.
///
/// # Errors
/// When systemd can't be asked, or a process's unit can't be told: what is not known to have run can't be
/// missed afterwards.
fn running() -> Result<BTreeMap<String, Seen>, Failure> {
    if !is_booted() {
        return Ok(BTreeMap::new());
    }
    let units = units()
        .map_err(|error| services_unknown(ActError::program("look at the processes", error)))?;
    let units: BTreeSet<String> = units
        .into_iter()
        .filter(|unit| unit.ends_with(".service"))
        // Made for one run of something, and gone with it; and people's own.
        .filter(|unit| !["run-", "user@"].iter().any(|own| unit.starts_with(own)))
        .collect();
    let names: Vec<&str> = units.iter().map(String::as_str).collect();
    let seen = look(&names).map_err(services_unknown)?;
    Ok(units
        .iter()
        .cloned()
        .zip(seen)
        .filter(|(unit, seen)| {
            // A socket starts one for each connection, which ends with it (systemd.socket(5), `Accept=`).
            let is_of_one_connection = unit.contains('@') && seen.is_on_demand();
            seen.is_up() && !seen.is_oneshot() && !is_of_one_connection
        })
        .collect())
}

/// Nothing is begun where it is not known what runs.
pub(super) fn services_unknown(error: ActError) -> Failure {
    Failure::with_help(
        Exit::Unchecked,
        error,
        "nothing was changed; which services run must be known first: systemctl status",
    )
}

/// Services that were just restarted may not answer at once.
const SETTLE: Duration = Duration::from_secs(3);

/// Is one of the places that deviate root's, or is there none, as with a running value?
fn is_roots(drifted: &Drifted, root: Option<&Root>) -> bool {
    drifted.at.is_empty()
        || drifted.at.iter().any(|at| {
            let place = root.and_then(|root| root.find(&at.path, LastLink::Itself).ok());
            let Some(place) = place else {
                return true;
            };
            let owner = place.stat().ok().flatten().map(|stat| stat.st_uid);
            !place.shared && owner.is_none_or(|owner| owner == 0)
        })
}

/// What an audit of this host says of each rule.
fn findings(selectors: &Selectors) -> Result<BTreeMap<RuleId, Finding>, Failure> {
    let survey = Survey::take(None, selectors, &Progress::hidden())?;
    let findings = ::plan::audit::findings(
        &survey.wanted,
        &survey.answers,
        &survey.facts.hostname,
        today(),
    );
    Ok(findings
        .into_iter()
        .map(|finding| (finding.rule.id.clone(), finding))
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
    let writes: BTreeSet<&HostPath> = plan
        .actions
        .iter()
        .filter_map(|action| match &action.effect {
            Effect::Upgrade { writes, .. } => Some(writes),
            _ => None,
        })
        .flatten()
        .collect();
    // Only the service's own process is new for certain: what it left to run, a job of cron's or a
    // session, ends by itself (systemd.kill(5), `KillMode=process`), and `patch status` tells of it.
    let names: Vec<&str> = told.iter().map(|name| name.as_str()).collect();
    let seen = match look(&names) {
        Ok(seen) => seen,
        Err(error) => {
            return vec![format!(
                "whether the old files still run is unknown: {error}"
            )];
        }
    };
    let main: BTreeMap<u32, &str> = names
        .into_iter()
        .zip(seen)
        .filter_map(|(name, seen)| Some((seen.main_process()?, name)))
        .collect();
    let looked = processes();
    for unit in not_looked_at(&main, &looked) {
        crate::say(format_args!(
            "unknown: whether {unit} still runs old files: it can't be looked at"
        ));
    }
    still_old(&main, &looked, &writes)
}

/// The units among these whose own process can't be looked at.
fn not_looked_at<'a>(main: &BTreeMap<u32, &'a str>, looked: &Processes) -> BTreeSet<&'a str> {
    let units = looked.unseen.iter().flat_map(|one| match one.id {
        Some(id) => main.get(&id).copied().into_iter().collect(),
        None => main.values().copied().collect::<Vec<_>>(),
    });
    units.collect()
}

/// Those whose own process runs the old of what was written.
fn still_old(
    main: &BTreeMap<u32, &str>,
    looked: &Processes,
    writes: &BTreeSet<&HostPath>,
) -> Vec<String> {
    let old = looked.seen.iter().filter_map(|process| {
        let unit = main.get(&process.id)?;
        let mut deleted = process.deleted.iter();
        let old = deleted.find(|path| writes.contains(path))?;
        Some(format!(
            "{unit} was restarted, and its process {} ({}) still runs the old {old}",
            process.id, process.name
        ))
    });
    old.collect()
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, BTreeSet, HostPath, Processes, not_looked_at, still_old};
    use host::packages::users::{Process, Unseen};

    #[test]
    fn a_restarted_service_that_can_not_be_looked_at_is_unknown() {
        let library = HostPath::literal("/usr/lib/libx.so.1");
        let writes = BTreeSet::from([&library]);
        let main = BTreeMap::from([(7, "a.service"), (8, "b.service")]);
        let unseen = |id| Unseen {
            id,
            name: "x".to_owned(),
            unit: None,
        };
        let looked = |unseen: Vec<Unseen>| Processes {
            seen: vec![Process {
                id: 7,
                name: "x".to_owned(),
                unit: None,
                started: None,
                maps: BTreeSet::new(),
                deleted: BTreeSet::from([library.clone()]),
                deleted_at: BTreeMap::new(),
            }],
            unseen,
        };
        for (who, wanted) in [
            (vec![], &[][..]),
            (vec![unseen(Some(9))], &[]),
            (vec![unseen(Some(8))], &["b.service"]),
            (vec![unseen(None)], &["a.service", "b.service"]),
        ] {
            let looked = looked(who);
            let unknown: Vec<&str> = not_looked_at(&main, &looked).into_iter().collect();
            assert_eq!(unknown, wanted);
            assert_eq!(still_old(&main, &looked, &writes).len(), 1);
        }
    }
}
