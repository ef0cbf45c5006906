//! Lockfiles of npm, Yarn and pnpm, and what of a `package.json` matters before npm is asked
//! about it.

use std::collections::{BTreeMap, BTreeSet};

use model::dependency::{Locked, LockedFrom};
use model::value::Reason;
use serde_json::{Map, Value};

use super::lines::Keys;
use super::{Packages, Places};
use crate::components::source::malformed;

/// The tables of a `package.json` that make npm install something.
const WANTED: [&str; 4] = [
    "dependencies",
    "optionalDependencies",
    "peerDependencies",
    "devDependencies",
];

fn object(text: &str) -> Result<Map<String, Value>, Reason> {
    serde_json::from_str(text).map_err(|error| malformed(format!("not JSON: {error}")))
}

fn text<'a>(of: &'a Value, key: &str) -> Option<&'a str> {
    of.get(key)?.as_str()
}

fn is_true(of: &Value, key: &str) -> bool {
    of.get(key) == Some(&Value::Bool(true))
}

fn keys<'a>(of: &'a Value, table: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let table = of.get(table).and_then(Value::as_object);
    table
        .into_iter()
        .flatten()
        .map(|(key, value)| (&**key, value))
}

/// A version of the registry begins with a digit; an address or a folder does not.
fn is_version(version: &str) -> bool {
    version
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_digit())
}

pub(super) fn npm(lock: &str) -> Result<Vec<Locked>, Reason> {
    let lines = Keys::of(lock);
    let lock = object(lock)?;
    // lockfileVersion 2 has both forms; `packages` is the one that npm reads.
    match (lock.get("packages"), lock.get("dependencies")) {
        (Some(Value::Object(packages)), _) => npm_flat(packages, &lines),
        (_, Some(Value::Object(dependencies))) => npm_nested(dependencies, &lines),
        _ => Ok(Vec::new()),
    }
}

/// lockfileVersion 2 and 3: by the places where they would be installed.
fn npm_flat(all: &Map<String, Value>, lines: &Keys<'_>) -> Result<Vec<Locked>, Reason> {
    let mut packages = Packages::default();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, package) in all {
        let by_place = place.rsplit_once("node_modules/").map(|(_, name)| name);
        let name = text(package, "name").or(by_place);
        let version = text(package, "version");
        let (from, name, version) = match by_place {
            // The project, and members of its workspace: folders of it.
            None => (
                LockedFrom::Project,
                name.unwrap_or("the project"),
                version.unwrap_or("0"),
            ),
            // A link to one of those.
            Some(_) if is_true(package, "link") => continue,
            Some(_) => {
                let Some((name, version)) = name.zip(version) else {
                    continue;
                };
                // What was fetched from elsewhere says so where a tarball would be.
                let resolved = text(package, "resolved").unwrap_or_default();
                let is_elsewhere = resolved.starts_with("git") || resolved.starts_with("file:");
                match is_version(version) && !is_elsewhere {
                    true => (LockedFrom::Registry, name, version),
                    false => (LockedFrom::Elsewhere, name, version),
                }
            }
        };
        if let Some(at) = packages.add(from, name, version, lines.line(place))? {
            packages.all[at].development = is_true(package, "dev");
            places.insert(place, at);
        }
    }
    for (place, package) in all {
        let Some(who) = places.get(&**place).copied() else {
            continue;
        };
        for table in WANTED {
            for (name, _) in keys(package, table) {
                if let Some(what) = nearest(all, &places, place, name) {
                    packages.need(who, what)?;
                }
            }
        }
    }
    Ok(packages.done())
}

/// Node looks in its own `node_modules`, then in those of each folder above.
fn nearest(
    all: &Map<String, Value>,
    places: &BTreeMap<&str, usize>,
    from: &str,
    name: &str,
) -> Option<usize> {
    let mut folder = from;
    loop {
        let place = match folder {
            "" => format!("node_modules/{name}"),
            folder => format!("{folder}/node_modules/{name}"),
        };
        if let Some(at) = places.get(&*place) {
            return Some(*at);
        }
        // A link to a member of the workspace.
        if let Some(link) = all.get(&place) {
            return places.get(text(link, "resolved")?).copied();
        }
        if folder.is_empty() {
            return None;
        }
        folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
    }
}

