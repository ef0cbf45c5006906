//! Images in the stores of podman, Docker and containerd, made here.

use host::components::components;
use host::components::images::layer::{Layer, Read};
use host::components::images::podman::Driver;
use host::components::images::room::Room;
use host::components::images::{containerd, docker, podman, tar as archive};
use model::Digest;
use model::component::{Component, Inventory};
use proptest::prelude::*;

use crate::component_files::{USUAL, auditable, elf, gzip, jar, tar, tar_member, zstd};
use crate::observe_support::{Tree, is_root, path, skip};

const STATUS: &[u8] =
    b"Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n";

fn inventory(tree: &Tree) -> Inventory {
    components(&tree.host(), &|_| {})
}

/// Of images only, as `image: ecosystem name version in FILE`.
fn lines(inventory: &Inventory) -> Vec<String> {
    let line = |component: &Component| {
        let evidence = &component.evidence[0];
        let member = evidence.member.as_deref().unwrap_or_default();
        Some(format!(
            "{}: {} {} {} in {} {member}",
            component.image.as_deref()?,
            component.ecosystem,
            component.name,
            component.version,
            evidence.path
        ))
    };
    let mut lines: Vec<String> = inventory.components.iter().filter_map(line).collect();
    lines.sort();
    lines
}

fn unread(inventory: &Inventory) -> Vec<String> {
    let unread = inventory.unread.iter();
    unread
        .map(|unread| format!("{}: {}", unread.path, unread.why))
        .filter(|line| !line.contains("/var/lib/dpkg/"))
        .collect()
}

const METADATA: &[u8] = b"Name: six\nVersion: 1.16.0\n";

#[test]
fn podman_layers_hide_what_is_below() {
    let store = |rest: &str| format!("/var/lib/containers/storage/{rest}");
    let low = |rest: &str| store(&format!("overlay/low/diff/{rest}"));
    let high = |rest: &str| store(&format!("overlay/high/diff/{rest}"));
    let tree = Tree::with(&[
        (
            &store("overlay-images/images.json"),
            br#"[{"id": "abc", "names": ["docker.io/library/app:1"], "layer": "high"},
                {"id": "def", "layer": "low"}, {"id": "bad", "layer": "../../etc"}]"#,
        ),
        (
            &store("overlay-layers/layers.json"),
            br#"[{"id": "low"}, {"id": "high", "parent": "low"}]"#,
        ),
        (&low("etc/os-release"), b"ID=debian\nVERSION_ID=11\n"),
        (&low("var/lib/dpkg/status"), STATUS),
        (
            &low("var/lib/dpkg/info/dpkg.list"),
            b"/usr/lib/python3/six.dist-info/METADATA\n",
        ),
        // A list of no package that is there hides nothing.
        (&low("var/lib/dpkg/info/removed.list"), b"/opt/kept/a.jar\n"),
        (&low("usr/lib/python3/six.dist-info/METADATA"), METADATA),
        (&low("opt/gone/six.dist-info/METADATA"), METADATA),
        (&low("opt/kept/a.jar"), &jar("g", "kept", "1").build()),
        (&low("opt/changed/a.jar"), &jar("g", "a", "1").build()),
        (&low("opt/replaced/a.jar"), &jar("g", "b", "1").build()),
        (&high("opt/changed/a.jar"), &jar("g", "a", "2").build()),
        // Where a directory was, a file is.
        (&high("opt/replaced"), b""),
        (&high("opt/.wh.gone"), b""),
    ]);
    let inventory = inventory(&tree);
    let shown: Vec<String> = lines(&inventory)
        .into_iter()
        .map(|line| line.replace("/var/lib/containers/storage/overlay/", ""))
        .collect();
    let pom = |artifact: &str| format!("META-INF/maven/g/{artifact}/pom.properties");
    assert_eq!(
        shown,
        [
            "def: Debian:11 dpkg 1 in low/diff/var/lib/dpkg/status ".to_owned(),
            format!(
                "def: Maven g:a 1 in low/diff/opt/changed/a.jar {}",
                pom("a")
            ),
            format!(
                "def: Maven g:b 1 in low/diff/opt/replaced/a.jar {}",
                pom("b")
            ),
            format!(
                "def: Maven g:kept 1 in low/diff/opt/kept/a.jar {}",
                pom("kept")
            ),
            "def: PyPI six 1.16.0 in low/diff/opt/gone/six.dist-info/METADATA ".to_owned(),
            "docker.io/library/app:1: Debian:11 dpkg 1 in low/diff/var/lib/dpkg/status ".to_owned(),
            format!(
                "docker.io/library/app:1: Maven g:a 2 in high/diff/opt/changed/a.jar {}",
                pom("a")
            ),
            format!(
                "docker.io/library/app:1: Maven g:kept 1 in low/diff/opt/kept/a.jar {}",
                pom("kept")
            ),
        ]
    );
    // Nothing of the layers counts as the host's own.
    assert!(inventory.components.iter().all(|it| it.image.is_some()));
    assert_eq!(unread(&inventory), [""; 0]);
}

