//! What a policy comes to on a host.

use content::{Baselines, PolicyFiles, Repository, Request, compile};
use model::facts::Facts;
use model::value::Reason;
use model::{Fact, Severity};
use resource::{Applies, Resource, Wanted};

use crate::support::{baseline_of, host, rule_with};

fn repository(files: &[(&str, &str)]) -> Repository {
    let files = PolicyFiles::from_bytes(files.iter().map(|(path, text)| (*path, text.as_bytes())));
    Repository::parse(&[files]).unwrap_or_else(|errors| panic!("{}", errors.plain()))
}

fn compiled(files: &[(&str, &str)], facts: &Facts, request: &Request) -> Wanted {
    compile(&repository(files), facts, request)
        .unwrap_or_else(|errors| panic!("{}", errors.plain()))
}

/// What the role `web` wants, with these values of its parameters.
fn role(files: &[(&str, &str)], params: &[(&str, &str)]) -> Vec<Resource> {
    let request = Request {
        baselines: Baselines::None,
        roles: vec!["web".parse().expect("a name")],
        params: params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Request::default()
    };
    let wanted = compiled(files, &host(&["nginx"]), &request);
    wanted
        .roles
        .into_iter()
        .flat_map(|role| role.want)
        .map(|want| want.resource)
        .collect()
}

