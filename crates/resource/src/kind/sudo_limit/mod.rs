//! `sudo_limit`: what no rule of sudoers(5) may give away.

mod variables;

use model::plan::Risk;
use model::value::Reason;
use model::{Probe, ResourceKey, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::kind::sudoers::{self, Grant, Reach, Scope, Setting, SettingValue, Sudoers};
use crate::{Answers, Drift, Edit, Judgement, Kind, Phase};

/// Something that no rule in `/etc/sudoers`, or in what it includes, may give away.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SudoLimit {
    pub forbid: Forbidden,
    /// Users (`deploy`) and groups (`%ops`) that are left out.
    #[serde(default)]
    pub except: Vec<String>,
}

/// What is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Forbidden {
    /// Any command as root without a password, whether a rule says `ALL` or names a program that
    /// runs any other: a shell, an interpreter, an editor, all of `/usr/bin/*`. Which programs do,
    /// and with which arguments, is a list: of those that GTFOBins names as a way by sudo, what
    /// Debian has, with the subcommands of `docker`, `podman`, `systemctl`, `git`, `crontab` and
    /// `ip`, and what `env`, `nice`, `stdbuf`, `chrt` and their like start. A program that is not on
    /// it (a site's own, for one) is taken for limited to what it is for. The fix takes the
    /// `NOPASSWD:` tag away; the right itself stays.
    PasswordlessEverything,
    /// Any use of `NOPASSWD:`.
    Passwordless,
    /// `Defaults !authenticate` or `exempt_group`, for everyone or for some. The fix takes the
    /// setting away.
    NoAuthentication,
    /// Any command as root for every account of the host (`ALL ALL=(ALL) ALL`), or a program
    /// that runs any. By hand.
    EverythingForEveryone,
    /// Everything but some commands (`ALL, !/bin/sh`): such a list is easy to get around, as
    /// sudoers(5) says itself. By hand.
    Exclusions,
    /// Variables of the caller that decide which code a command runs: `LD_PRELOAD`, `PYTHONPATH`
    /// and their like in `env_keep` or `env_check`, the setting `setenv`, and the tag `SETENV:` of
    /// a rule that is not about any command anyway. The fix takes the variables or the setting
    /// away; tags by hand.
    CodeVariables,
}

impl Forbidden {
    const fn as_str(self) -> &'static str {
        match self {
            Self::PasswordlessEverything => "passwordless_everything",
            Self::Passwordless => "passwordless",
            Self::NoAuthentication => "no_authentication",
            Self::EverythingForEveryone => "everything_for_everyone",
            Self::Exclusions => "exclusions",
            Self::CodeVariables => "code_variables",
        }
    }
}

impl Kind for SudoLimit {
    const NAME: &'static str = "sudo_limit";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.forbid.as_str().to_owned(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes = sudoers::read(seen).1;
        probes.push(Probe::Sysctl {
            key: sudoers::HOSTNAME.to_owned(),
        });
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        if sudoers::is_absent(seen) {
            return Judgement::NotApplicable(format!("there is no {}", sudoers::MAIN));
        }
        let (sudoers, _) = sudoers::read(seen);
        let drifts = match self.forbid {
            Forbidden::NoAuthentication => {
                let mut drifts = self.unauthenticated(&sudoers);
                drifts.extend(self.exempt(&sudoers));
                drifts
            }
            Forbidden::CodeVariables => {
                let mut drifts = variables::kept(&sudoers);
                drifts.extend(self.too_generous(&sudoers, seen));
                drifts
            }
            _ => self.too_generous(&sudoers, seen),
        };
        if !drifts.is_empty() {
            return Judgement::Drift(drifts);
        }
        match sudoers.hidden() {
            Some(reason) => reason.clone().into(),
            None => match self.untold(&sudoers, seen) {
                Some(why) => Judgement::Unknown(Reason::Malformed { why }),
                None => Judgement::compliant("no such rule"),
            },
        }
    }

    fn risk(&self) -> Risk {
        Risk::Access
    }

    fn check(&self) -> Result<(), String> {
        match self.except.iter().find(|name| name.trim().is_empty()) {
            Some(_) => Err("an exception has no name".to_owned()),
            None => Ok(()),
        }
    }
}

impl SudoLimit {
    fn excepts(&self, name: &str) -> bool {
        // What root may do to itself is no gift.
        matches!(name, "root" | "#0") || self.except.iter().any(|except| except == name)
    }