/// Old lockfiles nest; a real one goes some twenty levels deep, and `serde_json` stops at 128.
type Scope<'a> = Vec<BTreeMap<&'a str, usize>>;

/// lockfileVersion 1, which does not say what the project asks for.
fn npm_nested(all: &Map<String, Value>, lines: &Keys<'_>) -> Result<Vec<Locked>, Reason> {
    let mut packages = Packages::default();
    npm_level(all, lines, &mut packages, &mut Vec::new())?;
    Ok(packages.done())
}

fn npm_level<'a>(
    all: &'a Map<String, Value>,
    lines: &Keys<'_>,
    packages: &mut Packages,
    scope: &mut Scope<'a>,
) -> Result<(), Reason> {
    let mut here: BTreeMap<&str, usize> = BTreeMap::new();
    for (key, package) in all {
        let Some(version) = text(package, "version") else {
            continue;
        };
        // `npm:other@1.2.3` is an alias.
        let alias = version
            .strip_prefix("npm:")
            .and_then(|it| it.rsplit_once('@'));
        let (name, version) = alias.unwrap_or((key, version));
        let from = match is_version(version) {
            true => LockedFrom::Registry,
            false => LockedFrom::Elsewhere,
        };
        if let Some(at) = packages.add(from, name, version, lines.line(key))? {
            packages.all[at].development = is_true(package, "dev");
            here.insert(key, at);
        }
    }
    scope.push(here);
    for (key, package) in all {
        let who = scope.last().and_then(|here| here.get(&**key)).copied();
        if let Some(Value::Object(inner)) = package.get("dependencies") {
            npm_level(inner, lines, packages, scope)?;
        }
        let Some(who) = who else { continue };
        for (name, _) in keys(package, "requires") {
            let what = scope.iter().rev().find_map(|level| level.get(name));
            if let Some(what) = what.copied() {
                packages.need(who, what)?;
            }
        }
    }
    scope.pop();
    Ok(())
}

/// Yarn's own form, of which the second one is YAML.
pub(super) fn yarn(lock: &str, manifest: Option<&str>) -> Result<Vec<Locked>, Reason> {
    let wanted = manifest.map(object).transpose()?.map(Value::Object);
    match lock.lines().any(|line| line == "__metadata:") {
        true => berry(lock),
        false => classic(lock, wanted.as_ref()),
    }
}

