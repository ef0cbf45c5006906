//! `pam`: modules in Debian's stacks, and their options.

use proptest::prelude::*;
use resource::Judgement;

use crate::support::{Host, check, fix, judge, refused, words};

pub const AUTH: &str = "\
# managed by pam-auth-update
# here are the per-package modules (the \"Primary\" block)
auth\t[success=1 default=ignore]\tpam_unix.so nullok
# here's the fallback if no module succeeds
auth\trequisite\t\t\tpam_deny.so
auth\trequired\t\t\tpam_permit.so
# end of pam-auth-update config
";
const ACCOUNT: &str = "\
# here are the per-package modules (the \"Primary\" block)
account\t[success=1 new_authtok_reqd=done default=ignore]\tpam_unix.so 
account\trequisite\t\t\tpam_deny.so
account\trequired\t\t\tpam_permit.so
";
const PASSWORD: &str = "\
# here are the per-package modules (the \"Primary\" block)
password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt
password\trequisite\t\t\tpam_deny.so
password\trequired\t\t\tpam_permit.so
";
const QUALITY: &str = "password\trequisite\t\t\tpam_pwquality.so retry=3\n";

fn host() -> Host {
    Host::new()
        .file("/etc/pam.d/common-auth", AUTH)
        .file("/etc/pam.d/common-account", ACCOUNT)
        .file("/etc/pam.d/common-password", PASSWORD)
        .file(
            "/etc/security/faillock.conf",
            "# deny = 3\n# even_deny_root\n",
        )
        .file("/etc/security/pwhistory.conf", "# remember = 10\n")
        .file("/etc/security/pwquality.conf", "# minlen = 8\n")
        .package("libpam-pwquality", "1.4.5-1")
}

fn with_quality(host: Host) -> Host {
    let text = PASSWORD
        .replace("password\t[", &format!("{QUALITY}password\t["))
        .replace("obscure", "obscure use_authtok try_first_pass");
    host.file("/etc/pam.d/common-password", &text)
}

#[test]
fn faillock_stands_around_the_password_check() {
    let after = check(
        "pam: {module: faillock}",
        &host(),
        "drift: off, wanted on @ /etc/pam.d/common-auth @ /etc/pam.d/common-account",
    );
    assert_eq!(
        after.content("/etc/pam.d/common-auth").as_deref(),
        Some(
            "\
# managed by pam-auth-update
auth\trequired\t\t\tpam_faillock.so preauth
# here are the per-package modules (the \"Primary\" block)
auth\t[success=1 default=ignore]\tpam_unix.so nullok
# here's the fallback if no module succeeds
auth\t[default=die]\t\t\tpam_faillock.so authfail
auth\t[success=1 default=ignore]\tpam_permit.so
auth\trequisite\t\t\tpam_deny.so
auth\trequired\t\t\tpam_permit.so
# end of pam-auth-update config
"
        )
    );
    assert_eq!(
        after.content("/etc/pam.d/common-account"),
        Some(format!("account\trequired\t\t\tpam_faillock.so\n{ACCOUNT}"))
    );
}

#[test]
fn several_ways_to_sign_in_lead_past_the_new_line() {
    let auth = AUTH.replace(
        "auth\t[success=1 default=ignore]\tpam_unix.so nullok\n",
        "auth\t[success=2 default=ignore]\tpam_unix.so nullok\nauth\t[success=1 default=ignore]\tpam_sss.so use_first_pass\n",
    );
    let after = check(
        "pam: {module: faillock}",
        &host().file("/etc/pam.d/common-auth", &auth),
        "drift: off, wanted on @ /etc/pam.d/common-auth @ /etc/pam.d/common-account",
    );
    let text = after.content("/etc/pam.d/common-auth").unwrap_or_default();
    assert!(
        text.contains("[success=2 default=ignore]\tpam_unix.so"),
        "{text}"
    );
    assert!(
        text.contains("[success=1 default=ignore]\tpam_sss.so"),
        "{text}"
    );
}

#[test]
fn the_first_who_asks_hands_the_password_on() {
    let after = check(
        "pam: {module: pwquality}",
        &host(),
        "drift: off, wanted on @ /etc/pam.d/common-password",
    );
    assert_eq!(
        after.content("/etc/pam.d/common-password"),
        Some(PASSWORD.replace(
            "password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\n",
            &format!("{QUALITY}password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt use_authtok\n"),
        ))
    );
    let after = check(
        "pam: {module: pwhistory}",
        &with_quality(host()),
        "drift: off, wanted on @ /etc/pam.d/common-password",
    );
    let text = after
        .content("/etc/pam.d/common-password")
        .unwrap_or_default();
    assert!(
        text.contains(&format!(
            "{QUALITY}password\trequisite\t\t\tpam_pwhistory.so use_authtok\npassword\t["
        )),
        "{text}"
    );
}

