//! Our own JSON form: `docs/reference/json.md` describes it.

use std::io::{self, Write};

use model::Fact;
use model::component::{Component, Evidence, SourcePackage};
use model::value::OtherRoot;
use serde::Serialize;

use super::{Taken, purl};
use crate::report::json::write_value;

/// The version of this form.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    generated: String,
    host: Host<'a>,
    components: Vec<Item<'a>>,
    unread: Vec<Unread<'a>>,
    /// Root file systems of others, which were left out.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    other_roots: &'a [OtherRoot],
}

#[derive(Serialize)]
struct Host<'a> {
    hostname: &'a str,
    release: Option<&'a str>,
    root: Option<&'a str>,
}

#[derive(Serialize)]
struct Item<'a> {
    ecosystem: String,
    name: &'a str,
    version: &'a str,
    purl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a SourcePackage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    architecture: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    evidence: &'a [Evidence],
}

#[derive(Serialize)]
struct Unread<'a> {
    path: &'a model::HostPath,
    why: String,
}

pub fn write(out: &mut dyn Write, taken: &Taken) -> io::Result<()> {
    let inventory = &taken.inventory;
    let unread = inventory.unread.iter().map(|unread| Unread {
        path: &unread.path,
        why: unread.why.to_string(),
    });
    let document = Document {
        format: FORMAT,
        generated: taken.generated.to_string(),
        host: Host {
            hostname: &taken.hostname,
            release: match &taken.release {
                Fact::Known(release) => Some(&release.pretty),
                Fact::Unknown(_) => None,
            },
            root: taken.root.as_deref(),
        },
        components: inventory.components.iter().map(item).collect(),
        unread: unread.collect(),
        other_roots: &inventory.other_roots,
    };
    write_value(out, &document)
}

fn item(component: &Component) -> Item<'_> {
    Item {
        ecosystem: component.ecosystem.to_string(),
        name: &component.name,
        version: &component.version,
        purl: purl::of(component),
        source: component.source.as_ref(),
        architecture: component.architecture.as_deref(),
        origin: component.origin.as_deref(),
        image: component.image.as_deref(),
        evidence: &component.evidence,
    }
}
