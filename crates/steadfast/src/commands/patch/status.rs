//! `steadfast patch status`: what runs files that are not there any more, whether the booted
//! kernel is the newest that is installed, which findings are open for that, and which overdue.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use advisory::assess::{FeedState, Finding};
use advisory::waive::waive;
use host::LocalHost;
use host::packages::reach::files_of;
use host::packages::users::{Process, processes};
use host::packages::{Kernels, kernels};
use jiff::Timestamp;
use model::{ChangeState, Component, Effect, HostPath, PackageUpgrade};
use serde::Serialize;

use super::making::today;
use crate::assessing::{NewVersion, Terms, assess_host, effects_of};
use crate::commands::Format;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::layout::{LABEL, Paper, Text};
use crate::style::{Role, Style};
use crate::survey;

/// Show what still runs old files after upgrades, whether a reboot is due, and what is overdue
///
/// A patch is not done when the new version is installed: it is when nothing runs the old one.
/// Until then its findings are open.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  steadfast patch status\n\n\
    Exits with 1 when something runs old files, a reboot is due or a finding is overdue, with 3\n\
    when what is overdue can't be told, and with 0 when there is nothing.")]
pub struct Args {
    /// Waivers, clocks and days [default: /etc/steadfast/policy, when there]
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The answer for programs.
#[derive(Serialize)]
struct Status {
    format: u32,
    /// Each unit, or process without one, with the old files that it has mapped.
    runs_old_files: BTreeMap<String, Vec<String>>,
    booted_kernel: String,
    newest_kernel: Option<String>,
    reboot_due: bool,
    /// Findings that an upgrade closed by its version, while the old files still run.
    open_until_restarted: Vec<Open>,
    /// Findings with a fix whose date has passed.
    overdue: Vec<Finding>,
    /// The feeds that say so, and how old they are.
    feeds: Vec<FeedState>,
    /// Why what is open or overdue can't be told in full.
    unknown: Vec<String>,
}

/// A finding that a restart closes.
#[derive(Serialize)]
struct Open {
    name: String,
    package: String,
    /// Who runs the old files.
    by: Vec<String>,
}

/// The version of the answer's form.
const FORMAT: u32 = 1;

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let policy = survey::repository(args.policy.as_deref())?;
    let terms = Terms::by(policy.vulnerabilities(), Timestamp::now());
    let running = processes();
    let mut runs_old_files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for process in running.iter().filter(|process| !process.deleted.is_empty()) {
        let files = runs_old_files.entry(who(process)).or_default();
        files.extend(process.deleted.iter().map(ToString::to_string));
        files.sort();
        files.dedup();
    }
    let mut unknown = Vec::new();
    let components = host.distribution_packages().unwrap_or_else(|reason| {
        unknown.push(reason.to_string());
        Vec::new()
    });
    let kernels = kernels();
    let mut status = Status {
        format: FORMAT,
        runs_old_files,
        reboot_due: is_reboot_due(&kernels, &components),
        booted_kernel: kernels.booted.clone(),
        newest_kernel: kernels.newest.clone(),
        open_until_restarted: Vec::new(),
        overdue: Vec::new(),
        feeds: Vec::new(),
        unknown,
    };
    match open_until_restarted(context, &components, &running, &kernels, &terms) {
        Ok((open, unclear)) => {
            status.open_until_restarted = open;
            if !unclear.is_empty() {
                status.unknown.push(format!(
                    "what the old versions of these were built from, and so which findings are open: {}",
                    unclear.join(", ")
                ));
            }
        }
        Err(why) => status.unknown.push(why),
    }
    match assess_host(context.directory(), &components, &terms) {
        Ok(assessment) => {
            if assessment.feeds.is_empty() {
                let why = "there is no feed: what is overdue (steadfast feed import FILE)";
                status.unknown.push(why.to_owned());
            }
            status.feeds = assessment.feeds;
            let unknown = assessment.unknown.iter();
            status
                .unknown
                .extend(unknown.map(crate::show::vulns::unknown_text));
            let today = today();
            let hostname = host.identity().hostname;
            let waivers = policy.vulnerability_waivers();
            let counting = waive(assessment.findings, waivers, &hostname, today);
            let findings = counting.findings.into_iter();
            status
                .overdue
                .extend(findings.filter(|finding| finding.ranking.is_overdue(today)));
        }
        Err(error) => status.unknown.push(error.to_string()),
    }
    let mut out = io::stdout().lock();
    match args.format {
        Format::Json => crate::report::json::write_value(&mut out, &status)?,
        Format::Human => write(&mut out, &status)?,
    }
    let is_clean = status.runs_old_files.is_empty()
        && !status.reboot_due
        && status.open_until_restarted.is_empty()
        && status.overdue.is_empty();
    Ok(match (is_clean, status.unknown.is_empty()) {
        (false, _) => Exit::Findings,
        (true, false) => Exit::Unchecked,
        (true, true) => Exit::AsWanted,
    })
}

