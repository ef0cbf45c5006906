//! What a command of sudoers(5) reaches: some programs run whatever they are told, so that the
//! right to start one of them is the right to do anything.

use regex::RegexBuilder;

use super::grammar::Member;
use crate::kind::files_where::glob_matches;

/// What may be run with a rule's command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// What it says, as far as we know.
    Limited,
    /// Anything: `ALL`.
    All,
    /// A program that starts any other or changes any file: which one.
    Through(String),
    /// Can't be told, and why.
    Untold(String),
}

/// Programs that run what they are told, read commands, or write to any file, by their own
/// documentation (each has a way for a shell, a command, a file of the caller's, or an account of
/// any rights). What GTFOBins names as a way by sudo, as far as Debian has it and it does not only
/// show a file.
const OPEN: &[&str] = &[
    "adduser",
    "ansible",
    "ansible-console",
    "ansible-playbook",
    "apache2",
    "apt",
    "apt-get",
    "aptitude",
    "aria2c",
    "ash",
    "at",
    "awk",
    "bash",
    "batch",
    "borg",
    "bpftrace",
    "buildah",
    "bundle",
    "busctl",
    "busybox",
    "bwrap",
    "byobu",
    "capsh",
    "cargo",
    "certbot",
    "chef-client",
    "chmod",
    "choom",
    "chown",
    "chpasswd",
    "chronic",
    "chroot",
    "chrt",
    "composer",
    "cp",
    "cpan",
    "cpio",
    "cpulimit",
    "crontab",
    "csh",
    "ctr",
    "curl",
    "dash",
    "dd",
    "debugfs",
    "dhclient",
    "dmesg",
    "dmsetup",
    "docker",
    "docker-compose",
    "dpkg",
    "dpkg-reconfigure",
    "ed",
    "emacs",
    "env",
    "etckeeper",
    "ex",
    "exim4",
    "expect",
    "faketime",
    "find",
    "fish",
    "flock",
    "ftp",
    "g++",
    "gawk",
    "gcc",
    "gdb",
    "gem",
    "git",
    "gnuplot",
    "gpasswd",
    "ifup",
    "insmod",
    "install",
    "ionice",
    "ip6tables",
    "iptables",
    "irb",
    "java",
    "journalctl",
    "jrunscript",
    "julia",
    "kexec",
    "ksh",
    "kubectl",
    "ldconfig",
    "less",
    "lftp",
    "ln",
    "logrotate",
    "logsave",
    "ltrace",
    "lua",
    "lxc",
    "machinectl",
    "mail",
    "make",
    "man",
    "mawk",
    "mc",
    "modprobe",
    "more",
    "mount",
    "msgfilter",
    "multitime",
    "mutt",
    "mv",
    "nano",
    "nawk",
    "needrestart",
    "nerdctl",
    "nginx",
    "nice",
    "nmap",
    "node",
    "nohup",
    "npm",
    "nsenter",
    "numactl",
    "openssl",
    "openvpn",
    "parallel",
    "passwd",
    "patch",
    "perf",
    "perl",
    "php",
    "pip",
    "pip3",
    "pipenv",
    "pkexec",
    "podman",
    "posh",
    "prlimit",
    "puppet",
    "python",
    "python3",
    "rake",
    "ranger",
    "rbash",
    "rclone",
    "restic",
    "rlwrap",
    "rpm",
    "rsync",
    "rsyslogd",
    "ruby",
    "run-parts",
    "runc",
    "runuser",
    "salt-call",
    "scp",
    "screen",
    "script",
    "sed",
    "setarch",
    "setcap",
    "setfacl",
    "setpriv",
    "setsid",
    "sftp",
    "sh",
    "shuf",
    "snap",
    "socat",
    "sort",
    "split",
    "sqlite3",
    "ssh",
    "ssh-keygen",
    "sshd",
    "sshpass",
    "start-stop-daemon",
    "stdbuf",
    "strace",
    "su",
    "sudo",
    "sysctl",
    "systemd-cat",
    "systemd-nspawn",
    "systemd-run",
    "tar",
    "taskset",
    "tclsh",
    "tcpdump",
    "tee",
    "telnet",
    "time",
    "timeout",
    "tmux",
    "truncate",
    "unshare",
    "unsquashfs",
    "unzip",
    "update-alternatives",
    "useradd",
    "usermod",
    "vagrant",
    "valgrind",
    "vi",
    "vigr",
    "vim",
    "vimdiff",
    "vipw",
    "virsh",
    "visudo",
    "w3m",
    "watch",
    "wg-quick",
    "wget",
    "xargs",
    "xdotool",
    "yarn",
    "zip",
];

