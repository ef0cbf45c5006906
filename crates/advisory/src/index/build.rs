//! Makes an index of what readers read.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use model::count::plural;

use super::{
    ARTIFACT, CHECKSUM, Counts, Feed, IndexError, MAGIC, NO_DAY, NO_TIME, PREFIX_BYTES, SECTIONS,
    Section, VERSION, checksum, flag, point,
};
use crate::record::{Advisory, Affected, Affects, CveId, Epss, Event, Exploited, Statement};
use crate::version::{Order, order_of};

/// Texts are compressed in blocks of about so many bytes: one is what somebody who wants to see
/// an advisory has to wait for.
const BLOCK_BYTES: usize = 128 << 10;
/// Measured on Debian's records: level 3 takes a fifth of the time of 9 for a tenth more.
const LEVEL: i32 = 3;

/// The index in the making. Strings are kept once, and everything else as small rows.
#[derive(Default)]
pub struct Builder {
    strings: Strings,
    advisories: Vec<Row>,
    kev: BTreeMap<CveId, Exploited>,
    epss: BTreeMap<CveId, Epss>,
    statements: Vec<Statement>,
    newest: Option<Timestamp>,
    /// What is dated after this can't be right.
    latest: Option<Timestamp>,
    /// How many times were after that, and the first of them.
    ahead: Option<(usize, Timestamp)>,
    pub counts: Counts,
}

/// An advisory, its strings put away.
struct Row {
    id: String,
    modified: Option<Timestamp>,
    published: Option<Date>,
    cvss: u32,
    aliases: Vec<u32>,
    related: Vec<u32>,
    affected: Vec<AffectedIn>,
    text: Text,
}

struct AffectedIn {
    ecosystem: u32,
    name: u32,
    flags: u32,
    urgency: u32,
    points: Vec<(u32, u32)>,
}

/// Compressed at once: the texts of a large feed are the most of it.
struct Text {
    summary: String,
    details: String,
}

/// Every string once.
struct Strings {
    heap: Vec<u8>,
    places: BTreeMap<Box<str>, u32>,
}

impl Default for Strings {
    fn default() -> Self {
        let places = BTreeMap::from([("".into(), 0)]);
        Self {
            heap: vec![0; 4],
            places,
        }
    }
}

impl Strings {
    fn put(&mut self, text: &str) -> Result<u32, IndexError> {
        if let Some(place) = self.places.get(text) {
            return Ok(*place);
        }
        let place = small(self.heap.len())?;
        self.heap.extend(small(text.len())?.to_le_bytes());
        self.heap.extend(text.as_bytes());
        self.places.insert(text.into(), place);
        Ok(place)
    }

    /// What was put at this place.
    fn at(&self, place: u32) -> &str {
        let at = place as usize;
        let length = self::place(&self.heap, at) as usize;
        str::from_utf8(&self.heap[at + 4..at + 4 + length]).expect("it was put there as text")
    }

    fn put_all(&mut self, texts: &[String]) -> Result<Vec<u32>, IndexError> {
        texts.iter().map(|text| self.put(text)).collect()
    }
}

fn flags(entry: &Affected) -> u32 {
    let mut flags = 0;
    if entry.affects == Affects::Undetermined {
        flags |= flag::UNDETERMINED;
    }
    if entry.informational.is_some() {
        flags |= flag::INFORMATIONAL;
    }
    flags
}

/// The number at this place of a row.
fn place(row: &[u8], at: usize) -> u32 {
    let bytes = row[at..at + 4].try_into();
    u32::from_le_bytes(bytes.expect("four bytes"))
}

fn small(number: usize) -> Result<u32, IndexError> {
    u32::try_from(number).map_err(|_| IndexError::TooLarge)
}

/// Clocks differ, but not by a day.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(24);

impl Builder {
    /// For an import at this time. What the feed dates after that says nothing of its age: one such
    /// date would make it fresh for ever.
    pub fn at(now: Timestamp) -> Self {
        Self {
            latest: now.checked_add(CLOCK_SKEW).ok(),
            ..Self::default()
        }
    }

    /// The number of records that were taken in.
    pub fn taken(&self) -> usize {
        self.advisories.len() + self.kev.len() + self.epss.len() + self.statements.len()
    }

    /// A time that the feed gives itself.
    pub fn seen_at(&mut self, at: Option<Timestamp>) {
        let is_ahead = |at: &Timestamp| self.latest.is_some_and(|latest| *at > latest);
        match at {
            Some(at) if is_ahead(&at) => {
                let (before, first) = self.ahead.unwrap_or((0, at));
                self.ahead = Some((before + 1, first));
            }
            at => self.newest = self.newest.max(at),
        }
    }

