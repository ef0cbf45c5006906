//! `steadfast rule lint`: everything that can be said of a policy without a host.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use content::ContentError;
use miette::Report;
use serde_json::{Value, json};

use crate::commands::Format;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// Check a policy directory: every error and every doubt, with file and line
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  steadfast rule lint ./policy")]
pub struct Args {
    #[arg(value_name = "DIR")]
    policy: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let linted = content::lint(&args.policy);
    if args.format == Format::Json {
        let (exit, said): (_, Vec<_>) = match &linted {
            Err(errors) => (Exit::BadInput, errors.iter().map(said("error")).collect()),
            Ok(none) if none.is_empty() => (Exit::AsWanted, Vec::new()),
            Ok(some) => (Exit::Findings, some.iter().map(said("warning")).collect()),
        };
        let mut out = BufWriter::new(output::stdout());
        serde_json::to_writer_pretty(&mut out, &json!({"format": 1, "said": said}))
            .map_err(std::io::Error::from)?;
        writeln!(out)?;
        out.flush()?;
        return Ok(exit);
    }
    let warnings = linted?;
    let count = warnings.len();
    for warning in warnings {
        crate::say(format_args!("{:?}", Report::new(warning)));
    }
    match count {
        0 => crate::say(format_args!("nothing to complain about")),
        1 => crate::say(format_args!("1 warning")),
        many => crate::say(format_args!("{many} warnings")),
    }
    Ok(if count == 0 {
        Exit::AsWanted
    } else {
        Exit::Findings
    })
}

fn said(level: &'static str) -> impl Fn(&ContentError) -> Value {
    move |error| {
        let place = error.place();
        json!({
            "level": level,
            "message": error.message(),
            "help": error.hint(),
            "path": place.map(|place| place.file()),
            "line": place.map(content::Place::line),
            "column": place.map(content::Place::column),
        })
    }
}
