//! Whether a stack of `auth` holds guesses off: it is gone through with a locked account and a right
//! password, and with an account that is not locked and a wrong one.

use std::collections::BTreeSet;

use super::pam_stack::{Call, Entry};
use super::pam_walk::{Answer, Calls, SUCCESS};

/// What pam_faillock(8) makes of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// No module of it asks for a password.
    NoPassword,
    Holds,
    /// It does not, and how.
    Fails(&'static str),
    /// It depends on what can't be told: on which module.
    Untold(String),
}

const FAILLOCK: &str = "pam_faillock.so";

/// Modules that check a password.
const PASSWORD: [&str; 12] = [
    "pam_krb5.so",
    "pam_ldap.so",
    "pam_mysql.so",
    "pam_oath.so",
    "pam_pwdfile.so",
    "pam_radius.so",
    "pam_radius_auth.so",
    "pam_sss.so",
    "pam_systemd_home.so",
    "pam_unix.so",
    "pam_userdb.so",
    "pam_winbind.so",
];

/// Modules that say yes to whom they let go on at all.
pub(super) const PASSING: [&str; 16] = [
    "pam_cap.so",
    "pam_ecryptfs.so",
    "pam_env.so",
    "pam_faildelay.so",
    "pam_gnome_keyring.so",
    "pam_group.so",
    "pam_keyinit.so",
    "pam_kwallet5.so",
    "pam_mount.so",
    "pam_nologin.so",
    "pam_permit.so",
    "pam_securetty.so",
    "pam_shells.so",
    "pam_time.so",
    "pam_umask.so",
    "pam_warn.so",
];

/// Modules that say no here: `pam_rootok.so` is about who is root already.
const FAILING: [&str; 2] = ["pam_deny.so", "pam_rootok.so"];

/// Of modules that may say either, this many are tried in all ways.
pub(super) const MOST_OPEN: usize = 6;
pub(super) const TOO_MANY: &str = "there are too many modules";
/// Longer stacks are not gone through.
pub(super) const MOST_CALLS: usize = 128;

/// Looks at the calls of `auth`.
pub fn guard(entries: &[&Entry]) -> Guard {
    if !entries.iter().any(|entry| is_password(&entry.call)) {
        return Guard::NoPassword;
    }
    let open: Vec<usize> = (0..entries.len())
        .filter(|at| is_open(&entries[*at].call))
        .collect();
    if open.len() > MOST_OPEN || entries.len() > MOST_CALLS {
        return Guard::Untold(TOO_MANY.to_owned());
    }
    let calls = Calls::new(entries);
    let mut verdicts = Vec::new();
    for ways in 0..1_usize << open.len() {
        let says_yes = |at: usize| {
            let place = open.iter().position(|open| *open == at);
            place.is_some_and(|place| ways >> place & 1 == 1)
        };
        verdicts.push(verdict(entries, &calls, &says_yes));
    }
    let first = verdicts[0].clone();
    if verdicts.iter().all(|verdict| *verdict == first) {
        return first;
    }
    if verdicts.iter().all(|verdict| *verdict != Guard::Holds) {
        return first;
    }
    let names: Vec<&str> = open.iter().map(|at| &*entries[*at].call.module).collect();
    Guard::Untold(format!("it depends on what {} says", names.join(", ")))
}

fn verdict(entries: &[&Entry], calls: &Calls, says_yes: &dyn Fn(usize) -> bool) -> Guard {
    let modules = entries.iter().map(|entry| &entry.call);
    let passwords: BTreeSet<&str> = modules
        .filter(|call| is_password(call))
        .map(|call| &*call.module)
        .collect();
    let mut wrong = Run::new(entries, None, false, says_yes);
    let is_accepted = match wrong.is_accepted(calls) {
        Ok(is_accepted) => is_accepted,
        Err(why) => return Guard::Untold(why),
    };
    // Where no password was looked at, nobody guesses one: a key, a finger, an account that is
    // turned away before.
    if wrong.has_looked && is_accepted {
        return Guard::Fails("a wrong password is accepted");
    }
    if wrong.has_looked && !wrong.has_counted {
        return Guard::Fails("wrong passwords are not counted");
    }
    for right in passwords {
        let mut locked = Run::new(entries, Some(right), true, says_yes);
        match locked.is_accepted(calls) {
            Ok(true) if locked.was_right => {
                return Guard::Fails("a right password opens a locked account");
            }
            Ok(_) => {}
            Err(why) => return Guard::Untold(why),
        }
    }
    Guard::Holds
}

/// Is whom this module knows let in, where no account is locked and nothing else is against it?
pub fn accepts(entries: &[&Entry], module: &str) -> bool {
    let says_yes = |_| true;
    let mut run = Run::new(entries, Some(module), false, &says_yes);
    run.is_accepted(&Calls::new(entries)) == Ok(true)
}

fn is_password(call: &Call) -> bool {
    PASSWORD.contains(&&*call.module)
}

fn is_open(call: &Call) -> bool {
    let known = [FAILLOCK];
    !is_password(call)
        && !known.contains(&&*call.module)
        && !PASSING.contains(&&*call.module)
        && !FAILING.contains(&&*call.module)
}

/// Goes through the calls once, and notes what was asked on the way.
struct Run<'a> {
    entries: &'a [&'a Entry],
    /// To which module the password is right.
    right: Option<&'a str>,
    locked: bool,
    says_yes: &'a dyn Fn(usize) -> bool,
    has_counted: bool,
    has_looked: bool,
    was_right: bool,
}

impl<'a> Run<'a> {
    fn new(
        entries: &'a [&'a Entry],
        right: Option<&'a str>,
        locked: bool,
        says_yes: &'a dyn Fn(usize) -> bool,
    ) -> Self {
        Self {
            entries,
            right,
            locked,
            says_yes,
            has_counted: false,
            has_looked: false,
            was_right: false,
        }
    }

    fn is_accepted(&mut self, calls: &Calls) -> Result<bool, String> {
        calls.go(&mut |at| self.answer(at))
    }

    fn answer(&mut self, at: usize) -> Answer {
        let call = &self.entries[at].call;
        let is_yes = match call.module.as_str() {
            FAILLOCK if call.argument("authfail").is_some() => {
                self.has_counted = true;
                false
            }
            // `preauth` and `authsucc` both look whether the account is locked.
            FAILLOCK => !self.locked,
            name if PASSWORD.contains(&name) => {
                self.has_looked = true;
                let is_right = self.right == Some(name);
                self.was_right |= is_right;
                is_right
            }
            name if PASSING.contains(&name) => true,
            name if FAILING.contains(&name) => false,
            _ => (self.says_yes)(at),
        };
        match is_yes {
            true => SUCCESS,
            false => "auth_err",
        }
    }
}
