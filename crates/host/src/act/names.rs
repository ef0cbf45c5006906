//! Names of accounts and groups, read from the tree's own files: the C library's name
//! service can't be relied on in a static binary.

use model::HostPath;

use super::{ActError, Root};

/// Hosts with a hundred thousand local accounts fit.
const LIMIT_BYTES: u64 = 16 << 20;

/// The local accounts and groups, as far as effects need them.
#[derive(Debug, Default)]
pub struct Names {
    accounts: Vec<(String, u32, u32)>,
    groups: Vec<(String, u32, Vec<String>)>,
}

impl Names {
    pub fn read(root: &Root) -> Result<Self, ActError> {
        let text = |path| -> Result<String, ActError> {
            let bytes = root.read(&HostPath::literal(path), LIMIT_BYTES)?;
            Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
        };
        Ok(Self::parse(&text("/etc/passwd")?, &text("/etc/group")?))
    }

    /// Reads passwd(5) and group(5); lines that are not in their form are passed over.
    pub fn parse(passwd: &str, group: &str) -> Self {
        let accounts = passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            let mut number = || fields.nth(1).and_then(|text| text.parse().ok());
            let uid = number()?;
            let gid = fields.next()?.parse().ok()?;
            Some((name, uid, gid))
        });
        let groups = group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            let gid = fields.nth(1)?.parse().ok()?;
            let members = fields.next().unwrap_or("").split(',');
            let members = members.filter(|name| !name.is_empty()).map(str::to_owned);
            Some((name, gid, members.collect()))
        });
        Self {
            accounts: accounts.collect(),
            groups: groups.collect(),
        }
    }

    /// The user id of a name, or of the digits of an id.
    pub fn uid(&self, name: &str) -> Result<u32, ActError> {
        let known = self.accounts.iter().find(|account| account.0 == name);
        known
            .map(|account| account.1)
            .or_else(|| name.parse().ok())
            .ok_or_else(|| ActError::program("change an owner", format!("no account `{name}`")))
    }

    /// The group id of a name, or of the digits of an id.
    pub fn gid(&self, name: &str) -> Result<u32, ActError> {
        let known = self.groups.iter().find(|group| group.0 == name);
        known
            .map(|group| group.1)
            .or_else(|| name.parse().ok())
            .ok_or_else(|| ActError::program("change a group", format!("no group `{name}`")))
    }

    /// The primary group and all groups of the account with this id.
    pub fn groups_of(&self, uid: u32) -> Option<(u32, Vec<u32>)> {
        let (name, _, gid) = self.accounts.iter().find(|account| account.1 == uid)?;
        let others = self.groups.iter().filter(|group| group.2.contains(name));
        let mut all: Vec<u32> = others.map(|group| group.1).chain([*gid]).collect();
        all.sort_unstable();
        all.dedup();
        Some((*gid, all))
    }
}
