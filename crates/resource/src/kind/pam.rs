//! `pam`: a module of the password and sign-in stacks, whether it is on, and an option of it.
//!
//! Debian makes `/etc/pam.d/common-*` with pam-auth-update(8) from profiles. We edit those
//! files in place instead of adding a profile: the edit is shown line by line before it is
//! made, and taken back byte for byte. What we add goes, where the order allows it, before the
//! managed block, which pam-auth-update keeps; where it must stand inside, it stands so that the
//! jumps of the managed lines stay as pam-auth-update writes them, since it writes them anew.

use model::expectation::Scalar;
use model::plan::Risk;
use model::value::Reason;
use model::{Expectation, HostPath, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::pam_stack::{self, Entry, Stack};
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, Phase, Seen, Syntax};

/// A PAM module that guards passwords: it must be on, and one of its options may be wanted.
///
/// An option on the module's own line counts before its configuration file, and the fix
/// changes it where it is set.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pam {
    /// The module.
    pub module: PamModule,
    /// An option of it: `minlen`, `deny`, `remember`.
    #[serde(default)]
    pub option: Option<String>,
    /// What the option should be; `true` and `false` for an option without a value.
    #[serde(default)]
    pub value: Option<Expectation>,
}

/// The modules that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PamModule {
    /// New passwords must be hard to guess (pam_pwquality(8), of the package
    /// `libpam-pwquality`).
    Pwquality,
    /// An account is locked for a while after failed attempts (pam_faillock(8)).
    Faillock,
    /// Old passwords are not used again (pam_pwhistory(8)).
    Pwhistory,
}

impl PamModule {
    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::Pwquality => "pam_pwquality.so",
            Self::Faillock => "pam_faillock.so",
            Self::Pwhistory => "pam_pwhistory.so",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Pwquality => "pwquality",
            Self::Faillock => "faillock",
            Self::Pwhistory => "pwhistory",
        }
    }

    fn conf(self) -> HostPath {
        HostPath::literal(match self {
            Self::Pwquality => "/etc/security/pwquality.conf",
            Self::Faillock => "/etc/security/faillock.conf",
            Self::Pwhistory => "/etc/security/pwhistory.conf",
        })
    }

    /// The stacks that it belongs into: the file, and the facility.
    const fn stacks(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Pwquality | Self::Pwhistory => &[("common-password", "password")],
            Self::Faillock => &[("common-auth", "auth"), ("common-account", "account")],
        }
    }

    /// What the module does when nobody says (pwquality.conf(5), faillock.conf(5),
    /// pwhistory.conf(5)).
    fn default(self, option: &str) -> Option<&'static str> {
        let known: &[(&str, &str)] = match self {
            Self::Pwquality => &[
                ("difok", "1"),
                ("minlen", "8"),
                ("dcredit", "0"),
                ("ucredit", "0"),
                ("lcredit", "0"),
                ("ocredit", "0"),
                ("minclass", "0"),
                ("maxrepeat", "0"),
                ("maxclassrepeat", "0"),
                ("maxsequence", "0"),
                ("gecoscheck", "0"),
                ("dictcheck", "1"),
                ("usercheck", "1"),
                ("usersubstr", "0"),
                ("enforcing", "1"),
                ("retry", "1"),
            ],
            Self::Faillock => &[
                ("deny", "3"),
                ("fail_interval", "900"),
                ("unlock_time", "600"),
                ("root_unlock_time", "600"),
            ],
            Self::Pwhistory => &[("remember", "10"), ("retry", "1")],
        };
        known
            .iter()
            .find(|(name, _)| *name == option)
            .map(|(_, value)| *value)
    }
}

const DROP_INS: &str = "/etc/security/pwquality.conf.d";