/// Shells, which are open with no argument at all too, or after `-c`.
const SHELLS: [&str; 11] = [
    "ash", "bash", "csh", "dash", "fish", "ksh", "rbash", "sh", "su", "sudo", "zsh",
];

/// Those that are open with no argument at all: they ask for commands, start a shell, or change what
/// makes root.
const ALONE: &[&str] = &[
    "aptitude", "byobu", "expect", "ftp", "irb", "julia", "lftp", "lua", "mc", "mutt", "node",
    "passwd", "perl", "php", "posh", "python", "python3", "ranger", "ruby", "setarch", "sqlite3",
    "tclsh", "telnet", "unshare", "vigr", "vimdiff", "vipw", "visudo",
];

/// Editors and pagers, which start a shell whatever file they show.
const INTERACTIVE: [&str; 24] = [
    "editor",
    "ed",
    "emacs",
    "ex",
    "gdb",
    "less",
    "man",
    "more",
    "most",
    "nano",
    "pager",
    "pico",
    "rview",
    "rvim",
    "screen",
    "script",
    "sensible-editor",
    "sensible-pager",
    "tmux",
    "vi",
    "view",
    "vim",
    "vim.basic",
    "vim.tiny",
];

/// Programs that start what their arguments name, with a path of its own after these words that
/// begin with a slash.
const STARTERS: [(&str, usize); 29] = [
    ("choom", 0),
    ("chronic", 0),
    ("chroot", 1),
    ("chrt", 0),
    ("cpulimit", 0),
    ("env", 0),
    ("faketime", 0),
    ("flock", 1),
    ("ionice", 0),
    ("linux32", 0),
    ("linux64", 0),
    ("logsave", 1),
    ("ltrace", 0),
    ("nice", 0),
    ("nohup", 0),
    ("nsenter", 0),
    ("numactl", 0),
    ("prlimit", 0),
    ("setarch", 0),
    ("setpriv", 0),
    ("setsid", 0),
    ("stdbuf", 0),
    ("strace", 0),
    ("systemd-cat", 0),
    ("systemd-run", 0),
    ("taskset", 0),
    ("time", 0),
    ("timeout", 0),
    ("unshare", 0),
];

/// Clients that have a prompt with a way to a shell, but where they are given what to do.
const PROMPTS: [(&str, &[&str]); 3] = [
    ("mariadb", &["-e", "--execute"]),
    ("mysql", &["-e", "--execute"]),
    ("psql", &["-c", "--command", "-l", "--list"]),
];

/// Words among the arguments with which a program starts an editor or a pager, or reads what the
/// caller has written.
const BY_WORD: [(&str, &[&str]); 3] = [
    ("crontab", &["-e", "-"]),
    (
        "git",
        &[
            "blame",
            "branch",
            "commit",
            "config",
            "diff",
            "difftool",
            "help",
            "log",
            "merge",
            "mergetool",
            "rebase",
            "reflog",
            "shortlog",
            "show",
            "tag",
        ],
    ),
    ("systemctl", &["edit", "link", "revert"]),
];

/// Programs whose first argument says what they do, and what of it runs or writes what it is told.
const BY_SUBCOMMAND: [(&str, &[&str]); 3] = [
    (
        "docker",
        &[
            "build",
            "builder",
            "buildx",
            "compose",
            "container",
            "context",
            "cp",
            "create",
            "exec",
            "export",
            "image",
            "plugin",
            "run",
            "save",
            "service",
            "stack",
            "swarm",
        ],
    ),
    (
        "podman",
        &[
            "build",
            "container",
            "cp",
            "create",
            "exec",
            "export",
            "farm",
            "generate",
            "image",
            "kube",
            "play",
            "pod",
            "run",
            "save",
            "volume",
        ],
    ),
    // A unit by its path; and the caller chooses the unit as well as what is done with it.
    (
        "systemctl",
        &[
            "edit",
            "enable",
            "link",
            "reenable",
            "revert",
            "set-property",
        ],
    ),
];

