//! `steadfast feed import`: from a file, a directory, an archive or a signed bundle.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use advisory::assess::FeedState;
use host::feeds::{self, FeedName, Taken};
use jiff::Timestamp;

use super::{Trust, as_of, open, refused, value};
use crate::assessing::{USUAL_AGE_DAYS, days};
use crate::commands::Format;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::style::Style;
use crate::{report, show};

/// Import advisories from a file, a directory, an archive or a signed bundle
///
/// What it is, is found out by its content: OSV records (JSON, or YAML as PyPI's database has
/// it), the Debian security tracker's JSON, CISA's catalogue of known exploited vulnerabilities,
/// EPSS scores (csv), OpenVEX and CSAF VEX; by themselves, in a directory, or packed as .tar,
/// .zip, .gz or .zst. An import replaces the feed of the same name as a whole, or not at all.
///
/// A bundle that `steadfast feed export` made is taken only when enough trusted keys signed it,
/// it has not expired, and no newer one was taken before. Where keys are spoken of, by --trust or
/// by a folder for them, what nobody signed is refused.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sudo steadfast feed import debian-osv.tar.zst\n  \
    sudo steadfast feed import debian-osv.zip known_exploited_vulnerabilities.json epss_scores.csv.gz\n  \
    sudo steadfast feed import known_exploited_vulnerabilities.json --name kev\n  \
    sudo steadfast feed import feeds.bundle --trust ana.pub.pem"
)]
pub struct Args {
    /// Each becomes the feed of its name
    #[arg(value_name = "FILE_OR_DIR", required = true)]
    paths: Vec<PathBuf>,
    /// The feed's name, of one file [default: the file's name without a date]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    trust: Trust,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let name = args.name.as_deref().map(FeedName::new).transpose();
    let name = name.map_err(refused)?;
    let accept = args.trust.accept()?;
    if name.is_some() && args.paths.len() > 1 {
        return Err(Failure::new(
            Exit::BadInput,
            "one name for several files: each replaces the feed of its name",
            "nothing was changed; import them one by one, or leave --name out",
        ));
    }
    let feeds = open(context)?;
    let now = Timestamp::now();
    let mut all = Vec::new();
    let mut failure = None;
    for path in &args.paths {
        match feeds::take_in(&feeds, path, name.as_ref(), &accept, now) {
            Ok(taken) => all.push(taken),
            // What was taken before it is said before the failure is.
            Err(error) => {
                failure = Some(refused(error));
                break;
            }
        }
    }
    let mut out = BufWriter::new(output::stdout());
    match args.format {
        Format::Json if args.paths.len() == 1 => {
            if let Some(taken) = all.first() {
                report::json::write_value(&mut out, &imported(taken, now))?;
            }
        }
        Format::Json => {
            let all: Vec<_> = all.iter().map(|taken| imported(taken, now)).collect();
            let value = serde_json::json!({"format": 1, "imported": all});
            report::json::write_value(&mut out, &value)?;
        }
        Format::Human => {
            for taken in &all {
                show::feeds::taken(&mut out, taken, as_of(now), &Style::for_stdout())?;
            }
        }
    }
    out.flush()?;
    match failure {
        Some(failure) => Err(failure),
        None => Ok(all.iter().map(ended).collect()),
    }
}

/// What was taken from one file, for programs.
fn imported(taken: &Taken, now: Timestamp) -> serde_json::Value {
    match taken {
        Taken::Feed(imported) => serde_json::json!({
            "format": 1,
            "feed": FeedState::of(&imported.feed, now, days(USUAL_AGE_DAYS)),
            "size_bytes": imported.size_bytes,
        }),
        Taken::Bundle(bundle) => {
            let feeds = bundle
                .feeds
                .iter()
                .map(|imported| value(imported, as_of(now)));
            serde_json::json!({
                "format": 1,
                "bundle": bundle.from,
                "expires": bundle.expires,
                "feeds": feeds.collect::<Vec<_>>(),
            })
        }
    }
}

/// Records that could not be read are unknown, however few.
pub fn ended(taken: &Taken) -> Exit {
    let imported = match taken {
        Taken::Feed(imported) => std::slice::from_ref(imported),
        Taken::Bundle(bundle) => &bundle.feeds,
    };
    let malformed = imported
        .iter()
        .any(|imported| imported.feed.counts.malformed > 0);
    match malformed {
        true => Exit::Unchecked,
        false => Exit::AsWanted,
    }
}
