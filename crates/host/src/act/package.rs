//! Packages of Debian: installed and removed with apt-get, and taken back as a set: the same
//! packages, versions, automatic marks and configuration files. The old `.deb` files are
//! secured before anything is removed; where one can't be had, the action is refused, unless
//! the plan said that it can't be taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::effect::bare_name;
use model::{Digest, HostPath, PackageOp};
use rustix::process::{Flock, FlockType};
use serde::{Deserialize, Serialize};

use super::package_places;
use super::place::{LastLink, Root};
use super::program::{Ended, Program};
use super::{ActError, Context};

/// Unpacking and configuring a large package on a slow disk.
const INSTALL_LIMIT: Duration = Duration::from_secs(1200);
/// Fetching one package over a slow line.
const FETCH_LIMIT: Duration = Duration::from_secs(600);
/// How long apt waits for another that is at work.
const LOCK_WAIT_S: u32 = 60;
/// A list of configuration files is short.
const LIST_LIMIT_BYTES: u64 = 1 << 20;

/// A package's state in dpkg's database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageState {
    /// With its architecture: `openssl:amd64`.
    pub name: String,
    /// None when dpkg does not know it, or knows only its configuration files.
    pub version: Option<String>,
    /// dpkg's own word: `install ok installed`, `deinstall ok config-files`.
    pub status: Option<String>,
    /// Installed because something else needed it.
    pub automatic: bool,
    /// The content of the `.deb` with which this version can be put back.
    pub archive: Option<Digest>,
}

/// How the packages that an action changes were before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackagesBefore {
    pub packages: Vec<PackageState>,
}

/// One line of apt-get's simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    pub removes: bool,
    pub old: Option<String>,
    /// What is installed.
    pub new: Option<Offered>,
}

/// A version as apt has it to offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    pub version: String,
    /// Who publishes it, and in which suite: `Debian-Security:12/oldstable-security`.
    pub origins: Vec<String>,
    pub architecture: String,
}

/// Reads what `apt-get --simulate` says it would do:
/// `Inst NAME [OLD] (NEW ORIGIN:SUITE, ORIGIN:SUITE [ARCHITECTURE])`, `Remv NAME [OLD]`,
/// `Purg NAME [OLD]`.
///
/// # Errors
/// When a line of these says something else: what it would install must not go unseen.
pub fn parse_simulation(text: &str) -> Result<Vec<Step>, ActError> {
    text.lines()
        .filter_map(|line| parse_step(line).transpose())
        .collect()
}

fn parse_step(line: &str) -> Result<Option<Step>, ActError> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let removes = match verb {
        "Inst" => false,
        "Remv" | "Purg" => true,
        _ => return Ok(None),
    };
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let old = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let new = parse_offered(rest);
    if name.is_empty() || (!removes && new.is_none()) {
        let line = model::printable(line.as_bytes());
        return Err(ActError::program(
            "read what apt-get would do",
            format!("this line of it is not understood: `{line}`"),
        ));
    }
    Ok(Some(Step {
        name: name.to_owned(),
        removes,
        old: old.map(|(old, _)| old.to_owned()),
        new,
    }))
}

fn parse_offered(rest: &str) -> Option<Offered> {
    let (_, inner) = rest.split_once('(')?;
    // The name of an origin may have parentheses itself; the architecture ends it.
    let (inner, _) = inner.split_once("])")?;
    let (version, inner) = inner.split_once(' ')?;
    let (origins, architecture) = inner.rsplit_once('[')?;
    let origins = origins.split(',').map(str::trim);
    Some(Offered {
        version: version.to_owned(),
        origins: origins
            .filter(|origin| !origin.is_empty())
            .map(str::to_owned)
            .collect(),
        architecture: architecture.to_owned(),
    })
}

/// Nobody is asked anything.
pub(crate) const APT_VARIABLES: [(&str, &str); 4] = [
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("DEBIAN_PRIORITY", "critical"),
    ("APT_LISTCHANGES_FRONTEND", "none"),
    ("NEEDRESTART_SUSPEND", "1"),
];

