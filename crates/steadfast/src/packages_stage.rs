//! Packages that a policy wants, on their way into a plan: apt is asked for all of them together,
//! they are fetched and rehearsed on a copy of the host, and the rest of the plan is made over that
//! copy. A plan without packages fetches nothing and makes no copy.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ::plan::stages::{self, Brought, Packages};
use host::act::upgrade::Work;
use host::packages::{
    self, Together, Turn, UpgradeError, UpgradeRehearsed, Wants, fetch_beside, rehearse_work,
};
use host::rehearse::{Refused, Shown};
use host::{Host, LocalHost};
use model::PackageUpgrade;
use model::count::first_of;
use model::effect::USUAL_LIMIT_SECONDS;
use model::patching::DebconfAnswer;
use model::plan::{LeftAlone, Selection};
use model::probe::WalkTests;
use model::{Effect, HostPath, Observed, Plan, Premise, Probe, Risk, WalkTest};
use resource::{Answers, WantedRole};

use crate::commands::patch::{answers_of, not_fetched, trust};
use crate::context::{self, Context};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::survey::{self, Survey};

/// So many packages of one source are named.
const NAMED: usize = 6;

/// What the package manager's answers rest on.
const DATABASE: [&str; 2] = ["/var/lib/dpkg/status", "/var/lib/apt/extended_states"];

/// A plan with its packages, and what it needs while it is looked at and carried out.
pub struct Staged {
    pub plan: Plan,
    /// Its packages could not be rehearsed.
    pub unforeseen: bool,
    /// What its packages bring.
    brought: Option<Brought>,
    /// The package files are ours as long as this lives.
    _turn: Option<Turn>,
}

impl Staged {
    /// Has it a stage that was decided over what packages bring?
    pub const fn has_stages(&self) -> bool {
        self.brought.is_some()
    }

    /// What follows the packages, with these answers of the host itself in the place of the copy's.
    pub fn decide_again(
        &self,
        context: &Context,
        survey: &Survey,
        now: &BTreeMap<&Probe, Observed>,
    ) -> Result<Plan, String> {
        let mut answers = survey.answers.clone();
        for (probe, seen) in now {
            answers.insert((*probe).clone(), seen.clone());
        }
        let selection = self.plan.selection.clone();
        let brought = self.brought.clone().unwrap_or_default();
        survey::planned_after(context, survey, &answers, selection, &brought)
            .map_err(|failure| failure.to_string())
    }
}

/// Why a rehearsal is none.
enum NoRehearsal {
    /// No copy can be made here, which is said in the plan.
    NoCopy(String),
    /// Programs that came with the packages refuse what follows them.
    NotAccepted(Vec<Refused>),
    Refused(Failure),
}

