//! Layers as tar archives (POSIX.1-2017 pax interchange format, ustar, and GNU's long names),
//! packed or not. They are read from front to back, and a member is held in memory only when it
//! may speak of components.

use std::collections::{BTreeMap, BTreeSet};

use model::value::Reason;

use super::layer::{Layer, LayerFile, MOST_FILES, Read, Role, held_bytes, role};
use super::stream::Stream;
use crate::components::elf::MAGIC;
use crate::components::found::Contents;
use crate::components::read::contents;
use crate::components::rust;
use crate::components::search::Kind;
use crate::components::source::{Source, malformed};

const BLOCK: usize = 512;
/// A member that is held in memory.
const MEMBER_LIMIT_BYTES: u64 = 256 << 20;
/// A database or a list of a package manager, which is kept until the image is looked at: what a
/// layer that is a directory may have.
const DATABASE_LIMIT_BYTES: u64 = 64 << 20;
/// A path has at most 4,096 bytes on Linux (limits.h, PATH_MAX); a sum and blanks may stand before it.
const LONGEST_LINE_BYTES: usize = 4096 + 34;
/// A long name, or the records of a pax header.
const HEADER_LIMIT_BYTES: u64 = 1 << 20;

/// Reads a layer's archive into it.
pub fn read(source: &dyn Source, layer: &mut Layer) -> Result<(), Reason> {
    let mut crates = Crates::default();
    let read = members(source, layer, &mut crates);
    crates.end(layer);
    read
}

/// Crates that `cargo vendor` copied: two files in each directory, of which either comes first.
#[derive(Default)]
struct Crates {
    manifests: BTreeMap<Vec<u8>, Contents>,
    from_registry: BTreeSet<Vec<u8>>,
}

impl Crates {
    /// What is held counts on the layer, whether a file of sums comes or not.
    fn take(
        &mut self,
        layer: &mut Layer,
        directory: Vec<u8>,
        name: &[u8],
        bytes: Vec<u8>,
    ) -> Result<(), Reason> {
        let role = Role::Speaks(Kind::CargoVendored);
        if name == rust::MANIFEST.as_bytes() {
            let contents = contents(Kind::CargoVendored, &bytes, name);
            layer.keep(held_bytes(&directory, name, Some(role)) + contents.held_bytes() as u64)?;
            self.manifests.insert(directory, contents);
        } else if rust::is_from_registry(&bytes) == Ok(true) {
            layer.keep(held_bytes(&directory, name, Some(role)))?;
            self.from_registry.insert(directory);
        }
        Ok(())
    }

    fn end(self, layer: &mut Layer) {
        for (directory, contents) in self.manifests {
            if self.from_registry.contains(&directory) {
                let path = super::layer::join(&directory, rust::MANIFEST.as_bytes());
                let role = Role::Speaks(Kind::CargoVendored);
                let file = LayerFile::held(role, Read::Contents(contents));
                layer.files.insert(path, file);
            }
        }
    }
}

fn members(source: &dyn Source, layer: &mut Layer, crates: &mut Crates) -> Result<(), Reason> {
    let mut stream = Stream::open(source)?;
    let mut long_name: Option<Vec<u8>> = None;
    let mut long_size: Option<u64> = None;
    loop {
        let header = stream.take(BLOCK as u64)?;
        // "At the end of the archive file there shall be two 512-byte blocks filled with binary
        // zeros"; some writers leave them out.
        if header.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        if header.len() < BLOCK {
            return Err(malformed("the archive is cut off"));
        }
        if !is_header(&header) {
            return Err(malformed("not a tar archive"));
        }
        let size = match long_size.take() {
            Some(size) => size,
            None => number(&header[124..136])?,
        };
        let kind = header[156];
        match kind {
            // GNU: the name of the next member.
            b'L' => long_name = Some(until_nul(&body(&mut stream, size)?).to_vec()),
            b'x' => {
                let records = body(&mut stream, size)?;
                long_name = pax(&records, b"path").map(<[u8]>::to_vec).or(long_name);
                long_size =
                    pax(&records, b"size").and_then(|text| str::from_utf8(text).ok()?.parse().ok());
            }
            // A link's long target, and headers for all members: not of interest.
            b'K' | b'g' => stream.skip(padded(size))?,
            _ => {
                let name = long_name.take().unwrap_or_else(|| name(&header));
                let mode = number(&header[100..108]).unwrap_or(0);
                let head = Head {
                    name: &name,
                    kind,
                    mode,
                    size,
                };
                member(&mut stream, layer, crates, &head)?;
            }
        }
    }
}

/// What a header says of its member.
struct Head<'a> {
    name: &'a [u8],
    kind: u8,
    mode: u64,
    size: u64,
}

