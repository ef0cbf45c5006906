//! A rule's metadata, and how much a failure weighs.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::Risk;
use crate::{BaselineName, RuleId};

/// How bad it is when a rule fails. Critical means that local or remote root is easy.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// From the worst down.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Medium, Self::Low];

    /// The weight of one rule of this severity in the score.
    pub const fn weight(self) -> u32 {
        match self {
            Self::Critical => 10,
            Self::High => 5,
            Self::Medium => 2,
            Self::Low => 1,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.as_str() == text)
            .ok_or_else(|| "a severity is critical, high, medium or low".to_owned())
    }
}

/// What a rule says about itself, for every report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleMeta {
    pub id: RuleId,
    pub baseline: BaselineName,
    /// What is true when the rule passes: one line, a statement.
    pub title: String,
    pub severity: Severity,
    /// Why it matters, in a sentence or two.
    pub why: String,
    /// Where it belongs in a report: `accounts`, `network`, `logging`.
    pub area: String,
    /// What a fix could do to the people who use the host.
    pub risk: Risk,
}
