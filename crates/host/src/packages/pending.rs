//! Which upgrades are pending, as apt-get simulates them, and which newer versions it does not take.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use model::effect::bare_name;

use super::apt_caches::Caches;
use super::installed::{Installed, installed};
use super::offers::{Offers, offers};
use super::unsigned::{is_of, unsigned};
use crate::act::ActError;
use crate::act::package::{apt, parse_simulation};
use crate::act::place::read_bounded;
use crate::act::upgrade::name_of_file;

/// An upgrade that apt would do, or could.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// With its architecture where it is not the host's own: `libc6:i386`.
    pub name: String,
    pub architecture: String,
    pub from: Option<String>,
    pub to: String,
    pub origins: Vec<String>,
    /// The newest version on the way to `to`, or `to` itself, that is published for security. A point
    /// release has a newer one for each of these, and its own name on it.
    pub security: Option<String>,
    /// A source that has `to`, and is exempt from signatures.
    pub unsigned: Option<String>,
}

impl Pending {
    pub fn is_security(&self) -> bool {
        self.security.is_some() || model::effect::says_security(&self.origins)
    }

    /// The name of its file in apt's cache.
    pub fn file_name(&self) -> String {
        name_of_file(bare_name(&self.name), &self.to, &self.architecture)
    }
}

/// What only reads may be asked while dpkg is in the middle of something (apt's Debug options).
pub(super) const UNLOCKED: &str = "-oDebug::NoLocking=1";

/// Reads apt-get's simulation: what it would upgrade or install, and what it would remove.
///
/// # Errors
/// When a line of it is not understood.
pub fn parse_pending(text: &str) -> Result<(Vec<Pending>, Vec<String>), ActError> {
    let mut removed = Vec::new();
    let mut pending = Vec::new();
    for step in parse_simulation(text)? {
        match step.new {
            _ if step.removes => removed.push(step.name),
            None => {}
            Some(new) => pending.push(Pending {
                name: step.name,
                architecture: new.architecture,
                from: step.old,
                to: new.version,
                origins: new.origins,
                security: None,
                unsigned: None,
            }),
        }
    }
    Ok((pending, removed))
}

/// Newer versions that are not taken, each with what is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Of what the administrator holds (apt-mark(8)).
    pub held: Vec<Pending>,
    /// Upgrades of others that can't be done without those.
    pub behind: Vec<Pending>,
    /// What a pin keeps away (apt_preferences(5)).
    pub pinned: Vec<Pending>,
    /// What apt itself does not take, since that would remove a package, or needs what can't be had.
    pub kept: Vec<Pending>,
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    pub fn all(&self) -> impl Iterator<Item = &Pending> {
        let lists = [&self.held, &self.behind, &self.pinned, &self.kept];
        lists.into_iter().flatten()
    }

    pub fn retain(&mut self, is_meant: impl Fn(&Pending) -> bool) {
        self.held.retain(&is_meant);
        self.behind.retain(&is_meant);
        self.pinned.retain(&is_meant);
        self.kept.retain(&is_meant);
    }
}

/// Upgrades, and what is new with them; nothing is removed.
const UPGRADE: [&str; 2] = ["upgrade", "--with-new-pkgs"];

/// Every upgrade that removes nothing, in apt's order, and the newer versions that are not taken.
///
/// # Errors
/// When apt-get can't be asked, or says that it can't.
pub fn pending(caches: &Caches) -> Result<(Vec<Pending>, Held), ActError> {
    pending_of(caches, installed()?)
}

/// The same, as if these packages, by their names without architectures, were held too. `folder` is
/// a place of ours for a copy of dpkg's database that says so.
///
/// # Errors
/// When apt-get can't be asked, or says that it can't.
pub fn pending_without(
    folder: &Path,
    excluded: &BTreeSet<String>,
) -> Result<(Vec<Pending>, Held), ActError> {
    let fail = |error: std::io::Error| ActError::program("leave packages out", error);
    let database = read_bounded(File::open(DATABASE).map_err(fail)?, DATABASE_LIMIT_BYTES);
    let copy = folder.join("status-without");
    let write = |bytes: &[u8]| {
        let _ = std::fs::remove_file(&copy);
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&copy)?;
        file.write_all(bytes)
    };
    write(&with_holds(&database.map_err(fail)?, excluded)).map_err(fail)?;
    let mut installed = installed()?;
    for package in &mut installed {
        package.is_held |= excluded.contains(bare_name(&package.name));
    }
    let found = pending_of(&Caches::none().of_database(&copy), installed);
    let _ = std::fs::remove_file(&copy);
    found
}

/// dpkg's database.
const DATABASE: &str = "/var/lib/dpkg/status";
/// With 10,000 packages it has some 15 MB.
const DATABASE_LIMIT_BYTES: u64 = 256 << 20;

/// dpkg's database as it were if the administrator held these packages (deb822(5); dpkg(1), package
/// selection states).
pub fn with_holds(database: &[u8], names: &BTreeSet<String>) -> Vec<u8> {
    let mut is_meant = false;
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in database.split(|byte| *byte == b'\n') {
        if let Some(name) = line.strip_prefix(b"Package: ") {
            is_meant = str::from_utf8(name).is_ok_and(|name| names.contains(name.trim()));
        }
        match line.strip_prefix(b"Status: install ") {
            Some(rest) if is_meant => lines.push([b"Status: hold ", rest].concat()),
            _ => lines.push(line.to_vec()),
        }
    }
    lines.join(&b'\n')
}

