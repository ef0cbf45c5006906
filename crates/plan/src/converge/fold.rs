//! Folds the edits of all resources into steps: everything that happens to one path
//! becomes one effect, which names all that it serves.

use std::collections::BTreeMap;

use model::plan::{LineEdit, Validator, may_hold_secrets};
use model::value::Meta;
use model::{Blob, Effect, HostPath, Inverse, Mode, PackageOp, Risk, UnitOp};
use resource::kind::ways_to_root::WaysToRoot;
use resource::{Answers, ContentEdit, Edit, NewFile, Seen};

use super::{ConvergeError, Drifting};
use crate::stages::Brought;

/// An action without its place in the order.
pub(super) struct Step {
    pub serves: Vec<String>,
    pub effect: Effect,
    pub inverse: Inverse,
    pub rests_on: Vec<u32>,
    pub risk: Risk,
    /// What makes it so, where that is the thing that is touched.
    pub risk_why: Option<String>,
    pub validate: Option<Validator>,
    pub sensitive: bool,
    /// What changes in a file that is not written as a whole.
    pub edit: Option<LineEdit>,
    /// Activations that this step asks for, by their place in the list of steps.
    pub activates: Vec<usize>,
}

/// What makes running programs notice, and the steps that ask for it.
struct Activation {
    effect: Effect,
    askers: Vec<usize>,
    serves: Vec<String>,
    risk: Risk,
    secret: bool,
}

/// What is known of one path while edits are folded into it.
struct Folding {
    /// The step's place.
    at: usize,
    content: Option<Vec<u8>>,
    /// The content before the first change.
    before: Option<Vec<u8>>,
    exists: bool,
    new_file: Option<NewFile>,
    as_user: Option<String>,
    mode: Option<Mode>,
    owner: Option<String>,
    group: Option<String>,
    drop_capabilities: bool,
    drop_acl: bool,
    content_changed: bool,
    /// The changes that were folded in, and what they serve: two rules may want the very same
    /// one.
    changes: Vec<(ContentEdit, String)>,
    last_writer: String,
}

impl Folding {
    /// The lines that go and come, where what is there is edited and not replaced.
    fn lines(&self) -> Option<LineEdit> {
        let is_whole =
            |(change, _): &(ContentEdit, String)| matches!(change, ContentEdit::Whole(_));
        if self.changes.iter().any(is_whole) {
            return None;
        }
        super::lines::between(self.before.as_deref()?, self.content.as_deref()?)
    }

    /// Whose change no longer holds in `after`, which `change` of `serves` has made.
    fn undone_by(&self, change: &ContentEdit, after: &[u8], serves: &str) -> Option<&str> {
        // A whole file is made once, and lines of it may go on from there: two kinds give files
        // to apt in that way. Whether both hold, the second observation says.
        let goes_on =
            |made: &ContentEdit| matches!(made, ContentEdit::Whole(_)) && change.is_about_lines();
        self.changes
            .iter()
            .filter(|(made, by)| by != serves && !goes_on(made))
            .find(|(made, _)| made.holds_in(after) == Some(false))
            .map(|(_, by)| by.as_str())
    }
}

