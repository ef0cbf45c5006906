//! `login_setting`: a setting of the shadow programs, in login.defs(5) or in the defaults of
//! useradd(8).

use model::expectation::Scalar;
use model::plan::Risk;
use model::{Expectation, HostPath, Mode, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{password_hash, session_mask};
use crate::assigned::Assigned;
use crate::{Answers, Drift, Judgement, Kind, NewFile, Phase, Seen, Syntax};

/// A setting for accounts that are made, and passwords that are changed, from now on. Accounts
/// that exist keep what they have (see `user`).
///
/// Where a key is set twice the last line counts, as shadow reads it, but for `ENCRYPT_METHOD`.
/// The fix changes that line, or adds one after the commented-out example.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginSetting {
    /// Which file: `login.defs` is `/etc/login.defs`, `useradd` is `/etc/default/useradd`.
    pub file: LoginFile,
    /// The key: `PASS_MAX_DAYS`, `UMASK`, `INACTIVE`.
    pub key: String,
    /// What it should be. Of `ENCRYPT_METHOD` it is judged which hash pam_unix(8) makes: an option
    /// of its own counts first, and login.defs where it has none, of which pam_unix takes the first
    /// line, in any letter case, and quotes for a part of the value. The fix changes what counts.
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
        if self.is_hash() {
            probes.extend(password_hash::probes(seen));
        }
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let path = self.file.path();
        if matches!(seen.file(&path), Seen::Absent) {
            return Judgement::NotApplicable(format!("there is no {path}"));
        }
        if self.is_hash() {
            return self.judge_hash(&path, seen);
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
        let Some(mask) = self.takes_away else {
            return judgement;
        };
        let (more, untold) = session_mask::overruled(mask, seen);
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
    fn is_hash(&self) -> bool {
        self.file == LoginFile::LoginDefs && self.key == HASH
    }

    /// By the hash that pam_unix(8) makes of what is written, not by the words.
    fn judge_hash(&self, path: &HostPath, seen: &Answers) -> Judgement {
        let wanted = self.wanted();
        let hashes = password_hash::hashes(&wanted, seen);
        let mut value = wanted.clone();
        let mut unknown_word = None;
        if let Seen::Known(file) = seen.file(path) {
            let text = String::from_utf8_lossy(file.content.as_bytes());
            if let Some(found) = self.syntax().effective(&text, "", &self.key) {
                let made = password_hash::named_by(&found.value);
                if wanted.holds_ignoring_case(made) {
                    value = Expectation::Exactly(Scalar::from(found.value.as_str()));
                } else if wanted.holds(&found.value) {
                    unknown_word = Some(Drift {
                        observed: printable(found.value.as_bytes()),
                        wanted: wanted.to_string(),
                        at: vec![SourceLine::new(path.clone(), found.line)],
                        note: Some(format!("pam_unix.so makes {made} of it")),
                        by_hand: Some(
                            "name the hash by an option of pam_unix.so in \
                             /etc/pam.d/common-password"
                                .to_owned(),
                        ),
                        ..Drift::default()
                    });
                }
            }
        }
        let of_file = match unknown_word {
            Some(drift) => Judgement::drift(drift),
            None => self
                .assigned(path, &value)
                .judge(seen, NewFile::default(), Vec::new()),
        };
        match (of_file, hashes.without_file) {
            // What the file says makes no hash then.
            (Judgement::Drift(_), Some((observed, at))) => match (hashes.drifts, hashes.untold) {
                (drifts, _) if !drifts.is_empty() => Judgement::Drift(drifts),
                (_, Some(reason)) => reason.into(),
                _ => Judgement::Compliant { observed, at },
            },
            (Judgement::Drift(mut drifts), None) => {
                drifts.extend(hashes.drifts);
                Judgement::Drift(drifts)
            }
            (Judgement::Compliant { .. }, _) if !hashes.drifts.is_empty() => {
                Judgement::Drift(hashes.drifts)
            }
            (Judgement::Compliant { .. }, _) if hashes.untold.is_some() => {
                hashes.untold.map_or_else(Judgement::not_asked, Into::into)
            }
            (other, _) => other,
        }
    }

    fn syntax(&self) -> Syntax {
        match self.file {
            LoginFile::LoginDefs if self.is_hash() => Syntax::SEARCH_KEY,
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
