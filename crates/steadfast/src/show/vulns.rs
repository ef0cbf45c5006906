//! Shows the known vulnerabilities of a host: one line per package with its vulnerabilities
//! folded, the most urgent first; and one vulnerability in full.

use std::collections::BTreeMap;
use std::io::{self, Write};

use advisory::assess::{Assessment, FeedState, Finding, Unknown, Warning};
use advisory::kernel::Dormant;
use advisory::matching::{Subject, Verdict};
use advisory::rank::{Clock, Decision, Known, Name, Timeline, Unseen};
use advisory::version::order_of;
use advisory::waive::{Expired, Waived};
use jiff::Timestamp;
use jiff::civil::Date;
use model::VulnerabilityWaiver;
use model::component::EvidenceKind;
use model::count::{first_of, plural};
use model::value::OtherRoot;
use serde::Serialize;

use super::feeds::{age_text, holds, number};
use super::still_open::{fixed_and_open, is_unfinished, until, why_open};
use crate::layout::{LABEL, Paper, Text};
use crate::report::human::next_steps;
use crate::report::inventory::place;
use crate::report::{NextStep, other_roots};
use crate::style::{Role, Sign, Style};

/// Packages that are shown without `--verbose`: a screen of them, the most urgent ones.
const ROWS: usize = 12;

/// Cells for the name of an input.
const INPUT: usize = 14;

/// All that is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Shown<'a> {
    pub format: u32,
    pub generated: Timestamp,
    /// Empty for a document.
    pub hostname: String,
    /// Whose packages these are, as OSV names it: `Debian:12`; none where there are none.
    #[serde(skip)]
    pub distribution: Option<String>,
    pub release: String,
    pub root: Option<String>,
    pub sbom: Option<String>,
    /// What was asked for by name.
    #[serde(rename = "asked")]
    pub words: Vec<Word<'a>>,
    #[serde(flatten)]
    pub assessment: Assessment,
    /// The processes that could not be looked at, where the exposure of a finding hangs on them.
    pub unseen_processes: Vec<String>,
    /// Findings that somebody answers for until a date; they are not among the others.
    pub waived: Vec<Waived>,
    pub expired_waivers: Vec<Expired>,
    /// Waivers that hold here and cover nothing.
    pub idle_waivers: Vec<VulnerabilityWaiver>,
    /// Root file systems of others, which were left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_roots: Vec<OtherRoot>,
}

impl Shown<'_> {
    /// The finding of an older version of this, where something keeps it open.
    pub fn kept_open(&self, name: &str, subject: &Subject) -> Option<&Finding> {
        let waived = self.waived.iter().map(|waived| &waived.finding);
        let mut all = self.assessment.findings.iter().chain(waived);
        all.find(|finding| {
            let package = &finding.package;
            !finding.kept_open.is_empty()
                && finding.is_about(name)
                && package.name == subject.name
                && package.ecosystem == subject.ecosystem
        })
    }
}

/// A vulnerability that was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Word<'a> {
    pub name: String,
    /// Does a feed speak of it?
    pub spoken: bool,
    /// The advisories that do: those that it is a name of, and those that are about it among
    /// others.
    pub advisories: Vec<&'a str>,
    pub summary: String,
    pub details: String,
    pub verdicts: Vec<(Subject, Verdict<'a>)>,
    /// Where an advisory about several gave the verdict: which one.
    #[serde(skip)]
    pub by: BTreeMap<Subject, &'a str>,
}

impl Word<'_> {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            spoken: false,
            advisories: Vec::new(),
            summary: String::new(),
            details: String::new(),
            verdicts: Vec::new(),
            by: BTreeMap::new(),
        }
    }
}

/// How it is looked at.
#[derive(Clone, Debug)]
pub struct View {
    pub verbose: bool,
    pub today: Date,
    /// What else the command had that decides what is found, for the next one: ` --max-age 30`.
    pub flags: String,
}

