//! Java archives: jars, and wars and ears with jars in them, jars within jars. What Maven wrote
//! into one (`pom.properties`) is best; else its manifest and the name of the file are asked, and
//! the packages of its classes tell whose it may be.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use model::component::{Ecosystem, EvidenceKind};
use model::value::Reason;

use super::found::{Contents, Found};
use super::source::Source;
use super::zip::Budget;

/// An ear holds wars, which hold jars, which may have been put around others.
const DEEPEST: usize = 4;
/// An archive within another is held in memory when it was packed.
const INNER_LIMIT_BYTES: u64 = 128 << 20;

/// The names that Java archives have.
pub fn is_archive(name: &[u8]) -> bool {
    let ending = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    name.len() > ending.len() + 1
        && [&b"jar"[..], b"war", b"ear", b"jpi", b"hpi"]
            .iter()
            .any(|known| ending.eq_ignore_ascii_case(known))
}

/// What an archive of this name holds. What can't be read of it is said, and the rest is looked at.
pub fn scan(source: &dyn Source, file_name: &[u8]) -> Contents {
    let (mut contents, own) = look(source);
    if let Some(own) = own {
        own.complete(&mut contents, file_name, "", "");
    }
    contents
}

/// What an archive holds, whatever it is called.
pub fn look(source: &dyn Source) -> (Contents, Option<Own>) {
    let mut budget = Budget::default();
    let mut contents = Contents::default();
    let own = archive(source, "", 0, &mut budget, &mut contents);
    (contents, own)
}

/// What an archive says of itself, which its name completes.
pub struct Own {
    /// Of the contents, those that it has itself and not by an archive in it.
    poms: Range<usize>,
    manifest: Manifest,
    /// Where its classes are, those that hold the most first.
    packages: Vec<String>,
    is_library: bool,
}

/// What an archive is, by all that it says and by its name.
pub enum Named {
    /// Maven has said it, or there is nothing that could be known by a name.
    Nothing,
    Component(Found),
    /// It holds code, of which nothing tells what it is.
    Untold(Reason),
}

impl Own {
    /// What the manifest says of an archive of this name, unless Maven has said it.
    pub fn named(&self, contents: &Contents, file_name: &[u8], inside: &str) -> Named {
        let stem = stem(file_name);
        let is_own = |pom: &Found| {
            let artifact = pom.name.rsplit(':').next().unwrap_or_default();
            let rest = stem.strip_prefix(artifact);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_', '.']))
        };
        // A jar that others were put into has many, and may lack its own.
        let poms = contents.found.get(self.poms.clone()).unwrap_or_default();
        if poms.len() == 1 || poms.iter().any(is_own) {
            return Named::Nothing;
        }
        let Some(mut found) = self.manifest.component(stem) else {
            return match self.is_library && poms.is_empty() {
                true => Named::Untold(Reason::Unavailable {
                    what: "holds classes, and nothing says what it is and in which version: no \
                           pom.properties, manifest or name"
                        .to_owned(),
                }),
                false => Named::Nothing,
            };
        };
        found.packages.extend(self.packages.iter().cloned());
        Named::Component(Found {
            member: Some(format!("{inside}META-INF/MANIFEST.MF")),
            ..found
        })
    }

    /// Adds what an archive of this name is. `at` is the way to it, and `inside` that of its members.
    fn complete(&self, contents: &mut Contents, file_name: &[u8], at: &str, inside: &str) {
        match self.named(contents, file_name, inside) {
            Named::Nothing => {}
            Named::Component(found) => contents.add(found),
            Named::Untold(reason) => contents.unread(at, reason),
        }
    }
}

/// Does an archive hold code that somebody else may have published? Sources, documentation, resources
/// and a manifest that only names others hold none. What is an application around others
/// (`WEB-INF`, `BOOT-INF`) is its owner's own, and the archives in it are looked at one by one.
fn is_library<'a>(mut members: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut has_code = false;
    let is_application = members.any(|name| {
        has_code |= name.ends_with(b".class") && base_name(name) != b"module-info.class";
        name.starts_with(b"WEB-INF/") || name.starts_with(b"BOOT-INF/")
    });
    has_code && !is_application
}

