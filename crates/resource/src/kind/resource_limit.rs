//! `resource_limit`: a bound that nobody's session goes past, as pam_limits(8) sets it from
//! limits.conf(5) and the files of `limits.d`.

use model::plan::Risk;
use model::value::Reason;
use model::{HostPath, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::pam_session::{self, Session};
use super::pam_stack::Entry;
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase};

const MAIN: &str = "/etc/security/limits.conf";
const DIRECTORY: &str = "/etc/security/limits.d";

/// A hard limit of everyone's sessions, as limits.conf(5) sets it: `limits.conf`, and then the files
/// of `limits.d` by their names; of several lines for the same people the last one counts, and a line
/// for one person or group counts more than that for all. `*` is not about root, whom no limit binds,
/// since root may raise each: a line for root is judged where there is one, and none is asked for. A
/// line without an item (`li -`) takes all limits from somebody.
///
/// The services by which people get a session must call pam_limits(8), with its own files.
///
/// The fix changes lines that are read after our own file, `limits.d/50-steadfast-ITEM.conf`, and
/// those for single people and groups, where they stand; what lacks is added to our own file.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceLimit {
    /// `core`, `nproc`, `nofile`, …
    pub item: String,
    /// The most that it may be, in the item's own unit.
    pub at_most: u64,
}

impl Kind for ResourceLimit {
    const NAME: &'static str = "resource_limit";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.item.clone(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let directory = HostPath::literal(DIRECTORY);
        let mut probes = vec![Probe::Dir { path: directory }];
        probes.extend(files(seen).into_iter().flatten().map(Probe::file));
        // A fix may have to add to it.
        probes.push(Probe::file(self.ours()));
        probes.extend(pam_session::sessions(seen).2);
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let files = match files(seen) {
            Ok(files) => files,
            Err(reason) => return reason.into(),
        };
        let mut lines = Vec::new();
        let mut drifts = Vec::new();
        for path in files {
            match seen.file(&path).known_or_absent() {
                Ok(Some(file)) => {
                    let text = String::from_utf8_lossy(file.content.as_bytes());
                    lines.extend(self.lines(&path, &text));
                    drifts.extend(self.exempt(&path, &text));
                }
                Ok(None) => {}
                Err(reason) => return reason.into(),
            }
        }
        // What counts for each that is named: the last line.
        let mut counting: Vec<Line> = Vec::new();
        for line in lines {
            counting.retain(|other| other.domain != line.domain);
            counting.push(line);
        }
        let (sessions, untold, _) = pam_session::sessions(seen);
        drifts.extend(
            counting
                .iter()
                .filter(|line| !self.holds(line.value))
                .map(|line| self.wrong(line)),
        );
        for session in &sessions {
            drifts.extend(self.not_called(session));
        }
        if counting.iter().all(|line| line.domain != ALL) {
            drifts.push(self.lacking());
        }
        if !drifts.is_empty() {
            return Judgement::Drift(drifts);
        }
        if let Some(reason) = untold {
            return reason.into();
        }
        Judgement::Compliant {
            observed: format!("hard {} at most {}", self.item, self.at_most),
            at: counting.into_iter().map(|line| line.at).collect(),
        }
    }

    fn risk(&self) -> Risk {
        Risk::None
    }

    fn check(&self) -> Result<(), String> {
        match ITEMS.contains(&self.item.as_str()) {
            true => Ok(()),
            false => Err(format!(
                "`{}` is not an item of limits.conf(5)",
                printable(self.item.as_bytes())
            )),
        }
    }
}

/// limits.conf(5): the items of a number that bounds.
const ITEMS: [&str; 14] = [
    "core",
    "data",
    "fsize",
    "memlock",
    "nofile",
    "rss",
    "stack",
    "cpu",
    "nproc",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "maxlogins",
];

/// It is about everyone but root.
const ALL: &str = "*";

/// A line that sets the hard limit.
struct Line {
    at: SourceLine,
    text: String,
    domain: String,
    /// None for no limit, and for what is no number.
    value: Option<u64>,
    /// Where the value stands in the text.
    from: usize,
}

impl ResourceLimit {
    fn ours(&self) -> HostPath {
        let path = format!("{DIRECTORY}/50-steadfast-{}.conf", self.item);
        // `check` holds items to the known ones.
        HostPath::from_bytes(path.as_bytes()).unwrap_or_else(|_| HostPath::literal(MAIN))
    }

    fn holds(&self, value: Option<u64>) -> bool {
        value.is_some_and(|value| value <= self.at_most)
    }

    fn lines(&self, path: &HostPath, text: &str) -> Vec<Line> {
        let mut found = Vec::new();
        for (number, text) in (1..).zip(text.lines()) {
            let said = text.split('#').next().unwrap_or_default();
            let words: Vec<&str> = said.split_whitespace().collect();
            let [domain, kind, item, value] = words[..] else {
                continue;
            };
            // `-` sets both. pam_limits takes these words in any letter case.
            let is_hard = kind == "-" || kind.eq_ignore_ascii_case("hard");
            if !is_hard || !item.eq_ignore_ascii_case(&self.item) {
                continue;
            }
            found.push(Line {
                at: SourceLine::new(path.clone(), number),
                text: text.to_owned(),
                domain: domain.to_owned(),
                value: value.parse().ok(),
                from: said.rfind(value).unwrap_or_default(),
            });
        }
        found
    }

