//! SPDX 2.3 as JSON (ISO/IEC 5962, and its 2.3 revision).

use std::io::{self, Write};

use host::components::sbom::{EVIDENCE, IMAGE, PACKAGE, UNREAD};
use jiff::tz::TimeZone;
use model::Fact;
use model::component::Component;
use serde_json::{Value, json};

use super::{Taken, place, purl};
use crate::report::json::write_value;

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const HOST: &str = "SPDXRef-Host";
const TOOL: &str = concat!("Tool: steadfast-", env!("CARGO_PKG_VERSION"));

pub fn write(out: &mut dyn Write, taken: &Taken) -> io::Result<()> {
    write_value(out, &document(taken))
}

/// The whole document.
pub fn document(taken: &Taken) -> Value {
    let inventory = &taken.inventory;
    // 6.9: "YYYY-MM-DDThh:mm:ssZ", without parts of a second.
    let created = TimeZone::UTC.to_datetime(taken.generated);
    let created = created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut packages = vec![host(taken)];
    let all = inventory.components.iter().enumerate();
    packages.extend(all.map(|(at, component)| package(at, component, &created)));
    let mut relationships = vec![relationship(DOCUMENT, "DESCRIBES", HOST)];
    let ids = (0..inventory.components.len()).map(id);
    relationships.extend(ids.map(|id| relationship(HOST, "CONTAINS", &id)));
    if !inventory.unread.is_empty() {
        // 11.1: there may be more, which is not told.
        relationships.push(relationship(HOST, "CONTAINS", "NOASSERTION"));
    }
    let mut creation = json!({
        "created": created,
        "creators": [TOOL],
    });
    let unread: Vec<String> = inventory
        .unread
        .iter()
        .map(|unread| {
            format!(
                "{}: {}",
                model::printable(unread.path.as_bytes()),
                unread.why
            )
        })
        .collect();
    if !unread.is_empty() {
        creation["comment"] = json!(format!("{UNREAD}{}", unread.join("; ")));
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": taken.hostname,
        // 6.5: a creator without a site of its own takes this beginning.
        "documentNamespace": format!("https://spdx.org/spdxdocs/steadfast-{}", taken.uuid()),
        "creationInfo": creation,
        "packages": packages,
        "relationships": relationships,
    })
}

fn host(taken: &Taken) -> Value {
    let mut host = json!({
        "SPDXID": HOST,
        "name": taken.hostname,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
    });
    if let Fact::Known(release) = &taken.release {
        host["summary"] = json!(release.pretty);
        if let Some(version) = &release.version {
            host["versionInfo"] = json!(version);
        }
    }
    host
}

fn package(at: usize, component: &Component, created: &str) -> Value {
    let mut package = json!({
        "SPDXID": id(at),
        "name": component.name,
        "versionInfo": component.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
    });
    if let Some(origin) = &component.origin {
        package["supplier"] = json!(format!("Organization: {origin}"));
    }
    let mut info: Vec<String> = Vec::new();
    if let Some(source) = &component.source {
        info.push(format!("built from {} {}", source.name, source.version));
    }
    if let Some(image) = &component.image {
        info.push(format!("in the image {image}"));
    }
    let places: Vec<String> = component.evidence.iter().map(place).collect();
    info.push(format!("according to {}", places.join(", ")));
    package["sourceInfo"] = json!(info.join("; "));
    // The same for programs, one by one (12): SPDX has no field for the file that proves it.
    let evidence = places.iter().map(|place| format!("{EVIDENCE}{place}"));
    let image = component
        .image
        .iter()
        .map(|image| format!("{IMAGE}{image}"));
    let packages = component.packages.iter();
    let packages = packages.map(|package| format!("{PACKAGE}{package}"));
    let annotations = evidence.chain(image).chain(packages).map(|comment| {
        json!({
            "annotationDate": created,
            "annotationType": "OTHER",
            "annotator": TOOL,
            "comment": comment,
        })
    });
    package["annotations"] = annotations.collect();
    if let Some(purl) = purl::of(component) {
        package["externalRefs"] = json!([{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl,
        }]);
    }
    package
}

fn id(at: usize) -> String {
    format!("SPDXRef-Package-{}", at + 1)
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({
        "spdxElementId": from,
        "relationshipType": kind,
        "relatedSpdxElement": to,
    })
}