/// `yarn.lock` of Yarn 1:
///
/// ```text
/// "@babel/core@^7.0.0", other@^1:
///   version "7.1.0"
///   resolved "https://…"
///   dependencies:
///     name "^1.0.0"
/// ```
fn classic(lock: &str, manifest: Option<&Value>) -> Result<Vec<Locked>, Reason> {
    #[derive(Default)]
    struct Entry<'t> {
        asked: Vec<&'t str>,
        version: Option<&'t str>,
        line: u32,
        resolved: &'t str,
        needs: Vec<(&'t str, &'t str)>,
    }
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut in_needs = false;
    for (number, line) in (1u32..).zip(lock.lines()) {
        let body = line.trim_start();
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let indent = line.len() - body.len();
        match (indent, entries.last_mut()) {
            (0, _) => {
                let Some(keys) = body.trim_end().strip_suffix(':') else {
                    return Err(malformed(format!("line {number} is none that Yarn writes")));
                };
                entries.push(Entry {
                    asked: keys.split(',').map(|key| unquoted(key.trim())).collect(),
                    line: number,
                    ..Entry::default()
                });
                in_needs = false;
            }
            (1..4, Some(entry)) => {
                in_needs = matches!(body.trim_end(), "dependencies:" | "optionalDependencies:");
                match body.split_once(' ') {
                    Some(("version", version)) => entry.version = Some(unquoted(version.trim())),
                    Some(("resolved", from)) => entry.resolved = unquoted(from.trim()),
                    _ => {}
                }
            }
            (_, Some(entry)) if in_needs => {
                let pair = two_words(body);
                entry.needs.extend(pair);
            }
            (_, Some(_)) => {}
            (_, None) => return Err(malformed(format!("line {number} belongs to nothing"))),
        }
    }
    let mut packages = Packages::default();
    let mut places: Places<'_> = Places::new();
    let mut added = Vec::new();
    for entry in &entries {
        let (Some(key), Some(version)) = (entry.asked.first(), entry.version) else {
            return Err(malformed(format!("line {}: no version", entry.line)));
        };
        let (name, range) = name_of(key);
        let name = alias(range).map_or(name, |(name, _)| name);
        let is_tarball = entry.resolved.is_empty() || entry.resolved.starts_with("https://");
        let is_named = !range.contains("://") && !range.starts_with("file:");
        let from = match is_version(version) && is_tarball && is_named {
            true => LockedFrom::Registry,
            false => LockedFrom::Elsewhere,
        };
        let Some(at) = packages.add(from, name, version, Some(entry.line))? else {
            continue;
        };
        added.push((at, entry));
        for key in &entry.asked {
            places.entry(key).or_default().push(at);
        }
    }
    for (who, entry) in added {
        for (name, range) in &entry.needs {
            for what in places
                .get(&*format!("{name}@{range}"))
                .into_iter()
                .flatten()
            {
                packages.need(who, *what)?;
            }
        }
    }
    if let Some(manifest) = manifest {
        let project = packages.project()?;
        for table in WANTED {
            for (name, range) in keys(manifest, table) {
                let asked = format!("{name}@{}", range.as_str().unwrap_or_default());
                for what in places.get(&*asked).into_iter().flatten() {
                    packages.need(project, *what)?;
                }
            }
        }
    }
    Ok(packages.done())
}

fn unquoted(text: &str) -> &str {
    text.trim_matches('"')
}

/// `name "^1.0.0"`, either of them quoted or not.
fn two_words(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (name, range) = match line.strip_prefix('"') {
        Some(rest) => rest.split_once('"')?,
        None => line.split_once(' ')?,
    };
    Some((name, unquoted(range.trim())))
}

/// `@scope/name@range`.
fn name_of(key: &str) -> (&str, &str) {
    let at = key.get(1..).and_then(|rest| rest.find('@'));
    match at {
        Some(at) => (&key[..=at], &key[at + 2..]),
        None => (key, ""),
    }
}

/// `npm:other@^1` asks for another package under this name.
fn alias(range: &str) -> Option<(&str, &str)> {
    let (name, range) = name_of(range.strip_prefix("npm:")?);
    (!range.is_empty()).then_some((name, range))
}

fn yaml(text: &str) -> Result<Value, Reason> {
    serde_saphyr::from_str(text).map_err(not_yaml)
}

/// The parser shows the place below its words, which fit in no line.
fn not_yaml(error: serde_saphyr::Error) -> Reason {
    let said = error.to_string();
    let first = said.lines().next().unwrap_or_default();
    malformed(format!("not YAML: {first}"))
}

