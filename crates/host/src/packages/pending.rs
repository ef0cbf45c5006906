//! Which upgrades are pending, as apt-get simulates them.

use std::collections::BTreeSet;

use model::effect::bare_name;

use crate::act::ActError;
use crate::act::package::apt;
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
