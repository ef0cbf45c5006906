//! `sudo_limit`, `sudo_rule`, `sudo_defaults`, and the reader of sudoers(5) below them.

use model::value::Reason;
use model::{HostPath, Probe};
use proptest::prelude::*;
use resource::Judgement;
use resource::kind::sudoers::{self, AliasKind, Sudoers};

use crate::support::{Host, check, fix, observe, refused, resource, words};

pub const DEBIAN: &str = "\
# This file MUST be edited with the 'visudo' command as root.
Defaults\tenv_reset
Defaults\tmail_badpass
Defaults\tsecure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"
Defaults\tuse_pty

# User privilege specification
root\tALL=(ALL:ALL) ALL

# Allow members of group sudo to execute any command
%sudo\tALL=(ALL:ALL) ALL

@includedir /etc/sudoers.d
";

fn debian(drop_ins: &[(&str, &str)]) -> Host {
    let host = Host::new().file_as("/etc/sudoers", DEBIAN, 0o440, "root", "root");
    drop_ins
        .iter()
        .fold(host.dir("/etc/sudoers.d"), |host, (name, content)| {
            host.file_as(
                &format!("/etc/sudoers.d/{name}"),
                content,
                0o440,
                "root",
                "root",
            )
        })
}

const NO_PASSWORDLESS: &str = "sudo_limit: {forbid: passwordless_everything}";

fn parsed(text: &str) -> Sudoers {
    let host = Host::new().file("/etc/sudoers", text);
    sudoers::read(&observe(&resource(NO_PASSWORDLESS), &host)).0
}

#[test]
fn anything_without_a_password_is_found_and_the_tag_taken_away() {
    let host = debian(&[(
        "deploy",
        "# CI\ndeploy ALL=(ALL:ALL)  NOPASSWD: ALL # until May\n",
    )]);
    let after = check(
        NO_PASSWORDLESS,
        &host,
        "drift: `deploy` may run anything as root without a password, \
         wanted a password for rights without limit @ /etc/sudoers.d/deploy:2",
    );
    assert_eq!(
        after.content("/etc/sudoers.d/deploy").as_deref(),
        Some("# CI\ndeploy ALL=(ALL:ALL)  ALL # until May\n")
    );
}

#[test]
fn who_may_run_anything_without_a_password() {
    for (line, expected) in [
        ("deploy ALL=(ALL) ALL", None),
        ("root ALL=(ALL) NOPASSWD: ALL", None),
        ("deploy ALL=(postgres) NOPASSWD: ALL", None),
        ("deploy ALL=NOPASSWD:ALL", Some("`deploy`")),
        ("deploy ALL=(root) NOPASSWD : ALL", Some("`deploy`")),
        (
            "%ops, ana ALL=(ALL) NOPASSWD: /bin/true, ALL",
            Some("members of `ops`, `ana`"),
        ),
        ("ALL ALL=(ALL) NOPASSWD: ALL", Some("everyone")),
        ("#1000 ALL=(ALL) NOPASSWD: ALL", Some("`#1000`")),
        ("deploy ALL=(ALL) NOPASSWD: /bin/true, PASSWD: ALL", None),
        (
            "deploy ALL=(ALL) NOEXEC: NOPASSWD: SETENV: ALL",
            Some("`deploy`"),
        ),
        ("deploy ALL=(ALL) CWD=/srv NOPASSWD: ALL", Some("`deploy`")),
        (
            "deploy A=(ALL) ALL : B=(ALL) NOPASSWD: ALL",
            Some("`deploy`"),
        ),
        ("deploy ALL=(!root) NOPASSWD: ALL", None),
        ("deploy ALL=(ALL, !root) NOPASSWD: ALL", None),
        ("deploy ALL=(:adm) NOPASSWD: ALL", None),
        (
            "User_Alias OPS = ana, %ops\nOPS ALL=(ALL) NOPASSWD: ALL",
            Some("`ana`, members of `ops`"),
        ),
        (
            "Cmnd_Alias EVERY = /bin/true, ALL\ndeploy ALL=(ALL) NOPASSWD: EVERY",
            Some("`deploy`"),
        ),
        (
            "Runas_Alias DB = postgres\ndeploy ALL=(DB) NOPASSWD: ALL",
            None,
        ),
        ("deploy ALL=(ALL) \\\n  NOPASSWD: ALL", Some("`deploy`")),
        (
            "deploy ALL=(ALL) NOPASSWD: sha224:0GomF8mNN3wlDt1HD9XldjJ3SNgpFdbjO1+NsQ== /bin/ls",
            None,
        ),
        ("deploy ALL=(ALL) NOPASSWD: /bin/echo ALL", None),
        // The last match wins.
        ("deploy ALL=(ALL) NOPASSWD: ALL\ndeploy ALL=(ALL) ALL", None),
        (
            "deploy ALL=(ALL) ALL\ndeploy ALL=(ALL) NOPASSWD: ALL",
            Some("`deploy`"),
        ),
        ("deploy ALL=(ALL) NOPASSWD: ALL, !ALL", None),
        ("deploy ALL=(ALL) NOPASSWD: /bin/sh, !/bin/sh", None),
        (
            "deploy ALL=(ALL) NOPASSWD: ALL\ndeploy ALL=(ALL) !ALL",
            None,
        ),
        (
            "Cmnd_Alias NONE = ALL, !ALL\ndeploy ALL=(ALL) NOPASSWD: NONE",
            None,
        ),
        ("deploy ALL=(ALL) NOPASSWD: !ALL, ALL", Some("`deploy`")),
        (
            "deploy ALL=(ALL) NOPASSWD: ALL, sha224:0GomF8mNN3wlDt1HD9XldjJ3SNgpFdbjO1+NsQ== !ALL",
            Some("`deploy`"),
        ),
        ("deploy ALL=(ALL) NOPASSWD: ALL, !/bin/sh", Some("`deploy`")),
        (
            "deploy ALL=(ALL) NOPASSWD: ALL, (postgres) !ALL",
            Some("`deploy`"),
        ),
        (
            "deploy ALL=(ALL) NOPASSWD: ALL\nana ALL=(ALL) !ALL",
            Some("`deploy`"),
        ),
    ] {
        let (said, _) = fix(NO_PASSWORDLESS, &debian(&[("x", &format!("{line}\n"))]));
        match expected {
            None => assert_eq!(said, "ok: no such rule", "{line}"),
            Some(who) => assert!(
                said.starts_with(&format!("drift: {who} may run anything as root without")),
                "{line}: {said}"
            ),
        }
    }
}

