//! An undo that could cut people off is confirmed or taken back, as the change itself was: how
//! everything is before the undo becomes durable first, and is put back unless somebody
//! confirms. `committed → undoing → awaiting_undo_confirmation → undone`, and from the middle
//! states `redoing → committed`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::{ActionId, ChangeState, HostPath, Outside, Plan};

use super::look_again::{Difference, differences};
use super::{Decided, Left, Obstacle, UndoError, Undone, carry_out, done, standing, stopped};
use crate::act::{self, ActError, Context, LastLink};
use crate::apply::{ApplyOptions, image_key};
use crate::confirm;
use crate::event::Event;
use crate::image::Node;
use crate::journal::{ActionRecord, ActionState, Batch, GuardedUndo, Header, Imaged, Kept};
use crate::lock::Lock;
use crate::outside;
use crate::state::{ChangeRecord, State, StateError};
use crate::take_back::take_back;
use crate::target::Target;

/// Carries out an undo that was decided, and waits to be confirmed.
#[expect(
    clippy::too_many_arguments,
    reason = "what an undo has at hand when it turns out to be one of these"
)]
pub(super) fn undo(
    target: &Target,
    state: &State,
    context: &Context<'_>,
    mut record: ChangeRecord,
    decided: Decided,
    options: &ApplyOptions<'_>,
    lock: Lock,
    sink: &mut dyn FnMut(Event),
) -> Result<Undone, UndoError> {
    let id = record.header.change.id;
    let Decided {
        merged,
        theirs,
        stays,
        held: _,
        went: _,
    } = decided;
    prepare(context, &mut record).inspect_err(|_| {
        state.images().forget_fresh();
        state.reserve_again();
    })?;
    let was = record.header.change.clone();
    record.header.undo = Some(GuardedUndo {
        state: was.state,
        ended: was.ended,
        note: was.note.clone(),
        by: options.by.clone(),
    });
    record.header.change.state = ChangeState::Undoing;
    record.header.boot = crate::apply::boot_id();
    record.header.activated = None;
    record.header.deadline = None;
    record.header.wait = None;
    options.crash.here("before undoing");
    // All that follows may need the room that was kept.
    state.release();
    if let Err(source) = write(state, &record) {
        state.images().forget_fresh();
        state.reserve_again();
        return Err(source.into());
    }
    options.crash.here("undoing");
    // Armed before anything is touched, and when the journal knows of it: whatever recovers
    // it then stops the timer, too.
    let limit = options.confirm_within + confirm::APPLY_LIMIT;
    if let Err(why) = options.guard.arm(id, state, limit) {
        record.header.change = was;
        record.header.undo = None;
        forget(&mut record);
        write(state, &record)?;
        state.images().forget_fresh();
        state.reserve_again();
        return Err(UndoError::NoGuard(why));
    }
    state.images().keep_fresh();
    options.crash.here("undo guarded");
    let unfinished = |source| UndoError::Unfinished { id, source };
    let began = outside::undone_since(&record.actions);
    let (mut proof, mut left, mut why) = (None, Left::default(), Vec::new());
    // What was taken back is put into effect again with the services that were stopped.
    match stopped::look(context, state, &mut record, false) {
        Ok(found) => why.extend(found.iter().map(Obstacle::words)),
        Err(error) => why.push(error.to_string()),
    }
    if why.is_empty() {
        match carry_out(context, state, &mut record, sink) {
            Ok((outcome, others)) => {
                left = Left {
                    theirs,
                    stays,
                    ..others
                };
                proof = outcome.proof(&left.outside).filter(|_| left.is_nothing());
                why.extend(outcome.stuck);
            }
            Err(error) => why.push(error.to_string()),
        }
    }
    if why.is_empty() && (options.interrupted)() {
        why.push("interrupted".to_owned());
    }
    if why.is_empty()
        && let Err(error) = options
            .guard
            .arm_deadline(id, state, options.confirm_within)
    {
        why.push(error);
    }
    if !why.is_empty() {
        let ended = take_undo_back(context, state, record, (options.now)(), why, sink);
        options.guard.disarm(id, state);
        return ended.map_err(unfinished);
    }
    let deadline = confirm::begin(context.root, &mut record.header, &record.images, options);
    record.header.change.state = ChangeState::AwaitingUndoConfirmation;
    state
        .journal()
        .write(Batch::default().put(id, "", &record.header))
        .map_err(|error| unfinished(error.into()))?;
    options.crash.here("awaiting_undo_confirmation");
    // Whoever confirms, and whoever takes back when we are gone, must be able to.
    drop(lock);
    sink(Event::AwaitingConfirmation { id, deadline });
    if options.detach {
        return Ok(Undone::AwaitingConfirmation(id, deadline));
    }
    let awaited = ChangeState::AwaitingUndoConfirmation;
    let waited = confirm::wait(state, id, awaited, deadline, options, sink).map_err(unfinished)?;
    let why = match waited {
        confirm::Waited::Confirmed(by) => {
            options.guard.disarm(id, state);
            sink(Event::Confirmed { id, by });
            // Minutes have passed since the look.
            let record = state.change(id).map_err(unfinished)?;
            let is_so = tell_differences(differences(target, &record), &merged, &mut left);
            if let Some(began) = began {
                let found = outside::tell(&record.images, state, began, sink);
                left.outside = left.outside.and(found);
            }
            let proof = proof.filter(|_| is_so && left.is_nothing());
            return Ok(Undone::Done {
                id,
                merged,
                proof,
                left: Box::new(left),
            });
        }
        confirm::Waited::EndedElsewhere(header) => {
            return Ok(ended(&header, merged, left));
        }
        confirm::Waited::Interrupted => "interrupted while it waited to be confirmed".to_owned(),
        confirm::Waited::Expired(why) => why,
    };
    let _lock = match Lock::take(&target.root, options.lock_wait) {
        Ok(lock) => lock,
        // Somebody is at it; the guard sees to the rest.
        Err(_) => return Ok(Undone::AwaitingConfirmation(id, deadline)),
    };
    // It may have been confirmed or taken back while we reached for the lock.
    let record = state.change(id).map_err(unfinished)?;
    if record.header.change.state != awaited {
        return Ok(ended(&record.header, merged, left));
    }
    let why = vec![why];
    let ended = take_undo_back(context, state, record, (options.now)(), why, sink);
    options.guard.disarm(id, state);
    ended.map_err(unfinished)
}