#[test]
fn modules_fold_in_any_order() {
    let quality = "pam: {module: pwquality}";
    let history = "pam: {module: pwhistory}";
    for order in [[quality, history], [history, quality]] {
        let mut after = host();
        for yaml in order {
            let Judgement::Drift(drifts) = judge(yaml, &host()) else {
                panic!("{yaml}: a drift");
            };
            after.apply(&drifts[0].edits);
        }
        let text = after
            .content("/etc/pam.d/common-password")
            .unwrap_or_default();
        assert!(
            text.contains(&format!(
                "{QUALITY}password\trequisite\t\t\tpam_pwhistory.so use_authtok\n\
                 password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt use_authtok\n"
            )),
            "{text}"
        );
    }
}

#[test]
fn two_arguments_of_one_line_fold() {
    let text = PASSWORD.replace(
        "password\t[",
        "password requisite pam_pwquality.so minlen=6 retry=9\npassword\t[",
    );
    let before = host().file("/etc/pam.d/common-password", &text);
    let mut after = before.clone();
    for option in ["minlen, value: 14", "retry, value: 3"] {
        let yaml = format!("pam: {{module: pwquality, option: {option}}}");
        let Judgement::Drift(drifts) = judge(&yaml, &before) else {
            panic!("{yaml}: a drift");
        };
        after.apply(&drifts[0].edits);
    }
    assert_eq!(
        after.content("/etc/pam.d/common-password"),
        Some(text.replace("minlen=6 retry=9", "minlen=14 retry=3"))
    );
}

#[test]
fn options_count_where_they_are_set() {
    let minlen = "pam: {module: pwquality, option: minlen, value: {at_least: 12, set: 14}}";
    let on = with_quality(host());
    let after = check(
        minlen,
        &on,
        "drift: minlen is 8 by default, wanted at least 12",
    );
    assert_eq!(
        after.content("/etc/security/pwquality.conf").as_deref(),
        Some("# minlen = 8\nminlen = 14\n")
    );
    check(
        minlen,
        &on.clone()
            .file("/etc/security/pwquality.conf.d/10-x.conf", "minlen=16\n"),
        "ok: minlen is 16 @ /etc/security/pwquality.conf.d/10-x.conf:1",
    );
    // The main file is read last.
    check(
        minlen,
        &on.clone()
            .file("/etc/security/pwquality.conf.d/10-x.conf", "minlen=16\n")
            .file("/etc/security/pwquality.conf", "minlen = 9\n"),
        "drift: minlen is 9, wanted at least 12 @ /etc/security/pwquality.conf:1",
    );
    // And the module's own line before all files.
    let text = PASSWORD.replace(
        "password\t[",
        "password requisite pam_pwquality.so  retry=3 minlen=6 difok=2 # why\npassword\t[",
    );
    let after = check(
        minlen,
        &on.file("/etc/pam.d/common-password", &text)
            .file("/etc/security/pwquality.conf", "minlen = 14\n"),
        "drift: minlen is 6, wanted at least 12 @ /etc/pam.d/common-password:2",
    );
    let text = after
        .content("/etc/pam.d/common-password")
        .unwrap_or_default();
    assert!(
        text.contains("pam_pwquality.so  retry=3 minlen=14 difok=2 # why\n"),
        "{text}"
    );
}

#[test]
fn flags_and_options_of_modules_that_are_off() {
    let after = check(
        "pam: {module: faillock, option: even_deny_root, value: true}",
        &host(),
        "drift: off, wanted on @ /etc/pam.d/common-auth @ /etc/pam.d/common-account; \
         drift: even_deny_root is false by default, wanted true",
    );
    assert_eq!(
        after.content("/etc/security/faillock.conf").as_deref(),
        Some("# deny = 3\n# even_deny_root\neven_deny_root\n")
    );
    let after = check(
        "pam: {module: faillock, option: even_deny_root, value: false}",
        &after,
        "drift: even_deny_root is true, wanted false @ /etc/security/faillock.conf:3",
    );
    assert_eq!(
        after.content("/etc/security/faillock.conf").as_deref(),
        Some("# deny = 3\n# even_deny_root\n")
    );
    check(
        "pam: {module: faillock, option: deny, value: {from: 1, to: 5, set: 5}}",
        &after,
        "ok: deny is 3 by default",
    );
}

