//! Asks an index in place. Every place that a row names is checked before it is followed: a
//! damaged file is an error, never a wrong answer that nobody notices.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use model::Digest;

use super::{
    ARTIFACT, CHECKSUM, FIXED, Feed, IndexError, NO_DAY, NO_TIME, SECTIONS, Section, checksum,
    flag, point, width,
};
use crate::matching::range::Point;
use crate::record::{CveId, Epss, Exploited, VexStatus};

/// How an advisory names a vulnerability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By its id, or as an alias: it is about this one.
    Itself,
    /// Among those that it bundles, or that are related to it.
    Among,
}

/// The head of an index.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a> {
    head: &'a [u8],
    sections: [&'a [u8]; SECTIONS],
}

const BROKEN: IndexError = IndexError::Damaged("a row names a place that isn't there");

fn u32_at(row: &[u8], at: usize) -> Result<u32, IndexError> {
    let bytes = row.get(at..at + 4).ok_or(BROKEN)?;
    Ok(u32::from_le_bytes(bytes.try_into().map_err(|_| BROKEN)?))
}

fn u64_at(row: &[u8], at: usize) -> Result<u64, IndexError> {
    let bytes = row.get(at..at + 8).ok_or(BROKEN)?;
    Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| BROKEN)?))
}

#[expect(clippy::cast_possible_wrap, reason = "it was written as its bits")]
fn date_at(row: &[u8], at: usize) -> Result<Option<Date>, IndexError> {
    match u32_at(row, at)? as i32 {
        NO_DAY => Ok(None),
        days => {
            let epoch = Date::constant(1970, 1, 1);
            let span = jiff::Span::new().try_days(days).map_err(|_| BROKEN)?;
            epoch.checked_add(span).map(Some).map_err(|_| BROKEN)
        }
    }
}

#[expect(clippy::cast_possible_wrap, reason = "it was written as its bits")]
fn time_at(row: &[u8], at: usize) -> Result<Option<Timestamp>, IndexError> {
    match u64_at(row, at)? as i64 {
        NO_TIME => Ok(None),
        seconds => Timestamp::from_second(seconds)
            .map(Some)
            .map_err(|_| BROKEN),
    }
}

/// A row of a table.
fn row(table: &[u8], width: usize, at: u32) -> Result<&[u8], IndexError> {
    let start = (at as usize).checked_mul(width).ok_or(BROKEN)?;
    table.get(start..start + width).ok_or(BROKEN)
}

