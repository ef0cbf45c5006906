//! `steadfast patch plan`: what an upgrade would do to this host, seen on a copy of it.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use host::LocalHost;
use serde_json::json;

use super::Which;
use super::making::{Made, make, today};
use crate::commands::Format;
use crate::context::{self, Context};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::style::Style;
use crate::{report, show};

/// The version of the answer's form.
const FORMAT: u32 = 1;

/// Fetch pending upgrades, run them on a copy of this host, and show what they would do
///
/// Installs nothing. The copy has no network, and its programs can't reach the host.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  steadfast patch plan --only security\n  \
    steadfast patch plan --only security --deadline-within 14d --output patch.json\n\n\
    Exits with 1 when there is something to do, or something due stays open, with 3 when that can't\n\
    be told, as with apt's lists missing, or older than 7 days (apt-get update), and with 0 when there\n\
    is nothing.")]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Save the plan to this file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let host = LocalHost::running().map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let state = context.open_state()?;
    let _turn = context::take_turn(&state)?;
    let made = make(args.which.selection(), &host, &state, &|_| Ok(()))?;
    let Made { plan, foretold, .. } = &made;
    if let Some(path) = &args.output {
        crate::commands::plan::save(path, plan)?;
    }
    let mut out = BufWriter::new(output::stdout());
    match args.format {
        Format::Json => report::json::write_value(
            &mut out,
            &json!({"format": FORMAT, "plan": plan, "foretold": foretold.to_json()}),
        )?,
        Format::Human => {
            let style = Style::for_stdout();
            let telling = show::patch::Telling {
                plan,
                foretold,
                saved: args.output.as_deref(),
                next: true,
                today: today(),
            };
            show::patch::write(&mut out, &telling, &style)?;
        }
    }
    out.flush()?;
    Ok(match plan.actions.is_empty() {
        true => foretold.exit_without_actions(),
        false => Exit::Findings,
    })
}