/// The steps, in the order of `drifted`, activations last. After packages each says which lines of
/// a file it changes.
pub(super) fn fold(
    drifted: Vec<Drifting>,
    seen: &Answers,
    brought: Option<&Brought>,
) -> Result<Vec<Step>, ConvergeError> {
    let mut folder = Folder {
        seen,
        with_lines: brought.is_some(),
        steps: Vec::new(),
        paths: BTreeMap::new(),
        acts: BTreeMap::new(),
    };
    let mut activations: Vec<Activation> = Vec::new();
    let mut places_of: BTreeMap<ActKey, usize> = BTreeMap::new();
    for item in drifted {
        for drift in &item.drifts {
            let mut places = Vec::new();
            for edit in &drift.edits {
                if let Some(place) = folder.edit(edit, &item)? {
                    places.push(place);
                }
            }
            for effect in &drift.activate {
                let effect = &as_told(effect, brought, seen);
                match places_of.get(&act_key(effect)) {
                    Some(place) => {
                        let known = &mut activations[*place];
                        known.askers.extend(&places);
                        known.serves.push(item.serves.clone());
                        known.risk = item.risk.max(known.risk);
                        known.secret |= item.secret;
                    }
                    None => {
                        places_of.insert(act_key(effect), activations.len());
                        activations.push(Activation {
                            effect: effect.clone(),
                            askers: places.clone(),
                            serves: vec![item.serves.clone()],
                            risk: item.risk,
                            secret: item.secret,
                        });
                    }
                }
            }
        }
    }
    folder.finish_paths();
    let mut steps = folder.steps;
    // systemd has to read unit files before it restarts what they describe.
    activations.sort_by_key(|activation| activation_rank(&activation.effect));
    for activation in activations {
        let effect = activation.effect;
        let place = steps.len();
        for asker in activation.askers {
            steps[asker].activates.push(place);
        }
        steps.push(Step {
            serves: distinct(activation.serves),
            inverse: default_inverse(&effect, seen),
            validate: validator_of_unit(&effect),
            effect,
            rests_on: Vec::new(),
            risk: activation.risk,
            risk_why: None,
            sensitive: activation.secret,
            edit: None,
            activates: Vec::new(),
        });
    }
    let (ways, _) = WaysToRoot::read(seen);
    for step in &mut steps {
        // The worse of what is declared and of what the thing itself brings with it.
        if let Some(touched) = crate::risk::of_one(&step.effect, seen, &ways)
            && touched.risk >= step.risk
        {
            step.risk = touched.risk;
            step.risk_why = Some(touched.why);
        }
        step.serves = distinct(std::mem::take(&mut step.serves));
        step.rests_on.sort_unstable();
        step.rests_on.dedup();
        step.activates.sort_unstable();
        step.activates.dedup();
    }
    Ok(steps)
}

/// Nobody rests yet on a unit that packages bring. It may run by then, with the package's own
/// configuration, and not all of that is read again by a reload: it is restarted.
fn as_told(effect: &Effect, brought: Option<&Brought>, seen: &Answers) -> Effect {
    match effect {
        Effect::Unit {
            name,
            op: UnitOp::Reload,
        } if brought.is_some_and(|brought| brought.has_unit(name, seen)) => Effect::Unit {
            name: name.clone(),
            op: UnitOp::Restart,
        },
        _ => effect.clone(),
    }
}

struct Folder<'a> {
    seen: &'a Answers,
    with_lines: bool,
    steps: Vec<Step>,
    paths: BTreeMap<HostPath, Folding>,
    /// The steps that are acts: a role may have a hundred thousand.
    acts: BTreeMap<ActKey, Vec<usize>>,
}

/// What acts are looked up by: their path, or all of them where they have none.
type ActKey = (Option<HostPath>, String);

fn act_key(effect: &Effect) -> ActKey {
    match effect.path() {
        Some(path) => (Some(path.clone()), String::new()),
        None => (None, format!("{effect:?}")),
    }
}

