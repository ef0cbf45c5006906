//! The configuration of rsyslogd(8): `/etc/rsyslog.conf` and what it includes.

use model::HostPath;

use crate::Answers;
use crate::kind::includes::{self, Include, Included};

pub const MAIN: &str = "/etc/rsyslog.conf";

pub fn read(seen: &Answers) -> Included {
    includes::read(seen, &HostPath::literal(MAIN), include, true)
}

/// `$IncludeConfig PATTERN`, or `include(file="PATTERN" …)`.
fn include(line: &str) -> Option<Include<'_>> {
    let line = line.trim();
    if let Some(rest) = strip_word(line, "$includeconfig") {
        return Some(Include::Pattern(rest.trim()));
    }
    // Also within a block: `if CONDITION then { include(file="FILE") }`.
    let lower = line.to_ascii_lowercase();
    let at = match line.starts_with('#') {
        true => None,
        false => lower.match_indices("include").find_map(|(at, _)| {
            let is_begun = at == 0 || lower[..at].ends_with([' ', '\t', '{', '}', ')', ';']);
            is_begun.then_some(at)
        }),
    };
    let arguments = strip_word(&line[at?..], "include")?
        .trim_start()
        .strip_prefix('(')?;
    Some(match argument(arguments, "file") {
        Some(pattern) => Include::Pattern(pattern),
        // What `text=` brings, or a list over several lines.
        None => Include::NotUnderstood,
    })
}

/// What follows a word, whatever its letter case.
pub fn strip_word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let head = line.get(..word.len())?;
    head.eq_ignore_ascii_case(word).then(|| &line[word.len()..])
}

/// The value of `name="value"` in the arguments of an object.
pub fn argument<'a>(arguments: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = arguments;
    while let Some((before, after)) = rest.split_once('=') {
        let value = after.trim_start().strip_prefix('"')?;
        let (value, after) = value.split_once('"')?;
        let key = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '.');
        if key
            .filter(|word| !word.is_empty())
            .take(1)
            .any(|key| key.eq_ignore_ascii_case(name))
        {
            return Some(value);
        }
        rest = after;
    }
    None
}
