//! What becomes of the packages of a change that is undone weeks later: which go, which stay since
//! others need them by now, whose each path is, and what shared databases become by entry.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;

use md5::{Digest as _, Md5};
use model::{ActionId, Digest, Effect, HostPath};

use super::accounts::{self, Stay};
use super::path::Verdict;
use crate::act::{ActError, Context, LastLink, unit};
use crate::image::{Images, Node};
use crate::journal::{Imaged, Role};
use crate::packages::files_in;
use crate::records::accounts::without_members;
use crate::records::alternatives::Group;
use crate::records::entries::{Three, by_name, without_but};
use crate::records::packages::{NAMED_BY, Outlook, Stays, conffiles, outlook};
use crate::records::{ALTERNATIVES, Form, INFO, LINKER_CACHE, STATUS, Shared, UPDATES, shared};
use crate::state::ChangeRecord;

/// dpkg's database of a desktop has 6 MB, a list of files some MB.
const DATABASE_BYTES: u64 = 64 << 20;
/// Scripts of packages have some ten kB.
const SCRIPT_BYTES: u64 = 1 << 20;

/// Between the name of an alternative and what it leads to.
pub(super) const BETWEEN: &[u8] = b"/etc/alternatives/";

pub(super) fn is_between(path: &HostPath) -> bool {
    path.as_bytes().starts_with(BETWEEN)
}

/// The packages of one undo.
pub(super) struct Packages {
    pub(super) outlook: Outlook,
    /// Of which packages of the change a path is, by their lists.
    owners: HashMap<HostPath, BTreeSet<String>>,
    /// What packages that stay say in their scripts.
    scripts: Vec<(String, Vec<u8>)>,
    /// The packaged content of files of packages that go and were upgraded since, by MD5.
    newer: HashMap<HostPath, String>,
    /// Which files only the newer versions have.
    pub(super) only_newer: BTreeSet<HostPath>,
    /// Directories of logs that only packages that go list.
    pub(super) logs: BTreeSet<HostPath>,
    /// What packages list that the undo does not take back.
    pub(super) of_others: BTreeSet<HostPath>,
}

impl Packages {
    /// None where the change brought no packages, or its records of them are not there: then
    /// every difference is a conflict.
    pub(super) fn of(
        context: &Context<'_>,
        record: &ChangeRecord,
        upgrades: &BTreeSet<ActionId>,
    ) -> Result<Option<Self>, ActError> {
        let images = &record.images;
        let status = HostPath::literal(STATUS);
        let mut mine = images
            .iter()
            .filter(|image| image.role == Role::Touched && !image.actions.is_disjoint(upgrades));
        let Some(image) = mine.find(|image| image.path == status) else {
            return Ok(None);
        };
        let stored = |node: &Node| context.images.read(&node.content()?, DATABASE_BYTES).ok();
        let both = (
            stored(&image.before),
            image.after.as_ref().and_then(stored),
            context.root.read(&status, DATABASE_BYTES)?,
        );
        let (Some(before), Some(mut left), Some(mut now)) = both else {
            return Ok(None);
        };
        let updates = updates(context)?;
        let is_cut_short = record.is_cut_short(upgrades);
        if is_cut_short && left == now {
            // What dpkg had not yet written into the whole is the change's as well.
            left.extend(&updates);
        }
        now.extend(&updates);
        let mut outlook = outlook(&before, &left, &now);
        if is_cut_short {
            // dpkg writes a package's list of files before it says that it has unpacked it.
            outlook.touched.extend(packages_of(record, upgrades));
        }
        let mut packages = Self {
            outlook,
            owners: HashMap::new(),
            scripts: Vec::new(),
            newer: HashMap::new(),
            only_newer: BTreeSet::new(),
            logs: BTreeSet::new(),
            of_others: BTreeSet::new(),
        };
        packages.read_lists(context, images, &now)?;
        Ok(Some(packages))
    }