pub fn write(out: &mut dyn Write, shown: &Shown<'_>, view: &View, style: &Style) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    let lead = lead(shown).filter(|_| shown.words.is_empty());
    if shown.words.is_empty() {
        head(&mut paper, shown, lead)?;
    }
    feeds(&mut paper, &shown.assessment.feeds)?;
    other_roots(&mut paper, &shown.other_roots, "vulns")?;
    let unseen = &shown.unseen_processes;
    unknown(&mut paper, &shown.assessment, lead, unseen, view)?;
    if !shown.words.is_empty() {
        return asked(&mut paper, shown, view);
    }
    let packages = packages(&shown.assessment.findings);
    let (with_fix, without): (Vec<&Package<'_>>, Vec<&Package<'_>>) = packages
        .iter()
        .partition(|package| package.target.is_some());
    let rows = if view.verbose { usize::MAX } else { ROWS };
    rows_of(&mut paper, &with_fix, view, rows)?;
    rows_of(
        &mut paper,
        &without,
        view,
        rows.min(ROWS / 2 + view_more(view)),
    )?;
    waivers(&mut paper, shown, view)?;
    dormant(&mut paper, &shown.assessment.dormant)?;
    warnings(&mut paper, &shown.assessment.warnings, view)?;
    dismissed(&mut paper, &shown.assessment, view)?;
    steps(&mut paper, shown, view)
}

/// All of them in full view.
const fn view_more(view: &View) -> usize {
    if view.verbose { usize::MAX - ROWS } else { 0 }
}

/// What goes before everything else: that there are no findings since nobody can tell. Of a
/// distribution that no feed speaks of, or where no feed speaks of anything that is here.
fn lead<'a>(shown: &'a Shown<'_>) -> Option<&'a Unknown> {
    let found = &shown.assessment;
    if !found.findings.is_empty() {
        return None;
    }
    let unspoken = || found.unknown.iter().filter(|one| one.unspoken.is_some());
    let of_distribution = |one: &&Unknown| match &shown.distribution {
        Some(distribution) => one.unspoken.as_ref() == Some(distribution),
        None => false,
    };
    let packages = untold(found);
    unspoken().find(of_distribution).or_else(|| {
        let mut all = match packages == found.packages {
            true => found
                .unknown
                .iter()
                .filter(|one| packages == 0 || one.packages.is_some()),
            false => return None,
        };
        all.next()
    })
}

/// How many findings there are. That there is none is known of what could be told, and of nothing
/// else.
pub(super) fn findings_text(findings: usize, packages: usize, found: &Assessment) -> String {
    let is_all_told = found.unknown.is_empty() && found.undetermined.is_empty();
    match findings == 0 && !is_all_told {
        true => "no finding in what can be told".to_owned(),
        false => format!(
            "{} in {}",
            plural(findings, "finding"),
            plural(packages, "package")
        ),
    }
}

/// The packages of which nothing can be told.
fn untold(found: &Assessment) -> usize {
    found.unknown.iter().filter_map(|one| one.packages).sum()
}

fn head(paper: &mut Paper<'_>, shown: &Shown<'_>, lead: Option<&Unknown>) -> io::Result<()> {
    let found = &shown.assessment;
    let packages: std::collections::BTreeSet<_> = found
        .findings
        .iter()
        .map(|finding| &finding.package)
        .collect();
    let fixed = found
        .findings
        .iter()
        .filter(|finding| finding.fixed.is_some())
        .count();
    let said = findings_text(found.findings.len(), packages.len(), found);
    let mut text = Text::new().say(Role::Strong, &said);
    if !found.findings.is_empty() {
        text = text.plain(&format!(", {} with a fix", number(fixed)));
    }
    if let Some(unknown) = lead {
        let said = format!("unknown: {}", unknown_text(unknown));
        text = Text::new().say(Role::Wary, &said);
    }
    let others = match found.others {
        0 => String::new(),
        others => format!(" and {}", plural(others, "other component")),
    };
    let sources = plural(found.packages - found.others, "source package");
    text = text.plain(&format!("; {}, {sources}{others} looked at", shown.release));
    // Where it leads, it says so already.
    let untold = untold(found);
    if untold > 0 && lead.is_none() {
        let text_of = format!(", {} of them can't be told", number(untold));
        text = text.say(Role::Wary, &text_of);
    }
    paper.line(&text)
}

