//! OSV records (OSV schema 1.6, https://ossf.github.io/osv-schema/), as JSON and as the YAML of
//! PyPI's advisory database.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Deref;

use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{LONGEST_NAME, MOST_LISTED, Refusal, cut, name, time};
use crate::matching::range::Range;
use crate::record::{Advisory, Affected, Affects, Event};
use crate::version::{Order, order_of};

/// A record, or why it says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    Advisory {
        advisory: Advisory,
        /// The ecosystems of entries that were left out, since nothing is matched there; a name
        /// for each entry.
        elsewhere: Vec<String>,
    },
    /// "If the field is present, the record should be considered to have been withdrawn."
    Withdrawn(String),
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, default)]
    schema_version: Option<Text<'a>>,
    #[serde(borrow, default)]
    modified: Option<Text<'a>>,
    #[serde(borrow, default)]
    published: Option<Text<'a>>,
    #[serde(borrow, default)]
    withdrawn: Option<Text<'a>>,
    #[serde(borrow, default)]
    aliases: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    related: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    upstream: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    summary: Option<Text<'a>>,
    #[serde(borrow, default)]
    details: Option<Text<'a>>,
    #[serde(borrow, default)]
    severity: Option<Vec<Severity<'a>>>,
    #[serde(borrow, default)]
    affected: Option<Vec<Entry<'a>>>,
}

/// Text that is borrowed where nothing in it is escaped: most of it is never kept.
#[derive(Default, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[derive(Deserialize)]
struct Severity<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    score: Text<'a>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    package: Option<Package<'a>>,
    #[serde(borrow, default)]
    ranges: Option<Vec<Span<'a>>>,
    /// Left unread until it is needed: most of a distribution's record is this list.
    #[serde(borrow, default)]
    versions: Option<&'a RawValue>,
    #[serde(borrow, default)]
    severity: Option<Vec<Severity<'a>>>,
    #[serde(borrow, default)]
    ecosystem_specific: Option<Specific<'a>>,
    /// Read where it may say something: a distribution's has nothing.
    #[serde(borrow, default)]
    database_specific: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Package<'a> {
    #[serde(borrow, default)]
    ecosystem: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Span<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    events: Vec<Point<'a>>,
}

#[derive(Deserialize)]
struct Point<'a> {
    #[serde(borrow, default)]
    introduced: Option<Text<'a>>,
    #[serde(borrow, default)]
    fixed: Option<Text<'a>>,
    #[serde(borrow, default)]
    last_affected: Option<Text<'a>>,
    #[serde(borrow, default)]
    limit: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Specific<'a> {
    #[serde(borrow, default)]
    urgency: Option<Text<'a>>,
    #[serde(borrow, default)]
    imports: Option<&'a RawValue>,
}

/// Go's: "imports … the packages that contain vulnerable code" (go.dev/security/vuln/database).
#[derive(Deserialize)]
struct Import<'a> {
    #[serde(borrow, default)]
    path: Text<'a>,
}

/// RustSec's (osv_advisory.rs of rustsec).
#[derive(Default, Deserialize)]
struct OfRustSec<'a> {
    #[serde(borrow, default)]
    informational: Option<Text<'a>>,
}

/// A record of PyPI's database: the same, in YAML. A number that stands bare there is text here.
///
/// # Errors
/// When it is no YAML, or no record.
pub fn read_yaml(text: &str) -> Result<Read, Refusal> {
    read(&super::yaml::to_json(text)?)
}

