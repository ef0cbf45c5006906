//! One file per command. Each has its arguments, whose doc comments are its help, and a
//! `run` that returns an exit code.

pub mod apply;
pub mod audit;
pub mod baseline;
pub mod confirm;
pub mod demo;
pub mod history;
pub mod plan;
pub mod recover;
pub mod rule;
pub mod schema;
pub mod show;
pub mod undo;
pub mod uninstall;

use clap::ValueEnum;

/// How a command that lists or shows writes its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Human,
    /// For programs: stable and documented
    Json,
}
