//! Signed bundles: they carry every kind of feed, are believed only as they were signed, and
//! what is refused leaves everything as it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use host::feeds::{
    Accept, Bundle, FeedError, FeedName, Taken, cosign, export, import, is_bundle, take_in,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use trust::{Keys, Rejected, SecretKey};

use crate::feeds::{Bench, record, tar};

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn on(day: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + day * 86_400).expect("in range")
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_random(&[number; 32])
}

fn believing(numbers: &[u8], threshold: usize) -> Accept {
    let keys = numbers.iter().map(|&number| key(number).public());
    Accept {
        keys: Some(Keys::new(keys, threshold).expect("good keys")),
        unsigned: false,
    }
}

fn name(name: &str) -> FeedName {
    FeedName::new(name).expect("a name")
}

/// A host with two feeds: records in an archive, and scores in a file by itself.
fn exporter() -> Bench {
    let bench = Bench::new();
    let (a, b) = (record("CVE-2026-0001"), record("CVE-2026-0002"));
    let long = format!("{}/b.json", "x".repeat(90));
    let records = bench.file(
        "records",
        &tar(&[("a.json", &a), (&long, &b), ("README", b"x")]),
    );
    let scores = bench.file("s.csv", b"cve,epss,percentile\nCVE-2026-0001,0.01,0.5\n");
    for (feed, path) in [("debian", records), ("epss", scores)] {
        import(&bench.feeds(), &path, &name(feed), on(0)).expect("a good feed");
    }
    bench
}

/// A bundle of all of it, signed by these keys, made on this day and good for thirty.
fn bundle(bench: &Bench, keys: &[u8], day: i64) -> PathBuf {
    let path = bench.path("feeds.bundle");
    let keys: Vec<_> = keys.iter().map(|&number| key(number)).collect();
    export(
        &bench.feeds(),
        &path,
        &[],
        &keys,
        "a test",
        on(day),
        DAY * 30,
    )
    .expect("good feeds");
    path
}

fn receive(bench: &Bench, path: &Path, accept: &Accept, day: i64) -> Result<Bundle, FeedError> {
    match take_in(&bench.feeds(), path, None, accept, on(day))? {
        Taken::Bundle(bundle) => Ok(bundle),
        Taken::Feed(feed) => panic!("{feed:?}"),
    }
}

/// Every file of the feeds' folder but the lock.
fn state(bench: &Bench) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(bench.path("state/feeds")).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .map(|path| (path.clone(), fs::read(&path).expect("a file")))
        .collect()
}

#[test]
fn a_bundle_carries_feeds_to_another_host() {
    let from = exporter();
    let path = bundle(&from, &[1], 1);
    let to = Bench::new();
    let taken = receive(&to, &path, &believing(&[1, 2], 1), 2).expect("a good bundle");
    assert_eq!(taken.from.signed_by, [key(1).public().id()]);
    assert_eq!((taken.from.made, taken.expires), (on(1), on(31)));
    for feed in ["debian", "epss"] {
        let there = from.feeds().read(&name(feed)).expect("imported").feed;
        let here = to.feeds().read(&name(feed)).expect("imported").feed;
        let mut counts = there.counts;
        // What says nothing is left behind.
        counts.other_files = 0;
        assert_eq!(here.counts, counts, "{feed}");
        assert_eq!(here.imported, on(2));
    }
    // It can be handed on: the documents are the same.
    let again = to.path("again.bundle");
    export(
        &to.feeds(),
        &again,
        &[name("epss")],
        &[key(2)],
        "b",
        on(3),
        DAY,
    )
    .expect("good");
    let third = Bench::new();
    let taken = receive(&third, &again, &believing(&[2], 1), 3).expect("a good bundle");
    assert_eq!(taken.feeds.len(), 1);
    // tar reads it: the manifest first, then the documents.
    let mut archive = tar::Archive::new(fs::File::open(&path).expect("ours"));
    let entries = archive.entries().expect("an archive");
    let names: Vec<String> = entries
        .map(|entry| {
            let entry = entry.expect("a member");
            String::from_utf8_lossy(&entry.path_bytes()).into_owned()
        })
        .collect();
    let feeds = ["feeds/debian.tar.zst", "feeds/epss.tar.zst"];
    assert_eq!(names, [&["steadfast-feeds.dsse.json"][..], &feeds].concat());
    assert!(is_bundle(&fs::read(&path).expect("ours")));
}