/// Is all as it was before the change, in a look after the undo? What is not is told, but for files in
/// which others' lines stay, of which it is told already.
fn tell_differences(
    found: Result<Vec<Difference>, ActError>,
    merged: &[HostPath],
    left: &mut Left,
) -> bool {
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            let said = format!("all that the change touched: {error}");
            left.unseen.push(said);
            return false;
        }
    };
    let is_so = found.is_empty();
    for Difference { what, how } in found {
        let path = what.starts_with('/').then(|| what.parse::<HostPath>().ok());
        let known = merged.iter().chain(&left.differing);
        let mut known = known.chain(&left.theirs).chain(&left.anew);
        if !path
            .flatten()
            .is_some_and(|path| known.any(|known| path.is_within(known)))
        {
            left.changed.push(format!("{what}: {how}"));
        }
    }
    is_so
}

/// How everything that the undo changes is now: content into the images, values into the
/// records.
fn prepare(context: &Context<'_>, record: &mut ChangeRecord) -> Result<(), ActError> {
    let standing = standing(record);
    for image in &mut record.images {
        if image.actions.is_disjoint(&standing) {
            continue;
        }
        let look = |images| Node::capture(context.root, &image.path, LastLink::Itself, images);
        if image.before.is_unread() {
            image.redo = Some(image.now(context.root, None)?);
            continue;
        }
        let (_, mut now) = look(None)?;
        // What we left is stored already, and a full disk has no room for it twice.
        if now
            .content()
            .is_some_and(|content| !context.images.holds(&content))
        {
            (_, now) = look(Some(context.images))?;
        }
        image.redo = Some(now);
    }
    for action in &mut record.actions {
        if !standing.contains(&action.id) {
            continue;
        }
        let planned = record.plan.action(action.id);
        let planned = planned.expect("every record is of an action of the plan");
        action.again = Some(act::keep_again(context, planned, &action.kept)?);
        action.stood = Some(action.state.clone());
    }
    Ok(())
}

