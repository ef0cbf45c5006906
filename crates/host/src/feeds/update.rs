//! Addresses of feeds: added once, and asked when somebody says so.

use jiff::Timestamp;

use super::bundle::{self, Taken};
use super::fetch::{self, Address, Fetched, Fetcher, Limits};
use super::keys::Accept;
use super::records::{Failed, Source};
use super::{FeedError, FeedName, Feeds, MOST_FEEDS, fail};

/// A failure is shown in a list: the beginning is enough.
const WHY_CHARACTERS: usize = 500;

/// What came of one source.
#[derive(Debug)]
pub struct Updated {
    pub name: FeedName,
    pub outcome: Result<Taken, FeedError>,
}

/// Remembers an address under a name. One of before is replaced, and what is known of it goes.
/// Gives whether there was one.
///
/// # Errors
/// When there are too many, or it can't be written.
pub fn add(
    feeds: &Feeds,
    name: &FeedName,
    address: &Address,
    insecure_http: bool,
    unsigned: bool,
    now: Timestamp,
) -> Result<bool, FeedError> {
    let _lock = feeds.lock()?;
    let mut records = feeds.records()?;
    let source = Source {
        url: address.to_string(),
        insecure_http,
        unsigned,
        added: now,
        last_update: None,
        last_failure: None,
        feeds: Vec::new(),
    };
    let before = records.sources.insert(name.as_str().to_owned(), source);
    if records.sources.len() > MOST_FEEDS {
        return Err(FeedError::TooMany);
    }
    feeds.save(&records)?;
    Ok(before.is_some())
}

/// Fetches these sources, or all, one after the other, and takes in what comes. One that fails
/// leaves its feeds as they were, is remembered with its reason, and holds none of the others up.
///
/// # Errors
/// When a name is unknown, or what is remembered can't be read or written.
pub fn update(
    feeds: &Feeds,
    names: &[FeedName],
    accept: &Accept,
    fetcher: Option<Fetcher>,
    limits: Limits,
    now: &dyn Fn() -> Timestamp,
    done: &mut dyn FnMut(Updated),
) -> Result<(), FeedError> {
    let lock = feeds.lock()?;
    let known = feeds.records()?.sources;
    let names: Vec<FeedName> = match names {
        [] => known
            .keys()
            .map(|name| FeedName::new(name))
            .collect::<Result<_, _>>()?,
        names => names.to_vec(),
    };
    let unknown = names.iter().find(|name| !known.contains_key(name.as_str()));
    if let Some(name) = unknown {
        return Err(FeedError::NoSource(name.as_str().to_owned()));
    }
    for name in names {
        let source = &known[name.as_str()];
        let outcome = feeds.within(&lock, || {
            one(feeds, &name, source, accept, fetcher, limits, now)
        });
        let mut records = feeds.records()?;
        if let Some(source) = records.sources.get_mut(name.as_str()) {
            match &outcome {
                Ok(taken) => {
                    source.last_update = Some(now());
                    source.feeds = match taken {
                        Taken::Feed(imported) => vec![imported.feed.name.clone()],
                        Taken::Bundle(bundle) => {
                            let feeds = bundle.feeds.iter();
                            feeds.map(|imported| imported.feed.name.clone()).collect()
                        }
                    };
                }
                Err(error) => {
                    let why = model::printable(error.to_string().as_bytes());
                    source.last_failure = Some(Failed {
                        at: now(),
                        why: why.chars().take(WHY_CHARACTERS).collect(),
                    });
                }
            }
            feeds.save(&records)?;
        }
        done(Updated { name, outcome });
    }
    Ok(())
}

fn one(
    feeds: &Feeds,
    name: &FeedName,
    source: &Source,
    accept: &Accept,
    fetcher: Option<Fetcher>,
    limits: Limits,
    now: &dyn Fn() -> Timestamp,
) -> Result<Taken, FeedError> {
    let address = Address::parse(&source.url, source.insecure_http)?;
    // With a dot: none of a feed's files is called so.
    let part = feeds.directory.join("incoming.fetch.part");
    let mut into = feeds.create_private(&part).map_err(fail("create", &part))?;
    let path = match fetch::fetch(&address, fetcher, limits, &mut into)? {
        Fetched::Here(path) => path,
        Fetched::Copied => part.clone(),
    };
    drop(into);
    let accept = Accept {
        unsigned: accept.unsigned || source.unsigned,
        keys: accept.keys.clone(),
    };
    let shown = std::path::Path::new(&source.url);
    let taken = bundle::take(
        feeds,
        &path,
        shown,
        Some(name),
        &accept,
        now(),
        Some(name.as_str()),
    )?;
    Ok(taken)
}
