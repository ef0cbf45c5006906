//! What an effect could do to people by the thing that it touches.

use model::value::{
    AccountSeen, AccountsSeen, ActivitySeen, FileSeen, FileType, GroupSeen, Meta, PackageSeen,
    PasswordSeen, Reason,
};
use model::{
    AccountOp, Answer, Effect, HostPath, Mode, Observed, PackageOp, Probe, Risk, UnitOp, Value,
};
use plan::converge::plan as converge;
use plan::risk;
use resource::{Answers, WantedRole};
use serde_json::json;

use crate::support::{Memory, host, rule};

const SUDOERS: &str = "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n\
                       bo ALL=(ALL) ALL\n@includedir /etc/sudoers.d\n";
const KEYS: &str = "# keys\nssh-ed25519 AAAA ana\n";

fn path(text: &str) -> HostPath {
    text.parse().expect("test paths are absolute")
}

fn put(at: &str, content: &str) -> Effect {
    Effect::PutFile {
        path: path(at),
        content: content.into(),
        mode: None,
        owner: None,
        group: None,
        as_user: None,
        drop_acl: false,
    }
}

/// Frees root from limits, and has one that is tight already.
const LIMITS: &str = "root - nproc unlimited\n* hard nproc 10\n";

fn limit(line: &str) -> Effect {
    put("/etc/security/limits.d/own.conf", line)
}

fn slice(name: &str) -> Effect {
    put(
        &format!("/etc/systemd/system/{name}"),
        "[Slice]\nTasksMax=1\n",
    )
}

fn remove(at: &str) -> Effect {
    Effect::Remove { path: path(at) }
}

fn set(at: &str, mode: u32, owner: Option<&str>) -> Effect {
    Effect::SetMeta {
        path: path(at),
        mode: Some(Mode::new(mode)),
        owner: owner.map(str::to_owned),
        group: None,
        drop_capabilities: false,
        drop_acl: false,
    }
}

fn link(at: &str) -> Effect {
    Effect::Link {
        path: path(at),
        target: "/dev/null".into(),
    }
}

fn make(at: &str) -> Effect {
    Effect::MakeDir {
        path: path(at),
        mode: Mode::new(0o700),
        owner: None,
        group: None,
        as_user: None,
    }
}

fn unit(name: &str, op: UnitOp) -> Effect {
    Effect::Unit {
        name: name.to_owned(),
        op,
    }
}

fn install(name: &str) -> Effect {
    Effect::Package {
        name: name.to_owned(),
        op: PackageOp::Install { version: None },
    }
}

fn uninstall(name: &str) -> Effect {
    Effect::Package {
        name: name.to_owned(),
        op: PackageOp::Remove,
    }
}

fn lock(name: &str) -> Effect {
    Effect::Account(AccountOp::LockPassword {
        name: name.to_owned(),
    })
}

fn remove_user(name: &str) -> Effect {
    Effect::Account(AccountOp::RemoveUser {
        name: name.to_owned(),
    })
}

fn leave(group: &str, user: &str) -> Effect {
    Effect::Account(AccountOp::RemoveMember {
        group: group.to_owned(),
        user: user.to_owned(),
    })
}

fn account(name: &str, uid: u32) -> AccountSeen {
    AccountSeen {
        name: name.to_owned(),
        line: uid,
        uid,
        gid: uid,
        comment: String::new(),
        home: format!("/home/{name}"),
        shell: "/bin/bash".to_owned(),
        password: PasswordSeen::Empty,
        ageing: None,
    }
}

