//! The two decision tables, row by row as their owners published them.

use serde::Serialize;

use super::HumanImpact;
use HumanImpact::{High, Low, Medium, VeryHigh};

/// SSVC, Exploitation 1.1.0. `Active` is also BOD 26-04's "In KEV".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exploitation {
    None,
    PublicPoc,
    Active,
}

/// SSVC, System Exposure 1.0.1. `Open` is also BOD 26-04's "Publicly Exposed".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemExposure {
    Small,
    Controlled,
    Open,
}

/// SSVC, Automatable 2.0.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Automatable {
    No,
    Yes,
}

/// SSVC, Technical Impact 1.0.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    Partial,
    Total,
}

/// SSVC's deployer decision, the least urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    Defer,
    Scheduled,
    OutOfCycle,
    Immediate,
}

impl Decision {
    /// The most urgent first.
    pub const ALL: [Self; 4] = [
        Self::Immediate,
        Self::OutOfCycle,
        Self::Scheduled,
        Self::Defer,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Defer => "defer",
            Self::Scheduled => "scheduled",
            Self::OutOfCycle => "out-of-cycle",
            Self::Immediate => "immediate",
        }
    }
}

/// BOD 26-04's remediation timelines, the least urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Timeline {
    /// "Fix on system upgrade".
    OnUpgrade,
    Days60,
    Days14,
    Days3,
    /// "3 days & forensic investigation".
    Days3Forensic,
}

impl Timeline {
    /// None where no clock runs.
    pub const fn days(self) -> Option<i32> {
        match self {
            Self::OnUpgrade => None,
            Self::Days60 => Some(60),
            Self::Days14 => Some(14),
            Self::Days3 | Self::Days3Forensic => Some(3),
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnUpgrade => "fix on system upgrade",
            Self::Days60 => "60 days",
            Self::Days14 => "14 days",
            Self::Days3 => "3 days",
            Self::Days3Forensic => "3 days & forensic investigation",
        }
    }
}

/// CISA BOD 26-04, Remediation Timelines 1.0.0. Columns: in KEV, publicly exposed, automatable,
/// technical impact. Rows 0 to 15.
const BOD_26_04: [((bool, bool, Automatable, Impact), Timeline); 16] = {
    use Automatable::{No, Yes};
    use Impact::{Partial, Total};
    use Timeline::{Days3, Days3Forensic, Days14, Days60, OnUpgrade};
    [
        ((false, false, No, Partial), OnUpgrade),
        ((true, false, No, Partial), Days14),
        ((false, true, No, Partial), Days60),
        ((false, false, Yes, Partial), Days60),
        ((false, false, No, Total), OnUpgrade),
        ((true, true, No, Partial), Days14),
        ((true, false, Yes, Partial), Days14),
        ((false, true, Yes, Partial), Days14),
        ((true, false, No, Total), Days14),
        ((false, true, No, Total), Days14),
        ((false, false, Yes, Total), Days60),
        ((true, true, Yes, Partial), Days3),
        ((true, true, No, Total), Days3Forensic),
        ((true, false, Yes, Total), Days3Forensic),
        ((false, true, Yes, Total), Days3),
        ((true, true, Yes, Total), Days3Forensic),
    ]
};

/// BOD 26-04's row.
pub fn bod_26_04(
    in_kev: bool,
    exposed: bool,
    automatable: Automatable,
    impact: Impact,
) -> Timeline {
    let wanted = (in_kev, exposed, automatable, impact);
    let row = BOD_26_04.iter().find(|(inputs, _)| *inputs == wanted);
    row.expect("the table has a row for each of the 16 combinations")
        .1
}

/// SSVC's deployer table 1.0.0, rows 0 to 71: four human impacts for each combination of
/// exploitation, system exposure and automatable, in that order.
const SSVC_DEPLOYER: [(Exploitation, SystemExposure, Automatable, [Decision; 4]); 18] = {
    use Automatable::{No, Yes};
    use Decision::{Defer, Immediate, OutOfCycle, Scheduled};
    use Exploitation::{Active, None, PublicPoc};
    use SystemExposure::{Controlled, Open, Small};
    [
        (None, Small, No, [Defer, Defer, Scheduled, Scheduled]),
        (None, Small, Yes, [Defer, Scheduled, Scheduled, Scheduled]),
        (
            None,
            Controlled,
            No,
            [Defer, Scheduled, Scheduled, Scheduled],
        ),
        (
            None,
            Controlled,
            Yes,
            [Scheduled, Scheduled, Scheduled, Scheduled],
        ),
        (None, Open, No, [Defer, Scheduled, Scheduled, Scheduled]),
        (
            None,
            Open,
            Yes,
            [Scheduled, Scheduled, Scheduled, OutOfCycle],
        ),
        (
            PublicPoc,
            Small,
            No,
            [Defer, Scheduled, Scheduled, Scheduled],
        ),
        (
            PublicPoc,
            Small,
            Yes,
            [Scheduled, Scheduled, Scheduled, Scheduled],
        ),
        (
            PublicPoc,
            Controlled,
            No,
            [Defer, Scheduled, Scheduled, Scheduled],
        ),
        (
            PublicPoc,
            Controlled,
            Yes,
            [Scheduled, Scheduled, Scheduled, OutOfCycle],
        ),
        (
            PublicPoc,
            Open,
            No,
            [Scheduled, Scheduled, Scheduled, OutOfCycle],
        ),
        (
            PublicPoc,
            Open,
            Yes,
            [Scheduled, Scheduled, OutOfCycle, OutOfCycle],
        ),
        (
            Active,
            Small,
            No,
            [Scheduled, Scheduled, OutOfCycle, OutOfCycle],
        ),
        (
            Active,
            Small,
            Yes,
            [Scheduled, OutOfCycle, OutOfCycle, OutOfCycle],
        ),
        (
            Active,
            Controlled,
            No,
            [Scheduled, Scheduled, OutOfCycle, OutOfCycle],
        ),
        (
            Active,
            Controlled,
            Yes,
            [OutOfCycle, OutOfCycle, OutOfCycle, OutOfCycle],
        ),
        (
            Active,
            Open,
            No,
            [Scheduled, OutOfCycle, OutOfCycle, Immediate],
        ),
        (
            Active,
            Open,
            Yes,
            [OutOfCycle, OutOfCycle, Immediate, Immediate],
        ),
    ]
};

/// SSVC's decision.
pub fn ssvc_deployer(
    exploitation: Exploitation,
    exposure: SystemExposure,
    automatable: Automatable,
    human_impact: HumanImpact,
) -> Decision {
    let row = SSVC_DEPLOYER
        .iter()
        .find(|row| (row.0, row.1, row.2) == (exploitation, exposure, automatable))
        .expect("the table has a row for each of the 18 combinations");
    row.3[match human_impact {
        Low => 0,
        Medium => 1,
        High => 2,
        VeryHigh => 3,
    }]
}
