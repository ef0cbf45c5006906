//! A made-up host of some release, to try policies on where no host is at hand.

use std::collections::BTreeMap;

use model::Fact;
use model::facts::{Facts, Init, PackageFact, Release};

/// Packages that a made-up host has, so that baselines about them are tried as well.
const INSTALLED: &[&str] = &["openssh-server", "sudo", "systemd", "auditd", "nginx"];

/// A host of this release that has what most servers have.
pub(crate) fn host(distribution: &str, version: &str) -> Facts {
    let codename = match (distribution, version) {
        ("debian", "12") => Some("bookworm"),
        ("debian", "13") => Some("trixie"),
        _ => None,
    };
    let packages = INSTALLED.iter().map(|name| {
        let fact = PackageFact {
            version: "1.0-1".to_owned(),
            source: (*name).to_owned(),
        };
        ((*name).to_owned(), fact)
    });
    Facts {
        hostname: "sample".to_owned(),
        machine: None,
        release: Fact::Known(Release {
            id: distribution.to_owned(),
            like: Vec::new(),
            version: Some(version.to_owned()),
            codename: codename.map(str::to_owned),
            pretty: format!("{distribution} {version}"),
        }),
        kernel: Fact::Known("6.1.0-28-amd64".to_owned()),
        architecture: "amd64".to_owned(),
        init: Init::Systemd,
        container: Fact::Known(None),
        is_root: true,
        offline: false,
        packages: Fact::Known(packages.collect()),
        units: Fact::Known(BTreeMap::from([
            ("ssh.service".to_owned(), "enabled".to_owned()),
            ("cron.service".to_owned(), "enabled".to_owned()),
        ])),
        accounts: Fact::Known(BTreeMap::new()),
        groups: Fact::Known(BTreeMap::new()),
        interfaces: Fact::Known(BTreeMap::from([(
            "eth0".to_owned(),
            vec!["192.0.2.7".to_owned()],
        )])),
        mounts: Fact::Known(Vec::new()),
        owns_kernel: true,
    }
}
