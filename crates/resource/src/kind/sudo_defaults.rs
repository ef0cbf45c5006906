//! `sudo_defaults`: a setting of sudoers(5) that holds for everyone, by its effective value,
//! and every narrower `Defaults` that says otherwise.

use model::expectation::Scalar;
use model::plan::Risk;
use model::{Expectation, HostPath, Mode, Probe, ResourceKey, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::sudoers::{self, Item, Scope, Setting, SettingValue, Sudoers};
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase};

/// A `Defaults` setting. The last one that is read wins; one for some users, hosts or
/// commands that says otherwise is reported with its line.
///
/// The fix edits the line that wins. Where that is in the distribution's `/etc/sudoers`, or
/// where there is none, it is a line in `/etc/sudoers.d/50-steadfast`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SudoDefaults {
    /// The setting's name: `use_pty`, `logfile`, `timestamp_timeout`.
    pub option: String,
    /// `true` or `false` for a flag, else what its value should be. Not given: `true`.
    #[serde(default)]
    pub value: Option<Expectation>,
}

/// Defaults of sudo itself that are the same in every version we know (sudoers(5)). `use_pty`
/// is not among them: it became the default in 1.9.14.
const BUILT_IN: [(&str, &str); 8] = [
    ("authenticate", "true"),
    ("env_reset", "true"),
    ("insults", "false"),
    ("passwd_tries", "3"),
    ("requiretty", "false"),
    ("rootpw", "false"),
    ("timestamp_timeout", "15"),
    ("visiblepw", "false"),
];

impl Kind for SudoDefaults {
    const NAME: &'static str = "sudo_defaults";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.option.clone(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        sudoers::read(seen).1
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        if sudoers::is_absent(seen) {
            return Judgement::NotApplicable(format!("there is no {}", sudoers::MAIN));
        }
        let (sudoers, _) = sudoers::read(seen);
        let wanted = self.wanted();
        let winner = sudoers
            .settings()
            .filter(|setting| setting.name == self.option && setting.scope == Scope::Everyone)
            .last();
        let effective = match winner {
            Some(setting) => written(setting),
            None => self.built_in(),
        };
        let mut drifts = Vec::new();
        if !effective.as_ref().is_some_and(|value| wanted.holds(value)) {
            drifts.push(self.drift(&sudoers, winner, effective.as_deref(), &wanted));
        }
        drifts.extend(self.narrower(&sudoers, &wanted));
        if !drifts.is_empty() {
            return Judgement::Drift(drifts);
        }
        if let Some(reason) = sudoers.hidden() {
            return reason.clone().into();
        }
        Judgement::Compliant {
            observed: effective.map_or_else(String::new, |value| printable(value.as_bytes())),
            at: winner.iter().map(|setting| setting.at.clone()).collect(),
        }
    }

    fn risk(&self) -> Risk {
        Risk::Access
    }

    fn check(&self) -> Result<(), String> {
        let is_name = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if !is_name(&self.option) {
            return Err(format!(
                "`{}` is not a setting of sudoers(5)",
                printable(self.option.as_bytes())
            ));
        }
        let wanted = self.wanted();
        if !wanted.is_consistent() {
            return Err("`set` does not satisfy the expectation itself".to_owned());
        }
        let set = wanted.set();
        if set.chars().any(|c| c.is_control() || c == '"') || set.is_empty() {
            return Err("a value is empty, or holds a quote or a control character".to_owned());
        }
        Ok(())
    }
}

impl SudoDefaults {
    fn wanted(&self) -> Expectation {
        self.value
            .clone()
            .unwrap_or(Expectation::Exactly(Scalar::Bool(true)))
    }

    fn built_in(&self) -> Option<String> {
        BUILT_IN
            .iter()
            .find(|(name, _)| *name == self.option)
            .map(|(_, value)| (*value).to_owned())
    }

    /// As it is written in a `Defaults` line.
    fn setting(&self, wanted: &Expectation) -> String {
        let option = &self.option;
        match wanted.set().as_str() {
            "true" => option.clone(),
            "false" => format!("!{option}"),
            value if value.contains(|c: char| " \t,#\\=:".contains(c)) => {
                format!("{option}=\"{}\"", value.replace('\\', "\\\\"))
            }
            value => format!("{option}={value}"),
        }
    }

