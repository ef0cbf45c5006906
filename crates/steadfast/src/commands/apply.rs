//! `steadfast apply`: carries out exactly one plan, or refuses.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use host::{Applied, ApplyError, ApplyOptions, DecideAgain, LocalHost, Verdict};
use model::plan::{LeftAlone, Patches, Selection};
use model::{Action, ChangeId, ChangeState, Effect, HostPath, Observed, Plan, Probe};
use plan::compare::{Difference, differences};

use crate::context::{self, Context};
use crate::duration::Span;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input;
use crate::left_out;
use crate::output;
use crate::packages_stage::{self, Staged};
use crate::progress::Progress;
use crate::show;
use crate::show::effect::{Seen, describe, is_secret};
use crate::show::events::Lines;
use crate::style::Style;
use crate::survey::{self, Selectors, Survey};
use crate::typed::with_state;

/// Carry out a plan, verify the result, and take it back if it fails
///
/// Takes a saved plan, or the same selectors as `plan`; never everything. A saved plan is
/// made again from the policy and a fresh look at the host, and carried out only if the
/// result is the same.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  steadfast apply plan.json\n  \
    steadfast apply --rule ssh-root-login --confirm-within 5m\n  \
    steadfast apply --policy ./policy --role web --yes")]
pub struct Args {
    /// A plan saved by `steadfast plan --output`
    #[arg(value_name = "PLAN", conflicts_with_all = ["baseline", "profile", "policy", "role", "rule", "param", "param_from", "param_file", "all_or_nothing"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    selectors: Selectors,
    /// One failure takes back everything, not only what depends on it
    #[arg(long)]
    all_or_nothing: bool,
    /// How long a change that could cut people off waits for a new sign-in
    #[arg(long, value_name = "TIME", default_value = "2m")]
    confirm_within: Span,
    /// Do not wait for the confirmation here; the host takes the change back by itself
    #[arg(long)]
    detach: bool,
    /// Install packages although no copy of the host can be made to rehearse it on: no undo of
    /// them is promised
    #[arg(long)]
    unrehearsed: bool,
    /// Do not ask; needed where there is no terminal
    #[arg(long)]
    yes: bool,
}

/// A plan is text that people review. One that is larger than this was not made by us.
const LARGEST_PLAN_BYTES: u64 = 64 << 20;

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let progress = Progress::on_stderr();
    recover_first(context)?;
    let (survey, staged) = match &args.file {
        Some(file) => from_file(context, file, &progress)?,
        None => from_selectors(context, args, &progress)?,
    };
    let plan = &staged.plan;
    if plan.actions.is_empty() {
        return nothing_to_do(&plan.left_alone, show::plan::nothing(plan));
    }
    if staged.unforeseen && !args.unrehearsed {
        return Err(Failure::new(
            Exit::Findings,
            "what the packages bring could not be foreseen, so no undo of them is promised",
            "nothing was changed; look at the plan, then add --unrehearsed",
        ));
    }
    if !args.yes && !consent(plan, &survey)? {
        crate::say(format_args!("nothing was changed"));
        return Ok(Exit::AsWanted);
    }
    if staged.unforeseen {
        return unrehearsed(context, args, &survey, plan);
    }
    carry_out_survey(context, args, &survey, &staged)
}

/// Packages that could not be rehearsed, and then, as a change of its own, what follows them: it is
/// decided by what they brought.
fn unrehearsed(
    context: &Context,
    args: &Args,
    survey: &Survey,
    plan: &Plan,
) -> Result<Exit, Failure> {
    let task = Task {
        host: &survey.host,
        plan,
        is_root: survey.facts.is_root,
        confirm_within: args.confirm_within,
        detach: args.detach,
        // What follows the packages is still to do then.
        verify: &|plan| {
            verify_regarding(context, survey, plan, &|rest| {
                rest.actions.retain(|action| is_part_of(plan, action));
                rest.left_alone.clear();
            })
        },
        decide_again: None,
    };
    let exit = carry_out(context, &task)?;
    if exit != Exit::AsWanted {
        left_out::say(&plan.left_alone);
        return Ok(exit.or(left_out::exit(&plan.left_alone)));
    }
    crate::say(format_args!(
        "the packages are there: what follows them is decided now, as a change of its own"
    ));
    let selectors = Selectors::from(&plan.selection);
    let mut survey = Survey::take(None, &selectors, &Progress::on_stderr())?;
    survey.leave_waived(&selectors);
    let staged = packages_stage::plan(context, &mut survey, plan.selection.clone())?;
    if staged.unforeseen {
        return Err(Failure::new(
            Exit::Findings,
            "the packages are not as wanted, although they were installed",
            "look at what is left: steadfast plan",
        ));
    }
    if staged.plan.actions.is_empty() {
        return nothing_to_do(&staged.plan.left_alone, show::plan::nothing(&staged.plan));
    }
    if !args.yes && !consent(&staged.plan, &survey)? {
        crate::say(format_args!(
            "the packages stay, and nothing else was changed"
        ));
        return Ok(Exit::Findings);
    }
    carry_out_survey(context, args, &survey, &staged)
}

