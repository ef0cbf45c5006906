//! Pending upgrades of packages: which there are, fetched, verified and rehearsed, with nothing
//! installed yet.

pub mod reach;
pub mod sockets;
pub mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::component::SourcePackage;
use model::patching::DATA_PLACES;
use model::value::Output;
use model::{HostPath, PackageUpgrade};
use serde::Serialize;

use crate::act::package::{APT_VARIABLES, apt, apt_options, query};
use crate::act::program::{Program, end_of};
use crate::act::upgrade::{
    CONFIGURE, NO_CACHES, archives_below, arguments, audited, check_clean, file_name, name_of_file,
};
use crate::act::{ActError, Root};
use crate::image;
use crate::lock::Lock;
use crate::rehearse::{Place, RehearseError, Rehearsed, Step, rehearse};
use crate::state::State;

/// Fetching a whole upgrade over a slow line.
const FETCH_LIMIT: Duration = Duration::from_secs(3600);
/// A check that takes longer than this tells nothing.
const CHECK_LIMIT: Duration = Duration::from_secs(60);

/// An upgrade that apt would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// With its architecture where it is not the host's own: `libc6:i386`.
    pub name: String,
    pub architecture: String,
    pub from: Option<String>,
    pub to: String,
    pub origins: Vec<String>,
}

impl Pending {
    pub fn is_security(&self) -> bool {
        model::effect::says_security(&self.origins)
    }

    /// The name of its file in apt's cache.
    pub fn file_name(&self) -> String {
        let bare = self.name.split(':').next().unwrap_or(&self.name);
        name_of_file(bare, &self.to, &self.architecture)
    }
}

/// What only reads may be asked while dpkg is in the middle of something (apt's Debug options).
const UNLOCKED: &str = "-oDebug::NoLocking=1";

/// Reads `Inst NAME [OLD] (NEW ORIGIN:SUITE, ORIGIN:SUITE [ARCHITECTURE])` of apt-get's
/// simulation; and the packages that it would remove.
pub fn parse_pending(text: &str) -> (Vec<Pending>, Vec<String>) {
    let mut removed = Vec::new();
    let pending = text
        .lines()
        .filter_map(|line| {
            let (verb, rest) = line.split_once(' ')?;
            let (name, rest) = rest.split_once(' ')?;
            match verb {
                "Inst" => {}
                "Remv" | "Purg" => {
                    removed.push(name.to_owned());
                    return None;
                }
                _ => return None,
            }
            let from = rest
                .strip_prefix('[')
                .and_then(|rest| rest.split_once(']'))
                .map(|(from, _)| from.to_owned());
            let (_, inner) = rest.split_once('(')?;
            let (inner, _) = inner.split_once(')')?;
            let (to, inner) = inner.split_once(' ')?;
            let (origins, architecture) = inner.rsplit_once('[')?;
            Some(Pending {
                name: name.to_owned(),
                architecture: architecture.trim_end_matches(']').to_owned(),
                from,
                to: to.to_owned(),
                origins: origins
                    .split(',')
                    .map(|origin| origin.trim().to_owned())
                    .filter(|origin| !origin.is_empty())
                    .collect(),
            })
        })
        .collect();
    (pending, removed)
}

/// What stands in the way of every upgrade, said before anything is looked at further.
///
/// # Errors
/// dpkg's database is not clean, or could not be asked.
pub fn check() -> Result<(), ActError> {
    check_clean()
}

/// The turn of one patch, from what is fetched to its end. Given back when it is dropped.
#[derive(Debug)]
pub struct Turn {
    _file: File,
}

impl Turn {
    /// None while somebody else has it.
    ///
    /// # Errors
    /// When the state directory can't be written.
    pub fn take(state: &State) -> Result<Option<Self>, ActError> {
        let path = state.directory().join("patch.lock");
        let fail = |error: std::io::Error| ActError::program("take a turn for a patch", error);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(fail(error)),
        }
    }
}

/// What dpkg left unfinished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    /// Each package, and what dpkg calls it.
    pub packages: BTreeMap<String, String>,
    /// Those of them that only a new installation mends, with their versions.
    pub again: BTreeMap<String, String>,
}

