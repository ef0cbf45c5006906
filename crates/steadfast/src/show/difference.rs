//! Shows why something that was planned is not carried out: what changed since, as a
//! diff where the values may be seen.

use std::io::{self, Write};

use host::Changed;
use model::count::{plural, size};
use model::plan::Premise;
use model::{Action, Answer, Observed, Plan, Probe, Value};
use plan::compare::Difference;

use super::diff::{self, LineKind};
use super::effect::{Seen, describe, is_secret};
use crate::layout::{Paper, Text};
use crate::style::{Role, Sign, Style};

/// Differences shown; the rest is counted.
const SHOWN: usize = 12;

/// Writes what differs between a saved plan and today's.
pub fn write(out: &mut dyn Write, differences: &[Difference], style: &Style) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    for difference in differences.iter().take(SHOWN) {
        match difference {
            Difference::OtherHost { .. } => {}
            Difference::Observed { saved, now } => {
                let now = now.as_ref().and_then(|now| now.seen.as_ref());
                observed(&mut paper, saved, now)?;
            }
            Difference::Action { saved, now } => {
                action(&mut paper, "the plan has", saved.as_deref())?;
                action(&mut paper, "this host needs", now.as_deref())?;
            }
            Difference::Words => paper.line(
                &Text::new().plain("the same actions, but the plan says something else about them"),
            )?,
        }
    }
    if differences.len() > SHOWN {
        let more = format!(
            "and {}",
            plural(differences.len() - SHOWN, "more difference")
        );
        paper.line(&Text::new().plain(&more))?;
    }
    Ok(())
}

/// Writes what changed since the plan was made, as the host found when it looked again.
pub fn write_changed(
    out: &mut dyn Write,
    plan: &Plan,
    changed: &[Changed],
    style: &Style,
) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    for change in changed.iter().take(SHOWN) {
        let Some(premise) = plan
            .premises
            .iter()
            .find(|saved| saved.probe == change.probe)
        else {
            continue;
        };
        let now = premise.seen.as_ref().map(|_| &change.now);
        observed(&mut paper, premise, now)?;
    }
    Ok(())
}

/// One observed value, before and now.
fn observed(paper: &mut Paper<'_>, saved: &Premise, now: Option<&Observed>) -> io::Result<()> {
    let what = question(&saved.probe);
    paper.line(&Text::new().say(Role::Strong, &format!("{what} changed since")))?;
    let before = saved.seen.as_ref().map(|seen| &seen.answer);
    match (before, now.map(|now| &now.answer)) {
        (Some(Answer::Known(Value::File(before))), Some(Answer::Known(Value::File(now))))
            if before.content != now.content =>
        {
            let (before, now) = (before.content.as_bytes(), now.content.as_bytes());
            lines(paper, &diff::compare(Some(before), now))
        }
        (Some(before), Some(now)) => {
            let to = paper.sign(Sign::To);
            let text = format!("{} {to} {}", answer(before), answer(now));
            paper.indented(2, &Text::new().plain(&text))
        }
        _ => paper.indented(2, &Text::new().plain("its value is not shown")),
    }
}

/// Writes the difference between two contents.
pub fn write_contents(
    out: &mut dyn Write,
    before: &[u8],
    now: &[u8],
    style: &Style,
) -> io::Result<()> {
    write_on(&mut Paper::new(out, style), before, now)
}

/// The same, among other things.
pub(super) fn write_on(paper: &mut Paper<'_>, before: &[u8], now: &[u8]) -> io::Result<()> {
    lines(paper, &diff::compare(Some(before), now))
}

fn lines(paper: &mut Paper<'_>, difference: &diff::Difference) -> io::Result<()> {
    let diff::Difference::Lines(lines) = difference else {
        return paper.indented(2, &Text::new().plain("not text, or too large to be shown"));
    };
    // More than a screen of changes is looked at with other means.
    for line in lines.iter().take(40) {
        let (sign, role) = match line.kind {
            LineKind::Added => ("+", Role::Good),
            LineKind::Removed => ("-", Role::Bad),
            LineKind::Kept => (" ", Role::Plain),
            LineKind::Gap | LineKind::Remark => ("", Role::Dim),
        };
        paper.cut(2, role, &format!("{sign}{}", line.text))?;
    }
    Ok(())
}

fn action(paper: &mut Paper<'_>, who: &str, action: Option<&Action>) -> io::Result<()> {
    let to = paper.sign(Sign::To);
    let what = action.map_or_else(
        || "nothing here".to_owned(),
        |action| describe(&action.effect, &Seen::nothing(), is_secret(action), to),
    );
    paper.line(&Text::new().say(Role::Strong, who).gap(1).plain(&what))
}

/// What was asked, in words.
pub fn question(probe: &Probe) -> String {
    match probe {
        Probe::File { path, .. }
        | Probe::FileDigest { path }
        | Probe::Meta { path }
        | Probe::Found { path }
        | Probe::Dir { path } => path.to_string(),
        Probe::Writers { path, .. } => format!("who can change {path}"),
        Probe::Tool { .. } => "the answer of a program".to_owned(),
        Probe::Unit { name } => format!("unit {name}"),
        Probe::Sysctl { key } => format!("kernel parameter {key}"),
        Probe::Package { name } => format!("package {name}"),
        Probe::Mounts => "the mounts".to_owned(),
        Probe::Accounts => "the accounts".to_owned(),
        Probe::Activity { account, .. } => format!("who works as {account}"),
        Probe::Modules => "the kernel modules".to_owned(),
        Probe::AuditRules => "the audit rules".to_owned(),
        Probe::Walk { .. } => "what the walk over all files finds".to_owned(),
        Probe::Command { argv, .. } => {
            format!("the check `{}`", argv.first().map_or("", String::as_str))
        }
    }
}

/// An answer in a few words.
fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Absent => "nothing there".to_owned(),
        Answer::Unknown(reason) => format!("unknown ({reason})"),
        Answer::Known(value) => match value {
            Value::File(file) => meta(&file.meta),
            Value::FileDigest { meta: seen, .. } | Value::Meta(seen) => meta(seen),
            Value::Dir(entries) => plural(entries.len(), "name"),
            Value::Writers(seen) => plural(seen.len(), "place"),
            Value::Sysctl(value) => value.trim().to_owned(),
            Value::Package(package) => format!("{} ({})", package.version, package.status),
            Value::Unit(unit) => [
                Some(unit.load_state.as_str()),
                unit.unit_file_state.as_deref(),
                unit.active_state.as_deref(),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", "),
            Value::AuditRules(rules) => plural(rules.len(), "rule"),
            _ => "another value".to_owned(),
        },
    }
}

fn meta(meta: &model::value::Meta) -> String {
    let name = |name: &Option<String>, id: u32| name.clone().unwrap_or_else(|| id.to_string());
    format!(
        "mode {}, {}:{}, {}",
        meta.mode,
        name(&meta.owner, meta.uid),
        name(&meta.group, meta.gid),
        size(meta.size_bytes)
    )
}
