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

/// An account that a program runs as.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    name: String,
    home: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

impl Account {
    /// A local account of the running host.
    pub(crate) fn find(name: &str) -> Result<Self, ActError> {
        let root = Root::live()?;
        let names = Names::read(&root)?;
        let unknown =
            || ActError::program("run as another account", format!("no account `{name}`"));
        let uid = names
            .accounts
            .iter()
            .find(|account| account.0 == name)
            .ok_or_else(unknown)?
            .1;
        let (gid, groups) = names.groups_of(uid).ok_or_else(unknown)?;
        let passwd = root.read(&HostPath::literal("/etc/passwd"), LIMIT_BYTES)?;
        let passwd = String::from_utf8_lossy(&passwd.unwrap_or_default()).into_owned();
        let home = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.first() == Some(&name))
            .and_then(|fields| fields.get(5).map(|home| (*home).to_owned()));
        Ok(Self {
            name: name.to_owned(),
            home: home.unwrap_or_else(|| "/".to_owned()),
            uid,
            gid,
            groups,
        })
    }

    /// As login(1) sets them.
    pub(crate) fn variables(&self) -> [(&'static str, &str); 3] {
        [
            ("USER", &self.name),
            ("LOGNAME", &self.name),
            ("HOME", &self.home),
        ]
    }
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

    pub fn has_account(&self, name: &str) -> bool {
        self.accounts.iter().any(|account| account.0 == name)
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
