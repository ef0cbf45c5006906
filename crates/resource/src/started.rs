//! What a unit starts: its commands, with their environment, over the main file and all
//! drop-ins (systemd.service(5), "Command lines"; systemd.exec(5), "Environment").
//!
//! What can't be told is an error, never a guess: a variable that is not found, a specifier, an
//! escape that is not understood.

use std::collections::BTreeMap;

use model::value::{Reason, UnitSeen};
use model::{HostPath, Probe, SourceLine};

use crate::syntax::scan;
use crate::{Answers, Seen, Syntax};

/// A unit's commands and environment.
#[derive(Clone, Debug, Default)]
pub struct Started {
    /// What `ExecStartPre`, `ExecStart` and `ExecStartPost` say, resets taken into account.
    pub commands: Vec<StartCommand>,
    /// Variables as written, with their place. A file's counts more than the unit's own.
    environment: BTreeMap<String, (String, SourceLine)>,
    /// Why variables may be missing.
    hidden: Option<Reason>,
}

/// One command of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartCommand {
    /// `ExecStart`
    pub key: &'static str,
    pub text: String,
    pub at: SourceLine,
}

/// A word of a command, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub at: SourceLine,
    /// The variable that it stands in.
    pub variable: Option<String>,
}

const COMMANDS: [&str; 3] = ["ExecStartPre", "ExecStart", "ExecStartPost"];

/// What has to be read to know what a unit starts.
pub fn probes(unit: &str, seen: &Answers) -> Vec<Probe> {
    let mut probes = vec![Probe::Unit {
        name: unit.to_owned(),
    }];
    if let Seen::Known(unit) = seen.unit(unit) {
        probes.extend(unit.files.iter().cloned().map(Probe::file));
        let files = assignments(unit, seen, &["EnvironmentFile"]);
        let files = files.iter().filter_map(|(_, value, _)| file_name(value));
        probes.extend(files.map(Probe::file));
    }
    probes
}

/// None where there is no such unit.
pub fn read(unit: &str, seen: &Answers) -> Result<Option<Started>, Reason> {
    let Some(unit) = seen.unit(unit).known_or_absent()? else {
        return Ok(None);
    };
    if matches!(unit.load_state.as_str(), "not-found" | "masked") {
        return Ok(None);
    }
    for path in &unit.files {
        seen.file(path).known_or_absent()?;
    }
    let mut started = Started::default();
    for (key, text, at) in assignments(unit, seen, &COMMANDS) {
        started.commands.push(StartCommand { key, text, at });
    }
    for (_, value, at) in assignments(unit, seen, &["Environment"]) {
        match split(&value) {
            Some(words) => started.environment.extend(words.iter().filter_map(|word| {
                let (name, value) = word.split_once('=')?;
                Some((name.to_owned(), (value.to_owned(), at.clone())))
            })),
            None => started.hide(format!("{at}: this environment is not understood")),
        }
    }
    for (_, value, at) in assignments(unit, seen, &["EnvironmentFile"]) {
        let Some(path) = file_name(&value) else {
            started.hide(format!("{at}: this file name is not understood"));
            continue;
        };
        match seen.file(&path) {
            Seen::Known(file) => {
                let text = String::from_utf8_lossy(file.content.as_bytes());
                for found in scan(&text, Syntax::SHELL).assignments {
                    let at = SourceLine::new(path.clone(), found.line);
                    started
                        .environment
                        .insert(found.key.to_owned(), (found.value, at));
                }
            }
            Seen::Absent => {}
            Seen::Unknown(reason) => {
                started.hidden.get_or_insert(reason);
            }
            Seen::NotAsked => started.hide(format!("{path} was not read")),
        }
    }
    if let Some((_, _, at)) = assignments(unit, seen, &["PassEnvironment"]).first() {
        started.hide(format!(
            "{at}: variables of systemd's own environment are passed on"
        ));
    }
    Ok(Some(started))
}

impl Started {
    fn hide(&mut self, why: String) {
        self.hidden.get_or_insert(Reason::Malformed { why });
    }

    /// The commands of one key.
    pub fn of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a StartCommand> {
        self.commands.iter().filter(move |one| one.key == key)
    }

