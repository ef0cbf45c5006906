//! What people read before anything changes.

use clap::Parser;
use model::effect::PackageOp;
use model::plan::{
    HostIdentity, LeftAlone, PLAN_FORMAT, Patches, Premise, Risk, Selection, Validator,
};
use model::value::{FileType, Meta, Value};
use model::{
    AccountOp, Action, ActionId, Answer, Blob, Digest, Effect, HostPath, Inverse, Mode, Observed,
    Plan, Probe, UnitOp,
};
use steadfast::cli::Cli;
use steadfast::show::diff::{Difference, LineKind, compare};
use steadfast::show::plan::{command, write};
use steadfast::style::Style;
use unicode_width::UnicodeWidthStr;

use crate::samples::HOSTILE;

const LEGACY: &str = "/etc/ssh/sshd_config.d/10-legacy.conf";

fn action(serves: &str, effect: Effect) -> Action {
    Action {
        id: ActionId(0),
        serves: vec![serves.to_owned()],
        effect,
        inverse: Inverse::Restore,
        rests_on: Vec::new(),
        after: Vec::new(),
        change_set: 0,
        risk: Risk::None,
        risk_why: None,
        validate: None,
        sensitive: false,
        decided_on_host: false,
        along: model::plan::Along::default(),
        edit: None,
    }
}

fn put(path: &'static str, content: impl Into<Vec<u8>>) -> Effect {
    Effect::PutFile {
        path: HostPath::literal(path),
        content: Blob::from(content.into()),
        mode: None,
        owner: None,
        group: None,
        as_user: None,
        drop_acl: false,
    }
}

fn reload(unit: &str) -> Action {
    Action {
        inverse: Inverse::Repeat,
        ..action(
            "ssh-root-login",
            Effect::Unit {
                name: unit.to_owned(),
                op: UnitOp::Reload,
            },
        )
    }
}

fn seen(probe: Probe, value: Value) -> Premise {
    let observed = Observed::new(Answer::Known(value));
    Premise {
        probe,
        digest: observed.digest,
        seen: Some(observed),
        after: None,
        form: None,
    }
}

fn meta(path: &'static str, mode: u32) -> Premise {
    let meta = Meta {
        file_type: FileType::Regular,
        mode: Mode::new(mode),
        uid: 0,
        gid: 0,
        owner: Some("root".to_owned()),
        group: None,
        size_bytes: 12,
        hard_links: 1,
        target: None,
        acl: None,
        default_acl: None,
    };
    seen(
        Probe::Meta {
            path: HostPath::literal(path),
        },
        Value::Meta(meta),
    )
}

fn plan(actions: Vec<Action>, premises: Vec<Premise>) -> Plan {
    Plan {
        format: PLAN_FORMAT,
        host: HostIdentity {
            hostname: "web-03".to_owned(),
            machine: Some(Digest::of(b"machine")),
        },
        selection: Selection {
            rules: vec!["ssh-root-login".to_owned()],
            ..Selection::default()
        },
        actions,
        left_alone: Vec::new(),
        premises,
    }
}

fn rendered(plan: &Plan, style: &Style) -> String {
    let current = |path: &HostPath| match path.as_bytes() {
        bytes if bytes == LEGACY.as_bytes() => {
            Some(b"PermitRootLogin yes\nPermitEmptyPasswords yes\n".to_vec())
        }
        b"/etc/binary" => Some(vec![0xff, 0xfe, 0x00]),
        b"/etc/shadow" | b"/etc/app/token" => Some(b"root:$y$SECRET:1:2:3\n".to_vec()),
        b"/etc/tabs" => Some(b"a\tb\nsame\tline\n".to_vec()),
        b"/etc/cron.d/old" => Some(b"* * * * * root /bin/true\n".to_vec()),
        _ => None,
    };
    let mut out = Vec::new();
    write(&mut out, plan, &current, None, style).expect("a vector takes any bytes");
    String::from_utf8(out).expect("a plan is shown in UTF-8")
}

pub fn root_login() -> Plan {
    let mut file = action(
        "ssh-root-login",
        put(LEGACY, "PermitRootLogin no\nPermitEmptyPasswords yes\n"),
    );
    file.risk = Risk::Connectivity;
    file.risk_why = Some(format!("{LEGACY}: sshd reads it"));
    file.validate = Some(Validator::Sshd);
    let mut reload = reload("ssh.service");
    reload.risk = Risk::Connectivity;
    let mut plan = plan(vec![file, reload], vec![meta(LEGACY, 0o644)]);
    plan.left_alone = vec![LeftAlone {
        what: "ssh-max-tries".to_owned(),
        why: "passes already (3, at most 4)".to_owned(),
        at: Vec::new(),
    }];
    plan
}

