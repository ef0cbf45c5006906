//! Go programs: what the linker wrote into `.go.buildinfo` (go/src/debug/buildinfo): the
//! compiler's version, the main module, and the modules that were linked in. And the modules that
//! `go mod vendor` copied into a source tree.

use model::component::{Ecosystem, EvidenceKind};
use model::value::Reason;

use super::elf::{Elf, number};
use super::found::Found;
use super::go_symbols;
use super::source::malformed;

/// "The build info blob left by the linker is identified by a 16-byte header, consisting of
/// buildInfoMagic (14 bytes), the binary's pointer size (1 byte), and whether the binary is
/// big endian (1 byte)" (buildinfo.go).
const MAGIC: &[u8; 14] = b"\xff Go buildinf:";
/// "We look for it aligned at 16 bytes".
const ALIGN: usize = 16;
const HEADER: usize = 32;
/// Kubernetes, with 300 modules, has 30 KB.
const BLOB_LIMIT_BYTES: u64 = 4 << 20;
/// Without sections, Go looks as far into the data itself.
const DATA_LIMIT_BYTES: u64 = 64 << 10;
/// The text stands between two marks of 16 bytes ("infoStart" and "infoEnd", modload/build.go).
const MARK: usize = 16;

/// The modules of a program; none when it is not Go's.
pub fn modules(elf: &Elf<'_>) -> Result<Vec<Found>, Reason> {
    let blob = match elf.section(".go.buildinfo", BLOB_LIMIT_BYTES)? {
        Some(section) => section,
        None => match elf.data(DATA_LIMIT_BYTES)? {
            Some(data) => data,
            None => return Ok(Vec::new()),
        },
    };
    let Some(at) = (0..blob.len())
        .step_by(ALIGN)
        .find(|at| blob[*at..].starts_with(MAGIC))
    else {
        return Ok(Vec::new());
    };
    let blob = &blob[at..];
    if blob.len() < HEADER {
        return Err(malformed("Go's build information is cut off"));
    }
    let flags = blob[15];
    let (version, info) = if flags & 2 != 0 {
        // "Since Go 1.18, [the header is] followed by two varint-prefixed string data".
        let (version, rest) = counted(&blob[HEADER..])?;
        let (info, _) = counted(rest)?;
        (version.to_vec(), info.to_vec())
    } else {
        // Before, by two pointers to string headers.
        let (size, is_big_endian) = (usize::from(blob[14]), flags & 1 != 0);
        if size != if elf.is_64 { 8 } else { 4 } {
            return Err(malformed(
                "Go's build information has pointers of another size",
            ));
        }
        let text = |at: usize| {
            let header = number(blob, at, size, is_big_endian);
            let header = elf.at(header, 2 * size as u64)?;
            let data = number(&header, 0, size, is_big_endian);
            let length = number(&header, size, size, is_big_endian);
            if length > BLOB_LIMIT_BYTES {
                return Err(malformed("Go's build information is too long"));
            }
            elf.at(data, length)
        };
        let version = text(16)?;
        // A program that was built without modules has none.
        let info = text(16 + size).unwrap_or_default();
        (version, info)
    };
    let mut modules = parse(&version, &info);
    // Where the names can't be read, it is not known which packages are used.
    if let Ok(Some(packages)) = go_symbols::packages(elf) {
        go_symbols::assign(&mut modules, main_module(&info), &packages);
    }
    Ok(modules)
}

/// The module of the program itself.
fn main_module(info: &[u8]) -> Option<&str> {
    let mut lines = info.split(|byte| *byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(b"mod\t"))?;
    let name = line.split(|byte| *byte == b'\t').next()?;
    str::from_utf8(name).ok()
}

/// A text with its length in front of it, as an unsigned varint of encoding/binary.
fn counted(bytes: &[u8]) -> Result<(&[u8], &[u8]), Reason> {
    let cut_off = || malformed("Go's build information is cut off");
    let (mut length, mut shift) = (0u64, 0);
    let mut rest = bytes;
    loop {
        let (byte, tail) = rest.split_first().ok_or_else(cut_off)?;
        rest = tail;
        if shift > 56 {
            return Err(cut_off());
        }
        length |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    (rest.len() >= length)
        .then(|| rest.split_at(length))
        .ok_or_else(cut_off)
}

/// Kubernetes, with 250 modules and 2,500 packages, has 90 KB.
pub const VENDORED_LIMIT_BYTES: u64 = 8 << 20;

/// The modules of a `vendor/modules.txt` of which packages were copied.
///
/// "# path version", "# path version => path version" or "# path version => folder", then
/// "## explicit", then the packages, each on its line; what is only replaced, and what is only
/// wanted by others, has none (cmd/go/internal/modcmd/vendor.go).
pub fn parse_vendored(bytes: &[u8]) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::new();
    let mut module: Option<Found> = None;
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(line) = str::from_utf8(line) else {
            all.extend(module.take().filter(is_copied));
            continue;
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with("##") || line.contains(char::is_control) {
            continue;
        }
        let Some(line) = line.strip_prefix("# ") else {
            // What is not listed was not copied, and is not used.
            if let Some(module) = &mut module {
                module.packages.push(package_of(module, line));
            }
            continue;
        };
        all.extend(module.take().filter(is_copied));
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, version, instead_of) = match words[..] {
            [name, version] | [name, version, "=>", _] => (name, version, None),
            [known, _, "=>", name, version] => (name, version, Some(known)),
            _ => ("", "", None),
        };
        module = version
            .starts_with('v')
            .then(|| Found::new(Ecosystem::Go, name, version, EvidenceKind::Metadata))
            .flatten()
            .map(|module| in_place_of(module, instead_of));
    }
    all.extend(module.filter(is_copied));
    all
}

