//! Taking a committed change back on request. Everything is decided before anything is
//! touched: paths that are as we left them go back byte for byte; in files that somebody
//! else changed since, only our own lines are inverted; where that can't be told apart, the
//! undo is refused with the difference.

use std::collections::BTreeSet;

mod accounts;
pub(crate) mod again;
pub mod choice;
mod decide;
pub mod look_again;
mod meanwhile;
mod order;
mod path;
mod running;
mod since;
mod stopped;
mod upgraded;

pub use choice::Choice;
pub(crate) use decide::missing_images;
use decide::{Decided, decide};
pub(crate) use meanwhile::{Apart, take_back_apart};
use order::Things;
use running::StillRuns;

use jiff::Timestamp;
use model::count::plural;
use model::{ActionId, ChangeId, ChangeState, Effect, HostPath, Outside, Risk};

use crate::LocalHost;
use crate::act::held::LOCK_WAIT;
use crate::act::{ActError, Context, LastLink, account, linker};
use crate::apply::{ApplyOptions, Unended, apart, image_key};
use crate::elsewhere;
use crate::event::Event;
use crate::image::Node;
use crate::journal::{
    ActionRecord, ActionState, Batch, GivenUp, Header, Imaged, JournalError, Kept, Role,
};
use crate::lock::{Lock, LockError};
use crate::outside;
use crate::records::is_lock;
use crate::room::{self, Back};
use crate::state::{ChangeRecord, State, StateError};
use crate::take_back::{AsBefore, Outcome, take_back};
use crate::target::Target;

/// How an undo ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// Taken back. `merged` files hold what others changed since, without our lines.
    Done {
        id: ChangeId,
        merged: Vec<HostPath>,
        /// None where anything was not seen to be as it was: `left` says what.
        proof: Option<AsBefore>,
        left: Box<Left>,
    },
    /// In effect, and taken back by the guard unless somebody confirms it.
    AwaitingConfirmation(ChangeId, Timestamp),
    /// The undo was itself taken back: the change is again what it was, `now`. `seen`: all of it was
    /// looked at in the end, and is as it was before the undo; else `why` says what is not, or can't be
    /// looked at.
    TakenBack {
        id: ChangeId,
        now: ChangeState,
        why: Vec<String>,
        seen: bool,
    },
    NeedsHuman {
        id: ChangeId,
        why: Vec<String>,
    },
}

/// What an undo leaves otherwise than it was before the change, and says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Steps that are in effect as before, and can be undone later: a place or an action each.
    pub standing: Vec<String>,
    /// Changed by others since, and left as they are now, as was asked for.
    pub theirs: Vec<HostPath>,
    /// Put back, seen to be as they were, and written anew by units that were started then.
    pub anew: Vec<HostPath>,
    /// Told to go back, and whether it did can't be looked at; and processes that can't be, which may
    /// run on with what was taken away.
    pub unseen: Vec<String>,
    /// Processes that run on with what was taken away, or with what was there until then.
    pub running: Vec<String>,
    /// Looked at, and not as they were before the change: what others wrote stays in them.
    pub differing: Vec<HostPath>,
    /// Changed between that look and the confirmation of the undo.
    pub changed: Vec<String>,
    /// Packages that others need by now and accounts of which something is left: with the reason.
    pub stays: Vec<String>,
    /// Changed while the change was at work, by it or by others, and none of what it was to write.
    pub outside: Outside,
}

impl Left {
    /// Nothing is known to be otherwise than before.
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// What stands in the way of an undo at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The path, or what else it is.
    pub what: String,
    pub why: String,
    /// The content as we left it and as it is now; none where it may hold a secret or is
    /// not text.
    pub difference: Option<(String, String)>,
}

impl Obstacle {
    /// In one line.
    pub(crate) fn words(&self) -> String {
        format!("{}: {}", self.what, self.why)
    }
}

