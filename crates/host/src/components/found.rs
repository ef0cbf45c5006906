//! What a parser found in one file, before anybody asked whose file it is.

use model::component::{Ecosystem, EvidenceKind};
use model::count::{plural, size};
use model::value::Reason;

use super::source::shortened;

/// Longer names are nobody's: a registry allows some two hundred characters, a path of a Go
/// module a few hundred.
const LONGEST_NAME_BYTES: usize = 1024;

/// Of one file: the lockfile of a large company's repository has 20,000, a large war 2,000.
pub const MOST_FOUND: usize = 50_000;
/// All names, versions and ways inside an archive that one file brings; those 20,000 have 2 MB.
const TEXT_LIMIT_BYTES: usize = 16 << 20;
/// So many troubles with one file are named.
const MOST_TROUBLES: usize = 100;

/// Letters of the name of an archive's member, which may have 64 KB.
const MOST_SHOWN: usize = 500;

/// A component that a file speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub ecosystem: Ecosystem,
    pub name: String,
    pub version: String,
    pub how: EvidenceKind,
    /// The way inside the archive.
    pub member: Option<String>,
    /// As [`model::Component::packages`].
    pub packages: Vec<String>,
    /// The Go module in whose place this one is (`replace`): its packages are known by that path.
    pub instead_of: Option<String>,
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
            packages: Vec::new(),
            instead_of: None,
        })
    }

    fn text_bytes(&self) -> usize {
        let member = self.member.as_ref().map_or(0, String::len);
        let packages = self.packages.iter().map(String::len);
        self.name.len() + self.version.len() + member + packages.sum::<usize>()
    }
}

/// What a file holds, and what of it could not be read. Neither grows without bound: what is left
/// out is counted, and said in the end.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    pub found: Vec<Found>,
    pub unread: Vec<Reason>,
    text_bytes: usize,
    left_out: usize,
    troubles_left_out: usize,
}

impl Contents {
    pub fn add(&mut self, found: Found) {
        let text_bytes = self.text_bytes + found.text_bytes();
        if self.found.len() == MOST_FOUND || text_bytes > TEXT_LIMIT_BYTES {
            self.left_out += 1;
            return;
        }
        self.text_bytes = text_bytes;
        self.found.push(found);
    }

    /// `member` is empty for the file itself.
    pub fn unread(&mut self, member: &str, reason: Reason) {
        if self.unread.len() == MOST_TROUBLES {
            self.troubles_left_out += 1;
            return;
        }
        self.unread.push(match member {
            "" => reason,
            member => Reason::Failed {
                why: format!("`{}`: {reason}", shortened(member, MOST_SHOWN)),
            },
        });
    }

    /// Says what was left out; nothing comes after it.
    pub fn end(mut self) -> Self {
        let (left_out, troubles) = (self.left_out, self.troubles_left_out);
        if left_out > 0 {
            let why = format!(
                "left out: {}; the limits of one file are {}, and {} of their names",
                plural(left_out, "component"),
                plural(MOST_FOUND, "component"),
                size(TEXT_LIMIT_BYTES)
            );
            self.unread.push(Reason::Failed { why });
        }
        if troubles > 0 {
            let why = format!("not named: {}", plural(troubles, "more trouble"));
            self.unread.push(Reason::Failed { why });
        }
        (self.left_out, self.troubles_left_out) = (0, 0);
        self
    }

    /// About how much memory this takes.
    pub fn held_bytes(&self) -> usize {
        let found = self.found.len() * size_of::<Found>() + self.text_bytes;
        let held = |why: &Reason| size_of::<Reason>() + why.to_string().len();
        found + self.unread.iter().map(held).sum::<usize>()
    }
}

impl From<Result<Vec<Found>, Reason>> for Contents {
    fn from(result: Result<Vec<Found>, Reason>) -> Self {
        let mut contents = Self::default();
        match result {
            Ok(found) => found.into_iter().for_each(|found| contents.add(found)),
            Err(reason) => contents.unread.push(reason),
        }
        contents
    }
}
