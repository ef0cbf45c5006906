//! What a policy comes to on a host.

use std::collections::BTreeMap;

use content::{PolicyFiles, Repository, Request, compile};
use model::Fact;
use model::facts::{Facts, Init, PackageFact, Release};
use resource::{Applies, Wanted};

fn host(packages: &[&str]) -> Facts {
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

fn wanted(files: &[(&str, &str)], facts: &Facts) -> Wanted {
    let files = PolicyFiles::from_bytes(files.iter().map(|(path, text)| (*path, text.as_bytes())));
    let repository = Repository::parse(&[files]).unwrap_or_else(|errors| panic!("{errors}"));
    compile(&repository, facts, &Request::default()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// A baseline of one rule whose condition is this.
fn rule_that_applies(when: &str) -> String {
    format!(
        "baseline: ours\nreleases: {{debian: [\"12\"]}}\nrules:\n  - rule: one\n    title: One\n    \
         severity: low\n    why: To see.\n    area: kernel\n    applies: '{when}'\n    \
         want:\n      - sysctl: {{key: kernel.kptr_restrict, value: 1}}\n"
    )
}

#[test]
fn conditions_say_why_a_rule_does_not_apply() {
    let facts = host(&["openssh-server", "docker.io"]);
    let cases = [
        ("true", Applies::Yes),
        (r#"package("openssh-server").installed"#, Applies::Yes),
        (
            r#"package("nginx").installed"#,
            Applies::No("nginx is not installed".to_owned()),
        ),
        (
            r#"not (package("nginx").installed or package("docker.io").installed)"#,
            Applies::No("docker.io is installed".to_owned()),
        ),
        (
            r#"package("openssh-server").installed and container"#,
            Applies::No("this is not a container".to_owned()),
        ),
        (
            r#"package("openssh-server").version is version_at_least("1:9.3")"#,
            Applies::No(
                "`package(\"openssh-server\").version is version_at_least(\"1:9.3\")` does not hold"
                    .to_owned(),
            ),
        ),
        (r#"unit("ssh").exists and release.version == "12""#, Applies::Yes),
    ];
    for (condition, expected) in cases {
        let text = rule_that_applies(condition);
        let wanted = wanted(&[("baselines/ours.yaml", &text)], &facts);
        assert_eq!(wanted.rules[0].applies, expected, "{condition}");
    }
}
