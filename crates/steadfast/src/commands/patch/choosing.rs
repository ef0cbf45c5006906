//! Which of the pending upgrades are taken: those that were asked for, and what these need.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use advisory::assess::Finding;
use host::State;
use host::packages::changes::Changes;
use host::packages::{
    Caches, Held, Pending, is_known, listed, pending, pending_without, with_needed,
};
use model::Component;
use model::component::SourcePackage;
use model::count::first_of;
use model::effect::bare_name;
use model::plan::{LeftAlone, Patches, Selection};

use super::due::{Waivers, closing_due, closing_of, versions, within};
use super::refused;
use crate::assessing::{NewVersion, Outlook};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::suggest::nearest;

/// Names in one line.
const NAMED: usize = 6;

/// What is pending, and what of it can't be had for a hold, a pin, or since it was left out.
pub(super) struct Known {
    pub(super) all: Vec<Pending>,
    pub(super) held: Held,
    /// What was left out, as it was asked.
    pub(super) left_out: Vec<LeftAlone>,
    /// The packages that are left out, also those of the sources that were named.
    pub(super) excluded: BTreeSet<String>,
}

impl Known {
    /// Asks apt.
    pub(super) fn ask(
        state: &State,
        caches: &Caches,
        selection: &Selection,
        components: &[Component],
    ) -> Result<Self, Failure> {
        let because = |error| Failure::because(Exit::Unchecked, error);
        let (all, held) = pending(caches).map_err(because)?;
        if selection.excluded.is_empty() {
            return Ok(Self {
                all,
                held,
                left_out: Vec::new(),
                excluded: BTreeSet::new(),
            });
        }
        let excluded = excluded(caches, selection, &all, components)?;
        let is_excluded = |pending: &&Pending| excluded.contains(bare_name(&pending.name));
        let folder = state.directory();
        let (rest, _) = pending_without(folder, &excluded).map_err(because)?;
        let is_left = |one: &&Pending| !rest.iter().any(|other| other.name == one.name);
        let names = first_of(&selection.excluded, NAMED);
        let left_out = all.iter().filter(is_left).map(|one| LeftAlone {
            what: one.name.clone(),
            why: {
                let from = one.from.as_deref().unwrap_or("nothing");
                let kind = if one.is_security() { " (security)" } else { "" };
                let to = &one.to;
                match is_excluded(&one) {
                    true => format!("left out as asked, at {from}; {to}{kind} is pending"),
                    false => format!(
                        "stays at {from}, since {to}{kind} can't be had without what is left out: \
                         {names}"
                    ),
                }
            },
            at: Vec::new(),
        });
        Ok(Self {
            left_out: left_out.collect(),
            all: rest,
            held,
            excluded,
        })
    }
}

/// What is taken, and what was asked for and none of it closes.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) wanted: Vec<Pending>,
    pub(super) not_closed: Vec<Finding>,
    /// What was asked for, and can't be told.
    pub(super) unknown: Vec<String>,
}

/// Asks what the changelogs of all that is pending say, by package.
pub(super) type Announced<'a> = &'a dyn Fn() -> Result<BTreeMap<String, Changes>, String>;

