//! What decides who becomes root by sudo(8) and su(1): their programs, what sudoers is made of, and
//! the stacks of PAM with all that they include. How people sign in shows nothing about it: a key
//! passes by the passwords that both ask for.

use std::collections::BTreeSet;

use model::{HostPath, Probe};

use super::administrators::{administrators, is_everything, is_for};
use super::user::is_member;
use super::{pam_stack, sudoers};
use crate::{Answers, Seen};

/// By which stacks they ask (their `service_name`).
const SERVICES: [&str; 4] = ["sudo", "sudo-i", "su", "su-l"];

/// How a path decides who becomes root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A program, a setting of it, or where it looks names up.
    Program,
    /// A part of sudoers.
    Rules,
    /// A part of the stacks.
    Pam,
}

/// All of that on one host, as far as it was asked.
#[derive(Clone, Debug, Default)]
pub struct WaysToRoot {
    rules: BTreeSet<HostPath>,
    /// Directories of which sudoers takes in what is in them.
    rule_directories: BTreeSet<HostPath>,
    pam: BTreeSet<HostPath>,
}

impl WaysToRoot {
    /// Reads what decides it as far as the answers go; also all probes that it needs.
    pub fn read(seen: &Answers) -> (Self, Vec<Probe>) {
        let mut ways = Self::default();
        let (_, mut probes) = sudoers::read(seen);
        for probe in &probes {
            match probe {
                Probe::Dir { path } => ways.rule_directories.insert(path.clone()),
                // It is no rule, though it says where they are.
                Probe::File { path, .. } if path.as_bytes() != sudoers::CONF.as_bytes() => {
                    ways.rules.insert(path.clone())
                }
                _ => false,
            };
        }
        for service in SERVICES {
            let (_, asked) = pam_stack::read(seen, service);
            for probe in asked {
                if let Probe::File { path, .. } = &probe {
                    ways.pam.insert(path.clone());
                }
                probes.push(probe);
            }
        }
        (ways, probes)
    }

    pub fn of(&self, path: &HostPath) -> Option<Way> {
        if self.rules.contains(path) || self.rule_directories.iter().any(|top| path.is_within(top))
        {
            return Some(Way::Rules);
        }
        match self.pam.contains(path) {
            true => Some(Way::Pam),
            false => known(path),
        }
    }
}

/// Those that are so on each host, whatever it includes.
fn known(path: &HostPath) -> Option<Way> {
    const PROGRAMS: [&str; 8] = [
        sudoers::CONF,
        // Its `sudoers:` says where sudo looks for rules.
        "/etc/nsswitch.conf",
        "/usr/libexec/sudo",
        "/usr/lib/sudo",
        "/bin/su",
        "/bin/sudo",
        "/usr/bin/su",
        "/usr/bin/sudo",
    ];
    const RULES: [&str; 2] = [sudoers::MAIN, sudoers::DROP_INS];
    const PAM: [&str; 9] = [
        "/etc/pam.d/sudo",
        "/etc/pam.d/sudo-i",
        "/etc/pam.d/su",
        "/etc/pam.d/su-l",
        "/etc/pam.d/common-account",
        "/etc/pam.d/common-auth",
        "/etc/pam.d/common-password",
        "/etc/pam.d/common-session",
        "/etc/pam.d/common-session-noninteractive",
    ];
    let is_in = |tops: &[&'static str]| {
        let mut tops = tops.iter();
        tops.any(|top| path.is_within(&HostPath::literal(top)))
    };
    match path {
        _ if is_in(&RULES) => Some(Way::Rules),
        _ if is_in(&PAM) => Some(Way::Pam),
        _ => is_in(&PROGRAMS).then_some(Way::Program),
    }
}

/// Would this account lose its way to root with its password? None of sudo's rules spares it being
/// asked for it. What can't be told counts as such.
pub fn rests_on_password(name: &str, seen: &Answers) -> bool {
    let Some(accounts) = seen.accounts().known() else {
        return true;
    };
    let mut named = accounts.accounts.iter();
    let Some(account) = named.find(|account| account.name == name) else {
        return false;
    };
    let (rules, _) = sudoers::read(seen);
    if account.uid == 0 {
        // sudoers(5): with these, sudo asks for another's password.
        const OF_ANOTHER: [&str; 3] = ["rootpw", "targetpw", "runaspw"];
        let mut settings = rules.settings();
        return settings.any(|setting| OF_ANOTHER.contains(&&*setting.name));
    }
    let of_it = |grant: &&sudoers::Grant| {
        is_for(&rules, grant, account, accounts)
            && rules.is_for_host(grant, sudoers::hostname(seen))
    };
    let mut grants = rules.grants().filter(of_it);
    let is_spared = grants.any(|grant| grant.passwordless && is_everything(&rules, grant));
    let administers = administrators(&rules, accounts, sudoers::hostname(seen))
        .iter()
        .any(|administrator| administrator.account.name == name);
    !is_spared && (administers || rules.hidden().is_some())
}

/// Does nobody administer the host but root and its doubles? Not where that can't be told.
pub fn is_root_alone(seen: &Answers) -> bool {
    let Some(accounts) = seen.accounts().known() else {
        return false;
    };
    match seen.file(&HostPath::literal(sudoers::MAIN)) {
        Seen::Absent => accounts.accounts.iter().all(|account| {
            let mut groups = super::administrators::GROUPS.iter();
            account.uid == 0 || !groups.any(|group| is_member(accounts, account, group))
        }),
        _ => {
            let (rules, _) = sudoers::read(seen);
            rules.hidden().is_none()
                && administrators(&rules, accounts, sudoers::hostname(seen))
                    .iter()
                    .all(|administrator| administrator.account.uid == 0)
        }
    }
}
