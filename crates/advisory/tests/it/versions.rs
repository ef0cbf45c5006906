//! The version orders, by the vectors that their owners publish.

use std::cmp::Ordering;

use advisory::version::{Order, order_of};
use proptest::prelude::*;

fn sign(text: &str) -> Ordering {
    match text {
        "<" => Ordering::Less,
        "=" => Ordering::Equal,
        ">" => Ordering::Greater,
        other => panic!("{other}"),
    }
}

/// Each case is two versions and the sign between them.
fn check(order: Order, cases: &[&str]) {
    for case in cases {
        let words: Vec<&str> = case.split(' ').collect();
        let [a, expected, b] = words[..] else {
            panic!("{case}");
        };
        assert_eq!(
            order.compare(a, b),
            Some(sign(expected)),
            "{order:?}: {case}"
        );
        let reversed = sign(expected).reverse();
        assert_eq!(
            order.compare(b, a),
            Some(reversed),
            "{order:?}: {case}, reversed"
        );
    }
}

/// Every version is less than all that follow.
fn ascending(order: Order, versions: &[&str]) {
    for (at, a) in versions.iter().enumerate() {
        assert_eq!(order.compare(a, a), Some(Ordering::Equal), "{order:?}: {a}");
        for b in &versions[at + 1..] {
            assert_eq!(
                order.compare(a, b),
                Some(Ordering::Less),
                "{order:?}: {a} < {b}"
            );
        }
    }
}

/// dpkg, lib/dpkg/t/t-version.c and scripts/t/Dpkg_Version.t.
#[test]
fn debian_versions_are_ordered_as_dpkg_does() {
    check(
        Order::Debian,
        &[
            "1.0-1 < 2.0-2",
            "2.2~rc-4 < 2.2-1",
            "2.2-1 > 2.2~rc-4",
            "1.0000-1 = 1.0-1",
            "0:0-0 = 0-0",
            "0 = 0-0",
            "1:0 > 0",
            "1.0-1 < 1.0-1.1",
            "1.0-1 < 1.0-1+deb12u1",
            "1.0-1~deb12u1 < 1.0-1",
            "1.2.3 = 1.2.3",
            "4.4.3-2 = 4.4.3-2",
            "1:2ab:5 = 1:2ab:5",
            "7:1-a:b-5 = 7:1-a:b-5",
            "1.2.3 > 1.2.3~rc1",
            "1.2.3~beta < 1.2.3~rc1",
            "1.0.4-2 > 1.0pre7-2",
            "1.5.1-1~bpo9 < 1.5.1-1",
            "a < +",
            "1.a > 1+",
            "0.5.0~git < 0.5.0~git2",
            "2a < 21",
            "1.3.2a > 1.3.2",
            "1.4+OOo3.0.0~ < 1.4+OOo3.0.0-4",
            "1~~a < 1~",
            "1. = 1.0",
            "1.0+dfsg = 1.0+dfsg0",
            "99999999999999999999999 > 99999999999999999999998",
        ],
    );
    for bad in ["", "1:", "a:1", "-1", "1 2", "1_ä", "99999999999:1"] {
        assert_eq!(Order::Debian.compare(bad, "1"), None, "{bad:?}");
    }
}

/// Semantic Versioning 2.0.0, section 11, and its build metadata (section 10).
#[test]
fn semantic_versions_follow_section_11() {
    ascending(
        Order::Semantic,
        &[
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "2.0.0",
            "2.1.0",
            "2.1.1",
        ],
    );
    check(Order::Semantic, &["1.0.0+a = 1.0.0+b"]);
    assert_eq!(Order::Semantic.compare("1.0", "1.0.0"), None);
}

/// golang.org/x/mod/semver, and pseudo-versions (Go Modules Reference).
#[test]
fn go_versions_are_semantic_with_their_own_spelling() {
    ascending(
        Order::Go,
        &[
            "v0.0.0-20190101000000-abcdefabcdef",
            "v0.0.0-20200101000000-0123456789ab",
            "v0.1.0",
            "v1.0.0-alpha",
            "v1.0.0-rc.1",
            "v1.0.0",
            "1.2.0",
            "v1.2.1-0.20200101000000-0123456789ab",
            "v1.2.1",
            "v1.10.0",
        ],
    );
    ascending(
        Order::Go,
        &[
            "go1.21",
            "go1.22rc1",
            "go1.22rc2",
            "go1.22",
            "1.22.3",
            "go1.22.10",
        ],
    );
    check(
        Order::Go,
        &[
            "v2.0.0+incompatible = 2.0.0",
            "go1.22 = 1.22.0",
            "v1.2.3 = 1.2.3",
        ],
    );
    assert_eq!(Order::Go.compare("(devel)", "v1.0.0"), None);
}

