//! Which findings of kernels are the host's: those of the one that runs, and of what an upgrade
//! left beside it only as long as it could be it.

use advisory::kernel::{Kernel, Kernels};
use model::{Component, component::SourcePackage};

use crate::support::{Made, assessed_on, made, package, record};

/// A package that was built from a kernel, signed or not.
fn part(name: &str, version: &str) -> Component {
    let mut part = package(name, "linux", version, Some("12"));
    if name.starts_with("linux-image-") {
        part.source = Some(SourcePackage {
            name: "linux-signed-amd64".to_owned(),
            version: version.replace('-', "+"),
        });
    }
    part
}

fn booted(release: &str, build: Option<&str>) -> Kernel {
    Kernel::Booted {
        release: release.to_owned(),
        build: build.map(str::to_owned),
    }
}

/// One fixed in 6.1.124-1, one in 6.1.129-1, and one that has no fix.
fn feed() -> Made {
    let fixed = |number: u8, fixed: &str| {
        let events = format!(r#"{{"introduced":"0"}}{fixed}"#);
        record(
            &format!("CVE-2026-000{number}"),
            "Debian:12",
            "linux",
            &events,
            "",
        )
    };
    let records = [
        fixed(1, r#",{"fixed":"6.1.124-1"}"#),
        fixed(2, r#",{"fixed":"6.1.129-1"}"#),
        fixed(3, ""),
    ];
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    made(&records, |_| {})
}

const IMAGE_28: &str = "linux-image-6.1.0-28-amd64";
const IMAGE_30: &str = "linux-image-6.1.0-30-amd64";
const IMAGE_32: &str = "linux-image-6.1.0-32-amd64";

/// (installed, what runs, findings as `NUMBER@VERSION` with `*` where a boot closes them, dormant)
#[test]
fn what_runs_has_the_findings() {
    let old = "6.1.119-1";
    let middle = "6.1.124-1";
    let new = "6.1.129-1";
    let runs_28 = booted("6.1.0-28-amd64", Some(old));
    let runs_32 = booted("6.1.0-32-amd64", Some(new));
    let both = [(IMAGE_28, old), (IMAGE_32, new)];
    type Case<'a> = (
        &'a str,
        &'a [(&'a str, &'a str)],
        &'a Kernel,
        &'a [&'a str],
        &'a [&'a str],
    );
    let cases: [Case<'_>; 25] = [
        (
            "before the upgrade",
            &[(IMAGE_28, old)],
            &runs_28,
            &["1@119", "2@119", "3@119"],
            &[],
        ),
        (
            "before the reboot",
            &both,
            &runs_28,
            &["1@119*", "2@119*", "3@119", "3@129"],
            &[],
        ),
        ("after it", &both, &runs_32, &["3@129"], &["1,2,3@119"]),
        (
            "the old one is removed",
            &[(IMAGE_32, new)],
            &runs_32,
            &["3@129"],
            &[],
        ),
        (
            "removed before the reboot",
            &[(IMAGE_32, new)],
            &runs_28,
            &["1@119*", "2@119*", "3@119", "3@129"],
            &[],
        ),
        (
            "upgraded in place, the old build runs",
            &[(IMAGE_28, new)],
            &runs_28,
            &["1@119*", "2@119*", "3@119", "3@129"],
            &[],
        ),
        (
            "the newest closes not all",
            &[(IMAGE_28, old), (IMAGE_30, middle)],
            &runs_28,
            &["1@119*", "2@119", "2@124", "3@119", "3@124"],
            &[],
        ),
        (
            "what is newer than what runs will run",
            &[(IMAGE_28, old), (IMAGE_30, middle), (IMAGE_32, new)],
            &booted("6.1.0-30-amd64", Some(middle)),
            &["2@124*", "3@124", "3@129"],
            &["1,2,3@119"],
        ),
        (
            "headers of a kernel that does not run",
            &[
                ("linux-headers-6.1.0-28-common", old),
                (IMAGE_28, old),
                (IMAGE_32, new),
            ],
            &runs_32,
            &["3@129"],
            &["1,2,3@119"],
        ),
        (
            "what belongs to no single kernel",
            &[
                ("linux-firmware-of-it", old),
                (IMAGE_28, old),
                (IMAGE_32, new),
            ],
            &runs_32,
            &["1@119", "2@119", "3@119", "3@129"],
            &["1,2,3@119"],
        ),
        (
            "headers beside a kernel that does not run",
            &[("linux-libc-dev", old), (IMAGE_28, old), (IMAGE_32, new)],
            &runs_32,
            &["3@129"],
            &["1,2,3@119"],
        ),
        (
            "headers alone are no kernel",
            &[
                ("linux-libc-dev", old),
                ("linux-headers-amd64", old),
                ("linux-headers-6.1.0-28-amd64", old),
                ("linux-kbuild-6.1", old),
            ],
            &Kernel::Unknown,
            &[],
            &["1,2,3@119"],
        ),
        (
            "programs that come with the source, beside a kernel that does not run",
            &[("linux-perf", old), (IMAGE_28, old), (IMAGE_32, new)],
            &runs_32,
            &["3@129"],
            &["1,2,3@119"],
        ),
        (
            "programs that come with the source are no kernel",
            &[
                ("linux-perf", old),
                ("linux-perf-6.1", old),
                ("bpftool", old),
                ("usbip", old),
                ("libcpupower1", old),
                ("linux-cpupower", old),
                ("hyperv-daemons", old),
                ("rtla", old),
            ],
            &Kernel::Unknown,
            &[],
            &["1,2,3@119"],
        ),
        (
            "headers that were upgraded before the kernel was booted",
            &[("linux-libc-dev", new), (IMAGE_28, old)],
            &runs_28,
            &["1@119", "2@119", "3@119"],
            &["3@129"],
        ),
        (
            "headers, and a program that has code",
            &[("linux-libc-dev", old), ("linux-firmware-of-it", old)],
            &Kernel::Unknown,
            &["1@119", "2@119", "3@119"],
            &[],
        ),
        (
            // As an undo of its upgrade leaves it, after the reboot.
            "the next boot runs an older one",
            &[(IMAGE_28, old)],
            &runs_32,
            &["1@119", "2@119", "3@119", "3@129"],
            &[],
        ),
        (
            "an older one, with one to fall back on",
            &[
                ("linux-headers-6.1.0-28-common", old),
                (IMAGE_28, old),
                (IMAGE_30, middle),
            ],
            &runs_32,
            &["1@119", "2@119", "2@124", "3@119", "3@124", "3@129"],
            &[],
        ),
        (
            "an older build is put back under the name of the one that runs",
            &[(IMAGE_28, old), (IMAGE_30, middle)],
            &booted("6.1.0-30-amd64", Some(new)),
            &["1@119", "2@119", "2@124", "3@119", "3@124", "3@129"],
            &[],
        ),
        (
            "another flavour of the same version",
            &[(IMAGE_28, old), ("linux-image-6.1.0-32-cloud-amd64", new)],
            &runs_32,
            &["3@129"],
            &["1,2,3@119"],
        ),
        (
            "it does not say which build it is",
            &both,
            &booted("6.1.0-32-amd64", None),
            &["3@129"],
            &["1,2,3@119"],
        ),
        (
            "one that nobody packaged",
            &both,
            &booted("6.12.1-mine", None),
            &["1@119", "2@119", "3@119", "3@129"],
            &[],
        ),
        (
            "a container",
            &both,
            &Kernel::Anothers,
            &[],
            &["1,2,3@119", "3@129"],
        ),
        (
            "a tree",
            &both,
            &Kernel::Unknown,
            &["1@119", "2@119", "3@119", "3@129"],
            &[],
        ),
        (
            // 6.1.0-9 comes before 6.1.0-32, and its package after it.
            "by version, and not by name",
            &[("linux-image-6.1.0-9-amd64", "6.1.130-1"), (IMAGE_32, new)],
            &runs_32,
            &["3@129", "3@130"],
            &[],
        ),
    ];
    let feed = feed();
    for (case, installed, kernel, findings, dormant) in cases {
        let components: Vec<Component> = installed
            .iter()
            .map(|(name, version)| part(name, version))
            .collect();
        let assessed = assessed_on(&[&feed], &components, kernel);
        let short = |name: &str| name.trim_start_matches("CVE-2026-000").to_owned();
        let version = |version: &str| {
            version
                .trim_start_matches("6.1.")
                .trim_end_matches("-1")
                .to_owned()
        };
        let mut found: Vec<String> = assessed
            .findings
            .iter()
            .map(|one| {
                let waits = one.until_boot_of.as_ref().map_or("", |_| "*");
                format!(
                    "{}@{}{waits}",
                    short(&one.name),
                    version(&one.package.version)
                )
            })
            .collect();
        found.sort();
        assert_eq!(found, findings, "{case}");
        let asleep: Vec<String> = assessed
            .dormant
            .iter()
            .map(|one| {
                let names: Vec<String> = one.names.iter().map(|name| short(name)).collect();
                format!("{}@{}", names.join(","), version(&one.package.version))
            })
            .collect();
        assert_eq!(asleep, dormant, "{case}");
    }
}

