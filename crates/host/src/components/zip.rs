//! Zip archives (APPNOTE 6.3): the central directory, and single members. Nothing is unpacked to
//! a disk, so a member's name is only ever a name.

use model::count::size;
use model::value::Reason;

use super::inflate;
use super::source::{Source, Window, malformed};

/// The end of an archive, with the longest comment there can be (4.3.16).
const END_BYTES: u64 = 22 + 65_535;
/// The largest jars have some 60,000 members of 100 bytes each.
const DIRECTORY_LIMIT_BYTES: u64 = 64 << 20;
/// DEFLATE can't do better than 1 to 1032; text and programs reach a tenth of that.
const HIGHEST_RATIO: u64 = 200;
/// Small things may well be repetitive.
const FREE_OF_RATIO_BYTES: u64 = 1 << 20;

/// All members of one file's archive, and of those within it.
const MOST_MEMBERS: u64 = 200_000;
/// All that is unpacked of one file. An application server's ear has some hundred MB.
const UNPACKED_LIMIT_BYTES: u64 = 1 << 30;
/// A member that is metadata: `pom.properties` has three lines, a signed manifest has one for each
/// class, and a Python distribution has its whole description in it.
const TEXT_LIMIT_BYTES: u64 = 8 << 20;

/// What is left of the limits of one file, with all archives that lie in it.
pub struct Budget {
    members: u64,
    unpacked_bytes: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            members: MOST_MEMBERS,
            unpacked_bytes: UNPACKED_LIMIT_BYTES,
        }
    }
}

impl Budget {
    pub fn open<'a>(&mut self, source: &'a dyn Source) -> Result<Archive<'a>, Reason> {
        let archive = Archive::open(source, self.members)?;
        self.members -= (archive.members.len() as u64).min(self.members);
        Ok(archive)
    }

    /// A member's content, unpacked to at most `limit_bytes`.
    pub fn content<'a>(
        &mut self,
        archive: &Archive<'a>,
        member: &Member,
        limit_bytes: u64,
    ) -> Result<Content<'a>, Reason> {
        // What is read counts as well: of a member that claims to be empty, that is all.
        let cost_bytes = member.size_bytes.max(member.packed_bytes);
        let left = self.unpacked_bytes.checked_sub(cost_bytes);
        self.unpacked_bytes = left.ok_or_else(|| Reason::Failed {
            why: format!(
                "unpacks to more than the limit of {}",
                size(UNPACKED_LIMIT_BYTES)
            ),
        })?;
        archive.content(member, limit_bytes)
    }

    /// A member that is metadata.
    pub fn text(&mut self, archive: &Archive<'_>, member: &Member) -> Result<Vec<u8>, Reason> {
        self.content(archive, member, TEXT_LIMIT_BYTES)?
            .source()
            .whole(TEXT_LIMIT_BYTES)
    }
}

/// A member, as the central directory has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: Vec<u8>,
    method: u64,
    flags: u64,
    packed_bytes: u64,
    pub size_bytes: u64,
    /// Of its local header, from where the archive begins.
    offset: u64,
}

/// An archive's directory.
pub struct Archive<'a> {
    source: &'a dyn Source,
    /// Bytes before the archive: a script that starts it.
    base: u64,
    pub members: Vec<Member>,
}

/// A member's content: still where it was, or unpacked.
pub enum Content<'a> {
    There(Window<'a>),
    Unpacked(Vec<u8>),
}

impl Content<'_> {
    pub fn source(&self) -> &dyn Source {
        match self {
            Self::There(window) => window,
            Self::Unpacked(bytes) => bytes,
        }
    }
}

impl<'a> Archive<'a> {
    /// Reads the directory, at most `most_members` of it.
    pub fn open(source: &'a dyn Source, most_members: u64) -> Result<Self, Reason> {
        let end_bytes = source.len().min(END_BYTES);
        let tail_at = source.len() - end_bytes;
        let tail = source.read(tail_at, end_bytes)?;
        // 4.3.16: signature 0x06054b50, and a comment that reaches the end of the file.
        let end = (0..tail.len().saturating_sub(21))
            .rev()
            .find(|at| tail[*at..].starts_with(b"PK\x05\x06"))
            .ok_or_else(|| malformed("not a zip archive: it has no central directory"))?;
        let (mut count, mut size, mut offset) = (
            le(&tail, end + 10, 2),
            le(&tail, end + 12, 4),
            le(&tail, end + 16, 4),
        );
        let mut directory_end = tail_at + end as u64;
        // 4.3.15: the locator of the zip64 end stands right before.
        if let Some(at) = directory_end.checked_sub(20)
            && let locator = source.read(at, 20)?
            && locator.starts_with(b"PK\x06\x07")
        {
            let at = le(&locator, 8, 8);
            let end = source.read(at, 56)?;
            if !end.starts_with(b"PK\x06\x06") {
                return Err(malformed(
                    "a zip archive whose zip64 end is not where it says",
                ));
            }
            (count, size, offset) = (le(&end, 32, 8), le(&end, 40, 8), le(&end, 48, 8));
            directory_end = at;
        }
        if count > most_members {
            return Err(Reason::Failed {
                why: format!("{count} members are over the limit of {most_members}"),
            });
        }
        if size > DIRECTORY_LIMIT_BYTES {
            return Err(Reason::TooLarge {
                size_bytes: size,
                limit_bytes: DIRECTORY_LIMIT_BYTES,
            });
        }
        let base = directory_end
            .checked_sub(size)
            .and_then(|start| start.checked_sub(offset))
            .ok_or_else(|| malformed("a zip archive whose directory is not where it says"))?;
        let directory = source.read(base + offset, size)?;
        let members = members(&directory, most_members)?;
        Ok(Self {
            source,
            base,
            members,
        })
    }

