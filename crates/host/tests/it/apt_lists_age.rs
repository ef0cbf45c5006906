//! How old apt's lists are.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use host::packages::Lists;
use jiff::Timestamp;

const NOW: &str = "2026-11-28T08:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// Gives a file or a folder a time.
fn touch(path: &Path, time: &str) {
    let file = fs::File::open(path).expect("it is there");
    let seconds = u64::try_from(at(time).as_second()).expect("after 1970");
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    file.set_modified(time).expect("set");
}

#[test]
fn the_age_of_lists_is_that_of_their_folder_or_of_the_stamp() {
    let folder = tempfile::tempdir().expect("a folder");
    let lists = folder.path().join("lists");
    let stamp = folder.path().join("stamp");
    let seen = || Lists::in_folder(&lists, &stamp, at(NOW)).expect("read");
    assert_eq!(seen(), Lists::Missing);
    fs::create_dir(&lists).expect("made");
    fs::write(lists.join("lock"), "").expect("written");
    let release = lists.join("a_InRelease");
    fs::write(&release, "Date: Thu, 01 Jan 2026 00:00:00 UTC\n").expect("written");
    assert_eq!(seen(), Lists::Missing);
    // A list that leads nowhere is none.
    std::os::unix::fs::symlink("/nowhere/Packages", lists.join("b_Packages")).expect("linked");
    assert_eq!(seen(), Lists::Missing);
    let packages = lists.join("a_main_binary-amd64_Packages.lz4");
    fs::write(&packages, "").expect("written");
    // The server's times say nothing.
    touch(&packages, "2024-01-01T00:00:00Z");
    touch(&release, "2024-01-01T00:00:00Z");
    touch(&lists, "2026-11-26T07:00:00Z");
    assert_eq!(seen().days(at(NOW)), Some(2));
    assert!(seen().are_fresh(at(NOW)));
    touch(&lists, "2025-11-28T08:00:00Z");
    assert_eq!(seen().days(at(NOW)), Some(365));
    assert!(!seen().are_fresh(at(NOW)));
    fs::write(&stamp, "").expect("written");
    touch(&stamp, "2026-11-21T08:00:00Z");
    assert_eq!(seen().days(at(NOW)), Some(7));
    assert!(seen().are_fresh(at(NOW)));
    touch(&stamp, "2026-11-21T07:59:59Z");
    assert!(!seen().are_fresh(at(NOW)));
}

/// Of several archives the one that could not be fetched tells.
#[test]
fn a_list_is_old_when_its_archive_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let lists = folder.path();
    fs::write(lists.join("a_Packages"), "").expect("written");
    fs::write(lists.join("a_Release"), "Suite: a\n").expect("written");
    let until = |time: &str| {
        let text = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSuite: b\nValid-Until: {time}\n"
        );
        fs::write(lists.join("b_InRelease"), text).expect("written");
        touch(lists, "2026-11-28T07:00:00Z");
        Lists::in_folder(lists, Path::new("/nowhere"), at(NOW)).expect("read")
    };
    let seen = until("Sat, 28 Nov 2026 08:00:01 UTC");
    assert_eq!(seen.days(at(NOW)), Some(0));
    assert!(seen.are_fresh(at(NOW)));
    let seen = until("Sat, 28 Nov 2026 07:59:59 UTC");
    let since = at("2026-11-28T07:59:59Z");
    assert_eq!(seen, Lists::Expired { since });
    assert!(!seen.are_fresh(at(NOW)));
}
