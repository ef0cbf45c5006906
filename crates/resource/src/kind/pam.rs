//! `pam`: a module of the password and sign-in stacks, whether it is on, and an option of it.
//!
//! Debian makes `/etc/pam.d/common-*` with pam-auth-update(8) from profiles. We edit those
//! files in place instead of adding a profile: the edit is shown line by line before it is
//! made, and taken back byte for byte. What we add goes, where the order allows it, before the
//! managed block, which pam-auth-update keeps; where it must stand inside, it stands so that the
//! jumps of the managed lines stay as pam-auth-update writes them, since it writes them anew.

use std::collections::BTreeMap;

use model::expectation::Scalar;
use model::plan::Risk;
use model::value::Reason;
use model::{Expectation, HostPath, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::pam_guard::{Guard, asks_nobody, guard};
use super::pam_stack::{self, Entry, Stack};
use super::{old_fix, pam_setter, pwquality_files};
use crate::syntax::Case;
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, Phase, Seen, Syntax};

/// A PAM module that guards passwords: it must be on, and one of its options may be wanted.
///
/// An option on the module's own line counts before its configuration file (or the one that
/// `conf=` names), and the fix changes it where it is set.
///
/// Of faillock, the stack of each service that asks for a password is gone through as Linux-PAM
/// does: wrong passwords must be counted, and a locked account must stay closed to a right one.
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

    const fn syntax(self) -> Syntax {
        match self {
            Self::Pwquality => Syntax::PAM_CONF.with_case(Case::Insensitive),
            Self::Faillock | Self::Pwhistory => Syntax::PAM_CONF,
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
            Self::Pwquality | Self::Pwhistory => &[(COMMON_PASSWORD, "password")],
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

const COMMON_AUTH: &str = "common-auth";
const COMMON_PASSWORD: &str = "common-password";
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
            let (stack, more) = pam_stack::read(seen, service);
            probes.extend(more);
            probes.extend(self.named_files(&stack.entries).map(Probe::file));
        }
        if self.module == PamModule::Faillock {
            probes.push(old_fix::probe());
        }
        let (services, _, more) = pam_stack::services(seen);
        probes.extend(more);
        for service in services {
            let (stack, more) = pam_stack::read(seen, &service);
            probes.extend(more);
            probes.extend(self.named_files(&stack.entries).map(Probe::file));
        }
        if self.module == PamModule::Pwquality {
            let path = HostPath::literal(DROP_INS);
            probes.extend(drop_ins(seen).into_iter().flatten().map(Probe::file));
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
        if drifts.is_empty() && self.module == PamModule::Faillock {
            match old_fix::refused_later(seen) {
                Ok(later) => drifts.extend(later),
                Err(reason) => return reason.into(),
            }
        }
        if !drifts.is_empty() {
            // Whatever else is wanted: first, people sign in again.
            return Judgement::Drift(drifts);
        }
        if self.module == PamModule::Faillock
            && let Guard::Untold(why) = guard(&auth_calls(&stacks))
            && self.has(&stacks, "auth", "authfail")
        {
            return Judgement::Unknown(Reason::Malformed { why });
        }
        let missing: Vec<&str> = stacks
            .iter()
            .filter(|(facility, _)| !self.is_on(facility, &stacks))
            .map(|(facility, _)| *facility)
            .collect();
        let services = self.services(&missing, seen);
        drifts.extend(services.drifts);
        if !missing.is_empty() {
            let drift = self.turn_on(&stacks, seen);
            let is_by_hand = drift.edits.is_empty();
            drifts.insert(0, drift);
            if is_by_hand {
                // Its options mean nothing until a person has turned it on.
                return Judgement::Drift(drifts);
            }
        }
        let mut untold = services.untold;
        if missing.is_empty() && self.module != PamModule::Faillock {
            let (unguarded, why) = self.unguarded(seen);
            drifts.extend(unguarded);
            untold = untold.or(why);
        }
        let mut entries: Vec<Entry> = stacks
            .iter()
            .flat_map(|(_, stack)| stack.entries.clone())
            .filter(|entry| entry.call.module == self.module.file())
            .collect();
        entries.extend(services.own);
        let option = match self.judge_option(&entries, seen) {
            Ok(option) => option,
            Err(reason) => return reason.into(),
        };
        match self.weakened(&entries, seen) {
            // Of what is off, nothing is weakened yet.
            Ok(weakened) if missing.is_empty() => drifts.extend(weakened),
            Ok(_) => {}
            Err(reason) => return reason.into(),
        }
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
            Some(seen) if drifts.is_empty() && untold.is_none() => {
                return Judgement::Compliant {
                    observed: seen.observed,
                    at: seen.at,
                };
            }
            _ => {}
        }
        if let (true, Some(reason)) = (drifts.is_empty(), untold) {
            return reason.into();
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
    /// Nowhere; the file where it would be.
    Default(HostPath),
    /// Files that are read no further than this line: what stands below counts for nothing, and
    /// nothing that is written there would.
    Stopped(SourceLine),
}

/// What the services make of a module.
#[derive(Default)]
struct Services {
    drifts: Vec<Drift>,
    untold: Option<Reason>,
    /// Calls that stand in a service's own file.
    own: Vec<Entry>,
}

fn of_facility<'a>(stack: &'a Stack, facility: &str) -> Vec<&'a Entry> {
    stack.of_facility(facility).collect()
}

