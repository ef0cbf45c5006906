//! `unit_option`: an option of a systemd unit, or of one of systemd's own programs, as it
//! is in effect over the main file and all drop-ins.

use model::plan::Risk;
use model::value::{FileType, Reason, UnitSeen};
use model::{
    Effect, Expectation, HostPath, Mode, Probe, ResourceKey, SourceLine, UnitOp, printable,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::assigned::check_value;
use crate::notify::{carries_connections, check_unit, unit_name};
use crate::syntax::scan;
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase, Seen, Syntax};

/// An option of a unit, set in a drop-in of our own unless another file has the last word.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitOption {
    /// A unit, where `.service` may be left out, or a configuration file of systemd's own:
    /// `journald.conf`, `logind.conf`, `coredump.conf`, `system.conf`.
    pub unit: String,
    /// The section without brackets: `Service`.
    pub section: String,
    /// The option: `NoNewPrivileges`.
    pub option: String,
    /// What it must be. `yes`, `true`, `on` and `1` are the same, and so are their opposites.
    /// For an option that may be given several times, all that is given, joined by spaces.
    pub value: Expectation,
    /// What systemd does when the option is not set. Where that satisfies `value`, nothing is
    /// written.
    #[serde(default)]
    pub default: Option<String>,
}

/// The directories of systemd's own configuration, from the one that wins for a file name.
const BASES: [&str; 4] = [
    "/etc/systemd",
    "/run/systemd",
    "/usr/local/lib/systemd",
    "/usr/lib/systemd",
];

/// Options that add up over several assignments, where an empty one resets (systemd.exec(5),
/// systemd.service(5), systemd.resource-control(5), systemd.socket(5), systemd.timer(5),
/// resolved.conf(5), timesyncd.conf(5)). Of all others, the last assignment counts.
const LISTS: [&str; 47] = [
    "AmbientCapabilities",
    "BindPaths",
    "BindReadOnlyPaths",
    "CapabilityBoundingSet",
    "ConfigurationDirectory",
    "CacheDirectory",
    "DNS",
    "DeviceAllow",
    "Domains",
    "Environment",
    "EnvironmentFile",
    "ExecCondition",
    "ExecPaths",
    "ExecReload",
    "ExecStart",
    "ExecStartPost",
    "ExecStartPre",
    "ExecStop",
    "ExecStopPost",
    "FallbackDNS",
    "FallbackNTP",
    "IPAddressAllow",
    "IPAddressDeny",
    "InaccessiblePaths",
    "ListenDatagram",
    "ListenFIFO",
    "ListenStream",
    "LoadCredential",
    "LogsDirectory",
    "NTP",
    "NoExecPaths",
    "OnBootSec",
    "OnCalendar",
    "PassEnvironment",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "RestrictAddressFamilies",
    "RestrictFileSystems",
    "RuntimeDirectory",
    "SocketBindAllow",
    "SocketBindDeny",
    "StateDirectory",
    "SupplementaryGroups",
    "SystemCallArchitectures",
    "SystemCallFilter",
    "TemporaryFileSystem",
    "UnsetEnvironment",
];

/// Options that add up and can't be reset: a drop-in can only add to them (systemd.unit(5)).
const ONLY_ADDED: [&str; 10] = [
    "After",
    "Before",
    "BindsTo",
    "Conflicts",
    "PartOf",
    "Requires",
    "Requisite",
    "RequiredBy",
    "WantedBy",
    "Wants",
];

/// Options that are `yes` or `no` and nothing else, in every version we know: an assignment that
/// is neither is ignored (systemd.syntax(7)), an empty one too.
const FLAGS: [&str; 9] = [
    "LockPersonality",
    "MemoryDenyWriteExecute",
    "NoNewPrivileges",
    "ProtectClock",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "RestrictRealtime",
    "RestrictSUIDSGID",
];

/// Options of systemd's own programs that are one of a few words: the file, the option, and the
/// words. An assignment of anything else is ignored, an empty one too, and letter case and quotes
/// count (`DEFINE_CONFIG_PARSE_ENUM` in systemd's conf-parser.h).
const CHOICES: [(&str, &str, &[&str]); 2] = [
    (
        "journald.conf",
        "Storage",
        &["auto", "none", "persistent", "volatile"],
    ),
    ("coredump.conf", "Storage", &["external", "journal", "none"]),
];

