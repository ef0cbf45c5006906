//! Probes: the closed set of questions that can be asked of a host. A probe is
//! plain data; `host` alone knows how to answer one.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::HostPath;

/// Configuration files are small. One that is larger than this is reported as unknown
/// rather than read into memory.
pub const CONFIG_LIMIT_BYTES: u32 = 1 << 20;

/// One question, asked read-only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// The content and metadata of a regular file; links are followed inside the root.
    /// More than `limit_bytes` of content is an unknown answer.
    File { path: HostPath, limit_bytes: u32 },
    /// The SHA-256 and metadata of a regular file whose content may be large or is not needed.
    FileDigest { path: HostPath },
    /// The metadata of the path itself; a link at the end is not followed.
    Meta { path: HostPath },
    /// The names in a directory, sorted, with their types.
    Dir { path: HostPath },
    /// Everything whose owner, group, mode and ACL decide who can change what is read at this
    /// path: the file, or the directory with, where `below`, all that lies below it; what links
    /// among these lead to; and each directory above any of them.
    Writers { path: HostPath, below: bool },
    /// What a known program says when asked in its read-only way.
    Tool { tool: Tool, args: Vec<String> },
    /// A systemd unit: load, active, sub and unit-file state, and its main properties.
    Unit { name: String },
    /// The running value of a kernel parameter, by its dotted name.
    Sysctl { key: String },
    /// A package in the package manager's database.
    Package { name: String },
    /// The mounts as the kernel sees them (`/proc/self/mountinfo`, proc(5)) and what
    /// `/etc/fstab` asks for at boot.
    Mounts,
    /// Accounts and groups with password status and ageing, but never a password hash.
    Accounts,
    /// Does anybody work with this account, now or since the last boot?
    Activity { account: String, uid: u32 },
    /// Kernel modules: loaded, built in, and present on disk (modules.dep) for the running kernel.
    Modules,
    /// The audit rules that the kernel has loaded, as `auditctl -l` lists them; after them
    /// `-e 0` where auditing is off, and `-e 2` where it is locked until the next boot.
    AuditRules,
    /// Files anywhere on local file systems that match. All walk probes of an audit share one walk.
    Walk { test: WalkTest },
    /// One file that a walk found: its kind, owner, group and mode, whatever is in it, and whatever
    /// else the walk finds.
    Found { path: HostPath },
    /// A command that the user's own policy declares as a check. `argv[0]` is absolute.
    Command {
        argv: Vec<String>,
        timeout_ms: u32,
        /// The account that it runs as; none: whoever asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// May it reach the sockets of this host's programs?
        #[serde(default, skip_serializing_if = "is_false")]
        sockets: bool,
    },
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "as serde's skip_serializing_if wants it"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl Probe {
    pub fn file(path: HostPath) -> Self {
        Self::File {
            path,
            limit_bytes: CONFIG_LIMIT_BYTES,
        }
    }
}

/// The programs that may be asked. Each has fixed arguments that `host` knows and that
/// do not change the host; `args` of the probe are appended where the tool allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    /// `sshd -T`, with `-C key=value` arguments: the effective configuration (sshd(8)).
    SshdEffective,
    /// `nginx -T`: the configuration with every include.
    NginxDump,
    /// `getent passwd|group NAME`, for hosts whose accounts come from elsewhere.
    Getent,
}

/// What a walk looks for. One walk answers all of them.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum WalkTest {
    /// Regular files that anyone may write (mode bit 0002).
    WorldWritableFiles,
    /// Directories that anyone may write and that lack the sticky bit.
    WorldWritableDirectoriesWithoutSticky,
    /// Set-user-ID or set-group-ID programs, with the packages that own them: those to which
    /// neither their package nor dpkg-statoverride(1) gives these bits are not as they should be.
    UnknownPrivilegedPrograms,
    /// Anything whose user or group id has no name.
    Unowned,
    /// Regular files with file capabilities, with the packages that own them: those to which
    /// their package gives none are not as they should be.
    UnknownCapabilities,
}

/// A set of walk tests, ordered.
pub type WalkTests = BTreeSet<WalkTest>;

/// What it looks at, as a person would name it.
impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, .. } | Self::FileDigest { path } | Self::Meta { path } => {
                write!(f, "`{path}`")
            }
            Self::Found { path } => write!(f, "who may use `{path}`"),
            Self::Dir { path } => write!(f, "what is in `{path}`"),
            Self::Writers { path, .. } => write!(f, "who can change `{path}`"),
            Self::Tool { tool, .. } => match tool {
                Tool::SshdEffective => f.write_str("what `sshd -T` says"),
                Tool::NginxDump => f.write_str("what `nginx -T` says"),
                Tool::Getent => f.write_str("what `getent` says"),
            },
            Self::Unit { name } => write!(f, "the unit `{name}`"),
            Self::Sysctl { key } => write!(f, "the kernel parameter `{key}`"),
            Self::Package { name } => write!(f, "the package `{name}`"),
            Self::Mounts => f.write_str("what is mounted"),
            Self::Accounts => f.write_str("the accounts and groups"),
            Self::Activity { account, .. } => write!(f, "who works as `{account}`"),
            Self::Modules => f.write_str("the kernel's modules"),
            Self::AuditRules => f.write_str("the loaded audit rules"),
            Self::Walk { .. } => f.write_str("what the walk over all files finds"),
            Self::Command { argv, .. } => write!(f, "what `{}` says", argv.join(" ")),
        }
    }
}
