//! `ini`: one key below a `[section]` of a file. Every other line of the file stays as
//! it is.

use model::{Expectation, HostPath, Mode, Probe, ResourceKey};
use schemars::JsonSchema;
use serde::Deserialize;

use super::key_value::new_file;
use crate::assigned::Assigned;
use crate::notify::{Notify, reloads};
use crate::syntax::{Case, Continued, Wins};
use crate::{Answers, Judgement, Kind, Phase, Syntax};

/// One key below a `[section]` of a file.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ini {
    /// The absolute path of the file. A missing file is made, and the directories above it, with mode 0755.
    pub path: HostPath,
    /// The section's name without brackets; a missing one is added at the end. Empty for the
    /// lines before the first section.
    pub section: String,
    /// The key.
    pub key: String,
    /// What it must be.
    pub value: Expectation,
    /// What the program does when the key is not set. Where that satisfies `value`, nothing
    /// is written.
    #[serde(default)]
    pub default: Option<String>,
    /// How a value goes on in the next line. Where nothing is said: as the program reads it whose
    /// file this is known to be (systemd, Samba and git, fail2ban, Supervisor, SSSD and pip), and
    /// never elsewhere.
    #[serde(default)]
    pub continued: Option<Continued>,
    /// Does letter case matter, in sections, keys and values?
    #[serde(default)]
    pub case: Case,
    /// Which assignment counts where there are several of one key.
    #[serde(default)]
    pub wins: Wins,
    /// Permission bits of a file that has to be made; 0644 where nothing is said.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Units to reload, or restart where they can't reload, when the file changed.
    #[serde(default)]
    pub notify: Option<Notify>,
}

impl Kind for Ini {
    const NAME: &'static str = "ini";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: format!("{} [{}] {}", self.path, self.section, self.key),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        self.assigned().probes(seen)
    }

    fn makes(&self) -> Option<&HostPath> {
        Some(&self.path)
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        self.assigned()
            .judge(seen, new_file(self.mode), reloads(self.notify.as_ref()))
    }

    fn check(&self) -> Result<(), String> {
        self.notify.as_ref().map_or(Ok(()), Notify::check)?;
        self.assigned().check()
    }
}

impl Ini {
    fn assigned(&self) -> Assigned<'_> {
        Assigned {
            path: &self.path,
            syntax: Syntax::INI
                .with_continued(self.continued.unwrap_or_else(|| usual(&self.path)))
                .with_case(self.case)
                .with_wins(self.wins),
            section: &self.section,
            key: &self.key,
            value: &self.value,
            default: self.default.as_deref(),
        }
    }
}

/// systemd.syntax(7), smb.conf(5), git-config(1).
const BACKSLASH: [&str; 7] = [
    "/etc/systemd",
    "/run/systemd",
    "/usr/local/lib/systemd",
    "/usr/lib/systemd",
    "/etc/samba",
    "/etc/gitconfig",
    "/root/.gitconfig",
];
/// jail.conf(5), Supervisor's and pip's manuals; sssd.conf(5).
const INDENTED: [&str; 4] = [
    "/etc/fail2ban",
    "/etc/supervisor",
    "/etc/sssd",
    "/etc/pip.conf",
];

/// As the program reads it that this file is of.
fn usual(path: &HostPath) -> Continued {
    let is_of = |places: &[&'static str]| {
        let mut places = places.iter();
        places.any(|place| path.is_within(&HostPath::literal(place)))
    };
    match (is_of(&BACKSLASH), is_of(&INDENTED)) {
        (true, _) => Continued::Backslash,
        (_, true) => Continued::Indented,
        _ => Continued::Never,
    }
}
