//! What a policy says about vulnerabilities, as `steadfast vulns` holds to it: waivers, clocks,
//! days.

use serde_json::Value;

use crate::vulns::{Bench, steady};
use crate::vulns_formats::{bench, names, records};

/// A waiver, as it stands in a policy.
fn waiver(name: &str, package: &str, hosts: &str, expires: &str) -> String {
    let package = match package {
        "" => String::new(),
        package => format!("  package: \"{package}\"\n"),
    };
    format!(
        "- vulnerability: {name}\n{package}  hosts: [\"{hosts}\"]\n  reason: it waits\n  \
         owner: ana\n  approver: li\n  expires: {expires}\n"
    )
}

fn judged(bench: &Bench, waivers: &[String]) -> Value {
    bench.file("policy/waivers.yaml", &waivers.concat());
    let policy = bench.path("policy");
    bench.json(&["vulns", "--max-age", "60000", "--policy", &policy])
}

#[test]
fn a_waiver_holds_for_its_vulnerability_package_host_and_time() {
    let bench = bench("waivers");
    bench.file("root/etc/hostname", "web-3\n");
    bench.feeds(&records());
    const LONG: &str = "2999-12-31";
    const PAST: &str = "2025-12-31";
    let all = [
        "CVE-2026-0001",
        "CVE-2026-0002",
        "CVE-2026-0003",
        "GHSA-dddd-eeee-ffff",
    ];
    // (waiver, what is waived, how many count again, how many are idle)
    let cases = [
        (
            waiver("CVE-2026-0001", "", "*", LONG),
            Some(all[0]),
            None,
            0,
        ),
        (
            waiver("CVE-2026-0001", "openssl", "web-*", LONG),
            Some(all[0]),
            None,
            0,
        ),
        // The name of a binary package, of an alias, in other letters.
        (
            waiver("CVE-2026-0001", "libssl?", "*", LONG),
            Some(all[0]),
            None,
            0,
        ),
        (
            waiver("GHSA-aaaa-bbbb-cccc", "requests", "*", LONG),
            Some(all[1]),
            None,
            0,
        ),
        (
            waiver("ghsa-DDDD-eeee-ffff", "", "WEB-3", LONG),
            Some(all[3]),
            None,
            0,
        ),
        // Another package, host or name.
        (waiver("CVE-2026-0001", "bash", "*", LONG), None, None, 1),
        (waiver("CVE-2026-0001", "", "db-*", LONG), None, None, 0),
        (waiver("CVE-2026-0009", "", "*", LONG), None, None, 1),
        (waiver("CVE-2026-0001", "", "*", PAST), None, Some(1), 0),
        (waiver("CVE-2026-0009", "", "*", PAST), None, Some(0), 0),
        (waiver("CVE-2026-0001", "", "db-*", PAST), None, None, 0),
    ];
    for (text, waived, again, idle) in cases {
        let value = judged(&bench, std::slice::from_ref(&text));
        let count = |key: &str| value[key].as_array().map_or(0, Vec::len);
        assert_eq!(value["waived"][0]["name"].as_str(), waived, "{text}");
        assert_eq!(names(&value).len() + count("waived"), all.len(), "{text}");
        assert!(waived.is_none_or(|waived| !names(&value).contains(&waived)));
        assert_eq!(count("idle_waivers"), idle, "{text}");
        let expired = value["expired_waivers"][0]["findings"].as_u64();
        assert_eq!(expired, again, "{text}");
    }
    // Of two the longer holds, and one that ended does not end the other.
    let two = [
        waiver("CVE-2026-0001", "", "*", PAST),
        waiver("CVE-2026-0001", "", "*", LONG),
    ];
    let value = judged(&bench, &two);
    assert_eq!(value["waived"][0]["waiver"]["expires"], LONG);
    assert_eq!(value["expired_waivers"].as_array().map(Vec::len), Some(1));
}

#[test]
fn waived_findings_stand_apart_and_do_not_fail() {
    let bench = bench("apart");
    bench.feeds(&records());
    let all = [
        waiver("CVE-2026-0001", "", "*", "2999-12-31"),
        waiver("PYSEC-2026-1", "", "*", "2999-12-31"),
        waiver("CVE-2026-0003", "", "*", "2999-12-31"),
        waiver("GHSA-dddd-eeee-ffff", "", "*", "2999-12-31"),
        waiver("CVE-2020-0001", "nginx", "*", "2999-12-31"),
    ];
    bench.file("policy/waivers.yaml", &all.concat());
    let policy = bench.path("policy");
    let (code, text) = bench.vulns(&["--policy", &policy]);
    assert_eq!(code, Some(0), "{text}");
    bench.file(
        "policy/waivers.yaml",
        &all.concat().replacen("2999", "2025", 1),
    );
    let (code, text) = bench.vulns(&["--policy", &policy, "--human-impact", "high"]);
    assert_eq!(code, Some(1), "{text}");
    let text = steady(&text).replace(&bench.path("policy"), "POLICY");
    insta::assert_snapshot!("vulns_waived", text);
}

#[test]
fn clocks_and_days_are_the_policys_and_then_the_command_lines() {
    let bench = bench("clocks");
    bench.feeds(&records());
    let policy = bench.path("policy");
    let due = |said: &str, more: &[&str]| {
        bench.file("policy/vulnerabilities.yaml", said);
        let args = ["vulns", "--max-age", "60000", "--policy", &policy];
        let value = bench.json(&[&args[..], more].concat());
        let findings = value["findings"].as_array().expect("a list").clone();
        let openssl = findings.iter().find(|one| one["name"] == "CVE-2026-0001");
        let due = openssl.expect("the finding")["ranking"]["due"].clone();
        let clocks = due.as_array().expect("a list").iter();
        let clocks = clocks.filter_map(|due| due["clock"].as_str());
        clocks.collect::<Vec<_>>().join(" ")
    };
    // (vulnerabilities.yaml, arguments, the clocks that run, the strictest first)
    let cases: [(&str, &[&str], &str); 9] = [
        ("", &[], "bod2604 pci_dss"),
        ("clocks: [bod-26-04, pci-dss]\n", &[], "bod2604 pci_dss"),
        ("clocks: [pci-dss]\n", &[], "pci_dss"),
        ("clocks: []\n", &[], ""),
        ("clocks: []\n", &["--clock", "bod-26-04"], "bod2604"),
        ("", &["--clock", "none"], ""),
        ("days: {critical: 2}\n", &[], "team bod2604 pci_dss"),
        (
            "days: {critical: 2}\n",
            &["--days", "critical=90"],
            "bod2604 pci_dss team",
        ),
        (
            "clocks: []\ndays: {high: 2}\n",
            &["--days", "critical=9"],
            "team",
        ),
    ];
    for (said, more, clocks) in cases {
        assert_eq!(due(said, more), clocks, "{said} {more:?}");
    }
    bench.file(
        "policy/vulnerabilities.yaml",
        "max_age_days: 60000\nhuman_impact: low\n",
    );
    let value = bench.json(&["vulns", "--policy", &policy]);
    assert_eq!(value["feeds"][0]["stale"], false);
    let value = bench.json(&["vulns", "--policy", &policy, "--max-age", "1"]);
    assert_eq!(value["feeds"][0]["stale"], true);
    bench.file("policy/vulnerabilities.yaml", "clock: [pci-dss]\n");
    let output = bench.run(&["vulns", "--policy", &policy]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("did you mean `clocks`"), "{said}");
}
