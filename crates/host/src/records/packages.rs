//! Which packages of a change go when it is taken back, and which stay because others need them by
//! now or have put other versions there: by what dpkg's database said before the change, as the
//! change left it, and says now.

use std::collections::{BTreeMap, BTreeSet};

use super::entries::{by_name, value};
use super::relation::{Relation, clauses};

pub const NAMED_BY: &[&str] = &["Package", "Architecture"];

/// `NAME:ARCHITECTURE`, as dpkg's database names a package.
pub type Key = String;

/// A package whose files are on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Package {
    name: String,
    architecture: String,
    version: String,
    /// `same`, `foreign`, `allowed` or nothing.
    multi_arch: String,
    /// Depends and Pre-Depends.
    needs: Vec<Vec<Relation>>,
    /// Conflicts and Breaks.
    refuses: Vec<Relation>,
    provides: Vec<Relation>,
}

/// Why a package is not taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stays {
    /// This package, which the undo does not touch, could not live without it.
    NeededBy(String),
    /// Others have put this version there since.
    ChangedSince(String),
    /// Others have removed it since.
    RemovedSince,
}

impl Stays {
    /// For people, behind the package's name.
    pub fn words(&self) -> String {
        match self {
            Self::NeededBy(name) => format!("{name} needs it"),
            Self::ChangedSince(version) => format!("it was changed to {version} since"),
            Self::RemovedSince => "it was removed since".to_owned(),
        }
    }
}

/// What becomes of the packages of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// They came with the change, and go; with the version that is there now.
    pub goes: BTreeMap<Key, String>,
    /// Another version of them, or they themselves, come back.
    pub returns: BTreeSet<Key>,
    pub stays: BTreeMap<Key, Stays>,
    /// Packages that could not live beside what would come back, or without what has gone since.
    pub clashes: Vec<String>,
    /// Of those that go, others have put another version there since.
    pub newer: BTreeSet<Key>,
    /// All of which the change made anything else: also what it only configured.
    pub touched: BTreeSet<Key>,
}

/// Decides. Each is the content of `/var/lib/dpkg/status`.
pub fn outlook(before: &[u8], left: &[u8], now: &[u8]) -> Outlook {
    let mut outlook = Outlook {
        touched: touched(before, left),
        ..Outlook::default()
    };
    let (before, left, now) = (read(before), read(left), read(now));
    let keys: BTreeSet<&Key> = before.keys().chain(left.keys()).collect();
    for key in keys {
        let (old, ours, theirs) = (before.get(key), left.get(key), now.get(key));
        let version = |of: Option<&Package>| of.map(|package| package.version.clone());
        let (was, left, is) = (version(old), version(ours), version(theirs));
        if was == left {
            continue;
        }
        match (was, left, is) {
            (None, Some(left), Some(is)) => {
                if left != is {
                    outlook.newer.insert(key.clone());
                }
                outlook.goes.insert(key.clone(), is);
            }
            // It is as it was already.
            (was, _, is) if was == is => {}
            (_, left, is) if left == is => {
                outlook.returns.insert(key.clone());
            }
            (_, _, Some(is)) => {
                outlook.stays.insert(key.clone(), Stays::ChangedSince(is));
            }
            (_, _, None) => {
                outlook.stays.insert(key.clone(), Stays::RemovedSince);
            }
        }
    }
    keep_needed(&mut outlook, &before, &now);
    outlook
}

fn touched(before: &[u8], left: &[u8]) -> BTreeSet<Key> {
    let (before, left) = (by_name(NAMED_BY, before), by_name(NAMED_BY, left));
    let keys = before.keys().chain(left.keys());
    keys.filter(|key| before.get(*key) != left.get(*key))
        .cloned()
        .collect()
}

/// What packages that nobody takes back need by now stays, and what that needs in turn.
fn keep_needed(
    outlook: &mut Outlook,
    before: &BTreeMap<Key, Package>,
    now: &BTreeMap<Key, Package>,
) {
    // Each turn keeps one more, so this ends.
    loop {
        let mut then = now.clone();
        for key in outlook.goes.keys() {
            then.remove(key);
        }
        for key in &outlook.returns {
            if let Some(old) = before.get(key) {
                then.insert(key.clone(), old.clone());
            }
        }
        let mut kept = BTreeMap::new();
        let mut unmet = Vec::new();
        for (key, package) in &then {
            for clause in &package.needs {
                // One that comes back had what it needs before; what is broken now is nobody's concern.
                let was = match outlook.returns.contains(key) {
                    true => before,
                    false => now,
                };
                if is_met(&then, package, clause) || !is_met(was, package, clause) {
                    continue;
                }
                let met_by = now.iter().filter(|(key, one)| {
                    then.get(*key) != Some(*one)
                        && clause.iter().any(|relation| meets(one, package, relation))
                });
                // What comes back itself, and needs what goes, would be half there.
                let met_by: Vec<&Key> = met_by.map(|(key, _)| key).collect();
                if met_by.is_empty() {
                    let needs: Vec<&str> = clause
                        .iter()
                        .map(|relation| relation.name.as_str())
                        .collect();
                    unmet.push(format!("{} without {}", package.name, needs.join(" or ")));
                }
                if let Some(first) = met_by.first() {
                    kept.entry((*first).clone())
                        .or_insert_with(|| (key.clone(), package.name.clone()));
                }
            }
        }
        if kept.is_empty() {
            outlook.clashes = clashes(&then, now);
            outlook.clashes.extend(unmet);
            return;
        }
        for (key, (by, name)) in kept {
            // A package of the change that comes back in its old version can't hold another there.
            let by = match outlook.returns.contains(&by) {
                true => format!("the older {name}"),
                false => name,
            };
            outlook.goes.remove(&key);
            outlook.returns.remove(&key);
            outlook.newer.remove(&key);
            outlook.stays.insert(key, Stays::NeededBy(by));
        }
    }
}