impl Folder<'_> {
    /// The place of the step that carries this edit; none when there is nothing left to do.
    fn edit(&mut self, edit: &Edit, item: &Drifting) -> Result<Option<usize>, ConvergeError> {
        match edit {
            Edit::Content {
                path,
                change,
                new_file,
                as_user,
            } => {
                let place = self.path(path, item);
                let folding = self.folding(path);
                if folding.changes.iter().any(|(made, _)| made == change) {
                    return Ok(Some(place));
                }
                let after = match (change, folding.content_changed) {
                    // Two whole contents for one path agree or contradict each other.
                    (ContentEdit::Whole(content), true)
                        if folding.content.as_deref() != Some(content.as_bytes()) =>
                    {
                        return Err(ConvergeError::Contradiction {
                            path: path.clone(),
                            first: folding.last_writer.clone(),
                            second: item.serves.clone(),
                            why: "each gives the content".to_owned(),
                        });
                    }
                    _ => change.apply(folding.content.as_deref()),
                };
                match after {
                    Ok(after) => {
                        if let Some(first) = folding.undone_by(change, &after, &item.serves) {
                            return Err(ConvergeError::Contradiction {
                                path: path.clone(),
                                first: first.to_owned(),
                                second: item.serves.clone(),
                                why: "each changes what the other has set".to_owned(),
                            });
                        }
                        let before = folding.content.replace(after);
                        if !folding.content_changed {
                            folding.before = before;
                        }
                    }
                    // Someone else's edit of this very line is what we wanted, or
                    // contradicts us; the second observation after the apply tells.
                    Err(why) => {
                        return Err(ConvergeError::Contradiction {
                            path: path.clone(),
                            first: folding.last_writer.clone(),
                            second: item.serves.clone(),
                            why: why.to_string(),
                        });
                    }
                }
                folding.content_changed = true;
                folding.changes.push((change.clone(), item.serves.clone()));
                folding.last_writer.clone_from(&item.serves);
                if folding.new_file.is_none() {
                    folding.new_file.clone_from(new_file);
                }
                if folding.as_user.is_none() {
                    folding.as_user.clone_from(as_user);
                }
                Ok(Some(place))
            }
            Edit::Meta {
                path,
                mode,
                owner,
                group,
                drop_capabilities,
                drop_acl,
            } => {
                let place = self.path(path, item);
                let folding = self.folding(path);
                for (have, want) in [(&mut folding.owner, owner), (&mut folding.group, group)] {
                    if let Some(want) = want {
                        if have.as_ref().is_some_and(|have| have != want) {
                            return Err(ConvergeError::Contradiction {
                                path: path.clone(),
                                first: folding.last_writer.clone(),
                                second: item.serves.clone(),
                                why: format!(
                                    "`{want}` is not `{}`",
                                    have.as_deref().unwrap_or_default()
                                ),
                            });
                        }
                        *have = Some(want.clone());
                    }
                }
                // Of two modes, the one that grants less: both wants hold then, or the
                // second observation says which does not.
                folding.mode = match (folding.mode, mode) {
                    (Some(have), Some(want)) => Some(Mode::new(have.bits() & want.bits())),
                    (have, want) => have.or(*want),
                };
                folding.drop_capabilities |= drop_capabilities;
                folding.drop_acl |= drop_acl;
                folding.last_writer.clone_from(&item.serves);
                Ok(Some(place))
            }
            Edit::Act { effect, inverse } => {
                if let Some(place) = self.remounted(effect) {
                    self.join(place, item);
                    return Ok(Some(place));
                }
                if let Some(place) = self.same(effect) {
                    self.join(place, item);
                    return Ok(Some(place));
                }
                let inverse = inverse
                    .clone()
                    .unwrap_or_else(|| default_inverse(effect, self.seen));
                let validate = effect.path().and_then(validator);
                let acts = self.acts.entry(act_key(effect)).or_default();
                acts.push(self.steps.len());
                self.steps.push(Step {
                    serves: vec![item.serves.clone()],
                    effect: effect.clone(),
                    inverse,
                    rests_on: item.rests_on.clone(),
                    risk: item.risk,
                    risk_why: item.risk_why.map(str::to_owned),
                    validate,
                    sensitive: item.secret || effect.path().is_some_and(may_hold_secrets),
                    edit: None,
                    activates: Vec::new(),
                });
                Ok(Some(self.steps.len() - 1))
            }
        }
    }

    /// The step that does just this.
    fn same(&self, effect: &Effect) -> Option<usize> {
        let acts = self.acts.get(&act_key(effect))?;
        acts.iter()
            .copied()
            .find(|place| &self.steps[*place].effect == effect)
    }

    /// The step that remounts the same file system, which now sets these options too.
    fn remounted(&mut self, effect: &Effect) -> Option<usize> {
        let Effect::Remount { path, options } = effect else {
            return None;
        };
        self.steps
            .iter_mut()
            .position(|step| match &mut step.effect {
                Effect::Remount {
                    path: same,
                    options: have,
                } if same == path => {
                    *have = resource::mount::with(have, options);
                    true
                }
                _ => false,
            })
    }

    fn folding(&mut self, path: &HostPath) -> &mut Folding {
        self.paths
            .get_mut(path)
            .expect("`path` is called first, and makes the entry")
    }

    fn join(&mut self, place: usize, item: &Drifting) {
        let step = &mut self.steps[place];
        step.serves.push(item.serves.clone());
        step.rests_on.extend(&item.rests_on);
        step.risk = step.risk.max(item.risk);
        if let Some(why) = item.risk_why {
            step.risk_why.get_or_insert_with(|| why.to_owned());
        }
        step.sensitive |= item.secret;
    }

    /// The step of this path, made with a stand-in effect when it is the first.
    fn path(&mut self, path: &HostPath, item: &Drifting) -> usize {
        if let Some(folding) = self.paths.get(path) {
            let place = folding.at;
            self.join(place, item);
            return place;
        }
        let (content, exists) = match self.seen.file(path) {
            Seen::Known(file) => (Some(file.content.as_bytes().to_vec()), true),
            _ => (None, self.meta(path).is_some()),
        };
        let at = self.steps.len();
        self.paths.insert(
            path.clone(),
            Folding {
                at,
                content,
                before: None,
                exists,
                new_file: None,
                as_user: None,
                mode: None,
                owner: None,
                group: None,
                drop_capabilities: false,
                drop_acl: false,
                content_changed: false,
                changes: Vec::new(),
                last_writer: item.serves.clone(),
            },
        );
        self.steps.push(Step {
            serves: vec![item.serves.clone()],
            effect: Effect::Remove { path: path.clone() },
            inverse: Inverse::Restore,
            rests_on: item.rests_on.clone(),
            risk: item.risk,
            risk_why: item.risk_why.map(str::to_owned),
            validate: validator(path),
            sensitive: item.secret || may_hold_secrets(path),
            edit: None,
            activates: Vec::new(),
        });
        at
    }

    fn meta(&self, path: &HostPath) -> Option<&Meta> {
        match self.seen.file(path) {
            Seen::Known(file) => Some(&file.meta),
            _ => self.seen.meta(path).known(),
        }
    }

    /// Turns what was folded into the final effect of each path's step.
    fn finish_paths(&mut self) {
        for (path, folding) in std::mem::take(&mut self.paths) {
            if self.with_lines && folding.content_changed {
                self.steps[folding.at].edit = folding.lines();
            }
            let effect = if folding.content_changed {
                let new_file = if folding.exists {
                    None
                } else {
                    Some(folding.new_file.unwrap_or_default())
                };
                Effect::PutFile {
                    path,
                    content: Blob::from(folding.content.unwrap_or_default()),
                    mode: folding.mode.or(new_file.as_ref().map(|new| new.mode)),
                    owner: folding
                        .owner
                        .or(new_file.as_ref().map(|new| new.owner.clone())),
                    group: folding.group.or(new_file.map(|new| new.group)),
                    as_user: folding.as_user,
                    drop_acl: folding.drop_acl,
                }
            } else {
                Effect::SetMeta {
                    path,
                    mode: folding.mode,
                    owner: folding.owner,
                    group: folding.group,
                    drop_capabilities: folding.drop_capabilities,
                    drop_acl: folding.drop_acl,
                }
            };
            self.steps[folding.at].effect = effect;
        }
    }
}

