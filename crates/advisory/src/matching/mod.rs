//! Which advisories are true of what is installed.
//!
//! Backport-aware: a distribution's package is judged by its source package in its release, and
//! what the distribution declared fixed is fixed, whatever upstream's version says. What was
//! backported into a release is a version of the next one, and is judged there ([`Record`]). A
//! release that no feed speaks of is unknown, never safe.

pub mod range;
mod vex;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use jiff::civil::Date;
use model::{Component, Ecosystem};
use serde::Serialize;

use crate::index::{AdvisoryRow, AffectedRow, Entries, Index, IndexError, Naming, Points, Written};
use crate::version::{Order, order_of};
use range::{Evaluation, Place};

/// A feed that published nothing about a release for so long, while it went on about others, has
/// stopped speaking of it. Debian publishes several advisories a week for each release.
const SILENT: SignedDuration = SignedDuration::from_hours(24 * 120);

/// `linux-signed-amd64` and its like.
pub const SIGNED_KERNELS: &str = "linux-signed-";

/// What advisories are about: one version of one package, whatever number of components it gave.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Subject {
    /// As OSV names it: `Debian:12`.
    pub ecosystem: String,
    /// A distribution's source package, and otherwise the package itself.
    pub name: String,
    pub version: String,
}

impl Subject {
    pub fn of(component: &Component) -> Self {
        Self::within(component.ecosystem.to_string(), component)
    }

    fn within(ecosystem: String, component: &Component) -> Self {
        let (name, version) = judged_as(component, order_of(&ecosystem));
        Self {
            ecosystem,
            name: name.into_owned(),
            version: version.to_owned(),
        }
    }

    /// The subjects of what is installed, each with its components.
    pub fn all(components: &[Component]) -> BTreeMap<Self, Vec<&Component>> {
        let mut subjects: BTreeMap<Self, Vec<&Component>> = BTreeMap::new();
        // Thousands of one ecosystem follow on each other.
        let of_one = components.chunk_by(|a, b| a.ecosystem == b.ecosystem);
        for components in of_one {
            let ecosystem = components[0].ecosystem.to_string();
            for component in components {
                subjects
                    .entry(Self::within(ecosystem.clone(), component))
                    .or_default()
                    .push(component);
            }
        }
        subjects
    }
}

/// The name and the version of what a component's advisories are about.
fn judged_as(component: &Component, order: Option<Order>) -> (Cow<'_, str>, &str) {
    let (name, version) = match &component.source {
        // Debian's signed kernels are built from what `linux` built, and have its versions;
        // their own source is numbered `6.1.119+1`, and no advisory is about it.
        Some(source) if source.name.starts_with(SIGNED_KERNELS) => ("linux", &component.version),
        Some(source) => (source.name.as_str(), &source.version),
        None => (component.name.as_str(), &component.version),
    };
    let name = match order {
        Some(order) => order.normal(name),
        None => Cow::Borrowed(name),
    };
    (name, version)
}

/// Components in the order of their subjects, without these: of a million components each string is
/// made when it is needed.
pub(crate) struct InOrder<'a> {
    /// As OSV names them, in their order.
    ecosystems: Vec<(String, Option<Order>)>,
    /// Each with the place of its ecosystem.
    components: Vec<Placed<'a>>,
}

/// A component, and the place of its ecosystem among all.
pub(crate) type Placed<'a> = (u32, &'a Component);

impl<'a> InOrder<'a> {
    pub(crate) fn of(components: impl Iterator<Item = &'a Component> + Clone) -> Self {
        let mut names: BTreeMap<&Ecosystem, String> = BTreeMap::new();
        let mut last = None;
        for component in components.clone() {
            // Thousands of one ecosystem follow on each other.
            if last != Some(&component.ecosystem) {
                last = Some(&component.ecosystem);
                let name = names.entry(&component.ecosystem);
                name.or_insert_with(|| component.ecosystem.to_string());
            }
        }
        let sorted: BTreeSet<&String> = names.values().collect();
        let places: BTreeMap<&str, u32> =
            sorted.iter().map(|name| name.as_str()).zip(0..).collect();
        let ecosystems: Vec<(String, Option<Order>)> = sorted
            .iter()
            .map(|name| ((*name).clone(), order_of(name)))
            .collect();
        let mut last: Option<(&Ecosystem, u32)> = None;
        let mut components: Vec<Placed<'a>> = components
            .map(|component| {
                let place = match last {
                    Some((ecosystem, place)) if *ecosystem == component.ecosystem => place,
                    _ => places[names[&component.ecosystem].as_str()],
                };
                last = Some((&component.ecosystem, place));
                (place, component)
            })
            .collect();
        let key = |placed: &Placed<'a>| key(&ecosystems, *placed);
        components.sort_by(|a, b| key(a).cmp(&key(b)));
        Self {
            ecosystems,
            components,
        }
    }