/// What apt-get is always told.
pub(crate) fn apt_options() -> [String; 5] {
    [
        "-q".to_owned(),
        "-y".to_owned(),
        // What the administrator wrote stays; the maintainer's version is put beside it.
        "-oDpkg::Options::=--force-confdef".to_owned(),
        "-oDpkg::Options::=--force-confold".to_owned(),
        format!("-oDPkg::Lock::Timeout={LOCK_WAIT_S}"),
    ]
}

pub(crate) fn apt() -> Result<Program, ActError> {
    let program = Program::find(&["/usr/bin/apt-get"])?
        .args(apt_options())
        .limit(INSTALL_LIMIT);
    Ok(unattended(program))
}

/// With the variables that say that nobody is there.
pub(super) fn unattended(program: Program) -> Program {
    let with = |program: Program, (name, value)| program.env(name, value);
    APT_VARIABLES.into_iter().fold(program, with)
}

fn dpkg() -> Result<Program, ActError> {
    Ok(Program::find(&["/usr/bin/dpkg"])?
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("DEBIAN_PRIORITY", "critical")
        .args(["--force-confdef", "--force-confold"])
        .limit(INSTALL_LIMIT))
}

/// Debian policy, section 5.6.7: lower case letters, digits and `+-.`.
pub(super) fn check_name(name: &str) -> Result<(), ActError> {
    let valid =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.:".contains(&byte);
    match name.len() > 1 && name.as_bytes()[0].is_ascii_alphanumeric() && name.bytes().all(valid) {
        true => Ok(()),
        false => Err(ActError::program(
            "change a package",
            format!(
                "`{}` is not a package's name",
                model::printable(name.as_bytes())
            ),
        )),
    }
}

/// The same for apt-get's `install`, which also removes: `name`, `name=version`, `name-`.
pub(crate) fn word(name: &str, op: &PackageOp) -> Result<String, ActError> {
    let last = words(name, op)?.pop().unwrap_or_default();
    Ok(match op {
        PackageOp::Install { .. } => last,
        PackageOp::Remove => format!("{last}-"),
    })
}

fn words(name: &str, op: &PackageOp) -> Result<Vec<String>, ActError> {
    check_name(name)?;
    Ok(match op {
        PackageOp::Install { version: None } => vec!["install".to_owned(), name.to_owned()],
        PackageOp::Install {
            version: Some(version),
        } => {
            let valid = |byte: u8| byte.is_ascii_alphanumeric() || b".+-:~".contains(&byte);
            if !version.bytes().all(valid) {
                return Err(ActError::program(
                    format!("install `{name}`"),
                    "the version holds characters that no version has",
                ));
            }
            vec!["install".to_owned(), format!("{name}={version}")]
        }
        PackageOp::Remove => vec!["remove".to_owned(), name.to_owned()],
    })
}

/// What apt would do, and that it is no more than the plan says: an install removes nothing,
/// a removal takes nothing else with it.
fn simulate(name: &str, op: &PackageOp) -> Result<Vec<Step>, ActError> {
    let ended = apt()?
        .args(["--simulate"])
        .args(words(name, op)?)
        .answer()?;
    let steps = parse_simulation(&ended.stdout)?;
    let beyond: Vec<&str> = steps
        .iter()
        .filter(|step| step.removes && !(matches!(op, PackageOp::Remove) && step.name == name))
        .map(|step| step.name.as_str())
        .collect();
    match beyond.is_empty() {
        true => Ok(steps),
        false => Err(ActError::program(
            format!("change the package `{name}`"),
            format!(
                "that would also remove {}; where that is meant, want it: `package: {{name: {}, \
                 absent: true}}`",
                beyond.join(", "),
                beyond[0]
            ),
        )),
    }
}

