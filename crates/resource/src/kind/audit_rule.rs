//! `audit_rule`: something that the kernel records (auditctl(8)), both now and after
//! the next boot.
//!
//! Rules are compared by what they record, not by how they are written: a rule of
//! another label, of more system calls or of fewer conditions is as good.

use model::value::Reason;
use model::{Effect, HostPath, Mode, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::audit::{self, AuditLine, Machine, RuleList};
use crate::started;
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase, Seen};

const DIRECTORY: &str = "/etc/audit/rules.d";
/// The file that we write; `augenrules` reads it between the usual 10 and 99.
const OURS: &str = "/etc/audit/rules.d/50-steadfast.rules";

/// A rule of the kernel's audit, loaded now and set at boot.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditRule {
    /// One rule that adds, as auditctl(8) takes it: `-w /etc/passwd -p wa -k identity`, or
    /// `-a always,exit -F arch=b64 -S adjtimex -k time`. A label (`-k`) is written, but a rule
    /// on the host may have another.
    pub rule: String,
}

impl Kind for AuditRule {
    const NAME: &'static str = "audit_rule";
    const PHASE: Phase = Phase::Kernel;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.rule.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes = vec![
            Probe::AuditRules,
            Probe::Package {
                name: "auditd".to_owned(),
            },
            Probe::Dir {
                path: HostPath::literal(DIRECTORY),
            },
        ];
        for unit in UNITS {
            probes.extend(started::probes(unit, seen));
        }
        probes.extend(files(seen).into_iter().flatten().map(Probe::file));
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let wanted = match audit::parse_rule(&self.rule) {
            Ok(wanted) => wanted.on(machine(seen)),
            Err(why) => return Judgement::Error(why),
        };
        let boot = match boot_rules(seen) {
            Ok(boot) => boot,
            Err(reason) => return reason.into(),
        };
        let at_boot = &boot.rules;
        let (loaded, level, is_tree) = match loaded_rules(seen) {
            Ok((loaded, level)) => (loaded, level, false),
            // A tree has the rules of its files, and a kernel only later.
            Err(Reason::Offline) => (RuleList::default(), None, true),
            Err(reason) => return reason.into(),
        };
        if level == Some(0) {
            return Judgement::drift(Drift {
                observed: "auditing is switched off".to_owned(),
                wanted: self.rule.clone(),
                by_hand: Some("start auditd, or `auditctl -e 1`".to_owned()),
                ..Drift::default()
            });
        }
        if let Some((0, at)) = &boot.level {
            return Judgement::drift(Drift {
                observed: "auditing is switched off at boot".to_owned(),
                wanted: self.rule.clone(),
                at: vec![at.clone()],
                by_hand: Some("take `-e 0` away there, and load the rules anew".to_owned()),
                ..Drift::default()
            });
        }
        let at: Vec<SourceLine> = at_boot.cover(&wanted).into_iter().cloned().collect();
        if let (true, Some(stopped), Some(_)) =
            (at.is_empty(), &boot.stopped, boot.all.cover(&wanted))
        {
            let why = format!(
                "{stopped} is not understood, and auditctl loads nothing after a line that it refuses"
            );
            return Judgement::Unknown(Reason::Malformed { why });
        }
        let is_loaded = loaded.cover(&wanted).is_some();
        if let Some(place) = at_boot.switched_off_by() {
            return Judgement::drift(Drift {
                observed: "auditing of processes is switched off".to_owned(),
                wanted: self.rule.clone(),
                at: vec![place.clone()],
                by_hand: Some(
                    "remove the rule `-a never,task`, and load the rules anew".to_owned(),
                ),
                ..Drift::default()
            });
        }
        if is_tree && !at.is_empty() {
            return Judgement::Compliant {
                observed: "set at boot".to_owned(),
                at,
            };
        }
        if is_loaded && !at.is_empty() && loaded.switched_off_by().is_none() {
            return Judgement::Compliant {
                observed: "loaded, and set at boot".to_owned(),
                at,
            };
        }
        let observed = match (is_loaded, at.is_empty()) {
            (true, true) => "loaded, but not set at boot",
            (true, false) => "loaded, but auditing of processes is switched off",
            (false, false) => "set at boot, but not loaded",
            (false, true) if is_tree => "not set at boot",
            (false, true) => "not recorded",
        };
        let mut drift = Drift {
            observed: observed.to_owned(),
            wanted: self.rule.clone(),
            ..Drift::default()
        };
        let loader = match loader(seen) {
            Ok(loader) => loader,
            Err(reason) => return reason.into(),
        };
        if level == Some(2) {
            let place = loader
                .as_ref()
                .map_or_else(|| DIRECTORY.to_owned(), HostPath::to_string);
            drift.by_hand = Some(format!(
                "the kernel's rules are locked (-e 2): have the rule in {place}, and reboot"
            ));
        } else if let Some(file) = &loader {
            // `augenrules --load` would write over this very file.
            let load = format!("load it with `auditctl -R {file}`, as the service does");
            drift.by_hand = Some(match at.is_empty() {
                true => format!("add the rule to {file}, and {load}"),
                false => load,
            });
        } else {
            if at.is_empty() {
                drift.edits = self.boot_edits(seen);
            }
            drift.activate.push(Effect::LoadAuditRules);
        }
        drift.at = at;
        Judgement::drift(drift)
    }

    fn check(&self) -> Result<(), String> {
        audit::parse_rule(&self.rule).map(|_| ()).map_err(|why| {
            format!(
                "`{}` is not an audit rule: {why}",
                printable(self.rule.as_bytes())
            )
        })
    }
}