    /// Lines that take every limit from somebody; `*` is not about anybody there.
    fn exempt(&self, path: &HostPath, text: &str) -> Vec<Drift> {
        let mut found = Vec::new();
        for (number, text) in (1..).zip(text.lines()) {
            let said = text.split('#').next().unwrap_or_default();
            let words: Vec<&str> = said.split_whitespace().collect();
            let [domain, "-"] = words[..] else {
                continue;
            };
            if domain == "*" {
                continue;
            }
            found.push(Drift {
                observed: format!("no limits for {}", printable(domain.as_bytes())),
                wanted: format!("hard {} at most {}", self.item, self.at_most),
                at: vec![SourceLine::new(path.clone(), number)],
                edits: vec![Edit::Content {
                    path: path.clone(),
                    change: ContentEdit::ReplaceLine {
                        line: number,
                        old: text.to_owned(),
                        new: Vec::new(),
                    },
                    new_file: None,
                    as_user: None,
                }],
                ..Drift::default()
            });
        }
        found
    }

    /// A service whose sessions get no limits, or others than those files say.
    fn not_called(&self, session: &Session) -> Option<Drift> {
        const MODULE: &str = "pam_limits.so";
        let wanted = format!("hard {} at most {}", self.item, self.at_most);
        let mut calls = session.calls(MODULE);
        let Some(first) = calls.next() else {
            let path = session.path()?;
            let edit = Edit::Content {
                path: path.clone(),
                change: ContentEdit::Append(format!("session    required   {MODULE}")),
                new_file: None,
                as_user: None,
            };
            let is_ours = path.as_bytes().starts_with(b"/etc/");
            return Some(Drift {
                observed: format!("{} calls no {MODULE}", session.name()),
                wanted,
                at: vec![SourceLine::file(path)],
                by_hand: (!is_ours).then(|| format!("add `session required {MODULE}` to it")),
                edits: is_ours.then_some(edit).into_iter().collect(),
                ..Drift::default()
            });
        };
        let conf = |entry: &&Entry| entry.call.argument("conf").is_some();
        let entry = [first].into_iter().chain(calls).find(conf)?;
        Some(Drift {
            observed: format!(
                "{MODULE} reads {}",
                printable(entry.call.argument("conf").unwrap_or_default().as_bytes())
            ),
            wanted,
            at: vec![entry.at.clone()],
            note: Some(format!("{MAIN} and {DIRECTORY} are nothing to it")),
            by_hand: Some("take `conf=` away there".to_owned()),
            ..Drift::default()
        })
    }

    fn wrong(&self, line: &Line) -> Drift {
        let value = line.text[line.from..].split(['#', ' ', '\t']).next();
        let value = value.unwrap_or_default();
        let path = &line.at.path;
        let is_before_ours = path.as_bytes() == MAIN.as_bytes() || path < &self.ours();
        let change = match [ALL, "root"].contains(&line.domain.as_str()) && is_before_ours {
            // Read after it, and so it counts.
            true => return self.drift(line, value, self.add(&line.domain)),
            false => ContentEdit::ReplaceLine {
                line: line.at.line.unwrap_or(1),
                old: line.text.clone(),
                new: vec![format!(
                    "{}{}{}",
                    &line.text[..line.from],
                    self.at_most,
                    &line.text[line.from + value.len()..]
                )],
            },
        };
        let edit = Edit::Content {
            path: path.clone(),
            change,
            new_file: None,
            as_user: None,
        };
        self.drift(line, value, edit)
    }

    fn drift(&self, line: &Line, value: &str, edit: Edit) -> Drift {
        Drift {
            observed: format!(
                "hard {} {} for {}",
                self.item,
                printable(value.as_bytes()),
                printable(line.domain.as_bytes())
            ),
            wanted: format!("at most {}", self.at_most),
            at: vec![line.at.clone()],
            edits: vec![edit],
            ..Drift::default()
        }
    }

    fn lacking(&self) -> Drift {
        Drift {
            observed: format!("no hard limit of {}", self.item),
            wanted: format!("at most {}", self.at_most),
            edits: vec![self.add(ALL)],
            ..Drift::default()
        }
    }

    fn add(&self, domain: &str) -> Edit {
        Edit::Content {
            path: self.ours(),
            change: ContentEdit::Append(format!("{domain} hard {} {}", self.item, self.at_most)),
            new_file: Some(NewFile::default()),
            as_user: None,
        }
    }
}

/// The files in the order in which they are read; later ones win (limits.conf(5)).
fn files(seen: &Answers) -> Result<Vec<HostPath>, Reason> {
    let is_read = |name: &[u8]| name.ends_with(b".conf") && !name.starts_with(b".");
    let mut files = seen.files_in(&HostPath::literal(DIRECTORY), is_read)?;
    files.insert(0, HostPath::literal(MAIN));
    Ok(files)
}