    /// Those of one subject together.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[Placed<'a>]> {
        let key = |placed: &Placed<'a>| key(&self.ecosystems, *placed);
        self.components.chunk_by(move |a, b| key(a) == key(b))
    }

    /// What a piece is of.
    pub(crate) fn subject(&self, piece: &[Placed<'_>]) -> Subject {
        let (place, component) = piece[0];
        Subject::within(self.ecosystems[place as usize].0.clone(), component)
    }

    /// Where the advisories of all of them are.
    pub(crate) fn records(&self) -> BTreeSet<String> {
        let mut records = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for piece in self.pieces() {
            let (place, component) = piece[0];
            let (ecosystem, order) = &self.ecosystems[place as usize];
            let (_, version) = judged_as(component, *order);
            let next = next_release(*order, version);
            if next.is_some() || seen.insert(place) {
                records.insert(next.map_or_else(|| ecosystem.clone(), |(_, next)| next));
            }
        }
        records
    }
}

/// What sorts components by their subjects.
fn key<'a>(
    ecosystems: &[(String, Option<Order>)],
    (place, component): Placed<'a>,
) -> (u32, Cow<'a, str>, &'a str) {
    let (name, version) = judged_as(component, ecosystems[place as usize].1);
    (place, name, version)
}

/// Of a backport the version that it was built from, and the release that it is of.
fn next_release(order: Option<Order>, version: &str) -> Option<(&str, String)> {
    let (built_from, release) = match order {
        Some(Order::Debian) => backport(version)?,
        _ => return None,
    };
    Some((built_from, format!("Debian:{release}")))
}

/// What a subject is looked up as: where its advisories are, and the version that they know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'s> {
    pub ecosystem: Cow<'s, str>,
    pub version: &'s str,
}

impl Subject {
    /// Of nearly all subjects the subject itself. `6.12.9-1~bpo12+1` is 6.12.9-1 of the release
    /// after Debian 12, rebuilt: "backports are packages taken from the next Debian release"
    /// (backports.debian.org). The record of Debian 12 is about other code, and in dpkg's order the
    /// rebuilt one is before the one that has the fix.
    pub fn record(&self) -> Record<'_> {
        match next_release(order_of(&self.ecosystem), &self.version) {
            Some((version, release)) => Record {
                ecosystem: Cow::Owned(release),
                version,
            },
            None => Record {
                ecosystem: Cow::Borrowed(&self.ecosystem),
                version: &self.version,
            },
        }
    }
}

/// The version that a backport was built from, and the release that it is of.
fn backport(version: &str) -> Option<(&str, u32)> {
    let (built_from, made_for) = version.rsplit_once("~bpo")?;
    let digits = made_for.find(|letter: char| !letter.is_ascii_digit())?;
    let (release, rest) = made_for.split_at(digits);
    if built_from.is_empty() || !rest.starts_with('+') {
        return None;
    }
    let release: u32 = release.parse().ok()?;
    // Debian 5 to 7 were written with their point release: `~bpo70+1`.
    let release = match release {
        50..=79 => release / 10,
        release => release,
    };
    Some((built_from, release.checked_add(1)?))
}

/// Is an advisory true of a subject?
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict<'a> {
    /// `fixed` is the first version that isn't affected any more; none while there is no fix.
    Affected {
        fixed: Option<&'a str>,
    },
    /// It was, and this version has the fix that came with `since`.
    Fixed {
        since: &'a str,
    },
    /// Somebody who answers for the product says so.
    NotAffected {
        /// In the words of the standard; may be empty, where `impact` says it.
        justification: &'a str,
        impact: &'a str,
        source: &'a str,
    },
    Unknown {
        why: String,
    },
}

