//! Looking into the files that may speak of components, side by side: each is opened, read as
//! far as its parser asks, and closed.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use model::HostPath;
use model::value::Reason;

use super::elf::{Elf, MAGIC};
use super::found::{Contents, Found};
use super::search::{Candidate, FileId, Kind};
use super::source::{OpenFile, Source};
use super::{go, java, node, python, ruby, rust};
use crate::local::Inner;
use crate::tree::Trouble;

/// As many as the walk has.
const MOST_THREADS: usize = 4;

/// What was read before its turn is held up to this; then its reader waits.
const HELD_LIMIT_BYTES: usize = 64 << 20;

/// Names of one file that are looked at. Tools that save room by links give one file a few, and
/// git's own installation gives it 143; a user can give it a hundred thousand, each of which proves
/// all that is in it.
pub const MOST_NAMES: usize = 256;

/// What a file holds, whatever it is called.
#[derive(Default)]
pub struct Parsed {
    pub contents: Contents,
    /// Of a Java archive, what its name completes.
    own: Option<java::Own>,
}

impl Parsed {
    fn new(kind: Kind, source: &dyn Source, file_name: &[u8]) -> Self {
        match kind {
            Kind::Java => {
                let (contents, own) = java::look(source);
                Self {
                    contents: contents.end(),
                    own,
                }
            }
            kind => Self::from(contents(kind, source, file_name)),
        }
    }

    /// What is found when the file is called this, besides its contents.
    pub fn named(&self, file_name: &[u8]) -> java::Named {
        match &self.own {
            Some(own) => own.named(&self.contents, file_name, ""),
            None => java::Named::Nothing,
        }
    }

    /// About how much memory this takes.
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.contents.held_bytes()
    }
}

impl From<Contents> for Parsed {
    fn from(contents: Contents) -> Self {
        Self {
            contents,
            own: None,
        }
    }
}

/// What was read for some paths at once.
type Done<'a> = Vec<(Vec<&'a Candidate>, Arc<Parsed>)>;

/// Calls `each` with the contents of these files, in their order but for those that are one file
/// by several names: that is read once, with the first of them.
pub fn all<'a>(
    host: &Arc<Inner>,
    candidates: &[&'a Candidate],
    each: &mut dyn FnMut(&'a Candidate, &Arc<Parsed>),
) {
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST_THREADS)
        .min(candidates.len());
    let files = files(candidates);
    let handover = Handover::default();
    let started = AtomicUsize::new(0);
    let work = || {
        let _end = EndOnPanic(&handover);
        loop {
            let place = started.fetch_add(1, Ordering::Relaxed);
            let Some(file) = files.get(place) else { return };
            if !handover.give(place, read(host, file)) {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
        let _end = EndOnPanic(&handover);
        for place in 0..files.len() {
            let Some(done) = handover.take(place) else {
                return;
            };
            for (candidates, parsed) in done {
                for candidate in candidates {
                    each(candidate, &parsed);
                }
            }
        }
    });
}

/// Which file this is, when it may have other names that say the same.
fn shared(candidate: &Candidate) -> Option<(FileId, Kind)> {
    // Of these, the name or what lies beside them says all.
    let is_by_path = matches!(candidate.kind, Kind::Gem | Kind::CargoVendored);
    let id = candidate.linked.filter(|_| !is_by_path)?;
    Some((id, candidate.kind))
}

/// Keeps the first names of each file. `say` is told of which files there are more, and how many.
pub fn first_names<'a>(
    mut candidates: Vec<&'a Candidate>,
    say: &mut dyn FnMut(&'a Candidate, usize),
) -> Vec<&'a Candidate> {
    // By file: its first name, and how many it has.
    let mut names: HashMap<(FileId, Kind), (&Candidate, usize)> = HashMap::new();
    candidates.retain(|candidate| {
        let Some(id) = shared(candidate) else {
            return true;
        };
        let (_, count) = names.entry(id).or_insert((candidate, 0));
        *count += 1;
        *count <= MOST_NAMES
    });
    let mut more: Vec<(&Candidate, usize)> = names.into_values().collect();
    more.retain(|(_, count)| *count > MOST_NAMES);
    more.sort();
    for (first, count) in more {
        say(first, count - MOST_NAMES);
    }
    candidates
}

/// The paths of each file.
fn files<'a>(candidates: &[&'a Candidate]) -> Vec<Vec<&'a Candidate>> {
    let mut files: Vec<Vec<&Candidate>> = Vec::with_capacity(candidates.len());
    let mut places: HashMap<(FileId, Kind), usize> = HashMap::new();
    for candidate in candidates {
        let place = shared(candidate).map(|file| *places.entry(file).or_insert(files.len()));
        match place.and_then(|place| files.get_mut(place)) {
            Some(file) => file.push(candidate),
            None => files.push(vec![candidate]),
        }
    }
    files
}

/// Reads a file by the first of its names. One that has become another file since it was searched
/// speaks for that name only.
fn read<'a>(host: &Arc<Inner>, names: &[&'a Candidate]) -> Done<'a> {
    let mut done = Vec::new();
    let mut rest = names;
    while let Some(first) = rest.first() {
        let (parsed, id) = one(host, first);
        let is_same = id.is_some() && id == first.linked;
        let (same, others) = rest.split_at(if is_same { rest.len() } else { 1 });
        done.push((same.to_vec(), Arc::new(parsed)));
        rest = others;
    }
    done
}

/// Takes what several threads have read, in its order.
#[derive(Default)]
struct Handover<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
}

