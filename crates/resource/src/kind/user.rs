//! `user`: an account in `/etc/passwd` and `/etc/shadow`.

use model::plan::Risk;
use model::value::{AccountSeen, AccountsSeen, PasswordSeen, Reason};
use model::{AccountOp, Effect, Expectation, HostPath, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::sudoers;
use crate::{Answers, Drift, Edit, Judgement, Kind, Phase, Seen};

/// An account of this host. What is not given is left as it is; the primary group, the home
/// and the comment of an account that exists are reported, but not changed.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The account's name.
    pub name: String,
    /// The account should not be there. Its home and its files stay.
    #[serde(default)]
    pub absent: bool,
    /// The user id; the next free one when it is not given.
    #[serde(default)]
    pub uid: Option<u32>,
    /// The primary group; one of the account's own name when it is not given.
    #[serde(default)]
    pub group: Option<String>,
    /// Groups that the account is a member of, others aside.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The home directory; `/home/NAME` for a new account when it is not given.
    #[serde(default)]
    pub home: Option<HostPath>,
    /// The login shell; for a new account `/bin/bash`, or `/usr/sbin/nologin` for a system
    /// account, when it is not given.
    #[serde(default)]
    pub shell: Option<String>,
    /// The comment field, most often a person's name.
    #[serde(default)]
    pub comment: Option<String>,
    /// A new account is a system account: a low id, and no home is made.
    #[serde(default)]
    pub system: bool,
    /// No password can open the account; keys still can.
    #[serde(default)]
    pub locked: Option<bool>,
    /// Days after which a password must be changed (shadow(5)).
    #[serde(default)]
    pub max_days: Option<Expectation>,
    /// Days before a password may be changed again.
    #[serde(default)]
    pub min_days: Option<Expectation>,
    /// Days of warning before a password expires.
    #[serde(default)]
    pub warn_days: Option<Expectation>,
    /// Days after which an account with an expired password is shut.
    #[serde(default)]
    pub inactive_days: Option<Expectation>,
}

impl Kind for User {
    const NAME: &'static str = "user";
    const PHASE: Phase = Phase::Account;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.name.clone(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes = vec![Probe::Accounts];
        if self.may_cut_off() {
            // Whether it may administer the host decides how much is at stake.
            probes.extend(sudoers::read(seen).1);
        }
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let accounts = match known(seen) {
            Ok(accounts) => accounts,
            Err(reason) => return reason.into(),
        };
        let account = accounts
            .accounts
            .iter()
            .find(|account| account.name == self.name);
        match (account, self.absent) {
            (None, _) if !accounts.other_sources.is_empty() => elsewhere(accounts, &self.name),
            (None, true) => Judgement::compliant("absent"),
            (None, false) => Judgement::drift(self.missing()),
            (Some(account), true) => Judgement::drift(Drift {
                observed: format!("there, uid {}", account.uid),
                wanted: "absent".to_owned(),
                at: vec![place(account)],
                edits: vec![account_edit(AccountOp::RemoveUser {
                    name: self.name.clone(),
                })],
                ..Drift::default()
            }),
            (Some(account), false) => self.compare(account, accounts),
        }
    }

    fn risk(&self) -> Risk {
        Risk::Access
    }

    fn check(&self) -> Result<(), String> {
        check_name(&self.name)?;
        self.groups
            .iter()
            .chain(&self.group)
            .try_for_each(|name| check_name(name))?;
        let texts = [self.shell.as_deref(), self.comment.as_deref()];
        if texts
            .into_iter()
            .flatten()
            .any(|text| text.contains(':') || text.chars().any(char::is_control))
        {
            return Err("a field of passwd(5) holds no `:` and no line break".to_owned());
        }
        if self
            .shell
            .as_ref()
            .is_some_and(|shell| !shell.starts_with('/'))
        {
            return Err("a shell is an absolute path".to_owned());
        }
        for (name, expectation) in self.ageing_wants() {
            if expectation
                .is_some_and(|want| !want.is_consistent() || want.set().parse::<i64>().is_err())
            {
                return Err(format!("`{name}` is a number of days"));
            }
        }
        if self.name == "root" && self.absent {
            return Err("a host without root does not start".to_owned());
        }
        Ok(())
    }
}

impl User {
    /// Could a fix keep someone from signing in?
    fn may_cut_off(&self) -> bool {
        self.absent
            || self.locked == Some(true)
            || self.uid.is_some()
            || self.shell.is_some()
            || self.max_days.is_some()
            || self.inactive_days.is_some()
    }

