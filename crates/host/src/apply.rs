//! Carrying out a plan: exactly what it says, or a refusal. The way back is durable before
//! the first action; a change set that fails is taken back and checked; what could cut
//! people off stays only when somebody confirms it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use model::plan::PLAN_FORMAT;
use model::{
    Action, ActionId, Change, ChangeId, ChangeState, Effect, HostPath, Plan, Premise, Probe, Risk,
};

use crate::LocalHost;
use crate::act::{self, ActError, Context, LastLink};
use crate::confirm::{self, Guard};
use crate::crash::CrashPoints;
use crate::elsewhere;
use crate::event::Event;
use crate::image::Node;
use crate::journal::{ActionRecord, ActionState, Batch, Header, Imaged, JournalError, Kept, Role};
use crate::lock::{Lock, LockError};
use crate::state::{State, StateError, digest_of};
use crate::take_back::{self, take_back};
use crate::target::{Changed, Target};
use crate::validate::{self, Laid};

/// Room on another file system than the journal's, beside that for the largest file.
const RESERVE_BESIDE_BYTES: u64 = 256 << 10;

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
}

/// What the caller found when it looked again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The rules and roles that are still not as wanted, and why. Empty: the goal is reached.
    pub failed: Vec<(String, String)>,
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
    /// Everything was taken back, and `verified` against the before-images.
    TakenBack {
        id: ChangeId,
        why: Vec<String>,
        verified: bool,
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
    #[error("the plan has form {0}, and this steadfast knows form {PLAN_FORMAT}")]
    Format(u32),
    #[error("the plan is for another host: `{0}`")]
    OtherHost(String),
    #[error("{} observed value(s) that the plan rests on changed since", .0.len())]
    Changed(Vec<Changed>),
    #[error("change {0} is not finished: `steadfast recover` or `steadfast confirm` comes first")]
    Pending(ChangeId),
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
    if plan.format != PLAN_FORMAT {
        return Err(ApplyError::Format(plan.format));
    }
    if plan.actions.is_empty() {
        return Ok(Applied::Nothing);
    }
    let target = Target::of(host)?;
    if target.identity() != plan.host {
        return Err(ApplyError::OtherHost(plan.host.hostname.clone()));
    }
    let lock = Lock::take(&target.root, options.lock_wait)?;
    elsewhere::claim(&lock, state)?;
    if let Some(pending) = state.pending()?.first() {
        return Err(ApplyError::Pending(pending.change.id));
    }
    let changed = target.changed(&plan.premises)?;
    if !changed.is_empty() {
        return Err(ApplyError::Changed(changed));
    }
    if plan.risk() >= Risk::Connectivity {
        options
            .guard
            .check(&target.root)
            .map_err(ApplyError::NoGuard)?;
    }
    state.reserve()?;
    let token = token()?;
    let context = Context::new(&target.root, state.images(), &token, &options.crash);
    // What can't be imaged is refused here, before there is a change at all.
    let (images, records) = images(&context, plan)?;
    let id = next_id(state)?;
    let header = Header {
        change: Change {
            id,
            plan: plan.id(),
            state: ChangeState::Planned,
            started: (options.now)(),
            ended: None,
            by: options.by.clone(),
            summary: summary(plan),
            serves: serves(plan),
            note: None,
        },
        token: token.clone(),
        root: target.root.path().to_owned(),
        boot: boot_id(),
        images: Some(digest_of(&images)),
        activated: None,
        deadline: None,
        taken_back: BTreeSet::new(),
        own: origin == Origin::Own,
    };
    let sets = Sets::of(plan, &images);
    let mut work = Work {
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
        down: BTreeSet::new(),
        whys: Vec::new(),
    };
    if let Err(error) = work.record().and_then(|()| work.reserve_beside()) {
        return work.never_begun(error);
    }
    match work.carry_out(verify, lock) {
        Ok(applied) => Ok(applied),
        Err(source) => work.give_way(source),
    }
}

