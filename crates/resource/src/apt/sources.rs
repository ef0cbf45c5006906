//! A reader for sources.list(5), in both of its forms: one line each (`*.list`), and
//! stanzas (`*.sources`, deb822).

/// One source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The first line of its entry, from 1.
    pub line: u32,
    /// `deb`, `deb-src`
    pub types: Vec<String>,
    pub uris: Vec<String>,
    pub suites: Vec<String>,
    pub components: Vec<String>,
    /// Everything else, with names in lower case: `signed-by`, `trusted`.
    pub options: Vec<Opt>,
    /// A stanza may be switched off.
    pub enabled: bool,
    /// Lines of the entry, from 1 and inclusive.
    pub lines: (u32, u32),
}

/// An option of a source, and the lines that hold it, from 1 and inclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opt {
    pub name: String,
    pub value: String,
    pub lines: (u32, u32),
}

impl Source {
    pub fn option(&self, name: &str) -> Option<&Opt> {
        self.options.iter().find(|option| option.name == name)
    }
}

/// The entry breaks the syntax, and apt would refuse to run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Malformed {
    /// From 1.
    pub line: u32,
    pub why: &'static str,
}

/// Reads one-line entries: `deb [signed-by=KEY] URI SUITE COMPONENT…`.
pub fn parse_list(text: &str) -> Result<Vec<Source>, Malformed> {
    let mut sources = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let bad = |why| Malformed { line, why };
        let (plain, options) = match brackets(content) {
            Some((before, inner, after)) => {
                if inner.contains(['[', '"', '#']) || !after.starts_with(char::is_whitespace) {
                    return Err(bad("options that are not `[name=value …]`"));
                }
                (format!("{before}{after}"), inner)
            }
            None => (content.to_owned(), ""),
        };
        let words = words(&plain).map_err(bad)?;
        let Some((kind, rest)) = words.split_first() else {
            continue;
        };
        // As it stands, without quotes: edits find their place after it.
        let written = content.split_whitespace().next();
        if !matches!(written, Some("deb" | "deb-src")) {
            return Err(bad("neither `deb` nor `deb-src`"));
        }
        if rest.first().is_some_and(|word| word.starts_with('[')) {
            return Err(bad("options that are not `[name=value …]`"));
        }
        let options = options
            .split_whitespace()
            .map(|option| {
                let (name, value) = option
                    .split_once('=')
                    .ok_or_else(|| bad("an option without `=`"))?;
                Ok(Opt {
                    name: name.trim_end_matches(['+', '-']).to_ascii_lowercase(),
                    value: value.to_owned(),
                    lines: (line, line),
                })
            })
            .collect::<Result<Vec<Opt>, Malformed>>()?;
        let [uri, suite, components @ ..] = rest else {
            return Err(bad("no URI, or no suite"));
        };
        // sources.list(5): an exact path ends with a slash and has no components.
        if components.is_empty() != suite.ends_with('/') {
            return Err(bad("no component, or a component after an exact path"));
        }
        sources.push(Source {
            line,
            types: vec![kind.clone()],
            uris: vec![uri.clone()],
            suites: vec![suite.clone()],
            components: components.to_vec(),
            options,
            enabled: true,
            lines: (line, line),
        });
    }
    Ok(sources)
}

