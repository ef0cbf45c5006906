//! Taking a committed change back on request. Everything is decided before anything is
//! touched: paths that are as we left them go back byte for byte; in files that somebody
//! else changed since, only our own lines are inverted; where that can't be told apart, the
//! undo is refused with the difference.

use std::collections::{BTreeMap, BTreeSet};

pub(crate) mod again;
pub mod choice;
pub mod look_again;
mod since;

pub use choice::Choice;

use jiff::Timestamp;
use model::count::plural;
use model::{ActionId, ChangeId, ChangeState, Effect, HostPath, Risk};

use crate::LocalHost;
use crate::act::{ActError, Context, LastLink, health, package, runtime};
use crate::apply::{ApplyOptions, image_key};
use crate::elsewhere;
use crate::event::Event;
use crate::image::{Attributes, Images, Node};
use crate::journal::{
    ActionRecord, ActionState, Batch, Header, Imaged, JournalError, Kept, Role, UndoTo,
};
use crate::lock::{Lock, LockError};
use crate::merge::merge;
use crate::outside;
use crate::room::{self, Back};
use crate::state::{ChangeRecord, State, StateError};
use crate::take_back::{AsBefore, Outcome, take_back};
use crate::target::Target;

/// Larger files than this are not merged: they are not configuration.
const MERGE_LIMIT_BYTES: u64 = 1 << 20;