/// pypa/packaging, tests/test_version.py, and PEP 440's own summary.
#[test]
fn python_versions_follow_pep_440() {
    ascending(
        Order::Python,
        &[
            "1.0.dev456",
            "1.0a1",
            "1.0a2.dev456",
            "1.0a12.dev456",
            "1.0a12",
            "1.0b1.dev456",
            "1.0b2",
            "1.0b2.post345.dev456",
            "1.0b2.post345",
            "1.0b2-346",
            "1.0c1.dev456",
            "1.0c1",
            "1.0rc2",
            "1.0c3",
            "1.0",
            "1.0.post456.dev34",
            "1.0.post456",
            "1.1.dev1",
            "1.2+123abc",
            "1.2+123abc456",
            "1.2+abc",
            "1.2+abc123",
            "1.2+abc123def",
            "1.2+1234.abc",
            "1.2+123456",
            "1.2.r32+123456",
            "1.2.rev33+123456",
            "1!1.0",
        ],
    );
    check(
        Order::Python,
        &["1.0 = 1.0.0", "v1.0 = 1.0", "1.0-RC1 = 1.0rc1"],
    );
    assert_eq!(Order::Python.compare("french toast", "1"), None);
}

/// apache/maven, ComparableVersionTest: VERSIONS_QUALIFIER, VERSIONS_NUMBER and the rest.
#[test]
fn maven_versions_follow_comparable_version() {
    ascending(
        Order::Maven,
        &[
            "1-alpha2snapshot",
            "1-alpha2",
            "1-alpha-123",
            "1-beta-2",
            "1-beta123",
            "1-m2",
            "1-m11",
            "1-rc",
            "1-cr2",
            "1-rc123",
            "1-SNAPSHOT",
            "1",
            "1-sp",
            "1-sp2",
            "1-sp123",
            "1-abc",
            "1-def",
            "1-pom-1",
            "1-1-snapshot",
            "1-1",
            "1-2",
            "1-123",
        ],
    );
    ascending(
        Order::Maven,
        &[
            "2.0", "2.0.a", "2-1", "2.0.2", "2.0.123", "2.1.0", "2.1-a", "2.1b", "2.1-c", "2.1-1",
            "2.1.0.1", "2.2", "2.123", "11.a2", "11.a11", "11.b2", "11.b11", "11.m2", "11.m11",
            "11", "11.a", "11b", "11c", "11m",
        ],
    );
    check(
        Order::Maven,
        &[
            "1 = 1.0",
            "1 = 1.0.0",
            "1.0 = 1-0",
            "1 = 1-ga",
            "1 = 1.final",
            "1 = 1-release",
            "1x = 1.0.0-x",
            "1a1 = 1-alpha-1",
            "1b2 = 1-beta-2",
            "1m3 = 1-milestone-3",
            "1X = 1x",
            "1-RC = 1-cr",
            "1 < 2",
            "1.5 < 2",
            "1.0-alpha-1 < 1.0-beta-1",
            "1.0-beta-1 < 1.0-SNAPSHOT",
            "1.0-SNAPSHOT < 1.0",
            "1.0-alpha-1-SNAPSHOT < 1.0-alpha-1",
            "1.0 < 1.0-1",
            "1.0-1 < 1.0-2",
            "2.0 < 2.0-1",
            "2.0.0-xp < 2.0.1-xp",
            "2.0.1-xp > 2.0.1",
            "2.0.1 < 2.0.1-123",
            "20190126.230843 > 0.0.0.1",
            "1.0.0.RC1 < 1.0.0-RC2",
            "4.0.0.Beta3 < 4.0.0-RC1",
            "123456789012345678901234567890 > 12345678901234567890",
        ],
    );
}

