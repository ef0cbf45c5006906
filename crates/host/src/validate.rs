//! Asking a configuration's own program whether it accepts the new files, before they are
//! put in place: in a private mount namespace, with the new files laid over the old, since
//! includes are absolute and a copy alone proves nothing. The program can do nothing else: it
//! runs as one that an audit asks, without network, with few capabilities, on a read-only
//! view.

pub(crate) mod copy;
#[doc(hidden)]
pub mod cron;
#[doc(hidden)]
pub mod said;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::plan::Validator;
use model::{AccountOp, Action, Effect, HostPath, Mode, UnitOp};
use rustix::thread::CapabilitySet;

use crate::act::place::{LastLink, Root};
use crate::act::program::{Ended, Program};
use crate::act::{ActError, Names};
use crate::tool::run::run;
use crate::tool::sandbox::Sandbox;
use crate::tree::Trouble;

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

/// The paths that a plan's files lay over those of the host, and the accounts that it makes.
#[derive(Clone, Debug, Default)]
pub struct Laid {
    /// What is written, and None for what is removed.
    files: BTreeMap<HostPath, Option<Vec<u8>>>,
    directories: BTreeSet<HostPath>,
    links: BTreeMap<HostPath, Vec<u8>>,
    /// visudo and others look at these too.
    rights: BTreeMap<HostPath, Rights>,
    accounts: BTreeSet<String>,
    groups: BTreeSet<String>,
}

/// What a file's owner, group and mode become. Where it is given to somebody else than root, the
/// view leaves it as it is.
#[derive(Clone, Debug)]
struct Rights {
    mode: Option<Mode>,
    is_roots: bool,
    is_of_group_root: bool,
}

impl Laid {
    /// Adds what these actions write, link and remove.
    pub fn extend(&mut self, actions: &[&Action]) {
        for action in actions {
            match &action.effect {
                Effect::PutFile { path, content, .. } => {
                    let content = content.as_bytes().to_vec();
                    self.files.insert(path.clone(), Some(content));
                }
                Effect::Remove { path } => {
                    self.files.insert(path.clone(), None);
                }
                Effect::MakeDir { path, .. } => {
                    self.directories.insert(path.clone());
                }
                Effect::Link { path, target } => {
                    self.links.insert(path.clone(), target.as_bytes().to_vec());
                }
                Effect::Account(AccountOp::CreateUser { name, group, .. }) => {
                    self.accounts.insert(name.clone());
                    let group = group.as_ref().unwrap_or(name);
                    self.groups.insert(group.clone());
                }
                Effect::Account(AccountOp::CreateGroup { name, .. }) => {
                    self.groups.insert(name.clone());
                }
                _ => {}
            }
            if let Effect::PutFile {
                path,
                mode,
                owner,
                group,
                ..
            }
            | Effect::SetMeta {
                path,
                mode,
                owner,
                group,
                ..
            } = &action.effect
            {
                let is_root = |name: &Option<String>| name.as_deref() == Some("root");
                let rights = Rights {
                    mode: *mode,
                    is_roots: is_root(owner),
                    is_of_group_root: is_root(group),
                };
                self.rights.insert(path.clone(), rights);
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
    let before = match validator {
        Validator::Fstab => ask(root, validator, &Laid::default())?,
        _ => None,
    };
    judge(root, validator, laid, before, &|| {
        ask(root, validator, laid)
    })
}

/// What is to be made of what the program says with `laid` in place, and said `before`.
fn judge(
    root: &Root,
    validator: Validator,
    laid: &Laid,
    before: Option<Ended>,
    ask: &dyn Fn() -> Result<Option<Ended>, Refusal>,
) -> Result<(), Refusal> {
    match validator {
        Validator::Cron => return crontabs(root, laid),
        Validator::Fstab => {
            let after = text_of(ask()?);
            let before = text_of(before);
            let table = laid.files.get(&HostPath::literal("/etc/fstab"));
            let table = table.and_then(Option::as_deref).unwrap_or_default();
            let new = said::of_findmnt(&before, &after, &String::from_utf8_lossy(table));
            return new.map_or(Ok(()), |why| Err(Refusal::Said(why)));
        }
        _ => {}
    }
    let Some(ended) = ask()? else {
        return Ok(());
    };
    if validator == Validator::Logrotate {
        let said = said::of_logrotate(&ended.stderr, laid.files.keys());
        return said.map_or(Ok(()), |why| Err(Refusal::Said(why)));
    }
    match ended.succeeded() {
        true => Ok(()),
        false => Err(Refusal::Said(ended.said())),
    }
}

/// The action whose file a program names in what it says: by its path, or by its bare name before a
/// colon. Of several, the one that is named first.
pub fn named<'a>(said: &str, actions: &[&'a Action]) -> Option<&'a Action> {
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '/' | '_' | '-' | '~');
    let place_of_path = |path: &str| {
        let mut places = said.match_indices(path).map(|(at, _)| at);
        places.find(|at| {
            // `x.conf` within `x.conf.d/y` is another path, and `x.conf.` the end of a sentence.
            let after = said[at + path.len()..].trim_start_matches('.');
            !after.starts_with(goes_on)
        })
    };
    let place_of_name = |name: &str| {
        let name = format!("{name}:");
        let mut places = said.match_indices(&name).map(|(at, _)| at);
        places.find(|at| !said[..*at].ends_with(|c: char| goes_on(c) || c == '.'))
    };
    let by = |place: &dyn Fn(&HostPath) -> Option<usize>| {
        let placed = actions.iter().filter_map(|action| {
            let path = action.effect.path()?;
            Some((place(path)?, *action))
        });
        placed.min_by_key(|(place, _)| *place).map(|(_, one)| one)
    };
    by(&|path| place_of_path(str::from_utf8(path.as_bytes()).ok()?))
        .or_else(|| by(&|path| place_of_name(str::from_utf8(path.file_name()).ok()?)))
}

