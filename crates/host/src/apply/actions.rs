//! The actions of a change, one after the other, and the services that are told at the end.
//! An action that fails costs its change set, which is taken back here.

use std::collections::BTreeSet;
use std::time::Instant;

use model::{Action, ActionId, Effect, HostPath, Premise, Probe};

use super::images::image_key;
use super::work::Work;
use crate::act::{self, ActError, LastLink};
use crate::event::Event;
use crate::image::Node;
use crate::journal::{ActionRecord, ActionState, Batch, Role};
use crate::state::StateError;
use crate::take_back::{self, take_back};
use crate::validate;

impl Work<'_> {
    /// A set is not begun, nor is any that depends on it.
    pub(super) fn give_up(&mut self, set: u32, why: String) {
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
    pub(super) fn act_all(&mut self) -> Result<(), StateError> {
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
                    self.note_after(action)?;
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
    pub(super) fn record_after(&mut self) -> Result<(), StateError> {
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

    pub(super) fn take_set_back(&mut self, set: u32, why: String) -> Result<(), StateError> {
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
}

fn record_of(records: &mut [ActionRecord], id: ActionId) -> &mut ActionRecord {
    records
        .iter_mut()
        .find(|record| record.id == id)
        .expect("every action of the plan has a record")
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
