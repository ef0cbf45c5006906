//! Which versions dpkg put in the place of which, whoever asked it to: what its log says
//! (dpkg(1), `--log`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::act::place::read_bounded;

/// The log, and the one before it, as logrotate(8) leaves it: the newest last.
const LOGS: [&str; 2] = ["/var/log/dpkg.log.1", "/var/log/dpkg.log"];
/// The end of a log that is read: a year of upgrades.
const END_BYTES: u64 = 8 << 20;
/// The rules of a time zone: the largest have some kB.
const ZONE_BYTES: u64 = 1 << 20;

/// An upgrade of a package, or the way back to an older version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub at: Timestamp,
    pub from: String,
    pub to: String,
}

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// From when on it tells everything. None where it tells nothing.
    pub begins: Option<Timestamp>,
    /// The upgrades of each package in their order, by its name and its architecture.
    pub upgrades: BTreeMap<(String, String), Vec<Logged>>,
}

/// What dpkg's own log holds.
pub fn logged() -> Log {
    let zone = local_zone();
    let mut all = Log::default();
    for log in LOGS {
        if let Some(end) = end_of(log) {
            let more = parse_log(&end, &zone);
            all.begins = all.begins.or(more.begins);
            for (package, upgrades) in more.upgrades {
                all.upgrades.entry(package).or_default().extend(upgrades);
            }
        }
    }
    all
}

/// dpkg writes the time of the host's own zone, and does not say which that is (localtime(5)).
fn local_zone() -> TimeZone {
    let file = File::open("/etc/localtime").ok();
    let rules = file.and_then(|file| read_bounded(file, ZONE_BYTES).ok());
    let zone = rules.and_then(|rules| TimeZone::tzif("local", &rules).ok());
    zone.unwrap_or(TimeZone::UTC)
}

fn end_of(path: &str) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(END_BYTES)))
        .ok()?;
    let mut end = Vec::new();
    file.take(END_BYTES).read_to_end(&mut end).ok()?;
    Some(end)
}

/// Reads `2026-11-28 07:00:01 upgrade libssl3:amd64 3.0.10-1 3.0.11-1`.
pub fn parse_log(bytes: &[u8], zone: &TimeZone) -> Log {
    let mut all = Log::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(line) = str::from_utf8(line) else {
            continue;
        };
        let words: Vec<&str> = line.split(' ').collect();
        let [day, time, ..] = words[..] else {
            continue;
        };
        // What is there twice, when the clocks go back, counts as the later one: who began between
        // the two may run the old version.
        let at = format!("{day}T{time}").parse::<DateTime>().ok();
        let at = at.and_then(|at| zone.to_ambiguous_timestamp(at).later().ok());
        let Some(at) = at else {
            continue;
        };
        all.begins = all.begins.or(Some(at));
        if let [_, _, "upgrade", package, from, to] = words[..]
            && let Some((name, architecture)) = package.split_once(':')
        {
            let key = (name.to_owned(), architecture.to_owned());
            let (from, to) = (from.to_owned(), to.to_owned());
            let upgrades = all.upgrades.entry(key).or_default();
            upgrades.push(Logged { at, from, to });
        }
    }
    all
}
