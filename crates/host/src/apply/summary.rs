//! One line about what a change does, for whoever reads the history at night: for which rules and
//! roles, and what of the host, by the names that people know it by. It decides nothing.

use std::collections::BTreeSet;

use model::count::{first_of, number, plural};
use model::{AccountOp, Effect, PackageRemoval, PackageUpgrade, Plan};

use super::serves;
use crate::install::OWN;

/// Rules and roles that are named.
const ASKED: usize = 2;
/// Packages, paths and units that are named.
const NAMED: usize = 2;

pub(super) fn summary(plan: &Plan) -> String {
    let serves = serves(plan);
    if serves == [OWN] {
        return "Steadfast's recovery at boot".to_owned();
    }
    format!("{}: {}", first_of(&serves, ASKED), done(plan))
}

fn done(plan: &Plan) -> String {
    let (mut packages, mut brought) = (Vec::new(), 0);
    let (mut paths, mut others, mut units) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for action in &plan.actions {
        match &action.effect {
            Effect::Upgrade { unfinished, .. } if !unfinished.is_empty() => {
                let names = first_of(unfinished, NAMED);
                return format!("finish what dpkg left unfinished: {names}");
            }
            Effect::Upgrade {
                packages: some,
                removals,
                named,
                ..
            } => {
                let (asked, more) = asked_for(some, removals, named, &plan.selection.packages);
                packages.extend(asked);
                brought += more;
            }
            effect if effect.path().is_some() => {
                let path = effect.path().map(ToString::to_string).unwrap_or_default();
                if seen.insert(path.clone()) {
                    paths.push(path);
                }
            }
            Effect::Unit { name, .. } => {
                if seen.insert(name.clone()) {
                    units.push(name.clone());
                }
            }
            Effect::LoadAuditRules => {}
            effect => others.push(called(effect)),
        }
    }
    let mut parts = Vec::new();
    if !packages.is_empty() || brought > 0 {
        parts.push(with_more(&packages, brought, "package"));
    }
    if !paths.is_empty() {
        parts.push(with_more(&paths, 0, "path"));
    }
    if !others.is_empty() {
        parts.push(first_of(&others, NAMED));
    }
    // Units follow what was changed; they are named where they are all that moved.
    if parts.is_empty() {
        parts.push(match units.is_empty() {
            true => "the audit rules are loaded".to_owned(),
            false => first_of(&units, NAMED),
        });
    }
    parts.join(", ")
}

/// What somebody asked for by name, and how many packages come beside it; where nobody named any,
/// all are what was asked for.
fn asked_for(
    packages: &[PackageUpgrade],
    removals: &[PackageRemoval],
    named: &[String],
    selected: &[String],
) -> (Vec<String>, usize) {
    let is_asked = |package: &&PackageUpgrade| {
        let source = package.source.as_ref().map(|source| &source.name);
        let is = |name: &String| *name == package.name || *name == package.bare_name();
        named.iter().any(is) || selected.iter().any(|name| is(name) || source == Some(name))
    };
    let mut asked: Vec<&PackageUpgrade> = packages.iter().filter(is_asked).collect();
    if asked.is_empty() && named.is_empty() {
        asked = packages.iter().collect();
    }
    let more = packages.len() - asked.len();
    let asked = asked.iter().map(|one| format!("{} {}", one.name, one.to));
    let removed = removals.iter().map(|one| format!("{} removed", one.name));
    (asked.chain(removed).collect(), more)
}

/// `a, b and 3 more packages`; `more` are counted beside the names.
fn with_more(names: &[String], more: usize, what: &str) -> String {
    let shown = names.len().min(NAMED);
    let first = names[..shown].join(", ");
    match names.len() - shown + more {
        0 => first,
        rest if first.is_empty() => plural(rest, what),
        rest => format!(
            "{first} and {} more {what}{}",
            number(rest),
            if rest == 1 { "" } else { "s" }
        ),
    }
}

/// What has no path, as people call it.
fn called(effect: &Effect) -> String {
    match effect {
        Effect::Sysctl { key, .. } => key.clone(),
        Effect::Remount { path, .. } => format!("{path} remounted"),
        Effect::Module { name, .. } => format!("module {name}"),
        Effect::Unit { name, .. } => name.clone(),
        Effect::Package { name, .. } => format!("package {name}"),
        Effect::Account(operation) => match operation {
            AccountOp::CreateGroup { name, .. } | AccountOp::RemoveGroup { name } => {
                format!("group {name}")
            }
            AccountOp::AddMember { group, user } | AccountOp::RemoveMember { group, user } => {
                format!("{user} in group {group}")
            }
            AccountOp::CreateUser {
                name,
                group: Some(group),
                ..
            } => format!("account {name} with the main group {group}"),
            AccountOp::CreateUser { name, .. }
            | AccountOp::RemoveUser { name }
            | AccountOp::SetShell { name, .. }
            | AccountOp::LockPassword { name }
            | AccountOp::SetAgeing { name, .. }
            | AccountOp::SetUid { name, .. } => format!("account {name}"),
        },
        // Its words may be secret.
        Effect::Run { argv, .. } => argv.first().cloned().unwrap_or_default(),
        _ => "1 other action".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{asked_for, with_more};
    use model::{Digest, PackageUpgrade};

    fn package(name: &str) -> PackageUpgrade {
        PackageUpgrade {
            name: name.to_owned(),
            architecture: "amd64".to_owned(),
            from: None,
            to: "1".to_owned(),
            source: None,
            origins: Vec::new(),
            security: None,
            archive: Digest::of(b""),
        }
    }

    /// What somebody named stands first, and not what sorts first.
    #[test]
    fn what_was_asked_for_is_what_is_named() {
        let all = ["libjemalloc2", "liblzf1", "redis-server", "redis-tools"].map(package);
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        for (named, selected, text) in [
            (
                names(&["redis-server"]),
                names(&[]),
                "redis-server 1 and 3 more packages",
            ),
            (
                names(&[]),
                names(&["liblzf1"]),
                "liblzf1 1 and 3 more packages",
            ),
            (
                names(&[]),
                names(&[]),
                "libjemalloc2 1, liblzf1 1 and 2 more packages",
            ),
            // What a policy wants and the plan only marks is no reason to name another.
            (names(&["nano"]), names(&[]), "4 packages"),
        ] {
            let (asked, more) = asked_for(&all, &[], &named, &selected);
            assert_eq!(with_more(&asked, more, "package"), text);
        }
    }
}
