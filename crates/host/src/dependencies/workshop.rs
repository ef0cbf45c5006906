//! Where an ecosystem's tool works: a private folder that ends with the work, holding a copy of
//! manifests and lockfiles, and a home with the user's own settings for that tool and nothing
//! else. The tool has a clean environment, limits on time and output, the host's network, and a
//! read-only view of everything beside that folder. Root gives up all of its rights for it.
//!
//! No code of the project runs: the tools are asked for a lockfile only, and what of a project
//! could change whom they ask (`.cargo/config.toml`, `.npmrc`, `rust-toolchain`, options in a
//! requirements file) is not copied.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use model::count::size;
use model::value::{Output, Reason};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Gid, Uid};

use super::{Files, Folder, NotAsked, content_within, failed};
use crate::tool::run::run_within;
use crate::tool::sandbox::Sandbox;
use crate::tree::Trouble;

/// One question to a registry, over a slow line.
const LIMIT: Duration = Duration::from_secs(120);
/// All questions about one lockfile.
const LIMIT_ALL: Duration = Duration::from_secs(600);
/// A monorepo with five hundred manifests has 2 MB of them, and a lockfile of 3 MB.
const COPY_LIMIT_BYTES: usize = 96 << 20;
/// The user's own, of some hundred bytes.
const SETTINGS_LIMIT_BYTES: u64 = 1 << 20;
/// Numbers for accounts that are there for a while only (systemd's UIDS-GIDS.md, "dynamic service
/// users"). `nobody` would not do: others run as `nobody` too, and could look into the folder.
const TRANSIENT: std::ops::RangeInclusive<u32> = 61184..=65519;

/// What a tool needs to know of its user.
pub(super) struct Tool {
    pub name: &'static str,
    /// The program, as `PATH` is searched for it, and the arguments that come first.
    pub program: &'static str,
    pub first: &'static [&'static str],
    /// Arguments with which the program says which one it really is, where it may be a wrapper
    /// that does more than it is asked.
    pub which: Option<&'static [&'static str]>,
    /// Files of the user's own settings, below the home directory.
    pub settings: &'static [&'static str],
    /// Beginnings of variables that are settings as well. Each is the user's own.
    pub variables: &'static [&'static str],
    /// A variable that names a folder, and where it is below the home otherwise: the tool's own
    /// files, that it may read.
    pub folders: &'static [(&'static str, &'static str)],
}

/// The user's network, as every tool knows it.
const NETWORK: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_",
];

