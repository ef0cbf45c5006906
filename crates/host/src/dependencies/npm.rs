//! `npm install` and `npm update`, on a copy of the lockfile and of the manifests that it names,
//! for the lockfile only and without any script.

use std::collections::BTreeSet;
use std::ffi::OsString;

use model::dependency::Lockfile;
use serde_json::Value;

use super::holders::{has, holders};
use super::workshop::{Tool, Workshop, said};
use super::{
    Files, Folder, MAJOR, MANIFEST_LIMIT_BYTES, NotAsked, Upgraded, Wanted, folder_of, within,
};
use crate::components::lock::{self, NodeProject};

const NPM: Tool = Tool {
    name: "npm",
    program: "npm",
    first: &[],
    which: None,
    settings: &[".npmrc"],
    variables: &[
        "NODE_EXTRA_CA_CERTS",
        "NPM_CONFIG_REGISTRY",
        "npm_config_registry",
        "NPM_CONFIG_CAFILE",
        "npm_config_cafile",
    ],
    folders: &[],
};

/// What npm itself takes for the registry that the user has set.
const REGISTRY: &str = "registry.npmjs.org";

/// A member of the workspace, or the project itself.
struct Member {
    /// Below the project; empty for itself.
    folder: String,
    project: NodeProject,
}

pub(super) fn upgrade(
    folder: &Folder,
    lockfile: &Lockfile,
    wanted: &[Wanted],
    interrupted: fn() -> bool,
) -> Result<Upgraded, NotAsked> {
    let base = folder_of(&lockfile.path).to_owned();
    let (files, members, lock) = files(folder, lockfile)?;
    let workshop = Workshop::make(&NPM, folder, &files, interrupted)?;
    let mut upgraded = Upgraded::default();
    for one in wanted {
        if !one.to.compatible {
            upgraded.refused.push((one.clone(), MAJOR.to_owned()));
            continue;
        }
        if !is_name(&one.name) {
            let why = "it has no name that the registry would give";
            upgraded.refused.push((one.clone(), why.to_owned()));
            continue;
        }
        let asking: Vec<&Member> = members
            .iter()
            .filter(|member| member.project.wants.contains(&one.name))
            .collect();
        let mut ended = Ok(());
        if asking.is_empty() {
            ended = npm(&workshop, &base, &lock, &["update", &one.name], "");
        }
        let sign = if one.to.above { ">" } else { "" };
        let exact = format!("{}@{sign}{}", one.name, one.to.version);
        for member in asking {
            ended = ended.and_then(|()| {
                npm(
                    &workshop,
                    &base,
                    &lock,
                    &["install", &exact],
                    &member.folder,
                )
            });
        }
        let raised = ended.and_then(|()| raise(&workshop, &base, &lock, &lockfile.path, one));
        match raised {
            Ok(raised) if raised.is_empty() => {}
            Ok(raised) => upgraded.notes.push(format!(
                "{} {} held by {}, which {} upgraded within the range that asks for it",
                one.name,
                one.version,
                raised.join(", "),
                if raised.len() == 1 { "is" } else { "are" }
            )),
            Err(why) => upgraded.refused.push((one.clone(), why)),
        }
    }
    for (path, old) in &files {
        upgraded.take(&workshop, path, old)?;
    }
    upgraded.notes.extend(workshop.notes.iter().cloned());
    Ok(upgraded)
}

/// So far up it is looked for who holds a package.
const MOST_LEVELS: usize = 8;
/// More are not asked about at once.
const MOST_HOLDERS: usize = 50;

/// Where the version is there still, who holds it there is upgraded within its own range, and who holds
/// that. Gives who was; the lockfile is left as it was where that did not help.
fn raise(
    workshop: &Workshop,
    base: &str,
    lock: &Written,
    path: &str,
    one: &Wanted,
) -> Result<Vec<String>, String> {
    let read = || -> Result<(Vec<u8>, Value), String> {
        let text = workshop.result(path)?.ok_or("npm removed the lockfile")?;
        let lock = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        Ok((text, lock))
    };
    let (before, mut now) = read()?;
    let mut level = BTreeSet::from([(one.name.clone(), one.version.clone())]);
    let mut raised: Vec<String> = Vec::new();
    for _ in 0..MOST_LEVELS {
        if !has(&now, &one.name, &one.version) {
            return Ok(raised);
        }
        level = holders(&now, &level);
        let names: BTreeSet<&str> = level
            .iter()
            .map(|(name, _)| &**name)
            .filter(|name| is_name(name))
            .take(MOST_HOLDERS)
            .collect();
        if names.is_empty() {
            break;
        }
        let command: Vec<&str> = std::iter::once("update")
            .chain(names.iter().copied())
            .collect();
        npm(workshop, base, lock, &command, "")?;
        let later = read()?.1;
        let went = level
            .iter()
            .filter(|(name, version)| !has(&later, name, version))
            .map(|(name, version)| format!("{name} {version}"));
        raised.extend(went.filter(|one| !raised.contains(one)).collect::<Vec<_>>());
        now = later;
    }
    if !has(&now, &one.name, &one.version) {
        return Ok(raised);
    }
    workshop.put(path, &before)?;
    Ok(Vec::new())
}

