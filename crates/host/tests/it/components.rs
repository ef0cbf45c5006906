//! Components of a host: parsers with cases as data, and whole trees.

use host::components::search::{self, Kind};
use host::components::{components, contents, sbom};
use host::parse::apt_lists::{Wanted, find_versions, parse_origin};
use host::parse::dpkg::parse_status;
use model::component::{Component, Ecosystem, EvidenceKind, Inventory};
use model::value::Reason;
use proptest::prelude::*;

use crate::component_files::{
    GO_VERSION, Layout, USUAL, Zip, auditable, elf, go_inline, go_pointers, jar, zlib,
};
use crate::observe_support::{Tree, as_nobody, is_root, path, skip};

/// What a file of this kind and name holds, as `name version`, and what of it could not be read.
fn read(kind: Kind, name: &str, bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let contents = contents(kind, &bytes.to_vec(), name.as_bytes());
    let found = contents.found.iter();
    (
        found
            .map(|found| format!("{} {}", found.name, found.version))
            .collect(),
        contents.unread.iter().map(ToString::to_string).collect(),
    )
}

#[track_caller]
fn check(kind: Kind, name: &str, bytes: &[u8], wanted: &[&str]) {
    let (found, unread) = read(kind, name, bytes);
    assert_eq!(found, wanted, "{name}");
    assert_eq!(unread, [""; 0], "{name}");
}

/// Nothing is found, and the reason says this.
#[track_caller]
fn refused(kind: Kind, name: &str, bytes: &[u8], why: &str) {
    let (found, unread) = read(kind, name, bytes);
    assert_eq!(found, [""; 0], "{name}");
    assert_eq!(unread.len(), 1, "{name}: {unread:?}");
    assert!(unread[0].contains(why), "{name}: {unread:?}");
}

#[test]
fn python_distributions() {
    let check = |text: &str, wanted: &[&str]| {
        check(Kind::PythonMetadata, "METADATA", text.as_bytes(), wanted);
    };
    check(
        "Metadata-Version: 2.1\r\nName: Flask\r\nVersion: 2.0.1\r\n\r\nName: other\r\n",
        &["Flask 2.0.1"],
    );
    check("name:  x\nVERSION: 1\nVersion: 2\n", &["x 1"]);
    check("Name: x\n\nVersion: 1\n", &[]);
    check("Name: \nVersion: 1\n", &[]);
    check("Name: a\u{1b}[2J\nVersion: 1\n", &[]);
    check("", &[]);
}

#[test]
fn ruby_gems() {
    for (name, wanted) in [
        ("rack-2.2.6.4.gemspec", "rack 2.2.6.4"),
        ("nokogiri-1.16.0-x86_64-linux.gemspec", "nokogiri 1.16.0"),
        ("aws-sdk-s3-1.100.0.gemspec", "aws-sdk-s3 1.100.0"),
        ("rails-7.0.0.rc1.gemspec", "rails 7.0.0.rc1"),
        ("net-http2-0.18.4.gemspec", "net-http2 0.18.4"),
        ("nokogiri-1.16.0-x86_64-linux.gem", "nokogiri 1.16.0"),
        ("rack.gemspec", ""),
        ("-1.gemspec", ""),
        ("rack-2.2.6", ""),
    ] {
        let wanted: Vec<&str> = Some(wanted)
            .filter(|it| !it.is_empty())
            .into_iter()
            .collect();
        check(Kind::Gem, name, b"", &wanted);
    }
}

#[test]
fn node_packages() {
    let check = |text: &str, wanted: &[&str]| {
        check(Kind::NodePackage, "package.json", text.as_bytes(), wanted);
    };
    check(
        r#"{"name": "@a/b", "version": "1.0.0", "x": [1]}"#,
        &["@a/b 1.0.0"],
    );
    check("\u{feff}{\"name\": \"a\", \"version\": \"1\"}", &["a 1"]);
    check(r#"{"type": "module"}"#, &[]);
    check(r#"{"name": 5, "version": {}}"#, &[]);
    refused(Kind::NodePackage, "package.json", b"{", "not the JSON");
}

#[test]
fn node_lockfiles() {
    let check = |text: &str, wanted: &[&str]| {
        check(Kind::NodeLock, "package-lock.json", text.as_bytes(), wanted);
    };
    check(
        r#"{"lockfileVersion": 3, "packages": {
            "": {"name": "app", "version": "1.0.0"},
            "node_modules/a": {"version": "1.2.3"},
            "node_modules/a/node_modules/@s/b": {"version": "2.0.0"},
            "node_modules/alias": {"name": "real", "version": "3.0.0"},
            "node_modules/tools": {"version": "1.0.0", "dev": true},
            "node_modules/mine": {"link": true, "resolved": "packages/mine"},
            "packages/mine": {"version": "0.0.1"}}}"#,
        &["a 1.2.3", "@s/b 2.0.0", "real 3.0.0"],
    );
    check(
        r#"{"lockfileVersion": 1, "dependencies": {
            "a": {"version": "1.0.0", "dependencies": {"b": {"version": "2.0.0"}}},
            "c": {"version": "file:../c"}, "d": {"version": "npm:e@4.0.0"},
            "f": {"version": "1.0.0", "dev": true}}}"#,
        &["a 1.0.0", "b 2.0.0", "e 4.0.0"],
    );
    check("{}", &[]);
    let deep = format!(
        "{}{}",
        r#"{"dependencies":{"a":"#.repeat(200),
        "}}".repeat(200)
    );
    refused(
        Kind::NodeLock,
        "package-lock.json",
        deep.as_bytes(),
        "recursion",
    );
}

