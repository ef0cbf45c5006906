//! Programs that root starts by itself, or for others: those that cron's tables, units, udev's rules,
//! the services of D-Bus and the rules of sudo name. Who writes to one of them, or to a directory above it, has their commands run as root.

use std::collections::{BTreeMap, BTreeSet};

use model::value::{DirEntry, FileType, Reason};
use model::{Blob, HostPath, Probe};

use super::Place;
use super::command_line::{absolute, is_assignment, programs, programs_in, programs_of};
use super::mentioned::{by_assignment, paths_in};
use super::readers::Places;
use crate::kind::files_where::glob_matches;
use crate::kind::sudoers::{self, AliasKind, SettingValue, without_sets};
use crate::started;
use crate::syntax::scan;
use crate::{Answers, Seen, Syntax};

/// A pattern stands for the programs of a directory: `/usr/bin` has two thousand.
const MOST_MATCHING: usize = 4096;

const CRONTAB: &str = "/etc/crontab";
const ANACRONTAB: &str = "/etc/anacrontab";
const CRON_D: &str = "/etc/cron.d";
const SPOOL: &str = "/var/spool/cron/crontabs/root";
/// Where units lie, from the directory that wins; those of packages are in the last one.
const UNITS: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
];
/// udev(7): a name that is no path is one of a program here.
const UDEV_PROGRAMS: &str = "/usr/lib/udev";
const UDEV_RULES: [&str; 4] = [
    "/etc/udev/rules.d",
    "/run/udev/rules.d",
    "/usr/local/lib/udev/rules.d",
    "/usr/lib/udev/rules.d",
];
/// dbus-daemon(1), `standard_system_servicedirs`.
const DBUS_SERVICES: [&str; 5] = [
    "/etc/dbus-1/system-services",
    "/run/dbus-1/system-services",
    "/usr/local/share/dbus-1/system-services",
    "/usr/share/dbus-1/system-services",
    "/usr/lib/dbus-1/system-services",
];

/// Where cron searches when a table does not say it (crontab(5)).
const CRON_SEARCHES: [&str; 2] = ["/usr/bin", "/bin"];

/// What stands before the command in a line of a table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    /// crontab(5): five fields of a time.
    Root,
    /// The same, and an account.
    System,
    /// anacrontab(5): a period, a delay and a name.
    Anacron,
}

/// The commands of root in a table of crontab(5) or anacrontab(5), its `SHELL`, and the directories
/// of its `PATH`.
fn of_crontab(text: &str, table: Table) -> BTreeSet<(HostPath, bool)> {
    let mut found = BTreeSet::new();
    let mut searched: Vec<HostPath> = CRON_SEARCHES.map(HostPath::literal).to_vec();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // `NAME = value`; no field of a time has an equals sign.
        if let Some((name, value)) = line.split_once('=')
            && is_assignment(&format!("{}=", name.trim()))
        {
            let value = value.trim().trim_matches(['"', '\'']);
            match name.trim() {
                "PATH" => {
                    searched = value
                        .split(':')
                        .filter_map(|one| absolute(one, None))
                        .collect();
                    found.extend(searched.iter().cloned().map(|path| (path, false)));
                }
                "SHELL" => found.extend(absolute(value, None).map(|path| (path, false))),
                _ => {}
            }
            continue;
        }
        let times = match table {
            Table::Anacron => 3,
            _ if line.starts_with('@') => 1,
            _ => 5,
        };
        let mut rest = line;
        let mut field = || {
            let (field, left) = rest.split_once(char::is_whitespace)?;
            rest = left.trim_start();
            Some(field)
        };
        if (0..times).any(|_| field().is_none()) {
            continue;
        }
        // On some systems `user:group/class`.
        let user = match table {
            Table::System => field(),
            Table::Root | Table::Anacron => Some("root"),
        };
        let user = user.and_then(|user| user.split(':').next());
        if matches!(user, Some("root" | "0")) {
            let command = match table {
                Table::Anacron => rest.to_owned(),
                Table::Root | Table::System => of_cron_line(rest),
            };
            found.extend(programs_in(&command, &searched));
        }
    }
    found
}