#[derive(Default)]
struct State<'a> {
    next: usize,
    held: BTreeMap<usize, Done<'a>>,
    held_bytes: usize,
    /// A thread has failed: nothing more will come, or be taken.
    ended: bool,
}

impl<'a> Handover<'a> {
    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'b>(&self, state: MutexGuard<'b, State<'a>>) -> MutexGuard<'b, State<'a>> {
        let state = self.changed.wait(state);
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// False when nobody takes anything any more.
    fn give(&self, place: usize, done: Done<'a>) -> bool {
        let mut state = self.lock();
        // Whoever has the next one never waits.
        while state.held_bytes > HELD_LIMIT_BYTES && place != state.next && !state.ended {
            state = self.wait(state);
        }
        state.held_bytes += held_bytes(&done);
        state.held.insert(place, done);
        self.changed.notify_all();
        !state.ended
    }

    fn take(&self, place: usize) -> Option<Done<'a>> {
        let mut state = self.lock();
        state.next = place;
        self.changed.notify_all();
        loop {
            if let Some(done) = state.held.remove(&place) {
                state.held_bytes -= held_bytes(&done);
                return Some(done);
            }
            if state.ended {
                return None;
            }
            state = self.wait(state);
        }
    }
}

fn held_bytes(done: &Done<'_>) -> usize {
    done.iter().map(|(_, parsed)| parsed.held_bytes()).sum()
}

/// Lets the other threads end when one of them fails.
struct EndOnPanic<'a, 'b>(&'a Handover<'b>);

impl Drop for EndOnPanic<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().ended = true;
            self.0.changed.notify_all();
        }
    }
}

/// What a file holds, and which file that was when one was opened.
fn one(host: &Arc<Inner>, candidate: &Candidate) -> (Parsed, Option<FileId>) {
    let nothing = |contents: Contents| (Parsed::from(contents), None);
    if candidate.kind == Kind::Gem {
        let found = ruby::parse_name(candidate.path.file_name());
        return nothing(Contents::from(Ok(found.into_iter().collect())));
    }
    if candidate.kind == Kind::CargoVendored {
        match is_vendored(host, &candidate.path) {
            Ok(true) => {}
            Ok(false) | Err(Trouble::Absent) => return nothing(Contents::default()),
            Err(Trouble::Unknown(reason)) => return nothing(Contents::from(Err(reason))),
        }
    }
    match host.tree.open_file(&candidate.path) {
        Ok(opened) => {
            let id = FileId::of(&opened.file);
            let file = OpenFile {
                file: opened.file,
                size_bytes: opened.node.size_bytes,
            };
            let name = candidate.path.file_name();
            (Parsed::new(candidate.kind, &file, name), id)
        }
        // It has vanished.
        Err(Trouble::Absent) => nothing(Contents::default()),
        // Most that may be run and not read are no programs of ours: what needs root is said by
        // the directories that can't be entered, and once for each such file.
        Err(Trouble::Unknown(reason)) => nothing(Contents::from(Err(reason))),
    }
}

/// Does the file beside a crate's manifest say that it is a copy from the registry?
fn is_vendored(host: &Arc<Inner>, manifest: &HostPath) -> Result<bool, Trouble> {
    let beside = manifest
        .parent()
        .and_then(|at| at.join(rust::CHECKSUM).ok());
    let (_, bytes) = host
        .tree
        .read(&beside.ok_or(Trouble::Absent)?, rust::VENDORED_LIMIT_BYTES)?;
    Ok(rust::is_from_registry(&bytes)?)
}

/// What a file of this kind holds.
pub fn contents(kind: Kind, source: &dyn Source, file_name: &[u8]) -> Contents {
    let contents = match kind {
        Kind::PythonMetadata => Contents::from(
            source
                .beginning(python::HEAD_BYTES)
                .map(|bytes| python::parse(&bytes).into_iter().collect()),
        ),
        Kind::PythonArchive => python::scan(source),
        Kind::PythonVendored => Contents::from(
            source
                .whole(python::VENDORED_LIMIT_BYTES)
                .and_then(|bytes| python::parse_vendored(&bytes)),
        ),
        Kind::GoVendored => Contents::from(
            source
                .whole(go::VENDORED_LIMIT_BYTES)
                .map(|bytes| go::parse_vendored(&bytes)),
        ),
        Kind::CargoVendored => Contents::from(
            source
                .whole(rust::VENDORED_LIMIT_BYTES)
                .and_then(|bytes| rust::parse_manifest(&bytes))
                .map(|found| found.into_iter().collect()),
        ),
        Kind::NodePackage => Contents::from(
            source
                .whole(node::PACKAGE_LIMIT_BYTES)
                .and_then(|bytes| node::parse_package(&bytes))
                .map(|found| found.into_iter().collect()),
        ),
        Kind::NodeLock => Contents::from(
            source
                .whole(node::LOCK_LIMIT_BYTES)
                .and_then(|bytes| node::parse_lock(&bytes)),
        ),
        Kind::Gem => Contents::from(Ok(ruby::parse_name(file_name).into_iter().collect())),
        Kind::Java => java::scan(source, file_name),
        Kind::Program => Contents::from(program(source)),
    };
    contents.end()
}

fn program(source: &dyn Source) -> Result<Vec<Found>, Reason> {
    if source.len() < 4 || source.read(0, 4)? != MAGIC {
        return Ok(Vec::new());
    }
    let Some(elf) = Elf::parse(source)? else {
        return Ok(Vec::new());
    };
    let mut found = rust::crates(&elf)?;
    found.extend(go::modules(&elf)?);
    Ok(found)
}