/// Asks dpkg.
///
/// # Errors
/// When it can't be asked.
pub fn broken() -> Result<Broken, ActError> {
    let ended = Program::find(&["/usr/bin/dpkg-query"])?
        .args([
            "--show",
            "--showformat=${binary:Package}\\t${db:Status-Status}\\t${db:Status-Eflag}\\t${Version}\\n",
        ])
        .succeed()?;
    let mut broken = parse_broken(&ended.stdout);
    // It also knows of packages that look whole and lack a part of its database.
    for name in audited()? {
        if !broken.packages.contains_key(&name) {
            broken.packages.insert(name.clone(), "not whole".to_owned());
            let version = query(&name)?.version.unwrap_or_default();
            broken.again.insert(name, version);
        }
    }
    Ok(broken)
}

/// Reads `NAME\tSTATUS\tFLAG\tVERSION` of dpkg-query(1).
pub fn parse_broken(text: &str) -> Broken {
    let mut broken = Broken::default();
    for line in text.lines() {
        let mut words = line.split('\t');
        let (Some(name), Some(status), Some(flag)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let again = flag == "reinstreq" || status == "half-installed";
        if matches!(status, "installed" | "config-files" | "not-installed") && !again {
            continue;
        }
        broken.packages.insert(name.to_owned(), status.to_owned());
        if again {
            let version = words.next().unwrap_or_default();
            broken.again.insert(name.to_owned(), version.to_owned());
        }
    }
    broken
}

/// The same packages in their own versions, as apt would install them again; where these can't
/// be had any more, in those that can.
///
/// # Errors
/// When apt-get can't be asked, or has no package file for one.
pub fn again(broken: &Broken) -> Result<Vec<Pending>, ActError> {
    if broken.again.is_empty() {
        return Ok(Vec::new());
    }
    let words = ["--reinstall", "install"].map(str::to_owned);
    let with = |word: &dyn Fn((&String, &String)) -> String| {
        let names = broken.again.iter().map(word);
        simulate(&words.iter().cloned().chain(names).collect::<Vec<_>>())
    };
    with(&|(name, version)| match version.as_str() {
        "" => name.clone(),
        version => format!("{name}={version}"),
    })
    .or_else(|_| with(&|(name, _)| name.clone()))
}

/// Packages that the administrator holds back (apt-mark(8)).
///
/// # Errors
/// When apt-mark can't be asked.
pub fn held() -> Result<BTreeSet<String>, ActError> {
    let ended = Program::find(&["/usr/bin/apt-mark"])?
        .args(["showhold"])
        .succeed()?;
    Ok(ended.stdout.lines().map(str::to_owned).collect())
}

/// Every upgrade that removes nothing, in apt's order, and those that are held back.
///
/// # Errors
/// When apt-get can't be asked, or says that it can't.
pub fn pending() -> Result<(Vec<Pending>, Vec<Pending>), ActError> {
    let all = simulate(&["upgrade", "--with-new-pkgs"].map(str::to_owned))?;
    let held_back = held_back(&all)?;
    Ok((all, held_back))
}

/// Some of the pending upgrades, and what these need.
///
/// # Errors
/// When apt-get can't be asked, or says that it can't.
pub fn with_needed(wanted: &[Pending]) -> Result<Vec<Pending>, ActError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut words = vec!["install".to_owned(), "--only-upgrade".to_owned()];
    words.extend(
        wanted
            .iter()
            .filter(|pending| pending.from.is_some())
            .map(|pending| format!("{}={}", pending.name, pending.to)),
    );
    simulate(&words)
}

fn simulate(words: &[String]) -> Result<Vec<Pending>, ActError> {
    let ended = apt()?
        .args(NO_CACHES)
        .args([
            UNLOCKED,
            "--simulate",
            "--no-remove",
            "--no-install-recommends",
        ])
        .args(words.iter().cloned())
        .succeed()?;
    let (pending, removed) = parse_pending(&ended.stdout);
    match removed.as_slice() {
        [] => Ok(pending),
        names => Err(ActError::program(
            "plan an upgrade",
            format!("it would remove {}", names.join(", ")),
        )),
    }
}