fn auth_calls<'a>(stacks: &'a [(&str, Stack)]) -> Vec<&'a Entry> {
    let auth = stacks.iter().find(|(facility, _)| *facility == "auth");
    auth.map(|(_, stack)| of_facility(stack, "auth"))
        .unwrap_or_default()
}

/// A service that lets somebody in who has proved nothing. Said where it has lines of its own that do;
/// what Debian's stack does is said there.
pub(super) fn let_in(service: &str, calls: &[&Entry]) -> Option<Drift> {
    let why = match guard(calls) {
        Guard::LetsIn(why) => why,
        Guard::NoPassword if asks_nobody(service, calls) => "whoever comes is let in",
        _ => return None,
    };
    let by_common = |entry: &&&Entry| entry.at.path.file_name() == COMMON_AUTH.as_bytes();
    let own = calls.iter().find(|entry| !by_common(entry));
    let common: Vec<&Entry> = calls.iter().filter(by_common).copied().collect();
    let is_commons = service == COMMON_AUTH;
    if !is_commons && matches!(guard(&common), Guard::LetsIn(_)) {
        return None;
    }
    Some(Drift {
        observed: format!("{why} by {}", printable(service.as_bytes())),
        wanted: "who signs in has proved who they are".to_owned(),
        at: own
            .or(calls.first())
            .map(|entry| entry.at.clone())
            .into_iter()
            .collect(),
        by_hand: Some(match is_commons {
            true => format!(
                "take the line away whose success asks for no password, or have pam-auth-update(8) \
                 write {COMMON_AUTH} anew"
            ),
            false => format!(
                "have `@include {COMMON_AUTH}` there, and no line before it whose success asks for \
                 no password"
            ),
        }),
        ..Drift::default()
    })
}

/// The calls of a text that includes nothing.
pub(super) fn calls_of(text: &str) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    for line in pam_stack::lines(text) {
        match line.what {
            pam_stack::What::Nothing => {}
            pam_stack::What::Module(call) => entries.push(Entry {
                call,
                at: SourceLine::new(HostPath::literal(pam_stack::DIRECTORY), line.number),
                text: None,
                inside: Vec::new(),
            }),
            _ => return None,
        }
    }
    Some(entries)
}

impl Pam {
    fn has(&self, stacks: &[(&str, Stack)], facility: &str, argument: &str) -> bool {
        stacks
            .iter()
            .flat_map(|(_, stack)| &stack.entries)
            .any(|entry| {
                entry.call.facility == facility
                    && entry.call.module == self.module.file()
                    && (argument.is_empty() || entry.call.argument(argument).is_some())
            })
    }

