//! Lockfiles and manifests: what each names, from where, in which line, and what needs what.

use std::collections::BTreeSet;

use host::components::lock::{self, CargoOutside, node_project, pins, requirements_with};
use model::dependency::{Brought, LockFormat, Locked, LockedFrom, Lockfile};
use proptest::prelude::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("locks/", $name))
    };
}

/// pnpm 11 writes what pnpm itself is run with into a document of its own.
#[test]
fn a_lockfile_of_two_documents() {
    let own = fixture!("pnpm-9.yaml");
    let tools = "---\nlockfileVersion: '9.0'\n\nimporters:\n\n  .:\n    packageManagerDependencies:\n      \
                 pnpm:\n        specifier: 11.0.0\n        version: 11.0.0\n\npackages:\n\n  \
                 pnpm@11.0.0:\n    resolution: {integrity: sha512-abc}\n\nsnapshots:\n\n  \
                 pnpm@11.0.0: {}\n";
    let both = told(LockFormat::Pnpm, &format!("{tools}\n---\n{own}"), None);
    let named = |all: Vec<String>| -> BTreeSet<String> {
        let named = all.iter();
        let two = |line: &String| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        named.map(two).collect()
    };
    let mut wanted = named(told(LockFormat::Pnpm, own, None));
    wanted.insert("pnpm 11.0.0".to_owned());
    assert_eq!(named(both), wanted);
    // What is none says so in one line.
    let bad = lock::read(LockFormat::Pnpm, b"a: [\n\n", None).expect_err("no YAML");
    assert!(!bad.to_string().contains('\n'), "{bad}");
    assert!(lock::read(LockFormat::Pnpm, b"", None).is_err());
}

/// `===` is a pin as well (PEP 440).
#[test]
fn a_pin_by_arbitrary_equality() {
    let lock = r#"{"_meta": {}, "default": {"a": {"version": "===4.0"}, "b": {"version": "== 1.0"},
        "c": {"version": "*"}}}"#;
    assert_eq!(
        told(LockFormat::Pipenv, lock, None),
        ["a 4.0 ?", "b 1.0 ?", "c * (elsewhere) :2 ?"]
    );
}

