//! What the readers make of documents, good and bad.

use advisory::read::{Form, csaf, debian, epss, form, kev, openvex, osv};
use advisory::record::{Affects, CveId, Event, VexStatus};
use jiff::civil::date;

use crate::support::{record, time};

fn osv(text: &str) -> Result<osv::Read, String> {
    osv::read(text.as_bytes()).map_err(|error| error.to_string())
}

fn advisory(text: &str) -> advisory::Advisory {
    match osv(text) {
        Ok(osv::Read::Advisory { advisory, .. }) => advisory,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_osv_record_is_read() {
    let text = r#"{
      "schema_version": "1.6.0", "id": "DSA-1-1", "modified": "2026-01-02T03:04:05.6789Z",
      "published": "2026-01-01T00:00:00Z", "aliases": ["CVE-2026-0001"], "related": ["CVE-2026-0002"],
      "upstream": ["CVE-2026-0003"], "summary": "S", "details": "D \"quoted\"",
      "severity": [
        {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"},
        {"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"},
        {"type": "Ubuntu", "score": "medium"}],
      "affected": [
        {"package": {"ecosystem": "Debian:12", "name": "openssl", "purl": "pkg:deb/debian/openssl?arch=source"},
         "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "2-1"}, {"introduced": "0"}]}],
         "versions": ["1-1"], "ecosystem_specific": {"urgency": "unimportant", "other": [1]},
         "database_specific": {"x": null}},
        {"package": {"ecosystem": "Alpine:v3.20", "name": "openssl"}},
        {"ranges": [{"type": "GIT", "repo": "r", "events": [{"introduced": "0"}]}]}],
      "unheard_of": {"in": ["1.6"]}}"#;
    let Ok(osv::Read::Advisory {
        advisory,
        elsewhere,
    }) = osv(text)
    else {
        panic!("it can't be read");
    };
    assert_eq!(elsewhere, ["Alpine:v3.20", ""]);
    assert_eq!(advisory.related, ["CVE-2026-0002", "CVE-2026-0003"]);
    assert_eq!(advisory.details, "D \"quoted\"");
    assert_eq!(advisory.published, Some(date(2026, 1, 1)));
    assert!(
        advisory.cvss[0].starts_with("CVSS:4.0"),
        "the newest version first"
    );
    assert_eq!(advisory.cvss.len(), 2);
    let entry = &advisory.affected[0];
    assert_eq!(entry.urgency.as_deref(), Some("unimportant"));
    let events = vec![
        Event::Introduced("0".to_owned()),
        Event::Fixed("2-1".to_owned()),
    ];
    assert_eq!(
        entry.affects,
        Affects::Versions {
            ranges: vec![events],
            exactly: Vec::new()
        }
    );
}

#[test]
fn a_withdrawn_record_says_nothing() {
    let text = record(
        "CVE-2026-0001",
        "Debian:12",
        "a",
        r#"{"introduced":"0"}"#,
        r#""withdrawn":"2026-01-01T00:00:00Z","#,
    );
    assert_eq!(
        osv(&text),
        Ok(osv::Read::Withdrawn("CVE-2026-0001".to_owned()))
    );
}

#[test]
fn what_is_wrong_with_a_record_is_said() {
    let events = |events: &str| record("X-1", "Debian:12", "a", events, "");
    let cases = [
        (String::new(), "EOF"),
        ("[]".to_owned(), "invalid length"),
        (r#"{"id": "X-1""#.to_owned(), "EOF"),
        (r#"{"summary": "x"}"#.to_owned(), "missing field `id`"),
        (r#"{"id": ""}"#.to_owned(), "the id is empty"),
        (r#"{"id": "\u001b[31mX"}"#.to_owned(), "control characters"),
        (format!(r#"{{"id": "{}"}}"#, "x".repeat(600)), "longer than"),
        (
            r#"{"id": "X-1", "schema_version": "2.0"}"#.to_owned(),
            "schema 2.0",
        ),
        (events(r#"{"fixed":"1"}"#), "introduces nothing"),
        (events(r#"{"other":"1"}"#), "an event says nothing"),
        (events(r#"{"introduced":""}"#), "a version is empty"),
        (events(r#"{"introduced":5}"#), "invalid type"),
    ];
    for (text, expected) in cases {
        let why = osv(&text).expect_err(&text);
        assert!(why.contains(expected), "{why:?} should say {expected:?}");
    }
    let deep = format!("{}{}", r#"{"id":"X","x":"#, "[".repeat(100_000));
    assert!(osv(&deep).is_err());
    let many = vec![r#"{"introduced":"0"}"#; 20_001].join(",");
    assert!(osv(&events(&many)).is_err());
}

#[test]
fn a_long_text_is_cut_and_a_name_is_normal() {
    let more = format!(r#""details":"{}","#, "ä".repeat(5000));
    let text = record("PYSEC-1", "PyPI", "Foo_Bar", r#"{"introduced":"0"}"#, &more);
    let advisory = advisory(&text);
    assert_eq!(advisory.details.len(), 2048);
    assert_eq!(advisory.affected[0].name, "foo-bar");
}

#[test]
fn pypis_yaml_is_read_as_text() {
    let text = "id: PYSEC-2020-1\nmodified: '2021-11-11T23:07:45.968611Z'\naffected:\n\
        - package: {name: rsa, ecosystem: PyPI}\n  ranges:\n  - type: ECOSYSTEM\n    events:\n\
        \x20   - introduced: '2.1'\n    - fixed: 1.2.0\n  versions:\n  - '3.0'\n  - 3.0.1\n";
    let Ok(osv::Read::Advisory { advisory, .. }) = osv::read_yaml(text) else {
        panic!("{:?}", osv::read_yaml(text));
    };
    assert_eq!(advisory.id, "PYSEC-2020-1");
    assert_eq!(advisory.modified, Some(time("2021-11-11T23:07:45.968611Z")));
    // What is left empty is not there, and what stands bare is text.
    let bare = "id: X-1\nwithdrawn:\nsummary: ~\naffected:\n- package: {name: a, ecosystem: PyPI}\n\
        \x20 ranges: []\n  versions: [1.0, 2, 'null']\n";
    let Ok(osv::Read::Advisory { advisory, .. }) = osv::read_yaml(bare) else {
        panic!("{:?}", osv::read_yaml(bare));
    };
    let versions = |all: [&str; 3]| all.map(str::to_owned).to_vec();
    assert_eq!(
        advisory.affected[0].affects,
        Affects::Versions {
            ranges: Vec::new(),
            exactly: versions(["1.0", "2", "null"]),
        }
    );
    for text in ["id: [", "id: X-1\n--- \nid: X-2\n", "? {a: b}\n: c\n", ""] {
        assert!(osv::read_yaml(text).is_err(), "{text:?}");
    }
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f]\n";
    assert!(osv::read_yaml(bomb).is_err());
}

#[test]
fn the_debian_tracker_is_read() {
    let text = r#"{
      "openssl": {
        "CVE-2026-0001": {"description": "d", "scope": "remote", "releases": {
          "bookworm": {"status": "resolved", "repositories": {"bookworm": "3"}, "fixed_version": "3.0.11-1", "urgency": "high**"},
          "trixie": {"status": "resolved", "fixed_version": "0", "urgency": "not yet assigned"},
          "sid": {"status": "open", "urgency": "medium"},
          "potato": {"status": "open"}}},
        "CVE-2026-0002": {"releases": {"bookworm": {"status": "undetermined"}}},
        "CVE-2026-0003": {"releases": {"bookworm": {"status": "resolved"}}}},
      "edk2": {
        "CVE-2026-0001": {"releases": {"bookworm": {"status": "open", "urgency": "unimportant"}}}}}"#;
    assert_eq!(form(text.as_bytes()), Ok(Form::DebianTracker));
    let tracker = debian::read(text.as_bytes()).expect("it is one");
    assert_eq!(tracker.elsewhere["potato"], 1);
    assert_eq!(tracker.refused.len(), 1, "{:?}", tracker.refused);
    assert_eq!(tracker.read.len(), 2);
    let first = &tracker.read[0];
    let seen: Vec<(&str, &str, Option<&str>)> = first
        .affected
        .iter()
        .map(|entry| (&*entry.ecosystem, &*entry.name, entry.urgency.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [
            ("Debian:12", "openssl", Some("high")),
            ("Debian", "openssl", Some("medium")),
            ("Debian:13", "openssl", None),
            ("Debian:12", "edk2", Some("unimportant")),
        ]
    );
    assert_eq!(tracker.read[1].affected[0].affects, Affects::Undetermined);
    for bad in ["{}", "[]", r#"{"a": 1}"#, r#"{"a": {"#] {
        assert!(debian::read(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn the_catalogue_of_exploited_vulnerabilities_is_read() {
    let text = r#"{"catalogVersion": "2026.01.01", "dateReleased": "2026-01-01T17:04:19.9796Z",
      "count": 3, "vulnerabilities": [
        {"cveID": "CVE-2025-48384", "dateAdded": "2025-08-25", "dueDate": "2025-09-15", "knownRansomwareCampaignUse": "Known"},
        {"cveID": "CVE-x", "dateAdded": "2025-08-25"},
        {"cveID": "CVE-2025-0001", "dateAdded": "yesterday"}]}"#;
    assert_eq!(form(text.as_bytes()), Ok(Form::Kev));
    let catalog = kev::read(text.as_bytes()).expect("it is one");
    assert_eq!(catalog.read.len(), 1);
    assert_eq!(catalog.refused.len(), 2);
    assert_eq!(catalog.read[0].1.due, Some(date(2025, 9, 15)));
    assert!(catalog.read[0].1.ransomware);
    // One that lost its end on the way.
    let torn = text.replace("\"count\": 3", "\"count\": 1404");
    assert!(kev::read(torn.as_bytes()).is_err());
}

#[test]
fn epss_scores_are_read_by_the_names_of_their_columns() {
    let usual = "#model_version:v2025.03.14,score_date:2026-08-22T00:00:00+0000\ncve,epss,percentile\nCVE-2024-6387,0.5,0.99\nCVE-2024-0001,1.5,0.1\nx,0,0\n";
    let scores = epss::read(usual.as_bytes()).expect("it is one");
    assert_eq!(scores.scored, Some(time("2026-08-22T00:00:00Z")));
    assert_eq!(scores.read.len(), 1);
    assert_eq!(scores.refused.len(), 2);
    let with_more =
        "CVE,CVSS3,EPSS,EPSS Percentile,Description\nCVE-2024-6387,8.1,0.5,0.99,\"a, b\"\n";
    let scores = epss::read(with_more.as_bytes()).expect("it is one");
    assert_eq!(scores.read.len(), 1);
    for bad in ["", "a,b\n1,2\n", "cve,epss\nCVE-2024-6387,0.5\n"] {
        assert!(epss::read(bad.as_bytes()).is_err(), "{bad:?}");
    }
}

#[test]
fn openvex_is_read() {
    let text = r#"{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://vex.example/1", "author": "Us",
      "timestamp": "2026-01-01T00:00:00Z", "version": 1, "statements": [
        {"vulnerability": {"name": "CVE-2026-0001", "aliases": ["GHSA-1"]},
         "products": [{"@id": "pkg:deb/debian/openssl@3.0.11-1?distro=debian-12"}, {"@id": "x", "identifiers": {"purl": "pkg:pypi/rsa"}}],
         "status": "not_affected", "justification": "vulnerable_code_not_present"},
        {"vulnerability": "CVE-2026-0002", "products": ["pkg:cargo/a"], "status": "fixed", "timestamp": "2026-02-01T00:00:00Z"},
        {"vulnerability": "CVE-2026-0003", "products": ["pkg:cargo/a"], "status": "not_affected"},
        {"vulnerability": "CVE-2026-0004", "products": ["not a url"], "status": "affected"},
        {"vulnerability": "CVE-2026-0005", "products": [], "status": "affected"},
        {"vulnerability": "CVE-2026-0008", "products": ["pkg:npm/a@1?repository_url=https://private.example"],
         "status": "not_affected", "justification": "component_not_present"},
        {"vulnerability": "CVE-2026-0009", "products": ["pkg:deb/debian/a?arch=arm64"],
         "status": "not_affected", "justification": "component_not_present"},
        {"vulnerability": "CVE-2026-0006", "products": ["pkg:cargo/a"], "status": "perhaps"},
        {"vulnerability": "CVE-2026-0007", "products": [{"@id": "pkg:oci/x", "subcomponents": [{"@id": "pkg:deb/debian/a"}]}], "status": "fixed"}]}"#;
    assert_eq!(form(text.as_bytes()), Ok(Form::OpenVex));
    let said = openvex::read(text.as_bytes()).expect("it is one");
    assert_eq!(said.refused.len(), 7, "{:?}", said.refused);
    assert_eq!(said.read.len(), 3);
    let first = &said.read[0];
    assert_eq!(first.product.distro, "debian-12");
    assert_eq!(
        (&*first.product.namespace, &*first.product.name),
        ("debian", "openssl")
    );
    assert_eq!(first.product.version, "3.0.11-1");
    assert_eq!(first.aliases, ["GHSA-1"]);
    assert_eq!(said.read[1].product.kind, "pypi");
    assert_eq!(said.read[2].status, VexStatus::Fixed);
    assert_eq!(said.read[2].at, Some(time("2026-02-01T00:00:00Z")));
    let other = text.replace("openvex.dev", "vex.example");
    assert!(openvex::read(other.as_bytes()).is_err());
}

#[test]
fn csaf_vex_is_read() {
    let text = r#"{"document": {"category": "csaf_vex", "publisher": {"name": "Us"},
        "tracking": {"id": "US-1", "current_release_date": "2026-01-01T00:00:00Z"}},
      "product_tree": {
        "branches": [{"category": "vendor", "name": "v", "branches": [
          {"category": "product_version", "name": "1", "product": {"product_id": "P1", "name": "p",
            "product_identification_helper": {"purl": "pkg:deb/debian/openssl@3.0.11-1?arch=source"}}}]}],
        "full_product_names": [{"product_id": "P2", "name": "q"}, {"product_id": "OS", "name": "o",
          "product_identification_helper": {"cpe": "cpe:/o:debian:debian_linux:12"}}],
        "relationships": [{"category": "default_component_of", "full_product_name": {"product_id": "OS:P1", "name": "x"},
          "product_reference": "P1", "relates_to_product_reference": "OS"}]},
      "vulnerabilities": [
        {"cve": "CVE-2026-0001", "product_status": {"known_not_affected": ["OS:P1", "P1"], "fixed": ["P2"]},
         "flags": [{"label": "component_not_present", "product_ids": ["OS:P1"]}]},
        {"cve": "CVE-2026-0002", "product_status": {"known_affected": ["P1"], "under_investigation": ["P1"]},
         "threats": [{"category": "impact", "details": "d", "product_ids": ["P1"]}]},
        {"product_status": {"fixed": ["P1"]}}]}"#;
    assert_eq!(form(text.as_bytes()), Ok(Form::Csaf));
    let said = csaf::read(text.as_bytes()).expect("it is one");
    let seen: Vec<_> = said
        .read
        .iter()
        .map(|one| (&*one.vulnerability, one.status))
        .collect();
    assert_eq!(
        seen,
        [
            ("CVE-2026-0001", VexStatus::NotAffected),
            ("CVE-2026-0002", VexStatus::Affected),
            ("CVE-2026-0002", VexStatus::UnderInvestigation),
        ]
    );
    assert_eq!(said.read[0].justification, "component_not_present");
    assert_eq!(said.refused.len(), 3, "{:?}", said.refused);
    let other = text.replace("csaf_vex", "csaf_base");
    assert!(csaf::read(other.as_bytes()).is_err());
}

#[test]
fn a_document_of_no_kind_is_refused() {
    for text in ["", "{", "{}", "[1]", r#"{"id": 5}"#, r#"{"a": {"b": {}}}"#] {
        assert!(form(text.as_bytes()).is_err(), "{text}");
    }
    // VEX in CycloneDX names components by references within a document of its own.
    let analysis = r#"{"state": "not_affected", "justification": "code_not_present"}"#;
    for text in [
        format!(
            r#"{{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "vulnerabilities": [
            {{"id": "CVE-2026-0001", "analysis": {analysis}, "affects": [{{"ref": "a"}}]}}]}}"#
        ),
        r#"{"spdxVersion": "SPDX-2.3", "packages": [], "name": "a"}"#.to_owned(),
        r#"{"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": []}"#
            .to_owned(),
    ] {
        assert!(form(text.as_bytes()).is_err(), "{text}");
        assert!(osv::read(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn numbers_of_cves() {
    for (text, good) in [
        ("CVE-2024-6387", true),
        ("CVE-2024-1234567", true),
        ("CVE-2024-123", false),
        ("CVE-24-1234", false),
        ("cve-2024-1234", false),
        ("CVE-2024-+234", false),
        ("CVE-2024-99999999999", false),
        ("GHSA-1", false),
    ] {
        let parsed = text.parse::<CveId>();
        assert_eq!(parsed.is_ok(), good, "{text}");
        if let Ok(cve) = parsed {
            assert_eq!(cve.to_string(), text);
        }
    }
}