/// `make bindeb-pkg` builds it from a source of another name, of which no feed speaks: that there is
/// no finding means nothing.
#[test]
fn a_kernel_that_no_feed_knows_is_unknown() {
    let unknown = |name: &str, source: &str| {
        let kernel = package(name, source, "6.1.90-1", Some("12"));
        let assessed = assessed_on(&[&feed()], &[kernel], &Kernel::Unknown);
        let said = assessed.unknown.into_iter();
        said.filter(|one| one.why.contains("source packages that no feed knows"))
            .map(|one| one.packages)
            .collect::<Vec<_>>()
    };
    let own = "linux-image-6.1.90-mine";
    assert_eq!(unknown(own, "linux-upstream"), [Some(1)]);
    assert_eq!(unknown(own, "linux-6.1.90-mine"), [Some(1)]);
    let none: [Option<usize>; 0] = [];
    assert_eq!(unknown(own, "linux"), none);
    assert_eq!(unknown(IMAGE_28, "linux"), none);
    assert_eq!(unknown("linux-image-amd64", "linux-meta"), none);
    assert_eq!(
        unknown("linux-image-6.1.90-mine-dbg", "linux-upstream"),
        none
    );
}

/// A kernel of another host's distribution, or of an image, is no matter of what runs here.
#[test]
fn only_the_hosts_own_packages_are_looked_at() {
    let kernel = booted("6.1.0-28-amd64", Some("6.1.119-1"));
    let mut image = part(IMAGE_32, "6.1.129-1");
    image.image = Some("docker.io/library/debian".to_owned());
    let components = [image];
    let kernels = Kernels::of(&kernel, &components);
    assert_eq!((kernels.newest(), kernels.missing()), (None, None));
    let mut components = components;
    components[0].image = None;
    let kernels = Kernels::of(&kernel, &components);
    let missing = kernels.missing().expect("it runs, and is not installed");
    assert_eq!((&*missing.name, &*missing.version), (IMAGE_28, "6.1.119-1"));
    assert_eq!(kernels.waiting().map(|one| &*one.name), Some(IMAGE_32));
}