    /// By the lists that are there now, and by those that the change left.
    fn read_lists(
        &mut self,
        context: &Context<'_>,
        images: &[Imaged],
        status: &[u8],
    ) -> Result<(), ActError> {
        let info = HostPath::literal(INFO);
        let mine: BTreeSet<String> = self
            .outlook
            .goes
            .keys()
            .chain(&self.outlook.returns)
            .chain(self.outlook.stays.keys())
            .cloned()
            .collect();
        let is_gone = |fields: &[(&str, &[u8])]| {
            let mut fields = fields.iter();
            fields.any(|(name, value)| {
                *name == "Status" && value.trim_ascii().ends_with(b"config-files")
            })
        };
        let present: BTreeSet<String> = by_name(NAMED_BY, status)
            .into_iter()
            .filter(|(_, fields)| !is_gone(fields))
            .map(|(key, _)| key)
            .collect();
        let known: BTreeSet<&HostPath> = images
            .iter()
            .filter(|image| image.role == Role::Touched)
            .map(|image| &image.path)
            .collect();
        let mut of_others: BTreeSet<HostPath> = BTreeSet::new();
        let mut of_newer: BTreeSet<HostPath> = BTreeSet::new();
        let mut logs = BTreeSet::new();
        for name in context.root.list(&info)?.unwrap_or_default() {
            let Some((stem, "list")) = split(&name) else {
                continue;
            };
            let Ok(path) = info.join(&name) else { continue };
            let list = context
                .root
                .read(&path, DATABASE_BYTES)?
                .unwrap_or_default();
            let Some(key) = key_now(&present, &mine, stem) else {
                if key_now(&present, &self.outlook.touched, stem).is_none() {
                    of_others.extend(files_in(&list));
                }
                continue;
            };
            let goes = self.outlook.goes.contains_key(&key);
            for path in files_in(&list) {
                if goes && path.is_within(&HostPath::literal("/var/log")) {
                    logs.insert(path.clone());
                }
                if self.outlook.newer.contains(&key) && !known.contains(&path) {
                    of_newer.insert(path.clone());
                }
                if !goes && !self.outlook.returns.contains(&key) {
                    of_others.insert(path.clone());
                }
                self.owners.entry(path).or_default().insert(key.clone());
            }
        }
        for image in images.iter().filter(|image| image.role == Role::Touched) {
            let Some((stem, ending)) = info_file(&image.path) else {
                continue;
            };
            let Some(key) = key_of(&mine, stem) else {
                continue;
            };
            self.owners
                .entry(image.path.clone())
                .or_default()
                .insert(key.clone());
            let left = image.after.as_ref().and_then(Node::content);
            if ending != "list" || left.is_none() {
                continue;
            }
            let content = left.and_then(|left| context.images.read(&left, DATABASE_BYTES).ok());
            for path in files_in(&content.unwrap_or_default()) {
                self.owners.entry(path).or_default().insert(key.clone());
            }
        }
        self.only_newer = of_newer.difference(&of_others).cloned().collect();
        self.logs = logs.difference(&of_others).cloned().collect();
        self.of_others = of_others;
        self.read_sums(context, status)?;
        self.read_scripts(context)
    }

    /// Of what the newer versions consist: a file with that content is theirs and nobody else's.
    fn read_sums(&mut self, context: &Context<'_>, status: &[u8]) -> Result<(), ActError> {
        for key in self.outlook.newer.clone() {
            for (path, sum) in conffiles(status, &key) {
                if let Ok(path) = HostPath::from_bytes(path.as_bytes()) {
                    self.newer.insert(path, sum);
                }
            }
            for file in files_of(&key, "md5sums") {
                let sums = context
                    .root
                    .read(&file, DATABASE_BYTES)?
                    .unwrap_or_default();
                for line in String::from_utf8_lossy(&sums).lines() {
                    let Some((sum, path)) = line.split_once("  ") else {
                        continue;
                    };
                    let path = files_in(format!("/{path}").as_bytes());
                    self.newer
                        .extend(path.into_iter().map(|path| (path, sum.to_owned())));
                }
            }
        }
        Ok(())
    }

    fn read_scripts(&mut self, context: &Context<'_>) -> Result<(), ActError> {
        for (key, why) in &self.outlook.stays {
            if !matches!(why, Stays::NeededBy(_)) {
                continue;
            }
            for ending in ["preinst", "postinst", "config", "triggers"] {
                for file in files_of(key, ending) {
                    let script = context.root.read(&file, SCRIPT_BYTES)?.unwrap_or_default();
                    self.scripts.push((key.clone(), script));
                }
            }
        }
        Ok(())
    }

