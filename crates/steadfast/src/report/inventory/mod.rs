//! Shows what is installed: for people, as JSON, and as the two standards of the field. The same
//! inventory at the same time gives the same bytes.

pub mod cyclonedx;
pub mod human;
pub mod json;
pub mod purl;
pub mod spdx;

use jiff::Timestamp;
use model::component::{Component, Evidence, Inventory};
use model::facts::Release;
use model::{Digest, Fact};
use serde::Serialize;

/// An inventory, and what it is of.
#[derive(Clone, Debug)]
pub struct Taken {
    pub inventory: Inventory,
    pub hostname: String,
    pub release: Fact<Release>,
    /// The tree that was looked at, where it was not the running host.
    pub root: Option<String>,
    pub generated: Timestamp,
}

impl Taken {
    /// A name for this content: the same content has the same.
    pub fn uuid(&self) -> String {
        uuid(&(&self.inventory, &self.hostname, &self.root))
    }
}

/// A UUID of version 8 for some content (RFC 9562, 5.8: "vendor-specific use cases").
pub fn uuid(content: &impl Serialize) -> String {
    let digest = Digest::of_json(content);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |range: std::ops::Range<usize>| hex[range].concat();
    format!(
        "{}-{}-{}-{}-{}",
        part(0..4),
        part(4..6),
        part(6..8),
        part(8..10),
        part(10..16)
    )
}

/// Is it a package of the host's distribution?
pub fn is_package(component: &Component) -> bool {
    component.ecosystem.is_distribution()
}

/// `/srv/app.war!/WEB-INF/lib/x.jar!/META-INF/MANIFEST.MF`
pub fn place(evidence: &Evidence) -> String {
    let path = model::printable(evidence.path.as_bytes());
    match &evidence.member {
        Some(member) => format!("{path}!/{member}"),
        None => path,
    }
}
