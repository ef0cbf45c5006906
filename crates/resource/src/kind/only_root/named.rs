//! Files elsewhere that a program's own configuration names, and that it reads, runs or writes as
//! root without asking whose they are: those of sshd and apt, rsyslog's logs, and what root's own
//! sessions begin with.

use std::collections::BTreeSet;

use model::HostPath;
use model::Probe;
use model::value::Reason;

use super::apt;
use super::command_line::{line_of, programs};
use super::mentioned::{by_assignment, paths_in};
use super::readers::Places;
use crate::Answers;
use crate::apt::conf::Statement;
use crate::apt::sources::{self, Source};
use crate::kind::apt_setting;
use crate::kind::rsyslog;
use crate::kind::sshd::{config, effective, words};

/// The accounts that are root, by their names and homes.
fn roots(found: &mut Places, seen: &Answers) -> Vec<(String, String)> {
    let accounts = seen.accounts().known_or_absent().unwrap_or_else(|reason| {
        found.hidden.get_or_insert(reason);
        None
    });
    let accounts = accounts
        .iter()
        .flat_map(|accounts| &accounts.accounts)
        .filter(|account| account.uid == 0);
    let mut roots: Vec<_> = accounts
        .map(|account| (account.name.clone(), account.home.clone()))
        .collect();
    if roots.is_empty() {
        roots.push(("root".to_owned(), "/root".to_owned()));
    }
    roots
}

/// A file by its path, in this directory where it is not a whole one.
fn in_directory(directory: &str, name: &str) -> Option<HostPath> {
    let whole = match name.starts_with('/') {
        true => name.to_owned(),
        false => format!("{}/{name}", directory.trim_end_matches('/')),
    };
    HostPath::from_bytes(whole.as_bytes()).ok()
}

/// sshd_config(5), "TOKENS", of those that files of accounts may have; none for another one.
fn expand(pattern: &str, name: &str, home: &str) -> Option<HostPath> {
    let mut text = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' => text.push_str(match characters.next()? {
                '%' => "%",
                'h' => home,
                'u' => name,
                'U' => "0",
                _ => return None,
            }),
            other => text.push(other),
        }
    }
    // "taken to be an absolute path or one relative to the user's home directory"
    in_directory(home, &text)
}

/// An option of sshd as a line, or its command line, says it.
struct Said {
    option: String,
    words: Vec<String>,
    condition: Option<String>,
}

impl Said {
    /// Only the first of these counts for one connection; each subsystem has a name of its own.
    fn place(&self) -> (&str, Option<&str>, Option<&str>) {
        let name = (self.option == "subsystem").then(|| self.words.first().map(String::as_str));
        (&self.option, self.condition.as_deref(), name.flatten())
    }
}

/// What sshd_config(5) says of where root's keys are looked for when no line does.
const AUTHORIZED_KEYS: [&str; 2] = [".ssh/authorized_keys", ".ssh/authorized_keys2"];

/// sshd's configuration, and the files that it names: of most of them sshd asks nobody's owner.
/// Keys of hosts are places of their own.
pub(super) fn of_sshd(seen: &Answers) -> Places {
    let (config, probes) = config::read(seen);
    let mut found = Places::of_probes(probes, config.hidden().cloned());
    found.probes.extend(effective::command_line_probes(seen));
    let mut all: Vec<Said> = Vec::new();
    match effective::command_line(seen) {
        Ok(line) => {
            all.extend(line.options.into_iter().map(|forced| Said {
                option: forced.name,
                words: forced.value.split_whitespace().map(str::to_owned).collect(),
                condition: None,
            }));
            if let Some((file, _)) = line.other_file {
                let file = model::printable(file.as_bytes());
                let what = format!("sshd runs with another file, {file}");
                found.hidden.get_or_insert(Reason::Unavailable { what });
            }
        }
        Err(reason) => {
            found.hidden.get_or_insert(reason);
        }
    }
    all.extend(config.lines().map(|line| Said {
        option: line.option.clone(),
        words: line.args.clone(),
        condition: line.condition.clone(),
    }));
    let has_keys_file =
        |said: &Said| said.option == "authorizedkeysfile" && said.condition.is_none();
    if !all.iter().any(has_keys_file) {
        all.push(Said {
            option: "authorizedkeysfile".to_owned(),
            words: AUTHORIZED_KEYS.map(str::to_owned).to_vec(),
            condition: None,
        });
    }
    let mut known = BTreeSet::new();
    let roots = roots(&mut found, seen);
    for said in all.iter().filter(|said| known.insert(said.place())) {
        found.of_option(said, &roots);
    }
    // sshd(8): run by sh(1) for everyone who has no `~/.ssh/rc`.
    found.one(HostPath::literal("/etc/ssh/sshrc"));
    found.one(HostPath::literal("/etc/ssh/moduli"));
    found
}

impl Places {
    fn named(&mut self, path: Option<HostPath>) {
        self.add(path.into_iter().map(|path| (path, false)).collect());
    }

