//! Findings in their order, and what is said to be unknown.

use advisory::record::{Epss, Exploited};
use jiff::civil::date;

use crate::support::{assessed, made, package, record};

#[test]
fn the_most_urgent_comes_first_and_what_has_no_fix_last() {
    let fixed = r#"{"introduced":"0"},{"fixed":"2"}"#;
    let open = r#"{"introduced":"0"}"#;
    let easy = r#""severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],"published":"2026-05-01T00:00:00Z","#;
    let hard = r#""severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"}],"published":"2026-05-01T00:00:00Z","#;
    let records = [
        record("CVE-2026-0001", "Debian:12", "a", fixed, hard),
        record("CVE-2026-0002", "Debian:12", "a", open, easy),
        record("CVE-2026-0003", "Debian:12", "b", fixed, easy),
        record("CVE-2026-0004", "Debian:12", "c", fixed, hard),
    ];
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let made = made(&records, |builder| {
        builder.exploited(
            "CVE-2026-0004".parse().expect("a number"),
            Exploited {
                added: date(2026, 5, 2),
                due: None,
                ransomware: false,
            },
        );
        for number in 1..=4 {
            let epss = Epss {
                score: 0.01,
                percentile: 0.5,
            };
            builder.score(
                format!("CVE-2026-000{number}").parse().expect("a number"),
                epss,
            );
        }
    });
    let installed = ["a", "b", "c"].map(|name| package(name, name, "1", Some("12")));
    let assessment = assessed(&[&made], &installed);
    let names: Vec<&str> = assessment.findings.iter().map(|f| &*f.name).collect();
    assert_eq!(
        names,
        [
            "CVE-2026-0004",
            "CVE-2026-0003",
            "CVE-2026-0001",
            "CVE-2026-0002"
        ]
    );
    assert_eq!(assessment.unknown, []);
    assert_eq!((assessment.components, assessment.packages), (3, 3));
}

#[test]
fn what_is_missing_or_stale_is_unknown_and_said() {
    let events = r#"{"introduced":"0"},{"fixed":"2"}"#;
    let fresh = record("CVE-2026-0001", "Debian:12", "a", events, "");
    let stale = fresh.replace("2026-06-01T00:00:00Z", "2026-04-01T00:00:00Z");
    let foreign = record(
        "RUSTSEC-1",
        "crates.io",
        "a",
        r#"{"introduced":"0.0.0"}"#,
        "",
    )
    .replace("2026-06-01T00:00:00Z", "2020-04-01T00:00:00Z");
    let clean = [package("z", "z", "1", Some("12"))];
    // (records, what is said)
    let cases: [(&[&str], &[&str]); 4] = [
        (&[], &["exploited", "no feed speaks of Debian:12"]),
        (&[&fresh], &["exploited"]),
        (&[&stale], &["is as of 2026-04-01", "exploited"]),
        // It says nothing of what is installed, so its age doesn't matter.
        (&[&foreign], &["exploited", "no feed speaks of Debian:12"]),
    ];
    for (records, expected) in cases {
        let made = made(records, |_| {});
        let assessment = assessed(&[&made], &clean);
        let said: Vec<&str> = assessment
            .unknown
            .iter()
            .map(|unknown| &*unknown.why)
            .collect();
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.contains(expected), "{said} should say {expected}");
        }
    }
    assert_eq!(assessed(&[], &clean).unknown.len(), 2);
}