#[test]
fn rust_programs() {
    let (program, _) = elf(USUAL, &[(".text", b"x"), (".dep-v0", &auditable())]);
    check(
        Kind::Program,
        "tool",
        &program,
        &["tool 0.3.0", "time 0.1.43"],
    );
    let (program, _) = elf(USUAL, &[(".dep-v0", &zlib(b"[]"))]);
    refused(Kind::Program, "tool", &program, "not cargo-auditable's");
    let bomb = zlib(&vec![b' '; 9 << 20]);
    let (program, _) = elf(USUAL, &[(".dep-v0", &bomb)]);
    refused(Kind::Program, "tool", &program, "more than the limit");
    check(Kind::Program, "script", b"#!/bin/sh\n", &[]);
    check(Kind::Program, "tiny", b"\x7fE", &[]);
}

#[test]
fn go_programs() {
    let wanted = [
        "stdlib 1.22.1",
        "golang.org/x/net v0.7.0",
        "example.org/new v1.2.0",
        "example.org/here v0.1.0",
        "example.org/tool v2.5.0",
    ];
    assert!(GO_VERSION.contains("1.22.1"));
    let (program, _) = elf(USUAL, &[(".text", b"x"), (".go.buildinfo", &go_inline())]);
    check(Kind::Program, "tool", &program, &wanted);
    for is_64 in [true, false] {
        for is_big_endian in [true, false] {
            let layout = Layout {
                is_64,
                is_big_endian,
            };
            check(Kind::Program, "tool", &go_pointers(layout), &wanted);
        }
    }
    // The table of functions says of which packages there is code.
    let names = b"\0golang.org/x/net/html.(*Tokenizer).Next\0net/http.Get\0example.org/tool/z.F\0main.main\0";
    for (magic, width, first) in [
        (0xffff_fff1_u32, 8, 3),
        (0xffff_fffa, 8, 2),
        (0xffff_fff0, 4, 3),
    ] {
        let mut table = magic.to_le_bytes().to_vec();
        table.extend([0, 0, 1, width as u8]);
        let header = 8 + 8 * width;
        let mut words = [0; 8];
        words[first] = header;
        words[first + 1] = header + names.len();
        for word in words {
            table.extend(&(word as u64).to_le_bytes()[..width]);
        }
        table.extend(names);
        let sections = [(".go.buildinfo", &*go_inline()), (".gopclntab", &*table)];
        let (program, _) = elf(USUAL, &sections);
        let found = contents(Kind::Program, &program, b"tool").found;
        let told: Vec<(&str, String)> = found
            .iter()
            .map(|one| (one.name.as_str(), one.packages.join(" ")))
            .collect();
        let told: Vec<(&str, &str)> = told
            .iter()
            .map(|(name, all)| (*name, all.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("stdlib", "net/http"),
                ("golang.org/x/net", "golang.org/x/net/html"),
                ("example.org/new", ""),
                ("example.org/here", ""),
                ("example.org/tool", ""),
            ]
        );
        // Cut off, of another version or of nonsense, it tells nothing.
        for table in [&table[..20], &table[1..], &[0xff; 100][..]] {
            let sections = [(".go.buildinfo", &*go_inline()), (".gopclntab", table)];
            let (program, _) = elf(USUAL, &sections);
            let found = contents(Kind::Program, &program, b"tool").found;
            assert!(found.iter().all(|one| one.packages.is_empty()));
        }
    }
    // Without sections, the data is looked through.
    let (program, _) = elf(USUAL, &[(".go.buildinfa", &go_inline())]);
    check(Kind::Program, "tool", &program, &wanted);
    let cut = &go_inline()[..60];
    let (program, _) = elf(USUAL, &[(".go.buildinfo", cut)]);
    refused(Kind::Program, "tool", &program, "cut off");
}

/// Whose an archive may be that does not say its group: the packages of its classes.
#[test]
fn jars_without_a_group() {
    let packages = |name: &str, manifest: &str, members: &[&str]| {
        let mut zip = Zip::default().stored("META-INF/MANIFEST.MF", manifest.as_bytes());
        for member in members {
            zip = zip.stored(member, b"");
        }
        let found = contents(Kind::Java, &zip.build(), name.as_bytes()).found;
        let told = found.into_iter().map(|one| (one.name, one.packages));
        told.collect::<Vec<_>>()
    };
    let spring = "Implementation-Title: spring-beans\nAutomatic-Module-Name: spring.beans\n\
        Implementation-Version: 5.3.17\n";
    let classes = [
        "org/springframework/beans/BeanUtils.class",
        "org/springframework/beans/factory/BeanFactory.class",
        "META-INF/versions/9/com/example/X.class",
        "org/springframework/README",
        "module-info.class",
        "com/example/A.class",
    ];
    assert_eq!(
        packages("spring-beans-5.3.17.jar", spring, &classes),
        [(
            "spring-beans".to_owned(),
            ["spring.beans", "org.springframework.beans", "com.example"]
                .map(str::to_owned)
                .to_vec()
        )]
    );
    // What a bundle is called is no group, where it does not end with the artifact.
    let bundle = "Bundle-SymbolicName: org.apache.commons.lang3\n";
    assert_eq!(
        packages("commons-lang3-3.9.jar", bundle, &[]),
        [(
            "commons-lang3".to_owned(),
            vec!["org.apache.commons.lang3".to_owned()]
        )]
    );
    // Maven has said it.
    let own = jar("g", "a", "1").stored("org/a/A.class", b"").build();
    assert_eq!(
        contents(Kind::Java, &own, b"a.jar").found[0].packages,
        [""; 0]
    );
    // Many packages: the largest.
    let many: Vec<String> = (0..40).map(|n| format!("a/b/c{n}/X.class")).collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    many.push("a/b/c30/Y.class");
    let found = packages("x-1.jar", "", &many);
    assert_eq!((found[0].1.len(), &*found[0].1[0]), (8, "a.b.c30"));
}

