//! `sudo_rule`: one rule of sudoers(5), in a file of its own in `/etc/sudoers.d`.

use model::plan::Risk;
use model::{Effect, HostPath, Mode, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::sudoers;
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase};

/// A right to run commands by sudo, in `/etc/sudoers.d/NAME` with mode `0440`. The whole file
/// is ours.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SudoRule {
    /// The file's name: letters, digits, `-` and `_`, since sudo passes over other names.
    pub name: String,
    /// The account that gets the right; this or `group`.
    #[serde(default)]
    pub user: Option<String>,
    /// The group whose members get the right; this or `user`.
    #[serde(default)]
    pub group: Option<String>,
    /// Absolute commands with their arguments, escaped as sudoers(5) says, or `ALL`.
    #[serde(default)]
    pub commands: Vec<String>,
    /// The account to run as; `root` when it is not given.
    #[serde(default)]
    pub run_as: Option<String>,
    /// Do not ask for the password.
    #[serde(default)]
    pub nopasswd: bool,
    /// The file should not be there.
    #[serde(default)]
    pub absent: bool,
}

/// What sudo demands of its files: not writable for others than root (sudoers(5)).
const MODE: Mode = Mode::new(0o440);

impl Kind for SudoRule {
    const NAME: &'static str = "sudo_rule";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.name.clone(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let (_, mut probes) = sudoers::read(seen);
        probes.extend(self.path().map(Probe::file));
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let Some(path) = self.path() else {
            return Judgement::Error(format!(
                "`{}` is no file name",
                printable(self.name.as_bytes())
            ));
        };
        let file = match seen.file(&path).known_or_absent() {
            Ok(file) => file,
            Err(reason) => return reason.into(),
        };
        if self.absent {
            return match file {
                None => Judgement::compliant("absent"),
                Some(_) => Judgement::drift(Drift {
                    observed: "there".to_owned(),
                    wanted: "absent".to_owned(),
                    at: vec![SourceLine::file(path.clone())],
                    edits: vec![Edit::act(Effect::Remove { path })],
                    ..Drift::default()
                }),
            };
        }
        if sudoers::is_absent(seen) {
            return Judgement::Drift(vec![Drift {
                observed: "sudo is not set up".to_owned(),
                wanted: self.line(),
                by_hand: Some("install the package `sudo` first".to_owned()),
                ..Drift::default()
            }]);
        }
        let content = format!("{}\n", self.line());
        let mut edits = Vec::new();
        let mut observed = Vec::new();
        if file.is_none_or(|file| file.content.as_bytes() != content.as_bytes()) {
            observed.push(
                if file.is_some() {
                    "another content"
                } else {
                    "absent"
                }
                .to_owned(),
            );
            edits.push(Edit::Content {
                path: path.clone(),
                change: ContentEdit::Whole(content.into()),
                new_file: Some(NewFile {
                    mode: MODE,
                    ..NewFile::default()
                }),
                as_user: None,
            });
        }
        if let Some(file) = file {
            let meta = &file.meta;
            if meta.mode != MODE || meta.uid != 0 || meta.gid != 0 {
                let owner = meta.owner.clone().unwrap_or_else(|| meta.uid.to_string());
                observed.push(format!(
                    "mode {}, owner {}",
                    meta.mode,
                    printable(owner.as_bytes())
                ));
                edits.push(Edit::Meta {
                    path: path.clone(),
                    mode: Some(MODE),
                    owner: Some("root".to_owned()),
                    group: Some("root".to_owned()),
                    drop_capabilities: false,
                    drop_acl: false,
                });
            }
        }
        let (sudoers, _) = sudoers::read(seen);
        if edits.is_empty() {
            return match (sudoers.drop_in_before, sudoers.hidden()) {
                (Some(_), _) => Judgement::Compliant {
                    observed: self.line(),
                    at: vec![SourceLine::file(path)],
                },
                (None, Some(reason)) => reason.clone().into(),
                (None, None) => Judgement::drift(self.not_included()),
            };
        }
        if sudoers.drop_in_before.is_none() {
            return Judgement::drift(self.not_included());
        }
        Judgement::drift(Drift {
            observed: observed.join(", "),
            wanted: self.line(),
            at: file
                .iter()
                .map(|_| SourceLine::file(path.clone()))
                .collect(),
            edits,
            ..Drift::default()
        })
    }

    fn risk(&self) -> Risk {
        Risk::Access
    }

    fn check(&self) -> Result<(), String> {
        let is_word = |text: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if !is_word(&self.name) {
            return Err("a rule's name has letters, digits, `-` and `_` only".to_owned());
        }
        if self.absent {
            return Ok(());
        }
        let account = match (&self.user, &self.group) {
            (Some(name), None) | (None, Some(name)) => name,
            _ => return Err("say exactly one of `user` and `group`".to_owned()),
        };
        let accounts = [Some(account), self.run_as.as_ref()];
        if let Some(bad) = accounts.into_iter().flatten().find(|name| {
            !name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                || name.is_empty()
        }) {
            return Err(format!(
                "`{}` is not an account's name",
                printable(bad.as_bytes())
            ));
        }
        if self.commands.is_empty() {
            return Err("`commands` is empty".to_owned());
        }
        self.commands.iter().try_for_each(|command| {
            let absolute = command == "ALL" || command.starts_with('/');
            (absolute && !command.chars().any(char::is_control))
                .then_some(())
                .ok_or_else(|| {
                    format!(
                        "`{}` is not an absolute command, nor `ALL`",
                        printable(command.as_bytes())
                    )
                })
        })
    }
}

impl SudoRule {
    fn path(&self) -> Option<HostPath> {
        HostPath::literal(sudoers::DROP_INS).join(&self.name).ok()
    }

    fn line(&self) -> String {
        let who = match (&self.user, &self.group) {
            (Some(user), _) => user.clone(),
            (None, Some(group)) => format!("%{group}"),
            (None, None) => String::new(),
        };
        let run_as = self.run_as.as_deref().unwrap_or("root");
        let tag = if self.nopasswd { "NOPASSWD: " } else { "" };
        format!("{who} ALL=({run_as}) {tag}{}", self.commands.join(", "))
    }

    fn not_included(&self) -> Drift {
        Drift {
            observed: format!("{} does not include {}", sudoers::MAIN, sudoers::DROP_INS),
            wanted: self.line(),
            at: vec![SourceLine::file(HostPath::literal(sudoers::MAIN))],
            by_hand: Some(format!(
                "add `@includedir {}` at the end of {} with visudo",
                sudoers::DROP_INS,
                sudoers::MAIN
            )),
            ..Drift::default()
        }
    }
}
