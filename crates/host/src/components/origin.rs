//! Who published the installed packages, from what apt keeps of its sources.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::HostPath;
use model::value::FileType;

use super::source::{OpenFile, Source};
use crate::local::Inner;
use crate::parse::apt_lists::{Wanted, find_versions, parse_origin};
use crate::parse::dpkg::PackageRecord;

const LISTS: &str = "/var/lib/apt/lists";
/// A Release file lists each of its files three times; Debian's has 200 KB.
const RELEASE_LIMIT_BYTES: u64 = 32 << 20;
/// Debian's main has 50 MB; twenty sources of that size are more than anybody uses.
const LISTS_LIMIT_BYTES: u64 = 1 << 30;
/// Lists are read in pieces of this size.
const PIECE_BYTES: u64 = 1 << 20;
/// A stanza is shorter than this; one that is not is no package.
const LONGEST_STANZA_BYTES: usize = 8 << 20;

/// The publisher of each of these packages, in their order; none where the lists don't tell.
pub fn origins(host: &Arc<Inner>, packages: &[&PackageRecord]) -> Vec<Option<String>> {
    let mut origins = vec![None; packages.len()];
    let mut wanted = Wanted::new();
    for (place, package) in packages.iter().enumerate() {
        let places = wanted.entry(package.name.as_bytes()).or_default();
        places.push(place);
    }
    let lists = HostPath::literal(LISTS);
    let files = host.tree.list(&lists).unwrap_or_default();
    let names = || {
        let files = files.iter();
        let files = files.filter(|(_, file_type)| *file_type == FileType::Regular);
        files.map(|(name, _)| name.as_slice())
    };
    // `deb.example.org_debian_dists_bookworm_InRelease` goes with
    // `deb.example.org_debian_dists_bookworm_main_binary-amd64_Packages`.
    let mut releases: BTreeMap<&[u8], String> = BTreeMap::new();
    for name in names() {
        let before = name
            .strip_suffix(b"InRelease")
            .or_else(|| name.strip_suffix(b"Release"));
        if let Some(before) = before
            && let Ok(path) = lists.join(name)
            && let Ok(bytes) = host.read_path(&path, RELEASE_LIMIT_BYTES)
            && let Some(origin) = parse_origin(&bytes)
        {
            releases.entry(before).or_insert(origin);
        }
    }
    let mut left = LISTS_LIMIT_BYTES;
    for name in names().filter(|name| name.ends_with(b"_Packages")) {
        let release = releases.iter().rev();
        let origin = release
            .into_iter()
            .find(|(before, _)| name.starts_with(before));
        let (Some((_, origin)), Ok(path)) = (origin, lists.join(name)) else {
            continue;
        };
        let Ok(opened) = host.look(&path.clone(), move |host| host.tree.open_file(&path)) else {
            continue;
        };
        let file = OpenFile {
            file: opened.file,
            size_bytes: opened.node.size_bytes,
        };
        let Some(rest) = left.checked_sub(file.len()) else {
            break;
        };
        left = rest;
        search(&file, &wanted, packages, origin, &mut origins);
    }
    origins
}

fn search(
    list: &OpenFile,
    wanted: &Wanted<'_>,
    packages: &[&PackageRecord],
    origin: &str,
    origins: &mut [Option<String>],
) {
    let mut held: Vec<u8> = Vec::new();
    let mut at = 0;
    while at < list.len() && held.len() < LONGEST_STANZA_BYTES {
        let size = PIECE_BYTES.min(list.len() - at);
        let Ok(piece) = list.read(at, size) else {
            return;
        };
        at += size;
        held.extend_from_slice(&piece);
        let done = find_versions(&held, at == list.len(), wanted, &mut |place, listed| {
            let package = packages[place];
            let same = listed.version == package.version.as_bytes()
                && listed.architecture == package.architecture.as_bytes();
            // The same version in several sources is named after the first, by name.
            if same && origins[place].as_deref().is_none_or(|known| origin < known) {
                origins[place] = Some(origin.to_owned());
            }
        });
        held.drain(..done);
    }
}
