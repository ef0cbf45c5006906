//! A plan in stages: first the packages, all of them as one action that was rehearsed, then what
//! was decided over the copy on which they were. What hangs on the packages goes after them and
//! falls with them; everything else stands by itself.

mod settle;

use std::collections::{BTreeMap, BTreeSet};

use model::patching::DebconfAnswer;
use model::plan::LeftAlone;
use model::value::Reason;
use model::{
    Action, ActionId, Answer, Effect, HostPath, Inverse, Observed, PackageOp, PackageRemoval,
    PackageUpgrade, Plan, Premise, Probe, Risk, Tool, UnitOp, Value,
};
use resource::Answers;

use crate::outlook::without;
use crate::risk;

pub use settle::{Differs, made_anew, settle};

/// What the packages of a plan take, as it was rehearsed.
#[derive(Clone, Debug)]
pub struct Packages {
    pub packages: Vec<PackageUpgrade>,
    pub removals: Vec<PackageRemoval>,
    /// Of the questions that these ask.
    pub answers: Vec<DebconfAnswer>,
    pub writes: BTreeSet<HostPath>,
    pub limit_seconds: u64,
    /// The package manager's database, as it was when all this was found out.
    pub premises: Vec<Premise>,
}

/// What is there after the packages of a plan.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    pub writes: BTreeSet<HostPath>,
    /// None of the packages was there before.
    are_all_new: bool,
}

impl Brought {
    pub fn by(packages: &[PackageUpgrade], writes: BTreeSet<HostPath>) -> Self {
        Self {
            writes,
            are_all_new: packages.iter().all(|package| package.from.is_none()),
        }
    }

    /// What the packages of this plan bring.
    pub fn of(plan: &Plan) -> Self {
        let mut upgrades = plan
            .actions
            .iter()
            .filter_map(|action| match &action.effect {
                Effect::Upgrade {
                    packages, writes, ..
                } => Some(Self::by(packages, writes.iter().cloned().collect())),
                _ => None,
            });
        upgrades.next().unwrap_or_default()
    }

    /// Is it a unit of the packages, which the host does not have? `seen` is what holds after them.
    pub(crate) fn has_unit(&self, name: &str, seen: &Answers) -> bool {
        let probe = Probe::Unit {
            name: name.to_owned(),
        };
        match seen.get(&probe).map(|seen| &seen.answer) {
            Some(Answer::Known(Value::Unit(unit))) => return unit.is_to_come,
            Some(_) => return false,
            None => {}
        }
        // It is only told something, so nothing asked for it.
        let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
        let template = stem.split_once('@');
        let template = template.map(|(stem, _)| format!("{stem}@.{ending}"));
        let directories = ["/lib/systemd/system", "/usr/lib/systemd/system"].map(HostPath::literal);
        let is_its_file = |path: &HostPath| {
            let file = path.file_name();
            let is_named = file == name.as_bytes()
                || template
                    .as_deref()
                    .is_some_and(|one| one.as_bytes() == file);
            is_named
                && path
                    .parent()
                    .is_some_and(|above| directories.contains(&above))
        };
        self.are_all_new && self.writes.iter().any(is_its_file)
    }
}

/// Why stages can't be made of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    #[error("`{0}` is wanted in two ways: installed, and not")]
    Contradiction(String),
    #[error("the package `{name}` is not as {serves} wants it when all is done that apt offers")]
    NotReached { name: String, serves: String },
}

/// What a plan wants of packages.
///
/// # Errors
/// When two wants can't both hold.
pub fn wanted(plan: &Plan) -> Result<BTreeMap<String, PackageOp>, StageError> {
    let mut all = BTreeMap::new();
    for (name, op) in packages(plan).filter_map(of_package) {
        match all.insert(name.to_owned(), op.clone()) {
            Some(other) if other != *op => {
                return Err(StageError::Contradiction(name.to_owned()));
            }
            _ => {}
        }
    }
    Ok(all)
}

fn of_package(action: &Action) -> Option<(&str, &PackageOp)> {
    match &action.effect {
        Effect::Package { name, op } => Some((name, op)),
        _ => None,
    }
}

fn packages(plan: &Plan) -> impl Iterator<Item = &Action> {
    let actions = plan.actions.iter();
    actions.filter(|action| of_package(action).is_some())
}

