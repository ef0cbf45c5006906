//! A policy repository: baselines, roles and waivers, read strictly and checked as a whole.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use model::patching::PatchPolicy;
use model::{BaselineName, RoleName, RuleId, VulnerabilityPolicy, VulnerabilityWaiver, Waiver};

use crate::baseline::{self, BaselineFile, Condition, Rule, Tailoring};
use crate::error::{ContentError, ContentErrors, Place, Problems, SourceText, suggestion};
use crate::files::{PolicyFiles, is_beside_a_role};
use crate::read::Reading;
use crate::role::{self, Role};
use crate::template::TemplateFiles;
use crate::waivers::Waivers;
use crate::{patches, vulnerabilities, waivers, yaml};

/// Everything that is declared, tailoring applied; not yet for any host.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    pub(crate) baselines: BTreeMap<BaselineName, Baseline>,
    /// In the order of files and lines.
    pub(crate) rules: Vec<Rule>,
    /// Where in `rules` each one stands.
    by_id: BTreeMap<RuleId, usize>,
    pub(crate) roles: BTreeMap<RoleName, Role>,
    pub(crate) waivers: Vec<Waiver>,
    patches: PatchPolicy,
    vulnerability_waivers: Vec<VulnerabilityWaiver>,
    vulnerabilities: VulnerabilityPolicy,
    pub(crate) templates: Arc<TemplateFiles>,
}

/// A set of rules for a subject.
#[derive(Clone, Debug)]
pub struct Baseline {
    pub name: BaselineName,
    pub title: Option<String>,
    /// The condition of each of its files; none for a file that has none.
    pub(crate) fits: Vec<Option<Condition>>,
    /// Where other files add to it.
    extended_at: Vec<Place>,
}

impl Repository {
    /// The baselines that the program carries.
    ///
    /// # Errors
    /// Never in a released program: a test reads them all.
    pub fn builtin() -> Result<Self, ContentErrors> {
        Self::parse(&[PolicyFiles::built_in()])
    }

    /// The built-in baselines and a policy directory, as one.
    ///
    /// # Errors
    /// What is wrong with the policy, with places and hints.
    pub fn load(policy: &Path) -> Result<Self, ContentErrors> {
        Self::parse(&[PolicyFiles::built_in(), PolicyFiles::read(policy)?])
    }

    /// A policy directory for those who ask for its roles only: the built-in baselines are
    /// read when something in it could refer to them, so what is wrong is found all the same.
    ///
    /// # Errors
    /// What is wrong with the policy, with places and hints.
    pub fn load_roles(policy: &Path) -> Result<Self, ContentErrors> {
        let files = PolicyFiles::read(policy)?;
        match files.refer_to_rules() {
            true => Self::parse(&[PolicyFiles::built_in(), files]),
            false => Self::parse(&[files]),
        }
    }

    /// Files that are at hand, and nothing else.
    ///
    /// # Errors
    /// What is wrong with them, with places and hints.
    pub fn parse(sources: &[PolicyFiles]) -> Result<Self, ContentErrors> {
        let mut problems = Problems::default();
        let mut texts = Vec::new();
        for files in sources {
            texts.extend(files.texts(&mut problems));
        }
        let mut sorted = Sorted::default();
        for (path, text) in texts {
            sorted.take(path, text, &mut problems);
        }
        sorted.files.sort_by(|a, b| a.kind.cmp(&b.kind));
        let templates = Arc::new(sorted.templates);
        let reading = Reading::new(&templates);
        let mut repository = Self::default();
        let mut tailorings = Vec::new();
        let mut waived = Vec::new();
        for (read, wrong) in read_all(&sorted.files, &reading) {
            problems.append(wrong);
            match read {
                None => {}
                Some(Read::Baseline(file)) => {
                    repository.add_baseline(*file, &mut tailorings, &mut problems);
                }
                Some(Read::Role(role)) => {
                    repository.roles.insert(role.name.clone(), *role);
                }
                Some(Read::Patches(patches)) => repository.patches = patches,
                Some(Read::Waivers(waivers)) => {
                    waived.extend(waivers.rules);
                    repository
                        .vulnerability_waivers
                        .extend(waivers.vulnerabilities);
                }
                Some(Read::Vulnerabilities(said)) => repository.vulnerabilities = said,
            }
        }
        drop(reading);
        // What refers to something else is looked at last, and only when all that it may
        // refer to could be read: one mistake should not look like many.
        if problems.is_empty() {
            repository.check_extends(&mut problems);
            for tailoring in tailorings {
                if repository.is_declared(&tailoring.baseline) {
                    repository.tailor(&tailoring, &mut problems);
                }
            }
            repository.check_includes(&mut problems);
            repository.add_waivers(waived, &mut problems);
        }
        repository.templates = templates;
        problems.into_result(repository)
    }