fn archive(
    source: &dyn Source,
    inside: &str,
    depth: usize,
    budget: &mut Budget,
    contents: &mut Contents,
) -> Option<Own> {
    let archive = match budget.open(source) {
        Ok(archive) => archive,
        Err(reason) => {
            contents.unread(inside, reason);
            return None;
        }
    };
    let mut manifest = Manifest::default();
    let first = contents.found.len();
    for member in &archive.members {
        let is_pom = is_pom(&member.name);
        if !is_pom && !member.name.eq_ignore_ascii_case(b"META-INF/MANIFEST.MF") {
            continue;
        }
        let at = format!("{inside}{}", model::printable(&member.name));
        match budget.text(&archive, member) {
            Ok(bytes) if is_pom => {
                if let Some(pom) = parse_pom(&bytes) {
                    contents.add(Found {
                        member: Some(at),
                        ..pom
                    });
                }
            }
            Ok(bytes) => manifest = Manifest::parse(&bytes),
            Err(reason) => contents.unread(&at, reason),
        }
    }
    let poms = first..contents.found.len();
    let own = Own {
        packages: match poms.len() {
            1 => Vec::new(),
            _ => packages(archive.members.iter().map(|member| &*member.name)),
        },
        is_library: is_library(archive.members.iter().map(|member| &*member.name)),
        poms,
        manifest,
    };
    for member in archive.members.iter().filter(|it| is_archive(&it.name)) {
        let at = format!("{inside}{}", model::printable(&member.name));
        if depth + 1 == DEEPEST {
            let why = format!("more than {DEEPEST} archives within each other");
            contents.unread(&at, Reason::Failed { why });
            continue;
        }
        match budget.content(&archive, member, INNER_LIMIT_BYTES) {
            Ok(inner) => {
                let inside = format!("{at}!/");
                let own = self::archive(inner.source(), &inside, depth + 1, budget, contents);
                if let Some(own) = own {
                    own.complete(contents, base_name(&member.name), &at, &inside);
                }
            }
            Err(reason) => contents.unread(&at, reason),
        }
    }
    Some(own)
}

/// So much of a package's name tells whose it is.
const WORDS_OF_PACKAGE: usize = 3;
/// An archive that others were put into has many.
const MOST_PACKAGES: usize = 8;

/// The beginnings of the packages that classes are in: `org.springframework.beans`.
fn packages<'a>(members: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in members {
        let Some((folder, _)) = name
            .strip_suffix(b".class")
            .and_then(|name| str::from_utf8(name).ok())
            .and_then(|name| name.rsplit_once('/'))
        else {
            continue;
        };
        // `META-INF/versions/9`, `WEB-INF/classes`: not where the archive's own ones are.
        if folder.contains("-INF/") || folder.contains(char::is_control) {
            continue;
        }
        let end = folder.match_indices('/').nth(WORDS_OF_PACKAGE - 1);
        let begin = &folder[..end.map_or(folder.len(), |(at, _)| at)];
        if begin.len() <= LONGEST_PACKAGE_BYTES {
            *counts.entry(begin).or_default() += 1;
        }
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(name, count)| (Reverse(*count), *name));
    let first = counts.iter().take(MOST_PACKAGES);
    first.map(|(name, _)| name.replace('/', ".")).collect()
}

/// Three words; the language allows any length.
const LONGEST_PACKAGE_BYTES: usize = 256;

/// `META-INF/maven/GROUP/ARTIFACT/pom.properties`
fn is_pom(name: &[u8]) -> bool {
    name.starts_with(b"META-INF/maven/") && name.ends_with(b"/pom.properties")
}

