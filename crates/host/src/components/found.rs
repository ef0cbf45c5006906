//! What a parser found in one file, before anybody asked whose file it is.

use model::component::{Ecosystem, EvidenceKind};
use model::value::Reason;

/// Longer names are nobody's: a registry allows some two hundred characters, a path of a Go
/// module a few hundred.
const LONGEST_NAME_BYTES: usize = 1024;

/// A component that a file speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub ecosystem: Ecosystem,
    pub name: String,
    pub version: String,
    pub how: EvidenceKind,
    /// The way inside the archive.
    pub member: Option<String>,
}

impl Found {
    /// None when this can be no component's name or version.
    pub fn new(ecosystem: Ecosystem, name: &str, version: &str, how: EvidenceKind) -> Option<Self> {
        let (name, version) = (name.trim(), version.trim());
        let good = |text: &str| {
            !text.is_empty() && text.len() <= LONGEST_NAME_BYTES && !text.contains(char::is_control)
        };
        (good(name) && good(version)).then(|| Self {
            ecosystem,
            name: name.to_owned(),
            version: version.to_owned(),
            how,
            member: None,
        })
    }
}

/// What a file holds, and what of it could not be read.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    pub found: Vec<Found>,
    pub unread: Vec<Reason>,
}

impl Contents {
    /// `member` is empty for the file itself.
    pub fn unread(&mut self, member: &str, reason: Reason) {
        self.unread.push(match member {
            "" => reason,
            member => Reason::Failed {
                why: format!("`{member}`: {reason}"),
            },
        });
    }
}

impl From<Result<Vec<Found>, Reason>> for Contents {
    fn from(result: Result<Vec<Found>, Reason>) -> Self {
        match result {
            Ok(found) => Self {
                found,
                unread: Vec::new(),
            },
            Err(reason) => Self {
                found: Vec::new(),
                unread: vec![reason],
            },
        }
    }
}