/// crontab(5): what follows a `%` is what the command reads, unless a backslash stands before it.
fn of_cron_line(text: &str) -> String {
    let mut command = String::new();
    for part in text.split_inclusive('%') {
        let Some(before) = part.strip_suffix('%') else {
            command.push_str(part);
            break;
        };
        let Some(escaped) = before.strip_suffix('\\') else {
            command.push_str(before);
            break;
        };
        command.push_str(escaped);
        command.push('%');
    }
    command
}

pub(super) fn of_cron(seen: &Answers) -> Places {
    let directory = HostPath::literal(CRON_D);
    let mut files = vec![
        (HostPath::literal(CRONTAB), Table::System),
        (HostPath::literal(ANACRONTAB), Table::Anacron),
        (HostPath::literal(SPOOL), Table::Root),
    ];
    let mut found = Places {
        probes: vec![Probe::Dir {
            path: directory.clone(),
        }],
        ..Places::default()
    };
    match seen.dir(&directory) {
        Seen::Known(entries) => {
            let names = entries.iter().map(|entry| entry.name.as_bytes());
            let counts = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
            let names = names.filter(|name| name.iter().all(counts));
            files
                .extend(names.filter_map(|name| Some((directory.join(name).ok()?, Table::System))));
        }
        Seen::Unknown(reason) => found.hidden = Some(reason),
        Seen::Absent | Seen::NotAsked => {}
    }
    for (path, table) in files {
        match seen.file(&path) {
            Seen::Known(file) => {
                let text = String::from_utf8_lossy(file.content.as_bytes());
                found.add(of_crontab(&text, table));
            }
            Seen::Unknown(reason) => {
                found.hidden.get_or_insert(reason);
            }
            Seen::Absent | Seen::NotAsked => {}
        }
        found.probes.push(Probe::file(path));
    }
    found
}

/// Of a service, and of a socket (systemd.socket(5)).
const KEYS: [&str; 9] = [
    "ExecCondition",
    "ExecReload",
    "ExecStart",
    "ExecStartPost",
    "ExecStartPre",
    "ExecStop",
    "ExecStopPost",
    "ExecStopPre",
    "EnvironmentFile",
];

/// The section of a unit that says what it starts.
fn section_of(unit: &str) -> Option<&'static str> {
    match unit.rsplit('.').next() {
        Some("service") => Some("Service"),
        Some("socket") => Some("Socket"),
        _ => None,
    }
}

/// The files of a unit.
#[derive(Default)]
struct Files {
    main: Option<HostPath>,
    is_masked: bool,
    /// By their names: of several with one name, the first directory's counts.
    drop_ins: BTreeMap<Vec<u8>, HostPath>,
}

