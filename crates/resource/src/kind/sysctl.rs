//! `sysctl`: a kernel parameter, both its running value and the file that sets it at
//! boot (sysctl.d(5)).

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
    /// The dotted name: `net.ipv4.ip_forward`.
    pub key: String,
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
        let mut probes = vec![
            Probe::Sysctl {
                key: self.key.clone(),
            },
            Probe::file(HostPath::literal("/etc/sysctl.conf")),
        ];
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
        let running = match seen.sysctl(&self.key) {
            Seen::Known(value) => value.trim(),
            Seen::Absent => {
                return Judgement::NotApplicable(format!("this kernel has no `{}`", self.key));
            }
            Seen::Unknown(reason) => return reason.into(),
            Seen::NotAsked => {
                return Reason::Failed {
                    why: "not asked".to_owned(),
                }
                .into();
            }
        };
        let boot = boot_value(&self.key, seen);
        let running_holds = self.value.holds(running);
        let boot_holds = boot
            .as_ref()
            .is_some_and(|assignment| self.value.holds(&assignment.value));
        let at: Vec<SourceLine> = boot.iter().map(|boot| boot.at.clone()).collect();
        // A kernel whose own default is good enough needs no file, but a file that sets
        // a bad value at the next boot is a drift although the running value is fine.
        if running_holds && (boot.is_none() || boot_holds) {
            return Judgement::Compliant {
                observed: running.to_owned(),
                at,
            };
        }
        let set = self.value.set();
        let mut edits = Vec::new();
        if !boot_holds {
            edits.extend(boot_edit(&self.key, &set, boot.as_ref(), seen));
        }
        if !running_holds {
            edits.push(Edit::act(Effect::Sysctl {
                key: self.key.clone(),
                value: set,
            }));
        }
        let observed = match (&boot, running_holds) {
            (Some(boot), true) => format!("{} at boot", printable(boot.value.as_bytes())),
            _ => printable(running.as_bytes()),
        };
        Judgement::drift(Drift {
            observed,
            wanted: self.value.to_string(),
            at,
            edits,
            ..Drift::default()
        })
    }
}

/// A line that sets our key at boot.
struct Assignment {
    value: String,
    text: String,
    at: SourceLine,
}

/// The assignment that wins at boot: files sort by name over all directories, the first
/// directory wins for one name, and the last assignment wins (sysctl.d(5)).
fn boot_value(key: &str, seen: &Answers) -> Option<Assignment> {
    let mut files: Vec<(Vec<u8>, HostPath)> = Vec::new();
    for directory in DIRECTORIES {
        let path = HostPath::literal(directory);
        let Seen::Known(entries) = seen.dir(&path) else {
            continue;
        };
        for entry in entries {
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
    let mut winner = None;
    let conf = HostPath::literal("/etc/sysctl.conf");
    let paths = files.into_iter().map(|(_, path)| path).chain([conf]);
    for path in paths {
        let Seen::Known(file) = seen.file(&path) else {
            continue;
        };
        let text = String::from_utf8_lossy(file.content.as_bytes());
        for (at, line) in (1..).zip(text.lines()) {
            if let Some((name, value)) = parse_line(line)
                && same_key(name, key)
            {
                winner = Some(Assignment {
                    value: value.to_owned(),
                    text: line.to_owned(),
                    at: SourceLine::new(path.clone(), at),
                });
            }
        }
    }
    winner
}

/// One line of sysctl.d(5): `key = value`, with `#` and `;` comments, and a leading `-`
/// for "ignore errors".
pub fn parse_line(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let (key, value) = line.split_once('=')?;
    let key = key.trim();
    Some((key.strip_prefix('-').unwrap_or(key).trim(), value.trim()))
}

/// `net/ipv4/ip_forward` and `net.ipv4.ip_forward` are the same parameter.
fn same_key(written: &str, key: &str) -> bool {
    written == key || written.replace('/', ".") == key
}

/// Where the winning line is in a file that people write, that line is edited, since ours
/// would lose or contradict it. Otherwise our own drop-in gets a line.
fn boot_edit(key: &str, set: &str, boot: Option<&Assignment>, seen: &Answers) -> Vec<Edit> {
    let ours = HostPath::literal(OURS);
    let change = match boot {
        Some(boot) if boot.at.path.as_bytes().starts_with(b"/etc/") => {
            return vec![Edit::Content {
                path: boot.at.path.clone(),
                change: ContentEdit::ReplaceLine {
                    line: boot.at.line.unwrap_or(1),
                    old: boot.text.clone(),
                    new: vec![format!("{key} = {set}")],
                },
                new_file: None,
                as_user: None,
            }];
        }
        _ => ContentEdit::Append(format!("{key} = {set}")),
    };
    let mut edits = Vec::new();
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
        path: ours,
        change,
        new_file: Some(NewFile::default()),
        as_user: None,
    });
    edits
}