impl From<Failure> for NoRehearsal {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

/// The plan for what was selected. Rules and roles whose packages can't be had are left alone, and what is
/// kept in `survey` afterwards is what the plan was made over.
pub fn plan(
    context: &Context,
    survey: &mut Survey,
    selection: Selection,
) -> Result<Staged, Failure> {
    let mut left = Vec::new();
    let mut staged = loop {
        let first = survey.plan(context, selection.clone())?;
        let wants = wanted(&first)?;
        let (first, impossible, together) = possible(context, survey, first, wants, &selection)?;
        left.extend(impossible);
        let Some(together) = together else {
            break Staged {
                plan: first,
                unforeseen: false,
                brought: None,
                _turn: None,
            };
        };
        let unsigned = unsigned(&together);
        let mut staged = match rehearsed(context, survey, &first, &together, selection.clone()) {
            Ok((plan, turn)) => Staged {
                unforeseen: false,
                brought: Some(Brought::of(&plan)),
                plan,
                _turn: turn,
            },
            Err(NoRehearsal::NoCopy(why)) => Staged {
                plan: stages::unforeseen(first, &why),
                unforeseen: true,
                brought: None,
                _turn: None,
            },
            // The others stand, over a copy of their own.
            Err(NoRehearsal::NotAccepted(refused)) => {
                let (more, is_any_less) = without_refused(survey, &refused);
                left.extend(more);
                if is_any_less {
                    continue;
                }
                return Err(not_accepted(&refused));
            }
            Err(NoRehearsal::Refused(failure)) => return Err(failure),
        };
        name_unsigned(&mut staged.plan, &unsigned);
        break staged;
    };
    staged.plan.left_alone.extend(left);
    Ok(staged)
}

/// Leaves out the rules and roles whose configuration a program refuses, and says why. Was any left
/// out?
fn without_refused(survey: &mut Survey, refused: &[Refused]) -> (Vec<LeftAlone>, bool) {
    let mut left: Vec<LeftAlone> = Vec::new();
    for one in refused {
        for name in &one.serves {
            let with_it = match name.strip_prefix(LeftAlone::OF_ROLE) {
                Some(_) => "; with it all that the role wants is left out",
                None => "",
            };
            left.push(LeftAlone {
                what: name.clone(),
                why: format!("{} {}{with_it}", LeftAlone::IMPOSSIBLE, refusal_there(one)),
                at: Vec::new(),
            });
        }
    }
    let before = survey.wanted.roles.len() + survey.wanted.rules.len();
    leave_out(survey, &|name| left.iter().any(|one| one.what == name));
    let after = survey.wanted.roles.len() + survey.wanted.rules.len();
    (left, after < before)
}

fn refusal_there(refused: &Refused) -> String {
    format!(
        "{} refuses the new configuration, asked on a copy of this host that has the packages: {}",
        refused.validator.command(),
        model::printable(refused.said.as_bytes())
    )
}

fn not_accepted(refused: &[Refused]) -> Failure {
    let said: Vec<String> = refused.iter().map(refusal_there).collect();
    Failure::new(
        Exit::Findings,
        said.join("; "),
        "nothing was changed on this host; mend the configuration",
    )
}

/// Without these rules and roles, which are named as actions name what they serve.
fn leave_out(survey: &mut Survey, is_left_out: &dyn Fn(&str) -> bool) {
    let of_role = |role: &WantedRole| format!("{}{}", LeftAlone::OF_ROLE, role.name);
    let roles = &mut survey.wanted.roles;
    roles.retain(|role| !is_left_out(&of_role(role)));
    let rules = &mut survey.wanted.rules;
    rules.retain(|rule| !is_left_out(&rule.meta.id.to_string()));
}

/// The packages of which nothing proves whose they are, by the source that they come from.
fn unsigned(together: &Together) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pending in &together.pending {
        if let Some(source) = &pending.unsigned {
            let names = all.entry(source.clone()).or_default();
            names.push(pending.name.clone());
            names.sort();
        }
    }
    all
}

/// Says it beside the risk of what brings them, so that whoever reviews the plan reads it.
fn name_unsigned(plan: &mut Plan, unsigned: &BTreeMap<String, Vec<String>>) {
    for action in &mut plan.actions {
        let brings = |name: &str| match &action.effect {
            Effect::Upgrade { packages, .. } => packages.iter().any(|one| one.name == name),
            Effect::Package { name: one, .. } => one == name,
            _ => false,
        };
        let mut said: Vec<String> = action.risk_why.iter().cloned().collect();
        for (source, names) in unsigned {
            if !names.iter().any(|name| brings(name)) {
                continue;
            }
            said.push(format!(
                "{}: nothing says whose packages of {} these are, since it is exempt from signatures",
                first_of(names, NAMED),
                model::printable(source.as_bytes())
            ));
            action.risk = action.risk.max(Risk::Service);
        }
        action.risk_why = (!said.is_empty()).then(|| said.join("; "));
    }
}

fn wanted(plan: &Plan) -> Result<Wants, Failure> {
    stages::wanted(plan).map_err(|error| {
        let help = "let both want the same, or leave one of them out";
        Failure::with_help(Exit::BadInput, error, help)
    })
}

