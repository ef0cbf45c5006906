//! A file system whose server never answers, as a network share does whose server is gone:
//! a FUSE mount that nobody serves, in a mount namespace of its own.

use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use host::Host;
use model::probe::WalkTests;
use model::value::{FileType, Reason};
use model::{Answer, Probe, Value, WalkTest};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::UnshareFlags;

use crate::observe_support::{Tree, content, file, is_root, path, reason, skip};

/// Mounts something that hangs; none where this machine can't.
#[expect(unsafe_code, reason = "rustix has no safe form of unshare(2)")]
pub fn hang_at(place: &Path) -> Option<std::fs::File> {
    // SAFETY: only `UnshareFlags::FILES` is dangerous, and it is not used.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.ok()?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).ok()?;
    let device = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .ok()?;
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0",
        device.as_raw_fd()
    );
    let options = std::ffi::CString::new(options).ok()?;
    mount("nobody", place, "fuse", MountFlags::NOSUID, &*options).ok()?;
    Some(device)
}

#[test]
fn what_hangs_is_unknown_and_the_rest_goes_on() {
    if !is_root() {
        return skip("needs root");
    }
    let tree = Tree::with(&[
        ("/etc/passwd", b"root:x:0:0::/:/bin/sh\n"),
        ("/etc/group", b"root:x:0:\n"),
        ("/etc/fine", b"fine"),
    ]);
    tree.mode("/etc/fine", 0o666);
    tree.dir("/srv/share");
    tree.link("/etc/shared", "/srv/share/file");
    // The mount is this thread's and those that it starts.
    let job = || {
        let Some(server) = hang_at(&tree.at("/srv/share")) else {
            return skip("FUSE can't be mounted here");
        };
        let host = tree.host();
        let begin = Instant::now();
        let timed_out = Reason::TimedOut { after_ms: 5000 };
        let ask = |probe: &Probe| host.probe(probe).answer;
        let mut hung = vec![file("/srv/share/file"), file("/srv/share/other")];
        hung.push(Probe::Dir {
            path: path("/srv/share"),
        });
        hung.push(Probe::Meta {
            path: path("/srv/share/file"),
        });
        for probe in &hung {
            assert_eq!(reason(ask(probe)), timed_out, "{probe:?}");
        }
        // It was waited for once, not four times.
        assert!(begin.elapsed() < Duration::from_secs(9));
        // The same through a link.
        assert_eq!(reason(ask(&file("/etc/shared"))), timed_out);
        assert_eq!(content(&ask(&file("/etc/fine"))), b"fine");
        let Answer::Known(Value::Meta(meta)) = ask(&Probe::Meta { path: path("/srv") }) else {
            panic!("no metadata");
        };
        assert_eq!(meta.file_type, FileType::Directory);
        // The walk leaves it out without touching it.
        let tests = WalkTests::from([WalkTest::WorldWritableFiles]);
        let Answer::Known(Value::Walk(seen)) =
            &host.walk(&tests, &|_| {})[&WalkTest::WorldWritableFiles].answer
        else {
            panic!("no walk");
        };
        assert_eq!((seen.total, seen.unreadable_total), (1, 0));
        // Whoever still waits for it wakes up when the device is closed.
        drop(server);
    };
    std::thread::scope(|scope| {
        scope
            .spawn(job)
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}
