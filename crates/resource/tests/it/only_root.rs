//! `only_root`.

use model::Probe;
use model::value::{AccountsSeen, AclEntry, AclWho, GroupSeen, Reason};
use resource::Judgement;

use crate::support::{Host, check, judge, path, refused, words};

const PAM: &str = "only_root: {path: /etc/pam.d}";
const WANTED: &str = "only root may change it";

fn groups(members: &[(&str, u32, &[&str])]) -> AccountsSeen {
    let groups = members.iter().map(|(name, gid, members)| GroupSeen {
        name: (*name).to_owned(),
        line: 1,
        gid: *gid,
        members: members.iter().map(|name| (*name).to_owned()).collect(),
    });
    AccountsSeen {
        accounts: Vec::new(),
        groups: groups.collect(),
        other_sources: Vec::new(),
        malformed: Vec::new(),
        shadow_unknown: None,
    }
}

fn with_groups(mut host: Host, members: &[(&str, u32, &[&str])]) -> Host {
    host.accounts = Some(groups(members));
    host
}

/// `useradd bob; chown bob FILE`, and what gives it back.
#[test]
fn a_file_of_somebody_else_is_given_back() {
    for (want, file) in [
        (PAM, "/etc/pam.d/common-auth"),
        (
            "only_root: {path: /etc/systemd}",
            "/etc/systemd/system/x.service",
        ),
        (
            "only_root: {path: /etc/cron.daily, names: run_parts}",
            "/etc/cron.daily/x",
        ),
        ("only_root: {path: /etc/apt}", "/etc/apt/sources.list"),
        (
            "only_root: {path: /etc/apt}",
            "/etc/apt/sources.list.d/x.list",
        ),
        (
            "only_root: {path: /etc/apt}",
            "/etc/apt/trusted.gpg.d/x.gpg",
        ),
        (
            "only_root: {path: /etc/profile.d, names: ['*.sh']}",
            "/etc/profile.d/x.sh",
        ),
        (
            "only_root: {read_by: sshd}",
            "/etc/ssh/sshd_config.d/x.conf",
        ),
        ("only_root: {read_by: loader}", "/etc/ld.so.conf.d/x.conf"),
        ("only_root: {read_by: sudo}", "/etc/sudoers.d/x"),
        ("only_root: {read_by: rsyslog}", "/etc/rsyslog.d/x.conf"),
        ("only_root: {path: /etc/shadow}", "/etc/shadow"),
    ] {
        let host = Host::without_accounts()
            .file(
                "/etc/ssh/sshd_config",
                "Include /etc/ssh/sshd_config.d/*.conf\n",
            )
            .file("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
            .file("/etc/sudoers", "@includedir /etc/sudoers.d\n")
            .file(
                "/etc/rsyslog.conf",
                "$IncludeConfig /etc/rsyslog.d/*.conf\n",
            )
            .file_as(file, "", 0o644, "bob", "root");
        let after = check(
            want,
            &host,
            &format!("drift: owner bob, wanted {WANTED} @ {file}"),
        );
        assert_eq!(after.nodes[&path(file)].owner, "root", "{file}");
    }
}

#[test]
fn what_a_program_does_not_read_does_not_count() {
    let host = Host::without_accounts()
        .file("/etc/ssh/sshd_config", "Include sshd_config.d/*.conf\n")
        .file_as("/etc/ssh/sshd_config.d/x.bak", "", 0o644, "bob", "bob")
        .file("/etc/sudoers", "@includedir /etc/sudoers.d\n")
        .file_as("/etc/sudoers.d/x.bak", "", 0o644, "bob", "bob")
        .file("/etc/ld.so.conf", "include ld.so.conf.d/*.conf\n")
        .file_as("/etc/ld.so.conf.d/x.bak", "", 0o644, "bob", "bob")
        .file("/etc/cron.daily/ok", "")
        .file_as("/etc/cron.daily/x.bak", "", 0o644, "bob", "bob")
        .file("/etc/profile.d/ok.sh", "")
        .file_as("/etc/profile.d/x.bak", "", 0o644, "bob", "bob");
    for want in [
        "only_root: {read_by: sshd}",
        "only_root: {read_by: sudo}",
        "only_root: {read_by: loader}",
        "only_root: {path: /etc/cron.daily, names: run_parts}",
        "only_root: {path: /etc/profile.d, names: ['*.sh']}",
    ] {
        let said = words(&judge(want, &host));
        assert!(said.starts_with("ok: root's alone"), "{want}: {said}");
    }
    // And what it includes from elsewhere does.
    let host = Host::without_accounts()
        .file("/etc/ssh/sshd_config", "Include /etc/site/ssh.conf\n")
        .file_as("/etc/site/ssh.conf", "", 0o644, "bob", "bob");
    let said = words(&judge("only_root: {read_by: sshd}", &host));
    assert!(said.contains("owner bob"), "{said}");
    let host = Host::new()
        .file("/etc/ld.so.conf", "/etc/site/lib # ours\n")
        .dir_as("/etc/site/lib", 0o755, "bob", "bob");
    let said = words(&judge("only_root: {read_by: loader}", &host));
    assert!(said.contains("owner bob"), "{said}");
}

#[test]
fn groups_everyone_and_acls_may_write_too() {
    let alone: &[(&str, u32, &[&str])] = &[("root", 0, &[])];
    let at = "/etc/pam.d/su";
    let node = |mode, group| with_groups(Host::new().file_as(at, "", mode, "root", group), alone);
    for (host, observed, mode) in [
        (node(0o664, "staff"), "group staff may write", 0o644),
        (node(0o646, "root"), "everyone may write", 0o644),
        (
            node(0o666, "staff"),
            "group staff may write, everyone may write",
            0o644,
        ),
        (
            with_groups(
                Host::new().file_as(at, "", 0o664, "root", "root"),
                &[("root", 0, &["bob"])],
            ),
            "group root may write",
            0o644,
        ),
    ] {
        let after = check(
            PAM,
            &host,
            &format!("drift: {observed}, wanted {WANTED} @ {at}"),
        );
        assert_eq!(after.nodes[&path(at)].mode, mode);
    }
    // Root's own group, in which nobody else is, gives nothing away.
    assert!(words(&judge(PAM, &node(0o664, "root"))).starts_with("ok"));
    // Unless accounts come from elsewhere too.
    let mut elsewhere = node(0o664, "root");
    if let Some(accounts) = &mut elsewhere.accounts {
        accounts.other_sources.push("sss".to_owned());
    }
    assert!(words(&judge(PAM, &elsewhere)).contains("group root may write"));
    // By an ACL, whose mask the group's bits of the mode are.
    let acl = |bits| {
        let bob = AclWho::User {
            id: 1000,
            name: Some("bob".to_owned()),
        };
        let entry = |who, bits| AclEntry { who, bits };
        vec![entry(bob, bits), entry(AclWho::OwningGroup, 0o4)]
    };
    let mut host = node(0o664, "staff");
    host.acls.insert(path(at), acl(0o6));
    let after = check(
        PAM,
        &host,
        &format!("drift: bob may write (by its ACL), wanted {WANTED} @ {at}"),
    );
    assert_eq!(after.nodes[&path(at)].mode, 0o644);
    host.acls.insert(path(at), acl(0o4));
    assert!(words(&judge(PAM, &host)).starts_with("ok"));
}

#[test]
fn links_and_directories_above_count() {
    let unit = "/etc/systemd/system/x.service";
    let units = "only_root: {path: /etc/systemd/system}";
    let host = Host::new()
        .link(unit, "/home/bob/x.service")
        .dir_as("/home/bob", 0o755, "bob", "bob")
        .file_as("/home/bob/x.service", "", 0o644, "bob", "bob");
    // Neither bob's home nor his file is taken from him.
    let by_hand =
        format!("by hand: remove the link {unit}, or move what it leads to where only root writes");
    let said = words(&judge(units, &host));
    assert_eq!(said.matches(&by_hand).count(), 2, "{said}");
    // A link to nothing, where bob may make it.
    let host = Host::new()
        .link(unit, "/home/bob/none")
        .dir_as("/home/bob", 0o755, "bob", "bob");
    assert!(words(&judge(units, &host)).contains("owner bob"));
    // A link into a package's directory is as good as the file there.
    let packaged = "/usr/lib/systemd/system/x.service";
    let host = Host::new()
        .link(unit, packaged)
        .file_as(packaged, "", 0o644, "bob", "root");
    let after = check(
        units,
        &host,
        &format!("drift: owner bob, wanted {WANTED} @ {packaged}"),
    );
    assert_eq!(after.nodes[&path(packaged)].owner, "root");
    let Judgement::Drift(drifts) = judge(units, &host) else {
        panic!("a drift");
    };
    let note = format!(
        "{unit} leads here; somebody else than root may have changed what it says: read it"
    );
    assert_eq!(drifts[0].note, Some(note));
    // A masked unit is a link to a device.
    let mut host = Host::new().link(unit, "/dev/null").file("/dev/null", "");
    let null = host.nodes.get_mut(&path("/dev/null")).expect("made above");
    (null.file_type, null.mode) = (model::value::FileType::Other, 0o666);
    assert!(words(&judge(units, &host)).starts_with("ok"));
    // The directory above it.
    let host = Host::new()
        .file("/etc/pam.d/su", "")
        .dir_as("/etc", 0o757, "root", "root");
    let after = check(
        PAM,
        &host,
        &format!("drift: everyone may write, wanted {WANTED} @ /etc"),
    );
    assert_eq!(after.nodes[&path("/etc")].mode, 0o755);
    // With the sticky bit, nobody removes what is root's.
    let host = Host::new()
        .file("/var/tmp/x/y", "")
        .dir_as("/var/tmp", 0o1777, "root", "root");
    assert!(words(&judge("only_root: {path: /var/tmp/x}", &host)).starts_with("ok"));
    // But anyone adds names.
    let said = words(&judge("only_root: {path: /var/tmp}", &host));
    assert!(said.contains("everyone may write"), "{said}");
}

#[test]
fn host_keys_are_those_that_sshd_names() {
    let want = "only_root: {read_by: sshd_host_keys, readers: []}";
    let host = Host::new()
        .file("/etc/ssh/sshd_config", "HostKey /srv/k/key\n")
        .file_as("/srv/k/key", "k", 0o644, "bob", "bob");
    let after = check(
        want,
        &host,
        "drift: owner bob, group bob may read, everyone may read, wanted only root may change it, \
         only root may read it \
        @ /srv/k/key",
    );
    let node = &after.nodes[&path("/srv/k/key")];
    assert_eq!((node.mode, &*node.owner), (0o600, "root"));
    // Without a line the names of sshd_config(5) are meant.
    let host = Host::new().file("/etc/ssh/sshd_config", "").file_as(
        "/etc/ssh/ssh_host_ed25519_key",
        "k",
        0o640,
        "root",
        "daemon",
    );
    let said = words(&judge(want, &host));
    assert!(said.contains("group daemon may read"), "{said}");
    // A public key beside it is for all to read.
    let host = host.file("/etc/ssh/ssh_host_ed25519_key.pub", "k");
    let public = "only_root: {read_by: sshd_public_keys}";
    assert!(words(&judge(public, &host)).starts_with("ok"));
}

#[test]
fn logs_are_read_by_those_who_are_meant_to() {
    let want = "only_root: {path: /var/log, names: [auth.log*], writers: [syslog], readers: [adm]}";
    let log = "/var/log/auth.log.1";
    let host = |mode, owner: &str, group: &str| {
        with_groups(
            Host::new().file_as(log, "", mode, owner, group),
            &[("root", 0, &[]), ("adm", 4, &["li"])],
        )
    };
    for good in [
        host(0o640, "root", "adm"),
        host(0o660, "syslog", "syslog"),
        host(0o600, "root", "root"),
    ] {
        assert!(words(&judge(want, &good)).starts_with("ok"));
    }
    for (bad, observed, after) in [
        (
            host(0o666, "root", "adm"),
            "group adm may write, everyone may write, everyone may read",
            (0o640, "root", "adm"),
        ),
        (
            host(0o640, "bob", "adm"),
            "owner bob",
            (0o640, "root", "adm"),
        ),
        (
            host(0o640, "root", "users"),
            "group users may read",
            (0o640, "root", "adm"),
        ),
    ] {
        let said = words(&judge(want, &bad));
        assert!(said.contains(observed), "{said}");
        let mended = crate::support::fix(want, &bad).1;
        let node = &mended.nodes[&path(log)];
        assert_eq!((node.mode, &*node.owner, &*node.group), after);
    }
    // No log, and nothing to say.
    let none = Host::new().dir("/var/log");
    assert_eq!(words(&judge(want, &none)), "n/a: there is no /var/log");
    // auditd's log, where its configuration has it.
    let audit = "only_root: {read_by: audit_log, readers: [adm]}";
    let conf = "log_file = /var/log/audit2/audit.log\nlog_group = staff\n";
    let host = Host::new().file("/etc/audit/auditd.conf", conf).file_as(
        "/var/log/audit2/audit.log",
        "",
        0o640,
        "root",
        "staff",
    );
    assert!(words(&judge(audit, &host)).starts_with("ok"));
    let host = host.file_as("/var/log/audit2/audit.log.2", "", 0o666, "bob", "bob");
    let said = words(&judge(audit, &host));
    assert!(said.contains("owner bob"), "{said}");
}

#[test]
fn what_could_not_be_looked_at_is_no_pass() {
    let probe = Probe::Writers {
        path: path("/etc/pam.d"),
        below: true,
    };
    let host = Host::new().cannot_tell(probe, Reason::NeedsRoot);
    assert!(words(&judge(PAM, &host)).starts_with("unknown"));
    // An include that is not understood hides files.
    let host = Host::new().file("/etc/rsyslog.conf", "include(text=\"x\")\n");
    assert!(words(&judge("only_root: {read_by: rsyslog}", &host)).starts_with("unknown"));
    assert!(words(&judge(PAM, &Host::new())).starts_with("n/a"));
}

#[test]
fn declarations_that_say_nothing_are_refused() {
    refused("only_root: {}", "say exactly one of `path` and `read_by`");
    refused(
        "only_root: {read_by: sudo, names: run_parts}",
        "`names` and `below` go with `path`",
    );
    refused(
        "only_root: {path: /etc/x, names: [a/b]}",
        "`a/b` is not the name of a file",
    );
}

/// A job or a unit of root that starts what somebody else may write to.
#[test]
fn programs_that_root_starts_by_itself() {
    let cron = "only_root: {read_by: cron_commands}";
    let units = "only_root: {read_by: unit_commands}";
    let base = || {
        Host::new()
            .file("/usr/local/bin/fine", "")
            .file_as("/usr/local/bin/job", "", 0o755, "li", "li")
            .dir_as("/home/li", 0o755, "li", "li")
            .file("/home/li/app/run", "")
            .dir("/etc/cron.d")
            .dir("/etc/systemd/system")
    };
    for (command, is_wrong) in [
        ("/usr/local/bin/fine --all", false),
        ("/usr/local/bin/job", true),
        ("[ -x /usr/local/bin/job ] && /usr/local/bin/fine", false),
        ("nice -n 10 /usr/local/bin/job -v >/dev/null 2>&1", true),
        ("A=1 flock -n /run/lock /usr/local/bin/job", true),
        ("cd /home/li/app && ./run", true),
        ("bash -lc '/usr/local/bin/job x'", true),
        ("python3 /home/li/app/run", true),
        ("/usr/local/bin/fine /usr/local/bin/job", false),
        ("if true; then /usr/local/bin/job; fi", true),
        ("run-parts --report /home/li/app", true),
        ("flock -w 10 /run/lock /usr/local/bin/job", true),
        ("flock -n /run/lock -c '/usr/local/bin/job -v'", true),
        ("timeout -s KILL 60 /usr/local/bin/job", true),
        ("env -u LANG /usr/local/bin/job", true),
        ("sudo -u root /usr/local/bin/job", true),
        ("runuser -u root -- /usr/local/bin/job", true),
        ("su -c '/usr/local/bin/job x'", true),
        ("/bin/sh -c 'cd /home/li/app && ./run'", true),
        (
            "/bin/bash -euo pipefail -c \"cd /home/li/app; exec ./run\"",
            true,
        ),
        ("systemd-run --unit a -p Nice=5 /usr/local/bin/job", true),
        ("chrt -i 0 taskset -c 0 /usr/local/bin/job", true),
        ("flock -w 10 /usr/local/bin/job /usr/local/bin/fine", false),
        ("sudo -u li /usr/local/bin/job", false),
        ("runuser -u li -- /usr/local/bin/job", false),
        ("su li -c '/usr/local/bin/job; /usr/local/bin/job'", false),
        ("systemd-run --uid=li /usr/local/bin/job", false),
        ("xargs -a /usr/local/bin/job /usr/local/bin/fine", false),
        ("/bin/sh -c 'echo /usr/local/bin/job'", false),
        ("/bin/sh -c '/usr/local/bin/fine' /usr/local/bin/job", false),
        ("timeout 5 /usr/local/bin/fine /usr/local/bin/job", false),
        ("command -v /usr/local/bin/job", false),
    ] {
        let line = format!("# x\nMAILTO=root\n*/5 * * * * root {command}\n");
        let said = words(&judge(cron, &base().file("/etc/cron.d/j", &line)));
        assert_eq!(said.starts_with("drift"), is_wrong, "{command}: {said}");
        let unit = format!("[Service]\nExecStart={command}\n");
        let host = base().file("/etc/systemd/system/a.service", &unit);
        if !command.contains(['[', ';', '&']) && !command.starts_with("A=") {
            let said = words(&judge(units, &host));
            assert_eq!(said.starts_with("drift"), is_wrong, "{command}: {said}");
        }
    }
    for (file, text, is_wrong) in [
        ("/etc/crontab", "@daily root /usr/local/bin/job\n", true),
        ("/etc/crontab", "@daily li /usr/local/bin/job\n", false),
        (
            "/etc/crontab",
            "PATH=/home/li:/usr/bin\n@daily root job\n",
            true,
        ),
        // What runs each command, and where a name is searched for.
        (
            "/etc/cron.d/a",
            "SHELL=/usr/local/bin/job\n@daily root fine\n",
            true,
        ),
        (
            "/etc/cron.d/a",
            "SHELL = \"/usr/local/bin/fine\"\n@daily root fine\n",
            false,
        ),
        (
            "/etc/cron.d/a",
            "PATH=/usr/local/bin:/usr/bin\n@daily root job --all\n",
            true,
        ),
        (
            "/etc/cron.d/a",
            "PATH=/usr/local/bin:/usr/bin\n@daily root fine job\n",
            false,
        ),
        ("/etc/cron.d/a", "@daily root job\n", false),
        // What is not there is whose it is who makes it.
        ("/etc/cron.d/a", "@daily root /home/li/none\n", true),
        ("/etc/cron.d/a", "@daily root /usr/local/bin/none\n", false),
        (
            "/etc/cron.d/a.bak",
            "@daily root /usr/local/bin/job\n",
            false,
        ),
        (
            "/var/spool/cron/crontabs/root",
            "0 4 * * 1 /usr/local/bin/job%input\n",
            true,
        ),
        (
            "/var/spool/cron/crontabs/root",
            "0 4 * * 1 /usr/local/bin/fine%/usr/local/bin/job\n",
            false,
        ),
        (
            "/var/spool/cron/crontabs/root",
            "0 4 * * 1 date +\\%F >/run/day; /usr/local/bin/job\n",
            true,
        ),
    ] {
        let said = words(&judge(cron, &base().file(file, text)));
        assert_eq!(said.starts_with("drift"), is_wrong, "{text}: {said}");
    }
    let vendor = "/usr/lib/systemd/system/v.service";
    let drop_in = "/etc/systemd/system/v.service.d/x.conf";
    for (main, more, is_wrong) in [
        (
            "ExecStart=/usr/local/bin/fine",
            "ExecStartPost=/usr/local/bin/job",
            true,
        ),
        (
            "User=li\nExecStart=/usr/local/bin/fine",
            "ExecStop=/usr/local/bin/job",
            false,
        ),
        (
            "User=li\nExecStart=/usr/local/bin/fine",
            "ExecStop=-+/usr/local/bin/job",
            true,
        ),
        (
            "ExecStart=/usr/local/bin/job",
            "ExecStart=\nExecStart=/usr/local/bin/fine",
            false,
        ),
        ("User=li\nExecStart=/usr/local/bin/job", "User=root", true),
        (
            "DynamicUser=yes\nExecStart=/usr/local/bin/job",
            "Nice=1",
            false,
        ),
        // `User` is about the main process alone.
        (
            "User=li\nExecStart=/usr/local/bin/fine\nExecStartPre=/usr/local/bin/job",
            "PermissionsStartOnly=True",
            true,
        ),
        (
            "User=li\nExecStart=/usr/local/bin/job",
            "PermissionsStartOnly=yes",
            false,
        ),
        // Where a command begins.
        (
            "WorkingDirectory=-/home/li/app\nExecStart=/usr/bin/python3 run",
            "Nice=1",
            true,
        ),
        (
            "WorkingDirectory=/home/li/app\nExecStart=/usr/bin/python3 run",
            "WorkingDirectory=~",
            false,
        ),
        (
            "ExecStart=@/bin/sh shell -c 'cd /home/li/app && ./run'",
            "Nice=1",
            true,
        ),
        // The variables of what runs as root.
        (
            "ExecStart=/usr/local/bin/fine",
            "EnvironmentFile=-/home/li/app/env",
            true,
        ),
        (
            "ExecStart=/usr/local/bin/fine",
            "EnvironmentFile=/home/li/*.env",
            true,
        ),
        (
            "ExecStart=/usr/local/bin/fine\nEnvironmentFile=/home/li/env",
            "EnvironmentFile=",
            false,
        ),
        (
            "User=li\nExecStart=/usr/local/bin/fine",
            "EnvironmentFile=/home/li/env",
            false,
        ),
        (
            "User=li\nExecStart=/usr/local/bin/fine\nExecStop=+/usr/local/bin/fine",
            "EnvironmentFile=/home/li/env",
            true,
        ),
    ] {
        let host = base()
            .file(vendor, &format!("[Service]\n{main}\n"))
            .file(drop_in, &format!("[Service]\n{more}\n"));
        let said = words(&judge(units, &host));
        assert_eq!(said.starts_with("drift"), is_wrong, "{main} {more}: {said}");
    }
    for (lines, is_wrong) in [
        ("ListenStream=1\nExecStartPost=/usr/local/bin/job", true),
        ("ListenStream=1\nExecStopPre=/usr/local/bin/job", true),
        ("User=li\nExecStartPost=/usr/local/bin/job", false),
        ("ListenStream=1\nExecStartPost=/usr/local/bin/fine", false),
    ] {
        let unit = format!("[Service]\nExecStart=/usr/local/bin/job\n[Socket]\n{lines}\n");
        let host = base().file("/etc/systemd/system/a.socket", &unit);
        let said = words(&judge(units, &host));
        assert_eq!(said.starts_with("drift"), is_wrong, "{lines}: {said}");
    }
    // A unit that is linked from elsewhere, and one of a package that is enabled.
    let unit = "[Service]\nExecStart=/usr/local/bin/job\n";
    for target in ["/opt/app/app.service", vendor] {
        let host = base()
            .file(target, unit)
            .link("/etc/systemd/system/app.service", target);
        let said = words(&judge(units, &host));
        assert!(said.starts_with("drift"), "{target}: {said}");
    }
    // What is masked starts nothing, and a drop-in may be for every service.
    let host = base()
        .file(vendor, unit)
        .link("/etc/systemd/system/v.service", "/dev/null");
    let said = words(&judge(units, &host));
    assert!(!said.starts_with("drift"), "{said}");
    let host = base().file(
        "/etc/systemd/system/service.d/all.conf",
        "[Service]\nExecStartPre=/usr/local/bin/job\n",
    );
    assert!(words(&judge(units, &host)).starts_with("drift"));
    // A name without a path is searched for.
    let host = base()
        .file("/usr/bin/tool", "")
        .file(vendor, "[Service]\nExecStart=tool --all\n");
    assert!(words(&judge(units, &host)).starts_with("ok"));
    let host = host.dir_as("/usr/local/bin", 0o775, "root", "li");
    assert!(words(&judge(units, &host)).starts_with("drift"));
    // What lies in a home is not given to root.
    let host = base().file("/etc/crontab", "@daily root /home/li/app/run\n");
    let said = words(&judge(cron, &host));
    assert!(said.contains("by hand: move it from /home/li"), "{said}");
}

#[test]
fn programs_that_udev_and_the_bus_start() {
    let base = || {
        Host::new()
            .file("/usr/lib/udev/fine_id", "")
            .file_as("/usr/lib/udev/site_id", "", 0o755, "li", "li")
            .file_as("/usr/local/bin/job", "", 0o755, "li", "li")
    };
    let udev = "only_root: {read_by: udev_commands}";
    for (rule, is_wrong) in [
        // As Debian has them.
        (
            r#"KERNEL=="sd*", IMPORT{program}="fine_id --export $devnode""#,
            false,
        ),
        (
            r#"ACTION=="remove", ENV{REMOVE_CMD}!="", RUN+="$env{REMOVE_CMD}""#,
            false,
        ),
        (
            r#"SUBSYSTEM=="module", RUN{builtin}+="kmod load /usr/local/bin/job""#,
            false,
        ),
        (
            r#"KERNEL=="sd*", PROGRAM=="site_id -u", SYMLINK+="x""#,
            true,
        ),
        (r#"ACTION=="add", RUN+="/usr/local/bin/job $name""#, true),
        (
            r#"ACTION=="add", RUN{program}+="/bin/sh -c '/usr/local/bin/job %k'""#,
            true,
        ),
        ("ACTION==\"add\", \\\n  RUN+=\"/usr/local/bin/job\"", true),
        (r#"# RUN+="/usr/local/bin/job""#, false),
    ] {
        let host = base().file("/etc/udev/rules.d/60-site.rules", rule);
        let said = words(&judge(udev, &host));
        assert_eq!(said.starts_with("drift"), is_wrong, "{rule}: {said}");
    }
    let host = base()
        .file(
            "/usr/lib/udev/rules.d/60-a.rules",
            r#"RUN+="/usr/local/bin/job""#,
        )
        .file("/etc/udev/rules.d/60-a.rules", "");
    assert!(!words(&judge(udev, &host)).starts_with("drift"));
    let bus = "only_root: {read_by: dbus_commands}";
    for (lines, is_wrong) in [
        ("Exec=/usr/local/bin/job\nUser=root", true),
        ("Exec=/usr/local/bin/job\nUser=li", false),
        (
            "Exec=/usr/local/bin/job\nUser=root\nSystemdService=x.service",
            false,
        ),
        ("Exec=/bin/false\nUser=root", false),
    ] {
        let text = format!("[D-BUS Service]\nName=org.example.x\n{lines}\n");
        let host = base().file("/usr/share/dbus-1/system-services/x.service", &text);
        let said = words(&judge(bus, &host));
        assert_eq!(said.starts_with("drift"), is_wrong, "{lines}: {said}");
    }
}

#[test]
fn programs_that_rules_of_sudo_have_run_as_root() {
    let sudo = "only_root: {read_by: sudo_commands}";
    let base = || {
        Host::new()
            .file("/usr/local/bin/fine", "")
            .file_as("/usr/local/bin/job", "", 0o755, "li", "li")
            .dir_as("/home/li", 0o755, "li", "li")
            .file("/home/li/run", "")
            .dir("/opt/jobs")
            .file("/opt/jobs/a", "")
            .file_as("/opt/jobs/b.sh", "", 0o755, "li", "li")
            .dir("/usr/bin")
            .file("/usr/bin/bash", "")
            .dir("/etc/sudoers.d")
    };
    for (rule, is_wrong) in [
        ("li ALL=(root) NOPASSWD: /usr/local/bin/job", true),
        ("li ALL=/usr/local/bin/job -v", true),
        ("li ALL=(ALL) /home/li/run", true),
        (
            "%ops ALL=(root) /usr/local/bin/fine /usr/local/bin/job",
            false,
        ),
        ("li ALL=(games) NOPASSWD: /usr/local/bin/job", false),
        ("li ALL=(ALL) ALL", false),
        ("li ALL=(root) ALL, !/usr/local/bin/job", false),
        ("li ALL=(root) sudoedit /home/li/run", false),
        ("li ALL=(root) /usr/bin/bash /usr/local/bin/job *", true),
        ("li ALL=(root) /usr/bin/bash /opt/jobs/a", false),
        (
            "Cmnd_Alias J = /usr/local/bin/fine, /usr/local/bin/job\nli ALL = J",
            true,
        ),
        // Which files these are is looked up, and who could add one.
        ("li ALL=(root) /opt/jobs/*.sh", true),
        ("li ALL=(root) /opt/jobs/[ab]", false),
        ("li ALL=(root) /opt/jobs/", true),
        ("li ALL=(root) /home/*/run", true),
        ("li ALL=(root) /home/li/none-*", true),
        ("li ALL=(root) /home/li/none", true),
        ("li ALL=(root) /opt/jobs/none", false),
        // So are regular expressions.
        ("li ALL=(root) ^/opt/jobs/.*$", true),
        ("li ALL=(root) ^/opt/jobs/[ab](\\.sh)?$", true),
        ("li ALL=(root) ^/opt/jobs/[a]$", false),
        ("li ALL=(root) ^/opt/(jobs|x)/(a|b\\.sh)$ -v", true),
        ("li ALL=(root) ^/opt/jobs/(a|c)$", false),
        ("li ALL=(root) ^/usr/local/bin/job$", true),
        ("li ALL=(root) ^/usr/bin/ba.*$", false),
        ("li ALL=(root) ^/home/li/[a-z]+$", true),
        // Another root directory, and where a command begins.
        ("li ALL=(root) CHROOT=/home/li NOPASSWD: /run", true),
        ("li ALL=(root) CHROOT=/opt /jobs/a", false),
        ("li ALL=(root) CHROOT=/opt /jobs/b.sh", true),
        ("Defaults runchroot=/home/li\nli ALL=(root) /run", true),
        ("li ALL=(root) CWD=/opt/jobs /usr/bin/bash b.sh", true),
        ("li ALL=(root) CWD=/opt/jobs /usr/bin/bash a", false),
        ("li ALL=(root) /usr/bin/python3.13 /opt/jobs/b.sh", true),
        ("li ALL=(root) /usr/bin/bash ^/opt/jobs/b\\.sh$", true),
        // Another account than root, where nothing is said.
        (
            "Defaults runas_default=games\nli ALL=/usr/local/bin/job",
            false,
        ),
        (
            "Defaults runas_default=games\nli ALL=(root) /usr/local/bin/job",
            true,
        ),
    ] {
        let host = base().file("/etc/sudoers", &format!("{rule}\n"));
        let said = words(&judge(sudo, &host));
        assert_eq!(said.starts_with("drift"), is_wrong, "{rule}: {said}");
    }
}

/// A library, a module of PAM or a program that somebody else owns is theirs, wherever the
/// configuration that leads to it is root's.
#[test]
fn libraries_and_modules_themselves_count() {
    let base = || {
        Host::new()
            .file("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
            .file(
                "/etc/ld.so.conf.d/x.conf",
                "/usr/local/lib/x86_64-linux-gnu\n/lib/x86_64-linux-gnu\n/opt/app/lib\n",
            )
            .file("/etc/pam.d/common-auth", "auth required pam_unix.so\n")
            .dir("/usr/lib/x86_64-linux-gnu")
            .file("/usr/lib/x86_64-linux-gnu/libc.so.6", "")
            .dir("/usr/local/lib")
            .dir("/opt/app/lib")
            .file("/opt/app/lib/liba.so", "")
            .file("/usr/lib/x86_64-linux-gnu/security/pam_permit.so", "")
    };
    let (loader, pam) = ("only_root: {read_by: loader}", "only_root: {read_by: pam}");
    assert!(words(&judge(loader, &base())).starts_with("ok"));
    assert!(words(&judge(pam, &base())).starts_with("ok"));
    for (want, file, is_wrong) in [
        (loader, "/usr/lib/x86_64-linux-gnu/libz.so.1.3", true),
        (loader, "/usr/lib/x86_64-linux-gnu/libz.so", true),
        (loader, "/usr/local/lib/libq.so", true),
        (loader, "/usr/lib/ld-linux.so.2", true),
        (loader, "/opt/app/lib/libb.so.1", true),
        (loader, "/usr/lib/x86_64-linux-gnu/x.socket", false),
        (loader, "/usr/local/lib/notes.txt", false),
        (pam, "/usr/lib/x86_64-linux-gnu/security/pam_unix.so", true),
        (pam, "/usr/lib/x86_64-linux-gnu/libz.so.1", false),
        (
            "only_root: {path: /usr/bin, writers: [daemon]}",
            "/usr/bin/ls",
            true,
        ),
    ] {
        let host = base().file_as(file, "", 0o644, "bob", "root");
        let said = words(&judge(want, &host));
        assert_eq!(said.starts_with("drift"), is_wrong, "{file}: {said}");
    }
    let host = base().dir_as("/usr/lib/x86_64-linux-gnu/security", 0o755, "bob", "root");
    assert!(words(&judge(pam, &host)).starts_with("drift"));
}
