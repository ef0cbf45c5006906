//! What is affected, fixed, not affected, or unknown.

use advisory::matching::{Subject, Verdict, judge, judge_one, speaking};
use advisory::record::{Product, Statement, VexStatus};
use model::component::SourcePackage;
use model::{Component, Ecosystem};

use crate::support::{Made, assessed, component, made, package, record, time};

fn verdict<'a>(made: &[&'a Made], component: &Component, name: &str) -> Option<Verdict<'a>> {
    let indexes: Vec<_> = made.iter().map(|made| made.index()).collect();
    let subject = Subject::of(component);
    let judged = judge_one(&indexes, &subject, &[component], name).expect("a good index");
    judged.map(|judged| judged.verdict)
}

fn affected(fixed: Option<&str>) -> Option<Verdict<'_>> {
    Some(Verdict::Affected { fixed })
}

fn fixed(since: &str) -> Option<Verdict<'_>> {
    Some(Verdict::Fixed { since })
}

#[test]
fn a_signed_kernel_is_judged_as_what_it_was_built_from() {
    let mut kernel = package(
        "linux-image-6.1.0-28-amd64",
        "linux",
        "6.1.119-1",
        Some("12"),
    );
    let source = SourcePackage {
        name: "linux-signed-amd64".to_owned(),
        version: "6.1.119+1".to_owned(),
    };
    kernel.source = Some(source);
    let subject = Subject::of(&kernel);
    assert_eq!((&*subject.name, &*subject.version), ("linux", "6.1.119-1"));
}

/// (ecosystem, events, installed version, verdict)
#[test]
fn ranges_are_evaluated_as_the_schema_says() {
    let ours = |version: &str| package("libssl3", "openssl", version, Some("12"));
    let crates = |version: &str| component(Ecosystem::CratesIo, "openssl", version);
    let until = r#"{"introduced":"0"},{"fixed":"3.0.11-1~deb12u2"}"#;
    let cases = [
        (
            "Debian:12",
            until,
            ours("3.0.11-1~deb12u1"),
            affected(Some("3.0.11-1~deb12u2")),
        ),
        // Upstream's fix has a higher number, and the distribution's counts.
        (
            "Debian:12",
            until,
            ours("3.0.11-1~deb12u2"),
            fixed("3.0.11-1~deb12u2"),
        ),
        (
            "Debian:12",
            until,
            ours("3.0.13-1~deb12u1"),
            fixed("3.0.11-1~deb12u2"),
        ),
        (
            "Debian:12",
            r#"{"introduced":"0"}"#,
            ours("3.0.11-1"),
            affected(None),
        ),
        // `0`: never affected in this release.
        (
            "Debian:12",
            r#"{"introduced":"0"},{"fixed":"0"}"#,
            ours("3.0.11-1"),
            None,
        ),
        (
            "Debian:12",
            r#"{"introduced":"3.1"}"#,
            ours("3.0.11-1"),
            None,
        ),
        // Of another release: nothing is said of ours.
        ("Debian:11", until, ours("1.1.1"), None),
        (
            "crates.io",
            r#"{"introduced":"1.0.0"},{"fixed":"1.0.5"},{"introduced":"1.1.0"},{"fixed":"1.1.2"}"#,
            crates("1.1.1"),
            affected(Some("1.1.2")),
        ),
        (
            "crates.io",
            r#"{"introduced":"1.1.0"},{"fixed":"1.1.2"},{"introduced":"0"},{"fixed":"1.0.5"}"#,
            crates("1.0.9"),
            fixed("1.0.5"),
        ),
        (
            "crates.io",
            r#"{"introduced":"1.0.0"},{"last_affected":"1.2.0"}"#,
            crates("1.2.0"),
            affected(None),
        ),
        (
            "crates.io",
            r#"{"introduced":"1.0.0"},{"last_affected":"1.2.0"}"#,
            crates("1.2.1"),
            None,
        ),
        (
            "crates.io",
            r#"{"introduced":"0"},{"limit":"2.0.0"}"#,
            crates("2.0.0"),
            None,
        ),
        (
            "crates.io",
            r#"{"introduced":"0"},{"limit":"*"}"#,
            crates("2.0.0"),
            affected(None),
        ),
    ];
    for (ecosystem, events, component, expected) in cases {
        let record = record("CVE-2026-0001", ecosystem, "openssl", events, "");
        let made = made(&[&record], |_| {});
        let seen = verdict(&[&made], &component, "CVE-2026-0001");
        assert_eq!(seen, expected, "{ecosystem} {events} {}", component.version);
    }
}

