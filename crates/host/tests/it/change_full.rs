//! A full disk: what can't be written is taken back, with the room that was kept for that.

use std::io::Write;
use std::path::Path;

use host::{Applied, CrashPoints, Undone, Verdict};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::bench::{Bench, assert_same, every_file_effect, is_root, make_dir, put, remove, skip};

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

    /// A real file system, whose blocks, directories and journal take room of their own.
    fn ext4(size: &str) -> Option<Self> {
        let folder = tempfile::TempDir::with_prefix_in("steadfast-test-", "/run").ok()?;
        let (path, image) = (folder.path().join("disk"), folder.path().join("image"));
        std::fs::create_dir(&path).ok()?;
        let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
            let output = std::process::Command::new(program).args(arguments).output();
            output.is_ok_and(|output| output.status.success())
        };
        let (on, at) = (image.as_os_str(), path.as_os_str());
        let made = run("/usr/bin/truncate", &["-s".as_ref(), size.as_ref(), on])
            && run("/sbin/mkfs.ext4", &["-q".as_ref(), "-m0".as_ref(), on])
            && run("/bin/mount", &["-o".as_ref(), "loop".as_ref(), on, at]);
        made.then_some(Self {
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
            ..Verdict::default()
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
    assert!(
        matches!(&applied, Err(error) if error.is_full()),
        "{applied:?}"
    );
    assert_eq!(before, bench.snapshot());
    let stored = std::fs::read_dir(bench.state.join("images")).expect("a folder");
    assert_eq!(stored.count(), 0, "what was stored for it goes again");
}

fn small_disks() -> Vec<SmallDisk> {
    let mut disks = vec![SmallDisk::new("48m").expect("a small disk")];
    match SmallDisk::ext4("64M") {
        Some(disk) => disks.push(disk),
        None => skip("there is no mkfs.ext4, or no loop device"),
    }
    disks
}

/// Among them a large file that is put back where a small one is now.
#[test]
fn a_change_is_undone_when_not_one_byte_is_free() {
    if !is_root() {
        return skip("needs root to mount a small file system");
    }
    for disk in small_disks() {
        let bench = disk.bench();
        std::fs::write(bench.path("/etc/large"), "x".repeat(6 << 20)).expect("a file");
        let before = bench.snapshot();
        let mut effects = every_file_effect();
        effects.push(put("/etc/large", "small\n"));
        let applied = bench.apply(&bench.plan(effects)).expect("applied");
        assert!(matches!(applied, Applied::Committed(_)), "{applied:?}");
        fill(&disk.path);
        let undone = bench.undo(1, CrashPoints::none());
        assert!(
            matches!(&undone, Ok(Undone::Done { merged, .. }) if merged.is_empty()),
            "{undone:?}"
        );
        assert_same(&before, &bench.snapshot(), "undone on a full disk");
    }
}

/// The result of a merge needs room before anything is given back.
#[test]
fn a_file_that_others_changed_is_merged_when_not_one_byte_is_free() {
    if !is_root() {
        return skip("needs root to mount a small file system");
    }
    for disk in small_disks() {
        let bench = disk.bench();
        let plan = bench.plan([put("/etc/app.conf", "one = 1\ntwo = 22\nthree = 3\n")]);
        bench.apply(&plan).expect("applied");
        let theirs = "one = 1\ntwo = 22\nthree = 3\nfour = 4\n";
        std::fs::write(bench.path("/etc/app.conf"), theirs).expect("written");
        fill(&disk.path);
        let undone = bench.undo(1, CrashPoints::none());
        assert!(
            matches!(&undone, Ok(Undone::Done { merged, .. }) if merged.len() == 1),
            "{undone:?}"
        );
        let merged = "one = 1\ntwo = 2\nthree = 3\nfour = 4\n";
        assert_eq!(bench.read("/etc/app.conf"), merged);
    }
}

/// Nothing is kept on a file system that does not hold the journal, once a change stands.
#[test]
fn an_undo_without_room_is_refused_as_a_whole() {
    if !is_root() {
        return skip("needs root to mount a small file system");
    }
    for disk in small_disks() {
        let bench = Bench::with_tree_in(&disk.path);
        let before = bench.snapshot();
        bench
            .apply(&bench.plan(every_file_effect()))
            .expect("applied");
        let planned = bench.snapshot();
        fill(&disk.path);
        let undone = bench.undo(1, CrashPoints::none());
        assert!(
            matches!(&undone, Err(error) if error.is_full()),
            "{undone:?}"
        );
        assert_same(&planned, &bench.snapshot(), "refused");
        assert!(bench.open().pending().expect("a list").is_empty());
        std::fs::remove_file(disk.path.join("filler")).expect("removed");
        let undone = bench.undo(1, CrashPoints::none());
        assert!(matches!(&undone, Ok(Undone::Done { .. })), "{undone:?}");
        assert_same(&before, &bench.snapshot(), "undone");
    }
}

/// Somebody takes the room that was given back, at the very moment: the undo stays halfway,
/// says so, and recovery completes it when there is room.
#[test]
fn an_undo_that_loses_its_room_is_completed_later() {
    if !is_root() {
        return skip("needs root to mount a small file system");
    }
    let one = small_disks().into_iter().map(|disk| (disk.bench(), disk));
    let two = small_disks()
        .into_iter()
        .map(|disk| (Bench::with_tree_in(&disk.path), disk));
    for (bench, disk) in one.chain(two) {
        let before = bench.snapshot();
        bench
            .apply(&bench.plan(every_file_effect()))
            .expect("applied");
        let path = disk.path.clone();
        let fills = CrashPoints::calling(move |point| {
            if point == "undoing" {
                fill(&path);
            }
        });
        let undone = bench.undo(1, fills);
        assert!(
            matches!(&undone, Err(host::UndoError::Unfinished { .. })),
            "{undone:?}"
        );
        assert_eq!(bench.open().pending().expect("a list").len(), 1);
        std::fs::remove_file(disk.path.join("filler")).expect("removed");
        let recovered = bench.recover(&CrashPoints::none());
        assert!(
            matches!(&recovered[..], [one] if one.outcome == host::Recovery::Undone { seen: true }),
            "{recovered:?}"
        );
        assert_same(&before, &bench.snapshot(), "recovered");
    }
}
