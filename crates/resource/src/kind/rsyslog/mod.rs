//! `rsyslog_files`: with which mode rsyslogd(8) makes its log files, by what counts where each of
//! them is declared.

pub mod config;

use model::plan::Risk;
use model::{Effect, HostPath, Mode, Probe, ResourceKey, SourceLine, UnitOp};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::metadata::ModeWanted;
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, Phase, Seen};
use config::{argument, strip_word};

/// The mode of new log files of rsyslog. `$FileCreateMode` counts for the files that are declared
/// after it, in `rsyslog.conf` and what it includes, in reading order; `$Umask` is taken off. A
/// file that is declared as an `action()` has its own `fileCreateMode`, or that of the module.
///
/// The fix changes the lines that are wrong, or adds one before the first file. What stands in an
/// `action()` or a `module()` is left to a person.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RsyslogFiles {
    /// Permission bits: `"0640"`, or `{at_most: "0640"}`.
    pub mode: ModeWanted,
}

/// rsyslogd's own (omfile): where nothing is said.
const DEFAULT: Mode = Mode::new(0o644);
/// systemd's own (systemd.exec(5), UMask).
const USUAL_UMASK: u32 = 0o022;

impl Kind for RsyslogFiles {
    const NAME: &'static str = "rsyslog_files";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: "mode".to_owned(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        config::read(seen).probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let main = HostPath::literal(config::MAIN);
        if matches!(seen.file(&main), Seen::Absent) {
            return Judgement::NotApplicable(format!("there is no {main}"));
        }
        let read = config::read(seen);
        let statements = statements(&read.lines);
        let umask = statements.iter().rev().find_map(umask);
        let umask = umask.unwrap_or(USUAL_UMASK);
        let mut wrong: Vec<Source> = Vec::new();
        let mut files = 0;
        for (source, mode) in files_of(&statements) {
            files += 1;
            let made = Mode::new(mode.bits() & !umask);
            if !self.mode.holds(made) && !wrong.contains(&source) {
                wrong.push(source);
            }
        }
        if !wrong.is_empty() {
            return Judgement::Drift(
                wrong
                    .iter()
                    .map(|source| self.drift(source, seen))
                    .collect(),
            );
        }
        if let Some(reason) = read.hidden {
            return reason.into();
        }
        Judgement::compliant(match files {
            0 => "it writes no files".to_owned(),
            1 => "its file has such a mode".to_owned(),
            files => format!("its {files} files have such modes"),
        })
    }

    fn risk(&self) -> Risk {
        Risk::None
    }

    fn check(&self) -> Result<(), String> {
        let bits = match self.mode {
            ModeWanted::Exactly(mode) => mode.bits(),
            ModeWanted::AtMost(bound) => bound.at_most.bits(),
        };
        match bits & !0o666 {
            0 => Ok(()),
            _ => Err("log files are not run, and have no set-ID bits".to_owned()),
        }
    }
}

/// What gives a file its mode.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// A line of `$FileCreateMode`.
    Line {
        at: SourceLine,
        text: String,
        mode: Mode,
    },
    /// Within an `action()` or a `module()`.
    Object { at: SourceLine, mode: Mode },
    /// Nothing was said before this file, which is declared there.
    Default,
}

