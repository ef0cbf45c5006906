//! Configurations that their own programs refuse, services that don't take them, templates
//! that are wrong: what is not right is not put in place, or is taken back, and the message
//! says which program said what about which line.

use crate::booted::{Host, POLICY, differences, listed};

/// Applies one role and gives what was said; the code is 4 unless the case says otherwise.
struct Case {
    name: &'static str,
    want: &'static str,
    /// What must be said, beside that nothing stands.
    said: &'static [&'static str],
}

/// Each is refused by a program before anything is put in place.
const REFUSED: [Case; 9] = [
    Case {
        name: "sshd",
        want: r#"  - file: {path: /etc/ssh/sshd_config.d/10-ours.conf, content: "X11Forwarding no\nPermitRootLgin no\n"}"#,
        said: &[
            "sshd -t refuses",
            "10-ours.conf",
            "line 2",
            "PermitRootLgin",
        ],
    },
    Case {
        name: "sudoers",
        want: r#"  - file: {path: /etc/sudoers.d/ours, content: "daemon ALL=(ALL /bin/ls\n", mode: "0440"}"#,
        said: &["visudo -c refuses", "/etc/sudoers.d/ours:1"],
    },
    Case {
        name: "sudoers-itself",
        want: r#"  - file: {path: /etc/sudoers, content: "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\nand some words\n", mode: "0440"}"#,
        said: &["visudo -c refuses", "/etc/sudoers:3"],
    },
    Case {
        name: "unit",
        want: r#"  - file: {path: /etc/systemd/system/ours.service, content: "[Service]\nExecStart=\n"}"#,
        said: &["systemd-analyze verify", "ours.service"],
    },
    Case {
        name: "apt",
        want: r#"  - file: {path: /etc/apt/sources.list.d/ours.list, content: "deb [arch=amd64 https://example.org/ bookworm main\n"}"#,
        said: &["apt-get", "ours.list"],
    },
    Case {
        name: "nftables",
        want: r#"  - file: {path: /etc/nftables.conf, content: "flsh ruleset\n"}"#,
        said: &["nft -c -f refuses", "nftables.conf:1", "syntax error"],
    },
    Case {
        name: "logrotate",
        want: r#"  - file: {path: /etc/logrotate.d/ours, content: "/var/log/ours.log {\n  weeklyy\n}\n"}"#,
        said: &["logrotate -d refuses", "ours:2", "weeklyy"],
    },
    Case {
        name: "cron",
        want: r#"  - file: {path: /etc/cron.d/ours, content: "@daily nobdy true\n"}"#,
        said: &["crontab(5) refuses", "/etc/cron.d/ours:1", "nobdy"],
    },
    Case {
        name: "fstab",
        want: r#"  - file: {path: /etc/fstab, content: "garbage\n"}"#,
        said: &["findmnt --verify refuses", "no entry"],
    },
];

#[test]
fn what_its_program_refuses_is_not_put_in_place() {
    let Some(host) = Host::installed() else {
        return;
    };
    for case in &REFUSED {
        host.role(case.name, &format!("{}\n", case.want));
    }
    let before = host.snapshot();
    for case in &REFUSED {
        host.steadfast(&["apply", "--role", case.name, "--yes"])
            .expect(4, case.said)
            .expect(4, &["checked, and as before"]);
        host.expect_same(&before);
    }
}

/// What a program reads may lie anywhere: it is asked about all that is written, and again
/// before it is told to read it.
#[test]
fn what_a_configuration_includes_is_asked_about_as_well() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role(
        "including",
        "  - file: {path: /etc/ssh/sshd_config.d/10-ours.conf, content: \"Include /etc/pam.d/zz-ours\\n\"}\n",
    );
    host.role(
        "later",
        "  - file: {path: /etc/pam.d/zz-ours, content: \"PermitRootLgin no\\n\"}\n",
    );
    host.role(
        "included",
        "  - file: {path: /srv/ours/b.conf, content: \"PermitRootLgin no\\n\", notify: ssh}\n",
    );
    let before = host.snapshot();
    let apply = [
        "apply",
        "--role",
        "including",
        "--role",
        "later",
        "--yes",
        "--confirm-within",
        "5s",
    ];
    // Only the second is not begun.
    host.steadfast(&apply)
        .expect(4, &["sshd -t refuses", "/etc/pam.d/zz-ours", "line 1"])
        .expect(
            4,
            &["/etc/ssh/sshd_config.d/10-ours.conf", "nobody confirmed it"],
        );
    host.expect_same(&before);
    host.shell("mkdir -p /srv/ours && echo 'Include /srv/ours/*.conf' > /etc/ssh/sshd_config.d/10-ours.conf");
    let before = host.snapshot();
    host.steadfast(&["apply", "--role", "included", "--yes"])
        .expect(4, &["sshd -t refuses", "/srv/ours/b.conf", "line 1"]);
    host.expect_same(&before);
}

const DEMO: &str = "\
[Service]
ExecStart=/bin/sh -c 'grep -q good /etc/demo.conf && exec sleep infinity'
ExecReload=/bin/sh -c 'grep -q good /etc/demo.conf'
";

/// The program reads its configuration, and does not take it: seen when it is told.
#[test]
fn a_service_that_does_not_take_it_has_it_taken_back() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell("echo good > /etc/demo.conf");
    host.write("/usr/lib/systemd/system/demo.service", DEMO);
    host.shell("systemctl daemon-reload && systemctl start demo");
    expect_taken_back(&host, "demo");
}

