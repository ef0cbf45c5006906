//! Whether a plan, or an undo, has nothing to do with a change that waits to be confirmed, so that
//! either can be taken back without the other. Decides by what both touch; never looks at the host.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::{Change, ChangeState, Effect, HostPath, Plan, Risk};

use crate::act::runtime;
use crate::journal::{Imaged, Role};
use crate::state::{ChangeRecord, State, StateError};

/// A change that has to end before another begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unended {
    pub change: Change,
    /// Until when it can be confirmed, where it waits for that.
    pub deadline: Option<Timestamp>,
}

impl std::fmt::Display for Unended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = self.change.id;
        match self.change.state {
            ChangeState::AwaitingConfirmation => {
                write!(f, "change {id} waits to be confirmed, and comes first")
            }
            ChangeState::AwaitingUndoConfirmation => {
                write!(
                    f,
                    "the undo of change {id} waits to be confirmed, and comes first"
                )
            }
            state => write!(f, "change {id} is {}, and comes first", state.words()),
        }
    }
}

/// What a new change, or an undo, does: the places of the undo are known by its before-images too.
pub(crate) struct Ours<'a> {
    pub plan: &'a Plan,
    pub images: &'a [Imaged],
    pub risk: Risk,
}

/// The first change that is not over, and that this can't begin beside.
pub(crate) fn in_the_way(
    state: &State,
    ours: &Ours<'_>,
) -> Result<Option<Box<Unended>>, StateError> {
    for pending in state.pending()? {
        let change = pending.change;
        if !change.state.is_awaiting() || !is_apart(ours, &state.change(change.id)?) {
            let deadline = pending.deadline;
            return Ok(Some(Box::new(Unended { change, deadline })));
        }
    }
    Ok(None)
}

/// The first change that is not over, whatever it touches.
pub(crate) fn unended(state: &State) -> Result<Option<Box<Unended>>, StateError> {
    let first = state.pending()?.into_iter().next();
    Ok(first.map(|pending| {
        Box::new(Unended {
            change: pending.change,
            deadline: pending.deadline,
        })
    }))
}

/// Do the two share no place, and could this cut nobody off? What is not known to be apart
/// is not: packages, accounts, mounts and programs touch more than they name.
fn is_apart(ours: &Ours<'_>, waiting: &ChangeRecord) -> bool {
    if ours.risk >= Risk::Connectivity {
        return false;
    }
    let ours = Touched::by(ours.plan, ours.images);
    let (Some(ours), Some(theirs)) = (ours, Touched::by(&waiting.plan, &waiting.images)) else {
        return false;
    };
    ours.names.is_disjoint(&theirs.names)
        && ours.paths.iter().all(|path| !theirs.is_near(path))
        && theirs.paths.iter().all(|path| !ours.is_near(path))
}

#[derive(Default)]
struct Touched {
    paths: BTreeSet<HostPath>,
    /// The directories that hold them.
    around: BTreeSet<HostPath>,
    /// Units and values of the kernel.
    names: BTreeSet<String>,
}

impl Touched {
    fn by(plan: &Plan, images: &[Imaged]) -> Option<Self> {
        let mut touched = Self::default();
        for image in images.iter().filter(|image| image.role == Role::Touched) {
            touched.add(&image.path);
        }
        for action in &plan.actions {
            let name = match (&action.effect, action.effect.path()) {
                (_, Some(path)) => {
                    touched.add(path);
                    continue;
                }
                (Effect::Sysctl { key, .. }, _) => runtime::plain_key(key),
                (Effect::Unit { name, .. }, _) => name.clone(),
                (Effect::LoadAuditRules, _) => "audit rules".to_owned(),
                _ => return None,
            };
            touched.names.insert(name);
        }
        Some(touched)
    }

    fn add(&mut self, path: &HostPath) {
        self.paths.insert(path.clone());
        self.around.extend(path.parent());
    }

    /// Is `path` one of these, below one, or beside one? A directory's time is put back, too.
    fn is_near(&self, path: &HostPath) -> bool {
        path.ancestors().any(|above| self.paths.contains(&above))
            || path
                .parent()
                .is_some_and(|parent| self.around.contains(&parent))
    }
}
