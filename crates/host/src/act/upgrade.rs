//! Upgrades of Debian packages: from files that were fetched and verified before, without
//! network, with nobody asked anything. Taken back by the before-images of every path that the
//! rehearsal wrote, the package database's among them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::PackageUpgrade;

use super::package::{apt, check_name, failed, query};
use super::program::Program;
use super::{ActError, Context};
use crate::image;

/// A large upgrade on a slow disk.
pub const LIMIT: Duration = Duration::from_secs(3600);

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
    let version = package.to.replace(':', "%3a");
    format!("{bare}_{version}_{}.deb", package.architecture)
}

/// apt's own caches of its lists are made anew in memory: an upgrade that is taken back leaves
/// none of them changed.
pub const NO_CACHES: [&str; 2] = ["-oDir::Cache::pkgcache=", "-oDir::Cache::srcpkgcache="];

/// What apt-get is asked for, on the copy and on the host alike.
pub fn arguments(packages: &[PackageUpgrade], archives: &Path) -> Result<Vec<String>, ActError> {
    let mut words = vec![
        format!("-oDir::Cache::archives={}/", archives.display()),
        "-oAPT::Sandbox::User=root".to_owned(),
        // The administrator's word, kept as it is; the maintainer's is put beside it.
        "-oDpkg::Options::=--force-confdef".to_owned(),
        "-oDpkg::Options::=--force-confold".to_owned(),
        "-oDpkg::Use-Pty=0".to_owned(),
        "--no-download".to_owned(),
        "--no-remove".to_owned(),
        "--no-install-recommends".to_owned(),
        "-q".to_owned(),
        "-y".to_owned(),
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
    match ended.stdout.trim() {
        "" => Ok(()),
        said => Err(ActError::program(
            "find dpkg's database clean",
            model::printable(
                said.lines()
                    .take(3)
                    .collect::<Vec<_>>()
                    .join("; ")
                    .as_bytes(),
            ),
        )),
    }
}
