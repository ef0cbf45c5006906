//! Shows a plan before anything changes: each file as a diff, everything else as a
//! line, then what is checked, what follows, what could go wrong, and how it is
//! taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use model::count::{first_of, plural};
use model::effect::USUAL_NEED_SECONDS;
use model::plan::{LeftAlone, Patches, Risk, Selection};
use model::{Action, Digest, Effect, HostPath, Inverse, PackageUpgrade, Plan, UnitOp};

use super::diff::{self, DiffLine, Difference, LineKind};
use super::effect::{Seen, describe, is_secret, meta_changes, upgraded};
use crate::layout::{LABEL, Paper, Text};
use crate::report::NextStep;
use crate::report::human::{count, next_steps};
use crate::style::{Role, Sign, Style};

/// Lines of one file's diff, and of all together: nobody reviews more on a terminal, and the
/// saved plan holds everything.
const LINES_PER_FILE: usize = 60;
const LINES: usize = 600;
/// Files shown in one plan.
const FILES: usize = 100;
/// Other steps listed in one plan.
const STEPS: usize = 60;
/// Names in one list.
const NAMES: usize = 6;
/// So many of what is as wanted already are named; more are counted.
const MOST_PASSING: usize = 1;
/// So many that do not apply are named.
const MOST_NOT_APPLICABLE: usize = 3;
/// A longer line of a file is cut.
const LINE_CHARACTERS: usize = 500;

/// What a path holds now; none where there is nothing.
pub type Current<'a> = &'a dyn Fn(&HostPath) -> Option<Vec<u8>>;

/// Writes the whole plan. `saved` is where it was saved.
pub fn write(
    out: &mut dyn Write,
    plan: &Plan,
    current: Current<'_>,
    saved: Option<&Path>,
    style: &Style,
) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    paper.line(
        &Text::new()
            .say(Role::Strong, &format!("plan {}", plan.id()))
            .gap(3)
            .plain(&summary(plan)),
    )?;
    write_body(&mut paper, plan, &plan.left_alone, current)?;
    let flags: &[&str] = match ::plan::stages::is_unforeseen(plan) {
        true => &["--unrehearsed"],
        false => &[],
    };
    write_next(&mut paper, plan, saved, flags)
}

/// What it does, what follows and what it leaves alone.
pub(super) fn write_body(
    paper: &mut Paper<'_>,
    plan: &Plan,
    left: &[LeftAlone],
    current: Current<'_>,
) -> io::Result<()> {
    actions(paper, plan, current)?;
    consequences(paper, plan)?;
    left_alone(paper, left)
}

/// The command that carries it out, with the flags that it needs.
pub(super) fn write_next(
    paper: &mut Paper<'_>,
    plan: &Plan,
    saved: Option<&Path>,
    flags: &[&str],
) -> io::Result<()> {
    if plan.actions.is_empty() {
        return Ok(());
    }
    let apply = match plan.selection.patches {
        Some(_) => "steadfast patch apply",
        None => "steadfast apply",
    };
    let with_flags = |command: String| {
        let words = std::iter::once(command.as_str()).chain(flags.iter().copied());
        words.collect::<Vec<_>>().join(" ")
    };
    let step = match saved {
        Some(path) => {
            // From whatever folder it is asked for.
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let path = quoted(&path.to_string_lossy());
            NextStep::new(with_flags(format!("{apply} {path}")), "exactly this plan")
        }
        None => NextStep::new(with_flags(command(apply, &plan.selection)), ""),
    };
    next_steps(paper, &[step])
}

/// Only what a plan that does nothing leaves alone.
pub fn write_left_alone(out: &mut dyn Write, left: &[LeftAlone], style: &Style) -> io::Result<()> {
    left_alone(&mut Paper::new(out, style), left)
}

/// A plan without actions, in words.
pub fn nothing(plan: &Plan) -> &'static str {
    if plan.left_alone.iter().any(LeftAlone::is_impossible) {
        "nothing can be done"
    } else if plan.left_alone.iter().any(LeftAlone::is_unknown) {
        "nothing is known to be to do"
    } else {
        "nothing to do"
    }
}