#[test]
fn exceptions_are_left_alone() {
    check(
        "sudo_limit: {forbid: passwordless_everything, except: ['%ops']}",
        &debian(&[("x", "%ops ALL=(ALL) NOPASSWD: ALL\n")]),
        "ok: no such rule",
    );
}

#[test]
fn a_tag_on_a_continued_line_is_taken_from_there() {
    let after = check(
        "sudo_limit: {forbid: passwordless}",
        &debian(&[(
            "x",
            "ana ALL=(root) \\\n    NOPASSWD: /bin/a, \\\n    /bin/b, \\\n    PASSWD: /bin/c\n",
        )]),
        "drift: `ana` may run commands without a password, \
         wanted a password for every command @ /etc/sudoers.d/x:2",
    );
    assert_eq!(
        after.content("/etc/sudoers.d/x").as_deref(),
        Some("ana ALL=(root) \\\n    /bin/a, \\\n    /bin/b, \\\n    PASSWD: /bin/c\n")
    );
}

#[test]
fn no_authentication() {
    for (line, who, left) in [
        ("Defaults !authenticate", "everyone", ""),
        ("Defaults:deploy !authenticate", "`deploy`", ""),
        (
            "Defaults env_reset, !authenticate, use_pty",
            "everyone",
            "Defaults env_reset, use_pty\n",
        ),
        (
            "Defaults insults,!authenticate # why",
            "everyone",
            "Defaults insults # why\n",
        ),
        ("Defaults>root !authenticate", "some uses", ""),
    ] {
        let host = debian(&[("x", &format!("{line}\n"))]);
        let (said, after) = fix("sudo_limit: {forbid: no_authentication}", &host);
        assert_eq!(
            said,
            format!(
                "drift: no password is asked of {who}, wanted sudo asks for a password @ /etc/sudoers.d/x:1"
            ),
        );
        assert_eq!(
            after.content("/etc/sudoers.d/x").as_deref(),
            Some(left),
            "{line}"
        );
    }
}

