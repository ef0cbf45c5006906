//! `steadfast plan`: what would change, as diffs, with its inverse and its risks.

use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use model::{HostPath, Outcome, Plan};
use resource::Seen;

use super::Format;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::left_out;
use crate::output;
use crate::packages_stage;
use crate::progress::Progress;
use crate::report;
use crate::show;
use crate::style::Style;
use crate::survey::{Selectors, Survey};

/// Show what would change, as diffs, with its risks and how it is taken back
///
/// Changes nothing. Packages that it takes are fetched and rehearsed on a copy of the host, and the
/// rest is planned over that copy. A plan that is saved with --output can be applied later; it is carried
/// out only if it is then still exactly what the host needs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  steadfast plan --rule ssh-root-login\n  \
    steadfast plan --policy ./policy --role web --output plan.json\n\n\
    Exits with 1 when there is something to do, and with 0 when there is not.")]
pub struct Args {
    #[command(flatten)]
    selectors: Selectors,
    /// Save the plan to this file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// One failure takes back everything, not only what depends on it
    #[arg(long)]
    all_or_nothing: bool,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let progress = Progress::on_stderr();
    let mut survey = Survey::take(None, &args.selectors, &progress)?;
    survey.leave_waived(&args.selectors);
    let selection = args.selectors.selection(args.all_or_nothing);
    let plan = packages_stage::plan(context, &mut survey, selection)?.plan;
    let current = |path: &HostPath| content(&survey, path);
    let exit = write(&plan, args.output.as_deref(), args.format, &current)?;
    left_out::say_unknown(&plan.left_alone);
    Ok(exit.or(of_roles(&survey)))
}

/// What a role wants and the plan has no step for is neither done nor known to be as wanted.
fn of_roles(survey: &Survey) -> Exit {
    let findings = ::plan::audit::of_roles(&survey.wanted.roles, &survey.answers);
    let exits = findings.map(|finding| match finding.outcome {
        Outcome::Fail => Exit::Findings,
        Outcome::Unknown | Outcome::Error => Exit::Unchecked,
        _ => Exit::AsWanted,
    });
    exits.fold(Exit::AsWanted, Exit::or)
}

/// Saves the plan where that is asked for, and shows it.
fn write(
    plan: &Plan,
    output: Option<&Path>,
    format: Format,
    current: show::plan::Current<'_>,
) -> Result<Exit, Failure> {
    if let Some(path) = output {
        save(path, plan)?;
    }
    let mut out = BufWriter::new(output::stdout());
    match format {
        Format::Json => plan.without_secrets().write_json(&mut out)?,
        Format::Human => {
            show::plan::write(&mut out, plan, current, output, &Style::for_stdout())?;
        }
    }
    out.flush()?;
    let left = left_out::exit(&plan.left_alone);
    Ok(match plan.actions.is_empty() {
        true => left,
        false => left.or(Exit::Findings),
    })
}

/// Saves the plan to a file.
pub fn save(path: &Path, plan: &Plan) -> Result<(), Failure> {
    write_file(path, plan).map_err(|error| {
        Failure::new(
            Exit::BadInput,
            format_args!("can't write the plan to `{}`: {error}", path.display()),
            "name a file in a directory that you may write",
        )
    })
}

/// A plan quotes files that only root may read (think of sudoers), so a new file is its
/// maker's alone.
fn write_file(path: &Path, plan: &Plan) -> io::Result<()> {
    // One that was there keeps its mode otherwise; a pipe or a device has nobody's plan in it.
    if path.is_file() {
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    report::write_whole(path, &|mut out| plan.write_json(&mut out))
}

/// A file's content as observed, for the diffs.
pub fn content(survey: &Survey, path: &HostPath) -> Option<Vec<u8>> {
    match survey.answers.file(path) {
        Seen::Known(file) => Some(file.content.as_bytes().to_vec()),
        _ => None,
    }
}