/// `yarn.lock` of Yarn 2 and later.
fn berry(lock: &str) -> Result<Vec<Locked>, Reason> {
    let lines = Keys::of(lock);
    let lock = yaml(lock)?;
    let mut packages = Packages::default();
    let mut places: Places<'_> = Places::new();
    let mut added = Vec::new();
    for (keys, entry) in lock.as_object().into_iter().flatten() {
        if keys == "__metadata" {
            continue;
        }
        // `name@npm:1.2.3`, `name@workspace:folder`, `name@patch:…`
        let resolution = text(entry, "resolution").unwrap_or(keys);
        let (name, reference) = name_of(resolution);
        let version = text(entry, "version").unwrap_or_default();
        let from = if reference.starts_with("workspace:") {
            LockedFrom::Project
        } else if reference.starts_with("npm:") || reference.starts_with("patch:") {
            LockedFrom::Registry
        } else {
            LockedFrom::Elsewhere
        };
        let Some(at) = packages.add(from, name, version, lines.line(keys))? else {
            continue;
        };
        added.push((at, entry));
        for key in keys.split(", ") {
            places.entry(key).or_default().push(at);
        }
    }
    for (who, entry) in added {
        for (name, range) in keys(entry, "dependencies").chain(keys(entry, "devDependencies")) {
            let range = range.as_str().unwrap_or_default();
            // Older forms leave the protocol out.
            for asked in [format!("{name}@{range}"), format!("{name}@npm:{range}")] {
                for what in places.get(&*asked).into_iter().flatten() {
                    packages.need(who, *what)?;
                }
            }
        }
    }
    Ok(packages.done())
}

/// `pnpm-lock.yaml`, of lockfileVersion 5 to 9. pnpm 11 writes two documents into it: what pnpm itself
/// is run with, and the project's own.
pub(super) fn pnpm(lock: &str) -> Result<Vec<Locked>, Reason> {
    let lines = Keys::of(lock);
    let documents: Vec<Value> = serde_saphyr::from_multiple(lock).map_err(not_yaml)?;
    if documents.is_empty() {
        return Err(malformed("not YAML: it is empty"));
    }
    let mut packages = Packages::default();
    for document in &documents {
        pnpm_document(document, &lines, &mut packages)?;
    }
    Ok(packages.done())
}

fn pnpm_document(lock: &Value, lines: &Keys<'_>, packages: &mut Packages) -> Result<(), Reason> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    // From version 9 on, what a package needs stands under `snapshots`, once for each set of peers.
    let all = keys(lock, "packages").chain(keys(lock, "snapshots"));
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut added = Vec::new();
    for (key, package) in all {
        let (name, version) = pnpm_key(key).unwrap_or((key, ""));
        let at = match seen.get(&(name, version)) {
            Some(at) => *at,
            None => {
                let line = lines.line(key);
                let at = match is_version(version) {
                    true => packages.add(LockedFrom::Registry, name, version, line)?,
                    // An address or a folder: the package says its own name.
                    false => {
                        let name = text(package, "name").unwrap_or(name);
                        let version = text(package, "version").unwrap_or("0");
                        packages.add(LockedFrom::Elsewhere, name, version, line)?
                    }
                };
                let Some(at) = at else { continue };
                seen.insert((name, version), at);
                at
            }
        };
        packages.all[at].development |= is_true(package, "dev");
        places.insert(key, at);
        added.push((at, package));
    }
    for (who, package) in added {
        for table in ["dependencies", "optionalDependencies"] {
            for (name, version) in keys(package, table) {
                let version = version.as_str().unwrap_or_default();
                if let Some(what) = pnpm_place(&places, name, version) {
                    packages.need(who, what)?;
                }
            }
        }
    }
    // A single project stands at the top where there is no workspace.
    let importers: Vec<&Value> = match lock.get("importers").and_then(Value::as_object) {
        Some(importers) => importers.values().collect(),
        None => vec![lock],
    };
    for importer in importers {
        let project = packages.project()?;
        for table in WANTED {
            for (name, asked) in keys(importer, table) {
                let version = asked.as_str().or_else(|| text(asked, "version"));
                let version = version.unwrap_or_default();
                if let Some(what) = pnpm_place(&places, name, version) {
                    packages.need(project, what)?;
                }
            }
        }
    }
    Ok(())
}

/// `/name/1.0.0_peer@1`, `/name@1.0.0(peer@1)`, `name@1.0.0(peer@1)`; a scope begins with `@`.
fn pnpm_key(key: &str) -> Option<(&str, &str)> {
    let key = key.split('(').next().unwrap_or(key);
    let key = key.strip_prefix('/').unwrap_or(key);
    let scope = match key.starts_with('@') {
        true => key.find('/')? + 1,
        false => 0,
    };
    let end = scope + key[scope..].find(['/', '@'])?;
    let version = key[end + 1..].split('_').next()?;
    Some((&key[..end], version))
}

