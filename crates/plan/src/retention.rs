//! How long before-images are kept. Decides which changes can no longer be undone; deletes
//! nothing.

use jiff::{SignedDuration, Timestamp};
use model::{ChangeId, ChangeState};

/// How long the before-images of a change that ended are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub days: u32,
    /// Where one of them may hold a secret: `/etc/shadow` of a quarter ago has hashes in it that
    /// people have long replaced.
    pub secret_days: u32,
    /// So many of the newest changes that are in effect are kept, however old.
    pub newest: usize,
}

impl Default for Retention {
    /// A quarter: what is found later is mended forwards, not undone. A month with secrets. Five
    /// changes: on a quiet host the last ones can be undone years later.
    fn default() -> Self {
        Self {
            days: 90,
            secret_days: 30,
            newest: 5,
        }
    }
}

/// What the decision needs to know of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub id: ChangeId,
    pub state: ChangeState,
    pub ended: Option<Timestamp>,
    /// One of its before-images may hold a secret.
    pub secrets: bool,
    /// Steadfast's own recovery units: nobody counts these among the newest changes.
    pub own: bool,
    /// Its before-images are gone, or going.
    pub expired: bool,
}

/// The changes whose before-images are kept no longer, the oldest first. Never one that is
/// not finished or needs a person, whatever the rule says.
pub fn due(changes: &[Held], now: Timestamp, rule: &Retention) -> Vec<ChangeId> {
    let mut in_effect: Vec<ChangeId> = changes
        .iter()
        .filter(|held| held.state == ChangeState::Committed && !held.own && !held.expired)
        .map(|held| held.id)
        .collect();
    in_effect.sort_unstable();
    let newest = &in_effect[in_effect.len().saturating_sub(rule.newest)..];
    let mut due: Vec<ChangeId> = changes
        .iter()
        .filter(|held| !held.expired && may_expire(held.state) && !newest.contains(&held.id))
        .filter(|held| {
            let days = match held.secrets {
                true => rule.secret_days.min(rule.days),
                false => rule.days,
            };
            let kept = SignedDuration::from_hours(24 * i64::from(days));
            held.ended
                .is_some_and(|ended| now.duration_since(ended) >= kept)
        })
        .map(|held| held.id)
        .collect();
    due.sort_unstable();
    due
}

const fn may_expire(state: ChangeState) -> bool {
    matches!(
        state,
        ChangeState::Committed
            | ChangeState::Undone
            | ChangeState::RolledBack
            | ChangeState::KeptAsItIs
    )
}
