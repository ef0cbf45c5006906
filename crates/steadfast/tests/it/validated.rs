//! What validators of others say of our documents. `cargo xtask test formats` installs them and
//! runs this.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::vulns::Bench;
use crate::vulns_formats::{bench, documents_with_kernels, records};

/// The folder where the validators are.
fn validators() -> PathBuf {
    let folder = std::env::var_os("STEADFAST_VALIDATORS");
    folder
        .expect("`cargo xtask test formats` names the folder")
        .into()
}

/// Whether a document is valid, and why not.
fn check(form: &str, path: &Path) -> Result<(), String> {
    let folder = validators();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/validate.py");
    let mut command = Command::new(folder.join("venv/bin/python"));
    command.arg(script).arg(form).arg(path);
    if form == "sarif" {
        let schemas = "node_modules/@microsoft/jest-sarif/lib/schemas";
        command.arg(folder.join(schemas).join("sarif-2.1.0-rtm.5.json"));
    }
    let output = command.output().expect("the validator runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) => Ok(()),
        Some(1) if !said.is_empty() => Err(said),
        _ => panic!("the validator did not answer: {output:?}"),
    }
}

/// A document that the program writes about the tree, and the same one broken. It holds these
/// words: what is not in it was not validated.
fn written(bench: &Bench, command: &[&str], form: &str, words: &[&str]) {
    let root = bench.path("root");
    let path = bench.path(&format!("{}-{form}.json", command[0]));
    let more = ["--root", &root, "--output", &path];
    let output = bench.run(&[command, &more[..]].concat());
    assert!(
        matches!(output.status.code(), Some(0 | 1 | 3)),
        "{output:?}"
    );
    let path = PathBuf::from(path);
    check(form, &path).unwrap_or_else(|why| panic!("{command:?}: {why}"));
    // A validator that takes anything would prove nothing.
    let text = std::fs::read_to_string(&path).expect("it was written");
    for word in words {
        assert!(text.contains(&format!("\"{word}\"")), "{command:?}: {word}");
    }
    let mut document: Value = serde_json::from_str(&text).expect("JSON");
    match form {
        "sarif" => document["runs"][0]["results"][0]["level"] = "terrible".into(),
        "cyclonedx" => document["components"][0]["type"] = "thing".into(),
        _ => document["packages"][0]["downloadLocation"] = Value::Null,
    }
    let broken = path.with_extension("broken.json");
    std::fs::write(&broken, document.to_string()).expect("a file");
    check(form, &broken).expect_err("it is broken");
}

#[test]
#[ignore = "needs validators, which cargo xtask test formats installs"]
fn documents_are_valid_by_the_word_of_others() {
    let bench = bench("validated");
    let vex = r#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"x","author":"us",
        "timestamp":"2026-02-01T00:00:00Z","version":1,"statements":[{
        "vulnerability":{"name":"CVE-2026-0003"},"status":"not_affected",
        "justification":"vulnerable_code_not_in_execute_path",
        "products":[{"@id":"pkg:deb/debian/openssl?distro=debian-12"}]}]}"#;
    // Nothing is said of left-pad, whose version has no order.
    let undetermined = crate::vulns_formats::other("GHSA-x", "", "npm", "left-pad", "1.0.0");
    bench.file(
        "root/srv/node_modules/left-pad/package.json",
        r#"{"name": "left-pad", "version": "not a version"}"#,
    );
    // What can't be read makes an inventory incomplete.
    bench.file("root/srv/one.jar", "no archive at all");
    bench.feeds(&[records(), vec![vex.to_owned(), undetermined]].concat());
    bench.file(
        "policy/waivers.yaml",
        "- vulnerability: PYSEC-2026-1\n  hosts: [\"*\"]\n  reason: nothing is fetched\n  \
         owner: ana\n  approver: li\n  expires: 2999-12-31\n",
    );
    let policy = bench.path("policy");
    let vulns = |format: &'static str| ["vulns", "--policy", &policy, "--format", format];
    written(
        &bench,
        &vulns("sarif"),
        "sarif",
        &["fail", "open", "external"],
    );
    let states = ["exploitable", "in_triage", "not_affected", "will_not_fix"];
    bench.file(
        "policy/roles/shop.yaml",
        "role: shop\ndescription: A shop.\nwant:\n  - file: {path: /etc/shop.conf, content: \"port = 80\\n\"}\n  \
         - sysctl: {key: kernel.sysrq, value: 0}\n",
    );
    bench.file("root/etc/shop.conf", "port = 81\n");
    let audit = [
        "audit", "--policy", &policy, "--role", "shop", "--format", "sarif",
    ];
    written(
        &bench,
        &audit,
        "sarif",
        &["shop/file:/etc/shop.conf", "fail", "open"],
    );
    written(&bench, &vulns("cyclonedx-vex"), "cyclonedx", &states);
    written(
        &bench,
        &["inventory", "--format", "cyclonedx"],
        "cyclonedx",
        &["purl"],
    );
    written(
        &bench,
        &["inventory", "--format", "spdx"],
        "spdx",
        &["purl", "NOASSERTION", "annotations"],
    );
    // Kernels that do not run are of a running host alone.
    for (form, document) in documents_with_kernels(&bench) {
        let path = bench.file(&format!("kernels-{form}.json"), &document.to_string());
        check(form, &path).unwrap_or_else(|why| panic!("{form}: {why}"));
    }
}
