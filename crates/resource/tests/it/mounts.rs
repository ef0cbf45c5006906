//! `mount_option` and `mount_point`.

use model::value::Reason;
use model::{HostPath, Probe};
use resource::ContentEdit;
use resource::mount::{in_effect, unit_of, with};

use crate::support::{Host, check, judge, path, refused, words as said};

fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

#[test]
fn of_opposite_options_the_last_counts() {
    for (options, wanted, expected) in [
        ("rw,nodev", "nodev", true),
        ("rw,nodev,dev", "nodev", false),
        ("dev,nodev", "nodev", true),
        ("ro,rw", "ro", false),
        ("size=1G,size=2G", "size=1G", false),
        ("size=2G,size=1G", "size=1G", true),
        ("noexec", "nosuid", false),
    ] {
        assert_eq!(
            in_effect(options.split(','), wanted),
            expected,
            "{wanted} in {options}"
        );
        assert!(in_effect(
            with(&words(options), &words(wanted))
                .iter()
                .map(String::as_str),
            wanted
        ));
    }
    assert_eq!(
        with(&words("rw,exec,relatime"), &words("noexec,nodev")),
        words("rw,relatime,noexec,nodev")
    );
}

#[test]
fn a_line_of_fstab_keeps_its_columns() {
    let text = "# <fs> /tmp\nUUID=1  /      ext4\terrors=remount-ro 0 1\ntmpfs   /tmp   tmpfs\tdefaults,exec   0  0 # note\n";
    let edit = |path: &str, options: &str, new_line: Option<&str>| ContentEdit::Fstab {
        path: path.to_owned(),
        options: words(options),
        new_line: new_line.map(str::to_owned),
    };
    for (change, expected) in [
        (
            edit("/tmp", "nodev,noexec", None),
            text.replace("defaults,exec ", "defaults,nodev,noexec "),
        ),
        (edit("/", "errors=remount-ro", None), text.to_owned()),
        (
            edit(
                "/dev/shm",
                "noexec",
                Some("tmpfs\t/dev/shm\ttmpfs\trw\t0\t0"),
            ),
            format!("{text}tmpfs\t/dev/shm\ttmpfs\trw,noexec\t0\t0\n"),
        ),
    ] {
        let after = change
            .apply(Some(text.as_bytes()))
            .expect("the line is there or is given");
        assert_eq!(String::from_utf8_lossy(&after), expected);
        assert_eq!(change.apply(Some(&after)), Ok(after), "twice");
    }
    assert!(
        edit("/srv", "nodev", None)
            .apply(Some(text.as_bytes()))
            .is_err()
    );
}

#[test]
fn unit_names() {
    for (path, unit) in [
        ("/", "-.mount"),
        ("/tmp", "tmp.mount"),
        ("/dev/shm", "dev-shm.mount"),
        ("/a-b/.c d", "a\\x2db-.c\\x20d.mount"),
        ("/.x", "\\x2ex.mount"),
    ] {
        assert_eq!(unit_of(&path.parse().expect("a literal")), unit);
    }
}

fn host(options: &str) -> Host {
    Host::new()
        .mount("/", "ext4", "rw,relatime")
        .mount("/tmp", "tmpfs", options)
}

#[test]
fn mounted_by_fstab() {
    let yaml = "mount_option: {path: /tmp, options: [nodev, noexec]}";
    let fstab = |options: &str| format!("tmpfs /tmp tmpfs {options} 0 0\n");
    for (now, boot, expected) in [
        (
            "rw,nodev,noexec",
            "defaults,nodev,noexec",
            "ok: rw,nodev,noexec @ /etc/fstab:1",
        ),
        (
            "rw,nodev",
            "defaults,nodev",
            "drift: without noexec, wanted nodev, noexec @ /etc/fstab:1",
        ),
        (
            "rw,nodev,noexec",
            "defaults",
            "drift: without nodev, noexec at boot, wanted nodev, noexec @ /etc/fstab:1",
        ),
        (
            "rw",
            "nodev,noexec",
            "drift: without nodev, noexec, wanted nodev, noexec @ /etc/fstab:1",
        ),
    ] {
        let host = host(now).file("/etc/fstab", &fstab(boot));
        let fixed = check(yaml, &host, expected);
        assert!(fixed.mounts[1].options.contains(&"rw".to_owned()));
    }
}

