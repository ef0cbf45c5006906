//! Carrying out effects, one at a time, exactly as they say. Nothing here decides whether
//! an effect should happen, and nothing here writes the journal.

pub mod account;
pub mod account_files;
pub mod bulk;
mod error;
pub mod file;
pub mod health;
pub mod held;
pub mod linker;
pub(crate) mod names;
pub mod package;
pub mod package_places;
pub mod place;
pub mod program;
pub mod reloaded;
#[doc(hidden)]
pub mod rights;
pub mod runtime;
pub(crate) mod together;
pub mod unit;
mod unit_log;
pub mod upgrade;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use model::{Action, Effect, HostPath, Inverse};

pub use error::{ActError, says_full};
pub use names::Names;
pub use place::{LastLink, Root};

use crate::crash::CrashPoints;
use crate::image::Images;
use crate::journal::Kept;

/// What an effect needs to be carried out.
#[derive(Debug)]
pub struct Context<'a> {
    pub root: &'a Root,
    pub images: &'a Images,
    /// The random part of this change's temporary names.
    pub token: &'a str,
    pub crash: &'a CrashPoints,
    temporary: AtomicU32,
    bulk: bulk::Bulk,
    held: held::Held,
}

impl<'a> Context<'a> {
    pub fn new(root: &'a Root, images: &'a Images, token: &'a str, crash: &'a CrashPoints) -> Self {
        Self {
            root,
            images,
            token,
            crash,
            temporary: AtomicU32::new(0),
            bulk: bulk::Bulk::default(),
            held: held::Held::default(),
        }
    }

    /// A leading dot keeps it out of the globs with which programs read their directories.
    pub(crate) fn temporary_prefix(&self) -> String {
        format!(".steadfast-{}-", self.token)
    }

    fn temporary_name(&self) -> String {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        format!("{}{number}", self.temporary_prefix())
    }
}

/// Carries out one effect.
pub fn act(context: &Context<'_>, effect: &Effect) -> Result<(), ActError> {
    needs_live(context, effect)?;
    match effect {
        Effect::Account(op) => account::act(context, op),
        Effect::Unit { name, op } => unit::act(name, *op),
        Effect::Sysctl { key, value } => runtime::set_sysctl(key, value),
        Effect::Remount { path, options } => runtime::remount(path, options),
        Effect::Module { name, loaded } => runtime::set_module(name, *loaded),
        Effect::LoadAuditRules => runtime::load_audit_rules(),
        Effect::Run {
            argv,
            timeout_ms,
            user,
        } => runtime::run(argv, *timeout_ms, user.as_deref()),
        Effect::Package { name, op } => package::act(name, op),
        Effect::Upgrade {
            packages,
            unfinished,
            removals,
            named,
            answers,
            limit_seconds,
            ..
        } => {
            let work = upgrade::Work {
                packages,
                removals,
                named,
                unfinished,
                answers,
            };
            upgrade::act(context, work, Duration::from_secs(*limit_seconds))
        }
        Effect::PutFile { .. }
        | Effect::MakeDir { .. }
        | Effect::Remove { .. }
        | Effect::Link { .. }
        | Effect::SetMeta { .. } => file::act(context, effect),
    }
}

/// Makes running programs notice what was put back.
pub fn act_again(context: &Context<'_>, effect: &Effect) -> Result<(), ActError> {
    match effect {
        Effect::LoadAuditRules => {
            needs_live(context, effect)?;
            runtime::load_audit_rules_that_were()
        }
        _ => act(context, effect),
    }
}

/// Account files are only files; everything else that is not a path changes the running host.
fn needs_live(context: &Context<'_>, effect: &Effect) -> Result<(), ActError> {
    if context.root.is_live() || matches!(effect, Effect::Account(_)) || effect.path().is_some() {
        return Ok(());
    }
    Err(ActError::Unsupported(
        "in a tree that is not the running host only files can be changed".to_owned(),
    ))
}

/// Is a link at the end of the effect's path followed?
pub(crate) const fn last_link(effect: &Effect) -> LastLink {
    match effect {
        Effect::PutFile { .. } => LastLink::Follow,
        _ => LastLink::Itself,
    }
}

