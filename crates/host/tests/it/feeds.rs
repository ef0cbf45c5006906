//! Feeds: imported from files of every kind, kept as a whole or not at all, and read back.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use host::Create;
use host::feeds::{FeedError, FeedName, Feeds, Imported, import};
use jiff::Timestamp;

use crate::bench::is_root;

pub struct Bench {
    folder: tempfile::TempDir,
}

pub fn record(id: &str) -> Vec<u8> {
    format!(
        r#"{{"id":"{id}","modified":"2026-06-01T00:00:00Z","summary":"about {id}","affected":[{{
        "package":{{"ecosystem":"Debian:12","name":"openssl"}},
        "ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"2"}}]}}]}}]}}"#
    )
    .into_bytes()
}

/// Later than the records are dated.
fn now() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().expect("a time")
}

impl Bench {
    pub fn new() -> Self {
        // Root's state must lie where only root can write, which `/tmp` is not.
        let folder = match is_root() {
            true => tempfile::tempdir_in("/run"),
            false => tempfile::tempdir(),
        };
        Self {
            folder: folder.expect("a folder"),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        fs::write(&path, bytes).expect("a file");
        path
    }

    pub fn feeds(&self) -> Feeds {
        let feeds = Feeds::open(&self.path("state"), Create::Yes);
        feeds.expect("our own folder").expect("it may be made")
    }

    pub fn import(&self, path: &Path) -> Result<Imported, FeedError> {
        let name = FeedName::new("test").expect("a name");
        import(&self.feeds(), path, &name, now())
    }

    fn advisories(&self, path: &Path) -> usize {
        let imported = self.import(path).unwrap_or_else(|error| panic!("{error}"));
        imported.feed.counts.advisories
    }
}

pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // Set by hand, as nobody refuses a bad name that way.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, *bytes).expect("in memory");
    }
    archive.into_inner().expect("in memory")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).expect("in memory");
    packer.finish().expect("in memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("in memory")
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, bytes) in files {
        archive.start_file(*name, options).expect("in memory");
        archive.write_all(bytes).expect("in memory");
    }
    archive.finish().expect("in memory").into_inner()
}

#[test]
fn every_kind_of_source_is_read() {
    let bench = Bench::new();
    let (a, b) = (record("CVE-2026-0001"), record("CVE-2026-0002"));
    let both: [(&str, &[u8]); 3] = [("x/a.json", &a), ("b.json", &b), ("README", b"text")];
    let plain = bench.file("a.json", &a);
    assert_eq!(bench.advisories(&plain), 1);
    bench.file("folder/deep/a.json", &a);
    bench.file("folder/b.json", &b);
    bench.file("folder/.git/c.json", b"not a record");
    std::os::unix::fs::symlink("/dev/zero", bench.path("folder/z.json")).expect("a link");
    assert_eq!(bench.advisories(&bench.path("folder")), 2);
    for (name, bytes) in [
        ("all.tar", tar(&both)),
        ("all.tar.gz", gzip(&tar(&both))),
        ("all.tar.zst", zstd(&tar(&both))),
        ("all.zip", zip(&both)),
        // Names lie.
        ("all.json", zstd(&tar(&both))),
    ] {
        let path = bench.file(name, &bytes);
        assert_eq!(bench.advisories(&path), 2, "{name}");
    }
    let packed = bench.file("a.json.gz", &gzip(&a));
    assert_eq!(bench.advisories(&packed), 1);
}