/// An advisory on a subject.
#[derive(Clone, Debug)]
pub struct Judged<'a> {
    pub advisory: AdvisoryRow<'a>,
    /// The vulnerability's usual name: its CVE's number where it has one.
    pub name: &'a str,
    pub verdict: Verdict<'a>,
    /// The distribution's own word on it.
    pub urgency: Option<&'a str>,
    /// Advisories of the distribution about the same thing.
    pub also: Vec<&'a str>,
    /// When the fix came out: the date of the distribution's advisory.
    pub fix_published: Option<Date>,
    /// VEX says that its author is still looking.
    pub investigated: bool,
    /// What it informs of, where it is no vulnerability: `unmaintained`.
    pub informational: Option<&'a str>,
    /// The packages of the module that it is about, of those that are used where that is known;
    /// empty for all of it.
    pub packages: Vec<&'a str>,
}

impl Judged<'_> {
    pub const fn is_affected(&self) -> bool {
        matches!(self.verdict, Verdict::Affected { .. })
    }
}

/// Do the feeds speak of an ecosystem, or a release, at all?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    Spoken,
    /// And why not.
    Unspoken(String),
}

/// # Errors
/// When an index is damaged; so with the others.
pub fn coverage(indexes: &[Index<'_>], ecosystem: &str) -> Result<Coverage, IndexError> {
    let mut silent_since = None;
    for index in indexes {
        match (index.covers(ecosystem)?, index.newest_publication()?) {
            (None, _) => {}
            (Some(Some(here)), Some(newest)) if is_silent(ecosystem, here, newest) => {
                silent_since = silent_since.max(Some(here));
            }
            (Some(_), _) => return Ok(Coverage::Spoken),
        }
    }
    Ok(Coverage::Unspoken(match silent_since {
        Some(since) => format!("the feeds say nothing new of {ecosystem} since {since}"),
        None => format!("no feed speaks of {ecosystem}"),
    }))
}

/// Only releases of a distribution come to an end.
fn is_silent(ecosystem: &str, here: Date, newest: Date) -> bool {
    ecosystem.contains(':') && newest.duration_since(here) > SILENT
}

/// What the feeds say of a subject: affected, unknown, or not affected by somebody's word. The
/// newest feed comes first among the indexes.
///
/// What is merely fixed, or never was affected, is left out: [`judge_one`] tells.
pub fn judge<'a>(
    indexes: &[Index<'a>],
    subject: &Subject,
    components: &[&Component],
) -> Result<Vec<Judged<'a>>, IndexError> {
    judge_place(indexes, subject, Place::At, components)
}

/// The same of a place in the order of versions that nobody has named: just above the subject's.
pub(crate) fn judge_place<'a>(
    indexes: &[Index<'a>],
    subject: &Subject,
    place: Place,
    components: &[&Component],
) -> Result<Vec<Judged<'a>>, IndexError> {
    let mut judged = all(indexes, subject, place, components, Fixed::LeftOut)?;
    judged.retain(|one| !matches!(one.verdict, Verdict::Fixed { .. }));
    Ok(judged)
}

/// What they say of a subject and one vulnerability, by any of its names; none when nothing.
/// Where only a distribution's advisory about several speaks of it, that one answers, under the
/// name that was asked for.
pub fn judge_one<'a>(
    indexes: &[Index<'a>],
    subject: &Subject,
    components: &[&Component],
    name: &str,
) -> Result<Option<Judged<'a>>, IndexError> {
    for one in all(indexes, subject, Place::At, components, Fixed::Kept)? {
        let is_asked = |own: &str| own.eq_ignore_ascii_case(name);
        if is_asked(one.name)
            || is_asked(one.advisory.id()?)
            || one.also.iter().any(|own| is_asked(own))
            || one.advisory.aliases()?.into_iter().any(is_asked)
        {
            return Ok(Some(one));
        }
    }
    bundled(indexes, subject, components, name)
}