impl Kind for UnitOption {
    const NAME: &'static str = "unit_option";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        let unit = match self.program() {
            Some(_) => self.unit.clone(),
            None => unit_name(&self.unit),
        };
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: format!("{unit} [{}] {}", self.section, self.option),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes = Vec::new();
        probes.extend(self.unit_asked().map(|name| Probe::Unit { name }));
        match self.program() {
            Some(_) => {
                for base in BASES {
                    probes.push(Probe::file(below(base, &self.unit)));
                    let directory = below(base, &format!("{}.d", self.unit));
                    for path in entries(&directory, seen).unwrap_or_default() {
                        probes.push(Probe::Meta { path: path.clone() });
                        probes.push(Probe::file(path));
                    }
                    probes.push(Probe::Dir { path: directory });
                }
            }
            None => {
                if let Some(Seen::Known(unit)) = self.unit_asked().map(|name| seen.unit(&name)) {
                    probes.extend(unit.files.iter().cloned().map(Probe::file));
                }
            }
        }
        for name in OURS {
            probes.push(Probe::file(self.drop_in(name)));
        }
        probes.extend(
            self.drop_in(OURS[0])
                .parent()
                .map(|path| Probe::Dir { path }),
        );
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let files = match self.files(seen) {
            Ok(Some(files)) => files,
            Ok(None) => return Judgement::NotApplicable(format!("there is no {}", self.unit)),
            Err(reason) => return reason.into(),
        };
        let effective = match self.effective(&files, seen) {
            Ok(effective) => effective,
            Err(reason) => return reason.into(),
        };
        let value = effective.values.join(" ");
        let (observed, holds) = match (&*effective.values, &self.default) {
            ([], None) => ("not set".to_owned(), false),
            ([], Some(default)) => {
                let observed = format!("{} by default", printable(default.as_bytes()));
                (observed, self.holds(default))
            }
            _ => (printable(value.as_bytes()), self.holds(&value)),
        };
        let at: Vec<SourceLine> = effective.at.iter().cloned().collect();
        if holds {
            return Judgement::Compliant { observed, at };
        }
        let mut drift = Drift {
            observed,
            wanted: self.value.to_string(),
            at,
            ..Drift::default()
        };
        match self.edits(&effective, seen) {
            Ok((edits, note)) => {
                drift.edits = edits;
                drift.note = note;
                drift.activate = self.activate(seen);
            }
            Err(by_hand) => drift.by_hand = Some(by_hand),
        }
        Judgement::drift(drift)
    }

    fn risk(&self) -> Risk {
        if self.program().is_none() && carries_connections(&self.unit) {
            Risk::Connectivity
        } else {
            Risk::Service
        }
    }

    fn check(&self) -> Result<(), String> {
        check_unit(&self.unit)?;
        check_value(&self.value)?;
        let plain = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !plain(&self.section) || !plain(&self.option) {
            return Err("a section and an option are letters, digits and `-`".to_owned());
        }
        if ONLY_ADDED.contains(&&*self.option) {
            return Err(format!(
                "`{}` can only be added to, so no drop-in can make it exactly this",
                self.option
            ));
        }
        if self.value.set().is_empty() {
            return Err(
                "an empty value resets an option: give its default value instead".to_owned(),
            );
        }
        Syntax::SYSTEMD.check(&self.section, &self.option, &self.value.set())
    }
}

/// Our drop-in, and the names that it gets when another's sorts after the usual one.
const OURS: [&str; 3] = [
    "50-steadfast.conf",
    "zz-steadfast.conf",
    "zzzz-steadfast.conf",
];

/// What all files come to.
#[derive(Debug, Default)]
struct Effective {
    values: Vec<String>,
    /// The last assignment, resets included.
    at: Option<SourceLine>,
}

impl UnitOption {
    /// `journald` for `journald.conf`; none for a unit.
    fn program(&self) -> Option<&str> {
        self.unit.strip_suffix(".conf")
    }

    /// The unit whose state matters: the unit itself, or the program's own.
    fn unit_asked(&self) -> Option<String> {
        match self.program() {
            None => Some(unit_name(&self.unit)),
            Some("system" | "user" | "coredump" | "sleep" | "pstore") => None,
            Some(program) => Some(format!("systemd-{program}.service")),
        }
    }

    fn is_list(&self) -> bool {
        LISTS.contains(&&*self.option)
    }

