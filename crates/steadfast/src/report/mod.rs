//! Shows an audit's report: on a terminal, as one page, as JSON and as SARIF. Each form says
//! the same; none decides anything.

pub mod html;
pub mod human;
pub mod inventory;
pub mod json;
pub mod sarif;
pub mod vulnerabilities;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use model::Severity;
use model::count::first_of;
use model::value::OtherRoot;
use plan::Counts;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::layout::{Paper, Text};
use crate::output;
use crate::style::{Role, Style};
use crate::typed::with_state;

/// Writes a whole report to a file, or to standard output; `what` it is called.
pub fn deliver(
    output: Option<&Path>,
    what: &str,
    render: &dyn Fn(&mut dyn Write, &Style) -> io::Result<()>,
) -> Result<(), Failure> {
    let Some(path) = output else {
        let mut out = BufWriter::new(output::stdout());
        render(&mut out, &Style::for_stdout())?;
        out.flush()?;
        return Ok(());
    };
    let written = write_whole(path, &|out| render(out, &Style::plain(100, true)));
    written.map_err(|error| {
        Failure::new(
            Exit::BadInput,
            format_args!("can't write the {what} to `{}`: {error}", path.display()),
            "name a file in a directory that you may write, and that has room; a report that was there \
             stays as it is",
        )
    })?;
    crate::say(format_args!("{what} written to {}", path.display()));
    Ok(())
}

/// Writes a file that takes its place when it is whole: where it can't be written, the one that was there
/// stays as it is. A new one is its maker's alone, since it lists a host's weak points; one that was
/// there keeps its owner and mode. What is no file, as a pipe, is written to as it is.
pub fn write_whole(
    path: &Path,
    write: &dyn Fn(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let there = match path.metadata() {
        Ok(there) if !there.is_file() => {
            let mut out = BufWriter::new(File::options().write(true).open(path)?);
            write(&mut out)?;
            return out.flush();
        }
        Ok(there) => Some(there),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // Where a link leads, so that it stays one.
    let place = match there {
        Some(_) => path.canonicalize()?,
        None => path.to_owned(),
    };
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let temporary = place.with_file_name(format!(".{name}.new-{}", std::process::id()));
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|file| {
            if let Some(there) = &there {
                // Only root can give a file away; where nobody is root it is its maker's.
                let _ = std::os::unix::fs::fchown(&file, Some(there.uid()), Some(there.gid()));
                file.set_permissions(there.permissions())?;
            }
            let mut out = BufWriter::new(file);
            write(&mut out)?;
            out.flush()?;
            drop(out);
            std::fs::rename(&temporary, &place)
        });
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Does what could not be checked explain much of the score? Then it is said beside the score: a
/// host that was hardly looked at must not read as a bad one.
fn mostly_unchecked(counts: &Counts) -> bool {
    let unchecked = counts.unknown + counts.error;
    unchecked * 5 > counts.pass + counts.fixed + counts.fail + unchecked
}

/// So many root file systems of others are named; a report as JSON names all.
const OTHER_ROOTS: usize = 3;

/// The root file systems of others that were left out, and how to look at one.
pub fn other_roots(paper: &mut Paper<'_>, roots: &[OtherRoot], command: &str) -> io::Result<()> {
    if roots.is_empty() {
        return Ok(());
    }
    let text = format!(
        "{}; steadfast {command} --root DIR looks at one",
        other_roots_text(roots)
    );
    paper.row(Role::Dim, "left out", &Text::new().plain(&text))
}

/// Which root file systems of others are below this one, in one sentence.
pub fn other_roots_text(roots: &[OtherRoot]) -> String {
    let named: Vec<String> = roots
        .iter()
        .map(|root| {
            let path = model::printable(root.path.as_bytes());
            match &root.release {
                Some(release) => format!("{path} ({})", model::printable(release.as_bytes())),
                None => path,
            }
        })
        .collect();
    let what = match roots.len() {
        1 => "another root file system",
        _ => "other root file systems",
    };
    format!("{}: {what}, not this host's", first_of(&named, OTHER_ROOTS))
}

/// What the reader of a terminal report wants to see, and could do next.
#[derive(Clone, Debug)]
pub struct View {
    /// Failing findings of at least this severity are shown in full, the others counted.
    /// None: from high.
    pub least: Option<Severity>,
    pub next: Vec<NextStep>,
    /// The command that gave this report, to be shown again with other options.
    pub command: String,
}

impl Default for View {
    fn default() -> Self {
        Self {
            least: None,
            next: Vec::new(),
            command: "steadfast audit".to_owned(),
        }
    }
}

/// A command to copy, and what it would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextStep {
    pub command: String,
    /// Empty when the command says it all.
    pub note: String,
}

impl NextStep {
    pub fn new(command: impl Into<String>, note: impl Into<String>) -> Self {
        Self {
            command: with_state(&command.into()),
            note: note.into(),
        }
    }
}