#[test]
fn jars() {
    let log4j = jar("org.apache.logging.log4j", "log4j-core", "2.14.1");
    check(
        Kind::Java,
        "anything.jar",
        &log4j.build(),
        &["org.apache.logging.log4j:log4j-core 2.14.1"],
    );
    let manifest = |text: &str| Zip::default().stored("META-INF/MANIFEST.MF", text.as_bytes());
    for (name, text, wanted) in [
        ("commons-io-2.11.0.jar", "", &["commons-io 2.11.0"][..]),
        (
            "spring-core-5.3.9.jar",
            "Implementation-Version: 5.3.8\nImplementation-Vendor-Id: org.springframework\n",
            &["org.springframework:spring-core 5.3.9"],
        ),
        (
            "lib.jar",
            "Implementation-Title: my-lib\r\nImplementation-Version: 1.\r\n 5\r\n",
            &["my-lib 1.5"],
        ),
        (
            "guava.jar",
            "Bundle-SymbolicName: com.google.guava;x:=y\nBundle-Version: 30.1.1.jre\n",
            &["com.google:guava 30.1.1.jre"],
        ),
        (
            "none.jar",
            "Implementation-Version: ${project.version}\n",
            &[],
        ),
        ("none.jar", "\nImplementation-Version: 1\n", &[]),
        (
            "xalan.jar",
            "Manifest-Version: 1.0\n\nName: org/apache/xalan/\n\
             Implementation-Title: org.apache.xalan\nImplementation-Version: 2.7.2\n",
            &["org.apache.xalan 2.7.2"],
        ),
    ] {
        check(Kind::Java, name, &manifest(text).build(), wanted);
    }
    // Others were put into it: they are there, and so is the jar itself.
    let mut shaded = Zip::default();
    for artifact in ["guava", "gson"] {
        let pom = format!("groupId=com.google\nartifactId={artifact}\nversion=1.0\n");
        let name = format!("META-INF/maven/com.google/{artifact}/pom.properties");
        shaded = shaded.packed(&name, pom.as_bytes());
    }
    check(
        Kind::Java,
        "all-3.0.jar",
        &shaded.build(),
        &["com.google:guava 1.0", "com.google:gson 1.0", "all 3.0"],
    );
    // A script before the archive starts it.
    let started = [
        &b"#!/bin/sh\nexec java -jar \"$0\"\n"[..],
        &jar("g", "a", "1").build(),
    ]
    .concat();
    check(Kind::Java, "a.jar", &started, &["g:a 1"]);
}

/// An archive with code of which nothing says what it is counts as not looked at; one without code
/// does not, and neither does an application for itself.
#[test]
fn jars_that_say_nothing() {
    let unread = |name: &str, manifest: &str, members: &[&str]| {
        let mut zip = Zip::default().stored("META-INF/MANIFEST.MF", manifest.as_bytes());
        for member in members {
            zip = zip.stored(member, b"");
        }
        read(Kind::Java, name, &zip.build())
    };
    let class = "org/apache/logging/log4j/core/lookup/JndiLookup.class";
    let says = |(found, unread): (Vec<String>, Vec<String>)| {
        assert_eq!(found, [""; 0]);
        unread
    };
    for (name, manifest, members) in [
        ("log4j-core.jar", "", &[class][..]),
        (
            "log4j-core.jar",
            "Implementation-Title: Apache Log4j Core\n",
            &[class],
        ),
        ("a.jar", "", &["META-INF/versions/9/a/A.class"]),
    ] {
        let unread = says(unread(name, manifest, members));
        assert_eq!(unread.len(), 1, "{name}");
        assert!(unread[0].contains("nothing says what it is"), "{unread:?}");
    }
    for (name, manifest, members) in [
        (
            "pathing.jar",
            "Class-Path: lib/a-1.jar lib/b-2.jar\n",
            &[][..],
        ),
        ("a-sources.jar", "", &["a/A.java"]),
        ("a-javadoc.jar", "", &["a/A.html"]),
        ("messages.jar", "", &["a/messages_de.properties"]),
        ("a.jar", "", &["module-info.class"]),
        (
            "shop.war",
            "",
            &["WEB-INF/classes/a/A.class", "WEB-INF/web.xml"],
        ),
        (
            "app.jar",
            "",
            &[
                "org/springframework/boot/loader/Launcher.class",
                "BOOT-INF/classes/a/A.class",
            ],
        ),
    ] {
        assert_eq!(says(unread(name, manifest, members)), [""; 0], "{name}");
    }
    // Those within others have their way in it.
    let inner = Zip::default().stored(class, b"").build();
    let outer = Zip::default()
        .stored("WEB-INF/lib/log4j-core.jar", &inner)
        .build();
    let unread = says(read(Kind::Java, "shop.war", &outer));
    assert_eq!(unread.len(), 1);
    assert!(
        unread[0].starts_with("`WEB-INF/lib/log4j-core.jar`: "),
        "{unread:?}"
    );
    // Whoever lists what was put into it has said enough.
    let shaded = jar("g", "a", "1").stored(class, b"").build();
    assert_eq!(read(Kind::Java, "all.jar", &shaded).1, [""; 0]);
}

#[test]
fn jars_within_jars() {
    let inner = jar("g", "inner", "1").build();
    let war = Zip::default()
        .stored("WEB-INF/lib/inner.jar", &inner)
        .packed("WEB-INF/lib/packed.jar", &inner)
        .build();
    let ear = Zip::default().packed("site.war", &war).build();
    let found = contents(Kind::Java, &ear, b"app.ear").found;
    let members: Vec<_> = found
        .iter()
        .map(|it| it.member.clone().unwrap_or_default())
        .collect();
    let pom = "META-INF/maven/g/inner/pom.properties";
    assert_eq!(
        members,
        [
            format!("site.war!/WEB-INF/lib/inner.jar!/{pom}"),
            format!("site.war!/WEB-INF/lib/packed.jar!/{pom}")
        ]
    );
    let mut deep = inner;
    for _ in 0..4 {
        deep = Zip::default().packed("x.jar", &deep).build();
    }
    refused(Kind::Java, "deep.jar", &deep, "within each other");
}