/// The configuration files of the installed packages that change (dpkg's `.conffiles`).
pub fn touched(
    root: &Root,
    name: &str,
    op: &PackageOp,
) -> Result<Vec<(HostPath, LastLink)>, ActError> {
    let mut paths = BTreeSet::new();
    for step in simulate(name, op)? {
        if step.old.is_none() {
            continue;
        }
        for list in lists(&step.name)? {
            let path = HostPath::literal("/var/lib/dpkg/info")
                .join(&list)
                .map_err(|error| ActError::program("find configuration files", error))?;
            let bytes = root.read(&path, LIST_LIMIT_BYTES)?.unwrap_or_default();
            let lines = bytes.split(|byte| *byte == b'\n');
            // A line may begin with a flag: `remove-on-upgrade /etc/…`.
            let files = lines.filter_map(|line| line.rsplit(|byte| *byte == b' ').next());
            for file in files {
                // dpkg leaves what it did not put in place under these names.
                for end in ["", ".dpkg-dist", ".dpkg-old", ".dpkg-new"] {
                    paths.extend(HostPath::from_bytes(&[file, end.as_bytes()].concat()).ok());
                }
            }
        }
    }
    Ok(paths
        .into_iter()
        .map(|path| (path, LastLink::Follow))
        .collect())
}

/// Packages that can be installed for several architectures have it in the name.
fn lists(name: &str) -> Result<Vec<String>, ActError> {
    let bare = bare_name(name);
    let architecture = dpkg()?.args(["--print-architecture"]).answer()?.stdout;
    Ok(vec![
        format!("{name}.conffiles"),
        format!("{bare}.conffiles"),
        format!("{bare}:{}.conffiles", architecture.trim()),
    ])
}

/// What must be known, and had, to take the action back.
pub fn keep(context: &Context<'_>, name: &str, op: &PackageOp) -> Result<PackagesBefore, ActError> {
    let steps = simulate(name, op)?;
    let mut names: BTreeSet<String> = steps.into_iter().map(|step| step.name).collect();
    // Its mark changes even when it is installed already.
    names.insert(name.to_owned());
    keep_named(context, names)
}

/// How the packages of `before` are now, with what brings that back.
pub fn keep_again(
    context: &Context<'_>,
    before: &PackagesBefore,
) -> Result<PackagesBefore, ActError> {
    let names = before.packages.iter().map(|package| package.name.clone());
    keep_named(context, names.collect())
}

fn keep_named(context: &Context<'_>, names: BTreeSet<String>) -> Result<PackagesBefore, ActError> {
    let automatic = automatic()?;
    let mut packages = Vec::new();
    for name in names {
        let mut state = query(&name)?;
        state.automatic = automatic.contains(&name);
        if let Some(version) = state.version.clone() {
            state.archive = Some(secure(context, &name, &version)?);
        }
        packages.push(state);
    }
    Ok(PackagesBefore { packages })
}

/// Asks dpkg how a package is.
///
/// # Errors
/// When dpkg can't say: that is not the same as a package that it does not know.
pub(crate) fn query(name: &str) -> Result<PackageState, ActError> {
    let ended = Program::find(&["/usr/bin/dpkg-query"])?
        .args(["-W", "-f=${Status}\\t${Version}\\n", "--", name])
        .answer_with(&[KNOWN, UNKNOWN])?;
    state_of(name, &ended)
}

/// dpkg-query(1), exit status: it has an answer.
const KNOWN: i32 = 0;
/// "The requested query failed either fully or partially, due to no file or package being found".
const UNKNOWN: i32 = 1;

/// Reads dpkg-query's answer for one package: `STATUS\tVERSION`.
///
/// # Errors
/// Where it is none.
pub fn state_of(name: &str, ended: &Ended) -> Result<PackageState, ActError> {
    let mut state = PackageState {
        name: name.to_owned(),
        version: None,
        status: None,
        automatic: false,
        archive: None,
    };
    let line = ended.stdout.lines().next();
    match (ended.status, line.and_then(|line| line.split_once('\t'))) {
        (Some(KNOWN), Some((status, version))) => {
            state.status = Some(status.to_owned());
            if is_installed(status) {
                state.version = Some(version.to_owned());
            }
            Ok(state)
        }
        (Some(UNKNOWN), None) if ended.stderr.contains("no packages found") => Ok(state),
        _ => Err(ActError::program(
            format!("ask dpkg about `{name}`"),
            ended.end(),
        )),
    }
}

