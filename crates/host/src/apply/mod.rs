//! Carrying out a plan: exactly what it says, or a refusal. The way back is durable before
//! the first action; a change set that fails is taken back and checked; what could cut
//! people off stays only when somebody confirms it.

mod actions;
mod adopt;
pub(crate) mod apart;
mod changeable;
mod ending;
mod images;
mod mine;
mod sets;
mod settle;
mod summary;
mod work;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use model::count::plural;
use model::plan::{PlanError, check_format};
use model::{
    ActionId, Change, ChangeId, ChangeState, Effect, Observed, Outside, Plan, Premise, Probe, Risk,
};

pub(crate) use actions::upgrades;
pub use apart::Unended;
pub use changeable::outlook;

use crate::LocalHost;
use crate::act::{ActError, Context};
use crate::confirm::Guard;
use crate::confirm::root::Ways;
use crate::crash::CrashPoints;
use crate::elsewhere;
use crate::event::Event;
use crate::journal::{Header, JournalError};
use crate::lock::{Lock, LockError};
use crate::state::{State, StateError, digest_of};
use crate::target::{Changed, Target};
use mine::{ChangedByUs, Places};
use sets::Sets;
use work::Work;
pub(crate) use work::is_staged;

pub(crate) use ending::finish_taking_back;
pub(crate) use images::image_key;

/// How a plan is carried out.
pub struct ApplyOptions<'a> {
    /// Who asked: the account, and the one behind `sudo`.
    pub by: String,
    pub now: &'a dyn Fn() -> Timestamp,
    /// How long a change of risk `connectivity` waits to be confirmed.
    pub confirm_within: Duration,
    /// How long another change may keep us waiting.
    pub lock_wait: Duration,
    /// Asked several times a second: has the person had enough (Ctrl-C)?
    pub interrupted: &'a dyn Fn() -> bool,
    /// Do not wait for the confirmation here: the guard alone keeps the deadline.
    pub detach: bool,
    /// Who takes a change back when this process is gone.
    pub guard: Guard,
    pub crash: CrashPoints,
    /// What is to be done after packages where their files are as they are here. None where the
    /// plan has no such stage.
    pub decide_again: Option<DecideAgain<'a>>,
}

/// Makes the plan of the stage after packages again, with these answers in the place of those that
/// the copy of the host gave.
pub type DecideAgain<'a> = &'a dyn Fn(&BTreeMap<&Probe, Observed>) -> Result<Plan, String>;

/// What the caller found when it looked again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The rules and roles that are still not as wanted, and why. Empty: the goal is reached.
    pub failed: Vec<(String, String)>,
    /// Those of which there is more to do, at places that the plan did not have: what was done at
    /// its own is right, and stays.
    pub more: Vec<(String, String)>,
}

/// How carrying out a plan ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The plan had nothing to do.
    Nothing,
    Committed(ChangeId),
    /// Still waiting: nobody confirmed it, and the guard will take it back.
    AwaitingConfirmation(ChangeId, Timestamp),
    /// Some change sets were taken back, the others stand.
    PartlyTakenBack {
        id: ChangeId,
        why: Vec<String>,
    },
    /// Everything was taken back, and `verified` against the before-images. `seen`: all of it was
    /// looked at in the end, and is as it was; else `why` says what is not, or can't be looked at.
    TakenBack {
        id: ChangeId,
        why: Vec<String>,
        verified: bool,
        seen: bool,
    },
    /// Neither as before nor as planned.
    NeedsHuman {
        id: ChangeId,
        why: Vec<String>,
    },
}