/// A host with root, ana (in sudo), bo (named in sudoers), cy (nobody special), and their
/// files.
fn host_answers() -> Answers {
    let group = |name: &str, gid, members: &[&str]| GroupSeen {
        name: name.to_owned(),
        line: gid,
        gid,
        members: members.iter().map(|name| (*name).to_owned()).collect(),
    };
    let accounts = AccountsSeen {
        accounts: vec![
            account("root", 0),
            account("ana", 1000),
            account("bo", 1001),
            account("cy", 1002),
        ],
        groups: vec![
            group("sudo", 27, &["ana"]),
            group("video", 44, &["ana", "cy"]),
        ],
        shadow_unknown: None,
        other_sources: Vec::new(),
        malformed: Vec::new(),
    };
    let mut answers = Answers::default();
    let mut know = |probe, value| {
        answers.insert(probe, Observed::new(Answer::Known(value)));
    };
    know(Probe::Accounts, Value::Accounts(accounts));
    for (at, content) in [
        ("/etc/sudoers", SUDOERS),
        ("/home/ana/.ssh/authorized_keys", KEYS),
        ("/etc/sudoers.d/90-bo", "bo ALL=(ALL) NOPASSWD: ALL\n"),
        ("/etc/sudoers.d/50-settings", "Defaults use_pty\n"),
        ("/etc/security/limits.d/wide.conf", LIMITS),
    ] {
        let file = FileSeen {
            meta: Meta {
                file_type: FileType::Regular,
                mode: Mode::new(0o440),
                uid: 0,
                gid: 0,
                owner: None,
                group: None,
                size_bytes: content.len() as u64,
                hard_links: 1,
                target: None,
                acl: None,
                default_acl: None,
            },
            content: content.into(),
            resolved: None,
        };
        know(Probe::file(path(at)), Value::File(file));
    }
    for (name, installed) in [("openssh-server", true), ("firewalld", false)] {
        let package = PackageSeen {
            version: "1.0".to_owned(),
            architecture: "amd64".to_owned(),
            installed,
            status: String::new(),
            automatic: Some(false),
        };
        let name = name.to_owned();
        know(Probe::Package { name }, Value::Package(package));
    }
    let absent = path("/etc/sudoers.d/new");
    answers.insert(Probe::file(absent), Observed::new(Answer::Absent));
    answers.insert(
        Probe::Dir {
            path: path("/etc/sudoers.d"),
        },
        Observed::new(Answer::Absent),
    );
    answers
}

/// What sudoers and PAM take in from elsewhere is of the same risk as they are.
#[test]
fn what_sudo_includes_elsewhere_has_its_risk() {
    let mut answers = host_answers();
    let sudoers = Probe::file(path("/etc/sudoers"));
    let Some(Answer::Known(Value::File(main))) = answers.get(&sudoers).map(|seen| &seen.answer)
    else {
        panic!("sudoers is known");
    };
    let file = |content: &str| FileSeen {
        content: content.into(),
        ..main.clone()
    };
    let more = file("@includedir /usr/local/etc/sudoers.d\n");
    let stack = file("auth include /srv/pam/site\n");
    for (at, seen) in [("/etc/sudoers", more), ("/etc/pam.d/sudo", stack)] {
        let observed = Observed::new(Answer::Known(Value::File(seen)));
        answers.insert(Probe::file(path(at)), observed);
    }
    let mine = "/usr/local/etc/sudoers.d/zz";
    answers.insert(Probe::file(path(mine)), Observed::new(Answer::Absent));
    for (effect, expected) in [
        (
            put(mine, "Defaults:ana requiretty\n"),
            Some(Risk::Connectivity),
        ),
        (
            put(mine, "ana ALL=(ALL) PASSWD: ALL\n"),
            Some(Risk::Connectivity),
        ),
        (
            put(mine, "cy ALL=(ALL) NOPASSWD: ALL\n"),
            Some(Risk::Access),
        ),
        (put("/srv/pam/site", "x"), Some(Risk::Connectivity)),
        (put("/srv/pam/other", "x"), None),
        (put("/usr/local/etc/other", "x"), None),
        (set("/usr/bin/su", 0o755, None), Some(Risk::Connectivity)),
        (set("/usr/bin/su", 0o4755, None), None),
    ] {
        let touched = risk::of(&effect, &answers);
        assert_eq!(touched.map(|touched| touched.risk), expected, "{effect:?}");
    }
}

