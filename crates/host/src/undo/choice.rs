//! Which part of a change an undo takes back. What rests on a part goes with it, or the undo is
//! refused with the reason: half of a step is none.

use std::collections::BTreeSet;

use model::count::{first_of, plural};
use model::{Action, ActionId, Effect, HostPath};

use super::standing;
use crate::act::runtime;
use crate::image::Node;
use crate::journal::{ActionRecord, Kept, Role};
use crate::records::is_lock;
use crate::state::ChangeRecord;

/// What is taken back of a change: all of it, unless something is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Only what changed these places, or places in them.
    pub only: Vec<HostPath>,
    /// Not what changed these.
    pub except: Vec<HostPath>,
    /// The same by name: a kernel parameter, a module, a unit.
    pub only_named: Vec<String>,
    pub except_named: Vec<String>,
    /// What others changed since is left as it is now.
    pub keep_theirs: bool,
    /// Data that was written since into places that packages of the change made goes with them.
    pub accept_data_loss: bool,
    /// Nobody asked for it: the change is taken back by itself, and what packages and their services
    /// made where they keep data goes with them.
    pub by_itself: bool,
}

impl Choice {
    /// The actions that stand, and stay so. None: all goes back.
    pub(super) fn leaves(&self, record: &ChangeRecord) -> Result<BTreeSet<ActionId>, String> {
        let by_path = !self.only.is_empty() || !self.except.is_empty();
        let by_name = !self.only_named.is_empty() || !self.except_named.is_empty();
        if !by_path && !by_name {
            return Ok(BTreeSet::new());
        }
        let id = record.header.change.id;
        let standing = standing(record);
        for path in self.only.iter().chain(&self.except) {
            if touching(record, &standing, path).is_empty() {
                return Err(format!(
                    "nothing of change {id} that is in effect is at `{path}`"
                ));
            }
        }
        for name in self.only_named.iter().chain(&self.except_named) {
            if called(record, &standing, name).is_empty() {
                return Err(format!(
                    "nothing of change {id} that is in effect is called `{name}`"
                ));
            }
        }
        let mut goes: BTreeSet<ActionId> = self
            .only
            .iter()
            .flat_map(|path| touching(record, &standing, path))
            .collect();
        let named = self.only_named.iter();
        goes.extend(named.flat_map(|name| called(record, &standing, name)));
        if self.only.is_empty() && self.only_named.is_empty() {
            goes.clone_from(&standing);
        }
        for name in &self.except_named {
            for action in called(record, &standing, name) {
                goes.remove(&action);
            }
        }
        for path in &self.except {
            for action in touching(record, &standing, path) {
                goes.remove(&action);
            }
        }
        let is_activation =
            |id: &ActionId| action(record, *id).is_some_and(|action| action.effect.is_activation());
        // Programs are told again of what goes back, whatever was named.
        let tells = |id: &ActionId, goes: &BTreeSet<ActionId>| {
            action(record, *id)
                .is_some_and(|action| action.after.iter().any(|before| goes.contains(before)))
        };
        goes.retain(|id| !is_activation(id));
        let told: Vec<ActionId> = standing
            .iter()
            .copied()
            .filter(|id| is_activation(id) && tells(id, &goes))
            .collect();
        goes.extend(told);
        let stays: BTreeSet<ActionId> = standing.difference(&goes).copied().collect();
        self.refuse_what_goes_along(record, &goes)?;
        if stays.iter().all(is_activation) {
            return Ok(BTreeSet::new());
        }
        if goes.iter().all(is_activation) {
            return Err(format!("nothing of change {id} is left to take back then"));
        }
        self.refuse_halves(record, &goes, &stays)?;
        Ok(stays)
    }

