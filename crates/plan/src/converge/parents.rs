//! Missing directories above what a plan makes: it makes them too.

use std::collections::BTreeSet;

use model::{Effect, HostPath, Mode, Risk};
use resource::{Answers, Drift, Edit, Phase};

use super::Drifting;

/// As mkdir(1) makes them for root: whoever wants another mode declares the directory.
const MODE: Mode = Mode::new(0o755);

/// Before each item the directories that it needs and that no item declares.
pub(super) fn add_missing(drifted: &mut Vec<Drifting>, seen: &Answers) {
    let mut made: BTreeSet<HostPath> = drifted
        .iter()
        .flat_map(edits)
        .filter_map(|edit| match edit {
            Edit::Act {
                effect: Effect::MakeDir { path, .. },
                ..
            } => Some(path.clone()),
            _ => None,
        })
        .collect();
    // An account's home comes with it.
    let homes: BTreeSet<HostPath> = drifted.iter().flat_map(homes).collect();
    let is_in_home = |path: &HostPath| path.ancestors().any(|above| homes.contains(&above));
    let mut all = Vec::with_capacity(drifted.len());
    for item in std::mem::take(drifted) {
        let missing: BTreeSet<HostPath> = edits(&item)
            .filter_map(makes)
            .flat_map(|path| resource::parents::missing(path, seen))
            .filter(|path| !made.contains(path) && !is_in_home(path))
            .collect();
        all.extend(missing.iter().map(|path| directory(&item, path)));
        made.extend(missing);
        all.push(item);
    }
    *drifted = all;
}

fn directory(item: &Drifting, path: &HostPath) -> Drifting {
    let edit = Edit::act(Effect::MakeDir {
        path: path.clone(),
        mode: MODE,
        owner: None,
        group: None,
        as_user: None,
    });
    Drifting {
        serves: item.serves.clone(),
        risk: Risk::None,
        risk_why: None,
        phase: Phase::Directory,
        secret: false,
        rests_on: item.rests_on.clone(),
        drifts: vec![Drift {
            observed: "absent".to_owned(),
            wanted: "a directory".to_owned(),
            edits: vec![edit],
            ..Drift::default()
        }],
    }
}

fn edits(item: &Drifting) -> impl Iterator<Item = &Edit> {
    item.drifts.iter().flat_map(|drift| &drift.edits)
}

/// The path that is made where there was none, with the rights of whoever applies the plan.
fn makes(edit: &Edit) -> Option<&HostPath> {
    match edit {
        Edit::Content {
            path,
            new_file: Some(_),
            as_user: None,
            ..
        } => Some(path),
        Edit::Act {
            effect:
                Effect::Link { path, .. }
                | Effect::MakeDir {
                    path,
                    as_user: None,
                    ..
                },
            ..
        } => Some(path),
        _ => None,
    }
}

/// The home that an account is made with.
fn homes(item: &Drifting) -> impl Iterator<Item = HostPath> {
    edits(item).filter_map(|edit| match edit {
        Edit::Act {
            effect:
                Effect::Account(model::AccountOp::CreateUser {
                    home,
                    create_home: true,
                    ..
                }),
            ..
        } => Some(home.clone()),
        _ => None,
    })
}
