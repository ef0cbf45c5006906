//! Imports a feed: reads all of it, and only then replaces the index of before.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use advisory::read::{self, Form, Refusal, Statements, osv};
use advisory::{Builder, Feed};
use jiff::Timestamp;

use super::documents::{Keeper, Kept};
use super::records::{FromBundle, Origin};
use super::source::{self, Bounds};
use super::{FeedError, FeedName, Feeds, MOST_FEEDS, fail};

/// A feed of which so many of a hundred records can't be read is none, or of a form that changed.
const MOST_MALFORMED_PERCENT: usize = 5;

/// After so many that can't be read, a feed of which more than half can't is given up.
const MALFORMED_AT_ONCE: usize = 2500;

/// What was imported.
#[derive(Clone, Debug)]
pub struct Imported {
    pub feed: Feed,
    pub size_bytes: usize,
}

/// Imports a file, a directory or an archive that nobody signed. `now` is when that is.
///
/// # Errors
/// When it can't be read as a whole, or says nothing: then nothing is changed.
pub fn import(
    feeds: &Feeds,
    path: &Path,
    name: &FeedName,
    now: Timestamp,
) -> Result<Imported, FeedError> {
    let lock = feeds.lock()?;
    feeds.within(&lock, || {
        let built = build(feeds, path, path, name, now)?;
        let imported = built.imported.clone();
        feeds.settle(vec![built], None, None)?;
        Ok(imported)
    })
}

/// A feed that was read as a whole, its index and documents under temporary names.
pub(super) struct Built {
    pub name: FeedName,
    pub imported: Imported,
    kept: Kept,
}

/// Reads a feed. `shown` is what messages call it.
pub(super) fn build(
    feeds: &Feeds,
    path: &Path,
    shown: &Path,
    name: &FeedName,
    now: Timestamp,
) -> Result<Built, FeedError> {
    let refused = |why: String| FeedError::Refused {
        path: shown.to_owned(),
        why,
    };
    let mut builder = Builder::at(now);
    let mut keeper = Keeper::new(feeds, name.as_str())?;
    source::read(path, shown, Bounds::default(), &mut |document, bytes| {
        let others = builder.counts.other_files;
        take(&mut builder, document, bytes).map_err(|error| refused(error.to_string()))?;
        let bad = builder.counts.malformed;
        if bad >= MALFORMED_AT_ONCE && bad > builder.taken() + builder.counts.withdrawn {
            let first = builder.counts.malformed_first.first().cloned();
            let first = first.unwrap_or_default();
            return Err(refused(format!(
                "{bad} of its first records can't be read: {first}"
            )));
        }
        match builder.counts.other_files > others {
            true => Ok(()),
            false => keeper.add(document, bytes),
        }
    })?;
    let (good, bad) = (builder.taken(), builder.counts.malformed);
    let first = builder.counts.malformed_first.first().cloned();
    if good == 0 && builder.counts.withdrawn == 0 {
        let why = first.map_or_else(String::new, |first| format!(": {first}"));
        return Err(refused(format!(
            "holds no advisory, score or statement{why}"
        )));
    }
    if bad * 100 > (good + bad) * MOST_MALFORMED_PERCENT {
        let first = first.unwrap_or_default();
        let all = good + bad;
        return Err(refused(format!(
            "{bad} of its {all} records can't be read: {first}"
        )));
    }
    let kept = keeper.finish()?;
    let (bytes, feed) = builder
        .finish(name.as_str(), now)
        .map_err(|error| refused(error.to_string()))?;
    feeds.stage(name, &bytes)?;
    Ok(Built {
        name: name.clone(),
        imported: Imported {
            feed,
            size_bytes: bytes.len(),
        },
        kept,
    })
}

impl Feeds {
    /// Does something under the lock, and leaves nothing half-done behind.
    pub(super) fn within<T>(
        &self,
        _lock: &File,
        work: impl FnOnce() -> Result<T, FeedError>,
    ) -> Result<T, FeedError> {
        self.sweep()?;
        let done = work();
        // What went wrong first is what is told.
        match self.sweep() {
            Err(error) if done.is_ok() => Err(error),
            _ => done,
        }
    }

