//! `vulnerabilities.yaml`: by when vulnerabilities must be gone, and what the organisation says
//! about them.

use std::sync::Arc;

use model::VulnerabilityPolicy;

use crate::error::{ContentError, Problems, SourceText};
use crate::keys::{Keys, Shape};
use crate::yaml::{Node, Tree};

const POLICY: Shape<'_> = Shape {
    known: &["clocks", "days", "human_impact", "max_age_days"],
    needed: &[],
};

pub(crate) fn read_file(
    root: &Node,
    source: &Arc<SourceText>,
    problems: &mut Problems,
) -> Option<VulnerabilityPolicy> {
    // A file whose last line was removed is as good as none.
    if root.tree == Tree::Null {
        return Some(VulnerabilityPolicy::default());
    }
    let keys = Keys::of(root, "vulnerabilities.yaml", POLICY, source, problems)?;
    let max_age_days = keys.value("max_age_days", problems);
    if let (Some(0), Some(node)) = (max_age_days, keys.node("max_age_days")) {
        problems.push(
            ContentError::new("every feed is older than no days", keys.place_of(node))
                .help("a feed of the distribution changes nearly every day: `max_age_days: 7`"),
        );
    }
    Some(VulnerabilityPolicy {
        clocks: keys.value("clocks", problems),
        days: keys.value("days", problems).unwrap_or_default(),
        human_impact: keys.value("human_impact", problems),
        max_age_days,
    })
}
