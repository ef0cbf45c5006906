//! `steadfast inventory`: what it says to people and to programs, and the program itself.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};

use host::components::sbom;
use jiff::Timestamp;
use model::component::{
    Component, Ecosystem, Evidence, EvidenceKind, Inventory, SourcePackage, Unread,
};
use model::facts::Release;
use model::value::{OtherRoot, Reason};
use model::{Fact, HostPath};
use serde_json::Value;
use steadfast::report::inventory::human::Listed;
use steadfast::report::inventory::{Taken, cyclonedx, human, json, place, purl, spdx};
use steadfast::style::Style;

fn component(
    ecosystem: Ecosystem,
    name: &str,
    version: &str,
    how: EvidenceKind,
    paths: &[&str],
) -> Component {
    let evidence = |path: &&str| {
        let (path, member) = match path.split_once("!/") {
            Some((path, member)) => (path, Some(member.to_owned())),
            None => (*path, None),
        };
        let path = HostPath::from_bytes(path.as_bytes()).expect("a path");
        Evidence { path, how, member }
    };
    Component {
        ecosystem,
        name: name.to_owned(),
        version: version.to_owned(),
        source: None,
        architecture: None,
        origin: None,
        evidence: paths.iter().map(evidence).collect(),
        image: None,
        packages: Vec::new(),
        instead_of: None,
    }
}

fn debian() -> Ecosystem {
    Ecosystem::Debian {
        release: Some("12".to_owned()),
    }
}

fn package(name: &str, version: &str, source: (&str, &str)) -> Component {
    let status = "/var/lib/dpkg/status";
    Component {
        source: Some(SourcePackage {
            name: source.0.to_owned(),
            version: source.1.to_owned(),
        }),
        architecture: Some("amd64".to_owned()),
        origin: Some("Debian".to_owned()),
        ..component(debian(), name, version, EvidenceKind::Database, &[status])
    }
}

fn sample() -> Taken {
    use EvidenceKind::{Embedded, Lockfile, Metadata};
    let jar = "/srv/site.war!/WEB-INF/lib/log4j-core-2.14.1.jar!/META-INF/MANIFEST.MF";
    let mut components = vec![
        package(
            "libssl3",
            "3.0.15-1~deb12u1+b1",
            ("openssl", "3.0.15-1~deb12u1"),
        ),
        package("bash", "5.2.15-2+b7", ("bash", "5.2.15-2")),
        component(
            Ecosystem::PyPi,
            "Flask",
            "2.0.1",
            Metadata,
            &[
                "/opt/a/lib/python3.11/site-packages/Flask-2.0.1.dist-info/METADATA",
                "/opt/b/lib/python3.11/site-packages/Flask-2.0.1.dist-info/METADATA",
            ],
        ),
        component(
            Ecosystem::Npm,
            "@babel/core",
            "7.0.0",
            Metadata,
            &["/srv/app/node_modules/@babel/core/package.json"],
        ),
        component(
            Ecosystem::Npm,
            "left-pad",
            "1.3.0",
            Lockfile,
            &["/srv/app/package-lock.json"],
        ),
        component(
            Ecosystem::Maven,
            "org.apache.logging.log4j:log4j-core",
            "2.14.1",
            Metadata,
            &[jar],
        ),
        component(
            Ecosystem::RubyGems,
            "rack",
            "2.2.6",
            Metadata,
            &["/var/lib/gems/3.1.0/specifications/rack-2.2.6.gemspec"],
        ),
        component(
            Ecosystem::CratesIo,
            "time",
            "0.1.43",
            Embedded,
            &["/usr/local/bin/tool"],
        ),
    ];
    components.extend((0..14).map(|number| {
        let name = format!("example.org/module{number:02}");
        component(
            Ecosystem::Go,
            &name,
            "v1.0.0",
            Embedded,
            &["/opt/\u{1b}[31m/agent"],
        )
    }));
    let mut inside = package("bash", "5.1-2", ("bash", "5.1-2"));
    inside.image = Some("docker.io/library/app:1".to_owned());
    components.push(inside);
    components.sort();
    let unread = |path: &str, why: Reason| Unread {
        path: HostPath::from_bytes(path.as_bytes()).expect("a path"),
        why,
    };
    Taken {
        inventory: Inventory {
            components,
            unread: vec![
                unread("/root", Reason::NeedsRoot),
                unread("/var/lib/private", Reason::NeedsRoot),
                unread(
                    "/srv/broken.jar",
                    Reason::Malformed {
                        why: "not a zip archive".to_owned(),
                    },
                ),
            ],
            other_roots: vec![
                OtherRoot {
                    path: HostPath::literal("/srv/chroot/trixie"),
                    release: Some("Debian GNU/Linux 13 (trixie)".to_owned()),
                },
                OtherRoot {
                    path: HostPath::literal("/var/lib/machines/build"),
                    release: None,
                },
            ],
        },
        hostname: "web-03".to_owned(),
        release: Fact::Known(Release {
            id: "debian".to_owned(),
            like: Vec::new(),
            version: Some("12".to_owned()),
            codename: Some("bookworm".to_owned()),
            pretty: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        }),
        root: None,
        generated: "2026-05-01T10:00:00.25Z"
            .parse::<Timestamp>()
            .expect("a time"),
    }
}