/// An undo is refused; nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    #[error("change {id} is {}: there is nothing to undo", .state.words())]
    NotCommitted { id: ChangeId, state: ChangeState },
    #[error("change {later} came after {id} and changed `{what}` too: undo {later} first")]
    OutOfOrder {
        id: ChangeId,
        later: ChangeId,
        what: String,
    },
    #[error("change {id} can't be taken back: {why}")]
    Irreversible { id: ChangeId, why: String },
    #[error("change {id} can't be taken back: the before-image of `{}`{} is missing or damaged",
        .paths.first().map(ToString::to_string).unwrap_or_default(),
        match .paths.len() { 0 | 1 => String::new(), all => format!(" (and of {} more)", all - 1) })]
    NoImage { id: ChangeId, paths: Vec<HostPath> },
    #[error("{0}")]
    Choice(String),
    #[error("change {id} can no longer be undone: its before-images expired on {}", at.strftime("%Y-%m-%d"))]
    Expired { id: ChangeId, at: Timestamp },
    #[error("{} {} changed by someone else since",
        plural(.0.len(), "place"),
        if .0.len() == 1 { "was" } else { "were" }
    )]
    Conflict(Vec<Obstacle>),
    #[error("{0}")]
    Pending(Box<Unended>),
    #[error("an undo that could cut people off is refused here: {0}")]
    NoGuard(String),
    /// The journal could not be written any more. `steadfast recover` sees to the rest; the
    /// one error after which something may have been touched.
    #[error(
        "the undo of change {id} was interrupted, and `steadfast recover` sees to it: {source}"
    )]
    Unfinished { id: ChangeId, source: StateError },
    #[error("change {id} was made in `{root}`, which is not the tree that is looked at")]
    OtherRoot { id: ChangeId, root: String },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Act(#[from] ActError),
}

impl UndoError {
    /// Was there no room?
    pub fn is_full(&self) -> bool {
        match self {
            Self::State(error) => error.is_full(),
            Self::Act(error) => error.is_full(),
            _ => false,
        }
    }
}

impl From<JournalError> for UndoError {
    fn from(error: JournalError) -> Self {
        Self::State(error.into())
    }
}

/// Takes back a committed change. Where that could cut people off, as the change itself could,
/// somebody must confirm it, or the undo is taken back.
///
/// # Errors
/// When it is refused. Nothing was touched then, except after [`UndoError::Unfinished`].
pub fn undo(
    host: &LocalHost,
    state: &State,
    id: ChangeId,
    options: &ApplyOptions<'_>,
    sink: &mut dyn FnMut(Event),
) -> Result<Undone, UndoError> {
    undo_chosen(host, state, id, &Choice::default(), options, sink)
}

/// Takes back what was chosen of a committed change; the rest stays in effect.
///
/// # Errors
/// As [`undo`].
pub fn undo_chosen(
    host: &LocalHost,
    state: &State,
    id: ChangeId,
    choice: &Choice,
    options: &ApplyOptions<'_>,
    sink: &mut dyn FnMut(Event),
) -> Result<Undone, UndoError> {
    let once = |sink: &mut dyn FnMut(Event)| undo_once(host, state, id, choice, options, sink);
    let ended = match once(sink)? {
        // What services wrote at their stop is there now, and is left or deleted as was asked for.
        Once::GivenUp(_) if choice.keep_theirs || choice.accept_data_loss => once(sink)?,
        ended => ended,
    };
    match ended {
        Once::Ended(undone) => Ok(undone),
        Once::GivenUp(obstacles) => Err(UndoError::Conflict(obstacles)),
    }
}

/// How one try of an undo ended.
enum Once {
    Ended(Undone),
    /// By what was seen when services were stopped: they run again, and nothing else was touched.
    GivenUp(Vec<Obstacle>),
}

