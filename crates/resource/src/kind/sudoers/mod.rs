//! sudoers(5), for the kinds that judge it: every rule and every default of `/etc/sudoers`
//! and of what it includes, in the order in which sudo reads them, each with its place.
//!
//! Nothing here decides what is good. What can't be understood is kept as such, so that a
//! kind never takes it for harmless.

mod grammar;
mod reach;

use std::collections::BTreeMap;

use model::value::Reason;
use model::{HostPath, Probe, SourceLine};

use crate::{Answers, ContentEdit, Edit, Seen};
pub use grammar::{AliasKind, Grant, Member, Scope, Setting, SettingValue, Span};
use grammar::{Parsed, logical_lines, parse};
pub use reach::{Reach, alternatives, divide, expression, without_sets};

pub const MAIN: &str = "/etc/sudoers";
/// sudo.conf(5)
pub const CONF: &str = "/etc/sudo.conf";
pub const DROP_INS: &str = "/etc/sudoers.d";
/// Our drop-in. sudo reads the directory in byte order, and the last setting wins.
pub const OURS: &str = "/etc/sudoers.d/50-steadfast";

/// sudo's own limit on nested includes (`MAX_SUDOERS_DEPTH`, toke.l).
const DEEPEST: usize = 128;
/// The parameter of the kernel that is the name by which a host knows its own rules.
pub const HOSTNAME: &str = "kernel.hostname";

/// What the host is called, where that was asked for.
pub fn hostname(seen: &Answers) -> Option<&str> {
    seen.sysctl(HOSTNAME)
        .known()
        .map(|name| name.trim())
        .filter(|name| !name.is_empty() && *name != "(none)")
}

/// More included files than any host has; beyond it the rest is reported as not read.
const MOST_FILES: usize = 512;

/// All of sudoers, in reading order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sudoers {
    pub items: Vec<Item>,
    pub aliases: BTreeMap<(AliasKind, String), Vec<Member>>,
    /// Before which item our drop-in is read (or would be); none when it is not included.
    pub drop_in_before: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Grant(Grant),
    Setting(Setting),
    /// Rules that could not be read or understood stand here.
    Hidden {
        at: SourceLine,
        reason: Reason,
    },
}

impl Sudoers {
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.items.iter().filter_map(|item| match item {
            Item::Grant(grant) => Some(grant),
            _ => None,
        })
    }

    pub fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.items.iter().filter_map(|item| match item {
            Item::Setting(setting) => Some(setting),
            _ => None,
        })
    }

    /// The reason why rules may be missing, when one is.
    pub fn hidden(&self) -> Option<&Reason> {
        self.items.iter().find_map(|item| match item {
            Item::Hidden { reason, .. } => Some(reason),
            _ => None,
        })
    }

    /// The members with aliases replaced by what they stand for, negations carried through.
    pub fn expand(&self, kind: AliasKind, members: &[Member]) -> Vec<Member> {
        let mut out = Vec::new();
        self.expand_into(kind, members, false, 0, &mut out);
        out
    }

    fn expand_into(
        &self,
        kind: AliasKind,
        members: &[Member],
        negated: bool,
        depth: usize,
        out: &mut Vec<Member>,
    ) {
        for member in members {
            let negated = member.negated != negated;
            match self.aliases.get(&(kind, member.name.clone())) {
                // An alias that contains itself is refused by sudo; a bound suffices here.
                Some(inner) if depth < 16 && out.len() < 10_000 => {
                    self.expand_into(kind, inner, negated, depth + 1, out);
                }
                _ => out.push(Member {
                    negated,
                    name: member.name.clone(),
                }),
            }
        }
    }

    /// Does this rule give the right to run anything?
    pub fn is_any_command(&self, grant: &Grant) -> bool {
        self.commands(grant)
            .iter()
            .any(|member| !member.negated && member.name == "ALL")
    }

    /// What a rule's command stands for. The last match wins (sudoers(5)), so what an alias has before
    /// its `!ALL` is denied.
    fn commands(&self, grant: &Grant) -> Vec<Member> {
        let mut members = self.expand(AliasKind::Command, std::slice::from_ref(&grant.command));
        let is_denial = |member: &Member| member.negated && member.name == "ALL";
        match members.iter().rposition(is_denial) {
            Some(denied) => members.split_off(denied),
            None => members,
        }
    }

    /// Does this rule give a shell, with which anything is run?
    pub fn is_shell(&self, grant: &Grant) -> bool {
        matches!(self.reach(grant), Reach::Through(program) if reach::is_shell(&program))
    }

    /// What this rule's command reaches, at most.
    pub fn reach(&self, grant: &Grant) -> Reach {
        let members = self.commands(grant);
        // The caller brings another root directory along, and so the program.
        if grant.root.as_deref() == Some("*") && !grant.command.negated {
            return Reach::Through("CHROOT=*".to_owned());
        }
        let mut most = Reach::Limited;
        for member in &members {
            match (reach::reach(member), &most) {
                (Reach::All, _) => return Reach::All,
                (through @ Reach::Through(_), Reach::Limited | Reach::Untold(_)) => most = through,
                (untold @ Reach::Untold(_), Reach::Limited) => most = untold,
                _ => {}
            }
        }
        most
    }

    /// Can this rule be about the host of this name? Only what surely is not is left out: a
    /// plain name that is another one.
    pub fn is_for_host(&self, grant: &Grant, hostname: Option<&str>) -> bool {
        let Some(hostname) = hostname else {
            return true;
        };
        let is_name = |name: &str| {
            name.chars().any(|c| c.is_ascii_alphabetic())
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        fn first_label(name: &str) -> &str {
            name.split('.').next().unwrap_or_default()
        }
        // With `fqdn`, and where a name has several, another one may be meant.
        if self.settings().any(|setting| setting.name == "fqdn") {
            return true;
        }
        self.expand(AliasKind::Host, &grant.hosts)
            .iter()
            .filter(|host| !host.negated)
            .any(|host| {
                host.name == "ALL"
                    || !is_name(&host.name)
                    || first_label(&host.name).eq_ignore_ascii_case(first_label(hostname))
            })
    }

    /// May what this rule allows run as root?
    pub fn runs_as_root(&self, grant: &Grant) -> bool {
        let Some(run_as) = &grant.run_as else {
            return self.is_root_default();
        };
        // The last match wins.
        self.expand(AliasKind::RunAs, run_as)
            .iter()
            .rfind(|member| matches!(member.name.as_str(), "ALL" | "root" | "#0"))
            .is_some_and(|member| !member.negated)
    }

    /// Without a list the target is `runas_default`, which is root where nothing else is set. The last
    /// setting wins; one for some users or commands alone may put root back.
    fn is_root_default(&self) -> bool {
        let is_root = |setting: &&Setting| match &setting.value {
            SettingValue::Set(name) => matches!(name.as_str(), "root" | "#0"),
            _ => true,
        };
        let settings = || {
            self.settings()
                .filter(|setting| setting.name == "runas_default")
        };
        let (general, special): (Vec<_>, Vec<_>) =
            settings().partition(|setting| setting.scope == Scope::Everyone);
        general.last().is_none_or(is_root) || special.iter().any(is_root)
    }

    /// Who a rule is for, aliases expanded.
    pub fn users(&self, grant: &Grant) -> Vec<Member> {
        self.expand(AliasKind::User, &grant.users)
    }
}

