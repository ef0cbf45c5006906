//! A tree with a few files, a state directory, and plans over them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use host::{ApplyOptions, CrashPoints, Create, Event, Guard, LocalHost, State, Verdict};
use jiff::Timestamp;
use model::plan::{PLAN_FORMAT, Selection};
use model::{Action, ActionId, Effect, HostPath, Inverse, Mode, Plan, Risk};
use tempfile::TempDir;

pub struct Bench {
    pub root: PathBuf,
    pub state: PathBuf,
    /// Removed with the bench; none in a process that works in another's.
    _folders: Option<(TempDir, TempDir)>,
}

/// What a path is, in full, as one text.
pub type Snapshot = BTreeMap<String, String>;

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says why a test could not run. It has proven nothing then.
#[expect(
    clippy::print_stdout,
    reason = "the test's own output is the place to say it"
)]
pub fn skip(why: &str) {
    println!("skipped: {why}");
}

/// Could `uid` send a signal to this thread? Asks without sending one (kill(2), signal 0).
pub fn kill_as(uid: u32, thread: rustix::thread::Pid) -> bool {
    use std::os::unix::process::CommandExt;
    std::process::Command::new("/bin/sh")
        .args(["-c", "kill -0 \"$0\""])
        .arg(thread.as_raw_nonzero().to_string())
        .uid(uid)
        .gid(uid)
        .stderr(std::process::Stdio::null())
        .status()
        .expect("a shell")
        .success()
}

impl Bench {
    pub fn new() -> Self {
        // Root's state must lie where only root can write, which `/tmp` is not.
        let state_folder = match is_root() {
            true => TempDir::with_prefix_in("steadfast-test-", "/run"),
            false => TempDir::new(),
        }
        .expect("a folder for the state");
        let folder = TempDir::new().expect("a folder for the tree");
        let mut bench = Self::made(
            folder.path().join("root"),
            state_folder.path().join("state"),
        );
        bench._folders = Some((folder, state_folder));
        bench
    }

    /// Tree and state in a directory that somebody else removes.
    pub fn inside(directory: &Path) -> Self {
        Self::made(directory.join("root"), directory.join("state"))
    }

    /// Only the tree there, the state elsewhere.
    pub fn with_tree_in(directory: &Path) -> Self {
        let mut bench = Self::new();
        let folders = bench._folders.take();
        let mut bench = Self::made(directory.join("root"), bench.state.clone());
        bench._folders = folders;
        bench
    }

    fn made(root: PathBuf, state: PathBuf) -> Self {
        for directory in ["etc/app.d", "etc/old", "etc/skel", "var/lib", "home"] {
            std::fs::create_dir_all(root.join(directory)).expect("a directory");
        }
        let write = |path: &str, text: &str| {
            std::fs::write(root.join(path), text).expect("a file");
        };
        write("etc/hostname", "bench\n");
        write("etc/app.conf", "one = 1\ntwo = 2\nthree = 3\n");
        write("etc/gone.conf", "soon gone\n");
        write("etc/open.conf", "too open\n");
        write("etc/app.d/10-a.conf", "a\n");
        write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        write("etc/group", "root:x:0:\n");
        write("etc/skel/.profile", "# profile\n");
        std::os::unix::fs::symlink("app.conf", root.join("etc/link")).expect("a link");
        Self::age(&root);
        Self {
            root,
            state,
            _folders: None,
        }
    }

    /// The bench of another process.
    pub fn at(root: &Path, state: &Path) -> Self {
        Self {
            root: root.to_owned(),
            state: state.to_owned(),
            _folders: None,
        }
    }