/// `name version`, the line, `(dev)`, `(elsewhere)`, and what brings it.
fn told(format: LockFormat, text: &str, beside: Option<&str>) -> Vec<String> {
    let packages = lock::read(format, text.as_bytes(), beside.map(str::as_bytes));
    let packages = packages.unwrap_or_else(|reason| panic!("{format:?}: {reason}"));
    let file = Lockfile {
        path: "x".to_owned(),
        format,
        packages,
    };
    let direct = file.direct();
    let named = |places: &[usize]| {
        let names = places.iter().map(|at| &*file.packages[*at].name);
        names
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut all = Vec::new();
    for (at, package) in file.packages.iter().enumerate() {
        let Locked { name, version, .. } = package;
        let mut text = format!("{name} {version}");
        match package.from {
            LockedFrom::Project => continue,
            LockedFrom::Registry => {}
            LockedFrom::Elsewhere => text.push_str(" (elsewhere)"),
            LockedFrom::Unpinned => text.push_str(" (not pinned)"),
        }
        if let Some(line) = package.line {
            text.push_str(&format!(" :{line}"));
        }
        if package.development {
            text.push_str(" (dev)");
        }
        text.push_str(&match file.brought(at, &direct) {
            Brought::Unknown => " ?".to_owned(),
            Brought::Direct { also } if also.is_empty() => " direct".to_owned(),
            Brought::Direct { also } => format!(" direct, {}", named(&also)),
            Brought::By(by) => format!(" by {}", named(&by)),
        });
        all.push(text);
    }
    all.sort();
    all
}

#[test]
fn each_lockfile_says_what_its_tool_would_install() {
    use LockFormat::{Bundler, Cargo, Go, Npm, Pipenv, Pnpm, Poetry, Requirements, Uv, Yarn};
    let cases: [(LockFormat, &str, Option<&str>, &[&str]); 14] = [
        (
            Cargo,
            fixture!("Cargo.lock"),
            None,
            &[
                "num_cpus 1.16.0 :5 by patched",
                "patched 0.2.0 (elsewhere) :19 direct",
                "time 0.1.43 :27 direct",
                "time 0.3.0 :32 by patched",
            ],
        ),
        (
            Npm,
            fixture!("package-lock.json"),
            None,
            &[
                "@scope/real 2.0.1 :28 (dev) by mocha",
                "express 4.17.1 :12 direct",
                "fork 1.0.0 (elsewhere) :33 ?",
                "mocha 10.0.0 :20 (dev) direct",
                "qs 6.11.0 :25 direct, mocha",
                "qs 6.7.0 :17 by express",
            ],
        ),
        (
            Npm,
            fixture!("npm-v1.json"),
            None,
            &[
                "express 4.17.1 :4 ?",
                "fork github:user/fork#abc (elsewhere) :17 ?",
                "qs 6.11.0 :8 ?",
                "qs 6.7.0 :8 ?",
                "real 1.0.0 :11 (dev) ?",
            ],
        ),
        (
            Yarn,
            fixture!("yarn-classic.lock"),
            Some(fixture!("yarn-classic.package.json")),
            &[
                "@babel/core 7.1.0 :5 direct",
                "@babel/types 7.2.0 :13 by @babel/core",
                "fork 1.0.0 (elsewhere) :16 ?",
                "lodash 4.17.20 :20 direct",
                "ms 2.0.0 :23 by @babel/core",
            ],
        ),
        (
            Yarn,
            fixture!("yarn-berry.lock"),
            None,
            &[
                "debug 2.6.9 :15 direct",
                "ms 2.0.0 :8 by debug",
                "typescript 4.9.5 :23 ?",
            ],
        ),
        (
            Pnpm,
            fixture!("pnpm-9.yaml"),
            None,
            &[
                "@scope/real 2.0.1 :20 direct",
                "debug 2.6.9 :23 direct",
                "fork 1.0.0 (elsewhere) :28 ?",
                "ms 2.0.0 :32 by debug",
            ],
        ),
        (
            Pnpm,
            fixture!("pnpm-5.yaml"),
            None,
            &[
                "@scope/real 2.0.1 :11 (dev) ?",
                "debug 2.6.9 :15 direct",
                "ms 2.0.0 :21 by debug",
            ],
        ),
        (
            Poetry,
            fixture!("poetry.lock"),
            Some(fixture!("poetry.pyproject.toml")),
            &[
                "certifi 2022.12.7 :3 by requests",
                "ours-lib 0.1.0 (elsewhere) :26 ?",
                "pytest 7.0.0 :13 (dev) direct",
                "requests 2.28.1 :18 direct",
            ],
        ),
        (
            Uv,
            fixture!("uv.lock"),
            None,
            &[
                "certifi 2022.12.7 :4 by requests",
                "requests 2.28.1 :10 direct",
                "tool 1.0 (elsewhere) :31 direct",
            ],
        ),
        (
            Pipenv,
            fixture!("Pipfile.lock"),
            Some(fixture!("Pipfile")),
            &[
                "certifi 2022.12.7 :7 ?",
                "lib 0 (elsewhere) :18 (dev) ?",
                "pytest 7.0.0 :22 (dev) direct",
                "requests 2.28.1 :11 direct",
            ],
        ),
        (
            Requirements,
            fixture!("requirements.txt"),
            None,
            &[
                "./ours 0 (elsewhere) :14 direct",
                "Requests 2.28.1 :4 direct",
                "certifi 2022.12.7 :15 direct",
                "django 3.2 :10 direct",
                "flask >=2 (not pinned) :9 direct",
                "jinja2 ==2.* (not pinned) :11 direct",
                "lib @ https://example.com/lib.tar.gz 0 (elsewhere) :13 direct",
                "numpy ==1.0,!=1.1 (not pinned) :12 direct",
                "urllib3 1.26.5 :5 direct",
            ],
        ),
        (
            Bundler,
            fixture!("Gemfile.lock"),
            None,
            &[
                "fork 1.0.0 (elsewhere) :5 direct",
                "nokogiri 1.13.0 :11 direct",
                "racc 1.6.0 :13 by nokogiri",
                "rack 2.2.3 :14 by fork",
            ],
        ),
        (
            Go,
            fixture!("go.mod"),
            Some(fixture!("go.sum")),
            &[
                "example.com/local v1.0.0 (elsewhere) :9 direct",
                "github.com/gin-gonic/gin v1.7.0 :7 direct",
                "github.com/golang-jwt/jwt v3.2.1+incompatible :12 direct",
                "golang.org/x/net v0.0.0-20210226172049-e18ecbb05110 :8 ?",
                "golang.org/x/text v0.3.5 :6 direct",
            ],
        ),
        (
            Go,
            fixture!("go-old.mod"),
            Some(fixture!("go.sum")),
            &[
                "github.com/gin-gonic/gin v1.7.0 :5 direct",
                "golang.org/x/text v0.3.10 ?",
            ],
        ),
    ];
    let mut wrong = Vec::new();
    for (format, text, beside, wanted) in cases {
        let told = told(format, text, beside);
        if told != wanted {
            wrong.push(format!("{format:?}: {told:#?}\nwanted {wanted:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn without_its_manifest_a_lockfile_does_not_tell_what_was_asked_for() {
    let yarn = told(LockFormat::Yarn, fixture!("yarn-classic.lock"), None);
    assert!(yarn.iter().all(|line| line.ends_with(" ?")), "{yarn:?}");
}

#[test]
fn what_no_tool_writes_is_refused_with_its_reason() {
    use LockFormat::{Cargo, Go, Npm, Pnpm, Uv, Yarn};
    let cases: [(LockFormat, &[u8], &str); 9] = [
        (Cargo, b"[[package]\n", "not TOML"),
        (
            Cargo,
            b"[[package]]\nname = \"a\"\n",
            "without a name or a version",
        ),
        (Cargo, b"\xff\xfe", "not UTF-8"),
        (Uv, b"[[package]]\nversion = \"1\"\n", "without a name"),
        (Npm, b"{", "not JSON"),
        (Pnpm, b"a: [", "not YAML"),
        (Yarn, b"a@1:\n  resolved \"x\"\n", "no version"),
        (Yarn, b"  version \"1\"\n", "belongs to nothing"),
        (Go, b"require (\n  a\n)\n", "line 2"),
    ];
    for (format, bytes, why) in cases {
        let reason = lock::read(format, bytes, None).expect_err("refused");
        assert!(reason.to_string().contains(why), "{format:?}: {reason}");
    }
    let deep = format!("a = {}1{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(lock::read(Cargo, deep.as_bytes(), None).is_err());
}

#[test]
fn a_file_is_known_by_its_name_and_its_folder() {
    for (folder, name, is_one) in [
        ("", "requirements.txt", true),
        ("", "requirements-dev.txt", true),
        ("", "dev-requirements.txt", true),
        ("requirements", "base.txt", true),
        ("docs", "base.txt", false),
        ("", "constraints.txt", false),
    ] {
        let format = lock::format(folder, name);
        assert_eq!(
            format == Some(LockFormat::Requirements),
            is_one,
            "{folder}/{name}"
        );
    }
}

#[test]
fn pins_are_rewritten_and_all_else_stays() {
    let text = fixture!("requirements.txt");
    let (found, others) = pins(text).expect("a file");
    assert_eq!(others, 7, "options, addresses and what is not pinned");
    let requests = &found[0];
    assert_eq!(
        (&*requests.extras, &*requests.marker, requests.has_hashes),
        ("[socks]", "; python_version >= \"3.8\"", false)
    );
    assert!(found[1].has_hashes);
    let changed = requirements_with(text, &[(&found[3], "2024.7.4"), (requests, "2.32.0")]);
    let changes: Vec<(&str, &str)> = text
        .lines()
        .zip(changed.lines())
        .filter(|(old, new)| old != new)
        .collect();
    assert_eq!(
        changes,
        [
            (
                "Requests[socks] == 2.28.1 ; python_version >= \"3.8\"  # why",
                "Requests[socks] == 2.32.0 ; python_version >= \"3.8\"  # why",
            ),
            ("certifi==2022.12.7", "certifi==2024.7.4"),
        ]
    );
    assert_eq!(requirements_with(text, &[]), text);
}

#[test]
fn what_a_manifest_would_fetch_from_elsewhere_is_seen() {
    let manifest = r#"
        [package]
        name = "x"
        workspace = "../up"
        [lib]
        path = "src/other.rs"
        [[bin]]
        name = "y"
        path = "src/y.rs"
        [dependencies]
        good = "1"
        near = { path = "../near", version = "1" }
        [target.'cfg(unix)'.dev-dependencies.far]
        git = "https://example.com/far.git"
        [patch.crates-io]
        other = { registry-index = "file:///srv/index" }
    "#;
    let path = |name: &str, path: &str| CargoOutside::Path {
        name: name.to_owned(),
        path: path.to_owned(),
    };
    let address = |name: &str, address: &str| CargoOutside::Address {
        name: name.to_owned(),
        address: address.to_owned(),
    };
    let mut found = lock::cargo_outside(manifest).expect("a manifest");
    found.sort_by_key(|one| format!("{one:?}"));
    assert_eq!(
        found,
        [
            address("far", "https://example.com/far.git"),
            address("other", "file:///srv/index"),
            path("near", "../near"),
            path("the workspace", "../up"),
        ]
    );
    let project = node_project(
        r#"{"dependencies": {"a": "^1", "b": "git+ssh://x/y", "c": "user/repo", "d": "file:../d",
        "e": "npm:@scope/real@^2", "f": "latest", "g": "https://example.com/g.tgz"},
        "overrides": {"h": {"i": "1.0.0", "j": "http://example.com/j.tgz"}},
        "workspaces": {"packages": ["web/*"]}}"#,
    )
    .expect("a manifest");
    let outside: Vec<&str> = project.outside.iter().map(|(name, _)| &**name).collect();
    assert_eq!(outside, ["b", "c", "d", "g", "j"]);
    assert_eq!(project.workspaces, ["web/*"]);
    let hosts = BTreeSet::from(["registry.example.com".to_owned()]);
    let lock = r#"{"packages": {"node_modules/a": {"version": "1.0.0",
        "resolved": "https://registry.example.com/a.tgz"},
        "node_modules/b": {"version": "1.0.0", "resolved": "https://127.0.0.1/b.tgz"},
        "node_modules/w": {"resolved": "web/w", "link": true}},
        "dependencies": {"c": {"version": "git+ssh://x/y#z"}, "d": {"version": "npm:@s/d@1.0.0"}}}"#;
    let seen = lock::npm_lock_outside(lock, &hosts).expect("a lockfile");
    assert_eq!(seen, ["https://127.0.0.1/b.tgz", "git+ssh://x/y#z"]);
}

const SAMPLES: [(LockFormat, &str); 12] = [
    (LockFormat::Cargo, fixture!("Cargo.lock")),
    (LockFormat::Npm, fixture!("package-lock.json")),
    (LockFormat::Npm, fixture!("npm-v1.json")),
    (LockFormat::Yarn, fixture!("yarn-classic.lock")),
    (LockFormat::Yarn, fixture!("yarn-berry.lock")),
    (LockFormat::Pnpm, fixture!("pnpm-9.yaml")),
    (LockFormat::Poetry, fixture!("poetry.lock")),
    (LockFormat::Uv, fixture!("uv.lock")),
    (LockFormat::Pipenv, fixture!("Pipfile.lock")),
    (LockFormat::Requirements, fixture!("requirements.txt")),
    (LockFormat::Bundler, fixture!("Gemfile.lock")),
    (LockFormat::Go, fixture!("go.mod")),
];

fn check_bounds(packages: &[Locked]) -> Result<(), TestCaseError> {
    for package in packages {
        for text in [&package.name, &package.version] {
            prop_assert!(!text.is_empty() && text.len() <= 1024);
            prop_assert!(!text.contains(char::is_control));
        }
        prop_assert!(package.needs.iter().all(|at| *at < packages.len()));
    }
    Ok(())
}

proptest! {
    #[test]
    fn nothing_stops_a_reader_of_lockfiles(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        beside in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..100)),
    ) {
        for format in LockFormat::ALL {
            if let Ok(packages) = lock::read(format, &bytes, beside.as_deref()) {
                check_bounds(&packages)?;
            }
        }
    }

    /// A real file that was cut, or whose pieces were moved.
    #[test]
    fn a_torn_lockfile_is_read_or_refused(
        which in 0..SAMPLES.len(),
        places in proptest::collection::vec(any::<prop::sample::Index>(), 4),
        letter in prop::sample::select(vec!["", "\"", "\n", ":", "=", "{", "(", "é", "==", "[["]),
    ) {
        let (format, text) = SAMPLES[which];
        let mut cuts: Vec<usize> = places.iter().map(|place| place.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let parts = [&text[..cuts[0]], letter, &text[cuts[2]..cuts[3]], &text[cuts[1]..cuts[2]]];
        let torn = parts.concat();
        if let Ok(packages) = lock::read(format, torn.as_bytes(), None) {
            check_bounds(&packages)?;
        }
        if let Ok((found, _)) = pins(&torn) {
            let changes: Vec<_> = found.iter().map(|pin| (pin, "9.9")).collect();
            let again = pins(&requirements_with(&torn, &changes)).expect("it was read before").0;
            let versions: BTreeSet<&str> = again.iter().map(|pin| &*pin.version).collect();
            prop_assert!(versions.is_subset(&BTreeSet::from(["9.9"])));
        }
        let _ = (node_project(&torn), lock::cargo_outside(&torn), lock::cargo_workspace(&torn));
        let _ = lock::npm_lock_outside(&torn, &BTreeSet::new());
    }
}