    /// The package for whose sake a path stays as it is now.
    pub(super) fn stays(&self, path: &HostPath, made: &dyn Fn(&HostPath) -> bool) -> Option<&str> {
        let of = |path: &HostPath| -> Option<&BTreeSet<String>> { self.owners.get(path) };
        let stays = |key: &String| {
            self.outlook
                .stays
                .get_key_value(key)
                .map(|(key, _)| key.as_str())
        };
        if let Some(owners) = of(path) {
            return owners.iter().find_map(stays);
        }
        // What a package's scripts made is in no list: it is of whom its directory is, or whose
        // scripts speak of it.
        let mut above = path.parent();
        while let Some(directory) = above.filter(|directory| made(directory)) {
            if let Some(owners) = of(&directory) {
                return owners
                    .iter()
                    .all(|key| stays(key).is_some())
                    .then(|| owners.iter().find_map(stays))?;
            }
            above = directory.parent();
        }
        let named = |(key, script): &(String, Vec<u8>)| {
            memchr::memmem::find(script, path.as_bytes()).map(|_| key.clone())
        };
        let key = self.scripts.iter().find_map(named)?;
        stays(&key)
    }

    /// Is what is there a newer version's, or dpkg's own, of a package that goes?
    pub(super) fn is_packaged(
        &self,
        context: &Context<'_>,
        path: &HostPath,
    ) -> Result<bool, ActError> {
        if info_file(path).is_some() {
            // dpkg's own notes on the package, which it writes anew when another takes a file over.
            let goes = |key: &String| self.outlook.goes.contains_key(key);
            let owners = self.owners.get(path);
            return Ok(owners.is_some_and(|owners| owners.iter().all(goes)));
        }
        let Some(sum) = self.newer.get(path) else {
            return Ok(false);
        };
        let place = context.root.find(path, LastLink::Itself)?;
        let Some(mut file) = place.open_file()? else {
            return Ok(false);
        };
        let mut md5 = Md5::new();
        let mut chunk = vec![0; 64 << 10];
        loop {
            match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => md5.update(&chunk[..length]),
                Err(error) => return Err(ActError::path("read", path, error)),
            }
        }
        let hex: String = md5
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(hex == *sum)
    }

    /// Is the path a program's or a library's, of a package that is there before and afterwards:
    /// half of one version is none?
    pub(super) fn is_half(&self, image: &Imaged) -> bool {
        image.before != Node::Absent
            && self.owners.contains_key(&image.path)
            && !image.path.is_within(&HostPath::literal("/etc"))
    }

    /// Are two directories of one package, or called after one thing?
    pub(super) fn belong_together(&self, one: &HostPath, other: &HostPath) -> bool {
        let owners = (self.owners.get(one), self.owners.get(other));
        let is_of_one = match owners {
            (Some(one), Some(other)) => !one.is_disjoint(other),
            _ => false,
        };
        is_of_one || one.file_name() == other.file_name()
    }

    /// Does anything stay because others need it?
    pub(super) fn keeps_any(&self) -> bool {
        !self.outlook.stays.is_empty()
    }

    /// Written for all packages together, by a trigger of one, and of no package itself.
    pub(super) fn is_collected(&self, image: &Imaged) -> bool {
        image.path.is_within(&HostPath::literal("/usr"))
            && matches!(image.before, Node::File { .. })
            && !self.owners.contains_key(&image.path)
    }

    /// The accounts that are somebody's by now.
    pub(super) fn accounts(
        &self,
        context: &Context<'_>,
        images: &[Imaged],
        goes: &(dyn Fn(&HostPath) -> bool + Sync),
        unit_files: &BTreeSet<HostPath>,
    ) -> Result<Stay, ActError> {
        let mine = || images.iter().filter(|image| image.role == Role::Touched);
        let passwd = contents(context, mine(), "/etc/passwd")?;
        let group = contents(context, mine(), "/etc/group")?;
        let [passwd, group] = [&passwd, &group].map(Three::of);
        let stops = unit::of_files(unit_files)?.into_iter();
        let stops = stops.map(|unit| unit.name).collect();
        accounts::stay(passwd, group, goes, &stops)
    }

    /// Must an entry of this name stay in the database at `path`?
    fn entry_stays(&self, path: &HostPath, stay: &Stay, entry: &str) -> bool {
        if let Some(stays) = stay.holds(path, entry) {
            return stays;
        }
        // apt marks packages of every architecture under the host's own.
        if path.as_bytes() == b"/var/lib/apt/extended_states" {
            let name = |key: &str| key.split(':').next().map(str::to_owned);
            let mut stay = self.outlook.stays.keys();
            return stay.any(|key| name(key) == name(entry));
        }
        if self.outlook.stays.contains_key(entry) {
            return true;
        }
        let is_kept = |word: &str| {
            let named = |key: &String| key.split(':').next() == Some(word);
            let is_path = || {
                let path = files_in(word.as_bytes());
                let owners = path.first().and_then(|path| self.owners.get(path));
                owners.is_some_and(|all| all.iter().any(|key| self.outlook.stays.contains_key(key)))
            };
            self.outlook.stays.keys().any(named) || word.starts_with('/') && is_path()
        };
        // `postgresql-common/ssl` of debconf; `/usr/share/mime mime-support` of triggers.
        entry.split_whitespace().any(is_kept)
            || entry.split_once('/').is_some_and(|(name, _)| is_kept(name))
    }

    /// What a shared database becomes, and what it had of the change that stays.
    pub(super) fn entries(
        &self,
        context: &Context<'_>,
        image: &Imaged,
        form: Form,
        stay: &Stay,
        current: &Node,
        keep_theirs: bool,
    ) -> Result<Option<Merged>, String> {
        let stays = |entry: &str| self.entry_stays(&image.path, stay, entry);
        // What dpkg says of a package whose files go or come back goes with them.
        let keep_theirs = keep_theirs && image.path != HostPath::literal(STATUS);
        entries_without(
            context,
            image,
            form,
            &Staying {
                entries: &stays,
                in_groups: &BTreeSet::new(),
            },
            current,
            keep_theirs,
        )
    }

    /// For people: which packages stay, and why.
    pub(super) fn told(&self) -> Vec<String> {
        let stays = self.outlook.stays.iter();
        stays
            .map(|(key, why)| {
                let name = key.split(':').next().unwrap_or(key);
                format!("package {name}: {}", why.words())
            })
            .collect()
    }
}

