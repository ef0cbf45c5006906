//! Programs that root starts by itself: those that cron's tables and the units of this host name.
//! Who writes to one of them, or to a directory above it, has their commands run as root.
//!
//! Commands are read as sh(1) would begin them, and no further: what a script itself starts is
//! not looked at.

use std::collections::BTreeSet;

use model::value::FileType;
use model::{Blob, HostPath, Probe};

use super::Place;
use super::readers::Places;
use crate::started;
use crate::syntax::scan;
use crate::{Answers, Seen, Syntax};

const CRONTAB: &str = "/etc/crontab";
const CRON_D: &str = "/etc/cron.d";
const SPOOL: &str = "/var/spool/cron/crontabs/root";
/// Where people and tools put units; those of packages are in the last one.
const UNITS: &str = "/etc/systemd/system";
const UNITS_OF_OTHERS: [&str; 2] = ["/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];

/// Programs that start what follows them.
const STARTERS: [&str; 17] = [
    "chronic",
    "command",
    "env",
    "exec",
    "flock",
    "ionice",
    "nice",
    "nohup",
    "setpriv",
    "setsid",
    "sh",
    "stdbuf",
    "sudo",
    "systemd-cat",
    "time",
    "timeout",
    "xargs",
];

/// Programs that run a file that follows them.
const INTERPRETERS: [&str; 10] = [
    "ash", "bash", "dash", "ksh", "node", "perl", "php", "python", "python3", "ruby",
];

/// Words of the shell that a command may follow.
const KEYWORDS: [&str; 9] = [
    "!", "do", "elif", "else", "if", "then", "until", "while", "{",
];

/// What a command line starts, as far as it says so by paths; of run-parts(8), all of a directory.
pub(super) fn programs(text: &str) -> BTreeSet<(HostPath, bool)> {
    let mut found = BTreeSet::new();
    let mut directory: Option<HostPath> = None;
    let text: String = text.chars().filter(|c| !matches!(c, '\'' | '"')).collect();
    for command in text.split([';', '&', '|', '(', ')', '`', '\n']) {
        let mut words = command
            .split_whitespace()
            .skip_while(|word| KEYWORDS.contains(word) || is_assignment(word));
        let Some(first) = words.next() else {
            continue;
        };
        if first == "cd" {
            let to = words.next().unwrap_or_default();
            directory = HostPath::from_bytes(to.as_bytes()).ok();
            continue;
        }
        let mut next = Some(first);
        while let Some(word) = next {
            let path = absolute(word, directory.as_ref());
            let name = word.rsplit('/').next().unwrap_or_default();
            found.extend(path.map(|path| (path, false)));
            let mut arguments = words
                .by_ref()
                .filter(|word| !word.starts_with('-') && !is_assignment(word));
            if name == "run-parts" {
                let path = arguments.next().and_then(|word| absolute(word, None));
                found.extend(path.map(|path| (path, true)));
                break;
            }
            if INTERPRETERS.contains(&name) {
                let path = arguments
                    .next()
                    .and_then(|word| absolute(word, directory.as_ref()));
                found.extend(path.map(|path| (path, false)));
                break;
            }
            if !STARTERS.contains(&name) {
                break;
            }
            // flock(1) names its lock first; timeout(1) and nice(1) a number.
            let lock = usize::from(name == "flock");
            next = arguments
                .skip(lock)
                .find(|word| !word.starts_with(|c: char| c.is_ascii_digit()));
        }
    }
    found
}

/// `NAME=value`
fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

fn absolute(word: &str, directory: Option<&HostPath>) -> Option<HostPath> {
    if word.contains(['$', '*', '?', '>', '<']) {
        return None;
    }
    match word.starts_with('/') {
        true => HostPath::from_bytes(word.as_bytes()).ok(),
        false if word.contains('/') => {
            let name = word.strip_prefix("./").unwrap_or(word);
            directory?.join(name).ok()
        }
        false => None,
    }
}

/// The commands of root in a table of crontab(5), and the directories of its `PATH`. `has_users`:
/// the sixth field is an account.
fn of_crontab(text: &str, has_users: bool) -> BTreeSet<(HostPath, bool)> {
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // `NAME = value`; no field of a time has an equals sign.
        if let Some((name, value)) = line.split_once('=')
            && is_assignment(&format!("{}=", name.trim()))
        {
            if name.trim() == "PATH" {
                let value = value.trim().trim_matches(['"', '\'']);
                let directories = value.split(':').filter_map(|one| absolute(one, None));
                found.extend(directories.map(|path| (path, false)));
            }
            continue;
        }
        let times = if line.starts_with('@') { 1 } else { 5 };
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
        let user = if has_users { field() } else { Some("root") };
        let user = user.and_then(|user| user.split(':').next());
        if matches!(user, Some("root" | "0")) {
            // What follows a `%` is what the command reads.
            found.extend(programs(rest.split('%').next().unwrap_or_default()));
        }
    }
    found
}