#[test]
fn an_older_pwhistory_takes_arguments_only() {
    let mut old = host();
    old.nodes
        .remove(&"/etc/security/pwhistory.conf".parse().expect("a path"));
    let yaml = "pam: {module: pwhistory, option: remember, value: {at_least: 24, set: 24}}";
    let on = fix("pam: {module: pwhistory}", &old).1;
    let after = check(
        yaml,
        &on,
        "drift: remember is 10 by default, wanted at least 24",
    );
    let text = after
        .content("/etc/pam.d/common-password")
        .unwrap_or_default();
    assert!(text.contains("pam_pwhistory.so remember=24\n"), "{text}");
    // Off and without a file: one fix does both.
    check(
        yaml,
        &old,
        "drift: off, wanted on @ /etc/pam.d/common-password",
    );
}

/// As pam-auth-update writes it with a second primary module, before or behind pam_unix.
#[test]
fn two_primary_modules_are_as_debian_makes_them() {
    for (first, second) in [
        ("pam_unix.so nullok", "pam_sss.so use_first_pass"),
        ("pam_unix.so nullok", "pam_ldap.so use_first_pass"),
        (
            "pam_krb5.so minimum_uid=1000",
            "pam_unix.so nullok try_first_pass",
        ),
    ] {
        let stack = format!(
            "auth\t[success=2 default=ignore]\t{first}\n\
             auth\t[success=1 default=ignore]\t{second}\n\
             auth\trequisite\t\t\tpam_deny.so\nauth\trequired\t\t\tpam_permit.so\n"
        );
        check(
            "pam: {module: faillock}",
            &host().file("/etc/pam.d/common-auth", &stack),
            "drift: off, wanted on @ /etc/pam.d/common-auth @ /etc/pam.d/common-account",
        );
    }
}

#[test]
fn what_is_not_as_debian_makes_it_is_for_people() {
    check(
        "pam: {module: faillock}",
        &host().file("/etc/pam.d/common-auth", "auth required pam_ldap.so\n"),
        "drift: off, wanted on @ /etc/pam.d/common-auth @ /etc/pam.d/common-account \
         (by hand: add pam_faillock.so to the stack: it is not as Debian makes it)",
    );
    let mut bare = host();
    bare.packages.clear();
    check(
        "pam: {module: pwquality, option: minlen, value: 14}",
        &bare,
        "drift: off, wanted on @ /etc/pam.d/common-password (by hand: install the package libpam-pwquality first)",
    );
    check(
        "pam: {module: pwquality}",
        &Host::new(),
        "n/a: /etc/pam.d/common-password is missing",
    );
    check(
        "pam: {module: pwquality}",
        &host().file("/etc/pam.d/common-password", "password required\n"),
        "unknown: /etc/pam.d/common-password:1: not understood",
    );
}

#[test]
fn mistakes_are_refused_at_load() {
    for (yaml, why) in [
        (
            "pam: {module: faillock, option: deny}",
            "`option` and `value` belong together",
        ),
        (
            "pam: {module: faillock, option: De ny, value: 3}",
            "`De ny` is not an option",
        ),
        (
            "pam: {module: faillock, option: dir, value: a b}",
            "a value is one word",
        ),
        (
            "pam: {module: faillock, option: deny, value: {at_most: 3, set: 5}}",
            "`set` does not satisfy the expectation itself",
        ),
    ] {
        refused(yaml, why);
    }
}

proptest! {
    #[test]
    fn any_stack_is_survived(
        text in "(?s).{0,120}",
        odd in "(auth|password|\\[|\\]|success=1|=| |\t|\n|pam_unix.so|pam_deny.so|requisite|@include common-auth|\\\\\n|#){0,24}",
    ) {
        for text in [text, odd] {
            let host = host()
                .file("/etc/pam.d/common-auth", &text)
                .file("/etc/pam.d/common-password", &text);
            for module in ["faillock", "pwquality", "pwhistory"] {
                let yaml = format!("pam: {{module: {module}}}");
                prop_assert!(!words(&judge(&yaml, &host)).is_empty());
                // Where there is a fix, it holds.
                let _ = fix(&yaml, &host);
            }
        }
    }
}

