//! `admin_login`: who can administer, who of them sshd lets in, and with what.

use model::value::Reason;
use model::{HostPath, Probe};

use resource::kind::administrators::counts;

use crate::support::{Host, judge, observe, refused, resource, words};
use crate::{accounts, sudo};

const DEFAULTS: &str = "\
usepam yes
permitrootlogin no
pubkeyauthentication yes
passwordauthentication no
kbdinteractiveauthentication no
gssapiauthentication no
hostbasedauthentication no
authenticationmethods any
pubkeyacceptedalgorithms ssh-ed25519,sk-ssh-ed25519@openssh.com
pubkeyauthoptions none
";

const PAM: &str = "auth required pam_unix.so\nauth required pam_oath.so window=5\n";

fn host(sshd: &str, drop_in: &str) -> Host {
    let host = accounts::host(
        &[
            "root:set:0:0:/root:/bin/bash",
            "ana:set:1000:1000:/home/ana:/bin/bash",
            "li:set:1001:1001:/home/li:/bin/bash",
            "svc:none:1002:27:/srv:/usr/sbin/nologin",
        ],
        &[
            "root:0:",
            "sudo:27:ana",
            "ops:50:li",
            "ana:1000:",
            "li:1001:",
        ],
    )
    .file("/etc/sudoers", sudo::DEBIAN)
    .file("/etc/sudoers.d/site", drop_in)
    .file("/etc/pam.d/sshd", "@include common-auth\n")
    .file("/etc/pam.d/common-auth", PAM)
    .dir("/etc/ssh/sshd_config.d")
    .file("/etc/ssh/sshd_config", sshd);
    let mut host = host.sysctl("kernel.hostname", "web1\n");
    host.sshd_defaults = Some(DEFAULTS.to_owned());
    host
}

/// Who fails, as `name: methods`.
fn check(sshd: &str, drop_in: &str, expected: &str) {
    let said = words(&judge("admin_login: {factors: 2}", &host(sshd, drop_in)));
    let short: Vec<String> = said
        .split("; drift: ")
        .map(|part| {
            let part = part.trim_start_matches("drift: ");
            match part.split_once(" signs in with ") {
                Some((name, rest)) => {
                    let methods = rest.split(" alone").next().unwrap_or(rest);
                    format!("{}: {methods}", name.trim_matches('`'))
                }
                None => part.to_owned(),
            }
        })
        .filter(|part| !part.contains("by hand"))
        .collect();
    assert_eq!(short.join(", "), expected, "{sshd}\n{drop_in}\n{said}");
}

#[test]
fn who_needs_how_much() {
    for (sshd, expected) in [
        ("", "ana: publickey"),
        (
            "AuthenticationMethods publickey,keyboard-interactive\nKbdInteractiveAuthentication yes",
            "ok: 1 administrators, 2 factors each",
        ),
        // One of the ways is enough to be weak.
        (
            "AuthenticationMethods publickey,keyboard-interactive publickey\nKbdInteractiveAuthentication yes",
            "ana: publickey",
        ),
        // A way that uses a method that is off does not exist.
        (
            "AuthenticationMethods publickey,keyboard-interactive password\nKbdInteractiveAuthentication yes",
            "ok: 1 administrators, 2 factors each",
        ),
        (
            "AuthenticationMethods publickey,publickey",
            "ana: publickey and publickey",
        ),
        (
            "AuthenticationMethods publickey,keyboard-interactive:pam\nKbdInteractiveAuthentication yes",
            "ok: 1 administrators, 2 factors each",
        ),
        // The PAM stack asks for a password and a code.
        (
            "PubkeyAuthentication no\nKbdInteractiveAuthentication yes",
            "ok: 1 administrators, 2 factors each",
        ),
        (
            "PubkeyAuthentication no\nPasswordAuthentication yes",
            "ana: password",
        ),
        (
            "PubkeyAcceptedAlgorithms sk-ssh-ed25519@openssh.com\nPubkeyAuthOptions verify-required",
            "ok: 1 administrators, 2 factors each",
        ),
        ("PubkeyAuthOptions verify-required", "ana: publickey"),
        ("AllowUsers li", "ok: no administrator can sign in over SSH"),
        ("DenyUsers an*", "ok: no administrator can sign in over SSH"),
        (
            "AllowGroups ops",
            "ok: no administrator can sign in over SSH",
        ),
        ("AllowUsers ana@10.0.0.0/8", "ana: publickey"),
        ("PermitRootLogin yes", "root: publickey, ana: publickey"),
        // With keys only, root can't give the password that the list asks for.
        (
            "PermitRootLogin prohibit-password\nAuthenticationMethods publickey,keyboard-interactive\nKbdInteractiveAuthentication yes",
            "ok: 1 administrators, 2 factors each",
        ),
        (
            "AuthenticationMethods publickey,keyboard-interactive\nKbdInteractiveAuthentication yes\nMatch User ana\nAuthenticationMethods publickey",
            "ana: publickey",
        ),
    ] {
        check(sshd, "", expected);
    }
}

