//! What a rule puts into the password stack outlives Debian's own tools, which write that stack
//! anew: whoever has the right password still gets in.

use lab::{Options, Release};

use crate::booted::Host;

/// As `ana`, who is nobody special, `su` to `bob` with this password.
fn enters(host: &Host, password: &str) -> bool {
    let line = format!(
        "printf '%s\\n' {password} | runuser -u ana -- su bob -c true >/dev/null 2>&1 \
         && echo yes || echo no"
    );
    host.shell(&line) == "yes\n"
}

fn expect_right_passwords_only(host: &Host, when: &str) {
    assert!(enters(host, "right"), "{when}: the right password enters");
    assert!(!enters(host, "wrong"), "{when}: a wrong one does not");
    assert!(enters(host, "right"), "{when}: one mistake locks nobody");
}

fn the_lock_outlives_pam_auth_update(release: Release) {
    let Some(host) = Host::on(release, Options::default()) else {
        return;
    };
    host.shell("useradd -m ana && useradd -m bob && echo bob:right | chpasswd");
    let apply = [
        "apply",
        "--baseline",
        "debian",
        "--rule",
        "authentication-lockout",
    ];
    host.steadfast(&[&apply[..], &["--yes", "--detach"]].concat())
        .expect(0, &[]);
    host.steadfast(&["confirm", "--unproven"]).expect(0, &[]);
    expect_right_passwords_only(&host, "applied");
    let judged = [
        "audit",
        "--baseline",
        "debian",
        "--rule",
        "authentication-lockout",
    ];
    for again in [
        "pam-auth-update --package",
        "pam-auth-update --package --force",
    ] {
        host.shell(&format!("DEBIAN_FRONTEND=noninteractive {again}"));
        assert!(enters(&host, "right"), "{again}: the right password enters");
        assert!(!enters(&host, "wrong"), "{again}: a wrong one does not");
    }
    // Both keep the line, and the audit says what is true.
    let kept = host.shell("grep -c authfail /etc/pam.d/common-auth; true");
    assert_eq!(kept, "1\n");
    host.steadfast(&judged).expect(0, &[]);
}

#[test]
fn the_lock_outlives_pam_auth_update_on_debian_12() {
    the_lock_outlives_pam_auth_update(Release::Bookworm);
}

#[test]
fn the_lock_outlives_pam_auth_update_on_debian_13() {
    the_lock_outlives_pam_auth_update(Release::Trixie);
}

/// What an older version wrote into the stack, and pam-auth-update then made of it.
const LOCKED_OUT: &str = "\
# here are the per-package modules (the \"Primary\" block)
auth\trequired\t\t\tpam_faillock.so preauth
auth\t[success=1 default=ignore]\tpam_unix.so nullok
auth\t[default=die]\t\t\tpam_faillock.so authfail
# here's the fallback if no module succeeds
auth\trequisite\t\t\tpam_deny.so
auth\trequired\t\t\tpam_permit.so
# end of pam-auth-update config
";

/// What an older version wrote into the stack, before pam-auth-update has met it.
const NOT_YET_LOCKED_OUT: &str = "\
auth\trequired\t\t\tpam_faillock.so preauth
# here are the per-package modules (the \"Primary\" block)
auth\t[success=2 default=ignore]\tpam_unix.so nullok
# here's the fallback if no module succeeds
auth\t[default=die]\t\t\tpam_faillock.so authfail
auth\trequisite\t\t\tpam_deny.so
auth\trequired\t\t\tpam_permit.so
# and here are more per-package modules (the \"Additional\" block)
# end of pam-auth-update config
";

/// Found while people still sign in, and pam-auth-update then locks nobody out.
#[test]
fn a_host_that_the_old_fix_will_lock_is_brought_over() {
    let Some(host) = Host::on(Release::Bookworm, Options::default()) else {
        return;
    };
    host.shell("useradd -m ana && useradd -m bob && echo bob:right | chpasswd");
    host.write("/etc/pam.d/common-auth", NOT_YET_LOCKED_OUT);
    assert!(enters(&host, "right"), "nobody is locked out yet");
    let rule = [
        "--baseline",
        "debian",
        "--rule",
        "authentication-right-password",
    ];
    let audit = [&["audit"][..], &rule[..]].concat();
    host.steadfast(&audit)
        .expect(1, &["critical", "as soon as pam-auth-update runs"]);
    let apply = [&["apply"][..], &rule[..], &["--yes", "--detach"][..]].concat();
    host.steadfast(&apply).expect(0, &[]);
    host.steadfast(&["confirm", "--unproven"]).expect(0, &[]);
    expect_right_passwords_only(&host, "mended");
    host.steadfast(&audit).expect(0, &[]);
    host.shell("DEBIAN_FRONTEND=noninteractive pam-auth-update --package");
    expect_right_passwords_only(&host, "after pam-auth-update");
    host.steadfast(&audit).expect(0, &[]);
}

#[test]
fn a_host_that_the_old_fix_locked_is_brought_over() {
    let Some(host) = Host::on(Release::Bookworm, Options::default()) else {
        return;
    };
    host.shell("useradd -m ana && useradd -m bob && echo bob:right | chpasswd");
    host.write("/etc/pam.d/common-auth", LOCKED_OUT);
    assert!(!enters(&host, "right"), "this is the fault");
    let rule = [
        "--baseline",
        "debian",
        "--rule",
        "authentication-right-password",
    ];
    let audit = [&["audit"][..], &rule[..]].concat();
    host.steadfast(&audit)
        .expect(1, &["critical", "authentication-right-password"]);
    let apply = [&["apply"][..], &rule[..], &["--yes", "--detach"][..]].concat();
    host.steadfast(&apply).expect(0, &[]);
    host.steadfast(&["confirm", "--unproven"]).expect(0, &[]);
    expect_right_passwords_only(&host, "mended");
    host.steadfast(&audit).expect(0, &[]);
}
