//! `steadfast rule list`.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use serde_json::json;

use crate::commands::Format;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::survey::repository;

/// List all rules, built-in and of the policy
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  steadfast rule list --format json")]
pub struct Args {
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let repository = repository(args.policy.as_deref())?;
    let mut rules: Vec<_> = repository.rules().collect();
    rules.sort_by_key(|rule| (&rule.baseline, &rule.area, &rule.id));
    let mut out = BufWriter::new(output::stdout());
    match args.format {
        Format::Json => {
            let rules: Vec<_> = rules.iter().map(|rule| super::show::json(rule)).collect();
            serde_json::to_writer_pretty(&mut out, &json!({"format": 1, "rules": rules}))
                .map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
        Format::Human => {
            let width = rules
                .iter()
                .map(|rule| rule.id.as_str().len())
                .max()
                .unwrap_or(0);
            let mut heading = None;
            for rule in rules {
                let place = (&rule.baseline, &rule.area);
                if heading.replace(place).is_none_or(|before| before != place) {
                    writeln!(out, "\n{} / {}", rule.baseline, rule.area)?;
                }
                let profile = rule
                    .profile
                    .as_ref()
                    .map_or_else(String::new, |profile| format!(" ({profile})"));
                writeln!(
                    out,
                    "  {:8}  {:width$}  {}{profile}",
                    rule.severity, rule.id, rule.title
                )?;
            }
        }
    }
    out.flush()?;
    Ok(Exit::AsWanted)
}
