//! Which versions of a package apt knows of, who publishes each, and which of them apt would take:
//! what `apt-cache policy` says (apt-cache(8), apt_preferences(5)). apt-get's simulation names only
//! what it takes, and says nothing of a security update that lies between two versions, nor of what
//! a hold or a pin keeps away.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use model::effect::says_security;

use super::apt_caches::Caches;
use crate::act::ActError;
use crate::act::program::Program;

/// So many names in one question: the answer, some 300 bytes for each, is bounded.
const NAMES_AT_ONCE: usize = 1000;
/// The priority that a source has where neither it nor the administrator says another
/// (apt_preferences(5)). Those with a lower one, as backports, are asked for by name alone.
const USUAL_PRIORITY: i32 = 500;

/// A version as apt has it to offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub version: String,
    /// What pins make of it (apt_preferences(5)).
    pub priority: i32,
    /// Who publishes it, as in apt-get's simulation: `Debian-Security:12/oldstable-security`.
    pub origins: Vec<String>,
    /// Where it is to be had, in apt's words: `http://deb.debian.org/debian bookworm/main amd64 Packages`.
    pub sources: Vec<String>,
    /// The highest priority that one of its sources has, pins of this package aside.
    pub of_sources: i32,
}

impl Version {
    fn is_security(&self) -> bool {
        says_security(&self.origins)
    }
}

/// What apt knows of one package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    pub installed: Option<String>,
    pub candidate: Option<String>,
    /// In apt's order: the newest first.
    pub versions: Vec<Version>,
}

impl Offers {
    /// The newest version above `from` and up to `to` that is published for security: it is part of
    /// an upgrade from the one to the other, whoever publishes `to`.
    pub fn security_between(&self, from: Option<&str>, to: &str) -> Option<&Version> {
        self.versions.iter().find(|offered| {
            offered.is_security()
                && !is_older(to, &offered.version)
                && from.is_none_or(|from| is_older(from, &offered.version))
        })
    }

    /// The newest version that would be taken if no pin kept it away: what a source has that is
    /// taken by itself, or what is published for security.
    pub fn newest(&self) -> Option<&Version> {
        let mut versions = self.versions.iter();
        versions.find(|one| one.of_sources >= USUAL_PRIORITY || one.is_security())
    }

    /// The same, where it is newer than what is installed and than what apt would take.
    pub fn kept_by_pin(&self) -> Option<&Version> {
        let known = [&self.installed, &self.candidate];
        self.newest().filter(|newest| {
            let mut known = known.into_iter().flatten();
            known.all(|known| is_older(known, &newest.version))
        })
    }

    pub fn version(&self, version: &str) -> Option<&Version> {
        self.versions.iter().find(|one| one.version == version)
    }
}

/// In dpkg's order (deb-version(7)). What is no version is older than nothing.
pub fn is_older(one: &str, other: &str) -> bool {
    let parse = |text: &str| text.parse::<debversion::Version>().ok();
    let order = parse(one).zip(parse(other)).map(|(a, b)| a.cmp(&b));
    order == Some(Ordering::Less)
}

/// Asks apt of these packages.
///
/// # Errors
/// When apt-cache can't be asked.
pub fn offers(caches: &Caches, names: &[String]) -> Result<BTreeMap<String, Offers>, ActError> {
    let mut all = BTreeMap::new();
    for some in names.chunks(NAMES_AT_ONCE) {
        let ended = Program::find(&["/usr/bin/apt-cache"])?
            .args(caches.options())
            .args(["policy"])
            .args(some.iter().cloned())
            .answer()?;
        all.extend(parse_offers(&ended.stdout, caches.publishers()?));
    }
    Ok(all)
}

/// Reads what `apt-cache policy` says of its sources: who publishes what, by the words with which
/// the version tables name it.
///
/// ```text
///  500 http://deb.debian.org/debian bookworm/main amd64 Packages
///      release v=12.11,o=Debian,a=oldstable,n=bookworm,l=Debian,c=main,b=amd64
/// ```
pub fn parse_publishers(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut source = None;
    for line in text.lines() {
        let words = line.trim_start();
        if let Some(release) = words.strip_prefix("release ")
            && let Some(source) = source.take()
        {
            found.insert(source, publisher(release));
        } else if let Some((priority, named)) = words.split_once(' ')
            && priority.parse::<i32>().is_ok()
        {
            source = Some(named.to_owned());
        }
    }
    found
}

/// As apt-get's simulation has it: `LABEL:VERSION/ARCHIVE`.
fn publisher(release: &str) -> String {
    let field = |name: &str| {
        let mut fields = release.split(',');
        fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    let place: Vec<&str> = [field("v"), field("a")].into_iter().flatten().collect();
    match field("l") {
        Some(label) => format!("{label}:{}", place.join("/")),
        None => place.join("/"),
    }
}

/// Reads the version tables of `apt-cache policy NAME…`.
pub fn parse_offers(text: &str, publishers: &BTreeMap<String, String>) -> BTreeMap<String, Offers> {
    let mut all: BTreeMap<String, Offers> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if !line.starts_with(' ') {
            line.trim_end_matches(':').clone_into(&mut name);
            continue;
        }
        let offers = all.entry(name.clone()).or_default();
        let known = |version: &str| (version != "(none)").then(|| version.to_owned());
        if let Some(version) = line.strip_prefix("  Installed: ") {
            offers.installed = known(version);
        } else if let Some(version) = line.strip_prefix("  Candidate: ") {
            offers.candidate = known(version);
        } else if let Some(source) = line.strip_prefix("        ") {
            // `500 http://deb.debian.org/debian bookworm/main amd64 Packages`
            let source = source.trim_start().split_once(' ');
            if let (Some(version), Some((priority, source))) = (offers.versions.last_mut(), source)
                && let Ok(priority) = priority.parse::<i32>()
                && let Some(publisher) = publishers.get(source)
                // dpkg's own database offers nothing.
                && publisher != "now"
            {
                version.of_sources = version.of_sources.max(priority);
                version.origins.push(publisher.clone());
                version.sources.push(source.to_owned());
            }
        } else if let Some(version) = line.get(5..)
            && matches!(line.get(..5), Some(" *** " | "     "))
        {
            // ` *** 2.36-9+deb12u14 500`; before apt 1.1 the priority was the table's, and 0 here.
            let mut words = version.split(' ');
            let version = words.next().unwrap_or_default().to_owned();
            let priority = words.next().and_then(|word| word.parse().ok());
            offers.versions.push(Version {
                version,
                priority: priority.unwrap_or_default(),
                origins: Vec::new(),
                sources: Vec::new(),
                of_sources: i32::MIN,
            });
        }
    }
    all.retain(|_, offers| !offers.versions.is_empty());
    all
}