impl Kind for Pam {
    const NAME: &'static str = "pam";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        let name = self.module.name();
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: match &self.option {
                Some(option) => format!("{name} {option}"),
                None => name.to_owned(),
            },
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes = vec![Probe::file(self.module.conf())];
        for (service, _) in self.module.stacks() {
            probes.extend(pam_stack::read(seen, service).1);
        }
        if self.module == PamModule::Pwquality {
            let path = HostPath::literal(DROP_INS);
            probes.extend(drop_ins(seen).into_iter().map(Probe::file));
            probes.push(Probe::Dir { path });
            probes.push(Probe::Package {
                name: "libpam-pwquality".to_owned(),
            });
        }
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let mut stacks = Vec::new();
        for (service, facility) in self.module.stacks() {
            let (stack, _) = pam_stack::read(seen, service);
            if let Some(reason) = stack.hidden {
                return match reason {
                    Reason::Unavailable { what } => Judgement::NotApplicable(what),
                    reason => reason.into(),
                };
            }
            stacks.push((*facility, stack));
        }
        let mut drifts: Vec<Drift> = stacks
            .iter()
            .flat_map(|(facility, stack)| stack.misled(facility))
            .map(|misled| self.refused_success(&misled, seen))
            .collect();
        if !drifts.is_empty() {
            // Whatever else is wanted: first, people sign in again.
            return Judgement::Drift(drifts);
        }
        let missing: Vec<&str> = stacks
            .iter()
            .filter(|(facility, stack)| !self.is_on(facility, stack))
            .map(|(facility, _)| *facility)
            .collect();
        if !missing.is_empty() {
            let drift = self.turn_on(&stacks, seen);
            if drift.edits.is_empty() {
                // Its options mean nothing until a person has turned it on.
                return Judgement::drift(drift);
            }
            drifts.push(drift);
        }
        let option = match self.judge_option(&stacks, seen) {
            Ok(option) => option,
            Err(reason) => return reason.into(),
        };
        match option {
            Some(OptionSeen {
                drift: Some(drift), ..
            }) => {
                // Without a file of its own, the option came with the line that turns it on.
                if drift.edits.is_empty() && !drifts.is_empty() {
                    return Judgement::Drift(drifts);
                }
                drifts.push(drift);
            }
            Some(seen) if drifts.is_empty() => {
                return Judgement::Compliant {
                    observed: seen.observed,
                    at: seen.at,
                };
            }
            _ => {}
        }
        if drifts.is_empty() {
            let at = stacks
                .iter()
                .filter_map(|(facility, stack)| stack.module(facility, self.module.file()))
                .map(|entry| entry.at.clone())
                .collect();
            return Judgement::Compliant {
                observed: "on".to_owned(),
                at,
            };
        }
        Judgement::Drift(drifts)
    }

    fn risk(&self) -> Risk {
        Risk::Access
    }

    fn check(&self) -> Result<(), String> {
        match (&self.option, &self.value) {
            (None, None) => Ok(()),
            (Some(option), Some(value)) => {
                let is_word = !option.is_empty()
                    && option
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
                if !is_word {
                    return Err(format!(
                        "`{}` is not an option",
                        printable(option.as_bytes())
                    ));
                }
                let set = value.set();
                if set.is_empty()
                    || set.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#')
                {
                    return Err("a value is one word".to_owned());
                }
                value
                    .is_consistent()
                    .then_some(())
                    .ok_or_else(|| "`set` does not satisfy the expectation itself".to_owned())
            }
            _ => Err("`option` and `value` belong together".to_owned()),
        }
    }
}

/// What an option is, and what is wrong with it.
struct OptionSeen {
    observed: String,
    at: Vec<SourceLine>,
    drift: Option<Drift>,
}

/// Where an option is set.
enum Place {
    /// On the lines of the module.
    Lines(Vec<Entry>),
    /// In a configuration file, at a line.
    File(HostPath, u32, String),
    Default,
}

impl Pam {
    /// faillock needs its two calls around the password check, and one in `account` that
    /// forgets the failures after a success; each of the others is one line.
    fn is_on(&self, facility: &str, stack: &Stack) -> bool {
        let has = |arg: &str| {
            stack.entries.iter().any(|entry| {
                entry.call.facility == facility
                    && entry.call.module == self.module.file()
                    && (arg.is_empty() || entry.call.argument(arg).is_some())
            })
        };
        match (self.module, facility) {
            (PamModule::Faillock, "auth") => has("preauth") && has("authfail"),
            _ => has(""),
        }
    }

    /// The option with its effective value; none when no option is wanted.
    fn judge_option(
        &self,
        stacks: &[(&str, Stack)],
        seen: &Answers,
    ) -> Result<Option<OptionSeen>, Reason> {
        let (Some(option), Some(wanted)) = (&self.option, &self.value) else {
            return Ok(None);
        };
        let is_flag = matches!(wanted, Expectation::Exactly(Scalar::Bool(_)));
        let (place, value) = self.effective(option, stacks, seen)?;
        let value = match value {
            // A bare word is a flag that is on.
            Some(value) if value.is_empty() => Some("true".to_owned()),
            None if is_flag => Some("false".to_owned()),
            None => self.module.default(option).map(str::to_owned),
            value => value,
        };
        let at: Vec<SourceLine> = match &place {
            Place::Lines(entries) => entries.iter().map(|entry| entry.at.clone()).collect(),
            Place::File(path, line, _) => vec![SourceLine::new(path.clone(), *line)],
            Place::Default => Vec::new(),
        };
        let observed = match (&value, &place) {
            (None, _) => format!("{option} is not set"),
            (Some(value), Place::Default) => format!("{option} is {value} by default"),
            (Some(value), _) => format!("{option} is {}", printable(value.as_bytes())),
        };
        if value.as_ref().is_some_and(|value| wanted.holds(value)) {
            return Ok(Some(OptionSeen {
                observed,
                at,
                drift: None,
            }));
        }
        let edits = self.option_edits(option, wanted, &place, stacks, seen);
        let by_hand = edits.is_empty().then(|| {
            format!(
                "set `{option}` for {} to {}",
                self.module.file(),
                wanted.set()
            )
        });
        let drift = Drift {
            observed: observed.clone(),
            wanted: wanted.to_string(),
            at: at.clone(),
            edits,
            by_hand,
            ..Drift::default()
        };
        Ok(Some(OptionSeen {
            observed,
            at,
            drift: Some(drift),
        }))
    }

