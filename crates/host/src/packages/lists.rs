//! How old apt's lists are: what is pending is only known as of then.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};

use super::apt_caches::Caches;
use crate::act::ActError;

const LISTS: &str = "/var/lib/apt/lists";
/// Touched after an update that fetched something, by a hook (`APT::Update::Post-Invoke-Success`)
/// that Ubuntu has, and that an administrator may set.
const STAMP: &str = "/var/lib/apt/periodic/update-success-stamp";
/// Older lists say nothing of what is pending: Debian's lists of security updates are valid for as
/// long.
pub const LIMIT_DAYS: i64 = 7;
/// What a Release file says of itself is at its beginning, before its digests.
const HEAD_BYTES: u64 = 8 << 10;
/// Lists of one host; there are some ten for each archive.
const LISTS_LIMIT: usize = 20_000;

/// What is known of apt's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// There is no list of packages, or none of a source that is configured.
    Missing,
    /// One of them was valid until then, as its archive says, and is not any more.
    Expired { since: Timestamp },
    /// When the last new list was fetched.
    Of { fetched: Timestamp },
}

impl Lists {
    /// Those of this host, and of the sources that it has. Changes nothing, and asks no archive.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn of_host(caches: &Caches, now: Timestamp) -> io::Result<Self> {
        let seen = Self::in_folder(Path::new(LISTS), Path::new(STAMP), now)?;
        // Lists of archives that are no source any more stay there, and apt asks them nothing.
        match is_any_asked(caches).map_err(io::Error::other)? {
            true => Ok(seen),
            false => Ok(Self::Missing),
        }
    }

    /// The same, of these places.
    ///
    /// The times of the lists themselves are no help: apt gives them those that the server names,
    /// and a stable release's are months old. The folder is written to when apt puts a new list
    /// into it, and not by an update that fails, nor by questions, as `pkgcache.bin` and
    /// `lists/partial` are. An update that finds nothing new anywhere leaves no trace but the
    /// stamp; archives that say until when they are valid have something new before that.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn in_folder(lists: &Path, stamp: &Path, now: Timestamp) -> io::Result<Self> {
        let entries = match fs::read_dir(lists) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Missing),
            Err(error) => return Err(error),
        };
        let mut has_packages = false;
        let mut valid_until: Option<Timestamp> = None;
        for entry in entries.take(LISTS_LIMIT) {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // Packed ones have an ending; one of a `file:` archive may be a link to it.
            if name.contains("_Packages") {
                has_packages |= entry.path().is_file();
            }
            if name.ends_with("_InRelease") || name.ends_with("_Release") {
                let until = valid_until_of(&entry.path())?;
                valid_until = valid_until.into_iter().chain(until).min();
            }
        }
        if !has_packages {
            return Ok(Self::Missing);
        }
        if let Some(since) = valid_until.filter(|until| *until < now) {
            return Ok(Self::Expired { since });
        }
        let folder = modified(lists)?;
        let fetched = match modified(stamp) {
            Ok(stamp) => folder.max(stamp),
            Err(_) => folder,
        };
        Ok(Self::Of { fetched })
    }

    /// Whole days since they were fetched, where there are any.
    pub fn days(&self, now: Timestamp) -> Option<i64> {
        match self {
            Self::Of { fetched } => Some((now.duration_since(*fetched).as_hours() / 24).max(0)),
            Self::Missing | Self::Expired { .. } => None,
        }
    }

    /// Do they say what is pending now?
    pub fn are_fresh(&self, now: Timestamp) -> bool {
        match self {
            Self::Of { fetched } => {
                now.duration_since(*fetched) <= SignedDuration::from_hours(LIMIT_DAYS * 24)
            }
            Self::Missing | Self::Expired { .. } => false,
        }
    }
}

/// Has apt a list of packages of any source that it is configured with?
fn is_any_asked(caches: &Caches) -> Result<bool, ActError> {
    let publishers = caches.publishers()?;
    Ok(publishers.values().any(|publisher| publisher != "now"))
}

/// Does any source that apt has lists of call itself one of security updates, by its label or suite? A
/// mirror may have lost the words.
///
/// # Errors
/// When apt-cache can't be asked.
pub fn says_any_security(caches: &Caches) -> Result<bool, ActError> {
    let mut publishers = caches.publishers()?.values();
    Ok(publishers.any(|publisher| model::effect::says_security(std::slice::from_ref(publisher))))
}

fn modified(path: &Path) -> io::Result<Timestamp> {
    let time = fs::metadata(path)?.modified()?;
    Timestamp::try_from(time).map_err(io::Error::other)
}

/// `Valid-Until` of a Release file; none where the archive does not say it.
fn valid_until_of(path: &Path) -> io::Result<Option<Timestamp>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    let head = String::from_utf8_lossy(&head);
    let value = head
        .lines()
        .find_map(|line| line.strip_prefix("Valid-Until:"));
    // RFC 2822 but for the name of the zone.
    let value = value.map(|value| value.trim().replace("UTC", "+0000"));
    Ok(value.and_then(|value| {
        let zoned = rfc2822::DateTimeParser::new().parse_timestamp(&value);
        zoned.ok()
    }))
}
