//! `sudo_limit`: what no rule of sudoers(5) may give away.

use model::plan::Risk;
use model::{Probe, ResourceKey, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::sudoers::{self, Grant, Scope, Setting, SettingValue, Sudoers};
use crate::{Answers, Drift, Edit, Judgement, Kind, Phase};

/// Something that no rule in `/etc/sudoers`, or in what it includes, may give away.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SudoLimit {
    pub forbid: Forbidden,
    /// Users (`deploy`) and groups (`%ops`) that are left alone.
    #[serde(default)]
    pub except: Vec<String>,
}

/// What is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Forbidden {
    /// Any command as root without a password. The fix takes the `NOPASSWD:` tag away; the
    /// right itself stays.
    PasswordlessEverything,
    /// Any use of `NOPASSWD:`.
    Passwordless,
    /// `Defaults !authenticate`, for everyone or for some. The fix takes the setting away.
    NoAuthentication,
    /// Any command as root for every account of the host (`ALL ALL=(ALL) ALL`). By hand.
    EverythingForEveryone,
    /// Everything but some commands (`ALL, !/bin/sh`): such a list is easy to get around, as
    /// sudoers(5) says itself. By hand.
    Exclusions,
}

impl Forbidden {
    const fn as_str(self) -> &'static str {
        match self {
            Self::PasswordlessEverything => "passwordless_everything",
            Self::Passwordless => "passwordless",
            Self::NoAuthentication => "no_authentication",
            Self::EverythingForEveryone => "everything_for_everyone",
            Self::Exclusions => "exclusions",
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
        sudoers::read(seen).1
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        if sudoers::is_absent(seen) {
            return Judgement::NotApplicable(format!("there is no {}", sudoers::MAIN));
        }
        let (sudoers, _) = sudoers::read(seen);
        let drifts = match self.forbid {
            Forbidden::NoAuthentication => self.unauthenticated(&sudoers),
            _ => self.too_generous(&sudoers),
        };
        if !drifts.is_empty() {
            return Judgement::Drift(drifts);
        }
        match sudoers.hidden() {
            Some(reason) => reason.clone().into(),
            None => Judgement::compliant("no such rule"),
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

    fn too_generous(&self, sudoers: &Sudoers) -> Vec<Drift> {
        let grants: Vec<&Grant> = sudoers.grants().collect();
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
                drifts.push(self.drift(grant, &who));
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
            !grant.command.negated && sudoers.is_any_command(grant) && sudoers.runs_as_root(grant)
        };
        match self.forbid {
            Forbidden::PasswordlessEverything => grant.passwordless && everything_as_root(),
            Forbidden::Passwordless => grant.passwordless && !grant.command.negated,
            Forbidden::EverythingForEveryone => everything_as_root(),
            Forbidden::Exclusions => {
                grant.command.negated
                    && sudoers.grants().any(|other| {
                        other.at == grant.at
                            && !other.command.negated
                            && sudoers.is_any_command(other)
                    })
            }
            Forbidden::NoAuthentication => false,
        }
    }

    fn drift(&self, grant: &Grant, who: &[String]) -> Drift {
        let who = who.join(", ");
        let (observed, wanted, by_hand) = match self.forbid {
            Forbidden::PasswordlessEverything => (
                format!("{who} may run anything as root without a password"),
                "a password for rights without limit",
                None,
            ),
            Forbidden::Passwordless => (
                format!("{who} may run commands without a password"),
                "a password for every command",
                None,
            ),
            Forbidden::EverythingForEveryone => (
                format!("{who} may run anything as root"),
                "rights without limit for named people or groups only",
                Some("name the people or the group that this rule is meant for"),
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
                let edits: Vec<Edit> = setting
                    .removal
                    .clone()
                    .map(sudoers::without)
                    .into_iter()
                    .collect();
                Some(Drift {
                    observed: format!("no password is asked of {who}"),
                    wanted: "sudo asks for a password".to_owned(),
                    at: vec![setting.at.clone()],
                    by_hand: edits
                        .is_empty()
                        .then(|| "take `!authenticate` away with visudo".to_owned()),
                    edits,
                    ..Drift::default()
                })
            })
            .collect()
    }
}

/// Does a later rule for the same name ask for the password after all? The last match wins.
fn is_overruled(sudoers: &Sudoers, grant: &Grant, user: &str, later: &[&Grant]) -> bool {
    grant.passwordless
        && later.iter().any(|other| {
            !other.passwordless
                && !other.command.negated
                && sudoers.is_any_command(other)
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