/// What pam-auth-update made of a stack into whose block faillock was written: the jump is the one
/// of its own profile again, and success lands on the line that always fails.
#[test]
fn a_success_that_is_refused_is_found_and_mended() {
    let auth = "\
# here are the per-package modules (the \"Primary\" block)
auth\trequired\t\t\tpam_faillock.so preauth
auth\t[success=1 default=ignore]\tpam_unix.so nullok
auth\t[default=die]\t\t\tpam_faillock.so authfail
auth\trequisite\t\t\tpam_deny.so
auth\trequired\t\t\tpam_permit.so
";
    let account = format!("account\trequired\t\t\tpam_faillock.so\n{ACCOUNT}");
    let host = host()
        .file("/etc/pam.d/common-auth", auth)
        .file("/etc/pam.d/common-account", &account);
    // Of the severity of a lock-out, whatever else is wanted of the stack.
    let accepted = "password_accepted: {service: common-auth}";
    let said = words(&judge(accepted, &host));
    assert!(
        said.starts_with("drift: a right password is refused"),
        "{said}"
    );
    let mended = fix(accepted, &host).1;
    assert!(words(&judge(accepted, &mended)).starts_with("ok"));
    assert!(words(&judge(accepted, &Host::new())).starts_with("n/a"));
    // `success=1` jumps over one entry, authfail, and lands on pam_deny.
    let after = check(
        "pam: {module: faillock}",
        &host,
        "drift: a right password is refused: the success of pam_unix.so leads to pam_deny.so, \
         wanted a right password is accepted @ /etc/pam.d/common-auth:3",
    );
    assert_eq!(
        after.content("/etc/pam.d/common-auth"),
        Some(auth.replace(
            "auth\trequisite",
            "auth\t[success=1 default=ignore]\tpam_permit.so\nauth\trequisite"
        ))
    );
    check(
        "pam: {module: faillock}",
        &after,
        "ok: on @ /etc/pam.d/common-auth:2 @ /etc/pam.d/common-account:1",
    );
}

/// A host on which faillock is on, with these lines of `auth`.
pub fn with_auth(auth: &str) -> Host {
    host().file("/etc/pam.d/common-auth", auth).file(
        "/etc/pam.d/common-account",
        &format!("account required pam_faillock.so\n{ACCOUNT}"),
    )
}

const GUARDED: &str = "\
auth required pam_faillock.so preauth
auth [success=1 default=ignore] pam_unix.so nullok
auth [default=die] pam_faillock.so authfail
auth required pam_permit.so
";

/// Each of these was tried on a host: with the ones that are not on, the right password is
/// accepted after as many wrong ones as lock an account.
#[test]
fn a_stack_is_judged_by_what_it_does() {
    let yaml = "pam: {module: faillock}";
    let off = "drift: off, wanted on";
    for (auth, expected) in [
        (GUARDED.to_owned(), "ok: on"),
        // A success before the lock is looked at.
        (format!("auth sufficient pam_unix.so\n{GUARDED}"), off),
        // The lock is looked at after the password, and jumped over.
        (
            "auth [success=2 default=ignore] pam_unix.so\n\
             auth required pam_faillock.so preauth\n\
             auth [default=die] pam_faillock.so authfail\n\
             auth required pam_permit.so\n"
                .to_owned(),
            off,
        ),
        // Whoever is let in by the first call is asked for nothing.
        (
            GUARDED.replace("required pam_faillock", "sufficient pam_faillock"),
            off,
        ),
        (
            GUARDED.replace("required pam_faillock", "optional pam_faillock"),
            off,
        ),
        // Wrong passwords are not counted.
        (
            "auth required pam_faillock.so preauth\n\
             auth requisite pam_unix.so\n\
             auth [default=die] pam_faillock.so authfail\n"
                .to_owned(),
            off,
        ),
        // pam_faillock(8), the first example.
        (
            "auth required pam_env.so\n\
             auth [success=1 default=bad] pam_unix.so\n\
             auth [default=die] pam_faillock.so authfail\n\
             auth sufficient pam_faillock.so authsucc\n\
             auth required pam_deny.so\n"
                .to_owned(),
            "ok: on",
        ),
        // A finger or a key is no password.
        (
            format!("auth [success=3 default=ignore] pam_fprintd.so\n{GUARDED}"),
            "ok: on",
        ),
        // Some accounts are led past it: which ones, the module decides.
        (
            format!("auth [success=1 default=ignore] pam_succeed_if.so user = li\n{GUARDED}"),
            "unknown: it depends on what pam_succeed_if.so says",
        ),
    ] {
        let said = words(&judge(yaml, &with_auth(&auth)));
        assert!(said.starts_with(expected), "{auth}: {said}");
    }
    // Only a person brings lines into order.
    let said = words(&judge(
        yaml,
        &with_auth(&format!("auth sufficient pam_unix.so\n{GUARDED}")),
    ));
    assert!(said.contains("by hand"), "{said}");
    // The first example of the manual needs no line in `account`.
    let example = host().file(
        "/etc/pam.d/common-auth",
        "auth [success=1 default=bad] pam_unix.so\n\
         auth [default=die] pam_faillock.so authfail\n\
         auth sufficient pam_faillock.so authsucc\n\
         auth required pam_deny.so\n",
    );
    let said = words(&judge(yaml, &example));
    assert!(said.starts_with("ok: on"), "{said}");
}

