//! `accounts_where`: no account, or group, may be in a certain state.

use model::plan::Risk;
use model::value::{
    AccountSeen, AccountsSeen, AclWho, FileType, GroupSeen, Meta, Part, PasswordSeen, Reason,
};
use model::{AccountOp, HostPath, Mode, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::user::{account_edit, known, place};
use crate::syntax::Syntax;
use crate::{Answers, Drift, Edit, Judgement, Kind, Phase, Seen};

/// A state that no account may be in. Each account that is in it is reported with its line.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountsWhere {
    pub test: AccountTest,
    /// Names that are left out.
    #[serde(default)]
    pub except: Vec<String>,
}

/// What is looked for. A system account has an id from 1 to below `UID_MIN` of login.defs(5);
/// a login shell is any but `nologin`, `false`, `sync`, `halt` and `shutdown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountTest {
    /// Anyone may sign in with an empty password. The fix locks the password.
    EmptyPassword,
    /// An account other than root with the id 0. By hand.
    UidZeroNotRoot,
    /// Two accounts share an id. By hand.
    DuplicateUid,
    /// Two groups share an id. By hand.
    DuplicateGid,
    /// Two accounts share a name. By hand.
    DuplicateName,
    /// Two groups share a name. By hand.
    DuplicateGroupName,
    /// A system account has a login shell. The fix sets `/usr/sbin/nologin`. Left out are shells
    /// that allow one purpose only (git-shell), and the accounts to which a package of Debian gives
    /// a shell on purpose, at the home that it gives them: `su postgres -c` is how a database is
    /// administered.
    SystemWithShell,
    /// A system account has a password. The fix locks it.
    SystemWithPassword,
    /// A password is stored with a scheme that is fast to guess (crypt(5)): anything but
    /// yescrypt, scrypt, bcrypt, SHA-512 and SHA-256. By hand: only its owner can set a new one.
    WeakHash,
    /// An account with a login shell has no home directory, or the root directory as its home. By
    /// hand.
    HomeMissing,
    /// The home of an account with a login shell, or what a link there leads to, may be written by
    /// others: by its group, by everyone, by an ACL, or since it is theirs. The fix takes the bits
    /// or the ACL away; another owner is for a person, and so is the end of a link.
    HomeWritable,
    /// The home of an account with a login shell belongs to someone else. The fix gives it to
    /// the account when it belongs to root.
    HomeOwner,
    /// The primary group of an account is in no group file. By hand.
    MissingGroup,
    /// Lines of the account files that can't be read, such as the `+` of NIS. By hand.
    Malformed,
}

impl AccountTest {
    const fn as_str(self) -> &'static str {
        match self {
            Self::EmptyPassword => "empty_password",
            Self::UidZeroNotRoot => "uid_zero_not_root",
            Self::DuplicateUid => "duplicate_uid",
            Self::DuplicateGid => "duplicate_gid",
            Self::DuplicateName => "duplicate_name",
            Self::DuplicateGroupName => "duplicate_group_name",
            Self::SystemWithShell => "system_with_shell",
            Self::SystemWithPassword => "system_with_password",
            Self::WeakHash => "weak_hash",
            Self::HomeMissing => "home_missing",
            Self::HomeWritable => "home_writable",
            Self::HomeOwner => "home_owner",
            Self::MissingGroup => "missing_group",
            Self::Malformed => "malformed",
        }
    }

    /// As a report words what is wanted.
    const fn wanted(self) -> &'static str {
        match self {
            Self::EmptyPassword => "no empty password",
            Self::UidZeroNotRoot => "root alone has uid 0",
            Self::DuplicateUid | Self::DuplicateGid => "an id for each",
            Self::DuplicateName | Self::DuplicateGroupName => "a name for each",
            Self::SystemWithShell => "no login shell",
            Self::SystemWithPassword => "no password",
            Self::WeakHash => "a slow hash",
            Self::HomeMissing => "a home directory",
            Self::HomeWritable => "a home that its owner alone may write",
            Self::HomeOwner => "a home of its own",
            Self::MissingGroup => "a group that exists",
            Self::Malformed => "lines that can be read",
        }
    }

    const fn looks_at_homes(self) -> bool {
        matches!(
            self,
            Self::HomeMissing | Self::HomeWritable | Self::HomeOwner
        )
    }
}

