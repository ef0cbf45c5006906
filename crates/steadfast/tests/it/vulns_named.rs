//! `steadfast vulns NAME`: what is asked for is found by every name that a feed has for it, and what
//! no feed speaks of is unknown, never clean. And what stands first where nothing can be told.

use serde_json::{Value, json};

use crate::vulns::{Bench, record, steady};
use crate::vulns_formats::other;

/// An advisory of Debian about openssl in Debian 12 that names these, as OSV's field says.
fn bundle(id: &str, fixed: &str, field: &str, names: &[&str]) -> String {
    let plain = record(id, Some(fixed), "critical");
    let mut value: Value = serde_json::from_str(&plain).expect("JSON");
    value["summary"] = json!("openssl - security update");
    value[field] = json!(names);
    value.to_string()
}

/// What it says, and its exit code.
fn asked(bench: &Bench, more: &[&str]) -> (Option<i32>, String) {
    let (code, text) = bench.vulns(more);
    (code, text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn a_vulnerability_is_found_by_the_advisories_that_name_it() {
    let bench = Bench::new("named");
    // The installed version is 3.0.10-1. (field, fixed in, exit code, what is said)
    let here = "affected openssl 3.0.10-1: fixed in 3.0.11-1";
    let cases = [
        ("upstream", "3.0.11-1", 1, here),
        ("related", "3.0.11-1", 1, here),
        ("aliases", "3.0.11-1", 1, here),
        (
            "upstream",
            "3.0.9-1",
            0,
            "fixed openssl 3.0.10-1: since 3.0.9-1",
        ),
        (
            "aliases",
            "3.0.9-1",
            0,
            "fixed openssl 3.0.10-1: since 3.0.9-1",
        ),
    ];
    for (field, fixed, code, said) in cases {
        let names = ["CVE-2026-0007", "CVE-2026-0008"];
        bench.feeds(&[bundle("DSA-7001-1", fixed, field, &names)]);
        for name in ["CVE-2026-0008", "cve-2026-0008", "dsa-7001-1"] {
            let seen = asked(&bench, &[name]);
            assert_eq!(seen.0, Some(code), "{field}, {fixed}, {name}: {}", seen.1);
            assert!(
                seen.1.contains(said),
                "{field}, {fixed}, {name}: {}",
                seen.1
            );
            let shown = seen.1.to_ascii_uppercase();
            assert!(shown.contains("DSA-7001-1"), "{field}: {}", seen.1);
            assert!(seen.1.contains("openssl - security update"), "{}", seen.1);
        }
    }
    // Debian's own record of a CVE is the CVE.
    bench.feeds(&[
        bundle(
            "DEBIAN-CVE-2026-0009",
            "3.0.12-1",
            "upstream",
            &["CVE-2026-0009"],
        ),
        bundle(
            "DSA-7002-1",
            "3.0.12-1",
            "upstream",
            &["CVE-2026-0009", "CVE-2026-0010"],
        ),
    ]);
    let value = bench.json(&["vulns", "--max-age", "60000"]);
    assert_eq!(value["findings"].as_array().expect("a list").len(), 1);
    assert_eq!(value["findings"][0]["name"], "CVE-2026-0009");
    // One that has no record of its own is answered for by the advisory, though that one was put
    // beside another.
    let (code, text) = asked(&bench, &["CVE-2026-0010"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("fixed in 3.0.12-1 (DSA-7002-1)"), "{text}");
    let value = bench.json(&["vulns", "CVE-2026-0010", "--max-age", "60000"]);
    assert_eq!(value["asked"][0]["advisories"], json!(["DSA-7002-1"]));
    assert_eq!(value["asked"][0]["spoken"], true);
}

#[test]
fn what_no_feed_speaks_of_is_unknown_and_what_is_no_name_is_refused() {
    let bench = Bench::new("unnamed");
    bench.feeds(&[record("CVE-2026-0004", Some("3.0.9-1"), "critical")]);
    assert_eq!(asked(&bench, &[]).0, Some(0), "nothing else is unknown");
    let (code, text) = asked(&bench, &["CVE-2026-0099"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("no feed speaks of it"), "{text}");
    assert_eq!(
        asked(&bench, &["CVE-2026-0004", "CVE-2026-0099"]).0,
        Some(3)
    );
    assert_eq!(asked(&bench, &["CVE-2026-0004"]).0, Some(0));
    assert_eq!(asked(&bench, &["GHSA-jfh8-c2jp-5v3q"]).0, Some(3));
    let root = bench.path("root");
    for name in [
        "hello",
        "openssl",
        "CVE-26-1",
        "CVE-2026-1x",
        "DSA-",
        "-1\u{1b}[31m",
    ] {
        let output = bench.run(&["vulns", "--root", &root, "--", name]);
        assert_eq!(output.status.code(), Some(2), "{name:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(said.contains("is no name of a vulnerability"), "{said}");
        assert!(
            said.contains("names are written like CVE-2024-6387"),
            "{said}"
        );
        assert!(!said.contains('\u{1b}'), "{said}");
    }
    // One that speaks of other things alone does not say that it is not here.
    let npm = other("GHSA-1", r#""CVE-2026-0050""#, "npm", "minimist", "1.2.6");
    bench.feeds(&[npm]);
    let (code, text) = asked(&bench, &["CVE-2026-0050"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(!text.contains("not here"), "{text}");
    let said = "among those that it is about, and no feed speaks of Debian:12";
    assert!(text.contains(said), "{text}");
    // A feed may have advisories of names that nobody knows.
    bench.feeds(&[record("our-own", Some("3.0.11-1"), "critical")]);
    assert_eq!(asked(&bench, &["Our-Own"]).0, Some(1));
}

#[test]
fn an_advisory_stands_with_the_vulnerabilities_that_it_is_about() {
    let bench = Bench::new("about");
    let names: Vec<String> = (1..=9).map(|n| format!("CVE-2026-100{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    bench.feeds(&[
        bundle("DSA-7001-1", "3.0.11-1", "upstream", &names),
        bundle("DSA-7002-1", "3.0.12-1", "upstream", &names[..2]),
    ]);
    let (code, text) = bench.vulns(&["--human-impact", "high"]);
    assert_eq!(code, Some(1), "{text}");
    insta::assert_snapshot!("vulns_about", steady(&text));
    let value = bench.json(&["vulns", "--max-age", "60000"]);
    assert_eq!(value["findings"][0]["about"], json!(names));
    // A waiver of one of them does not cover the others.
    let policy = bench.path("policy");
    bench.file(
        "policy/waivers.yaml",
        "- vulnerability: CVE-2026-1001\n  hosts: [\"*\"]\n  reason: it is\n  owner: ana\n  \
         approver: li\n  expires: 2999-12-31\n",
    );
    let args = ["vulns", "--max-age", "60000", "--policy", &policy];
    assert_eq!(bench.json(&args)["waived"], json!([]));
}

#[test]
fn what_no_feed_speaks_of_stands_first() {
    let bench = Bench::new("first");
    // (ID, VERSION_ID, the beginning without a feed)
    let cases = [
        (
            "debian",
            "12",
            "unknown: no feed speaks of Debian:12 (2 packages)",
        ),
        (
            "ubuntu",
            "24.04",
            "unknown: no feed speaks of ubuntu:24.04 (2 packages)",
        ),
    ];
    for (id, version, begins) in cases {
        bench.release(id, version);
        for more in [&[][..], &["--os-only"]] {
            let (code, text) = asked(&bench, more);
            assert_eq!(code, Some(3), "{text}");
            assert!(text.starts_with(begins), "{more:?}: {text}");
            assert_eq!(text.matches("no feed speaks of").count(), 1, "{text}");
        }
    }
    // Of the distribution nothing can be told, whatever a feed says of other things.
    bench.feeds(&[record("CVE-2026-0004", Some("3.0.9-1"), "critical")]);
    let (_, text) = asked(&bench, &[]);
    assert!(text.starts_with(cases[1].2), "{text}");
    bench.release("debian", "12");
    let (_, text) = asked(&bench, &[]);
    assert!(text.starts_with("0 findings in 0 packages"), "{text}");
}

#[test]
fn alpine_is_read_and_no_package_manager_is_said_where_there_is_none() {
    let bench = Bench::new("alpine");
    bench.release("alpine", "3.20.3");
    bench.file(
        "root/lib/apk/db/installed",
        "P:musl\nV:1.2.5-r0\n\nP:zlib\nV:1.3.1-r1\n\n",
    );
    std::fs::remove_dir_all(bench.path("root/var")).expect("ours");
    for more in [&[][..], &["--os-only"]] {
        let (code, text) = asked(&bench, more);
        assert_eq!(code, Some(3), "{text}");
        let begins = "unknown: no feed speaks of Alpine:v3.20 (2 packages)";
        assert!(text.starts_with(begins), "{more:?}: {text}");
        assert!(!text.contains("not read yet"), "{text}");
        assert!(!text.contains("dpkg"), "{text}");
    }
    std::fs::remove_dir_all(bench.path("root/lib")).expect("ours");
    for more in [&[][..], &["--os-only"]] {
        let (code, text) = asked(&bench, more);
        assert_eq!(code, Some(3), "{text}");
        let said = "there is no database of packages here, neither dpkg's nor apk's";
        assert!(text.starts_with("unknown: "), "{text}");
        assert!(text.contains(said), "{text}");
    }
}
