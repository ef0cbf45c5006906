//! The shapes of CycloneDX and SPDX 2, read item by item. What is of another type than the standards
//! say is passed over, as if it were not there; only what is needed is kept, and bounded.

use std::collections::BTreeMap;
use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{EVIDENCE, IMAGE, MOST_PLACES, Missing, PACKAGE, Reading, UNREAD};

/// Components may have components; `serde_json` itself stops at 128.
const DEEPEST: usize = 64;
/// Of one text so much is kept: names and places are shorter, and a comment lists what is missing.
const LONGEST_TEXT_BYTES: usize = 64 << 10;

/// What is said of the whole.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) is_cyclonedx: bool,
    pub(super) spdx_version: Option<String>,
    /// What it says is missing in it; none where it does not say that it is incomplete.
    pub(super) cyclonedx_incomplete: Option<Missing>,
    pub(super) spdx_incomplete: Option<Missing>,
}

/// A component of CycloneDX.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) is_no_package: bool,
    pub(super) purl: Option<String>,
    /// The version beside the package URL.
    pub(super) version: Option<String>,
    pub(super) publisher: Option<String>,
    /// The first of each name.
    pub(super) properties: BTreeMap<&'static str, Option<String>>,
    pub(super) packages: Vec<String>,
    pub(super) places: Vec<String>,
}

/// A package of SPDX.
#[derive(Debug, Default)]
pub(super) struct Package {
    pub(super) is_no_package: bool,
    /// All that its references name, once each.
    pub(super) purls: Vec<String>,
    /// The version beside the package URL.
    pub(super) version: Option<String>,
    pub(super) supplier: Option<String>,
    pub(super) image: Option<String>,
    pub(super) packages: Vec<String>,
    pub(super) places: Vec<String>,
}

/// Reads a whole document; each component is handed to `reading`, which says where it refused one.
pub(super) fn read(
    document: impl Read,
    reading: &mut Reading<'_>,
) -> Result<Head, serde_json::Error> {
    let mut from = serde_json::Deserializer::from_reader(document);
    let head = Lenient(Document { reading }).deserialize(&mut from)?;
    from.end()?;
    Ok(head)
}

/// What to do with one value of JSON; what is not meant gives the default.
trait Take<'de>: Sized {
    type Taken: Default;

    fn text(self, _: &str) -> Self::Taken {
        Self::Taken::default()
    }

    fn list<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Taken, A::Error> {
        while all.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::Taken::default())
    }

    fn object<A: MapAccess<'de>>(self, mut all: A) -> Result<Self::Taken, A::Error> {
        while all.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::Taken::default())
    }
}

/// Reads any value.
struct Lenient<T>(T);

impl<'de, T: Take<'de>> DeserializeSeed<'de> for Lenient<T> {
    type Value = T::Taken;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T::Taken, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, T: Take<'de>> Visitor<'de> for Lenient<T> {
    type Value = T::Taken;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<T::Taken, E> {
        Ok(self.0.text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, all: A) -> Result<T::Taken, A::Error> {
        self.0.list(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, all: A) -> Result<T::Taken, A::Error> {
        self.0.object(all)
    }

    fn visit_bool<E>(self, _: bool) -> Result<T::Taken, E> {
        Ok(T::Taken::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<T::Taken, E> {
        Ok(T::Taken::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<T::Taken, E> {
        Ok(T::Taken::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<T::Taken, E> {
        Ok(T::Taken::default())
    }

    fn visit_unit<E>(self) -> Result<T::Taken, E> {
        Ok(T::Taken::default())
    }
}

/// A text.
struct Text;

impl Take<'_> for Text {
    type Taken = Option<String>;

    fn text(self, text: &str) -> Option<String> {
        let end = text.floor_char_boundary(LONGEST_TEXT_BYTES);
        Some(text[..end].to_owned())
    }
}

/// One of these words, or of what begins with one.
#[derive(Clone, Copy)]
struct Word(&'static [&'static str]);

impl Take<'_> for Word {
    type Taken = Option<&'static str>;

    fn text(self, text: &str) -> Option<&'static str> {
        self.0.iter().copied().find(|word| *word == text)
    }
}

/// A list, of which each value is handed to the same work.
trait Elements<'de>: Sized {
    /// None at the end of the list.
    fn next<A: SeqAccess<'de>>(&mut self, all: &mut A) -> Result<Option<()>, A::Error>;
}

struct List<T>(T);

impl<'de, T: Elements<'de>> Take<'de> for List<T> {
    type Taken = ();

    fn list<A: SeqAccess<'de>>(mut self, mut all: A) -> Result<(), A::Error> {
        while self.0.next(&mut all)?.is_some() {}
        Ok(())
    }
}

/// An object with some known keys, each with its work; the others are passed over.
trait Keyed<'de>: Sized {
    const KEYS: &'static [&'static str];
    type Made: Default;

    /// Takes the value of a key, or passes over it.
    fn value<A: MapAccess<'de>>(&mut self, key: &str, all: &mut A) -> Result<(), A::Error>;

    fn made<E: Error>(self) -> Result<Self::Made, E>;
}

