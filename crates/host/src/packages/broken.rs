//! What dpkg left unfinished, and what mends it.

use std::collections::BTreeMap;

use model::effect::bare_name;

use super::apt_caches::Caches;
use super::installed::installed;
use super::log::logged;
use super::offers::offers;
use super::pending::{Pending, simulate};
use crate::act::ActError;
use crate::act::package::query;
use crate::act::program::Program;
use crate::act::upgrade::audited;

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
        .answer()?;
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
/// be had any more, in those that can. And the `previous` ones in these versions.
///
/// # Errors
/// When apt-get can't be asked, or has no package file for one.
pub fn again(
    caches: &Caches,
    broken: &Broken,
    previous: &BTreeMap<String, String>,
) -> Result<Vec<Pending>, ActError> {
    let mut again = broken.again.clone();
    again.retain(|name, _| !previous.contains_key(bare_name(name)));
    if again.is_empty() && previous.is_empty() {
        return Ok(Vec::new());
    }
    let words = ["--reinstall", "--allow-downgrades", "install"].map(str::to_owned);
    let back = previous
        .iter()
        .map(|(name, version)| format!("{name}={version}"));
    let words: Vec<String> = words.into_iter().chain(back).collect();
    let with = |word: &dyn Fn((&String, &String)) -> String| {
        let names = again.iter().map(word);
        simulate(
            caches,
            &words.iter().cloned().chain(names).collect::<Vec<_>>(),
        )
    };
    with(&|(name, version)| match version.as_str() {
        "" => name.clone(),
        version => format!("{name}={version}"),
    })
    .or_else(|_| with(&|(name, _)| name.clone()))
}

/// A version that was there before what can't be finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    pub version: String,
    /// Does apt know where it is to be had?
    pub is_offered: bool,
}

/// The versions from which these packages were upgraded to what is there, as dpkg's log has it.
///
/// # Errors
/// When dpkg or apt can't be asked.
pub fn previous(caches: &Caches, names: &[String]) -> Result<BTreeMap<String, Previous>, ActError> {
    let (log, installed) = (logged(), installed()?);
    let mut found = BTreeMap::new();
    for package in &installed {
        let name = bare_name(&package.name);
        let key = (name.to_owned(), package.architecture.clone());
        let is_asked = names.iter().any(|asked| bare_name(asked) == name);
        let Some(upgrades) = log.upgrades.get(&key).filter(|_| is_asked) else {
            continue;
        };
        let last = upgrades.iter().rfind(|one| one.to == package.version);
        if let Some(last) = last {
            found.insert(name.to_owned(), last.from.clone());
        }
    }
    let asked: Vec<String> = found.keys().cloned().collect();
    let offers = offers(caches, &asked)?;
    Ok(found
        .into_iter()
        .map(|(name, version)| {
            let offered = offers.get(&name).and_then(|one| one.version(&version));
            let is_offered = offered.is_some_and(|one| !one.sources.is_empty());
            let previous = Previous {
                version,
                is_offered,
            };
            (name, previous)
        })
        .collect())
}