    fn ageing_wants(&self) -> [(&'static str, Option<&Expectation>); 4] {
        [
            ("max_days", self.max_days.as_ref()),
            ("min_days", self.min_days.as_ref()),
            ("warn_days", self.warn_days.as_ref()),
            ("inactive_days", self.inactive_days.as_ref()),
        ]
    }

    fn missing(&self) -> Drift {
        let home = self
            .home
            .clone()
            .or_else(|| HostPath::literal("/home").join(&self.name).ok());
        let default_shell = if self.system {
            "/usr/sbin/nologin"
        } else {
            "/bin/bash"
        };
        let Some(home) = home else {
            return Drift {
                observed: "absent".to_owned(),
                wanted: "an account".to_owned(),
                by_hand: Some("give a home".to_owned()),
                ..Drift::default()
            };
        };
        let mut edits = vec![account_edit(AccountOp::CreateUser {
            name: self.name.clone(),
            uid: self.uid,
            group: self.group.clone(),
            comment: self.comment.clone().unwrap_or_default(),
            home,
            create_home: !self.system,
            shell: self
                .shell
                .clone()
                .unwrap_or_else(|| default_shell.to_owned()),
            system: self.system,
        })];
        edits.extend(self.groups.iter().map(|group| self.member_of(group)));
        edits.extend(self.set_ageing(|_| true));
        Drift {
            observed: "absent".to_owned(),
            wanted: "an account".to_owned(),
            edits,
            ..Drift::default()
        }
    }

    fn member_of(&self, group: &str) -> Edit {
        account_edit(AccountOp::AddMember {
            group: group.to_owned(),
            user: self.name.clone(),
        })
    }

    /// Sets the fields that are wanted and that `fails` names.
    fn set_ageing(&self, fails: impl Fn(&str) -> bool) -> Option<Edit> {
        let wants = self.ageing_wants();
        let days = |at: usize| {
            let (name, want) = wants[at];
            want.filter(|_| fails(name))
                .and_then(|want| want.set().parse().ok())
        };
        let (max_days, min_days) = (days(0), days(1));
        let (warn_days, inactive_days) = (days(2), days(3));
        [max_days, min_days, warn_days, inactive_days]
            .iter()
            .any(Option::is_some)
            .then(|| {
                account_edit(AccountOp::SetAgeing {
                    name: self.name.clone(),
                    min_days,
                    max_days,
                    warn_days,
                    inactive_days,
                })
            })
    }

    fn compare(&self, account: &AccountSeen, accounts: &AccountsSeen) -> Judgement {
        let mut parts = Parts::new(account);
        if let Some(uid) = self.uid.filter(|uid| *uid != account.uid) {
            parts.fix(
                format!("uid {}", account.uid),
                format!("uid {uid}"),
                AccountOp::SetUid {
                    name: self.name.clone(),
                    uid,
                },
            );
        }
        if let Some(shell) = self.shell.as_ref().filter(|shell| **shell != account.shell) {
            parts.fix(
                format!("shell {}", printable(account.shell.as_bytes())),
                format!("shell {shell}"),
                AccountOp::SetShell {
                    name: self.name.clone(),
                    shell: shell.clone(),
                },
            );
        }
        if let Some(group) = &self.group {
            let gid = accounts
                .groups
                .iter()
                .find(|seen| seen.name == *group)
                .map(|seen| seen.gid);
            if gid != Some(account.gid) {
                parts.by_hand(
                    format!("primary gid {}", account.gid),
                    format!("primary group {group}"),
                    format!("usermod --gid {group} {}", self.name),
                );
            }
        }
        if let Some(home) = self
            .home
            .as_ref()
            .filter(|home| home.as_bytes() != account.home.as_bytes())
        {
            parts.by_hand(
                format!("home {}", printable(account.home.as_bytes())),
                format!("home {home}"),
                format!("usermod --move-home --home {home} {}", self.name),
            );
        }
        if let Some(comment) = self
            .comment
            .as_ref()
            .filter(|text| **text != account.comment)
        {
            parts.by_hand(
                format!("comment `{}`", printable(account.comment.as_bytes())),
                format!("comment `{comment}`"),
                format!("usermod --comment '{comment}' {}", self.name),
            );
        }
        for group in &self.groups {
            if !is_member(accounts, account, group) {
                parts.fix(
                    format!("not in group {group}"),
                    format!("in group {group}"),
                    AccountOp::AddMember {
                        group: group.clone(),
                        user: self.name.clone(),
                    },
                );
            }
        }
        if let Err(reason) = self.compare_password(account, accounts, &mut parts) {
            return reason.into();
        }
        parts.judgement(account)
    }

    fn compare_password(
        &self,
        account: &AccountSeen,
        accounts: &AccountsSeen,
        parts: &mut Parts,
    ) -> Result<(), Reason> {
        match (self.locked, &account.password) {
            (None, _)
            | (Some(true), PasswordSeen::None | PasswordSeen::Locked { .. })
            | (Some(false), PasswordSeen::Empty | PasswordSeen::Set { .. }) => {}
            (Some(_), PasswordSeen::Unknown) => return Err(accounts.no_passwords()),
            (Some(true), PasswordSeen::Empty | PasswordSeen::Set { .. }) => parts.fix(
                "a password".to_owned(),
                "no password".to_owned(),
                AccountOp::LockPassword {
                    name: self.name.clone(),
                },
            ),
            (Some(false), PasswordSeen::None | PasswordSeen::Locked { .. }) => parts.by_hand(
                "no password".to_owned(),
                "a password".to_owned(),
                format!("passwd {}", self.name),
            ),
        }
        let wants = self.ageing_wants();
        if wants.iter().all(|(_, want)| want.is_none()) {
            return Ok(());
        }
        let ageing = account
            .ageing
            .as_ref()
            .ok_or_else(|| accounts.no_passwords())?;
        let fields = [
            ageing.max_days,
            ageing.min_days,
            ageing.warn_days,
            ageing.inactive_days,
        ];
        let mut failing = Vec::new();
        for ((name, want), field) in wants.into_iter().zip(fields) {
            let Some(want) = want else { continue };
            if !field.is_some_and(|days| want.holds(&days.to_string())) {
                let days = field.map_or_else(|| "not set".to_owned(), |days| days.to_string());
                parts.say(format!("{name} {days}"), format!("{name} {want}"));
                failing.push(name);
            }
        }
        parts
            .edits
            .extend(self.set_ageing(|name| failing.contains(&name)));
        Ok(())
    }
}

/// What differs in one account.
struct Parts {
    observed: Vec<String>,
    wanted: Vec<String>,
    edits: Vec<Edit>,
    hand: Vec<(String, String, String)>,
    at: SourceLine,
}

impl Parts {
    fn new(account: &AccountSeen) -> Self {
        Self {
            observed: Vec::new(),
            wanted: Vec::new(),
            edits: Vec::new(),
            hand: Vec::new(),
            at: place(account),
        }
    }

