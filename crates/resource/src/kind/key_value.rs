//! `key_value`: one key in a file of assignments, in a named syntax. Every other line of
//! the file stays as it is.

use model::{Expectation, HostPath, Mode, Probe, ResourceKey};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::assigned::Assigned;
use crate::notify::{Notify, reloads};
use crate::syntax::{Case, Wins};
use crate::{Answers, Judgement, Kind, NewFile, Phase, Syntax};

/// One key in a file of assignments.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyValue {
    /// The absolute path of the file. A missing file is made, and the directories above it, with mode 0755.
    pub path: HostPath,
    /// How the file is written.
    pub syntax: KeyValueSyntax,
    /// The key.
    pub key: String,
    /// What it must be.
    pub value: Expectation,
    /// What the program does when the key is not set. Where that satisfies `value`, nothing
    /// is written.
    #[serde(default)]
    pub default: Option<String>,
    /// Does letter case matter, in keys and values?
    #[serde(default)]
    pub case: Case,
    /// Which assignment counts where there are several of one key.
    #[serde(default)]
    pub wins: Wins,
    /// Permission bits of a file that has to be made; 0644 where nothing is said.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Units to reload, or restart where they can't reload, when the file changed.
    #[serde(default)]
    pub notify: Option<Notify>,
}

/// The named syntaxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyValueSyntax {
    /// `key = value`, with `#` and `;` comments.
    Equals,
    /// `KEY value`, with `#` comments, as in login.defs(5).
    Space,
    /// `key: value`, with `#` comments.
    Colon,
    /// `KEY="value"` as a shell reads it, as in the files of `/etc/default`.
    Shell,
    /// `key = value` or a bare `flag`, where `#` ends a line, as in faillock.conf(5). A flag
    /// that is on has the empty value.
    Flags,
}

impl KeyValueSyntax {
    const fn syntax(self) -> Syntax {
        match self {
            Self::Equals => Syntax::EQUALS,
            Self::Space => Syntax::SPACE,
            Self::Colon => Syntax::COLON,
            Self::Shell => Syntax::SHELL,
            Self::Flags => Syntax::PAM_CONF,
        }
    }
}

impl Kind for KeyValue {
    const NAME: &'static str = "key_value";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: format!("{} {}", self.path, self.key),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        self.assigned().probes(seen)
    }

    fn makes(&self) -> Option<&HostPath> {
        Some(&self.path)
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        self.assigned()
            .judge(seen, new_file(self.mode), reloads(self.notify.as_ref()))
    }

    fn check(&self) -> Result<(), String> {
        self.notify.as_ref().map_or(Ok(()), Notify::check)?;
        self.assigned().check()
    }
}

impl KeyValue {
    fn assigned(&self) -> Assigned<'_> {
        Assigned {
            path: &self.path,
            syntax: self
                .syntax
                .syntax()
                .with_case(self.case)
                .with_wins(self.wins),
            section: "",
            key: &self.key,
            value: &self.value,
            default: self.default.as_deref(),
        }
    }
}

pub(super) fn new_file(mode: Option<Mode>) -> NewFile {
    let usual = NewFile::default();
    NewFile {
        mode: mode.unwrap_or(usual.mode),
        ..usual
    }
}