/// What the units of packages and of this host start as root: main file and drop-ins, with what an
/// empty assignment takes back.
pub(super) fn of_units(seen: &Answers) -> Places {
    let mut found = Places::default();
    let mut units: BTreeMap<String, Files> = BTreeMap::new();
    for directory in UNITS.map(HostPath::literal) {
        for entry in found.entries(&directory, seen) {
            let (Some(name), Ok(path)) =
                (entry.name.as_text(), directory.join(entry.name.as_bytes()))
            else {
                continue;
            };
            match entry.file_type {
                FileType::Directory => {
                    // `service.d` is of every service.
                    let unit = name.strip_suffix(".d").unwrap_or_default();
                    if section_of(unit).is_some() {
                        let names = found.entries(&path, seen).iter();
                        let names = names.map(|entry| entry.name.as_bytes().to_vec());
                        let unit = units.entry(unit.to_owned()).or_default();
                        for name in names.filter(|name| name.ends_with(b".conf")) {
                            if let Ok(path) = path.join(&name) {
                                unit.drop_ins.entry(name).or_insert(path);
                            }
                        }
                    }
                }
                _ if section_of(name).is_none() || !name.contains('.') => {}
                FileType::Link => {
                    let target = match seen.meta(&path) {
                        Seen::Known(meta) => meta.target.clone(),
                        Seen::Unknown(reason) => {
                            found.hidden.get_or_insert(reason);
                            None
                        }
                        Seen::Absent | Seen::NotAsked => None,
                    };
                    found.probes.push(Probe::Meta { path: path.clone() });
                    let Some(target) = target else {
                        continue;
                    };
                    // Others are aliases, or units of packages that are enabled.
                    if target.as_bytes() == b"/dev/null" {
                        let unit = units.entry(name.to_owned()).or_default();
                        unit.is_masked |= unit.main.is_none();
                    } else if leads_elsewhere(&target) {
                        let unit = units.entry(name.to_owned()).or_default();
                        unit.main.get_or_insert(path);
                    }
                }
                _ => {
                    let unit = units.entry(name.to_owned()).or_default();
                    unit.main.get_or_insert(path);
                }
            }
        }
    }
    for (name, files) in units.into_iter().filter(|(_, files)| !files.is_masked) {
        found.unit(&name, files, seen);
    }
    found.manager(seen);
    found
}

/// What udev's rules have run (udev(7): `RUN`, `PROGRAM`, `IMPORT{program}`), in the order of
/// their names. A rule goes on after a backslash.
pub(super) fn of_udev(seen: &Answers) -> Places {
    let mut found = Places::default();
    let mut files: BTreeMap<Vec<u8>, HostPath> = BTreeMap::new();
    for directory in UDEV_RULES.map(HostPath::literal) {
        for entry in found.entries(&directory, seen) {
            let name = entry.name.as_bytes();
            if let (true, Ok(path)) = (name.ends_with(b".rules"), directory.join(name)) {
                files.entry(name.to_vec()).or_insert(path);
            }
        }
    }
    for path in files.into_values() {
        let commands = found.text(&path, seen).map(|text| of_rules(&text));
        found.add(commands.unwrap_or_default());
    }
    found
}

fn of_rules(text: &str) -> BTreeSet<(HostPath, bool)> {
    let mut found = BTreeSet::new();
    for line in text.replace("\\\n", " ").lines() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        // Keys and values take turns: `KEY{ATTRIBUTE}OPERATOR"value"`.
        let mut parts = line.split('"');
        while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
            let key = key.trim_matches([',', ' ', '\t', '=', '+', '-', ':', '!', 'e']);
            if !matches!(key, "RUN" | "RUN{program}" | "PROGRAM" | "IMPORT{program}") {
                continue;
            }
            match value.starts_with('/') {
                true => found.extend(programs(value).into_iter().filter(has_no_specifier)),
                false => {
                    let name = value.split_whitespace().next().unwrap_or_default();
                    let path = HostPath::literal(UDEV_PROGRAMS).join(name.as_bytes());
                    found.extend(
                        path.into_iter()
                            .map(|path| (path, false))
                            .filter(has_no_specifier),
                    );
                }
            }
        }
    }
    found
}

/// What the system's bus starts as root when a name is asked for. Where a unit is named, systemd
/// starts that instead.
pub(super) fn of_dbus(seen: &Answers) -> Places {
    let mut found = Places::default();
    for directory in DBUS_SERVICES.map(HostPath::literal) {
        for entry in found.entries(&directory, seen) {
            let name = entry.name.as_bytes();
            let (true, Ok(path)) = (name.ends_with(b".service"), directory.join(name)) else {
                continue;
            };
            let Some(text) = found.text(&path, seen) else {
                continue;
            };
            let of = |key: &str| Syntax::INI.effective(&text, "D-BUS Service", key);
            let is_root = of("User").is_some_and(|user| matches!(&*user.value, "root" | "0"));
            if let (true, None, Some(command)) = (is_root, of("SystemdService"), of("Exec")) {
                found.add(programs(&command.value));
            }
        }
    }
    found
}

