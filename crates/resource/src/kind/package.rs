//! `package`: that a package is installed, perhaps in at least some version, or is not.

use std::cmp::Ordering;

use debversion::Version;
use model::plan::Risk;
use model::{Effect, PackageOp, Probe, ResourceKey, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Answers, Drift, Edit, Judgement, Kind, Phase, Seen};

/// A package of the host's package manager.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// The package's name, with `:architecture` where it is not the host's own.
    pub name: String,
    /// The oldest version that will do, in Debian's order (deb-version(7)). An older one is
    /// upgraded to what the host's sources offer.
    #[serde(default)]
    pub at_least: Option<String>,
    /// True when it must not be installed.
    #[serde(default)]
    pub absent: bool,
}

impl Kind for Package {
    const NAME: &'static str = "package";
    const PHASE: Phase = Phase::Package;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.name.clone(),
        }
    }

    fn probes(&self, _: &Answers) -> Vec<Probe> {
        vec![Probe::Package {
            name: self.name.clone(),
        }]
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let found = match seen.package(&self.name) {
            Seen::Known(found) => Some(found),
            Seen::Absent => None,
            Seen::Unknown(reason) => return reason.into(),
            Seen::NotAsked => return Judgement::not_asked(),
        };
        let installed = found.filter(|found| found.installed);
        let observed = match (found, installed) {
            (_, Some(installed)) => printable(installed.version.as_bytes()),
            // A removed package whose configuration is left has its programs gone.
            (Some(found), None) if !found.status.ends_with(" config-files") => {
                printable(found.status.as_bytes())
            }
            _ => "not installed".to_owned(),
        };
        // Half installed or half removed: neither there nor gone.
        let is_broken = installed.is_none() && observed != "not installed";
        let (wanted, op) = if self.absent {
            if installed.is_none() && !is_broken {
                return Judgement::compliant(observed);
            }
            ("not installed".to_owned(), PackageOp::Remove)
        } else {
            let install = PackageOp::Install { version: None };
            match (&self.at_least, installed) {
                (None, Some(_)) => return Judgement::compliant(observed),
                (None, None) => ("installed".to_owned(), install),
                (Some(wanted), installed) => {
                    if let Some(installed) = installed {
                        match compare(&installed.version, wanted) {
                            Ok(Ordering::Less) => {}
                            Ok(_) => return Judgement::compliant(observed),
                            Err(why) => return Judgement::Error(why),
                        }
                    }
                    (format!("at least {wanted}"), install)
                }
            }
        };
        Judgement::drift(Drift {
            observed,
            wanted,
            edits: vec![Edit::act(Effect::Package {
                name: self.name.clone(),
                op,
            })],
            ..Drift::default()
        })
    }

    fn risk(&self) -> Risk {
        if self.absent || self.at_least.is_some() {
            Risk::Service
        } else {
            Risk::None
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.absent && self.at_least.is_some() {
            return Err("a package that is to be absent has no version".to_owned());
        }
        if !is_package_name(&self.name) {
            return Err(format!(
                "`{}` is not the name of a package",
                printable(self.name.as_bytes())
            ));
        }
        match &self.at_least {
            Some(version) => compare(version, version).map(|_| ()),
            None => Ok(()),
        }
    }
}

/// Debian Policy 5.6.7: at least two characters, lower-case letters, digits, `+`, `-` and `.`,
/// beginning with a letter or a digit. An architecture may follow after a colon.
fn is_package_name(name: &str) -> bool {
    let (name, architecture) = name.split_once(':').unwrap_or((name, "any"));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| plain(byte) || b"+-.".contains(&byte))
        && !architecture.is_empty()
        && architecture.bytes().all(|byte| plain(byte) || byte == b'-')
}

fn compare(a: &str, b: &str) -> Result<Ordering, String> {
    let parse = |text: &str| {
        text.parse::<Version>()
            .map_err(|_| format!("`{}` is not a version", printable(text.as_bytes())))
    };
    Ok(parse(a)?.cmp(&parse(b)?))
}
