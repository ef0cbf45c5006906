//! ELF files, as far as sections and loaded segments go (System V ABI, chapters 4 and 5): where
//! a compiler has put what it knows.

use model::value::Reason;

use super::source::{Source, malformed};

pub const MAGIC: &[u8; 4] = b"\x7fELF";

/// A program has some forty; one with a section for each function has thousands.
const MOST_HEADERS: u64 = 65_535;
/// The names of all sections.
const NAMES_LIMIT_BYTES: u64 = 4 << 20;

/// An ELF file's tables.
pub struct Elf<'a> {
    source: &'a dyn Source,
    pub is_64: bool,
    pub is_big_endian: bool,
    sections: Vec<Section>,
    segments: Vec<Segment>,
    names: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Section {
    name: usize,
    /// SHT_NOBITS: it takes no room in the file.
    is_empty: bool,
    offset: u64,
    size: u64,
}

/// A part of the file that is loaded at an address.
#[derive(Clone, Copy, Debug)]
struct Segment {
    offset: u64,
    address: u64,
    size: u64,
    is_writable: bool,
}

impl<'a> Elf<'a> {
    /// None when it is no ELF file.
    pub fn parse(source: &'a dyn Source) -> Result<Option<Self>, Reason> {
        if source.len() < 52 {
            return Ok(None);
        }
        let head = source.beginning(64)?;
        if !head.starts_with(MAGIC) {
            return Ok(None);
        }
        // e_ident[EI_CLASS] and e_ident[EI_DATA].
        let (is_64, is_big_endian) = match (head[4], head[5]) {
            (1, 1) => (false, false),
            (1, 2) => (false, true),
            (2, 1) if head.len() == 64 => (true, false),
            (2, 2) if head.len() == 64 => (true, true),
            _ => return Err(malformed("an ELF file of no known class")),
        };
        let mut elf = Self {
            source,
            is_64,
            is_big_endian,
            sections: Vec::new(),
            segments: Vec::new(),
            names: Vec::new(),
        };
        let (segments_at, sections_at, counts) = match is_64 {
            true => (elf.word(&head, 32), elf.word(&head, 40), 54),
            false => (elf.word(&head, 28), elf.word(&head, 32), 42),
        };
        let half = |at: usize| elf.number(&head, at, 2);
        let (segment_size, segments) = (half(counts), half(counts + 2));
        let (section_size, sections, names) =
            (half(counts + 4), half(counts + 6), half(counts + 8));
        elf.segments = elf.read_segments(segments_at, segment_size, segments)?;
        elf.read_sections(sections_at, section_size, sections, names)?;
        Ok(Some(elf))
    }

