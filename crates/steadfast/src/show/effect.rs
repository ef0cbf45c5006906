//! One line for each thing that is done to a host: what it was, and what it becomes.

use model::count::{first_of, plural};
use model::effect::{PackageOp, PackageRemoval, PackageUpgrade};
use model::value::{Meta, Value};
use model::{AccountOp, Action, Answer, Effect, HostPath, Mode, Plan, Probe, UnitOp};

/// What the plan saw, looked up for "from … to …".
pub struct Seen<'a> {
    plan: Option<&'a Plan>,
}

impl<'a> Seen<'a> {
    pub const fn of(plan: &'a Plan) -> Self {
        Self { plan: Some(plan) }
    }

    /// Where nothing is known of what was there before.
    pub const fn nothing() -> Self {
        Self { plan: None }
    }

    fn values(&self) -> impl Iterator<Item = (&'a Probe, &'a Value)> {
        let premises = self.plan.map_or(&[][..], |plan| &plan.premises[..]);
        premises.iter().filter_map(
            |premise| match premise.seen.as_ref().map(|seen| &seen.answer) {
                Some(Answer::Known(value)) => Some((&premise.probe, value)),
                _ => None,
            },
        )
    }

    /// The metadata of a path before the change, where the plan rests on it.
    pub fn meta(&self, wanted: &HostPath) -> Option<&'a Meta> {
        self.values().find_map(|(probe, value)| {
            let path = match probe {
                Probe::File { path, .. }
                | Probe::FileDigest { path }
                | Probe::Meta { path }
                | Probe::Found { path } => path,
                Probe::Writers { .. } => wanted,
                _ => return None,
            };
            match value {
                Value::Writers(all) => all
                    .iter()
                    .find(|seen| seen.path == *wanted)
                    .map(|seen| &seen.meta),
                Value::File(file) if path == wanted => Some(&file.meta),
                Value::FileDigest { meta, .. } | Value::Meta(meta) if path == wanted => Some(meta),
                Value::Walk(walk) => walk
                    .hits
                    .iter()
                    .find(|hit| hit.path == *wanted)
                    .map(|hit| &hit.meta),
                _ => None,
            }
        })
    }

    fn sysctl(&self, wanted: &str) -> Option<&'a str> {
        self.values()
            .find_map(|(probe, value)| match (probe, value) {
                (Probe::Sysctl { key }, Value::Sysctl(value)) if key == wanted => {
                    Some(value.as_str())
                }
                _ => None,
            })
    }

    fn package(&self, wanted: &str) -> Option<&'a str> {
        self.values()
            .find_map(|(probe, value)| match (probe, value) {
                (Probe::Package { name }, Value::Package(package))
                    if name == wanted && package.installed =>
                {
                    Some(package.version.as_str())
                }
                _ => None,
            })
    }
}

/// May this action's content and values be shown?
pub fn is_secret(action: &Action) -> bool {
    action.is_secret()
}

