//! sshd_config(5): the lines of the main file and of everything that it includes, in the
//! order in which sshd reads them, each with its place and its `Match` condition.

use model::value::Reason;
use model::{HostPath, Probe, SourceLine};

use super::words;
use crate::{Answers, Seen};

pub const MAIN: &str = "/etc/ssh/sshd_config";
/// Our drop-in: read first among usual names, so that it wins.
pub const OURS: &str = "/etc/ssh/sshd_config.d/00-steadfast.conf";
pub const DROP_INS: &str = "/etc/ssh/sshd_config.d";

/// sshd's own limit on nested includes (`SERVCONF_MAX_DEPTH`, servconf.c).
const DEEPEST: usize = 16;
/// More included files than any host has; beyond it the rest is reported as not read.
const MOST_FILES: usize = 512;

/// What sshd reads, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub entries: Vec<Entry>,
    /// Before which entry our drop-in is read (or would be); none when it is not included.
    pub drop_in_before: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Line(Line),
    /// Something that could not be read stands here: any option may be set in it.
    Hidden {
        path: HostPath,
        reason: Reason,
    },
}

/// A line that sets an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// As `sshd -T` names it.
    pub option: String,
    pub args: Vec<String>,
    pub at: SourceLine,
    /// The whole line, without its line ending.
    pub text: String,
    /// The criteria of the `Match` block that it stands in: `User bob`.
    pub condition: Option<String>,
    /// Bytes of `text` before the first argument, and from where a comment follows.
    lead_bytes: usize,
    comment_from: Option<usize>,
}

impl Line {
    /// This line with another value; indentation, spelling and comment stay.
    pub fn with_value(&self, value: &str) -> String {
        let lead = &self.text[..self.lead_bytes];
        let comment = self
            .comment_from
            .map(|from| format!(" {}", &self.text[from..]))
            .unwrap_or_default();
        let space = if lead.ends_with([' ', '\t', '=']) {
            ""
        } else {
            " "
        };
        format!("{lead}{space}{value}{comment}")
    }

    pub fn canonical(&self) -> Option<String> {
        words::canonical(&self.option, &self.args)
    }

    /// Does it hold for every connection?
    pub fn is_unconditional(&self) -> bool {
        self.condition
            .as_ref()
            .is_none_or(|condition| condition.eq_ignore_ascii_case("all"))
    }
}

impl Config {
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Line(line) => Some(line),
            Entry::Hidden { .. } => None,
        })
    }

    pub fn lines_of<'a, 'o>(
        &'a self,
        option: &'o str,
    ) -> impl Iterator<Item = &'a Line> + use<'a, 'o> {
        self.lines().filter(move |line| line.option == option)
    }

    /// The reason why lines may be missing, when one is.
    pub fn hidden(&self) -> Option<&Reason> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Hidden { reason, .. } => Some(reason),
            Entry::Line(_) => None,
        })
    }

    /// The line that gives `option` its value for connections that no particular `Match`
    /// covers: in a `Match all` block the first one, else the first global one, since a
    /// `Match` block overrides the global section and within each the first value wins.
    pub fn winner(&self, option: &str) -> Option<&Line> {
        let unconditional = || self.lines_of(option).filter(|line| line.is_unconditional());
        unconditional()
            .find(|line| line.condition.is_some())
            .or_else(|| unconditional().next())
    }

    /// Where a line stands in reading order.
    pub fn place(&self, wanted: &Line) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| matches!(entry, Entry::Line(line) if line.at == wanted.at))
    }

    /// Could a line that we have not read stand before this one?
    pub fn hidden_before(&self, line: &Line) -> Option<&Reason> {
        let before = self.place(line)?;
        self.entries[..before].iter().find_map(|entry| match entry {
            Entry::Hidden { reason, .. } => Some(reason),
            Entry::Line(_) => None,
        })
    }

    /// The first `Match` line of a file, before which a global option must stand.
    pub fn first_match(seen: &Answers, path: &HostPath) -> Option<(u32, String)> {
        let Seen::Known(file) = seen.file(path) else {
            return None;
        };
        let text = String::from_utf8_lossy(file.content.as_bytes());
        (1..).zip(text.lines()).find_map(|(number, line)| {
            let parsed = parse_line(line)?.ok()?;
            (parsed.keyword.eq_ignore_ascii_case("match")).then(|| (number, line.to_owned()))
        })
    }
}

