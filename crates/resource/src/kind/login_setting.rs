//! `login_setting`: a setting of the shadow programs, in login.defs(5) or in the defaults of
//! useradd(8).

use model::plan::Risk;
use model::{Expectation, HostPath, Probe, ResourceKey, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::assigned::Assigned;
use crate::{Answers, Judgement, Kind, NewFile, Phase, Seen, Syntax};

/// A setting for accounts that are made, and passwords that are changed, from now on. Accounts
/// that exist keep what they have (see `user`).
///
/// Where a key is set twice the last line counts, as shadow reads it. The fix changes that
/// line, or adds one after the commented-out example.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginSetting {
    /// Which file: `login.defs` is `/etc/login.defs`, `useradd` is `/etc/default/useradd`.
    pub file: LoginFile,
    /// The key: `PASS_MAX_DAYS`, `UMASK`, `INACTIVE`.
    pub key: String,
    /// What it should be.
    pub value: Expectation,
}

/// The files of the shadow programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum LoginFile {
    #[serde(rename = "login.defs")]
    LoginDefs,
    #[serde(rename = "useradd")]
    Useradd,
}

impl LoginFile {
    fn path(self) -> HostPath {
        HostPath::literal(match self {
            Self::LoginDefs => "/etc/login.defs",
            Self::Useradd => "/etc/default/useradd",
        })
    }
}

impl Kind for LoginSetting {
    const NAME: &'static str = "login_setting";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: format!("{} {}", self.file.path(), self.key),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        self.assigned(&self.file.path()).probes(seen)
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let path = self.file.path();
        if matches!(seen.file(&path), Seen::Absent) {
            return Judgement::NotApplicable(format!("there is no {path}"));
        }
        self.assigned(&path)
            .judge(seen, NewFile::default(), Vec::new())
    }

    fn risk(&self) -> Risk {
        Risk::None
    }

    fn check(&self) -> Result<(), String> {
        let is_key = !self.key.is_empty()
            && self
                .key
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if !is_key {
            return Err(format!(
                "`{}` is not a key: they are upper-case words",
                printable(self.key.as_bytes())
            ));
        }
        self.assigned(&self.file.path()).check()
    }
}

impl LoginSetting {
    fn assigned<'a>(&'a self, path: &'a HostPath) -> Assigned<'a> {
        Assigned {
            path,
            syntax: match self.file {
                LoginFile::LoginDefs => Syntax::SPACE,
                LoginFile::Useradd => Syntax::SHELL,
            },
            section: "",
            key: &self.key,
            value: &self.value,
            default: None,
        }
    }
}
