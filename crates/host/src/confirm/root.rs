//! What a change does to the ways to root, and who had one before it: by that is judged what a sign-in
//! shows.

use std::collections::BTreeSet;

use model::{AccountOp, Effect, Plan, Probe};
use resource::Answers;
use resource::kind::sudoers;
use resource::kind::ways_to_root::{WaysToRoot, is_root_alone, rests_on_password};

use crate::act::place::Root;
use crate::journal::{Imaged, Role};
use crate::{Host, LocalHost};

/// Each file that one includes is a round more.
const ROUNDS: usize = 16;

/// The ways to root, and the accounts, as they are now.
#[derive(Default)]
pub(crate) struct Ways {
    seen: Answers,
    ways: WaysToRoot,
}

impl Ways {
    pub(crate) fn now(root: &Root) -> Self {
        let host = match root.is_live() {
            true => LocalHost::running(),
            false => LocalHost::offline(root.path()),
        };
        let mut now = Self::default();
        let Ok(host) = host else {
            return now;
        };
        let name = Probe::Sysctl {
            key: sudoers::HOSTNAME.to_owned(),
        };
        for probe in [Probe::Accounts, name] {
            let observed = host.probe(&probe);
            now.seen.insert(probe, observed);
        }
        for _ in 0..ROUNDS {
            let (ways, probes) = WaysToRoot::read(&now.seen);
            now.ways = ways;
            let open: BTreeSet<Probe> = probes
                .into_iter()
                .filter(|probe| !now.seen.contains(probe))
                .collect();
            if open.is_empty() {
                break;
            }
            for probe in open {
                let observed = host.probe(&probe);
                now.seen.insert(probe, observed);
            }
        }
        now
    }

    /// Do these places decide who becomes root?
    pub(crate) fn are_touched(&self, images: &[Imaged]) -> bool {
        let mut touched = images.iter().filter(|image| image.role == Role::Touched);
        touched.any(|image| self.ways.of(&image.path).is_some())
    }

    /// Does the plan change what an administrator's way to root asks for?
    pub(crate) fn are_changed_by(&self, plan: &Plan) -> bool {
        /// Accounts and passwords as a file, by whatever the policy says of it.
        const ACCOUNTS: [&str; 4] = ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"];
        plan.actions.iter().any(|action| match &action.effect {
            Effect::Account(AccountOp::LockPassword { name }) => {
                rests_on_password(name, &self.seen)
            }
            Effect::PutFile { path, .. } | Effect::Remove { path } | Effect::Link { path, .. } => {
                let mut accounts = ACCOUNTS.iter();
                accounts.any(|file| path.as_bytes() == file.as_bytes())
            }
            _ => false,
        })
    }

    pub(crate) fn is_root_alone(&self) -> bool {
        is_root_alone(&self.seen)
    }
}
