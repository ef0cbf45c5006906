//! An inventory that another tool wrote: CycloneDX (ECMA-424) and SPDX 2 as JSON. Components are
//! known by their package URLs (ECMA-427); what has none, one of an ecosystem that is not known
//! here, or one that its own version contradicts, is counted and said.

mod document;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read};
use std::str::FromStr;
use std::sync::Arc;

use model::HostPath;
use model::component::{
    Component, Ecosystem, Evidence, EvidenceKind, Inventory, SourcePackage, Unread,
};
use model::count::plural;
use model::value::Reason;
use packageurl::PackageUrl;

use super::found::Found;
use super::source::malformed;

/// An inventory of ten thousand components has 10 MB.
pub const LIMIT_BYTES: u64 = 256 << 20;
const MOST_COMPONENTS: usize = 1_000_000;
/// So many beyond these are put in order together.
const SORTED_AT_ONCE: usize = MOST_COMPONENTS / 4;
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
    read(bytes, path)
}

/// The same of what is read as it is parsed: a document of a million components is never in memory
/// as a whole.
pub fn read(document: impl Read, path: &HostPath) -> Result<Inventory, Reason> {
    let mut document = Bounded::new(document);
    let mut reading = Reading::new(path);
    let head = document::read(&mut document, &mut reading);
    if document.left == 0 {
        return Err(Reason::TooLarge {
            size_bytes: LIMIT_BYTES + 1,
            limit_bytes: LIMIT_BYTES,
        });
    }
    if let Some(reason) = reading.refused.take() {
        return Err(reason);
    }
    let head = head.map_err(|error| malformed(format!("not JSON: {error}")))?;
    let incomplete = match (head.is_cyclonedx, head.spdx_version.as_deref()) {
        (true, _) => head.cyclonedx_incomplete,
        (false, Some(version)) if version.starts_with("SPDX-2.") => head.spdx_incomplete,
        (false, Some(version)) => {
            return Err(malformed(format!(
                "its SPDX version is `{}`, and 2 is read",
                model::printable(version.as_bytes())
            )));
        }
        (false, None) => {
            return Err(malformed(
                "neither CycloneDX nor SPDX 2, as JSON: it has no `bomFormat` of CycloneDX and \
                     no `spdxVersion`",
            ));
        }
    };
    let form = match head.is_cyclonedx {
        true => Form::CycloneDx,
        false => Form::Spdx,
    };
    reading.inventory(form, incomplete)
}

/// Counts down what may still be read, and passes over a mark of the byte order.
struct Bounded<R> {
    inner: BufReader<R>,
    left: u64,
    begun: bool,
}

