//! Shows feeds: what each holds, as of when, and what of it could not be used.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use advisory::assess::FeedState;
use host::feeds::{Cosigned, Exported, FromBundle, Origin, Source, Taken, Updated};
use jiff::{SignedDuration, Timestamp};
use model::Digest;
pub use model::count::number;
use model::count::{plural, size};
use serde::Serialize;
use trust::KeyId;
use trust::bundle::Manifest;

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
    /// None for a feed of an earlier version.
    pub origin: Option<Origin>,
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

/// What is in it: `44,181 advisories`.
pub fn holds(state: &FeedState) -> String {
    let counts = &state.feed.counts;
    let mut parts = Vec::new();
    if counts.advisories > 0 {
        parts.push(plural(counts.advisories, "advisory"));
    }
    if counts.known_exploited > 0 {
        parts.push(format!(
            "{} known exploited",
            number(counts.known_exploited)
        ));
    }
    for (count, what) in [
        (counts.epss_scores, "EPSS score"),
        (counts.vex_statements, "VEX statement"),
    ] {
        if count > 0 {
            parts.push(plural(count, what));
        }
    }
    match parts.is_empty() {
        true => "nothing".to_owned(),
        false => parts.join(", "),
    }
}

/// Its age, in the colour that it deserves.
pub fn age_text(state: &FeedState) -> Text {
    // What it does not say is not fresh: its import says nothing of what is in it.
    let role = match (state.stale, state.feed.newest) {
        (false, Some(_)) => Role::Plain,
        _ => Role::Wary,
    };
    let stale = if state.stale { ", stale" } else { "" };
    let undated = match state.feed.newest {
        Some(_) => "",
        None => "undated; its import is ",
    };
    Text::new().say(role, &format!("{undated}{}{stale}", age(state.age_seconds)))
}

/// When a feed is looked at, and how old it may be by then.
#[derive(Clone, Copy, Debug)]
pub struct AsOf {
    pub now: Timestamp,
    pub fresh: SignedDuration,
}

/// What was imported.
pub fn taken(out: &mut dyn Write, taken: &Taken, as_of: AsOf, style: &Style) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    what_came(&mut paper, taken, as_of)?;
    next_steps(&mut paper, &[NextStep::new("steadfast vulns", "")])
}

/// What came of fetching.
pub fn updated(
    out: &mut dyn Write,
    updated: &Updated,
    as_of: AsOf,
    style: &Style,
) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    match &updated.outcome {
        Ok(taken) => what_came(&mut paper, taken, as_of),
        Err(error) => {
            let body = Text::new()
                .say(Role::Strong, updated.name.as_str())
                .plain(&format!(": {error}; its feed is as it was"));
            paper.row(Role::Bad, "failed", &body)
        }
    }
}

fn what_came(paper: &mut Paper<'_>, taken: &Taken, as_of: AsOf) -> io::Result<()> {
    let feeds = match taken {
        Taken::Feed(imported) => std::slice::from_ref(imported),
        Taken::Bundle(bundle) => {
            paper.row(Role::Good, "signed", &signed(&bundle.from))?;
            &bundle.feeds
        }
    };
    for imported in feeds {
        let state = FeedState::of(&imported.feed, as_of.now, as_of.fresh);
        let size = size(imported.size_bytes);
        let body = Text::new()
            .say(Role::Strong, &state.feed.name)
            .plain(": ")
            .plain(&holds(&state))
            .plain(", ")
            .then(age_text(&state))
            .plain(&format!("; index {size}"));
        paper.row(Role::Good, "imported", &body)?;
        left_out(paper, &state)?;
    }
    Ok(())
}

/// By whom and when: `by 3f2a…, 9c01…; made 2026-11-24 15:30 UTC, steadfast 0.1.0 on web-03`.
fn signed(from: &FromBundle) -> Text {
    let keys: Vec<String> = from.signed_by.iter().map(|key| key.0.short()).collect();
    Text::new().plain(&format!(
        "by {}; made {} UTC by {}",
        keys.join(", "),
        minute(from.made),
        from.by
    ))
}

pub fn added(
    out: &mut dyn Write,
    name: &str,
    url: &str,
    replaced: bool,
    style: &Style,
) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    let before = if replaced {
        ", instead of the address of before"
    } else {
        ""
    };
    let body = Text::new()
        .say(Role::Strong, name)
        .plain(&format!(": {url}{before}"));
    paper.row(Role::Good, "added", &body)?;
    let step = NextStep::new(format!("steadfast feed update {name}"), "");
    next_steps(&mut paper, &[step])
}

pub fn exported(
    out: &mut dyn Write,
    path: &Path,
    exported: &Exported,
    keys: &[KeyId],
    style: &Style,
) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    let manifest = &exported.manifest;
    let names: Vec<&str> = manifest.feeds.iter().map(|feed| &*feed.name).collect();
    let size = size(exported.size_bytes);
    let body = Text::new()
        .say(Role::Strong, &path.display().to_string())
        .plain(&format!(": {}; {size}", names.join(", ")));
    paper.row(Role::Good, "exported", &body)?;
    signed_by(&mut paper, keys, manifest)?;
    let command = format!("steadfast feed import {} --trust PUB.pem", path.display());
    next_steps(&mut paper, &[NextStep::new(command, "on the other host")])
}

