//! How soon a finding should be gone: CISA's BOD 26-04, SSVC's deployer table, and the clocks
//! that run on it. Every input says where it comes from and why it is what it is; one that is
//! unknown takes the worse branch, and says so.

mod clock;
mod input;
mod tables;

pub use clock::{Clock, Clocks, Due};
pub use input::{Exposure, Facts, Input, Known, Lookup, Name, Unseen};
pub use tables::{
    Automatable, Decision, Exploitation, Impact, SystemExposure, Timeline, bod_26_04, ssvc_deployer,
};

pub use model::HumanImpact;

use jiff::civil::Date;
use model::Severity;
use serde::Serialize;

/// What was decided about a finding, and from what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranking {
    /// SSVC's: what to do.
    pub priority: Decision,
    /// BOD 26-04's: how soon.
    pub timeline: Timeline,
    pub severity: Severity,
    /// The score behind the severity, where a vector gives one.
    pub score: Option<f64>,
    pub inputs: Vec<Input>,
    /// Every clock that runs, the strictest first; none while there is no fix.
    pub due: Vec<Due>,
}

impl Ranking {
    /// The date that governs.
    pub fn due(&self) -> Option<&Due> {
        self.due.first()
    }

    pub fn is_overdue(&self, today: Date) -> bool {
        self.due().is_some_and(|due| due.date < today)
    }
}

/// Ranks one finding.
pub fn rank(facts: &Facts<'_>, clocks: &Clocks) -> Ranking {
    let inputs = input::Inputs::of(facts);
    let timeline = bod_26_04(
        inputs.exploitation == Exploitation::Active,
        inputs.exposure == SystemExposure::Open,
        inputs.automatable,
        inputs.impact,
    );
    let priority = ssvc_deployer(
        inputs.exploitation,
        inputs.exposure,
        inputs.automatable,
        inputs.human_impact,
    );
    let due = match facts.has_fix {
        true => clock::due(clocks, timeline, inputs.severity, facts),
        false => Vec::new(),
    };
    Ranking {
        priority,
        timeline,
        severity: inputs.severity,
        score: inputs.score,
        inputs: inputs.shown,
        due,
    }
}