/// The plan where nothing could be rehearsed: its packages, without a promise to undo them, and
/// what has nothing to do with them. What comes after them in their sets can't be foreseen: it is
/// named, and decided on the host when they are there.
pub fn unforeseen(mut plan: Plan, why: &str) -> Plan {
    let mut names = Vec::new();
    // The first package of each set.
    let mut sets: BTreeMap<u32, ActionId> = BTreeMap::new();
    for action in &mut plan.actions {
        if let Effect::Package { name, .. } = &action.effect {
            names.push(name.clone());
            sets.entry(action.change_set).or_insert(action.id);
            action.inverse = Inverse::Irreversible {
                why: format!("it was not rehearsed: {why}"),
            };
        }
    }
    let hangs_on_them = |action: &Action| {
        let first = sets.get(&action.change_set);
        of_package(action).is_none() && first.is_some_and(|first| action.id > *first)
    };
    let mut later = Vec::new();
    for action in plan.actions.iter().filter(|action| hangs_on_them(action)) {
        let what = match &action.effect {
            Effect::Unit { name, .. } => name.clone(),
            effect => match effect.path() {
                Some(path) => path.to_string(),
                None => continue,
            },
        };
        let left = LeftAlone {
            what: action.serves.join(", "),
            why: format!(
                "{what}: can't be foreseen, and is decided on the host when the packages are there"
            ),
            at: Vec::new(),
        };
        if !later.contains(&left) {
            later.push(left);
        }
    }
    let mut plan = without(plan, hangs_on_them);
    plan.left_alone.extend(later);
    plan.left_alone.push(LeftAlone {
        what: names.join(", "),
        why: format!(
            "what the packages bring could not be foreseen: {why}; no undo of them is promised, \
             and apply wants --unrehearsed"
        ),
        at: Vec::new(),
    });
    plan
}

/// Has it packages of which no undo is promised, since they were not rehearsed?
pub fn is_unforeseen(plan: &Plan) -> bool {
    packages(plan).any(|action| matches!(action.inverse, Inverse::Irreversible { .. }))
}

/// What holds after the packages: as the copy has it where they wrote, and as the host has it
/// everywhere else. `copy` is asked only where its answer counts.
pub fn after(
    probe: &Probe,
    live: Option<&Observed>,
    writes: &BTreeSet<HostPath>,
    copy: impl FnOnce() -> Observed,
) -> Observed {
    let host = |otherwise: &dyn Fn() -> Observed| live.cloned().unwrap_or_else(otherwise);
    match probe {
        Probe::File { path, .. }
        | Probe::FileDigest { path }
        | Probe::Meta { path }
        | Probe::Found { path } => match is_written(path, live, writes) {
            true => copy(),
            false => live.cloned().unwrap_or_else(copy),
        },
        Probe::Dir { path } | Probe::Writers { path, .. } => {
            let is_above = path.ancestors().any(|above| writes.contains(&above));
            match is_above || path.below(writes).next().is_some() {
                true => copy(),
                false => live.cloned().unwrap_or_else(copy),
            }
        }
        Probe::Package { .. } => copy(),
        Probe::Accounts => {
            const FILES: [&str; 4] = ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"];
            match FILES
                .iter()
                .any(|path| writes.contains(&HostPath::literal(path)))
            {
                true => copy(),
                false => live.cloned().unwrap_or_else(copy),
            }
        }
        Probe::Unit { .. } => match live.map(|live| &live.answer) {
            Some(Answer::Known(Value::Unit(unit))) if unit.load_state != "not-found" => {
                host(&|| unasked())
            }
            Some(Answer::Unknown(_)) => host(&|| unasked()),
            _ => brought(copy()),
        },
        // A program that comes says on the copy what it takes its configuration for. One that is here
        // says it of the host.
        Probe::Tool { tool, .. }
            if !live.is_some_and(|live| matches!(live.answer, Answer::Known(_)))
                && program(*tool).is_some_and(|path| is_written(&path, None, writes)) =>
        {
            copy()
        }
        // A check whose program comes is asked on the host, right before what it decides.
        Probe::Command { argv, .. }
            if !live.is_some_and(|live| matches!(live.answer, Answer::Known(_)))
                && argv.first().is_some_and(|program| comes(program, writes)) =>
        {
            Observed::unknown(Reason::ToCome)
        }
        // The kernel, what runs, and other programs: nothing of a copy says how they will be.
        _ => host(&unasked),
    }
}

