//! The index on disk: what goes in comes out, and damage is noticed.

use advisory::index::{PREFIX_BYTES, head_length};
use advisory::record::{CveId, Epss, Exploited};
use advisory::{Index, IndexError};
use jiff::civil::date;
use proptest::prelude::*;

use crate::support::{Made, made, record, time};

fn usual() -> Made {
    let events = r#"{"introduced":"0"},{"fixed":"2"}"#;
    let more = r#""summary":"a summary","details":"some details","aliases":["GHSA-1"],
        "related":["CVE-2026-0009"],"published":"2026-01-02T03:04:05Z",
        "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],"#;
    let records = [
        record("CVE-2026-0001", "Debian:12", "openssl", events, more),
        record("CVE-2026-0002", "crates.io", "openssl", events, ""),
        record("CVE-2026-0003", "Debian:12", "zlib", events, ""),
    ];
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    made(&records, |builder| {
        let exploited = Exploited {
            added: date(2026, 2, 3),
            due: Some(date(2026, 2, 24)),
            ransomware: true,
        };
        builder.exploited(cve("CVE-2026-0001"), exploited);
        let epss = Epss {
            score: 0.5,
            percentile: 0.9,
        };
        builder.score(cve("CVE-2026-0001"), epss);
        builder.score(cve("CVE-2026-10001"), epss);
    })
}

fn cve(text: &str) -> CveId {
    text.parse().expect("a CVE's number")
}

#[test]
fn what_goes_in_comes_out() {
    let made = usual();
    let index = made.index();
    assert_eq!(index.feed().expect("meta"), made.feed);
    assert_eq!(made.feed.counts.advisories, 3);
    assert_eq!(made.feed.newest, Some(time("2026-06-01T00:00:00Z")));
    let row = index.find("CVE-2026-0001").expect("good").expect("there");
    assert_eq!(row.id(), Ok("CVE-2026-0001"));
    assert_eq!(row.aliases(), Ok(vec!["GHSA-1"]));
    assert_eq!(
        row.related(),
        Ok(vec![]),
        "of a CVE's record, it is not kept"
    );
    assert_eq!(row.published(), Ok(Some(date(2026, 1, 2))));
    assert_eq!(row.modified(), Ok(Some(time("2026-06-01T00:00:00Z"))));
    assert!(
        row.cvss()
            .expect("good")
            .expect("a vector")
            .starts_with("CVSS:3.1")
    );
    let place = row.text().expect("good");
    let start = made.head() + usize::try_from(place.offset_bytes).expect("small");
    let packed = &made.bytes[start..start + place.packed_bytes];
    let (summary, details) = place.read(packed).expect("good");
    assert_eq!((&*summary, &*details), ("a summary", "some details"));
    assert!(index.find("CVE-2026-0004").expect("good").is_none());
    let entries = |ecosystem, name| index.entries(ecosystem, name).expect("good").count();
    assert_eq!(entries("Debian:12", "openssl"), 1);
    assert_eq!(entries("Debian:12", "zlib"), 1);
    assert_eq!(entries("crates.io", "openssl"), 1);
    assert_eq!(entries("crates.io", "zlib"), 0);
    assert_eq!(entries("Debian:1", "openssl"), 0);
    assert_eq!(index.covers("Debian:12"), Ok(Some(Some(date(2026, 1, 2)))));
    assert_eq!(index.covers("Debian:13"), Ok(None));
    let exploited = index.exploited(cve("CVE-2026-0001")).expect("good");
    assert_eq!(exploited.map(|entry| entry.added), Some(date(2026, 2, 3)));
    assert_eq!(index.exploited(cve("CVE-2026-0002")), Ok(None));
    assert_eq!(
        index
            .epss(cve("CVE-2026-10001"))
            .expect("good")
            .map(|e| e.score),
        Some(0.5)
    );
    assert_eq!(index.epss(cve("CVE-2026-0002")), Ok(None));
}

