//! Copies that others carry: in archives of Python, and in source trees of Go, Rust and Ruby.

use host::components::images::layer::{Layer, Read};
use host::components::images::tar as archive;
use host::components::search::Kind;
use host::components::{components, contents};

use crate::component_files::{Zip, tar, zstd};
use crate::observe_support::Tree;

/// What a file holds, as `name version (member)`, and what of it can't be read.
fn read(kind: Kind, bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let contents = contents(kind, &bytes.to_vec(), b"file");
    let found = contents.found.iter().map(|found| {
        let member = found.member.as_ref();
        let member = member.map(|member| format!(" ({member})"));
        format!(
            "{} {}{}",
            found.name,
            found.version,
            member.unwrap_or_default()
        )
    });
    let unread = contents.unread.iter().map(ToString::to_string);
    (found.collect(), unread.collect())
}

#[track_caller]
fn check(kind: Kind, bytes: &[u8], wanted: &[&str]) {
    let (found, unread) = read(kind, bytes);
    assert_eq!(found, wanted);
    assert_eq!(unread, [""; 0]);
}

/// What of a module was copied is what is used of it.
#[test]
fn copies_of_go_say_which_packages_they_are() {
    let bytes = b"# golang.org/x/crypto v0.54.0\n## explicit; go 1.20\ngolang.org/x/crypto/ssh\n\
        golang.org/x/crypto/ssh/agent\n# example.org/here => ./here\nexample.org/here/a\n\
        # example.org/last v1.0.0\nexample.org/last\n# example.org/replaced => example.org/b v1\n\
        # example.org/yaml v2.0.0 => example.com/fork v2.1.0\nexample.org/yaml/internal\n"
        .to_vec();
    let found = contents(Kind::GoVendored, &bytes, b"modules.txt").found;
    let told: Vec<(&str, Vec<&str>)> = found
        .iter()
        .map(|one| {
            (
                &*one.name,
                one.packages.iter().map(String::as_str).collect(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                "golang.org/x/crypto",
                vec!["golang.org/x/crypto/ssh", "golang.org/x/crypto/ssh/agent"]
            ),
            ("example.org/last", vec!["example.org/last"]),
            ("example.com/fork", vec!["example.com/fork/internal"]),
        ]
    );
}

const METADATA: &[u8] = b"Metadata-Version: 2.1\nName: pip\nVersion: 23.0.1\n\nText\n";

#[test]
fn archives_of_python_say_what_they_hold() {
    let egg = Zip::default()
        .packed("EGG-INFO/PKG-INFO", b"Name: zope.event\nVersion: 4.4\n")
        .packed("zope/event/__init__.py", b"");
    check(
        Kind::PythonArchive,
        &egg.build(),
        &["zope.event 4.4 (EGG-INFO/PKG-INFO)"],
    );
    let wheel = Zip::default()
        .packed("pip-23.0.1.dist-info/METADATA", METADATA)
        .packed("pip/_vendor/vendor.txt", b"certifi==2022.12.7\n")
        .packed(
            "setuptools/_vendor/zipp-3.7.0.dist-info/METADATA",
            b"Name: zipp\nVersion: 3.7.0\n",
        )
        // Not what it seems.
        .packed("docs/METADATA", METADATA)
        .packed("METADATA", METADATA);
    check(
        Kind::PythonArchive,
        &wheel.build(),
        &[
            "pip 23.0.1 (pip-23.0.1.dist-info/METADATA)",
            "certifi 2022.12.7 (pip/_vendor/vendor.txt)",
            "zipp 3.7.0 (setuptools/_vendor/zipp-3.7.0.dist-info/METADATA)",
        ],
    );
    // A name that climbs is a name.
    let climbs = Zip::default().stored("../../etc/x.dist-info/METADATA", METADATA);
    check(
        Kind::PythonArchive,
        &climbs.build(),
        &["pip 23.0.1 (../../etc/x.dist-info/METADATA)"],
    );
}

#[test]
fn hostile_archives_of_python_are_refused() {
    let refused = |bytes: &[u8], why: &str| {
        let (found, unread) = read(Kind::PythonArchive, bytes);
        assert_eq!(found, [""; 0], "{why}");
        assert!(unread.len() == 1 && unread[0].contains(why), "{unread:?}");
    };
    refused(b"not a zip", "not a zip archive");
    let name = "x-1.dist-info/METADATA";
    let bomb = Zip::default().packed(name, &vec![b' '; 4 << 20]).build();
    refused(&bomb, "a zip bomb");
    let large = Zip::default().stored(name, &vec![b'x'; 9 << 20]).build();
    refused(&large, "over the limit");
    // It says less than it unpacks to, and more than there is.
    let packed = miniz_oxide::deflate::compress_to_vec(METADATA, 6);
    let lies = Zip::default().member(name, 8, 0, &packed, 5).build();
    refused(&lies, "unpack to more than the limit of 5");
    let short = Zip::default().member(name, 0, 0, b"Name", 400).build();
    refused(&short, "packed by a method");
    let secret = Zip::default().member(name, 0, 1, METADATA, METADATA.len());
    refused(&secret.build(), "encrypted");
    // What can be read is found all the same.
    let both = Zip::default()
        .member("a-1.dist-info/METADATA", 99, 0, b"", 0)
        .stored(name, METADATA)
        .build();
    let (found, unread) = read(Kind::PythonArchive, &both);
    assert_eq!((found.len(), unread.len()), (1, 1));
}

#[test]
fn lists_of_copies() {
    check(
        Kind::PythonVendored,
        b"# pip's own\nCacheControl==0.12.11  # Make sure to update\n\
        requests==2.28.2\nsetuptools==68.0.0\n    certifi==2022.12.7\n    # via requests\n\
        rich[x]==12.6.0 ; python_version > '3'\n-e ./local\nany\nb>=1\nc==1.*\n",
        &[
            "CacheControl 0.12.11",
            "requests 2.28.2",
            "certifi 2022.12.7",
            "rich 12.6.0",
        ],
    );
    let (found, unread) = read(Kind::PythonVendored, b"\xff==1\n");
    assert_eq!((found.len(), unread.len()), (0, 1));
    check(
        Kind::GoVendored,
        b"# golang.org/x/net v0.7.0\n## explicit; go 1.17\ngolang.org/x/net/html\n\
        golang.org/x/net/http/httpguts\n\
        # example.org/unused v1.0.0\n## explicit\n\
        # example.org/old v1.0.0 => example.org/new v1.2.0\nexample.org/old/a\n\
        # example.org/here v0.1.0 => ./here\n## explicit\nexample.org/here\n\
        # example.org/all => example.org/other v3.0.0\n\
        # example.org/words v1 v2 v3 v4 v5\nexample.org/words\n",
        &[
            "golang.org/x/net v0.7.0",
            "example.org/new v1.2.0",
            "example.org/here v0.1.0",
        ],
    );
    check(Kind::GoVendored, b"# a v1\n\xff\n", &[]);
    check(
        Kind::CargoVendored,
        b"[package]\nname = \"itoa\"\nversion = \"1.0.9\"\n[dependencies]\n",
        &["itoa 1.0.9"],
    );
    check(
        Kind::CargoVendored,
        b"[package]\nname = \"itoa\"\nversion.workspace = true\n",
        &[],
    );
    let (found, unread) = read(Kind::CargoVendored, b"[package\n");
    assert_eq!((found.len(), unread.len()), (0, 1));
}

const ITOA: &[u8] = b"[package]\nname = \"itoa\"\nversion = \"1.0.9\"\n";
const SUMS: &[u8] = br#"{"files": {"Cargo.toml": "00"}, "package": "11"}"#;
const SUMS_OF_GIT: &[u8] = br#"{"files": {}, "package": null}"#;
const MODULES: &[u8] = b"# golang.org/x/net v0.7.0\ngolang.org/x/net/html\n";

#[test]
fn copies_in_source_trees_are_found() {
    let wheel = Zip::default()
        .packed("pip-23.0.1.dist-info/METADATA", METADATA)
        .build();
    let tree = Tree::with(&[
        (
            "/var/lib/dpkg/status",
            b"Package: python-wheels\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n",
        ),
        (
            "/var/lib/dpkg/info/python-wheels.list",
            b"/usr/share/python-wheels/pip.whl\n\
              /usr/share/cargo/registry/itoa/.cargo-checksum.json\n\
              /usr/share/cargo/registry/itoa/Cargo.toml\n",
        ),
        // What a package brought is the package's.
        ("/usr/share/python-wheels/pip.whl", &wheel),
        ("/usr/share/cargo/registry/itoa/.cargo-checksum.json", SUMS),
        ("/usr/share/cargo/registry/itoa/Cargo.toml", ITOA),
        ("/usr/local/lib/python3.11/ensurepip/_bundled/pip.whl", &wheel),
        ("/srv/go/vendor/modules.txt", MODULES),
        ("/srv/rs/vendor/itoa/.cargo-checksum.json", SUMS),
        ("/srv/rs/vendor/itoa/Cargo.toml", ITOA),
        // Not from the registry, and not a copy of cargo's.
        ("/srv/rs/vendor/fork/.cargo-checksum.json", SUMS_OF_GIT),
        ("/srv/rs/vendor/fork/Cargo.toml", ITOA),
        ("/srv/rs/own/Cargo.toml", ITOA),
        ("/srv/rs/vendor/gone/.cargo-checksum.json", SUMS),
        ("/srv/rs/vendor/torn/.cargo-checksum.json", b"{"),
        ("/srv/rs/vendor/torn/Cargo.toml", ITOA),
        ("/srv/rb/vendor/cache/rack-2.2.6.gem", b"tar"),
    ]);
    let inventory = components(&tree.host(), &|_| {});
    let others = inventory.components.iter().filter(|it| it.source.is_none());
    let found: Vec<String> = others
        .map(|component| {
            let evidence = &component.evidence[0];
            assert_eq!(component.evidence.len(), 1);
            let (name, version) = (&component.name, &component.version);
            let ecosystem = &component.ecosystem;
            let member = evidence.member.as_deref().unwrap_or_default();
            format!("{ecosystem} {name} {version} {} {member}", evidence.path)
        })
        .collect();
    assert_eq!(
        found,
        [
            "crates.io itoa 1.0.9 /srv/rs/vendor/itoa/Cargo.toml ",
            "Go golang.org/x/net v0.7.0 /srv/go/vendor/modules.txt ",
            "PyPI pip 23.0.1 /usr/local/lib/python3.11/ensurepip/_bundled/pip.whl \
             pip-23.0.1.dist-info/METADATA",
            "RubyGems rack 2.2.6 /srv/rb/vendor/cache/rack-2.2.6.gem ",
        ]
    );
    let unread: Vec<String> = inventory
        .unread
        .iter()
        .map(|unread| format!("{}: {}", unread.path, unread.why))
        .collect();
    assert_eq!(unread.len(), 1, "{unread:?}");
    assert!(unread[0].starts_with("/srv/rs/vendor/torn/Cargo.toml: `.cargo-checksum.json` is not"));
}

#[test]
fn copies_in_layers_are_found() {
    let members = [
        // The two files of a crate in either order.
        ("a/vendor/itoa/.cargo-checksum.json", 0o644, SUMS),
        ("a/vendor/itoa/Cargo.toml", 0o644, ITOA),
        ("b/vendor/itoa/Cargo.toml", 0o644, ITOA),
        ("b/vendor/itoa/.cargo-checksum.json", 0o644, SUMS),
        ("c/vendor/fork/Cargo.toml", 0o755, ITOA),
        ("c/vendor/fork/.cargo-checksum.json", 0o644, SUMS_OF_GIT),
        ("d/Cargo.toml", 0o644, ITOA),
        ("e/vendor/modules.txt", 0o644, MODULES),
    ];
    let mut layer = Layer::default();
    archive::read(&zstd(&tar(&members)), &mut layer).expect("a layer");
    let found: Vec<String> = layer
        .files
        .iter()
        .map(|(path, file)| {
            let Some(Read::Contents(contents)) = &file.read else {
                panic!("nothing was read");
            };
            let path = String::from_utf8_lossy(path);
            format!("{path} {}", contents.found[0].name)
        })
        .collect();
    assert_eq!(
        found,
        [
            "/a/vendor/itoa/Cargo.toml itoa",
            "/b/vendor/itoa/Cargo.toml itoa",
            "/e/vendor/modules.txt golang.org/x/net",
        ]
    );
    // The same where the layer is a directory.
    let store = |rest: &str| format!("/var/lib/containers/storage/{rest}");
    let tree = Tree::with(&[
        (
            &store("overlay-images/images.json"),
            br#"[{"id": "i", "names": ["app"], "layer": "a"}]"#,
        ),
        (&store("overlay-layers/layers.json"), br#"[{"id": "a"}]"#),
        (
            &store("overlay/a/diff/vendor/itoa/.cargo-checksum.json"),
            SUMS,
        ),
        (&store("overlay/a/diff/vendor/itoa/Cargo.toml"), ITOA),
    ]);
    let inventory = components(&tree.host(), &|_| {});
    let names: Vec<_> = inventory
        .components
        .iter()
        .map(|it| (it.image.as_deref(), it.name.as_str()))
        .collect();
    assert_eq!(names, [(Some("app"), "itoa")]);
}