#[test]
fn what_was_imported_is_read_back() {
    let bench = Bench::new();
    let path = bench.file("a.json", &record("CVE-2026-0001"));
    let imported = bench.import(&path).expect("a good record");
    let feeds = bench.feeds();
    let names = feeds.names().expect("our own folder");
    assert_eq!(
        names.iter().map(FeedName::as_str).collect::<Vec<_>>(),
        ["test"]
    );
    let held = feeds.read(&names[0]).expect("a good index");
    assert_eq!(held.feed, imported.feed);
    let index = held.index().expect("a good index");
    let row = index.find("CVE-2026-0001").expect("good").expect("there");
    let (summary, _) = held.text(&row.text().expect("good")).expect("good");
    assert_eq!(summary, "about CVE-2026-0001");
    let file = bench.path("state/feeds/test.idx");
    let mode = fs::metadata(&file)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // Only what belongs there is left.
    let left = fs::read_dir(bench.path("state/feeds"))
        .expect("a folder")
        .count();
    assert_eq!(
        left, 4,
        "the index, the documents, the records and the lock"
    );
    let mut bytes = fs::read(&file).expect("it is there");
    bytes[300] ^= 1;
    fs::write(&file, bytes).expect("it is ours");
    assert!(matches!(
        feeds.read(&names[0]),
        Err(FeedError::Index { .. })
    ));
}

/// Everything here is refused with a message, and the index of before stays.
#[test]
fn what_is_torn_or_hostile_is_refused_and_the_old_index_stays() {
    let bench = Bench::new();
    let good = record("CVE-2026-0001");
    let kept = bench.file("good.json", &good);
    bench.import(&kept).expect("a good record");
    let file = bench.path("state/feeds/test.idx");
    let before = fs::read(&file).expect("it is there");
    let many: Vec<(String, Vec<u8>)> = (1000..1400)
        .map(|number| {
            (
                format!("{number}.json"),
                record(&format!("CVE-2026-{number}")),
            )
        })
        .collect();
    let many: Vec<(&str, &[u8])> = many
        .iter()
        .map(|(name, bytes)| (&**name, &**bytes))
        .collect();
    let (archive, zipped) = (tar(&many), zip(&many));
    let (packed, gzipped) = (zstd(&archive), gzip(&archive));
    let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let mut flipped = gzipped.clone();
    flipped[gzipped.len() / 2] ^= 0xff;
    // 300 MB of zeros in some kilobytes.
    let zeros = vec![0; 300 << 20];
    let bomb = zstd(&zeros);
    let in_tar = zstd(&tar(&[("a.json", &zeros[..200 << 20])]));
    drop(zeros);
    let mostly_bad = tar(&[("a.json", &good), ("b.json", b"{"), ("c.json", b"{}")]);
    let between = archive[..archive.len() - 1024].to_vec();
    let cases: [(&str, Vec<u8>, &str); 14] = [
        ("an archive without its end", between, "its end is missing"),
        ("half a record", half(&good), "EOF"),
        ("nothing", Vec::new(), "holds no advisory"),
        ("text", b"hello".to_vec(), "holds no advisory"),
        ("half an archive", half(&archive), "damaged"),
        ("half of a zstd stream", half(&packed), "damaged"),
        ("half of a gzip stream", half(&gzipped), "damaged"),
        ("half of a zip archive", half(&zipped), "can't be unpacked"),
        ("a flipped byte", flipped, "damaged"),
        (
            "without its last byte",
            gzipped[..gzipped.len() - 1].to_vec(),
            "damaged",
        ),
        ("a bomb", bomb, "times its size"),
        ("a bomb in an archive", in_tar, "times its size"),
        ("mostly unreadable", mostly_bad, "2 of its 3 records"),
        (
            "only a magic number",
            b"\x28\xb5\x2f\xfd".to_vec(),
            "damaged",
        ),
    ];
    for (what, bytes, expected) in cases {
        let path = bench.file("bad.json", &bytes);
        let error = bench.import(&path).expect_err(what).to_string();
        assert!(error.contains(expected), "{what}: {error}");
        assert_eq!(fs::read(&file).expect("it is there"), before, "{what}");
    }
    assert!(matches!(
        bench.import(&bench.path("none")),
        Err(FeedError::Io { .. })
    ));
    assert!(matches!(
        bench.import(Path::new("/dev/zero")),
        Err(FeedError::Refused { .. })
    ));
}