/// What was asked, and how old it is.
pub fn feeds(paper: &mut Paper<'_>, feeds: &[FeedState]) -> io::Result<()> {
    let used = feeds.iter().filter(|state| state.used);
    for (at, state) in used.enumerate() {
        let label = if at == 0 { "feeds" } else { "" };
        let body = Text::new()
            .plain(&format!("{}: {}, ", state.feed.name, holds(state)))
            .then(age_text(state));
        paper.row(Role::Dim, label, &body)?;
    }
    Ok(())
}

/// What can't be told, and of how many packages.
pub fn unknown_text(unknown: &Unknown) -> String {
    let packages = unknown
        .packages
        .map(|count| format!(" ({})", plural(count, "package")));
    format!("{}{}", unknown.why, packages.unwrap_or_default())
}

/// "Unknown" is said once per cause.
pub(super) fn unknown(
    paper: &mut Paper<'_>,
    assessment: &Assessment,
    said: Option<&Unknown>,
    unseen: &[String],
    view: &View,
) -> io::Result<()> {
    let mut label = "unknown";
    let mut say = |paper: &mut Paper<'_>, text: String| {
        let said = paper.row(Role::Wary, label, &Text::new().plain(&text));
        label = "";
        said
    };
    let unknown = assessment.unknown.iter();
    for unknown in unknown.filter(|one| said.is_none_or(|said| !std::ptr::eq(*one, said))) {
        say(paper, unknown_text(unknown))?;
    }
    let undetermined = &assessment.undetermined;
    if !undetermined.is_empty() {
        let what = plural(undetermined.len(), "vulnerability");
        say(
            paper,
            format!("{what} of which the feeds can't say whether they are here"),
        )?;
        let shown = if view.verbose { undetermined.len() } else { 0 };
        for one in &undetermined[..shown] {
            let text = format!("{} in {}: {}", one.name, one.package.name, one.why);
            paper.indented(LABEL + 2, &Text::new().say(Role::Dim, &text))?;
        }
    }
    for ((input, why, known), findings) in unknown_inputs(&assessment.findings) {
        let findings = plural(findings, "finding");
        let named = match why == Unseen::Processes.as_str() && !unseen.is_empty() {
            true => format!(" ({})", first_of(unseen, NAMES)),
            false => String::new(),
        };
        let taken = match known {
            Known::Usual => "what is usual",
            Known::Known | Known::WorseBranch => "the worse",
        };
        say(
            paper,
            format!(
                "{}: {why}{named}; {taken} is taken for {findings}",
                input.as_str()
            ),
        )?;
    }
    Ok(())
}

/// Is the exposure of any of them unknown since processes can't be looked at?
pub fn needs_processes(findings: &[Finding]) -> bool {
    let mut inputs = findings.iter().flat_map(|finding| &finding.ranking.inputs);
    inputs.any(|input| input.reason == Unseen::Processes.as_str())
}

/// The inputs that are unknown, and for how many findings.
fn unknown_inputs(findings: &[Finding]) -> BTreeMap<(Name, &str, Known), usize> {
    let mut causes = BTreeMap::new();
    let inputs = findings.iter().flat_map(|finding| &finding.ranking.inputs);
    for input in inputs.filter(|input| input.known != Known::Known) {
        // A vector that is missing leaves three inputs unknown; the severity stands for them.
        if !matches!(input.name, Name::Automatable | Name::TechnicalImpact) {
            *causes
                .entry((input.name, &*input.reason, input.known))
                .or_default() += 1;
        }
    }
    causes
}