impl RsyslogFiles {
    fn drift(&self, source: &Source, seen: &Answers) -> Drift {
        let set = self.mode.set(DEFAULT);
        let directive = format!("$FileCreateMode {set}");
        let mut drift = Drift {
            wanted: format!("mode {}", self.mode),
            activate: vec![Effect::Unit {
                name: "rsyslog.service".to_owned(),
                op: UnitOp::Reload,
            }],
            ..Drift::default()
        };
        let content = |path: &HostPath, change| Edit::Content {
            path: path.clone(),
            change,
            new_file: None,
            as_user: None,
        };
        match source {
            Source::Line { at, text, mode } => {
                drift.observed = format!("mode {mode}");
                drift.at.push(at.clone());
                drift.edits.push(content(
                    &at.path,
                    ContentEdit::ReplaceLine {
                        line: at.line.unwrap_or(1),
                        old: text.clone(),
                        new: vec![directive],
                    },
                ));
            }
            Source::Object { at, mode } => {
                drift.observed = format!("mode {mode}");
                drift.at.push(at.clone());
                drift.activate.clear();
                drift.by_hand = Some(format!("write fileCreateMode=\"{set}\" there"));
            }
            Source::Default => {
                drift.observed = format!("mode {DEFAULT} by default");
                let main = HostPath::literal(config::MAIN);
                let first = seen.file(&main).known().and_then(|file| {
                    let text = String::from_utf8_lossy(file.content.as_bytes()).into_owned();
                    let mut lines = (1..).zip(text.lines());
                    // The first line that says anything: the modules may come after it.
                    let says =
                        |line: &str| !line.trim().is_empty() && !line.trim().starts_with('#');
                    lines
                        .find(|(_, line)| says(line))
                        .map(|(number, line)| (number, line.to_owned()))
                });
                drift.edits.push(content(
                    &main,
                    match first {
                        Some((line, before)) => ContentEdit::InsertBefore {
                            line,
                            before,
                            new: vec![directive],
                        },
                        None => ContentEdit::Append(directive),
                    },
                ));
            }
        }
        drift
    }
}

/// A line, or an object that goes over several.
struct Statement {
    at: SourceLine,
    text: String,
}

/// Joins objects whose brackets are closed on a later line. Comments go.
fn statements(lines: &[(SourceLine, String)]) -> Vec<Statement> {
    let mut statements: Vec<Statement> = Vec::new();
    let mut open = 0i32;
    for (at, line) in lines {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        match statements.last_mut() {
            Some(last) if open > 0 => {
                last.text.push(' ');
                last.text.push_str(trimmed);
            }
            _ => statements.push(Statement {
                at: at.clone(),
                text: line.clone(),
            }),
        }
        let is_object = OBJECTS
            .iter()
            .any(|word| find_object(trimmed, word).is_some());
        if open > 0 || is_object {
            open = (open + depth(trimmed)).max(0);
        }
    }
    statements
}

const OBJECTS: [&str; 6] = ["action", "module", "global", "template", "input", "ruleset"];

/// How many brackets stay open, those in quotes left out.
fn depth(text: &str) -> i32 {
    let mut is_quoted = false;
    text.chars().fold(0, |depth, c| match c {
        '"' => {
            is_quoted = !is_quoted;
            depth
        }
        '(' if !is_quoted => depth + 1,
        ')' if !is_quoted => depth - 1,
        _ => depth,
    })
}

/// The arguments of an object, wherever in the text it begins.
fn find_object<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let lower = text.to_ascii_lowercase();
    lower.match_indices(word).find_map(|(at, _)| {
        let is_word = !lower[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let rest = text[at + word.len()..].trim_start();
        rest.strip_prefix('(').filter(|_| is_word)
    })
}

fn octal(text: &str) -> Option<Mode> {
    let bits = u32::from_str_radix(text.trim(), 8).ok()?;
    (bits <= 0o7777).then(|| Mode::new(bits))
}

fn umask(statement: &Statement) -> Option<u32> {
    let text = statement.text.trim();
    let value = match strip_word(text, "$umask") {
        Some(value) => value,
        None => argument(find_object(text, "global")?, "umask")?,
    };
    octal(value).map(Mode::bits)
}

/// The files that are declared, with their modes.
fn files_of(statements: &[Statement]) -> Vec<(Source, Mode)> {
    let mut files = Vec::new();
    let mut current = (Source::Default, DEFAULT);
    // Of `action()`: the module has a value of its own.
    let mut of_module = (Source::Default, DEFAULT);
    for statement in statements {
        let text = statement.text.trim();
        let at = || statement.at.clone();
        let of_object = |arguments: &str| {
            let mode = octal(argument(arguments, "filecreatemode")?)?;
            Some((Source::Object { at: at(), mode }, mode))
        };
        if let Some(value) = strip_word(text, "$filecreatemode") {
            if let Some(mode) = octal(value) {
                let text = statement.text.clone();
                current = (
                    Source::Line {
                        at: at(),
                        text,
                        mode,
                    },
                    mode,
                );
            }
        } else if let Some(arguments) = find_object(text, "module") {
            if argument(arguments, "load").is_some_and(|name| name.ends_with("omfile")) {
                of_module = of_object(arguments).unwrap_or(of_module);
            }
        } else if let Some(arguments) = find_object(text, "action") {
            if argument(arguments, "type").is_some_and(|name| name.ends_with("omfile")) {
                let said = of_object(arguments);
                let or_default = || match &of_module {
                    // Nothing adds a default that an `action()` would take.
                    (Source::Default, mode) => (
                        Source::Object {
                            at: at(),
                            mode: *mode,
                        },
                        *mode,
                    ),
                    said => said.clone(),
                };
                files.push(said.unwrap_or_else(or_default));
            }
        } else if is_old_file(text) {
            files.push(current.clone());
        }
    }
    files
}

