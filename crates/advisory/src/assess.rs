//! What the feeds say of all that is installed: findings with their ranking, and what could not
//! be told.

use std::cell::OnceCell;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::atomic::{self, AtomicUsize};
use std::thread;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use model::Component;
use model::component::Evidence;
use model::count::plural;
use serde::Serialize;

use crate::index::{Feed, Index, IndexError};
use crate::kernel::{Dormant, Kernel, Kernels, has_no_code, is_image, is_part};
use crate::matching::{self, Coverage, InOrder, Judged, Placed, Subject, Verdict};
use crate::rank::{ChosenBy, Clocks, Exposure, Facts, HumanImpact, Lookup, Ranking, rank};
use crate::record::{CveId, Epss, Exploited};
use crate::version::{Order, order_of};

/// A feed's index, and what it is of.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub feed: &'a Feed,
    pub index: Index<'a>,
}

/// What is asked.
pub struct Question<'a> {
    pub components: &'a [Component],
    /// How far each component can be reached on this host.
    pub exposure: &'a (dyn Fn(&Component) -> Exposure + Sync),
    /// What runs below them.
    pub kernel: &'a Kernel,
    pub human_impact: Option<HumanImpact>,
    pub clocks: &'a Clocks,
    pub now: Timestamp,
    /// A feed that is older than this is stale: what it doesn't say is unknown.
    pub fresh: SignedDuration,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Assessment {
    /// The most urgent first.
    pub findings: Vec<Finding>,
    /// Vulnerabilities of which the feeds can't say whether they are here.
    pub undetermined: Vec<Undetermined>,
    /// What can't be told at all, once for each cause.
    pub unknown: Vec<Unknown>,
    /// Not affected by the word of somebody who answers for the product.
    pub not_affected: Vec<Dismissed>,
    /// Of installed kernels that do not run.
    pub dormant: Vec<Dormant>,
    /// What is known of packages and is no vulnerability.
    pub warnings: Vec<Warning>,
    pub feeds: Vec<FeedState>,
    pub components: usize,
    /// Of a distribution, these are source packages.
    pub packages: usize,
    /// Those of them that are not of a distribution.
    pub others: usize,
}

/// A vulnerability that is here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The number of its CVE, where it has one.
    pub name: String,
    /// The record that says so.
    pub advisory: String,
    /// The distribution's own advisories about it.
    pub also: Vec<String>,
    /// What other databases call it.
    pub aliases: Vec<String>,
    /// Where it is a distribution's advisory that stands for itself: the vulnerabilities that it
    /// is about.
    pub about: Vec<String>,
    pub package: Subject,
    /// The installed packages that were built from it.
    pub components: Vec<String>,
    /// The files that prove it, and the images that hold it.
    pub evidence: Vec<Evidence>,
    pub images: Vec<String>,
    /// None while there is no fix.
    pub fixed: Option<String>,
    pub published: Option<Date>,
    pub fix_published: Option<Date>,
    /// The distribution's own word: `unimportant`.
    pub urgency: Option<String>,
    pub cvss: Option<String>,
    /// Whoever makes it is still looking whether it is affected.
    pub under_investigation: bool,
    /// The packages of the module that it is in; whoever uses none of them is not affected. Empty
    /// for all of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// The version of the installed kernel that closes it when it is booted, where this is a
    /// finding of the one that runs.
    pub until_boot_of: Option<String>,
    /// What keeps it open although the version that is installed does not have it.
    pub kept_open: Vec<KeptOpen>,
    pub ranking: Ranking,
}

/// What keeps a finding open after an upgrade: the new version is installed, and that is not all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum KeptOpen {
    /// Somebody still has files of the old version mapped.
    RunsOldFiles {
        /// systemd's unit, or the process where it belongs to none.
        who: String,
        until: Until,
    },
    /// The upgrade was interrupted, or is at work: it may be taken back.
    Unfinished { change: String },
}

/// When somebody who runs old files does not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// The unit can't be restarted under everybody's feet.
    Reboot,
    Restart,
    /// A session, or a process that nobody restarts.
    End,
}