#[test]
fn overlayfs_hides_by_devices_and_attributes() {
    if !is_root() {
        return skip("only root can make the marks of overlayfs");
    }
    let store = |rest: &str| format!("/var/lib/containers/storage/{rest}");
    let layer = |id: &str, rest: &str| store(&format!("overlay/{id}/diff/{rest}"));
    let tree = Tree::with(&[
        (
            &store("overlay-images/images.json"),
            br#"[{"id": "i", "layer": "b"}]"#,
        ),
        (
            &store("overlay-layers/layers.json"),
            br#"[{"id": "a"}, {"id": "b", "parent": "a"}]"#,
        ),
        (
            &layer("a", "opt/gone/a.jar"),
            &jar("g", "gone", "1").build(),
        ),
        (
            &layer("a", "opt/covered/a.jar"),
            &jar("g", "covered", "1").build(),
        ),
        (
            &layer("a", "opt/kept/a.jar"),
            &jar("g", "kept", "1").build(),
        ),
        (
            &layer("b", "opt/covered/new.jar"),
            &jar("g", "new", "1").build(),
        ),
    ]);
    let whiteout = tree.at(&layer("b", "opt/gone"));
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &whiteout,
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::empty(),
        0,
    )
    .expect("a whiteout");
    let opaque = tree.at(&layer("b", "opt/covered"));
    let set = rustix::fs::setxattr(
        &opaque,
        c"user.overlay.opaque",
        b"y",
        rustix::fs::XattrFlags::empty(),
    );
    if set.is_err() {
        return skip("this file system keeps no attributes of users");
    }
    let names: Vec<String> = inventory(&tree)
        .components
        .into_iter()
        .map(|component| component.name)
        .collect();
    assert_eq!(names, ["g:kept", "g:new"]);
}

