//! How a change that can't stand ends, for whoever carried it out and for recovery.

use jiff::Timestamp;
use model::count::first_of;
use model::{ChangeState, Plan};

use super::Applied;
use crate::act::Context;
use crate::event::Event;
use crate::journal::{ActionRecord, Batch, Header, Imaged};
use crate::outside;
use crate::state::{ChangeRecord, State, StateError};
use crate::undo::{Apart, take_back_apart};

/// Of so many paths the name is kept.
const MOST_NAMED: usize = 20;

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
    at_once: bool,
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
    let mut record = ChangeRecord {
        header: header.clone(),
        plan: plan.clone(),
        actions: records.to_vec(),
        images: images.to_vec(),
    };
    let all = plan.actions.iter().map(|action| action.id).collect();
    let Apart {
        outcome,
        left,
        went,
    } = take_back_apart(context, state, &mut record, &all, at_once, sink)?;
    records.clone_from_slice(&record.actions);
    header.images = record.header.images;
    outcome.tell(id, sink);
    outcome.refuse_halfway(id)?;
    let verified = outcome.stuck.is_empty();
    // What it changed beside its write set does not go back: nobody knows how it was.
    if let Some(since) = outside::since(records) {
        header.change.outside = outside::tell(&record.images, state, since, sink);
    }
    let seen = left.is_empty() && outcome.proof(&header.change.outside).is_some();
    why.extend(left);
    if !went.is_empty() {
        let names: Vec<String> = went.iter().map(ToString::to_string).collect();
        why.push(format!(
            "went with its packages, written since by their services: {}",
            first_of(&names, MOST_NAMED)
        ));
    }
    header.change.state = match verified {
        true => ChangeState::RolledBack,
        false => ChangeState::NeedsHuman,
    };
    why.extend(outcome.reservations());
    why.extend(outcome.stuck);
    header.change.ended = Some(now);
    header.change.note = (!why.is_empty()).then(|| why.join("; "));
    journal.write(Batch::default().put(id, "", header))?;
    context.crash.here("taken back");
    state.reserve_again();
    Ok(match verified {
        true => Applied::TakenBack {
            id,
            why,
            verified,
            seen,
        },
        false => Applied::NeedsHuman { id, why },
    })
}
