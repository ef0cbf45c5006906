//! The pure parts of the changing half: edits of account files, merges, and the readers of
//! what other programs say.

use host::act::account_files::{AccountError, AccountFiles, Defaults};
use host::act::health::{Health, parse_show};
use host::act::package::{Offered, Step, parse_simulation};
use host::act::runtime::{parse_mountinfo, remount_flags};
use host::act::unit::Install;
use host::merge::merge;
use model::AccountOp;
use proptest::prelude::*;

fn files() -> AccountFiles {
    AccountFiles {
        passwd: b"root:x:0:0:root:/root:/bin/bash\n# odd\nann:x:1000:1000:Ann,,,:/home/ann:/bin/bash\n+::::::\n".to_vec(),
        shadow: Some(b"root:*:19000:0:99999:7:::\nann:$y$hash:19000:0:99999:7:::\n".to_vec()),
        group: b"root:x:0:\nsudo:x:27:ann\nann:x:1000:\n".to_vec(),
        gshadow: Some(b"root:*::\nsudo:*::ann\nann:!::\n".to_vec()),
    }
}

/// What an operation changes: the lines that went, and the lines that came, in all files.
fn changed(op: &AccountOp) -> Result<Vec<String>, AccountError> {
    let before = files();
    let mut after = before.clone();
    after.apply(op, &Defaults::default(), 20000)?;
    let mut lines = Vec::new();
    for (before, after) in [
        (Some(before.passwd), Some(after.passwd)),
        (before.shadow, after.shadow),
        (Some(before.group), Some(after.group)),
        (before.gshadow, after.gshadow),
    ] {
        let text =
            |bytes: Option<Vec<u8>>| String::from_utf8(bytes.expect("a file")).expect("text");
        let (before, after) = (text(before), text(after));
        let diff = similar::TextDiff::from_lines(&before, &after);
        for change in diff.iter_all_changes() {
            match change.tag() {
                similar::ChangeTag::Delete => lines.push(format!("-{}", change.value().trim_end())),
                similar::ChangeTag::Insert => lines.push(format!("+{}", change.value().trim_end())),
                similar::ChangeTag::Equal => {}
            }
        }
    }
    Ok(lines)
}

fn name(name: &str) -> String {
    name.to_owned()
}

fn create(user: &str, system: bool) -> AccountOp {
    AccountOp::CreateUser {
        name: name(user),
        uid: None,
        group: None,
        comment: "New".to_owned(),
        home: format!("/home/{user}").parse().expect("a path"),
        create_home: false,
        shell: "/bin/sh".to_owned(),
        system,
    }
}

#[test]
fn an_operation_changes_its_own_lines_only() {
    let cases: [(AccountOp, &[&str]); 9] = [
        (
            create("bob", false),
            &[
                "+bob:x:1001:1001:New:/home/bob:/bin/sh",
                "+bob:!:20000:0:99999:7:::",
                "+bob:x:1001:",
                "+bob:!::",
            ],
        ),
        (
            create("svc", true),
            &[
                "+svc:x:999:999:New:/home/svc:/bin/sh",
                "+svc:!:20000::::::",
                "+svc:x:999:",
                "+svc:!::",
            ],
        ),
        (
            AccountOp::RemoveUser { name: name("ann") },
            &[
                "-ann:x:1000:1000:Ann,,,:/home/ann:/bin/bash",
                "-ann:$y$hash:19000:0:99999:7:::",
                "-sudo:x:27:ann",
                "-ann:x:1000:",
                "+sudo:x:27:",
                "-sudo:*::ann",
                "-ann:!::",
                "+sudo:*::",
            ],
        ),
        (
            AccountOp::SetShell {
                name: name("ann"),
                shell: name("/usr/sbin/nologin"),
            },
            &[
                "-ann:x:1000:1000:Ann,,,:/home/ann:/bin/bash",
                "+ann:x:1000:1000:Ann,,,:/home/ann:/usr/sbin/nologin",
            ],
        ),
        (
            AccountOp::LockPassword { name: name("ann") },
            &[
                "-ann:$y$hash:19000:0:99999:7:::",
                "+ann:!$y$hash:19000:0:99999:7:::",
            ],
        ),
        (
            AccountOp::SetAgeing {
                name: name("ann"),
                min_days: None,
                max_days: Some(365),
                warn_days: None,
                inactive_days: Some(30),
            },
            &[
                "-ann:$y$hash:19000:0:99999:7:::",
                "+ann:$y$hash:19000:0:365:7:30::",
            ],
        ),
        (
            AccountOp::AddMember {
                group: name("root"),
                user: name("ann"),
            },
            &["-root:x:0:", "+root:x:0:ann", "-root:*::", "+root:*::ann"],
        ),
        (
            AccountOp::AddMember {
                group: name("sudo"),
                user: name("ann"),
            },
            &[],
        ),
        (
            AccountOp::CreateGroup {
                name: name("ops"),
                gid: Some(500),
                system: false,
            },
            &["+ops:x:500:", "+ops:!::"],
        ),
    ];
    for (op, wanted) in cases {
        assert_eq!(changed(&op).expect("carried out"), wanted, "{op:?}");
    }
}

