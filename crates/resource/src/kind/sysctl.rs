//! `sysctl`: a kernel parameter, both its running value and the file that sets it at
//! boot (sysctl.d(5)).

use std::collections::BTreeSet;

use model::value::Reason;
use model::{Effect, Expectation, HostPath, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase, Seen};

/// The file that we write. It is read after the distribution's own files, and before
/// `/etc/sysctl.conf`, which systemd reads as `99-sysctl.conf`.
const OURS: &str = "/etc/sysctl.d/98-steadfast.conf";

/// A kernel parameter.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    /// The dotted name: `net.ipv4.ip_forward`. One component may be `*`, and then every
    /// parameter of that shape must hold: `net.ipv4.conf.*.send_redirects` is about each
    /// network interface.
    pub key: String,
    /// What the value must be, now and at boot. A parameter that no file sets is left
    /// alone while its running value holds.
    pub value: Expectation,
}

/// The directories of sysctl.d(5), from the one that wins for a file name.
const DIRECTORIES: [&str; 5] = [
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
];

impl Kind for Sysctl {
    const NAME: &'static str = "sysctl";
    const PHASE: Phase = Phase::Kernel;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.key.clone(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes: Vec<Probe> = self
            .keys(seen)
            .into_iter()
            .map(|key| Probe::Sysctl { key })
            .collect();
        probes.extend(self.entries().map(|path| Probe::Dir { path }));
        probes.push(Probe::file(HostPath::literal("/etc/sysctl.conf")));
        for directory in DIRECTORIES {
            let path = HostPath::literal(directory);
            if let Seen::Known(entries) = seen.dir(&path) {
                probes.extend(
                    entries
                        .iter()
                        .filter(|entry| entry.name.as_bytes().ends_with(b".conf"))
                        .filter_map(|entry| path.join(entry.name.as_bytes()).ok())
                        .map(Probe::file),
                );
            }
            probes.push(Probe::Dir { path });
        }
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        if let Some(entries) = self.entries()
            && let Seen::Unknown(reason) = seen.dir(&entries)
        {
            return reason.into();
        }
        let lines = match boot_lines(seen) {
            Ok(lines) => lines,
            Err(reason) => return reason.into(),
        };
        let mut parameters = Vec::new();
        for key in self.keys(seen) {
            let running = match seen.sysctl(&key) {
                Seen::Known(value) => value.split_whitespace().collect::<Vec<_>>().join(" "),
                Seen::Absent => continue,
                Seen::Unknown(reason) => return reason.into(),
                Seen::NotAsked => {
                    return Reason::Failed {
                        why: "not asked".to_owned(),
                    }
                    .into();
                }
            };
            parameters.push(Parameter {
                boot: boot_value(&key, &lines),
                key,
                running,
            });
        }
        if parameters.is_empty() {
            return Judgement::NotApplicable(format!("this kernel has no `{}`", self.key));
        }
        self.compare(&parameters, seen)
    }

    fn check(&self) -> Result<(), String> {
        let components = self.key.split('.');
        if self.key.is_empty() || components.clone().any(str::is_empty) {
            return Err(format!("`{}` is not the name of a parameter", self.key));
        }
        let stars = components.clone().filter(|part| part.contains('*')).count();
        let whole = components.filter(|part| *part == "*").count();
        if stars != whole || whole > 1 || self.key.starts_with('*') || self.key.ends_with('*') {
            return Err(format!(
                "in `{}`, one whole component in the middle may be `*`",
                self.key
            ));
        }
        if !self.value.is_consistent() {
            return Err(format!(
                "setting `{}` would not satisfy `{}`",
                self.value.set(),
                self.value
            ));
        }
        Ok(())
    }
}

/// One parameter of this kernel.
struct Parameter<'a> {
    key: String,
    running: String,
    boot: Option<&'a BootLine>,
}

impl Sysctl {
    /// The directory whose entries `*` stands for.
    fn entries(&self) -> Option<HostPath> {
        let (prefix, _) = self.key.split_once(".*.")?;
        HostPath::from_bytes(format!("/proc/sys/{}", prefix.replace('.', "/")).as_bytes()).ok()
    }

    /// The parameters that this is about, as far as they are known. In a name, `/` stands for
    /// a dot of its own, as in `eth0/100` (sysctl.d(5)).
    fn keys(&self, seen: &Answers) -> Vec<String> {
        let Some((prefix, suffix)) = self.key.split_once(".*.") else {
            return vec![self.key.clone()];
        };
        let Some(Seen::Known(entries)) = self.entries().map(|path| seen.dir(&path)) else {
            return Vec::new();
        };
        entries
            .iter()
            .filter_map(|entry| entry.name.as_text())
            .map(|name| format!("{prefix}.{}.{suffix}", name.replace('.', "/")))
            .collect()
    }

