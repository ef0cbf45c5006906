//! What a path's permission bits and ownership should be, for every kind that has a path.

use std::fmt;

use model::value::{AclEntry, AclWho, Meta};
use model::{HostPath, Mode, printable};
use schemars::JsonSchema;
use serde::de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};

use crate::Edit;

/// Exact permission bits, `"0644"`, or a bound, `{at_most: "0640"}`: then no bit beyond it
/// may be set, and a fix clears those that are. An ACL (acl(5)) must not let anybody do more than
/// everyone else may; a fix takes it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum ModeWanted {
    Exactly(Mode),
    AtMost(ModeAtMost),
}

/// Permission bits beyond which none may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModeAtMost {
    pub at_most: Mode,
}

/// An account's or a group's name, or several that will do and the one to set.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum NameWanted {
    Exactly(String),
    OneOf(NameOneOf),
}

/// Names that will do, and the one to set when it is none of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NameOneOf {
    pub one_of: Vec<String>,
    pub set: String,
}

// Written by hand rather than untagged, so that a mistake gets a message of its own.
impl<'de> Deserialize<'de> for ModeWanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ModeWanted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mode in quotes, as in \"0644\", or {at_most: \"0644\"}")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ModeWanted, E> {
                text.parse().map(ModeWanted::Exactly).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ModeWanted, A::Error> {
                ModeAtMost::deserialize(MapAccessDeserializer::new(map)).map(ModeWanted::AtMost)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for NameWanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = NameWanted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or {one_of: [a, b], set: a}")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<NameWanted, E> {
                Ok(NameWanted::Exactly(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NameWanted, A::Error> {
                let one = NameOneOf::deserialize(MapAccessDeserializer::new(map))?;
                if one.one_of.contains(&one.set) {
                    Ok(NameWanted::OneOf(one))
                } else {
                    Err(A::Error::custom("`set` is not among `one_of`"))
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl ModeWanted {
    pub fn holds(self, mode: Mode) -> bool {
        match self {
            Self::Exactly(wanted) => mode == wanted,
            Self::AtMost(bound) => mode.within(bound.at_most),
        }
    }

    /// What to set on something that has `mode`.
    pub fn set(self, mode: Mode) -> Mode {
        match self {
            Self::Exactly(wanted) => wanted,
            Self::AtMost(bound) => Mode::new(mode.bits() & bound.at_most.bits()),
        }
    }
}

impl fmt::Display for ModeWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(mode) => write!(f, "{mode}"),
            Self::AtMost(bound) => write!(f, "at most {}", bound.at_most),
        }
    }
}

impl NameWanted {
    /// `name` is none for an id that no account has; a policy may write the number itself.
    fn holds(&self, name: Option<&str>, id: u32) -> bool {
        let same = |wanted: &String| match name {
            Some(name) => wanted == name,
            None => *wanted == id.to_string(),
        };
        match self {
            Self::Exactly(wanted) => same(wanted),
            Self::OneOf(one) => one.one_of.iter().any(same),
        }
    }

    pub fn set(&self) -> &str {
        match self {
            Self::Exactly(name) => name,
            Self::OneOf(one) => &one.set,
        }
    }
}

impl fmt::Display for NameWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(name) => f.write_str(name),
            Self::OneOf(one) => write!(f, "one of {}", one.one_of.join(", ")),
        }
    }
}

/// What is wanted of one path, as its kind declares it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub mode: Option<ModeWanted>,
    pub owner: Option<&'a NameWanted>,
    pub group: Option<&'a NameWanted>,
}

/// What differs, in words, and the edit that mends it.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    pub observed: Vec<String>,
    pub wanted: Vec<String>,
    pub edit: Option<Edit>,
}