#[test]
fn each_service_that_asks_for_a_password_counts() {
    let yaml = "pam: {module: faillock}";
    let base = with_auth(GUARDED)
        .file(
            "/etc/pam.d/su",
            "auth sufficient pam_rootok.so\n@include common-auth\n",
        )
        .file("/etc/pam.d/runuser", "auth sufficient pam_rootok.so\n")
        .file("/etc/pam.d/sudo.dpkg-old", "auth required pam_unix.so\n");
    let said = words(&judge(yaml, &base));
    assert!(said.starts_with("ok: on"), "{said}");
    for (file, text, expected) in [
        (
            "sshd",
            "auth required pam_unix.so\n",
            "drift: wrong passwords are not counted by sshd, \
             wanted an account is locked after wrong passwords @ /etc/pam.d/sshd:1 \
             (by hand: have `@include common-auth` there instead of its own lines)",
        ),
        (
            "su",
            "auth sufficient pam_rootok.so\nauth sufficient pam_unix.so\n@include common-auth\n",
            "drift: a right password opens a locked account by su, \
             wanted an account is locked after wrong passwords @ /etc/pam.d/su:1 \
             (by hand: have `@include common-auth` there instead of its own lines)",
        ),
        (
            "sshd",
            "auth substack common-auth\nauth required pam_env.so\n",
            "ok: on",
        ),
        ("sshd", "auth include common-auth\n", "ok: on"),
    ] {
        let host = base.clone().file(&format!("/etc/pam.d/{file}"), text);
        let said = words(&judge(yaml, &host));
        assert!(said.starts_with(expected), "{text}: {said}");
    }
    // A vendor's file counts where there is no other of its name.
    let vendor = base
        .clone()
        .file("/usr/lib/pam.d/app", "auth required pam_unix.so\n");
    let said = words(&judge(yaml, &vendor));
    assert!(said.contains("not counted by /usr/lib/pam.d/app"), "{said}");
    let own = vendor.file("/etc/pam.d/app", "@include common-auth\n");
    let said = words(&judge(yaml, &own));
    assert!(said.starts_with("ok: on"), "{said}");
}

#[test]
fn the_file_that_a_call_names_counts() {
    let yaml = "pam: {module: faillock, option: deny, value: {from: 1, to: 10, set: 10}}";
    let named = GUARDED.replace("authfail", "authfail conf=/etc/other.conf");
    let host = with_auth(&named).file("/etc/other.conf", "deny = 500\n");
    let after = check(
        yaml,
        &host,
        "drift: deny is 500, wanted 1 to 10 @ /etc/other.conf:1",
    );
    assert_eq!(
        after.content("/etc/other.conf").as_deref(),
        Some("deny = 10\n")
    );
    check(
        yaml,
        &with_auth(&named),
        "unknown: /etc/other.conf, which pam_faillock.so reads, is missing",
    );
    // A service's own call has its own options.
    check(
        yaml,
        &with_auth(GUARDED).file(
            "/etc/pam.d/sshd",
            &GUARDED.replace("authfail", "authfail deny=300"),
        ),
        "drift: deny is 300, wanted 1 to 10 @ /etc/pam.d/sshd:3",
    );
}

/// Who is let in by an earlier call is not refused by a later one.
#[test]
fn a_refusal_that_nobody_meets() {
    for first in ["sufficient", "[success=done default=ignore]"] {
        let auth = format!("auth {first} pam_unix.so nullok\n{AUTH}").replace(
            "auth\trequisite",
            "auth [default=die] pam_faillock.so authfail\nauth\trequisite",
        );
        let accepted = "password_accepted: {service: common-auth}";
        let said = words(&judge(accepted, &with_auth(&auth)));
        assert!(said.starts_with("ok"), "{said}");
    }
}

/// faillock.conf(5): "The value 0 is the same as never".
#[test]
fn a_lock_that_never_opens_is_no_shorter_one() {
    let (_, locked) = fix("pam: {module: faillock}", &host());
    let yaml = "pam: {module: faillock, option: unlock_time, value: {at_least: 600, set: 600}}";
    for (value, is_ok) in [("0", true), ("never", true), ("600", true), ("599", false)] {
        let text = format!("unlock_time = {value}\n");
        let host = locked.clone().file("/etc/security/faillock.conf", &text);
        let said = words(&judge(yaml, &host));
        assert_eq!(said.starts_with("ok"), is_ok, "{value}: {said}");
    }
    let most = "pam: {module: faillock, option: unlock_time, value: {at_most: 900, set: 600}}";
    let never = locked.file("/etc/security/faillock.conf", "unlock_time = 0\n");
    assert!(words(&judge(most, &never)).starts_with("drift"));
}

