//! The report on a terminal: what fails, by weight, each with what is, what was wanted
//! and where; the long tail as one line that says how to see it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use model::finding::{AppliedWaiver, Drifted};
use model::{Finding, Outcome, Severity, SourceLine, Waiver};
use plan::{Counts, Report, Score};

use super::{NextStep, View};
use crate::layout::{LABEL, Paper, Text};
use crate::style::{Role, Sign, Style};

/// So many places of one finding are shown; the rest are counted.
const PLACES: usize = 4;
/// So many rule ids are named where a group of rules shares a cause.
const NAMES: usize = 4;
/// The column for rule ids is at most this wide; a longer id has its line to itself.
const ID_COLUMN: usize = 24;

/// Writes the whole report.
pub fn write(out: &mut dyn Write, report: &Report, view: &View, style: &Style) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    header(&mut paper, report)?;
    paper.blank()?;
    score(&mut paper, report)?;
    failing(&mut paper, report, view)?;
    exceptions(&mut paper, report)?;
    next_steps(&mut paper, &view.next)
}

fn header(paper: &mut Paper<'_>, report: &Report) -> io::Result<()> {
    paper.line(
        &Text::new()
            .say(Role::Strong, &format!("steadfast {}", report.steadfast))
            .gap(3)
            .say(Role::Dim, "reads only: changes nothing, sends nothing"),
    )?;
    paper.blank()?;
    let host = &report.host;
    let how = match &host.root {
        Some(root) => format!("the tree at {root}, offline"),
        None if host.as_root => "as root".to_owned(),
        None => "not as root".to_owned(),
    };
    let about = format!("{}, kernel {}, {how}", host.release, host.kernel);
    // The name is the best label there is, where it fits.
    if host.hostname.len() + 2 <= LABEL {
        paper.row(
            Role::Strong,
            &model::printable(host.hostname.as_bytes()),
            &Text::new().plain(&about),
        )?;
    } else {
        let body = Text::new()
            .solid(Role::Strong, &host.hostname)
            .solid(Role::Plain, ",")
            .gap(1)
            .plain(&about);
        paper.row(Role::Dim, "host", &body)?;
    }
    if !host.found.is_empty() {
        paper.row(Role::Dim, "found", &list(&host.found))?;
    }
    super::other_roots(paper, &report.other_roots, "audit")?;
    let using: Vec<String> = report
        .baselines
        .iter()
        .map(|baseline| format!("{} ({})", baseline.name, count(baseline.rules, "rule")))
        .chain(
            report
                .roles
                .iter()
                .map(|role| format!("role {} ({})", role.name, count(role.wants, "want"))),
        )
        .collect();
    if !using.is_empty() {
        paper.row(Role::Dim, "using", &list(&using))?;
    }
    let unproven: Vec<&str> = report
        .baselines
        .iter()
        .filter(|baseline| !baseline.proven)
        .map(|baseline| baseline.name.as_str())
        .collect();
    if !unproven.is_empty() {
        let which = if unproven.len() == report.baselines.len() {
            "these rules were".to_owned()
        } else {
            format!("{} was", unproven.join(", "))
        };
        let text = format!(
            "{which} not proven on this release: what applies is audited, nothing is fixed"
        );
        paper.row(Role::Wary, "note", &Text::new().plain(&text))?;
    }
    Ok(())
}

/// `a, b, c`, broken only between the items where that is possible.
fn list(items: &[String]) -> Text {
    let mut text = Text::new();
    for (at, item) in items.iter().enumerate() {
        let comma = if at + 1 < items.len() { "," } else { "" };
        text = text.solid(Role::Plain, &format!("{item}{comma}"));
        if at + 1 < items.len() {
            text = text.gap(1);
        }
    }
    text
}

fn score(paper: &mut Paper<'_>, report: &Report) -> io::Result<()> {
    let score = score_text(&report.score);
    let counts = counts_text(&report.counts);
    let gap = paper
        .style()
        .width
        .saturating_sub(score.width() + counts.width());
    // Side by side where there is room, with the counts to the right.
    if gap >= 3 {
        paper.line(&score.gap(gap.min(8)).then(counts))?;
    } else {
        paper.line(&score)?;
        paper.line(&counts)?;
    }
    let unchecked = report.counts.unknown + report.counts.error;
    if super::mostly_unchecked(&report.counts) {
        let text = format!(
            "{} could not be checked, and what could not be checked does not count as passed",
            count(unchecked, "rule")
        );
        paper.line(&Text::new().say(Role::Wary, &text))?;
    }
    Ok(())
}

