//! Shows what is known of a source folder's dependencies, the smallest upgrade for each, and what
//! became of it in a patch; and writes the patch itself.

use std::fmt::Write as _;
use std::io::{self, Write};

use advisory::assess::{Assessment, Finding};
use advisory::remedy::Remedy;
use host::dependencies::Changed;
use jiff::Timestamp;
use model::count::plural;
use model::dependency::{LockFormat, LockedFrom, Lockfile};
use serde::Serialize;
use similar::TextDiff;

use super::feeds::number;
use super::plan::quoted as quoted_word;
use super::vulns::{View, because, feeds, findings_text, label, priority_role, unknown};
use crate::layout::{LABEL, Paper, Text};
use crate::report::NextStep;
use crate::report::human::next_steps;
use crate::style::{Role, Sign, Style};

/// Packages that are shown without `--verbose`: a screen of them, the most urgent ones.
const ROWS: usize = 12;
/// Direct dependencies that are named where several bring a package.
const NAMED: usize = 3;

/// All that is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    pub format: u32,
    pub generated: Timestamp,
    pub folder: String,
    pub lockfiles: Vec<Looked>,
    /// The most urgent first.
    pub advice: Vec<Advice>,
    /// None where no patch file was asked for.
    pub patch: Option<Made>,
    #[serde(flatten)]
    pub assessment: Assessment,
}

/// A lockfile that was read.
#[derive(Clone, Debug, Serialize)]
pub struct Looked {
    pub path: String,
    pub kind: LockFormat,
    /// From the registry, the project's own left out.
    pub packages: usize,
    /// Not pinned, or not from a registry: of these nothing can be told.
    pub not_looked_at: usize,
}

impl Looked {
    pub fn of(lockfile: &Lockfile) -> Self {
        let of_registry = lockfile
            .packages
            .iter()
            .filter(|package| package.from == LockedFrom::Registry);
        Self {
            path: lockfile.path.clone(),
            kind: lockfile.format,
            packages: of_registry.count(),
            not_looked_at: lockfile
                .packages
                .iter()
                .filter(|package| package.from.unknown().is_some())
                .count(),
        }
    }
}

/// A package with findings, and what to do about them.
#[derive(Clone, Debug, Serialize)]
pub struct Advice {
    pub lockfile: String,
    pub line: Option<u32>,
    pub ecosystem: String,
    pub name: String,
    pub version: String,
    /// Only development needs it.
    pub development: bool,
    /// Does the project itself ask for it? None where the lockfile doesn't tell.
    pub direct: Option<bool>,
    /// The direct dependencies that need it.
    pub brought_by: Vec<String>,
    pub findings: Vec<Finding>,
    pub remedy: Remedy,
    /// What became of it in the patch, where one was asked for.
    pub outcome: Option<Outcome>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It is in the patch, at these versions, and its findings are not there any more.
    Upgraded { to: Vec<String> },
    /// It is in the patch, and some of what it should close is still there.
    StillOpen { to: Vec<String>, left: Vec<String> },
    /// It is not in the patch.
    NotMade { why: String },
}

/// The patch.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Made {
    /// Where it was written; none where nothing could be upgraded.
    pub file: Option<String>,
    /// The files that it changes.
    #[serde(serialize_with = "paths")]
    pub changed: Vec<Changed>,
    /// Findings that were not there before.
    pub brings: Vec<Finding>,
    pub notes: Vec<String>,
}

fn paths<S: serde::Serializer>(changed: &[Changed], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(changed.iter().map(|file| &file.path))
}

/// A unified diff as `git apply` takes it (git-diff(1), "Generating patch text with -p").
pub fn patch_text(changed: &[Changed]) -> String {
    let mut out = String::new();
    for file in changed {
        let (old, new) = (
            String::from_utf8_lossy(&file.old),
            String::from_utf8_lossy(&file.new),
        );
        // At line feeds only, as git counts lines.
        let old: Vec<&str> = old.split_inclusive('\n').collect();
        let new: Vec<&str> = new.split_inclusive('\n').collect();
        let diff = TextDiff::configure()
            .newline_terminated(true)
            .diff_slices(&old, &new);
        let (a, b) = (quoted("a", &file.path), quoted("b", &file.path));
        // A name with spaces ends at a tab.
        let tab = if file.path.contains(' ') { "\t" } else { "" };
        let _ = write!(out, "diff --git {a} {b}\n--- {a}{tab}\n+++ {b}{tab}\n");
        let _ = write!(out, "{}", diff.unified_diff().context_radius(3));
    }
    out
}

