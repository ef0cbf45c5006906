//! What people are told to type. Where the state is in another place than usual, each such command
//! names it: one that lacks it would act on another journal.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::show::plan::quoted;

static STATE: OnceLock<PathBuf> = OnceLock::new();

/// From now on, commands carry this place, which was named on the command line.
pub fn state_is(directory: &Path) {
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    // It is named once, before anything is said.
    let _ = STATE.set(directory);
}

/// The command as it is to be typed.
pub fn with_state(command: &str) -> String {
    match STATE.get() {
        Some(directory) => format!("{command} --state {}", quoted(&directory.to_string_lossy())),
        None => command.to_owned(),
    }
}

/// The place that was named, or else this one.
pub fn state_or(usual: impl FnOnce() -> PathBuf) -> PathBuf {
    STATE.get().cloned().unwrap_or_else(usual)
}
