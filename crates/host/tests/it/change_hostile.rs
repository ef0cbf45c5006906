//! What local users without rights may try while root changes or looks at the host.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;

use host::act::rights::with_rights;
use host::act::{LastLink, Root};
use host::confirm::parse_journal;
use host::validate::real_path;
use host::{Applied, CrashPoints, Create, Host, LocalHost, State, StateError, Verdict};
use jiff::Timestamp;
use model::{Answer, Effect, HostPath, Probe};

use crate::bench::{Bench, is_root, put, skip};

/// An account that has nothing.
const EVE: u32 = 4242;

/// A bench with a home that belongs to Eve.
fn with_home() -> (Bench, PathBuf) {
    let bench = Bench::new();
    let home = bench.path("/home/eve");
    std::fs::create_dir(&home).expect("a home");
    chown(&home, Some(EVE), Some(EVE)).expect("given away");
    let passwd = "root:x:0:0:root:/root:/bin/sh\neve:x:4242:4242::/home/eve:/bin/sh\n";
    std::fs::write(bench.path("/etc/passwd"), passwd).expect("written");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(bench.root.parent().expect("a parent"), open).expect("a mode");
    (bench, home)
}

fn path(text: &str) -> HostPath {
    text.parse().expect("a path")
}

#[test]
fn a_view_for_validators_holds_nothing_that_others_can_turn() {
    if !is_root() {
        return skip("needs root to own directories as two accounts");
    }
    let (bench, home) = with_home();
    symlink("/etc", home.join("conf")).expect("a link");
    symlink("app.d", bench.path("/etc/linked.d")).expect("a link");
    let root = Root::tree(&bench.root).expect("a root");
    let cases = [
        ("/etc/app.conf", Some("/etc/app.conf")),
        ("/etc/linked.d/10-a.conf", Some("/etc/app.d/10-a.conf")),
        ("/etc/new.d/deep/a.conf", Some("/etc/new.d/deep/a.conf")),
        ("/etc/linked.d/new/a", Some("/etc/app.d/new/a")),
        // Between the look and the write, Eve makes `.ssh` a link to root's.
        ("/home/eve/.ssh/authorized_keys", None),
        ("/home/eve/new", None),
        ("/home/eve/conf/app.conf", None),
    ];
    for (asked, wanted) in cases {
        let wanted = wanted.map(PathBuf::from);
        assert_eq!(real_path(&root, &path(asked)), Ok(wanted), "{asked}");
    }
}

#[test]
fn root_reads_nothing_through_a_link_of_others() {
    if !is_root() {
        return skip("needs root to own directories as two accounts");
    }
    let (bench, home) = with_home();
    let secret = bench.path("/etc/open.conf");
    let own = bench.path("/etc/own-link");
    symlink(&secret, &own).expect("a link");
    symlink(&secret, home.join("file")).expect("a link");
    symlink(bench.path("/etc"), home.join("directory")).expect("a link");
    std::fs::write(home.join("plain"), "hers\n").expect("a file");
    let host = LocalHost::running().expect("a host");
    let ask = |path: PathBuf| {
        let path = HostPath::from_bytes(path.as_os_str().as_encoded_bytes()).expect("a path");
        let digest = Probe::FileDigest { path: path.clone() };
        [Probe::file(path), digest].map(|probe| host.probe(&probe).answer)
    };
    for name in ["file", "directory/open.conf"] {
        for answer in ask(home.join(name)) {
            let Answer::Unknown(why) = &answer else {
                panic!("{name}: {answer:?}");
            };
            assert!(why.to_string().contains("link"), "{why}");
        }
    }
    for fine in [home.join("plain"), secret] {
        for answer in ask(fine) {
            assert!(matches!(answer, Answer::Known(_)), "{answer:?}");
        }
    }
    // The bench lies below `/tmp`, which all may write; but its own directories are root's.
    for answer in ask(own) {
        assert!(matches!(answer, Answer::Known(_)), "{answer:?}");
    }
}

#[test]
fn with_the_rights_of_an_account_a_thread_has_no_others_and_cannot_be_signalled() {
    if !is_root() {
        return skip("needs root to take the rights of another account");
    }
    let (bench, _) = with_home();
    let root = Root::tree(&bench.root).expect("a root");
    let place = root
        .find(&path("/home/eve/keys"), LastLink::Itself)
        .expect("a place");
    // Asked by a thread that has kept root's rights, as Eve would ask from outside.
    let (tell, told) = std::sync::mpsc::channel();
    let (answer, answered) = std::sync::mpsc::channel();
    let asking = std::thread::spawn(move || {
        let thread = told.recv().expect("a thread");
        answer
            .send(crate::bench::kill_as(EVE, thread))
            .expect("a listener");
    });
    let (status, killed) = with_rights(&root, &place, None, move || {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("a status");
        tell.send(rustix::thread::gettid()).expect("a listener");
        Ok((status, answered.recv().expect("an answer")))
    })
    .expect("worked");
    asking.join().expect("asked");
    let line = |name: &str| -> Vec<String> {
        let line = status.lines().find(|line| line.starts_with(name));
        let words = line.expect("a line").split_whitespace().skip(1);
        words.map(str::to_owned).collect()
    };
    assert_eq!(line("Uid:"), ["0", "0", "0", "4242"]);
    assert_eq!(line("Gid:")[3], "4242");
    assert_eq!(line("Groups:"), ["4242"]);
    assert_eq!(line("CapEff:"), ["0000000000000000"]);
    assert!(!killed, "Eve can send signals to root's process");
    let after = std::fs::read_to_string("/proc/thread-self/status").expect("a status");
    let own = "Uid:\t0\t0\t0\t0\n";
    assert!(after.contains(own), "this thread keeps its own rights");
}

