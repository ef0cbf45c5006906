//! Findings that are open although the version that is installed does not have them: something still
//! runs the old files, or the upgrade is not finished. `vulns`, `patch status` and the end of
//! `patch apply` ask here, so that they say the same.
//!
//! What waits for the boot of a newer kernel is told by `advisory` itself.

use std::collections::{BTreeMap, BTreeSet};

use advisory::assess::{Assessment, Finding, KeptOpen, Until};
use advisory::version::Order;
use host::State;
use host::feeds::FeedError;
use host::packages::log::{Log, logged};
use host::packages::old_files::{OldFiles, is_executed, is_of_packages};
use host::packages::reach::{LIST_LIMIT_BYTES, files_in, files_of, lists_of};
use host::packages::users::{Process, Unseen};
use jiff::{SignedDuration, Timestamp};
use model::component::SourcePackage;
use model::count::{first_of, plural};
use model::{ChangeId, ChangeState, Component, Effect, HostPath, PackageUpgrade};

use crate::assessing::{NewVersion, effects, with_versions, without_rebuild};
use crate::show::still_open::list;

/// What is asked about.
pub struct Question<'a> {
    /// The journal, where there is one.
    pub state: Option<&'a State>,
    /// What runs old files.
    pub old: &'a OldFiles,
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
    /// Who runs old files of which nobody can say what version they are, in sentences.
    pub untold: Vec<String>,
    /// The same by the names of installed packages: none of them is simply fixed.
    pub doubtful: BTreeMap<String, String>,
}

impl StillOpen {
    /// What can't be told, in words.
    pub fn unknown(&self) -> Vec<String> {
        let unclear = (!self.unclear.is_empty()).then(|| {
            format!(
                "what the old versions of these were built from, and so which findings are open: {}",
                self.unclear.join(", ")
            )
        });
        unclear
            .into_iter()
            .chain(self.untold.iter().cloned())
            .collect()
    }
}

/// # Errors
/// When the journal or a feed can't be read, in words.
pub fn still_open(question: &Question<'_>) -> Result<StillOpen, String> {
    let fail = |error: &dyn std::fmt::Display| format!("what upgrades left running: {error}");
    let running = question.old.running.as_slice();
    let mut open = Open::default();
    if let Some(state) = question.state {
        open.by_us(state, running).map_err(|error| fail(&error))?;
    }
    if !running.is_empty() {
        open.by_others(question.components, running, &logged());
    }
    let (mut untold, doubtful) = open.untold(question.components, running);
    untold.extend(unseen(&question.old.unseen));
    if open.versions.is_empty() {
        return Ok(StillOpen {
            untold,
            doubtful,
            ..StillOpen::default()
        });
    }
    let versions: Vec<NewVersion> = open.versions.into_values().collect();
    let why = open.why;
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
        untold,
        doubtful,
    })
}