/// `2 files, 1 kernel parameter, 1 reload`: what the plan touches, counted.
pub fn summary(plan: &Plan) -> String {
    if plan.actions.is_empty() {
        return nothing(plan).to_owned();
    }
    let mut paths = BTreeSet::new();
    let mut counts: BTreeMap<usize, (usize, &str)> = BTreeMap::new();
    for action in &plan.actions {
        let (place, what) = match &action.effect {
            effect if effect.path().is_some() => {
                paths.extend(effect.path());
                continue;
            }
            Effect::Package { .. } => (1, "package"),
            Effect::Upgrade {
                packages,
                unfinished,
                removals,
                ..
            } => {
                let number = packages.len().max(unfinished.len()) + removals.len();
                counts.entry(1).or_insert((0, "package")).0 += number;
                continue;
            }
            Effect::Account(_) => (2, "account change"),
            Effect::Sysctl { .. } => (3, "kernel parameter"),
            Effect::Module { .. } => (4, "kernel module"),
            Effect::Remount { .. } => (5, "remount"),
            Effect::Unit {
                op: UnitOp::Reload, ..
            } => (7, "reload"),
            Effect::Unit {
                op: UnitOp::Restart,
                ..
            } => (8, "restart"),
            Effect::Unit {
                op: UnitOp::DaemonReload,
                ..
            }
            | Effect::LoadAuditRules => continue,
            Effect::Unit { .. } => (6, "service change"),
            Effect::Run { .. } => (9, "command"),
            // All others have a path.
            _ => continue,
        };
        counts.entry(place).or_insert((0, what)).0 += 1;
    }
    let mut said = Vec::new();
    if !paths.is_empty() {
        said.push(count(paths.len(), "file"));
    }
    said.extend(counts.values().map(|(number, what)| count(*number, what)));
    said.join(", ")
}

fn actions(paper: &mut Paper<'_>, plan: &Plan, current: Current<'_>) -> io::Result<()> {
    let seen = Seen::of(plan);
    let mut lines_left = LINES;
    let (mut files, mut steps) = (0, 0);
    let mut in_list = false;
    for action in &plan.actions {
        if action.effect.is_activation() {
            continue;
        }
        let replaces_content = matches!(
            action.effect,
            Effect::PutFile { .. } | Effect::Remove { .. }
        );
        if replaces_content {
            files += 1;
            if files > FILES {
                continue;
            }
            paper.blank()?;
            in_list = false;
            file(paper, action, &seen, current, &mut lines_left)?;
            continue;
        }
        steps += 1;
        if steps > STEPS {
            continue;
        }
        if !in_list {
            paper.blank()?;
            in_list = true;
        }
        let to = paper.sign(Sign::To);
        let text = describe(&action.effect, &seen, is_secret(action), to);
        heading(paper, &text, action)?;
        if action.decided_on_host {
            let text = "decided on the host: only if it is needed when the packages are there";
            paper.indented(2, &Text::new().say(Role::Dim, text))?;
        }
        if let Effect::Upgrade {
            packages, writes, ..
        } = &action.effect
        {
            upgrade(paper, packages, writes.len())?;
        }
    }
    for (left, what) in [
        (files.saturating_sub(FILES), "more file"),
        (steps.saturating_sub(STEPS), "more step"),
    ] {
        if left > 0 {
            let left = count(left, what);
            let more = paper.sign(Sign::More);
            let text = format!("{more} {left} (the saved plan, --output FILE, lists all)");
            paper.line(&Text::new().say(Role::Dim, &text))?;
        }
    }
    Ok(())
}

/// Each package, where its new version comes from, and what the rehearsal wrote.
fn upgrade(paper: &mut Paper<'_>, packages: &[PackageUpgrade], paths: usize) -> io::Result<()> {
    let to = paper.sign(Sign::To);
    for package in packages {
        let text = Text::new().plain(&upgraded(package, to));
        paper.indented(2, &text.gap(3).say(Role::Dim, &kind(package)))?;
    }
    let text = format!(
        "rehearsed on a copy of this host: it writes {}, which are imaged first",
        count(paths, "path")
    );
    paper.indented(2, &Text::new().plain(&text))
}

