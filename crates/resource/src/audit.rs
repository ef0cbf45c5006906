//! Audit rules in one form, whoever wrote them: auditctl(8) takes many spellings and
//! lists rules in another than they were written in.

mod numbers;

use std::cmp::Ordering;
use std::collections::BTreeSet;

pub use numbers::Machine;

/// A rule, taken apart. Two spellings of one rule are equal.
#[derive(Clone, Debug)]
pub struct AuditRule {
    /// `exit`, `user`, `exclude`, `task`, `filesystem`, `io_uring`
    pub list: String,
    /// `always` or `never`
    pub action: String,
    /// `auid>=1000`, `watch=/etc/passwd`: all must hold for the rule to match.
    pub fields: BTreeSet<String>,
    /// Of `r`, `w`, `x`, `a`; empty when the rule doesn't ask.
    pub access: BTreeSet<char>,
    /// By name or number; empty for all.
    pub syscalls: BTreeSet<String>,
    /// Labels, which decide nothing.
    pub keys: BTreeSet<String>,
    /// `-F path=`: not what lies below it. The kernel's list does not tell, so it decides no
    /// equality.
    pub itself_only: bool,
}

impl PartialEq for AuditRule {
    fn eq(&self, other: &Self) -> bool {
        let all = |rule: &Self| {
            (
                rule.list.clone(),
                rule.action.clone(),
                rule.fields.clone(),
                rule.access.clone(),
                rule.syscalls.clone(),
                rule.keys.clone(),
            )
        };
        all(self) == all(other)
    }
}

impl Eq for AuditRule {}

/// One line of a rules file, or of the kernel's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditLine {
    Rule {
        rule: AuditRule,
        /// `-A`: before the rules that are there.
        first: bool,
    },
    /// `-e`: 0 off, 1 on, 2 locked until the next boot.
    Enabled(u32),
    /// `-D`, of all rules or of those with a label.
    DeleteAll(Option<String>),
    /// `-d`, `-W`
    Delete(AuditRule),
    /// `-i`, `-c`: what is refused does not end the reading.
    GoOn,
    /// Anything else that is no rule: sizes, limits, comments.
    Other,
    /// What is not understood: auditctl(8) may refuse it, and it stops there.
    NotUnderstood,
}

impl AuditLine {
    /// With the numbers of system calls on this machine in place of their names.
    #[must_use]
    pub fn on(self, machine: Option<Machine>) -> Self {
        match self {
            Self::Rule { rule, first } => Self::Rule {
                rule: rule.on(machine),
                first,
            },
            Self::Delete(rule) => Self::Delete(rule.on(machine)),
            other => other,
        }
    }
}

impl AuditRule {
    /// With the numbers of system calls on this machine in place of their names: the kernel knows
    /// nothing else. A rule of no architecture has the machine's own numbers, and meets whatever
    /// has such a number elsewhere.
    #[must_use]
    pub fn on(mut self, machine: Option<Machine>) -> Self {
        if let Some(machine) = machine {
            let is_32_bit = self.fields.contains("arch=b32");
            let calls = std::mem::take(&mut self.syscalls).into_iter();
            self.syscalls = calls
                .map(|call| machine.number(&call, is_32_bit).unwrap_or(call))
                .collect();
        }
        self
    }
}

/// The line with each value in a word of its own: `-pwa` is `-p wa` (getopt(3)).
fn spread(line: &str) -> String {
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        let is_glued =
            word.len() > 2 && word.starts_with('-') && word.as_bytes()[1].is_ascii_alphabetic();
        match is_glued {
            true => words.extend([&word[..2], &word[2..]]),
            false => words.push(word),
        }
    }
    words.join(" ")
}

