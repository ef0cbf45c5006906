//! What apt says that a policy's packages take, the marks that they get, and what of an older
//! version's installs is taken away again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use host::act::package::{PackageState, Way};
use host::act::package_places::{Listed, changed};
use host::act::upgrade::Work;
use host::packages::{Wants, read_wanted};
use model::{Digest, PackageOp, PackageRemoval, PackageUpgrade};

const INSTALL: PackageOp = PackageOp::Install { version: None };

fn wants(all: &[(&str, PackageOp)]) -> Wants {
    all.iter()
        .map(|(name, op)| ((*name).to_owned(), op.clone()))
        .collect()
}

#[test]
fn a_simulation_is_what_the_packages_take() {
    let said = "Remv nano [7.2-1]\n\
                Inst nginx-common (1.22.1-9 Debian:12/stable [all])\n\
                Inst libc6 [2.36-1] (2.36-2 Debian-Security:12/stable [amd64])\n\
                Inst nginx (1.22.1-9 Debian:12/stable [amd64])\n\
                Conf nginx (1.22.1-9 Debian:12/stable [amd64])\n";
    let both = wants(&[("nginx", INSTALL), ("nano", PackageOp::Remove)]);
    let together = read_wanted(said, &both).expect("it is understood");
    let names: Vec<(&str, Option<&str>)> = together
        .pending
        .iter()
        .map(|pending| (pending.name.as_str(), pending.from.as_deref()))
        .collect();
    assert_eq!(
        names,
        [
            ("nginx-common", None),
            ("libc6", Some("2.36-1")),
            ("nginx", None)
        ]
    );
    let nano = PackageRemoval {
        name: "nano".to_owned(),
        version: "7.2-1".to_owned(),
    };
    assert_eq!(together.removals, [nano]);
    // Nobody wants that one to go.
    let error = read_wanted(said, &wants(&[("nginx", INSTALL)])).expect_err("more than wanted");
    let help =
        "also remove nano; where that is meant, want it: `package: {name: nano, absent: true}`";
    assert!(error.to_string().contains(help), "{error}");
    assert!(read_wanted("", &both).expect("nothing to do").is_empty());
}

fn package(name: &str, from: Option<&str>) -> PackageUpgrade {
    PackageUpgrade {
        name: name.to_owned(),
        architecture: "amd64".to_owned(),
        from: from.map(str::to_owned),
        to: "2".to_owned(),
        source: None,
        origins: Vec::new(),
        security: None,
        archive: Digest::of(b""),
    }
}

#[test]
fn marks_are_those_of_who_wants_it() {
    let packages = [
        package("nginx", None),
        package("nginx-common", None),
        package("libc6", Some("1")),
        package("libssl3", Some("1")),
        package("openssl", Some("1")),
    ];
    let named = ["nginx", "openssl"].map(str::to_owned);
    let automatic = ["libc6", "openssl"].map(str::to_owned);
    let work = Work {
        packages: &packages,
        named: &named,
        ..Work::default()
    };
    let automatic = BTreeSet::from(automatic);
    let (auto, manual) = work.marks(&automatic);
    assert_eq!(auto, ["nginx-common", "libc6"]);
    assert_eq!(manual, ["openssl"]);
    let programs = work.programs(Path::new("/a"), &automatic).expect("words");
    let words: Vec<String> = programs
        .iter()
        .map(|(program, words)| format!("{program} {}", words.join(" ")))
        .collect();
    assert!(words[0].contains("--no-remove"), "{words:?}");
    assert_eq!(words[1], "/usr/bin/apt-mark auto nginx-common libc6");
    assert_eq!(words[2], "/usr/bin/apt-mark manual openssl");
    // Only what is to go may go.
    let removals = [PackageRemoval {
        name: "nano".to_owned(),
        version: "7".to_owned(),
    }];
    let work = Work {
        removals: &removals,
        ..Work::default()
    };
    let programs = work.programs(Path::new("/a"), &automatic).expect("words");
    let [(_, words)] = programs.as_slice() else {
        panic!("{programs:?}");
    };
    assert!(words.contains(&"nano-".to_owned()), "{words:?}");
    assert!(!words.contains(&"--no-remove".to_owned()), "{words:?}");
}

fn state(version: Option<&str>, status: Option<&str>) -> PackageState {
    PackageState {
        name: "chrony".to_owned(),
        version: version.map(str::to_owned),
        status: status.map(str::to_owned),
        automatic: false,
        archive: None,
    }
}

/// dpkg says `not-installed` of what it knows only since something breaks it.
#[test]
fn what_dpkg_only_heard_of_was_not_there() {
    const RC: Option<&str> = Some("deinstall ok config-files");
    const II: Option<&str> = Some("install ok installed");
    const HEARD: Option<&str> = Some("unknown ok not-installed");
    for (before, now, way) in [
        ((None, HEARD), (Some("4"), II), Way::Gone),
        ((None, HEARD), (None, RC), Way::Gone),
        ((None, HEARD), (None, None), Way::Nothing),
        ((None, None), (None, HEARD), Way::Nothing),
        ((None, RC), (Some("4"), II), Way::Removed),
        ((None, RC), (None, RC), Way::Nothing),
        ((Some("4"), II), (None, RC), Way::Install("4".to_owned())),
    ] {
        let (before, now) = (state(before.0, before.1), state(now.0, now.1));
        assert_eq!(before.way_from(&now), way, "{before:?} {now:?}");
    }
}

#[test]
fn places_are_those_that_no_other_package_has() {
    let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
    let listed = Listed {
        mine: paths(&[
            "/etc/nginx",
            "/etc/nginx/conf.d",
            "/etc/nginx/nginx.conf",
            "/etc/default",
            "/usr/share/nginx",
            "/var/mail",
            "/var/spool/nginx/in",
        ]),
        others: paths(&["/etc/default", "/etc"]),
    };
    let is_directory = |path: &Path| path != Path::new("/etc/nginx/nginx.conf");
    let own = listed.own_directories(&["nginx:amd64".to_owned()], is_directory);
    assert_eq!(
        own,
        paths(&[
            "/etc/nginx",
            "/etc/nginx/conf.d",
            "/opt/nginx",
            "/srv/nginx",
            "/var/lib/nginx",
            "/var/mail/nginx",
            "/var/opt/nginx",
            "/var/spool/nginx",
            "/var/spool/nginx/in",
            "/var/www/nginx",
        ])
    );
    let said = "??5?????? c /etc/nginx/nginx.conf\n??5??????   /usr/sbin/nginx\n";
    assert_eq!(changed(said), [PathBuf::from("/etc/nginx/nginx.conf")]);
}