fn distinct(mut names: Vec<String>) -> Vec<String> {
    let mut seen = Vec::new();
    names.retain(|name| {
        let is_new = !seen.contains(name);
        if is_new {
            seen.push(name.clone());
        }
        is_new
    });
    names
}

fn activation_rank(effect: &Effect) -> u8 {
    match effect {
        Effect::Unit {
            op: UnitOp::DaemonReload,
            ..
        } => 0,
        Effect::LoadAuditRules => 1,
        _ => 2,
    }
}

/// The program that must accept a changed file, by where the file lies.
fn validator(path: &HostPath) -> Option<Validator> {
    const PROGRAMS: [(&str, Validator); 14] = [
        ("/etc/ssh/sshd_config", Validator::Sshd),
        ("/etc/ssh/sshd_config.d", Validator::Sshd),
        ("/etc/sudoers", Validator::Sudoers),
        ("/etc/sudoers.d", Validator::Sudoers),
        ("/etc/nginx", Validator::Nginx),
        ("/etc/systemd/system", Validator::SystemdUnit),
        ("/etc/apt/sources.list.d", Validator::AptSources),
        ("/etc/nftables.conf", Validator::Nftables),
        ("/etc/nftables.d", Validator::Nftables),
        ("/etc/logrotate.conf", Validator::Logrotate),
        ("/etc/logrotate.d", Validator::Logrotate),
        ("/etc/crontab", Validator::Cron),
        ("/etc/cron.d", Validator::Cron),
        ("/etc/fstab", Validator::Fstab),
    ];
    PROGRAMS
        .into_iter()
        .find_map(|(top, validator)| path.is_within(&HostPath::literal(top)).then_some(validator))
}

