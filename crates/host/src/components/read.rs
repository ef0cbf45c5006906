//! Looking into the files that may speak of components, side by side: each is opened, read as
//! far as its parser asks, and closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use model::HostPath;
use model::value::Reason;

use super::elf::{Elf, MAGIC};
use super::found::{Contents, Found};
use super::search::{Candidate, Kind};
use super::source::{OpenFile, Source};
use super::{go, java, node, python, ruby, rust};
use crate::local::Inner;
use crate::tree::Trouble;

/// As many as the walk has.
const MOST_THREADS: usize = 4;

/// The contents of these files, in their order; files that say nothing are left out.
pub fn all<'a>(host: &Arc<Inner>, candidates: &[&'a Candidate]) -> Vec<(&'a Candidate, Contents)> {
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST_THREADS)
        .min(candidates.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(candidate) = candidates.get(place) else {
                return done;
            };
            let contents = one(host, candidate);
            if !contents.found.is_empty() || !contents.unread.is_empty() {
                done.push((place, contents));
            }
        }
    };
    let mut all: Vec<(usize, Contents)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let workers = workers.into_iter();
        workers
            .flat_map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    all.sort_by_key(|(place, _)| *place);
    let all = all.into_iter();
    all.map(|(place, contents)| (candidates[place], contents))
        .collect()
}

fn one(host: &Arc<Inner>, candidate: &Candidate) -> Contents {
    if candidate.kind == Kind::Gem {
        let found = ruby::parse_name(candidate.path.file_name());
        return Contents::from(Ok(found.into_iter().collect()));
    }
    if candidate.kind == Kind::CargoVendored {
        match is_vendored(host, &candidate.path) {
            Ok(true) => {}
            Ok(false) | Err(Trouble::Absent) => return Contents::default(),
            Err(Trouble::Unknown(reason)) => return Contents::from(Err(reason)),
        }
    }
    match host.tree.open_file(&candidate.path) {
        Ok(opened) => {
            let file = OpenFile {
                file: opened.file,
                size_bytes: opened.node.size_bytes,
            };
            contents(candidate.kind, &file, candidate.path.file_name())
        }
        // It has vanished.
        Err(Trouble::Absent) => Contents::default(),
        // Most that may be run and not read are no programs of ours: what needs root is said by
        // the directories that can't be entered, and once for each such file.
        Err(Trouble::Unknown(reason)) => Contents::from(Err(reason)),
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
    match kind {
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
    }
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