/// rubygems, test/rubygems/test_gem_version.rb: test_spaceship and test_less_than.
#[test]
fn ruby_versions_follow_gem_version() {
    check(
        Order::Ruby,
        &[
            "1.0 = 1.0.0",
            "1.0 > 1.0.a",
            "1.8.2 > 0.0.0",
            "1.8.2 > 1.8.2.a",
            "1.8.2.b > 1.8.2.a",
            "1.8.2.a < 1.8.2",
            "1.8.2.a10 > 1.8.2.a9",
            "0.beta.1 = 0.0.beta.1",
            "0.0.beta < 0.0.beta.1",
            "0.0.beta < 0.beta.1",
            "5.a < 5.0.0.rc2",
            "5.x > 5.0.0.rc2",
            "1.9.3 > 1.9.2.99",
            "1.9.3 < 1.9.3.1",
            "1.0.0-alpha < 1.0.0-beta",
            "1.0.0-1 < 1",
            "1.0.0-beta.2 < 1.0.0-beta.11",
            "1.0.0-rc.1 < 1.0.0",
        ],
    );
    assert_eq!(Order::Ruby.compare("junk", "1"), None);
    assert_eq!(Order::Ruby.compare("1..2", "1"), None);
}

#[test]
fn ecosystems_have_their_orders_and_names() {
    for (ecosystem, order) in [
        ("Debian:12", Some(Order::Debian)),
        ("Debian", Some(Order::Debian)),
        ("crates.io", Some(Order::Semantic)),
        ("npm", Some(Order::Semantic)),
        ("Go", Some(Order::Go)),
        ("PyPI", Some(Order::Python)),
        ("Maven:https://maven.example/repo", Some(Order::Maven)),
        ("RubyGems", Some(Order::Ruby)),
        ("Alpine:v3.20", None),
        ("", None),
    ] {
        assert_eq!(order_of(ecosystem), order, "{ecosystem}");
    }
    assert_eq!(Order::Python.normal_name("Foo__Bar.-baz"), "foo-bar-baz");
    assert_eq!(Order::Go.normal_name("github.com/A/b"), "github.com/a/b");
    assert_eq!(Order::Semantic.normal_name("A/b"), "A/b");
}

#[test]
fn a_version_without_end_is_not_compared() {
    let long = "1".repeat(2000);
    for order in ALL {
        assert_eq!(order.compare(&long, "1"), None, "{order:?}");
    }
}

const ALL: [Order; 6] = [
    Order::Debian,
    Order::Semantic,
    Order::Go,
    Order::Python,
    Order::Maven,
    Order::Ruby,
];

/// Texts like versions of any of them, and few enough that some are equal.
fn texts() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "0", "1", "2", "10", "01", "a", "b", "rc", "alpha", "beta", "snapshot", "sp", "x", "dev",
        "post", "final",
    ]);
    let separator = prop::sample::select(vec![".", "-", "~", "+", "", ":"]);
    prop::collection::vec((word, separator), 1..6).prop_map(|parts| {
        parts
            .iter()
            .map(|(word, after)| format!("{word}{after}"))
            .collect()
    })
}

/// Numbers, and then perhaps a qualifier with a number of its own: `1.2-beta-3`.
fn is_mavens(text: &str) -> bool {
    let (numbers, qualifier) = text.split_once('-').unwrap_or((text, "x"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (word, number) = qualifier.split_once('-').unwrap_or((qualifier, "1"));
    numbers.split('.').all(is_number)
        && !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_alphabetic())
        && is_number(number)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn every_order_is_total(a in texts(), b in texts(), c in texts()) {
        for order in ALL {
            let Some(ab) = order.compare(&a, &b) else { continue };
            prop_assert_eq!(order.compare(&a, &a), Some(Ordering::Equal));
            prop_assert_eq!(order.compare(&b, &a), Some(ab.reverse()), "{:?}", order);
            let (Some(bc), Some(ac)) = (order.compare(&b, &c), order.compare(&a, &c)) else {
                continue;
            };
            // Maven's own order has cycles among texts that are no versions.
            if order == Order::Maven && ![&a, &b, &c].into_iter().all(|text| is_mavens(text)) {
                continue;
            }
            if ab == bc {
                prop_assert_eq!(ac, ab, "{:?}: {} {} {}", order, a, b, c);
            }
            if ab == Ordering::Equal {
                prop_assert_eq!(ac, bc, "{:?}: {} {} {}", order, a, b, c);
            }
        }
    }

    #[test]
    fn nothing_stops_a_comparison(a in "\\PC*", b in "\\PC*") {
        for order in ALL {
            let _ = order.compare(&a, &b);
        }
    }
}
