//! The version orders of the ecosystems: each by its own rules, and "can't be compared" where
//! one of two texts is no version by them.

mod debian;
mod maven;
mod ruby;
mod semantic;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::str::FromStr;

/// Longer than any version that was ever published; bounds what a comparison costs.
pub const LONGEST_VERSION: usize = 512;

/// By whose rules versions are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    Debian,
    /// Semantic Versioning 2.0.0: crates.io and npm.
    Semantic,
    Go,
    /// PEP 440.
    Python,
    Maven,
    Ruby,
}

/// The ecosystem's order, by its name in OSV records (OSV schema 1.6, `affected[].package`);
/// what follows a colon is a release of it. None for one that isn't matched here.
pub fn order_of(ecosystem: &str) -> Option<Order> {
    let name = ecosystem
        .split_once(':')
        .map_or(ecosystem, |(name, _)| name);
    Some(match name {
        "Debian" => Order::Debian,
        "crates.io" | "npm" => Order::Semantic,
        "Go" => Order::Go,
        "PyPI" => Order::Python,
        "Maven" => Order::Maven,
        "RubyGems" => Order::Ruby,
        _ => return None,
    })
}

/// A version that was looked at once, and is compared with many.
#[derive(Clone, Debug)]
pub struct Parsed<'a> {
    order: Order,
    text: &'a str,
    /// To take one of Python's apart costs more than all else of a comparison.
    python: Option<pep440_rs::Version>,
}

impl Parsed<'_> {
    /// As [`Order::compare`].
    pub fn compare(&self, other: &Parsed<'_>) -> Option<Ordering> {
        match self.order {
            Order::Python => Some(self.python.as_ref()?.cmp(other.python.as_ref()?)),
            order => order.compare(self.text, other.text),
        }
    }
}

impl Order {
    pub fn parse(self, text: &str) -> Parsed<'_> {
        let is_python = self == Self::Python && text.len() <= LONGEST_VERSION;
        Parsed {
            order: self,
            text,
            python: is_python
                .then(|| pep440_rs::Version::from_str(text).ok())
                .flatten(),
        }
    }

    /// None when one of the two is no version by these rules: the answer is then unknown.
    pub fn compare(self, a: &str, b: &str) -> Option<Ordering> {
        if a.len() > LONGEST_VERSION || b.len() > LONGEST_VERSION {
            return None;
        }
        match self {
            Self::Debian => debian::compare(a, b),
            Self::Semantic => semantic::compare(a, b),
            Self::Go => semantic::compare_go(a, b),
            Self::Python => self.parse(a).compare(&self.parse(b)),
            Self::Maven => Some(maven::compare(a, b)),
            Self::Ruby => ruby::compare(a, b),
        }
    }

    /// May who asked for `from` be given `to`, as the ecosystem understands versions: the same
    /// major version; of Semantic Versioning before 1.0.0, where "anything MAY change", what
    /// Cargo and npm take for it, the same left-most number that isn't zero. Where that can't be
    /// told it is not.
    pub fn is_compatible(self, from: &str, to: &str) -> bool {
        if from.len() > LONGEST_VERSION || to.len() > LONGEST_VERSION {
            return false;
        }
        match self {
            Self::Semantic => semantic::is_compatible(from, to),
            Self::Go => semantic::has_same_major(from, to),
            Self::Python => {
                let parsed = pep440_rs::Version::from_str;
                match (parsed(from), parsed(to)) {
                    (Ok(from), Ok(to)) => {
                        from.epoch() == to.epoch() && from.release().first() == to.release().first()
                    }
                    _ => false,
                }
            }
            Self::Debian | Self::Maven | Self::Ruby => {
                let first = |text: &str| text.split(['.', '-']).next().map(str::to_owned);
                first(from) == first(to)
            }
        }
    }

    /// Is it one that came before a release: an alpha, a candidate?
    pub fn is_prerelease(self, version: &str) -> bool {
        if version.len() > LONGEST_VERSION {
            return false;
        }
        match self {
            Self::Semantic | Self::Go => semantic::is_prerelease(version),
            Self::Python => {
                pep440_rs::Version::from_str(version).is_ok_and(|version| version.any_prerelease())
            }
            // "A version is a prerelease if it contains a letter" (Gem::Version).
            Self::Ruby => version.contains(|letter: char| letter.is_ascii_alphabetic()),
            Self::Debian | Self::Maven => false,
        }
    }

    /// The name as it is looked up. PyPI: "All comparisons of distribution names MUST be case
    /// insensitive, and MUST consider hyphens and underscores to be equivalent" (PEP 503, with
    /// runs of `-`, `_` and `.` as one `-`). Go: a package URL has a module's path in lower case
    /// (purl-spec, golang), and a document of such names must be found by its advisories too.
    pub fn normal_name(self, name: &str) -> String {
        self.normal(name).into_owned()
    }

    /// The same, borrowed where it is written so already.
    pub fn normal(self, name: &str) -> Cow<'_, str> {
        if self == Self::Go && name.contains(char::is_uppercase) {
            return Cow::Owned(name.to_lowercase());
        }
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_normal = || name.bytes().all(is_plain) && !name.contains("--");
        if self != Self::Python || is_normal() {
            return Cow::Borrowed(name);
        }
        let mut normal = String::with_capacity(name.len());
        for letter in name.chars() {
            match letter {
                '-' | '_' | '.' if normal.ends_with('-') => {}
                '-' | '_' | '.' => normal.push('-'),
                other => normal.extend(other.to_lowercase()),
            }
        }
        Cow::Owned(normal)
    }
}