fn pending_of(
    caches: &Caches,
    installed: Vec<Installed>,
) -> Result<(Vec<Pending>, Held), ActError> {
    let mut all = simulate(caches, &UPGRADE.map(str::to_owned))?;
    let whole = installed.iter().filter(|package| package.is_installed());
    let mut names: Vec<String> = whole.map(|package| package.name.clone()).collect();
    // What is new with them may be published for security as well.
    let new = all.iter().filter(|pending| pending.from.is_none());
    names.extend(new.map(|pending| pending.name.clone()));
    let offers = offers(caches, &names)?;
    say_security(&mut all, &offers);
    let mut left = left(&installed, &all, &offers);
    if take_for_security(caches, &mut all, &left) {
        say_security(&mut all, &offers);
        left = self::left(&installed, &all, &offers);
    }
    if !left.held.is_empty() && !left.kept.is_empty() {
        let behind = without_holds(caches)?;
        let (behind, kept) = left
            .kept
            .into_iter()
            .partition(|kept| behind.iter().any(|one| one.name == kept.name));
        left.behind = behind;
        left.kept = kept;
    }
    Ok((all, left))
}

/// So many are asked for by themselves; apt keeps back a handful.
const MOST_ASKED: usize = 20;

/// What apt keeps back for the sake of another that it keeps back too, and takes when it is asked for
/// it: a security update is worth the question. Was there any?
fn take_for_security(caches: &Caches, all: &mut Vec<Pending>, left: &Held) -> bool {
    let mut is_more = false;
    let kept = left.kept.iter().filter(|kept| kept.security.is_some());
    for kept in kept.take(MOST_ASKED) {
        let upgrades = all.iter().filter(|one| one.from.is_some());
        let words = upgrades
            .chain([kept])
            .map(|one| format!("{}={}", one.name, one.to));
        let words: Vec<String> = ["install", "--only-upgrade"]
            .into_iter()
            .map(str::to_owned)
            .chain(words)
            .collect();
        // apt says why not, and that it is kept back is said already.
        let Ok(more) = simulate(caches, &words) else {
            continue;
        };
        let has = |one: &Pending| more.iter().any(|other| other.name == one.name);
        if has(kept) && all.iter().all(has) {
            *all = more;
            is_more = true;
        }
    }
    is_more
}

/// Whether it is for security, and whether anything proves whose it is.
fn say_security(pending: &mut [Pending], offers: &BTreeMap<String, Offers>) {
    let unsigned = unsigned();
    for pending in pending {
        let offers = offers.get(&pending.name);
        let version =
            offers.and_then(|one| one.security_between(pending.from.as_deref(), &pending.to));
        pending.security = version.map(|one| one.version.clone());
        let offered = offers.and_then(|one| one.version(&pending.to));
        let sources = offered.into_iter().flat_map(|one| &one.sources);
        let mut exempt = sources.filter_map(|source| is_of(&unsigned, source));
        pending.unsigned = exempt.next().cloned();
    }
}

/// The newer versions of what is installed that are not `taken`: held, pinned, or kept back by apt.
pub fn left(installed: &[Installed], taken: &[Pending], offers: &BTreeMap<String, Offers>) -> Held {
    let mut left = Held::default();
    for package in installed.iter().filter(|package| package.is_installed()) {
        let Some((name, offers)) = package.names().find_map(|name| offers.get_key_value(name))
        else {
            continue;
        };
        let newer = |to: &str| Pending {
            name: name.clone(),
            architecture: package.architecture.clone(),
            from: Some(package.version.clone()),
            to: to.to_owned(),
            origins: offers
                .version(to)
                .map(|version| version.origins.clone())
                .unwrap_or_default(),
            security: offers
                .security_between(Some(&package.version), to)
                .map(|version| version.version.clone()),
            unsigned: None,
        };
        let is_taken = taken.iter().any(|taken| taken.name == *name);
        let is_newer = |to: &&String| super::offers::is_older(&package.version, to);
        match offers.candidate.as_ref().filter(is_newer) {
            Some(to) if !is_taken => match package.is_held {
                true => left.held.push(newer(to)),
                false => left.kept.push(newer(to)),
            },
            _ => {}
        }
        if let Some(version) = offers.kept_by_pin() {
            left.pinned.push(newer(&version.version));
        }
    }
    left
}

/// Some of the pending upgrades, and what these need.
///
/// # Errors
/// When apt-get can't be asked, or says that it can't.
pub fn with_needed(caches: &Caches, wanted: &[Pending]) -> Result<Vec<Pending>, ActError> {
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
    let mut needed = simulate(caches, &words)?;
    let names: Vec<String> = needed.iter().map(|one| one.name.clone()).collect();
    say_security(&mut needed, &offers(caches, &names)?);
    Ok(needed)
}

pub(super) fn simulate(caches: &Caches, words: &[String]) -> Result<Vec<Pending>, ActError> {
    let ended = apt()?
        .args(caches.options())
        .args([
            UNLOCKED,
            "--simulate",
            "--no-remove",
            "--no-install-recommends",
        ])
        .args(words.iter().cloned())
        .answer()?;
    let (pending, removed) = parse_pending(&ended.stdout)?;
    match removed.as_slice() {
        [] => Ok(pending),
        names => Err(ActError::program(
            "plan an upgrade",
            format!("it would remove {}", names.join(", ")),
        )),
    }
}

/// What would be upgraded if nothing were held.
fn without_holds(caches: &Caches) -> Result<Vec<Pending>, ActError> {
    let ended = apt()?
        .args(caches.options())
        .args([
            UNLOCKED,
            "--simulate",
            "--ignore-hold",
            "--allow-change-held-packages",
            "--no-install-recommends",
        ])
        .args(UPGRADE)
        .answer()?;
    parse_pending(&ended.stdout).map(|(all, _)| all)
}
