//! `group`: a group in `/etc/group`, and who is in it.

use model::plan::Risk;
use model::value::{AccountSeen, AccountsSeen, GroupSeen};
use model::{AccountOp, HostPath, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::sudoers;
use super::user::{account_edit, check_name, elsewhere, known};
use crate::{Answers, Drift, Judgement, Kind, Phase};

/// A group of this host.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The group's name.
    pub name: String,
    /// The group should not be there.
    #[serde(default)]
    pub absent: bool,
    /// The group id; the next free one when it is not given. A group that exists with another
    /// id is reported, but not changed, since files carry the number.
    #[serde(default)]
    pub gid: Option<u32>,
    /// A new group gets an id from the range of system groups.
    #[serde(default)]
    pub system: bool,
    /// Exactly these are members; not given: the list is left as it is. An account whose
    /// primary group it is is a member without being listed; the account that has the group's
    /// name is left out.
    #[serde(default)]
    pub members: Option<Vec<String>>,
}

impl Kind for Group {
    const NAME: &'static str = "group";
    const PHASE: Phase = Phase::Account;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.name.clone(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes = vec![Probe::Accounts];
        if self.absent || self.members.is_some() {
            // Whether it gives the right to administer the host decides how much is at stake.
            probes.extend(sudoers::read(seen).1);
        }
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let accounts = match known(seen) {
            Ok(accounts) => accounts,
            Err(reason) => return reason.into(),
        };
        let group = accounts.groups.iter().find(|group| group.name == self.name);
        match (group, self.absent) {
            (None, _) if !accounts.other_sources.is_empty() => elsewhere(accounts, &self.name),
            (None, true) => Judgement::compliant("absent"),
            (None, false) => {
                let create = AccountOp::CreateGroup {
                    name: self.name.clone(),
                    gid: self.gid,
                    system: self.system,
                };
                let members = self.members.iter().flatten().map(|user| self.add(user));
                Judgement::drift(Drift {
                    observed: "absent".to_owned(),
                    wanted: "a group".to_owned(),
                    edits: std::iter::once(create)
                        .chain(members)
                        .map(account_edit)
                        .collect(),
                    ..Drift::default()
                })
            }
            (Some(group), true) => {
                let is_primary = accounts.accounts.iter().find(|user| user.gid == group.gid);
                Judgement::drift(Drift {
                    observed: format!("there, gid {}", group.gid),
                    wanted: "absent".to_owned(),
                    at: vec![place(group)],
                    by_hand: is_primary.map(|user| {
                        format!(
                            "it is the primary group of `{}`: change that first",
                            printable(user.name.as_bytes())
                        )
                    }),
                    edits: match is_primary {
                        Some(_) => Vec::new(),
                        None => vec![account_edit(AccountOp::RemoveGroup {
                            name: self.name.clone(),
                        })],
                    },
                    ..Drift::default()
                })
            }
            (Some(group), false) => self.compare(group, accounts),
        }
    }

    fn risk(&self) -> Risk {
        Risk::Access
    }

    fn check(&self) -> Result<(), String> {
        check_name(&self.name)?;
        self.members
            .iter()
            .flatten()
            .try_for_each(|name| check_name(name))
    }
}

impl Group {
    fn add(&self, user: &str) -> AccountOp {
        AccountOp::AddMember {
            group: self.name.clone(),
            user: user.to_owned(),
        }
    }

    fn compare(&self, group: &GroupSeen, accounts: &AccountsSeen) -> Judgement {
        let mut drifts = Vec::new();
        if let Some(gid) = self.gid.filter(|gid| *gid != group.gid) {
            drifts.push(Drift {
                observed: format!("gid {}", group.gid),
                wanted: format!("gid {gid}"),
                at: vec![place(group)],
                by_hand: Some(format!(
                    "groupmod --gid {gid} {}, then change the files that carry the old number",
                    self.name
                )),
                ..Drift::default()
            });
        }
        if let Some(wanted) = &self.members {
            // Whom the kernel gives the group at each login, listed or not (credentials(7)).
            let has_as_primary = |user: &AccountSeen| user.gid == group.gid;
            let primary: Vec<&AccountSeen> = accounts
                .accounts
                .iter()
                .filter(|user| has_as_primary(user) && user.name != self.name)
                .collect();
            let is_primary = |name: &String| primary.iter().any(|user| user.name == *name);
            for user in primary.iter().filter(|user| !wanted.contains(&user.name)) {
                let name = printable(user.name.as_bytes());
                drifts.push(Drift {
                    observed: format!("it is the primary group of `{name}`"),
                    wanted: listed(wanted),
                    at: vec![SourceLine::new(HostPath::literal("/etc/passwd"), user.line)],
                    by_hand: Some(format!(
                        "give the account another primary group: usermod --gid GROUP {name}"
                    )),
                    ..Drift::default()
                });
            }
            // Whoever is in another group of this number has its rights: the kernel knows no names.
            let same = |other: &&GroupSeen| other.gid == group.gid && other.name != group.name;
            for other in accounts.groups.iter().filter(same) {
                let extra = other.members.iter().filter(|user| !wanted.contains(user));
                let edits: Vec<_> = extra
                    .map(|user| {
                        account_edit(AccountOp::RemoveMember {
                            group: other.name.clone(),
                            user: user.clone(),
                        })
                    })
                    .collect();
                if !edits.is_empty() {
                    let name = printable(other.name.as_bytes());
                    drifts.push(Drift {
                        observed: format!(
                            "`{name}`, which has its number, has {}",
                            listed(&other.members)
                        ),
                        wanted: listed(wanted),
                        at: vec![place(other)],
                        edits,
                        ..Drift::default()
                    });
                }
            }
            let missing = wanted
                .iter()
                .filter(|user| !group.members.contains(user) && !is_primary(user));
            let extra = group.members.iter().filter(|user| !wanted.contains(user));
            let edits: Vec<_> = missing
                .map(|user| self.add(user))
                .chain(extra.map(|user| AccountOp::RemoveMember {
                    group: self.name.clone(),
                    user: user.clone(),
                }))
                .map(account_edit)
                .collect();
            if !edits.is_empty() {
                drifts.push(Drift {
                    observed: listed(&group.members),
                    wanted: listed(wanted),
                    at: vec![place(group)],
                    edits,
                    ..Drift::default()
                });
            }
        }
        if drifts.is_empty() {
            return Judgement::Compliant {
                observed: format!("gid {}", group.gid),
                at: vec![place(group)],
            };
        }
        Judgement::Drift(drifts)
    }
}

fn listed(members: &[String]) -> String {
    match members {
        [] => "no members".to_owned(),
        members => format!("members {}", printable(members.join(", ").as_bytes())),
    }
}

fn place(group: &GroupSeen) -> SourceLine {
    SourceLine::new(HostPath::literal("/etc/group"), group.line)
}
