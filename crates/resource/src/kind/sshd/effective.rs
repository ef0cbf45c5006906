//! What `sshd -T` says: the configuration in effect, defaults included, for one
//! connection; and what the service adds to it on sshd's command line.

use std::collections::BTreeMap;

use model::value::{Output, Reason, UnitSeen};
use model::{HostPath, Probe, SourceLine, Tool, printable};

use crate::started::{self, StartCommand, Word};
use crate::{Answers, Judgement, Seen, Syntax};

/// Where Debian's unit takes sshd's command line from (`$SSHD_OPTS`).
pub const SERVICE_DEFAULTS: &str = "/etc/default/ssh";

/// Options that `sshd -T` does not print although they exist (tried on 9.2 and 10.0).
const NOT_PRINTED: [&str; 3] = ["debianbanner", "logverbose", "rdomain"];

/// The options in effect, by their lower-case name; an option that adds up has several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effective(BTreeMap<String, Vec<String>>);

impl Effective {
    pub fn parse(stdout: &str) -> Self {
        let mut options: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in stdout.lines() {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            options
                .entry(name.to_ascii_lowercase())
                .or_default()
                .push(value.trim().to_owned());
        }
        Self(options)
    }

    /// The values of an option; empty where it is not printed.
    pub fn values(&self, option: &str) -> &[String] {
        self.0.get(option).map_or(&[], Vec::as_slice)
    }

    /// The first value, as `sshd -T` prints it.
    pub fn value(&self, option: &str) -> Option<&str> {
        self.values(option).first().map(String::as_str)
    }

    /// All words of all values.
    pub fn words(&self, option: &str) -> Vec<String> {
        self.values(option)
            .iter()
            .flat_map(|value| value.split_whitespace())
            .map(str::to_owned)
            .collect()
    }
}

pub fn is_never_printed(option: &str) -> bool {
    NOT_PRINTED.contains(&option)
}

/// The question for one connection; without arguments, for one that no `Match` covers but
/// `Match all`.
pub fn probe(args: Vec<String>) -> Probe {
    Probe::Tool {
        tool: Tool::SshdEffective,
        args,
    }
}

/// What sshd answered, or why that can't be told.
pub fn ask(seen: &Answers, args: &[String]) -> Result<Effective, Refusal> {
    match seen.tool(Tool::SshdEffective, args) {
        Seen::Known(output) => read(output),
        Seen::Absent => Err(Refusal::Unknown(Reason::Unavailable {
            what: "no sshd program".to_owned(),
        })),
        Seen::Unknown(reason) => Err(Refusal::Unknown(reason)),
        Seen::NotAsked => Err(Refusal::Unknown(Reason::Failed {
            why: "sshd was not asked".to_owned(),
        })),
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    Unknown(Reason),
    /// sshd does not accept its own configuration.
    Refused(String),
}

impl From<Refusal> for Judgement {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(reason) => Self::Unknown(reason),
            Refusal::Refused(why) => Self::Error(why),
        }
    }
}

fn read(output: &Output) -> Result<Effective, Refusal> {
    if output.status == Some(0) {
        return Ok(Effective::parse(&output.stdout));
    }
    let first = output.stderr.lines().find(|line| !line.trim().is_empty());
    let said = printable(first.unwrap_or("no message").trim().as_bytes());
    // Mistakes in the configuration are reported as `FILE: line N: …` or `FILE line N: …`.
    if output.stderr.contains("line ") || output.stderr.contains("bad configuration option") {
        return Err(Refusal::Refused(format!(
            "sshd refuses its configuration: {said}"
        )));
    }
    Err(Refusal::Unknown(Reason::Failed {
        why: format!("sshd -T: {said}"),
    }))
}

/// What the service's command line sets, which `sshd -T` does not see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// Options in the order in which sshd takes them; the first one wins.
    pub options: Vec<Forced>,
    /// `-f`, or an `Include` among the options: another configuration file, and where that is
    /// said.
    pub other_file: Option<(String, SourceLine)>,
}

/// An option on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forced {
    pub name: String,
    pub value: String,
    pub at: SourceLine,
    /// `SSHD_OPTS`, or `ExecStart`.
    pub stands_in: String,
}

/// The service: under its Debian name, or under that of others. An alias is the same unit.
const UNITS: [&str; 2] = ["ssh.service", "sshd.service"];
/// Where a socket listens (`Accept=yes`), each connection has its own service.
const SOCKET: &str = "ssh.socket";
const FOR_ONE: &str = "ssh@steadfast.service";