/// A package with its findings, the most urgent first.
struct Package<'a> {
    subject: &'a Subject,
    findings: Vec<&'a Finding>,
    /// The version that closes all of them that can be closed.
    target: Option<&'a str>,
}

/// The version of each package that closes all of its findings that can be closed.
pub type Targets<'a> = BTreeMap<&'a Subject, &'a str>;

pub fn targets(findings: &[Finding]) -> Targets<'_> {
    let packages = packages(findings).into_iter();
    packages
        .filter_map(|package| Some((package.subject, package.target?)))
        .collect()
}

/// In the order of their most urgent findings.
fn packages(findings: &[Finding]) -> Vec<Package<'_>> {
    let mut places: BTreeMap<(&Subject, bool), usize> = BTreeMap::new();
    let mut packages: Vec<Package<'_>> = Vec::new();
    for finding in findings {
        let key = (&finding.package, finding.fixed.is_some());
        let at = *places.entry(key).or_insert_with(|| {
            packages.push(Package {
                subject: &finding.package,
                findings: Vec::new(),
                target: None,
            });
            packages.len() - 1
        });
        let package = &mut packages[at];
        package.findings.push(finding);
        let Some(fixed) = finding.fixed.as_deref() else {
            continue;
        };
        let order = order_of(&finding.package.ecosystem);
        let is_later = match (package.target, order) {
            (None, _) => true,
            (Some(target), Some(order)) => order.compare(fixed, target).is_some_and(|o| o.is_gt()),
            (Some(_), None) => false,
        };
        if is_later {
            package.target = Some(fixed);
        }
    }
    packages
}

fn rows_of(
    paper: &mut Paper<'_>,
    packages: &[&Package<'_>],
    view: &View,
    rows: usize,
) -> io::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    paper.blank()?;
    for package in packages.iter().take(rows) {
        row(paper, package, view)?;
    }
    let more = packages.len().saturating_sub(rows);
    if more > 0 {
        let findings: usize = packages[rows..]
            .iter()
            .map(|package| package.findings.len())
            .sum();
        let text = format!(
            "{} with {}",
            plural(more, "more package"),
            plural(findings, "finding")
        );
        paper.row(Role::Dim, "", &Text::new().say(Role::Dim, &text))?;
    }
    Ok(())
}

/// So many names stand in a list of them.
const NAMES: usize = 4;

/// `overdue`, `14 days`, `no date`, `no fix`.
pub(super) fn label(finding: &Finding, view: &View) -> (Role, String) {
    let Some(due) = finding.ranking.due() else {
        let text = if finding.fixed.is_some() {
            "no date"
        } else {
            "no fix"
        };
        return (Role::Dim, text.to_owned());
    };
    let days = (due.date - view.today).get_days();
    match days {
        ..0 => (Role::Critical, "overdue".to_owned()),
        0 => (Role::Critical, "today".to_owned()),
        1 => (Role::High, "1 day".to_owned()),
        2..=7 => (Role::High, format!("{days} days")),
        _ => (Role::Medium, format!("{days} days")),
    }
}

