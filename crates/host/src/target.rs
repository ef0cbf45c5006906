//! What is changed: the running host, or, for tests, a tree in which only files are changed.

use model::{Answer, Observed, Premise, Probe, Value};

use ::plan::own;

use crate::act::{ActError, Root};
use crate::{Host, LocalHost};

/// The two views of one host: the one that is asked and the one that is changed.
pub struct Target {
    pub(crate) root: Root,
    host: LocalHost,
}

/// What a plan rests on is not so any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub probe: Probe,
    /// As the plan saw it; none where it may hold a secret.
    pub before: Option<Observed>,
    pub now: Observed,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("root", &self.root).finish()
    }
}

impl Target {
    pub fn of(host: &LocalHost) -> Result<Self, ActError> {
        let root = match host.is_live() {
            true => Root::live()?,
            false => Root::tree(host.root())?,
        };
        Ok(Self {
            root,
            host: host.clone(),
        })
    }

    /// What the host says now, whatever it said before.
    pub(crate) fn again(&self) -> Result<LocalHost, ActError> {
        match self.root.is_live() {
            true => LocalHost::running(),
            false => LocalHost::offline(self.root.path()),
        }
        .map_err(|error| ActError::program("look at the host", error))
    }

    pub(crate) fn identity(&self) -> model::plan::HostIdentity {
        self.host.identity()
    }

    /// The premises that hold no more. `own_prefix` is how the names of this change's own
    /// temporary files begin, which are no part of what a directory holds.
    pub(crate) fn changed<'a>(
        &self,
        premises: impl IntoIterator<Item = &'a Premise>,
        own_prefix: Option<&str>,
    ) -> Result<Vec<Changed>, ActError> {
        let host = self.again()?;
        Ok(premises
            .into_iter()
            .filter_map(|premise| {
                let now = without_own(host.probe(&premise.probe), own_prefix);
                (!own::still_holds(premise, &now)).then(|| Changed {
                    probe: premise.probe.clone(),
                    before: premise.seen.clone(),
                    now,
                })
            })
            .collect())
    }
}

/// A listing without this change's own temporary files.
fn without_own(observed: Observed, own_prefix: Option<&str>) -> Observed {
    let (Some(prefix), Answer::Known(Value::Dir(entries))) = (own_prefix, &observed.answer) else {
        return observed;
    };
    let is_own = |name: &[u8]| name.starts_with(prefix.as_bytes());
    if !entries.iter().any(|entry| is_own(entry.name.as_bytes())) {
        return observed;
    }
    let others = entries
        .iter()
        .filter(|entry| !is_own(entry.name.as_bytes()))
        .cloned()
        .collect();
    Observed::new(Answer::Known(Value::Dir(others)))
}