/// Reads one record.
///
/// # Errors
/// When it is no JSON, no record, or one whose parts break their limits.
pub fn read(bytes: &[u8]) -> Result<Read, Refusal> {
    let record: Record<'_> = serde_json::from_slice(bytes)?;
    let id = name("the id", &record.id)?;
    if record.withdrawn.is_some() {
        return Ok(Read::Withdrawn(id));
    }
    // "schema_version … if absent, 1.0.0 is assumed"; a second major version would mean
    // something else by the same words.
    if let Some(version) = &record.schema_version
        && !version.starts_with("1.")
    {
        return Err(Refusal(format!(
            "schema {:.20} is not known here",
            &**version
        )));
    }
    let mut affected = Vec::new();
    let mut elsewhere = Vec::new();
    let mut cvss = vectors(record.severity.as_deref().unwrap_or_default());
    for entry in record.affected.unwrap_or_default() {
        let package = entry.package.as_ref();
        let ecosystem = package.map_or("", |package| &*package.ecosystem);
        let Some(order) = order_of(ecosystem) else {
            elsewhere.push(ecosystem.chars().take(LONGEST_NAME).collect());
            continue;
        };
        if cvss.is_empty() {
            cvss = vectors(entry.severity.as_deref().unwrap_or_default());
        }
        let package = package.map_or("", |package| &*package.name);
        affected.push(Affected {
            name: order.normal_name(&name("a package's name", package)?),
            affects: affects(&entry, order)?,
            urgency: urgency(&entry)?,
            informational: informational(&entry, ecosystem)?,
            packages: imports(&entry, order)?,
            ecosystem: name("an ecosystem", ecosystem)?,
        });
    }
    if affected.len() > MOST_LISTED {
        return Err(Refusal(format!(
            "speaks of more than {MOST_LISTED} packages"
        )));
    }
    let mut related = names(record.related.as_deref())?;
    related.extend(names(record.upstream.as_deref())?);
    let published = record.published.as_deref().and_then(time);
    Ok(Read::Advisory {
        advisory: Advisory {
            id,
            aliases: names(record.aliases.as_deref())?,
            related,
            summary: cut(record.summary.as_deref().unwrap_or_default()),
            details: cut(record.details.as_deref().unwrap_or_default()),
            published: published.map(|at| TimeZone::UTC.to_datetime(at).date()),
            modified: record.modified.as_deref().and_then(time),
            cvss,
            affected,
        },
        elsewhere,
    })
}