/// Reads one line.
pub fn parse_line(line: &str) -> AuditLine {
    let line = spread(line);
    let line = line.as_str();
    let mut words = line.split_whitespace();
    match words.next() {
        None => AuditLine::Other,
        Some(word) if word.starts_with('#') => AuditLine::Other,
        Some("-e") => words
            .next()
            .and_then(|level| level.parse().ok())
            .map_or(AuditLine::NotUnderstood, AuditLine::Enabled),
        Some("-D") => match (words.next(), words.next(), words.next()) {
            (None, ..) => AuditLine::DeleteAll(None),
            (Some("-k"), Some(key), None) => AuditLine::DeleteAll(Some(key.to_owned())),
            _ => AuditLine::NotUnderstood,
        },
        Some("-a" | "-A" | "-w") => parse_rule(line).map_or(AuditLine::NotUnderstood, |rule| {
            let first = line.starts_with("-A");
            AuditLine::Rule { rule, first }
        }),
        // `-d` takes what `-a` took, and `-W` what `-w` took.
        Some(word @ ("-d" | "-W")) => {
            let adding = if word == "-d" { "-a" } else { "-w" };
            parse_rule(&line.replacen(word, adding, 1))
                .map_or(AuditLine::NotUnderstood, AuditLine::Delete)
        }
        Some("-i" | "-c") => AuditLine::GoOn,
        Some("-b" | "-f" | "-r") => match words.next().map(str::parse::<u64>) {
            Some(Ok(_)) => AuditLine::Other,
            _ => AuditLine::NotUnderstood,
        },
        Some("-s" | "-l" | "-q" | "-t" | "-m") => AuditLine::Other,
        Some(word) if word.starts_with("--") => AuditLine::Other,
        Some(_) => AuditLine::NotUnderstood,
    }
}

/// Reads a rule that adds: `-w …`, `-a …` or `-A …`. The error says what is wrong.
pub fn parse_rule(line: &str) -> Result<AuditRule, String> {
    let mut rule = AuditRule {
        list: String::new(),
        action: String::new(),
        fields: BTreeSet::new(),
        access: BTreeSet::new(),
        syscalls: BTreeSet::new(),
        keys: BTreeSet::new(),
        itself_only: false,
    };
    let mut is_watch = false;
    let line = spread(line);
    let mut words = line.split_whitespace();
    while let Some(option) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| format!("`{option}` needs a value"))?;
        match option {
            "-a" | "-A" => {
                let (one, other) = value
                    .split_once(',')
                    .ok_or_else(|| format!("`{value}` is not a list and an action"))?;
                let (action, list) = match (one, other) {
                    ("always" | "never", list) => (one, list),
                    (list, "always" | "never") => (other, list),
                    _ => return Err(format!("`{value}` has neither `always` nor `never`")),
                };
                action.clone_into(&mut rule.action);
                list.clone_into(&mut rule.list);
            }
            "-w" => {
                if !value.starts_with('/') {
                    return Err(format!("`{value}` is not an absolute path"));
                }
                is_watch = true;
                "always".clone_into(&mut rule.action);
                "exit".clone_into(&mut rule.list);
                rule.fields
                    .insert(format!("watch={}", without_slash(value)));
            }
            "-p" => rule.access = access(value)?,
            "-k" => {
                rule.keys.insert(value.to_owned());
            }
            "-S" => rule.syscalls.extend(
                value
                    .split(',')
                    .filter(|name| *name != "all")
                    .map(str::to_owned),
            ),
            "-C" => {
                rule.fields.insert(comparison(value)?);
            }
            "-F" => add_field(&mut rule, value)?,
            _ => return Err(format!("`{option}` is not an option of a rule")),
        }
    }
    if rule.list.is_empty() {
        return Err("a rule begins with `-w`, `-a` or `-A`".to_owned());
    }
    // auditctl(8), -p: without it, a watch is about every access.
    if is_watch && rule.access.is_empty() {
        rule.access = "rwxa".chars().collect();
    }
    Ok(rule)
}

/// Two fields of one event: which of them stands first means nothing (auditctl(8), -C), and the
/// kernel lists them in its own order.
fn comparison(text: &str) -> Result<String, String> {
    let (operator, sides) = ["!=", "="]
        .into_iter()
        .find_map(|operator| Some((operator, text.split_once(operator)?)))
        .filter(|(_, (one, other))| !one.is_empty() && !other.is_empty())
        .ok_or_else(|| format!("`{text}` does not compare two fields"))?;
    let name = |field| match field {
        "loginuid" => "auid",
        field => field,
    };
    let (one, other) = (name(sides.0), name(sides.1));
    let (one, other) = (one.min(other), one.max(other));
    Ok(format!("compare {one}{operator}{other}"))
}

/// The operators of auditctl(8), longer ones first.
const OPERATORS: [&str; 8] = ["!=", ">=", "<=", "&=", "=", ">", "<", "&"];

