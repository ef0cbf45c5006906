//! The actions of a change, one after the other, and the services that are told at the end.
//! An action that fails costs its change set, which is taken back here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use model::{Action, ActionId, Effect, HostPath, Premise, Probe, UnitOp};

use super::adopt::Adopted;
use super::images::image_key;
use super::work::Work;
use crate::act::health::{self, Health, Watched};
use crate::act::reloaded::Reloading;
use crate::act::{self, ActError, Context, LastLink, unit};
use crate::event::Event;
use crate::image::Node;
use crate::journal::{ActionRecord, ActionState, Batch, Kept, Role};
use crate::records::is_by_entry;
use crate::state::{ChangeRecord, StateError};
use crate::take_back::is_peoples;
use crate::undo::{Apart, take_back_apart};
use crate::validate::{self, Laid};

/// The units that were told to start or to read their configuration again, how they were
/// then, and by which actions.
#[derive(Default)]
struct Told {
    units: BTreeMap<String, (Watched, Vec<ActionId>)>,
    /// Those that were only told to read their configuration again, as they were before.
    reloading: BTreeMap<String, Reloading>,
}

impl Told {
    /// Carries out an action, and remembers the unit that it told something.
    fn act(&mut self, context: &Context<'_>, action: &Action, kept: &Kept) -> Result<(), ActError> {
        if let Kept::Upgrade { ran, .. } = kept
            && context.root.is_live()
            && unit::is_booted()
        {
            return self.upgrade(context, action, ran);
        }
        let name = unit::told(&action.effect).filter(|_| context.root.is_live());
        let Some(name) = name.filter(|_| unit::is_booted()) else {
            return act::act(context, &action.effect);
        };
        let before = health::look_at(name)?;
        let is_reload = matches!(
            action.effect,
            Effect::Unit {
                op: UnitOp::Reload,
                ..
            }
        );
        let reloading = is_reload
            .then(|| Reloading::before(name, &before))
            .flatten();
        act::act(context, &action.effect)?;
        // A unit that did not run has nothing to read again, and is none of ours.
        if !before.is_up() && action.effect.is_activation() {
            return Ok(());
        }
        let after = health::look_at(name)?;
        if let Health::Down(why) = before.health(&after)
            && before.restarts_once(&after).is_none()
        {
            return Err(ActError::program(format!("keep `{name}` up"), why));
        }
        let watched = Watched::new(name, &before, after);
        let entry = (watched.clone(), Vec::new());
        let (unit, actions) = self.units.entry(name.to_owned()).or_insert(entry);
        *unit = watched;
        actions.push(action.id);
        self.reloading
            .extend(reloading.map(|reloading| (name.to_owned(), reloading)));
        Ok(())
    }

    /// Packages start services of theirs again by themselves: those that ran are watched as if they had
    /// been told here.
    fn upgrade(
        &mut self,
        context: &Context<'_>,
        action: &Action,
        ran: &[String],
    ) -> Result<(), ActError> {
        let services = ran.iter().filter(|name| name.ends_with(".service"));
        let names: Vec<&str> = services.map(String::as_str).collect();
        let before = health::look(&names)?;
        act::act(context, &action.effect)?;
        let after = health::look(&names)?;
        for ((name, before), after) in names.iter().zip(&before).zip(after) {
            let is_new = after.main_process() != before.main_process();
            // What has ended is told by others: it may have been replaced.
            if is_new && !after.is_oneshot() && after.is_up() {
                let watched = Watched::new(name, before, after);
                let actions = vec![action.id];
                self.units.insert((*name).to_owned(), (watched, actions));
            }
        }
        Ok(())
    }

    /// Units that run, and go on with the configuration that they had; each with why.
    fn refused(&self) -> Vec<(String, String)> {
        let reloading = self.reloading.iter();
        reloading
            .filter_map(|(name, reloading)| Some((name.clone(), reloading.refused()?)))
            .collect()
    }

    /// The same was told before, for another action.
    fn also(&mut self, action: &Action) {
        if let Some(name) = unit::told(&action.effect)
            && let Some((_, actions)) = self.units.get_mut(name)
        {
            actions.push(action.id);
        }
    }
}