/// What was found out about old versions.
#[derive(Default)]
struct Open {
    /// What keeps the findings of a package open, by its name.
    why: BTreeMap<String, BTreeSet<KeptOpen>>,
    /// The oldest version of each that somebody runs, by its name and its architecture.
    versions: BTreeMap<(String, String), NewVersion>,
    /// The old files, each with the process that runs it, of which the version is known.
    told: BTreeSet<(u32, HostPath)>,
    /// Who runs files that may be older than any upgrade that is known, by the package and the
    /// version that they have at most.
    perhaps_older: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Open {
    /// The upgrades of our own journal.
    fn by_us(&mut self, state: &State, running: &[Process]) -> Result<(), host::StateError> {
        for upgrades in replaced(state, !running.is_empty())?.values() {
            let Some(newest) = upgrades.last() else {
                continue;
            };
            let name = newest.package.bare_name();
            if newest.is_unfinished {
                let change = newest.change.to_string();
                self.keep(name, KeptOpen::Unfinished { change });
                self.is_old(name, old_version(&newest.package));
            }
            if running.is_empty() {
                continue;
            }
            let files = files(state, upgrades)?;
            for process in running {
                let old: Vec<&HostPath> = process.deleted.intersection(&files).collect();
                if old.is_empty() {
                    continue;
                }
                let at: Vec<Timestamp> = upgrades.iter().map(|one| one.at).collect();
                let first = first_seen(&at, process, &old, Known::End);
                if first.is_some() {
                    let old = old.into_iter().cloned();
                    self.told.extend(old.map(|path| (process.id, path)));
                }
                self.keep(name, runs(process));
                let first = first.map_or(newest, |first| &upgrades[first]);
                self.is_old(name, old_version(&first.package));
            }
        }
        Ok(())
    }

    /// The upgrades that anybody made, by dpkg's own log: of what is installed as it was logged.
    fn by_others(&mut self, components: &[Component], running: &[Process], log: &Log) {
        for (component, architecture) in of_distribution(components) {
            let name = &component.name;
            let key = (name.clone(), architecture.to_owned());
            let Some(upgrades) = log.upgrades.get(&key) else {
                continue;
            };
            let Some(newest) = upgrades.last().filter(|one| one.to == component.version) else {
                continue;
            };
            let files = files_of(name, architecture).unwrap_or_default();
            let files: BTreeSet<HostPath> = files.into_iter().collect();
            for process in running {
                let old: Vec<&HostPath> = process.deleted.intersection(&files).collect();
                if old.is_empty() {
                    continue;
                }
                let at: Vec<Timestamp> = upgrades.iter().map(|one| one.at).collect();
                let first = first_seen(&at, process, &old, Known::Begin);
                let from = &first.map_or(newest, |first| &upgrades[first]).from;
                if first.is_some() {
                    let mut is_news = false;
                    for path in old {
                        is_news |= self.told.insert((process.id, path.clone()));
                    }
                    // Before the log begins there may have been more upgrades.
                    let is_before = |begins| process.started.is_none_or(|at| at < begins);
                    if is_news && first == Some(0) && log.begins.is_none_or(is_before) {
                        let of = (name.clone(), from.clone());
                        let all = self.perhaps_older.entry(of).or_default();
                        all.insert(who(process));
                    }
                }
                self.keep(name, runs(process));
                self.is_old(
                    name,
                    NewVersion {
                        name: name.clone(),
                        architecture: architecture.to_owned(),
                        version: Some(from.clone()),
                        source: None,
                    },
                );
            }
        }
    }

    fn keep(&mut self, name: &str, why: KeptOpen) {
        self.why.entry(name.to_owned()).or_default().insert(why);
    }

    /// Somebody runs this version. The oldest counts: it has the findings of the others.
    fn is_old(&mut self, name: &str, old: NewVersion) {
        let key = (name.to_owned(), old.architecture.clone());
        let is_older = self.versions.get(&key).is_none_or(|known| {
            let versions = known.version.as_ref().zip(old.version.as_ref());
            let order = versions.and_then(|(known, old)| Order::Debian.compare(old, known));
            order.is_some_and(std::cmp::Ordering::is_lt)
        });
        if is_older {
            self.versions.insert(key, old);
        }
    }

    /// Who runs old files of which no change of ours and no log tells the version: their findings
    /// may be open, and nothing else says so. In sentences, and by package.
    fn untold(
        &self,
        components: &[Component],
        running: &[Process],
    ) -> (Vec<String>, BTreeMap<String, String>) {
        let mut by_file: BTreeMap<&HostPath, Vec<&Process>> = BTreeMap::new();
        for process in running {
            let deleted = process.deleted.iter();
            for path in deleted.filter(|path| is_of_packages(path)) {
                if !self.told.contains(&(process.id, path.clone())) {
                    by_file.entry(path).or_default().push(process);
                }
            }
        }
        let mut by_package: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let mut owned = BTreeSet::new();
        let asked = match by_file.is_empty() {
            true => &[][..],
            false => components,
        };
        for (component, architecture) in of_distribution(asked) {
            let files = files_of(&component.name, architecture).unwrap_or_default();
            for path in files {
                if let Some(processes) = by_file.get(&path) {
                    let names = by_package.entry(&component.name).or_default();
                    names.extend(processes.iter().map(|process| who(process)));
                    owned.insert(path);
                }
            }
        }
        let mut said = Vec::new();
        let mut doubtful = BTreeMap::new();
        let mut doubt = |package: &str, why: String| {
            said.push(why.clone());
            doubtful.insert(package.to_owned(), why);
        };
        for ((package, from), names) in &self.perhaps_older {
            let subject = subject(names, &format!("of {package}"));
            let why = format!(
                "{subject} from before dpkg's log begins, perhaps older than {from}: more of its \
                 findings may be open"
            );
            doubt(package, why);
        }
        for (package, names) in by_package {
            let subject = subject(&names, &format!("of {package}"));
            let why = format!(
                "{subject}, and which version it is is not known: its findings may be open"
            );
            doubt(package, why);
        }
        let mut asked_of = 0;
        for (path, processes) in by_file {
            if owned.contains(path) {
                continue;
            }
            let mut is_code = |process: &&&Process| {
                let is_asked = asked_of < MOST_ASKED;
                asked_of += usize::from(is_asked);
                !is_asked || is_executed(process.id, path)
            };
            let executed = processes.iter().filter(&mut is_code);
            let names: BTreeSet<String> = executed.map(|process| who(process)).collect();
            if !names.is_empty() {
                let subject = subject(&names, &path.to_string());
                said.push(format!(
                    "{subject}, which is of no installed package: findings of what it was of may \
                     be open"
                ));
            }
        }
        let more = said.len().saturating_sub(SENTENCES);
        if more > 0 {
            said.truncate(SENTENCES);
            let more = plural(more, "more package or file");
            said.push(format!(
                "whether findings are open in {more} of which old files run"
            ));
        }
        (said, doubtful)
    }
}

/// Who can't be looked at may run anything.
fn unseen(processes: &[Unseen]) -> Option<String> {
    let names: Vec<String> = processes.iter().map(Unseen::to_string).collect();
    (!names.is_empty()).then(|| {
        format!(
            "what of old files runs in {}: they can't be looked at",
            first_of(&names, SENTENCES)
        )
    })
}

/// Files of no package of which it is asked whether they are code: each costs a look at all that a
/// process has mapped. The rest counts as code.
const MOST_ASKED: usize = 256;

/// So much is said of what can't be told; a removed file system would fill pages.
const SENTENCES: usize = 8;

/// `cron.service runs an old file of libfoo`.
fn subject(names: &BTreeSet<String>, what: &str) -> String {
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let run = if all.len() == 1 { "runs" } else { "run" };
    format!("{} {run} an old file {what}", list(&all))
}

/// The host's own packages, and their architectures.
fn of_distribution(components: &[Component]) -> impl Iterator<Item = (&Component, &str)> {
    let packages = components.iter().filter(|one| one.is_own_package());
    packages.filter_map(|one| Some((one, one.architecture.as_deref()?)))
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

/// How inexactly it is known when something was, beside the time of a change.
const INEXACT: SignedDuration = SignedDuration::from_secs(2);

/// Which time of an upgrade is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// When it was over, as our journal has it.
    End,
    /// When it began, as dpkg's log has it.
    Begin,
}

/// The upgrade that took the oldest of these files away from a process: it runs what was there before
/// that. By the time at which the file lost its name; where that can't be told, by the time at which
/// the process began, although it may have what it has from an older one. None where it can't be any
/// of them.
fn first_seen(
    upgrades: &[Timestamp],
    process: &Process,
    old: &[&HostPath],
    known: Known,
) -> Option<usize> {
    let later = |at: Timestamp| at.saturating_add(INEXACT).unwrap_or(Timestamp::MAX);
    let gone = old
        .iter()
        .filter_map(|path| process.deleted_at.get(path))
        .min();
    let by_file = gone.and_then(|gone| match known {
        Known::End => upgrades.iter().position(|at| later(*at) >= *gone),
        // Of upgrades that follow on each other so soon, the first.
        Known::Begin => upgrades
            .iter()
            .rfind(|at| *at <= gone)
            .and_then(|begun| upgrades.iter().position(|at| later(*at) >= *begun)),
    });
    let by_start = || {
        let saw = |at: &Timestamp| process.started.is_none_or(|started| later(*at) >= started);
        upgrades.iter().position(saw)
    };
    by_file.or_else(by_start)
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
            | ChangeState::NeedsHuman
            | ChangeState::KeptAsItIs => continue,
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
