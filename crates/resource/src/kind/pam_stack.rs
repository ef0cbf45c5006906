//! pam.d(5): the modules of a service, in the order in which they are called, with includes
//! followed and each with its place.

use model::value::Reason;
use model::{HostPath, Probe, SourceLine};

use super::pam_guard::accepts;
use crate::{Answers, Seen};

pub const DIRECTORY: &str = "/etc/pam.d";
/// Where packages put theirs; a file of one name in the other directory counts more.
pub const VENDOR: &str = "/usr/lib/pam.d";

/// Includes deeper than this are refused by Linux-PAM too (`PAM_SUBSTACK_MAX_LEVEL`).
const DEEPEST: usize = 16;
const MOST_FILES: usize = 64;

/// The modules of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    pub entries: Vec<Entry>,
    /// Why entries may be missing.
    pub hidden: Option<Reason>,
}

/// One module in a stack, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub call: Call,
    pub at: SourceLine,
    /// The physical line; none when the entry is continued over several.
    pub text: Option<String>,
    /// The substacks that it is part of, from the outermost: each has a number.
    pub inside: Vec<u32>,
}

/// How a module is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `auth`, `account`, `password` or `session`.
    pub facility: String,
    /// `required`, or `[success=1 default=ignore]`.
    pub control: String,
    /// The file's name without its directory: `pam_unix.so`.
    pub module: String,
    pub args: Vec<String>,
}

impl Call {
    /// The value of `name=value`, or empty for a bare `name`. The last one counts.
    pub fn argument(&self, name: &str) -> Option<&str> {
        self.args.iter().rev().find_map(|arg| {
            let rest = arg.strip_prefix(name)?;
            if rest.is_empty() {
                return Some("");
            }
            rest.strip_prefix('=')
        })
    }

    /// Must this module succeed?
    pub fn is_mandatory(&self) -> bool {
        let control = self.control.to_ascii_lowercase();
        matches!(control.as_str(), "required" | "requisite")
            || control.contains("default=die")
            || control.contains("default=bad")
    }
}

/// A success that is answered as a failure.
pub struct Misled<'a> {
    pub entry: &'a Entry,
    /// What it lands on.
    pub lands_on: &'a Entry,
}

/// Of the calls of one facility, those whose success lands on one that always fails, and where.
pub fn misled(calls: &[&Call]) -> Vec<(usize, usize)> {
    (0..calls.len())
        .filter_map(|at| {
            let lands_on = at + 1 + calls.get(at)?.success_jump()?;
            let is_refused = calls.get(lands_on)?.always_fails();
            is_refused.then_some((at, lands_on))
        })
        .collect()
}

impl Call {
    /// `success=N` of a control in brackets (pam.d(5)): the next N modules are jumped over.
    pub fn success_jump(&self) -> Option<usize> {
        let inner = self.control.strip_prefix('[')?.strip_suffix(']')?;
        let mut words = inner.split_whitespace();
        words.find_map(|word| word.strip_prefix("success=")?.parse().ok())
    }

    /// Does it fail, whoever signs in, and does that count?
    fn always_fails(&self) -> bool {
        let fails = self.module == "pam_deny.so"
            || self.module == "pam_faillock.so" && self.argument("authfail").is_some();
        fails && self.is_mandatory()
    }
}

impl Stack {
    /// The calls of a facility, in their order.
    pub fn of_facility<'a>(&'a self, facility: &str) -> impl Iterator<Item = &'a Entry> {
        let entries = self.entries.iter();
        entries.filter(move |entry| entry.call.facility == facility)
    }

    /// The modules of a facility whose success lands on one that always fails: nobody signs in
    /// then, with the right password either. So pam-auth-update(8) leaves a stack into whose
    /// block a line was written by hand.
    pub fn misled(&self, facility: &str) -> Vec<Misled<'_>> {
        let entries: Vec<&Entry> = self.of_facility(facility).collect();
        let calls: Vec<&Call> = entries.iter().map(|entry| &entry.call).collect();
        misled(&calls)
            .into_iter()
            // An earlier call of the module may let in whom this one would refuse.
            .filter(|(at, _)| !accepts(&entries, &calls[*at].module))
            .filter_map(|(at, lands_on)| {
                Some(Misled {
                    entry: entries.get(at)?,
                    lands_on: entries.get(lands_on)?,
                })
            })
            .collect()
    }

    pub fn module<'a>(&'a self, facility: &str, module: &str) -> Option<&'a Entry> {
        self.entries
            .iter()
            .find(|entry| entry.call.facility == facility && entry.call.module == module)
    }
}

