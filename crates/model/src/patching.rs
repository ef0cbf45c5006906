//! What a policy says of patches: checks of its own, and the backups of data.

use serde::{Deserialize, Serialize};

use crate::HostPath;

/// `patches.yaml` of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchPolicy {
    pub checks: Vec<SmokeCheck>,
    pub data: Vec<DataBackup>,
}

/// A program that passes on a host that is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeCheck {
    /// The first is a program's absolute path.
    pub argv: Vec<String>,
    pub limit_seconds: u64,
}

/// A backup of what a service keeps, with the proof that it can be restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataBackup {
    /// Names or patterns of the packages whose services keep it.
    pub packages: Vec<String>,
    /// A file of root's that whoever tests the restore writes when it succeeded.
    pub restored: HostPath,
    /// How many days a restore proves.
    pub within_days: u16,
}