    /// A command of which it can't be told what it reaches.
    fn untold(&self, sudoers: &Sudoers, seen: &Answers) -> Option<String> {
        sudoers.grants().find_map(|grant| {
            let matters = match self.forbid {
                Forbidden::PasswordlessEverything => grant.passwordless,
                Forbidden::EverythingForEveryone => sudoers
                    .users(grant)
                    .iter()
                    .any(|user| !user.negated && user.name == "ALL"),
                _ => false,
            };
            let matters = matters
                && sudoers.runs_as_root(grant)
                && sudoers.is_for_host(grant, sudoers::hostname(seen));
            match sudoers.reach(grant) {
                Reach::Untold(why) if matters => Some(format!("{}: {why}", grant.at)),
                _ => None,
            }
        })
    }

    fn too_generous(&self, sudoers: &Sudoers, seen: &Answers) -> Vec<Drift> {
        let grants: Vec<&Grant> = sudoers
            .grants()
            .filter(|grant| sudoers.is_for_host(grant, sudoers::hostname(seen)))
            .collect();
        let mut drifts: Vec<Drift> = Vec::new();
        for (at, grant) in grants.iter().enumerate() {
            if !self.is_against(sudoers, grant) {
                continue;
            }
            let later = &grants[at + 1..];
            let who: Vec<String> = sudoers
                .users(grant)
                .into_iter()
                .filter(|user| !user.negated && !self.excepts(&user.name))
                .filter(|user| {
                    self.forbid != Forbidden::EverythingForEveryone || user.name == "ALL"
                })
                .filter(|user| !is_overruled(sudoers, grant, &user.name, later))
                .map(|user| named(&user.name))
                .collect();
            if !who.is_empty() {
                drifts.push(self.drift(sudoers, grant, &who));
            }
        }
        // A rule with several commands is one line to its reader, and a tag goes once.
        let mut distinct: Vec<Drift> = Vec::new();
        for drift in drifts {
            let is_new = |edit: &Edit| distinct.iter().all(|known| !known.edits.contains(edit));
            if !distinct.contains(&drift)
                && (drift.edits.is_empty() || drift.edits.iter().any(is_new))
            {
                distinct.push(drift);
            }
        }
        distinct
    }

    fn is_against(&self, sudoers: &Sudoers, grant: &Grant) -> bool {
        let everything_as_root = || {
            !grant.command.negated
                && matches!(sudoers.reach(grant), Reach::All | Reach::Through(_))
                && sudoers.runs_as_root(grant)
        };
        match self.forbid {
            Forbidden::PasswordlessEverything => grant.passwordless && everything_as_root(),
            Forbidden::Passwordless => grant.passwordless && !grant.command.negated,
            Forbidden::EverythingForEveryone => everything_as_root(),
            Forbidden::Exclusions => {
                grant.command.negated
                    // Nothing is left then, or all comes back after it.
                    && grant.command.name != "ALL"
                    && sudoers.grants().any(|other| {
                        other.at == grant.at
                            && !other.command.negated
                            && sudoers.is_any_command(other)
                    })
            }
            Forbidden::CodeVariables => {
                grant.sets_environment
                    && !grant.command.negated
                    && sudoers.runs_as_root(grant)
                    && sudoers.reach(grant) != Reach::All
            }
            Forbidden::NoAuthentication => false,
        }
    }

    fn drift(&self, sudoers: &Sudoers, grant: &Grant, who: &[String]) -> Drift {
        let who = who.join(", ");
        let anything = match sudoers.reach(grant) {
            Reach::Through(program) => {
                format!("{}, and so anything,", printable(program.as_bytes()))
            }
            _ => "anything".to_owned(),
        };
        let (observed, wanted, by_hand) = match self.forbid {
            Forbidden::PasswordlessEverything => (
                format!("{who} may run {anything} as root without a password"),
                "a password for rights without limit",
                None,
            ),
            Forbidden::Passwordless => (
                format!("{who} may run commands without a password"),
                "a password for every command",
                None,
            ),
            Forbidden::EverythingForEveryone => (
                format!("{who} may run {anything} as root"),
                "rights without limit for named people or groups only",
                Some("name the people or the group that this rule is meant for"),
            ),
            Forbidden::CodeVariables => (
                format!(
                    "{who} may choose the variables of `{}`",
                    printable(grant.command.name.as_bytes())
                ),
                "a clean environment for every command",
                Some("take the `SETENV:` tag away with visudo"),
            ),
            _ => (
                format!(
                    "{who} may run everything but `{}`",
                    printable(grant.command.name.as_bytes())
                ),
                "a list of what is allowed, not of what is not",
                Some("list the commands that are needed, instead of those that are not allowed"),
            ),
        };
        let edits: Vec<Edit> = match by_hand {
            None => grant
                .tag
                .clone()
                .map(sudoers::without)
                .into_iter()
                .collect(),
            Some(_) => Vec::new(),
        };
        let by_hand = by_hand.or(edits
            .is_empty()
            .then_some("take the `NOPASSWD:` tag away with visudo"));
        Drift {
            observed,
            wanted: wanted.to_owned(),
            at: vec![
                grant
                    .tag
                    .as_ref()
                    .map_or_else(|| grant.at.clone(), |tag| tag.at.clone()),
            ],
            by_hand: by_hand.map(str::to_owned),
            edits,
            ..Drift::default()
        }
    }

