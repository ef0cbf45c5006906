//! What is seen of an image when its layers lie on each other.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use model::component::{Evidence, EvidenceKind};
use model::value::Reason;
use model::{HostPath, facts::Release};

use super::layer::{Layer, LayerFile, Read, Role};
use super::room::Room;
use super::{Image, Place};
use crate::components::read::Parsed;
use crate::components::search::{Candidate, Kind};
use crate::components::{Collected, packages, read};
use crate::local::Inner;
use crate::parse::apk;
use crate::parse::dpkg::{each_package, with_status};
use crate::parse::os_release::parse_os_release;
use crate::tree::Trouble;

/// dpkg's files of an image; the host's own limits.
const FILE_LIMIT_BYTES: u64 = 64 << 20;

/// What looking costs, in the parts of `Room::work`. A file that may speak: what is found of it is
/// looked up, and taken.
const FILE_WORK: u64 = 500;
/// A byte of its path, which is compared with others.
const PATH_BYTE_WORK: u64 = 4;
/// A look into what a layer takes away, besides the bytes that are hashed.
const LOOKUP_WORK: u64 = 40;
/// Opening a file of a package manager, a byte of it, and a line: of a list, and of a database, whose
/// packages are taken.
const OPEN_WORK: u64 = 20_000;
const BYTE_WORK: u64 = 2;
const LIST_LINE_WORK: u64 = 40;
const DATABASE_LINE_WORK: u64 = 200;

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
    file: &'a LayerFile,
}

/// The files of package managers, which are read again for each image, as far as there is room.
struct Files<'a> {
    host: &'a Arc<Inner>,
    room: &'a mut Room,
}

/// Looks at the images, and tells of how many there was no room for.
pub fn look(
    host: &Arc<Inner>,
    images: &[Image],
    layers: &BTreeMap<Place, Layer>,
    room: &mut Room,
    collected: &mut Collected,
) -> usize {
    // A layer that several images share is looked into once, as far as that can be remembered.
    let mut known: BTreeMap<Candidate, Arc<Parsed>> = BTreeMap::new();
    let mut known_bytes = 0;
    let mut files = Files { host, room };
    let others = others(layers);
    let mut left_out = 0;
    for image in images {
        let stack: Vec<(&Place, &Layer)> = image
            .layers
            .iter()
            .filter_map(|place| layers.get_key_value(place))
            .collect();
        let seen = match seen(&stack, files.room) {
            Some(seen) if files.has_room() => seen,
            _ => {
                left_out += 1;
                continue;
            }
        };
        let release = release(&seen, &mut files);
        let packages = read_packages(image, &seen, release.as_ref(), &mut files, collected);
        say_others(image, &stack, &others, collected);
        let owned = owned(&seen, &packages, &mut files);
        if !files.has_room() {
            // What packages own is not known, and would be taken for somebody's own.
            left_out += 1;
            continue;
        }
        let speaking = seen
            .iter()
            .filter(|seen| !owned.contains(unmerged(seen.path)));
        let mut wanted = Vec::new();
        for seen in speaking {
            let Role::Speaks(kind) = seen.file.role else {
                continue;
            };
            if let Some(Read::Contents(contents)) = &seen.file.read {
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

/// What no higher layer hides; none when there is no room to find out.
fn seen<'a>(stack: &[(&'a Place, &'a Layer)], room: &mut Room) -> Option<Vec<Seen<'a>>> {
    let mut seen = Vec::new();
    // The sets of the layers that take something away, each with the layer's depth.
    let (mut taken, mut opaque) = (Vec::new(), Vec::new());
    for (depth, (_, layer)) in stack.iter().enumerate() {
        taken.extend((!layer.taken.is_empty()).then_some((depth, &layer.taken)));
        opaque.extend((!layer.opaque.is_empty()).then_some((depth, &layer.opaque)));
    }
    for (depth, (place, layer)) in stack.iter().enumerate() {
        let above = |sets: &[(usize, _)]| sets.partition_point(|(at, _)| *at <= depth);
        let mut hidden = Hidden {
            taken: &taken[above(&taken)..],
            opaque: &opaque[above(&opaque)..],
            path: b"",
            directories: Vec::new(),
            work: 0,
        };
        for (path, file) in &layer.files {
            let is_hidden = hidden.has(path);
            let work = FILE_WORK + PATH_BYTE_WORK * path.len() as u64;
            if !room.work(work + std::mem::take(&mut hidden.work)) {
                return None;
            }
            if !is_hidden {
                seen.push(Seen {
                    path,
                    layer: place,
                    file,
                });
            }
        }
    }
    Some(seen)
}

type Names<'a> = (usize, &'a HashSet<Box<[u8]>>);

/// What higher layers hide of the files of one, which are asked for in their order: each directory
/// on the way to many files is looked up once.
struct Hidden<'a> {
    taken: &'a [Names<'a>],
    opaque: &'a [Names<'a>],
    /// The last that was asked for.
    path: &'a [u8],
    /// For each slash in it: where that is, and whether the directory before it is hidden.
    directories: Vec<(usize, bool)>,
    /// What was done since somebody took it.
    work: u64,
}

