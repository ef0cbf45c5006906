//! What the journal holds about one change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;
use model::{ActionId, Change, ChangeState, Digest, Effect, HostPath, Plan};
use serde::{Deserialize, Serialize};

use super::Record;
use crate::act::ActError;
use crate::act::package::PackagesBefore;
use crate::act::place::{LastLink, Root};
use crate::confirm::Session;
use crate::image::{Images, Node};
use crate::restart::Restart;

/// A change's own record; rewritten at each transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub change: Change,
    /// The random part of this change's temporary names.
    pub token: String,
    /// The tree that was changed; `/` on a host.
    pub root: PathBuf,
    /// `/proc/sys/kernel/random/boot_id` (random(4)) when it began: another one means that
    /// the machine was restarted since.
    pub boot: Option<String>,
    /// The digest over all before-images, so that none can be taken away unnoticed.
    pub images: Option<Digest>,
    /// When the result, or the undo, took effect; sign-ins count from here.
    pub activated: Option<Timestamp>,
    /// Until when it, or its undo, must be confirmed.
    pub deadline: Option<Timestamp>,
    /// How the wait is judged, whatever is done to the clock. None where it was begun by an
    /// older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
    /// Actions of change sets that failed and were taken back, or never begun, while the
    /// others stand.
    pub taken_back: BTreeSet<ActionId>,
    /// Actions that the undo that is under way leaves as they are.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub leaves: BTreeSet<ActionId>,
    /// Places that the last undo left as others have made them since.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub theirs: BTreeSet<HostPath>,
    /// Done by Steadfast for itself: its recovery units.
    #[serde(default)]
    pub own: bool,
    /// One of its before-images may hold a secret: they are kept for a shorter time.
    #[serde(default)]
    pub secrets: bool,
    /// Its before-images are deleted, as far as no other change refers to them.
    #[serde(default)]
    pub swept: bool,
    /// While an undo is under way that must be confirmed: what the change becomes again when
    /// it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<GuardedUndo>,
    /// While an undo of packages has not yet looked what their services wrote when they were stopped:
    /// what the change becomes again when that stands in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<GivenUp>,
    /// The machine is to be restarted for it, or was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// It touches what decided before it who becomes root.
    #[serde(default)]
    pub decides_root: bool,
    /// Before it, nobody administered the host but root.
    #[serde(default)]
    pub root_alone: bool,
}

/// The change as it was when an undo began that may be given up, and what is started again then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    pub units: BTreeSet<String>,
    pub header: Box<Header>,
    pub actions: Vec<ActionRecord>,
}

/// What a confirmation is judged by, within one boot of the machine (CLOCK_BOOTTIME).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// When the result, or the undo, took effect.
    pub activated_ms: u64,
    pub deadline_ms: u64,
    /// The numbers of sshd's processes then: over whose connection somebody signs in, was
    /// connected before. None where they could not be listed, and no sign-in counts.
    pub connections: Option<BTreeSet<u32>>,
    /// Who made the change: a confirmation from there shows nothing.
    pub made_by: Session,
    /// It touches what decides who becomes root: a sign-in does not show that anybody still can, but
    /// root's where nobody else could.
    #[serde(default)]
    pub way_to_root: bool,
}

/// The change as it was when an undo began that could cut people off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardedUndo {
    pub state: ChangeState,
    pub ended: Option<Timestamp>,
    pub note: Option<String>,
    /// Who asked for the undo.
    pub by: String,
}

impl Record for Header {
    const KIND: &'static str = "change";
}

impl Record for Plan {
    const KIND: &'static str = "plan";
}

/// Why a path is in the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An effect changes it.
    Touched,
    /// A directory whose entries an effect changes: only its time is put back.
    Parent,
}

/// What was at a path, and what was left there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imaged {
    pub path: HostPath,
    pub role: Role,
    pub before: Node,
    /// None until the change took effect.
    pub after: Option<Node>,
    /// The actions that touch it.
    pub actions: BTreeSet<ActionId>,
    /// Never shown.
    #[serde(default)]
    pub sensitive: bool,
    /// While it is being undone, where somebody changed it since: what was there then, and
    /// what shall be there. A parent that has this keeps whatever time it gets.
    #[serde(default)]
    pub undo: Option<UndoTo>,
    /// What was there before an undo that must be confirmed, and is again when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redo: Option<Node>,
    /// While it is being undone, a directory that goes with all that is in it by then: data whose
    /// loss was accepted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub all: bool,
    /// Where the file system is mounted on which it lies. None where that was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<HostPath>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands in a reference"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// The way of one path through an undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoTo {
    pub from: Node,
    pub to: Node,
}