pub(super) struct Workshop {
    folder: PathBuf,
    program: PathBuf,
    first: &'static [&'static str],
    variables: Vec<(String, String)>,
    account: Option<(Uid, Gid)>,
    deadline: Instant,
    interrupted: fn() -> bool,
    /// It did not answer in time, and is not asked again: nothing else would change that.
    is_stuck: Cell<bool>,
    /// What is to be said about how it works.
    pub notes: Vec<String>,
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // What can't be removed holds a copy of manifests, in a folder that only we can enter.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Workshop {
    /// A place for `tool`, with the copy of these files in it.
    pub fn make(
        tool: &Tool,
        folder: &Folder,
        files: &Files,
        interrupted: fn() -> bool,
    ) -> Result<Self, NotAsked> {
        let size_bytes: usize = files.values().map(Vec::len).sum();
        if size_bytes > COPY_LIMIT_BYTES {
            return Err(NotAsked(format!(
                "its manifests have {}, over the limit of {}",
                size(size_bytes),
                size(COPY_LIMIT_BYTES)
            )));
        }
        let is_root = rustix::process::geteuid().is_root();
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let home = home.filter(|home| home.is_absolute());
        let (program, path) = find(tool, folder.path(), is_root)?;
        let place = place(is_root, home.as_deref())
            .and_then(make_directory)
            .map_err(|why| NotAsked(format!("there is no private folder for a copy: {why}")))?;
        let mut workshop = Self {
            folder: place,
            program,
            first: tool.first,
            variables: Vec::new(),
            account: match is_root {
                true => free_account().map(|id| (Uid::from_raw(id), Gid::from_raw(id))),
                false => None,
            },
            deadline: Instant::now() + LIMIT_ALL,
            interrupted,
            is_stuck: Cell::new(false),
            notes: Vec::new(),
        };
        let copied = workshop.furnish(tool, home.as_deref(), files);
        copied.map_err(|error| NotAsked(format!("a copy can't be made: {error}")))?;
        workshop.variables.push(("PATH".to_owned(), path));
        workshop.settle(tool)?;
        workshop.unwrap_program(tool)?;
        Ok(workshop)
    }

    /// Where the copy is.
    pub fn copy(&self) -> PathBuf {
        self.folder.join("copy")
    }

    fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    fn furnish(&mut self, tool: &Tool, home: Option<&Path>, files: &Files) -> io::Result<()> {
        for (path, content) in files {
            write(&self.copy().join(path), content)?;
        }
        std::fs::create_dir_all(self.copy())?;
        std::fs::create_dir_all(self.home())?;
        std::fs::create_dir_all(self.folder.join("tmp"))?;
        let mut set = |name: &str, value: &Path| {
            self.variables
                .push((name.to_owned(), value.to_string_lossy().into_owned()));
        };
        set("HOME", &self.folder.join("home"));
        set("TMPDIR", &self.folder.join("tmp"));
        let is_setting = |name: &str| {
            let mut known = NETWORK.iter().chain(tool.variables);
            known.any(|beginning| name.starts_with(beginning))
        };
        for (name, value) in std::env::vars_os() {
            // What is not UTF-8 is nobody's setting.
            if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
                && is_setting(name)
            {
                self.variables.push((name.to_owned(), value.to_owned()));
            }
        }
        for (variable, below) in tool.folders {
            let named = std::env::var_os(variable).map(PathBuf::from);
            let usual = || Some(home?.join(below));
            let found = named.or_else(usual).filter(|path| path.is_dir());
            if let Some(found) = found {
                let value = found.to_string_lossy().into_owned();
                self.variables.push(((*variable).to_owned(), value));
            }
        }
        for file in tool.settings {
            // CARGO_HOME may lie elsewhere; its copy does not.
            let cargo_home = file
                .strip_prefix(".cargo/")
                .and_then(|name| Some(PathBuf::from(std::env::var_os("CARGO_HOME")?).join(name)));
            let Some(from) = cargo_home.or_else(|| Some(home?.join(file))) else {
                continue;
            };
            match std::fs::metadata(&from) {
                Ok(found) if found.is_file() && found.len() <= SETTINGS_LIMIT_BYTES => {
                    write(&self.home().join(file), &std::fs::read(&from)?)?;
                }
                // Without settings, the tool's own count.
                _ => {}
            }
        }
        Ok(())
    }

    /// Finds out as whom the tool can run: root's rights are given up where that is possible.
    fn settle(&mut self, tool: &Tool) -> Result<(), NotAsked> {
        let name = tool.name;
        let version = |workshop: &Self| workshop.run(&["--version".into()]);
        if let Some((account, _)) = self.account {
            own(&self.folder, account.as_raw())
                .map_err(|error| NotAsked(format!("a copy can't be given away: {error}")))?;
            if version(self).is_ok_and(|output| output.status == Some(0)) {
                return Ok(());
            }
            self.account = None;
            own(&self.folder, 0)
                .map_err(|error| NotAsked(format!("a copy can't be taken back: {error}")))?;
            self.notes.push(format!(
                "{name} ran as root without any of root's capabilities: only root can run it where \
                 it is installed"
            ));
        }
        match version(self) {
            Ok(output) if output.status == Some(0) => Ok(()),
            Ok(output) => Err(NotAsked(format!("{name} does not run: {}", said(&output)))),
            Err(why) => Err(NotAsked(why)),
        }
    }

    fn unwrap_program(&mut self, tool: &Tool) -> Result<(), NotAsked> {
        let Some(which) = tool.which else {
            return Ok(());
        };
        let first = std::mem::replace(&mut self.first, which);
        let output = self.run(&[]).map_err(NotAsked)?;
        self.first = first;
        let program = PathBuf::from(output.stdout.trim());
        let real = program
            .is_absolute()
            .then(|| std::fs::canonicalize(&program));
        let Some(Ok(real)) = real else {
            let name = tool.name;
            return Err(NotAsked(format!(
                "{name} does not say which program runs it"
            )));
        };
        trusted(&real).map_err(|why| NotAsked(format!("{} is not run: {why}", tool.name)))?;
        self.program = program;
        Ok(())
    }

    /// Runs the tool to its end.
    ///
    /// # Errors
    /// Why it did not run, or not to its end, in words.
    pub fn run(&self, args: &[OsString]) -> Result<Output, String> {
        // Between two questions: the folder is then removed in order.
        if (self.interrupted)() {
            return Err("interrupted".to_owned());
        }
        if self.is_stuck.get() {
            return Err("it did not answer before, and was not asked again".to_owned());
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("no time was left after {} s", LIMIT_ALL.as_secs()));
        }
        let sandbox = Sandbox {
            own: vec![self.folder.clone()],
            network: true,
            account: self.account,
            // It runs nothing of the project; where an ordinary user can't have namespaces, it
            // has what the user has.
            optional: !rustix::process::geteuid().is_root(),
            ..Sandbox::default()
        };
        let prepared = sandbox.prepare();
        let variables: Vec<(&str, &str)> = self
            .variables
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let enter = move || prepared.enter();
        let mut all: Vec<OsString> = self.first.iter().map(OsString::from).collect();
        all.extend_from_slice(args);
        let ran = run_within(&self.program, &all, &variables, enter, LIMIT.min(left));
        ran.map_err(|trouble| match trouble {
            Trouble::Absent => "it is not there".to_owned(),
            Trouble::Unknown(reason) => {
                self.is_stuck.set(matches!(reason, Reason::TimedOut { .. }));
                reason.to_string()
            }
        })
    }

    /// A file of the copy as the tool left it; none when it is gone.
    pub fn result(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = self.copy().join(folder);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, directory, flags, Mode::empty());
        let directory = directory.map_err(|errno| failed(errno.into()).to_string())?;
        content_within(&directory, name, crate::components::lock::LIMIT_BYTES)
            .map_err(|reason| reason.to_string())
    }

    /// Puts a file of the copy back, whatever the tool made of its name.
    pub fn put(&self, path: &str, content: &[u8]) -> Result<(), String> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let place = self.copy().join(folder);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = |errno: rustix::io::Errno| failed(errno.into()).to_string();
        let directory = rustix::fs::openat(CWD, place, flags, Mode::empty()).map_err(failed)?;
        let temporary = format!("{name}.steadfast");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let file = rustix::fs::openat(&directory, &*temporary, flags, mode).map_err(failed)?;
        let mut file = std::fs::File::from(file);
        file.write_all(content).map_err(|error| error.to_string())?;
        if let Some((uid, gid)) = self.account {
            rustix::fs::fchown(&file, Some(uid), Some(gid)).map_err(failed)?;
        }
        rustix::fs::renameat(&directory, &*temporary, &directory, name).map_err(failed)
    }
}

