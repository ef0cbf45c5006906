//! The JSON Schema that an editor checks with and our own reader agree: on every baseline and
//! example of the repository, on files with templates, and on files that are broken.

use std::path::Path;

use content::{PolicyFiles, Repository, schema};
use jsonschema::Validator;
use serde_json::Value;

use crate::published::examples;
use crate::support::rule_with;

/// The kind of a policy file by its path and content, as `steadfast schema` names it.
fn kind(path: &str, text: &str) -> &'static str {
    match path {
        "waivers.yaml" => "waivers",
        "patches.yaml" => "patches",
        "vulnerabilities.yaml" => "vulnerabilities",
        _ if path.starts_with("roles/") => "role",
        _ if text.starts_with("extends:") || text.contains("\nextends:") => "tailoring",
        _ => "baseline",
    }
}

fn validator(kind: &str) -> Validator {
    let schema = schema();
    let of_kind = schema.get(kind).expect("a kind of policy file");
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(of_kind)
        .expect("a JSON Schema of the draft 2020-12")
}

/// What the schema has against a file; nothing when it is valid.
fn by_schema(path: &str, text: &str) -> Vec<String> {
    let value: Value = match serde_saphyr::from_str(text) {
        Ok(value) => value,
        Err(error) => return vec![error.to_string()],
    };
    validator(kind(path, text))
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// What our own reader has against it. A tailoring needs what it extends.
fn by_reader(path: &str, text: &str) -> Option<String> {
    let ours = rule_with("");
    let mut files = vec![(path, text.as_bytes())];
    if kind(path, text) == "tailoring" || path == "waivers.yaml" {
        files.push(("baselines/first.yaml", ours.as_bytes()));
    }
    let errors = Repository::parse(&[PolicyFiles::from_bytes(files)]).err()?;
    Some(errors.plain())
}

#[test]
fn the_schemas_are_of_the_draft_that_they_name() {
    for (name, schema) in schema().as_object().expect("a map of schemas") {
        assert!(jsonschema::meta::is_valid(schema), "{name}");
        let draft = "https://json-schema.org/draft/2020-12/schema";
        assert_eq!(schema["$schema"], draft, "{name}");
    }
}

#[test]
fn every_built_in_baseline_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../baselines");
    let mut looked_at = 0;
    for folder in std::fs::read_dir(root).expect("`baselines/` is part of the repository") {
        let folder = folder.expect("it can be listed").path();
        if !folder.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&folder).expect("a baseline's folder") {
            let path = file.expect("it can be listed").path();
            let text = std::fs::read_to_string(&path).expect("text");
            let wrong = by_schema("baselines/x.yaml", &text);
            assert!(wrong.is_empty(), "{}: {wrong:#?}", path.display());
            looked_at += 1;
        }
    }
    assert!(looked_at >= 20, "{looked_at}");
}

const README: &str = include_str!("../../../../README.md");

#[test]
fn every_example_of_the_documents_is_valid() {
    let of_readme = README.split("```yaml\n# policy/").skip(1);
    for block in of_readme {
        let (path, rest) = block.split_once('\n').expect("a path, and what is in it");
        let (text, _) = rest.split_once("\n```").expect("a block ends");
        let wrong = by_schema(path, text);
        assert!(wrong.is_empty(), "README, {path}: {wrong:#?}");
    }
    assert!(README.contains("```yaml\n# policy/"), "the README has one");
    let examples = examples();
    let yaml = examples.iter().filter(|(path, _)| path.ends_with(".yaml"));
    let mut kinds = std::collections::BTreeSet::new();
    for (path, text) in yaml {
        let wrong = by_schema(path, text);
        assert!(wrong.is_empty(), "{path}: {wrong:#?}");
        kinds.insert(kind(path, text));
    }
    // Each kind of file has an example.
    assert_eq!(kinds.len(), schema().as_object().expect("a map").len());
}

/// A role with these wants.
fn role(wants: &str) -> String {
    format!(
        "role: web\nparams:\n  n: {{type: int, default: 1}}\n  on: {{type: bool, default: true}}\n  \
         names: {{type: list, default: [a]}}\nwant:\n{wants}"
    )
}

const VALID_WANTS: [&str; 14] = [
    // A template wherever a number, a boolean or a list is wanted.
    "  - service: {name: nginx, running: \"{{ on }}\", enabled: \"{{ on }}\"}\n",
    "  - service: {name: nginx, masked: \"{{ not on }}\"}\n",
    "  - sysctl: {key: kernel.sysrq, value: \"{{ n }}\"}\n",
    "  - sysctl: {key: kernel.sysrq, value: {at_least: \"{{ n }}\", set: \"{{ n + 1 }}\"}}\n",
    "  - sysctl: {key: kernel.sysrq, value: {from: \"{{ n }}\", to: 3, set: \"{{ n }}\"}}\n",
    "  - file: {path: /a, absent: \"{{ on }}\"}\n",
    "  - file: {path: /a, content: x, secret: \"{{ on }}\", mode: \"{% if on %}0600{% else %}0640{% endif %}\"}\n",
    "  - mount_option: {path: /tmp, options: \"{{ names }}\"}\n",
    "  - group: {name: shadow, members: \"{{ names }}\"}\n",
    "  - package: {name: \"{{ names | first }}\", absent: \"{{ on }}\"}\n",
    "  - resource_limit: {item: core, at_most: \"{{ n }}\"}\n",
    "  - password_accepted: {service: common-auth}\n",
    // Any scalar is text where text is wanted.
    "  - sshd: {option: PermitRootLogin, value: no}\n",
    "  - file: {path: /a, content: 12, mode: 0644}\n",
];

