//! Accounts and groups, from this root's own files. The C library's name service is not
//! used: a static binary can't rely on it, and it would answer for this machine where a
//! tree is looked at.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use model::value::{AccountSeen, AccountsSeen, GroupSeen, PasswordSeen, Reason};
use model::{HostPath, SourceLine, Tool, Value};

use crate::local::Inner;
use crate::parse::account::{
    Group, Parsed, Passwd, PasswordField, Shadow, malformed_gshadow, parse_group, parse_passwd,
    parse_shadow,
};
use crate::parse::nsswitch::other_sources;
use crate::tool;
use crate::tree::Trouble;

/// A hundred thousand accounts fit; a larger file is somebody's joke.
const LIMIT_BYTES: u64 = 16 << 20;

/// Malformed lines are listed up to this number: more help nobody.
const MOST_MALFORMED: usize = 100;

/// Names that other sources were asked for. A tree full of unknown owners does not start
/// a program for each.
const MOST_ASKED: usize = 64;

pub fn passwd(host: &Arc<Inner>) -> Result<Parsed<Passwd>, Trouble> {
    host.read("/etc/passwd", LIMIT_BYTES)
        .map(|bytes| parse_passwd(&bytes))
}

pub fn group(host: &Arc<Inner>) -> Result<Parsed<Group>, Trouble> {
    host.read("/etc/group", LIMIT_BYTES)
        .map(|bytes| parse_group(&bytes))
}

/// Sources of accounts besides the files.
pub fn sources(host: &Arc<Inner>) -> Result<Vec<String>, Trouble> {
    let bytes = match host.read("/etc/nsswitch.conf", 1 << 20) {
        Ok(bytes) => bytes,
        // Without the file, glibc looks into the files only.
        Err(Trouble::Absent) => Vec::new(),
        Err(trouble) => return Err(trouble),
    };
    let mut sources = other_sources(&bytes, "passwd");
    sources.extend(other_sources(&bytes, "group"));
    sources.sort();
    sources.dedup();
    if !has_user_records(host) {
        // Debian names `systemd` on every host; by itself it only adds the passing users
        // of `DynamicUser=` services.
        sources.retain(|source| source != "systemd");
    }
    Ok(sources)
}

/// Does anything give systemd accounts of its own: drop-in records (nss-systemd(8)), or
/// a service such as systemd-homed?
fn has_user_records(host: &Arc<Inner>) -> bool {
    const RECORDS: [&str; 4] = [
        "/etc/userdb",
        "/run/userdb",
        "/usr/lib/userdb",
        "/run/host/userdb",
    ];
    const BUILT_IN: [&[u8]; 4] = [
        b"io.systemd.DropIn",
        b"io.systemd.DynamicUser",
        b"io.systemd.Multiplexer",
        b"io.systemd.NameServiceSwitch",
    ];
    let names = |path: &str| {
        HostPath::from_bytes(path.as_bytes())
            .ok()
            .and_then(|path| host.tree.list(&path).ok())
            .unwrap_or_default()
    };
    RECORDS.iter().any(|path| !names(path).is_empty())
        || names("/run/systemd/userdb")
            .iter()
            .any(|(name, _)| !BUILT_IN.contains(&&name[..]))
}

pub fn accounts(host: &Arc<Inner>) -> Result<Value, Trouble> {
    // Without accounts there is nothing to say; that a host has no passwd file is not
    // "no accounts" but a broken host.
    let passwd = passwd(host).map_err(|trouble| missing(trouble, "/etc/passwd"))?;
    let group = group(host).map_err(|trouble| missing(trouble, "/etc/group"))?;
    let shadow = host
        .read("/etc/shadow", LIMIT_BYTES)
        .map(|bytes| parse_shadow(&bytes));
    let mut malformed = Vec::new();
    let mut list = |path: &'static str, lines: &[u32]| {
        let room = MOST_MALFORMED.saturating_sub(malformed.len());
        malformed.extend(
            lines
                .iter()
                .take(room)
                .map(|line| SourceLine::new(HostPath::literal(path), *line)),
        );
    };
    list("/etc/passwd", &passwd.malformed);
    if let Ok(shadow) = &shadow {
        list("/etc/shadow", &shadow.malformed);
    }
    list("/etc/group", &group.malformed);
    if let Ok(bytes) = host.read("/etc/gshadow", LIMIT_BYTES) {
        list("/etc/gshadow", &malformed_gshadow(&bytes));
    }
    // Of two lines for one name, the first is the one that counts.
    let mut secrets: HashMap<&str, &Shadow> = HashMap::new();
    if let Ok(shadow) = &shadow {
        for line in &shadow.entries {
            secrets.entry(&line.entry.name).or_insert(&line.entry);
        }
    }
    let accounts = passwd
        .entries
        .into_iter()
        .map(|line| {
            let account = line.entry;
            let secret = secrets.get(&*account.name);
            let password = match (account.password, secret) {
                (PasswordField::Here(password), _) => password,
                (PasswordField::InShadow, Some(secret)) => secret.password.clone(),
                // `x` without a line in a shadow file that was read: no password matches.
                (PasswordField::InShadow, None) => match &shadow {
                    Ok(_) | Err(Trouble::Absent) => PasswordSeen::None,
                    Err(Trouble::Unknown(_)) => PasswordSeen::Unknown,
                },
            };
            AccountSeen {
                line: line.line,
                uid: account.uid,
                gid: account.gid,
                comment: account.comment,
                home: account.home,
                shell: account.shell,
                password,
                ageing: secret.map(|secret| secret.ageing.clone()),
                name: account.name,
            }
        })
        .collect();
    let groups = group
        .entries
        .into_iter()
        .map(|line| GroupSeen {
            name: line.entry.name,
            line: line.line,
            gid: line.entry.gid,
            members: line.entry.members,
        })
        .collect();
    Ok(Value::Accounts(AccountsSeen {
        accounts,
        groups,
        other_sources: sources(host)?,
        malformed,
        shadow_unknown: match shadow {
            Err(Trouble::Unknown(Reason::NeedsRoot)) => Some(Reason::NeedsRoot),
            Err(Trouble::Unknown(reason)) => Some(Reason::Failed {
                why: format!("`/etc/shadow`: {reason}"),
            }),
            Ok(_) | Err(Trouble::Absent) => None,
        },
    }))
}