struct Object<K>(K);

impl<'de, K: Keyed<'de>> Take<'de> for Object<K> {
    type Taken = K::Made;

    fn object<A: MapAccess<'de>>(mut self, mut all: A) -> Result<K::Made, A::Error> {
        while let Some(key) = all.next_key_seed(Lenient(Word(K::KEYS)))? {
            match key {
                Some(key) => self.0.value(key, &mut all)?,
                None => skip(&mut all)?,
            }
        }
        self.0.made()
    }
}

fn skip<'de, A: MapAccess<'de>>(all: &mut A) -> Result<(), A::Error> {
    all.next_value::<IgnoredAny>().map(|_| ())
}

/// The whole document.
struct Document<'r, 'p> {
    reading: &'r mut Reading<'p>,
}

impl<'de> Take<'de> for Document<'_, '_> {
    type Taken = Head;

    fn object<A: MapAccess<'de>>(self, all: A) -> Result<Head, A::Error> {
        let whole = Whole {
            reading: self.reading,
            head: Head::default(),
            says_incomplete: false,
            missing: Missing::default(),
            is_more: false,
            comment: None,
        };
        Object(whole).object(all)
    }
}

struct Whole<'r, 'p> {
    reading: &'r mut Reading<'p>,
    head: Head,
    /// CycloneDX's.
    says_incomplete: bool,
    missing: Missing,
    /// SPDX's.
    is_more: bool,
    comment: Option<String>,
}

impl<'de> Keyed<'de> for Whole<'_, '_> {
    const KEYS: &'static [&'static str] = &[
        "bomFormat",
        "components",
        "compositions",
        "creationInfo",
        "metadata",
        "packages",
        "relationships",
        "spdxVersion",
    ];
    type Made = Head;

    fn value<A: MapAccess<'de>>(&mut self, key: &str, all: &mut A) -> Result<(), A::Error> {
        match key {
            "bomFormat" => {
                let form = all.next_value_seed(Lenient(Word(&["CycloneDX"])))?;
                self.head.is_cyclonedx = form.is_some();
            }
            "spdxVersion" => self.head.spdx_version = all.next_value_seed(Lenient(Text))?,
            "components" => {
                let reading = &mut *self.reading;
                all.next_value_seed(Lenient(List(Components { reading, depth: 0 })))?;
            }
            "packages" => {
                let reading = &mut *self.reading;
                all.next_value_seed(Lenient(List(Packages { reading })))?;
            }
            "compositions" => {
                let says = &mut self.says_incomplete;
                all.next_value_seed(Lenient(List(Compositions { says })))?;
            }
            "metadata" => {
                let (reading, missing) = (&mut *self.reading, &mut self.missing);
                all.next_value_seed(Lenient(Object(Metadata { reading, missing })))?;
            }
            "creationInfo" => {
                let comment = all.next_value_seed(Lenient(Object(Commented(None))))?;
                self.comment = comment;
            }
            "relationships" => {
                let is_more = &mut self.is_more;
                all.next_value_seed(Lenient(List(Relationships { is_more })))?;
            }
            _ => skip(all)?,
        }
        Ok(())
    }

    fn made<E: Error>(self) -> Result<Head, E> {
        let mut head = self.head;
        if self.says_incomplete || self.missing.count > 0 {
            head.cyclonedx_incomplete = Some(self.missing);
        }
        let comment = self.comment.as_deref();
        let unread = comment.and_then(|comment| comment.strip_prefix(UNREAD));
        if self.is_more || unread.is_some() {
            let mut missing = Missing::default();
            let each = unread.into_iter().flat_map(|unread| unread.split("; "));
            each.for_each(|what| missing.add(what));
            head.spdx_incomplete = Some(missing);
        }
        Ok(head)
    }
}

