//! `authorized_key`.

use resource::Edit;
use resource::Judgement;
use resource::kind::authorized_key::parse_line;

use crate::accounts;
use crate::support::{Host, check, judge, refused};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGV4YW1wbGU";
const OTHER: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ== old@laptop";
const FILE: &str = "/home/ana/.ssh/authorized_keys";

fn host(keys: Option<&str>) -> Host {
    let mut host = accounts::host(
        &[
            "root:set:0:0:/root:/bin/bash",
            "ana:set:1000:100:/home/ana:/bin/bash",
        ],
        &["root:0:", "users:100:"],
    )
    .dir_as("/home/ana", 0o755, "ana", "users")
    .dir_as("/root", 0o700, "root", "root")
    .file("/etc/ssh/sshd_config", "");
    host.sshd_defaults =
        Some("authorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2\n".to_owned());
    if let Some(keys) = keys {
        host = host
            .dir_as("/home/ana/.ssh", 0o700, "ana", "users")
            .file_as(FILE, keys, 0o600, "ana", "users");
    }
    host
}

fn wanted(rest: &str) -> String {
    format!("authorized_key: {{user: ana, key: '{KEY} ana@new'{rest}}}")
}

#[test]
fn a_key_is_added_with_the_rights_of_its_owner() {
    let yaml = wanted("");
    let expected = format!("drift: absent, wanted the key @ {FILE}");
    let after = check(&yaml, &host(None), &expected);
    assert_eq!(after.content(FILE), Some(format!("{KEY} ana@new\n")));
    let node = &after.nodes[&FILE.parse().expect("a path")];
    assert_eq!(
        (node.mode, &*node.owner, &*node.group),
        (0o600, "ana", "users")
    );
    let Judgement::Drift(drifts) = judge(&yaml, &host(None)) else {
        panic!("a drift");
    };
    assert!(drifts[0].edits.iter().all(|edit| match edit {
        Edit::Content { as_user, .. } => as_user.as_deref() == Some("ana"),
        Edit::Act {
            effect: model::Effect::MakeDir { as_user, .. },
            ..
        } => as_user.as_deref() == Some("ana"),
        _ => false,
    }));
    let after = check(&yaml, &host(Some(OTHER)), &expected);
    assert_eq!(
        after.content(FILE),
        Some(format!("{OTHER}\n{KEY} ana@new\n"))
    );
}

#[test]
fn a_key_is_known_by_its_data() {
    check(
        &wanted(""),
        &host(Some(&format!("# mine\n{KEY} another name\n"))),
        &format!("ok: there @ {FILE}:2"),
    );
    check(
        &wanted(""),
        &host(Some(&format!("restrict,command=\"a b\" {KEY}\n"))),
        &format!("ok: there @ {FILE}:1"),
    );
    let after = check(
        &wanted(", options: 'from=\"10.0.0.0/8\"'"),
        &host(Some(&format!("{OTHER}\n{KEY} x\n"))),
        &format!("drift: no options, wanted options from=\"10.0.0.0/8\" @ {FILE}:2"),
    );
    assert_eq!(
        after.content(FILE),
        Some(format!("{OTHER}\nfrom=\"10.0.0.0/8\" {KEY} ana@new\n"))
    );
    // A second line without the restriction would get around it.
    check(
        &wanted(", options: restrict"),
        &host(Some(&format!("restrict {KEY}\n{KEY}\n"))),
        &format!("drift: no options, wanted options restrict @ {FILE}:2"),
    );
}

#[test]
fn a_key_is_removed_from_every_line_and_file() {
    let second = "/home/ana/.ssh/authorized_keys2";
    let host = host(Some(&format!("{KEY}\n{OTHER}\nrestrict {KEY}\n"))).file_as(
        second,
        &format!("{KEY}\n"),
        0o600,
        "ana",
        "users",
    );
    let after = check(
        &wanted(", absent: true"),
        &host,
        &format!("drift: there, wanted absent @ {FILE}:1 @ {FILE}:3 @ {second}:1"),
    );
    assert_eq!(after.content(FILE), Some(format!("{OTHER}\n")));
    assert_eq!(after.content(second).as_deref(), Some(""));
    check(
        "authorized_key: {user: bob, key: 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ==', absent: true}",
        &host,
        "n/a: there is no account `bob`",
    );
}