#[test]
fn an_archive_with_a_member_that_leads_out_of_it_is_refused() {
    let bench = Bench::new();
    let good = record("CVE-2026-0001");
    let kept = bench.file("good.json", &good);
    bench.import(&kept).expect("a good record");
    let file = bench.path("state/feeds/test.idx");
    let before = fs::read(&file).expect("it is there");
    let deep = format!("{}/../../../etc/x.json", "d".repeat(150));
    for (name, why) in [
        ("../../etc/x.json", "leads out of the archive"),
        ("a/../../x.json", "leads out of the archive"),
        ("a/..", "leads out of the archive"),
        ("/etc/x.json", "is an absolute path"),
        ("..\\..\\x.json", "has a backslash in its name"),
        ("C:/x.json", "begins with a drive"),
        ("c:x.json", "begins with a drive"),
    ] {
        // One such member among good ones is enough.
        let members: [(&str, &[u8]); 3] = [("a.json", &good), (name, &good), ("z.json", &good)];
        let (archive, zipped) = (tar(&members), zip(&members));
        for (kind, bytes) in [
            ("zip", zipped),
            ("tar.gz", gzip(&archive)),
            ("tar.zst", zstd(&archive)),
            ("tar", archive),
        ] {
            let path = bench.file("bad", &bytes);
            let error = bench.import(&path).expect_err(name).to_string();
            let wanted = format!("its member `{name}` {why}");
            assert!(error.contains(&wanted), "{kind}: {error}");
            assert_eq!(
                fs::read(&file).expect("it is there"),
                before,
                "{kind} {name}"
            );
        }
    }
    // Names that stand before their member, as GNU's and pax's tools write them.
    let mut gnu = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.as_mut_bytes()[..13].copy_from_slice(b"././@LongLink");
    header.set_size(deep.len() as u64 + 1);
    header.set_cksum();
    let name = [deep.as_bytes(), b"\0"].concat();
    gnu.append(&header, &name[..]).expect("in memory");
    let mut pax = tar::Builder::new(Vec::new());
    pax.append_pax_extensions([("path", deep.as_bytes())])
        .expect("in memory");
    for mut archive in [gnu, pax] {
        let mut header = tar::Header::new_gnu();
        header.set_size(good.len() as u64);
        header.as_mut_bytes()[..6].copy_from_slice(b"x.json");
        header.set_cksum();
        archive.append(&header, &good[..]).expect("in memory");
        let path = bench.file("bad", &archive.into_inner().expect("in memory"));
        let error = bench.import(&path).expect_err("it climbs").to_string();
        assert!(error.contains("leads out of the archive"), "{error}");
        assert_eq!(fs::read(&file).expect("it is there"), before);
    }
    // What is inside may be called anything else.
    let harmless: [(&str, &[u8]); 3] = [
        ("./a..json", &good),
        ("a/.../b.json", &good),
        ("GHSA:1/c.json", &good),
    ];
    for bytes in [tar(&harmless), zip(&harmless)] {
        let path = bench.file("good", &bytes);
        assert_eq!(bench.advisories(&path), 1);
    }
}

