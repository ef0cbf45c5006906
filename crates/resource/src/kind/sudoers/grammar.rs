//! The grammar of one logical line of sudoers(5): aliases, defaults, user specifications
//! and includes. Positions are kept, so that a piece of a line can be edited in place.

use model::{HostPath, SourceLine};

/// A line with its continuations joined, comments taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalLine {
    path: HostPath,
    pub text: String,
    /// For each physical line: where it starts in `text`, its number, and the line itself.
    pieces: Vec<(usize, u32, String)>,
}

impl LogicalLine {
    pub fn at(&self) -> SourceLine {
        SourceLine::new(self.path.clone(), self.pieces[0].1)
    }

    /// A piece of the line; none when it spans physical lines.
    fn span(&self, from: usize, to: usize) -> Option<Span> {
        let (start, number, text) = self.pieces.iter().rfind(|(start, ..)| *start <= from)?;
        let (from, to) = (from - start, to - start);
        (to <= text.len()).then(|| Span {
            at: SourceLine::new(self.path.clone(), *number),
            text: text.clone(),
            from,
            to,
            instead: String::new(),
        })
    }
}

/// A piece of a physical line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub at: SourceLine,
    /// The whole physical line.
    pub text: String,
    /// Byte offsets in `text`.
    pub from: usize,
    pub to: usize,
    /// What is put in its place when it is taken out.
    pub instead: String,
}

/// A name in a list: `ana`, `%admins`, `#1000`, `ALL`, `!ana`, an alias, a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub negated: bool,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AliasKind {
    User,
    RunAs,
    Host,
    Command,
}

/// One command that a user specification allows, with the tags in effect for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub users: Vec<Member>,
    pub hosts: Vec<Member>,
    /// The users to run as; none when the rule has no list, empty when it names groups only.
    pub run_as: Option<Vec<Member>>,
    pub command: Member,
    /// `NOPASSWD` is in effect.
    pub passwordless: bool,
    /// `SETENV` is in effect: the caller chooses the command's variables.
    pub sets_environment: bool,
    /// `CHROOT=` and `CWD=` that are in effect; `*` leaves it to the caller.
    pub root: Option<String>,
    pub directory: Option<String>,
    /// Where the `NOPASSWD:` in effect stands, with the white space after it. None where the
    /// rule says it more than once: without one of them it would still hold.
    pub tag: Option<Span>,
    pub at: SourceLine,
}

/// For whom a default holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Everyone,
    /// `Defaults:ana`, `Defaults@host`, `Defaults!cmd`, `Defaults>user`: the sign and the list.
    Only(char, Vec<Member>),
}

/// One setting of a `Defaults` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub scope: Scope,
    pub name: String,
    pub value: SettingValue,
    pub at: SourceLine,
    /// The setting itself in its physical line.
    pub span: Option<Span>,
    /// The setting with a comma that separates it, or the whole line when it stands alone.
    pub removal: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// `name` or `!name`.
    Flag(bool),
    Set(String),
    /// `+=`
    Add(String),
    /// `-=`
    Take(String),
}

/// Tags stand before a colon; without this list, `ALL : other = …` would look like one.
const TAGS: [&str; 16] = [
    "EXEC",
    "FOLLOW",
    "INTERCEPT",
    "LOG_INPUT",
    "LOG_OUTPUT",
    "MAIL",
    "NOEXEC",
    "NOFOLLOW",
    "NOINTERCEPT",
    "NOLOG_INPUT",
    "NOLOG_OUTPUT",
    "NOMAIL",
    "NOPASSWD",
    "NOSETENV",
    "PASSWD",
    "SETENV",
];

/// Options of a command stand before an equals sign.
const OPTIONS: [&str; 10] = [
    "APPARMOR_PROFILE",
    "CHROOT",
    "CWD",
    "LIMITPRIVS",
    "NOTAFTER",
    "NOTBEFORE",
    "PRIVS",
    "ROLE",
    "TIMEOUT",
    "TYPE",
];

pub enum Parsed {
    Nothing,
    Aliases(AliasKind, Vec<(String, Vec<Member>)>),
    Grants(Vec<Grant>),
    Settings(Vec<Setting>),
    Include(String),
    IncludeDirectory(String),
}