fn add_field(rule: &mut AuditRule, field: &str) -> Result<(), String> {
    let bad = || format!("`{field}` is not a field, an operator and a value");
    let at = field
        .find(['!', '>', '<', '&', '='])
        .filter(|at| *at > 0)
        .ok_or_else(bad)?;
    let (name, rest) = field.split_at(at);
    let operator = OPERATORS
        .into_iter()
        .find(|operator| rest.starts_with(operator))
        .ok_or_else(bad)?;
    let value = &rest[operator.len()..];
    if value.is_empty() {
        return Err(bad());
    }
    match (name, operator) {
        ("key", "=") => {
            rule.keys.insert(value.to_owned());
        }
        ("perm", "=") => rule.access = access(value)?,
        // The kernel's list shows both as `-w`, so they can't be told apart there.
        ("path" | "dir", "=") => {
            rule.itself_only |= name == "path";
            rule.fields
                .insert(format!("watch={}", without_slash(value)));
        }
        _ => {
            let name = if name == "loginuid" { "auid" } else { name };
            rule.fields
                .insert(format!("{name}{operator}{}", canonical(name, value)));
        }
    }
    Ok(())
}

/// Values that have several spellings.
fn canonical<'v>(name: &str, value: &'v str) -> &'v str {
    match (name, value) {
        ("auid" | "uid" | "euid" | "suid" | "fsuid", "unset" | "4294967295") => "-1",
        ("auid" | "uid" | "euid" | "suid" | "fsuid" | "obj_uid", "root") => "0",
        ("gid" | "egid" | "sgid" | "fsgid" | "obj_gid", "root") => "0",
        // linux/audit.h, AUDIT_ARCH_…
        ("arch", "x86_64" | "aarch64" | "c000003e" | "c00000b7") => "b64",
        ("arch", "i386" | "i686" | "40000003" | "40000028") => "b32",
        ("exit", value) => numbers::exit(value),
        _ => value,
    }
}