#[test]
fn mounted_by_a_unit() {
    let main = "/usr/lib/systemd/system/tmp.mount";
    let ours = "/etc/systemd/system/tmp.mount.d/50-steadfast.conf";
    let host = |now: &str| {
        host(now)
            .dir("/etc/systemd/system")
            .file(main, "[Mount]\nOptions=mode=1777,nosuid,nodev,size=50%%\n")
            .unit("tmp.mount", "active", "static", &[main])
    };
    check(
        "mount_option: {path: /tmp, options: [nosuid]}",
        &host("rw,nosuid"),
        &format!("ok: rw,nosuid @ {main}:2"),
    );
    let fixed = check(
        "mount_option: {path: /tmp, options: [noexec]}",
        &host("rw,nosuid"),
        &format!("drift: without noexec, wanted noexec @ {main}:2"),
    );
    assert_eq!(
        fixed.content(ours).as_deref(),
        Some("[Mount]\nOptions=mode=1777,nosuid,nodev,size=50%%,noexec\n")
    );
    assert_eq!(fixed.done, ["DaemonReload tmp.mount"]);
    // A second want of the same file system adds up.
    let fixed = check(
        "mount_option: {path: /tmp, options: [size=10%]}",
        &fixed,
        &format!("drift: without size=10%, wanted size=10% @ {ours}:2"),
    );
    assert_eq!(
        fixed.content(ours).as_deref(),
        Some("[Mount]\nOptions=mode=1777,nosuid,nodev,noexec,size=10%%\n")
    );
}

/// systemd.mount(5): what systemd makes of fstab counts after a unit in `/etc`, and drop-ins count
/// over both. Each of these was mounted so at the next start of a host.
#[test]
fn a_unit_overrules_fstab() {
    let unit = "/etc/systemd/system/tmp.mount";
    let drop_in = "/etc/systemd/system/tmp.mount.d/20-a.conf";
    let ours = "/etc/systemd/system/tmp.mount.d/50-steadfast.conf";
    let generated = "/run/systemd/generator/tmp.mount";
    let packaged = "/usr/lib/systemd/system/tmp.mount";
    let yaml = "mount_option: {path: /tmp, options: [nodev, noexec]}";
    let fstab = "tmpfs /tmp tmpfs nodev,noexec 0 0\n";
    let host = |files: &[(&str, &str)]| {
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        let start = host("rw,nodev,noexec")
            .dir("/etc/systemd/system")
            .file("/etc/fstab", fstab)
            .unit("tmp.mount", "active", "generated", &names);
        files
            .iter()
            .fold(start, |host, (name, text)| host.file(name, text))
    };
    let after = check(
        yaml,
        &host(&[(unit, "[Mount]\nWhat=tmpfs\nOptions=mode=1777\n")]),
        &format!("drift: without nodev, noexec at boot, wanted nodev, noexec @ {unit}:3"),
    );
    // Not a line that nothing reads.
    assert_eq!(after.content("/etc/fstab").as_deref(), Some(fstab));
    assert_eq!(
        after.content(ours).as_deref(),
        Some("[Mount]\nOptions=mode=1777,nodev,noexec\n")
    );
    let of_generator = (generated, "[Mount]\nOptions=nodev,noexec\n");
    let after = check(
        yaml,
        &host(&[of_generator, (drop_in, "[Mount]\nOptions=noexec\n")]),
        &format!("drift: without nodev at boot, wanted nodev, noexec @ {drop_in}:2"),
    );
    assert_eq!(after.content("/etc/fstab").as_deref(), Some(fstab));
    let later = "/etc/systemd/system/tmp.mount.d/a.conf";
    check(
        yaml,
        &host(&[of_generator, (later, "[Mount]\nOptions=noexec\n")]),
        &format!(
            "drift: without nodev at boot, wanted nodev, noexec @ {later}:2 (by hand: {later}:2 is \
             read after ours and wins: change it there)"
        ),
    );
    check(
        yaml,
        &host(&[(unit, "[Mount]\nWhat=tmpfs\n")]),
        &format!("drift: without nodev, noexec at boot, wanted nodev, noexec @ {unit}"),
    );
    // The manager has not looked at it yet, and the next boot does.
    let host_before = host(&[of_generator]);
    check(
        yaml,
        &host_before.file(unit, "[Mount]\nWhat=tmpfs\nOptions=noexec\n"),
        &format!("drift: without nodev at boot, wanted nodev, noexec @ {unit}:3"),
    );
    let unread = host(&[of_generator]).cannot_tell(Probe::file(path(unit)), Reason::NeedsRoot);
    assert!(said(&judge(yaml, &unread)).starts_with("unknown"));
    for files in [
        &[of_generator][..],
        &[of_generator, (drop_in, "[Mount]\nLazyUnmount=yes\n")],
        // A package's unit counts after what is made of fstab.
        &[(packaged, "[Mount]\nOptions=mode=1777\n")],
    ] {
        check(yaml, &host(files), "ok: rw,nodev,noexec @ /etc/fstab:1");
    }
    check(
        yaml,
        &host(&[(unit, "[Mount]\nOptions=noexec,nodev\n")]),
        &format!("ok: rw,nodev,noexec @ {unit}:2"),
    );
}

