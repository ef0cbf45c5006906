//! Time zones by their names, from the host's own database (tzfile(5)).

use std::fs::File;
use std::path::Path;

use jiff::tz::TimeZone;

use crate::act::place::read_bounded;

const FOLDER: &str = "/usr/share/zoneinfo";
/// The largest have some kB.
const LIMIT_BYTES: u64 = 1 << 20;

/// The zone of a name of the IANA's database: `Europe/Berlin`. None where this host has none of that
/// name.
pub fn named(name: &str) -> Option<TimeZone> {
    let in_names = |c: char| c.is_ascii_alphanumeric() || "_+-".contains(c);
    let mut parts = name.split('/');
    if !parts.all(|part| !part.is_empty() && part.chars().all(in_names)) {
        return None;
    }
    let file = File::open(Path::new(FOLDER).join(name)).ok()?;
    let rules = read_bounded(file, LIMIT_BYTES).ok()?;
    TimeZone::tzif(name, &rules).ok()
}