#[test]
fn what_others_put_under_our_names_does_not_hold_up_a_change() {
    if !is_root() {
        return skip("needs root to own directories as two accounts");
    }
    let (bench, home) = with_home();
    let write = Effect::PutFile {
        path: path("/home/eve/keys"),
        content: "key\n".into(),
        mode: None,
        owner: None,
        group: None,
        as_user: Some("eve".to_owned()),
        drop_acl: false,
    };
    let plan = bench.plan([write, put("/etc/app.conf", "new\n")]);
    let (applied, _) = bench.apply_with(&plan, CrashPoints::none(), &|_| {
        // The names of temporary files were to be seen while they were there.
        let state = bench.open();
        let record = state.change(model::ChangeId(1)).expect("a record");
        let planted = home.join(format!(".steadfast-{}-77", record.header.token));
        std::fs::create_dir_all(planted.join("full")).expect("planted");
        Verdict::default()
    });
    assert_eq!(
        applied.expect("applied"),
        Applied::Committed(model::ChangeId(1))
    );
    assert_eq!(bench.read("/etc/app.conf"), "new\n");
}

#[test]
fn a_state_directory_behind_a_planted_link_or_with_other_things_in_it_is_left_alone() {
    let bench = Bench::new();
    let folder = bench.state.parent().expect("a parent");
    let full = folder.join("full");
    std::fs::create_dir(&full).expect("a folder");
    std::fs::write(full.join("passwd"), "not ours\n").expect("a file");
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(&full, mode(0o755)).expect("a mode");
    let refused = |path: &std::path::Path| {
        let opened = State::open(path, Create::Yes);
        assert!(
            matches!(opened, Err(StateError::Untrusted { .. })),
            "{opened:?}"
        );
        let now = std::fs::metadata(&full).expect("metadata").permissions();
        assert_eq!(now.mode() & 0o777, 0o755, "it was closed");
    };
    refused(&full);
    if !is_root() {
        return skip("the rest needs root to own directories as two accounts");
    }
    std::fs::remove_file(full.join("passwd")).expect("removed");
    let hers = folder.join("hers");
    std::fs::create_dir(&hers).expect("a folder");
    chown(&hers, Some(EVE), None).expect("given away");
    symlink(&full, hers.join("state")).expect("a link");
    refused(&hers.join("state"));
}

#[test]
fn only_what_sshd_itself_logged_as_root_is_a_sign_in() {
    let message = "Accepted publickey for ana from 10.0.4.7 port 51234 ssh2: ED25519 SHA256:abc";
    let entry = |at: &str, uid: &str, exe: &str| {
        format!(
            "{{\"__REALTIME_TIMESTAMP\":\"{at}\",\"_UID\":\"{uid}\",\"_EXE\":\"{exe}\",\
             \"_PID\":\"77\",\"__MONOTONIC_TIMESTAMP\":\"5\",\"MESSAGE\":\"{message}\"}}"
        )
    };
    let late = "1700000000000001";
    let cases = [
        (entry(late, "0", "/usr/sbin/sshd"), 1),
        (entry(late, "0", "/usr/lib/openssh/sshd-session"), 1),
        (entry("1700000000000000", "0", "/usr/sbin/sshd"), 0),
        (entry(late, "1000", "/usr/sbin/sshd"), 0),
        // A link named `sshd` to a program that runs as root for whoever starts it.
        (entry(late, "0", "/usr/bin/su"), 0),
        (entry(late, "0", "/usr/bin/logger"), 0),
        (entry(late, "0", "/tmp/usr/sbin/sshd"), 0),
        (
            format!(
                "{{\"__REALTIME_TIMESTAMP\":\"{late}\",\"_UID\":\"0\",\"MESSAGE\":\"{message}\"}}"
            ),
            0,
        ),
        ("{\"MESSAGE\":[65,66]}".to_owned(), 0),
        ("not JSON".to_owned(), 0),
    ];
    let activated = Timestamp::from_microsecond(1_700_000_000_000_000).expect("a time");
    for (entries, wanted) in cases {
        let found = parse_journal(&entries, activated);
        assert_eq!(found.len(), wanted, "{entries}");
    }
}

#[test]
fn what_may_hold_secrets_is_known() {
    let cases = [
        ("/etc/shadow", true),
        ("/etc/security/opasswd", true),
        ("/etc/apt/auth.conf.d/mirror.conf", true),
        ("/etc/NetworkManager/system-connections/office", true),
        ("/etc/ssh/ssh_host_ed25519_key", true),
        ("/etc/ssh/ssh_host_ed25519_key.pub", false),
        ("/root/.ssh/authorized_keys", false),
        ("/etc/apt/auth.config", false),
        ("/etc/passwd", false),
    ];
    for (asked, wanted) in cases {
        assert_eq!(
            model::plan::may_hold_secrets(&path(asked)),
            wanted,
            "{asked}"
        );
    }
}
