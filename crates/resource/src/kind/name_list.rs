//! `name_list`: a file with one name a line, that lets those in who are named and nobody else.

use model::plan::Risk;
use model::{HostPath, Mode, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase, Seen};

/// A file that names who may do something, one name a line, such as `/etc/cron.allow`
/// (crontab(1)): these may, and nobody else. Comments, empty lines and the order mean nothing.
///
/// The fix takes other names out and adds those that lack. A missing file is made.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NameList {
    /// The absolute path.
    pub path: HostPath,
    /// Who may.
    pub names: Vec<String>,
    /// Of these, who may even without being named: a file without them is as good.
    #[serde(default)]
    pub implied: Vec<String>,
    /// Permission bits of a file that has to be made; 0644 where nothing is said.
    #[serde(default)]
    pub mode: Option<Mode>,
}

impl Kind for NameList {
    const NAME: &'static str = "name_list";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.path.to_string(),
        }
    }

    fn probes(&self, _: &Answers) -> Vec<Probe> {
        vec![Probe::file(self.path.clone())]
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let file = match seen.file(&self.path) {
            Seen::Known(file) => file,
            Seen::Absent => return Judgement::drift(self.missing()),
            Seen::Unknown(reason) => return reason.into(),
            Seen::NotAsked => return Judgement::not_asked(),
        };
        let text = String::from_utf8_lossy(file.content.as_bytes());
        let path = file.resolved.as_ref().unwrap_or(&self.path);
        let is_listed = |name: &String| text.lines().any(|line| line == name);
        let lacking: Vec<&String> = self
            .names
            .iter()
            .filter(|name| !self.implied.contains(name) && !is_listed(name))
            .collect();
        // A name with blanks around it names nobody, but somebody meant it.
        let others: Vec<(u32, &str)> = (1..)
            .zip(text.lines())
            .filter(|(_, line)| {
                let name = line.trim();
                let is_wanted = self
                    .names
                    .iter()
                    .chain(&self.implied)
                    .any(|known| known == name);
                !name.is_empty() && !name.starts_with('#') && !is_wanted
            })
            .collect();
        if lacking.is_empty() && others.is_empty() {
            return Judgement::Compliant {
                observed: "these and nobody else".to_owned(),
                at: vec![SourceLine::file(self.path.clone())],
            };
        }
        let edit = |change| Edit::Content {
            path: path.clone(),
            change,
            new_file: None,
            as_user: None,
        };
        let mut observed: Vec<String> = others
            .iter()
            .map(|(_, line)| format!("`{}` is named", printable(line.trim().as_bytes())))
            .collect();
        observed.extend(lacking.iter().map(|name| format!("`{name}` is not named")));
        let mut edits: Vec<Edit> = others
            .iter()
            .map(|(number, line)| {
                edit(ContentEdit::ReplaceLine {
                    line: *number,
                    old: (*line).to_owned(),
                    new: Vec::new(),
                })
            })
            .collect();
        edits.extend(
            lacking
                .iter()
                .map(|name| edit(ContentEdit::Append((*name).clone()))),
        );
        let at = |(number, _): &(u32, &str)| SourceLine::new(path.clone(), *number);
        Judgement::drift(Drift {
            observed: observed.join(", "),
            wanted: self.wanted(),
            at: match others.is_empty() {
                true => vec![SourceLine::file(path.clone())],
                false => others.iter().map(at).collect(),
            },
            edits,
            ..Drift::default()
        })
    }

    fn risk(&self) -> Risk {
        Risk::Access
    }

    fn check(&self) -> Result<(), String> {
        let is_name = |name: &&String| {
            !name.is_empty() && !name.starts_with('#') && !name.contains(char::is_whitespace)
        };
        match self
            .names
            .iter()
            .chain(&self.implied)
            .find(|name| !is_name(name))
        {
            Some(name) => Err(format!("`{}` is not one name", printable(name.as_bytes()))),
            None => Ok(()),
        }
    }
}

impl NameList {
    fn wanted(&self) -> String {
        match self.names.is_empty() {
            true => "nobody is named".to_owned(),
            false => format!("{}, and nobody else", self.names.join(", ")),
        }
    }

    fn missing(&self) -> Drift {
        let usual = NewFile::default();
        let lines: String = self.names.iter().map(|name| format!("{name}\n")).collect();
        Drift {
            observed: "absent".to_owned(),
            wanted: self.wanted(),
            edits: vec![Edit::Content {
                path: self.path.clone(),
                change: ContentEdit::Whole(lines.into()),
                new_file: Some(NewFile {
                    mode: self.mode.unwrap_or(usual.mode),
                    ..usual
                }),
                as_user: None,
            }],
            ..Drift::default()
        }
    }
}
