//! Rust programs that were built with `cargo auditable`: the section `.dep-v0` holds the
//! crates, as JSON behind zlib (cargo-auditable, PARSING.md). And the crates that `cargo vendor`
//! copied into a source tree.

use model::component::{Ecosystem, EvidenceKind};
use model::value::Reason;

use super::elf::Elf;
use super::found::Found;
use super::inflate;
use super::lock::{get, string, table};
use super::source::malformed;

/// Cargo itself, with 400 crates, has 5 KB.
const SECTION_LIMIT_BYTES: u64 = 1 << 20;
/// "It is strongly recommended to limit the size of the decompressed data" (PARSING.md).
const JSON_LIMIT_BYTES: usize = 8 << 20;

/// Bindings to a whole operating system have 80 KB in their manifest, and 2 MB of sums.
pub const VENDORED_LIMIT_BYTES: u64 = 16 << 20;
/// What `cargo vendor` puts into each directory, and what says which crate it is.
pub const CHECKSUM: &str = ".cargo-checksum.json";
pub const MANIFEST: &str = "Cargo.toml";

#[derive(serde::Deserialize)]
struct VersionInfo {
    packages: Vec<Package>,
}

#[derive(serde::Deserialize)]
struct Package {
    name: String,
    version: String,
    /// `crates.io`, `git`, `local`, `registry`
    source: String,
    /// `build` for what ran on the builder only; `runtime` when absent.
    #[serde(default)]
    kind: Option<String>,
    /// The program itself.
    #[serde(default)]
    root: bool,
}

/// The crates that went into a program.
pub fn crates(elf: &Elf<'_>) -> Result<Vec<Found>, Reason> {
    match elf.section(".dep-v0", SECTION_LIMIT_BYTES)? {
        Some(section) => parse(&section),
        None => Ok(Vec::new()),
    }
}

/// The content of the section.
pub fn parse(section: &[u8]) -> Result<Vec<Found>, Reason> {
    let json = inflate::zlib(section, JSON_LIMIT_BYTES)?;
    let info: VersionInfo = serde_json::from_slice(&json)
        .map_err(|error| malformed(format!("`.dep-v0` is not cargo-auditable's: {error}")))?;
    Ok(info
        .packages
        .iter()
        .filter(|package| package.kind.as_deref() != Some("build"))
        // A crate that is not from the registry may have the name of one that is; the program
        // itself is known by its name all the same.
        .filter(|package| package.root || package.source == "crates.io")
        .filter_map(|package| {
            let (name, version) = (&package.name, &package.version);
            Found::new(Ecosystem::CratesIo, name, version, EvidenceKind::Embedded)
        })
        .collect())
}

/// Does a `.cargo-checksum.json` have the sum of a package? What comes from a repository has none
/// (cargo/src/cargo/ops/vendor.rs).
pub fn is_from_registry(bytes: &[u8]) -> Result<bool, Reason> {
    #[derive(serde::Deserialize)]
    struct Sums {
        #[serde(default)]
        package: Option<String>,
    }
    let sums: Sums = serde_json::from_slice(bytes)
        .map_err(|error| malformed(format!("`{CHECKSUM}` is not cargo's: {error}")))?;
    Ok(sums.package.is_some())
}

/// The crate of a manifest.
pub fn parse_manifest(bytes: &[u8]) -> Result<Option<Found>, Reason> {
    let text = str::from_utf8(bytes).map_err(|_| malformed("not TOML: not UTF-8"))?;
    let manifest = table(text)?;
    let package = get(&manifest, "package").and_then(toml::de::DeValue::as_table);
    Ok(package.and_then(|package| {
        let (name, version) = (string(package, "name")?, string(package, "version")?);
        Found::new(Ecosystem::CratesIo, name, version, EvidenceKind::Metadata)
    }))
}
