//! Accounts and groups: who could no longer sign in, or no longer administer.

use model::AccountOp;
use resource::Answers;
use resource::kind::accounts_where::work;
use resource::kind::administrators::{group_administers, may_administer};

use super::Touched;

pub(super) fn of(op: &AccountOp, seen: &Answers) -> Option<Touched> {
    if let AccountOp::RemoveUser { name } | AccountOp::SetUid { name, .. } = op
        && name == "sshd"
    {
        return Touched::cuts_off("sshd lets nobody in without its account `sshd`");
    }
    let (name, does, else_why) = match op {
        AccountOp::RemoveUser { name } => (name, "is removed", "its account goes"),
        AccountOp::LockPassword { name } => (
            name,
            "can't use its password any more",
            "its password is locked",
        ),
        AccountOp::SetShell { name, .. } => (name, "gets another shell", "it gets another shell"),
        AccountOp::SetUid { name, .. } => (
            name,
            "gets another id, and no longer owns its keys",
            "it no longer owns its files",
        ),
        // Beyond their age, a password has to be changed, and then the account is closed
        // (shadow(5)).
        AccountOp::SetAgeing {
            name,
            max_days,
            inactive_days,
            ..
        } if max_days.is_some() || inactive_days.is_some() => (
            name,
            "may have a password that is too old",
            "its password may be too old",
        ),
        AccountOp::RemoveMember { group, user } => {
            return match group_administers(group, seen) {
                Some(true) => Touched::cuts_off(format!(
                    "`{user}` leaves `{group}`, whose members administer this host"
                )),
                None => Touched::cuts_off(format!(
                    "`{user}` leaves `{group}`, and it is not known whether its members \
                     administer this host"
                )),
                Some(false) => Touched::takes_rights(format!("`{user}` leaves `{group}`")),
            };
        }
        AccountOp::RemoveGroup { name } => {
            return match group_administers(name, seen) {
                Some(false) => Touched::takes_rights(format!("group `{name}` goes")),
                Some(true) => {
                    Touched::cuts_off(format!("members of `{name}` administer this host"))
                }
                None => Touched::cuts_off(format!(
                    "it is not known whether members of `{name}` administer this host"
                )),
            };
        }
        AccountOp::SetAgeing { .. }
        | AccountOp::CreateUser { .. }
        | AccountOp::CreateGroup { .. }
        | AccountOp::AddMember { .. } => return None,
    };
    // Jobs and people that go through the shell find out within minutes, or not at all.
    if let AccountOp::SetShell { name, .. } = op
        && let Some(accounts) = seen.accounts().known()
        && let Some(account) = accounts
            .accounts
            .iter()
            .find(|account| account.name == *name)
        && let Some(work) = work(account, seen)
    {
        return Touched::cuts_off(work);
    }
    match may_administer(name, seen) {
        Some(true) => Touched::cuts_off(format!("`{name}` administers this host, and {does}")),
        None => Touched::cuts_off(format!(
            "it is not known whether `{name}` administers this host, and it {does}"
        )),
        Some(false) => Touched::takes_rights(format!("`{name}`: {else_why}")),
    }
}