pub(super) fn of_cron(seen: &Answers) -> Places {
    let directory = HostPath::literal(CRON_D);
    let mut files = vec![
        (HostPath::literal(CRONTAB), true),
        (HostPath::literal(SPOOL), false),
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
            files.extend(names.filter_map(|name| Some((directory.join(name).ok()?, true))));
        }
        Seen::Unknown(reason) => found.hidden = Some(reason),
        Seen::Absent | Seen::NotAsked => {}
    }
    for (path, has_users) in files {
        match seen.file(&path) {
            Seen::Known(file) => {
                let text = String::from_utf8_lossy(file.content.as_bytes());
                found.add(of_crontab(&text, has_users));
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

const KEYS: [&str; 7] = [
    "ExecCondition",
    "ExecReload",
    "ExecStart",
    "ExecStartPost",
    "ExecStartPre",
    "ExecStop",
    "ExecStopPost",
];

/// What units that are here by hand start as root, and drop-ins for others: main file and drop-ins,
/// with what an empty assignment takes back.
pub(super) fn of_units(seen: &Answers) -> Places {
    let directory = HostPath::literal(UNITS);
    let mut found = Places {
        probes: vec![Probe::Dir {
            path: directory.clone(),
        }],
        ..Places::default()
    };
    let entries = match seen.dir(&directory) {
        Seen::Known(entries) => entries,
        Seen::Unknown(reason) => {
            found.hidden = Some(reason);
            return found;
        }
        Seen::Absent | Seen::NotAsked => return found,
    };
    let mut units: BTreeSet<String> = BTreeSet::new();
    for entry in entries {
        let Some(name) = entry.name.as_text() else {
            continue;
        };
        let unit = match entry.file_type {
            FileType::Directory => name.strip_suffix(".d").unwrap_or_default(),
            _ => name,
        };
        if !unit.ends_with(".service") {
            continue;
        }
        if entry.file_type == FileType::Link
            && let Ok(path) = directory.join(name)
        {
            // An alias, or a unit of a package that is enabled or masked.
            let is_elsewhere = match seen.meta(&path) {
                Seen::Known(meta) => meta.target.as_ref().is_some_and(leads_elsewhere),
                Seen::Unknown(reason) => {
                    found.hidden.get_or_insert(reason);
                    false
                }
                Seen::Absent | Seen::NotAsked => false,
            };
            found.probes.push(Probe::Meta { path });
            if !is_elsewhere {
                continue;
            }
        }
        units.insert(unit.to_owned());
    }
    for unit in units {
        found.unit(&unit, seen);
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
    fn add(&mut self, programs: BTreeSet<(HostPath, bool)>) {
        for (path, below) in programs {
            let place = Place { path, below };
            if !self.places.contains(&place) {
                self.places.push(place);
            }
        }
    }

    fn unit(&mut self, unit: &str, seen: &Answers) {
        let directory = HostPath::literal(UNITS);
        let mut files = Vec::new();
        let mains = [UNITS].into_iter().chain(UNITS_OF_OTHERS);
        for main in mains.filter_map(|main| HostPath::literal(main).join(unit).ok()) {
            self.probes.push(Probe::file(main.clone()));
            if files.is_empty() && !matches!(seen.file(&main), Seen::Absent | Seen::NotAsked) {
                files.push(main);
            }
        }
        if let Ok(drop_ins) = directory.join(format!("{unit}.d")) {
            if let Seen::Known(entries) = seen.dir(&drop_ins) {
                let names = entries.iter().map(|entry| entry.name.as_bytes());
                let mut names: Vec<&[u8]> = names.filter(|name| name.ends_with(b".conf")).collect();
                names.sort_unstable();
                files.extend(
                    names
                        .into_iter()
                        .filter_map(|name| drop_ins.join(name).ok()),
                );
            }
            self.probes.push(Probe::Dir { path: drop_ins });
        }
        let mut commands: Vec<(String, String)> = Vec::new();
        let mut user = String::new();
        for path in files {
            self.probes.push(Probe::file(path.clone()));
            let file = match seen.file(&path) {
                Seen::Known(file) => file,
                Seen::Unknown(reason) => {
                    self.hidden.get_or_insert(reason);
                    continue;
                }
                Seen::Absent | Seen::NotAsked => continue,
            };
            let text = String::from_utf8_lossy(file.content.as_bytes());
            for one in scan(&text, Syntax::SYSTEMD).assignments {
                match (one.section, one.key) {
                    ("Service", "User") => user = one.value,
                    ("Service", "DynamicUser") if one.value == "yes" || one.value == "true" => {
                        user = unit.to_owned();
                    }
                    ("Service", key) if KEYS.contains(&key) => match one.value.is_empty() {
                        true => commands.retain(|(known, _)| known != key),
                        false => commands.push((key.to_owned(), one.value)),
                    },
                    _ => {}
                }
            }
        }
        let is_root = matches!(user.as_str(), "" | "root" | "0");
        for (_, command) in commands {
            let bare = command.trim_start_matches(['@', '-', ':', '+', '!', '|']);
            let prefix = &command[..command.len() - bare.len()];
            // These run as root whatever `User` says (systemd.service(5)).
            if is_root || prefix.contains(['+', '!']) {
                let words = started::split(bare).unwrap_or_else(|| vec![bare.to_owned()]);
                let text = words.join(" ");
                self.add(
                    programs(&text)
                        .into_iter()
                        .filter(has_no_specifier)
                        .collect(),
                );
            }
        }
    }
}

/// `%h/bin/x` names nothing by itself.
fn has_no_specifier((path, _): &(HostPath, bool)) -> bool {
    !path.as_bytes().contains(&b'%')
}
