//! Units, accounts and groups that are not there: whether something in the same plan could bring
//! them.

use std::collections::{BTreeMap, BTreeSet};

use model::{AccountOp, Effect, HostPath, UnitOp};
use resource::{Answers, Edit, Phase, Seen};

use super::Drifting;

/// The unit that is to start although there is none.
pub(super) fn missing(item: &Drifting, seen: &Answers) -> Option<String> {
    if item.phase != Phase::Service {
        return None;
    }
    effects(item).find_map(|effect| match effect {
        Effect::Unit {
            name,
            op: UnitOp::Enable | UnitOp::Start,
        } if is_missing(name, seen) => Some(name.clone()),
        _ => None,
    })
}

pub(super) fn is_missing(name: &str, seen: &Answers) -> bool {
    match seen.unit(name) {
        Seen::Known(unit) => unit.load_state == "not-found",
        Seen::Absent => true,
        Seen::Unknown(_) | Seen::NotAsked => false,
    }
}

/// Could the unit come with this? A package or a command may bring any; a file brings the one
/// that it is named after, or that a generator makes of it.
pub(super) fn may_bring(item: &Drifting, unit: &str) -> bool {
    let anything = |effect: &Effect| {
        matches!(
            effect,
            Effect::Package { .. } | Effect::Upgrade { .. } | Effect::Run { .. }
        )
    };
    item.phase == Phase::AsListed
        || effects(item).any(anything)
        || paths(item).any(|path| is_of(path, unit))
}

/// Does this write the unit's own file, where systemd reads it (systemd.unit(5))?
pub(super) fn writes(item: &Drifting, unit: &str) -> bool {
    const DIRECTORIES: [&str; 4] = [
        "/etc/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ];
    paths(item).any(|path| {
        let above = path.parent();
        let is_read = DIRECTORIES.iter().any(|top| {
            above
                .as_ref()
                .is_some_and(|above| above.as_bytes() == top.as_bytes())
        });
        is_read && path.file_name() == unit.as_bytes()
    })
}

fn is_of(path: &HostPath, unit: &str) -> bool {
    let stem = |name: &str| {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        stem.split('@').next().unwrap_or(stem).to_owned()
    };
    let name = String::from_utf8_lossy(path.file_name());
    let is_mount = [".mount", ".automount", ".swap"]
        .iter()
        .any(|end| unit.ends_with(end));
    stem(&name) == stem(unit) || (is_mount && *path == HostPath::literal("/etc/fstab"))
}

/// Takes out what names an account or a group that is not there and that nothing in the plan makes:
/// for each item, by its place, what is missing.
pub(super) fn take_out_strangers(drifted: &mut [Drifting], seen: &Answers) -> Vec<(usize, String)> {
    let Seen::Known(accounts) = seen.accounts() else {
        return Vec::new();
    };
    // What a package, a command or a directory of accounts brings is known to nobody here.
    let may_come = |item: &Drifting| {
        item.phase == Phase::AsListed
            || effects(item).any(|effect| {
                matches!(
                    effect,
                    Effect::Package { .. } | Effect::Upgrade { .. } | Effect::Run { .. }
                )
            })
    };
    if !accounts.other_sources.is_empty() || drifted.iter().any(may_come) {
        return Vec::new();
    }
    let mut users: BTreeSet<&str> = accounts.accounts.iter().map(|one| &*one.name).collect();
    let mut groups: BTreeSet<&str> = accounts.groups.iter().map(|one| &*one.name).collect();
    let ops: Vec<AccountOp> = drifted.iter().flat_map(effects).filter_map(op).collect();
    for op in &ops {
        match op {
            AccountOp::CreateUser { name, group, .. } => {
                users.insert(name);
                // useradd(8) makes a group of the account's name.
                if group.is_none() {
                    groups.insert(name);
                }
            }
            AccountOp::CreateGroup { name, .. } => {
                groups.insert(name);
            }
            _ => {}
        }
    }
    let stranger = |effect: &Effect| match effect {
        Effect::Account(AccountOp::AddMember { user, .. }) if !users.contains(&**user) => {
            Some(format!("account {}", model::printable(user.as_bytes())))
        }
        Effect::Account(
            AccountOp::AddMember { group, .. }
            | AccountOp::CreateUser {
                group: Some(group), ..
            },
        ) if !groups.contains(&**group) => {
            Some(format!("group {}", model::printable(group.as_bytes())))
        }
        _ => None,
    };
    let mut missing = Vec::new();
    for (place, item) in drifted.iter_mut().enumerate() {
        for drift in &mut item.drifts {
            drift.edits.retain(|edit| {
                let found = match edit {
                    Edit::Act { effect, .. } => stranger(effect),
                    Edit::Content { .. } | Edit::Meta { .. } => None,
                };
                let is_known = found.is_none();
                missing.extend(found.map(|what| (place, what)));
                is_known
            });
        }
    }
    missing
}

/// A new file of an account that the plan makes is of the main group that it gets: its kind knows of none
/// but one of its own name (useradd(8)).
pub(super) fn give_main_groups(drifted: &mut [Drifting]) {
    let ops = drifted.iter().flat_map(effects).filter_map(op);
    let mains = ops.filter_map(|op| match op {
        AccountOp::CreateUser {
            name,
            group: Some(group),
            ..
        } => Some((name, group)),
        _ => None,
    });
    let mains: BTreeMap<String, String> = mains.collect();
    let edits = drifted
        .iter_mut()
        .flat_map(|item| &mut item.drifts)
        .flat_map(|drift| &mut drift.edits);
    for edit in edits {
        if let Edit::Content {
            new_file: Some(file),
            ..
        } = edit
            && file.group == file.owner
            && let Some(main) = mains.get(&file.owner)
        {
            file.group.clone_from(main);
        }
    }
}

fn op(effect: &Effect) -> Option<AccountOp> {
    match effect {
        Effect::Account(op) => Some(op.clone()),
        _ => None,
    }
}

fn effects(item: &Drifting) -> impl Iterator<Item = &Effect> {
    item.drifts.iter().flat_map(|drift| {
        let acts = drift.edits.iter().filter_map(|edit| match edit {
            Edit::Act { effect, .. } => Some(effect),
            Edit::Content { .. } | Edit::Meta { .. } => None,
        });
        acts.chain(&drift.activate)
    })
}

fn paths(item: &Drifting) -> impl Iterator<Item = &HostPath> {
    item.drifts
        .iter()
        .flat_map(|drift| &drift.edits)
        .filter_map(|edit| match edit {
            Edit::Content { path, .. } | Edit::Meta { path, .. } => Some(path),
            Edit::Act { effect, .. } => effect.path(),
        })
}