    /// Old times, so that one that is not put back is seen.
    fn age(directory: &Path) {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("metadata");
            if metadata.is_dir() {
                Self::age(&path);
            }
        }
        let times = rustix::fs::Timestamps {
            last_access: rustix::fs::Timespec {
                tv_sec: 1_000_000_000,
                tv_nsec: 0,
            },
            last_modification: rustix::fs::Timespec {
                tv_sec: 1_000_000_000,
                tv_nsec: 123_456_789,
            },
        };
        for path in std::fs::read_dir(directory)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
            .chain([directory.to_owned()])
        {
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::utimensat(rustix::fs::CWD, &path, &times, flags).expect("a time is set");
        }
    }

    pub fn host(&self) -> LocalHost {
        LocalHost::offline(&self.root).expect("the tree opens")
    }

    pub fn open(&self) -> State {
        State::open(&self.state, Create::Yes).expect("the state directory opens")
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).expect("a text file")
    }

    pub fn snapshot(&self) -> Snapshot {
        snapshot(&self.root)
    }

    pub fn plan(&self, effects: impl IntoIterator<Item = Effect>) -> Plan {
        self.plan_in_sets(effects.into_iter().map(|effect| (0, effect)))
    }

    pub fn plan_in_sets(&self, effects: impl IntoIterator<Item = (u32, Effect)>) -> Plan {
        let actions = effects
            .into_iter()
            .zip(0..)
            .map(|((change_set, effect), number)| Action {
                id: ActionId(number),
                serves: vec![format!("rule-{number}")],
                effect,
                inverse: Inverse::Restore,
                rests_on: Vec::new(),
                after: Vec::new(),
                change_set,
                risk: Risk::None,
                risk_why: None,
                validate: None,
                sensitive: false,
                decided_on_host: false,
                along: model::plan::Along::default(),
                edit: None,
            })
            .collect();
        Plan {
            format: PLAN_FORMAT,
            host: self.host().identity(),
            selection: Selection::default(),
            actions,
            left_alone: Vec::new(),
            premises: Vec::new(),
        }
    }

    pub fn apply(&self, plan: &Plan) -> Result<host::Applied, host::ApplyError> {
        self.apply_with(plan, CrashPoints::none(), &|_| Verdict::default())
            .0
    }

    pub fn apply_with(
        &self,
        plan: &Plan,
        crash: CrashPoints,
        verify: &dyn Fn(&Plan) -> Verdict,
    ) -> (Result<host::Applied, host::ApplyError>, Vec<Event>) {
        let mut events = Vec::new();
        let options = ApplyOptions { crash, ..options() };
        let applied = host::apply(
            &self.host(),
            &self.open(),
            plan,
            &options,
            verify,
            &mut |event| events.push(event),
        );
        (applied, events)
    }

    pub fn undo(&self, id: u64, crash: CrashPoints) -> Result<host::Undone, host::UndoError> {
        let options = ApplyOptions { crash, ..options() };
        host::undo(
            &self.host(),
            &self.open(),
            model::ChangeId(id),
            &options,
            &mut |_| {},
        )
    }

    pub fn undo_chosen(
        &self,
        id: u64,
        choice: &host::Choice,
    ) -> Result<host::Undone, host::UndoError> {
        host::undo_chosen(
            &self.host(),
            &self.open(),
            model::ChangeId(id),
            choice,
            &options(),
            &mut |_| {},
        )
    }

    /// Takes the before-image of this content out of the store; what puts it back.
    pub fn lose_image(&self, content: &str) -> impl Fn() + use<> {
        let name = model::Digest::of(content.as_bytes()).to_string();
        let image = self.state.join("images").join(name);
        let away = self.state.join("lost");
        std::fs::rename(&image, &away).expect("an image");
        move || std::fs::rename(&away, &image).expect("the image is back")
    }

    pub fn recover(&self, crash: &CrashPoints) -> Vec<host::Recovered> {
        self.try_recover(crash).expect("recovery runs")
    }

    pub fn try_recover(
        &self,
        crash: &CrashPoints,
    ) -> Result<Vec<host::Recovered>, host::RecoverError> {
        host::recover(
            &self.host(),
            &self.open(),
            Timestamp::now(),
            Duration::from_secs(5),
            crash,
            &mut |_| {},
        )
    }
}

pub fn options() -> ApplyOptions<'static> {
    ApplyOptions {
        by: "a test".to_owned(),
        now: &Timestamp::now,
        confirm_within: Duration::from_secs(30),
        lock_wait: Duration::from_secs(5),
        interrupted: &|| false,
        detach: false,
        guard: Guard::Assumed,
        crash: CrashPoints::none(),
        decide_again: None,
    }
}

/// Kills this process at the `nth` point, as `kill -9` does.
pub fn killing(nth: u32) -> CrashPoints {
    let passed = AtomicU32::new(0);
    CrashPoints::calling(move |_| {
        if passed.fetch_add(1, Ordering::Relaxed) + 1 == nth {
            let us = rustix::process::getpid();
            let _ = rustix::process::kill_process(us, rustix::process::Signal::KILL);
        }
    })
}

/// One that rests on nothing.
pub fn action(effect: Effect) -> Action {
    Action {
        id: ActionId(0),
        serves: Vec::new(),
        effect,
        inverse: Inverse::Restore,
        rests_on: Vec::new(),
        after: Vec::new(),
        change_set: 0,
        risk: Risk::None,
        risk_why: None,
        validate: None,
        sensitive: false,
        decided_on_host: false,
        along: model::plan::Along::default(),
        edit: None,
    }
}