    fn of_option(&mut self, said: &Said, roots: &[(String, String)]) {
        let is_none = |word: &String| word.eq_ignore_ascii_case("none");
        let Some(first) = said.words.first().filter(|word| !is_none(word)) else {
            return;
        };
        let is_about_others = said
            .condition
            .as_deref()
            .is_some_and(words::leaves_out_root);
        match said.option.as_str() {
            // `derelativise_path` in OpenSSH's servconf.c; a service runs in `/`. Of the banner it
            // matters too: where it is a link, sshd shows what only root reads.
            "banner" | "modulifile" | "pidfile" | "revokedkeys" | "sshdauthpath"
            | "sshdsessionpath" | "trustedusercakeys" | "xauthlocation" => {
                self.named(in_directory("/", first));
            }
            // Who answers there signs as this host. `SSH_AUTH_SOCK` and `$NAME` are variables.
            "hostkeyagent" if first.starts_with('/') => {
                let socket = in_directory("/", first);
                self.sockets.extend(socket.clone());
                self.named(socket);
            }
            // root's sessions get them too.
            "setenv" if !is_about_others => {
                self.add(
                    said.words
                        .iter()
                        .flat_map(|word| by_assignment(word))
                        .collect(),
                );
            }
            "securitykeyprovider" if first.starts_with('/') => {
                self.named(in_directory("/", first));
            }
            "authorizedkeyscommand" | "authorizedprincipalscommand" => {
                self.add(programs(&line_of(&said.words)));
                // What it reads says who signs in.
                self.add(paths_in(&said.words[1..]));
            }
            "forcecommand" if !is_about_others => self.add(programs(&line_of(&said.words))),
            "subsystem" if !is_about_others => {
                self.add(programs(&line_of(&said.words[1..])));
            }
            "authorizedkeysfile" | "authorizedprincipalsfile" if !is_about_others => {
                for (name, home) in roots {
                    let files = said.words.iter().filter(|word| !is_none(word));
                    for file in files.filter_map(|word| expand(word, name, home)) {
                        self.named(Some(file));
                    }
                }
            }
            _ => {}
        }
    }
}

const APT: &str = "/etc/apt";
const SOURCES: &str = "/etc/apt/sources.list";
const SOURCE_PARTS: &str = "/etc/apt/sources.list.d";

/// apt.conf(5), "DIRECTORIES": files below `Dir::Etc` that say whose packages are taken.
const ETC: [&str; 10] = [
    "main",
    "netrc",
    "netrcparts",
    "parts",
    "preferences",
    "preferencesparts",
    "sourcelist",
    "sourceparts",
    "trusted",
    "trustedparts",
];

/// The keys that apt's sources name, what `Dir::Etc` names elsewhere, and the programs that apt's
/// settings have root run.
pub(super) fn of_apt(seen: &Answers) -> Places {
    let mut found = Places {
        probes: apt_setting::probes(seen),
        ..Places::default()
    };
    let mut lists = vec![HostPath::literal(SOURCES)];
    let mut parts = vec![HostPath::literal(SOURCE_PARTS)];
    // What a file says that is included from elsewhere is run like all the rest.
    let included = found.probes.iter().filter_map(|probe| match probe {
        Probe::File { path, .. } => Some(path.clone()),
        _ => None,
    });
    let is_elsewhere = |path: &HostPath| !path.is_within(&HostPath::literal(APT));
    let included = included.filter(is_elsewhere).map(|path| (path, true));
    let included: BTreeSet<_> = included.collect();
    found.add(included);
    let statements = match apt_setting::statements(seen) {
        Ok(statements) => statements,
        Err(reason) => {
            found.hidden = Some(reason);
            Vec::new()
        }
    };
    for statement in statements {
        let (key, value) = match statement {
            Statement::Set(setting) => (setting.key, setting.value),
            Statement::Add { key, value } => (key, value),
            _ => continue,
        };
        let key = key.trim_end_matches(':').to_ascii_lowercase();
        found.add(apt::of_setting(&key, &value));
        let Some(name) = key
            .strip_prefix("dir::etc::")
            .filter(|name| ETC.contains(name))
        else {
            continue;
        };
        let Some(path) = in_directory(APT, &value).filter(|_| !value.is_empty()) else {
            continue;
        };
        match name {
            "sourcelist" => lists.push(path.clone()),
            "sourceparts" => parts.push(path.clone()),
            _ => {}
        }
        // Of `/dev/null`, which stands for none, nothing is read.
        if path.as_bytes() != b"/dev/null" {
            found.add([(path, name.ends_with("parts"))].into());
        }
    }
    for path in dpkg_files(&mut found, seen) {
        let text = found.text(&path, seen).unwrap_or_default();
        found.add(text.lines().flat_map(apt::of_dpkg).collect());
    }
    for directory in parts {
        found.probes.push(Probe::Dir {
            path: directory.clone(),
        });
        match seen.files_in(&directory, is_of_sources) {
            Ok(files) => lists.extend(files),
            Err(reason) => {
                found.hidden.get_or_insert(reason);
            }
        }
    }
    for path in lists {
        let Some(text) = found.text(&path, seen) else {
            continue;
        };
        let read = match path.file_name().ends_with(b".sources") {
            true => sources::parse_stanzas(&text),
            false => sources::parse_list(&text),
        };
        match read {
            Ok(sources) => {
                let keys = sources.iter().filter(|source| source.enabled);
                found.add(keys.flat_map(keys_of).map(|key| (key, false)).collect());
            }
            Err(error) => {
                let why = format!("{path}: {error}");
                found.hidden.get_or_insert(Reason::Malformed { why });
            }
        }
    }
    found
}

