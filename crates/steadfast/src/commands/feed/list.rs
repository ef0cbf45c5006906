//! `steadfast feed list`: the feeds, where each comes from, and how old it is.

use std::io::{BufWriter, Write};

use advisory::assess::FeedState;
use host::Create;
use host::feeds::{FeedError, Feeds, Records};
use jiff::Timestamp;

use super::refused;
use crate::assessing::{USUAL_AGE_DAYS, days};
use crate::commands::Format;
use crate::context::Context;
use crate::duration::Days;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::style::Style;
use crate::{report, show};

/// List the feeds: where each comes from, how old it is, and what failed last
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A feed is stale when it is older than so many days
    #[arg(long, value_name = "DAYS", default_value_t = Days(USUAL_AGE_DAYS))]
    max_age: Days,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let now = Timestamp::now();
    let mut states = Vec::new();
    let mut records = Records::default();
    let feeds = Feeds::open(context.directory(), Create::No).map_err(refused)?;
    if let Some(feeds) = &feeds {
        records = feeds.records().map_err(refused)?;
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
                state: FeedState::of(&held.feed, now, days(args.max_age.0)),
                size_bytes: held.size_bytes,
                digest: index.digest(),
                covers,
                origin: records.feeds.get(name.as_str()).cloned(),
            });
        }
    }
    let sources = &records.sources;
    let mut out = BufWriter::new(output::stdout());
    match args.format {
        Format::Json => {
            let value = serde_json::json!({"format": 1, "feeds": states, "sources": sources});
            report::json::write_value(&mut out, &value)?;
        }
        Format::Human => show::feeds::list(&mut out, &states, sources, &Style::for_stdout())?,
    }
    out.flush()?;
    if states.is_empty() && sources.is_empty() {
        context.mention_roots("feeds", "feed list");
    }
    let stale = states.is_empty() || states.iter().any(|listed| listed.state.stale);
    // What was never fetched has no age that could be stale.
    let missing = sources.values().any(|source| source.last_update.is_none());
    Ok(if stale || missing {
        Exit::Unchecked
    } else {
        Exit::AsWanted
    })
}
