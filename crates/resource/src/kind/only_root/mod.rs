//! `only_root`: that nobody but root changes what is read somewhere: the files themselves, what
//! links among them lead to, and each directory above, by owner, group, mode and ACL.

mod apt;
mod command_line;
mod commands;
mod mentioned;
mod named;
mod readers;
mod starters;

use std::collections::{BTreeMap, BTreeSet};

use model::plan::Risk;
use model::value::{AccountsSeen, AclWho, FileType, Part, WritersSeen};
use model::{HostPath, Mode, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::files_where::glob_matches;
use crate::{Answers, Drift, Edit, Judgement, Kind, Phase, Seen};
use readers::{Places, Reader, places};

/// Nobody but root changes what is read there. It looks at the files themselves and, of a
/// directory, at all that lies below it; at what links among these lead to; and at each directory
/// above any of them. Owner, group, mode and ACL (acl(5)) decide. What is not there does not
/// apply.
///
/// The fix gives a file back to root and takes the right to write away from others. It does not
/// look at what was written meanwhile. What a link leads to outside of the system's own
/// directories is left to a person.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnlyRoot {
    /// A file, or a directory with all that lies below it.
    #[serde(default)]
    pub path: Option<HostPath>,
    /// Instead of `path`: a program, whose own configuration says what it reads.
    #[serde(default)]
    pub read_by: Option<Reader>,
    /// Which names in the directory count, `*` and `?` as wildcards; all where nothing is said.
    #[serde(default)]
    pub names: Option<Names>,
    /// False: the directory alone, and not what lies below it.
    #[serde(default = "yes")]
    pub below: bool,
    /// Accounts and groups that may change it too.
    #[serde(default)]
    pub writers: Vec<String>,
    /// Where this is given, only these accounts and groups, and root, read the files.
    #[serde(default)]
    pub readers: Option<Vec<String>>,
}

const fn yes() -> bool {
    true
}

/// Names in a directory.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Names {
    Known(KnownNames),
    Patterns(Vec<String>),
}

/// Names that a program goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KnownNames {
    /// Those that run-parts(8) runs: letters, digits, `_` and `-`.
    RunParts,
}

impl Names {
    fn counts(&self, name: &[u8]) -> bool {
        match self {
            Self::Known(KnownNames::RunParts) => {
                let counts = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
                !name.is_empty() && name.iter().all(counts)
            }
            Self::Patterns(patterns) => {
                let mut patterns = patterns.iter();
                patterns.any(|pattern| glob_matches(pattern.as_bytes(), name))
            }
        }
    }
}

/// Somewhere that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub path: HostPath,
    pub below: bool,
}

/// Where the system's own files lie, and nobody's home: what belongs to somebody else there can
/// be given back to root.
const SYSTEM: [&str; 10] = [
    "/etc",
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/boot",
    "/var/log",
    "/run/systemd",
];

const WRITE: u32 = 0o2;
const READ: u32 = 0o4;
const STICKY: u32 = 0o1000;

