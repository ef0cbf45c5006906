//! What programs read: the files and directories that count, from what each program itself
//! includes.

use std::collections::BTreeSet;

use model::value::Reason;
use model::{HostPath, Probe};
use schemars::JsonSchema;
use serde::Deserialize;

use super::command_line::programs;
use super::mentioned::paths_in;
use super::{Place, commands, named};
use crate::kind::includes::{self, Include};
use crate::kind::pam_stack;
use crate::kind::rsyslog::config as rsyslog;
use crate::kind::sshd::{config, effective};
use crate::kind::sudoers;
use crate::{Answers, Seen};

/// A program, and which of the files that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reader {
    /// The configuration of sshd: `sshd_config` and all that it includes, and the files and programs
    /// that this names: `TrustedUserCAKeys`, `RevokedKeys`, `AuthorizedKeysCommand` with what its
    /// arguments name, `ForceCommand`, `SshdSessionPath`, `SetEnv LD_PRELOAD=`, `Banner` and their
    /// like, and where root's own keys and principals are looked for.
    Sshd,
    /// The private keys that sshd's `HostKey` names.
    SshdHostKeys,
    /// The public keys beside these, and the certificates that `HostCertificate` names.
    SshdPublicKeys,
    /// The rules of sudo: `sudoers` and all that it includes, and `sudo.conf`.
    Sudo,
    /// The configuration of the dynamic loader: `ld.so.conf`, all that it includes, the
    /// directories that it names, `ld.so.preload` and the libraries that it names; and the libraries
    /// in these directories, and in those where the loader searches anyway.
    Loader,
    /// The configuration of rsyslog: `rsyslog.conf` and all that it includes, and the programs and
    /// modules that this names by their paths.
    Rsyslog,
    /// The log of auditd, where its `log_file` says, and its older parts.
    AuditLog,
    /// The programs that the rules of sudo have run as root, by their paths; `ALL` names none. Also
    /// what its settings and `sudo.conf` name: `env_file`, `mailerpath`, `secure_path`, `runchroot`,
    /// plugins with the files of their arguments.
    SudoCommands,
    /// The programs that the tables of cron and anacron have root run, by their paths or along the table's `PATH`, and
    /// its `SHELL`.
    CronCommands,
    /// The programs that units (services and sockets), and drop-ins of units, have root run, whoever
    /// they are of, the files of their variables (`EnvironmentFile`, `Environment=LD_PRELOAD=`), and
    /// what is searched, read and mounted for them (`ExecSearchPath`, `StandardInput`, `BindPaths`).
    UnitCommands,
    /// The programs that udev's rules run.
    UdevCommands,
    /// The programs that the system's D-Bus starts as root.
    DbusCommands,
    /// The modules of PAM, and what the files of its services name by its whole path: modules, programs
    /// of `pam_exec`, and files that are included from elsewhere.
    Pam,
    /// The keys that apt's sources name (`signed-by`), the files, directories and programs that apt's
    /// settings name by `Dir`, what they include from elsewhere, and the programs that these and dpkg's
    /// have root run (`DPkg::Pre-Invoke`, `AptCli::Hooks`).
    Apt,
    /// The programs that the scripts of logrotate run as root, and files that it includes from
    /// elsewhere.
    LogrotateCommands,
    /// The log files that rsyslog's rules name, wherever they lie, and their older parts.
    RsyslogLogs,
    /// What sessions of root read from root's home: the files with which shells begin and end, `.ssh`,
    /// and those of editors and other programs that name commands.
    RootSessions,
}

impl Reader {
    /// Programs, which may lie in somebody's home: they are not given to root there.
    pub const fn is_of_programs(self) -> bool {
        matches!(
            self,
            Self::SudoCommands
                | Self::CronCommands
                | Self::UnitCommands
                | Self::UdevCommands
                | Self::DbusCommands
                | Self::LogrotateCommands
        )
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Sshd => "sshd",
            Self::SshdHostKeys => "sshd_host_keys",
            Self::SshdPublicKeys => "sshd_public_keys",
            Self::Sudo => "sudo",
            Self::Loader => "loader",
            Self::Rsyslog => "rsyslog",
            Self::AuditLog => "audit_log",
            Self::SudoCommands => "sudo_commands",
            Self::CronCommands => "cron_commands",
            Self::UnitCommands => "unit_commands",
            Self::UdevCommands => "udev_commands",
            Self::DbusCommands => "dbus_commands",
            Self::Pam => "pam",
            Self::Apt => "apt",
            Self::LogrotateCommands => "logrotate_commands",
            Self::RsyslogLogs => "rsyslog_logs",
            Self::RootSessions => "root_sessions",
        }
    }
}

