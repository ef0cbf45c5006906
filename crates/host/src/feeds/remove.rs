//! Feeds and addresses that are not wanted any more.

use std::io;

use super::records::{Records, Source};
use super::{FeedError, FeedName, Feeds, fail};
use crate::state;

/// What goes under a name, and what hangs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Is there an index?
    pub feed: bool,
    /// The address of this name, with the feeds that came from it.
    pub address: Option<Source>,
    /// The other address that the feed was fetched from: it brings it again.
    pub comes_again_from: Option<String>,
    /// Other feeds that came from this address: they stay, and nothing brings newer ones.
    pub not_updated: Vec<String>,
}

/// What removing a name would do.
///
/// # Errors
/// When nothing has this name, or what is remembered can't be read.
pub fn removal(feeds: &Feeds, name: &FeedName) -> Result<Removal, FeedError> {
    let records = feeds.records()?;
    let own = name.as_str();
    let origin = records.feeds.get(own);
    let address = records.sources.get(own).cloned();
    let feed = feeds.names()?.contains(name);
    if !feed && origin.is_none() && address.is_none() {
        return Err(FeedError::NoFeed(own.to_owned()));
    }
    let source = origin.and_then(|origin| origin.source.clone());
    Ok(Removal {
        feed,
        comes_again_from: source.filter(|from| from != own && records.sources.contains_key(from)),
        not_updated: match address {
            None => Vec::new(),
            Some(_) => fetched_from(&records, own),
        },
        address,
    })
}

/// The feeds that came from an address, but for the one that has its name.
fn fetched_from(records: &Records, address: &str) -> Vec<String> {
    let feeds = records.feeds.iter();
    let from = feeds.filter(|(_, origin)| origin.source.as_deref() == Some(address));
    from.map(|(name, _)| name.clone())
        .filter(|name| name != address)
        .collect()
}

/// Removes the feed and the address of this name. That an older bundle than the newest is not
/// believed stays remembered. Killed in between, it is done by removing it again.
///
/// # Errors
/// As [`removal`], and when something can't be removed.
pub fn remove(feeds: &Feeds, name: &FeedName) -> Result<Removal, FeedError> {
    let _lock = feeds.lock()?;
    let removal = removal(feeds, name)?;
    let path = feeds.path(name);
    match std::fs::remove_file(&path) {
        Ok(()) => state::sync_directory(&feeds.directory)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail("remove", &path)(error)),
    }
    let mut records = feeds.records()?;
    records.feeds.remove(name.as_str());
    records.sources.remove(name.as_str());
    feeds.save(&records)?;
    feeds.sweep()?;
    Ok(removal)
}