/// A date that was never does not make a feed fresh.
#[test]
fn what_is_dated_after_the_import_is_no_age() {
    let bench = Bench::new();
    let dated = |id: &str, at: &str| {
        let text = String::from_utf8(record(id)).expect("text");
        text.replace("2026-06-01T00:00:00Z", at).into_bytes()
    };
    let good = record("CVE-2026-0001");
    // Clocks differ by hours.
    let soon = dated("CVE-2026-0002", "2026-12-01T20:00:00Z");
    let never = dated("CVE-2026-0003", "2099-01-01T00:00:00Z");
    let files: [(&str, &[u8]); 3] = [("1.json", &good), ("2.json", &soon), ("3.json", &never)];
    let feed = bench.import(&bench.file("a.tar", &tar(&files)));
    let feed = feed.expect("they can be read").feed;
    assert_eq!(
        feed.newest.expect("dated").to_string(),
        "2026-12-01T20:00:00Z"
    );
    assert_eq!((feed.counts.advisories, feed.counts.malformed), (3, 1));
    let said = &feed.counts.malformed_first[0];
    assert!(
        said.starts_with("1 date later than the import, as 2099-01-01"),
        "{said}"
    );
    // By itself it is of no time.
    let catalog =
        br#"{"title":"CISA Catalog of Known Exploited Vulnerabilities","catalogVersion":"1",
        "dateReleased":"2099-01-01T00:00:00Z","count":1,"vulnerabilities":[{"cveID":"CVE-2026-0001",
        "dateAdded":"2026-01-01","dueDate":"2026-01-15","knownRansomwareCampaignUse":"Unknown"}]}"#;
    let feed = bench.import(&bench.file("kev.json", catalog));
    let feed = feed.expect("it can be read").feed;
    assert_eq!((feed.newest, feed.counts.known_exploited), (None, 1));
}

#[test]
fn a_few_unreadable_records_are_counted_and_shown() {
    let bench = Bench::new();
    let records: Vec<(String, Vec<u8>)> = (1000..1100)
        .map(|number| {
            (
                format!("{number}.json"),
                record(&format!("CVE-2026-{number}")),
            )
        })
        .collect();
    let mut files: Vec<(&str, &[u8])> = records.iter().map(|(n, b)| (&**n, &**b)).collect();
    files.push(("broken.json", b"{"));
    let path = bench.file("a.tar", &tar(&files));
    let counts = bench.import(&path).expect("nearly good").feed.counts;
    assert_eq!((counts.advisories, counts.malformed), (100, 1));
    assert!(
        counts.malformed_first[0].starts_with("broken.json: "),
        "{counts:?}"
    );
}

#[test]
fn names_of_feeds() {
    for (file, name) in [
        ("debian-osv-2025-02-12.tar.zst", Some("debian-osv")),
        (
            "/x/known_exploited_vulnerabilities.json",
            Some("known-exploited-vulnerabilities"),
        ),
        ("kev-2025-08-25.json.gz", Some("kev")),
        ("epss_scores-current.csv.gz", Some("epss-scores-current")),
        ("2024", Some("2024")),
        ("...", None),
    ] {
        let seen = FeedName::from_file(Path::new(file)).ok();
        assert_eq!(seen.as_ref().map(FeedName::as_str), name, "{file}");
    }
    for bad in ["", "a/b", "..", "-a", "A", "ä"] {
        assert!(FeedName::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_folder_that_others_may_write_is_refused() {
    let bench = Bench::new();
    bench.feeds();
    let folder = bench.path("state/feeds");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("ours");
    let opened = Feeds::open(&bench.path("state"), Create::No);
    assert!(matches!(opened, Err(FeedError::State(_))), "{opened:?}");
    assert!(matches!(
        Feeds::open(&bench.path("none"), Create::No),
        Ok(None)
    ));
}

/// Case A14 of 2026-11-30: an archive of 300,000 `{}` was read to its end before it was refused.
#[test]
fn an_archive_of_what_is_no_advisory_is_given_up_early() {
    let bench = Bench::new();
    let names: Vec<String> = (0..6000).map(|number| format!("{number}.json")).collect();
    let files: Vec<(&str, &[u8])> = names
        .iter()
        .map(|name| (name.as_str(), &b"{}"[..]))
        .collect();
    let path = bench.file("many.zip", &zip(&files));
    let refused = bench.import(&path).expect_err("refused").to_string();
    assert!(refused.contains("2500 of its first records"), "{refused}");
    // A pipe would be waited for without end.
    let pipe = bench.path("pipe.json");
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::Mode::from_raw_mode(0o600),
    )
    .expect("a pipe");
    let refused = bench.import(&pipe).expect_err("refused").to_string();
    assert!(
        refused.contains("neither a file nor a directory"),
        "{refused}"
    );
}
