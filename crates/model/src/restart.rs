//! A restart of the machine that belongs to a change: what must hold when it is up again, and how that
//! was.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::RuleId;
use crate::patching::SmokeCheck;

/// What held before the restart, and must hold after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// Services that ran.
    pub ran: BTreeSet<String>,
    /// Programs that passed.
    pub checks: Vec<SmokeCheck>,
    /// Rules that were met.
    pub met: BTreeSet<RuleId>,
    /// Vulnerabilities that are gone by then, each with its source package.
    pub gone: BTreeSet<(String, String)>,
}

/// Where the check after a restart stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Restarted {
    /// The restart was asked for, and the host was not looked at since.
    Due,
    Well {
        at: Timestamp,
    },
    Unwell {
        at: Timestamp,
        why: Vec<String>,
    },
}