impl AuditRule {
    fn boot_edits(&self, seen: &Answers) -> Vec<Edit> {
        let mut edits = Vec::new();
        // Where the package is not there yet, it brings its directories itself.
        if matches!(seen.dir(&HostPath::literal(DIRECTORY)), Seen::Absent)
            && matches!(seen.package("auditd"), Seen::Known(_))
        {
            edits.push(Edit::act(Effect::MakeDir {
                path: HostPath::literal(DIRECTORY),
                mode: Mode::new(0o750),
                owner: None,
                group: None,
                as_user: None,
            }));
        }
        edits.push(Edit::Content {
            path: HostPath::literal(OURS),
            change: ContentEdit::Append(self.key().name),
            new_file: Some(NewFile {
                mode: Mode::new(0o640),
                ..NewFile::default()
            }),
            as_user: None,
        });
        edits
    }
}

/// Whose numbers the system calls have.
fn machine(seen: &Answers) -> Option<Machine> {
    match seen.package("auditd") {
        Seen::Known(package) => Machine::of_debian(&package.architecture),
        _ => None,
    }
}

/// The service that loads the rules at boot: auditd's own, or one of its own (Debian 13).
const UNITS: [&str; 2] = ["auditd.service", "audit-rules.service"];

/// The file that the service hands to `auditctl -R`, where it does that instead of
/// `augenrules --load`: Debian's unit offers both lines.
fn loader(seen: &Answers) -> Result<Option<HostPath>, Reason> {
    let mut handed = None;
    for unit in UNITS {
        // Where systemd does not tell of it, the usual way is taken.
        if matches!(seen.unit(unit), Seen::Unknown(_)) {
            continue;
        }
        let Some(started) = started::read(unit, seen)? else {
            continue;
        };
        for command in started.commands.iter().map(|command| &command.text) {
            if command.contains("augenrules") {
                return Ok(None);
            }
            let mut words = command.split_whitespace();
            let program = words.next().unwrap_or_default();
            if program.ends_with("/auditctl") && words.next() == Some("-R") {
                let file = words.next().unwrap_or_default();
                handed = HostPath::from_bytes(file.as_bytes()).ok().or(handed);
            }
        }
    }
    Ok(handed)
}

/// The rule files in the order in which they are read.
fn files(seen: &Answers) -> Result<Vec<HostPath>, Reason> {
    if let Some(file) = loader(seen)? {
        return Ok(vec![file]);
    }
    let directory = HostPath::literal(DIRECTORY);
    let mut files = seen.files_in(&directory, |name| name.ends_with(b".rules"))?;
    files.sort_by(|a, b| audit::natural_order(a.file_name(), b.file_name()));
    Ok(files)
}

/// What is loaded at boot.
#[derive(Default)]
struct AtBoot {
    rules: RuleList<SourceLine>,
    /// The same, had auditctl not stopped at a line that is not understood.
    all: RuleList<SourceLine>,
    stopped: Option<SourceLine>,
    /// The last `-e`, and where.
    level: Option<(u32, SourceLine)>,
}

fn boot_rules(seen: &Answers) -> Result<AtBoot, Reason> {
    let is_gathered = loader(seen)?.is_none();
    let mut boot = AtBoot::default();
    let mut goes_on = false;
    for path in files(seen)? {
        let Some(file) = seen.file(&path).known_or_absent()? else {
            continue;
        };
        let text = String::from_utf8_lossy(file.content.as_bytes());
        for (number, line) in (1..).zip(text.lines()) {
            let line = audit::parse_line(line).on(machine(seen));
            let at = SourceLine::new(path.clone(), number);
            match &line {
                AuditLine::NotUnderstood if !goes_on => {
                    boot.stopped.get_or_insert_with(|| at.clone());
                }
                AuditLine::GoOn => goes_on = true,
                AuditLine::Enabled(level) => boot.level = Some((*level, at.clone())),
                // augenrules puts it before all rules, and `-e` after them.
                AuditLine::DeleteAll(None) if is_gathered => continue,
                _ => {}
            }
            if boot.stopped.is_none() {
                boot.rules.add(line.clone(), at.clone());
            }
            boot.all.add(line, at);
        }
    }
    Ok(boot)
}

/// What the kernel records now, and the level of `-e` where that is off or locked. Where the
/// audit's programs are not installed, nothing is recorded.
fn loaded_rules(seen: &Answers) -> Result<(RuleList<()>, Option<u32>), Reason> {
    let mut rules = RuleList::default();
    let mut level = None;
    let lines = match seen.audit_rules() {
        Seen::Known(lines) => lines,
        Seen::Unknown(_) if matches!(seen.package("auditd"), Seen::Absent) => {
            return Ok((rules, level));
        }
        other => return other.known_or_absent().map(|_| (rules, level)),
    };
    for line in lines {
        let line = audit::parse_line(line).on(machine(seen));
        if let AuditLine::Enabled(enabled) = line {
            level = Some(enabled);
        }
        // The kernel lists what there is: nothing of it takes a rule away.
        if matches!(line, AuditLine::Rule { .. }) {
            rules.add(line, ());
        }
    }
    Ok((rules, level))
}
