//! What is installed on a host: the packages of its distribution, and components that came to
//! it another way, each with the files that prove it. Read-only, and no program is run: package
//! databases are read as files, and of everything else the metadata that installers and
//! compilers leave behind.
//!
//! One walk finds files that may speak of components; what belongs to a package of the
//! distribution is left to that package, and of the rest each file is read by the parser of its
//! kind, which has bounds of its own.

pub mod elf;
pub mod found;
pub mod go;
mod go_symbols;
pub mod images;
pub mod inflate;
pub mod java;
pub mod lock;
pub mod node;
mod origin;
pub(crate) mod packages;
pub mod python;
mod read;
pub mod ruby;
pub mod rust;
pub mod sbom;
pub mod search;
pub mod source;
pub mod zip;

pub use read::contents;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use model::HostPath;
use model::component::{Component, Evidence, Inventory, Unread};
use model::count::plural;
use model::value::Reason;

use crate::LocalHost;
use crate::probe::accounts;
use crate::tree::Trouble;
use crate::walk::{ownership, starts};
use search::{Candidate, Search};

/// So many files of one kind of trouble are named; an archive that can't be read in each of a
/// thousand folders is one problem.
const MOST_UNREAD: usize = 1000;

/// Everything that is installed on a host. `entries_seen` is told now and then how many entries
/// of the file systems were looked at so far.
pub fn components(host: &LocalHost, entries_seen: &(dyn Fn(u64) + Sync)) -> Inventory {
    let host = &host.inner;
    let mut collected = Collected::default();
    let foreign = packages::read(host, &mut collected);
    let stores = images::stores::find(host);
    let layers = stores.layers(host);
    let mut starts = starts::starts(&host.tree);
    // A running container's file system is mounted where its store has its layers.
    starts.retain(|start| !layers.iter().any(|layers| start.path.is_within(layers)));
    let layers: HashSet<Vec<u8>> = layers.iter().map(|path| path.as_bytes().to_vec()).collect();
    let search = search::search(&starts, &layers, host.tree.is_root(), entries_seen);
    say_unreadable(&search, host.tree.is_root(), &mut collected);
    let owned = owned(host, &search.candidates, &foreign, &mut collected);
    let unowned: Vec<&Candidate> = search
        .candidates
        .iter()
        .filter(|candidate| !owned.contains(candidate.path.as_bytes()))
        .collect();
    let users = users(host);
    let share = |owner| match owner {
        0 => Share::Files,
        uid => Share::FilesOf(users.contains(&uid).then_some(uid)),
    };
    let unowned = read::first_names(unowned, &mut |candidate, more| {
        collected.charge(share(candidate.owner));
        collected.say_more_names(candidate, more);
    });
    read::all(host, &unowned, &mut |candidate, parsed| {
        collected.charge(share(candidate.owner));
        collected.take(candidate, None, parsed);
    });
    for (path, owner) in search.stores.iter().filter(|(path, _)| !stores.knows(path)) {
        collected.charge(share(*owner));
        let what = "a store of container images that no known user or configuration has: it is \
                    looked into as files, and which packages its images have is unknown";
        let what = what.to_owned();
        collected.unread(path.clone(), Reason::Unavailable { what });
    }
    collected.charge(Share::default());
    images::read(host, &stores, &mut collected, entries_seen);
    Inventory {
        other_roots: search.other_roots,
        ..collected.inventory()
    }
}

/// The packages of its distribution alone, whichever it is, without a walk over the file systems.
pub fn own_packages(host: &LocalHost) -> Inventory {
    // Without asking apt's lists where each came from, which takes longer than all else.
    if let Ok(components) = host.distribution_packages() {
        return Inventory {
            components,
            ..Inventory::default()
        };
    }
    let mut collected = Collected::default();
    packages::read(&host.inner, &mut collected);
    collected.inventory()
}