/// pwquality.conf(5): `enforcing`, and credits, which count as length where they are above 0.
#[test]
fn what_lets_short_passwords_through() {
    let yaml = "pam: {module: pwquality, option: minlen, value: {at_least: 12, set: 12}}";
    let conf = "/etc/security/pwquality.conf";
    for (text, observed, after) in [
        (
            "minlen = 14\nenforcing = 0\n",
            "enforcing is 0",
            "minlen = 14\nenforcing = 1\n",
        ),
        (
            "minlen = 14\ndcredit = 8\n",
            "dcredit is 8",
            "minlen = 14\ndcredit = 0\n",
        ),
    ] {
        let (said, fixed) = fix(yaml, &with_quality(host()).file(conf, text));
        assert!(said.starts_with(&format!("drift: {observed}")), "{said}");
        assert_eq!(fixed.content(conf).as_deref(), Some(after));
    }
    for text in [
        "minlen = 14\n",
        "minlen = 14\ndcredit = -1\nucredit = -1\n",
        "minlen = 14\ndcredit = 1\nucredit = 1\n",
    ] {
        let host = with_quality(host()).file(conf, text);
        assert!(words(&judge(yaml, &host)).starts_with("ok"), "{text}");
    }
    let mut unread = with_quality(host()).file(conf, "minlen = 14\n");
    let directory = model::Probe::Dir {
        path: model::HostPath::literal("/etc/security/pwquality.conf.d"),
    };
    let why = "permission denied".to_owned();
    unread
        .unknown
        .insert(directory, model::value::Reason::Failed { why });
    assert!(words(&judge(yaml, &unread)).starts_with("unknown"));
}

/// libpwquality stops at the first line that it does not take, and pam_pwquality goes on with what
/// was read so far: with each of these above `minlen = 14`, a password of eight letters was taken.
#[test]
fn what_stands_below_a_line_that_is_not_taken() {
    let yaml = "pam: {module: pwquality, option: minlen, value: {at_least: 12, set: 14}}";
    let conf = "/etc/security/pwquality.conf";
    let said = |text: &str| words(&judge(yaml, &with_quality(host()).file(conf, text)));
    let long = format!("badwords = {}", "x".repeat(1100));
    let fits = format!("badwords = {}", "x".repeat(1011));
    for line in [
        "foo = 3",
        "retry = x",
        "retry =",
        "dcredit = -1 digits",
        "nonsense",
        "[main]",
        "; note",
        &long,
        &format!("{fits}x"),
        "minlen = 99999999999",
    ] {
        let said = said(&format!("{line}\nminlen = 14\n"));
        assert!(
            said.starts_with("drift: minlen is 8, since"),
            "{line}: {said}"
        );
        assert!(said.contains("pwquality.conf:1"), "{line}: {said}");
        assert!(
            said.contains("by hand: mend or take away"),
            "{line}: {said}"
        );
    }
    for (text, expected) in [
        ("minlen = 14\nfoo = 3\n", "ok: minlen is 14"),
        ("MINLEN = 14\n", "ok: minlen is 14"),
        ("minlen 14 # digits\n\n  # note\n", "ok: minlen is 14"),
        ("minlen==14\n", "drift: minlen is 8, since"),
        ("minlen = 14abc\n", "drift: minlen is 8, since"),
        (
            "enforce_for_root\nbadwords =\nRetry=3\nminlen=14",
            "ok: minlen is 14",
        ),
        (&format!("{fits}\nminlen = 14\n"), "ok: minlen is 14"),
        ("minlen = 14\nminlen = x\nminlen = 4\n", "ok: minlen is 14"),
        // The first that counts is below, and would be read again.
        ("minlen = 14\nminlen = 4\n", "drift: minlen is 4, wanted"),
    ] {
        let said = said(text);
        assert!(said.starts_with(expected), "{text}: {said}");
    }
    let directory = |name: &str, text: &str| {
        let host = with_quality(host()).file(conf, "minlen = 14\n");
        words(&judge(yaml, &host.file(&format!("{conf}.d/{name}"), text)))
    };
    let stopped = directory("a.conf", "foo = 6\n");
    assert!(
        stopped.starts_with("drift: minlen is 8, since"),
        "{stopped}"
    );
    let stopped = directory("a.conf", "foo = 6\nminlen = 14\n");
    assert!(
        stopped.starts_with("drift: minlen is 8, since"),
        "{stopped}"
    );
    let not_read = directory("a.txt", "foo = 6\n");
    assert!(not_read.starts_with("ok"), "{not_read}");
    // On the line of the module, names are in any case as well.
    let quality = QUALITY.replace("retry=3", "MinLen=6");
    let common = host()
        .content("/etc/pam.d/common-password")
        .unwrap_or_default();
    let host = host()
        .file(conf, "minlen = 14\n")
        .file("/etc/pam.d/common-password", &format!("{quality}{common}"));
    let said = words(&judge(yaml, &host));
    assert!(said.starts_with("drift: minlen is 6"), "{said}");
}

