//! Package files, fetched and verified into the state directory. One patch at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use model::component::SourcePackage;
use model::{PackageRemoval, PackageUpgrade};

use super::apt_caches::Caches;
use super::changes::{self, Changes};
use super::pending::{Pending, UNLOCKED};
use super::said::{NotFetched, hosts_of, not_fetched, not_fetched_text, other_bytes_text, why};
use crate::act::package::apt;
use crate::act::program::Program;
use crate::act::upgrade::{archives_below, file_name, name_of_file};
use crate::act::{ActError, Root};
use crate::image;
use crate::lock::Lock;
use crate::state::State;

/// Fetching a whole upgrade over a slow line.
const FETCH_LIMIT: Duration = Duration::from_secs(3600);

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

/// Why package files could not be had. Nothing was installed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Act(#[from] ActError),
    /// What came is not what apt's lists name.
    #[error("{}", other_bytes_text(.0))]
    OtherBytes(Vec<NotFetched>),
    #[error("{}", not_fetched_text(.0))]
    NotFetched(Vec<NotFetched>),
}

impl FetchError {
    /// Why nothing can be had now, in words that are the same each time; none where what came must not
    /// be used.
    pub fn unreachable(&self) -> Option<String> {
        match self {
            Self::OtherBytes(_) => None,
            Self::NotFetched(files) => Some(format!(
                "its packages can't be fetched here from {}",
                hosts_of(files)
            )),
            Self::Act(_) => Some("its packages can't be fetched here".to_owned()),
        }
    }
}

/// Package files that were fetched and verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Each with the digest of its file.
    pub packages: Vec<PackageUpgrade>,
    /// What they unpack to.
    pub unpacked_bytes: u64,
}

/// Fetches the package files into the state directory; apt verifies each against its lists,
/// which are signed where the source is not exempt.
///
/// # Errors
/// When something can't be fetched, or is not what it should be. Nothing was installed.
pub fn fetch(state: &State, pending: Vec<Pending>, again: bool) -> Result<Fetched, FetchError> {
    fetch_beside(state, pending, again, &[])
}

/// Fetches them, and reads why they were made: what their changelogs say, by package.
///
/// # Errors
/// When something can't be fetched, or read. Nothing was installed.
pub fn announced(
    state: &State,
    pending: Vec<Pending>,
) -> Result<BTreeMap<String, Changes>, FetchError> {
    let fetched = fetch(state, pending, false)?;
    let archives = archives_below(state.images().directory());
    Ok(changes::announced(&archives, &fetched.packages)?)
}