/// sudoers(5): files that decide what a command of root's gets to see, programs that sudo starts as
/// root itself, where commands without a path are searched for, and files that root writes to, or
/// shows to everyone.
fn of_sudo_setting(name: &str, value: &str) -> BTreeSet<(HostPath, bool)> {
    let value = value.trim_matches('"');
    let paths: Vec<&str> = match name {
        "admin_flag"
        | "env_file"
        | "iolog_plugin"
        | "lecture_file"
        | "lecture_status_dir"
        | "mailerpath"
        | "restricted_env_file"
        | "rundir"
        | "runchroot"
        | "timestampdir" => {
            vec![value]
        }
        "editor" | "secure_path" => value.split(':').collect(),
        "group_plugin" => value.split_whitespace().collect(),
        // In the usual place others than root may write on some hosts, and to a log.
        "iolog_dir" | "iolog_file" | "logfile" if !value.starts_with("/var/log/") => vec![value],
        _ => Vec::new(),
    };
    // `%{user}` begins what is another one each time.
    let whole = paths.into_iter().map(|path| {
        path.split('%')
            .next()
            .unwrap_or_default()
            .trim_end_matches('/')
    });
    let paths = whole.filter_map(|path| absolute(path, None));
    paths.map(|path| (path, false)).collect()
}

/// sudo.conf(5): `Plugin SYMBOL FILE ARGUMENTS`, `Path NAME FILE`, of which `plugin_dir` is a
/// directory, and `Debug PROGRAM FILE`.
fn of_sudo_conf(text: &str) -> BTreeSet<(HostPath, bool)> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let named = lines.flat_map(|line| {
        let mut words = line.split_whitespace().map(str::to_owned);
        let kind = words.next().unwrap_or_default().to_ascii_lowercase();
        let below = words.next().as_deref() == Some("plugin_dir");
        let named = match kind.as_str() {
            "plugin" | "path" => words.collect(),
            "debug" => words.take(1).collect(),
            _ => Vec::new(),
        };
        let lists = named.iter().flat_map(|word| word.split(':'));
        let found = paths_in(&lists.map(str::to_owned).collect::<Vec<_>>()).into_iter();
        let is_usual = |path: &HostPath| path.is_within(&HostPath::literal("/var/log"));
        found
            .filter(|(path, _)| kind != "debug" || !is_usual(path))
            .map(|(path, _)| (path, below))
            .collect::<Vec<_>>()
    });
    named.collect()
}

/// What the rules of sudo have run as root, with a password or without, by their paths. A
/// wildcard, and a name that ends with a slash, stand for what is there; so does a regular
/// expression.
pub(super) fn of_sudo(seen: &Answers) -> Places {
    let (sudoers, probes) = sudoers::read(seen);
    let mut found = Places {
        probes,
        hidden: sudoers.hidden().cloned(),
        ..Places::default()
    };
    let mut usual_root = None;
    for setting in sudoers.settings() {
        if let SettingValue::Set(value) = &setting.value {
            found.add(of_sudo_setting(&setting.name, value));
            if setting.name == "runchroot" {
                usual_root = Some(value.clone());
            }
        }
    }
    let conf = found.text(&HostPath::literal(sudoers::CONF), seen);
    found.add(of_sudo_conf(&conf.unwrap_or_default()));
    for grant in sudoers.grants().filter(|grant| sudoers.runs_as_root(grant)) {
        let command = std::slice::from_ref(&grant.command);
        let root = grant.root.as_ref().or(usual_root.as_ref());
        let root = root.map(|root| root.trim_end_matches('/'));
        let root = root.filter(|root| root.starts_with('/'));
        if let Some(path) = root.and_then(|root| absolute(root, None)) {
            found.add([(path, false)].into());
        }
        for member in sudoers.expand(AliasKind::Command, command) {
            if member.negated {
                continue;
            }
            found.command_of_sudo(&member.name, root, grant.directory.as_deref(), seen);
        }
    }
    found
}