/// As tried with passwd(1) on Debian 12: six letters were taken where the audit said that they are not.
#[test]
fn a_password_that_is_refused_and_set_all_the_same() {
    let yaml = "pam: {module: pwquality}";
    let with = |stack: &str| {
        let host = host().file("/etc/pam.d/common-password", stack);
        words(&judge(yaml, &host))
    };
    let rest = "password requisite pam_deny.so\npassword required pam_permit.so\n";
    let unix = "password [success=1 default=ignore] pam_unix.so obscure";
    for (guard, setter) in [
        ("optional pam_pwquality.so retry=3", unix.to_owned()),
        ("[default=ignore] pam_pwquality.so", unix.to_owned()),
        ("required pam_pwquality.so", unix.to_owned()),
        (
            "[success=ok default=die authtok_err=ignore] pam_pwquality.so",
            unix.to_owned(),
        ),
    ] {
        let said = with(&format!("password {guard}\n{setter}\n{rest}"));
        let wanted = "drift: `pam_unix.so` sets passwords that pam_pwquality.so refuses";
        assert!(said.starts_with(wanted), "{guard}: {said}");
    }
    // Jumped over, and ended a substack only.
    for skipped in ["default=1", "success=1 default=ignore"] {
        let said = with(&format!(
            "password [{skipped}] pam_exec.so /bin/x\npassword requisite pam_pwquality.so\n{unix}\n{rest}"
        ));
        assert!(said.starts_with("drift: `pam_unix.so` sets"), "{said}");
    }
    let host_with_substack = host()
        .file(
            "/etc/pam.d/common-password",
            &format!("password substack judged\n{unix}\n{rest}"),
        )
        .file("/etc/pam.d/judged", "password requisite pam_pwquality.so\n");
    let said = words(&judge(yaml, &host_with_substack));
    assert!(said.starts_with("drift: `pam_unix.so` sets"), "{said}");
    // Asked for once more, by another, after the refusal.
    let said = with(&format!(
        "password required pam_pwquality.so\npassword required pam_pwhistory.so\n{unix} use_authtok\n{rest}"
    ));
    assert!(said.starts_with("drift: `pam_unix.so` sets"), "{said}");
    // A service with lines of its own.
    let good = format!("password requisite pam_pwquality.so\n{unix} use_authtok\n{rest}");
    let of_passwd = |stack: &str| {
        let host = host()
            .file("/etc/pam.d/common-password", &good)
            .file("/etc/pam.d/passwd", stack);
        words(&judge(yaml, &host))
    };
    let said = of_passwd("@include common-password\n");
    assert!(said.starts_with("ok"), "{said}");
    for own in [
        "password required pam_unix.so\n",
        "password required pam_unix.so yescrypt\n",
        "password sufficient pam_unix.so yescrypt\n@include common-password\n",
        "password [success=done default=ignore] pam_unix.so nullok\n@include common-password\n",
    ] {
        let said = of_passwd(own);
        let wanted = "drift: `pam_unix.so` sets passwords";
        assert!(said.starts_with(wanted), "{own}: {said}");
        assert!(said.contains("@ /etc/pam.d/passwd:1"), "{own}: {said}");
    }
    let said = with(&format!(
        "{unix} use_authtok\n{rest}password requisite pam_pwquality.so\n"
    ));
    assert!(said.starts_with("drift: `pam_unix.so` sets"), "{said}");
    for (guard, setter) in [
        ("requisite pam_pwquality.so retry=3", unix.to_owned()),
        ("[success=ok default=die] pam_pwquality.so", unix.to_owned()),
        ("optional pam_pwquality.so", format!("{unix} use_authtok")),
        ("required pam_pwquality.so", format!("{unix} use_authtok")),
    ] {
        let said = with(&format!("password {guard}\n{setter}\n{rest}"));
        assert!(said.starts_with("ok"), "{guard}: {said}");
    }
}