/// Where a program reads, as far as the answers tell.
#[derive(Default)]
pub struct Places {
    pub places: Vec<Place>,
    /// Directories that count where a file in them, the second of each, is not there.
    pub makers: BTreeSet<(HostPath, HostPath)>,
    pub probes: Vec<Probe>,
    /// Why places may be missing, where some may.
    pub hidden: Option<Reason>,
    /// Places where the program asks another one by a socket.
    pub sockets: BTreeSet<HostPath>,
    /// A group that the program's own configuration lets read.
    pub readers: Vec<String>,
}

impl Places {
    pub(super) fn one(&mut self, path: HostPath) {
        self.places.push(Place { path, below: false });
    }

    /// What is read in order to know what is read: these files, and the names in these
    /// directories.
    pub(super) fn of_probes(probes: Vec<Probe>, hidden: Option<Reason>) -> Self {
        let mut found = Self::default();
        for probe in &probes {
            if let Probe::File { path, .. } | Probe::Dir { path } = probe {
                found.one(path.clone());
            }
        }
        Self {
            probes,
            hidden,
            ..found
        }
    }
}

pub fn places(reader: Reader, seen: &Answers) -> Places {
    match reader {
        Reader::Sshd => named::of_sshd(seen),
        Reader::Sudo => {
            let (rules, probes) = sudoers::read(seen);
            // A line that is not understood hides no file.
            let hidden = rules.hidden().filter(|reason| !is_malformed(reason));
            Places::of_probes(probes, hidden.cloned())
        }
        Reader::SshdHostKeys => host_keys(seen, |path| Some(path.clone())),
        Reader::SshdPublicKeys => {
            let mut found = host_keys(seen, |path| {
                HostPath::from_bytes(&[path.as_bytes(), b".pub"].concat()).ok()
            });
            let (config, _) = config::read(seen);
            if let Some(reason) = config.hidden() {
                found.hidden.get_or_insert_with(|| reason.clone());
            }
            let lines = config.lines_of("hostcertificate");
            let names = lines.filter_map(|line| line.args.first());
            for path in names.filter_map(|name| HostPath::from_bytes(name.as_bytes()).ok()) {
                found.one(path);
            }
            found
        }
        Reader::Loader => loader(seen),
        Reader::Rsyslog => {
            let read = rsyslog::read(seen);
            let run = crate::kind::rsyslog::run_by(&read.lines);
            let mut found = Places::of_probes(read.probes, read.hidden);
            found.add(
                run.commands
                    .iter()
                    .flat_map(|line| programs(line))
                    .collect(),
            );
            found.add(paths_in(&run.modules));
            found
        }
        Reader::AuditLog => audit_log(seen),
        Reader::SudoCommands => commands::of_sudo(seen),
        Reader::CronCommands => commands::of_cron(seen),
        Reader::UnitCommands => commands::of_units(seen),
        Reader::UdevCommands => commands::of_udev(seen),
        Reader::DbusCommands => commands::of_dbus(seen),
        Reader::Pam => pam(seen),
        Reader::Apt => named::of_apt(seen),
        Reader::LogrotateCommands => commands::of_logrotate(seen),
        Reader::RsyslogLogs => named::logs_of_rsyslog(seen),
        Reader::RootSessions => named::of_root_sessions(seen),
    }
}

const fn is_malformed(reason: &Reason) -> bool {
    matches!(reason, Reason::Malformed { .. })
}

/// sshd_config(5), HostKey: the default.
const HOST_KEYS: [&str; 3] = [
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_ed25519_key",
];

fn host_keys(seen: &Answers, file: fn(&HostPath) -> Option<HostPath>) -> Places {
    let (config, mut probes) = config::read(seen);
    probes.push(effective::probe(Vec::new()));
    probes.extend(effective::command_line_probes(seen));
    let mut found = Places {
        probes,
        ..Places::default()
    };
    let mut names: Vec<String> = match effective::ask(seen, &[]) {
        Ok(effective) => effective.values("hostkey").to_vec(),
        // Not asked, or no answer: its files say it too.
        Err(_) => {
            found.hidden = config.hidden().cloned();
            let lines = config.lines_of("hostkey");
            let named: Vec<String> = lines
                .filter_map(|line| line.args.first().cloned())
                .collect();
            match named.is_empty() {
                true => HOST_KEYS.map(str::to_owned).to_vec(),
                false => named,
            }
        }
    };
    match effective::command_line(seen) {
        Ok(line) => {
            let keys = line
                .options
                .into_iter()
                .filter(|forced| forced.name == "hostkey");
            names.extend(keys.map(|forced| forced.value));
            if let Some((file, _)) = line.other_file {
                let file = model::printable(file.as_bytes());
                let what = format!("sshd runs with another file, {file}");
                found.hidden = Some(Reason::Unavailable { what });
            }
        }
        Err(reason) => found.hidden = Some(reason),
    }
    for name in names {
        let path = HostPath::from_bytes(name.as_bytes()).ok();
        if let Some(path) = path.as_ref().and_then(file) {
            found.one(path);
        }
    }
    found
}

