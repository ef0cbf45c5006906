//! Who may administer a host: root and its doubles, and everyone whom sudoers(5) lets run
//! anything as root.

use model::value::{AccountSeen, AccountsSeen};
use model::{HostPath, SourceLine};

use super::sudoers::{self, AliasKind, Sudoers};
use super::user::{is_member, known, place};
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
    let granted = administrators(&sudoers, accounts, sudoers::hostname(seen))
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
    let accounts = seen.accounts();
    let is_untold = matches!(accounts, Seen::Unknown(_));
    let gid = accounts.known().and_then(|accounts| {
        let group = accounts.groups.iter().find(|group| group.name == name);
        group.map(|group| format!("%#{}", group.gid))
    });
    let granted = sudoers
        .grants()
        .filter(|grant| is_everything(&sudoers, grant))
        .filter(|grant| sudoers.is_for_host(grant, sudoers::hostname(seen)))
        .flat_map(|grant| sudoers.users(grant))
        .any(|member| {
            member.name.strip_prefix('%') == Some(name) || Some(&member.name) == gid.as_ref()
        });
    match (granted, sudoers.hidden()) {
        (true, _) => Some(true),
        // A rule may name its number.
        (false, None) if is_untold => None,
        (false, None) => Some(false),
        (false, Some(_)) => None,
    }
}

/// What sudoers says, where it was asked for and there is one.
fn asked(seen: &Answers) -> Option<Sudoers> {
    let main = HostPath::literal(sudoers::MAIN);
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

/// Any command as root, or a shell, which runs any.
pub fn is_everything(sudoers: &Sudoers, grant: &sudoers::Grant) -> bool {
    let is_any = sudoers.is_any_command(grant) || sudoers.is_shell(grant);
    !grant.command.negated && is_any && sudoers.runs_as_root(grant)
}

fn takes_everything(sudoers: &Sudoers, grant: &sudoers::Grant) -> bool {
    let commands = std::slice::from_ref(&grant.command);
    let commands = sudoers.expand(AliasKind::Command, commands);
    let mut commands = commands.iter();
    commands.any(|member| member.negated && member.name == "ALL")
}

/// Does a sign-in of this account show that somebody can still administer the host? The reason where
/// it does not, or where that can't be told. Custom decides nothing where there is a sudoers.
pub fn counts(name: &str, seen: &Answers) -> Result<(), String> {
    let accounts = known(seen).map_err(|reason| reason.to_string())?;
    let mut named = accounts.accounts.iter();
    let Some(account) = named.find(|account| account.name == name) else {
        return Err("it is none of this host's own accounts".to_owned());
    };
    let Some(sudoers) = asked(seen) else {
        let mut groups = GROUPS.iter();
        let by_custom = account.uid == 0 || groups.any(|group| is_member(accounts, account, group));
        return match by_custom {
            true => Ok(()),
            false => Err("it does not administer this host".to_owned()),
        };
    };
    let administrators = administrators(&sudoers, accounts, sudoers::hostname(seen));
    let mut administrators = administrators.into_iter();
    if administrators.any(|administrator| administrator.account.name == name) {
        return Ok(());
    }
    Err(match sudoers.hidden() {
        None => "sudoers lets it run nothing, or not everything, as root".to_owned(),
        Some(reason) => format!("sudoers can't be read in full: {reason}"),
    })
}

/// Root and its doubles, and everyone whom sudoers lets run anything as root on the host of this
/// name; none: on any.
pub fn administrators<'a>(
    sudoers: &Sudoers,
    accounts: &'a AccountsSeen,
    hostname: Option<&str>,
) -> Vec<Administrator<'a>> {
    accounts
        .accounts
        .iter()
        .filter_map(|account| {
            if account.uid == 0 {
                let by = place(account);
                return Some(Administrator { account, by });
            }
            let is_for_it = |grant: &&sudoers::Grant| is_for(sudoers, grant, account, accounts);
            // The last match wins: `!ALL` takes what a rule before it gave.
            let mut by = None;
            let as_root = sudoers
                .grants()
                .filter(|grant| sudoers.runs_as_root(grant))
                .filter(|grant| sudoers.is_for_host(grant, hostname));
            for grant in as_root.filter(is_for_it) {
                if is_everything(sudoers, grant) {
                    by = Some(grant.at.clone());
                } else if takes_everything(sudoers, grant) {
                    by = None;
                }
            }
            let by = by?;
            Some(Administrator { account, by })
        })
        .collect()
}

/// Is the rule for this account? The last member that means it decides.
pub(super) fn is_for(
    sudoers: &Sudoers,
    grant: &sudoers::Grant,
    account: &AccountSeen,
    accounts: &AccountsSeen,
) -> bool {
    sudoers
        .users(grant)
        .iter()
        .rfind(|member| is_meant(&member.name, account, accounts))
        .is_some_and(|member| !member.negated)
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