    fn drift(
        &self,
        sudoers: &Sudoers,
        winner: Option<&Setting>,
        effective: Option<&str>,
        wanted: &Expectation,
    ) -> Drift {
        let edits = match winner {
            Some(winner) if !self.ours_wins_over(sudoers, winner) => {
                replace(winner, &self.setting(wanted))
            }
            _ => self.new_line(sudoers, wanted),
        };
        Drift {
            observed: effective
                .map_or_else(|| "not set".to_owned(), |value| printable(value.as_bytes())),
            wanted: wanted.to_string(),
            at: winner.iter().map(|setting| setting.at.clone()).collect(),
            by_hand: edits
                .is_empty()
                .then(|| format!("set `{}` with visudo", self.setting(wanted))),
            edits,
            ..Drift::default()
        }
    }

    /// A drop-in that is read after the distribution's file overrules it.
    fn ours_wins_over(&self, sudoers: &Sudoers, winner: &Setting) -> bool {
        let place = sudoers.items.iter().position(
            |item| matches!(item, Item::Setting(setting) if std::ptr::eq(setting, winner)),
        );
        winner.at.path == HostPath::literal(sudoers::MAIN)
            && matches!((sudoers.drop_in_before, place), (Some(ours), Some(place)) if place < ours)
    }

    fn new_line(&self, sudoers: &Sudoers, wanted: &Expectation) -> Vec<Edit> {
        let line = format!("Defaults {}", self.setting(wanted));
        let path = if sudoers.drop_in_before.is_some() {
            sudoers::OURS
        } else {
            sudoers::MAIN
        };
        vec![Edit::Content {
            path: HostPath::literal(path),
            change: ContentEdit::Append(line),
            new_file: Some(NewFile {
                mode: Mode::new(0o440),
                ..NewFile::default()
            }),
            as_user: None,
        }]
    }

    /// Settings for some that say otherwise.
    fn narrower(&self, sudoers: &Sudoers, wanted: &Expectation) -> Vec<Drift> {
        sudoers
            .settings()
            .filter(|setting| setting.name == self.option)
            .filter_map(|setting| {
                let Scope::Only(sign, members) = &setting.scope else {
                    return None;
                };
                let value = written(setting)?;
                if wanted.holds(&value) {
                    return None;
                }
                let names: Vec<String> = members
                    .iter()
                    .map(|member| printable(member.name.as_bytes()))
                    .collect();
                let what = match sign {
                    ':' => "users",
                    '@' => "hosts",
                    '>' => "target users",
                    _ => "commands",
                };
                let edits = replace(setting, &self.setting(wanted));
                Some(Drift {
                    observed: printable(value.as_bytes()),
                    wanted: wanted.to_string(),
                    at: vec![setting.at.clone()],
                    note: Some(format!("for {what} `{}`", names.join(", "))),
                    by_hand: edits
                        .is_empty()
                        .then(|| format!("change `{}` with visudo", self.option)),
                    edits,
                    ..Drift::default()
                })
            })
            .collect()
    }
}

/// Numbers that are 0 when they are negated (sudoers(5), "Integers that can be used in a boolean
/// context").
const NUMBERS: [&str; 3] = ["loglinelen", "passwd_timeout", "timestamp_timeout"];

/// What a setting makes of its option; a list that is added to says nothing by itself.
fn written(setting: &Setting) -> Option<String> {
    match &setting.value {
        SettingValue::Flag(false) if NUMBERS.contains(&&*setting.name) => Some("0".to_owned()),
        SettingValue::Flag(on) => Some(on.to_string()),
        SettingValue::Set(text) => Some(text.clone()),
        SettingValue::Add(_) | SettingValue::Take(_) => None,
    }
}

fn replace(setting: &Setting, instead: &str) -> Vec<Edit> {
    let span = setting.span.clone().map(|mut span| {
        instead.clone_into(&mut span.instead);
        span
    });
    span.map(sudoers::without).into_iter().collect()
}
