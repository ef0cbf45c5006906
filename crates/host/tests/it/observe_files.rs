//! Files of a tree, among them those that somebody made to harm who looks.

use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

use host::Host;
use model::value::{AclEntry, AclWho, FileType, Reason, WritersSeen};
use model::{Answer, HostPath, Probe, Value};

use crate::observe_support::{Tree, as_nobody, content, file, is_root, path, reason, skip};

#[test]
fn links_stay_inside_the_tree() {
    let tree = Tree::with(&[("/etc/real", b"inside"), ("/etc/passwd", b"ours")]);
    let cases = [
        ("/etc/absolute", "/etc/real", "/etc/real"),
        ("/etc/relative", "real", "/etc/real"),
        (
            "/etc/climbing",
            "../../../../../../../../etc/real",
            "/etc/real",
        ),
        ("/deep/er/climbing", "../../../../../etc/real", "/etc/real"),
    ];
    for (link, target, led_to) in cases {
        tree.link(link, target);
        match tree.ask(&file(link)) {
            Answer::Known(Value::File(seen)) => {
                assert_eq!(seen.content.as_bytes(), b"inside", "{link}");
                assert_eq!(seen.resolved, Some(path(led_to)), "{link}");
            }
            other => panic!("{link}: {other:?}"),
        }
    }
    // Through a directory that is a link.
    tree.link("/lib", "/etc");
    assert_eq!(content(&tree.ask(&file("/lib/real"))), b"inside");
    // And what only exists outside is absent.
    tree.link("/etc/outside", "/proc/self/status");
    assert_eq!(tree.ask(&file("/etc/outside")), Answer::Absent);
}

#[test]
fn what_is_no_regular_file_is_not_opened() {
    let tree = Tree::new();
    let nowhere = rustix::fs::CWD;
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(nowhere, tree.at("/fifo"), fifo, mode, 0).expect("a FIFO");
    let _socket = std::os::unix::net::UnixListener::bind(tree.at("/socket")).expect("a socket");
    tree.dir("/dir");
    tree.link("/to-fifo", "fifo");
    for name in ["/fifo", "/socket", "/dir", "/to-fifo"] {
        let why = reason(tree.ask(&file(name)));
        assert!(matches!(why, Reason::Malformed { .. }), "{name}: {why:?}");
        let why = reason(tree.ask(&Probe::FileDigest { path: path(name) }));
        assert!(matches!(why, Reason::Malformed { .. }), "{name}: {why:?}");
    }
    let why = reason(tree.ask(&Probe::Dir {
        path: path("/fifo"),
    }));
    assert!(matches!(why, Reason::Malformed { .. }), "{why:?}");
}

#[test]
fn every_trouble_has_its_reason() {
    let tree = Tree::with(&[("/etc/file", b"x")]);
    tree.link("/etc/loop-a", "loop-b");
    tree.link("/etc/loop-b", "loop-a");
    let huge = std::fs::File::create(tree.at("/etc/huge")).expect("a file");
    huge.set_len(100 << 20).expect("a sparse file");
    tree.file("/etc/limit", &vec![b'x'; 1 << 20]);
    tree.file("/etc/over", &vec![b'x'; (1 << 20) + 1]);
    tree.file("/etc/binary", &[0, 255, 27, b'[', b'2', b'J']);
    assert_eq!(tree.ask(&file("/etc/absent")), Answer::Absent);
    assert_eq!(tree.ask(&file("/etc/file/below")), Answer::Absent);
    assert_eq!(content(&tree.ask(&file("/etc/binary")))[1], 255);
    assert_eq!(content(&tree.ask(&file("/etc/limit"))).len(), 1 << 20);
    assert!(matches!(
        reason(tree.ask(&file("/etc/loop-a"))),
        Reason::Failed { why } if why.contains("loop")
    ));
    for (name, size) in [("/etc/huge", 100 << 20), ("/etc/over", (1 << 20) + 1)] {
        assert_eq!(
            reason(tree.ask(&file(name))),
            Reason::TooLarge {
                size_bytes: size,
                limit_bytes: 1 << 20
            },
            "{name}"
        );
    }
}

#[test]
fn an_ordinary_user_is_told_what_needs_root() {
    let tree = Tree::with(&[
        ("/etc/shadow", b"root:*:1::::::\n"),
        ("/etc/motd", b"hello"),
    ]);
    tree.mode("/etc/shadow", 0);
    tree.dir("/root");
    tree.mode("/root", 0o700);
    if is_root() {
        as_nobody(|| {
            for probe in [file("/etc/shadow"), file("/root/.bashrc")] {
                assert_eq!(reason(tree.ask(&probe)), Reason::NeedsRoot, "{probe:?}");
            }
            assert_eq!(content(&tree.ask(&file("/etc/motd"))), b"hello");
        });
    } else {
        assert_eq!(reason(tree.ask(&file("/etc/shadow"))), Reason::NeedsRoot);
    }
}