/// `sudo -n id` with the first of these: a password is required.
#[test]
fn the_last_setting_for_authentication_wins() {
    let judged = |text: &str, expected: &str| {
        let host = debian(&[("x", text)]);
        check("sudo_limit: {forbid: no_authentication}", &host, expected);
    };
    judged(
        "Defaults !authenticate\nDefaults authenticate\n",
        "ok: no such rule",
    );
    judged(
        "Defaults authenticate\nDefaults !authenticate\n",
        "drift: no password is asked of everyone, wanted sudo asks for a password @ /etc/sudoers.d/x:2",
    );
    // What holds for one user is not overruled by what holds for everyone.
    judged(
        "Defaults:deploy !authenticate\nDefaults authenticate\n",
        "drift: no password is asked of `deploy`, wanted sudo asks for a password @ /etc/sudoers.d/x:1",
    );
}

#[test]
fn rights_for_everyone_and_lists_of_exclusions_are_for_people() {
    check(
        "sudo_limit: {forbid: everything_for_everyone}",
        &debian(&[("x", "ALL ALL=(ALL) ALL\n")]),
        "drift: everyone may run anything as root, \
         wanted rights without limit for named people or groups only @ /etc/sudoers.d/x:1 \
         (by hand: name the people or the group that this rule is meant for)",
    );
    check(
        "sudo_limit: {forbid: exclusions}",
        &debian(&[(
            "x",
            "ana ALL=(ALL) ALL, !/bin/sh\nli ALL=(ALL) /bin/a, !/bin/a -x\n",
        )]),
        "drift: `ana` may run everything but `/bin/sh`, \
         wanted a list of what is allowed, not of what is not @ /etc/sudoers.d/x:1 \
         (by hand: list the commands that are needed, instead of those that are not allowed)",
    );
}

#[test]
fn what_is_not_understood_is_never_harmless() {
    let path: HostPath = "/etc/sudoers.d/x".parse().expect("a path");
    check(
        NO_PASSWORDLESS,
        &debian(&[("x", "")]).cannot_tell(Probe::file(path), Reason::NeedsRoot),
        "unknown: needs root: run with sudo",
    );
    check(
        NO_PASSWORDLESS,
        &debian(&[("x", "deploy ALL ALL\n")]),
        "unknown: /etc/sudoers.d/x:1: `=` is missing",
    );
    check(
        NO_PASSWORDLESS,
        &Host::new(),
        "n/a: there is no /etc/sudoers",
    );
    // Names that sudo passes over.
    check(
        NO_PASSWORDLESS,
        &debian(&[
            ("x.bak", "a ALL=NOPASSWD: ALL\n"),
            ("y~", "a ALL=NOPASSWD: ALL\n"),
        ]),
        "ok: no such rule",
    );
}

#[test]
fn includes_are_followed() {
    let host = Host::new()
        .file("/etc/sudoers", "#include more\n#includedir /etc/other\n")
        .file("/etc/more", "User_Alias A = deploy\n")
        .file("/etc/other/a", "A ALL=(ALL) NOPASSWD: ALL\n");
    check(
        NO_PASSWORDLESS,
        &host,
        "drift: `deploy` may run anything as root without a password, \
         wanted a password for rights without limit @ /etc/other/a:1",
    );
}

#[test]
fn aliases_expand_with_their_negations() {
    let sudoers = parsed("User_Alias A = ana, !li : B = A, %ops\nB ALL = /bin/x, !C\n");
    let grant = sudoers.grants().next().expect("one rule");
    let users: Vec<(bool, String)> = sudoers
        .expand(AliasKind::User, &grant.users)
        .into_iter()
        .map(|member| (member.negated, member.name))
        .collect();
    assert_eq!(
        users,
        [
            (false, "ana".to_owned()),
            (true, "li".to_owned()),
            (false, "%ops".to_owned())
        ]
    );
    // An alias that holds itself does not hang.
    parsed("User_Alias A = A, B : B = A\nA ALL = ALL\n");
}

