//! A booted Debian host in a container: its own processes, mounts and network, over an overlay that goes when it goes.
//!
//! It shares this machine's kernel, so `kernel.*` and `fs.*` parameters, modules, audit rules and power cuts can't be tried in it: a
//! [`crate::Machine`] is for those.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, Signal, kill_process};

use crate::command::{DEFAULT_LIMIT, Output, Running, ends_within, run_ok, tail_of_file};
use crate::requirements::{local, program};
use crate::scratch::{Scratch, children, is_init, unmount_below};
use crate::snapshot::Snapshot;
use crate::{Error, Exec, Image, Result, last_words};

/// A boot takes half a second alone, and some seconds when many boot at once.
const BOOT_LIMIT: Duration = Duration::from_secs(60);
/// An orderly stop takes 0.15 s; a unit that won't stop must not hold up a test.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How often a boot is looked at until its D-Bus answers; from then on, systemd tells.
const TICK: Duration = Duration::from_millis(10);
/// What a host's own programs find on a Debian host.
const ENVIRONMENT: [(&str, &str); 4] = [
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
    ("TERM", "dumb"),
];

/// How a container is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// How much its changes may take: a small one is a host whose disk is full soon. One GiB by default; only what is used is taken.
    pub disk_bytes: u64,
    /// A network namespace by its path, to put several hosts on one wire; by default each has its own with nothing but loopback.
    pub network: Option<PathBuf>,
    /// Files or folders of this machine that it sees, read-only: from, to.
    pub binds: Vec<(PathBuf, PathBuf)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            disk_bytes: 1 << 30,
            network: None,
            binds: Vec::new(),
        }
    }
}

/// A booted host. It stops and goes when this goes.
#[derive(Debug)]
pub struct Container {
    image: Image,
    options: Options,
    scratch: Scratch,
    booted: Option<Booted>,
}

/// The processes of a host that is up.
#[derive(Debug)]
struct Booted {
    nspawn: Child,
    leader: Pid,
}

impl Container {
    /// Boots a fresh host from an image.
    pub fn start(image: &Image) -> Result<Self> {
        Self::start_with(image, Options::default())
    }

    /// Boots a fresh host from an image, as the options say.
    pub fn start_with(image: &Image, options: Options) -> Result<Self> {
        let mut container = Self::prepare(image, options)?;
        container.boot()?;
        Ok(container)
    }

    /// A fresh host that is not booted yet, so that its files can be changed first by [`Self::root_path`] and the like.
    pub fn prepare(image: &Image, options: Options) -> Result<Self> {
        let container = Self {
            image: image.clone(),
            options,
            scratch: Scratch::create(image.cache())?,
            booted: None,
        };
        container.mount()?;
        Ok(container)
    }

    /// Boots it, and waits until systemd says that it's running or degraded.
    pub fn boot(&mut self) -> Result<()> {
        if self.booted.is_some() {
            return Ok(());
        }
        let deadline = Instant::now() + BOOT_LIMIT;
        let mut nspawn = self.spawn_nspawn()?;
        match self.wait_until_up(&mut nspawn, deadline) {
            Ok(leader) => {
                self.booted = Some(Booted { nspawn, leader });
                Ok(())
            }
            Err(error) => {
                self.scratch.end(&mut nspawn);
                Err(error)
            }
        }
    }

    fn spawn_nspawn(&self) -> Result<Child> {
        let log = self.console();
        let log = File::create(&log).map_err(Error::io("create", &log))?;
        let errors = log.try_clone().map_err(Error::io("open", self.console()))?;
        let mut command = self.scratch.detached_launcher()?;
        command.arg(program("systemd-nspawn")?).args([
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--boot",
            "--console=pipe",
            "--settings=no",
        ]);
        command.args([
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--hostname=lab",
        ]);
        command
            .arg("--machine")
            .arg(self.scratch.name())
            .arg("--directory")
            .arg(self.root_path());
        match &self.options.network {
            Some(path) => command.arg("--network-namespace-path").arg(path),
            None => command.arg("--private-network"),
        };
        for (from, to) in &self.options.binds {
            let mut bind = from.as_os_str().to_owned();
            bind.push(":");
            bind.push(to);
            command.arg("--bind-ro").arg(bind);
        }
        // One hierarchy, as both releases have it on a machine of their own, whatever this machine has.
        command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
        command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(Error::io("start", "systemd-nspawn"))
    }

