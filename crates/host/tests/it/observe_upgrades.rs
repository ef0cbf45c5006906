//! What apt-get, dpkg and the kernel say of upgrades and of what runs.

use std::collections::{BTreeMap, BTreeSet};

use host::packages::log::parse_log;
use host::packages::old_files::{Compared, is_mapped_to_execute, is_of_upgrade};
use host::packages::sockets::parse_sockets;
use host::packages::users::{Process, parse_maps, parse_start, parse_unit};
use host::packages::{Listed, build_of, parse_broken, parse_listed, parse_pending};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::HostPath;
use model::component::SourcePackage;

#[test]
fn a_simulation_is_read() {
    let (pending, removed) = parse_pending(
        "NOTE: This is only a simulation!\n\
         Inst libssl3 [3.0.15-1~deb12u1] (3.0.17-1~deb12u2 Debian-Security:12/oldstable-security, \
         Debian:12.11/oldstable [amd64])\n\
         Inst linux-image-6.1.0-38-amd64 (6.1.147-1 Debian-Security:12/oldstable-security [amd64])\n\
         Inst libc6:i386 [2.36-9] (2.36-10 Debian:12.11/oldstable [i386]) []\n\
         Remv old-thing [1.0]\n\
         Conf libssl3 (3.0.17-1~deb12u2 Debian-Security:12/oldstable-security [amd64])\n",
    )
    .expect("understood");
    assert_eq!(removed, ["old-thing"]);
    let seen: Vec<_> = pending
        .iter()
        .map(|one| {
            let from = one.from.as_deref().unwrap_or("new");
            (
                &*one.name,
                from,
                &*one.to,
                &*one.architecture,
                one.is_security(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (
                "libssl3",
                "3.0.15-1~deb12u1",
                "3.0.17-1~deb12u2",
                "amd64",
                true
            ),
            (
                "linux-image-6.1.0-38-amd64",
                "new",
                "6.1.147-1",
                "amd64",
                true
            ),
            ("libc6:i386", "2.36-9", "2.36-10", "i386", false),
        ]
    );
    assert_eq!(pending[0].origins.len(), 2);
}

#[test]
fn the_hash_of_a_package_file_is_found_by_its_name_in_the_cache() {
    let listed = parse_listed(
        "Package: openssh-server\nArchitecture: amd64\nVersion: 1:9.2p1-2\nDescription: x\n a\n\
         Source: openssh (1:9.2p1-1)\nInstalled-Size: 12\n\
         SHA256: 0a1b\n\nPackage: without\nVersion: 1\nArchitecture: all\n\n\
         Package: plain\nVersion: 1\nArchitecture: all\nSHA256: 0c\n",
    );
    let listed_as = |sha256: &str, name: &str, version: &str, installed_bytes| Listed {
        sha256: sha256.to_owned(),
        source: SourcePackage {
            name: name.to_owned(),
            version: version.to_owned(),
        },
        installed_bytes,
    };
    assert_eq!(
        listed.into_iter().collect::<Vec<_>>(),
        [
            (
                "openssh-server_1%3a9.2p1-2_amd64.deb".to_owned(),
                listed_as("0a1b", "openssh", "1:9.2p1-1", 12 << 10)
            ),
            (
                "plain_1_all.deb".to_owned(),
                listed_as("0c", "plain", "1", 0)
            ),
        ]
    );
}

#[test]
fn maps_hold_files_and_what_became_of_them() {
    let (maps, deleted) = parse_maps(
        b"55d0-55d1 r--p 00000000 fe:00 12  /usr/sbin/sshd\n\
          7f00-7f01 r-xp 00000000 fe:00 13  /usr/lib/libssl.so.3 (deleted)\n\
          7f02-7f03 rw-p 00000000 00:00 0\n\
          7f04-7f05 rw-s 00000000 00:01 1   /memfd:x (deleted)\n\
          7f06-7f07 rw-s 00000000 00:05 1   /dev/zero (deleted)\n\
          7f08-7f09 r--p 00000000 fe:00 14  /opt/a file with blanks\n\
          7ffc-7ffd rw-p 00000000 00:00 0   [stack]\n",
    );
    let paths =
        |paths: &BTreeSet<HostPath>| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(paths(&maps), ["/opt/a file with blanks", "/usr/sbin/sshd"]);
    assert_eq!(paths(&deleted), ["/usr/lib/libssl.so.3"]);
}

#[test]
fn a_process_belongs_to_a_unit_in_every_layout() {
    for (text, unit) in [
        ("0::/system.slice/ssh.service\n", Some("ssh.service")),
        (
            "9:name=systemd:/\n0::/system.slice/cron.service\n",
            Some("cron.service"),
        ),
        (
            "9:name=systemd:/system.slice/cron.service\n8:pids:/\n",
            Some("cron.service"),
        ),
        (
            "0::/user.slice/user-1000.slice/session-4.scope\n",
            Some("session-4.scope"),
        ),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.service\n",
            Some("user@1000.service"),
        ),
        ("0::/init.scope\n", Some("init.scope")),
        // A container's own group, which its root called so.
        ("0::/lxc/box/a b.service\n", None),
        (
            "0::/system.slice/box.service/-x.service\n",
            Some("box.service"),
        ),
        ("0::/a b.service/real.service\n", Some("real.service")),
        ("0::/../..\n", None),
        ("", None),
    ] {
        assert_eq!(parse_unit(text.as_bytes()).as_deref(), unit, "{text}");
    }
}

#[cfg(target_endian = "little")]
#[test]
fn sockets_listen_on_the_loopback_or_for_others() {
    let line = |own: &str, state: &str, inode: u32| {
        format!(
            "   0: {own} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 {inode} 1\n"
        )
    };
    let text = [
        "  sl  local_address rem_address st …\n".to_owned(),
        line("00000000:0016", "0A", 1),
        line("0100007F:1538", "0A", 2),
        line("00000000000000000000000001000000:1538", "0A", 3),
        line("0000000000000000FFFF00000100007F:1538", "0A", 4),
        line("00000000000000000000000000000000:0016", "0A", 5),
        line("0100007F:9999", "01", 6),
    ]
    .concat();
    let found: Vec<_> = parse_sockets(text.as_bytes(), "0A").into_iter().collect();
    let wanted = [(1, false), (2, true), (3, true), (4, true), (5, false)];
    assert_eq!(found, wanted);
}

#[test]
fn a_kernel_says_which_build_it_is() {
    let said = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)";
    assert_eq!(build_of(said).as_deref(), Some("6.1.119-1"));
    assert_eq!(build_of("#1 SMP Tue Jan 1 00:00:00 UTC 2030"), None);
}

