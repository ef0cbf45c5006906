//! YAML as JSON, in which every scalar is text: what stands bare in a database of advisories, as
//! `1.0`, is a version and no number. It goes from event to event, and holds no tree.

use granit_parser::{Event, Parser, ScalarStyle};

use super::Refusal;

/// Deeper than any record; `serde_json` itself stops at 128.
const DEEPEST: usize = 64;

/// What is open around a value.
enum Open {
    List {
        is_empty: bool,
    },
    /// A key and its value follow on each other.
    Map {
        is_empty: bool,
        is_key: bool,
    },
}

/// The JSON of a document.
///
/// # Errors
/// When it is no YAML, has more than one document, or aliases: no text may grow beyond its size.
pub(super) fn to_json(text: &str) -> Result<Vec<u8>, Refusal> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut json = Vec::with_capacity(text.len() + text.len() / 2);
    let mut open: Vec<Open> = Vec::new();
    let mut documents = 0;
    loop {
        let event = match parser.next_event() {
            Some(Ok((event, _))) => event,
            Some(Err(error)) => return Err(Refusal(error.to_string())),
            None => return Err(Refusal::new("ends too early")),
        };
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    return Err(Refusal::new("holds more than one document"));
                }
            }
            Event::Scalar(text, style, ..) => {
                let is_key = begin(&mut json, &mut open, true)?;
                let is_null = style == ScalarStyle::Plain && !is_key && is_null(&text);
                match is_null {
                    true => json.extend(b"null"),
                    false => serde_json::to_writer(&mut json, &*text)?,
                }
            }
            Event::SequenceStart(..) => {
                begin(&mut json, &mut open, false)?;
                json.push(b'[');
                open.push(Open::List { is_empty: true });
            }
            Event::MappingStart(..) => {
                begin(&mut json, &mut open, false)?;
                json.push(b'{');
                open.push(Open::Map {
                    is_empty: true,
                    is_key: true,
                });
            }
            Event::SequenceEnd => {
                open.pop();
                json.push(b']');
            }
            Event::MappingEnd => {
                open.pop();
                json.push(b'}');
            }
            Event::Alias(..) => return Err(Refusal::new("has an alias")),
            _ => {}
        }
    }
    Ok(json)
}

/// Writes what stands before a value. Is the value a key?
fn begin(json: &mut Vec<u8>, open: &mut [Open], is_scalar: bool) -> Result<bool, Refusal> {
    let Some(around) = open.last_mut() else {
        return Ok(false);
    };
    match around {
        Open::List { is_empty } => {
            if !std::mem::take(is_empty) {
                json.push(b',');
            }
            Ok(false)
        }
        Open::Map { is_empty, is_key } => {
            let key = std::mem::replace(is_key, !*is_key);
            if key && !is_scalar {
                return Err(Refusal::new("has a key that is no text"));
            }
            match key {
                true if std::mem::take(is_empty) => {}
                true => json.push(b','),
                false => json.push(b':'),
            }
            Ok(key)
        }
    }
}

/// The nulls of YAML's core schema (YAML 1.2.2, 10.3.2).
fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}