    fn say(&mut self, observed: String, wanted: String) {
        self.observed.push(observed);
        self.wanted.push(wanted);
    }

    fn fix(&mut self, observed: String, wanted: String, op: AccountOp) {
        self.say(observed, wanted);
        self.edits.push(account_edit(op));
    }

    fn by_hand(&mut self, observed: String, wanted: String, what: String) {
        self.hand.push((observed, wanted, what));
    }

    fn judgement(self, account: &AccountSeen) -> Judgement {
        let mut drifts: Vec<Drift> = Vec::new();
        if !self.edits.is_empty() {
            drifts.push(Drift {
                observed: self.observed.join(", "),
                wanted: self.wanted.join(", "),
                at: vec![self.at.clone()],
                edits: self.edits,
                ..Drift::default()
            });
        }
        drifts.extend(self.hand.into_iter().map(|(observed, wanted, what)| Drift {
            observed,
            wanted,
            at: vec![self.at.clone()],
            by_hand: Some(what),
            ..Drift::default()
        }));
        if drifts.is_empty() {
            return Judgement::Compliant {
                observed: format!("uid {}", account.uid),
                at: vec![self.at],
            };
        }
        Judgement::Drift(drifts)
    }
}

/// The accounts, or why they are not known.
pub fn known(seen: &Answers) -> Result<&AccountsSeen, Reason> {
    match seen.accounts() {
        Seen::Known(accounts) => Ok(accounts),
        Seen::Unknown(reason) => Err(reason),
        Seen::Absent | Seen::NotAsked => Err(Reason::Unavailable {
            what: "no account files".to_owned(),
        }),
    }
}

/// A name that is not in this host's files may come from another source.
pub fn elsewhere(accounts: &AccountsSeen, name: &str) -> Judgement {
    Reason::Unavailable {
        what: format!(
            "`{}` is not in this host's files, and {} may know it",
            printable(name.as_bytes()),
            accounts.other_sources.join(", ")
        ),
    }
    .into()
}

/// Is it the account's primary group, or is the account listed in it?
pub fn is_member(accounts: &AccountsSeen, account: &AccountSeen, group: &str) -> bool {
    accounts
        .groups
        .iter()
        .filter(|seen| seen.name == group)
        .any(|seen| seen.gid == account.gid || seen.members.contains(&account.name))
}

pub fn place(account: &AccountSeen) -> SourceLine {
    SourceLine::new(HostPath::literal("/etc/passwd"), account.line)
}

pub fn account_edit(op: AccountOp) -> Edit {
    Edit::act(Effect::Account(op))
}

/// The names that shadow's tools accept, with the dot and the upper case that some sites use.
pub fn check_name(name: &str) -> Result<(), String> {
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let rest = bytes.all(|b| b.is_ascii_alphanumeric() || b"_-.$".contains(&b));
    if first && rest && name.len() <= 32 {
        return Ok(());
    }
    Err(format!(
        "`{}` is not a name of an account or a group",
        printable(name.as_bytes())
    ))
}
