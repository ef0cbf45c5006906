//! Updates that are really pending: the package files that a release's archives have in newer versions than a host of the lab, with those
//! that it has now.
//!
//! A host's image comes from the release itself, and what was published since (security updates, and what a point release will have) is
//! newer. Archives drop what is superseded, so both sides are kept once they are fetched. It is apt that fetches and verifies, with a state,
//! a cache and settings of its own, the image's package database and the image's keyring: this machine's apt is neither asked nor touched.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::{DEFAULT_LIMIT, run_ok};
use crate::mirror::{Mirror, proxy};
use crate::requirements::program;
use crate::scratch::{lock, private_folder};
use crate::snapshot::sha256;
use crate::{Error, Image, Result};

/// Lists of 10 MB and some 60 MB of packages; over a slow link, minutes.
const FETCH_LIMIT: Duration = Duration::from_secs(900);
/// Raise it when what is fetched changes for the same names.
const FORMAT: u32 = 1;
/// Its own: an image knows who signs its release.
const KEYRING: &str = "usr/share/keyrings/debian-archive-keyring.gpg";
/// The package database within a tree.
const STATUS: &str = "var/lib/dpkg/status";
const BEFORE: &str = "before";
const AFTER: &str = "after";
const UPDATES: &str = "updates.json";

/// What is pending for a host that boots from an image and has some more packages.
#[derive(Clone, Debug)]
pub struct Pending {
    folder: PathBuf,
    updates: Vec<Update>,
}

/// A package that has a newer version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Update {
    /// Its name.
    pub package: String,
    /// The version that the host has; none when the updates of others need it anew.
    pub from: Option<String>,
    /// The version that is pending.
    pub to: String,
}

impl Pending {
    /// What is pending for a host that has what `image` has and `extras` with all that these need, in the versions of the release itself.
    /// One that is written `NAME/SUITE`, as for apt-get(8), comes from another suite of the same archive. Fetched once and kept, but for
    /// the answer that nothing is pending.
    pub fn fetch(image: &Image, extras: &[&str], progress: &mut dyn FnMut(&str)) -> Result<Self> {
        let cache = image.cache();
        let name = name(image, extras)?;
        let folder = cache.join(&name);
        if !folder.is_dir() {
            private_folder(cache)?;
            let _lock = lock(&cache.join(format!(".{name}.lock")))?;
            if !folder.is_dir() {
                let building = cache.join(format!(".{name}.building"));
                // What was left by one that was killed; the lock says that none is at work.
                clear(&building)?;
                progress(&format!(
                    "fetching the pending updates of Debian {}, once",
                    image.release()
                ));
                let fetched = Fetch::new(image, &building)?.all(extras);
                match fetched {
                    Ok(true) => {
                        fs::rename(&building, &folder)
                            .map_err(Error::io("put in place", &folder))?;
                    }
                    Ok(false) => {
                        clear(&building)?;
                        return Ok(Self {
                            folder,
                            updates: Vec::new(),
                        });
                    }
                    Err(error) => {
                        clear(&building)?;
                        return Err(error);
                    }
                }
            }
        }
        let path = folder.join(UPDATES);
        let text = fs::read(&path).map_err(Error::io("read", &path))?;
        let updates = serde_json::from_slice(&text).map_err(|error| Error::Damaged {
            path,
            reason: error.to_string(),
        })?;
        Ok(Self { folder, updates })
    }

    /// Each package that has a newer version, by name. None when this machine's archives have nothing newer.
    pub fn updates(&self) -> &[Update] {
        &self.updates
    }

    /// The package files of the host as it is: the extras with what they need, and each updated package in the version that the image has.
    pub fn before(&self) -> Result<Vec<PathBuf>> {
        packages(&self.folder.join(BEFORE))
    }

    /// The package files of the newer versions.
    pub fn after(&self) -> Result<Vec<PathBuf>> {
        packages(&self.folder.join(AFTER))
    }
}

/// The name of the folder in the cache. An image that was built anew from the same recipe may have newer versions itself.
fn name(image: &Image, extras: &[&str]) -> Result<String> {
    let path = image.tree().join(STATUS);
    let status = fs::read(&path).map_err(Error::io("read", &path))?;
    let digest = sha256(format!("{FORMAT} {} {extras:?}", sha256(&status)).as_bytes());
    Ok(format!("{}-pending-{}", image.release(), &digest[..12]))
}

