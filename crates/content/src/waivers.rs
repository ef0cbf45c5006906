//! `waivers.yaml`: rules that some hosts need not meet, and vulnerabilities that they may have,
//! until a date.

use std::sync::Arc;

use jiff::civil::Date;
use model::{RuleId, VulnerabilityWaiver, Waiver};

use crate::error::{ContentError, Place, Problems, SourceText};
use crate::keys::{Keys, Shape, items};
use crate::yaml::{Node, Tree};

const OF_RULE: &[&str] = &["rule", "hosts", "reason", "owner", "approver", "expires"];
/// All of them: a waiver without an owner or an end is a hole.
const WAIVER: Shape<'_> = Shape {
    known: OF_RULE,
    needed: OF_RULE,
};
const OF_VULNERABILITY: Shape<'_> = Shape {
    known: &[
        "vulnerability",
        "package",
        "hosts",
        "reason",
        "owner",
        "approver",
        "expires",
    ],
    needed: &[
        "vulnerability",
        "hosts",
        "reason",
        "owner",
        "approver",
        "expires",
    ],
};

/// The waivers of a file.
#[derive(Default)]
pub(crate) struct Waivers {
    /// Each with the place of its rule's id.
    pub(crate) rules: Vec<(Waiver, Place)>,
    pub(crate) vulnerabilities: Vec<VulnerabilityWaiver>,
}

pub(crate) fn read_file(root: &Node, source: &Arc<SourceText>, problems: &mut Problems) -> Waivers {
    let mut waivers = Waivers::default();
    // A file whose last waiver was removed is as good as none.
    if root.tree == Tree::Null {
        return waivers;
    }
    let Some(list) = items(root, "waivers.yaml", source, problems) else {
        return waivers;
    };
    for item in list {
        if names_vulnerability(item) {
            let waiver = read_vulnerability(item, source, problems);
            waivers.vulnerabilities.extend(waiver);
        } else {
            waivers.rules.extend(read_rule(item, source, problems));
        }
    }
    waivers
}

fn names_vulnerability(item: &Node) -> bool {
    let Tree::Map(entries) = &item.tree else {
        return false;
    };
    let has = |key: &str| entries.iter().any(|entry| entry.key == key);
    has("vulnerability") && !has("rule")
}

fn read_rule(
    item: &Node,
    source: &Arc<SourceText>,
    problems: &mut Problems,
) -> Option<(Waiver, Place)> {
    let keys = Keys::of(item, "a waiver", WAIVER, source, problems)?;
    let rule: Option<RuleId> = keys.value("rule", problems);
    let said = Said::read(&keys, item, problems);
    let place = keys.place_of(keys.node("rule")?);
    let said = said?;
    let waiver = Waiver {
        rule: rule?,
        hosts: said.hosts,
        reason: said.reason,
        owner: said.owner,
        approver: said.approver,
        expires: said.expires,
        declared_at: Some(place.source_line()),
    };
    Some((waiver, place))
}

fn read_vulnerability(
    item: &Node,
    source: &Arc<SourceText>,
    problems: &mut Problems,
) -> Option<VulnerabilityWaiver> {
    let what = "a waiver of a vulnerability";
    let keys = Keys::of(item, what, OF_VULNERABILITY, source, problems)?;
    let vulnerability = keys.text("vulnerability", problems);
    let package = keys.node("package").map(|_| keys.text("package", problems));
    let said = Said::read(&keys, item, problems);
    let node = keys.node("vulnerability")?;
    let place = keys.place_of(node);
    // One name at a time: a pattern here would waive what nobody has seen yet.
    let in_names = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if let Some(name) = &vulnerability
        && !name.chars().all(in_names)
    {
        let shown = model::printable(name.as_bytes());
        problems.push(
            ContentError::new(
                format!("no vulnerability can have a name like `{shown}`"),
                place,
            )
            .help("one name of it, as a report shows it: CVE-2024-6387"),
        );
        return None;
    }
    let said = said?;
    Some(VulnerabilityWaiver {
        vulnerability: vulnerability?,
        package: match package {
            Some(package) => Some(package?),
            None => None,
        },
        hosts: said.hosts,
        reason: said.reason,
        owner: said.owner,
        approver: said.approver,
        expires: said.expires,
        declared_at: Some(place.source_line()),
    })
}

/// What every waiver says.
struct Said {
    hosts: Vec<String>,
    reason: String,
    owner: String,
    approver: String,
    expires: Date,
}

impl Said {
    fn read(keys: &Keys<'_>, item: &Node, problems: &mut Problems) -> Option<Self> {
        let hosts: Option<Vec<String>> = keys.value("hosts", problems);
        let reason = keys.text("reason", problems);
        let owner = keys.text("owner", problems);
        let approver = keys.text("approver", problems);
        let expires: Option<String> = keys.value("expires", problems);
        let expires = expires.and_then(|text| {
            let place = keys.place_of(keys.node("expires")?);
            let date: Result<Date, _> = text.parse();
            problems.keep(date.map_err(|_| {
                ContentError::new("`expires` is not a date", place)
                    .help("the last day on which it holds, in UTC, as YYYY-MM-DD")
            }))
        });
        if let Some(hosts) = &hosts
            && hosts.iter().all(|host| host.trim().is_empty())
        {
            problems.push(
                ContentError::new("a waiver for no host", keys.place()).help(
                    "`hosts` is a list of names and patterns: [\"web-*\"]; every host is [\"*\"]",
                ),
            );
        }
        // A pattern that no name can match would waive nothing, and nobody would know why.
        let in_names = |c: char| c.is_ascii_alphanumeric() || "-._*?".contains(c);
        if let Some(pattern) = hosts
            .iter()
            .flatten()
            .find(|host| !host.chars().all(in_names))
        {
            let shown = model::printable(pattern.as_bytes());
            problems.push(
                ContentError::new(
                    format!("no host can have a name like `{shown}`"),
                    keys.place_of(keys.node("hosts").unwrap_or(item)),
                )
                .help("a pattern is a host's name, where `*` stands for any run of characters and `?` for one"),
            );
        }
        if let (Some(owner), Some(approver), Some(node)) =
            (&owner, &approver, keys.node("approver"))
            && owner.trim().to_lowercase() == approver.trim().to_lowercase()
        {
            problems.push(
                ContentError::new("the owner of a waiver approves it", keys.place_of(node))
                    .help("someone else has to"),
            );
        }
        Some(Self {
            hosts: hosts?,
            reason: reason?,
            owner: owner?,
            approver: approver?,
            expires: expires?,
        })
    }
}