fn undo_once(
    host: &LocalHost,
    state: &State,
    id: ChangeId,
    choice: &Choice,
    options: &ApplyOptions<'_>,
    sink: &mut dyn FnMut(Event),
) -> Result<Once, UndoError> {
    let target = Target::of(host)?;
    let lock = Lock::take(&target.root, options.lock_wait)?;
    elsewhere::claim(&lock, state)?;
    let mut record = state.change(id)?;
    let was = (record.header.clone(), record.actions.clone());
    forget_claims(&mut record);
    let ours = apart::Ours {
        plan: &record.plan,
        images: &record.images,
        risk: way_back_risk(&record),
    };
    if let Some(first) = apart::in_the_way(state, &ours)? {
        return Err(UndoError::Pending(first));
    }
    record.header.leaves = choice.leaves(&record).map_err(UndoError::Choice)?;
    refuse_unless_undoable(state, &target, &record)?;
    let is_guarded = way_back_risk(&record) >= Risk::Connectivity;
    if is_guarded && choice.accept_data_loss {
        return Err(UndoError::Choice(
            "an undo that could cut people off is put back unless somebody confirms it, and data \
             that was deleted could not be: undo it with --keep-theirs, and delete the data by hand"
                .to_owned(),
        ));
    }
    if is_guarded {
        options
            .guard
            .check(&target.root)
            .map_err(UndoError::NoGuard)?;
    }
    let token = record.header.token.clone();
    let context = Context::new(&target.root, state.images(), &token, &options.crash);
    hold(&context, &record)?;
    // What this process stored before is rested upon by other changes.
    state.images().keep_fresh();
    let began = Timestamp::now();
    let decided = with_room(&context, state, &mut record, is_guarded, choice).and_then(|decided| {
        if target.root.is_live() {
            stopped::note_units(&mut record, began)?;
        }
        Ok(decided)
    });
    let Decided {
        merged,
        theirs,
        held,
        stays,
        went,
    } = decided.inspect_err(|_| {
        state.images().forget_fresh();
        state.reserve_again();
    })?;
    record.header.theirs = held.iter().chain(&theirs).cloned().collect();
    if is_guarded {
        return again::undo(
            &target,
            state,
            &context,
            record,
            Decided {
                merged,
                theirs,
                held,
                stays,
                went,
            },
            options,
            lock,
            sink,
        )
        .map(Once::Ended);
    }
    let brings = !crate::apply::upgrades(&record.plan).is_disjoint(&standing(&record));
    if target.root.is_live() && brings {
        record.header.given_up = Some(GivenUp {
            units: stopped::units(&record).inspect_err(|_| {
                state.images().forget_fresh();
                state.reserve_again();
            })?,
            header: Box::new(was.0),
            actions: was.1,
        });
    }
    record.header.change.state = ChangeState::Undoing;
    record.header.boot = crate::apply::boot_id();
    let mut batch = Batch::default().put(id, "", &record.header);
    for action in &record.actions {
        batch = batch.put(id, ActionRecord::key(action.id), action);
    }
    for image in &record.images {
        batch = batch.put(id, image_key(image), image);
    }
    options.crash.here("before undoing");
    // All that follows may need the room that was kept.
    state.release();
    if let Err(error) = state.journal().write(batch) {
        state.images().forget_fresh();
        state.reserve_again();
        return Err(error.into());
    }
    state.images().keep_fresh();
    options.crash.here("undoing");
    // What an upgrade changed outside its set is known since then, and is told again.
    let known = &record.header.change.outside;
    if !known.is_empty() {
        sink(Event::Outside {
            found: known.clone(),
        });
    }
    let finished = finish(&context, state, record, (options.now)(), false, sink)
        .map_err(|source| UndoError::Unfinished { id, source })?;
    match finished {
        Finished::Undone { proof, left } => {
            let left = Left {
                theirs,
                stays,
                ..*left
            };
            Ok(Once::Ended(Undone::Done {
                id,
                merged,
                proof: proof.filter(|_| left.is_nothing()),
                left: Box::new(left),
            }))
        }
        Finished::Stuck(why) => Ok(Once::Ended(Undone::NeedsHuman { id, why })),
        Finished::GivenUp(obstacles) => Ok(Once::GivenUp(obstacles)),
    }
}

/// As long as the undo lasts nobody else changes packages or accounts, where it does: what is
/// decided by them stays true.
fn hold(context: &Context<'_>, record: &ChangeRecord) -> Result<(), ActError> {
    let standing = standing(record);
    if context.root.is_live() && !crate::apply::upgrades(&record.plan).is_disjoint(&standing) {
        context.hold_dpkg(LOCK_WAIT)?;
    }
    let mut images = record.images.iter();
    let of_accounts = |image: &Imaged| {
        account::is_of_accounts(&image.path) && !image.actions.is_disjoint(&standing)
    };
    match images.any(of_accounts) {
        true => context.hold_accounts(),
        false => Ok(()),
    }
}

/// A taking back that did not come to its end proves nothing of what it did: all of it is tried
/// again, also of a change whose record says otherwise.
fn forget_claims(record: &mut ChangeRecord) {
    let state = record.header.change.state;
    if matches!(state, ChangeState::NeedsHuman | ChangeState::KeptAsItIs) {
        record.header.taken_back.clear();
    }
}

/// The risk of the undo: that of what stands of the change, and that packages go through which
/// people get in by now.
pub fn way_back_risk(record: &ChangeRecord) -> Risk {
    let standing = standing(record);
    let actions = record.plan.actions.iter();
    let mut brought = actions
        .filter(|action| standing.contains(&action.id))
        .filter_map(|action| match &action.effect {
            Effect::Upgrade { packages, .. } => Some(packages),
            _ => None,
        });
    match brought.any(|packages| plan::risk::of_upgrade(packages).is_some()) {
        true => Risk::Connectivity,
        false => standing_risk(record),
    }
}

