//! Reading a policy directory: what is taken, and what is refused.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use content::{PolicyFiles, Repository, lint};

fn write(root: &Path, path: &str, text: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("below the root")).expect("a temporary folder");
    fs::write(path, text).expect("a temporary folder");
}

/// The errors of loading, with the folder's name taken out.
fn refused(root: &Path) -> String {
    let errors = Repository::load(root).expect_err("this should be refused");
    errors
        .plain()
        .replace(&root.display().to_string(), "POLICY")
}

#[test]
fn a_policy_directory_stands_beside_the_built_in_baselines() {
    let root = tempfile::tempdir().expect("a temporary folder");
    write(
        root.path(),
        "roles/web.yaml",
        "role: web\nwant:\n  - template: {path: /a, source: a.j2}\n",
    );
    write(root.path(), "roles/web/a.j2", "{{ hostname }}\n");
    write(root.path(), "roles/.web.yaml.swp", [0, 159, 146, 150]);
    write(root.path(), "README.md", "Our policy.\n");
    let repository =
        Repository::load(root.path()).unwrap_or_else(|errors| panic!("{}", errors.plain()));
    assert_eq!(repository.roles().count(), 1);
    assert!(
        repository.rules().count() > 0,
        "the built-in rules are there"
    );
    let place = repository.roles().next().map(|role| role.place.to_string());
    assert_eq!(
        place,
        Some(format!("{}/roles/web.yaml:1", root.path().display()))
    );
}

#[test]
fn what_is_not_a_policy_file_is_refused() {
    let outside = tempfile::tempdir().expect("a temporary folder");
    write(outside.path(), "secret.yaml", "role: secret\nwant: []\n");
    type Case<'c> = (&'c dyn Fn(&Path), &'c str);
    let cases: [Case<'_>; 10] = [
        (
            &|_| {},
            "no policy in `POLICY` (a policy has `roles/`, `baselines/`, `waivers.yaml`, `vulnerabilities.yaml` or `patches.yaml`)",
        ),
        (
            &|root| {
                fs::create_dir(root.join("roles")).expect("a folder");
                symlink(
                    outside.path().join("secret.yaml"),
                    root.join("roles/web.yaml"),
                )
                .expect("a link");
            },
            "`POLICY/roles/web.yaml` is a link (links in a policy are not followed)",
        ),
        (
            &|root| symlink(outside.path(), root.join("roles")).expect("a link"),
            "`POLICY/roles` is not a directory of its own (links in a policy are not followed)",
        ),
        (
            &|root| symlink("roles", root.join("roles")).expect("a link"),
            "`POLICY/roles` is not a directory of its own (links in a policy are not followed)",
        ),
        (
            &|root| write(root, "roles/web.yaml", vec![b'#'; (1 << 20) + 1]),
            "`POLICY/roles/web.yaml` is larger than a policy file may be (1 MiB) (divide it over several files)",
        ),
        (
            &|root| write(root, "roles/web.yaml", b"role: web\nwant: \xff"),
            "`POLICY/roles/web.yaml` is not UTF-8 text on line 2 (the first byte that is none is 0xff: save the file as UTF-8)",
        ),
        (
            &|root| write(root, "roles/web.yaml", "role: web\0\n"),
            "POLICY/roles/web.yaml:1:10: a control character (U+0000) (write it as an escape in double quotes, as in \"\\e\")",
        ),
        (
            &|root| {
                write(
                    root,
                    "roles/web.yaml",
                    "role: web\nwant: [package: {name: a}]\n",
                );
                write(root, "waiver.yaml", "[]");
            },
            "`POLICY/waiver.yaml` is not read (did you mean `waivers.yaml`?)",
        ),
        (
            &|root| write(root, "role/web.yaml", "role: web\n"),
            "`POLICY/role` is not read (did you mean `roles`?)",
        ),
        (
            &|root| write(root, "roles", ""),
            "`POLICY/roles` is not a directory of its own (links in a policy are not followed)",
        ),
    ];
    for (prepare, expected) in cases {
        let root = tempfile::tempdir().expect("a temporary folder");
        prepare(root.path());
        assert_eq!(refused(root.path()), expected);
    }
    let missing = outside.path().join("nothing");
    assert_eq!(
        refused(&missing),
        "the policy directory `POLICY` can't be read: No such file or directory (os error 2) \
         (`--policy DIR` names the directory that has `roles/` or `baselines/`)"
    );
}