/// Both outputs: which says what differs from release to release.
fn text_of(ended: Option<Ended>) -> String {
    ended.map_or_else(String::new, |ended| {
        format!("{}\n{}", ended.stdout, ended.stderr)
    })
}

/// Of each crontab that is laid.
fn crontabs(root: &Root, laid: &Laid) -> Result<(), Refusal> {
    let names = Names::read(root).map_err(|error| Refusal::Failed(error.to_string()))?;
    // Where accounts come from elsewhere too, one that is not local may be there all the same.
    let others = root
        .read(&HostPath::literal("/etc/nsswitch.conf"), 1 << 20)
        .ok()
        .flatten()
        .is_some_and(|text| {
            let text = String::from_utf8_lossy(&text).into_owned();
            let sources = text
                .lines()
                .filter_map(|line| line.trim().strip_prefix("passwd:"));
            sources
                .flat_map(str::split_whitespace)
                .any(|source| !matches!(source, "files" | "compat" | "systemd"))
        });
    let is_account = |name: &str| others || laid.accounts.contains(name) || names.has_account(name);
    for (path, content) in &laid.files {
        let is_crontab =
            path.as_bytes() == b"/etc/crontab" || path.is_within(&HostPath::literal("/etc/cron.d"));
        let Some(content) = content.as_ref().filter(|_| is_crontab) else {
            continue;
        };
        let text = String::from_utf8_lossy(content);
        cron::check(&text, &is_account)
            .map_err(|(line, why)| Refusal::Said(format!("{path}:{line}: {why}")))?;
    }
    Ok(())
}

/// What the program says; none where there is nothing to ask.
fn ask(root: &Root, validator: Validator, laid: &Laid) -> Result<Option<Ended>, Refusal> {
    let Some((program, arguments)) = program(root, validator, laid)? else {
        return Ok(None);
    };
    let needs = needs(validator);
    // Namespaces belong to threads, and this one's ends with it.
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let writable = view::lay_over(root, laid, needs.scratch, needs.directory)
                    .map_err(Refusal::Failed)?;
                let sandbox = Sandbox {
                    keep: needs.keep,
                    writable,
                    any_address: needs.any_address,
                    network: needs.network,
                    ..Sandbox::default()
                };
                ended(&program, &arguments, sandbox).map(Some)
            })
            .join()
            .unwrap_or_else(|_| Err(Refusal::Failed("it panicked".to_owned())))
    })
}

fn ended(program: &Path, arguments: &[OsString], sandbox: Sandbox) -> Result<Ended, Refusal> {
    let output = run(program, arguments, sandbox, ASK_LIMIT).map_err(|trouble| match trouble {
        Trouble::Absent => Refusal::Absent("it is gone".to_owned()),
        Trouble::Unknown(reason) => Refusal::Failed(reason.to_string()),
    })?;
    Ok(Ended {
        status: output.status,
        stdout: output.stdout,
        stderr: output.stderr,
        // More would have been refused.
        is_cut: false,
    })
}

/// What a program needs to give its answer, beyond reading.
struct Needs {
    /// Capabilities that stay, each because the question can't be answered without it.
    keep: CapabilitySet,
    /// Directories that it writes to although it is only asked: what it writes there, and in
    /// `/tmp`, goes nowhere.
    scratch: &'static [&'static str],
    /// A directory below one of those that must exist.
    directory: Option<&'static str>,
    /// It binds the addresses that it will serve.
    any_address: bool,
    /// It is asked about this host's own network.
    network: bool,
}

