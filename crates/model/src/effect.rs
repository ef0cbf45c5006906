//! Effects: the closed set of things that can be done to a host, and their
//! inverses. Plain data; `host` alone carries one out.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::component::SourcePackage;
use crate::patching::DebconfAnswer;
use crate::{Digest, HostPath};

/// Bytes, most often text. Serialised as text when they are UTF-8, as `{"hex": …}` when not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Blob(Vec<u8>);

impl Blob {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The bytes as text, where they are UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok()
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<String> for Blob {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&str> for Blob {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum BlobText<'a> {
    Text(Cow<'a, str>),
    Hex { hex: String },
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_text() {
            Some(text) => serializer.serialize_str(text),
            None => BlobText::Hex {
                hex: self.0.iter().map(|byte| format!("{byte:02x}")).collect(),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match BlobText::deserialize(deserializer)? {
            BlobText::Text(text) => Ok(Self(text.into_owned().into_bytes())),
            BlobText::Hex { hex } => (0..hex.len())
                .step_by(2)
                .map(|at| {
                    hex.get(at..at + 2)
                        .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                })
                .collect::<Option<Vec<u8>>>()
                .map(Self)
                .ok_or_else(|| serde::de::Error::custom("bad hexadecimal digits")),
        }
    }
}

/// Permission bits, written as an octal text: `"0644"`. A bare number is refused, since
/// YAML readers disagree about whether `0644` is octal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(u32);

impl Mode {
    /// The bits beyond `07777` are dropped.
    pub const fn new(bits: u32) -> Self {
        Self(bits & 0o7777)
    }

    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Has this mode no permission that `limit` lacks?
    pub const fn within(self, limit: Self) -> bool {
        self.0 & !limit.0 == 0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        u32::from_str_radix(text, 8)
            .ok()
            .filter(|bits| {
                *bits <= 0o7777
                    && (3..=5).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_digit())
            })
            .map(Self)
            .ok_or_else(|| {
                format!(
                    "`{}` is not a mode: write it in quotes, as in \"0644\"",
                    crate::printable(text.as_bytes())
                )
            })
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Mode {
    fn schema_name() -> Cow<'static, str> {
        "Mode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-7]{3,5}$",
            "description": "Permission bits in octal, as text: \"0644\"."
        })
    }
}

/// One thing that is done to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Create or replace a regular file. Where `mode`, `owner` or `group` is none, an existing
    /// file keeps its own and a new one gets `0644`, root, root. ACLs and extended attributes
    /// of an existing file are kept.
    PutFile {
        path: HostPath,
        content: Blob,
        mode: Option<Mode>,
        owner: Option<String>,
        group: Option<String>,
        /// The account in whose home this lies: written with that account's rights.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        as_user: Option<String>,
        /// Leave out the ACL that the file had.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        drop_acl: bool,
    },
    /// Create a directory; its parent must exist.
    MakeDir {
        path: HostPath,
        mode: Mode,
        owner: Option<String>,
        group: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        as_user: Option<String>,
    },
    /// Remove a file, a link or an empty directory.
    Remove { path: HostPath },
    /// Create or replace a symbolic link.
    Link { path: HostPath, target: Blob },
    /// Change permission bits and ownership of what is there; no link is followed.
    SetMeta {
        path: HostPath,
        mode: Option<Mode>,
        owner: Option<String>,
        group: Option<String>,
        /// Also drop file capabilities (capabilities(7)).
        #[serde(default)]
        drop_capabilities: bool,
        /// Also take its ACL away (acl(5)); the mode is then all that counts.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        drop_acl: bool,
    },
    /// Set a kernel parameter's running value.
    Sysctl { key: String, value: String },
    /// Remount with these options; `options` is the complete new set.
    Remount {
        path: HostPath,
        options: Vec<String>,
    },
    /// Load or unload a kernel module.
    Module { name: String, loaded: bool },
    /// Change a systemd unit.
    Unit { name: String, op: UnitOp },
    /// Change accounts or groups.
    Account(AccountOp),
    /// Install or remove a package.
    Package { name: String, op: PackageOp },
    /// Bring packages to these versions, from package files that were fetched and verified
    /// before, without network. Taken back path by path, not by the package manager.
    Upgrade {
        packages: Vec<PackageUpgrade>,
        /// Every path that the rehearsal wrote: what is imaged, and put back.
        writes: Vec<HostPath>,
        /// Packages that dpkg left unfinished, which are configured first; then those above
        /// are installed again. Empty for an upgrade.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unfinished: Vec<String>,
        /// Of the questions that these packages ask, given to debconf first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        answers: Vec<DebconfAnswer>,
        /// Packages that go, as dpkg removes them: their configuration files stay.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        removals: Vec<PackageRemoval>,
        /// Packages that a policy names: marked as wanted by somebody (apt-mark(8)). What comes
        /// with them is marked as automatic, and what was there keeps its mark.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        named: Vec<String>,
        /// It is stopped when it takes longer, and taken back.
        #[serde(default = "usual_limit_seconds")]
        limit_seconds: u64,
    },
    /// Load the audit rules of `/etc/audit/rules.d` into the kernel.
    LoadAuditRules,
    /// Run a command of the user's own policy; `argv[0]` is absolute.
    Run {
        argv: Vec<String>,
        timeout_ms: u32,
        /// The account that it runs as; none: whoever applies the plan.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitOp {
    Enable,
    Disable,
    Mask,
    Unmask,
    Start,
    Stop,
    /// Reload when the unit can, restart when it can't; nothing when it is not running.
    Reload,
    Restart,
    /// Make systemd read its unit files again; the unit's name says for whose sake.
    DaemonReload,
}

/// Changes of `/etc/passwd`, `/etc/shadow`, `/etc/group` and `/etc/gshadow`, made as one
/// under the account lock (lckpwdf(3)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountOp {
    CreateUser {
        name: String,
        uid: Option<u32>,
        group: Option<String>,
        comment: String,
        home: HostPath,
        create_home: bool,
        shell: String,
        system: bool,
    },
    RemoveUser {
        name: String,
    },
    CreateGroup {
        name: String,
        gid: Option<u32>,
        system: bool,
    },
    RemoveGroup {
        name: String,
    },
    SetShell {
        name: String,
        shell: String,
    },
    /// Put a `!` before the hash, or `!` where the password is empty.
    LockPassword {
        name: String,
    },
    /// The fields of shadow(5) that are given; days.
    SetAgeing {
        name: String,
        min_days: Option<i64>,
        max_days: Option<i64>,
        warn_days: Option<i64>,
        inactive_days: Option<i64>,
    },
    SetUid {
        name: String,
        uid: u32,
    },
    AddMember {
        group: String,
        user: String,
    },
    RemoveMember {
        group: String,
        user: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageOp {
    /// `version` none: what the sources offer.
    Install {
        version: Option<String>,
    },
    Remove,
}

/// What held before plans said it.
const fn usual_limit_seconds() -> u64 {
    USUAL_LIMIT_SECONDS
}

/// How long an upgrade may take where nobody said: a large one on a slow disk.
pub const USUAL_LIMIT_SECONDS: u64 = 3600;

/// How much of a window an upgrade is taken to need where nobody says it.
pub const USUAL_NEED_SECONDS: u64 = 1800;

/// One package of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PackageUpgrade {
    pub name: String,
    /// dpkg's, as the package file has it: `amd64`, `all`.
    pub architecture: String,
    /// None for one that the upgrade brings with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    pub to: String,
    /// What the new version is built from (deb-control(5), `Source`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourcePackage>,
    /// Where the new version comes from, as apt tells it: `Debian-Security:12/oldstable-security`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// The newest version between the two, or the new one, that is published for security; none
    /// where there is none, and in what an older version recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<String>,
    /// SHA-256 of the package file.
    pub archive: Digest,
}

/// One package that goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PackageRemoval {
    pub name: String,
    /// The one that is installed.
    pub version: String,
}

/// A package's name without its architecture: `libc6` of `libc6:i386`.
pub fn bare_name(name: &str) -> &str {
    name.split_once(':').map_or(name, |(bare, _)| bare)
}

impl PackageUpgrade {
    /// Its name without its architecture.
    pub fn bare_name(&self) -> &str {
        bare_name(&self.name)
    }