/// Debian's names of architectures, in whose directories libraries and PAM's modules lie.
const TRIPLETS: [&str; 8] = [
    "aarch64-linux-gnu",
    "arm-linux-gnueabihf",
    "i386-linux-gnu",
    "loongarch64-linux-gnu",
    "powerpc64le-linux-gnu",
    "riscv64-linux-gnu",
    "s390x-linux-gnu",
    "x86_64-linux-gnu",
];

/// What lies in a directory and in those of the architectures below it. They are asked for at once:
/// there are few rounds of questions.
fn of_architectures(top: &str) -> Vec<HostPath> {
    let below = TRIPLETS.map(|triplet| format!("{top}/{triplet}"));
    let all = std::iter::once(top.to_owned()).chain(below);
    all.filter_map(|path| HostPath::from_bytes(path.as_bytes()).ok())
        .collect()
}

/// `libz.so.1`, `ld-linux-x86-64.so.2`
fn is_library(name: &[u8]) -> bool {
    let at = name.windows(3).position(|part| part == b".so");
    at.is_some_and(|at| matches!(name.get(at + 3), None | Some(b'.')))
}

/// ldconfig(8): a line names a directory, or includes files.
fn ld_include(line: &str) -> Option<Include<'_>> {
    let rest = line.trim().strip_prefix("include")?;
    let pattern = rest.strip_prefix([' ', '\t'])?.trim();
    Some(Include::Pattern(pattern))
}

fn loader(seen: &Answers) -> Places {
    let main = HostPath::literal("/etc/ld.so.conf");
    let read = includes::read(seen, &main, ld_include, false);
    let mut found = Places::of_probes(read.probes, read.hidden);
    // ld.so(8): "in the default path /lib, and then /usr/lib", on Debian with its architectures'.
    let mut usual = of_architectures("/usr/lib");
    usual.extend(of_architectures("/usr/local/lib"));
    for directory in &usual {
        found.one(directory.clone());
        let names = found.entries(directory, seen).iter();
        let names = names.map(|entry| entry.name.as_bytes());
        for name in names.filter(|name| is_library(name)) {
            if let Ok(path) = directory.join(name) {
                found.one(path);
            }
        }
    }
    for (_, line) in &read.lines {
        // `#` begins a comment, and `DIR=TYPE` is an old form.
        let line = line.split('#').next().unwrap_or_default().trim();
        let directory = line.split('=').next().unwrap_or_default().trim();
        if let Ok(path) = HostPath::from_bytes(directory.as_bytes()) {
            let merged = [b"/usr", path.as_bytes()].concat();
            let is_usual = |usual: &HostPath| {
                usual.as_bytes() == path.as_bytes() || usual.as_bytes() == merged
            };
            match usual.iter().any(is_usual) {
                true => found.one(path),
                // Another program's own: all that it holds is loaded or is beside it.
                false => found.places.push(Place { path, below: true }),
            }
        }
    }
    let preload = HostPath::literal("/etc/ld.so.preload");
    if let Some(text) = found.text(&preload, seen) {
        let lines = text.lines().filter_map(|line| line.split('#').next());
        // ld.so(8): separated by white space or colons.
        for name in lines.flat_map(|line| line.split([' ', '\t', ':'])) {
            if let Ok(path) = HostPath::from_bytes(name.as_bytes()) {
                found.one(path);
            }
        }
    }
    found.one(preload);
    found
}