impl Finding {
    /// Is it known by this name?
    pub fn is_called(&self, name: &str) -> bool {
        let names = [&self.name, &self.advisory].into_iter();
        let mut names = names.chain(&self.also).chain(&self.aliases);
        names.any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Is it called so, or is it an advisory about it among others?
    pub fn is_about(&self, name: &str) -> bool {
        let mut about = self.about.iter();
        self.is_called(name) || about.any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// What a database knows of a package, and what is no vulnerability in it: that nobody keeps it up
/// any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    pub name: String,
    /// In the database's word: `unmaintained`, `unsound`, `notice`.
    pub informs: String,
    pub package: Subject,
    /// The files that prove that it is here.
    pub evidence: Vec<Evidence>,
    /// The first version of which it is not said, where there is one.
    pub fixed: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Undetermined {
    pub name: String,
    pub package: Subject,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    pub why: String,
    /// How many packages it concerns; none where that can't be said.
    pub packages: Option<usize>,
    /// Where it is that no feed speaks of these packages: their ecosystem.
    #[serde(skip)]
    pub unspoken: Option<String>,
}

impl Unknown {
    /// Of which it can't be said how many packages it concerns.
    pub const fn of_all(why: String) -> Self {
        Self {
            why,
            packages: None,
            unspoken: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dismissed {
    pub name: String,
    pub package: Subject,
    pub justification: String,
    pub impact: String,
    pub source: String,
}

/// A feed, and how old it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeedState {
    #[serde(flatten)]
    pub feed: Feed,
    /// From the newest time that the feed gives itself; where it gives none, from the import.
    pub age_seconds: i64,
    pub stale: bool,
    /// Does it speak of anything that was asked about?
    pub used: bool,
}

impl FeedState {
    pub fn of(feed: &Feed, now: Timestamp, fresh: SignedDuration) -> Self {
        let age = now.duration_since(feed.newest.unwrap_or(feed.imported));
        Self {
            feed: feed.clone(),
            age_seconds: age.as_secs(),
            stale: age > fresh,
            used: true,
        }
    }
}

impl Assessment {
    /// The day on which the feeds that speak of what is here end, where all of them are stale: of a
    /// fix that came out since they say nothing, and that none of their findings is closed by an
    /// upgrade does not mean that it closes nothing.
    pub fn ended(&self) -> Option<Date> {
        let speaks = |state: &&FeedState| state.used && state.feed.counts.advisories > 0;
        let mut speaking = self.feeds.iter().filter(speaks).peekable();
        speaking.peek()?;
        let ends = speaking.map(|state| {
            let newest = state.feed.newest.unwrap_or(state.feed.imported);
            state.stale.then(|| day(newest))
        });
        ends.collect::<Option<Vec<Date>>>()?.into_iter().max()
    }

    /// Findings that are open for another reason than the version that is installed, put among the
    /// others in their order.
    pub fn add(&mut self, findings: Vec<Finding>) {
        self.findings.extend(findings);
        sort(&mut self.findings);
    }
}

/// Looks everything up.
///
/// # Errors
/// When an index is damaged.
pub fn assess(sources: &[Source<'_>], question: &Question<'_>) -> Result<Assessment, IndexError> {
    // "The newest feed comes first among the indexes."
    let mut sources = sources.to_vec();
    sources.sort_by_key(|source| Reverse(source.feed.newest));
    let indexes: Vec<Index<'_>> = sources.iter().map(|source| source.index).collect();
    let kernels = Kernels::of(question.kernel, question.components);
    let missing = kernels.missing();
    let all = InOrder::of(question.components.iter().chain(&missing));
    let pieces: Vec<Piece<'_>> = all.pieces().collect();
    let records = all.records();
    let mut feeds = Vec::with_capacity(sources.len());
    for source in &sources {
        feeds.push(FeedState {
            used: is_used(source, &records)?,
            ..FeedState::of(source.feed, question.now, question.fresh)
        });
    }
    let mut assessment = Assessment {
        findings: Vec::new(),
        undetermined: Vec::new(),
        unknown: unknown_of(&feeds),
        not_affected: Vec::new(),
        dormant: Vec::new(),
        warnings: Vec::new(),
        components: question.components.len(),
        packages: pieces.len(),
        others: pieces
            .iter()
            .filter(|piece| piece.iter().any(|(_, one)| is_other(one)))
            .count(),
        feeds,
    };
    let scores = Scores {
        sources: &sources,
        feeds: assessment.feeds.clone(),
    };
    let look_up = |pieces: &[Piece<'_>]| {
        let mut found = Found::default();
        let mut covered: BTreeMap<String, Coverage> = BTreeMap::new();
        for piece in pieces {
            let components = piece.iter().map(|(_, component)| *component).collect();
            for group in groups(all.subject(piece), components, &kernels) {
                let judged = matching::judge(&indexes, &group.subject, &group.components)?;
                found.take(&group, &judged, question, &scores, kernels.booted())?;
                if !group.is_dormant {
                    found.note_coverage(&group, &indexes, &mut covered)?;
                }
            }
        }
        Ok(found)
    };
    let found = look_up_all(&pieces, &look_up)?;
    let findings = found.iter().map(|found| found.findings.len());
    assessment.findings.reserve_exact(findings.sum());
    let mut unspoken: BTreeMap<(bool, String), (String, usize)> = BTreeMap::new();
    let mut nameless: BTreeMap<&'static str, usize> = BTreeMap::new();
    for found in found {
        assessment.findings.extend(found.findings);
        assessment.undetermined.extend(found.undetermined);
        assessment.not_affected.extend(found.not_affected);
        assessment.dormant.extend(found.dormant);
        assessment.warnings.extend(found.warnings);
        for (of, (why, packages)) in found.unspoken {
            unspoken.entry(of).or_insert((why, 0)).1 += packages;
        }
        for (why, packages) in found.nameless {
            *nameless.entry(why).or_default() += packages;
        }
    }
    wait_for_boot(&mut assessment, &kernels);
    let nameless = nameless.into_iter().map(|(why, packages)| Unknown {
        why: why.to_owned(),
        packages: Some(packages),
        unspoken: None,
    });
    assessment.unknown.extend(nameless);
    let unspoken = unspoken
        .into_iter()
        .map(|((_, ecosystem), (why, packages))| Unknown {
            why,
            packages: Some(packages),
            unspoken: Some(ecosystem),
        });
    assessment.unknown.extend(unspoken);
    sort(&mut assessment.findings);
    Ok(assessment)
}

/// Why it may be another name than the one under which its advisories are, where it may be.
fn unnamed(subject: &Subject, components: &[&Component]) -> Option<&'static str> {
    let has_source = |one: &&Component| one.source.is_some() || one.ecosystem.purl_type() != "deb";
    if !components.iter().all(has_source) {
        return Some(
            "nothing says what these packages were built from, and the feeds know no source \
             package of their names",
        );
    }
    // As `make bindeb-pkg` makes it: that the feeds say nothing of it is no good news.
    if components.iter().any(|one| is_image(one)) {
        return Some("these kernels were built from source packages that no feed knows");
    }
    let order = order_of(&subject.ecosystem)?;
    matching::has_no_group(order, &subject.name).then_some(
        "these Java archives do not say their group, and the feeds know no artifact of their \
         names",
    )
}

/// Components of one subject, which run or could, or which are all dormant.
struct Group<'a> {
    subject: Subject,
    components: Vec<&'a Component>,
    is_dormant: bool,
    /// They hold no code of the kernel.
    has_no_code: bool,
}

fn groups<'a>(
    subject: Subject,
    mut components: Vec<&'a Component>,
    kernels: &Kernels<'_>,
) -> impl Iterator<Item = Group<'a>> {
    let dormant: Vec<&Component> = components
        .extract_if(.., |component| kernels.is_dormant(component))
        .collect();
    let rest_has_no_code = is_kernel(&subject)
        && components
            .iter()
            .all(|component| has_no_code(&component.name));
    // Beside a kernel of their version, headers are no second one.
    let is_told = rest_has_no_code && !dormant.is_empty();
    let dormant = (!dormant.is_empty()).then(|| Group {
        subject: subject.clone(),
        components: dormant,
        is_dormant: true,
        has_no_code: false,
    });
    let rest = (!components.is_empty() && !is_told).then_some(Group {
        subject,
        components,
        is_dormant: rest_has_no_code,
        has_no_code: rest_has_no_code,
    });
    dormant.into_iter().chain(rest)
}

/// The source that Debian's kernels, and what belongs to them, are built from.
fn is_kernel(subject: &Subject) -> bool {
    order_of(&subject.ecosystem) == Some(Order::Debian) && subject.name == "linux"
}

/// So many subjects are worth a second thread.
const SUBJECTS_OF_TWO: usize = 1000;
/// So many a thread takes at once: a kernel has thousands of entries, and most have none.
const SUBJECTS_AT_ONCE: usize = 32;

/// The components of one subject.
type Piece<'p> = &'p [Placed<'p>];

/// Looks each subject up; many of them on two processors. What is found is in their order.
fn look_up_all(
    pieces: &[Piece<'_>],
    look_up: &(dyn Fn(&[Piece<'_>]) -> Result<Found, IndexError> + Sync),
) -> Result<Vec<Found>, IndexError> {
    if pieces.len() < SUBJECTS_OF_TWO {
        return Ok(vec![look_up(pieces)?]);
    }
    let portions: Vec<&[Piece<'_>]> = pieces.chunks(SUBJECTS_AT_ONCE).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, atomic::Ordering::Relaxed);
            let Some(portion) = portions.get(at) else {
                return Ok(done);
            };
            done.push((at, look_up(portion)?));
        }
    };
    let (done, more) = thread::scope(|scope| {
        let more = scope.spawn(work);
        (work(), more.join())
    });
    let mut done = done?;
    done.extend(more.unwrap_or_else(|panic| resume_unwind(panic))?);
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, found)| found).collect())
}

/// Findings of the kernel that runs, and of nothing else, which a newer one that is installed does
/// not have.
fn wait_for_boot(assessment: &mut Assessment, kernels: &Kernels<'_>) {
    let Some(waiting) = kernels.waiting() else {
        return;
    };
    let subject = Subject::of(waiting);
    let named = |name: &str, package: &Subject| (name.to_owned(), package == &subject);
    let findings = assessment.findings.iter();
    let undetermined = assessment.undetermined.iter();
    let of_it: BTreeSet<String> = findings
        .map(|one| named(&one.name, &one.package))
        .chain(undetermined.map(|one| named(&one.name, &one.package)))
        .filter_map(|(name, is_of_it)| is_of_it.then_some(name))
        .collect();
    for finding in &mut assessment.findings {
        let package = &finding.package;
        let is_kernels = package.ecosystem == subject.ecosystem
            && package.name == subject.name
            && package.version != subject.version
            && finding.images.is_empty()
            && finding.components.iter().all(|name| is_part(name));
        if is_kernels && !of_it.contains(&finding.name) {
            finding.until_boot_of = Some(waiting.version.clone());
        }
    }
}

/// Did it come another way than as a package of a distribution?
const fn is_other(component: &Component) -> bool {
    !component.ecosystem.is_distribution()
}

/// A feed about the crates of Rust says nothing of a host that has none.
fn is_used(source: &Source<'_>, records: &BTreeSet<String>) -> Result<bool, IndexError> {
    let counts = &source.feed.counts;
    if counts.known_exploited + counts.epss_scores + counts.vex_statements > 0 {
        return Ok(true);
    }
    for ecosystem in records {
        if source.index.covers(ecosystem)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Findings are large: they are moved once they are in order, and not at each step of it.
fn sort(findings: &mut Vec<Finding>) {
    let mut counts: BTreeMap<&Subject, usize> = BTreeMap::new();
    for finding in &*findings {
        *counts.entry(&finding.package).or_default() += 1;
    }
    // One of few, of tens, of hundreds.
    let magnitude = |one: &Finding| counts[&one.package].ilog10();
    let of_package: Vec<u32> = findings.iter().map(magnitude).collect();
    let mut order: Vec<usize> = (0..findings.len()).collect();
    order.sort_by(|a, b| {
        by_urgency(
            (&findings[*a], of_package[*a]),
            (&findings[*b], of_package[*b]),
        )
    });
    let mut places: Vec<Option<Finding>> = findings.drain(..).map(Some).collect();
    findings.extend(order.into_iter().filter_map(|at| places[at].take()));
}

/// What sorts findings: what the distribution calls unimportant comes last; then the class, and
/// within it EPSS, CVSS and exposure. Of equals what can be mended first, by its date; what few are
/// beside, so that the hundreds of a kernel hide nothing; and the newer vulnerability. The rest
/// makes the order the same each time. `a` and `b` come with how many digits the number of their
/// packages' findings has, less one.
fn by_urgency(a: (&Finding, u32), b: (&Finding, u32)) -> Ordering {
    let key = |(finding, of_package): (&Finding, u32)| {
        let ranking = &finding.ranking;
        let due = ranking.due().map(|due| due.date);
        (
            finding.urgency.as_deref() == Some("unimportant"),
            Reverse(ranking.priority),
            Reverse(ranking.within_class()),
            finding.fixed.is_none(),
            (due.is_none(), due),
            of_package,
            Reverse(finding.published),
        )
    };
    let order = key(a).cmp(&key(b));
    let (a, b) = (a.0, b.0);
    let order = order.then_with(|| a.package.cmp(&b.package));
    order.then_with(|| a.name.cmp(&b.name))
}

fn unknown_of(feeds: &[FeedState]) -> Vec<Unknown> {
    let mut unknown = Vec::new();
    let mut say = |why: String| unknown.push(Unknown::of_all(why));
    for state in feeds.iter().filter(|state| state.used) {
        let feed = &state.feed;
        if state.stale {
            let as_of = match feed.newest {
                Some(newest) => format!("is as of {}", day(newest)),
                None => format!("was imported on {}", day(feed.imported)),
            };
            say(format!(
                "feed `{}` {as_of}: what came out since is unknown",
                feed.name
            ));
        }
        if feed.counts.malformed > 0 {
            let count = feed.counts.malformed;
            let records = plural(count, "record");
            say(format!(
                "{records} of feed `{}` could not be read",
                feed.name
            ));
        }
    }
    let has = |count: fn(&Feed) -> usize| feeds.iter().any(|state| count(&state.feed) > 0);
    if !has(|feed| feed.counts.known_exploited) {
        say(
            "no feed of known exploited vulnerabilities: which are exploited is unknown".to_owned(),
        );
    }
    unknown
}

fn day(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

/// What is judged. A host is asked how far it is reached when the first finding needs it, and
/// once: packages have dozens.
struct Matter<'a> {
    subject: &'a Subject,
    components: &'a [&'a Component],
    exposure: OnceCell<Exposure>,
}

/// What was found of some subjects.
#[derive(Default)]
struct Found {
    findings: Vec<Finding>,
    undetermined: Vec<Undetermined>,
    not_affected: Vec<Dismissed>,
    dormant: Vec<Dormant>,
    warnings: Vec<Warning>,
    /// The ecosystems of which no feed speaks, those of a distribution before the others: why, and
    /// how many packages.
    unspoken: BTreeMap<(bool, String), (String, usize)>,
    /// Of which it can't be told what they are called where advisories are looked up.
    nameless: BTreeMap<&'static str, usize>,
}

impl Found {
    /// Notes where the feeds do not speak of it.
    fn note_coverage(
        &mut self,
        group: &Group<'_>,
        indexes: &[Index<'_>],
        covered: &mut BTreeMap<String, Coverage>,
    ) -> Result<(), IndexError> {
        let (subject, components) = (&group.subject, &group.components);
        let ecosystem = subject.record().ecosystem;
        if !covered.contains_key(&*ecosystem) {
            let coverage = matching::coverage(indexes, &ecosystem)?;
            covered.insert(ecosystem.clone().into_owned(), coverage);
        }
        if let Coverage::Unspoken(why) = &covered[&*ecosystem] {
            let is_other = components.iter().any(|one| is_other(one));
            let of_it = self.unspoken.entry((is_other, ecosystem.into_owned()));
            of_it.or_insert_with(|| (why.clone(), 0)).1 += 1;
        } else if let Some(why) = unnamed(subject, components)
            && !matching::is_known(indexes, subject)?
        {
            *self.nameless.entry(why).or_default() += 1;
        }
        Ok(())
    }

    fn take(
        &mut self,
        group: &Group<'_>,
        judged: &[Judged<'_>],
        question: &Question<'_>,
        scores: &Scores<'_>,
        booted: Option<&str>,
    ) -> Result<(), IndexError> {
        let (subject, components) = (&group.subject, &group.components);
        if group.is_dormant {
            let affected = judged.iter().filter(|judged| judged.is_affected());
            let names: Vec<String> = affected.map(|judged| judged.name.to_owned()).collect();
            if !names.is_empty() {
                self.dormant.push(Dormant {
                    package: subject.clone(),
                    components: components.iter().map(|one| one.name.clone()).collect(),
                    names,
                    runs: booted.filter(|_| !group.has_no_code).map(str::to_owned),
                    has_no_code: group.has_no_code,
                });
            }
            return Ok(());
        }
        let matter = Matter {
            subject,
            components,
            exposure: OnceCell::new(),
        };
        for judged in judged {
            self.take_one(judged, &matter, question, scores)?;
        }
        Ok(())
    }

    fn take_one(
        &mut self,
        judged: &Judged<'_>,
        matter: &Matter<'_>,
        question: &Question<'_>,
        scores: &Scores<'_>,
    ) -> Result<(), IndexError> {
        match &judged.verdict {
            Verdict::Fixed { .. } => {}
            Verdict::NotAffected {
                justification,
                impact,
                source,
            } => self.not_affected.push(Dismissed {
                name: judged.name.to_owned(),
                package: matter.subject.clone(),
                justification: (*justification).to_owned(),
                impact: (*impact).to_owned(),
                source: (*source).to_owned(),
            }),
            Verdict::Unknown { why } => self.undetermined.push(Undetermined {
                name: judged.name.to_owned(),
                package: matter.subject.clone(),
                why: why.clone(),
            }),
            Verdict::Affected { fixed } if let Some(informs) = judged.informational => {
                let evidence = matter.components.iter();
                let evidence = evidence.flat_map(|one| one.evidence.iter());
                let evidence: BTreeSet<&Evidence> = evidence.collect();
                self.warnings.push(Warning {
                    name: judged.name.to_owned(),
                    informs: informs.to_owned(),
                    package: matter.subject.clone(),
                    evidence: evidence.into_iter().cloned().collect(),
                    fixed: fixed.map(str::to_owned),
                });
            }
            Verdict::Affected { fixed } => {
                let finding = finding(judged, *fixed, matter, question, scores)?;
                self.findings.push(finding);
            }
        }
        Ok(())
    }
}

fn finding(
    judged: &Judged<'_>,
    fixed: Option<&str>,
    matter: &Matter<'_>,
    question: &Question<'_>,
    scores: &Scores<'_>,
) -> Result<Finding, IndexError> {
    let components = matter.components;
    let cves = cves(judged)?;
    let published = judged.advisory.published()?;
    let cvss = judged.advisory.cvss()?;
    let facts = Facts {
        kev: scores.kev(&cves, published)?,
        epss: scores.epss(&cves, published)?,
        cvss,
        urgency: judged.urgency,
        exposure: *matter
            .exposure
            .get_or_init(|| exposure(components, question.exposure)),
        human_impact: question.human_impact,
        has_fix: fixed.is_some(),
        fix_published: judged.fix_published,
        published,
        chosen_by: ChosenBy::of(judged.advisory.related()?),
    };
    let mut names: Vec<String> = components.iter().map(|one| one.name.clone()).collect();
    names.dedup();
    let advisory = judged.advisory.id()?;
    let aliases = judged.advisory.aliases()?.into_iter();
    let aliases = aliases.filter(|alias| *alias != judged.name && *alias != advisory);
    let is_bundle = !judged.name.starts_with("CVE-")
        && order_of(&matter.subject.ecosystem).is_some_and(matching::has_bundles);
    let about = match is_bundle {
        true => judged.advisory.related()?,
        false => Vec::new(),
    };
    let evidence: BTreeSet<&Evidence> = components
        .iter()
        .flat_map(|one| one.evidence.iter())
        .collect();
    let images: BTreeSet<&String> = components
        .iter()
        .filter_map(|one| one.image.as_ref())
        .collect();
    Ok(Finding {
        name: judged.name.to_owned(),
        advisory: advisory.to_owned(),
        aliases: aliases.map(str::to_owned).collect(),
        about: about.into_iter().map(str::to_owned).collect(),
        evidence: evidence.into_iter().cloned().collect(),
        images: images.into_iter().cloned().collect(),
        also: judged.also.iter().map(|&id| id.to_owned()).collect(),
        package: matter.subject.clone(),
        components: names,
        fixed: fixed.map(str::to_owned),
        published,
        fix_published: judged.fix_published,
        urgency: judged.urgency.map(str::to_owned),
        cvss: cvss.map(str::to_owned),
        under_investigation: judged.investigated,
        packages: judged.packages.iter().map(|&one| one.to_owned()).collect(),
        until_boot_of: None,
        kept_open: Vec::new(),
        ranking: rank(&facts, question.clocks),
    })
}

/// The numbers of the CVEs that it is, or is about.
fn cves(judged: &Judged<'_>) -> Result<Vec<CveId>, IndexError> {
    if let Ok(cve) = judged.name.parse() {
        return Ok(vec![cve]);
    }
    let mut names = judged.advisory.aliases()?;
    names.extend(judged.advisory.related()?);
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// The worst of what was built from one source: any of them may be what is reached.
fn exposure(components: &[&Component], of: &dyn Fn(&Component) -> Exposure) -> Exposure {
    let worse = |exposure: &Exposure| match exposure {
        Exposure::Declared => 0,
        Exposure::Installed => 1,
        Exposure::AtMostLocal => 2,
        Exposure::Runs => 3,
        Exposure::Loopback => 4,
        Exposure::Unknown(_) => 5,
        Exposure::Outside => 6,
    };
    let all = components.iter().map(|component| of(component));
    all.max_by_key(worse).unwrap_or(Exposure::Installed)
}

/// The feeds that rank.
struct Scores<'a> {
    sources: &'a [Source<'a>],
    feeds: Vec<FeedState>,
}

impl Scores<'_> {
    fn kev(
        &self,
        cves: &[CveId],
        published: Option<Date>,
    ) -> Result<Lookup<Exploited>, IndexError> {
        self.ask(
            (cves, published),
            |feed| feed.counts.known_exploited,
            |index, cve| index.exploited(cve),
            |known, other| known.added <= other.added,
        )
    }

    fn epss(&self, cves: &[CveId], published: Option<Date>) -> Result<Lookup<Epss>, IndexError> {
        self.ask(
            (cves, published),
            |feed| feed.counts.epss_scores,
            |index, cve| index.epss(cve),
            |known, other| known.score >= other.score,
        )
    }

    /// What a stale feed says still counts. What it doesn't say was so until it ended, of a
    /// vulnerability that was known by then; of a newer one it is not known.
    fn ask<T: Copy>(
        &self,
        (cves, published): (&[CveId], Option<Date>),
        count: fn(&Feed) -> usize,
        read: fn(&Index<'_>, CveId) -> Result<Option<T>, IndexError>,
        is_worse: fn(&T, &T) -> bool,
    ) -> Result<Lookup<T>, IndexError> {
        let mut is_fresh = false;
        let mut until: Option<Date> = None;
        for (source, state) in self.sources.iter().zip(&self.feeds) {
            if count(source.feed) == 0 {
                continue;
            }
            is_fresh |= !state.stale;
            until = until.max(state.feed.newest.map(day));
            let mut worst: Option<T> = None;
            for cve in cves {
                let Some(found) = read(&source.index, *cve)? else {
                    continue;
                };
                worst = match worst {
                    Some(known) if is_worse(&known, &found) => Some(known),
                    _ => Some(found),
                };
            }
            if let Some(worst) = worst {
                return Ok(Lookup::Known(worst));
            }
        }
        // The number is given before the publication, and never in a later year.
        let year = |cve: &CveId| Date::new(i16::try_from(cve.year).ok()?, 12, 31).ok();
        let known_by = published.or_else(|| cves.iter().filter_map(year).min());
        Ok(match (is_fresh, until, known_by) {
            (true, ..) => Lookup::NotListed,
            (false, Some(until), Some(known_by)) if known_by <= until => {
                Lookup::NotListedUntil(until)
            }
            _ => Lookup::Missing,
        })
    }
}