/// The services that have a stack, as `read` takes them, why some may be missing, and the probes
/// for that. Those of
/// `common-*` are parts of others, and no program asks for a name with a dot, such as those that
/// dpkg leaves.
pub fn services(seen: &Answers) -> (Vec<String>, Option<Reason>, Vec<Probe>) {
    let mut names: Vec<String> = Vec::new();
    let mut services = Vec::new();
    let mut hidden = None;
    let mut probes = Vec::new();
    for directory in [DIRECTORY, VENDOR] {
        let path = HostPath::literal(directory);
        let is_service = |name: &[u8]| !name.starts_with(b"common-") && !name.contains(&b'.');
        let files = seen.files_in(&path, is_service).unwrap_or_else(|reason| {
            hidden.get_or_insert(reason);
            Vec::new()
        });
        let found = files.iter().map(HostPath::file_name).map(str::from_utf8);
        for name in found.filter_map(Result::ok) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
                services.push(match directory {
                    DIRECTORY => name.to_owned(),
                    vendor => format!("{vendor}/{name}"),
                });
            }
        }
        probes.push(Probe::Dir { path });
    }
    (services, hidden, probes)
}

/// Reads the stack of a service as far as the answers go; also all probes that it needs.
pub fn read(seen: &Answers, service: &str) -> (Stack, Vec<Probe>) {
    let mut reader = Reader {
        seen,
        stack: Stack::default(),
        probes: Vec::new(),
        files: 0,
        inside: Vec::new(),
        substacks: 0,
    };
    reader.named(service, None, 0);
    (reader.stack, reader.probes)
}

struct Reader<'a> {
    seen: &'a Answers,
    stack: Stack,
    probes: Vec<Probe>,
    files: usize,
    inside: Vec<u32>,
    substacks: u32,
}

impl Reader<'_> {
    fn hide(&mut self, reason: Reason) {
        self.stack.hidden.get_or_insert(reason);
    }

    /// A file by its name in the directory, or by its path.
    fn named(&mut self, name: &str, only: Option<&str>, depth: usize) {
        let path = HostPath::literal(DIRECTORY);
        let path = match name.strip_prefix('/') {
            Some(_) => HostPath::from_bytes(name.as_bytes()),
            None => path.join(name),
        };
        match path {
            Ok(path) => self.file(&path, only, depth),
            Err(error) => self.hide(Reason::Malformed {
                why: error.to_string(),
            }),
        }
    }

    fn file(&mut self, path: &HostPath, only: Option<&str>, depth: usize) {
        self.files += 1;
        if depth > DEEPEST || self.files > MOST_FILES {
            let why = format!("{path}: too many included files");
            return self.hide(Reason::Malformed { why });
        }
        self.probes.push(Probe::file(path.clone()));
        let content = match self.seen.file(path) {
            Seen::Known(file) => file.content.clone(),
            Seen::Absent => {
                let what = format!("{path} is missing");
                return self.hide(Reason::Unavailable { what });
            }
            Seen::Unknown(reason) => return self.hide(reason),
            Seen::NotAsked => {
                let why = format!("{path} was not read");
                return self.hide(Reason::Failed { why });
            }
        };
        let text = String::from_utf8_lossy(content.as_bytes());
        for line in lines(&text) {
            let facility_is_meant = |facility: &str| only.is_none_or(|only| only == facility);
            match line.what {
                What::Nothing => {}
                What::NotUnderstood => {
                    let why = format!("{path}:{}: not understood", line.number);
                    self.hide(Reason::Malformed { why });
                }
                What::Include(name, None) => self.named(&name, only, depth + 1),
                What::Include(name, Some(facility)) if facility_is_meant(&facility) => {
                    self.named(&name, Some(&facility), depth + 1);
                }
                What::Substack(name, facility) if facility_is_meant(&facility) => {
                    self.substacks += 1;
                    self.inside.push(self.substacks);
                    self.named(&name, Some(&facility), depth + 1);
                    self.inside.pop();
                }
                What::Module(call) if facility_is_meant(&call.facility) => {
                    self.stack.entries.push(Entry {
                        call,
                        at: SourceLine::new(path.clone(), line.number),
                        text: line.physical,
                        inside: self.inside.clone(),
                    });
                }
                What::Include(..) | What::Substack(..) | What::Module(_) => {}
            }
        }
    }
}