impl Work<'_> {
    /// An action that can't be carried out, or not be put back: its set is not begun.
    pub(super) fn refuse(&mut self, action: ActionId, why: String) {
        let set = self.sets.of[&action];
        if !self.stands(action) {
            return;
        }
        (self.sink)(Event::Failed {
            action,
            why: why.clone(),
        });
        for set in self.sets.with_dependents([set]) {
            for action in self.sets.members(set) {
                let action = self.plan.action(*action);
                let serves = action.into_iter().flat_map(|action| &action.serves);
                self.unreachable.extend(serves.cloned());
            }
        }
        self.give_up([set], why);
    }

    /// Sets are not begun, nor is any that depends on them.
    pub(super) fn give_up(&mut self, sets: impl IntoIterator<Item = u32>, why: String) {
        let failed = self.sets.with_dependents(sets);
        for id in failed.iter().flat_map(|set| self.sets.members(*set)) {
            let record = record_of(&mut self.records, *id);
            if record.state == ActionState::Pending {
                record.state = ActionState::Skipped { why: why.clone() };
            }
        }
        self.take_down(&failed);
        self.whys.push(why);
    }

    /// Actions in the plan's order, activations at the end. Only a failure of the journal is
    /// an error here; an action that fails costs its set.
    pub(super) fn act_all(&mut self) -> Result<(), StateError> {
        let (mut activations, actions): (Vec<&Action>, Vec<&Action>) = self
            .plan
            .actions
            .iter()
            .partition(|action| action.effect.is_activation());
        if self.context.root.is_live() {
            // Without an answer the plan's order is kept; what it breaks is seen by the watch.
            drop(unit::sort_as_started(&mut activations, |one| {
                unit::told(&one.effect)
            }));
        }
        let mut finished: Option<ActionId> = None;
        let mut told = Told::default();
        for action in actions {
            let action = self.as_settled(action);
            if !self.stands(action.id) {
                continue;
            }
            if (self.options.interrupted)() {
                return self.interrupt();
            }
            if self.is_as_wanted(action) {
                self.pass_over(action, finished.take())?;
                continue;
            }
            let noted = act::keep_around(&mut record_of(&mut self.records, action.id).kept);
            self.begin(action.id, finished.take())?;
            let started = Instant::now();
            let result = noted
                .and_then(|()| self.still_holds(action))
                .and_then(|()| self.read_units_for(action))
                .and_then(|()| {
                    let kept = &record_of(&mut self.records, action.id).kept;
                    told.act(&self.context, action, kept)
                });
            self.options.crash.here("action carried out");
            if matches!(action.effect, Effect::Upgrade { .. }) {
                // Before anything else has time to write there.
                self.adopt(Adopted::OfPackages);
            }
            finished = self.conclude(action, result, |action| Event::Done {
                action,
                took: started.elapsed(),
            })?;
            if matches!(action.effect, Effect::Upgrade { .. }) && finished.is_some() {
                self.settle(action)?;
                self.validate_after(action.id)?;
            }
        }
        let mut done: Vec<&Effect> = Vec::new();
        for action in activations {
            if !self.stands(action.id) {
                continue;
            }
            self.begin(action.id, finished.take())?;
            if done.contains(&&action.effect) {
                told.also(action);
                finished = Some(action.id);
                continue;
            }
            let started = Instant::now();
            let result = self
                .read_units_for(action)
                .and_then(|()| {
                    let kept = &record_of(&mut self.records, action.id).kept;
                    told.act(&self.context, action, kept)
                })
                .and_then(|()| validate::answers(&self.target.root, &action.effect));
            self.options.crash.here("activated");
            finished = self.conclude(action, result, |action| Event::Activated {
                action,
                took: started.elapsed(),
            })?;
            // One that failed is tried once more for another set, which has its own answer then.
            if finished.is_some() {
                done.push(&action.effect);
            }
        }
        if let Some(id) = finished {
            self.set_state(id, ActionState::Done)?;
        }
        self.watch(&told)
    }

    /// Notes what an action left and says so, or takes its set back. Gives the action whose
    /// end is still to be recorded.
    fn conclude(
        &mut self,
        action: &Action,
        result: Result<(), ActError>,
        done: impl FnOnce(ActionId) -> Event,
    ) -> Result<Option<ActionId>, StateError> {
        if let Err(error) = result {
            self.fail(action, &error)?;
            return Ok(None);
        }
        self.note_after(action)?;
        (self.sink)(done(action.id));
        Ok(Some(action.id))
    }

    /// All units that were told something, watched together at the end: one that does not
    /// stay up costs the sets that told it.
    fn watch(&mut self, told: &Told) -> Result<(), StateError> {
        let watched: Vec<Watched> = told
            .units
            .values()
            .filter(|(_, actions)| actions.iter().any(|id| self.stands(*id)))
            .map(|(unit, _)| unit.clone())
            .collect();
        let started = Instant::now();
        let down = match health::watch(&watched) {
            Ok(down) => down,
            Err(error) => watched
                .iter()
                .map(|unit| (unit.name.clone(), error.to_string()))
                .collect(),
        };
        self.options.crash.here("units watched");
        let refused = told.refused();
        if down.is_empty() && refused.is_empty() && !watched.is_empty() {
            (self.sink)(Event::StayedUp {
                units: watched.into_iter().map(|unit| unit.name).collect(),
                took: started.elapsed(),
            });
        }
        let down = down.into_iter().map(|(name, why)| {
            let error = ActError::program(format!("keep `{name}` up"), why);
            (name, error)
        });
        let refused = refused.into_iter().map(|(name, why)| {
            let error = ActError::program(format!("have `{name}` take it"), why);
            (name, error)
        });
        for (name, error) in down.chain(refused) {
            for id in &told.units[&name].1 {
                if !self.stands(*id) {
                    continue;
                }
                if let Some(action) = self.plan.action(*id) {
                    self.fail(action, &error)?;
                }
            }
        }
        Ok(())
    }

    /// The same action, as the packages before it have settled it: its id is its place.
    fn as_settled<'b>(&self, action: &'b Action) -> &'b Action
    where
        Self: 'b,
    {
        let settled = self.settled.get();
        let place = usize::try_from(action.id.0).unwrap_or(usize::MAX);
        settled
            .and_then(|plan| plan.actions.get(place))
            .unwrap_or(action)
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
        self.changed.begin(id);
        for place in self.places.of_action(id) {
            self.changed.add(id, &self.images[*place].path);
        }
        self.state.journal().write(batch)?;
        self.options.crash.here("action begun");
        Ok(())
    }

    pub(super) fn set_state(&mut self, id: ActionId, state: ActionState) -> Result<(), StateError> {
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
        for place in self.places.of_action(id) {
            let image = &self.images[*place];
            if image.after.is_some() {
                batch = batch.put(change, image_key(image), image);
            }
        }
        batch
    }

    /// A unit is told something when systemd has read what this change wrote of units.
    fn read_units_for(&mut self, action: &Action) -> Result<(), ActError> {
        let Effect::Unit { op, .. } = &action.effect else {
            return Ok(());
        };
        let is_told = matches!(op, UnitOp::Start | UnitOp::Reload | UnitOp::Restart);
        match self.target.root.is_live() && is_told && self.changed.take_units() {
            true => unit::daemon_reload(),
            false => Ok(()),
        }
    }

    /// What the action rests on is as the plan saw it, unless this change itself changed it. What
    /// the plan saw on the copy of the host is asked when what the copy had is done here.
    fn still_holds(&self, action: &Action) -> Result<(), ActError> {
        let changed_by_us = |premise: &Premise| {
            let but = [action.id, premise.after.unwrap_or(action.id)];
            self.changed.touches(&premise.probe, but)
                || self
                    .leads_to(&premise.probe)
                    .is_some_and(|led| self.changed.has(&led, but))
        };
        let premises: Vec<&Premise> = action
            .rests_on
            .iter()
            .filter_map(|place| self.plan.premises.get(*place as usize))
            .filter(|premise| is_cheap(&premise.probe) && !changed_by_us(premise))
            .collect();
        if premises.is_empty() {
            return Ok(());
        }
        let own = self.context.temporary_prefix();
        match self.target.changed(premises, Some(&own))?.first() {
            None => Ok(()),
            Some(changed) => Err(ActError::program(
                "act on what the plan saw",
                format!("{} is not as the plan saw it", changed.probe),
            )),
        }
    }

    /// The file that a probe of content reads, where links lead to it.
    fn leads_to(&self, probe: &Probe) -> Option<HostPath> {
        let (Probe::File { path, .. } | Probe::FileDigest { path }) = probe else {
            return None;
        };
        let place = self.target.root.find(path, LastLink::Follow).ok()?;
        Some(place.path)
    }

    /// Programs that came with packages, or whose configuration did, are asked now.
    fn validate_after(&mut self, upgrade: ActionId) -> Result<(), StateError> {
        let staged: Vec<&Action> = self
            .plan
            .actions
            .iter()
            .filter(|action| self.stands(action.id))
            .filter(|action| super::work::is_staged(self.plan, action))
            .filter(|action| action.after.contains(&upgrade))
            .collect();
        // A file of another set may be what these name.
        let standing = self.plan.actions.iter();
        let standing = standing.filter(|action| self.stands(action.id));
        let mut laid = Laid::default();
        laid.extend(&standing.collect::<Vec<_>>());
        let mut asked = BTreeSet::new();
        for action in &staged {
            let Some(validator) = action.validate.filter(|one| asked.insert(*one)) else {
                continue;
            };
            if let Err(why) = self.ask_now(validator, &laid) {
                let refused = validate::named(&why, &staged).unwrap_or(action);
                let why = ActError::program("accept the new configuration", why);
                return self.fail(refused, &why);
            }
        }
        Ok(())
    }

    /// What an action left, for the undo and for recovery.
    fn note_after(&mut self, action: &Action) -> Result<(), StateError> {
        self.note_around(action.id)?;
        match &mut record_of(&mut self.records, action.id).kept {
            Kept::Upgrade {
                ran,
                ended,
                started,
                ..
            } if unit::is_booted() => {
                if let Effect::Upgrade { writes, .. } = &action.effect {
                    let files = writes.iter().cloned().collect();
                    *started = unit::up_beside(&files, ran)?;
                }
                let names: Vec<&str> = ran.iter().map(String::as_str).collect();
                let seen = health::look(&names)?;
                let both = ran.iter().zip(seen);
                let down = both.filter(|(_, seen)| seen.has_ended());
                *ended = down.map(|(name, _)| name.clone()).collect();
            }
            _ => {}
        }
        // Those of thousands of paths are stored once, at the end.
        let is_large = super::is_large(self.plan);
        for place in self.places.of_action(action.id) {
            let image = &mut self.images[*place];
            if image.role == Role::Touched {
                // By these it is told what others do to them meanwhile.
                let is_stored = !is_large || is_by_entry(&image.path);
                let images = is_stored.then(|| self.state.images());
                image.after = Some(image.now(&self.target.root, images)?);
            }
        }
        Ok(())
    }

    /// What the action moved along. Of two actions of one change each has its own.
    fn note_around(&mut self, id: ActionId) -> Result<(), StateError> {
        let own = &record_of(&mut self.records, id).kept;
        if !matches!(
            own,
            Kept::Sysctl { .. } | Kept::Unit { .. } | Kept::Mount { .. }
        ) {
            return Ok(());
        }
        let mut own = own.clone();
        let begun = self.records.iter();
        let begun = begun.filter(|record| {
            let stands = record.state.was_begun() && record.state != ActionState::TakenBack;
            stands && record.id != id
        });
        act::narrow_around(&mut own, begun.map(|record| &record.kept))?;
        let change = self.id();
        let mut batch = Batch::default();
        let mut is_changed = false;
        for record in &mut self.records {
            if record.id == id {
                record.kept.clone_from(&own);
            } else if act::disown(&mut record.kept, &own) {
                batch = batch.put(change, ActionRecord::key(record.id), record);
                is_changed = true;
            }
        }
        if is_changed {
            self.state.journal().write(batch)?;
        }
        Ok(())
    }

    /// Directories' times are known when all is done.
    pub(super) fn record_after(&mut self) -> Result<(), StateError> {
        self.adopt(Adopted::OfServices);
        match super::is_large(self.plan) {
            true => self.state.images().sync_together(|| self.capture_after()),
            false => self.capture_after(),
        }?;
        let change = self.id();
        let mut batch = Batch::default();
        for image in &self.images {
            batch = batch.put(change, image_key(image), image);
        }
        batch = batch.put(change, "", &self.header);
        self.state.journal().write(batch)?;
        self.options.crash.here("after-images recorded");
        Ok(())
    }

    fn capture_after(&mut self) -> Result<(), StateError> {
        let upgrades = upgrades(self.plan);
        let stands = |id: &ActionId| !self.down.contains(&self.sets.of[id]);
        // There no service writes.
        let programs = HostPath::literal("/usr");
        for image in &mut self.images {
            let is_packaged =
                !image.actions.is_disjoint(&upgrades) && image.actions.iter().all(stands);
            // Others write them at any time: what they did since the action is none of the change's.
            if is_by_entry(&image.path) && image.after.is_some() {
                continue;
            }
            let now = image.now(&self.target.root, Some(self.state.images()))?;
            // Nor is what people wrote there since. A directory's time is known now.
            let is_anothers = |after: &Node| {
                is_packaged
                    && (is_peoples(&image.path) || image.path.is_within(&programs))
                    && !matches!(
                        (after, &now),
                        (Node::Directory { .. }, Node::Directory { .. })
                    )
                    && !now.same_as(after)
            };
            if !image.after.as_ref().is_some_and(is_anothers) {
                image.after = Some(now);
            }
        }
        Ok(())
    }

    /// An action failed: its set, and those that depend on it, are taken back now.
    pub(super) fn fail(&mut self, action: &Action, error: &ActError) -> Result<(), StateError> {
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
        self.take_sets_back([self.sets.of[&action.id]].into(), why)
    }

    pub(super) fn take_sets_back(
        &mut self,
        sets: BTreeSet<u32>,
        why: String,
    ) -> Result<(), StateError> {
        let failed = self.sets.with_dependents(sets.iter().copied());
        let others = failed.iter().filter(|set| !self.down.contains(set));
        if self.down.len() + others.count() == self.sets.count() {
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
        self.give_up(sets, why);
        self.write_header()?;
        let actions = self.plan.actions.iter().map(|action| action.id);
        let chosen = actions.filter(|id| failed.contains(&self.sets.of[id]));
        let chosen = chosen.collect();
        let mut record = ChangeRecord {
            header: self.header.clone(),
            plan: self.plan.clone(),
            actions: std::mem::take(&mut self.records),
            images: std::mem::take(&mut self.images),
        };
        let taken = take_back_apart(
            &self.context,
            self.state,
            &mut record,
            &chosen,
            true,
            self.sink,
        );
        self.records = record.actions;
        self.images = record.images;
        for image in &mut self.images {
            image.undo = None;
        }
        self.header.images = record.header.images;
        let Apart {
            outcome,
            left,
            went: _,
        } = taken?;
        outcome.tell(id, self.sink);
        self.whys.extend(left);
        self.whys.extend(outcome.unseen);
        self.whys.extend(outcome.running);
        self.whys.extend(outcome.stuck);
        Ok(())
    }
}

fn record_of(records: &mut [ActionRecord], id: ActionId) -> &mut ActionRecord {
    ActionRecord::of_mut(records, id).expect("every action of the plan has a record")
}

/// The actions that bring or remove packages.
pub(crate) fn upgrades(plan: &model::Plan) -> BTreeSet<ActionId> {
    let actions = plan.actions.iter();
    actions
        .filter(|action| matches!(action.effect, Effect::Upgrade { .. }))
        .map(|action| action.id)
        .collect()
}

/// Worth asking again right before an action: reading a file is, walking a disk is not.
fn is_cheap(probe: &Probe) -> bool {
    !matches!(
        probe,
        Probe::Walk { .. } | Probe::Tool { .. } | Probe::Command { .. }
    )
}