fn shown(listed: Listed) -> String {
    shown_of(&sample(), listed)
}

fn shown_of(taken: &Taken, listed: Listed) -> String {
    let mut out = Vec::new();
    human::write(&mut out, taken, listed, &Style::plain(80, true)).expect("a vector");
    String::from_utf8(out).expect("text")
}

#[test]
fn a_path_is_never_broken_and_a_long_list_is_cut() {
    let long = format!("/srv/{}node modules", "a-long-name/".repeat(9));
    let mut taken = sample();
    let component = |path: &str| {
        component(
            Ecosystem::Npm,
            "left-pad",
            "1.3.0",
            EvidenceKind::Embedded,
            &[path],
        )
    };
    taken.inventory.components = (0..30)
        .map(|at| component(&format!("/opt/{at:02}/x")))
        .chain([component(&long)])
        .collect();
    taken.root = Some(long.clone());
    taken.inventory.unread[0].path = HostPath::from_bytes(long.as_bytes()).expect("a path");
    let text = shown_of(&taken, Listed::OfInterest);
    let found = text.find("31 npm").expect("the counts");
    assert!(found < text.find("/opt/00/x").expect("the list"), "{text}");
    assert!(
        text.contains("\nand 15 more places with 15 components\n"),
        "{text}"
    );
    // The tree, what can't be read, and twice what to type next.
    assert_eq!(text.matches(&long).count(), 4, "{text}");
    let next = format!("steadfast inventory --root '{long}' --format cyclonedx --output sbom.json");
    assert!(text.contains(&next), "{text}");
    let text = shown_of(&taken, Listed::Everything);
    assert_eq!(text.matches(&long).count(), 3, "{text}");
    assert!(!text.contains("more places"), "{text}");
}

#[test]
fn people_read_what_did_not_come_from_the_distribution() {
    insta::assert_snapshot!(shown(Listed::OfInterest));
}

#[test]
fn people_can_have_everything() {
    insta::assert_snapshot!(shown(Listed::Everything));
}

#[test]
fn package_urls() {
    let of = |ecosystem, name: &str, version: &str| {
        purl::of(&component(
            ecosystem,
            name,
            version,
            EvidenceKind::Metadata,
            &["/x"],
        ))
    };
    for (ecosystem, name, version, wanted) in [
        (
            Ecosystem::Npm,
            "@babel/core",
            "7.0.0",
            "pkg:npm/%40babel/core@7.0.0",
        ),
        (
            Ecosystem::PyPi,
            "Typing_Extensions",
            "4.0",
            "pkg:pypi/typing-extensions@4.0",
        ),
        (Ecosystem::Maven, "org.a:b", "1", "pkg:maven/org.a/b@1"),
        (
            Ecosystem::Go,
            "golang.org/x/net",
            "v0.7.0",
            "pkg:golang/golang.org/x/net@v0.7.0",
        ),
        (
            Ecosystem::Go,
            "stdlib",
            "1.22.1",
            "pkg:golang/stdlib@1.22.1",
        ),
        (Ecosystem::RubyGems, "rack", "2.2.6", "pkg:gem/rack@2.2.6"),
        (
            Ecosystem::CratesIo,
            "time",
            "0.1.43",
            "pkg:cargo/time@0.1.43",
        ),
    ] {
        assert_eq!(
            of(ecosystem, name, version).as_deref(),
            Some(wanted),
            "{name}"
        );
    }
    assert_eq!(
        purl::of(&package("libssl3", "3.0.1+b1", ("openssl", "3.0.1"))).as_deref(),
        Some(
            "pkg:deb/debian/libssl3@3.0.1%2Bb1?arch=amd64&distro=debian-12&upstream=openssl%403.0.1"
        )
    );
    let ubuntu = Ecosystem::OtherDpkg {
        id: "ubuntu".to_owned(),
        release: Some("24.04".to_owned()),
    };
    assert_eq!(
        of(ubuntu, "bash", "5.2-1").as_deref(),
        Some("pkg:deb/ubuntu/bash@5.2-1?distro=ubuntu-24.04")
    );
    let alpine = Ecosystem::Apk {
        id: "alpine".to_owned(),
        release: Some("3.19.1".to_owned()),
    };
    assert_eq!(
        of(alpine, "musl", "1.2.4-r2").as_deref(),
        Some("pkg:apk/alpine/musl@1.2.4-r2?distro=alpine-3.19.1")
    );
}