impl Places {
    /// A command of a rule, in another root directory and in this working directory.
    fn command_of_sudo(
        &mut self,
        command: &str,
        root: Option<&str>,
        directory: Option<&str>,
        seen: &Answers,
    ) {
        let (program, arguments) = sudoers::divide(command);
        let top = root.unwrap_or_default();
        if program.starts_with('^') {
            return self.expression(program, top, seen);
        }
        if !program.starts_with('/') {
            return;
        }
        let program = program.replace('\\', "");
        match program.strip_suffix('/') {
            Some(directory) => self.matching(&format!("{top}{directory}/*"), seen),
            None => self.matching(&format!("{top}{program}"), seen),
        }
        // What an interpreter, or a program that starts others, is told to run.
        if program.contains(['*', '?', '[']) {
            return;
        }
        let arguments = match arguments.strip_prefix('^') {
            Some(rest) => rest.strip_suffix('$').unwrap_or(rest),
            None => arguments,
        };
        let arguments = arguments.replace('\\', "");
        let enter = directory.map(|directory| format!("cd {directory} && "));
        let line = format!("{}{program} {arguments}", enter.unwrap_or_default());
        let inside = programs(&line).into_iter();
        let outside = inside.filter_map(|(path, below)| {
            let whole = [top.as_bytes(), path.as_bytes()].concat();
            Some((HostPath::from_bytes(&whole).ok()?, below))
        });
        self.add(outside.collect());
    }

    /// What a regular expression stands for.
    fn expression(&mut self, pattern: &str, top: &str, seen: &Answers) {
        let Some(expression) = sudoers::expression(pattern) else {
            let what = format!(
                "`{}` is not understood",
                model::printable(pattern.as_bytes())
            );
            self.hidden.get_or_insert(Reason::Unavailable { what });
            return;
        };
        for (text, is_all) in sudoers::alternatives(pattern) {
            if is_all {
                self.matching(&format!("{top}{text}"), seen);
                continue;
            }
            let within = text.rsplit_once('/').map(|(directory, _)| directory);
            let Some(directory) = within.and_then(|within| absolute(within, None)) else {
                // As much as `ALL`, or nobody knows what.
                if !expression.is_match("/usr/bin/id") {
                    let what =
                        format!("what `{}` stands for", model::printable(pattern.as_bytes()));
                    self.hidden.get_or_insert(Reason::Unavailable { what });
                }
                continue;
            };
            let place = [top.as_bytes(), directory.as_bytes()].concat();
            let Ok(place) = HostPath::from_bytes(&place) else {
                continue;
            };
            // Each that is there and matches, and whoever could add one.
            let is_deep = [".*", ".+", "[^"].iter().any(|any| pattern.contains(any))
                || pattern.matches('/').count() > text.matches('/').count();
            self.add([(place.clone(), is_deep && !is_of_programs(&directory))].into());
            for entry in self.entries(&place, seen) {
                let inside = directory.join(entry.name.as_bytes());
                if inside.is_ok_and(|path| expression.is_match(&path.to_string()))
                    && let Ok(path) = place.join(entry.name.as_bytes())
                {
                    self.add([(path, false)].into());
                }
            }
        }
    }
}

/// Where the programs of packages lie: too many to look at all.
fn is_of_programs(directory: &HostPath) -> bool {
    const USUAL: [&str; 8] = [
        "/bin",
        "/lib",
        "/sbin",
        "/usr",
        "/usr/bin",
        "/usr/lib",
        "/usr/sbin",
        "/usr/share",
    ];
    USUAL
        .iter()
        .any(|usual| directory.as_bytes() == usual.as_bytes())
}

const LOGROTATE: &str = "/etc/logrotate.conf";
const LOGROTATE_D: &str = "/etc/logrotate.d";
/// logrotate(8): each goes on until `endscript`.
const SCRIPTS: [&str; 5] = [
    "firstaction",
    "lastaction",
    "postrotate",
    "preremove",
    "prerotate",
];
/// Each of these settings is a program.
const COMPRESSORS: [&str; 2] = ["compresscmd", "uncompresscmd"];