#[test]
fn a_rule_has_a_file_of_its_own() {
    let yaml = "sudo_rule: {name: deploy, user: deploy, commands: [/usr/bin/systemctl restart app], nopasswd: true}";
    let after = check(
        yaml,
        &debian(&[]),
        "drift: absent, wanted deploy ALL=(root) NOPASSWD: /usr/bin/systemctl restart app",
    );
    let node = &after.nodes[&"/etc/sudoers.d/deploy".parse::<HostPath>().expect("a path")];
    assert_eq!(node.mode, 0o440);
    let loose = debian(&[]).file_as(
        "/etc/sudoers.d/deploy",
        "deploy ALL=(root) NOPASSWD: /usr/bin/systemctl restart app\n",
        0o664,
        "deploy",
        "root",
    );
    check(
        yaml,
        &loose,
        "drift: mode 0664, owner deploy, wanted deploy ALL=(root) NOPASSWD: /usr/bin/systemctl restart app \
         @ /etc/sudoers.d/deploy",
    );
    let after = check(
        "sudo_rule: {name: deploy, absent: true}",
        &loose,
        "drift: there, wanted absent @ /etc/sudoers.d/deploy",
    );
    assert_eq!(after.content("/etc/sudoers.d/deploy"), None);
    let (said, _) = fix(
        "sudo_rule: {name: ops, group: ops, commands: [ALL], run_as: ALL}",
        &Host::new().file("/etc/sudoers", "root ALL=(ALL) ALL\n"),
    );
    assert!(said.contains("does not include /etc/sudoers.d"), "{said}");
}

#[test]
fn the_last_setting_wins() {
    let pty = "sudo_defaults: {option: use_pty, value: true}";
    check(pty, &debian(&[]), "ok: true @ /etc/sudoers:5");
    check(
        pty,
        &debian(&[("90-x", "Defaults !use_pty\n")]),
        "drift: false, wanted true @ /etc/sudoers.d/90-x:1",
    );
    let (_, after) = fix(
        pty,
        &debian(&[("90-x", "Defaults insults, !use_pty # why\n")]),
    );
    assert_eq!(
        after.content("/etc/sudoers.d/90-x").as_deref(),
        Some("Defaults insults, use_pty # why\n")
    );
    check(
        pty,
        &debian(&[("90-x", "Defaults:bob !use_pty\n")]),
        "drift: false, wanted true @ /etc/sudoers.d/90-x:1",
    );
}

#[test]
fn a_new_setting_goes_to_our_drop_in() {
    let after = check(
        "sudo_defaults: {option: logfile, value: /var/log/sudo.log}",
        &debian(&[]),
        "drift: not set, wanted /var/log/sudo.log",
    );
    let node = &after.nodes[&sudoers::OURS.parse::<HostPath>().expect("a path")];
    assert_eq!(node.content, b"Defaults logfile=/var/log/sudo.log\n");
    assert_eq!(node.mode, 0o440);
    // In the distribution's file: overruled, not edited.
    let host = Host::new()
        .file(
            "/etc/sudoers",
            "Defaults timestamp_timeout=60\n@includedir /etc/sudoers.d\n",
        )
        .dir("/etc/sudoers.d");
    let after = check(
        "sudo_defaults: {option: timestamp_timeout, value: {from: 0, to: 15, set: 5}}",
        &host,
        "drift: 60, wanted 0 to 15 @ /etc/sudoers:1",
    );
    assert_eq!(
        after.content(sudoers::OURS).as_deref(),
        Some("Defaults timestamp_timeout=5\n")
    );
    check(
        "sudo_defaults: {option: timestamp_timeout, value: {from: 0, to: 15, set: 5}}",
        &debian(&[]),
        "ok: 15",
    );
    // Without an include, in the file itself.
    let host = Host::new().file("/etc/sudoers", "root ALL=(ALL) ALL");
    let after = check(
        "sudo_defaults: {option: use_pty}",
        &host,
        "drift: not set, wanted true",
    );
    assert_eq!(
        after.content("/etc/sudoers").as_deref(),
        Some("root ALL=(ALL) ALL\nDefaults use_pty\n")
    );
}

#[test]
fn several_fixes_of_one_line_fold() {
    let mut host = debian(&[(
        "x",
        "Defaults !use_pty, !env_reset, !authenticate # why\n\
         a A=(ALL) NOPASSWD: ALL : B=(ALL) NOPASSWD: ALL\n",
    )]);
    let all = [
        "sudo_defaults: {option: use_pty}",
        "sudo_defaults: {option: env_reset}",
        "sudo_limit: {forbid: no_authentication}",
        NO_PASSWORDLESS,
    ];
    let before = host.clone();
    for yaml in all {
        let Judgement::Drift(drifts) = crate::support::judge(yaml, &before) else {
            panic!("{yaml}: a drift");
        };
        for drift in drifts {
            host.apply(&drift.edits);
        }
    }
    assert_eq!(
        host.content("/etc/sudoers.d/x").as_deref(),
        Some("Defaults use_pty, env_reset # why\na A=(ALL) ALL : B=(ALL) ALL\n")
    );
    for yaml in all {
        assert!(matches!(
            crate::support::judge(yaml, &host),
            Judgement::Compliant { .. }
        ));
    }
}