#[test]
fn users_have_stores_of_their_own() {
    let store = |rest: &str| format!("/home/ana/.local/share/containers/storage/{rest}");
    let uid = rustix::process::geteuid().as_raw();
    let tree = Tree::with(&[
        (
            "/etc/passwd",
            format!("ana:x:{uid}:1000::/home/ana:/bin/sh\nbin:x:2:2::/:/bin/sh\n").as_bytes(),
        ),
        (
            &store("overlay-images/images.json"),
            br#"[{"id": "i", "names": ["mine:1"], "layer": "a"}]"#,
        ),
        (&store("overlay-layers/layers.json"), br#"[{"id": "a"}]"#),
        (&store("overlay/a/diff/a.jar"), &jar("g", "a", "1").build()),
        // A layer of no image.
        (&store("overlay/b/diff/b.jar"), &jar("g", "b", "1").build()),
    ]);
    let inventory = inventory(&tree);
    let told: Vec<_> = inventory
        .components
        .iter()
        .map(|it| (it.image.as_deref(), it.name.as_str()))
        .collect();
    assert_eq!(told, [(Some("mine:1"), "g:a")]);
}

#[test]
fn docker_images_are_found_by_their_chains() {
    let docker = |rest: &str| format!("/var/lib/docker/{rest}");
    let (one, two) = ("1".repeat(64), "2".repeat(64));
    let chain = Digest::of(format!("sha256:{one} sha256:{two}").as_bytes());
    let configuration = format!(
        r#"{{"rootfs": {{"type": "layers", "diff_ids": ["sha256:{one}", "sha256:{two}"]}}}}"#
    );
    let id = Digest::of(configuration.as_bytes());
    let names = format!(
        r#"{{"Repositories": {{"app": {{"app@sha256:{one}": "sha256:{id}", "app:latest": "sha256:{id}"}},
        "gone": {{"gone:1": "sha256:{two}"}}}}}}"#
    );
    let (program, _) = elf(USUAL, &[(".dep-v0", &auditable())]);
    let tree = Tree::with(&[
        (
            &docker("image/overlay2/repositories.json"),
            names.as_bytes(),
        ),
        (
            &docker(&format!("image/overlay2/imagedb/content/sha256/{id}")),
            configuration.as_bytes(),
        ),
        (
            &docker(&format!("image/overlay2/layerdb/sha256/{one}/cache-id")),
            b"low\n",
        ),
        (
            &docker(&format!("image/overlay2/layerdb/sha256/{chain}/cache-id")),
            b"high",
        ),
        (&docker("overlay2/low/diff/usr/bin/tool"), &program),
        // A distroless image: control files, and sums instead of lists.
        (
            &docker("overlay2/low/diff/var/lib/dpkg/status.d/tzdata"),
            b"Package: tzdata\nVersion: 2024a\nArchitecture: all\n",
        ),
        (
            &docker("overlay2/low/diff/var/lib/dpkg/status.d/tzdata.md5sums"),
            b"d41d8cd98f00b204e9800998ecf8427e  usr/share/a.jar\n",
        ),
        (
            &docker("overlay2/low/diff/usr/share/a.jar"),
            b"not looked into",
        ),
        (
            &docker("overlay2/high/diff/var/lib/rpm/rpmdb.sqlite"),
            b"SQLite",
        ),
    ]);
    tree.mode("/var/lib/docker/overlay2/low/diff/usr/bin/tool", 0o755);
    let inventory = inventory(&tree);
    assert_eq!(
        lines(&inventory),
        [
            "app:latest: Debian tzdata 2024a in \
             /var/lib/docker/overlay2/low/diff/var/lib/dpkg/status.d/tzdata ",
            "app:latest: crates.io time 0.1.43 in /var/lib/docker/overlay2/low/diff/usr/bin/tool ",
            "app:latest: crates.io tool 0.3.0 in /var/lib/docker/overlay2/low/diff/usr/bin/tool ",
        ]
    );
    assert_eq!(
        unread(&inventory),
        [
            "/var/lib/docker/overlay2/high/diff: packages of rpm in the image app:latest are not \
          read yet"
        ]
    );
}

