//! Upgrades of Debian packages: from files that were fetched and verified before, without
//! network, with nobody asked anything. Taken back by the before-images of every path that the
//! rehearsal wrote, the package database's among them.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use model::patching::DebconfAnswer;
use model::{HostPath, PackageRemoval, PackageUpgrade};
use rustix::fs::{AtFlags, CWD, FileType, StatxFlags};

use super::package::{apt_options, automatic, check_name, failed, query, unattended};
use super::program::Program;
use super::{ActError, Context, file};
use crate::image::{self, Node};
use crate::records::INFO;

/// Below the state directory: package files as apt names them.
pub fn archives(context: &Context<'_>) -> PathBuf {
    archives_below(context.images.directory())
}

pub fn archives_below(images: &Path) -> PathBuf {
    images.with_file_name("archives")
}

/// The name of a package's file in apt's cache: a colon of the version is `%3a`.
pub fn file_name(package: &PackageUpgrade) -> String {
    name_of_file(package.bare_name(), &package.to, &package.architecture)
}

/// The same, from a package's own words.
pub fn name_of_file(name: &str, version: &str, architecture: &str) -> String {
    format!("{name}_{}_{architecture}.deb", version.replace(':', "%3a"))
}

/// apt's own caches of its lists are made anew in memory: an upgrade that is taken back leaves
/// none of them changed.
pub const NO_CACHES: [&str; 2] = ["-oDir::Cache::pkgcache=", "-oDir::Cache::srcpkgcache="];

/// What dpkg is asked for first where it left something unfinished (dpkg(1)).
pub const CONFIGURE: [&str; 4] = ["--force-confdef", "--force-confold", "--configure", "-a"];

/// What one effect does with packages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work<'a> {
    pub packages: &'a [PackageUpgrade],
    pub removals: &'a [PackageRemoval],
    /// Those that a policy names.
    pub named: &'a [String],
    /// What dpkg left unfinished.
    pub unfinished: &'a [String],
    /// What debconf is told before.
    pub answers: &'a [DebconfAnswer],
}

/// The answers, where debconf-set-selections reads them: beside the package files.
const ANSWERS: &str = "answers";

impl Work<'_> {
    fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.removals.is_empty()
    }

    /// Packages may be there in the same version.
    fn is_again(&self) -> bool {
        !self.unfinished.is_empty()
    }

    /// The marks that apt-get leaves otherwise, since it takes every package that it is told the
    /// name of for one that somebody wants: which are to be marked as automatic, and which as wanted.
    /// `automatic` are those that are marked so before.
    pub fn marks(&self, automatic: &BTreeSet<String>) -> (Vec<String>, Vec<String>) {
        let is_named = |name: &String| self.named.contains(name);
        let marked = |package: &&PackageUpgrade| {
            !is_named(&package.name)
                && (package.from.is_none() || automatic.contains(&package.name))
        };
        let auto = self.packages.iter().filter(marked);
        let wanted = self.named.iter().filter(|name| automatic.contains(*name));
        (
            auto.map(|package| package.name.clone()).collect(),
            wanted.cloned().collect(),
        )
    }

    /// Puts the answers where debconf-set-selections reads them. Gone when what comes back is dropped.
    pub(crate) fn put_answers(&self, archives: &Path) -> Result<Option<Answers>, ActError> {
        if self.answers.is_empty() {
            return Ok(None);
        }
        let path = archives.join(ANSWERS);
        let lines: String = self.answers.iter().map(DebconfAnswer::line).collect();
        let write = || {
            let _ = std::fs::remove_file(&path);
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(lines.as_bytes())
        };
        write().map_err(|error| ActError::program("answer what packages ask", error))?;
        Ok(Some(Answers { path }))
    }

    /// The programs with their arguments, in turn, on the copy and on the host alike.
    pub fn programs(
        &self,
        archives: &Path,
        automatic: &BTreeSet<String>,
    ) -> Result<Vec<(&'static str, Vec<String>)>, ActError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let arguments = [&apt_options()[..], &arguments(*self, archives)?].concat();
        let mut programs = Vec::new();
        if !self.answers.is_empty() {
            let path = archives.join(ANSWERS).display().to_string();
            programs.push(("/usr/bin/debconf-set-selections", vec![path]));
        }
        programs.push(("/usr/bin/apt-get", arguments));
        let (auto, manual) = self.marks(automatic);
        for (verb, mut names) in [("auto", auto), ("manual", manual)] {
            if !names.is_empty() {
                names.insert(0, verb.to_owned());
                programs.push(("/usr/bin/apt-mark", names));
            }
        }
        Ok(programs)
    }
}

/// A file of answers, as long as it is needed.
#[derive(Debug)]
pub(crate) struct Answers {
    path: PathBuf,
}