fn row(paper: &mut Paper<'_>, package: &Package<'_>, view: &View) -> io::Result<()> {
    let Some(worst) = package.findings.first() else {
        return Ok(());
    };
    let (role, label) = label(worst, view);
    let mut body = Text::new()
        .solid(Role::Strong, &package.subject.name)
        .gap(1)
        .solid(Role::Plain, &package.subject.version);
    if let Some(target) = package.target {
        let to = paper.sign(Sign::To);
        body = body
            .gap(1)
            .solid(Role::Dim, to)
            .gap(1)
            .solid(Role::Good, target);
    }
    paper.row_hanging(role, &label, LABEL + 2, &body)?;
    if let Some(place) = place_of(worst) {
        paper.indented(LABEL, &place)?;
    }
    let mut detail = Text::new().solid(Role::Plain, &worst.name);
    if !worst.about.is_empty() {
        detail = detail.say(Role::Dim, &format!(" ({})", first_of(&worst.about, NAMES)));
    }
    let more = package.findings.len() - 1;
    if more > 0 {
        // Beside a list of what an advisory is about, "more" has to say of what.
        let more = match worst.about.is_empty() {
            true => format!("{} more", number(more)),
            false => plural(more, "more finding"),
        };
        detail = detail.plain(&format!(" and {more}"));
    }
    let priority = worst.ranking.priority;
    detail = detail
        .plain("  ")
        .say(priority_role(priority), priority.as_str());
    detail = detail.say(Role::Dim, &format!("; {}", because(worst)));
    paper.indented(LABEL, &detail)?;
    if let Some(text) = why_open(worst) {
        paper.indented(LABEL, &Text::new().say(Role::Wary, &text))?;
    }
    if let Some(text) = only_in(worst) {
        paper.indented(LABEL, &Text::new().say(Role::Dim, &text))?;
    }
    if view.verbose {
        for finding in &package.findings {
            in_full(paper, finding, view)?;
        }
    }
    Ok(())
}

/// Where what did not come as a package lies: somebody else than the distribution mends it.
fn place_of(finding: &Finding) -> Option<Text> {
    let first = finding.evidence.first()?;
    if first.how == EvidenceKind::Database && finding.images.is_empty() {
        return None;
    }
    let mut text = Text::new()
        .solid(Role::Dim, &format!("{}:", finding.package.ecosystem))
        .gap(1)
        .whole(Role::Dim, &place(first));
    let more = finding.evidence.len() - 1;
    if more > 0 {
        text = text.say(Role::Dim, &format!(" and {more} more"));
    }
    if let Some(image) = finding.images.first() {
        text = text.say(Role::Dim, &format!(" in the image {image}"));
    }
    Some(text)
}

/// Which clock governs, or why none runs.
pub(super) fn because(finding: &Finding) -> String {
    let ranking = &finding.ranking;
    match ranking.due() {
        Some(due) => {
            let time = match due.clock {
                Clock::Bod2604 => ranking.timeline.as_str(),
                Clock::PciDss => "a month for critical ones",
                Clock::Team => "for this severity",
            };
            let from = if due.from_fix {
                "the fix of"
            } else {
                "publication on"
            };
            format!(
                "due {}, {}: {time} from {from} {}",
                due.date,
                due.clock.as_str(),
                due.from
            )
        }
        None if finding.fixed.is_none() => match &finding.urgency {
            Some(urgency) => format!("no fix yet; the distribution says {urgency}"),
            None => "no fix yet".to_owned(),
        },
        None if ranking.timeline == Timeline::OnUpgrade => "fix on system upgrade".to_owned(),
        None => "the feeds don't say when the fix came out".to_owned(),
    }
}

pub const fn priority_role(priority: Decision) -> Role {
    match priority {
        Decision::Immediate => Role::Critical,
        Decision::OutOfCycle => Role::High,
        Decision::Scheduled => Role::Medium,
        Decision::Defer => Role::Low,
    }
}

/// A finding with each input of its ranking.
fn in_full(paper: &mut Paper<'_>, finding: &Finding, view: &View) -> io::Result<()> {
    let (role, label) = label(finding, view);
    let priority = finding.ranking.priority;
    let mut body = Text::new()
        .solid(Role::Strong, &finding.name)
        .gap(2)
        .say(priority_role(priority), priority.as_str())
        .plain(&format!("; {}", because(finding)));
    if !finding.about.is_empty() {
        body = body.say(Role::Dim, &format!("; about {}", finding.about.join(", ")));
    }
    if !finding.also.is_empty() {
        body = body.say(Role::Dim, &format!("; {}", finding.also.join(", ")));
    }
    if let Some(until) = until(finding) {
        body = body.say(Role::Wary, &format!("; {until}"));
    }
    if let Some(only) = only_in(finding) {
        body = body.say(Role::Dim, &format!("; {only}"));
    }
    if finding.under_investigation {
        body = body.say(Role::Dim, "; its makers are still looking");
    }
    paper.indented(2, &Text::new().say(role, &label).gap(2).then(body))?;
    for input in &finding.ranking.inputs {
        let unknown = match input.known {
            Known::Known => "",
            Known::WorseBranch | Known::Usual => ", since unknown",
        };
        let said = Text::new()
            .solid(Role::Dim, input.name.as_str())
            .gap(INPUT.saturating_sub(input.name.as_str().len()))
            .plain(&format!("{}{unknown}", input.value))
            .say(Role::Dim, &format!(" ({}: {})", input.source, input.reason));
        paper.indented_hanging(4, 4 + INPUT, &said)?;
    }
    Ok(())
}