impl<R: Read> Bounded<R> {
    fn new(inner: R) -> Self {
        Self {
            inner: BufReader::with_capacity(256 << 10, inner),
            left: LIMIT_BYTES + 1,
            begun: false,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.begun {
            self.begun = true;
            if self.inner.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
                self.inner.consume(3);
            }
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(into.len());
        let read = self.inner.read(&mut into[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Whose words a component is listed in. Which of them a document is, may stand at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    CycloneDx,
    Spdx,
}

/// What a document lists in the words of one form.
#[derive(Default)]
struct Listed {
    /// Sorted so far as `sorted` says; each once there.
    components: Vec<Component>,
    sorted: usize,
    /// How many have no package URL.
    without: usize,
    /// How many have another version beside it, and the first of them.
    contradictory: (usize, String),
    /// How many are of a type that is not known here.
    other_types: BTreeMap<String, usize>,
}

struct Reading<'a> {
    path: &'a HostPath,
    cyclonedx: Listed,
    spdx: Listed,
    /// Shared by all that say no place.
    bare: Arc<[Evidence]>,
    /// Why it is not read on.
    refused: Option<Reason>,
}

impl<'a> Reading<'a> {
    fn new(path: &'a HostPath) -> Self {
        Self {
            path,
            cyclonedx: Listed::default(),
            spdx: Listed::default(),
            bare: [evidence(path, None)].into(),
            refused: None,
        }
    }

    /// A component in CycloneDX's words.
    fn cyclonedx(&mut self, item: document::Item) -> Result<(), Reason> {
        // The distribution itself, files, and what the document is about need be no packages.
        if item.is_no_package && item.purl.as_deref().is_none_or(is_none) {
            return Ok(());
        }
        let property = |wanted: &str| {
            let value = item.properties.get(wanted)?.as_deref();
            value.filter(|value| !value.is_empty())
        };
        let mut places: Vec<&str> = item.places.iter().map(String::as_str).collect();
        if places.is_empty() {
            places.extend(property("aquasecurity:trivy:FilePath"));
        }
        let Some(mut component) = self
            .cyclonedx
            .known(item.purl.as_deref(), item.version.as_deref())
        else {
            return Ok(());
        };
        component.image = property("steadfast:image").map(str::to_owned);
        component.packages = few(item.packages.clone());
        if is_package(&component) {
            component.origin.clone_from(&item.publisher);
            if let Some(source) = own_source(&property).or_else(|| trivy_source(&property)) {
                component.source = Some(source);
            }
        }
        component.evidence = self.evidence(&places);
        self.cyclonedx.add(component)
    }

    /// A package in SPDX's words. It may have several package URLs, each of which counts.
    fn spdx(&mut self, item: document::Package) -> Result<(), Reason> {
        // What the document is about: a host, a tree, an image.
        if item.is_no_package && item.purls.iter().all(|purl| is_none(purl)) {
            return Ok(());
        }
        if item.purls.is_empty() {
            self.spdx.without += 1;
        }
        let places: Vec<&str> = item.places.iter().map(String::as_str).collect();
        let evidence = self.evidence(&places);
        let packages = few(item.packages);
        let supplier = item.supplier.as_deref();
        let supplier = supplier.and_then(|by| by.strip_prefix("Organization: "));
        for purl in &item.purls {
            let Some(mut component) = self.spdx.known(Some(purl), item.version.as_deref()) else {
                continue;
            };
            component.image.clone_from(&item.image);
            component.packages.clone_from(&packages);
            if is_package(&component) {
                component.origin = supplier.map(str::to_owned);
            }
            component.evidence = Arc::clone(&evidence);
            self.spdx.add(component)?;
        }
        Ok(())
    }

    /// `places` are where the document says that it lies.
    fn evidence(&self, places: &[&str]) -> Arc<[Evidence]> {
        if places.is_empty() {
            return Arc::clone(&self.bare);
        }
        let places: BTreeSet<Evidence> = places
            .iter()
            .map(|place| evidence(self.path, Some(place)))
            .collect();
        places.into_iter().collect()
    }

    fn inventory(self, form: Form, incomplete: Option<Missing>) -> Result<Inventory, Reason> {
        let mut listed = match form {
            Form::CycloneDx => self.cyclonedx,
            Form::Spdx => self.spdx,
        };
        listed.settle()?;
        let mut unread = Vec::new();
        let mut say = |what: String| {
            unread.push(Unread {
                path: self.path.clone(),
                why: Reason::Unavailable { what },
            });
        };
        if let Some(missing) = &incomplete {
            say(says_incomplete(missing));
        }
        let (contradictory, first) = &listed.contradictory;
        let without = listed.without + contradictory;
        if listed.components.is_empty() && without == 0 && listed.other_types.is_empty() {
            say("the document lists no component".to_owned());
        }
        if listed.without > 0 {
            let components = plural(listed.without, "component");
            say(format!(
                "{components} without a package URL that can be read"
            ));
        }
        if *contradictory > 0 {
            let components = plural(*contradictory, "component");
            let first = model::printable(first.as_bytes());
            say(format!(
                "{components} with another version than the package URL has ({first})"
            ));
        }
        for (kind, number) in &listed.other_types {
            let kind = model::printable(kind.as_bytes());
            let components = plural(*number, "component");
            say(format!(
                "{components} of the type `{kind}`, not known by a name and a version here"
            ));
        }
        Ok(Inventory {
            components: listed.components,
            unread,
            other_roots: Vec::new(),
        })
    }
}

fn evidence(path: &HostPath, place: Option<&str>) -> Evidence {
    Evidence {
        path: path.clone(),
        how: EvidenceKind::Metadata,
        // As within an archive: `sbom.json!/opt/app/package.json`.
        member: place.map(|place| place.trim_start_matches('/').to_owned()),
    }
}

impl Listed {
    /// The component that a package URL means. `said` is the version that stands beside it.
    fn known(&mut self, purl: Option<&str>, said: Option<&str>) -> Option<Component> {
        let Some(purl) = purl.and_then(|purl| PackageUrl::from_str(purl).ok()) else {
            self.without += 1;
            return None;
        };
        let component = component(&purl);
        if component.is_none() {
            *self.other_types.entry(purl.ty().to_owned()).or_default() += 1;
        }
        let said = said.map(str::trim).filter(|said| !said.is_empty());
        if let (Some(component), Some(said)) = (&component, said)
            && !is_one_version(&component.version, said)
        {
            let (count, first) = &mut self.contradictory;
            if *count == 0 {
                let said: String = said.chars().take(LONGEST_MISSING).collect();
                *first = format!("{} {}: {said}", component.name, component.version);
            }
            *count += 1;
            return None;
        }
        component
    }

    fn add(&mut self, component: Component) -> Result<(), Reason> {
        self.components.push(component);
        let unsorted = self.components.len() - self.sorted;
        // A document may list the same ones again and again.
        match self.components.len() > MOST_COMPONENTS && unsorted > SORTED_AT_ONCE {
            true => self.settle(),
            false => Ok(()),
        }
    }

    /// Sorts what was listed, and makes one of those that are the same.
    fn settle(&mut self) -> Result<(), Reason> {
        let all = &mut self.components;
        all[self.sorted..].sort_unstable_by(by_itself);
        if self.sorted > 0 {
            // Of two parts that are in order it is a merge.
            all.sort_by(by_itself);
        }
        let (mut kept, mut at) = (0, 0);
        while at < all.len() {
            let same = all[at..].iter();
            let same = same.take_while(|one| by_itself(one, &all[at]).is_eq());
            let end = at + same.count();
            if end - at > 1 {
                let each = all[at..end].iter().flat_map(|one| one.evidence.iter());
                let mut each: BTreeSet<Evidence> = each.cloned().collect();
                if each.iter().any(|one| one.member.is_some()) {
                    each.retain(|one| one.member.is_some());
                }
                all[at].evidence = each.into_iter().collect();
            }
            all.swap(kept, at);
            kept += 1;
            at = end;
        }
        all.truncate(kept);
        self.sorted = kept;
        match kept > MOST_COMPONENTS {
            true => Err(malformed(format!("more than {MOST_COMPONENTS} components"))),
            false => Ok(()),
        }
    }
}

/// The order of components, whatever proves them.
fn by_itself(a: &Component, b: &Component) -> Ordering {
    let order = a.ecosystem.cmp(&b.ecosystem);
    order
        .then_with(|| a.name.cmp(&b.name))
        .then_with(|| a.version.cmp(&b.version))
        .then_with(|| a.source.cmp(&b.source))
        .then_with(|| a.architecture.cmp(&b.architecture))
        .then_with(|| a.origin.cmp(&b.origin))
        .then_with(|| a.image.cmp(&b.image))
        .then_with(|| a.packages.cmp(&b.packages))
}

/// What a document itself says is missing in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Missing {
    first: Vec<String>,
    count: usize,
}

impl Missing {
    fn add(&mut self, what: &str) {
        self.count += 1;
        if self.first.len() < MOST_MISSING {
            let what: String = what.chars().take(LONGEST_MISSING).collect();
            self.first.push(model::printable(what.as_bytes()));
        }
    }
}

fn says_incomplete(missing: &Missing) -> String {
    let begins = "the document says that it is incomplete, and what it does not list is unknown";
    let Missing { first, count } = missing;
    match (first.is_empty(), count.saturating_sub(MOST_MISSING)) {
        (true, _) => begins.to_owned(),
        (false, 0) => format!("{begins} ({})", first.join("; ")),
        (false, more) => format!("{begins} ({}; and {more} more)", first.join("; ")),
    }
}

/// Packages that are used. Of a list that goes on and on none is known: what stands at its end would
/// otherwise count as not used.
fn few(mut packages: Vec<String>) -> Vec<String> {
    if packages.len() > MOST_PLACES {
        packages.clear();
    }
    packages
}

/// Does what need be no package name none: by no package URL, or by one of an image, whose packages
/// are listed beside it?
fn is_none(purl: &str) -> bool {
    PackageUrl::from_str(purl).is_ok_and(|purl| matches!(purl.ty(), "docker" | "oci"))
}

/// Do a package URL and the component's own version mean one? Tools differ in Go's `v`, in whether
/// they write Debian's epoch, and in the platform that a gem's version ends with.
fn is_one_version(purl: &str, said: &str) -> bool {
    let plain = |version: &str| {
        let version = version.to_ascii_lowercase();
        let version = version.strip_prefix("go").unwrap_or(&version);
        version.strip_prefix('v').unwrap_or(version).to_owned()
    };
    let epoch = |version: &str| match version.split_once(':') {
        Some((epoch, rest)) => (Some(epoch.to_owned()), rest.to_owned()),
        None => (None, version.to_owned()),
    };
    let ((epoch, purl), (other, said)) = (epoch(&plain(purl)), epoch(&plain(said)));
    let begins = |long: &str, short: &str| {
        let rest = long.strip_prefix(short);
        rest.is_some_and(|rest| rest.is_empty() || is_platform(rest))
    };
    (epoch.is_none() || other.is_none() || epoch == other)
        && (begins(&purl, &said) || begins(&said, &purl))
}

/// `-x86_64-linux`, `-java`
fn is_platform(rest: &str) -> bool {
    const PLATFORMS: [&str; 6] = ["-linux", "-darwin", "-java", "-mingw", "-mswin", "-musl"];
    rest.starts_with('-') && PLATFORMS.iter().any(|name| rest.contains(name))
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
            let release = release.map(|release| match id {
                "debian" => number_of(&release),
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
        evidence: Arc::default(),
        image: None,
        packages: Vec::new(),
        instead_of: None,
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

/// Debian's releases are also called by their names, as in the examples of the package URL's own
/// specification (`distro=bookworm`).
fn number_of(release: &str) -> String {
    let number = match release {
        "buster" => "10",
        "bullseye" => "11",
        "bookworm" => "12",
        "trixie" => "13",
        other => other.split('.').next().unwrap_or(other),
    };
    number.to_owned()
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
