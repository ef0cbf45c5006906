//! The outcome of an audit, ready to be shown in any form.

use jiff::Timestamp;
use model::value::OtherRoot;
use model::{Finding, Outcome, Severity, Waiver};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the report's JSON form.
pub const REPORT_FORMAT: u32 = 1;

/// One audit of one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    pub format: u32,
    /// The version of the program that made it.
    pub steadfast: String,
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub generated: Timestamp,
    pub took_ms: u64,
    pub host: HostSummary,
    pub baselines: Vec<BaselineSummary>,
    /// The roles that the host was held to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleSummary>,
    pub score: Score,
    pub counts: Counts,
    /// Ordered by severity from the worst, then by rule id.
    pub findings: Vec<Finding>,
    /// Waivers of the policy that are past their last day, whether or not their rule fails.
    pub expired_waivers: Vec<Waiver>,
    /// Changes of this host that wait to be confirmed, or that need a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unended: Vec<Unended>,
    /// Why it can't be told whether there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unended_unknown: Option<String>,
    /// Root file systems of others below this one: what only root can have put there is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_roots: Vec<OtherRoot>,
}

/// A change that is neither taken back nor final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unended {
    /// `c-19`.
    pub change: String,
    pub kind: UnendedKind,
    /// Until when it can be confirmed, where it waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub deadline: Option<Timestamp>,
    /// Is that over, and it is still in effect?
    pub overdue: bool,
    /// For people: what it is, and what ends it.
    pub says: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnendedKind {
    /// In effect, and taken back unless it is confirmed in time.
    AwaitingConfirmation,
    /// Taken back, and put into effect again unless that is confirmed in time.
    AwaitingUndoConfirmation,
    /// Neither as before nor as planned.
    NeedsPerson,
}

/// What was audited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostSummary {
    pub hostname: String,
    /// `Debian GNU/Linux 12 (bookworm)`, or why it is unknown.
    pub release: String,
    pub kernel: String,
    /// Did the audit run as root?
    pub as_root: bool,
    /// The directory of `--root`, when a tree was audited instead of the running host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Programs that were found and that a baseline covers, with versions: `nginx 1.22.1`.
    pub found: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BaselineSummary {
    pub name: String,
    pub rules: usize,
    /// Was this baseline proven on this release? If not, nothing is fixed.
    pub proven: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleSummary {
    pub name: String,
    /// Each want is a finding of its own.
    pub wants: usize,
}

/// From 0 to 100, by weight: passed over passed, failed, unknown and error. None when
/// nothing counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Score {
    /// Waived findings are left out.
    pub with_waivers: Option<u32>,
    /// Waived findings count as failed.
    pub without_waivers: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    pub pass: usize,
    pub fail: usize,
    pub fixed: usize,
    pub not_applicable: usize,
    pub unknown: usize,
    pub error: usize,
    pub waived: usize,
}

impl Counts {
    /// Was nothing found out, neither good nor bad?
    pub const fn nothing_judged(&self) -> bool {
        self.pass + self.fail + self.fixed + self.waived == 0
    }

    pub fn of(findings: &[Finding]) -> Self {
        let mut counts = Self::default();
        for finding in findings {
            *match finding.outcome {
                Outcome::Pass => &mut counts.pass,
                Outcome::Fail => &mut counts.fail,
                Outcome::Fixed => &mut counts.fixed,
                Outcome::NotApplicable => &mut counts.not_applicable,
                Outcome::Unknown => &mut counts.unknown,
                Outcome::Error => &mut counts.error,
                Outcome::Waived => &mut counts.waived,
            } += 1;
        }
        counts
    }
}

impl Score {
    pub fn of(findings: &[Finding]) -> Self {
        let (mut passed, mut others, mut waived) = (0, 0, 0);
        for finding in findings {
            let weight = finding.rule.severity.weight();
            match finding.outcome {
                Outcome::Pass | Outcome::Fixed => passed += weight,
                Outcome::Fail | Outcome::Unknown | Outcome::Error => others += weight,
                Outcome::Waived => waived += weight,
                Outcome::NotApplicable => {}
            }
        }
        // Rounded down: 100 means that nothing is left.
        let of = |total: u32| (total > 0).then(|| passed * 100 / total);
        Self {
            with_waivers: of(passed + others),
            without_waivers: of(passed + others + waived),
        }
    }
}

impl Report {
    /// The findings that failed, at least as severe as `least`.
    pub fn failing(&self, least: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| {
            finding.outcome == Outcome::Fail && finding.rule.severity >= least
        })
    }
}