#[test]
fn who_can_administer() {
    for (rule, expected) in [
        ("%ops ALL=(ALL) ALL", "ana: publickey, li: publickey"),
        (
            "li ALL=(root) NOPASSWD: ALL",
            "ana: publickey, li: publickey",
        ),
        ("#1001 ALL = ALL", "ana: publickey, li: publickey"),
        ("%#50 ALL = ALL", "ana: publickey, li: publickey"),
        ("ALL, !li ALL = ALL", "ana: publickey"),
        (
            "User_Alias A = li\nA ALL = ALL",
            "ana: publickey, li: publickey",
        ),
        ("li ALL = /usr/bin/systemctl", "ana: publickey"),
        ("li ALL = (postgres) ALL", "ana: publickey"),
    ] {
        check("", &format!("{rule}\n"), expected);
    }
}

#[test]
fn the_finding_says_where() {
    let host = host("AuthenticationMethods publickey\n", "");
    let said = words(&judge("admin_login: {factors: 2}", &host));
    assert!(
        said.starts_with(
            "drift: `ana` signs in with publickey alone, wanted two factors \
             @ /etc/ssh/sshd_config:1 @ /etc/sudoers:11 (by hand: enrol"
        ),
        "{said}"
    );
}

#[test]
fn doubt_is_no_pass() {
    let two =
        "AuthenticationMethods publickey,keyboard-interactive\nKbdInteractiveAuthentication yes\n";
    let said = |host: &Host| words(&judge("admin_login: {factors: 2}", host));
    let path: HostPath = "/etc/sudoers.d/site".parse().expect("a path");
    assert_eq!(
        said(&host(two, "").cannot_tell(Probe::file(path), Reason::NeedsRoot)),
        "unknown: needs root: run with sudo"
    );
    let mut elsewhere = host(two, "");
    elsewhere.accounts.as_mut().expect("accounts").other_sources = vec!["sss".to_owned()];
    assert_eq!(
        said(&elsewhere),
        "unknown: sudoers gives rights to `%sudo`, which sss may add accounts to"
    );
    assert_eq!(
        said(&host(two, "+admins ALL = ALL\n")),
        "unknown: sudoers gives rights to `+admins`, which another source may add accounts to"
    );
    let nullok = host(two, "").file(
        "/etc/pam.d/common-auth",
        "auth required pam_oath.so nullok\n",
    );
    assert_eq!(said(&nullok), "ok: 1 administrators, 2 factors each");
    let codes_alone = host(
        "PubkeyAuthentication no\nKbdInteractiveAuthentication yes\n",
        "",
    )
    .file(
        "/etc/pam.d/common-auth",
        "auth required pam_unix.so\nauth sufficient pam_oath.so\n",
    );
    assert!(
        said(&codes_alone).starts_with("drift: `ana` signs in with keyboard-interactive alone")
    );
}

#[test]
fn mistakes_are_refused_at_load() {
    refused("admin_login: {factors: 3}", "`factors` is 1 or 2");
}

/// Whose sign-in shows that somebody can still administer the host.
#[test]
fn whose_sign_in_counts() {
    let yes = "yes";
    let no = "sudoers lets it run nothing, or not everything, as root";
    for (name, drop_in, expected) in [
        ("root", "", yes),
        ("ana", "", yes),
        // By its own group of accounts.
        ("svc", "", yes),
        ("li", "", no),
        ("li", "li ALL=(www-data) NOPASSWD: /usr/bin/id", no),
        ("li", "li ALL=(www-data) ALL", no),
        ("li", "li ALL=(root) NOPASSWD: /usr/bin/id", no),
        ("li", "li ALL=(root) NOPASSWD: /usr/bin/rsync", no),
        ("li", "li ALL=!ALL", no),
        ("li", "li2 ALL=(ALL) ALL", no),
        ("li", "li ALL=(ALL) ALL\nli ALL=(ALL) !ALL", no),
        ("li", "%ops ALL=(ALL) ALL\nli ALL=(ALL) !ALL", no),
        ("li", "ALL, !li ALL=(ALL) ALL", no),
        // For another host.
        ("li", "li db1=(ALL) ALL", no),
        ("li", "li web1=(ALL) ALL\nli db1=(ALL) !ALL", yes),
        ("li", "%ops ALL=(ALL) ALL", yes),
        ("li", "%ops ALL=(ALL:ALL) NOPASSWD: ALL", yes),
        ("li", "%#50 ALL=(root) ALL", yes),
        ("li", "#1001 ALL=ALL", yes),
        ("li", "User_Alias OPS = li, ana\nOPS ALL=(ALL) ALL", yes),
        ("li", "li ALL=(root) /bin/bash", yes),
        ("li", "li ALL=(ALL) ALL, !/usr/bin/su", yes),
        ("ana", "ana ALL=(ALL) !ALL", no),
        (
            "zoe",
            "zoe ALL=(ALL) ALL",
            "it is none of this host's own accounts",
        ),
    ] {
        let seen = observe(&resource("admin_login: {factors: 2}"), &host("", drop_in));
        let said = counts(name, &seen).err();
        assert_eq!(
            said.as_deref().unwrap_or(yes),
            expected,
            "{name}: {drop_in}"
        );
    }
}
