//! Facts: what a host is, gathered once, before a policy is compiled for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::value::{Mount, Reason};

/// A fact that could be read, or why it could not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact<T> {
    Known(T),
    Unknown(Reason),
}

impl<T> Fact<T> {
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub hostname: String,
    pub machine: Option<Digest>,
    pub release: Fact<Release>,
    /// `uname -r`.
    pub kernel: Fact<String>,
    /// As dpkg names it: `amd64`, `arm64`.
    pub architecture: String,
    pub init: Init,
    /// `systemd-nspawn`, `docker`, … when this is a container; none when it is not.
    pub container: Fact<Option<String>>,
    /// Does the audit run as root?
    pub is_root: bool,
    /// A tree is looked at, not a running host.
    pub offline: bool,
    pub packages: Fact<BTreeMap<String, PackageFact>>,
    /// Unit names (`ssh.service`) with what their unit-file state is.
    pub units: Fact<BTreeMap<String, String>>,
    pub accounts: Fact<BTreeMap<String, AccountFact>>,
    pub groups: Fact<BTreeMap<String, GroupFact>>,
    /// Interface names with their addresses.
    pub interfaces: Fact<BTreeMap<String, Vec<String>>>,
    pub mounts: Fact<Vec<Mount>>,
    /// Has the kernel loaded module support, and is it this kernel's own (not a container's host)?
    pub owns_kernel: bool,
}

/// os-release(5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// `debian`, `ubuntu`, `fedora`, …
    pub id: String,
    /// `ID_LIKE`, split.
    pub like: Vec<String>,
    /// `12`; none on a rolling release.
    pub version: Option<String>,
    pub codename: Option<String>,
    pub pretty: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    Systemd,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageFact {
    pub version: String,
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountFact {
    pub uid: u32,
    pub gid: u32,
    pub home: String,
    pub shell: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupFact {
    pub gid: u32,
    pub members: Vec<String>,
}