/// A name as the registry gives them, and no option, address or folder
/// (validate-npm-package-name, with the capital letters of old ones).
fn is_name(name: &str) -> bool {
    let name = match name.strip_prefix('@').map(|rest| rest.split_once('/')) {
        None => name,
        Some(Some((scope, name))) if is_name(scope) => name,
        Some(_) => return false,
    };
    let is_first = |letter: u8| letter.is_ascii_alphanumeric();
    name.bytes().next().is_some_and(is_first)
        && name
            .bytes()
            .all(|letter| is_first(letter) || matches!(letter, b'-' | b'_' | b'.' | b'~'))
}

/// How the lockfile is written, so that no more of it changes than must.
struct Written {
    version: u64,
    has_addresses: bool,
}

fn npm(
    workshop: &Workshop,
    base: &str,
    lock: &Written,
    command: &[&str],
    member: &str,
) -> Result<(), String> {
    let mut args: Vec<OsString> = vec!["--prefix".into(), workshop.copy().join(base).into()];
    args.extend(command.iter().map(OsString::from));
    if !member.is_empty() {
        args.extend(["--workspace".into(), member.into()]);
    }
    for fixed in [
        "--package-lock-only",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    ] {
        args.push(fixed.into());
    }
    // Without a network, its own patience takes a minute for each question.
    args.extend([
        "--fetch-retries=1".into(),
        "--fetch-retry-mintimeout=1000".into(),
    ]);
    args.push(format!("--lockfile-version={}", lock.version).into());
    args.push(format!("--omit-lockfile-registry-resolved={}", !lock.has_addresses).into());
    args.extend([
        "--no-color".into(),
        "--no-progress".into(),
        "--no-update-notifier".into(),
    ]);
    let output = workshop.run(&args)?;
    match output.status {
        Some(0) => Ok(()),
        _ => Err(said(&output)),
    }
}

/// What is copied: the lockfile and the manifests of the workspace that it names, none of which
/// may make npm ask elsewhere than the user's registry.
fn files(folder: &Folder, lockfile: &Lockfile) -> Result<(Files, Vec<Member>, Written), NotAsked> {
    let base = folder_of(&lockfile.path);
    let read = |path: &str, limit_bytes| {
        let content = folder.content(path, limit_bytes);
        let content = content.map_err(|why| NotAsked(format!("`{path}`: {why}")))?;
        let content = content.ok_or_else(|| NotAsked(format!("there is no `{path}`")))?;
        String::from_utf8(content).map_err(|_| NotAsked(format!("`{path}` is not UTF-8")))
    };
    let text = read(&lockfile.path, lock::LIMIT_BYTES)?;
    let lock: Value = serde_json::from_str(&text)
        .map_err(|error| NotAsked(format!("`{}` is not JSON: {error}", lockfile.path)))?;
    let outside = lock::npm_lock_outside(&text, &hosts());
    let outside = outside.map_err(|why| NotAsked(format!("`{}` is {why}", lockfile.path)))?;
    if let Some(address) = outside.first() {
        return Err(NotAsked(format!(
            "npm would fetch `{address}`: only the registry is asked about what a folder holds"
        )));
    }
    let written = Written {
        version: lock["lockfileVersion"]
            .as_u64()
            .filter(|it| (1..=3).contains(it))
            .unwrap_or(3),
        has_addresses: text.contains("\"resolved\": \"http"),
    };
    let mut files = Files::from([(lockfile.path.clone(), text.into_bytes())]);
    let packages = lock["packages"].as_object();
    let of_workspace = packages
        .into_iter()
        .flatten()
        .map(|(place, _)| &**place)
        .filter(|place| !place.is_empty() && !place.contains("node_modules/"));
    let mut members = Vec::new();
    for place in std::iter::once("").chain(of_workspace) {
        // Within the project, not only within what was looked through.
        let inside = within("", place).map(|inside| within(base, &inside).unwrap_or(inside));
        let Some(inside) = inside else {
            return Err(NotAsked(format!("`{place}` lies outside of the project")));
        };
        let path = match &*inside {
            "" => "package.json".to_owned(),
            inside => format!("{inside}/package.json"),
        };
        let manifest = read(&path, MANIFEST_LIMIT_BYTES)?;
        let project = lock::node_project(&manifest);
        let project = project.map_err(|why| NotAsked(format!("`{path}` is {why}")))?;
        if let Some((name, from)) = project.outside.first() {
            return Err(NotAsked(format!(
                "`{path}` takes `{name}` from `{from}`, which is not asked"
            )));
        }
        files.insert(path, manifest.into_bytes());
        members.push(Member {
            folder: place.to_owned(),
            project,
        });
    }
    Ok((files, members, written))
}

/// The hosts of the registries that the user has set.
fn hosts() -> BTreeSet<String> {
    let mut hosts = BTreeSet::from([REGISTRY.to_owned()]);
    let mut add = |address: &str| {
        let rest = address.trim().trim_matches('"').split_once("://");
        let host = rest.and_then(|(_, rest)| rest.split('/').next());
        hosts.extend(host.filter(|host| !host.is_empty()).map(str::to_owned));
    };
    for name in ["NPM_CONFIG_REGISTRY", "npm_config_registry"] {
        if let Ok(address) = std::env::var(name) {
            add(&address);
        }
    }
    let home = std::env::var_os("HOME").map(std::path::PathBuf::from);
    let settings = home.and_then(|home| std::fs::read_to_string(home.join(".npmrc")).ok());
    for line in settings.unwrap_or_default().lines() {
        if let Some((key, value)) = line.split_once('=')
            && (key.trim() == "registry" || key.trim().ends_with(":registry"))
        {
            add(value);
        }
    }
    hosts
}
