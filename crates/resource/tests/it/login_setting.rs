//! `login_setting`.

use crate::support::{Host, check, refused};

const DEFS: &str = "# Password aging\n#\tPASS_MAX_DAYS\tdays\n\nPASS_MAX_DAYS\t99999\nUMASK\t\t022\n#SHA_CRYPT_MIN_ROUNDS 5000\nUMASK 027\n";
const USERADD: &str = "SHELL=/bin/sh\n# after a password expires\n# INACTIVE=-1\n";

fn host() -> Host {
    Host::new()
        .file("/etc/login.defs", DEFS)
        .file("/etc/default/useradd", USERADD)
}

#[test]
fn the_last_line_counts_and_is_changed_in_place() {
    let after = check(
        "login_setting: {file: login.defs, key: PASS_MAX_DAYS, value: {from: 1, to: 365, set: 365}}",
        &host(),
        "drift: 99999, wanted 1 to 365 @ /etc/login.defs:4",
    );
    assert_eq!(
        after.content("/etc/login.defs"),
        Some(DEFS.replace("99999", "365"))
    );
    check(
        "login_setting: {file: login.defs, key: UMASK, value: '027'}",
        &host(),
        "ok: 027 @ /etc/login.defs:7",
    );
}

#[test]
fn a_new_line_follows_the_example() {
    let after = check(
        "login_setting: {file: useradd, key: INACTIVE, value: {from: 0, to: 30, set: 30}}",
        &host(),
        "drift: not set, wanted 0 to 30",
    );
    assert_eq!(
        after.content("/etc/default/useradd").as_deref(),
        Some("SHELL=/bin/sh\n# after a password expires\n# INACTIVE=-1\nINACTIVE=30\n")
    );
}

#[test]
fn without_the_file_and_with_a_mistake() {
    check(
        "login_setting: {file: login.defs, key: UMASK, value: '027'}",
        &Host::new(),
        "n/a: there is no /etc/login.defs",
    );
    refused(
        "login_setting: {file: login.defs, key: umask, value: '027'}",
        "`umask` is not a key: they are upper-case words",
    );
}

/// A mask is judged by the bits that it takes away, however it is written.
#[test]
fn a_stricter_mask_will_do() {
    let want = "login_setting: {file: login.defs, key: UMASK, takes_away: '027'}";
    let host = |mask: &str| Host::new().file("/etc/login.defs", &format!("UMASK\t\t{mask}\n"));
    for mask in ["027", "0027", "27", "037", "177", "077"] {
        let expected = format!("ok: {mask} @ /etc/login.defs:1");
        check(want, &host(mask), &expected);
    }
    for mask in ["022", "007", "026", "none"] {
        let expected = format!("drift: {mask}, wanted 027 @ /etc/login.defs:1");
        let after = check(want, &host(mask), &expected);
        let text = after.content("/etc/login.defs");
        assert_eq!(text.as_deref(), Some("UMASK\t\t027\n"));
    }
    refused(
        "login_setting: {file: login.defs, key: PASS_MAX_DAYS, takes_away: '027'}",
        "`takes_away` is for `UMASK`, and has three digits",
    );
    refused(
        "login_setting: {file: login.defs, key: UMASK}",
        "say exactly one of `value` and `takes_away`",
    );
}