#[test]
fn containerd_layers_are_read_from_their_archives() {
    let blobs = "/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/";
    let (low, high, packed) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
    let long = format!("opt/{}/six-1.16.0.dist-info/METADATA", "d".repeat(150));
    let (program, _) = elf(USUAL, &[(".dep-v0", &auditable())]);
    let mut low_tar = Vec::new();
    tar_member(
        &mut low_tar,
        "././@LongLink",
        0,
        b'L',
        format!("{long}\0").as_bytes(),
    );
    tar_member(&mut low_tar, &long, 0o644, b'0', METADATA);
    low_tar.extend(tar(&[
        ("usr/", 0o755, b""),
        ("usr/bin/tool", 0o755, &program),
        ("usr/bin/script", 0o755, b"#!/bin/sh\n"),
        ("./opt/gone.jar", 0o644, &jar("g", "gone", "1").build()),
        ("../../climbs.jar", 0o644, &jar("g", "climbs", "1").build()),
        ("var/lib/dpkg/status", 0o644, STATUS),
    ]));
    let high_tar = tar(&[("opt/.wh.gone.jar", 0o644, b"")]);
    let manifest = |layers: &[(&str, &str)]| {
        let layers: Vec<String> = layers
            .iter()
            .map(|(digest, how)| {
                format!(
                    r#"{{"mediaType": "application/vnd.oci.image.layer.v1.tar{how}", "digest": "sha256:{digest}"}}"#
                )
            })
            .collect();
        format!(
            r#"{{"schemaVersion": 2, "config": {{"digest": "sha256:ff"}}, "layers": [{}]}}"#,
            layers.join(",")
        )
    };
    let blob = |name: &str| format!("{blobs}{name}");
    let tree = Tree::with(&[
        (
            &blob("01"),
            manifest(&[(&low, "+gzip"), (&high, "")]).as_bytes(),
        ),
        (&blob("02"), manifest(&[(&packed, "+zstd")]).as_bytes()),
        // Another architecture's, which was not fetched.
        (
            &blob("03"),
            manifest(&[(&"e".repeat(64), "+gzip")]).as_bytes(),
        ),
        (&blob(&low), &gzip(&low_tar)),
        (&blob(&high), &high_tar),
        (
            &blob(&packed),
            &zstd(&tar(&[("srv/a.jar", 0o644, &jar("g", "a", "1").build())])),
        ),
    ]);
    let inventory = inventory(&tree);
    assert_eq!(
        lines(&inventory),
        [
            format!("sha256:01: Debian dpkg 1 in {blobs}{low} var/lib/dpkg/status"),
            format!("sha256:01: PyPI six 1.16.0 in {blobs}{low} {long}"),
            format!("sha256:01: crates.io time 0.1.43 in {blobs}{low} usr/bin/tool"),
            format!("sha256:01: crates.io tool 0.3.0 in {blobs}{low} usr/bin/tool"),
            format!(
                "sha256:02: Maven g:a 1 in {blobs}{packed} \
                 srv/a.jar!/META-INF/maven/g/a/pom.properties"
            ),
        ]
    );
    assert_eq!(unread(&inventory), [""; 0]);
}

/// What a layer's archive is refused for, if anything.
fn refused(bytes: &[u8]) -> String {
    let read = archive::read(&bytes.to_vec(), &mut Layer::default());
    read.err().map(|why| why.to_string()).unwrap_or_default()
}