    fn compare(&self, parameters: &[Parameter<'_>], seen: &Answers) -> Judgement {
        let is_pattern = is_pattern(&self.key);
        let wrong_now: Vec<&Parameter<'_>> = parameters
            .iter()
            .filter(|parameter| !self.value.holds(&parameter.running))
            .collect();
        // A kernel whose own default is good enough needs no file, but a file that sets
        // a bad value at the next boot is a drift although the running value is fine.
        let wrong_at_boot: Vec<&Parameter<'_>> = parameters
            .iter()
            .filter(|parameter| match parameter.boot {
                Some(line) => !self.value.holds(line.value.as_deref().unwrap_or_default()),
                None => !self.value.holds(&parameter.running),
            })
            .collect();
        let lines_of = |parameters: &mut dyn Iterator<Item = &Parameter<'_>>| {
            let lines: BTreeSet<SourceLine> = parameters
                .filter_map(|parameter| parameter.boot.map(|line| line.at.clone()))
                .collect();
            lines.into_iter().collect::<Vec<_>>()
        };
        if wrong_now.is_empty() && wrong_at_boot.is_empty() {
            return Judgement::Compliant {
                observed: observed(
                    is_pattern,
                    parameters.iter().map(|p| (&*p.key, &*p.running)),
                ),
                at: lines_of(&mut parameters.iter()),
            };
        }
        let set = self.value.set();
        let mut edits = self.boot_edits(&set, &wrong_at_boot, seen);
        edits.extend(wrong_now.iter().map(|parameter| {
            Edit::act(Effect::Sysctl {
                key: parameter.key.clone(),
                value: set.clone(),
            })
        }));
        let observed = if wrong_now.is_empty() {
            let at_boot = wrong_at_boot
                .iter()
                .filter_map(|parameter| Some((&*parameter.key, parameter.boot?.value.as_deref()?)));
            format!("{} at boot", observed(is_pattern, at_boot))
        } else {
            observed(is_pattern, wrong_now.iter().map(|p| (&*p.key, &*p.running)))
        };
        Judgement::drift(Drift {
            observed,
            wanted: self.value.to_string(),
            at: lines_of(&mut wrong_at_boot.iter().copied()),
            edits,
            ..Drift::default()
        })
    }

    /// Where the winning line is in a file that people write and is about nothing else, that
    /// line is edited, since ours would lose or contradict it. Otherwise our own drop-in gets
    /// a line.
    fn boot_edits(&self, set: &str, wrong: &[&Parameter<'_>], seen: &Answers) -> Vec<Edit> {
        let mut edits = Vec::new();
        let mut edited = BTreeSet::new();
        let mut needs_own_line = false;
        for parameter in wrong {
            match parameter.boot {
                Some(line)
                    if line.at.path.as_bytes().starts_with(b"/etc/")
                        && (line.key == self.key || line.key == parameter.key) =>
                {
                    if edited.insert(&line.at) {
                        edits.push(Edit::Content {
                            path: line.at.path.clone(),
                            change: ContentEdit::ReplaceLine {
                                line: line.at.line.unwrap_or(1),
                                old: line.text.clone(),
                                new: vec![format!("{} = {set}", line.key)],
                            },
                            new_file: None,
                            as_user: None,
                        });
                    }
                }
                _ => needs_own_line = true,
            }
        }
        if !needs_own_line {
            return edits;
        }
        let directory = HostPath::literal("/etc/sysctl.d");
        if matches!(seen.dir(&directory), Seen::Absent) {
            edits.push(Edit::act(Effect::MakeDir {
                path: directory,
                mode: model::Mode::new(0o755),
                owner: None,
                group: None,
                as_user: None,
            }));
        }
        edits.push(Edit::Content {
            path: HostPath::literal(OURS),
            change: ContentEdit::Append(format!("{} = {set}", self.key)),
            new_file: Some(NewFile::default()),
            as_user: None,
        });
        edits
    }
}

/// `1`, or, for a pattern, `1 for all, lo`.
fn observed<'a>(is_pattern: bool, values: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let values: Vec<_> = values.collect();
    if let ([(_, value)], false) = (&values[..], is_pattern) {
        return printable(value.as_bytes());
    }
    let distinct: BTreeSet<&str> = values.iter().map(|(_, value)| *value).collect();
    let differing = |key: &'a str| -> &'a str {
        // The component in the middle that tells them apart: the interface.
        key.rsplit('.').nth(1).unwrap_or(key)
    };
    let parts: Vec<String> = distinct
        .into_iter()
        .map(|value| {
            let names: Vec<&str> = values
                .iter()
                .filter(|(_, other)| *other == value)
                .map(|(key, _)| differing(key))
                .collect();
            format!("{value} for {}", names.join(", "))
        })
        .collect();
    printable(parts.join("; ").as_bytes())
}