/// Every kind of effect, and every reason for not showing something.
pub fn everything() -> Plan {
    let path = HostPath::literal;
    let mut actions = vec![
        action(
            "banner",
            put(
                "/etc/issue.net",
                "Authorised use only.\nAll use is recorded.",
            ),
        ),
        action("binary", put("/etc/binary", vec![1, 2, 0xff])),
        action("tabs", put("/etc/tabs", "a b  \nsame\tline\n")),
        action("shadow", put("/etc/shadow", "root:$y$SECRET2:1:2:3\n")),
        action(
            "long",
            put(
                "/etc/long",
                (1..=500).map(|n| format!("line {n}\n")).collect::<String>(),
            ),
        ),
        action(
            "cron",
            Effect::Remove {
                path: path("/etc/cron.d/old"),
            },
        ),
        action(
            "motd",
            Effect::MakeDir {
                path: path("/etc/app"),
                mode: Mode::new(0o750),
                owner: Some("root".to_owned()),
                group: Some("app".to_owned()),
                as_user: None,
            },
        ),
        action(
            "current",
            Effect::Link {
                path: path("/etc/app/now"),
                target: Blob::from("v2\u{1b}[31m"),
            },
        ),
        action(
            "upload",
            Effect::SetMeta {
                path: path("/srv/upload"),
                mode: Some(Mode::new(0o755)),
                owner: Some("www".to_owned()),
                group: None,
                drop_capabilities: true,
                drop_acl: false,
            },
        ),
        action(
            "redirects",
            Effect::Sysctl {
                key: "net.ipv4.ip_forward".to_owned(),
                value: "0".to_owned(),
            },
        ),
        action(
            "tmp",
            Effect::Remount {
                path: path("/tmp"),
                options: vec!["rw".to_owned(), "nosuid".to_owned()],
            },
        ),
        action(
            "dccp",
            Effect::Module {
                name: "dccp".to_owned(),
                loaded: false,
            },
        ),
        action(
            "avahi",
            Effect::Unit {
                name: "avahi-daemon.service".to_owned(),
                op: UnitOp::Mask,
            },
        ),
        action(
            "accounts",
            Effect::Account(AccountOp::LockPassword {
                name: "games".to_owned(),
            }),
        ),
        action(
            "ageing",
            Effect::Account(AccountOp::SetAgeing {
                name: "ana".to_owned(),
                min_days: Some(1),
                max_days: Some(365),
                warn_days: None,
                inactive_days: None,
            }),
        ),
        action(
            "telnet",
            Effect::Package {
                name: "telnetd".to_owned(),
                op: PackageOp::Remove,
            },
        ),
        action("audit", Effect::LoadAuditRules),
        action(
            "own",
            Effect::Run {
                argv: vec!["/usr/local/bin/fix".to_owned(), "--now".to_owned()],
                timeout_ms: 30_000,
                user: None,
            },
        ),
        reload("ssh.service"),
        reload("ssh.service"),
    ];
    let mut token = action("token", put("/etc/app/token", "SECRET3"));
    token.sensitive = true;
    actions.push(token);
    let mut hostile = action(
        HOSTILE,
        Effect::Remove {
            path: HostPath::from_bytes(b"/tmp/\x1b]0;owned\x07\xff").expect("absolute"),
        },
    );
    hostile.inverse = Inverse::Irreversible {
        why: HOSTILE.to_owned(),
    };
    actions.push(hostile);
    actions[7].risk = Risk::Access;
    actions[12].risk = Risk::Service;
    let mut plan = plan(
        actions,
        vec![
            meta("/srv/upload", 0o777),
            seen(
                Probe::Sysctl {
                    key: "net.ipv4.ip_forward".to_owned(),
                },
                Value::Sysctl("1".to_owned()),
            ),
        ],
    );
    plan.left_alone = (0..9)
        .map(|n| LeftAlone {
            what: format!("rule-{n}"),
            why: if n == 4 { HOSTILE } else { "passes already" }.to_owned(),
            at: Vec::new(),
        })
        .collect();
    plan
}

#[test]
fn plans_read_as_intended() {
    let style = Style::plain(80, true);
    insta::assert_snapshot!("plan_root_login", rendered(&root_login(), &style));
    insta::assert_snapshot!("plan_everything", rendered(&everything(), &style));
    insta::assert_snapshot!(
        "plan_nothing",
        rendered(&plan(Vec::new(), Vec::new()), &style)
    );
    insta::assert_snapshot!(
        "plan_ascii",
        rendered(&root_login(), &Style::plain(48, false))
    );
}