/// The paths whose before-images make an action's way back, and how each is to be read.
pub fn touched(
    context: &Context<'_>,
    effect: &Effect,
) -> Result<Vec<(HostPath, LastLink)>, ActError> {
    needs_live(context, effect)?;
    match effect {
        Effect::PutFile { path, .. }
        | Effect::MakeDir { path, .. }
        | Effect::Remove { path }
        | Effect::Link { path, .. }
        | Effect::SetMeta { path, .. } => Ok(vec![(path.clone(), last_link(effect))]),
        Effect::Account(op) => account::touched(context.root, op),
        Effect::Unit { name, op } => unit::touched(context.root, name, *op),
        Effect::Package { name, op } => package::touched(context.root, name, op),
        Effect::Upgrade { writes, .. } => Ok(writes
            .iter()
            .map(|path| (path.clone(), LastLink::Itself))
            .collect()),
        Effect::LoadAuditRules => Ok(runtime::AUDIT_RULES
            .map(|path| (HostPath::literal(path), LastLink::Itself))
            .to_vec()),
        _ => Ok(Vec::new()),
    }
}

/// What is not a path and must be known to take the action back.
pub fn keep(context: &Context<'_>, action: &Action) -> Result<Kept, ActError> {
    if action.effect.is_activation() {
        return keep_activation(context, &action.effect);
    }
    // Whatever is promised of packages, what can be taken back of them is.
    if let Effect::Package { name, op } = &action.effect {
        return Ok(Kept::Packages(package::keep(context, name, op)?));
    }
    if let Inverse::Irreversible { why } = &action.inverse {
        return Ok(Kept::Irreversible { why: why.clone() });
    }
    match &action.effect {
        effect if effect.path().is_some() => Ok(Kept::Nothing),
        Effect::Sysctl { key, .. } => Ok(Kept::Sysctl {
            key: key.clone(),
            before: runtime::sysctl(key)?,
            others: BTreeMap::new(),
        }),
        Effect::Remount { path, .. } => Ok(Kept::Mount {
            path: path.clone(),
            before: runtime::mount_options(path)?,
            after: None,
        }),
        Effect::Module { name, .. } => Ok(Kept::Module {
            name: name.clone(),
            loaded: runtime::is_loaded(name)?,
        }),
        Effect::Unit { name, op } if unit::changes_activity(*op) => {
            // Also says where there is no systemd to ask.
            let active = unit::is_active(name)?;
            Ok(Kept::Unit {
                name: name.clone(),
                active: Some(active),
                failed: health::look_at(name)?.has_failed(),
                quiet_triggers: unit::quiet_triggers(name)?,
                others: BTreeMap::new(),
            })
        }
        Effect::Upgrade { .. } => Ok(Kept::Upgrade {
            since: Timestamp::now(),
            ran: match context.root.is_live() && unit::is_booted() {
                true => unit::running()?,
                false => Vec::new(),
            },
            boot: crate::apply::boot_id(),
            undone_since: None,
            stopped: None,
            ended: BTreeSet::new(),
            started: BTreeSet::new(),
        }),
        Effect::Unit { .. } | Effect::Account(_) => Ok(Kept::Nothing),
        _ => match &action.inverse {
            Inverse::Effect(effect) => {
                needs_live(context, effect)?;
                Ok(Kept::Effect(effect.clone()))
            }
            _ => Err(ActError::Unsupported(format!(
                "{} has no way back, and does not say that it can't be taken back",
                action.id
            ))),
        },
    }
}

/// Notes what the action may move along, as it is now: called right before the action, since what was
/// done between two looks would be taken for its own.
pub fn keep_around(kept: &mut Kept) -> Result<(), ActError> {
    match kept {
        Kept::Sysctl { key, others, .. } => *others = runtime::set_with(key),
        Kept::Unit { name, others, .. } => *others = together::around(name)?,
        _ => {}
    }
    Ok(())
}

