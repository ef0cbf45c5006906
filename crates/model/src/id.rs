//! Names and ids. Each is a type of its own, so that one can't stand for another.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Digest, compared};

/// A text is not a valid name of its kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a {what}: use lower-case letters, digits and `-`, at most 100 characters")]
pub struct BadName {
    pub what: &'static str,
    pub text: String,
}

fn is_name(text: &str) -> bool {
    // 100 characters fit one line of a terminal report with room for the rest.
    (1..=100).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $type(String);

        impl $type {
            pub fn new(text: impl Into<String>) -> Result<Self, BadName> {
                let text = text.into();
                if is_name(&text) {
                    Ok(Self(text))
                } else {
                    Err(BadName { what: $what, text: crate::printable(text.as_bytes()) })
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl FromStr for $type {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::new(text)
            }
        }
    };
}

/// What a finding is about: a rule, unique over all baselines (`ssh-root-login`), or one want
/// of a role, as `ROLE/kind:key` (`web/file:/etc/motd`), whatever the order of its list.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RuleId(String);

impl RuleId {
    /// The id of a rule.
    ///
    /// # Errors
    /// When it is no name.
    pub fn new(text: impl Into<String>) -> Result<Self, BadName> {
        let text = text.into();
        if is_name(&text) {
            Ok(Self(text))
        } else {
            Err(Self::bad(&text))
        }
    }

    /// The id of what a role wants.
    pub fn of_want(role: &RoleName, key: &ResourceKey) -> Self {
        let name = crate::printable(key.name.as_bytes());
        Self(format!("{role}/{}:{name}", key.kind))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The role whose want it is; none for a rule.
    pub fn role(&self) -> Option<&str> {
        self.0.split_once('/').map(|(role, _)| role)
    }

    fn bad(text: &str) -> BadName {
        BadName {
            what: "rule id",
            text: crate::printable(text.as_bytes()),
        }
    }
}

/// Has the text the form of [`RuleId::of_want`]?
fn is_id_of_want(text: &str) -> bool {
    let parts = text
        .split_once('/')
        .and_then(|(role, rest)| Some((role, rest.split_once(':')?)));
    parts.is_some_and(|(role, (kind, name))| {
        let in_kind = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        is_name(role)
            && !kind.is_empty()
            && kind.bytes().all(in_kind)
            && !name.is_empty()
            && !name.chars().any(char::is_control)
    })
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for RuleId {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        if is_name(&text) || is_id_of_want(&text) {
            Ok(Self(text))
        } else {
            Err(Self::bad(&text))
        }
    }
}

impl From<RuleId> for String {
    fn from(id: RuleId) -> Self {
        id.0
    }
}

impl FromStr for RuleId {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        Self::new(text)
    }
}
name!(
    /// A baseline's name: `debian`, `openssh`.
    BaselineName, "baseline name");
name!(
    /// A role's name: `web`.
    RoleName, "role name");

/// What a resource is about: two different wants with one key contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceKey {
    /// The kind's name as written in a policy: `file`, `sshd`.
    pub kind: String,
    /// What it is on the host: a path, an option, an account.
    pub name: String,
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            self.kind,
            crate::printable(self.name.as_bytes())
        )
    }
}

/// A plan's id: the digest of its bytes as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlanId(pub Digest);

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.short())
    }
}

/// An action's place in its plan, from 0.
#[derive(Clone, Copy, Debug, Eq, Serialize, Deserialize)]
pub struct ActionId(pub u32);

impl PartialEq for ActionId {
    fn eq(&self, other: &Self) -> bool {
        compared::note();
        self.0 == other.0
    }
}

impl PartialOrd for ActionId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ActionId {
    fn cmp(&self, other: &Self) -> Ordering {
        compared::note();
        self.0.cmp(&other.0)
    }
}

impl Hash for ActionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "action {}", self.0)
    }
}

/// A change's number in this host's journal, from 1, shown as `c-19`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChangeId(pub u64);

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("c-{}", self.0))
    }
}

impl FromStr for ChangeId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        text.strip_prefix("c-")
            .unwrap_or(text)
            .parse()
            .map(Self)
            .map_err(|_| BadName {
                what: "change id",
                text: crate::printable(text.as_bytes()),
            })
    }
}

impl TryFrom<String> for ChangeId {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<ChangeId> for String {
    fn from(id: ChangeId) -> Self {
        id.to_string()
    }
}