/// The users that the host's own file knows. Of the others, one person may have sixty thousand
/// (subuid(5)).
fn users(host: &Arc<crate::local::Inner>) -> BTreeSet<u32> {
    let passwd = accounts::passwd(host).map(|passwd| passwd.entries);
    let entries = passwd.unwrap_or_default().into_iter();
    entries.map(|line| line.entry.uid).collect()
}

/// The candidates that a package of the distribution brought: what they are is that package's
/// affair, and the distribution's to patch. Of `foreign` packages nobody says what is in them.
fn owned(
    host: &Arc<crate::local::Inner>,
    candidates: &[Candidate],
    foreign: &BTreeSet<String>,
    collected: &mut Collected,
) -> BTreeSet<Vec<u8>> {
    let paths: BTreeSet<&[u8]> = candidates
        .iter()
        .map(|candidate| candidate.path.as_bytes())
        .collect();
    if paths.is_empty() {
        return BTreeSet::new();
    }
    let owned_by_apk = packages::owned_by_apk(host, &paths);
    if host.packages().is_err() {
        // Without a database nothing is owned; that there is none is said already.
        return owned_by_apk;
    }
    match ownership::of(host, &paths) {
        Ok(owned) => owned
            .into_iter()
            .filter(|(_, ownership)| {
                let package = ownership.package.as_ref();
                package.is_some_and(|package| !foreign.contains(package))
            })
            .map(|(path, _)| path)
            .chain(owned_by_apk)
            .collect(),
        Err(Trouble::Absent) => owned_by_apk,
        Err(Trouble::Unknown(why)) => {
            collected.unread(HostPath::literal("/var/lib/dpkg/info"), why);
            owned_by_apk
        }
    }
}

fn say_unreadable(search: &Search, is_root: bool, collected: &mut Collected) {
    let why = match is_root {
        true => Reason::Failed {
            why: "a directory that can't be read".to_owned(),
        },
        false => Reason::NeedsRoot,
    };
    for path in &search.unreadable.first {
        collected.unread(path.clone(), why.clone());
    }
    let more = search.unreadable.total - search.unreadable.first.len() as u64;
    if more > 0 {
        let more = plural(
            usize::try_from(more).unwrap_or(usize::MAX),
            "more directory",
        );
        let why = format!("{more} that can't be read");
        collected.unread(HostPath::literal("/"), Reason::Failed { why });
    }
    if search.left_out > 0 {
        let why = format!(
            "left out: {} that may hold components, which are more than are looked into",
            plural(search.left_out, "file")
        );
        collected.say(HostPath::literal("/"), Reason::Failed { why });
    }
}

/// Components as they come, each once.
#[derive(Default)]
pub(crate) struct Collected {
    components: BTreeMap<Component, BTreeSet<Evidence>>,
    unread: Vec<Unread>,
    /// Whose what is said now is.
    share: Share,
    shares: BTreeMap<Share, Taken>,
    /// What all ordinary users have together.
    of_users: Taken,
}

/// Whose components and troubles take nobody else's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Share {
    /// Packages and files of root.
    #[default]
    Files,
    /// Files of an ordinary user, or of all whom nobody knows.
    FilesOf(Option<u32>),
    /// Images in the stores of root, or of an ordinary user.
    Images(Option<u32>),
}

/// How much room something takes.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    /// Components, once for each file that proves one.
    proofs: usize,
    text_bytes: usize,
    /// Proofs for which there was no room.
    left_out: usize,
    troubles: usize,
}

/// The most that is kept: of root's components, of those of one user, and of those of all users. A
/// host of 5,000 packages and 100,000 components has 30 MB of names and paths.
const MOST_OF_ROOT: Most = Most {
    proofs: 1_000_000,
    text_bytes: 512 << 20,
};
const MOST_OF_USER: Most = Most {
    proofs: 500_000,
    text_bytes: 128 << 20,
};
const MOST_OF_USERS: Most = Most {
    proofs: 1_000_000,
    text_bytes: 256 << 20,
};