impl Drop for Answers {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What apt-get is asked for, beside what it is always told.
fn arguments(work: Work<'_>, archives: &Path) -> Result<Vec<String>, ActError> {
    let mut words = vec![
        format!("-oDir::Cache::archives={}/", archives.display()),
        "-oAPT::Sandbox::User=root".to_owned(),
        "-oDpkg::Use-Pty=0".to_owned(),
        "--no-download".to_owned(),
        "--no-install-recommends".to_owned(),
        "install".to_owned(),
    ];
    words.splice(0..0, NO_CACHES.map(str::to_owned));
    if work.removals.is_empty() {
        words.insert(0, "--no-remove".to_owned());
    }
    if work.is_again() {
        words.insert(0, "--reinstall".to_owned());
        // A repair may go back to the version that worked.
        words.insert(0, "--allow-downgrades".to_owned());
    }
    for removal in work.removals {
        check_name(&removal.name)?;
        words.push(format!("{}-", removal.name));
    }
    for package in work.packages {
        check_name(&package.name)?;
        check_version(package)?;
        words.push(format!("{}={}", package.name, package.to));
    }
    Ok(words)
}

fn check_version(package: &PackageUpgrade) -> Result<(), ActError> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b".+-:~".contains(&byte);
    let plain = |text: &str| !text.is_empty() && text.bytes().all(valid);
    match plain(&package.to) && plain(&package.architecture) {
        true => Ok(()),
        false => Err(ActError::program(
            format!("upgrade `{}`", package.name),
            "the version holds characters that no version has",
        )),
    }
}

/// Each file is the one that was planned with.
pub fn check_archives(packages: &[PackageUpgrade], archives: &Path) -> Result<(), ActError> {
    for package in packages {
        let path = archives.join(file_name(package));
        let refuse = |why: String| ActError::program(format!("use `{}`", path.display()), why);
        let mut file = File::open(&path).map_err(|error| refuse(error.to_string()))?;
        let (digest, _) = image::digest(&mut file).map_err(|error| refuse(error.to_string()))?;
        if digest != package.archive {
            return Err(refuse("it is not the file that was rehearsed".to_owned()));
        }
    }
    Ok(())
}

/// Upgrades. Believed only when dpkg's database says so, whatever apt's exit code was.
pub fn act(context: &Context<'_>, work: Work<'_>, limit: Duration) -> Result<(), ActError> {
    let archives = archives(context);
    check_archives(work.packages, &archives)?;
    if work.is_again() {
        let finish = unattended(Program::find(&["/usr/bin/dpkg"])?);
        // What can't be configured is installed again, and what dpkg says in the end counts.
        let _ = finish.args(CONFIGURE).limit(limit).run()?;
    }
    let _answers = work.put_answers(&archives)?;
    for (program, arguments) in work.programs(&archives, &automatic()?)? {
        let ended = unattended(Program::find(&[program])?)
            .args(arguments)
            .merged()
            .limit(limit)
            .run()?;
        if !ended.succeeded() {
            return Err(failed("change packages".to_owned(), &ended));
        }
    }
    for package in work.packages {
        let now = query(&package.name)?;
        if now.version.as_ref() != Some(&package.to) {
            return Err(ActError::program(
                format!("upgrade `{}`", package.name),
                format!(
                    "it is {} now, and not {}",
                    now.version.as_deref().unwrap_or("not installed"),
                    package.to
                ),
            ));
        }
    }
    for removal in work.removals {
        if let Some(version) = query(&removal.name)?.version {
            return Err(ActError::program(
                format!("remove `{}`", removal.name),
                format!("{version} of it is still installed"),
            ));
        }
    }
    check_clean()
}

/// Is nothing half done? dpkg's own audit, which prints what is.
pub fn check_clean() -> Result<(), ActError> {
    let said = audit()?;
    if said.trim().is_empty() {
        return Ok(());
    }
    let named = names_of(&said);
    let why = match named.is_empty() {
        true => said.lines().next().unwrap_or_default().to_owned(),
        false => format!("not all there: {}", named.join(", ")),
    };
    Err(ActError::program(
        "find dpkg's database clean",
        model::printable(why.as_bytes()),
    ))
}

fn audit() -> Result<String, ActError> {
    let ended = Program::find(&["/usr/bin/dpkg"])?
        .args(["--audit"])
        .answer()?;
    Ok(ended.stdout)
}

/// The packages that dpkg's audit names.
pub fn audited() -> Result<Vec<String>, ActError> {
    audit().map(|said| names_of(&said))
}

