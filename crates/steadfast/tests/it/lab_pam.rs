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

/// Rules that edit a file which a package owns or makes, and what makes that file anew: as an
/// upgrade, or an administrator, does.
const MADE_ANEW: [(&str, &str, &str); 8] = [
    (
        "debian",
        "authentication-lockout",
        "dpkg-reconfigure libpam-runtime",
    ),
    (
        "debian",
        "authentication-lockout",
        "pam-auth-update --package --force",
    ),
    (
        "debian",
        "authentication-hash-method",
        "dpkg-reconfigure login passwd",
    ),
    ("debian", "strict-umask", "dpkg-reconfigure login passwd"),
    (
        "openssh",
        "ssh-root-login",
        "ucf --three-way /usr/share/openssh/sshd_config /etc/ssh/sshd_config \
         && dpkg-reconfigure openssh-server",
    ),
    ("debian", "sudo-timestamp", "dpkg-reconfigure sudo"),
    ("debian", "logging-syslog-modes", "dpkg-reconfigure rsyslog"),
    (
        "debian",
        "packages-automatic-updates",
        "dpkg-reconfigure unattended-upgrades",
    ),
];
const SAMPLED: usize = 4;

/// What a rule would not find as wanted already.
fn spoil(host: &Host, rule: &str) {
    host.shell(match rule {
        "authentication-hash-method" => "echo 'ENCRYPT_METHOD MD5' >> /etc/login.defs",
        "strict-umask" => "sed -i '/^UMASK/d' /etc/login.defs",
        "ssh-root-login" => "echo 'PermitRootLogin yes' >> /etc/ssh/sshd_config",
        "sudo-timestamp" => {
            "echo 'Defaults timestamp_timeout=-1' > /etc/sudoers.d/x; chmod 440 /etc/sudoers.d/x"
        }
        "logging-syslog-modes" => {
            "sed -i 's/^$FileCreateMode.*/$FileCreateMode 0644/' /etc/rsyslog.conf"
        }
        "packages-automatic-updates" => {
            "echo 'APT::Periodic::Unattended-Upgrade \"0\";' > /etc/apt/apt.conf.d/20auto-upgrades"
        }
        _ => "true",
    });
}

/// Afterwards the right password still enters, by su and by sudo, and the audit says what is true:
/// here, that the rule still holds, since these tools keep what people wrote.
#[test]
fn rules_outlive_what_makes_their_files_anew() {
    let Some(host) = Host::on(Release::Bookworm, Options::default()) else {
        return;
    };
    let seed = std::env::var("STEADFAST_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse::<usize>().ok())
        .unwrap_or(1);
    println!("STEADFAST_TEST_SEED={seed}");
    host.shell("useradd -m ana && useradd -m -G sudo bob && echo bob:right | chpasswd");
    let step = [1, 3, 5, 7][seed % 4];
    for number in 0..SAMPLED {
        let (baseline, rule, anew) = MADE_ANEW[(seed + number * step) % MADE_ANEW.len()];
        let named = [
            "--baseline",
            baseline,
            "--profile",
            "strict",
            "--rule",
            rule,
        ];
        spoil(&host, rule);
        let apply = [&["apply"][..], &named[..], &["--yes", "--detach"][..]].concat();
        let said = host.steadfast(&apply);
        assert_eq!(said.code, Some(0), "{rule}: {}{}", said.out, said.err);
        // What cuts nobody off waits for no confirmation.
        host.steadfast(&["confirm", "--unproven"]);
        host.shell(&format!("export DEBIAN_FRONTEND=noninteractive; {anew}"));
        let said = host.steadfast(&[&["audit"][..], &named[..]].concat());
        assert_eq!(
            said.code,
            Some(0),
            "{rule} after {anew}: {}{}",
            said.out,
            said.err
        );
        expect_right_passwords_only(&host, anew);
        let sudo =
            "printf 'right\\n' | runuser -u bob -- sudo -S -k -p '' true && echo yes || echo no";
        assert_eq!(host.shell(sudo), "yes\n", "{rule} after {anew}: sudo");
    }
}
