//! `steadfast show`: one change, with its plan and where each step stands.

use std::io::{BufWriter, Write};

use host::{Difference, LocalHost, State};
use model::{Change, ChangeState};

use super::Format;
use crate::context::{self, Context};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::named_change::ToWhat;
use crate::output;
use crate::style::Style;
use crate::{report, show};

/// Show one change: what it did, for whom, and where it stands
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sudo steadfast show last")]
pub struct Args {
    /// The change: c-19, 19, `last`, or the beginning of its plan's id
    #[arg(value_name = "CHANGE")]
    change: String,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let state = context.needed_state()?;
    let change = context.named_change(&state, Some(&args.change), ToWhat::Show)?;
    let record = state.change(change.id).map_err(context::refused)?;
    let differs = match change.state {
        ChangeState::NeedsHuman => differing(&state, &change),
        _ => None,
    };
    let mut out = BufWriter::new(output::stdout());
    match args.format {
        Format::Json => {
            let mut value = serde_json::json!({"format": 1, "change": change, "plan": record.plan.without_secrets()});
            if let (Some(differs), Some(object)) = (&differs, value.as_object_mut()) {
                object.insert("differs".to_owned(), serde_json::json!(differs));
            }
            report::json::write_value(&mut out, &value)?;
        }
        Format::Human => {
            let style = Style::for_stdout();
            if let Some(differs) = &differs {
                writeln!(out, "not as before it:")?;
                for one in differs {
                    writeln!(out, "  {}: {}", one.what, one.how)?;
                }
                writeln!(out)?;
            }
            show::change::write(&mut out, &change, Some(&record.plan), &style)?;
        }
    }
    out.flush()?;
    Ok(Exit::AsWanted)
}

/// What is not as it was before a change in need of a person; none where that can't be looked at.
fn differing(state: &State, change: &Change) -> Option<Vec<Difference>> {
    let host = LocalHost::running().ok()?;
    match host::undo::look_again::differing(&host, state, change.id) {
        Ok(differences) => Some(differences),
        Err(error) => {
            crate::say(format_args!("what differs can't be looked at: {error}"));
            None
        }
    }
}