#[test]
fn what_dpkg_left_unfinished_is_known() {
    let broken = parse_broken(
        "adduser\tinstalled\tok\t3\ngone\tconfig-files\tok\t1\nhalf\thalf-configured\tok\t2\n\
         waits\ttriggers-pending\tok\t2\nbad\thalf-installed\treinstreq\t1:4\n\
         torn\tinstalled\treinstreq\t5\n",
    );
    let names: Vec<_> = broken.packages.keys().collect();
    assert_eq!(names, ["bad", "half", "torn", "waits"]);
    let again: Vec<_> = broken.again.iter().map(|(a, b)| (&**a, &**b)).collect();
    assert_eq!(again, [("bad", "1:4"), ("torn", "5")]);
}

/// Case 21: what libffi and databases map and unlink is no old file of an upgrade.
#[test]
fn what_programs_map_for_themselves_is_no_old_file() {
    for (path, is_owned, is_executed, wanted) in [
        ("/tmp/ffi.x", false, true, false),
        ("/var/tmp/jit.so", false, true, false),
        ("/var/lib/app.cache", false, false, false),
        ("/var/cache/fontconfig/a.cache-7", false, false, false),
        ("/home/ana/bin/tool", false, true, false),
        ("/usr/lib/libssl.so.3", false, true, true),
        ("/usr/share/locale/a.mo", false, false, true),
        ("/opt/app/lib.so", false, true, true),
        // Put in place by hand, and run.
        ("/srv/app/server", false, true, true),
        ("/var/lib/app/plugin.so", false, true, true),
        ("/var/lib/app/table", true, false, true),
    ] {
        let path = HostPath::literal(path);
        assert_eq!(
            is_of_upgrade(&path, is_owned, || is_executed),
            wanted,
            "{path}"
        );
    }
}

