//! The directories above what is to be made: which of them are not there.

use model::{HostPath, Probe};

use crate::{Answers, Seen};

/// What has to be asked to know them: nothing where the path itself is there.
pub(crate) fn probes(path: &HostPath, seen: &Answers) -> Vec<Probe> {
    if !is_absent(path, seen) {
        return Vec::new();
    }
    let mut above = above(path);
    let Some(first) = above.next() else {
        return Vec::new();
    };
    let meta = |path: HostPath| Probe::Meta { path };
    match is_absent(&first, seen) {
        // All the others at once: there are few rounds of questions.
        true => [first].into_iter().chain(above).map(meta).collect(),
        false => vec![meta(first)],
    }
}

/// The missing ones, from the top.
pub fn missing(path: &HostPath, seen: &Answers) -> Vec<HostPath> {
    let mut missing: Vec<HostPath> = above(path)
        .take_while(|path| matches!(seen.meta(path), Seen::Absent))
        .collect();
    missing.reverse();
    missing
}

fn is_absent(path: &HostPath, seen: &Answers) -> bool {
    matches!(seen.meta(path), Seen::Absent) || matches!(seen.file(path), Seen::Absent)
}

/// The directories above, from the nearest; the root directory is always there.
fn above(path: &HostPath) -> impl Iterator<Item = HostPath> {
    std::iter::successors(path.parent(), HostPath::parent).filter(|path| path.parent().is_some())
}