/// Leaves of that what the action did move along, and notes what it made of a mount. What `owned` is of
/// is another action's of the same change, whichever of the two moved it.
pub fn narrow_around<'a>(
    kept: &mut Kept,
    owned: impl Iterator<Item = &'a Kept>,
) -> Result<(), ActError> {
    match kept {
        Kept::Sysctl { others, .. } => runtime::narrow(others),
        Kept::Unit { others, .. } => together::narrow(others)?,
        Kept::Mount { path, after, .. } => *after = Some(runtime::mount_options(path)?),
        _ => return Ok(()),
    }
    for owner in owned {
        disown(kept, owner);
    }
    Ok(())
}

/// What `owner` is of does not go back with this one. Did it?
pub fn disown(kept: &mut Kept, owner: &Kept) -> bool {
    match (kept, owner) {
        (Kept::Sysctl { others, .. }, Kept::Sysctl { key, .. }) => {
            let noted = others.len();
            others.retain(|name, _| !runtime::is_same_key(name, key));
            others.len() < noted
        }
        (Kept::Unit { others, .. }, Kept::Unit { name, .. }) => others.remove(name).is_some(),
        _ => false,
    }
}

/// How the same things are now, of which `kept` says how they were before `action`: what
/// brings them back after the action was taken back.
pub fn keep_again(context: &Context<'_>, action: &Action, kept: &Kept) -> Result<Kept, ActError> {
    Ok(match kept {
        Kept::Sysctl { key, others, .. } => Kept::Sysctl {
            key: key.clone(),
            before: runtime::sysctl(key)?,
            others: runtime::values(others.keys()),
        },
        Kept::Mount { path, .. } => Kept::Mount {
            path: path.clone(),
            before: runtime::mount_options(path)?,
            after: None,
        },
        Kept::Module { name, .. } => Kept::Module {
            name: name.clone(),
            loaded: runtime::is_loaded(name)?,
        },
        Kept::Unit {
            name,
            active,
            others,
            ..
        } => Kept::Unit {
            name: name.clone(),
            active: match active {
                Some(_) => Some(unit::is_active(name)?),
                None => None,
            },
            failed: health::look_at(name)?.has_failed(),
            quiet_triggers: unit::quiet_triggers(name)?,
            others: together::now(others.keys())?,
        },
        Kept::Told { .. } => keep_activation(context, &action.effect)?,
        Kept::Packages(before) => Kept::Packages(package::keep_again(context, before)?),
        // The way back of its way back is the effect itself.
        Kept::Effect(_) | Kept::Again(_) => Kept::Again(Box::new(action.effect.clone())),
        Kept::Upgrade { since, .. } => Kept::Upgrade {
            since: *since,
            // What runs now runs again: also what came with the packages.
            ran: match context.root.is_live() && unit::is_booted() {
                true => unit::running()?,
                false => Vec::new(),
            },
            boot: crate::apply::boot_id(),
            undone_since: None,
            stopped: None,
            ended: BTreeSet::new(),
            started: BTreeSet::new(),
        },
        Kept::Nothing | Kept::Unseen { .. } | Kept::Irreversible { .. } => kept.clone(),
    })
}

/// Whether the unit that is told ran before. One that did is brought up again on the way back.
fn keep_activation(context: &Context<'_>, effect: &Effect) -> Result<Kept, ActError> {
    match unit::told(effect) {
        Some(name) if context.root.is_live() && unit::is_booted() => Ok(Kept::Told {
            name: name.to_owned(),
            up: health::look_at(name)?.is_up(),
            boot: crate::apply::boot_id(),
        }),
        _ => Ok(Kept::Nothing),
    }
}

