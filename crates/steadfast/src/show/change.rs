//! Shows one change: what it was for, where it stands, and the plan it carried out.

use std::io::{self, Write};

use model::restart::Restarted;
use model::{Change, ChangeState, Effect, Plan, one_line};

use super::effect::{Seen, describe, is_secret, upgraded};
use super::history::{minute, role, standing_text};
use crate::layout::{LABEL, Paper, Text};
use crate::report::NextStep;
use crate::report::human::{count, next_steps};
use crate::style::{Role, Sign, Style};

/// Steps listed of one change.
const STEPS: usize = 60;

/// Writes the change. `plan` is none where the journal no longer holds it.
pub fn write(
    out: &mut dyn Write,
    change: &Change,
    plan: Option<&Plan>,
    style: &Style,
) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    paper.line(
        &Text::new()
            .say(Role::Strong, &format!("change {}", change.id))
            .gap(3)
            .say(role(change.state), standing_text(change)),
    )?;
    paper.blank()?;
    let row = |paper: &mut Paper<'_>, label: &str, text: &str| {
        paper.row(Role::Dim, label, &Text::new().plain(text))
    };
    row(&mut paper, "what", &change.summary)?;
    row(&mut paper, "plan", &change.plan.to_string())?;
    row(&mut paper, "for", &change.serves.join(", "))?;
    row(&mut paper, "by", &change.by)?;
    let ended = change
        .ended
        .map_or_else(String::new, |ended| format!(", ended {}", minute(ended)));
    let times = format!("began {}{ended} (UTC)", minute(change.started));
    row(&mut paper, "when", &times)?;
    if let Some(note) = &change.note {
        paper.row(Role::Wary, "note", &Text::new().plain(&one_line(note)))?;
    }
    match &change.restart {
        None => {}
        Some(Restarted::Due) => {
            let text = "asked for, and the host was not looked at since";
            paper.row(Role::Wary, "restart", &Text::new().plain(text))?;
        }
        Some(Restarted::Well { at }) => {
            let text = format!("the host was well after it, at {}", minute(*at));
            row(&mut paper, "restart", &text)?;
        }
        Some(Restarted::Unwell { at, why }) => {
            let text = format!("the host was not as before after it, at {}", minute(*at));
            paper.row(Role::Bad, "restart", &Text::new().plain(&text))?;
            for one in why {
                paper.indented(LABEL, &Text::new().plain(one))?;
            }
        }
    }
    if change.unproven {
        let text = "kept without a proof that anyone can still sign in";
        paper.row(Role::Wary, "proof", &Text::new().plain(text))?;
    }
    if !change.outside.is_empty() {
        let text = super::events::outside(&change.outside);
        paper.row(Role::Wary, "outside", &Text::new().plain(&text))?;
        for path in &change.outside.paths {
            paper.indented(LABEL, &Text::new().plain(&path.to_string()))?;
        }
    }
    if let Some(expired) = change.expired {
        let text = format!(
            "can no longer be undone: its before-images expired on {}",
            expired.strftime("%Y-%m-%d")
        );
        row(&mut paper, "undo", &text)?;
    }
    if !change.no_way_back.is_empty() {
        let text = format!("can't be undone: {}", change.no_way_back.join("; "));
        row(&mut paper, "undo", &text)?;
    }
    if let Some(plan) = plan {
        steps(&mut paper, plan)?;
    }
    let step = match change.state {
        ChangeState::Committed if !change.may_be_undone() => return Ok(()),
        ChangeState::Committed => NextStep::new(format!("steadfast undo {}", change.id), ""),
        ChangeState::Undone | ChangeState::RolledBack => return Ok(()),
        _ => {
            let steps = endings(change);
            return match steps.is_empty() {
                true => Ok(()),
                false => next_steps(&mut paper, &steps),
            };
        }
    };
    next_steps(&mut paper, &[step])
}

/// All that can be done about a change that is not final, or that a person has to see to.
pub(crate) fn endings(change: &Change) -> Vec<NextStep> {
    let id = change.id;
    match change.state {
        ChangeState::NeedsHuman => vec![
            NextStep::new(
                format!("steadfast recover {id}"),
                "looks again, and says what differs",
            ),
            NextStep::new(
                format!("steadfast undo {id}"),
                "tries again to take it back",
            ),
            NextStep::new(
                format!("steadfast recover --keep-as-it-is {id}"),
                "ends it: what is there now stays",
            ),
        ],
        _ => ending(change).into_iter().collect(),
    }
}

/// What ends a change that is not final, or that a person has to see to.
pub(crate) fn ending(change: &Change) -> Option<NextStep> {
    Some(match change.state {
        ChangeState::Committed
        | ChangeState::Undone
        | ChangeState::RolledBack
        | ChangeState::KeptAsItIs => return None,
        ChangeState::AwaitingConfirmation => {
            NextStep::new(format!("steadfast confirm {}", change.id), "keeps it")
        }
        ChangeState::AwaitingUndoConfirmation => NextStep::new(
            format!("steadfast confirm {}", change.id),
            "keeps the undo; else the change is put into effect again",
        ),
        ChangeState::NeedsHuman => NextStep::new(
            format!("steadfast undo {}", change.id),
            "tries again to take it back",
        ),
        ChangeState::Planned
        | ChangeState::Imaged
        | ChangeState::Applying
        | ChangeState::Validating
        | ChangeState::Undoing
        | ChangeState::Redoing
        | ChangeState::RollingBack => NextStep::new(
            "steadfast recover",
            "finishes it or takes it back, unless it is at work",
        ),
    })
}

fn steps(paper: &mut Paper<'_>, plan: &Plan) -> io::Result<()> {
    paper.blank()?;
    let seen = Seen::of(plan);
    let to = paper.sign(Sign::To);
    for (at, action) in plan.actions.iter().take(STEPS).enumerate() {
        let label = if at == 0 { "steps" } else { "" };
        let text = describe(&action.effect, &seen, is_secret(action), to);
        paper.row_hanging(Role::Dim, label, LABEL + 2, &Text::new().plain(&text))?;
        if let Effect::Upgrade { packages, .. } = &action.effect
            && packages.len() > 1
        {
            for package in packages {
                let text = Text::new().say(Role::Dim, &upgraded(package, to));
                paper.indented(LABEL + 2, &text)?;
            }
        }
    }
    if plan.actions.len() > STEPS {
        let left = count(plan.actions.len() - STEPS, "more step");
        let text = format!("{} {left}", paper.sign(Sign::More));
        paper.indented(LABEL, &Text::new().say(Role::Dim, &text))?;
    }
    Ok(())
}
