//! How before-images are stored: compressed where that helps, holes kept as holes, and a damaged
//! one never put back.

use std::os::unix::fs::{FileExt, MetadataExt};

use host::{Applied, CrashPoints, Undone};

use crate::bench::{Bench, put};

const TEXT_BYTES: usize = 300_000;
const HOLES_BYTES: u64 = 8 << 20;

/// A long text, random bytes, and a file that is mostly holes, with a hole at its end; each
/// replaced by a change.
fn changed() -> (Bench, Vec<(&'static str, Vec<u8>)>) {
    let bench = Bench::new();
    // Marsaglia's xorshift.
    let mut state = 88_172_645_463_325_252_u64;
    let random: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
    .take(100_000)
    .collect();
    std::fs::write(bench.path("/etc/long"), "one line\n".repeat(TEXT_BYTES / 9)).expect("a file");
    std::fs::write(bench.path("/etc/random"), random).expect("a file");
    let holes = std::fs::File::create(bench.path("/etc/holes")).expect("a file");
    holes.write_all_at(b"begins", 0).expect("written");
    holes
        .write_all_at(b"middle", HOLES_BYTES / 2)
        .expect("written");
    holes.set_len(HOLES_BYTES).expect("its length");
    let before = ["/etc/long", "/etc/random", "/etc/holes"]
        .map(|path| (path, std::fs::read(bench.path(path)).expect("a file")));
    let new = before.iter().map(|(path, _)| put(path, "new\n"));
    let plan = bench.plan(new.collect::<Vec<_>>());
    bench.apply(&plan).expect("applied");
    (bench, before.to_vec())
}

/// The names and the sizes of what is stored.
fn stored(bench: &Bench) -> Vec<(String, u64)> {
    let images = bench.open().images().directory().to_owned();
    let entries = std::fs::read_dir(images).expect("a directory");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, entry.metadata().expect("it is there").len())
        })
        .collect()
}

#[test]
fn what_can_be_compressed_is_and_holes_stay_holes() {
    let (bench, before) = changed();
    let stored = stored(&bench);
    let packed: u64 = stored
        .iter()
        .filter(|(name, _)| name.ends_with(".zst"))
        .map(|(_, size)| size)
        .sum();
    assert!(packed < 10_000, "two of them: {stored:?}");
    assert!(
        stored.iter().any(|(_, size)| *size == 100_000),
        "{stored:?}"
    );
    let undone = bench.undo(1, CrashPoints::none());
    assert!(matches!(undone, Ok(Undone::Done { .. })), "{undone:?}");
    for (path, content) in before {
        assert!(
            std::fs::read(bench.path(path)).expect("a file") == content,
            "{path}"
        );
    }
    const BLOCK: u64 = 512;
    let holes = std::fs::metadata(bench.path("/etc/holes")).expect("it is there");
    assert!(
        holes.blocks() * BLOCK < HOLES_BYTES / 4,
        "{}",
        holes.blocks()
    );
}

#[test]
fn what_is_damaged_is_not_put_back() {
    let (bench, _) = changed();
    let images = bench.open().images().directory().to_owned();
    let (name, size) = stored(&bench)
        .into_iter()
        .filter(|(name, _)| name.ends_with(".zst"))
        .max_by_key(|(_, size)| *size)
        .expect("one that is compressed");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(images.join(name))
        .expect("it is there");
    file.write_all_at(b"\xff\xff\xff", size / 2)
        .expect("damaged");
    let undone = bench.undo(1, CrashPoints::none());
    assert!(!matches!(undone, Ok(Undone::Done { .. })), "{undone:?}");
    // What can be put back is.
    let left = ["/etc/long", "/etc/random", "/etc/holes"]
        .iter()
        .filter(|path| std::fs::read(bench.path(path)).is_ok_and(|now| now == b"new\n"));
    assert!(left.count() >= 1);
}

/// What the change made in a database of accounts is asked for before any of it goes: whose
/// after-image is lost is not called unchanged.
#[test]
fn accounts_of_a_lost_after_image_do_not_go_unasked() {
    let with = "root:x:0:0:root:/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\n";
    let bench = Bench::new();
    let applied = bench.apply(&bench.plan([put("/etc/passwd", with)]));
    assert!(matches!(applied, Ok(Applied::Committed(_))), "{applied:?}");
    let _put_back = bench.lose_image(with);
    let others = format!("{with}eve:x:1001:1001::/home/eve:/bin/sh\n");
    std::fs::write(bench.path("/etc/passwd"), &others).expect("written");
    let undone = bench.undo(1, CrashPoints::default());
    let error = undone.expect_err("refused").to_string();
    assert!(
        error.contains("tell what the change made in `/etc/passwd`"),
        "{error}"
    );
    assert_eq!(bench.read("/etc/passwd"), others);
    // As the change left it, its content is there.
    std::fs::write(bench.path("/etc/passwd"), with).expect("written");
    let undone = bench.undo(1, CrashPoints::default());
    assert!(matches!(undone, Ok(Undone::Done { .. })), "{undone:?}");
    assert_eq!(bench.read("/etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
}

/// Good bytes in hand take the place of damaged ones, for the changes that rest on them too.
#[test]
fn what_is_stored_again_is_whole_again() {
    let bench = Bench::new();
    let before = bench.read("/etc/app.conf");
    for (number, text) in [(1, "one\n"), (2, "two\n")] {
        let applied = bench.apply(&bench.plan([put("/etc/app.conf", text)]));
        assert!(matches!(applied, Ok(Applied::Committed(_))), "{applied:?}");
        let undone = (number == 2).then(|| bench.undo(2, CrashPoints::default()));
        assert!(matches!(undone, None | Some(Ok(Undone::Done { .. }))));
    }
    let image = bench
        .state
        .join("images")
        .join(model::Digest::of(before.as_bytes()).to_string());
    std::fs::write(&image, "damaged").expect("written");
    // The same content is kept for another file.
    std::fs::write(bench.path("/etc/same.conf"), &before).expect("written");
    let applied = bench.apply(&bench.plan([put("/etc/same.conf", "three\n")]));
    assert!(matches!(applied, Ok(Applied::Committed(_))), "{applied:?}");
    assert_eq!(std::fs::read_to_string(&image).expect("an image"), before);
    let undone = bench.undo(1, CrashPoints::default());
    assert!(matches!(undone, Ok(Undone::Done { .. })), "{undone:?}");
    assert_eq!(bench.read("/etc/app.conf"), before);
}
