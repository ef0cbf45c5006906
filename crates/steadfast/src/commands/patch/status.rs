//! `steadfast patch status`: what runs files that are not there any more, and whether the booted
//! kernel is the newest that is installed.

use std::collections::BTreeMap;
use std::io::{self, Write};

use host::packages::kernels;
use host::packages::users::processes;
use serde::Serialize;

use crate::commands::Format;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::layout::{Paper, Text};
use crate::style::{Role, Style};

/// Show what still runs old files after upgrades, and whether a reboot is due
///
/// A patch is not done when the new version is installed: it is when nothing runs the old one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  steadfast patch status\n\n\
    Exits with 1 when something runs old files or a reboot is due, and with 0 when not.")]
pub struct Args {
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The answer for programs.
#[derive(Serialize)]
struct Status {
    format: u32,
    /// Each unit, or process without one, with the old files that it has mapped.
    runs_old_files: BTreeMap<String, Vec<String>>,
    booted_kernel: String,
    newest_kernel: Option<String>,
    reboot_due: bool,
}

/// The version of the answer's form.
const FORMAT: u32 = 1;

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let mut runs_old_files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for process in processes() {
        if process.deleted.is_empty() {
            continue;
        }
        let who = process
            .unit
            .unwrap_or_else(|| format!("{} (process {})", process.name, process.id));
        let files = runs_old_files.entry(who).or_default();
        files.extend(process.deleted.iter().map(ToString::to_string));
        files.sort();
        files.dedup();
    }
    let kernels = kernels();
    let reboot_due = kernels
        .newest
        .as_ref()
        .is_some_and(|newest| *newest != kernels.booted);
    let exit = match runs_old_files.is_empty() && !reboot_due {
        true => Exit::AsWanted,
        false => Exit::Findings,
    };
    let status = Status {
        format: FORMAT,
        runs_old_files,
        booted_kernel: kernels.booted,
        newest_kernel: kernels.newest,
        reboot_due,
    };
    let mut out = io::stdout().lock();
    match args.format {
        Format::Json => {
            let text = serde_json::to_string_pretty(&status).map_err(io::Error::from)?;
            writeln!(out, "{}", model::escape::harmless_json(&text))?;
        }
        Format::Human => write(&mut out, &status)?,
    }
    Ok(exit)
}

fn write(out: &mut dyn Write, status: &Status) -> io::Result<()> {
    let style = Style::for_stdout();
    let mut paper = Paper::new(out, &style);
    if status.runs_old_files.is_empty() {
        paper.line(&Text::new().plain("Nothing that could be looked at runs old files."))?;
    }
    for (who, files) in &status.runs_old_files {
        paper.line(
            &Text::new()
                .say(Role::Wary, &model::printable(who.as_bytes()))
                .plain(" runs files that are not there any more"),
        )?;
        for file in files.iter().take(5) {
            paper.indented(2, &Text::new().say(Role::Dim, file))?;
        }
        if files.len() > 5 {
            let more = format!("and {} more", files.len() - 5);
            paper.indented(2, &Text::new().say(Role::Dim, &more))?;
        }
    }
    let booted = &status.booted_kernel;
    match &status.newest_kernel {
        Some(newest) if status.reboot_due => {
            paper.line(&Text::new().say(Role::Wary, "reboot due").plain(&format!(
                ": kernel {booted} runs, and {newest} is installed"
            )))
        }
        Some(_) => {
            paper.line(&Text::new().plain(&format!("Kernel {booted} is the newest installed.")))
        }
        None => paper.line(&Text::new().plain(&format!(
            "Kernel {booted} is not of this host's packages (a container, or another's kernel)."
        ))),
    }
}
