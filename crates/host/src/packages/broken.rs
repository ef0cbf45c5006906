//! What dpkg left unfinished, and what mends it.

use std::collections::BTreeMap;

use super::apt_caches::Caches;
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
pub fn again(caches: &Caches, broken: &Broken) -> Result<Vec<Pending>, ActError> {
    if broken.again.is_empty() {
        return Ok(Vec::new());
    }
    let words = ["--reinstall", "install"].map(str::to_owned);
    let with = |word: &dyn Fn((&String, &String)) -> String| {
        let names = broken.again.iter().map(word);
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
