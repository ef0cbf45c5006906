//! `docs/reference/kinds.md`: each kind of resource from its JSON Schema, whose descriptions
//! are the doc comments of the code.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use resource::Resource;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::cell;

/// A role that shows each kind once. A test loads it.
pub const EXAMPLES: &str = include_str!("examples.yaml");

pub(super) fn page() -> String {
    let schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Resource>()
        .to_value();
    let empty = Map::new();
    let definitions = schema["$defs"].as_object().unwrap_or(&empty);
    let mut kinds: Vec<(&str, &Value)> = schema["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|variant| variant["properties"].as_object())
        .flatten()
        .map(|(name, schema)| (name.as_str(), schema))
        .collect();
    kinds.sort_unstable_by_key(|(name, _)| *name);
    let mut page = format!(
        "{}# Kinds of resources\n\nWhat a `want:` list may hold. Every value may be a template, \
         and a *value or bound* may be written as \
         [Writing policy](../writing-policy.md#values-and-bounds) says. The same as a JSON Schema, \
         for editors: `steadfast schema`.\n\n",
        super::HEADER
    );
    let links: Vec<String> = kinds
        .iter()
        .map(|(name, _)| format!("[`{name}`](#{name})"))
        .collect();
    let _ = writeln!(page, "{}\n", links.join(", "));
    let mut writer = Writer {
        definitions,
        named: BTreeSet::new(),
    };
    for (name, schema) in kinds {
        let schema = writer.resolve(schema);
        let _ = writeln!(page, "## `{name}`\n");
        writer.write(&mut page, schema);
        if let Some(example) = example(name) {
            let _ = writeln!(page, "```yaml\nwant:\n{example}\n```\n");
        }
    }
    writer.write_named(&mut page);
    page
}

/// The lines of [`EXAMPLES`] about this kind.
fn example(kind: &str) -> Option<String> {
    let start = format!("  - {kind}:");
    let mut lines = EXAMPLES
        .lines()
        .skip_while(|line| !line.starts_with(&start));
    let first = lines.next()?;
    let rest = lines.take_while(|line| line.starts_with("    "));
    let lines: Vec<&str> = std::iter::once(first).chain(rest).collect();
    Some(lines.join("\n"))
}

struct Writer<'a> {
    definitions: &'a Map<String, Value>,
    /// Types that get a section of their own below the kinds.
    named: BTreeSet<String>,
}

impl<'a> Writer<'a> {
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let target = schema["$ref"]
            .as_str()
            .and_then(|path| self.definitions.get(path.trim_start_matches("#/$defs/")));
        target.unwrap_or(schema)
    }

    /// What it is for, and its fields.
    fn write(&mut self, page: &mut String, schema: &'a Value) {
        if let Some(text) = schema["description"].as_str() {
            let _ = writeln!(page, "{text}\n");
        }
        if schema["properties"].is_object() {
            self.write_fields(page, schema);
        }
        for variant in variants(schema) {
            let variant = self.resolve(variant);
            let form = self.form(variant);
            let about = variant["description"].as_str().map(cell);
            let about = about.map_or_else(String::new, |about| format!(": {about}"));
            let _ = writeln!(page, "- {form}{about}");
        }
        if variants(schema).next().is_some() {
            page.push('\n');
        }
    }

    fn write_fields(&mut self, page: &mut String, schema: &'a Value) {
        page.push_str("| key | form | default | meaning |\n|---|---|---|---|\n");
        let needed: Vec<&str> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let default = match field.get("default") {
                _ if needed.contains(&name.as_str()) => "needed".to_owned(),
                None | Some(Value::Null) => "none".to_owned(),
                Some(Value::Array(list)) if list.is_empty() => "empty".to_owned(),
                Some(value) => format!("`{}`", cell(&plain(value))),
            };
            let about = field["description"].as_str().unwrap_or_default();
            let form = cell(&self.form(field));
            let _ = writeln!(page, "| `{name}` | {form} | {default} | {} |", cell(about));
        }
        page.push('\n');
    }

    /// How it is written, in words.
    fn form(&mut self, schema: &'a Value) -> String {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.trim_start_matches("#/$defs/");
            let target = self.resolve(schema);
            return match self.short(target) {
                Some(form) => form,
                None => {
                    self.named.insert(name.to_owned());
                    format!("[{name}](#{})", name.to_lowercase())
                }
            };
        }
        if let Some(form) = self.short(schema) {
            return form;
        }
        if let Some(properties) = schema["properties"].as_object() {
            let parts: Vec<String> = properties
                .iter()
                .map(|(name, field)| format!("`{name}` ({})", self.form(field)))
                .collect();
            return format!("a mapping of {}", parts.join(", "));
        }
        let forms: Vec<String> = variants(schema)
            .filter(|variant| variant["type"] != "null")
            .map(|variant| self.form(variant))
            .collect();
        if forms.is_empty() {
            return "any value".to_owned();
        }
        forms.join(", or ")
    }

    /// Scalars, and choices between words.
    fn short(&mut self, schema: &'a Value) -> Option<String> {
        if let Some(value) = schema.get("const") {
            return Some(format!("`{}`", plain(value)));
        }
        if let Some(choices) = schema["enum"].as_array() {
            let choices: Vec<String> = choices
                .iter()
                .filter(|choice| !choice.is_null())
                .map(|choice| format!("`{}`", plain(choice)))
                .collect();
            return Some(choices.join(", "));
        }
        let words: Option<Vec<&Value>> = variants(schema)
            .map(|variant| variant.get("const"))
            .collect();
        // A choice whose words are explained gets its own section instead.
        if let Some(words) = words
            && !words.is_empty()
            && variants(schema).all(|variant| variant.get("description").is_none())
        {
            let words: Vec<String> = words
                .iter()
                .map(|word| format!("`{}`", plain(word)))
                .collect();
            return Some(words.join(", "));
        }
        let names: Vec<&str> = match &schema["type"] {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => return None,
        };
        let forms: Option<Vec<String>> = names
            .into_iter()
            .filter(|name| *name != "null")
            .map(|name| match name {
                "string" => Some("text".to_owned()),
                "boolean" => Some("`true` or `false`".to_owned()),
                "integer" | "number" => Some("number".to_owned()),
                "array" => Some(format!("list of: {}", self.form(&schema["items"]))),
                _ => None,
            })
            .collect();
        forms.map(|forms| forms.join(" or "))
    }

    /// The types that fields refer to, and those that these refer to.
    fn write_named(&mut self, page: &mut String) {
        let mut written = BTreeSet::new();
        while let Some(name) = self.named.difference(&written).next().cloned() {
            if let Some(schema) = self.definitions.get(&name) {
                if written.is_empty() {
                    page.push_str("# Values of several keys\n\n");
                }
                let _ = writeln!(page, "## {name}\n");
                self.write(page, schema);
            }
            written.insert(name);
        }
    }
}

fn variants(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf"]
        .into_iter()
        .filter_map(|key| schema[key].as_array())
        .flatten()
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
