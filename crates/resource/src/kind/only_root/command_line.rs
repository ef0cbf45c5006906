//! What a command line starts, as far as it says so by paths.
//!
//! It is read as sh(1) reads it, and no further: what a script itself starts is not looked at, nor
//! what a variable says. What is run as another account is none of root's.

use std::collections::BTreeSet;

use model::HostPath;

use super::starters::{Arguments, Means, Starter};

/// Each level is a program that starts the next one. People write three or four.
const MOST_LEVELS: usize = 32;

/// Words of the shell that a command may follow.
const KEYWORDS: [&str; 9] = [
    "!", "do", "elif", "else", "if", "then", "until", "while", "{",
];

/// What a line for a shell starts; of run-parts(8), all of a directory.
pub(super) fn programs(text: &str) -> BTreeSet<(HostPath, bool)> {
    programs_in(text, &[])
}

/// The same, where what is named without a path is searched for in these directories.
pub(super) fn programs_in(text: &str, searched: &[HostPath]) -> BTreeSet<(HostPath, bool)> {
    let mut reading = Reading {
        searched,
        found: BTreeSet::new(),
        level: 0,
    };
    reading.line(text, &mut Standing::default());
    reading.found
}

/// What a command starts that no shell reads, where it begins in this directory.
pub(super) fn programs_of(
    words: &[String],
    directory: Option<HostPath>,
) -> BTreeSet<(HostPath, bool)> {
    let mut reading = Reading {
        searched: &[],
        found: BTreeSet::new(),
        level: 0,
    };
    let mut standing = Standing {
        directory,
        ..Standing::default()
    };
    // systemd.service(5): a semicolon of its own stands between two commands.
    for command in words.split(|word| word == ";") {
        reading.command(command, &mut standing);
    }
    reading.found
}

/// Words as a line for a shell, in which they are the same words.
pub(super) fn line_of(words: &[String]) -> String {
    let quoted = words
        .iter()
        .map(|word| match word.contains(char::is_whitespace) {
            true => format!("'{}'", word.replace('\'', "'\\''")),
            false => word.clone(),
        });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Where a command begins.
#[derive(Clone, Default)]
struct Standing {
    /// Another root directory, of chroot(2).
    root: Option<HostPath>,
    directory: Option<HostPath>,
}

impl Standing {
    /// A file that a word names; none where nobody can tell.
    fn file(&self, word: &str, in_directory: bool) -> Option<HostPath> {
        match word.contains('/') || word.starts_with('~') {
            true => absolute(word, self.directory.as_ref()),
            false if !in_directory || matches!(word, "" | "-") => None,
            false => absolute(&format!("./{word}"), self.directory.as_ref()),
        }
    }

    fn enter(&mut self, directory: &str) {
        self.directory = self.file(directory, true);
    }

    fn enter_root(&mut self, directory: &str) -> bool {
        let path = self
            .file(directory, true)
            .map(|path| self.seen_outside(path));
        self.directory = Some(HostPath::literal("/"));
        let is_known = path.is_some();
        self.root = path.filter(|path| path.as_bytes() != b"/");
        is_known
    }

    fn seen_outside(&self, path: HostPath) -> HostPath {
        let Some(root) = &self.root else {
            return path;
        };
        let whole = [root.as_bytes(), path.as_bytes()].concat();
        HostPath::from_bytes(&whole).unwrap_or(path)
    }
}

struct Reading<'a> {
    searched: &'a [HostPath],
    found: BTreeSet<(HostPath, bool)>,
    level: usize,
}