/// The links of a group of alternatives as they should be, by their paths. `merged` is what its
/// database becomes.
pub(super) fn links(
    context: &Context<'_>,
    database: &HostPath,
    merged: &[u8],
    now: &[u8],
) -> Vec<(HostPath, Option<Vec<u8>>)> {
    let group = Group::parse(merged);
    let old = Group::parse(now);
    let name = database.file_name();
    let Ok(inner) = HostPath::literal("/etc/alternatives").join(name) else {
        return Vec::new();
    };
    let led_to = match Node::capture(context.root, &inner, LastLink::Itself, None) {
        Ok((_, Node::Link { target, .. })) => target.as_bytes().to_vec(),
        _ => Vec::new(),
    };
    let mut wanted: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
    // What only the old group had goes.
    if let Some(old) = old {
        wanted.extend(old.links(name, None));
    }
    if let Some(group) = group {
        let choice = group.leads_to(&led_to).map(<[u8]>::to_vec);
        wanted.extend(group.links(name, choice.as_deref()));
    }
    wanted
        .into_iter()
        .filter_map(|(path, leads)| Some((files_in(&path).into_iter().next()?, leads)))
        .collect()
}

/// Is the database one of a group of alternatives?
pub(super) fn is_alternatives(path: &HostPath) -> bool {
    path.is_within(&HostPath::literal(ALTERNATIVES))
}

