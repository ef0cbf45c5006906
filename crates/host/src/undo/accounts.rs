//! Accounts and groups that an install made, and that are somebody's by now: one goes only when no
//! file and no process of it is left.

use std::collections::{BTreeMap, BTreeSet};

use model::HostPath;

use crate::act::ActError;
use crate::records::accounts::{in_main_group, made, renumbered};
use crate::records::entries::Three;
use crate::walk::owned::owned;

/// The accounts and the groups that stay, and why.
#[derive(Clone, Debug, Default)]
pub(super) struct Stay {
    pub(super) users: BTreeMap<String, String>,
    pub(super) groups: BTreeMap<String, String>,
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
    let mut found = BTreeMap::new();
    let fail = |error: std::io::Error| ActError::program("list the processes", error);
    for entry in std::fs::read_dir("/proc").map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let Some(number) = name
            .to_str()
            .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        else {
            continue;
        };
        let read = |what: &str| std::fs::read_to_string(entry.path().join(what));
        // One that has ended meanwhile is none.
        let Ok(status) = read("status") else { continue };
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let ids = line("Uid:").unwrap_or_default().split_whitespace();
        let Some(uid) = ids
            .filter_map(|id| id.parse().ok())
            .find(|id| users.contains(id))
        else {
            continue;
        };
        let groups = read("cgroup").unwrap_or_default();
        let mut units = groups.lines().flat_map(|line| line.split('/'));
        if !units.any(|unit| stops.contains(unit)) {
            let command = line("Name:").unwrap_or_default().trim();
            let command = model::printable(command.as_bytes());
            found.insert(uid, format!("{command} ({number})"));
        }
    }
    Ok(found)
}
