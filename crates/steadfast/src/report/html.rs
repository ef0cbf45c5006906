//! The report as one page that loads nothing: for whoever answers for the host. The
//! template and its style sheet are in `templates/`; here is what they are given.

use askama::Template;
use model::finding::{AppliedWaiver, Drifted};
use model::{Finding, Outcome, Risk, Severity, Waiver};
use plan::Report;

/// Differences of one finding that are listed; more are counted.
const DIFFERENCES: usize = 200;
/// A longer value is cut; the JSON report has all of it.
const LONGEST_VALUE: usize = 2000;

/// The whole page.
pub fn render(report: &Report) -> String {
    Page::of(report)
        .render()
        .expect("the template writes plain values to a string, which cannot fail")
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    host: String,
    release: String,
    kernel: String,
    how: String,
    /// For a machine, and for a reader; both UTC.
    generated: String,
    generated_text: String,
    took: String,
    version: String,
    found: String,
    baselines: Vec<Baseline>,
    /// The roles with the number of their wants; empty for none.
    roles: String,
    unproven: String,
    /// Changes that wait to be confirmed, or that need a person.
    unended: Vec<String>,
    other_roots: String,
    /// Does what could not be checked explain much of the score?
    mostly_unchecked: bool,
    score: Option<u32>,
    without_waivers: Option<u32>,
    /// What the score is made of, by weight.
    parts: Vec<Part>,
    counts: plan::Counts,
    unchecked_count: usize,
    severities: Vec<Tally>,
    areas: Vec<Tally>,
    failing: Vec<Card>,
    waived: Vec<WaiverRow>,
    expired: Vec<WaiverRow>,
    unchecked: Vec<Cause>,
    not_applicable: Vec<Cause>,
    passing: Vec<Cause>,
}

struct Baseline {
    name: String,
    rules: usize,
    proven: bool,
}

/// A share of a bar, in hundredths of its length.
struct Part {
    class: &'static str,
    from: String,
    width: String,
}

/// How a group of rules did.
struct Tally {
    name: String,
    class: String,
    fail: usize,
    unchecked: usize,
    judged: usize,
    parts: Vec<Part>,
}

/// A failing finding, with its evidence.
struct Card {
    id: String,
    title: String,
    why: String,
    area: String,
    area_class: String,
    baseline: String,
    severity: &'static str,
    /// The first difference, in a line.
    gist: String,
    differences: Vec<Difference>,
    more: usize,
    notes: Vec<String>,
    by_hand: Vec<String>,
    expired: Option<WaiverRow>,
    fix: Option<String>,
    risk: String,
}

/// What was seen and wanted, in all the places where it was the same.
struct Difference {
    observed: String,
    wanted: String,
    places: Vec<Place>,
}

struct Place {
    /// File and line; where there is none, the resource.
    at: String,
    /// Which resource is meant, where the place alone does not tell.
    resource: String,
}

struct WaiverRow {
    rule: String,
    title: String,
    until: String,
    owner: String,
    approver: String,
    verified: bool,
    reason: String,
    declared: String,
}

/// Rules that share a reason, or an area.
struct Cause {
    why: String,
    is_error: bool,
    rules: Vec<RuleLine>,
}

struct RuleLine {
    id: String,
    title: String,
    severity: &'static str,
    note: String,
}

/// Harmless to show, and bounded.
fn clean(text: &str) -> String {
    let text = model::printable(text.as_bytes());
    match text.char_indices().nth(LONGEST_VALUE) {
        None => text,
        Some((at, _)) => format!(
            "{}… ({} more characters)",
            &text[..at],
            text[at..].chars().count()
        ),
    }
}

