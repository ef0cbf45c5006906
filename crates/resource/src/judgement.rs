//! What a kind says of a host.

use model::value::Reason;
use model::{Effect, SourceLine};

use crate::edit::Edit;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// As wanted; `observed` is what was seen, for evidence.
    Compliant {
        observed: String,
        at: Vec<SourceLine>,
    },
    /// Not as wanted, in one or more places.
    Drift(Vec<Drift>),
    /// The question makes no sense on this host, and why.
    NotApplicable(String),
    /// Could not be told, and why. Never a pass.
    Unknown(Reason),
    /// A host file that can't be understood, or a contradiction on the host.
    Error(String),
}

/// One place where the host is not as wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// As a sentence can hold it: `yes`, `mode 0666`, `not installed`.
    pub observed: String,
    pub wanted: String,
    /// Where the observed value comes from; empty for a built-in default.
    pub at: Vec<SourceLine>,
    /// What else a reader should know: which place wins, and why.
    pub note: Option<String>,
    /// What would make it as wanted, in order. Empty when only a person can.
    pub edits: Vec<Edit>,
    /// What a person has to do, when `edits` is empty.
    pub by_hand: Option<String>,
    /// What makes running programs notice, once, after all edits: reloads of units, …
    pub activate: Vec<Effect>,
}

impl Judgement {
    pub fn compliant(observed: impl Into<String>) -> Self {
        Self::Compliant {
            observed: observed.into(),
            at: Vec::new(),
        }
    }

    /// A kind judged without the answer to one of its own probes.
    pub fn not_asked() -> Self {
        Self::Unknown(Reason::Failed {
            why: "not asked".to_owned(),
        })
    }

    pub fn drift(drift: Drift) -> Self {
        Self::Drift(vec![drift])
    }
}

impl From<Reason> for Judgement {
    fn from(reason: Reason) -> Self {
        Self::Unknown(reason)
    }
}
