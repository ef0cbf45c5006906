//! What is bounded of an inventory, and that a limit is said where it is met.

use host::components::images::podman::{self, Driver};
use host::components::images::room::Room;
use host::components::search::Kind;
use host::components::zip::Budget;
use host::components::{components, contents};
use model::component::Inventory;
use model::count::plural;

use crate::component_files::{Zip, jar};
use crate::observe_support::{Tree, is_root, path, skip};

fn inventory(tree: &Tree) -> Inventory {
    components(&tree.host(), &|_| {})
}

fn unread(inventory: &Inventory) -> Vec<String> {
    let unread = inventory.unread.iter();
    unread
        .map(|unread| format!("{}: {}", unread.path, unread.why))
        .filter(|line| !line.contains("/var/lib/dpkg/"))
        .collect()
}

/// A lockfile of so many packages.
fn lock(packages: usize) -> Vec<u8> {
    let package = |number| format!(r#""node_modules/p{number}": {{"version": "1.0.0"}}"#);
    let packages: Vec<String> = (0..packages).map(package).collect();
    format!(
        r#"{{"lockfileVersion": 3, "packages": {{{}}}}}"#,
        packages.join(",")
    )
    .into_bytes()
}

#[test]
fn one_file_has_no_more_components_than_are_kept() {
    let many = contents(Kind::NodeLock, &lock(50_003), b"package-lock.json");
    assert_eq!(many.found.len(), 50_000);
    let said: Vec<String> = many.unread.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "left out: 3 components; the limits of one file are 50,000 components, and 16.8 MB \
          of their names"
        ]
    );
    assert_eq!(
        contents(Kind::NodeLock, &lock(50_000), b"").unread.len(),
        0,
        "what just fits is whole"
    );
    // Of an archive, the ways in it count: some of 64 KB have as many bytes as a thousand names.
    let mut zip = Zip::default();
    for number in 0..300 {
        let name = format!("{}/{number}.dist-info/METADATA", "d".repeat(60_000));
        zip = zip.stored(&name, format!("Name: a{number}\nVersion: 1\n").as_bytes());
    }
    let many = contents(Kind::PythonArchive, &zip.build(), b"a.whl");
    assert!(
        (200..300).contains(&many.found.len()),
        "{}",
        many.found.len()
    );
    assert!(many.unread[0].to_string().contains("left out: "));
    // Its troubles as well, and their names.
    let mut zip = Zip::default();
    for number in 0..150 {
        let name = format!("{}/{number}.dist-info/METADATA", "d".repeat(60_000));
        zip = zip.member(&name, 99, 0, b"x", 1);
    }
    let troubles = contents(Kind::PythonArchive, &zip.build(), b"a.whl");
    let held_bytes = troubles.held_bytes();
    let troubles = troubles.unread;
    assert_eq!(troubles.len(), 101);
    assert_eq!(troubles[100].to_string(), "not named: 50 more troubles");
    let lengths = troubles.iter().map(|why| why.to_string().len());
    assert!(lengths.clone().all(|length| length < 1000));
    assert!(held_bytes > lengths.sum(), "they are held as well");
}

#[test]
fn no_user_has_more_components_than_are_kept_or_takes_the_place_of_others() {
    if !is_root() {
        return skip("only root can give files to users");
    }
    // 50,000 paths of 3.9 KB are more than the 128 MiB of one user.
    let deep = format!("/home/ana/{}", vec!["d".repeat(240); 16].join("/"));
    let tree = Tree::with(&[
        (
            "/etc/passwd",
            b"ana:x:1000:1000::/home/ana:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n",
        ),
        (&format!("{deep}/package-lock.json"), &lock(50_000)),
        ("/home/bob/a.jar", &jar("g", "his", "1").build()),
        ("/opt/a.jar", &jar("g", "roots", "1").build()),
    ]);
    let give = |path: &str, uid| {
        std::os::unix::fs::chown(tree.at(path), Some(uid), Some(uid)).expect("an owner");
    };
    give(&format!("{deep}/package-lock.json"), 1000);
    give("/home/bob/a.jar", 1001);
    let inventory = inventory(&tree);
    let has = |name: &str| inventory.components.iter().any(|it| it.name == name);
    assert!(has("g:his") && has("g:roots"));
    let kept = inventory.components.len() - 2;
    assert!((30_000..40_000).contains(&kept), "{kept}");
    let left_out = 50_000 - kept;
    assert_eq!(
        unread(&inventory),
        [format!(
            "/: left out: {} of files of the user 1000, which are more than are kept",
            plural(left_out, "component")
        )]
    );
}