#[test]
fn mistakes_are_refused_at_load() {
    for (yaml, why) in [
        (
            "sudo_rule: {name: a.b, user: x, commands: [ALL]}",
            "a rule's name has letters, digits, `-` and `_` only",
        ),
        (
            "sudo_rule: {name: a, user: x, group: y, commands: [ALL]}",
            "say exactly one of `user` and `group`",
        ),
        (
            "sudo_rule: {name: a, user: x, commands: [systemctl]}",
            "`systemctl` is not an absolute command, nor `ALL`",
        ),
        (
            "sudo_rule: {name: a, user: 'x ALL=ALL\n', commands: [ALL]}",
            "`x ALL=ALL ` is not an account's name",
        ),
        (
            "sudo_defaults: {option: use-pty}",
            "`use-pty` is not a setting of sudoers(5)",
        ),
        (
            "sudo_defaults: {option: passwd_tries, value: {at_most: 3, set: 5}}",
            "`set` does not satisfy the expectation itself",
        ),
    ] {
        refused(yaml, why);
    }
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("# a comment \\".to_owned()),
        Just(String::new()),
        Just("Defaults env_reset, use_pty".to_owned()),
        Just("%ops ALL=(root) NOPASSWD: /bin/x".to_owned()),
        "(ana|li|%ops) ALL ?= ?\\((ALL|root)\\) (NOPASSWD: ?)?(ALL|/bin/a, ALL|ALL, /bin/b)( # x)?",
        Just("ana ALL=(ALL) \\\n  NOPASSWD: ALL".to_owned()),
    ]
}

proptest! {
    /// After the fix there is no such rule (`fix` demands it), and nothing but tags is gone.
    #[test]
    fn a_fix_takes_away_tags_only(lines in prop::collection::vec(line(), 0..8)) {
        let text = lines.join("\n");
        let host = debian(&[("x", &text)]);
        let (said, after) = fix(NO_PASSWORDLESS, &host);
        let squeezed = |host: &Host| {
            let text = host.content("/etc/sudoers.d/x").unwrap_or_default();
            text.replace("NOPASSWD:", "").split_whitespace().collect::<String>()
        };
        prop_assert_eq!(squeezed(&host), squeezed(&after), "{}", said);
    }

    #[test]
    fn any_text_is_survived(text in "(?s).{0,200}", odd in "(ALL|=|\\(|\\)|:|,|!|\"|\\\\|#1| |\n|Defaults|NOPASSWD:|User_Alias|@include x){0,24}") {
        for text in [text, odd] {
            let host = Host::new().file("/etc/sudoers", &text);
            let answers = observe(&resource(NO_PASSWORDLESS), &host);
            let judgement = resource(NO_PASSWORDLESS).judge(&answers);
            prop_assert!(!words(&judgement).is_empty());
            if let Judgement::Drift(drifts) = judgement {
                let mut after = host.clone();
                for drift in drifts {
                    after.apply(&drift.edits);
                }
            }
        }
    }
}

