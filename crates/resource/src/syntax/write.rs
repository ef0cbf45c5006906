//! The writer: a text with one assignment changed, added or taken out. Comments,
//! order, white space and unknown lines stay as they are.

use std::ops::Range;

use super::scan::{Assignment, Scanned, header, line_end, scan};
use super::{Continued, Separator, Syntax, Wins};

/// The new value would not read back: it holds what this syntax can't say, or a quote or a
/// continued line before it is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value would not read back")]
pub struct NotReadBack;

/// The text in which `key` has `value`. The assignment that counts is changed in place; where
/// there is none, one is added after a commented-out example, else at the end of its section.
pub fn set(
    text: &str,
    syntax: Syntax,
    section: &str,
    key: &str,
    value: &str,
) -> Result<String, NotReadBack> {
    let out = written(text, syntax, section, key, value);
    let read = syntax.effective(&out, section, key);
    // One assignment more at most: an unclosed quote must not swallow others.
    let count = |text: &str| scan(text, syntax).assignments.len();
    let added = count(&out).saturating_sub(count(text));
    if read.is_some_and(|read| read.value == value) && added <= 1 && count(&out) >= count(text) {
        Ok(out)
    } else {
        Err(NotReadBack)
    }
}

/// The text of a systemd file in which a key that adds up says `value` and nothing else: an
/// empty assignment resets what was read before (systemd.unit(5)), and `value` follows.
pub fn set_list(text: &str, section: &str, key: &str, value: &str) -> Result<String, NotReadBack> {
    let syntax = Syntax::SYSTEMD;
    let ours = |text: &str| {
        let all = scan(text, syntax).assignments;
        let ours = all
            .into_iter()
            .filter(|one| one.section == section && one.key == key);
        ours.map(|one| one.value).collect::<Vec<_>>()
    };
    if ours(text) == ["", value] {
        return Ok(text.to_owned());
    }
    let mut out = text.to_owned();
    // From the last one up, so that the places of those before stay true.
    for found in scan(text, syntax).assignments.iter().rev() {
        if found.section == section && found.key == key {
            let before = &text[..found.separator.start];
            let start = before.rfind('\n').map_or(0, |at| at + 1);
            out.replace_range(start..line_end(text, found.raw.end), "");
        }
    }
    let reset = format!("{key}={}{key}", ending_of(text));
    out = added(&out, syntax, section, key, |separator| {
        assignment_line(syntax, &reset, separator, value)
    });
    if ours(&out) == ["", value] {
        Ok(out)
    } else {
        Err(NotReadBack)
    }
}

fn written(text: &str, syntax: Syntax, section: &str, key: &str, value: &str) -> String {
    if let Some(found) = syntax.effective(text, section, key) {
        if found.value == value {
            return text.to_owned();
        }
        return changed(text, syntax, &found, value);
    }
    added(text, syntax, section, key, |separator| {
        assignment_line(syntax, key, separator, value)
    })
}

/// The text with a new line for `key`, which `line` makes for a given separator.
fn added(
    text: &str,
    syntax: Syntax,
    section: &str,
    key: &str,
    line: impl Fn(&str) -> String,
) -> String {
    let scanned = scan(text, syntax);
    let example = example(text, syntax, &scanned, section, key);
    let separator = match &example {
        Some(example) => example.separator.clone(),
        None => usual_separator(text, syntax, &scanned),
    };
    let line = line(&separator);
    if let Some(example) = example {
        return inserted(text, example.after, &line);
    }
    match end_of_section(text, syntax, &scanned, section) {
        Some(at) => inserted(text, at, &line),
        None => {
            let blank = if text.is_empty() || text.ends_with("\n\n") {
                ""
            } else {
                "\n"
            };
            let ending = ending_of(text);
            let mut out = text.to_owned();
            if !out.is_empty() && !out.ends_with('\n') {
                out.push_str(ending);
            }
            out.push_str(blank);
            out.push_str(&format!("[{section}]{ending}{line}{ending}"));
            out
        }
    }
}

fn changed(text: &str, syntax: Syntax, found: &Assignment<'_>, value: &str) -> String {
    let old = &text[found.raw.clone()];
    let new = quoted(syntax, value, old);
    let separator = &text[found.separator.clone()];
    let mut out = text.to_owned();
    if value.is_empty() && syntax.flags {
        out.replace_range(found.separator.start..found.raw.end, "");
    } else if syntax.flags && old.is_empty() && separator.trim().is_empty() {
        // A flag that gets a value.
        let added = format!("{}{new}", default_separator(syntax));
        out.insert_str(found.separator.start, &added);
    } else {
        out.replace_range(found.raw.clone(), &new);
    }
    out
}

struct Example {
    /// The byte after its line.
    after: usize,
    separator: String,
}