/// A program that runs, and whose file was put there anew: the same bytes are no old file.
#[test]
fn the_same_bytes_as_another_file_are_no_old_file() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join(format!("sleeper-{}", std::process::id()));
    let path = HostPath::from_bytes(program.as_os_str().as_encoded_bytes()).expect("absolute");
    let bytes = std::fs::read("/bin/sleep").expect("it is there");
    let other = [&bytes[..bytes.len() - 1], b"!"].concat();
    let put = |bytes: &[u8]| {
        use std::os::unix::fs::PermissionsExt;
        let new = program.with_extension("new");
        std::fs::write(&new, bytes).expect("written");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&new, mode).expect("set");
        std::fs::rename(&new, &program).expect("put there");
    };
    put(&bytes);
    let mut child = std::process::Command::new(&program)
        .arg("600")
        .spawn()
        .expect("it runs");
    // It is begun before its program is mapped.
    let maps = format!("/proc/{}/maps", child.id());
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !std::fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("libc.so")) {
        assert!(std::time::Instant::now() < until, "it is never mapped");
        std::thread::yield_now();
    }
    let mut since = Vec::new();
    let mut is_unchanged = || {
        let mut process = Process {
            id: child.id(),
            name: "sleep".to_owned(),
            unit: None,
            started: None,
            maps: BTreeSet::new(),
            deleted: BTreeSet::from([path.clone()]),
            deleted_at: BTreeMap::new(),
        };
        Compared::default().look(&mut process, |_| true);
        since.extend(process.deleted_at.get(&path).copied());
        process.deleted.is_empty()
    };
    // It is not deleted yet, then the same as before, another of the same size, a longer one, gone.
    let mut seen = vec![is_unchanged()];
    put(&bytes);
    seen.push(is_unchanged());
    put(&other);
    seen.push(is_unchanged());
    put(&[&bytes[..], b"more"].concat());
    seen.push(is_unchanged());
    std::fs::remove_file(&program).expect("it was there");
    seen.push(is_unchanged());
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert_eq!(seen, [false, true, false, false, false]);
    // Each time the same: when the first was replaced.
    since.dedup();
    let [since] = since[..] else {
        panic!("{since:?}");
    };
    let ago = Timestamp::now().duration_since(since).as_secs();
    assert!((0..60).contains(&ago), "{ago} s ago");
}

#[test]
fn dpkgs_log_tells_all_upgrades_and_when_they_were() {
    let bytes = b"cut off upgrade\n\
          2026-11-01 07:00:00 startup archives unpack\n\
          2026-11-01 07:00:01 upgrade libssl3:amd64 3.0.9-1 3.0.10-1\n\
          2026-11-01 07:00:02 status installed libssl3:amd64 3.0.10-1\n\
          2026-11-02 07:00:01 upgrade libssl3:amd64 3.0.10-1 3.0.11-1\n\
          2026-11-02 07:00:02 upgrade demo:all 1.0 2.0\n\
          2026-11-02 07:00:03 install new:amd64 <none> 1\n";
    let east = TimeZone::fixed(jiff::tz::offset(2));
    for (zone, hour) in [(TimeZone::UTC, "07"), (east, "05")] {
        let log = parse_log(bytes, &zone);
        let at = |text: String| text.parse::<Timestamp>().expect("a time");
        let begins = at(format!("2026-11-01T{hour}:00:00Z"));
        assert_eq!(log.begins, Some(begins));
        let said: Vec<String> = log
            .upgrades
            .iter()
            .flat_map(|((name, architecture), all)| {
                all.iter()
                    .map(move |one| format!("{name} {architecture} {} {}", one.from, one.to))
            })
            .collect();
        let wanted = [
            "demo all 1.0 2.0",
            "libssl3 amd64 3.0.9-1 3.0.10-1",
            "libssl3 amd64 3.0.10-1 3.0.11-1",
        ];
        assert_eq!(said, wanted);
        let demo = ("demo".to_owned(), "all".to_owned());
        let then = at(format!("2026-11-02T{hour}:00:02Z"));
        assert_eq!(log.upgrades[&demo][0].at, then);
    }
    assert_eq!(parse_log(b"", &TimeZone::UTC).begins, None);
}

#[test]
fn what_is_mapped_as_data_only_is_not_executed() {
    let maps = b"7f00-7f01 r--p 00000000 08:01 11 /usr/lib/locale/locale-archive (deleted)\n\
          7f02-7f03 r--p 00000000 08:01 12 /usr/lib/foo/libfoo.so.1 (deleted)\n\
          7f03-7f04 r-xp 00001000 08:01 12 /usr/lib/foo/libfoo.so.1 (deleted)\n\
          7f05-7f06 r-xp 00001000 08:01 13 /usr/lib/foo/libbar.so.1\n";
    let seen = |path: &str| {
        is_mapped_to_execute(
            maps,
            &HostPath::from_bytes(path.as_bytes()).expect("a path"),
        )
    };
    assert!(!seen("/usr/lib/locale/locale-archive"));
    assert!(seen("/usr/lib/foo/libfoo.so.1"));
    assert!(!seen("/usr/lib/foo/libbar.so.1"), "it is there");
}

#[test]
fn a_process_says_when_it_began_whatever_it_is_called() {
    let stat = b"12 (a) b (c)) S 1 12 12 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 4250 1000 50\n";
    assert_eq!(parse_start(stat), Some(42));
    assert_eq!(parse_start(b"12 (cut off) S 1"), None);
}