    /// All rules, in the order of files and lines.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    pub fn rule(&self, id: &RuleId) -> Option<&Rule> {
        self.by_id.get(id).and_then(|at| self.rules.get(*at))
    }

    pub fn baselines(&self) -> impl Iterator<Item = &Baseline> {
        self.baselines.values()
    }

    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }

    pub fn patches(&self) -> &PatchPolicy {
        &self.patches
    }

    pub fn waivers(&self) -> &[Waiver] {
        &self.waivers
    }

    /// Vulnerabilities that some hosts may have.
    pub fn vulnerability_waivers(&self) -> &[VulnerabilityWaiver] {
        &self.vulnerability_waivers
    }

    /// `vulnerabilities.yaml`; the program's own defaults where there is none.
    pub const fn vulnerabilities(&self) -> &VulnerabilityPolicy {
        &self.vulnerabilities
    }

    fn add_baseline(
        &mut self,
        file: BaselineFile,
        tailorings: &mut Vec<Tailoring>,
        problems: &mut Problems,
    ) {
        for rule in file.rules {
            if let Some(first) = self.rule(&rule.id) {
                problems.push(
                    ContentError::new(
                        format!("rule `{}` is declared twice", rule.id),
                        rule.place.clone(),
                    )
                    .help(format!("it stands in {} already", first.place)),
                );
                continue;
            }
            self.by_id.insert(rule.id.clone(), self.rules.len());
            self.rules.push(rule);
        }
        tailorings.extend(file.tailorings);
        let baseline = self
            .baselines
            .entry(file.name.clone())
            .or_insert_with(|| Baseline {
                name: file.name,
                title: None,
                fits: Vec::new(),
                extended_at: Vec::new(),
            });
        match file.extends {
            Some(place) => baseline.extended_at.push(place),
            None => baseline.fits.push(file.applies),
        }
        if baseline.title.is_none() {
            baseline.title = file.title;
        }
    }

    fn is_declared(&self, baseline: &BaselineName) -> bool {
        self.baselines
            .get(baseline)
            .is_some_and(|baseline| !baseline.fits.is_empty())
    }

    fn check_extends(&self, problems: &mut Problems) {
        let declared = || {
            self.baselines
                .values()
                .filter(|baseline| !baseline.fits.is_empty())
                .map(|baseline| baseline.name.as_str())
        };
        for baseline in self.baselines.values() {
            if let (Some(place), true) = (baseline.extended_at.first(), baseline.fits.is_empty()) {
                problems.push(
                    ContentError::new(
                        format!("unknown baseline `{}`", baseline.name),
                        place.clone(),
                    )
                    .maybe_help(suggestion(baseline.name.as_str(), declared()))
                    .or_help("`steadfast baseline list` has all of them"),
                );
            }
        }
    }

    fn tailor(&mut self, tailoring: &Tailoring, problems: &mut Problems) {
        let id = &tailoring.rule;
        let found = self
            .by_id
            .get(id)
            .and_then(|at| self.rules.get_mut(*at))
            .filter(|rule| rule.baseline == tailoring.baseline);
        let Some(rule) = found else {
            let siblings = self
                .rules
                .iter()
                .filter(|rule| rule.baseline == tailoring.baseline)
                .map(|rule| rule.id.as_str());
            problems.push(
                ContentError::new(
                    format!("unknown rule `{id}` in baseline `{}`", tailoring.baseline),
                    tailoring.rule_place.clone(),
                )
                .maybe_help(suggestion(id.as_str(), siblings))
                .or_help("`steadfast rule list` has all of them"),
            );
            return;
        };
        if let Some(first) = &rule.tailored_at {
            problems.push(
                ContentError::new(
                    format!("rule `{id}` is tailored twice"),
                    tailoring.place.clone(),
                )
                .help(format!("it is in {first} already")),
            );
            return;
        }
        rule.tailored_at = Some(tailoring.place.clone());
        for (name, node, place) in &tailoring.params {
            let Some(param) = rule.params.get_mut(name) else {
                let known = rule.params.keys().map(String::as_str);
                problems.push(
                    ContentError::new(
                        format!(
                            "rule `{id}` has no parameter `{}`",
                            model::printable(name.as_bytes())
                        ),
                        place.clone(),
                    )
                    .maybe_help(suggestion(name, known))
                    .or_help(format!("`steadfast rule show {id}` has its parameters")),
                );
                continue;
            };
            if let Some(value) = problems.keep(param.value_of_node(name, node, &tailoring.source)) {
                param.default = Some(value);
            }
        }
        if let Some(severity) = tailoring.severity {
            rule.severity = severity;
        }
        if let Some(profile) = &tailoring.profile {
            rule.profile = (profile != crate::DEFAULT_PROFILE).then(|| profile.clone());
        }
        rule.off.clone_from(&tailoring.off);
    }

    fn check_includes(&self, problems: &mut Problems) {
        for role in self.roles.values() {
            for (name, place) in &role.includes {
                if !self.roles.contains_key(name) {
                    let known = self.roles.keys().map(RoleName::as_str);
                    problems.push(
                        ContentError::new(format!("unknown role `{name}`"), place.clone())
                            .maybe_help(suggestion(name.as_str(), known))
                            .or_help("a role is a file of the policy: `roles/NAME.yaml`"),
                    );
                }
            }
            if let Some((chain, place)) = self.circle(role) {
                problems.push(
                    ContentError::new(
                        format!(
                            "roles include each other in a circle: {}",
                            chain.join(" → ")
                        ),
                        place,
                    )
                    .help("take one of these includes out"),
                );
            }
        }
    }

    /// The way from a role back to itself, with the include that closes it; only from the
    /// first of the circle by name, so that a circle is said once.
    fn circle<'a>(&'a self, start: &'a Role) -> Option<(Vec<&'a str>, Place)> {
        // Each role is entered once, with the one that led to it.
        let mut led_by: BTreeMap<&RoleName, &RoleName> = BTreeMap::new();
        let mut open = vec![start];
        while let Some(role) = open.pop() {
            for (name, place) in &role.includes {
                if *name == start.name {
                    let mut chain = vec![name.as_str(), role.name.as_str()];
                    let mut at = &role.name;
                    while let Some(before) = led_by.get(at) {
                        at = before;
                        chain.push(at.as_str());
                    }
                    chain.reverse();
                    return Some((chain, place.clone()));
                }
                if *name > start.name
                    && !led_by.contains_key(name)
                    && let Some(next) = self.roles.get(name)
                {
                    led_by.insert(&next.name, &role.name);
                    open.push(next);
                }
            }
        }
        None
    }

    fn add_waivers(&mut self, waived: Vec<(Waiver, Place)>, problems: &mut Problems) {
        for (waiver, place) in waived {
            if let Some(role) = waiver.rule.role() {
                if self.roles.keys().any(|name| name.as_str() == role) {
                    self.waivers.push(waiver);
                } else {
                    let known = self.roles.keys().map(RoleName::as_str);
                    problems.push(
                        ContentError::new(format!("unknown role `{role}`"), place)
                            .maybe_help(suggestion(role, known))
                            .or_help("a role is a file of the policy: `roles/NAME.yaml`"),
                    );
                }
                continue;
            }
            if self.rule(&waiver.rule).is_none() {
                let known = self.rules.iter().map(|rule| rule.id.as_str());
                problems.push(
                    ContentError::new(format!("unknown rule `{}`", waiver.rule), place)
                        .maybe_help(suggestion(waiver.rule.as_str(), known)),
                );
                continue;
            }
            self.waivers.push(waiver);
        }
    }
}

