//! How a command ends when it can't do what was asked: a diagnostic for people and an
//! exit code for scripts. Libraries return typed errors; they become failures here.

use miette::{Diagnostic, Report, miette};

use crate::exit::Exit;

pub struct Failure {
    pub exit: Exit,
    pub report: Report,
}

impl Failure {
    /// The user's input is wrong.
    pub fn input(error: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self {
            exit: Exit::BadInput,
            report: Report::new(error),
        }
    }

    /// A message of our own, with what to do about it.
    pub fn new(exit: Exit, message: impl std::fmt::Display, help: impl std::fmt::Display) -> Self {
        Self {
            exit,
            report: miette!(help = help.to_string(), "{message}"),
        }
    }

    /// An error of a library, with its whole chain of sources.
    pub fn because(exit: Exit, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            exit,
            report: miette::IntoDiagnostic::into_diagnostic(Err::<(), _>(error))
                .expect_err("it was made from an error"),
        }
    }
}

/// Writing to standard output failed: the reader went away, or a disk is full.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self {
            exit: Exit::Unchecked,
            report: miette!("can't write the output: {error}"),
        }
    }
}
