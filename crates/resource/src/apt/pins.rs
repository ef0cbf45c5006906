//! apt_preferences(5): the pins that are for every package.

use model::{HostPath, SourceLine};
use regex::Regex;

use crate::kind::files_where::glob_matches;

/// Names that have nothing in common: what is for all of these is for every package.
const ODD_NAMES: [&str; 6] = [
    "0ad",
    "bash",
    "g++-12",
    "libc6",
    "x11-common",
    "linux-image-6.1.0-1-amd64",
];

/// A record for every package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// What stands behind `Pin:`: `release l=Debian-Security`, `origin security.debian.org`.
    pub of: String,
    pub priority: i64,
    /// The line of the priority.
    pub at: SourceLine,
}

impl Pin {
    /// As a pattern of fields, `l=Debian-Security,site=…`. None for a version, and where it is not
    /// understood.
    pub fn pattern(&self) -> Option<String> {
        let (kind, rest) = self.of.split_once(char::is_whitespace)?;
        let rest = rest.trim();
        match kind.to_ascii_lowercase().as_str() {
            "origin" => Some(format!("site={}", rest.trim_matches('"'))),
            "release" => {
                let known = ["a", "c", "l", "n", "o"];
                let fields = rest.split([',', ' ']).filter(|field| !field.is_empty());
                let fields: Option<Vec<String>> = fields
                    .map(|field| {
                        let (key, value) = field.split_once('=')?;
                        let is_known = known.contains(&key);
                        is_known.then(|| format!("{key}={}", value.trim_matches('"')))
                    })
                    .collect();
                fields.map(|fields| fields.join(","))
            }
            _ => None,
        }
    }
}

/// Is a field `Package:` for every package? It has names, patterns of glob(7) and POSIX regular
/// expressions between slashes, each for one architecture where that is said.
fn is_general(field: &str) -> bool {
    field.split_whitespace().any(|name| {
        let name = match name.rsplit_once(':') {
            Some((name, _)) if !name.starts_with('/') => name,
            _ => name,
        };
        let expression = name
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'));
        // What it does not take apt matches with nothing.
        let expression = expression.map(|expression| Regex::new(expression).ok());
        ODD_NAMES.iter().all(|odd| match &expression {
            Some(Some(expression)) => expression.is_match(odd),
            Some(None) => false,
            None => glob_matches(name.as_bytes(), odd.as_bytes()),
        })
    })
}

/// The records of one file for every package, in their order.
pub fn general(path: &HostPath, text: &str) -> Vec<Pin> {
    let mut pins = Vec::new();
    let mut record: (Option<String>, Option<String>, Option<(i64, u32)>) = (None, None, None);
    let lines = text.lines().chain(std::iter::once(""));
    for (number, line) in (1_u32..).zip(lines) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            if let (Some(package), Some(of), Some((priority, at))) = std::mem::take(&mut record)
                && is_general(&package)
            {
                let at = SourceLine::new(path.clone(), at);
                pins.push(Pin { of, priority, at });
            }
            continue;
        }
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "package" => record.0 = Some(value.to_owned()),
            "pin" => record.1 = Some(value.to_owned()),
            "pin-priority" => record.2 = value.parse().ok().map(|value| (value, number)),
            _ => {}
        }
    }
    pins
}