/// "Path names with "unusual" characters are quoted" (git-config(1), core.quotePath).
fn quoted(side: &str, path: &str) -> String {
    let is_unusual = |byte: u8| !(0x20..0x7f).contains(&byte) || matches!(byte, b'"' | b'\\');
    if !path.bytes().any(is_unusual) {
        return format!("{side}/{path}");
    }
    let mut text = format!("\"{side}/");
    for byte in path.bytes() {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            byte if is_unusual(byte) => drop(write!(text, "\\{byte:03o}")),
            byte => text.push(char::from(byte)),
        }
    }
    text.push('"');
    text
}

pub fn write(out: &mut dyn Write, shown: &Shown, view: &View, style: &Style) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    head(&mut paper, shown)?;
    feeds(&mut paper, &shown.assessment.feeds)?;
    unknown(&mut paper, &shown.assessment, None, &[], view)?;
    let rows = if view.verbose { usize::MAX } else { ROWS };
    if !shown.advice.is_empty() {
        paper.blank()?;
    }
    for advice in shown.advice.iter().take(rows) {
        row(&mut paper, advice, view)?;
    }
    let more = shown.advice.len().saturating_sub(rows);
    if more > 0 {
        let text = plural(more, "more package");
        paper.row(Role::Dim, "", &Text::new().say(Role::Dim, &text))?;
    }
    if let Some(made) = &shown.patch {
        patch(&mut paper, made, &shown.advice)?;
    }
    steps(&mut paper, shown, more > 0)
}

fn head(paper: &mut Paper<'_>, shown: &Shown) -> io::Result<()> {
    let packages: usize = shown.lockfiles.iter().map(|file| file.packages).sum();
    let findings: usize = shown.advice.iter().map(|it| it.findings.len()).sum();
    let left: usize = shown.lockfiles.iter().map(|file| file.not_looked_at).sum();
    let mut text = Text::new()
        .say(
            Role::Strong,
            &findings_text(findings, shown.advice.len(), &shown.assessment),
        )
        .plain(&format!(
            "; {}: {} with {} looked at",
            shown.folder,
            plural(shown.lockfiles.len(), "lockfile"),
            plural(packages, "package")
        ));
    if left > 0 {
        text = text.say(Role::Wary, &format!(", {} not", number(left)));
    }
    paper.line(&text)?;
    if shown.lockfiles.is_empty() {
        let text = "no lockfile or manifest that is known here and can be read lies in this folder";
        paper.row(Role::Wary, "nothing", &Text::new().plain(text))?;
    }
    Ok(())
}

fn row(paper: &mut Paper<'_>, advice: &Advice, view: &View) -> io::Result<()> {
    let Some(worst) = advice.findings.first() else {
        return Ok(());
    };
    let (role, due) = label(worst, view);
    let mut body = Text::new()
        .solid(Role::Strong, &advice.name)
        .gap(1)
        .solid(Role::Plain, &advice.version);
    if let Some(to) = &advice.remedy.to {
        let sign = paper.sign(Sign::To);
        let above = if to.above { "later than " } else { "" };
        body = body
            .gap(1)
            .solid(Role::Dim, sign)
            .gap(1)
            .say(Role::Good, &format!("{above}{}", to.version));
        if !to.compatible {
            body = body.gap(1).say(Role::Wary, "(a new major version)");
        }
    }
    let place = match advice.line {
        Some(line) => format!("{}:{line}", advice.lockfile),
        None => advice.lockfile.clone(),
    };
    paper.row_hanging(role, &due, LABEL + 2, &body.gap(2).solid(Role::Dim, &place))?;
    let priority = worst.ranking.priority;
    let more = advice.findings.len() - 1;
    let mut detail = Text::new().solid(Role::Plain, &worst.name);
    if more > 0 {
        detail = detail.plain(&format!(" and {more} more"));
    }
    detail = detail
        .plain("  ")
        .say(priority_role(priority), priority.as_str())
        .say(Role::Dim, &format!("; {}", because(worst)));
    paper.indented(LABEL, &detail)?;
    if view.verbose {
        for finding in &advice.findings {
            let fixed = finding.fixed.as_deref().map_or("no fix", |fixed| fixed);
            let priority = finding.ranking.priority.as_str();
            let text = format!("{}  {priority}; by itself closed by {fixed}", finding.name);
            paper.indented(LABEL + 2, &Text::new().say(Role::Dim, &text))?;
        }
    }
    let remains = &advice.remedy.remains;
    if !remains.is_empty() {
        let names = shortened(remains);
        let text = match advice.remedy.to {
            Some(_) => match &advice.remedy.further {
                Some(further) => {
                    let above = if further.above { "later than " } else { "" };
                    let version = &further.version;
                    format!("for {names} as well: {above}{version}, a new major version")
                }
                None => format!("no known version closes {names} as well"),
            },
            None => format!("no version is known that closes {names} and brings nothing new"),
        };
        paper.indented(LABEL, &Text::new().say(Role::Wary, &text))?;
    }
    paper.indented(LABEL, &Text::new().say(Role::Dim, &from(advice)))?;
    if let Some(command) = command(advice) {
        let text = Text::new()
            .say(Role::Dim, "by ")
            .whole(Role::Plain, &command);
        paper.indented(LABEL, &text)?;
    }
    match &advice.outcome {
        None => Ok(()),
        Some(Outcome::Upgraded { to }) => {
            let text = match &**to {
                [] => "in the patch: it is not needed any more".to_owned(),
                to => format!("in the patch: {}, checked", to.join(", ")),
            };
            paper.indented(LABEL, &Text::new().say(Role::Good, &text))
        }
        Some(Outcome::StillOpen { to, left }) => {
            let (to, left) = (to.join(", "), shortened(left));
            let text = format!("in the patch: {to}, which still has {left}");
            paper.indented(LABEL, &Text::new().say(Role::Bad, &text))
        }
        Some(Outcome::NotMade { why }) => {
            let text = format!("not in the patch: {why}");
            paper.indented(LABEL, &Text::new().say(Role::Wary, &text))
        }
    }
}