/// What logrotate runs, and the files that it includes. It refuses one that is somebody else's, but
/// asks nobody whose the directory above is.
pub(super) fn of_logrotate(seen: &Answers) -> Places {
    let mut found = Places::default();
    let main = HostPath::literal(LOGROTATE);
    let directory = HostPath::literal(LOGROTATE_D);
    let mut files = vec![main];
    for entry in found.entries(&directory, seen) {
        files.extend(directory.join(entry.name.as_bytes()));
    }
    let mut at = 0;
    while let Some(path) = files.get(at).cloned() {
        at += 1;
        let Some(text) = found.text(&path, seen) else {
            continue;
        };
        let mut script: Option<String> = None;
        for line in text.lines().map(str::trim) {
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            match word {
                "endscript" => found.add(programs(&script.take().unwrap_or_default())),
                _ if SCRIPTS.contains(&word) && script.is_none() => {
                    script = Some(String::new());
                }
                _ if script.is_some() => {
                    let script = script.get_or_insert_default();
                    script.push_str(line);
                    script.push('\n');
                }
                _ if COMPRESSORS.contains(&word) => found.add(programs(rest)),
                "include" => {
                    let Some(included) = absolute(rest.trim(), None) else {
                        continue;
                    };
                    found.add([(included.clone(), true)].into());
                    let names = found.entries(&included, seen);
                    let more = names.iter().map(|entry| entry.name.as_bytes());
                    let more: Vec<HostPath> = match names.is_empty() {
                        true => vec![included],
                        false => more.filter_map(|name| included.join(name).ok()).collect(),
                    };
                    let is_new = |path: &HostPath| !files.contains(path);
                    let more: Vec<HostPath> = more.into_iter().filter(is_new).collect();
                    files.extend(more);
                }
                _ => {}
            }
        }
        found.add(programs(&script.unwrap_or_default()));
        if at > MOST_MATCHING {
            break;
        }
    }
    found
}

/// Does a link lead to a file that is neither a package's unit nor another name of one here?
fn leads_elsewhere(target: &Blob) -> bool {
    let target = target.as_bytes();
    let is_units = [b"/usr/lib/systemd/".as_slice(), b"/lib/systemd/"]
        .iter()
        .any(|directory| {
            target.starts_with(directory) && !target.windows(3).any(|at| at == b"/..")
        });
    !is_units && target != b"/dev/null" && target.contains(&b'/')
}

impl Places {
    pub(super) fn add(&mut self, programs: BTreeSet<(HostPath, bool)>) {
        for (path, below) in programs {
            // Who makes what is not there yet decides what it is.
            if let (Some(directory), false) = (path.parent(), below) {
                self.makers.insert((directory, path.clone()));
            }
            let place = Place { path, below };
            if !self.places.contains(&place) {
                self.places.push(place);
            }
        }
    }

