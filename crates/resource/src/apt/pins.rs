//! apt_preferences(5): which versions of a package apt prefers.

use model::{HostPath, SourceLine};
use regex::{Regex, RegexBuilder};

use crate::kind::files_where::glob_matches;

/// Names that have nothing in common: what is said of all of these is said of every package.
pub const ODD_NAMES: [&str; 7] = [
    "0ad",
    "bash",
    "g++-12",
    "libc6",
    "openssl",
    "x11-common",
    "linux-image-6.1.0-1-amd64",
];

/// A record.
#[derive(Clone, Debug)]
pub struct Pin {
    packages: Vec<Packages>,
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

/// The records of one file, in their order.
pub fn read(path: &HostPath, text: &str) -> Vec<Pin> {
    let mut pins = Vec::new();
    let mut record: (Option<String>, Option<String>, Option<(i64, u32)>) = (None, None, None);
    let lines = text.lines().chain(std::iter::once(""));
    for (number, line) in (1_u32..).zip(lines) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            if let (Some(package), Some(of), Some((priority, at))) = std::mem::take(&mut record) {
                let packages = package.split_whitespace().map(Packages::read).collect();
                let at = SourceLine::new(path.clone(), at);
                pins.push(Pin {
                    packages,
                    of,
                    priority,
                    at,
                });
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

/// One word of `Package:`: a name, a pattern of glob(7) or a POSIX regular expression between slashes,
/// each for one architecture where that is said. Letter case does not count.
#[derive(Clone, Debug)]
struct Packages {
    names: Names,
    architecture: Option<String>,
}

#[derive(Clone, Debug)]
enum Names {
    Glob(String),
    Expression(Regex),
    /// What it does not take apt matches with nothing.
    None,
}

impl Packages {
    fn read(word: &str) -> Self {
        let (name, architecture) = match word.rsplit_once(':') {
            Some((name, architecture)) if !word.ends_with('/') => {
                let is_any = matches!(architecture, "any" | "native" | "all");
                (name, (!is_any).then(|| architecture.to_owned()))
            }
            _ => (word, None),
        };
        let expression = name
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'));
        let expression =
            expression.map(|text| RegexBuilder::new(text).case_insensitive(true).build());
        let names = match expression {
            Some(Ok(expression)) => Names::Expression(expression),
            Some(Err(_)) => Names::None,
            None => Names::Glob(name.to_ascii_lowercase()),
        };
        Self {
            names,
            architecture,
        }
    }
}

impl Pin {
    /// Is it about a package of this name, on a host of this architecture where that is known?
    pub fn is_about(&self, name: &str, native: Option<&str>) -> bool {
        self.packages.iter().any(|packages| {
            let architecture = packages.architecture.as_deref();
            let is_native = architecture.is_none_or(|one| native.is_none_or(|known| one == known));
            is_native
                && match &packages.names {
                    Names::Glob(glob) => glob_matches(glob.as_bytes(), name.as_bytes()),
                    Names::Expression(expression) => expression.is_match(name),
                    Names::None => false,
                }
        })
    }
}