/// The whole record, as one step.
fn write(state: &State, record: &ChangeRecord) -> Result<(), StateError> {
    let id = record.header.change.id;
    let mut batch = Batch::default().put(id, "", &record.header);
    for image in &record.images {
        batch = batch.put(id, image_key(image), image);
    }
    for action in &record.actions {
        batch = batch.put(id, ActionRecord::key(action.id), action);
    }
    Ok(state.journal().write(batch)?)
}

/// What would take the undo back is not needed any more.
fn forget(record: &mut ChangeRecord) {
    for action in &mut record.actions {
        action.again = None;
        action.stood = None;
    }
    for image in &mut record.images {
        image.redo = None;
    }
}

/// The undo stays: what would have taken it back is not needed any more.
pub(crate) fn keep(
    state: &State,
    mut record: ChangeRecord,
    by: &str,
    now: Timestamp,
) -> Result<(), StateError> {
    let asked = record.header.undo.take().map(|undo| undo.by);
    forget(&mut record);
    done(&mut record, now);
    record.header.deadline = None;
    let asked = asked.map_or_else(String::new, |asked| format!("undo asked for by {asked}, "));
    let part = record
        .header
        .change
        .note
        .filter(|_| record.header.change.undone_in_part);
    let part = part.map_or_else(String::new, |part| format!("{part}; "));
    record.header.change.note = Some(format!("{part}{asked}confirmed by {by}"));
    write(state, &record)
}

/// Puts everything back as it was before the undo, and checks it. Run again after a crash, it
/// completes what is left.
pub(crate) fn take_undo_back(
    context: &Context<'_>,
    state: &State,
    mut record: ChangeRecord,
    now: Timestamp,
    mut why: Vec<String>,
    sink: &mut dyn FnMut(Event),
) -> Result<Undone, StateError> {
    let id = record.header.change.id;
    // The way back may need the room that was kept for it.
    state.release();
    sink(Event::TakingBack {
        id,
        why: why.join("; "),
    });
    if record.header.change.state != ChangeState::Redoing {
        record.header.change.state = ChangeState::Redoing;
        record.header.change.note = (!why.is_empty()).then(|| why.join("; "));
        for action in &mut record.actions {
            forth_again(action);
        }
        write(state, &record)?;
    }
    context.crash.here("redoing");
    let again: BTreeSet<ActionId> = record
        .actions
        .iter()
        .filter(|action| action.again.is_some())
        .map(|action| action.id)
        .collect();
    let images: Vec<Imaged> = record.images.iter().filter_map(forth).collect();
    let outcome = take_back(
        context,
        (state.journal(), id),
        &forwards(&record.plan),
        &mut record.actions,
        &images,
        &|id| again.contains(&id),
        sink,
    );
    outcome.tell(id, sink);
    outcome.refuse_halfway(id)?;
    // Nothing outside is judged: what is put back is the change, as it was before the undo.
    let seen = outcome.proof(&Outside::default()).is_some();
    why.extend(outcome.reservations());
    settle(&mut record, &outcome.stuck, &why, now);
    write(state, &record)?;
    state.reserve_again();
    context.crash.here("redone");
    why.extend(outcome.stuck.iter().cloned());
    Ok(match outcome.stuck.is_empty() {
        true => Undone::TakenBack {
            id,
            now: record.header.change.state,
            why,
            seen,
        },
        false => Undone::NeedsHuman { id, why },
    })
}