fn score_text(score: &Score) -> Text {
    let Some(with) = score.with_waivers else {
        return Text::new().say(Role::Strong, "No score: nothing could be judged");
    };
    let text = Text::new().say(Role::Strong, &format!("Score {with} of 100"));
    match score.without_waivers {
        Some(without) if without != with => {
            text.gap(1).plain(&format!("({without} without waivers)"))
        }
        _ => text,
    }
}

fn counts_text(counts: &Counts) -> Text {
    let all = [
        (counts.pass, "pass", Role::Good),
        (counts.fail, "fail", Role::Bad),
        (counts.fixed, "fixed", Role::Good),
        (counts.waived, "waived", Role::Plain),
        (counts.unknown, "unknown", Role::Wary),
        (
            counts.error,
            if counts.error == 1 { "error" } else { "errors" },
            Role::Wary,
        ),
        (
            counts.not_applicable,
            if counts.not_applicable == 1 {
                "does not apply"
            } else {
                "do not apply"
            },
            Role::Dim,
        ),
    ];
    let mut text = Text::new();
    for (number, what, role) in all {
        let always = matches!(what, "pass" | "fail");
        if number == 0 && !always {
            continue;
        }
        if !text.is_empty() {
            text = text.gap(3);
        }
        let role = if number == 0 { Role::Plain } else { role };
        text = text.solid(role, &format!("{number} {what}"));
    }
    text
}

fn failing(paper: &mut Paper<'_>, report: &Report, view: &View) -> io::Result<()> {
    let least = view.least.unwrap_or(Severity::High);
    let shown: Vec<&Finding> = report.failing(least).collect();
    paper.blank()?;
    if report.counts.fail == 0 {
        let unclear = report.counts.unknown + report.counts.error;
        let text = match (report.counts.pass, unclear) {
            (0, 0) => "No rule applies to this host.".to_owned(),
            (_, 0) => "Everything that applies is as wanted.".to_owned(),
            (_, n) => format!(
                "No rule fails, but {} could not be checked.",
                count(n, "rule")
            ),
        };
        return paper.line(&Text::new().plain(&text));
    }
    let id_column = shown
        .iter()
        .map(|finding| finding.rule.id.as_str().len())
        .filter(|width| *width <= ID_COLUMN)
        .max()
        .unwrap_or(20);
    for finding in &shown {
        heading(paper, finding, id_column)?;
        drifts(paper, &finding.drifts, id_column)?;
        if let Some(applied) = finding.waiver.as_ref().filter(|waiver| waiver.expired) {
            let text = format!(
                "its waiver ended on {} (by {}, \"{}\")",
                applied.waiver.expires, applied.waiver.owner, applied.waiver.reason
            );
            paper.indented(LABEL, &Text::new().say(Role::Wary, &text))?;
        }
    }
    for severity in Severity::ALL
        .into_iter()
        .filter(|severity| *severity < least)
    {
        let number = report
            .failing(severity)
            .filter(|finding| finding.rule.severity == severity)
            .count();
        if number == 0 {
            continue;
        }
        let what = if shown.is_empty() {
            format!("{number} fail{}", if number == 1 { "s" } else { "" })
        } else {
            format!("{number} more")
        };
        let gap = (id_column + 2).saturating_sub(what.len()).max(2);
        let command = format!("{} --severity {severity}", view.command);
        let body = Text::new()
            .plain(&what)
            .gap(gap)
            .solid(Role::Command, &command);
        paper.row(severity.into(), severity.as_str(), &body)?;
    }
    Ok(())
}

fn heading(paper: &mut Paper<'_>, finding: &Finding, id_column: usize) -> io::Result<()> {
    let rule = &finding.rule;
    let id = rule.id.as_str();
    let label = rule.severity.as_str();
    let body = Text::new()
        .solid(Role::Strong, id)
        .gap(id_column.saturating_sub(id.len()) + 2)
        .plain(&rule.title);
    let title_column = LABEL + id_column + 2;
    // A title of several lines stays in its column while that leaves room to read.
    let indent = if id.len() <= id_column && title_column + 30 <= paper.style().width {
        title_column
    } else {
        LABEL
    };
    paper.row_hanging(rule.severity.into(), label, indent, &body)
}

