//! Pure edits of passwd(5), shadow(5), group(5) and gshadow(5): the lines that an operation
//! is about change, every other line stays as it is, byte for byte.

use model::{AccountOp, printable};

/// The four files as they are. A host without shadow files has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountFiles {
    pub passwd: Vec<u8>,
    pub shadow: Option<Vec<u8>>,
    pub group: Vec<u8>,
    pub gshadow: Option<Vec<u8>>,
}

/// What login.defs(5) says about new accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    pub uids: (u32, u32),
    pub system_uids: (u32, u32),
    pub gids: (u32, u32),
    pub system_gids: (u32, u32),
    pub min_days: String,
    pub max_days: String,
    pub warn_days: String,
    /// Of a new home directory.
    pub home_mode: u32,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            uids: (1000, 60000),
            system_uids: (100, 999),
            gids: (1000, 60000),
            system_gids: (100, 999),
            min_days: "0".to_owned(),
            max_days: "99999".to_owned(),
            warn_days: "7".to_owned(),
            home_mode: 0o700,
        }
    }
}

impl Defaults {
    /// Reads login.defs(5); what it does not say keeps the documented default.
    pub fn parse(text: &str) -> Self {
        let value = |wanted: &str| {
            text.lines()
                .filter_map(|line| {
                    let mut words = line.split_whitespace();
                    (words.next() == Some(wanted))
                        .then(|| words.next())
                        .flatten()
                })
                .next_back()
        };
        let number = |name: &str, default: u32| {
            value(name)
                .and_then(|text| text.parse().ok())
                .unwrap_or(default)
        };
        let days = |name: &str, default: &str| {
            value(name)
                .filter(|text| text.parse::<i64>().is_ok())
                .unwrap_or(default)
                .to_owned()
        };
        let mode = value("HOME_MODE").and_then(|text| u32::from_str_radix(text, 8).ok());
        Self {
            uids: (number("UID_MIN", 1000), number("UID_MAX", 60000)),
            system_uids: (number("SYS_UID_MIN", 100), number("SYS_UID_MAX", 999)),
            gids: (number("GID_MIN", 1000), number("GID_MAX", 60000)),
            system_gids: (number("SYS_GID_MIN", 100), number("SYS_GID_MAX", 999)),
            min_days: days("PASS_MIN_DAYS", "0"),
            max_days: days("PASS_MAX_DAYS", "99999"),
            warn_days: days("PASS_WARN_AGE", "7"),
            home_mode: mode.unwrap_or(0o700) & 0o7777,
        }
    }
}