    /// A member's content, unpacked to at most `limit_bytes`.
    pub fn content(&self, member: &Member, limit_bytes: u64) -> Result<Content<'a>, Reason> {
        if member.flags & 1 != 0 {
            return Err(malformed("encrypted"));
        }
        if member.size_bytes > limit_bytes {
            return Err(Reason::TooLarge {
                size_bytes: member.size_bytes,
                limit_bytes,
            });
        }
        if member.size_bytes > FREE_OF_RATIO_BYTES
            && member.size_bytes / HIGHEST_RATIO > member.packed_bytes
        {
            return Err(Reason::Failed {
                why: format!(
                    "{} claim to be {}: a zip bomb",
                    size(member.packed_bytes),
                    size(member.size_bytes)
                ),
            });
        }
        // Nothing, deflated, is one empty block of two bytes (RFC 1951, 3.2.6).
        if member.size_bytes == 0 && member.packed_bytes > 2 {
            return Err(malformed("a member that claims to be empty, and is not"));
        }
        let not_there = || malformed("a member is not where the directory says");
        let at = self.base.checked_add(member.offset).ok_or_else(not_there)?;
        // 4.3.7: the local header has a name and extra fields of its own length.
        let header = self.source.read(at, 30)?;
        if !header.starts_with(b"PK\x03\x04") {
            return Err(not_there());
        }
        let offset = at + 30 + le(&header, 26, 2) + le(&header, 28, 2);
        let window = Window {
            of: self.source,
            offset,
            size_bytes: member.packed_bytes,
        };
        match member.method {
            0 if member.packed_bytes == member.size_bytes => Ok(Content::There(window)),
            8 => {
                let packed = window.whole(limit_bytes)?;
                let limit = usize::try_from(member.size_bytes).unwrap_or(usize::MAX);
                inflate::raw(&packed, limit).map(Content::Unpacked)
            }
            other => Err(malformed(format!(
                "packed by a method that is not read ({other})"
            ))),
        }
    }
}

/// 4.3.12: the headers of the central directory.
fn members(directory: &[u8], most_members: u64) -> Result<Vec<Member>, Reason> {
    let mut members = Vec::new();
    let mut rest = directory;
    while rest.starts_with(b"PK\x01\x02") {
        let name_bytes = le(rest, 28, 2) as usize;
        let extra_bytes = le(rest, 30, 2) as usize;
        let length = 46 + name_bytes + extra_bytes + le(rest, 32, 2) as usize;
        if rest.len() < length {
            return Err(malformed("a zip archive's directory is cut off"));
        }
        // An archive may have more than its end says.
        if members.len() as u64 == most_members {
            return Err(Reason::Failed {
                why: format!("more members than the limit of {most_members}"),
            });
        }
        let mut member = Member {
            name: rest[46..46 + name_bytes].to_vec(),
            flags: le(rest, 8, 2),
            method: le(rest, 10, 2),
            packed_bytes: le(rest, 20, 4),
            size_bytes: le(rest, 24, 4),
            offset: le(rest, 42, 4),
        };
        zip64(
            &mut member,
            &rest[46 + name_bytes..46 + name_bytes + extra_bytes],
        );
        members.push(member);
        rest = &rest[length..];
    }
    Ok(members)
}

/// 4.5.3: the fields that are too large for their place, in this order.
fn zip64(member: &mut Member, extra: &[u8]) {
    let mut rest = extra;
    while rest.len() >= 4 {
        let (id, size) = (le(rest, 0, 2), le(rest, 2, 2) as usize);
        let Some(field) = rest.get(4..4 + size) else {
            return;
        };
        if id == 1 {
            let mut at = 0;
            for value in [
                &mut member.size_bytes,
                &mut member.packed_bytes,
                &mut member.offset,
            ] {
                if *value == 0xffff_ffff && field.len() >= at + 8 {
                    *value = le(field, at, 8);
                    at += 8;
                }
            }
        }
        rest = &rest[4 + size..];
    }
}

fn le(bytes: &[u8], at: usize, size: usize) -> u64 {
    super::elf::number(bytes, at, size, false)
}