#[test]
fn hostile_archives() {
    let pom = "META-INF/maven/g/a/pom.properties";
    refused(Kind::Java, "a.jar", b"", "no central directory");
    refused(Kind::Java, "a.jar", b"PK\x05\x06", "no central directory");
    let bomb = Zip::default().packed("x.jar", &vec![0; 64 << 20]).build();
    refused(Kind::Java, "bomb.jar", &bomb, "a zip bomb");
    // It says that it is small.
    let packed = miniz_oxide::deflate::compress_to_vec(&vec![0; 64 << 20], 6);
    let liar = Zip::default().member(pom, 8, 0, &packed, 100).build();
    refused(Kind::Java, "liar.jar", &liar, "more than the limit");
    let empty = Zip::default().member(pom, 8, 0, &packed, 0).build();
    refused(Kind::Java, "empty.jar", &empty, "claims to be empty");
    let huge = Zip::default().member(pom, 8, 0, b"x", 1 << 30).build();
    refused(Kind::Java, "huge.jar", &huge, "over the limit");
    let secret = Zip::default().member(pom, 0, 1, b"x", 1).build();
    refused(Kind::Java, "secret.jar", &secret, "encrypted");
    let other = Zip::default().member(pom, 14, 0, b"x", 1).build();
    refused(Kind::Java, "other.jar", &other, "a method that is not read");
    // A name is only a name.
    let climbing = Zip::default()
        .stored("../../etc/x.jar", &jar("g", "a", "1").build())
        .build();
    check(Kind::Java, "climbing.jar", &climbing, &["g:a 1"]);
    let mut cut = jar("g", "a", "1").build();
    cut.drain(10..40);
    let (_, unread) = read(Kind::Java, "cut.jar", &cut);
    assert!(!unread.is_empty());
}

#[test]
fn names_tell_what_may_speak() {
    for (directory, name, wanted) in [
        ("/x/y-1.dist-info", "METADATA", Some(Kind::PythonMetadata)),
        ("/x/y", "METADATA", None),
        ("/x/y.egg-info", "PKG-INFO", Some(Kind::PythonMetadata)),
        ("/x", "y.egg-info", Some(Kind::PythonMetadata)),
        ("/srv/app", "package.json", Some(Kind::NodePackage)),
        (
            "/srv/node_modules/a",
            "package.json",
            Some(Kind::NodePackage),
        ),
        (
            "/srv/node_modules/@s/a",
            "package.json",
            Some(Kind::NodePackage),
        ),
        ("/srv/node_modules/a/test/b", "package.json", None),
        (
            "/srv/node_modules/a/node_modules/b",
            "package.json",
            Some(Kind::NodePackage),
        ),
        ("/x", "y-1.0-py3.9.egg", Some(Kind::PythonArchive)),
        ("/x", "y-1.0-py3-none-any.whl", Some(Kind::PythonArchive)),
        ("/x", ".egg", None),
        ("/x/_vendor", "vendor.txt", Some(Kind::PythonVendored)),
        ("/x/vendor", "vendor.txt", None),
        ("/x/vendor", "modules.txt", Some(Kind::GoVendored)),
        ("/x", "modules.txt", None),
        (
            "/go/pkg/mod/example.org/a@v1.0.0/vendor",
            "modules.txt",
            None,
        ),
        (
            "/x/vendor/a",
            ".cargo-checksum.json",
            Some(Kind::CargoVendored),
        ),
        ("/x/vendor/a", "Cargo.toml", None),
        ("/x/vendor/cache", "a-1.gem", Some(Kind::Gem)),
        ("/var/lib/gems/3.1.0/cache", "a-1.gem", None),
        (
            "/x/vendor/bundle/ruby/3.1.0/specifications",
            "a-1.gemspec",
            Some(Kind::Gem),
        ),
        ("/g/specifications", "a-1.gemspec", Some(Kind::Gem)),
        ("/g/specifications/default", "a-1.gemspec", Some(Kind::Gem)),
        ("/g/gems/a-1", "a.gemspec", None),
        ("/srv", "A.JAR", Some(Kind::Java)),
        ("/srv", ".jar", None),
        ("/srv", "jar", None),
    ] {
        let got = search::kind(directory.as_bytes(), name.as_bytes());
        assert_eq!(got, wanted, "{directory}/{name}");
    }
}

const STATUS: &[u8] = b"Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.21\n\n\
Package: libssl3\nStatus: install ok half-configured\nArchitecture: amd64\nSource: openssl (3.0.1)\nVersion: 3.0.1+b1\n\n\
Package: libssl3\nStatus: install ok installed\nArchitecture: i386\nSource: openssl\nVersion: 3.0.2\n\n\
Package: telnetd\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 0.17\n\n\
Package: python3-six\nStatus: install ok installed\nArchitecture: all\nSource: six\nVersion: 1.16.0-4\n";

fn inventory(tree: &Tree) -> Inventory {
    components(&tree.host(), &|_| {})
}

fn lines(inventory: &Inventory) -> Vec<String> {
    let line = |component: &Component| {
        let places: Vec<String> = component
            .evidence
            .iter()
            .map(|evidence| evidence.path.to_string())
            .collect();
        format!(
            "{} {} {} {}",
            component.ecosystem,
            component.name,
            component.version,
            places.join(" ")
        )
    };
    inventory.components.iter().map(line).collect()
}

