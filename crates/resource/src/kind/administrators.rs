//! Who may administer a host: root and its doubles, and everyone whom sudoers(5) lets run
//! anything as root.

use model::SourceLine;
use model::value::{AccountSeen, AccountsSeen};

use super::sudoers::{self, Sudoers};
use super::user::{is_member, place};
use crate::{Answers, Seen};

/// Groups whose members administer a Debian host, by its own sudoers file or by custom.
pub const GROUPS: [&str; 3] = ["sudo", "admin", "wheel"];

/// May this account administer the host? None where that can't be told. Where nobody asked
/// for sudoers, the groups that usually give the right decide.
pub fn may_administer(name: &str, seen: &Answers) -> Option<bool> {
    let accounts = seen.accounts().known()?;
    let Some(account) = accounts
        .accounts
        .iter()
        .find(|account| account.name == name)
    else {
        return accounts.other_sources.is_empty().then_some(false);
    };
    let by_custom = account.uid == 0
        || GROUPS
            .iter()
            .any(|group| is_member(accounts, account, group));
    if by_custom {
        return Some(true);
    }
    let Some(sudoers) = asked(seen) else {
        return Some(false);
    };
    let granted = administrators(&sudoers, accounts)
        .iter()
        .any(|administrator| administrator.account.name == name);
    match (granted, sudoers.hidden()) {
        (true, _) => Some(true),
        (false, None) => Some(false),
        // A rule that could not be read may be the one.
        (false, Some(_)) => None,
    }
}

/// Does membership in this group give the right to administer the host?
pub fn group_administers(name: &str, seen: &Answers) -> Option<bool> {
    if name == "root" || GROUPS.contains(&name) {
        return Some(true);
    }
    let Some(sudoers) = asked(seen) else {
        return Some(false);
    };
    let gid = seen.accounts().known().and_then(|accounts| {
        let group = accounts.groups.iter().find(|group| group.name == name);
        group.map(|group| format!("%#{}", group.gid))
    });
    let granted = sudoers
        .grants()
        .filter(|grant| is_everything(&sudoers, grant))
        .flat_map(|grant| sudoers.users(grant))
        .any(|member| {
            member.name.strip_prefix('%') == Some(name) || Some(&member.name) == gid.as_ref()
        });
    match (granted, sudoers.hidden()) {
        (true, _) => Some(true),
        (false, None) => Some(false),
        (false, Some(_)) => None,
    }
}

/// What sudoers says, where it was asked for and there is one.
fn asked(seen: &Answers) -> Option<Sudoers> {
    let main = model::HostPath::literal(sudoers::MAIN);
    match seen.file(&main) {
        Seen::Known(_) | Seen::Unknown(_) => Some(sudoers::read(seen).0),
        Seen::Absent | Seen::NotAsked => None,
    }
}

/// An account that may do anything, and the line that says so.
pub struct Administrator<'a> {
    pub account: &'a AccountSeen,
    pub by: SourceLine,
}

pub fn is_everything(sudoers: &Sudoers, grant: &sudoers::Grant) -> bool {
    !grant.command.negated && sudoers.is_any_command(grant) && sudoers.runs_as_root(grant)
}

/// Root and its doubles, and everyone whom sudoers lets run anything as root.
pub fn administrators<'a>(sudoers: &Sudoers, accounts: &'a AccountsSeen) -> Vec<Administrator<'a>> {
    accounts
        .accounts
        .iter()
        .filter_map(|account| {
            if account.uid == 0 {
                let by = place(account);
                return Some(Administrator { account, by });
            }
            let grant = sudoers.grants().find(|grant| {
                is_everything(sudoers, grant)
                    && sudoers
                        .users(grant)
                        .iter()
                        .rfind(|member| is_meant(&member.name, account, accounts))
                        .is_some_and(|member| !member.negated)
            })?;
            let by = grant.at.clone();
            Some(Administrator { account, by })
        })
        .collect()
}

/// Does a member of a sudoers list mean this account?
fn is_meant(member: &str, account: &AccountSeen, accounts: &AccountsSeen) -> bool {
    if let Some(gid) = member.strip_prefix("%#") {
        let gid: Option<u32> = gid.parse().ok();
        return gid.is_some_and(|gid| {
            account.gid == gid
                || accounts
                    .groups
                    .iter()
                    .any(|group| group.gid == gid && group.members.contains(&account.name))
        });
    }
    if let Some(group) = member.strip_prefix('%') {
        return is_member(accounts, account, group);
    }
    if let Some(uid) = member.strip_prefix('#') {
        return uid.parse() == Ok(account.uid);
    }
    member == "ALL" || member == account.name
}
