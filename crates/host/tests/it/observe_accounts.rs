//! Accounts of a tree: what is listed, and that no hash leaves.

use model::value::{AccountsSeen, PasswordSeen, Reason};
use model::{Answer, Probe, Value};

use crate::observe_support::{Tree, path, reason};

const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n\
ana:x:1000:1000:Ana,,,:/home/ana:/bin/bash\n\
bad line\n\
old:aaQSqAReePlq6:1001:1001::/home/old:/bin/sh\n\
open::1002:1002::/home/open:/bin/sh\n\
gone:x:1003:1003::/home/gone:/bin/sh\n\
ana:x:0:0:second of that name:/:/bin/sh\n";
const SHADOW: &[u8] = b"root:*:19000:0:99999:7:::\n\
ana:$y$j9T$SALTSALT$HASHHASHHASH:19001:1:90:7:30:20000:\n\
broken:x\n";
const GROUP: &[u8] = b"root:x:0:\nsudo:x:27:ana, li\nnot a group\n";

fn seen(tree: &Tree) -> AccountsSeen {
    match tree.ask(&Probe::Accounts) {
        Answer::Known(Value::Accounts(seen)) => seen,
        other => panic!("{other:?}"),
    }
}

#[test]
fn accounts_are_joined_from_their_files() {
    let tree = Tree::with(&[
        ("/etc/passwd", PASSWD),
        ("/etc/shadow", SHADOW),
        ("/etc/group", GROUP),
        ("/etc/gshadow", b"root:*::\nx\n"),
        (
            "/etc/nsswitch.conf",
            b"passwd: files systemd sss\ngroup: files [NOTFOUND=return] ldap\n",
        ),
    ]);
    let accounts = seen(&tree);
    let set = |scheme: &str| PasswordSeen::Set {
        scheme: scheme.to_owned(),
    };
    let list: Vec<_> = accounts
        .accounts
        .iter()
        .map(|account| {
            (
                &*account.name,
                account.line,
                account.uid,
                account.password.clone(),
            )
        })
        .collect();
    assert_eq!(
        list,
        [
            ("root", 1, 0, PasswordSeen::None),
            ("ana", 2, 1000, set("y")),
            ("old", 4, 1001, set("des")),
            ("open", 5, 1002, PasswordSeen::Empty),
            ("gone", 6, 1003, PasswordSeen::None),
            ("ana", 7, 0, set("y")),
        ]
    );
    let ageing = accounts.accounts[1].ageing.clone().expect("in shadow");
    assert_eq!((ageing.max_days, ageing.expires), (Some(90), Some(20000)));
    assert_eq!(accounts.groups[1].members, ["ana", "li"]);
    let malformed: Vec<String> = accounts.malformed.iter().map(ToString::to_string).collect();
    assert_eq!(
        malformed,
        [
            "/etc/passwd:3",
            "/etc/shadow:3",
            "/etc/group:3",
            "/etc/gshadow:2"
        ]
    );
    // systemd adds nobody here: it has no records of its own.
    assert_eq!(accounts.other_sources, ["ldap", "sss"]);
    let json = serde_json::to_string(&accounts).expect("serialisable");
    assert!(!json.contains("SALT") && !json.contains("HASHHASH") && !json.contains("aaQSq"));
}

#[test]
fn systemd_counts_where_it_has_accounts() {
    let tree = Tree::with(&[
        ("/etc/passwd", b"root:x:0:0::/:/bin/sh\n"),
        ("/etc/group", b"root:x:0:\n"),
        ("/etc/nsswitch.conf", b"passwd: files systemd\n"),
        ("/etc/userdb/li.user", b"{}"),
    ]);
    assert_eq!(seen(&tree).other_sources, ["systemd"]);
}

#[test]
fn without_its_files_a_host_has_unknown_accounts() {
    let tree = Tree::new();
    let why = reason(tree.ask(&Probe::Accounts));
    assert!(matches!(why, Reason::Unavailable { what } if what.contains("/etc/passwd")));
}

#[test]
fn owners_have_the_names_of_the_tree() {
    let uid = rustix::process::geteuid().as_raw();
    let line = format!("somebody:x:{uid}:0::/:/bin/sh\nother:x:{uid}:0::/:/bin/sh\n");
    let tree = Tree::with(&[("/etc/passwd", line.as_bytes()), ("/file", b"")]);
    let Answer::Known(Value::Meta(meta)) = tree.ask(&Probe::Meta {
        path: path("/file"),
    }) else {
        panic!("no metadata");
    };
    assert_eq!(meta.owner.as_deref(), Some("somebody"));
    assert_eq!(meta.group, None);
}

/// The prefix of SunMD5 says its rounds as well (crypt(5)).
#[test]
fn hashes_are_known_by_their_prefix() {
    use host::parse::account::classify;
    let scheme = |field: &str| match classify(field.as_bytes()) {
        PasswordSeen::Set { scheme } | PasswordSeen::Locked { scheme } => Some(scheme),
        _ => None,
    };
    for (field, wanted) in [
        ("$md5$salt$$abcdefghijklmnopqrstuv", Some("md5")),
        ("$md5,rounds=5000$salt$$abcdefghijklmnopqrstuv", Some("md5")),
        ("!$md5,rounds=5000$salt$abcdefghijklmnopqrstuv", Some("md5")),
        ("$md5,other$salt$x", None),
        ("$y$j9T$salt$hash", Some("y")),
        ("$,rounds=1$x", None),
    ] {
        assert_eq!(scheme(field).as_deref(), wanted, "{field}");
    }
}