/// Joins lines that end in a backslash. A comment ends its line, backslash or not.
pub fn logical_lines(path: &HostPath, text: &str) -> Vec<LogicalLine> {
    let mut lines = Vec::new();
    let mut open: Option<LogicalLine> = None;
    for (number, physical) in (1..).zip(text.lines()) {
        let bare = &physical[..comment_start(physical)];
        let commented = bare.len() < physical.len();
        let (piece, continues) = match bare.strip_suffix('\\') {
            Some(piece) if !commented && !piece.ends_with('\\') => (piece, true),
            _ => (bare, false),
        };
        let line = open.get_or_insert_with(|| LogicalLine {
            path: path.clone(),
            text: String::new(),
            pieces: Vec::new(),
        });
        line.pieces
            .push((line.text.len(), number, physical.to_owned()));
        line.text.push_str(piece);
        if !continues {
            lines.extend(open.take());
        }
    }
    lines.extend(open);
    lines
}

/// Where a comment begins. `#` before a digit is a user id, and the old spelling of an
/// include starts with one too.
fn comment_start(line: &str) -> usize {
    if line.trim_start().starts_with("#include") {
        return line.len();
    }
    let bytes = line.as_bytes();
    let mut quoted = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'"' => quoted = !quoted,
            b'#' if !quoted => {
                let rest = &bytes[at + 1..];
                let rest = rest.strip_prefix(b"-").unwrap_or(rest);
                if !rest.first().is_some_and(u8::is_ascii_digit) {
                    return at;
                }
            }
            _ => {}
        }
        at += 1;
    }
    line.len()
}

pub fn parse(line: &LogicalLine) -> Result<Parsed, String> {
    let text = line.text.trim_start();
    if text.trim_end().is_empty() {
        return Ok(Parsed::Nothing);
    }
    for (word, is_directory) in [("includedir", true), ("include", false)] {
        let rest = text
            .strip_prefix(['#', '@'])
            .and_then(|rest| rest.strip_prefix(word));
        if let Some(rest) = rest
            && rest.starts_with([' ', '\t'])
        {
            let name = rest.trim().trim_matches('"').replace("\\ ", " ");
            return Ok(if is_directory {
                Parsed::IncludeDirectory(name)
            } else {
                Parsed::Include(name)
            });
        }
    }
    let mut cursor = Cursor {
        line,
        at: line.text.len() - text.len(),
    };
    if text.starts_with("Defaults") {
        return settings(&mut cursor).map(Parsed::Settings);
    }
    for (word, kind) in [
        ("User_Alias", AliasKind::User),
        ("Runas_Alias", AliasKind::RunAs),
        ("Host_Alias", AliasKind::Host),
        ("Cmnd_Alias", AliasKind::Command),
        ("Cmd_Alias", AliasKind::Command),
    ] {
        if text
            .strip_prefix(word)
            .is_some_and(|rest| rest.starts_with([' ', '\t']))
        {
            cursor.at += word.len();
            return aliases(&mut cursor, kind).map(|found| Parsed::Aliases(kind, found));
        }
    }
    user_specification(&mut cursor).map(Parsed::Grants)
}

struct Cursor<'a> {
    line: &'a LogicalLine,
    at: usize,
}

impl Cursor<'_> {
    fn rest(&self) -> &str {
        &self.line.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Takes the character when it is next, white space before it aside.
    fn take(&mut self, wanted: char) -> bool {
        let before = self.at;
        self.skip_space();
        if self.peek() == Some(wanted) {
            self.at += wanted.len_utf8();
            return true;
        }
        self.at = before;
        false
    }

    fn at_end(&mut self) -> bool {
        self.skip_space();
        self.rest().is_empty()
    }

    /// A text up to an unquoted, unescaped character of `stops`.
    fn text(&mut self, stops: &[char]) -> Result<String, String> {
        let mut out = String::new();
        let mut quoted = false;
        while let Some(c) = self.peek() {
            if !quoted && stops.contains(&c) {
                break;
            }
            self.at += c.len_utf8();
            match c {
                '\\' => {
                    if let Some(next) = self.peek() {
                        self.at += next.len_utf8();
                        out.push(next);
                    }
                }
                '"' => quoted = !quoted,
                c => out.push(c),
            }
        }
        if quoted {
            return Err("a quote is not closed".to_owned());
        }
        Ok(out)
    }

    fn negation(&mut self) -> bool {
        let mut negated = false;
        while self.take('!') {
            negated = !negated;
        }
        self.skip_space();
        negated
    }

    /// Names with commas between them.
    fn members(&mut self) -> Result<Vec<Member>, String> {
        let mut members = Vec::new();
        loop {
            self.skip_space();
            let negated = self.negation();
            let name = self.text(&[' ', '\t', ',', '=', ':', '(', ')', '!'])?;
            if name.is_empty() {
                return Err("a name is missing".to_owned());
            }
            members.push(Member { negated, name });
            if !self.take(',') {
                return Ok(members);
            }
        }
    }
}