#[test]
fn a_version_that_is_none_is_unknown() {
    let events = r#"{"introduced":"1.0.0"},{"fixed":"1.1.0"}"#;
    let made = made(
        &[&record("RUSTSEC-1", "crates.io", "a", events, "")],
        |_| {},
    );
    let component = component(Ecosystem::CratesIo, "a", "not a version");
    let seen = verdict(&[&made], &component, "RUSTSEC-1");
    assert!(matches!(seen, Some(Verdict::Unknown { .. })), "{seen:?}");
    let assessment = assessed(&[&made], &[component]);
    assert_eq!(assessment.undetermined.len(), 1);
    assert_eq!(assessment.findings, []);
}

#[test]
fn versions_by_themselves_count_beside_ranges() {
    let record = r#"{"id":"PYSEC-1","modified":"2026-06-01T00:00:00Z","affected":[{
        "package":{"ecosystem":"PyPI","name":"Foo_Bar"},
        "ranges":[{"type":"GIT","repo":"x","events":[{"introduced":"0"}]},
                  {"type":"ECOSYSTEM","events":[{"introduced":"1"},{"fixed":"2"}]}],
        "versions":["1.0","1.5","3.0"]}]}"#;
    let made = made(&[record], |_| {});
    let at = |version: &str| {
        verdict(
            &[&made],
            &component(Ecosystem::PyPi, "foo.bar", version),
            "PYSEC-1",
        )
    };
    assert_eq!(at("1.5"), affected(Some("2")));
    assert_eq!(at("3"), affected(None));
    assert_eq!(at("2.5"), fixed("2"));
}

