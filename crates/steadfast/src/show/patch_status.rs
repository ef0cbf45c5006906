//! Shows how far the patches of a host are: what is pending and overdue, and what still runs what
//! they replaced.

use std::collections::BTreeMap;
use std::io::{self, Write};

use advisory::assess::{FeedState, Finding};
use jiff::civil::Date;
use model::count::{first_of, plural};
use model::{Change, ChangeState};
use serde::Serialize;

use super::apt_lists::AptLists;
use super::change::endings;
use super::history::{minute, state_text};
use super::patch::{Begins, HeldBack, named, write_begins, write_held};
use super::still_open::{by, until};
use crate::layout::{LABEL, Paper, Text};
use crate::report::NextStep;
use crate::report::human::next_steps;
use crate::style::{Role, Sign, Style};

/// The answer for programs.
#[derive(Debug, Default, Serialize)]
pub struct Status {
    pub format: u32,
    /// Changes that are not finished: interrupted, at work, waiting to be confirmed, or in need of a
    /// person.
    pub unfinished: Vec<Unfinished>,
    /// Packages that dpkg did not finish, each with what it calls it: `half-configured`.
    pub broken: BTreeMap<String, String>,
    /// The package manager that is at work on them now.
    pub package_manager: Option<String>,
    /// Each unit, or process without one, with the old files that it has mapped.
    pub runs_old_files: BTreeMap<String, Vec<String>>,
    pub booted_kernel: String,
    pub newest_kernel: Option<String>,
    pub reboot_due: bool,
    /// The packages that ask for a restart of the machine (`/run/reboot-required`); none where
    /// nobody asks.
    pub reboot_asked_for: Option<Vec<String>>,
    /// Is a reboot due for the sake of a kernel?
    #[serde(skip)]
    pub kernel_is_due: bool,
    /// Does the next boot run an older kernel, as after the undo of its upgrade?
    pub next_boot_is_older: bool,
    /// Is the package of the one that runs gone, and its modules with it?
    pub booted_kernel_is_removed: bool,
    /// Findings that an upgrade closed by its version, while the old files still run or it is not
    /// finished.
    pub open_until_restarted: Vec<Open>,
    /// Findings with a fix whose date has passed.
    pub overdue: Vec<Finding>,
    /// Findings that are due as asked for, and not overdue.
    pub due: Vec<Finding>,
    /// The pending upgrades that were asked for.
    pub pending: Vec<Waiting>,
    /// Can't it be told what is pending, or only as of some time ago?
    #[serde(skip)]
    pub pending_is_unknown: bool,
    /// Is every name shown?
    #[serde(skip)]
    pub shows_all: bool,
    /// Was only some of what is pending asked for?
    #[serde(skip)]
    pub is_narrowed: bool,
    /// How old apt's lists are, which say what is pending.
    pub lists: Option<AptLists>,
    /// What a hold keeps back of them.
    pub held: Vec<HeldBack>,
    /// When this host may begin, where a window was given.
    pub begins: Option<Begins>,
    /// The command that plans what is pending of what was asked for.
    #[serde(skip)]
    pub plan: String,
    /// The feeds that say so, and how old they are.
    pub feeds: Vec<FeedState>,
    /// Why what is open or overdue can't be told in full.
    pub unknown: Vec<String>,
}

/// A change that is not finished.
#[derive(Debug, Serialize)]
pub struct Unfinished {
    #[serde(flatten)]
    pub change: Change,
    /// Is somebody at work on it now?
    pub at_work: bool,
    /// The command that ends it.
    pub command: Option<String>,
}

/// A finding whose new version is installed.
#[derive(Debug, Serialize)]
pub struct Open {
    pub name: String,
    pub package: String,
    /// Who runs the old files, or which change is not finished.
    pub by: Vec<String>,
    /// What closes it, in words.
    pub until: String,
}

impl Open {
    /// None for a finding of the version that is installed.
    pub fn of(finding: &Finding) -> Option<Self> {
        Some(Self {
            until: until(finding)?,
            by: by(finding),
            name: finding.name.clone(),
            package: finding.package.name.clone(),
        })
    }
}

/// A pending upgrade.
#[derive(Debug, Serialize)]
pub struct Waiting {
    pub name: String,
    pub architecture: String,
    pub from: Option<String>,
    pub to: String,
    pub security: bool,
}

/// Names in one list.
const NAMED: usize = 8;
/// Old files that are named of one process.
const FILES: usize = 5;