/// One change while it is carried out.
struct Work<'a> {
    target: &'a Target,
    context: Context<'a>,
    state: &'a State,
    plan: &'a Plan,
    options: &'a ApplyOptions<'a>,
    sink: &'a mut dyn FnMut(Event),
    header: Header,
    records: Vec<ActionRecord>,
    images: Vec<Imaged>,
    sets: Sets,
    /// Sets that were taken back, or are not begun.
    down: BTreeSet<u32>,
    /// Why what failed did so.
    whys: Vec<String>,
}

impl Work<'_> {
    fn id(&self) -> ChangeId {
        self.header.change.id
    }

    /// Plan, before-images and inverses become durable, then the change is `imaged`.
    fn record(&mut self) -> Result<(), StateError> {
        let started = Instant::now();
        let id = self.id();
        let crash = &self.options.crash;
        crash.here("before planned");
        let batch = Batch::default()
            .put(id, "", &self.header)
            .put(id, "", self.plan);
        self.state.journal().write(batch)?;
        (self.sink)(Event::Recorded { id });
        crash.here("planned");
        let mut batch = Batch::default();
        for image in &self.images {
            batch = batch.put(id, image_key(image), image);
        }
        for record in &self.records {
            batch = batch.put(id, ActionRecord::key(record.id), record);
        }
        self.state.journal().write(batch)?;
        crash.here("before-images recorded");
        self.transition(ChangeState::Imaged)?;
        (self.sink)(Event::Imaged {
            paths: self
                .images
                .iter()
                .filter(|image| image.role == Role::Touched)
                .count(),
            took: started.elapsed(),
        });
        Ok(())
    }

    /// The state directory keeps room for the way back; every other file system that the
    /// change writes to must keep some as well.
    fn reserve_beside(&self) -> Result<(), StateError> {
        use std::os::unix::fs::MetadataExt;
        let ours = self.state.directory().metadata().map(|own| own.dev()).ok();
        let mut largest: BTreeMap<u64, (u64, &HostPath)> = BTreeMap::new();
        for image in self
            .images
            .iter()
            .filter(|image| image.role == Role::Touched)
        {
            let size = match &image.before {
                Node::File { size_bytes, .. } => *size_bytes,
                _ => 0,
            };
            if let Some(device) = act::file::device(&self.context, &image.path)?
                && Some(device) != ours
            {
                let entry = largest.entry(device).or_insert((size, &image.path));
                if entry.0 < size {
                    *entry = (size, &image.path);
                }
            }
        }
        for (size, path) in largest.into_values() {
            act::file::reserve(&self.context, path, size + RESERVE_BESIDE_BYTES)?;
        }
        self.options.crash.here("room reserved");
        Ok(())
    }

    /// Recording the change failed; nothing was touched.
    fn never_begun(&mut self, error: StateError) -> Result<Applied, ApplyError> {
        self.state.release();
        // What can't be removed or recorded now, recovery removes and records later.
        let _ = take_back::tidy(&self.context, &self.images);
        self.whys.push(error.to_string());
        self.header.change.state = ChangeState::RolledBack;
        self.header.change.ended = Some((self.options.now)());
        self.header.change.note = Some(error.to_string());
        let _ = self.write_header();
        Err(error.into())
    }

    /// The journal failed while the change was carried out: once more with the room that was
    /// kept, and if that does not help, recovery does it later.
    fn give_way(&mut self, source: StateError) -> Result<Applied, ApplyError> {
        let id = self.id();
        self.state.release();
        // While it waits to be confirmed the lock is not ours.
        if self.header.change.state == ChangeState::AwaitingConfirmation
            || self.header.change.state.is_final()
        {
            return Err(ApplyError::Unfinished { id, source });
        }
        self.whys.push(source.to_string());
        self.take_everything_back()
            .map_err(|_| ApplyError::Unfinished { id, source })
    }

    fn transition(&mut self, next: ChangeState) -> Result<(), StateError> {
        debug_assert!(self.header.change.state.allows(next), "no such transition");
        self.header.change.state = next;
        if next.is_final() {
            self.header.change.ended = Some((self.options.now)());
            self.header.change.note = (!self.whys.is_empty()).then(|| self.whys.join("; "));
        }
        self.write_header()?;
        self.options.crash.here(next.as_str());
        Ok(())
    }

    fn write_header(&self) -> Result<(), StateError> {
        let batch = Batch::default().put(self.id(), "", &self.header);
        Ok(self.state.journal().write(batch)?)
    }

    fn carry_out(
        &mut self,
        verify: &dyn Fn(&Plan) -> Verdict,
        lock: Lock,
    ) -> Result<Applied, StateError> {
        let needs_confirmation = self.plan.risk() >= Risk::Connectivity;
        if needs_confirmation {
            // Armed before anything is touched: the session may die while we act.
            let limit = self.options.confirm_within + confirm::APPLY_LIMIT;
            if let Err(why) = self.options.guard.arm(self.id(), self.state, limit) {
                self.whys.push(why);
                return self.take_everything_back();
            }
        }
        self.validate_sets();
        if (self.options.interrupted)() {
            self.whys.push("interrupted".to_owned());
            return self.take_everything_back();
        }
        if self.standing().is_empty() {
            return self.take_everything_back();
        }
        self.transition(ChangeState::Applying)?;
        if let Err(error) = self.act_all() {
            self.whys.push(error.to_string());
            return self.take_everything_back();
        }
        if self.standing().is_empty() {
            return self.take_everything_back();
        }
        if let Err(error) = self.record_after() {
            self.whys.push(error.to_string());
            return self.take_everything_back();
        }
        self.transition(ChangeState::Validating)?;
        self.verify(verify);
        if self.standing().is_empty() || self.has_stuck() {
            return self.take_everything_back();
        }
        if needs_confirmation && self.standing_risk() >= Risk::Connectivity {
            return self.await_confirmation(lock);
        }
        self.commit()
    }

    fn has_stuck(&self) -> bool {
        self.records
            .iter()
            .any(|record| matches!(record.state, ActionState::Failed { .. }))
    }

    fn commit(&mut self) -> Result<Applied, StateError> {
        let id = self.id();
        take_back::tidy(&self.context, &self.images)?;
        self.transition(ChangeState::Committed)?;
        self.options.guard.disarm(id, self.state);
        (self.sink)(Event::Committed { id });
        if self.header.taken_back.is_empty() {
            return Ok(Applied::Committed(id));
        }
        Ok(Applied::PartlyTakenBack {
            id,
            why: self.whys.clone(),
        })
    }

    /// The sets in which something was or will be done.
    fn standing(&self) -> BTreeSet<u32> {
        let all: BTreeSet<u32> = self.sets.of.values().copied().collect();
        all.difference(&self.down).copied().collect()
    }

    fn take_down(&mut self, sets: &BTreeSet<u32>) {
        self.down.extend(sets);
        let of = self.sets.of.iter();
        self.header.taken_back = of
            .filter(|(_, set)| self.down.contains(set))
            .map(|(id, _)| *id)
            .collect();
    }

    fn standing_risk(&self) -> Risk {
        let standing = self.standing();
        self.plan
            .actions
            .iter()
            .filter(|action| standing.contains(&self.sets.of[&action.id]))
            .map(|action| action.risk)
            .max()
            .unwrap_or_default()
    }

    /// Each set's new files are shown to its programs; a set that is refused is not begun.
    fn validate_sets(&mut self) {
        let mut laid = Laid::default();
        for set in self.standing() {
            let actions: Vec<&Action> = self
                .plan
                .actions
                .iter()
                .filter(|action| self.sets.of[&action.id] == set)
                .collect();
            let mut with_set = laid.clone();
            with_set.extend(&actions);
            let validators: BTreeSet<_> = actions
                .iter()
                .filter_map(|action| action.validate)
                .collect();
            let mut refused = None;
            for validator in validators {
                let started = Instant::now();
                match validate::validate(&self.target.root, validator, &with_set) {
                    Ok(()) => (self.sink)(Event::Accepted {
                        validator,
                        took: started.elapsed(),
                    }),
                    Err(validate::Refusal::Said(said)) => {
                        (self.sink)(Event::Refused {
                            validator,
                            said: said.clone(),
                        });
                        refused = Some(format!(
                            "{} refuses the new configuration: {said}",
                            validator.command()
                        ));
                    }
                    Err(validate::Refusal::Absent(why)) => {
                        (self.sink)(Event::NotValidated { validator, why });
                    }
                    Err(validate::Refusal::Failed(why)) => {
                        refused =
                            Some(format!("{} could not be asked: {why}", validator.command()));
                    }
                }
                self.options.crash.here("validated");
            }
            match refused {
                None => laid = with_set,
                Some(why) => self.give_up(set, why),
            }
        }
    }

    /// A set is not begun, nor is any that depends on it.
    fn give_up(&mut self, set: u32, why: String) {
        let failed = self.sets.with_dependents(self.plan, set);
        for record in &mut self.records {
            if failed.contains(&self.sets.of[&record.id]) && record.state == ActionState::Pending {
                record.state = ActionState::Skipped { why: why.clone() };
            }
        }
        self.take_down(&failed);
        self.whys.push(why);
    }

    /// Actions in the plan's order, activations at the end. Only a failure of the journal is
    /// an error here; an action that fails costs its set.
    fn act_all(&mut self) -> Result<(), StateError> {
        let (activations, actions): (Vec<&Action>, Vec<&Action>) = self
            .plan
            .actions
            .iter()
            .partition(|action| action.effect.is_activation());
        let mut finished: Option<ActionId> = None;
        for action in actions {
            if !self.standing().contains(&self.sets.of[&action.id]) {
                continue;
            }
            if (self.options.interrupted)() {
                return self.interrupt();
            }
            self.begin(action.id, finished.take())?;
            let started = Instant::now();
            let result = self
                .still_holds(action)
                .and_then(|()| act::act(&self.context, &action.effect));
            self.options.crash.here("action carried out");
            match result {
                Ok(()) => {
                    self.note_after(action)?;
                    finished = Some(action.id);
                    (self.sink)(Event::Done {
                        action: action.id,
                        took: started.elapsed(),
                    });
                }
                Err(error) => self.fail(action, &error)?,
            }
        }
        let mut told: Vec<&Effect> = Vec::new();
        for action in activations {
            if !self.standing().contains(&self.sets.of[&action.id]) {
                continue;
            }
            self.begin(action.id, finished.take())?;
            if told.contains(&&action.effect) {
                finished = Some(action.id);
                continue;
            }
            told.push(&action.effect);
            let started = Instant::now();
            let result = act::act(&self.context, &action.effect)
                .and_then(|()| validate::answers(&self.target.root, &action.effect));
            self.options.crash.here("activated");
            match result {
                Ok(()) => {
                    finished = Some(action.id);
                    (self.sink)(Event::Activated {
                        action: action.id,
                        took: started.elapsed(),
                    });
                }
                Err(error) => self.fail(action, &error)?,
            }
        }
        match finished {
            Some(id) => self.set_state(id, ActionState::Done),
            None => Ok(()),
        }
    }

    fn interrupt(&mut self) -> Result<(), StateError> {
        self.whys.push("interrupted".to_owned());
        self.take_down(&self.standing());
        Ok(())
    }

    /// The intent is durable before the action; the one before is recorded with it, so that
    /// each action costs one transaction.
    fn begin(&mut self, id: ActionId, finished: Option<ActionId>) -> Result<(), StateError> {
        let mut batch = Batch::default();
        if let Some(finished) = finished {
            batch = self.with_state(batch, finished, ActionState::Done);
        }
        batch = self.with_state(batch, id, ActionState::Begun);
        self.state.journal().write(batch)?;
        self.options.crash.here("action begun");
        Ok(())
    }

    fn set_state(&mut self, id: ActionId, state: ActionState) -> Result<(), StateError> {
        let batch = self.with_state(Batch::default(), id, state);
        self.state.journal().write(batch)?;
        self.options.crash.here("action recorded");
        Ok(())
    }

    /// An action's state, with what it left at its paths: only together do they tell
    /// recovery what is ours.
    fn with_state(&mut self, mut batch: Batch, id: ActionId, state: ActionState) -> Batch {
        let change = self.id();
        let record = record_of(&mut self.records, id);
        record.state = state;
        batch = batch.put(change, ActionRecord::key(id), record);
        let images = self
            .images
            .iter()
            .filter(|image| image.actions.contains(&id));
        for image in images.filter(|image| image.after.is_some()) {
            batch = batch.put(change, image_key(image), image);
        }
        batch
    }

    /// What the action rests on is as the plan saw it, unless this change itself changed it.
    fn still_holds(&self, action: &Action) -> Result<(), ActError> {
        let ours: BTreeSet<&HostPath> = self
            .images
            .iter()
            .filter(|image| {
                image.actions.iter().any(|id| {
                    self.records
                        .iter()
                        .any(|record| record.id == *id && record.state != ActionState::Pending)
                        && *id != action.id
                })
            })
            .map(|image| &image.path)
            .collect();
        let premises: Vec<&Premise> = action
            .rests_on
            .iter()
            .filter_map(|place| self.plan.premises.get(*place as usize))
            .filter(|premise| is_cheap(&premise.probe) && !touches(&ours, &premise.probe))
            .collect();
        if premises.is_empty() {
            return Ok(());
        }
        match self.target.changed(premises)?.first() {
            None => Ok(()),
            Some(changed) => Err(ActError::program(
                "act on what the plan saw",
                format!("it changed since: {:?}", changed.probe),
            )),
        }
    }

    /// What an action left, for the undo and for recovery.
    fn note_after(&mut self, action: &Action) -> Result<(), StateError> {
        for image in &mut self.images {
            if image.role == Role::Touched && image.actions.contains(&action.id) {
                let (_, node) = Node::capture(
                    &self.target.root,
                    &image.path,
                    LastLink::Itself,
                    Some(self.state.images()),
                )?;
                image.after = Some(node);
            }
        }
        Ok(())
    }

    /// Directories' times are known when all is done.
    fn record_after(&mut self) -> Result<(), StateError> {
        let change = self.id();
        let mut batch = Batch::default();
        for image in &mut self.images {
            let (_, node) = Node::capture(
                &self.target.root,
                &image.path,
                LastLink::Itself,
                Some(self.state.images()),
            )?;
            image.after = Some(node);
            batch = batch.put(change, image_key(image), image);
        }
        batch = batch.put(change, "", &self.header);
        self.state.journal().write(batch)?;
        self.options.crash.here("after-images recorded");
        Ok(())
    }

    /// An action failed: its set, and those that depend on it, are taken back now.
    fn fail(&mut self, action: &Action, error: &ActError) -> Result<(), StateError> {
        let why = error.to_string();
        (self.sink)(Event::Failed {
            action: action.id,
            why: why.clone(),
        });
        record_of(&mut self.records, action.id).state = ActionState::Failed { why: why.clone() };
        if error.is_full() {
            self.state.release();
        }
        self.set_state(action.id, ActionState::Failed { why: why.clone() })?;
        self.take_set_back(self.sets.of[&action.id], why)
    }

    fn take_set_back(&mut self, set: u32, why: String) -> Result<(), StateError> {
        let failed = self.sets.with_dependents(self.plan, set);
        if failed.is_superset(&self.standing()) {
            // Nothing else stands: the whole change goes back, with its own states.
            self.take_down(&failed);
            self.whys.push(why);
            return Ok(());
        }
        let id = self.id();
        (self.sink)(Event::TakingBack {
            id,
            why: why.clone(),
        });
        self.give_up(set, why);
        self.write_header()?;
        let sets = &self.sets;
        let outcome = take_back(
            &self.context,
            (self.state.journal(), self.header.change.id),
            self.plan,
            &mut self.records,
            &self.images,
            &|id| failed.contains(&sets.of[&id]),
            self.sink,
        );
        self.tell(&outcome);
        self.whys.extend(outcome.stuck);
        Ok(())
    }

    fn tell(&mut self, outcome: &take_back::Outcome) {
        let id = self.id();
        for why in &outcome.stuck {
            (self.sink)(Event::Stuck {
                id,
                why: why.clone(),
            });
        }
        (self.sink)(Event::TakenBack {
            id,
            same: outcome.same,
            of: outcome.paths,
        });
    }

    fn verify(&mut self, verify: &dyn Fn(&Plan) -> Verdict) {
        let started = Instant::now();
        let verdict = verify(self.plan);
        let mut failed = BTreeMap::new();
        for (what, why) in verdict.failed {
            let sets = self
                .plan
                .actions
                .iter()
                .filter(|action| action.serves.contains(&what))
                .map(|action| self.sets.of[&action.id]);
            let sets: BTreeSet<u32> = sets.collect();
            let why = format!("{what} is not as wanted afterwards: {why}");
            // A goal that no action serves was not reached by anything that stands.
            let sets = if sets.is_empty() {
                self.standing()
            } else {
                sets
            };
            for set in sets.intersection(&self.standing()) {
                (self.sink)(Event::NotReached {
                    what: what.clone(),
                    why: why.clone(),
                });
                failed.insert(*set, why.clone());
            }
        }
        if failed.is_empty() {
            (self.sink)(Event::Verified {
                took: started.elapsed(),
            });
        }
        for (set, why) in failed {
            if let Err(error) = self.take_set_back(set, why) {
                self.whys.push(error.to_string());
            }
        }
    }

    fn take_everything_back(&mut self) -> Result<Applied, StateError> {
        let why = self.whys.clone();
        finish_taking_back(
            &self.context,
            self.state,
            &mut self.header,
            self.plan,
            &mut self.records,
            &self.images,
            (self.options.now)(),
            why,
            self.sink,
        )
        .inspect(|_| {
            self.options.guard.disarm(self.header.change.id, self.state);
        })
    }

    /// The lock is given back while we wait: whoever confirms, and whoever takes back when
    /// we are gone, must be able to.
    fn await_confirmation(&mut self, lock: Lock) -> Result<Applied, StateError> {
        let id = self.id();
        let activated = (self.options.now)();
        let deadline = activated + self.options.confirm_within;
        self.header.activated = Some(activated);
        self.header.deadline = Some(deadline);
        if let Err(why) =
            self.options
                .guard
                .arm_deadline(id, self.state, self.options.confirm_within)
        {
            self.whys.push(why);
            return self.take_everything_back();
        }
        self.transition(ChangeState::AwaitingConfirmation)?;
        drop(lock);
        (self.sink)(Event::AwaitingConfirmation { id, deadline });
        if self.options.detach {
            return Ok(Applied::AwaitingConfirmation(id, deadline));
        }
        let waited = confirm::wait(self.state, id, deadline, self.options, self.sink)?;
        let why = match waited {
            confirm::Waited::Confirmed(by) => {
                self.options.guard.disarm(id, self.state);
                (self.sink)(Event::Confirmed { id, by });
                (self.sink)(Event::Committed { id });
                return Ok(match self.header.taken_back.is_empty() {
                    true => Applied::Committed(id),
                    false => Applied::PartlyTakenBack {
                        id,
                        why: self.whys.clone(),
                    },
                });
            }
            confirm::Waited::TakenBackElsewhere(applied) => return Ok(applied),
            confirm::Waited::Interrupted => "interrupted while it waited to be confirmed",
            confirm::Waited::Expired => "nobody confirmed it in time",
        };
        let _lock = match Lock::take(&self.target.root, self.options.lock_wait) {
            Ok(lock) => lock,
            // Somebody is at it; the guard sees to the rest.
            Err(_) => return Ok(Applied::AwaitingConfirmation(id, deadline)),
        };
        // It may have been confirmed or taken back while we reached for the lock.
        if let Some(header) = self.state.journal().get::<Header>(id, "")?
            && header.change.state != ChangeState::AwaitingConfirmation
        {
            return Ok(confirm::ended(&header));
        }
        self.whys.push(why.to_owned());
        self.take_everything_back()
    }
}