#[test]
fn packages_come_with_source_and_origin() {
    let tree = Tree::with(&[
        ("/etc/os-release", b"ID=debian\nVERSION_ID=\"12\"\n"),
        ("/var/lib/dpkg/status", STATUS),
        (
            "/var/lib/apt/lists/deb.example_debian_dists_bookworm_InRelease",
            b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nLabel: Debian\nSHA256:\n x 1 y\nOrigin: Evil\n",
        ),
        (
            "/var/lib/apt/lists/deb.example_debian_dists_bookworm_main_binary-amd64_Packages",
            b"Package: dpkg\nVersion: 1.20\nArchitecture: amd64\n\nPackage: dpkg\nVersion: 1.21\nArchitecture: amd64\n",
        ),
        (
            "/var/lib/apt/lists/sec.example_dists_bookworm-security_Release",
            b"Origin: Debian\nLabel: Debian-Security\n",
        ),
        (
            "/var/lib/apt/lists/sec.example_dists_bookworm-security_main_binary-i386_Packages",
            b"Package: libssl3\nSource: openssl\nArchitecture: i386\nVersion: 3.0.2\n\n",
        ),
    ]);
    let inventory = inventory(&tree);
    let told: Vec<String> = inventory
        .components
        .iter()
        .map(|it| {
            let source = it.source.clone().expect("every package has a source");
            format!(
                "{} {} {} of {} {} from {}",
                it.name,
                it.version,
                it.architecture.as_deref().unwrap_or_default(),
                source.name,
                source.version,
                it.origin.as_deref().unwrap_or("nobody knows"),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "dpkg 1.21 amd64 of dpkg 1.21 from Debian",
            "libssl3 3.0.1+b1 amd64 of openssl 3.0.1 from nobody knows",
            "libssl3 3.0.2 i386 of openssl 3.0.2 from Debian-Security",
            "python3-six 1.16.0-4 all of six 1.16.0-4 from nobody knows",
        ]
    );
    let debian = Ecosystem::Debian {
        release: Some("12".to_owned()),
    };
    assert!(inventory.components.iter().all(|it| it.ecosystem == debian));
    assert_eq!(inventory.unread, []);
    tree.file("/etc/os-release", b"ID=ubuntu\nVERSION_ID=\"24.04\"\n");
    let first = lines(&self::inventory(&tree)).remove(0);
    assert_eq!(first, "ubuntu:24.04 dpkg 1.21 /var/lib/dpkg/status");
}

/// An unpacked image without a package manager has a control file for each package, without a state.
#[test]
fn a_tree_of_a_distroless_image_has_its_packages() {
    let tree = Tree::with(&[
        ("/etc/os-release", b"ID=debian\nVERSION_ID=\"12\"\n"),
        (
            "/var/lib/dpkg/status.d/base",
            b"Package: base-files\nArchitecture: amd64\nVersion: 12.4\n",
        ),
        (
            "/var/lib/dpkg/status.d/libssl3",
            b"Package: libssl3\nArchitecture: amd64\nSource: openssl\nVersion: 3.0.1",
        ),
        (
            "/var/lib/dpkg/status.d/libssl3.md5sums",
            b"abc  usr/lib/x\n",
        ),
    ]);
    let inventory = inventory(&tree);
    assert_eq!(inventory.unread, []);
    let told: Vec<String> = inventory
        .components
        .iter()
        .map(|one| format!("{} {} {}", one.ecosystem, one.name, one.version))
        .collect();
    assert_eq!(
        told,
        ["Debian:12 base-files 12.4", "Debian:12 libssl3 3.0.1"]
    );
    // Where there are none, nothing is claimed.
    let empty = Tree::with(&[("/var/lib/dpkg/status.d/x.md5sums", b"")]);
    let unread = self::inventory(&empty).unread;
    assert!(
        unread[0]
            .why
            .to_string()
            .contains("no database of packages"),
        "{unread:?}"
    );
}

#[test]
fn what_a_package_brought_is_the_packages() {
    let metadata = b"Name: six\nVersion: 1.16.0\n";
    let own = "/usr/lib/python3/dist-packages/six-1.16.0.egg-info/PKG-INFO";
    let tree = Tree::with(&[
        ("/var/lib/dpkg/status", STATUS),
        (
            "/var/lib/dpkg/info/python3-six.list",
            format!("/.\n{own}\n/lib/own/a.jar\n").as_bytes(),
        ),
        (own, metadata),
        ("/usr/lib/own/a.jar", b"not even a jar"),
        ("/opt/venv/six-1.16.0.dist-info/METADATA", metadata),
        ("/opt/other/six-1.16.0.dist-info/METADATA", metadata),
        ("/opt/links/target", b""),
    ]);
    // The merge of /usr is seen through; a link is not followed.
    tree.link("/lib", "usr/lib");
    tree.link("/opt/links/six.dist-info", "/opt/venv/six-1.16.0.dist-info");
    let inventory = inventory(&tree);
    let third: Vec<String> = lines(&inventory)
        .into_iter()
        .filter(|line| !line.starts_with("Debian"))
        .collect();
    assert_eq!(
        third,
        ["PyPI six 1.16.0 /opt/other/six-1.16.0.dist-info/METADATA \
          /opt/venv/six-1.16.0.dist-info/METADATA"]
    );
    assert_eq!(inventory.unread, []);
}

#[test]
fn packages_of_others_are_looked_into() {
    let tree = Tree::with(&[
        ("/etc/os-release", b"ID=debian\nVERSION_ID=12\n"),
        (
            "/var/lib/dpkg/status",
            b"Package: agent\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n\
              Package: local\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n",
        ),
        ("/var/lib/dpkg/info/agent.list", b"/opt/agent/a.jar\n"),
        ("/var/lib/dpkg/info/local.list", b"/opt/local/a.jar\n"),
        (
            "/var/lib/apt/lists/x_InRelease",
            b"Origin: Vendor\nLabel: Vendor\n",
        ),
        (
            "/var/lib/apt/lists/x_main_binary-amd64_Packages",
            b"Package: agent\nVersion: 1\nArchitecture: amd64\n",
        ),
        ("/opt/agent/a.jar", &jar("g", "vendored", "1").build()),
        ("/opt/local/a.jar", &jar("g", "unknown", "1").build()),
    ]);
    let names: Vec<String> = inventory(&tree)
        .components
        .into_iter()
        .map(|component| component.name)
        .collect();
    assert_eq!(names, ["agent", "local", "g:vendored"]);
}

#[test]
fn a_tree_without_packages_is_looked_through() {
    let (program, _) = elf(USUAL, &[(".dep-v0", &auditable())]);
    let tree = Tree::with(&[
        ("/opt/bin/tool", &program),
        ("/opt/bin/not-executable", &program),
        ("/srv/\n\x1b[31m/a.jar", &jar("g", "a", "1").build()),
        ("/srv/broken.war", b"PK"),
    ]);
    tree.mode("/opt/bin/tool", 0o755);
    let inventory = inventory(&tree);
    assert_eq!(
        lines(&inventory),
        [
            "crates.io time 0.1.43 /opt/bin/tool",
            "crates.io tool 0.3.0 /opt/bin/tool",
            "Maven g:a 1 /srv/\\n\\u{1b}[31m/a.jar",
        ]
    );
    let maven = &inventory.components[2].evidence[0];
    assert_eq!(maven.how, EvidenceKind::Metadata);
    assert_eq!(
        maven.member.as_deref(),
        Some("META-INF/maven/g/a/pom.properties")
    );
    let unread: Vec<String> = inventory
        .unread
        .iter()
        .map(|unread| format!("{}: {}", unread.path, unread.why))
        .collect();
    assert_eq!(
        unread,
        [
            "/srv/broken.war: not a zip archive: it has no central directory",
            "/var/lib/dpkg/status: there is no database of packages here, neither dpkg's nor \
             apk's",
        ]
    );
}

#[test]
fn what_needs_root_is_said() {
    if !is_root() {
        return skip("only root can make files that others can't read");
    }
    let tree = Tree::with(&[
        ("/var/lib/dpkg/status", STATUS),
        ("/var/lib/dpkg/info/dpkg.list", b"/.\n"),
        ("/srv/closed/a.jar", b""),
        ("/srv/b.jar", b"x"),
    ]);
    tree.mode("/srv/closed", 0o700);
    tree.mode("/srv/b.jar", 0o600);
    let inventory = as_nobody(|| inventory(&tree));
    let unread: Vec<_> = inventory
        .unread
        .iter()
        .map(|unread| (unread.path.to_string(), unread.why.clone()))
        .collect();
    assert_eq!(
        unread,
        [
            ("/srv/b.jar".to_owned(), Reason::NeedsRoot),
            ("/srv/closed".to_owned(), Reason::NeedsRoot)
        ]
    );
}

#[test]
fn other_package_managers_are_said_not_to_be_read() {
    let tree = Tree::with(&[("/var/lib/rpm/rpmdb.sqlite", b"SQLite")]);
    let inventory = inventory(&tree);
    assert_eq!(inventory.components, []);
    assert_eq!(inventory.unread.len(), 1);
    assert!(
        inventory.unread[0]
            .why
            .to_string()
            .contains("packages of rpm")
    );
}

#[test]
fn origins_are_read_from_release_files() {
    for (text, wanted) in [
        ("Origin: Debian\nLabel: Debian\n", Some("Debian")),
        (
            "Label: Debian-Security\nOrigin: Debian\n",
            Some("Debian-Security"),
        ),
        ("Origin: Docker\nLabel: Docker CE\n", Some("Docker CE")),
        ("Origin: LP-PPA-x\nLabel: My things\n", Some("LP-PPA-x")),
        ("Suite: stable\n", None),
        ("Origin:\n", None),
    ] {
        assert_eq!(parse_origin(text.as_bytes()).as_deref(), wanted, "{text:?}");
    }
}

/// What a list says of `b`, read in two pieces.
fn listed_of_b(list: &[u8], cut: usize) -> Vec<(String, String)> {
    let wanted = Wanted::from([(&b"b"[..], vec![7])]);
    let mut seen = Vec::new();
    let mut each = |place: usize, listed: &host::parse::apt_lists::Listed<'_>| {
        assert_eq!(place, 7);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        seen.push((text(listed.version), text(listed.architecture)));
    };
    let done = find_versions(&list[..cut], false, &wanted, &mut each);
    find_versions(&list[done..], true, &wanted, &mut each);
    seen
}