const DIRECTORIES: [&str; 4] = ["/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/"];

/// Who writes to one of these is root.
const RULES: [&str; 4] = ["/etc/sudoers", "/etc/passwd", "/etc/shadow", "/etc/crontab"];

/// A pattern may compile to this much, and no more.
const PATTERN_LIMIT_BYTES: usize = 1 << 18;

/// Is it a shell, or what starts one?
pub fn is_shell(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or_default();
    SHELLS.contains(&name)
}

/// What one command reaches, aliases aside.
pub fn reach(member: &Member) -> Reach {
    let command = member.name.as_str();
    if member.negated {
        return Reach::Limited;
    }
    if command == "ALL" {
        return Reach::All;
    }
    let (program, arguments) = divide(command);
    let arguments = arguments.trim();
    if program == "sudoedit" {
        return edits(arguments);
    }
    // sudoers(5): `""` allows no argument, and so does an expression that matches nothing.
    let has_none = matches!(arguments, "\"\"" | "^$");
    let is_any = matches!(arguments, "" | "*" | "^.*$");
    let confines_nothing = is_any || is_free(arguments);
    let matcher = match Matcher::of(program) {
        Ok(matcher) => matcher,
        Err(why) => return Reach::Untold(why),
    };
    // The loader starts what it is told (ld.so(8)).
    let name = program.rsplit('/').next().unwrap_or_default();
    if name.starts_with("ld-linux") || matches!(name, "ld.so" | "ld64.so") {
        return match (confines_nothing, has_none) {
            (true, _) => Reach::Through(program.to_owned()),
            (_, true) => Reach::Limited,
            _ => started(arguments, 0),
        };
    }
    let path_of = |name: &str| {
        let paths = DIRECTORIES.map(|directory| format!("{directory}{name}"));
        paths.into_iter().find(|path| matcher.matches(path))
    };
    if !is_any && !has_none {
        let is_named = |name: &str| path_of(name).is_some_and(|path| path == program);
        for (name, skipped) in STARTERS {
            if is_named(name) {
                return started(arguments, skipped);
            }
        }
        for (name, open) in BY_SUBCOMMAND {
            let first = arguments.split_whitespace().next().unwrap_or_default();
            let is_plain = first.bytes().all(|byte| byte.is_ascii_lowercase());
            if is_named(name) && is_plain && !open.contains(&first) {
                return Reach::Limited;
            }
        }
    }
    let exact = |name: &str| path_of(name).filter(|path| path == program);
    if let Some(path) = exact("ip") {
        return in_namespace(arguments, is_any).map_or(Reach::Limited, |reach| {
            reach.unwrap_or(Reach::Through(path))
        });
    }
    if let Some(path) = exact("service") {
        // `service ../../bin/sh`
        let first = arguments.split_whitespace().next().unwrap_or_default();
        return match is_any || is_free(first) || first.contains('/') {
            true => Reach::Through(path),
            false => Reach::Limited,
        };
    }
    // It reads the rules of the directory that the caller is in.
    if let Some(path) = exact("make")
        && !arguments.split_whitespace().any(|word| word == "-C")
    {
        return Reach::Through(path);
    }
    for (name, instead) in PROMPTS {
        if let Some(path) = exact(name) {
            let is_told = |word: &str| instead.iter().any(|option| word.starts_with(option));
            if confines_nothing || !arguments.split_whitespace().any(is_told) {
                return Reach::Through(path);
            }
        }
    }
    for (name, words) in BY_WORD {
        let mut all = arguments.split_whitespace();
        if let Some(path) = exact(name)
            && all.any(|word| words.contains(&word))
        {
            return Reach::Through(path);
        }
    }
    let by_subcommand = BY_SUBCOMMAND.iter().map(|(name, _)| name);
    let names = OPEN
        .iter()
        .chain(by_subcommand)
        .filter(|_| confines_nothing);
    let names = names.chain(
        SHELLS
            .iter()
            .filter(|_| confines_nothing || has_none || arguments.starts_with("-c ^")),
    );
    let names = names.chain(ALONE.iter().filter(|_| has_none));
    let names = names.chain(INTERACTIVE.iter());
    let of_version = without_version(program);
    for name in names {
        if let Some(path) = path_of(name) {
            return Reach::Through(path);
        }
        if of_version == Some(*name) {
            return Reach::Through(program.to_owned());
        }
    }
    Reach::Limited
}