fn is_installed(status: &str) -> bool {
    status.ends_with(" installed")
}

/// The packages that are marked as automatic (apt-mark(8)).
pub(crate) fn automatic() -> Result<BTreeSet<String>, ActError> {
    let ended = Program::find(&["/usr/bin/apt-mark"])?
        .args(["showauto"])
        .answer()?;
    Ok(ended.stdout.lines().map(str::to_owned).collect())
}

/// Gets the `.deb` of exactly this version into the images: from apt's cache or from the
/// sources. Superseded versions are gone from the archive, so this must be done before.
fn secure(context: &Context<'_>, name: &str, version: &str) -> Result<Digest, ActError> {
    let workshop = Workshop::new(context)?;
    let fail = |why: String| {
        ActError::program(
            format!(
                "secure the package file of {name} {version}, without which there is no way back"
            ),
            why,
        )
    };
    let cached = cached(name, version);
    let file = match cached {
        Some(path) => path,
        None => {
            Program::find(&["/usr/bin/apt-get"])?
                .args(["-q", "-oAPT::Sandbox::User=root", "download"])
                .args([format!("{name}={version}")])
                .directory(&workshop.path)
                .limit(FETCH_LIMIT)
                .succeed()
                .map_err(|error| fail(error.to_string()))?;
            let mut files = std::fs::read_dir(&workshop.path)
                .map_err(|error| fail(error.to_string()))?
                .filter_map(|entry| Some(entry.ok()?.path()));
            files
                .find(|path| path.extension().is_some_and(|end| end == "deb"))
                .ok_or_else(|| fail("nothing was downloaded".to_owned()))?
        }
    };
    check_archive(&file, name, version).map_err(fail)?;
    let mut source = std::fs::File::open(&file).map_err(|error| fail(error.to_string()))?;
    context
        .images
        .store(&mut source)
        .map(|(digest, _)| digest)
        .map_err(|error| fail(error.to_string()))
}

fn cached(name: &str, version: &str) -> Option<PathBuf> {
    let bare = bare_name(name);
    let start = format!("{bare}_{}_", version.replace(':', "%3a"));
    let entries = std::fs::read_dir("/var/cache/apt/archives").ok()?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            let file = path.file_name().and_then(|name| name.to_str());
            file.is_some_and(|file| file.starts_with(&start) && file.ends_with(".deb"))
        })
}

/// The file is what its name says.
fn check_archive(file: &Path, name: &str, version: &str) -> Result<(), String> {
    let said = Program::find(&["/usr/bin/dpkg-deb"])
        .and_then(|program| {
            program
                .args([
                    "--show".to_owned(),
                    "--showformat=${Package} ${Version}".to_owned(),
                ])
                .args([file.display().to_string()])
                .answer()
        })
        .map_err(|error| error.to_string())?
        .stdout;
    let bare = bare_name(name);
    match said.trim() == format!("{bare} {version}") {
        true => Ok(()),
        false => Err(format!(
            "the file holds {}",
            model::printable(said.as_bytes())
        )),
    }
}

/// Installs or removes.
pub fn act(name: &str, op: &PackageOp) -> Result<(), ActError> {
    simulate(name, op)?;
    let mut program = apt()?.args(words(name, op)?);
    if matches!(op, PackageOp::Install { .. }) {
        program = program.args(["--no-remove", "--allow-downgrades"]);
    }
    let ended = program.run()?;
    if ended.succeeded() {
        return Ok(());
    }
    Err(failed(format!("change the package `{name}`"), &ended))
}