/// Puts back what was kept. Doing it twice changes nothing.
pub fn take_back(context: &Context<'_>, kept: &Kept) -> Result<(), ActError> {
    match kept {
        // Told again, and brought up, when everything else is back.
        Kept::Nothing | Kept::Unseen { .. } | Kept::Told { .. } | Kept::Upgrade { .. } => Ok(()),
        Kept::Sysctl {
            key,
            before,
            others,
        } => {
            // The way back sets others as well, also those that the way there left as they were.
            let mut all = runtime::set_with(key);
            all.extend(others.clone());
            runtime::set_sysctl(key, before)?;
            all.iter()
                .try_for_each(|(key, before)| runtime::set_sysctl(key, before))
        }
        Kept::Mount { path, before, .. } => runtime::remount(path, before),
        Kept::Module { name, loaded } => match runtime::is_loaded(name)? == *loaded {
            true => Ok(()),
            false => runtime::set_module(name, *loaded),
        },
        Kept::Unit {
            name,
            active,
            failed,
            quiet_triggers,
            others,
        } => {
            if *active == Some(false) {
                for trigger in quiet_triggers {
                    unit::set_active(trigger, false)?;
                }
            }
            match active {
                Some(active) if unit::is_active(name)? != *active => {
                    unit::set_active(name, *active)?;
                }
                _ => {}
            }
            if !failed && health::look_at(name)?.has_failed() {
                unit::forget_failure(name)?;
            }
            together::put_back(others)
        }
        Kept::Packages(before) => package::take_back(context, before),
        Kept::Effect(effect) | Kept::Again(effect) => act(context, effect),
        Kept::Irreversible { why } => {
            Err(ActError::Unsupported(format!("can't be taken back: {why}")))
        }
    }
}

/// Does what ran when it was kept run? After a restart of the machine systemd has started what it
/// should: what does not run then is no failure of the way back, and not as it was either.
fn runs_again(ran: bool, boot: Option<&str>, looked: impl FnOnce() -> bool) -> Option<bool> {
    let is_same_boot = boot == crate::apply::boot_id().as_deref();
    match (ran, unit::is_booted()) {
        (false, _) => Some(true),
        // Nobody can be asked.
        (true, false) => None,
        (true, true) => match looked() {
            false if !is_same_boot => None,
            is_up => Some(is_up),
        },
    }
}

/// Is it again as it was kept? None where there is no way to tell.
pub fn is_back(kept: &Kept) -> Option<bool> {
    match kept {
        Kept::Nothing => Some(true),
        // While the host boots, starting and stopping is only asked for.
        Kept::Told { .. } | Kept::Upgrade { .. } if unit::is_booting().unwrap_or(false) => None,
        Kept::Told { name, up, boot } => {
            let looked = || health::look_at(name).is_ok_and(|now| now.is_up());
            // What came with a package went with it.
            let is_gone = || unit::is_gone(name).unwrap_or(false);
            runs_again(*up, boot.as_deref(), || looked() || is_gone())
        }
        Kept::Upgrade { started, .. } if !started.is_empty() && !unit::is_booted() => None,
        Kept::Upgrade { started, .. }
            if !unit::up(started.iter()).is_ok_and(|up| up.is_empty()) =>
        {
            Some(false)
        }
        Kept::Upgrade { ran, boot, .. } => {
            let names: Vec<&str> = ran.iter().map(String::as_str).collect();
            let are_up = |seen: Vec<health::Seen>| seen.iter().all(|one| !one.has_ended());
            runs_again(!ran.is_empty(), boot.as_deref(), || {
                health::look(&names).is_ok_and(are_up)
            })
        }
        Kept::Sysctl {
            key,
            before,
            others,
        } => {
            let is_so = |(key, before): (&String, &String)| {
                runtime::sysctl(key).is_ok_and(|now| now == *before)
            };
            Some(is_so((key, before)) && others.iter().all(is_so))
        }
        Kept::Mount { path, before, .. } => {
            Some(runtime::mount_options(path).is_ok_and(|now| now == *before))
        }
        Kept::Module { name, loaded } => {
            Some(runtime::is_loaded(name).is_ok_and(|now| now == *loaded))
        }
        // While the host boots, starting and stopping is only asked for.
        Kept::Unit { .. } if unit::is_booting().unwrap_or(false) => None,
        Kept::Unit {
            name,
            active,
            others,
            ..
        } => match active.is_none_or(|active| unit::is_active(name).is_ok_and(|now| now == active))
        {
            true => together::are_back(others),
            false => Some(false),
        },
        Kept::Packages(before) => Some(package::is_back(before)),
        Kept::Effect(_) | Kept::Again(_) | Kept::Unseen { .. } => None,
        Kept::Irreversible { .. } => Some(false),
    }
}
