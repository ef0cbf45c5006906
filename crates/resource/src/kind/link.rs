//! `link`: a symbolic link and where it points.

use model::value::FileType;
use model::{Blob, Effect, HostPath, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::file::{occupied, target};
use crate::notify::{Notify, reloads};
use crate::{Answers, Drift, Edit, Judgement, Kind, Phase, Seen};

/// A symbolic link, or that there is none. A link that points elsewhere is replaced; a file or a
/// directory in its place never is, and is not removed either.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The absolute path of the link itself.
    pub path: HostPath,
    /// What the link holds, absolute or relative; it need not be there. Not with `absent`.
    #[serde(default)]
    pub target: Option<String>,
    /// True when there must be no link.
    #[serde(default)]
    pub absent: bool,
    /// Units to reload, or restart where they can't reload, when the link changed.
    #[serde(default)]
    pub notify: Option<Notify>,
}

impl Kind for Link {
    const NAME: &'static str = "link";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.path.to_string(),
        }
    }

    fn probes(&self, _: &Answers) -> Vec<Probe> {
        vec![Probe::Meta {
            path: self.path.clone(),
        }]
    }

    fn makes(&self) -> Option<&HostPath> {
        (!self.absent).then_some(&self.path)
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let at = vec![SourceLine::file(self.path.clone())];
        let (observed, at) = match seen.meta(&self.path) {
            Seen::Known(meta) if meta.file_type == FileType::Link => {
                let observed = format!("a link to {}", target(meta));
                let leads = meta.target.as_ref().map(Blob::as_bytes);
                if !self.absent && leads == self.target.as_deref().map(str::as_bytes) {
                    return Judgement::Compliant { observed, at };
                }
                (observed, at)
            }
            Seen::Known(meta) => return occupied(&self.path, meta.file_type, &self.wanted()),
            Seen::Absent if self.absent => return Judgement::compliant("absent"),
            Seen::Absent => ("absent".to_owned(), Vec::new()),
            Seen::Unknown(reason) => return reason.into(),
            Seen::NotAsked => return Judgement::not_asked(),
        };
        Judgement::drift(Drift {
            observed,
            wanted: self.wanted(),
            at,
            edits: vec![Edit::act(match &self.target {
                Some(target) => Effect::Link {
                    path: self.path.clone(),
                    target: target.as_str().into(),
                },
                None => Effect::Remove {
                    path: self.path.clone(),
                },
            })],
            activate: reloads(self.notify.as_ref()),
            ..Drift::default()
        })
    }

    fn check(&self) -> Result<(), String> {
        match &self.target {
            Some(_) if self.absent => Err("a link that is to be absent has no target".to_owned()),
            None if !self.absent => {
                Err("say where the link leads: target, or that there is none: absent".to_owned())
            }
            // symlink(2): ENOENT for an empty target, ENAMETOOLONG beyond PATH_MAX.
            Some(target) if target.is_empty() || target.len() > 4095 || target.contains('\0') => {
                Err("a link's target is a path of 1 to 4095 bytes".to_owned())
            }
            _ => self.notify.as_ref().map_or(Ok(()), Notify::check),
        }
    }
}

impl Link {
    fn wanted(&self) -> String {
        match &self.target {
            Some(target) => format!("a link to {}", printable(target.as_bytes())),
            None => "absent".to_owned(),
        }
    }
}