/// `security`, or where the new version comes from.
fn kind(package: &PackageUpgrade) -> String {
    match package.origins.first() {
        _ if package.is_security() => "security".to_owned(),
        Some(origin) => model::printable(origin.as_bytes()),
        None => String::new(),
    }
}

/// What is done, and at the right which rules it serves.
fn heading(paper: &mut Paper<'_>, what: &str, action: &Action) -> io::Result<()> {
    let what = Text::new().say(Role::Strong, what);
    let serves = format!("for {}", names(&action.serves));
    let width = paper.style().width;
    if what.width() + 3 + serves.len() <= width {
        let gap = (width - what.width() - serves.len()).max(3);
        // Not further to the right than the eye follows.
        let gap = gap.min(50_usize.saturating_sub(what.width()).max(3));
        return paper.line(&what.gap(gap).solid(Role::Dim, &serves));
    }
    paper.line(&what)?;
    paper.indented(2, &Text::new().say(Role::Dim, &serves))
}

fn names(all: &[String]) -> String {
    let mut text = all
        .iter()
        .take(NAMES)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if all.len() > NAMES {
        text += &format!(" and {} more", all.len() - NAMES);
    }
    text
}

fn file(
    paper: &mut Paper<'_>,
    action: &Action,
    seen: &Seen<'_>,
    current: Current<'_>,
    lines_left: &mut usize,
) -> io::Result<()> {
    let to = paper.sign(Sign::To);
    let (path, new) = match &action.effect {
        Effect::PutFile { path, content, .. } => (path, Some(content.as_bytes())),
        Effect::Remove { path } => (path, None),
        _ => return Ok(()),
    };
    let secret = is_secret(action);
    let old = if secret { None } else { current(path) };
    heading(paper, &path.to_string(), action)?;
    if let Effect::PutFile {
        mode, owner, group, ..
    } = &action.effect
    {
        let before = seen.meta(path);
        let mut changes =
            meta_changes(before, *mode, owner.as_deref(), group.as_deref(), false, to);
        if before.is_none() && old.is_none() && !secret {
            changes.insert(0, "a new file".to_owned());
        }
        if !changes.is_empty() {
            paper.indented(2, &Text::new().plain(&changes.join(", ")))?;
        }
    }
    if new.is_none() {
        paper.indented(2, &Text::new().say(Role::Wary, "is removed"))?;
    }
    if secret {
        let text = "its content may hold secrets and is not shown";
        return paper.indented(2, &Text::new().say(Role::Dim, text));
    }
    if new.is_none() && old.is_none() {
        return Ok(());
    }
    match diff::compare(old.as_deref(), new.unwrap_or_default()) {
        Difference::Same => {
            let text = if old.is_some() {
                "the content stays as it is"
            } else {
                "it is empty"
            };
            paper.indented(2, &Text::new().say(Role::Dim, text))
        }
        Difference::Opaque => {
            let text = format!("{} {to} {}", size(old.as_deref()), size(new));
            paper.indented(2, &Text::new().plain(&text))
        }
        Difference::Lines(lines) => diff_lines(paper, &lines, lines_left),
    }
}

/// `1.2 kB (sha256 0a1b2c3d)`
fn size(content: Option<&[u8]>) -> String {
    match content {
        None => "nothing".to_owned(),
        Some(bytes) => format!(
            "{} (sha256 {})",
            model::count::size(bytes.len()),
            Digest::of(bytes).short()
        ),
    }
}