/// Takes back all that stands of a change, checks it, and records how it ended.
#[expect(
    clippy::too_many_arguments,
    reason = "recovery and apply hold these in different places"
)]
pub(crate) fn finish_taking_back(
    context: &Context<'_>,
    state: &State,
    header: &mut Header,
    plan: &Plan,
    records: &mut [ActionRecord],
    images: &[Imaged],
    now: Timestamp,
    mut why: Vec<String>,
    sink: &mut dyn FnMut(Event),
) -> Result<Applied, StateError> {
    let id = header.change.id;
    // The way back may need the room that was kept for it.
    state.release();
    sink(Event::TakingBack {
        id,
        why: why.join("; "),
    });
    header.change.state = ChangeState::RollingBack;
    header.change.note = (!why.is_empty()).then(|| why.join("; "));
    let journal = state.journal();
    journal.write(Batch::default().put(id, "", header))?;
    context.crash.here("rolling_back");
    let outcome = take_back(
        context,
        (journal, id),
        plan,
        records,
        images,
        &|_| true,
        sink,
    );
    for why in &outcome.stuck {
        sink(Event::Stuck {
            id,
            why: why.clone(),
        });
    }
    sink(Event::TakenBack {
        id,
        same: outcome.same,
        of: outcome.paths,
    });
    let verified = outcome.stuck.is_empty();
    header.change.state = match verified {
        true => ChangeState::RolledBack,
        false => ChangeState::NeedsHuman,
    };
    why.extend(outcome.stuck);
    header.change.ended = Some(now);
    header.change.note = (!why.is_empty()).then(|| why.join("; "));
    journal.write(Batch::default().put(id, "", header))?;
    context.crash.here("taken back");
    Ok(match verified {
        true => Applied::TakenBack { id, why, verified },
        false => Applied::NeedsHuman { id, why },
    })
}

