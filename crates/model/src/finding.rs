//! Findings: a rule on a host, with an outcome, what was seen, and where.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{HostPath, RuleMeta, Waiver, printable};

/// A place in a host's file.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct SourceLine {
    pub path: HostPath,
    /// From 1; none when the whole file is meant.
    pub line: Option<u32>,
}

impl SourceLine {
    pub fn file(path: HostPath) -> Self {
        Self { path, line: None }
    }

    pub fn new(path: HostPath, line: u32) -> Self {
        Self {
            path,
            line: Some(line),
        }
    }
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", printable(self.path.as_bytes())),
            None => write!(f, "{}", printable(self.path.as_bytes())),
        }
    }
}

/// The outcome of a rule on a host (XCCDF 1.2, 6.6.4.2, in this design's words).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Pass,
    Fail,
    Fixed,
    NotApplicable,
    Unknown,
    Error,
    Waived,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Fixed => "fixed",
            Self::NotApplicable => "not_applicable",
            Self::Unknown => "unknown",
            Self::Error => "error",
            Self::Waived => "waived",
        }
    }
}

/// One rule's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    pub rule: RuleMeta,
    pub outcome: Outcome,
    /// Why a rule does not apply, or what could not be told. Always there for
    /// `not_applicable`, `unknown` and `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Each part of the rule that drifted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drifts: Vec<Drifted>,
    /// The waiver that covers it, or one that did until it expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver: Option<AppliedWaiver>,
    /// Would `plan` offer a fix for all of it?
    pub fixable: bool,
}

/// One drifted resource of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drifted {
    /// The resource, as `kind name`.
    pub resource: String,
    pub observed: String,
    pub wanted: String,
    /// Where the observed value comes from; empty for a program's built-in default.
    pub at: Vec<SourceLine>,
    /// What else a reader should know: which place wins, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What a person has to do, where no fix is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
}

/// A waiver as it stands for a finding today.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedWaiver {
    pub waiver: Waiver,
    pub expired: bool,
    /// Was the approver's signature checked? Until signatures are, this is false and is shown.
    pub approver_verified: bool,
}