/// What is held and has a newer version.
fn held_back(taken: &[Pending]) -> Result<Vec<Pending>, ActError> {
    let held = held()?;
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let ended = apt()?
        .args(NO_CACHES)
        .args([
            "--simulate",
            "--ignore-hold",
            "--allow-change-held-packages",
            "upgrade",
            "--with-new-pkgs",
        ])
        .succeed()?;
    let (all, _) = parse_pending(&ended.stdout);
    Ok(all
        .into_iter()
        .filter(|pending| held.contains(&pending.name))
        .filter(|pending| !taken.iter().any(|taken| taken.name == pending.name))
        .collect())
}

/// Which kernel runs, and which a boot would start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernels {
    /// As uname(2) tells it.
    pub booted: String,
    /// The version of the package that it was built as, where it says so, as Debian's does: a
    /// new build may keep the name of the old.
    pub build: Option<String>,
    /// The newest in `/boot` of those that have modules here; none where there is none, as in a
    /// container.
    pub newest: Option<String>,
}

/// Looks at `/boot`.
pub fn kernels() -> Kernels {
    let uname = rustix::system::uname();
    let booted = uname.release().to_string_lossy().into_owned();
    let build = build_of(&uname.version().to_string_lossy());
    let versions = std::fs::read_dir("/boot")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            Some(name.strip_prefix("vmlinuz-")?.to_owned())
        });
    let newest = versions.max_by(|a, b| {
        let parse = |text: &String| text.parse::<debversion::Version>().ok();
        parse(a).cmp(&parse(b)).then_with(|| a.cmp(b))
    });
    Kernels {
        booted,
        build,
        newest,
    }
}

/// Reads `#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)`.
pub fn build_of(version: &str) -> Option<String> {
    let (_, after) = version.split_once(" Debian ")?;
    after.split(' ').next().map(str::to_owned)
}

/// Package files that were fetched and verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Each with the digest of its file.
    pub packages: Vec<PackageUpgrade>,
    /// What they unpack to.
    pub unpacked_bytes: u64,
}

/// Fetches the package files into the state directory; apt verifies each against the signed
/// lists.
///
/// # Errors
/// When something can't be fetched, or is not what it should be. Nothing was installed.
pub fn fetch(state: &State, pending: Vec<Pending>, again: bool) -> Result<Fetched, ActError> {
    let archives = archives_below(state.images().directory());
    if !archives.is_dir() {
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&archives)
            .map_err(|error| ActError::program("make a folder for package files", error))?;
    }
    let partial = archives.join("partial");
    if !partial.is_dir() {
        std::fs::create_dir(&partial)
            .map_err(|error| ActError::program("make a folder for package files", error))?;
    }
    if pending.is_empty() {
        return Ok(Fetched::default());
    }
    let fetch = |how: &str| {
        let options = [
            UNLOCKED,
            &format!("-oDir::Cache::archives={}/", archives.display()),
            "-oAPT::Sandbox::User=root",
            how,
            "--no-remove",
            "--no-install-recommends",
            "install",
        ];
        let wanted = pending
            .iter()
            .map(|pending| format!("{}={}", pending.name, pending.to));
        apt().and_then(|apt| {
            apt.args(NO_CACHES)
                .args(again.then_some("--reinstall"))
                .args(options.map(str::to_owned))
                .args(wanted)
                .limit(FETCH_LIMIT)
                .succeed()
        })
    };
    fetch("--download-only")?;
    // What apt calls fetched without copying it: an archive on this host's own disk.
    copy_local(&fetch("--print-uris")?.stdout, &archives)?;
    let listed = listed(&pending)?;
    let mut packages = Vec::with_capacity(pending.len());
    let mut unpacked_bytes = 0;
    for pending in pending {
        let mut package = PackageUpgrade {
            name: pending.name,
            architecture: pending.architecture,
            from: pending.from,
            to: pending.to,
            source: None,
            origins: pending.origins,
            archive: model::Digest::of(b""),
        };
        let path = archives.join(file_name(&package));
        let refuse = |why: String| ActError::program(format!("fetch `{}`", path.display()), why);
        let mut file = File::open(&path).map_err(|error| refuse(error.to_string()))?;
        (package.archive, _) =
            image::digest(&mut file).map_err(|error| refuse(error.to_string()))?;
        // apt looks at what it copies itself, and at the rest only when it installs it.
        let Some(listed) = listed
            .get(&file_name(&package))
            .filter(|listed| listed.sha256 == package.archive.to_string())
        else {
            drop(std::fs::remove_file(&path));
            return Err(refuse(
                "it is not the file that the archive's lists name".to_owned(),
            ));
        };
        package.source = Some(listed.source.clone());
        unpacked_bytes += listed.installed_bytes;
        packages.push(package);
    }
    packages.sort();
    drop_others(&archives, &packages);
    Ok(Fetched {
        packages,
        unpacked_bytes,
    })
}

