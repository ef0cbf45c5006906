//! What is remembered of feeds beside their indexes: where each came from, the addresses that
//! are asked, and the newest bundle that was believed. One file, replaced as a whole.
//!
//! It holds the memory that keeps an old bundle from being believed again, so a file that can't
//! be read stops everything instead of counting as empty.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use jiff::Timestamp;
use model::Digest;
use model::count::size;
use serde::{Deserialize, Serialize};
use trust::KeyId;

use super::{FeedError, Feeds, fail};

const FILE: &str = "records.json";
const FORMAT: u32 = 1;
/// 64 feeds and 64 addresses of two kilobytes each, some times over.
const LIMIT_BYTES: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    format: u32,
    /// By the feeds' names.
    pub feeds: BTreeMap<String, Origin>,
    /// By their own names.
    pub sources: BTreeMap<String, Source>,
    /// When the newest bundle was made that each feed was taken from.
    pub seen: BTreeMap<String, Timestamp>,
}

impl Default for Records {
    fn default() -> Self {
        Self {
            format: FORMAT,
            feeds: BTreeMap::new(),
            sources: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }
}

/// Where a feed came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Its documents, as they were read.
    pub documents: Digest,
    pub size_bytes: u64,
    /// The source that it was fetched from; none when it was imported by hand.
    pub source: Option<String>,
    /// The bundle that it came in; none when nobody signed it.
    pub bundle: Option<FromBundle>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromBundle {
    pub made: Timestamp,
    /// Who made it, by its own words.
    pub by: String,
    pub signed_by: Vec<KeyId>,
}

/// An address that is asked for a feed, or for a bundle of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub url: String,
    /// A person accepted that whoever is on the way can change what comes.
    pub insecure_http: bool,
    /// A person accepted it without a signature, though there are keys.
    pub unsigned: bool,
    pub added: Timestamp,
    pub last_update: Option<Timestamp>,
    pub last_failure: Option<Failed>,
    /// The feeds that came from it last.
    pub feeds: Vec<String>,
}

impl Source {
    /// The failure, where it is the last that happened.
    pub fn failing(&self) -> Option<&Failed> {
        self.last_failure
            .as_ref()
            .filter(|failed| self.last_update.is_none_or(|update| update < failed.at))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    pub at: Timestamp,
    pub why: String,
}

impl Feeds {
    /// # Errors
    /// When they can't be read. They are empty where there are none.
    pub fn records(&self) -> Result<Records, FeedError> {
        let path = self.directory.join(FILE);
        let damaged = |why: String| FeedError::Refused {
            path: path.clone(),
            why,
        };
        let file = match self.open_private(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Records::default()),
            Err(error) => return Err(fail("open", &path)(error)),
        };
        let bytes = bounded(file, LIMIT_BYTES).map_err(fail("read", &path))?;
        let Some(bytes) = bytes else {
            return Err(damaged(format!("is larger than {}", size(LIMIT_BYTES))));
        };
        let records: Records =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        match records.format {
            FORMAT => Ok(records),
            other => Err(damaged(format!(
                "is of format {other}, and this is {FORMAT}"
            ))),
        }
    }

    pub(super) fn save(&self, records: &Records) -> Result<(), FeedError> {
        let text = serde_json::to_string_pretty(records).expect("string keys only");
        self.replace(FILE, text.as_bytes())
    }
}

/// All of a reader; none when that is more than the limit.
pub(super) fn bounded(file: File, limit_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit_bytes).then_some(bytes))
}
