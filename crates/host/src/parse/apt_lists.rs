//! What apt keeps of its sources in `/var/lib/apt/lists`: who published them (`Release`,
//! `InRelease`), and which versions they have (`Packages`, up to a hundred megabytes, so that
//! only what somebody asks about is looked at).

use std::collections::HashMap;

use memchr::memmem::Finder;

/// Who published a source, as its Release file says. Debian's security archive has the origin of
/// the others and a label of its own, which is said then.
pub fn parse_origin(bytes: &[u8]) -> Option<String> {
    let (mut origin, mut label) = (None, None);
    for line in bytes.split(|byte| *byte == b'\n') {
        let slot = if line.starts_with(b"Origin:") {
            &mut origin
        } else if line.starts_with(b"Label:") {
            &mut label
        } else if line.first() == Some(&b' ') {
            // The list of files has begun, and the signature comes after it.
            break;
        } else {
            continue;
        };
        let value = line.splitn(2, |byte| *byte == b':').nth(1);
        let value = value.and_then(|value| str::from_utf8(value).ok());
        *slot = value.map(|value| value.trim().to_owned());
    }
    match (origin.filter(|origin| !origin.is_empty()), label) {
        (Some(origin), Some(label)) if label.starts_with(&origin) => Some(label),
        (origin, _) => origin,
    }
}

/// Installed packages that are looked for: their places by name. One name can have several
/// architectures.
pub type Wanted<'a> = HashMap<&'a [u8], Vec<usize>>;

/// One package of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed<'a> {
    pub version: &'a [u8],
    pub architecture: &'a [u8],
}

/// Calls `each` with every package of `Packages` bytes that is wanted. The bytes may end in the
/// middle: returned is how many were dealt with, which is all when `is_last`.
pub fn find_versions<'a>(
    bytes: &'a [u8],
    is_last: bool,
    wanted: &Wanted<'_>,
    each: &mut impl FnMut(usize, &Listed<'a>),
) -> usize {
    // A stanza begins with its package's name (Debian Policy, 5.1; apt writes them so too).
    let start = Finder::new(b"Package: ");
    let mut at = 0;
    loop {
        let Some(found) = start.find(&bytes[at..]) else {
            // The beginning of a mark may be the end of these bytes.
            return match is_last {
                true => bytes.len(),
                false => at.max(bytes.len().saturating_sub(b"Package: ".len())),
            };
        };
        let stanza = at + found;
        let is_start = stanza == 0 || bytes[stanza - 1] == b'\n';
        let name_at = stanza + b"Package: ".len();
        let Some(end) = memchr::memchr(b'\n', &bytes[name_at..]) else {
            return if is_last { bytes.len() } else { stanza };
        };
        at = name_at + end;
        let Some(places) = wanted
            .get(bytes[name_at..at].trim_ascii())
            .filter(|_| is_start)
        else {
            continue;
        };
        let length = memchr::memmem::find(&bytes[at..], b"\n\n");
        if length.is_none() && !is_last {
            return stanza;
        }
        let fields = &bytes[at..length.map_or(bytes.len(), |length| at + length)];
        let mut listed = Listed::default();
        for line in fields.split(|byte| *byte == b'\n') {
            if let Some(version) = line.strip_prefix(b"Version:") {
                listed.version = version.trim_ascii();
            } else if let Some(architecture) = line.strip_prefix(b"Architecture:") {
                listed.architecture = architecture.trim_ascii();
            }
        }
        for place in places {
            each(*place, &listed);
        }
        at += fields.len();
    }
}