    fn unauthenticated(&self, sudoers: &Sudoers) -> Vec<Drift> {
        sudoers
            .settings()
            .filter(|setting| {
                setting.name == "authenticate" && setting.value == SettingValue::Flag(false)
            })
            // Of two settings for the same, the last one wins (sudoers(5)).
            .filter(|setting| {
                let for_the_same =
                    |other: &&Setting| other.name == setting.name && other.scope == setting.scope;
                let last = sudoers.settings().filter(for_the_same).last();
                last.is_none_or(|last| last.value == SettingValue::Flag(false))
            })
            .filter_map(|setting| {
                let who = match &setting.scope {
                    Scope::Everyone => "everyone".to_owned(),
                    Scope::Only(':', users) => {
                        let names: Vec<String> = sudoers
                            .expand(sudoers::AliasKind::User, users)
                            .iter()
                            .filter(|user| !user.negated && !self.excepts(&user.name))
                            .map(|user| named(&user.name))
                            .collect();
                        if names.is_empty() {
                            return None;
                        }
                        names.join(", ")
                    }
                    Scope::Only(..) => "some uses".to_owned(),
                };
                Some(asks_nothing(setting, &who, "!authenticate"))
            })
            .collect()
    }
}

impl SudoLimit {
    /// `exempt_group`: its members are asked for nothing. The last setting of a scope wins.
    fn exempt(&self, sudoers: &Sudoers) -> Vec<Drift> {
        let settings: Vec<&Setting> = sudoers
            .settings()
            .filter(|setting| setting.name == "exempt_group")
            .collect();
        settings
            .iter()
            .enumerate()
            .filter(|(at, setting)| {
                !settings[at + 1..]
                    .iter()
                    .any(|later| later.scope == setting.scope)
            })
            .filter_map(|(_, setting)| {
                let SettingValue::Set(group) = &setting.value else {
                    return None;
                };
                if self.excepts(&format!("%{group}")) {
                    return None;
                }
                let who = format!("members of `{}`", printable(group.as_bytes()));
                Some(asks_nothing(setting, &who, "exempt_group"))
            })
            .collect()
    }
}

/// A setting by which nobody asks them for a password.
fn asks_nothing(setting: &Setting, who: &str, option: &str) -> Drift {
    let removal = setting.removal.clone().map(sudoers::without);
    let edits: Vec<Edit> = removal.into_iter().collect();
    Drift {
        observed: format!("no password is asked of {who}"),
        wanted: "sudo asks for a password".to_owned(),
        at: vec![setting.at.clone()],
        by_hand: edits
            .is_empty()
            .then(|| format!("take `{option}` away with visudo")),
        edits,
        ..Drift::default()
    }
}

/// Does a later rule for the same name ask for the password after all, or deny the command? The last
/// match wins (sudoers(5)).
fn is_overruled(sudoers: &Sudoers, grant: &Grant, user: &str, later: &[&Grant]) -> bool {
    let asks = |other: &Grant| {
        grant.passwordless
            && !other.passwordless
            && !other.command.negated
            && (sudoers.is_any_command(other) || other.command == grant.command)
    };
    let denies = |other: &Grant| {
        other.root == grant.root
            && other.command.negated
            && ["ALL", &grant.command.name].contains(&&*other.command.name)
    };
    later.iter().any(|other| {
        (asks(other) || denies(other))
            && other.hosts == grant.hosts
            && (other.run_as == grant.run_as
                || other.run_as.as_ref().is_some_and(|users| {
                    users.iter().any(|user| user.name == "ALL" && !user.negated)
                }))
            && sudoers
                .users(other)
                .iter()
                .any(|member| !member.negated && member.name == user)
    })
}

fn named(member: &str) -> String {
    let name = printable(member.as_bytes());
    match member.strip_prefix('%') {
        _ if member == "ALL" => "everyone".to_owned(),
        Some(_) => format!("members of `{}`", &name[1..]),
        None => format!("`{name}`"),
    }
}
