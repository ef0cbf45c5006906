//! The architecture's invariants that can be read off the manifests and the sources
//! (docs/architecture.md, Invariants). Clippy's `disallowed-methods` hold the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Data flows down this list, and imports point up it. A new crate gets its place here.
const ORDER: [&str; 11] = [
    "model",
    "trust",
    "resource",
    "plan",
    "advisory",
    "content",
    "host",
    "fuzz-targets",
    "lab",
    "steadfast",
    "xtask",
];
/// These decide, and never act.
const PURE: [&str; 5] = ["model", "trust", "resource", "plan", "advisory"];
/// What reaches outside of a process, and what a pure crate therefore never imports.
const OUTSIDE: [&str; 12] = [
    "getrandom",
    "indicatif",
    "libc",
    "miette",
    "rand",
    "rusqlite",
    "rustix",
    "tempfile",
    "tokio",
    "tracing",
    "ureq",
    "zbus",
];
/// Libraries that belong to a few crates only.
const OWNED: [(&str, &[&str]); 8] = [
    // Signatures are made and checked in one room.
    ("ed25519-dalek", &["trust"]),
    ("rusqlite", &["host"]),
    ("zbus", &["host"]),
    ("libc", &["host"]),
    // `content` reads policies below their root only, which needs openat2(2).
    ("rustix", &["content", "host", "lab", "steadfast"]),
    ("clap", &["steadfast"]),
    // ... and points at the line of a policy that it refuses, which is fuzzed.
    ("miette", &["content", "fuzz-targets", "steadfast"]),
    ("askama", &["steadfast"]),
];
/// Where printing is allowed.
const PRINTERS: [&str; 2] = ["steadfast", "xtask"];

/// A crate of the workspace: its folder, and what it imports outside of its tests.
struct Member {
    folder: PathBuf,
    imports: BTreeSet<String>,
}

/// The workspace's crates by the names that the code uses for them.
fn members() -> BTreeMap<String, Member> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "metadata",
        "--offline",
        "--no-deps",
        "--format-version",
        "1",
        "--manifest-path",
    ]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    let said = cargo.output().unwrap();
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let manifest = Path::new(package["manifest_path"].as_str().unwrap());
            let dependencies = package["dependencies"].as_array().unwrap();
            // The kind is null for what the crate itself imports, `dev` for its tests.
            let imports = dependencies
                .iter()
                .filter(|dependency| dependency["kind"].is_null());
            let imports = imports
                .map(|import| short(import["name"].as_str().unwrap()))
                .collect();
            let folder = manifest.parent().unwrap().to_owned();
            (
                short(package["name"].as_str().unwrap()),
                Member { folder, imports },
            )
        })
        .collect()
}

/// `steadfast-model` is `model` in the code.
fn short(name: &str) -> String {
    name.strip_prefix("steadfast-").unwrap_or(name).to_owned()
}

/// Every Rust file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

#[test]
fn imports_point_up_the_list() {
    let members = members();
    let known: BTreeSet<_> = members.keys().map(String::as_str).collect();
    assert_eq!(
        known,
        BTreeSet::from(ORDER),
        "each crate has its place in ORDER"
    );
    let place = |name: &str| ORDER.iter().position(|&other| other == name);
    for (name, member) in &members {
        for import in &member.imports {
            assert!(
                place(import) < place(name),
                "{name} must not import {import}"
            );
        }
    }
    let own = members["lab"]
        .imports
        .iter()
        .filter(|import| place(import).is_some());
    assert_eq!(
        own.count(),
        0,
        "lab knows hosts, and nothing of what we do with them"
    );
}

#[test]
fn pure_crates_import_nothing_that_reaches_outside() {
    for (name, member) in members() {
        if PURE.contains(&name.as_str()) {
            let found: Vec<_> = OUTSIDE
                .iter()
                .filter(|&&outside| member.imports.contains(outside))
                .collect();
            assert!(found.is_empty(), "{name} imports {found:?}");
            let clippy = fs::read_to_string(member.folder.join("clippy.toml")).unwrap_or_default();
            assert!(
                clippy.contains("disallowed-methods"),
                "{name} lacks its clippy.toml"
            );
        }
    }
}

#[test]
fn some_libraries_belong_to_a_few_crates() {
    for (name, member) in members() {
        for (library, owners) in OWNED {
            let is_owner = owners.contains(&name.as_str());
            assert!(
                is_owner || !member.imports.contains(library),
                "{name} imports {library}"
            );
        }
    }
}

#[test]
fn every_crate_takes_the_workspaces_lints_and_only_some_print() {
    for (name, member) in members() {
        let manifest = fs::read_to_string(member.folder.join("Cargo.toml")).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{name} has lints of its own"
        );
        if PRINTERS.contains(&name.as_str()) {
            continue;
        }
        for path in sources(&member.folder.join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            assert!(
                !text.contains("clippy::print_std"),
                "{} prints",
                path.display()
            );
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_hides_no_warning() {
    for member in members().values() {
        for path in sources(&member.folder.join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            // What fits in a line needs no introduction.
            assert!(
                text.starts_with("//!") || text.lines().count() == 1,
                "{} doesn't open with `//!`",
                path.display()
            );
            let allow = text.lines().find(|line| {
                let line = line.trim_start();
                line.starts_with("#[allow(") || line.starts_with("#![allow(")
            });
            assert_eq!(
                allow,
                None,
                "{}: `expect` with a reason instead",
                path.display()
            );
        }
    }
}