/// With each of these, sudo took a wrong password on Debian 13.
#[test]
fn nobody_is_let_in_without_a_proof() {
    const LETS_IN: [&str; 13] = [
        "sufficient pam_permit.so",
        "sufficient pam_localuser.so",
        "sufficient pam_succeed_if.so uid >= 1000",
        "sufficient pam_exec.so /bin/true",
        "sufficient pam_wheel.so trust group=sudo",
        "sufficient pam_listfile.so item=user sense=deny file=/etc/none onerr=succeed",
        "sufficient pam_shells.so",
        "sufficient pam_access.so",
        "sufficient pam_usertype.so isregular",
        "sufficient pam_debug.so",
        "[success=done default=ignore] pam_succeed_if.so user = bob",
        "[default=done] pam_permit.so",
        "sufficient pam_rhosts.so",
    ];
    const ELSE: [&str; 14] = [
        "sufficient pam_rootok.so",
        "sufficient pam_succeed_if.so uid = 0 use_uid quiet",
        "sufficient pam_succeed_if.so user ingroup nopasswdlogin",
        "required pam_wheel.so",
        "sufficient pam_wheel.so use_uid",
        "sufficient pam_u2f.so cue",
        "sufficient pam_yubico.so mode=challenge-response",
        "[success=done default=ignore] pam_ssh_agent_auth.so file=/etc/security/keys",
        "required pam_google_authenticator.so",
        "[success=done default=ignore] pam_fprintd.so",
        "[success=done default=die] pam_krb5.so",
        "sufficient pam_exec.so expose_authtok /usr/local/bin/ask",
        "required pam_listfile.so item=user sense=deny file=/etc/ftpusers onerr=succeed",
        "requisite pam_nologin.so",
    ];
    let lockout = "pam: {module: faillock}";
    let accepted = "password_accepted: {service: common-auth}";
    let include = "@include common-auth\n";
    for line in LETS_IN {
        let common = with_auth(&format!("auth {line}\n{GUARDED}")).file("/etc/pam.d/sudo", include);
        let own = with_auth(GUARDED).file("/etc/pam.d/sudo", &format!("auth {line}\n{include}"));
        for (host, by) in [(&common, "common-auth"), (&own, "sudo")] {
            let said = words(&judge(accepted, host));
            assert!(
                said.starts_with("drift: somebody is let in"),
                "{line}: {said}"
            );
            assert!(
                said.contains(&format!(" by {by}, wanted")),
                "{line}: {said}"
            );
            let said = words(&judge(lockout, host));
            assert!(said.starts_with("drift: "), "{line}: {said}");
        }
        // On a host that has no lock as well.
        let fresh = host().file("/etc/pam.d/sudo", &format!("auth {line}\n{include}"));
        let said = words(&judge(accepted, &fresh));
        assert!(
            said.starts_with("drift: somebody is let in"),
            "{line}: {said}"
        );
        let instead = host().file("/etc/pam.d/sshd", &format!("auth {line}\n"));
        let said = words(&judge(accepted, &instead));
        assert!(
            said.starts_with("drift: whoever comes is let in by sshd"),
            "{line}: {said}"
        );
    }
    for line in ELSE {
        for base in [host(), with_auth(GUARDED)] {
            for service in ["sudo", "su", "sshd", "lightdm"] {
                let text = format!("auth {line}\n{include}");
                let host = base.clone().file(&format!("/etc/pam.d/{service}"), &text);
                let said = words(&judge(accepted, &host));
                assert!(said.starts_with("ok: "), "{line}: {said}");
            }
        }
    }
    // What can't be told is not passed over.
    for line in ["pam_exec.so /usr/local/bin/telephone", "pam_unheard_of.so"] {
        let own = format!("auth sufficient {line}\n{include}");
        let said = words(&judge(
            lockout,
            &with_auth(GUARDED).file("/etc/pam.d/sudo", &own),
        ));
        assert!(
            said.starts_with("unknown: PAM of sudo: it depends"),
            "{line}: {said}"
        );
    }
    // A session that starts by itself asks for nothing.
    let greeter = host().file(
        "/etc/pam.d/lightdm-greeter",
        "auth required pam_permit.so\n",
    );
    assert!(words(&judge(accepted, &greeter)).starts_with("ok: "));
    // The second way in beside a password.
    let second = GUARDED.replace(
        "auth [success=1 default=ignore] pam_unix.so nullok\n",
        "auth [success=2 default=ignore] pam_unix.so nullok\n\
         auth [success=1 default=ignore] pam_u2f.so cue\n",
    );
    let said = words(&judge(lockout, &with_auth(&second)));
    assert!(said.starts_with("ok: on"), "{said}");
}