fn who(process: &Process) -> String {
    let unit = process.unit.clone();
    unit.unwrap_or_else(|| format!("{} (process {})", process.name, process.id))
}

/// Another kernel is installed, or another build of the one that runs.
fn is_reboot_due(kernels: &Kernels, components: &[Component]) -> bool {
    let is_newer = kernels
        .newest
        .as_ref()
        .is_some_and(|newest| *newest != kernels.booted);
    let name = format!("linux-image-{}", kernels.booted);
    let installed = components.iter().find(|component| component.name == name);
    is_newer
        || match (&kernels.build, installed) {
            (Some(build), Some(installed)) => *build != installed.version,
            _ => false,
        }
}

/// What the old versions of upgraded packages were found with, where something still runs them.
fn open_until_restarted(
    context: &Context,
    components: &[Component],
    running: &[Process],
    kernels: &Kernels,
    terms: &Terms,
) -> Result<(Vec<Open>, Vec<String>), String> {
    let fail = |error: &dyn std::fmt::Display| format!("what upgrades left running: {error}");
    let state = context.existing_state().map_err(|error| fail(&error))?;
    let Some(state) = state else {
        return Ok((Vec::new(), Vec::new()));
    };
    // The newest upgrade of a package says from what; what came before it is older still.
    let mut from: BTreeMap<String, PackageUpgrade> = BTreeMap::new();
    for change in state.history().map_err(|error| fail(&error))? {
        if change.state != ChangeState::Committed || change.serves != [plan::patch::SERVES] {
            continue;
        }
        let record = state.change(change.id).map_err(|error| fail(&error))?;
        for action in record.plan.actions {
            if let Effect::Upgrade { packages, .. } = action.effect {
                for package in packages {
                    let earlier = from
                        .get(&package.name)
                        .is_some_and(|known| known.from.is_some() && known.to == package.to);
                    if !earlier {
                        from.insert(package.name.clone(), package);
                    }
                }
            }
        }
    }
    let mut by: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut versions = Vec::new();
    for package in from.values().filter(|package| package.from.is_some()) {
        let bare = package.bare_name();
        let mut users: Vec<String> = if is_booted(package, kernels) {
            vec!["the booted kernel".to_owned()]
        } else {
            let Some(files) = files_of(bare, &package.architecture) else {
                continue;
            };
            let runs_it = |process: &&Process| runs_any(process, &files);
            running.iter().filter(runs_it).map(who).collect()
        };
        users.sort();
        users.dedup();
        if !users.is_empty() {
            by.insert(bare.to_owned(), users);
            versions.push(NewVersion {
                name: package.name.clone(),
                architecture: package.architecture.clone(),
                version: package.from.clone(),
                source: None,
            });
        }
    }
    if versions.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let effects = effects_of(context.directory(), components, &versions, terms)
        .map_err(|error| fail(&error))?;
    let open = effects.brought.into_iter().map(|finding| {
        let users = finding.components.iter().filter_map(|name| by.get(name));
        let mut users: Vec<String> = users.flatten().cloned().collect();
        users.sort();
        users.dedup();
        Open {
            name: finding.name,
            package: finding.package.name,
            by: users,
        }
    });
    let open = open.filter(|open| !open.by.is_empty()).collect();
    Ok((open, effects.unclear))
}