fn diff_lines(paper: &mut Paper<'_>, lines: &[DiffLine], left: &mut usize) -> io::Result<()> {
    let bar = paper.sign(Sign::Bar);
    let widest = lines
        .iter()
        .filter_map(|line| line.number)
        .max()
        .unwrap_or(1)
        .to_string()
        .len()
        .max(4);
    let shown = lines.len().min(LINES_PER_FILE).min(*left);
    *left -= shown;
    for line in &lines[..shown] {
        let (sign, role) = match line.kind {
            LineKind::Kept => (' ', Role::Plain),
            LineKind::Added => ('+', Role::Good),
            LineKind::Removed => ('-', Role::Bad),
            LineKind::Gap => {
                let more = paper.sign(Sign::More);
                paper.cut(0, Role::Dim, &format!("{more:>widest$}"))?;
                continue;
            }
            LineKind::Remark => {
                paper.cut(
                    0,
                    Role::Dim,
                    &format!("{:widest$} {bar}  {}", "", line.text),
                )?;
                continue;
            }
        };
        let number = line
            .number
            .map_or_else(String::new, |number| number.to_string());
        let prefix = format!("{number:>widest$} {bar} ");
        let follow = format!("{:widest$} {bar}  ", "");
        let mut text = line.text.clone();
        if let Some((at, _)) = text.char_indices().nth(LINE_CHARACTERS) {
            let rest = text[at..].chars().count();
            text.truncate(at);
            text += &format!("... ({rest} more characters)");
        }
        paper.verbatim(&prefix, &follow, role, &format!("{sign}{text}"))?;
    }
    if shown < lines.len() {
        let text = format!(
            "{} {} of this diff (the saved plan, --output FILE, holds all)",
            paper.sign(Sign::More),
            plural(lines.len() - shown, "more line")
        );
        paper.indented(2, &Text::new().say(Role::Dim, &text))?;
    }
    Ok(())
}

/// Checks, what follows, risk and undo.
fn consequences(paper: &mut Paper<'_>, plan: &Plan) -> io::Result<()> {
    if plan.actions.is_empty() {
        return Ok(());
    }
    paper.blank()?;
    let mut validators: Vec<_> = plan.actions.iter().filter_map(|a| a.validate).collect();
    validators.sort_unstable();
    validators.dedup();
    if !validators.is_empty() {
        let commands: Vec<_> = validators.iter().map(|v| v.command()).collect();
        let text = format!(
            "{}, in a private view of /etc, before any file is put in place",
            commands.join(", ")
        );
        paper.row(Role::Dim, "checks", &Text::new().plain(&text))?;
    }
    let nothing = Seen::nothing();
    let to = paper.sign(Sign::To);
    let mut after = Vec::new();
    for action in plan.actions.iter().filter(|a| a.effect.is_activation()) {
        let text = describe(&action.effect, &nothing, false, to);
        let checked = match &action.effect {
            Effect::Unit {
                op: UnitOp::Reload | UnitOp::Restart,
                ..
            } => {
                format!("{text}, then its health is checked")
            }
            _ => text,
        };
        if !after.contains(&checked) {
            after.push(checked);
        }
    }
    for (at, text) in after.iter().enumerate() {
        let label = if at == 0 { "after" } else { "" };
        paper.row(Role::Dim, label, &Text::new().plain(text))?;
    }
    along(paper, plan)?;
    risks(paper, plan)?;
    undo(paper, plan)
}

/// What systemd starts and stops with the units that are told.
fn along(paper: &mut Paper<'_>, plan: &Plan) -> io::Result<()> {
    let mut label = "along";
    for action in &plan.actions {
        let Effect::Unit { name, .. } = &action.effect else {
            continue;
        };
        let moves = [
            ("stops", &action.along.stops),
            ("restarts", &action.along.restarts),
            ("starts", &action.along.starts),
        ];
        let moves: Vec<String> = moves
            .into_iter()
            .filter(|(_, units)| !units.is_empty())
            .map(|(verb, units)| {
                let units: Vec<String> = units
                    .iter()
                    .map(|unit| model::printable(unit.as_bytes()))
                    .collect();
                format!("{verb} {}", first_of(&units, NAMES))
            })
            .collect();
        if moves.is_empty() {
            continue;
        }
        let name = model::printable(name.as_bytes());
        let text = format!("with {name}, systemd {}", moves.join(", and "));
        paper.row(Role::Dim, label, &Text::new().plain(&text))?;
        label = "";
    }
    Ok(())
}

