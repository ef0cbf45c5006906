//! What is seen of an image when its layers lie on each other.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use model::component::{Evidence, EvidenceKind};
use model::value::Reason;
use model::{HostPath, facts::Release};

use super::layer::{Layer, Read, Role};
use super::{Image, Place};
use crate::components::found::Contents;
use crate::components::search::{Candidate, Kind};
use crate::components::{Collected, packages, read};
use crate::local::Inner;
use crate::parse::apk;
use crate::parse::dpkg::parse_status;
use crate::parse::os_release::parse_os_release;

/// dpkg's files of an image; the host's own limits.
const FILE_LIMIT_BYTES: u64 = 64 << 20;

/// Other package managers, by a path that their databases have in an image.
const OTHERS: [(&str, &[u8]); 2] = [
    ("rpm", b"/var/lib/rpm/"),
    ("rpm", b"/usr/lib/sysimage/rpm/"),
];

/// A file that can be seen in an image.
struct Seen<'a> {
    path: &'a [u8],
    layer: &'a Place,
    role: Role,
}

pub fn look(
    host: &Arc<Inner>,
    images: &[Image],
    layers: &BTreeMap<Place, Layer>,
    collected: &mut Collected,
) {
    // A layer that several images share is looked into once.
    let mut done: BTreeMap<Candidate, Contents> = BTreeMap::new();
    for image in images {
        let stack: Vec<(&Place, &Layer)> = image
            .layers
            .iter()
            .filter_map(|place| layers.get_key_value(place))
            .collect();
        let seen = seen(&stack);
        let bytes = |seen: &Seen<'_>| bytes(host, layers, seen);
        let release = release(&seen, &bytes);
        read_packages(image, &seen, release.as_ref(), &bytes, collected);
        say_others(image, &stack, collected);
        let owned = owned(&seen, &bytes);
        let speaking = seen
            .iter()
            .filter(|seen| !owned.contains(&unmerged(seen.path)));
        let mut wanted = Vec::new();
        for seen in speaking {
            let Role::Speaks(kind) = seen.role else {
                continue;
            };
            if let Some(Read::Contents(contents)) = kept(layers, seen) {
                let evidence = |member: Option<&String>| member_of(seen, member);
                let mut contents = contents.clone();
                for found in &mut contents.found {
                    found.member = evidence(found.member.as_ref());
                }
                collected.take(seen.layer.path(), Some(&image.name), contents);
            } else if let Some(candidate) = candidate(seen, kind) {
                wanted.push(candidate);
            }
        }
        let new: Vec<&Candidate> = wanted.iter().filter(|it| !done.contains_key(it)).collect();
        let mut contents: BTreeMap<Candidate, Contents> = read::all(host, &new)
            .into_iter()
            .map(|(candidate, contents)| (candidate.clone(), contents))
            .collect();
        for candidate in wanted {
            let contents = done
                .entry(candidate.clone())
                .or_insert_with(|| contents.remove(&candidate).unwrap_or_default());
            collected.take(&candidate.path, Some(&image.name), contents.clone());
        }
    }
}

/// What no higher layer hides.
fn seen<'a>(stack: &[(&'a Place, &'a Layer)]) -> Vec<Seen<'a>> {
    let mut seen = Vec::new();
    for (depth, (place, layer)) in stack.iter().enumerate() {
        let above = &stack[depth + 1..];
        for (path, file) in &layer.files {
            if !above.iter().any(|(_, higher)| higher.hides(path)) {
                seen.push(Seen {
                    path,
                    layer: place,
                    role: file.role,
                });
            }
        }
    }
    seen
}

fn kept<'a>(layers: &'a BTreeMap<Place, Layer>, seen: &Seen<'_>) -> Option<&'a Read> {
    layers.get(seen.layer)?.files.get(seen.path)?.read.as_ref()
}

/// A file's bytes; none when they can't be had.
fn bytes(host: &Arc<Inner>, layers: &BTreeMap<Place, Layer>, seen: &Seen<'_>) -> Option<Vec<u8>> {
    match kept(layers, seen) {
        Some(Read::Bytes(bytes)) => Some(bytes.clone()),
        Some(Read::Contents(_)) => None,
        None => host.read_path(&on_host(seen)?, FILE_LIMIT_BYTES).ok(),
    }
}

/// Where a file of a layer that is a directory lies on the host.
fn on_host(seen: &Seen<'_>) -> Option<HostPath> {
    match seen.layer {
        Place::Directory(layer) => layer.join(seen.path).ok(),
        Place::Archive(_) => None,
    }
}

fn candidate(seen: &Seen<'_>, kind: Kind) -> Option<Candidate> {
    let path = on_host(seen)?;
    Some(Candidate { path, kind })
}