/// What has to be read to know the command line.
pub fn command_line_probes(seen: &Answers) -> Vec<Probe> {
    let mut probes = vec![
        Probe::file(HostPath::literal(SERVICE_DEFAULTS)),
        Probe::Unit {
            name: SOCKET.to_owned(),
        },
    ];
    for unit in units(seen) {
        probes.extend(started::probes(unit, seen));
    }
    probes
}

fn units(seen: &Answers) -> Vec<&'static str> {
    let mut units = UNITS.to_vec();
    let listens = |unit: &UnitSeen| {
        unit.active_state.as_deref() == Some("active")
            || unit.unit_file_state.as_deref() == Some("enabled")
    };
    if matches!(seen.unit(SOCKET), Seen::Known(unit) if listens(unit)) {
        units.push(FOR_ONE);
    }
    units
}

/// What the units start sshd with, over all drop-ins and environment files; where there is no
/// unit, `SSHD_OPTS` of [`SERVICE_DEFAULTS`], which Debian's init script reads. What can't be
/// told is an error.
pub fn command_line(seen: &Answers) -> Result<CommandLine, Reason> {
    let mut found = CommandLine::default();
    let mut has_unit = false;
    let mut known: Vec<&StartCommand> = Vec::new();
    let mut all = Vec::new();
    seen.unit(SOCKET).known_or_absent()?;
    for unit in units(seen) {
        all.extend(started::read(unit, seen)?);
    }
    for started in &all {
        for command in started.of("ExecStart") {
            has_unit = true;
            if known.contains(&command) {
                continue;
            }
            known.push(command);
            let words = started.words(command)?;
            let Some((program, arguments)) = words.split_first() else {
                continue;
            };
            if program.text.rsplit('/').next() != Some("sshd") {
                let program = printable(program.text.as_bytes());
                let what = format!("sshd is started by {program} ({})", command.at);
                return Err(Reason::Unavailable { what });
            }
            found.take(arguments);
        }
    }
    if !has_unit {
        found.take(&of_defaults(seen)?);
    }
    Ok(found)
}

fn of_defaults(seen: &Answers) -> Result<Vec<Word>, Reason> {
    let path = HostPath::literal(SERVICE_DEFAULTS);
    let Some(file) = seen.file(&path).known_or_absent()? else {
        return Ok(Vec::new());
    };
    let text = String::from_utf8_lossy(file.content.as_bytes());
    let Some(assigned) = Syntax::SHELL.effective(&text, "", "SSHD_OPTS") else {
        return Ok(Vec::new());
    };
    let words = assigned.value.split_whitespace().map(|word| Word {
        text: word.to_owned(),
        at: SourceLine::new(path.clone(), assigned.line),
        variable: Some("SSHD_OPTS".to_owned()),
    });
    Ok(words.collect())
}

/// The options of sshd(8) that have a value; of others, several may stand in one word.
const WITH_VALUE: &str = "CEbcfghkopu";

impl CommandLine {
    fn take(&mut self, words: &[Word]) {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(mut letters) = word.text.strip_prefix('-') else {
                continue;
            };
            while let Some(letter) = letters.chars().next() {
                letters = &letters[letter.len_utf8()..];
                if !WITH_VALUE.contains(letter) {
                    match letter {
                        '4' => self.force("AddressFamily", "inet", word),
                        '6' => self.force("AddressFamily", "inet6", word),
                        _ => {}
                    }
                    continue;
                }
                let value = match letters {
                    "" => words.next().map_or("", |next| next.text.as_str()),
                    joined => joined,
                };
                self.option(letter, value, word);
                break;
            }
        }
    }

    fn option(&mut self, letter: char, value: &str, word: &Word) {
        match letter {
            'o' => {
                let (name, value) = value
                    .trim()
                    .split_once(|c: char| c == '=' || c.is_whitespace())
                    .unwrap_or((value, ""));
                let value = value.trim_start_matches(|c: char| c == '=' || c.is_whitespace());
                if super::words::option_name(name) == "include" {
                    self.other_file
                        .get_or_insert((value.to_owned(), word.at.clone()));
                }
                self.force(name, value.trim_matches('"'), word);
            }
            'f' if value != super::config::MAIN => {
                self.other_file
                    .get_or_insert((value.to_owned(), word.at.clone()));
            }
            'p' => self.force("Port", value, word),
            'h' => self.force("HostKey", value, word),
            'g' => self.force("LoginGraceTime", value, word),
            _ => {}
        }
    }

    fn force(&mut self, name: &str, value: &str, word: &Word) {
        self.options.push(Forced {
            name: super::words::option_name(name),
            value: value.to_owned(),
            at: word.at.clone(),
            stands_in: word
                .variable
                .clone()
                .unwrap_or_else(|| "ExecStart".to_owned()),
        });
    }
}