fn without_slash(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

fn access(letters: &str) -> Result<BTreeSet<char>, String> {
    if letters.is_empty() || !letters.chars().all(|letter| "rwxa".contains(letter)) {
        return Err(format!("`{letters}` is not made of r, w, x and a"));
    }
    Ok(letters.chars().collect())
}

/// Rules in the order in which they are tried.
#[derive(Clone, Debug)]
pub struct RuleList<T> {
    rules: Vec<(AuditRule, T)>,
}

impl<T> Default for RuleList<T> {
    fn default() -> Self {
        Self { rules: Vec::new() }
    }
}

impl<T> RuleList<T> {
    /// Adds one line's rule, where it holds one.
    pub fn add(&mut self, line: AuditLine, place: T) {
        match line {
            AuditLine::Rule { rule, first: true } => self.rules.insert(0, (rule, place)),
            AuditLine::Rule { rule, first: false } => self.rules.push((rule, place)),
            AuditLine::DeleteAll(None) => self.rules.clear(),
            AuditLine::DeleteAll(Some(key)) => {
                self.rules.retain(|(rule, _)| !rule.keys.contains(&key));
            }
            AuditLine::Delete(gone) => self.rules.retain(|(rule, _)| *rule != gone),
            AuditLine::Enabled(_)
            | AuditLine::GoOn
            | AuditLine::Other
            | AuditLine::NotUnderstood => {}
        }
    }

    /// Is everything that `wanted` records recorded by these rules? If so, the place of the
    /// first rule that does a part of it. Of several rules that match an event, the first
    /// decides (auditctl(8), -a), so a `never` before it hides a rule.
    pub fn cover(&self, wanted: &AuditRule) -> Option<&T> {
        let each = |set: &BTreeSet<String>| -> Vec<Option<String>> {
            if set.is_empty() {
                vec![None]
            } else {
                set.iter().cloned().map(Some).collect()
            }
        };
        let access: Vec<Option<char>> = if wanted.access.is_empty() {
            vec![None]
        } else {
            wanted.access.iter().copied().map(Some).collect()
        };
        let mut place = None;
        for syscall in each(&wanted.syscalls) {
            for access in &access {
                let at = self
                    .decides(wanted, syscall.as_ref(), access.as_ref())
                    .or_else(|| self.decide_together(wanted, syscall.as_ref(), access.as_ref()))?;
                place = place.or(Some(at));
            }
        }
        place
    }

    /// The rule that records all of this; none where one before it hides a part of it.
    fn decides(
        &self,
        wanted: &AuditRule,
        syscall: Option<&String>,
        access: Option<&char>,
    ) -> Option<&T> {
        for (rule, at) in self.rules.iter().filter(|(one, _)| one.list == wanted.list) {
            // Fewer conditions match more.
            let is_all = rule.fields.iter().all(|field| holds(rule, field, wanted))
                && includes(&rule.syscalls, syscall)
                && includes(&rule.access, access);
            if is_all {
                return (rule.action == wanted.action).then_some(at);
            }
            let is_part = rule.action != wanted.action
                && touches(&rule.syscalls, syscall)
                && touches(&rule.access, access)
                && !rule.fields.iter().any(|field| excludes(field, wanted));
            if is_part {
                return None;
            }
        }
        None
    }

    /// The same of two rules, one for each kind of system call that a kernel of 64 bits has: what a
    /// watch (`-w`) records, written in the syscall form (auditctl(8)).
    fn decide_together(
        &self,
        wanted: &AuditRule,
        syscall: Option<&String>,
        access: Option<&char>,
    ) -> Option<&T> {
        let is_of_all =
            syscall.is_none() && wanted.fields.iter().all(|one| !one.starts_with("arch"));
        if !is_of_all {
            return None;
        }
        let of = |arch: &str| {
            let mut part = wanted.clone();
            part.fields.insert(format!("arch={arch}"));
            self.decides(&part, syscall, access)
        };
        of("b32").and(of("b64"))
    }

    /// A rule that keeps new processes from being audited at all, whatever other rules say.
    pub fn switched_off_by(&self) -> Option<&T> {
        self.rules
            .iter()
            .find(|(rule, _)| {
                rule.action == "never" && rule.list == "task" && rule.fields.is_empty()
            })
            .map(|(_, place)| place)
    }
}

/// Is this condition one of the wanted ones, or a watch of a directory above the wanted one?
fn holds(rule: &AuditRule, field: &str, wanted: &AuditRule) -> bool {
    wanted.fields.contains(field)
        || !rule.itself_only
            && watched(field).is_some_and(|above| {
                let mut fields = wanted.fields.iter();
                fields.any(|field| watched(field).is_some_and(|path| is_below(path, above)))
            })
}

/// Does no event that is wanted meet this condition? Another value of one that is wanted, or a
/// path that is neither above nor below.
fn excludes(field: &str, wanted: &AuditRule) -> bool {
    if let Some(other) = watched(field) {
        let mut paths = wanted.fields.iter().filter_map(|field| watched(field));
        return paths.any(|path| path != other && !is_below(path, other) && !is_below(other, path));
    }
    let Some((name, value)) = field.split_once('=') else {
        return false;
    };
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && wanted.fields.iter().any(|field| {
            field
                .split_once('=')
                .is_some_and(|(wanted, other)| wanted == name && other != value)
        })
}

fn watched(field: &str) -> Option<&str> {
    field.strip_prefix("watch=")
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above.trim_end_matches('/'))
        .is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
}

/// Have they anything in common? An empty set, and none, are all.
fn touches<V: Ord>(set: &BTreeSet<V>, value: Option<&V>) -> bool {
    set.is_empty() || value.is_none_or(|value| set.contains(value))
}

/// An empty set holds all.
fn includes<V: Ord>(set: &BTreeSet<V>, value: Option<&V>) -> bool {
    set.is_empty() || value.is_some_and(|value| set.contains(value))
}

/// The order in which `augenrules` reads files: that of `ls -v`, in which runs of digits
/// compare as numbers.
pub fn natural_order(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.first(), b.first()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (x, rest_a) = digits(a);
                let (y, rest_b) = digits(b);
                match x.len().cmp(&y.len()).then_with(|| x.cmp(y)) {
                    Ordering::Equal => (a, b) = (rest_a, rest_b),
                    unequal => return unequal,
                }
            }
            (Some(x), Some(y)) if x == y => (a, b) = (&a[1..], &b[1..]),
            (Some(x), Some(y)) => return x.cmp(y),
        }
    }
}

/// The leading digits without leading zeros, and the rest.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let start = text[..end]
        .iter()
        .position(|byte| *byte != b'0')
        .unwrap_or(end);
    (&text[start..end], &text[end..])
}