/// Reads what the answers hold so far; also all probes that are needed to read it.
pub fn read(seen: &Answers) -> (Config, Vec<Probe>) {
    let mut reader = Reader {
        seen,
        config: Config::default(),
        // The usual place is asked for at once: that saves one round of probing.
        probes: vec![Probe::Dir {
            path: HostPath::literal(DROP_INS),
        }],
        files: 0,
    };
    reader.file(&HostPath::literal(MAIN), None, 0);
    (reader.config, reader.probes)
}

struct Reader<'a> {
    seen: &'a Answers,
    config: Config,
    probes: Vec<Probe>,
    files: usize,
}

impl Reader<'_> {
    fn hide(&mut self, path: &HostPath, reason: Reason) {
        let path = path.clone();
        self.config.entries.push(Entry::Hidden { path, reason });
    }

    fn file(&mut self, path: &HostPath, outer: Option<&str>, depth: usize) {
        self.files += 1;
        if depth > DEEPEST || self.files > MOST_FILES {
            let why = "too many included files".to_owned();
            return self.hide(path, Reason::Malformed { why });
        }
        self.probes.push(Probe::file(path.clone()));
        let content = match self.seen.file(path) {
            Seen::Known(file) => file.content.clone(),
            // An include that names nothing is no error; a missing main file is.
            Seen::Absent if depth > 0 => return,
            Seen::Absent => {
                let what = format!("{path} is missing");
                return self.hide(path, Reason::Unavailable { what });
            }
            Seen::Unknown(reason) => return self.hide(path, reason),
            Seen::NotAsked => {
                let why = format!("{path} was not read");
                return self.hide(path, Reason::Failed { why });
            }
        };
        let text = String::from_utf8_lossy(content.as_bytes());
        // A `Match` ends with its file, and an included file inherits the one it stands in.
        let mut condition = outer.map(str::to_owned);
        for (number, line) in (1..).zip(text.lines()) {
            let parsed = match parse_line(line) {
                None => continue,
                Some(Ok(parsed)) => parsed,
                Some(Err(why)) => {
                    let why = format!("{path}:{number}: {why}");
                    self.hide(path, Reason::Malformed { why });
                    continue;
                }
            };
            match words::option_name(parsed.keyword).as_str() {
                "match" => condition = Some(parsed.args.join(" ")),
                "include" => {
                    for pattern in &parsed.args {
                        self.include(pattern, condition.as_deref(), depth);
                    }
                }
                option => self.config.entries.push(Entry::Line(Line {
                    option: option.to_owned(),
                    args: parsed.args,
                    at: SourceLine::new(path.clone(), number),
                    text: line.to_owned(),
                    condition: condition.clone(),
                    lead_bytes: parsed.lead_bytes,
                    comment_from: parsed.comment_from,
                })),
            }
        }
    }

    /// Patterns of glob(7) in the last component; names that start with a dot are not meant,
    /// and files are read in byte order.
    fn include(&mut self, pattern: &str, condition: Option<&str>, depth: usize) {
        let absolute = match pattern.strip_prefix('/') {
            Some(_) => pattern.to_owned(),
            None => format!("/etc/ssh/{pattern}"),
        };
        let Ok(path) = HostPath::from_bytes(absolute.as_bytes()) else {
            let why = format!("include of `{}`", model::printable(pattern.as_bytes()));
            return self.hide(&HostPath::literal(MAIN), Reason::Malformed { why });
        };
        let is_pattern = |bytes: &[u8]| bytes.iter().any(|b| b"*?[{\\".contains(b));
        let Some(directory) = path.parent() else {
            return;
        };
        let ours = HostPath::literal(OURS);
        if condition.is_none()
            && self.config.drop_in_before.is_none()
            && (path == ours
                || ours.parent().as_ref() == Some(&directory)
                    && words::matches(path.file_name(), ours.file_name()))
        {
            self.config.drop_in_before = Some(self.config.entries.len());
        }
        if !is_pattern(path.as_bytes()) {
            return self.file(&path, condition, depth + 1);
        }
        if is_pattern(directory.as_bytes()) || path.file_name().iter().any(|b| b"[{\\".contains(b))
        {
            let why = format!("include of `{}` is not understood", path);
            return self.hide(&path, Reason::Malformed { why });
        }
        self.probes.push(Probe::Dir {
            path: directory.clone(),
        });
        match self.seen.dir(&directory) {
            Seen::Known(entries) => {
                let mut names: Vec<&[u8]> = entries
                    .iter()
                    .map(|entry| entry.name.as_bytes())
                    .filter(|name| !name.starts_with(b"."))
                    .filter(|name| words::matches(path.file_name(), name))
                    .collect();
                names.sort_unstable();
                for name in names {
                    if let Ok(path) = directory.join(name) {
                        self.file(&path, condition, depth + 1);
                    }
                }
            }
            Seen::Absent => {}
            Seen::Unknown(reason) => self.hide(&directory, reason),
            Seen::NotAsked => {
                let why = format!("{directory} was not read");
                self.hide(&directory, Reason::Failed { why });
            }
        }
    }
}