#[test]
fn what_would_break_the_files_is_refused() {
    let mut evil = create("eve", false);
    if let AccountOp::CreateUser { comment, .. } = &mut evil {
        *comment = "x:0:0::/:/bin/sh\nroot2".to_owned();
    }
    let refused = [
        evil,
        create("ann", false),
        create("Bad Name", false),
        create("-rf", false),
        AccountOp::RemoveUser {
            name: name("nobody-here"),
        },
        AccountOp::RemoveGroup { name: name("ann") },
        AccountOp::SetUid {
            name: name("ann"),
            uid: 0,
        },
        AccountOp::SetShell {
            name: name("ann"),
            shell: name("/bin/sh\nx"),
        },
        AccountOp::AddMember {
            group: name("sudo"),
            user: name("ghost"),
        },
    ];
    for op in refused {
        assert!(changed(&op).is_err(), "{op:?}");
    }
}

#[test]
fn our_lines_are_inverted_and_others_stay() {
    let cases = [
        // base (as we left it), ours (as it was), theirs (as it is now), wanted
        ("a\nB\nc\n", "a\nb\nc\n", "a\nB\nc\n", Some("a\nb\nc\n")),
        (
            "a\nB\nc\n",
            "a\nb\nc\n",
            "x\na\nB\nc\ny\n",
            Some("x\na\nb\nc\ny\n"),
        ),
        ("a\nour\n", "a\n", "a\nour\ntheirs\n", Some("a\ntheirs\n")),
        ("a\nour\n", "a\n", "a\n", Some("a\n")),
        ("a\nB\nc\n", "a\nb\nc\n", "a\nX\nc\n", None),
        ("a\nb\n", "a\nold\nb\n", "a\ntheirs\nb\n", None),
        ("a", "a\nb", "a\n", None),
        ("", "", "x", Some("x")),
        (
            "a\nb\nc\nd\n",
            "A\nb\nc\nd\n",
            "a\nb\nc\n",
            Some("A\nb\nc\n"),
        ),
    ];
    for (base, ours, theirs, wanted) in cases {
        let merged = merge(base.as_bytes(), ours.as_bytes(), theirs.as_bytes())
            .ok()
            .map(|bytes| String::from_utf8(bytes).expect("text"));
        assert_eq!(merged.as_deref(), wanted, "{base:?} {ours:?} {theirs:?}");
    }
}

