//! What sets a password although a module that judges it has refused it, or was never asked.
//!
//! A module that refuses takes the new password away (`PAM_AUTHTOK`), so that who has to use it
//! (`use_authtok`) sets none. Another asks for one of its own, unless the refusal has ended the stack:
//! that of a `required` module does so only when all others were called (pam.conf(5)). A module that is
//! jumped over refuses nothing, and what ends a substack ends nothing else.

use std::collections::BTreeSet;

use super::pam_guard::{MOST_CALLS, MOST_OPEN, PASSING, TOO_MANY};
use super::pam_stack::{Call, Entry};
use super::pam_walk::{Answer, Calls, SUCCESS};

/// Modules that set the password of an account.
const SETTERS: [&str; 9] = [
    "pam_krb5.so",
    "pam_ldap.so",
    "pam_pwdb.so",
    "pam_sss.so",
    "pam_systemd_home.so",
    "pam_tcb.so",
    "pam_unix.so",
    "pam_unix2.so",
    "pam_winbind.so",
];

/// Modules that ask for a new password and hand it on.
const ASKERS: [&str; 4] = [
    "pam_cracklib.so",
    "pam_passwdqc.so",
    "pam_pwhistory.so",
    "pam_pwquality.so",
];

/// What a module that judges passwords answers with: refused, or refused too often.
const REFUSED: [Answer; 2] = ["authtok_err", "maxtries"];

/// Of the calls of `password`, in their order, those that set a password whatever `module` says of it.
/// Or why that can't be told.
pub(super) fn unguarded<'a>(calls: &[&'a Entry], module: &str) -> Result<Vec<&'a Entry>, String> {
    let of = |at: usize| &calls[at].call;
    let is_open = |at: &usize| {
        let name = &*of(*at).module;
        name != module && name != "pam_deny.so" && !PASSING.contains(&name)
    };
    let open: Vec<usize> = (0..calls.len()).filter(is_open).collect();
    if !calls.iter().any(|entry| is_setter(&entry.call)) {
        return Ok(Vec::new());
    }
    if open.len() > MOST_OPEN || calls.len() > MOST_CALLS {
        return Err(TOO_MANY.to_owned());
    }
    let stack = Calls::new(calls);
    let mut found = BTreeSet::new();
    // All that the others may answer, and with what the module refuses.
    for ways in 0..1_usize << open.len() {
        for refused in REFUSED {
            let mut new = New::Unasked;
            stack.go(&mut |at| {
                let call = of(at);
                let name = &*call.module;
                let must_use = call.argument("use_authtok").is_some();
                if name == module {
                    new = New::Refused;
                    return refused;
                }
                if is_setter(call) && !(must_use && new == New::Refused) {
                    found.insert(at);
                }
                if !must_use && (is_setter(call) || ASKERS.contains(&name)) {
                    new = New::Asked;
                }
                let place = open.iter().position(|open| *open == at);
                match place.map_or(name != "pam_deny.so", |place| ways >> place & 1 == 1) {
                    true => SUCCESS,
                    false => REFUSED[0],
                }
            })?;
        }
    }
    Ok(found.into_iter().map(|at| calls[at]).collect())
}

fn is_setter(call: &Call) -> bool {
    SETTERS.contains(&&*call.module)
}

/// The new password (`PAM_AUTHTOK`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum New {
    Unasked,
    Refused,
    Asked,
}
