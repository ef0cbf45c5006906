//! The reader: every assignment of a text, with its place. Lines that it does not
//! understand are left out of the answer, never guessed at.

use std::ops::Range;

use super::{Continued, Separator, Syntax};

/// One assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment<'t> {
    /// Empty before the first `[section]`, and where there are none.
    pub section: &'t str,
    pub key: &'t str,
    /// Unquoted and joined; empty for a flag.
    pub value: String,
    /// From 1; the first line of several.
    pub line: u32,
    /// That line as it stands, without its newline.
    pub text: &'t str,
    /// Bytes between key and value, and bytes of the value with its quotes.
    pub(super) separator: Range<usize>,
    pub(super) raw: Range<usize>,
}

/// What a text holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned<'t> {
    pub assignments: Vec<Assignment<'t>>,
    /// `[section]` lines: the name, and the line from 1.
    pub headers: Vec<(&'t str, u32)>,
}

/// Reads a whole text.
pub fn scan(text: &str, syntax: Syntax) -> Scanned<'_> {
    let mut found = Scanned::default();
    let mut section = "";
    let mut at = 0;
    let mut line = 1;
    while at < text.len() {
        let end = line_end(text, at);
        let mut next = end;
        let content = text[at..end].trim_end_matches(['\n', '\r']);
        let trimmed = content.trim_start();
        let start = at + content.len() - trimmed.len();
        if trimmed.is_empty() || trimmed.starts_with(|c| syntax.comments.contains(c)) {
            // Nothing assigned.
        } else if syntax.sections && trimmed.starts_with('[') {
            if let Some(name) = header(trimmed) {
                section = name;
                found.headers.push((name, line));
            }
        } else if let Some(read) = assignment(text, start, at + content.len(), syntax) {
            next = line_end(text, read.raw.end).max(end);
            found.assignments.push(Assignment {
                section,
                key: &text[read.key],
                value: read.value,
                line,
                text: content,
                separator: read.separator,
                raw: read.raw,
            });
        }
        line += newlines(&text[at..next]);
        at = next;
    }
    found
}

struct Read {
    key: Range<usize>,
    separator: Range<usize>,
    raw: Range<usize>,
    value: String,
}

/// The name in `[name]`.
pub(super) fn header(trimmed: &str) -> Option<&str> {
    let inner = trimmed.trim_end().strip_prefix('[')?;
    let (name, _) = inner.split_once(']')?;
    Some(name.trim())
}

/// Reads the assignment that begins at `start`, on the line that ends at `end`.
fn assignment(text: &str, start: usize, end: usize, syntax: Syntax) -> Option<Read> {
    let line = &text[start..end];
    match syntax.separator {
        Separator::Shell => shell_assignment(text, start, end),
        Separator::Equals => split_at(text, start, end, line.find('=')?, 1, syntax),
        Separator::Colon => split_at(text, start, end, line.find(':')?, 1, syntax),
        Separator::Space | Separator::EqualsOrSpace => {
            let equals = syntax.separator == Separator::EqualsOrSpace;
            let key = line
                .find(|c: char| {
                    c.is_whitespace()
                        || (equals && c == '=')
                        || (syntax.inline_comments && syntax.comments.contains(c))
                })
                .unwrap_or(line.len());
            let gap: usize = {
                let rest = &line[key..];
                let blank = rest.len() - rest.trim_start().len();
                match rest[blank..].strip_prefix('=') {
                    Some(rest) if equals => blank + 1 + rest.len() - rest.trim_start().len(),
                    _ => blank,
                }
            };
            split_at(text, start, end, key, gap, syntax)
        }
    }
}

/// The key ends at `key` (relative to `start`), and `gap` bytes stand between it and the value.
fn split_at(
    text: &str,
    start: usize,
    end: usize,
    key: usize,
    gap: usize,
    syntax: Syntax,
) -> Option<Read> {
    let name = text[start..start + key].trim_end();
    if name.is_empty() {
        return None;
    }
    let key_end = start + name.len();
    let value_at = start + key + gap;
    let tail = &text[value_at..end];
    let value_start = value_at + tail.len() - tail.trim_start().len();
    let mut raw = value_start..value_start + text[value_start..end].trim_end().len();
    if syntax.inline_comments
        && let Some(comment) = text[raw.clone()].find(|c| syntax.comments.contains(c))
    {
        raw.end = raw.start + text[raw.start..raw.start + comment].trim_end().len();
    }
    let mut value = text[raw.clone()].to_owned();
    match syntax.continued {
        Continued::Never => {}
        Continued::Backslash => (raw.end, value) = joined(text, raw.clone(), end, syntax),
        Continued::Indented => (raw.end, value) = indented(text, start, raw.clone(), end, syntax),
    }
    if syntax.separator == Separator::Space {
        // login.defs(5): a value may stand in double quotes, and ends at the second one.
        if let Some(quoted) = value.strip_prefix('"') {
            let quoted = quoted.split('"').next().unwrap_or(quoted);
            value = quoted.to_owned();
        }
    }
    let is_flag = raw.is_empty()
        && matches!(
            syntax.separator,
            Separator::Space | Separator::EqualsOrSpace
        );
    if is_flag && !syntax.flags {
        return None;
    }
    Some(Read {
        key: start..key_end,
        separator: key_end..raw.start,
        raw,
        value,
    })
}

