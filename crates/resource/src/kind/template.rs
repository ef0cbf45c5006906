//! `template`: a file whose content comes out of a template of the policy. Rendering is
//! the business of `content`; here it is a file like any other.

use model::{HostPath, Probe, ResourceKey};
use schemars::JsonSchema;
use serde::Deserialize;

use super::file::{Regular, is_secret};
use crate::metadata::{self, ModeWanted, NameWanted};
use crate::notify::Notify;
use crate::{Answers, Judgement, Kind, Phase};

/// A file whose content comes out of a template.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The absolute path of the file on the host.
    pub path: HostPath,
    /// The template, relative to the file that declares this.
    pub source: String,
    /// Permission bits: `"0644"`, or `{at_most: "0644"}`. A new file gets 0644, or the bound.
    #[serde(default)]
    pub mode: Option<ModeWanted>,
    /// The account that owns it. A new file belongs to root.
    #[serde(default)]
    pub owner: Option<NameWanted>,
    /// The group that owns it. A new file belongs to the group root.
    #[serde(default)]
    pub group: Option<NameWanted>,
    /// True when the content is never shown. Where nothing is said, it is shown unless the mode
    /// keeps it from others.
    #[serde(default)]
    pub secret: Option<bool>,
    /// Units to reload, or restart where they can't reload, when the file changed.
    #[serde(default)]
    pub notify: Option<Notify>,
    /// What the template came to for this host; `content` fills it in.
    #[serde(skip)]
    pub rendered: Option<String>,
}

impl Kind for Template {
    const NAME: &'static str = "template";
    const PHASE: Phase = Phase::File;

    /// A `file` and a `template` for one path contradict each other.
    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: super::file::File::NAME.to_owned(),
            name: self.path.to_string(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        self.regular().probes(seen)
    }

    fn makes(&self) -> Option<&HostPath> {
        Some(&self.path)
    }

    fn is_secret(&self) -> bool {
        is_secret(self.secret, &self.path, self.mode)
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        if self.rendered.is_none() {
            return Judgement::Error(format!("`{}` was not rendered", self.source));
        }
        self.regular().judge(seen)
    }

    fn check(&self) -> Result<(), String> {
        self.notify.as_ref().map_or(Ok(()), Notify::check)
    }
}

impl Template {
    fn regular(&self) -> Regular<'_> {
        Regular {
            path: &self.path,
            content: self.rendered.as_deref().map(str::as_bytes),
            metadata: metadata::Wanted {
                mode: self.mode,
                owner: self.owner.as_ref(),
                group: self.group.as_ref(),
            },
            notify: self.notify.as_ref(),
        }
    }
}