impl Page {
    fn of(report: &Report) -> Self {
        let host = &report.host;
        let how = match &host.root {
            Some(root) => format!("the tree at {root}, offline"),
            None if host.as_root => "audited as root".to_owned(),
            None => "not audited as root".to_owned(),
        };
        let of = |outcome: Outcome| {
            report
                .findings
                .iter()
                .filter(move |finding| finding.outcome == outcome)
        };
        let areas = areas(&report.findings);
        let area_class = |area: &str| {
            let at = areas.iter().position(|tally| tally.name == clean(area));
            at.map_or_else(String::new, |at| areas[at].class.clone())
        };
        Self {
            host: clean(&host.hostname),
            release: clean(&host.release),
            kernel: clean(&host.kernel),
            how: clean(&how),
            generated: report.generated.to_string(),
            generated_text: report
                .generated
                .strftime("%-d %B %Y, %H:%M UTC")
                .to_string(),
            took: duration(report.took_ms),
            version: clean(&report.steadfast),
            found: clean(&host.found.join(", ")),
            baselines: report
                .baselines
                .iter()
                .map(|baseline| Baseline {
                    name: clean(&baseline.name),
                    rules: baseline.rules,
                    proven: baseline.proven,
                })
                .collect(),
            roles: report
                .roles
                .iter()
                .map(|role| format!("role {} ({} wants)", clean(&role.name), role.wants))
                .collect::<Vec<_>>()
                .join(", "),
            unproven: report
                .baselines
                .iter()
                .filter(|baseline| !baseline.proven)
                .map(|baseline| clean(&baseline.name))
                .collect::<Vec<_>>()
                .join(", "),
            unended: report.unended.iter().map(|one| clean(&one.says)).collect(),
            other_roots: match report.other_roots.as_slice() {
                [] => String::new(),
                roots => clean(&super::other_roots_text(roots)),
            },
            mostly_unchecked: super::mostly_unchecked(&report.counts),
            score: report.score.with_waivers,
            without_waivers: report
                .score
                .without_waivers
                .filter(|without| report.score.with_waivers != Some(*without)),
            parts: parts(&weights(&report.findings)),
            counts: report.counts,
            unchecked_count: report.counts.unknown + report.counts.error,
            severities: Severity::ALL
                .into_iter()
                .map(|severity| {
                    let of_it = report
                        .findings
                        .iter()
                        .filter(|finding| finding.rule.severity == severity);
                    tally(
                        severity.as_str().to_owned(),
                        severity.as_str().to_owned(),
                        of_it,
                    )
                })
                .collect(),
            failing: of(Outcome::Fail)
                .map(|finding| card(finding, area_class(&finding.rule.area)))
                .collect(),
            waived: of(Outcome::Waived)
                .filter_map(|finding| {
                    let applied = finding.waiver.as_ref()?;
                    Some(waiver_row(&applied.waiver, Some(applied), report))
                })
                .collect(),
            expired: report
                .expired_waivers
                .iter()
                .map(|waiver| waiver_row(waiver, None, report))
                .collect(),
            unchecked: causes(of(Outcome::Unknown).chain(of(Outcome::Error)), |finding| {
                finding.reason.as_deref().unwrap_or("no reason was given")
            }),
            not_applicable: causes(of(Outcome::NotApplicable), |finding| {
                finding.reason.as_deref().unwrap_or("no reason was given")
            }),
            passing: causes(of(Outcome::Pass).chain(of(Outcome::Fixed)), |finding| {
                &finding.rule.area
            }),
            areas,
        }
    }
}

/// Passed, failed, unchecked: in the score's weights, or as numbers of rules.
type Shares = [u32; 3];

fn place(outcome: Outcome) -> Option<usize> {
    match outcome {
        Outcome::Pass | Outcome::Fixed => Some(0),
        Outcome::Fail => Some(1),
        Outcome::Unknown | Outcome::Error => Some(2),
        Outcome::NotApplicable | Outcome::Waived => None,
    }
}

fn weights<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Shares {
    let mut shares = [0; 3];
    for finding in findings {
        if let Some(at) = place(finding.outcome) {
            shares[at] += finding.rule.severity.weight();
        }
    }
    shares
}

fn parts(shares: &Shares) -> Vec<Part> {
    let total: u32 = shares.iter().sum();
    let mut from = 0;
    let mut parts = Vec::new();
    for (class, share) in ["pass", "fail", "unknown"].into_iter().zip(shares) {
        if *share > 0 {
            let hundredths = |n: u32| format!("{:.2}", f64::from(n) * 100.0 / f64::from(total));
            parts.push(Part {
                class,
                from: hundredths(from),
                width: hundredths(*share),
            });
        }
        from += share;
    }
    parts
}

fn tally<'a>(
    name: String,
    class: String,
    findings: impl Iterator<Item = &'a Finding> + Clone,
) -> Tally {
    let mut numbers: Shares = [0; 3];
    for at in findings
        .clone()
        .filter_map(|finding| place(finding.outcome))
    {
        numbers[at] += 1;
    }
    let [pass, fail, unchecked] = numbers.map(|number| number as usize);
    Tally {
        name,
        class,
        fail,
        unchecked,
        judged: pass + fail + unchecked,
        parts: parts(&numbers),
    }
}

