//! Why an effect was not carried out.

use std::io;

use model::HostPath;

/// An effect failed, or was refused.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    #[error("cannot {what} `{path}`: {source}")]
    Path {
        what: &'static str,
        path: HostPath,
        source: io::Error,
    },
    /// Acting would not be safe, or not exact.
    #[error("refused to change `{path}`: {why}")]
    Refused { path: HostPath, why: String },
    /// A program, a system call or a service did not do what it was asked.
    #[error("cannot {what}: {why}")]
    Program { what: String, why: String },
    /// A program ran, and ended with another status than success.
    #[error("`{program}` failed: {why}")]
    Failed { program: String, why: String },
    /// What this host or this tree can't do.
    #[error("{0}")]
    Unsupported(String),
    /// Bytes in the image store are not what their name says, or are gone.
    #[error("the stored content {0} is missing or damaged")]
    Image(model::Digest),
}

impl ActError {
    pub fn path(what: &'static str, path: &HostPath, source: io::Error) -> Self {
        Self::Path {
            what,
            path: path.clone(),
            source,
        }
    }

    pub fn refused(path: &HostPath, why: impl Into<String>) -> Self {
        Self::Refused {
            path: path.clone(),
            why: why.into(),
        }
    }

    pub fn program(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Program {
            what: what.into(),
            why: why.to_string(),
        }
    }

    /// Is it only that something on the way is not there?
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Path { source, .. } if matches!(
            source.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        ))
    }

    /// Is something on the way no directory?
    pub fn is_blocked(&self) -> bool {
        matches!(self, Self::Path { source, .. } if source.kind() == io::ErrorKind::NotADirectory)
    }

    /// Was there no room left?
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Path { source, .. } if says_full(source))
    }
}

/// No blocks, no inodes (both `ENOSPC`), or no quota left.
pub fn says_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
