//! `user`, `group`, `accounts_where`.

use model::AccountOp;
use model::value::{AccountSeen, AccountsSeen, Ageing, GroupSeen, PasswordSeen};

use crate::support::{Host, check, refused};

/// Accounts from lines `name:password:uid:gid:home:shell`, where the password is `set`,
/// `none`, `empty`, `unknown` or a scheme.
pub fn passwd(lines: &[&str]) -> Vec<AccountSeen> {
    (1..)
        .zip(lines)
        .map(|(line, text)| {
            let fields: Vec<&str> = text.split(':').collect();
            let [name, password, uid, gid, home, shell] = fields[..] else {
                panic!("{text}: six fields");
            };
            AccountSeen {
                name: name.to_owned(),
                line,
                uid: uid.parse().expect("a uid"),
                gid: gid.parse().expect("a gid"),
                comment: String::new(),
                home: home.to_owned(),
                shell: shell.to_owned(),
                password: match password {
                    "none" => PasswordSeen::None,
                    "empty" => PasswordSeen::Empty,
                    "unknown" => PasswordSeen::Unknown,
                    "set" => scheme("y"),
                    other => scheme(other),
                },
                ageing: (password != "unknown").then(|| Ageing {
                    max_days: Some(99_999),
                    min_days: Some(0),
                    ..Ageing::default()
                }),
            }
        })
        .collect()
}

fn scheme(name: &str) -> PasswordSeen {
    PasswordSeen::Set {
        scheme: name.to_owned(),
    }
}

/// Groups from lines `name:gid:members`.
pub fn groups(lines: &[&str]) -> Vec<GroupSeen> {
    (1..)
        .zip(lines)
        .map(|(line, text)| {
            let fields: Vec<&str> = text.split(':').collect();
            let [name, gid, members] = fields[..] else {
                panic!("{text}: three fields");
            };
            GroupSeen {
                name: name.to_owned(),
                line,
                gid: gid.parse().expect("a gid"),
                members: members
                    .split(',')
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect(),
            }
        })
        .collect()
}

pub fn host(accounts: &[&str], group_lines: &[&str]) -> Host {
    Host {
        accounts: Some(AccountsSeen {
            accounts: passwd(accounts),
            groups: groups(group_lines),
            other_sources: Vec::new(),
            malformed: Vec::new(),
            shadow_unknown: None,
        }),
        ..Host::new()
    }
}

fn usual() -> Host {
    host(
        &[
            "root:set:0:0:/root:/bin/bash",
            "daemon:none:1:1:/usr/sbin:/usr/sbin/nologin",
            "sync:none:4:65534:/bin:/bin/sync",
            "ana:set:1000:1000:/home/ana:/bin/bash",
        ],
        &[
            "root:0:",
            "daemon:1:",
            "sudo:27:ana",
            "nogroup:65534:",
            "ana:1000:",
        ],
    )
}

fn with_sources(mut host: Host) -> Host {
    host.accounts.as_mut().expect("accounts").other_sources = vec!["sss".to_owned()];
    host
}