fn member(
    stream: &mut Stream<'_>,
    layer: &mut Layer,
    crates: &mut Crates,
    head: &Head<'_>,
) -> Result<(), Reason> {
    let Head {
        name,
        kind,
        mode,
        size,
    } = *head;
    let is_regular = matches!(kind, 0 | b'0' | b'7');
    // Links and devices have no content, whatever their size says.
    let size = if is_regular { size } else { 0 };
    let Some((directory, name)) = place(name) else {
        return stream.skip(padded(size));
    };
    layer.keep(held_bytes(&directory, &name, None))?;
    if kind == b'5' || layer.whiteout(&directory, &name) {
        return stream.skip(padded(size));
    }
    if layer.taken.len() > MOST_FILES {
        return Err(Reason::Failed {
            why: format!("more than {MOST_FILES} files"),
        });
    }
    let path = super::layer::join(&directory, &name);
    layer.taken.insert(path.clone().into());
    let role = match name == rust::MANIFEST.as_bytes() {
        // Which crate it is; whether it is a copy, the file beside it says.
        true => (size <= rust::VENDORED_LIMIT_BYTES).then_some(Role::Speaks(Kind::CargoVendored)),
        false => role(&directory, &name, mode & 0o111 != 0),
    };
    let Some(role) = role.filter(|_| is_regular && size > 0) else {
        return stream.skip(padded(size));
    };
    let mut unread = size;
    let read = match role {
        Role::Speaks(Kind::Program) => {
            // Most programs are no ELF files, and need not be held.
            let first = stream.take(size.min(4))?;
            unread -= first.len() as u64;
            if first != MAGIC {
                return stream.skip(unread.saturating_add(padding(size)));
            }
            first
        }
        _ => Vec::new(),
    };
    let limit_bytes = match role {
        Role::Speaks(_) => MEMBER_LIMIT_BYTES,
        _ => DATABASE_LIMIT_BYTES,
    };
    if size > limit_bytes {
        layer.unread = Some(Reason::Failed {
            why: format!(
                "`{}` is larger than the limit of {}",
                model::printable(&path),
                model::count::size(limit_bytes)
            ),
        });
        return stream.skip(unread.saturating_add(padding(size)));
    }
    let mut bytes = [read, stream.take(unread)?].concat();
    if bytes.len() as u64 != size {
        return Err(malformed("the archive is cut off"));
    }
    stream.skip(padding(size))?;
    if role == Role::List {
        bytes = speaking(&bytes);
    }
    if !matches!(role, Role::Speaks(_)) {
        layer.keep(bytes.len() as u64)?;
    }
    let read = match role {
        Role::Speaks(Kind::CargoVendored) => {
            return crates.take(layer, directory, &name, bytes);
        }
        Role::Speaks(kind) => {
            let contents = contents(kind, &bytes, &name);
            layer.keep(contents.held_bytes() as u64)?;
            Read::Contents(contents)
        }
        _ => Read::Bytes(bytes),
    };
    layer.keep(held_bytes(&directory, &name, Some(role)))?;
    layer.files.insert(path, LayerFile::held(role, read));
    Ok(())
}

/// Of a package's list, the lines that anybody can ask for: nobody asks who has a manual page.
fn speaking(list: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut from = 0;
    let ends = memchr::memchr_iter(b'\n', list).chain([list.len()]);
    for end in ends {
        let line = &list[from..end];
        from = end + 1;
        let slash = memchr::memrchr(b'/', line).unwrap_or(0);
        let (directory, name) = (&line[..slash], &line[slash..]);
        let name = name.strip_prefix(b"/").unwrap_or(name);
        let speaks = (1..=LONGEST_LINE_BYTES).contains(&line.len())
            && (name == rust::MANIFEST.as_bytes()
                || matches!(role(directory, name, true), Some(Role::Speaks(_))));
        if speaks {
            kept.extend_from_slice(line);
            kept.push(b'\n');
        }
    }
    kept
}

fn body(stream: &mut Stream<'_>, size: u64) -> Result<Vec<u8>, Reason> {
    if size > HEADER_LIMIT_BYTES {
        return Err(malformed("a tar archive with a name that is too long"));
    }
    let body = stream.take(size)?;
    stream.skip(padding(size))?;
    Ok(body)
}

fn padded(size: u64) -> u64 {
    size.saturating_add(padding(size))
}

/// What fills the last block.
fn padding(size: u64) -> u64 {
    let block = BLOCK as u64;
    (block - size % block) % block
}

/// "The chksum field shall be … the simple sum of all bytes in the header logical record", the
/// field itself taken as spaces.
fn is_header(header: &[u8]) -> bool {
    let sum = |range: &[u8]| range.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let wanted = sum(&header[..148]) + 8 * u64::from(b' ') + sum(&header[156..]);
    number(&header[148..156]) == Ok(wanted)
}

/// Octal digits, or GNU's base-256 behind a set high bit.
fn number(field: &[u8]) -> Result<u64, Reason> {
    let bad = || malformed("a tar archive with a bad number");
    if field[0] & 0x80 != 0 {
        // The second bit is the sign. A number that is cut would hide what it is about.
        let first = u64::from(field[0] & 0x7f);
        let digits = field[1..].iter();
        return digits
            .map(|byte| u64::from(*byte))
            .try_fold(first, |number, digit| {
                let fits = number >> 56 == 0 && field[0] & 0x40 == 0;
                fits.then_some(number << 8 | digit)
            })
            .ok_or_else(bad);
    }
    let text = str::from_utf8(until_nul(field)).unwrap_or("x").trim();
    if text.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(text, 8).map_err(|_| bad())
}

fn name(header: &[u8]) -> Vec<u8> {
    let name = until_nul(&header[..100]);
    let is_ustar = header[257..].starts_with(b"ustar\0");
    match until_nul(&header[345..500]) {
        prefix if is_ustar && !prefix.is_empty() => [prefix, b"/", name].concat(),
        _ => name.to_vec(),
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A record: "%d %s=%s\n", the length of it first.
fn pax<'a>(records: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut rest = records;
    loop {
        let blank = rest.iter().position(|byte| *byte == b' ')?;
        let length: usize = str::from_utf8(&rest[..blank]).ok()?.parse().ok()?;
        let record = rest.get(blank + 1..length)?;
        let value = record
            .strip_prefix(wanted)
            .and_then(|record| record.strip_prefix(b"="));
        if let Some(value) = value {
            return Some(value.strip_suffix(b"\n").unwrap_or(value));
        }
        rest = &rest[length..];
    }
}

/// The directory from the image's root, and the name in it; none for the root itself and for
/// a path that climbs.
fn place(name: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            part => parts.push(part),
        }
    }
    let name = parts.pop()?;
    Some(([b"/", parts.join(&b'/').as_slice()].concat(), name.to_vec()))
}