    /// The files that a pattern of fnmatch(3) stands for, and the directories to which somebody could
    /// add one.
    fn matching(&mut self, pattern: &str, seen: &Answers) {
        let mut paths = vec![HostPath::literal("/")];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            let mut next = Vec::new();
            for path in &paths {
                if !part.contains(['*', '?', '[']) {
                    next.extend(path.join(part.as_bytes()));
                    continue;
                }
                self.add([(path.clone(), false)].into());
                for entry in self.entries(path, seen) {
                    let name = entry.name.as_bytes();
                    if glob_matches(without_sets(part).as_bytes(), name) {
                        next.extend(path.join(name));
                    }
                }
            }
            if next.len() > MOST_MATCHING {
                let what = format!("{pattern} stands for more than {MOST_MATCHING} files");
                self.hidden.get_or_insert(Reason::Unavailable { what });
                next.truncate(MOST_MATCHING);
            }
            paths = next;
        }
        self.add(paths.into_iter().map(|path| (path, false)).collect());
    }

    /// The names in a directory.
    pub(super) fn entries<'a>(
        &mut self,
        directory: &HostPath,
        seen: &'a Answers,
    ) -> &'a [DirEntry] {
        self.probes.push(Probe::Dir {
            path: directory.clone(),
        });
        match seen.dir(directory) {
            Seen::Known(entries) => entries,
            Seen::Unknown(reason) => {
                self.hidden.get_or_insert(reason);
                &[]
            }
            Seen::Absent | Seen::NotAsked => &[],
        }
    }

    pub(super) fn text(&mut self, path: &HostPath, seen: &Answers) -> Option<String> {
        self.probes.push(Probe::file(path.clone()));
        match seen.file(path) {
            Seen::Known(file) => {
                Some(String::from_utf8_lossy(file.content.as_bytes()).into_owned())
            }
            Seen::Unknown(reason) => {
                self.hidden.get_or_insert(reason);
                None
            }
            Seen::Absent | Seen::NotAsked => None,
        }
    }

    /// systemd-system.conf(5): variables of systemd itself, and of all that it starts.
    fn manager(&mut self, seen: &Answers) {
        let directory = HostPath::literal("/etc/systemd/system.conf.d");
        let mut files = vec![HostPath::literal("/etc/systemd/system.conf")];
        for entry in self.entries(&directory, seen) {
            let name = entry.name.as_bytes();
            files.extend(
                directory
                    .join(name)
                    .ok()
                    .filter(|_| name.ends_with(b".conf")),
            );
        }
        for path in files {
            let text = self.text(&path, seen).unwrap_or_default();
            for one in scan(&text, Syntax::SYSTEMD).assignments {
                let is_meant = matches!(one.key, "DefaultEnvironment" | "ManagerEnvironment");
                if one.section == "Manager" && is_meant {
                    let words = started::split(&one.value).unwrap_or_default();
                    let named = words.iter().flat_map(|word| by_assignment(word));
                    self.add(named.filter(has_no_specifier).collect());
                }
            }
        }
    }

    fn unit(&mut self, unit: &str, files: Files, seen: &Answers) {
        let own = section_of(unit).unwrap_or_default();
        let mut commands: Vec<(String, String)> = Vec::new();
        let mut user = String::new();
        let mut only_start = false;
        let mut directory = None;
        let mut exec_search: Vec<String> = Vec::new();
        let mut read: BTreeSet<(HostPath, bool)> = BTreeSet::new();
        for path in files.main.into_iter().chain(files.drop_ins.into_values()) {
            let Some(text) = self.text(&path, seen) else {
                continue;
            };
            for one in scan(&text, Syntax::SYSTEMD).assignments {
                if one.section != own {
                    continue;
                }
                match one.key {
                    "User" => user = one.value,
                    "DynamicUser" if is_true(&one.value) => {
                        user = unit.to_owned();
                    }
                    // Of `~`, a specifier and nothing, nobody knows it here.
                    "WorkingDirectory" => {
                        let path = one.value.strip_prefix('-').unwrap_or(&one.value);
                        directory = absolute(path, None).filter(has_no_percent);
                    }
                    "ExecSearchPath" if one.value.is_empty() => exec_search.clear(),
                    "ExecSearchPath" => {
                        exec_search.extend(one.value.split(':').map(str::to_owned));
                    }
                    "Environment" => {
                        let words = started::split(&one.value).unwrap_or_default();
                        read.extend(words.iter().flat_map(|word| by_assignment(word)));
                    }
                    "RootDirectory" => read.extend(paths_in([&one.value])),
                    "StandardInput" if one.value.starts_with("file:") => {
                        read.extend(paths_in([&one.value["file:".len()..].to_owned()]));
                    }
                    "BindPaths" | "BindReadOnlyPaths" => read.extend(of_binds(&one.value)),
                    "PermissionsStartOnly" => only_start = is_true(&one.value),
                    key if KEYS.contains(&key) => match one.value.is_empty() {
                        true => commands.retain(|(known, _)| known != key),
                        false => commands.push((key.to_owned(), one.value)),
                    },
                    _ => {}
                }
            }
        }
        let is_root = matches!(user.as_str(), "" | "root" | "0");
        let is_any_root =
            is_root || only_start || commands.iter().any(|(_, command)| privileged(command));
        if is_any_root && !commands.is_empty() {
            self.add(read.into_iter().filter(has_no_specifier).collect());
        }
        for (key, command) in commands {
            // Whoever writes to it chooses the libraries that are loaded (systemd.exec(5)).
            if key == "EnvironmentFile" {
                let file = command.strip_prefix('-').unwrap_or(&command);
                if is_any_root && !file.contains('%') {
                    self.matching(file, seen);
                }
                continue;
            }
            // With `PermissionsStartOnly=`, `User=` is about `ExecStart=` alone.
            let is_root = is_root || only_start && key != "ExecStart";
            let bare = command.trim_start_matches(['@', '-', ':', '+', '!', '|']);
            if is_root || privileged(&command) {
                let prefix = &command[..command.len() - bare.len()];
                let named = match started::split(bare) {
                    // It is for the account's shell.
                    _ if prefix.contains('|') => programs(bare),
                    Some(mut words) => {
                        // The second word is what the program is told that its name is.
                        if prefix.contains('@') && words.len() > 1 {
                            words.remove(1);
                        }
                        programs_of(&words, directory.clone())
                    }
                    None => programs(bare),
                };
                let named = named.into_iter().chain(searched(bare, &exec_search));
                self.add(named.filter(has_no_specifier).collect());
            }
        }
    }
}

