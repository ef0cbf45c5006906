//! `kernel_module`.

use crate::support::{Host, check, refused};

fn host() -> Host {
    Host::new().dir("/etc/modprobe.d").modules(
        &["dccp", "loop"],
        &["ext4"],
        &["dccp", "cramfs", "usb_storage", "loop"],
    )
}

#[test]
fn modules_that_must_not_load() {
    let ours = "/etc/modprobe.d/50-steadfast.conf";
    for (name, extra, expected) in [
        ("cramfs", "", "drift: loadable, wanted not loadable"),
        ("usb-storage", "", "drift: loadable, wanted not loadable"),
        ("dccp", "", "drift: loaded, wanted not loadable"),
        ("hfs", "", "ok: not available"),
        (
            "ext4",
            "",
            "drift: built into the kernel, wanted not loadable (by hand: only another kernel is without it)",
        ),
        (
            "cramfs",
            "install cramfs /bin/true\n",
            "ok: not loadable @ /etc/modprobe.d/a.conf:1",
        ),
        (
            "usb_storage",
            "install usb-storage /bin/false\n",
            "ok: not loadable @ /etc/modprobe.d/a.conf:1",
        ),
        (
            "dccp",
            "install dccp /bin/false\n",
            "drift: loaded, wanted not loadable @ /etc/modprobe.d/a.conf:1",
        ),
        // A blacklist only keeps devices from asking for it.
        (
            "cramfs",
            "blacklist cramfs\n",
            "drift: loadable, wanted not loadable",
        ),
        (
            "cramfs",
            "install cramfs /sbin/modprobe -i cramfs\n",
            "drift: loadable, wanted not loadable @ /etc/modprobe.d/a.conf:1 (by hand: /etc/modprobe.d/a.conf:1 says `install cramfs /sbin/modprobe -i cramfs`: change that line)",
        ),
    ] {
        let host = if extra.is_empty() {
            host()
        } else {
            host().file("/etc/modprobe.d/a.conf", extra)
        };
        let fixed = check(
            &format!("kernel_module: {{name: {name}, loaded: false}}"),
            &host,
            expected,
        );
        if expected.ends_with("wanted not loadable") && extra.is_empty() {
            let name = name.replace('-', "_");
            assert_eq!(
                fixed.content(ours),
                Some(format!("install {name} /bin/false\nblacklist {name}\n"))
            );
        }
    }
}

#[test]
fn without_a_list_of_modules_it_is_unknown() {
    let mut host = host();
    host.modules.as_mut().expect("made above").available = None;
    check(
        "kernel_module: {name: hfs, loaded: false}",
        &host,
        "unknown: kernel 6.1.0-28-amd64 has no list of its modules here",
    );
    let host = host.file("/etc/modprobe.d/a.conf", "install hfs /bin/false\n");
    check(
        "kernel_module: {name: hfs, loaded: false}",
        &host,
        "ok: not loadable @ /etc/modprobe.d/a.conf:1",
    );
}

#[test]
fn modules_that_must_be_loaded() {
    for (name, extra, expected) in [
        ("loop", "", "ok: loaded"),
        ("ext4", "", "ok: built into the kernel"),
        ("cramfs", "", "drift: not loaded, wanted loaded"),
        (
            "hfs",
            "",
            "drift: not loaded, wanted loaded (by hand: kernel 6.1.0-28-amd64 has no such module)",
        ),
        (
            "cramfs",
            "blacklist cramfs\n",
            "drift: not loaded, wanted loaded @ /etc/modprobe.d/a.conf:1 (by hand: /etc/modprobe.d/a.conf:1 forbids it: take that line out)",
        ),
    ] {
        let host = if extra.is_empty() {
            host()
        } else {
            host().file("/etc/modprobe.d/a.conf", extra)
        };
        let fixed = check(
            &format!("kernel_module: {{name: {name}, loaded: true}}"),
            &host,
            expected,
        );
        if expected.ends_with("wanted loaded") {
            assert_eq!(
                fixed
                    .content("/etc/modules-load.d/50-steadfast.conf")
                    .as_deref(),
                Some("cramfs\n")
            );
        }
    }
    refused(
        "kernel_module: {name: 'a b', loaded: false}",
        "`a b` is not the name of a module",
    );
}