/// A line of a stack's file, its continuations joined.
pub struct Line {
    /// From 1; the first of several.
    pub number: u32,
    /// The line itself; none when it is continued over several.
    pub physical: Option<String>,
    pub what: What,
}

pub enum What {
    Nothing,
    /// Another file: all of it, or one facility.
    Include(String, Option<String>),
    /// One facility of another file, which ends for itself.
    Substack(String, String),
    Module(Call),
    NotUnderstood,
}

/// What a stack's file says, line by line.
pub fn lines(text: &str) -> Vec<Line> {
    joined(text)
        .into_iter()
        .map(|(number, line, physical)| Line {
            number,
            physical,
            what: parse(&line),
        })
        .collect()
}

fn parse(line: &str) -> What {
    let line = line.split('#').next().unwrap_or_default().trim();
    if line.is_empty() {
        return What::Nothing;
    }
    if let Some(name) = line.strip_prefix("@include") {
        return What::Include(name.trim().to_owned(), None);
    }
    let Some(fields) = fields(line) else {
        return What::NotUnderstood;
    };
    // A leading `-` only silences the log when the module is missing.
    let facility = fields.facility.trim_start_matches('-').to_ascii_lowercase();
    match fields.control {
        "include" => return What::Include(fields.module.to_owned(), Some(facility)),
        "substack" => return What::Substack(fields.module.to_owned(), facility),
        _ => {}
    }
    let module = fields.module.rsplit('/').next().unwrap_or_default();
    What::Module(Call {
        facility,
        control: fields.control.to_owned(),
        module: module.to_owned(),
        args: fields.args.iter().map(|&arg| arg.to_owned()).collect(),
    })
}

/// Lines with their continuations: the first number, the text, and the physical line when it
/// is only one.
fn joined(text: &str) -> Vec<(u32, String, Option<String>)> {
    let mut out = Vec::new();
    let mut open: Option<(u32, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let continues = line.ends_with('\\');
        let bare = line.strip_suffix('\\').unwrap_or(line);
        match (&mut open, continues) {
            (Some((_, text)), _) => {
                text.push(' ');
                text.push_str(bare);
                if !continues {
                    out.extend(open.take().map(|(first, text)| (first, text, None)));
                }
            }
            (None, true) => open = Some((number, bare.to_owned())),
            (None, false) => out.push((number, line.to_owned(), Some(line.to_owned()))),
        }
    }
    out.extend(open.map(|(first, text)| (first, text, None)));
    out
}

struct Fields<'a> {
    facility: &'a str,
    control: &'a str,
    module: &'a str,
    args: Vec<&'a str>,
}

/// `type control module arguments`; brackets group words.
fn fields(line: &str) -> Option<Fields<'_>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let end = if rest.starts_with('[') {
            rest.find(']')? + 1
        } else {
            rest.find(char::is_whitespace).unwrap_or(rest.len())
        };
        words.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    let [facility, control, module, args @ ..] = &words[..] else {
        return None;
    };
    Some(Fields {
        facility,
        control,
        module,
        args: args.to_vec(),
    })
}