/// `python` of `/usr/bin/python3.13`, `gcc` of `/usr/bin/gcc-12`, `vim` of `/usr/bin/vim.nox`.
fn without_version(program: &str) -> Option<&str> {
    let mut directories = DIRECTORIES.iter();
    let name = directories.find_map(|directory| program.strip_prefix(directory))?;
    if let Some(("vim", _)) = name.split_once('.') {
        return Some("vim");
    }
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let bare = bare.strip_suffix('-').unwrap_or(bare);
    (bare != name).then_some(bare)
}

/// The program of a command, and its arguments.
pub fn divide(command: &str) -> (&str, &str) {
    match command.strip_prefix('^') {
        // A regular expression ends at a `$` that nothing but white space follows.
        Some(rest) => match rest.find("$ ") {
            Some(at) => (&command[..at + 2], command[at + 3..].trim()),
            None => (command, ""),
        },
        None => command.split_once([' ', '\t']).unwrap_or((command, "")),
    }
}

/// What a regular expression begins with, for each of its branches: the text before what may be
/// several, and whether that is all. Groups are taken apart, up to a bound.
pub fn alternatives(expression: &str) -> Vec<(String, bool)> {
    let bare = expression.strip_prefix('^').unwrap_or(expression);
    let bare = bare.strip_suffix('$').unwrap_or(bare);
    let mut todo = vec![bare.to_owned()];
    let mut found = Vec::new();
    let mut rounds = 0;
    while let Some(text) = todo.pop() {
        rounds += 1;
        let parts = branches(&text);
        if parts.len() > 1 && rounds < MOST_BRANCHES {
            todo.extend(parts.into_iter().map(str::to_owned));
            continue;
        }
        match group(&text).filter(|_| rounds < MOST_BRANCHES) {
            Some((before, inner, after)) => {
                let (after, is_optional) = match after.strip_prefix('?') {
                    Some(rest) => (rest, true),
                    None => (after, false),
                };
                let inner = inner.trim_start_matches("?:");
                let inner = branches(inner).into_iter();
                let none = is_optional.then_some("");
                let joined = inner.chain(none).map(|one| format!("{before}{one}{after}"));
                todo.extend(joined);
            }
            None => found.push(literal(&text)),
        }
    }
    found
}

/// More than anybody writes out.
const MOST_BRANCHES: usize = 256;

/// The parts between the `|` that stand in no group or set.
fn branches(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start, mut is_escaped, mut in_set) = (0usize, 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            ']' => in_set = false,
            _ if in_set => {}
            '[' => in_set = true,
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The first group that only literal text stands before, which is there once or not at all.
fn group(text: &str) -> Option<(&str, &str, &str)> {
    let begin = literal_end(text);
    let rest = text[begin..].strip_prefix('(')?;
    let (mut depth, mut is_escaped) = (1usize, false);
    for (at, c) in rest.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let after = &rest[at + 1..];
            let is_once = !after.starts_with(['*', '+', '{']);
            return is_once.then_some((&text[..begin], &rest[..at], after));
        }
    }
    None
}

/// Where the text ends that stands for itself.
fn literal_end(text: &str) -> usize {
    let mut characters = text.char_indices().peekable();
    let mut end = 0;
    while let Some((at, c)) = characters.next() {
        let is_class = match c {
            // `\d`, `\w`, `\s`
            '\\' => characters
                .next()
                .is_none_or(|(_, next)| next.is_ascii_alphanumeric()),
            c => ".[]()*+?{}|^$".contains(c),
        };
        let is_repeated = characters
            .peek()
            .is_some_and(|(_, next)| "*+?{".contains(*next));
        if is_class || is_repeated {
            return at;
        }
        end = characters.peek().map_or(text.len(), |(next, _)| *next);
    }
    end
}

/// The text that stands for itself, without its escapes.
fn literal(text: &str) -> (String, bool) {
    let end = literal_end(text);
    (text[..end].replace('\\', ""), end == text.len())
}

