//! What a signed bundle of feeds says of itself.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use model::Digest;
use model::count::size;
use serde::{Deserialize, Serialize};

use crate::signed::{Moment, Rejected, Statement};

/// As many as a host keeps.
pub const MOST_FEEDS: usize = 64;
/// All of OSV, packed, is below 2 GB.
pub const LARGEST_FEED_BYTES: u64 = 4 << 30;
/// A host remembers it with each feed.
const MOST_BY_BYTES: usize = 256;
/// Clocks of hosts without a network go wrong, but not by a day. A bundle that claims to be of
/// next year would shut out every one that is made until then.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(24);

/// The signed list of what is in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub made: Timestamp,
    pub expires: Timestamp,
    /// The program and the host that made it, as they call themselves: for people.
    pub by: String,
    /// In the order in which they stand in the bundle.
    pub feeds: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The feed's name: lower-case letters, digits and hyphens.
    pub name: String,
    pub sha256: Digest,
    pub size_bytes: u64,
}

impl Statement for Manifest {
    /// The version stands in the type: a host that does not know it refuses before it parses.
    const TYPE: &'static str = "application/vnd.steadfast.feeds.v1+json";

    fn check(&self, moment: &Moment<'_>) -> Result<(), Rejected> {
        let malformed = |why: String| Err(Rejected::Malformed(why));
        if self.feeds.is_empty() {
            return malformed("it holds no feed".to_owned());
        }
        if self.feeds.len() > MOST_FEEDS {
            return malformed(format!("it holds more than {MOST_FEEDS} feeds"));
        }
        if self.by.len() > MOST_BY_BYTES {
            return malformed(format!("who made it takes more than {MOST_BY_BYTES} bytes"));
        }
        let mut names = BTreeSet::new();
        for Entry {
            name, size_bytes, ..
        } in &self.feeds
        {
            if !is_name(name) {
                return malformed(format!("`{name}` can't be a feed's name"));
            }
            if !names.insert(name) {
                return malformed(format!("feed `{name}` is in it twice"));
            }
            if *size_bytes > LARGEST_FEED_BYTES {
                return malformed(format!(
                    "feed `{name}` is larger than {}",
                    size(LARGEST_FEED_BYTES)
                ));
            }
        }
        let Moment { now, seen } = *moment;
        if self.made.duration_since(now) > CLOCK_SKEW {
            return Err(Rejected::FromTheFuture {
                made: self.made,
                now,
            });
        }
        if self.expires <= now {
            return Err(Rejected::Expired {
                at: self.expires,
                now,
            });
        }
        for Entry { name, .. } in &self.feeds {
            if let Some(&seen) = seen.get(name)
                && self.made < seen
            {
                return Err(Rejected::Older {
                    name: name.clone(),
                    made: self.made,
                    seen,
                });
            }
        }
        Ok(())
    }
}

/// A name that is a file's name as well, and leads nowhere else.
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('-')
}