/// A commented-out assignment of our key, in its section: `#Storage=auto`.
fn example(
    text: &str,
    syntax: Syntax,
    scanned: &Scanned<'_>,
    section: &str,
    key: &str,
) -> Option<Example> {
    let mut current = "";
    let mut at = 0;
    let mut found = None;
    let mut skip = scanned
        .assignments
        .iter()
        .map(|one| one.raw.clone())
        .peekable();
    while at < text.len() {
        let end = line_end(text, at);
        // A line within a value that spans several is no comment.
        while skip.peek().is_some_and(|raw: &Range<usize>| raw.end <= at) {
            skip.next();
        }
        let within = skip
            .peek()
            .is_some_and(|raw| raw.start < at && at < raw.end);
        let line = text[at..end].trim();
        if within {
        } else if syntax.sections && line.starts_with('[') {
            current = header(line).unwrap_or(current);
        } else if syntax.same(current, section)
            && let Some(rest) = line.strip_prefix(|c| syntax.comments.contains(c))
        {
            // Where white space separates, `# KEY words` is prose; elsewhere one space is usual.
            let rest = match syntax.separator {
                Separator::Space | Separator::EqualsOrSpace | Separator::Shell => rest,
                _ => rest.strip_prefix(' ').unwrap_or(rest),
            };
            let read = scan(
                rest,
                Syntax {
                    sections: false,
                    continued: Continued::Never,
                    ..syntax
                },
            );
            if let [one] = read.assignments.as_slice()
                && syntax.same(one.key, key)
                && rest.starts_with(one.key)
            {
                let separator = rest[one.separator.clone()].to_owned();
                let separator = if one.raw.is_empty() && separator.trim().is_empty() {
                    default_separator(syntax).to_owned()
                } else {
                    separator
                };
                found = Some(Example {
                    after: end,
                    separator,
                });
                if syntax.wins == Wins::First {
                    break;
                }
            }
        }
        at = end;
    }
    found
}

/// Where a new line of `section` goes: after its last line that is not blank, and before
/// comments that stand right above the next section. None when there is no such section.
fn end_of_section(
    text: &str,
    syntax: Syntax,
    scanned: &Scanned<'_>,
    section: &str,
) -> Option<usize> {
    if !syntax.sections {
        return Some(text.len());
    }
    let starts = line_starts(text);
    let index = |line: u32| {
        usize::try_from(line)
            .unwrap_or(usize::MAX)
            .saturating_sub(1)
    };
    let place = match syntax.wins {
        Wins::First => scanned
            .headers
            .iter()
            .position(|(name, _)| syntax.same(name, section)),
        Wins::Last => scanned
            .headers
            .iter()
            .rposition(|(name, _)| syntax.same(name, section)),
    };
    // The part before the first header is the section without a name.
    let (first, next) = match place {
        Some(place) => (
            index(scanned.headers[place].1) + 1,
            scanned.headers.get(place + 1),
        ),
        None if section.is_empty() => (0, scanned.headers.first()),
        None => return None,
    };
    let Some((_, next)) = next else {
        return Some(text.len());
    };
    let line = |at: usize| text[starts[at]..line_end(text, starts[at])].trim();
    let mut end = index(*next);
    let is_comment = |at: usize| line(at).starts_with(|c| syntax.comments.contains(c));
    while end > first && is_comment(end - 1) {
        end -= 1;
    }
    while end > first && line(end - 1).is_empty() {
        end -= 1;
    }
    Some(starts[end])
}

fn line_starts(text: &str) -> Vec<usize> {
    let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0)
        .chain(after_newlines)
        .filter(|at| *at < text.len())
        .collect()
}

/// The text with `line` put in at `at`, which is the start of a line or the end of the text.
fn inserted(text: &str, at: usize, line: &str) -> String {
    let ending = ending_of(text);
    let mut out = text[..at].to_owned();
    if !out.is_empty() && !out.ends_with('\n') {
        out.push_str(ending);
    }
    out.push_str(line);
    out.push_str(ending);
    out.push_str(&text[at..]);
    out
}

fn ending_of(text: &str) -> &'static str {
    if text[..line_end(text, 0)].ends_with("\r\n") {
        "\r\n"
    } else {
        "\n"
    }
}

fn assignment_line(syntax: Syntax, key: &str, separator: &str, value: &str) -> String {
    if value.is_empty() && syntax.flags {
        return key.to_owned();
    }
    let value = quoted(syntax, value, "");
    format!("{key}{separator}{value}").trim_end().to_owned()
}

/// As the file's other assignments have it.
fn usual_separator(text: &str, syntax: Syntax, scanned: &Scanned<'_>) -> String {
    scanned
        .assignments
        .iter()
        .filter(|one| !one.raw.is_empty())
        .map(|one| &text[one.separator.clone()])
        .next_back()
        .unwrap_or_else(|| default_separator(syntax))
        .to_owned()
}

fn default_separator(syntax: Syntax) -> &'static str {
    match syntax.separator {
        Separator::Equals | Separator::EqualsOrSpace
            if syntax.continued == Continued::Backslash =>
        {
            "="
        }
        Separator::Equals | Separator::EqualsOrSpace => " = ",
        Separator::Shell => "=",
        Separator::Space => " ",
        Separator::Colon => ": ",
    }
}

/// The value as it is written, in the quotes of what stood there before.
fn quoted(syntax: Syntax, value: &str, old: &str) -> String {
    match syntax.separator {
        Separator::Space if old.starts_with('"') => format!("\"{value}\""),
        Separator::Shell => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+=".contains(c);
            if old.starts_with('\'') && !value.contains('\'') {
                format!("'{value}'")
            } else if !old.starts_with('"') && value.chars().all(plain) {
                value.to_owned()
            } else {
                let mut out = String::from("\"");
                for character in value.chars() {
                    if "\"\\$`".contains(character) {
                        out.push('\\');
                    }
                    out.push(character);
                }
                out.push('"');
                out
            }
        }
        _ => value.to_owned(),
    }
}
