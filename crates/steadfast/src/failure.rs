//! How a command ends when it can't do what was asked: a diagnostic for people and an
//! exit code for scripts. Libraries return typed errors; they become failures here.

use std::error::Error;
use std::fmt;

use content::ContentErrors;
use miette::{Report, miette};

use crate::exit::Exit;

pub struct Failure {
    pub exit: Exit,
    /// What went wrong; several, where one look at a policy finds several mistakes.
    pub reports: Vec<Report>,
}

impl Failure {
    /// A message of our own, with what to do about it.
    pub fn new(exit: Exit, message: impl fmt::Display, help: impl fmt::Display) -> Self {
        Self {
            exit,
            reports: vec![miette!(
                help = harmless(&help.to_string()),
                "{}",
                harmless(&message.to_string())
            )],
        }
    }

    /// An error of a library, with its chain of sources.
    pub fn because(exit: Exit, error: impl Error) -> Self {
        Self {
            exit,
            reports: vec![miette!("{}", harmless(&chain(&error)))],
        }
    }

    /// The same, with what to do about it.
    pub fn with_help(exit: Exit, error: impl Error, help: impl fmt::Display) -> Self {
        Self::new(exit, chain(&error), help)
    }
}

impl fmt::Display for Failure {
    /// On one line, for where it is only a part of an answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reports: Vec<String> = self.reports.iter().map(ToString::to_string).collect();
        f.write_str(&reports.join("; "))
    }
}

/// Messages may quote what a host holds; their lines stay lines.
fn harmless(text: &str) -> String {
    let lines = text
        .split('\n')
        .map(|line| model::printable(line.as_bytes()));
    lines.collect::<Vec<_>>().join("\n")
}

/// An error and all its sources, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let said = error.to_string();
        // Some libraries repeat their source in their own message.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = error.source();
    }
    text
}

/// A policy that can't be used is wrong input.
impl From<ContentErrors> for Failure {
    fn from(errors: ContentErrors) -> Self {
        Self {
            exit: Exit::BadInput,
            reports: errors.into_iter().map(Report::new).collect(),
        }
    }
}

/// Writing to standard output failed: a disk is full, say.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self {
            exit: Exit::Unchecked,
            reports: vec![miette!("can't write the output: {error}")],
        }
    }
}