/// The plan without the rules and roles whose packages can't be had, which are named; and what the packages
/// of the others take, none where none is left.
fn possible(
    context: &Context,
    survey: &mut Survey,
    mut first: Plan,
    mut wants: Wants,
    selection: &Selection,
) -> Result<(Plan, Vec<LeftAlone>, Option<Together>), Failure> {
    let mut left = Vec::new();
    loop {
        if wants.is_empty() {
            return Ok((first, left, None));
        }
        let why = match packages::together(&wants) {
            Ok(together) => return Ok((first, left, Some(together))),
            Err(why) => why,
        };
        let mut refused = packages::refused(&wants);
        if refused.is_empty() {
            // Each can be had, and all of them can't.
            refused = wants
                .keys()
                .map(|name| (name.clone(), why.to_string()))
                .collect();
        }
        let served = serving(&first, &refused);
        for (rule, (package, why)) in &served {
            // What a role wants besides may be nothing without its package.
            let with_it = match rule.strip_prefix(LeftAlone::OF_ROLE) {
                Some(_) => ", and with it all that the role wants is left out",
                None => "",
            };
            left.push(LeftAlone {
                what: rule.clone(),
                why: format!(
                    "{} its package `{package}` can't be had{with_it}; are the sources right, and \
                     the lists fresh (apt-get update)? {why}",
                    LeftAlone::IMPOSSIBLE
                ),
                at: Vec::new(),
            });
        }
        leave_out(survey, &|name| served.contains_key(name));
        let before = wants.len();
        first = survey.plan(context, selection.clone())?;
        wants = wanted(&first)?;
        if wants.len() >= before {
            return Err(Failure::because(Exit::Unchecked, why));
        }
    }
}

/// The rules and roles that want one of these packages, with it and why it can't be had.
fn serving(plan: &Plan, refused: &BTreeMap<String, String>) -> BTreeMap<String, (String, String)> {
    let mut all = BTreeMap::new();
    for action in &plan.actions {
        let Effect::Package { name, .. } = &action.effect else {
            continue;
        };
        if let Some(why) = refused.get(name) {
            for rule in &action.serves {
                all.insert(rule.clone(), (name.clone(), why.clone()));
            }
        }
    }
    all
}

fn rehearsed(
    context: &Context,
    survey: &mut Survey,
    first: &Plan,
    together: &Together,
    selection: Selection,
) -> Result<(Plan, Option<Turn>), NoRehearsal> {
    if !rustix::process::geteuid().is_root() {
        return Err(NoRehearsal::NoCopy(
            "only root can make a copy of the host".to_owned(),
        ));
    }
    packages::check().map_err(|error| {
        let help = "nothing was changed; look at the repair: steadfast patch plan --repair";
        Failure::with_help(Exit::Findings, error, help)
    })?;
    let premises = premises(&survey.host);
    let state = context.open_state()?;
    let turn = context::take_turn(&state)?;
    crate::say(format_args!(
        "fetching {}",
        model::count::plural(together.pending.len(), "package")
    ));
    let Together { pending, removals } = together.clone();
    let fetched = fetch_beside(&state, pending, false, &removals).map_err(|error| {
        let Some(why) = error.unreachable() else {
            return NoRehearsal::Refused(not_fetched(error));
        };
        crate::say(format_args!("{error}"));
        NoRehearsal::NoCopy(why)
    })?;
    let named: Vec<String> = wanted(first)?
        .into_iter()
        .filter(|(_, op)| !matches!(op, model::PackageOp::Remove))
        .map(|(name, _)| name)
        .collect();
    let answers = answers(&selection, &fetched.packages)?;
    let work = Work {
        packages: &fetched.packages,
        removals: &removals,
        named: &named,
        unfinished: &[],
        answers: &answers,
    };
    crate::say(format_args!("rehearsing it on a copy of this host"));
    let mut seen: Option<Result<OverCopies, NoRehearsal>> = None;
    let limit = Duration::from_secs(USUAL_LIMIT_SECONDS);
    let mut look = |shown: &Shown<'_>| {
        let packages = Packages {
            packages: fetched.packages.clone(),
            removals: removals.clone(),
            answers: answers.clone(),
            writes: shown.writes.clone(),
            limit_seconds: USUAL_LIMIT_SECONDS,
            premises: premises.clone(),
        };
        let made = plan_over(context, survey, first, packages, selection.clone(), shown);
        seen = Some(made);
    };
    let UpgradeRehearsed { questions, .. } = rehearse_work(
        &state,
        work,
        fetched.unpacked_bytes,
        &[],
        &[],
        limit,
        &mut look,
    )
    .map_err(no_rehearsal)?;
    say_questions(&questions);
    let (plan, after) = seen.ok_or_else(|| {
        Failure::new(
            Exit::Unchecked,
            "the copy of this host was not looked at",
            "nothing was changed",
        )
    })??;
    survey.answers = after;
    Ok((plan, Some(turn)))
}

/// A plan, and the answers that hold when its packages are there.
type OverCopies = (Plan, Answers);

