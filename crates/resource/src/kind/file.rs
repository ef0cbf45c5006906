//! `file`: a regular file's content, permission bits and ownership, or that there is none.

use model::plan::may_hold_secrets;
use model::probe::CONFIG_LIMIT_BYTES;
use model::value::{FileType, Meta, Reason};
use model::{
    Answer, Blob, Effect, HostPath, Mode, Probe, ResourceKey, SourceLine, Value, printable,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answers::about;
use crate::metadata::{self, ModeWanted, NameWanted};
use crate::notify::{Notify, reloads};
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase, Seen};

/// A regular file. Without `content`, a file that is not there does not apply: the permission
/// bits of nothing can't be wrong.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The absolute path. Without `content`, a link is followed, and what it points to is meant.
    /// With it, missing directories above are made, with mode 0755.
    pub path: HostPath,
    /// The whole content, byte for byte, its final newline included.
    #[serde(default)]
    pub content: Option<String>,
    /// Permission bits: `"0644"`, or `{at_most: "0644"}`. A new file gets 0644, or the bound.
    #[serde(default)]
    pub mode: Option<ModeWanted>,
    /// The account that owns it. A new file belongs to root.
    #[serde(default)]
    pub owner: Option<NameWanted>,
    /// The group that owns it. A new file belongs to the group root.
    #[serde(default)]
    pub group: Option<NameWanted>,
    /// True when there must be no file.
    #[serde(default)]
    pub absent: bool,
    /// True when the content is never shown. Where nothing is said, it is shown unless the mode
    /// keeps it from others.
    #[serde(default)]
    pub secret: Option<bool>,
    /// Units to reload, or restart where they can't reload, when the file changed.
    #[serde(default)]
    pub notify: Option<Notify>,
}

impl Kind for File {
    const NAME: &'static str = "file";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.path.to_string(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        self.regular().probes(seen)
    }

    fn makes(&self) -> Option<&HostPath> {
        (!self.absent && self.content.is_some()).then_some(&self.path)
    }

    fn is_secret(&self) -> bool {
        self.content.is_some() && is_secret(self.secret, &self.path, self.mode)
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        if self.absent {
            absence(&self.path, self.notify.as_ref(), seen)
        } else {
            self.regular().judge(seen)
        }
    }

    fn check(&self) -> Result<(), String> {
        let says_more = self.content.is_some()
            || self.mode.is_some()
            || self.owner.is_some()
            || self.group.is_some();
        if self.absent && says_more {
            return Err("a file that is to be absent has no content, mode or owner".to_owned());
        }
        if !self.absent && !says_more {
            return Err("say what is wanted: content, mode, owner, group or absent".to_owned());
        }
        self.notify.as_ref().map_or(Ok(()), Notify::check)
    }
}

impl File {
    fn regular(&self) -> Regular<'_> {
        Regular {
            path: &self.path,
            content: self.content.as_deref().map(str::as_bytes),
            metadata: metadata::Wanted {
                mode: self.mode,
                owner: self.owner.as_ref(),
                group: self.group.as_ref(),
            },
            notify: self.notify.as_ref(),
        }
    }
}

/// A regular file that is wanted, for `file` and for `template`.
pub(super) struct Regular<'a> {
    pub path: &'a HostPath,
    pub content: Option<&'a [u8]>,
    pub metadata: metadata::Wanted<'a>,
    pub notify: Option<&'a Notify>,
}