/// The risk of what stands of a change.
fn standing_risk(record: &ChangeRecord) -> Risk {
    let standing = standing(record);
    let actions = record.plan.actions.iter();
    actions
        .filter(|action| standing.contains(&action.id))
        .map(|action| action.risk)
        .max()
        .unwrap_or_default()
}

/// Decides, with the room that was kept where there is no other, and makes sure of the room
/// for what was decided.
fn with_room(
    context: &Context<'_>,
    state: &State,
    record: &mut ChangeRecord,
    is_guarded: bool,
    choice: &Choice,
) -> Result<Decided, UndoError> {
    let decided = match decide(context, record, choice) {
        Err(error) if error.is_full() => {
            state.release();
            let leaves = std::mem::take(&mut record.header.leaves);
            *record = state.change(record.header.change.id)?;
            forget_claims(record);
            record.header.leaves = leaves;
            decide(context, record, choice)?
        }
        decided => decided?,
    };
    let standing = standing(record);
    let touched = record
        .images
        .iter()
        .filter(|image| image.role == Role::Touched && !image.actions.is_disjoint(&standing));
    let mut both = Vec::new();
    for image in touched {
        let to = image.undo.as_ref().map_or(&image.before, |undo| &undo.to);
        let (_, current) = Node::capture(context.root, &image.path, LastLink::Itself, None)?;
        both.push((&image.path, to, current));
    }
    let back = both.iter().map(|(path, to, current)| Back {
        path,
        to,
        from_bytes: room::size_bytes(current),
    });
    // An undo that nobody confirms goes the other way again.
    let forth = both.iter().filter(|_| is_guarded);
    let forth = forth.map(|(path, to, current)| Back {
        path,
        to: current,
        from_bytes: room::size_bytes(to),
    });
    room::check(context, state, back.chain(forth))?;
    Ok(decided)
}

fn refuse_unless_undoable(
    state: &State,
    target: &Target,
    record: &ChangeRecord,
) -> Result<(), UndoError> {
    let id = record.header.change.id;
    let now = record.header.change.state;
    if !now.allows(ChangeState::Undoing) {
        return Err(UndoError::NotCommitted { id, state: now });
    }
    if let Some(at) = record.header.change.expired {
        return Err(UndoError::Expired { id, at });
    }
    if record.header.root != target.root.path() {
        return Err(UndoError::OtherRoot {
            id,
            root: record.header.root.display().to_string(),
        });
    }
    // What stays is not asked to go.
    let standing = standing(record);
    let goes = record
        .actions
        .iter()
        .filter(|action| standing.contains(&action.id));
    for action in goes {
        if let (Kept::Irreversible { why }, ActionState::Done) = (&action.kept, &action.state) {
            return Err(UndoError::Irreversible {
                id,
                why: why.clone(),
            });
        }
    }
    let ours = Things::of(state, record);
    for change in state.history()? {
        let stands = matches!(
            change.state,
            ChangeState::Committed | ChangeState::NeedsHuman | ChangeState::KeptAsItIs
        );
        if change.id <= id || !stands {
            continue;
        }
        let later = state.change(change.id)?;
        if let Some(what) = ours.shared_with(&Things::of(state, &later)) {
            return Err(UndoError::OutOfOrder {
                id,
                later: change.id,
                what,
            });
        }
    }
    Ok(())
}

/// The actions that were begun, but for those that were taken back while others stayed, and for
/// those that this undo leaves. One that a stuck taking back calls taken back is among them.
pub(crate) fn standing(record: &ChangeRecord) -> BTreeSet<ActionId> {
    let header = &record.header;
    let actions = record.actions.iter();
    actions
        .filter(|action| match action.state {
            ActionState::Pending | ActionState::Skipped { .. } => false,
            ActionState::TakenBack => !header.taken_back.contains(&action.id),
            ActionState::Begun | ActionState::Done | ActionState::Failed { .. } => true,
        })
        .map(|action| action.id)
        .filter(|id| !header.leaves.contains(id))
        .collect()
}

/// How the carrying out of an undo ended.
pub(crate) enum Finished {
    Undone {
        proof: Option<AsBefore>,
        left: Box<Left>,
    },
    Stuck(Vec<String>),
    /// The change is what it was before the undo, since that had not seen this.
    GivenUp(Vec<Obstacle>),
}

