//! Upgrades of Debian packages: from files that were fetched and verified before, without
//! network, with nobody asked anything. Taken back by the before-images of every path that the
//! rehearsal wrote, the package database's among them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::{HostPath, PackageUpgrade};

use super::package::{apt, check_name, failed, lock_holder, query};
use super::program::Program;
use super::{ActError, Context, file};
use crate::image::{self, Node};

/// A large upgrade on a slow disk.
pub const LIMIT: Duration = Duration::from_secs(3600);

/// How long the rest of an upgrade that lost its parent may take.
const LEFT_AT_WORK: Duration = Duration::from_secs(900);

/// Below the state directory: package files as apt names them.
pub fn archives(context: &Context<'_>) -> PathBuf {
    archives_below(context.images.directory())
}

pub fn archives_below(images: &Path) -> PathBuf {
    images.with_file_name("archives")
}

/// The name of a package's file in apt's cache: a colon of the version is `%3a`.
pub fn file_name(package: &PackageUpgrade) -> String {
    let bare = package.name.split(':').next().unwrap_or(&package.name);
    name_of_file(bare, &package.to, &package.architecture)
}

/// The same, from a package's own words.
pub fn name_of_file(name: &str, version: &str, architecture: &str) -> String {
    format!("{name}_{}_{architecture}.deb", version.replace(':', "%3a"))
}

/// apt's own caches of its lists are made anew in memory: an upgrade that is taken back leaves
/// none of them changed.
pub const NO_CACHES: [&str; 2] = ["-oDir::Cache::pkgcache=", "-oDir::Cache::srcpkgcache="];

/// What apt-get is asked for, on the copy and on the host alike, beside what it is always told.
pub fn arguments(packages: &[PackageUpgrade], archives: &Path) -> Result<Vec<String>, ActError> {
    let mut words = vec![
        format!("-oDir::Cache::archives={}/", archives.display()),
        "-oAPT::Sandbox::User=root".to_owned(),
        "-oDpkg::Use-Pty=0".to_owned(),
        "--no-download".to_owned(),
        "--no-remove".to_owned(),
        "--no-install-recommends".to_owned(),
        "install".to_owned(),
    ];
    words.splice(0..0, NO_CACHES.map(str::to_owned));
    for package in packages {
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
pub fn act(context: &Context<'_>, packages: &[PackageUpgrade]) -> Result<(), ActError> {
    let archives = archives(context);
    check_archives(packages, &archives)?;
    let ended = apt()?
        .args(arguments(packages, &archives)?)
        .limit(LIMIT)
        .run()?;
    if !ended.succeeded() {
        return Err(failed("upgrade packages".to_owned(), &ended));
    }
    for package in packages {
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
    check_clean()
}

/// Is nothing half done? dpkg's own audit, which prints what is.
pub fn check_clean() -> Result<(), ActError> {
    let ended = Program::find(&["/usr/bin/dpkg"])?
        .args(["--audit"])
        .succeed()?;
    if ended.stdout.trim().is_empty() {
        return Ok(());
    }
    // Explanations stand at the margin, and packages, with a word on each, are indented.
    let named: Vec<&str> = ended
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix(' ')?.split_whitespace().next())
        .collect();
    let why = match named.is_empty() {
        true => ended.stdout.lines().next().unwrap_or_default().to_owned(),
        false => format!("not all there: {}", named.join(", ")),
    };
    Err(ActError::program(
        "find dpkg's database clean",
        model::printable(why.as_bytes()),
    ))
}

/// The package manager that a killed upgrade left at work ends by itself, and before it has ended
/// nothing of what it writes can be put back.
pub fn wait_for_dpkg() -> Result<(), ActError> {
    let until = Instant::now() + LEFT_AT_WORK;
    while let Some(holder) = lock_holder() {
        if Instant::now() >= until {
            return Err(ActError::program(
                "put back what an upgrade wrote",
                format!("process {holder} holds dpkg's lock"),
            ));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Where dpkg keeps a package's control files while it unpacks it, and what its database will
/// say next. Both are empty while nothing is at work.
const TRANSIENT: [&str; 2] = ["/var/lib/dpkg/tmp.ci", "/var/lib/dpkg/updates"];
/// How dpkg names a file that is not in place yet, and one that is kept until it is.
const BESIDE: [&str; 2] = [".dpkg-new", ".dpkg-tmp"];

/// Removes what an upgrade that was killed left of its own: the next run of dpkg would take it
/// for the truth.
pub fn sweep(context: &Context<'_>, writes: &[HostPath]) -> Result<(), ActError> {
    let planned = |path: &HostPath| writes.binary_search(path).is_ok();
    for directory in TRANSIENT {
        let directory = HostPath::literal(directory);
        let entries = match std::fs::read_dir(directory.as_path()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(ActError::path("list", &directory, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| ActError::path("list", &directory, error))?;
            let name = entry.file_name();
            if let Ok(path) = directory.join(name.as_encoded_bytes())
                && !planned(&path)
            {
                file::put_back(context, &path, &Node::Absent)?;
            }
        }
    }
    let control = HostPath::literal(TRANSIENT[0]);
    if !planned(&control) {
        file::put_back(context, &control, &Node::Absent)?;
    }
    for path in writes {
        for end in BESIDE {
            let name = [path.as_bytes(), end.as_bytes()].concat();
            if let Ok(beside) = HostPath::from_bytes(&name)
                && !planned(&beside)
            {
                file::put_back(context, &beside, &Node::Absent)?;
            }
        }
    }
    Ok(())
}