/// The last that a tool said, as one line: what went wrong stands there.
pub(super) fn said(output: &Output) -> String {
    let text = match output.stderr.trim() {
        "" => &output.stdout,
        _ => &output.stderr,
    };
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        // pip lists hundreds of versions there, before it says what failed.
        .filter(|line| !line.contains("Ignored the following"))
        .collect();
    // What each calls its last word; what goes before are warnings.
    let is_about_it = |line: &&str| {
        let lower = line.to_ascii_lowercase();
        lower.starts_with("error") || lower.starts_with("npm err")
    };
    let start = lines.iter().position(is_about_it).unwrap_or(0);
    let text = lines[start.min(lines.len())..].join(" ");
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, content)
}

/// Gives a tree that only we can enter to an account.
fn own(path: &Path, id: u32) -> io::Result<()> {
    std::os::unix::fs::lchown(path, Some(id), Some(id))?;
    if std::fs::symlink_metadata(path)?.is_dir() {
        for entry in std::fs::read_dir(path)? {
            own(&entry?.path(), id)?;
        }
    }
    Ok(())
}

/// An account that no process has now.
fn free_account() -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?;
    let taken: BTreeSet<u32> = processes
        .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.uid()))
        .collect();
    // Two runs at once begin at different places.
    let span = TRANSIENT.end() - TRANSIENT.start() + 1;
    let first = std::process::id() % span;
    let mut all = (0..span).map(|step| TRANSIENT.start() + (first + step) % span);
    all.find(|id| !taken.contains(id))
}