struct ParsedLine<'a> {
    keyword: &'a str,
    args: Vec<String>,
    lead_bytes: usize,
    comment_from: Option<usize>,
}

/// One line; none when it is empty or a comment. A keyword, an optional `=`, then arguments
/// in which quotes group and `#` at the start of a word begins a comment (argv_split in
/// OpenSSH's misc.c).
fn parse_line(line: &str) -> Option<Result<ParsedLine<'_>, String>> {
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{c}');
    let start = line.find(|c| !is_space(c))?;
    if line[start..].starts_with('#') {
        return None;
    }
    let quoted = line[start..].starts_with('"');
    let start = start + usize::from(quoted);
    let ends = |c: char| {
        if quoted {
            c == '"'
        } else {
            is_space(c) || c == '='
        }
    };
    let end = line[start..].find(ends);
    if quoted && end.is_none() {
        return Some(Err("a quote is not closed".to_owned()));
    }
    let end = end.map_or(line.len(), |at| start + at);
    let keyword = &line[start..end];
    let mut lead = (end + usize::from(quoted)).min(line.len());
    let skip = |at: usize| at + line[at..].find(|c| !is_space(c)).unwrap_or(line.len() - at);
    lead = skip(lead);
    if line[lead..].starts_with('=') {
        lead = skip(lead + 1);
    }
    let mut args = Vec::new();
    let mut comment_from = None;
    let mut characters = line[lead..].char_indices().peekable();
    while let Some(&(at, first)) = characters.peek() {
        if is_space(first) {
            characters.next();
            continue;
        }
        if first == '#' {
            comment_from = Some(lead + at);
            break;
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(&(_, c)) = characters.peek() {
            if quote.is_none() && is_space(c) {
                break;
            }
            characters.next();
            match c {
                '\\' => match characters.peek() {
                    Some(&(_, next))
                        if matches!(next, '\'' | '"' | '\\') || next == ' ' && quote.is_none() =>
                    {
                        word.push(next);
                        characters.next();
                    }
                    _ => word.push(c),
                },
                '"' | '\'' if quote.is_none() => quote = Some(c),
                c if quote == Some(c) => quote = None,
                c => word.push(c),
            }
        }
        if quote.is_some() {
            return Some(Err("a quote is not closed".to_owned()));
        }
        args.push(word);
    }
    Some(Ok(ParsedLine {
        keyword,
        args,
        lead_bytes: lead,
        comment_from,
    }))
}
