//! One change from its record to its end: validated, carried out, verified, and kept, waited
//! for or taken back. What an action is and does stands in `actions`.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use model::plan::Validator;
use model::{Action, ActionId, ChangeId, ChangeState, Effect, HostPath, Plan, Risk};

use super::images::image_key;
use super::mine::{ChangedByUs, Places};
use super::sets::Sets;
use super::{Applied, ApplyError, ApplyOptions, Verdict, finish_taking_back};
use crate::act::{Context, unit};
use crate::confirm;
use crate::event::Event;
use crate::journal::{ActionRecord, ActionState, Batch, Header, Imaged, Kept, Role};
use crate::lock::Lock;
use crate::outside;
use crate::room::{self, Back};
use crate::state::{State, StateError};
use crate::take_back;
use crate::target::Target;
use crate::validate::{self, Laid};

/// What a program was asked so far.
#[derive(Default)]
struct Asked {
    /// The last set whose own files it was asked about, and accepted.
    after: u32,
    accepted: bool,
    /// Why it could not be asked.
    absent: Option<String>,
    took: Duration,
}

/// One change while it is carried out.
pub(super) struct Work<'a> {
    pub(super) target: &'a Target,
    pub(super) context: Context<'a>,
    pub(super) state: &'a State,
    /// What is carried out.
    pub(super) plan: &'a Plan,
    /// The same as its packages have settled it.
    pub(super) settled: &'a OnceCell<Plan>,
    pub(super) options: &'a ApplyOptions<'a>,
    pub(super) sink: &'a mut dyn FnMut(Event),
    pub(super) header: Header,
    pub(super) records: Vec<ActionRecord>,
    pub(super) images: Vec<Imaged>,
    pub(super) sets: Sets,
    pub(super) places: Places,
    pub(super) changed: ChangedByUs,
    /// Sets that were taken back, or are not begun.
    pub(super) down: BTreeSet<u32>,
    /// Why what failed did so.
    pub(super) whys: Vec<String>,
    /// What can't be reached in full, since an action for it was refused before anything was
    /// touched. What else was done for it stands.
    pub(super) unreachable: BTreeSet<String>,
}

