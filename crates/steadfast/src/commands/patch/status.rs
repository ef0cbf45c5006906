//! `steadfast patch status`: what is pending, held and overdue, what runs files that are not there
//! any more, whether the booted kernel is the newest that is installed, and which findings are open
//! for that.

use std::collections::BTreeMap;
use std::path::PathBuf;

use advisory::assess::{Assessment, Finding};
use advisory::kernel::{Kernel, Kernels, release_of};
use host::packages::old_files::OldFiles;
use host::packages::users::Process;
use host::packages::{
    Caches, Pending, at_work, broken, kernel, newest_file, pending, restart_asked_for,
};
use host::{LocalHost, State};
use jiff::Timestamp;
use model::Component;
use model::effect::bare_name;
use model::plan::Selection;

use super::due::{self, Waivers, closing_due, held_back, within};
use super::making::today;
use super::when::When;
use super::{Only, patches};
use crate::assessing::{Outlook, Terms};
use crate::commands::Format;
use crate::context::Context;
use crate::duration::Days;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::show::apt_lists::AptLists;
use crate::show::patch_status::{Open, Status, Unfinished, Waiting};
use crate::still_open::{StillOpen, who};
use crate::{show, survey};

/// Show what is pending and overdue, what still runs old files, and whether a reboot is due
///
/// A patch is not done when the new version is installed: it is when nothing runs the old one.
/// Until then its findings are open. A finding whose date has passed is overdue, whatever is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  steadfast patch status\n  \
    steadfast patch status --only security --deadline-within 14d --window \"Sat 02:00-05:00\"\n\n\
    Exits with 1 when a change is not finished, something runs old files, a reboot is due, or a\n\
    finding is overdue or due as asked for, with 3 when what is pending or overdue can't be told, as\n\
    with apt's lists missing, or older than 7 days (apt-get update), and with 0 when there is\n\
    nothing.")]
pub struct Args {
    /// Which of the pending upgrades
    #[arg(long, value_enum, default_value_t)]
    only: Only,
    /// Also findings that are due within so many days, and only what closes these: "14d"
    #[arg(long, value_name = "DAYS")]
    deadline_within: Option<Days>,
    #[command(flatten)]
    when: When,
    /// Waivers, clocks and days [default: /etc/steadfast/policy, when there]
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    /// Every name, where lists are cut otherwise
    #[arg(long)]
    all: bool,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The version of the answer's form.
const FORMAT: u32 = 1;

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let policy = survey::repository(args.policy.as_deref())?;
    let terms = Terms::by(policy.vulnerabilities(), Timestamp::now());
    let old = OldFiles::now();
    let mut status = Status {
        format: FORMAT,
        runs_old_files: by_who(&old.running),
        begins: match args.when.times() {
            Some(times) => Some(times.begins(&host)?),
            None => None,
        },
        plan: plan_of(args),
        shows_all: args.all,
        is_narrowed: args.only != Only::All || args.deadline_within.is_some(),
        ..Status::default()
    };
    match broken() {
        Ok(broken) => {
            status.broken = broken.packages;
            if !status.broken.is_empty() {
                status.package_manager = at_work();
            }
        }
        Err(error) => status
            .unknown
            .push(format!("whether dpkg's database is whole: {error}")),
    }
    let state = context.existing_journal().unwrap_or_else(|failure| {
        let why = format!("what is not finished, and what upgrades left running: {failure}");
        status.unknown.push(why);
        None
    });
    if let Some(state) = &state {
        look_at_unfinished(&mut status, state);
    }
    let components = host.distribution_packages().unwrap_or_else(|reason| {
        status.unknown.push(reason.to_string());
        Vec::new()
    });
    status.look_at_kernels(&kernel(&host), &components);
    status.is_asked_for_restart(restart_asked_for());
    let hostname = host.identity().hostname;
    let waivers = Waivers {
        all: policy.vulnerability_waivers(),
        hostname: &hostname,
    };
    let outlook = match Outlook::of(context.directory(), &host, &components, &terms) {
        Ok(outlook) => {
            let open = outlook.still_open(state.as_ref(), &old);
            let open = open.unwrap_or_else(|why| {
                status.unknown.push(why);
                StillOpen::default()
            });
            status.unknown.extend(open.unknown());
            let mut now = outlook.now().clone();
            now.add(open.findings);
            look_at_findings(&mut status, &now, waivers, args.deadline_within);
            Some(outlook)
        }
        Err(error) => {
            status.unknown.push(error.to_string());
            None
        }
    };
    let caches = Caches::below(context.directory());
    if let Err(why) = look_at_pending(&mut status, args, &caches, outlook.as_ref(), waivers) {
        status.pending_is_unknown = true;
        status.unknown.push(format!("what is pending: {why}"));
    } else {
        status.look_at_lists(AptLists::of_host(&caches, Timestamp::now()));
        if args.only == Only::Security {
            status.unknown.extend(AptLists::without_security(&caches));
        }
    }
    let mut out = output::stdout();
    match args.format {
        Format::Json => crate::report::json::write_value(&mut out, &status)?,
        Format::Human => show::patch_status::write(&mut out, &status, today())?,
    }
    let is_clean = status.unfinished.is_empty()
        && status.broken.is_empty()
        && status.runs_old_files.is_empty()
        && !status.reboot_due
        && status.open_until_restarted.is_empty()
        && status.overdue.is_empty()
        && status.due.is_empty();
    Ok(match (is_clean, status.unknown.is_empty()) {
        (false, _) => Exit::Findings,
        (true, false) => Exit::Unchecked,
        (true, true) => Exit::AsWanted,
    })
}