#[test]
fn conditions_say_why_a_rule_does_not_apply() {
    let facts = host(&["openssh-server", "docker.io"]);
    let no = |why: &str| Applies::No(why.to_owned());
    let cases = [
        ("true", Applies::Yes),
        (r#"package("openssh-server").installed"#, Applies::Yes),
        (
            r#"package("nginx").installed"#,
            no("nginx is not installed"),
        ),
        (
            r#"not (package("nginx").installed or package("docker.io").installed)"#,
            no("docker.io is installed"),
        ),
        (
            r#"package("openssh-server").installed and container"#,
            no("this is not a container"),
        ),
        (
            r#"container or not systemd"#,
            no("this is not a container and systemd is the init system"),
        ),
        (r#"mount("/tmp").exists"#, no("/tmp is not a mount point")),
        (r#"unit("cron").exists"#, no("there is no unit cron")),
        (
            r#"package("openssh-server").version is version_at_least("1:9.3")"#,
            no(
                "`package(\"openssh-server\").version is version_at_least(\"1:9.3\")` does not hold",
            ),
        ),
        (
            r#"package("openssh-server").version is version_at_least("9.9")"#,
            Applies::Yes, // the epoch decides
        ),
        (
            r#"unit("ssh").exists and release.version == "12""#,
            Applies::Yes,
        ),
        (
            r#""debian" in release.like or release.id == "debian""#,
            Applies::Yes,
        ),
    ];
    for (condition, expected) in cases {
        let text = rule_with(&format!("applies: '{condition}'"));
        let wanted = compiled(
            &[("baselines/ours.yaml", &text)],
            &facts,
            &Request::default(),
        );
        assert_eq!(wanted.rules[0].applies, expected, "{condition}");
    }
}

#[test]
fn an_unknown_fact_is_never_a_default() {
    let mut facts = host(&[]);
    facts.packages = Fact::Unknown(Reason::NeedsRoot);
    facts.container = Fact::Unknown(Reason::Offline);
    let unknown = Applies::Unknown(Reason::NeedsRoot);
    let cases = [
        (r#"package("nginx").installed"#, unknown.clone()),
        (r#"not package("nginx").installed"#, unknown.clone()),
        (r#"package("nginx").installed is defined"#, unknown.clone()),
        (
            r#"package("nginx").installed or container"#,
            unknown.clone(),
        ),
        ("container", Applies::Unknown(Reason::Offline)),
        // What decides is known: the unknown was not needed.
        (r#"systemd or package("nginx").installed"#, Applies::Yes),
    ];
    for (condition, expected) in cases {
        let text = rule_with(&format!("applies: '{condition}'"));
        let wanted = compiled(
            &[("baselines/ours.yaml", &text)],
            &facts,
            &Request::default(),
        );
        assert_eq!(wanted.rules[0].applies, expected, "{condition}");
        assert_eq!(wanted.rules[0].want.is_empty(), expected != Applies::Yes);
    }
    let text = rule_with("").replace("value: 1", "value: \"{{ package('a').installed }}\"");
    let wanted = compiled(
        &[("baselines/ours.yaml", &text)],
        &facts,
        &Request::default(),
    );
    assert_eq!(wanted.rules[0].applies, unknown);
}

#[test]
fn a_baseline_whose_fit_is_unknown_is_taken_in() {
    let text = rule_with("").replace("rules:", "applies: package(\"nginx\").installed\nrules:");
    let files = [("baselines/ours.yaml", text.as_str())];
    let wanted = compiled(&files, &host(&[]), &Request::default());
    assert!(wanted.baselines.is_empty());
    assert!(wanted.rules.is_empty());
    let wanted = compiled(&files, &host(&["nginx"]), &Request::default());
    assert_eq!(wanted.rules[0].applies, Applies::Yes);
    let mut facts = host(&[]);
    facts.packages = Fact::Unknown(Reason::NeedsRoot);
    let wanted = compiled(&files, &facts, &Request::default());
    assert_eq!(wanted.rules[0].applies, Applies::Unknown(Reason::NeedsRoot));
    let named = Request {
        baselines: Baselines::Named(vec!["ours".parse().expect("a name")]),
        ..Request::default()
    };
    let wanted = compiled(&files, &host(&[]), &named);
    assert_eq!(
        wanted.rules[0].applies,
        Applies::No("nginx is not installed".to_owned())
    );
}

#[test]
fn another_release_is_audited_but_not_proven() {
    let text = rule_with("");
    let mut facts = host(&[]);
    let Fact::Known(release) = &mut facts.release else {
        panic!("the host's release is known");
    };
    release.version = Some("14".to_owned());
    release.pretty = "Debian\u{1b} 14".to_owned();
    let wanted = compiled(
        &[("baselines/ours.yaml", &text)],
        &facts,
        &Request::default(),
    );
    assert_eq!(
        wanted.rules[0].applies,
        Applies::NotProven("not proven on Debian\\u{1b} 14".to_owned())
    );
    assert_eq!(wanted.rules[0].want.len(), 1, "it is audited all the same");
    assert!(!wanted.baselines[0].proven);
    facts.release = Fact::Unknown(Reason::NeedsRoot);
    let wanted = compiled(
        &[("baselines/ours.yaml", &text)],
        &facts,
        &Request::default(),
    );
    assert!(matches!(wanted.rules[0].applies, Applies::NotProven(_)));
}

#[test]
fn the_field_decides_the_type_of_what_a_template_gives() {
    let params = "role: web\nparams:\n  flag: {type: bool}\n  count: {type: int}\n  text: {type: string}\n  \
                  many: {type: list}\nwant:\n";
    let given = [
        ("flag", "true"),
        ("count", "7"),
        ("text", "no"),
        ("many", "/usr/bin/test,-e"),
    ];
    let cases = [
        (
            "service: {name: nginx, running: \"{{ flag }}\"}",
            "service: {name: nginx, running: true}",
        ),
        (
            "service: {name: nginx, running: \"{{ count > 6 }}\"}",
            "service: {name: nginx, running: true}",
        ),
        (
            "sysctl: {key: a.b, value: {at_most: \"{{ count }}\", set: \"{{ count - 1 }}\"}}",
            "sysctl: {key: a.b, value: {at_most: 7, set: 6}}",
        ),
        (
            "sysctl: {key: a.b, value: \"{{ text }}\"}",
            "sysctl: {key: a.b, value: no}",
        ),
        (
            "command: {name: x, check: \"{{ many }}\"}",
            "command: {name: x, check: [/usr/bin/test, -e]}",
        ),
        (
            "file: {path: /a, content: \"{{ flag }} {{ count }} {{ many | join('+') }}\\n\"}",
            "file: {path: /a, content: \"true 7 /usr/bin/test+-e\\n\"}",
        ),
        (
            "file: {path: /a, mode: \"{{ '0640' }}\", content: \"{{ hostname }}\"}",
            "file: {path: /a, mode: 0640, content: web-03}",
        ),
        (
            "file: {path: /a, content: \"{% raw %}{{ kept }}{% endraw %}\"}",
            "file: {path: /a, content: '{{ \"{{ kept }}\" }}'}",
        ),
    ];
    for (with_templates, plain) in cases {
        let templated = format!("{params}  - {with_templates}\n");
        let literal = format!("{params}  - {plain}\n");
        assert_eq!(
            role(&[("roles/web.yaml", &templated)], &given),
            role(&[("roles/web.yaml", &literal)], &given),
            "{with_templates}"
        );
    }
}

#[test]
fn a_bare_word_is_text_where_text_is_wanted() {
    let text = "role: web\nwant:\n  - file: {path: /a, content: no, mode: 0644, owner: on}\n";
    let quoted =
        "role: web\nwant:\n  - file: {path: /a, content: \"no\", mode: \"0644\", owner: \"on\"}\n";
    assert_eq!(
        role(&[("roles/web.yaml", text)], &[]),
        role(&[("roles/web.yaml", quoted)], &[])
    );
}

#[test]
fn template_files_are_found_beside_their_role_and_rendered() {
    let text = "role: web\nparams: {server_name: {type: string}, tls: {type: bool, default: false}}\nwant:\n  \
                - template: {path: /etc/nginx/site.conf, source: site.conf.j2, mode: \"0644\"}\n";
    let template = "{% include \"head.j2\" %}\nserver {\n  server_name {{ server_name }};\n{% if tls %}\n  listen 443;\n{% endif %}\n  # {{ package(\"nginx\").installed }}\n}\n";
    let expected = "# made for web-03\nserver {\n  server_name www.example.org;\n  # true\n}\n";
    for place in ["roles/site.conf.j2", "roles/web/site.conf.j2"] {
        let head = place.replace("site.conf", "head");
        let files = [
            ("roles/web.yaml", text),
            (place, template),
            (&head, "# made for {{ hostname }}\n"),
        ];
        let resources = role(&files, &[("server_name", "www.example.org")]);
        let Resource::Template(template) = &resources[0] else {
            panic!("a template");
        };
        assert_eq!(template.rendered.as_deref(), Some(expected), "{place}");
    }
}

#[test]
fn tailoring_changes_what_it_names_and_nothing_else() {
    let ours = baseline_of("ours", &["one", "two", "three"]);
    let tailored = "extends: ours\nreleases: {debian: [\"12\"]}\nrules:\n  \
        - rule: one\n    params: {value: 2}\n    severity: critical\n  \
        - rule: two\n    off: the build hosts need it\n  \
        - rule: three\n    profile: strict\n  \
        - {rule: four, title: Four, severity: low, why: To see., area: kernel, want: [{sysctl: {key: kernel.four, value: 4}}]}\n";
    let files = [
        ("baselines/a.yaml", ours.as_str()),
        ("baselines/b.yaml", tailored),
    ];
    let wanted = compiled(&files, &host(&[]), &Request::default());
    let said: Vec<(&str, Severity, &Applies)> = wanted
        .rules
        .iter()
        .map(|rule| (rule.meta.id.as_str(), rule.meta.severity, &rule.applies))
        .collect();
    let off = Applies::SwitchedOff("the build hosts need it".to_owned());
    assert_eq!(
        said,
        [
            ("one", Severity::Critical, &Applies::Yes),
            ("two", Severity::Low, &off),
            ("four", Severity::Low, &Applies::Yes),
        ]
    );
    assert_eq!(wanted.baselines.len(), 1);
    assert_eq!(wanted.baselines[0].rules, 3);
    let Resource::Sysctl(sysctl) = &wanted.rules[0].want[0].resource else {
        panic!("a kernel parameter");
    };
    assert_eq!(sysctl.value.to_string(), "2");
    let strict = Request {
        profiles: ["strict".to_owned()].into(),
        ..Request::default()
    };
    assert_eq!(compiled(&files, &host(&[]), &strict).rules.len(), 4);
    let back = tailored.replace("profile: strict", "profile: default");
    let strict_file = ours.replace("rules:", "profile: strict\nrules:");
    let files_back = [
        ("baselines/a.yaml", strict_file.as_str()),
        ("baselines/b.yaml", back.as_str()),
    ];
    let ids: Vec<String> = compiled(&files_back, &host(&[]), &Request::default())
        .rules
        .iter()
        .map(|rule| rule.meta.id.to_string())
        .collect();
    assert_eq!(
        ids,
        ["three", "four"],
        "`default` takes a rule out of its profile"
    );
    let one_rule = Request {
        rules: vec!["three".parse().expect("a name")],
        ..Request::default()
    };
    let wanted = compiled(&files, &host(&[]), &one_rule);
    assert_eq!(
        wanted.rules.len(),
        1,
        "a rule that is named is taken whatever its profile"
    );
}

#[test]
fn roles_include_others_once_and_same_wants_fold() {
    let files = [
        (
            "roles/web.yaml",
            "role: web\ninclude: [base, more]\nwant:\n  - package: {name: nginx}\n",
        ),
        (
            "roles/more.yaml",
            "role: more\ninclude: [base]\nwant:\n  - package: {name: curl}\n  - package: {name: less}\n",
        ),
        (
            "roles/base.yaml",
            "role: base\nwant:\n  - package: {name: less}\n",
        ),
    ];
    let names: Vec<String> = role(&files, &[])
        .iter()
        .map(|resource| resource.key().to_string())
        .collect();
    assert_eq!(names, ["package less", "package curl", "package nginx"]);
}

#[test]
fn places_point_into_the_policy() {
    let ours = baseline_of("ours", &["one"]);
    let wanted = compiled(
        &[("baselines/a.yaml", &ours)],
        &host(&[]),
        &Request::default(),
    );
    assert_eq!(
        wanted.rules[0].declared_at.to_string(),
        "/baselines/a.yaml:4"
    );
    assert_eq!(
        wanted.rules[0].want[0].declared_at.to_string(),
        "/baselines/a.yaml:11"
    );
}

#[test]
fn a_role_keeps_what_an_unproven_rule_wants_as_well() {
    let rule = rule_with("").replace("\"12\"", "\"13\"");
    let role = "role: web\nwant:\n  - sysctl: {key: kernel.kptr_restrict, value: 1}\n";
    let request = Request {
        roles: vec!["web".parse().expect("a name")],
        ..Request::default()
    };
    let files = [
        ("baselines/a.yaml", rule.as_str()),
        ("roles/web.yaml", role),
    ];
    let wanted = compiled(&files, &host(&[]), &request);
    assert!(matches!(wanted.rules[0].applies, Applies::NotProven(_)));
    assert_eq!(wanted.roles[0].want.len(), 1);
}

#[test]
fn a_role_and_its_wants_have_a_severity() {
    let text = "role: web\nseverity: high\nwant:\n  \
        - package: {name: nginx}\n  - package: {name: curl}\n    severity: low\n";
    let request = Request {
        baselines: Baselines::None,
        roles: vec!["web".parse().expect("a name")],
        ..Request::default()
    };
    let files = [
        ("roles/web.yaml", text),
        (
            "waivers.yaml",
            "- {rule: 'web/package:curl', hosts: ['*'], reason: r, owner: ana, approver: li, \
             expires: 2999-12-31}\n",
        ),
    ];
    let wanted = compiled(&files, &host(&[]), &request);
    let role = &wanted.roles[0];
    assert_eq!(role.severity, Severity::High);
    let own: Vec<_> = role.want.iter().map(|want| want.severity).collect();
    assert_eq!(own, [None, Some(Severity::Low)]);
    assert_eq!(wanted.waivers[0].rule.role(), Some("web"));
    // Where nothing is said it is medium.
    let plain = text.replace("severity: high\n", "");
    let wanted = compiled(&[("roles/web.yaml", &plain)], &host(&[]), &request);
    assert_eq!(wanted.roles[0].severity, Severity::Medium);
}

/// Case F15 of 2026-11-30: a file that no role asks for made the whole policy unreadable.
#[test]
fn odd_files_beside_a_role_matter_only_to_who_asks_for_them() {
    let logo: &[u8] = b"\x7fELF\x01\x02\xff";
    let large = vec![b'a'; 2 << 20];
    let parse = |role: &str| {
        Repository::parse(&[PolicyFiles::from_bytes([
            ("roles/web.yaml", role.as_bytes()),
            ("roles/web/logo.png", logo),
            ("roles/web/compose.yml", b"a: b\n"),
            ("roles/key.gpg", logo),
            ("roles/web/large", large.as_slice()),
        ])])
    };
    if let Err(errors) = parse("role: web\nwant: [package: {name: nginx}]\n") {
        panic!("{}", errors.plain());
    }
    let asks = "role: web\nwant: [template: {path: /srv/x, source: logo.png}]\n";
    let said = parse(asks).expect_err("it is no text").plain();
    assert!(
        said.contains("logo.png") && said.contains("UTF-8"),
        "{said}"
    );
}

/// Case F7 of 2026-11-30: a password was in the plan, in `next` lines and in JSON.
#[test]
fn a_secret_is_told_apart_and_never_taken_from_a_command_line() {
    let files = [
        (
            "roles/web.yaml",
            "role: web\nparams:\n  db_password: {type: string, secret: true}\nwant:\n\
             - template: {path: /etc/shop.env, source: env, mode: \"0644\"}\n\
             - key_value: {path: /etc/a.conf, syntax: equals, key: pw, value: \"{{ db_password }}\"}\n\
             - file: {path: /etc/open.conf, content: x}\n\
             - file: {path: /etc/kept.conf, content: x, mode: \"0640\"}\n\
             - file: {path: /etc/said.conf, content: x, mode: \"0640\", secret: false}\n\
             - file: {path: /etc/sudoers.d/web, content: x, mode: \"0440\"}\n\
             - file: {path: /etc/mode-only, mode: \"0600\"}\n",
        ),
        ("roles/web/env", "PW={{ db_password }}\n"),
    ];
    let mut request = Request {
        baselines: Baselines::None,
        roles: vec!["web".parse().expect("a name")],
        params: [("db_password".to_owned(), "S3cret".to_owned())].into(),
        ..Request::default()
    };
    let wanted = compiled(&files, &host(&[]), &request);
    let secret: Vec<bool> = wanted.roles[0]
        .want
        .iter()
        .map(|want| want.is_secret())
        .collect();
    assert_eq!(secret, [true, true, false, true, false, false, false]);
    let judged = format!(
        "{:?}",
        wanted.roles[0].want[1].judge(&resource::Answers::default())
    );
    assert!(!judged.contains("S3cret"), "{judged}");

    request.open_params.insert("db_password".to_owned());
    let refused = compile(&repository(&files), &host(&[]), &request).expect_err("refused");
    let said = refused.plain();
    assert!(
        said.contains("--param-from") && !said.contains("S3cret"),
        "{said}"
    );
}

#[test]
fn a_secret_stands_neither_in_the_policy_nor_in_a_command() {
    let mistake = |role: &str| {
        let files = [("roles/web.yaml", role)];
        let files =
            PolicyFiles::from_bytes(files.iter().map(|(path, text)| (*path, text.as_bytes())));
        let request = Request {
            baselines: Baselines::None,
            roles: vec!["web".parse().expect("a name")],
            params: [("pw".to_owned(), "S3cret".to_owned())].into(),
            ..Request::default()
        };
        let compiled = Repository::parse(&[files])
            .and_then(|repository| compile(&repository, &host(&[]), &request));
        compiled.expect_err("refused").plain()
    };
    let said =
        mistake("role: web\nparams: {pw: {type: string, secret: true, default: x}}\nwant: []\n");
    assert!(said.contains("stands in the policy"), "{said}");
    let said = mistake(
        "role: web\nparams: {pw: {type: string, secret: true}}\nwant:\n\
         - command: {name: x, check: [/bin/true, \"{{ pw }}\"]}\n",
    );
    assert!(said.contains("a secret in a command"), "{said}");
    // A value that does not fit is not quoted.
    let said = mistake(
        "role: web\nparams: {pw: {type: string, secret: true}}\nwant:\n\
         - file: {path: /etc/a, mode: \"{{ pw }}\"}\n",
    );
    assert!(
        said.contains("does not fit") && !said.contains("S3cret"),
        "{said}"
    );
}

#[test]
fn a_file_of_parameters_is_a_mapping_of_values() {
    let read = |text: &str| {
        content::read_param_file("params.yaml", text.as_bytes())
            .map_err(|errors| errors.plain())
            .map(|values| values.into_iter().collect::<Vec<_>>())
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        read("name: shop\nport: 80\nhosts: [a, b]\n"),
        Ok(vec![
            pair("hosts", "a,b"),
            pair("name", "shop"),
            pair("port", "80")
        ])
    );
    for wrong in [
        "- a\n",
        "a: {b: c}\n",
        "a: [\"b,c\"]\n",
        "a: !x S3cret\n",
        "a: S3cret\na: b\n",
    ] {
        let said = read(wrong).expect_err("refused");
        assert!(
            said.contains("params.yaml") && !said.contains("S3cret"),
            "{said}"
        );
    }
}

/// Case A14 of 2026-11-30: a template of chained `replace`s took 26 s until it was given up. Counted
/// in steps, since time depends on the machine.
#[test]
fn text_that_grows_is_given_up_after_a_fixed_amount_of_work() {
    let grow = "| replace('a', 'aaaaaaaaaa')".repeat(12);
    let keep = "{% set s = s | replace('b', 'c') %}".repeat(100);
    for body in [
        format!("{{{{ 'a' {grow} }}}}"),
        format!("{{% set s = 'a' * 1000000 %}}{keep}"),
        "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}"
            .to_owned(),
    ] {
        let files = [
            (
                "roles/web.yaml",
                "role: web\nwant:\n - template: {path: /etc/a, source: a}\n",
            ),
            ("roles/web/a", body.as_str()),
        ];
        let request = Request {
            baselines: Baselines::None,
            roles: vec!["web".parse().expect("a name")],
            ..Request::default()
        };
        let refused = compile(&repository(&files), &host(&[]), &request).expect_err(&body);
        assert!(
            refused.plain().contains("takes too long"),
            "{}",
            refused.plain()
        );
    }
}