struct Components<'r, 'p> {
    reading: &'r mut Reading<'p>,
    depth: usize,
}

impl<'de> Elements<'de> for Components<'_, '_> {
    fn next<A: SeqAccess<'de>>(&mut self, all: &mut A) -> Result<Option<()>, A::Error> {
        all.next_element_seed(Lenient(Object(Component {
            reading: self.reading,
            depth: self.depth,
            item: Item::default(),
            is_subject: false,
        })))
    }
}

struct Component<'r, 'p> {
    reading: &'r mut Reading<'p>,
    depth: usize,
    item: Item,
    /// Is it what the document is about?
    is_subject: bool,
}

impl<'de> Keyed<'de> for Component<'_, '_> {
    const KEYS: &'static [&'static str] = &[
        "components",
        "evidence",
        "properties",
        "publisher",
        "purl",
        "type",
        "version",
    ];
    type Made = ();

    fn value<A: MapAccess<'de>>(&mut self, key: &str, all: &mut A) -> Result<(), A::Error> {
        let item = &mut self.item;
        match key {
            "components" if self.depth < DEEPEST => {
                let within = Components {
                    reading: self.reading,
                    depth: self.depth + 1,
                };
                all.next_value_seed(Lenient(List(within)))?;
            }
            "evidence" => {
                let places = &mut item.places;
                all.next_value_seed(Lenient(Object(ProvenBy { places })))?;
            }
            "properties" => {
                all.next_value_seed(Lenient(List(Properties { item })))?;
            }
            "publisher" => item.publisher = all.next_value_seed(Lenient(Text))?,
            "purl" => item.purl = all.next_value_seed(Lenient(Text))?,
            "version" => item.version = all.next_value_seed(Lenient(Text))?,
            "type" => {
                let none = Word(&["device", "file", "operating-system"]);
                item.is_no_package = all.next_value_seed(Lenient(none))?.is_some();
            }
            _ => skip(all)?,
        }
        Ok(())
    }

    fn made<E: Error>(mut self) -> Result<(), E> {
        self.item.is_no_package |= self.is_subject;
        let done = self.reading.cyclonedx(self.item);
        done.map_err(|reason| {
            let said = E::custom(&reason);
            self.reading.refused = Some(reason);
            said
        })
    }
}

/// A component's `evidence`.
struct ProvenBy<'i> {
    places: &'i mut Vec<String>,
}

impl<'de> Keyed<'de> for ProvenBy<'_> {
    const KEYS: &'static [&'static str] = &["occurrences"];
    type Made = ();

    fn value<A: MapAccess<'de>>(&mut self, _: &str, all: &mut A) -> Result<(), A::Error> {
        let places = &mut *self.places;
        all.next_value_seed(Lenient(List(Occurrences { places })))
    }

    fn made<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

struct Occurrences<'i> {
    places: &'i mut Vec<String>,
}

impl<'de> Elements<'de> for Occurrences<'_> {
    fn next<A: SeqAccess<'de>>(&mut self, all: &mut A) -> Result<Option<()>, A::Error> {
        let Some(place) = all.next_element_seed(Lenient(Object(Occurrence(None))))? else {
            return Ok(None);
        };
        if self.places.len() < MOST_PLACES {
            self.places.extend(place);
        }
        Ok(Some(()))
    }
}

struct Occurrence(Option<String>);

impl<'de> Keyed<'de> for Occurrence {
    const KEYS: &'static [&'static str] = &["location"];
    type Made = Option<String>;

    fn value<A: MapAccess<'de>>(&mut self, _: &str, all: &mut A) -> Result<(), A::Error> {
        self.0 = all.next_value_seed(Lenient(Text))?;
        Ok(())
    }

    fn made<E: Error>(self) -> Result<Option<String>, E> {
        Ok(self.0)
    }
}