fn in_place_of(module: Found, known: Option<&str>) -> Found {
    Found {
        instead_of: known
            .filter(|known| *known != module.name)
            .map(str::to_owned),
        ..module
    }
}

/// A package by the path of the module that it is really of, as advisories about that one name it:
/// who imports it knows it by the path of the module that was replaced.
pub(super) fn package_of(module: &Found, package: &str) -> String {
    let known = module.instead_of.as_deref();
    let rest = known.and_then(|known| package.strip_prefix(known));
    match rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        Some(rest) => format!("{}{rest}", module.name),
        None => package.to_owned(),
    }
}

fn is_copied(module: &Found) -> bool {
    !module.packages.is_empty()
}

/// `go1.22.1`, and the text that `go version -m` shows.
pub fn parse(version: &[u8], info: &[u8]) -> Vec<Found> {
    let found = |name: &str, version: &str| {
        Found::new(Ecosystem::Go, name, version, EvidenceKind::Embedded)
    };
    let mut all = Vec::new();
    let mut last_is_dependency = false;
    let mut main = None;
    let version = String::from_utf8_lossy(version);
    // `go1.22.1 X:nocoverageredesign`: experiments follow. Go's own library is the module that
    // advisories call `stdlib`.
    if let Some(version) = version
        .split_whitespace()
        .next()
        .and_then(|word| word.strip_prefix("go"))
    {
        all.extend(found("stdlib", version));
    }
    let marked = info.len() >= 2 * MARK && info[info.len() - MARK - 1] == b'\n';
    let info = if marked {
        &info[MARK..info.len() - MARK]
    } else {
        info
    };
    for line in info.split(|byte| *byte == b'\n') {
        let Ok(line) = str::from_utf8(line) else {
            continue;
        };
        let mut words = line.split('\t');
        let (kind, name, version) = (words.next(), words.next(), words.next());
        let (Some(kind), Some(name)) = (kind, name) else {
            continue;
        };
        let version = version.unwrap_or_default();
        match kind {
            "dep" => all.extend(found(name, version)),
            "mod" if version.starts_with('v') => all.extend(found(name, version)),
            // A program that was built from a checkout has none: `(devel)`.
            "mod" => main = Some(name),
            "build" => {
                if let (Some(module), Some(flags)) = (main, name.strip_prefix("-ldflags=")) {
                    let version = version_of_flags(flags);
                    all.extend(version.and_then(|version| found(module, &version)));
                }
            }
            // What was linked in instead of the line before; a folder has no version, and may
            // hold the module as it was or not.
            "=>" if !version.is_empty() => {
                let replaced = match last_is_dependency {
                    true => all.pop(),
                    false => None,
                };
                let known = replaced.as_ref().map(|replaced| replaced.name.as_str());
                all.extend(found(name, version).map(|module| in_place_of(module, known)));
            }
            _ => {}
        }
        last_is_dependency = kind == "dep";
    }
    all
}

/// The version that a build gave to the program's own variable, which is how most programs of
/// Go get to know theirs: `-X example.org/tool/version.Version=1.2.3`.
fn version_of_flags(flags: &str) -> Option<String> {
    let mut words = flags.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\'));
    words.find_map(|word| {
        let (variable, value) = word.trim_start_matches("-X=").split_once('=')?;
        let name = variable.rsplit('.').next()?.to_lowercase();
        let digits = value.strip_prefix('v').unwrap_or(value);
        let names_a_version = matches!(
            name.as_str(),
            "version" | "ver" | "appversion" | "buildversion" | "gitversion" | "releaseversion"
        );
        let is_version = digits.contains('.') && digits.starts_with(|c: char| c.is_ascii_digit());
        (names_a_version && is_version).then(|| format!("v{digits}"))
    })
}
