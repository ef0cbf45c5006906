//! Which Debian archive to build from: the one that this machine's own apt is set to, since it may be the only one that can be reached.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{DEFAULT_LIMIT, run};
use crate::{Error, Result};

const APT: &str = "/etc/apt";
/// The suites that every Debian archive has one of; a third-party source has none of them.
const SUITES: [&str; 8] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "stable",
    "oldstable",
    "testing",
];

/// The archives of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// The main archive.
    pub archive: String,
    /// The archive of security updates, where the machine has one.
    pub security: Option<String>,
}

impl Mirror {
    /// Reads the machine's apt sources, in both of their formats.
    pub(crate) fn of_this_machine() -> Result<Self> {
        let folder = Path::new(APT).join("sources.list.d");
        let mut files = vec![Path::new(APT).join("sources.list")];
        let mut more: Vec<PathBuf> = fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        more.sort();
        files.extend(more);
        let mut sources = Vec::new();
        for file in files {
            let text = || fs::read_to_string(&file).unwrap_or_default();
            match file.extension().and_then(|ending| ending.to_str()) {
                Some("list") => sources.extend(one_line_sources(&text())),
                Some("sources") => sources.extend(deb822_sources(&text())),
                _ => {}
            }
        }
        Self::choose(&sources).ok_or_else(|| Error::NoMirror(APT.into()))
    }

    fn choose(sources: &[Source]) -> Option<Self> {
        let archive = sources.iter().find(|source| {
            source
                .suites
                .iter()
                .any(|suite| SUITES.contains(&suite.as_str()))
        })?;
        let security = sources.iter().find(|source| {
            source
                .suites
                .iter()
                .any(|suite| suite.ends_with("-security"))
        });
        Some(Self {
            archive: archive.uri.clone(),
            security: security.map(|source| source.uri.clone()),
        })
    }
}

/// One archive, and the suites that are taken from it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    uri: String,
    suites: Vec<String>,
}

/// `deb [options] URI SUITE COMPONENT...`, sources.list(5).
fn one_line_sources(text: &str) -> Vec<Source> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim().strip_prefix("deb")?;
            let line = line.strip_prefix(char::is_whitespace)?.trim_start();
            let line = match line.strip_prefix('[') {
                Some(options) => options.split_once(']')?.1,
                None => line,
            };
            let mut words = line.split_whitespace();
            let uri = words.next()?.to_owned();
            let suite = words.next()?.to_owned();
            words.any(|component| component == "main").then(|| Source {
                uri,
                suites: vec![suite],
            })
        })
        .collect()
}

/// Stanzas of `Name: value` lines, sources.list(5), "deb822-style format".
fn deb822_sources(text: &str) -> Vec<Source> {
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| [line.trim_end(), "\n"])
        .collect();
    text.split("\n\n")
        .filter_map(|stanza| {
            let field = |name: &str| {
                stanza.lines().find_map(|line| {
                    let (key, value) = line.split_once(':')?;
                    key.eq_ignore_ascii_case(name).then(|| {
                        value
                            .split_whitespace()
                            .map(str::to_owned)
                            .collect::<Vec<_>>()
                    })
                })
            };
            let enabled = field("Enabled").is_none_or(|value| value != ["no"]);
            let main = field("Components")
                .is_some_and(|components| components.iter().any(|component| component == "main"));
            let binary = field("Types").is_some_and(|types| types.iter().any(|kind| kind == "deb"));
            if !(enabled && main && binary) {
                return None;
            }
            Some(Source {
                uri: field("URIs")?.into_iter().next()?,
                suites: field("Suites")?,
            })
        })
        .collect()
}

/// The proxy that apt uses for `scheme`, for programs that only look at the environment.
pub(crate) fn proxy(scheme: &str) -> Option<String> {
    let mut command = Command::new("/usr/bin/apt-config");
    command.args([
        "--format",
        "%f %v%n",
        "dump",
        &format!("Acquire::{scheme}::Proxy"),
    ]);
    let said = run(command, DEFAULT_LIMIT).ok()?.ok().ok()?;
    said.lines()
        .find_map(|line| line.strip_prefix(&format!("Acquire::{scheme}::Proxy ")))
        .filter(|value| !value.is_empty() && *value != "DIRECT")
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_in_both_formats() {
        let main = |uri: &str, suites: &[&str]| Source {
            uri: uri.to_owned(),
            suites: suites.iter().map(|&suite| suite.to_owned()).collect(),
        };
        let list = "# deb http://no/ bookworm main\n\ndeb [arch=amd64 signed-by=/k] http://a/debian bookworm main contrib\ndeb-src http://b/ bookworm main\ndeb http://c/ stable other\n";
        assert_eq!(
            one_line_sources(list),
            [main("http://a/debian", &["bookworm"])]
        );
        let deb822 = "Types: deb\n# a comment\nURIs: http://a/debian\nSuites: trixie trixie-updates\nComponents: main\n\nTypes: deb\nURIs: http://s/\nSuites: trixie-security\nComponents: main\n\nEnabled: no\nTypes: deb\nURIs: http://x/\nSuites: sid\nComponents: main\n";
        assert_eq!(
            deb822_sources(deb822),
            [
                main("http://a/debian", &["trixie", "trixie-updates"]),
                main("http://s/", &["trixie-security"])
            ]
        );
    }

    #[test]
    fn the_archive_is_the_first_with_a_debian_suite() {
        let sources = deb822_sources(
            "Types: deb\nURIs: http://third/\nSuites: nodistro\nComponents: main\n\nTypes: deb\nURIs: http://s/\nSuites: bookworm-security\nComponents: main\n\nTypes: deb\nURIs: http://a/\nSuites: bookworm\nComponents: main\n",
        );
        let mirror = Mirror::choose(&sources);
        assert_eq!(
            mirror,
            Some(Mirror {
                archive: "http://a/".to_owned(),
                security: Some("http://s/".to_owned())
            })
        );
        assert_eq!(Mirror::choose(&sources[..1]), None);
    }
}