#[test]
fn who_is_not_believed_changes_nothing() {
    let from = exporter();
    let path = bundle(&from, &[1, 2], 10);
    let to = exporter();
    let before = state(&to);
    let refuse = |accept: &Accept, day: i64| {
        let error = receive(&to, &path, accept, day).expect_err("not believed");
        assert_eq!(state(&to), before, "{error}");
        error
    };
    let keyless = Accept {
        keys: None,
        unsigned: true,
    };
    assert!(matches!(refuse(&keyless, 11), FeedError::NoKeys { .. }));
    let rejected = |accept, day| match refuse(&accept, day) {
        FeedError::Rejected { source, .. } => source,
        error => panic!("{error}"),
    };
    let few = rejected(believing(&[3], 1), 11);
    assert!(matches!(few, Rejected::TooFewKeys { .. }), "{few}");
    let few = rejected(believing(&[1, 3, 4], 2), 11);
    assert!(matches!(few, Rejected::TooFewKeys { .. }), "{few}");
    let expired = rejected(believing(&[1], 1), 40);
    assert!(matches!(expired, Rejected::Expired { .. }), "{expired}");
    let early = rejected(believing(&[1], 1), 8);
    assert!(matches!(early, Rejected::FromTheFuture { .. }), "{early}");
    // Two of three is enough.
    receive(&to, &path, &believing(&[1, 2, 3], 2), 11).expect("a good bundle");
}

/// Each of two people has one key, and hosts want both.
#[test]
fn a_second_person_signs_what_the_first_did() {
    let from = exporter();
    let path = bundle(&from, &[1], 1);
    let alone = fs::read(&path).expect("ours");
    let both = believing(&[1, 2], 2);
    receive(&Bench::new(), &path, &both, 2).expect_err("one is not enough");
    let keys = |numbers: &[u8]| believing(numbers, 1).keys.expect("keys");
    let refuse = |signers: &[SecretKey], trusted: &[u8], day: i64, why: &str| {
        let before = fs::read(&path).expect("ours");
        let error = cosign(&path, signers, &keys(trusted), on(day)).expect_err(why);
        let said = format!("{error}: {:?}", std::error::Error::source(&error));
        assert!(said.contains(why), "{said}");
        assert_eq!(fs::read(&path).expect("ours"), before, "{why}");
        assert!(!from.path("feeds.bundle.new").exists(), "{why}");
    };
    refuse(&[key(2)], &[3], 2, "TooFewKeys");
    refuse(&[key(2)], &[1], 40, "Expired");
    refuse(&[key(1)], &[1], 2, "signed it before");
    // What was changed after the first signature gets no second one.
    for at in [alone.len() - 2000, alone.len() - 1] {
        let mut changed = alone.clone();
        changed[at] ^= 1;
        fs::write(&path, changed).expect("ours");
        let error = cosign(&path, &[key(2)], &keys(&[1]), on(2)).expect_err("changed");
        assert!(matches!(error, FeedError::Refused { .. }), "{error}");
    }
    fs::write(&path, &alone[..alone.len() - 512]).expect("ours");
    refuse(&[key(2)], &[1], 2, "a part of a bundle");
    let many: Vec<_> = (2..18).map(key).collect();
    fs::write(&path, &alone).expect("ours");
    refuse(&many, &[1], 2, "more than 16 signatures");

    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(&path, mode(0o640)).expect("ours");
    let cosigned = cosign(&path, &[key(2), key(1)], &keys(&[1]), on(2)).expect("a good bundle");
    let kept = fs::metadata(&path).expect("ours").permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&kept) & 0o7777,
        0o640
    );
    assert_eq!(cosigned.by, [key(1).public().id()]);
    let taken = receive(&Bench::new(), &path, &both, 2).expect("both signed");
    assert_eq!(taken.from.made, on(1), "it is as old as it was");
    assert_eq!(taken.from.signed_by.len(), 2);
    refuse(&[key(2)], &[1], 2, "signed it before");
}

