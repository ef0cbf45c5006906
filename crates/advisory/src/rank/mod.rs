//! How soon a finding should be gone: CISA's BOD 26-04, SSVC's deployer table, and the clocks
//! that run on it. Every input says where it comes from and why it is what it is. One that is
//! unknown takes the worse branch, or what is usual where the worst is true of few; either is said,
//! and what is unknown makes nothing immediate.

mod clock;
mod input;
mod likelihood;
mod tables;

use input::Values;

pub use clock::{Clock, Clocks, Due};
pub use input::{Exposure, Facts, Input, Known, Lookup, Name, Unseen};
pub use likelihood::ChosenBy;
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
    /// The probability of being exploited within 30 days, where EPSS gives one.
    pub epss: Option<f32>,
    /// The same where EPSS gives none: as often as others of its kind were exploited.
    #[serde(skip)]
    pub usual_epss: f32,
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
    let mut priority = decision(&inputs.taken);
    if priority == Decision::Immediate && decision(&inputs.sure) != Decision::Immediate {
        priority = Decision::OutOfCycle;
    }
    if input::is_unimportant(facts) {
        priority = priority.min(Decision::Scheduled);
    }
    let mut timeline = timeline_of(&inputs.taken);
    let sure = timeline_of(&inputs.sure);
    if timeline >= Timeline::Days3 && sure < Timeline::Days3 {
        timeline = Timeline::Days14;
    }
    let due = match facts.has_fix {
        true => clock::due(clocks, timeline, inputs.severity, facts),
        false => Vec::new(),
    };
    Ranking {
        priority,
        timeline,
        severity: inputs.severity,
        score: inputs.score,
        epss: match facts.epss {
            Lookup::Known(epss) => Some(epss.score),
            _ => None,
        },
        usual_epss: likelihood::usual(
            facts.cvss.filter(|_| inputs.score.is_some()),
            inputs.taken.impact == Impact::Total,
            facts.chosen_by,
        ),
        inputs: inputs.shown,
        due,
    }
}

fn decision(values: &Values) -> Decision {
    ssvc_deployer(
        values.exploitation,
        values.exposure,
        values.automatable,
        values.human_impact,
    )
}

fn timeline_of(values: &Values) -> Timeline {
    bod_26_04(
        values.exploitation == Exploitation::Active,
        values.is_exposed,
        values.automatable,
        values.impact,
    )
}

/// The order within a class: how likely it is to be exploited, how bad it is, how far it is
/// reached; the greater the more urgent. What is unknown stands where most are.
impl Ranking {
    pub(crate) fn within_class(&self) -> (u32, u32, u8) {
        let exposure = self.inputs.iter().find(|one| one.name == Name::Exposure);
        let epss = self.epss.unwrap_or(self.usual_epss);
        let score = self.score.unwrap_or(match self.severity {
            Severity::Critical => 9.0,
            Severity::High => 7.0,
            Severity::Medium => SCORE_OF_MOST,
            Severity::Low => 2.0,
        });
        let exposure = exposure.map_or(0, |one| match (one.value, one.known) {
            ("open", Known::Known) => 3,
            ("open", _) => 2,
            ("controlled", _) => 1,
            _ => 0,
        });
        // EPSS gives five digits, CVSS one.
        let whole = |number: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "both are between 0 and 1,000,000"
            )]
            let whole = number.clamp(0.0, 1e6).round() as u32;
            whole
        };
        (whole(f64::from(epss) * 1e5), whole(score * 10.0), exposure)
    }
}

/// What most vectors score, by far.
const SCORE_OF_MOST: f64 = 5.5;
