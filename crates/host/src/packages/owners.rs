//! Which package a file is of, by dpkg's lists.

use std::collections::{BTreeMap, BTreeSet};

use super::reach::{LIST_LIMIT_BYTES, is_merged};
use crate::act::place::read_bounded;

/// The packages that have these files, by the paths that one has. A list that can't be read has
/// none.
pub fn owners(paths: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if paths.is_empty() {
        return found;
    }
    let entries = std::fs::read_dir("/var/lib/dpkg/info")
        .into_iter()
        .flatten();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(package) = name.to_str().and_then(|name| name.strip_suffix(".list")) else {
            continue;
        };
        let list =
            std::fs::File::open(entry.path()).and_then(|file| read_bounded(file, LIST_LIMIT_BYTES));
        for line in list.unwrap_or_default().split(|byte| *byte == b'\n') {
            let Ok(line) = str::from_utf8(line) else {
                continue;
            };
            let path = match is_merged(line.as_bytes()) {
                true => format!("/usr{line}"),
                false => line.to_owned(),
            };
            if paths.contains(&path) {
                found.entry(path).or_insert_with(|| package.to_owned());
            }
        }
    }
    found
}