/// The first row for which `order` is not `Less`; rows are sorted.
fn first_row(
    table: &[u8],
    width: usize,
    mut order: impl FnMut(&[u8]) -> Result<Ordering, IndexError>,
) -> Result<u32, IndexError> {
    let (mut low, mut high) = (0, u32::try_from(table.len() / width).map_err(|_| BROKEN)?);
    while low < high {
        let middle = low + (high - low) / 2;
        match order(row(table, width, middle)?)? {
            Ordering::Less => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

impl<'a> Index<'a> {
    /// Opens the head, whose length [`super::head_length`] tells. Its checksum is checked: a
    /// flipped bit is no advisory that is missing.
    ///
    /// # Errors
    /// When it is not as it was written.
    pub fn open(head: &'a [u8]) -> Result<Self, IndexError> {
        let written = head.get(CHECKSUM).ok_or(IndexError::NotOne)?;
        let body = head.get(CHECKSUM.end..).ok_or(IndexError::NotOne)?;
        if checksum(body) != written {
            return Err(IndexError::Damaged("its checksum is another"));
        }
        Self::opened(head)
    }

    /// Opens a head again that [`Self::open`] has seen.
    ///
    /// # Errors
    /// As with the others, when it is damaged.
    pub fn opened(head: &'a [u8]) -> Result<Self, IndexError> {
        let mut sections = [[].as_slice(); SECTIONS];
        for (number, section) in sections.iter_mut().enumerate() {
            let at = FIXED + number * 16;
            let place = |at| usize::try_from(u64_at(head, at)?).map_err(|_| BROKEN);
            let (start, length) = (place(at)?, place(at + 8)?);
            let end = start.checked_add(length).ok_or(BROKEN)?;
            *section = head.get(start..end).ok_or(BROKEN)?;
        }
        Ok(Self { head, sections })
    }

    fn table(&self, section: Section) -> &'a [u8] {
        self.sections[section as usize]
    }

    fn string(&self, place: u32) -> Result<&'a str, IndexError> {
        let heap = self.table(Section::Strings);
        let at = place as usize;
        let start = at + 4;
        let length = u32_at(heap, at)? as usize;
        let bytes = heap.get(start..start + length).ok_or(BROKEN)?;
        str::from_utf8(bytes).map_err(|_| BROKEN)
    }

    /// What feed this is of.
    ///
    /// # Errors
    /// When the index is damaged; so with the others.
    pub fn feed(&self) -> Result<Feed, IndexError> {
        serde_json::from_slice(self.table(Section::Meta)).map_err(|_| BROKEN)
    }

    /// The digest of its head, by which it is known.
    pub fn digest(&self) -> Digest {
        Digest::of(self.head)
    }

    /// Of an ecosystem that the feed speaks of: the newest publication among its advisories.
    pub fn covers(&self, ecosystem: &str) -> Result<Option<Option<Date>>, IndexError> {
        let table = self.table(Section::Coverage);
        let order = |row: &[u8]| Ok(self.string(u32_at(row, 0)?)?.cmp(ecosystem));
        let at = first_row(table, width::COVERAGE, order)?;
        match row(table, width::COVERAGE, at) {
            Ok(row) if self.string(u32_at(row, 0)?)? == ecosystem => Ok(Some(date_at(row, 4)?)),
            _ => Ok(None),
        }
    }

    /// The ecosystems that the feed speaks of, each with the number of its entries.
    pub fn coverage(&self) -> Result<Vec<(&'a str, u32)>, IndexError> {
        let rows = self.table(Section::Coverage).chunks_exact(width::COVERAGE);
        rows.map(|row| Ok((self.string(u32_at(row, 0)?)?, u32_at(row, 8)?)))
            .collect()
    }

    /// The newest publication of all.
    pub fn newest_publication(&self) -> Result<Option<Date>, IndexError> {
        let mut newest = None;
        for row in self.table(Section::Coverage).chunks_exact(width::COVERAGE) {
            newest = newest.max(date_at(row, 4)?);
        }
        Ok(newest)
    }

    /// What the feed says of a package: its name in the ecosystem's normal form.
    pub fn entries(&self, ecosystem: &str, name: &str) -> Result<Entries<'a>, IndexError> {
        let table = self.table(Section::Packages);
        let order = |row: &[u8]| {
            let first = self.string(u32_at(row, 0)?)?.cmp(ecosystem);
            Ok(match first {
                Ordering::Equal => self.string(u32_at(row, 4)?)?.cmp(name),
                other => other,
            })
        };
        let at = first_row(table, width::PACKAGE, order)?;
        let (mut next, mut left) = (0, 0);
        if !name.starts_with(ARTIFACT)
            && let Ok(row) = row(table, width::PACKAGE, at)
            && self.string(u32_at(row, 0)?)? == ecosystem
            && self.string(u32_at(row, 4)?)? == name
        {
            (next, left) = (u32_at(row, 8)?, u32_at(row, 12)?);
        }
        Ok(Entries {
            index: *self,
            next,
            left,
        })
    }

    /// What the feed says of Maven's packages of this artifact, whatever their groups: each group
    /// with its entries.
    pub fn groups_of(&self, artifact: &str) -> Result<Vec<(&'a str, Entries<'a>)>, IndexError> {
        const MAVEN: &str = "Maven";
        let wanted = format!("{ARTIFACT}{artifact}:");
        let table = self.table(Section::Packages);
        let order = |row: &[u8]| {
            let first = self.string(u32_at(row, 0)?)?.cmp(MAVEN);
            Ok(match first {
                Ordering::Equal => self.string(u32_at(row, 4)?)?.cmp(&wanted),
                other => other,
            })
        };
        let first = first_row(table, width::PACKAGE, order)? as usize;
        let mut found = Vec::new();
        for row in table.chunks_exact(width::PACKAGE).skip(first) {
            let name = self.string(u32_at(row, 4)?)?;
            let group = name.strip_prefix(&*wanted);
            let Some(group) =
                group.filter(|_| self.string(u32_at(row, 0).unwrap_or(0)) == Ok(MAVEN))
            else {
                break;
            };
            let (next, left) = (u32_at(row, 8)?, u32_at(row, 12)?);
            let index = *self;
            found.push((group, Entries { index, next, left }));
        }
        Ok(found)
    }

    fn advisory(&self, at: u32) -> Result<AdvisoryRow<'a>, IndexError> {
        let row = row(self.table(Section::Advisories), width::ADVISORY, at)?;
        Ok(AdvisoryRow { index: *self, row })
    }

    /// The advisory of this id.
    pub fn find(&self, id: &str) -> Result<Option<AdvisoryRow<'a>>, IndexError> {
        let table = self.table(Section::Advisories);
        let order = |row: &[u8]| Ok(self.string(u32_at(row, 0)?)?.cmp(id));
        let at = first_row(table, width::ADVISORY, order)?;
        match row(table, width::ADVISORY, at) {
            Ok(row) if self.string(u32_at(row, 0)?)? == id => {
                Ok(Some(AdvisoryRow { index: *self, row }))
            }
            _ => Ok(None),
        }
    }

    /// The advisories of this name, and those that name it among what they are about. All of them
    /// are looked through, which takes no time that matters for what a person typed; upper and
    /// lower case are the same.
    pub fn naming(&self, name: &str) -> Result<Vec<(AdvisoryRow<'a>, Naming)>, IndexError> {
        let is_it = |place: u32| Ok(self.string(place)?.eq_ignore_ascii_case(name));
        let names = self.table(Section::Names);
        let is_among = |(first, end): (u32, u32)| {
            for at in first..end {
                if is_it(u32_at(row(names, width::NAME, at)?, 0)?)? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let count = self.table(Section::Advisories).len() / width::ADVISORY;
        let mut found = Vec::new();
        for at in 0..u32::try_from(count).map_err(|_| BROKEN)? {
            let advisory = self.advisory(at)?;
            if is_it(u32_at(advisory.row, 0)?)? || is_among(advisory.alias_rows()?)? {
                found.push((advisory, Naming::Itself));
            } else if is_among(advisory.related_rows()?)? {
                found.push((advisory, Naming::Among));
            }
        }
        Ok(found)
    }

    /// The ecosystems of what an advisory is about. All packages are looked through.
    pub fn ecosystems(&self, advisory: &AdvisoryRow<'_>) -> Result<BTreeSet<&'a str>, IndexError> {
        let mut found = BTreeSet::new();
        let affected = self.table(Section::Affected);
        for package in self.table(Section::Packages).chunks_exact(width::PACKAGE) {
            let first = u32_at(package, 8)?;
            let end = first.checked_add(u32_at(package, 12)?).ok_or(BROKEN)?;
            for at in first..end {
                // A count beyond the table's end is noticed by the row that isn't there.
                let entry = row(affected, width::AFFECTED, at)?;
                if self.advisory(u32_at(entry, 0)?)?.row.as_ptr() == advisory.row.as_ptr() {
                    found.insert(self.string(u32_at(package, 0)?)?);
                }
            }
        }
        Ok(found)
    }

    /// Is it in the catalogue of known exploited vulnerabilities?
    pub fn exploited(&self, cve: CveId) -> Result<Option<Exploited>, IndexError> {
        let Some(row) = self.by_cve(Section::Kev, width::KEV, cve)? else {
            return Ok(None);
        };
        Ok(Some(Exploited {
            added: date_at(row, 8)?.ok_or(BROKEN)?,
            due: date_at(row, 12)?,
            ransomware: u32_at(row, 16)? != 0,
        }))
    }

    pub fn epss(&self, cve: CveId) -> Result<Option<Epss>, IndexError> {
        let Some(row) = self.by_cve(Section::Epss, width::EPSS, cve)? else {
            return Ok(None);
        };
        Ok(Some(Epss {
            score: f32::from_bits(u32_at(row, 8)?),
            percentile: f32::from_bits(u32_at(row, 12)?),
        }))
    }

    fn by_cve(
        &self,
        section: Section,
        width: usize,
        cve: CveId,
    ) -> Result<Option<&'a [u8]>, IndexError> {
        let table = self.table(section);
        let wanted = (u32::from(cve.year), cve.number);
        let key = |row: &[u8]| Ok((u32_at(row, 0)?, u32_at(row, 4)?));
        let at = first_row(table, width, |row| Ok(key(row)?.cmp(&wanted)))?;
        match row(table, width, at) {
            Ok(row) if key(row)? == wanted => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    /// What is said of a vulnerability in particular products.
    pub fn statements(&self, vulnerability: &str) -> Result<Vec<Said<'a>>, IndexError> {
        let table = self.table(Section::Statements);
        let mut found = Vec::new();
        if table.is_empty() {
            return Ok(found);
        }
        let name = |row: &[u8]| self.string(u32_at(row, 0)?);
        let order = |row: &[u8]| Ok(name(row)?.cmp(vulnerability));
        let first = first_row(table, width::STATEMENT, order)? as usize;
        let rows = table.chunks_exact(width::STATEMENT).skip(first);
        for row in rows {
            if name(row)? != vulnerability {
                break;
            }
            let text = |column: usize| self.string(u32_at(row, column * 4)?);
            found.push(Said {
                kind: text(1)?,
                namespace: text(2)?,
                name: text(3)?,
                version: text(4)?,
                distro: text(5)?,
                justification: text(6)?,
                impact: text(7)?,
                source: text(8)?,
                upstream: text(10)?,
                status: status(u32_at(row, 44)?)?,
                at: time_at(row, 48)?,
            });
        }
        Ok(found)
    }
}

fn status(number: u32) -> Result<VexStatus, IndexError> {
    [
        VexStatus::NotAffected,
        VexStatus::Fixed,
        VexStatus::UnderInvestigation,
        VexStatus::Affected,
    ]
    .into_iter()
    .find(|status| *status as u32 == number)
    .ok_or(BROKEN)
}

/// A VEX statement, borrowed from the index.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    pub kind: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub version: &'a str,
    pub distro: &'a str,
    pub upstream: &'a str,
    pub justification: &'a str,
    pub impact: &'a str,
    pub source: &'a str,
    pub status: VexStatus,
    pub at: Option<Timestamp>,
}

/// The entries of one package, by the ids of their advisories.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    index: Index<'a>,
    next: u32,
    left: u32,
}

