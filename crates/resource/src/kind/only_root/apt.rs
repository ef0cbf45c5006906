//! Settings of apt and dpkg by which root runs or reads a file of their own choice (apt.conf(5),
//! dpkg(1)).

use std::collections::BTreeSet;

use model::HostPath;

use super::command_line::{absolute, programs};

/// Lists of commands that sh(1) runs as root; of `AptCli::Hooks`, whatever stands below it.
const HOOKS: [&str; 8] = [
    "hooks",
    "post-invoke",
    "post-invoke-success",
    "pre-install-pkgs",
    "pre-invoke",
    // Asked for the proxy, in both spellings.
    "proxy-auto-detect",
    "proxyautodetect",
    // Of dpkg.
    "status-logger",
];

/// Directories below `Dir::Bin` of which all is run.
const OF_PROGRAMS: [&str; 3] = ["methods", "planners", "solvers"];

/// apt.conf(5), "DIRECTORIES": where what `Dir::State` and its like name begins.
const BASES: [(&str, &str); 3] = [
    ("cache", "/var/cache/apt"),
    ("log", "/var/log/apt"),
    ("state", "/var/lib/apt"),
];

/// What a setting has root run or read; `Dir::Etc::NAME` is not looked at here. The key is in lower
/// case, without colons at its end.
pub(super) fn of_setting(key: &str, value: &str) -> BTreeSet<(HostPath, bool)> {
    let mut parts: Vec<&str> = key.split("::").collect();
    // `Binary::apt::KEY` is about that program alone.
    if parts.first() == Some(&"binary") {
        parts.drain(..parts.len().min(2));
    }
    if parts.iter().any(|part| HOOKS.contains(part)) {
        return programs(value);
    }
    match parts[..] {
        ["apt", "key", name] if name.ends_with("command") => programs(value),
        ["apt", "compressor", _, "binary"] => one(value, false),
        ["dpkg", "options", ..] => of_dpkg(value.trim_start_matches('-')),
        ["dpkg", "path"] => value.split(':').flat_map(|part| one(part, false)).collect(),
        ["dpkg", "chroot-directory" | "run-directory"] | ["rootdir"] => one(value, false),
        ["dir", "bin", name, ..] => one(value, OF_PROGRAMS.contains(&name)),
        ["dir", "media" | "ignore-files-silently", ..] | ["dir", "etc", _, ..] => BTreeSet::new(),
        ["dir", name, ..] => {
            let base = BASES.iter().find(|(known, _)| *known == name);
            match base.filter(|_| !value.is_empty() && !value.starts_with('/')) {
                Some((_, base)) => one(&format!("{base}/{value}"), false),
                None => one(value, false),
            }
        }
        ["dir"] => one(value, false),
        _ => BTreeSet::new(),
    }
}

/// A path, but for `/` and what stands for none.
fn one(value: &str, below: bool) -> BTreeSet<(HostPath, bool)> {
    let path = absolute(value.trim(), None);
    let path = path.filter(|path| !matches!(path.as_bytes(), b"/" | b"/dev/null"));
    path.map(|path| (path, below)).into_iter().collect()
}

/// A line of dpkg.cfg: `post-invoke="COMMAND"`, which sh(1) runs as root, and directories.
pub(super) fn of_dpkg(line: &str) -> BTreeSet<(HostPath, bool)> {
    let line = line.trim();
    let (name, value) = line
        .split_once(|c: char| c == '=' || c.is_whitespace())
        .unwrap_or_default();
    let value = value.trim();
    let value = value.strip_prefix('=').unwrap_or(value).trim();
    // dpkg takes the quotes around a whole value away.
    let unquoted = ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(value);
    match name {
        _ if HOOKS.contains(&name) => programs(unquoted),
        "admindir" | "instdir" | "root" => one(unquoted, false),
        // Where others than root may write on some hosts, and to a log.
        "log" if !unquoted.starts_with("/var/log/") => one(unquoted, false),
        _ => BTreeSet::new(),
    }
}
