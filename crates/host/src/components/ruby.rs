//! Ruby gems, by the names of their specifications: `rack-2.2.6.4.gemspec`,
//! `nokogiri-1.16.0-x86_64-linux.gemspec`. A specification is a program, which is not run. A
//! packed gem (`bundle package` puts them into `vendor/cache`) has such a name as well.

use model::component::{Ecosystem, EvidenceKind};

use super::found::Found;

/// The gem of a file's name. The version begins at the last dash that a digit follows and
/// whose rest is a version; a platform may stand behind it (Gem::Specification#full_name).
pub fn parse_name(file_name: &[u8]) -> Option<Found> {
    let full = file_name
        .strip_suffix(b".gemspec")
        .or_else(|| file_name.strip_suffix(b".gem"))?;
    let full = str::from_utf8(full).ok()?;
    let parts: Vec<&str> = full.split('-').collect();
    // Of `a-1-2`, nobody can tell; a version without a dot is rarer than a platform with one.
    let at = (1..parts.len()).find(|at| is_version(parts[*at]))?;
    let name = parts[..at].join("-");
    Found::new(
        Ecosystem::RubyGems,
        &name,
        parts[at],
        EvidenceKind::Metadata,
    )
}

/// "^\s*([0-9]+(?>\.[0-9a-zA-Z]+)*(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?)?\s*$" (Gem::Version),
/// without the part behind a dash.
fn is_version(text: &str) -> bool {
    let mut parts = text.split('.');
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.next().is_some_and(digits)
        && parts
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}
