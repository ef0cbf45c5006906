//! RubyGems' order, after `Gem::Version`: "If any part contains letters (currently only a-z are
//! supported) then that version is considered prerelease", and sorts before the release.

use std::cmp::Ordering;

/// A part of a version, of its digits or of its letters.
#[derive(Clone, Copy)]
enum Segment<'a> {
    /// Without leading zeros: the longer one is the greater.
    Number(&'a str),
    Letters(&'a str),
}

/// `Gem::Version::VERSION_PATTERN`: numbers and words between dots, and after a hyphen more of
/// them; a hyphen counts as `.pre.`.
fn is_version(text: &str) -> bool {
    let (release, prerelease) = match text.split_once('-') {
        Some((release, prerelease)) => (release, Some(prerelease)),
        None => (text, None),
    };
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let starts = release.starts_with(|first: char| first.is_ascii_digit());
    starts
        && release.split('.').all(word)
        && prerelease.is_none_or(|text| text.split(['.', '-']).all(word))
}

fn segments(text: &str) -> Vec<Segment<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.bytes().next() {
        let same: fn(&u8) -> bool = match first {
            b'0'..=b'9' => u8::is_ascii_digit,
            b'-' => {
                found.push(Segment::Letters("pre"));
                rest = &rest[1..];
                continue;
            }
            _ if first.is_ascii_alphabetic() => u8::is_ascii_alphabetic,
            _ => {
                rest = &rest[1..];
                continue;
            }
        };
        let end = rest
            .bytes()
            .position(|byte| !same(&byte))
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        found.push(match first.is_ascii_digit() {
            true => Segment::Number(word.trim_start_matches('0')),
            false => Segment::Letters(word),
        });
        rest = after;
    }
    canonical(found)
}

/// `canonical_segments`: the zeros at the end of the numbers before the first letters, and at
/// the end of the rest, say nothing.
fn canonical(segments: Vec<Segment<'_>>) -> Vec<Segment<'_>> {
    let letters = segments
        .iter()
        .position(|segment| matches!(segment, Segment::Letters(_)))
        .unwrap_or(segments.len());
    let without_zeros = |part: &[Segment<'_>]| {
        let zeros = part.iter().rev();
        let zeros = zeros.take_while(|segment| matches!(segment, Segment::Number("")));
        part.len() - zeros.count()
    };
    let (numbers, rest) = segments.split_at(letters);
    let (numbers, rest) = (
        &numbers[..without_zeros(numbers)],
        &rest[..without_zeros(rest)],
    );
    numbers.iter().chain(rest).copied().collect()
}

/// None when one of them is no version.
pub(super) fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (a.trim(), b.trim());
    if !is_version(a) || !is_version(b) {
        return None;
    }
    let (a, b) = (segments(a), segments(b));
    for at in 0..a.len().max(b.len()) {
        let zero = Segment::Number("");
        let (left, right) = (a.get(at).unwrap_or(&zero), b.get(at).unwrap_or(&zero));
        let order = match (left, right) {
            (Segment::Number(left), Segment::Number(right)) => {
                left.len().cmp(&right.len()).then_with(|| left.cmp(right))
            }
            (Segment::Letters(left), Segment::Letters(right)) => left.cmp(right),
            (Segment::Letters(_), Segment::Number(_)) => Ordering::Less,
            (Segment::Number(_), Segment::Letters(_)) => Ordering::Greater,
        };
        if order.is_ne() {
            return Some(order);
        }
    }
    Some(Ordering::Equal)
}
