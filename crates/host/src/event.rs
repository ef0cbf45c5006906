//! What happens while a change is carried out, for whoever watches. Watching decides nothing.

use std::time::Duration;

use jiff::Timestamp;
use model::plan::Validator;
use model::{ActionId, ChangeId, HostPath, Outside};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The change has its number in the journal.
    Recorded {
        id: ChangeId,
    },
    /// Every before-image and inverse is durable.
    Imaged {
        paths: usize,
        took: Duration,
    },
    /// So many files that packages brought differ here from those of the rehearsal, where a script
    /// made them anew; what is done to them is what was shown.
    Settled {
        paths: usize,
    },
    /// A program accepted the new configuration.
    Accepted {
        validator: Validator,
        took: Duration,
    },
    /// A program refused it; `said` is its message, as it is.
    Refused {
        validator: Validator,
        said: String,
    },
    /// The program is not here, so nothing said whether the configuration is right.
    NotValidated {
        validator: Validator,
        why: String,
    },
    Done {
        action: ActionId,
        took: Duration,
    },
    Failed {
        action: ActionId,
        why: String,
    },
    /// Not begun, because what it stands on failed.
    Skipped {
        action: ActionId,
        why: String,
    },
    /// A running program was told.
    Activated {
        action: ActionId,
        took: Duration,
    },
    /// The units that were told were watched for a while, and none of them went down.
    StayedUp {
        units: Vec<String>,
        took: Duration,
    },
    /// The goal was observed.
    Verified {
        took: Duration,
    },
    NotReached {
        what: String,
        why: String,
    },
    /// The result is in effect, and is taken back at `deadline` unless it is confirmed.
    AwaitingConfirmation {
        id: ChangeId,
        deadline: Timestamp,
    },
    Waiting {
        left: Duration,
    },
    /// Somebody signed in, which confirms nothing.
    SignInPassedOver {
        id: ChangeId,
        why: String,
    },
    Confirmed {
        id: ChangeId,
        by: String,
    },
    TakingBack {
        id: ChangeId,
        why: String,
    },
    /// A path is again as it was.
    PutBack {
        path: HostPath,
    },
    /// Checked against the before-images: `same` of `of` paths are as they were.
    TakenBack {
        id: ChangeId,
        same: usize,
        of: usize,
        /// Is there anything else of it that is not as it was, or can't be looked at?
        is_in_doubt: bool,
    },
    /// What changed meanwhile and is no part of the change: it is told, and not touched.
    Outside {
        found: Outside,
    },
    /// What could not be put back, and why.
    Stuck {
        id: ChangeId,
        why: String,
    },
    /// Why not all is known to be as it was before: something can't be looked at, or is others'.
    NotAsBefore {
        why: String,
    },
    /// What services of its packages wrote since, in directories that are gone with these.
    WentAlong {
        paths: Vec<HostPath>,
    },
    Committed {
        id: ChangeId,
        /// Why it can't be taken back. Empty: it can.
        no_way_back: Vec<String>,
    },
}