#[test]
fn lists_may_be_cut_anywhere() {
    let list =
        b"Package: a\nVersion: 1\n\nPackage: b\nArchitecture: all\nVersion: 2\nX: Package: b\n\n\
        Package: bb\nVersion: 3\n\nPackage: b\nVersion: 4";
    let whole = listed_of_b(list, list.len());
    assert_eq!(whole.len(), 2);
    for cut in 0..list.len() {
        assert_eq!(listed_of_b(list, cut), whole, "cut at {cut}");
    }
}

/// As `ecosystem name version of SOURCE VERSION`, and what could not be taken.
fn told_by(document: &str) -> (Vec<String>, Vec<String>) {
    let inventory = sbom::parse(document.as_bytes(), &path("/sbom.json")).expect("a document");
    let line = |component: &Component| {
        let source = match &component.source {
            Some(source) => format!(" of {} {}", source.name, source.version),
            None => String::new(),
        };
        let (ecosystem, name) = (&component.ecosystem, &component.name);
        format!("{ecosystem} {name} {}{source}", component.version)
    };
    (
        inventory.components.iter().map(line).collect(),
        inventory
            .unread
            .iter()
            .map(|unread| unread.why.to_string())
            .collect(),
    )
}

#[test]
fn inventories_of_others_are_read() {
    let (told, unread) = told_by(
        r#"{"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [
        {"type": "operating-system", "name": "debian", "version": "12.5"},
        {"type": "library", "name": "libssl3", "purl":
            "pkg:deb/debian/libssl3@3.0.1-2%2Bb1?arch=amd64&distro=debian-12&upstream=openssl%403.0.1-2"},
        {"type": "library", "name": "login", "purl":
            "pkg:deb/debian/login@4.13?arch=amd64&distro=debian-12.5&epoch=1",
            "properties": [{"name": "aquasecurity:trivy:SrcName", "value": "shadow"},
                {"name": "aquasecurity:trivy:SrcVersion", "value": "4.13"},
                {"name": "aquasecurity:trivy:SrcRelease", "value": "1"},
                {"name": "aquasecurity:trivy:SrcEpoch", "value": "1"}]},
        {"type": "application", "name": "x", "components": [
            {"type": "library", "name": "core", "purl": "pkg:npm/%40babel/core@7.0.0"}]},
        {"type": "library", "name": "musl", "purl":
            "pkg:apk/alpine/musl@1.2-r1?arch=x86_64&distro=alpine-3.19.1&upstream=musl"},
        {"type": "library", "name": "Newtonsoft.Json", "purl": "pkg:nuget/Newtonsoft.Json@13.0.1"},
        {"type": "library", "name": "stdlib", "purl": "pkg:golang/stdlib@v1.22.1"}]}"#,
    );
    assert_eq!(
        told,
        [
            "Debian:12 libssl3 3.0.1-2+b1 of openssl 3.0.1-2",
            "Debian:12 login 1:4.13 of shadow 1:4.13-1",
            "Alpine:v3.19 musl 1.2-r1 of musl 1.2-r1",
            "Go stdlib 1.22.1",
            "npm @babel/core 7.0.0",
        ]
    );
    assert_eq!(unread.len(), 2, "{unread:?}");
    assert!(
        unread[0].starts_with("1 component without a package URL"),
        "{unread:?}"
    );
    assert!(unread[1].contains("`nuget`"), "{unread:?}");
    // Without its source, a package of Debian is built from nobody knows what.
    let (told, _) = told_by(
        r#"{"bomFormat": "CycloneDX", "components": [{"type": "library", "name": "libc6", "purl":
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?distro=debian-12"}]}"#,
    );
    assert_eq!(told, ["Debian:12 libc6 2.36-9+deb12u1"]);
    let (told, unread) = told_by(
        r#"{"spdxVersion": "SPDX-2.3", "packages": [
        {"name": "root", "primaryPackagePurpose": "OPERATING-SYSTEM"},
        {"name": "x", "externalRefs": [{"referenceType": "cpe23Type", "referenceLocator": "cpe"},
            {"referenceType": "purl", "referenceLocator": "pkg:maven/org.a/b@1"}]}]}"#,
    );
    assert_eq!((told, unread), (vec!["Maven org.a:b 1".to_owned()], vec![]));
    for text in ["", "[]", "{}", r#"{"spdxVersion": "SPDX-3.0"}"#] {
        assert!(sbom::parse(text.as_bytes(), &path("/x")).is_err(), "{text}");
    }
}

