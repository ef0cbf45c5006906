//! The built-in rules, as files: every one reads, is complete, and can fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use model::plan::Risk;
use model::{RuleId, Severity};
use resource::Resource;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    baseline: String,
    #[expect(dead_code, reason = "read so that a wrong type is noticed")]
    title: Option<String>,
    releases: BTreeMap<String, Vec<String>>,
    profile: Option<String>,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    rule: RuleId,
    title: String,
    severity: Severity,
    why: String,
    area: String,
    #[expect(dead_code, reason = "read so that a wrong type is noticed")]
    applies: Option<String>,
    #[serde(default)]
    params: BTreeMap<String, Value>,
    want: Vec<Value>,
    #[expect(dead_code, reason = "read so that a wrong type is noticed")]
    #[serde(default)]
    risk: Risk,
    #[serde(default)]
    tests: Vec<Test>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    name: String,
    given: Vec<Value>,
    on: Option<String>,
    expect: String,
    #[expect(dead_code, reason = "read so that a wrong type is noticed")]
    #[serde(default)]
    releases: Vec<String>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name)
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder is part of the repository")
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    files
}

fn read(path: &Path) -> File {
    let text = fs::read_to_string(path).expect("the file can be read");
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn debian() -> Vec<(PathBuf, File)> {
    yaml_files(&folder("baselines/debian"))
        .into_iter()
        .map(|path| {
            let file = read(&path);
            (path, file)
        })
        .collect()
}

/// Puts the defaults of the parameters in place of `{{ name }}`, in every text.
fn rendered(value: &Value, params: &BTreeMap<String, Value>) -> Value {
    match value {
        Value::String(text) => {
            let mut text = text.clone();
            for (name, declared) in params {
                let default = match &declared["default"] {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                text = text.replace(&format!("{{{{ {name} }}}}"), &default);
            }
            assert!(!text.contains("{{"), "an unknown parameter in `{text}`");
            Value::String(text)
        }
        Value::Array(items) => items.iter().map(|item| rendered(item, params)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), rendered(value, params)))
            .collect(),
        other => other.clone(),
    }
}

#[test]
fn every_rule_of_the_debian_baseline_reads_and_is_complete() {
    const AREAS: [&str; 15] = [
        "accounts",
        "auditing",
        "authentication",
        "boot",
        "cron",
        "kernel",
        "logging",
        "modules",
        "mounts",
        "network",
        "packages",
        "permissions",
        "services",
        "sources",
        "sudo",
    ];
    let mut ids = BTreeSet::new();
    let mut in_default = 0;
    for (path, file) in debian() {
        let path = path.display();
        assert_eq!(file.baseline, "debian", "{path}");
        assert_eq!(file.releases["debian"], ["12", "13"], "{path}");
        assert!(
            matches!(file.profile.as_deref(), None | Some("strict")),
            "{path}"
        );
        for rule in &file.rules {
            let id = &rule.rule;
            assert!(ids.insert(id.clone()), "{path}: {id} is declared twice");
            in_default += usize::from(file.profile.is_none());
            assert!(
                !rule.title.ends_with('.') && rule.title.len() <= 90,
                "{id}: title"
            );
            assert!(
                rule.why.ends_with('.') && rule.why.len() <= 320,
                "{id}: why"
            );
            assert!(
                AREAS.contains(&rule.area.as_str()),
                "{id}: area `{}`",
                rule.area
            );
            assert!(!rule.want.is_empty(), "{id} wants nothing");
            let mut keys = BTreeSet::new();
            for want in &rule.want {
                let want = rendered(want, &rule.params);
                let resource: Resource = serde_json::from_value(want.clone())
                    .unwrap_or_else(|e| panic!("{id}: {want}: {e}"));
                if let Err(why) = resource.check() {
                    panic!("{id}: {want}: {why}");
                }
                assert!(
                    keys.insert(resource.key()),
                    "{id} wants {} twice",
                    resource.key()
                );
            }
            assert!(
                rule.tests.iter().any(|test| test.expect == "fail"),
                "{id} has no bad case"
            );
            for test in &rule.tests {
                assert!(
                    !test.given.is_empty(),
                    "{id}: `{}` gives nothing",
                    test.name
                );
                assert!(matches!(
                    test.on.as_deref(),
                    None | Some("container" | "machine")
                ));
                for given in &test.given {
                    let kind = given.as_object().and_then(|map| map.keys().next());
                    assert!(
                        kind.is_some_and(|kind| kind == "run"
                            || kind == "file"
                            || Resource::KINDS.contains(&&**kind)),
                        "{id}: given {given}"
                    );
                }
            }
        }
    }
    assert!(
        in_default >= 20,
        "{in_default} rules in the default profile"
    );
}
