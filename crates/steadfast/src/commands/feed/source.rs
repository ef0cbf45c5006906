//! `steadfast feed add` and `update`: feeds that are fetched from an address.

use std::io::{BufWriter, Write};

use host::feeds::{self, Address, FeedName, Limits, Taken, Updated};
use jiff::Timestamp;
use serde_json::Value;

use super::{KeyFolder, as_of, import, names, open, refused, value};
use crate::commands::Format;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::show::feeds::AsOf;
use crate::style::Style;
use crate::{report, show};

/// Add the address of a feed, or of a signed bundle of feeds
///
/// Nothing is fetched yet: `steadfast feed update` does that. An address that the name had before
/// is replaced. Over http: whoever is on the way can change what comes, so it has to be accepted,
/// unless it is this machine itself.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sudo steadfast feed add kev https://mirror.example.org/kev.json\n  \
    sudo steadfast feed add all https://mirror.example.org/feeds.bundle"
)]
pub struct AddArgs {
    #[arg(value_name = "NAME")]
    name: String,
    /// An address of https:, or file:///PATH
    #[arg(value_name = "URL")]
    url: String,
    /// Fetch over http:, which anybody on the way can change
    #[arg(long)]
    insecure_http: bool,
    /// Take from there also what nobody signed, though there is a folder of keys
    #[arg(long)]
    unsigned: bool,
}

pub fn add(args: &AddArgs, context: &Context) -> Result<Exit, Failure> {
    let name = FeedName::new(&args.name).map_err(refused)?;
    let address = Address::parse(&args.url, args.insecure_http).map_err(refused)?;
    let feeds = open(context)?;
    let now = Timestamp::now();
    let (insecure_http, unsigned) = (args.insecure_http, args.unsigned);
    let replaced =
        feeds::add(&feeds, &name, &address, insecure_http, unsigned, now).map_err(refused)?;
    let mut out = output::stdout();
    let style = Style::for_stdout();
    show::feeds::added(&mut out, name.as_str(), &args.url, replaced, &style)?;
    Ok(Exit::AsWanted)
}

/// Fetch feeds from their addresses
///
/// A program of this host fetches (apt's own, or curl), without root's rights, within a quarter
/// of an hour and two gigabytes for each. What comes is read as `steadfast feed import` does it. A
/// feed that can't be fetched stays as it was, and `steadfast feed list` says what failed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sudo steadfast feed update")]
pub struct UpdateArgs {
    /// Which [default: all that were added]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    keys: KeyFolder,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn update(args: &UpdateArgs, context: &Context) -> Result<Exit, Failure> {
    let names = names(&args.names)?;
    let accept = args.keys.accept()?;
    let feeds = open(context)?;
    if feeds.records().map_err(refused)?.sources.is_empty() {
        return Err(Failure::new(
            Exit::BadInput,
            "no address of a feed was added yet",
            "steadfast feed add NAME URL adds one",
        ));
    }
    let mut exit = Exit::AsWanted;
    let mut values = Vec::new();
    let mut io = Ok(());
    let style = Style::for_stdout();
    let mut done = |updated: Updated| {
        let as_of = as_of(Timestamp::now());
        exit = exit.or(match &updated.outcome {
            Ok(taken) => import::ended(taken),
            Err(_) => Exit::Unchecked,
        });
        match args.format {
            Format::Json => values.push(outcome(&updated, as_of)),
            // Each as soon as it is there: the next may take minutes.
            Format::Human if io.is_ok() => {
                let mut out = BufWriter::new(output::stdout());
                io = show::feeds::updated(&mut out, &updated, as_of, &style)
                    .and_then(|()| out.flush());
            }
            Format::Human => {}
        }
    };
    let limits = Limits::default();
    let clock = &Timestamp::now;
    feeds::update(&feeds, &names, &accept, None, limits, clock, &mut done).map_err(refused)?;
    io?;
    if args.format == Format::Json {
        let mut out = output::stdout();
        let value = serde_json::json!({"format": 1, "updates": values});
        report::json::write_value(&mut out, &value)?;
    }
    Ok(exit)
}

fn outcome(updated: &Updated, as_of: AsOf) -> Value {
    let (bundle, feeds, why) = match &updated.outcome {
        Ok(Taken::Feed(imported)) => (None, vec![value(imported, as_of)], None),
        Ok(Taken::Bundle(bundle)) => {
            let feeds = bundle.feeds.iter().map(|imported| value(imported, as_of));
            (Some(&bundle.from), feeds.collect(), None)
        }
        Err(error) => (None, Vec::new(), Some(error.to_string())),
    };
    serde_json::json!({
        "name": updated.name.as_str(),
        "updated": why.is_none(),
        "why": why,
        "bundle": bundle,
        "feeds": feeds,
    })
}
