//! `baselines/proofs.json`: which test of which rule was proven on which release, and for
//! which declaration of the rule. A proof of another declaration proves nothing: it is stale.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use lab::Release;
use serde::{Deserialize, Serialize};

use crate::process::root;
use crate::rules::{Rule, Test};
use crate::{Failure, Result};

/// The version of the file's form, and of what `rule test --format json` writes.
const FORMAT: u32 = 1;

/// The checked-in file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proofs {
    format: u32,
    /// Rules that no lab host can show, with the reason. Written by people.
    pub by_hand: BTreeMap<String, String>,
    /// In the order of rule, test and release, each once.
    proofs: Vec<Proof>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    rule: String,
    /// Of the declaration that was proven.
    digest: String,
    test: String,
    release: String,
    on: String,
    pub verdict: Verdict,
    /// The step that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Proven,
    /// The bad case is seen, and the rule has no fix by design.
    AuditOnly,
    Failed,
}

/// What `steadfast rule test --format json` writes, as far as it is kept.
#[derive(Deserialize)]
struct Run {
    format: u32,
    proofs: Vec<Proof>,
}

/// How it stands with one test on one release.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    Proven,
    AuditOnly,
    ByHand,
    Failed,
    Stale,
    Missing,
}

impl Standing {
    pub const fn holds(self) -> bool {
        matches!(self, Self::Proven | Self::AuditOnly | Self::ByHand)
    }

    pub const fn word(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::AuditOnly => "seen",
            Self::ByHand => "by hand",
            Self::Failed => "**failed**",
            Self::Stale => "**stale**",
            Self::Missing => "**missing**",
        }
    }
}

fn path() -> PathBuf {
    root().join("baselines/proofs.json")
}

impl Proofs {
    /// The checked-in ones; none where there is no file yet.
    pub fn read() -> Result<Self> {
        let path = path();
        if !path.exists() {
            return Ok(Self {
                format: FORMAT,
                by_hand: BTreeMap::new(),
                proofs: Vec::new(),
            });
        }
        let text = fs::read_to_string(&path).map_err(Failure::of("read the proofs"))?;
        let proofs: Self = serde_json::from_str(&text).map_err(Failure::of("read the proofs"))?;
        if proofs.format == FORMAT {
            Ok(proofs)
        } else {
            Err(Failure(format!("proofs of format {}", proofs.format)))
        }
    }

    pub fn write(&self) -> Result {
        let mut text = serde_json::to_string_pretty(self).map_err(Failure::of("write proofs"))?;
        text.push('\n');
        fs::write(path(), text).map_err(Failure::of("write the proofs"))
    }

    /// Takes over what a run of `rule test --format json` found, and forgets rules and tests
    /// that are no more.
    pub fn merge(&mut self, run: &str, rules: &[Rule]) -> Result {
        let run: Run = serde_json::from_str(run).map_err(Failure::of("read the run's proofs"))?;
        if run.format != FORMAT {
            return Err(Failure(format!("a run of format {}", run.format)));
        }
        let key = |proof: &Proof| {
            (
                proof.rule.clone(),
                proof.test.clone(),
                proof.release.clone(),
            )
        };
        let mut all: BTreeMap<_, _> = self
            .proofs
            .drain(..)
            .chain(run.proofs)
            .map(|proof| (key(&proof), proof))
            .collect();
        all.retain(|(id, name, _), _| {
            rules
                .iter()
                .any(|rule| rule.id == *id && rule.tests.iter().any(|test| test.name == *name))
        });
        self.proofs = all.into_values().collect();
        Ok(())
    }

    fn find(&self, rule: &Rule, test: &Test, release: Release) -> Option<&Proof> {
        self.proofs.iter().find(|proof| {
            proof.rule == rule.id && proof.test == test.name && proof.release == release.codename()
        })
    }

    pub fn standing(&self, rule: &Rule, test: &Test, release: Release) -> Standing {
        match self.find(rule, test, release) {
            Some(proof) if proof.digest != rule.digest => Standing::Stale,
            Some(proof) => match proof.verdict {
                Verdict::Proven => Standing::Proven,
                Verdict::AuditOnly => Standing::AuditOnly,
                Verdict::Failed => Standing::Failed,
            },
            None if self.by_hand.contains_key(&rule.id) => Standing::ByHand,
            None => Standing::Missing,
        }
    }

    /// What does not hold, a line each.
    pub fn lacking(&self, rules: &[Rule]) -> Vec<String> {
        let mut lacking = Vec::new();
        for rule in rules {
            if rule.tests.is_empty() && !self.by_hand.contains_key(&rule.id) {
                lacking.push(format!("{}: has no test", rule.id));
            }
            for test in &rule.tests {
                for release in rule.claims(test) {
                    let standing = self.standing(rule, test, release);
                    if !standing.holds() {
                        let word = standing.word().trim_matches('*');
                        lacking.push(format!(
                            "{}: {} on {}: {word}",
                            rule.id,
                            test.name,
                            release.codename()
                        ));
                    }
                }
            }
        }
        for id in self.by_hand.keys() {
            if rules.iter().all(|rule| rule.id != *id) {
                lacking.push(format!(
                    "{id}: is listed as by hand, and there is no such rule"
                ));
            }
        }
        lacking
    }
}