fn shortened(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// `a direct dependency`, `brought by express 4.17.1`.
fn from(advice: &Advice) -> String {
    let by = shortened(&advice.brought_by);
    let text = match (advice.direct, advice.brought_by.is_empty()) {
        (None, _) => "the lockfile does not say what brings it".to_owned(),
        (Some(true), true) => "a direct dependency".to_owned(),
        (Some(true), false) => format!("a direct dependency, and brought by {by}"),
        (Some(false), _) => format!("brought by {by}"),
    };
    match advice.development {
        true => format!("{text}; for development only"),
        false => text,
    }
}

/// What the lockfile's own tool is told to make the upgrade, where it is not asked here: to be run in
/// the lockfile's folder.
fn command(advice: &Advice) -> Option<String> {
    let to = advice.remedy.to.as_ref().filter(|to| !to.above)?;
    let (name, version) = (&advice.name, &to.version);
    let file = advice.lockfile.rsplit('/').next().unwrap_or_default();
    // What a lockfile says may be anything; it is meant for a shell.
    Some(match file {
        "uv.lock" => {
            let wanted = quoted_word(&format!("{name}=={version}"));
            format!("uv lock --upgrade-package {wanted}")
        }
        // Of what the project does not ask for itself, it takes the newest that fits.
        "poetry.lock" if advice.direct == Some(true) => {
            format!(
                "poetry add --lock {}",
                quoted_word(&format!("{name}@{version}"))
            )
        }
        "poetry.lock" => format!("poetry update --lock {}", quoted_word(name)),
        "go.mod" => format!("go get {}", quoted_word(&format!("{name}@{version}"))),
        _ => return None,
    })
}

fn patch(paper: &mut Paper<'_>, made: &Made, advice: &[Advice]) -> io::Result<()> {
    paper.blank()?;
    let is_in = |it: &&Advice| matches!(it.outcome, Some(Outcome::Upgraded { .. }));
    let closed = advice.iter().filter(is_in).count();
    let text = match made.changed.is_empty() {
        true => "no patch file was written: no tool could make an upgrade".to_owned(),
        false => {
            let files: Vec<&str> = made.changed.iter().map(|file| &*file.path).collect();
            format!(
                "{closed} of {} upgraded, in {}",
                advice.len(),
                files.join(", ")
            )
        }
    };
    paper.row(Role::Strong, "patch", &Text::new().plain(&text))?;
    for finding in &made.brings {
        let package = &finding.package;
        let text = format!("{} in {} {}", finding.name, package.name, package.version);
        paper.row(Role::Bad, "brings", &Text::new().plain(&text))?;
    }
    for note in &made.notes {
        paper.row(Role::Dim, "note", &Text::new().say(Role::Dim, note))?;
    }
    Ok(())
}

fn steps(paper: &mut Paper<'_>, shown: &Shown, is_cut: bool) -> io::Result<()> {
    let mut steps = Vec::new();
    let folder = &quoted_word(&shown.folder);
    if shown.assessment.feeds.is_empty() {
        steps.push(NextStep::new(
            "steadfast feed import FILE",
            "brings the advisories",
        ));
    }
    if shown.patch.is_none() && shown.advice.iter().any(|one| one.remedy.to.is_some()) {
        steps.push(NextStep::new(
            format!("steadfast patch dependencies {folder} --output FILE.patch"),
            "has the tools make them",
        ));
    }
    let file = shown.patch.as_ref().and_then(|made| made.file.as_ref());
    if let Some(file) = file {
        steps.push(NextStep::new(
            format!("git -C {folder} apply {}", quoted_word(file)),
            "after reading it",
        ));
    }
    if is_cut {
        steps.push(NextStep::new(
            format!("steadfast patch dependencies {folder} --verbose"),
            "shows all",
        ));
    }
    next_steps(paper, &steps)
}
