//! `apt_setting`: what apt reads for one of its settings, from all its files in order
//! (apt.conf(5)).

use model::value::Reason;
use model::{Expectation, HostPath, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::apt::conf::{self, Setting, Statement};
use crate::apt::{boolean, is_plain_name};
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase, Seen};

pub(super) const DIRECTORY: &str = "/etc/apt/apt.conf.d";
pub(super) const OURS: &str = "/etc/apt/apt.conf.d/99steadfast";
/// Read last, after the directory.
pub(super) const MAIN: &str = "/etc/apt/apt.conf";
/// apt itself has no bound; a chain of includes longer than this is a mistake.
pub(super) const DEEPEST_INCLUDE: usize = 3;

/// A setting of apt.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AptSetting {
    /// The full name: `APT::Get::AllowUnauthenticated`. Letter case is ignored.
    pub key: String,
    /// What apt must read. The words for yes (`yes`, `true`, `on`, `1`, …) are the same, and
    /// so are those for no. Of an interval of `APT::Periodic`, `always` is as good as `1`, and a
    /// part of a day counts as one. Where no file sets it, apt's own default counts, when it is
    /// known here. A setting of `Acquire::https` for one server that says otherwise is reported
    /// with its line.
    pub value: Expectation,
}

/// What apt and its companions take when nothing sets it (apt.conf(5), apt-secure(8),
/// `/usr/lib/apt/apt.systemd.daily`).
const DEFAULTS: [(&str, &str); 15] = [
    ("APT::Get::AllowUnauthenticated", "false"),
    ("APT::Install-Recommends", "true"),
    ("APT::Periodic::AutocleanInterval", "0"),
    ("APT::Periodic::Download-Upgradeable-Packages", "0"),
    ("APT::Periodic::Enable", "1"),
    ("APT::Periodic::Unattended-Upgrade", "0"),
    ("APT::Periodic::Update-Package-Lists", "0"),
    ("APT::Sandbox::User", "_apt"),
    ("Acquire::AllowDowngradeToInsecureRepositories", "false"),
    ("Acquire::AllowInsecureRepositories", "false"),
    ("Acquire::AllowWeakRepositories", "false"),
    ("Acquire::Check-Valid-Until", "true"),
    ("Acquire::https::Verify-Host", "true"),
    ("Acquire::https::Verify-Peer", "true"),
    ("Unattended-Upgrade::Automatic-Reboot", "false"),
];

impl Kind for AptSetting {
    const NAME: &'static str = "apt_setting";
    const PHASE: Phase = Phase::Source;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.key.clone(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        probes(seen)
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        if let Seen::Absent = seen.dir(&HostPath::literal(DIRECTORY)) {
            return Judgement::NotApplicable("apt is not here".to_owned());
        }
        let files = match files(seen) {
            Ok(files) => files,
            Err(reason) => return reason.into(),
        };
        let mut reading = Reading {
            wanted: self.key.to_ascii_lowercase(),
            found: None,
            narrower: Vec::new(),
        };
        for (order, path) in files.iter().enumerate() {
            match reading.file(path, order, 0, seen) {
                Ok(()) => {}
                Err(Trouble::Unknown(reason)) => return reason.into(),
                Err(Trouble::Malformed(why)) => return Judgement::Error(why),
            }
        }
        let at: Vec<SourceLine> = reading
            .found
            .iter()
            .map(|found| SourceLine::new(found.path.clone(), found.setting.line))
            .collect();
        let value = match &reading.found {
            Some(found) => Some(found.setting.value.as_str()),
            None => default(&self.key),
        };
        let narrower: Vec<Drift> = reading
            .narrower
            .iter()
            .filter(|found| !self.holds(&found.setting.value))
            .map(|found| self.narrower(found))
            .collect();
        if let Some(value) = value
            && self.holds(value)
        {
            if !narrower.is_empty() {
                return Judgement::Drift(narrower);
            }
            return Judgement::Compliant {
                observed: printable(value.as_bytes()),
                at,
            };
        }
        let mut drifts = vec![Drift {
            observed: value
                .map_or_else(|| "not set".to_owned(), |value| printable(value.as_bytes())),
            wanted: self.value.to_string(),
            at,
            edits: vec![self.edit(reading.found.as_ref(), &files)],
            ..Drift::default()
        }];
        drifts.extend(narrower);
        Judgement::Drift(drifts)
    }

