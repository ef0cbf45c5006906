//! One key in one file of assignments: what it is, whether that will do, and the edit
//! that changes it. Shared by the kinds that are about such a file.

use model::plan::may_hold_secrets;
use model::value::FileSeen;
use model::{Effect, Expectation, HostPath, Probe, SourceLine, printable};

use crate::{Answers, ContentEdit, Drift, Edit, Judgement, NewFile, Seen, Syntax};

/// A key, where it stands, and what it should be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assigned<'a> {
    pub path: &'a HostPath,
    pub syntax: Syntax,
    /// Empty where there are no sections.
    pub section: &'a str,
    pub key: &'a str,
    pub value: &'a Expectation,
    /// What the program does when the key is not set, where the policy says so.
    pub default: Option<&'a str>,
}

impl Assigned<'_> {
    /// The file, and where it is a link, the file that it leads to: that one is edited.
    pub fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes = vec![Probe::file(self.path.clone())];
        if let Seen::Known(file) = seen.file(self.path)
            && let Some(resolved) = &file.resolved
        {
            probes.push(Probe::file(resolved.clone()));
        }
        probes
    }

    pub fn judge(&self, seen: &Answers, new_file: NewFile, activate: Vec<Effect>) -> Judgement {
        let file = match seen.file(self.path) {
            Seen::Known(file) => Some(file),
            Seen::Absent => None,
            Seen::Unknown(reason) => return reason.into(),
            Seen::NotAsked => return Judgement::not_asked(),
        };
        let text = file.map(|file| String::from_utf8_lossy(file.content.as_bytes()));
        let found =
            self.syntax
                .effective(text.as_deref().unwrap_or_default(), self.section, self.key);
        let at: Vec<SourceLine> = found
            .iter()
            .map(|found| SourceLine::new(self.path.clone(), found.line))
            .collect();
        let seen_value = found.as_ref().map(|found| found.value.as_str());
        let effective = seen_value.or(self.default);
        let observed = match (seen_value, self.default) {
            (None, None) => "not set".to_owned(),
            (None, Some(default)) => format!("{} by default", printable(default.as_bytes())),
            (Some(_), _) if self.is_secret() => "a value that is not shown".to_owned(),
            (Some(""), _) if self.syntax.flags => "set".to_owned(),
            (Some(""), _) => "empty".to_owned(),
            (Some(value), _) => printable(value.as_bytes()),
        };
        if effective.is_some_and(|value| self.syntax.holds(self.value, value)) {
            return Judgement::Compliant { observed, at };
        }
        let mut drift = Drift {
            observed,
            wanted: match self.value.to_string() {
                _ if self.is_secret() => "the declared value".to_owned(),
                empty if empty.is_empty() && self.syntax.flags => "set".to_owned(),
                empty if empty.is_empty() => "empty".to_owned(),
                value => value,
            },
            at,
            activate,
            ..Drift::default()
        };
        match self.edit(file, new_file) {
            Ok(edit) => {
                // Others may read it under its own name, or through links of theirs.
                if let Some(resolved) = file.and_then(|file| file.resolved.as_ref()) {
                    drift.note = Some(format!(
                        "{} leads to {resolved}: it is changed for all that read it",
                        self.path
                    ));
                }
                drift.edits.push(edit);
            }
            Err(why) => {
                drift.activate.clear();
                drift.by_hand = Some(why);
            }
        }
        Judgement::drift(drift)
    }

    /// Tried on the file as it is, so that a plan holds no edit that can't be made.
    fn edit(&self, file: Option<&FileSeen>, new_file: NewFile) -> Result<Edit, String> {
        let change = ContentEdit::Assign {
            syntax: self.syntax,
            section: self.section.to_owned(),
            key: self.key.to_owned(),
            value: self.value.set(),
        };
        let current = file.map(|file| file.content.as_bytes());
        change
            .apply(current)
            .map_err(|why| format!("edit {}: {why}", self.path))?;
        let resolved = file.and_then(|file| file.resolved.as_ref());
        Ok(Edit::Content {
            path: resolved.unwrap_or(self.path).clone(),
            change,
            new_file: file.is_none().then_some(new_file),
            as_user: None,
        })
    }

    fn is_secret(&self) -> bool {
        let key = self.key.to_ascii_lowercase();
        let words = ["password", "passwd", "secret", "token", "credential"];
        may_hold_secrets(self.path)
            // A length or a count of passwords is no secret.
            || (words.iter().any(|word| key.ends_with(word)) && self.value.set().parse::<i64>().is_err())
    }

    pub fn check(&self) -> Result<(), String> {
        check_value(self.value)?;
        self.syntax.check(self.section, self.key, &self.value.set())
    }
}

/// A policy whose fix would not satisfy its own check is refused.
pub(crate) fn check_value(value: &Expectation) -> Result<(), String> {
    if value.is_consistent() {
        Ok(())
    } else {
        Err(format!(
            "setting `{}` would not satisfy `{value}`",
            value.set()
        ))
    }
}
