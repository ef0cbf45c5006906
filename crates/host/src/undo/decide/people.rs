//! People: what they rest on is not taken from under them, and an account that the change made is one
//! thing in all the files that name it.

use std::collections::{BTreeMap, BTreeSet};

use model::{ActionId, HostPath};

use super::super::accounts::{self, Stay};
use super::super::path::{Verdict, difference};
use super::super::{Obstacle, UndoError, upgraded};
use super::{Deciding, of_the_moment};
use crate::act::{LastLink, account, unit};
use crate::image::Node;
use crate::journal::{Imaged, Role};
use crate::records::accounts::{
    homes, made, members, named, numbers, shells, taken, without_main_groups,
};
use crate::records::entries::Three;
use crate::records::{Shared, shared};
use crate::state::ChangeRecord;
use crate::take_back::goes_to_rest;

/// A file of accounts that others have changed since.
pub(super) fn is_by_entry(image: &Imaged, after: &Node, current: &Node) -> bool {
    let is_file = |node: &Node| matches!(node, Node::File { .. });
    account::is_of_accounts(&image.path)
        && [&image.before, after, current].into_iter().all(is_file)
        && !current.same_as(after)
        && !current.same_as(&image.before)
}

impl Deciding<'_> {
    /// Accounts that actions of the change made, and that are somebody's by now: half of one is none.
    pub(super) fn settle_people(
        &mut self,
        record: &ChangeRecord,
        standing: &BTreeSet<ActionId>,
    ) -> Result<(), UndoError> {
        // Those of packages are told apart by entry.
        let is_ours = |image: &&Imaged| {
            image.role == Role::Touched
                && !image.actions.is_disjoint(standing)
                && image.actions.is_disjoint(self.upgrades)
        };
        let images = record.images.iter().filter(is_ours);
        let files: Vec<&Imaged> = images
            .clone()
            .filter(|image| account::is_of_accounts(&image.path))
            .collect();
        // Most changes have none, and nothing is asked for their sake.
        if files.is_empty() {
            return Ok(());
        }
        let contents = |path| upgraded::contents(self.context, files.iter().copied(), path);
        let (passwd, shadow) = (contents("/etc/passwd")?, contents("/etc/shadow")?);
        let (group, gshadow) = (contents("/etc/group")?, contents("/etc/gshadow")?);
        let names: BTreeSet<String> = made(Three::of(&passwd)).into_keys().collect();
        let goes: BTreeSet<&HostPath> = images
            .filter(|image| image.before == Node::Absent)
            .map(|image| &image.path)
            .collect();
        // What runs, and whose files lie elsewhere, is the running host's.
        let mut stay = match self.context.root.is_live() {
            true => {
                // What the undo stops runs as it until then.
                let new = record.images.iter();
                let new = new.filter(|image| image.before == Node::Absent);
                let new = new.map(|image| image.path.clone()).collect();
                let units = unit::of_files(&new)?.into_iter().map(|unit| unit.name);
                let rest = goes_to_rest(record.actions.iter()).into_iter();
                let stops = units.chain(rest.map(str::to_owned)).collect();
                accounts::stay(
                    Three::of(&passwd),
                    Three::of(&group),
                    &|path: &HostPath| goes.contains(path) || of_the_moment(path),
                    &stops,
                )?
            }
            false => Stay::default(),
        };
        for name in &names {
            for (file, texts) in [("/etc/passwd", &passwd), ("/etc/shadow", &shadow)] {
                let three = Three::of(texts);
                if named(three.left, name) != named(three.now, name) {
                    let why = format!("its entry in {file} was changed since");
                    stay.users.entry(name.clone()).or_insert(why);
                }
            }
            for texts in [&group, &gshadow] {
                let three = Three::of(texts);
                let now = members(three.now, name);
                if let Some(of) = now.difference(&members(three.left, name)).next() {
                    let why = format!("it was made a member of {of} since");
                    stay.users.entry(name.clone()).or_insert(why);
                }
            }
        }
        stay.users.extend(taken(Three::of(&passwd)));
        stay.groups.extend(taken(Three::of(&group)));
        let whose = [("account", &stay.users), ("group", &stay.groups)];
        let whys: Vec<(String, String)> = whose
            .into_iter()
            .flat_map(|(what, of)| {
                of.iter()
                    .map(move |(name, why)| (format!("{what} {name}"), why.clone()))
            })
            .collect();
        if whys.is_empty() {
            return self.settle_by_entry(&files, &stay);
        }
        if !self.choice.keep_theirs {
            let obstacles = whys.into_iter().map(|(what, why)| Obstacle {
                what,
                why: format!("it is somebody's by now: {why}"),
                difference: None,
            });
            self.obstacles.extend(obstacles);
            return Ok(());
        }
        let (of_removed, of_left) = (homes(&passwd[0]), homes(&passwd[1]));
        let homes = of_removed.into_iter().chain(of_left);
        let homes: BTreeMap<String, String> = homes.collect();
        let homes: Vec<HostPath> = stay
            .users
            .keys()
            .filter_map(|name| HostPath::from_bytes(homes.get(name)?.as_bytes()).ok())
            .collect();
        let of_files: BTreeSet<&HostPath> = files.iter().map(|image| &image.path).collect();
        for (path, way) in &mut self.ways {
            if homes.iter().any(|home| path.is_within(home)) {
                way.verdict = Verdict::Leave;
                self.decided.held.insert(path.clone());
            }
            // What holds no entries is a copy of what was before.
            if of_files.contains(path) && !matches!(shared(path), Some(Shared::Entries(_))) {
                way.verdict = Verdict::Leave;
            }
        }
        self.settle_by_entry(&files, &stay)?;
        let told = whys.into_iter().map(|(what, why)| format!("{what}: {why}"));
        self.decided.stays.extend(told);
        Ok(())
    }

    /// What others changed in the files meanwhile stays, entry by entry and member by member, and whoever
    /// is somebody's by now, in the groups into which the change put them where somebody asked for it.
    /// By itself a change that nobody confirmed leaves nobody such a right.
    fn settle_by_entry(&mut self, files: &[&Imaged], stay: &Stay) -> Result<(), UndoError> {
        let blocked = |deciding: &Self, image: &Imaged, current: &Node, why: &str| {
            let after = image.after.as_ref().unwrap_or(&image.before);
            Verdict::Blocked(Obstacle {
                what: image.path.to_string(),
                why: why.to_owned(),
                difference: difference(deciding.context.images, image, after, current),
            })
        };
        let stay_in: BTreeSet<String> = match self.choice.by_itself {
            true => BTreeSet::new(),
            false => stay.users.keys().cloned().collect(),
        };
        let passwd = HostPath::literal("/etc/passwd");
        for image in files {
            let Some(Shared::Entries(form)) = shared(&image.path) else {
                continue;
            };
            let after = image.after.as_ref().unwrap_or(&image.before);
            let Some(way) = self.ways.get(&image.path) else {
                continue;
            };
            let current = way.current.clone();
            let is_there = matches!(current, Node::File { .. });
            if !(is_by_entry(image, after, &current) || is_there && !stay.is_empty()) {
                continue;
            }
            let merged = upgraded::entries_without(
                self.context,
                image,
                form,
                &upgraded::Staying {
                    entries: &|entry| stay.holds(&image.path, entry).unwrap_or_default(),
                    in_groups: &stay_in,
                },
                &current,
                self.choice.keep_theirs,
            );
            let verdict = match merged {
                Ok(Some((merged, theirs))) => {
                    let merged = match self.choice.by_itself && image.path == passwd {
                        true => self.without_main_groups(files, merged)?,
                        false => merged,
                    };
                    let verdict = self.entries_become(image, after, &current, &merged)?;
                    self.keep_entries(image, theirs);
                    if !stay.is_empty() {
                        self.decided.held.insert(image.path.clone());
                    }
                    verdict
                }
                Ok(None) => blocked(self, image, &current, "its content was not kept"),
                Err(clash) => blocked(self, image, &current, &clash),
            };
            if let Some(way) = self.ways.get_mut(&image.path) {
                way.verdict = verdict;
            }
        }
        Ok(())
    }

    /// A main group is a membership as any other. What `/etc/passwd` becomes, without those that the
    /// change gave.
    fn without_main_groups(
        &mut self,
        files: &[&Imaged],
        merged: Vec<u8>,
    ) -> Result<Vec<u8>, UndoError> {
        const GROUP_BYTES: u64 = 64 << 20;
        let contents = |path| upgraded::contents(self.context, files.iter().copied(), path);
        let path = HostPath::literal("/etc/group");
        let group = match files.iter().any(|image| image.path == path) {
            true => contents("/etc/group")?[0].clone(),
            // The change made none.
            false => self
                .context
                .root
                .read(&path, GROUP_BYTES)?
                .unwrap_or_default(),
        };
        let passwd = contents("/etc/passwd")?;
        let groups = numbers(&group).into_values().collect();
        let (merged, taken) = without_main_groups(Three::of(&passwd), &groups, &merged);
        let told = taken.into_iter().map(|name| {
            format!("account {name}: the main group that the change gave it is taken from it")
        });
        self.decided.stays.extend(told);
        Ok(merged)
    }

    /// Entries that stay as others have them by now are named.
    pub(super) fn keep_entries(&mut self, image: &Imaged, theirs: BTreeSet<String>) {
        let told = theirs.into_iter().map(|entry| {
            format!(
                "{}: `{entry}`, which someone else changed since",
                image.path
            )
        });
        self.decided.stays.extend(told);
    }

    /// Where people have come to rest on what goes: their login shell, or a module that a sign-in
    /// passes through.
    pub(super) fn refuse_lock_outs(
        &mut self,
        record: &ChangeRecord,
        goes: &BTreeSet<HostPath>,
        stay: &Stay,
    ) -> Result<(), UndoError> {
        const PASSWD_BYTES: u64 = 64 << 20;
        let gone: BTreeSet<&HostPath> = record
            .images
            .iter()
            .filter(|image| image.before == Node::Absent && goes.contains(&image.path))
            .map(|image| &image.path)
            .collect();
        let passwd = HostPath::literal("/etc/passwd");
        let now = self.context.root.read(&passwd, PASSWD_BYTES)?;
        let mut needed = Vec::new();
        for (name, shell) in shells(&now.unwrap_or_default()) {
            let Ok(path) = HostPath::from_bytes(shell.as_bytes()) else {
                continue;
            };
            let real = self.context.root.find(&path, LastLink::Follow);
            let leads = real.map_or_else(|_| path.clone(), |place| place.path);
            let is_gone = gone.contains(&path) || gone.contains(&leads);
            // An account of the change's goes with its shell.
            let stays = || stay.users.contains_key(&name) || !self.is_made(record, &name);
            if is_gone && stays() && self.choice.by_itself {
                let why = format!("it is the login shell of account {name}: chsh gives it another");
                needed.extend([(path, why.clone()), (leads, why)]);
            } else if is_gone && stays() {
                self.obstacles.push(Obstacle {
                    what: format!("account {name}"),
                    why: format!("its login shell is `{path}`, which goes: chsh gives it another"),
                    difference: None,
                });
            }
        }
        self.refuse_missing_modules(&gone, &mut needed)?;
        for (path, why) in needed {
            self.leave_needed(&path, &why);
        }
        Ok(())
    }

    /// Nobody is asked, and nobody is locked out: what people have come to rest on meanwhile stays, with
    /// the directories in which it lies.
    fn leave_needed(&mut self, path: &HostPath, why: &str) {
        if let Some(way) = self.ways.get_mut(path) {
            way.verdict = Verdict::Leave;
            self.decided.stays.push(format!("{path}: {why}"));
        }
        let mut above = path.parent();
        while let Some(directory) = above {
            if let Some(way) = self.ways.get_mut(&directory)
                && matches!(way.current, Node::Directory { .. })
                && matches!(way.verdict, Verdict::Exact)
            {
                way.verdict = Verdict::Leave;
            }
            above = directory.parent();
        }
    }

    /// Was the account made by the change?
    fn is_made(&self, record: &ChangeRecord, name: &str) -> bool {
        let passwd = HostPath::literal("/etc/passwd");
        let image = record.images.iter().find(|image| image.path == passwd);
        let has = |node: &Node| {
            let content = upgraded::reads(self.context.images, node);
            content.is_some_and(|content| shells(&content).contains_key(name))
        };
        image.is_some_and(|image| !has(&image.before) && image.after.as_ref().is_some_and(has))
    }

    /// pam.d(5): a module that a stack names and that is not there refuses everybody.
    fn refuse_missing_modules(
        &mut self,
        gone: &BTreeSet<&HostPath>,
        needed: &mut Vec<(HostPath, String)>,
    ) -> Result<(), UndoError> {
        const STACK_BYTES: u64 = 1 << 20;
        let is_of_pam = |path: &&&HostPath| {
            path.parent()
                .is_some_and(|above| above.file_name() == b"security")
        };
        let is_module = |path: &&&HostPath| {
            let name = path.file_name();
            name.starts_with(b"pam_") && name.ends_with(b".so")
        };
        let modules: Vec<&HostPath> = gone
            .iter()
            .filter(is_of_pam)
            .filter(is_module)
            .copied()
            .collect();
        if modules.is_empty() {
            return Ok(());
        }
        let directory = HostPath::literal("/etc/pam.d");
        for name in self.context.root.list(&directory)?.unwrap_or_default() {
            let Ok(path) = directory.join(&name) else {
                continue;
            };
            let stack = match self.ways.get(&path).map(|way| &way.verdict) {
                // What goes back does not name it, or named it before.
                Some(Verdict::Exact) => continue,
                // What others wrote into it stays.
                Some(Verdict::Become(to)) => upgraded::reads(self.context.images, to),
                _ => None,
            };
            let stack = match stack {
                Some(stack) => stack,
                None => self
                    .context
                    .root
                    .read(&path, STACK_BYTES)?
                    .unwrap_or_default(),
            };
            let is_named = |module: &&&HostPath| {
                let mut lines = stack.split(|byte| *byte == b'\n');
                lines.any(|line| {
                    !line.trim_ascii_start().starts_with(b"#")
                        && memchr::memmem::find(line, module.file_name()).is_some()
                })
            };
            let mut named = modules.iter().filter(is_named).peekable();
            if self.choice.by_itself {
                let why = format!("{path} names it: nobody could sign in through that without it");
                needed.extend(named.map(|module| ((*module).clone(), why.clone())));
            } else if let Some(module) = named.peek() {
                self.obstacles.push(Obstacle {
                    what: path.to_string(),
                    why: format!(
                        "it names {}, which goes: nobody could sign in through it",
                        model::printable(module.file_name())
                    ),
                    difference: None,
                });
            }
        }
        Ok(())
    }
}
