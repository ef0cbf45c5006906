//! Changes: the durable record of carrying out a plan. One state machine for every
//! kind of change.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::restart::Restarted;
use crate::{ChangeId, HostPath, PlanId};

/// Where a change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeState {
    /// Recorded; nothing has been touched.
    Planned,
    /// Every before-image and inverse is durable.
    Imaged,
    /// Actions are being carried out.
    Applying,
    /// All actions ran; the result is being observed.
    Validating,
    /// In effect, and taken back unless it is confirmed in time.
    AwaitingConfirmation,
    /// Final: in effect.
    Committed,
    /// Being taken back on request.
    Undoing,
    /// Taken back on request, and put into effect again unless that is confirmed in time.
    AwaitingUndoConfirmation,
    /// The undo is being taken back because it failed, was interrupted or was not confirmed.
    Redoing,
    /// Final: taken back on request, and verified.
    Undone,
    /// Being taken back because it failed, was interrupted or was not confirmed.
    RollingBack,
    /// Final: taken back, and verified.
    RolledBack,
    /// Final until a person acts: neither as before nor as planned.
    NeedsHuman,
    /// Final: neither as before nor as planned, and somebody has decided that it stays so.
    KeptAsItIs,
}

impl ChangeState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Imaged => "imaged",
            Self::Applying => "applying",
            Self::Validating => "validating",
            Self::AwaitingConfirmation => "awaiting_confirmation",
            Self::Committed => "committed",
            Self::Undoing => "undoing",
            Self::AwaitingUndoConfirmation => "awaiting_undo_confirmation",
            Self::Redoing => "redoing",
            Self::Undone => "undone",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::NeedsHuman => "needs_human",
            Self::KeptAsItIs => "kept_as_it_is",
        }
    }

    /// As a sentence goes on after "the change is".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Planned | Self::Imaged => "not begun",
            Self::Applying => "being applied",
            Self::Validating => "being verified",
            Self::AwaitingConfirmation => "waiting to be confirmed",
            Self::Committed => "in effect",
            Self::Undoing => "being undone",
            Self::AwaitingUndoConfirmation => "undone, and that waits to be confirmed",
            Self::Redoing => "being put into effect again",
            Self::Undone => "undone already",
            Self::RollingBack => "being taken back",
            Self::RolledBack => "taken back already",
            Self::NeedsHuman => "in need of a person",
            Self::KeptAsItIs => "kept as it is",
        }
    }

    /// A change in a middle state was interrupted, unless a process is at work on it.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Committed | Self::Undone | Self::RolledBack | Self::NeedsHuman | Self::KeptAsItIs
        )
    }

    /// Is it, or its undo, in effect only until somebody confirms it?
    pub const fn is_awaiting(self) -> bool {
        matches!(
            self,
            Self::AwaitingConfirmation | Self::AwaitingUndoConfirmation
        )
    }

    /// May a change go from here to `next`?
    pub const fn allows(self, next: Self) -> bool {
        use ChangeState as S;
        matches!(
            (self, next),
            (S::Planned, S::Imaged)
                | (S::Imaged, S::Applying)
                | (S::Applying, S::Validating)
                | (S::Validating, S::AwaitingConfirmation | S::Committed)
                | (S::AwaitingConfirmation, S::Committed)
                | (S::Committed, S::Undoing)
                | (
                    S::NeedsHuman,
                    S::Undoing | S::Undone | S::RolledBack | S::KeptAsItIs
                )
                | (S::KeptAsItIs, S::Undoing)
                | (
                    S::Undoing,
                    S::Undone
                        | S::NeedsHuman
                        | S::AwaitingUndoConfirmation
                        | S::Redoing
                        | S::Committed
                )
                | (S::AwaitingUndoConfirmation, S::Undone | S::Redoing)
                | (S::Redoing, S::Committed | S::NeedsHuman)
                | (S::RollingBack, S::RolledBack | S::NeedsHuman)
                | (
                    S::Planned | S::Imaged | S::Applying | S::Validating | S::AwaitingConfirmation,
                    S::RollingBack
                )
        )
    }
}

impl fmt::Display for ChangeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A change as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub id: ChangeId,
    pub plan: PlanId,
    pub state: ChangeState,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    /// Who asked: the account, and the one behind `sudo` where there is one.
    pub by: String,
    /// One line about what it does.
    pub summary: String,
    /// The rules and roles it served.
    pub serves: Vec<String>,
    /// Why it ended as it did, where it was not as planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Since when its before-images are gone: it can no longer be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<Timestamp>,
    /// What changed while an upgrade was at work, and is not in its write set.
    #[serde(default, skip_serializing_if = "Outside::is_empty")]
    pub outside: Outside,
    /// It was kept, or its undo was, without a proof that somebody can still get in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unproven: bool,
    /// Some of it was taken back on request; the rest is in effect, and can be undone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone_in_part: bool,
    /// The machine was restarted for it: how the host was when it was up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restarted>,
    /// Why it can't be taken back: steps of it that have no way back, and were carried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_way_back: Vec<String>,
}

impl Change {
    /// Is it in effect, and can it be taken back as far as its record tells?
    pub fn may_be_undone(&self) -> bool {
        self.state == ChangeState::Committed
            && self.expired.is_none()
            && self.no_way_back.is_empty()
    }
}

/// Paths that changed while a change was at work, and are none of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// The first of them.
    pub paths: Vec<HostPath>,
    pub total: u64,
    /// Directories that could not be looked at.
    pub unreadable: u64,
}

impl Outside {
    pub fn is_empty(&self) -> bool {
        self.total == 0 && self.unreadable == 0
    }

    /// Nobody could look: that is not the same as that nothing changed.
    pub fn unseen() -> Self {
        Self {
            unreadable: 1,
            ..Self::default()
        }
    }

    /// What was found in two looks, one after the other.
    pub fn and(mut self, other: Self) -> Self {
        let unnamed = other.total.saturating_sub(other.paths.len() as u64);
        self.total += unnamed;
        for path in other.paths {
            if !self.paths.contains(&path) {
                self.paths.push(path);
                self.total += 1;
            }
        }
        self.unreadable += other.unreadable;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_looks_found_is_counted_once() {
        let outside = |paths: &[&'static str], total, unreadable| Outside {
            paths: paths.iter().map(|path| HostPath::literal(path)).collect(),
            total,
            unreadable,
        };
        let both = outside(&["/a", "/b"], 2, 0).and(outside(&["/b", "/c"], 5, 1));
        assert_eq!(both, outside(&["/a", "/b", "/c"], 6, 1));
        assert!(Outside::default().and(Outside::default()).is_empty());
        assert!(!Outside::default().and(Outside::unseen()).is_empty());
    }
}