/// Do advisories bundle vulnerabilities there? Elsewhere one is merely related to another.
pub(crate) fn has_bundles(order: Order) -> bool {
    order == Order::Debian
}

/// The advisories that speak of a vulnerability, by any of its names, or as one of those that a
/// distribution's advisory is about.
pub fn speaking<'a>(index: &Index<'a>, name: &str) -> Result<Vec<AdvisoryRow<'a>>, IndexError> {
    let mut speaking = Vec::new();
    for (advisory, naming) in index.naming(name)? {
        let speaks = match naming {
            Naming::Itself => true,
            Naming::Among => {
                let ecosystems = index.ecosystems(&advisory)?.into_iter();
                let mut orders = ecosystems.filter_map(order_of);
                orders.any(has_bundles)
            }
        };
        if speaks {
            speaking.push(advisory);
        }
    }
    Ok(speaking)
}

/// What a distribution's advisories about several vulnerabilities say of one of them, also where
/// they were put beside another one that has a record of its own. Of several the worst: a later
/// one may have mended what an earlier one left open.
fn bundled<'a>(
    indexes: &[Index<'a>],
    subject: &Subject,
    components: &[&Component],
    name: &str,
) -> Result<Option<Judged<'a>>, IndexError> {
    let Some(order) = order_of(&subject.ecosystem).filter(|order| has_bundles(*order)) else {
        return Ok(None);
    };
    let weight = |verdict: &Verdict<'_>| match verdict {
        Verdict::Affected { .. } => 3,
        Verdict::Unknown { .. } => 2,
        Verdict::Fixed { .. } => 1,
        Verdict::NotAffected { .. } => 0,
    };
    let mut worst: Option<Judged<'a>> = None;
    let record = subject.record();
    for index in indexes {
        for entry in index.entries(&record.ecosystem, &subject.name)? {
            let entry = entry?;
            let advisory = entry.advisory()?;
            let related = advisory.related()?.into_iter();
            let mut related = related.filter(|related| related.eq_ignore_ascii_case(name));
            let Some(related) = related.next() else {
                continue;
            };
            let Some(verdict) = verdict(&entry, record.version, Place::At, order)? else {
                continue;
            };
            let mut judged = Judged {
                advisory,
                name: related,
                verdict,
                urgency: entry.urgency()?,
                also: Vec::new(),
                fix_published: advisory.published()?,
                investigated: false,
                informational: None,
                packages: Vec::new(),
            };
            vex::apply(indexes, &mut judged, subject, components)?;
            let is_worse = |known: &Judged<'a>| weight(&judged.verdict) > weight(&known.verdict);
            if worst.as_ref().is_none_or(is_worse) {
                worst = Some(judged);
            }
        }
    }
    Ok(worst)
}

/// What is fixed is nine tenths of all, and most questions are not about it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fixed {
    Kept,
    LeftOut,
}

