//! A plan: what will be done to one host, in order, each action with its inverse
//! and with what it rests on. A plan is a value; making one needs no host.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digester;
use crate::{ActionId, Digest, Effect, HostPath, Inverse, Observed, PlanId, Probe, SourceLine};

/// What a change could do to the people who use the host, from the mildest.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Nobody notices.
    #[default]
    None,
    /// A service restarts, or a program behaves differently.
    Service,
    /// Someone may lose a right that they used.
    Access,
    /// People could be cut off from the host: such a change is confirmed, or taken back.
    Connectivity,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Service => "a service restarts",
            Self::Access => "someone may lose a right",
            Self::Connectivity => "could cut people off",
        })
    }
}

/// The version of the plan's form. Since 2 a plan may have stages: premises that hold only after
/// packages are there, and the lines that an action changes of what these bring.
pub const PLAN_FORMAT: u32 = 2;

/// The oldest form that is read.
pub const OLDEST_PLAN_FORMAT: u32 = 1;

/// Why a text is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(
        "it was made by a newer steadfast: its format is {0}, and this one reads formats \
         {OLDEST_PLAN_FORMAT} to {PLAN_FORMAT}"
    )]
    Newer(u32),
    #[error("its format {0} is not known")]
    Unknown(u32),
    #[error(transparent)]
    Malformed(#[from] serde_json::Error),
}

/// # Errors
/// When a plan of this form is not one that can be read here.
pub const fn check_format(format: u32) -> Result<(), PlanError> {
    match format {
        OLDEST_PLAN_FORMAT..=PLAN_FORMAT => Ok(()),
        0 => Err(PlanError::Unknown(format)),
        _ => Err(PlanError::Newer(format)),
    }
}

/// What of a plan is read first: a newer one may have anything else.
#[derive(Deserialize)]
struct Form {
    format: u32,
}

/// What will be done, what will not, and what both rest on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub format: u32,
    pub host: HostIdentity,
    /// What was asked for, so that the same question can be put again.
    pub selection: Selection,
    /// In the order in which they run; an action's id is its place.
    pub actions: Vec<Action>,
    pub left_alone: Vec<LeftAlone>,
    /// Everything observed that decided something, by probe.
    pub premises: Vec<Premise>,
}

impl Plan {
    /// Reads a plan that was written as [`Self::to_json`] does it.
    ///
    /// # Errors
    /// When it is none, or of a form that is not known here.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        let form: Form = serde_json::from_str(text)?;
        check_format(form.format)?;
        Ok(serde_json::from_str(text)?)
    }

    /// The digest of the plan's bytes as written.
    pub fn id(&self) -> PlanId {
        // A plan of a hundred thousand files has a hundred megabytes of text.
        let mut hash = Digester::default();
        self.write_json(&mut hash)
            .expect("nothing that is hashed can fail to be written");
        PlanId(hash.finish())
    }

    /// The plan as it is saved and shown: indented JSON with a final newline, and without a
    /// raw character that a terminal could obey.
    pub fn to_json(&self) -> String {
        let mut text = Vec::new();
        self.write_json(&mut text)
            .expect("memory takes all that is written to it");
        String::from_utf8(text).expect("JSON is text")
    }

    /// Writes what [`Self::to_json`] gives.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write_json(&self, to: &mut dyn io::Write) -> io::Result<()> {
        crate::escape::write_json(to, self)
    }

    /// The plan as it may be printed: without the content of what may hold a secret. It can't be
    /// carried out.
    pub fn without_secrets(&self) -> Self {
        let mut plan = self.clone();
        for action in &mut plan.actions {
            if action.is_secret() {
                action.edit = None;
                hide(&mut action.effect);
                if let Inverse::Effect(inverse) = &mut action.inverse {
                    hide(inverse);
                }
            }
        }
        plan
    }

    /// Was it printed without its secrets?
    pub fn lacks_secrets(&self) -> bool {
        self.actions.iter().any(|action| {
            action.is_secret()
                && matches!(&action.effect, Effect::PutFile { content, .. } if content.as_bytes() == NOT_SHOWN.as_bytes())
        })
    }

    /// The action of this id: they stand in the order of their ids.
    pub fn action(&self, id: ActionId) -> Option<&Action> {
        let place = self.actions.binary_search_by_key(&id, |action| action.id);
        Some(&self.actions[place.ok()?])
    }

    pub fn risk(&self) -> Risk {
        self.actions
            .iter()
            .map(|action| action.risk)
            .max()
            .unwrap_or_default()
    }
}

