//! The exact message for each mistake, as a person sees it.

use content::{Baselines, ContentErrors, PolicyFiles, Repository, Request, compile};
use miette::{GraphicalReportHandler, GraphicalTheme};

use crate::support::{baseline_of, host, rule_with};

/// A snapshot that holds what people read, and not the code of the test.
macro_rules! snapshot {
    ($text:expr) => {
        insta::with_settings!({omit_expression => true}, {
            insta::assert_snapshot!($text);
        })
    };
}

/// Every mistake says what to do about it.
fn render(errors: &ContentErrors) -> String {
    for error in errors.iter() {
        assert!(error.hint().is_some(), "no hint: {error}");
    }
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_context_lines(1)
        .with_width(100);
    let mut out = String::new();
    for error in errors.iter() {
        handler
            .render_report(&mut out, error)
            .expect("writing to a string");
    }
    out
}

/// What reading these files says; every case is a mistake.
fn refused(files: &[(&str, &str)]) -> String {
    let files = PolicyFiles::from_bytes(files.iter().map(|(path, text)| (*path, text.as_bytes())));
    match Repository::parse(&[files]) {
        Ok(_) => panic!("this should be refused"),
        Err(errors) => render(&errors),
    }
}

/// All cases in one text: title, then message.
fn all<T: Copy>(cases: &[(&str, T)], shown: impl Fn(T) -> String) -> String {
    cases
        .iter()
        .map(|(title, case)| format!("# {title}\n{}\n", shown(*case)))
        .collect()
}

#[test]
fn mistakes_in_yaml() {
    let cases = [
        ("not YAML", "role: web\nwant: [\n"),
        ("a tab", "role: web\n\twant: []\n"),
        ("a duplicate key", "role: web\nrole: db\nwant: []\n"),
        ("an alias", "role: &x web\nwant: []\n"),
        ("a tag", "role: !!str web\nwant: []\n"),
        ("two documents", "role: web\nwant: []\n---\nrole: db\n"),
        ("a list as a whole", "- role: web\n"),
        ("an empty file", ""),
        (
            "a template without quotes",
            "role: web\nwant:\n  - file: {path: /a, content: {{ x }}}\n",
        ),
        (
            "nested too deep",
            "role: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
        ),
        ("a control character", "role: \"we\u{1b}b\"\n"),
        ("text that runs backwards", "rolle: \"\u{202e}bew\"\n"),
    ];
    snapshot!(all(&cases, |text| refused(&[("roles/web.yaml", text)])));
}

/// A line may be a megabyte; what is shown fits a screen, and names the place in the file.
#[test]
fn mistakes_in_lines_that_no_screen_shows() {
    let far = format!(
        "role: web\nwant: [{} {{file: {{path: /a, contnet: \"{}\"}}}}]\n",
        "{package: {name: nginx}},".repeat(5_000),
        "x".repeat(90_000)
    );
    let name = format!(
        "role: web\nwant:\n  - file: {{path: /a, {}: 1}}\n",
        "é".repeat(90_000)
    );
    let below = format!("role: web\nwant: {}\nwat: 1\n", "x".repeat(90_000));
    let cases = [
        ("far to the right", far.as_str()),
        ("a name that is the line", &name),
        ("beside one", &below),
    ];
    let said = all(&cases, |text| refused(&[("roles/web.yaml", text)]));
    snapshot!(said);
}