/// What is asked of the properties of CycloneDX.
const PROPERTIES: &[&str] = &[
    "aquasecurity:trivy:FilePath",
    "aquasecurity:trivy:SrcEpoch",
    "aquasecurity:trivy:SrcName",
    "aquasecurity:trivy:SrcRelease",
    "aquasecurity:trivy:SrcVersion",
    "steadfast:image",
    PACKAGE_PROPERTY,
    "steadfast:source:name",
    "steadfast:source:version",
    UNREAD_PROPERTY,
];
const PACKAGE_PROPERTY: &str = "steadfast:package";
const UNREAD_PROPERTY: &str = "steadfast:unread";

struct Properties<'i> {
    item: &'i mut Item,
}

impl<'de> Elements<'de> for Properties<'_> {
    fn next<A: SeqAccess<'de>>(&mut self, all: &mut A) -> Result<Option<()>, A::Error> {
        let Some(property) = all.next_element_seed(Lenient(Object(Property::default())))? else {
            return Ok(None);
        };
        match (property.name, property.value) {
            // One more than may be tells that there are too many.
            (Some(PACKAGE_PROPERTY), package) if self.item.packages.len() <= MOST_PLACES => {
                self.item.packages.extend(package);
            }
            (Some(name), value) => drop(self.item.properties.entry(name).or_insert(value)),
            (None, _) => {}
        }
        Ok(Some(()))
    }
}

#[derive(Default)]
struct Property {
    name: Option<&'static str>,
    value: Option<String>,
}

impl<'de> Keyed<'de> for Property {
    const KEYS: &'static [&'static str] = &["name", "value"];
    type Made = Self;

    fn value<A: MapAccess<'de>>(&mut self, key: &str, all: &mut A) -> Result<(), A::Error> {
        match key {
            "name" => self.name = all.next_value_seed(Lenient(Word(PROPERTIES)))?,
            _ => self.value = all.next_value_seed(Lenient(Text))?,
        }
        Ok(())
    }

    fn made<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }
}

/// What is said of a CycloneDX document: what it is about (CycloneDX 1.6, `metadata.component`:
/// "The component that the BOM describes"), which may be a package itself, and in its properties what
/// we could not read.
struct Metadata<'r, 'p> {
    reading: &'r mut Reading<'p>,
    missing: &'r mut Missing,
}

impl<'de> Keyed<'de> for Metadata<'_, '_> {
    const KEYS: &'static [&'static str] = &["component", "properties"];
    type Made = ();

    fn value<A: MapAccess<'de>>(&mut self, key: &str, all: &mut A) -> Result<(), A::Error> {
        if key == "component" {
            return all.next_value_seed(Lenient(Object(Component {
                reading: self.reading,
                depth: 0,
                item: Item::default(),
                is_subject: true,
            })));
        }
        let missing = &mut *self.missing;
        all.next_value_seed(Lenient(List(Unread { missing })))
    }

    fn made<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

struct Unread<'i> {
    missing: &'i mut Missing,
}

impl<'de> Elements<'de> for Unread<'_> {
    fn next<A: SeqAccess<'de>>(&mut self, all: &mut A) -> Result<Option<()>, A::Error> {
        let Some(property) = all.next_element_seed(Lenient(Object(Property::default())))? else {
            return Ok(None);
        };
        if let (Some(UNREAD_PROPERTY), Some(what)) = (property.name, property.value) {
            self.missing.add(&what);
        }
        Ok(Some(()))
    }
}

/// CycloneDX 1.6, `compositions`: "incomplete", and its kinds ("incomplete_third_party_only"):
/// "the relationship is incomplete; additional relationships exist". "unknown" says neither.
struct Compositions<'i> {
    says: &'i mut bool,
}

impl<'de> Elements<'de> for Compositions<'_> {
    fn next<A: SeqAccess<'de>>(&mut self, all: &mut A) -> Result<Option<()>, A::Error> {
        let Some(aggregate) = all.next_element_seed(Lenient(Object(Composition(None))))? else {
            return Ok(None);
        };
        *self.says |= aggregate.is_some_and(|aggregate| aggregate.starts_with("incomplete"));
        Ok(Some(()))
    }
}

