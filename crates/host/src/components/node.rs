//! Node packages: `package.json` of an installed one, and npm's `package-lock.json`.

use model::component::{Ecosystem, EvidenceKind};
use model::value::Reason;
use serde_json::{Map, Value};

use super::found::Found;
use super::source::malformed;

/// The largest of the registry have a few hundred kilobytes.
pub const PACKAGE_LIMIT_BYTES: u64 = 4 << 20;
/// A monorepo with five thousand packages has 3 MB.
pub const LOCK_LIMIT_BYTES: u64 = 32 << 20;

/// Old lockfiles nest; a real one goes some twenty levels deep. `serde_json` itself stops at
/// 128.
const DEEPEST: usize = 64;

/// The package that a `package.json` is of; none when it names none, as those that only say
/// how a folder is to be loaded.
pub fn parse_package(bytes: &[u8]) -> Result<Option<Found>, Reason> {
    #[derive(serde::Deserialize)]
    struct Package {
        #[serde(default)]
        name: Value,
        #[serde(default)]
        version: Value,
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let package: Package = serde_json::from_slice(bytes).map_err(not_json)?;
    Ok(package
        .name
        .as_str()
        .zip(package.version.as_str())
        .and_then(|(name, version)| {
            Found::new(Ecosystem::Npm, name, version, EvidenceKind::Metadata)
        }))
}

/// What a lockfile wants to be installed. What only development needs is left out.
pub fn parse_lock(bytes: &[u8]) -> Result<Vec<Found>, Reason> {
    let lock: Map<String, Value> = serde_json::from_slice(bytes).map_err(not_json)?;
    let mut found = Vec::new();
    // lockfileVersion 2 has both forms; `packages` is the one that npm reads.
    if let Some(Value::Object(packages)) = lock.get("packages") {
        for (place, package) in packages {
            // The project itself, and what is only a link to a folder of it.
            let Some((_, by_place)) = place.rsplit_once("node_modules/") else {
                continue;
            };
            if is_true(package, "link") || is_true(package, "dev") {
                continue;
            }
            // "name" is there when it differs from the folder's: an alias.
            let name = text(package, "name").unwrap_or(by_place);
            found.extend(locked(name, package));
        }
    } else if let Some(Value::Object(dependencies)) = lock.get("dependencies") {
        nested(dependencies, 0, &mut found);
    }
    Ok(found)
}

/// lockfileVersion 1.
fn nested(dependencies: &Map<String, Value>, depth: usize, found: &mut Vec<Found>) {
    for (name, package) in dependencies {
        if !is_true(package, "dev") {
            found.extend(locked(name, package));
        }
        if let Some(Value::Object(inner)) = package.get("dependencies")
            && depth < DEEPEST
        {
            nested(inner, depth + 1, found);
        }
    }
}

fn locked(name: &str, package: &Value) -> Option<Found> {
    let version = text(package, "version")?;
    // `npm:other@1.2.3` is an alias; a folder or an address of a repository is no version.
    let (name, version) = match version.strip_prefix("npm:") {
        Some(alias) => alias.rsplit_once('@')?,
        None => (name, version),
    };
    let starts_with_digit = version
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_digit());
    starts_with_digit
        .then(|| Found::new(Ecosystem::Npm, name, version, EvidenceKind::Lockfile))
        .flatten()
}

fn text<'a>(package: &'a Value, key: &str) -> Option<&'a str> {
    package.get(key)?.as_str()
}

fn is_true(package: &Value, key: &str) -> bool {
    package.get(key) == Some(&Value::Bool(true))
}

fn not_json(error: serde_json::Error) -> Reason {
    malformed(format!("not the JSON that npm writes: {error}"))
}
