//! Shows what an upgrade would do beside what its plan says: to the findings, to the disks, and
//! which configuration files stay as they are.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use advisory::assess::Finding;
use advisory::rank::Decision;
use host::act::Root;
use host::packages::Room;
use host::packages::changes::Changes;
use jiff::Timestamp;
use jiff::civil::Date;
use model::count::{first_of, plural, size};
use model::plan::{LeftAlone, Patches, may_hold_secrets};
use model::{Effect, HostPath, Plan, UnitOp};
use plan::data::{Data, DataState};
use plan::patch::waits_for_a_reboot;
use serde::Serialize;
use serde_json::json;

use super::apt_lists::AptLists;
use super::difference;
use super::feeds::number;
use super::still_open::why_open;
use super::vulns::{priority_role, unknown_text};
use crate::assessing::Effects;
use crate::exit::Exit;
use crate::layout::{LABEL, Paper, Text};
use crate::style::{Role, Style};

/// Findings that are named: the most urgent.
const NAMED: usize = 8;
/// Held packages, or groups of them, that are named.
const HELD: usize = 12;
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
    /// How old apt's lists are, where what is pending was asked for.
    pub lists: Option<AptLists>,
    /// Why what is pending, or due, can't be told in full.
    pub unknown: Vec<String>,
    /// What a hold keeps back.
    pub held: Vec<HeldBack>,
    /// No control group bounded the rehearsal.
    pub is_unbounded: bool,
    /// How long it took on the copy.
    pub took: Option<Duration>,
    /// When it was rehearsed, where that was before and nothing that it rests on has changed since.
    pub rehearsed_at: Option<Timestamp>,
    /// Sources that are exempt from signatures, with the packages that come from each.
    pub unsigned: BTreeMap<String, Vec<String>>,
    /// What the changelogs of the new versions say, by package.
    pub changes: BTreeMap<String, Changes>,
    /// Questions of packages that nobody has answered.
    pub questions: Vec<String>,
    /// When it may begin here, where a window says so.
    pub begins: Option<Begins>,
}

/// Why a newer version is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The administrator holds it (apt-mark(8)).
    Held,
    /// A pin keeps it away (apt_preferences(5)).
    Pinned,
    /// It can't be had without what is held.
    Waits,
    /// apt does not take it.
    KeptBack,
}

/// A newer version that is not taken.
#[derive(Clone, Debug, Serialize)]
pub struct HeldBack {
    pub name: String,
    /// What its new version is built from, where apt's lists tell.
    pub source: Option<String>,
    pub from: Option<String>,
    pub to: String,
    pub security: bool,
    pub why: Cause,
    /// The held packages that it waits for, where it is not held itself.
    pub waits_for: Vec<String>,
    /// The findings that it would close.
    pub keeps_open: Vec<Finding>,
}

impl HeldBack {
    /// What keeps it, said of one package or of several: no verb agrees with both.
    pub fn text(&self) -> String {
        let from = self.from.as_deref().unwrap_or("nothing");
        let newer = match self.security {
            true => format!("{} is a security update", self.to),
            false => format!("{} is newer", self.to),
        };
        match self.why {
            Cause::Held => format!("held at {from}; {newer}"),
            Cause::Pinned => format!("kept at {from} by a pin; {newer}"),
            Cause::Waits => format!(
                "left at {from}, waiting for {}; {newer}",
                self.waits_for.join(", ")
            ),
            Cause::KeptBack => format!(
                "kept back at {from} by apt, since something would be removed for it, or can't be \
                 had; {newer}"
            ),
        }
    }
}

/// This host's place in its next window.
#[derive(Clone, Debug, Serialize)]
pub struct Begins {
    /// Is it open, and this host's time in it come?
    pub now: bool,
    /// When this host may begin, first and last.
    pub first: Timestamp,
    pub last: Timestamp,
    pub closes: Timestamp,
    pub needs_seconds: u64,
}

impl Foretold {
    /// How it ends where nothing is to be done: what is due and stays open is a finding, and what
    /// can't be told is never nothing.
    pub fn exit_without_actions(&self) -> Exit {
        match (self.not_closed.is_empty(), self.unknown.is_empty()) {
            (false, _) => Exit::Findings,
            (true, false) => Exit::Unchecked,
            (true, true) => Exit::AsWanted,
        }
    }

