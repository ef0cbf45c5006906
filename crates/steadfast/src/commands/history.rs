//! `steadfast history`: the changes that this host went through.

use std::io::{BufWriter, Write};

use super::Format;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report;
use crate::show;
use crate::style::Style;

/// List the changes made on this host, the newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  steadfast history --format json")]
pub struct Args {
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let mut changes = match context.existing_journal()? {
        Some(state) => state
            .history()
            .map_err(|error| Failure::because(Exit::NeedsPerson, error))?,
        None => Vec::new(),
    };
    changes.sort_by_key(|change| std::cmp::Reverse(change.id.0));
    let mut out = BufWriter::new(output::stdout());
    match args.format {
        Format::Json => {
            let history = serde_json::json!({"format": 1, "changes": changes});
            report::json::write_value(&mut out, &history)?;
        }
        Format::Human => {
            let directory = context.directory().display().to_string();
            let at_work = host::lock::is_at_work();
            let style = Style::for_stdout();
            show::history::write(&mut out, &changes, &directory, at_work, &style)?;
        }
    }
    out.flush()?;
    if changes.is_empty() {
        context.mention_roots("changes", "history");
    }
    Ok(Exit::AsWanted)
}
