//! `steadfast schema NAME` gives what a validator that others wrote can use, and what the program
//! writes is valid by it.

use std::process::Command;

use serde_json::Value;

fn said(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .args(words)
        .output()
        .expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(!text.is_empty(), "{words:?} says nothing");
    text
}

fn schema(name: &str) -> Value {
    serde_json::from_str(&said(&["schema", name])).expect("JSON")
}

fn expect_valid(name: &str, value: &Value) {
    let schema = schema(name);
    let validator = jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&schema)
        .expect("a JSON Schema of the draft 2020-12");
    let wrong: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{name}: {wrong:#?}");
}

#[test]
fn each_name_that_is_listed_is_a_schema() {
    let names = said(&["schema"]);
    assert!(names.lines().count() >= 7, "{names}");
    for name in names.lines() {
        let schema = schema(name);
        let draft = "https://json-schema.org/draft/2020-12/schema";
        assert_eq!(schema["$schema"], draft, "{name}");
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
        assert!(schema["title"].is_string(), "{name}");
    }
}

#[test]
fn a_new_rule_is_valid_and_names_its_schema() {
    let text = said(&["rule", "new", "site-banner"]);
    let modeline = "# yaml-language-server: $schema=../baseline.schema.json";
    assert_eq!(text.lines().next(), Some(modeline));
    let value: Value = serde_saphyr::from_str(&text).expect("YAML");
    expect_valid("baseline", &value);
}

#[test]
fn a_report_is_valid() {
    let tree = tempfile::tempdir().expect("a temporary folder");
    let etc = tree.path().join("etc");
    std::fs::create_dir(&etc).expect("a folder");
    let release = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n";
    std::fs::write(etc.join("os-release"), release).expect("a file");
    let root = tree.path().to_str().expect("a path of text");
    let report = said(&["audit", "--root", root, "--format", "json"]);
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert!(
        report["findings"]
            .as_array()
            .is_some_and(|all| all.len() > 20)
    );
    expect_valid("report", &report);
}