/// Fetches them where other packages go.
///
/// # Errors
/// When something can't be fetched, or is not what it should be. Nothing was installed.
pub fn fetch_beside(
    state: &State,
    pending: Vec<Pending>,
    again: bool,
    removals: &[PackageRemoval],
) -> Result<Fetched, FetchError> {
    let caches = Caches::below(state.directory());
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
    let fetch = |how: &str| -> Result<String, FetchError> {
        let options = [
            UNLOCKED,
            &format!("-oDir::Cache::archives={}/", archives.display()),
            "-oAPT::Sandbox::User=root",
            how,
            match removals {
                [] => "--no-remove",
                _ => "--remove",
            },
            "--no-install-recommends",
            "install",
        ];
        let removed = removals.iter().map(|removal| format!("{}-", removal.name));
        let wanted = pending
            .iter()
            .map(|pending| format!("{}={}", pending.name, pending.to))
            .chain(removed);
        let ended = apt()?
            .args(caches.options())
            // The same versions again, or the older ones that worked.
            .args(again.then_some("--reinstall"))
            .args(again.then_some("--allow-downgrades"))
            .args(options.map(str::to_owned))
            .args(wanted)
            .merged()
            .limit(FETCH_LIMIT)
            .run()?;
        if ended.succeeded() {
            return Ok(ended.stdout);
        }
        // What apt keeps of a file that it did not accept is of no use, and stays for ever.
        drop_unaccepted(&archives);
        let failed = not_fetched(&ended.stdout);
        let (other_bytes, failed): (Vec<_>, Vec<_>) =
            failed.into_iter().partition(NotFetched::is_other_bytes);
        Err(match (other_bytes.is_empty(), failed.is_empty()) {
            (false, _) => FetchError::OtherBytes(other_bytes),
            (true, false) => FetchError::NotFetched(failed),
            (true, true) => ActError::program("fetch packages", why(&ended.stdout)).into(),
        })
    };
    // Of a file that is there apt looks at the size only: one of an earlier time may be another.
    let was_there = names_in(&archives);
    fetch("--download-only")?;
    // What apt calls fetched without copying it: an archive on this host's own disk.
    let mut addresses = fetch("--print-uris")?;
    copy_local(&addresses, &archives)?;
    let listed = listed(&caches, &pending)?;
    let mut packages = Vec::with_capacity(pending.len());
    let mut unpacked_bytes = 0;
    for pending in pending.clone() {
        let mut package = PackageUpgrade {
            name: pending.name,
            architecture: pending.architecture,
            from: pending.from,
            to: pending.to,
            source: None,
            origins: pending.origins,
            security: pending.security,
            archive: model::Digest::of(b""),
        };
        let path = archives.join(file_name(&package));
        let refuse = |why: String| ActError::program(format!("fetch `{}`", path.display()), why);
        let digest = || -> Result<model::Digest, ActError> {
            let mut file = File::open(&path).map_err(|error| refuse(error.to_string()))?;
            let digest = image::digest(&mut file);
            Ok(digest.map_err(|error| refuse(error.to_string()))?.0)
        };
        let name = file_name(&package);
        let is_listed = |digest: &model::Digest| {
            let listed = listed.get(&name);
            listed.is_some_and(|listed| listed.sha256 == digest.to_string())
        };
        package.archive = digest()?;
        if !is_listed(&package.archive) && was_there.contains(OsStr::new(&name)) {
            std::fs::remove_file(&path).map_err(|error| refuse(error.to_string()))?;
            fetch("--download-only")?;
            addresses = fetch("--print-uris")?;
            copy_local(&addresses, &archives)?;
            package.archive = digest()?;
        }
        // apt looks at what it copies itself, and at the rest only when it installs it.
        let Some(listed) = listed.get(&name).filter(|_| is_listed(&package.archive)) else {
            drop(std::fs::remove_file(&path));
            let address = address_of(&addresses, &name);
            return Err(FetchError::OtherBytes(vec![NotFetched {
                package: package.name,
                address: address.unwrap_or_else(|| path.display().to_string()),
                why: "Hash Sum mismatch".to_owned(),
            }]));
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

fn names_in(folder: &Path) -> BTreeSet<OsString> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).collect()
}

/// What apt puts aside when a file is not what it should be, and what it had begun to fetch.
fn drop_unaccepted(archives: &Path) {
    for (folder, all) in [
        (archives.to_owned(), false),
        (archives.join("partial"), true),
    ] {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_failed = entry.file_name().to_string_lossy().ends_with(".FAILED");
            if (all || is_failed) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// Of apt-get's `--print-uris`.
fn address_of(addresses: &str, file: &str) -> Option<String> {
    let mut lines = addresses.lines().map(str::split_whitespace);
    lines.find_map(|mut words| {
        let address = words.next()?;
        let is_it = words.next()? == file;
        is_it.then(|| model::printable(address.trim_matches('\'').as_bytes()))
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

/// What apt's lists say of a package file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// As hexadecimal digits.
    pub sha256: String,
    pub source: SourcePackage,
    /// `Installed-Size`, which is in KiB (Debian policy, 5.6.20).
    pub installed_bytes: u64,
}

/// The package files by their names in the cache, from apt's lists.
///
/// # Errors
/// When apt-cache can't be asked.
pub fn listed(caches: &Caches, pending: &[Pending]) -> Result<BTreeMap<String, Listed>, ActError> {
    let mut all = BTreeMap::new();
    // A program's answer is bounded; so many stanzas fit into it.
    for some in pending.chunks(100) {
        let ended = Program::find(&["/usr/bin/apt-cache"])?
            .args(caches.options())
            .args(["show"])
            .args(
                some.iter()
                    .map(|pending| format!("{}={}", pending.name, pending.to)),
            )
            .answer()?;
        all.extend(parse_listed(&ended.stdout));
    }
    Ok(all)
}

/// Does apt know a package of this name, installed or not?
pub fn is_known(caches: &Caches, name: &str) -> Result<bool, ActError> {
    let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.:".contains(&byte));
    if !is_name {
        return Ok(false);
    }
    let ended = Program::find(&["/usr/bin/apt-cache"])?
        .args(caches.options())
        .args(["policy", name])
        .answer()?;
    Ok(!ended.stdout.trim().is_empty())
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