#[test]
fn metadata_is_of_the_path_itself() {
    let tree = Tree::with(&[("/file", b"12345")]);
    tree.mode("/file", 0o4751);
    tree.link("/link", "\x1b]0;evil\x07");
    let meta = |name: &str| match tree.ask(&Probe::Meta { path: path(name) }) {
        Answer::Known(Value::Meta(meta)) => meta,
        other => panic!("{name}: {other:?}"),
    };
    let seen = meta("/file");
    assert_eq!(
        (
            seen.file_type,
            seen.mode.bits(),
            seen.size_bytes,
            seen.hard_links
        ),
        (FileType::Regular, 0o4751, 5, 1)
    );
    let seen = meta("/link");
    assert_eq!(seen.file_type, FileType::Link);
    assert_eq!(
        seen.target.expect("a target").as_bytes(),
        b"\x1b]0;evil\x07"
    );
    let seen = meta("/");
    assert_eq!((seen.file_type, seen.size_bytes), (FileType::Directory, 0));
}

#[test]
fn names_come_as_they_are_and_print_harmless() {
    let tree = Tree::new();
    tree.dir("/d");
    let names: [&[u8]; 3] = [b"\x1b[31mred", b"a b", b"\xff\xfe"];
    for name in names {
        std::fs::write(tree.at("/d").join(std::ffi::OsStr::from_bytes(name)), b"").expect("a file");
    }
    let Answer::Known(Value::Dir(entries)) = tree.ask(&Probe::Dir { path: path("/d") }) else {
        panic!("not a directory");
    };
    let seen: Vec<&[u8]> = entries.iter().map(|entry| entry.name.as_bytes()).collect();
    assert_eq!(seen, names);
    for name in names {
        let path = path("/d").join(name).expect("a path");
        assert!(!path.to_string().contains('\x1b'));
        assert_eq!(content(&tree.ask(&Probe::file(path))), b"");
    }
}

