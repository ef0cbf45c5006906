//! The parsers of host files: cases as data, and anything at all.

use host::parse::account::{classify, parse_group, parse_passwd, parse_shadow};
use host::parse::acl::parse_acl;
use host::parse::dpkg::{parse_automatic, parse_diversions, parse_status};
use host::parse::modprobe::{
    blacklisted_at_boot, parse_loaded, parse_modprobe, parse_module_paths,
};
use host::parse::mount::{parse_fstab, parse_mountinfo};
use host::parse::netlink::parse_addresses;
use host::parse::nsswitch::other_sources;
use host::parse::os_release::parse_os_release;
use host::parse::unit_file::parse_install;
use host::parse::wtmp::{Login, logins};
use model::value::PasswordSeen;
use proptest::prelude::*;

#[test]
fn passwords_are_classified() {
    let set = |scheme: &str| PasswordSeen::Set {
        scheme: scheme.to_owned(),
    };
    let locked = |scheme: &str| PasswordSeen::Locked {
        scheme: scheme.to_owned(),
    };
    let cases: [(&str, PasswordSeen); 17] = [
        ("", PasswordSeen::Empty),
        ("!", PasswordSeen::None),
        ("*", PasswordSeen::None),
        ("!!", PasswordSeen::None),
        ("!*", PasswordSeen::None),
        ("*LK*", PasswordSeen::None),
        ("x", PasswordSeen::None),
        ("$6$salt$hash", set("6")),
        ("$y$j9T$salt$hash", set("y")),
        ("$2b$12$saltandhash", set("2b")),
        ("$1$salt$hash", set("1")),
        ("aaQSqAReePlq6", set("des")),
        ("_9G..8147mpcfKT8g0U.", set("bsdi")),
        ("!$6$salt$hash", locked("6")),
        ("!!$y$j9T$salt$hash", locked("y")),
        ("!aaQSqAReePlq6", locked("des")),
        ("$", PasswordSeen::None),
    ];
    for (field, seen) in cases {
        assert_eq!(classify(field.as_bytes()), seen, "{field:?}");
    }
}

#[test]
fn lines_that_are_none_are_listed() {
    let passwd = b"ok:x:1:1::/:/bin/sh\n\n# comment\n+::::::\n:x:1:1::/:/\nneg:x:-1:1::/:/\nbig:x:4294967296:1::/:/\nlong:x:1:1::/:/bin/sh:more\nlast:x:2:2::/:";
    let parsed = parse_passwd(passwd);
    let names: Vec<_> = parsed
        .entries
        .iter()
        .map(|line| (line.line, &*line.entry.name))
        .collect();
    assert_eq!(names, [(1, "ok"), (9, "last")]);
    assert_eq!(parsed.malformed, [4, 5, 6, 7, 8]);
    assert_eq!(
        parse_shadow(b"a:*:x::::::\nb:*:1:2:3:4:5:6:\n").malformed,
        [1]
    );
    assert_eq!(parse_group(b"a:x:1:b,,c\nb:x:1\n").malformed, [2]);
    // glibc skips leading blanks, and takes five fields, "the old form"; six are none of its forms.
    let old = parse_shadow(b"a::19000:0:99999\n \tb::19000::::::\nc::19000:0:99999:7\n");
    let names: Vec<&str> = old
        .entries
        .iter()
        .map(|one| one.entry.name.as_str())
        .collect();
    assert_eq!((names, old.malformed), (vec!["a", "b"], vec![3]));
    assert_eq!(old.entries[0].entry.password, PasswordSeen::Empty);
    assert_eq!(
        parse_passwd(b" a:x:1:1::/:/bin/sh\n").entries[0].entry.name,
        "a"
    );
}

#[test]
fn name_services_are_listed() {
    let cases: [(&str, &[&str]); 6] = [
        ("passwd: files", &[]),
        ("passwd: compat", &[]),
        ("passwd:\tfiles systemd sss # winbind", &["systemd", "sss"]),
        (
            "passwd: files [NOTFOUND=return  SUCCESS=continue] ldap",
            &["ldap"],
        ),
        ("#passwd: ldap\npasswd_compat: nis", &[]),
        ("group: ldap", &[]),
    ];
    for (text, sources) in cases {
        assert_eq!(
            other_sources(text.as_bytes(), "passwd"),
            sources,
            "{text:?}"
        );
    }
}

