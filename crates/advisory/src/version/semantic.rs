//! Semantic Versioning 2.0.0, section 11, and what Go makes of it.

use std::borrow::Cow;
use std::cmp::Ordering;

use semver::Version;

/// None when one of them is no version. Build metadata "MUST be ignored when determining version
/// precedence" (section 10).
pub(super) fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (Version::parse(a).ok()?, Version::parse(b).ok()?);
    Some(a.cmp_precedence(&b))
}

/// Go's modules write `v1.2.3`, its own releases `go1.22rc1`, and its vulnerability database
/// neither (Go Modules Reference, Versions; https://go.dev/doc/modules/version-numbers).
pub(super) fn compare_go(a: &str, b: &str) -> Option<Ordering> {
    compare(&go(a), &go(b))
}

/// The same left-most number that isn't zero (The Cargo Book, Specifying Dependencies, "Caret
/// requirements").
pub(super) fn is_compatible(from: &str, to: &str) -> bool {
    let (Ok(from), Ok(to)) = (Version::parse(from), Version::parse(to)) else {
        return false;
    };
    let key = |version: &Version| match (version.major, version.minor) {
        (0, 0) => (0, 0, version.patch),
        (0, minor) => (0, minor, 0),
        (major, _) => (major, 0, 0),
    };
    key(&from) == key(&to)
}

/// Of Go's versions.
pub(super) fn has_same_major(from: &str, to: &str) -> bool {
    let (Ok(from), Ok(to)) = (Version::parse(&go(from)), Version::parse(&go(to))) else {
        return false;
    };
    from.major == to.major
}

pub(super) fn is_prerelease(version: &str) -> bool {
    Version::parse(&go(version)).is_ok_and(|version| !version.pre.is_empty())
}

fn go(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let text = text.strip_prefix("go").unwrap_or(text);
    if Version::parse(text).is_ok() {
        return Cow::Borrowed(text);
    }
    let end = text
        .find(|letter: char| letter != '.' && !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (numbers, before) = text.split_at(end);
    let missing = match numbers.matches('.').count() {
        0 => ".0.0",
        1 => ".0",
        _ => "",
    };
    let digits = before.find(|letter: char| letter.is_ascii_digit());
    Cow::Owned(match (before.is_empty(), digits) {
        (true, _) => format!("{numbers}{missing}"),
        (false, Some(at)) if before[..at].bytes().all(|byte| byte.is_ascii_lowercase()) => {
            format!("{numbers}{missing}-{}.{}", &before[..at], &before[at..])
        }
        _ => format!("{numbers}{missing}{before}"),
    })
}