#[test]
fn the_same_inventory_gives_the_same_documents() {
    let (one, mut other) = (sample(), sample());
    assert_eq!(cyclonedx::document(&one), cyclonedx::document(&other));
    assert_eq!(spdx::document(&one), spdx::document(&other));
    // Another time is another document about the same content.
    other.generated = Timestamp::UNIX_EPOCH;
    assert_eq!(one.uuid(), other.uuid());
    other.inventory.components.pop();
    assert_ne!(one.uuid(), other.uuid());
    let uuid = one.uuid();
    let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
    assert_eq!((lengths, &uuid[14..15]), (vec![8, 4, 4, 4, 12], "8"));
}

#[test]
fn cyclonedx_holds_everything() {
    let document = cyclonedx::document(&sample());
    assert_eq!(document["specVersion"], "1.6");
    assert_eq!(document["metadata"]["timestamp"], "2026-05-01T10:00:00.25Z");
    assert_eq!(document["compositions"][0]["aggregate"], "incomplete");
    let components = document["components"].as_array().expect("a list");
    assert_eq!(components.len(), 1 + sample().inventory.components.len());
    let references: BTreeSet<&str> = components
        .iter()
        .filter_map(|component| component["bom-ref"].as_str())
        .collect();
    assert_eq!(references.len(), components.len(), "references are unique");
    let log4j = components.iter().find(|it| it["name"] == "log4j-core");
    let log4j = log4j.expect("it is there");
    assert_eq!(log4j["group"], "org.apache.logging.log4j");
    assert_eq!(
        log4j["evidence"]["occurrences"][0]["location"],
        "/srv/site.war!/WEB-INF/lib/log4j-core-2.14.1.jar!/META-INF/MANIFEST.MF"
    );
    insta::assert_snapshot!(serde_json::to_string_pretty(&components[1]).expect("JSON"));
}

#[test]
fn spdx_holds_everything() {
    let document = spdx::document(&sample());
    assert_eq!(document["creationInfo"]["created"], "2026-05-01T10:00:00Z");
    let packages = document["packages"].as_array().expect("a list");
    let ids: BTreeSet<&str> = packages
        .iter()
        .filter_map(|it| it["SPDXID"].as_str())
        .collect();
    assert_eq!(ids.len(), 1 + sample().inventory.components.len());
    let related = document["relationships"].as_array().expect("a list");
    let related: BTreeSet<&str> = related
        .iter()
        .filter_map(|it| it["relatedSpdxElement"].as_str())
        .collect();
    let more = BTreeSet::from(["NOASSERTION"]);
    let told: BTreeSet<&str> = related.difference(&more).copied().collect();
    assert_eq!(ids, told, "each is said to be there");
    assert!(related.is_superset(&more), "and that it is not all");
    insta::assert_snapshot!(serde_json::to_string_pretty(&packages[1]).expect("JSON"));
}

