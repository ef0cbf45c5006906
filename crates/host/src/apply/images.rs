//! The before-images of a plan: what is at every path that it touches, and in the
//! directories around, before anything is done.

use std::collections::BTreeMap;

use model::{HostPath, Plan};

use crate::act::{self, ActError, Context, LastLink};
use crate::image::Node;
use crate::journal::{ActionRecord, ActionState, Imaged, Role};

pub(crate) fn image_key(image: &Imaged) -> String {
    format!("{:?}", image.path)
}

/// The before-images of all that the plan touches, and what else its inverses need.
pub(super) fn images(
    context: &Context<'_>,
    plan: &Plan,
) -> Result<(Vec<Imaged>, Vec<ActionRecord>), ActError> {
    let mut images: BTreeMap<HostPath, Imaged> = BTreeMap::new();
    let mut records = Vec::with_capacity(plan.actions.len());
    for action in &plan.actions {
        let kept = act::keep(context, action)?;
        records.push(ActionRecord {
            id: action.id,
            state: ActionState::Pending,
            kept,
            again: None,
        });
        for (path, last) in act::touched(context, &action.effect)? {
            let (path, before) = Node::capture(context.root, &path, last, Some(context.images))?;
            if let Some(parent) = path.parent().filter(|parent| parent.parent().is_some()) {
                if !images.contains_key(&parent) {
                    let (parent, before) =
                        Node::capture(context.root, &parent, LastLink::Itself, None)?;
                    images.insert(parent.clone(), Imaged::new(parent, Role::Parent, before));
                }
                if let Some(image) = images.get_mut(&parent)
                    && image.role == Role::Parent
                {
                    image.actions.insert(action.id);
                }
            }
            let sensitive = action.sensitive || model::plan::may_hold_secrets(&path);
            let image = images
                .entry(path.clone())
                .or_insert_with(|| Imaged::new(path, Role::Touched, before));
            if image.role == Role::Parent {
                // Now it is changed itself; those in it no longer decide when it goes back.
                image.role = Role::Touched;
                image.actions.clear();
            }
            image.sensitive |= sensitive;
            image.actions.insert(action.id);
        }
    }
    Ok((images.into_values().collect(), records))
}