struct Most {
    proofs: usize,
    text_bytes: usize,
}

impl Taken {
    fn fits(self, text_bytes: usize, most: &Most) -> bool {
        self.proofs < most.proofs && self.text_bytes + text_bytes <= most.text_bytes
    }

    fn add(&mut self, text_bytes: usize) {
        self.proofs += 1;
        self.text_bytes += text_bytes;
    }
}

impl Share {
    const fn is_roots(self) -> bool {
        matches!(self, Self::Files | Self::Images(None))
    }

    fn what(self) -> String {
        match self {
            Self::Files => "files".to_owned(),
            Self::FilesOf(Some(uid)) => format!("files of the user {uid}"),
            Self::FilesOf(None) => "files of unknown users".to_owned(),
            Self::Images(None) => "images".to_owned(),
            Self::Images(Some(uid)) => format!("images of the user {uid}"),
        }
    }
}

impl Collected {
    /// What is said from now on counts on this share.
    pub(crate) fn charge(&mut self, share: Share) {
        self.share = share;
    }

    /// Says what nobody's share may push out: a limit that was reached, of which there are few.
    pub(crate) fn say(&mut self, path: HostPath, why: Reason) {
        self.unread.push(Unread { path, why });
    }

    /// `component` comes without evidence.
    fn add(&mut self, component: Component, evidence: Evidence) {
        let known = self.components.get(&component);
        if known.is_some_and(|known| known.contains(&evidence)) {
            return;
        }
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let source = component.source.as_ref();
        let text_bytes = component.name.len()
            + component.version.len()
            + source.map_or(0, |source| source.name.len() + source.version.len())
            + length(&component.architecture)
            + length(&component.origin)
            + length(&component.image)
            + evidence.path.as_bytes().len()
            + length(&evidence.member)
            + component.packages.iter().map(String::len).sum::<usize>();
        let is_roots = self.share.is_roots();
        let taken = self.shares.entry(self.share).or_default();
        let fits = match is_roots {
            true => taken.fits(text_bytes, &MOST_OF_ROOT),
            false => {
                taken.fits(text_bytes, &MOST_OF_USER)
                    && self.of_users.fits(text_bytes, &MOST_OF_USERS)
            }
        };
        if !fits {
            taken.left_out += 1;
            return;
        }
        taken.add(text_bytes);
        if !is_roots {
            self.of_users.add(text_bytes);
        }
        self.components
            .entry(component)
            .or_default()
            .insert(evidence);
    }

    /// Takes what a file holds, which is an image's or the host's own.
    fn take(&mut self, candidate: &Candidate, image: Option<&str>, parsed: &read::Parsed) {
        let path = &candidate.path;
        self.contents(path, image, &parsed.contents, &|member| member.cloned());
        match parsed.named(path.file_name()) {
            java::Named::Nothing => {}
            java::Named::Component(found) => {
                self.found(path, image, &found, found.member.clone());
            }
            java::Named::Untold(why) => self.unread(path.clone(), why),
        }
    }

    /// Takes contents. `member_of` tells the way inside an archive.
    fn contents(
        &mut self,
        path: &HostPath,
        image: Option<&str>,
        contents: &found::Contents,
        member_of: &dyn Fn(Option<&String>) -> Option<String>,
    ) {
        // Whoever has no room left must not cost time instead.
        match self.shares.get_mut(&self.share) {
            Some(taken) if taken.left_out > 0 => taken.left_out += contents.found.len(),
            _ => {
                for found in &contents.found {
                    self.found(path, image, found, member_of(found.member.as_ref()));
                }
            }
        }
        for why in &contents.unread {
            self.unread(path.clone(), why.clone());
        }
    }

