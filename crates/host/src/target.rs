//! What is changed: the running host, or, for tests, a tree in which only files are changed.

use model::{Observed, Premise, Probe};

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

    /// The premises that hold no more.
    pub(crate) fn changed<'a>(
        &self,
        premises: impl IntoIterator<Item = &'a Premise>,
    ) -> Result<Vec<Changed>, ActError> {
        let host = self.again()?;
        Ok(premises
            .into_iter()
            .filter_map(|premise| {
                let now = host.probe(&premise.probe);
                (now.digest != premise.digest).then(|| Changed {
                    probe: premise.probe.clone(),
                    before: premise.seen.clone(),
                    now,
                })
            })
            .collect())
    }
}