fn clear(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

/// The package files of a folder, by name.
fn packages(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if path.extension().is_some_and(|ending| ending == "deb") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// An apt of its own in `folder`, for a host that is not there yet.
struct Fetch<'a> {
    image: &'a Image,
    mirror: Mirror,
    folder: &'a Path,
}

impl<'a> Fetch<'a> {
    fn new(image: &'a Image, folder: &'a Path) -> Result<Self> {
        private_folder(folder)?;
        let apt = folder.join("apt");
        for part in [
            "state/lists/partial",
            "cache/archives/partial",
            "etc/preferences.d",
            "etc/sources.list.d",
            "etc/apt.conf.d",
            "dpkg",
        ] {
            let part = apt.join(part);
            fs::create_dir_all(&part).map_err(Error::io("create", &part))?;
        }
        let status = image.tree().join(STATUS);
        fs::copy(&status, apt.join("dpkg/status")).map_err(Error::io("copy", &status))?;
        write(&apt.join("apt.conf"), &settings(&apt))?;
        Ok(Self {
            image,
            mirror: Mirror::of_this_machine()?,
            folder,
        })
    }

    /// Fetches both sides; false when nothing is pending.
    fn all(&self, extras: &[&str]) -> Result<bool> {
        let Some(security) = &self.mirror.security else {
            return Ok(false);
        };
        let suite = self.image.release().codename();
        let (before, after) = (self.folder.join(BEFORE), self.folder.join(AFTER));
        for folder in [&before, &after] {
            private_folder(folder)?;
        }
        let others = extras.iter().filter_map(|extra| extra.split_once('/'));
        let suites = [suite].into_iter().chain(others.map(|(_, suite)| suite));
        let sources: Vec<_> = suites
            .map(|suite| (self.mirror.archive.as_str(), suite))
            .collect();
        self.sources(&sources)?;
        if !extras.is_empty() {
            let words = ["--download-only", "--target-release", suite, "install"];
            self.apt(&[&words, extras].concat())?;
        }
        self.take(&before)?;
        self.install(&before)?;
        self.sources(&[
            (&self.mirror.archive, suite),
            (&self.mirror.archive, &format!("{suite}-updates")),
            (security, &format!("{suite}-security")),
        ])?;
        self.apt(&["--download-only", "--with-new-pkgs", "upgrade"])?;
        self.take(&after)?;
        let updates = self.updates(&after)?;
        if updates.is_empty() {
            return Ok(false);
        }
        self.keep_installed(&updates, &before)?;
        let path = self.folder.join(UPDATES);
        let text = serde_json::to_vec_pretty(&updates).map_err(|error| Error::Damaged {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        fs::write(&path, text).map_err(Error::io("write", &path))?;
        clear(&self.folder.join("apt"))?;
        Ok(true)
    }

    /// Says which archives there are, and reads their lists.
    fn sources(&self, sources: &[(&str, &str)]) -> Result<()> {
        let text: String = sources
            .iter()
            .map(|(uri, suite)| source(self.image, uri, suite))
            .collect();
        write(&self.folder.join("apt/etc/sources.list"), &text)?;
        // Lists that only some archives gave would make the answer smaller than it is.
        self.apt(&["-oAPT::Update::Error-Mode=any", "update"])
    }

    fn apt(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new(program("apt-get")?);
        command
            .args(["-qq", "--yes", "--no-install-recommends"])
            .args(words)
            .current_dir(self.folder)
            .env("APT_CONFIG", self.folder.join("apt/apt.conf"))
            .env("LC_ALL", "C.UTF-8");
        run_ok(command, FETCH_LIMIT).map(drop)
    }

    /// Takes what apt has fetched. The name loses the version's epoch, as in an archive's own pool.
    fn take(&self, to: &Path) -> Result<()> {
        for path in packages(&self.folder.join("apt/cache/archives"))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let to = to.join(without_epoch(&name));
            fs::rename(&path, &to).map_err(Error::io("put in place", &to))?;
        }
        Ok(())
    }

    /// Has the package database say that what lies in `folder` is installed.
    fn install(&self, folder: &Path) -> Result<()> {
        let path = self.folder.join("apt/dpkg/status");
        let status = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let mut installed: BTreeMap<Option<String>, String> = BTreeMap::new();
        let mut add = |stanza: String| {
            let package = field(&stanza, "Package").map(str::to_owned);
            installed.insert(package, stanza)
        };
        for stanza in status.trim_end().split("\n\n") {
            add(format!("{}\n", stanza.trim_end()));
        }
        for package in packages(folder)? {
            let control = control(&package)?;
            add(format!(
                "{}\nStatus: install ok installed\n",
                control.trim_end()
            ));
        }
        let stanzas: Vec<String> = installed.into_values().collect();
        write(&path, &stanzas.join("\n"))
    }

    /// What lies in `folder`, beside what the package database has.
    fn updates(&self, folder: &Path) -> Result<Vec<Update>> {
        let path = self.folder.join("apt/dpkg/status");
        let status = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let installed: BTreeMap<&str, &str> = status
            .split("\n\n")
            .filter_map(|stanza| Some((field(stanza, "Package")?, field(stanza, "Version")?)))
            .collect();
        let mut updates = Vec::new();
        for path in packages(folder)? {
            let control = control(&path)?;
            let (Some(package), Some(to)) =
                (field(&control, "Package"), field(&control, "Version"))
            else {
                let reason = "it names no package and version".to_owned();
                return Err(Error::Damaged { path, reason });
            };
            updates.push(Update {
                package: package.to_owned(),
                from: installed.get(package).map(|&version| version.to_owned()),
                to: to.to_owned(),
            });
        }
        updates.sort();
        Ok(updates)
    }

    /// Puts the files of what the image has and is updated to those of the extras. They lie where the image was built from them; an archive
    /// may no longer have them.
    fn keep_installed(&self, updates: &[Update], to: &Path) -> Result<()> {
        let from = self.image.cache().join("packages");
        let from = from.join(self.image.release().codename());
        for path in packages(&from)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_wanted = updates.iter().any(|update| {
                let from = update.from.as_deref().unwrap_or_default();
                let from = from.split_once(':').map_or(from, |(_, rest)| rest);
                without_epoch(&name).starts_with(&format!("{}_{from}_", update.package))
            });
            let to = to.join(without_epoch(&name));
            if is_wanted && !to.exists() {
                fs::copy(&path, &to).map_err(Error::io("copy", &path))?;
            }
        }
        Ok(())
    }
}

/// `NAME_1%3a2.3-4_amd64.deb` as `NAME_2.3-4_amd64.deb`.
fn without_epoch(name: &str) -> String {
    match name.split_once('_') {
        Some((package, rest)) => match rest.split_once("%3a") {
            Some((_, version)) => format!("{package}_{version}"),
            None => name.to_owned(),
        },
        None => name.to_owned(),
    }
}

fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// What a package says of itself.
fn control(package: &Path) -> Result<String> {
    let mut command = Command::new(program("dpkg-deb")?);
    command.arg("--field").arg(package);
    run_ok(command, DEFAULT_LIMIT)
}

fn source(image: &Image, uri: &str, suite: &str) -> String {
    let keyring = image.tree().join(KEYRING);
    format!("deb [signed-by={}] {uri} {suite} main\n", keyring.display())
}

/// apt.conf(5): `APT_CONFIG` is read first, so that no setting of this machine is read after it. Lists must be signed, and may be old: a
/// mirror that stands still is good enough for hosts of the lab.
fn settings(apt: &Path) -> String {
    let apt = apt.display();
    let mut text = format!(
        "Dir::State \"{apt}/state\";\n\
         Dir::State::status \"{apt}/dpkg/status\";\n\
         Dir::Cache \"{apt}/cache\";\n\
         Dir::Log \"{apt}\";\n\
         Dir::Etc \"{apt}/etc\";\n\
         Dir::Etc::main \"{apt}/etc/apt.conf\";\n\
         Dir::Etc::parts \"{apt}/etc/apt.conf.d\";\n\
         Dir::Etc::trusted \"{apt}/etc/none\";\n\
         Dir::Etc::trustedparts \"{apt}/etc/none.d\";\n\
         APT::Architecture \"amd64\";\n\
         APT::Architectures {{ \"amd64\"; }};\n\
         APT::Sandbox::User \"root\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::Check-Valid-Until \"false\";\n"
    );
    for scheme in ["http", "https"] {
        if let Some(proxy) = proxy(scheme) {
            let _ = writeln!(text, "Acquire::{scheme}::Proxy \"{proxy}\";");
        }
    }
    text
}

fn write(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).map_err(Error::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_an_archive() {
        let of = without_epoch;
        assert_eq!(of("bind9_1%3a9.18-1_amd64.deb"), "bind9_9.18-1_amd64.deb");
        assert_eq!(of("tzdata_2026a-0_all.deb"), "tzdata_2026a-0_all.deb");
    }

    #[test]
    fn fields_are_whole_names() {
        let stanza = "Package: a\nVersion-Kept: 1\nVersion: 2:3\nDescription: Version: 4";
        assert_eq!(field(stanza, "Version"), Some("2:3"));
        assert_eq!(field(stanza, "Depends"), None);
    }
}
