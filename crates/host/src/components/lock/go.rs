//! `go.mod`, and `go.sum` where it is needed to tell what is selected.
//!
//! "If the main module is at go 1.17 or higher, the go.mod file includes a requirement for each
//! module that provides a package imported by the main module or its tests, directly or not" (Go
//! Modules Reference, Graph pruning): the file then is the selection. Before, the rest is only in
//! `go.sum`, of which the newest version of each module is selected at most.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use advisory::version::Order;
use model::dependency::{Locked, LockedFrom};
use model::value::Reason;

use super::Packages;
use crate::components::source::malformed;

struct Required<'t> {
    path: &'t str,
    version: &'t str,
    line: u32,
    is_indirect: bool,
}

/// What stands in the place of a module, by its path and maybe its version.
struct Replaced<'t> {
    path: &'t str,
    version: Option<&'t str>,
    /// None for a folder.
    with: Option<(&'t str, &'t str)>,
}

pub(super) fn read(module: &str, sums: Option<&str>) -> Result<Vec<Locked>, Reason> {
    let mut required: Vec<Required<'_>> = Vec::new();
    let mut replaced: Vec<Replaced<'_>> = Vec::new();
    let mut is_pruned = false;
    let mut block = None;
    for (number, line) in (1u32..).zip(module.lines()) {
        let (body, remark) = line.split_once("//").unwrap_or((line, ""));
        let mut words = body.split_whitespace().map(|word| word.trim_matches('"'));
        let verb = match block {
            Some(verb) => verb,
            None => match words.next() {
                Some(verb) => verb,
                None => continue,
            },
        };
        let words: Vec<&str> = words.collect();
        match (verb, &*words) {
            (_, []) => {}
            (_, [")"]) => block = None,
            (verb, ["("]) => block = Some(verb),
            ("go", [version]) => {
                is_pruned = Order::Go
                    .compare(version, "1.17")
                    .is_some_and(Ordering::is_ge);
            }
            ("require", [path, version]) => required.push(Required {
                path,
                version,
                line: number,
                is_indirect: remark.trim().starts_with("indirect"),
            }),
            ("replace", words) => replaced.extend(replacement(words)),
            ("require", _) => {
                return Err(malformed(format!("line {number} is none that go writes")));
            }
            _ => {}
        }
    }
    let mut packages = Packages::default();
    let project = packages.project()?;
    let mut known: BTreeMap<&str, ()> = BTreeMap::new();
    for one in &required {
        known.insert(one.path, ());
        let at = add(
            &mut packages,
            &replaced,
            one.path,
            one.version,
            Some(one.line),
        )?;
        if let (Some(at), false) = (at, one.is_indirect) {
            packages.need(project, at)?;
        }
    }
    if !is_pruned {
        let mut newest: BTreeMap<&str, &str> = BTreeMap::new();
        for line in sums.unwrap_or_default().lines() {
            let mut words = line.split_whitespace();
            let (Some(path), Some(version)) = (words.next(), words.next()) else {
                continue;
            };
            // Only its go.mod was looked at.
            if version.ends_with("/go.mod") || known.contains_key(path) {
                continue;
            }
            let newer = |known: &str| Order::Go.compare(version, known) == Some(Ordering::Greater);
            if newest.get(path).is_none_or(|known| newer(known)) {
                newest.insert(path, version);
            }
        }
        for (path, version) in newest {
            add(&mut packages, &replaced, path, version, None)?;
        }
    }
    Ok(packages.done())
}

fn add(
    packages: &mut Packages,
    replaced: &[Replaced<'_>],
    path: &str,
    version: &str,
    line: Option<u32>,
) -> Result<Option<usize>, Reason> {
    let instead = replaced
        .iter()
        .find(|one| one.path == path && one.version.is_none_or(|only| only == version));
    match instead.map(|instead| instead.with) {
        None => packages.add(LockedFrom::Registry, path, version, line),
        Some(Some((path, version))) => packages.add(LockedFrom::Registry, path, version, line),
        Some(None) => packages.add(LockedFrom::Elsewhere, path, version, line),
    }
}

/// `old [v1] => new v2` or `old [v1] => ./folder`.
fn replacement<'t>(words: &[&'t str]) -> Option<Replaced<'t>> {
    let arrow = words.iter().position(|word| *word == "=>")?;
    let (old, new) = (&words[..arrow], &words[arrow + 1..]);
    Some(Replaced {
        path: old.first()?,
        version: old.get(1).copied(),
        with: new.first().copied().zip(new.get(1).copied()),
    })
}
