//! Units that are not there: whether something in the same plan could bring them.

use model::{Effect, HostPath, UnitOp};
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

fn is_missing(name: &str, seen: &Answers) -> bool {
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