/// How an undo ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// Taken back. `merged` files hold what others changed since, without our lines.
    Done {
        id: ChangeId,
        merged: Vec<HostPath>,
        /// None where anything was not seen to be as it was: `left` says what.
        proof: Option<AsBefore>,
        left: Left,
    },
    /// In effect, and taken back by the guard unless somebody confirms it.
    AwaitingConfirmation(ChangeId, Timestamp),
    /// The undo was itself taken back, and that was checked: the change is in effect again.
    TakenBack {
        id: ChangeId,
        why: Vec<String>,
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
    /// Told to go back; whether it did can't be looked at.
    pub unseen: Vec<String>,
    /// Looked at, and not as they were before the change: what others wrote stays in them.
    pub differing: Vec<HostPath>,
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
    #[error(
        "change {0} is not finished: `steadfast confirm {0}` keeps it where it waits for that, else \
         `steadfast recover` comes first"
    )]
    Pending(ChangeId),
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
    let target = Target::of(host)?;
    let lock = Lock::take(&target.root, options.lock_wait)?;
    elsewhere::claim(&lock, state)?;
    if let Some(pending) = state.pending()?.first() {
        return Err(UndoError::Pending(pending.change.id));
    }
    let mut record = state.change(id)?;
    forget_claims(&mut record);
    record.header.leaves = choice.leaves(&record).map_err(UndoError::Choice)?;
    refuse_unless_undoable(state, &target, &record)?;
    let is_guarded = standing_risk(&record) >= Risk::Connectivity;
    if is_guarded {
        options
            .guard
            .check(&target.root)
            .map_err(UndoError::NoGuard)?;
    }
    let token = record.header.token.clone();
    let context = Context::new(&target.root, state.images(), &token, &options.crash);
    // What this process stored before is rested upon by other changes.
    state.images().keep_fresh();
    let decided = with_room(&context, state, &mut record, is_guarded, choice);
    let Decided { merged, theirs } = decided.inspect_err(|_| {
        state.images().forget_fresh();
        state.reserve_again();
    })?;
    if target.root.is_live() {
        note_units(&mut record)?;
    }
    if is_guarded {
        return again::undo(
            &target,
            state,
            &context,
            record,
            Decided { merged, theirs },
            options,
            lock,
            sink,
        );
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
    let outside_of = outside::since(&record.actions).map(|_| record.images.clone());
    // What an upgrade changed outside its set is known since then, and is told again.
    let known = record.header.change.outside.clone();
    if !known.is_empty() {
        sink(Event::Outside { found: known });
    }
    let began = Timestamp::now();
    let finished = finish(&context, state, record, (options.now)(), sink)
        .map_err(|source| UndoError::Unfinished { id, source })?;
    if let Some(images) = outside_of {
        outside::tell(&images, state, began, sink);
    }
    match finished {
        Finished::Undone { proof, left } => Ok(Undone::Done {
            id,
            merged,
            proof: proof.filter(|_| theirs.is_empty()),
            left: Left { theirs, ..left },
        }),
        Finished::Stuck(why) => Ok(Undone::NeedsHuman { id, why }),
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

/// The risk of what stands of a change, which its undo has too.
fn standing_risk(record: &ChangeRecord) -> Risk {
    let standing = standing(record);
    let actions = record.plan.actions.iter();
    actions
        .filter(|action| standing.contains(&action.id))
        .map(|action| action.risk)
        .max()
        .unwrap_or_default()
}

/// Which units must be up when the undo has told them: those that are up now, and those that
/// ran before the change and have failed since. One that somebody has stopped since stays so.
fn note_units(record: &mut ChangeRecord) -> Result<(), ActError> {
    for action in &mut record.actions {
        if let Kept::Told { name, up, boot } = &mut action.kept {
            let now = health::look_at(name)?;
            *up = now.is_up() || *up && now.has_failed();
            *boot = crate::apply::boot_id();
        }
        if let Kept::Upgrade { ran, .. } = &mut action.kept {
            let names: Vec<&str> = ran.iter().map(String::as_str).collect();
            let seen = health::look(&names)?;
            let mut seen = seen.iter();
            // One that somebody has stopped since stays so.
            ran.retain(|_| {
                seen.next()
                    .is_some_and(|now| !now.has_ended() || now.has_failed())
            });
        }
    }
    Ok(())
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
    for action in &record.actions {
        if let (Kept::Irreversible { why }, ActionState::Done) = (&action.kept, &action.state) {
            return Err(UndoError::Irreversible {
                id,
                why: why.clone(),
            });
        }
    }
    let ours = things(record);
    for change in state.history()? {
        let stands = matches!(
            change.state,
            ChangeState::Committed | ChangeState::NeedsHuman | ChangeState::KeptAsItIs
        );
        if change.id <= id || !stands {
            continue;
        }
        let theirs = things(&state.change(change.id)?);
        if let Some(what) = ours.intersection(&theirs).next() {
            return Err(UndoError::OutOfOrder {
                id,
                later: change.id,
                what: what.clone(),
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

/// What a change has in its hands: paths, parameters, modules, mounts, units.
fn things(record: &ChangeRecord) -> BTreeSet<String> {
    let standing = standing(record);
    let paths = record
        .images
        .iter()
        .filter(|image| image.role == Role::Touched && !image.actions.is_disjoint(&standing))
        .map(|image| image.path.to_string());
    let others = record
        .actions
        .iter()
        .filter(|action| standing.contains(&action.id))
        .flat_map(|action| match &action.kept {
            Kept::Sysctl { key, .. } => vec![format!("kernel parameter {key}")],
            Kept::Mount { path, .. } => vec![format!("mount {path}")],
            Kept::Module { name, .. } => vec![format!("module {name}")],
            Kept::Unit { name, .. } => vec![format!("unit {name}")],
            Kept::Packages(before) => {
                let names = before.packages.iter();
                names
                    .map(|package| format!("package {}", package.name))
                    .collect()
            }
            Kept::Nothing
            | Kept::Told { .. }
            | Kept::Upgrade { .. }
            | Kept::Effect(_)
            | Kept::Irreversible { .. } => Vec::new(),
        });
    paths.chain(others).collect()
}

/// The files that will not be byte for byte as before.
#[derive(Debug, Default)]
struct Decided {
    /// Hold what others changed since, without our lines.
    merged: Vec<HostPath>,
    /// Left as others have made them since.
    theirs: Vec<HostPath>,
}

/// Decides for every path what it becomes, and notes it in the record.
fn decide(
    context: &Context<'_>,
    record: &mut ChangeRecord,
    choice: &Choice,
) -> Result<Decided, UndoError> {
    let id = record.header.change.id;
    let standing = standing(record);
    let leaves = record.header.leaves.clone();
    let mut obstacles = Vec::new();
    let mut merged = Vec::new();
    let mut theirs = Vec::new();
    let upgrades = crate::apply::upgrades(&record.plan);
    let touched: BTreeMap<HostPath, Node> = record
        .images
        .iter()
        .filter(|image| image.role == Role::Touched)
        .map(|image| (image.path.clone(), image.before.clone()))
        .collect();
    for image in &mut record.images {
        if image.actions.is_disjoint(&standing) {
            continue;
        }
        let look = |images| Node::capture(context.root, &image.path, LastLink::Itself, images);
        let (_, mut current) = look(None)?;
        let after = image.after.clone().unwrap_or_else(|| image.before.clone());
        // What an undo before this one has decided, and carried out.
        let earlier = image.undo.take().map(|undo| undo.to);
        if image.role == Role::Parent {
            let is_left = !image.actions.is_disjoint(&leaves);
            // An undo that did not work out has put the time back already.
            let is_ours = [&after, &image.before]
                .iter()
                .any(|ours| directory_time(ours) == directory_time(&current));
            if is_left || !is_ours {
                image.undo = Some(UndoTo {
                    from: current.clone(),
                    to: current,
                });
            }
            continue;
        }
        if !current.same_as(&after) && !current.same_as(&image.before) {
            // It will be merged, or shown.
            (_, current) = look(Some(context.images))?;
        }
        // A link to a directory is only a link.
        let is_directory = matches!(current, Node::Directory { .. });
        let decision = match image.actions.is_disjoint(&upgrades) {
            _ if earlier
                .as_ref()
                .is_some_and(|to| *to == current && *to != image.before) =>
            {
                Ok(Decision::Become(current.clone()))
            }
            true => decide_path(context.images, image, &after, &current),
            false => {
                decide_upgraded(context.images, image, &after, &current).map_err(Stop::Obstacle)
            }
        };
        match decision {
            Ok(Decision::Exact) => {}
            Ok(Decision::Leave) => {
                image.undo = Some(UndoTo {
                    from: current.clone(),
                    to: current,
                });
            }
            Ok(Decision::Become(to)) => {
                if matches!(to, Node::File { .. }) {
                    merged.push(image.path.clone());
                }
                image.undo = Some(UndoTo { from: current, to });
            }
            Err(Stop::Obstacle(_))
                if choice.keep_theirs && image.actions.is_disjoint(&upgrades) =>
            {
                theirs.push(image.path.clone());
                image.undo = Some(UndoTo {
                    from: current.clone(),
                    to: current,
                });
                continue;
            }
            Err(Stop::Obstacle(mut obstacle)) => {
                // Thousands may be in the way, and a few of them are read by somebody.
                if obstacles.len() >= DIFFERENCES_SHOWN {
                    obstacle.difference = None;
                }
                obstacles.push(obstacle);
            }
            Err(Stop::Failed(error)) => return Err(error.into()),
        }
        if image.before == Node::Absent
            && is_directory
            && let Some(obstacle) = holds_others(context, &image.path, &touched)?
        {
            if choice.keep_theirs {
                theirs.push(image.path.clone());
                let (_, current) =
                    Node::capture(context.root, &image.path, LastLink::Itself, None)?;
                image.undo = Some(UndoTo {
                    from: current.clone(),
                    to: current,
                });
                continue;
            }
            obstacles.push(obstacle);
        }
    }
    obstacles.extend(changed_values(record, &standing));
    obstacles.extend(made_in_places(context, record, &standing)?);
    let missing = missing_images(context, record, &standing)?;
    if !missing.is_empty() {
        return Err(UndoError::NoImage { id, paths: missing });
    }
    match obstacles.is_empty() {
        true => Ok(Decided { merged, theirs }),
        false => Err(UndoError::Conflict(obstacles)),
    }
}

/// The paths whose content is to be put back, and is not in the store as it was stored.
pub(crate) fn missing_images(
    context: &Context<'_>,
    record: &ChangeRecord,
    which: &BTreeSet<ActionId>,
) -> Result<Vec<HostPath>, ActError> {
    let mut missing = Vec::new();
    for image in &record.images {
        if image.role != Role::Touched || image.actions.is_disjoint(which) {
            continue;
        }
        let to = image.undo.as_ref().map_or(&image.before, |undo| &undo.to);
        let Some(content) = to.content() else {
            continue;
        };
        let (_, current) = Node::capture(context.root, &image.path, LastLink::Itself, None)?;
        // What is there already needs no image.
        if current.content() != Some(content) && context.images.open(&content).is_err() {
            missing.push(image.path.clone());
        }
    }
    Ok(missing)
}

/// What an upgrade wrote goes back as it was, or not at all: a program or a database that is half
/// of one version is none. A cache that was made anew since is as good as another.
fn decide_upgraded(
    images: &Images,
    image: &Imaged,
    after: &Node,
    current: &Node,
) -> Result<Decision, Obstacle> {
    if current.same_as(after) || current.same_as(&image.before) {
        return Ok(Decision::Exact);
    }
    if image.path.is_within(&HostPath::literal("/var/cache")) {
        return Ok(Decision::Leave);
    }
    // dpkg's copy of what its database was before the last change of it. Where the database itself
    // is not as it was left, that is a conflict of its own.
    if image.path == HostPath::literal("/var/lib/dpkg/status-old") {
        return Ok(Decision::Exact);
    }
    Err(Obstacle {
        what: image.path.to_string(),
        why: format!(
            "it was changed since the upgrade, and is not written over: {}",
            since::told(after, current)
        ),
        difference: difference(images, image, after, current),
    })
}

enum Decision {
    /// Back to the before-image.
    Exact,
    /// It is as before already.
    Leave,
    /// Our part is inverted, the rest stays.
    Become(Node),
}

/// Why a path has no decision.
enum Stop {
    Obstacle(Obstacle),
    Failed(ActError),
}

impl From<Obstacle> for Stop {
    fn from(obstacle: Obstacle) -> Self {
        Self::Obstacle(obstacle)
    }
}

fn decide_path(
    images: &Images,
    image: &Imaged,
    after: &Node,
    current: &Node,
) -> Result<Decision, Stop> {
    // A directory is the same when its entries' times differ; that is judged below.
    if current == &image.before {
        return Ok(Decision::Leave);
    }
    if current.same_as(after) {
        return match (&image.before, current) {
            // Entries came or went since: the time is not ours to put back.
            (
                Node::Directory { attributes },
                Node::Directory {
                    attributes: current,
                },
            ) if directory_time(after) != Some(current.modified) => {
                let mut attributes = attributes.clone();
                attributes.modified = current.modified;
                Ok(Decision::Become(Node::Directory { attributes }))
            }
            _ => Ok(Decision::Exact),
        };
    }
    if current.same_as(&image.before) {
        return Ok(Decision::Leave);
    }
    let obstacle = |why: &str| Obstacle {
        what: image.path.to_string(),
        why: why.to_owned(),
        difference: difference(images, image, after, current),
    };
    let (before, left, now) = match (&image.before, after, current) {
        (
            Node::File { .. } | Node::Absent,
            Node::File {
                attributes: left, ..
            },
            Node::File {
                attributes: now, ..
            },
        ) => (image.before.attributes(), left, now),
        _ => {
            return Err(obstacle(&format!(
                "it is {} now, and was {} when we left it",
                current.kind(),
                after.kind()
            ))
            .into());
        }
    };
    let Some(before) = before else {
        return Err(obstacle("we made it, and someone has changed it since").into());
    };
    let attributes = invert_attributes(before, left, now).ok_or_else(|| {
        obstacle("its owner, mode or attributes were changed by someone else since")
    })?;
    let read = |node: &Node| {
        node.content().ok_or("it is not a file").and_then(|digest| {
            images
                .read(&digest, MERGE_LIMIT_BYTES)
                .map_err(|_| "it is too large to tell the changes apart")
        })
    };
    let (base, ours, theirs) = read(after)
        .and_then(|base| Ok((base, read(&image.before)?, read(current)?)))
        .map_err(obstacle)?;
    let content =
        merge(&base, &ours, &theirs).map_err(|conflict| obstacle(&conflict.to_string()))?;
    let digest = images.store_bytes(&content).map_err(|error| {
        Stop::Failed(ActError::path("store what becomes of", &image.path, error))
    })?;
    Ok(Decision::Become(Node::File {
        content: digest,
        size_bytes: content.len() as u64,
        attributes,
    }))
}

/// Puts back what we changed of owner, mode and attributes, and keeps what others changed.
/// None when both changed the same thing.
fn invert_attributes(
    before: &Attributes,
    left: &Attributes,
    now: &Attributes,
) -> Option<Attributes> {
    fn invert<T: PartialEq + Clone>(before: &T, left: &T, now: &T) -> Option<T> {
        if before == left {
            return Some(now.clone());
        }
        (now == left || now == before).then(|| before.clone())
    }
    Some(Attributes {
        mode: invert(&before.mode, &left.mode, &now.mode)?,
        uid: invert(&before.uid, &left.uid, &now.uid)?,
        gid: invert(&before.gid, &left.gid, &now.gid)?,
        // The content is new, so is its time.
        modified: now.modified,
        extended: invert(&before.extended, &left.extended, &now.extended)?,
        flags: invert(&before.flags, &left.flags, &now.flags)?,
    })
}

/// Of so many conflicts the contents are shown.
const DIFFERENCES_SHOWN: usize = 20;

/// May anybody read it on the host? What only some may read is shown to nobody else: a terminal's
/// output ends in logs and in tickets.
fn is_public(node: &Node) -> bool {
    node.attributes()
        .is_none_or(|attributes| attributes.mode.bits() & 0o004 != 0)
}

/// The text that was left and the one that is there now, where they are no secrets.
fn difference(
    images: &Images,
    image: &Imaged,
    after: &Node,
    current: &Node,
) -> Option<(String, String)> {
    let is_public = [&image.before, after, current].into_iter().all(is_public);
    if image.sensitive || !is_public || after.content() == current.content() {
        return None;
    }
    let text = |node: &Node| {
        let bytes = images.read(&node.content()?, MERGE_LIMIT_BYTES).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        (!text.contains('\0')).then_some(text)
    };
    Some((text(after)?, text(current)?))
}

fn directory_time(node: &Node) -> Option<crate::image::FileTime> {
    match node {
        Node::Directory { attributes } => Some(attributes.modified),
        _ => None,
    }
}

/// A directory that we made can't go while it holds what is not ours.
fn holds_others(
    context: &Context<'_>,
    path: &HostPath,
    touched: &BTreeMap<HostPath, Node>,
) -> Result<Option<Obstacle>, ActError> {
    let Some(names) = context.root.list(path)? else {
        return Ok(None);
    };
    let strange = names.into_iter().find(|name| {
        let inside = path.join(name);
        !inside.is_ok_and(|inside| touched.get(&inside) == Some(&Node::Absent))
    });
    Ok(strange.map(|name| Obstacle {
        what: path.to_string(),
        why: format!(
            "we made this directory, and someone has put `{}` into it since",
            model::printable(&name)
        ),
        difference: None,
    }))
}

/// What others made since in the places of packages whose writes nobody noted: it would go with them.
fn made_in_places(
    context: &Context<'_>,
    record: &ChangeRecord,
    standing: &BTreeSet<ActionId>,
) -> Result<Vec<Obstacle>, ActError> {
    let mut obstacles = Vec::new();
    for action in &record.actions {
        if let (true, Kept::Packages(before)) = (standing.contains(&action.id), &action.kept) {
            let made = package::made_since(context, before)?;
            obstacles.extend(made.iter().map(|path| Obstacle {
                what: path.display().to_string(),
                why: package::MADE_SINCE.to_owned(),
                difference: None,
            }));
        }
    }
    Ok(obstacles)
}

/// Running values that are neither what we set nor what was there before.
fn changed_values(record: &ChangeRecord, standing: &BTreeSet<ActionId>) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    for action in &record.plan.actions {
        let kept = record
            .actions
            .iter()
            .find(|kept| kept.id == action.id && standing.contains(&kept.id));
        if let (Effect::Sysctl { key, value }, Some(Kept::Sysctl { before, .. })) =
            (&action.effect, kept.map(|kept| &kept.kept))
            && let Ok(now) = runtime::sysctl(key)
            && !runtime::same_value(&now, value)
            && !runtime::same_value(&now, before)
        {
            obstacles.push(Obstacle {
                what: format!("kernel parameter {key}"),
                why: format!("it is `{now}` now, we had set it to `{value}`"),
                difference: None,
            });
        }
    }
    obstacles
}

/// How the carrying out of an undo ended.
pub(crate) enum Finished {
    Undone { proof: Option<AsBefore>, left: Left },
    Stuck(Vec<String>),
}

/// Carries out what was decided. Run again after a crash, it completes what is left.
pub(crate) fn finish(
    context: &Context<'_>,
    state: &State,
    record: ChangeRecord,
    now: Timestamp,
    sink: &mut dyn FnMut(Event),
) -> Result<Finished, StateError> {
    let mut record = record;
    let id = record.header.change.id;
    let (outcome, left) = carry_out(context, state, &mut record, sink)?;
    match outcome.stuck.is_empty() {
        true => done(&mut record, now),
        false => {
            let change = &mut record.header.change;
            change.ended = Some(now);
            change.state = ChangeState::NeedsHuman;
            change.note = Some(outcome.stuck.join("; "));
            record.header.leaves.clear();
        }
    }
    let mut batch = Batch::default().put(id, "", &record.header);
    if record.header.change.undone_in_part {
        for image in &record.images {
            batch = batch.put(id, image_key(image), image);
        }
    }
    state.journal().write(batch)?;
    context.crash.here("undone");
    state.reserve_again();
    Ok(match outcome.stuck.is_empty() {
        true => Finished::Undone {
            proof: outcome.proof().filter(|_| left.standing.is_empty()),
            left,
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
    let images: Vec<Imaged> = record
        .images
        .iter()
        .filter(|image| image.role == Role::Touched || image.undo.is_none())
        .cloned()
        .map(|mut image| {
            if let Some(undo) = &image.undo {
                image.before = undo.to.clone();
            }
            image
        })
        .collect();
    let journal = (state.journal(), id);
    let mut outcome = take_back(
        context,
        journal,
        &record.plan,
        &mut record.actions,
        &images,
        &|id| chosen.contains(&id),
        sink,
    );
    look_at_the_rest(context, &record.images, &chosen, &mut outcome);
    outcome.tell(id, sink);
    outcome.refuse_halfway(id)?;
    let left = Left {
        standing: choice::names(record, &record.header.leaves),
        theirs: Vec::new(),
        anew: outcome.anew.clone(),
        unseen: outcome.unseen.clone(),
        differing: outcome.differing.clone(),
    };
    Ok((outcome, left))
}

/// A proof is of the whole change: what was taken back before, or holds what others wrote, is
/// looked at too.
fn look_at_the_rest(
    context: &Context<'_>,
    images: &[Imaged],
    chosen: &BTreeSet<ActionId>,
    outcome: &mut Outcome,
) {
    for image in images.iter().filter(|image| image.role == Role::Touched) {
        let becomes = image.undo.as_ref().map(|undo| &undo.to);
        let is_decided_otherwise = becomes.is_some_and(|to| !to.same_as(&image.before));
        if !image.actions.is_disjoint(chosen) && !is_decided_otherwise {
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
    record.header.change.ended = Some(now);
    if leaves.is_empty() {
        record.header.change.state = ChangeState::Undone;
        return;
    }
    record.header.taken_back.extend(chosen);
    for image in &mut record.images {
        image.undo = None;
    }
    let left = choice::names(record, &leaves).len();
    let change = &mut record.header.change;
    change.state = ChangeState::Committed;
    change.undone_in_part = true;
    change.note = Some(format!(
        "taken back in part; {} still in effect",
        match left {
            1 => "1 place is".to_owned(),
            more => format!("{more} places are"),
        }
    ));
}
