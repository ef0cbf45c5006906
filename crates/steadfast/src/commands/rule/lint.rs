//! `steadfast rule lint`: everything that can be said of a policy without a host.

use std::path::PathBuf;

use miette::Report;

use crate::exit::Exit;
use crate::failure::Failure;

/// Check a policy directory: every error and every doubt, with file and line
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  steadfast rule lint ./policy")]
pub struct Args {
    #[arg(value_name = "DIR")]
    policy: PathBuf,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let warnings = content::lint(&args.policy)?;
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
