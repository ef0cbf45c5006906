//! A Linux host: the only room that touches one. One half observes (facts, probes,
//! the walk, read-only programs), the other changes (journal, before-images, effects,
//! undo).
//!
//! The observing half writes nothing: it opens read-only, relative to a root directory,
//! and runs only fixed programs on a read-only view of the file system. It decides
//! nothing either: whether an answer is good is for `resource` and `plan`.

pub mod act;
pub mod apply;
mod checked;
pub mod components;
pub mod confirm;
pub mod crash;
pub mod dependencies;
mod elsewhere;
pub mod error;
pub mod event;
pub mod expire;
mod facts;
pub mod feeds;
pub mod image;
pub mod install;
mod installed;
pub mod journal;
mod local;
pub mod lock;
pub mod merge;
mod mounted;
pub mod observe;
mod outside;
pub mod packages;
pub mod parse;
pub mod patience;
pub mod probe;
pub mod processes;
pub mod records;
pub mod recover;
pub mod rehearse;
pub mod restart;
mod room;
mod services;
pub mod state;
mod take_back;
mod target;
pub mod tool;
pub mod tree;
pub mod undo;
pub mod validate;
pub mod walk;
pub mod zones;

use std::collections::BTreeMap;

use model::probe::WalkTests;
use model::{Observed, Probe, WalkTest};

pub use apply::{Applied, ApplyError, ApplyOptions, DecideAgain, Unended, Verdict, apply, outlook};
pub use confirm::{ConfirmError, Guard, Proof, Session, Unproven, confirm, confirm_from};
pub use crash::CrashPoints;
pub use error::HostError;
pub use event::Event;
pub use install::{Installed, Uninstalled, install, uninstall};
pub use local::LocalHost;
pub use observe::{Progress, observe};
pub use recover::{RecoverError, Recovered, Recovery, TakeBackError, recover, take_back_waiting};
pub use state::{ChangeRecord, Create, Pending, State, StateError};
pub use take_back::AsBefore;
pub use target::Changed;
pub use undo::look_again::{Difference, LookError, after_undo, keep_as_it_is, look_again};
pub use undo::{Choice, Left, Obstacle, UndoError, Undone, undo, undo_chosen};

/// Something that can be asked, read-only. [`LocalHost`] is the real one; tests of other
/// rooms bring their own.
pub trait Host: Sync {
    /// The answer to one question, within a bounded time. Never an error: what could not
    /// be told is [`model::Answer::Unknown`], with the reason.
    fn probe(&self, probe: &Probe) -> Observed;

    /// The answers of several walk tests from one walk over the local file systems.
    /// `entries_seen` is told now and then how many entries were looked at so far.
    fn walk(
        &self,
        tests: &WalkTests,
        entries_seen: &(dyn Fn(u64) + Sync),
    ) -> BTreeMap<WalkTest, Observed> {
        let _ = entries_seen;
        tests
            .iter()
            .map(|test| (*test, self.probe(&Probe::Walk { test: *test })))
            .collect()
    }
}
