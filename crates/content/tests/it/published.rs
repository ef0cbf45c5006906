//! What is published about policies is true: the schema, and every example of the docs.

use std::collections::BTreeMap;

use content::{PolicyFiles, Repository, facts_in_templates, schema};
use serde_json::Value;

use crate::support::rule_with;

const GUIDE: &str = include_str!("../../../../docs/writing-policy.md");

/// The examples of the guide: each fenced block whose first line is a comment with a path.
pub fn examples() -> BTreeMap<String, String> {
    let mut examples = BTreeMap::new();
    for block in GUIDE.split("\n```").skip(1).step_by(2) {
        let (_language, text) = block.split_once('\n').expect("a block has lines");
        let first = text.lines().next().unwrap_or_default();
        let path = first
            .trim_start_matches("{# ")
            .trim_end_matches(" #}")
            .trim_start_matches("# ");
        let is_policy = [
            "roles/",
            "baselines/",
            "waivers.yaml",
            "patches.yaml",
            "vulnerabilities.yaml",
        ]
        .iter()
        .any(|start| path.starts_with(start));
        if is_policy {
            let other = examples.insert(path.to_owned(), format!("{text}\n"));
            assert_eq!(other, None, "`{path}` stands twice in the guide");
        }
    }
    examples
}

#[test]
fn every_example_of_the_guide_loads() {
    let examples = examples();
    assert!(examples.len() >= 5, "{:?}", examples.keys());
    let root = tempfile::tempdir().expect("a temporary folder");
    for (path, text) in &examples {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("below the root")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    match content::lint(root.path()) {
        Ok(warnings) => assert!(warnings.is_empty(), "{warnings:?}"),
        Err(errors) => panic!("{}", errors.plain()),
    }
}

#[test]
fn the_guide_lists_every_fact() {
    for fact in facts_in_templates() {
        let parts: Vec<String> = fact.parts.iter().map(|part| format!("`.{part}`")).collect();
        let line = format!(
            "| `{}` | {} | {} |",
            fact.name,
            parts.join(", "),
            fact.meaning
        );
        assert!(GUIDE.contains(&line), "the guide lacks: {line}");
    }
}

#[test]
fn the_schema_and_the_reader_know_the_same_keys() {
    let schema = schema();
    let keys = |value: &Value| -> Vec<String> {
        let properties = value["properties"].as_object().expect("an object's schema");
        properties.keys().cloned().collect()
    };
    let rule = &schema["baseline"]["properties"]["rules"]["items"];
    for key in keys(rule) {
        let text = rule_with(&format!("{key}: x"));
        let tailored = format!("extends: ours\nrules: [{{rule: one, {key}: x}}]\n");
        let says_unknown = |files: &[(&str, &str)]| {
            let files =
                PolicyFiles::from_bytes(files.iter().map(|(path, text)| (*path, text.as_bytes())));
            Repository::parse(&[files])
                .err()
                .is_some_and(|errors| errors.plain().contains("unknown key"))
        };
        let plain = rule_with("");
        assert!(
            !says_unknown(&[("baselines/a.yaml", &text)])
                || !says_unknown(&[
                    ("baselines/a.yaml", &plain),
                    ("baselines/b.yaml", &tailored)
                ]),
            "{key}"
        );
    }
    assert_eq!(
        keys(&schema["role"]),
        [
            "role",
            "description",
            "severity",
            "params",
            "include",
            "want"
        ]
    );
    for key in keys(&schema["vulnerabilities"]) {
        let text = format!("{key}: nonsense");
        let files = PolicyFiles::from_bytes([("vulnerabilities.yaml", text.as_bytes())]);
        let said = Repository::parse(&[files])
            .expect_err("it is wrong")
            .plain();
        assert!(!said.contains("unknown key"), "{said}");
    }
    for at in [0, 1] {
        let waiver = &schema["waivers"]["items"]["anyOf"][at];
        let needed: Vec<_> = waiver["required"]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        let text = keys(waiver)
            .iter()
            .map(|key| format!("{key}: x\n  "))
            .collect::<String>();
        let text = format!("- {text}");
        let files = PolicyFiles::from_bytes([("waivers.yaml", text.as_bytes())]);
        let said = Repository::parse(&[files])
            .expect_err("it is wrong")
            .plain();
        assert!(!said.contains("key"), "{said}");
        assert_eq!(needed.len(), 6);
    }
    let kinds = serde_json::to_string(&schema["role"]).expect("JSON");
    for kind in resource::Resource::KINDS {
        assert!(kinds.contains(&format!("\"{kind}\"")), "{kind}");
    }
}

#[test]
fn every_reference_of_the_schema_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(to)) = map.get("$ref") {
                    found.push(to.clone());
                }
                map.values().for_each(|inner| references(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let schema = schema();
    for (name, file) in schema.as_object().expect("a map of schemas") {
        let mut found = Vec::new();
        references(file, &mut found);
        let is_plain = matches!(&**name, "waivers" | "patches");
        assert!(is_plain || !found.is_empty(), "{name}");
        for to in found {
            let target = file.pointer(to.trim_start_matches('#'));
            assert!(target.is_some(), "{name}: {to}");
        }
    }
}