/// The pending upgrades that were asked for, and what these need; and what is due, or asked for by
/// name, and none of them closes.
pub(super) fn chosen(
    caches: &Caches,
    selection: &Selection,
    known: &Known,
    outlook: Option<&Outlook<'_>>,
    waivers: Waivers<'_>,
    components: &[Component],
    announced: Announced<'_>,
) -> Result<Chosen, Failure> {
    let patches = selection.patches.unwrap_or_default();
    let mut not_closed = Vec::new();
    let mut unknown = Vec::new();
    let mut wanted = known.all.clone();
    if is_only_security(patches) {
        wanted.retain(Pending::is_security);
    }
    if let (Patches::Due { within_days, .. }, Some(outlook)) = (patches, outlook) {
        refuse_without_feeds(outlook, "what is due")?;
        let versions = versions(caches, &wanted)?;
        let effects = outlook.with(&versions).map_err(refused)?;
        let (names, more) = closing_due(effects, &versions, waivers, within(within_days));
        wanted.retain(|pending| names.contains(bare_name(&pending.name)));
        not_closed.extend(more);
    }
    if let (false, Some(outlook)) = (selection.vulnerabilities.is_empty(), outlook) {
        let named = closing_named(caches, selection, known, outlook, announced)?;
        wanted.retain(|pending| named.packages.contains(bare_name(&pending.name)));
        not_closed.extend(named.not_closed);
        unknown.extend(named.unknown);
    }
    if !selection.packages.is_empty() {
        let names = named(caches, selection, known, components)?;
        wanted.retain(|pending| names.contains(&pending.name));
    }
    let is_all = patches == Patches::All
        && selection.packages.is_empty()
        && selection.vulnerabilities.is_empty();
    if !is_all {
        let with_needed = with_needed(caches, &wanted);
        wanted = with_needed.map_err(|error| Failure::because(Exit::Unchecked, error))?;
    }
    let is_excluded = |pending: &&Pending| known.excluded.contains(bare_name(&pending.name));
    if let Some(needed) = wanted.iter().find(is_excluded) {
        return Err(Failure::new(
            Exit::BadInput,
            format_args!(
                "what was asked for can't be had without `{}`, which is left out",
                needed.name
            ),
            "nothing was changed; take it too, or leave out what needs it",
        ));
    }
    Ok(Chosen {
        wanted,
        not_closed,
        unknown,
    })
}

/// Are only those taken that are published for security?
pub(super) const fn is_only_security(patches: Patches) -> bool {
    matches!(
        patches,
        Patches::Security
            | Patches::Due {
                only_security: true,
                ..
            }
    )
}

fn refuse_without_feeds(outlook: &Outlook<'_>, what: &str) -> Result<(), Failure> {
    match outlook.now().feeds.is_empty() {
        false => Ok(()),
        true => Err(without_feeds(what)),
    }
}

fn without_feeds(what: &str) -> Failure {
    Failure::new(
        Exit::Unchecked,
        format_args!("no feed says {what}"),
        "nothing was changed; bring the advisories: steadfast feed import FILE",
    )
}

/// Is it about this vulnerability, under any of its names?
fn is_named(finding: &Finding, name: &str) -> bool {
    let also = [&finding.also, &finding.aliases, &finding.about];
    let mut names = also
        .into_iter()
        .flatten()
        .chain([&finding.name, &finding.advisory]);
    names.any(|known| known.eq_ignore_ascii_case(name))
}

/// What is known of the vulnerabilities that were named.
#[derive(Default)]
struct ClosingNamed {
    /// The packages whose pending versions close them.
    packages: BTreeSet<String>,
    /// The findings of them that none closes.
    not_closed: Vec<Finding>,
    unknown: Vec<String>,
}

