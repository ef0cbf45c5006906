//! The answers that a kind judges by, with typed access.

use model::probe::CONFIG_LIMIT_BYTES;
use model::value::{
    AccountsSeen, ActivitySeen, AnswerMap, DirEntry, FileSeen, Meta, ModulesSeen, MountsSeen,
    OtherRoot, Output, PackageSeen, Reason, UnitSeen, WalkSeen, WritersSeen,
};
use model::{Answer, HostPath, Observed, Probe, Tool, Value, WalkTest};

/// What is known about one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen<T> {
    Known(T),
    Absent,
    Unknown(Reason),
    /// Nobody has asked yet.
    NotAsked,
}

impl<T> Seen<T> {
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            _ => None,
        }
    }

    /// The value; what is absent or was not asked is none, what is unknown is an error.
    pub fn known_or_absent(self) -> Result<Option<T>, Reason> {
        match self {
            Self::Known(value) => Ok(Some(value)),
            Self::Absent | Self::NotAsked => Ok(None),
            Self::Unknown(reason) => Err(reason),
        }
    }
}

/// Answers by probe, as far as they have been asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers(AnswerMap);

/// A reason that names what it is about: a person reads it beside the rule, not beside the
/// question.
pub(crate) fn about(probe: &Probe, reason: &Reason) -> Reason {
    let subject = match probe {
        Probe::File { path, .. }
        | Probe::FileDigest { path }
        | Probe::Meta { path }
        | Probe::Found { path }
        | Probe::Dir { path }
        | Probe::Writers { path, .. } => format!("`{path}`"),
        Probe::Tool { tool, .. } => match tool {
            Tool::SshdEffective => "`sshd -T`",
            Tool::NginxDump => "`nginx -T`",
            Tool::Getent => "`getent`",
        }
        .to_owned(),
        // That systemd is silent is said once, not once for each unit.
        Probe::Unit { .. } if matches!(reason, Reason::TimedOut { .. }) => "systemd".to_owned(),
        Probe::Unit { name } => format!("systemd, asked about `{name}`"),
        Probe::Command { argv, .. } => format!("`{}`", argv.join(" ")),
        _ => return reason.clone(),
    };
    match reason {
        Reason::TooLarge { .. } | Reason::TimedOut { .. } | Reason::Failed { .. } => {
            let why = reason.to_string();
            match why.contains(&subject) {
                true => reason.clone(),
                false => Reason::Failed {
                    why: format!("{subject}: {why}"),
                },
            }
        }
        // These say what is missing, or are said once for all.
        _ => reason.clone(),
    }
}

macro_rules! typed {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) -> $value:ty, $probe:expr, $variant:ident) => {
        $(#[$doc])*
        pub fn $name(&self, $($arg: $ty),*) -> Seen<&$value> {
            match self.0.get(&$probe).map(|observed| &observed.answer) {
                Some(Answer::Known(Value::$variant(value))) => Seen::Known(value),
                Some(Answer::Known(_)) => Seen::Unknown(Reason::Failed {
                    why: "the answer is of another kind than the question".to_owned(),
                }),
                Some(Answer::Absent) => Seen::Absent,
                Some(Answer::Unknown(reason)) => Seen::Unknown(about(&$probe, reason)),
                None => Seen::NotAsked,
            }
        }
    };
}

impl Answers {
    pub fn insert(&mut self, probe: Probe, observed: Observed) {
        self.0.insert(probe, observed);
    }

    pub fn get(&self, probe: &Probe) -> Option<&Observed> {
        self.0.get(probe)
    }

    /// The root file systems of others that the walk left out.
    pub fn other_roots(&self) -> Vec<OtherRoot> {
        // Each test of the one walk has the same.
        let walks = self
            .iter()
            .find_map(|(_, observed)| match &observed.answer {
                Answer::Known(Value::Walk(seen)) => Some(seen.other_roots.clone()),
                _ => None,
            });
        walks.unwrap_or_default()
    }

    pub fn contains(&self, probe: &Probe) -> bool {
        self.0.contains_key(probe)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Probe, &Observed)> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    typed!(
        /// The answer to [`Probe::file`], with the usual limit for configuration files.
        file(path: &HostPath) -> FileSeen,
        Probe::File { path: path.clone(), limit_bytes: CONFIG_LIMIT_BYTES }, File);
    typed!(meta(path: &HostPath) -> Meta, Probe::Meta { path: path.clone() }, Meta);
    typed!(activity(account: &str, uid: u32) -> ActivitySeen, Probe::Activity { account: account.to_owned(), uid }, Activity);
    typed!(writers(path: &HostPath, below: bool) -> Vec<WritersSeen>, Probe::Writers { path: path.clone(), below }, Writers);
    typed!(dir(path: &HostPath) -> Vec<DirEntry>, Probe::Dir { path: path.clone() }, Dir);
    typed!(tool(tool: Tool, args: &[String]) -> Output,
        Probe::Tool { tool, args: args.to_vec() }, Output);
    typed!(unit(name: &str) -> UnitSeen, Probe::Unit { name: name.to_owned() }, Unit);
    typed!(sysctl(key: &str) -> String, Probe::Sysctl { key: key.to_owned() }, Sysctl);
    typed!(package(name: &str) -> PackageSeen, Probe::Package { name: name.to_owned() }, Package);
    typed!(mounts() -> MountsSeen, Probe::Mounts, Mounts);
    typed!(accounts() -> AccountsSeen, Probe::Accounts, Accounts);
    typed!(modules() -> ModulesSeen, Probe::Modules, Modules);
    typed!(audit_rules() -> Vec<String>, Probe::AuditRules, AuditRules);
    typed!(walk(test: WalkTest) -> WalkSeen, Probe::Walk { test }, Walk);
}

impl Answers {
    /// The files of a directory of drop-ins whose names a program takes, sorted by name. None
    /// where there is no such directory, or nobody has asked yet; a directory that can't be read
    /// is an error, since what it says may overrule all the rest.
    pub fn files_in(
        &self,
        directory: &HostPath,
        takes: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<HostPath>, Reason> {
        let Some(entries) = self.dir(directory).known_or_absent()? else {
            return Ok(Vec::new());
        };
        let names = entries.iter().map(|entry| entry.name.as_bytes());
        let mut files: Vec<HostPath> = names
            .filter(|name| takes(name))
            .filter_map(|name| directory.join(name).ok())
            .collect();
        files.sort();
        Ok(files)
    }
}

impl FromIterator<(Probe, Observed)> for Answers {
    fn from_iter<I: IntoIterator<Item = (Probe, Observed)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}