    /// With every word that means the same to systemd (systemd.syntax(7), boolean arguments).
    fn holds(&self, seen: &str) -> bool {
        const YES: [&str; 6] = ["1", "yes", "y", "true", "t", "on"];
        const NO: [&str; 6] = ["0", "no", "n", "false", "f", "off"];
        if self.value.holds(seen) {
            return true;
        }
        let is_word = matches!(self.value, Expectation::Exactly(_) | Expectation::OneOf(_));
        is_word
            && [YES, NO].iter().any(|words| {
                words.iter().any(|word| word.eq_ignore_ascii_case(seen))
                    && words.iter().any(|word| self.value.holds(word))
            })
    }

    /// The files that are read, in that order; none where there is no such unit or program.
    fn files(&self, seen: &Answers) -> Result<Option<Vec<HostPath>>, Reason> {
        let unit = match self.unit_asked() {
            Some(name) => seen.unit(&name),
            None => Seen::Absent,
        };
        if self.program().is_none() {
            let unit = unit.known_or_absent()?;
            let unit = unit.filter(|unit| unit.load_state != "not-found");
            return Ok(unit.map(|unit| unit.files.clone()));
        }
        // Of the main files, the first that is there is read; of drop-ins of one name too.
        let mut main = None;
        let mut drop_ins: Vec<HostPath> = Vec::new();
        for base in BASES {
            let path = below(base, &self.unit);
            if main.is_none() && seen.file(&path).known_or_absent()?.is_some() {
                main = Some(path);
            }
            let directory = below(base, &format!("{}.d", self.unit));
            for path in entries(&directory, seen)? {
                if !drop_ins
                    .iter()
                    .any(|taken| taken.file_name() == path.file_name())
                {
                    drop_ins.push(path);
                }
            }
        }
        drop_ins.sort_by(|a, b| a.file_name().cmp(b.file_name()));
        let is_here =
            matches!(unit, Seen::Known(UnitSeen { load_state, .. }) if load_state != "not-found");
        if main.is_none() && drop_ins.is_empty() && !is_here {
            return Ok(None);
        }
        Ok(Some(main.into_iter().chain(drop_ins).collect()))
    }

    fn effective(&self, files: &[HostPath], seen: &Answers) -> Result<Effective, Reason> {
        let mut effective = Effective::default();
        for path in files {
            // A drop-in that is a link to /dev/null switches off those of its name.
            if let Seen::Known(meta) = seen.meta(path)
                && meta.file_type == FileType::Link
                && meta
                    .target
                    .as_ref()
                    .is_some_and(|to| to.as_bytes() == b"/dev/null")
            {
                continue;
            }
            let Some(file) = seen.file(path).known_or_absent()? else {
                continue;
            };
            let text = String::from_utf8_lossy(file.content.as_bytes());
            for found in scan(&text, Syntax::SYSTEMD).assignments {
                if found.section != self.section || found.key != self.option {
                    continue;
                }
                // systemd takes no notice of an empty one of these.
                if found.value.is_empty() && FLAGS.contains(&found.key) {
                    continue;
                }
                let is_choice = |(unit, option, words): &(&str, &str, &[&str])| {
                    *unit == self.unit
                        && *option == self.option
                        && !words.contains(&found.value.as_str())
                };
                if CHOICES.iter().any(is_choice) {
                    continue;
                }
                if found.value.is_empty() || !self.is_list() {
                    effective.values.clear();
                }
                effective.at = Some(SourceLine::new(path.clone(), found.line));
                if !found.value.is_empty() {
                    effective.values.push(found.value);
                }
            }
        }
        Ok(effective)
    }

    fn drop_in(&self, name: &str) -> HostPath {
        let text = match self.program() {
            Some(_) => format!("/etc/systemd/{}.d/{name}", self.unit),
            None => format!("/etc/systemd/system/{}.d/{name}", unit_name(&self.unit)),
        };
        HostPath::from_bytes(text.as_bytes()).expect("`check` refuses names with a slash or a NUL")
    }