/// Package files of earlier plans are of no use: an undo needs none. A change that is at work may
/// be installing them.
fn drop_others(archives: &Path, packages: &[PackageUpgrade]) {
    let locked = Root::live().map(|root| Lock::take(&root, Duration::ZERO));
    let Ok(Ok(_lock)) = locked else {
        return;
    };
    let wanted: BTreeSet<String> = packages.iter().map(file_name).collect();
    let entries = std::fs::read_dir(archives).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let is_other = name
            .to_str()
            .is_some_and(|name| name.ends_with(".deb") && !wanted.contains(name));
        if is_other {
            // What stays only takes room.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Copies what apt-get's `--print-uris` says lies on a local disk: `'file:/PATH' NAME SIZE HASH`.
fn copy_local(uris: &str, archives: &Path) -> Result<(), ActError> {
    for line in uris.lines() {
        let mut words = line.split_whitespace();
        let (Some(uri), Some(name)) = (words.next(), words.next()) else {
            continue;
        };
        let uri = uri.trim_matches('\'');
        let Some(path) = uri
            .strip_prefix("file:")
            .or_else(|| uri.strip_prefix("copy:"))
        else {
            continue;
        };
        // apt makes the name from a package's own words; it is one name all the same.
        if name.contains('/') {
            continue;
        }
        let path: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
        let path = Path::new("/").join(OsStr::from_bytes(&path));
        let fail = |why: String| ActError::program(format!("copy `{}`", path.display()), why);
        std::fs::copy(&path, archives.join(name)).map_err(|error| fail(error.to_string()))?;
    }
    Ok(())
}

/// What the signed lists say of a package file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// As hexadecimal digits.
    pub sha256: String,
    pub source: SourcePackage,
    /// `Installed-Size`, which is in KiB (Debian policy, 5.6.20).
    pub installed_bytes: u64,
}

/// The package files by their names in the cache, from the signed lists.
///
/// # Errors
/// When apt-cache can't be asked.
pub fn listed(pending: &[Pending]) -> Result<BTreeMap<String, Listed>, ActError> {
    let mut all = BTreeMap::new();
    // A program's answer is bounded; so many stanzas fit into it.
    for some in pending.chunks(100) {
        let ended = Program::find(&["/usr/bin/apt-cache"])?
            .args(NO_CACHES)
            .args(["show"])
            .args(
                some.iter()
                    .map(|pending| format!("{}={}", pending.name, pending.to)),
            )
            .succeed()?;
        all.extend(parse_listed(&ended.stdout));
    }
    Ok(all)
}

/// Reads what `apt-cache show` prints: deb822(5) stanzas.
pub fn parse_listed(text: &str) -> BTreeMap<String, Listed> {
    let mut listed = BTreeMap::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            stanza
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        if let (Some(name), Some(version), Some(architecture), Some(hash)) = (
            field("Package"),
            field("Version"),
            field("Architecture"),
            field("SHA256"),
        ) {
            // `Source: NAME (VERSION)`, each only where it differs from the package's own.
            let source = field("Source").unwrap_or(name);
            let (source, source_version) = match source.split_once(" (") {
                Some((source, rest)) => (source, rest.trim_end_matches(')')),
                None => (source, version),
            };
            let size = field("Installed-Size").and_then(|size| size.trim().parse::<u64>().ok());
            listed.insert(
                name_of_file(name, version, architecture),
                Listed {
                    sha256: hash.trim().to_owned(),
                    source: SourcePackage {
                        name: source.trim().to_owned(),
                        version: source_version.trim().to_owned(),
                    },
                    installed_bytes: size.unwrap_or(0).saturating_mul(1024),
                },
            );
        }
    }
    listed
}