#[test]
fn what_we_write_we_read() {
    let taken = sample();
    let path = HostPath::literal("/sbom.json");
    // The place of a component is told by the document, which is the evidence now.
    let bare = |inventory: Inventory| -> Vec<Component> {
        let components = inventory.components.into_iter();
        let mut bare: Vec<Component> = components
            .map(|component| Component {
                // A package URL has the registry's form of a name.
                name: match component.ecosystem {
                    Ecosystem::PyPi => component.name.to_lowercase(),
                    _ => component.name,
                },
                evidence: [].into(),
                ..component
            })
            .collect();
        bare.sort();
        bare
    };
    let read = |document: &Value| {
        let bytes = serde_json::to_vec(document).expect("JSON");
        sbom::parse(&bytes, &path).expect("our own document")
    };
    // Where each lies, as the document says it.
    let places = |inventory: &Inventory, is_ours: bool| {
        let of = |component: &Component| -> Vec<String> {
            let evidence = component.evidence.iter();
            let places = evidence.map(|evidence| match is_ours {
                true => place(evidence).trim_start_matches('/').to_owned(),
                false => evidence.member.clone().expect("a place"),
            });
            places.collect()
        };
        let components = inventory.components.iter();
        let places = components.map(|one| (one.name.to_lowercase(), one.image.clone(), of(one)));
        places.collect::<BTreeSet<_>>()
    };
    for document in [cyclonedx::document(&taken), spdx::document(&taken)] {
        let inventory = read(&document);
        assert_eq!(places(&inventory, false), places(&taken.inventory, true));
        let said: Vec<String> = inventory
            .unread
            .iter()
            .map(|it| it.why.to_string())
            .collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].contains("/srv/broken.jar: not a zip archive"),
            "{said:?}"
        );
        assert_eq!(bare(inventory), bare(taken.inventory.clone()));
    }
}

/// Our own form, as a value.
pub fn own_form() -> Value {
    let mut out = Vec::new();
    json::write(&mut out, &sample()).expect("a vector");
    serde_json::from_slice(&out).expect("JSON")
}

#[test]
fn no_form_holds_what_a_terminal_obeys() {
    let mut texts = vec![shown(Listed::Everything)];
    let forms = [json::write, cyclonedx::write, spdx::write];
    for write in forms {
        let mut out = Vec::new();
        write(&mut out, &sample()).expect("a vector");
        texts.push(String::from_utf8(out).expect("text"));
    }
    for text in texts {
        let hidden = |c: char| c != '\n' && model::escape::is_hidden(c);
        assert!(!text.contains(hidden), "{text}");
    }
}

fn tree(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&root);
    for (path, content) in [
        (
            "etc/os-release",
            "ID=debian\nVERSION_ID=12\nPRETTY_NAME=\"Debian 12\"\n",
        ),
        ("etc/hostname", "tree\n"),
        (
            "var/lib/dpkg/status",
            "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2\n",
        ),
        ("var/lib/dpkg/info/bash.list", "/.\n"),
        ("opt/six.dist-info/METADATA", "Name: six\nVersion: 1.16.0\n"),
    ] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("below the root")).expect("directories");
        std::fs::write(path, content).expect("a file");
    }
    root
}

fn run(root: &PathBuf, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .args(["inventory", "--root"])
        .arg(root)
        .args(more)
        .output()
        .expect("the program runs")
}

#[test]
fn a_tree_is_read_from_end_to_end() {
    let root = tree("inventory-whole");
    let output = run(&root, &["--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(value["format"], 1);
    assert_eq!(value["host"]["hostname"], "tree");
    let names: Vec<&str> = value["components"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|component| component["name"].as_str())
        .collect();
    assert_eq!(names, ["bash", "six"]);
    let file = root.join("sbom.json");
    let name = file.to_str().expect("text");
    let output = run(&root, &["--format", "cyclonedx", "--output", name]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let written = std::fs::read(&file).expect("it was written");
    let value: Value = serde_json::from_slice(&written).expect("JSON");
    assert_eq!(value["bomFormat"], "CycloneDX");
}

#[test]
fn what_could_not_be_read_is_an_exit_code() {
    let root = tree("inventory-broken");
    std::fs::write(root.join("opt/broken.jar"), "no").expect("a file");
    let output = run(&root, &[]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("unread    not a zip archive"), "{text}");
    assert!(text.contains("/opt/broken.jar"), "{text}");
    let nowhere = run(&root.join("nowhere"), &[]);
    assert_eq!(nowhere.status.code(), Some(2), "{nowhere:?}");
}
