//! Python distributions: `METADATA` of a dist-info (PEP 376, 566) and `PKG-INFO` of an egg, in a
//! directory or in an archive (wheels, zipped eggs), and the copies that a distribution carries in
//! itself, as it declares them.

use model::component::{Ecosystem, EvidenceKind};
use model::value::Reason;

use super::found::{Contents, Found};
use super::lock;
use super::search::{Kind, kind};
use super::source::{Source, malformed};
use super::zip::Budget;

/// The headers come first; a description of any length follows.
pub const HEAD_BYTES: u64 = 64 << 10;

/// pip's own list has 20 lines.
pub const VENDORED_LIMIT_BYTES: u64 = 1 << 20;

/// The names of archives: "{distribution}-{version}(-{build tag})?-{python tag}-{abi tag}-{platform
/// tag}.whl" (binary distribution format), and `.egg` of setuptools.
pub fn is_archive(name: &[u8]) -> bool {
    let is_named = |ending: &[u8]| name.len() > ending.len() && name.ends_with(ending);
    is_named(b".whl") || is_named(b".egg")
}

/// What a wheel or a zipped egg holds: itself, and what it carries.
pub fn scan(source: &dyn Source) -> Contents {
    let mut budget = Budget::default();
    let mut contents = Contents::default();
    let archive = match budget.open(source) {
        Ok(archive) => archive,
        Err(reason) => return Contents::from(Err(reason)),
    };
    for member in &archive.members {
        let split = member.name.iter().rposition(|byte| *byte == b'/');
        let Some(slash) = split else { continue };
        let (directory, name) = (&member.name[..slash], &member.name[slash + 1..]);
        let read = match kind(directory, name) {
            Some(Kind::PythonMetadata) => |bytes: &[u8]| Ok(parse(bytes).into_iter().collect()),
            Some(Kind::PythonVendored) => |bytes: &[u8]| parse_vendored(bytes),
            _ => continue,
        };
        let at = model::printable(&member.name);
        let found = budget.text(&archive, member).and_then(|bytes| read(&bytes));
        match found {
            Ok(found) => found.into_iter().for_each(|found| {
                contents.add(Found {
                    member: Some(at.clone()),
                    ..found
                });
            }),
            Err(reason) => contents.unread(&at, reason),
        }
    }
    contents
}

/// The copies in a `_vendor` directory: `vendor.txt` of pip, `vendored.txt` of setuptools.
pub fn parse_vendored(bytes: &[u8]) -> Result<Vec<Found>, Reason> {
    let text = str::from_utf8(bytes).map_err(|_| malformed("a list that is not UTF-8"))?;
    let (pins, _) = lock::pins(text)?;
    Ok(pins
        .iter()
        // pip takes one module of it, `pkg_resources`, under the name of the whole.
        .filter(|pin| pin.name != "setuptools")
        .filter_map(|pin| {
            let (name, version) = (&pin.name, &pin.version);
            Found::new(Ecosystem::PyPi, name, version, EvidenceKind::Metadata)
        })
        .collect())
}

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
