//! Which upgrades are pending, as apt-get simulates them.

use std::collections::BTreeSet;

use model::effect::bare_name;

use crate::act::ActError;
use crate::act::package::{apt, parse_simulation};
use crate::act::program::Program;
use crate::act::upgrade::{NO_CACHES, name_of_file};

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
            }),
        }
    }
    Ok((pending, removed))
}

/// What a hold keeps back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Newer versions of what the administrator holds.
    pub held: Vec<Pending>,
    /// Upgrades of others that can't be done without those.
    pub behind: Vec<Pending>,
}

/// Upgrades, and what is new with them; nothing is removed.
const UPGRADE: [&str; 2] = ["upgrade", "--with-new-pkgs"];

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

/// Every upgrade that removes nothing, in apt's order, and what a hold keeps back.
///
/// # Errors
/// When apt-get can't be asked, or says that it can't.
pub fn pending() -> Result<(Vec<Pending>, Held), ActError> {
    let all = simulate(&UPGRADE.map(str::to_owned))?;
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

pub(super) fn simulate(words: &[String]) -> Result<Vec<Pending>, ActError> {
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
    let (pending, removed) = parse_pending(&ended.stdout)?;
    match removed.as_slice() {
        [] => Ok(pending),
        names => Err(ActError::program(
            "plan an upgrade",
            format!("it would remove {}", names.join(", ")),
        )),
    }
}

/// What would be upgraded beside `taken` if nothing were held.
fn held_back(taken: &[Pending]) -> Result<Held, ActError> {
    let names = held()?;
    if names.is_empty() {
        return Ok(Held::default());
    }
    let ended = apt()?
        .args(NO_CACHES)
        .args([
            UNLOCKED,
            "--simulate",
            "--ignore-hold",
            "--allow-change-held-packages",
            "--no-install-recommends",
        ])
        .args(UPGRADE)
        .succeed()?;
    let (all, _) = parse_pending(&ended.stdout)?;
    let more = all
        .into_iter()
        .filter(|pending| !taken.iter().any(|taken| taken.name == pending.name));
    let (held, behind) = more.partition(|pending| names.contains(&pending.name));
    Ok(Held { held, behind })
}