fn record_of(records: &mut [ActionRecord], id: ActionId) -> &mut ActionRecord {
    records
        .iter_mut()
        .find(|record| record.id == id)
        .expect("every action of the plan has a record")
}

pub(crate) fn image_key(image: &Imaged) -> String {
    format!("{:?}", image.path)
}

/// The before-images of all that the plan touches, and what else its inverses need.
fn images(
    context: &Context<'_>,
    plan: &Plan,
) -> Result<(Vec<Imaged>, Vec<ActionRecord>), ActError> {
    let mut images: BTreeMap<HostPath, Imaged> = BTreeMap::new();
    let mut records = Vec::with_capacity(plan.actions.len());
    for action in &plan.actions {
        let kept = match action.effect.is_activation() {
            true => Kept::Nothing,
            false => act::keep(context, action)?,
        };
        records.push(ActionRecord {
            id: action.id,
            state: ActionState::Pending,
            kept,
        });
        for (path, last) in act::touched(context, &action.effect)? {
            let (path, before) = Node::capture(context.root, &path, last, Some(context.images))?;
            if let Some(parent) = path.parent().filter(|parent| parent.parent().is_some()) {
                if !images.contains_key(&parent) {
                    let (parent, before) =
                        Node::capture(context.root, &parent, LastLink::Itself, None)?;
                    images.insert(parent.clone(), Imaged::new(parent, Role::Parent, before));
                }
                if let Some(image) = images.get_mut(&parent)
                    && image.role == Role::Parent
                {
                    image.actions.insert(action.id);
                }
            }
            let sensitive = action.sensitive || model::plan::may_hold_secrets(&path);
            let image = images
                .entry(path.clone())
                .or_insert_with(|| Imaged::new(path, Role::Touched, before));
            if image.role == Role::Parent {
                // Now it is changed itself; those in it no longer decide when it goes back.
                image.role = Role::Touched;
                image.actions.clear();
            }
            image.sensitive |= sensitive;
            image.actions.insert(action.id);
        }
    }
    Ok((images.into_values().collect(), records))
}