#[test]
fn no_secret_and_nothing_hostile_is_shown() {
    for unicode in [true, false] {
        for width in [40, 80] {
            let text = rendered(&everything(), &Style::plain(width, unicode));
            assert!(!text.contains("SECRET"), "{text}");
            for line in text.lines() {
                // What is to be copied is never broken.
                let is_command = line.starts_with("next ");
                assert!(is_command || line.width() <= width, "{line}");
                assert!(!line.chars().any(model::escape::is_hidden), "{line}");
            }
        }
    }
}

#[test]
fn a_plan_of_a_thousand_files_is_bounded() {
    let actions = (0..1000)
        .map(|n| {
            let mut one = action("many", put("/etc/x", "x\n".repeat(100)));
            if let Effect::PutFile { path, .. } = &mut one.effect {
                *path = path.join(n.to_string()).expect("a clean name");
            }
            one
        })
        .collect();
    let text = rendered(&plan(actions, Vec::new()), &Style::plain(80, true));
    assert!(
        text.lines().count() < 1200,
        "{} lines",
        text.lines().count()
    );
    assert!(text.contains("900 more files"), "{text}");
}

#[test]
fn the_command_is_one_that_a_shell_reads_back() {
    let selection = Selection {
        baselines: vec!["debian".to_owned()],
        policy: Some("it's ./policy".to_owned()),
        all_or_nothing: true,
        ..Selection::default()
    };
    assert_eq!(
        command("steadfast apply", &selection),
        r"steadfast apply --baseline debian --policy 'it'\''s ./policy' --all-or-nothing"
    );
}

/// Only what was asked for, and each as it is asked for again.
#[test]
fn the_command_of_a_patch_says_what_was_asked_for_and_no_more() {
    let of = |patches, limit_seconds, needs_seconds: Option<u64>| Selection {
        patches: Some(patches),
        limit_seconds,
        window: needs_seconds.map(|_| "Sat 02:00-05:00".to_owned()),
        needs_seconds,
        all_or_nothing: true,
        ..Selection::default()
    };
    let due = |only_security| Patches::Due {
        within_days: 14,
        only_security,
    };
    // (what is kept in the plan, what is asked for again)
    let cases = [
        (of(Patches::All, None, None), ""),
        (of(Patches::All, Some(5), None), " --limit 5s"),
        // A window brings thirty minutes with it.
        (
            of(Patches::Security, Some(1800), Some(1800)),
            " --only security --window 'Sat 02:00-05:00'",
        ),
        (
            of(Patches::All, Some(600), Some(1800)),
            " --limit 10m --window 'Sat 02:00-05:00'",
        ),
        (
            of(Patches::All, Some(7200), Some(7200)),
            " --window 'Sat 02:00-05:00' --needs 2h",
        ),
        (of(due(false), None, None), " --deadline-within 14d"),
        (
            of(due(true), None, None),
            " --only security --deadline-within 14d",
        ),
    ];
    for (selection, wanted) in cases {
        let said = command("steadfast patch apply", &selection);
        assert_eq!(said, format!("steadfast patch apply{wanted}"));
        let words = shell_words(&said);
        let parsed = Cli::try_parse_from(&words);
        assert!(parsed.is_ok(), "{said}: {parsed:?}");
    }
    // As an earlier version saved it.
    let old: Patches = serde_json::from_str(r#"{"due": {"within_days": 14}}"#).expect("it is read");
    assert_eq!(old, due(false));
    assert_eq!(
        serde_json::to_string(&old).expect("JSON"),
        r#"{"due":{"within_days":14}}"#
    );
}

/// As a shell reads a line that has no other quotes than single ones.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("one").push(c),
        }
    }
    words
}

/// What each of the three commands takes together.
#[test]
fn security_deadline_and_window_go_together() {
    for command in ["plan", "apply", "status"] {
        let line = format!(
            "steadfast patch {command} --only security --deadline-within 14d --window \
             'Sat 02:00-05:00'"
        );
        let parsed = Cli::try_parse_from(shell_words(&line));
        assert!(parsed.is_ok(), "{line}: {parsed:?}");
    }
}

/// A command to copy is one line, however narrow the terminal is, and names a saved plan from
/// wherever it is asked for.
#[test]
fn a_command_to_copy_is_never_broken() {
    let plan = Plan {
        selection: Selection {
            policy: Some("/srv/a policy/with a long name".to_owned()),
            rules: vec!["ssh-root-login".to_owned(); 3],
            ..Selection::default()
        },
        ..root_login()
    };
    let wanted = command("steadfast apply", &plan.selection);
    assert!(wanted.len() > 80, "{wanted}");
    let text = rendered(&plan, &Style::plain(40, true));
    assert!(text.contains(&format!("next      {wanted}\n")), "{text}");
    let saved = |path: &str| {
        let mut out = Vec::new();
        let saved = Some(std::path::Path::new(path));
        write(&mut out, &plan, &|_| None, saved, &Style::plain(40, true)).expect("a vector");
        String::from_utf8(out).expect("UTF-8")
    };
    let text = saved("/srv/my plans/p.json");
    assert!(
        text.contains("next      steadfast apply '/srv/my plans/p.json'\n"),
        "{text}"
    );
    let here = std::env::current_dir().expect("a folder").join("p.json");
    let text = saved("p.json");
    assert!(text.contains(&format!("{}\n", here.display())), "{text}");
}