#[test]
fn mounted_by_something_else() {
    let shm = Host::new()
        .mount("/dev/shm", "tmpfs", "rw,nosuid,nodev")
        .file("/etc/fstab", "# none\n");
    let fixed = check(
        "mount_option: {path: /dev/shm, options: [noexec]}",
        &shm,
        "drift: without noexec, wanted noexec",
    );
    assert_eq!(
        fixed.content("/etc/fstab").as_deref(),
        Some("# none\ntmpfs\t/dev/shm\ttmpfs\trw,nosuid,nodev,noexec\t0\t0\n")
    );
    check(
        "mount_option: {path: /tmp, options: [nodev]}",
        &host("rw"),
        "drift: without nodev, wanted nodev (by hand: neither /etc/fstab nor a unit mounts /tmp: give it the options where it is mounted)",
    );
    check(
        "mount_option: {path: /tmp, options: [nodev]}",
        &host("rw,nodev"),
        "ok: rw,nodev",
    );
    check(
        "mount_option: {path: /home, options: [nodev]}",
        &host("rw"),
        "n/a: /home is not a file system of its own",
    );
}

#[test]
fn mount_points() {
    let host = host("rw").mount("/srv", "ext4", "rw");
    for (path, expected) in [
        ("/tmp", "ok: tmpfs on tmpfs"),
        (
            "/home",
            "drift: part of /, wanted a file system of its own (by hand: make a file system for /home, copy what is there, and add it to /etc/fstab)",
        ),
        (
            "/srv/a",
            "drift: part of /srv, wanted a file system of its own (by hand: make a file system for /srv/a, copy what is there, and add it to /etc/fstab)",
        ),
    ] {
        check(&format!("mount_point: {{path: {path}}}"), &host, expected);
    }
    assert_eq!(host.nodes.get(&HostPath::literal("/home")), None);
    // What somebody mounted is a part of another again after the next boot.
    for (options, expected) in [
        (
            "noauto",
            "drift: tmpfs on tmpfs, and not mounted at boot (noauto), wanted a file system of its own \
             @ /etc/fstab:1 (by hand: take `noauto` out of its line)",
        ),
        ("noauto,auto", "ok: tmpfs on tmpfs"),
        ("noauto,x-systemd.automount", "ok: tmpfs on tmpfs"),
    ] {
        let fstab = format!("tmpfs /tmp tmpfs {options} 0 0\n");
        let host = host_with_fstab(&fstab);
        check("mount_point: {path: /tmp}", &host, expected);
    }
}

fn host_with_fstab(fstab: &str) -> Host {
    host("rw").file("/etc/fstab", fstab)
}

/// systemd-remount-fs(8) gives file systems of the kernel the options of their line, `noauto` or not.
#[test]
fn a_line_that_mounts_nothing_at_boot() {
    for (options, expected) in [
        ("noauto,noexec", "ok: rw,nosuid,nodev,noexec @ /etc/fstab:1"),
        (
            "noauto",
            "drift: without noexec at boot, wanted noexec @ /etc/fstab:1",
        ),
    ] {
        let host = Host::new()
            .mount("/dev/shm", "tmpfs", "rw,nosuid,nodev,noexec")
            .file(
                "/etc/fstab",
                &format!("tmpfs /dev/shm tmpfs {options} 0 0\n"),
            );
        check(
            "mount_option: {path: /dev/shm, options: [noexec]}",
            &host,
            expected,
        );
    }
}

#[test]
fn mistakes_are_refused() {
    for (options, why) in [
        ("[]", "say which options"),
        ("['a,b']", "`a,b` is not a mount option"),
        ("['a b']", "`a b` is not a mount option"),
        (
            "[nofail]",
            "`nofail` can't be seen on a mounted file system",
        ),
        (
            "[x-systemd.automount]",
            "`x-systemd.automount` can't be seen on a mounted file system",
        ),
        (
            "[exec, noexec]",
            "`noexec` contradicts what stands before it",
        ),
    ] {
        refused(
            &format!("mount_option: {{path: /tmp, options: {options}}}"),
            why,
        );
    }
}

/// mount(8): of contradicting options the last one counts, and `user` implies three.
#[test]
fn what_the_options_of_fstab_come_to() {
    let all = "rw,nosuid,nodev,noexec";
    let yaml = "mount_option: {path: /dev/shm, options: [nodev, nosuid, noexec]}";
    for (options, missing) in [
        ("rw,noexec,nosuid,nodev,exec", Some("noexec")),
        ("user", None),
        ("users,exec", Some("noexec")),
        ("owner", Some("noexec")),
    ] {
        let fstab = format!("tmpfs /dev/shm tmpfs {options} 0 0\n");
        let host = Host::new()
            .mount("/dev/shm", "tmpfs", all)
            .file("/etc/fstab", &fstab);
        let expected = match missing {
            None => format!("ok: {all} @ /etc/fstab:1"),
            Some(one) => {
                format!("drift: without {one} at boot, wanted nodev, nosuid, noexec @ /etc/fstab:1")
            }
        };
        check(yaml, &host, &expected);
    }
    // Remounted by hand: systemd mounts it without `noexec` again.
    let host = Host::new()
        .mount("/dev/shm", "tmpfs", all)
        .file("/etc/fstab", "");
    check(
        yaml,
        &host,
        "drift: without noexec at boot, wanted nodev, nosuid, noexec",
    );
}