/// By the feeds, and where these name no version that closes one, by what the pending versions say of
/// themselves: a fix is often there before the feeds that were brought know of it.
fn closing_named(
    caches: &Caches,
    selection: &Selection,
    known: &Known,
    outlook: &Outlook<'_>,
    announced: Announced<'_>,
) -> Result<ClosingNamed, Failure> {
    let versions = versions(caches, &known.all)?;
    let effects = outlook.with(&versions).map_err(refused)?;
    let announced = LazyCell::new(announced);
    let mut all = ClosingNamed::default();
    for name in &selection.vulnerabilities {
        let of = |findings: &[Finding]| -> Vec<Finding> {
            let findings = findings.iter().filter(|one| is_named(one, name));
            findings.cloned().collect()
        };
        let (packages, not_closed) =
            closing_of(of(&effects.closed), &of(&effects.remaining), &versions);
        if !packages.is_empty() {
            all.packages.extend(packages);
            all.not_closed.extend(not_closed);
            continue;
        }
        let shown = model::printable(name.as_bytes());
        match &*announced {
            Ok(changes) => {
                let announcing = announcing(changes, name, &versions);
                if !announcing.is_empty() {
                    crate::say(format_args!(
                        "{shown} is named by the changelog of {}, and by no feed as closed there",
                        first_of(&Vec::from_iter(announcing.iter().cloned()), NAMED)
                    ));
                    all.packages.extend(announcing);
                    continue;
                }
            }
            Err(why) => all.unknown.push(format!(
                "whether a pending upgrade closes {shown} by its changelog: {why}"
            )),
        }
        if !not_closed.is_empty() || !of(&outlook.now().findings).is_empty() {
            all.not_closed.extend(not_closed);
            continue;
        }
        let is_open = |one: &advisory::assess::Undetermined| one.name.eq_ignore_ascii_case(name);
        let is_undetermined = outlook.now().undetermined.iter().any(is_open);
        let end = match outlook.now().ended() {
            Some(day) => format!("; the feeds end on {day}"),
            None => String::new(),
        };
        match (outlook.speaks_of(name).map_err(refused)?, is_undetermined) {
            (true, false) => crate::say(format_args!(
                "{shown} is not found in what is installed here, by the feeds that know it{end}"
            )),
            (true, true) => all.unknown.push(format!(
                "whether {shown} is here: the feeds that know it can't tell (steadfast vulns {shown})"
            )),
            (false, _) if outlook.now().feeds.is_empty() => {
                return Err(without_feeds("what closes it"));
            }
            (false, _) => all.unknown.push(format!(
                "whether {shown} is here: no feed knows it, and no changelog of what is pending \
                 names it{end}"
            )),
        }
    }
    Ok(all)
}

/// The pending packages whose changelogs name it, and what is built with them from one source: of these
/// often only one has the changelog.
fn announcing(
    changes: &BTreeMap<String, Changes>,
    name: &str,
    versions: &[NewVersion],
) -> BTreeSet<String> {
    let names_it = |package: &str| {
        changes.get(package).is_some_and(|changes| {
            let mut named = changes.vulnerabilities.iter();
            named.any(|one| one.eq_ignore_ascii_case(name))
        })
    };
    let sources: Vec<&SourcePackage> = versions
        .iter()
        .filter(|version| names_it(bare_name(&version.name)))
        .filter_map(|version| version.source.as_ref())
        .collect();
    let is_of_them = |version: &&NewVersion| {
        let source = version.source.as_ref();
        names_it(bare_name(&version.name)) || source.is_some_and(|one| sources.contains(&one))
    };
    let found = versions.iter().filter(is_of_them);
    found
        .map(|version| bare_name(&version.name).to_owned())
        .collect()
}

/// The pending packages of these names, and those that are built from sources of these names.
fn named(
    caches: &Caches,
    selection: &Selection,
    known: &Known,
    components: &[Component],
) -> Result<BTreeSet<String>, Failure> {
    let listed =
        listed(caches, &known.all).map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let mut found = BTreeSet::new();
    for name in &selection.packages {
        let before = found.len();
        let is_it = |pending: &&Pending| {
            let source = listed.get(&pending.file_name());
            pending.name == *name
                || bare_name(&pending.name) == name
                || source.is_some_and(|listed| listed.source.name == *name)
        };
        let names = known.all.iter().filter(is_it);
        found.extend(names.map(|pending| pending.name.clone()));
        if found.len() > before {
            continue;
        }
        let is_named = |name: &str, other: &str| bare_name(other) == bare_name(name);
        if let Some(left) = known
            .left_out
            .iter()
            .find(|left| is_named(name, &left.what))
        {
            return Err(Failure::new(
                Exit::BadInput,
                format_args!(
                    "`{}` was asked for, and {}",
                    model::printable(name.as_bytes()),
                    left.why
                ),
                "nothing was changed; ask for it, or leave it out",
            ));
        }
        let mut held = known.held.all();
        if held.any(|one| is_named(name, &one.name)) || !is_here(name, components) {
            return Err(not_pending(name, &known.all, &known.held));
        }
        crate::say(format_args!(
            "nothing is pending for `{}`",
            model::printable(name.as_bytes())
        ));
    }
    Ok(found)
}

