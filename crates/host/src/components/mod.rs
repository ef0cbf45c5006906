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

use model::HostPath;
use model::component::{Component, Evidence, Inventory, Unread};
use model::count::plural;
use model::value::Reason;

use crate::LocalHost;
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
    for (candidate, contents) in read::all(host, &unowned) {
        collected.take(&candidate.path, None, contents);
    }
    images::read(host, &stores, &mut collected, entries_seen);
    collected.inventory()
}

/// The packages of its distribution alone, whichever it is, without a walk over the file systems.
pub fn own_packages(host: &LocalHost) -> Inventory {
    // Without asking apt's lists where each came from, which takes longer than all else.
    if let Ok(components) = host.distribution_packages() {
        let unread = Vec::new();
        return Inventory { components, unread };
    }
    let mut collected = Collected::default();
    packages::read(&host.inner, &mut collected);
    collected.inventory()
}

/// The candidates that a package of the distribution brought: what they are is that package's
/// affair, and the distribution's to patch. Of `foreign` packages nobody says what is in them.
fn owned(
    host: &std::sync::Arc<crate::local::Inner>,
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
    if search.too_many {
        let why = "more files that may hold components than are looked into".to_owned();
        collected.unread(HostPath::literal("/"), Reason::Failed { why });
    }
}

/// Components as they come, each once.
#[derive(Default)]
pub(crate) struct Collected {
    components: BTreeMap<Component, BTreeSet<Evidence>>,
    unread: Vec<Unread>,
    /// Whose what is said now is.
    share: Share,
    /// How often each share has spoken.
    said: BTreeMap<Share, usize>,
}

/// Whose trouble takes nobody else's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Share {
    /// Files of the host.
    #[default]
    Files,
    /// Images in the stores of root, or of an ordinary user.
    Images(Option<u32>),
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
        self.components
            .entry(component)
            .or_default()
            .insert(evidence);
    }

    fn take(&mut self, path: &HostPath, image: Option<&str>, contents: found::Contents) {
        for found in contents.found {
            let evidence = Evidence {
                path: path.clone(),
                how: found.how,
                member: found.member,
            };
            let component = Component {
                ecosystem: found.ecosystem,
                name: found.name,
                version: found.version,
                source: None,
                architecture: None,
                origin: None,
                evidence: Vec::new(),
                image: image.map(str::to_owned),
            };
            self.add(component, evidence);
        }
        for why in contents.unread {
            self.unread(path.clone(), why);
        }
    }

    fn unread(&mut self, path: HostPath, why: Reason) {
        let said = self.said.entry(self.share).or_default();
        *said += 1;
        if *said <= MOST_UNREAD {
            self.unread.push(Unread { path, why });
        }
    }

    fn inventory(mut self) -> Inventory {
        for (share, said) in std::mem::take(&mut self.said) {
            let Some(more @ 1..) = said.checked_sub(MOST_UNREAD) else {
                continue;
            };
            let what = match share {
                Share::Files => "files".to_owned(),
                Share::Images(None) => "images".to_owned(),
                Share::Images(Some(uid)) => format!("images of the user {uid}"),
            };
            let why = format!("{more} more troubles with {what} are not named");
            self.say(HostPath::literal("/"), Reason::Failed { why });
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
        }
    }
}