    /// Refuses where more than what was named goes back: a step, as the upgrade of some packages, goes
    /// back as one.
    fn refuse_what_goes_along(
        &self,
        record: &ChangeRecord,
        goes: &BTreeSet<ActionId>,
    ) -> Result<(), String> {
        const NAMED: usize = 4;
        if self.only.is_empty() && self.only_named.is_empty() {
            return Ok(());
        }
        let standing = standing(record);
        let named = self.only_named.iter();
        let named: BTreeSet<ActionId> = named
            .flat_map(|name| called(record, &standing, name))
            .collect();
        let along: Vec<String> = record
            .images
            .iter()
            .filter(|image| image.role == Role::Touched)
            .filter(|image| {
                let mut actions = image.actions.intersection(goes);
                actions.any(|id| !named.contains(id))
            })
            .filter(|image| !self.only.iter().any(|one| image.path.is_within(one)))
            .filter(|image| !is_lock(&image.path))
            .map(|image| format!("`{}`", image.path))
            .collect();
        match along.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "one step changed what was named together with {}, and goes back as one: {}; name \
                 these too, or leave out --only",
                plural(along.len(), "more place"),
                first_of(&along, NAMED)
            )),
        }
    }

    /// Refuses where what stays rests on what goes, or a step is cut in two.
    fn refuse_halves(
        &self,
        record: &ChangeRecord,
        goes: &BTreeSet<ActionId>,
        stays: &BTreeSet<ActionId>,
    ) -> Result<(), String> {
        let touched = || {
            record
                .images
                .iter()
                .filter(|image| image.role == Role::Touched)
        };
        let staying: BTreeSet<HostPath> = touched()
            .filter(|image| !image.actions.is_disjoint(stays))
            .map(|image| image.path.clone())
            .collect();
        for image in touched() {
            let path = &image.path;
            let goes_back = !image.actions.is_disjoint(goes);
            // systemctl removes a directory with its last link: that it is there again takes nothing from
            // what stays.
            let is_of_links = || {
                let mut actions = image.actions.iter().filter_map(|id| action(record, *id));
                matches!(image.before, Node::Directory { .. })
                    && actions.all(|one| matches!(one.effect, Effect::Unit { .. }))
            };
            if goes_back && !image.actions.is_disjoint(stays) && !is_of_links() {
                return Err(format!(
                    "`{path}` was changed by more than one step, of which one stays: name what the \
                     others changed too"
                ));
            }
            // A directory that the change made can't go while a place in it stays.
            if goes_back
                && image.before == Node::Absent
                && let Some(inside) = path.below(&staying).next()
            {
                return Err(format!(
                    "`{inside}` would stay, and is in `{path}`, which goes"
                ));
            }
        }
        for id in stays {
            let Some(planned) = action(record, *id) else {
                continue;
            };
            // A value that runs rests on no file that sets it at boot.
            let is_value = matches!(planned.effect, Effect::Sysctl { .. });
            if planned.effect.is_activation() || is_value {
                continue;
            }
            let rests = planned.after.iter().find(|before| goes.contains(before));
            if let Some(before) = rests {
                let name = |id: ActionId| {
                    let of: BTreeSet<ActionId> = [id].into();
                    names(record, &of).join(", ")
                };
                return Err(format!(
                    "{} rests on {}, and would stay while that goes",
                    name(*id),
                    name(*before)
                ));
            }
        }
        Ok(())
    }
}

fn action(record: &ChangeRecord, id: ActionId) -> Option<&Action> {
    record.plan.action(id)
}

/// The actions that stand and changed the place, or one in it.
fn touching(
    record: &ChangeRecord,
    standing: &BTreeSet<ActionId>,
    path: &HostPath,
) -> BTreeSet<ActionId> {
    let images = record.images.iter();
    images
        .filter(|image| image.role == Role::Touched && image.path.is_within(path))
        .flat_map(|image| image.actions.intersection(standing).copied())
        .chain(standing.iter().copied().filter(|id| {
            let kept = ActionRecord::of(&record.actions, *id).map(|action| &action.kept);
            matches!(kept, Some(Kept::Mount { path: at, .. }) if at.is_within(path))
        }))
        .collect()
}

/// The actions that stand and are about this parameter, module or unit: also those that enable it.
fn called(record: &ChangeRecord, standing: &BTreeSet<ActionId>, name: &str) -> BTreeSet<ActionId> {
    let is_it = |kept: &Kept| match kept {
        Kept::Sysctl { key, .. } => runtime::is_same_key(key, name),
        Kept::Module { name: module, .. } => module == name,
        _ => false,
    };
    let is_unit = |id: ActionId| {
        action(record, id).is_some_and(|planned| match &planned.effect {
            Effect::Unit { name: unit, .. } if !planned.effect.is_activation() => {
                unit == name || *unit == format!("{name}.service")
            }
            _ => false,
        })
    };
    let actions = record.actions.iter();
    actions
        .filter(|action| standing.contains(&action.id))
        .filter(|action| is_it(&action.kept) || is_unit(action.id))
        .map(|action| action.id)
        .collect()
}

/// What these actions changed: their places, or what they are called where they have none.
pub(super) fn names(record: &ChangeRecord, of: &BTreeSet<ActionId>) -> Vec<String> {
    let is_activation =
        |id: &ActionId| action(record, *id).is_some_and(|action| action.effect.is_activation());
    let mut placeless: BTreeSet<ActionId> =
        of.iter().copied().filter(|id| !is_activation(id)).collect();
    let named = placeless.clone();
    let mut names = BTreeSet::new();
    let images = record.images.iter();
    for image in images.filter(|image| image.role == Role::Touched) {
        let mut mine = image.actions.intersection(&named).peekable();
        if mine.peek().is_some() {
            names.insert(image.path.to_string());
            for id in mine {
                placeless.remove(id);
            }
        }
    }
    let name = |id: &ActionId| match action(record, *id).map(|planned| &planned.effect) {
        Some(Effect::Sysctl { key, .. }) => format!("kernel parameter {key}"),
        Some(Effect::Unit { name, .. }) => name.clone(),
        _ => id.to_string(),
    };
    names.extend(placeless.iter().map(name));
    names.into_iter().collect()
}