/// The files by what they are.
#[derive(Default)]
struct Sorted {
    files: Vec<File>,
    templates: TemplateFiles,
}

struct File {
    kind: FileKind,
    source: Arc<SourceText>,
}

/// In the order in which they are read.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum FileKind {
    Baseline,
    /// `roles/NAME.yaml`, with its NAME.
    Role(String),
    Waivers,
    Patches,
    Vulnerabilities,
}

impl Sorted {
    fn take(&mut self, path: String, text: Arc<SourceText>, problems: &mut Problems) {
        let is_yaml = path.ends_with(".yaml");
        let kind = if path.ends_with(".yml") && !is_beside_a_role(&path) {
            problems.push(
                ContentError::new("a policy file with another ending", Place::new(&text, 0..0))
                    .help("policy files end in `.yaml`: rename it"),
            );
            return;
        } else if path == "waivers.yaml" {
            FileKind::Waivers
        } else if path == "patches.yaml" {
            FileKind::Patches
        } else if path == "vulnerabilities.yaml" {
            FileKind::Vulnerabilities
        } else if path.starts_with("baselines/") {
            if !is_yaml {
                return;
            }
            FileKind::Baseline
        } else if let Some(name) = path.strip_prefix("roles/") {
            match name.strip_suffix(".yaml") {
                Some(stem) if !stem.contains('/') => FileKind::Role(stem.to_owned()),
                _ => {
                    self.templates.insert(path, text);
                    return;
                }
            }
        } else {
            return;
        };
        self.files.push(File { kind, source: text });
    }
}