/// What `host` does to the account files.
pub fn act(accounts: &mut AccountsSeen, op: &AccountOp) {
    let find = |accounts: &mut AccountsSeen, name: &str| {
        let found = accounts.accounts.iter().position(|seen| seen.name == name);
        found.unwrap_or_else(|| panic!("{name} is no account"))
    };
    match op {
        AccountOp::CreateUser {
            name,
            uid,
            group,
            home,
            shell,
            system,
            ..
        } => {
            let uid = uid.unwrap_or(if *system { 900 } else { 2000 });
            let gid = match group {
                Some(group) => {
                    accounts
                        .groups
                        .iter()
                        .find(|seen| seen.name == *group)
                        .expect("the primary group is there")
                        .gid
                }
                None => {
                    act(
                        accounts,
                        &AccountOp::CreateGroup {
                            name: name.clone(),
                            gid: Some(uid),
                            system: *system,
                        },
                    );
                    uid
                }
            };
            let line = format!("{name}:none:{uid}:{gid}:{home}:{shell}");
            let mut new = passwd(&[&line]);
            new[0].line = u32::try_from(accounts.accounts.len() + 1).expect("few accounts");
            accounts.accounts.append(&mut new);
        }
        AccountOp::RemoveUser { name } => accounts.accounts.retain(|seen| seen.name != *name),
        AccountOp::CreateGroup { name, gid, .. } => {
            let line = format!("{name}:{}:", gid.unwrap_or(2000));
            accounts.groups.append(&mut groups(&[&line]));
        }
        AccountOp::RemoveGroup { name } => accounts.groups.retain(|seen| seen.name != *name),
        AccountOp::SetShell { name, shell } => {
            let at = find(accounts, name);
            accounts.accounts[at].shell.clone_from(shell);
        }
        AccountOp::LockPassword { name } => {
            let at = find(accounts, name);
            accounts.accounts[at].password = PasswordSeen::None;
        }
        AccountOp::SetUid { name, uid } => {
            let at = find(accounts, name);
            accounts.accounts[at].uid = *uid;
        }
        AccountOp::SetAgeing {
            name,
            min_days,
            max_days,
            warn_days,
            inactive_days,
        } => {
            let at = find(accounts, name);
            let ageing = accounts.accounts[at].ageing.get_or_insert_default();
            ageing.min_days = min_days.or(ageing.min_days);
            ageing.max_days = max_days.or(ageing.max_days);
            ageing.warn_days = warn_days.or(ageing.warn_days);
            ageing.inactive_days = inactive_days.or(ageing.inactive_days);
        }
        AccountOp::AddMember { group, user } => {
            let found = accounts.groups.iter_mut().find(|seen| seen.name == *group);
            found
                .expect("the group is there")
                .members
                .push(user.clone());
        }
        AccountOp::RemoveMember { group, user } => {
            let found = accounts.groups.iter_mut().find(|seen| seen.name == *group);
            let members = &mut found.expect("the group is there").members;
            members.retain(|member| member != user);
        }
    }
}

#[test]
fn users() {
    for (yaml, expected) in [
        ("{name: ana}", "ok: uid 1000 @ /etc/passwd:4"),
        ("{name: bob, absent: true}", "ok: absent"),
        (
            "{name: bob, groups: [sudo], max_days: {at_most: 365, set: 365}}",
            "drift: absent, wanted an account",
        ),
        (
            "{name: app, system: true, home: /srv/app}",
            "drift: absent, wanted an account",
        ),
        (
            "{name: bob, group: sudo, uid: 1500}",
            "drift: absent, wanted an account",
        ),
        (
            "{name: ana, absent: true}",
            "drift: there, uid 1000, wanted absent @ /etc/passwd:4",
        ),
        (
            "{name: ana, uid: 1200}",
            "drift: uid 1000, wanted uid 1200 @ /etc/passwd:4",
        ),
        (
            "{name: ana, shell: /bin/sh, groups: [sudo, ana]}",
            "drift: shell /bin/bash, wanted shell /bin/sh @ /etc/passwd:4",
        ),
        (
            "{name: ana, groups: [daemon]}",
            "drift: not in group daemon, wanted in group daemon @ /etc/passwd:4",
        ),
        (
            "{name: ana, locked: true}",
            "drift: a password, wanted no password @ /etc/passwd:4",
        ),
        ("{name: daemon, locked: true}", "ok: uid 1 @ /etc/passwd:2"),
        (
            "{name: daemon, locked: false}",
            "drift: no password, wanted a password @ /etc/passwd:2 (by hand: passwd daemon)",
        ),
        (
            "{name: ana, max_days: {from: 1, to: 365, set: 365}}",
            "drift: max_days 99999, wanted max_days 1 to 365 @ /etc/passwd:4",
        ),
        (
            "{name: ana, inactive_days: 30, min_days: 0}",
            "drift: inactive_days not set, wanted inactive_days 30 @ /etc/passwd:4",
        ),
        (
            "{name: ana, home: /srv/ana}",
            "drift: home /home/ana, wanted home /srv/ana @ /etc/passwd:4 (by hand: usermod --move-home --home /srv/ana ana)",
        ),
        (
            "{name: ana, group: sudo}",
            "drift: primary gid 1000, wanted primary group sudo @ /etc/passwd:4 (by hand: usermod --gid sudo ana)",
        ),
    ] {
        check(&format!("user: {yaml}"), &usual(), expected);
    }
}

