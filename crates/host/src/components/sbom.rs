//! An inventory that another tool wrote: CycloneDX (ECMA-424) and SPDX 2 as JSON. Components are
//! known by their package URLs (ECMA-427); what has none, or one of an ecosystem that is not
//! known here, is counted and said.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use model::HostPath;
use model::component::{
    Component, Ecosystem, Evidence, EvidenceKind, Inventory, SourcePackage, Unread,
};
use model::count::plural;
use model::value::Reason;
use packageurl::PackageUrl;
use serde_json::Value;

use super::found::Found;
use super::source::malformed;

/// An inventory of ten thousand components has 10 MB.
pub const LIMIT_BYTES: u64 = 256 << 20;
/// Components may have components; `serde_json` itself stops at 128.
const DEEPEST: usize = 64;
const MOST_COMPONENTS: usize = 1_000_000;
/// Places of one component that are kept: the same module lies in many folders.
const MOST_PLACES: usize = 1000;
/// So much of what a document says is missing in it is said on.
const MOST_MISSING: usize = 3;
const LONGEST_MISSING: usize = 120;

/// What an annotation of ours in SPDX begins with: the file that proves a package, and the image
/// that holds it.
pub const EVIDENCE: &str = "steadfast:evidence ";
pub const IMAGE: &str = "steadfast:image ";
/// A package of a module or an archive ([`Component::packages`]); in CycloneDX the name of a
/// property, without the space.
pub const PACKAGE: &str = "steadfast:package ";
/// And the comment of a document that is not whole.
pub const UNREAD: &str = "could not be read: ";

/// The inventory of a document. `path` is the document's own: it is what says that a component
/// is there.
pub fn parse(bytes: &[u8], path: &HostPath) -> Result<Inventory, Reason> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.len() as u64 > LIMIT_BYTES {
        return Err(Reason::TooLarge {
            size_bytes: bytes.len() as u64,
            limit_bytes: LIMIT_BYTES,
        });
    }
    let document: Value =
        serde_json::from_slice(bytes).map_err(|error| malformed(format!("not JSON: {error}")))?;
    let mut reading = Reading {
        path,
        components: BTreeMap::new(),
        without: 0,
        other_types: BTreeMap::new(),
        incomplete: None,
    };
    if document["bomFormat"] == "CycloneDX" {
        reading.cyclonedx(&document["components"], 0)?;
        reading.incomplete = cyclonedx_incomplete(&document);
    } else if text(&document, "spdxVersion").is_some_and(|version| version.starts_with("SPDX-2.")) {
        reading.spdx(&document["packages"])?;
        reading.incomplete = spdx_incomplete(&document);
    } else {
        return Err(malformed(match text(&document, "spdxVersion") {
            Some(version) => format!(
                "its SPDX version is `{}`, and 2 is read",
                model::printable(version.as_bytes())
            ),
            None => {
                "neither CycloneDX nor SPDX 2, as JSON: it has no `bomFormat` of CycloneDX and \
                     no `spdxVersion`"
                    .to_owned()
            }
        }));
    }
    Ok(reading.inventory())
}

struct Reading<'a> {
    path: &'a HostPath,
    components: BTreeMap<Component, BTreeSet<Evidence>>,
    /// How many have no package URL.
    without: usize,
    /// How many are of a type that is not known here.
    other_types: BTreeMap<String, usize>,
    /// What the document itself says is missing in it; empty where it does not say what.
    incomplete: Option<Vec<String>>,
}