#[test]
fn a_distributions_advisory_brings_the_date_and_stands_alone_where_it_must() {
    let until = |version: &str| format!(r#"{{"introduced":"0"}},{{"fixed":"{version}"}}"#);
    let cve = |id: &str, events: &str| record(id, "Debian:12", "openssl", events, "");
    let dsa = |id: &str, version: &str, related: &str| {
        let more = format!(r#""published":"2026-05-20T00:00:00Z","related":[{related}],"#);
        record(id, "Debian:12", "openssl", &until(version), &more)
    };
    let installed = package("libssl3", "openssl", "3.0.10-1", Some("12"));
    type Seen<'a> = (&'a str, Option<&'a str>, bool);
    // (records, findings as (name, fixed, dated))
    let cases: [(&[String], &[Seen<'_>]); 4] = [
        (
            &[
                cve("CVE-2026-0001", &until("3.0.11-1")),
                cve("CVE-2026-0002", &until("3.0.11-1")),
                dsa("DSA-1-1", "3.0.11-1", r#""CVE-2026-0001","CVE-2026-0002""#),
            ],
            &[
                ("CVE-2026-0001", Some("3.0.11-1"), true),
                ("CVE-2026-0002", Some("3.0.11-1"), true),
            ],
        ),
        // The record of the CVE is older than the fix.
        (
            &[
                cve("CVE-2026-0001", r#"{"introduced":"0"}"#),
                dsa("DSA-1-1", "3.0.11-1", r#""CVE-2026-0001""#),
            ],
            &[("CVE-2026-0001", Some("3.0.11-1"), true)],
        ),
        // ... and the fix is installed.
        (
            &[
                cve("CVE-2026-0001", r#"{"introduced":"0"}"#),
                dsa("DSA-1-1", "3.0.9-1", r#""CVE-2026-0001""#),
            ],
            &[],
        ),
        // Nothing else speaks of it.
        (
            &[dsa("DSA-1-1", "3.0.11-1", r#""CVE-2026-0001""#)],
            &[("DSA-1-1", Some("3.0.11-1"), true)],
        ),
    ];
    for (records, expected) in cases {
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let made = made(&records, |_| {});
        let assessment = assessed(&[&made], std::slice::from_ref(&installed));
        let seen: Vec<Seen<'_>> = assessment
            .findings
            .iter()
            .map(|f| (&*f.name, f.fixed.as_deref(), f.fix_published.is_some()))
            .collect();
        assert_eq!(seen, expected, "{records:?}");
    }
}

/// Found by every name, and by what a distribution's advisory is about; elsewhere one that is
/// merely related says nothing of it.
#[test]
fn an_advisory_speaks_of_what_it_names() {
    let events = r#"{"introduced":"0"},{"fixed":"2"}"#;
    let record = |id: &str, ecosystem: &str, field: &str| {
        let more = format!(r#""{field}":["CVE-2026-0007","CVE-2026-0008"],"#);
        record(id, ecosystem, "openssl", events, &more)
    };
    // (id, ecosystem, field, does it speak of CVE-2026-0008)
    for (id, ecosystem, field, speaks) in [
        ("DSA-1-1", "Debian:12", "related", true),
        ("DSA-1-1", "Debian:12", "upstream", true),
        ("DSA-1-1", "Debian:12", "aliases", true),
        ("GHSA-1", "npm", "aliases", true),
        ("GHSA-1", "npm", "related", false),
    ] {
        let made = made(&[&record(id, ecosystem, field)], |_| {});
        let names = |name: &str| {
            let rows = speaking(&made.index(), name).expect("good");
            rows.len()
        };
        assert_eq!(names("cve-2026-0008") > 0, speaks, "{id}, {field}");
        assert_eq!(names(&id.to_lowercase()), 1, "{id}, {field}");
        assert_eq!(names("CVE-2026-0009"), 0, "{id}, {field}");
    }
}

#[test]
fn the_source_package_is_what_is_looked_up() {
    let events = r#"{"introduced":"0"},{"fixed":"3.0.11-1"}"#;
    let made = made(
        &[&record("CVE-2026-0001", "Debian:12", "openssl", events, "")],
        |_| {},
    );
    let both = [
        package("libssl3", "openssl", "3.0.10-1", Some("12")),
        package("openssl", "openssl", "3.0.10-1", Some("12")),
    ];
    let assessment = assessed(&[&made], &both);
    assert_eq!(
        assessment.findings.len(),
        1,
        "one for both packages of the source"
    );
    assert_eq!(assessment.findings[0].components, ["libssl3", "openssl"]);
}

#[test]
fn a_release_of_which_no_feed_speaks_is_unknown() {
    let events = r#"{"introduced":"0"},{"fixed":"3.0.11-1"}"#;
    let made = made(
        &[&record("CVE-2026-0001", "Debian:12", "openssl", events, "")],
        |_| {},
    );
    for (release, spoken) in [(Some("12"), true), (Some("14"), false), (None, false)] {
        let component = package("bash", "bash", "5.2", release);
        let assessment = assessed(&[&made], &[component]);
        assert_eq!(assessment.findings, []);
        let about_release = assessment
            .unknown
            .iter()
            .any(|unknown| unknown.packages == Some(1));
        assert_eq!(
            about_release, !spoken,
            "{release:?}: {:?}",
            assessment.unknown
        );
    }
}

#[test]
fn a_release_that_a_feed_stopped_speaking_of_is_unknown() {
    let old = r#""published":"2022-01-01T00:00:00Z","#;
    let new = r#""published":"2026-05-30T00:00:00Z","#;
    let events = r#"{"introduced":"0"},{"fixed":"2"}"#;
    let made = made(
        &[
            &record("CVE-2022-0001", "Debian:9", "a", events, old),
            &record("CVE-2026-0001", "Debian:12", "a", events, new),
        ],
        |_| {},
    );
    let assessment = assessed(&[&made], &[package("a", "a", "1", Some("9"))]);
    assert_eq!(assessment.findings.len(), 1, "what it said still counts");
    let why = &assessment.unknown.last().expect("a cause").why;
    assert!(why.contains("since 2022-01-01"), "{why}");
}

fn said(name: &str, version: &str, status: VexStatus, at: &str) -> Statement {
    Statement {
        vulnerability: "CVE-2026-0001".to_owned(),
        aliases: Vec::new(),
        product: Product {
            kind: "deb".to_owned(),
            namespace: "debian".to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            distro: String::new(),
            upstream: String::new(),
        },
        status,
        justification: "vulnerable_code_not_present".to_owned(),
        impact: String::new(),
        source: "us".to_owned(),
        at: Some(time(at)),
    }
}

#[test]
fn vex_says_what_is_not_affected_and_only_of_its_product() {
    use VexStatus::{Affected, NotAffected, UnderInvestigation};
    const MAY: &str = "2026-05-01T00:00:00Z";
    const JUNE: &str = "2026-06-01T00:00:00Z";
    let events = r#"{"introduced":"0"},{"fixed":"3.0.11-1"}"#;
    let record = record("CVE-2026-0001", "Debian:12", "openssl", events, "");
    let elsewhere = |distro: &str| {
        let mut statement = said("openssl", "", NotAffected, MAY);
        statement.product.distro = distro.to_owned();
        statement
    };
    let built_from = |name: &str, source: &str| {
        let mut statement = said(name, "", NotAffected, MAY);
        statement.product.upstream = source.to_owned();
        statement
    };
    let both_from = |source: &str| {
        ["libssl3", "openssl"]
            .map(|name| built_from(name, source))
            .to_vec()
    };
    // (statements, is it dismissed?)
    let cases = [
        (vec![said("openssl", "", NotAffected, MAY)], true),
        (vec![said("openssl", "3.0.10-1", NotAffected, MAY)], true),
        (vec![said("openssl", "3.0.9-1", NotAffected, MAY)], false),
        (vec![said("curl", "", NotAffected, MAY)], false),
        // One of two packages of the source.
        (vec![said("libssl3", "", NotAffected, MAY)], false),
        (vec![elsewhere("debian-12")], true),
        (vec![elsewhere("debian-11")], false),
        (vec![elsewhere("debian-12.5")], true),
        (vec![elsewhere("bookworm")], true),
        (vec![elsewhere("trixie")], false),
        // Of a binary package, although its source has the same name.
        (vec![built_from("openssl", "openssl")], false),
        // Of each of them, built from this source, from another version of it, or from another.
        (both_from("openssl"), true),
        (both_from("openssl@3.0.10-1"), true),
        (both_from("openssl@3.0.9-1"), false),
        (both_from("openssl-legacy"), false),
        (
            vec![
                built_from("libssl3", "openssl"),
                said("openssl", "", Affected, MAY),
            ],
            false,
        ),
        // The newest one counts, and of equally new ones the worst.
        (
            vec![
                said("openssl", "", Affected, MAY),
                said("openssl", "", NotAffected, JUNE),
            ],
            true,
        ),
        (
            vec![
                said("openssl", "", Affected, JUNE),
                said("openssl", "", NotAffected, MAY),
            ],
            false,
        ),
        (
            vec![
                said("openssl", "", NotAffected, MAY),
                said("openssl", "", Affected, MAY),
            ],
            false,
        ),
        (vec![said("openssl", "", UnderInvestigation, MAY)], false),
    ];
    for (statements, dismissed) in cases {
        let shown = format!("{statements:?}");
        let made = made(&[&record], |builder| {
            statements
                .into_iter()
                .for_each(|one| builder.statement(one));
        });
        let both = [
            package("libssl3", "openssl", "3.0.10-1", Some("12")),
            package("openssl", "openssl", "3.0.10-1", Some("12")),
        ];
        let assessment = assessed(&[&made], &both);
        assert_eq!(
            assessment.not_affected.len(),
            usize::from(dismissed),
            "{shown}"
        );
        assert_eq!(
            assessment.findings.len(),
            usize::from(!dismissed),
            "{shown}"
        );
    }
}

#[test]
fn a_newer_feed_does_not_take_a_fix_back() {
    let open = record(
        "CVE-2026-0001",
        "Debian:12",
        "openssl",
        r#"{"introduced":"0"}"#,
        "",
    );
    let closed = record(
        "CVE-2026-0001",
        "Debian:12",
        "openssl",
        r#"{"introduced":"0"},{"fixed":"3.0.10-1"}"#,
        "",
    );
    let (open, closed) = (made(&[&open], |_| {}), made(&[&closed], |_| {}));
    let installed = package("libssl3", "openssl", "3.0.10-1", Some("12"));
    for feeds in [[&open, &closed], [&closed, &open]] {
        let indexes = feeds.map(|made| made.index());
        let judged = judge(&indexes, &Subject::of(&installed), &[&installed]);
        assert_eq!(judged.expect("a good index").len(), 0);
    }
}

/// A record about several releases: (release, fix), none without a fix.
fn of_releases(id: &str, name: &str, releases: &[(&str, Option<&str>)]) -> String {
    let affected: Vec<String> = releases
        .iter()
        .map(|(release, fix)| {
            let fixed = fix.map(|fix| format!(r#",{{"fixed":"{fix}"}}"#));
            format!(
                r#"{{"package":{{"ecosystem":"{release}","name":"{name}"}},"ranges":[{{"type":
                "ECOSYSTEM","events":[{{"introduced":"0"}}{}]}}]}}"#,
                fixed.unwrap_or_default()
            )
        })
        .collect();
    let affected = affected.join(",");
    format!(r#"{{"schema_version":"1.6.0","id":"{id}","affected":[{affected}]}}"#)
}

#[test]
fn a_backport_is_judged_by_the_release_that_it_is_of() {
    let made = made(
        &[
            &of_releases(
                "CVE-2025-0001",
                "samba",
                &[("Debian:12", None), ("Debian:13", Some("2:4.19.3+dfsg-1"))],
            ),
            // Mended in the very version that was backported, which dpkg's order has above it.
            &of_releases(
                "CVE-2025-0002",
                "linux",
                &[
                    ("Debian:12", Some("6.13.2-1")),
                    ("Debian:13", Some("6.12.9-1")),
                ],
            ),
            &of_releases(
                "CVE-2024-57917",
                "linux",
                &[
                    ("Debian:12", Some("6.1.128-1")),
                    ("Debian:13", Some("6.12.10-1")),
                ],
            ),
            &of_releases("CVE-2025-0003", "bash", &[("Debian:8", Some("2.1-1"))]),
        ],
        |_| {},
    );
    let samba = |version| package("samba", "samba", version, Some("12"));
    let linux = |version| package("linux-image-6.12.9+bpo-amd64", "linux", version, Some("12"));
    let signed = Component {
        source: Some(SourcePackage {
            name: "linux-signed-amd64".to_owned(),
            version: "6.12.9+1~bpo12+1".to_owned(),
        }),
        ..linux("6.12.9-1~bpo12+1")
    };
    let bash = |version| package("bash", "bash", version, Some("11"));
    let cases = [
        (
            samba("2:4.21.3+dfsg-6~bpo12+1"),
            "CVE-2025-0001",
            fixed("2:4.19.3+dfsg-1"),
        ),
        // Not a backport.
        (
            samba("2:4.17.12+dfsg-0+deb12u1"),
            "CVE-2025-0001",
            affected(None),
        ),
        (
            linux("6.12.9-1~bpo12+1"),
            "CVE-2025-0002",
            fixed("6.12.9-1"),
        ),
        (signed.clone(), "CVE-2025-0002", fixed("6.12.9-1")),
        (
            linux("6.12.9-1~bpo12+1"),
            "CVE-2024-57917",
            affected(Some("6.12.10-1")),
        ),
        (
            signed.clone(),
            "CVE-2024-57917",
            affected(Some("6.12.10-1")),
        ),
        // Rebuilt once more, and left over from an upgrade of the release.
        (
            linux("6.12.9-1~bpo12+2"),
            "CVE-2024-57917",
            affected(Some("6.12.10-1")),
        ),
        (
            package("samba", "samba", "2:4.19.3+dfsg-1~bpo12+1", Some("13")),
            "CVE-2025-0001",
            fixed("2:4.19.3+dfsg-1"),
        ),
        (
            bash("2.0-1~bpo70+1"),
            "CVE-2025-0003",
            affected(Some("2.1-1")),
        ),
        // Made for a stable release, from which nothing else follows.
        (samba("2:4.18~deb12u1"), "CVE-2025-0001", affected(None)),
    ];
    for (component, name, expected) in cases {
        assert_eq!(
            verdict(&[&made], &component, name),
            expected,
            "{} {name}",
            component.version
        );
    }
    let found = assessed(&[&made], &[signed]);
    let names: Vec<_> = found.findings.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["CVE-2024-57917"]);
    assert_eq!(found.findings[0].package.ecosystem, "Debian:12");
    let about = |why: &str| found.unknown.iter().any(|one| one.why.contains(why));
    assert!(!about("speaks of Debian"), "{:?}", found.unknown);
    // Its release is not spoken of: what is said of the one that it runs on is about other code.
    let later = package("samba", "samba", "2:4.23-1~bpo13+1", Some("13"));
    let found = assessed(&[&made], &[later]);
    assert_eq!(found.findings, []);
    let why = found.unknown.iter().map(|one| (&*one.why, one.packages));
    let why: Vec<_> = why.collect();
    assert!(
        why.contains(&("no feed speaks of Debian:14", Some(1))),
        "{why:?}"
    );
}

/// GO-2026-5932 as Go's database has it: one package of a module, without a fix.
const OPENPGP: &str = r#"{"schema_version":"1.3.1","id":"GO-2026-5932","affected":[{"package":
    {"ecosystem":"Go","name":"golang.org/x/crypto"},"ranges":[{"type":"SEMVER","events":
    [{"introduced":"0"}]}],"ecosystem_specific":{"imports":[{"path":"golang.org/x/crypto/openpgp"},
    {"path":"golang.org/x/crypto/openpgp/packet"}]}}]}"#;

#[test]
fn an_advisory_about_some_packages_of_a_module_is_about_no_other() {
    let made = made(&[OPENPGP], |_| {});
    let using = |packages: &[&str]| Component {
        packages: packages.iter().map(|&one| one.to_owned()).collect(),
        ..component(Ecosystem::Go, "golang.org/x/crypto", "v0.54.0")
    };
    // (packages that are used, those of the finding; none where there is no finding)
    let both = [
        "golang.org/x/crypto/openpgp",
        "golang.org/x/crypto/openpgp/packet",
    ];
    let cases: [(&[&str], Option<&[&str]>); 4] = [
        (&[], Some(&both)),
        (&["golang.org/x/crypto/ssh"], None),
        (&["golang.org/x/crypto/openpgp/armor"], None),
        (&["golang.org/x/crypto/ssh", both[1]], Some(&both[1..])),
    ];
    for (packages, expected) in cases {
        let found = assessed(&[&made], &[using(packages)]);
        let of_finding = found.findings.first().map(|one| &*one.packages);
        let expected = expected.map(|expected| expected.to_vec());
        let of_finding = of_finding.map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(of_finding, expected, "{packages:?}");
    }
    // Of two programs one may use it, or one can't be told.
    let found = assessed(&[&made], &[using(&["golang.org/x/crypto/ssh"]), using(&[])]);
    assert_eq!(found.findings.len(), 1);
}

/// A package URL has a module's path in lower case (purl-spec, golang).
#[test]
fn a_module_of_a_document_is_found_whatever_its_letters() {
    let events = r#"{"introduced":"0"},{"fixed":"1.1.1"}"#;
    let record = record("GO-1", "Go", "github.com/Masterminds/goutils", events, "");
    let made = made(&[&record], |_| {});
    for (name, version, count) in [
        ("github.com/masterminds/goutils", "v1.1.0", 1),
        ("github.com/Masterminds/goutils", "v1.1.0", 1),
        ("github.com/masterminds/goutils", "v1.1.1", 0),
        ("github.com/masterminds/goutils2", "v1.1.0", 0),
    ] {
        let found = assessed(&[&made], &[component(Ecosystem::Go, name, version)]);
        assert_eq!(found.findings.len(), count, "{name} {version}");
    }
}

#[test]
fn an_archive_without_a_group_is_found_or_said_to_be_unknown() {
    let events = r#"{"introduced":"0"},{"fixed":"5.3.18"}"#;
    let spring = record(
        "GHSA-36p3-wjmg-h94x",
        "Maven",
        "org.springframework:spring-beans",
        events,
        r#""aliases":["CVE-2022-22965"],"#,
    );
    let other = record("GHSA-other", "Maven", "commons-io:commons-io", events, "");
    let made = made(&[&spring, &other], |_| {});
    let jar = |name: &str, version: &str, packages: &[&str]| Component {
        packages: packages.iter().map(|&one| one.to_owned()).collect(),
        ..component(Ecosystem::Maven, name, version)
    };
    let classes = ["org.springframework.beans"];
    // (component, findings, undetermined, packages that can't be told)
    let cases = [
        (jar("spring-beans", "5.3.17", &classes), 1, 0, 0),
        (
            jar("org.springframework:spring-beans", "5.3.17", &[]),
            1,
            0,
            0,
        ),
        (jar("spring-beans", "5.3.18", &classes), 0, 0, 0),
        // A document, or classes that lie elsewhere: it may be another one of this name.
        (jar("spring-beans", "5.3.17", &[]), 0, 1, 0),
        (
            jar("spring-beans", "5.3.17", &["com.example.beans"]),
            0,
            1,
            0,
        ),
        (
            jar("commons-io", "2.6", &["org.apache.commons.io"]),
            0,
            1,
            0,
        ),
        // No feed knows it, and what it is called in Maven's repository is not known.
        (jar("app", "1.0", &["com.example.app"]), 0, 0, 1),
        (jar("com.example:app", "1.0", &[]), 0, 0, 0),
    ];
    for (component, findings, undetermined, nameless) in cases {
        let found = assessed(&[&made], std::slice::from_ref(&component));
        let told: usize = found.unknown.iter().filter_map(|one| one.packages).sum();
        assert_eq!(
            (found.findings.len(), found.undetermined.len(), told),
            (findings, undetermined, nameless),
            "{component:?}"
        );
    }
    // By its name in the table of artifacts nothing is found.
    let trick = jar(":spring-beans:org.springframework", "5.3.17", &[]);
    assert_eq!(assessed(&[&made], &[trick]).findings, []);
}

#[test]
fn a_package_of_which_nobody_says_what_it_was_built_from_is_unknown() {
    let events = r#"{"introduced":"0"},{"fixed":"9"}"#;
    let made = made(
        &[
            &record("CVE-2026-0001", "Debian:12", "glibc", events, ""),
            &record("CVE-2026-0002", "Debian:12", "bash", events, ""),
        ],
        |_| {},
    );
    // (package, its source, findings, packages that can't be told)
    for (name, source, findings, nameless) in [
        ("libc6", None, 0, 1),
        // A binary package may be called as its source, and this one is.
        ("bash", None, 1, 0),
        ("libc6", Some("glibc"), 1, 0),
        ("libacl1", Some("acl"), 0, 0),
    ] {
        let mut component = package(name, source.unwrap_or(name), "2", Some("12"));
        component.source = component.source.filter(|_| source.is_some());
        let found = assessed(&[&made], &[component]);
        let told: usize = found.unknown.iter().filter_map(|one| one.packages).sum();
        assert_eq!((found.findings.len(), told), (findings, nameless), "{name}");
    }
}

/// RUSTSEC-2020-0056 as RustSec has it.
#[test]
fn what_is_no_vulnerability_is_a_warning() {
    let stdweb = r#"{"id":"RUSTSEC-2020-0056","affected":[{"package":{"ecosystem":"crates.io",
        "name":"stdweb"},"database_specific":{"categories":[],"cvss":null,"informational":
        "unmaintained"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0.0.0-0"},
        {"fixed":"0.4.21-0"}]}]}]}"#;
    let hole = stdweb
        .replace("RUSTSEC-2020-0056", "RUSTSEC-2020-9999")
        .replace(
            r#","informational":
        "unmaintained""#,
            "",
        );
    let component = component(Ecosystem::CratesIo, "stdweb", "0.4.20");
    let made_of = |records: &[&str]| made(records, |_| {});
    let informed = made_of(&[stdweb]);
    let found = assessed(&[&informed], std::slice::from_ref(&component));
    assert_eq!(found.findings, []);
    let told: Vec<_> = found
        .warnings
        .iter()
        .map(|one| (&*one.name, &*one.informs, one.fixed.as_deref()))
        .collect();
    assert_eq!(told, [("RUSTSEC-2020-0056", "unmaintained", None)]);
    let later = Component {
        version: "0.4.21".to_owned(),
        ..component.clone()
    };
    assert_eq!(assessed(&[&informed], &[later]).warnings, []);
    // A vulnerability of that form is a finding, and what closes it is above 0.4.20.
    let both = made_of(&[stdweb, &hole]);
    let found = assessed(&[&both], std::slice::from_ref(&component));
    assert_eq!(found.findings.len(), 1);
    let subject = Subject::of(&component);
    let remedy = advisory::remedy::remedy(&[both.index()], &subject, &[&component]);
    let remedy = remedy.expect("a good index");
    let to = remedy.to.expect("there is one");
    assert_eq!((&*to.version, to.above), ("0.4.20", true));
    assert_eq!(remedy.closes, ["RUSTSEC-2020-9999"]);
}