/// What is decided by what a shared file is, whoever changed it since.
pub(super) fn by_kind(
    packages: &Packages,
    image: &Imaged,
    after: &Node,
    current: &Node,
) -> Option<Verdict> {
    match shared(&image.path)? {
        Shared::Entries(_) => None,
        // What the database was before it was last written: others have written it since.
        Shared::Backup if !current.same_as(after) => Some(Verdict::Leave),
        Shared::Backup => None,
        Shared::LinkerCache => {
            let is_ours = current.same_as(after) || current.same_as(&image.before);
            (packages.keeps_any() || !is_ours).then_some(Verdict::Leave)
        }
    }
}

/// The database of which this is a copy: `/etc/passwd` of `/etc/passwd-`.
pub(super) fn database_of(copy: &HostPath) -> Option<HostPath> {
    let text = str::from_utf8(copy.as_bytes()).ok()?;
    let (name, _) = text.rsplit_once(['-', '.'])?;
    HostPath::from_bytes(name.as_bytes()).ok()
}

/// Is the path made anew by ldconfig(8)?
pub(super) fn is_linker_cache(path: &HostPath) -> bool {
    *path == HostPath::literal(LINKER_CACHE)
}

pub(super) fn reads(images: &Images, node: &Node) -> Option<Vec<u8>> {
    match node {
        Node::Absent => Some(Vec::new()),
        _ => images.read(&node.content()?, DATABASE_BYTES).ok(),
    }
}

/// `libc6:amd64` and `list` of `libc6:amd64.list`.
/// What dpkg did since it last wrote its database as a whole: numbered files, each with the new stanza
/// of a package, which replaces the one before it. A run of dpkg that was cut off leaves them.
fn updates(context: &Context<'_>) -> Result<Vec<u8>, ActError> {
    let folder = HostPath::literal(UPDATES);
    let mut names = context.root.list(&folder)?.unwrap_or_default();
    names.retain(|name| name.iter().all(u8::is_ascii_digit));
    names.sort();
    let mut all = Vec::new();
    for name in names {
        let Ok(path) = folder.join(&name) else {
            continue;
        };
        all.push(b'\n');
        all.extend(
            context
                .root
                .read(&path, DATABASE_BYTES)?
                .unwrap_or_default(),
        );
    }
    Ok(all)
}

/// What these actions were to install, upgrade or remove.
fn packages_of<'a>(
    record: &'a ChangeRecord,
    upgrades: &'a BTreeSet<ActionId>,
) -> impl Iterator<Item = String> {
    let actions = record.plan.actions.iter();
    let effects = actions.filter(|action| upgrades.contains(&action.id));
    effects.flat_map(|action| match &action.effect {
        Effect::Upgrade { packages, .. } => packages
            .iter()
            .map(|one| format!("{}:{}", one.name, one.architecture))
            .collect(),
        _ => Vec::new(),
    })
}

fn split(name: &[u8]) -> Option<(&str, &str)> {
    str::from_utf8(name).ok()?.rsplit_once('.')
}

fn info_file(path: &HostPath) -> Option<(&str, &str)> {
    let rest = path.as_bytes().strip_prefix(INFO.as_bytes())?;
    split(rest.strip_prefix(b"/")?)
}

/// What a file was before the change, what that left, and what it is now; nothing of one whose content
/// the change did not write.
///
/// # Errors
/// Where the content was not kept, or is damaged: what the change made in it is not known then.
pub(super) fn contents<'a>(
    context: &Context<'_>,
    mut images: impl Iterator<Item = &'a Imaged>,
    path: &'static str,
) -> Result<[Vec<u8>; 3], ActError> {
    let path = HostPath::literal(path);
    let image = images.find(|image| image.path == path);
    let Some(image) = image.filter(|image| !image.before.is_unread()) else {
        return Ok([const { Vec::new() }; 3]);
    };
    let now = context
        .root
        .read(&path, DATABASE_BYTES)?
        .unwrap_or_default();
    let read = |node: &Node| {
        let is_there = || node.content() == Some(Digest::of(&now));
        let kept = reads(context.images, node).or_else(|| is_there().then(|| now.clone()));
        kept.ok_or_else(|| {
            let what = format!("tell what the change made in `{path}`");
            ActError::program(
                what,
                "the content that was kept of it is missing or damaged",
            )
        })
    };
    let before = read(&image.before)?;
    let left = read(image.after.as_ref().unwrap_or(&image.before))?;
    Ok([before, left, now])
}