pub(super) fn failed(what: String, ended: &Ended) -> ActError {
    let said = crate::packages::said::why(&[&*ended.stdout, &*ended.stderr].concat());
    let said = match said.is_empty() {
        true => ended.end(),
        false => said,
    };
    match lock_holder() {
        Some(holder) => {
            let holder = named_process(holder);
            ActError::program(what, format!("{holder} holds dpkg's lock; {said}"))
        }
        None => ActError::program(what, said),
    }
}

/// `process 812 (unattended-upgr)`.
pub(super) fn named_process(id: i32) -> String {
    match std::fs::read(format!("/proc/{id}/comm")) {
        Ok(name) => format!("process {id} ({})", model::printable(name.trim_ascii_end())),
        Err(_) => format!("process {id}"),
    }
}

/// In the order in which they are taken: apt takes the first, dpkg itself the second.
pub(super) const LOCKS: [&str; 2] = ["/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock"];

/// Who holds one of dpkg's locks.
pub(super) fn lock_holder() -> Option<i32> {
    held_locks().flatten().next()
}

/// Who holds one of dpkg's locks, in words; a lock of an open file has no process that it is of.
pub(crate) fn named_lock_holder() -> Option<String> {
    let holders: Vec<Option<i32>> = held_locks().collect();
    let known = holders.iter().flatten().next();
    match (known, holders.is_empty()) {
        (Some(process), _) => Some(named_process(*process)),
        (None, false) => Some("somebody".to_owned()),
        (None, true) => None,
    }
}

/// For each of the locks that is held, by which process.
fn held_locks() -> impl Iterator<Item = Option<i32>> {
    LOCKS.into_iter().filter_map(|path| {
        let file = std::fs::File::open(path).ok()?;
        let asked = Flock::from(FlockType::WriteLock);
        let found = rustix::process::fcntl_getlk(file, &asked).ok()??;
        Some(found.pid.map(rustix::process::Pid::as_raw_pid))
    })
}

/// What brings one package back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is as it was.
    Nothing,
    /// dpkg had not heard of it.
    Gone,
    /// Only its configuration files were there.
    Removed,
    /// In this version.
    Install(String),
}

impl PackageState {
    /// dpkg's word; it also has one for what it only heard of, as the one side of a conflict.
    fn known_status(&self) -> Option<&str> {
        let status = self.status.as_deref();
        status.filter(|status| !status.ends_with(" not-installed"))
    }

    /// From how it is `now` back to this.
    pub fn way_from(&self, now: &Self) -> Way {
        if now.version == self.version && now.known_status() == self.known_status() {
            return Way::Nothing;
        }
        match (&self.version, self.known_status()) {
            (Some(version), _) => Way::Install(version.clone()),
            (None, Some(_)) => Way::Removed,
            (None, None) => Way::Gone,
        }
    }
}

/// Why an undo does not touch them.
pub const MADE_SINCE: &str = "it was made or changed since in a place of the packages, and would go \
                              with them: keep it elsewhere first";

/// What people and programs have made in the places of the packages that would go.
pub fn made_since(
    context: &Context<'_>,
    before: &PackagesBefore,
) -> Result<BTreeSet<PathBuf>, ActError> {
    let mut names = Vec::new();
    for package in &before.packages {
        if package.way_from(&query(&package.name)?) == Way::Gone {
            names.push(package.name.clone());
        }
    }
    package_places::made(context, &names)
}