/// Reads what the answers hold so far; also all probes that are needed to read it.
pub fn read(seen: &Answers) -> (Sudoers, Vec<Probe>) {
    let mut reader = Reader {
        seen,
        sudoers: Sudoers::default(),
        // The usual place is asked for at once: that saves one round of probing.
        probes: vec![Probe::Dir {
            path: HostPath::literal(DROP_INS),
        }],
        files: 0,
    };
    for main in reader.mains() {
        reader.file(&main, 0);
        // sudoers(5), `sudoers_file`: "the first path ... that exists".
        if !matches!(seen.file(&main), Seen::Absent) {
            break;
        }
    }
    (reader.sudoers, reader.probes)
}

/// The arguments of sudoers' plugin, by a line of sudo.conf(5): `Plugin sudoers_policy sudoers.so
/// sudoers_file=FILE`.
fn rules_by_plugin(text: &str) -> Option<&str> {
    let lines = text.lines().filter_map(|line| line.split('#').next());
    let plugins = lines.filter(|line| {
        let first = line.split_whitespace().next().unwrap_or_default();
        first.eq_ignore_ascii_case("plugin")
    });
    plugins
        .flat_map(str::split_whitespace)
        .find_map(|word| word.strip_prefix("sudoers_file="))
}

/// Is there a sudoers file at all?
pub fn is_absent(seen: &Answers) -> bool {
    matches!(seen.file(&HostPath::literal(MAIN)), Seen::Absent)
}

struct Reader<'a> {
    seen: &'a Answers,
    sudoers: Sudoers,
    probes: Vec<Probe>,
    files: usize,
}