/// Was the kernel that runs the one that this upgrade replaced?
fn is_booted(package: &PackageUpgrade, kernels: &Kernels) -> bool {
    package.name.strip_prefix("linux-image-") == Some(&kernels.booted)
        && package.from.is_some()
        && kernels.build == package.from
}

fn runs_any(process: &Process, files: &[HostPath]) -> bool {
    files.iter().any(|file| process.deleted.contains(file))
}

/// Names in one list.
const NAMED: usize = 8;

fn write(out: &mut dyn Write, status: &Status) -> io::Result<()> {
    let style = Style::for_stdout();
    let mut paper = Paper::new(out, &style);
    if status.runs_old_files.is_empty() {
        paper.line(&Text::new().plain("Nothing that could be looked at runs old files."))?;
    }
    for (who, files) in &status.runs_old_files {
        paper.line(
            &Text::new()
                .say(Role::Wary, &model::printable(who.as_bytes()))
                .plain(" runs files that are not there any more"),
        )?;
        for file in files.iter().take(5) {
            paper.indented(2, &Text::new().say(Role::Dim, file))?;
        }
        if files.len() > 5 {
            let more = format!("and {} more", files.len() - 5);
            paper.indented(2, &Text::new().say(Role::Dim, &more))?;
        }
    }
    let booted = &status.booted_kernel;
    match &status.newest_kernel {
        Some(newest) if status.reboot_due && newest == booted => {
            paper.line(&Text::new().say(Role::Wary, "reboot due").plain(&format!(
                ": an older build of kernel {booted} runs than is installed"
            )))
        }
        Some(newest) if status.reboot_due => {
            paper.line(&Text::new().say(Role::Wary, "reboot due").plain(&format!(
                ": kernel {booted} runs, and {newest} is installed"
            )))
        }
        Some(_) => {
            paper.line(&Text::new().plain(&format!("Kernel {booted} is the newest installed.")))
        }
        None => paper.line(&Text::new().plain(&format!(
            "Kernel {booted} is not of this host's packages (a container, or another's kernel)."
        ))),
    }?;
    for (at, open) in status.open_until_restarted.iter().take(NAMED).enumerate() {
        let label = if at == 0 { "open" } else { "" };
        let text = format!(
            "{} in {}, until {} runs the new files",
            open.name,
            open.package,
            model::printable(open.by.join(", ").as_bytes())
        );
        paper.row_hanging(Role::Wary, label, LABEL + 2, &Text::new().plain(&text))?;
    }
    more(&mut paper, status.open_until_restarted.len())?;
    for (at, finding) in status.overdue.iter().take(NAMED).enumerate() {
        let label = if at == 0 { "overdue" } else { "" };
        let mut text = format!("{} in {}", finding.name, finding.package.name);
        if let Some(due) = finding.ranking.due() {
            text += &format!(", since {} ({})", due.date, due.clock.as_str());
        }
        paper.row_hanging(Role::Critical, label, LABEL + 2, &Text::new().plain(&text))?;
    }
    more(&mut paper, status.overdue.len())?;
    crate::show::vulns::feeds(&mut paper, &status.feeds)?;
    for why in &status.unknown {
        paper.row(Role::Wary, "unknown", &Text::new().plain(why))?;
    }
    Ok(())
}

/// How many were not named.
fn more(paper: &mut Paper<'_>, all: usize) -> io::Result<()> {
    match all.saturating_sub(NAMED) {
        0 => Ok(()),
        more => {
            let text = format!("and {more} more: steadfast vulns");
            paper.indented(LABEL, &Text::new().say(Role::Dim, &text))
        }
    }
}
