//! `link`: a symbolic link and where it points.

use model::value::FileType;
use model::{Blob, Effect, HostPath, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::file::{occupied, target};
use crate::{Answers, Drift, Edit, Judgement, Kind, Phase, Seen};

/// A symbolic link. A link that points elsewhere is replaced; a file or a directory in its
/// place never is.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The absolute path of the link itself.
    pub path: HostPath,
    /// What the link holds, absolute or relative; it need not be there.
    pub target: String,
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
        Some(&self.path)
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let at = vec![SourceLine::file(self.path.clone())];
        let (observed, at) = match seen.meta(&self.path) {
            Seen::Known(meta) if meta.file_type == FileType::Link => {
                let observed = format!("a link to {}", target(meta));
                if meta.target.as_ref().map(Blob::as_bytes) == Some(self.target.as_bytes()) {
                    return Judgement::Compliant { observed, at };
                }
                (observed, at)
            }
            Seen::Known(meta) => return occupied(&self.path, meta.file_type, &self.wanted()),
            Seen::Absent => ("absent".to_owned(), Vec::new()),
            Seen::Unknown(reason) => return reason.into(),
            Seen::NotAsked => return Judgement::not_asked(),
        };
        Judgement::drift(Drift {
            observed,
            wanted: self.wanted(),
            at,
            edits: vec![Edit::act(Effect::Link {
                path: self.path.clone(),
                target: self.target.as_str().into(),
            })],
            ..Drift::default()
        })
    }

    fn check(&self) -> Result<(), String> {
        // symlink(2): ENOENT for an empty target, ENAMETOOLONG beyond PATH_MAX.
        if self.target.is_empty() || self.target.len() > 4095 || self.target.contains('\0') {
            return Err("a link's target is a path of 1 to 4095 bytes".to_owned());
        }
        Ok(())
    }
}

impl Link {
    fn wanted(&self) -> String {
        format!("a link to {}", printable(self.target.as_bytes()))
    }
}