#[test]
fn each_thing_has_its_risk() {
    use Risk::{Access, Connectivity, None, Service};
    let settings = format!("{SUDOERS}Defaults use_pty\n");
    let more_keys = format!("ssh-rsa BBBB bo\n{KEYS}");
    let denied = format!("{SUDOERS}%sudo ALL=(ALL) !ALL\n");
    let granted = format!("{SUDOERS}cy ALL=(ALL) /bin/ls\n");
    let moved = "Defaults env_reset\n%sudo ALL=(ALL:ALL) ALL\nroot ALL=(ALL:ALL) ALL\n\
                 bo ALL=(ALL) ALL\n@includedir /etc/sudoers.d\n";
    let cases: Vec<(Effect, Risk)> = vec![
        // SSH
        (put("/etc/ssh/sshd_config", "x"), Connectivity),
        (put("/etc/ssh/sshd_config.d/10-own.conf", "x"), Connectivity),
        (link("/etc/ssh/sshd_config.d/10-own.conf"), Connectivity),
        (remove("/etc/ssh/ssh_host_ed25519_key"), Connectivity),
        (put("/etc/ssh/ssh_config", "x"), None),
        (put("/etc/ssh/ssh_config.d/10-own.conf", "x"), None),
        (put("/etc/sshx", "x"), None),
        (make("/etc/ssh/sshd_config.d"), None),
        (set("/etc/ssh/sshd_config", 0o600, Some("root")), None),
        (
            set("/etc/ssh/sshd_config", 0o666, Option::None),
            Connectivity,
        ),
        (
            set("/etc/ssh/ssh_host_ed25519_key", 0o600, Option::None),
            None,
        ),
        (
            set("/etc/ssh/ssh_host_ed25519_key", 0o640, Option::None),
            Connectivity,
        ),
        // Keys
        (put("/home/ana/.ssh/authorized_keys", &more_keys), None),
        (
            put("/home/ana/.ssh/authorized_keys", "ssh-rsa BBBB bo\n"),
            Connectivity,
        ),
        (put("/home/cy/.ssh/authorized_keys", KEYS), Connectivity),
        (set("/home/ana/.ssh", 0o700, Some("ana")), None),
        (set("/home/ana/.ssh", 0o770, Option::None), Connectivity),
        (
            set("/home/ana/.ssh/authorized_keys", 0o600, Some("bo")),
            Connectivity,
        ),
        (set("/home/ana", 0o750, Option::None), None),
        (set("/home/ana", 0o777, Option::None), Connectivity),
        (set("/root", 0o700, Some("root")), None),
        // Sign-ins
        (put("/etc/pam.d/sshd", "x"), Connectivity),
        (put("/etc/security/access.conf", "x"), Connectivity),
        (put("/etc/security/limits.conf", "x"), None),
        // Limits that end every session, and those that end none.
        (limit("* hard maxlogins 0"), Connectivity),
        (limit("- maxlogins 0"), None),
        (limit("* - maxlogins 10"), Connectivity),
        (limit("@staff soft nproc 0"), Connectivity),
        (limit("* hard nproc 4096"), None),
        (limit("* hard maxsyslogins 1 # few"), Connectivity),
        (limit("# * hard maxlogins 0"), None),
        (limit("* hard nofile 1048576\n* hard core 0"), None),
        (limit("* hard as 1024"), Connectivity),
        (limit("* hard as unlimited"), None),
        (limit("* hard cpu 5"), Connectivity),
        (limit("* - chroot /srv/jail"), Connectivity),
        (limit("@guests hard chroot /srv/%user"), Connectivity),
        (limit("# * - chroot /srv/jail"), None),
        // What every program is loaded with
        (put("/etc/ld.so.preload", "/usr/lib/x.so\n"), Connectivity),
        (put("/etc/ld.so.conf.d/x.conf", "/opt/lib\n"), Connectivity),
        (set("/etc/ld.so.conf", 0o644, Option::None), None),
        (limit("* hard nproc many"), Connectivity),
        (put("/etc/security/limits.d/wide.conf", LIMITS), None),
        (
            put("/etc/security/limits.d/wide.conf", "* hard nproc 8\n"),
            Connectivity,
        ),
        (
            put(
                "/etc/security/limits.d/wide.conf",
                &format!("{LIMITS}* hard core 0\n"),
            ),
            None,
        ),
        // It frees root from a limit that stands elsewhere too.
        (remove("/etc/security/limits.d/wide.conf"), Connectivity),
        (link("/etc/security/limits.d/wide.conf"), Connectivity),
        (set("/etc/security/limits.conf", 0o600, Option::None), None),
        // What sessions and services run in
        (slice("user.slice.d/x.conf"), Connectivity),
        (slice("user-.slice.d/x.conf"), Connectivity),
        (slice("user-1000.slice.d/x.conf"), Connectivity),
        (slice("system.slice"), Connectivity),
        (slice("-.slice.d/x.conf"), Connectivity),
        (slice("system-ssh.slice.d/x.conf"), Connectivity),
        (slice("user@.service.d/x.conf"), Connectivity),
        (slice("session-.scope.d/x.conf"), Connectivity),
        (slice("service.d/x.conf"), Connectivity),
        (slice("slice.d/x.conf"), Connectivity),
        (slice("machine.slice.d/x.conf"), None),
        (slice("cron.service.d/x.conf"), None),
        (slice("user.slice.wants/x.service"), None),
        (
            put("/etc/systemd/system.control/user.slice.d/x.conf", "x"),
            Connectivity,
        ),
        (put("/etc/systemd/system.conf.d/x.conf", "x"), Connectivity),
        (put("/etc/systemd/journald.conf.d/x.conf", "x"), None),
        (unit("user.slice", UnitOp::Stop), Connectivity),
        (unit("user@1000.service", UnitOp::Restart), Connectivity),
        (unit("user.slice", UnitOp::Start), None),
        (unit("machine.slice", UnitOp::Stop), None),
        (put("/etc/nologin", "x"), Connectivity),
        (remove("/etc/nologin"), None),
        (put("/run/nologin", "x"), Connectivity),
        (put("/etc/profile.d/x.sh", "exit 1"), Connectivity),
        (set("/etc/profile", 0o644, Some("root")), None),
        (put("/etc/bash.bashrc", "exit 1"), Connectivity),
        (set("/usr/bin/bash", 0o600, Option::None), Connectivity),
        (set("/usr/bin/bash", 0o755, Some("root")), None),
        (
            set("/usr/lib/openssh/sshd-session", 0o644, Option::None),
            Connectivity,
        ),
        (put("/etc/hosts.deny", "ALL: ALL\n"), Connectivity),
        (put("/etc/passwd", "x"), Connectivity),
        (set("/etc/passwd", 0o644, Some("root")), None),
        (set("/etc/passwd", 0o600, Option::None), Connectivity),
        (set("/etc/shadow", 0o640, Some("root")), None),
        (set("/etc", 0o700, Option::None), Connectivity),
        // Administrators
        (put("/etc/sudoers", &settings), Access),
        (put("/etc/sudoers", &granted), Access),
        (put("/etc/sudoers", &denied), Connectivity),
        (put("/etc/sudoers", moved), Connectivity),
        (
            put("/etc/sudoers.d/new", "Defaults requiretty\n"),
            Connectivity,
        ),
        (
            put("/etc/sudoers.d/new", "Defaults timestamp_timeout=5\n"),
            Access,
        ),
        (put("/etc/sudoers.d/new", "oops\n"), Connectivity),
        (
            put("/etc/sudoers.d/new", "@include /etc/elsewhere\n"),
            Connectivity,
        ),
        (put("/usr/bin/su", "x"), Connectivity),
        (put("/usr/libexec/sudo/sudoers.so", "x"), Connectivity),
        (set("/usr/bin/su", 0o755, Some("root")), Connectivity),
        (set("/usr/bin/su", 0o4755, Some("root")), None),
        (
            put("/etc/sudoers.d/unread", "Defaults use_pty\n"),
            Connectivity,
        ),
        (remove("/etc/sudoers.d/90-bo"), Connectivity),
        (remove("/etc/sudoers.d/50-settings"), Access),
        (set("/etc/sudoers", 0o440, Some("root")), Access),
        (set("/etc/sudoers", 0o666, Option::None), Connectivity),
        (set("/usr/bin/sudo", 0o755, Option::None), Connectivity),
        // The network
        (put("/etc/nftables.conf", "x"), Connectivity),
        (put("/etc/nftables.d/web.nft", "x"), Connectivity),
        (put("/etc/network/interfaces.d/eth0", "x"), Connectivity),
        (put("/etc/netplan/50-x.yaml", "x"), Connectivity),
        (put("/etc/systemd/network/10-x.network", "x"), Connectivity),
        (put("/etc/NetworkManager/conf.d/x.conf", "x"), Connectivity),
        (put("/etc/resolv.conf", "x"), Service),
        (put("/etc/motd", "x"), None),
        // Units
        (unit("ssh.service", UnitOp::Stop), Connectivity),
        (unit("ssh.socket", UnitOp::Mask), Connectivity),
        (unit("ssh.service", UnitOp::Start), None),
        (unit("ssh.service", UnitOp::Reload), Connectivity),
        (unit("nftables.service", UnitOp::Start), Connectivity),
        (unit("wg-quick@wg0.service", UnitOp::Disable), Connectivity),
        (unit("nginx.service", UnitOp::Stop), None),
        (
            put("/etc/systemd/system/ssh.service.d/x.conf", "x"),
            Connectivity,
        ),
        (
            remove("/etc/systemd/system/multi-user.target.wants/ssh.service"),
            Connectivity,
        ),
        (
            link("/etc/systemd/system/systemd-networkd.service"),
            Connectivity,
        ),
        (put("/etc/systemd/system/web.service", "x"), None),
        // Packages
        (uninstall("openssh-server"), Connectivity),
        (uninstall("sudo:amd64"), Connectivity),
        (uninstall("ifupdown"), Connectivity),
        (uninstall("telnet"), None),
        (install("openssh-server"), Service),
        (install("firewalld"), Connectivity),
        (install("nginx"), None),
        // Accounts
        (lock("root"), Connectivity),
        (lock("ana"), Connectivity),
        (remove_user("bo"), Connectivity),
        (lock("cy"), Access),
        (remove_user("cy"), Access),
        (leave("sudo", "ana"), Connectivity),
        (leave("video", "ana"), Access),
        // The kernel
        (
            Effect::Sysctl {
                key: "net.ipv6.conf.all.disable_ipv6".to_owned(),
                value: "1".to_owned(),
            },
            Connectivity,
        ),
        (
            Effect::Sysctl {
                key: "kernel.dmesg_restrict".to_owned(),
                value: "1".to_owned(),
            },
            None,
        ),
    ];
    let answers = host_answers();
    for (effect, wanted) in cases {
        let touched = risk::of(&effect, &answers);
        let found = touched.as_ref().map_or(None, |touched| touched.risk);
        assert_eq!(found, wanted, "{effect:?}: {touched:?}");
    }
}