/// Of login.defs(5), where the file does not say.
const UID_MIN: u32 = 1000;
const LOGIN_DEFS: &str = "/etc/login.defs";
/// More accounts with a shell than any host keeps in its files; beyond it homes stay unknown.
const MOST_HOMES: usize = 2000;
const NO_LOGIN: [&str; 9] = [
    "/usr/sbin/nologin",
    "/sbin/nologin",
    "/usr/bin/false",
    "/bin/false",
    "/bin/sync",
    "/usr/bin/sync",
    "/sbin/halt",
    "/sbin/shutdown",
    "/usr/sbin/shutdown",
];

/// Accounts that a package makes with a shell on purpose: name, home, shell, as the maintainer's
/// scripts of postgresql-common, backuppc, gitolite3, sbuild and buildd have them (Debian 12).
const MEANT_TO_HAVE_ONE: [(&str, &str, &str); 5] = [
    ("postgres", "/var/lib/postgresql", "/bin/bash"),
    ("backuppc", "/var/lib/backuppc", "/bin/sh"),
    ("gitolite3", "/var/lib/gitolite3", "/bin/bash"),
    ("sbuild", "/var/lib/sbuild", "/bin/bash"),
    ("buildd", "/var/lib/buildd", "/bin/bash"),
];
/// Nobody can work with these, but for the one purpose that they have.
const RESTRICTED: [&str; 1] = ["/usr/bin/git-shell"];

/// Is the shell of a system account meant to be there?
fn is_meant_to_have_shell(account: &AccountSeen) -> bool {
    let seen = (
        account.name.as_str(),
        account.home.as_str(),
        account.shell.as_str(),
    );
    RESTRICTED.contains(&seen.2) || MEANT_TO_HAVE_ONE.contains(&seen)
}

/// Can someone work with this shell? An empty field means `/bin/sh` (passwd(5)).
pub fn is_login_shell(shell: &str) -> bool {
    !NO_LOGIN.contains(&shell)
}

impl Kind for AccountsWhere {
    const NAME: &'static str = "accounts_where";
    const PHASE: Phase = Phase::Account;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.test.as_str().to_owned(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes = vec![Probe::Accounts, Probe::file(HostPath::literal(LOGIN_DEFS))];
        if self.test.looks_at_homes()
            && let Seen::Known(accounts) = seen.accounts()
        {
            let homes = self.with_homes(accounts).filter_map(|(_, home)| home);
            for path in homes.take(MOST_HOMES) {
                // Where a link leads is the home.
                let is_link = |meta: &Meta| meta.file_type == FileType::Link;
                if seen.meta(&path).known().is_some_and(is_link) {
                    let (path, below) = (path.clone(), false);
                    probes.push(Probe::Writers { path, below });
                }
                probes.push(Probe::Meta { path });
            }
        }
        if self.test == AccountTest::SystemWithShell
            && let Seen::Known(accounts) = seen.accounts()
            && let Ok(uid_min) = uid_min(seen)
        {
            let with_shell = self.with_shell(accounts, uid_min).take(MOST_HOMES);
            probes.extend(with_shell.map(|account| Probe::Activity {
                account: account.name.clone(),
                uid: account.uid,
            }));
        }
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        match known(seen).and_then(|accounts| self.find(accounts, seen)) {
            Err(reason) => reason.into(),
            Ok(drifts) if drifts.is_empty() => Judgement::compliant("none"),
            Ok(drifts) => Judgement::Drift(drifts),
        }
    }

    fn risk(&self) -> Risk {
        Risk::Access
    }
}

impl AccountsWhere {
    fn is_meant(&self, name: &str) -> bool {
        !self.except.iter().any(|except| except == name)
    }