pub fn put(path: &str, content: &str) -> Effect {
    Effect::PutFile {
        path: path.parse().expect("a path"),
        content: content.into(),
        mode: None,
        owner: None,
        group: None,
        as_user: None,
        drop_acl: false,
    }
}

pub fn make_dir(path: &str) -> Effect {
    Effect::MakeDir {
        path: path.parse().expect("a path"),
        mode: Mode::new(0o750),
        owner: None,
        group: None,
        as_user: None,
    }
}

pub fn remove(path: &str) -> Effect {
    Effect::Remove {
        path: path.parse().expect("a path"),
    }
}

pub fn link(path: &str, target: &str) -> Effect {
    Effect::Link {
        path: path.parse().expect("a path"),
        target: target.into(),
    }
}

pub fn set_mode(path: &str, mode: u32) -> Effect {
    Effect::SetMeta {
        path: path.parse::<HostPath>().expect("a path"),
        mode: Some(Mode::new(mode)),
        owner: None,
        group: None,
        drop_capabilities: false,
        drop_acl: false,
    }
}

/// A plan's worth of every effect on paths.
pub fn every_file_effect() -> Vec<Effect> {
    vec![
        put("/etc/app.conf", "one = 1\ntwo = 22\nthree = 3\n"),
        make_dir("/etc/new.d"),
        put("/etc/new.d/20-b.conf", "b\n"),
        remove("/etc/gone.conf"),
        remove("/etc/old"),
        link("/etc/link", "app.d/10-a.conf"),
        link("/etc/new-link", "app.conf"),
        set_mode("/etc/open.conf", 0o600),
    ]
}

/// What the planned tree is, times left out: those of what was written are of the moment.
pub fn timeless(snapshot: &Snapshot) -> Snapshot {
    snapshot
        .iter()
        .map(|(path, what)| {
            let (start, rest) = what.split_once(" time ").expect("a time");
            let attributes = rest.split_once(' ').map_or("", |(_, rest)| rest);
            (path.clone(), format!("{start} {attributes}"))
        })
        .collect()
}

/// Fails with what differs, and only that.
#[track_caller]
pub fn assert_same(before: &Snapshot, after: &Snapshot, at: &str) {
    let differs =
        |(path, what): &(&String, &String), other: &Snapshot| other.get(*path) != Some(*what);
    let gone: Vec<_> = before
        .iter()
        .filter(|entry| differs(entry, after))
        .collect();
    let come: Vec<_> = after
        .iter()
        .filter(|entry| differs(entry, before))
        .collect();
    assert!(
        gone.is_empty() && come.is_empty(),
        "{at}\nbefore: {gone:#?}\nafter: {come:#?}"
    );
}

/// A tree in full.
pub fn snapshot(root: &Path) -> Snapshot {
    let mut snapshot = Snapshot::new();
    look(root, root, &mut snapshot);
    snapshot
}

fn look(root: &Path, path: &Path, snapshot: &mut Snapshot) {
    let metadata = path.symlink_metadata().expect("metadata");
    let what = if metadata.is_symlink() {
        format!("link to {:?}", std::fs::read_link(path).expect("a link"))
    } else if metadata.is_dir() {
        for entry in std::fs::read_dir(path).expect("a directory") {
            look(root, &entry.expect("an entry").path(), snapshot);
        }
        "directory".to_owned()
    } else if !metadata.is_file() {
        "something else".to_owned()
    } else {
        let content = std::fs::read(path).expect("a file");
        match str::from_utf8(&content) {
            Ok(text) if text.len() < 200 => format!("file {text:?}"),
            _ => format!("file {}", model::Digest::of(&content)),
        }
    };
    let mut attributes = Vec::new();
    if !metadata.is_symlink() {
        let mut names = vec![0; 4096];
        let length = rustix::fs::listxattr(path, &mut names[..]).unwrap_or(0);
        for name in names[..length].split(|byte| *byte == 0) {
            let mut value = vec![0; 4096];
            if let Ok(length) = rustix::fs::getxattr(path, name, &mut value[..]) {
                attributes.push(format!("{:?}={:?}", name, &value[..length]));
            }
        }
        attributes.sort();
    }
    let relative = path.strip_prefix(root).expect("below the root");
    snapshot.insert(
        format!("/{}", relative.display()),
        format!(
            "{what} mode {:o} uid {} gid {} time {}.{} {attributes:?}",
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.mtime(),
            metadata.mtime_nsec()
        ),
    );
}
