//! The JSON form: the same report, and harmless to look at.

use plan::Report;
use serde_json::Value;
use steadfast::report::json;

use crate::samples;

fn rendered(report: &Report) -> String {
    let mut out = Vec::new();
    json::write(&mut out, report).expect("a vector takes any bytes");
    String::from_utf8(out).expect("JSON is UTF-8")
}

#[test]
fn reads_back_as_the_same_report() {
    for report in [
        samples::ordinary(),
        samples::as_user(),
        samples::hostile(),
        samples::enormous(),
    ] {
        let read: Report =
            serde_json::from_str(&rendered(&report)).expect("our own JSON reads back");
        assert_eq!(read, report);
    }
}

#[test]
fn holds_no_character_that_a_terminal_obeys() {
    let mut report = samples::hostile();
    // Beyond the basic plane: written as a surrogate pair.
    report.host.kernel = "tag \u{e0041} \u{1f980}".to_owned();
    let text = rendered(&report);
    assert!(text.contains("tag \\udb40\\udc41 \u{1f980}"), "{text}");
    assert!(
        text.chars()
            .all(|c| c == '\n' || !model::escape::is_hidden(c)),
        "{text}"
    );
    assert_eq!(
        serde_json::from_str::<Report>(&text).expect("it reads back"),
        report
    );
}

/// Where the published schema lies.
const SCHEMA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/reference/report.schema.json"
);

#[test]
fn the_published_schema_is_that_of_the_types() {
    let mut now = serde_json::to_string_pretty(&json::schema()).expect("a schema is plain JSON");
    now.push('\n');
    if std::env::var_os("STEADFAST_UPDATE").is_some() {
        std::fs::write(SCHEMA, &now).expect("the repository can be written");
    }
    let published = std::fs::read_to_string(SCHEMA).expect("the schema is in the repository");
    assert!(
        now == published,
        "docs/reference/report.schema.json is out of date: run the test with STEADFAST_UPDATE=1"
    );
}

/// Does `value` have the form that `schema` says? As much of JSON Schema as ours uses.
fn check_form(value: &Value, schema: &Value, root: &Value, at: &str) -> Result<(), String> {
    let known = [
        "$ref",
        "$schema",
        "$defs",
        "title",
        "description",
        "type",
        "properties",
        "required",
        "items",
        "anyOf",
        "oneOf",
        "const",
        "enum",
        "format",
        "minimum",
        "maximum",
        "pattern",
        "default",
        "additionalProperties",
    ];
    let rules = schema.as_object().ok_or(format!("{at}: not a schema"))?;
    if let Some(other) = rules.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("{at}: this check does not know `{other}`"));
    }
    if let Some(Value::String(reference)) = rules.get("$ref") {
        let target = root.pointer(reference.trim_start_matches('#'));
        return check_form(value, target.ok_or(format!("{at}: {reference}"))?, root, at);
    }
    for choices in ["anyOf", "oneOf"].iter().filter_map(|key| rules.get(*key)) {
        let choices = choices.as_array().ok_or("choices are a list")?;
        if !choices
            .iter()
            .any(|choice| check_form(value, choice, root, at).is_ok())
        {
            return Err(format!("{at}: fits none of {choices:?}"));
        }
    }
    if let Some(allowed) = rules.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        return Err(format!("{at}: {value} is not in {allowed:?}"));
    }
    if rules.get("const").is_some_and(|only| only != value) {
        return Err(format!("{at}: {value} is another constant"));
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    };
    let fits = match rules.get("type") {
        Some(Value::String(kind)) => is(kind),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).any(is),
        _ => true,
    };
    if !fits {
        return Err(format!("{at}: {value} is not a {}", rules["type"]));
    }
    if let (Value::Object(fields), Some(properties)) = (value, rules.get("properties")) {
        for (name, field) in fields {
            let schema = properties
                .get(name)
                .ok_or(format!("{at}.{name} is not described"))?;
            check_form(field, schema, root, &format!("{at}.{name}"))?;
        }
        let required = rules.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                return Err(format!("{at}.{name} is missing"));
            }
        }
    }
    if let (Value::Array(items), Some(schema)) = (value, rules.get("items")) {
        for (n, item) in items.iter().enumerate() {
            check_form(item, schema, root, &format!("{at}[{n}]"))?;
        }
    }
    Ok(())
}

#[test]
fn reports_have_the_form_that_the_schema_says() {
    let schema = json::schema();
    for (name, report) in samples::all() {
        let value: Value = serde_json::from_str(&rendered(&report)).expect("JSON");
        if let Err(why) = check_form(&value, &schema, &schema, "report") {
            panic!("{name}: {why}");
        }
        for (pointer, wrong) in [
            ("/format", Value::from("1")),
            ("/host/hostname", Value::Null),
            ("/counts", Value::from(3)),
            ("/score/with_waivers", Value::from("high")),
        ] {
            let mut broken = value.clone();
            *broken.pointer_mut(pointer).expect("every report has it") = wrong;
            let checked = check_form(&broken, &schema, &schema, "report");
            assert!(checked.is_err(), "{name}: {pointer} may be anything");
        }
    }
}