/// The command that plans what was asked about.
fn plan_of(args: &Args) -> String {
    let policy = args.policy.as_ref();
    let mut selection = Selection {
        patches: Some(patches(args.only, args.deadline_within)),
        policy: policy.map(|path| path.to_string_lossy().into_owned()),
        ..Selection::default()
    };
    args.when.select(&mut selection);
    show::plan::command("steadfast patch plan", &selection)
}

/// What is not final: nothing else is as it seems before that is ended.
fn look_at_unfinished(status: &mut Status, state: &State) {
    let pending = match state.unended() {
        Ok(pending) => pending,
        Err(error) => {
            return status
                .unknown
                .push(format!("what is not finished: {error}"));
        }
    };
    let at_work = !pending.is_empty() && host::lock::is_at_work();
    status.unfinished = pending
        .into_iter()
        .map(|pending| Unfinished {
            at_work: at_work
                && !pending.change.state.is_awaiting()
                && !pending.change.state.is_final(),
            command: show::change::ending(&pending.change).map(|step| step.command),
            change: pending.change,
        })
        .collect();
}

fn by_who(running: &[Process]) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for process in running {
        let files = all.entry(who(process)).or_default();
        files.extend(process.deleted.iter().map(ToString::to_string));
        files.sort();
        files.dedup();
    }
    all
}

/// Does a newer kernel, or the one that the next boot runs, wait for a restart of the machine?
pub(super) fn is_reboot_due(kernel: &Kernel, components: &[Component]) -> bool {
    let mut status = Status::default();
    status.look_at_kernels(kernel, components);
    status.reboot_due
}

impl Status {
    /// What is pending is only known as of then.
    fn look_at_lists(&mut self, lists: AptLists) {
        self.pending_is_unknown = lists.unknown.is_some();
        self.unknown.extend(lists.unknown_text());
        self.lists = Some(lists);
    }

    /// Packages that ask for a restart of the machine have something else than a kernel in mind.
    fn is_asked_for_restart(&mut self, asked_for: Option<Vec<String>>) {
        self.kernel_is_due = self.reboot_due;
        self.reboot_due |= asked_for.is_some();
        self.reboot_asked_for = asked_for;
    }