/// What stands for a content or a value that is not shown.
const NOT_SHOWN: &str = "(not shown)";

fn hide(effect: &mut Effect) {
    match effect {
        Effect::PutFile { content, .. } => *content = NOT_SHOWN.into(),
        Effect::Sysctl { value, .. } => NOT_SHOWN.clone_into(value),
        Effect::Link { target, .. } => *target = NOT_SHOWN.into(),
        _ => {}
    }
}

/// Which host a plan is for. Another host refuses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostIdentity {
    pub hostname: String,
    /// The digest of `/etc/machine-id` (machine-id(5) asks not to publish the id itself);
    /// none where there is no such file.
    pub machine: Option<Digest>,
}

/// What was asked for. Empty lists select nothing of their kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    pub baselines: Vec<String>,
    /// Profiles whose rules are added: `strict`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    pub roles: Vec<String>,
    pub rules: Vec<String>,
    /// The policy directory, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Parameters of roles as given on the command line.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// The same, and where each value comes from: `env:NAME`, `file:PATH` or `credential:NAME`.
    /// The values themselves are not kept here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params_from: BTreeMap<String, String>,
    /// Files of parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub param_files: Vec<String>,
    /// One failure takes back everything, not only its change set.
    #[serde(default)]
    pub all_or_nothing: bool,
    /// Upgrades of packages, and which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patches: Option<Patches>,
    /// Of these, only the packages of these names, and those that are built from sources of these
    /// names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Packages that stay as they are, and with them what can't be upgraded without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<String>,
    /// Packages that a repair takes back to the version that was there before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<String>,
    /// Only what closes these vulnerabilities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vulnerabilities: Vec<String>,
    /// How long an upgrade may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_seconds: Option<u64>,
    /// The only time at which it may begin, in UTC: `Sat 02:00-05:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// How much of that it takes at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_seconds: Option<u64>,
}

/// Which pending upgrades a patch takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Patches {
    #[default]
    All,
    /// Those that the distribution publishes as security updates.
    Security,
    /// Those that close findings which are due within so many days, or overdue.
    Due {
        within_days: u16,
        /// Of these, only what the distribution publishes as security updates.
        #[serde(default, skip_serializing_if = "is_false")]
        only_security: bool,
    },
    /// None: what dpkg left unfinished is finished, or installed again.
    Repair,
    /// None: what runs the old files of upgrades that are done already is restarted.
    Restart,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "as serde's skip_serializing_if wants it"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// One step, and how to take it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    pub id: ActionId,
    /// The rules and roles that asked for it.
    pub serves: Vec<String>,
    pub effect: Effect,
    pub inverse: Inverse,
    /// Which premises it rests on: places in [`Plan::premises`].
    pub rests_on: Vec<u32>,
    /// These go first.
    pub after: Vec<ActionId>,
    /// Actions of one set succeed, or are taken back, as one.
    pub change_set: u32,
    pub risk: Risk,
    /// What makes it so, where that is the thing that is touched and not the rule's own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk_why: Option<String>,
    /// A program that must accept the new files before they are put in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<Validator>,
    /// Never show the content of this action.
    #[serde(default)]
    pub sensitive: bool,
    /// What it changes is known only when the packages before it are there: then it is done where it
    /// is needed, and else nothing is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub decided_on_host: bool,
    /// What systemd starts and stops with the unit that is told.
    #[serde(default, skip_serializing_if = "Along::is_empty")]
    pub along: Along,
    /// Of a file that packages of the same plan bring, and that is not written as a whole: the
    /// lines that go and come. The file's other lines may be different on the host, where a
    /// package's script makes them anew; these may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<LineEdit>,
}

/// Units that move along with another (systemd.unit(5): `Requires=`, `BindsTo=`, `PartOf=`,
/// `Conflicts=`), by what runs when the plan is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Along {
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub starts: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stops: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub restarts: BTreeSet<String>,
}

impl Along {
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty() && self.stops.is_empty() && self.restarts.is_empty()
    }
}

/// The lines that change in a file, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineEdit {
    pub gone: Vec<String>,
    pub new: Vec<String>,
}

impl Action {
    /// May its content and values be shown to nobody?
    pub fn is_secret(&self) -> bool {
        self.sensitive || self.effect.path().is_some_and(may_hold_secrets)
    }
}