/// A shell that somebody works with, or may work with, goes only with a confirmation.
#[test]
fn work_that_ends_is_confirmed() {
    let shell = Effect::Account(AccountOp::SetShell {
        name: "cy".to_owned(),
        shell: "/usr/sbin/nologin".to_owned(),
    });
    let risk = |answer: Option<Answer>| {
        let mut answers = host_answers();
        if let Some(answer) = answer {
            let probe = Probe::Activity {
                account: "cy".to_owned(),
                uid: 1002,
            };
            answers.insert(probe, Observed::new(answer));
        }
        risk::of(&shell, &answers).expect("a shell is some risk")
    };
    assert_eq!(risk(None).risk, Risk::Access);
    let idle = ActivitySeen::default();
    assert_eq!(
        risk(Some(Answer::Known(Value::Activity(idle)))).risk,
        Risk::Access
    );
    let busy = ActivitySeen {
        has_crontab: true,
        ..idle
    };
    let touched = risk(Some(Answer::Known(Value::Activity(busy))));
    assert_eq!(touched.risk, Risk::Connectivity);
    assert!(touched.why.contains("it has a crontab"), "{}", touched.why);
    let unknown = risk(Some(Answer::Unknown(Reason::NeedsRoot)));
    assert_eq!(unknown.risk, Risk::Connectivity);
}

