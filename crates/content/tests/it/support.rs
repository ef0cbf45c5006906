//! Hosts and policies for the cases.

use std::collections::BTreeMap;

use model::Fact;
use model::facts::{Facts, Init, PackageFact, Release};

/// A Debian 12 host with these packages.
pub fn host(packages: &[&str]) -> Facts {
    let package = |name: &&str| {
        let fact = PackageFact {
            version: "1:9.2p1-2+deb12u3".to_owned(),
            source: (*name).to_owned(),
        };
        ((*name).to_owned(), fact)
    };
    Facts {
        hostname: "web-03".to_owned(),
        machine: None,
        release: Fact::Known(Release {
            id: "debian".to_owned(),
            like: Vec::new(),
            version: Some("12".to_owned()),
            codename: Some("bookworm".to_owned()),
            pretty: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        }),
        kernel: Fact::Known("6.1.0-28-amd64".to_owned()),
        architecture: "amd64".to_owned(),
        init: Init::Systemd,
        container: Fact::Known(None),
        is_root: true,
        offline: false,
        packages: Fact::Known(packages.iter().map(package).collect()),
        units: Fact::Known(BTreeMap::from([(
            "ssh.service".to_owned(),
            "enabled".to_owned(),
        )])),
        accounts: Fact::Known(BTreeMap::new()),
        groups: Fact::Known(BTreeMap::new()),
        interfaces: Fact::Known(BTreeMap::new()),
        mounts: Fact::Known(Vec::new()),
        owns_kernel: true,
    }
}

/// A baseline with these rules, each with a parameter `value` of 1 or 2.
pub fn baseline_of(name: &str, rules: &[&str]) -> String {
    let mut text = format!("baseline: {name}\nreleases: {{debian: [\"12\"]}}\nrules:\n");
    for rule in rules {
        text.push_str(&format!(
            "  - rule: {rule}\n    title: One\n    severity: low\n    why: To see.\n    \
             area: kernel\n    params: {{value: {{default: 1, one_of: [1, 2]}}}}\n    want:\n      \
             - sysctl: {{key: kernel.{rule}, value: \"{{{{ value }}}}\"}}\n"
        ));
    }
    text
}

/// A baseline of one rule with this line in it.
pub fn rule_with(line: &str) -> String {
    format!(
        "baseline: ours\nreleases: {{debian: [\"12\"]}}\nrules:\n  - rule: one\n    title: One\n    \
         severity: low\n    why: To see.\n    area: kernel\n    {line}\n    \
         want:\n      - sysctl: {{key: kernel.kptr_restrict, value: 1}}\n"
    )
}
