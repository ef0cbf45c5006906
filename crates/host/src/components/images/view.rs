//! What is seen of an image when its layers lie on each other.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use model::component::{Evidence, EvidenceKind};
use model::value::Reason;
use model::{HostPath, facts::Release};

use super::layer::{Layer, Read, Role};
use super::{Image, Place};
use crate::components::read::Parsed;
use crate::components::search::{Candidate, FileId, Kind};
use crate::components::{Collected, packages, read};
use crate::local::Inner;
use crate::parse::apk;
use crate::parse::dpkg::each_package;
use crate::parse::os_release::parse_os_release;

/// dpkg's files of an image; the host's own limits.
const FILE_LIMIT_BYTES: u64 = 64 << 20;

/// Files that may speak, of all images of one owner together, one in a layer that several share for
/// each. A distribution's image has a few thousand.
const MOST_FILES: usize = 20_000_000;

/// Packages of an image whose lists are looked into; Debian has 70,000.
const MOST_PACKAGES: usize = 200_000;

/// What is remembered of files for the next image.
const KNOWN_LIMIT_BYTES: usize = 256 << 20;

/// Other package managers, by a path that their databases have in an image.
const OTHERS: [(&str, &[u8]); 2] = [
    ("rpm", b"/var/lib/rpm/"),
    ("rpm", b"/usr/lib/sysimage/rpm/"),
];

/// Of distroless images: a file for each package.
const STATUS_DIRECTORY: &[u8] = b"/var/lib/dpkg/status.d/";

/// What stands for a package's list in a distroless image.
const SUMS: &[u8] = b".md5sums";

/// A file that can be seen in an image.
struct Seen<'a> {
    path: &'a [u8],
    layer: &'a Place,
    role: Role,
    owner: u32,
    linked: Option<FileId>,
}

/// Looks at the images, and tells of how many there was no time for.
pub fn look(
    host: &Arc<Inner>,
    images: &[Image],
    layers: &BTreeMap<Place, Layer>,
    collected: &mut Collected,
) -> usize {
    // A layer that several images share is looked into once, as far as that can be remembered.
    let mut known: BTreeMap<Candidate, Arc<Parsed>> = BTreeMap::new();
    let mut known_bytes = 0;
    let mut files_left = MOST_FILES;
    let mut left_out = 0;
    for image in images {
        let stack: Vec<(&Place, &Layer)> = image
            .layers
            .iter()
            .filter_map(|place| layers.get_key_value(place))
            .collect();
        let files: usize = stack.iter().map(|(_, layer)| layer.files.len()).sum();
        if files > files_left {
            left_out += 1;
            continue;
        }
        files_left -= files;
        let seen = seen(&stack);
        let bytes = |seen: &Seen<'_>| bytes(host, layers, seen);
        let release = release(&seen, &bytes);
        let packages = read_packages(image, &seen, release.as_ref(), &bytes, collected);
        say_others(image, &stack, collected);
        let owned = owned(&seen, &packages, &bytes);
        let speaking = seen
            .iter()
            .filter(|seen| !owned.contains(&unmerged(seen.path)));
        let mut wanted = Vec::new();
        for seen in speaking {
            let Role::Speaks(kind) = seen.role else {
                continue;
            };
            if let Some(Read::Contents(contents)) = kept(layers, seen) {
                let (path, name) = (seen.layer.path(), Some(image.name.as_str()));
                collected.contents(path, name, contents, &|member| member_of(seen, member));
            } else if let Some(candidate) = candidate(seen, kind) {
                wanted.push(candidate);
            }
        }
        let mut new = Vec::new();
        let wanted = read::first_names(wanted.iter().collect(), &mut |candidate, more| {
            collected.say_more_names(candidate, more);
        });
        for candidate in wanted {
            match known.get(candidate) {
                Some(parsed) => collected.take(candidate, Some(&image.name), parsed),
                None => new.push(candidate),
            }
        }
        read::all(host, &new, &mut |candidate, parsed| {
            collected.take(candidate, Some(&image.name), parsed);
            if known_bytes < KNOWN_LIMIT_BYTES {
                known_bytes += candidate.path.as_bytes().len() + parsed.held_bytes();
                known.insert(candidate.clone(), Arc::clone(parsed));
            }
        });
    }
    left_out
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
                    owner: file.owner,
                    linked: file.linked,
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
    Some(Candidate {
        path: on_host(seen)?,
        kind,
        owner: seen.owner,
        linked: seen.linked,
    })
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

/// Takes the packages of an image. Returned are the names of those of dpkg.
fn read_packages(
    image: &Image,
    seen: &[Seen<'_>],
    release: Option<&Release>,
    bytes: &impl Fn(&Seen<'_>) -> Option<Vec<u8>>,
    collected: &mut Collected,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
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
        each_package(&with_status(bytes), |mut package| {
            if package.status.is_empty() {
                package.status = "install ok installed".to_owned();
            }
            if !package.has_files() {
                return;
            }
            if names.len() < MOST_PACKAGES {
                names.insert(package.name.clone());
                // `status.d/base` of distroless images is the package base-files.
                if seen.path.starts_with(STATUS_DIRECTORY) {
                    let file = seen.path.get(STATUS_DIRECTORY.len()..).unwrap_or_default();
                    names.extend(str::from_utf8(file).map(str::to_owned));
                }
            }
            let mut component = packages::component(&package, ecosystem.clone(), None);
            component.image = Some(image.name.clone());
            collected.add(component, evidence.clone());
        });
    }
    names
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

/// The paths that packages of the image have, as far as somebody asks about them. `packages` are
/// those of dpkg that are listed: a list of any other hides nothing.
fn owned(
    seen: &[Seen<'_>],
    packages: &BTreeSet<String>,
    bytes: &impl Fn(&Seen<'_>) -> Option<Vec<u8>>,
) -> HashSet<Vec<u8>> {
    let asked: BTreeSet<Vec<u8>> = seen
        .iter()
        .filter(|seen| matches!(seen.role, Role::Speaks(_)))
        .map(|seen| unmerged(seen.path))
        .collect();
    let mut owned = HashSet::new();
    if asked.is_empty() {
        return owned;
    }
    let lists = seen.iter().filter(|seen| {
        seen.role == Role::List && package_of(seen.path).is_some_and(|name| packages.contains(name))
    });
    for seen in lists {
        let is_sums = seen.path.ends_with(SUMS);
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

/// Whose list this is: `NAME.list`, `NAME:ARCHITECTURE.list`, `NAME.md5sums`.
fn package_of(list: &[u8]) -> Option<&str> {
    let file = list.rsplit(|byte| *byte == b'/').next()?;
    let full = file
        .strip_suffix(b".list")
        .or_else(|| file.strip_suffix(SUMS))?;
    str::from_utf8(full).ok()?.split(':').next()
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
