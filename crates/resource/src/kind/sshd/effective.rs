//! What `sshd -T` says: the configuration in effect, defaults included, for one
//! connection; and what the service adds to it on sshd's command line.

use std::collections::BTreeMap;

use model::value::{Output, Reason};
use model::{HostPath, Probe, SourceLine, Tool, printable};

use crate::{Answers, Judgement, Seen};

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
    /// `-o` options as name and value, in order; the first one wins.
    pub options: Vec<(String, String)>,
    /// `-f`: another configuration file.
    pub other_file: Option<String>,
    pub at: Option<SourceLine>,
}

/// Reads `SSHD_OPTS` of [`SERVICE_DEFAULTS`]. What can't be read is taken as unset only
/// when the file is absent.
pub fn command_line(seen: &Answers) -> Result<CommandLine, Reason> {
    let path = HostPath::literal(SERVICE_DEFAULTS);
    let Some(file) = seen.file(&path).known_or_absent()? else {
        return Ok(CommandLine::default());
    };
    let text = String::from_utf8_lossy(file.content.as_bytes());
    let assignment = (1..).zip(text.lines()).filter_map(|(number, line)| {
        let value = line.trim().strip_prefix("SSHD_OPTS=")?;
        Some((number, value.trim().trim_matches(['"', '\''])))
    });
    let Some((number, value)) = assignment.last() else {
        return Ok(CommandLine::default());
    };
    let mut found = CommandLine {
        at: Some(SourceLine::new(path, number)),
        ..CommandLine::default()
    };
    let mut words = value.split_whitespace();
    while let Some(word) = words.next() {
        let mut argument = |flag: &str| match word.strip_prefix(flag) {
            Some("") => words.next().map(str::to_owned),
            Some(joined) => Some(joined.to_owned()),
            None => None,
        };
        if let Some(option) = argument("-o") {
            if let Some((name, value)) = option.split_once('=') {
                found
                    .options
                    .push((super::words::option_name(name), value.to_owned()));
            }
        } else if let Some(file) = argument("-f") {
            found.other_file = Some(file);
        }
    }
    Ok(found)
}