fn all<'a>(
    indexes: &[Index<'a>],
    subject: &Subject,
    place: Place,
    components: &[&Component],
    what_is_fixed: Fixed,
) -> Result<Vec<Judged<'a>>, IndexError> {
    let Some(order) = order_of(&subject.ecosystem) else {
        return Ok(Vec::new());
    };
    let mut found: BTreeMap<&'a str, Judged<'a>> = BTreeMap::new();
    // A distribution's advisories about several vulnerabilities at once.
    let mut bundles: Vec<(Judged<'a>, Vec<&'a str>)> = Vec::new();
    // By the word of one feed, whatever another one says.
    let mut fixed: Vec<&'a str> = Vec::new();
    let record = subject.record();
    for (group, entries) in entries(indexes, &record, subject, components, order)? {
        for entry in entries {
            let entry = entry?;
            let Some(mut verdict) = verdict(&entry, record.version, place, order)? else {
                continue;
            };
            let packages = entry.packages()?;
            let Some(packages) = used(packages, components) else {
                continue;
            };
            if let (Verdict::Affected { .. }, Some(group)) = (&verdict, group)
                && !is_of_group(group, components)
            {
                let artifact = subject.name.rsplit(':').next().unwrap_or_default();
                let why = format!(
                    "its group is not known: it may be {group}:{artifact}, which is affected, or \
                     another one of this name"
                );
                verdict = Verdict::Unknown { why };
            }
            let advisory = entry.advisory()?;
            let name = usual_name(&advisory)?;
            let related = match has_bundles(order) && !name.starts_with("CVE-") {
                true => advisory.related()?,
                false => Vec::new(),
            };
            let is_fixed = matches!(verdict, Verdict::Fixed { .. });
            if is_fixed && related.is_empty() && what_is_fixed == Fixed::LeftOut {
                fixed.push(name);
                continue;
            }
            let judged = Judged {
                name,
                advisory,
                verdict,
                urgency: entry.urgency()?,
                also: Vec::new(),
                fix_published: None,
                investigated: false,
                informational: entry.informational()?,
                packages,
            };
            if !related.is_empty() {
                bundles.push((judged, related));
                continue;
            }
            match found.get_mut(judged.name) {
                // Another feed, or another record of the same vulnerability.
                Some(known) if outweighs(&judged.verdict, &known.verdict) => *known = judged,
                Some(_) => {}
                None => drop(found.insert(judged.name, judged)),
            }
        }
    }
    if !found.is_empty() {
        for name in fixed {
            found.remove(name);
        }
    }
    for (bundle, related) in bundles {
        fold(&mut found, bundle, &related, what_is_fixed)?;
    }
    for judged in found.values_mut() {
        vex::apply(indexes, judged, subject, components)?;
    }
    Ok(found.into_values().collect())
}

/// What the feeds say of a subject's name, the newest feed first. A Java archive that does not say
/// its group is looked up by its artifact: each group that has one of this name, and what is said
/// of it.
pub(crate) fn entries<'a>(
    indexes: &[Index<'a>],
    record: &Record<'_>,
    subject: &Subject,
    components: &[&Component],
    order: Order,
) -> Result<Vec<(Option<&'a str>, Entries<'a>)>, IndexError> {
    let mut found = Vec::with_capacity(indexes.len());
    if has_no_group(order, &subject.name) {
        of_groups(indexes, &subject.name, &mut found)?;
        return Ok(found);
    }
    let mut is_known = false;
    for index in indexes {
        let entries = index.entries(&record.ecosystem, &subject.name)?;
        is_known |= !entries.is_empty();
        found.push((None, entries));
    }
    // What a manifest calls the group may be another one than Maven's.
    let is_said_by_manifest = components.iter().any(|one| !one.packages.is_empty());
    if let (Order::Maven, false, true) = (order, is_known, is_said_by_manifest)
        && let Some((_, artifact)) = subject.name.split_once(':')
    {
        of_groups(indexes, artifact, &mut found)?;
    }
    Ok(found)
}

fn of_groups<'a>(
    indexes: &[Index<'a>],
    artifact: &str,
    found: &mut Vec<(Option<&'a str>, Entries<'a>)>,
) -> Result<(), IndexError> {
    for index in indexes {
        let groups = index.groups_of(artifact)?.into_iter();
        found.extend(groups.map(|(group, entries)| (Some(group), entries)));
    }
    Ok(())
}

/// "groupId:artifactId" is what Maven's packages are called; an archive by itself may not say the
/// first.
pub(crate) fn has_no_group(order: Order, name: &str) -> bool {
    order == Order::Maven && !name.contains(':')
}

/// Does any feed know the name of a subject?
pub(crate) fn is_known(indexes: &[Index<'_>], subject: &Subject) -> Result<bool, IndexError> {
    let Some(order) = order_of(&subject.ecosystem) else {
        return Ok(false);
    };
    let entries = entries(indexes, &subject.record(), subject, &[], order)?;
    Ok(entries.iter().any(|(_, entries)| !entries.is_empty()))
}

/// Of the packages that an advisory is about, those that are used, or all where that is not known.
/// None when none of them is: the advisory is about something else.
fn used<'a>(about: Vec<&'a str>, components: &[&Component]) -> Option<Vec<&'a str>> {
    let is_known = components.iter().all(|one| !one.packages.is_empty());
    if about.is_empty() || components.is_empty() || !is_known {
        return Some(about);
    }
    let is_used = |package: &&str| {
        let mut of_all = components.iter().flat_map(|one| &one.packages);
        of_all.any(|used| used == package)
    };
    let used: Vec<&str> = about.into_iter().filter(is_used).collect();
    (!used.is_empty()).then_some(used)
}