    fn find(&self, accounts: &AccountsSeen, seen: &Answers) -> Result<Vec<Drift>, Reason> {
        let meant = || {
            accounts
                .accounts
                .iter()
                .filter(|account| self.is_meant(&account.name))
        };
        let uid_min = uid_min(seen)?;
        let is_system = |account: &&AccountSeen| (1..uid_min).contains(&account.uid);
        Ok(match self.test {
            AccountTest::EmptyPassword => {
                self.all_passwords_known(accounts)?;
                meant()
                    .filter(|account| account.password == PasswordSeen::Empty)
                    .map(|account| self.lock(account, "has an empty password"))
                    .collect()
            }
            AccountTest::SystemWithPassword => {
                self.all_passwords_known(accounts)?;
                meant()
                    .filter(is_system)
                    .filter(|account| {
                        matches!(
                            account.password,
                            PasswordSeen::Set { .. } | PasswordSeen::Empty
                        )
                    })
                    .map(|account| self.lock(account, "is a system account with a password"))
                    .collect()
            }
            AccountTest::WeakHash => {
                self.all_passwords_known(accounts)?;
                meant().filter_map(|account| self.weak(account)).collect()
            }
            AccountTest::UidZeroNotRoot => meant()
                .filter(|account| account.uid == 0 && account.name != "root")
                .map(|account| {
                    self.by_hand(
                        account,
                        "has uid 0".to_owned(),
                        "give it an id of its own, or remove it",
                    )
                })
                .collect(),
            AccountTest::SystemWithShell => self
                .with_shell(accounts, uid_min)
                .map(|account| {
                    let drift = self.fixed(
                        account,
                        format!("has the shell {}", shown_shell(&account.shell)),
                        AccountOp::SetShell {
                            name: account.name.clone(),
                            shell: "/usr/sbin/nologin".to_owned(),
                        },
                    );
                    Drift {
                        note: work(account, seen),
                        ..drift
                    }
                })
                .collect(),
            AccountTest::DuplicateUid | AccountTest::DuplicateName => {
                self.duplicates(&accounts.accounts)
            }
            AccountTest::DuplicateGid | AccountTest::DuplicateGroupName => {
                self.duplicate_groups(&accounts.groups)
            }
            AccountTest::MissingGroup => {
                let missing = |account: &&AccountSeen| {
                    accounts.groups.iter().all(|group| group.gid != account.gid)
                };
                if let Some(account) = meant().find(missing)
                    && !accounts.other_sources.is_empty()
                {
                    let what = format!(
                        "gid {} is not in this host's files, and {} may know it",
                        account.gid,
                        accounts.other_sources.join(", ")
                    );
                    return Err(Reason::Unavailable { what });
                }
                meant()
                    .filter(missing)
                    .map(|account| {
                        self.by_hand(
                            account,
                            format!("has the primary gid {}, which is no group", account.gid),
                            "make the group, or give the account another one",
                        )
                    })
                    .collect()
            }
            AccountTest::Malformed => accounts
                .malformed
                .iter()
                .map(|at| Drift {
                    observed: "a line that can't be read".to_owned(),
                    wanted: self.test.wanted().to_owned(),
                    at: vec![at.clone()],
                    by_hand: Some("correct the line, or remove it".to_owned()),
                    ..Drift::default()
                })
                .collect(),
            AccountTest::HomeMissing | AccountTest::HomeWritable | AccountTest::HomeOwner => {
                self.homes(accounts, seen)?
            }
        })
    }