/// Where Debian has it, for one that not every host has.
fn program(tool: Tool) -> Option<HostPath> {
    match tool {
        Tool::SshdEffective => Some(HostPath::literal("/usr/sbin/sshd")),
        Tool::NginxDump => Some(HostPath::literal("/usr/sbin/nginx")),
        Tool::Getent => None,
    }
}

/// Also where Debian's `/bin` is a link to `/usr/bin`.
fn comes(program: &str, writes: &BTreeSet<HostPath>) -> bool {
    let places = [program.to_owned(), format!("/usr{program}")];
    let mut paths = places
        .iter()
        .filter_map(|place| HostPath::from_bytes(place.as_bytes()).ok());
    paths.any(|path| is_written(&path, None, writes))
}

/// A unit that is not here yet: whether it will run, its package decides.
fn brought(copy: Observed) -> Observed {
    match copy.answer {
        Answer::Known(Value::Unit(mut unit)) => {
            unit.is_to_come = true;
            Observed::new(Answer::Known(Value::Unit(unit)))
        }
        _ => copy,
    }
}

fn unasked() -> Observed {
    Observed::unknown(Reason::ToCome)
}

fn is_written(path: &HostPath, live: Option<&Observed>, writes: &BTreeSet<HostPath>) -> bool {
    let touches = |path: &HostPath| path.ancestors().any(|above| writes.contains(&above));
    let resolved = match live.map(|live| &live.answer) {
        Some(Answer::Known(Value::File(file))) => file.resolved.as_ref(),
        _ => None,
    };
    touches(path) || resolved.is_some_and(touches)
}

/// Puts the packages of `first`, which was made over the host by the answers `live`, before `rest`,
/// which was made over the `copy` that has them. `now` has what passes on the copy and did not pass on the host: it comes
/// with the packages, and is not left alone.
///
/// # Errors
/// When the copy is not as wanted either.
pub fn join(
    first: &Plan,
    mut rest: Plan,
    live: &Answers,
    copy: &Answers,
    rehearsed: Packages,
    now: &[LeftAlone],
) -> Result<Plan, StageError> {
    if let Some((action, (name, _))) =
        packages(&rest).find_map(|action| Some((action, of_package(action)?)))
    {
        return Err(StageError::NotReached {
            name: name.to_owned(),
            serves: action.serves.join(", "),
        });
    }
    let asked: Vec<&Action> = packages(first).collect();
    let serves: BTreeSet<String> = asked
        .iter()
        .flat_map(|action| action.serves.iter().cloned())
        .collect();
    let mut premises = Premises::default();
    let mut rests_on: Vec<u32> = rehearsed
        .premises
        .iter()
        .map(|premise| premises.place(premise.clone()))
        .collect();
    for place in asked.iter().flat_map(|action| &action.rests_on) {
        if let Some(premise) = first.premises.get(*place as usize) {
            rests_on.push(premises.place(premise.clone()));
        }
    }
    rests_on.sort_unstable();
    rests_on.dedup();
    let (risk, risk_why) = risk_of(&asked, &rehearsed);
    let brought = Brought::by(&rehearsed.packages, rehearsed.writes.clone());
    let writes = &rehearsed.writes;
    let mut actions = Vec::with_capacity(rest.actions.len() + 1);
    let mut hanging_sets = BTreeSet::new();
    for mut action in rest.actions {
        let mut hangs = action.serves.iter().any(|name| serves.contains(name));
        hangs |= action
            .effect
            .path()
            .is_some_and(|path| is_written(path, None, writes));
        let mut on = Vec::new();
        let (mut may_be_made_anew, mut is_checked) = (false, false);
        for place in &action.rests_on {
            let Some(premise) = rest.premises.get(*place as usize) else {
                continue;
            };
            is_checked |= matches!(premise.probe, Probe::Command { .. });
            let is_as_before = match &premise.probe {
                // Nobody asked for it by itself.
                Probe::Found { path } => !writes.contains(path),
                probe => live.get(probe).map(|seen| seen.digest) == Some(premise.digest),
            };
            if is_as_before {
                on.push(premises.place(premise.clone()));
                continue;
            }
            hangs = true;
            if can_be_asked_again(&premise.probe) || is_checked {
                let mut premise = premise.clone();
                premise.after = Some(ActionId(0));
                premise.form = copy.get(&premise.probe).and_then(Observed::form);
                may_be_made_anew |= premise.form.is_some();
                on.push(premises.place(premise));
            }
        }
        if !may_be_made_anew {
            action.edit = None;
        }
        action.decided_on_host = match &action.effect {
            Effect::Unit {
                name,
                op: UnitOp::Start | UnitOp::Stop,
            } => brought.has_unit(name, copy),
            // Its check is asked once more when the packages are there.
            Effect::Run { .. } => hangs && is_checked,
            _ => false,
        };
        on.sort_unstable();
        action.rests_on = on;
        action.id = ActionId(action.id.0 + 1);
        for before in &mut action.after {
            before.0 += 1;
        }
        if hangs {
            action.after.insert(0, ActionId(0));
            hanging_sets.insert(action.change_set);
        }
        actions.push(action);
    }
    number_sets(&mut actions, &hanging_sets, rest.selection.all_or_nothing);
    let named = asked.iter().filter_map(|action| match of_package(action)? {
        (name, PackageOp::Install { .. }) => Some(name.to_owned()),
        (_, PackageOp::Remove) => None,
    });
    let named: BTreeSet<String> = named.collect();
    actions.insert(
        0,
        Action {
            id: ActionId(0),
            serves: serves.into_iter().collect(),
            effect: Effect::Upgrade {
                packages: rehearsed.packages,
                writes: rehearsed.writes.into_iter().collect(),
                unfinished: Vec::new(),
                answers: rehearsed.answers,
                removals: rehearsed.removals,
                named: named.into_iter().collect(),
                limit_seconds: rehearsed.limit_seconds,
            },
            inverse: Inverse::Restore,
            rests_on,
            after: Vec::new(),
            change_set: 0,
            risk,
            risk_why,
            validate: None,
            sensitive: false,
            decided_on_host: false,
            along: model::plan::Along::default(),
            edit: None,
        },
    );
    rest.left_alone
        .retain(|left| !now.contains(left) || first.left_alone.contains(left));
    rest.actions = actions;
    rest.premises = premises.list;
    Ok(rest)
}

