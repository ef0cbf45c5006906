//! Packages of apk: of a tree, and of images.

use host::components::components;
use host::parse::apk::{files, parse_installed};
use model::component::{Ecosystem, Inventory};
use proptest::prelude::*;

use crate::component_files::{gzip, jar, tar};
use crate::observe_support::Tree;

/// As apk 2.14 writes it, shortened.
const INSTALLED: &[u8] = b"C:Q1pbHLqm3PkQmYGTPcSjSjkZKhPKk=
P:musl
V:1.2.4_git20230717-r4
A:x86_64
S:407278
I:667648
T:the musl c library (libc) implementation
o:musl
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755
Z:Q1gn7yYpOZEvDJIwWuXTRzm1fQqgM=

C:Q1YUtLl8sF5zDe/rRLJ6pNzW8n4vE=
P:py3-six
V:1.16.0-r8
A:noarch
o:py3-six
F:usr
F:usr/lib/python3.11/site-packages/six-1.16.0.dist-info
R:METADATA

P:libssl3
V:3.1.4-r5
A:x86_64
o:openssl

";

const RELEASE: &[u8] = b"ID=alpine\nVERSION_ID=3.19.1\n";
const SIX: &[u8] = b"Name: six\nVersion: 1.16.0\n";

fn inventory(tree: &Tree) -> Inventory {
    components(&tree.host(), &|_| {})
}

/// `ECOSYSTEM NAME VERSION of SOURCE, ARCHITECTURE`
fn lines(inventory: &Inventory) -> Vec<String> {
    let components = inventory.components.iter();
    let line = components.map(|component| {
        let source = component.source.as_ref().map(|source| source.name.as_str());
        let image = component.image.as_ref().map(|image| format!("{image}: "));
        format!(
            "{}{} {} {} of {}, {}",
            image.unwrap_or_default(),
            component.ecosystem,
            component.name,
            component.version,
            source.unwrap_or("-"),
            component.architecture.as_deref().unwrap_or("-")
        )
    });
    line.collect()
}

fn unread(inventory: &Inventory) -> Vec<String> {
    let unread = inventory.unread.iter();
    unread
        .map(|unread| format!("{}: {}", unread.path, unread.why))
        .collect()
}

#[test]
fn a_tree_of_alpine_has_its_packages() {
    let site = "/usr/lib/python3.11/site-packages";
    let tree = Tree::with(&[
        ("/etc/os-release", RELEASE),
        ("/etc/apk/world", b"musl\n"),
        ("/lib/apk/db/installed", INSTALLED),
        // A package brought this one, and a person that one.
        (&format!("{site}/six-1.16.0.dist-info/METADATA"), SIX),
        (
            &format!("{site}/six-1.15.0.dist-info/METADATA"),
            b"Name: six\nVersion: 1.15.0\n",
        ),
    ]);
    let inventory = inventory(&tree);
    assert_eq!(
        lines(&inventory),
        [
            "Alpine:v3.19 libssl3 3.1.4-r5 of openssl, x86_64",
            "Alpine:v3.19 musl 1.2.4_git20230717-r4 of musl, x86_64",
            "Alpine:v3.19 py3-six 1.16.0-r8 of py3-six, noarch",
            "PyPI six 1.15.0 of -, -",
        ]
    );
    assert_eq!(unread(&inventory), [""; 0]);
    let evidence = &inventory.components[0].evidence;
    assert_eq!(evidence[0].path.to_string(), "/lib/apk/db/installed");
}

#[test]
fn the_merge_of_usr_is_seen_through() {
    let tree = Tree::with(&[
        (
            "/usr/lib/apk/db/installed",
            b"P:app\nV:1\nF:lib\nR:a.jar\n\nP:nameless\nF:lib\nR:b.jar\n\n",
        ),
        ("/usr/lib/a.jar", &jar("g", "owned", "1").build()),
        ("/usr/lib/b.jar", &jar("g", "free", "1").build()),
    ]);
    tree.link("/lib", "usr/lib");
    assert_eq!(
        lines(&inventory(&tree)),
        ["Alpine app 1 of app, -", "Maven g:free 1 of -, -"]
    );
}