#[test]
fn mistakes_in_resources() {
    let cases = [
        (
            "an unknown key",
            r#"- file: {path: /etc/motd, contnet: "hi"}"#,
        ),
        (
            "an unknown kind",
            r#"- fiel: {path: /etc/motd, content: "hi"}"#,
        ),
        ("a missing key", r#"- file: {content: "hi"}"#),
        ("a wrong type", "- service: {name: nginx, running: yes}"),
        (
            "a quoted boolean",
            r#"- service: {name: nginx, running: "true"}"#,
        ),
        ("a list for text", "- file: {path: [/etc/motd]}"),
        (
            "a key without a value",
            "- file: {path: /etc/motd, content: }",
        ),
        ("a path that is not one", "- file: {path: etc/motd}"),
        (
            "a mode that is not one",
            "- file: {path: /etc/motd, mode: rw}",
        ),
        (
            "a value of no form",
            "- sysctl: {key: a.b, value: {at_mots: 3, set: 3}}",
        ),
        (
            "a bound that its value misses",
            "- sysctl: {key: a.b, value: {at_most: 3, set: 4}}",
        ),
        (
            "two kinds in one item",
            "- file: {path: /a}\n    package: {name: b}",
        ),
        ("no kind", "- nginx"),
        ("a kind without keys", "- file:"),
    ];
    snapshot!(all(&cases, |item| {
        let text = format!("role: web\nwant:\n  {item}\n");
        refused(&[("roles/web.yaml", &text)])
    }));
}

#[test]
fn mistakes_in_templates() {
    let cases = [
        (
            "an unknown name",
            r#"- file: {path: /a, content: "{{ nmae }}"}"#,
        ),
        (
            "an unknown filter",
            r#"- file: {path: /a, content: "{{ name | uper }}"}"#,
        ),
        (
            "a silent default",
            r#"- file: {path: /a, content: "{{ name | default('x') }}"}"#,
        ),
        (
            "an unknown test",
            r#"- file: {path: /a, content: "{{ 'x' if name is emty else 'y' }}"}"#,
        ),
        (
            "an unknown part",
            r#"- file: {path: /a, content: "{{ release.versoin }}"}"#,
        ),
        (
            "an unknown part of a call",
            r#"- file: {path: /a, content: "{{ package('x').instaled }}"}"#,
        ),
        ("syntax", r#"- file: {path: /a, content: "{{ name "}"#),
        (
            "an unknown tag",
            r#"- file: {path: /a, content: "{% iff name %}"}"#,
        ),
        (
            "in a block of text",
            "- file:\n      path: /a\n      content: |\n        one\n        two {{ nmae }}\n",
        ),
        ("in a key", r#"- file: {"{{ name }}": /a}"#),
        (
            "a mistake beside a template",
            r#"- file: {path: "/a/{{ name }}", contnet: "x"}"#,
        ),
        (
            "a template that is not there",
            "- template: {path: /a, source: site.conf}",
        ),
        (
            "a template by name",
            "- template: {path: /a, source: \"{{ name }}.j2\"}",
        ),
        (
            "a mistake in a template file",
            "- template: {path: /a, source: bad.j2}",
        ),
        (
            "an include that is not there",
            "- template: {path: /a, source: including.j2}",
        ),
        (
            "includes in a circle",
            "- template: {path: /a, source: circle.j2}",
        ),
    ];
    snapshot!(all(&cases, |item| {
        let text = format!("role: web\nparams: {{name: {{type: string}}}}\nwant:\n  {item}\n");
        refused(&[
            ("roles/web.yaml", &text),
            ("roles/site.conf.j2", "fine\n"),
            ("roles/bad.j2", "server {\n  server_name {{ servr }};\n}\n"),
            ("roles/including.j2", "{% include \"../../etc/shadow\" %}\n"),
            ("roles/circle.j2", "{% include 'circle.j2' %}\n"),
        ])
    }));
}

#[test]
fn mistakes_in_rules() {
    let whole = rule_with("");
    let without = |line: &str| {
        let lines: Vec<&str> = whole.lines().filter(|text| !text.contains(line)).collect();
        lines.join("\n")
    };
    let unknown_key = rule_with("severty: low");
    let severity = whole.replace("severity: low", "severity: hihg");
    let braces = rule_with("applies: \"{{ container }}\"");
    let number = rule_with("applies: 1 + x");
    let no_default = rule_with("params: {mode: {type: string}}");
    let taken = rule_with("params: {release: {default: 1}}");
    let one_of = rule_with("params: {mode: {default: \"a\", one_of: [b, c]}}");
    let title = whole.replace("title: One", "title: \"{{ container }}\"");
    let id = whole.replace("rule: one", "rule: One_Rule");
    let run = rule_with("tests: [{name: x, given: [{run: [touch, /a]}], expect: fail}]");
    let expect = rule_with("tests: [{name: x, given: [], expect: fails}]");
    let empty = whole.replace("why: To see.", "why: \"\"");
    let cases = [
        ("no why", without("why:")),
        ("an empty why", empty),
        ("no releases", without("releases:")),
        ("an unknown key", unknown_key),
        ("an unknown severity", severity),
        ("braces in a condition", braces),
        ("an unknown name in a condition", number),
        ("a parameter without a default", no_default),
        ("a parameter with a taken name", taken),
        ("a default that is not allowed", one_of),
        ("a template in a title", title),
        ("a bad id", id),
        ("a test that runs a program by name", run),
        ("an expectation that is none", expect),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(t, c)| (*t, c.as_str())).collect();
    snapshot!(all(&cases, |text| refused(&[(
        "baselines/ours.yaml",
        text
    )])));
}

#[test]
fn mistakes_between_files() {
    let ours = baseline_of("ours", &["one", "two"]);
    let again = baseline_of("ours", &["one"]);
    let cases: [(&str, &[(&str, &str)]); 13] = [
        ("a rule declared twice", &[("baselines/b.yaml", &again)]),
        (
            "an unknown baseline",
            &[(
                "baselines/b.yaml",
                "extends: our\nrules: [{rule: one, off: because}]\n",
            )],
        ),
        (
            "an unknown rule",
            &[(
                "baselines/b.yaml",
                "extends: ours\nrules: [{rule: won, off: because}]\n",
            )],
        ),
        (
            "an unknown parameter",
            &[(
                "baselines/b.yaml",
                "extends: ours\nrules: [{rule: one, params: {valeu: 2}}]\n",
            )],
        ),
        (
            "a value that is not allowed",
            &[(
                "baselines/b.yaml",
                "extends: ours\nrules: [{rule: one, params: {value: 7}}]\n",
            )],
        ),
        (
            "a value of another type",
            &[(
                "baselines/b.yaml",
                "extends: ours\nrules: [{rule: one, params: {value: \"2\"}}]\n",
            )],
        ),
        (
            "switched off without a reason",
            &[(
                "baselines/b.yaml",
                "extends: ours\nrules: [{rule: one, off: \"\"}]\n",
            )],
        ),
        (
            "nothing tailored",
            &[("baselines/b.yaml", "extends: ours\nrules: [{rule: one}]\n")],
        ),
        (
            "tailored twice",
            &[
                (
                    "baselines/b.yaml",
                    "extends: ours\nrules: [{rule: one, off: a}]\n",
                ),
                (
                    "baselines/c.yaml",
                    "extends: ours\nrules: [{rule: one, off: b}]\n",
                ),
            ],
        ),
        (
            "both baseline and extends",
            &[(
                "baselines/b.yaml",
                "baseline: x\nextends: ours\nrules: []\n",
            )],
        ),
        (
            "roles in a circle",
            &[
                ("roles/a.yaml", "role: a\ninclude: [b]\n"),
                ("roles/b.yaml", "role: b\ninclude: [a]\n"),
            ],
        ),
        (
            "an unknown role",
            &[
                ("roles/web.yaml", "role: web\ninclude: [bse]\n"),
                ("roles/base.yaml", "role: base\nwant: []\n"),
            ],
        ),
        (
            "another ending",
            &[("roles/web.yml", "role: web\nwant: []\n")],
        ),
    ];
    snapshot!(all(&cases, |files| {
        let mut all_files = vec![("baselines/a.yaml", ours.as_str())];
        all_files.extend(files);
        refused(&all_files)
    }));
}

#[test]
fn mistakes_in_waivers() {
    let ours = baseline_of("ours", &["one"]);
    let cases = [
        ("everything missing", "- {}"),
        (
            "an unknown rule",
            "- {rule: oen, hosts: [\"*\"], reason: r, owner: ana, approver: li, expires: 2027-01-31}",
        ),
        (
            "the owner approves",
            "- {rule: one, hosts: [\"*\"], reason: r, owner: ana, approver: Ana, expires: 2027-01-31}",
        ),
        (
            "a date that is none",
            "- {rule: one, hosts: [\"*\"], reason: r, owner: ana, approver: li, expires: 2027-02-31}",
        ),
        (
            "no host",
            "- {rule: one, hosts: [], reason: r, owner: ana, approver: li, expires: 2027-01-31}",
        ),
        (
            "one host that is not a list",
            "- {rule: one, hosts: web, reason: r, owner: ana, approver: li, expires: 2027-01-31}",
        ),
        (
            "a host that could not be",
            "- {rule: one, hosts: [\"web-[12]\"], reason: r, owner: ana, approver: li, expires: 2027-01-31}",
        ),
        ("not a list", "rule: one"),
    ];
    snapshot!(all(&cases, |text| {
        refused(&[("baselines/a.yaml", &ours), ("waivers.yaml", text)])
    }));
}

#[test]
fn mistakes_in_patches() {
    let cases = [
        ("a key that is none", "chekcs: []"),
        ("a list", "- checks"),
        ("a check without a program", "checks:\n  - timeout: 5s"),
        ("a relative program", "checks:\n  - run: [smoke]"),
        ("no time", "checks:\n  - {run: [/bin/true], timeout: soon}"),
        ("too long", "checks:\n  - {run: [/bin/true], timeout: 2h}"),
        ("everything missing", "data:\n  - {}"),
        (
            "no package",
            "data:\n  - {packages: [], restored: /a, within: 7d}",
        ),
        (
            "a package that could not be",
            "data:\n  - {packages: [\"a b\"], restored: /a, within: 7d}",
        ),
        (
            "the whole system",
            "data:\n  - {packages: [slapd], paths: [/var/lib/x, /usr], restored: /a, within: 7d}",
        ),
        (
            "a relative proof",
            "data:\n  - {packages: [slapd], restored: a, within: 7d}",
        ),
        (
            "no days",
            "data:\n  - {packages: [slapd], restored: /a, within: 12h}",
        ),
        (
            "a question that is none",
            "answers:\n  - {package: dq, question: size, type: string, value: a}",
        ),
        (
            "a password",
            "answers:\n  - {package: dq, question: dq/key, type: password, value: a}",
        ),
        (
            "two lines",
            "answers:\n  - {package: dq, question: dq/size, type: string, value: \"a\\nb c d e\"}",
        ),
    ];
    snapshot!(all(&cases, |text| refused(&[("patches.yaml", text)])));
}

#[test]
fn mistakes_about_vulnerabilities() {
    const REST: &str = "hosts: [\"*\"], reason: r, owner: ana, approver: li, expires: 2027-01-31}";
    let waivers = [
        (
            "everything missing",
            "- {vulnerability: CVE-2024-6387}".to_owned(),
        ),
        (
            "a pattern",
            format!("- {{vulnerability: CVE-2024-*, {REST}"),
        ),
        (
            "no package",
            format!("- {{vulnerability: CVE-2024-6387, package: \"\", {REST}"),
        ),
        (
            "a key of another kind",
            format!("- {{vulnerability: CVE-2024-6387, rule: one, {REST}"),
        ),
        (
            "an unknown key",
            format!("- {{vulnerability: CVE-2024-6387, pakage: x, {REST}"),
        ),
    ];
    let waivers: Vec<_> = waivers
        .iter()
        .map(|(what, text)| (*what, text.as_str()))
        .collect();
    let policies = [
        ("an unknown key", "clock: [pci-dss]"),
        ("an unknown clock", "clocks: [pci]"),
        ("an unknown severity", "days: {urgent: 3}"),
        ("days that are none", "days: {high: soon}"),
        ("an unknown impact", "human_impact: enormous"),
        ("no days at all", "max_age_days: 0"),
        ("a list", "- clocks"),
    ];
    let text = all(&waivers, |text| refused(&[("waivers.yaml", text)]))
        + &all(&policies, |text| refused(&[("vulnerabilities.yaml", text)]));
    snapshot!(text);
}

#[test]
fn mistakes_on_a_host() {
    let params =
        "role: web\nparams:\n  name: {type: string}\n  port: {type: int, default: 80}\nwant:\n";
    type OnHost<'c> = (&'c str, &'c [(&'c str, &'c str)]);
    let cases: [(&str, OnHost<'_>); 9] = [
        (
            "a missing parameter",
            ("  - package: {name: \"{{ name }}\"}", &[]),
        ),
        (
            "an unknown parameter",
            ("  - package: {name: \"{{ name }}\"}", &[("nmae", "x")]),
        ),
        (
            "a parameter of the wrong type",
            (
                "  - package: {name: nginx}",
                &[("name", "x"), ("port", "http")],
            ),
        ),
        (
            "a rendered value that does not fit",
            (
                "  - file: {path: \"{{ name }}\"}",
                &[("name", "etc/secret")],
            ),
        ),
        (
            "a rendered number that is none",
            (
                "  - user: {name: ana, uid: \"{{ name }}\"}",
                &[("name", "secret")],
            ),
        ),
        (
            "a value that is not there",
            (
                "  - file: {path: /a, content: \"{{ package('none').version }}\"}",
                &[("name", "x")],
            ),
        ),
        (
            "a list that is printed",
            (
                "  - file: {path: /a, content: \"x{{ [name] }}\"}",
                &[("name", "secret")],
            ),
        ),
        (
            "types that don't fit",
            (
                "  - file: {path: /a, content: \"{{ name + 1 }}\"}",
                &[("name", "secret")],
            ),
        ),
        (
            "two wants for one thing",
            (
                "  - package: {name: nginx}\n  - package: {name: nginx, absent: true}",
                &[("name", "x")],
            ),
        ),
    ];
    snapshot!(all(&cases, |(want, given)| {
        let text = format!("{params}{want}\n");
        let files = PolicyFiles::from_bytes([("roles/web.yaml", text.as_bytes())]);
        let repository =
            Repository::parse(&[files]).unwrap_or_else(|errors| panic!("{}", errors.plain()));
        let request = Request {
            baselines: Baselines::None,
            roles: vec!["web".parse().expect("a role's name")],
            params: given
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            ..Request::default()
        };
        let errors = compile(&repository, &host(&[]), &request).expect_err("the case is a mistake");
        let message = render(&errors);
        for (_, value) in given {
            assert!(
                !value.contains("secret") || !message.contains(value),
                "{message}"
            );
        }
        message
    }));
}

#[test]
fn mistakes_in_a_request() {
    let ours = baseline_of("ours", &["one", "two"]);
    let files = PolicyFiles::from_bytes([("baselines/a.yaml", ours.as_bytes())]);
    let repository =
        Repository::parse(&[files]).unwrap_or_else(|errors| panic!("{}", errors.plain()));
    let request = Request {
        baselines: Baselines::Named(vec!["our".parse().expect("a name")]),
        profiles: ["strikt".to_owned()].into(),
        roles: vec!["web".parse().expect("a name")],
        rules: vec!["won".parse().expect("a name")],
        params: [("a".to_owned(), "b".to_owned())].into(),
        ..Request::default()
    };
    let errors = compile(&repository, &host(&[]), &request).expect_err("nothing of it is known");
    snapshot!(render(&errors));
}

#[test]
fn several_mistakes_are_one_report() {
    let files = PolicyFiles::from_bytes([(
        "roles/web.yaml",
        b"role: web\nwant:\n  - fiel: {path: /a}\n  - file: {pth: /a}\n".as_slice(),
    )]);
    let errors = Repository::parse(&[files]).expect_err("there are two mistakes");
    let mut out = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .render_report(&mut out, &errors)
        .expect("writing to a string");
    snapshot!(format!("{out}\n{}", errors.plain()));
}