fn needs(validator: Validator) -> Needs {
    // Files of others that only their owner may read: keys, includes in a home.
    let reading = Needs {
        keep: CapabilitySet::DAC_READ_SEARCH,
        scratch: &[],
        directory: None,
        any_address: false,
        network: false,
    };
    match validator {
        // It says nothing without its directory, which exists only while the service runs.
        Validator::Sshd => Needs {
            scratch: &["/run"],
            directory: Some("/run/sshd"),
            ..reading
        },
        Validator::Sudoers | Validator::SystemdUnit => reading,
        // It opens its logs, wherever they are, makes its directories and gives them to its
        // user, and binds its ports, also those below 1024.
        Validator::Nginx => Needs {
            keep: CapabilitySet::DAC_READ_SEARCH
                | CapabilitySet::DAC_OVERRIDE
                | CapabilitySet::CHOWN
                | CapabilitySet::FOWNER
                | CapabilitySet::NET_BIND_SERVICE,
            scratch: &["/run", "/var", "/srv", "/opt", "/home", "/usr/local"],
            directory: None,
            any_address: true,
            network: false,
        },
        // `iif eth0` names an interface that has to be there, and the kernel says whether it takes
        // the rules; with `-c` it is told to take none.
        Validator::Nftables => Needs {
            keep: CapabilitySet::DAC_READ_SEARCH | CapabilitySet::NET_ADMIN,
            network: true,
            ..reading
        },
        Validator::Logrotate | Validator::Cron | Validator::Fstab => reading,
        // It makes the directories of its lists.
        Validator::AptSources => Needs {
            scratch: &["/var"],
            ..reading
        },
    }
}

/// The program and its arguments; none where there is nothing to ask.
fn program(
    root: &Root,
    validator: Validator,
    laid: &Laid,
) -> Result<Option<(PathBuf, Vec<OsString>)>, Refusal> {
    let is_there = |path: &'static str| match laid.files.get(&HostPath::literal(path)) {
        Some(content) => content.is_some(),
        None => root.path().join(path.trim_start_matches('/')).is_file(),
    };
    let (candidates, arguments): (&[&str], Vec<String>) = match validator {
        Validator::Sshd => (&["/usr/sbin/sshd"], vec!["-t".to_owned()]),
        Validator::Sudoers => (&["/usr/sbin/visudo"], vec!["-c".to_owned()]),
        Validator::Nginx => (
            &["/usr/sbin/nginx", "/usr/local/sbin/nginx"],
            vec!["-t".to_owned(), "-q".to_owned()],
        ),
        Validator::SystemdUnit => {
            let mut arguments = vec!["verify".to_owned(), "--man=no".to_owned()];
            arguments.extend(laid.files.iter().filter_map(|(path, content)| {
                content.as_ref()?;
                unit_of(path)
            }));
            if arguments.len() == 2 {
                return Ok(None);
            }
            (
                &["/usr/bin/systemd-analyze", "/bin/systemd-analyze"],
                arguments,
            )
        }
        Validator::AptSources => (
            &["/usr/bin/apt-get"],
            // Nothing is fetched, so there is nothing to do as another user.
            ["-oAPT::Sandbox::User=root", "--print-uris", "-qq", "update"]
                .map(str::to_owned)
                .to_vec(),
        ),
        Validator::Nftables => {
            const RULES: &str = "/etc/nftables.conf";
            if !is_there(RULES) {
                return Ok(None);
            }
            (
                &["/usr/sbin/nft", "/sbin/nft"],
                ["-c", "-f", RULES].map(str::to_owned).to_vec(),
            )
        }
        Validator::Logrotate => {
            const ALL: &str = "/etc/logrotate.conf";
            if !is_there(ALL) {
                return Ok(None);
            }
            (
                &["/usr/sbin/logrotate"],
                ["-d", ALL].map(str::to_owned).to_vec(),
            )
        }
        Validator::Fstab => {
            const TABLE: &str = "/etc/fstab";
            if !is_there(TABLE) {
                return Ok(None);
            }
            (
                &["/usr/bin/findmnt", "/bin/findmnt"],
                ["--verify", "--tab-file", TABLE]
                    .map(str::to_owned)
                    .to_vec(),
            )
        }
        // Asked without a program.
        Validator::Cron => return Ok(None),
    };
    let program = candidates
        .iter()
        .map(PathBuf::from)
        .find(|program| program.is_file())
        .ok_or_else(|| {
            let name = candidates.first().copied().unwrap_or_default();
            Refusal::Absent(format!("there is no `{name}` on this host"))
        })?;
    refuse_unless_roots(&program)?;
    let arguments = arguments.into_iter().map(OsString::from).collect();
    Ok(Some((program, arguments)))
}

/// Root runs a program only when nobody else could have written it.
fn refuse_unless_roots(program: &Path) -> Result<(), Refusal> {
    let metadata = program
        .metadata()
        .map_err(|error| Refusal::Failed(error.to_string()))?;
    match metadata.uid() == 0 && metadata.mode() & 0o022 == 0 {
        true => Ok(()),
        false => Err(Refusal::Failed(format!(
            "`{}` is not run as root: others than root may write it",
            program.display()
        ))),
    }
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
        .and_then(|program| program.args(["-T"]).answer())
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