#[test]
fn sshd_says_where_keys_are() {
    let mut central = host(None).dir("/etc/ssh/keys");
    central.sshd_defaults = Some("authorizedkeysfile /etc/ssh/keys/%u\n".to_owned());
    let after = check(
        &wanted(""),
        &central,
        "drift: absent, wanted the key @ /etc/ssh/keys/ana",
    );
    assert_eq!(
        after.content("/etc/ssh/keys/ana"),
        Some(format!("{KEY} ana@new\n"))
    );
    central.sshd_defaults = Some("authorizedkeysfile none\n".to_owned());
    check(
        &wanted(""),
        &central,
        "drift: sshd looks at no file of keys, wanted a file of keys (by hand: set `AuthorizedKeysFile`)",
    );
    // Without an answer of sshd its files are read.
    let mut offline = host(None)
        .file(
            "/etc/ssh/sshd_config",
            "AuthorizedKeysFile /etc/ssh/keys/%u\n",
        )
        .dir("/etc/ssh/keys");
    offline.sshd_defaults = None;
    check(
        &wanted(""),
        &offline,
        "drift: absent, wanted the key @ /etc/ssh/keys/ana",
    );
}

#[test]
fn lines() {
    for (line, options) in [
        (KEY.to_owned(), Some("")),
        (format!("  {KEY} a comment"), Some("")),
        (
            format!("no-pty,command=\"echo \\\"ssh-rsa AAAA\\\"\" {KEY}"),
            Some("no-pty,command=\"echo \\\"ssh-rsa AAAA\\\"\""),
        ),
        (format!("# {KEY}"), None),
        (format!("command=\"x {KEY}"), None),
        ("ssh-ed25519 short".to_owned(), None),
        (String::new(), None),
    ] {
        assert_eq!(parse_line(&line).map(|key| key.options), options, "{line}");
    }
}

#[test]
fn mistakes_are_refused_at_load() {
    for (yaml, why) in [
        (
            "authorized_key: {user: ana, key: 'ssh-ed25519'}",
            "`key` is a public key: a type, and its data",
        ),
        (
            "authorized_key: {user: ana, key: 'restrict ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB'}",
            "options stand in `options`, not in `key`",
        ),
        (
            "authorized_key: {user: ana, key: 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB', options: 'command=a b'}",
            "`options` is not understood: quote what has spaces",
        ),
        (
            "authorized_key: {user: '../x', key: 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB'}",
            "`../x` is not a name of an account or a group",
        ),
    ] {
        refused(yaml, why);
    }
}

/// Tried with ssh(1): the key of an authority lets nobody in by itself.
#[test]
fn the_key_of_an_authority_is_no_key_to_sign_in_with() {
    let line = format!("cert-authority {KEY} ca\n");
    let after = check(
        &wanted(""),
        &host(Some(&line)),
        &format!("drift: absent, wanted the key @ {FILE}"),
    );
    assert_eq!(after.content(FILE), Some(format!("{line}{KEY} ana@new\n")));
    check(
        &wanted(", options: cert-authority"),
        &host(Some(&line)),
        &format!("ok: there @ {FILE}:1"),
    );
}

/// Tried with ssh(1): the key in the file of a `Match` block signs in.
#[test]
fn a_key_that_must_be_gone_is_gone_from_where_a_match_block_looks() {
    let other = "/home/ana/.ssh/other";
    let host = host(Some(OTHER))
        .file(
            "/etc/ssh/sshd_config",
            "Match User ana\n  AuthorizedKeysFile .ssh/other\n",
        )
        .file_as(other, &format!("{KEY} x\n"), 0o600, "ana", "users");
    let after = check(
        &wanted(", absent: true"),
        &host,
        &format!("drift: there, wanted absent @ {other}:1"),
    );
    assert_eq!(after.content(other).as_deref(), Some(""));
}