/// A line that sets a parameter at boot, or with no value, keeps patterns from setting it.
#[derive(Debug)]
struct BootLine {
    /// The dotted form of the name as written; it may be a pattern.
    key: String,
    value: Option<String>,
    text: String,
    at: SourceLine,
}

/// Every assignment, in the order in which they are read: files sort by name over all
/// directories, and the first directory wins for one name (sysctl.d(5)).
fn boot_lines(seen: &Answers) -> Result<Vec<BootLine>, Reason> {
    let mut files: Vec<(Vec<u8>, HostPath)> = Vec::new();
    for directory in DIRECTORIES {
        let path = HostPath::literal(directory);
        for entry in seen.dir(&path).known_or_absent()?.into_iter().flatten() {
            let name = entry.name.as_bytes();
            if name.ends_with(b".conf")
                && !files.iter().any(|(taken, _)| taken == name)
                && let Ok(path) = path.join(name)
            {
                files.push((name.to_vec(), path));
            }
        }
    }
    files.sort();
    let conf = HostPath::literal("/etc/sysctl.conf");
    let mut lines = Vec::new();
    for path in files.into_iter().map(|(_, path)| path).chain([conf]) {
        let Some(file) = seen.file(&path).known_or_absent()? else {
            continue;
        };
        let text = String::from_utf8_lossy(file.content.as_bytes());
        for (at, line) in (1..).zip(text.lines()) {
            if let Some((name, value)) = parse_line(line) {
                lines.push(BootLine {
                    key: dotted(name),
                    value: value.map(str::to_owned),
                    text: line.to_owned(),
                    at: SourceLine::new(path.clone(), at),
                });
            }
        }
    }
    Ok(lines)
}

/// The line that decides `key` at boot: the last that names it; or else the last pattern,
/// unless a line without a value takes the key out of all patterns (sysctl.d(5)).
fn boot_value<'a>(key: &str, lines: &'a [BootLine]) -> Option<&'a BootLine> {
    if let Some(line) = lines.iter().rev().find(|line| line.key == key) {
        return line.value.is_some().then_some(line);
    }
    lines
        .iter()
        .rev()
        .find(|line| line.value.is_some() && is_pattern(&line.key) && matches(&line.key, key))
}

/// One line of sysctl.d(5): `key = value`, with `#` and `;` comments, and a leading `-` for
/// "ignore errors"; `-key` alone, here without a value, takes the key out of patterns.
pub fn parse_line(line: &str) -> Option<(&str, Option<&str>)> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    match line.split_once('=') {
        Some((key, value)) => {
            let key = key.trim();
            let key = key.strip_prefix('-').unwrap_or(key).trim();
            Some((key, Some(value.trim())))
        }
        None => Some((line.strip_prefix('-')?.trim(), None)),
    }
}

/// `net/ipv4/ip_forward` and `net.ipv4.ip_forward` are the same parameter: when the first
/// separator is a slash, slashes and dots change places (sysctl.d(5)).
fn dotted(written: &str) -> String {
    match written.find(['/', '.']) {
        Some(at) if written.as_bytes()[at] == b'/' => written
            .chars()
            .map(|c| match c {
                '/' => '.',
                '.' => '/',
                c => c,
            })
            .collect(),
        _ => written.to_owned(),
    }
}

fn is_pattern(key: &str) -> bool {
    key.contains(['*', '?', '['])
}

/// Does a pattern of glob(7), component by component, match? Sets (`[…]`) are taken to match
/// anything: better to look at a line too many than to miss the one that decides.
fn matches(pattern: &str, key: &str) -> bool {
    let (pattern, key) = (pattern.split('.'), key.split('.'));
    pattern.clone().count() == key.clone().count()
        && pattern
            .zip(key)
            .all(|(pattern, name)| pattern.contains('[') || model::waiver::matches(pattern, name))
}