    /// faillock counts where it holds guesses off. The failures are forgotten after a success, in
    /// `account` or by `authsucc`. Each of the others is one line.
    fn is_on(&self, facility: &str, stacks: &[(&str, Stack)]) -> bool {
        match (self.module, facility) {
            (PamModule::Faillock, "auth") => match guard(&auth_calls(stacks)) {
                Guard::Holds => true,
                Guard::NoPassword => {
                    self.has(stacks, "auth", "preauth") && self.has(stacks, "auth", "authfail")
                }
                Guard::Fails(_) | Guard::LetsIn(_) | Guard::Untold(_) => false,
            },
            (PamModule::Faillock, "account") => {
                self.has(stacks, "account", "") || self.has(stacks, "auth", "authsucc")
            }
            _ => self.has(stacks, facility, ""),
        }
    }

    /// Calls that set a password which the module has refused, in Debian's own stack and in those of
    /// services. Second: why that can't be told of one of them.
    fn unguarded(&self, seen: &Answers) -> (Vec<Drift>, Option<Reason>) {
        let module = self.module.file();
        let mut found: BTreeMap<SourceLine, String> = BTreeMap::new();
        let (services, mut untold, _) = pam_stack::services(seen);
        for service in [COMMON_PASSWORD.to_owned()].into_iter().chain(services) {
            let (stack, _) = pam_stack::read(seen, &service);
            match stack.hidden {
                // Without a file that it includes, nobody sets a password by it.
                Some(Reason::Unavailable { .. }) => continue,
                Some(reason) => {
                    untold.get_or_insert(reason);
                    continue;
                }
                None => {}
            }
            let calls = of_facility(&stack, "password");
            match pam_setter::unguarded(&calls, module) {
                Ok(setters) => {
                    let is_said = |entry: &&&Entry| {
                        service == COMMON_PASSWORD
                            || entry.at.path.file_name() != COMMON_PASSWORD.as_bytes()
                    };
                    let setters = setters.iter().filter(is_said);
                    found.extend(setters.map(|one| (one.at.clone(), one.call.module.clone())));
                }
                Err(why) => {
                    let why = format!("PAM of {}: {why}", printable(service.as_bytes()));
                    untold.get_or_insert(Reason::Malformed { why });
                }
            }
        }
        let drifts = found.into_iter().map(|(at, setter)| Drift {
            observed: format!("`{setter}` sets passwords that {module} refuses"),
            wanted: format!("no password is set that {module} refuses"),
            by_hand: Some(match at.path.file_name() == COMMON_PASSWORD.as_bytes() {
                true => format!(
                    "put `use_authtok` on that line, below the one of {module}, or have \
                     pam-auth-update(8) write the file anew"
                ),
                false => {
                    format!("have `@include {COMMON_PASSWORD}` there instead of its own lines")
                }
            }),
            at: vec![at],
            ..Drift::default()
        });
        (drifts.collect(), untold)
    }

    /// What each service makes of faillock. Where Debian's own stack lacks it, those that go
    /// through that are not said again.
    fn services(&self, missing: &[&str], seen: &Answers) -> Services {
        let mut found = Services::default();
        if self.module != PamModule::Faillock {
            return found;
        }
        let (services, hidden, _) = pam_stack::services(seen);
        found.untold = hidden;
        for service in services {
            let (stack, _) = pam_stack::read(seen, &service);
            match stack.hidden {
                // Without a file that it includes, nobody gets in by it.
                Some(Reason::Unavailable { .. }) => continue,
                Some(reason) => {
                    found.untold.get_or_insert(reason);
                    continue;
                }
                None => {}
            }
            let calls = of_facility(&stack, "auth");
            let name = printable(service.as_bytes());
            let by_common = |entry: &&Entry| entry.at.path.file_name() == b"common-auth";
            if let Some(drift) = let_in(&service, &calls) {
                found.drifts.push(drift);
                continue;
            }
            if missing.contains(&"auth") && calls.iter().any(by_common) {
                continue;
            }
            match guard(&calls) {
                Guard::NoPassword => continue,
                Guard::Holds | Guard::LetsIn(_) => {}
                Guard::Untold(why) => {
                    let why = format!("PAM of {name}: {why}");
                    found.untold.get_or_insert(Reason::Malformed { why });
                }
                Guard::Fails(why) => found.drifts.push(Drift {
                    observed: format!("{why} by {name}"),
                    wanted: "an account is locked after wrong passwords".to_owned(),
                    at: calls
                        .iter()
                        .find(|entry| !by_common(entry))
                        .or(calls.first())
                        .map(|entry| entry.at.clone())
                        .into_iter()
                        .collect(),
                    by_hand: Some(
                        "have `@include common-auth` there instead of its own lines".to_owned(),
                    ),
                    ..Drift::default()
                }),
            }
            let own = stack.entries.iter().filter(|entry| {
                entry.call.module == self.module.file()
                    && !entry.at.path.file_name().starts_with(b"common-")
            });
            found.own.extend(own.cloned());
        }
        found
    }