impl Reading<'_> {
    fn cyclonedx(&mut self, components: &Value, depth: usize) -> Result<(), Reason> {
        for item in list(components) {
            if depth < DEEPEST {
                self.cyclonedx(&item["components"], depth + 1)?;
            }
            // The distribution itself, and files, are no packages.
            if matches!(
                text(item, "type"),
                Some("operating-system" | "file" | "device")
            ) {
                continue;
            }
            let property = |wanted: &str| {
                let mut all = list(&item["properties"]).iter();
                let found = all.find(|property| property["name"] == wanted)?;
                text(found, "value").filter(|value| !value.is_empty())
            };
            let occurrences = list(&item["evidence"]["occurrences"]).iter();
            let mut places: Vec<&str> = occurrences
                .filter_map(|occurrence| text(occurrence, "location"))
                .take(MOST_PLACES)
                .collect();
            if places.is_empty() {
                places.extend(property("aquasecurity:trivy:FilePath"));
            }
            let Some(mut component) = self.known(text(item, "purl")) else {
                continue;
            };
            component.image = property("steadfast:image").map(str::to_owned);
            component.packages = few(properties_of(item, PACKAGE));
            if is_package(&component) {
                component.origin = text(item, "publisher").map(str::to_owned);
                if let Some(source) = own_source(&property).or_else(|| trivy_source(&property)) {
                    component.source = Some(source);
                }
            }
            self.add(component, &places)?;
        }
        Ok(())
    }

    fn spdx(&mut self, packages: &Value) -> Result<(), Reason> {
        for item in list(packages) {
            // What the document is about: a host, a tree, an image.
            let purpose = text(item, "primaryPackagePurpose");
            if matches!(
                purpose,
                Some("OPERATING-SYSTEM" | "CONTAINER" | "FILE" | "DEVICE")
            ) {
                continue;
            }
            let references = list(&item["externalRefs"]).iter();
            let mut purls = references.filter(|reference| reference["referenceType"] == "purl");
            let purl = purls.next().and_then(|it| text(it, "referenceLocator"));
            if let Some(mut component) = self.known(purl) {
                let said = |what: &'static str| own_annotations(item, what);
                component.image = said(IMAGE).next().map(str::to_owned);
                component.packages = few(said(PACKAGE));
                if is_package(&component) {
                    let supplier = text(item, "supplier");
                    let supplier = supplier.and_then(|by| by.strip_prefix("Organization: "));
                    component.origin = supplier.map(str::to_owned);
                }
                let places: Vec<&str> = said(EVIDENCE).take(MOST_PLACES).collect();
                self.add(component, &places)?;
            }
        }
        Ok(())
    }

    /// The component that a package URL means.
    fn known(&mut self, purl: Option<&str>) -> Option<Component> {
        let Some(purl) = purl.and_then(|purl| PackageUrl::from_str(purl).ok()) else {
            self.without += 1;
            return None;
        };
        let component = component(&purl);
        if component.is_none() {
            *self.other_types.entry(purl.ty().to_owned()).or_default() += 1;
        }
        component
    }

    /// `places` are where the document says that it lies.
    fn add(&mut self, component: Component, places: &[&str]) -> Result<(), Reason> {
        if self.components.len() == MOST_COMPONENTS {
            return Err(malformed(format!("more than {MOST_COMPONENTS} components")));
        }
        let evidence = |place: Option<&str>| Evidence {
            path: self.path.clone(),
            how: EvidenceKind::Metadata,
            // As within an archive: `sbom.json!/opt/app/package.json`.
            member: place.map(|place| place.trim_start_matches('/').to_owned()),
        };
        let known = self.components.entry(component).or_default();
        known.extend(places.iter().map(|place| evidence(Some(place))));
        if known.is_empty() {
            known.insert(evidence(None));
        }
        Ok(())
    }

    fn inventory(self) -> Inventory {
        let with_evidence = |(component, evidence): (Component, BTreeSet<Evidence>)| Component {
            evidence: evidence.into_iter().collect(),
            ..component
        };
        let mut unread = Vec::new();
        let mut say = |what: String| {
            unread.push(Unread {
                path: self.path.clone(),
                why: Reason::Unavailable { what },
            });
        };
        if let Some(missing) = &self.incomplete {
            say(says_incomplete(missing));
        }
        if self.components.is_empty() && self.without == 0 && self.other_types.is_empty() {
            say("the document lists no component".to_owned());
        }
        if self.without > 0 {
            let components = plural(self.without, "component");
            say(format!(
                "{components} without a package URL that can be read"
            ));
        }
        for (kind, number) in &self.other_types {
            let kind = model::printable(kind.as_bytes());
            let components = plural(*number, "component");
            say(format!(
                "{components} of the type `{kind}`, not known by a name and a version here"
            ));
        }
        Inventory {
            components: self.components.into_iter().map(with_evidence).collect(),
            unread,
        }
    }
}