fn base_name(name: &[u8]) -> &[u8] {
    name.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// A file's name without its ending; empty when it is not text.
fn stem(file_name: &[u8]) -> &str {
    let name = str::from_utf8(file_name).unwrap_or_default();
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// `log4j-core-2.14.1`: what stands before the first dash that a digit follows, and the rest.
pub fn split_stem(stem: &str) -> Option<(&str, &str)> {
    let bytes = stem.as_bytes();
    let at = (1..bytes.len().saturating_sub(1))
        .find(|at| bytes[*at] == b'-' && bytes[at + 1].is_ascii_digit())?;
    Some((&stem[..at], &stem[at + 1..]))
}

/// Maven's `pom.properties`, a file of java.util.Properties.
pub fn parse_pom(bytes: &[u8]) -> Option<Found> {
    let text = str::from_utf8(bytes).ok()?;
    let value = |wanted: &str| {
        let mut lines = text.lines().filter_map(|line| line.trim().split_once('='));
        lines.find_map(|(key, value)| (key.trim() == wanted).then(|| value.trim()))
    };
    let (group, artifact) = (value("groupId")?, value("artifactId")?);
    if group.is_empty() || artifact.is_empty() {
        return None;
    }
    maven(&format!("{group}:{artifact}"), value("version")?)
}

fn maven(name: &str, version: &str) -> Option<Found> {
    Found::new(Ecosystem::Maven, name, version, EvidenceKind::Metadata)
}

/// What a manifest says of the archive (JAR file specification, "JAR Manifest").
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    title: Option<String>,
    version: Option<String>,
    vendor_id: Option<String>,
    bundle: Option<String>,
    bundle_version: Option<String>,
    module: Option<String>,
}

impl Manifest {
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        // The main section, then those about single members.
        let mut sections: Vec<Vec<(String, String)>> = vec![Vec::new()];
        for line in text.lines() {
            if line.is_empty() {
                sections.push(Vec::new());
                continue;
            }
            let Some(headers) = sections.last_mut() else {
                continue;
            };
            // "No line may be longer than 72 bytes … continuation lines begin with a space".
            match (line.strip_prefix(' '), headers.last_mut()) {
                (Some(more), Some((_, value))) => value.push_str(more),
                _ => {
                    let header = line.split_once(':');
                    headers.extend(header.map(|(key, value)| {
                        (key.trim().to_ascii_lowercase(), value.trim().to_owned())
                    }));
                }
            }
        }
        let of = |headers: &Vec<(String, String)>, wanted: &str| {
            let found = headers.iter().find(|(key, _)| key == wanted);
            // A template that nobody filled in.
            let found = found.filter(|(_, value)| !value.is_empty() && !value.contains("${"));
            found.map(|(_, value)| value.clone())
        };
        let value = |wanted: &str| of(&sections[0], wanted);
        // Some archives say what they are for their packages alone, as in `Name: org/apache/xalan/`
        // (JAR file specification, "Per-entry attributes").
        let said = |headers: &&Vec<(String, String)>| {
            of(headers, "name").is_some() && of(headers, "implementation-version").is_some()
        };
        let by_entry = sections
            .iter()
            .find(said)
            .filter(|_| value("implementation-version").is_none());
        let or_entry = |wanted: &str| {
            value(wanted).or_else(|| by_entry.and_then(|headers| of(headers, wanted)))
        };
        Self {
            title: or_entry("implementation-title"),
            version: or_entry("implementation-version"),
            vendor_id: value("implementation-vendor-id"),
            // Directives may follow: `org.example.lib;singleton:=true`.
            bundle: value("bundle-symbolicname")
                .map(|name| name.split(';').next().unwrap_or_default().trim().to_owned()),
            bundle_version: value("bundle-version"),
            module: value("automatic-module-name"),
        }
    }

    /// What the archive with this stem is, as far as it says.
    pub fn component(&self, stem: &str) -> Option<Found> {
        let by_file = split_stem(stem);
        // Maven names files by artifact and version; a manifest may say anything.
        let is_id = |text: &&str| !text.is_empty() && !text.contains(char::is_whitespace);
        let artifact = match by_file {
            Some((artifact, _)) => artifact,
            None => [self.title.as_deref(), Some(stem), self.bundle.as_deref()]
                .into_iter()
                .flatten()
                .find(is_id)?,
        };
        let version = by_file
            .map(|(_, version)| version)
            .or(self.version.as_deref())
            .or(self.bundle_version.as_deref())?;
        let bundle = self.bundle.as_deref().filter(|name| name.contains('.'));
        let group = self
            .vendor_id
            .as_deref()
            .filter(is_id)
            .filter(|id| id.contains('.'))
            .or_else(|| {
                let bundle = bundle?;
                // `org.apache.commons.lang3` of `commons-lang3` tells the group only roughly.
                bundle.strip_suffix(artifact)?.strip_suffix('.')
            });
        let name = match group {
            Some(group) => format!("{group}:{artifact}"),
            None => artifact.to_owned(),
        };
        let mut found = maven(&name, version)?;
        // A manifest may say anything: what it calls the group is where one may begin to look.
        let hints = [group, bundle, self.module.as_deref()]
            .into_iter()
            .flatten();
        let hints = hints.filter(|hint| hint.contains('.') && !hint.contains(char::is_control));
        let hints = hints.filter(|hint| hint.len() <= LONGEST_PACKAGE_BYTES);
        found.packages.extend(hints.map(str::to_owned));
        found.packages.dedup();
        Some(found)
    }
}
