//! Which files the packages of Debian run with more than the caller's rights. dpkg's database
//! does not say it, so a bit that somebody added to a packaged program would look like the
//! package's own. The table beside this file says what was read from the packages themselves.

use model::Mode;
use model::value::{Meta, OverrideSeen, WalkHit};

const TABLE: &str = include_str!("packaged_rights.txt");

const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;

/// What is known of a packaged file that has set-ID bits or capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// The package, or dpkg-statoverride(1), gives it these.
    Given,
    /// It has the set-ID bits of `extra`, or capabilities, and neither of them gives it.
    NotGiven { extra: u32 },
    /// Nobody has read this package.
    NotRead,
}

/// Who gives this file of `package` its set-ID bits?
pub fn set_id(package: &str, hit: &WalkHit) -> Rights {
    let meta = &hit.meta;
    // What the administrator declared counts, also where it is less than the package gives.
    if let Some(declared) = &hit.declared {
        return judged(meta, |bit| of_override(meta, declared, bit));
    }
    let Some(mut rows) = rows_of(package) else {
        return Rights::NotRead;
    };
    let row = rows.find(|row| row.mode.is_some() && row.is_about(hit.path.as_bytes()));
    judged(meta, |bit| row.is_some_and(|row| row.gives(meta, bit)))
}

/// Who gives this file of `package` its capabilities? dpkg-statoverride(1) knows none.
pub fn capabilities(package: &str, hit: &WalkHit) -> Rights {
    let Some(mut rows) = rows_of(package) else {
        return Rights::NotRead;
    };
    if rows.any(|row| row.mode.is_none() && row.is_about(hit.path.as_bytes())) {
        Rights::Given
    } else {
        Rights::NotGiven { extra: 0 }
    }
}

fn judged(meta: &Meta, is_given: impl Fn(u32) -> bool) -> Rights {
    let extra = [SET_UID, SET_GID]
        .into_iter()
        .filter(|bit| meta.mode.bits() & bit != 0 && !is_given(*bit))
        .sum();
    if extra == 0 {
        Rights::Given
    } else {
        Rights::NotGiven { extra }
    }
}

/// A bit means nothing without whose rights it gives.
fn of_override(meta: &Meta, declared: &OverrideSeen, bit: u32) -> bool {
    let named = |written: &str, name: &Option<String>, id: u32| match written.strip_prefix('#') {
        Some(number) => number.parse() == Ok(id),
        None => name.as_deref() == Some(written),
    };
    declared.mode.bits() & bit != 0
        && match bit {
            SET_UID => named(&declared.owner, &meta.owner, meta.uid),
            _ => named(&declared.group, &meta.group, meta.gid),
        }
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// None for capabilities.
    mode: Option<Mode>,
    owner: &'static str,
    group: &'static str,
    path: &'static str,
}

impl Row {
    fn is_about(&self, path: &[u8]) -> bool {
        super::files_where::glob_matches(self.path.as_bytes(), path)
    }

    fn gives(&self, meta: &Meta, bit: u32) -> bool {
        let (written, name) = match bit {
            SET_UID => (self.owner, &meta.owner),
            _ => (self.group, &meta.group),
        };
        self.mode.is_some_and(|mode| mode.bits() & bit != 0) && name.as_deref() == Some(written)
    }
}

/// The rows of a package; none when it is not in the table.
fn rows_of(package: &str) -> Option<impl Iterator<Item = Row>> {
    let mut is_known = false;
    let mut rows = Vec::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        match words.next() {
            Some("none") => is_known |= words.any(|word| word == package),
            Some(word) if word == package => {
                is_known = true;
                rows.extend(row(words));
            }
            _ => {}
        }
    }
    is_known.then(|| rows.into_iter())
}

fn row(mut words: impl Iterator<Item = &'static str>) -> Option<Row> {
    let (mode, (owner, group), path) =
        (words.next()?, words.next()?.split_once(':')?, words.next()?);
    let mode = match mode {
        "cap" => None,
        octal => Some(Mode::new(u32::from_str_radix(octal, 8).ok()?)),
    };
    Some(Row {
        mode,
        owner,
        group,
        path,
    })
}