fn risks(paper: &mut Paper<'_>, plan: &Plan) -> io::Result<()> {
    if plan.risk() == Risk::None {
        return paper.row(Role::Dim, "risk", &Text::new().plain("none that is known"));
    }
    let mut label = "risk";
    for risk in [Risk::Connectivity, Risk::Access, Risk::Service] {
        let mut serves: Vec<String> = plan
            .actions
            .iter()
            .filter(|action| action.risk == risk)
            .flat_map(|action| action.serves.clone())
            .collect();
        serves.sort_unstable();
        serves.dedup();
        if serves.is_empty() {
            continue;
        }
        let mut text = Text::new().say(
            if risk == Risk::Service {
                Role::Plain
            } else {
                Role::Wary
            },
            &risk.to_string(),
        );
        if risk == Risk::Connectivity {
            text = text.plain(
                ": taken back unless someone signs in anew in time, or `steadfast confirm` keeps it",
            );
        }
        // Which, where not everything in the plan is meant.
        if plan.actions.iter().any(|action| action.risk != risk) {
            text = text.say(Role::Dim, &format!(" (for {})", names(&serves)));
        }
        paper.row(Role::Dim, label, &text)?;
        label = "";
        reasons(paper, plan, risk)?;
    }
    Ok(())
}

/// What is touched that makes a plan so risky, where that is known.
fn reasons(paper: &mut Paper<'_>, plan: &Plan, risk: Risk) -> io::Result<()> {
    let mut reasons: Vec<&str> = plan
        .actions
        .iter()
        .filter(|action| action.risk == risk)
        .filter_map(|action| action.risk_why.as_deref())
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    for why in reasons.iter().take(NAMES) {
        let why = model::printable(why.as_bytes());
        paper.row_hanging(Role::Dim, "", LABEL + 2, &Text::new().say(Role::Dim, &why))?;
    }
    if reasons.len() > NAMES {
        let more = format!("and {} more: --format json", reasons.len() - NAMES);
        paper.row(Role::Dim, "", &Text::new().say(Role::Dim, &more))?;
    }
    Ok(())
}

fn undo(paper: &mut Paper<'_>, plan: &Plan) -> io::Result<()> {
    let mut restored = BTreeSet::new();
    let (mut others, mut irreversible, mut runs) = (0, Vec::new(), Vec::new());
    for action in &plan.actions {
        match &action.inverse {
            Inverse::Restore => match &action.effect {
                Effect::Upgrade { writes, .. } => restored.extend(writes),
                effect => match effect.path() {
                    Some(path) => {
                        restored.insert(path);
                    }
                    None => others += 1,
                },
            },
            Inverse::Effect(back) if matches!(**back, Effect::Run { .. }) => {
                let to = paper.sign(Sign::To);
                runs.push(describe(back, &Seen::nothing(), is_secret(action), to));
            }
            Inverse::Effect(_) => others += 1,
            Inverse::Repeat => {}
            Inverse::Irreversible { why } => irreversible.push((action, why)),
        }
    }
    let mut said = Vec::new();
    if !restored.is_empty() {
        said.push(match restored.len() {
            1 => "puts the file back as it was, byte for byte".to_owned(),
            number => format!("puts back {number} files as they were, byte for byte"),
        });
    }
    if others > 0 {
        let what = if others == 1 { "step" } else { "steps" };
        said.push(format!("takes back {others} other {what}"));
    }
    said.extend(runs.into_iter().map(|run| format!("will {run}")));
    if !said.is_empty() {
        paper.row(Role::Dim, "undo", &Text::new().plain(&said.join("; ")))?;
    }
    for (action, why) in irreversible {
        let to = paper.sign(Sign::To);
        let what = describe(&action.effect, &Seen::nothing(), is_secret(action), to);
        let text = Text::new()
            .say(Role::Bad, "can't be taken back: ")
            .plain(&format!("{what} ({why})"));
        paper.row(Role::Bad, "no undo", &text)?;
    }
    Ok(())
}

