//! The report as JSON: `docs/reference/report-json.md` describes it.

use std::io::{self, Write};

use plan::Report;
use serde::Serialize;

/// Writes the report, indented, with a final newline. Characters that would do something to a
/// terminal are written as `\uNNNN`: the same value to a reader of JSON, harmless to a screen.
pub fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    write_value(out, report)
}

/// The same for any value that a command shows.
pub fn write_value(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    model::escape::write_json(out, value)
}

/// The JSON Schema (2020-12) of what [`write`] writes.
pub fn schema() -> serde_json::Value {
    schemars::generate::SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<Report>()
        .to_value()
}