/// An operation can't be carried out on these files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    #[error("there is no {what} `{name}`")]
    Missing { what: &'static str, name: String },
    #[error("there is a {what} `{name}` already")]
    Exists { what: &'static str, name: String },
    #[error("`{0}` can't stand in an account file")]
    BadText(String),
    #[error("id {0} is taken")]
    Taken(u32),
    #[error("no free id between {0} and {1}")]
    NoneFree(u32, u32),
    #[error("`{0}` is the primary group of an account")]
    InUse(String),
}

type Outcome = Result<(), AccountError>;

impl AccountFiles {
    /// Carries out `op`. `today` is the day since 1970-01-01, as shadow(5) counts.
    pub fn apply(&mut self, op: &AccountOp, defaults: &Defaults, today: i64) -> Outcome {
        match op {
            AccountOp::CreateUser {
                name,
                uid,
                group,
                comment,
                home,
                shell,
                system,
                ..
            } => {
                let home = printable_path(home)?;
                for text in [name, comment, &home, shell] {
                    check_text(text)?;
                }
                check_name(name)?;
                if find(&self.passwd, name).is_some() {
                    return Err(exists("account", name));
                }
                let range = if *system {
                    defaults.system_uids
                } else {
                    defaults.uids
                };
                let uid = free_id(&self.passwd, *uid, range, *system)?;
                let gid = match group {
                    Some(group) => self.gid(group)?,
                    None => self.create_group(name, None, *system, Some(uid), defaults)?,
                };
                append(
                    &mut self.passwd,
                    &format!("{name}:x:{uid}:{gid}:{comment}:{home}:{shell}"),
                );
                if let Some(shadow) = &mut self.shadow {
                    // Locked: a password is set by its owner, or a key is.
                    let ageing = match system {
                        true => "::".to_owned(),
                        false => format!(
                            "{}:{}:{}",
                            defaults.min_days, defaults.max_days, defaults.warn_days
                        ),
                    };
                    append(shadow, &format!("{name}:!:{today}:{ageing}:::"));
                }
                Ok(())
            }
            AccountOp::RemoveUser { name } => self.remove_user(name),
            AccountOp::CreateGroup { name, gid, system } => {
                check_name(name)?;
                if find(&self.group, name).is_some() {
                    return Err(exists("group", name));
                }
                self.create_group(name, *gid, *system, None, defaults)
                    .map(drop)
            }
            AccountOp::RemoveGroup { name } => {
                let gid = self.gid(name)?.to_string();
                if lines(&self.passwd).any(|line| field(line, 3) == gid.as_bytes()) {
                    return Err(AccountError::InUse(name.clone()));
                }
                remove(&mut self.group, name);
                if let Some(gshadow) = &mut self.gshadow {
                    remove(gshadow, name);
                }
                Ok(())
            }
            AccountOp::SetShell { name, shell } => {
                check_text(shell)?;
                edit(&mut self.passwd, "account", name, |fields| {
                    set(fields, 6, shell);
                })
            }
            AccountOp::LockPassword { name } => {
                let lock = |fields: &mut Vec<Vec<u8>>| {
                    let hash = fields.get(1).cloned().unwrap_or_default();
                    if !hash.starts_with(b"!") {
                        set_bytes(fields, 1, [b"!", &hash[..]].concat());
                    }
                };
                match &mut self.shadow {
                    // Where passwd(5) itself holds the password, no shadow file counts.
                    Some(shadow) if is_shadowed(&self.passwd, name)? => {
                        edit(shadow, "shadow entry", name, lock)
                    }
                    _ => edit(&mut self.passwd, "account", name, lock),
                }
            }
            AccountOp::SetAgeing {
                name,
                min_days,
                max_days,
                warn_days,
                inactive_days,
            } => {
                let Some(shadow) = &mut self.shadow else {
                    return Err(missing("shadow entry", name));
                };
                edit(shadow, "shadow entry", name, |fields| {
                    let days = [
                        (3, min_days),
                        (4, max_days),
                        (5, warn_days),
                        (6, inactive_days),
                    ];
                    for (place, value) in days {
                        if let Some(value) = value {
                            set(fields, place, &value.to_string());
                        }
                    }
                })
            }
            AccountOp::SetUid { name, uid } => {
                let taken = lines(&self.passwd).any(|line| {
                    field(line, 0) != name.as_bytes()
                        && field(line, 2) == uid.to_string().as_bytes()
                });
                if taken {
                    return Err(AccountError::Taken(*uid));
                }
                edit(&mut self.passwd, "account", name, |fields| {
                    set(fields, 2, &uid.to_string());
                })
            }
            AccountOp::AddMember { group, user } => {
                if find(&self.passwd, user).is_none() {
                    return Err(missing("account", user));
                }
                self.members(group, |members| {
                    if !members.iter().any(|member| member == user.as_bytes()) {
                        members.push(user.clone().into_bytes());
                    }
                })
            }
            AccountOp::RemoveMember { group, user } => self.members(group, |members| {
                members.retain(|member| member != user.as_bytes());
            }),
        }
    }

    fn gid(&self, group: &str) -> Result<u32, AccountError> {
        find(&self.group, group)
            .and_then(|line| number(field(line, 2)))
            .ok_or_else(|| missing("group", group))
    }

    fn create_group(
        &mut self,
        name: &str,
        gid: Option<u32>,
        system: bool,
        like: Option<u32>,
        defaults: &Defaults,
    ) -> Result<u32, AccountError> {
        if find(&self.group, name).is_some() {
            return Err(exists("group", name));
        }
        let range = if system {
            defaults.system_gids
        } else {
            defaults.gids
        };
        // A private group has the account's number when that is free.
        let gid = match like.filter(|id| gid.is_none() && !ids(&self.group).contains(id)) {
            Some(id) => id,
            None => free_id(&self.group, gid, range, system)?,
        };
        append(&mut self.group, &format!("{name}:x:{gid}:"));
        if let Some(gshadow) = &mut self.gshadow {
            append(gshadow, &format!("{name}:!::"));
        }
        Ok(gid)
    }

    /// As userdel(8): the account, its memberships, and its private group when nobody else
    /// is in it. The home directory stays.
    fn remove_user(&mut self, name: &str) -> Outcome {
        let line = find(&self.passwd, name).ok_or_else(|| missing("account", name))?;
        let gid = number(field(line, 3));
        remove(&mut self.passwd, name);
        if let Some(shadow) = &mut self.shadow {
            remove(shadow, name);
        }
        let groups: Vec<String> = lines(&self.group)
            .filter(|line| {
                field(line, 3)
                    .split(|b| *b == b',')
                    .any(|m| m == name.as_bytes())
            })
            .map(|line| String::from_utf8_lossy(field(line, 0)).into_owned())
            .collect();
        for group in groups {
            self.members(&group, |members| {
                members.retain(|member| member != name.as_bytes());
            })?;
        }
        let private = find(&self.group, name)
            .is_some_and(|line| number(field(line, 2)) == gid && field(line, 3).is_empty());
        let shared = lines(&self.passwd).any(|line| number(field(line, 3)) == gid);
        if private && !shared {
            remove(&mut self.group, name);
            if let Some(gshadow) = &mut self.gshadow {
                remove(gshadow, name);
            }
        }
        Ok(())
    }

    fn members(&mut self, group: &str, change: impl Fn(&mut Vec<Vec<u8>>)) -> Outcome {
        let apply = |fields: &mut Vec<Vec<u8>>| {
            let mut members: Vec<Vec<u8>> = fields
                .get(3)
                .map(Vec::as_slice)
                .unwrap_or_default()
                .split(|byte| *byte == b',')
                .filter(|member| !member.is_empty())
                .map(<[u8]>::to_vec)
                .collect();
            change(&mut members);
            set_bytes(fields, 3, members.join(&b","[..]));
        };
        edit(&mut self.group, "group", group, apply)?;
        match &mut self.gshadow {
            Some(gshadow) if find(gshadow, group).is_some() => edit(gshadow, "group", group, apply),
            _ => Ok(()),
        }
    }
}

fn missing(what: &'static str, name: &str) -> AccountError {
    let name = printable(name.as_bytes());
    AccountError::Missing { what, name }
}

fn exists(what: &'static str, name: &str) -> AccountError {
    let name = printable(name.as_bytes());
    AccountError::Exists { what, name }
}

fn printable_path(path: &model::HostPath) -> Result<String, AccountError> {
    str::from_utf8(path.as_bytes())
        .map(str::to_owned)
        .map_err(|_| AccountError::BadText(path.to_string()))
}

fn check_text(text: &str) -> Outcome {
    match text.contains([':', '\n', '\0']) {
        true => Err(AccountError::BadText(printable(text.as_bytes()))),
        false => Ok(()),
    }
}

/// As useradd(8) recommends: `[a-z_][a-z0-9_-]*[$]?`, at most 32 characters.
fn check_name(name: &str) -> Outcome {
    let body = name.strip_suffix('$').unwrap_or(name);
    let valid = (1..=32).contains(&name.len())
        && body.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && body
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
    match valid {
        true => Ok(()),
        false => Err(AccountError::BadText(printable(name.as_bytes()))),
    }
}

/// Lines without their ends.
fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|byte| *byte == b'\n')
}

