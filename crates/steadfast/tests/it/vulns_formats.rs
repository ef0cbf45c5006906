//! `steadfast vulns` about components that came another way than as packages, about documents,
//! and in the formats of other tools.

use advisory::kernel::Kernel;
use advisory::rank::{Exposure, Unseen};
use model::HostPath;
use model::component::{Component, Ecosystem, Evidence, EvidenceKind, SourcePackage};
use serde_json::{Value, json};
use steadfast::assessing::{Advisories, Terms};
use steadfast::report::vulnerabilities::{Reported, cyclonedx, sarif};
use steadfast::show;
use steadfast::show::vulns::{Shown, View};
use steadfast::style::Style;

use crate::vulns::{Bench, record, steady};

/// A record of a package of another ecosystem.
pub fn other(id: &str, aliases: &str, ecosystem: &str, name: &str, fixed: &str) -> String {
    format!(
        r#"{{"schema_version":"1.6.0","id":"{id}","aliases":[{aliases}],
        "modified":"2026-01-01T00:00:00Z","published":"2026-01-01T00:00:00Z",
        "summary":"something about {name}","details":"A first line.\nA second one.",
        "severity":[{{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}],
        "affected":[{{"package":{{"ecosystem":"{ecosystem}","name":"{name}"}},
        "ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}]}}"#
    )
}

/// A tree with a package of Debian, one of Python and one of Node that have vulnerabilities.
pub fn bench(name: &str) -> Bench {
    let bench = Bench::new(name);
    bench.file(
        "root/opt/app/lib/python3.11/site-packages/requests-2.19.0.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: Requests\nVersion: 2.19.0\n",
    );
    bench.file(
        "root/srv/web site/node_modules/minimist/package.json",
        r#"{"name": "minimist", "version": "1.2.0"}"#,
    );
    bench
}

pub fn records() -> Vec<String> {
    vec![
        record("CVE-2026-0001", Some("3.0.11-1~deb12u1"), "critical"),
        record("CVE-2026-0003", None, "low"),
        other(
            "PYSEC-2026-1",
            r#""CVE-2026-0002","GHSA-aaaa-bbbb-cccc""#,
            "PyPI",
            "requests",
            "2.20.0",
        ),
        other("GHSA-dddd-eeee-ffff", "", "npm", "minimist", "1.2.6"),
    ]
}

pub fn names(value: &Value) -> Vec<&str> {
    let findings = value["findings"].as_array().expect("a list");
    let names = findings.iter().filter_map(|one| one["name"].as_str());
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names
}

#[test]
fn components_that_came_another_way_are_judged() {
    let bench = bench("others");
    bench.feeds(&records());
    let value = bench.json(&["vulns", "--max-age", "60000"]);
    assert_eq!(
        names(&value),
        [
            "CVE-2026-0001",
            "CVE-2026-0002",
            "CVE-2026-0003",
            "GHSA-dddd-eeee-ffff"
        ]
    );
    assert_eq!(
        (&value["packages"], &value["others"]),
        (&4.into(), &2.into())
    );
    let (code, text) = bench.vulns(&["--human-impact", "high"]);
    assert_eq!(code, Some(1), "{text}");
    insta::assert_snapshot!("vulns_others", steady(&text));
    let value = bench.json(&["vulns", "--os-only", "--max-age", "60000"]);
    assert_eq!(names(&value), ["CVE-2026-0001", "CVE-2026-0003"]);
    assert_eq!(value["unknown"], Value::Array(Vec::new()));
    // By the name that another database gave it.
    let (_, text) = bench.vulns(&["ghsa-aaaa-bbbb-cccc"]);
    assert!(text.contains("CVE-2026-0002"), "{text}");
}

#[test]
fn what_no_feed_speaks_of_and_what_could_not_be_read_is_said_once() {
    let bench = bench("unspoken");
    bench.file(
        "root/srv/web site/node_modules/left-pad/package.json",
        r#"{"name": "left-pad", "version": "1.3.0"}"#,
    );
    // An image of another distribution.
    let store = "root/var/lib/containers/storage";
    for (file, text) in [
        (
            "overlay-images/images.json",
            r#"[{"id": "i", "names": ["base:1"], "layer": "a"}]"#,
        ),
        ("overlay-layers/layers.json", r#"[{"id": "a"}]"#),
        (
            "overlay/a/diff/etc/os-release",
            "ID=alpine\nVERSION_ID=3.19.1\n",
        ),
        (
            "overlay/a/diff/lib/apk/db/installed",
            "P:musl\nV:1.2.4-r2\n\nP:zlib\nV:1.3-r0\n",
        ),
    ] {
        bench.file(&format!("{store}/{file}"), text);
    }
    bench.file("root/srv/one.jar", "no archive at all");
    bench.file("root/srv/two.jar", "no archive at all");
    bench.feeds(&[record("CVE-2026-0004", Some("3.0.9-1"), "critical")]);
    let (code, text) = bench.vulns(&[]);
    assert_eq!(code, Some(3), "{text}");
    let said = |wanted: &str| text.matches(wanted).count();
    assert_eq!(said("no feed speaks of npm (2 packages)"), 1, "{text}");
    assert_eq!(said("no feed speaks of PyPI (1 package)"), 1, "{text}");
    let alpine = "no feed speaks of Alpine:v3.19 (2 packages)";
    assert_eq!(said(alpine), 1, "{text}");
    assert_eq!(said("/srv/one.jar and 1 more"), 1, "{text}");
    assert_eq!(bench.vulns(&["--os-only"]).0, Some(0));
}

#[test]
fn a_document_is_judged_like_the_tree_that_it_is_of() {
    let bench = bench("document");
    bench.feeds(&records());
    let root = bench.path("root");
    for (format, file) in [("cyclonedx", "one.json"), ("spdx", "two.json")] {
        let document = bench.path(file);
        let args = ["inventory", "--root", &root, "--format", format];
        let output = bench.run(&[&args[..], &["--output", &document]].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let args = ["vulns", "--sbom", &document, "--max-age", "60000"];
        let output = bench.run(&[&args[..], &["--format", "json"]].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(names(&value).len(), 4, "{format}: {value}");
        let findings = value["findings"].as_array().expect("a list");
        for finding in findings {
            let inputs = finding["ranking"]["inputs"].as_array().expect("a list");
            let exposure = inputs.iter().find(|one| one["name"] == "exposure");
            let exposure = exposure.expect("an exposure");
            let said = (&exposure["source"], &exposure["known"]);
            // Where the vector takes somebody who is on the host, the vector tells.
            let expected = match finding["cvss"].as_str() {
                Some(vector) if vector.contains("AV:L") => (&"CVSS".into(), &"known".into()),
                _ => (&"the document".into(), &"worse_branch".into()),
            };
            assert_eq!(said, expected);
        }
        // The file that proves it comes back, by the way into the document.
        let requests = findings.iter().find(|one| one["name"] == "CVE-2026-0002");
        let evidence = &requests.expect("it was found")["evidence"][0];
        assert_eq!(evidence["path"], document.as_str(), "{format}");
        let proof = "opt/app/lib/python3.11/site-packages/requests-2.19.0.dist-info/METADATA";
        assert_eq!(evidence["member"], proof, "{format}");
        let vex = bench.run(&[&args[..], &["--format", "cyclonedx-vex"]].concat());
        let vex = String::from_utf8(vex.stdout).expect("text");
        assert!(vex.contains(&format!("{document}!/{proof}")), "{vex}");
        assert!(!vex.contains("!//"), "{vex}");
        let text = bench.run(&args);
        let text = String::from_utf8(text.stdout).expect("text");
        assert!(!text.contains("this host"), "{text}");
        let said = text.matches("a document does not say what runs").count();
        assert_eq!(said, 1, "once for all findings: {text}");
    }
    let document = bench.path("one.json");
    let nonsense = bench.file("nonsense.json", "{}").display().to_string();
    let cases: [&[&str]; 5] = [
        &["vulns", "--sbom", &document, "--root", &root],
        &["vulns", "--sbom", &document, "--os-only"],
        &["vulns", "--sbom", &nonsense],
        &["vulns", "--sbom", "/nowhere/at-all.json"],
        &["vulns", "--sbom", "/dev/zero"],
    ];
    for args in cases {
        let output = bench.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

/// A waiver of the finding in the package of Python, in a policy.
fn policy(bench: &Bench) -> String {
    bench.file(
        "policy/waivers.yaml",
        "- vulnerability: PYSEC-2026-1\n  hosts: [\"*\"]\n  reason: nothing is fetched\n  \
         owner: ana\n  approver: li\n  expires: 2999-12-31\n",
    );
    bench.path("policy")
}

/// In this format, with the exit code.
fn written(bench: &Bench, format: &str, more: &[&str]) -> (Option<i32>, Value) {
    let (root, policy) = (bench.path("root"), policy(bench));
    let args = [
        "vulns",
        "--root",
        &root,
        "--max-age",
        "60000",
        "--policy",
        &policy,
    ];
    let output = bench.run(&[&args[..], &["--format", format], more].concat());
    let value = serde_json::from_slice(&output.stdout);
    let value = value.unwrap_or_else(|error| panic!("{format}: {error}: {output:?}"));
    (output.status.code(), value)
}

#[test]
fn sarif_has_a_rule_for_each_vulnerability_and_a_result_for_each_package() {
    let bench = bench("sarif");
    bench.feeds(&records());
    let (code, log) = written(&bench, "sarif", &[]);
    assert_eq!(code, Some(1));
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let results = run["results"].as_array().expect("results");
    assert_eq!((rules.len(), results.len()), (4, 4));
    for result in results {
        let at = result["ruleIndex"].as_u64().expect("a place") as usize;
        assert_eq!(rules[at]["id"], result["ruleId"]);
    }
    let of = |name: &str| {
        let mut all = results.iter();
        all.find(|result| result["ruleId"] == name).expect(name)
    };
    let waived = of("CVE-2026-0002");
    assert_eq!(waived["suppressions"][0]["kind"], "external");
    assert_eq!(
        waived["suppressions"][0]["justification"],
        "nothing is fetched"
    );
    let minimist = of("GHSA-dddd-eeee-ffff");
    assert_eq!(minimist["suppressions"], Value::Array(Vec::new()));
    let place = &minimist["locations"][0]["physicalLocation"]["artifactLocation"];
    assert_eq!(
        place["uri"],
        "srv/web%20site/node_modules/minimist/package.json"
    );
    assert_eq!(place["uriBaseId"], "ROOT");
    let base = run["originalUriBaseIds"]["ROOT"]["uri"].as_str();
    assert_eq!(
        base,
        Some(format!("file://{}/", bench.path("root")).as_str())
    );
    let purl = &minimist["locations"][0]["logicalLocations"][0]["fullyQualifiedName"];
    assert_eq!(purl, "pkg:npm/minimist@1.2.0");
    let rule = &rules[minimist["ruleIndex"].as_u64().expect("a place") as usize];
    assert_eq!(rule["properties"]["security-severity"], "9.8");
    assert_eq!(rule["shortDescription"]["text"], "something about minimist");
    // The fingerprint outlives a new version of the package that still has it.
    bench.file(
        "root/srv/web site/node_modules/minimist/package.json",
        r#"{"name": "minimist", "version": "1.2.1"}"#,
    );
    let (_, later) = written(&bench, "sarif", &[]);
    let later = later["runs"][0]["results"].as_array().expect("results");
    let mut same = later
        .iter()
        .filter(|result| result["partialFingerprints"] == minimist["partialFingerprints"]);
    let result = same.next().expect("the same finding");
    assert_ne!(result["message"], minimist["message"]);
    assert!(same.next().is_none());
}

#[test]
fn cyclonedx_says_what_is_exploitable_accepted_and_not_affected() {
    let bench = bench("vex");
    let vex = r#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"x","author":"us",
        "timestamp":"2026-02-01T00:00:00Z","version":1,"statements":[{
        "vulnerability":{"name":"CVE-2026-0003"},"status":"not_affected",
        "justification":"vulnerable_code_not_in_execute_path",
        "products":[{"@id":"pkg:deb/debian/openssl?distro=debian-12"}]}]}"#;
    bench.feeds(&[records(), vec![vex.to_owned()]].concat());
    let (code, document) = written(&bench, "cyclonedx-vex", &[]);
    assert_eq!(code, Some(1));
    let all = document["vulnerabilities"].as_array().expect("a list");
    let of = |id: &str| {
        let mut all = all.iter();
        all.find(|one| one["id"] == id).expect(id)
    };
    let states: Vec<_> = ["CVE-2026-0001", "CVE-2026-0002", "CVE-2026-0003"]
        .iter()
        .map(|id| of(id)["analysis"]["state"].as_str())
        .collect();
    assert_eq!(
        states,
        [
            Some("exploitable"),
            Some("exploitable"),
            Some("not_affected")
        ]
    );
    assert_eq!(of("CVE-2026-0001")["analysis"]["response"][0], "update");
    assert_eq!(
        of("CVE-2026-0002")["analysis"]["response"][0],
        "will_not_fix"
    );
    assert_eq!(
        of("CVE-2026-0003")["analysis"]["justification"],
        "code_not_reachable"
    );
    assert_eq!(of("CVE-2026-0002")["ratings"][0]["method"], "CVSSv31");
    // Each reference leads to a component of the document, and no other component is in it.
    let components = document["components"].as_array().expect("a list");
    let mut refs: Vec<_> = all
        .iter()
        .flat_map(|one| one["affects"].as_array().into_iter().flatten())
        .map(|affected| affected["ref"].clone())
        .collect();
    refs.sort_by_key(Value::to_string);
    refs.dedup();
    let mut known: Vec<_> = components
        .iter()
        .map(|one| one["bom-ref"].clone())
        .collect();
    known.sort_by_key(Value::to_string);
    assert_eq!(refs, known);
    assert!(
        components
            .iter()
            .any(|one| one["purl"] == "pkg:pypi/requests@2.19.0")
    );
    assert!(!components.iter().any(|one| one["name"] == "bash"));
}

#[test]
fn the_exit_code_is_the_same_in_every_format() {
    let bench = bench("codes");
    bench.feeds(&records());
    for format in ["json", "sarif", "cyclonedx-vex"] {
        // In KEV, and reached by nobody knows whom: out-of-cycle where little comes of it.
        for (fail_on, code) in [("immediate", 0), ("out-of-cycle", 1), ("defer", 1)] {
            let options = ["--human-impact", "low", "--fail-on", fail_on];
            let (seen, _) = written(&bench, format, &options);
            assert_eq!(seen, Some(code), "{format}: {fail_on}");
        }
    }
}

#[test]
fn a_document_that_is_not_whole_leaves_the_rest_unknown() {
    let bench = Bench::new("partial");
    bench.feeds(&[record("CVE-2026-0004", Some("3.0.9-1"), "critical")]);
    let root = bench.path("root");
    for (format, file) in [("cyclonedx", "one.json"), ("spdx", "two.json")] {
        let document = bench.path(file);
        let args = ["inventory", "--root", &root, "--format", format];
        let args = [&args[..], &["--output", &document]].concat();
        let vulns = ["vulns", "--sbom", &document, "--max-age", "60000"];
        assert_eq!(bench.run(&args).status.code(), Some(0));
        let output = bench.run(&vulns);
        assert_eq!(output.status.code(), Some(0), "{format}: {output:?}");
        bench.file("root/srv/one.jar", "no archive at all");
        assert_eq!(bench.run(&args).status.code(), Some(3));
        let output = bench.run(&vulns);
        assert_eq!(output.status.code(), Some(3), "{format}: {output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let said =
            "it is incomplete, and what it does not list is unknown (/srv/one.jar: not a zip";
        assert!(text.contains(said), "{format}: {text}");
        std::fs::remove_file(bench.path("root/srv/one.jar")).expect("ours");
    }
    // Of other tools, by the standards' own fields. (document, whether it says so)
    let cyclonedx = |aggregate: &str| {
        json!({"bomFormat": "CycloneDX", "specVersion": "1.6",
            "components": [{"type": "library", "name": "bash", "version": "1",
                "purl": "pkg:deb/debian/bash@1?distro=debian-12&upstream=bash"}],
            "compositions": [{"aggregate": aggregate}]})
    };
    let spdx = |related: &str| {
        json!({"spdxVersion": "SPDX-2.3",
            "packages": [{"SPDXID": "a", "name": "bash", "versionInfo": "1", "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                "referenceLocator": "pkg:deb/debian/bash@1?distro=debian-12&upstream=bash"}]}],
            "relationships": [{"spdxElementId": "a",
            "relationshipType": "CONTAINS", "relatedSpdxElement": related}]})
    };
    for (document, is_incomplete) in [
        (cyclonedx("complete"), false),
        (cyclonedx("unknown"), false),
        (cyclonedx("incomplete"), true),
        (cyclonedx("incomplete_third_party_only"), true),
        (spdx("NONE"), false),
        (
            json!({"bomFormat": "CycloneDX", "specVersion": "1.6"}),
            true,
        ),
        (json!({"spdxVersion": "SPDX-2.3", "packages": []}), true),
        (spdx("NOASSERTION"), true),
    ] {
        let path = bench.file("other.json", &document.to_string());
        let path = path.display().to_string();
        let output = bench.run(&["vulns", "--sbom", &path, "--max-age", "60000"]);
        let code = if is_incomplete { 3 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{document}: {output:?}");
    }
}

#[test]
fn each_format_says_the_version_that_people_are_shown() {
    let bench = Bench::new("target");
    bench.feeds(&crate::vulns::usual());
    let (_, text) = bench.vulns(&[]);
    assert!(
        text.contains("openssl 3.0.10-1 → 3.0.11-1~deb12u2"),
        "{text}"
    );
    let advice = "Upgrade openssl to 3.0.11-1~deb12u2 or later (this is fixed in 3.0.11-1~deb12u1)";
    let (_, log) = written(&bench, "sarif", &[]);
    let results = log["runs"][0]["results"].as_array().expect("results");
    let first = results.iter().find(|one| one["ruleId"] == "CVE-2026-0001");
    let message = &first.expect("it is there")["message"]["text"];
    assert!(
        message.as_str().expect("text").contains(advice),
        "{message}"
    );
    let second = results.iter().find(|one| one["ruleId"] == "CVE-2026-0002");
    let message = &second.expect("it is there")["message"]["text"];
    let message = message.as_str().expect("text");
    assert!(message.contains("3.0.11-1~deb12u2 or later"), "{message}");
    assert!(!message.contains("this is fixed in"), "{message}");
    let (_, document) = written(&bench, "cyclonedx-vex", &[]);
    let all = document["vulnerabilities"].as_array().expect("a list");
    let first = all.iter().find(|one| one["id"] == "CVE-2026-0001");
    let said = first.expect("it is there")["recommendation"].as_str();
    assert!(said.expect("text").starts_with(advice), "{said:?}");
}

/// A kernel of Debian that runs, an older one beside it, and a package that is of no kernel.
fn kernels() -> Vec<Component> {
    let part = |name: &str, version: &str| Component {
        ecosystem: Ecosystem::Debian {
            release: Some("12".to_owned()),
        },
        name: name.to_owned(),
        version: version.to_owned(),
        source: Some(SourcePackage {
            name: "linux".to_owned(),
            version: version.to_owned(),
        }),
        architecture: Some("amd64".to_owned()),
        origin: None,
        evidence: [Evidence {
            path: HostPath::literal("/var/lib/dpkg/status"),
            how: EvidenceKind::Database,
            member: None,
        }]
        .into(),
        image: None,
        packages: Vec::new(),
        instead_of: None,
    };
    vec![
        part("linux-image-6.1.0-28-amd64", "6.1.119-1"),
        part("linux-headers-6.1.0-28-amd64", "6.1.119-1"),
        part("linux-something", "6.1.119-1"),
        part("linux-image-6.1.0-32-amd64", "6.1.129-1"),
    ]
}

/// What is shown of these kernels, of which the newer one runs, where processes can't be seen.
fn with_kernels<T>(bench: &Bench, look: impl FnOnce(&Shown<'_>, &[Component]) -> T) -> T {
    let of_linux = |record: String| record.replace("openssl", "linux");
    bench.feeds(&[
        of_linux(record("CVE-2026-0001", Some("6.1.129-1"), "critical")),
        of_linux(record("CVE-2026-0002", None, "low")),
    ]);
    let advisories = Advisories::open(bench.path("state").as_ref()).expect("the feeds");
    let now = "2026-02-01T00:00:00Z".parse().expect("a time");
    let kernel = Kernel::Booted {
        release: "6.1.0-32-amd64".to_owned(),
        build: Some("6.1.129-1".to_owned()),
    };
    let components = kernels();
    let exposure = |_: &Component| Exposure::Unknown(Unseen::Processes);
    let assessment = advisories.assess(&components, &exposure, &kernel, &Terms::usual(now));
    let shown = Shown {
        format: 1,
        generated: now,
        hostname: "web-03".to_owned(),
        distribution: Some("Debian:12".to_owned()),
        release: "Debian 12".to_owned(),
        root: None,
        sbom: None,
        words: Vec::new(),
        assessment: assessment.expect("an assessment"),
        unseen_processes: (1..=7).map(|id| format!("nginx ({id})")).collect(),
        waived: Vec::new(),
        expired_waivers: Vec::new(),
        idle_waivers: Vec::new(),
        other_roots: Vec::new(),
    };
    look(&shown, &components)
}

/// The two documents of these.
pub fn documents_with_kernels(bench: &Bench) -> [(&'static str, Value); 2] {
    with_kernels(bench, |shown, components| {
        let reported = Reported { shown, components };
        let none = |_: &str| Ok((String::new(), String::new()));
        [
            (
                "sarif",
                sarif::document(&reported, &none).ok().expect("a log"),
            ),
            (
                "cyclonedx",
                cyclonedx::document(&reported, &none)
                    .ok()
                    .expect("a document"),
            ),
        ]
    })
}

#[test]
fn a_dormant_kernel_is_one_in_every_format() {
    let bench = Bench::new("dormant");
    let [(_, log), (_, document)] = documents_with_kernels(&bench);
    let results = log["runs"][0]["results"].as_array().expect("results");
    let dormant: Vec<&Value> = results
        .iter()
        .filter(|result| result["kind"] == "informational")
        .collect();
    assert_eq!(dormant.len(), 2, "{log}");
    for result in dormant {
        assert_eq!(result["level"], "none");
        let suppression = &result["suppressions"][0];
        assert_eq!(suppression["kind"], "external");
        let why = suppression["justification"].as_str().expect("text");
        assert!(why.starts_with("dormant: 6.1.129-1 runs"), "{why}");
        let places = result["locations"][0]["logicalLocations"].as_array();
        let names: Vec<_> = places
            .expect("a list")
            .iter()
            .map(|it| &it["name"])
            .collect();
        // What belongs to no single kernel is not dormant.
        assert_eq!(
            names,
            ["linux-image-6.1.0-28-amd64", "linux-headers-6.1.0-28-amd64"]
        );
    }
    // The one that runs has one of them as well, which is a finding with its own fingerprint.
    let mut prints: Vec<_> = results
        .iter()
        .map(|one| &one["partialFingerprints"])
        .collect();
    prints.sort_by_key(|print| print.to_string());
    let all = prints.len();
    prints.dedup();
    assert_eq!(
        prints.len(),
        all - 1,
        "that of linux-something and of the image are one"
    );
    let all = document["vulnerabilities"].as_array().expect("a list");
    let dormant: Vec<&Value> = all
        .iter()
        .filter(|one| one["analysis"]["state"] == "not_affected")
        .collect();
    assert_eq!(dormant.len(), 2, "{document}");
    for one in dormant {
        assert_eq!(one["analysis"]["justification"], "requires_environment");
        let detail = one["analysis"]["detail"].as_str().expect("text");
        assert!(detail.starts_with("dormant: 6.1.129-1 runs"), "{detail}");
        assert_eq!(one["affects"].as_array().expect("a list").len(), 2);
    }
}

#[test]
fn processes_that_can_not_be_looked_at_are_named() {
    let bench = Bench::new("processes");
    let text = with_kernels(&bench, |shown, _| {
        let view = View {
            verbose: false,
            today: "2026-02-01".parse().expect("a date"),
            flags: String::new(),
        };
        let mut out = Vec::new();
        let style = Style::plain(80, true);
        show::vulns::write(&mut out, shown, &view, &style).expect("a vector");
        String::from_utf8(out).expect("text")
    });
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = "can't be looked at (nginx (1), nginx (2), nginx (3), nginx (4) and 3 more)";
    assert!(text.contains(said), "{text}");
}