    fn wait_until_up(&self, nspawn: &mut Child, deadline: Instant) -> Result<Pid> {
        let pid = Pid::from_child(nspawn);
        let mut leader = None;
        loop {
            if let Some(status) = nspawn
                .try_wait()
                .map_err(Error::io("wait for", "systemd-nspawn"))?
            {
                return Err(Error::Failed {
                    program: "systemd-nspawn".into(),
                    status: status.to_string(),
                    detail: tail_of_file(&self.console()),
                });
            }
            leader = leader.or_else(|| children(pid).into_iter().find(|&child| is_init(child)));
            if let Some(leader) = leader {
                let left = deadline.saturating_duration_since(Instant::now());
                // It fails at once while systemd doesn't answer yet, and then waits for the end of the boot.
                let exec = Exec::new(["systemctl", "is-system-running", "--wait"]).limit(left);
                let asked = Running::start(enter(leader, &exec)?, &exec)?.wait();
                match asked {
                    Ok(said) if ["running", "degraded"].contains(&said.text().trim()) => {
                        return Ok(leader);
                    }
                    Ok(_) | Err(Error::TimedOut { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            if Instant::now() >= deadline {
                let detail = format!(": {}", tail_of_file(&self.console()));
                return Err(Error::TimedOut {
                    what: format!("the boot of {}", self.scratch.name()),
                    limit: BOOT_LIMIT,
                    detail,
                });
            }
            sleep(TICK);
        }
    }

    /// Runs a program to its end, for at most a minute.
    pub fn run<S: AsRef<OsStr>>(&self, argv: impl IntoIterator<Item = S>) -> Result<Output> {
        self.exec(&Exec::new(argv))
    }

    /// Runs a line with `/bin/sh`, which must end with 0, and returns what it says.
    pub fn shell(&self, line: &str) -> Result<String> {
        self.exec(&Exec::shell(line))?.ok()
    }

    /// Runs a command to its end.
    pub fn exec(&self, exec: &Exec) -> Result<Output> {
        self.spawn(exec)?.wait()
    }

    /// Starts a command, to wait for it or to kill it.
    pub fn spawn(&self, exec: &Exec) -> Result<Running> {
        Running::start(enter(self.leader()?, exec)?, exec)
    }

    /// Starts a program of *this machine* in the host's network, to reach it as another machine would.
    pub fn spawn_in_network(&self, exec: &Exec) -> Result<Running> {
        let mut command = Command::new(program("nsenter")?);
        command
            .arg("--target")
            .arg(self.leader()?.as_raw_nonzero().to_string())
            .args(["--net", "--"])
            .args(&exec.argv);
        command.envs(exec.env.iter().map(|(name, value)| (name, value)));
        Running::start(command, exec)
    }

    /// The process of this machine that is the host's init.
    pub fn leader(&self) -> Result<Pid> {
        self.booted
            .as_ref()
            .map(|booted| booted.leader)
            .ok_or_else(|| Error::NotRunning(self.scratch.name()))
    }

    /// The host's files, as seen from this machine, whether it's up or not. Mounts made inside (`/run`, `/tmp`, `/proc`) are not in it.
    pub fn root_path(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    /// The host's console, for when something went wrong.
    pub fn console(&self) -> PathBuf {
        self.scratch.path().join("console.log")
    }

    /// Writes a file, making its folders. A new one gets mode 0644, an old one keeps its attributes.
    pub fn write_file(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.outside(path.as_ref(), true)?;
        let is_new = !path.exists();
        fs::write(&path, content).map_err(Error::io("write", &path))?;
        if is_new {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
                .map_err(Error::io("set the mode of", &path))?;
        }
        Ok(())
    }

    /// What a file holds.
    pub fn read_file(&self, path: impl AsRef<Path>) -> Result<Vec<u8>> {
        let path = self.outside(path.as_ref(), false)?;
        fs::read(&path).map_err(Error::io("read", &path))
    }

    /// Copies a file of this machine to the host, with its permission bits, or a folder with all it holds.
    pub fn copy_in(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let to = self.outside(to.as_ref(), true)?;
        copy(from.as_ref(), &to)
    }

    /// Where a path of the host lies on this machine. A link on the way would lead into this machine's own files, so it is refused.
    fn outside(&self, path: &Path, make_parents: bool) -> Result<PathBuf> {
        let mut place = self.root_path();
        let mut parts = path
            .components()
            .filter(|part| {
                matches!(
                    part,
                    std::path::Component::Normal(_) | std::path::Component::ParentDir
                )
            })
            .peekable();
        while let Some(part) = parts.next() {
            place.push(part);
            if part == std::path::Component::ParentDir {
                return Err(Error::io("use", path)(std::io::Error::other("`..` in it")));
            }
            if let Ok(target) = fs::read_link(&place) {
                // Debian's merged /usr: /bin, /lib and /sbin are links to one name each.
                let plain = target
                    .components()
                    .all(|part| matches!(part, std::path::Component::Normal(_)));
                if !plain {
                    return Err(Error::io("use", path)(std::io::Error::other(
                        "a link in it leads elsewhere",
                    )));
                }
                place.pop();
                place.push(target);
            }
            if make_parents && parts.peek().is_some() && !place.is_dir() {
                fs::create_dir(&place).map_err(Error::io("create", &place))?;
            }
        }
        Ok(place)
    }

    /// What its files are now.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.image
            .snapshot()?
            .overlaid(&self.upper(), &self.root_path())
    }

    /// Shuts it down in order and boots it over the same files.
    pub fn reboot(&mut self) -> Result<()> {
        self.stop()?;
        self.boot()
    }

    /// Shuts it down in order, and kills it when it takes too long; its files stay.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut booted) = self.booted.take() else {
            return Ok(());
        };
        let asked = kill_process(Pid::from_child(&booted.nspawn), Signal::TERM);
        let ended = asked
            .map_err(Error::io("stop", self.scratch.name()))
            .and_then(|()| ends_within(&mut booted.nspawn, STOP_LIMIT));
        if !matches!(ended, Ok(true)) {
            self.scratch.end(&mut booted.nspawn);
        }
        ended.map(drop)
    }

    /// Ends it at once, as if all its processes were killed; its files stay as the kernel has them.
    pub fn kill(&mut self) {
        if let Some(mut booted) = self.booted.take() {
            self.scratch.end(&mut booted.nspawn);
        }
    }

    /// Makes it a freshly booted host again.
    pub fn reset(&mut self) -> Result<()> {
        self.kill();
        unmount_below(self.scratch.path());
        self.mount()?;
        self.boot()
    }

    fn upper(&self) -> PathBuf {
        self.scratch.path().join("changes/upper")
    }

    /// Lays an empty overlay over the image. Its upper folder is on a tmpfs, over which a further overlay inside the host works.
    fn mount(&self) -> Result<()> {
        let (root, changes) = (self.root_path(), self.scratch.path().join("changes"));
        for folder in [&root, &changes] {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        let size = c_text(format!("size={},mode=0755", self.options.disk_bytes));
        mount(
            "tmpfs",
            &changes,
            "tmpfs",
            MountFlags::empty(),
            Some(size.as_c_str()),
        )
        .map_err(Error::io("mount", &changes))?;
        let work = changes.join("work");
        for folder in [&self.upper(), &work] {
            fs::create_dir(folder).map_err(Error::io("create", folder))?;
        }
        let (lower, upper) = (self.image.tree(), self.upper());
        // The upper folder's own attributes are what the host's `/` shows.
        run_ok(
            local(&Exec::new(["touch", "--reference"]).arg(&lower).arg(&upper))?,
            DEFAULT_LIMIT,
        )?;
        // Each file is whole in one layer, which is what a snapshot of the upper one relies on.
        let options = format!(
            "lowerdir={},upperdir={},workdir={},redirect_dir=off,metacopy=off,index=off",
            lower.display(),
            upper.display(),
            work.display()
        );
        let options = c_text(options);
        mount(
            "overlay",
            &root,
            "overlay",
            MountFlags::empty(),
            Some(options.as_c_str()),
        )
        .map_err(Error::io("mount", &root))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() && self.booted.is_some() {
            last_words::tell(&|exec| self.exec(exec));
        }
        // Nothing of it stays, so there is nothing to shut down in order.
        self.kill();
    }
}

/// A command in all of a process's namespaces, with a clean environment.
fn enter(leader: Pid, exec: &Exec) -> Result<Command> {
    let mut command = Command::new(program("nsenter")?);
    command
        .arg("--target")
        .arg(leader.as_raw_nonzero().to_string())
        .args(["--all", "--"])
        .args(&exec.argv);
    command
        .env_clear()
        .envs(ENVIRONMENT)
        .envs(exec.env.iter().map(|(name, value)| (name, value)));
    Ok(command)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(from).map_err(Error::io("look at", from))?;
    if meta.is_symlink() {
        let target = fs::read_link(from).map_err(Error::io("read", from))?;
        return symlink(target, to).map_err(Error::io("link", to));
    }
    if !meta.is_dir() {
        return fs::copy(from, to)
            .map(drop)
            .map_err(Error::io("copy to", to));
    }
    fs::create_dir_all(to).map_err(Error::io("create", to))?;
    fs::set_permissions(to, fs::Permissions::from_mode(meta.permissions().mode()))
        .map_err(Error::io("set the mode of", to))?;
    for entry in fs::read_dir(from).map_err(Error::io("list", from))? {
        let entry = entry.map_err(Error::io("list", from))?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Mount options as the kernel takes them.
fn c_text(text: String) -> std::ffi::CString {
    std::ffi::CString::new(text)
        .expect("a path that the file system gave, and numbers, hold no zero byte")
}