/// A folder above which nobody else may write: tools read settings in the folders above theirs.
fn place(is_root: bool, home: Option<&Path>) -> Result<PathBuf, String> {
    let named = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute() && path.is_dir())
    };
    let candidates = match is_root {
        true => vec![Some(PathBuf::from("/run"))],
        false => vec![
            named("XDG_RUNTIME_DIR"),
            named("XDG_CACHE_HOME"),
            home.map(|home| home.join(".cache")),
            home.map(Path::to_path_buf),
        ],
    };
    let mut why = "no home directory is known".to_owned();
    for candidate in candidates.into_iter().flatten() {
        let Ok(candidate) = std::fs::canonicalize(candidate) else {
            continue;
        };
        match trusted(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(other) => why = other,
        }
    }
    Err(why)
}

fn make_directory(place: PathBuf) -> Result<PathBuf, String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut error = None;
    for _ in 0..64 {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = place.join(format!("steadfast-copy-{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(failed) => error = Some(failed),
        }
    }
    Err(error.map_or_else(String::new, |error| {
        format!("`{}`: {error}", place.display())
    }))
}

/// It and all above it belong to root or to us, and nobody else may write there. A user's own
/// group is the user (many distributions give each one), and root's is not.
fn trusted(path: &Path) -> Result<(), String> {
    let us = rustix::process::geteuid().as_raw();
    let others = if us == 0 { 0o022 } else { 0o002 };
    for path in path.ancestors() {
        let found = std::fs::symlink_metadata(path);
        let found = found.map_err(|error| format!("`{}`: {error}", path.display()))?;
        let is_ours = found.uid() == 0 || found.uid() == us;
        if !is_ours || found.mode() & others != 0 {
            return Err(format!("others may write `{}`", path.display()));
        }
    }
    Ok(())
}

/// The program as the user's `PATH` names it, and a `PATH` of folders that can be trusted: not
/// those of the project, and none that others may write.
fn find(tool: &Tool, project: &Path, is_root: bool) -> Result<(PathBuf, String), NotAsked> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut refused = None;
    let folders: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .filter(|folder| match std::fs::canonicalize(folder) {
            Ok(real) => !real.starts_with(project) && trusted(&real).is_ok(),
            Err(_) => false,
        })
        .collect();
    for folder in &folders {
        let program = folder.join(tool.program);
        let Ok(real) = std::fs::canonicalize(&program) else {
            continue;
        };
        let runs = std::fs::metadata(&real)
            .is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
        match trusted(&real) {
            // By the name in the folder: what it is called says what it does (rustup's programs
            // are one).
            Ok(()) if runs && !real.starts_with(project) => {
                let folders = std::env::join_paths(&folders).unwrap_or_default();
                return Ok((program, folders.to_string_lossy().into_owned()));
            }
            Ok(()) => {}
            Err(why) => refused = Some(why),
        }
    }
    let name = tool.name;
    Err(NotAsked(match (refused, is_root) {
        (Some(why), true) => format!("{name} is not run as root: {why}"),
        (Some(why), false) => format!("{name} is not run: {why}"),
        (None, _) => format!("{name} is not installed, or not on PATH"),
    }))
}