#[test]
fn what_another_source_may_know_is_unknown() {
    let expected = "unknown: `bob` is not in this host's files, and sss may know it";
    for yaml in [
        "user: {name: bob}",
        "user: {name: bob, absent: true}",
        "group: {name: bob}",
    ] {
        check(yaml, &with_sources(usual()), expected);
    }
    check(
        "user: {name: ana}",
        &with_sources(usual()),
        "ok: uid 1000 @ /etc/passwd:4",
    );
    check(
        "user: {name: ana}",
        &Host::new(),
        "unknown: not part of this case",
    );
    let unread = host(&["ana:unknown:1000:1000:/home/ana:/bin/bash"], &[]);
    check(
        "user: {name: ana, locked: true}",
        &unread,
        "unknown: needs root: run with sudo",
    );
    check(
        "user: {name: ana, min_days: 1}",
        &unread,
        "unknown: needs root: run with sudo",
    );
}

#[test]
fn groups_and_their_members() {
    for (yaml, expected) in [
        ("{name: sudo}", "ok: gid 27 @ /etc/group:3"),
        ("{name: sudo, members: [ana]}", "ok: gid 27 @ /etc/group:3"),
        (
            "{name: sudo, members: []}",
            "drift: members ana, wanted no members @ /etc/group:3",
        ),
        (
            "{name: sudo, members: [li]}",
            "drift: members ana, wanted members li @ /etc/group:3",
        ),
        (
            "{name: ops, members: [ana]}",
            "drift: absent, wanted a group",
        ),
        (
            "{name: sudo, absent: true}",
            "drift: there, gid 27, wanted absent @ /etc/group:3",
        ),
        (
            "{name: ana, absent: true}",
            "drift: there, gid 1000, wanted absent @ /etc/group:5 (by hand: it is the primary group of `ana`: change that first)",
        ),
        (
            "{name: sudo, gid: 100}",
            "drift: gid 27, wanted gid 100 @ /etc/group:3 (by hand: groupmod --gid 100 sudo, then change the files that carry the old number)",
        ),
    ] {
        check(&format!("group: {yaml}"), &usual(), expected);
    }
}

/// `usermod -g shadow bob`: bob reads what the group reads, though no list names him.
#[test]
fn a_primary_group_is_membership() {
    let host = host(
        &[
            "root:set:0:0:/root:/bin/bash",
            "bob:set:1000:42:/home/bob:/bin/bash",
        ],
        &["root:0:", "shadow:42:"],
    );
    for (yaml, expected) in [
        (
            "{name: shadow, members: []}",
            "drift: it is the primary group of `bob`, wanted no members @ /etc/passwd:2 (by hand: give the account another primary group: usermod --gid GROUP bob)",
        ),
        (
            "{name: shadow, members: [bob]}",
            "ok: gid 42 @ /etc/group:2",
        ),
        ("{name: root, members: []}", "ok: gid 0 @ /etc/group:1"),
    ] {
        check(&format!("group: {yaml}"), &host, expected);
    }
}

#[test]
fn mistakes_are_refused_at_load() {
    for (yaml, why) in [
        (
            "user: {name: 'a:b'}",
            "`a:b` is not a name of an account or a group",
        ),
        (
            "user: {name: a, shell: bash}",
            "a shell is an absolute path",
        ),
        (
            "user: {name: a, comment: 'a:b'}",
            "a field of passwd(5) holds no `:` and no line break",
        ),
        (
            "user: {name: a, max_days: soon}",
            "`max_days` is a number of days",
        ),
        (
            "user: {name: root, absent: true}",
            "a host without root does not start",
        ),
        (
            "group: {name: -x}",
            "`-x` is not a name of an account or a group",
        ),
    ] {
        refused(yaml, why);
    }
}

#[test]
fn no_account_is_in_such_a_state() {
    for test in [
        "empty_password",
        "uid_zero_not_root",
        "duplicate_uid",
        "duplicate_gid",
        "duplicate_name",
        "duplicate_group_name",
        "system_with_shell",
        "system_with_password",
        "weak_hash",
        "missing_group",
        "malformed",
    ] {
        check(
            &format!("accounts_where: {{test: {test}}}"),
            &usual(),
            "ok: none",
        );
    }
}