/// A plan is not carried out; nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("the plan can't be carried out: {0}")]
    Format(PlanError),
    #[error("the plan is for another host: `{0}`")]
    OtherHost(String),
    #[error("{} that the plan rests on changed since", plural(.0.len(), "observed value"))]
    Changed(Vec<Changed>),
    #[error("{0}")]
    Pending(Box<Unended>),
    #[error("a change that could cut people off is refused here: {0}")]
    NoGuard(String),
    /// The journal could not be written any more. `steadfast recover` takes the change back;
    /// the one error after which something may have been touched.
    #[error("change {id} was interrupted, and is taken back by `steadfast recover`: {source}")]
    Unfinished { id: ChangeId, source: StateError },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Act(#[from] ActError),
}

impl ApplyError {
    /// Was there no room, so that nothing was begun?
    pub fn is_full(&self) -> bool {
        match self {
            Self::State(error) => error.is_full(),
            Self::Act(error) => error.is_full(),
            _ => false,
        }
    }
}

impl From<JournalError> for ApplyError {
    fn from(error: JournalError) -> Self {
        Self::State(error.into())
    }
}

/// Carries out `plan`. `verify` looks at the host again and says what is not as wanted.
///
/// # Errors
/// When the plan is refused: nothing was touched then, except after
/// [`ApplyError::Unfinished`].
pub fn apply(
    host: &LocalHost,
    state: &State,
    plan: &Plan,
    options: &ApplyOptions<'_>,
    verify: &dyn Fn(&Plan) -> Verdict,
    sink: &mut dyn FnMut(Event),
) -> Result<Applied, ApplyError> {
    apply_as(host, state, plan, options, verify, sink, Origin::Policy)
}

/// For whom a plan is carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Policy,
    /// Steadfast's own recovery units.
    Own,
}

pub(crate) fn apply_as(
    host: &LocalHost,
    state: &State,
    plan: &Plan,
    options: &ApplyOptions<'_>,
    verify: &dyn Fn(&Plan) -> Verdict,
    sink: &mut dyn FnMut(Event),
    origin: Origin,
) -> Result<Applied, ApplyError> {
    check_format(plan.format).map_err(ApplyError::Format)?;
    if plan.actions.is_empty() {
        return Ok(Applied::Nothing);
    }
    let target = Target::of(host)?;
    if target.identity() != plan.host {
        return Err(ApplyError::OtherHost(plan.host.hostname.clone()));
    }
    let lock = Lock::take(&target.root, options.lock_wait)?;
    elsewhere::claim(&lock, state)?;
    let ours = apart::Ours {
        plan,
        images: &[],
        risk: plan.risk(),
    };
    if let Some(first) = apart::in_the_way(state, &ours)? {
        return Err(ApplyError::Pending(first));
    }
    let now = |premise: &&Premise| premise.after.is_none();
    let changed = target.changed(plan.premises.iter().filter(now), None)?;
    // A change of mode rests on a file that somebody writes; what rests on something else
    // does not wait for that.
    let resting = resting_on(plan, &changed);
    let of_actions: BTreeSet<u32> = plan
        .actions
        .iter()
        .flat_map(|action| action.rests_on.iter().copied())
        .collect();
    let mut probes: BTreeMap<&Probe, u32> = BTreeMap::new();
    for (premise, place) in plan.premises.iter().zip(0..) {
        probes.entry(&premise.probe).or_insert(place);
    }
    let is_of_an_action = |changed: &Changed| {
        let place = probes.get(&changed.probe);
        place.is_some_and(|place| of_actions.contains(place))
    };
    if !changed.is_empty()
        && (plan.selection.all_or_nothing
            || resting.len() == plan.actions.len()
            || !changed.iter().all(is_of_an_action))
    {
        return Err(ApplyError::Changed(changed));
    }
    if plan.risk() >= Risk::Connectivity {
        options
            .guard
            .check(&target.root)
            .map_err(ApplyError::NoGuard)?;
    }
    let token = token()?;
    let context = Context::new(&target.root, state.images(), &token, &options.crash);
    state
        .images()
        .mend()
        .map_err(|error| ActError::program("look at the before-images", error))?;
    // What this process stored before is rested upon by other changes.
    state.images().keep_fresh();
    // What can't be imaged is refused here, before there is a change at all.
    let taken = match is_large(plan) {
        true => state
            .images()
            .sync_together(|| images::images(&context, state, plan, origin)),
        false => images::images(&context, state, plan, origin),
    };
    let (images, records, refused) = taken.inspect_err(|_| state.images().forget_fresh())?;
    let id = next_id(state)?;
    let ways = Ways::now(&target.root);
    let header = Header {
        change: Change {
            id,
            plan: plan.id(),
            state: ChangeState::Planned,
            started: (options.now)(),
            ended: None,
            by: options.by.clone(),
            summary: summary::summary(plan),
            serves: serves(plan),
            note: None,
            expired: None,
            outside: Outside::default(),
            unproven: false,
            undone_in_part: false,
            restart: None,
            no_way_back: Vec::new(),
        },
        token: token.clone(),
        root: target.root.path().to_owned(),
        boot: boot_id(),
        images: Some(digest_of(&images)),
        activated: None,
        deadline: None,
        wait: None,
        taken_back: BTreeSet::new(),
        leaves: BTreeSet::new(),
        theirs: BTreeSet::new(),
        own: origin == Origin::Own,
        secrets: images.iter().any(|image| image.sensitive),
        swept: false,
        undo: None,
        given_up: None,
        restart: None,
        decides_root: ways.are_touched(&images) || ways.are_changed_by(plan),
        root_alone: ways.is_root_alone(),
    };
    let sets = Sets::of(plan, &images);
    let places = Places::of(&images);
    let settled = OnceCell::new();
    let mut work = Work {
        settled: &settled,
        target: &target,
        context,
        state,
        plan,
        options,
        sink,
        header,
        records,
        images,
        sets,
        places,
        changed: ChangedByUs::default(),
        down: BTreeSet::new(),
        whys: Vec::new(),
        unreachable: BTreeSet::new(),
    };
    for (action, why) in resting.into_iter().chain(refused) {
        work.refuse(action, why);
    }
    if let Err(error) = work.record().and_then(|()| work.keep_room()) {
        return work.never_begun(error);
    }
    match work.carry_out(verify, lock) {
        Ok(applied) => Ok(applied),
        Err(source) => work.give_way(source),
    }
}