impl Imaged {
    /// What is at the path now; its content only where that was read before the change, too.
    pub(crate) fn now(&self, root: &Root, images: Option<&Images>) -> Result<Node, ActError> {
        match self.before.is_unread() {
            true => Node::unread(root, &self.path),
            false => Ok(Node::capture(root, &self.path, LastLink::Itself, images)?.1),
        }
    }

    pub fn new(path: HostPath, role: Role, before: Node) -> Self {
        Self {
            path,
            role,
            before,
            after: None,
            actions: BTreeSet::new(),
            sensitive: false,
            undo: None,
            redo: None,
            all: false,
            mount: None,
        }
    }
}

impl Record for Imaged {
    const KIND: &'static str = "image";
}

/// What is not a path, and how it was before an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// The images say it all.
    Nothing,
    Sysctl {
        key: String,
        before: String,
        /// Parameters that the kernel sets with it, as they were right before the action: until it is
        /// done all that it may set, and then those that it did and no other action of the change is of.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        others: BTreeMap<String, String>,
    },
    Mount {
        path: HostPath,
        before: Vec<String>,
        /// What the action made of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Vec<String>>,
    },
    Module {
        name: String,
        loaded: bool,
    },
    /// A unit's state; which links enable it is in the images.
    Unit {
        name: String,
        active: Option<bool>,
        /// It had failed.
        #[serde(default)]
        failed: bool,
        /// Sockets, timers and paths that start it and did not run: starting it may start
        /// them too, and they would start it again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        quiet_triggers: Vec<String>,
        /// Units that start or stop with it, and whether each was up right before the action
        /// (systemd.unit(5)): until it is done all of them, and then those that it changed and no other
        /// action of the change is of.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        others: BTreeMap<String, bool>,
    },
    /// A unit that is told to read its configuration again.
    Told {
        name: String,
        /// It ran, and is brought up again should it not run any more.
        up: bool,
        /// In which boot it ran: after another one, systemd has started what it should.
        boot: Option<String>,
    },
    /// The packages that the action changes, and what puts them back.
    Packages(PackagesBefore),
    /// When an upgrade began: what was made before is none of its own.
    Upgrade {
        since: Timestamp,
        /// Units that ran then, and run again when it is taken back in the same boot.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ran: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot: Option<String>,
        /// When its undo began to be decided.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undone_since: Option<Timestamp>,
        /// When the undo had stopped their services, and had looked what was written until then. What
        /// came later it has not seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stopped: Option<Timestamp>,
        /// Those of `ran` that did not run any more when the change was done: ended by it, and not by
        /// somebody since.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        ended: BTreeSet<String>,
        /// Units of its packages that rested then, and ran when the change was done: they rest again
        /// when it is taken back.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        started: BTreeSet<String>,
    },
    /// To be done instead, as the plan says.
    Effect(Box<Effect>),
    /// The command itself: on the way back of an undo it is run where it is not in effect.
    Again(Box<Effect>),
    /// It was not, for the reason that is said, and what is there can't be looked at.
    Unseen {
        said: String,
    },
    /// Can't be taken back.
    Irreversible {
        why: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionState {
    Pending,
    /// Begun, perhaps done.
    Begun,
    Done,
    Failed {
        why: String,
    },
    TakenBack,
    /// Not begun, because what it stands on failed.
    Skipped {
        why: String,
    },
}

impl ActionState {
    /// May it have done anything?
    pub(crate) fn was_begun(&self) -> bool {
        !matches!(self, Self::Pending | Self::Skipped { .. })
    }

    /// Did it begin, and not come to its end?
    pub(crate) fn is_cut_short(&self) -> bool {
        matches!(self, Self::Begun | Self::Failed { .. })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRecord {
    pub id: ActionId,
    pub state: ActionState,
    pub kept: Kept,
    /// How the same was before an undo that must be confirmed. While that undo is itself taken
    /// back, the two have changed places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Kept>,
    /// How it stood before that undo, and stands again when that is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stood: Option<ActionState>,
}

impl Record for ActionRecord {
    const KIND: &'static str = "action";
}

impl ActionRecord {
    /// The key under which it is stored; sorts as the plan does.
    pub fn key(id: ActionId) -> String {
        format!("{:010}", id.0)
    }

    /// The record of an action. They stand in the plan's order, which is that of the ids.
    pub fn of(records: &[Self], id: ActionId) -> Option<&Self> {
        Some(&records[Self::place(records, id)?])
    }

    pub fn of_mut(records: &mut [Self], id: ActionId) -> Option<&mut Self> {
        let place = Self::place(records, id)?;
        Some(&mut records[place])
    }

    fn place(records: &[Self], id: ActionId) -> Option<usize> {
        records.binary_search_by_key(&id, |record| record.id).ok()
    }
}