    fn found(
        &mut self,
        path: &HostPath,
        image: Option<&str>,
        found: &found::Found,
        member: Option<String>,
    ) {
        let evidence = Evidence {
            path: path.clone(),
            how: found.how,
            member,
        };
        let component = Component {
            ecosystem: found.ecosystem.clone(),
            name: found.name.clone(),
            version: found.version.clone(),
            source: None,
            architecture: None,
            origin: None,
            evidence: Arc::default(),
            image: image.map(str::to_owned),
            packages: found.packages.clone(),
            instead_of: found.instead_of.clone(),
        };
        self.add(component, evidence);
    }

    /// A file has more names than are looked at.
    fn say_more_names(&mut self, candidate: &Candidate, more: usize) {
        let why = format!(
            "this file has {}, by which it is not looked at: the limit is {}",
            plural(more, "more name"),
            plural(read::MOST_NAMES, "name")
        );
        self.unread(candidate.path.clone(), Reason::Failed { why });
    }

    fn unread(&mut self, path: HostPath, why: Reason) {
        let taken = self.shares.entry(self.share).or_default();
        taken.troubles += 1;
        if taken.troubles <= MOST_UNREAD {
            self.unread.push(Unread { path, why });
        }
    }

    fn inventory(mut self) -> Inventory {
        for (share, taken) in std::mem::take(&mut self.shares) {
            let what = share.what();
            if let Some(more @ 1..) = taken.troubles.checked_sub(MOST_UNREAD) {
                let why = format!("{more} more troubles with {what} are not named");
                self.say(HostPath::literal("/"), Reason::Failed { why });
            }
            if taken.left_out > 0 {
                let why = format!(
                    "left out: {} of {what}, which are more than are kept",
                    plural(taken.left_out, "component")
                );
                self.say(HostPath::literal("/"), Reason::Failed { why });
            }
        }
        self.unread
            .sort_by(|one, other| (&one.path, &one.why).cmp(&(&other.path, &other.why)));
        self.unread.dedup();
        let with_evidence = |(component, evidence): (Component, BTreeSet<Evidence>)| Component {
            evidence: evidence.into_iter().collect(),
            ..component
        };
        Inventory {
            components: self.components.into_iter().map(with_evidence).collect(),
            unread: self.unread,
            other_roots: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::HostPath;
    use model::component::{Ecosystem, EvidenceKind};

    use super::found::{Contents, Found};
    use super::{Collected, Share};

    #[test]
    fn whoever_has_no_room_left_costs_no_time() {
        let contents = |prefix: &str, count: usize| {
            let mut contents = Contents::default();
            for number in 0..count {
                let name = format!("{prefix}{number}");
                let how = EvidenceKind::Lockfile;
                let found = Found::new(Ecosystem::Npm, &name, "1", how).expect("a component");
                contents.add(found);
            }
            contents
        };
        let mut collected = Collected::default();
        let take = |collected: &mut Collected, path: &str, contents: &Contents| {
            let path = HostPath::from_bytes(path.as_bytes()).expect("a path");
            collected.contents(&path, None, contents, &|_| None);
            let taken = collected.shares.get(&collected.share);
            taken.map_or(0, |taken| taken.left_out)
        };
        let user = Share::FilesOf(Some(1000));
        collected.charge(user);
        let many = contents(&"n".repeat(1000), 15_000);
        let deep = |name: &str| format!("/{}/{name}", vec!["d".repeat(240); 16].join("/"));
        assert_eq!(take(&mut collected, &deep("a"), &many), 0);
        let left_out = take(&mut collected, &deep("b"), &many);
        assert!((1..15_000).contains(&left_out), "{left_out}");
        // What would fit is not tried: a file may have 50,000 components, by each of many names.
        let few = contents("n", 3);
        assert_eq!(take(&mut collected, "/a", &few), left_out + 3);
        collected.charge(Share::FilesOf(Some(1001)));
        assert_eq!(take(&mut collected, "/a", &few), 0, "others have their own");
    }
}
