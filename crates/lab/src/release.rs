//! The Debian releases that the lab can build, which are the releases that rules are proven on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A Debian release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Release {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
}

impl Release {
    /// Every release, oldest first.
    pub const ALL: [Self; 2] = [Self::Bookworm, Self::Trixie];

    /// The suite's name in the archive.
    pub fn codename(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// `VERSION_ID` of its os-release.
    pub fn version(self) -> u32 {
        match self {
            Self::Bookworm => 12,
            Self::Trixie => 13,
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.codename())
    }
}

/// A text that names no release of the lab.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a release that the lab can build (bookworm or 12, trixie or 13)")]
pub struct UnknownRelease(String);

impl FromStr for Release {
    type Err = UnknownRelease;

    fn from_str(text: &str) -> Result<Self, UnknownRelease> {
        Self::ALL
            .into_iter()
            .find(|release| text == release.codename() || text == release.version().to_string())
            .ok_or_else(|| UnknownRelease(text.to_owned()))
    }
}