/// Do the classes of an archive lie where those of this group do? Maven Central gives a group to
/// whoever has its domain ("reverse domain name notation"): its first two words, and packages have
/// the same; what follows often differs, as in `org.apache.commons:commons-lang3`.
fn is_of_group(group: &str, components: &[&Component]) -> bool {
    let wanted = group.split('.').count().min(2);
    let has_it = |package: &String| {
        let same = group.split('.').zip(package.split('.'));
        same.take_while(|(a, b)| a == b).count() >= wanted
    };
    let mut components = components.iter();
    components.any(|component| component.packages.iter().any(has_it))
}

/// The number of the CVE, where it has one.
fn usual_name<'a>(advisory: &AdvisoryRow<'a>) -> Result<&'a str, IndexError> {
    let id = advisory.id()?;
    // Debian's own record of a CVE: `DEBIAN-CVE-2024-6387`.
    let of_debian = id.strip_prefix("DEBIAN-").unwrap_or(id);
    if of_debian.starts_with("CVE-") {
        return Ok(of_debian);
    }
    let aliases = advisory.aliases()?;
    Ok(aliases
        .into_iter()
        .find(|name| name.starts_with("CVE-"))
        .unwrap_or(id))
}

/// "What the distribution declared fixed is fixed": a newer feed's word stands, except that one
/// which knows nothing, or no fix yet, does not take a fix back.
fn outweighs(new: &Verdict<'_>, known: &Verdict<'_>) -> bool {
    let knows = |verdict: &Verdict<'_>| match verdict {
        Verdict::Fixed { .. } | Verdict::NotAffected { .. } => 3,
        Verdict::Affected { fixed: Some(_) } => 2,
        Verdict::Affected { fixed: None } => 1,
        Verdict::Unknown { .. } => 0,
    };
    knows(new) > knows(known)
}

/// Puts a distribution's advisory where it belongs: it gives the vulnerabilities that it is about
/// the date of their fix, and stands for itself where none of them is spoken of.
fn fold<'a>(
    found: &mut BTreeMap<&'a str, Judged<'a>>,
    bundle: Judged<'a>,
    related: &[&'a str],
    what_is_fixed: Fixed,
) -> Result<(), IndexError> {
    let published = bundle.advisory.published()?;
    let id = bundle.advisory.id()?;
    let mut is_known = false;
    for name in related {
        let Some(judged) = found.get_mut(name) else {
            continue;
        };
        let brings = match (&judged.verdict, &bundle.verdict) {
            // Its record knows of no fix yet, and the advisory brought one.
            (Verdict::Affected { fixed: None }, Verdict::Affected { fixed: Some(_) }) => {
                judged.verdict = bundle.verdict.clone();
                true
            }
            // ... which is installed already.
            (Verdict::Affected { fixed: None }, Verdict::Fixed { .. }) => {
                judged.verdict = bundle.verdict.clone();
                true
            }
            (
                Verdict::Affected { fixed: Some(ours) },
                Verdict::Affected {
                    fixed: Some(theirs),
                },
            ) => {
                let order = Order::Debian.compare(theirs, ours);
                // A later fix of ours closes theirs as well.
                is_known |= order.is_some_and(Ordering::is_le);
                order == Some(Ordering::Equal)
            }
            (_, Verdict::Affected { .. }) => false,
            _ => true,
        };
        is_known |= brings;
        if brings {
            judged.also.push(id);
            judged.fix_published = match (judged.fix_published, published) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
    }
    let is_fixed = matches!(bundle.verdict, Verdict::Fixed { .. });
    if !is_known && (!is_fixed || what_is_fixed == Fixed::Kept) {
        let fix_published = published;
        found.insert(
            bundle.name,
            Judged {
                fix_published,
                ..bundle
            },
        );
    }
    Ok(())
}

/// None where the version never was affected.
fn verdict<'a>(
    entry: &AffectedRow<'a>,
    version: &str,
    place: Place,
    order: Order,
) -> Result<Option<Verdict<'a>>, IndexError> {
    if entry.is_undetermined()? {
        let why = "the feed has not determined which versions are affected".to_owned();
        return Ok(Some(Verdict::Unknown { why }));
    }
    let points = entry.points()?;
    // Nearly all that a distribution says has this form, and takes one comparison.
    if let Some(fixed) = points.until()? {
        let fixed = fixed.filter(|fixed| *fixed != "0");
        let order = fixed.map(|fixed| order.compare(version, fixed));
        match (fixed, order) {
            (Some(fixed), Some(Some(Ordering::Less))) => {
                let fixed = Some(fixed);
                return Ok(Some(Verdict::Affected { fixed }));
            }
            (Some(since), Some(Some(_))) => return Ok(Some(Verdict::Fixed { since })),
            // What can't be compared, and `0`, take the long way.
            _ => {}
        }
    }
    Ok(match is_affected(points, version, place, order)? {
        Some(true) => Some(Verdict::Affected {
            fixed: fix(points, version, order)?,
        }),
        Some(false) => since(points, version, order)?.map(|since| Verdict::Fixed { since }),
        None => Some(Verdict::Unknown {
            why: format!("`{version}` can't be compared with the versions of the advisory"),
        }),
    })
}

