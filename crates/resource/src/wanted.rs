//! What is wanted on one host: the outcome of compiling a policy for its facts.
//! Nothing in it is a template any more.

use model::value::Reason;
use model::{BaselineName, RoleName, RuleMeta, Severity, SourceLine, Waiver};

use crate::{Answers, Drift, Judgement, Resource};

/// Everything wanted on one host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// The baselines that the rules come from.
    pub baselines: Vec<WantedBaseline>,
    pub rules: Vec<WantedRule>,
    pub roles: Vec<WantedRole>,
    pub waivers: Vec<Waiver>,
}

/// A baseline that was chosen for this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedBaseline {
    pub name: BaselineName,
    pub title: Option<String>,
    /// The number of its rules that were chosen.
    pub rules: usize,
    /// Is every one of its rules that applies proven on this release?
    pub proven: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WantedRule {
    pub meta: RuleMeta,
    pub applies: Applies,
    pub want: Vec<WantedResource>,
    /// Where the rule is declared, in its policy.
    pub declared_at: SourceLine,
}

/// Does a rule apply to this host?
#[derive(Clone, Debug, PartialEq)]
pub enum Applies {
    Yes,
    /// The reason a person reads: `nginx is not installed`.
    No(String),
    /// Switched off by tailoring, with its reason.
    SwitchedOff(String),
    /// A fact that decides it is unknown.
    Unknown(Reason),
    /// The rule is not proven on this release: audited, labelled so, and not fixed.
    NotProven(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct WantedRole {
    pub name: RoleName,
    /// How bad it is when one of its wants is not met, where the want does not say.
    pub severity: Severity,
    pub want: Vec<WantedResource>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WantedResource {
    pub resource: Resource,
    /// A want of a role may weigh otherwise than its role; a rule's weigh as the rule does.
    pub severity: Option<Severity>,
    /// The value of a secret went into it: nothing of what it says is shown.
    pub secret: bool,
    /// Where it is declared, in its policy.
    pub declared_at: SourceLine,
}

/// What stands for a text that a secret went into.
const NOT_SHOWN: &str = "(not shown: a secret is part of it)";

impl WantedResource {
    /// Is nothing of its content shown?
    pub fn is_secret(&self) -> bool {
        self.secret || self.resource.is_secret()
    }

    /// The judgement, without words that a secret went into.
    pub fn judge(&self, seen: &Answers) -> Judgement {
        let judgement = self.resource.judge(seen);
        // These never say a content.
        let says_nothing = matches!(self.resource, Resource::File(_) | Resource::Template(_));
        if !self.secret || says_nothing {
            return judgement;
        }
        let hidden = || NOT_SHOWN.to_owned();
        match judgement {
            Judgement::Compliant { at, .. } => Judgement::Compliant {
                observed: hidden(),
                at,
            },
            Judgement::Drift(drifts) => Judgement::Drift(
                drifts
                    .into_iter()
                    .map(|drift| Drift {
                        observed: hidden(),
                        wanted: hidden(),
                        note: drift.note.map(|_| hidden()),
                        by_hand: drift.by_hand.map(|_| hidden()),
                        ..drift
                    })
                    .collect(),
            ),
            Judgement::Error(_) => Judgement::Error(hidden()),
            judgement => judgement,
        }
    }
}