/// systemd.syntax(7): "lines ending in a backslash are concatenated with the following
/// non-comment line while reading, the backslash is replaced by a space character".
fn joined(text: &str, raw: Range<usize>, end: usize, syntax: Syntax) -> (usize, String) {
    let mut value = text[raw.clone()].to_owned();
    let mut raw_end = raw.end;
    let mut at = line_end(text, end);
    while value.ends_with('\\') {
        value.pop();
        value.push(' ');
        while at < text.len()
            && text[at..]
                .trim_start_matches([' ', '\t'])
                .starts_with(|c| syntax.comments.contains(c))
        {
            at = line_end(text, at);
        }
        if at >= text.len() {
            break;
        }
        let next = line_end(text, at);
        let part = text[at..next].trim_end();
        value.push_str(part.trim_start());
        raw_end = at + part.len();
        at = next;
    }
    (raw_end, value.trim().to_owned())
}

/// configparser of Python: "Values can also span multiple lines, as long as they are indented
/// deeper than the first line of the value"; empty lines and comments may stand between.
fn indented(
    text: &str,
    start: usize,
    raw: Range<usize>,
    end: usize,
    syntax: Syntax,
) -> (usize, String) {
    let depth = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let first = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let own = depth(&text[first..]);
    let mut value = text[raw.clone()].to_owned();
    let mut raw_end = raw.end;
    let mut at = line_end(text, end);
    while at < text.len() {
        let next = line_end(text, at);
        let line = text[at..next].trim_end();
        let part = line.trim_start();
        if !part.is_empty() && !part.starts_with(|c| syntax.comments.contains(c)) {
            if depth(line) <= own {
                break;
            }
            value.push(' ');
            value.push_str(part);
            raw_end = at + line.len();
        }
        at = next;
    }
    (raw_end, value.trim().to_owned())
}

/// sh(1), 2.2 Quoting (POSIX.1-2017, XCU 2.2): one word after `NAME=`, which may span lines.
fn shell_assignment(text: &str, start: usize, end: usize) -> Option<Read> {
    let line = &text[start..end];
    let exported = line
        .strip_prefix("export")
        .filter(|rest| rest.starts_with([' ', '\t']));
    let name_at = exported.map_or(start, |rest| end - rest.trim_start().len());
    let equals = name_at + text[name_at..end].find('=')?;
    let name = &text[name_at..equals];
    // XBD 3.235 Name: letters, digits and underscores, not beginning with a digit.
    if name.is_empty()
        || name.starts_with(|c: char| c.is_ascii_digit())
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return None;
    }
    let value_at = equals + 1;
    let (len, value) = shell_word(&text[value_at..]).unwrap_or_else(|| {
        // A quote that never ends: the line itself is all that can be said.
        let rest = text[value_at..end].trim_end();
        (rest.len(), rest.to_owned())
    });
    Some(Read {
        key: name_at..equals,
        separator: equals..value_at,
        raw: value_at..value_at + len,
        value,
    })
}

/// The word at the start of `text`: its length in bytes, and what it says. None when a quote
/// is not closed.
fn shell_word(text: &str) -> Option<(usize, String)> {
    let mut value = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' => loop {
                match characters.next()?.1 {
                    '\'' => break,
                    inner => value.push(inner),
                }
            },
            '"' => loop {
                match characters.next()?.1 {
                    '"' => break,
                    '\\' => match characters.next()?.1 {
                        '\n' => {}
                        escaped @ ('"' | '\\' | '$' | '`') => value.push(escaped),
                        other => value.extend(['\\', other]),
                    },
                    inner => value.push(inner),
                }
            },
            '\\' => match characters.next() {
                Some((_, '\n')) => {}
                Some((_, escaped)) => value.push(escaped),
                None => value.push('\\'),
            },
            c if c.is_whitespace() || ";&|<>()".contains(c) => return Some((at, value)),
            other => value.push(other),
        }
    }
    Some((text.len(), value))
}

/// Where the line that holds byte `at` ends, after its newline.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    text[at..]
        .find('\n')
        .map_or(text.len(), |found| at + found + 1)
}

fn newlines(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX)
}