/// What an effect does, in one line. `to` stands between an old value and a new one. The
/// text may hold bytes of the host: it is to be shown through `layout`.
pub fn describe(effect: &Effect, seen: &Seen<'_>, secret: bool, to: &str) -> String {
    match effect {
        Effect::PutFile { path, .. } => format!("write {path}"),
        Effect::MakeDir {
            path,
            mode,
            owner,
            group,
            ..
        } => {
            let mut text = format!("directory {path}, mode {mode}");
            if owner.is_some() || group.is_some() {
                text += &format!(", {}", ownership(owner.as_deref(), group.as_deref()));
            }
            text
        }
        Effect::Remove { path } => format!("remove {path}"),
        Effect::Link { path, .. } if secret => format!("link {path}"),
        Effect::Link { path, target } => {
            let target = model::printable(target.as_bytes());
            format!("link {path} {to} {target}")
        }
        Effect::SetMeta {
            path,
            mode,
            owner,
            group,
            drop_capabilities,
            drop_acl,
        } => {
            let mut changes = meta_changes(
                seen.meta(path),
                *mode,
                owner.as_deref(),
                group.as_deref(),
                *drop_capabilities,
                to,
            );
            if *drop_acl {
                changes.push("without its ACL".to_owned());
            }
            format!("{path}: {}", changes.join(", "))
        }
        Effect::Sysctl { key, .. } if secret => format!("sysctl {key}"),
        Effect::Sysctl { key, value } => match seen.sysctl(key) {
            Some(old) => format!("sysctl {key} {old} {to} {value}"),
            None => format!("sysctl {key} {to} {value}"),
        },
        Effect::Remount { path, options } => format!("remount {path} with {}", options.join(",")),
        Effect::Module { name, loaded: true } => format!("load the kernel module {name}"),
        Effect::Module { name, .. } => format!("unload the kernel module {name}"),
        Effect::Unit { name, op } => unit(name, *op),
        Effect::Account(op) => account(op, to),
        Effect::Package { name, op } => match (op, seen.package(name)) {
            (PackageOp::Remove, Some(old)) => format!("remove the package {name} {old}"),
            (PackageOp::Remove, None) => format!("remove the package {name}"),
            (PackageOp::Install { version: Some(new) }, Some(old)) => {
                format!("package {name} {old} {to} {new}")
            }
            (PackageOp::Install { version: Some(new) }, None) => {
                format!("install the package {name} {new}")
            }
            (PackageOp::Install { version: None }, Some(old)) => {
                format!("package {name} {old} {to} what the sources offer")
            }
            (PackageOp::Install { version: None }, None) => {
                format!("install the package {name}")
            }
        },
        Effect::Upgrade { unfinished, .. } if !unfinished.is_empty() => {
            format!(
                "finish what dpkg left unfinished: {}",
                unfinished.join(", ")
            )
        }
        Effect::Upgrade {
            packages,
            removals,
            named,
            ..
        } => upgrade(packages, removals, named, to),
        Effect::LoadAuditRules => "load the audit rules into the kernel".to_owned(),
        Effect::Run { argv, .. } if secret => {
            format!("run {}", argv.first().map_or("", String::as_str))
        }
        Effect::Run {
            argv,
            timeout_ms,
            user,
        } => format!(
            "run {}{} (for at most {} s)",
            argv.join(" "),
            user.as_ref()
                .map_or_else(String::new, |user| format!(" as {user}")),
            timeout_ms.div_ceil(1000)
        ),
    }
}

/// `upgrade openssl 3.0.15 → 3.0.17`, `install nginx, with 14 packages; remove nano 7.2`. What a
/// policy names is said first.
fn upgrade(
    packages: &[PackageUpgrade],
    removals: &[PackageRemoval],
    named: &[String],
    to: &str,
) -> String {
    let is_named = |package: &&PackageUpgrade| named.contains(&package.name);
    let removed = removals
        .iter()
        .map(|one| format!("remove {} {}", one.name, one.version));
    let mut said: Vec<String> = Vec::new();
    match packages {
        [] => {}
        packages if named.is_empty() => said.push(match packages {
            [package] => format!("upgrade {}", upgraded(package, to)),
            packages => {
                let names: Vec<String> = packages.iter().map(|one| one.name.clone()).collect();
                let number = plural(packages.len(), "package");
                format!("upgrade {number}: {}", first_of(&names, NAMED))
            }
        }),
        packages => {
            let named: Vec<String> = packages
                .iter()
                .filter(is_named)
                .map(|package| match &package.from {
                    Some(from) => format!("{} {from} {to} {}", package.name, package.to),
                    None => format!("{} {}", package.name, package.to),
                })
                .collect();
            let more = packages.len() - named.len();
            let with = match more {
                0 => String::new(),
                more => format!(", with {} that it needs", plural(more, "package")),
            };
            said.push(format!("install {}{with}", first_of(&named, NAMED)));
        }
    }
    said.extend(removed);
    said.join("; ")
}

/// Packages that are named where there are many.
const NAMED: usize = 4;

/// `openssl 3.0.15 → 3.0.17`, or a package that is new.
pub fn upgraded(package: &PackageUpgrade, to: &str) -> String {
    match &package.from {
        Some(from) => format!("{} {from} {to} {}", package.name, package.to),
        None => format!("{} {} (new)", package.name, package.to),
    }
}

