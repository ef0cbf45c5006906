//! `steadfast schema`: JSON Schemas for editors, and of what the program writes.

use clap::ValueEnum;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report;

/// Print the JSON Schema of policy files, for editors, or of the report
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  steadfast schema policy > policy.schema.json")]
pub struct Args {
    #[arg(value_enum, default_value_t)]
    of: Of,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Of {
    /// Roles, baselines, waivers and what is said about vulnerabilities
    #[default]
    Policy,
    /// What `audit --format json` writes
    Report,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let schema = match args.of {
        Of::Policy => content::schema(),
        Of::Report => report::json::schema(),
    };
    report::json::write_value(&mut output::stdout(), &schema)?;
    Ok(Exit::AsWanted)
}