/// What was asked for by name.
fn asked(paper: &mut Paper<'_>, shown: &Shown<'_>, view: &View) -> io::Result<()> {
    for word in &shown.words {
        paper.blank()?;
        paper.line(
            &Text::new()
                .say(Role::Strong, &word.name)
                .plain(&match &*word.summary {
                    "" => String::new(),
                    summary => format!("  {summary}"),
                }),
        )?;
        for line in word
            .details
            .lines()
            .take(if view.verbose { usize::MAX } else { 12 })
        {
            paper.indented(2, &Text::new().say(Role::Dim, line))?;
        }
        let others = word.advisories.iter();
        let others: Vec<&str> = others
            .filter(|id| !id.eq_ignore_ascii_case(&word.name))
            .copied()
            .collect();
        if !others.is_empty() {
            let text = first_of(&others, NAMES);
            paper.row(Role::Dim, "named by", &Text::new().plain(&text))?;
        }
        if !word.spoken {
            let text = "no feed speaks of it: whether it is here is unknown";
            paper.row(Role::Wary, "unknown", &Text::new().plain(text))?;
        } else if word.verdicts.is_empty() {
            let unknown = shown.assessment.unknown.iter();
            let unspoken: Vec<&str> = unknown.filter_map(|one| one.unspoken.as_deref()).collect();
            let text = "no installed package is among those that it is about";
            let (role, label, text) = match unspoken.is_empty() {
                true => (Role::Good, "not here", text.to_owned()),
                false => {
                    let unspoken = first_of(&unspoken, NAMES);
                    let text = format!("{text}, and no feed speaks of {unspoken}");
                    (Role::Wary, "unknown", text)
                }
            };
            paper.row(role, label, &Text::new().plain(&text))?;
        }
        for (subject, verdict) in &word.verdicts {
            let dormant = shown.assessment.dormant.iter();
            let dormant = dormant.filter(|one| one.package == *subject);
            let found = shown.assessment.findings.iter();
            let is_finding = found
                .filter(|finding| finding.package == *subject)
                .any(|finding| finding.is_called(&word.name));
            let dormant = dormant.filter(|_| !is_finding);
            let kept = shown.kept_open(&word.name, subject);
            let (role, label, text) = match verdict {
                Verdict::Affected { .. } if let Some(open) = kept.and_then(fixed_and_open) => {
                    (Role::Bad, "open", open)
                }
                Verdict::Affected { .. } if let Some(one) = dormant.clone().next() => {
                    (Role::Dim, "dormant", sleeps(one))
                }
                Verdict::Affected { .. }
                    if let Some(warning) = warned(shown, &word.name, subject) =>
                {
                    let text = format!("{}; no vulnerability", warning.informs);
                    (Role::Dim, "warning", text)
                }
                Verdict::Affected { fixed: Some(fixed) } => {
                    (Role::Bad, "affected", format!("fixed in {fixed}"))
                }
                Verdict::Affected { fixed: None } => {
                    (Role::Bad, "affected", "there is no fix yet".to_owned())
                }
                Verdict::Fixed { since } => (Role::Good, "fixed", format!("since {since}")),
                Verdict::NotAffected {
                    justification,
                    impact,
                    source,
                } => {
                    let words = [*justification, *impact, *source];
                    let words: Vec<&str> = words.into_iter().filter(|w| !w.is_empty()).collect();
                    (Role::Good, "not here", words.join("; "))
                }
                Verdict::Unknown { why } => (Role::Wary, "unknown", why.clone()),
            };
            let by = word.by.get(subject);
            let record = subject.record().ecosystem;
            let by = match by {
                Some(by) => format!(" ({by})"),
                None if record != subject.ecosystem => format!(" (a backport, judged by {record})"),
                None => String::new(),
            };
            let text = format!("{} {}: {text}{by}", subject.name, subject.version);
            paper.row(role, label, &Text::new().plain(&text))?;
        }
        let findings = shown.assessment.findings.iter();
        for finding in findings.filter(|finding| finding.is_called(&word.name)) {
            in_full(paper, finding, view)?;
        }
    }
    waivers(paper, shown, view)
}

