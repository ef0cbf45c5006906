//! Proves rules on real hosts: breaks a throwaway host the way a rule's test says, and
//! shows that the rule sees it, fixes it, leaves a fixed host alone, and takes the fix
//! back byte for byte. It drives this very program inside the host, as a user would.

mod guest;
mod steps;

use std::path::PathBuf;

use content::{Given, RuleTest, TestHost};
use lab::Release;
use model::{Digest, RuleId};
use serde::Serialize;

pub use guest::{Guest, GuestError};

/// One test of one rule on one release.
#[derive(Clone, Debug)]
pub struct Case {
    pub rule: RuleId,
    /// Of the rule's declaration: [`content::Rule::digest`].
    pub digest: Digest,
    pub baseline: String,
    /// Does the rule install or remove packages?
    pub packages: bool,
    /// The profile that switches the rule on.
    pub profile: Option<String>,
    pub test: RuleTest,
    pub release: Release,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    pub rule: RuleId,
    /// Of the declaration that was proven: once that is another one, this proves nothing.
    pub digest: Digest,
    pub test: String,
    pub release: String,
    /// `container` or `machine`.
    pub on: &'static str,
    #[serde(flatten)]
    pub verdict: Verdict,
    pub took_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The bad case fails, the fix makes it pass, a second apply changes nothing, and undo
    /// brings the bad case back.
    Proven,
    /// The bad case fails, and the rule offers no fix by design.
    AuditOnly,
    /// A step did not go as it must.
    Failed { step: &'static str, why: String },
}

/// What is copied into a host before its cases are tried.
#[derive(Clone, Debug)]
pub struct Equipment {
    /// The program to prove with: this one.
    pub program: PathBuf,
    /// The user's policy, where the rules come from one.
    pub policy: Option<PathBuf>,
}

/// Tries one case on a host that nothing else is done to meanwhile.
pub fn prove(guest: &mut dyn Guest, case: &Case, equipment: &Equipment) -> Proof {
    let started = std::time::Instant::now();
    let verdict = match steps::run(guest, case, equipment) {
        Ok(verdict) => verdict,
        Err(failed) => Verdict::Failed {
            step: failed.step,
            why: failed.why,
        },
    };
    Proof {
        rule: case.rule.clone(),
        digest: case.digest,
        test: case.test.name.clone(),
        release: case.release.codename().to_owned(),
        on: match case.test.on {
            TestHost::Container => "container",
            TestHost::Machine => "machine",
        },
        verdict,
        took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// Sets the bad case up. Only what can be done without this program's own help, so that
/// a fault in it can't make its own proof pass.
pub fn arrange(guest: &dyn Guest, given: &[Given]) -> Result<(), String> {
    for item in given {
        match item {
            Given::Run(argv) => {
                let output = guest.run(argv).map_err(|error| error.to_string())?;
                if !output.success() {
                    return Err(format!(
                        "`{}` ended with {}: {}",
                        argv.join(" "),
                        output.code().unwrap_or(-1),
                        output.errors().trim()
                    ));
                }
            }
            Given::Want(resource) => guest::put(guest, resource)?,
        }
    }
    Ok(())
}
