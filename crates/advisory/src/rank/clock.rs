//! The clocks that may run on a finding, each from the date of the fix. The strictest governs.

use std::collections::BTreeMap;

use jiff::Span;
use jiff::civil::Date;
use model::Severity;
use serde::Serialize;

use super::{Facts, Timeline};

/// Whose time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// CISA BOD 26-04, Remediation Timelines.
    Bod2604,
    /// PCI DSS 4.0.1, 6.3.3.
    PciDss,
    /// The team's own days per severity.
    Team,
}

impl Clock {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bod2604 => "BOD 26-04",
            Self::PciDss => "PCI DSS 4.0.1",
            Self::Team => "the team's own",
        }
    }
}

/// Which clocks run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clocks {
    pub bod_26_04: bool,
    pub pci_dss: bool,
    /// Days per severity; a severity that isn't named has none.
    pub team: BTreeMap<Severity, u16>,
}

impl Default for Clocks {
    /// Both public ones: who is bound by neither loses nothing by being in time for them.
    fn default() -> Self {
        Self {
            bod_26_04: true,
            pci_dss: true,
            team: BTreeMap::new(),
        }
    }
}

/// A date by which it has to be gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Due {
    pub date: Date,
    pub clock: Clock,
    /// What it counts from.
    pub from: Date,
    /// Is that the date of the fix? If not, that isn't known, and it is the date of the
    /// publication, which is never later.
    pub from_fix: bool,
}

/// The strictest first.
pub(super) fn due(
    clocks: &Clocks,
    timeline: Timeline,
    severity: Severity,
    facts: &Facts<'_>,
) -> Vec<Due> {
    let Some(from) = facts.fix_published.or(facts.published) else {
        return Vec::new();
    };
    let mut due = Vec::new();
    let mut run = |clock, span: Span| {
        // A date beyond the calendar never comes.
        if let Ok(date) = from.checked_add(span) {
            due.push(Due {
                date,
                clock,
                from,
                from_fix: facts.fix_published.is_some(),
            });
        }
    };
    if let (true, Some(days)) = (clocks.bod_26_04, timeline.days()) {
        run(Clock::Bod2604, Span::new().days(days));
    }
    // "Patches/updates for critical vulnerabilities … are installed within one month of
    // release." (PCI DSS 4.0.1, 6.3.3)
    if clocks.pci_dss && severity == Severity::Critical {
        run(Clock::PciDss, Span::new().months(1));
    }
    if let Some(days) = clocks.team.get(&severity) {
        run(Clock::Team, Span::new().days(i32::from(*days)));
    }
    due.sort();
    due
}
