//! What feeds say, whatever form they say it in.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// One advisory (after the OSV schema 1.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advisory {
    pub id: String,
    /// Other names of the same thing.
    pub aliases: Vec<String>,
    /// Of a distribution's advisory: the vulnerabilities that it is about.
    pub related: Vec<String>,
    pub summary: String,
    pub details: String,
    pub published: Option<Date>,
    pub modified: Option<Timestamp>,
    /// CVSS vectors as written, the newest version of CVSS first.
    pub cvss: Vec<String>,
    pub affected: Vec<Affected>,
}

/// What it says of one package in one ecosystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// As OSV names it, with a distribution's release: `Debian:12`.
    pub ecosystem: String,
    pub name: String,
    pub affects: Affects,
    /// The distribution's own word on how much it matters: `unimportant`, `end-of-life`.
    pub urgency: Option<String>,
    /// Where it is no vulnerability but something to know about the package: `unmaintained`,
    /// `unsound`, `notice` (RustSec, "informational").
    pub informational: Option<String>,
    /// Of a Go module, the packages that it is about; empty for all of it.
    pub packages: Vec<String>,
}

/// Which versions are affected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affects {
    Versions {
        /// Affected if any of them says so.
        ranges: Vec<Vec<Event>>,
        /// And these.
        exactly: Vec<String>,
    },
    /// Whoever keeps the feed has not found out.
    Undetermined,
}

/// A point in the order of versions (OSV schema 1.6, `affected[].ranges[].events`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `0` is before every version.
    Introduced(String),
    Fixed(String),
    LastAffected(String),
    Limit(String),
}

/// A CVE's number: `CVE-2024-6387`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CveId {
    pub year: u16,
    pub number: u32,
}

/// The text is no CVE's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a CVE's number is written CVE-2024-6387")]
pub struct NotACve;

impl FromStr for CveId {
    type Err = NotACve;

    fn from_str(text: &str) -> Result<Self, NotACve> {
        let rest = text.strip_prefix("CVE-").ok_or(NotACve)?;
        let (year, number) = rest.split_once('-').ok_or(NotACve)?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        // "The sequence number has at least four digits" (CVE ID syntax, 2014).
        if year.len() != 4 || number.len() < 4 || !digits(year) || !digits(number) {
            return Err(NotACve);
        }
        Ok(Self {
            year: year.parse().map_err(|_| NotACve)?,
            number: number.parse().map_err(|_| NotACve)?,
        })
    }
}

impl fmt::Display for CveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CVE-{:04}-{:04}", self.year, self.number)
    }
}

/// One entry of CISA's catalogue of known exploited vulnerabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exploited {
    pub added: Date,
    /// When CISA wants it gone from federal agencies.
    pub due: Option<Date>,
    pub ransomware: bool,
}

/// How likely it is to be exploited in the next 30 days (FIRST, EPSS).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epss {
    pub score: f32,
    /// The share of CVEs with the same score or a lower one.
    pub percentile: f32,
}

/// What somebody says of a vulnerability in their product (VEX).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub vulnerability: String,
    /// Other names of it.
    pub aliases: Vec<String>,
    pub product: Product,
    pub status: VexStatus,
    /// Why it is not affected, in the words of the standard: `vulnerable_code_not_present`.
    pub justification: String,
    /// And in the author's.
    pub impact: String,
    /// Who says it, and in which document.
    pub source: String,
    pub at: Option<Timestamp>,
}

/// What a statement is about: a package URL taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// `deb`, `cargo`.
    pub kind: String,
    /// With the name, as the ecosystem writes both; empty for none.
    pub namespace: String,
    pub name: String,
    /// Empty: every version.
    pub version: String,
    /// A distribution's release as its qualifier says: `debian-12`; empty for any.
    pub distro: String,
    /// Of a binary package, its source, which may have a version: `openssl@3.0.11-1`. Empty where
    /// nothing is said.
    pub upstream: String,
}

/// OpenVEX 0.2.0, Status Labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VexStatus {
    NotAffected,
    Fixed,
    UnderInvestigation,
    Affected,
}
