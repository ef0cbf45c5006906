//! Asking a configuration's own program whether it accepts the new files, before they are
//! put in place: in a private mount namespace, with the new files laid over the old, since
//! includes are absolute and a copy alone proves nothing.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::plan::Validator;
use model::{Action, Effect, HostPath, UnitOp};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;

use crate::act::ActError;
use crate::act::place::{LastLink, Root};
use crate::act::program::Program;

/// `nginx -t` of a thousand sites takes seconds.
const ASK_LIMIT: Duration = Duration::from_secs(20);
/// A reloaded sshd answers within milliseconds; a busy host gets more.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Why a configuration is not known to be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The program refused it, and said this.
    Said(String),
    /// The program is not on this host.
    Absent(String),
    /// The program could not be asked.
    Failed(String),
}

/// The paths that a plan's files lay over those of the host.
#[derive(Clone, Debug, Default)]
pub struct Laid(BTreeMap<HostPath, Option<Vec<u8>>>);

impl Laid {
    /// Adds what these actions write, link and remove.
    pub fn extend(&mut self, actions: &[&Action]) {
        for action in actions {
            match &action.effect {
                Effect::PutFile { path, content, .. } => {
                    self.0
                        .insert(path.clone(), Some(content.as_bytes().to_vec()));
                }
                Effect::Remove { path } => {
                    self.0.insert(path.clone(), None);
                }
                _ => {}
            }
        }
    }
}

/// Asks `validator` about the host's configuration with `laid` over it.
pub fn validate(root: &Root, validator: Validator, laid: &Laid) -> Result<(), Refusal> {
    if !root.is_live() {
        return Err(Refusal::Absent(
            "programs of another tree are not run".to_owned(),
        ));
    }
    let program = program(validator, laid)?;
    // Namespaces belong to threads, and this one's ends with it.
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                lay_over(root, laid, scratch(validator)).map_err(Refusal::Failed)?;
                let ended = program
                    .run()
                    .map_err(|error| Refusal::Failed(error.to_string()))?;
                match ended.succeeded() {
                    true => Ok(()),
                    false => Err(Refusal::Said(ended.said())),
                }
            })
            .join()
            .unwrap_or_else(|_| Err(Refusal::Failed("it panicked".to_owned())))
    })
}

fn program(validator: Validator, laid: &Laid) -> Result<Program, Refusal> {
    let (candidates, arguments): (&[&str], Vec<String>) = match validator {
        Validator::Sshd => (&["/usr/sbin/sshd"], vec!["-t".to_owned()]),
        Validator::Sudoers => (&["/usr/sbin/visudo"], vec!["-c".to_owned()]),
        Validator::Nginx => (
            &["/usr/sbin/nginx", "/usr/local/sbin/nginx"],
            vec!["-t".to_owned(), "-q".to_owned()],
        ),
        Validator::SystemdUnit => {
            let mut arguments = vec!["verify".to_owned(), "--man=no".to_owned()];
            arguments.extend(laid.0.iter().filter_map(|(path, content)| {
                content.as_ref()?;
                unit_of(path)
            }));
            if arguments.len() == 2 {
                return Ok(Program::at(Path::new("/bin/true")));
            }
            (
                &["/usr/bin/systemd-analyze", "/bin/systemd-analyze"],
                arguments,
            )
        }
        Validator::AptSources => (
            &["/usr/bin/apt-get"],
            ["--print-uris", "-qq", "update"]
                .map(str::to_owned)
                .to_vec(),
        ),
    };
    Program::find(candidates)
        .map(|program| program.args(arguments).limit(ASK_LIMIT))
        .map_err(|error| Refusal::Absent(error.to_string()))
}

/// The unit that a unit file or a drop-in of one is about.
fn unit_of(path: &HostPath) -> Option<String> {
    let text = str::from_utf8(path.as_bytes()).ok()?;
    let below = text
        .strip_prefix("/etc/systemd/system/")
        .or_else(|| text.strip_prefix("/usr/lib/systemd/system/"))?;
    let first = below.split('/').next()?;
    let name = first.strip_suffix(".d").unwrap_or(first);
    (name.contains('.') && !name.contains("@.")).then(|| name.to_owned())
}

/// Where a program writes although it is only asked: there, what it writes goes nowhere.
/// `nginx -t` changes the owners of its directories and makes its pid file.
fn scratch(validator: Validator) -> &'static [&'static str] {
    match validator {
        Validator::Nginx => &["/var/lib/nginx", "/var/log/nginx", "/run"],
        _ => &[],
    }
}

/// Moves this thread into a mount namespace of its own and lays the files over the host's.
fn lay_over(root: &Root, laid: &Laid, scratch: &[&str]) -> Result<(), String> {
    #[expect(
        unsafe_code,
        reason = "only the mount namespace is left, no file descriptors are unshared"
    )]
    // SAFETY: `UnshareFlags::FILES` is not among the flags.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .map_err(|error| format!("no private mount namespace: {error}"))?;
    let slave = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave)
        .map_err(|error| format!("no private mounts: {error}"))?;
    // Everything is laid out on a file system of its own, which ends with the namespace.
    let workshop = Path::new("/run/steadfast/view");
    std::fs::create_dir_all(workshop).map_err(|error| format!("no place for a view: {error}"))?;
    rustix::mount::mount(
        "steadfast",
        workshop,
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        c"mode=0700",
    )
    .map_err(|error| format!("no place for a view: {error}"))?;
    let mut views = tops(root, laid)?;
    let scratch = scratch.iter().map(PathBuf::from);
    views.extend(scratch.filter(|directory| directory.is_dir()));
    for (number, directory) in views.iter().enumerate() {
        overlay(workshop, number, directory)?;
    }
    for (path, content) in &laid.0 {
        let Some(real) = real_path(root, path)? else {
            continue;
        };
        let written = match content {
            Some(content) => write_over(&real, content),
            None => match std::fs::remove_file(&real) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                other => other,
            },
        };
        written.map_err(|error| format!("cannot lay `{path}` over: {error}"))?;
    }
    Ok(())
}

