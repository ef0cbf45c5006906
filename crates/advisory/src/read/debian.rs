//! The Debian security tracker's own export (https://security-tracker.debian.org/tracker/data/json):
//! source package → CVE → releases.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{MOST_LISTED, Refusal, cut, name};
use crate::record::{Advisory, Affected, Affects, Event};

/// What was made of it. One advisory for each CVE, with all packages that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracker {
    pub read: Vec<Advisory>,
    pub refused: Vec<Refusal>,
    /// Releases that are not known here by their code names; one name for each entry.
    pub elsewhere: BTreeMap<String, usize>,
}

/// Debian has some 40,000 source packages and as many CVEs.
const MOST_PACKAGES: usize = 200_000;

/// Releases by their code names (https://www.debian.org/releases/). `sid` has no number, as in
/// os-release.
fn release(codename: &str) -> Option<&'static str> {
    Some(match codename {
        "wheezy" => "Debian:7",
        "jessie" => "Debian:8",
        "stretch" => "Debian:9",
        "buster" => "Debian:10",
        "bullseye" => "Debian:11",
        "bookworm" => "Debian:12",
        "trixie" => "Debian:13",
        "forky" => "Debian:14",
        "sid" => "Debian",
        _ => return None,
    })
}

#[derive(Deserialize)]
struct Issue {
    #[serde(default)]
    description: String,
    releases: BTreeMap<String, InRelease>,
}

#[derive(Deserialize)]
struct InRelease {
    status: String,
    #[serde(default)]
    fixed_version: Option<String>,
    #[serde(default)]
    urgency: Option<String>,
}

/// Is the first package's first entry one with `releases`?
pub(super) fn looks_like_it(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(64 << 10)];
    let has = |word: &[u8]| start.windows(word.len()).any(|window| window == word);
    has(b"\"releases\"") && has(b"\"status\"")
}

/// # Errors
/// When it is no such document.
pub fn read(bytes: &[u8]) -> Result<Tracker, Refusal> {
    let mut issues = BTreeMap::new();
    let mut tracker = Tracker::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let packages = Packages {
        issues: &mut issues,
        tracker: &mut tracker,
    };
    packages.deserialize(&mut deserializer)?;
    deserializer.end()?;
    if issues.is_empty() {
        return Err(Refusal::new("names no vulnerability"));
    }
    tracker.read = issues.into_values().collect();
    Ok(tracker)
}

/// The outer map, package by package: the whole document as a tree would be half a gigabyte.
struct Packages<'a> {
    issues: &'a mut BTreeMap<String, Advisory>,
    tracker: &'a mut Tracker,
}

impl<'de> DeserializeSeed<'de> for Packages<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Packages<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("source packages with their issues")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        use serde::de::Error;
        let mut packages = 0;
        while let Some(package) = map.next_key::<String>()? {
            packages += 1;
            if packages > MOST_PACKAGES {
                return Err(A::Error::custom("names too many packages"));
            }
            if let Err(Refusal(why)) = name("a package's name", &package) {
                self.tracker.refused.push(Refusal(why));
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let of_package: BTreeMap<String, &RawValue> = map.next_value()?;
            for (id, issue) in of_package {
                if let Err(Refusal(why)) = self.issue(&package, &id, issue) {
                    self.tracker
                        .refused
                        .push(Refusal(format!("{package}, {id:.40}: {why}")));
                }
            }
        }
        Ok(())
    }
}

impl Packages<'_> {
    fn issue(&mut self, package: &str, id: &str, issue: &RawValue) -> Result<(), Refusal> {
        let id = name("the id", id)?;
        let issue: Issue = serde_json::from_str(issue.get())?;
        let mut affected = Vec::new();
        for (codename, said) in &issue.releases {
            let Some(ecosystem) = release(codename) else {
                let unknown = codename.chars().take(40).collect();
                *self.tracker.elsewhere.entry(unknown).or_default() += 1;
                continue;
            };
            let urgency = said.urgency.as_deref();
            affected.push(Affected {
                ecosystem: ecosystem.to_owned(),
                informational: None,
                packages: Vec::new(),
                name: package.to_owned(),
                affects: affects(said)?,
                urgency: match urgency {
                    None | Some("" | "not yet assigned") => None,
                    // A trailing `**` marks that Debian took it from NVD.
                    Some(urgency) => Some(name("an urgency", urgency.trim_end_matches('*'))?),
                },
            });
        }
        let advisory = self.issues.entry(id.clone()).or_insert_with(|| Advisory {
            id,
            details: cut(&issue.description),
            ..Advisory::default()
        });
        if advisory.affected.len() + affected.len() > MOST_LISTED {
            return Err(Refusal(format!(
                "speaks of more than {MOST_LISTED} packages"
            )));
        }
        advisory.affected.extend(affected);
        Ok(())
    }
}

fn affects(said: &InRelease) -> Result<Affects, Refusal> {
    let range = |end: Option<Event>| Affects::Versions {
        ranges: vec![
            std::iter::once(Event::Introduced("0".to_owned()))
                .chain(end)
                .collect(),
        ],
        exactly: Vec::new(),
    };
    match (said.status.as_str(), &said.fixed_version) {
        ("open", _) => Ok(range(None)),
        // `0`: no version of this release was ever affected.
        ("resolved", Some(version)) => Ok(range(Some(Event::Fixed(name("a version", version)?)))),
        ("undetermined", _) => Ok(Affects::Undetermined),
        (status, _) => Err(Refusal(format!(
            "status `{status:.40}` without a fixed version"
        ))),
    }
}