/// Files of few different lines, so that edits meet often.
fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec("[abc]\n", 0..8).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn a_merge_invents_nothing(base in text(), ours in text(), theirs in text()) {
        let (base, ours, theirs) = (base.as_bytes(), ours.as_bytes(), theirs.as_bytes());
        prop_assert_eq!(merge(base, ours, base).expect("nobody else changed it"), ours);
        prop_assert_eq!(merge(base, base, theirs).expect("we changed nothing"), theirs);
        prop_assert_eq!(merge(base, ours, ours).expect("it is taken back already"), ours);
        let merged = merge(base, ours, theirs);
        prop_assert_eq!(&merged, &merge(base, theirs, ours), "neither side comes first");
        if let Ok(merged) = merged {
            let count = |text: &[u8], line: &[u8]| {
                text.split_inclusive(|byte| *byte == b'\n').filter(|other| *other == line).count()
            };
            for line in [b"a\n", b"b\n", b"c\n"] {
                let line = &line[..];
                let (before, merged) = (count(base, line), count(&merged, line));
                let (ours, theirs) = (count(ours, line), count(theirs, line));
                // Each line is one that a side has, and what a side added stays. An edit that
                // both made counts once, so no closer bound holds for every text.
                prop_assert!(merged <= ours + theirs);
                prop_assert!(merged + before >= ours.max(theirs));
            }
        }
    }
}

/// What `systemctl show` says of a unit before and after it was told something, and what
/// follows.
#[test]
fn what_systemd_says_of_a_unit_is_judged() {
    let up = "Type=simple\nNRestarts=1\nResult=success\nActiveState=active\nSubState=running";
    let cases = [
        (up, Ok(Health::Up)),
        ("ActiveState=reloading\nNRestarts=1", Ok(Health::Up)),
        // Counted from 0 again, since it was started by hand.
        ("ActiveState=active\nNRestarts=0", Ok(Health::Up)),
        ("ActiveState=active\nNRestarts=2", Err("started it again")),
        (
            "ActiveState=activating\nSubState=start",
            Ok(Health::Starting),
        ),
        (
            "ActiveState=activating\nSubState=auto-restart\nResult=exit-code",
            Err("it ended (exit-code), and is started again"),
        ),
        (
            "ActiveState=failed\nResult=signal",
            Err("it has failed (signal)"),
        ),
        (
            "ActiveState=inactive\nResult=success",
            Err("it has stopped"),
        ),
        (
            "ActiveState=inactive\nResult=success\nType=oneshot",
            Ok(Health::Rests),
        ),
        (
            "ActiveState=inactive\nTriggeredBy=x.socket",
            Ok(Health::Rests),
        ),
        (
            "ActiveState=inactive\nTriggeredBy=\nBusName=",
            Err("it has stopped"),
        ),
        (
            "ActiveState=inactive\nBusName=a.b\nResult=timeout",
            Err("it has stopped (timeout)"),
        ),
        ("ActiveState=maintenance", Err("it is maintenance")),
    ];
    let text: Vec<&str> = cases.iter().map(|(now, _)| *now).collect();
    let seen = parse_show(&text.join("\n\n"));
    assert_eq!(seen.len(), cases.len());
    for ((now, wanted), seen_now) in cases.iter().zip(&seen) {
        match (seen[0].health(seen_now), wanted) {
            (Health::Down(why), Err(part)) => assert!(why.contains(part), "{now}: {why}"),
            (health, wanted) => assert_eq!(Ok(health), *wanted, "{now}"),
        }
    }
}

/// Our own watch over an older change ended while a patch was at work, and the patch was taken back
/// for it: systemd has forgotten by then what the unit was.
#[test]
fn the_end_of_a_transient_unit_is_no_failure() {
    let text = [
        "ActiveState=active\nType=exec\nTransient=yes",
        "ActiveState=inactive\nType=simple\nTransient=no\nResult=success",
        "ActiveState=failed\nTransient=yes\nResult=exit-code",
    ];
    let seen = parse_show(&text.join("\n\n"));
    assert!(seen[0].is_transient() && !seen[1].is_transient());
    assert_eq!(seen[0].health(&seen[1]), Health::Rests);
    assert!(matches!(seen[1].health(&seen[1]), Health::Down(_)));
    assert!(matches!(seen[0].health(&seen[2]), Health::Down(_)));
}

