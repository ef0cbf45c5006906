//! `steadfast feed remove`: a feed, or an address, that is not wanted any more.

use host::Create;
use host::feeds::{self, FeedError, FeedName, Feeds, Removal};
use model::count::plural;

use super::refused;
use crate::context::{self, Context};
use crate::exit::Exit;
use crate::failure::Failure;

/// Remove a feed, and the address of that name
///
/// What it says first: what the feed alone knew is unknown afterwards, and not fixed; other feeds
/// that came from the address stay, and get no newer edition from it. That a bundle older than the
/// newest is not believed stays remembered.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sudo steadfast feed remove kev")]
pub struct Args {
    #[arg(value_name = "NAME")]
    name: String,
    /// Do not ask; needed where there is no terminal
    #[arg(long)]
    yes: bool,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let name = FeedName::new(&args.name).map_err(refused)?;
    let feeds = Feeds::open(context.directory(), Create::No).map_err(refused)?;
    let Some(feeds) = feeds else {
        return Err(refused(FeedError::NoFeed(args.name.clone())));
    };
    let removal = feeds::removal(&feeds, &name).map_err(refused)?;
    say(&feeds, &name, &removal);
    if !context::consent(args.yes, &format!("remove `{}`?", name.as_str()))? {
        crate::say(format_args!("nothing was changed"));
        return Ok(Exit::AsWanted);
    }
    feeds::remove(&feeds, &name).map_err(refused)?;
    crate::say(format_args!("`{}` is removed", name.as_str()));
    Ok(Exit::AsWanted)
}

/// What goes, and what hangs on it.
fn say(feeds: &Feeds, name: &FeedName, removal: &Removal) {
    let own = name.as_str();
    if removal.feed {
        let holds = match feeds.read(name) {
            Ok(held) => format!(", {}", plural(held.feed.counts.advisories, "advisory")),
            // One that is damaged can be removed as well.
            Err(_) => String::new(),
        };
        crate::say(format_args!(
            "feed `{own}`{holds}: what it alone knows is unknown without it"
        ));
    }
    if let Some(from) = &removal.comes_again_from {
        crate::say(format_args!(
            "it came from the address `{from}`, which brings it again with the next update"
        ));
    }
    if let Some(address) = &removal.address {
        crate::say(format_args!(
            "address {}: it is not asked any more",
            model::printable(address.url.as_bytes())
        ));
    }
    if !removal.not_updated.is_empty() {
        crate::say(format_args!(
            "these feeds came from it, stay, and grow old: {}",
            removal.not_updated.join(", ")
        ));
    }
}
