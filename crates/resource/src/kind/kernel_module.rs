//! `kernel_module`: that a module can't be loaded, by anyone or anything, and is not; or
//! that it is loaded, now and at boot.

use model::plan::Risk;
use model::value::{ModprobeLine, ModulesSeen, Reason};
use model::{Effect, HostPath, Mode, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase, Seen};

/// A kernel module.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KernelModule {
    /// The module's name; `-` and `_` are the same.
    pub name: String,
    /// False: it is not loaded, and nothing can load it. True: it is loaded. One that is loaded
    /// now passes, whatever loaded it.
    pub loaded: bool,
}

/// Where we forbid modules (modprobe.d(5)).
const FORBIDDEN: &str = "/etc/modprobe.d/50-steadfast.conf";
/// Where we ask for them at boot (modules-load.d(5)).
const AT_BOOT: &str = "/etc/modules-load.d/50-steadfast.conf";

impl Kind for KernelModule {
    const NAME: &'static str = "kernel_module";
    const PHASE: Phase = Phase::Kernel;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.module(),
        }
    }

    fn probes(&self, _: &Answers) -> Vec<Probe> {
        let ours = self.ours();
        let mut probes = vec![Probe::Modules, Probe::file(ours.clone())];
        probes.extend(ours.parent().map(|path| Probe::Dir { path }));
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let modules = match seen.modules() {
            Seen::Known(modules) => modules,
            Seen::Absent => {
                return Judgement::NotApplicable("this kernel loads no modules".to_owned());
            }
            Seen::Unknown(reason) => return reason.into(),
            Seen::NotAsked => return Judgement::not_asked(),
        };
        if self.loaded {
            self.judge_loaded(modules, seen)
        } else {
            self.judge_forbidden(modules, seen)
        }
    }

    fn risk(&self) -> Risk {
        if self.loaded {
            Risk::None
        } else {
            Risk::Service
        }
    }

    fn check(&self) -> Result<(), String> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if !self.name.is_empty() && self.name.bytes().all(valid) && !self.name.starts_with('-') {
            Ok(())
        } else {
            Err(format!(
                "`{}` is not the name of a module",
                printable(self.name.as_bytes())
            ))
        }
    }
}

impl KernelModule {
    /// As the kernel writes it.
    fn module(&self) -> String {
        self.name.replace('-', "_")
    }

    fn ours(&self) -> HostPath {
        HostPath::literal(if self.loaded { AT_BOOT } else { FORBIDDEN })
    }

    fn judge_forbidden(&self, modules: &ModulesSeen, seen: &Answers) -> Judgement {
        let name = self.module();
        if modules.built_in.contains(&name) {
            return Judgement::drift(Drift {
                observed: "built into the kernel".to_owned(),
                wanted: "not loadable".to_owned(),
                by_hand: Some("only another kernel is without it".to_owned()),
                ..Drift::default()
            });
        }
        let is_loaded = modules.loaded.contains(&name);
        let install = install_line(modules, &name);
        let is_forbidden = install.is_some_and(forbids);
        let at: Vec<SourceLine> = install.map(place).into_iter().collect();
        match (is_loaded, is_forbidden, &modules.available) {
            (false, true, _) => {
                return Judgement::Compliant {
                    observed: "not loadable".to_owned(),
                    at,
                };
            }
            (false, false, Some(available)) if !available.contains(&name) => {
                return Judgement::compliant("not available");
            }
            (false, false, None) => {
                return Judgement::Unknown(Reason::Unavailable {
                    what: format!("kernel {} has no list of its modules here", modules.kernel),
                });
            }
            _ => {}
        }
        let mut drift = Drift {
            observed: if is_loaded { "loaded" } else { "loadable" }.to_owned(),
            wanted: "not loadable".to_owned(),
            at,
            ..Drift::default()
        };
        if !is_forbidden {
            match self.forbid(install, modules, seen) {
                Ok(edits) => drift.edits = edits,
                Err(why) => {
                    drift.by_hand = Some(why);
                    return Judgement::drift(drift);
                }
            }
        }
        if is_loaded {
            drift.edits.push(Edit::act(Effect::Module {
                name,
                loaded: false,
            }));
        }
        Judgement::drift(drift)
    }