/// A regular expression as sudo takes it: POSIX extended, and `(?i)`, which mean the same here.
pub fn expression(text: &str) -> Option<regex::Regex> {
    RegexBuilder::new(text)
        .size_limit(PATTERN_LIMIT_BYTES)
        .build()
        .ok()
}

/// Do these arguments confine nothing? A `*` matches any text, blanks and so further options and
/// arguments among it (sudoers(5), "Wildcards in command arguments"); so does `.*` or `.+` of a
/// regular expression.
fn is_free(arguments: &str) -> bool {
    match arguments.starts_with('^') {
        true => [".*", ".+"].iter().any(|any| arguments.contains(any)),
        false => {
            let mut before = None;
            arguments.chars().any(|letter| {
                let is_star = letter == '*' && before != Some('\\');
                before = Some(letter);
                is_star
            })
        }
    }
}

/// `ip netns exec NAME COMMAND`: what that reaches, or the program itself (an inner none); none
/// where it is about something else.
fn in_namespace(arguments: &str, is_any: bool) -> Option<Option<Reach>> {
    if is_any {
        return Some(None);
    }
    let mut rest = arguments;
    for (at, wanted) in ["netns", "exec"].into_iter().enumerate() {
        loop {
            let word = rest.split_whitespace().next()?;
            let end = rest.find(word).unwrap_or(0) + word.len();
            if is_free(word) {
                return Some(None);
            }
            if at == 0 && word.starts_with('-') {
                // A file of commands.
                if "-batch".starts_with(word) && word.len() > 1 {
                    return Some(None);
                }
                rest = &rest[end..];
                continue;
            }
            if word != wanted {
                return None;
            }
            rest = &rest[end..];
            break;
        }
    }
    Some(match is_free(rest) {
        true => None,
        false => Some(started(rest, 0)),
    })
}

/// What a program that starts another reaches by that one: the first word with a slash at its
/// beginning, after as many as are skipped.
fn started(arguments: &str, skipped: usize) -> Reach {
    let mut rest = arguments;
    let mut left = skipped;
    loop {
        let word = rest.split_whitespace().next().unwrap_or_default();
        if word.is_empty() {
            return Reach::Limited;
        }
        let start = rest.find(word).unwrap_or(0);
        if word.starts_with('/') && left == 0 {
            let inner = Member {
                negated: false,
                name: rest[start..].trim().to_owned(),
            };
            return reach(&inner);
        }
        if word.starts_with('/') {
            left -= 1;
        } else if is_free(word) {
            // Another program may stand here.
            return Reach::Through(arguments.to_owned());
        }
        rest = &rest[start + word.len()..];
    }
}

/// sudoedit(8): any file where none is named.
fn edits(arguments: &str) -> Reach {
    if arguments.is_empty() {
        return Reach::Through("sudoedit".to_owned());
    }
    for word in arguments.split_whitespace() {
        match Matcher::of(word) {
            Ok(matcher) => {
                if let Some(path) = RULES.iter().find(|path| matcher.matches(path)) {
                    return Reach::Through(format!("sudoedit {path}"));
                }
            }
            Err(why) => return Reach::Untold(why),
        }
    }
    Reach::Limited
}

enum Matcher {
    Pattern(regex::Regex),
    /// All programs of a directory.
    Directory(String),
    Glob(String),
}

impl Matcher {
    fn of(text: &str) -> Result<Self, String> {
        if text.starts_with('^') {
            return expression(text)
                .map(Self::Pattern)
                .ok_or_else(|| "a regular expression is not understood".to_owned());
        }
        if text.ends_with('/') {
            return Ok(Self::Directory(text.to_owned()));
        }
        Ok(Self::Glob(without_sets(text)))
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.is_match(path),
            Self::Directory(directory) => path
                .strip_prefix(directory.as_str())
                .is_some_and(|name| !name.contains('/')),
            Self::Glob(glob) => glob_matches(glob.as_bytes(), path.as_bytes()),
        }
    }
}

/// A set (`[…]`) is taken for any character: better one rule too many is looked at.
pub fn without_sets(glob: &str) -> String {
    let mut out = String::new();
    let mut rest = glob;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        match after.get(1..).and_then(|inner| inner.split_once(']')) {
            Some((_, left)) => {
                out.push('?');
                rest = left;
            }
            None => {
                out.push('[');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}