/// Carries out what was decided. Run again after a crash (`resumed`), it completes what is left.
pub(crate) fn finish(
    context: &Context<'_>,
    state: &State,
    record: ChangeRecord,
    now: Timestamp,
    resumed: bool,
    sink: &mut dyn FnMut(Event),
) -> Result<Finished, StateError> {
    let mut record = record;
    let id = record.header.change.id;
    let began = outside::undone_since(&record.actions);
    if record.header.given_up.is_none() && resumed {
        for action in &mut record.actions {
            // An older version began it, and did not look: nothing that came since goes.
            if let Kept::Upgrade {
                undone_since,
                stopped,
                ..
            } = &mut action.kept
            {
                *stopped = stopped.or(*undone_since);
            }
        }
    }
    if record.header.given_up.is_some() {
        let mut found = stopped::look(context, state, &mut record, resumed)?;
        if !found.is_empty() {
            stopped::give_up(context, state, &mut record, &mut found)?;
            return Ok(Finished::GivenUp(found));
        }
    }
    let (outcome, mut left) = carry_out(context, state, &mut record, sink)?;
    match outcome.stuck.is_empty() {
        true => done(&mut record, now),
        false => {
            let change = &mut record.header.change;
            change.ended = Some(now);
            change.state = ChangeState::NeedsHuman;
            change.note = Some(outcome.stuck.join("; "));
            record.header.leaves.clear();
            record.header.theirs.clear();
        }
    }
    record.header.given_up = None;
    let mut batch = Batch::default().put(id, "", &record.header);
    if record.header.change.undone_in_part {
        for image in &record.images {
            batch = batch.put(id, image_key(image), image);
        }
    }
    state.journal().write(batch)?;
    context.crash.here("undone");
    state.reserve_again();
    // Nothing hangs on the answer any more but what is said.
    if let Some(began) = began {
        let found = outside::tell(&record.images, state, began, sink);
        left.outside = left.outside.and(found);
    }
    Ok(match outcome.stuck.is_empty() {
        true => Finished::Undone {
            proof: outcome
                .proof(&left.outside)
                .filter(|_| left.standing.is_empty()),
            left: Box::new(left),
        },
        false => Finished::Stuck(outcome.stuck),
    })
}

/// Puts everything as was decided, and checks it. Gives what could not be put back.
fn carry_out(
    context: &Context<'_>,
    state: &State,
    record: &mut ChangeRecord,
    sink: &mut dyn FnMut(Event),
) -> Result<(Outcome, Left), StateError> {
    let chosen = standing_or_undone(record);
    let id = record.header.change.id;
    state.release();
    sink(Event::TakingBack {
        id,
        why: "undo".to_owned(),
    });
    let outcome = put_as_decided(context, state, record, &chosen, sink);
    outcome.tell(id, sink);
    outcome.refuse_halfway(id)?;
    let left = Left {
        standing: choice::names(record, &record.header.leaves),
        anew: outcome.anew.clone(),
        unseen: outcome.unseen.clone(),
        running: outcome.running.clone(),
        differing: outcome.differing.clone(),
        outside: record.header.change.outside.clone(),
        ..Left::default()
    };
    Ok((outcome, left))
}

/// Each path becomes what was decided, and is looked at.
fn put_as_decided(
    context: &Context<'_>,
    state: &State,
    record: &mut ChangeRecord,
    chosen: &BTreeSet<ActionId>,
    sink: &mut dyn FnMut(Event),
) -> Outcome {
    let images = as_decided(record);
    let mut outcome = take_back(
        context,
        (state.journal(), record.header.change.id),
        &record.plan,
        &mut record.actions,
        &images,
        &|id| chosen.contains(&id),
        sink,
    );
    if record.images.iter().any(is_made_anew)
        && context.root.is_live()
        && let Err(error) = linker::make_cache()
    {
        outcome.stuck.push(error.to_string());
    }
    look_at_the_rest(context, &record.images, chosen, &mut outcome);
    let is_live = context.root.is_live();
    let still = running::still(is_live, &images, &record.actions, chosen);
    let words = |one: StillRuns| format!("{} {}", one.who, one.how);
    outcome.running = still.running.into_iter().map(words).collect();
    outcome.unseen.extend(still.unseen.map(words));
    outcome
}

