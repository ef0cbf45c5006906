//! The before-images of a plan: what is at every path that it touches, and in the
//! directories around, before anything is done.

use std::collections::BTreeMap;

use model::{ActionId, Effect, HostPath, Plan};

use super::{Origin, changeable};
use crate::act::{self, ActError, Context, LastLink};
use crate::image::Node;
use crate::journal::{ActionRecord, ActionState, Imaged, Kept, Role};
use crate::mounted::Mounted;
use crate::state::State;

pub(crate) fn image_key(image: &Imaged) -> String {
    format!("{:?}", image.path)
}

/// The before-images, the records of the actions, and the actions that can't be carried out
/// or not be put back, with the cause.
type Taken = (Vec<Imaged>, Vec<ActionRecord>, Vec<(ActionId, String)>);

/// The before-images of all that the plan touches, and what else its inverses need. What can't
/// be imaged or put back costs its own action.
pub(super) fn images(
    context: &Context<'_>,
    state: &State,
    plan: &Plan,
    origin: Origin,
) -> Result<Taken, ActError> {
    let mut refused = Vec::new();
    let mut images: BTreeMap<HostPath, Imaged> = BTreeMap::new();
    let mut records = Vec::with_capacity(plan.actions.len());
    for action in &plan.actions {
        // The whole change needs room and a host that can do all of it, and one way back of many paths
        // needs all.
        let costs_all = |error: &ActError| {
            error.is_full()
                || matches!(error, ActError::Unsupported(_))
                || changeable::is_of_packages(&action.effect)
        };
        let looked = act::keep(context, action)
            .and_then(|kept| Ok((kept, act::touched(context, &action.effect)?)));
        let (kept, touched) = match looked {
            Ok(looked) => looked,
            Err(error) if costs_all(&error) => return Err(error),
            Err(error) => {
                refused.push((action.id, error.to_string()));
                (Kept::Nothing, Vec::new())
            }
        };
        records.push(ActionRecord {
            id: action.id,
            state: ActionState::Pending,
            kept,
            again: None,
            stood: None,
        });
        for (path, last) in touched {
            let captured = changeable::check(
                context.root,
                state.directory(),
                &action.effect,
                &path,
                last,
                origin,
            )
            .and_then(|()| capture(context, &action.effect, &path, last));
            let (path, before) = match captured {
                Ok(captured) => captured,
                Err(error) if costs_all(&error) => return Err(error),
                Err(error) => {
                    refused.push((action.id, error.to_string()));
                    continue;
                }
            };
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
                .or_insert_with(|| Imaged::new(path, Role::Touched, before.clone()));
            if image.before.is_unread() {
                // Another action changes its content.
                image.before = before;
            }
            if image.role == Role::Parent {
                // Now it is changed itself; those in it no longer decide when it goes back.
                image.role = Role::Touched;
                image.actions.clear();
            }
            image.sensitive |= sensitive;
            image.actions.insert(action.id);
        }
    }
    if let Some(mounted) = Mounted::now(context.root)? {
        for image in images.values_mut() {
            image.mount = mounted.of(&image.path);
        }
    }
    Ok((images.into_values().collect(), records, refused))
}

/// A change of metadata needs no content, so neither its size nor who writes it meanwhile.
fn capture(
    context: &Context<'_>,
    effect: &Effect,
    path: &HostPath,
    last: LastLink,
) -> Result<(HostPath, Node), ActError> {
    match effect {
        Effect::SetMeta { .. } => Ok((path.clone(), Node::unread(context.root, path)?)),
        _ => Node::capture(context.root, path, last, Some(context.images)),
    }
}