fn names(texts: Option<&[Text<'_>]>) -> Result<Vec<String>, Refusal> {
    let texts = texts.unwrap_or_default();
    if texts.len() > MOST_LISTED {
        return Err(Refusal(format!("lists more than {MOST_LISTED} names")));
    }
    texts.iter().map(|text| name("a name", text)).collect()
}

/// The vectors, the newest version of CVSS first.
fn vectors(severity: &[Severity<'_>]) -> Vec<String> {
    let is_vector = |given: &&Severity<'_>| {
        given.kind.starts_with("CVSS_V") && given.score.len() <= LONGEST_NAME
    };
    let mut found: Vec<_> = severity.iter().filter(is_vector).collect();
    found.sort_by(|a, b| b.kind.cmp(&a.kind));
    found.iter().map(|given| given.score.to_owned()).collect()
}

fn urgency(entry: &Entry<'_>) -> Result<Option<String>, Refusal> {
    let said = entry.ecosystem_specific.as_ref();
    match said.and_then(|said| said.urgency.as_deref()) {
        None | Some("" | "not yet assigned") => Ok(None),
        Some(urgency) => name("an urgency", urgency).map(Some),
    }
}

/// What RustSec says about a crate that is no vulnerability in it.
fn informational(entry: &Entry<'_>, ecosystem: &str) -> Result<Option<String>, Refusal> {
    let Some(said) = entry.database_specific.filter(|_| ecosystem == "crates.io") else {
        return Ok(None);
    };
    // Another database may have anything there.
    let said: OfRustSec<'_> = serde_json::from_str(said.get()).unwrap_or_default();
    match said.informational.as_deref() {
        None | Some("") => Ok(None),
        Some(what) => name("what it informs of", what).map(Some),
    }
}

fn imports(entry: &Entry<'_>, order: Order) -> Result<Vec<String>, Refusal> {
    let said = entry.ecosystem_specific.as_ref();
    let Some(listed) = said
        .and_then(|said| said.imports)
        .filter(|_| order == Order::Go)
    else {
        return Ok(Vec::new());
    };
    let listed: Option<Vec<Import<'_>>> = serde_json::from_str(listed.get())?;
    let listed = listed.unwrap_or_default();
    if listed.len() > MOST_LISTED {
        return Err(Refusal(format!("lists more than {MOST_LISTED} packages")));
    }
    let mut packages = Vec::with_capacity(listed.len());
    for import in &listed {
        // One without a path says that it is not known which: all may be.
        if import.path.is_empty() {
            return Ok(Vec::new());
        }
        packages.push(name("a package's path", &import.path)?);
    }
    Ok(packages)
}

fn affects(entry: &Entry<'_>, order: Order) -> Result<Affects, Refusal> {
    let mut ranges = Vec::new();
    // Commits say nothing about what is installed here.
    let versioned = entry.ranges.iter().flatten();
    for range in versioned.filter(|range| &*range.kind != "GIT") {
        if range.events.len() > MOST_LISTED {
            return Err(Refusal(format!(
                "a range has more than {MOST_LISTED} events"
            )));
        }
        ranges.push(events(range, order)?);
    }
    // A distribution makes its list from the ranges; what a range calls fixed is fixed.
    let lists = order != Order::Debian || ranges.is_empty();
    let versions = entry.versions.filter(|_| lists);
    let mut exactly = Vec::new();
    if let Some(listed) = versions {
        let listed: Option<Vec<Text<'_>>> = serde_json::from_str(listed.get())?;
        let parsed: Vec<Range<'_>> = ranges
            .iter()
            .map(|range| Range::of(range.iter().map(Into::into), order))
            .collect();
        for version in listed.unwrap_or_default() {
            // "versions" may go beyond the ranges; what they cover need not be kept twice.
            let own = order.parse(&version);
            if !parsed
                .iter()
                .any(|range| range.is_affected(&own) == Some(true))
            {
                exactly.push(name("a version", &version)?);
            }
        }
    }
    if exactly.len() > MOST_LISTED {
        return Err(Refusal(format!("lists more than {MOST_LISTED} versions")));
    }
    // "An entry with neither versions nor ranges" affects everything, by no rule of the schema:
    // it says that it knows no more.
    if ranges.is_empty() && exactly.is_empty() {
        return Ok(Affects::Undetermined);
    }
    Ok(Affects::Versions { ranges, exactly })
}

fn events(range: &Span<'_>, order: Order) -> Result<Vec<Event>, Refusal> {
    let mut events = Vec::with_capacity(range.events.len());
    for point in &range.events {
        let version = |text: &Text<'_>| name("a version", text);
        let mut said = 0;
        if let Some(text) = &point.introduced {
            events.push(Event::Introduced(version(text)?));
            said += 1;
        }
        if let Some(text) = &point.fixed {
            events.push(match before(text, order) {
                Some(last) => Event::LastAffected(last),
                None => Event::Fixed(version(text)?),
            });
            said += 1;
        }
        if let Some(text) = &point.last_affected {
            events.push(Event::LastAffected(version(text)?));
            said += 1;
        }
        if let Some(text) = &point.limit {
            // "`*` represents infinity."
            if &**text != "*" {
                events.push(Event::Limit(version(text)?));
            }
            said += 1;
        }
        if said == 0 {
            return Err(Refusal::new("an event says nothing"));
        }
    }
    // "events … must contain at least one `introduced`".
    if !events
        .iter()
        .any(|event| matches!(event, Event::Introduced(_)))
    {
        return Err(Refusal::new("a range introduces nothing"));
    }
    // "sorted(range.events)": by version, where all of them have an order.
    let comparable = events.iter().all(|event| {
        let version = at(event);
        version == "0" || order.compare(version, version).is_some()
    });
    if comparable {
        events.sort_by(|a, b| compare(order, at(a), at(b)).unwrap_or(Ordering::Equal));
    }
    Ok(events)
}

fn at(event: &Event) -> &str {
    match event {
        Event::Introduced(version)
        | Event::Fixed(version)
        | Event::LastAffected(version)
        | Event::Limit(version) => version,
    }
}

/// RustSec writes "above 0.4.20" as `fixed: 0.4.21-0`: a place in the order of versions, and no
/// version that anybody published. What is said is that 0.4.20 is the last one.
fn before(fixed: &str, order: Order) -> Option<String> {
    let release = fixed
        .strip_suffix("-0")
        .filter(|_| order == Order::Semantic)?;
    let (begin, patch) = release.rsplit_once('.')?;
    let patch: u64 = patch.parse().ok()?;
    let is_number = |text: &str| text.parse::<u64>().is_ok();
    let last = patch.checked_sub(1)?;
    (begin.split('.').count() == 2 && begin.split('.').all(is_number))
        .then(|| format!("{begin}.{last}"))
}

/// `0` is before every version.
fn compare(order: Order, a: &str, b: &str) -> Option<Ordering> {
    match (a == "0", b == "0") {
        (true, true) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Less),
        (false, true) => Some(Ordering::Greater),
        (false, false) => order.compare(a, b),
    }
}