fn is_old_file(text: &str) -> bool {
    old_files(text).next().is_some()
}

/// `SELECTOR /path`, `SELECTOR -/path`, `SELECTOR ?template`, also after `&` and `then`.
fn old_files(text: &str) -> impl Iterator<Item = &str> {
    let is_old =
        !text.starts_with('$') && !OBJECTS.iter().any(|word| find_object(text, word).is_some());
    let words = text.split_whitespace().skip(1).filter(move |_| is_old);
    words
        .map(|word| word.strip_prefix('-').unwrap_or(word))
        .filter(|word| word.starts_with(['/', '?']) && word.len() > 1)
}

/// The names of the files that are declared; one that a template makes has none.
pub fn names_of_files(lines: &[(SourceLine, String)]) -> Vec<String> {
    let mut names = Vec::new();
    for statement in statements(lines) {
        let text = statement.text.trim();
        if let Some(arguments) = find_object(text, "action") {
            let is_file = argument(arguments, "type").is_some_and(|name| name.ends_with("omfile"));
            names.extend(
                argument(arguments, "file")
                    .filter(|_| is_file)
                    .map(str::to_owned),
            );
        } else if let Some(channel) = strip_word(text, "$outchannel") {
            // `$outchannel NAME,FILE,SIZE,COMMAND`
            names.extend(channel.split(',').nth(1).map(|name| name.trim().to_owned()));
        } else {
            // A template's name may follow.
            let files = old_files(text).map(|word| word.split(';').next().unwrap_or_default());
            names.extend(
                files
                    .filter(|name| name.starts_with('/'))
                    .map(str::to_owned),
            );
        }
    }
    names
}

/// What its configuration has it run and load.
#[derive(Debug, Default)]
pub struct Run {
    /// Lines, as rsyslog starts them.
    pub commands: Vec<String>,
    /// Modules, and directories of them.
    pub modules: Vec<String>,
}

/// Programs of `^PROGRAM`, omprog and `$outchannel`, and modules by their paths.
pub fn run_by(lines: &[(SourceLine, String)]) -> Run {
    let mut run = Run::default();
    for statement in statements(lines) {
        let text = statement.text.trim();
        let mut is_known = false;
        for word in ["$modload", "$moddir"] {
            if let Some(value) = strip_word(text, word) {
                run.modules.push(value.trim().to_owned());
                is_known = true;
            }
        }
        if let Some(value) = strip_word(text, "$actionomprogbinary") {
            run.commands.push(value.trim().to_owned());
        } else if let Some(channel) = strip_word(text, "$outchannel") {
            let command = channel.splitn(4, ',').nth(3);
            run.commands
                .extend(command.map(|text| text.trim().to_owned()));
        } else if !is_known {
            let module = find_object(text, "module");
            let loaded = module.and_then(|arguments| argument(arguments, "load"));
            run.modules.extend(loaded.map(str::to_owned));
            let action = find_object(text, "action");
            let binary = action.and_then(|arguments| argument(arguments, "binary"));
            run.commands.extend(binary.map(str::to_owned));
            // `SELECTOR ^PROGRAM;TEMPLATE`
            let words = text.split_whitespace().skip(1);
            let shells = words.filter_map(|word| word.strip_prefix('^'));
            let shells = shells.filter_map(|word| word.split(';').next());
            run.commands.extend(shells.map(str::to_owned));
        }
    }
    run
}
