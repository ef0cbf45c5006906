//! The JSON Schema of policy files, for editors. It is looser than the reader in one way
//! only: it can't look into templates.

use resource::Resource;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::baseline::TestHost;
use crate::param::ParamType;

/// One schema per kind of policy file, by its name: `role`, `baseline`, `tailoring`
/// (a baseline that extends another), `waivers`, `patches`,
/// `vulnerabilities`.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut resource = generator.subschema_for::<Resource>().to_value();
    let mut definitions = generator.take_definitions(true);
    allow_templates(&mut resource);
    for definition in definitions.values_mut() {
        allow_templates(definition);
    }
    // Without quotes, `0644` is a number to whoever reads YAML into JSON.
    if let Some(Value::Array(forms)) = definitions
        .get_mut("Mode")
        .and_then(|mode| mode.get_mut("anyOf"))
    {
        forms.push(json!({"type": "integer", "minimum": 0, "maximum": 77_777}));
    }
    let mut plain = SchemaSettings::draft2020_12().into_generator();
    let severity = plain.subschema_for::<model::Severity>().to_value();
    let risk = plain.subschema_for::<model::plan::Risk>().to_value();
    let param_type = plain.subschema_for::<ParamType>().to_value();
    let test_host = plain.subschema_for::<TestHost>().to_value();
    // Metadata holds no templates: its types win over the resources' ones of the same name.
    definitions.extend(plain.take_definitions(true));
    let text = json!({"type": ["string", "number", "boolean"]});
    let name = json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,99}$"});
    let rule_or_want = json!({
        "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,99}(/[a-z_]+:.+)?$",
    });
    let value = json!({"type": ["string", "number", "boolean", "array"]});
    let releases = json!({
        "type": "object",
        "description": "Distribution ids with their versions: {debian: [\"12\", \"13\"]}",
        "additionalProperties": {"type": "array", "items": {"type": "string"}},
    });
    let param = closed(
        &[],
        json!({
            "type": param_type, "default": value.clone(),
            "one_of": {"type": "array", "items": text.clone()}, "description": text.clone(),
            "secret": {"type": "boolean", "description": "Its value is never shown, nor taken from a command line"},
        }),
    );
    let params = json!({"type": "object", "additionalProperties": param});
    let want = json!({"type": "array", "items": resource.clone()});
    let weighed = weighed(&resource, &definitions, &severity);
    let run = closed(
        &["run"],
        json!({"run": {"type": "array", "items": text.clone()}}),
    );
    let test = closed(
        &["name", "given", "expect"],
        json!({
            "name": text.clone(),
            "given": {"type": "array", "items": {"anyOf": [run, resource]}},
            "on": test_host,
            "expect": {"enum": crate::baseline::EXPECTABLE},
            "releases": releases.clone(),
        }),
    );
    let rule = closed(
        &["rule"],
        json!({
            "rule": name.clone(), "title": text.clone(), "severity": severity.clone(),
            "why": text.clone(), "area": text.clone(), "applies": text.clone(), "profile": text.clone(),
            "params": {"type": "object"}, "want": want.clone(), "risk": risk,
            "tests": {"type": "array", "items": test}, "off": text.clone(),
        }),
    );
    let baseline = closed(
        &["rules"],
        json!({
            "baseline": name.clone(), "extends": name.clone(), "title": text.clone(), "applies": text.clone(),
            "releases": releases, "profile": text.clone(),
            "rules": {"type": "array", "items": rule},
        }),
    );
    let role = closed(
        &["role"],
        json!({
            "role": name.clone(), "description": text.clone(), "severity": severity, "params": params,
            "include": {"type": "array", "items": name.clone()},
            "want": {"type": "array", "items": weighed},
        }),
    );
    let waiver = |of: &str, mut own: Value| {
        let said = json!({
            "hosts": {"type": "array", "items": text.clone(), "minItems": 1},
            "reason": text.clone(), "owner": text.clone(), "approver": text.clone(),
            "expires": {"type": "string", "format": "date"},
        });
        if let (Value::Object(own), Value::Object(said)) = (&mut own, said) {
            own.extend(said);
        }
        closed(
            &[of, "hosts", "reason", "owner", "approver", "expires"],
            own,
        )
    };
    let waiver = json!({"anyOf": [
        waiver("rule", json!({"rule": rule_or_want})),
        waiver("vulnerability", json!({"vulnerability": text.clone(), "package": text.clone()})),
    ]});
    let mut vulnerabilities = plain
        .root_schema_for::<model::VulnerabilityPolicy>()
        .to_value();
    drop_nulls_within(&mut vulnerabilities);
    vulnerabilities["title"] = json!("How Steadfast judges vulnerabilities");
    let words = json!({"type": "array", "items": {"type": "string"}, "minItems": 1});
    let patches = closed(
        &[],
        json!({
            "checks": {"type": "array", "items": closed(&["run"], json!({
                "run": words.clone(), "timeout": {"type": "string"},
            }))},
            "data": {"type": "array", "items": closed(&["packages", "restored", "within"], json!({
                "packages": words.clone(), "paths": words, "restored": {"type": "string", "pattern": "^/"},
                "within": {"anyOf": [
                    {"type": "string", "pattern": "^[0-9]+d?$"},
                    {"type": "integer", "minimum": 1},
                ]},
            }))},
            "answers": {"type": "array", "items": closed(
                &["package", "question", "type", "value"],
                json!({
                    "package": {"type": "string", "pattern": "^[A-Za-z0-9._+-]+$"},
                    "question": {"type": "string", "pattern": "^[A-Za-z0-9._+-]+(/[A-Za-z0-9._+-]+)+$"},
                    "type": {"enum": ["boolean", "multiselect", "select", "string"]},
                    "value": {"type": ["string", "boolean", "number"]},
                }),
            )},
        }),
    );
    let whole = |title: &str, mut schema: Value| {
        schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        schema["title"] = json!(title);
        schema["$defs"] = Value::Object(definitions.clone());
        schema
    };
    json!({
        "role": whole("A role of Steadfast", role),
        "tailoring": whole("A tailoring of a baseline of Steadfast", baseline.clone()),
        "baseline": whole("A baseline of Steadfast", baseline),
        "waivers": whole("Waivers of Steadfast", json!({"type": "array", "items": waiver})),
        "patches": whole("What Steadfast minds with patches", patches),
        "vulnerabilities": vulnerabilities,
    })
}