impl Regular<'_> {
    /// Room for the wanted content at least, so that a file of the right size is always read.
    fn content_probe(&self) -> Probe {
        let wanted = self.content.map_or(0, <[u8]>::len);
        Probe::File {
            path: self.path.clone(),
            limit_bytes: CONFIG_LIMIT_BYTES.max(u32::try_from(wanted).unwrap_or(u32::MAX)),
        }
    }

    pub fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let meta = Probe::Meta {
            path: self.path.clone(),
        };
        if self.content.is_none() {
            // The content is not asked for: it may be large, or a secret.
            let mut probes = vec![meta];
            if is_link(seen.meta(self.path)) {
                probes.push(Probe::FileDigest {
                    path: self.path.clone(),
                });
            }
            return probes;
        }
        let content = self.content_probe();
        let plain = match seen.get(&content).map(|observed| &observed.answer) {
            None => true,
            // Read without following a link: this is the file itself.
            Some(Answer::Known(Value::File(file))) => file.resolved.is_none(),
            Some(_) => false,
        };
        if plain {
            vec![content]
        } else {
            vec![content, meta]
        }
    }

    pub fn judge(&self, seen: &Answers) -> Judgement {
        match self.content {
            Some(content) => self.judge_content(content, seen),
            None => self.judge_metadata(seen),
        }
    }

    fn judge_metadata(&self, seen: &Answers) -> Judgement {
        let meta = match seen.meta(self.path) {
            Seen::Known(meta) => meta,
            Seen::Absent => return not_there(self.path),
            Seen::Unknown(reason) => return reason.into(),
            Seen::NotAsked => return Judgement::not_asked(),
        };
        match meta.file_type {
            FileType::Regular => self.compare(meta, self.path, Vec::new(), Vec::new(), Vec::new()),
            FileType::Link => self.judge_link(meta, seen),
            other => occupied(self.path, other, "a file"),
        }
    }

    /// The permission bits of a link mean nothing; those of the file that it leads to do.
    fn judge_link(&self, link: &Meta, seen: &Answers) -> Judgement {
        let probe = Probe::FileDigest {
            path: self.path.clone(),
        };
        match seen.get(&probe).map(|observed| &observed.answer) {
            Some(Answer::Known(Value::FileDigest { meta, .. })) => {
                let found = self.metadata.compare(self.path, meta);
                if found.edit.is_none() {
                    return Judgement::compliant(metadata::describe(meta));
                }
                Judgement::drift(Drift {
                    observed: found.observed.join(", "),
                    wanted: found.wanted.join(", "),
                    at: vec![SourceLine::file(self.path.clone())],
                    by_hand: Some(format!(
                        "{} is a link to {}: declare that file, or change it yourself",
                        self.path,
                        target(link)
                    )),
                    ..Drift::default()
                })
            }
            Some(Answer::Absent) => not_there(self.path),
            Some(Answer::Unknown(reason)) => about(&probe, reason).into(),
            _ => Judgement::not_asked(),
        }
    }

    fn judge_content(&self, wanted: &[u8], seen: &Answers) -> Judgement {
        let probe = self.content_probe();
        let answer = seen.get(&probe).map(|observed| &observed.answer);
        match answer {
            Some(Answer::Known(Value::File(file))) => {
                if is_link(seen.meta(self.path)) {
                    return link_in_the_way(self.path, seen);
                }
                if file.content.as_bytes() == wanted {
                    return self.compare(&file.meta, self.path, Vec::new(), Vec::new(), Vec::new());
                }
                self.other_content(&file.meta, wanted)
            }
            Some(Answer::Absent) => match seen.meta(self.path) {
                Seen::Absent => self.new_file(wanted),
                Seen::Known(meta) if meta.file_type == FileType::Link => {
                    link_in_the_way(self.path, seen)
                }
                Seen::Known(meta) => occupied(self.path, meta.file_type, "a file"),
                Seen::Unknown(reason) => reason.into(),
                Seen::NotAsked => Judgement::not_asked(),
            },
            Some(Answer::Unknown(reason)) => match (seen.meta(self.path), reason) {
                (Seen::Known(meta), _) if meta.file_type == FileType::Link => {
                    link_in_the_way(self.path, seen)
                }
                (Seen::Known(meta), _) if meta.file_type != FileType::Regular => {
                    occupied(self.path, meta.file_type, "a file")
                }
                // Larger than what is wanted, so certainly different.
                (Seen::Known(meta), Reason::TooLarge { .. }) => self.other_content(meta, wanted),
                _ => about(&probe, reason).into(),
            },
            _ => Judgement::not_asked(),
        }
    }

    fn other_content(&self, meta: &Meta, wanted: &[u8]) -> Judgement {
        let edit = Edit::Content {
            path: self.path.clone(),
            change: ContentEdit::Whole(Blob::from(wanted.to_vec())),
            new_file: None,
            as_user: None,
        };
        self.compare(
            meta,
            self.path,
            vec!["content differs".to_owned()],
            vec!["the declared content".to_owned()],
            vec![edit],
        )
    }

    fn new_file(&self, wanted: &[u8]) -> Judgement {
        let usual = NewFile::default();
        let name = |wanted: Option<&NameWanted>, usual: String| {
            wanted.map_or(usual, |wanted| wanted.set().to_owned())
        };
        let new_file = NewFile {
            mode: mode_of_new(self.metadata.mode, usual.mode),
            owner: name(self.metadata.owner, usual.owner),
            group: name(self.metadata.group, usual.group),
        };
        Judgement::drift(Drift {
            observed: "absent".to_owned(),
            wanted: "the declared content".to_owned(),
            edits: vec![Edit::Content {
                path: self.path.clone(),
                change: ContentEdit::Whole(Blob::from(wanted.to_vec())),
                new_file: Some(new_file),
                as_user: None,
            }],
            activate: reloads(self.notify),
            ..Drift::default()
        })
    }

    /// Adds what differs in the metadata to what differs in the content.
    fn compare(
        &self,
        meta: &Meta,
        path: &HostPath,
        mut observed: Vec<String>,
        mut wanted: Vec<String>,
        mut edits: Vec<Edit>,
    ) -> Judgement {
        let content_differs = !edits.is_empty();
        let found = self.metadata.compare(path, meta);
        observed.extend(found.observed);
        wanted.extend(found.wanted);
        edits.extend(found.edit);
        let at = vec![SourceLine::file(path.clone())];
        if edits.is_empty() {
            let mut observed = metadata::describe(meta);
            if self.content.is_some() {
                observed.insert_str(0, "as declared, ");
            }
            return Judgement::Compliant { observed, at };
        }
        Judgement::drift(Drift {
            observed: observed.join(", "),
            wanted: wanted.join(", "),
            at,
            note: (content_differs && may_hold_secrets(path))
                .then(|| "it may hold secrets, so the difference is not shown".to_owned()),
            edits,
            activate: reloads(self.notify),
            ..Drift::default()
        })
    }
}