pub fn missing(trouble: Trouble, path: &str) -> Trouble {
    match trouble {
        Trouble::Absent => Reason::Unavailable {
            what: format!("this host has no `{path}`"),
        }
        .into(),
        other => other,
    }
}

/// Names of user and group ids.
pub struct Names {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
    /// Could the files be read? Without them, nothing can be called unowned.
    pub readable: Result<(), Trouble>,
    /// Is there anybody else to ask?
    others: bool,
    asked: Mutex<HashMap<(Database, u32), Asked>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Database {
    Passwd,
    Group,
}

/// What other sources say of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Name(String),
    NoSuch,
    /// Nobody could be asked.
    Unknown,
}

/// Has an id a name?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owned {
    Yes,
    No,
    Unknown,
}

impl Names {
    pub fn read(host: &Arc<Inner>) -> Self {
        let passwd = passwd(host);
        let group = group(host);
        let readable = match (&passwd, &group) {
            (Err(trouble), _) => Err(missing(trouble.clone(), "/etc/passwd")),
            (_, Err(trouble)) => Err(missing(trouble.clone(), "/etc/group")),
            _ => Ok(()),
        };
        let mut users = BTreeMap::new();
        let mut groups = BTreeMap::new();
        // The first line for an id gives its name, as in the C library.
        for line in passwd.into_iter().flat_map(|passwd| passwd.entries) {
            users.entry(line.entry.uid).or_insert(line.entry.name);
        }
        for line in group.into_iter().flat_map(|group| group.entries) {
            groups.entry(line.entry.gid).or_insert(line.entry.name);
        }
        let bytes = host.read("/etc/nsswitch.conf", 1 << 20).unwrap_or_default();
        let others = !other_sources(&bytes, "passwd").is_empty()
            || !other_sources(&bytes, "group").is_empty();
        Self {
            users,
            groups,
            readable,
            others,
            asked: Mutex::default(),
        }
    }

    /// Is this the id of somebody in the files?
    pub fn has_user(&self, uid: u32) -> bool {
        self.users.contains_key(&uid)
    }

    pub fn has_group(&self, gid: u32) -> bool {
        self.groups.contains_key(&gid)
    }

    pub fn user(&self, host: &Arc<Inner>, uid: u32) -> Option<String> {
        match self.users.get(&uid) {
            Some(name) => Some(name.clone()),
            None => self.name(host, Database::Passwd, uid),
        }
    }

    pub fn group(&self, host: &Arc<Inner>, gid: u32) -> Option<String> {
        match self.groups.get(&gid) {
            Some(name) => Some(name.clone()),
            None => self.name(host, Database::Group, gid),
        }
    }

    pub fn user_exists(&self, host: &Arc<Inner>, uid: u32) -> Owned {
        if self.has_user(uid) {
            return Owned::Yes;
        }
        self.owned(host, Database::Passwd, uid)
    }

    pub fn group_exists(&self, host: &Arc<Inner>, gid: u32) -> Owned {
        if self.has_group(gid) {
            return Owned::Yes;
        }
        self.owned(host, Database::Group, gid)
    }

    fn owned(&self, host: &Arc<Inner>, database: Database, id: u32) -> Owned {
        if !self.others {
            return Owned::No;
        }
        match self.ask(host, database, id) {
            Asked::Name(_) => Owned::Yes,
            Asked::NoSuch => Owned::No,
            Asked::Unknown => Owned::Unknown,
        }
    }

    fn name(&self, host: &Arc<Inner>, database: Database, id: u32) -> Option<String> {
        if !self.others {
            return None;
        }
        match self.ask(host, database, id) {
            Asked::Name(name) => Some(name),
            Asked::NoSuch | Asked::Unknown => None,
        }
    }

    /// Asks `getent`, once for each id.
    fn ask(&self, host: &Arc<Inner>, database: Database, id: u32) -> Asked {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = asked.get(&(database, id)) {
            return known.clone();
        }
        if asked.len() >= MOST_ASKED {
            return Asked::Unknown;
        }
        let database_name = match database {
            Database::Passwd => "passwd",
            Database::Group => "group",
        };
        let args = [database_name.to_owned(), id.to_string()];
        let answer = match tool::ask(host, Tool::Getent, &args) {
            Ok(Value::Output(output)) => match output.status {
                Some(0) => output
                    .stdout
                    .split(':')
                    .next()
                    .filter(|name| !name.is_empty())
                    .map_or(Asked::Unknown, |name| Asked::Name(name.to_owned())),
                // "One or more supplied key could not be found" (getent(1)).
                Some(2) => Asked::NoSuch,
                _ => Asked::Unknown,
            },
            _ => Asked::Unknown,
        };
        asked.insert((database, id), answer.clone());
        answer
    }
}