/// The whole plan, made over the copy that has the packages; and the programs of the copy accept what
/// follows them.
fn plan_over(
    context: &Context,
    survey: &Survey,
    first: &Plan,
    packages: Packages,
    selection: Selection,
    shown: &Shown<'_>,
) -> Result<OverCopies, NoRehearsal> {
    let before = &survey.answers;
    let after = over_copy(survey, shown)?;
    let now = ::plan::converge::passing_now(&survey.wanted, before, &after);
    let brought = Brought::by(&packages.packages, packages.writes.clone());
    let rest = survey::planned_after(context, survey, &after, selection, &brought)?;
    let plan = stages::join(first, rest, before, &after, packages, &now)
        .map_err(|error| Failure::because(Exit::BadInput, error))?;
    let refused = shown.refused(&plan);
    match refused.is_empty() {
        true => Ok((plan, after)),
        false => Err(NoRehearsal::NotAccepted(refused)),
    }
}

/// What the policy answers of what these packages ask.
fn answers(
    selection: &Selection,
    packages: &[PackageUpgrade],
) -> Result<Vec<DebconfAnswer>, Failure> {
    let policy = selection.policy.as_deref();
    let repository = survey::repository(policy.map(Path::new))?;
    let answers = answers_of(repository.patches(), packages);
    // They reach scripts that run as root.
    if !answers.is_empty() {
        trust(policy)?;
    }
    for answer in &answers {
        crate::say(format_args!(
            "{} is told {} ({}), by the policy",
            answer.package, answer.value, answer.question
        ));
    }
    Ok(answers)
}

fn say_questions(questions: &[String]) {
    if !questions.is_empty() {
        crate::say(format_args!(
            "asked on the copy, and answered by nobody: {}; the package's own answer counts, or none; \
             answer in the policy's patches.yaml, or before with debconf-set-selections",
            questions.join(", ")
        ));
    }
}

fn no_rehearsal(error: UpgradeError) -> NoRehearsal {
    let help = "nothing was changed on this host";
    match error {
        UpgradeError::Fails { .. } => {
            NoRehearsal::Refused(Failure::with_help(Exit::TakenBack, error, help))
        }
        UpgradeError::NoRoom { .. } => {
            NoRehearsal::Refused(Failure::with_help(Exit::Findings, error, help))
        }
        UpgradeError::Act(_) => {
            NoRehearsal::Refused(Failure::with_help(Exit::Unchecked, error, help))
        }
        UpgradeError::Rehearse(error) => {
            crate::say(format_args!("{error}"));
            NoRehearsal::NoCopy("a copy of this host can't be made here".to_owned())
        }
    }
}

/// What the package manager's answers rest on, as it is now.
pub(crate) fn premises(host: &LocalHost) -> Vec<Premise> {
    let premise = |path: &&'static str| {
        let probe = Probe::FileDigest {
            path: HostPath::literal(path),
        };
        let seen = host.probe(&probe);
        Premise {
            digest: seen.digest,
            seen: Some(seen),
            probe,
            after: None,
            form: None,
        }
    };
    DATABASE.iter().map(premise).collect()
}

/// The answers that hold when the packages are there.
fn over_copy(survey: &Survey, shown: &Shown<'_>) -> Result<Answers, Failure> {
    let copy =
        LocalHost::offline(shown.root).map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let over = OverCopy {
        copy,
        before: &survey.answers,
        shown,
    };
    Ok(survey::observe(&over, &survey.wanted, &Progress::hidden()))
}

/// The host as it will be: the copy where packages wrote, and what the host said everywhere else.
struct OverCopy<'a> {
    copy: LocalHost,
    before: &'a Answers,
    shown: &'a Shown<'a>,
}

impl Host for OverCopy<'_> {
    fn probe(&self, probe: &Probe) -> Observed {
        let copy = || match probe {
            Probe::Tool { tool, args } => self.shown.ask(*tool, args),
            _ => self.copy.probe(probe),
        };
        stages::after(probe, self.before.get(probe), self.shown.writes, copy)
    }

    fn walk(&self, tests: &WalkTests, _: &(dyn Fn(u64) + Sync)) -> BTreeMap<WalkTest, Observed> {
        let walked = |test: &WalkTest| {
            let probe = Probe::Walk { test: *test };
            (*test, self.probe(&probe))
        };
        tests.iter().map(walked).collect()
    }
}
