//! `steadfast inventory`: what is installed on this host, read-only.

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use host::LocalHost;
use jiff::Timestamp;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::report;
use crate::report::inventory::human::Listed;
use crate::report::inventory::{Taken, cyclonedx, human, json, spdx};
use crate::style::Style;

/// List what is installed: packages, and components that came another way
///
/// Reads package databases, and the metadata that installers and compilers leave in Python,
/// Node, Java, Ruby, Go and Rust things, also in the images of local container stores. Runs
/// nothing, changes nothing and sends nothing. Each component names the file that proves it, and
/// what could not be read is said.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  steadfast inventory\n  \
    steadfast inventory --all\n  \
    steadfast inventory --format cyclonedx --output sbom.json")]
pub struct Args {
    /// Look at the tree in this directory instead of the running host
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// For people: list every package and every module
    #[arg(long)]
    all: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, at a terminal
    #[default]
    Human,
    /// CycloneDX 1.6, as JSON
    Cyclonedx,
    /// SPDX 2.3, as JSON
    Spdx,
    /// For programs: stable and documented
    Json,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let taken = take(args)?;
    let render = |out: &mut dyn Write, style: &Style| render(out, args, &taken, style);
    report::deliver(args.output.as_deref(), "inventory", &render)?;
    Ok(match taken.inventory.unread.is_empty() {
        true => Exit::AsWanted,
        false => Exit::Unchecked,
    })
}

fn take(args: &Args) -> Result<Taken, Failure> {
    let host = match &args.root {
        Some(root) => LocalHost::offline(root),
        None => LocalHost::running(),
    }
    .map_err(|error| Failure::because(Exit::BadInput, error))?;
    let progress = Progress::on_stderr();
    let inventory = host::components::components(&host, &|entries| {
        progress.say(format!("walking local file systems: {entries} files"));
    });
    progress.clear();
    Ok(Taken {
        inventory,
        hostname: host.identity().hostname,
        release: host.release(),
        root: args.root.as_ref().map(|root| root.display().to_string()),
        generated: Timestamp::now(),
    })
}

fn render(out: &mut dyn Write, args: &Args, taken: &Taken, style: &Style) -> std::io::Result<()> {
    match args.format {
        Format::Json => json::write(out, taken),
        Format::Cyclonedx => cyclonedx::write(out, taken),
        Format::Spdx => spdx::write(out, taken),
        Format::Human => {
            let listed = match args.all {
                true => Listed::Everything,
                false => Listed::OfInterest,
            };
            human::write(out, taken, listed, style)
        }
    }
}