#[test]
fn releases_are_read() {
    let full = parse_os_release(
        b"# comment\nID=ubuntu\nID_LIKE=\"debian  other\"\nVERSION_ID=\"24.04\"\nVERSION_CODENAME=noble\nPRETTY_NAME=\"A \\\"B\\\" \\$C\"\n",
    )
    .expect("a release");
    assert_eq!(full.like, ["debian", "other"]);
    assert_eq!(full.version.as_deref(), Some("24.04"));
    assert_eq!(full.pretty, "A \"B\" $C");
    let rolling = parse_os_release(b"ID='arch'").expect("a release");
    assert_eq!((rolling.version, &*rolling.pretty), (None, "arch"));
    for none in [&b""[..], b"ID=", b"ID=\"\"", b"NAME=x"] {
        assert_eq!(parse_os_release(none), None);
    }
}

#[test]
fn mounts_are_read() {
    let lines = parse_mountinfo(
        b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue\n\
          37 35 0:5 / /ro rw,nosuid - tmpfs tmp\\134x ro,size=4k\n\
          garbage\n38 x\n39 1 0:1 / relative rw - proc proc rw\n",
    );
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line.id,
                line.device,
                line.mount.path.to_string(),
                line.mount.options.join(","),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (
                36,
                (98, 0),
                "/mnt 2".to_owned(),
                "rw,noatime,errors=continue".to_owned()
            ),
            (37, (0, 5), "/ro".to_owned(), "ro,nosuid,size=4k".to_owned()),
        ]
    );
    assert_eq!(lines[1].mount.source, "tmp\\x");
    assert_eq!(lines[0].root, b"/mnt1");
}

#[test]
fn fstab_is_read() {
    let lines = parse_fstab(
        b"# comment\n\nUUID=1 / ext4 errors=remount-ro 0 1\n  /dev/sdb\t/srv/a\\040b xfs\nshort /x\nnone none swap sw,pri=1\n",
    );
    let seen: Vec<_> = lines
        .iter()
        .map(|line| (line.line, &*line.path, line.options.join(",")))
        .collect();
    assert_eq!(
        seen,
        [
            (3, "/", "errors=remount-ro".to_owned()),
            (4, "/srv/a b", "defaults".to_owned()),
            (6, "none", "sw,pri=1".to_owned()),
        ]
    );
}

#[test]
fn modules_are_read() {
    let directives = parse_modprobe(
        b"# x\ninstall usb-storage /bin/false\nblacklist  cramfs\noptions a \\\n  b=c\nlonely\n\n  alias x y z\n",
    );
    let seen: Vec<_> = directives
        .iter()
        .map(|d| (d.line, &*d.command, &*d.module, &*d.rest))
        .collect();
    assert_eq!(
        seen,
        [
            (2, "install", "usb_storage", "/bin/false"),
            (3, "blacklist", "cramfs", ""),
            (4, "options", "a", "b=c"),
            (8, "alias", "x", "y z"),
        ]
    );
    assert_eq!(parse_loaded(b"ext4 1 0 - Live\nb-c 1\n\n"), ["b_c", "ext4"]);
    assert_eq!(
        parse_module_paths(b"kernel/fs/x-y.ko: kernel/z.ko\nkernel/a.ko.xz:\nkernel/a.ko.zst\n\n"),
        ["a", "x_y"]
    );
    assert_eq!(
        blacklisted_at_boot(b"ro quiet modprobe.blacklist=a-b,c modprobe.blacklist=d"),
        ["a_b", "c", "d"]
    );
}

#[test]
fn install_sections_are_read() {
    let install = parse_install(
        b"[Unit]\nWantedBy=not.here\n[Install]\n# WantedBy=no\nAlias=a.service b.service\nAlso = c.service\n",
    );
    assert_eq!(install.aliases, ["a.service", "b.service"]);
    assert!(install.also && !install.wanted);
    assert!(!parse_install(b"[Install]\nWantedBy=\n").wanted);
}

