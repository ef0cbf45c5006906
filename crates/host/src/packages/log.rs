//! Which versions dpkg put in the place of which, whoever asked it to: what its log says
//! (dpkg(1), `--log`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// The log, and the one before it, as logrotate(8) leaves it: the newest last.
const LOGS: [&str; 2] = ["/var/log/dpkg.log.1", "/var/log/dpkg.log"];
/// The end of a log that is read: a year of upgrades.
const END_BYTES: u64 = 8 << 20;

/// An upgrade of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub from: String,
    pub to: String,
}

/// The newest upgrade of each package, by its name and its architecture.
pub fn logged() -> BTreeMap<(String, String), Logged> {
    let mut all = BTreeMap::new();
    for log in LOGS {
        if let Some(end) = end_of(log) {
            all.extend(parse_log(&end));
        }
    }
    all
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

/// Reads `2026-11-28 07:00:01 upgrade libssl3:amd64 3.0.10-1 3.0.11-1`. A later line counts.
pub fn parse_log(bytes: &[u8]) -> BTreeMap<(String, String), Logged> {
    let mut all = BTreeMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(line) = str::from_utf8(line) else {
            continue;
        };
        let words: Vec<&str> = line.split(' ').collect();
        if let [_, _, "upgrade", package, from, to] = words[..]
            && let Some((name, architecture)) = package.split_once(':')
        {
            let key = (name.to_owned(), architecture.to_owned());
            let (from, to) = (from.to_owned(), to.to_owned());
            all.insert(key, Logged { from, to });
        }
    }
    all
}
