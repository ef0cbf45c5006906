//! Answers to probes: what was seen, or that there is nothing, or why it can't be told.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::count::size;
use crate::{Blob, Digest, HostPath, Mode};

/// The answer to one probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Known(Value),
    /// Asked successfully, and there is no such thing.
    Absent,
    /// Could not be told, and why: never to be read as absent or as safe.
    Unknown(Reason),
}

/// Why an answer is unknown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Needs root, and the audit does not run as root.
    NeedsRoot,
    /// A tree is audited with `--root`; its programs are not run.
    Offline,
    /// The thing to ask is not on this host: `what` says which.
    Unavailable { what: String },
    /// Larger than the limit; sizes in bytes.
    TooLarge { size_bytes: u64, limit_bytes: u64 },
    /// Took longer than the time limit.
    TimedOut { after_ms: u64 },
    /// The program or the system call failed.
    Failed { why: String },
    /// The content can't be understood.
    Malformed { why: String },
    /// Packages of the same plan bring what answers it: it is known when they are there.
    ToCome,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NeedsRoot => f.write_str("needs root: run with sudo"),
            Self::Offline => f.write_str("offline: programs of this tree are not run"),
            Self::Unavailable { what } => write!(f, "{what}"),
            Self::TooLarge {
                size_bytes,
                limit_bytes,
            } => {
                let (size, limit) = (size(*size_bytes), size(*limit_bytes));
                write!(f, "{size} is over the limit of {limit}")
            }
            Self::TimedOut { after_ms } => write!(f, "no answer within {after_ms} ms"),
            Self::Failed { why } | Self::Malformed { why } => f.write_str(why),
            Self::ToCome => f.write_str("it is known only when the packages are there"),
        }
    }
}

/// An answer and its digest, which a plan holds on to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub answer: Answer,
    /// Over the answer's JSON form, times and inode numbers left out.
    pub digest: Digest,
}

impl Observed {
    pub fn new(answer: Answer) -> Self {
        let digest = match &answer {
            // A file's content is by far the largest part: its bytes are digested as they are.
            Answer::Known(Value::File(file)) => {
                let content = Digest::of(file.content.as_bytes());
                Digest::of_json(&(&file.meta, &file.resolved, content))
            }
            other => Digest::of_json(other),
        };
        Self { answer, digest }
    }

    pub fn unknown(reason: Reason) -> Self {
        Self::new(Answer::Unknown(reason))
    }

    /// Of a file: the digest of all that was seen of it but its content, and so its size. None of
    /// anything else.
    pub fn form(&self) -> Option<Digest> {
        let of = |meta: &Meta, resolved: Option<&HostPath>| {
            let without_size = Meta {
                size_bytes: 0,
                ..meta.clone()
            };
            Some(Digest::of_json(&(without_size, resolved)))
        };
        match &self.answer {
            Answer::Known(Value::File(file)) => of(&file.meta, file.resolved.as_ref()),
            Answer::Known(Value::FileDigest { meta, .. } | Value::Meta(meta)) => of(meta, None),
            _ => None,
        }
    }
}

/// What a probe saw, by kind of probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    File(FileSeen),
    FileDigest {
        meta: Meta,
        content: Digest,
    },
    Meta(Meta),
    Dir(Vec<DirEntry>),
    /// Sorted by path, each once, links themselves among them.
    Writers(Vec<WritersSeen>),
    Output(Output),
    Unit(UnitSeen),
    Sysctl(String),
    Package(PackageSeen),
    Mounts(MountsSeen),
    Accounts(AccountsSeen),
    Activity(ActivitySeen),
    Modules(ModulesSeen),
    AuditRules(Vec<String>),
    Walk(WalkSeen),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileType {
    Regular,
    Directory,
    Link,
    Other,
}

