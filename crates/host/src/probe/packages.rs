//! Packages, from dpkg's own database: it answers for a tree as well as for a running
//! host, and no program has to be started.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use model::value::{PackageSeen, Reason};
use model::{HostPath, Value};

use crate::local::Inner;
use crate::parse::dpkg::{PackageRecord, parse_automatic, parse_status, with_status};
use crate::tree::Trouble;

pub const STATUS: &str = "/var/lib/dpkg/status";
const STATUS_DIRECTORY: &str = "/var/lib/dpkg/status.d";
/// A desktop with five thousand packages has 8 MB.
const STATUS_LIMIT_BYTES: u64 = 32 << 20;

/// The database of an image that has no package manager, as distroless ones: one file for each package.
fn of_distroless(host: &Arc<Inner>) -> Result<Vec<u8>, Trouble> {
    let directory = HostPath::literal(STATUS_DIRECTORY);
    let mut all = Vec::new();
    let mut is_there = false;
    for (name, _) in host.tree.list(&directory)? {
        let path = match directory.join(&name) {
            Ok(path) if !name.ends_with(b".md5sums") => path,
            _ => continue,
        };
        let left = STATUS_LIMIT_BYTES.saturating_sub(all.len() as u64);
        all.extend(with_status(host.read_path(&path, left)?));
        all.extend(b"\n\n");
        is_there = true;
    }
    match is_there {
        true => Ok(all),
        false => Err(Trouble::Absent),
    }
}

/// The package manager's database.
pub struct Packages {
    by_name: BTreeMap<String, Vec<PackageRecord>>,
    /// Name and architecture; none when apt's file could not be read.
    automatic: Option<HashSet<(String, String)>>,
    /// The architecture that the host itself is of, as dpkg names it.
    pub native: Option<String>,
}

impl Packages {
    pub fn read(host: &Arc<Inner>) -> Result<Self, Trouble> {
        let status = match host.read(STATUS, STATUS_LIMIT_BYTES) {
            Err(Trouble::Absent) => of_distroless(host),
            read => read,
        };
        let status = status.map_err(|trouble| match trouble {
            Trouble::Absent => Trouble::Unknown(Reason::Unavailable {
                what: format!("there is no dpkg database (`{STATUS}`) to look packages up in"),
            }),
            Trouble::Unknown(Reason::NeedsRoot) => trouble,
            Trouble::Unknown(reason) => Trouble::Unknown(Reason::Failed {
                why: format!("`{STATUS}`: {reason}"),
            }),
        })?;
        let mut records = parse_status(&status);
        // No host is without packages: else all that asks for one would not apply.
        if records.is_empty() {
            return Err(Reason::Malformed {
                why: format!("`{STATUS}` holds no package that can be read"),
            }
            .into());
        }
        drop(status);
        // What dpkg did since it last wrote the whole file: numbered files, each with the
        // new stanza of a package.
        let updates = HostPath::literal(crate::records::UPDATES);
        for (name, _) in host.tree.list(&updates).unwrap_or_default() {
            if name.iter().all(u8::is_ascii_digit)
                && let Ok(path) = updates.join(&name)
            {
                records.extend(parse_status(&host.read_path(&path, STATUS_LIMIT_BYTES)?));
            }
        }
        let mut by_name: BTreeMap<String, Vec<PackageRecord>> = BTreeMap::new();
        for record in records {
            let same_name = match by_name.entry(record.name.clone()) {
                Entry::Occupied(same_name) => same_name.into_mut(),
                Entry::Vacant(new) => {
                    // Room for one: nearly all have one architecture.
                    new.insert(vec![record]);
                    continue;
                }
            };
            match same_name
                .iter_mut()
                .find(|known| known.architecture == record.architecture)
            {
                Some(known) => *known = record,
                None => same_name.push(record),
            }
        }
        let automatic = match host.read("/var/lib/apt/extended_states", STATUS_LIMIT_BYTES) {
            Ok(bytes) => Some(parse_automatic(&bytes).into_iter().collect()),
            Err(Trouble::Absent) => Some(HashSet::new()),
            Err(Trouble::Unknown(_)) => None,
        };
        // dpkg is always there, and always of the host's own architecture.
        let native = by_name
            .get("dpkg")
            .and_then(|records| records.first())
            .map(|record| record.architecture.clone());
        Ok(Self {
            by_name,
            automatic,
            native,
        })
    }

    /// Every package that is fully installed, once for each name.
    pub fn installed(&self) -> impl Iterator<Item = &PackageRecord> {
        self.by_name
            .values()
            .filter_map(|records| self.preferred(records))
            .filter(|record| record.is_installed())
    }

    /// Every package of which files are here, in each architecture.
    pub fn present(&self) -> impl Iterator<Item = &PackageRecord> {
        let all = self.by_name.values().flatten();
        all.filter(|record| record.has_files())
    }

    pub fn is_installed(&self, name: &str) -> bool {
        self.find(name).is_some_and(PackageRecord::is_installed)
    }

    /// `NAME` or `NAME:ARCHITECTURE`.
    fn find(&self, name: &str) -> Option<&PackageRecord> {
        match name.split_once(':') {
            Some((name, architecture)) => self
                .by_name
                .get(name)?
                .iter()
                .find(|record| record.architecture == architecture),
            None => self.preferred(self.by_name.get(name)?),
        }
    }

    /// Of one name in several architectures: an installed one, and of those the host's own.
    fn preferred<'a>(&self, records: &'a [PackageRecord]) -> Option<&'a PackageRecord> {
        let native = self.native.as_deref();
        records
            .iter()
            .max_by_key(|record| (record.is_installed(), Some(&*record.architecture) == native))
    }
}

pub fn package(host: &Arc<Inner>, name: &str) -> Result<Value, Trouble> {
    let packages = host.packages()?;
    let record = packages.find(name).ok_or(Trouble::Absent)?;
    Ok(Value::Package(PackageSeen {
        version: record.version.clone(),
        architecture: record.architecture.clone(),
        installed: record.is_installed(),
        status: record.status.clone(),
        automatic: packages.automatic.as_ref().map(|automatic| {
            let marked = |architecture: &str| {
                automatic.contains(&(record.name.clone(), architecture.to_owned()))
            };
            // apt writes the host's own architecture for packages that have none.
            marked(&record.architecture)
                || record.architecture == "all"
                    && (marked("") || packages.native.as_deref().is_some_and(marked))
        }),
    }))
}