/// What a shared file becomes, and the entries in it that stay as others have them now.
pub(super) type Merged = (Vec<u8>, BTreeSet<String>);

/// What of the change's stays in a shared file.
pub(super) struct Staying<'a> {
    pub(super) entries: &'a dyn Fn(&str) -> bool,
    /// Accounts that stay in the groups into which the change put them.
    pub(super) in_groups: &'a BTreeSet<String>,
}

/// A shared file without what the change did to it; none where its content was not kept. Where
/// `keep_theirs`, an entry that others changed in the same place stays.
pub(super) fn entries_without(
    context: &Context<'_>,
    image: &Imaged,
    form: Form,
    staying: &Staying<'_>,
    current: &Node,
    keep_theirs: bool,
) -> Result<Option<Merged>, String> {
    let read = |node| reads(context.images, node);
    let after = image.after.as_ref().unwrap_or(&image.before);
    let all = (read(&image.before), read(after), read(current));
    let (Some(before), Some(mut left), Some(now)) = all else {
        return Ok(None);
    };
    if let Form::Colons { members } = form
        && !staying.in_groups.is_empty()
    {
        left = without_members(&left, members, staying.in_groups);
    }
    without_but(
        form,
        Three::of(&[before, left, now]),
        staying.entries,
        &|_| keep_theirs,
    )
    .map(Some)
    .map_err(|clash| clash.to_string())
}

/// Of which of these packages a file in dpkg's info is: `NAME` alone, or `NAME:ARCHITECTURE`.
fn key_of(keys: &BTreeSet<String>, stem: &str) -> Option<String> {
    if stem.contains(':') {
        return keys.get(stem).cloned();
    }
    let from = format!("{stem}:");
    let key = keys.range(from.clone()..).next()?;
    key.starts_with(&from).then(|| key.clone())
}

/// The same of a file that is there now: it is of the package that is, which may be of another
/// architecture than the one that the change made.
fn key_now(present: &BTreeSet<String>, keys: &BTreeSet<String>, stem: &str) -> Option<String> {
    match key_of(present, stem) {
        Some(key) => keys.get(&key).cloned(),
        // dpkg knows of it no more.
        None => key_of(keys, stem),
    }
}

fn files_of(key: &str, ending: &str) -> Vec<HostPath> {
    let name = key.split(':').next().unwrap_or(key);
    [
        format!("{INFO}/{name}.{ending}"),
        format!("{INFO}/{key}.{ending}"),
    ]
    .iter()
    .filter_map(|path| HostPath::from_bytes(path.as_bytes()).ok())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::key_now;
    use std::collections::BTreeSet;

    #[test]
    fn a_list_is_of_the_package_that_is_there() {
        let set = |keys: &[&str]| -> BTreeSet<String> {
            keys.iter().map(|key| (*key).to_owned()).collect()
        };
        let key =
            |present: &[&str], keys: &[&str], stem: &str| key_now(&set(present), &set(keys), stem);
        let some = |key: &str| Some(key.to_owned());
        // The change put one architecture in the place of the other.
        let both = ["foo:all", "foo:amd64"];
        assert_eq!(key(&["foo:amd64"], &both, "foo"), some("foo:amd64"));
        assert_eq!(key(&["foo:all"], &both, "foo"), some("foo:all"));
        // Others did, since: the list is theirs, and so are its files.
        assert_eq!(key(&["foo:all"], &["foo:amd64"], "foo"), None);
        assert_eq!(
            key(&["foo:amd64"], &["foo:amd64"], "foo"),
            some("foo:amd64")
        );
        assert_eq!(key(&[], &["foo:amd64"], "foo"), some("foo:amd64"));
        assert_eq!(key(&["foobar:all"], &["foo:amd64"], "foobar"), None);
        // Of several at once each has its own.
        let libs = ["lib:amd64", "lib:i386"];
        assert_eq!(key(&libs, &["lib:i386"], "lib:i386"), some("lib:i386"));
        assert_eq!(key(&libs, &["lib:i386"], "lib:amd64"), None);
    }
}
