//! CycloneDX 1.6 as JSON (ECMA-424).

use std::io::{self, Write};

use host::components::sbom::PACKAGE;
use model::component::{Component, Evidence, EvidenceKind};
use model::{Fact, facts::Release};
use serde_json::{Map, Value, json};

use super::{Taken, is_package, place, purl};
use crate::report::json::write_value;

pub fn write(out: &mut dyn Write, taken: &Taken) -> io::Result<()> {
    write_value(out, &document(taken))
}

/// The whole document.
pub fn document(taken: &Taken) -> Value {
    let inventory = &taken.inventory;
    let mut components = Vec::new();
    if let Fact::Known(release) = &taken.release {
        components.push(operating_system(release));
    }
    let all = inventory.components.iter().enumerate();
    components.extend(all.map(|(at, item)| component(at, item)));
    // Said, so that nobody takes the list for complete.
    let unread = inventory.unread.iter().map(|unread| {
        let path = model::printable(unread.path.as_bytes());
        property("steadfast:unread", format!("{path}: {}", unread.why))
    });
    let mut metadata = json!({
        "timestamp": taken.generated.to_string(),
        "tools": {"components": [tool()]},
        "component": {"bom-ref": "host", "type": "device", "name": taken.hostname},
    });
    let unread: Vec<Value> = unread.collect();
    if !unread.is_empty() {
        metadata["properties"] = Value::from(unread);
    }
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", taken.uuid()),
        "version": 1,
        "metadata": metadata,
        "components": components,
        "compositions": [{
            // "incomplete" where something could not be read; else what was looked for is there,
            // and what leaves no trace is not.
            "aggregate": if inventory.unread.is_empty() { "unknown" } else { "incomplete" },
            "assemblies": ["host"],
        }],
    })
}

fn operating_system(release: &Release) -> Value {
    let mut system = json!({
        "bom-ref": "operating-system",
        "type": "operating-system",
        "name": release.id,
        "description": release.pretty,
    });
    if let Some(version) = &release.version {
        system["version"] = Value::from(version.as_str());
    }
    system
}

/// Who wrote the document.
pub fn tool() -> Value {
    json!({"type": "application", "name": "steadfast", "version": env!("CARGO_PKG_VERSION")})
}

/// The name of a component within its document, by its place in the inventory.
pub fn reference(at: usize) -> String {
    format!("component-{}", at + 1)
}

pub fn component(at: usize, component: &Component) -> Value {
    let mut item = Map::new();
    let mut put = |key: &str, value: Value| {
        item.insert(key.to_owned(), value);
    };
    put("bom-ref", json!(reference(at)));
    put("type", json!("library"));
    // The scope of npm and the group of Maven; a distribution is not a group.
    let (group, name) = match purl::split(component) {
        (Some(group), name) if !is_package(component) => (Some(group), name),
        _ => (None, component.name.as_str()),
    };
    if let Some(group) = group {
        put("group", json!(group));
    }
    put("name", json!(name));
    put("version", json!(component.version));
    if let Some(purl) = purl::of(component) {
        put("purl", json!(purl));
    }
    if let Some(origin) = &component.origin {
        put("publisher", json!(origin));
    }
    put("evidence", evidence(component));
    let mut properties = vec![property(
        "steadfast:ecosystem",
        component.ecosystem.to_string(),
    )];
    if let Some(source) = &component.source {
        properties.push(property("steadfast:source:name", source.name.clone()));
        properties.push(property("steadfast:source:version", source.version.clone()));
    }
    if let Some(architecture) = &component.architecture {
        properties.push(property("steadfast:architecture", architecture.clone()));
    }
    if let Some(image) = &component.image {
        properties.push(property("steadfast:image", image.clone()));
    }
    let packages = component.packages.iter();
    properties.extend(packages.map(|package| property(PACKAGE.trim_end(), package.clone())));
    put("properties", Value::from(properties));
    Value::Object(item)
}

/// Where it was found, and by what it is known.
fn evidence(component: &Component) -> Value {
    let occurrences = component
        .evidence
        .iter()
        .map(|evidence| json!({"location": place(evidence)}));
    let technique = |evidence: &Evidence| match evidence.how {
        EvidenceKind::Embedded => "binary-analysis",
        EvidenceKind::Database | EvidenceKind::Metadata | EvidenceKind::Lockfile => {
            "manifest-analysis"
        }
    };
    let mut methods: Vec<&str> = component.evidence.iter().map(technique).collect();
    methods.sort_unstable();
    methods.dedup();
    // A lockfile says what shall be there, not what is.
    let only_wanted = component
        .evidence
        .iter()
        .all(|evidence| evidence.how == EvidenceKind::Lockfile);
    let confidence = if only_wanted { 0.5 } else { 1.0 };
    let methods = methods
        .iter()
        .map(|technique| json!({"technique": technique, "confidence": confidence}));
    json!({
        "identity": [{
            "field": "name",
            "confidence": confidence,
            "methods": methods.collect::<Vec<_>>(),
        }],
        "occurrences": occurrences.collect::<Vec<_>>(),
    })
}

fn property(name: &str, value: String) -> Value {
    json!({"name": name, "value": value})
}