/// Judges that there must be nothing but perhaps a directory that a person has to look at.
fn absence(path: &HostPath, notify: Option<&Notify>, seen: &Answers) -> Judgement {
    match seen.meta(path) {
        Seen::Absent => Judgement::compliant("absent"),
        Seen::Known(meta) => match meta.file_type {
            FileType::Regular | FileType::Link => Judgement::drift(Drift {
                observed: match meta.file_type {
                    FileType::Link => format!("a link to {}", target(meta)),
                    _ => "present".to_owned(),
                },
                wanted: "absent".to_owned(),
                at: vec![SourceLine::file(path.clone())],
                edits: vec![Edit::act(Effect::Remove { path: path.clone() })],
                activate: reloads(notify),
                ..Drift::default()
            }),
            other => occupied(path, other, "absent"),
        },
        Seen::Unknown(reason) => reason.into(),
        Seen::NotAsked => Judgement::not_asked(),
    }
}

pub(super) fn is_link(meta: Seen<&Meta>) -> bool {
    matches!(meta, Seen::Known(meta) if meta.file_type == FileType::Link)
}

/// Where a link points, harmless to look at.
pub(super) fn target(link: &Meta) -> String {
    let target = link.target.as_ref().map(Blob::as_bytes).unwrap_or_default();
    printable(target)
}

fn not_there(path: &HostPath) -> Judgement {
    Judgement::NotApplicable(format!("there is no {path}"))
}

/// Something of another type stands at the path. It is never replaced without being asked:
/// nobody declared what becomes of what it holds.
pub(super) fn occupied(path: &HostPath, found: FileType, wanted: &str) -> Judgement {
    let observed = match found {
        FileType::Regular => "a file",
        FileType::Directory => "a directory",
        FileType::Link => "a link",
        FileType::Other => "a device, socket or pipe",
    };
    Judgement::drift(Drift {
        observed: observed.to_owned(),
        wanted: wanted.to_owned(),
        at: vec![SourceLine::file(path.clone())],
        by_hand: Some(format!("move away {observed} that stands at {path}")),
        ..Drift::default()
    })
}

fn link_in_the_way(path: &HostPath, seen: &Answers) -> Judgement {
    let to = seen.meta(path).known().map(target).unwrap_or_default();
    Judgement::drift(Drift {
        observed: format!("a link to {to}"),
        wanted: "a file".to_owned(),
        at: vec![SourceLine::file(path.clone())],
        by_hand: Some(format!(
            "remove the link at {path}, or declare what it points to"
        )),
        ..Drift::default()
    })
}

/// Rules that others may not read, and that hold no secret: they are to be reviewed.
const REVIEWED: [&str; 2] = ["/etc/sudoers", "/etc/sudoers.d"];

/// Is the content of such a file shown to nobody?
pub(super) fn is_secret(said: Option<bool>, path: &HostPath, mode: Option<ModeWanted>) -> bool {
    said.unwrap_or_else(|| {
        let is_kept_from_others = mode_of_new(mode, Mode::new(0o644)).bits() & 0o004 == 0;
        let is_reviewed = REVIEWED
            .iter()
            .any(|top| path.is_within(&HostPath::literal(top)));
        is_kept_from_others && !is_reviewed
    })
}

/// The mode that a new file or directory gets.
pub(super) fn mode_of_new(wanted: Option<ModeWanted>, usual: Mode) -> Mode {
    wanted.map_or(usual, |wanted| wanted.set(usual))
}