/// What is, what was wanted, and where. Drifts that say the same are said once.
fn drifts(paper: &mut Paper<'_>, drifts: &[Drifted], id_column: usize) -> io::Result<()> {
    let mut groups: Vec<Vec<&Drifted>> = Vec::new();
    for drift in drifts {
        let same = groups.iter_mut().find(|group| {
            let first = group[0];
            (&first.observed, &first.wanted, &first.note, &first.by_hand)
                == (&drift.observed, &drift.wanted, &drift.note, &drift.by_hand)
        });
        match same {
            Some(group) => group.push(drift),
            None => groups.push(vec![drift]),
        }
    }
    let several = drifts
        .iter()
        .any(|drift| drift.resource != drifts[0].resource);
    for group in groups.iter().take(PLACES) {
        let first = group[0];
        let mut state = Text::new();
        // With several things in one rule, each says which it is.
        let named = several && group.len() == 1 && !first.at.is_empty();
        if named {
            state = state.plain(&first.resource).solid(Role::Plain, ":").gap(1);
        }
        state = state
            .value(&format!("found {},", first.observed))
            .gap(1)
            .value(&format!("wanted {}", first.wanted));
        let mut places = group.iter().flat_map(|drift| places(drift));
        if group.len() == 1 {
            one_place(paper, state, places.by_ref().collect(), id_column)?;
        } else {
            let all: Vec<String> = places.collect();
            let number = format!("in {} places", all.len());
            paper.indented(LABEL, &state.solid(Role::Plain, ":").gap(1).plain(&number))?;
            for place in all.iter().take(PLACES) {
                paper.indented(LABEL + 2, &Text::new().solid(Role::Dim, place))?;
            }
            more(paper, LABEL + 2, all.len().saturating_sub(PLACES), "place")?;
        }
        if let Some(note) = &first.note {
            let text = Text::new()
                .solid(Role::Dim, "(")
                .say(Role::Dim, note)
                .solid(Role::Dim, ")");
            paper.indented(LABEL, &text)?;
        }
        if let Some(by_hand) = &first.by_hand {
            let text = Text::new().say(Role::Wary, "by hand: ").plain(by_hand);
            paper.indented(LABEL, &text)?;
        }
    }
    let left: usize = groups.iter().skip(PLACES).map(Vec::len).sum();
    more(paper, LABEL, left, "difference")
}

/// Where a drift comes from; a program's built-in default has no place, and then its
/// resource says what is meant.
fn places(drift: &Drifted) -> Vec<String> {
    if drift.at.is_empty() {
        return vec![model::printable(drift.resource.as_bytes())];
    }
    drift.at.iter().map(SourceLine::to_string).collect()
}

fn one_place(
    paper: &mut Paper<'_>,
    state: Text,
    places: Vec<String>,
    id_column: usize,
) -> io::Result<()> {
    let Some((place, others)) = places.split_first() else {
        return paper.indented(LABEL, &state);
    };
    // The place has a column of its own where it fits, and its own line where it does not.
    let gap = (id_column + 2).saturating_sub(state.width()).max(3);
    let place_width = Text::new().solid(Role::Dim, place).width();
    if LABEL + state.width() + gap + place_width <= paper.style().width {
        paper.indented(LABEL, &state.gap(gap).solid(Role::Dim, place))?;
    } else {
        paper.indented(LABEL, &state)?;
        paper.indented(LABEL + 2, &Text::new().solid(Role::Dim, place))?;
    }
    for other in others.iter().take(PLACES) {
        paper.indented(
            LABEL + 2,
            &Text::new().say(Role::Dim, &format!("and {other}")),
        )?;
    }
    more(
        paper,
        LABEL + 2,
        others.len().saturating_sub(PLACES),
        "place",
    )
}

fn more(paper: &mut Paper<'_>, indent: usize, number: usize, what: &str) -> io::Result<()> {
    if number == 0 {
        return Ok(());
    }
    let text = format!(
        "{} {number} more {}",
        paper.sign(Sign::More),
        plural(number, what)
    );
    let text = format!("{text}, listed in the HTML and JSON reports");
    paper.indented(indent, &Text::new().say(Role::Dim, &text))
}