/// Is it installed, or is something that is built from a source of this name?
fn is_here(name: &str, components: &[Component]) -> bool {
    let own = components.iter().filter(|one| one.is_own_package());
    own.into_iter().any(|one| {
        let source = one.source.as_ref();
        one.name == bare_name(name) || source.is_some_and(|source| source.name == name)
    })
}

/// The packages that are left out: those of the names, and those that are built from sources of
/// these names, as `--package` takes them. A name that nobody knows may be a slip, by which too much
/// is taken.
fn excluded(
    caches: &Caches,
    selection: &Selection,
    all: &[Pending],
    components: &[Component],
) -> Result<BTreeSet<String>, Failure> {
    let because = |error| Failure::because(Exit::Unchecked, error);
    let listed = listed(caches, all).map_err(because)?;
    let mut excluded = BTreeSet::new();
    let mut without = Vec::new();
    for name in &selection.excluded {
        let mut found: BTreeSet<&str> = all
            .iter()
            .filter(|pending| {
                let source = listed.get(&pending.file_name());
                bare_name(&pending.name) == bare_name(name)
                    || source.is_some_and(|listed| listed.source.name == *name)
            })
            .map(|pending| bare_name(&pending.name))
            .collect();
        let shown = model::printable(name.as_bytes());
        if !found.is_empty() {
            // What is installed of the same source stays as well, whatever else would want.
            found.extend(
                components
                    .iter()
                    .filter(|one| one.is_own_package())
                    .filter(|one| one.source.as_ref().is_some_and(|one| one.name == *name))
                    .map(|one| one.name.as_str()),
            );
            excluded.extend(found.into_iter().map(str::to_owned));
            continue;
        }
        excluded.insert(bare_name(name).to_owned());
        // What is not pending is left as it is already: a job that leaves it out each night goes on.
        if is_here(name, components) {
            without.push(shown);
        } else if is_known(caches, name).map_err(because)? {
            without.push(format!("{shown} (not installed)"));
        } else {
            let pending = all.iter().map(|one| bare_name(&one.name));
            let own = components.iter().filter(|one| one.is_own_package());
            let own = own.flat_map(|one| {
                let source = one.source.as_ref().map(|source| source.name.as_str());
                std::iter::once(one.name.as_str()).chain(source)
            });
            let help = match nearest(name, pending.chain(own)) {
                Some(near) => format!("nothing was changed; did you mean `{near}`?"),
                None => "nothing was changed; what is pending: steadfast patch status".to_owned(),
            };
            return Err(Failure::new(
                Exit::BadInput,
                format_args!("neither this host nor apt knows `{shown}`, which is to be left out"),
                help,
            ));
        }
    }
    if !without.is_empty() {
        crate::say(format_args!(
            "left out, with nothing pending: {}",
            without.join(", ")
        ));
    }
    Ok(excluded)
}

/// Why a package that was named is none of those that are pending.
fn not_pending(name: &str, all: &[Pending], held: &Held) -> Failure {
    let shown = model::printable(name.as_bytes());
    let is_it = |one: &&Pending| bare_name(&one.name) == name;
    let refuse = |what: String, help: String| {
        let help = format!("nothing was changed; {help}");
        Failure::new(Exit::BadInput, what, help)
    };
    if let Some(one) = held.held.iter().find(is_it) {
        return refuse(
            format!("`{shown}` is held, and {} is not taken for that", one.to),
            format!("apt-mark unhold {shown}"),
        );
    }
    if let Some(one) = held.pinned.iter().find(is_it) {
        return refuse(
            format!("a pin keeps {} of `{shown}` away", one.to),
            format!("the pin is in /etc/apt/preferences.d: apt-cache policy {shown}"),
        );
    }
    if let Some(one) = held.all().find(is_it) {
        return refuse(
            format!("apt does not take {} of `{shown}`", one.to),
            format!("it says why: apt-get --simulate install {shown}"),
        );
    }
    let known = all.iter().map(|one| bare_name(&one.name));
    let help = match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "what is pending: steadfast patch status".to_owned(),
    };
    refuse(format!("nothing is pending for `{shown}`"), help)
}