fn signed_by(paper: &mut Paper, keys: &[KeyId], manifest: &Manifest) -> io::Result<()> {
    let keys: Vec<String> = keys.iter().map(|key| key.0.short()).collect();
    let body = Text::new().plain(&format!(
        "by {}, good until {} UTC",
        keys.join(", "),
        minute(manifest.expires)
    ));
    paper.row(Role::Dim, "signed", &body)
}

/// A bundle that got more signatures: who vouched for it before, and who does now.
pub fn cosigned(
    out: &mut dyn Write,
    path: &Path,
    cosigned: &Cosigned,
    signers: &[KeyId],
    style: &Style,
) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    let manifest = &cosigned.manifest;
    let feeds: Vec<String> = manifest
        .feeds
        .iter()
        .map(|feed| format!("{} ({})", feed.name, size(feed.size_bytes)))
        .collect();
    let body = Text::new()
        .say(Role::Strong, &path.display().to_string())
        .plain(&format!(
            ": {}, made {} UTC by {}",
            feeds.join(", "),
            minute(manifest.made),
            model::printable(manifest.by.as_bytes())
        ));
    paper.row(Role::Good, "checked", &body)?;
    let all: BTreeSet<KeyId> = cosigned.by.iter().chain(signers).copied().collect();
    let all: Vec<KeyId> = all.into_iter().collect();
    signed_by(&mut paper, &all, manifest)
}

pub fn made_key(
    out: &mut dyn Write,
    secret: &Path,
    public: &Path,
    id: KeyId,
    style: &Style,
) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    let secret = secret.display().to_string();
    let body = Text::new()
        .say(Role::Strong, &secret)
        .plain(": it signs; keep it where only you can read it");
    paper.row(Role::Good, "secret", &body)?;
    let body = Text::new()
        .say(Role::Strong, &public.display().to_string())
        .plain(": it goes to the hosts");
    paper.row(Role::Good, "public", &body)?;
    paper.row(Role::Dim, "id", &Text::new().plain(&id.to_string()))?;
    let command = format!("steadfast feed export feeds.bundle --key {secret}");
    next_steps(&mut paper, &[NextStep::new(command, "")])
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
            "{}, by newer ones of the same id",
            plural(counts.superseded, "record")
        );
        say(Role::Dim, "replaced", text)?;
    }
    if !counts.elsewhere.is_empty() {
        let entries: usize = counts.elsewhere.values().sum();
        let mut families: BTreeMap<&str, usize> = BTreeMap::new();
        for (ecosystem, count) in &counts.elsewhere {
            let family = ecosystem.split(':').next().unwrap_or_default();
            let family = if family.is_empty() {
                "what names no package"
            } else {
                family
            };
            *families.entry(family).or_default() += count;
        }
        let families: Vec<&str> = families.into_keys().take(8).collect();
        let text = format!(
            "{} about what is not matched here: {}",
            plural(entries, "entry"),
            families.join(", ")
        );
        say(Role::Dim, "left out", text)?;
    }
    if counts.other_files > 0 {
        let text = plural(counts.other_files, "other file");
        say(Role::Dim, "passed by", text)?;
    }
    if counts.malformed > 0 {
        let records = plural(counts.malformed, "record");
        let text = format!("{records} could not be read");
        say(Role::Bad, "unread", text)?;
        for why in counts.malformed_first.iter().take(5) {
            say(Role::Dim, "", why.clone())?;
        }
    }
    Ok(())
}

pub fn list(
    out: &mut dyn Write,
    feeds: &[Listed],
    sources: &BTreeMap<String, Source>,
    style: &Style,
) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    if feeds.is_empty() && sources.is_empty() {
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
            || "undated".to_owned(),
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
        let index = format!("{}, {}", size(listed.size_bytes), listed.digest.short());
        paper.row(Role::Dim, "  index", &Text::new().plain(&index))?;
        if let Some(from) = listed
            .origin
            .as_ref()
            .and_then(|origin| origin.bundle.as_ref())
        {
            paper.row(Role::Dim, "  signed", &signed(from))?;
        }
        left_out(&mut paper, state)?;
    }
    for (at, (name, source)) in sources.iter().enumerate() {
        if at > 0 || !feeds.is_empty() {
            paper.blank()?;
        }
        list_source(&mut paper, name, source)?;
    }
    Ok(())
}

fn list_source(paper: &mut Paper<'_>, name: &str, source: &Source) -> io::Result<()> {
    let mut body = Text::new()
        .say(Role::Strong, name)
        .gap(2)
        .plain(&source.url);
    if source.url.starts_with("http:") && source.insecure_http {
        body = body.say(Role::Wary, ", which anybody on the way can change");
    }
    paper.line(&body)?;
    let body = match source.last_update {
        None => Text::new().say(Role::Wary, "never"),
        Some(at) => Text::new().plain(&format!("{} UTC: {}", minute(at), source.feeds.join(", "))),
    };
    paper.row(Role::Dim, "  updated", &body)?;
    if let Some(failed) = &source.last_failure {
        // One that was followed by a success is past.
        let role = match source.failing() {
            Some(_) => Role::Bad,
            None => Role::Dim,
        };
        let body = Text::new().plain(&format!("{} UTC: {}", minute(failed.at), failed.why));
        paper.row_hanging(role, "  failed", LABEL, &body)?;
    }
    Ok(())
}