/// Who administers the host is not known: then nobody is cut off on a guess.
#[test]
fn what_is_not_known_counts_as_the_worst() {
    let nothing = Answers::default();
    for effect in [lock("cy"), put("/home/cy/.ssh/authorized_keys", KEYS)] {
        let touched = risk::of(&effect, &nothing).expect("a risk");
        assert_eq!(touched.risk, Risk::Connectivity, "{effect:?}");
    }
}

/// A role declares no risk; the plan knows it all the same, and says why.
#[test]
fn an_action_has_the_worse_of_what_is_declared_and_what_is_touched() {
    let file =
        json!({"file": {"path": "/etc/ssh/sshd_config.d/10-own.conf", "content": "X yes\n"}});
    let want = rule("x", model::Severity::Low, &[file]).want;
    let wanted = resource::Wanted {
        roles: vec![WantedRole {
            name: model::RoleName::new("web").expect("a name"),
            severity: model::Severity::Medium,
            want: want.clone(),
        }],
        ..resource::Wanted::default()
    };
    let mut as_rule = rule("x", model::Severity::Low, &[]);
    as_rule.want = want;
    let answers = Memory::default().answers(&crate::support::wanted(vec![as_rule]));
    let plan = converge(&wanted, &answers, host(), Default::default()).expect("a plan");
    assert_eq!(plan.risk(), Risk::Connectivity, "{plan:#?}");
    let file = plan.actions.last().expect("the directories, and the file");
    assert_eq!(
        file.risk_why.as_deref(),
        Some("/etc/ssh/sshd_config.d/10-own.conf: sshd reads it")
    );
}

/// Case C4 of the sysadmin's look: the plan said that a service restarts, and apt refused every source.
#[test]
fn what_a_source_without_a_signature_loses_is_said_beside_the_risk() {
    let host_now = Memory::new(
        &[(
            "/etc/apt/sources.list",
            "deb [trusted=yes] http://repo.example/d ./\n",
        )],
        &[],
    );
    let signed = rule(
        "sources-signed",
        model::Severity::High,
        &[json!({"apt_sources": {"require": "signed"}})],
    );
    let wanted = crate::support::wanted(vec![signed]);
    let answers = host_now.answers(&wanted);
    let plan = converge(&wanted, &answers, host(), model::plan::Selection::default())
        .expect("one rule contradicts nothing");
    let why: Vec<&str> = plan
        .actions
        .iter()
        .filter_map(|action| action.risk_why.as_deref())
        .collect();
    assert!(
        matches!(why[..], [one] if one.contains("no key has signed")),
        "{plan:?}"
    );
}
