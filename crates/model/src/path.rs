//! An absolute path on a host, as bytes: Linux file names need not be UTF-8.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::compared;
use crate::escape::printable;

/// The kernel's own limit on a path in one system call (`PATH_MAX`, limits.h).
const LONGEST_PATH_BYTES: usize = 4096;

/// An absolute path without `.`, `..`, empty components, a trailing slash or a NUL.
///
/// Serialised as text. A byte that is not UTF-8 is written `\xNN`, and a
/// backslash `\\`, so that every path has exactly one text.
///
/// A copy shares its bytes: a plan names one path in a dozen places.
#[derive(Clone, Eq)]
pub struct HostPath(Arc<[u8]>);

impl PartialEq for HostPath {
    fn eq(&self, other: &Self) -> bool {
        compared::note();
        self.0 == other.0
    }
}

impl PartialOrd for HostPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for HostPath {
    fn cmp(&self, other: &Self) -> Ordering {
        compared::note();
        self.0.cmp(&other.0)
    }
}

impl Hash for HostPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// Why a text or a byte string is not a [`HostPath`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadPath {
    #[error("`{0}` is not an absolute path")]
    NotAbsolute(String),
    #[error("`{0}` has a `..` component")]
    Climbs(String),
    #[error("a path is longer than {LONGEST_PATH_BYTES} bytes")]
    TooLong,
    #[error("a path holds a NUL byte")]
    Nul,
    #[error("`{0}` holds a bad escape")]
    BadEscape(String),
}

impl HostPath {
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadPath> {
        if bytes.len() > LONGEST_PATH_BYTES {
            return Err(BadPath::TooLong);
        }
        if bytes.contains(&0) {
            return Err(BadPath::Nul);
        }
        if bytes.first() != Some(&b'/') {
            return Err(BadPath::NotAbsolute(printable(bytes)));
        }
        let mut clean = Vec::with_capacity(bytes.len());
        for component in bytes.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return Err(BadPath::Climbs(printable(bytes))),
                name => {
                    clean.push(b'/');
                    clean.extend_from_slice(name);
                }
            }
        }
        if clean.is_empty() {
            clean.push(b'/');
        }
        Ok(Self(clean.into()))
    }

    /// A path known at compile time.
    ///
    /// # Panics
    /// When the literal is not a clean absolute path: a mistake in our source.
    pub fn literal(text: &'static str) -> Self {
        Self::from_bytes(text.as_bytes()).expect("path literals are absolute and clean")
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The names between the slashes, from the top.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
    }

    /// The path of `name` below this one; `name` may have several components.
    pub fn join(&self, name: impl AsRef<[u8]>) -> Result<Self, BadPath> {
        let mut bytes = self.0.to_vec();
        bytes.push(b'/');
        bytes.extend_from_slice(name.as_ref());
        Self::from_bytes(&bytes)
    }

    /// The directory that holds this path; none for `/`.
    pub fn parent(&self) -> Option<Self> {
        if self.0.len() == 1 {
            return None;
        }
        let cut = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        Some(Self(self.0[..cut.max(1)].into()))
    }

    /// The last component; empty for `/`.
    pub fn file_name(&self) -> &[u8] {
        let cut = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        &self.0[cut + 1..]
    }

    /// This path and the directories above it, up to `/`.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self.clone()), Self::parent)
    }

    /// Those of a set that lie below this path, in their order.
    pub fn below<'s>(&self, all: &'s BTreeSet<Self>) -> impl Iterator<Item = &'s Self> {
        let start = self.start_below();
        let after = all.range((Bound::Excluded(&start), Bound::Unbounded));
        after.take_while(move |path| path.0.starts_with(&start.0))
    }

    /// The same of a map by paths.
    pub fn below_in<'s, V>(
        &self,
        all: &'s BTreeMap<Self, V>,
    ) -> impl Iterator<Item = (&'s Self, &'s V)> {
        let start = self.start_below();
        let after = all.range((Bound::Excluded(&start), Bound::Unbounded));
        after.take_while(move |(path, _)| path.0.starts_with(&start.0))
    }

    /// What the paths below this one begin with, and stand after. No path that anybody gets.
    fn start_below(&self) -> Self {
        let mut start = self.0.to_vec();
        if start.len() > 1 {
            start.push(b'/');
        }
        Self(start.into())
    }

    /// Is this path `other` or below it?
    pub fn is_within(&self, other: &Self) -> bool {
        compared::note();
        other.0.len() == 1
            || self
                .0
                .strip_prefix(&*other.0)
                .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    fn to_text(&self) -> Cow<'_, str> {
        match str::from_utf8(&self.0) {
            Ok(text) if !text.contains('\\') => Cow::Borrowed(text),
            _ => {
                let mut out = String::new();
                for chunk in self.0.utf8_chunks() {
                    out.push_str(&chunk.valid().replace('\\', "\\\\"));
                    for byte in chunk.invalid() {
                        out.push_str(&format!("\\x{byte:02x}"));
                    }
                }
                Cow::Owned(out)
            }
        }
    }
}

/// For people: control characters are escaped.
impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&printable(&self.0))
    }
}

impl fmt::Debug for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_text())
    }
}

/// Reads the text form: `\xNN` and `\\` are escapes.
impl FromStr for HostPath {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        if !text.contains('\\') {
            return Self::from_bytes(text.as_bytes());
        }
        let bad = || BadPath::BadEscape(printable(text.as_bytes()));
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            if byte != b'\\' {
                bytes.push(byte);
            } else if let Some(tail) = rest.strip_prefix(b"\\") {
                bytes.push(b'\\');
                rest = tail;
            } else {
                let digits = rest
                    .strip_prefix(b"x")
                    .and_then(|tail| tail.get(..2))
                    .and_then(|digits| str::from_utf8(digits).ok())
                    .ok_or_else(bad)?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| bad())?);
                rest = &rest[3..];
            }
        }
        Self::from_bytes(&bytes)
    }
}

impl Serialize for HostPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for HostPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for HostPath {
    fn schema_name() -> Cow<'static, str> {
        "HostPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^/",
            "description": "An absolute path on the host."
        })
    }
}
