//! Which paths an installed package owns, from dpkg's lists of files, and what
//! dpkg-statoverride(1) declares of them. Both are read only when a walk found something to ask
//! about; the lists one after the other, and not kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::HostPath;
use model::value::{FileType, OverrideSeen, Reason};

use crate::local::Inner;
use crate::parse::dpkg::{Diversion, parse_diversions, parse_overrides};
use crate::probe::accounts::missing;
use crate::tree::Trouble;

/// The longest list of Debian has some MB (a kernel's headers, an icon theme).
const LIST_LIMIT_BYTES: u64 = 64 << 20;

/// The directories that `/usr` has taken in; `/bin` is a link to `/usr/bin` now.
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// What dpkg's database says of one path.
#[derive(Clone, Debug, Default)]
pub struct Ownership {
    /// The installed package that has it.
    pub package: Option<String>,
    pub declared: Option<OverrideSeen>,
}

/// What dpkg's database says of these paths; one of which it says nothing is left out.
pub fn of(
    host: &Arc<Inner>,
    candidates: &BTreeSet<&[u8]>,
) -> Result<BTreeMap<Vec<u8>, Ownership>, Trouble> {
    let packages = host.packages()?;
    let wanted = names(host, candidates);
    let diversions: HashMap<Vec<u8>, Diversion> =
        match host.read("/var/lib/dpkg/diversions", LIST_LIMIT_BYTES) {
            Ok(bytes) => parse_diversions(&bytes)
                .into_iter()
                .map(|diversion| (diversion.from.clone(), diversion))
                .collect(),
            Err(Trouble::Absent) => HashMap::new(),
            Err(trouble) => return Err(trouble),
        };
    let mut known: BTreeMap<Vec<u8>, Ownership> = BTreeMap::new();
    match host.read("/var/lib/dpkg/statoverride", LIST_LIMIT_BYTES) {
        Ok(bytes) => {
            for entry in parse_overrides(&bytes) {
                if let Some(candidate) = wanted.get(&entry.path) {
                    let declared = Some(OverrideSeen {
                        owner: entry.owner,
                        group: entry.group,
                        mode: entry.mode,
                    });
                    known.entry(candidate.to_vec()).or_default().declared = declared;
                }
            }
        }
        Err(Trouble::Absent) => {}
        Err(trouble) => return Err(trouble),
    }
    let info = HostPath::literal("/var/lib/dpkg/info");
    // A database without lists is broken: whom a file belongs to is not known then.
    let lists = host
        .tree
        .list(&info)
        .map_err(|trouble| missing(trouble, "/var/lib/dpkg/info"))?;
    for (file, _) in lists {
        let Some(name) = file
            .strip_suffix(b".list")
            .and_then(|name| str::from_utf8(name).ok())
        else {
            continue;
        };
        // A removed package keeps its list for its configuration files.
        if !packages.is_installed(name) {
            continue;
        }
        let path = info.join(&file).map_err(|error| {
            Trouble::Unknown(Reason::Failed {
                why: error.to_string(),
            })
        })?;
        let list = match host.read_path(&path, LIST_LIMIT_BYTES) {
            Ok(list) => list,
            // The package was removed meanwhile.
            Err(Trouble::Absent) => continue,
            Err(trouble) => return Err(trouble),
        };
        let package = name.split(':').next().unwrap_or(name);
        for line in list.split(|byte| *byte == b'\n') {
            let path = match diversions.get(line) {
                Some(diversion) if diversion.by != package.as_bytes() => &diversion.to[..],
                _ => line,
            };
            if let Some(candidate) = wanted.get(path) {
                let entry = known.entry(candidate.to_vec()).or_default();
                entry.package.get_or_insert_with(|| package.to_owned());
            }
        }
    }
    Ok(known)
}

/// These paths by all names that a list may have for them.
///
/// Lists name files as the package did: `/bin/su`, which is `/usr/bin/su` after the merge.
pub fn names<'a>(host: &Arc<Inner>, candidates: &BTreeSet<&'a [u8]>) -> HashMap<Vec<u8>, &'a [u8]> {
    let merged: Vec<&str> = MERGED
        .into_iter()
        .filter(|name| is_merged(host, name))
        .collect();
    let mut wanted: HashMap<Vec<u8>, &[u8]> = HashMap::new();
    for path in candidates {
        wanted.insert(path.to_vec(), path);
        for name in &merged {
            let below = format!("/usr/{name}/");
            if path.starts_with(below.as_bytes()) {
                wanted.insert(path[b"/usr".len()..].to_vec(), path);
            }
        }
    }
    wanted
}

fn is_merged(host: &Arc<Inner>, name: &str) -> bool {
    HostPath::from_bytes(format!("/{name}").as_bytes())
        .ok()
        .and_then(|path| host.tree.meta(&path).ok())
        .is_some_and(|node| node.file_type == FileType::Link)
}