    /// Puts feeds in the places of those of before. All of them were read by now; what can still
    /// go wrong is the disk, and then each feed is the old one or the new one.
    pub(super) fn settle(
        &self,
        built: Vec<Built>,
        source: Option<&str>,
        bundle: Option<&FromBundle>,
    ) -> Result<(), FeedError> {
        let mut records = self.records()?;
        let mut names: BTreeSet<String> = records.feeds.keys().cloned().collect();
        names.extend(self.names()?.iter().map(|name| name.as_str().to_owned()));
        names.extend(built.iter().map(|built| built.name.as_str().to_owned()));
        if names.len() > MOST_FEEDS {
            return Err(FeedError::TooMany);
        }
        // The memory first: after a crash the same bundle is taken again, and an older one never.
        if let Some(bundle) = bundle {
            for built in &built {
                let name = built.name.as_str().to_owned();
                records.seen.insert(name, bundle.made);
            }
            self.save(&records)?;
        }
        for Built { name, kept, .. } in &built {
            let documents = self.documents(&kept.digest);
            std::fs::rename(&kept.path, &documents).map_err(fail("write", &documents))?;
            self.put(name)?;
            let origin = Origin {
                documents: kept.digest,
                size_bytes: kept.size_bytes,
                source: source.map(str::to_owned),
                bundle: bundle.cloned(),
            };
            records.feeds.insert(name.as_str().to_owned(), origin);
        }
        self.save(&records)
    }
}

/// Takes one document in. What can't be read is counted, with its reason.
fn take(builder: &mut Builder, document: &str, bytes: &[u8]) -> Result<(), advisory::IndexError> {
    let ending = document
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let read = match ending.as_str() {
        "json" => json(builder, document, bytes)?,
        "yaml" | "yml" => yaml(builder, document, bytes)?,
        "csv" => scores(builder, document, bytes),
        // A file by itself may be called anything.
        _ if looks_like_json(bytes) => json(builder, document, bytes)?,
        _ => {
            builder.counts.other_files += 1;
            Ok(())
        }
    };
    if let Err(Refusal(why)) = read {
        builder.counts.refuse(|| format!("{document}: {why}"));
    }
    Ok(())
}

fn looks_like_json(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'{')
}

type Taken = Result<Result<(), Refusal>, advisory::IndexError>;

fn json(builder: &mut Builder, document: &str, bytes: &[u8]) -> Taken {
    // Nearly all documents are OSV records: the form is looked for when one is none.
    let why = match osv::read(bytes) {
        Ok(read) => return record(builder, read).map(Ok),
        Err(why) => why,
    };
    match read::form(bytes) {
        Err(other) => Ok(Err(other)),
        Ok(Form::Osv) => Ok(Err(why)),
        Ok(Form::Kev) => Ok(read::kev::read(bytes).map(|catalog| {
            builder.seen_at(catalog.released);
            refuse(builder, document, catalog.refused);
            for (cve, exploited) in catalog.read {
                builder.exploited(cve, exploited);
            }
        })),
        Ok(Form::DebianTracker) => match read::debian::read(bytes) {
            Err(refusal) => Ok(Err(refusal)),
            Ok(tracker) => {
                refuse(builder, document, tracker.refused);
                for (release, count) in tracker.elsewhere {
                    *builder.counts.elsewhere.entry(release).or_default() += count;
                }
                for advisory in tracker.read {
                    builder.advisory(advisory)?;
                }
                Ok(Ok(()))
            }
        },
        Ok(Form::OpenVex) => {
            Ok(read::openvex::read(bytes).map(|said| vex(builder, document, said)))
        }
        Ok(Form::Csaf) => Ok(read::csaf::read(bytes).map(|said| vex(builder, document, said))),
    }
}

fn yaml(builder: &mut Builder, document: &str, bytes: &[u8]) -> Taken {
    let _ = document;
    let read = str::from_utf8(bytes)
        .map_err(|error| Refusal(error.to_string()))
        .and_then(osv::read_yaml);
    match read {
        Ok(read) => record(builder, read).map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
}

fn record(builder: &mut Builder, read: osv::Read) -> Result<(), advisory::IndexError> {
    match read {
        osv::Read::Withdrawn(_) => builder.counts.withdrawn += 1,
        osv::Read::Advisory {
            advisory,
            elsewhere,
        } => {
            for ecosystem in elsewhere {
                *builder.counts.elsewhere.entry(ecosystem).or_default() += 1;
            }
            builder.advisory(advisory)?;
        }
    }
    Ok(())
}

fn scores(builder: &mut Builder, document: &str, bytes: &[u8]) -> Result<(), Refusal> {
    let scores = read::epss::read(bytes)?;
    builder.seen_at(scores.scored);
    refuse(builder, document, scores.refused);
    for (cve, epss) in scores.read {
        builder.score(cve, epss);
    }
    Ok(())
}

fn vex(builder: &mut Builder, document: &str, said: Statements) {
    builder.seen_at(said.newest);
    refuse(builder, document, said.refused);
    for statement in said.read {
        builder.statement(statement);
    }
}

fn refuse(builder: &mut Builder, document: &str, refused: Vec<Refusal>) {
    for Refusal(why) in refused {
        builder.counts.refuse(|| format!("{document}: {why}"));
    }
}