/// The words of a line up to a comment. Brackets and quotes hold spaces together, as in
/// `cdrom:[Debian 12]/`.
fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut in_brackets = false;
    let mut in_quotes = false;
    for character in line.chars() {
        match character {
            '"' => in_quotes = !in_quotes,
            '[' if !in_quotes => in_brackets = true,
            ']' if !in_quotes => in_brackets = false,
            _ => {}
        }
        let held = in_brackets || in_quotes;
        if character == '#' && !held {
            break;
        }
        if character.is_whitespace() && !held {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        } else if character != '"' {
            word.push(character);
        }
    }
    if in_brackets {
        return Err("`[` without `]`");
    }
    if in_quotes {
        return Err("a quote without its end");
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

/// Reads stanzas of deb822(5), in the places where that page leaves a choice as apt does: a
/// line that begins with `#` is not there at all, so what follows it continues the field before
/// it; and only an empty line ends a stanza, not one of white space.
pub fn parse_stanzas(text: &str) -> Result<Vec<Source>, Malformed> {
    let mut sources = Vec::new();
    let mut fields: Vec<Opt> = Vec::new();
    for (line, content) in (1..).zip(text.lines().chain([""])) {
        if content.is_empty() {
            if let Some(source) = stanza(std::mem::take(&mut fields))? {
                sources.push(source);
            }
        } else if is_passed_over(content) {
            // Nothing to read.
        } else if is_continuation(content) {
            let field = fields.last_mut().ok_or(Malformed {
                line,
                why: "a continuation without a field",
            })?;
            field.value.push('\n');
            field.value.push_str(content.trim());
            field.lines.1 = line;
        } else {
            let (name, value) = content.split_once(':').ok_or(Malformed {
                line,
                why: "neither a field nor a comment",
            })?;
            let name = name.trim().to_ascii_lowercase();
            // deb822(5): "The same field name must not appear more than once".
            if fields.iter().any(|field| field.name == name) {
                return Err(Malformed {
                    line,
                    why: "a field stands twice in a stanza",
                });
            }
            fields.push(Opt {
                name,
                value: value.trim().to_owned(),
                lines: (line, line),
            });
        }
    }
    Ok(sources)
}

/// White space as apt knows it.
const WHITE: [char; 6] = [' ', '\t', '\n', '\r', '\x0b', '\x0c'];

fn is_continuation(line: &str) -> bool {
    line.starts_with(WHITE) && !is_passed_over(line)
}

/// Is this a line that may stand between the lines of a field, and says nothing?
fn is_passed_over(line: &str) -> bool {
    line.starts_with('#') || line.trim_matches(WHITE).is_empty()
}

fn stanza(fields: Vec<Opt>) -> Result<Option<Source>, Malformed> {
    let (Some(first), Some(last)) = (fields.first(), fields.last()) else {
        return Ok(None);
    };
    let line = first.lines.0;
    let mut source = Source {
        line,
        enabled: true,
        lines: (line, last.lines.1),
        ..Source::default()
    };
    for field in fields {
        let list = || field.value.split_whitespace().map(str::to_owned).collect();
        match field.name.as_str() {
            "types" => source.types = list(),
            "uris" => source.uris = list(),
            "suites" => source.suites = list(),
            "components" => source.components = list(),
            "enabled" => source.enabled = super::boolean(&field.value) != Some(false),
            _ => source.options.push(field),
        }
    }
    if source.types.is_empty() || source.uris.is_empty() || source.suites.is_empty() {
        return Err(Malformed {
            line,
            why: "a stanza needs Types, URIs and Suites",
        });
    }
    Ok(Some(source))
}

/// A one-line entry without the options of these names.
pub fn line_without(line: &str, names: &[&str]) -> String {
    let Some((before, inner, after)) = brackets(line) else {
        return line.to_owned();
    };
    let kept: Vec<&str> = inner
        .split_whitespace()
        .filter(|option| {
            let name = option.split('=').next().unwrap_or_default();
            !names.contains(
                &name
                    .trim_end_matches(['+', '-'])
                    .to_ascii_lowercase()
                    .as_str(),
            )
        })
        .collect();
    if kept.is_empty() {
        format!("{before}{}", after.trim_start())
    } else {
        format!("{before}[{}]{after}", kept.join(" "))
    }
}

/// A one-line entry with one more option.
pub fn line_with(line: &str, option: &str) -> String {
    if let Some((before, inner, after)) = brackets(line) {
        return format!("{before}[{} {option}]{after}", inner.trim());
    }
    let start = line.len() - line.trim_start().len();
    let end = line[start..]
        .find(char::is_whitespace)
        .map_or(line.len(), |end| start + end);
    format!("{} [{option}]{}", &line[..end], &line[end..])
}

/// The options of a one-line entry, and what stands around their brackets. Brackets
/// further on belong to the URI.
fn brackets(line: &str) -> Option<(&str, &str, &str)> {
    let start = line.len() - line.trim_start().len();
    let kind = line[start..].find(char::is_whitespace)? + start;
    if !matches!(&line[start..kind], "deb" | "deb-src") {
        return None;
    }
    let open = line.len() - line[kind..].trim_start().len();
    let inner = line[open..].strip_prefix('[')?;
    let close = inner.find(']')?;
    Some((&line[..open], &inner[..close], &inner[close + 1..]))
}

/// The text in which the stanza has these fields, named as they are to be written, with all
/// other lines as they are. Comments between the lines of a field stay, too.
pub fn stanza_with(text: &str, stanza: &Source, fields: &[(&str, String)]) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let is_dos = lines.first().is_some_and(|line| line.ends_with("\r\n"));
    let ending = if is_dos { "\r\n" } else { "\n" };
    let (first, last) = (index(stanza.lines.0), index(stanza.lines.1));
    let mut end = (last + 1).min(lines.len());
    if let Some(line) = lines.last_mut().filter(|line| !line.ends_with('\n')) {
        line.push_str(ending);
    }
    for (name, value) in fields {
        let new = format!("{name}: {value}{ending}");
        let is_ours = |line: &String| {
            !line.starts_with(WHITE)
                && line
                    .split_once(':')
                    .is_some_and(|(written, _)| written.trim().eq_ignore_ascii_case(name))
        };
        let Some(at) = (first..end).find(|at| is_ours(&lines[*at])) else {
            lines.insert(end, new);
            end += 1;
            continue;
        };
        lines[at] = new;
        let mut next = at + 1;
        while next < end {
            if is_continuation(&lines[next]) {
                lines.remove(next);
                end -= 1;
            } else if is_passed_over(&lines[next]) {
                next += 1;
            } else {
                break;
            }
        }
    }
    let mut out = lines.concat();
    // The last line of a file without a final newline stays without one.
    if !text.ends_with('\n') {
        out.truncate(out.len() - ending.len());
    }
    out
}

fn index(line: u32) -> usize {
    usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX)
}
