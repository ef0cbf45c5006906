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