/// The change sets of a plan, joined where they turn out to touch one path (two accounts in
/// one file).
struct Sets {
    of: BTreeMap<ActionId, u32>,
}

impl Sets {
    fn of(plan: &Plan, images: &[Imaged]) -> Self {
        let mut of: BTreeMap<ActionId, u32> = plan
            .actions
            .iter()
            .map(|action| (action.id, action.change_set))
            .collect();
        for image in images.iter().filter(|image| image.role == Role::Touched) {
            let sets: BTreeSet<u32> = image.actions.iter().map(|id| of[id]).collect();
            let Some(first) = sets.first().copied() else {
                continue;
            };
            of.values_mut()
                .filter(|set| sets.contains(set))
                .for_each(|set| *set = first);
        }
        if plan.selection.all_or_nothing {
            of.values_mut().for_each(|set| *set = 0);
        }
        Self { of }
    }

    /// A set and all that stand on it.
    fn with_dependents(&self, plan: &Plan, set: u32) -> BTreeSet<u32> {
        let mut found = BTreeSet::from([set]);
        loop {
            let more: Vec<u32> = plan
                .actions
                .iter()
                .filter(|action| {
                    action
                        .after
                        .iter()
                        .any(|id| self.of.get(id).is_some_and(|set| found.contains(set)))
                })
                .map(|action| self.of[&action.id])
                .filter(|set| !found.contains(set))
                .collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }
}

/// Worth asking again right before an action: reading a file is, walking a disk is not.
fn is_cheap(probe: &Probe) -> bool {
    !matches!(
        probe,
        Probe::Walk { .. } | Probe::Tool { .. } | Probe::Command { .. }
    )
}

/// Does the probe look at something that this change has changed?
fn touches(ours: &BTreeSet<&HostPath>, probe: &Probe) -> bool {
    match probe {
        Probe::File { path, .. }
        | Probe::FileDigest { path }
        | Probe::Meta { path }
        | Probe::Dir { path } => ours
            .iter()
            .any(|our| our.is_within(path) || path.is_within(our)),
        // What these see depends on more than one path; the check before the first action
        // covered them.
        _ => !ours.is_empty(),
    }
}

fn summary(plan: &Plan) -> String {
    let mut paths = BTreeSet::new();
    let mut others = 0;
    for action in &plan.actions {
        match action.effect.path() {
            Some(path) => {
                paths.insert(path);
            }
            None if action.effect.is_activation() => {}
            None => others += 1,
        }
    }
    let count = |number: usize, one: &str, many: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{number} {many}")),
    };
    let parts = [
        count(paths.len(), "path", "paths"),
        count(others, "other action", "other actions"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => "services only".to_owned(),
        false => parts.join(", "),
    }
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