/// The same packages, versions and marks as before. Doing it twice changes nothing. What others made
/// in the packages' places stays, and is named.
pub fn take_back(context: &Context<'_>, before: &PackagesBefore) -> Result<(), ActError> {
    // A kill inside dpkg leaves packages half configured.
    let ended = dpkg()?.args(["--configure", "-a"]).run()?;
    if !ended.succeeded() {
        return Err(failed("finish what dpkg had begun".to_owned(), &ended));
    }
    let workshop = Workshop::new(context)?;
    let made = made_since(context, before)?;
    // dpkg gives up on long chains of dependencies, and gets further when it is asked again.
    let mut left = usize::MAX;
    let mut said = None;
    loop {
        let (mut gone, mut remove, mut install) = (Vec::new(), Vec::new(), Vec::new());
        for (number, package) in before.packages.iter().enumerate() {
            let now = query(&package.name)?;
            match package.way_from(&now) {
                Way::Nothing => {}
                // Its configuration files stay with what others made beside them.
                Way::Gone if !made.is_empty() => {
                    if !now
                        .status
                        .is_some_and(|status| status.ends_with(" config-files"))
                    {
                        gone.push(package.name.clone());
                    }
                }
                Way::Gone => gone.push(package.name.clone()),
                Way::Removed => remove.push(package.name.clone()),
                Way::Install(version) => {
                    install.push(unpacked(context, &workshop, number, package, &version)?);
                }
            }
        }
        let todo = gone.len() + remove.len() + install.len();
        if todo == 0 {
            break;
        }
        if todo >= left {
            let what = "put the packages back".to_owned();
            return Err(match said {
                Some(ended) => failed(what, &ended),
                None => ActError::program(what, "dpkg does not say why it does not"),
            });
        }
        left = todo;
        let goes = if made.is_empty() {
            "--purge"
        } else {
            "--remove"
        };
        // What is asked to go does so in one call where it may: each may need another.
        if goes == "--remove" {
            gone.append(&mut remove);
        }
        for (verb, names) in [(goes, gone), ("--remove", remove), ("--install", install)] {
            if !names.is_empty() {
                let ended = dpkg()?.args([verb]).args(names).run()?;
                if !ended.succeeded() || said.is_none() {
                    said = Some(ended);
                }
            }
        }
    }
    restore_marks(before)?;
    match made.is_empty() {
        true => Ok(()),
        false => Err(ActError::program(
            "take the packages' places back as well",
            format!(
                "they are removed, and what was made or changed there since is kept: {}",
                package_places::named(&made)
            ),
        )),
    }
}

/// The package's file out of the images, where dpkg can read it.
fn unpacked(
    context: &Context<'_>,
    workshop: &Workshop,
    number: usize,
    package: &PackageState,
    version: &str,
) -> Result<String, ActError> {
    let what = || format!("put back {} {version}", package.name);
    let archive = package
        .archive
        .ok_or_else(|| ActError::program(what(), "its package file was not secured"))?;
    let path = workshop.path.join(format!("{number}.deb"));
    std::fs::File::create(&path)
        .and_then(|mut file| {
            let mut stored = context
                .images
                .open(&archive)
                .map_err(std::io::Error::other)?;
            std::io::copy(&mut stored, &mut file)
        })
        .map_err(|error| ActError::program(what(), error))?;
    Ok(path.display().to_string())
}

fn restore_marks(before: &PackagesBefore) -> Result<(), ActError> {
    let now = automatic()?;
    let mut wrong: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for package in &before.packages {
        if package.version.is_some() && now.contains(&package.name) != package.automatic {
            let verb = if package.automatic { "auto" } else { "manual" };
            wrong.entry(verb).or_default().push(package.name.clone());
        }
    }
    for (verb, names) in wrong {
        Program::find(&["/usr/bin/apt-mark"])?
            .args([verb.to_owned()])
            .args(names)
            .succeed()?;
    }
    Ok(())
}

/// Are the packages again as they were?
pub fn is_back(before: &PackagesBefore) -> bool {
    let is_back = |package: &PackageState| {
        query(&package.name).is_ok_and(|now| package.way_from(&now) == Way::Nothing)
    };
    before.packages.iter().all(is_back)
}

/// A folder for package files beside the images, gone when it is done with.
struct Workshop {
    path: PathBuf,
}

impl Workshop {
    fn new(context: &Context<'_>) -> Result<Self, ActError> {
        let path = context.images.directory().join("packages");
        // What a crash left behind is of no use.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| ActError::program("make a folder for package files", error))?;
        Ok(Self { path })
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