/// A program that must accept the upgraded host, and is asked on the copy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Check {
    /// The first is a program's absolute path.
    pub argv: Vec<String>,
    pub limit: Duration,
}

impl Check {
    /// One of a program that is expected to answer at once.
    pub fn of(argv: &[&str]) -> Self {
        Self {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            limit: CHECK_LIMIT,
        }
    }

    /// As one line.
    pub fn shown(&self) -> String {
        model::printable(self.argv.join(" ").as_bytes())
    }

    /// Asks it on the host. Why not, where it does not pass.
    ///
    /// # Errors
    /// With what it said.
    pub fn ask(&self) -> Result<(), String> {
        let (program, args) = self.argv.split_first().ok_or("it names no program")?;
        let ended = Program::find(&[program.as_str()])
            .and_then(|program| program.args(args).limit(self.limit).run())
            .map_err(|error| error.to_string())?;
        match ended.succeeded() {
            true => Ok(()),
            false => Err(end_of(&ended.stdout, &ended.stderr)),
        }
    }
}

/// What a rehearsal of an upgrade told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpgradeRehearsed {
    /// Every path that the upgrade writes.
    pub writes: BTreeSet<HostPath>,
    /// Where the copy's layers were.
    pub place: Place,
    /// What it takes of each file system.
    pub room: Vec<Room>,
    /// Checks that passed before the upgrade and do not after it, with what they said.
    pub broken: BTreeMap<Check, String>,
    /// Configuration files that the administrator changed and that stay as they are, with the
    /// maintainer's new version, which is put beside each.
    pub conflicts: BTreeMap<HostPath, Vec<u8>>,
}

/// What an upgrade takes of a file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Where it is mounted.
    pub at: PathBuf,
    /// What the upgrade writes there.
    pub written_bytes: u64,
    pub free_bytes: u64,
}

/// Where dpkg puts the maintainer's version of a configuration file that was changed here.
const BESIDE: &str = ".dpkg-dist";

/// Why an upgrade is not fit for the host.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    #[error(transparent)]
    Act(#[from] ActError),
    #[error(transparent)]
    Rehearse(#[from] RehearseError),
    /// A file system would be full before the end.
    #[error(
        "no room below `{}`: the upgrade writes {needed_bytes} bytes there, and {free_bytes} are free",
        at.display()
    )]
    NoRoom {
        at: PathBuf,
        needed_bytes: u64,
        free_bytes: u64,
    },
    /// It fails on a copy of this host, and would fail on the host.
    #[error("the upgrade fails on a copy of this host: {0}")]
    Fails(String),
}