/// The program that must accept the configuration before a unit is told to read it: a file that
/// it includes may lie anywhere.
pub(crate) fn validator_of_unit(effect: &Effect) -> Option<Validator> {
    match effect {
        Effect::Unit {
            name,
            op: UnitOp::Reload | UnitOp::Restart | UnitOp::Start,
        } => match name.as_str() {
            "ssh.service" | "sshd.service" => Some(Validator::Sshd),
            "nginx.service" => Some(Validator::Nginx),
            "nftables.service" => Some(Validator::Nftables),
            _ => None,
        },
        _ => None,
    }
}

/// The inverse of an effect, from what was observed.
fn default_inverse(effect: &Effect, seen: &Answers) -> Inverse {
    let instead = |effect| Inverse::Effect(Box::new(effect));
    match effect {
        Effect::Upgrade { .. }
        | Effect::PutFile { .. }
        | Effect::MakeDir { .. }
        | Effect::Remove { .. }
        | Effect::Link { .. }
        | Effect::SetMeta { .. }
        | Effect::Account(_) => Inverse::Restore,
        Effect::Sysctl { key, .. } => match seen.sysctl(key) {
            Seen::Known(value) => instead(Effect::Sysctl {
                key: key.clone(),
                value: value.trim_end().to_owned(),
            }),
            _ => Inverse::Irreversible {
                why: format!("the running value of `{key}` is unknown"),
            },
        },
        Effect::Remount { path, .. } => match seen.mounts() {
            Seen::Known(mounts) => mounts
                .mounted
                .iter()
                .rev()
                .find(|mount| &mount.path == path)
                .map_or_else(
                    || Inverse::Irreversible {
                        why: format!("{path} is not a mount"),
                    },
                    |mount| {
                        instead(Effect::Remount {
                            path: path.clone(),
                            options: mount.options.clone(),
                        })
                    },
                ),
            _ => Inverse::Irreversible {
                why: format!("the options of {path} are unknown"),
            },
        },
        Effect::Module { name, loaded } => instead(Effect::Module {
            name: name.clone(),
            loaded: !loaded,
        }),
        Effect::Unit { name, op } => match op {
            // Links below /etc/systemd/system, which the host puts back as they were.
            UnitOp::Enable | UnitOp::Disable | UnitOp::Mask | UnitOp::Unmask => Inverse::Restore,
            UnitOp::Start => instead(Effect::Unit {
                name: name.clone(),
                op: UnitOp::Stop,
            }),
            UnitOp::Stop => instead(Effect::Unit {
                name: name.clone(),
                op: UnitOp::Start,
            }),
            UnitOp::Reload | UnitOp::Restart | UnitOp::DaemonReload => Inverse::Repeat,
        },
        Effect::LoadAuditRules => Inverse::Repeat,
        Effect::Package { name, op } => match op {
            PackageOp::Install { .. } => match seen.package(name) {
                Seen::Known(package) if package.installed => instead(Effect::Package {
                    name: name.clone(),
                    op: PackageOp::Install {
                        version: Some(package.version.clone()),
                    },
                }),
                _ => instead(Effect::Package {
                    name: name.clone(),
                    op: PackageOp::Remove,
                }),
            },
            PackageOp::Remove => match seen.package(name) {
                Seen::Known(package) => instead(Effect::Package {
                    name: name.clone(),
                    op: PackageOp::Install {
                        version: Some(package.version.clone()),
                    },
                }),
                _ => Inverse::Irreversible {
                    why: format!("the installed version of `{name}` is unknown"),
                },
            },
        },
        Effect::Run { argv, .. } => Inverse::Irreversible {
            why: format!(
                "`{}` declares no way back",
                model::printable(argv.first().map_or("", String::as_str).as_bytes())
            ),
        },
    }
}