fn aliases(cursor: &mut Cursor<'_>, kind: AliasKind) -> Result<Vec<(String, Vec<Member>)>, String> {
    let mut found = Vec::new();
    loop {
        cursor.skip_space();
        let name = cursor.text(&[' ', '\t', '=', ':', ','])?;
        if name.is_empty() || !cursor.take('=') {
            return Err("an alias has no value".to_owned());
        }
        let members = match kind {
            AliasKind::Command => commands(cursor)?,
            _ => cursor.members()?,
        };
        found.push((name, members));
        if cursor.at_end() {
            return Ok(found);
        }
        if !cursor.take(':') {
            return Err("an alias is not understood".to_owned());
        }
    }
}

fn commands(cursor: &mut Cursor<'_>) -> Result<Vec<Member>, String> {
    let mut members = Vec::new();
    loop {
        members.push(command(cursor)?);
        if !cursor.take(',') {
            return Ok(members);
        }
    }
}

/// A command with its arguments. A digest before it is passed over; one that is not allowed keeps it,
/// since only the file with that digest is meant.
fn command(cursor: &mut Cursor<'_>) -> Result<Member, String> {
    let mut digests = String::new();
    loop {
        let negated = cursor.negation();
        let rest = cursor.rest();
        let digest = ["sha224", "sha256", "sha384", "sha512"].iter().any(|name| {
            rest.strip_prefix(name)
                .is_some_and(|rest| rest.trim_start().starts_with(':'))
        });
        if digest {
            let begun = cursor.at;
            cursor.text(&[':'])?;
            cursor.take(':');
            cursor.skip_space();
            cursor.text(&[' ', '\t', ','])?;
            cursor.take(',');
            digests += &cursor.line.text[begun..cursor.at];
            continue;
        }
        let from = cursor.at;
        // A regular expression ends at its `$`, and needs no escapes within.
        let name = if rest.starts_with('^') {
            let end = rest
                .match_indices('$')
                .map(|(at, _)| at + 1)
                .find(|at| {
                    rest[*at..]
                        .chars()
                        .next()
                        .is_none_or(|c| " \t,:".contains(c))
                })
                .ok_or("a regular expression does not end")?;
            let pattern = rest[..end].to_owned();
            cursor.at += end;
            pattern + &cursor.text(&[',', ':'])?
        } else {
            cursor.text(&[',', ':'])?
        };
        let mut name = match negated && !digests.is_empty() {
            true => format!("{} {}", digests.trim_end(), name.trim_end()),
            false => name.trim_end().to_owned(),
        };
        if name.is_empty() {
            return Err("a command is missing".to_owned());
        }
        // Two quotes of their own allow no argument, and are kept.
        let written = cursor.line.text[from..cursor.at].trim_end();
        let before = written.strip_suffix("\"\"");
        if before.is_some_and(|before| before.ends_with([' ', '\t'])) {
            name.push_str(" \"\"");
        }
        return Ok(Member { negated, name });
    }
}

fn user_specification(cursor: &mut Cursor<'_>) -> Result<Vec<Grant>, String> {
    let users = cursor.members()?;
    let mut grants = Vec::new();
    loop {
        let hosts = cursor.members()?;
        if !cursor.take('=') {
            return Err("`=` is missing".to_owned());
        }
        let mut run_as: Option<Vec<Member>> = None;
        let mut tags: Vec<(usize, usize)> = Vec::new();
        let mut sets_environment = false;
        let (mut root, mut directory) = (None, None);
        // Run-as lists and tags hold for the commands after them, until changed.
        loop {
            if cursor.take('(') {
                run_as = Some(run_as_users(cursor)?);
            }
            while let Some(found) = tag_or_option(cursor)? {
                match found.name.as_str() {
                    "NOPASSWD" => tags.push((found.from, found.to)),
                    "PASSWD" => tags.clear(),
                    "SETENV" => sets_environment = true,
                    "NOSETENV" => sets_environment = false,
                    "CHROOT" => root = Some(found.value),
                    "CWD" => directory = Some(found.value),
                    _ => {}
                }
            }
            let command = command(cursor)?;
            grants.push(Grant {
                users: users.clone(),
                hosts: hosts.clone(),
                run_as: run_as.clone(),
                command,
                passwordless: !tags.is_empty(),
                sets_environment,
                root: root.clone(),
                directory: directory.clone(),
                tag: match tags[..] {
                    [(from, to)] => cursor.line.span(from, to),
                    _ => None,
                },
                at: cursor.line.at(),
            });
            if !cursor.take(',') {
                break;
            }
        }
        if cursor.at_end() {
            return Ok(grants);
        }
        if !cursor.take(':') {
            return Err("a rule is not understood".to_owned());
        }
    }
}