/// `mode 0666 → 0644`, `owner ana → root`: what of the metadata changes.
pub fn meta_changes(
    old: Option<&Meta>,
    mode: Option<Mode>,
    owner: Option<&str>,
    group: Option<&str>,
    drop_capabilities: bool,
    to: &str,
) -> Vec<String> {
    let mut changes = Vec::new();
    if let Some(mode) = mode {
        match old {
            Some(old) if old.mode == mode => {}
            Some(old) => changes.push(format!("mode {} {to} {mode}", old.mode)),
            None => changes.push(format!("mode {mode}")),
        }
    }
    let old_owner = old.map(|old| old.owner.clone().unwrap_or_else(|| old.uid.to_string()));
    let old_group = old.map(|old| old.group.clone().unwrap_or_else(|| old.gid.to_string()));
    for (what, old, new) in [("owner", old_owner, owner), ("group", old_group, group)] {
        match (old, new) {
            (Some(old), Some(new)) if old != new => {
                changes.push(format!("{what} {old} {to} {new}"))
            }
            (None, Some(new)) => changes.push(format!("{what} {new}")),
            _ => {}
        }
    }
    if drop_capabilities {
        changes.push("without file capabilities".to_owned());
    }
    changes
}

fn ownership(owner: Option<&str>, group: Option<&str>) -> String {
    match (owner, group) {
        (Some(owner), Some(group)) => format!("{owner}:{group}"),
        (Some(owner), None) => format!("owner {owner}"),
        (None, Some(group)) => format!("group {group}"),
        (None, None) => String::new(),
    }
}

fn unit(name: &str, op: UnitOp) -> String {
    match op {
        UnitOp::Enable => format!("start {name} at boot"),
        UnitOp::Disable => format!("do not start {name} at boot"),
        UnitOp::Mask => format!("mask {name}, so that nothing can start it"),
        UnitOp::Unmask => format!("unmask {name}"),
        UnitOp::Start => format!("start {name}"),
        UnitOp::Stop => format!("stop {name}"),
        UnitOp::Reload => format!("reload {name}"),
        UnitOp::Restart => format!("restart {name}"),
        UnitOp::DaemonReload => format!("systemd reads its unit files again, for {name}"),
    }
}

fn account(op: &AccountOp, to: &str) -> String {
    match op {
        AccountOp::CreateUser {
            name,
            uid,
            group,
            home,
            shell,
            system,
            ..
        } => {
            let kind = if *system { "system account" } else { "account" };
            // Of the account's own name as well: that group may have been there, as `docker`.
            let group = group
                .as_ref()
                .map_or_else(String::new, |group| format!(", main group {group}"));
            let uid = uid.map_or_else(String::new, |uid| format!(", uid {uid}"));
            format!("create the {kind} {name}{uid}{group}, home {home}, shell {shell}")
        }
        AccountOp::RemoveUser { name } => format!("remove the account {name}"),
        AccountOp::CreateGroup { name, gid, .. } => {
            let gid = gid.map_or_else(String::new, |gid| format!(", gid {gid}"));
            format!("create the group {name}{gid}")
        }
        AccountOp::RemoveGroup { name } => format!("remove the group {name}"),
        AccountOp::SetShell { name, shell } => format!("shell of {name} {to} {shell}"),
        AccountOp::LockPassword { name } => format!("lock the password of {name}"),
        AccountOp::SetAgeing {
            name,
            min_days,
            max_days,
            warn_days,
            inactive_days,
        } => {
            let fields = [
                ("at least", min_days),
                ("at most", max_days),
                ("warned", warn_days),
                ("inactive after", inactive_days),
            ];
            let said: Vec<String> = fields
                .into_iter()
                .filter_map(|(what, days)| {
                    let unit = if *days.as_ref()? == 1 { "day" } else { "days" };
                    days.map(|days| format!("{what} {days} {unit}"))
                })
                .collect();
            format!("password age of {name}: {}", said.join(", "))
        }
        AccountOp::SetUid { name, uid } => format!("uid of {name} {to} {uid}"),
        AccountOp::AddMember { group, user } => format!("add {user} to the group {group}"),
        AccountOp::RemoveMember { group, user } => format!("take {user} out of the group {group}"),
    }
}