/// By area, the one with the heaviest failures first.
fn areas(findings: &[Finding]) -> Vec<Tally> {
    let mut names: Vec<&str> = findings.iter().map(|f| f.rule.area.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut areas: Vec<(u32, &str)> = names
        .into_iter()
        .map(|name| {
            let of_it = findings.iter().filter(|finding| finding.rule.area == name);
            (weights(of_it)[1], name)
        })
        .collect();
    areas.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    areas
        .into_iter()
        .enumerate()
        .map(|(at, (_, name))| {
            let of_it = findings.iter().filter(|finding| finding.rule.area == name);
            tally(clean(name), format!("area-{at}"), of_it)
        })
        .filter(|tally| tally.judged > 0)
        .collect()
}

fn card(finding: &Finding, area_class: String) -> Card {
    let rule = &finding.rule;
    let gist = match &finding.drifts[..] {
        [] => String::new(),
        [one] => state(one),
        [first, ..] => {
            let same = finding
                .drifts
                .iter()
                .all(|d| (&d.observed, &d.wanted) == (&first.observed, &first.wanted));
            let number = finding.drifts.len();
            if same {
                format!("{}, in {number} places", state(first))
            } else {
                format!("{number} differences")
            }
        }
    };
    let distinct = |pick: fn(&Drifted) -> Option<&String>| {
        let mut all: Vec<String> = Vec::new();
        for text in finding.drifts.iter().filter_map(pick) {
            let text = clean(text);
            if !all.contains(&text) && all.len() < DIFFERENCES {
                all.push(text);
            }
        }
        all
    };
    Card {
        id: rule.id.to_string(),
        title: clean(&rule.title),
        why: clean(&rule.why),
        area: clean(&rule.area),
        area_class,
        baseline: rule.baseline.to_string(),
        severity: rule.severity.as_str(),
        gist: clean(&gist),
        differences: differences(&finding.drifts),
        more: finding.drifts.len().saturating_sub(DIFFERENCES),
        notes: distinct(|drift| drift.note.as_ref()),
        by_hand: distinct(|drift| drift.by_hand.as_ref()),
        expired: finding
            .waiver
            .as_ref()
            .filter(|applied| applied.expired)
            .map(|applied| row(&applied.waiver, Some(applied), Some(finding))),
        fix: finding
            .fixable
            .then(|| format!("sudo steadfast plan --rule {}", rule.id)),
        risk: match rule.risk {
            Risk::None => String::new(),
            risk => risk.to_string(),
        },
    }
}

fn differences(drifts: &[Drifted]) -> Vec<Difference> {
    let several = drifts.len() > 1;
    let mut all: Vec<Difference> = Vec::new();
    for drift in drifts.iter().take(DIFFERENCES) {
        let (observed, wanted) = (clean(&drift.observed), clean(&drift.wanted));
        let resource = clean(&drift.resource);
        let mut places: Vec<Place> = drift
            .at
            .iter()
            .take(DIFFERENCES)
            .map(|line| Place {
                at: line.to_string(),
                resource: String::new(),
            })
            .collect();
        match places.first_mut() {
            None => places.push(Place {
                at: resource,
                resource: String::new(),
            }),
            Some(first) if several && !resource.ends_with(&first.at) => first.resource = resource,
            Some(_) => {}
        }
        match all
            .iter_mut()
            .find(|other| other.observed == observed && other.wanted == wanted)
        {
            Some(same) => same.places.extend(places),
            None => all.push(Difference {
                observed,
                wanted,
                places,
            }),
        }
    }
    all
}

fn state(drift: &Drifted) -> String {
    format!("found {}, wanted {}", drift.observed, drift.wanted)
}

fn waiver_row(waiver: &Waiver, applied: Option<&AppliedWaiver>, report: &Report) -> WaiverRow {
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.rule.id == waiver.rule);
    row(waiver, applied, finding)
}

fn row(waiver: &Waiver, applied: Option<&AppliedWaiver>, finding: Option<&Finding>) -> WaiverRow {
    WaiverRow {
        rule: waiver.rule.to_string(),
        title: finding.map_or_else(String::new, |finding| clean(&finding.rule.title)),
        until: waiver.expires.to_string(),
        owner: clean(&waiver.owner),
        approver: clean(&waiver.approver),
        verified: applied.is_some_and(|applied| applied.approver_verified),
        reason: clean(&waiver.reason),
        declared: waiver
            .declared_at
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
    }
}

/// Grouped by what `why` says, the largest group first.
fn causes<'a>(
    findings: impl Iterator<Item = &'a Finding>,
    why: impl Fn(&'a Finding) -> &'a str,
) -> Vec<Cause> {
    let mut causes: Vec<Cause> = Vec::new();
    for finding in findings {
        let line = RuleLine {
            id: finding.rule.id.to_string(),
            title: clean(&finding.rule.title),
            severity: finding.rule.severity.as_str(),
            note: if finding.outcome == Outcome::Fixed {
                "fixed".to_owned()
            } else {
                String::new()
            },
        };
        let why = clean(why(finding));
        let is_error = finding.outcome == Outcome::Error;
        match causes
            .iter_mut()
            .find(|cause| cause.why == why && cause.is_error == is_error)
        {
            Some(cause) => cause.rules.push(line),
            None => causes.push(Cause {
                why,
                is_error,
                rules: vec![line],
            }),
        }
    }
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.rules.len()));
    causes
}

fn duration(ms: u64) -> String {
    if ms < 1000 {
        format!("{ms} ms")
    } else {
        format!("{}.{} s", ms / 1000, ms % 1000 / 100)
    }
}