    fn effective(
        &self,
        option: &str,
        stacks: &[(&str, Stack)],
        seen: &Answers,
    ) -> Result<(Place, Option<String>), Reason> {
        let lines: Vec<Entry> = stacks
            .iter()
            .flat_map(|(_, stack)| &stack.entries)
            .filter(|entry| {
                entry.call.module == self.module.file() && entry.call.argument(option).is_some()
            })
            .cloned()
            .collect();
        if let Some(value) = lines.first().and_then(|entry| entry.call.argument(option)) {
            let value = value.to_owned();
            return Ok((Place::Lines(lines), Some(value)));
        }
        // pwquality reads its directory first and the file last, and the last one wins.
        let mut files = drop_ins(seen);
        files.push(self.module.conf());
        for path in files.iter().rev() {
            let Some(file) = seen.file(path).known_or_absent()? else {
                continue;
            };
            let text = String::from_utf8_lossy(file.content.as_bytes());
            if let Some(found) = Syntax::PAM_CONF.effective(&text, "", option) {
                let place = Place::File(path.clone(), found.line, found.text.to_owned());
                return Ok((place, Some(found.value)));
            }
        }
        Ok((Place::Default, None))
    }

    fn option_edits(
        &self,
        option: &str,
        wanted: &Expectation,
        place: &Place,
        stacks: &[(&str, Stack)],
        seen: &Answers,
    ) -> Vec<Edit> {
        let set = wanted.set();
        let argument = match set.as_str() {
            "true" => option.to_owned(),
            "false" => String::new(),
            set => format!("{option}={set}"),
        };
        match place {
            Place::Lines(entries) => entries
                .iter()
                .map(|entry| with_argument(entry, option, &argument))
                .collect::<Option<Vec<_>>>()
                .unwrap_or_default(),
            Place::File(path, line, text) if set == "false" => {
                vec![replace(path, *line, text, Vec::new())]
            }
            Place::File(path, ..) => vec![assign(path, option, &set)],
            Place::Default => {
                let conf = self.module.conf();
                if matches!(seen.file(&conf), Seen::Known(_)) {
                    return vec![assign(&conf, option, &set)];
                }
                // Before Linux-PAM 1.5.3 pwhistory has no file: the option is an argument.
                let entry = stacks
                    .iter()
                    .flat_map(|(_, stack)| &stack.entries)
                    .find(|entry| entry.call.module == self.module.file());
                entry
                    .filter(|_| self.module == PamModule::Pwhistory)
                    .and_then(|entry| with_argument(entry, option, &argument))
                    .into_iter()
                    .collect()
            }
        }
    }

    /// Before Linux-PAM 1.5.3 pwhistory has no file: the option stands on the new line.
    fn option_as_argument(&self, seen: &Answers) -> String {
        let has_file = matches!(seen.file(&self.module.conf()), Seen::Known(_));
        match (&self.option, &self.value) {
            (Some(option), Some(value)) if self.module == PamModule::Pwhistory && !has_file => {
                match value.set().as_str() {
                    "true" => format!(" {option}"),
                    "false" => String::new(),
                    set => format!(" {option}={set}"),
                }
            }
            _ => String::new(),
        }
    }

    fn turn_on(&self, stacks: &[(&str, Stack)], seen: &Answers) -> Drift {
        let file = self.module.file();
        let package_missing = self.module == PamModule::Pwquality
            && matches!(seen.package("libpam-pwquality"), Seen::Absent);
        let edits = if package_missing {
            None
        } else {
            self.module
                .stacks()
                .iter()
                .zip(stacks)
                .filter(|(_, (facility, stack))| !self.is_on(facility, stack))
                .map(|((service, _), _)| self.lines_for(service, seen))
                .collect::<Option<Vec<_>>>()
        };
        let by_hand = match edits {
            Some(_) => None,
            None if package_missing => {
                Some("install the package libpam-pwquality first".to_owned())
            }
            None => Some(format!(
                "add {file} to the stack: it is not as Debian makes it"
            )),
        };
        Drift {
            observed: "off".to_owned(),
            wanted: "on".to_owned(),
            at: self
                .module
                .stacks()
                .iter()
                .filter_map(|(service, _)| {
                    HostPath::literal(pam_stack::DIRECTORY).join(service).ok()
                })
                .map(SourceLine::file)
                .collect(),
            note: Some(format!("{file} is not called")),
            edits: edits.unwrap_or_default(),
            by_hand,
            ..Drift::default()
        }
    }