fn carry_out_survey(
    context: &Context,
    args: &Args,
    survey: &Survey,
    staged: &Staged,
) -> Result<Exit, Failure> {
    let plan = &staged.plan;
    let is_part = Cell::new(false);
    let decide_again = |now: &BTreeMap<&Probe, Observed>| staged.decide_again(context, survey, now);
    let task = Task {
        host: &survey.host,
        plan,
        is_root: survey.facts.is_root,
        confirm_within: args.confirm_within,
        detach: args.detach,
        verify: &|plan| {
            let verdict = verify(context, survey, plan);
            is_part.set(!verdict.more.is_empty());
            verdict
        },
        decide_again: staged.has_stages().then_some(&decide_again),
    };
    let mut exit = carry_out(context, &task)?;
    if is_part.get() {
        exit = exit.or(Exit::Findings);
    }
    // What can't be done is not as wanted afterwards, and whoever applied hears it last.
    left_out::say(&plan.left_alone);
    Ok(exit.or(left_out::exit(&plan.left_alone)))
}

/// A plan that somebody agreed to.
pub struct Task<'a> {
    pub host: &'a LocalHost,
    pub plan: &'a Plan,
    pub is_root: bool,
    pub confirm_within: Span,
    pub detach: bool,
    /// Looks at the host again.
    pub verify: &'a dyn Fn(&Plan) -> Verdict,
    /// Decides what follows its packages again.
    pub decide_again: Option<DecideAgain<'a>>,
}

/// Carries the plan out, and says what becomes of it.
pub fn carry_out(context: &Context, task: &Task<'_>) -> Result<Exit, Failure> {
    let state = context.open_state()?;
    if task.is_root {
        context::install_recovery(task.host, &state)?;
    }
    context::heed_interrupts();
    let options = ApplyOptions {
        detach: task.detach,
        decide_again: task.decide_again,
        ..context::options(task.host, &state, task.confirm_within.0)
    };
    let style = Style::for_stderr();
    let mut err = std::io::stderr();
    let live = err.is_terminal();
    let mut lines = Lines::new(&mut err, Some(task.plan), &style, live);
    let applied = host::apply(
        task.host,
        &state,
        task.plan,
        &options,
        task.verify,
        // Nobody may be reading; the journal has it all.
        &mut |event| drop(lines.show(&event)),
    )
    .map_err(|error| refusal(error, task.plan))?;
    let exit = conclude(&applied);
    context::expire(task.host, &state);
    Ok(exit)
}

/// What was interrupted is dealt with before anything else is changed.
pub fn recover_first(context: &Context) -> Result<(), Failure> {
    let Some(state) = context.existing_state()? else {
        return Ok(());
    };
    let pending = state.pending().map_err(context::refused)?;
    if pending.is_empty() {
        return Ok(());
    }
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    match context::recover(&host, &state)? {
        Exit::NeedsPerson => {
            let history = state.history().map_err(context::refused)?;
            let mut stuck = history
                .iter()
                .filter(|one| one.state == ChangeState::NeedsHuman);
            let (what, shown) = match stuck.next() {
                Some(change) => (
                    format!("change {}", change.id),
                    with_state(&format!("steadfast recover {}", change.id)),
                ),
                None => (
                    "an earlier change".to_owned(),
                    with_state("steadfast history"),
                ),
            };
            Err(Failure::new(
                Exit::NeedsPerson,
                format_args!("{what} needs a person first"),
                format_args!("nothing was changed; what differs, and what ends it: {shown}"),
            ))
        }
        _ => Ok(()),
    }
}