/// In the view, a file keeps the owner and mode that it has; a new one is root's.
fn write_over(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let is_new = !path.exists();
    if is_new && let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::File::create(path)?.write_all(content)?;
    if is_new {
        // visudo refuses rules that others may read or write less than it refuses open ones.
        let mode = match path.starts_with("/etc/sudoers.d") {
            true => 0o440,
            false => 0o644,
        };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Where the path leads on the host, by trusted links only. None where somebody else than
/// root could turn the way while the view is made: what lies there is no program's
/// configuration, and writing by that name would write wherever they lead it.
#[doc(hidden)]
pub fn real_path(root: &Root, path: &HostPath) -> Result<Option<PathBuf>, String> {
    let mut there = path.clone();
    loop {
        match root.find(&there, LastLink::Follow) {
            Ok(place) if place.shared => return Ok(None),
            Ok(place) => {
                let missing = path
                    .as_path()
                    .strip_prefix(there.as_path())
                    .map_err(|error| error.to_string())?;
                let real = place.path.as_path();
                return Ok(Some(match missing.as_os_str().is_empty() {
                    true => real.to_owned(),
                    false => real.join(missing),
                }));
            }
            // Directories that the change itself makes.
            Err(error) if error.is_missing() => match there.parent() {
                Some(above) => there = above,
                None => return Err(error.to_string()),
            },
            // The action on it is refused for the same reason, when its turn comes.
            Err(ActError::Refused { .. }) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// The top directories below which something is laid: `/etc`, most often.
fn tops(root: &Root, laid: &Laid) -> Result<Vec<PathBuf>, String> {
    let mut tops: Vec<PathBuf> = Vec::new();
    for path in laid.0.keys() {
        let Some(real) = real_path(root, path)? else {
            continue;
        };
        let top: PathBuf = real.components().take(2).collect();
        if !tops.contains(&top) && top.is_dir() {
            tops.push(top);
        }
    }
    Ok(tops)
}

fn overlay(workshop: &Path, number: usize, directory: &Path) -> Result<(), String> {
    let fail = |error: String| format!("no view of `{}`: {error}", directory.display());
    let upper = workshop.join(format!("upper-{number}"));
    let scratch = workshop.join(format!("work-{number}"));
    let metadata = directory
        .metadata()
        .map_err(|error| fail(error.to_string()))?;
    for made in [&upper, &scratch] {
        std::fs::create_dir(made).map_err(|error| fail(error.to_string()))?;
        std::fs::set_permissions(made, metadata.permissions())
            .map_err(|error| fail(error.to_string()))?;
    }
    // A colon or comma in one of these would end the option; none of ours has one.
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        directory.display(),
        upper.display(),
        scratch.display()
    );
    let options = std::ffi::CString::new(options).map_err(|error| fail(error.to_string()))?;
    rustix::mount::mount(
        "steadfast",
        directory,
        "overlay",
        MountFlags::empty(),
        &*options,
    )
    .map_err(|error| fail(error.to_string()))
}

/// After sshd was told, it must answer: a connection to each of its ports on the loopback
/// gets an SSH banner (RFC 4253, section 4.2).
pub(crate) fn answers(root: &Root, effect: &Effect) -> Result<(), ActError> {
    let Effect::Unit { name, op } = effect else {
        return Ok(());
    };
    let is_ssh = matches!(name.as_str(), "ssh.service" | "sshd.service");
    if !is_ssh || !root.is_live() || !matches!(op, UnitOp::Reload | UnitOp::Restart) {
        return Ok(());
    }
    if !crate::act::unit::is_active(name)? {
        return Ok(());
    }
    for port in ssh_ports() {
        wait_for_banner(port)?;
    }
    Ok(())
}

/// The ports that sshd says it listens on; 22 where it does not say.
fn ssh_ports() -> Vec<u16> {
    let said = Program::find(&["/usr/sbin/sshd"])
        .and_then(|program| program.args(["-T"]).run())
        .map(|ended| ended.stdout)
        .unwrap_or_default();
    let ports: Vec<u16> = said
        .lines()
        .filter_map(|line| line.strip_prefix("port ")?.trim().parse().ok())
        .collect();
    match ports.is_empty() {
        true => vec![22],
        false => ports,
    }
}

fn wait_for_banner(port: u16) -> Result<(), ActError> {
    let until = Instant::now() + ANSWER_LIMIT;
    loop {
        let why = match banner(port) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if Instant::now() >= until {
            return Err(ActError::program(
                format!("reach sshd at 127.0.0.1:{port}"),
                why,
            ));
        }
        // The listener is replaced while sshd reads its configuration again.
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn banner(port: u16) -> std::io::Result<()> {
    let limit = Duration::from_secs(2);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    let mut start = [0; 4];
    stream.read_exact(&mut start)?;
    match &start == b"SSH-" {
        true => Ok(()),
        false => Err(std::io::Error::other("what answers is not SSH")),
    }
}
