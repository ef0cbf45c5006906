//! apt_preferences(5): which versions of a package apt prefers.

use model::{HostPath, SourceLine, printable};
use regex::{Regex, RegexBuilder};

/// Names that have nothing in common, each with its source: what is said of all of these is said of
/// as good as every package.
pub const ODD_NAMES: [(&str, &str); 6] = [
    ("bash", "bash"),
    ("g++-12", "gcc-12"),
    ("libc6", "glibc"),
    ("openssl", "openssl"),
    ("x11-common", "xorg"),
    ("linux-image-6.1.0-1-amd64", "linux-signed-amd64"),
];

/// A pattern of package names or of an archive's fields is short; compiled ones are bounded as well.
const LARGEST_PATTERN_BYTES: usize = 1 << 16;
/// What every archive has of which nothing is said.
pub const USUAL: i64 = 500;
/// What is installed has this priority.
pub const INSTALLED: i64 = 100;
/// Of `APT::Default-Release`.
const DEFAULT_RELEASE: i64 = 990;

/// A record.
#[derive(Clone, Debug)]
pub struct Pin {
    packages: Vec<Packages>,
    /// `Package: *` alone: it counts only where no other record is about the package.
    is_general: bool,
    /// `APT::Default-Release`, which is no record.
    is_setting: bool,
    /// What stands behind `Pin:`: `release l=Debian-Security`, `origin security.debian.org`.
    pub of: String,
    pub priority: i64,
    /// The line of the priority.
    pub at: SourceLine,
}

/// An archive, as its Release file describes it; none for what is not known without that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archive {
    pub origin: String,
    pub label: String,
    pub codename: String,
    pub suite: Option<String>,
    /// The server.
    pub site: Option<String>,
}

impl Archive {
    /// What is installed, as apt has it (`apt-cache policy`).
    pub fn installed() -> Self {
        Self {
            suite: Some("now".to_owned()),
            site: Some(String::new()),
            ..Self::default()
        }
    }

    fn is_installed(&self) -> bool {
        *self == Self::installed()
    }
}

impl Pin {
    /// What `APT::Default-Release` stands for: it comes before all records for every package.
    pub fn default_release(release: &str, at: SourceLine) -> Self {
        Self {
            packages: vec![Packages::read("*")],
            is_general: true,
            is_setting: true,
            of: format!("release {release}"),
            priority: DEFAULT_RELEASE,
            at,
        }
    }

    /// As it is written.
    pub fn said(&self) -> String {
        let of = printable(self.of.as_bytes());
        match of.strip_prefix("release ") {
            Some(release) if self.is_setting => format!("APT::Default-Release \"{release}\""),
            _ => format!("Pin: {of}"),
        }
    }

    /// Is it about this archive? None where that can't be told.
    pub fn is_of(&self, archive: &Archive) -> Option<bool> {
        let (kind, rest) = self.of.split_once(char::is_whitespace)?;
        let rest = rest.trim();
        let is = |wanted: &str, value: &str| {
            let wanted = wanted.trim().trim_matches('"');
            // What an archive does not have matches with nothing.
            expression(wanted).is_some_and(|wanted| !value.is_empty() && wanted.is_match(value))
        };
        let may_be = |wanted: &str, value: &Option<String>| match value {
            Some(value) => Some(is(wanted, value)),
            None => (wanted.trim() == "*").then_some(true),
        };
        match kind.to_ascii_lowercase().as_str() {
            "origin" => may_be(rest, &archive.site),
            // "stable" alone is a suite or a codename.
            "release" if !rest.contains('=') => match may_be(rest, &archive.suite) {
                _ if rest == "*" || is(rest, &archive.codename) => Some(true),
                _ if rest.starts_with(|first: char| first.is_ascii_digit()) => None,
                is_suite => is_suite,
            },
            "release" => {
                let fields = rest.split([',', ' ']).filter(|field| !field.is_empty());
                let mut untold = false;
                for field in fields {
                    let (key, wanted) = field.split_once('=')?;
                    let fits = match key {
                        "o" => Some(is(wanted, &archive.origin)),
                        "l" => Some(is(wanted, &archive.label)),
                        "n" => Some(is(wanted, &archive.codename)),
                        "a" => may_be(wanted, &archive.suite),
                        "c" => Some(!archive.is_installed() && is(wanted, "main")),
                        _ => None,
                    };
                    match fits {
                        Some(false) => return Some(false),
                        Some(true) => {}
                        None => untold = true,
                    }
                }
                (!untold).then_some(true)
            }
            _ => None,
        }
    }
}