pub fn write(out: &mut dyn Write, status: &Status, today: Date) -> io::Result<()> {
    let style = Style::for_stdout();
    let mut paper = Paper::new(out, &style);
    unfinished(&mut paper, &status.unfinished)?;
    // A change that was interrupted says itself how that ends.
    broken(&mut paper, status)?;
    if status.runs_old_files.is_empty() {
        paper.line(&Text::new().plain("Nothing that could be looked at runs old files."))?;
    }
    for (who, files) in &status.runs_old_files {
        paper.line(
            &Text::new()
                .say(Role::Wary, &model::printable(who.as_bytes()))
                .plain(" runs files that are not there any more"),
        )?;
        let few = if status.shows_all { files.len() } else { FILES };
        for file in files.iter().take(few) {
            paper.indented(2, &Text::new().say(Role::Dim, file))?;
        }
        if files.len() > few {
            let more = format!("and {} more: --all", files.len() - few);
            paper.indented(2, &Text::new().say(Role::Dim, &more))?;
        }
    }
    write_kernel(&mut paper, status)?;
    for (at, open) in status
        .open_until_restarted
        .iter()
        .take(shown(status, status.open_until_restarted.len()))
        .enumerate()
    {
        let label = if at == 0 { "open" } else { "" };
        let text = format!("{} in {}, {}", open.name, open.package, open.until);
        paper.row_hanging(Role::Wary, label, LABEL + 2, &Text::new().plain(&text))?;
    }
    more(&mut paper, status, status.open_until_restarted.len())?;
    for (at, finding) in status
        .overdue
        .iter()
        .take(shown(status, status.overdue.len()))
        .enumerate()
    {
        let label = if at == 0 { "overdue" } else { "" };
        let mut text = format!("{} in {}", finding.name, finding.package.name);
        if let Some(due) = finding.ranking.due() {
            text += &format!(", since {} ({})", due.date, due.clock.as_str());
        }
        if let Some(until) = until(finding) {
            text += &format!("; open {until}");
        }
        paper.row_hanging(Role::Critical, label, LABEL + 2, &Text::new().plain(&text))?;
    }
    more(&mut paper, status, status.overdue.len())?;
    if !status.due.is_empty() {
        let due: Vec<&Finding> = status.due.iter().collect();
        named(&mut paper, "due", Role::High, &due, today)?;
    }
    pending(&mut paper, status)?;
    if let Some(lists) = &status.lists {
        lists.write_age(&mut paper)?;
    }
    write_held(&mut paper, &status.held, today)?;
    if let Some(begins) = &status.begins {
        write_begins(&mut paper, begins, None)?;
    }
    super::vulns::feeds(&mut paper, &status.feeds)?;
    for why in &status.unknown {
        paper.row(Role::Wary, "unknown", &Text::new().plain(why))?;
    }
    // Nothing is planned before what was interrupted is ended.
    let is_stopped = |one: &Unfinished| !one.change.state.is_awaiting();
    let is_broken = !status.broken.is_empty();
    match status.pending.is_empty() || is_broken || status.unfinished.iter().any(is_stopped) {
        true => Ok(()),
        false => next_steps(&mut paper, &[NextStep::new(&*status.plan, "")]),
    }
}

/// What was interrupted comes first: nothing else is as it seems before that is ended.
fn unfinished(paper: &mut Paper<'_>, all: &[Unfinished]) -> io::Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let mut steps = Vec::new();
    for Unfinished {
        change, at_work, ..
    } in all
    {
        let state = state_text(change.state);
        let since = minute(change.started);
        let (role, text) = match (at_work, change.state.is_awaiting()) {
            (true, _) => (
                Role::Wary,
                format!(" is at work now ({state}, since {since})"),
            ),
            (false, true) => (Role::Wary, format!(" {state}, since {since}")),
            (false, false) if change.state == ChangeState::NeedsHuman => {
                (Role::Critical, format!(" {state}, since {since}"))
            }
            (false, false) => (
                Role::Critical,
                format!(" was interrupted while it was {state}, since {since}"),
            ),
        };
        let text = Text::new()
            .say(role, &format!("change {}", change.id))
            .say(role, &text)
            .plain(&format!(": {}", change.summary));
        paper.line(&text)?;
        if !at_work {
            steps.extend(endings(change));
        }
    }
    steps.dedup();
    next_steps(paper, &steps)?;
    paper.blank()
}