/// The same of what waits past its deadline; what else is not finished, the command itself
/// may be meant to end.
pub fn recover_overdue(context: &Context) -> Result<(), Failure> {
    let Some(state) = context.existing_journal()? else {
        return Ok(());
    };
    let now = jiff::Timestamp::now();
    let pending = state.pending().map_err(context::refused)?;
    let mut waiting = pending.iter().filter(|one| one.change.state.is_awaiting());
    match waiting.any(|one| one.is_over(now)) {
        true => recover_first(context),
        false => Ok(()),
    }
}

/// Already as wanted, or what is not can't be fixed here: then a script has to know.
pub fn nothing_to_do(left: &[LeftAlone], said: &str) -> Result<Exit, Failure> {
    crate::say(format_args!("{said}"));
    let style = Style::for_stdout();
    let mut out = output::stdout();
    show::plan::write_left_alone(&mut out, left, &style)?;
    out.flush()?;
    left_out::say_unknown(left);
    Ok(left_out::exit(left))
}

fn from_selectors(
    context: &Context,
    args: &Args,
    progress: &Progress,
) -> Result<(Survey, Staged), Failure> {
    if args.selectors.is_bare() {
        return Err(Failure::new(
            Exit::BadInput,
            "`apply` takes a plan or a selector, never everything",
            "name a rule, a role or a baseline: steadfast apply --rule ssh-root-login",
        ));
    }
    let mut survey = Survey::take(None, &args.selectors, progress)?;
    survey.leave_waived(&args.selectors);
    let selection = args.selectors.selection(args.all_or_nothing);
    let staged = packages_stage::plan(context, &mut survey, selection)?;
    Ok((survey, staged))
}

/// Reads a saved plan and makes it again. It is carried out when both are the same, but for what
/// packages make anew on each copy of the host.
fn from_file(
    context: &Context,
    path: &Path,
    progress: &Progress,
) -> Result<(Survey, Staged), Failure> {
    let saved = read(path)?;
    trust_policy_of(&saved.selection)?;
    let selectors = Selectors::from(&saved.selection);
    let mut survey = Survey::take(None, &selectors, progress)?;
    survey.leave_waived(&selectors);
    let mut staged = packages_stage::plan(context, &mut survey, saved.selection.clone())?;
    refuse_unless_same(&saved, &staged.plan)?;
    // The one that was looked at, with its name.
    staged.plan = saved;
    Ok((survey, staged))
}

/// A saved plan names the policy by which it is made again. Where another than root could have written
/// that, the comparison would only say that both were written by the same hand.
fn trust_policy_of(selection: &Selection) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let refuse = |path: &Path, why: &dyn std::fmt::Display| {
        Failure::new(
            Exit::BadInput,
            format_args!(
                "the plan rests on `{}`, which others than root could have written: {why}",
                path.display()
            ),
            "nothing was changed; root carries out a saved plan only by a policy that is root's alone, \
             with every directory above it",
        )
    };
    let named = selection.policy.as_deref().map(Path::new);
    let policy = survey::policy_directory(named).map(Path::to_owned);
    let from_files = selection
        .params_from
        .values()
        .filter_map(|from| from.strip_prefix("file:"));
    let files = selection.param_files.iter().map(String::as_str);
    let mut open: Vec<PathBuf> = files.chain(from_files).map(PathBuf::from).collect();
    open.extend(policy);
    while let Some(path) = open.pop() {
        host::state::trust_as_roots(&path).map_err(|why| refuse(&path, &why))?;
        if !path.is_dir() {
            continue;
        }
        let entries = std::fs::read_dir(&path).map_err(|why| refuse(&path, &why))?;
        for entry in entries {
            let entry = entry.map_err(|why| refuse(&path, &why))?;
            // What links lead to is judged as what it is; a circle of them would have no end.
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            match is_link && entry.path().is_dir() {
                true => host::state::trust_as_roots(&entry.path())
                    .map_err(|why| refuse(&entry.path(), &why))?,
                false => open.push(entry.path()),
            }
        }
    }
    Ok(())
}

/// A saved plan is carried out only when the plan of `now` is the same.
pub fn refuse_unless_same(saved: &Plan, now: &Plan) -> Result<(), Failure> {
    let found = differences(saved, now);
    if found.is_empty() {
        crate::say(format_args!(
            "plan {} is still what this host needs",
            saved.id()
        ));
        return Ok(());
    }
    show::difference::write(&mut std::io::stderr().lock(), &found, &Style::for_stderr())?;
    let again = plan_again(saved);
    let (message, help) = match &found[0] {
        Difference::OtherHost { saved, now } => (
            format!(
                "this plan was made for `{}`, and this host is `{}`",
                model::printable(saved.as_bytes()),
                model::printable(now.as_bytes())
            ),
            format!("make a plan on this host: {again}"),
        ),
        _ => (
            format!(
                "plan {} is not what this host needs now; nothing was changed",
                saved.id()
            ),
            format!("look at a fresh plan: {again}"),
        ),
    };
    Err(Failure::new(Exit::Findings, message, help))
}