/// What the plan does not touch, said once per reason.
fn left_alone(paper: &mut Paper<'_>, all: &[LeftAlone]) -> io::Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    paper.blank()?;
    let passing = all.iter().filter(|one| one.passes()).count();
    let absent = all.iter().filter(|one| one.does_not_apply()).count();
    let folds_passing = passing > MOST_PASSING;
    let folds_absent = absent > MOST_NOT_APPLICABLE;
    let is_folded =
        |one: &LeftAlone| folds_passing && one.passes() || folds_absent && one.does_not_apply();
    let mut reasons: Vec<(&str, Vec<&LeftAlone>)> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for one in all.iter().filter(|one| !is_folded(one)) {
        match places.get(one.why.as_str()) {
            Some(place) => reasons[*place].1.push(one),
            None => {
                places.insert(&one.why, reasons.len());
                reasons.push((&one.why, vec![one]));
            }
        }
    }
    let mut label = "left out";
    for (why, group) in reasons {
        let what: Vec<String> = group.iter().map(|one| one.what.clone()).collect();
        let mut text = Text::new()
            .plain(&names(&what))
            .solid(Role::Plain, ":")
            .gap(1)
            .plain(why);
        if let [LeftAlone { at, .. }] = group[..]
            && let Some(place) = at.first()
        {
            text = text.gap(2).solid(Role::Dim, &place.to_string());
        }
        paper.row(Role::Dim, label, &text)?;
        label = "";
    }
    let folds = [
        (folds_passing, format!("{} as wanted already", are(passing))),
        (folds_absent, format!("{absent} do not apply to this host")),
    ];
    for (_, said) in folds.iter().filter(|(is_folded, _)| *is_folded) {
        let text = format!("{said} (--format json lists them)");
        paper.row(Role::Dim, label, &Text::new().plain(&text))?;
        label = "";
    }
    Ok(())
}

fn are(number: usize) -> String {
    match number {
        1 => "1 is".to_owned(),
        n => format!("{n} are"),
    }
}

/// The command line that asks for `selection` again.
pub fn command(command: &str, selection: &Selection) -> String {
    let mut text = command.to_owned();
    let lists = [
        ("--baseline", &selection.baselines),
        ("--profile", &selection.profiles),
        ("--role", &selection.roles),
        ("--rule", &selection.rules),
    ];
    for (flag, names) in lists {
        for name in names {
            text += &format!(" {flag} {}", quoted(name));
        }
    }
    if let Some(policy) = &selection.policy {
        text += &format!(" --policy {}", quoted(policy));
    }
    for (name, value) in &selection.params {
        text += &format!(" --param {}", quoted(&format!("{name}={value}")));
    }
    for (name, source) in &selection.params_from {
        text += &format!(" --param-from {}", quoted(&format!("{name}={source}")));
    }
    for file in &selection.param_files {
        text += &format!(" --param-file {}", quoted(file));
    }
    match selection.patches {
        // A command of its own.
        Some(Patches::All | Patches::Restart) => {}
        Some(Patches::Security) => text += " --only security",
        Some(Patches::Repair) => text += " --repair",
        Some(Patches::Due {
            within_days,
            only_security,
        }) => {
            if only_security {
                text += " --only security";
            }
            text += &format!(" --deadline-within {within_days}d");
        }
        // A patch stands or falls as a whole anyway.
        None if selection.all_or_nothing => text += " --all-or-nothing",
        None => {}
    }
    for (flag, names) in [
        ("--package", &selection.packages),
        ("--exclude", &selection.excluded),
        ("--cve", &selection.vulnerabilities),
        ("--previous", &selection.previous),
    ] {
        for name in names {
            text += &format!(" {flag} {}", quoted(name));
        }
    }
    let needs = selection.needs_seconds;
    // A window brings a time and a limit with it, which nobody has to ask for.
    if let Some(seconds) = selection
        .limit_seconds
        .filter(|_| selection.limit_seconds != needs)
    {
        text += &format!(" --limit {}", time(seconds));
    }
    if let Some(window) = &selection.window {
        text += &format!(" --window {}", quoted(window));
    }
    if let Some(seconds) = needs.filter(|seconds| *seconds != USUAL_NEED_SECONDS) {
        text += &format!(" --needs {}", time(seconds));
    }
    text
}

/// As `--limit` and `--needs` take it.
fn time(seconds: u64) -> String {
    match (seconds % 3600, seconds % 60) {
        (0, _) => format!("{}h", seconds / 3600),
        (_, 0) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// A word as a POSIX shell reads it back (2.2.2, single quotes).
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