    /// The files that calls name instead of the usual one.
    fn named_files<'a>(&'a self, entries: &'a [Entry]) -> impl Iterator<Item = HostPath> + 'a {
        entries
            .iter()
            .filter(|entry| entry.call.module == self.module.file())
            .filter_map(|entry| entry.call.argument("conf"))
            .filter_map(|name| HostPath::from_bytes(name.as_bytes()).ok())
    }

    /// The option with its effective value; none when no option is wanted.
    fn judge_option(
        &self,
        entries: &[Entry],
        seen: &Answers,
    ) -> Result<Option<OptionSeen>, Reason> {
        let (Some(option), Some(wanted)) = (&self.option, &self.value) else {
            return Ok(None);
        };
        let is_flag = matches!(wanted, Expectation::Exactly(Scalar::Bool(_)));
        // Each call must hold: the first one that does not is said.
        let mut ways: Vec<(Place, Option<String>)> = self
            .effective(option, entries, seen)?
            .into_iter()
            .map(|(place, value)| {
                let value = match value {
                    // A bare word is a flag that is on.
                    Some(value) if value.is_empty() => Some("true".to_owned()),
                    None if is_flag => Some("false".to_owned()),
                    None => self.module.default(option).map(str::to_owned),
                    value => value,
                };
                (place, value)
            })
            .collect();
        let fails = ways.iter().position(|(_, value)| {
            !value
                .as_ref()
                .is_some_and(|value| self.holds(wanted, value))
        });
        let (place, value) = ways.swap_remove(fails.unwrap_or(0));
        let at: Vec<SourceLine> = match &place {
            Place::Lines(entries) => entries.iter().map(|entry| entry.at.clone()).collect(),
            Place::File(path, line, _) => vec![SourceLine::new(path.clone(), *line)],
            Place::Default(_) => Vec::new(),
            Place::Stopped(at) => vec![at.clone()],
        };
        let observed = match (&value, &place) {
            (None, _) => format!("{option} is not set"),
            (Some(value), Place::Default(_)) => format!("{option} is {value} by default"),
            (Some(value), Place::Stopped(_)) => format!(
                "{option} is {}, since libpwquality reads no further than a line that it does not \
                 take",
                printable(value.as_bytes())
            ),
            (Some(value), _) => format!("{option} is {}", printable(value.as_bytes())),
        };
        if value
            .as_ref()
            .is_some_and(|value| self.holds(wanted, value))
        {
            return Ok(Some(OptionSeen {
                observed,
                at,
                drift: None,
            }));
        }
        let edits = self.option_edits(option, wanted, &place, entries, seen);
        let by_hand = edits.is_empty().then(|| match &place {
            Place::Stopped(at) => format!(
                "mend or take away the line {at}, and set `{option}` to {}",
                wanted.set()
            ),
            _ => format!(
                "set `{option}` for {} to {}",
                self.module.file(),
                wanted.set()
            ),
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

    /// "The value 0 is the same as never" of how long faillock keeps an account locked
    /// (faillock.conf(5)): longer than any number of seconds.
    fn holds(&self, wanted: &Expectation, value: &str) -> bool {
        let is_span = self.module == PamModule::Faillock
            && matches!(
                self.option.as_deref(),
                Some("unlock_time" | "root_unlock_time")
            );
        match wanted {
            _ if !is_span || !matches!(value, "0" | "never") => wanted.holds(value),
            Expectation::Exactly(_) | Expectation::OneOf(_) => {
                wanted.holds("0") || wanted.holds("never")
            }
            bound => bound.holds(&u32::MAX.to_string()),
        }
    }

    /// Options of pwquality that let through what the wanted one would refuse (pwquality.conf(5)):
    /// `enforcing`, without which it only warns, and credits above 0, which count as length.
    fn weakened(&self, entries: &[Entry], seen: &Answers) -> Result<Vec<Drift>, Reason> {
        if self.module != PamModule::Pwquality {
            return Ok(Vec::new());
        }
        let mut others = Vec::new();
        if self.option.as_deref() != Some("enforcing") {
            others.push(("enforcing", Expectation::at_least(1, 1)));
        }
        if self.option.as_deref() == Some("minlen") && !self.is_long_enough(entries, seen)? {
            let credits = ["dcredit", "ucredit", "lcredit", "ocredit"];
            others.extend(credits.map(|credit| (credit, Expectation::at_most(0, 0))));
        }
        let mut drifts = Vec::new();
        for (option, value) in others {
            let other = Self {
                module: self.module,
                option: Some(option.to_owned()),
                value: Some(value),
            };
            let seen = other.judge_option(entries, seen)?;
            drifts.extend(seen.and_then(|seen| seen.drift));
        }
        Ok(drifts)
    }

    /// Is `minlen` as wanted even where a password has all the credits that there are?
    fn is_long_enough(&self, entries: &[Entry], seen: &Answers) -> Result<bool, Reason> {
        let number = |option: &str, ways: Vec<(Place, Option<String>)>| {
            let values = ways.into_iter().filter_map(|(_, value)| {
                let default = self.module.default(option).map(str::to_owned);
                value.or(default)?.parse::<i64>().ok()
            });
            values.collect::<Vec<i64>>()
        };
        let lengths = number("minlen", self.effective("minlen", entries, seen)?);
        let mut credits = 0;
        for option in ["dcredit", "ucredit", "lcredit", "ocredit"] {
            let most = number(option, self.effective(option, entries, seen)?);
            credits += most.into_iter().max().unwrap_or(0).clamp(0, 1000);
        }
        let wanted = self.value.as_ref();
        let holds = |length: &i64| {
            wanted.is_none_or(|wanted| wanted.holds(&length.saturating_sub(credits).to_string()))
        };
        Ok(credits == 0 || lengths.iter().all(holds))
    }

    /// For each call of the module, where the option is set and to what; with no call, what its
    /// file says.
    fn effective(
        &self,
        option: &str,
        entries: &[Entry],
        seen: &Answers,
    ) -> Result<Vec<(Place, Option<String>)>, Reason> {
        let lines: Vec<Entry> = entries
            .iter()
            .filter(|entry| self.argument(entry, option).is_some())
            .cloned()
            .collect();
        let mut ways = Vec::new();
        for entry in entries {
            let conf = entry.call.argument("conf");
            ways.push(match (self.argument(entry, option), conf) {
                (Some(value), _) => (Place::Lines(lines.clone()), Some(value.to_owned())),
                // It forgets failures, and the options are of no use to it.
                (None, _) if entry.call.facility == "account" => continue,
                (None, conf) => self.in_files(option, conf, seen)?,
            });
        }
        if ways.is_empty() {
            ways.push(self.in_files(option, None, seen)?);
        }
        Ok(ways)
    }

    /// What the module's files say, or the one that `conf=` names instead.
    fn in_files(
        &self,
        option: &str,
        conf: Option<&str>,
        seen: &Answers,
    ) -> Result<(Place, Option<String>), Reason> {
        let usual = self.module.conf();
        let main = match conf.map(|name| HostPath::from_bytes(name.as_bytes())) {
            None => usual.clone(),
            Some(Ok(path)) => path,
            Some(Err(why)) => {
                let why = format!("`conf=` of {}: {why}", self.module.file());
                return Err(Reason::Malformed { why });
            }
        };
        // pwquality reads its directory first and the file last, and the last one wins.
        let mut files = match self.module {
            PamModule::Pwquality => drop_ins(seen)?,
            PamModule::Faillock | PamModule::Pwhistory => Vec::new(),
        };
        files.push(main.clone());
        let mut texts = Vec::new();
        for path in files {
            match seen.file(&path).known_or_absent()? {
                Some(file) => {
                    let text = String::from_utf8_lossy(file.content.as_bytes());
                    texts.push((path, text.into_owned()));
                }
                None if path == usual => {}
                None => {
                    let what = format!("{path}, which {} reads, is missing", self.module.file());
                    return Err(Reason::Unavailable { what });
                }
            }
        }
        if self.module == PamModule::Pwquality {
            let found = pwquality_files::look(&texts, option);
            return Ok(match (found.set, found.stopped) {
                (set, Some(at)) => (Place::Stopped(at), set.map(|set| set.value)),
                (Some(set), None) => {
                    let line = set.at.line.unwrap_or(1);
                    (Place::File(set.at.path, line, set.text), Some(set.value))
                }
                (None, None) => (Place::Default(main), None),
            });
        }
        for (path, text) in texts {
            if let Some(found) = self.module.syntax().effective(&text, "", option) {
                let place = Place::File(path, found.line, found.text.to_owned());
                return Ok((place, Some(found.value)));
            }
        }
        Ok((Place::Default(main), None))
    }

    /// A flag that is on is a bare word.
    fn assign(&self, path: &HostPath, option: &str, set: &str) -> Edit {
        let value = if set == "true" { "" } else { set };
        Edit::Content {
            path: path.clone(),
            change: ContentEdit::Assign {
                syntax: self.module.syntax(),
                section: String::new(),
                key: option.to_owned(),
                value: value.to_owned(),
            },
            new_file: None,
            as_user: None,
        }
    }

    /// The argument of a call that sets the option. libpwquality knows names in any letter case.
    fn argument<'e>(&self, entry: &'e Entry, option: &str) -> Option<&'e str> {
        if self.module != PamModule::Pwquality {
            return entry.call.argument(option);
        }
        entry.call.args.iter().rev().find_map(|argument| {
            let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
            name.eq_ignore_ascii_case(option).then_some(value)
        })
    }

    fn option_edits(
        &self,
        option: &str,
        wanted: &Expectation,
        place: &Place,
        entries: &[Entry],
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
            Place::File(path, ..) => vec![self.assign(path, option, &set)],
            Place::Stopped(_) => Vec::new(),
            Place::Default(conf) => {
                if matches!(seen.file(conf), Seen::Known(_)) {
                    return vec![self.assign(conf, option, &set)];
                }
                // Before Linux-PAM 1.5.3 pwhistory has no file: the option is an argument.
                entries
                    .first()
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
                .filter(|(_, (facility, _))| !self.is_on(facility, stacks))
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
            note: Some(match (guard(&auth_calls(stacks)), self.module) {
                (Guard::Fails(why) | Guard::LetsIn(why), PamModule::Faillock)
                    if self.has(stacks, "auth", "") =>
                {
                    format!("{file} is called, but {why}")
                }
                (Guard::Holds, PamModule::Faillock) => {
                    format!("{file} locks, but no line forgets the failures after a right password")
                }
                _ => format!("{file} is not called"),
            }),
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
        let after = change.apply(Some(file.content.as_bytes())).ok()?;
        if service == "common-auth" {
            // Lines that are there in another order are for a person.
            let entries = calls_of(&String::from_utf8_lossy(&after))?;
            let calls: Vec<&Entry> = entries.iter().collect();
            if !matches!(guard(&calls), Guard::Holds | Guard::NoPassword) {
                return None;
            }
        }
        Some(Edit::Content {
            path,
            change,
            new_file: None,
            as_user: None,
        })
    }
}

/// The module's line with this argument in place of the option's old one.
pub(super) fn with_argument(entry: &Entry, option: &str, argument: &str) -> Option<Edit> {
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

/// The files of pwquality's directory, in the order in which they are read.
fn drop_ins(seen: &Answers) -> Result<Vec<HostPath>, Reason> {
    seen.files_in(&HostPath::literal(DROP_INS), |name| {
        name.ends_with(b".conf")
    })
}
