//! Python distributions: `METADATA` of a dist-info (PEP 376, 566) and `PKG-INFO` of an egg.

use model::component::{Ecosystem, EvidenceKind};

use super::found::Found;

/// The headers come first; a description of any length follows.
pub const HEAD_BYTES: u64 = 64 << 10;

/// The distribution that a `METADATA` or `PKG-INFO` is about.
///
/// "The metadata format is … a subset of the RFC 822 headers" (core metadata specifications).
pub fn parse(bytes: &[u8]) -> Option<Found> {
    let (mut name, mut version) = (None, None);
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii_end();
        // The description begins after an empty line.
        if line.is_empty() {
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (key, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let slot = if key.eq_ignore_ascii_case(b"Name") {
            &mut name
        } else if key.eq_ignore_ascii_case(b"Version") {
            &mut version
        } else {
            continue;
        };
        if slot.is_none() {
            *slot = Some(str::from_utf8(value).ok()?);
        }
    }
    Found::new(Ecosystem::PyPi, name?, version?, EvidenceKind::Metadata)
}
