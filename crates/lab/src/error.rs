//! What can go wrong in the lab. Every error names the operation and the object.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Missing;

/// An error of the lab.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This machine can't run the lab.
    #[error("this machine cannot run the lab: {0}")]
    Missing(#[from] Missing),
    /// A system call or a file operation failed.
    #[error("could not {operation} {object}")]
    Io {
        /// What was tried, in the infinitive.
        operation: &'static str,
        /// What it was tried on.
        object: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A program could not do its work.
    #[error("`{program}` failed ({status}): {detail}")]
    Failed {
        /// The command line.
        program: String,
        /// How it ended.
        status: String,
        /// The end of what it said.
        detail: String,
    },
    /// Something took longer than its bound.
    #[error("{what} did not finish within {} s{detail}", limit.as_secs())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// The bound.
        limit: Duration,
        /// What is known of it: the console's last lines, or nothing.
        detail: String,
    },
    /// The machine's apt sources name no archive that holds the release.
    #[error("no Debian archive is named in {0}")]
    NoMirror(PathBuf),
    /// A host was asked for something while it is switched off.
    #[error("host {0} is not running")]
    NotRunning(String),
    /// A cached file of the lab can't be understood.
    #[error("could not read {path}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// Wraps an I/O error with what was tried on what; made for `map_err`.
    pub(crate) fn io<E: Into<io::Error>>(
        operation: &'static str,
        object: impl AsRef<Path>,
    ) -> impl FnOnce(E) -> Self {
        let object = object.as_ref().display().to_string();
        move |source| Self::Io {
            operation,
            object,
            source: source.into(),
        }
    }
}