#[track_caller]
fn check_diff(old: Option<&str>, new: &str, wanted: &[&str]) {
    let Difference::Lines(lines) = compare(old.map(str::as_bytes), new.as_bytes()) else {
        panic!("no lines for {old:?} and {new:?}");
    };
    let got: Vec<String> = lines
        .iter()
        .map(|line| {
            let sign = match line.kind {
                LineKind::Kept => " ",
                LineKind::Added => "+",
                LineKind::Removed => "-",
                LineKind::Gap => return "~".to_owned(),
                LineKind::Remark => return "no newline".to_owned(),
            };
            format!("{}{sign}{}", line.number.unwrap_or(0), line.text)
        })
        .collect();
    assert_eq!(got, wanted);
}

#[test]
fn diffs_are_exact() {
    check_diff(
        Some("a\nb\nc\n"),
        "a\nB\nc\n",
        &["1 a", "2-b", "2+B", "3 c"],
    );
    check_diff(None, "a\n", &["1+a"]);
    check_diff(Some("a"), "a\n", &["1-a", "no newline", "1+a"]);
    check_diff(
        Some("a\n1\n2\n3\n4\n5\n6\nb\n"),
        "A\n1\n2\n3\n4\n5\n6\nB\n",
        &["1-a", "1+A", "2 1", "3 2", "~", "6 5", "7 6", "8-b", "8+B"],
    );
    // White space alone differs: it is spelled out.
    check_diff(Some("a\tb\n"), "a b \n", &["1-a\\tb", "1+a b\\x20"]);
    check_diff(Some("x\ty\n"), "z\n", &["1-x       y", "1+z"]);
    // A carriage return does not end a line.
    check_diff(Some("a\rb\n"), "a\rc\n", &["1-a\\rb", "1+a\\rc"]);
    assert_eq!(compare(Some(b"same"), b"same"), Difference::Same);
    assert_eq!(compare(Some(b"\xff"), b"x"), Difference::Opaque);
    assert_eq!(compare(None, &vec![b'x'; 300_000]), Difference::Opaque);
}

/// Case F7 of 2026-11-30, and 15 of the day of patching.
#[test]
fn lines_that_look_like_secrets_are_not_shown() {
    use model::secrets::hidden;
    let cases = [
        ("DB_PASSWORD=S3cret", "DB_PASSWORD=(not shown)"),
        ("secret_password = hunter1", "secret_password = (not shown)"),
        ("  api_token: abc", "  api_token: (not shown)"),
        (
            "\"client_secret\": \"abc\",",
            "\"client_secret\": (not shown)",
        ),
        ("requirepass foobared", "requirepass (not shown)"),
        ("Authorization: Bearer xyzzy", "Authorization: (not shown)"),
        (
            "header = \"Authorization: Basic eHl6enk=\"",
            "header = \"Authorization: (not shown)",
        ),
        ("psk=wifi1234", "psk=(not shown)"),
        ("\twpa-psk=wifi1234", "\twpa-psk=(not shown)"),
        ("wpa-psk wifi1234", "wpa-psk (not shown)"),
        ("PresharedKey = abc", "PresharedKey = (not shown)"),
        ("bindpw hunter1", "bindpw (not shown)"),
        ("\tsecret \"abc\";", "\tsecret (not shown)"),
        ("auth_pass 1111", "auth_pass (not shown)"),
        (
            "url = https://me:pw@host/x",
            "url = https://me:(not shown)@host/x",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(hidden(line, false), expected);
    }
    let kept = [
        "PasswordAuthentication no",
        "passwd:         files systemd",
        "%admin ALL=(ALL) NOPASSWD: ALL",
        "password requisite pam_pwquality.so retry=3",
        "Defaults passwd_tries=3",
        "password = no",
        "password=",
        "key_mgmt=WPA-PSK",
        "authorization-required yes",
        "deb http://deb.debian.org/debian bookworm main",
    ];
    for line in kept {
        assert_eq!(hidden(line, false), line);
    }
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\n-----END PRIVATE KEY-----\n";
    let Difference::Lines(lines) = compare(None, key.as_bytes()) else {
        panic!("text has lines")
    };
    assert!(
        !lines.iter().any(|line| line.text.contains("MIIE")),
        "{lines:?}"
    );
}
