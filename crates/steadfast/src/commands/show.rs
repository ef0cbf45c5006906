//! `steadfast show`: one change, with its plan and where each step stands.

use std::io::{BufWriter, Write};

use super::Format;
use crate::context::{self, Context};
use crate::exit::Exit;
use crate::failure::Failure;
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
    let change = context.shown_change(&state, &args.change)?;
    let record = state.change(change.id).map_err(context::refused)?;
    let mut out = BufWriter::new(output::stdout());
    match args.format {
        Format::Json => {
            let value = serde_json::json!({"format": 1, "change": change, "plan": record.plan});
            report::json::write_value(&mut out, &value)?;
        }
        Format::Human => {
            show::change::write(&mut out, &change, Some(&record.plan), &Style::for_stdout())?;
        }
    }
    out.flush()?;
    Ok(Exit::AsWanted)
}
