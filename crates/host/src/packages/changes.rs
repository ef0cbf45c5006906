//! Why a new version was made: what its changelog says above the entry of the version that is installed
//! (deb-changelog(5)).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use flate2::read::MultiGzDecoder;
use model::PackageUpgrade;
use serde::{Deserialize, Serialize};

use crate::act::ActError;
use crate::act::upgrade::file_name;

/// The entries since the last upgrade; those of years are not wanted.
const HEAD_BYTES: u64 = 64 << 10;
/// Vulnerabilities that are named of one package.
const NAMED: usize = 50;
/// The first line of what was changed.
const LINE_CHARACTERS: usize = 120;

/// What a changelog says of the versions that are new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The vulnerabilities that it names.
    pub vulnerabilities: Vec<String>,
    /// How the newest entry begins.
    pub head: String,
}

/// Reads the beginning of `changelog.Debian.gz`, which may be cut, down to the version `from`.
pub fn read_changes(packed: &[u8], from: Option<&str>) -> Changes {
    let mut text = Vec::new();
    // What was cut ends with an error, and what came before it is there.
    let _ = MultiGzDecoder::new(packed)
        .take(HEAD_BYTES)
        .read_to_end(&mut text);
    parse_changes(&String::from_utf8_lossy(&text), from)
}

/// The same of the text.
pub fn parse_changes(text: &str, from: Option<&str>) -> Changes {
    let mut changes = Changes::default();
    let mut found = BTreeSet::new();
    for line in text.lines() {
        // `openssl (3.0.11-1~deb12u1) bookworm-security; urgency=medium`
        if let Some(version) = entry(line) {
            let is_known = from.is_some_and(|from| {
                let parse = |text: &str| text.parse::<debversion::Version>().ok();
                let order = parse(version).zip(parse(from)).map(|(a, b)| a.cmp(&b));
                order.is_some_and(Ordering::is_le) || version == from
            });
            if is_known {
                break;
            }
            continue;
        }
        let said = line.trim().trim_start_matches(['*', '-', '+']).trim();
        if changes.head.is_empty()
            && !said.is_empty()
            // `[ Who changed it ]`
            && !said.starts_with('[')
            && !line.starts_with(" -- ")
        {
            let head: String = said.chars().take(LINE_CHARACTERS).collect();
            changes.head = model::printable(head.as_bytes());
        }
        let mut rest = line;
        while let Some(at) = rest.find("CVE-") {
            let name: String = rest[at..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                .collect();
            rest = &rest[at + 4..];
            let name = name.trim_end_matches('-').to_owned();
            let digits = name.bytes().filter(u8::is_ascii_digit).count();
            if digits >= 8 && found.len() < NAMED && found.insert(name.clone()) {
                changes.vulnerabilities.push(name);
            }
        }
    }
    changes
}

fn entry(line: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let (_, rest) = line
        .split_once(" (")
        .filter(|_| line.starts_with(is_name))?;
    let (version, rest) = rest.split_once(')')?;
    rest.contains("; ").then_some(version)
}

/// Where a package's changelog lies (Debian policy, 12.7); of one that is made for the distribution alone
/// it has the second name.
const NAMES: [&str; 2] = ["changelog.Debian.gz", "changelog.gz"];

/// What the changelogs in fetched package files say, by package. `folder` holds the files. A package
/// whose documentation lies in another's says nothing of its own.
///
/// # Errors
/// When dpkg-deb or tar can't be run.
pub fn announced(
    folder: &Path,
    packages: &[PackageUpgrade],
) -> Result<BTreeMap<String, Changes>, ActError> {
    let mut all = BTreeMap::new();
    for package in packages {
        let name = package.bare_name();
        let packed = changelog_of(&folder.join(file_name(package)), name)
            .map_err(|error| ActError::program(format!("read the changelog of `{name}`"), error))?;
        if !packed.is_empty() {
            let changes = read_changes(&packed, package.from.as_deref());
            all.insert(name.to_owned(), changes);
        }
    }
    Ok(all)
}

/// The beginning of the changelog in a package file; empty where it has none.
fn changelog_of(archive: &Path, name: &str) -> std::io::Result<Vec<u8>> {
    let quiet = |program: &str| {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    };
    // Of the whole content only one member is kept, and no more of it than is read here.
    let mut content = quiet("/usr/bin/dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdin(Stdio::null())
        .spawn()?;
    let piped = content.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let members = NAMES.map(|file| format!("./usr/share/doc/{name}/{file}"));
    let taken = quiet("/usr/bin/tar")
        .args([
            "--extract",
            "--file=-",
            "--to-stdout",
            "--no-wildcards",
            "--",
        ])
        .args(members)
        .stdin(piped)
        .spawn();
    let mut packed = Vec::new();
    let read = taken.and_then(|mut taken| {
        let output = taken.stdout.take();
        let read = output.map_or(Ok(0), |out| out.take(HEAD_BYTES).read_to_end(&mut packed));
        // It has the rest to write, or has come to its end: either way it is not waited for.
        taken.kill()?;
        taken.wait()?;
        read
    });
    // At its end tar has taken all that dpkg-deb had to give, which says how that went. That of
    // two members one is missing is usual, so tar's own end says nothing.
    let is_whole = read
        .as_ref()
        .is_ok_and(|read| u64::try_from(*read).is_ok_and(|read| read < HEAD_BYTES));
    if !is_whole {
        content.kill()?;
    }
    let ended = content.wait()?;
    read?;
    if is_whole && !ended.success() {
        return Err(std::io::Error::other(
            "dpkg-deb can't unpack the package file",
        ));
    }
    Ok(packed)
}
