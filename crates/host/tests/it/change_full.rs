//! A full disk: what can't be written is taken back, with the room that was kept for that.

use std::io::Write;
use std::path::Path;

use host::{Applied, CrashPoints, Verdict};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::bench::{Bench, is_root, make_dir, put, remove, skip};

/// A small file system with a tree and a state directory on it.
struct SmallDisk {
    path: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl SmallDisk {
    fn new(size: &str) -> std::io::Result<Self> {
        let folder = tempfile::TempDir::with_prefix_in("steadfast-test-", "/run")?;
        let path = folder.path().join("disk");
        std::fs::create_dir(&path)?;
        let options = std::ffi::CString::new(format!("size={size},mode=0755"))?;
        rustix::mount::mount("none", &path, "tmpfs", MountFlags::empty(), &*options)?;
        Ok(Self {
            path,
            _folder: folder,
        })
    }

    fn bench(&self) -> Bench {
        Bench::inside(&self.path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.path, UnmountFlags::DETACH);
    }
}

/// Writes until nothing more fits.
pub fn fill(disk: &Path) {
    let mut file = std::fs::File::create(disk.join("filler")).expect("a file");
    for size in [64 << 10, 4096, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

#[test]
fn a_disk_that_fills_up_while_a_plan_is_carried_out() {
    if !is_root() {
        return skip("needs root to mount a small file system");
    }
    let disk = SmallDisk::new("2m").expect("a small disk");
    let bench = Bench::with_tree_in(&disk.path);
    let before = bench.snapshot();
    let plan = bench.plan([
        put("/etc/app.conf", "changed\n"),
        make_dir("/etc/new.d"),
        remove("/etc/gone.conf"),
        put("/etc/new.d/large", &"x".repeat(6 << 20)),
    ]);
    let (applied, _) = bench.apply_with(&plan, CrashPoints::none(), &|_| Verdict::default());
    let applied = applied.expect("carried out");
    assert!(
        matches!(applied, Applied::TakenBack { verified: true, .. }),
        "{applied:?}"
    );
    assert_eq!(before, bench.snapshot());
}

#[test]
fn a_way_back_is_left_when_not_one_byte_is_free() {
    if !is_root() {
        return skip("needs root to mount a small file system");
    }
    let disk = SmallDisk::new("8m").expect("a small disk");
    // Journal and tree on one file system, and on two.
    fills_up_before_the_verdict(&disk, &disk.bench());
    let disk = SmallDisk::new("8m").expect("a small disk");
    fills_up_before_the_verdict(&disk, &Bench::with_tree_in(&disk.path));
}

fn fills_up_before_the_verdict(disk: &SmallDisk, bench: &Bench) {
    let before = bench.snapshot();
    let plan = bench.plan([
        put("/etc/app.conf", "changed\n"),
        make_dir("/etc/new.d"),
        put("/etc/new.d/a", "a\n"),
        remove("/etc/gone.conf"),
    ]);
    let (applied, _) = bench.apply_with(&plan, CrashPoints::none(), &|_| {
        fill(&disk.path);
        Verdict {
            failed: vec![("rule-0".to_owned(), "a test".to_owned())],
        }
    });
    let applied = applied.expect("carried out");
    assert!(
        matches!(applied, Applied::TakenBack { verified: true, .. }),
        "{applied:?}"
    );
    assert_eq!(before, bench.snapshot());
}

#[test]
fn a_full_disk_is_refused_before_anything_is_touched() {
    if !is_root() {
        return skip("needs root to mount a small file system");
    }
    let disk = SmallDisk::new("8m").expect("a small disk");
    let bench = disk.bench();
    drop(bench.open());
    let before = bench.snapshot();
    fill(&disk.path);
    let plan = bench.plan([put("/etc/app.conf", "changed\n")]);
    let (applied, _) = bench.apply_with(&plan, CrashPoints::none(), &|_| Verdict::default());
    assert!(applied.is_err(), "{applied:?}");
    assert_eq!(before, bench.snapshot());
}