struct Composition(Option<String>);

impl<'de> Keyed<'de> for Composition {
    const KEYS: &'static [&'static str] = &["aggregate"];
    type Made = Option<String>;

    fn value<A: MapAccess<'de>>(&mut self, _: &str, all: &mut A) -> Result<(), A::Error> {
        self.0 = all.next_value_seed(Lenient(Text))?;
        Ok(())
    }

    fn made<E: Error>(self) -> Result<Option<String>, E> {
        Ok(self.0)
    }
}

struct Packages<'r, 'p> {
    reading: &'r mut Reading<'p>,
}

impl<'de> Elements<'de> for Packages<'_, '_> {
    fn next<A: SeqAccess<'de>>(&mut self, all: &mut A) -> Result<Option<()>, A::Error> {
        all.next_element_seed(Lenient(Object(OfSpdx {
            reading: self.reading,
            item: Package::default(),
        })))
    }
}

struct OfSpdx<'r, 'p> {
    reading: &'r mut Reading<'p>,
    item: Package,
}

impl<'de> Keyed<'de> for OfSpdx<'_, '_> {
    const KEYS: &'static [&'static str] = &[
        "annotations",
        "externalRefs",
        "primaryPackagePurpose",
        "supplier",
        "versionInfo",
    ];
    type Made = ();

    fn value<A: MapAccess<'de>>(&mut self, key: &str, all: &mut A) -> Result<(), A::Error> {
        let item = &mut self.item;
        match key {
            "annotations" => {
                all.next_value_seed(Lenient(List(Annotations { item })))?;
            }
            "externalRefs" => {
                let found = &mut item.purls;
                all.next_value_seed(Lenient(List(References { found })))?;
            }
            "primaryPackagePurpose" => {
                let none = Word(&["CONTAINER", "DEVICE", "FILE", "OPERATING-SYSTEM"]);
                item.is_no_package = all.next_value_seed(Lenient(none))?.is_some();
            }
            "supplier" => item.supplier = all.next_value_seed(Lenient(Text))?,
            "versionInfo" => {
                // SPDX 2.3, 7.3: any text; these two say that there is none.
                let version = all.next_value_seed(Lenient(Text))?;
                item.version =
                    version.filter(|said| !matches!(said.as_str(), "NOASSERTION" | "NONE"));
            }
            _ => skip(all)?,
        }
        Ok(())
    }

    fn made<E: Error>(self) -> Result<(), E> {
        let done = self.reading.spdx(self.item);
        done.map_err(|reason| {
            let said = E::custom(&reason);
            self.reading.refused = Some(reason);
            said
        })
    }
}

/// The package URLs among the references.
struct References<'i> {
    found: &'i mut Vec<String>,
}

impl<'de> Elements<'de> for References<'_> {
    fn next<A: SeqAccess<'de>>(&mut self, all: &mut A) -> Result<Option<()>, A::Error> {
        let Some(reference) = all.next_element_seed(Lenient(Object(Reference::default())))? else {
            return Ok(None);
        };
        if reference.is_purl && self.found.len() < MOST_PLACES {
            let purl = reference.locator.unwrap_or_default();
            if !self.found.contains(&purl) {
                self.found.push(purl);
            }
        }
        Ok(Some(()))
    }
}

#[derive(Default)]
struct Reference {
    is_purl: bool,
    locator: Option<String>,
}

impl<'de> Keyed<'de> for Reference {
    const KEYS: &'static [&'static str] = &["referenceLocator", "referenceType"];
    type Made = Self;

    fn value<A: MapAccess<'de>>(&mut self, key: &str, all: &mut A) -> Result<(), A::Error> {
        match key {
            "referenceType" => {
                // Its whole name is an address (SPDX 2.3, 7.21 and Annex F.3.5).
                let names = Word(&["purl", "http://spdx.org/rdf/references/purl"]);
                let kind = all.next_value_seed(Lenient(names))?;
                self.is_purl = kind.is_some();
            }
            _ => self.locator = all.next_value_seed(Lenient(Text))?,
        }
        Ok(())
    }

    fn made<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }
}