/// The way inside a layer that is an archive.
fn member_of(seen: &Seen<'_>, inner: Option<&String>) -> Option<String> {
    let path = model::printable(seen.path.strip_prefix(b"/").unwrap_or(seen.path));
    Some(match inner {
        Some(inner) => format!("{path}!/{inner}"),
        None => path,
    })
}

fn release(seen: &[Seen<'_>], bytes: &impl Fn(&Seen<'_>) -> Option<Vec<u8>>) -> Option<Release> {
    // `/etc/os-release` sorts before the one of `/usr/lib`, and is most often a link to it.
    let mut files: Vec<&Seen<'_>> = seen.iter().filter(|it| it.role == Role::Release).collect();
    files.sort_by_key(|seen| seen.path);
    files
        .into_iter()
        .find_map(|seen| parse_os_release(&bytes(seen)?))
}

fn read_packages(
    image: &Image,
    seen: &[Seen<'_>],
    release: Option<&Release>,
    bytes: &impl Fn(&Seen<'_>) -> Option<Vec<u8>>,
    collected: &mut Collected,
) {
    let ecosystem = packages::ecosystem(release);
    for seen in seen {
        if !matches!(seen.role, Role::Status | Role::Apk) {
            continue;
        }
        let evidence = match on_host(seen) {
            Some(path) => Evidence {
                path,
                how: EvidenceKind::Database,
                member: None,
            },
            None => Evidence {
                path: seen.layer.path().clone(),
                how: EvidenceKind::Database,
                member: member_of(seen, None),
            },
        };
        let Some(bytes) = bytes(seen) else {
            let why = "can't be read".to_owned();
            collected.unread(evidence.path, Reason::Failed { why });
            continue;
        };
        if seen.role == Role::Apk {
            packages::add_apk(&bytes, release, Some(&image.name), &evidence, collected);
            continue;
        }
        for mut package in parse_status(&with_status(bytes)) {
            if package.status.is_empty() {
                package.status = "install ok installed".to_owned();
            }
            if !package.has_files() {
                continue;
            }
            let mut component = packages::component(&package, ecosystem.clone(), None);
            component.image = Some(image.name.clone());
            collected.add(component, evidence.clone());
        }
    }
}

/// The files of distroless images are control files, which know no state: they are there, so
/// the package is.
fn with_status(mut bytes: Vec<u8>) -> Vec<u8> {
    let has_status =
        bytes.starts_with(b"Status:") || memchr::memmem::find(&bytes, b"\nStatus:").is_some();
    if !has_status {
        bytes = [b"Status: install ok installed\n", bytes.trim_ascii_start()].concat();
    }
    bytes
}

fn say_others(image: &Image, stack: &[(&Place, &Layer)], collected: &mut Collected) {
    for (manager, path) in OTHERS {
        let has = |layer: &Layer| match path.ends_with(b"/") {
            true => layer.taken.iter().any(|taken| taken.starts_with(path)),
            false => layer.taken.contains(path),
        };
        if let Some((place, _)) = stack.iter().find(|(_, layer)| has(layer)) {
            let what = format!(
                "packages of {manager} in the image {} are not read yet",
                model::printable(image.name.as_bytes())
            );
            collected.unread(place.path().clone(), Reason::Unavailable { what });
        }
    }
}

/// The paths that packages of the image have, as far as somebody asks about them.
fn owned(seen: &[Seen<'_>], bytes: &impl Fn(&Seen<'_>) -> Option<Vec<u8>>) -> HashSet<Vec<u8>> {
    let asked: BTreeSet<Vec<u8>> = seen
        .iter()
        .filter(|seen| matches!(seen.role, Role::Speaks(_)))
        .map(|seen| unmerged(seen.path))
        .collect();
    let mut owned = HashSet::new();
    if asked.is_empty() {
        return owned;
    }
    for seen in seen.iter().filter(|it| it.role == Role::List) {
        let is_sums = seen.path.ends_with(b".md5sums");
        for line in bytes(seen).unwrap_or_default().split(|byte| *byte == b'\n') {
            let path = match is_sums {
                // "HASH  usr/lib/file"
                true => [b"/", line.get(34..).unwrap_or_default()].concat(),
                false => line.to_vec(),
            };
            let path = unmerged(&path);
            if asked.contains(&path) {
                owned.insert(path);
            }
        }
    }
    for seen in seen.iter().filter(|it| it.role == Role::Apk) {
        apk::files(&bytes(seen).unwrap_or_default(), &mut |path| {
            let path = unmerged(path);
            if asked.contains(&path) {
                owned.insert(path);
            }
        });
    }
    owned
}

/// A path as it was before `/usr` took in `/bin` and the others: lists name files either way.
fn unmerged(path: &[u8]) -> Vec<u8> {
    let is_merged = [&b"/usr/bin/"[..], b"/usr/sbin/", b"/usr/lib"]
        .iter()
        .any(|merged| path.starts_with(merged));
    match is_merged {
        true => path[b"/usr".len()..].to_vec(),
        false => path.to_vec(),
    }
}
