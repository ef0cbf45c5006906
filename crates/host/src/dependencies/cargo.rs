//! `cargo update`, on a copy: the lockfile, the manifests, and empty files in the place of
//! sources, since cargo wants a package to have a target.

use std::ffi::OsString;

use model::count::size;
use model::dependency::Lockfile;

use super::workshop::{Tool, Workshop, said};
use super::{
    Files, Folder, MAJOR, MANIFEST_LIMIT_BYTES, NotAsked, Upgraded, Wanted, folder_of, within,
};
use crate::components::lock::{self, CargoOutside};

const CARGO: Tool = Tool {
    name: "cargo",
    program: "cargo",
    first: &[],
    which: None,
    settings: &[
        ".cargo/config.toml",
        ".cargo/config",
        ".cargo/credentials.toml",
    ],
    variables: &[
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
        "CARGO_SOURCE_",
        "RUSTUP_TOOLCHAIN",
    ],
    folders: &[("RUSTUP_HOME", ".rustup")],
};

/// All manifests of a folder: those of a large monorepo have 2 MB.
const MANIFESTS_LIMIT_BYTES: u64 = 64 << 20;

pub(super) fn upgrade(
    folder: &Folder,
    lockfile: &Lockfile,
    wanted: &[Wanted],
    interrupted: fn() -> bool,
) -> Result<Upgraded, NotAsked> {
    let (files, left_out) = files(folder, lockfile)?;
    let workshop = Workshop::make(&CARGO, folder, &files, interrupted)?;
    let manifest = workshop.copy().join(manifest_of(lockfile));
    let mut upgraded = Upgraded::default();
    for one in wanted {
        if !one.to.compatible {
            upgraded.refused.push((one.clone(), MAJOR.to_owned()));
            continue;
        }
        let package = format!("{}@{}", one.name, one.version);
        let exact = (!one.to.above).then_some(&*one.to.version);
        let first = update(&workshop, &manifest, &package, exact);
        // The version may be yanked, or another package wants a later one.
        let ended = match (&first, exact) {
            (Err(_), Some(_)) => update(&workshop, &manifest, &package, None),
            _ => first.clone(),
        };
        match (first, ended) {
            (Ok(()), _) => {}
            (Err(why), Ok(())) => upgraded.notes.push(format!(
                "cargo does not take {} {}, and chose another version: {why}",
                one.name, one.to.version
            )),
            (Err(mut why), Err(_)) => {
                if let Some(left_out) = &left_out {
                    why = format!("{why} ({left_out})");
                }
                upgraded.refused.push((one.clone(), why));
            }
        }
    }
    upgraded.take(&workshop, &lockfile.path, &files[&lockfile.path])?;
    upgraded.notes.extend(workshop.notes.iter().cloned());
    Ok(upgraded)
}

fn update(
    workshop: &Workshop,
    manifest: &std::path::Path,
    package: &str,
    exact: Option<&str>,
) -> Result<(), String> {
    // A person is waiting, who can ask again.
    let mut args: Vec<OsString> = [
        "update",
        "--color",
        "never",
        "--config",
        "net.retry=1",
        "--manifest-path",
    ]
    .map(OsString::from)
    .to_vec();
    args.push(manifest.into());
    args.extend(["--package".into(), package.into()]);
    if let Some(exact) = exact {
        args.extend(["--precise".into(), exact.into()]);
    }
    let output = workshop.run(&args)?;
    match output.status {
        Some(0) => Ok(()),
        _ => Err(said(&output)),
    }
}

fn manifest_of(lockfile: &Lockfile) -> String {
    match folder_of(&lockfile.path) {
        "" => "Cargo.toml".to_owned(),
        folder => format!("{folder}/Cargo.toml"),
    }
}

/// What is copied: nothing that would have cargo ask elsewhere than the registry, or read
/// outside of the copy. A manifest that is left out is named, should cargo miss it.
fn files(folder: &Folder, lockfile: &Lockfile) -> Result<(Files, Option<String>), NotAsked> {
    let read = |path: &str, limit_bytes| {
        let content = folder.content(path, limit_bytes);
        content.map_err(|why| NotAsked(format!("`{path}`: {why}")))
    };
    let root = manifest_of(lockfile);
    let mut files = Files::new();
    let lock = read(&lockfile.path, lock::LIMIT_BYTES)?;
    let lock = lock.ok_or_else(|| NotAsked("the lockfile is gone".to_owned()))?;
    if let Some(git) = first_git_source(&lock) {
        return Err(NotAsked(format!(
            "cargo would fetch `{git}`: only registries are asked about what a folder holds"
        )));
    }
    files.insert(lockfile.path.clone(), lock);
    let mut left_out = None;
    let mut size_bytes = 0;
    for path in folder
        .manifests
        .iter()
        .filter(|path| path.ends_with("Cargo.toml"))
    {
        let Some(content) = read(path, MANIFEST_LIMIT_BYTES)? else {
            continue;
        };
        size_bytes += content.len() as u64;
        if size_bytes > MANIFESTS_LIMIT_BYTES {
            return Err(NotAsked(format!(
                "the manifests have more than {}",
                size(MANIFESTS_LIMIT_BYTES)
            )));
        }
        match refusal(path, &content) {
            None => drop(files.insert(path.clone(), content)),
            Some(why) if *path == root => return Err(NotAsked(format!("`{path}` {why}"))),
            Some(why) => left_out = Some(format!("`{path}` was not copied: it {why}")),
        }
    }
    if !files.contains_key(&root) {
        return Err(NotAsked(format!("there is no `{root}` beside it")));
    }
    for path in &folder.sources {
        files.insert(path.clone(), Vec::new());
    }
    Ok((files, left_out))
}

fn first_git_source(lock: &[u8]) -> Option<String> {
    let text = str::from_utf8(lock).ok()?;
    let (_, rest) = text.split_once("source = \"git+")?;
    rest.split('"').next().map(|source| format!("git+{source}"))
}

/// Why a manifest is not copied.
fn refusal(path: &str, content: &[u8]) -> Option<String> {
    let Ok(text) = str::from_utf8(content) else {
        return Some("is not UTF-8".to_owned());
    };
    let outside = match lock::cargo_outside(text) {
        Ok(outside) => outside,
        Err(why) => return Some(format!("is {why}")),
    };
    outside.into_iter().find_map(|one| match one {
        CargoOutside::Address { name, address } => Some(format!(
            "takes `{name}` from `{address}`, which is not asked"
        )),
        CargoOutside::Path { name, path: to } => within(folder_of(path), &to)
            .is_none()
            .then(|| format!("takes `{name}` from `{to}`, outside of the folder")),
    })
}
