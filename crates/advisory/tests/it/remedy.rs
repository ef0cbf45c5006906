//! The smallest upgrade: cases as data, and against trying every version.

use std::collections::BTreeSet;

use advisory::matching::Subject;
use advisory::remedy::{Remedy, remedy};
use advisory::version::Order;
use model::{Component, Ecosystem};
use proptest::prelude::*;

use crate::support::{Made, component, made, record};

fn remedy_of(made: &[&Made], component: &Component) -> Remedy {
    let indexes: Vec<_> = made.iter().map(|made| made.index()).collect();
    remedy(&indexes, &Subject::of(component), &[component]).expect("a good index")
}

/// `1.2.3`, `above 1.2.3`, `new major 2.0.0`; what it closes; what remains.
fn told(remedy: &Remedy) -> (String, String, String) {
    let to = remedy.to.as_ref().map_or_else(String::new, |to| {
        let major = if to.compatible { "" } else { "new major " };
        let above = if to.above { "above " } else { "" };
        format!("{major}{above}{}", to.version)
    });
    (to, remedy.closes.join(" "), remedy.remains.join(" "))
}

#[test]
fn the_smallest_upgrade_closes_all_that_can_be_closed() {
    let until = |fixed: &str| format!(r#"{{"introduced":"0"}},{{"fixed":"{fixed}"}}"#);
    let open = r#"{"introduced":"0"}"#;
    let between = |from: &str, to: &str| format!(r#"{{"introduced":"{from}"}},{{"fixed":"{to}"}}"#);
    let last = r#"{"introduced":"0"},{"last_affected":"1.4.0"}"#;
    // (installed, events of A, B, C…, upgrade, closed, remaining)
    type Case<'a> = (&'a str, Vec<String>, &'a str, &'a str, &'a str);
    let cases: Vec<Case<'_>> = vec![
        ("1.0.0", vec![], "", "", ""),
        ("2.0.0", vec![until("1.5.0")], "", "", ""),
        ("1.0.0", vec![until("1.5.0")], "1.5.0", "A", ""),
        (
            "1.0.0",
            vec![until("1.5.0"), until("1.2.0")],
            "1.5.0",
            "A B",
            "",
        ),
        // The fix of one is where another begins.
        (
            "1.0.0",
            vec![until("1.5.0"), between("1.5.0", "1.5.2")],
            "1.5.2",
            "A",
            "",
        ),
        // ... and a lower version that has neither.
        (
            "1.0.0",
            vec![until("1.2.0"), between("1.1.0", "1.3.0")],
            "1.3.0",
            "A",
            "",
        ),
        ("1.0.0", vec![open.to_owned()], "", "", "A"),
        (
            "1.0.0",
            vec![open.to_owned(), until("1.1.0")],
            "1.1.0",
            "B",
            "A",
        ),
        // Backported: the same major version first, although the other is named as well.
        (
            "1.0.0",
            vec![format!(
                "{},{}",
                between("0", "1.9.1"),
                between("2.0.0", "2.0.3")
            )],
            "1.9.1",
            "A",
            "",
        ),
        ("1.0.0", vec![until("2.0.0")], "new major 2.0.0", "A", ""),
        ("0.1.43", vec![until("0.2.23")], "new major 0.2.23", "A", ""),
        ("1.0.0", vec![last.to_owned()], "above 1.4.0", "A", ""),
        (
            "1.0.0",
            vec![last.to_owned(), until("1.4.1")],
            "1.4.1",
            "A B",
            "",
        ),
        // A release rather than what came before it.
        (
            "1.0.0",
            vec![until("1.2.0-rc.1"), until("1.3.0")],
            "1.3.0",
            "A B",
            "",
        ),
        ("1.0.0", vec![until("1.2.0-rc.1")], "1.2.0-rc.1", "A", ""),
        // None closes both, and one of them stays.
        (
            "1.0.0",
            vec![
                format!("{},{}", between("0", "1.1.0"), r#"{"introduced":"1.2.0"}"#),
                until("1.2.0"),
            ],
            "1.1.0",
            "A",
            "B",
        ),
        // What it would bring is worse than nothing.
        (
            "1.0.0",
            vec![until("1.1.0"), r#"{"introduced":"1.1.0"}"#.to_owned()],
            "",
            "",
            "A",
        ),
    ];
    for (installed, events, to, closes, remains) in cases {
        let records: Vec<String> = events
            .iter()
            .zip(["A", "B", "C"])
            .map(|(events, id)| record(id, "crates.io", "a", events, ""))
            .collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let made = made(&records, |_| {});
        let seen = told(&remedy_of(
            &[&made],
            &component(Ecosystem::CratesIo, "a", installed),
        ));
        let expected = (to.to_owned(), closes.to_owned(), remains.to_owned());
        assert_eq!(seen, expected, "{installed}: {events:?}");
    }
}

#[test]
fn versions_are_written_as_the_ecosystem_writes_them() {
    let events = r#"{"introduced":"0"},{"fixed":"0.3.7"}"#;
    let made = made(
        &[&record("GO-1", "Go", "golang.org/x/text", events, "")],
        |_| {},
    );
    let module = component(Ecosystem::Go, "golang.org/x/text", "v0.3.5");
    assert_eq!(told(&remedy_of(&[&made], &module)).0, "v0.3.7");
}

#[test]
fn what_is_compatible_is_said_by_the_ecosystem() {
    use Order::{Go, Python, Ruby, Semantic};
    let cases = [
        (Semantic, "1.2.3", "1.9.0", true),
        (Semantic, "1.2.3", "2.0.0", false),
        (Semantic, "0.3.1", "0.3.9", true),
        (Semantic, "0.3.1", "0.4.0", false),
        (Semantic, "0.0.1", "0.0.2", false),
        (Semantic, "x", "1.0.0", false),
        (Go, "v0.3.5", "0.9.0", true),
        (Go, "v1.0.0", "2.0.0", false),
        (Python, "2022.12.7", "2023.7.22", false),
        (Python, "2.28.1", "2.31.0", true),
        (Python, "1!2.0", "2.0", false),
        (Ruby, "2.2.3", "2.2.6.4", true),
    ];
    for (order, from, to, expected) in cases {
        assert_eq!(
            order.is_compatible(from, to),
            expected,
            "{order:?} {from} {to}"
        );
    }
}

/// A version of the little world: `major.minor.0` may be named by advisories, `major.minor.1`
/// is there and is named by none.
type At = (u8, u8, u8);

fn text((major, minor, patch): At) -> String {
    format!("{major}.{minor}.{patch}")
}

#[derive(Clone, Debug)]
enum End {
    Fixed(At),
    Last(At),
    Open,
}

#[derive(Clone, Debug)]
struct Told {
    ranges: Vec<(At, End)>,
    exactly: Vec<At>,
}

impl Told {
    /// Straight from what a range means.
    fn affects(&self, version: At) -> bool {
        self.exactly.contains(&version)
            || self.ranges.iter().any(|(from, end)| {
                version >= *from
                    && match end {
                        End::Fixed(fixed) => version < *fixed,
                        End::Last(last) => version <= *last,
                        End::Open => true,
                    }
            })
    }

    fn json(&self, id: &str) -> String {
        let ranges: Vec<String> = self
            .ranges
            .iter()
            .map(|(from, end)| {
                let end = match end {
                    End::Fixed(at) => format!(r#",{{"fixed":"{}"}}"#, text(*at)),
                    End::Last(at) => format!(r#",{{"last_affected":"{}"}}"#, text(*at)),
                    End::Open => String::new(),
                };
                let from = text(*from);
                format!(r#"{{"type":"SEMVER","events":[{{"introduced":"{from}"}}{end}]}}"#)
            })
            .collect();
        let exactly: Vec<String> = self
            .exactly
            .iter()
            .map(|at| format!("\"{}\"", text(*at)))
            .collect();
        format!(
            r#"{{"id":"{id}","modified":"2026-06-01T00:00:00Z","affected":[{{
            "package":{{"ecosystem":"crates.io","name":"a"}},
            "ranges":[{}],"versions":[{}]}}]}}"#,
            ranges.join(","),
            exactly.join(",")
        )
    }
}

fn named() -> impl Strategy<Value = At> {
    (1u8..4, 0u8..5).prop_map(|(major, minor)| (major, minor, 0))
}

fn advisory() -> impl Strategy<Value = Told> {
    let end = prop_oneof![
        5 => named().prop_map(End::Fixed),
        2 => named().prop_map(End::Last),
        1 => Just(End::Open),
    ];
    let ranges = proptest::collection::vec((named(), end), 0..3);
    (ranges, proptest::collection::vec(named(), 0..3)).prop_map(|(mut ranges, exactly)| {
        // A range ends behind where it begins.
        ranges.retain(|(from, end)| match end {
            End::Fixed(at) => at > from,
            End::Last(at) => at >= from,
            End::Open => true,
        });
        Told { ranges, exactly }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_smaller_version_would_do(
        advisories in proptest::collection::vec(advisory(), 1..5),
        installed in named(),
    ) {
        let ids = ["A", "B", "C", "D"];
        let records: Vec<String> =
            advisories.iter().zip(ids).map(|(told, id)| told.json(id)).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let made = made(&records, |_| {});
        let seen = remedy_of(&[&made], &component(Ecosystem::CratesIo, "a", &text(installed)));

        let affecting = |version: At| -> BTreeSet<&str> {
            let all = advisories.iter().zip(ids);
            all.filter(|(told, _)| told.affects(version)).map(|(_, id)| id).collect()
        };
        let mut world: Vec<At> = (1..4)
            .flat_map(|major| (0..5).flat_map(move |minor| [(major, minor, 0), (major, minor, 1)]))
            .filter(|version| *version > installed)
            .collect();
        // The nearest of the same major version, then the nearest.
        world.sort_by_key(|version| (version.0 != installed.0, *version));
        let present = affecting(installed);
        // Of the same major version where one of those closes anything and brings nothing.
        let is_better = |version: &At| {
            let left = affecting(*version);
            left.is_subset(&present) && left.len() < present.len()
        };
        if world.iter().any(|version| version.0 == installed.0 && is_better(version)) {
            world.retain(|version| version.0 == installed.0);
        }
        let closable: BTreeSet<&str> = present
            .iter()
            .copied()
            .filter(|name| world.iter().any(|version| !affecting(*version).contains(name)))
            .collect();
        let is_good = |version: At| {
            let left = affecting(version);
            left.is_disjoint(&closable) && left.is_subset(&present)
        };
        let best = world.iter().copied().find(|version| is_good(*version));
        let chosen = seen.to.as_ref().map(|to| {
            let mut parts = to.version.split('.').map(|part| part.parse::<u8>().expect("a number"));
            let mut next = || parts.next().expect("three numbers");
            let (major, minor, _) = (next(), next(), next());
            (major, minor, u8::from(to.above))
        });
        if closable.is_empty() {
            prop_assert_eq!(chosen, None);
        } else if let Some(best) = best {
            prop_assert_eq!(chosen, Some(best));
        } else if let Some(chosen) = chosen {
            // A part of them: nothing new, and at least one less.
            let left = affecting(chosen);
            prop_assert!(left.is_subset(&present) && left.len() < present.len());
        }
        if let Some(chosen) = chosen {
            let left = affecting(chosen);
            let closes: BTreeSet<&str> = seen.closes.iter().map(String::as_str).collect();
            let wanted: BTreeSet<&str> = present.difference(&left).copied().collect();
            prop_assert_eq!(closes, wanted);
        }
    }
}

/// axios 0.21.0: 0.21.2 closes two of three today, and 1.6.0 all of them.
#[test]
fn what_is_within_the_range_goes_before_a_new_major_version() {
    let until = |id: &str, fixed: &str| {
        let events = format!(r#"{{"introduced":"0"}},{{"fixed":"{fixed}"}}"#);
        record(id, "npm", "axios", &events, "")
    };
    let records = [
        until("CVE-2020-28168", "0.21.1"),
        until("CVE-2021-3749", "0.21.2"),
        until("CVE-2023-45857", "1.6.0"),
    ];
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let made = made(&records, |_| {});
    let of = |version: &str| {
        let component = component(Ecosystem::Npm, "axios", version);
        let subject = Subject::of(&component);
        remedy(&[made.index()], &subject, &[]).expect("a good index")
    };
    let found = of("0.21.0");
    let to = found.to.expect("there is one");
    assert_eq!((&*to.version, to.compatible), ("0.21.2", true));
    assert_eq!(found.closes, ["CVE-2020-28168", "CVE-2021-3749"]);
    assert_eq!(found.remains, ["CVE-2023-45857"]);
    let further = found.further.expect("there is one");
    assert_eq!((&*further.version, further.compatible), ("1.6.0", false));
    // Nothing of its own kind closes anything.
    let found = of("0.21.2");
    assert_eq!(found.to.expect("there is one").version, "1.6.0");
    assert_eq!(found.further, None);
}