/// Some programs run whatever they are told: who may start one as root may do anything.
#[test]
fn a_rule_that_reaches_anything_without_saying_all() {
    for (command, through) in [
        ("^/.*$", Some("/usr/bin/adduser")),
        ("^/usr/bin/(less|more)$", Some("/usr/bin/less")),
        ("/usr/bin/*, /usr/sbin/*", Some("/usr/bin/adduser")),
        ("/bin/", Some("/bin/adduser")),
        ("/bin/sh, /usr/bin/su", Some("/bin/sh")),
        ("/bin/sh -c *", Some("/bin/sh")),
        ("/usr/bin/s[uh]", Some("/usr/bin/sh")),
        ("/usr/bin/find *", Some("/usr/bin/find")),
        ("sudoedit", Some("sudoedit")),
        ("sudoedit /etc/*", Some("sudoedit /etc/sudoers")),
        // `*` matches blanks, and so more options (sudoers(5)).
        ("/usr/bin/find /srv -name x*", Some("/usr/bin/find")),
        ("/usr/bin/tar -cf /srv/b.tar *", Some("/usr/bin/tar")),
        ("/usr/bin/tar ^-xf .*$", Some("/usr/bin/tar")),
        // Editors and pagers start a shell whatever they show.
        ("/usr/bin/vim /etc/motd", Some("/usr/bin/vim")),
        ("/usr/bin/less /etc/motd", Some("/usr/bin/less")),
        ("/usr/bin/less /var/log/*", Some("/usr/bin/less")),
        // Of root's password, of capabilities and ACLs, and with a file or a hook of the caller's.
        ("/usr/bin/passwd", Some("/usr/bin/passwd")),
        ("/usr/bin/passwd [A-Za-z]*", Some("/usr/bin/passwd")),
        ("/usr/bin/passwd bob", None),
        ("/usr/sbin/setcap", Some("/usr/sbin/setcap")),
        ("/usr/bin/setfacl", Some("/usr/bin/setfacl")),
        ("/usr/bin/certbot", Some("/usr/bin/certbot")),
        ("/usr/bin/certbot renew", None),
        ("/usr/sbin/nginx", Some("/usr/sbin/nginx")),
        ("/usr/sbin/nginx -s reload", None),
        ("/usr/sbin/needrestart", Some("/usr/sbin/needrestart")),
        ("/usr/sbin/iptables", Some("/usr/sbin/iptables")),
        ("/usr/bin/dmesg", Some("/usr/bin/dmesg")),
        // What another program starts.
        ("/usr/bin/nice -n 5 /bin/bash", Some("/bin/bash")),
        ("/usr/bin/nice -n 5 /opt/job *", None),
        ("/usr/bin/flock /run/job.lock /opt/job", None),
        ("/usr/bin/stdbuf -o0 /bin/sh", Some("/bin/sh")),
        ("/usr/bin/chrt 1 /bin/sh", Some("/bin/sh")),
        ("/usr/bin/taskset 1 /bin/sh", Some("/bin/sh")),
        ("/usr/bin/setarch -R /bin/sh", Some("/bin/sh")),
        ("/usr/sbin/logsave /x /bin/sh", Some("/bin/sh")),
        ("/usr/sbin/logsave /var/log/x /opt/job", None),
        ("/usr/bin/ip netns exec *", Some("/usr/bin/ip")),
        ("/usr/sbin/ip -all netns exec /bin/sh", Some("/bin/sh")),
        ("/usr/sbin/ip netns exec blue /bin/sh", Some("/bin/sh")),
        ("/usr/sbin/ip -b /srv/x", Some("/usr/sbin/ip")),
        ("/usr/sbin/ip *", Some("/usr/sbin/ip")),
        ("/usr/sbin/ip", Some("/usr/sbin/ip")),
        ("/usr/sbin/ip netns exec blue /opt/job", None),
        ("/usr/sbin/ip link set *", None),
        ("/usr/sbin/ip addr", None),
        // Editors, pagers and prompts within.
        ("/usr/bin/crontab -e", Some("/usr/bin/crontab")),
        ("/usr/bin/crontab -l", None),
        ("/usr/bin/systemctl edit x", Some("/usr/bin/systemctl")),
        ("/usr/bin/systemctl *", Some("/usr/bin/systemctl")),
        ("/usr/bin/systemctl enable *", Some("/usr/bin/systemctl")),
        ("/usr/bin/systemctl enable nginx", None),
        ("/usr/bin/git log", Some("/usr/bin/git")),
        ("/usr/bin/git -C /srv/app log", Some("/usr/bin/git")),
        ("/usr/bin/git -C /srv/app pull", None),
        ("/usr/bin/mysql", Some("/usr/bin/mysql")),
        ("/usr/bin/mysql app", Some("/usr/bin/mysql")),
        ("/usr/bin/mysql -e FLUSH app", None),
        ("/usr/bin/psql", Some("/usr/bin/psql")),
        ("/usr/bin/psql --list", None),
        ("/usr/bin/busctl *", Some("/usr/bin/busctl")),
        ("/usr/bin/ssh *", Some("/usr/bin/ssh")),
        ("/usr/bin/ssh backup.example /opt/job", None),
        ("/usr/bin/make *", Some("/usr/bin/make")),
        ("/usr/bin/make install", Some("/usr/bin/make")),
        ("/usr/bin/make -C /srv/app install", None),
        ("/usr/bin/pip install *", Some("/usr/bin/pip")),
        ("/usr/bin/zip *", Some("/usr/bin/zip")),
        ("/usr/bin/tcpdump *", Some("/usr/bin/tcpdump")),
        ("/usr/bin/tcpdump -i eth0 -c 10", None),
        ("/usr/sbin/service * restart", Some("/usr/sbin/service")),
        ("/usr/sbin/service nginx *", None),
        ("/usr/bin/docker buildx *", Some("/usr/bin/docker")),
        ("/usr/bin/docker image *", Some("/usr/bin/docker")),
        ("/usr/bin/docker service *", Some("/usr/bin/docker")),
        ("/usr/bin/podman kube *", Some("/usr/bin/podman")),
        ("/usr/bin/docker logs *", None),
        ("/usr/bin/docker restart *", None),
        ("/usr/bin/docker exec *", Some("/usr/bin/docker")),
        ("/usr/bin/find /srv -name x", None),
        ("/usr/bin/tar -cf /srv/b.tar /srv/data", None),
        ("/usr/bin/systemctl restart app-*", None),
        ("/bin/sh /opt/backup.sh", None),
        ("/usr/bin/systemctl restart nginx", None),
        ("/usr/bin/apt-get update", None),
        ("/opt/app/bin/*", None),
        ("^/opt/app/[a-z]+$", None),
        ("sudoedit /etc/motd", None),
        ("!/bin/sh", None),
        // In one step, as the usual lists have it.
        (
            "/lib64/ld-linux-x86-64.so.2 /usr/bin/bash",
            Some("/usr/bin/bash"),
        ),
        (
            "/lib64/ld-linux-x86-64.so.2",
            Some("/lib64/ld-linux-x86-64.so.2"),
        ),
        ("/usr/bin/prlimit", Some("/usr/bin/prlimit")),
        ("/usr/bin/prlimit --nofile=9 /opt/job", None),
        ("/usr/sbin/modprobe", Some("/usr/sbin/modprobe")),
        ("/usr/sbin/modprobe wireguard", None),
        ("/usr/bin/sort", Some("/usr/bin/sort")),
        ("/usr/bin/gpasswd *", Some("/usr/bin/gpasswd")),
        ("/usr/bin/journalctl", Some("/usr/bin/journalctl")),
        ("/usr/bin/wg-quick up *", Some("/usr/bin/wg-quick")),
        ("/usr/sbin/sshd -f *", Some("/usr/sbin/sshd")),
        ("/usr/bin/python3.13", Some("/usr/bin/python3.13")),
        ("/usr/bin/php8.4 *", Some("/usr/bin/php8.4")),
        ("/usr/bin/perl5.36.0", Some("/usr/bin/perl5.36.0")),
        ("/usr/bin/python3.13 /opt/job", None),
        ("CHROOT=* /opt/job", Some("CHROOT=*")),
        ("/usr/bin/cat /var/log/app.log", None),
        // No argument is allowed.
        ("/usr/bin/find \"\"", None),
        ("/usr/bin/apt-get ^$", None),
        ("/bin/sh \"\"", Some("/bin/sh")),
        ("/usr/bin/python3 \"\"", Some("/usr/bin/python3")),
        ("/usr/bin/passwd \"\"", Some("/usr/bin/passwd")),
    ] {
        let line = format!("li ALL=(ALL) NOPASSWD: {command}\n");
        let (said, _) = fix(NO_PASSWORDLESS, &debian(&[("x", &line)]));
        match through {
            None => assert_eq!(said, "ok: no such rule", "{command}"),
            Some(through) => assert!(
                said.starts_with(&format!(
                    "drift: `li` may run {through}, and so anything, as root without"
                )),
                "{command}: {said}"
            ),
        }
    }
    check(
        NO_PASSWORDLESS,
        &debian(&[("x", "li ALL=(ALL) NOPASSWD: ^/usr/bin/(?!a)$\n")]),
        "unknown: /etc/sudoers.d/x:1: a regular expression is not understood",
    );
    let after = check(
        NO_PASSWORDLESS,
        &debian(&[("x", "li ALL=(ALL) NOPASSWD: /bin/sh\n")]),
        "drift: `li` may run /bin/sh, and so anything, as root without a password, \
         wanted a password for rights without limit @ /etc/sudoers.d/x:1",
    );
    assert_eq!(
        after.content("/etc/sudoers.d/x").as_deref(),
        Some("li ALL=(ALL) /bin/sh\n")
    );
    let everyone = "sudo_limit: {forbid: everything_for_everyone}";
    let (said, _) = fix(everyone, &debian(&[("x", "ALL ALL=(ALL) /usr/bin/vim\n")]));
    assert!(
        said.starts_with("drift: everyone may run /usr/bin/vim, and so anything, as root,"),
        "{said}"
    );
}