    /// Is a security update part of it? By Debian's own label, and what its derivatives call
    /// theirs, of the new version or of one before it.
    pub fn is_security(&self) -> bool {
        self.security.is_some() || says_security(&self.origins)
    }
}

/// Does apt name one of these origins as that of security updates?
pub fn says_security(origins: &[String]) -> bool {
    origins
        .iter()
        .any(|origin| origin.to_ascii_lowercase().contains("security"))
}

/// How an action is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inverse {
    /// Put back the before-image of every path that the effect touches: content, mode, owner,
    /// ACL, extended attributes, times.
    Restore,
    /// Do this instead.
    Effect(Box<Effect>),
    /// Nothing is needed: the effect activates what another action wrote, and is done again
    /// after that action is taken back.
    Repeat,
    /// Can't be taken back; the plan shows why.
    Irreversible { why: String },
}

impl Effect {
    /// The one path whose content or metadata this effect changes, where it is a path.
    pub fn path(&self) -> Option<&HostPath> {
        match self {
            Self::PutFile { path, .. }
            | Self::MakeDir { path, .. }
            | Self::Remove { path }
            | Self::Link { path, .. }
            | Self::SetMeta { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Does this only make a running program notice what other effects wrote?
    pub fn is_activation(&self) -> bool {
        matches!(
            self,
            Self::LoadAuditRules
                | Self::Unit {
                    op: UnitOp::Reload | UnitOp::Restart | UnitOp::DaemonReload,
                    ..
                }
        )
    }
}