fn warned<'a>(shown: &'a Shown<'_>, name: &str, subject: &Subject) -> Option<&'a Warning> {
    let mut warnings = shown.assessment.warnings.iter();
    warnings.find(|one| one.package == *subject && one.name.eq_ignore_ascii_case(name))
}

/// Apart from the findings: what somebody answers for, and until when.
fn waivers(paper: &mut Paper<'_>, shown: &Shown<'_>, view: &View) -> io::Result<()> {
    let is_empty = shown.waived.is_empty() && shown.expired_waivers.is_empty();
    if is_empty && shown.idle_waivers.is_empty() {
        return Ok(());
    }
    paper.blank()?;
    let rows = if view.verbose { usize::MAX } else { ROWS };
    for Waived { finding, waiver } in shown.waived.iter().take(rows) {
        let name = format!("{} in {}", finding.name, finding.package.name);
        let said = format!(
            "until {}, by {}, \"{}\" (approved by {})",
            waiver.expires, waiver.owner, waiver.reason, waiver.approver
        );
        let body = Text::new()
            .solid(Role::Plain, &name)
            .gap(2)
            .say(Role::Dim, &said);
        paper.row(Role::Dim, "waived", &body)?;
    }
    let more = shown.waived.len().saturating_sub(rows);
    if more > 0 {
        paper.row(
            Role::Dim,
            "",
            &Text::new().say(Role::Dim, &format!("{} more", number(more))),
        )?;
    }
    for Expired { waiver, findings } in &shown.expired_waivers {
        let said = format!(
            "waiver ended on {}, by {}, \"{}\"; {}",
            waiver.expires,
            waiver.owner,
            waiver.reason,
            match findings {
                0 => "nothing here has it any more".to_owned(),
                1 => "1 finding counts again".to_owned(),
                many => format!("{} findings count again", number(*many)),
            }
        );
        waiver_row(paper, "expired", waiver, &said)?;
    }
    for waiver in &shown.idle_waivers {
        waiver_row(paper, "idle", waiver, "its waiver covers nothing here")?;
    }
    Ok(())
}

fn waiver_row(
    paper: &mut Paper<'_>,
    label: &str,
    waiver: &VulnerabilityWaiver,
    said: &str,
) -> io::Result<()> {
    let name = match &waiver.package {
        Some(package) => format!("{} in {package}", waiver.vulnerability),
        None => waiver.vulnerability.clone(),
    };
    let mut body = Text::new().solid(Role::Strong, &name).gap(2).plain(said);
    if let Some(at) = &waiver.declared_at {
        body = body.gap(2).say(Role::Dim, &at.to_string());
    }
    paper.row(Role::Wary, label, &body)
}