/// The way back of an undo, of one action. Both ways change places.
fn forth_again(action: &mut ActionRecord) {
    let Some(again) = &mut action.again else {
        return;
    };
    std::mem::swap(again, &mut action.kept);
    action.state = match (&*again, &action.state) {
        // The undo left these as they were, and so does its way back.
        (Kept::Irreversible { .. }, _) => {
            action.kept = Kept::Nothing;
            ActionState::TakenBack
        }
        (Kept::Unseen { .. }, _) => {
            action.kept = again.clone();
            ActionState::TakenBack
        }
        // Whether its way back was run is not known.
        (Kept::Effect(_), state) if *state != ActionState::TakenBack => ActionState::Begun,
        _ => ActionState::Done,
    };
}

/// What the undo left at a path counts as ours, and what was there before it is put back.
fn forth(image: &Imaged) -> Option<Imaged> {
    let redo = image.redo.clone()?;
    let left = match &image.undo {
        Some(undo) => undo.to.clone(),
        None => image.before.clone(),
    };
    Some(Imaged {
        before: redo,
        after: Some(left),
        ..image.clone()
    })
}

/// Taking back begins with the last action, and this way must begin with the first.
/// Activations keep their order: systemd reads its units before it restarts one.
fn forwards(plan: &Plan) -> Plan {
    let (activations, mut actions): (Vec<_>, Vec<_>) = plan
        .actions
        .iter()
        .cloned()
        .partition(|action| action.effect.is_activation());
    actions.reverse();
    actions.extend(activations);
    Plan {
        actions,
        ..plan.clone()
    }
}

/// The change is again what it was before the undo.
fn settle(record: &mut ChangeRecord, stuck: &[String], why: &[String], now: Timestamp) {
    for action in &mut record.actions {
        if let Some(again) = action.again.take() {
            action.kept = again;
            action.state = action.stood.take().unwrap_or(ActionState::Done);
        }
    }
    for image in &mut record.images {
        image.redo = None;
        image.undo = None;
    }
    let was = record.header.undo.take();
    record.header.leaves.clear();
    record.header.theirs.clear();
    let change = &mut record.header.change;
    let because = match why.is_empty() {
        true => "its undo was taken back".to_owned(),
        false => format!("its undo was taken back: {}", why.join("; ")),
    };
    if !stuck.is_empty() {
        change.state = ChangeState::NeedsHuman;
        change.ended = Some(now);
        change.note = Some(format!("{because}; {}", stuck.join("; ")));
        return;
    }
    let before = was.as_ref().and_then(|was| was.note.clone());
    change.note = Some(match before {
        Some(before) => format!("{before}; {because}"),
        None => because,
    });
    change.state = was.as_ref().map_or(ChangeState::Committed, |was| was.state);
    change.ended = was.and_then(|was| was.ended).or(Some(now));
}

/// What became of an undo that somebody else finished.
fn ended(header: &Header, merged: Vec<HostPath>, left: Left) -> Undone {
    let id = header.change.id;
    let why: Vec<String> = header.change.note.iter().cloned().collect();
    match header.change.state {
        // Somebody else ended it: what they left was not looked at here.
        ChangeState::Undone => Undone::Done {
            id,
            merged,
            proof: None,
            left: Box::new(left),
        },
        ChangeState::Committed if header.change.undone_in_part && header.deadline.is_none() => {
            Undone::Done {
                id,
                merged,
                proof: None,
                left: Box::new(left),
            }
        }
        // Nor was this.
        now @ ChangeState::Committed => Undone::TakenBack {
            id,
            now,
            why,
            seen: false,
        },
        ChangeState::AwaitingUndoConfirmation | ChangeState::Redoing => {
            let deadline = header.deadline.unwrap_or(header.change.started);
            Undone::AwaitingConfirmation(id, deadline)
        }
        _ => Undone::NeedsHuman { id, why },
    }
}