/// The files of a layer that may speak of components.
#[track_caller]
fn files(bytes: &[u8]) -> Vec<String> {
    let mut layer = Layer::default();
    archive::read(&bytes.to_vec(), &mut layer).expect("a layer");
    let names = layer.files.keys();
    names
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

/// More than a reader takes at once, which doesn't pack well, between two small files.
fn three_members() -> Vec<u8> {
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(5 << 18)
    .collect();
    let small = jar("g", "a", "1").build();
    tar(&[
        ("a.jar", 0o644, &small),
        ("noise", 0o644, &noise),
        ("z.jar", 0o644, &small),
    ])
}

#[test]
fn archives_may_be_packed_in_parts() {
    let plain = three_members();
    let wanted = ["/a.jar", "/z.jar"];
    assert_eq!(files(&plain), wanted);
    // eStargz and `zstd:chunked` pack each part of a file by itself.
    for size in [700, 100_000, 1 << 20] {
        let parts = |pack: &dyn Fn(&[u8]) -> Vec<u8>| -> Vec<u8> {
            plain.chunks(size).flat_map(pack).collect()
        };
        assert_eq!(files(&parts(&|part| gzip(part))), wanted, "gzip, {size}");
        let frames = parts(&|part| zstd(part));
        assert_eq!(files(&frames), wanted, "zstd, {size}");
        // "Skippable frames … can be used to store user-defined metadata" (RFC 8878, 3.1.2).
        let skipped = [&b"\x5e\x2a\x4d\x18\x04\0\0\0meta"[..], &frames].concat();
        assert_eq!(files(&skipped), wanted, "zstd with a frame to skip");
    }
    // What follows a gzip archive and is none is not its.
    let padded = [gzip(&plain), vec![0; 700]].concat();
    assert_eq!(files(&padded), wanted);
}

#[test]
fn hostile_archives_are_refused() {
    assert_eq!(refused(b""), "");
    assert_eq!(refused(&[b'x'; 600]), "not a tar archive");
    assert_eq!(refused(b"x"), "the archive is cut off");
    let plain = three_members();
    assert_eq!(refused(&plain[..1 << 20]), "the archive is cut off");
    for pack in [&gzip as &dyn Fn(&[u8]) -> Vec<u8>, &zstd] {
        let bomb = pack(&vec![0xff; 80 << 20]);
        assert_eq!(refused(&bomb), "not a tar archive");
        let mut large = Vec::new();
        tar_member(&mut large, "x", 0o644, b'0', &vec![0; 80 << 20]);
        assert!(refused(&pack(&large)).contains("times as much"));
        let whole = pack(&tar(&[("a.jar", 0o644, &jar("g", "a", "1").build())]));
        assert_eq!(
            refused(&whole[..whole.len() / 2]),
            "the packed archive is cut off"
        );
        // The second part says nothing of what it is.
        let torn = [pack(&three_members()[..1 << 20]), pack(b"x")].concat();
        assert!(refused(&torn[..torn.len() - 13]).contains("cut off"));
    }
    let mut name = Vec::new();
    tar_member(&mut name, "x", 0, b'L', &vec![b'a'; 2 << 20]);
    assert!(refused(&name).contains("too long"));
    // A program that claims to be as large as a number can be, and others that claim more.
    let claim = |size: [u8; 12]| {
        let mut claim = tar(&[("usr/bin/x", 0o755, b"#!/bin/sh\n")]);
        claim[124..136].copy_from_slice(&size);
        claim[148..156].fill(b' ');
        let sum: u32 = claim[..512].iter().map(|byte| u32::from(*byte)).sum();
        claim[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        refused(&claim)
    };
    let base_256 = |first: u8, high: u8, low: u8| {
        let mut size = [low; 12];
        size[..4].copy_from_slice(&[first, 0, 0, high]);
        size
    };
    let cut_off = "the archive is cut off";
    assert_eq!(claim(base_256(0x80, 0, 0xff)), cut_off);
    assert_eq!(claim(*b"777777777777"), cut_off);
    let bad = "a tar archive with a bad number";
    assert_eq!(claim(base_256(0x80, 1, 0)), bad, "more than 64 bits");
    assert_eq!(claim(base_256(0xff, 0xff, 0xff)), bad, "negative");
    assert_eq!(claim(*b"888888888888"), bad);
}

#[test]
fn manifests_without_sums_take_room_as_well() {
    // Crates of the longest names and versions, which have two megabytes.
    let (name, version) = ("n".repeat(1024), "1".repeat(1024));
    let manifest = format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\n");
    let mut bytes = Vec::new();
    for number in 0..1000 {
        let at = format!("src/{number}/Cargo.toml");
        tar_member(&mut bytes, &at, 0o644, b'0', manifest.as_bytes());
    }
    bytes.extend([0; 1024]);
    let read = |left_bytes: u64| {
        let mut layer = Layer::default();
        let room = layer.keep((128 << 20) - left_bytes);
        room.expect("there is room");
        archive::read(&bytes, &mut layer)
    };
    assert_eq!(read(4 << 20), Ok(()));
    let refused = read(1 << 20).expect_err("it is more than is kept");
    assert!(refused.to_string().contains("are over the limit"));
}

#[test]
fn little_of_an_archive_is_kept() {
    let lists = |line: &[u8], size: usize| {
        let large = line.repeat(size / line.len());
        tar(&[
            ("var/lib/dpkg/info/a.list", 0o644, &large),
            ("var/lib/dpkg/info/b.list", 0o644, &large),
            ("var/lib/dpkg/info/c.list", 0o644, &large),
        ])
    };
    let program = format!("/usr/{}/tool\n", "d".repeat(4000));
    assert!(refused(&lists(program.as_bytes(), 50 << 20)).contains("over the limit"));
    // What nobody asks for is not kept: a manual page, a line that is no path.
    let page = format!("/usr/{}/tool.1.gz\n", "d".repeat(4000));
    for line in [page.as_bytes(), b"x"] {
        let mut layer = Layer::default();
        archive::read(&lists(line, 1 << 20), &mut layer).expect("a layer");
        let kept = layer.files.into_values().filter_map(|file| file.read);
        assert!(
            kept.into_iter()
                .all(|read| matches!(read, Read::Bytes(bytes) if bytes.is_empty()))
        );
    }
    let archive = tar(&[("var/lib/dpkg/status", 0o644, &vec![b'x'; 65 << 20])]);
    let mut layer = Layer::default();
    archive::read(&archive, &mut layer).expect("a layer");
    assert!(layer.files.is_empty() && layer.unread.is_some());
}

/// A frame's header of RFC 8878, 3.1.1.1, that asks for this window.
fn frame_with_window(log: u8) -> Vec<u8> {
    // The last block, which is not packed, of 512 bytes.
    let raw_block = [&[0x01, 0x10, 0x00][..], &[b'x'; 512]].concat();
    [
        &[0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3][..],
        &raw_block,
    ]
    .concat()
}

#[test]
fn zstandard_does_not_say_how_much_memory_is_taken() {
    assert_eq!(refused(&frame_with_window(27)), "not a tar archive");
    for log in [28, 41] {
        let why = refused(&frame_with_window(log));
        assert!(why.contains("too much memory"), "{log}: {why}");
    }
    // A sum that is not that of the content.
    let mut changed = zstd(&tar(&[("a.jar", 0o644, &jar("g", "a", "1").build())]));
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let why = refused(&changed);
    assert!(why.contains("checksum"), "{why}");
}

#[test]
fn databases_of_stores() {
    let room = &mut Room::of_root();
    assert!(podman::parse(&path("/store"), Driver::Overlay, b"{}", b"[]", room).is_err());
    // A layer that lies on itself.
    let images = podman::parse(
        &path("/store"),
        Driver::Overlay,
        br#"[{"id": "i", "layer": "a"}]"#,
        br#"[{"id": "a", "parent": "a"}]"#,
        room,
    );
    let images = images.expect("images");
    assert_eq!((images.len(), images[0].layers.len()), (1, 1));
    assert!(docker::parse_names(b"[]").is_err());
    let climbing = br#"{"rootfs": {"diff_ids": ["sha256:../../x"]}}"#;
    assert!(docker::parse_chain(climbing).is_err());
    assert!(containerd::parse(b"{}").is_err());
}

proptest! {
    #[test]
    fn anything_is_a_layer_or_refused(bytes: Vec<u8>, at: prop::sample::Index, byte: u8) {
        refused(&bytes);
        let mut archive = tar(&[("a/b.jar", 0o644, &jar("g", "a", "1").build())]);
        let place = at.index(archive.len());
        archive[place] = byte;
        refused(&archive);
        let mut packed = gzip(&archive);
        let place = at.index(packed.len());
        packed[place] = byte;
        refused(&packed);
        let mut packed = zstd(&archive);
        let place = at.index(packed.len());
        packed[place] = byte;
        refused(&packed);
        for driver in [Driver::Overlay, Driver::Vfs] {
            let _ = podman::parse(&path("/store"), driver, &bytes, &bytes, &mut Room::of_root());
        }
        let _ = docker::parse_names(&bytes);
        let _ = (docker::parse_chain(&bytes), containerd::parse(&bytes));
    }
}