    /// By the versions of packages, in Debian's order; by names only for a kernel that none of
    /// them is.
    fn look_at_kernels(&mut self, kernel: &Kernel, components: &[Component]) {
        let Kernel::Booted { release, .. } = kernel else {
            let uname = rustix::system::uname();
            self.booted_kernel = uname.release().to_string_lossy().into_owned();
            return;
        };
        self.booted_kernel.clone_from(release);
        let kernels = Kernels::of(kernel, components);
        self.booted_kernel_is_removed = kernels.is_removed();
        self.next_boot_is_older = kernels.goes_back_to().is_some();
        let is_gone = self.booted_kernel_is_removed || kernels.is_replaced();
        match kernels.booted() {
            Some(_) => {
                self.reboot_due = kernels.waiting().is_some() || self.next_boot_is_older || is_gone;
                let newest = kernels.newest().and_then(release_of);
                self.newest_kernel = newest.map(str::to_owned);
            }
            None => {
                self.newest_kernel = newest_file();
                let newest = self.newest_kernel.as_ref();
                self.reboot_due = newest.is_some_and(|newest| newest != release || is_gone);
            }
        }
    }
}

/// What is overdue, what is due as asked for, and what only a restart or a reboot closes.
fn look_at_findings(
    status: &mut Status,
    now: &Assessment,
    waivers: Waivers<'_>,
    days: Option<Days>,
) {
    if now.feeds.is_empty() {
        let why = "there is no feed: what is overdue (steadfast feed import FILE)";
        status.unknown.push(why.to_owned());
    }
    status.feeds.clone_from(&now.feeds);
    let unknown = now.unknown.iter().map(show::vulns::unknown_text);
    status.unknown.extend(unknown);
    let until = within(days.map_or(0, |days| days.0));
    let due = waivers.due(now.findings.clone(), until);
    let today = today();
    let (overdue, due): (Vec<Finding>, Vec<Finding>) = due
        .into_iter()
        .partition(|finding| finding.ranking.is_overdue(today));
    status.overdue = overdue;
    if days.is_some() {
        status.due = due;
    }
    let counting = waivers.counting(now.findings.clone());
    status.open_until_restarted = counting.iter().filter_map(Open::of).collect();
}

/// The pending upgrades that were asked for, and what a hold keeps back of them.
fn look_at_pending(
    status: &mut Status,
    args: &Args,
    caches: &Caches,
    outlook: Option<&Outlook<'_>>,
    waivers: Waivers<'_>,
) -> Result<(), String> {
    let fail = |failure: Failure| failure.to_string();
    let (all, mut held) = pending(caches).map_err(|error| error.to_string())?;
    let is_meant = |pending: &Pending| args.only == Only::All || pending.is_security();
    let mut wanted: Vec<Pending> = all.into_iter().filter(is_meant).collect();
    held.retain(is_meant);
    // What each is built from is only asked where findings hang on it: apt reads all of its lists for
    // that.
    let has_feeds = outlook.is_some_and(|outlook| !outlook.now().feeds.is_empty());
    let asks = has_feeds && (!held.is_empty() || args.deadline_within.is_some());
    let versions = match asks {
        true => due::versions(caches, &wanted).map_err(fail)?,
        false => Vec::new(),
    };
    status.held = held_back(caches, &held, outlook, &versions, waivers).map_err(fail)?;
    if let (Some(days), Some(outlook)) = (args.deadline_within, outlook) {
        let until = within(days.0);
        let effects = outlook.with(&versions).map_err(|error| error.to_string())?;
        let (names, _) = closing_due(effects, &versions, waivers, until);
        wanted.retain(|pending| names.contains(bare_name(&pending.name)));
        status.held.retain(|held| {
            let due = waivers.due(held.keeps_open.clone(), until);
            !due.is_empty()
        });
    }
    status.pending = wanted
        .into_iter()
        .map(|pending| Waiting {
            security: pending.is_security(),
            name: pending.name,
            architecture: pending.architecture,
            from: pending.from,
            to: pending.to,
        })
        .collect();
    Ok(())
}