    /// A command as the program gets it: the program first, variables replaced.
    pub fn words(&self, command: &StartCommand) -> Result<Vec<Word>, Reason> {
        let not_understood = || Reason::Malformed {
            why: format!("{}: this command is not understood", command.at),
        };
        let text = command.text.trim_start();
        let bare = text.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        let prefix = &text[..text.len() - bare.len()];
        let mut split = split(bare).ok_or_else(not_understood)?;
        // `@`: the second word is what the program is told that its name is.
        if prefix.contains('@') && split.len() > 1 {
            split.remove(1);
        }
        let mut words = Vec::new();
        for text in split {
            let whole = (!prefix.contains(':'))
                .then(|| text.strip_prefix('$'))
                .flatten();
            match whole {
                // A word of its own becomes none, one or several.
                Some(name) if is_name(name) => {
                    let Some((value, at)) = self.variable(name)? else {
                        continue;
                    };
                    let values = self::split(value).ok_or_else(not_understood)?;
                    words.extend(values.into_iter().map(|text| Word {
                        text,
                        at: at.clone(),
                        variable: Some(name.to_owned()),
                    }));
                }
                _ => words.push(Word {
                    text: match prefix.contains(':') {
                        true => text,
                        false => self.within(&text)?.ok_or_else(not_understood)?,
                    },
                    at: command.at.clone(),
                    variable: None,
                }),
            }
        }
        // `%i` and its like are not known here; `%%` is one character.
        for word in &mut words {
            let rest = word.text.replace("%%", "");
            if rest.contains('%') {
                return Err(not_understood());
            }
            word.text = word.text.replace("%%", "%");
        }
        Ok(words)
    }

    fn variable(&self, name: &str) -> Result<Option<(&str, &SourceLine)>, Reason> {
        match &self.hidden {
            Some(reason) => Err(reason.clone()),
            None => {
                let found = self.environment.get(name);
                Ok(found.map(|(value, at)| (value.as_str(), at)))
            }
        }
    }

    /// `${NAME}` within a word, and `$$`; none for what is neither.
    fn within(&self, text: &str) -> Result<Option<String>, Reason> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((name, after)) = rest
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'))
            {
                if !is_name(name) {
                    return Ok(None);
                }
                out.push_str(self.variable(name)?.map_or("", |(value, _)| value));
                rest = after;
            } else {
                out.push('$');
            }
        }
        out.push_str(rest);
        Ok(Some(out))
    }
}

/// One assignment of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub key: String,
    /// Empty: it takes back what was read before.
    pub value: String,
    pub at: SourceLine,
}

/// Every assignment of one section, over the main file and all drop-ins, in reading order. A link
/// to `/dev/null` reads as empty.
pub fn section(unit: &UnitSeen, seen: &Answers, section: &str) -> Vec<Line> {
    let mut found = Vec::new();
    for path in &unit.files {
        let Seen::Known(file) = seen.file(path) else {
            continue;
        };
        let text = String::from_utf8_lossy(file.content.as_bytes());
        for one in scan(&text, Syntax::SYSTEMD).assignments {
            if one.section == section {
                found.push(Line {
                    key: one.key.to_owned(),
                    value: one.value,
                    at: SourceLine::new(path.clone(), one.line),
                });
            }
        }
    }
    found
}

/// What is assigned to these keys of `[Service]`; an empty assignment takes back what was read
/// before.
fn assignments(
    unit: &UnitSeen,
    seen: &Answers,
    keys: &[&'static str],
) -> Vec<(&'static str, String, SourceLine)> {
    let mut found: Vec<(&'static str, String, SourceLine)> = Vec::new();
    for line in section(unit, seen, "Service") {
        let Some(key) = keys.iter().find(|key| **key == line.key) else {
            continue;
        };
        match line.value.is_empty() {
            true => found.retain(|(known, ..)| known != key),
            false => found.push((key, line.value, line.at)),
        }
    }
    found
}

/// The file of an `EnvironmentFile`; none for a pattern or a specifier.
fn file_name(value: &str) -> Option<HostPath> {
    let name = value.trim().strip_prefix('-').unwrap_or(value.trim());
    let name = name.trim_matches(['"', '\'']);
    match name.contains(['*', '?', '[', '%']) {
        true => None,
        false => HostPath::from_bytes(name.as_bytes()).ok(),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Words as systemd splits them (systemd.syntax(7), "Quoting"); none where a quote is not closed
/// or an escape is not one of the plain ones.
pub(crate) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', _) => match chars.next()? {
                plain @ ('\\' | '"' | '\'' | '$' | '%') => {
                    word.get_or_insert_default().push(plain);
                }
                's' => word.get_or_insert_default().push(' '),
                _ => return None,
            },
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_ascii_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return None;
    }
    words.extend(word);
    Some(words)
}
