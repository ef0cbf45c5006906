//! `key_value` and `ini`.

use model::value::Reason;
use model::{HostPath, Probe};

use crate::support::{Host, check, refused};

#[test]
fn keys_and_values() {
    let defs = "# PASS_MAX_DAYS is a number of days\nPASS_MAX_DAYS\t99999\nUMASK\t\t022\n";
    let after = defs.replace("99999", "365");
    for (content, yaml, expected, after) in [
        (
            defs,
            "syntax: space, key: UMASK, value: '022'",
            "ok: 022 @ /etc/x:3",
            defs,
        ),
        (
            defs,
            "syntax: space, key: PASS_MAX_DAYS, value: {at_most: 365, set: 365}",
            "drift: 99999, wanted at most 365 @ /etc/x:2",
            &after,
        ),
        (
            "#a = 1\n",
            "syntax: equals, key: a, value: 2",
            "drift: not set, wanted 2",
            "#a = 1\na = 2\n",
        ),
        (
            "",
            "syntax: equals, key: a, value: 2, default: '2'",
            "ok: 2 by default",
            "",
        ),
        (
            "",
            "syntax: equals, key: a, value: 2, default: '3'",
            "drift: 3 by default, wanted 2",
            "a = 2\n",
        ),
        (
            "A = Yes\n",
            "syntax: equals, key: a, value: 'yes', case: insensitive",
            "ok: Yes @ /etc/x:1",
            "A = Yes\n",
        ),
        (
            "a=1\na=2\n",
            "syntax: equals, key: a, value: 1, wins: first",
            "ok: 1 @ /etc/x:1",
            "a=1\na=2\n",
        ),
        (
            "a=1\na=2\n",
            "syntax: equals, key: a, value: 1",
            "drift: 2, wanted 1 @ /etc/x:2",
            "a=1\na=1\n",
        ),
        (
            "A=\"\"\n",
            "syntax: shell, key: A, value: x y",
            "drift: empty, wanted x y @ /etc/x:1",
            "A=\"x y\"\n",
        ),
        (
            "# audit\n",
            "syntax: flags, key: audit, value: ''",
            "drift: not set, wanted set",
            "# audit\naudit\n",
        ),
        (
            "audit\n",
            "syntax: flags, key: audit, value: ''",
            "ok: set @ /etc/x:1",
            "audit\n",
        ),
        (
            "a: b\n",
            "syntax: colon, key: a, value: c",
            "drift: b, wanted c @ /etc/x:1",
            "a: c\n",
        ),
        // What the host holds is harmless to look at.
        (
            "a = \x1b[31m\n",
            "syntax: equals, key: a, value: c",
            "drift: \\u{1b}[31m, wanted c @ /etc/x:1",
            "a = c\n",
        ),
        (
            "db_password = hunter2\n",
            "syntax: equals, key: db_password, value: other",
            "drift: a value that is not shown, wanted the declared value @ /etc/x:1",
            "db_password = other\n",
        ),
    ] {
        let host = Host::new().file("/etc/x", content);
        let fixed = check(
            &format!("key_value: {{path: /etc/x, {yaml}}}"),
            &host,
            expected,
        );
        assert_eq!(fixed.content("/etc/x").as_deref(), Some(after), "{yaml}");
    }
}

#[test]
fn sections() {
    let text = "[a]\nx = 1\n\n[b]\nx = 2\n";
    for (yaml, expected, after) in [
        (
            "section: b, key: x, value: 2",
            "ok: 2 @ /etc/x:5",
            text.to_owned(),
        ),
        (
            "section: a, key: x, value: 2",
            "drift: 1, wanted 2 @ /etc/x:2",
            text.replacen('1', "2", 1),
        ),
        (
            "section: a, key: y, value: 3",
            "drift: not set, wanted 3",
            text.replace("1\n", "1\ny = 3\n"),
        ),
        (
            "section: c, key: y, value: 3",
            "drift: not set, wanted 3",
            format!("{text}\n[c]\ny = 3\n"),
        ),
        (
            "section: B, key: X, value: 2, case: insensitive",
            "ok: 2 @ /etc/x:5",
            text.to_owned(),
        ),
    ] {
        let host = Host::new().file("/etc/x", text);
        let fixed = check(&format!("ini: {{path: /etc/x, {yaml}}}"), &host, expected);
        assert_eq!(fixed.content("/etc/x"), Some(after), "{yaml}");
    }
}

