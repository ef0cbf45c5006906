//! Stores of images that lie elsewhere: what configurations say, and whom they may lead.

use host::components::components;
use host::components::images::{containerd, docker, podman};
use model::component::Inventory;

use crate::component_files::{gzip, jar, tar};
use crate::observe_hang::hang_at;
use crate::observe_support::{Tree, is_root, skip};

const STORAGE: &str = "/etc/containers/storage.conf";
const PASSWD: &[u8] = b"root:x:0:0::/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\n";

fn inventory(tree: &Tree) -> Inventory {
    components(&tree.host(), &|_| {})
}

/// `IMAGE NAME in FILE`; `-` for the host's own.
fn lines(inventory: &Inventory) -> Vec<String> {
    let components = inventory.components.iter();
    let line = components.map(|component| {
        let image = component.image.as_deref().unwrap_or("-");
        format!(
            "{image} {} in {}",
            component.name, component.evidence[0].path
        )
    });
    let mut lines: Vec<String> = line.collect();
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

/// A store of podman with one image of one layer, which has a jar.
fn store(at: &str, image: &str) -> Vec<(String, Vec<u8>)> {
    vec![
        (
            format!("{at}/overlay-images/images.json"),
            format!(r#"[{{"id": "i", "names": ["{image}"], "layer": "a"}}]"#).into_bytes(),
        ),
        (
            format!("{at}/overlay-layers/layers.json"),
            br#"[{"id": "a"}]"#.to_vec(),
        ),
        (
            format!("{at}/overlay/a/diff/a.jar"),
            jar("g", image, "1").build(),
        ),
    ]
}

fn tree_of(files: &[(String, Vec<u8>)]) -> Tree {
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(path, content)| (path.as_str(), content.as_slice()))
        .collect();
    Tree::with(&files)
}

fn file(path: &str, content: &str) -> (String, Vec<u8>) {
    (path.to_owned(), content.as_bytes().to_vec())
}

#[test]
fn podmans_stores_are_found_where_its_configuration_says() {
    let mut files = [
        store("/data/podman", "moved"),
        store("/var/lib/containers/storage", "before"),
        store("/mnt/shared", "shared"),
        store("/srv/dropped", "dropped"),
    ]
    .concat();
    files.extend([
        file(
            STORAGE,
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"/data/podman\"\n\
             [storage.options]\nadditionalimagestores = [\"/mnt/shared\", \"/mnt/gone\"]\n",
        ),
        file(
            "/etc/containers/storage.rootful.conf.d/10-x.conf",
            "[storage]\ngraphroot = \"/srv/dropped/\"\n",
        ),
        file("/etc/containers/storage.conf.d/README", "not TOML"),
        (
            "/data/podman/vfs-images/images.json".to_owned(),
            br#"[{"id": "v", "names": ["copied"], "layer": "b"}]"#.to_vec(),
        ),
        (
            "/data/podman/vfs/dir/b/b.jar".to_owned(),
            jar("g", "copied", "1").build(),
        ),
        (
            "/mnt/shared/btrfs-images/images.json".to_owned(),
            b"[]".to_vec(),
        ),
    ]);
    let tree = tree_of(&files);
    let inventory = inventory(&tree);
    assert_eq!(
        lines(&inventory),
        [
            "before g:before in /var/lib/containers/storage/overlay/a/diff/a.jar",
            "copied g:copied in /data/podman/vfs/dir/b/b.jar",
            "dropped g:dropped in /srv/dropped/overlay/a/diff/a.jar",
            "moved g:moved in /data/podman/overlay/a/diff/a.jar",
            "shared g:shared in /mnt/shared/overlay/a/diff/a.jar",
        ]
    );
    assert_eq!(
        unread(&inventory),
        [
            "/mnt/shared/btrfs-images/images.json: images that are kept with btrfs are not read \
             yet"
        ]
    );
}

#[test]
fn dockers_store_is_found_where_its_configuration_says() {
    let (id, layer) = ("1".repeat(64), "2".repeat(64));
    let docker = |at: &str, name: &str| {
        let names = format!(r#"{{"Repositories": {{"{name}": {{"{name}:1": "sha256:{id}"}}}}}}"#);
        vec![
            file(&format!("{at}/image/overlay2/repositories.json"), &names),
            file(
                &format!("{at}/image/overlay2/imagedb/content/sha256/{id}"),
                &format!(r#"{{"rootfs": {{"diff_ids": ["sha256:{layer}"]}}}}"#),
            ),
            file(
                &format!("{at}/image/overlay2/layerdb/sha256/{layer}/cache-id"),
                "one",
            ),
            (
                format!("{at}/overlay2/one/diff/a.jar"),
                jar("g", name, "1").build(),
            ),
        ]
    };
    let mut files = [
        docker("/data/docker", "app"),
        docker("/data/docker/100000.100000", "mapped"),
    ]
    .concat();
    files.extend([
        file(
            "/etc/docker/daemon.json",
            r#"{"data-root": "/data/docker"}"#,
        ),
        file("/var/lib/docker/image/vfs/repositories.json", "{}"),
    ]);
    let tree = tree_of(&files);
    tree.dir("/data/docker/image/btrfs");
    let inventory = inventory(&tree);
    assert_eq!(
        lines(&inventory),
        [
            "app:1 g:app in /data/docker/overlay2/one/diff/a.jar",
            "mapped:1 g:mapped in /data/docker/100000.100000/overlay2/one/diff/a.jar",
        ]
    );
    assert_eq!(
        unread(&inventory),
        [
            "/var/lib/docker/image/vfs/repositories.json: images that are kept with vfs are not read yet"
        ]
    );
}

#[test]
fn containerds_store_is_found_where_its_configuration_says() {
    let layer = "a".repeat(64);
    let manifest = format!(
        r#"{{"schemaVersion": 2, "config": {{"digest": "sha256:ff"}}, "layers": [{{"mediaType":
        "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:{layer}"}}]}}"#
    );
    let blobs = "io.containerd.content.v1.content/blobs/sha256";
    let tree = tree_of(&[
        file(
            "/etc/containerd/config.toml",
            "version = 3\nimports = [\"conf.d/*.toml\", \"/etc/x/[ab].toml\"]\n",
        ),
        file(
            "/etc/containerd/conf.d/root.toml",
            "root = \"/data/ctrd\"\n",
        ),
        // It leads to itself.
        file(
            "/etc/containerd/conf.d/again.toml",
            "imports = [\"/etc/containerd/config.toml\"]\n",
        ),
        file(&format!("/data/ctrd/{blobs}/01"), &manifest),
        (
            format!("/data/ctrd/{blobs}/{layer}"),
            gzip(&tar(&[("a.jar", 0o644, &jar("g", "a", "1").build())])),
        ),
        (
            "/data/ctrd/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs/a.jar".to_owned(),
            jar("g", "a", "1").build(),
        ),
        (
            "/data/ctrd/own.jar".to_owned(),
            jar("g", "own", "1").build(),
        ),
    ]);
    let inventory = inventory(&tree);
    assert_eq!(
        lines(&inventory),
        [
            "- g:own in /data/ctrd/own.jar".to_owned(),
            format!("sha256:01 g:a in /data/ctrd/{blobs}/{layer}"),
        ]
    );
    assert_eq!(
        unread(&inventory),
        [
            "/etc/containerd/config.toml: where images are kept is unknown: imports \
             `/etc/x/[ab].toml`, a pattern that is not read"
        ]
    );
}