/// The command that makes such a plan anew.
fn plan_again(plan: &Plan) -> String {
    let command = match plan.selection.patches {
        Some(Patches::Restart) => "steadfast patch restart",
        Some(_) => "steadfast patch plan",
        None => "steadfast plan",
    };
    show::plan::command(command, &plan.selection)
}

pub fn read(path: &Path) -> Result<Plan, Failure> {
    let cannot = |why: String| {
        Failure::new(
            Exit::BadInput,
            format_args!("can't read the plan `{}`: {why}", path.display()),
            "make one with: steadfast plan --rule ID --output plan.json",
        )
    };
    let bytes = input::read(path, LARGEST_PLAN_BYTES).map_err(|error| cannot(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| cannot(error.to_string()))?;
    let plan = Plan::from_json(&text).map_err(|error| cannot(error.to_string()))?;
    // The id is the digest of the bytes as written: another spelling of the same plan is
    // not the plan that was reviewed.
    if plan.to_json() != text {
        return Err(cannot("it was altered after it was written".to_owned()));
    }
    if plan.lacks_secrets() {
        return Err(cannot(
            "it was printed without its secrets, and not saved".to_owned(),
        ));
    }
    Ok(plan)
}

/// Shows the plan and asks. Without a terminal there is nobody to ask.
fn consent(plan: &Plan, survey: &Survey) -> Result<bool, Failure> {
    needs_terminal()?;
    let mut err = std::io::stderr().lock();
    let current = |path: &HostPath| super::plan::content(survey, path);
    show::plan::write(&mut err, plan, &current, None, &Style::for_stderr())?;
    drop(err);
    ask()
}

/// # Errors
/// Where there is nobody to ask.
pub fn needs_terminal() -> Result<(), Failure> {
    match std::io::stdin().is_terminal() {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::BadInput,
            "there is no terminal to ask at",
            "look at the plan, then add --yes",
        )),
    }
}

/// After the plan was shown.
pub fn ask() -> Result<bool, Failure> {
    context::consent(false, "apply this plan?")
}

/// Is it what the plan does, or about the same path or package?
fn is_part_of(plan: &Plan, action: &Action) -> bool {
    plan.actions
        .iter()
        .any(|own| match (&own.effect, &action.effect) {
            (Effect::Package { name, .. }, Effect::Package { name: other, .. }) => name == other,
            (own, other) => own == other || own.path().is_some() && own.path() == other.path(),
        })
}

/// Looks again, and asks what there is still to do for the same selection.
fn verify(context: &Context, survey: &Survey, plan: &Plan) -> Verdict {
    verify_regarding(context, survey, plan, &|_| {})
}

/// The same, by what `regarded` leaves of what there is still to do.
fn verify_regarding(
    context: &Context,
    survey: &Survey,
    plan: &Plan,
    regarded: &dyn Fn(&mut Plan),
) -> Verdict {
    let progress = Progress::hidden();
    let again = |error: String| Verdict {
        failed: vec![("the whole plan".to_owned(), error)],
        ..Verdict::default()
    };
    // What the first look found is remembered by the host that was looked at.
    let host = match LocalHost::running() {
        Ok(host) => host,
        Err(error) => return again(error.to_string()),
    };
    let answers = survey::observe(&host, &survey.wanted, &progress);
    let selection = plan.selection.clone();
    match survey::planned(context, &host, &survey.wanted, &answers, selection) {
        Ok(mut rest) => {
            regarded(&mut rest);
            judge_rest(plan, &rest)
        }
        Err(failure) => again(failure.to_string()),
    }
}