impl Entries<'_> {
    pub const fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<AffectedRow<'a>, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let at = self.next;
        // A count beyond the table's end is noticed by the row that isn't there.
        self.next = self.next.saturating_add(1);
        let read = row(self.index.table(Section::Affected), width::AFFECTED, at);
        if read.is_err() {
            self.left = 0;
        }
        Some(read.map(|row| AffectedRow {
            index: self.index,
            row,
        }))
    }
}

/// What one advisory says of one package.
#[derive(Clone, Copy, Debug)]
pub struct AffectedRow<'a> {
    index: Index<'a>,
    row: &'a [u8],
}

impl<'a> AffectedRow<'a> {
    pub fn advisory(&self) -> Result<AdvisoryRow<'a>, IndexError> {
        self.index.advisory(u32_at(self.row, 0)?)
    }

    pub fn is_undetermined(&self) -> Result<bool, IndexError> {
        Ok(u32_at(self.row, 12)? & flag::UNDETERMINED != 0)
    }

    /// The distribution's own word on how much it matters.
    pub fn urgency(&self) -> Result<Option<&'a str>, IndexError> {
        let urgency = self.index.string(u32_at(self.row, 16)?)?;
        let is_urgency = !urgency.is_empty() && !self.is_informational()?;
        Ok(Some(urgency).filter(|_| is_urgency))
    }

    /// What it informs of, where it is no vulnerability.
    pub fn informational(&self) -> Result<Option<&'a str>, IndexError> {
        match self.is_informational()? {
            true => self.index.string(u32_at(self.row, 16)?).map(Some),
            false => Ok(None),
        }
    }

    fn is_informational(&self) -> Result<bool, IndexError> {
        Ok(u32_at(self.row, 12)? & flag::INFORMATIONAL != 0)
    }

    /// The packages of the module that it is about; empty for all of it.
    pub fn packages(&self) -> Result<Vec<&'a str>, IndexError> {
        let points = self.points()?;
        let rows = points.rows.chunks_exact(width::POINT);
        // They stand first.
        rows.map_while(|row| match u32_at(row, 0) {
            Ok(point::PACKAGE) => Some(u32_at(row, 4).and_then(|place| self.index.string(place))),
            _ => None,
        })
        .collect()
    }

    pub fn points(&self) -> Result<Points<'a>, IndexError> {
        let (start, count) = (u32_at(self.row, 4)? as usize, u32_at(self.row, 8)? as usize);
        let table = self.index.table(Section::Points);
        let start = start.checked_mul(width::POINT).ok_or(BROKEN)?;
        let length = count.checked_mul(width::POINT).ok_or(BROKEN)?;
        let end = start.checked_add(length).ok_or(BROKEN)?;
        Ok(Points {
            index: self.index,
            rows: table.get(start..end).ok_or(BROKEN)?,
        })
    }
}