#[test]
fn lint_warns_of_the_own_policy_only() {
    let root = tempfile::tempdir().expect("a temporary folder");
    write(
        root.path(),
        "baselines/ours.yaml",
        "baseline: ours\nreleases: {debian: [\"12\", \"13\"]}\nrules:\n  - rule: one\n    title: One\n    severity: low\n    \
         why: To see.\n    area: kernel\n    params: {unused: {default: 1}, used: {default: 2}}\n    want:\n      \
         - sysctl: {key: kernel.one, value: \"{{ used }}\"}\n",
    );
    write(
        root.path(),
        "roles/web.yaml",
        "role: web\nparams: {name: {type: string}, other: {type: string}}\nwant:\n  - template: {path: /a, source: a.j2}\n",
    );
    write(root.path(), "roles/a.j2", "{% include \"b.j2\" %}");
    write(root.path(), "roles/b.j2", "{{ name }}");
    let warnings = lint(root.path()).unwrap_or_else(|errors| panic!("{}", errors.plain()));
    let said: Vec<&str> = warnings
        .iter()
        .map(content::ContentError::message)
        .collect();
    assert_eq!(
        said,
        [
            "rule `one` has no tests",
            "parameter `unused` is not used",
            "parameter `other` is not used",
        ]
    );
}

#[test]
fn lint_finds_what_only_a_host_shows() {
    let root = tempfile::tempdir().expect("a temporary folder");
    // On Debian 12 the version is text, so the sum fails; reading alone can't know that.
    write(
        root.path(),
        "roles/web.yaml",
        "role: web\nwant:\n  - file: {path: /a, content: \"{{ release.version + 1 }}\"}\n",
    );
    let errors = lint(root.path()).expect_err("this does not compile");
    assert_eq!(
        errors
            .plain()
            .replace(&root.path().display().to_string(), "POLICY"),
        "POLICY/roles/web.yaml:3:35: `release.version + 1` does not fit the types of its values \
         (numbers go with numbers and texts with texts; there is no dividing by zero)"
    );
}

#[test]
fn what_is_said_about_vulnerabilities_is_taken() {
    let waivers = "- {vulnerability: CVE-2024-6387, package: 'openssh*', hosts: [web-1], reason: r, \
        owner: ana, approver: li, expires: 2027-01-31}\n";
    let policy = "clocks: []\ndays: {high: 30}\nhuman_impact: very-high\n";
    let files = PolicyFiles::from_bytes([
        ("waivers.yaml", waivers.as_bytes()),
        ("vulnerabilities.yaml", policy.as_bytes()),
    ]);
    let repository = Repository::parse(&[files]).expect("a good policy");
    let [waiver] = repository.vulnerability_waivers() else {
        panic!("{:?}", repository.vulnerability_waivers());
    };
    assert_eq!(waiver.vulnerability, "CVE-2024-6387");
    let at = waiver.declared_at.as_ref().expect("its place");
    assert_eq!(at.to_string(), "/waivers.yaml:1");
    assert!(waiver.covers_package(["libssl3", "openssh"].into_iter()));
    assert!(!waiver.covers_package(["openssl"].into_iter()));
    let said = repository.vulnerabilities();
    assert_eq!(said.clocks, Some(std::collections::BTreeSet::new()));
    assert_eq!(said.days[&model::Severity::High], 30);
    assert_eq!(said.human_impact, Some(model::HumanImpact::VeryHigh));
    assert_eq!(said.max_age_days, None);
}

/// Case F11 of 2026-11-30: all of it was done, and then taken back.
#[test]
fn lint_names_wants_that_can_not_both_hold() {
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir(root.path().join("roles")).expect("a directory");
    let role = |value: &str| {
        format!(
            "role: ssh\nwant:\n\
             - sshd: {{option: AuthenticationMethods, value: \"publickey,keyboard-interactive\"}}\n\
             - file: {{path: /etc/ssh/sshd_config.d/50-match.conf, content: \"Match Group deployers\\n  authenticationmethods {value}\\n\"}}\n"
        )
    };
    let linted = |value: &str| {
        fs::write(root.path().join("roles/ssh.yaml"), role(value)).expect("written");
        let warnings = lint(root.path()).unwrap_or_else(|errors| panic!("{}", errors.plain()));
        warnings
            .iter()
            .map(|warning| warning.message().to_owned())
            .collect::<Vec<_>>()
    };
    let warnings = linted("publickey");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for part in [
        "can't both hold",
        "Match Group deployers",
        "`publickey` on line 2",
        "ssh.yaml:3",
        "ssh.yaml:4",
    ] {
        assert!(warnings[0].contains(part), "{part}: {warnings:?}");
    }
    assert_eq!(
        linted("publickey,keyboard-interactive"),
        Vec::<String>::new()
    );
}
