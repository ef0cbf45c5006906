//! `steadfast schema`: JSON Schemas for editors, and of what the program writes.

use std::io::Write;

use clap::ValueEnum;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report;

/// Print the JSON Schema of a kind of policy file, for editors, or of the report
///
/// Each is a JSON Schema of the draft 2020-12. Without a name, the names are listed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  steadfast schema role > role.schema.json\n\n\
    An editor that speaks to yaml-language-server checks a file by its first line:\n  \
    # yaml-language-server: $schema=../role.schema.json"
)]
pub struct Args {
    #[arg(value_enum, value_name = "NAME")]
    of: Option<Of>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Of {
    /// `roles/NAME.yaml`
    Role,
    /// `baselines/NAME.yaml`: rules of your own
    Baseline,
    /// `baselines/NAME.yaml`: what is changed in the rules of another baseline
    Tailoring,
    /// `waivers.yaml`
    Waivers,
    /// `patches.yaml`
    Patches,
    /// `vulnerabilities.yaml`
    Vulnerabilities,
    /// What `audit --format json` writes
    Report,
}

impl Of {
    /// As it is typed, and as `content::schema` has it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Baseline => "baseline",
            Self::Tailoring => "tailoring",
            Self::Waivers => "waivers",
            Self::Patches => "patches",
            Self::Vulnerabilities => "vulnerabilities",
            Self::Report => "report",
        }
    }
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let mut out = output::stdout();
    let schema = match args.of {
        None => {
            for of in Of::value_variants() {
                writeln!(out, "{}", of.as_str())?;
            }
            return Ok(Exit::AsWanted);
        }
        Some(Of::Report) => report::json::schema(),
        Some(of) => content::schema()[of.as_str()].take(),
    };
    report::json::write_value(&mut out, &schema)?;
    Ok(Exit::AsWanted)
}