/// The actions that rest on what changed since, and what that is.
fn resting_on(plan: &Plan, changed: &[Changed]) -> BTreeMap<ActionId, String> {
    let probes: BTreeMap<&Probe, &Changed> = changed.iter().map(|one| (&one.probe, one)).collect();
    let places: BTreeMap<u32, &Changed> = (0u32..)
        .zip(&plan.premises)
        .filter_map(|(place, premise)| Some((place, *probes.get(&premise.probe)?)))
        .collect();
    let resting = plan.actions.iter().filter_map(|action| {
        let changed = action.rests_on.iter().find_map(|place| places.get(place))?;
        Some((action.id, format!("{} changed since", changed.probe)))
    });
    resting.collect()
}

/// Does it touch so many paths that waiting for the disk for each takes minutes?
pub(crate) fn is_large(plan: &Plan) -> bool {
    plan.actions
        .iter()
        .any(|action| matches!(action.effect, Effect::Upgrade { .. }))
}

fn serves(plan: &Plan) -> Vec<String> {
    let names: BTreeSet<&String> = plan.actions.iter().flat_map(|a| &a.serves).collect();
    names.into_iter().cloned().collect()
}

fn next_id(state: &State) -> Result<ChangeId, StateError> {
    let last = state.history()?.last().map_or(0, |change| change.id.0);
    Ok(ChangeId(last + 1))
}

fn token() -> Result<String, StateError> {
    let mut bytes = [0; 8];
    crate::state::random(&mut bytes).map_err(|source| StateError::Io {
        what: "name temporary files for",
        path: PathBuf::from("/"),
        source,
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// This boot of the machine (random(4)).
pub(crate) fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}
