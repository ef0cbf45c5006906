//! The images of containerd, from its content store: blobs by their digests, of which manifests
//! (OCI image manifest) name the layers. The names of images are in a database that is not
//! read; the manifest's digest stands for them.

use std::sync::Arc;

use model::HostPath;
use model::value::Reason;

use super::{Image, Images, Place};
use crate::components::source::malformed;
use crate::local::Inner;
use crate::tree::Trouble;

const BLOBS: &str = "/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256";
/// "Implementations … should limit manifests to 4 MiB" (OCI distribution specification).
const MANIFEST_LIMIT_BYTES: u64 = 4 << 20;
/// A manifest of this many characters at least.
const SHORTEST: usize = 64;

#[derive(serde::Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
}

#[derive(serde::Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default, rename = "mediaType")]
    media_type: String,
}

pub(crate) fn images(host: &Arc<Inner>) -> Images {
    let blobs = HostPath::literal(BLOBS);
    let names = match host.tree.list(&blobs) {
        Ok(names) => names,
        Err(Trouble::Absent) => return Ok(Vec::new()),
        Err(Trouble::Unknown(why)) => return Err((blobs, why)),
    };
    let mut images = Vec::new();
    for (name, _) in &names {
        let Ok(path) = blobs.join(name) else { continue };
        let Ok(opened) = host.tree.open_file(&path) else {
            continue;
        };
        if opened.node.size_bytes > MANIFEST_LIMIT_BYTES {
            continue;
        }
        // Most small blobs are configurations and indexes: JSON, and no manifest.
        let Ok(bytes) = host.read_path(&path, MANIFEST_LIMIT_BYTES) else {
            continue;
        };
        let Ok(layers) = parse(&bytes) else { continue };
        let is_there = |digest: &String| {
            let found = names.binary_search_by(|(name, _)| name.as_slice().cmp(digest.as_bytes()));
            found.is_ok()
        };
        // Of an index for several architectures, one is fetched.
        if layers.is_empty() || !layers.iter().any(is_there) {
            continue;
        }
        let places = layers.iter().filter_map(|digest| blobs.join(digest).ok());
        images.push(Image {
            name: format!("sha256:{}", String::from_utf8_lossy(name)),
            layers: places.map(Place::Archive).collect(),
        });
    }
    Ok(images)
}

/// The digests of a manifest's layers, from the lowest.
pub fn parse(bytes: &[u8]) -> Result<Vec<String>, Reason> {
    if bytes.len() < SHORTEST || bytes.first() != Some(&b'{') {
        return Err(malformed("no manifest of an image"));
    }
    let manifest: Manifest = serde_json::from_slice(bytes)
        .map_err(|error| malformed(format!("no manifest of an image: {error}")))?;
    let (Some(layers), Some(_)) = (manifest.layers, manifest.config) else {
        return Err(malformed("no manifest of an image"));
    };
    // Attestations and other artifacts look alike, and are no file systems.
    let layers = layers.into_iter().filter(|layer| {
        let media = &layer.media_type;
        media.contains(".tar") || media.contains("rootfs.diff")
    });
    layers
        .map(|layer| match layer.digest.strip_prefix("sha256:") {
            Some(digest) if super::is_id(digest) => Ok(digest.to_owned()),
            _ => Err(malformed("a layer without a SHA-256 digest")),
        })
        .collect()
}