/// What dpkg left unfinished: nothing is upgraded before that is mended.
fn broken(paper: &mut Paper<'_>, status: &Status) -> io::Result<()> {
    if status.broken.is_empty() {
        return Ok(());
    }
    let named = status.broken.iter();
    let named: Vec<String> = named
        .map(|(name, state)| format!("{name} is {state}"))
        .collect();
    let text = match &status.package_manager {
        Some(holder) => Text::new().say(Role::Wary, &format!("{holder} is at work on packages")),
        None => Text::new().say(Role::Critical, "dpkg has not finished its work"),
    };
    let named = first_of(&named, shown(status, named.len()));
    paper.line(&text.plain(&format!(": {named}")))?;
    if status.unfinished.is_empty() && status.package_manager.is_none() {
        let step = NextStep::new("steadfast patch plan --repair", "");
        next_steps(paper, &[step])?;
    }
    paper.blank()
}

/// Which kernel runs, and which the next boot runs; and who else asks for a boot.
fn write_kernel(paper: &mut Paper<'_>, status: &Status) -> io::Result<()> {
    kernel(paper, status)?;
    let Some(packages) = &status.reboot_asked_for else {
        return Ok(());
    };
    let who = match packages.is_empty() {
        true => "something on this host asks for it".to_owned(),
        false => {
            let names = first_of(packages, shown(status, packages.len()));
            format!("asked for by {names}")
        }
    };
    let text = Text::new().say(Role::Wary, "reboot due");
    paper.line(&text.plain(&format!(": {who} (/run/reboot-required)")))
}

fn kernel(paper: &mut Paper<'_>, status: &Status) -> io::Result<()> {
    let booted = &status.booted_kernel;
    let Some(newest) = &status.newest_kernel else {
        return paper.line(&Text::new().plain(&format!(
            "Kernel {booted} is not of this host's packages (a container, or another's kernel)."
        )));
    };
    if !status.kernel_is_due {
        return paper
            .line(&Text::new().plain(&format!("Kernel {booted} is the newest installed.")));
    }
    let mut said = match (newest == booted, status.next_boot_is_older) {
        (true, false) => format!(": an older build of kernel {booted} runs than is installed"),
        (true, true) => format!(
            ": a newer build of kernel {booted} runs than is installed, and the next boot runs the \
             older one"
        ),
        (false, false) => format!(": kernel {booted} runs, and {newest} is installed"),
        (false, true) => format!(
            ": kernel {booted} runs, and the next boot runs the older {newest}, the newest that is \
             installed"
        ),
    };
    if status.booted_kernel_is_removed {
        said += "; the package of the one that runs is gone, and until the reboot no more of its \
                 modules can be loaded";
    }
    // Each part by itself: a text is cut where it is too long.
    let text = Text::new().say(Role::Wary, "reboot due");
    paper.line(
        &said
            .split_inclusive("; ")
            .fold(text, |text, part| text.plain(part)),
    )
}

/// How many of so many are named.
fn shown(status: &Status, all: usize) -> usize {
    match status.shows_all {
        true => all,
        false => all.min(NAMED),
    }
}

/// How many were not named.
fn more(paper: &mut Paper<'_>, status: &Status, all: usize) -> io::Result<()> {
    match all - shown(status, all) {
        0 => Ok(()),
        more => {
            let text = format!("and {more} more: steadfast patch status --all");
            paper.indented(LABEL, &Text::new().say(Role::Dim, &text))
        }
    }
}

/// The packages, those of security first, and then as apt has them.
fn pending(paper: &mut Paper<'_>, status: &Status) -> io::Result<()> {
    let pending = &status.pending;
    if pending.is_empty() {
        let text = match (status.pending_is_unknown, status.is_narrowed) {
            (true, _) => "no upgrade that is known",
            (false, true) => "no upgrade of those that were asked for",
            (false, false) => "no upgrade",
        };
        return paper.row(Role::Dim, "pending", &Text::new().plain(text));
    }
    let security = pending.iter().filter(|one| one.security).count();
    let text = format!(
        "{}, {security} of them for security",
        plural(pending.len(), "upgrade")
    );
    paper.row(Role::Wary, "pending", &Text::new().plain(&text))?;
    let mut sorted: Vec<&Waiting> = pending.iter().collect();
    sorted.sort_by_key(|one| !one.security);
    let to = paper.sign(Sign::To);
    for one in sorted.iter().take(shown(status, sorted.len())) {
        let text = format!(
            "{} {} {to} {}",
            one.name,
            one.from.as_deref().unwrap_or("new"),
            one.to
        );
        let kind = if one.security { "security" } else { "" };
        paper.indented(LABEL, &Text::new().plain(&text).gap(2).say(Role::Dim, kind))?;
    }
    more(paper, status, pending.len())
}