/// Which priority the versions of an archive have for a package, and by which record: the first that is
/// about it by name, then the first for every package. `or_else`: what is taken where it can't be told
/// whether a record is about the archive.
pub fn priority<'a>(
    pins: &'a [Pin],
    package: (&str, &str),
    native: Option<&str>,
    archive: &Archive,
    or_else: bool,
) -> (i64, Option<&'a Pin>) {
    let about = || pins.iter().filter(|pin| pin.is_about(package, native));
    let by_name = about().filter(|pin| !pin.is_general);
    for pin in by_name.chain(about().filter(|pin| pin.is_general)) {
        if pin.is_of(archive).unwrap_or(or_else) {
            return (pin.priority, Some(pin));
        }
    }
    let usual = if archive.is_installed() {
        INSTALLED
    } else {
        USUAL
    };
    (usual, None)
}

/// A POSIX regular expression between slashes, or a pattern of glob(7) for the whole. Letter case does
/// not count. None for what is not taken: apt matches it with nothing.
fn expression(text: &str) -> Option<Regex> {
    let inner = text
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix('/'));
    let pattern = match inner {
        Some(inner) => inner.to_owned(),
        None => format!("^(?:{})$", of_glob(text)),
    };
    let mut builder = RegexBuilder::new(&pattern);
    builder
        .case_insensitive(true)
        .size_limit(LARGEST_PATTERN_BYTES);
    builder.build().ok()
}

/// glob(7) as a regular expression.
fn of_glob(glob: &str) -> String {
    let mut pattern = String::new();
    let mut rest = glob;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        // "]" stands for itself where it comes first.
        let set = (first == '[').then(|| {
            let from = rest.find(|one| !matches!(one, '!' | '^')).unwrap_or(0) + 1;
            rest.get(from..)?.find(']').map(|end| from + end)
        });
        match (first, set.flatten()) {
            ('*', _) => pattern.push_str(".*"),
            ('?', _) => pattern.push('.'),
            ('[', Some(end)) => {
                let (negation, inner) = match rest[..end].strip_prefix(['!', '^']) {
                    Some(inner) => ("^", inner),
                    None => ("", &rest[..end]),
                };
                let inner = inner.replace('\\', "\\\\").replace('[', "\\[");
                pattern.push_str(&format!("[{negation}{inner}]"));
                rest = &rest[end + 1..];
            }
            (other, _) => pattern.push_str(&regex::escape(&other.to_string())),
        }
    }
    pattern
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
                let is_general = package == "*";
                let packages = package.split_whitespace().map(Packages::read).collect();
                let at = SourceLine::new(path.clone(), at);
                pins.push(Pin {
                    packages,
                    is_general,
                    is_setting: false,
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

/// One word of `Package:`: an expression of names, of sources after `src:`, for one architecture where
/// that is said.
#[derive(Clone, Debug)]
struct Packages {
    names: Names,
    is_source: bool,
    architecture: Option<String>,
}

#[derive(Clone, Debug)]
enum Names {
    /// In lower case.
    One(String),
    Expression(Regex),
    /// What apt does not take.
    None,
}

impl Packages {
    fn read(word: &str) -> Self {
        let source = word.strip_prefix("src:");
        let is_source = source.is_some();
        let word = source.unwrap_or(word);
        let (name, architecture) = match word.rsplit_once(':') {
            Some((name, architecture)) if !word.ends_with('/') => {
                let is_any = matches!(architecture, "any" | "native" | "all");
                (name, (!is_any).then(|| architecture.to_owned()))
            }
            _ => (word, None),
        };
        let names = match name.contains(['*', '?', '[', '/']) {
            true => expression(name).map_or(Names::None, Names::Expression),
            false => Names::One(name.to_ascii_lowercase()),
        };
        Self {
            names,
            is_source,
            architecture,
        }
    }
}

impl Pin {
    /// Is it about a package of this name and source, on a host of this architecture where that is
    /// known?
    pub fn is_about(&self, (name, source): (&str, &str), native: Option<&str>) -> bool {
        self.packages.iter().any(|packages| {
            let architecture = packages.architecture.as_deref();
            let is_native = architecture.is_none_or(|one| native.is_none_or(|known| one == known));
            let of = if packages.is_source { source } else { name };
            is_native
                && match &packages.names {
                    Names::One(one) => one == of,
                    Names::Expression(expression) => expression.is_match(of),
                    Names::None => false,
                }
        })
    }
}