/// What a document says is never passed over: what it is about, each package URL, and where what it
/// says is no package, or two.
#[test]
fn odd_inventories_of_others_hide_nothing() {
    let cyclonedx = |rest: &str| told_by(&format!(r#"{{"bomFormat": "CycloneDX", {rest}}}"#));
    let spdx = |rest: &str| told_by(&format!(r#"{{"spdxVersion": "SPDX-2.3", {rest}}}"#));
    let check = |(mut told, unread): (Vec<String>, Vec<String>), wanted: &[&str], why: &[&str]| {
        told.sort();
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        assert_eq!(told, wanted, "{unread:?}");
        assert_eq!(unread.len(), why.len(), "{unread:?}");
        for (unread, why) in unread.iter().zip(why) {
            assert!(unread.contains(why), "{unread:?}: {why}");
        }
    };
    let a = r#"{"type": "library", "name": "a", "purl": "pkg:npm/a@1.0.0"}"#;
    let about = |component: &str| {
        cyclonedx(&format!(
            r#""metadata": {{"component": {{{component}}}}}, "components": [{a}]"#
        ))
    };
    // What it is about counts where it is a package.
    check(
        about(r#""type": "application", "purl": "pkg:pypi/django@3.2.0""#),
        &["npm a 1.0.0", "PyPI django 3.2.0"],
        &[],
    );
    check(
        about(r#""type": "file", "purl": "pkg:pypi/django@3.2.0""#),
        &["npm a 1.0.0", "PyPI django 3.2.0"],
        &[],
    );
    check(
        about(r#""components": [{"purl": "pkg:cargo/b@1.0.0"}]"#),
        &["npm a 1.0.0", "crates.io b 1.0.0"],
        &[],
    );
    for none in [
        r#""type": "application", "name": "shop", "version": "1""#,
        r#""type": "container", "purl": "pkg:oci/shop@sha256%3Aabc""#,
        r#""type": "operating-system", "name": "debian""#,
    ] {
        check(about(none), &["npm a 1.0.0"], &[]);
    }
    check(
        about(r#""purl": "pkg:generic/x@1""#),
        &["npm a 1.0.0"],
        &["`generic`"],
    );
    check(
        about(r#""purl": "pkg:pypi/django""#),
        &["npm a 1.0.0"],
        &["`pypi`"],
    );
    check(
        about(r#""purl": "django""#),
        &["npm a 1.0.0"],
        &["without a package URL"],
    );
    // Two versions of one component.
    let versions = |version: &str, purl: &str| {
        cyclonedx(&format!(
            r#""components": [{{"version": "{version}", "purl": "pkg:{purl}"}}]"#
        ))
    };
    check(
        versions("3.2.0", "pypi/django@99"),
        &[],
        &["another version than the package URL has (django 99: 3.2.0)"],
    );
    check(
        versions("1:2", "deb/debian/a@2:2?distro=debian-12"),
        &[],
        &["another version"],
    );
    for (version, purl, wanted) in [
        ("", "pypi/django@3.2.0", "PyPI django 3.2.0"),
        ("1.22.1", "golang/stdlib@v1.22.1", "Go stdlib 1.22.1"),
        ("go1.22.1", "golang/stdlib@1.22.1", "Go stdlib 1.22.1"),
        (
            "0.1.0",
            "golang/golang.org/x/net@v0.1.0",
            "Go golang.org/x/net v0.1.0",
        ),
        (
            "1:2-3",
            "deb/debian/a@2-3?epoch=1&distro=bookworm",
            "Debian:12 a 1:2-3",
        ),
        (
            "2-3",
            "deb/debian/a@1:2-3?distro=debian-trixie",
            "Debian:13 a 1:2-3",
        ),
        (
            "1.1-x86_64-linux",
            "gem/nokogiri@1.1",
            "RubyGems nokogiri 1.1",
        ),
    ] {
        check(versions(version, purl), &[wanted], &[]);
    }
    let package = |version: &str, purls: &[&str]| {
        let reference =
            |purl: &&str| format!(r#"{{"referenceType": "purl", "referenceLocator": "{purl}"}}"#);
        let references: Vec<String> = purls.iter().map(reference).collect();
        let references = references.join(", ");
        format!(
            r#"{{"SPDXID": "SPDXRef-1", "versionInfo": "{version}", "externalRefs": [{references}]}}"#
        )
    };
    let packages = |version: &str, purls: &[&str]| {
        spdx(&format!(r#""packages": [{}]"#, package(version, purls)))
    };
    check(
        packages("3.2.0", &["pkg:pypi/django@99"]),
        &[],
        &["another version"],
    );
    for none in ["", "NOASSERTION", "NONE", " 99 "] {
        check(
            packages(none, &["pkg:pypi/django@99"]),
            &["PyPI django 99"],
            &[],
        );
    }
    // Each of several package URLs.
    check(
        packages("", &["pkg:pypi/requests@99", "pkg:pypi/django@3.2.0"]),
        &["PyPI django 3.2.0", "PyPI requests 99"],
        &[],
    );
    check(
        packages("3.2.0", &["pkg:pypi/django@3.2.0", "pkg:pypi/requests@99"]),
        &["PyPI django 3.2.0"],
        &["another version"],
    );
    check(packages("1", &[]), &[], &["without a package URL"]);
    check(
        packages("1", &["pkg:pypi"]),
        &[],
        &["without a package URL"],
    );
    check(
        spdx(
            r#""documentDescribes": ["SPDXRef-1"], "packages": [{"SPDXID": "SPDXRef-1",
            "primaryPackagePurpose": "CONTAINER", "externalRefs": [
            {"referenceCategory": "PACKAGE_MANAGER", "referenceLocator": "pkg:pypi/django@3.2.0",
            "referenceType": "http://spdx.org/rdf/references/purl"}]}]"#,
        ),
        &["PyPI django 3.2.0"],
        &[],
    );
    // What lies in another document.
    let related = |of: &str, kind: &str, to: &str| {
        let package = package("", &["pkg:npm/a@1.0.0"]);
        spdx(&format!(
            r#""packages": [{package}], "relationships": [{{"spdxElementId": "{of}",
            "relationshipType": "{kind}", "relatedSpdxElement": "{to}"}}]"#
        ))
    };
    for (of, kind, to) in [
        ("SPDXRef-1", "CONTAINS", "DocumentRef-x:SPDXRef-2"),
        ("DocumentRef-x:SPDXRef-2", "DEPENDENCY_OF", "SPDXRef-1"),
        ("SPDXRef-1", "DEPENDS_ON", "NOASSERTION"),
    ] {
        check(
            related(of, kind, to),
            &["npm a 1.0.0"],
            &["says that it is incomplete"],
        );
    }
    for (of, kind, to) in [
        ("SPDXRef-1", "VARIANT_OF", "DocumentRef-x:SPDXRef-2"),
        ("SPDXRef-1", "DEPENDS_ON", "NONE"),
        ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-1"),
    ] {
        check(related(of, kind, to), &["npm a 1.0.0"], &[]);
    }
    // Nothing that is named at all.
    check(spdx(r#""packages": []"#), &[], &["lists no component"]);
    check(
        spdx(r#""files": [{"fileName": "a"}]"#),
        &[],
        &["lists no component"],
    );
    check(
        cyclonedx(
            r#""vulnerabilities": [{"id": "CVE-2026-0001", "analysis": {"state": "not_affected"}}]"#,
        ),
        &[],
        &["lists no component"],
    );
}

const KINDS: [Kind; 6] = [
    Kind::PythonMetadata,
    Kind::NodePackage,
    Kind::NodeLock,
    Kind::Java,
    Kind::Gem,
    Kind::Program,
];

proptest! {
    #[test]
    fn anything_is_read_or_refused(bytes: Vec<u8>, name in "[a-z0-9.-]{0,12}") {
        for kind in KINDS {
            read(kind, &name, &bytes);
        }
        let _ = (parse_origin(&bytes), parse_status(&bytes));
        let _ = sbom::parse(&bytes, &path("/x.json"));
    }

    #[test]
    fn damaged_files_are_read_or_refused(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let (rust, _) = elf(USUAL, &[(".dep-v0", &auditable())]);
        let war = Zip::default().packed("a.jar", &jar("g", "a", "1").build()).build();
        for (kind, mut bytes) in [
            (Kind::Program, rust),
            (Kind::Program, go_pointers(USUAL)),
            (Kind::Java, war),
        ] {
            let place = at.index(bytes.len());
            bytes[place] = byte;
            read(kind, "x.jar", &bytes);
            bytes.truncate(cut.index(bytes.len()));
            read(kind, "x.jar", &bytes);
        }
    }
}
