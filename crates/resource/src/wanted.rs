//! What is wanted on one host: the outcome of compiling a policy for its facts.
//! Nothing in it is a template any more.

use model::value::Reason;
use model::{BaselineName, RoleName, RuleMeta, Severity, SourceLine, Waiver};

use crate::Resource;

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
    /// Where it is declared, in its policy.
    pub declared_at: SourceLine,
}