#[test]
fn a_missing_file_is_made_and_a_link_is_followed() {
    let made = check(
        "ini: {path: /etc/new, section: s, key: k, value: v, mode: '0600'}",
        &Host::new(),
        "drift: not set, wanted v",
    );
    assert_eq!(made.content("/etc/new").as_deref(), Some("[s]\nk = v\n"));
    assert_eq!(made.nodes[&HostPath::literal("/etc/new")].mode, 0o600);
    let linked = Host::new()
        .file("/etc/real", "a=1\n")
        .link("/etc/x", "real");
    let after = check(
        "key_value: {path: /etc/x, syntax: equals, key: a, value: 2}",
        &linked,
        "drift: 1, wanted 2 @ /etc/x:1",
    );
    assert_eq!(after.content("/etc/real").as_deref(), Some("a=2\n"));
    assert_eq!(
        after.nodes[&HostPath::literal("/etc/x")],
        linked.nodes[&HostPath::literal("/etc/x")]
    );
}

#[test]
fn what_cannot_be_read_or_edited() {
    let yaml = "key_value: {path: /etc/x, syntax: equals, key: a, value: 2}";
    let denied =
        Host::new().cannot_tell(Probe::file(HostPath::literal("/etc/x")), Reason::NeedsRoot);
    check(yaml, &denied, "unknown: needs root: run with sudo");
    let mut binary = Host::new().file("/etc/x", "");
    binary
        .nodes
        .get_mut(&HostPath::literal("/etc/x"))
        .expect("made above")
        .content = b"\xff\na=1\n".to_vec();
    check(
        yaml,
        &binary,
        "drift: 1, wanted 2 @ /etc/x:2 (by hand: edit /etc/x: the file is not UTF-8 text)",
    );
}

#[test]
fn mistakes_are_refused() {
    for (yaml, why) in [
        (
            "key_value: {path: /x, syntax: equals, key: a, value: {at_most: 1, set: 2}}",
            "setting `2` would not satisfy `at most 1`",
        ),
        (
            "key_value: {path: /x, syntax: equals, key: 'a=', value: 1}",
            "`a=` with the value `1` can't be written in this syntax",
        ),
        (
            "key_value: {path: /x, syntax: equals, key: a, value: \"1\\n2\"}",
            "`a` with the value `1\\n2` can't be written in this syntax",
        ),
        (
            "ini: {path: /x, section: 'a]', key: b, value: 1}",
            "`[a]] b` with the value `1` can't be written in this syntax",
        ),
    ] {
        refused(yaml, why);
    }
}

#[test]
fn a_value_goes_on_as_the_program_reads_it() {
    let bans = "/etc/fail2ban/jail.local";
    let host = Host::new().file(
        bans,
        "[DEFAULT]\nignoreip = 127.0.0.1/8\n    enabled = true\nbantime = 1h\n",
    );
    let want =
        |key: &str| format!("ini: {{path: {bans}, section: DEFAULT, key: {key}, value: 'true'}}");
    let after = check(&want("enabled"), &host, "drift: not set, wanted true");
    assert_eq!(
        after.content(bans).as_deref(),
        Some(
            "[DEFAULT]\nignoreip = 127.0.0.1/8\n    enabled = true\nbantime = 1h\nenabled = true\n"
        )
    );
    let after = check(
        &want("ignoreip"),
        &host,
        "drift: 127.0.0.1/8 enabled = true, wanted true @ /etc/fail2ban/jail.local:2",
    );
    assert_eq!(
        after.content(bans).as_deref(),
        Some("[DEFAULT]\nignoreip = true\nbantime = 1h\n")
    );
    let journald = "/etc/systemd/journald.conf";
    let host = Host::new().file(journald, "[Journal]\nStorage=\\\n  persistent\n");
    check(
        "ini: {path: /etc/systemd/journald.conf, section: Journal, key: Storage, value: persistent}",
        &host,
        "ok: persistent @ /etc/systemd/journald.conf:2",
    );
    // Others end with the line, unless the policy says it.
    let host = Host::new().file("/etc/app.ini", "[a]\nb=1\\\n2\n");
    let app = "path: /etc/app.ini, section: a, key: b, value: '1 2'";
    check(
        &format!("ini: {{{app}, continued: backslash}}"),
        &host,
        "ok: 1 2 @ /etc/app.ini:2",
    );
    let said = crate::support::words(&crate::support::judge(&format!("ini: {{{app}}}"), &host));
    assert!(said.starts_with("drift"), "{said}");
}
