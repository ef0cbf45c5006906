//! `login_setting`: a setting of the shadow programs, in login.defs(5) or in the defaults of
//! useradd(8).

use model::expectation::Scalar;
use model::plan::Risk;
use model::{Expectation, HostPath, Mode, Probe, ResourceKey, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{password_hash, session_mask};
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
    /// What it should be. Of `ENCRYPT_METHOD`, an option of pam_unix(8) that says otherwise is
    /// reported as well, since it counts first; the fix changes it.
    #[serde(default)]
    pub value: Option<Expectation>,
    /// Instead of `value`, for `UMASK`: the bits that it takes away at least, `"027"`. A stricter
    /// mask will do, however it is written. It must be what people's sessions have: those who sign
    /// in get it by pam_umask(8), which the stacks of their services must call, and neither an
    /// argument of it, nor an account's comment, nor a profile of shells may let more through.
    #[serde(default)]
    pub takes_away: Option<Mode>,
}

/// What PAM's stacks make of passwords counts as well.
const HASH: &str = "ENCRYPT_METHOD";

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
        let value = self.wanted();
        let mut probes = self.assigned(&self.file.path(), &value).probes(seen);
        if self.takes_away.is_some() {
            probes.extend(session_mask::probes(seen));
        }
        if self.key == HASH {
            probes.extend(password_hash::probes(seen));
        }
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let path = self.file.path();
        if matches!(seen.file(&path), Seen::Absent) {
            return Judgement::NotApplicable(format!("there is no {path}"));
        }
        let mut value = self.wanted();
        // pam_umask(8) reads the mask as an octal number, with or without a zero before it.
        if let (Some(mask), Seen::Known(file)) = (self.takes_away, seen.file(&path)) {
            let text = String::from_utf8_lossy(file.content.as_bytes());
            let found = self.syntax().effective(&text, "", &self.key);
            let covers = |text: &str| {
                u32::from_str_radix(text, 8).is_ok_and(|bits| bits & mask.bits() == mask.bits())
            };
            if let Some(found) = found.filter(|found| covers(&found.value)) {
                value = Expectation::Exactly(Scalar::from(found.value.as_str()));
            }
        }
        let judgement = self
            .assigned(&path, &value)
            .judge(seen, NewFile::default(), Vec::new());
        let (more, untold) = match (self.takes_away, self.key.as_str()) {
            (Some(mask), _) => session_mask::overruled(mask, seen),
            (None, HASH) => password_hash::overruled(&value, seen),
            (None, _) => return judgement,
        };
        match (judgement, untold) {
            (Judgement::Drift(mut drifts), _) => {
                drifts.extend(more);
                Judgement::Drift(drifts)
            }
            (Judgement::Compliant { .. }, _) if !more.is_empty() => Judgement::Drift(more),
            (Judgement::Compliant { .. }, Some(reason)) => reason.into(),
            (other, _) => other,
        }
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
        match (&self.value, self.takes_away) {
            (Some(_), None) => {}
            (None, Some(mask)) if self.key == "UMASK" && mask.bits() & !0o777 == 0 => {}
            (None, Some(_)) => {
                return Err("`takes_away` is for `UMASK`, and has three digits".to_owned());
            }
            _ => return Err("say exactly one of `value` and `takes_away`".to_owned()),
        }
        let value = self.wanted();
        self.assigned(&self.file.path(), &value).check()
    }
}

impl LoginSetting {
    const fn syntax(&self) -> Syntax {
        match self.file {
            LoginFile::LoginDefs => Syntax::SPACE,
            LoginFile::Useradd => Syntax::SHELL,
        }
    }

    /// Of a mask, what is written where it has to be changed.
    fn wanted(&self) -> Expectation {
        let mask = || {
            let bits = self.takes_away.map_or(0, Mode::bits);
            Expectation::Exactly(Scalar::from(format!("{bits:03o}").as_str()))
        };
        self.value.clone().unwrap_or_else(mask)
    }

    fn assigned<'a>(&'a self, path: &'a HostPath, value: &'a Expectation) -> Assigned<'a> {
        Assigned {
            path,
            syntax: self.syntax(),
            section: "",
            key: &self.key,
            value,
            default: None,
        }
    }
}
