//! Findings in their order, and what is said to be unknown.

use advisory::record::{Epss, Exploited};
use jiff::civil::date;

use crate::support::{Made, assessed, made, package, record};

#[test]
fn the_most_urgent_comes_first() {
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
            // It is exploited.
            "CVE-2026-0004",
            "CVE-2026-0003",
            "CVE-2026-0002",
            "CVE-2026-0001"
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

/// A class is ordered by EPSS, CVSS and exposure; without EPSS by how often others of the kind were
/// exploited, so that a known score goes before what is usual for most. The many of one
/// package hide nobody, and what the distribution calls unimportant comes last of all.
#[test]
fn a_class_has_an_order_of_its_own() {
    let open = r#"{"introduced":"0"}"#;
    let vector = |vector: &str| {
        format!(
            r#""severity":[{{"type":"CVSS_V3","score":"CVSS:3.1/{vector}"}}],"published":"2026-05-01T00:00:00Z","#
        )
    };
    let (high, medium, local) = (
        vector("AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"),
        vector("AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:N/A:N"),
        vector("AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H"),
    );
    let mut records = vec![
        record("CVE-2026-0001", "Debian:12", "a", open, &medium),
        record("CVE-2026-0002", "Debian:12", "b", open, &high),
        record("CVE-2026-0003", "Debian:12", "c", open, &medium),
        record("CVE-2026-0005", "Debian:12", "d", open, &local),
        // Nobody has a vector for it.
        record(
            "CVE-2026-0006",
            "Debian:12",
            "e",
            open,
            r#""published":"2026-05-01T00:00:00Z","#,
        ),
        record("CVE-2026-0007", "Debian:12", "f", open, &high).replace(
            r#""name":"f"}"#,
            r#""name":"f"},"ecosystem_specific":{"urgency":"unimportant"}"#,
        ),
    ];
    // As many of one package as a kernel has, and as bad as another's.
    records.extend((10..20).map(|n| {
        record(
            &format!("CVE-2026-00{n}"),
            "Debian:12",
            "linux",
            open,
            &medium,
        )
    }));
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let made = made(&records, |builder| {
        builder.exploited(
            "CVE-2020-0001".parse().expect("a number"),
            Exploited {
                added: date(2026, 5, 2),
                due: None,
                ransomware: false,
            },
        );
        let epss = Epss {
            score: 0.05,
            percentile: 0.9,
        };
        builder.score("CVE-2026-0003".parse().expect("a number"), epss);
    });
    let installed = ["a", "b", "c", "d", "e", "f", "linux"];
    let installed = installed.map(|name| package(name, name, "1", Some("12")));
    let assessment = assessed(&[&made], &installed);
    let names: Vec<&str> = assessment.findings.iter().map(|f| &*f.name).collect();
    assert_eq!(names.len(), 16);
    assert_eq!(
        &names[..4],
        [
            "CVE-2026-0003",
            // Who takes all of a host from within it, and of whom it is not known.
            "CVE-2026-0005",
            "CVE-2026-0006",
            "CVE-2026-0002",
        ],
        "{names:?}"
    );
    assert_eq!(names[4], "CVE-2026-0001", "{names:?}");
    assert_eq!(names[15], "CVE-2026-0007", "{names:?}");
}

/// The catalogue ended months ago: what it did not name until then is not "exploited".
#[test]
fn a_list_that_ended_still_says_what_was_not_exploited() {
    let open = r#"{"introduced":"0"}"#;
    let published = |day: &str| format!(r#""published":"{day}T00:00:00Z","#);
    let records = [
        record(
            "CVE-2025-0001",
            "Debian:12",
            "a",
            open,
            &published("2025-01-01"),
        ),
        record(
            "CVE-2026-0002",
            "Debian:12",
            "b",
            open,
            &published("2026-05-01"),
        ),
        // Without a date of its own, its number says that it is older.
        record("CVE-2024-0003", "Debian:12", "c", open, ""),
    ];
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let advisories = made(&records, |_| {});
    let mut catalog = made(&[], |builder| {
        builder.seen_at(Some("2026-01-15T00:00:00Z".parse().expect("a time")));
        builder.exploited(
            "CVE-2020-0001".parse().expect("a number"),
            Exploited {
                added: date(2026, 1, 2),
                due: None,
                ransomware: false,
            },
        );
    });
    catalog.feed.name = "kev".to_owned();
    let installed = ["a", "b", "c"].map(|name| package(name, name, "1", Some("12")));
    let assessment = assessed(&[&advisories, &catalog], &installed);
    let told: Vec<(&str, &str)> = assessment
        .findings
        .iter()
        .map(|one| (&*one.name, one.ranking.inputs[0].reason.as_ref()))
        .collect();
    let until = "not known to be exploited until 2026-01-15; there is no feed of EPSS scores as \
        new as it";
    let unknown = "no feed of known exploited vulnerabilities is as new as it";
    for (name, reason) in [
        ("CVE-2025-0001", until),
        ("CVE-2026-0002", unknown),
        ("CVE-2024-0003", until),
    ] {
        assert!(told.contains(&(name, reason)), "{name}: {told:?}");
    }
}

/// An upgrade that closes none of the findings of a feed that ended before it came out may close
/// others.
#[test]
fn feeds_that_ended_say_so() {
    let events = r#"{"introduced":"0"},{"fixed":"2"}"#;
    let fresh = record("CVE-2026-0001", "Debian:12", "a", events, "");
    let stale = fresh.replace("2026-06-01T00:00:00Z", "2026-04-01T00:00:00Z");
    let installed = [package("a", "a", "1", Some("12"))];
    let (fresh, stale, none) = (
        made(&[&fresh], |_| {}),
        made(&[&stale], |_| {}),
        made(&[], |_| {}),
    );
    let ended = |feeds: &[&Made]| assessed(feeds, &installed).ended();
    assert_eq!(ended(&[&stale]), Some(date(2026, 4, 1)));
    assert_eq!(ended(&[&fresh]), None);
    assert_eq!(ended(&[&stale, &fresh]), None);
    // That there is none is said otherwise.
    assert_eq!(ended(&[&none]), None);
}