/// Kernels that are installed and do not run: no findings, and said all the same.
fn dormant(paper: &mut Paper<'_>, dormant: &[Dormant]) -> io::Result<()> {
    if dormant.is_empty() {
        return Ok(());
    }
    paper.blank()?;
    for one in dormant {
        let text = format!(
            "{} {}: {}; {}",
            one.package.name,
            one.package.version,
            plural(one.names.len(), "vulnerability"),
            sleeps(one)
        );
        let label = if one.has_no_code {
            "no code"
        } else {
            "dormant"
        };
        paper.row_hanging(Role::Dim, label, LABEL + 2, &Text::new().plain(&text))?;
        if one.runs.is_some() {
            let names = one.components.join(" ");
            let text = format!("to be rid of it: sudo apt-get remove {names}");
            paper.indented(LABEL, &Text::new().say(Role::Dim, &text))?;
        }
    }
    Ok(())
}

/// What is known of packages and is no vulnerability.
fn warnings(paper: &mut Paper<'_>, warnings: &[Warning], view: &View) -> io::Result<()> {
    if warnings.is_empty() {
        return Ok(());
    }
    paper.blank()?;
    let rows = if view.verbose { usize::MAX } else { ROWS / 2 };
    for one in warnings.iter().take(rows) {
        let text = format!(
            "{} {}: {} ({}); no vulnerability",
            one.package.name, one.package.version, one.informs, one.name
        );
        paper.row_hanging(Role::Dim, "warning", LABEL + 2, &Text::new().plain(&text))?;
    }
    let more = warnings.len().saturating_sub(rows);
    if more > 0 {
        let text = format!("{} more; --verbose shows them", number(more));
        paper.row(Role::Dim, "", &Text::new().say(Role::Dim, &text))?;
    }
    Ok(())
}

/// The packages of a module that a finding is in, where it is not in all of it.
pub fn only_in(finding: &Finding) -> Option<String> {
    (!finding.packages.is_empty()).then(|| {
        format!(
            "only in {}; what uses none of these is not affected",
            first_of(&finding.packages, NAMES)
        )
    })
}

/// Why it does not run.
pub fn sleeps(dormant: &Dormant) -> String {
    if dormant.has_no_code {
        return "headers and the like, without any of the kernel's code".to_owned();
    }
    match &dormant.runs {
        Some(version) => format!("{version} runs, and this one is only there to fall back on"),
        None => "a container runs on the kernel of its host".to_owned(),
    }
}

fn dismissed(paper: &mut Paper<'_>, assessment: &Assessment, view: &View) -> io::Result<()> {
    let dismissed = &assessment.not_affected;
    if dismissed.is_empty() {
        return Ok(());
    }
    paper.blank()?;
    let text = format!("{} by VEX statements", number(dismissed.len()));
    paper.row(Role::Good, "not here", &Text::new().plain(&text))?;
    for one in dismissed
        .iter()
        .take(if view.verbose { usize::MAX } else { 3 })
    {
        let words = [one.justification.as_str(), &one.impact, &one.source];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let text = format!("{} in {}: {}", one.name, one.package.name, words.join("; "));
        paper.indented(LABEL + 2, &Text::new().say(Role::Dim, &text))?;
    }
    Ok(())
}

fn steps(paper: &mut Paper<'_>, shown: &Shown<'_>, view: &View) -> io::Result<()> {
    let found = &shown.assessment;
    let mut steps = Vec::new();
    if found.feeds.is_empty() {
        steps.push(NextStep::new(
            "steadfast feed import FILE",
            "brings the advisories",
        ));
    }
    let of = &view.flags;
    if found.findings.iter().any(is_unfinished) {
        steps.push(NextStep::new(
            "steadfast recover",
            "ends what was interrupted, unless it is at work",
        ));
    }
    if let Some(worst) = found.findings.first() {
        steps.push(NextStep::new(
            format!("steadfast vulns {}{of}", worst.name),
            "shows why",
        ));
        if !view.verbose {
            steps.push(NextStep::new(
                format!("steadfast vulns --verbose{of}"),
                "shows all",
            ));
        }
    }
    next_steps(paper, &steps)
}
