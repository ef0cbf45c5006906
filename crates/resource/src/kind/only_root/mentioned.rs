//! Paths that stand in arguments and in variables: what a program is told to read, and which
//! variables decide what it runs.

use std::collections::BTreeSet;

use model::HostPath;

use super::command_line::absolute;

/// What is read there is nobody's file.
const OF_THE_KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Every whole path in these words, also behind an option's name and within quotes:
/// `--keys=/srv/keys`, `-f/srv/keys`, `cat /srv/keys`. One that a program completes (`%u`) names
/// nothing.
pub(super) fn paths_in<'a>(
    words: impl IntoIterator<Item = &'a String>,
) -> BTreeSet<(HostPath, bool)> {
    let is_between = |c: char| c.is_whitespace() || "\"'`=,;|&<>(){}".contains(c);
    let pieces = words.into_iter().flat_map(|word| word.split(is_between));
    let named = pieces.filter_map(|piece| {
        // A short option, and its value in the same word.
        let piece = match piece.strip_prefix('-').and_then(|rest| rest.find('/')) {
            Some(1) => &piece[2..],
            _ => piece,
        };
        file(piece)
    });
    named.map(|path| (path, false)).collect()
}

/// A file by its whole path, which is not one of the kernel's.
fn file(word: &str) -> Option<HostPath> {
    let is_whole = word.starts_with('/') && !word.starts_with("//") && !word.contains('%');
    let path = absolute(word, None).filter(|_| is_whole)?;
    let mut tops = OF_THE_KERNEL.iter();
    let is_kernels = tops.any(|top| path.is_within(&HostPath::literal(top)));
    (!is_kernels && path.as_bytes() != b"/").then_some(path)
}

/// Variables that are lists of directories or files, and decide what is run or loaded: by the
/// loader (ld.so(8)), shells and interpreters.
const VARIABLES: [&str; 28] = [
    "BASH_ENV",
    "CLASSPATH",
    "EDITOR",
    "ENV",
    "GCONV_PATH",
    "GIT_EXEC_PATH",
    "GIT_SSH",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LESSOPEN",
    "LUA_CPATH",
    "LUA_PATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PAGER",
    "PATH",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PERLLIB",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYLIB",
    "RUBYOPT",
    "VISUAL",
    "ZDOTDIR",
];

/// What a variable has programs run or load, where it is one of those.
pub(super) fn by_variable(name: &str, value: &str) -> BTreeSet<(HostPath, bool)> {
    if !VARIABLES.contains(&name) {
        return BTreeSet::new();
    }
    let parts: Vec<String> = value.split(':').map(str::to_owned).collect();
    paths_in(&parts)
}

/// The same of `NAME=VALUE`, with quotes or without.
pub(super) fn by_assignment(word: &str) -> BTreeSet<(HostPath, bool)> {
    let (name, value) = word.split_once('=').unwrap_or_default();
    by_variable(name.trim_start_matches(['"', '\'']), value)
}

#[cfg(test)]
mod tests {
    use super::{by_assignment, paths_in};

    fn listed(found: std::collections::BTreeSet<(model::HostPath, bool)>) -> String {
        let paths = found.iter().map(|(path, _)| path.to_string());
        paths.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_whole_path_is_found() {
        let check = |line: &str, wanted: &str| {
            let words: Vec<String> = line.split('~').map(str::to_owned).collect();
            assert_eq!(listed(paths_in(&words)), wanted, "{line}");
        };
        check("cat~/a", "/a");
        check("--keys=/a~-f/b~-c~cat '/c' >/d", "/a /b /c /d");
        check("/a/%u~%h/x~//x~https://x.example/y~a/b~/", "");
        check("/dev/null~/proc/self/fd/0~/dev", "");
    }

    #[test]
    fn variables_that_decide_what_runs() {
        let check = |word: &str, wanted: &str| {
            assert_eq!(listed(by_assignment(word)), wanted, "{word}");
        };
        check("LD_PRELOAD=/a.so:/b.so", "/a.so /b.so");
        check("LD_PRELOAD=/a.so /b.so", "/a.so /b.so");
        check("\"PATH=/a:/b::c\"", "/a /b");
        check("BASH_ENV=\"/a\"", "/a");
        check("PERL5OPT=-I/a", "/a");
        check("HOME=/a", "");
        check("LD_PRELOAD", "");
    }
}