#[test]
fn each_account_in_such_a_state_is_named() {
    for (test, account, expected) in [
        (
            "empty_password",
            "bob:empty:1001:0:/x:/bin/sh",
            "`bob` has an empty password, wanted no empty password",
        ),
        (
            "system_with_shell",
            "db:none:105:0:/x:/bin/bash",
            "`db` has the shell /bin/bash, wanted no login shell",
        ),
        (
            "system_with_shell",
            "db:none:105:0:/x:",
            "`db` has the shell /bin/sh (an empty field), wanted no login shell",
        ),
        (
            "system_with_password",
            "db:set:105:0:/x:/bin/false",
            "`db` is a system account with a password, wanted no password",
        ),
    ] {
        let host = host(&["root:set:0:0:/root:/bin/bash", account], &["root:0:"]);
        check(
            &format!("accounts_where: {{test: {test}}}"),
            &host,
            &format!("drift: {expected} @ /etc/passwd:2"),
        );
    }
    for (test, account, expected) in [
        (
            "uid_zero_not_root",
            "toor:set:0:0:/x:/bin/sh",
            "`toor` has uid 0, wanted root alone has uid 0 @ /etc/passwd:2 (by hand: give it an id of its own, or remove it)",
        ),
        (
            "duplicate_uid",
            "toor:set:0:0:/x:/bin/sh",
            "`toor` has the uid 0 of `root`, wanted an id for each @ /etc/passwd:2 @ /etc/passwd:1 (by hand: give each its own)",
        ),
        (
            "duplicate_name",
            "root:set:5:0:/x:/bin/sh",
            "`root` is there twice, wanted a name for each @ /etc/passwd:2 @ /etc/passwd:1 (by hand: give each its own)",
        ),
        (
            "weak_hash",
            "bob:1:1001:0:/x:/bin/sh",
            "`bob` has a password hash of scheme `1`, wanted a slow hash @ /etc/passwd:2 (by hand: have its owner set a new password)",
        ),
        (
            "weak_hash",
            "bob:des:1001:0:/x:/bin/sh",
            "`bob` has a password hash of scheme `des`, wanted a slow hash @ /etc/passwd:2 (by hand: have its owner set a new password)",
        ),
        (
            "missing_group",
            "bob:none:1001:77:/x:/bin/sh",
            "`bob` has the primary gid 77, which is no group, wanted a group that exists @ /etc/passwd:2 (by hand: make the group, or give the account another one)",
        ),
    ] {
        let host = host(&["root:set:0:0:/root:/bin/bash", account], &["root:0:"]);
        check(
            &format!("accounts_where: {{test: {test}}}"),
            &host,
            &format!("drift: {expected}"),
        );
        let name = account.split(':').next().expect("a name");
        check(
            &format!("accounts_where: {{test: {test}, except: [{name}]}}"),
            &host,
            "ok: none",
        );
    }
}

#[test]
fn login_defs_says_where_people_begin() {
    let host = host(&["db:none:600:0:/x:/bin/sh"], &["root:0:"]);
    let people = host.file("/etc/login.defs", "# UID_MIN 1\nUID_MIN\t\t  500\n");
    check(
        "accounts_where: {test: system_with_shell}",
        &people,
        "ok: none",
    );
}

/// With another shell, `su postgres -c` and every job and backup behind it ends.
#[test]
fn shells_that_packages_mean_are_left() {
    let all = |lines: &[&str]| {
        host(
            &[&["root:set:0:0:/root:/bin/bash"], lines].concat(),
            &["root:0:"],
        )
    };
    let test = "accounts_where: {test: system_with_shell}";
    let meant = all(&[
        "postgres:none:108:115:/var/lib/postgresql:/bin/bash",
        "svc:none:109:116:/srv/git:/usr/bin/git-shell",
    ]);
    check(test, &meant, "ok: none");
    let ours = all(&["backup:none:34:34:/var/backups:/bin/sh"]);
    check(
        "accounts_where: {test: system_with_shell, except: [backup]}",
        &ours,
        "ok: none",
    );
    // Another home, or another shell, is not the package's.
    for line in [
        "postgres:none:108:115:/tmp:/bin/bash",
        "postgres:none:108:115:/var/lib/postgresql:/bin/zsh",
    ] {
        let shell = line.rsplit(':').next().unwrap_or_default();
        let expected = format!(
            "drift: `postgres` has the shell {shell}, wanted no login shell @ /etc/passwd:2"
        );
        check(test, &all(&[line]), &expected);
    }
}