fn exceptions(paper: &mut Paper<'_>, report: &Report) -> io::Result<()> {
    let waived: Vec<&Finding> = report
        .findings
        .iter()
        .filter(|finding| finding.outcome == Outcome::Waived)
        .collect();
    if !waived.is_empty() || !report.expired_waivers.is_empty() {
        paper.blank()?;
    }
    for finding in waived {
        let mut body = Text::new()
            .solid(Role::Strong, finding.rule.id.as_str())
            .gap(2);
        if let Some(applied) = &finding.waiver {
            body = body.then(waiver_text(applied));
        }
        paper.row(Role::Plain, "waived", &body)?;
    }
    for waiver in &report.expired_waivers {
        paper.row(Role::Wary, "expired", &expired_text(waiver))?;
    }
    if report.counts.unknown + report.counts.error > 0 {
        paper.blank()?;
    }
    for (outcome, label) in [(Outcome::Unknown, "unknown"), (Outcome::Error, "error")] {
        unchecked(paper, report, outcome, label)?;
    }
    Ok(())
}

fn waiver_text(applied: &AppliedWaiver) -> Text {
    let waiver = &applied.waiver;
    let checked = if applied.approver_verified {
        ""
    } else {
        ", unverified"
    };
    Text::new().plain(&format!(
        "until {}, by {}, \"{}\" (approved by {}{checked})",
        waiver.expires, waiver.owner, waiver.reason, waiver.approver
    ))
}

fn expired_text(waiver: &Waiver) -> Text {
    let mut text = Text::new()
        .solid(Role::Strong, waiver.rule.as_str())
        .gap(2)
        .plain(&format!(
            "waiver ended on {}, by {}, \"{}\"",
            waiver.expires, waiver.owner, waiver.reason
        ));
    if let Some(at) = &waiver.declared_at {
        text = text.gap(2).solid(Role::Dim, &at.to_string());
    }
    text
}

/// What could not be told, said once per cause.
fn unchecked(
    paper: &mut Paper<'_>,
    report: &Report,
    outcome: Outcome,
    label: &str,
) -> io::Result<()> {
    let mut causes: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in report
        .findings
        .iter()
        .filter(|finding| finding.outcome == outcome)
    {
        let cause = finding.reason.as_deref().unwrap_or("no reason was given");
        causes.entry(cause).or_default().push(finding);
    }
    let mut causes: Vec<_> = causes.into_iter().collect();
    // The cause that hides most comes first.
    causes.sort_by_key(|(_, findings)| std::cmp::Reverse(findings.len()));
    for (cause, findings) in causes {
        if let [finding] = findings[..] {
            let body = Text::new()
                .solid(Role::Strong, finding.rule.id.as_str())
                .gap(2)
                .plain(cause);
            paper.row(Role::Wary, label, &body)?;
            continue;
        }
        let number = findings.len();
        let said = match cause.strip_prefix("needs ") {
            Some(rest) => format!("{number} rules need {rest}"),
            None => format!("{number} rules: {cause}"),
        };
        paper.row(Role::Wary, label, &Text::new().plain(&said))?;
        let mut names: Vec<String> = findings
            .iter()
            .take(NAMES)
            .map(|finding| finding.rule.id.to_string())
            .collect();
        if number > NAMES {
            names.push(format!("and {} more", number - NAMES));
        }
        let names = Text::new().say(Role::Dim, &names.join(", ").replace(", and", " and"));
        paper.indented(LABEL, &names)?;
    }
    Ok(())
}

/// The commands to copy, under each other.
pub(crate) fn next_steps(paper: &mut Paper<'_>, steps: &[NextStep]) -> io::Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    paper.blank()?;
    let widest = steps
        .iter()
        .map(|step| step.command.len())
        .max()
        .unwrap_or(0);
    for (at, step) in steps.iter().enumerate() {
        let label = if at == 0 { "next" } else { "" };
        let end = paper.command(label, &step.command)?;
        paper.beside(end, LABEL + widest + 3, &step.note)?;
    }
    Ok(())
}

pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {}", plural(number, what))
}

/// The noun for this many: regular ones only, and they are all that is counted here.
pub(crate) fn plural(number: usize, what: &str) -> String {
    if number == 1 {
        what.to_owned()
    } else {
        format!("{what}s")
    }
}
