//! A length of time as people type it: `90s`, `2m`, `1h`, and `14d` or `14` where days are meant.

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

/// A number of days that a person gave on the command line: `14d`, or `14`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(pub u16);

impl FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let days = text.strip_suffix('d').unwrap_or(text);
        // A sign would be read as part of the number.
        let is_number = !days.is_empty() && days.bytes().all(|byte| byte.is_ascii_digit());
        let days = days.parse().ok().filter(|_| is_number);
        days.map(Self)
            .ok_or_else(|| format!("`{text}` is not a number of days: write 14d or 14"))
    }
}

impl std::fmt::Display for Days {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}d", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Days;

    #[test]
    fn days_are_read_with_their_letter_and_without() {
        for (text, days) in [("14d", Some(14)), ("14", Some(14)), ("0", Some(0))] {
            assert_eq!(text.parse::<Days>().ok().map(|days| days.0), days, "{text}");
        }
        for text in ["", "d", "+14", "-1d", "14 d", "14h", "70000d", "1.5d", "dd"] {
            assert!(text.parse::<Days>().is_err(), "{text}");
        }
    }
}