    fn check(&self) -> Result<(), String> {
        let is_name = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_./+".contains(&byte))
        };
        if !self.key.split("::").all(is_name) {
            return Err(format!(
                "`{}` is not the name of a setting",
                printable(self.key.as_bytes())
            ));
        }
        let set = self.value.set();
        if set.contains(['"', '\n']) {
            return Err("a value can't hold a quote or a newline".to_owned());
        }
        if !self.holds(&set) {
            return Err(format!(
                "setting `{set}` would not satisfy `{}`",
                self.value
            ));
        }
        Ok(())
    }
}

/// All files that apt reads its settings from, includes among them.
pub(super) fn probes(seen: &Answers) -> Vec<Probe> {
    let mut probes = vec![Probe::Dir {
        path: HostPath::literal(DIRECTORY),
    }];
    let mut paths = files(seen).unwrap_or_default();
    for depth in 0..DEEPEST_INCLUDE {
        let found: Vec<HostPath> = paths
            .iter()
            .filter_map(|path| seen.file(path).known())
            .filter_map(|file| conf::parse(&String::from_utf8_lossy(file.content.as_bytes())).ok())
            .flatten()
            .filter_map(|statement| match statement {
                Statement::Include { path, .. } => HostPath::from_bytes(path.as_bytes()).ok(),
                _ => None,
            })
            .collect();
        probes.extend(
            std::mem::replace(&mut paths, found)
                .into_iter()
                .map(Probe::file),
        );
        if depth + 1 == DEEPEST_INCLUDE || paths.is_empty() {
            break;
        }
    }
    probes
}

/// The value that counts, so far.
struct Found {
    path: HostPath,
    /// The place of its file, among all that are read, or of the one that includes it.
    order: usize,
    setting: Setting,
    /// The line that holds the value, where it holds nothing of another line.
    text: String,
    /// Where that line begins.
    starts: usize,
}

struct Reading {
    /// In lower case.
    wanted: String,
    found: Option<Found>,
    /// Of servers that have the setting for themselves, by name the last one.
    narrower: Vec<Found>,
}

enum Trouble {
    Unknown(Reason),
    Malformed(String),
}