impl Kind for OnlyRoot {
    const NAME: &'static str = "only_root";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        let name = match (&self.path, self.read_by, &self.names) {
            (Some(path), _, Some(Names::Patterns(patterns))) => {
                format!("{path} {}", patterns.join(" "))
            }
            (Some(path), ..) => path.to_string(),
            (None, Some(reader), _) => reader.name().to_owned(),
            (None, None, _) => String::new(),
        };
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name,
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let found = self.places(seen);
        let mut probes = found.probes;
        probes.push(Probe::Accounts);
        probes.extend(found.places.into_iter().map(|place| Probe::Writers {
            path: place.path,
            below: place.below,
        }));
        let directories: BTreeSet<HostPath> = found.makers.into_iter().map(|(at, _)| at).collect();
        probes.extend(
            directories
                .into_iter()
                .map(|path| Probe::Writers { path, below: false }),
        );
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let found = self.places(seen);
        let mut objects: BTreeMap<&HostPath, Object<'_>> = BTreeMap::new();
        let mut untold = found.hidden.clone();
        let is_absent = |path: &HostPath| matches!(seen.writers(path, false), Seen::Absent);
        let makers = found.makers.iter();
        let makers = makers.filter(|(_, file)| is_absent(file));
        let places = found.places.iter().map(|place| (&place.path, place.below));
        for (path, below) in places.chain(makers.map(|(directory, _)| (directory, false))) {
            match seen.writers(path, below) {
                Seen::Known(all) => {
                    for seen in all {
                        let object = objects.entry(&seen.path).or_insert(Object {
                            seen,
                            part: seen.part,
                            via: seen.via.as_ref(),
                        });
                        object.part = object.part.max(seen.part);
                        object.via = object.via.and(seen.via.as_ref());
                    }
                }
                Seen::Absent => {}
                Seen::Unknown(reason) => {
                    untold.get_or_insert(reason);
                }
                Seen::NotAsked => return Judgement::not_asked(),
            }
        }
        let question = Question {
            want: self,
            places: &found,
            objects: &objects,
            accounts: seen.accounts().known(),
        };
        let drifts = question.drifts();
        if !drifts.is_empty() {
            return Judgement::Drift(drifts);
        }
        if let Some(reason) = untold {
            return reason.into();
        }
        question.nothing_wrong()
    }

    fn risk(&self) -> Risk {
        Risk::None
    }

    fn check(&self) -> Result<(), String> {
        match (&self.path, self.read_by) {
            (Some(_), None) => {}
            (None, Some(_)) if self.names.is_none() && self.below => {}
            (None, Some(_)) => return Err("`names` and `below` go with `path`".to_owned()),
            _ => return Err("say exactly one of `path` and `read_by`".to_owned()),
        }
        if let Some(Names::Patterns(patterns)) = &self.names
            && let Some(bad) = patterns.iter().find(|name| name.contains('/'))
        {
            return Err(format!("`{bad}` is not the name of a file"));
        }
        Ok(())
    }
}

impl OnlyRoot {
    fn places(&self, seen: &Answers) -> Places {
        let Some(path) = &self.path else {
            return self
                .read_by
                .map_or_else(Places::default, |reader| places(reader, seen));
        };
        let Some(names) = &self.names else {
            let place = Place {
                path: path.clone(),
                below: self.below,
            };
            return Places {
                places: vec![place],
                ..Places::default()
            };
        };
        let mut found = Places {
            places: vec![Place {
                path: path.clone(),
                below: false,
            }],
            probes: vec![Probe::Dir { path: path.clone() }],
            ..Places::default()
        };
        match seen.dir(path) {
            Seen::Known(entries) => {
                let entries = entries.iter().map(|entry| entry.name.as_bytes());
                for name in entries.filter(|name| names.counts(name)) {
                    if let Ok(path) = path.join(name) {
                        found.places.push(Place { path, below: false });
                    }
                }
            }
            Seen::Unknown(reason) => found.hidden = Some(reason),
            Seen::Absent | Seen::NotAsked => {}
        }
        found
    }
}

/// Something that decides who changes what is read; for whatever place it does most.
struct Object<'a> {
    seen: &'a WritersSeen,
    part: Part,
    via: Option<&'a HostPath>,
}

struct Question<'a> {
    want: &'a OnlyRoot,
    places: &'a Places,
    objects: &'a BTreeMap<&'a HostPath, Object<'a>>,
    accounts: Option<&'a AccountsSeen>,
}

/// What is wrong with an object, in words, and the bits that make it so.
#[derive(Default)]
struct Wrong {
    observed: Vec<String>,
    owner: bool,
    /// Bits of the group's and of everyone's to take away.
    bits: u32,
    /// The owning group reads, and should not.
    group_reads: bool,
}