#[test]
fn a_rule_of_another_host_gives_nothing_here() {
    for (hosts, is_here) in [
        ("otherhost", false),
        ("otherhost.example.com, third", false),
        ("web1", true),
        ("WEB1.example.com", true),
        ("web*", true),
        ("10.0.0.0/8", true),
        ("+web", true),
        ("otherhost, ALL", true),
        ("!otherhost", false),
    ] {
        let line = format!("li {hosts}=(ALL) NOPASSWD: ALL\n");
        let host = debian(&[("x", &line)]).sysctl("kernel.hostname", "web1\n");
        let (said, _) = fix(NO_PASSWORDLESS, &host);
        assert_eq!(said != "ok: no such rule", is_here, "{hosts}: {said}");
        // Where the name is not known, each rule counts.
        let (said, _) = fix(NO_PASSWORDLESS, &debian(&[("x", &line)]));
        assert_ne!(said, "ok: no such rule", "{hosts}");
    }
}

#[test]
fn a_group_that_is_asked_for_nothing() {
    let yaml = "sudo_limit: {forbid: no_authentication}";
    let after = check(
        yaml,
        &debian(&[(
            "x",
            "Defaults insults, exempt_group=ops\nli ALL=(ALL) ALL\n",
        )]),
        "drift: no password is asked of members of `ops`, \
         wanted sudo asks for a password @ /etc/sudoers.d/x:1",
    );
    assert_eq!(
        after.content("/etc/sudoers.d/x").as_deref(),
        Some("Defaults insults\nli ALL=(ALL) ALL\n")
    );
    check(
        yaml,
        &debian(&[("x", "Defaults exempt_group=ops\nDefaults !exempt_group\n")]),
        "ok: no such rule",
    );
}