/// A shell that somebody works with is taken away with a word of it.
#[test]
fn work_that_ends_with_a_shell_is_said() {
    let mut host = host(
        &[
            "root:set:0:0:/root:/bin/bash",
            "svc:none:109:116:/srv/x:/bin/sh",
        ],
        &["root:0:"],
    );
    let test = "accounts_where: {test: system_with_shell}";
    let note = |host: &Host| match crate::support::judge(test, host) {
        resource::Judgement::Drift(drifts) => drifts[0].note.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(note(&host), None);
    let busy = model::value::ActivitySeen {
        runs: true,
        has_crontab: true,
        signed_in: false,
    };
    host.activity.insert("svc".to_owned(), busy);
    assert_eq!(
        note(&host).as_deref(),
        Some(
            "somebody works as `svc` (processes run as it, it has a crontab), \
             and that may end with the shell"
        )
    );
}

#[test]
fn homes() {
    let host = host(
        &[
            "root:set:0:0:/root:/bin/bash",
            "ana:set:1000:1000:/home/ana:/bin/bash",
            "bob:set:1001:1001:/home/bob:/bin/bash",
            "www:none:33:33:/nowhere:/usr/sbin/nologin",
        ],
        &["root:0:"],
    )
    .dir_as("/root", 0o700, "root", "root")
    .dir_as("/home/ana", 0o775, "root", "root");
    check(
        "accounts_where: {test: home_missing}",
        &host,
        "drift: `bob` has the home /home/bob, which is not there, wanted a home directory \
         @ /etc/passwd:3 (by hand: make the directory, or take the login shell away)",
    );
    let at_root = crate::accounts::host(&["bob:set:1001:1001:/:/bin/bash"], &["bob:1001:"]);
    check(
        "accounts_where: {test: home_missing}",
        &at_root,
        "drift: `bob` has the root directory as its home, wanted a home directory \
         @ /etc/passwd:1 (by hand: give it a directory, or take the login shell away)",
    );
    let after = check(
        "accounts_where: {test: home_writable}",
        &host,
        "drift: `ana` has the home /home/ana with mode 0775, \
         wanted a home that its owner alone may write @ /etc/passwd:2",
    );
    assert_eq!(
        after.nodes[&"/home/ana".parse().expect("a path")].mode,
        0o755
    );
    check(
        "accounts_where: {test: home_owner}",
        &host,
        "drift: `ana` has the home /home/ana of root, wanted a home of its own @ /etc/passwd:2",
    );
}

#[test]
fn hashes_that_were_not_read_are_no_pass() {
    let unread = host(
        &["ana:unknown:1000:1000:/home/ana:/bin/bash"],
        &["ana:1000:"],
    );
    for test in ["empty_password", "weak_hash", "system_with_password"] {
        check(
            &format!("accounts_where: {{test: {test}}}"),
            &unread,
            "unknown: needs root: run with sudo",
        );
    }
}

/// To the kernel, a group is its number.
#[test]
fn another_group_of_the_same_number() {
    let host = host(
        &[
            "root:set:0:0:/root:/bin/bash",
            "bob:set:1000:1000:/home/bob:/bin/bash",
        ],
        &["root:0:", "shadow:42:", "shadow2:42:bob", "bob:1000:"],
    );
    check(
        "group: {name: shadow, members: []}",
        &host,
        "drift: `shadow2`, which has its number, has members bob, wanted no members @ /etc/group:3",
    );
}

#[test]
fn homes_that_others_may_write() {
    let home = "/home/ana";
    let ana = || host(&["ana:set:1000:1000:/home/ana:/bin/bash"], &["ana:1000:"]);
    let yaml = "accounts_where: {test: home_writable}";
    let wanted = "wanted a home that its owner alone may write @ /etc/passwd:1";
    // Everyone but root has the id 1000 here.
    check(yaml, &ana().dir_as(home, 0o755, "ana", "ana"), "ok: none");
    let linked = |mode| {
        ana()
            .dir("/home")
            .dir("/srv")
            .dir_as("/srv/ana", mode, "ana", "ana")
            .link(home, "/srv/ana")
    };
    check(yaml, &linked(0o755), "ok: none");
    check(
        yaml,
        &linked(0o777),
        &format!(
            "drift: `ana` has the home {home}, a link to /srv/ana, with mode 0777, {wanted} \
             (by hand: take the right away where it leads, or give it a home of its own)"
        ),
    );
    let li = host(&["li:set:1001:1001:/home/ana:/bin/bash"], &["li:1001:"]);
    check(
        yaml,
        &li.dir_as(home, 0o700, "games", "games"),
        &format!(
            "drift: `li` has the home {home} of games, {wanted} \
             (by hand: give it a home of its own, or the home to it with `chown`)"
        ),
    );
}
