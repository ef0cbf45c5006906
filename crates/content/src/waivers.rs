//! `waivers.yaml`: rules that some hosts need not meet, until a date.

use std::sync::Arc;

use jiff::civil::Date;
use model::{RuleId, Waiver};

use crate::error::{ContentError, Place, Problems, SourceText};
use crate::keys::{Keys, Shape, items};
use crate::yaml::{Node, Tree};

const WAIVER_KEYS: &[&str] = &["rule", "hosts", "reason", "owner", "approver", "expires"];
/// All of them: a waiver without an owner or an end is a hole.
const WAIVER: Shape<'_> = Shape {
    known: WAIVER_KEYS,
    needed: WAIVER_KEYS,
};

/// The waivers of a file, each with the place of its rule's id.
pub(crate) fn read_file(
    root: &Node,
    source: &Arc<SourceText>,
    problems: &mut Problems,
) -> Vec<(Waiver, Place)> {
    // A file whose last waiver was removed is as good as none.
    if root.tree == Tree::Null {
        return Vec::new();
    }
    let Some(list) = items(root, "waivers.yaml", source, problems) else {
        return Vec::new();
    };
    list.iter()
        .filter_map(|item| read_waiver(item, source, problems))
        .collect()
}

fn read_waiver(
    item: &Node,
    source: &Arc<SourceText>,
    problems: &mut Problems,
) -> Option<(Waiver, Place)> {
    let keys = Keys::of(item, "a waiver", WAIVER, source, problems)?;
    let rule: Option<RuleId> = keys.value("rule", problems);
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
    if let (Some(owner), Some(approver), Some(node)) = (&owner, &approver, keys.node("approver"))
        && owner.trim().to_lowercase() == approver.trim().to_lowercase()
    {
        problems.push(
            ContentError::new("the owner of a waiver approves it", keys.place_of(node))
                .help("someone else has to"),
        );
    }
    let place = keys.place_of(keys.node("rule")?);
    let waiver = Waiver {
        rule: rule?,
        hosts: hosts?,
        reason: reason?,
        owner: owner?,
        approver: approver?,
        expires: expires?,
        declared_at: Some(place.source_line()),
    };
    Some((waiver, place))
}