#[test]
fn a_template_is_valid_wherever_a_number_or_a_boolean_is_wanted() {
    for want in VALID_WANTS {
        let text = role(want);
        let wrong = by_schema("roles/web.yaml", &text);
        assert!(wrong.is_empty(), "{want}: {wrong:#?}");
        assert_eq!(by_reader("roles/web.yaml", &text), None, "{want}");
    }
}

/// Files that are wrong in one place each.
fn broken() -> Vec<(&'static str, String)> {
    let rule = |line: &str| ("baselines/a.yaml", rule_with(line));
    let want = |want: &str| ("roles/web.yaml", role(&format!("  - {want}\n")));
    let role = |text: &str| ("roles/web.yaml", text.to_owned());
    let tailored = |entry: &str| {
        let text = format!("extends: ours\nrules:\n  - {{rule: one, {entry}}}\n");
        ("baselines/b.yaml", text)
    };
    let waiver = |of: &str, more: &str, expires: &str| {
        let text = format!(
            "- {of}\n  hosts: [\"*\"]\n  reason: it is so\n  owner: ana\n  approver: li\n  \
             expires: {expires}\n{more}"
        );
        ("waivers.yaml", text)
    };
    let patches = |text: &str| ("patches.yaml", text.to_owned());
    let vulnerabilities = |text: &str| ("vulnerabilities.yaml", text.to_owned());
    vec![
        role("role: web\nwnat: []\n"),
        role("want: []\n"),
        role("role: web\nwant: {}\n"),
        role("role: Web Server\nwant: []\n"),
        role("role: web\nseverity: urgent\nwant: []\n"),
        role("role: web\nparams: {a: {type: text}}\nwant: []\n"),
        role("role: web\ninclude: base\nwant: []\n"),
        role("[]\n"),
        want("file: {path: /a, contnet: x}"),
        want("fiel: {path: /a}"),
        want("file: {content: x}"),
        want("file: {path: /a, absent: maybe}"),
        want("file: {path: /a, absent: \"true\"}"),
        want("file: [/a]"),
        want("{file: {path: /a, content: x}, directory: {path: /b}}"),
        want("sysctl: {key: kernel.sysrq, value: {at_lest: 1, set: 1}}"),
        want("sysctl: {key: kernel.sysrq, value: {at_least: x, set: 1}}"),
        want("resource_limit: {item: core, at_most: many}"),
        want("resource_limit: {item: core, at_most: \"0\"}"),
        want("service: {name: nginx, running: 1}"),
        want("group: {name: shadow, members: ana}"),
        want("file: {path: a, content: x}"),
        want("{file: {path: /a, content: x}, severity: urgent}"),
        want("file: {path: /a, content: }"),
        want("file: {path: /a, content: x, mode: rw-r--r--}"),
        rule("severty: low"),
        rule("risk: some"),
        rule("tests: [{name: x, given: [], expect: fails}]"),
        rule("tests: [{name: x, expect: fail}]"),
        rule("tests: [{name: x, on: laptop, given: [], expect: fail}]"),
        (
            "baselines/a.yaml",
            "baseline: ours\nreleases: [debian]\nrules: []\n".to_owned(),
        ),
        ("baselines/a.yaml", "baseline: ours\n".to_owned()),
        tailored("severity: urgent"),
        tailored("params: 5"),
        waiver("rule: one", "  until: x\n", "2027-01-31"),
        waiver("rule: one", "", "2027-02-31"),
        waiver("rule: one", "", "soon"),
        waiver("rule: One Rule", "", "2027-01-31"),
        (
            "waivers.yaml",
            "- {rule: one, hosts: [\"*\"], reason: x, owner: ana, approver: li}\n".to_owned(),
        ),
        (
            "waivers.yaml",
            "- {rule: one, hosts: [], reason: x, owner: ana, approver: li, expires: 2027-01-31}\n"
                .to_owned(),
        ),
        patches("checks: [{run: /usr/bin/true}]\n"),
        patches("checks: [{timeout: 3s}]\n"),
        patches("data: [{packages: [a], restored: var/x, within: 7d}]\n"),
        patches("data: [{packages: [a], restored: /var/x, within: a week}]\n"),
        patches("answers: [{package: a, question: a/b, type: password, value: x}]\n"),
        patches("answers: [{package: a, question: b, type: string, value: x}]\n"),
        vulnerabilities("clocks: [cisa]\n"),
        vulnerabilities("days: {urgent: 3}\n"),
        vulnerabilities("days: {high: soon}\n"),
        vulnerabilities("human_impact: huge\n"),
        vulnerabilities("max_age_days: -1\n"),
        vulnerabilities("max_age: 3\n"),
    ]
}

#[test]
fn the_schema_and_the_reader_refuse_the_same_files() {
    let mut disagree = Vec::new();
    for (path, text) in broken() {
        let (schema, reader) = (by_schema(path, &text), by_reader(path, &text));
        if schema.is_empty() || reader.is_none() {
            disagree.push(format!(
                "{path}\n{text}schema: {schema:?}\nreader: {reader:?}\n"
            ));
        }
    }
    assert!(disagree.is_empty(), "{}", disagree.join("\n"));
}