/// Affected if a range, or a version by itself, says so. None when it takes a comparison that
/// can't be made to tell.
fn is_affected(
    points: Points<'_>,
    version: &str,
    place: Place,
    order: Order,
) -> Result<Option<bool>, IndexError> {
    let mut known = Some(false);
    let own = order.parse(version);
    let mut range = Evaluation::of(&own, place);
    for written in points.written() {
        match written? {
            Written::Point(point) => range.pass(point, point.parse(order).as_ref()),
            Written::Exactly(named) => {
                let is_it =
                    named == version || own.compare(&order.parse(named)) == Some(Ordering::Equal);
                if is_it && place == Place::At {
                    return Ok(Some(true));
                }
            }
            Written::Border => {
                let ended = std::mem::replace(&mut range, Evaluation::of(&own, place));
                match ended.end() {
                    Some(true) => return Ok(Some(true)),
                    Some(false) => {}
                    None => known = None,
                }
            }
        }
    }
    Ok(match range.end() {
        Some(false) => known,
        other => other,
    })
}

/// The first fixed version above this one that is not affected itself.
fn fix<'a>(points: Points<'a>, version: &str, order: Order) -> Result<Option<&'a str>, IndexError> {
    let mut first: Option<&'a str> = None;
    for fixed in points.fixes() {
        let fixed = fixed?;
        let is_lower = |known| order.compare(fixed, known) == Some(Ordering::Less);
        if order.compare(fixed, version) == Some(Ordering::Greater)
            && first.is_none_or(is_lower)
            && is_affected(points, fixed, Place::At, order)? == Some(false)
        {
            first = Some(fixed);
        }
    }
    Ok(first)
}

/// The last fixed version that this one has.
fn since<'a>(
    points: Points<'a>,
    version: &str,
    order: Order,
) -> Result<Option<&'a str>, IndexError> {
    let mut last: Option<&'a str> = None;
    for fixed in points.fixes() {
        let fixed = fixed?;
        let is_higher = |known| order.compare(fixed, known) == Some(Ordering::Greater);
        // `0`: no version of this release was ever affected.
        if fixed != "0"
            && order.compare(fixed, version).is_some_and(Ordering::is_le)
            && last.is_none_or(is_higher)
        {
            last = Some(fixed);
        }
    }
    Ok(last)
}

/// The type of the package URLs of a subject's ecosystem.
fn purl_type(components: &[&Component]) -> Option<&'static str> {
    components
        .first()
        .map(|component| component.ecosystem.purl_type())
}

/// The release, as a package URL's `distro` names it: `debian-12`.
fn distro(components: &[&Component]) -> Option<String> {
    match &components.first()?.ecosystem {
        Ecosystem::Debian {
            release: Some(release),
        } => Some(format!("debian-{release}")),
        Ecosystem::Debian { release: None } => Some("debian".to_owned()),
        _ => None,
    }
}