#[test]
fn variables_that_decide_which_code_runs() {
    let yaml = "sudo_limit: {forbid: code_variables}";
    for (text, bad, left) in [
        ("Defaults env_keep += \"*\"\n", "*", ""),
        (
            "Defaults env_keep += \"LANG PYTHONPATH PERL5LIB\"\n",
            "PYTHONPATH PERL5LIB",
            "Defaults env_keep += \"LANG\"\n",
        ),
        ("Defaults env_keep = LD_*\n", "LD_*", "Defaults !env_keep\n"),
        (
            "Defaults:li insults, env_keep+=RUBYOPT\n",
            "RUBYOPT",
            "Defaults:li insults\n",
        ),
    ] {
        let after = check(
            yaml,
            &debian(&[("x", text)]),
            &format!(
                "drift: `{bad}` of the caller in env_keep, \
                 wanted a clean environment for every command @ /etc/sudoers.d/x:1"
            ),
        );
        assert_eq!(after.content("/etc/sudoers.d/x").as_deref(), Some(left));
    }
    check(
        yaml,
        &debian(&[("x", "Defaults setenv\n")]),
        "drift: the caller chooses the variables of commands, \
         wanted a clean environment for every command @ /etc/sudoers.d/x:1",
    );
    check(
        yaml,
        &debian(&[("x", "li ALL=(ALL) SETENV: /opt/a\n")]),
        "drift: `li` may choose the variables of `/opt/a`, \
         wanted a clean environment for every command @ /etc/sudoers.d/x:1 \
         (by hand: take the `SETENV:` tag away with visudo)",
    );
    for text in [
        "Defaults env_keep += \"LANG LC_* SSH_AUTH_SOCK EDITOR\"\n",
        "Defaults env_keep += PYTHONPATH\nDefaults env_keep -= PYTHONPATH\n",
        "Defaults env_keep += PYTHONPATH\nDefaults !env_keep\n",
        "Defaults setenv\nDefaults !setenv\n",
        "li ALL=(ALL) SETENV: ALL\n",
        "li ALL=(ALL) SETENV: NOSETENV: /opt/a\n",
    ] {
        check(yaml, &debian(&[("x", text)]), "ok: no such rule");
    }
}

/// sudoers(5): an integer in a boolean context.
#[test]
fn a_number_that_is_negated_is_zero() {
    check(
        "sudo_defaults: {option: timestamp_timeout, value: {from: 0, to: 15, set: 15}}",
        &debian(&[("x", "Defaults !timestamp_timeout\n")]),
        "ok: 0 @ /etc/sudoers.d/x:1",
    );
}