/// A whole feed of them, too: its last block holds nothing, and is there.
#[test]
fn an_advisory_without_texts_has_empty_ones() {
    let events = r#"{"introduced":"0"}"#;
    let records = [
        record("CVE-2026-0001", "Debian:12", "openssl", events, ""),
        record("CVE-2026-0002", "Debian:12", "zlib", events, ""),
    ];
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let made = made(&records, |_| {});
    for id in ["CVE-2026-0001", "CVE-2026-0002"] {
        let row = made.index().find(id).expect("good").expect("there");
        let place = row.text().expect("good");
        let start = made.head() + usize::try_from(place.offset_bytes).expect("small");
        let packed = &made.bytes[start..start + place.packed_bytes];
        assert_eq!(place.read(packed), Ok((String::new(), String::new())));
    }
}

#[test]
fn the_same_records_give_the_same_bytes() {
    assert_eq!(usual().bytes, usual().bytes);
}

#[test]
fn of_two_records_of_one_id_the_newer_counts() {
    let of = |events: &str, modified: &str| {
        record("CVE-2026-0001", "Debian:12", "a", events, "")
            .replace("2026-06-01T00:00:00Z", modified)
    };
    let newer = of(
        r#"{"introduced":"0"},{"fixed":"2"}"#,
        "2026-06-02T00:00:00Z",
    );
    let older = of(r#"{"introduced":"0"}"#, "2026-05-02T00:00:00Z");
    for records in [[&newer, &older], [&older, &newer]] {
        let made = made(&records.map(String::as_str), |_| {});
        assert_eq!(made.feed.counts.superseded, 1);
        let entries = made.index().entries("Debian:12", "a").expect("good");
        let entries: Vec<_> = entries.collect::<Result<_, _>>().expect("good");
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].points().expect("good").written().count(), 2);
    }
}

#[test]
fn damage_is_noticed() {
    let made = usual();
    let whole = made.bytes.len() as u64;
    assert_eq!(head_length(b"PK\x03\x04", 4), Err(IndexError::NotOne));
    assert_eq!(head_length(&[], 0), Err(IndexError::NotOne));
    let torn = head_length(&made.bytes, whole - 1);
    assert!(matches!(torn, Err(IndexError::Damaged(_))), "{torn:?}");
    let mut other = made.bytes.clone();
    other[8] = 99;
    assert_eq!(
        head_length(&other, whole),
        Err(IndexError::OtherVersion(99))
    );
    for at in [20, PREFIX_BYTES, made.head() / 2, made.head() - 1] {
        let mut flipped = made.bytes.clone();
        flipped[at] ^= 1;
        let opened = Index::open(&flipped[..made.head()]);
        assert!(matches!(opened, Err(IndexError::Damaged(_))), "{at}");
    }
}

proptest! {
    /// An index whose checksum is right and whose rows are nonsense: somebody made it on purpose.
    #[test]
    fn nonsense_is_an_error_and_never_a_panic(at in 0_usize..100_000, with in any::<u8>()) {
        let made = usual();
        let mut head = made.bytes[..made.head()].to_vec();
        let at = PREFIX_BYTES - 64 + at % (head.len() - PREFIX_BYTES + 64);
        head[at] = with;
        let Ok(index) = Index::opened(&head) else { return Ok(()) };
        let _ = (index.feed(), index.coverage(), index.covers("Debian:12"));
        let _ = (index.exploited(cve("CVE-2026-0001")), index.epss(cve("CVE-2026-0001")));
        let _ = index.statements("CVE-2026-0001");
        for (row, _) in index.naming("CVE-2026-0001").unwrap_or_default() {
            let _ = index.ecosystems(&row);
        }
        if let Ok(Some(row)) = index.find("CVE-2026-0001") {
            let _ = (row.aliases(), row.related(), row.text(), row.published(), row.modified());
        }
        if let Ok(entries) = index.entries("Debian:12", "openssl") {
            for entry in entries.flatten() {
                let _ = (entry.advisory().and_then(|row| row.id().map(str::len)), entry.urgency());
                let _ = entry.points().map(|points| points.written().filter(Result::is_ok).count());
            }
        }
    }
}