    /// A right password that is refused, and what leads it on.
    pub(super) fn refused_success(&self, misled: &pam_stack::Misled<'_>, seen: &Answers) -> Drift {
        let (call, lands_on) = (&misled.entry.call, &misled.lands_on.call);
        let service = std::str::from_utf8(misled.entry.at.path.file_name()).ok();
        let edit = service
            .filter(|_| self.module == PamModule::Faillock)
            .and_then(|service| self.lines_for(service, seen));
        let by_hand = edit.is_none().then(|| {
            format!(
                "make the success of {} lead past {}",
                call.module, lands_on.module
            )
        });
        Drift {
            observed: format!(
                "a right password is refused: the success of {} leads to {}",
                call.module, lands_on.module
            ),
            wanted: "a right password is accepted".to_owned(),
            at: vec![misled.entry.at.clone()],
            note: Some("nobody can sign in, sudo or su with a password".to_owned()),
            edits: edit.into_iter().collect(),
            by_hand,
            ..Drift::default()
        }
    }

    /// The edit that puts the module into one stack; none when the stack is not of the form
    /// that we know how to change.
    fn lines_for(&self, service: &str, seen: &Answers) -> Option<Edit> {
        let path = HostPath::literal(pam_stack::DIRECTORY).join(service).ok()?;
        let file = seen.file(&path).known()?;
        let change = ContentEdit::PamModule {
            module: self.module,
            extra: self.option_as_argument(seen),
        };
        change.apply(Some(file.content.as_bytes())).ok()?;
        Some(Edit::Content {
            path,
            change,
            new_file: None,
            as_user: None,
        })
    }
}

/// The module's line with this argument in place of the option's old one.
fn with_argument(entry: &Entry, option: &str, argument: &str) -> Option<Edit> {
    let text = entry.text.as_ref()?;
    let is_old = |word: &str| {
        word.strip_prefix(option)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    // Arguments stand after the module's name.
    let start = text.find(&entry.call.module)? + entry.call.module.len();
    let end = text[start..].find('#').map_or(text.len(), |at| start + at);
    let mut at = start;
    let mut old = None;
    for piece in text[start..end].split_inclusive([' ', '\t']) {
        let word = piece.trim_end();
        if is_old(word) {
            old = Some((at, at + word.len()));
        }
        at += piece.len();
    }
    // With the white space before it, so that it is a word of its own when it goes.
    let (from, to, instead) = match (old, argument) {
        (Some((from, to)), "") => (from - 1, to, String::new()),
        (Some((from, to)), argument) => (from, to, argument.to_owned()),
        (None, "") => return None,
        (None, argument) => (
            start - entry.call.module.len(),
            start,
            format!("{} {argument}", entry.call.module),
        ),
    };
    Some(Edit::Content {
        path: entry.at.path.clone(),
        change: ContentEdit::Piece {
            line: entry.at.line.unwrap_or(1),
            old: text.clone(),
            from,
            to,
            instead,
        },
        new_file: None,
        as_user: None,
    })
}

fn replace(path: &HostPath, line: u32, old: &str, new: Vec<String>) -> Edit {
    Edit::Content {
        path: path.clone(),
        change: ContentEdit::ReplaceLine {
            line,
            old: old.to_owned(),
            new,
        },
        new_file: None,
        as_user: None,
    }
}

/// A flag that is on is a bare word.
fn assign(path: &HostPath, option: &str, set: &str) -> Edit {
    let value = if set == "true" { "" } else { set };
    Edit::Content {
        path: path.clone(),
        change: ContentEdit::Assign {
            syntax: Syntax::PAM_CONF,
            section: String::new(),
            key: option.to_owned(),
            value: value.to_owned(),
        },
        new_file: None,
        as_user: None,
    }
}

/// The files of pwquality's directory, in the order in which they are read.
fn drop_ins(seen: &Answers) -> Vec<HostPath> {
    let directory = HostPath::literal(DROP_INS);
    let Seen::Known(entries) = seen.dir(&directory) else {
        return Vec::new();
    };
    let mut names: Vec<&[u8]> = entries
        .iter()
        .map(|entry| entry.name.as_bytes())
        .filter(|name| name.ends_with(b".conf"))
        .collect();
    names.sort_unstable();
    names
        .into_iter()
        .filter_map(|name| directory.join(name).ok())
        .collect()
}