/// What our own documents say of a package (SPDX 2.3, 12).
struct Annotations<'i> {
    item: &'i mut Package,
}

impl<'de> Elements<'de> for Annotations<'_> {
    fn next<A: SeqAccess<'de>>(&mut self, all: &mut A) -> Result<Option<()>, A::Error> {
        let Some(comment) = all.next_element_seed(Lenient(Object(Commented(None))))? else {
            return Ok(None);
        };
        let comment = comment.unwrap_or_default();
        let said = |what: &str| comment.strip_prefix(what).map(str::to_owned);
        let item = &mut *self.item;
        if let Some(image) = said(IMAGE) {
            item.image.get_or_insert(image);
        } else if let Some(package) = said(PACKAGE) {
            // One more than may be tells that there are too many.
            if item.packages.len() <= MOST_PLACES {
                item.packages.push(package);
            }
        } else if let Some(place) = said(EVIDENCE)
            && item.places.len() < MOST_PLACES
        {
            item.places.push(place);
        }
        Ok(Some(()))
    }
}

/// The comment of an annotation, or of what made the document.
struct Commented(Option<String>);

impl<'de> Keyed<'de> for Commented {
    const KEYS: &'static [&'static str] = &["comment"];
    type Made = Option<String>;

    fn value<A: MapAccess<'de>>(&mut self, _: &str, all: &mut A) -> Result<(), A::Error> {
        self.0 = all.next_value_seed(Lenient(Text))?;
        Ok(())
    }

    fn made<E: Error>(self) -> Result<Option<String>, E> {
        Ok(self.0)
    }
}

/// SPDX 2.3, 11.1: a relationship to NOASSERTION says that there may be more, which is not told. What
/// lies in another document (7.1, `DocumentRef-…`) is not read.
struct Relationships<'i> {
    is_more: &'i mut bool,
}

impl<'de> Elements<'de> for Relationships<'_> {
    fn next<A: SeqAccess<'de>>(&mut self, all: &mut A) -> Result<Option<()>, A::Error> {
        let Some(says_so) = all.next_element_seed(Lenient(Object(Relationship::default())))? else {
            return Ok(None);
        };
        *self.is_more |= says_so;
        Ok(Some(()))
    }
}

/// The relationships that one element is a part of another by (SPDX 2.3, 11.1).
const PARTS: &[&str] = &[
    "CONTAINED_BY",
    "CONTAINS",
    "DEPENDENCY_OF",
    "DEPENDS_ON",
    "DESCRIBES",
    "DYNAMIC_LINK",
    "HAS_PREREQUISITE",
    "OPTIONAL_DEPENDENCY_OF",
    "PACKAGE_OF",
    "PROVIDED_DEPENDENCY_OF",
    "RUNTIME_DEPENDENCY_OF",
    "STATIC_LINK",
];

fn is_elsewhere(element: &str) -> bool {
    element.starts_with("DocumentRef-")
}

#[derive(Default)]
struct Relationship {
    is_of_parts: bool,
    is_open: bool,
}

impl<'de> Keyed<'de> for Relationship {
    const KEYS: &'static [&'static str] =
        &["relatedSpdxElement", "relationshipType", "spdxElementId"];
    type Made = bool;

    fn value<A: MapAccess<'de>>(&mut self, key: &str, all: &mut A) -> Result<(), A::Error> {
        match key {
            "relationshipType" => {
                self.is_of_parts = all.next_value_seed(Lenient(Word(PARTS)))?.is_some();
            }
            "relatedSpdxElement" => {
                let element = all.next_value_seed(Lenient(Text))?.unwrap_or_default();
                self.is_open |= element == "NOASSERTION" || is_elsewhere(&element);
            }
            _ => {
                let element = all.next_value_seed(Lenient(Text))?.unwrap_or_default();
                self.is_open |= is_elsewhere(&element);
            }
        }
        Ok(())
    }

    fn made<E: Error>(self) -> Result<bool, E> {
        Ok(self.is_of_parts && self.is_open)
    }
}