#[test]
fn members_cost_what_is_read_of_them() {
    // Eight megabytes that claim to be one byte, which is known when they have been unpacked.
    let packed = deflated(8 << 20);
    let archive = Zip::default().member("a", 8, 0, &packed, 1).build();
    let mut budget = Budget::default();
    let archive = budget.open(&archive).expect("an archive");
    let member = &archive.members[0];
    let mut refused = None;
    for round in 0..200 {
        let why = budget.text(&archive, member).expect_err("it is larger");
        if why
            .to_string()
            .contains("unpacks to more than the limit of")
        {
            refused = Some(round);
            break;
        }
    }
    assert_eq!(refused, Some(128), "of one gigabyte");
}

/// So many bytes that a block of DEFLATE holds as they are (RFC 1951, 3.2.4).
fn deflated(size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() + 5 < size {
        let length = (size - bytes.len() - 5).min(65_535);
        let is_last = bytes.len() + 5 + length == size;
        bytes.push(u8::from(is_last));
        bytes.extend((length as u16).to_le_bytes());
        bytes.extend((!(length as u16)).to_le_bytes());
        bytes.resize(bytes.len() + length, b'x');
    }
    bytes.resize(size, 0);
    bytes
}

/// How much this process has read so far (proc_pid_io(5)).
fn read_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").expect("proc");
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.and_then(|number| number.parse().ok())
        .expect("a number")
}

#[test]
fn a_file_with_many_names_is_read_once_and_proves_by_each() {
    let mut list = lock(1000);
    list.resize(4 << 20, b' ');
    let tree = Tree::with(&[("/srv/0/package-lock.json", &list)]);
    for number in 1..50 {
        tree.dir(&format!("/srv/{number}"));
        let link = tree.at(&format!("/srv/{number}/package-lock.json"));
        std::fs::hard_link(tree.at("/srv/0/package-lock.json"), link).expect("a link");
    }
    let before = read_bytes();
    let inventory = inventory(&tree);
    let read = read_bytes() - before;
    assert!(read < 40 << 20, "{read} bytes");
    assert_eq!(inventory.components.len(), 1000);
    assert!(
        inventory
            .components
            .iter()
            .all(|it| it.evidence.len() == 50)
    );
}

#[test]
fn a_file_with_more_names_than_are_looked_at_says_so() {
    let tree = Tree::with(&[("/srv/000/package-lock.json", &lock(1))]);
    for number in 1..287 {
        let at = format!("/srv/{number:03}");
        tree.dir(&at);
        let link = tree.at(&format!("{at}/package-lock.json"));
        std::fs::hard_link(tree.at("/srv/000/package-lock.json"), link).expect("a link");
    }
    let inventory = inventory(&tree);
    assert_eq!(inventory.components.len(), 1);
    assert_eq!(inventory.components[0].evidence.len(), 256);
    assert_eq!(
        unread(&inventory),
        [
            "/srv/000/package-lock.json: this file has 31 more names, by which it is not looked at: \
             the limit is 256 names"
        ]
    );
}

#[test]
fn each_name_of_a_jar_says_what_it_says() {
    let bare = Zip::default()
        .packed("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\n\r\n")
        .packed("inner.jar", &jar("g", "inner", "1").build())
        .build();
    let tree = Tree::with(&[("/srv/one-1.0.jar", &bare)]);
    let link = |name: &str| {
        std::fs::hard_link(tree.at("/srv/one-1.0.jar"), tree.at(name)).expect("a link");
    };
    link("/srv/two-2.0.jar");
    link("/srv/plain.jar");
    let told: Vec<String> = inventory(&tree)
        .components
        .iter()
        .map(|it| {
            let evidence = it.evidence.iter().map(|it| it.path.to_string());
            let evidence: Vec<String> = evidence.collect();
            format!("{} {}: {}", it.name, it.version, evidence.join(" "))
        })
        .collect();
    assert_eq!(
        told,
        [
            "g:inner 1: /srv/one-1.0.jar /srv/plain.jar /srv/two-2.0.jar",
            "one 1.0: /srv/one-1.0.jar",
            "two 2.0: /srv/two-2.0.jar",
        ]
    );
}