/// A unit whose condition is not met, as chrony's in a container, never ran.
#[test]
fn what_a_condition_keeps_from_starting_is_said_so() {
    let text = [
        "ActiveState=inactive\nConditionResult=no\nConditionTimestampMonotonic=17",
        "ActiveState=inactive\nConditionResult=no\nConditionTimestampMonotonic=0",
        "ActiveState=inactive\nConditionResult=yes\nConditionTimestampMonotonic=17",
    ];
    let seen = parse_show(&text.join("\n\n"));
    let says = |at: usize| match seen[at].health(&seen[at]) {
        Health::Down(why) => why,
        other => format!("{other:?}"),
    };
    assert!(
        says(0).contains("a condition of its unit is not met"),
        "{}",
        says(0)
    );
    assert_eq!(
        (says(1), says(2)),
        ("it has stopped".to_owned(), "it has stopped".to_owned())
    );
}

/// Case 3 of a day of patching: a unit that another one ended by its restart has its `RestartSec`.
#[test]
fn a_unit_that_systemd_starts_again_has_the_time_for_it_once() {
    let text = [
        "ActiveState=active\nNRestarts=0\nRestartUSec=1min",
        "ActiveState=activating\nSubState=auto-restart\nNRestarts=0\nRestartUSec=1min",
        "ActiveState=active\nNRestarts=1\nRestartUSec=1min 500ms",
        "ActiveState=active\nNRestarts=2\nRestartUSec=1min",
        "ActiveState=activating\nSubState=auto-restart\nNRestarts=1\nRestartUSec=1min",
        "ActiveState=failed\nNRestarts=0\nRestartUSec=1min",
        "ActiveState=activating\nSubState=auto-restart\nNRestarts=0\nRestartUSec=1h",
        "ActiveState=activating\nSubState=auto-restart\nNRestarts=0\nRestartUSec=infinity",
        // Its time is over, and it is about to be started.
        "ActiveState=activating\nSubState=auto-restart\nNRestarts=1\nJob=17\nRestartUSec=1min",
        "ActiveState=activating\nSubState=auto-restart\nNRestarts=2\nJob=18\nRestartUSec=1min",
    ];
    let seen = parse_show(&text.join("\n\n"));
    let has = |at: usize| {
        seen[0]
            .restarts_once(&seen[at])
            .map(|time| time.as_millis())
    };
    let found: Vec<Option<u128>> = (0..seen.len()).map(has).collect();
    let none = None;
    assert_eq!(
        found,
        [
            none,
            Some(60_000),
            Some(60_500),
            none,
            none,
            none,
            none,
            none,
            Some(60_000),
            none
        ]
    );
}

/// Case 3 of a day of patching: the alphabet is no order of units.
#[test]
fn units_are_told_in_the_order_in_which_systemd_starts_them() {
    let after = |unit: &str, all: &[&str]| {
        let all = all.iter().map(|one| (*one).to_owned()).collect();
        (unit.to_owned(), all)
    };
    let units = [
        after(
            "app.service",
            &["pg_receivewal@15-main.service", "gone.service"],
        ),
        after("loop-a.service", &["loop-b.service"]),
        after("loop-b.service", &["loop-a.service"]),
        after(
            "pg_receivewal@15-main.service",
            &["postgresql@15-main.service"],
        ),
        after("postgresql@15-main.service", &[]),
    ];
    let ranks = host::act::unit::start_ranks(&units.into());
    assert_eq!(ranks["postgresql@15-main.service"], 0);
    assert_eq!(ranks["pg_receivewal@15-main.service"], 1);
    assert_eq!(ranks["app.service"], 2);
    assert!(
        ranks.contains_key("loop-a.service"),
        "a circle comes to an end"
    );
}

