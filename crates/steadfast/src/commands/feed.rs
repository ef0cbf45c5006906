//! `steadfast feed`: the advisories that this host's packages are held against.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use advisory::assess::FeedState;
use host::Create;
use host::feeds::{self, FeedError, FeedName, Feeds};
use jiff::{SignedDuration, Timestamp};

use super::Format;
use crate::context::{self, Context};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::style::Style;
use crate::{report, show};

/// Feeds of advisories: import and list them
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Import(Import),
    List(List),
}

/// Import advisories from a file, a directory or an archive
///
/// What it is, is found out by its content: OSV records (JSON, or YAML as PyPI's database has
/// it), the Debian security tracker's JSON, CISA's catalogue of known exploited vulnerabilities,
/// EPSS scores (csv), OpenVEX and CSAF VEX; by themselves, in a directory, or packed as .tar,
/// .zip, .gz or .zst. An import replaces the feed of the same name as a whole, or not at all.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sudo steadfast feed import debian-osv.tar.zst\n  \
    sudo steadfast feed import known_exploited_vulnerabilities.json --name kev"
)]
pub struct Import {
    #[arg(value_name = "FILE_OR_DIR")]
    path: PathBuf,
    /// The feed's name [default: the file's name without a date]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// List the feeds, and how old each is
#[derive(Debug, clap::Args)]
pub struct List {
    /// A feed is stale when it is older than so many days
    #[arg(long, value_name = "DAYS", default_value_t = USUAL_AGE_DAYS)]
    max_age: u16,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Debian publishes advisories nearly every day, and CISA adds to its catalogue every week.
pub const USUAL_AGE_DAYS: u16 = 7;

pub fn days(days: u16) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(days))
}

pub fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Import(args) => import(args, context),
        Command::List(args) => list(args, context),
    }
}

/// Wrong input is the person's to mend; a folder that can't be trusted needs one.
pub fn refused(error: FeedError) -> Failure {
    if error.is_full() {
        let help = "nothing was changed; make room on this file system, and try again";
        return Failure::with_help(Exit::Findings, error, help);
    }
    match error {
        FeedError::Busy => Failure::with_help(Exit::Findings, error, "try again later"),
        FeedError::State(error) => context::refused(error),
        FeedError::Index { .. } => Failure::with_help(
            Exit::Unchecked,
            error,
            "import the feed again; steadfast feed list shows the feeds",
        ),
        FeedError::BadName(_) => Failure::with_help(
            Exit::BadInput,
            error,
            "--name takes lower-case letters, digits and hyphens, as in debian-osv",
        ),
        FeedError::Refused { .. } => {
            Failure::with_help(Exit::BadInput, error, "nothing was changed")
        }
        FeedError::Io { .. } | FeedError::TooMany => Failure::because(Exit::BadInput, error),
    }
}

fn import(args: &Import, context: &Context) -> Result<Exit, Failure> {
    let name = match &args.name {
        Some(name) => FeedName::new(name),
        None => FeedName::from_file(&args.path),
    };
    let name = name.map_err(refused)?;
    let feeds = Feeds::open(context.directory(), Create::Yes).map_err(refused)?;
    let feeds = feeds.expect("a folder that may be made is there");
    let now = Timestamp::now();
    let imported = feeds::import(&feeds, &args.path, &name, now).map_err(refused)?;
    let malformed = imported.feed.counts.malformed > 0;
    let state = FeedState::of(&imported.feed, now, days(USUAL_AGE_DAYS));
    let mut out = BufWriter::new(std::io::stdout().lock());
    match args.format {
        Format::Json => {
            let value = serde_json::json!({
                "format": 1,
                "feed": state,
                "size_bytes": imported.size_bytes,
            });
            report::json::write_value(&mut out, &value)?;
        }
        Format::Human => {
            let size_bytes = imported.size_bytes as u64;
            show::feeds::imported(&mut out, &state, size_bytes, &Style::for_stdout())?;
        }
    }
    out.flush()?;
    Ok(if malformed {
        Exit::Unchecked
    } else {
        Exit::AsWanted
    })
}

fn list(args: &List, context: &Context) -> Result<Exit, Failure> {
    let now = Timestamp::now();
    let mut states = Vec::new();
    let feeds = Feeds::open(context.directory(), Create::No).map_err(refused)?;
    if let Some(feeds) = &feeds {
        for name in feeds.names().map_err(refused)? {
            let held = feeds.read(&name).map_err(refused)?;
            let index = held.index().map_err(refused)?;
            let covers = index.coverage().map_err(|source| {
                let name = name.as_str().to_owned();
                refused(FeedError::Index { name, source })
            })?;
            let covers = covers
                .into_iter()
                .map(|(ecosystem, entries)| (ecosystem.to_owned(), entries))
                .collect();
            states.push(show::feeds::Listed {
                state: FeedState::of(&held.feed, now, days(args.max_age)),
                size_bytes: held.size_bytes,
                digest: index.digest(),
                covers,
            });
        }
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    match args.format {
        Format::Json => {
            let value = serde_json::json!({"format": 1, "feeds": states});
            report::json::write_value(&mut out, &value)?;
        }
        Format::Human => show::feeds::list(&mut out, &states, &Style::for_stdout())?,
    }
    out.flush()?;
    let stale = states.is_empty() || states.iter().any(|listed| listed.state.stale);
    Ok(if stale {
        Exit::Unchecked
    } else {
        Exit::AsWanted
    })
}