/// Programs that check a configuration before it takes effect, run over the new files laid
/// over the old in a private mount namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validator {
    /// `sshd -t`
    Sshd,
    /// `visudo -c`
    Sudoers,
    /// `nginx -t`
    Nginx,
    /// `systemd-analyze verify` of the changed units
    SystemdUnit,
    /// `apt-get --print-uris update`, offline: are the sources readable
    AptSources,
    /// `nft -c -f /etc/nftables.conf`
    Nftables,
    /// `logrotate -d`: what it says of the changed files
    Logrotate,
    /// The grammar of system crontabs (crontab(5)), and whether the accounts are there
    Cron,
    /// `findmnt --verify`: what it says now and did not say before
    Fstab,
}

impl Validator {
    pub const fn command(self) -> &'static str {
        match self {
            Self::Sshd => "sshd -t",
            Self::Sudoers => "visudo -c",
            Self::Nginx => "nginx -t",
            Self::SystemdUnit => "systemd-analyze verify",
            Self::AptSources => "apt-get --print-uris",
            Self::Nftables => "nft -c -f",
            Self::Logrotate => "logrotate -d",
            Self::Cron => "the grammar of crontab(5)",
            Self::Fstab => "findmnt --verify",
        }
    }
}

/// A wanted resource that the plan does not touch, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftAlone {
    /// The rule, or the role.
    pub what: String,
    pub why: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at: Vec<SourceLine>,
}

impl LeftAlone {
    /// How the reason of what is as wanted already begins: plans keep words only.
    pub const PASSES: &str = "passes already";
    /// How the reason begins of what makes no sense on this host.
    pub const NOT_APPLICABLE: &str = "does not apply";

    /// The same, of what a look at the host says can't be done or not be taken back.
    pub const IMPOSSIBLE: &str = "can't be done:";

    /// The same, of what could not be looked at.
    pub const UNKNOWN: &str = "unknown:";

    /// The same, of what a look at failed with.
    pub const ERROR: &str = "error:";

    /// The same, of what no step of ours fixes.
    pub const BY_HAND: &str = "by hand:";

    /// How what a role wants is called begins.
    pub const OF_ROLE: &str = "role ";

    /// Is it left alone since nobody knows whether it is as wanted?
    pub fn is_unknown(&self) -> bool {
        self.why.starts_with(Self::UNKNOWN) || self.why.starts_with(Self::ERROR)
    }

    /// Is it a want of a role that is not as wanted, and that somebody has to fix by hand?
    pub fn is_by_hand_of_role(&self) -> bool {
        self.what.starts_with(Self::OF_ROLE) && self.is_by_hand()
    }

    /// Is it not as wanted, and for somebody's hands?
    pub fn is_by_hand(&self) -> bool {
        self.why.starts_with(Self::BY_HAND)
    }

    /// Is it left alone since it can't be done?
    pub fn is_impossible(&self) -> bool {
        self.why.starts_with(Self::IMPOSSIBLE)
    }

    /// Is it left alone since it is as wanted?
    pub fn passes(&self) -> bool {
        self.why.starts_with(Self::PASSES)
    }

    pub fn does_not_apply(&self) -> bool {
        self.why.starts_with(Self::NOT_APPLICABLE)
    }
}

/// An observed value that the plan rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Premise {
    pub probe: Probe,
    pub digest: Digest,
    /// The value itself, so that a difference can be shown; left out where it may hold a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Observed>,
    /// As the copy of the host showed it after this action: it holds only then. None: as the host
    /// itself showed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ActionId>,
    /// Of a file's content after that action: the digest of all but its bytes, which a script may
    /// make anew each time. Where only these differ, it is decided again what is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Digest>,
}

/// Paths whose content may hold secrets: never stored in a plan or printed.
pub fn may_hold_secrets(path: &HostPath) -> bool {
    const FILES: [&str; 13] = [
        "/etc/shadow",
        "/etc/gshadow",
        "/etc/shadow-",
        "/etc/gshadow-",
        "/etc/security/opasswd",
        "/etc/apt/auth.conf",
        "/etc/apt/auth.conf.d",
        "/etc/krb5.keytab",
        "/etc/NetworkManager/system-connections",
        "/etc/sssd",
        "/etc/ssl/private",
        "/etc/wireguard",
        "/root/.ssh",
    ];
    let bytes = path.as_bytes();
    let is_host_key = bytes.starts_with(b"/etc/ssh/ssh_host_") && !bytes.ends_with(b".pub");
    is_host_key
        || FILES.iter().any(|file| {
            bytes
                .strip_prefix(file.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        }) && !bytes.ends_with(b"/authorized_keys")
}