#[test]
fn images_of_alpine_have_their_packages() {
    let store = |rest: &str| format!("/var/lib/containers/storage/{rest}");
    let blobs = "/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/";
    let layer = "a".repeat(64);
    let manifest = format!(
        r#"{{"schemaVersion": 2, "config": {{"digest": "sha256:ff"}}, "layers": [{{"mediaType":
        "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:{layer}"}}]}}"#
    );
    let packed = gzip(&tar(&[
        ("etc/os-release", 0o644, b"ID=wolfi\nVERSION_ID=20230201\n"),
        ("usr/lib/apk/db/installed", 0o644, INSTALLED),
        (
            "usr/lib/python3.11/site-packages/six-1.16.0.dist-info/METADATA",
            0o644,
            SIX,
        ),
        ("opt/a.jar", 0o644, &jar("g", "a", "1").build()),
    ]));
    let tree = Tree::with(&[
        (
            &store("overlay-images/images.json"),
            br#"[{"id": "i", "names": ["torn:1"], "layer": "a"}]"#,
        ),
        (&store("overlay-layers/layers.json"), br#"[{"id": "a"}]"#),
        (
            &store("overlay/a/diff/lib/apk/db/installed"),
            b"P:musl\nV:1\n\nP:no-version\n\n",
        ),
        (&format!("{blobs}01"), manifest.as_bytes()),
        (&format!("{blobs}{layer}"), &packed),
    ]);
    let inventory = inventory(&tree);
    assert_eq!(
        lines(&inventory),
        [
            "torn:1: Alpine musl 1 of musl, -",
            "sha256:01: Wolfi libssl3 3.1.4-r5 of openssl, x86_64",
            "sha256:01: Wolfi musl 1.2.4_git20230717-r4 of musl, x86_64",
            "sha256:01: Wolfi py3-six 1.16.0-r8 of py3-six, noarch",
            "sha256:01: Maven g:a 1 of -, -",
        ]
    );
    let said: Vec<String> = unread(&inventory)
        .into_iter()
        .filter(|line| !line.contains("/var/lib/dpkg/"))
        .collect();
    assert_eq!(
        said,
        [
            "/var/lib/containers/storage/overlay/a/diff/lib/apk/db/installed: 1 entry of apk's \
             database without a name or a version"
        ]
    );
}

#[test]
fn a_database_that_is_none_is_said() {
    for (files, wanted) in [
        (
            &[("/lib/apk/db/installed", &b"SQLite format 3\0"[..])][..],
            "/lib/apk/db/installed: 1 entry of apk's database without a name or a version",
        ),
        (
            &[("/usr/lib/apk/db/installed", b"\n\n")],
            "/usr/lib/apk/db/installed: apk's database names no package",
        ),
        (
            &[("/etc/apk/world", b"musl\n")],
            "/etc/apk/world: apk's database of packages is not there",
        ),
    ] {
        let inventory = inventory(&Tree::with(files));
        assert_eq!(lines(&inventory), [""; 0]);
        assert_eq!(unread(&inventory), [wanted]);
    }
}

#[test]
fn releases_are_named_as_advisories_name_them() {
    for (id, release, wanted) in [
        ("alpine", Some("3.20.3"), "Alpine:v3.20"),
        (
            "alpine",
            Some("3.21_alpha20240807"),
            "Alpine:v3.21_alpha20240807",
        ),
        ("alpine", Some("3"), "Alpine:v3"),
        ("alpine", None, "Alpine"),
        ("wolfi", Some("20230201"), "Wolfi"),
        ("postmarketos", Some("24.06"), "postmarketos:24.06"),
    ] {
        let ecosystem = Ecosystem::Apk {
            id: id.to_owned(),
            release: release.map(str::to_owned),
        };
        assert_eq!(ecosystem.to_string(), wanted);
    }
}

proptest! {
    #[test]
    fn anything_is_a_database(bytes: Vec<u8>, cut: prop::sample::Index) {
        parse_installed(&bytes);
        let cut = &INSTALLED[..cut.index(INSTALLED.len())];
        prop_assert!(parse_installed(cut).packages.len() <= 3);
        files(&bytes, &mut |path| assert_eq!(path[0], b'/'));
    }
}
