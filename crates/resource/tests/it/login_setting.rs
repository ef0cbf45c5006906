//! `login_setting`.

use crate::accounts;
use crate::support::{Host, check, judge, refused, words};

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

/// What sessions really have: each of these was seen on a host with UMASK 027.
#[test]
fn a_mask_that_sessions_do_not_have() {
    let want = "login_setting: {file: login.defs, key: UMASK, takes_away: '027'}";
    let common = "session required pam_unix.so\nsession optional pam_umask.so\n";
    let base = || {
        accounts::host(&["li:set:1000:1000:/home/li:/bin/bash"], &["li:1000:"])
            .file("/etc/login.defs", "UMASK\t\t027\n")
            .file("/etc/pam.d/common-session", common)
            .file("/etc/pam.d/login", "@include common-session\n")
            .file("/etc/pam.d/su", "@include common-session\n")
            .file("/etc/pam.d/cron", "session required pam_env.so\n")
            .file("/etc/profile", "# umask 000\nPATH=/bin\nexport PATH\n")
    };
    check(want, &base(), "ok: 027 @ /etc/login.defs:1");
    let after = check(
        want,
        &base().file(
            "/etc/pam.d/common-session",
            "session required pam_unix.so\n",
        ),
        "drift: pam_umask.so is not called by login, wanted at least 027 taken away \
         @ /etc/pam.d/common-session",
    );
    assert_eq!(
        after.content("/etc/pam.d/common-session").as_deref(),
        Some("session required pam_unix.so\nsession optional\t\t\tpam_umask.so\n")
    );
    check(
        want,
        &base().file(
            "/etc/pam.d/common-session",
            &format!("{common}session optional pam_umask.so umask=0000\n"),
        ),
        "drift: umask=0000, wanted at least 027 taken away @ /etc/pam.d/common-session:3 \
         (by hand: take `umask=` away from pam_umask.so there)",
    );
    check(
        want,
        &base().file(
            "/etc/pam.d/common-session",
            &format!("{common}session optional pam_umask.so umask=077\n"),
        ),
        "ok: 027 @ /etc/login.defs:1",
    );
    for (file, text, line) in [
        ("/etc/profile.d/a.sh", "umask 000\n", 1),
        ("/etc/profile", "if true; then umask 022; fi\n", 1),
        ("/etc/bash.bashrc", "#\n[ -n \"$X\" ] && umask 0002\n", 2),
    ] {
        let said = words(&judge(want, &base().file(file, text)));
        assert!(said.starts_with("drift: umask 0"), "{text}: {said}");
        assert!(said.contains(&format!("@ {file}:{line}")), "{text}: {said}");
    }
    for (text, expected) in [
        ("umask 077\n", "ok"),
        ("umask\n", "ok"),
        ("umask -S > /dev/null\n", "ok"),
        ("echo umask 000\n", "ok"),
        (
            "umask u=rwx,g=rx\n",
            "unknown: /etc/profile.d/a.sh:1: this umask",
        ),
    ] {
        let host = base().file("/etc/profile.d/a.sh", text);
        let said = words(&judge(want, &host));
        assert!(said.starts_with(expected), "{text}: {said}");
    }
    let mut host = base();
    if let Some(accounts) = &mut host.accounts {
        accounts.accounts[0].comment = "Li,,,umask=000".to_owned();
    }
    check(
        want,
        &host,
        "drift: umask=000 in the comment of `li`, wanted at least 027 taken away @ /etc/passwd:1 \
         (by hand: take it away with `usermod --comment`)",
    );
}

/// pam_unix(8): its own option decides the hash, and login.defs(5) only where it has none.
#[test]
fn the_hash_that_pam_makes() {
    let yaml = "login_setting: {file: login.defs, key: ENCRYPT_METHOD, value: {one_of: [YESCRYPT, SHA512], set: YESCRYPT}}";
    let common = "/etc/pam.d/common-password";
    let host = |options: &str| {
        Host::new()
            .file("/etc/login.defs", "ENCRYPT_METHOD YESCRYPT\n")
            .file(
                common,
                &format!("password required pam_unix.so {options}\n"),
            )
            .file("/etc/pam.d/passwd", "@include common-password\n")
    };
    let after = check(
        yaml,
        &host("obscure md5"),
        "drift: md5 for pam_unix.so, wanted one of YESCRYPT, SHA512 @ /etc/pam.d/common-password:1",
    );
    assert_eq!(
        after.content(common).as_deref(),
        Some("password required pam_unix.so obscure yescrypt\n")
    );
    for options in ["obscure yescrypt", "sha512", "", "md5 sha512"] {
        assert!(
            words(&judge(yaml, &host(options))).starts_with("ok"),
            "{options}"
        );
    }
    assert!(words(&judge(yaml, &host("sha512 md5"))).starts_with("drift: md5"));
    // A directory that can't be read is no pass.
    let mut host = host("sha512");
    let directory = model::Probe::Dir {
        path: model::HostPath::literal("/etc/pam.d"),
    };
    host.unknown.insert(
        directory,
        model::value::Reason::Failed {
            why: "permission denied".to_owned(),
        },
    );
    assert!(words(&judge(yaml, &host)).starts_with("unknown"));
}