    /// System accounts with a login shell that nobody meant them to have.
    fn with_shell<'a>(
        &'a self,
        accounts: &'a AccountsSeen,
        uid_min: u32,
    ) -> impl Iterator<Item = &'a AccountSeen> {
        accounts
            .accounts
            .iter()
            .filter(|account| self.is_meant(&account.name))
            .filter(move |account| (1..uid_min).contains(&account.uid))
            .filter(|account| is_login_shell(&account.shell))
            .filter(|account| !is_meant_to_have_shell(account))
    }

    fn all_passwords_known(&self, accounts: &AccountsSeen) -> Result<(), Reason> {
        accounts
            .accounts
            .iter()
            .all(|account| account.password != PasswordSeen::Unknown)
            .then_some(())
            .ok_or_else(|| accounts.no_passwords())
    }

    fn weak(&self, account: &AccountSeen) -> Option<Drift> {
        let (PasswordSeen::Set { scheme } | PasswordSeen::Locked { scheme }) = &account.password
        else {
            return None;
        };
        const STRONG: [&str; 9] = ["y", "gy", "7", "2a", "2b", "2x", "2y", "6", "5"];
        (!STRONG.contains(&scheme.as_str())).then(|| {
            self.by_hand(
                account,
                format!(
                    "has a password hash of scheme `{}`",
                    printable(scheme.as_bytes())
                ),
                "have its owner set a new password",
            )
        })
    }

    /// The later of two that share an id or a name is reported, with the first one's line.
    fn duplicates(&self, accounts: &[AccountSeen]) -> Vec<Drift> {
        let by_name = self.test == AccountTest::DuplicateName;
        let same = |a: &AccountSeen, b: &AccountSeen| {
            if by_name {
                a.name == b.name
            } else {
                a.uid == b.uid
            }
        };
        accounts
            .iter()
            .enumerate()
            .filter(|(_, account)| self.is_meant(&account.name))
            .filter_map(|(at, account)| {
                let first = accounts[..at].iter().find(|other| same(other, account))?;
                let what = if by_name {
                    "is there twice".to_owned()
                } else {
                    format!(
                        "has the uid {} of `{}`",
                        account.uid,
                        printable(first.name.as_bytes())
                    )
                };
                let mut drift = self.by_hand(account, what, "give each its own");
                drift.at.push(place(first));
                Some(drift)
            })
            .collect()
    }

    fn duplicate_groups(&self, groups: &[GroupSeen]) -> Vec<Drift> {
        let by_name = self.test == AccountTest::DuplicateGroupName;
        let line = |group: &GroupSeen| SourceLine::new(HostPath::literal("/etc/group"), group.line);
        groups
            .iter()
            .enumerate()
            .filter(|(_, group)| self.is_meant(&group.name))
            .filter_map(|(at, group)| {
                let first = groups[..at].iter().find(|other| {
                    if by_name {
                        other.name == group.name
                    } else {
                        other.gid == group.gid
                    }
                })?;
                let name = printable(group.name.as_bytes());
                Some(Drift {
                    observed: if by_name {
                        format!("the group `{name}` is there twice")
                    } else {
                        let other = printable(first.name.as_bytes());
                        format!("the group `{name}` has the gid {} of `{other}`", group.gid)
                    },
                    wanted: self.test.wanted().to_owned(),
                    at: vec![line(group), line(first)],
                    by_hand: Some("give each its own".to_owned()),
                    ..Drift::default()
                })
            })
            .collect()
    }

    /// Accounts that someone works with, and their homes where those are paths.
    fn with_homes<'a>(
        &'a self,
        accounts: &'a AccountsSeen,
    ) -> impl Iterator<Item = (&'a AccountSeen, Option<HostPath>)> {
        accounts
            .accounts
            .iter()
            .filter(|account| self.is_meant(&account.name) && is_login_shell(&account.shell))
            .map(|account| (account, HostPath::from_bytes(account.home.as_bytes()).ok()))
    }

    fn homes(&self, accounts: &AccountsSeen, seen: &Answers) -> Result<Vec<Drift>, Reason> {
        let mut drifts = Vec::new();
        for (account, home) in self.with_homes(accounts) {
            let shown = printable(account.home.as_bytes());
            let meta = match &home {
                Some(home) => match seen.meta(home) {
                    Seen::Known(meta) => Some(meta),
                    Seen::Absent => None,
                    Seen::Unknown(reason) => return Err(reason),
                    Seen::NotAsked => {
                        let what = format!("more than {MOST_HOMES} homes");
                        return Err(Reason::Unavailable { what });
                    }
                },
                None => None,
            };
            match (self.test, meta, home) {
                (AccountTest::HomeMissing, _, Some(home)) if home.parent().is_none() => {
                    drifts.push(self.by_hand(
                        account,
                        "has the root directory as its home".to_owned(),
                        "give it a directory, or take the login shell away",
                    ));
                }
                (AccountTest::HomeMissing, None, _) => drifts.push(self.by_hand(
                    account,
                    format!("has the home {shown}, which is not there"),
                    "make the directory, or take the login shell away",
                )),
                (AccountTest::HomeMissing, Some(meta), _)
                    if !matches!(meta.file_type, FileType::Directory | FileType::Link) =>
                {
                    drifts.push(self.by_hand(
                        account,
                        format!("has the home {shown}, which is no directory"),
                        "give it a directory",
                    ));
                }
                (AccountTest::HomeWritable, Some(meta), Some(path)) => {
                    drifts.extend(self.writable(account, meta, path, seen)?);
                }
                (AccountTest::HomeOwner, Some(meta), Some(path))
                    if meta.file_type == FileType::Directory && meta.uid != account.uid =>
                {
                    let owner = meta.owner.clone().unwrap_or_else(|| meta.uid.to_string());
                    let what = format!("has the home {shown} of {}", printable(owner.as_bytes()));
                    // What belongs to another account, or to the system, is not given away.
                    if meta.uid != 0 || is_shared(&path) {
                        drifts.push(self.by_hand(account, what, "give it a home of its own"));
                    } else {
                        drifts.push(self.home_fix(account, what, path, None, Some(&account.name)));
                    }
                }
                _ => {}
            }
        }
        Ok(drifts)
    }

    /// Who else may write to a home.
    fn writable(
        &self,
        account: &AccountSeen,
        meta: &Meta,
        path: HostPath,
        seen: &Answers,
    ) -> Result<Vec<Drift>, Reason> {
        let shown = printable(account.home.as_bytes());
        let (path, meta, is_linked) = match meta.file_type {
            FileType::Directory => (path, meta.clone(), false),
            FileType::Link => {
                let way = seen.writers(&path, false).known_or_absent()?;
                // The links themselves are read too; one directory is at the end of them.
                let end = way.into_iter().flatten().find(|object| {
                    object.part == Part::Read && object.meta.file_type == FileType::Directory
                });
                let Some(end) = end else {
                    return Ok(Vec::new());
                };
                let acl = end.acl.clone();
                let meta = Meta {
                    acl,
                    ..end.meta.clone()
                };
                (end.path.clone(), meta, true)
            }
            _ => return Ok(Vec::new()),
        };
        let by_link = match is_linked {
            true => format!(", a link to {path},"),
            false => String::new(),
        };
        let hand = "take the right away where it leads, or give it a home of its own";
        let mut drifts = Vec::new();
        if meta.uid != 0 && meta.uid != account.uid {
            let owner = meta.owner.clone().unwrap_or_else(|| meta.uid.to_string());
            let what = format!(
                "has the home {shown}{by_link} of {}",
                printable(owner.as_bytes())
            );
            let hand = "give it a home of its own, or the home to it with `chown`";
            drifts.push(self.by_hand(account, what, hand));
        }
        let named: Vec<String> = named_writers(account, &meta);
        let is_open = meta.mode.bits() & 0o022 != 0;
        if !is_open {
            return Ok(drifts);
        }
        let what = match named.is_empty() {
            true => format!("has the home {shown}{by_link} with mode {}", meta.mode),
            false => format!(
                "has the home {shown}{by_link} with mode {}, to which {} may write by its ACL",
                meta.mode,
                named.join(", ")
            ),
        };
        // Without this bit the mask lets nobody write whom the ACL names (acl(5)).
        let mode = Mode::new(meta.mode.bits() & !0o022);
        drifts.push(match is_linked {
            true => self.by_hand(account, what, hand),
            false => self.home_fix(account, what, path, Some(mode), None),
        });
        Ok(drifts)
    }

    fn home_fix(
        &self,
        account: &AccountSeen,
        what: String,
        path: HostPath,
        mode: Option<Mode>,
        owner: Option<&str>,
    ) -> Drift {
        Drift {
            edits: vec![Edit::Meta {
                path,
                mode,
                owner: owner.map(str::to_owned),
                group: None,
                drop_capabilities: false,
                drop_acl: false,
            }],
            ..self.drift(account, what)
        }
    }

    fn lock(&self, account: &AccountSeen, what: &str) -> Drift {
        self.fixed(
            account,
            what.to_owned(),
            AccountOp::LockPassword {
                name: account.name.clone(),
            },
        )
    }

    fn fixed(&self, account: &AccountSeen, what: String, op: AccountOp) -> Drift {
        Drift {
            edits: vec![account_edit(op)],
            ..self.drift(account, what)
        }
    }

    fn by_hand(&self, account: &AccountSeen, what: String, hand: &str) -> Drift {
        Drift {
            by_hand: Some(hand.to_owned()),
            ..self.drift(account, what)
        }
    }

    fn drift(&self, account: &AccountSeen, what: String) -> Drift {
        Drift {
            observed: format!("`{}` {what}", printable(account.name.as_bytes())),
            wanted: self.test.wanted().to_owned(),
            at: vec![place(account)],
            ..Drift::default()
        }
    }
}