/// Metadata of a path (inode(7)), without times and inode numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub file_type: FileType,
    /// Permission bits with set-id and sticky bits (`07777`).
    pub mode: Mode,
    pub uid: u32,
    pub gid: u32,
    /// Names from this host's account files, where there are any.
    pub owner: Option<String>,
    pub group: Option<String>,
    /// Of a regular file; zero otherwise, since a directory's size means nothing.
    pub size_bytes: u64,
    /// Of a regular file; one otherwise.
    pub hard_links: u64,
    /// Of a link: where it points, as stored.
    pub target: Option<Blob>,
    /// The entries of its ACL (acl(5)); none where the mode says all. With an ACL, the group's
    /// bits of the mode are the ACL's mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<Vec<AclEntry>>,
    /// Of a directory: the entries of its default ACL, within their mask, which everything that is
    /// made in it gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_acl: Option<Vec<AclEntry>>,
}

impl Meta {
    /// Without what changes whenever somebody writes to it or links to it.
    #[must_use]
    pub fn rights_only(mut self) -> Self {
        self.size_bytes = 0;
        self.hard_links = 1;
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSeen {
    pub meta: Meta,
    pub content: Blob,
    /// Where the path led, when links were followed.
    pub resolved: Option<HostPath>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DirEntry {
    pub name: Blob,
    pub file_type: FileType,
}

/// One of the things that decide who can change what is read somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WritersSeen {
    /// Where it really lies: no link is on this path.
    pub path: HostPath,
    pub part: Part,
    /// Sizes and numbers of links are left out: nobody's rights hang on them.
    pub meta: Meta,
    /// The entries of its ACL (acl(5)); none where the mode says all. With an ACL, the group's
    /// bits of the mode are the ACL's mask. Read only where the group's bits have more than none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<Vec<AclEntry>>,
    /// The link that leads here, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<HostPath>,
}

/// In which way a thing decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A directory on the way: whoever writes it can put another file in the place of what is read.
    Above,
    /// What is read itself; of a directory, its names too.
    Read,
}

/// An entry of a POSIX ACL that names a group of people: all but those of the file's owner,
/// of everyone else, and the mask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclEntry {
    pub who: AclWho,
    /// Permission bits (`0o7`), the mask not yet taken into account.
    pub bits: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AclWho {
    User {
        id: u32,
        name: Option<String>,
    },
    Group {
        id: u32,
        name: Option<String>,
    },
    /// The group that owns the file.
    OwningGroup,
}

/// What a program printed, bounded by `host`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The exit status; none when a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A systemd unit's state, in systemd's own words (systemctl(1)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitSeen {
    /// `loaded`, `not-found`, `masked`, …
    pub load_state: String,
    /// `active`, `inactive`, `failed`, …; none when there is no manager to ask.
    pub active_state: Option<String>,
    /// `enabled`, `disabled`, `static`, `masked`, `alias`, …
    pub unit_file_state: Option<String>,
    /// The main file and the drop-ins, in the order in which they apply.
    pub files: Vec<HostPath>,
    /// Packages of the same plan bring it: whether they start it is known when they are there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_to_come: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageSeen {
    pub version: String,
    pub architecture: String,
    /// Fully installed (`ii`); anything else is named in `status`.
    pub installed: bool,
    /// As the database says: `install ok installed`.
    pub status: String,
    /// Installed because something else needed it.
    pub automatic: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountsSeen {
    pub mounted: Vec<Mount>,
    /// The lines of `/etc/fstab` (fstab(5)); empty when there is no such file.
    pub fstab: Vec<FstabLine>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub path: HostPath,
    pub fs_type: String,
    pub source: String,
    /// Per-mount and superblock options: `rw`, `nosuid`, `size=10%`, …
    pub options: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FstabLine {
    pub line: u32,
    pub source: String,
    /// As written, unescaped; `none` for swap.
    pub path: String,
    pub fs_type: String,
    pub options: Vec<String>,
}

/// The accounts of `/etc/passwd`, `/etc/shadow`, `/etc/group` and `/etc/gshadow`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountsSeen {
    pub accounts: Vec<AccountSeen>,
    pub groups: Vec<GroupSeen>,
    /// Other sources that `nsswitch.conf` names for accounts: with one, a missing name is unknown.
    pub other_sources: Vec<String>,
    /// Lines that can't be read, as file and line.
    pub malformed: Vec<crate::SourceLine>,
    /// Why `/etc/shadow` could not be read, where it could not: then passwords are unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow_unknown: Option<Reason>,
}

impl AccountsSeen {
    /// Why nothing is known about passwords and their ageing.
    pub fn no_passwords(&self) -> Reason {
        self.shadow_unknown.clone().unwrap_or(Reason::NeedsRoot)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSeen {
    pub name: String,
    /// The line in `/etc/passwd`.
    pub line: u32,
    pub uid: u32,
    pub gid: u32,
    pub comment: String,
    pub home: String,
    pub shell: String,
    pub password: PasswordSeen,
    /// Ageing of shadow(5); none when it could not be read.
    pub ageing: Option<Ageing>,
}

/// What can be said of a password without its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordSeen {
    /// Anyone may sign in with no password.
    Empty,
    /// A value that no password matches (`!`, `*`), with no hash behind it.
    None,
    /// A hash behind a `!`.
    Locked { scheme: String },
    /// A hash; `scheme` is crypt(5)'s prefix: `y`, `6`, `5`, `1`, or `des`.
    Set { scheme: String },
    /// Needs root to see.
    Unknown,
}

/// Days, as shadow(5) has them; none where the field is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ageing {
    pub last_change: Option<i64>,
    pub min_days: Option<i64>,
    pub max_days: Option<i64>,
    pub warn_days: Option<i64>,
    pub inactive_days: Option<i64>,
    pub expires: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSeen {
    pub name: String,
    /// The line in `/etc/group`.
    pub line: u32,
    pub gid: u32,
    /// As listed; accounts whose primary group it is are not repeated here.
    pub members: Vec<String>,
}

/// What somebody does with an account. No numbers: they change from one moment to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivitySeen {
    /// Processes with its id run.
    pub runs: bool,
    /// It has jobs of its own (crontab(1)).
    pub has_crontab: bool,
    /// wtmp(5) has a login of it since the last boot.
    pub signed_in: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModulesSeen {
    /// The running kernel's release (`uname -r`).
    pub kernel: String,
    /// Names with `_`, as the kernel has them.
    pub loaded: Vec<String>,
    pub built_in: Vec<String>,
    /// In `modules.dep` of the running kernel; none when there is no such file.
    pub available: Option<Vec<String>>,
    /// Directives of modprobe.d(5), in the order in which they are read.
    pub directives: Vec<ModprobeLine>,
    /// A tree's kernels do not run: `loaded` says nothing, and the lists are those of all of them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub of_tree: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "as serde's skip_serializing_if wants it"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModprobeLine {
    pub path: HostPath,
    pub line: u32,
    /// `install`, `blacklist`, `options`, `alias`, …
    pub command: String,
    pub module: String,
    pub rest: String,
}

/// What one test of the walk found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalkSeen {
    /// Sorted by path, at most [`WALK_LIMIT`].
    pub hits: Vec<WalkHit>,
    /// All that were found, which may be more than are listed.
    pub total: u64,
    /// Directories that could not be read, at most ten, and their number.
    pub unreadable: Vec<HostPath>,
    pub unreadable_total: u64,
    /// Root file systems of others below this one, which were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_roots: Vec<OtherRoot>,
}

/// The root file system of another host or container below this one: a chroot, a tree of
/// debootstrap, a machine of systemd-nspawn. What only root can have put there is left out of what is
/// said about this host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct OtherRoot {
    pub path: HostPath,
    /// What it says it is: `Debian GNU/Linux 12 (bookworm)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

/// Each is held open while it is walked; a host that has more has them judged as its own.
pub const MOST_OTHER_ROOTS: usize = 200;

/// More hits than this are counted, not listed: a report of ten thousand lines helps nobody,
/// and a plan with that many actions is not reviewed by anyone.
pub const WALK_LIMIT: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalkHit {
    pub path: HostPath,
    pub meta: Meta,
    /// The installed package that has this file; asked only of set-ID programs and of files
    /// with capabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// What dpkg-statoverride(1) declares of this file; asked as `package` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<OverrideSeen>,
}

/// An entry of dpkg-statoverride(1): how a file shall be, whatever its package says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverrideSeen {
    /// A name, or `#` and a number.
    pub owner: String,
    pub group: String,
    pub mode: Mode,
}

/// Answers by their probe.
pub type AnswerMap = BTreeMap<crate::Probe, Observed>;