fn field(line: &[u8], place: usize) -> &[u8] {
    line.split(|byte| *byte == b':').nth(place).unwrap_or(b"")
}

fn number(text: &[u8]) -> Option<u32> {
    str::from_utf8(text).ok()?.parse().ok()
}

fn find<'a>(file: &'a [u8], name: &str) -> Option<&'a [u8]> {
    lines(file).find(|line| line.contains(&b':') && field(line, 0) == name.as_bytes())
}

fn ids(file: &[u8]) -> Vec<u32> {
    lines(file)
        .filter_map(|line| number(field(line, 2)))
        .collect()
}

fn is_shadowed(passwd: &[u8], name: &str) -> Result<bool, AccountError> {
    find(passwd, name)
        .map(|line| field(line, 1) == b"x")
        .ok_or_else(|| missing("account", name))
}

/// As useradd(8): ordinary accounts count up from the highest, system accounts count down.
fn free_id(
    file: &[u8],
    wanted: Option<u32>,
    (least, most): (u32, u32),
    system: bool,
) -> Result<u32, AccountError> {
    let taken = ids(file);
    if let Some(id) = wanted {
        return match taken.contains(&id) {
            true => Err(AccountError::Taken(id)),
            false => Ok(id),
        };
    }
    let is_free = |id: &u32| !taken.contains(id);
    let highest = taken.iter().filter(|id| (least..=most).contains(*id)).max();
    let found = match (system, highest) {
        (true, _) => (least..=most).rev().find(is_free),
        (false, Some(highest)) if *highest < most => Some(highest + 1),
        (false, _) => (least..=most).find(is_free),
    };
    found.ok_or(AccountError::NoneFree(least, most))
}

fn append(file: &mut Vec<u8>, line: &str) {
    if !file.is_empty() && !file.ends_with(b"\n") {
        file.push(b'\n');
    }
    file.extend_from_slice(line.as_bytes());
    file.push(b'\n');
}

fn remove(file: &mut Vec<u8>, name: &str) {
    *file = file
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| !(line.contains(&b':') && field(line, 0) == name.as_bytes()))
        .collect::<Vec<_>>()
        .concat();
}

/// Changes the fields of the first line of that name, which is the one that counts.
fn edit(
    file: &mut Vec<u8>,
    what: &'static str,
    name: &str,
    change: impl Fn(&mut Vec<Vec<u8>>),
) -> Outcome {
    let mut done = false;
    let mut out = Vec::with_capacity(file.len() + 32);
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if done || !text.contains(&b':') || field(text, 0) != name.as_bytes() {
            out.extend_from_slice(line);
            continue;
        }
        done = true;
        let mut fields: Vec<Vec<u8>> = text.split(|b| *b == b':').map(<[u8]>::to_vec).collect();
        change(&mut fields);
        out.extend(fields.join(&b':'));
        out.extend_from_slice(&line[text.len()..]);
    }
    if !done {
        return Err(missing(what, name));
    }
    *file = out;
    Ok(())
}

fn set(fields: &mut Vec<Vec<u8>>, place: usize, value: &str) {
    set_bytes(fields, place, value.as_bytes().to_vec());
}

fn set_bytes(fields: &mut Vec<Vec<u8>>, place: usize, value: Vec<u8>) {
    if fields.len() <= place {
        fields.resize(place + 1, Vec::new());
    }
    fields[place] = value;
}