/// What is still to do, where it fails what was done, and where it is more of the same elsewhere.
fn judge_rest(plan: &Plan, rest: &Plan) -> Verdict {
    let mut verdict = Verdict {
        failed: left_out::newly_unknown(plan, rest),
        ..Verdict::default()
    };
    let mut more: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut planned: BTreeMap<&String, BTreeSet<&HostPath>> = BTreeMap::new();
    for action in &plan.actions {
        for name in &action.serves {
            planned
                .entry(name)
                .or_default()
                .extend(action.effect.path());
        }
    }
    // Each mode is right by itself; where none is as planned, nothing was reached.
    let is_attributes = |effect: &Effect| matches!(effect, Effect::SetMeta { .. });
    let otherwise = plan
        .actions
        .iter()
        .filter(|action| !is_attributes(&action.effect));
    let otherwise: BTreeSet<&String> = otherwise.flat_map(|action| &action.serves).collect();
    let seen = Seen::of(rest);
    for action in &rest.actions {
        let what = describe(&action.effect, &seen, is_secret(action), "to");
        for name in &action.serves {
            let places = planned.get(name);
            let is_elsewhere = action
                .effect
                .path()
                .is_some_and(|path| places.is_none_or(|places| !places.contains(path)));
            let is_one_of_many = is_elsewhere || places.is_some_and(|places| places.len() > 1);
            if is_one_of_many && is_attributes(&action.effect) && !otherwise.contains(name) {
                let (count, _) = more.entry(name.clone()).or_insert((0, what.clone()));
                *count += 1;
                continue;
            }
            let why = format!("still to do: {what}");
            verdict.failed.push((name.clone(), why));
        }
    }
    verdict.more = more
        .into_iter()
        .map(|(name, (count, first))| {
            let others = match count {
                1 => String::new(),
                count => format!(", and {} more", count - 1),
            };
            (name, format!("{first}{others}: apply again"))
        })
        .collect();
    verdict
}

const NO_ROOM: &str = "nothing was changed; make room on this file system, and try again";

fn refusal(error: ApplyError, plan: &Plan) -> Failure {
    let again = plan_again(plan);
    let fresh = format!("nothing was changed; look at a fresh plan: {again}");
    let here = format!("make a plan on this host: {again}");
    let (exit, help) = match &error {
        ApplyError::Changed(changed) => {
            let mut err = std::io::stderr().lock();
            let style = Style::for_stderr();
            // The message below says it in one line, should nobody see these.
            let _ = show::difference::write_changed(&mut err, plan, changed, &style);
            (Exit::Findings, fresh.as_str())
        }
        ApplyError::NoGuard(_) => (
            Exit::Findings,
            "nothing was changed; such a change needs a host that systemd runs",
        ),
        ApplyError::Lock(_) => (Exit::Findings, "nothing was changed; try again later"),
        ApplyError::Format(_) | ApplyError::OtherHost(_) => (Exit::BadInput, here.as_str()),
        ApplyError::Unfinished { .. } => (
            Exit::NeedsPerson,
            "take it back as soon as there is room: steadfast recover",
        ),
        _ if error.is_full() => (Exit::Findings, NO_ROOM),
        // What it would have to see or keep first is not for this user.
        ApplyError::Act(_) if !rustix::process::geteuid().is_root() => {
            (Exit::Findings, "nothing was changed; run with sudo")
        }
        ApplyError::Pending(first) => {
            let help = format!("nothing was changed; {}", context::what_ends(first));
            return Failure::with_help(Exit::NeedsPerson, error, help);
        }
        ApplyError::State(_) | ApplyError::Act(_) => (
            Exit::NeedsPerson,
            "steadfast history shows what is going on",
        ),
    };
    Failure::with_help(exit, error, help)
}

fn conclude(applied: &Applied) -> Exit {
    match applied {
        Applied::Nothing | Applied::Committed(_) => Exit::AsWanted,
        Applied::AwaitingConfirmation(id, deadline) => {
            crate::say(format_args!(
                "change {id} is in effect, and is taken back at {deadline:.0} unless it is confirmed: {}",
                with_state(&format!("steadfast confirm {id}"))
            ));
            Exit::AsWanted
        }
        Applied::PartlyTakenBack { id, .. }
        | Applied::TakenBack {
            id, verified: true, ..
        } => {
            say_next(*id);
            Exit::TakenBack
        }
        Applied::TakenBack { id, .. } | Applied::NeedsHuman { id, .. } => {
            say_next(*id);
            Exit::NeedsPerson
        }
    }
}

/// Where a failure can be read again, by whoever comes to it later.
fn say_next(id: ChangeId) {
    crate::say(format_args!(
        "what failed, and why: {}",
        with_state(&format!("steadfast show {id}"))
    ));
}
