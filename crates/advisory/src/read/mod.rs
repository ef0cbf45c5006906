//! Readers of feeds: bytes in, records out. What a reader can't make sense of is an error with
//! its reason, which the importer counts and shows; nothing is dropped in silence.

pub mod csaf;
pub mod debian;
pub mod epss;
pub mod kev;
pub mod openvex;
pub mod osv;
mod product;
mod yaml;

use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::record::Statement;

/// A name of a package, a version, an identifier: longer ones are nobody's.
pub const LONGEST_NAME: usize = 512;
/// What one record may list: the largest real ones have some thousand.
pub const MOST_LISTED: usize = 20_000;
/// Of a record's text, so much is kept.
pub const TEXT_KEPT: usize = 2048;

/// A record or a document that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Refusal {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// What a JSON document is, as its first keys tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Osv,
    DebianTracker,
    Kev,
    OpenVex,
    Csaf,
}

/// Finds out which of the forms a JSON document has.
///
/// # Errors
/// When it is not JSON, or none of them.
pub fn form(bytes: &[u8]) -> Result<Form, Refusal> {
    #[derive(serde::Deserialize)]
    struct Probe<'a> {
        #[serde(borrow, rename = "@context", default)]
        context: Option<&'a RawValue>,
        #[serde(borrow, default)]
        vulnerabilities: Option<&'a RawValue>,
        #[serde(borrow, rename = "catalogVersion", default)]
        catalog: Option<&'a RawValue>,
        #[serde(borrow, default)]
        document: Option<&'a RawValue>,
        #[serde(borrow, default)]
        affected: Option<&'a RawValue>,
        #[serde(borrow, default)]
        id: Option<&'a RawValue>,
        #[serde(borrow, default)]
        modified: Option<&'a RawValue>,
        #[serde(borrow, default)]
        statements: Option<&'a RawValue>,
    }
    let probe: Probe<'_> = serde_json::from_slice(bytes)?;
    if probe.statements.is_some() && probe.context.is_some() {
        Ok(Form::OpenVex)
    } else if probe.document.is_some() {
        Ok(Form::Csaf)
    } else if probe.vulnerabilities.is_some() && probe.catalog.is_some() {
        Ok(Form::Kev)
    } else if probe.id.is_some() && (probe.affected.is_some() || probe.modified.is_some()) {
        Ok(Form::Osv)
    } else if debian::looks_like_it(bytes) {
        Ok(Form::DebianTracker)
    } else {
        Err(Refusal::new(
            "is neither OSV, the Debian security tracker, KEV, OpenVEX nor CSAF",
        ))
    }
}

/// A VEX document, and which of its statements could not be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statements {
    pub read: Vec<Statement>,
    pub refused: Vec<Refusal>,
    pub newest: Option<Timestamp>,
}

/// Why something is not affected, in the words that both standards have (OpenVEX 0.2.0, Status
/// Justifications; CSAF 2.0, 3.2.3.5.2). Another word is none of them.
pub(crate) fn is_justification(label: &str) -> bool {
    matches!(
        label,
        "component_not_present"
            | "inline_mitigations_already_exist"
            | "vulnerable_code_cannot_be_controlled_by_adversary"
            | "vulnerable_code_not_in_execute_path"
            | "vulnerable_code_not_present"
    )
}

/// Of a name: not empty, not endless, nothing that a terminal would obey.
pub(crate) fn name(what: &str, text: &str) -> Result<String, Refusal> {
    if text.is_empty() {
        return Err(Refusal(format!("{what} is empty")));
    }
    if text.len() > LONGEST_NAME {
        return Err(Refusal(format!(
            "{what} is longer than {LONGEST_NAME} bytes"
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal(format!("{what} holds control characters")));
    }
    Ok(text.to_owned())
}

/// The beginning of a text, so much of it as is kept.
pub(crate) fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(TEXT_KEPT);
    text[..end].to_owned()
}

/// RFC 3339, as every feed writes its times. What is no time is none, and neither is the year 1,
/// which Go's database writes where it knows none: there were no feeds before 1990.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    const YEAR_1990: i64 = 631_152_000;
    text.parse()
        .ok()
        .filter(|at: &Timestamp| at.as_second() >= YEAR_1990)
}
