//! `password_accepted`: that a stack of PAM lets a right password in, and nobody without a proof.

use model::plan::Risk;
use model::value::Reason;
use model::{HostPath, Probe, ResourceKey};
use schemars::JsonSchema;
use serde::Deserialize;

use super::pam::{Pam, PamModule, let_in};
use super::{old_fix, pam_stack};
use crate::{Answers, Drift, Judgement, Kind, Phase};

/// A right password is accepted: no success in the stack of a service (pam.d(5)) jumps onto a
/// module that always fails, nor will once pam-auth-update(8) has written its jumps anew, as it does
/// with any package of PAM modules. An older version of Steadfast left a stack in which it does, and
/// then nobody signs in, with sudo and su neither.
///
/// And a wrong one is not: no module that asks for no proof (`pam_permit`, `pam_succeed_if`,
/// `pam_localuser`, `pam_wheel` with `trust`) lets somebody in by itself. With `common-auth`, all
/// services are looked at, with their own lines. A key, a finger, a card and a code are proofs.
/// Accounts without a password are not looked at here.
///
/// The fix mends the jumps where pam_faillock(8) stands among them.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordAccepted {
    /// The file's name in `/etc/pam.d`: `common-auth`.
    pub service: String,
}

impl Kind for PasswordAccepted {
    const NAME: &'static str = "password_accepted";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.service.clone(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes = FAILLOCK.probes(seen);
        for service in self.services(seen).0 {
            probes.extend(pam_stack::read(seen, &service).1);
        }
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let (stack, _) = pam_stack::read(seen, &self.service);
        let mut drifts: Vec<Drift> = stack
            .misled("auth")
            .iter()
            .map(|misled| FAILLOCK.refused_success(misled, seen))
            .collect();
        let mut hidden = stack.hidden.clone();
        if drifts.is_empty() && self.service == old_fix::SERVICE {
            match old_fix::refused_later(seen) {
                Ok(later) => drifts.extend(later),
                Err(reason) => {
                    hidden.get_or_insert(reason);
                }
            }
        }
        let (services, mut untold) = self.services(seen);
        for service in services {
            let (stack, _) = pam_stack::read(seen, &service);
            match stack.hidden {
                Some(Reason::Unavailable { .. }) => {}
                Some(reason) => {
                    untold.get_or_insert(reason);
                }
                None => {
                    let calls: Vec<_> = stack.of_facility("auth").collect();
                    drifts.extend(let_in(&service, &calls));
                }
            }
        }
        match (drifts.is_empty(), hidden, untold) {
            (false, _, _) => Judgement::Drift(drifts),
            (true, Some(Reason::Unavailable { what }), _) => Judgement::NotApplicable(what),
            (true, Some(reason), _) | (true, None, Some(reason)) => reason.into(),
            (true, None, None) => {
                Judgement::compliant("a right password is accepted, and no other")
            }
        }
    }

    fn risk(&self) -> Risk {
        Risk::Access
    }

    fn check(&self) -> Result<(), String> {
        match HostPath::literal(pam_stack::DIRECTORY).join(&self.service) {
            Ok(_) => Ok(()),
            Err(why) => Err(format!("`service` is the name of a file: {why}")),
        }
    }
}

impl PasswordAccepted {
    /// The service, and for Debian's own stack all that there are; and why some may be missing.
    fn services(&self, seen: &Answers) -> (Vec<String>, Option<Reason>) {
        let mut services = vec![self.service.clone()];
        if self.service != old_fix::SERVICE {
            return (services, None);
        }
        let (others, hidden, _) = pam_stack::services(seen);
        services.extend(others);
        (services, hidden)
    }
}

/// Whose lines were written into the stack.
const FAILLOCK: Pam = Pam {
    module: PamModule::Faillock,
    option: None,
    value: None,
};
