//! The `steadfast` program: one file per command, rendering, and exit codes.
//!
//! Only this room prints: data to standard output, words for people to standard error.
//! It decides nothing about a host and touches none: `plan` and `host` do.

pub mod assessing;
pub mod cli;
pub mod commands;
pub mod context;
pub mod duration;
pub mod exit;
pub mod failure;
pub mod input;
pub mod layout;
pub mod output;
pub mod packages_stage;
pub mod params;
pub mod progress;
pub mod prove;
pub mod reference;
pub mod report;
pub mod show;
pub mod still_open;
pub mod style;
pub mod suggest;
pub mod survey;

use std::fmt;
use std::io::Write;

/// A line for people, on standard error. Nobody reads it when that is closed.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