/// What a file says.
enum Read {
    Baseline(Box<BaselineFile>),
    Role(Box<Role>),
    Patches(PatchPolicy),
    Waivers(Waivers),
    Vulnerabilities(VulnerabilityPolicy),
}

impl File {
    fn read(&self, reading: &Reading<'_>, problems: &mut Problems) -> Option<Read> {
        let source = &self.source;
        let root = yaml::parse(source, problems)?;
        match &self.kind {
            FileKind::Baseline => baseline::read_file(&root, source, reading, problems)
                .map(|file| Read::Baseline(Box::new(file))),
            FileKind::Role(stem) => role::read_file(&root, stem, source, reading, problems)
                .map(|role| Read::Role(Box::new(role))),
            FileKind::Waivers => Some(Read::Waivers(waivers::read_file(&root, source, problems))),
            FileKind::Patches => Some(Read::Patches(patches::read_file(&root, source, problems))),
            FileKind::Vulnerabilities => {
                vulnerabilities::read_file(&root, source, problems).map(Read::Vulnerabilities)
            }
        }
    }
}

/// Reading is most of what a short command does, so it has more than one core.
const MOST_THREADS: usize = 4;

/// What each file says and what is wrong with it: in the order of files, however many
/// threads read them.
fn read_all(files: &[File], reading: &Reading<'_>) -> Vec<(Option<Read>, Problems)> {
    let mut by_size: Vec<usize> = (0..files.len()).collect();
    by_size.sort_by_key(|at| Reverse(files[*at].source.text().len()));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut mine = Vec::new();
        while let Some(at) = by_size.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut problems = Problems::default();
            let read = files[*at].read(reading, &mut problems);
            mine.push((*at, (read, problems)));
        }
        mine
    };
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST_THREADS)
        .min(files.len().max(1));
    let mut read = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut read = work();
        for other in others {
            match other.join() {
                Ok(theirs) => read.extend(theirs),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        read
    });
    read.sort_by_key(|(at, _)| *at);
    read.into_iter().map(|(_, read)| read).collect()
}