/// Explanations stand at the margin, and packages, with a word on each, are indented.
pub(crate) fn names_of(audit: &str) -> Vec<String> {
    let lines = audit.lines();
    lines
        .filter_map(|line| line.strip_prefix(' ')?.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Where dpkg keeps a package's control files while it unpacks it, and what its database will
/// say next. Both are empty while nothing is at work.
const TRANSIENT: [&str; 2] = ["/var/lib/dpkg/tmp.ci", crate::records::UPDATES];
/// How dpkg names a file that is not in place yet, and one that is kept until it is.
const BESIDE: [&str; 2] = [".dpkg-new", ".dpkg-tmp"];
/// Where dpkg keeps what is to come to this path.
pub(crate) fn besides(path: &HostPath) -> impl Iterator<Item = HostPath> {
    let ends = BESIDE.iter();
    ends.filter_map(|end| HostPath::from_bytes(&[path.as_bytes(), end.as_bytes()].concat()).ok())
}

/// The path beside which dpkg keeps this until it has finished.
pub(crate) fn beside_of(path: &HostPath) -> Option<HostPath> {
    let mut ends = BESIDE.iter();
    let of = ends.find_map(|end| path.as_bytes().strip_suffix(end.as_bytes()))?;
    HostPath::from_bytes(of).ok()
}

/// Where dpkg's database is written under such names until it is whole, and nobody else writes.
const DATABASE: [&str; 3] = [
    "/var/lib/dpkg",
    "/var/lib/dpkg/info",
    "/var/lib/dpkg/triggers",
];
/// apache2 has a list of 6 kB.
const CONFFILES_LIMIT_BYTES: u64 = 1 << 20;
const UNFINISHED: [&str; 2] = ["-new", ".new"];
/// How other programs that packages run name a file of theirs before it gets its name: ldconfig(8),
/// shadow's, debconf, update-ca-certificates(8).
const OTHERS: [&str; 11] = [
    "/etc/ld.so.cache~",
    "/etc/passwd+",
    "/etc/group+",
    "/etc/shadow+",
    "/etc/gshadow+",
    "/etc/subuid+",
    "/etc/subgid+",
    "/etc/ssl/certs/ca-certificates.crt.new",
    "/var/cache/debconf/config.dat-new",
    "/var/cache/debconf/templates.dat-new",
    "/var/cache/debconf/passwords.dat-new",
];
/// Where a program makes a file with its name and six letters of mkstemp(3), and which: apt's marks,
/// and the images of the kernel's first file system.
const MADE: [(&str, &str, &str); 2] = [
    ("/var/lib/apt", "extended_states.", "??????"),
    ("/boot", "initrd.img-", "*.new"),
];

/// Removes what an upgrade that was killed left of its own: the next run of dpkg would take it
/// for the truth. `since` is when an upgrade began that did not come to its end: then what other
/// programs had not finished goes as well.
pub fn sweep(
    context: &Context<'_>,
    writes: &[HostPath],
    since: Option<Timestamp>,
) -> Result<(), ActError> {
    let planned = |path: &HostPath| writes.binary_search(path).is_ok();
    let remove = |path: &HostPath| match planned(path) {
        true => Ok(()),
        false => file::put_back(context, path, &Node::Absent),
    };
    for directory in TRANSIENT {
        let directory = HostPath::literal(directory);
        for name in context.root.list(&directory)?.unwrap_or_default() {
            if let Ok(path) = directory.join(&name) {
                remove(&path)?;
            }
        }
    }
    remove(&HostPath::literal(TRANSIENT[0]))?;
    for path in writes {
        for beside in besides(path) {
            remove(&beside)?;
        }
    }
    let Some(since) = since else {
        return Ok(());
    };
    let mut unfinished: Vec<HostPath> = OTHERS.iter().map(|path| HostPath::literal(path)).collect();
    for directory in DATABASE {
        unfinished.extend(named(context, directory, |name| {
            UNFINISHED.iter().any(|end| name.ends_with(end))
        })?);
    }
    unfinished.extend(beside_conffiles(context)?);
    for (directory, begin, pattern) in MADE {
        unfinished.extend(named(context, directory, |name| {
            name.strip_prefix(begin)
                .is_some_and(|rest| model::waiver::matches(pattern, rest))
        })?);
    }
    for path in unfinished {
        if is_born_since(&path, since) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Where dpkg unpacks configuration files before it knows whether they are new: one that stays as
/// it was is in no write set.
fn beside_conffiles(context: &Context<'_>) -> Result<Vec<HostPath>, ActError> {
    let mut beside = Vec::new();
    for list in named(context, INFO, |name| name.ends_with(".conffiles"))? {
        let content = context.root.read(&list, CONFFILES_LIMIT_BYTES)?;
        for line in content.unwrap_or_default().split(|byte| *byte == b'\n') {
            let ends = BESIDE.iter();
            // Flags of deb-conffiles(5) stand before the path: nothing lies there.
            beside.extend(ends.filter_map(|end| {
                let path = [line, end.as_bytes()].concat();
                HostPath::from_bytes(&path).ok()
            }));
        }
    }
    Ok(beside)
}

/// The paths of those names in a directory.
fn named(
    context: &Context<'_>,
    directory: &'static str,
    is_meant: impl Fn(&str) -> bool,
) -> Result<Vec<HostPath>, ActError> {
    let directory = HostPath::literal(directory);
    let names = context.root.list(&directory)?.unwrap_or_default();
    let meant = names
        .iter()
        .filter(|name| str::from_utf8(name).is_ok_and(&is_meant));
    Ok(meant.filter_map(|name| directory.join(name).ok()).collect())
}

/// Files only, and only where the file system tells when a file was made (statx(2)): what was
/// there before the upgrade is somebody's.
fn is_born_since(path: &HostPath, since: Timestamp) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let mask = StatxFlags::TYPE | StatxFlags::BTIME;
    let Ok(stat) = rustix::fs::statx(CWD, path.as_path(), flags, mask) else {
        return false;
    };
    let is_file = FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::RegularFile;
    is_file && file::is_born_since(&stat, since)
}