    fn read_segments(&self, at: u64, size: u64, count: u64) -> Result<Vec<Segment>, Reason> {
        let least = if self.is_64 { 56 } else { 32 };
        if at == 0 || count == 0 || size < least {
            return Ok(Vec::new());
        }
        let table = self.source.read(at, size.saturating_mul(count))?;
        let (flags, offset, address, length) = match self.is_64 {
            true => (4, 8, 16, 32),
            false => (24, 4, 8, 16),
        };
        let entries = table.chunks_exact(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(entries
            // PT_LOAD
            .filter(|entry| self.number(entry, 0, 4) == 1)
            .map(|entry| Segment {
                offset: self.word(entry, offset),
                address: self.word(entry, address),
                size: self.word(entry, length),
                // PF_W
                is_writable: self.number(entry, flags, 4) & 2 != 0,
            })
            .collect())
    }

    fn read_sections(&mut self, at: u64, size: u64, count: u64, names: u64) -> Result<(), Reason> {
        let least = if self.is_64 { 64 } else { 40 };
        // A program may be without any: its sections were stripped off.
        if at == 0 || size < least {
            return Ok(());
        }
        let (offset, length, link) = match self.is_64 {
            true => (24, 32, 40),
            false => (16, 20, 24),
        };
        // "If the number of sections is greater than or equal to SHN_LORESERVE, … the actual
        // number is contained in the sh_size field of the section header at index 0", and the
        // index of the names in its sh_link.
        let (count, names) = if count == 0 || names == 0xffff {
            let first = self.source.read(at, size)?;
            let real =
                |said: u64, none: u64, instead: u64| if said == none { instead } else { said };
            (
                real(count, 0, self.word(&first, length)),
                real(names, 0xffff, self.number(&first, link, 4)),
            )
        } else {
            (count, names)
        };
        if count > MOST_HEADERS {
            return Err(malformed("an ELF file with too many sections"));
        }
        let table = self.source.read(at, size * count)?;
        let entries = table.chunks_exact(usize::try_from(size).unwrap_or(usize::MAX));
        self.sections = entries
            .map(|entry| Section {
                name: usize::try_from(self.number(entry, 0, 4)).unwrap_or(usize::MAX),
                // SHT_NULL and SHT_NOBITS
                is_empty: matches!(self.number(entry, 4, 4), 0 | 8),
                offset: self.word(entry, offset),
                size: self.word(entry, length),
            })
            .collect();
        let names = usize::try_from(names).unwrap_or(usize::MAX);
        if let Some(section) = self.sections.get(names).filter(|section| !section.is_empty) {
            if section.size > NAMES_LIMIT_BYTES {
                return Err(malformed(
                    "the names of an ELF file's sections are too long",
                ));
            }
            self.names = self.source.read(section.offset, section.size)?;
        }
        Ok(())
    }

    /// The content of the section of this name; none when there is none.
    pub fn section(&self, name: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, Reason> {
        let Some(section) = self.find(name) else {
            return Ok(None);
        };
        if section.size > limit_bytes {
            return Err(Reason::TooLarge {
                size_bytes: section.size,
                limit_bytes,
            });
        }
        self.source.read(section.offset, section.size).map(Some)
    }

    /// A part of it, as far as it goes; none when there is no such section.
    pub fn part_of_section(
        &self,
        name: &str,
        from: u64,
        size: u64,
    ) -> Result<Option<Vec<u8>>, Reason> {
        let Some(section) = self.find(name) else {
            return Ok(None);
        };
        let Some(left) = section.size.checked_sub(from) else {
            return Ok(None);
        };
        let offset = section.offset.saturating_add(from);
        self.source.read(offset, left.min(size)).map(Some)
    }

    fn find(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| {
            !section.is_empty
                && self.names.get(section.name..).is_some_and(|text| {
                    text.strip_prefix(name.as_bytes())
                        .is_some_and(|rest| rest.first() == Some(&0))
                })
        })
    }

    /// The beginning of the first segment that can be written to, where Go's linker puts what
    /// it knows when there are no sections.
    pub fn data(&self, limit_bytes: u64) -> Result<Option<Vec<u8>>, Reason> {
        let segment = self.segments.iter().find(|segment| segment.is_writable);
        let read = |segment: &Segment| {
            self.source
                .read(segment.offset, segment.size.min(limit_bytes))
        };
        segment.map(read).transpose()
    }

    /// `size` bytes of what is loaded at `address`.
    pub fn at(&self, address: u64, size: u64) -> Result<Vec<u8>, Reason> {
        let segment = self.segments.iter().find_map(|segment| {
            let inside = address.checked_sub(segment.address)?;
            let enough = inside.checked_add(size)? <= segment.size;
            enough.then(|| segment.offset.checked_add(inside))?
        });
        let offset = segment.ok_or_else(|| malformed("an address that is not in the file"))?;
        self.source.read(offset, size)
    }

    /// A number of the file's own width and byte order.
    pub fn word(&self, bytes: &[u8], at: usize) -> u64 {
        self.number(bytes, at, if self.is_64 { 8 } else { 4 })
    }

    /// Zero where the bytes end before it.
    fn number(&self, bytes: &[u8], at: usize, size: usize) -> u64 {
        number(bytes, at, size, self.is_big_endian)
    }
}

/// Zero where the bytes end before it.
pub fn number(bytes: &[u8], at: usize, size: usize, is_big_endian: bool) -> u64 {
    let Some(digits) = bytes.get(at..).and_then(|rest| rest.get(..size)) else {
        return 0;
    };
    let shift = |number: u64, digit: &u8| number << 8 | u64::from(*digit);
    match is_big_endian {
        true => digits.iter().fold(0, shift),
        false => digits.iter().rev().fold(0, shift),
    }
}