#[test]
fn addresses_are_read_from_a_dump() {
    // One RTM_NEWADDR with a local and a peer address, then the end of the dump.
    let mut bytes = Vec::new();
    let mut message = |kind: u16, payload: &[u8]| {
        bytes.extend_from_slice(&(16 + payload.len() as u32).to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&[0; 10]);
        bytes.extend_from_slice(payload);
    };
    let attribute = |kind: u16, address: [u8; 4]| {
        [&8u16.to_ne_bytes()[..], &kind.to_ne_bytes(), &address].concat()
    };
    let header = [&[2, 24, 0, 0][..], &3u32.to_ne_bytes()].concat();
    message(
        20,
        &[
            header,
            attribute(1, [10, 0, 0, 2]),
            attribute(2, [10, 0, 0, 1]),
        ]
        .concat(),
    );
    message(3, &[0; 4]);
    let dump = parse_addresses(&bytes);
    assert!(dump.ended);
    assert_eq!(dump.addresses.len(), 1);
    assert_eq!(
        (dump.addresses[0].interface, &*dump.addresses[0].text),
        (3, "10.0.0.1/24")
    );
    for cut in 0..bytes.len() {
        let _ = parse_addresses(&bytes[..cut]);
    }
}

#[test]
fn diversions_come_in_threes() {
    let diversions = parse_diversions(b"/a\n/a.real\npackage\n/b\n/b.real\n:\n/cut\n");
    assert_eq!(diversions.len(), 2);
    assert_eq!(diversions[1].by, b":");
}

proptest! {
    #[test]
    fn nothing_stops_a_parser(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
        let passwd = parse_passwd(&bytes);
        prop_assert!(passwd.entries.len() + passwd.malformed.len() <= lines);
        let _ = (parse_shadow(&bytes), parse_group(&bytes), other_sources(&bytes, "passwd"));
        let _ = (parse_os_release(&bytes), parse_mountinfo(&bytes), parse_fstab(&bytes));
        let _ = (parse_modprobe(&bytes), parse_loaded(&bytes), parse_module_paths(&bytes));
        let _ = (parse_status(&bytes), parse_automatic(&bytes), parse_diversions(&bytes));
        let _ = (parse_install(&bytes), parse_addresses(&bytes), blacklisted_at_boot(&bytes));
    }

    #[test]
    fn no_hash_leaves_the_parser(hash in "[./0-9A-Za-z]{13,60}", prefix in r"!{0,2}(\$(y|6|5|1|2b)\$)?") {
        let line = format!("ana:{prefix}{hash}:19000:0:99999:7:::\n");
        let seen = format!("{:?}", parse_shadow(line.as_bytes()));
        prop_assert!(!seen.contains(&hash));
        let line = format!("ana:{prefix}{hash}:0:0::/:/bin/sh\n");
        let seen = format!("{:?}", parse_passwd(line.as_bytes()));
        prop_assert!(!seen.contains(&hash));
    }
}

/// As login(1) writes them: a boot, a login, and its end.
#[test]
fn logins_of_wtmp() {
    let record = |kind: u16, user: &[u8], at: u32| {
        let mut record = vec![0; 384];
        record[..2].copy_from_slice(&kind.to_le_bytes());
        record[44..44 + user.len()].copy_from_slice(user);
        record[340..344].copy_from_slice(&at.to_le_bytes());
        record
    };
    let mut bytes = [
        record(2, b"reboot", 1_700_000_000),
        record(7, b"ana", 1_700_000_100),
        record(8, b"", 1_700_000_200),
    ]
    .concat();
    // Cut off while it was written.
    bytes.extend(&record(7, b"bob", 1_700_000_300)[..200]);
    let login = Login {
        user: b"ana".to_vec(),
        at_s: 1_700_000_100,
    };
    assert_eq!(logins(&bytes).collect::<Vec<_>>(), [login]);
}

proptest! {
    #[test]
    fn anything_may_be_an_acl_or_a_list_of_logins(bytes in prop::collection::vec(any::<u8>(), 0..900)) {
        let _ = (parse_acl(&bytes), logins(&bytes).count());
    }
}
