//! `Cargo.lock`, and what of a `Cargo.toml` matters before cargo is asked about it.

use std::collections::BTreeMap;

use model::dependency::{Locked, LockedFrom};
use model::value::Reason;
use toml::de::{DeTable, DeValue};

use super::Packages;
use super::lines::Counter;
use crate::components::source::malformed;

/// The registry's own names for itself (cargo's `CRATES_IO_INDEX`, `CRATES_IO_HTTP_INDEX`).
const CRATES_IO: [&str; 2] = [
    "registry+https://github.com/rust-lang/crates.io-index",
    "sparse+https://index.crates.io/",
];

pub(crate) fn table(text: &str) -> Result<DeTable<'_>, Reason> {
    let parsed = DeTable::parse(text);
    parsed
        .map(toml::Spanned::into_inner)
        .map_err(|error| malformed(format!("not TOML: {}", error.message())))
}

pub(crate) fn get<'a>(table: &'a DeTable<'_>, key: &str) -> Option<&'a DeValue<'a>> {
    table.get(key).map(toml::Spanned::get_ref)
}

pub(crate) fn string<'a>(table: &'a DeTable<'_>, key: &str) -> Option<&'a str> {
    get(table, key)?.as_str()
}

/// The tables of `[[key]]`, each with its place in the text.
pub(super) fn tables<'a>(
    of: &'a DeTable<'_>,
    key: &str,
) -> impl Iterator<Item = (usize, &'a DeTable<'a>)> {
    let array = get(of, key).and_then(DeValue::as_array);
    array
        .into_iter()
        .flat_map(|array| array.iter())
        .filter_map(|one| Some((one.span().start, one.get_ref().as_table()?)))
}

pub(super) fn read(text: &str) -> Result<Vec<Locked>, Reason> {
    let lock = table(text)?;
    let mut counter = Counter::of(text);
    let mut packages = Packages::default();
    // By name, and by all that a dependency may name of it: `name`, `name version`,
    // `name version (source)`.
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut wants: Vec<(usize, &DeTable<'_>)> = Vec::new();
    // The first form of the file keeps the project apart.
    let root = get(&lock, "root").and_then(DeValue::as_table);
    let root = root.into_iter().map(|table| (0, table));
    for (place, package) in root.chain(tables(&lock, "package")) {
        let (Some(name), Some(version)) = (string(package, "name"), string(package, "version"))
        else {
            return Err(malformed("a package without a name or a version"));
        };
        let source = string(package, "source");
        let from = match source {
            None => LockedFrom::Project,
            Some(source) if CRATES_IO.contains(&source) => LockedFrom::Registry,
            Some(_) => LockedFrom::Elsewhere,
        };
        let line = counter.line(place);
        let Some(at) = packages.add(from, name, version, Some(line))? else {
            continue;
        };
        let mut known_as = vec![name.to_owned(), format!("{name} {version}")];
        if let Some(source) = source {
            known_as.push(format!("{name} {version} ({source})"));
        }
        for key in known_as {
            places.entry(key).or_default().push(at);
        }
        wants.push((at, package));
    }
    for (who, package) in wants {
        let list = get(package, "dependencies").and_then(DeValue::as_array);
        for one in list.into_iter().flat_map(|list| list.iter()) {
            let named = one.get_ref().as_str().unwrap_or_default();
            // A name alone is there once; where it is not, the file is not cargo's, and all fit.
            for what in places.get(named).into_iter().flatten() {
                packages.need(who, *what)?;
            }
        }
    }
    Ok(packages.done())
}

/// What a manifest would have cargo ask beside the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outside {
    /// A folder, as the manifest writes it: it must lie within the workspace.
    Path { name: String, path: String },
    /// A repository, or a registry by its address.
    Address { name: String, address: String },
}

/// Every dependency, patch and replacement of a manifest that is not the registry's.
///
/// # Errors
/// When it is no TOML.
pub fn outside(manifest: &str) -> Result<Vec<Outside>, Reason> {
    let manifest = table(manifest)?;
    let mut found = Vec::new();
    search(&manifest, "", &mut found);
    Ok(found)
}

/// Whatever the tables around it are called: a key that cargo learns tomorrow is seen as well.
fn search(table: &DeTable<'_>, name: &str, found: &mut Vec<Outside>) {
    let is_source = table.contains_key("git") || table.contains_key("registry-index");
    for key in ["git", "registry-index"] {
        if let Some(address) = string(table, key) {
            found.push(Outside::Address {
                name: name.to_owned(),
                address: address.to_owned(),
            });
        }
    }
    // Targets and a build script have paths too: files of the package, which are not copied.
    let is_target = ["lib", "bin", "example", "test", "bench", "package"].contains(&name);
    if let Some(path) = string(table, "path")
        && !is_target
        && !is_source
    {
        found.push(Outside::Path {
            name: name.to_owned(),
            path: path.to_owned(),
        });
    }
    // A package may name the workspace that it belongs to, wherever that lies.
    if name == "package"
        && let Some(path) = string(table, "workspace")
    {
        found.push(Outside::Path {
            name: "the workspace".to_owned(),
            path: path.to_owned(),
        });
    }
    for (key, value) in table {
        each(value.get_ref(), key.get_ref(), found);
    }
}

fn each(value: &DeValue<'_>, name: &str, found: &mut Vec<Outside>) {
    if let Some(table) = value.as_table() {
        search(table, name, found);
    }
    for one in value.as_array().into_iter().flat_map(|array| array.iter()) {
        each(one.get_ref(), name, found);
    }
}

/// The members of a workspace as its manifest writes them, patterns and all; none where the
/// manifest is no workspace's.
///
/// # Errors
/// When it is no TOML.
pub fn workspace(manifest: &str) -> Result<Option<Vec<String>>, Reason> {
    let manifest = table(manifest)?;
    let Some(workspace) = get(&manifest, "workspace").and_then(DeValue::as_table) else {
        return Ok(None);
    };
    let members = get(workspace, "members").and_then(DeValue::as_array);
    let members = members.into_iter().flat_map(|array| array.iter());
    Ok(Some(
        members
            .filter_map(|member| member.get_ref().as_str().map(str::to_owned))
            .collect(),
    ))
}
