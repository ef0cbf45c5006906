//! What sets a password although a module that judges it has refused it.
//!
//! A module that refuses takes the new password away (`PAM_AUTHTOK`), so that who has to use it
//! (`use_authtok`) sets none. Another asks for one of its own, unless the refusal has ended the stack:
//! that of a `required` module does so only when all others were called (pam.conf(5)).

use super::pam_stack::Entry;

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

/// Of the calls of `password`, in their order, those that set one whatever `module` says of it.
pub(super) fn unguarded<'a>(calls: &[&'a Entry], module: &str) -> Vec<&'a Entry> {
    let is_setter = |entry: &&&Entry| SETTERS.contains(&entry.call.module.as_str());
    let setters = calls.iter().enumerate().filter(|(_, one)| is_setter(one));
    setters
        .filter(|(at, setter)| {
            let mut guards = calls[..*at].iter().filter(|one| one.call.module == module);
            let must_use = setter.call.argument("use_authtok").is_some();
            !guards.any(|guard| must_use || ends_when_refused(guard))
        })
        .map(|(_, setter)| *setter)
        .collect()
}

/// Is nothing called any more when it refuses?
fn ends_when_refused(guard: &Entry) -> bool {
    let control = guard.call.control.to_ascii_lowercase();
    let Some(inner) = control
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    else {
        return control == "requisite";
    };
    let words: Vec<&str> = inner.split_whitespace().collect();
    // What both modules answer with: the password is refused, or was refused too often.
    ["authtok_err", "maxtries"].iter().all(|answer| {
        let said = |name: &str| {
            let mut words = words.iter().rev();
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        said(answer).or_else(|| said("default")) == Some("die")
    })
}