impl<'a> Hidden<'a> {
    fn has(&mut self, path: &'a [u8]) -> bool {
        let both = self.path.iter().zip(path);
        let common = both.take_while(|(one, other)| one == other).count();
        while self.directories.last().is_some_and(|(at, _)| *at >= common) {
            self.directories.pop();
        }
        self.path = path;
        let (from, mut is_hidden) = match self.directories.last() {
            Some((at, is_hidden)) => (at + 1, *is_hidden),
            None => (0, false),
        };
        for at in (from..path.len()).filter(|at| path[*at] == b'/') {
            let directory = &path[..at.max(1)];
            is_hidden =
                is_hidden || self.look(self.taken, directory) || self.look(self.opaque, directory);
            self.directories.push((at, is_hidden));
        }
        is_hidden || self.look(self.taken, path)
    }

    fn look(&mut self, sets: &[Names<'_>], path: &[u8]) -> bool {
        self.work += sets.len() as u64 * (LOOKUP_WORK + path.len() as u64);
        sets.iter().any(|(_, names)| names.contains(path))
    }
}

impl Files<'_> {
    fn has_room(&self) -> bool {
        self.room.work_left() > 0
    }

    /// A file's bytes; none when they can't be had, or there is no room for them.
    fn bytes(&mut self, seen: &Seen<'_>) -> Option<Vec<u8>> {
        let bytes = match &seen.file.read {
            Some(Read::Bytes(bytes)) => bytes.clone(),
            Some(Read::Contents(_)) => return None,
            None => {
                let path = on_host(seen)?;
                if !self.room.work(OPEN_WORK) {
                    return None;
                }
                let room_bytes = self.room.work_left() / BYTE_WORK;
                let read = self.host.read_path(&path, FILE_LIMIT_BYTES.min(room_bytes));
                if let Err(Trouble::Unknown(Reason::TooLarge { size_bytes, .. })) = read
                    && size_bytes <= FILE_LIMIT_BYTES
                {
                    self.room.work(u64::MAX);
                }
                read.ok()?
            }
        };
        let line_work = match seen.file.role {
            Role::List => LIST_LINE_WORK,
            _ => DATABASE_LINE_WORK,
        };
        let lines = memchr::memchr_iter(b'\n', &bytes).count() as u64;
        let work = BYTE_WORK * bytes.len() as u64 + line_work * lines;
        self.room.work(work).then_some(bytes)
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
        owner: seen.file.owner,
        linked: seen.file.linked,
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

fn release(seen: &[Seen<'_>], files: &mut Files<'_>) -> Option<Release> {
    // `/etc/os-release` sorts before the one of `/usr/lib`, and is most often a link to it.
    let releases = seen.iter().filter(|it| it.file.role == Role::Release);
    let mut releases: Vec<&Seen<'_>> = releases.collect();
    releases.sort_by_key(|seen| seen.path);
    releases
        .into_iter()
        .find_map(|seen| parse_os_release(&files.bytes(seen)?))
}

/// Takes the packages of an image. Returned are the names of those of dpkg.
fn read_packages(
    image: &Image,
    seen: &[Seen<'_>],
    release: Option<&Release>,
    files: &mut Files<'_>,
    collected: &mut Collected,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let ecosystem = packages::ecosystem(release);
    for seen in seen {
        if !matches!(seen.file.role, Role::Status | Role::Apk) {
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
        let Some(bytes) = files.bytes(seen) else {
            if !files.has_room() {
                return names;
            }
            let why = "can't be read".to_owned();
            collected.unread(evidence.path, Reason::Failed { why });
            continue;
        };
        if seen.file.role == Role::Apk {
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

/// The layers that have databases of other package managers, and of which.
fn others(layers: &BTreeMap<Place, Layer>) -> BTreeMap<&Place, Vec<&'static str>> {
    let mut others: BTreeMap<&Place, Vec<&'static str>> = BTreeMap::new();
    for (place, layer) in layers {
        for (manager, path) in OTHERS {
            if layer.taken.iter().any(|taken| taken.starts_with(path)) {
                others.entry(place).or_default().push(manager);
            }
        }
    }
    others
}

fn say_others(
    image: &Image,
    stack: &[(&Place, &Layer)],
    others: &BTreeMap<&Place, Vec<&'static str>>,
    collected: &mut Collected,
) {
    let mut said = BTreeSet::new();
    for (place, _) in stack {
        for manager in others.get(place).into_iter().flatten() {
            if said.insert(*manager) {
                let what = format!(
                    "packages of {manager} in the image {} are not read yet",
                    model::printable(image.name.as_bytes())
                );
                collected.unread(place.path().clone(), Reason::Unavailable { what });
            }
        }
    }
}

/// The paths that packages of the image have, as far as somebody asks about them. `packages` are
/// those of dpkg that are listed: a list of any other hides nothing.
fn owned<'a>(
    seen: &[Seen<'a>],
    packages: &BTreeSet<String>,
    files: &mut Files<'_>,
) -> HashSet<&'a [u8]> {
    let speaking = seen
        .iter()
        .filter(|seen| matches!(seen.file.role, Role::Speaks(_)));
    let asked: HashSet<&'a [u8]> = speaking.map(|seen| unmerged(seen.path)).collect();
    let mut owned = HashSet::new();
    if asked.is_empty() {
        return owned;
    }
    let mut take = |path: &[u8]| owned.extend(asked.get(unmerged(path)));
    let lists = seen.iter().filter(|seen| {
        let package = package_of(seen.path);
        seen.file.role == Role::List && package.is_some_and(|name| packages.contains(name))
    });
    for seen in lists {
        let is_sums = seen.path.ends_with(SUMS);
        let bytes = files.bytes(seen).unwrap_or_default();
        let mut path = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n') {
            if !is_sums {
                take(line);
                continue;
            }
            // "HASH  usr/lib/file"
            path.clear();
            path.push(b'/');
            path.extend_from_slice(line.get(34..).unwrap_or_default());
            take(&path);
        }
    }
    for seen in seen.iter().filter(|it| it.file.role == Role::Apk) {
        apk::files(&files.bytes(seen).unwrap_or_default(), &mut take);
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
fn unmerged(path: &[u8]) -> &[u8] {
    let is_merged = [&b"/usr/bin/"[..], b"/usr/sbin/", b"/usr/lib"]
        .iter()
        .any(|merged| path.starts_with(merged));
    match is_merged {
        true => &path[b"/usr".len()..],
        false => path,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::HostPath;

    use super::{BYTE_WORK, DATABASE_LINE_WORK, LIST_LINE_WORK, OPEN_WORK, look, seen};
    use crate::LocalHost;
    use crate::components::Collected;
    use crate::components::found::Contents;
    use crate::components::images::layer::{Layer, LayerFile, Read, Role};
    use crate::components::images::room::Room;
    use crate::components::images::{Image, Place};
    use crate::components::search::Kind;

    /// Of files that may speak, other names, and directories that are opaque.
    fn layer(files: &[&str], taken: &[&str], opaque: &[&str]) -> Layer {
        let mut layer = Layer::default();
        let names = |names: &[&str]| -> Vec<Box<[u8]>> {
            names.iter().map(|name| name.as_bytes().into()).collect()
        };
        for path in files {
            let role = Role::Speaks(Kind::Java);
            let file = LayerFile::held(role, Read::Contents(Contents::default()));
            layer.files.insert(path.as_bytes().to_vec(), file);
        }
        layer.taken.extend(names(files));
        layer.taken.extend(names(taken));
        layer.opaque.extend(names(opaque));
        layer
    }

    /// The same of one file at a time, as the standard says it.
    fn hides(layer: &Layer, path: &[u8]) -> bool {
        let slashes = (0..path.len()).filter(|at| path[*at] == b'/');
        layer.taken.contains(path)
            || slashes
                .map(|at| &path[..at.max(1)])
                .any(|above| layer.taken.contains(above) || layer.opaque.contains(above))
    }

    #[test]
    fn what_is_hidden_is_so_for_each_file_of_a_directory() {
        let paths = [
            "/a", "/a!", "/a/b", "/a/b.c/d", "/a/b/c", "/a/b/c/d", "/ab", "/ab/c", "/b/a/b",
        ];
        let place = Place::Directory(HostPath::literal("/layer"));
        let low = layer(&paths, &[], &[]);
        let mut all = paths.to_vec();
        all.extend(["/", "/b", "/b/a", "/a/b.c", "/a/"]);
        for one in &all {
            for other in &all {
                let highs = [layer(&[], &[one], &[other]), layer(&[one], &[other], &[])];
                let stack = [(&place, &low), (&place, &highs[0]), (&place, &highs[1])];
                let mut room = Room::of_root();
                let found = seen(&stack, &mut room).expect("there is room");
                let found: Vec<&[u8]> = found.iter().map(|seen| seen.path).collect();
                let wanted = paths.iter().map(|path| path.as_bytes());
                let is_hidden = |path: &&[u8]| highs.iter().any(|high| hides(high, path));
                let mut wanted: Vec<&[u8]> = wanted.filter(|path| !is_hidden(path)).collect();
                wanted.push(one.as_bytes());
                assert_eq!(found, wanted, "{one} {other}");
            }
        }
    }

    #[test]
    fn what_layers_hide_costs_what_is_looked_up() {
        let place = Place::Directory(HostPath::literal("/layer"));
        let deep = "/d".repeat(500);
        let files: Vec<String> = (0..1000).map(|name| format!("{deep}/{name}.jar")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let (low, high) = (layer(&files, &[], &[]), layer(&["/a.jar"], &[], &[]));
        let mut stack = vec![(&place, &low)];
        stack.extend(vec![(&place, &high); 10]);
        let mut room = Room::of_root();
        let before = room.work_left();
        assert!(seen(&stack, &mut room).is_some());
        let work = before - room.work_left();
        // Each directory once, and each file, for each of ten layers; and the files themselves.
        let bytes = 10 * (500 * 501 + 1000 * 1008);
        assert!((bytes..3 * bytes).contains(&work), "{work}");
        while room.work_left() > work {
            room.work(work);
        }
        assert!(seen(&stack, &mut room).is_none(), "there is no room");
        assert_eq!(room.work_left(), 0);
    }

    #[test]
    fn two_hundred_large_images_have_room() {
        let place = Place::Directory(HostPath::literal("/layer"));
        let layers: Vec<Layer> = (0..30)
            .map(|depth| {
                let at = "/usr/local/lib/python3.13/site-packages";
                let file = |name| format!("{at}/package_{depth}_{name}-1.0.dist-info/METADATA");
                let files: Vec<String> = (0..20_000 / 30).map(file).collect();
                let files: Vec<&str> = files.iter().map(String::as_str).collect();
                // Few layers replace a directory.
                let opaque = ["/var/cache"];
                layer(&files, &[], if depth == 15 { &opaque } else { &[] })
            })
            .collect();
        let stack: Vec<_> = layers.iter().map(|layer| (&place, layer)).collect();
        let mut room = Room::of_user(&Room::of_users());
        let before = room.work_left();
        assert!(seen(&stack, &mut room).is_some());
        // 400 packages, whose lists and states have 7 MB and 140,000 lines.
        let packages = 400 * OPEN_WORK
            + (7 << 20) * BYTE_WORK
            + 120_000 * LIST_LINE_WORK
            + 20_000 * DATABASE_LINE_WORK;
        let work = before - room.work_left() + packages;
        assert!(200 * work <= before, "{work}");
    }

    #[test]
    fn what_is_read_again_for_each_image_is_limited() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().join("layer/var/lib/dpkg");
        std::fs::create_dir_all(at.join("status.d")).expect("directories");
        let status = at.join("status.d/large");
        let file = std::fs::File::create(&status).expect("a file");
        file.set_len(60 << 20).expect("a sparse file");
        let host = LocalHost::offline(folder.path()).expect("a tree");
        let place = Place::Directory(HostPath::literal("/layer"));
        let mut of_status = Layer::default();
        let path = b"/var/lib/dpkg/status.d/large".to_vec();
        let mut file = LayerFile::held(Role::Status, Read::Bytes(Vec::new()));
        file.read = None;
        of_status.files.insert(path, file);
        let layers = BTreeMap::from([(place.clone(), of_status)]);
        let images: Vec<Image> = (0..5)
            .map(|number| Image {
                name: number.to_string(),
                layers: vec![place.clone()],
            })
            .collect();
        // Room for three: two bytes of work for each byte.
        let mut room = Room::of_root();
        let wanted = 3 * (2 * (60 << 20) + 100_000);
        assert!(room.work(room.work_left() - wanted));
        let mut collected = Collected::default();
        let left_out = look(&host.inner, &images, &layers, &mut room, &mut collected);
        assert_eq!(left_out, 2);
        let inventory = collected.inventory();
        assert!(inventory.unread.is_empty(), "{:?}", inventory.unread);
    }
}