/// Pairs that can't be on one host, and are not on it now.
fn clashes(then: &BTreeMap<Key, Package>, now: &BTreeMap<Key, Package>) -> Vec<String> {
    let mut found = Vec::new();
    let is_new = |key: &Key| then.get(key) != now.get(key);
    for (key, package) in then {
        for refused in &package.refuses {
            for (other, its) in then {
                if its.name == package.name || !(is_new(key) || is_new(other)) {
                    continue;
                }
                if meets(its, package, refused) {
                    found.push(format!("{} and {}", package.name, its.name));
                }
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn is_met(all: &BTreeMap<Key, Package>, of: &Package, clause: &[Relation]) -> bool {
    // A package's name is the beginning of its key, so that not all must be asked.
    let named = |relation: &Relation| {
        let from = format!("{}:", relation.name);
        let to = format!("{};", relation.name);
        all.range(from..to).any(|(_, one)| meets(one, of, relation))
    };
    clause.is_empty()
        || clause.iter().any(named)
        || clause.iter().any(|relation| {
            all.values()
                .any(|one| !one.provides.is_empty() && meets(one, of, relation))
        })
}

/// Is `one` what `of` speaks of?
fn meets(one: &Package, of: &Package, relation: &Relation) -> bool {
    let is_meant = |name: &str| name == relation.name;
    let fits = match relation.architecture.as_deref() {
        Some("any") => one.multi_arch == "allowed" || is_of(one, of),
        Some(architecture) => one.architecture == architecture,
        None => is_of(one, of) || one.multi_arch == "foreign",
    };
    if fits && is_meant(&one.name) && relation.takes(&one.version) {
        return true;
    }
    one.provides.iter().any(|provided| {
        is_meant(&provided.name)
            && match &provided.version {
                Some((_, version)) => relation.takes(version),
                None => relation.version.is_none(),
            }
    })
}

/// Are both of one architecture? `all` is of each.
fn is_of(one: &Package, of: &Package) -> bool {
    [&one.architecture, &of.architecture]
        .iter()
        .any(|text| *text == "all")
        || one.architecture == of.architecture
}

fn read(status: &[u8]) -> BTreeMap<Key, Package> {
    let mut packages = BTreeMap::new();
    for (key, fields) in by_name(NAMED_BY, status) {
        let field = |name: &str| -> String {
            let found = fields
                .iter()
                .find(|(field, _)| field.eq_ignore_ascii_case(name));
            let text = found.map(|(_, raw)| value(raw)).unwrap_or_default();
            String::from_utf8_lossy(text).trim().replace('\n', " ")
        };
        let status = field("Status");
        let state = status.split_whitespace().nth(2).unwrap_or_default();
        let version = field("Version");
        if matches!(state, "" | "not-installed" | "config-files") || version.is_empty() {
            continue;
        }
        let mut needs = clauses(&field("Pre-Depends"));
        needs.extend(clauses(&field("Depends")));
        let flat = |name: &str| clauses(&field(name)).into_iter().flatten().collect();
        let mut refuses: Vec<Relation> = flat("Conflicts");
        refuses.extend::<Vec<Relation>>(flat("Breaks"));
        packages.insert(
            key,
            Package {
                name: field("Package"),
                architecture: field("Architecture"),
                version,
                multi_arch: field("Multi-Arch"),
                needs,
                refuses,
                provides: flat("Provides"),
            },
        );
    }
    packages
}

/// The configuration files of a package with the MD5 of their packaged content (deb-conffiles(5)).
pub fn conffiles(status: &[u8], key: &str) -> BTreeMap<String, String> {
    let stanzas = by_name(NAMED_BY, status);
    let fields = stanzas.get(key).map(Vec::as_slice).unwrap_or_default();
    let field = fields.iter().find(|(name, _)| *name == "Conffiles");
    let text = field.map(|(_, raw)| String::from_utf8_lossy(value(raw)).into_owned());
    let lines = text.unwrap_or_default();
    lines
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        })
        .collect()
}