    /// What the plan leaves alone beside what is held, which is told by itself.
    pub fn left_beside_held(&self, plan: &Plan) -> Vec<LeftAlone> {
        let is_held = |one: &LeftAlone| {
            let mut held = self.held.iter();
            held.any(|held| held.name == one.what && held.text() == one.why)
        };
        let left = plan.left_alone.iter();
        left.filter(|one| !is_held(one)).cloned().collect()
    }

    /// The same in words.
    pub fn headline_without_actions(&self) -> &'static str {
        match self.unknown.is_empty() {
            true => "nothing to do",
            false => "nothing that is known is to be done",
        }
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        let effects = self.effects.as_ref().map(|effects| {
            json!({
                "closes": effects.closed,
                "feeds_end": effects.now.ended(),
                "closes_at_boot": effects.until_boot().collect::<Vec<_>>(),
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
                "maintainers": of_the_host(path).is_ok_and(|ours| ours.is_public).then_some(text),
            })
        });
        json!({
            "findings": effects,
            "not_closed": self.not_closed,
            "apt_lists": self.lists,
            "unknown": self.unknown,
            "held": self.held,
            "rehearsal_unbounded": self.is_unbounded,
            "rehearsed_seconds": self.took.map(|took| took.as_secs_f64()),
            "rehearsed_at": self.rehearsed_at,
            "questions": self.questions,
            "unsigned": self.unsigned,
            "changes": self.changes,
            "begins": self.begins,
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

/// What is told of a patch, and to whom.
#[derive(Clone, Copy, Debug)]
pub struct Telling<'a> {
    pub plan: &'a Plan,
    pub foretold: &'a Foretold,
    /// Where the plan was saved.
    pub saved: Option<&'a Path>,
    /// Is the command told that carries it out?
    pub next: bool,
    pub today: Date,
}

/// The whole, and first what decides: what it is, what it closes, what has to be restarted for it,
/// and what it needs.
pub fn write(out: &mut dyn Write, telling: &Telling<'_>, style: &Style) -> io::Result<()> {
    let paper = &mut Paper::new(out, style);
    write_decisive(paper, telling)?;
    let left = telling.foretold.left_beside_held(telling.plan);
    super::plan::write_body(paper, telling.plan, &left, &|_| None)?;
    write_why(paper, telling)?;
    write_details(paper, telling)?;
    if telling.foretold.is_unbounded {
        let text = "the rehearsal's processes had no common limit, for want of control groups of \
                    version 2";
        paper.row(Role::Wary, "limits", &Text::new().plain(text))?;
    }
    match telling.next {
        true => {
            let flags = flags(telling.foretold);
            super::plan::write_next(paper, telling.plan, telling.saved, &flags)
        }
        false => Ok(()),
    }
}

/// Why each package is in it: the findings that it closes, or else the vulnerabilities that its
/// changelog names, and how that begins.
fn write_why(paper: &mut Paper<'_>, telling: &Telling<'_>) -> io::Result<()> {
    let Telling { plan, foretold, .. } = *telling;
    let upgraded = plan
        .actions
        .iter()
        .filter_map(|action| match &action.effect {
            Effect::Upgrade { packages, .. } => Some(packages),
            _ => None,
        });
    // What is built from one source has one changelog and the same findings.
    let mut groups: Vec<(Vec<&str>, String)> = Vec::new();
    for package in upgraded.flatten() {
        let name = package.bare_name();
        let effects = foretold.effects.iter();
        let closed = effects.flat_map(Effects::closed_or_booted);
        let mut names: Vec<String> = closed
            .filter(|finding| finding.components.iter().any(|one| one == name))
            .flat_map(|finding| [&finding.name].into_iter().chain(&finding.also))
            .cloned()
            .collect();
        let changes = foretold.changes.get(name);
        if names.is_empty() {
            names.extend(changes.iter().flat_map(|one| one.vulnerabilities.clone()));
        }
        names.dedup();
        let head = changes.map(|one| one.head.as_str()).unwrap_or_default();
        let why = match (names.is_empty(), head) {
            (true, "") => continue,
            (true, head) => head.to_owned(),
            (false, "") => first_of(&names, PACKAGES),
            (false, head) => format!("{} ({head})", first_of(&names, PACKAGES)),
        };
        match groups.iter_mut().find(|(_, known)| *known == why) {
            Some((group, _)) => group.push(name),
            None => groups.push((vec![name], why)),
        }
    }
    for (at, (packages, why)) in groups.iter().enumerate() {
        let label = if at == 0 { "why" } else { "" };
        let text = Text::new()
            .say(Role::Strong, &list(packages))
            .plain(&format!(": {why}"));
        paper.row_hanging(Role::Plain, label, LABEL + 2, &text)?;
    }
    Ok(())
}

/// Without what the plan does step by step: that is told as it happens.
pub fn write_brief(out: &mut dyn Write, telling: &Telling<'_>, style: &Style) -> io::Result<()> {
    let paper = &mut Paper::new(out, style);
    write_decisive(paper, telling)?;
    write_details(paper, telling)
}

/// What `patch apply` has to be given, beside what was asked for.
fn flags(foretold: &Foretold) -> Vec<&'static str> {
    match foretold.data.iter().any(Data::is_at_risk) {
        true => vec!["--accept-data-loss"],
        false => Vec::new(),
    }
}

fn write_decisive(paper: &mut Paper<'_>, telling: &Telling<'_>) -> io::Result<()> {
    let Telling {
        plan,
        foretold,
        today,
        ..
    } = *telling;
    write_headline(paper, telling)?;
    for why in &foretold.unknown {
        paper.row(Role::Wary, "unknown", &Text::new().plain(why))?;
    }
    for (source, packages) in &foretold.unsigned {
        let names: Vec<&str> = packages.iter().map(String::as_str).collect();
        let text = format!(
            "{}: nothing says whose packages of {} these are, since it is exempt from signatures",
            list(&names),
            model::printable(source.as_bytes())
        );
        paper.row(Role::Bad, "unsigned", &Text::new().plain(&text))?;
    }
    for data in foretold.data.iter().filter(|data| data.is_at_risk()) {
        let text = format!(
            " to be applied: {} keeps data that no undo brings back, and nothing proves that a \
             backup does",
            data.package
        );
        let text = Text::new()
            .solid(Role::Command, "--accept-data-loss")
            .plain(&text);
        paper.row(Role::Bad, "needs", &text)?;
    }
    if let Some(effects) = &foretold.effects {
        write_effects(paper, effects, today)?;
    }
    let not_closed = foretold.not_closed.iter();
    let (booted, rest): (Vec<&Finding>, Vec<_>) =
        not_closed.partition(|finding| finding.until_boot_of.is_some());
    let (stay, kept): (Vec<&Finding>, Vec<_>) = rest
        .into_iter()
        .partition(|finding| finding.kept_open.is_empty());
    if !stay.is_empty() {
        named(paper, "stay", Role::Bad, &stay, today)?;
        let text = match plan.selection.patches {
            Some(Patches::Due {
                only_security: true,
                ..
            }) => "no pending security update closes these",
            _ => "no pending upgrade closes these",
        };
        paper.indented(LABEL, &Text::new().say(Role::Dim, text))?;
    }
    write_kept(paper, &kept, today)?;
    if !booted.is_empty() {
        named(paper, "reboot", Role::Bad, &booted, today)?;
        let text = "the newer kernel that is installed closes these when it is booted";
        paper.indented(LABEL, &Text::new().say(Role::Dim, text))?;
    }
    write_held(paper, &foretold.held, today)?;
    match &foretold.begins {
        Some(begins) => write_begins(paper, begins, foretold.took),
        None => Ok(()),
    }
}

/// What is due although its new version is installed, with who keeps it open.
fn write_kept(paper: &mut Paper<'_>, kept: &[&Finding], today: Date) -> io::Result<()> {
    let mut by_cause: BTreeMap<String, Vec<&Finding>> = BTreeMap::new();
    for &finding in kept {
        let why = why_open(finding).unwrap_or_default();
        by_cause.entry(why).or_default().push(finding);
    }
    for (why, findings) in by_cause {
        named(paper, "open", Role::Bad, &findings, today)?;
        paper.indented(LABEL, &Text::new().say(Role::Dim, &why))?;
    }
    Ok(())
}

/// `plan 0a1b2c3d   2 packages, closes 3 findings (1 overdue), restarts 1 service, no reboot`.
fn write_headline(paper: &mut Paper<'_>, telling: &Telling<'_>) -> io::Result<()> {
    let Telling { plan, foretold, .. } = *telling;
    let text = Text::new()
        .say(Role::Strong, &format!("plan {}", plan.id()))
        .gap(3);
    if plan.actions.is_empty() {
        return paper.line(&text.plain(foretold.headline_without_actions()));
    }
    let (mut packages, mut restarts) = (0, Vec::new());
    for action in &plan.actions {
        match &action.effect {
            Effect::Upgrade {
                packages: upgraded,
                unfinished,
                ..
            } => packages += upgraded.len().max(unfinished.len()),
            Effect::Unit {
                op: UnitOp::Restart,
                name,
            } => restarts.push(name.as_str()),
            _ => {}
        }
    }
    let mut said = vec![plural(packages, "package")];
    said.extend(closes(foretold, telling.today));
    said.push(match restarts.len() {
        0 => "restarts nothing itself".to_owned(),
        number => plural(number, "restart"),
    });
    let waits = waits_for_a_reboot(plan);
    let at_boot = foretold.effects.iter().flat_map(Effects::until_boot).next();
    let needs_reboot = !waits.is_empty() || at_boot.is_some();
    let (role, reboot) = match needs_reboot {
        true => (Role::Wary, "needs a reboot"),
        false => (Role::Plain, "no reboot"),
    };
    let text = text.plain(&format!("{}, ", said.join(", ")));
    paper.line(&text.solid(role, reboot))?;
    if !restarts.is_empty() {
        paper.row(Role::Dim, "restarts", &Text::new().plain(&list(&restarts)))?;
    }
    if !waits.is_empty() {
        let run = if waits.len() == 1 { "runs" } else { "run" };
        let text = format!("{} {run} on with the old files until then", list(&waits));
        paper.row(Role::Wary, "reboot", &Text::new().plain(&text))?;
    }
    Ok(())
}

/// How many findings it closes at once, where the feeds can tell.
fn closes(foretold: &Foretold, today: Date) -> Option<String> {
    let effects = foretold.effects.as_ref()?;
    if effects.now.feeds.is_empty() {
        return Some("which findings it closes is unknown".to_owned());
    }
    let closed = &effects.closed;
    let at_boot = effects.until_boot().count();
    let overdue = closed.iter().filter(|one| one.ranking.is_overdue(today));
    let overdue = match overdue.count() {
        0 => String::new(),
        count => format!(" ({} overdue)", number(count)),
    };
    Some(match (closed.len(), at_boot) {
        (0, 0) => match effects.now.ended() {
            Some(day) => format!("which findings it closes is unknown: the feeds end on {day}"),
            None => "closes no known finding".to_owned(),
        },
        (0, _) => format!("closes {} at the next boot", plural(at_boot, "finding")),
        (now, 0) => format!("closes {}{overdue}", plural(now, "finding")),
        (now, _) => format!(
            "closes {}{overdue} and {} more at the next boot",
            plural(now, "finding"),
            number(at_boot)
        ),
    })
}

/// The first of them, and how many more.
fn list(names: &[&str]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(PACKAGES)
        .map(|name| model::printable(name.as_bytes()))
        .collect();
    match names.len().saturating_sub(PACKAGES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// What is good to know and decides nothing.
fn write_details(paper: &mut Paper<'_>, telling: &Telling<'_>) -> io::Result<()> {
    let Telling { plan, foretold, .. } = *telling;
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
    let answers = plan
        .actions
        .iter()
        .filter_map(|action| match &action.effect {
            Effect::Upgrade { answers, .. } => Some(answers),
            _ => None,
        });
    for answer in answers.flatten() {
        let text = format!(
            "{} is told {} ({}), by the policy",
            answer.package, answer.value, answer.question
        );
        paper.row(Role::Dim, "answers", &Text::new().plain(&text))?;
    }
    if !foretold.questions.is_empty() {
        let names: Vec<&str> = foretold.questions.iter().map(String::as_str).collect();
        let text = format!(
            "{}: nobody is asked, and the package's own answer counts, or none; answer in \
             the policy's patches.yaml, or before with debconf-set-selections",
            list(&names)
        );
        paper.row(Role::Wary, "asks", &Text::new().plain(&text))?;
    }
    for (path, maintainers) in &foretold.conflicts {
        let text = format!("{path} stays; from it to the maintainer's new version:");
        paper.row(Role::Wary, "kept", &Text::new().plain(&text))?;
        match of_the_host(path) {
            Ok(ours) if ours.is_public => difference::write_on(paper, &ours.bytes, maintainers)?,
            Ok(_) => {
                let text = "not shown, since it may hold secrets";
                paper.indented(2, &Text::new().plain(text))?;
            }
            Err(why) => {
                let text = format!("not shown, since it could not be read: {why}");
                paper.indented(2, &Text::new().plain(&text))?;
            }
        }
    }
    if let Some(lists) = &foretold.lists {
        lists.write_age(paper)?;
    }
    if let Some(effects) = &foretold.effects {
        super::vulns::feeds(paper, &effects.now.feeds)?;
    }
    for (at, room) in foretold.room.iter().enumerate() {
        let label = if at == 0 { "room" } else { "" };
        let text = format!(
            "{} are written below {}, of {} free",
            size(room.written_bytes),
            room.at.display(),
            size(room.free_bytes)
        );
        paper.row(Role::Dim, label, &Text::new().plain(&text))?;
    }
    if let (Some(took), None) = (foretold.took, &foretold.begins) {
        let text = format!(
            "the packages took {} on the copy; while they are put in place on the host, services of \
             theirs may be away",
            span(took)
        );
        paper.row(Role::Dim, "away", &Text::new().plain(&text))?;
    }
    Ok(())
}

/// May anybody read it on the host? Else its content is shown to nobody: a plan ends in logs and in
/// tickets.
/// A configuration file as it is on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    pub bytes: Vec<u8>,
    /// Everybody may read it, so that it may be shown.
    pub is_public: bool,
}

/// Looks at a configuration file that stays: through no link but root's, and waiting for no pipe.
///
/// # Errors
/// With the reason, where it can't be read.
pub fn ours(root: &Root, path: &HostPath) -> Result<Ours, String> {
    const LIMIT_BYTES: u64 = 16 << 20;
    let is_public = !may_hold_secrets(path);
    let read = root.read_with_mode(path, LIMIT_BYTES);
    Ok(match read.map_err(|error| error.to_string())? {
        Some((bytes, mode)) => Ours {
            bytes,
            is_public: is_public && mode & 0o004 != 0,
        },
        // It has gone meanwhile.
        None => Ours {
            bytes: Vec::new(),
            is_public,
        },
    })
}

fn of_the_host(path: &HostPath) -> Result<Ours, String> {
    let root = Root::live().map_err(|error| error.to_string())?;
    ours(&root, path)
}

fn write_effects(paper: &mut Paper<'_>, effects: &Effects, today: Date) -> io::Result<()> {
    if effects.now.feeds.is_empty() {
        let text = "which findings it closes: there is no feed (steadfast feed import FILE)";
        return paper.row(Role::Wary, "unknown", &Text::new().plain(text));
    }
    let closed: Vec<&Finding> = effects.closed.iter().collect();
    let at_boot: Vec<&Finding> = effects.until_boot().collect();
    if at_boot.is_empty() || !closed.is_empty() {
        match effects.now.ended().filter(|_| closed.is_empty()) {
            // What came out since then is what is pending.
            Some(day) => {
                let text = format!("unknown: the feeds end on {day}, and know no later fix");
                paper.row(Role::Wary, "closes", &Text::new().plain(&text))?;
            }
            None => named(paper, "closes", Role::Good, &closed, today)?,
        }
    }
    named(paper, "reboot", Role::Wary, &at_boot, today)?;
    if let Some(version) = at_boot
        .first()
        .and_then(|first| first.until_boot_of.as_ref())
    {
        let text = format!("closed when kernel {version} is booted, and open until then");
        paper.indented(LABEL, &Text::new().say(Role::Dim, &text))?;
    }
    let brought: Vec<&Finding> = effects.brought.iter().collect();
    named(paper, "brings", Role::Bad, &brought, today)?;
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

/// Newer versions that are not taken, and the findings that stay open for that: once for all that is
/// built from one source, those for security first.
pub fn write_held(paper: &mut Paper<'_>, held: &[HeldBack], today: Date) -> io::Result<()> {
    let mut groups: Vec<Vec<&HeldBack>> = Vec::new();
    for held in held {
        let is_like = |group: &&mut Vec<&HeldBack>| {
            let first = group[0];
            (first.source.is_some() || held.keeps_open.is_empty())
                && (&first.source, first.text(), first.keeps_open.is_empty())
                    == (&held.source, held.text(), held.keeps_open.is_empty())
        };
        match groups.iter_mut().find(is_like) {
            Some(group) => group.push(held),
            None => groups.push(vec![held]),
        }
    }
    groups.sort_by_key(|group| (group[0].keeps_open.is_empty(), !group[0].security));
    let more = groups.len().saturating_sub(HELD);
    for group in groups.into_iter().take(HELD) {
        let first = group[0];
        let names: Vec<&str> = group.iter().map(|held| held.name.as_str()).collect();
        let what = match (&first.source, names.as_slice()) {
            (_, [name]) => (*name).to_owned(),
            (Some(source), names) => format!("{source} ({})", list(names)),
            (None, names) => list(names),
        };
        let mut keeps_open: Vec<&Finding> = Vec::new();
        for finding in group.iter().flat_map(|held| &held.keeps_open) {
            let is_same = |known: &&Finding| {
                (&known.name, &known.package) == (&finding.name, &finding.package)
            };
            if !keeps_open.iter().any(is_same) {
                keeps_open.push(finding);
            }
        }
        let (role, end) = match (keeps_open.is_empty(), first.security) {
            (false, _) => (Role::Bad, ", and would close what stays open for that:"),
            (true, true) => (Role::Bad, ""),
            (true, false) => (Role::Wary, ""),
        };
        let label = match first.why {
            Cause::Held | Cause::Waits => "held",
            Cause::Pinned => "pinned",
            Cause::KeptBack => "kept back",
        };
        let text = format!("{what}: {}{end}", first.text());
        paper.row(role, label, &Text::new().plain(&text))?;
        if !keeps_open.is_empty() {
            named(paper, "", Role::Bad, &keeps_open, today)?;
        }
    }
    match more {
        0 => Ok(()),
        more => {
            let text = format!("and {} more: --format json", number(more));
            paper.indented(LABEL, &Text::new().say(Role::Dim, &text))
        }
    }
}

/// When this host begins, and whether there is time enough.
pub fn write_begins(
    paper: &mut Paper<'_>,
    begins: &Begins,
    took: Option<Duration>,
) -> io::Result<()> {
    let when = match begins.now {
        true => format!("now, until {:.0}", begins.last),
        false => format!(
            "at {:.0}, its own place in the window, until {:.0}",
            begins.first, begins.last
        ),
    };
    let needs = Duration::from_secs(begins.needs_seconds);
    let text = format!(
        "this host may begin {when}; the window closes at {:.0}, and {} are reckoned with (--needs)",
        begins.closes,
        span(needs)
    );
    paper.row(Role::Dim, "window", &Text::new().plain(&text))?;
    match took {
        Some(took) if took > needs => {
            let text = format!(
                "on the copy alone it took {}: it would be stopped, and taken back",
                span(took)
            );
            paper.row(Role::Bad, "", &Text::new().plain(&text))
        }
        Some(took) => {
            let text = format!(
                "on the copy it took {}; for as long, services of the packages may be away",
                span(took)
            );
            paper.row(Role::Dim, "", &Text::new().plain(&text))
        }
        None => Ok(()),
    }
}

/// `45 s`, `30 min`, `1 h 30 min`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds % 3600 / 60) {
        (0, 0) => format!("{} s", seconds.max(1)),
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// Findings, counted by what is to be done, and the most urgent by name.
pub fn named(
    paper: &mut Paper<'_>,
    label: &str,
    role: Role,
    findings: &[&Finding],
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