/// What goes back, and as what: all but what was decided to stay.
fn as_decided(record: &ChangeRecord) -> Vec<Imaged> {
    let images = record.images.iter();
    images
        .filter(|image| image.role == Role::Touched || is_time_to_go_back(image))
        .filter(|image| !is_made_anew(image) && !is_left(image))
        .cloned()
        .map(|mut image| {
            if let Some(undo) = &image.undo {
                image.before = undo.to.clone();
            }
            image
        })
        .collect()
}

/// Of a directory in which something was changed: is its time not others'?
fn is_time_to_go_back(image: &Imaged) -> bool {
    let mut undo = image.undo.iter();
    undo.all(|undo| undo.to == image.before)
}

/// The cache of libraries is made from what is there, where that is not what was there before.
fn is_made_anew(image: &Imaged) -> bool {
    upgraded::is_linker_cache(&image.path) && is_left(image)
}

/// Left as it is, whatever becomes of it meanwhile.
fn is_left(image: &Imaged) -> bool {
    let mut undo = image.undo.iter();
    image.role == Role::Touched && undo.any(|undo| undo.from == undo.to)
}

/// A proof is of the whole change: what was taken back before, or holds what others wrote, is
/// looked at too.
fn look_at_the_rest(
    context: &Context<'_>,
    images: &[Imaged],
    chosen: &BTreeSet<ActionId>,
    outcome: &mut Outcome,
) {
    let recording = |image: &&Imaged| image.role == Role::Touched && !is_lock(&image.path);
    for image in images.iter().filter(recording) {
        let becomes = image.undo.as_ref().map(|undo| &undo.to);
        let is_decided_otherwise = becomes.is_some_and(|to| !to.same_as(&image.before));
        if !image.actions.is_disjoint(chosen) && !is_decided_otherwise && !is_left(image) {
            // The taking back has looked.
            continue;
        }
        let now = image.now(context.root, None);
        if !now.is_ok_and(|now| now.same_as(&image.before)) {
            outcome.differing.push(image.path.clone());
        }
    }
}

/// In an undo that was interrupted, some actions are taken back already; they are looked at
/// again, since their neighbours' directories are not done.
fn standing_or_undone(record: &ChangeRecord) -> BTreeSet<ActionId> {
    let Header {
        taken_back, leaves, ..
    } = &record.header;
    let actions = record.plan.actions.iter().map(|action| action.id);
    actions
        .filter(|id| !taken_back.contains(id) && !leaves.contains(id))
        .collect()
}

/// What was chosen is taken back, and was looked at. A change of which something stays is in effect
/// with the rest.
pub(crate) fn done(record: &mut ChangeRecord, now: Timestamp) {
    let chosen = standing_or_undone(record);
    let leaves = std::mem::take(&mut record.header.leaves);
    let of_others = of_others(record);
    record.header.change.ended = Some(now);
    if leaves.is_empty() && of_others.is_empty() {
        record.header.theirs.clear();
        let change = &mut record.header.change;
        change.state = ChangeState::Undone;
        // What an undo of a part said is true no more.
        if std::mem::take(&mut change.undone_in_part) {
            change.note = None;
        }
        return;
    }
    let gone = chosen.difference(&of_others).copied();
    record.header.taken_back.extend(gone);
    for image in &mut record.images {
        image.undo = None;
    }
    let left = choice::names(record, &leaves).len();
    let theirs = record.header.theirs.len();
    let are = |count: usize| match count {
        1 => "1 place is".to_owned(),
        more => format!("{more} places are"),
    };
    let mut rest = Vec::new();
    if left > 0 {
        rest.push(format!("{} still in effect", are(left)));
    }
    if theirs > 0 {
        rest.push(format!("{} left as others have made it since", are(theirs)));
    }
    let change = &mut record.header.change;
    change.state = ChangeState::Committed;
    change.undone_in_part = true;
    change.note = Some(format!("taken back in part; {}", rest.join("; ")));
}

/// The actions of which something is left as others have made it since: another undo takes it.
fn of_others(record: &ChangeRecord) -> BTreeSet<ActionId> {
    let theirs = &record.header.theirs;
    let is_theirs = |image: &&Imaged| {
        let differs = image
            .undo
            .as_ref()
            .is_some_and(|undo| !undo.to.same_as(&image.before));
        let path = &image.path;
        let mut theirs = theirs.iter();
        let is_left = is_left(image) || account::is_of_accounts(path);
        is_left && differs && theirs.any(|one| path.is_within(one) || one.is_within(path))
    };
    let images = record.images.iter();
    images
        .filter(is_theirs)
        .flat_map(|image| image.actions.iter().copied())
        .collect()
}