/// A role's want: a resource, and how bad it is when it is not met.
fn weighed(resource: &Value, definitions: &Map<String, Value>, severity: &Value) -> Value {
    let named = resource.get("$ref").and_then(Value::as_str);
    let name = named.and_then(|to| to.rsplit('/').next());
    let mut weighed = name
        .and_then(|name| definitions.get(name))
        .unwrap_or(resource)
        .clone();
    for key in ["oneOf", "anyOf"] {
        let Some(Value::Array(kinds)) = weighed.get_mut(key) else {
            continue;
        };
        for kind in kinds {
            if let Some(Value::Object(properties)) = kind.get_mut("properties") {
                properties.insert("severity".to_owned(), severity.clone());
            }
        }
    }
    weighed
}

/// A mapping with these keys and no others.
fn closed(needed: &[&str], properties: Value) -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": needed, "properties": properties,
    })
}

/// Lets a template stand where a scalar or a list does, and takes out what serde allows
/// and the reader does not: a key with no value.
fn allow_templates(schema: &mut Value) {
    let Value::Object(map) = schema else {
        return;
    };
    drop_null(map);
    for key in ["properties", "$defs"] {
        if let Some(Value::Object(inner)) = map.get_mut(key) {
            inner.values_mut().for_each(allow_templates);
        }
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(inner)) = map.get_mut(key) {
            inner.iter_mut().for_each(allow_templates);
        }
    }
    if let Some(items) = map.get_mut("items") {
        allow_templates(items);
    }
    let scalar = match map.get("type").and_then(Value::as_str) {
        Some("boolean" | "integer" | "number" | "array") => true,
        Some("string") if map.contains_key("pattern") || map.contains_key("enum") => true,
        // Any scalar is text where text is wanted.
        Some("string") if !map.contains_key("const") => {
            map.insert("type".to_owned(), json!(["string", "number", "boolean"]));
            false
        }
        _ => false,
    };
    if scalar {
        let own = Value::Object(std::mem::take(map));
        map.insert(
            "anyOf".to_owned(),
            json!([own, {"type": "string", "pattern": "\\{[{%#]"}]),
        );
    }
}

/// The same in each property: no key may stand without a value.
fn drop_nulls_within(schema: &mut Value) {
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            if let Value::Object(property) = property {
                drop_null(property);
            }
        }
    }
}

fn drop_null(map: &mut Map<String, Value>) {
    let is_null = |schema: &Value| schema.get("type") == Some(&json!("null"));
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(any)) = map.get_mut("anyOf") {
        any.retain(|schema| !is_null(schema));
    }
    if map.get("default") == Some(&Value::Null) {
        map.remove("default");
    }
}
