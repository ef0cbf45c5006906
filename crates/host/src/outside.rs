//! What changed while an upgrade or its undo was at work, and is not in its write set: by the
//! upgrade itself, which did on the host what it did not on the copy, or by others. It is told,
//! and never touched.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use model::patching::DATA_PLACES;
use model::{HostPath, Outside};

use crate::HostError;
use crate::event::Event;
use crate::journal::{ActionRecord, Imaged, Kept, Role};
use crate::rehearse::writes::EVIDENCE;
use crate::state::State;
use crate::walk::since::{Expected, changed_since};

/// Written all the time by whoever runs, and no part of a host's state: queues, what systemd notes
/// of its timers, leases; beside what no write set holds.
const ALWAYS: [&str; 10] = [
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/var/tmp",
    "/var/spool",
    "/var/lib/systemd",
    "/var/lib/dhcp",
    "/var/lib/NetworkManager",
];

/// When the upgrade of a change began; none where it is of no upgrade.
pub(crate) fn since(records: &[ActionRecord]) -> Option<Timestamp> {
    records.iter().find_map(|record| match record.kept {
        Kept::Upgrade { since, .. } => Some(since),
        _ => None,
    })
}

/// When its undo began to carry out what was decided; none where it is of no upgrade.
pub(crate) fn undone_since(records: &[ActionRecord]) -> Option<Timestamp> {
    records.iter().find_map(|record| match record.kept {
        Kept::Upgrade { undone_since, .. } => Some(undone_since.unwrap_or_else(Timestamp::now)),
        _ => None,
    })
}

/// Looks for it, and tells whoever watches. Where it could not be looked for, that is what is told.
pub(crate) fn tell(
    images: &[Imaged],
    state: &State,
    since: Timestamp,
    sink: &mut dyn FnMut(Event),
) -> Outside {
    tell_beside(images, &BTreeSet::new(), state, since, sink)
}

/// The same, beside these paths that are the change's own and have no image: a link by which a unit is
/// enabled whose file the same change brings.
pub(crate) fn tell_beside(
    images: &[Imaged],
    own: &BTreeSet<HostPath>,
    state: &State,
    since: Timestamp,
    sink: &mut dyn FnMut(Event),
) -> Outside {
    let found = look(images, own, state.directory(), since).unwrap_or_else(|_| Outside::unseen());
    if !found.is_empty() {
        sink(Event::Outside {
            found: found.clone(),
        });
    }
    found
}

/// The files that this program's own words go to (`steadfast undo > FILE`).
fn own_outputs() -> BTreeSet<HostPath> {
    let outputs = ["/proc/self/fd/1", "/proc/self/fd/2"].into_iter();
    outputs
        .filter_map(|output| std::fs::read_link(output).ok())
        .filter_map(|path| HostPath::from_bytes(path.as_os_str().as_encoded_bytes()).ok())
        .collect()
}

fn look(
    images: &[Imaged],
    own: &BTreeSet<HostPath>,
    state: &Path,
    since: Timestamp,
) -> Result<Outside, HostError> {
    let always = ALWAYS.iter().chain(&EVIDENCE).chain(&DATA_PLACES);
    let mut below: Vec<HostPath> = always.map(|top| HostPath::literal(top)).collect();
    below.extend(HostPath::from_bytes(state.as_os_str().as_encoded_bytes()));
    let imaged = images.iter().map(|image| &image.path);
    let mine: BTreeSet<&HostPath> = imaged.chain(own).collect();
    // Their times are put back, and count as changed by that.
    let parents: BTreeSet<HostPath> = images
        .iter()
        .filter(|image| image.role == Role::Touched)
        .map(|image| &image.path)
        .chain(own)
        .filter_map(HostPath::parent)
        .collect();
    let outputs = own_outputs();
    let expected = Expected {
        below: &below,
        paths: &|path| mine.contains(path) || parents.contains(path) || outputs.contains(path),
    };
    changed_since(since, &expected)
}