#[test]
fn a_configuration_that_cannot_be_understood_is_said() {
    let tree = tree_of(&[
        file(STORAGE, "[storage\n"),
        file(
            "/usr/share/containers/storage.conf",
            "[storage]\ngraphroot = 5\n",
        ),
        file(
            "/etc/containers/storage.conf.d/1.conf",
            "[storage]\ngraphroot = \"data\"\n",
        ),
        file(
            "/etc/containers/storage.conf.d/2.conf",
            "[storage]\ngraphroot = \"/data/../etc\"\n",
        ),
        file("/etc/docker/daemon.json", r#"{"data-root": ["/data"]}"#),
        file("/etc/containerd/config.toml", "root = {}\n"),
    ]);
    let said = unread(&inventory(&tree));
    let files: Vec<&str> = said
        .iter()
        .filter_map(|line| line.split(": ").next())
        .collect();
    assert_eq!(
        files,
        [
            "/etc/containerd/config.toml",
            "/etc/containers/storage.conf",
            "/etc/containers/storage.conf.d/1.conf",
            "/etc/containers/storage.conf.d/2.conf",
            "/etc/docker/daemon.json",
            "/usr/share/containers/storage.conf",
        ]
    );
    let says = |line: &String| line.contains("where images are kept is unknown: ");
    assert!(said.iter().all(says), "{said:?}");
    assert_eq!(
        podman::parse_configuration(b"").expect("empty"),
        podman::Configuration::default()
    );
    assert_eq!(docker::parse_configuration(b"{}"), Ok(None));
    assert!(docker::parse_configuration(b"[]").is_err());
    assert!(containerd::parse_configuration(b"imports = 5").is_err());
}

#[test]
fn users_move_stores_only_to_places_of_their_own() {
    if !is_root() {
        return skip("only root can give files to users");
    }
    let mut files = [
        store("/data/ana", "hers"),
        store("/data/user-1000", "templated"),
        store("/srv/roots", "roots"),
    ]
    .concat();
    files.extend([
        ("/etc/passwd".to_owned(), PASSWD.to_vec()),
        file(
            STORAGE,
            "[storage]\nrootless_storage_path = \"/data/user-$UID\"\n",
        ),
        file(
            "/home/ana/.config/containers/storage.conf",
            "[storage]\ngraphroot = \"/data/${USER}\"\n\
             [storage.options]\nadditionalimagestores = [\"/srv/roots\", \"$X/y\"]\n",
        ),
        (
            "/srv/roots/overlay/seen.jar".to_owned(),
            jar("g", "seen", "1").build(),
        ),
    ]);
    let tree = tree_of(&files);
    for path in [
        "/data/ana",
        "/data/ana/overlay",
        "/data/user-1000",
        "/data/user-1000/overlay",
    ] {
        std::os::unix::fs::chown(tree.at(path), Some(1000), Some(1000)).expect("an owner");
    }
    let inventory = inventory(&tree);
    assert_eq!(
        lines(&inventory),
        [
            // What a user only names is hidden from nobody.
            "- g:roots in /srv/roots/overlay/a/diff/a.jar",
            "- g:seen in /srv/roots/overlay/seen.jar",
            "hers g:hers in /data/ana/overlay/a/diff/a.jar",
            "templated g:templated in /data/user-1000/overlay/a/diff/a.jar",
        ]
    );
    assert_eq!(
        unread(&inventory),
        [
            "/home/ana/.config/containers/storage.conf: where images are kept is unknown: \
             `$X/y` has a variable that is set elsewhere",
            "/srv/roots: is named as a store of images by \
             `/home/ana/.config/containers/storage.conf`, and does not belong to that user: not \
             looked into",
        ]
    );
}

#[test]
fn no_link_leads_out_of_a_tree() {
    let outside = tree_of(&store("/store", "outside"));
    let mut files = store("/data/podman", "moved");
    files.push(file(STORAGE, "[storage]\ngraphroot = \"/moved\"\n"));
    let tree = tree_of(&files);
    // Of the tree's own, an absolute link is followed inside of it.
    std::os::unix::fs::symlink("/data/podman", tree.at("/moved")).expect("a link");
    let out = outside.at("/store/overlay/a/diff");
    std::os::unix::fs::symlink(out, tree.at("/data/podman/overlay/b")).expect("a link");
    let deep = outside.at("/store/overlay");
    std::fs::create_dir_all(tree.at("/var/lib/containers/storage")).expect("a directory");
    std::os::unix::fs::symlink(deep, tree.at("/var/lib/containers/storage/overlay"))
        .expect("a link");
    tree.file(
        "/var/lib/containers/storage/overlay-images/images.json",
        br#"[{"id": "i", "names": ["out"], "layer": "a"}]"#,
    );
    let inventory = inventory(&tree);
    assert_eq!(
        lines(&inventory),
        ["moved g:moved in /data/podman/overlay/a/diff/a.jar"]
    );
    assert_eq!(
        unread(&inventory),
        ["/var/lib/containers/storage/overlay/a/diff: a layer of an image is not there"]
    );
}

#[test]
fn a_layer_on_a_file_system_that_never_answers_is_not_waited_for() {
    if !is_root() {
        return skip("needs root");
    }
    let layer = "/var/lib/containers/storage/overlay/a/diff";
    let mut files = store("/var/lib/containers/storage", "own");
    files.push(file(
        STORAGE,
        &format!("[storage]\ngraphroot = \"{layer}/store\"\n"),
    ));
    let tree = tree_of(&files);
    // The mount is this thread's and those that it starts.
    let job = || {
        let Some(server) = hang_at(&tree.at(layer)) else {
            return skip("FUSE can't be mounted here");
        };
        let inventory = inventory(&tree);
        assert_eq!(lines(&inventory), [""; 0]);
        let why = "images on fuse, which are not looked into";
        assert_eq!(
            unread(&inventory),
            [format!("{layer}: {why}"), format!("{layer}/store: {why}")]
        );
        drop(server);
    };
    std::thread::scope(|scope| {
        scope
            .spawn(job)
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn a_database_on_a_file_system_that_never_answers_is_not_waited_for() {
    if !is_root() {
        return skip("needs root");
    }
    let at = "/home/ana/.local/share/containers/storage";
    let mut files = store(at, "hers");
    files.extend(store("/var/lib/containers/storage", "roots"));
    files.push(("/etc/passwd".to_owned(), PASSWD.to_vec()));
    let tree = tree_of(&files);
    for silent in ["overlay-images", "overlay", "btrfs-images"] {
        tree.dir(&format!("{at}/{silent}"));
        // The mount is this thread's and those that it starts.
        let job = || {
            let Some(server) = hang_at(&tree.at(&format!("{at}/{silent}"))) else {
                return skip("FUSE can't be mounted here");
            };
            let inventory = inventory(&tree);
            let roots = "roots g:roots in /var/lib/containers/storage/overlay/a/diff/a.jar";
            let lines = lines(&inventory);
            assert!(
                lines.iter().any(|line| line == roots),
                "{silent}: {lines:?}"
            );
            let said = unread(&inventory);
            let is_said = said.iter().any(|line| line.contains(silent));
            assert!(is_said, "{silent}: {said:?}");
            drop(server);
        };
        std::thread::scope(|scope| {
            scope
                .spawn(job)
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }
}

#[test]
fn a_user_names_no_more_stores_than_are_looked_at() {
    let places: Vec<String> = (0..10_001)
        .map(|place| format!("\"/data/{place}\""))
        .collect();
    let conf = "/home/ana/.config/containers/storage.conf";
    let tree = tree_of(&[
        ("/etc/passwd".to_owned(), PASSWD.to_vec()),
        file(
            conf,
            &format!(
                "[storage.options]\nadditionalimagestores = [{}]\n",
                places.join(",")
            ),
        ),
    ]);
    assert_eq!(
        unread(&inventory(&tree)),
        [format!(
            "{conf}: where images are kept is unknown: a user's configurations name more than \
             100 stores and files"
        )]
    );
}

#[test]
fn what_a_users_configuration_says_is_not_repeated_at_length() {
    let conf = |name: &str, place: &str| {
        let at = format!("/home/ana/.config/containers/storage.conf.d/{name}.conf");
        file(&at, &format!("[storage]\ngraphroot = \"{place}\"\n"))
    };
    // As long as its user's name makes it.
    let passwd = format!("{0}:x:1000:1000::/home/ana:/bin/sh\n", "a".repeat(30));
    let tree = tree_of(&[
        file("/etc/passwd", &passwd),
        conf("a", &"$USER/".repeat(150_000)),
        conf("b", &format!("/{}", "$USER/".repeat(600))),
        conf("c", &"x".repeat(4000)),
        conf("d", &"/$ELSE".repeat(600)),
    ]);
    let said = unread(&inventory(&tree));
    let shown = |text: &str| format!("{}…", &text[..120]);
    let by = "/home/ana/.config/containers/storage.conf.d";
    let unknown = "where images are kept is unknown";
    let name = format!("{}/", "a".repeat(30));
    assert_eq!(
        said,
        [
            format!(
                "{by}/a.conf: {unknown}: `{}` has more than 4096 bytes",
                shown(&"$USER/".repeat(50))
            ),
            format!(
                "{by}/b.conf: {unknown}: `{}` has more than 4096 bytes",
                shown(&format!("/{}", name.repeat(10)))
            ),
            format!(
                "{by}/c.conf: {unknown}: `{}` is no place for a store",
                shown(&"x".repeat(4000))
            ),
            format!(
                "{by}/d.conf: {unknown}: `{}` has a variable that is set elsewhere",
                shown(&"/$ELSE".repeat(600))
            ),
        ]
    );
}

#[test]
fn what_a_users_files_cause_is_said_up_to_a_limit() {
    let uid = if is_root() {
        1000
    } else {
        rustix::process::geteuid().as_raw()
    };
    let at = "/home/ana/.local/share/containers/storage";
    let list = |line: &dyn Fn(usize) -> String| {
        let lines: Vec<String> = (0..1000).map(line).collect();
        format!("[{}]", lines.join(","))
    };
    let mut files = vec![
        file(
            "/etc/passwd",
            &format!("ana:x:{uid}:1000::/home/ana:/bin/sh\n"),
        ),
        file(
            &format!("{at}/overlay-images/images.json"),
            &list(&|number| format!(r#"{{"id": "i{number}", "layer": "a{number}"}}"#)),
        ),
        file(
            &format!("{at}/overlay-layers/layers.json"),
            &list(&|number| format!(r#"{{"id": "a{number}"}}"#)),
        ),
    ];
    for number in 0..40 {
        let conf = format!("/home/ana/.config/containers/storage.conf.d/{number}.conf");
        files.push(file(&conf, "[storage]\ngraphroot = \"nowhere\"\n"));
    }
    let said = unread(&inventory(&tree_of(&files)));
    assert_eq!(said.len(), 1000 + 1);
    assert_eq!(
        said[0],
        format!("/: 40 more troubles with images of the user {uid} are not named")
    );
}

#[test]
fn limits_of_images_are_said() {
    let at = "/var/lib/containers/storage";
    let list = |line: &dyn Fn(usize) -> String| {
        let lines: Vec<String> = (0..4098).map(line).collect();
        format!("[{}]", lines.join(","))
    };
    let tree = tree_of(&[
        file(
            &format!("{at}/overlay-images/images.json"),
            &list(&|number| format!(r#"{{"id": "i{number}", "layer": "a{number}"}}"#)),
        ),
        file(
            &format!("{at}/overlay-layers/layers.json"),
            &list(&|number| format!(r#"{{"id": "a{number}"}}"#)),
        ),
        // What is wrong with a file of the host is told all the same.
        file("/opt/bad.jar", "not a jar"),
    ]);
    let said = unread(&inventory(&tree));
    assert_eq!(said.len(), 1000 + 3);
    for wanted in [
        "/: 3096 more troubles with images are not named",
        "/var/lib/containers/storage: of 2 images, not all layers are looked into",
        "/opt/bad.jar: not a zip archive",
    ] {
        assert!(said.iter().any(|line| line.starts_with(wanted)), "{wanted}");
    }
}

const UNKNOWN: &str = "a store of container images that no known user or configuration has: it is \
                       looked into as files, and which packages its images have is unknown";

#[test]
fn a_store_of_nobody_that_is_known_is_said_and_looked_into_as_files() {
    let at = "/backup/eve/.local/share/containers/storage";
    let mut files = store(at, "hers");
    files.extend([
        file("/srv/docker/image/overlay2/imagedb/content/sha256/a", "{}"),
        file(
            "/srv/ctrd/io.containerd.content.v1.content/blobs/sha256/a",
            "{}",
        ),
        // Neither of these is one.
        file("/srv/x/imagedb/a", "{}"),
        file(
            "/var/lib/containers/storage/overlay-images/images.json",
            "[]",
        ),
    ]);
    let inventory = inventory(&tree_of(&files));
    assert_eq!(
        lines(&inventory),
        [format!("- g:hers in {at}/overlay/a/diff/a.jar")]
    );
    assert_eq!(
        unread(&inventory),
        [at, "/srv/ctrd", "/srv/docker"].map(|at| format!("{at}: {UNKNOWN}"))
    );
}

#[test]
fn users_who_cannot_be_told_are_said() {
    let at = "/home/ana/.local/share/containers/storage";
    let unknown = "/etc/passwd: where images are kept is unknown: ";
    let tree = tree_of(&store(at, "hers"));
    tree.dir("/etc/passwd");
    let said = unread(&inventory(&tree));
    assert!(said[0].starts_with(unknown), "{said:?}");
    assert_eq!(said[1..], [format!("{at}: {UNKNOWN}")]);
    // A line that is none may have been hers.
    let mut files = store(at, "hers");
    files.push(file(
        "/etc/passwd",
        "root:x:0:0::/root:/bin/sh\nana:x:1000:/home/ana\n",
    ));
    assert_eq!(
        unread(&inventory(&tree_of(&files))),
        [
            format!("{unknown}lines that name no account: 1"),
            format!("{at}: {UNKNOWN}"),
        ]
    );
}

#[test]
fn what_a_users_packages_have_is_theirs_alone() {
    let at = "/home/ana/.local/share/containers/storage";
    let mut files = store(at, "hers");
    let layer = |path: &str| format!("{at}/overlay/a/diff/{path}");
    files.extend([
        ("/opt/a.jar".to_owned(), jar("g", "roots", "1").build()),
        (layer("opt/a.jar"), jar("g", "owned", "1").build()),
        (layer("opt/b.jar"), jar("g", "free", "1").build()),
        file(
            &layer("lib/apk/db/installed"),
            "P:app\nV:1\nF:opt\nR:a.jar\nF:home/ana\nR:c.jar\n\n\
             P:nameless\nF:opt\nR:b.jar\n\n",
        ),
        ("/home/ana/c.jar".to_owned(), jar("g", "home", "1").build()),
    ]);
    let tree = tree_of(&files);
    let uid = if is_root() {
        1000
    } else {
        rustix::process::geteuid().as_raw()
    };
    let passwd = format!("ana:x:{uid}:1000::/home/ana:/bin/sh\n");
    tree.file("/etc/passwd", passwd.as_bytes());
    if is_root() {
        let overlay = tree.at(&format!("{at}/overlay"));
        std::os::unix::fs::chown(overlay, Some(uid), Some(uid)).expect("an owner");
    }
    assert_eq!(
        lines(&inventory(&tree)),
        [
            "- g:home in /home/ana/c.jar".to_owned(),
            "- g:roots in /opt/a.jar".to_owned(),
            format!("hers app in {at}/overlay/a/diff/lib/apk/db/installed"),
            format!("hers g:free in {at}/overlay/a/diff/opt/b.jar"),
            format!("hers g:hers in {at}/overlay/a/diff/a.jar"),
        ]
    );
}