    /// `install` keeps modprobe(8) from loading it by name, `blacklist` keeps devices from
    /// asking for it.
    fn forbid(
        &self,
        install: Option<&ModprobeLine>,
        modules: &ModulesSeen,
        seen: &Answers,
    ) -> Result<Vec<Edit>, String> {
        let name = self.module();
        // The first `install` of a module counts (kmod, libkmod-module.c), and it may do what
        // somebody needs: ours would be in vain, or in the way.
        if let Some(line) = install {
            let says = [&*line.command, &line.module, &line.rest].join(" ");
            return Err(format!(
                "{} says `{}`: change that line",
                place(line),
                printable(says.as_bytes())
            ));
        }
        let mut edits = self.make_directory(seen);
        edits.push(self.line(format!("install {name} /bin/false")));
        let is_blacklisted = modules
            .directives
            .iter()
            .any(|line| line.command == "blacklist" && line.module.replace('-', "_") == name);
        if !is_blacklisted {
            edits.push(self.line(format!("blacklist {name}")));
        }
        Ok(edits)
    }

    fn judge_loaded(&self, modules: &ModulesSeen, seen: &Answers) -> Judgement {
        let name = self.module();
        if modules.built_in.contains(&name) {
            return Judgement::compliant("built into the kernel");
        }
        if modules.loaded.contains(&name) {
            return Judgement::compliant("loaded");
        }
        if modules.of_tree {
            return Judgement::Unknown(Reason::Offline);
        }
        let mut drift = Drift {
            observed: "not loaded".to_owned(),
            wanted: "loaded".to_owned(),
            ..Drift::default()
        };
        // systemd-modules-load(8) obeys blacklists too.
        let blacklist = modules
            .directives
            .iter()
            .find(|line| line.command == "blacklist" && line.module.replace('-', "_") == name);
        let forbidden = install_line(modules, &name)
            .filter(|line| forbids(line))
            .or(blacklist);
        let is_missing = modules
            .available
            .as_ref()
            .is_some_and(|available| !available.contains(&name));
        if let Some(line) = forbidden {
            drift.at.push(place(line));
            drift.by_hand = Some(format!("{} forbids it: take that line out", place(line)));
        } else if is_missing {
            drift.by_hand = Some(format!("kernel {} has no such module", modules.kernel));
        } else {
            drift.edits = self.make_directory(seen);
            drift.edits.push(self.line(name.clone()));
            drift
                .edits
                .push(Edit::act(Effect::Module { name, loaded: true }));
        }
        Judgement::drift(drift)
    }

    fn make_directory(&self, seen: &Answers) -> Vec<Edit> {
        let directory = self.ours().parent();
        directory
            .filter(|directory| matches!(seen.dir(directory), Seen::Absent))
            .map(|path| {
                Edit::act(Effect::MakeDir {
                    path,
                    mode: Mode::new(0o755),
                    owner: None,
                    group: None,
                    as_user: None,
                })
            })
            .into_iter()
            .collect()
    }

    fn line(&self, line: String) -> Edit {
        Edit::Content {
            path: self.ours(),
            change: ContentEdit::Append(line),
            new_file: Some(NewFile::default()),
            as_user: None,
        }
    }
}

/// The `install` line that counts for a module: the first that matches.
fn install_line<'a>(modules: &'a ModulesSeen, name: &str) -> Option<&'a ModprobeLine> {
    modules.directives.iter().find(|line| {
        line.command == "install" && model::waiver::matches(&line.module.replace('-', "_"), name)
    })
}

/// Does loading run a program that does nothing?
fn forbids(line: &ModprobeLine) -> bool {
    matches!(
        line.rest.split_whitespace().next(),
        Some("/bin/false" | "/bin/true" | "/usr/bin/false" | "/usr/bin/true")
    )
}

fn place(line: &ModprobeLine) -> SourceLine {
    SourceLine::new(line.path.clone(), line.line)
}
