//! `steadfast feed export`: the feeds of this host as one signed file.

use std::path::PathBuf;

use host::Create;
use host::feeds::{self, Feeds};
use jiff::Timestamp;

use super::{names, refused};
use crate::assessing::days;
use crate::context::Context;
use crate::duration::Days;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::show;
use crate::style::Style;

/// A bundle that is good for years is one that a thief can use for years.
const MOST_DAYS: u16 = 366;

/// Write feeds as one signed bundle, for hosts without a network
///
/// It holds the feeds' documents as they were read, not this version's indexes, so any later
/// version can import it. `steadfast feed import BUNDLE --trust PUB.pem` does that on another
/// host, until it expires.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  steadfast feed key ana.pem\n  \
    sudo steadfast feed export feeds.bundle --key ana.pem --expires 30d")]
pub struct Args {
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Which [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The key that signs, as `steadfast feed key` makes it; may be given several times
    #[arg(long, value_name = "KEY.pem", required = true)]
    key: Vec<PathBuf>,
    /// For how long it can be imported
    #[arg(long, value_name = "DAYS", default_value = "30d")]
    expires: Days,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let names = names(&args.names)?;
    let Days(good_for) = args.expires;
    if !(1..=MOST_DAYS).contains(&good_for) {
        return Err(Failure::new(
            Exit::BadInput,
            format_args!("a bundle can't be good for {good_for} days"),
            format_args!("--expires takes 1d to {MOST_DAYS}d"),
        ));
    }
    let keys = args.key.iter().map(|path| feeds::secret_key(path));
    let keys: Vec<_> = keys.collect::<Result<_, _>>().map_err(refused)?;
    if keys.len() > trust::MOST_SIGNATURES {
        return Err(Failure::new(
            Exit::BadInput,
            "too many keys",
            format_args!("at most {} sign a bundle", trust::MOST_SIGNATURES),
        ));
    }
    let Some(held) = Feeds::open(context.directory(), Create::No).map_err(refused)? else {
        return Err(Failure::new(
            Exit::BadInput,
            "there are no feeds yet",
            "steadfast feed import FILE imports one",
        ));
    };
    let system = rustix::system::uname();
    let node = model::printable(system.nodename().to_bytes());
    let by = format!("steadfast {} on {node}", env!("CARGO_PKG_VERSION"));
    let exported = feeds::export(
        &held,
        &args.bundle,
        &names,
        &keys,
        &by,
        Timestamp::now(),
        days(good_for),
    )
    .map_err(refused)?;
    let ids: Vec<_> = keys.iter().map(|key| key.public().id()).collect();
    let mut out = output::stdout();
    show::feeds::exported(
        &mut out,
        &args.bundle,
        &exported,
        &ids,
        &Style::for_stdout(),
    )?;
    Ok(Exit::AsWanted)
}
