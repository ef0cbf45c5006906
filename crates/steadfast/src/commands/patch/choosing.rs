//! Which of the pending upgrades are taken: those that were asked for, and what these need.

use std::collections::BTreeSet;

use advisory::assess::Finding;
use host::State;
use host::packages::{Caches, Held, Pending, listed, pending, pending_without, with_needed};
use model::count::first_of;
use model::effect::bare_name;
use model::plan::{LeftAlone, Patches, Selection};

use super::due::{Waivers, closing_due, closing_of, versions, within};
use super::refused;
use crate::assessing::Outlook;
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
}

impl Known {
    /// Asks apt.
    pub(super) fn ask(
        state: &State,
        caches: &Caches,
        selection: &Selection,
    ) -> Result<Self, Failure> {
        let because = |error| Failure::because(Exit::Unchecked, error);
        let (all, held) = pending(caches).map_err(because)?;
        if selection.excluded.is_empty() {
            return Ok(Self {
                all,
                held,
                left_out: Vec::new(),
            });
        }
        let excluded: BTreeSet<String> = selection
            .excluded
            .iter()
            .map(|name| bare_name(name).to_owned())
            .collect();
        let is_excluded = |pending: &&Pending| excluded.contains(bare_name(&pending.name));
        for name in &excluded {
            if !all.iter().any(|one| bare_name(&one.name) == name) {
                return Err(not_pending(name, &all, &held));
            }
        }
        let folder = state.directory();
        let (rest, _) = pending_without(folder, &excluded).map_err(because)?;
        let is_left = |one: &&Pending| !rest.iter().any(|other| other.name == one.name);
        let names = first_of(&Vec::from_iter(excluded.iter().cloned()), NAMED);
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
        })
    }
}

/// What is taken, and what was asked for and none of it closes.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) wanted: Vec<Pending>,
    pub(super) not_closed: Vec<Finding>,
}

/// The pending upgrades that were asked for, and what these need; and what is due, or asked for by
/// name, and none of them closes.
pub(super) fn chosen(
    caches: &Caches,
    selection: &Selection,
    known: &Known,
    outlook: Option<&Outlook<'_>>,
    waivers: Waivers<'_>,
) -> Result<Chosen, Failure> {
    let patches = selection.patches.unwrap_or_default();
    let mut not_closed = Vec::new();
    let mut wanted = known.all.clone();
    if let Patches::Security
    | Patches::Due {
        only_security: true,
        ..
    } = patches
    {
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
        refuse_without_feeds(outlook, "what closes it")?;
        let (names, more) = closing_named(caches, selection, known, outlook)?;
        wanted.retain(|pending| names.contains(bare_name(&pending.name)));
        not_closed.extend(more);
    }
    if !selection.packages.is_empty() {
        let names = named(caches, selection, known)?;
        wanted.retain(|pending| names.contains(&pending.name));
    }
    let is_all = patches == Patches::All
        && selection.packages.is_empty()
        && selection.vulnerabilities.is_empty();
    if !is_all {
        let with_needed = with_needed(caches, &wanted);
        wanted = with_needed.map_err(|error| Failure::because(Exit::Unchecked, error))?;
    }
    let is_excluded = |pending: &&Pending| {
        let mut names = selection.excluded.iter();
        names.any(|name| bare_name(name) == bare_name(&pending.name))
    };
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
    Ok(Chosen { wanted, not_closed })
}

fn refuse_without_feeds(outlook: &Outlook<'_>, what: &str) -> Result<(), Failure> {
    match outlook.now().feeds.is_empty() {
        false => Ok(()),
        true => Err(Failure::new(
            Exit::Unchecked,
            format_args!("no feed says {what}"),
            "nothing was changed; bring the advisories: steadfast feed import FILE",
        )),
    }
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

/// The packages whose pending versions close the vulnerabilities that were named, and the findings of
/// these that none closes.
fn closing_named(
    caches: &Caches,
    selection: &Selection,
    known: &Known,
    outlook: &Outlook<'_>,
) -> Result<(BTreeSet<String>, Vec<Finding>), Failure> {
    let versions = versions(caches, &known.all)?;
    let effects = outlook.with(&versions).map_err(refused)?;
    let of_one = |name: &String| -> (BTreeSet<String>, Vec<Finding>) {
        let of = |findings: &[Finding]| -> Vec<Finding> {
            let findings = findings.iter().filter(|one| is_named(one, name));
            findings.cloned().collect()
        };
        if of(&outlook.now().findings).is_empty() {
            crate::say(format_args!(
                "{} is not found in what is installed here",
                model::printable(name.as_bytes())
            ));
        }
        closing_of(of(&effects.closed), &of(&effects.remaining), &versions)
    };
    let mut all = (BTreeSet::new(), Vec::new());
    for name in &selection.vulnerabilities {
        let (names, not_closed) = of_one(name);
        all.0.extend(names);
        all.1.extend(not_closed);
    }
    Ok(all)
}

/// The pending packages of these names, and those that are built from sources of these names.
fn named(
    caches: &Caches,
    selection: &Selection,
    known: &Known,
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
        if found.len() == before {
            return Err(not_pending(name, &known.all, &known.held));
        }
    }
    Ok(found)
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