/// The points of an entry: its ranges, and versions by themselves.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    index: Index<'a>,
    rows: &'a [u8],
}

/// A point as it is written: one of a range, the border between two, or a version by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written<'a> {
    Point(Point<'a>),
    Border,
    Exactly(&'a str),
}

impl<'a> Points<'a> {
    pub fn written(&self) -> impl Iterator<Item = Result<Written<'a>, IndexError>> + use<'a> {
        let index = self.index;
        let is_version = |row: &&[u8]| u32_at(row, 0) != Ok(point::PACKAGE);
        let rows = self.rows.chunks_exact(width::POINT).filter(is_version);
        rows.map(move |row| {
            let version = index.string(u32_at(row, 4)?)?;
            Ok(match u32_at(row, 0)? {
                point::INTRODUCED => Written::Point(Point::Introduced(version)),
                point::FIXED => Written::Point(Point::Fixed(version)),
                point::LAST_AFFECTED => Written::Point(Point::LastAffected(version)),
                point::LIMIT => Written::Point(Point::Limit(version)),
                point::NEXT_RANGE => Written::Border,
                point::EXACTLY => Written::Exactly(version),
                _ => return Err(BROKEN),
            })
        })
    }

    /// Of `introduced: 0, fixed: X` and nothing else, the `X`. None for all other forms, the
    /// inner one for a range without an end.
    pub fn until(&self) -> Result<Option<Option<&'a str>>, IndexError> {
        let mut written = self.written();
        match written.next().transpose()? {
            Some(Written::Point(Point::Introduced("0"))) => {}
            _ => return Ok(None),
        }
        let fixed = match written.next().transpose()? {
            None => return Ok(Some(None)),
            Some(Written::Point(Point::Fixed(version))) => version,
            Some(_) => return Ok(None),
        };
        Ok(written.next().is_none().then_some(Some(fixed)))
    }

    /// The versions that fix something.
    pub fn fixes(&self) -> impl Iterator<Item = Result<&'a str, IndexError>> + use<'a> {
        self.written().filter_map(|written| match written {
            Ok(Written::Point(Point::Fixed(version))) => Some(Ok(version)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    }
}

/// An advisory, without its texts.
#[derive(Clone, Copy, Debug)]
pub struct AdvisoryRow<'a> {
    index: Index<'a>,
    row: &'a [u8],
}

/// Where the texts of an advisory are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextPlace {
    /// Of the block, behind the head.
    pub offset_bytes: u64,
    pub packed_bytes: usize,
    block_bytes: usize,
    start: usize,
    summary: usize,
    details: usize,
}

impl TextPlace {
    /// Summary and details, from the block's bytes.
    ///
    /// # Errors
    /// When the block is damaged.
    pub fn read(&self, packed: &[u8]) -> Result<(String, String), IndexError> {
        const TORN: IndexError = IndexError::Damaged("a block of texts can't be read");
        let block = zstd::bulk::decompress(packed, self.block_bytes).map_err(|_| TORN)?;
        let text = |from: usize, to: usize| {
            let bytes = block.get(from..to).ok_or(TORN)?;
            String::from_utf8(bytes.to_vec()).map_err(|_| TORN)
        };
        let middle = self.start.saturating_add(self.summary);
        let end = middle.saturating_add(self.details);
        Ok((text(self.start, middle)?, text(middle, end)?))
    }
}

impl<'a> AdvisoryRow<'a> {
    pub fn id(&self) -> Result<&'a str, IndexError> {
        self.index.string(u32_at(self.row, 0)?)
    }

    /// A CVSS vector.
    pub fn cvss(&self) -> Result<Option<&'a str>, IndexError> {
        let vector = self.index.string(u32_at(self.row, 4)?)?;
        Ok(Some(vector).filter(|vector| !vector.is_empty()))
    }

    pub fn modified(&self) -> Result<Option<Timestamp>, IndexError> {
        time_at(self.row, 8)
    }

    pub fn published(&self) -> Result<Option<Date>, IndexError> {
        date_at(self.row, 16)
    }

    pub fn aliases(&self) -> Result<Vec<&'a str>, IndexError> {
        self.names(self.alias_rows()?)
    }

    /// Of a distribution's advisory: the vulnerabilities that it is about.
    pub fn related(&self) -> Result<Vec<&'a str>, IndexError> {
        self.names(self.related_rows()?)
    }

    fn alias_rows(&self) -> Result<(u32, u32), IndexError> {
        self.name_rows(0, u32_at(self.row, 24)?)
    }

    fn related_rows(&self) -> Result<(u32, u32), IndexError> {
        self.name_rows(u32_at(self.row, 24)?, u32_at(self.row, 28)?)
    }

    /// Bounded by the table, whatever the row says.
    fn name_rows(&self, skip: u32, count: u32) -> Result<(u32, u32), IndexError> {
        let table = self.index.table(Section::Names);
        let first = u32_at(self.row, 20)?.checked_add(skip).ok_or(BROKEN)?;
        let end = first.checked_add(count).ok_or(BROKEN)?;
        if end as usize > table.len() / width::NAME {
            return Err(BROKEN);
        }
        Ok((first, end))
    }

    fn names(&self, (first, end): (u32, u32)) -> Result<Vec<&'a str>, IndexError> {
        let table = self.index.table(Section::Names);
        (first..end)
            .map(|at| self.index.string(u32_at(row(table, width::NAME, at)?, 0)?))
            .collect()
    }

    pub fn text(&self) -> Result<TextPlace, IndexError> {
        let size = |at: usize| u32_at(self.row, at).map(|size| size as usize);
        let blocks = self.index.table(Section::Blocks);
        let block = row(blocks, width::BLOCK, u32_at(self.row, 32)?)?;
        let block_bytes = u32_at(block, 12)? as usize;
        // One that claims to unfold to more than is ever put into one is refused unread.
        if block_bytes > 1 << 20 {
            return Err(BROKEN);
        }
        Ok(TextPlace {
            offset_bytes: u64_at(block, 0)?,
            packed_bytes: u32_at(block, 8)? as usize,
            block_bytes,
            start: size(36)?,
            summary: size(40)?,
            details: size(44)?,
        })
    }
}
