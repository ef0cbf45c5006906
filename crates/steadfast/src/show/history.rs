//! Shows the changes that this host's journal holds, the newest first.

use std::io::{self, Write};

use jiff::Timestamp;
use model::{Change, ChangeState, one_line};

use super::change::{ending, endings};
use crate::layout::{LABEL, Paper, Text};
use crate::report::NextStep;
use crate::report::human::next_steps;
use crate::style::{Role, Style};

/// Writes the list in the order given. `state` is where the journal is, for an empty one; `at_work`
/// says whether somebody is at work on what is not finished.
pub fn write(
    out: &mut dyn Write,
    changes: &[Change],
    state: &str,
    at_work: bool,
    style: &Style,
) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    let Some(newest) = changes.first() else {
        let text = format!("Nothing was changed yet: {state} holds no change.");
        return paper.line(&Text::new().plain(&text));
    };
    for change in changes {
        let text = standing_text(change);
        let body = Text::new()
            .solid(Role::Plain, &minute(change.started))
            .gap(2)
            .solid(role(change.state), text)
            .gap(22_usize.saturating_sub(text.len()).max(2))
            .plain(&change.summary);
        paper.row_hanging(Role::Strong, &change.id.to_string(), LABEL + 2, &body)?;
        let mut detail = Text::new().say(Role::Dim, &format!("by {}", change.by));
        if let Some(note) = &change.note {
            detail = detail.say(Role::Dim, ": ").plain(&one_line(note));
        }
        if is_at_work(change, at_work) {
            detail = detail.say(Role::Wary, "; at work now");
        } else if needs_ending(change) {
            let text = format!("; not finished: {}", how(change));
            detail = detail.say(Role::Wary, &text);
        }
        if is_past_undo(change) {
            detail = detail.say(Role::Dim, "; can no longer be undone");
        }
        paper.indented(LABEL + 2, &detail)?;
    }
    // What is not finished stands in the way of everything else.
    let unfinished = changes
        .iter()
        .filter(|change| needs_ending(change) && !is_at_work(change, at_work));
    let mut steps: Vec<NextStep> = unfinished.flat_map(endings).collect();
    steps.dedup();
    steps.push(NextStep::new(format!("steadfast show {}", newest.id), ""));
    if newest.may_be_undone() {
        steps.push(NextStep::new(
            format!("steadfast undo {}", newest.id),
            "takes the newest change back",
        ));
    }
    next_steps(&mut paper, &steps)
}

/// Does somebody, or some command, have to end it?
const fn needs_ending(change: &Change) -> bool {
    !change.state.is_final() || matches!(change.state, ChangeState::NeedsHuman)
}

const fn is_at_work(change: &Change, at_work: bool) -> bool {
    at_work && !change.state.is_final() && !change.state.is_awaiting()
}

/// Which command ends a change that is not finished.
fn how(change: &Change) -> String {
    let step = ending(change);
    step.map_or_else(String::new, |step| match change.state.is_awaiting() {
        true => format!("{} {}", step.command, step.note),
        false => format!("{} ends it", step.command),
    })
}

/// Is it in effect for good, since its before-images are gone?
fn is_past_undo(change: &Change) -> bool {
    change.expired.is_some() && change.state == ChangeState::Committed
}

/// In UTC, to the minute: `2026-11-23 14:42`.
pub(crate) fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Where a change stands, in words.
pub(crate) const fn standing_text(change: &Change) -> &'static str {
    match change.state {
        ChangeState::Committed if change.undone_in_part => "undone in part",
        state => state_text(state),
    }
}

/// A state in words.
pub(crate) const fn state_text(state: ChangeState) -> &'static str {
    match state {
        ChangeState::Planned => "planned",
        ChangeState::Imaged => "images taken",
        ChangeState::Applying => "being applied",
        ChangeState::Validating => "being verified",
        ChangeState::AwaitingConfirmation => "waits to be confirmed",
        ChangeState::Committed => "in effect",
        ChangeState::Undoing => "being undone",
        ChangeState::AwaitingUndoConfirmation => "undo to be confirmed",
        ChangeState::Redoing => "undo being taken back",
        ChangeState::Undone => "undone",
        ChangeState::RollingBack => "being taken back",
        ChangeState::RolledBack => "failed, taken back",
        ChangeState::NeedsHuman => "needs a person",
        ChangeState::KeptAsItIs => "kept as it is",
    }
}

pub(crate) const fn role(state: ChangeState) -> Role {
    match state {
        ChangeState::Committed => Role::Good,
        ChangeState::NeedsHuman => Role::Critical,
        ChangeState::RolledBack | ChangeState::RollingBack => Role::Bad,
        ChangeState::Undone | ChangeState::KeptAsItIs => Role::Dim,
        _ => Role::Wary,
    }
}