/// A dependency names a version, or the whole key where it is an alias.
fn pnpm_place(places: &BTreeMap<&str, usize>, name: &str, version: &str) -> Option<usize> {
    let keys = [
        format!("{name}@{version}"),
        format!("/{name}@{version}"),
        format!("/{name}/{version}"),
        version.to_owned(),
    ];
    keys.iter().find_map(|key| places.get(&**key)).copied()
}

/// What of a `package.json` matters before npm is asked about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// What it asks for by name.
    pub wants: BTreeSet<String>,
    /// Dependencies that are not the registry's, as they are written.
    pub outside: Vec<(String, String)>,
    /// Folders of its workspace, as they are written, patterns and all.
    pub workspaces: Vec<String>,
}

/// # Errors
/// When it is no JSON.
pub fn project(manifest: &str) -> Result<Project, Reason> {
    let manifest = Value::Object(object(manifest)?);
    let mut project = Project::default();
    for table in WANTED {
        for (name, asked) in keys(&manifest, table) {
            let asked = asked.as_str().unwrap_or("?");
            project.wants.insert(name.to_owned());
            if !is_of_registry(asked) {
                project.outside.push((name.to_owned(), asked.to_owned()));
            }
        }
    }
    for table in ["overrides", "resolutions"] {
        if let Some(value) = manifest.get(table) {
            overridden(table, value, &mut project.outside);
        }
    }
    let workspaces = manifest.get("workspaces");
    let listed = workspaces.and_then(|it| it.as_array().or_else(|| it.get("packages")?.as_array()));
    let listed = listed.into_iter().flatten().filter_map(Value::as_str);
    project.workspaces = listed.map(str::to_owned).collect();
    Ok(project)
}

fn overridden(name: &str, value: &Value, outside: &mut Vec<(String, String)>) {
    match value {
        Value::String(asked) if !is_of_registry(asked) => {
            outside.push((name.to_owned(), asked.clone()));
        }
        Value::Object(inner) => {
            for (name, value) in inner {
                overridden(name, value, outside);
            }
        }
        _ => {}
    }
}

/// A range or a tag, and not an address, a repository (`user/name` is one) or a folder.
fn is_of_registry(asked: &str) -> bool {
    let range = alias(asked).map_or(asked, |(_, range)| range);
    !range.contains([':', '/', '\\'])
}

/// Addresses in a lockfile that npm could be made to ask, whose host is not among `hosts`.
///
/// # Errors
/// When it is no JSON.
pub fn lock_outside(lock: &str, hosts: &BTreeSet<String>) -> Result<Vec<String>, Reason> {
    let lock = Value::Object(object(lock)?);
    let mut found = Vec::new();
    addresses(&lock, hosts, &mut found);
    Ok(found)
}

fn addresses(value: &Value, hosts: &BTreeSet<String>, found: &mut Vec<String>) {
    match value {
        Value::Object(inner) => {
            let is_link = is_true(value, "link");
            for (key, value) in inner {
                match value {
                    Value::String(text) if key == "resolved" || key == "version" => {
                        let is_address = text.contains(':') || text.contains('/');
                        if is_address && !is_link && !is_on(text, hosts) {
                            found.push(text.clone());
                        }
                    }
                    value => addresses(value, hosts, found),
                }
            }
        }
        Value::Array(inner) => inner.iter().for_each(|one| addresses(one, hosts, found)),
        _ => {}
    }
}

/// Is it an address of one of these hosts, or an alias of a version?
fn is_on(address: &str, hosts: &BTreeSet<String>) -> bool {
    if alias(address).is_some_and(|(_, version)| is_version(version)) {
        return true;
    }
    let rest = address
        .strip_prefix("https://")
        .or_else(|| address.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    host.is_some_and(|host| hosts.contains(host))
}
