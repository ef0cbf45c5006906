//! What an upgrade does to the findings of a host.

use advisory::kernel::Kernel;
use model::HostPath;
use model::component::{Component, Ecosystem, Evidence, EvidenceKind, SourcePackage};
use steadfast::assessing::{Advisories, NewVersion, Terms, effects, with_versions};

use crate::vulns::{Bench, record};

pub fn package(name: &str, version: &str, source: (&str, &str)) -> Component {
    Component {
        ecosystem: Ecosystem::Debian {
            release: Some("12".to_owned()),
        },
        name: name.to_owned(),
        version: version.to_owned(),
        source: Some(SourcePackage {
            name: source.0.to_owned(),
            version: source.1.to_owned(),
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
    }
}

fn to(name: &str, version: Option<&str>) -> NewVersion {
    NewVersion {
        name: name.to_owned(),
        architecture: "amd64".to_owned(),
        version: version.map(str::to_owned),
        source: None,
    }
}

fn installed() -> Vec<Component> {
    vec![
        package("libssl3", "3.0.10-1", ("openssl", "3.0.10-1")),
        package("openssl", "3.0.10-1+b2", ("openssl", "3.0.10-1")),
        package("libgcc-s1", "12.2.0-14", ("gcc-12", "12.2.0-14")),
        package("gcc", "4:12.2.0-3", ("gcc-defaults", "1.203")),
        package(
            "linux-image-amd64",
            "6.1.119-1",
            ("linux-signed-amd64", "6.1.119+1"),
        ),
    ]
}

#[test]
fn a_new_version_is_built_from_a_new_source_where_that_can_be_told() {
    // (package, new version, the source's version afterwards; none where it can't be told)
    let cases = [
        ("libssl3", "3.0.11-1", Some("3.0.11-1")),
        ("openssl", "3.0.11-1+b1", Some("3.0.11-1")),
        ("libssl3:amd64", "3.0.11-1", Some("3.0.11-1")),
        ("linux-image-amd64", "6.1.129-1", Some("6.1.129-1")),
        ("gcc", "4:12.2.0-4", None),
        ("new-one", "1", None),
    ];
    for (name, version, source) in cases {
        let (after, unclear) = with_versions(&installed(), &[to(name, Some(version))]);
        let plain = name.split(':').next().expect("a name");
        let found = after.iter().find(|one| one.name == plain);
        match source {
            Some(source) => {
                let found = found
                    .and_then(|one| one.source.as_ref())
                    .expect("its source");
                assert_eq!(found.version, source, "{name}");
                assert!(unclear.is_empty(), "{unclear:?}");
            }
            None => assert_eq!(unclear, [name]),
        }
        assert_eq!(after.len(), 5, "{name}");
    }
    let (after, unclear) = with_versions(&installed(), &[to("gcc", None), to("absent", None)]);
    assert_eq!((after.len(), unclear.len()), (4, 0));
    let kernel = NewVersion {
        source: Some(SourcePackage {
            name: "linux".to_owned(),
            version: "6.1.1-1".to_owned(),
        }),
        ..to("linux-image-6.1.0-1-amd64", Some("6.1.1-1"))
    };
    let (after, unclear) = with_versions(&installed(), &[kernel]);
    assert_eq!((after.len(), unclear.len()), (6, 0));
}

#[test]
fn a_finding_is_closed_when_nothing_of_its_source_has_it_any_more() {
    let bench = Bench::new("effects");
    bench.feeds(&[
        record("CVE-2026-0001", Some("3.0.11-1"), "critical"),
        record("CVE-2026-0002", Some("3.0.12-1"), "low"),
        record("CVE-2026-0003", None, "low"),
    ]);
    let advisories = Advisories::open(bench.path("state").as_ref()).expect("the feeds");
    let terms = Terms::usual("2026-02-01T00:00:00Z".parse().expect("a time"));
    let assess = |components: &[Component]| {
        let exposure = |_: &Component| advisory::rank::Exposure::Installed;
        advisories
            .assess(components, &exposure, &Kernel::Unknown, &terms)
            .expect("an assessment")
    };
    type Case = (&'static str, Vec<NewVersion>, Vec<u8>, Vec<u8>, Vec<u8>);
    // (installed, new versions, closed, remaining, brought)
    let both = |version| vec![to("libssl3", Some(version)), to("openssl", Some(version))];
    let cases: [Case; 5] = [
        ("3.0.10-1", both("3.0.11-1"), vec![1], vec![2, 3], vec![]),
        ("3.0.10-1", both("3.0.12-1"), vec![1, 2], vec![3], vec![]),
        // The other package of the source still has it.
        (
            "3.0.10-1",
            vec![to("libssl3", Some("3.0.12-1"))],
            vec![],
            // Twice: for each version of the source.
            vec![1, 2, 3, 3],
            vec![],
        ),
        ("3.0.12-1", both("3.0.10-1"), vec![], vec![3], vec![1, 2]),
        ("3.0.12-1", vec![], vec![], vec![3], vec![]),
    ];
    for (from, versions, closed, remaining, brought) in cases {
        let (components, _) = with_versions(&installed(), &both(from));
        let (after, unclear) = with_versions(&components, &versions);
        let effects = effects(assess(&components), assess(&after), unclear);
        let numbers = |findings: &[advisory::assess::Finding]| {
            let number = |finding: &advisory::assess::Finding| {
                finding.name.rsplit('0').next().and_then(|n| n.parse().ok())
            };
            let mut all: Vec<u8> = findings.iter().filter_map(number).collect();
            all.sort_unstable();
            all
        };
        assert_eq!(numbers(&effects.closed), closed, "{from}: {versions:?}");
        assert_eq!(
            numbers(&effects.remaining),
            remaining,
            "{from}: {versions:?}"
        );
        assert_eq!(numbers(&effects.brought), brought, "{from}: {versions:?}");
    }
}

/// The new kernel lies beside the old one, which runs on: nothing is closed before the boot.
#[test]
fn a_new_kernel_closes_findings_when_it_is_booted() {
    let bench = Bench::new("kernels");
    let of_linux = |record: String| record.replace("openssl", "linux");
    bench.feeds(&[
        of_linux(record("CVE-2026-0001", Some("6.1.129-1"), "critical")),
        of_linux(record("CVE-2026-0002", None, "low")),
    ]);
    let advisories = Advisories::open(bench.path("state").as_ref()).expect("the feeds");
    let terms = Terms::usual("2026-02-01T00:00:00Z".parse().expect("a time"));
    let (old, new) = ("linux-image-6.1.0-28-amd64", "linux-image-6.1.0-32-amd64");
    let installed = [package(
        old,
        "6.1.119-1",
        ("linux-signed-amd64", "6.1.119+1"),
    )];
    let upgrade = NewVersion {
        source: Some(SourcePackage {
            name: "linux-signed-amd64".to_owned(),
            version: "6.1.129+1".to_owned(),
        }),
        ..to(new, Some("6.1.129-1"))
    };
    let (after, _) = with_versions(&installed, &[upgrade]);
    let names = |findings: &mut dyn Iterator<Item = &advisory::assess::Finding>| {
        let mut names: Vec<String> = findings.map(|one| one.name.clone()).collect();
        names.sort();
        names
    };
    // (what runs, what the upgrade closes, what waits for the boot)
    let (first, none): (&[&str], &[&str]) = (&["CVE-2026-0001"], &[]);
    for (release, build, closed, until_boot) in [
        ("6.1.0-28-amd64", "6.1.119-1", none, first),
        // Removed by hand, and it runs all the same.
        ("6.1.0-27-amd64", "6.1.115-1", none, first),
    ] {
        let kernel = Kernel::Booted {
            release: release.to_owned(),
            build: Some(build.to_owned()),
        };
        let assess = |components: &[Component]| {
            let exposure = |_: &Component| advisory::rank::Exposure::Installed;
            advisories
                .assess(components, &exposure, &kernel, &terms)
                .expect("an assessment")
        };
        let effects = effects(assess(&installed), assess(&after), Vec::new());
        assert_eq!(names(&mut effects.closed.iter()), closed, "{release}");
        let mut waits = names(&mut effects.until_boot());
        waits.dedup();
        assert_eq!(waits, until_boot, "{release}");
        // Booted, the old one is only there to fall back on.
        let booted = Kernel::Booted {
            release: "6.1.0-32-amd64".to_owned(),
            build: Some("6.1.129-1".to_owned()),
        };
        let exposure = |_: &Component| advisory::rank::Exposure::Installed;
        let then = advisories.assess(&after, &exposure, &booted, &terms);
        let then = then.expect("an assessment");
        assert_eq!(names(&mut then.findings.iter()), ["CVE-2026-0002"]);
        assert_eq!(then.dormant[0].names.len(), 2);
    }
}