fn expect_taken_back(host: &Host, unit: &str) {
    let want = format!("  - file: {{path: /etc/demo.conf, content: \"bad\\n\", notify: {unit}}}\n");
    host.role(unit, &want);
    let before = host.snapshot();
    host.steadfast(&["apply", "--role", unit, "--yes"])
        .expect(4, &[&format!("{unit}.service"), "taken back: 1 of 1 file"]);
    host.expect_same(&before);
    let state = host.shell(&format!("systemctl is-active {unit}"));
    assert_eq!(state.trim(), "active", "it runs with what it had");
}

#[test]
fn a_failure_costs_its_own_set_or_everything_as_asked() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role(
        "stands",
        "  - file: {path: /etc/motd, content: \"stands\\n\"}\n",
    );
    host.role(
        "refused",
        "  - file: {path: /etc/sudoers.d/ours, content: \"some words\\n\", mode: \"0440\"}\n",
    );
    host.role(
        "fails",
        "  - file: {path: /etc/issue, content: \"goes\\n\"}\n  \
         - command: {name: fails, check: [/bin/test, -e, /nowhere], fix: [/bin/false], undo: [/bin/true]}\n",
    );
    let before = host.snapshot();
    let apply = [
        "apply", "--role", "stands", "--role", "refused", "--role", "fails", "--yes",
    ];
    let all = [&apply[..], &["--all-or-nothing"]].concat();
    host.steadfast(&all)
        .expect(4, &["visudo -c", "sudoers.d/ours:1"]);
    host.expect_same(&before);
    // Without the refused one, the last action fails when the others are done already.
    let late = [
        "apply",
        "--role",
        "stands",
        "--role",
        "fails",
        "--yes",
        "--all-or-nothing",
    ];
    host.steadfast(&late).expect(4, &["/bin/false"]);
    host.expect_same(&before);

    host.steadfast(&apply).expect(
        4,
        &["visudo -c", "/bin/false", "without what was taken back"],
    );
    assert_eq!(host.shell("cat /etc/motd"), "stands\n");
    let mut left = differences(&before, &host.snapshot());
    left.retain(|left| left.path != std::path::Path::new("/etc/motd"));
    assert!(left.is_empty(), "{}", listed(&left));
    host.steadfast(&["undo", "last", "--yes"]).expect(0, &[]);
    host.expect_same(&before);
}

#[test]
fn a_template_that_is_wrong_is_shown_with_its_line() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role(
        "templates",
        "  - template: {path: /etc/ours.conf, source: ours.conf.j2}\n",
    );
    let before = host.snapshot();
    let cases = [
        ("one\n{{ nobody }}\n", &["nobody", "ours.conf.j2:2"][..]),
        ("one\ntwo\n{% if %}\n", &["ours.conf.j2:3"]),
        ("{{ hostname | shout }}\n", &["shout", "ours.conf.j2:1"]),
        (
            "{{ package(\"nginx\").version }}\n",
            &["nginx", "ours.conf.j2:1"],
        ),
    ];
    for (template, said) in cases {
        host.write(&format!("{POLICY}/roles/ours.conf.j2"), template);
        host.steadfast(&["apply", "--role", "templates", "--yes"])
            .expect(2, said);
    }
    host.shell(&format!("rm {POLICY}/roles/ours.conf.j2"));
    host.steadfast(&["apply", "--role", "templates", "--yes"])
        .expect(2, &["ours.conf.j2", "templates.yaml"]);
    host.shell(&format!(
        "touch -r {POLICY}/roles/templates.yaml {POLICY}/roles"
    ));
    let mut found = differences(&before, &host.snapshot());
    found.retain(|found| !found.path.starts_with(POLICY));
    assert!(found.is_empty(), "{}", listed(&found));
}

const TWO_RULES: &str = r#"baseline: ours
title: Two rules about one file
releases: {debian: ["12", "13"]}
rules:
  - rule: ours-one
    title: One is set
    severity: low
    area: logging
    why: Two rules may be about one file.
    want:
      - key_value: {path: /etc/lines.conf, syntax: equals, key: one, value: "1"}
    tests: [{name: unset, given: [{file: {path: /etc/lines.conf, content: "one = 0\n"}}], expect: fail}]
  - rule: ours-two
    title: Two is set
    severity: low
    area: logging
    why: Two rules may be about one file.
    want:
      - key_value: {path: /etc/lines.conf, syntax: equals, key: two, value: "2"}
      - file: {path: /etc/lines.conf, mode: "0640"}
    tests: [{name: unset, given: [{file: {path: /etc/lines.conf, content: "two = 0\n"}}], expect: fail}]
"#;

#[test]
fn rules_about_one_file_write_it_once() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.write(&format!("{POLICY}/baselines/ours.yaml"), TWO_RULES);
    host.shell("printf '# ours\\none = 0\\nthree = 3\\n' > /etc/lines.conf");
    let before = host.snapshot();
    let plan = host.steadfast(&["plan", "--baseline", "ours", "--format", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&plan.expect(1, &[]).out).expect("JSON");
    let actions = plan["actions"].as_array().expect("actions");
    let writes: Vec<_> = actions
        .iter()
        .filter(|action| action.to_string().contains("/etc/lines.conf"))
        .collect();
    assert_eq!(writes.len(), 1, "{plan:#}");
    assert_eq!(
        writes[0]["serves"],
        serde_json::json!(["ours-one", "ours-two"])
    );

    host.steadfast(&["apply", "--baseline", "ours", "--yes"])
        .expect(0, &["1 file"]);
    let seen = host.shell("cat /etc/lines.conf; stat -c %a /etc/lines.conf");
    assert_eq!(seen, "# ours\none = 1\nthree = 3\ntwo = 2\n640\n");
    host.steadfast(&["audit", "--baseline", "ours"])
        .expect(0, &[]);
    host.steadfast(&["undo", "last", "--yes"]).expect(0, &[]);
    host.expect_same(&before);
}
