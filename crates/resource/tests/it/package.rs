//! `package`.

use crate::support::{Host, check, refused};

#[test]
fn packages() {
    let mut host = Host::new()
        .package("nginx", "1.22.1-9+deb12u1")
        .package("telnetd", "0.17-44")
        .package("left", "1.0")
        .package("half", "1.0");
    for (name, status) in [
        ("left", "deinstall ok config-files"),
        ("half", "install ok half-configured"),
    ] {
        let package = host.packages.get_mut(name).expect("added above");
        package.installed = false;
        status.clone_into(&mut package.status);
    }
    for (yaml, expected) in [
        ("{name: nginx}", "ok: 1.22.1-9+deb12u1"),
        (
            "{name: absent-one}",
            "drift: not installed, wanted installed",
        ),
        ("{name: left}", "drift: not installed, wanted installed"),
        (
            "{name: half}",
            "drift: install ok half-configured, wanted installed",
        ),
        (
            "{name: telnetd, absent: true}",
            "drift: 0.17-44, wanted not installed",
        ),
        ("{name: left, absent: true}", "ok: not installed"),
        (
            "{name: half, absent: true}",
            "drift: install ok half-configured, wanted not installed",
        ),
        ("{name: nginx, at_least: 1.22.1-9}", "ok: 1.22.1-9+deb12u1"),
        (
            "{name: nginx, at_least: 1.22.1-9+deb12u2}",
            "drift: 1.22.1-9+deb12u1, wanted at least 1.22.1-9+deb12u2",
        ),
        // deb-version(7): a tilde sorts before the end, and an epoch above everything.
        (
            "{name: nginx, at_least: 1.22.1-9+deb12u1~rc1}",
            "ok: 1.22.1-9+deb12u1",
        ),
        (
            "{name: nginx, at_least: '1:0.1'}",
            "drift: 1.22.1-9+deb12u1, wanted at least 1:0.1",
        ),
        (
            "{name: absent-one, at_least: '2.0'}",
            "drift: not installed, wanted at least 2.0",
        ),
    ] {
        check(&format!("package: {yaml}"), &host, expected);
    }
}

#[test]
fn mistakes_are_refused() {
    for (yaml, why) in [
        ("package: {name: x}", "`x` is not the name of a package"),
        (
            "package: {name: -oDpkg}",
            "`-oDpkg` is not the name of a package",
        ),
        (
            "package: {name: 'nginx=1'}",
            "`nginx=1` is not the name of a package",
        ),
        (
            "package: {name: nginx, at_least: 'a b'}",
            "`a b` is not a version",
        ),
        (
            "package: {name: nginx, at_least: '1', absent: true}",
            "a package that is to be absent has no version",
        ),
    ] {
        refused(yaml, why);
    }
}