/// Upgrades a copy of this host, and asks the checks there, before and after. What dpkg left
/// `unfinished` is finished first. What it writes below `data` is in no write set.
///
/// # Errors
/// When no copy can be made, and when the upgrade fails on it.
pub fn rehearse_upgrade(
    state: &State,
    fetched: &Fetched,
    unfinished: &[String],
    checks: &[Check],
    data: &[HostPath],
    limit: Duration,
) -> Result<UpgradeRehearsed, UpgradeError> {
    let Fetched {
        packages,
        unpacked_bytes,
    } = fetched;
    let again = !unfinished.is_empty();
    let archives = archives_below(state.images().directory());
    let step = |check: &Check| Step {
        program: PathBuf::from(&check.argv[0]),
        args: check.argv[1..].to_vec(),
        limit: check.limit,
        others_rest_on_it: false,
    };
    let mut upgrade = Vec::new();
    if again {
        upgrade.push(Step {
            program: PathBuf::from("/usr/bin/dpkg"),
            args: CONFIGURE.map(str::to_owned).to_vec(),
            limit,
            others_rest_on_it: false,
        });
    }
    if !packages.is_empty() {
        upgrade.push(Step {
            program: PathBuf::from("/usr/bin/apt-get"),
            args: [&apt_options()[..], &arguments(packages, &archives, again)?].concat(),
            limit,
            others_rest_on_it: true,
        });
    }
    upgrade.push(Step {
        program: PathBuf::from("/usr/bin/dpkg"),
        args: vec!["--audit".to_owned()],
        limit: CHECK_LIMIT,
        others_rest_on_it: true,
    });
    let variables = [&APT_VARIABLES[..], &[("HOME", "/root")]].concat();
    let mine = HostPath::from_bytes(
        state
            .images()
            .directory()
            .parent()
            .unwrap_or(Path::new("/nowhere"))
            .as_os_str()
            .as_encoded_bytes(),
    )
    .map_err(|error| ActError::program("leave the state directory out", error))?;
    let known = DATA_PLACES.iter().map(|place| HostPath::literal(place));
    let left_out: Vec<HostPath> = known.chain(data.iter().cloned()).chain([mine]).collect();
    let folder = state.directory().join("rehearsal");
    // The upgrade unpacks beside the old files; the database and caches come on top.
    let needed_bytes = unpacked_bytes * 2 + (128 << 20);
    let (first, last) = (checks.len(), checks.len() + upgrade.len());
    let ask: Vec<Step> = checks.iter().map(step).collect();
    let steps = [&ask[..], &upgrade, &ask[..]].concat();
    let Rehearsed {
        steps: ended,
        writes,
        contents,
        written_bytes,
        place,
    } = rehearse(&steps, &variables, &left_out, BESIDE, needed_bytes, &folder)?;
    let why_not = |how: Option<&Result<Output, String>>| match how {
        Some(Ok(output)) if output.status == Some(0) => None,
        Some(Ok(output)) => Some(end_of(&output.stdout, &output.stderr)),
        Some(Err(why)) => Some(why.clone()),
        None => Some("it did not run".to_owned()),
    };
    // dpkg's configuring may fail for what is installed again after it.
    for place in (if again { first + 1 } else { first })..last {
        if let Some(why) = why_not(ended.get(place)) {
            return Err(UpgradeError::Fails(why));
        }
    }
    if let Some(Ok(audit)) = ended.get(last - 1)
        && !audit.stdout.trim().is_empty()
    {
        let why = format!("dpkg is not clean after it: {}", end_of(&audit.stdout, ""));
        return Err(UpgradeError::Fails(why));
    }
    let mut broken = BTreeMap::new();
    for (place, check) in checks.iter().enumerate() {
        let before = why_not(ended.get(place));
        if let (None, Some(why)) = (before, why_not(ended.get(last + place))) {
            broken.insert(check.clone(), why);
        }
    }
    let room = room(&written_bytes);
    check_room(&room)?;
    Ok(UpgradeRehearsed {
        writes,
        room,
        place,
        broken,
        conflicts: contents
            .into_iter()
            .filter_map(|(path, content)| {
                let kept = path.as_bytes().strip_suffix(BESIDE.as_bytes())?;
                Some((HostPath::from_bytes(kept).ok()?, content))
            })
            .collect(),
    })
}

/// By file system; one that can't be asked for its room is left out.
fn room(written_bytes: &BTreeMap<PathBuf, u64>) -> Vec<Room> {
    let mut by_device: BTreeMap<u64, (PathBuf, u64)> = BTreeMap::new();
    for (at, bytes) in written_bytes {
        let device = std::fs::metadata(at).map_or(0, |metadata| metadata.dev());
        by_device.entry(device).or_insert((at.clone(), 0)).1 += bytes;
    }
    let mut all: Vec<Room> = by_device
        .into_values()
        .filter(|(_, written_bytes)| *written_bytes > 0)
        .filter_map(|(at, written_bytes)| {
            let room = rustix::fs::statvfs(&at).ok()?;
            Some(Room {
                at,
                written_bytes,
                free_bytes: room.f_bavail * room.f_frsize,
            })
        })
        .collect();
    all.sort_by(|a, b| a.at.cmp(&b.at));
    all
}

/// Every file system must hold the new files beside the old, and a way back beside both.
fn check_room(rooms: &[Room]) -> Result<(), UpgradeError> {
    let full = rooms
        .iter()
        .find(|room| room.written_bytes.saturating_mul(2) > room.free_bytes);
    match full {
        None => Ok(()),
        Some(room) => Err(UpgradeError::NoRoom {
            at: room.at.clone(),
            needed_bytes: room.written_bytes.saturating_mul(2),
            free_bytes: room.free_bytes,
        }),
    }
}