    /// # Errors
    /// When there is more than an index can hold; so with the others.
    pub fn advisory(&mut self, advisory: Advisory) -> Result<(), IndexError> {
        self.seen_at(advisory.modified);
        let mut affected = Vec::with_capacity(advisory.affected.len());
        for entry in &advisory.affected {
            affected.push(AffectedIn {
                ecosystem: self.strings.put(&entry.ecosystem)?,
                name: self.strings.put(&entry.name)?,
                flags: flags(entry),
                urgency: {
                    let said = entry.informational.as_ref().or(entry.urgency.as_ref());
                    self.strings.put(said.map_or("", |said| said))?
                },
                points: self.points(entry)?,
            });
        }
        // What matters is which vulnerabilities a distribution's advisory is about; a CVE's record
        // lists every other distribution's advisories there, dozens of them.
        let mut related = advisory.related;
        let is_bundle = !advisory.id.starts_with("CVE-");
        related.retain(|name| is_bundle && name.starts_with("CVE-"));
        let row = Row {
            cvss: self
                .strings
                .put(advisory.cvss.first().map_or("", |first| first))?,
            aliases: self.strings.put_all(&advisory.aliases)?,
            related: self.strings.put_all(&related)?,
            modified: advisory.modified,
            published: advisory.published,
            affected,
            text: Text {
                summary: advisory.summary,
                details: advisory.details,
            },
            id: advisory.id,
        };
        self.advisories.push(row);
        Ok(())
    }

    fn points(&mut self, entry: &Affected) -> Result<Vec<(u32, u32)>, IndexError> {
        let mut points = Vec::new();
        for package in &entry.packages {
            points.push((point::PACKAGE, self.strings.put(package)?));
        }
        let Affects::Versions { ranges, exactly } = &entry.affects else {
            return Ok(points);
        };
        for (at, range) in ranges.iter().enumerate() {
            if at > 0 {
                points.push((point::NEXT_RANGE, 0));
            }
            for event in range {
                let (kind, version) = match event {
                    Event::Introduced(version) => (point::INTRODUCED, version),
                    Event::Fixed(version) => (point::FIXED, version),
                    Event::LastAffected(version) => (point::LAST_AFFECTED, version),
                    Event::Limit(version) => (point::LIMIT, version),
                };
                points.push((kind, self.strings.put(version)?));
            }
        }
        for version in exactly {
            points.push((point::EXACTLY, self.strings.put(version)?));
        }
        Ok(points)
    }

    pub fn exploited(&mut self, cve: CveId, exploited: Exploited) {
        self.kev.insert(cve, exploited);
    }

    pub fn score(&mut self, cve: CveId, epss: Epss) {
        self.epss.insert(cve, epss);
    }

    pub fn statement(&mut self, statement: Statement) {
        self.seen_at(statement.at);
        self.statements.push(statement);
    }

    /// The index's bytes, and what they are.
    ///
    /// # Errors
    /// When there is more than an index can hold.
    pub fn finish(
        mut self,
        name: &str,
        imported: Timestamp,
    ) -> Result<(Vec<u8>, Feed), IndexError> {
        // Of two records of one id, the newer one; of equals, the later one.
        self.advisories
            .sort_by(|a, b| a.id.cmp(&b.id).then(a.modified.cmp(&b.modified)));
        if let Some((number, first)) = self.ahead {
            let dates = plural(number, "date");
            self.counts.refuse(|| {
                format!(
                    "{dates} later than the import, as {first}: one of the clocks is wrong, and they \
                     do not count as its age"
                )
            });
        }
        let before = self.advisories.len();
        self.advisories.reverse();
        self.advisories.dedup_by(|next, kept| next.id == kept.id);
        self.advisories.reverse();
        self.counts.superseded += before - self.advisories.len();
        self.counts.advisories = self.advisories.len();
        self.counts.known_exploited = self.kev.len();
        self.counts.epss_scores = self.epss.len();
        let mut sections: [Vec<u8>; SECTIONS] = Default::default();
        let mut texts = Vec::new();
        self.write_advisories(&mut sections, &mut texts)?;
        self.write_packages(&mut sections)?;
        self.write_scores(&mut sections);
        self.write_statements(&mut sections)?;
        let feed = Feed {
            name: name.to_owned(),
            imported,
            newest: self.newest,
            counts: self.counts,
        };
        sections[Section::Meta as usize] =
            serde_json::to_vec(&feed).expect("a feed has string keys and no fallible serialisers");
        sections[Section::Strings as usize] = self.strings.heap;
        Ok((assemble(&sections, &texts)?, feed))
    }

