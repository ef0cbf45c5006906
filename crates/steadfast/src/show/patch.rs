//! Shows what an upgrade would do beside what its plan says: to the findings, to the disks, and
//! which configuration files stay as they are.

use std::collections::BTreeMap;
use std::io::{self, Write};

use advisory::assess::Finding;
use advisory::rank::Decision;
use host::packages::Room;
use jiff::civil::Date;
use model::HostPath;
use model::plan::may_hold_secrets;
use plan::data::{Data, DataState};
use serde_json::json;

use super::difference;
use super::feeds::number;
use super::vulns::{plural, priority_role, unknown_text};
use crate::assessing::Effects;
use crate::layout::{LABEL, Paper, Text};
use crate::style::{Role, Style};

/// Findings that are named: the most urgent.
const NAMED: usize = 8;
/// Packages that are named in one line.
const PACKAGES: usize = 6;

/// What a patch would do that its plan does not hold, since it is not of the host alone, or is
/// only of this moment.
#[derive(Debug, Default)]
pub struct Foretold {
    /// What it does to the findings, by the feeds as they are now; none where nothing is
    /// upgraded.
    pub effects: Option<Effects>,
    pub room: Vec<Room>,
    /// Configuration files that stay as they are, with the maintainer's new version.
    pub conflicts: BTreeMap<HostPath, Vec<u8>>,
    /// Sessions, and processes of no service, go on with the old files.
    pub leaves_sessions: bool,
    /// Data of services that it touches.
    pub data: Vec<Data>,
    /// What is due as asked for, and that nothing pending closes.
    pub not_closed: Vec<Finding>,
}

impl Foretold {
    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        let effects = self.effects.as_ref().map(|effects| {
            json!({
                "closes": effects.closed,
                "brings": effects.brought,
                "remaining": effects.remaining.len(),
                "unclear_packages": effects.unclear,
                "feeds": effects.now.feeds,
                "unknown": effects.now.unknown,
            })
        });
        let conflicts = self.conflicts.iter().map(|(path, maintainers)| {
            let text = String::from_utf8_lossy(maintainers);
            json!({
                "path": path,
                "maintainers": (!may_hold_secrets(path)).then_some(text),
            })
        });
        json!({
            "findings": effects,
            "not_closed": self.not_closed,
            "leaves_sessions": self.leaves_sessions,
            "data": self.data.iter().map(|data| {
                let (proven, why) = match &data.state {
                    DataState::Proven { on } => (Some(on), None),
                    DataState::AtRisk { why } => (None, Some(why)),
                };
                json!({"package": data.package, "proven": proven, "at_risk": why})
            }).collect::<Vec<_>>(),
            "room": self.room,
            "conflicts": conflicts.collect::<Vec<_>>(),
        })
    }
}

pub fn write(
    out: &mut dyn Write,
    foretold: &Foretold,
    today: Date,
    style: &Style,
) -> io::Result<()> {
    if let Some(effects) = &foretold.effects {
        write_effects(&mut Paper::new(out, style), effects, today)?;
    }
    let mut paper = Paper::new(out, style);
    if !foretold.not_closed.is_empty() {
        named(&mut paper, "stay", Role::Bad, &foretold.not_closed, today)?;
        let text = "no pending upgrade closes these";
        paper.indented(LABEL, &Text::new().say(Role::Dim, text))?;
    }
    for (at, room) in foretold.room.iter().enumerate() {
        let label = if at == 0 { "room" } else { "" };
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        let text = format!(
            "{} are written below {}, of {} free",
            megabytes(room.written_bytes),
            room.at.display(),
            megabytes(room.free_bytes)
        );
        paper.row(Role::Dim, label, &Text::new().plain(&text))?;
    }
    if foretold.leaves_sessions {
        let text = "people's sessions, and what no service owns, go on with the old files";
        paper.row(Role::Dim, "later", &Text::new().plain(text))?;
    }
    for data in &foretold.data {
        if let DataState::Proven { on } = &data.state {
            let text = format!(
                "of {} is no part of the way back; a restore was proven on {}",
                data.package,
                on.strftime("%Y-%m-%d")
            );
            paper.row(Role::Dim, "data", &Text::new().plain(&text))?;
        }
    }
    for (path, maintainers) in &foretold.conflicts {
        let text = format!("{path} stays; from it to the maintainer's new version:");
        Paper::new(out, style).row(Role::Wary, "kept", &Text::new().plain(&text))?;
        if may_hold_secrets(path) {
            let text = "not shown, since it may hold secrets";
            Paper::new(out, style).indented(2, &Text::new().plain(text))?;
            continue;
        }
        // It may have gone meanwhile.
        let ours = std::fs::read(path.as_path()).unwrap_or_default();
        difference::write_contents(out, &ours, maintainers, style)?;
    }
    Ok(())
}

fn write_effects(paper: &mut Paper<'_>, effects: &Effects, today: Date) -> io::Result<()> {
    if effects.now.feeds.is_empty() {
        let text = "which findings it closes: there is no feed (steadfast feed import FILE)";
        return paper.row(Role::Wary, "unknown", &Text::new().plain(text));
    }
    super::vulns::feeds(paper, &effects.now.feeds)?;
    named(paper, "closes", Role::Good, &effects.closed, today)?;
    named(paper, "brings", Role::Bad, &effects.brought, today)?;
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