#[test]
fn a_file_that_comes_and_goes_is_there_or_not() {
    let tree = Tree::new();
    tree.dir("/d");
    let stop = AtomicBool::new(false);
    let (mut known, mut absent) = (0u32, 0u32);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let flicker = tree.at("/d/flicker");
            while !stop.load(Ordering::Relaxed) {
                std::fs::write(&flicker, b"x").expect("a file");
                std::fs::remove_file(&flicker).expect("its end");
            }
        });
        let host = tree.host();
        for _ in 0..3000 {
            match host.probe(&file("/d/flicker")).answer {
                Answer::Known(_) => known += 1,
                Answer::Absent => absent += 1,
                Answer::Unknown(_) => {}
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(
        known + absent,
        3000,
        "{known} were there, {absent} were not"
    );
}

#[test]
fn files_of_proc_have_content_though_they_say_they_are_empty() {
    let host = host::LocalHost::running().expect("this machine");
    assert!(!content(&host.probe(&file("/proc/self/status")).answer).is_empty());
    // An endless one stops at the limit.
    let endless = Probe::File {
        path: path("/proc/kallsyms"),
        limit_bytes: 1000,
    };
    match host.probe(&endless).answer {
        Answer::Unknown(Reason::TooLarge { limit_bytes, .. }) => assert_eq!(limit_bytes, 1000),
        Answer::Absent => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_digest_is_of_the_content() {
    let tree = Tree::with(&[("/big", &vec![7; 300_000])]);
    let Answer::Known(Value::FileDigest { content, meta }) =
        tree.ask(&Probe::FileDigest { path: path("/big") })
    else {
        panic!("not a digest");
    };
    assert_eq!(content, model::Digest::of(&vec![7; 300_000]));
    assert_eq!(meta.size_bytes, 300_000);
    let huge = std::fs::File::create(tree.at("/huge")).expect("a file");
    huge.set_len(1 << 40).expect("a sparse file");
    assert!(matches!(
        reason(tree.ask(&Probe::FileDigest {
            path: path("/huge")
        })),
        Reason::TooLarge { .. }
    ));
}

#[test]
fn reading_leaves_the_access_time_alone() {
    use std::os::unix::fs::MetadataExt;
    let tree = Tree::with(&[("/file", b"x")]);
    let old = std::fs::FileTimes::new().set_accessed(std::time::UNIX_EPOCH);
    let handle = std::fs::File::options()
        .append(true)
        .open(tree.at("/file"))
        .expect("a file");
    handle.set_times(old).expect("an old access time");
    assert_eq!(content(&tree.ask(&file("/file"))), b"x");
    assert_eq!(
        std::fs::metadata(tree.at("/file"))
            .expect("metadata")
            .atime(),
        0
    );
}

#[test]
fn a_root_that_is_not_there_is_an_error() {
    let error = host::LocalHost::offline(std::path::Path::new("/nowhere/at/all"));
    let text = error.err().expect("an error").to_string();
    assert_eq!(text, "cannot open the root directory `/nowhere/at/all`");
    assert!(HostPath::from_bytes(b"/nowhere").is_ok());
}

#[test]
fn root_lists_no_directory_that_a_users_link_leads_to() {
    if !is_root() {
        return skip("only root can give links to users");
    }
    let tree = Tree::with(&[("/private/secret", b""), ("/home/x", b"")]);
    tree.mode("/private", 0o700);
    let link = tree.at("/home/link");
    std::os::unix::fs::symlink(tree.at("/private"), &link).expect("a link");
    let give = |path: &std::path::Path| std::os::unix::fs::lchown(path, Some(1000), Some(1000));
    give(&tree.at("/home")).expect("an owner");
    give(&link).expect("an owner");
    let answer = host::LocalHost::running()
        .expect("this machine")
        .probe(&Probe::Dir {
            path: path(link.to_str().expect("text")),
        })
        .answer;
    assert!(matches!(answer, Answer::Unknown(_)), "{answer:?}");
}

#[test]
fn who_can_change_what_is_read_is_seen_with_links_and_directories_above() {
    let tree = Tree::with(&[
        ("/etc/units/a.service", b"a"),
        ("/etc/units/a.service.d/one.conf", b"1"),
        ("/home/bob/b.service", b"b"),
    ]);
    tree.mode("/etc/units/a.service", 0o664);
    tree.link("/etc/units/b.service", "../../home/bob/b.service");
    tree.link("/etc/units/none.service", "/home/bob/none");
    tree.link("/etc/units/loop", "/etc/units");
    let ask = |below| {
        let answer = tree.ask(&Probe::Writers {
            path: path("/etc/units"),
            below,
        });
        match answer {
            Answer::Known(Value::Writers(seen)) => seen,
            other => panic!("{other:?}"),
        }
    };
    let words = |seen: &[WritersSeen]| -> Vec<String> {
        seen.iter()
            .map(|seen| {
                let via = seen.via.as_ref().map(|via| format!(" by {via}"));
                format!("{:?} {}{}", seen.part, seen.path, via.unwrap_or_default())
            })
            .collect()
    };
    assert_eq!(
        words(&ask(true)),
        [
            "Above /",
            "Above /etc",
            "Read /etc/units",
            "Read /etc/units/a.service",
            "Read /etc/units/a.service.d",
            "Read /etc/units/a.service.d/one.conf",
            "Read /etc/units/b.service",
            "Read /etc/units/loop",
            "Read /etc/units/none.service",
            "Above /home by /etc/units/b.service",
            // Whoever writes here decides what the last link leads to.
            "Read /home/bob by /etc/units/b.service",
            "Read /home/bob/b.service by /etc/units/b.service",
        ]
    );
    assert_eq!(
        words(&ask(false)),
        ["Above /", "Above /etc", "Read /etc/units"]
    );
    let nothing = tree.ask(&Probe::Writers {
        path: path("/etc/none"),
        below: true,
    });
    assert_eq!(nothing, Answer::Absent);

    // An ACL, as setfacl(1) writes it: u::rw-, u:4242:rw-, g::r--, m::rw-, o::r--.
    let mut acl = 2u32.to_le_bytes().to_vec();
    for (tag, bits, id) in [
        (1u16, 6u16, !0u32),
        (2, 6, 4242),
        (4, 4, !0),
        (0x10, 6, !0),
        (0x20, 4, !0),
    ] {
        acl.extend(tag.to_le_bytes());
        acl.extend(bits.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    let set = rustix::fs::setxattr(
        tree.at("/etc/units/a.service"),
        "system.posix_acl_access",
        &acl,
        rustix::fs::XattrFlags::empty(),
    );
    if set.is_err() {
        return skip("the file system has no ACLs");
    }
    let seen = ask(true);
    let unit = seen
        .iter()
        .find(|seen| seen.path == path("/etc/units/a.service"));
    let entries = unit
        .and_then(|unit| unit.acl.clone())
        .expect("it has an ACL");
    let bob = AclWho::User {
        id: 4242,
        name: None,
    };
    let entry = |who, bits| AclEntry { who, bits };
    assert_eq!(entries, [entry(bob, 6), entry(AclWho::OwningGroup, 4)]);
}