/// (installed, what runs, newer that waits, older that the next boot goes back to, removed, another
/// build under its name)
#[test]
fn the_next_boot_is_known() {
    let (old, new) = ("6.1.119-1", "6.1.129-1");
    let runs_28 = booted("6.1.0-28-amd64", Some(old));
    let runs_32 = booted("6.1.0-32-amd64", Some(new));
    type Case<'a> = (
        &'a [(&'a str, &'a str)],
        &'a Kernel,
        [Option<&'a str>; 2],
        [bool; 2],
    );
    let cases: [Case<'_>; 7] = [
        (&[(IMAGE_28, old)], &runs_28, [None; 2], [false; 2]),
        (
            &[(IMAGE_28, old), (IMAGE_32, new)],
            &runs_28,
            [Some(IMAGE_32), None],
            [false; 2],
        ),
        (
            &[(IMAGE_32, new)],
            &runs_28,
            [Some(IMAGE_32), None],
            [true, false],
        ),
        (
            &[(IMAGE_28, old)],
            &runs_32,
            [None, Some(IMAGE_28)],
            [true, false],
        ),
        (
            &[(IMAGE_32, old)],
            &runs_32,
            [None, Some(IMAGE_32)],
            [false, true],
        ),
        (
            &[("linux-image-6.1.0-32-cloud-amd64", new)],
            &runs_32,
            [None; 2],
            [true, false],
        ),
        (&[], &runs_32, [None; 2], [false; 2]),
    ];
    for (installed, kernel, [waiting, back], is) in cases {
        let parts = installed.iter().map(|(name, version)| part(name, version));
        let components: Vec<Component> = parts.collect();
        let kernels = Kernels::of(kernel, &components);
        let name = |one: Option<&Component>| one.map(|one| one.name.clone());
        assert_eq!(
            [name(kernels.waiting()), name(kernels.goes_back_to())],
            [waiting, back].map(|name| name.map(str::to_owned)),
            "{installed:?} {kernel:?}"
        );
        assert_eq!(
            [kernels.is_removed(), kernels.is_replaced()],
            is,
            "{installed:?} {kernel:?}"
        );
    }
    assert!(runs_32.is_of(IMAGE_32, new), "its package");
    assert!(!runs_32.is_of(IMAGE_32, old), "another build");
    assert!(!runs_32.is_of(IMAGE_28, old), "another kernel");
    assert!(!runs_32.is_of("linux-headers-6.1.0-32-amd64", new));
    assert!(!Kernel::Anothers.is_of(IMAGE_32, new), "in a container");
}

/// A distribution that builds its kernels as Debian does, under versions of its own: what it says
/// that it was built as makes nothing dormant that no finding stands for.
#[test]
fn a_build_is_a_version_of_debians_own() {
    let runs = booted("6.1.0-32-amd64", Some("6.1.129-1"));
    let of_another = |name: &str, version: &str| Component {
        ecosystem: model::Ecosystem::OtherDpkg {
            id: "devuan".to_owned(),
            release: Some("5".to_owned()),
        },
        ..part(name, version)
    };
    let old = of_another(IMAGE_28, "6.1.119-1");
    let components = [old.clone()];
    let kernels = Kernels::of(&runs, &components);
    assert_eq!((kernels.booted(), kernels.missing()), (None, None));
    assert!(!kernels.is_dormant(&old), "it can't be told which runs");
    let newer = of_another("linux-image-6.1.0-33-amd64", "6.1.133-1");
    let components = [old.clone(), newer];
    assert!(!Kernels::of(&runs, &components).is_dormant(&old));
    let components = [old.clone(), of_another(IMAGE_32, "6.1.129-1")];
    let kernels = Kernels::of(&runs, &components);
    assert_eq!(kernels.booted(), Some("6.1.129-1"), "a package of it");
    assert!(kernels.is_dormant(&old));
}
