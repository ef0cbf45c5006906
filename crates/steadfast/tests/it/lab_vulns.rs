//! Vulnerabilities of a booted host: what runs and listens there is seen, what came another way
//! than as a package is found, and waivers of its policy hold until their date.

use std::time::Duration;

use serde_json::Value;

use crate::booted::{Host, POLICY};
use crate::vulns_formats::other;

const AGE: [&str; 2] = ["--max-age", "60000"];

/// sshd listens, and nothing else that a record speaks of.
fn host() -> Option<Host> {
    let host = Host::fresh()?;
    host.shell("systemctl start ssh");
    host.wait_for("ss -ltn | grep -q ':22 '", Duration::from_secs(30));
    host.write(
        "/opt/app/lib/python3.11/site-packages/requests-2.19.0.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: requests\nVersion: 2.19.0\n",
    );
    host.write(
        "/srv/web/node_modules/minimist/package.json",
        r#"{"name": "minimist", "version": "1.2.0"}"#,
    );
    let records = [
        other("CVE-2026-0001", "", "Debian:12", "openssh", "9:1"),
        other("PYSEC-2026-1", r#""CVE-2026-0002""#, "PyPI", "requests", "2.20.0"),
        other("GHSA-dddd-eeee-ffff", r#""CVE-2026-0003""#, "npm", "minimist", "1.2.6"),
        r#"{"catalogVersion":"1","dateReleased":"2026-01-01T00:00:00Z","count":1,"vulnerabilities":[
        {"cveID":"CVE-2026-0009","dateAdded":"2026-01-02","knownRansomwareCampaignUse":"Known"}]}"#
            .to_owned(),
    ];
    for (at, record) in records.iter().enumerate() {
        host.write(&format!("/root/feed/{at}.json"), record);
    }
    host.steadfast(&["feed", "import", "/root/feed", "--name", "all"])
        .expect(0, &[]);
    Some(host)
}

fn vulns(host: &Host, more: &[&str]) -> (Option<i32>, Value) {
    let said = host.steadfast(&[&["vulns"], &AGE[..], more].concat());
    let value = serde_json::from_str(&said.out);
    let value = value.unwrap_or_else(|error| panic!("{error}: {said}"));
    (said.code, value)
}

/// The exposure of a finding, and the reason.
fn exposure(value: &Value, name: &str) -> (String, String) {
    let findings = value["findings"].as_array().expect("a list");
    let finding = findings.iter().find(|one| one["name"] == name).expect(name);
    let inputs = finding["ranking"]["inputs"].as_array().expect("a list");
    let input = inputs.iter().find(|input| input["name"] == "exposure");
    let text = |key: &str| input.expect("it is shown")[key].as_str().map(str::to_owned);
    (
        text("value").unwrap_or_default(),
        text("reason").unwrap_or_default(),
    )
}

#[test]
fn what_listens_and_what_came_another_way_is_seen() {
    let Some(host) = host() else {
        return;
    };
    let (code, value) = vulns(&host, &["--format", "json"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        value["findings"].as_array().map(Vec::len),
        Some(3),
        "{value}"
    );
    assert_eq!(value["unknown"], Value::Array(Vec::new()), "{value}");
    let (seen, why) = exposure(&value, "CVE-2026-0001");
    assert_eq!(seen, "open", "{why}");
    assert!(why.contains("listens on an outside address"), "{why}");
    // Python may run here already; no Node does.
    let (seen, why) = exposure(&value, "CVE-2026-0002");
    assert_eq!(seen, "small", "{why}");
    let node = |value: &Value| exposure(value, "CVE-2026-0003");
    let (seen, why) = node(&value);
    assert_eq!(seen, "small", "{why}");
    assert!(why.contains("nothing that runs"), "{why}");
    // An interpreter that does not listen may have loaded it; one that listens might be reached.
    host.shell("cp /bin/sleep /opt/node; systemd-run --unit=app /opt/node 600");
    let (_, value) = vulns(&host, &["--format", "json"]);
    let (seen, why) = node(&value);
    assert_eq!(seen, "small", "{why}");
    assert!(why.contains("do not listen"), "{why}");
    host.shell("systemctl stop app");
    host.write(
        "/etc/systemd/system/web.socket",
        "[Socket]\nListenStream=0.0.0.0:8080\nAccept=no\n",
    );
    host.write(
        "/etc/systemd/system/web.service",
        "[Service]\nExecStart=/opt/node 600\nSockets=web.socket\n",
    );
    host.shell("systemctl daemon-reload && systemctl start web.socket web.service");
    let (_, value) = vulns(&host, &["--format", "json"]);
    let (seen, why) = node(&value);
    assert_eq!(seen, "open", "{why}");
    assert!(why.contains("may have loaded it"), "{why}");
    // Only packages: the others are not looked for.
    let (code, value) = vulns(&host, &["--os-only", "--format", "json"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        value["findings"].as_array().map(Vec::len),
        Some(1),
        "{value}"
    );
}

#[test]
fn a_waiver_of_the_hosts_policy_holds_until_its_date() {
    let Some(host) = host() else {
        return;
    };
    let waivers = |expires: &str| {
        let waiver = |name: &str| {
            format!(
                "- vulnerability: {name}\n  hosts: [\"*\"]\n  reason: it waits\n  owner: ana\n  \
                 approver: li\n  expires: {expires}\n"
            )
        };
        let all = ["CVE-2026-0001", "PYSEC-2026-1", "CVE-2026-0003"].map(waiver);
        host.write(&format!("{POLICY}/waivers.yaml"), all.concat());
        host.shell(&format!("chown -R root:root {POLICY}"));
    };
    waivers("2999-12-31");
    host.steadfast(&[&["vulns"], &AGE[..]].concat())
        .expect(0, &["0 findings", "waived", "requests", "approved by li"]);
    let (code, log) = vulns(&host, &["--format", "sarif"]);
    assert_eq!(code, Some(0));
    let results = log["runs"][0]["results"]
        .as_array()
        .expect("a list")
        .clone();
    assert_eq!(results.len(), 3, "{log}");
    for result in &results {
        assert_eq!(result["suppressions"][0]["justification"], "it waits");
    }
    let place = |result: &Value| {
        let place = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        place.as_str().map(str::to_owned).unwrap_or_default()
    };
    let places: Vec<String> = results.iter().map(place).collect();
    for wanted in [
        "var/lib/dpkg/status",
        "srv/web/node_modules/minimist/package.json",
    ] {
        assert!(places.iter().any(|place| place == wanted), "{places:?}");
    }
    waivers("2026-01-31");
    host.steadfast(&[&["vulns"], &AGE[..]].concat()).expect(
        1,
        &[
            "3 findings",
            "expired",
            "ended on 2026-01-31",
            "1 finding counts again",
        ],
    );
    let (code, log) = vulns(&host, &["--format", "sarif"]);
    assert_eq!(code, Some(1));
    let results = log["runs"][0]["results"].as_array().expect("a list");
    let empty = Value::Array(Vec::new());
    assert!(results.iter().all(|result| result["suppressions"] == empty));
}