/// What stands in `(users : groups)`; groups alone leave the user as it is.
fn run_as_users(cursor: &mut Cursor<'_>) -> Result<Vec<Member>, String> {
    let mut users = Vec::new();
    cursor.skip_space();
    if !matches!(cursor.peek(), Some(':' | ')')) {
        users = cursor.members()?;
    }
    if cursor.take(':') {
        cursor.skip_space();
        if cursor.peek() != Some(')') {
            cursor.members()?;
        }
    }
    if !cursor.take(')') {
        return Err("`)` is missing".to_owned());
    }
    Ok(users)
}

/// `NOPASSWD:` or `CWD=/x`, with the offsets from its start to the next word.
struct TagOrOption {
    name: String,
    /// Empty of a tag.
    value: String,
    from: usize,
    to: usize,
}

fn tag_or_option(cursor: &mut Cursor<'_>) -> Result<Option<TagOrOption>, String> {
    cursor.skip_space();
    let from = cursor.at;
    let rest = cursor.rest();
    let length = rest
        .find(|c: char| !c.is_ascii_uppercase() && c != '_')
        .unwrap_or(rest.len());
    let name = rest[..length].to_owned();
    let after = rest[length..].trim_start();
    if name.is_empty() || !after.starts_with([':', '=']) {
        return Ok(None);
    }
    let is_option = after.starts_with('=');
    let known: &[&str] = if is_option { &OPTIONS } else { &TAGS };
    if !known.contains(&name.as_str()) {
        return Ok(None);
    }
    cursor.at += rest.len() - after.len() + 1;
    let mut value = String::new();
    if is_option {
        cursor.skip_space();
        value = cursor.text(&[' ', '\t', ',', ':'])?;
    }
    cursor.skip_space();
    let to = cursor.at;
    Ok(Some(TagOrOption {
        name,
        value,
        from,
        to,
    }))
}

fn settings(cursor: &mut Cursor<'_>) -> Result<Vec<Setting>, String> {
    cursor.at += "Defaults".len();
    let scope = match cursor.peek() {
        Some(sign @ (':' | '@' | '!' | '>')) => {
            cursor.at += 1;
            Scope::Only(sign, cursor.members()?)
        }
        Some(' ' | '\t') => Scope::Everyone,
        _ => return Err("`Defaults` is not understood".to_owned()),
    };
    let mut found: Vec<(String, SettingValue, usize, usize)> = Vec::new();
    loop {
        cursor.skip_space();
        let from = cursor.at;
        let negated = cursor.negation();
        let name = cursor.text(&[' ', '\t', ',', '=', '+', '-'])?;
        if name.is_empty() {
            return Err("a setting is missing".to_owned());
        }
        let mut end = cursor.at;
        cursor.skip_space();
        let operator = ["+=", "-=", "="]
            .into_iter()
            .find(|operator| cursor.rest().starts_with(operator));
        let value = match operator {
            None => SettingValue::Flag(!negated),
            Some(operator) => {
                cursor.at += operator.len();
                cursor.skip_space();
                let text = cursor.text(&[',', ' ', '\t'])?;
                end = cursor.at;
                match operator {
                    "+=" => SettingValue::Add(text),
                    "-=" => SettingValue::Take(text),
                    _ => SettingValue::Set(text),
                }
            }
        };
        found.push((name, value, from, end));
        if !cursor.take(',') {
            break;
        }
    }
    if !cursor.at_end() {
        return Err("`Defaults` is not understood".to_owned());
    }
    let spans: Vec<(usize, usize)> = found
        .iter()
        .map(|(_, _, from, end)| (*from, *end))
        .collect();
    Ok(found
        .into_iter()
        .enumerate()
        .map(|(at, (name, value, from, end))| {
            // With the comma after it, or the one before it, or the whole line.
            let (cut_from, cut_to) = match (at.checked_sub(1), spans.get(at + 1)) {
                (_, Some(next)) => (from, next.0),
                (Some(before), None) => (spans[before].1, end),
                (None, None) => (0, cursor.line.text.len()),
            };
            let span = cursor.line.span(from, end);
            Setting {
                scope: scope.clone(),
                name,
                value,
                at: span
                    .as_ref()
                    .map_or_else(|| cursor.line.at(), |span| span.at.clone()),
                span,
                removal: cursor.line.span(cut_from, cut_to),
            }
        })
        .collect())
}