/// The worst of what is declared of its packages and of what these bring with them.
fn risk_of(asked: &[&Action], rehearsed: &Packages) -> (Risk, Option<String>) {
    let mut worst = (Risk::None, None);
    for action in asked {
        if action.risk > worst.0 {
            worst = (action.risk, action.risk_why.clone());
        }
    }
    let upgraded: Vec<PackageUpgrade> = rehearsed
        .packages
        .iter()
        .filter(|package| package.from.is_some())
        .cloned()
        .collect();
    if !upgraded.is_empty() {
        worst.0 = worst.0.max(Risk::Service);
    }
    if let Some(touched) = risk::of_upgrade(&upgraded)
        && touched.risk > worst.0
    {
        worst = (touched.risk, Some(touched.why));
    }
    worst
}

/// By content: what runs is not the same on a copy, where nothing does.
const fn can_be_asked_again(probe: &Probe) -> bool {
    matches!(
        probe,
        Probe::File { .. }
            | Probe::FileDigest { .. }
            | Probe::Meta { .. }
            | Probe::Found { .. }
            | Probe::Dir { .. }
            | Probe::Writers { .. }
            | Probe::Package { .. }
            | Probe::Accounts
    )
}

/// Those that hang on the packages are one set with them; the others keep theirs.
fn number_sets(actions: &mut [Action], hanging: &BTreeSet<u32>, all: bool) {
    let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
    for action in actions {
        // What is in a set of those goes after the packages too, or an undo in turn would be wrong.
        if all || hanging.contains(&action.change_set) {
            action.change_set = 0;
            continue;
        }
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX - 1) + 1;
        action.change_set = *numbers.entry(action.change_set).or_insert(next);
    }
}

/// Each once.
#[derive(Default)]
struct Premises {
    list: Vec<Premise>,
    places: BTreeMap<(Probe, Option<ActionId>), usize>,
}

impl Premises {
    fn place(&mut self, premise: Premise) -> u32 {
        let key = (premise.probe.clone(), premise.after);
        let place = *self.places.entry(key).or_insert_with(|| {
            self.list.push(premise);
            self.list.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }
}