    /// Where the last word is in a drop-in of this very unit, that one is edited; otherwise ours
    /// gets a line, under a name that sorts after every other that has a say. A drop-in that other
    /// units read too (of `service.d`, of a template, of a prefix, through a link) is never
    /// touched: names sort over all directories (systemd.unit(5)), so ours wins over it.
    fn edits(
        &self,
        effective: &Effective,
        seen: &Answers,
    ) -> Result<(Vec<Edit>, Option<String>), String> {
        let usual = self.drop_in(OURS[0]);
        let later = effective
            .at
            .as_ref()
            .filter(|at| is_drop_in(&at.path) && at.path.file_name() > usual.file_name());
        let (path, note) = match later {
            None => (usual, None),
            Some(at) if self.is_of_this_alone(&at.path, seen) => {
                let note = format!("{} is read last and wins, so it is changed there", at.path);
                (at.path.clone(), Some(note))
            }
            Some(at) => {
                let after = OURS
                    .map(|name| self.drop_in(name))
                    .into_iter()
                    .find(|ours| ours.file_name() > at.path.file_name());
                let Some(ours) = after else {
                    return Err(format!("{at} is read last and wins: change it there"));
                };
                let note = format!("{ours} wins over {}", at.path);
                (ours, Some(note))
            }
        };
        let (section, key, value) = (self.section.clone(), self.option.clone(), self.value.set());
        let change = if self.is_list() {
            ContentEdit::AssignList {
                section,
                key,
                value,
            }
        } else {
            ContentEdit::Assign {
                syntax: Syntax::SYSTEMD,
                section,
                key,
                value,
            }
        };
        let file = seen
            .file(&path)
            .known_or_absent()
            .map_err(|why| format!("edit {path}: {why}"))?;
        let current = file.map(|file| file.content.as_bytes());
        change
            .apply(current)
            .map_err(|why| format!("edit {path}: {why}"))?;
        let directory = path
            .parent()
            .filter(|parent| matches!(seen.dir(parent), Seen::Absent));
        let mut edits: Vec<Edit> = directory
            .map(|path| {
                Edit::act(Effect::MakeDir {
                    path,
                    mode: Mode::new(0o755),
                    owner: None,
                    group: None,
                    as_user: None,
                })
            })
            .into_iter()
            .collect();
        edits.push(Edit::Content {
            path,
            change,
            new_file: Some(NewFile::default()),
            as_user: None,
        });
        Ok((edits, note))
    }

    /// Is it a file in the directory of this unit's own drop-ins, and no link, nor below one?
    fn is_of_this_alone(&self, path: &HostPath, seen: &Answers) -> bool {
        path.parent() == self.drop_in(OURS[0]).parent()
            && matches!(seen.file(path), Seen::Known(file) if file.resolved.is_none())
    }

    /// What makes systemd notice. A unit that does not run is not started by this.
    fn activate(&self, seen: &Answers) -> Vec<Effect> {
        let act = |name: &str, op| Effect::Unit {
            name: name.to_owned(),
            op,
        };
        let Some(name) = self.unit_asked() else {
            return match self.program() {
                // systemd reads system.conf again when it reloads.
                Some("system") => vec![act("system.conf", UnitOp::DaemonReload)],
                // Read anew each time by what uses them.
                _ => Vec::new(),
            };
        };
        if self.program().is_some() {
            return vec![act(&name, UnitOp::Reload)];
        }
        let mut effects = vec![act(&name, UnitOp::DaemonReload)];
        let is_active = match seen.unit(&name) {
            // Its package may start it before this is set.
            Seen::Known(unit) if unit.is_to_come => true,
            Seen::Known(UnitSeen { active_state, .. }) => active_state.as_deref() == Some("active"),
            _ => false,
        };
        let restarts = [".service", ".socket", ".timer", ".path"];
        // Restarting the message bus tears down everything that is connected to it.
        if is_active
            && restarts.iter().any(|suffix| name.ends_with(suffix))
            && !name.starts_with("dbus")
        {
            effects.push(act(&name, UnitOp::Restart));
        }
        effects
    }
}

/// The drop-ins of a directory.
fn entries(directory: &HostPath, seen: &Answers) -> Result<Vec<HostPath>, Reason> {
    seen.files_in(directory, |name| name.ends_with(b".conf"))
}

fn below(base: &str, name: &str) -> HostPath {
    HostPath::from_bytes(format!("{base}/{name}").as_bytes())
        .expect("`check` refuses names with a slash or a NUL")
}

fn is_drop_in(path: &HostPath) -> bool {
    path.parent()
        .is_some_and(|parent| parent.file_name().ends_with(b".d"))
}
