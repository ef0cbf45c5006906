//! Whether a plan has nothing to do with a change that waits to be confirmed, so that either
//! can be taken back without the other. Decides by what both touch; never looks at the host.

use std::collections::BTreeSet;

use model::{Effect, HostPath, Plan, Risk};

/// Do the two share no place, and could `plan` cut nobody off? What is not known to be apart
/// is not: packages, accounts, mounts and programs touch more than they name.
pub(crate) fn is_apart(plan: &Plan, waiting: &Plan) -> bool {
    if plan.risk() >= Risk::Connectivity {
        return false;
    }
    let (Some(ours), Some(theirs)) = (Touched::by(plan), Touched::by(waiting)) else {
        return false;
    };
    ours.names.is_disjoint(&theirs.names)
        && ours.paths.iter().all(|path| !theirs.is_near(path))
        && theirs.paths.iter().all(|path| !ours.is_near(path))
}

#[derive(Default)]
struct Touched<'a> {
    paths: BTreeSet<HostPath>,
    /// The directories that hold them.
    around: BTreeSet<HostPath>,
    /// Units and values of the kernel.
    names: BTreeSet<&'a str>,
}

impl<'a> Touched<'a> {
    fn by(plan: &'a Plan) -> Option<Self> {
        let mut touched = Self::default();
        for action in &plan.actions {
            match (&action.effect, action.effect.path()) {
                (_, Some(path)) => {
                    touched.paths.insert(path.clone());
                    touched.around.extend(path.parent());
                }
                (Effect::Sysctl { key, .. }, _) => drop(touched.names.insert(key)),
                (Effect::Unit { name, .. }, _) => drop(touched.names.insert(name)),
                (Effect::LoadAuditRules, _) => drop(touched.names.insert("audit rules")),
                _ => return None,
            }
        }
        Some(touched)
    }

    /// Is `path` one of these, below one, or beside one? A directory's time is put back, too.
    fn is_near(&self, path: &HostPath) -> bool {
        path.ancestors().any(|above| self.paths.contains(&above))
            || path
                .parent()
                .is_some_and(|parent| self.around.contains(&parent))
    }
}
