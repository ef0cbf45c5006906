//! Sources whose packages nothing proves to be whose they are: exempt from signatures by an option of
//! theirs (sources.list(5), `trusted=yes`). What is planned from them is named.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use resource::apt::sources::{parse_list, parse_stanzas};
use resource::kind::apt_sources::exemptions;

use crate::act::place::read_bounded;

const MAIN: &str = "/etc/apt/sources.list";
const FOLDER: &str = "/etc/apt/sources.list.d";
/// A stanza with a key in it has some kB.
const LIMIT_BYTES: u64 = 4 << 20;

/// The addresses of such sources.
pub fn unsigned() -> BTreeSet<String> {
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    let mut found = BTreeSet::new();
    for path in files.chain([PathBuf::from(MAIN)]) {
        let bytes = File::open(&path).and_then(|file| read_bounded(file, LIMIT_BYTES));
        let Ok(bytes) = bytes else {
            continue;
        };
        found.extend(unsigned_in(&path, &String::from_utf8_lossy(&bytes)));
    }
    found
}

/// The same, in one file. apt refuses one that is malformed, so nothing comes from it.
pub fn unsigned_in(path: &Path, text: &str) -> BTreeSet<String> {
    let sources = match path.extension().and_then(|ending| ending.to_str()) {
        Some("list") => parse_list(text),
        Some("sources") => parse_stanzas(text),
        _ => return BTreeSet::new(),
    };
    let sources = sources.unwrap_or_default().into_iter();
    let exempt = sources.filter(|source| source.enabled && exemptions(source).next().is_some());
    exempt.flat_map(|source| source.uris).collect()
}

/// Does one of these sources have what apt's policy names so: `http://a.example/x ./ Packages`?
pub fn is_of<'a>(unsigned: &'a BTreeSet<String>, named: &str) -> Option<&'a String> {
    let address = named.split(' ').next()?.trim_end_matches('/');
    unsigned
        .iter()
        .find(|source| source.trim_end_matches('/') == address)
}