/// dpkg(1): its configuration.
fn dpkg_files(found: &mut Places, seen: &Answers) -> Vec<HostPath> {
    let directory = HostPath::literal("/etc/dpkg/dpkg.cfg.d");
    found.probes.push(Probe::Dir {
        path: directory.clone(),
    });
    let listed = seen.files_in(&directory, |_| true);
    let mut files = listed.unwrap_or_else(|reason| {
        found.hidden.get_or_insert(reason);
        Vec::new()
    });
    files.push(HostPath::literal("/etc/dpkg/dpkg.cfg"));
    files
}

/// sources.list(5): other names are left out.
fn is_of_sources(name: &[u8]) -> bool {
    name.ends_with(b".list") || name.ends_with(b".sources")
}

/// The files of keys that may sign for a source. The value may be the key itself, or fingerprints.
fn keys_of(source: &Source) -> Vec<HostPath> {
    let Some(option) = source.option("signed-by") else {
        return Vec::new();
    };
    if option.value.contains("-----BEGIN") {
        return Vec::new();
    }
    let words = option.value.split([',', ' ', '\t', '\n']);
    words
        .filter(|word| word.starts_with('/'))
        .filter_map(|word| HostPath::from_bytes(word.as_bytes()).ok())
        .collect()
}

/// The log files that rsyslog's rules name, with their older parts.
pub(super) fn logs_of_rsyslog(seen: &Answers) -> Places {
    let read = rsyslog::config::read(seen);
    let mut found = Places {
        hidden: read.hidden.clone(),
        ..Places::default()
    };
    let files = rsyslog::names_of_files(&read.lines);
    found.probes = read.probes;
    for name in files {
        let Some(path) = in_directory("/", &name).filter(|_| name.starts_with('/')) else {
            continue;
        };
        let Some(directory) = path.parent() else {
            continue;
        };
        // A terminal, or nothing.
        if path.is_within(&HostPath::literal("/dev")) {
            continue;
        }
        let name = path.file_name();
        let is_part = |entry: &[u8]| {
            let rest = entry.strip_prefix(name).unwrap_or_default();
            // logrotate(8): by a number, or with `dateext` by a date.
            rest.len() > 1 && b".-".contains(&rest[0]) && rest[1].is_ascii_digit()
        };
        let names = found.entries(&directory, seen).iter();
        let names = names.map(|entry| entry.name.as_bytes());
        for name in names.filter(|name| is_part(name)) {
            if let Ok(path) = directory.join(name) {
                found.one(path);
            }
        }
        found.one(path);
    }
    found
}

/// Files in a home with which shells begin and end, and programs that people start in them: each
/// may name commands.
const OF_SESSIONS: [&str; 41] = [
    ".bash_aliases",
    ".bash_login",
    ".bash_logout",
    ".bash_profile",
    ".bashrc",
    ".config/environment.d",
    ".config/fish",
    ".config/git/config",
    ".config/nvim",
    ".config/systemd/user",
    ".config/tmux",
    ".cshrc",
    ".emacs",
    ".emacs.d",
    ".exrc",
    ".forward",
    ".gdbinit",
    ".gitconfig",
    ".inputrc",
    ".k5login",
    ".kshrc",
    ".login",
    ".logout",
    ".mailrc",
    ".nanorc",
    ".pam_environment",
    ".profile",
    ".psqlrc",
    ".rhosts",
    ".screenrc",
    ".selected_editor",
    ".ssh",
    ".tcshrc",
    ".tmux.conf",
    ".vim",
    ".vimrc",
    ".zlogin",
    ".zlogout",
    ".zprofile",
    ".zshenv",
    ".zshrc",
];

/// What root's own sessions read from root's home.
pub(super) fn of_root_sessions(seen: &Answers) -> Places {
    let mut found = Places::default();
    for (_, home) in roots(&mut found, seen) {
        let Ok(directory) = HostPath::from_bytes(home.as_bytes()) else {
            continue;
        };
        for name in OF_SESSIONS {
            let path = directory.join(name.as_bytes());
            found.add(path.into_iter().map(|path| (path, true)).collect());
        }
        found.one(directory);
    }
    found
}
