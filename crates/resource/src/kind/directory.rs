//! `directory`: that a directory is there, with its permission bits and ownership, or that
//! it is not. What lies in it is never touched.

use model::value::FileType;
use model::{Effect, HostPath, Mode, Probe, ResourceKey, SourceLine};
use schemars::JsonSchema;
use serde::Deserialize;

use super::file::{mode_of_new, occupied, target};
use crate::metadata::{self, ModeWanted, NameWanted};
use crate::{Answers, Drift, Edit, Judgement, Kind, Phase, Seen};

/// A directory. A missing one is created, unless its mode is a bound: a bound is about a
/// directory that somebody else makes, and then nothing applies where there is none.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// The absolute path. Missing directories above it are made, with mode 0755.
    pub path: HostPath,
    /// Permission bits: `"0755"`, or `{at_most: "0755"}`. A new directory gets 0755.
    #[serde(default)]
    pub mode: Option<ModeWanted>,
    /// The account that owns it. A new directory belongs to root.
    #[serde(default)]
    pub owner: Option<NameWanted>,
    /// The group that owns it. A new directory belongs to the group root.
    #[serde(default)]
    pub group: Option<NameWanted>,
    /// True when there must be no directory. Only an empty one is removed.
    #[serde(default)]
    pub absent: bool,
}

impl Kind for Directory {
    const NAME: &'static str = "directory";
    const PHASE: Phase = Phase::Directory;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.path.to_string(),
        }
    }

    fn probes(&self, _: &Answers) -> Vec<Probe> {
        let path = self.path.clone();
        let mut probes = vec![Probe::Meta { path: path.clone() }];
        if self.absent {
            probes.push(Probe::Dir { path });
        }
        probes
    }

    fn makes(&self) -> Option<&HostPath> {
        let is_made = !self.absent && !matches!(self.mode, Some(ModeWanted::AtMost(_)));
        is_made.then_some(&self.path)
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let meta = match seen.meta(&self.path) {
            Seen::Known(meta) => meta,
            Seen::Absent if self.absent => return Judgement::compliant("absent"),
            Seen::Absent => return self.missing(),
            Seen::Unknown(reason) => return reason.into(),
            Seen::NotAsked => return Judgement::not_asked(),
        };
        let at = vec![SourceLine::file(self.path.clone())];
        match meta.file_type {
            FileType::Directory if self.absent => self.judge_absence(at, seen),
            FileType::Directory => {
                let wanted = metadata::Wanted {
                    mode: self.mode,
                    owner: self.owner.as_ref(),
                    group: self.group.as_ref(),
                };
                let found = wanted.compare(&self.path, meta);
                let Some(edit) = found.edit else {
                    let observed = metadata::describe(meta);
                    return Judgement::Compliant { observed, at };
                };
                Judgement::drift(Drift {
                    observed: found.observed.join(", "),
                    wanted: found.wanted.join(", "),
                    at,
                    edits: vec![edit],
                    ..Drift::default()
                })
            }
            FileType::Link => Judgement::drift(Drift {
                observed: format!("a link to {}", target(meta)),
                wanted: if self.absent { "absent" } else { "a directory" }.to_owned(),
                at,
                by_hand: Some(format!(
                    "declare the directory that {} points to, or remove the link",
                    self.path
                )),
                ..Drift::default()
            }),
            other if self.absent => occupied(&self.path, other, "absent"),
            other => occupied(&self.path, other, "a directory"),
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.absent && (self.mode.is_some() || self.owner.is_some() || self.group.is_some()) {
            return Err("a directory that is to be absent has no mode or owner".to_owned());
        }
        if self.path.parent().is_none() {
            return Err("the root directory is always there".to_owned());
        }
        Ok(())
    }
}

impl Directory {
    fn missing(&self) -> Judgement {
        if matches!(self.mode, Some(ModeWanted::AtMost(_))) {
            return Judgement::NotApplicable(format!("there is no {}", self.path));
        }
        let name = |wanted: &Option<NameWanted>| wanted.as_ref().map(|name| name.set().to_owned());
        Judgement::drift(Drift {
            observed: "absent".to_owned(),
            wanted: "a directory".to_owned(),
            edits: vec![Edit::act(Effect::MakeDir {
                path: self.path.clone(),
                mode: mode_of_new(self.mode, Mode::new(0o755)),
                owner: name(&self.owner),
                group: name(&self.group),
                as_user: None,
            })],
            ..Drift::default()
        })
    }

    fn judge_absence(&self, at: Vec<SourceLine>, seen: &Answers) -> Judgement {
        let entries = match seen.dir(&self.path) {
            Seen::Known(entries) => entries.len(),
            Seen::Absent => 0,
            Seen::Unknown(reason) => return reason.into(),
            Seen::NotAsked => return Judgement::not_asked(),
        };
        let mut drift = Drift {
            observed: "an empty directory".to_owned(),
            wanted: "absent".to_owned(),
            at,
            ..Drift::default()
        };
        if entries == 0 {
            drift.edits.push(Edit::act(Effect::Remove {
                path: self.path.clone(),
            }));
        } else {
            drift.observed = format!("a directory that holds {entries} more");
            drift.by_hand = Some(format!(
                "empty {}: only an empty directory is removed",
                self.path
            ));
        }
        Judgement::drift(drift)
    }
}