/// Whom the ACL of a home lets write, besides those that the mode is about. Its mask is the group's
/// bits.
fn named_writers(account: &AccountSeen, meta: &Meta) -> Vec<String> {
    let name = |name: &Option<String>, id: u32| {
        let name = name.clone().unwrap_or_else(|| id.to_string());
        printable(name.as_bytes())
    };
    let writes = meta
        .acl
        .iter()
        .flatten()
        .filter(|entry| entry.bits & meta.mode.bits() >> 3 & 2 != 0);
    let who = writes.filter_map(|entry| match &entry.who {
        AclWho::User { id, .. } if *id == 0 || *id == account.uid => None,
        AclWho::User { id, name: user } => Some(name(user, *id)),
        AclWho::Group { id, name: group } => Some(format!("group {}", name(group, *id))),
        AclWho::OwningGroup => None,
    });
    who.collect()
}

/// Whose work ends without the shell, as far as that is known: a part of a sentence that names
/// the account.
pub fn work(account: &AccountSeen, seen: &Answers) -> Option<String> {
    let name = printable(account.name.as_bytes());
    let activity = match seen.activity(&account.name, account.uid) {
        Seen::Known(activity) => activity,
        Seen::Absent | Seen::NotAsked => return None,
        // Of a tree, nothing runs.
        Seen::Unknown(Reason::Offline) => return None,
        Seen::Unknown(reason) => {
            return Some(format!(
                "whether somebody works as `{name}` is not known: {reason}"
            ));
        }
    };
    let signs: Vec<&str> = [
        (activity.runs, "processes run as it"),
        (activity.has_crontab, "it has a crontab"),
        (activity.signed_in, "it signed in since the last boot"),
    ]
    .into_iter()
    .filter_map(|(holds, sign)| holds.then_some(sign))
    .collect();
    (!signs.is_empty()).then(|| {
        format!(
            "somebody works as `{name}` ({}), and that may end with the shell",
            signs.join(", ")
        )
    })
}

fn shown_shell(shell: &str) -> String {
    match shell {
        "" => "/bin/sh (an empty field)".to_owned(),
        shell => printable(shell.as_bytes()),
    }
}

/// Directories of the system, which no account owns.
fn is_shared(path: &HostPath) -> bool {
    path.components().count() < 2
}

/// Where the ids of people begin.
fn uid_min(seen: &Answers) -> Result<u32, Reason> {
    let file = seen
        .file(&HostPath::literal(LOGIN_DEFS))
        .known_or_absent()?;
    let text = file.map(|file| String::from_utf8_lossy(file.content.as_bytes()));
    Ok(text
        .as_deref()
        .and_then(|text| Syntax::SPACE.effective(text, "", "UID_MIN"))
        .and_then(|assignment| assignment.value.parse().ok())
        .unwrap_or(UID_MIN))
}