impl Reading {
    fn file(
        &mut self,
        path: &HostPath,
        order: usize,
        depth: usize,
        seen: &Answers,
    ) -> Result<(), Trouble> {
        if depth >= DEEPEST_INCLUDE {
            return Err(Trouble::Malformed(format!("{path}: includes go too deep")));
        }
        let Some(file) = seen
            .file(path)
            .known_or_absent()
            .map_err(Trouble::Unknown)?
        else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(file.content.as_bytes());
        let statements =
            conf::parse(&text).map_err(|e| Trouble::Malformed(format!("{path}: {e}")))?;
        for statement in statements {
            match statement {
                Statement::Set(setting) if self.is_meant(&setting.key) => {
                    let starts = text[..setting.span.start]
                        .rfind('\n')
                        .map_or(0, |at| at + 1);
                    let line = text[starts..].lines().next().unwrap_or_default();
                    let found = Found {
                        path: path.clone(),
                        order,
                        text: line.to_owned(),
                        starts,
                        setting,
                    };
                    if found.setting.key.eq_ignore_ascii_case(&self.wanted) {
                        self.found = Some(found);
                    } else {
                        self.narrower
                            .retain(|other| !same_key(&other.setting.key, &found.setting.key));
                        self.narrower.push(found);
                    }
                }
                Statement::Clear { key } => {
                    if is_below(&self.wanted, &key) {
                        self.found = None;
                    }
                    self.narrower
                        .retain(|other| !is_below(&other.setting.key.to_ascii_lowercase(), &key));
                }
                Statement::Include { path, .. } => {
                    if let Ok(path) = HostPath::from_bytes(path.as_bytes()) {
                        self.file(&path, order, depth + 1, seen)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The setting itself, or that of one server: `Acquire::https::HOST::Verify-Peer`.
    fn is_meant(&self, key: &str) -> bool {
        let key = key.to_ascii_lowercase();
        let of_server = || {
            let name = self.wanted.strip_prefix("acquire::https::")?;
            let host = key.strip_prefix("acquire::https::")?.strip_suffix(name)?;
            let host = host.strip_suffix("::")?;
            Some(!host.is_empty() && !host.contains("::"))
        };
        key == self.wanted || of_server().unwrap_or(false)
    }
}

fn same_key(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Is it what `#clear KEY` forgets?
fn is_below(name: &str, key: &str) -> bool {
    let key = key.trim_end_matches("::").to_ascii_lowercase();
    name.strip_prefix(&key)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

impl AptSetting {
    fn narrower(&self, found: &Found) -> Drift {
        let key = printable(found.setting.key.as_bytes());
        Drift {
            observed: format!("{key} {}", printable(found.setting.value.as_bytes())),
            wanted: self.value.to_string(),
            at: vec![SourceLine::new(found.path.clone(), found.setting.line)],
            by_hand: Some(format!("take `{key}` out of {}", found.path)),
            ..Drift::default()
        }
    }

    /// `check_stamp` of `/usr/lib/apt/apt.systemd.daily`: a number of days, or one with its unit.
    fn interval(&self, seen: &str) -> Option<String> {
        let key = self.key.to_ascii_lowercase();
        if !key.starts_with("apt::periodic::") || key == "apt::periodic::enable" {
            return None;
        }
        if seen == "always" {
            return Some("1".to_owned());
        }
        let number = seen.trim_end_matches(['d', 'h', 'm', 's']);
        let count: u64 = number.parse().ok()?;
        let in_a_day = match &seen[number.len()..] {
            "d" => 1,
            "h" => 24,
            "m" => 24 * 60,
            "s" => 24 * 60 * 60,
            _ => return None,
        };
        Some(count.div_ceil(in_a_day).to_string())
    }

    fn holds(&self, seen: &str) -> bool {
        if self.value.holds(seen) {
            return true;
        }
        // A bound is about days; how often within a day says more than that it is often enough.
        let is_bound = !matches!(self.value, Expectation::Exactly(_));
        if is_bound && let Some(days) = self.interval(seen) {
            return self.value.holds(&days);
        }
        let words: &[&str] = match boolean(seen) {
            Some(true) => &["yes", "true", "with", "on", "enable", "1"],
            Some(false) => &["no", "false", "without", "off", "disable", "0"],
            None => return false,
        };
        words
            .iter()
            .any(|word| self.value.holds_ignoring_case(word))
    }

    /// Our own file gets a line, unless what counts now is read after it or stands in it.
    fn edit(&self, found: Option<&Found>, files: &[HostPath]) -> Edit {
        let set = format!("\"{}\"", self.value.set());
        let ours = HostPath::literal(OURS);
        let place = files.iter().position(|path| {
            path.as_bytes() >= ours.as_bytes() || path.as_bytes() == MAIN.as_bytes()
        });
        let in_place = found.filter(|found| {
            found.setting.span.end <= found.starts + found.text.len()
                && place.is_some_and(|place| found.order >= place)
        });
        let (path, change) = match in_place {
            Some(found) => {
                let mut line = found.text.clone();
                let span = &found.setting.span;
                let value = if span.is_empty() {
                    format!(" {set}")
                } else {
                    set
                };
                line.replace_range(span.start - found.starts..span.end - found.starts, &value);
                let change = ContentEdit::ReplaceLine {
                    line: found.setting.line,
                    old: found.text.clone(),
                    new: vec![line],
                };
                (found.path.clone(), change)
            }
            None => (ours, ContentEdit::Append(format!("{} {set};", self.key))),
        };
        Edit::Content {
            path,
            change,
            new_file: Some(NewFile::default()),
            as_user: None,
        }
    }
}

fn default(key: &str) -> Option<&'static str> {
    DEFAULTS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(key))
        .map(|(_, value)| *value)
}

/// What apt's settings say, in the order in which they are read, includes in their places.
pub(super) fn statements(seen: &Answers) -> Result<Vec<Statement>, Reason> {
    let mut all = Vec::new();
    for path in files(seen)? {
        statements_of(&path, 0, seen, &mut all)?;
    }
    Ok(all)
}

fn statements_of(
    path: &HostPath,
    depth: usize,
    seen: &Answers,
    all: &mut Vec<Statement>,
) -> Result<(), Reason> {
    let Some(file) = seen.file(path).known_or_absent()? else {
        return Ok(());
    };
    let text = String::from_utf8_lossy(file.content.as_bytes());
    let statements = conf::parse(&text).map_err(|error| Reason::Malformed {
        why: format!("{path}: {error}"),
    })?;
    for statement in statements {
        match &statement {
            Statement::Include { path, .. } if depth + 1 < DEEPEST_INCLUDE => {
                if let Ok(path) = HostPath::from_bytes(path.as_bytes()) {
                    statements_of(&path, depth + 1, seen, all)?;
                }
            }
            _ => all.push(statement),
        }
    }
    Ok(())
}

/// The files in the order in which apt reads them: no ending or `.conf`, by name, and then
/// the main file (apt.conf(5)).
pub(super) fn files(seen: &Answers) -> Result<Vec<HostPath>, Reason> {
    let is_read =
        |name: &[u8]| is_plain_name(name) && (!name.contains(&b'.') || name.ends_with(b".conf"));
    let mut files = seen.files_in(&HostPath::literal(DIRECTORY), is_read)?;
    files.push(HostPath::literal(MAIN));
    Ok(files)
}