impl Wanted<'_> {
    pub fn compare(&self, path: &HostPath, meta: &Meta) -> Difference {
        let mut found = Difference::default();
        let (mut mode, mut owner, mut group) = (None, None, None);
        let mut drop_acl = false;
        if let Some(wanted) = self.mode
            && !wanted.holds(meta.mode)
        {
            found.observed.push(format!("mode {}", meta.mode));
            found.wanted.push(format!("mode {wanted}"));
            mode = Some(wanted.set(meta.mode));
        }
        let mut named = self.granted_by_name(meta);
        named.extend(self.granted_by_default(meta));
        if let Some(wanted) = self.mode
            && !named.is_empty()
        {
            found.observed.extend(named);
            found
                .wanted
                .push(format!("mode {wanted}, and no more by an ACL"));
            // Without the ACL, the group's bits count, which were its mask until then.
            let without = meta.mode.bits() & !(0o070 & !(owning_group(meta) << 3));
            mode = Some(wanted.set(Mode::new(without)));
            drop_acl = true;
        }
        for (what, wanted, name, id, set) in [
            ("owner", self.owner, &meta.owner, meta.uid, &mut owner),
            ("group", self.group, &meta.group, meta.gid, &mut group),
        ] {
            if let Some(wanted) = wanted
                && !wanted.holds(name.as_deref(), id)
            {
                found.observed.push(format!("{what} {}", shown(name, id)));
                found.wanted.push(format!("{what} {wanted}"));
                *set = Some(wanted.set().to_owned());
            }
        }
        if !found.observed.is_empty() {
            found.edit = Some(Edit::Meta {
                path: path.clone(),
                mode,
                owner,
                group,
                drop_capabilities: false,
                drop_acl,
            });
        }
        found
    }

    /// Who may do more with what is made in a directory than everyone may in it.
    fn granted_by_default(&self, meta: &Meta) -> Vec<String> {
        let all = self.granted(meta, meta.default_acl.as_deref(), 0o7);
        let said = all
            .into_iter()
            .map(|(who, words)| format!("{who} {words} what is made in it (by its default ACL)"));
        said.collect()
    }

    /// Who may do more by the ACL than everyone may by the mode that is wanted. Entries count
    /// within the mask, which the group's bits are (acl(5)); the owner and the group that owns
    /// the file have the mode's own bits.
    fn granted_by_name(&self, meta: &Meta) -> Vec<String> {
        let Some(wanted) = self.mode else {
            return Vec::new();
        };
        let mask = wanted.set(meta.mode).bits() | meta.mode.bits();
        let all = self.granted(meta, meta.acl.as_deref(), mask >> 3 & 0o7);
        let said = all
            .into_iter()
            .map(|(who, words)| format!("{who} {words} (by its ACL)"));
        said.collect()
    }

    /// Who gets more from these entries, within the mask, than everyone by the mode that is wanted, and
    /// what.
    fn granted(&self, meta: &Meta, acl: Option<&[AclEntry]>, mask: u32) -> Vec<(String, String)> {
        let Some(wanted) = self.mode else {
            return Vec::new();
        };
        let everyones = wanted.set(Mode::new(0o7777)).bits() & 0o7;
        let more = |entry: &AclEntry| {
            let more = entry.bits & mask & !everyones;
            let who = match &entry.who {
                _ if more == 0 => return None,
                AclWho::OwningGroup | AclWho::User { id: 0, .. } => return None,
                AclWho::User { id, .. } if *id == meta.uid => return None,
                AclWho::Group { id, .. } if *id == meta.gid => return None,
                AclWho::User { id, name } => shown(name, *id),
                AclWho::Group { id, name } => format!("group {}", shown(name, *id)),
            };
            Some((who, words(more)))
        };
        acl.into_iter().flatten().filter_map(more).collect()
    }
}

/// What the ACL lets the owning group do, its mask not yet taken into account.
fn owning_group(meta: &Meta) -> u32 {
    let owning = |entry: &&AclEntry| entry.who == AclWho::OwningGroup;
    let entry = meta.acl.iter().flatten().find(owning);
    entry.map_or(0o7, |entry| entry.bits)
}

/// `may read and write`, of permission bits.
fn words(bits: u32) -> String {
    let words = [(4, "read"), (2, "write"), (1, "run or enter")];
    let granted = words.iter().filter(|(bit, _)| bits & bit != 0);
    let granted: Vec<&str> = granted.map(|(_, word)| *word).collect();
    format!("may {}", granted.join(" and "))
}

fn shown(name: &Option<String>, id: u32) -> String {
    match name {
        Some(name) => printable(name.as_bytes()),
        None => format!("{id}, which has no name"),
    }
}

/// `mode 0644, root, root`: what is there, for evidence.
pub(crate) fn describe(meta: &Meta) -> String {
    format!(
        "mode {}, {}:{}",
        meta.mode,
        shown(&meta.owner, meta.uid),
        shown(&meta.group, meta.gid)
    )
}