impl Question<'_> {
    fn drifts(&self) -> Vec<Drift> {
        let mut by_hand: Vec<&HostPath> = Vec::new();
        let mut drifts = Vec::new();
        // Sorted by path, so that a directory stands before what lies in it.
        for object in self.objects.values() {
            let Some(wrong) = self.wrong(object) else {
                continue;
            };
            let path = &object.seen.path;
            let file_type = object.seen.meta.file_type;
            let can_be_given_back = !matches!(file_type, FileType::Link | FileType::Other)
                && (is_system(path) || self.is_named(path))
                && !by_hand.iter().any(|above| path.is_within(above));
            if !can_be_given_back {
                by_hand.push(path);
            }
            drifts.push(self.drift(object, wrong, can_be_given_back));
        }
        drifts
    }

    /// Is it one of the places themselves, or below one, rather than where a link leads?
    fn is_named(&self, path: &HostPath) -> bool {
        if self.want.read_by.is_some_and(Reader::is_of_programs) {
            return false;
        }
        let mut places = self.places.places.iter();
        places.any(|place| path == &place.path || place.below && path.is_within(&place.path))
    }

    fn wrong(&self, object: &Object<'_>) -> Option<Wrong> {
        let seen = object.seen;
        let meta = &seen.meta;
        let mode = meta.mode.bits();
        let mut wrong = Wrong::default();
        match meta.file_type {
            FileType::Regular | FileType::Directory => {}
            // Who owns a link changes nothing, except where everyone may write and the sticky
            // bit lets owners alone remove what is theirs.
            FileType::Link => {
                let parent = seen.path.parent();
                let parent = parent.as_ref().and_then(|parent| self.objects.get(parent));
                let in_shared = parent.is_some_and(|parent| {
                    let mode = parent.seen.meta.mode.bits();
                    mode & STICKY != 0 && mode & 0o022 != 0
                });
                if !in_shared || self.is_writer(meta.uid, meta.owner.as_deref()) {
                    return None;
                }
                wrong
                    .observed
                    .push(format!("a link of {}", named(&meta.owner, meta.uid)));
                return Some(wrong);
            }
            // Devices and sockets hold no text; but who answers at a socket is its owner.
            FileType::Other => {
                let is_asked = self.places.sockets.contains(&seen.path);
                if !is_asked || self.is_writer(meta.uid, meta.owner.as_deref()) {
                    return None;
                }
                let owner = named(&meta.owner, meta.uid);
                wrong.observed.push(format!("a socket of {owner}"));
                return Some(wrong);
            }
        }
        if !self.is_writer(meta.uid, meta.owner.as_deref()) {
            wrong.owner = true;
            wrong
                .observed
                .push(format!("owner {}", named(&meta.owner, meta.uid)));
        }
        // With the sticky bit, only owners remove and rename what is there already.
        let is_kept = object.part == Part::Above && mode & STICKY != 0;
        let is_secret = self.want.readers.is_some()
            && object.part == Part::Read
            && meta.file_type == FileType::Regular;
        let mut rights = Vec::new();
        if !is_kept {
            rights.push((WRITE, "may write"));
        }
        if is_secret {
            rights.push((READ, "may read"));
        }
        for (right, words) in rights {
            let may = |name: Option<&str>| self.may(right, name);
            if mode >> 3 & right != 0 {
                let owning = match &seen.acl {
                    None => true,
                    Some(acl) => acl
                        .iter()
                        .any(|entry| entry.who == AclWho::OwningGroup && entry.bits & right != 0),
                };
                if owning && !may(meta.group.as_deref()) && !self.is_roots_own(meta.gid) {
                    wrong.bits |= right << 3;
                    wrong.group_reads |= right == READ;
                    let group = named(&meta.group, meta.gid);
                    wrong.observed.push(format!("group {group} {words}"));
                }
                for entry in seen
                    .acl
                    .iter()
                    .flatten()
                    .filter(|entry| entry.bits & right != 0)
                {
                    let who = match &entry.who {
                        AclWho::User { id: 0, .. } | AclWho::OwningGroup => continue,
                        AclWho::User { name, .. } | AclWho::Group { name, .. }
                            if may(name.as_deref()) =>
                        {
                            continue;
                        }
                        AclWho::User { id, name } => named(name, *id),
                        AclWho::Group { id, .. } if self.is_roots_own(*id) => continue,
                        AclWho::Group { id, name } => format!("group {}", named(name, *id)),
                    };
                    wrong.bits |= right << 3;
                    // The mask is what is taken away: who is named by the ACL goes with it.
                    wrong.group_reads = false;
                    wrong.observed.push(format!("{who} {words} (by its ACL)"));
                }
            }
            if mode & right != 0 {
                wrong.bits |= right;
                wrong.observed.push(format!("everyone {words}"));
            }
        }
        (!wrong.observed.is_empty()).then_some(wrong)
    }

    fn is_writer(&self, id: u32, name: Option<&str>) -> bool {
        id == 0 || self.may(WRITE, name)
    }

    fn may(&self, right: u32, name: Option<&str>) -> bool {
        let Some(name) = name else { return false };
        let is = |listed: &String| listed == name;
        self.want.writers.iter().any(is)
            || right == READ
                && (self.want.readers.iter().flatten().any(is)
                    || self.places.readers.iter().any(is))
    }

    /// The group root gives nothing to others as long as nobody else is in it.
    fn is_roots_own(&self, gid: u32) -> bool {
        let alone = |accounts: &AccountsSeen| {
            let listed = accounts
                .groups
                .iter()
                .filter(|group| group.gid == 0)
                .flat_map(|group| &group.members);
            let by_main = accounts.accounts.iter().filter(|account| account.gid == 0);
            accounts.other_sources.is_empty()
                && listed.into_iter().all(|name| name == "root")
                && by_main.into_iter().all(|account| account.uid == 0)
        };
        gid == 0 && self.accounts.is_some_and(alone)
    }

    fn drift(&self, object: &Object<'_>, wrong: Wrong, can_be_given_back: bool) -> Drift {
        let seen = object.seen;
        let path = &seen.path;
        let mut notes = Vec::new();
        if let Some(via) = object.via {
            notes.push(format!("{via} leads here"));
        }
        let changes = wrong.owner || wrong.bits & 0o022 != 0;
        if changes && object.part == Part::Read && seen.meta.file_type == FileType::Regular {
            notes.push("somebody else than root may have changed what it says: read it".to_owned());
        }
        let mut drift = Drift {
            observed: wrong.observed.join(", "),
            wanted: self.wanted(),
            at: vec![SourceLine::file(path.clone())],
            note: (!notes.is_empty()).then(|| notes.join("; ")),
            ..Drift::default()
        };
        if !can_be_given_back {
            drift.by_hand = Some(match object.via {
                Some(via) => format!(
                    "remove the link {via}, or move what it leads to where only root writes"
                ),
                None => {
                    format!("move it from {path} to where only root writes, or give it to root")
                }
            });
            return drift;
        }
        let (mut bits, mut group) = (wrong.bits, None);
        // Those who are meant to read go on reading.
        if wrong.group_reads
            && let Some(reading) = self.reading_group()
        {
            bits &= !(READ << 3);
            group = Some(reading);
        }
        // visudo(8) accepts rules of root's with this mode alone, and every later change asks it.
        let is_rules = self.want.read_by == Some(Reader::Sudo)
            && object.part == Part::Read
            && seen.meta.file_type == FileType::Regular;
        if is_rules {
            drift.edits.push(Edit::Meta {
                path: path.clone(),
                mode: Some(Mode::new(0o440)),
                owner: Some("root".to_owned()),
                group: Some("root".to_owned()),
                drop_capabilities: false,
                drop_acl: false,
            });
            return drift;
        }
        drift.edits.push(Edit::Meta {
            path: path.clone(),
            mode: (bits != 0).then(|| Mode::new(seen.meta.mode.bits() & !bits)),
            owner: wrong.owner.then(|| "root".to_owned()),
            group,
            drop_capabilities: false,
            drop_acl: false,
        });
        drift
    }

    /// The first group of those that may read that this host has.
    fn reading_group(&self) -> Option<String> {
        let accounts = self.accounts?;
        let readers = self.want.readers.iter().flatten();
        let mut names = self.places.readers.iter().chain(readers);
        let has = |name: &&String| accounts.groups.iter().any(|group| group.name == **name);
        names.find(has).cloned()
    }

    fn wanted(&self) -> String {
        let and = |names: &[String]| match names.is_empty() {
            true => String::new(),
            false => format!(" and {}", names.join(", ")),
        };
        let mut words = format!("only root{} may change it", and(&self.want.writers));
        if let Some(readers) = &self.want.readers {
            words.push_str(&format!(", only root{} may read it", and(readers)));
        }
        words
    }

    fn nothing_wrong(&self) -> Judgement {
        let read = || {
            self.objects
                .values()
                .filter(|object| object.part == Part::Read)
        };
        let files = read().filter(|object| object.seen.meta.file_type == FileType::Regular);
        let (files, all) = (files.count(), read().count());
        let is_about_files = self.want.readers.is_some();
        if all == 0 || is_about_files && files == 0 {
            let what = match (&self.want.path, self.want.read_by) {
                (Some(path), _) => format!("there is no {path}"),
                (None, reader) => {
                    format!("there is nothing of {}", reader.map_or("", Reader::name))
                }
            };
            return Judgement::NotApplicable(what);
        }
        let observed = match all {
            1 => "root's alone".to_owned(),
            _ => format!("root's alone, {all} files and directories"),
        };
        Judgement::compliant(observed)
    }
}

fn is_system(path: &HostPath) -> bool {
    path.parent().is_none()
        || path.as_bytes() == b"/var"
        || SYSTEM
            .iter()
            .any(|top| path.is_within(&HostPath::literal(top)))
}

fn named(name: &Option<String>, id: u32) -> String {
    match name {
        Some(name) => printable(name.as_bytes()),
        None => format!("{id}, which has no name"),
    }
}
