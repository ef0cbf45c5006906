//! Real Debian hosts on one machine: booted containers and emulated machines.
//!
//! A rule is proven by breaking, fixing and restoring a *real* host, so this room makes such hosts quickly: an [`Image`] is built once per
//! release, a [`Container`] boots over it in half a second, a [`Machine`] has its own kernel and can lose its power. [`Pending`] has the
//! updates that Debian really published since. Our tests, `rule test`
//! and `demo` use it.
//!
//! It never prints, never reads the environment, never touches the machine it runs on outside its cache folder and its own run folders
//! (except [`install_requirements`], which is asked for by name), and ends only processes that it started.

mod command;
mod container;
mod control_group;
mod error;
mod image;
mod last_words;
mod machine;
mod machine_snapshot;
mod mirror;
mod pending;
mod recipe;
mod release;
mod requirements;
mod scratch;
mod snapshot;

pub use command::{Exec, Output, Running};
pub use container::{Container, Options};
pub use error::Error;
pub use image::{DEFAULT_CACHE, Image};
pub use last_words::{MARK, tell_failures};
pub use machine::{Disk, Machine, MachineOptions, emulator_crashes};
pub use pending::{Pending, Update};
pub use release::Release;
pub use requirements::{Missing, Requirements, install_requirements, wanted};
pub use snapshot::{Difference, Entry, Kind, NOISE, Snapshot, diff};

/// What this crate returns.
pub type Result<T> = std::result::Result<T, Error>;