impl Reading<'_> {
    /// What a shell reads; it stands elsewhere afterwards.
    fn line(&mut self, text: &str, standing: &mut Standing) {
        if self.level >= MOST_LEVELS {
            return;
        }
        self.level += 1;
        for command in commands_of(text) {
            for inner in &command.substituted {
                self.line(inner, &mut standing.clone());
            }
            self.command(&command.words, standing);
        }
        self.level -= 1;
    }

    fn command(&mut self, words: &[String], standing: &mut Standing) {
        if self.level >= MOST_LEVELS {
            return;
        }
        let is_before = |word: &&String| KEYWORDS.contains(&word.as_str()) || is_assignment(word);
        let before = words.iter().take_while(is_before).count();
        let Some((first, arguments)) = words[before..].split_first() else {
            return;
        };
        self.level += 1;
        self.named(first, arguments, standing);
        self.level -= 1;
    }

    /// A program by its name, and what its arguments have it start.
    fn named(&mut self, word: &str, arguments: &[String], standing: &mut Standing) {
        let name = word.rsplit('/').next().unwrap_or_default();
        match name {
            "cd" | "pushd" => {
                let to = arguments.iter().find(|word| !word.starts_with('-'));
                standing.enter(to.map_or("$HOME", String::as_str));
                return;
            }
            "eval" => return self.line(&arguments.join(" "), standing),
            "trap" => {
                let line = arguments.iter().find(|word| *word != "--");
                return self.line(line.map_or("", String::as_str), &mut standing.clone());
            }
            _ => {}
        }
        self.program(word, standing);
        match name {
            "find" => return self.of_find(arguments, standing),
            "ip" => return self.of_namespace(arguments, standing),
            _ => {}
        }
        if let Some(shell) = Starter::of_shell(name) {
            self.of_shell(shell, arguments, standing);
        } else if let Some(starter) = Starter::of(name) {
            let arguments = starter.read(arguments);
            self.of_starter(starter, name, &arguments, standing.clone());
        }
    }

    fn program(&mut self, word: &str, standing: &Standing) {
        self.add(standing.file(word, false), false, standing);
        let is_plain = !word.contains(['/', '$', '*', '?', '>', '<', '[', '=']);
        if is_plain && standing.root.is_none() {
            let paths = self.searched.iter();
            let paths = paths.filter_map(|directory| directory.join(word.as_bytes()).ok());
            self.found.extend(paths.map(|path| (path, false)));
        }
    }

    fn add(&mut self, path: Option<HostPath>, below: bool, standing: &Standing) {
        let path = path.map(|path| (standing.seen_outside(path), below));
        self.found.extend(path);
    }

    /// sh(1): with `-c` the first operand is a line, else it is a file.
    fn of_shell(&mut self, shell: &Starter, arguments: &[String], standing: &Standing) {
        // `+x` takes an option back.
        let is_back = |word: &&String| word.starts_with('+');
        let back = arguments.iter().take_while(is_back).count();
        let read = shell.read(&arguments[back..]);
        for (option, value) in &read.options {
            if let (Means::Program, Some(file)) = (shell.meaning(option), value) {
                self.add(standing.file(file, true), false, standing);
            }
        }
        let has = |name: &str| read.options.iter().any(|(option, _)| *option == name);
        let first = read.operands.first().copied().unwrap_or_default();
        if has("c") {
            self.line(first, &mut standing.clone());
        } else if !has("s") {
            self.add(standing.file(first, true), false, standing);
        }
    }

    fn of_starter(
        &mut self,
        starter: &Starter,
        name: &str,
        read: &Arguments<'_>,
        mut standing: Standing,
    ) {
        let mut lines: Vec<&str> = Vec::new();
        let mut programs: Vec<&str> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        let mut has_account = false;
        for (option, value) in &read.options {
            let means = starter.meaning(option);
            let value = value.unwrap_or_default();
            match means {
                Means::Nothing => return,
                Means::Account if !is_root(value) => return,
                Means::Account => has_account = true,
                Means::Root if !standing.enter_root(value) => return,
                Means::Directory => standing.enter(value),
                Means::Line => lines.push(value),
                Means::Program => programs.push(value),
                Means::Words => {
                    let split = commands_of(value);
                    words.extend(split.into_iter().flat_map(|command| command.words));
                }
                Means::Property => match value.split_once('=') {
                    Some(("User", user)) if !is_root(user) => return,
                    Some(("DynamicUser" | "RootDirectory" | "RootImage", _)) => return,
                    Some(("WorkingDirectory", directory)) => standing.enter(directory),
                    _ => {}
                },
                Means::Value | Means::Number | Means::Root | Means::Script => {}
            }
        }
        let mut operands = read.operands.iter().copied();
        // Of su(1) a session as at a login, of env(1) no variables.
        if matches!(name, "su" | "runuser" | "env") && operands.clone().next() == Some("-") {
            operands.next();
            if name != "env" {
                standing.directory = None;
            }
        }
        for means in starter.operands {
            // runuser(1): with `-u` there is no operand that names an account.
            if *means == Means::Account && has_account {
                break;
            }
            let mut rest = operands.clone();
            let Some(operand) = rest.next() else {
                break;
            };
            match means {
                Means::Number if !operand.starts_with(|c: char| c.is_ascii_digit()) => break,
                Means::Account if !is_root(operand) => return,
                Means::Root if !standing.enter_root(operand) => return,
                Means::Script => {
                    self.add(standing.file(operand, true), false, &standing);
                    return;
                }
                Means::Nothing => operands = [].iter().copied(),
                _ => operands = rest,
            }
        }
        for line in lines {
            self.line(line, &mut standing.clone());
        }
        for program in programs {
            self.add(standing.file(program, false), false, &standing);
        }
        words.extend(operands.map(str::to_owned));
        match name {
            "run-parts" => {
                let directory = words.first().and_then(|word| standing.file(word, true));
                self.add(directory, true, &standing);
            }
            // flock(1): `-c` and a line, after the lock.
            "flock" if matches!(words.first().map(String::as_str), Some("-c" | "--command")) => {
                let line = words.get(1).cloned().unwrap_or_default();
                self.line(&line, &mut standing);
            }
            // su(1): what follows the account is for its shell.
            "su" | "runuser" if !has_account => {
                if let Some(shell) = Starter::of_shell("sh") {
                    self.of_shell(shell, &words, &standing);
                }
            }
            _ => self.command(&words, &mut standing),
        }
    }

    /// find(1): what stands between `-exec` and a semicolon or a plus.
    fn of_find(&mut self, arguments: &[String], standing: &Standing) {
        const RUNS: [&str; 4] = ["-exec", "-execdir", "-ok", "-okdir"];
        let mut rest = arguments;
        while let Some(at) = rest.iter().position(|word| RUNS.contains(&word.as_str())) {
            rest = &rest[at + 1..];
            let is_end = |word: &String| matches!(word.as_str(), ";" | "+");
            let end = rest.iter().position(is_end).unwrap_or(rest.len());
            self.command(&rest[..end], &mut standing.clone());
            rest = &rest[end..];
        }
    }

    /// ip-netns(8): `ip netns exec NAME COMMAND`.
    fn of_namespace(&mut self, arguments: &[String], standing: &Standing) {
        let operands = arguments.iter().skip_while(|word| word.starts_with('-'));
        let words: Vec<String> = operands.cloned().collect();
        if let [netns, exec, _, command @ ..] = &words[..]
            && (netns.as_str(), exec.as_str()) == ("netns", "exec")
        {
            self.command(command, &mut standing.clone());
        }
    }
}