impl Reader<'_> {
    /// Where sudo begins to read.
    fn mains(&mut self) -> Vec<HostPath> {
        let conf = HostPath::literal(CONF);
        self.probes.push(Probe::file(conf.clone()));
        let text = match self.seen.file(&conf) {
            Seen::Known(file) => String::from_utf8_lossy(file.content.as_bytes()).into_owned(),
            Seen::Absent | Seen::NotAsked => String::new(),
            Seen::Unknown(reason) => {
                self.hide(SourceLine::file(conf), reason);
                String::new()
            }
        };
        let Some(files) = rules_by_plugin(&text) else {
            return vec![HostPath::literal(MAIN)];
        };
        let files = files.split(':').map(|file| file.trim_matches('"'));
        files
            .filter_map(|file| HostPath::from_bytes(file.as_bytes()).ok())
            .collect()
    }

    fn hide(&mut self, at: SourceLine, reason: Reason) {
        self.sudoers.items.push(Item::Hidden { at, reason });
    }

    fn file(&mut self, path: &HostPath, depth: usize) {
        self.files += 1;
        let whole = SourceLine::file(path.clone());
        if depth > DEEPEST || self.files > MOST_FILES {
            let why = format!("{path}: too many included files");
            return self.hide(whole, Reason::Malformed { why });
        }
        self.probes.push(Probe::file(path.clone()));
        let content = match self.seen.file(path) {
            Seen::Known(file) => file.content.clone(),
            Seen::Absent => return,
            Seen::Unknown(reason) => return self.hide(whole, reason),
            Seen::NotAsked => {
                let why = format!("{path} was not read");
                return self.hide(whole, Reason::Failed { why });
            }
        };
        let text = String::from_utf8_lossy(content.as_bytes());
        for line in logical_lines(path, &text) {
            match parse(&line) {
                Ok(Parsed::Nothing) => {}
                Ok(Parsed::Aliases(kind, aliases)) => {
                    for (name, members) in aliases {
                        self.sudoers.aliases.insert((kind, name), members);
                    }
                }
                Ok(Parsed::Grants(grants)) => {
                    self.sudoers
                        .items
                        .extend(grants.into_iter().map(Item::Grant));
                }
                Ok(Parsed::Settings(settings)) => {
                    self.sudoers
                        .items
                        .extend(settings.into_iter().map(Item::Setting));
                }
                Ok(Parsed::Include(name)) => {
                    if let Some(path) = self.resolve(path, &name, line.at()) {
                        self.file(&path, depth + 1);
                    }
                }
                Ok(Parsed::IncludeDirectory(name)) => {
                    if let Some(path) = self.resolve(path, &name, line.at()) {
                        self.directory(&path, depth);
                    }
                }
                Err(why) => {
                    let at = line.at();
                    let why = format!("{at}: {why}");
                    self.hide(at, Reason::Malformed { why });
                }
            }
        }
    }

    /// A relative name starts from the including file's directory; `%h` is the host's name.
    fn resolve(&mut self, from: &HostPath, name: &str, at: SourceLine) -> Option<HostPath> {
        let path = match name.strip_prefix('/') {
            _ if name.contains('%') => None,
            Some(_) => HostPath::from_bytes(name.as_bytes()).ok(),
            None => from.parent().and_then(|parent| parent.join(name).ok()),
        };
        if path.is_none() {
            let why = format!("{at}: this include is not understood");
            self.hide(at, Reason::Malformed { why });
        }
        path
    }

    /// Names with a `.` and names that end in `~` are not read (sudoers(5), `@includedir`).
    fn directory(&mut self, directory: &HostPath, depth: usize) {
        if *directory == HostPath::literal(DROP_INS) && self.sudoers.drop_in_before.is_none() {
            self.sudoers.drop_in_before = Some(self.sudoers.items.len());
        }
        self.probes.push(Probe::Dir {
            path: directory.clone(),
        });
        let whole = SourceLine::file(directory.clone());
        match self.seen.dir(directory) {
            Seen::Known(entries) => {
                let mut names: Vec<&[u8]> = entries
                    .iter()
                    .filter(|entry| entry.file_type != model::value::FileType::Directory)
                    .map(|entry| entry.name.as_bytes())
                    .filter(|name| is_read(name))
                    .collect();
                names.sort_unstable();
                for name in names {
                    if let Ok(path) = directory.join(name) {
                        self.file(&path, depth + 1);
                    }
                }
            }
            Seen::Absent => {}
            Seen::Unknown(reason) => self.hide(whole, reason),
            Seen::NotAsked => {
                let why = format!("{directory} was not read");
                self.hide(whole, Reason::Failed { why });
            }
        }
    }
}

/// The statements of one file, comments and white space around them taken off: what a change
/// of the file takes away or adds.
pub fn statements(path: &HostPath, text: &str) -> Vec<String> {
    logical_lines(path, text)
        .iter()
        .map(|line| line.text.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|statement| !statement.is_empty())
        .collect()
}

/// Would sudo read a file of this name in an included directory?
pub fn is_read(name: &[u8]) -> bool {
    !name.contains(&b'.') && !name.ends_with(b"~")
}

/// Takes a piece out of its physical line, or puts something else there. A line of which only
/// white space is left goes away.
pub fn without(span: Span) -> Edit {
    Edit::Content {
        path: span.at.path,
        change: ContentEdit::Piece {
            line: span.at.line.unwrap_or(1),
            old: span.text,
            from: span.from,
            to: span.to,
            instead: span.instead,
        },
        new_file: None,
        as_user: None,
    }
}