impl Work<'_> {
    pub(super) fn id(&self) -> ChangeId {
        self.header.change.id
    }

    /// Plan, before-images and inverses become durable, then the change is `imaged`.
    pub(super) fn record(&mut self) -> Result<(), StateError> {
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
        self.state.images().keep_fresh();
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

    /// Every file system that the change writes to keeps room for the way back, and the
    /// state directory for the journal.
    pub(super) fn keep_room(&self) -> Result<(), StateError> {
        let touched = self.images.iter();
        let ways = touched
            .filter(|image| image.role == Role::Touched)
            .map(|image| Back {
                path: &image.path,
                to: &image.before,
                from_bytes: self.bytes_after(image),
            });
        room::keep(&self.context, self.state, ways)?;
        self.options.crash.here("room reserved");
        Ok(())
    }

    /// The size of what the plan leaves there.
    fn bytes_after(&self, image: &Imaged) -> u64 {
        let last = image.actions.last();
        let last = last.and_then(|id| self.plan.action(*id));
        match last.map(|action| &action.effect) {
            Some(Effect::PutFile { content, .. }) => content.as_bytes().len() as u64,
            Some(Effect::Remove { .. } | Effect::Link { .. }) => 0,
            _ => room::size_bytes(&image.before),
        }
    }

    /// Recording the change failed; nothing was touched.
    pub(super) fn never_begun(&mut self, error: StateError) -> Result<Applied, ApplyError> {
        self.state.release();
        self.state.images().forget_fresh();
        // What can't be removed or recorded now, recovery removes and records later.
        let _ = take_back::tidy(&self.context, &self.images);
        self.whys.push(error.to_string());
        self.header.change.state = ChangeState::RolledBack;
        self.header.change.ended = Some((self.options.now)());
        self.header.change.note = Some(error.to_string());
        let _ = self.write_header();
        self.state.reserve_again();
        Err(error.into())
    }

    /// The journal failed while the change was carried out: once more with the room that was
    /// kept, and if that does not help, recovery does it later.
    pub(super) fn give_way(&mut self, source: StateError) -> Result<Applied, ApplyError> {
        let id = self.id();
        self.state.release();
        // While it waits to be confirmed the lock is not ours.
        if self.header.change.state == ChangeState::AwaitingConfirmation
            || self.header.change.state.is_final()
            || matches!(source, StateError::NoRoom { .. })
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
        if matches!(
            next,
            ChangeState::Committed | ChangeState::AwaitingConfirmation
        ) {
            self.header.change.no_way_back = no_way_back(&self.records);
        }
        if next.is_final() {
            self.header.change.ended = Some((self.options.now)());
            self.header.change.note = (!self.whys.is_empty()).then(|| self.whys.join("; "));
        }
        self.write_header()?;
        self.options.crash.here(next.as_str());
        Ok(())
    }

    pub(super) fn write_header(&self) -> Result<(), StateError> {
        let batch = Batch::default().put(self.id(), "", &self.header);
        Ok(self.state.journal().write(batch)?)
    }

    pub(super) fn carry_out(
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
        if self.nothing_stands() {
            return self.take_everything_back();
        }
        self.transition(ChangeState::Applying)?;
        if let Err(error) = self.act_all() {
            self.whys.push(error.to_string());
            return self.take_everything_back();
        }
        if self.nothing_stands() {
            return self.take_everything_back();
        }
        if let Err(error) = self.record_after() {
            self.whys.push(error.to_string());
            return self.take_everything_back();
        }
        self.transition(ChangeState::Validating)?;
        self.verify(verify);
        if self.nothing_stands() || self.has_stuck() {
            return self.take_everything_back();
        }
        if needs_confirmation && self.standing_risk() >= Risk::Connectivity {
            self.look_outside();
            return self.await_confirmation(lock);
        }
        self.commit()
    }

    /// Did something fail, or not go back with its set?
    fn has_stuck(&self) -> bool {
        self.records.iter().any(|record| match record.state {
            ActionState::Failed { .. } => true,
            ActionState::Begun | ActionState::Done => self.down.contains(&self.sets.of[&record.id]),
            ActionState::Pending | ActionState::Skipped { .. } | ActionState::TakenBack => false,
        })
    }

    fn tell_committed(&mut self) {
        let no_way_back = self.header.change.no_way_back.clone();
        let id = self.id();
        (self.sink)(Event::Committed { id, no_way_back });
    }

    fn commit(&mut self) -> Result<Applied, StateError> {
        let id = self.id();
        take_back::tidy(&self.context, &self.images)?;
        self.transition(ChangeState::Committed)?;
        self.options.guard.disarm(id, self.state);
        self.tell_outside();
        self.tell_committed();
        if self.header.taken_back.is_empty() {
            return Ok(Applied::Committed(id));
        }
        Ok(Applied::PartlyTakenBack {
            id,
            why: self.whys.clone(),
        })
    }

    /// What changed meanwhile and is none of it: when nothing hangs on the answer any more.
    fn tell_outside(&mut self) {
        self.look_outside();
        if !self.header.change.outside.is_empty() {
            // The change has its end; where this can't be recorded, it was said.
            let _ = self.write_header();
        }
    }

    fn look_outside(&mut self) {
        if let Some(since) = outside::since(&self.records) {
            let own = self.links_of_units();
            let (images, state) = (&self.images, self.state);
            self.header.change.outside =
                outside::tell_beside(images, &own, state, since, self.sink);
        }
    }

    /// The links by which units are enabled and disabled, as their files say now: those of a unit that
    /// this change brings were not known before.
    fn links_of_units(&self) -> BTreeSet<HostPath> {
        let mut own = BTreeSet::new();
        for action in self.plan.actions.iter().filter(|one| self.stands(one.id)) {
            if let Effect::Unit { name, op } = &action.effect
                && let Ok(links) = unit::touched(&self.target.root, name, *op)
            {
                own.extend(links.into_iter().map(|(path, _)| path));
            }
        }
        own
    }

    /// The sets in which something was or will be done.
    pub(super) fn standing(&self) -> BTreeSet<u32> {
        let all = self.sets.all();
        all.filter(|set| !self.down.contains(set)).collect()
    }

    /// Was something done for it, or will be?
    pub(super) fn stands(&self, action: ActionId) -> bool {
        !self.down.contains(&self.sets.of[&action])
    }

    fn nothing_stands(&self) -> bool {
        self.down.len() == self.sets.count()
    }

    pub(super) fn take_down(&mut self, sets: &BTreeSet<u32>) {
        self.down.extend(sets);
        let members = sets.iter().flat_map(|set| self.sets.members(*set));
        self.header.taken_back.extend(members);
    }

    fn standing_risk(&self) -> Risk {
        self.plan
            .actions
            .iter()
            .filter(|action| self.stands(action.id))
            .map(|action| action.risk)
            .max()
            .unwrap_or_default()
    }

    /// Each set's new files are shown to its programs; a set that is refused is not begun.
    fn validate_sets(&mut self) {
        let mut laid = Laid::default();
        let mut asked: BTreeMap<Validator, Asked> = BTreeMap::new();
        for set in self.standing() {
            let actions: Vec<&Action> = self
                .actions_of(set)
                .filter(|action| !is_staged(self.plan, action))
                .collect();
            let validators: BTreeSet<Validator> = actions
                .iter()
                .filter_map(|action| action.validate)
                .collect();
            if validators.is_empty() {
                laid.extend(&actions);
                continue;
            }
            let mut with_set = laid.clone();
            with_set.extend(&actions);
            let mut refused = None;
            for validator in validators {
                let asked = asked.entry(validator).or_default();
                match self.ask(validator, &with_set, asked) {
                    Ok(()) => asked.after = set,
                    Err(why) => refused = Some(why),
                }
            }
            match refused {
                None => laid = with_set,
                Some(why) => self.give_up([set], why),
            }
        }
        for (validator, mut asked) in asked {
            self.validate_together(validator, &mut asked);
            if let Some(why) = asked.absent {
                (self.sink)(Event::NotValidated { validator, why });
            } else if asked.accepted {
                (self.sink)(Event::Accepted {
                    validator,
                    took: asked.took,
                });
            }
        }
    }

    /// A set that has nothing to do with a program by its paths may still write a file that
    /// the program is told to include: it is asked once more, about everything, when sets
    /// came after those that it has seen.
    fn validate_together(&mut self, validator: Validator, asked: &mut Asked) {
        let together = |work: &Self, sets: &mut dyn Iterator<Item = &u32>| {
            let mut laid = Laid::default();
            for set in sets {
                let actions = work.actions_of(*set);
                let now = actions.filter(|action| !is_staged(work.plan, action));
                laid.extend(&now.collect::<Vec<_>>());
            }
            laid
        };
        loop {
            let standing = self.standing();
            if !asked.accepted || standing.range(asked.after + 1..).next().is_none() {
                return;
            }
            let all = together(self, &mut standing.iter());
            let Err(why) = self.ask(validator, &all, asked) else {
                return;
            };
            // Which of them is it? The first after which the program says no.
            let culprit = standing.range(asked.after + 1..).find(|set| {
                let laid = together(self, &mut standing.range(..=**set));
                self.ask(validator, &laid, asked).is_err()
            });
            match culprit {
                Some(set) => self.give_up([*set], why),
                // It answers differently each time: nothing is begun.
                None => return self.give_up(standing, why),
            }
        }
    }

    fn actions_of(&self, set: u32) -> impl Iterator<Item = &Action> {
        let members = self.sets.members(set).iter();
        members.filter_map(|id| self.plan.action(*id))
    }

    /// Asks a program in the middle of the change, and tells what it said.
    pub(super) fn ask_now(&mut self, validator: Validator, laid: &Laid) -> Result<(), String> {
        let mut asked = Asked::default();
        self.ask(validator, laid, &mut asked)?;
        let took = asked.took;
        match asked.absent {
            Some(why) => (self.sink)(Event::NotValidated { validator, why }),
            None => (self.sink)(Event::Accepted { validator, took }),
        }
        Ok(())
    }

    /// Asks a program about the host with these files; why not, when it says no.
    fn ask(&mut self, validator: Validator, laid: &Laid, asked: &mut Asked) -> Result<(), String> {
        let started = Instant::now();
        let answer = validate::validate(&self.target.root, validator, laid);
        asked.took += started.elapsed();
        let answer = match answer {
            Ok(()) => {
                asked.accepted = true;
                Ok(())
            }
            Err(validate::Refusal::Absent(why)) => {
                asked.absent = Some(why);
                Ok(())
            }
            Err(validate::Refusal::Said(said)) => {
                let command = validator.command();
                let why = model::one_line(&said);
                let why = format!("{command} refuses the new configuration: {why}");
                (self.sink)(Event::Refused { validator, said });
                Err(why)
            }
            Err(validate::Refusal::Failed(why)) => {
                Err(format!("{} could not be asked: {why}", validator.command()))
            }
        };
        self.options.crash.here("validated");
        answer
    }

    fn verify(&mut self, verify: &dyn Fn(&Plan) -> Verdict) {
        let started = Instant::now();
        let verdict = verify(self.plan);
        let is_all = verdict.more.is_empty();
        let serving = self.sets_serving(&verdict);
        let mut failed: Vec<(BTreeSet<u32>, String)> = Vec::new();
        let mut told = BTreeSet::new();
        for (what, why) in verdict.more {
            let why = format!("{what} is as wanted in part: {why}");
            (self.sink)(Event::NotReached { what, why });
        }
        for (what, why) in verdict.failed {
            let is_first = told.insert(what.clone());
            let why = format!("{what} is not as wanted afterwards: {why}");
            if self.unreachable.contains(&what) {
                (self.sink)(Event::NotReached {
                    what,
                    why: why.clone(),
                });
                self.whys.push(why);
                continue;
            }
            // A goal that no action serves was not reached by anything that stands.
            let standing = match serving.get(&what) {
                Some(sets) => sets.difference(&self.down).copied().collect(),
                None => self.standing(),
            };
            if standing.is_empty() {
                continue;
            }
            (self.sink)(Event::NotReached {
                what,
                why: why.clone(),
            });
            // One thing that is not as wanted takes all of its role or rule back.
            if is_first {
                failed.push((standing, why));
            }
        }
        if failed.is_empty() && is_all {
            (self.sink)(Event::Verified {
                took: started.elapsed(),
            });
        }
        for (mut sets, why) in failed {
            sets.retain(|set| !self.down.contains(set));
            if sets.is_empty() {
                continue;
            }
            if let Err(error) = self.take_sets_back(sets, why) {
                self.whys.push(error.to_string());
            }
        }
    }

    /// The sets that serve what was not reached.
    fn sets_serving(&self, verdict: &Verdict) -> BTreeMap<String, BTreeSet<u32>> {
        let failed: BTreeSet<&String> = verdict.failed.iter().map(|(what, _)| what).collect();
        let mut serving: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for action in &self.plan.actions {
            for name in action.serves.iter().filter(|name| failed.contains(name)) {
                let sets = serving.entry(name.clone()).or_default();
                sets.insert(self.sets.of[&action.id]);
            }
        }
        serving
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
            true,
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
        let deadline = confirm::begin(
            self.context.root,
            &mut self.header,
            &self.images,
            self.options,
        );
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
        let awaited = ChangeState::AwaitingConfirmation;
        let waited = confirm::wait(self.state, id, awaited, deadline, self.options, self.sink)?;
        let why = match waited {
            confirm::Waited::Confirmed(by) => {
                self.options.guard.disarm(id, self.state);
                (self.sink)(Event::Confirmed { id, by });
                self.tell_committed();
                return Ok(match self.header.taken_back.is_empty() {
                    true => Applied::Committed(id),
                    false => Applied::PartlyTakenBack {
                        id,
                        why: self.whys.clone(),
                    },
                });
            }
            confirm::Waited::EndedElsewhere(header) => {
                if header.change.state == ChangeState::RolledBack {
                    let why = header.change.note.clone().unwrap_or_default();
                    (self.sink)(Event::TakingBack { id, why });
                }
                return Ok(confirm::ended(&header));
            }
            confirm::Waited::Interrupted => {
                "interrupted while it waited to be confirmed".to_owned()
            }
            confirm::Waited::Expired(why) => why,
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
        self.whys.push(why);
        self.take_everything_back()
    }
}

/// Is it decided over what packages of the same plan bring? Then nobody can be asked about it before
/// they are there.
pub(crate) fn is_staged(plan: &Plan, action: &Action) -> bool {
    let is_upgrade = |id: &ActionId| {
        let before = plan.action(*id);
        before.is_some_and(|before| matches!(before.effect, Effect::Upgrade { .. }))
    };
    // A patch restarts what was there before it.
    plan.selection.patches.is_none() && action.after.iter().any(is_upgrade)
}

/// What was carried out, and has no way back.
fn no_way_back(records: &[ActionRecord]) -> Vec<String> {
    let done = records
        .iter()
        .filter(|record| record.state == ActionState::Done);
    let all = done.filter_map(|record| match &record.kept {
        Kept::Irreversible { why } => Some(why.clone()),
        _ => None,
    });
    all.collect()
}