/// pam_unix reads login.defs otherwise than shadow does: what a new password's hash was with each
/// of these, on a host whose pam_unix line names no method.
#[test]
fn the_hash_that_login_defs_makes() {
    let yaml = "login_setting: {file: login.defs, key: ENCRYPT_METHOD, value: {one_of: [YESCRYPT, SHA512], set: YESCRYPT}}";
    let host = |defs: &str, options: &str| {
        Host::new()
            .file("/etc/login.defs", defs)
            .file(
                "/etc/pam.d/common-password",
                &format!("password required pam_unix.so {options}\n"),
            )
            .file("/etc/pam.d/passwd", "@include common-password\n")
    };
    for (defs, options, expected) in [
        (
            "ENCRYPT_METHOD MD5\nUMASK 022\nENCRYPT_METHOD YESCRYPT\n",
            "obscure",
            "drift: MD5",
        ),
        (
            "ENCRYPT_METHOD \"YESCRYPT\"\n",
            "obscure",
            "drift: \"YESCRYPT\"",
        ),
        (
            "encrypt_method MD5\nENCRYPT_METHOD YESCRYPT\n",
            "",
            "drift: MD5",
        ),
        (
            "ENCRYPT_METHOD\nENCRYPT_METHOD YESCRYPT\n",
            "",
            "drift: set",
        ),
        ("ENCRYPT_METHOD # YESCRYPT\n", "", "drift: set"),
        ("UMASK 022\n", "", "drift: not set"),
        (
            "ENCRYPT_METHOD SHA512\nENCRYPT_METHOD MD5\n",
            "",
            "ok: SHA512 @ /etc/login.defs:1",
        ),
        ("ENCRYPT_METHOD yescrypt\n", "", "ok: yescrypt"),
        ("ENCRYPT_METHOD YESCRYPT # x\n", "", "ok: YESCRYPT"),
        ("ENCRYPT_METHOD=YESCRYPT\n", "", "ok: YESCRYPT"),
        ("ENCRYPT_METHOD YESCRYPT MD5\n", "", "ok: YESCRYPT MD5"),
        ("Encrypt_Method YESCRYPT\n", "", "ok: YESCRYPT"),
        (
            "ENCRYPT_METHOD MD5\n",
            "yescrypt",
            "ok: yescrypt for pam_unix.so @ /etc/pam.d/common-password:1",
        ),
        (
            "ENCRYPT_METHOD MD5\n",
            "md5 yescrypt",
            "ok: yescrypt for pam_unix.so",
        ),
        ("ENCRYPT_METHOD YESCRYPT\n", "yescrypt md5", "drift: md5"),
    ] {
        let said = words(&judge(yaml, &host(defs, options)));
        assert!(said.starts_with(expected), "{defs}{options}: {said}");
    }
    // The fix changes the line that counts.
    let mended = |defs: &str, said: &str| {
        let after = check(yaml, &host(defs, ""), said);
        after.content("/etc/login.defs").unwrap_or_default()
    };
    let two = "encrypt_method MD5\nENCRYPT_METHOD YESCRYPT\n";
    let said = "drift: MD5, wanted one of YESCRYPT, SHA512 @ /etc/login.defs:1";
    assert_eq!(mended(two, said), two.replace("MD5", "YESCRYPT"));
    let quoted = "ENCRYPT_METHOD\t\"YESCRYPT\"\n";
    let said = "drift: \"YESCRYPT\", wanted one of YESCRYPT, SHA512 @ /etc/login.defs:1";
    assert_eq!(mended(quoted, said), quoted.replace('"', ""));
    // pam_unix knows BCRYPT by another name.
    let yaml = "login_setting: {file: login.defs, key: ENCRYPT_METHOD, value: BCRYPT}";
    let said = words(&judge(yaml, &host("ENCRYPT_METHOD BCRYPT\n", "")));
    assert!(said.starts_with("drift: BCRYPT"), "{said}");
}

/// A file of `/etc/profile.d` that can't be listed may set any mask.
#[test]
fn profiles_that_can_not_be_listed() {
    let yaml = "login_setting: {file: login.defs, key: UMASK, takes_away: '027'}";
    let mut host = Host::new()
        .file("/etc/login.defs", "UMASK 027\n")
        .file("/etc/pam.d/sshd", "session optional pam_umask.so\n")
        .dir("/etc/profile.d");
    host.accounts = accounts::host(&["root:set:0:0:/root:/bin/bash"], &["root:0:"]).accounts;
    assert!(words(&judge(yaml, &host)).starts_with("ok"));
    let directory = model::Probe::Dir {
        path: model::HostPath::literal("/etc/profile.d"),
    };
    let why = "permission denied".to_owned();
    host.unknown
        .insert(directory, model::value::Reason::Failed { why });
    assert!(words(&judge(yaml, &host)).starts_with("unknown"));
}