/// The two databases of a store with so many images of one layer.
fn databases(at: &str, images: usize) -> [(String, Vec<u8>); 3] {
    let image =
        |number| format!(r#"{{"id": "i{number}", "names": ["{at}/{number}"], "layer": "a"}}"#);
    let images: Vec<String> = (0..images).map(image).collect();
    [
        (
            format!("{at}/overlay-images/images.json"),
            format!("[{}]", images.join(",")).into_bytes(),
        ),
        (
            format!("{at}/overlay-layers/layers.json"),
            br#"[{"id": "a"}]"#.to_vec(),
        ),
        (
            format!("{at}/overlay/a/diff/a.jar"),
            jar("g", "a", "1").build(),
        ),
    ]
}

/// An ordinary user, whose files the tree's may be.
fn a_user() -> u32 {
    match rustix::process::geteuid().as_raw() {
        0 => 1000,
        uid => uid,
    }
}

#[test]
fn all_stores_of_a_user_share_their_limits() {
    let uid = a_user();
    let home = "/home/ana";
    let mut files: Vec<(String, Vec<u8>)> = vec![
        (
            "/etc/passwd".to_owned(),
            format!("ana:x:{uid}:1000::{home}:/bin/sh\n").into_bytes(),
        ),
        (
            format!("{home}/.config/containers/storage.conf"),
            b"[storage.options]\nadditionalimagestores = [\"/home/ana/two\"]\n".to_vec(),
        ),
    ];
    let own = format!("{home}/.local/share/containers/storage");
    files.extend(databases(&own, 2500));
    files.extend(databases("/home/ana/two", 2500));
    files.extend(databases("/var/lib/containers/storage", 1));
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(at, it)| (at.as_str(), it.as_slice()))
        .collect();
    let tree = Tree::with(&files);
    for path in [
        "/home/ana/two",
        "/home/ana/two/overlay",
        &format!("{own}/overlay"),
    ] {
        if is_root() {
            std::os::unix::fs::chown(tree.at(path), Some(uid), Some(uid)).expect("an owner");
        }
    }
    let inventory = inventory(&tree);
    // A component for each image.
    assert_eq!(inventory.components.len(), 4000 + 1);
    assert_eq!(
        unread(&inventory),
        [format!(
            "{own}: left out: 1,000 images; the limits of one user's stores are 4,000 images and 80,000 \
             layers, and those of all users' 20,000 images and 400,000 layers"
        )]
    );
}

#[test]
fn what_all_users_have_is_limited_as_well() {
    let mut users = Room::of_users();
    for _ in 0..5 {
        let mut room = Room::of_user(&users);
        assert!((0..4000).all(|_| room.image(1)));
        assert!(!room.image(1));
        assert!((0..3000).all(|_| room.layer()));
        assert!(room.database(100 << 20) && !room.database(100 << 20));
        room.end(&mut users);
    }
    let mut room = Room::of_user(&users);
    assert!(!room.image(1) && room.database(1));
    assert_eq!((0..4096).filter(|_| room.layer()).count(), 16_384 - 15_000);
    assert_eq!(
        room.left_out(),
        [
            "left out: 1 image; the limits of one user's stores are 4,000 images and 80,000 layers, and \
          those of all users' 20,000 images and 400,000 layers"
        ]
    );
    // Root's have a room of their own.
    let mut room = Room::of_root();
    assert!(room.image(1) && room.layer() && room.left_out().is_empty());
    let list = format!("[{}]", vec![r#"{"id": "i"}"#; 50_002].join(","));
    let images = podman::parse(
        &path("/s"),
        Driver::Overlay,
        list.as_bytes(),
        b"[]",
        &mut room,
    );
    assert_eq!(images.expect("a database").len(), 19_999);
    assert_eq!(
        room.left_out(),
        [
            "left out: 30,001 images; the limits of root's stores are 20,000 images and 400,000 layers",
            "left out: 2 parts of databases of images, which have more than are read",
        ]
    );
}

#[test]
fn databases_of_one_user_are_read_up_to_a_total() {
    let uid = a_user();
    let conf = "[storage.options]\nadditionalimagestores = [\"/home/ana/1\", \"/home/ana/2\", \
                \"/home/ana/3\"]\n";
    let passwd = format!("ana:x:{uid}:1000::/home/ana:/bin/sh\n");
    let tree = Tree::with(&[
        ("/etc/passwd", passwd.as_bytes()),
        ("/home/ana/.config/containers/storage.conf", conf.as_bytes()),
    ]);
    for number in 1..=3 {
        let database = format!("/home/ana/{number}/overlay-images/images.json");
        tree.file(&database, b"");
        let file = std::fs::File::options()
            .write(true)
            .open(tree.at(&database));
        // It is read as a whole, and no JSON.
        let size = file.and_then(|file| file.set_len(46 << 20));
        size.expect("a sparse file");
        if is_root() {
            let store = tree.at(&format!("/home/ana/{number}"));
            std::os::unix::fs::chown(store, Some(uid), Some(uid)).expect("an owner");
        }
    }
    let mut said = unread(&inventory(&tree));
    said.retain(|line| !line.contains("not a database of containers-storage"));
    assert_eq!(
        said,
        [
            "/home/ana/1: left out: 1 database of images; the limits of one user's stores are \
             134.2 MB of databases, and those of all users' 1.1 GB of databases"
        ]
    );
}
