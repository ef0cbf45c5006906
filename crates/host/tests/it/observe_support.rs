//! A tree in a temporary folder, and short ways to ask it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use host::{Host, LocalHost};
use model::value::Reason;
use model::{Answer, HostPath, Probe, Value};

pub struct Tree(tempfile::TempDir);

impl Tree {
    pub fn new() -> Self {
        let tree = Self(tempfile::tempdir().expect("a temporary folder"));
        // Readable for tests that look as another user.
        tree.mode("/", 0o755);
        tree
    }

    /// A tree with these files.
    pub fn with(files: &[(&str, &[u8])]) -> Self {
        let tree = Self::new();
        for (path, content) in files {
            tree.file(path, content);
        }
        tree
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    pub fn file(&self, path: &str, content: &[u8]) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("directories");
        fs::write(path, content).expect("a file");
    }

    pub fn dir(&self, path: &str) {
        fs::create_dir_all(self.at(path)).expect("a directory");
    }

    pub fn link(&self, path: &str, target: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("directories");
        std::os::unix::fs::symlink(target, path).expect("a link");
    }

    pub fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).expect("a mode");
    }

    pub fn host(&self) -> LocalHost {
        LocalHost::offline(self.root()).expect("a tree that can be opened")
    }

    pub fn ask(&self, probe: &Probe) -> Answer {
        self.host().probe(probe).answer
    }
}

pub fn path(text: &str) -> HostPath {
    HostPath::from_bytes(text.as_bytes()).expect("a clean path")
}

pub fn file(text: &str) -> Probe {
    Probe::file(path(text))
}

/// The content of a known file.
pub fn content(answer: &Answer) -> &[u8] {
    match answer {
        Answer::Known(Value::File(file)) => file.content.as_bytes(),
        other => panic!("not a file: {other:?}"),
    }
}

pub fn reason(answer: Answer) -> Reason {
    match answer {
        Answer::Unknown(reason) => reason,
        other => panic!("not unknown: {other:?}"),
    }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs `job` as an ordinary user: the credentials of one thread are its own on Linux.
pub fn as_nobody<T: Send>(job: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                if is_root() {
                    let nobody = rustix::process::Uid::from_raw(65534);
                    let group = rustix::process::Gid::from_raw(65534);
                    rustix::thread::set_thread_groups(&[]).expect("no groups");
                    rustix::thread::set_thread_res_gid(group, group, group).expect("a group");
                    rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("a user");
                    // The kernel takes a process that changed its user for one with secrets,
                    // and gives /proc/self of its children to root.
                    let dumpable = rustix::process::DumpableBehavior::Dumpable;
                    rustix::process::set_dumpable_behavior(dumpable).expect("dumpable");
                }
                job()
            })
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Says that a test could not run.
pub fn skip(why: &str) {
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("skipped: {why}\n").as_bytes(),
    );
}
