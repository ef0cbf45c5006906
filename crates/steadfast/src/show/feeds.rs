//! Shows feeds: what each holds, as of when, and what of it could not be used.

use std::collections::BTreeMap;
use std::io::{self, Write};

use advisory::assess::FeedState;
use model::Digest;
use serde::Serialize;

use super::history::minute;
use crate::layout::{LABEL, Paper, Text};
use crate::report::NextStep;
use crate::report::human::next_steps;
use crate::style::{Role, Style};

/// A feed with its index.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    #[serde(flatten)]
    pub state: FeedState,
    pub size_bytes: u64,
    pub digest: Digest,
    /// Entries about each ecosystem.
    pub covers: BTreeMap<String, u32>,
}

/// `3 hours`, `12 days`: no more exact than it matters.
pub fn age(seconds: i64) -> String {
    let (count, unit) = match seconds.max(0) {
        minutes @ 0..3600 => (minutes / 60, "minute"),
        hours @ 3600..172_800 => (hours / 3600, "hour"),
        days => (days / 86_400, "day"),
    };
    format!("{count} {unit}{} old", if count == 1 { "" } else { "s" })
}

/// `44,181`.
pub fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What is in it: `44,181 advisories`.
pub fn holds(state: &FeedState) -> String {
    let counts = &state.feed.counts;
    let parts = [
        (counts.advisories, "advisories"),
        (counts.known_exploited, "known exploited"),
        (counts.epss_scores, "EPSS scores"),
        (counts.vex_statements, "VEX statements"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", number(*count)))
        .collect();
    match parts.is_empty() {
        true => "nothing".to_owned(),
        false => parts.join(", "),
    }
}

/// Its age, in the colour that it deserves.
pub fn age_text(state: &FeedState) -> Text {
    let role = if state.stale { Role::Wary } else { Role::Plain };
    let stale = if state.stale { ", stale" } else { "" };
    let undated = match state.feed.newest {
        Some(_) => "",
        None => "without a date; the import is ",
    };
    Text::new().say(role, &format!("{undated}{}{stale}", age(state.age_seconds)))
}

pub fn imported(
    out: &mut dyn Write,
    state: &FeedState,
    size_bytes: u64,
    style: &Style,
) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    let size = format!("{:.1} MB", size_bytes as f64 / 1e6);
    let body = Text::new()
        .say(Role::Strong, &state.feed.name)
        .plain(": ")
        .plain(&holds(state))
        .plain(", ")
        .then(age_text(state))
        .plain(&format!("; index {size}"));
    paper.row(Role::Good, "imported", &body)?;
    left_out(&mut paper, state)?;
    next_steps(&mut paper, &[NextStep::new("steadfast vulns", "")])
}

/// What of it was not used, and why.
fn left_out(paper: &mut Paper<'_>, state: &FeedState) -> io::Result<()> {
    let counts = &state.feed.counts;
    let mut say =
        |role, label: &str, text: String| paper.row(role, label, &Text::new().plain(&text));
    if counts.withdrawn > 0 {
        let text = format!(
            "{}, by those who had published them",
            number(counts.withdrawn)
        );
        say(Role::Dim, "withdrawn", text)?;
    }
    if counts.superseded > 0 {
        let text = format!(
            "{} records, by newer ones of the same id",
            number(counts.superseded)
        );
        say(Role::Dim, "replaced", text)?;
    }
    if !counts.elsewhere.is_empty() {
        let entries: usize = counts.elsewhere.values().sum();
        let mut families: BTreeMap<&str, usize> = BTreeMap::new();
        for (ecosystem, count) in &counts.elsewhere {
            let family = ecosystem.split(':').next().unwrap_or_default();
            let family = if family.is_empty() {
                "no package"
            } else {
                family
            };
            *families.entry(family).or_default() += count;
        }
        let families: Vec<&str> = families.into_keys().take(8).collect();
        let text = format!(
            "{} entries about what is not matched here: {}",
            number(entries),
            families.join(", ")
        );
        say(Role::Dim, "left out", text)?;
    }
    if counts.other_files > 0 {
        let text = format!("{} other files", number(counts.other_files));
        say(Role::Dim, "passed by", text)?;
    }
    if counts.malformed > 0 {
        let text = format!("{} records could not be read", number(counts.malformed));
        say(Role::Bad, "unread", text)?;
        for why in counts.malformed_first.iter().take(5) {
            say(Role::Dim, "", why.clone())?;
        }
    }
    Ok(())
}

pub fn list(out: &mut dyn Write, feeds: &[Listed], style: &Style) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    if feeds.is_empty() {
        paper.line(
            &Text::new().plain("There are no feeds yet: what is vulnerable here is unknown."),
        )?;
        let step = NextStep::new("steadfast feed import FILE", "");
        return next_steps(&mut paper, &[step]);
    }
    for (at, listed) in feeds.iter().enumerate() {
        if at > 0 {
            paper.blank()?;
        }
        let state = &listed.state;
        let body = Text::new()
            .say(Role::Strong, &state.feed.name)
            .gap(2)
            .plain(&holds(state))
            .plain(", ")
            .then(age_text(state));
        paper.line(&body)?;
        let as_of = state.feed.newest.map_or_else(
            || "it does not say".to_owned(),
            |newest| format!("{} UTC", minute(newest)),
        );
        let imported = format!("{as_of}; imported {} UTC", minute(state.feed.imported));
        paper.row(Role::Dim, "  as of", &Text::new().plain(&imported))?;
        if !listed.covers.is_empty() {
            let covers: Vec<&str> = listed.covers.keys().map(String::as_str).collect();
            paper.row_hanging(
                Role::Dim,
                "  covers",
                LABEL,
                &Text::new().plain(&covers.join(", ")),
            )?;
        }
        let index = format!(
            "{:.1} MB, {}",
            listed.size_bytes as f64 / 1e6,
            listed.digest.short()
        );
        paper.row(Role::Dim, "  index", &Text::new().plain(&index))?;
        left_out(&mut paper, state)?;
    }
    Ok(())
}
