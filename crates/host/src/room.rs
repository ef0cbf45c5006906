//! How much room a way back needs on each file system, and whether it is there. What was
//! replaced is written again under a temporary name before the newer content goes, so the
//! largest file needs room beside all that grows.

use std::collections::BTreeMap;

use model::HostPath;

use crate::act::{ActError, Context, file};
use crate::image::Node;
use crate::state::{State, StateError};

/// Directory entries, links and attributes, and what a file system keeps for itself.
const BESIDE_BYTES: u64 = 256 << 10;
/// The journal's transactions while a change is taken back, many times over.
const JOURNAL_BYTES: u64 = 512 << 10;
/// File systems give room in blocks; most have 4 KiB.
const BLOCK_BYTES: u64 = 4096;

/// One path on its way back.
pub(crate) struct Back<'a> {
    pub path: &'a HostPath,
    pub to: &'a Node,
    /// What is there when it goes back.
    pub from_bytes: u64,
}

/// How many bytes the ways back need.
struct Needed<'a> {
    /// On the state directory's file system.
    own_bytes: u64,
    /// On each other one, with a path on it.
    others: Vec<(u64, &'a HostPath)>,
}

fn needed<'a>(
    context: &Context<'_>,
    state: &State,
    ways: impl IntoIterator<Item = Back<'a>>,
) -> Result<Needed<'a>, ActError> {
    let blocks = |bytes: u64| bytes.div_ceil(BLOCK_BYTES) * BLOCK_BYTES;
    let mut devices: BTreeMap<u64, (u64, u64, &HostPath)> = BTreeMap::new();
    for way in ways {
        let size = blocks(size_bytes(way.to));
        if let Some(device) = file::device(context, way.path)? {
            let (growth, largest, _) = devices.entry(device).or_insert((0, 0, way.path));
            *growth += size.saturating_sub(blocks(way.from_bytes));
            *largest = size.max(*largest);
        }
    }
    let bytes = |(growth, largest, _): &(u64, u64, &HostPath)| growth + largest;
    let ours = state.device().and_then(|ours| devices.remove(&ours));
    Ok(Needed {
        own_bytes: ours.as_ref().map_or(0, bytes),
        others: devices
            .into_values()
            .map(|device| (bytes(&device), device.2))
            .collect(),
    })
}

pub(crate) fn size_bytes(node: &Node) -> u64 {
    match node {
        Node::File { size_bytes, .. } => *size_bytes,
        _ => 0,
    }
}

/// Before anything is touched: keeps room for the way back on every file system.
pub(crate) fn keep<'a>(
    context: &Context<'_>,
    state: &State,
    ways: impl IntoIterator<Item = Back<'a>>,
) -> Result<(), StateError> {
    let Needed { own_bytes, others } = needed(context, state, ways)?;
    state.reserve(own_bytes)?;
    for (bytes, path) in others {
        file::reserve(context, path, bytes + BESIDE_BYTES)?;
    }
    Ok(())
}

/// Before a change is undone: is there room on every file system, together with what was
/// kept beside the journal? Leaves nothing behind, since no record says yet that it may.
pub(crate) fn check<'a>(
    context: &Context<'_>,
    state: &State,
    ways: impl IntoIterator<Item = Back<'a>>,
) -> Result<(), StateError> {
    let Needed { own_bytes, others } = needed(context, state, ways)?;
    state.reserve_at_least(own_bytes + JOURNAL_BYTES)?;
    for (bytes, path) in others {
        file::has_room(context, path, bytes + BESIDE_BYTES)?;
    }
    Ok(())
}
