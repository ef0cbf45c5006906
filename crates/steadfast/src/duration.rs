//! A length of time as people type it: `90s`, `2m`, `1h`, and `14d` where days are meant.

use std::str::FromStr;
use std::time::Duration;

/// A span that a person gave on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed: jiff::SignedDuration = text
            .parse()
            .map_err(|_| format!("`{text}` is not a length of time: write 90s, 2m or 1h"))?;
        Duration::try_from(parsed)
            .ok()
            // A day is far more than anyone needs to sign in once; an unbounded wait is
            // a change that nobody confirmed.
            .filter(|span| (5..=86_400).contains(&span.as_secs()))
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not between 5s and 24h"))
    }
}

/// A number of days that a person gave on the command line: `14d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(pub u16);

impl FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
        days.map(Self)
            .ok_or_else(|| format!("`{text}` is not a number of days: write 14d"))
    }
}
