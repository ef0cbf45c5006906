//! Exit codes: what a script learns without reading a word. One enum, so that no
//! command invents its own.

use std::process::{ExitCode, Termination};

/// How a command ended, in the order of the codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// All is as wanted.
    #[default]
    AsWanted = 0,
    /// Findings, drift, or a denied gate; for `plan`, that there are changes.
    Findings = 1,
    /// The user's input is wrong: a bad file, a bad flag.
    BadInput = 2,
    /// Something could not be checked.
    Unchecked = 3,
    /// A change failed and was taken back.
    TakenBack = 4,
    /// A person is needed.
    NeedsPerson = 5,
}

impl Exit {
    /// In the order of the codes.
    pub const ALL: [Self; 6] = [
        Self::AsWanted,
        Self::Findings,
        Self::BadInput,
        Self::Unchecked,
        Self::TakenBack,
        Self::NeedsPerson,
    ];

    /// For the reference.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::AsWanted => "all is as wanted",
            Self::Findings => {
                "findings, drift, or a denied gate; for `plan`, that there are changes"
            }
            Self::BadInput => "the input is wrong: a bad file, a bad flag; nothing was touched",
            Self::Unchecked => "something could not be checked",
            Self::TakenBack => {
                "a change failed and was taken back, or failed on a copy of the host and never reached it"
            }
            Self::NeedsPerson => "a person is needed",
        }
    }

    /// The process's exit status.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Where several hold, the order is 5, 4, 2, 1, 3: what could not be checked weighs least,
    /// since a run that also found something must not be read as merely incomplete.
    pub(crate) const fn rank(self) -> u8 {
        match self {
            Self::AsWanted => 0,
            Self::Unchecked => 1,
            Self::Findings => 2,
            Self::BadInput => 3,
            Self::TakenBack => 4,
            Self::NeedsPerson => 5,
        }
    }

    /// The one that counts when both hold.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        if other.rank() > self.rank() {
            other
        } else {
            self
        }
    }
}

impl FromIterator<Exit> for Exit {
    fn from_iter<I: IntoIterator<Item = Exit>>(all: I) -> Self {
        all.into_iter().fold(Self::default(), Self::or)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}