#[test]
fn an_older_bundle_is_refused_even_after_a_newer_feed_came_unsigned() {
    let from = exporter();
    let (to, accept) = (Bench::new(), believing(&[1], 1));
    let old = from.file(
        "old.bundle",
        &fs::read(bundle(&from, &[1], 1)).expect("ours"),
    );
    let new = bundle(&from, &[1], 2);
    receive(&to, &new, &accept, 3).expect("the newer");
    receive(&to, &new, &accept, 3).expect("the same again");
    let unsigned = Accept {
        unsigned: true,
        ..accept.clone()
    };
    let scores = from.path("s.csv");
    take_in(&to.feeds(), &scores, Some(&name("epss")), &unsigned, on(3)).expect("a good feed");
    let before = state(&to);
    let error = receive(&to, &old, &accept, 3).expect_err("older");
    let FeedError::Rejected { source, .. } = error else {
        panic!("{error}");
    };
    assert!(matches!(source, Rejected::Older { .. }), "{source}");
    assert_eq!(state(&to), before);
    // A memory that can't be read is not an empty one.
    to.file("state/feeds/records.json", b"{}");
    let error = receive(&to, &old, &accept, 3).expect_err("no memory");
    assert!(matches!(error, FeedError::Refused { .. }), "{error}");
}

#[test]
fn where_keys_are_trusted_what_nobody_signed_is_refused() {
    let bench = exporter();
    let before = state(&bench);
    let scores = bench.path("s.csv");
    let taken = |accept: &Accept| {
        take_in(&bench.feeds(), &scores, Some(&name("kev")), accept, on(1)).map(drop)
    };
    let error = taken(&believing(&[1], 1)).expect_err("not signed");
    assert!(matches!(error, FeedError::NotSigned { .. }), "{error}");
    assert_eq!(state(&bench), before);
    let unsigned = Accept {
        unsigned: true,
        ..believing(&[1], 1)
    };
    taken(&unsigned).expect("it was said");
    taken(&Accept::default()).expect("there are no keys");
    // A bundle's feeds have their names.
    let path = bundle(&bench, &[1], 1);
    let named = take_in(
        &bench.feeds(),
        &path,
        Some(&name("kev")),
        &believing(&[1], 1),
        on(1),
    );
    assert!(matches!(named, Err(FeedError::Refused { .. })), "{named:?}");
}

/// Puts something into a bundle, or takes it out; the manifest stays as it was signed.
#[test]
fn a_bundle_that_is_not_as_it_was_signed_is_refused() {
    let from = exporter();
    let good = fs::read(bundle(&from, &[1], 1)).expect("ours");
    let to = exporter();
    let before = state(&to);
    // Where each member begins.
    let starts: Vec<usize> = {
        let mut archive = tar::Archive::new(&*good);
        let entries = archive.entries().expect("an archive");
        let at = entries.map(|entry| entry.expect("a member").raw_header_position());
        at.map(|at| usize::try_from(at).expect("small")).collect()
    };
    let [_, first, second] = starts[..] else {
        panic!("{starts:?}");
    };
    let end = good.len() - 1024;
    let edit = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let renamed = |place: usize, name: &[u8]| {
        edit(&|bytes| {
            bytes[place..place + 100].fill(0);
            bytes[place..place + name.len()].copy_from_slice(name);
            let mut header = tar::Header::new_old();
            header
                .as_mut_bytes()
                .copy_from_slice(&bytes[place..place + 512]);
            header.set_cksum();
            bytes[place..place + 512].copy_from_slice(header.as_bytes());
        })
    };
    let evil = tar(&[("../../etc/evil", b"x")]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("without its end", good[..end].to_vec()),
        ("without its last byte", good[..good.len() - 1].to_vec()),
        ("half", good[..good.len() / 2].to_vec()),
        ("only a header", good[..512].to_vec()),
        ("only the manifest", good[..first].to_vec()),
        ("without a feed", [&good[..second], &good[end..]].concat()),
        (
            "a feed twice",
            [&good[..end], &good[second..end], &good[end..]].concat(),
        ),
        (
            "another order",
            [
                &good[..first],
                &good[second..end],
                &good[first..second],
                &good[end..],
            ]
            .concat(),
        ),
        ("more behind it", [&good[..], &evil].concat()),
        ("a member more", [&good[..end], &evil].concat()),
        (
            "a member between",
            [&good[..first], &evil[..1024], &good[first..]].concat(),
        ),
        (
            "a path that leads away",
            renamed(first, b"../../../etc/passwd"),
        ),
        ("an absolute path", renamed(first, b"/etc/passwd")),
        ("a link", edit(&|bytes| bytes[first + 156] = b'2')),
        ("an owner", edit(&|bytes| bytes[first + 108] = b'7')),
        (
            "a flipped byte of a feed",
            edit(&|bytes| bytes[first + 600] ^= 1),
        ),
        (
            "a flipped byte of padding",
            edit(&|bytes| bytes[second - 1] ^= 1),
        ),
        ("a huge manifest", edit(&|bytes| bytes[124..135].fill(b'7'))),
    ];
    for (what, bytes) in cases {
        let path = from.file("bad.bundle", &bytes);
        let error = receive(&to, &path, &believing(&[1], 1), 2).expect_err(what);
        let expected = matches!(
            error,
            FeedError::Refused { .. } | FeedError::Rejected { .. }
        );
        assert!(expected, "{what}: {error}");
        assert_eq!(state(&to), before, "{what}");
    }
}