/// CycloneDX 1.6, `compositions`: "incomplete", and its kinds ("incomplete_third_party_only"):
/// "the relationship is incomplete; additional relationships exist". "unknown" says neither.
fn cyclonedx_incomplete(document: &Value) -> Option<Vec<String>> {
    let says_so = |composition: &Value| {
        let aggregate = text(composition, "aggregate");
        aggregate.is_some_and(|aggregate| aggregate.starts_with("incomplete"))
    };
    let properties = list(&document["metadata"]["properties"]).iter();
    let missing = properties.filter(|property| property["name"] == "steadfast:unread");
    let missing: Vec<String> = missing
        .filter_map(|property| Some(text(property, "value")?.to_owned()))
        .collect();
    let mut compositions = list(&document["compositions"]).iter();
    (compositions.any(says_so) || !missing.is_empty()).then_some(missing)
}

/// SPDX 2.3, 11.1: a relationship to NOASSERTION says that there may be more, which is not told.
fn spdx_incomplete(document: &Value) -> Option<Vec<String>> {
    let says_so = |relationship: &Value| {
        let kind = text(relationship, "relationshipType");
        matches!(kind, Some("CONTAINS" | "DEPENDS_ON"))
            && relationship["relatedSpdxElement"] == "NOASSERTION"
    };
    let comment = text(&document["creationInfo"], "comment");
    let missing = comment.and_then(|comment| comment.strip_prefix(UNREAD));
    let mut relationships = list(&document["relationships"]).iter();
    let is_so = relationships.any(says_so) || missing.is_some();
    is_so.then(|| {
        let missing = missing.into_iter().flat_map(|missing| missing.split("; "));
        missing.map(str::to_owned).collect()
    })
}

fn says_incomplete(missing: &[String]) -> String {
    let begins = "the document says that it is incomplete, and what it does not list is unknown";
    let first = missing.iter().take(MOST_MISSING);
    let first: Vec<String> = first
        .map(|one| {
            let one: String = one.chars().take(LONGEST_MISSING).collect();
            model::printable(one.as_bytes())
        })
        .collect();
    match (first.is_empty(), missing.len().saturating_sub(MOST_MISSING)) {
        (true, _) => begins.to_owned(),
        (false, 0) => format!("{begins} ({})", first.join("; ")),
        (false, more) => format!("{begins} ({}; and {more} more)", first.join("; ")),
    }
}

/// What our own documents say of a component in CycloneDX's properties.
fn properties_of<'a>(item: &'a Value, what: &'static str) -> impl Iterator<Item = &'a str> {
    let properties = list(&item["properties"]).iter();
    let properties = properties.filter(move |property| property["name"] == what.trim_end());
    properties.filter_map(|property| text(property, "value"))
}

/// Packages that are used. Of a list that goes on and on none is known: what stands at its end would
/// otherwise count as not used.
fn few<'a>(packages: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut packages: Vec<String> = packages.take(MOST_PLACES + 1).map(str::to_owned).collect();
    if packages.len() > MOST_PLACES {
        packages.clear();
    }
    packages
}

/// What our own documents say of a package in SPDX's annotations (SPDX 2.3, 12).
fn own_annotations<'a>(item: &'a Value, what: &'static str) -> impl Iterator<Item = &'a str> {
    let comments = list(&item["annotations"]).iter();
    let comments = comments.filter_map(|annotation| text(annotation, "comment"));
    comments.filter_map(move |comment| comment.strip_prefix(what))
}

