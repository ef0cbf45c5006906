//! The index that feeds are kept in: one file per feed, sorted tables of fixed rows that are
//! asked in place. A query reads the head only, and parses nothing of it; the texts lie behind
//! it, compressed block by block, and are read when somebody wants to see one.
//!
//! ```text
//! magic, version, checksum of the head, length of the head, length of the file, section table
//! sections: meta, strings, names, packages, affected, points, advisories, coverage, kev, epss,
//!           statements, blocks
//! ------------------------------------------------------------------------------ end of the head
//! texts
//! ```
//!
//! Numbers are little-endian. A string is its length (u32) and its UTF-8, and rows name it by its
//! place in `strings`; the first one is empty.

mod build;
mod view;

pub use build::Builder;
pub use view::{
    AdvisoryRow, AffectedRow, Entries, Index, Naming, Points, Said, TextPlace, Written,
};

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

pub(crate) const MAGIC: [u8; 8] = *b"SFADVIDX";
/// Of the format: an index of another version is built again from its feed.
pub const VERSION: u32 = 5;
/// Magic, version, reserved, checksum, length of the head, length of the file.
pub(crate) const FIXED: usize = 8 + 4 + 4 + 16 + 8 + 8;
/// Where the checksum is, which is of all that comes after it.
pub(crate) const CHECKSUM: Range<usize> = 16..32;
pub(crate) const SECTIONS: usize = 12;
/// What has to be read to know how long the head is.
pub const PREFIX_BYTES: usize = FIXED + SECTIONS * 16;
/// The head of all that is known is some 10 MB; one of this size was not made here.
pub const LARGEST_HEAD_BYTES: u64 = 512 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Section {
    Meta,
    Strings,
    Names,
    Packages,
    Affected,
    Points,
    Advisories,
    Coverage,
    Kev,
    Epss,
    Statements,
    Blocks,
}

/// Bytes of a row.
pub(crate) mod width {
    pub const NAME: usize = 4;
    pub const PACKAGE: usize = 16;
    pub const AFFECTED: usize = 20;
    pub const POINT: usize = 8;
    pub const ADVISORY: usize = 48;
    pub const COVERAGE: usize = 12;
    pub const KEV: usize = 20;
    pub const EPSS: usize = 16;
    pub const STATEMENT: usize = 56;
    pub const BLOCK: usize = 16;
}

/// Kinds of points, as they are written.
pub(crate) mod point {
    pub const INTRODUCED: u32 = 1;
    pub const FIXED: u32 = 2;
    pub const LAST_AFFECTED: u32 = 3;
    pub const LIMIT: u32 = 4;
    /// Another range begins.
    pub const NEXT_RANGE: u32 = 5;
    /// This version, whatever the ranges say.
    pub const EXACTLY: u32 = 6;
    /// No version: a package of the module that it is about.
    pub const PACKAGE: u32 = 7;
}

/// What an entry is, besides its points.
pub(crate) mod flag {
    pub const UNDETERMINED: u32 = 1;
    /// No vulnerability: what stands in the place of the urgency is what it informs of.
    pub const INFORMATIONAL: u32 = 2;
}

/// What the names of a table of packages begin with that are looked up without their groups:
/// `:spring-beans:org.springframework`. No package's own name does.
pub(crate) const ARTIFACT: char = ':';

/// A date that isn't known.
pub(crate) const NO_DAY: i32 = i32::MIN;
/// A time that isn't known.
pub(crate) const NO_TIME: i64 = i64::MIN;

/// An index that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    #[error("is no index of advisories")]
    NotOne,
    #[error("is an index of version {0}, and this program knows version {VERSION}")]
    OtherVersion(u32),
    #[error("is damaged: {0}")]
    Damaged(&'static str),
    #[error("would be larger than an index can be")]
    TooLarge,
}

/// XXH3 in 128 bits, which takes less time than a digest. It is there against bits that flip and
/// files that are torn: whoever may write an index could write its digest as well.
pub(crate) fn checksum(body: &[u8]) -> [u8; 16] {
    XxHash3_128::oneshot(body).to_le_bytes()
}

/// What a feed is, and what was made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    pub name: String,
    pub imported: Timestamp,
    /// The newest time that the feed itself gives; none when it gives none.
    pub newest: Option<Timestamp>,
    pub counts: Counts,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Advisories that are kept.
    pub advisories: usize,
    pub known_exploited: usize,
    pub epss_scores: usize,
    pub vex_statements: usize,
    /// Withdrawn by those who had published them: they count no more.
    pub withdrawn: usize,
    /// Another record of the same id was newer.
    pub superseded: usize,
    /// Could not be read.
    pub malformed: usize,
    /// The first of these: where, and why.
    pub malformed_first: Vec<String>,
    /// Entries about packages of ecosystems that nothing is matched in.
    pub elsewhere: BTreeMap<String, usize>,
    /// Files that hold nothing of this kind, as a README does.
    pub other_files: usize,
}

impl Counts {
    /// Most of the reasons repeat each other.
    const SHOWN: usize = 20;

    pub fn refuse(&mut self, what: impl FnOnce() -> String) {
        self.malformed += 1;
        if self.malformed_first.len() < Self::SHOWN {
            self.malformed_first.push(what());
        }
    }
}

/// The length of the head, from the first [`PREFIX_BYTES`] bytes of a file.
///
/// # Errors
/// When the file is none of these, or longer or shorter than it was written.
pub fn head_length(prefix: &[u8], file_bytes: u64) -> Result<usize, IndexError> {
    let number = |at: usize| {
        let bytes = prefix.get(at..at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    if prefix.get(..8) != Some(&MAGIC) {
        return Err(IndexError::NotOne);
    }
    let version = prefix.get(8..12).and_then(|bytes| bytes.try_into().ok());
    match version.map(u32::from_le_bytes) {
        Some(VERSION) => {}
        Some(other) => return Err(IndexError::OtherVersion(other)),
        None => return Err(IndexError::NotOne),
    }
    let (head, file) = (number(FIXED - 16), number(FIXED - 8));
    let (Some(head), Some(file)) = (head, file) else {
        return Err(IndexError::NotOne);
    };
    if file != file_bytes || head > file || head < PREFIX_BYTES as u64 {
        return Err(IndexError::Damaged("it is not as long as it was written"));
    }
    if head > LARGEST_HEAD_BYTES {
        return Err(IndexError::TooLarge);
    }
    usize::try_from(head).map_err(|_| IndexError::TooLarge)
}
