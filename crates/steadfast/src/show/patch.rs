//! Shows what an upgrade does to the findings.

use std::collections::BTreeMap;
use std::io::{self, Write};

use advisory::assess::Finding;
use advisory::rank::Decision;
use jiff::civil::Date;

use super::feeds::number;
use super::vulns::{plural, priority_role, unknown_text};
use crate::assessing::Effects;
use crate::layout::{LABEL, Paper, Text};
use crate::style::{Role, Style};

/// Findings that are named: the most urgent.
const NAMED: usize = 8;
/// Packages that are named in one line.
const PACKAGES: usize = 6;

pub fn write(out: &mut dyn Write, effects: &Effects, today: Date, style: &Style) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    if effects.now.feeds.is_empty() {
        let text = "which findings it closes: there is no feed (steadfast feed import FILE)";
        return paper.row(Role::Wary, "unknown", &Text::new().plain(text));
    }
    named(&mut paper, "closes", Role::Good, &effects.closed, today)?;
    named(&mut paper, "brings", Role::Bad, &effects.brought, today)?;
    if !effects.unclear.is_empty() {
        let names = &effects.unclear[..effects.unclear.len().min(PACKAGES)];
        let text = format!(
            "what these are built from, so that their findings count as open: {}",
            names.join(", ")
        );
        paper.row(Role::Wary, "unknown", &Text::new().plain(&text))?;
    }
    for why in effects.now.unknown.iter().map(unknown_text) {
        paper.row(Role::Wary, "unknown", &Text::new().plain(&why))?;
    }
    Ok(())
}

fn named(
    paper: &mut Paper<'_>,
    label: &str,
    role: Role,
    findings: &[Finding],
    today: Date,
) -> io::Result<()> {
    if findings.is_empty() {
        return match label {
            "closes" => paper.row(Role::Dim, label, &Text::new().plain("no known finding")),
            _ => Ok(()),
        };
    }
    let mut counts: BTreeMap<Decision, usize> = BTreeMap::new();
    for finding in findings {
        *counts.entry(finding.ranking.priority).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .rev()
        .map(|(priority, count)| format!("{} {}", number(*count), priority.as_str()))
        .collect();
    let overdue = findings
        .iter()
        .filter(|finding| finding.ranking.is_overdue(today))
        .count();
    let mut text = Text::new()
        .say(Role::Strong, &plural(findings.len(), "finding"))
        .plain(&format!(": {}", counts.join(", ")));
    if overdue > 0 {
        text = text
            .plain("; ")
            .say(Role::Critical, &format!("{} overdue", number(overdue)));
    }
    paper.row(role, label, &text)?;
    for finding in findings.iter().take(NAMED) {
        let priority = finding.ranking.priority;
        let mut text = Text::new()
            .solid(Role::Plain, &finding.name)
            .gap(1)
            .solid(Role::Strong, &finding.package.name)
            .gap(2)
            .say(priority_role(priority), priority.as_str());
        if let Some(due) = finding.ranking.due() {
            let due = format!("; due {}, {}", due.date, due.clock.as_str());
            text = text.say(Role::Dim, &due);
        }
        paper.indented(LABEL, &text)?;
    }
    if findings.len() > NAMED {
        let more = format!("and {} more", number(findings.len() - NAMED));
        paper.indented(LABEL, &Text::new().say(Role::Dim, &more))?;
    }
    Ok(())
}