/// None when the type is not known here, or without a version.
fn component(purl: &PackageUrl<'_>) -> Option<Component> {
    let qualifier = |name: &str| {
        let value = purl.qualifiers().get(name)?;
        Some(value.as_ref()).filter(|value| !value.is_empty())
    };
    let version = purl.version()?;
    let (ecosystem, name, version) = match purl.ty() {
        "apk" => {
            let id = purl.namespace().unwrap_or("alpine").to_owned();
            let release = qualifier("distro").and_then(|distro| release_of(distro, &id));
            let ecosystem = Ecosystem::Apk { id, release };
            (ecosystem, purl.name().to_owned(), version.to_owned())
        }
        "deb" => {
            // Trivy has the epoch apart.
            let version = match qualifier("epoch") {
                Some(epoch) if !version.contains(':') => format!("{epoch}:{version}"),
                _ => version.to_owned(),
            };
            let id = purl.namespace().unwrap_or("debian");
            let release = qualifier("distro").and_then(|distro| release_of(distro, id));
            // Debian's releases have one number; a point release is none of its own.
            let release = release.map(|release| match (id, release.split_once('.')) {
                ("debian", Some((release, _))) => release.to_owned(),
                _ => release,
            });
            let ecosystem = match id {
                "debian" => Ecosystem::Debian { release },
                id => Ecosystem::OtherDpkg {
                    id: id.to_owned(),
                    release,
                },
            };
            (ecosystem, purl.name().to_owned(), version)
        }
        "golang" => {
            let name = joined(purl, "/");
            // Go's own library, as its compiler is numbered.
            let version = match name.as_str() {
                "stdlib" => version.trim_start_matches("go").trim_start_matches('v'),
                _ => version,
            };
            (Ecosystem::Go, name, version.to_owned())
        }
        "npm" => (Ecosystem::Npm, joined(purl, "/"), version.to_owned()),
        "maven" => (Ecosystem::Maven, joined(purl, ":"), version.to_owned()),
        "cargo" => (
            Ecosystem::CratesIo,
            purl.name().to_owned(),
            version.to_owned(),
        ),
        "pypi" => (Ecosystem::PyPi, purl.name().to_owned(), version.to_owned()),
        "gem" => (
            Ecosystem::RubyGems,
            purl.name().to_owned(),
            version.to_owned(),
        ),
        _ => return None,
    };
    let found = Found::new(ecosystem, &name, &version, EvidenceKind::Metadata)?;
    let mut component = Component {
        ecosystem: found.ecosystem,
        name: found.name,
        version: found.version,
        source: None,
        architecture: None,
        origin: None,
        evidence: Vec::new(),
        image: None,
        packages: Vec::new(),
    };
    if is_package(&component) {
        component.architecture = qualifier("arch").map(str::to_owned);
        // `openssl@3.0.1`, or `openssl` where the version is the same. A package without one may be
        // built from a source of another name, which nothing tells. apk's origins are not looked up.
        let own_name = Some(component.name.as_str()).filter(|_| purl.ty() != "deb");
        component.source = qualifier("upstream").or(own_name).map(|upstream| {
            let (name, version) = match upstream.split_once('@') {
                Some((name, version)) => (name, version),
                None => (upstream, component.version.as_str()),
            };
            SourcePackage {
                name: name.to_owned(),
                version: version.to_owned(),
            }
        });
    }
    Some(component)
}

/// `12` of `debian-12`; some write the release alone.
fn release_of(distro: &str, id: &str) -> Option<String> {
    let release = match distro.strip_prefix(id) {
        Some(release) => release.trim_start_matches('-'),
        None => distro,
    };
    (!release.is_empty()).then(|| release.to_owned())
}

fn joined(purl: &PackageUrl<'_>, separator: &str) -> String {
    match purl.namespace() {
        Some(namespace) => format!("{namespace}{separator}{}", purl.name()),
        None => purl.name().to_owned(),
    }
}

fn is_package(component: &Component) -> bool {
    component.ecosystem.is_distribution()
}

fn own_source<'a>(property: &impl Fn(&str) -> Option<&'a str>) -> Option<SourcePackage> {
    Some(SourcePackage {
        name: property("steadfast:source:name")?.to_owned(),
        version: property("steadfast:source:version")?.to_owned(),
    })
}

/// Trivy writes the parts of a source's version apart.
fn trivy_source<'a>(property: &impl Fn(&str) -> Option<&'a str>) -> Option<SourcePackage> {
    let mut version = property("aquasecurity:trivy:SrcVersion")?.to_owned();
    if let Some(epoch) = property("aquasecurity:trivy:SrcEpoch") {
        version = format!("{epoch}:{version}");
    }
    if let Some(release) = property("aquasecurity:trivy:SrcRelease") {
        version = format!("{version}-{release}");
    }
    Some(SourcePackage {
        name: property("aquasecurity:trivy:SrcName")?.to_owned(),
        version,
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}
