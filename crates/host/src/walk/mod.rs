//! One walk over the local file systems that answers every walk test of an audit. Network
//! and process file systems, the kernel's own, and the layers of containers are left out;
//! every other mount is walked on its own, and a directory tree that is mounted twice once.

pub(crate) mod owned;
pub(crate) mod ownership;
mod permissions;
mod roots;
pub(crate) mod since;
pub(crate) mod starts;
pub(crate) mod traverse;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use model::probe::WalkTests;
use model::value::{Reason, WALK_LIMIT, WalkHit, WalkSeen};
use model::{HostPath, Observed, Value, WalkTest};

use crate::components::images::stores;
use crate::local::{Inner, LocalHost, observed};
use crate::probe::files::with_names;
use crate::tree::Trouble;
use crate::{Host, HostError};
use ownership::Ownership;
use permissions::{Found, Hit};

/// Walks the tree at `root`, as an audit with `--root` would: for measuring.
///
/// # Errors
/// When `root` can't be opened.
pub fn walk(
    root: &Path,
    tests: &WalkTests,
    entries_seen: &(dyn Fn(u64) + Sync),
) -> Result<BTreeMap<WalkTest, Observed>, HostError> {
    Ok(LocalHost::offline(root)?.walk(tests, entries_seen))
}

pub(crate) fn answers(
    host: &Arc<Inner>,
    tests: &WalkTests,
    entries_seen: &(dyn Fn(u64) + Sync),
) -> BTreeMap<WalkTest, Observed> {
    // Where a configuration of root's moved them; a tool's own places are known to every walk.
    let layers = stores::layers_of_root(host);
    let mut starts = starts::starts(&host.tree);
    starts.retain(|start| !layers.iter().any(|layers| start.path.is_within(layers)));
    let layers = layers.iter().map(|path| path.as_bytes().to_vec()).collect();
    let mut found = permissions::find(host, &starts, &layers, tests, entries_seen);
    let unreadable: Vec<HostPath> = found.unreadable.iter().cloned().collect();
    let owned = owned_by_packages(host, &found);
    tests
        .iter()
        .map(|test| {
            let hits = found.hits.remove(test).unwrap_or_default();
            let seen = answer(host, &found, *test, hits, &owned).map(|(hits, total)| {
                Value::Walk(WalkSeen {
                    hits,
                    total,
                    unreadable: unreadable.clone(),
                    unreadable_total: found.unreadable_total,
                    other_roots: found.other_roots.clone(),
                })
            });
            (*test, observed(seen))
        })
        .collect()
}

fn answer(
    host: &Arc<Inner>,
    found: &Found,
    test: WalkTest,
    mut hits: permissions::Hits,
    owned: &Result<BTreeMap<Vec<u8>, Ownership>, Trouble>,
) -> Result<(Vec<WalkHit>, u64), Trouble> {
    if test == WalkTest::Unowned {
        host.names().readable.clone()?;
        if found.unknown_owner {
            return Err(Reason::Unavailable {
                what:
                    "accounts come from other sources than the files, and these could not be asked"
                        .to_owned(),
            }
            .into());
        }
    }
    hits.shorten(WALK_LIMIT);
    let (mut list, total) = (hits.list, hits.total);
    let nothing = BTreeMap::new();
    let owned = match by_package(test) && !list.is_empty() {
        true => owned.as_ref().map_err(Clone::clone)?,
        false => &nothing,
    };
    list.sort_by(|one, other| one.path.cmp(&other.path));
    let hits = list
        .into_iter()
        .filter_map(|hit| {
            let Ownership { package, declared } = owned.get(&hit.path).cloned().unwrap_or_default();
            Some(WalkHit {
                // Longer ones were counted as unreadable by the walk.
                path: HostPath::from_bytes(&hit.path).ok()?,
                meta: with_names(host, hit.node),
                package,
                declared,
            })
        })
        .collect();
    Ok((hits, total))
}

/// Does it matter to this test which package a file is of?
fn by_package(test: WalkTest) -> bool {
    matches!(
        test,
        WalkTest::UnknownPrivilegedPrograms | WalkTest::UnknownCapabilities
    )
}

/// What dpkg's database says of the hits.
fn owned_by_packages(
    host: &Arc<Inner>,
    found: &Found,
) -> Result<BTreeMap<Vec<u8>, Ownership>, Trouble> {
    let candidates: BTreeSet<&[u8]> = found
        .hits
        .iter()
        .filter(|(test, _)| by_package(**test))
        .flat_map(|(_, hits)| hits.list.iter().map(|hit: &Hit| &hit.path[..]))
        .collect();
    if candidates.is_empty() {
        return Ok(BTreeMap::new());
    }
    ownership::of(host, &candidates)
}