/// An account, with a group or without, as it is named in a command.
fn is_root(account: &str) -> bool {
    let user = account.split(':').next().unwrap_or_default();
    matches!(user, "" | "root" | "0" | "+0" | "#0")
}

/// `NAME=value`
pub(super) fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

pub(super) fn absolute(word: &str, directory: Option<&HostPath>) -> Option<HostPath> {
    if word.contains(['$', '*', '?', '>', '<']) || word.starts_with('~') {
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

/// A simple command.
#[derive(Debug, Default, PartialEq, Eq)]
struct Command {
    words: Vec<String>,
    /// What `$(…)` and backticks in it hold; in the words a `$` stands for it.
    substituted: Vec<String>,
}

/// The simple commands of a line, without what is redirected. A quote that is not closed counts for
/// nothing.
fn commands_of(text: &str) -> Vec<Command> {
    let mut lexer = Lexer {
        text: text.chars().collect(),
        ..Lexer::default()
    };
    while lexer.at < lexer.text.len() {
        lexer.step();
    }
    lexer.end_command();
    lexer.commands
}

#[derive(Default)]
struct Lexer {
    text: Vec<char>,
    at: usize,
    word: Option<String>,
    /// The word is where something is read from, or written to.
    is_redirected: bool,
    /// One was not closed.
    has_no_quotes: bool,
    command: Command,
    commands: Vec<Command>,
}

impl Lexer {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take() {
            match self.is_redirected {
                true => self.is_redirected = false,
                false => self.command.words.push(word),
            }
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.is_redirected = false;
        let command = std::mem::take(&mut self.command);
        if command != Command::default() {
            self.commands.push(command);
        }
    }

    fn step(&mut self) {
        let Some(c) = self.peek() else {
            return;
        };
        self.at += 1;
        match c {
            '\\' => {
                let next = self.peek();
                self.at += 1;
                if let Some(next) = next.filter(|next| *next != '\n') {
                    self.push(next);
                }
            }
            '\'' | '"' if self.has_no_quotes => {}
            '\'' => {
                let rest = &self.text[self.at..];
                match rest.iter().position(|c| *c == '\'') {
                    Some(end) => {
                        let quoted: String = rest[..end].iter().collect();
                        self.word.get_or_insert_default().push_str(&quoted);
                        self.at += end + 1;
                    }
                    None => self.has_no_quotes = true,
                }
            }
            '"' => self.quoted(),
            '`' => self.backticks(),
            '$' if self.peek() == Some('(') => self.substitution(),
            '#' if self.word.is_none() => {
                let rest = &self.text[self.at..];
                let end = rest.iter().position(|c| *c == '\n');
                self.at += end.unwrap_or(rest.len());
            }
            '<' | '>' => self.redirection(),
            // `&>FILE`
            '&' if self.peek() == Some('>') => self.end_word(),
            ';' | '&' | '|' | '(' | ')' | '\n' => self.end_command(),
            c if c.is_whitespace() => self.end_word(),
            c => self.push(c),
        }
    }

    /// Of `2>&1` all is left out.
    fn redirection(&mut self) {
        let is_number = |word: &String| word.bytes().all(|b| b.is_ascii_digit());
        if self.word.as_ref().is_some_and(is_number) {
            self.word = None;
        }
        self.end_word();
        while self
            .peek()
            .is_some_and(|c| matches!(c, '<' | '>' | '&' | '|'))
        {
            self.at += 1;
        }
        // A process that is read from, or written to, is a command.
        self.is_redirected = self.peek() != Some('(');
    }

    /// In double quotes.
    fn quoted(&mut self) {
        let begin = self.at;
        let before = self.word.clone();
        let substituted = self.command.substituted.len();
        self.word.get_or_insert_default();
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                '"' => return,
                '\\' => {
                    let next = self.peek().unwrap_or('\\');
                    self.at += 1;
                    if !matches!(next, '$' | '`' | '"' | '\\' | '\n') {
                        self.push('\\');
                    }
                    if next != '\n' {
                        self.push(next);
                    }
                }
                '`' => self.backticks(),
                '$' if self.peek() == Some('(') => self.substitution(),
                c => self.push(c),
            }
        }
        self.at = begin;
        self.word = before;
        self.command.substituted.truncate(substituted);
        self.has_no_quotes = true;
    }

    /// Until the next one; `\`` within is one of another level.
    fn backticks(&mut self) {
        let mut inner = String::new();
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                '`' => break,
                '\\' if self.peek() == Some('`') => {
                    inner.push('`');
                    self.at += 1;
                }
                c => inner.push(c),
            }
        }
        self.push('$');
        self.command.substituted.push(inner);
    }

    /// `$(…)`, from its bracket, as far as it goes.
    fn substitution(&mut self) {
        let begin = self.at + 1;
        let mut open = 0_usize;
        let mut quote: Option<char> = None;
        while let Some(c) = self.peek() {
            self.at += 1;
            match (c, quote) {
                ('\\', None | Some('"')) => self.at += 1,
                (c, Some(opened)) if c == opened => quote = None,
                ('"' | '\'', None) => quote = Some(c),
                ('(', None) => open += 1,
                (')', None) => open -= 1,
                _ => {}
            }
            if open == 0 {
                break;
            }
        }
        let end = self.at.min(self.text.len());
        let closed = usize::from(open == 0);
        let inner: String = self.text[begin..(end - closed).max(begin)].iter().collect();
        self.push('$');
        // `$((…))` is a sum.
        if !inner.starts_with('(') {
            self.command.substituted.push(inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{commands_of, programs, programs_in, programs_of};
    use model::HostPath;

    fn listed(found: std::collections::BTreeSet<(HostPath, bool)>) -> String {
        let paths = found.iter().map(|(path, below)| match below {
            true => format!("{path}/*"),
            false => path.to_string(),
        });
        paths.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_line_is_read_as_the_shell_does() {
        let check = |text: &str, wanted: &str| {
            let commands = commands_of(text);
            let commands = commands.iter().map(|command| {
                let inner = command.substituted.iter().map(|inner| format!("[{inner}]"));
                let words = command.words.iter().cloned();
                words.chain(inner).collect::<Vec<_>>().join(",")
            });
            assert_eq!(commands.collect::<Vec<_>>().join(" / "), wanted, "{text}");
        };
        check("a 'b c' \"d e\" f\\ g", "a,b c,d e,f g");
        check("a; b && c | d", "a / b / c / d");
        check("a >/x 2>&1 <y >> z b", "a,b");
        check("a &>/x b & c", "a,b / c");
        check("a \"$(b 'c)' (d))/e\" f", "a,$/e,f,[b 'c)' (d)]");
        check("a `b \\`c\\`` d", "a,$,d,[b `c`]");
        check("a $((1 + 2)) b", "a,$,b");
        check("a # it's\nb", "a / b");
        check("a \\\nb \"c\\\nd\\e\"", "a,b,cd\\e");
        check("a <(b c) d", "a / b,c / d");
        // A quote that is not closed.
        check("a 'b c; d \"e f\"", "a,b,c / d,e,f");
        check("a \"b $(c", "a,b,$,[c]");
        check("'", "");
        check("a \\", "a");
    }

    /// Everything that a line starts.
    #[test]
    fn what_a_line_starts() {
        let check = |text: &str, wanted: &str| assert_eq!(listed(programs(text)), wanted, "{text}");
        // Options that take a value.
        for text in [
            "flock -w 10 /l /x",
            "flock -nE 3 -w10 /l /x",
            "flock --timeout 10 /l -c '/x -v'",
            "flock -n 9",
            "timeout -s KILL 60 /x",
            "timeout --kill-after 5 -s TERM 1m /x",
            "xargs -0 -I {} /x {}",
            "xargs -n1 -P 4 /x",
            "env -u LANG A=1 /x",
            "env -S '/x -y'",
            "env - A=1 /x",
            "sudo -u root /x",
            "sudo -g adm -n -- /x",
            "nice -n 10 /x",
            "nice -10 ionice -c 2 -n 7 /x",
            "chrt -i 0 /x",
            "chrt -b /x",
            "taskset -c 0,1 /x",
            "setpriv --reuid 0 --inh-caps -all /x",
            "runuser -u root -- /x",
            "runuser root -c /x",
            "su -c '/x -y'",
            "su - root -s /x",
            "su root /x",
            "systemd-run --on-calendar daily -p Nice=1 --unit a /x",
            "unshare -m --propagation slave /x",
            "nsenter -t 7 -n /x",
            "run-one nice /x",
            "cronic /x",
            "systemd-cat -t a -p info /x",
            "stdbuf -o L /x",
            "time -f %e -o /log /x",
            "exec -a name /x",
            "script -qec '/x y' /dev/null",
            "start-stop-daemon --start --pidfile /p --exec /x -- -d",
            "prlimit --nofile=10 -c0 /x",
            "choom -n 500 -- /x",
            "ip netns exec blue /x",
            "find /tmp -name '*.y' -exec /x {} \\; -delete",
            "find /tmp -exec nice -n 5 /x {} +",
            "sh -c /x",
            "bash -euo pipefail -c 'A=1 /x'",
            "sh -c 'cd / && ./x'",
            "bash -lc \"cd /; exec ./x\"",
            "sh -ec 'test -f /f && { true; /x; }'",
            "bash -c \"nice sh -c 'cd / && flock -w 1 /l ./x'\"",
            "cd / && python3 x",
            "cd / && perl -w -I lib x",
            "env -C / sh x",
            "php -d a=b -f /x",
            "node -r dotenv /x",
            "python3.11 -W ignore /x",
            "bash -x /x a",
            ". /x",
            "echo \"$(/x)\"",
            "echo `/x a`",
            "eval 'cd / && ./x'",
            "trap '/x a' EXIT",
            "busybox sh -c /x",
            "/x >/dev/null 2>&1",
            ">/log 2>&1 /x",
        ] {
            let wanted = if text == "flock -n 9" { "" } else { "/x" };
            check(text, wanted);
        }
        check("sudo /a -u /b", "/a");
        check("/usr/bin/flock -w 10 /l /x", "/usr/bin/flock /x");
        check("su -s /bin/bash -c /x", "/bin/bash /x");
        check("chroot /srv/r /x", "/srv/r/x");
        check(
            "chroot --userspec root:adm /srv/r sh -c 'cd /a && ./x'",
            "/srv/r/a/x",
        );
        check(
            "run-parts --report -a b /etc/cron.daily",
            "/etc/cron.daily/*",
        );
        check(
            "cd / && run-parts --report etc/cron.daily",
            "/etc/cron.daily/*",
        );
        check("bash --rcfile /r -i /x", "/r /x");
        check("(cd /a && ./x); /y", "/a/x /y");
    }

    /// Of what is no program of root's, and what nobody can tell.
    #[test]
    fn what_a_line_does_not_start() {
        for text in [
            "echo /x",
            "flock -w 10 /x true",
            "flock -o /x -c 'echo /x'",
            "timeout -k 5 10 true /x",
            "xargs -a /x true",
            "env -u /x true",
            "env -C /x true",
            "command -v /x",
            "sudo -u li /x",
            "sudo -l /x",
            "su li -c /x",
            "su - li -s /x -c '/x; /x'",
            "runuser -u li -- /x",
            "runuser -l li -c 'cd / && ./x'",
            "setpriv --reuid=li --clear-groups /x",
            "systemd-run --uid=li /x",
            "systemd-run -p User=li /x",
            "systemd-run -M box /x",
            "start-stop-daemon --start --chuid li --exec /x",
            "start-stop-daemon --stop --exec /x",
            "chroot --userspec=li /srv/r /x",
            "chroot $R /x",
            "gosu li /x",
            "nsenter -t 7 -m /x",
            "taskset -p 1 /x",
            "sh -c 'echo /x'",
            "sh -c \"echo '; /x'\"",
            "ssh host '/x; /x'",
            "sh -c 'cd $D && ./x'",
            "sh -c true /x",
            "sh -s /x",
            "cd && ./x",
            "cd /a && sh",
            "cd /a && bash -c ''",
            "cd /a && python3 -",
            "cd /a && run-parts",
            "cd /a/../b && ./x",
            "cd ~/a && ./x",
            "python3 -c 'import os' /x",
            "python3 -m mod /x",
            "perl -we 1 /x",
            "true >/x 2>/x",
            "true # /x; /x",
            "grep -q '; /x' f",
            "find / -name /x -newer /x",
            "$(true)/x",
            "~/x",
        ] {
            assert_eq!(listed(programs(text)), "", "{text}");
        }
    }

    #[test]
    fn what_words_start() {
        let check = |words: &[&str], directory: Option<&'static str>, wanted: &str| {
            let owned: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let found = programs_of(&owned, directory.map(HostPath::literal));
            assert_eq!(listed(found), wanted, "{words:?}");
        };
        check(&["/bin/sh", "-c", "cd /a && ./x"], None, "/a/x /bin/sh");
        check(&["/a", ";", "/b", "c"], None, "/a /b");
        check(&["/bin/python", "x.py"], Some("/a"), "/a/x.py /bin/python");
        check(&["/bin/sh", "-c", "./x"], Some("/a"), "/a/x /bin/sh");
        check(&["/a", "&&", "/b"], None, "/a");
    }

    #[test]
    fn names_are_searched_for() {
        let found = programs_in(
            "nice -n 5 a | sudo -u li b | chroot /r c",
            &[HostPath::literal("/p")],
        );
        assert_eq!(listed(found), "/p/a /p/chroot /p/nice /p/sudo");
    }

    /// However deep it goes, it ends.
    #[test]
    fn a_line_without_end_is_read() {
        programs(&"nice ".repeat(20_000));
        programs(&"$(".repeat(2_000));
        programs(&"sh -c \"".repeat(2_000));
        programs(&"\"$(".repeat(2_000));
    }
}
