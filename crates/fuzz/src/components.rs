//! What speaks of components, and may come from anyone: programs, archives, metadata, lists,
//! databases of image stores. Nothing may stop the reader, and no name is longer than its bound.
//! The first byte chooses the parser.

use host::components::found::Found;
use host::components::images::layer::{Layer, Read};
use host::components::images::podman::Driver;
use host::components::images::room::Room;
use host::components::images::{containerd, docker, podman, tar};
use host::components::search::Kind;
use host::components::{contents, go, inflate, java, lock, rust, sbom};
use host::parse::apt_lists::{Wanted, find_versions, parse_origin};
use model::dependency::LockFormat;

const KINDS: [Kind; 6] = [
    Kind::PythonMetadata,
    Kind::NodePackage,
    Kind::NodeLock,
    Kind::Java,
    Kind::Gem,
    Kind::Program,
];

/// Later ones, so that the seeds stay what they are.
const VENDORED: [Kind; 4] = [
    Kind::GoVendored,
    Kind::PythonVendored,
    Kind::CargoVendored,
    Kind::PythonArchive,
];

pub fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let held = bytes.to_vec();
    match choice % 32 {
        place @ 0..=5 => {
            let file_name = bytes.get(..12).unwrap_or(bytes);
            for found in contents(KINDS[usize::from(place)], &held, file_name).found {
                check(&found);
            }
        }
        6 => {
            let mut layer = Layer::default();
            let _ = tar::read(&held, &mut layer);
            for file in layer.files.into_values() {
                if let Some(Read::Contents(contents)) = file.read {
                    contents.found.iter().for_each(check);
                }
            }
        }
        7 => {
            let half = bytes.len() / 2;
            let store = model::HostPath::literal("/store");
            for (driver, within) in [
                (Driver::Overlay, &b"/store/overlay/"[..]),
                (Driver::Vfs, b"/store/vfs/dir/"),
            ] {
                let images = podman::parse(
                    &store,
                    driver,
                    &bytes[..half],
                    &bytes[half..],
                    &mut Room::of_root(),
                );
                for layer in images.unwrap_or_default().iter().flat_map(|it| &it.layers) {
                    assert!(layer.path().as_bytes().starts_with(within));
                }
            }
        }
        8 => {
            let names = docker::parse_names(bytes).unwrap_or_default();
            assert!(names.keys().all(|id| !id.contains(['/', '.'])));
            let chain = docker::parse_chain(bytes).unwrap_or_default();
            assert!(chain.iter().all(|id| !id.contains(['/', '.'])));
        }
        9 => {
            let layers = containerd::parse(bytes).unwrap_or_default();
            assert!(layers.iter().all(|digest| !digest.contains(['/', '.'])));
        }
        10 => drop(parse_origin(bytes)),
        // What stands inside of packed files, which chance does not pack.
        11 => rust::parse(bytes)
            .unwrap_or_default()
            .iter()
            .for_each(check),
        12 => go::parse(b"go1.22", bytes).iter().for_each(check),
        13 => {
            let stem = String::from_utf8_lossy(bytes.get(..8).unwrap_or_default());
            let manifest = java::Manifest::parse(bytes);
            manifest.component(&stem).iter().for_each(check);
            java::parse_pom(bytes).iter().for_each(check);
        }
        14 => {
            let path = model::HostPath::literal("/sbom.json");
            if let Ok(inventory) = sbom::parse(bytes, &path) {
                let evidence = |component: &model::component::Component| component.evidence.len();
                assert!(inventory.components.iter().all(|it| evidence(it) > 0));
            }
            let unpacked = inflate::raw(bytes, 1 << 16).unwrap_or_default();
            assert!(unpacked.len() <= 1 << 16);
        }
        place @ 16..=25 => lockfile(LockFormat::ALL[usize::from(place - 16)], bytes),
        26 => {
            let _ = podman::parse_configuration(bytes);
            let _ = docker::parse_configuration(bytes);
            let _ = containerd::parse_configuration(bytes);
        }
        place @ 27..=30 => {
            let kind = VENDORED[usize::from(place - 27)];
            for found in contents(kind, &held, b"x").found {
                check(&found);
            }
            let _ = rust::is_from_registry(bytes);
        }
        31 => {
            let _ = host::parse::apk::parse_installed(bytes);
            host::parse::apk::files(bytes, &mut |path| assert!(path.starts_with(b"/")));
        }
        _ => lists(bytes),
    }
}

/// A zero byte stands between a lockfile and the file beside it.
fn lockfile(format: LockFormat, bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let file = parts.next().unwrap_or_default();
    let packages = lock::read(format, file, parts.next()).unwrap_or_default();
    for package in &packages {
        for text in [&package.name, &package.version] {
            assert!(!text.is_empty() && text.len() <= 1024 && !text.contains(char::is_control));
        }
        assert!(package.needs.iter().all(|at| *at < packages.len()));
    }
    let Ok(text) = str::from_utf8(file) else {
        return;
    };
    if let Ok((pins, _)) = lock::pins(text) {
        let changes: Vec<_> = pins.iter().map(|pin| (pin, "9.9")).collect();
        let changed = lock::requirements_with(text, &changes);
        let again = lock::pins(&changed).expect("it was read before").0;
        assert!(again.iter().all(|pin| pin.version == "9.9"));
    }
    let _ = (lock::cargo_outside(text), lock::cargo_workspace(text));
    let _ = lock::node_project(text);
    let _ = lock::npm_lock_outside(text, &std::collections::BTreeSet::new());
}

fn check(found: &Found) {
    for text in [&found.name, &found.version] {
        assert!(!text.is_empty() && text.len() <= 1024 && !text.contains(char::is_control));
    }
}

/// However a list is cut, nothing is seen that is not there, and the reader gets on.
fn lists(bytes: &[u8]) {
    let wanted = Wanted::from([(&b"a"[..], vec![0])]);
    let cut = bytes
        .first()
        .map_or(0, |cut| usize::from(*cut))
        .min(bytes.len());
    let done = find_versions(&bytes[..cut], false, &wanted, &mut |_, _| {});
    assert!(done <= cut);
    let rest = &bytes[done..];
    assert_eq!(
        find_versions(rest, true, &wanted, &mut |_, _| {}),
        rest.len()
    );
}
