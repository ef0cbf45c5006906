//! Accounts and groups that an install made, and that are somebody's by now: one goes only when no
//! file and no process of it is left.

use std::collections::{BTreeMap, BTreeSet};

use model::HostPath;

use crate::act::ActError;
use crate::processes::of_accounts;
use crate::records::accounts::{in_main_group, made, renumbered};
use crate::records::entries::Three;
use crate::walk::owned::owned;

/// The accounts and the groups that stay, and why.
#[derive(Clone, Debug, Default)]
pub(super) struct Stay {
    pub(super) users: BTreeMap<String, String>,
    pub(super) groups: BTreeMap<String, String>,
}

impl Stay {
    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// Does this entry stay in the file of accounts at `path`? None of any other file.
    pub(super) fn holds(&self, path: &HostPath, entry: &str) -> Option<bool> {
        match path.as_bytes() {
            b"/etc/passwd" | b"/etc/shadow" => Some(self.users.contains_key(entry)),
            b"/etc/group" | b"/etc/gshadow" => Some(self.groups.contains_key(entry)),
            b"/etc/subuid" | b"/etc/subgid" => {
                let name = entry.split(':').next().unwrap_or(entry);
                Some(self.users.contains_key(name))
            }
            _ => None,
        }
    }
}

/// Looks at the host, where passwd(5) and group(5) are these. `goes` are the paths that go; `stops`
/// are the units that are stopped before.
pub(super) fn stay(
    passwd: Three<'_>,
    group: Three<'_>,
    goes: &(dyn Fn(&HostPath) -> bool + Sync),
    stops: &BTreeSet<String>,
) -> Result<Stay, ActError> {
    let (users, groups) = (made(passwd), made(group));
    let mut stay = Stay::default();
    let anew = |of: Three<'_>| -> BTreeMap<String, String> {
        let names = renumbered(of).into_iter();
        let why = || "somebody has made it anew since, with another number".to_owned();
        names.map(|name| (name, why())).collect()
    };
    stay.users = anew(passwd);
    stay.groups = anew(group);
    if users.is_empty() && groups.is_empty() {
        return Ok(stay);
    }
    let numbers = |of: &BTreeMap<String, u32>| of.values().copied().collect::<BTreeSet<u32>>();
    let found = owned(&numbers(&users), &numbers(&groups), goes)
        .map_err(|error| ActError::program("find whose files are left", error))?;
    let processes = processes(&numbers(&users), stops)?;
    let first = |paths: Option<&BTreeSet<HostPath>>| paths?.first().cloned();
    for (name, uid) in &users {
        if let Some(path) = first(found.by_user.get(uid)) {
            stay.users.insert(name.clone(), format!("`{path}` is its"));
        } else if let Some(process) = processes.get(uid) {
            stay.users
                .insert(name.clone(), format!("{process} runs as it"));
        } else if found.unreadable > 0 {
            let why = "not all directories could be looked into".to_owned();
            stay.users.insert(name.clone(), why);
        }
    }
    for (name, gid) in &groups {
        let of = in_main_group(passwd.now, *gid);
        let stays = |user: &&String| !users.contains_key(*user) || stay.users.contains_key(*user);
        let why = match (of.iter().find(stays), first(found.by_group.get(gid))) {
            (Some(user), _) => format!("it is the main group of {user}"),
            (None, Some(path)) => format!("`{path}` is its"),
            (None, None) if found.unreadable > 0 => {
                "not all directories could be looked into".to_owned()
            }
            (None, None) => continue,
        };
        stay.groups.insert(name.clone(), why);
    }
    Ok(stay)
}

/// One process of each of these accounts that is in none of these units.
fn processes(
    users: &BTreeSet<u32>,
    stops: &BTreeSet<String>,
) -> Result<BTreeMap<u32, String>, ActError> {
    let running =
        of_accounts(users).map_err(|error| ActError::program("look at the processes", error))?;
    let mut found = BTreeMap::new();
    for process in running {
        if !process.is_of(stops) {
            found.insert(process.uid, format!("{} ({})", process.name, process.id));
        }
    }
    Ok(found)
}