    fn write_advisories(
        &mut self,
        sections: &mut [Vec<u8>; SECTIONS],
        texts: &mut Vec<u8>,
    ) -> Result<(), IndexError> {
        let (mut names, mut rows, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
        let mut block: Vec<u8> = Vec::with_capacity(2 * BLOCK_BYTES);
        let mut close = |block: &mut Vec<u8>| -> Result<(), IndexError> {
            let packed = zstd::bulk::compress(block, LEVEL)
                .expect("compressing into memory fails only when there is none");
            blocks.extend((texts.len() as u64).to_le_bytes());
            blocks.extend(small(packed.len())?.to_le_bytes());
            blocks.extend(small(block.len())?.to_le_bytes());
            texts.extend(packed);
            block.clear();
            Ok(())
        };
        let (mut block_at, mut in_block) = (0_u32, 0_usize);
        for row in &mut self.advisories {
            in_block += 1;
            let text = std::mem::replace(
                &mut row.text,
                Text {
                    summary: String::new(),
                    details: String::new(),
                },
            );
            let start = small(block.len())?;
            block.extend(text.summary.as_bytes());
            let summary = small(text.summary.len())?;
            block.extend(text.details.as_bytes());
            let details = small(text.details.len())?;
            let first = small(names.len() / super::width::NAME)?;
            let listed = row.aliases.iter().chain(&row.related);
            names.extend(listed.flat_map(|name| name.to_le_bytes()));
            rows.extend(self.strings.put(&row.id)?.to_le_bytes());
            rows.extend(row.cvss.to_le_bytes());
            rows.extend(
                row.modified
                    .map_or(NO_TIME, Timestamp::as_second)
                    .to_le_bytes(),
            );
            rows.extend(row.published.map_or(NO_DAY, day).to_le_bytes());
            rows.extend(first.to_le_bytes());
            rows.extend(small(row.aliases.len())?.to_le_bytes());
            rows.extend(small(row.related.len())?.to_le_bytes());
            rows.extend(block_at.to_le_bytes());
            rows.extend(start.to_le_bytes());
            rows.extend(summary.to_le_bytes());
            rows.extend(details.to_le_bytes());
            if block.len() >= BLOCK_BYTES {
                close(&mut block)?;
                (block_at, in_block) = (block_at + 1, 0);
            }
        }
        // Also when none of its advisories has a text.
        if in_block > 0 {
            close(&mut block)?;
        }
        sections[Section::Names as usize] = names;
        sections[Section::Advisories as usize] = rows;
        sections[Section::Blocks as usize] = blocks;
        Ok(())
    }

    fn write_packages(&mut self, sections: &mut [Vec<u8>; SECTIONS]) -> Result<(), IndexError> {
        let text = |place: u32| self.strings.at(place).as_bytes();
        let mut entries: Vec<(u32, u32, u32, &AffectedIn)> = Vec::new();
        let mut coverage: BTreeMap<&[u8], (u32, i32, u32)> = BTreeMap::new();
        for (at, row) in self.advisories.iter().enumerate() {
            for entry in &row.affected {
                entries.push((entry.ecosystem, entry.name, small(at)?, entry));
                let seen =
                    coverage
                        .entry(text(entry.ecosystem))
                        .or_insert((entry.ecosystem, NO_DAY, 0));
                seen.1 = seen.1.max(row.published.map_or(NO_DAY, day));
                seen.2 += 1;
            }
        }
        entries.sort_by(|a, b| {
            let names = text(a.0)
                .cmp(text(b.0))
                .then_with(|| text(a.1).cmp(text(b.1)));
            names.then(a.2.cmp(&b.2))
        });
        let (mut packages, mut affected, mut points) = (Vec::new(), Vec::new(), Vec::new());
        let mut at = 0;
        while let Some(first) = entries.get(at) {
            let same = entries[at..]
                .iter()
                .take_while(|entry| (entry.0, entry.1) == (first.0, first.1))
                .count();
            for number in [first.0, first.1, small(at)?, small(same)?] {
                packages.extend(number.to_le_bytes());
            }
            for (_, _, advisory, entry) in &entries[at..at + same] {
                let start = small(points.len() / super::width::POINT)?;
                let count = small(entry.points.len())?;
                for number in [*advisory, start, count, entry.flags, entry.urgency] {
                    affected.extend(number.to_le_bytes());
                }
                for (kind, version) in &entry.points {
                    points.extend(kind.to_le_bytes());
                    points.extend(version.to_le_bytes());
                }
            }
            at += same;
        }
        for (place, newest, count) in coverage.into_values() {
            let row = &mut sections[Section::Coverage as usize];
            row.extend(place.to_le_bytes());
            row.extend(newest.to_le_bytes());
            row.extend(count.to_le_bytes());
        }
        let packages = self.with_artifacts(packages)?;
        sections[Section::Packages as usize] = packages;
        sections[Section::Affected as usize] = affected;
        sections[Section::Points as usize] = points;
        Ok(())
    }

    /// Of Maven's packages another row each, by which they are found without their groups. It leads
    /// to the same entries.
    fn with_artifacts(&mut self, packages: Vec<u8>) -> Result<Vec<u8>, IndexError> {
        let mut rows: Vec<[u8; super::width::PACKAGE]> = Vec::new();
        let mut more = Vec::new();
        for row in packages.chunks_exact(super::width::PACKAGE) {
            let row: [u8; super::width::PACKAGE] = row.try_into().expect("a whole row");
            rows.push(row);
            let text = |at: usize| self.strings.at(place(&row, at));
            let (ecosystem, name) = (text(0), text(4));
            if order_of(ecosystem) == Some(Order::Maven)
                && let Some((group, artifact)) = name.split_once(':')
            {
                more.push((row, format!("{ARTIFACT}{artifact}:{group}")));
            }
        }
        if more.is_empty() {
            return Ok(packages);
        }
        for (mut row, name) in more {
            row[4..8].copy_from_slice(&self.strings.put(&name)?.to_le_bytes());
            rows.push(row);
        }
        rows.sort_by(|a, b| {
            let key = |row| {
                (
                    self.strings.at(place(row, 0)),
                    self.strings.at(place(row, 4)),
                )
            };
            key(a).cmp(&key(b))
        });
        Ok(rows.concat())
    }

    fn write_scores(&self, sections: &mut [Vec<u8>; SECTIONS]) {
        for (cve, exploited) in &self.kev {
            let row = &mut sections[Section::Kev as usize];
            row.extend(u32::from(cve.year).to_le_bytes());
            row.extend(cve.number.to_le_bytes());
            row.extend(day(exploited.added).to_le_bytes());
            row.extend(exploited.due.map_or(NO_DAY, day).to_le_bytes());
            row.extend(u32::from(exploited.ransomware).to_le_bytes());
        }
        for (cve, epss) in &self.epss {
            let row = &mut sections[Section::Epss as usize];
            row.extend(u32::from(cve.year).to_le_bytes());
            row.extend(cve.number.to_le_bytes());
            row.extend(epss.score.to_bits().to_le_bytes());
            row.extend(epss.percentile.to_bits().to_le_bytes());
        }
    }

    fn write_statements(&mut self, sections: &mut [Vec<u8>; SECTIONS]) -> Result<(), IndexError> {
        // One row for each name of the vulnerability, so that any of them finds it.
        let mut rows: Vec<(String, &Statement)> = Vec::new();
        for statement in &self.statements {
            let names = std::iter::once(&statement.vulnerability).chain(&statement.aliases);
            rows.extend(names.map(|name| (name.clone(), statement)));
        }
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        self.counts.vex_statements = self.statements.len();
        for (name, statement) in rows {
            let product = &statement.product;
            let texts = [
                name.as_str(),
                &product.kind,
                &product.namespace,
                &product.name,
                &product.version,
                &product.distro,
                &statement.justification,
                &statement.impact,
                &statement.source,
                &statement.vulnerability,
                &product.upstream,
            ];
            for text in texts {
                let place = self.strings.put(text)?;
                sections[Section::Statements as usize].extend(place.to_le_bytes());
            }
            let at = statement.at.map_or(NO_TIME, Timestamp::as_second);
            let row = &mut sections[Section::Statements as usize];
            row.extend((statement.status as u32).to_le_bytes());
            row.extend(at.to_le_bytes());
        }
        Ok(())
    }
}

/// Days since 1970-01-01.
pub(super) fn day(date: Date) -> i32 {
    let epoch = Date::constant(1970, 1, 1);
    (date - epoch).get_days()
}

fn assemble(sections: &[Vec<u8>; SECTIONS], texts: &[u8]) -> Result<Vec<u8>, IndexError> {
    let head = PREFIX_BYTES + sections.iter().map(Vec::len).sum::<usize>();
    if head as u64 > super::LARGEST_HEAD_BYTES {
        return Err(IndexError::TooLarge);
    }
    let mut bytes = Vec::with_capacity(head + texts.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend([0; CHECKSUM.end - CHECKSUM.start]);
    bytes.extend((head as u64).to_le_bytes());
    bytes.extend(((head + texts.len()) as u64).to_le_bytes());
    let mut at = PREFIX_BYTES;
    for section in sections {
        bytes.extend((at as u64).to_le_bytes());
        bytes.extend((section.len() as u64).to_le_bytes());
        at += section.len();
    }
    for section in sections {
        bytes.extend(section);
    }
    let checksum = checksum(&bytes[CHECKSUM.end..]);
    bytes[CHECKSUM].copy_from_slice(&checksum);
    bytes.extend(texts);
    Ok(bytes)
}