#[test]
fn what_programs_say_is_read() {
    let install = Install::parse(
        "[Unit]\nWantedBy=no.target\n[Install]\nWantedBy=multi-user.target \\\n  other.target\n\
         Alias=sshd.service\nAlso=ssh.socket\nRequiredBy=x.service\nDefaultInstance=a\n",
    );
    assert_eq!(
        install.targets,
        [
            ("multi-user.target".to_owned(), "wants"),
            ("other.target".to_owned(), "wants"),
            ("x.service".to_owned(), "requires"),
        ]
    );
    assert_eq!(install.aliases, ["sshd.service"]);
    assert_eq!(install.also, ["ssh.socket"]);
    assert_eq!(install.default_instance.as_deref(), Some("a"));

    let table = b"22 1 0:20 / / rw,relatime - ext4 /dev/vda rw\n\
        30 22 0:25 / /mnt\\040x rw,nosuid shared:1 - tmpfs tmpfs rw\n\
        31 22 0:26 / /mnt\\040x rw,nodev - tmpfs tmpfs rw\n";
    let options = parse_mountinfo(table, b"/mnt x").expect("mounted");
    assert_eq!(options, ["rw", "nodev"], "the topmost mount counts");
    assert_eq!(parse_mountinfo(table, b"/mnt"), None);

    let steps = parse_simulation(
        "NOTE: This is only a simulation!\nRemv a [1.0]\nInst b [1:2-3] (1:2-4 Debian:12 [amd64]) []\n\
         Inst c:i386 (1 Foo (Bar):x [i386])\nConf b (1:2-4 Debian:12 [amd64])\n",
    )
    .expect("understood");
    let step = |name: &str, removes, old: Option<&str>, new: Option<[&str; 3]>| Step {
        name: name.to_owned(),
        removes,
        old: old.map(str::to_owned),
        new: new.map(|[version, origin, architecture]| Offered {
            version: version.to_owned(),
            origins: vec![origin.to_owned()],
            architecture: architecture.to_owned(),
        }),
    };
    assert_eq!(
        steps,
        [
            step("a", true, Some("1.0"), None),
            step(
                "b",
                false,
                Some("1:2-3"),
                Some(["1:2-4", "Debian:12", "amd64"])
            ),
            step("c:i386", false, None, Some(["1", "Foo (Bar):x", "i386"])),
        ]
    );
    // What it would install never goes unseen.
    for line in [
        "Inst",
        "Inst b",
        "Inst b [1.0]",
        "Inst b [1.0] (2.0 Debian:12 [amd64]",
        "Remv ",
    ] {
        let error = parse_simulation(&format!("Remv a [1.0]\n{line}\n")).expect_err(line);
        assert!(error.to_string().contains(line.trim_end()), "{error}");
    }
}

/// A remount takes away every option that is not among its flags.
#[test]
fn a_remount_loses_no_option_of_the_mount() {
    let owned =
        |options: &[&str]| -> Vec<String> { options.iter().map(ToString::to_string).collect() };
    let flags = |options: &[&str]| remount_flags(&owned(options), &owned(options));
    let all = [
        "ro",
        "nosuid",
        "nodev",
        "noexec",
        "noatime",
        "nodiratime",
        "relatime",
        "nosymfollow",
    ];
    // MS_RDONLY 1, MS_NOSUID 2, MS_NODEV 4, MS_NOEXEC 8, MS_NOSYMFOLLOW 256, MS_NOATIME 1024,
    // MS_NODIRATIME 2048, MS_BIND 4096, MS_RELATIME 1 << 21 (mount.h).
    let wanted = 1 + 2 + 4 + 8 + 256 + 1024 + 2048 + 4096 + (1 << 21);
    assert_eq!(flags(&all).map(|flags| flags.bits()), Ok(wanted));
    assert_eq!(flags(&["rw", "dev"]).map(|flags| flags.bits()), Ok(4096));
    let unknown = flags(&["rw", "nosomething"]).expect_err("it would be lost");
    assert!(unknown.contains("`nosomething`"), "{unknown}");
    // The file system's own, as fstab names them.
    let of_tmpfs = remount_flags(&owned(&["rw", "size=1024k", "nodev"]), &owned(&["rw"]));
    assert_eq!(of_tmpfs.map(|flags| flags.bits()), Ok(4 + 4096));
}