/// auditd.conf(5): `log_file`, and `log_group`, who may read it. Older parts are `FILE.1`, ….
fn audit_log(seen: &Answers) -> Places {
    let conf = HostPath::literal("/etc/audit/auditd.conf");
    let mut found = Places {
        probes: vec![Probe::file(conf.clone())],
        ..Places::default()
    };
    let mut log = HostPath::literal("/var/log/audit/audit.log");
    match seen.file(&conf) {
        Seen::Known(file) => {
            let text = String::from_utf8_lossy(file.content.as_bytes());
            for line in text.lines() {
                let Some((key, value)) = line.split_once('=') else {
                    continue;
                };
                let value = value.trim();
                match key.trim().to_ascii_lowercase().as_str() {
                    "log_file" => match HostPath::from_bytes(value.as_bytes()) {
                        Ok(path) => log = path,
                        Err(error) => {
                            let why = format!("{conf}: log_file: {error}");
                            found.hidden = Some(Reason::Malformed { why });
                        }
                    },
                    "log_group" => found.readers = vec![value.to_owned()],
                    _ => {}
                }
            }
        }
        Seen::Absent | Seen::NotAsked => {}
        Seen::Unknown(reason) => found.hidden = Some(reason),
    }
    let Some(directory) = log.parent() else {
        return found;
    };
    let older = [log.file_name(), b"."].concat();
    let names = found.entries(&directory, seen).iter();
    let names = names.map(|entry| entry.name.as_bytes());
    for name in names.filter(|name| name.starts_with(&older)) {
        if let Ok(path) = directory.join(name) {
            found.one(path);
        }
    }
    found.one(directory);
    found.one(log);
    found
}

/// Where the files of services lie (pam.d(5)).
const SERVICES: [&str; 2] = [pam_stack::DIRECTORY, "/usr/lib/pam.d"];
/// A host with many services has fifty.
const MOST_SERVICES: usize = 512;

/// pam.d(5): all of these run as root in whatever signs somebody in.
fn pam(seen: &Answers) -> Places {
    let mut found = Places::default();
    // pam.d(5): a module that is no whole path is searched for here.
    for top in of_architectures("/usr/lib") {
        if let Ok(path) = top.join(b"security") {
            found.places.push(Place { path, below: true });
        }
    }
    let mut files: Vec<HostPath> = Vec::new();
    for directory in SERVICES.map(HostPath::literal) {
        found.probes.push(Probe::Dir {
            path: directory.clone(),
        });
        match seen.dir(&directory) {
            Seen::Known(entries) => {
                let names = entries.iter().map(|entry| entry.name.as_bytes());
                files.extend(names.filter_map(|name| directory.join(name).ok()));
            }
            Seen::Absent | Seen::NotAsked => {}
            Seen::Unknown(reason) => found.hidden = Some(reason),
        }
    }
    let mut at = 0;
    while let Some(file) = files.get(at).cloned() {
        at += 1;
        if at > MOST_SERVICES {
            let what = format!("more than {MOST_SERVICES} files of services");
            found.hidden = Some(Reason::Unavailable { what });
            break;
        }
        found.probes.push(Probe::file(file.clone()));
        match seen.file(&file) {
            Seen::Known(read) => {
                let text = String::from_utf8_lossy(read.content.as_bytes()).replace("\\\n", " ");
                for named in text.lines().flat_map(named_by_path) {
                    let Ok(path) = HostPath::from_bytes(named.path.as_bytes()) else {
                        continue;
                    };
                    if named.is_included && !files.contains(&path) {
                        files.push(path.clone());
                    }
                    found.one(path);
                }
            }
            Seen::Absent | Seen::NotAsked => {}
            Seen::Unknown(reason) => found.hidden = Some(reason),
        }
    }
    found
}

struct Named<'a> {
    path: &'a str,
    /// Is it a file of the same form?
    is_included: bool,
}

/// What a line names by its whole path.
fn named_by_path(line: &str) -> Vec<Named<'_>> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let mut before: Vec<&str> = Vec::new();
    let mut named = Vec::new();
    for word in line.split_whitespace() {
        // An argument with spaces stands in brackets.
        let path = word.trim_start_matches('[').trim_end_matches(']');
        if path.starts_with('/') {
            let is_included = matches!(before.last(), Some(&("@include" | "include" | "substack")));
            named.push(Named { path, is_included });
        }
        before.push(word);
    }
    named
}

#[cfg(test)]
mod tests {
    use super::named_by_path;

    #[test]
    fn what_a_service_names_by_its_path() {
        let check = |line: &str, wanted: &[(&str, bool)]| {
            let named = named_by_path(line);
            let named: Vec<_> = named
                .iter()
                .map(|one| (one.path, one.is_included))
                .collect();
            assert_eq!(named, wanted, "{line}");
        };
        check("auth required pam_unix.so nullok", &[]);
        check(
            "auth required /opt/pam_x.so # /not/this",
            &[("/opt/pam_x.so", false)],
        );
        check(
            "-session [success=ok default=ignore] pam_exec.so quiet /opt/run /etc/x",
            &[("/opt/run", false), ("/etc/x", false)],
        );
        check("@include /opt/common", &[("/opt/common", true)]);
        check("auth substack /opt/more", &[("/opt/more", true)]);
        check(
            "session optional pam_exec.so [/opt/a b]",
            &[("/opt/a", false)],
        );
        check(
            "session optional pam_env.so envfile=/etc/default/locale",
            &[],
        );
    }
}