/// A feed in a bundle that a trusted key signed can still be one that can't be read.
#[test]
fn one_bad_feed_in_a_signed_bundle_and_none_is_taken() {
    let from = exporter();
    let path = bundle(&from, &[1], 1);
    // Sign what is no feed: documents of the exporter, replaced before it exports.
    let records = from.feeds().records().expect("ours");
    let origin = &records.feeds["epss"];
    let documents = from.path(&format!("state/feeds/{}.documents", origin.documents));
    let mut bytes = fs::read(&documents).expect("ours");
    bytes.truncate(bytes.len() / 2);
    let text = fs::read_to_string(from.path("state/feeds/records.json")).expect("ours");
    let digest = model::Digest::of(&bytes);
    let text = text
        .replace(&origin.documents.to_string(), &digest.to_string())
        .replace(
            &format!("\"size_bytes\": {}", origin.size_bytes),
            &format!("\"size_bytes\": {}", bytes.len()),
        );
    from.file("state/feeds/records.json", text.as_bytes());
    from.file(&format!("state/feeds/{digest}.documents"), &bytes);
    fs::remove_file(path).expect("ours");
    let path = bundle(&from, &[1], 1);
    let to = exporter();
    let before = state(&to);
    let error = receive(&to, &path, &believing(&[1], 1), 2).expect_err("torn");
    assert!(matches!(error, FeedError::Refused { .. }), "{error}");
    assert_eq!(state(&to), before, "not even the good one was taken");
}

#[test]
fn an_export_says_what_it_lacks_and_writes_through_no_link() {
    let bench = exporter();
    let path = bench.path("x.bundle");
    let export = |names: &[FeedName]| {
        export(&bench.feeds(), &path, names, &[key(1)], "a", on(1), DAY).map(drop)
    };
    let error = export(&[name("none")]).expect_err("no such feed");
    assert!(matches!(error, FeedError::NoFeed(_)), "{error}");
    // Somebody waits for us beside it.
    let victim = bench.file("victim", b"precious");
    let beside = bench.path("x.bundle.new");
    std::os::unix::fs::symlink(&victim, &beside).expect("a link");
    export(&[]).expect_err("something is there");
    fs::remove_file(&beside).expect("ours");
    std::os::unix::fs::symlink(&victim, &path).expect("a link");
    export(&[]).expect("the link is replaced");
    assert_eq!(fs::read(&victim).expect("ours"), b"precious");
    // Documents that the disk changed are not signed for.
    let records = bench.feeds().records().expect("ours");
    let digest = records.feeds["debian"].documents;
    bench.file(&format!("state/feeds/{digest}.documents"), b"else");
    let error = export(&[]).expect_err("damaged");
    assert!(matches!(error, FeedError::Refused { .. }), "{error}");
    assert!(!beside.exists());
    // A feed of an earlier version has no documents.
    fs::remove_file(bench.path("state/feeds/records.json")).expect("ours");
    let error = export(&[]).expect_err("none were kept");
    assert!(matches!(error, FeedError::NoDocuments(_)), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One bit, anywhere in the file: refused, or, in a hint that nobody signed, without effect.
    #[test]
    fn a_flipped_bit_changes_nothing(place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let from = exporter();
        let mut bytes = fs::read(bundle(&from, &[1], 1)).expect("ours");
        let at = place.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let path = from.file("bad.bundle", &bytes);
        let to = Bench::new();
        match take_in(&to.feeds(), &path, None, &believing(&[1], 1), on(2)) {
            Err(_) => prop_assert!(to.feeds().names().expect("ours").is_empty()),
            Ok(Taken::Bundle(bundle)) => {
                prop_assert_eq!(bundle.from.made, on(1));
                prop_assert_eq!(bundle.feeds.len(), 2);
            }
            Ok(Taken::Feed(feed)) => prop_assert!(false, "unsigned: {feed:?}"),
        }
    }
}