/// systemd.syntax(7): "1, yes, true and on are equivalent", in any case.
fn is_true(value: &str) -> bool {
    const YES: [&str; 6] = ["1", "yes", "y", "true", "t", "on"];
    YES.iter().any(|yes| yes.eq_ignore_ascii_case(value))
}

/// Does a command run as root whatever `User` says (systemd.service(5))?
fn privileged(command: &str) -> bool {
    let bare = command.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    command[..command.len() - bare.len()].contains(['+', '!'])
}

/// Where systemd searches for a program that no path names (systemd.service(5), "Command lines";
/// `systemd-path search-binaries-default`).
const SEARCHED: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];

/// The places of a program that is named without a path, where `ExecSearchPath=` says so in other
/// directories.
fn searched(text: &str, instead: &[String]) -> Vec<(HostPath, bool)> {
    let name = text.split_whitespace().next().unwrap_or_default();
    if name.is_empty() || name.contains(['/', '$']) {
        return Vec::new();
    }
    let directories: Vec<HostPath> = match instead {
        [] => SEARCHED.map(HostPath::literal).to_vec(),
        _ => instead
            .iter()
            .filter_map(|one| absolute(one, None))
            .collect(),
    };
    let places = directories.into_iter().flat_map(|directory| {
        let path = directory.join(name.as_bytes());
        [Some(directory), path.ok()].into_iter().flatten()
    });
    places.map(|path| (path, false)).collect()
}

/// What is put in the place of programs or settings (systemd.exec(5), `SOURCE:DESTINATION`); data
/// may be anybody's.
fn of_binds(value: &str) -> BTreeSet<(HostPath, bool)> {
    const MEANT: [&str; 6] = ["/bin", "/etc", "/lib", "/lib64", "/sbin", "/usr"];
    let words = value.split_whitespace();
    let sources = words.filter_map(|word| {
        let (source, rest) = word.trim_start_matches(['-', '+']).split_once(':')?;
        let to = absolute(rest.split(':').next()?, None)?;
        let is_meant = MEANT
            .iter()
            .any(|top| to.is_within(&HostPath::literal(top)));
        absolute(source, None).filter(|_| is_meant)
    });
    sources.map(|path| (path, false)).collect()
}

/// `%h/bin/x` names nothing by itself.
fn has_no_specifier((path, _): &(HostPath, bool)) -> bool {
    has_no_percent(path)
}

fn has_no_percent(path: &HostPath) -> bool {
    !path.as_bytes().contains(&b'%')
}
