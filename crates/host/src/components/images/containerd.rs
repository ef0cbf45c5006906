//! The images of containerd, from its content store: blobs by their digests, of which manifests
//! (OCI image manifest) name the layers. The names of images are in a database that is not
//! read; the manifest's digest stands for them.

use std::sync::Arc;

use model::HostPath;
use model::value::Reason;

use super::room::Room;
use super::{Image, Images, MOST_LAYERS_OF_ONE, Place};
use crate::components::lock::{get, table};
use crate::components::source::malformed;
use crate::local::Inner;
use crate::tree::Trouble;

pub const STORE: &str = "/var/lib/containerd";
/// Below a store.
const BLOBS: &str = "io.containerd.content.v1.content/blobs/sha256";
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

/// What a configuration says of places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    pub root: Option<String>,
    pub imports: Vec<String>,
}

/// containerd-config.toml(5)
pub fn parse_configuration(bytes: &[u8]) -> Result<Configuration, Reason> {
    let text = str::from_utf8(bytes).map_err(|_| malformed("not TOML: not UTF-8"))?;
    let file = table(text)?;
    let root = match get(&file, "root") {
        None => None,
        Some(root) => {
            let root = root.as_str();
            Some(root.ok_or_else(|| malformed("`root` is not a text"))?)
        }
    };
    let mut imports = Vec::new();
    if let Some(value) = get(&file, "imports") {
        let not_texts = || malformed("`imports` is not a list of texts");
        for one in value.as_array().ok_or_else(not_texts)?.iter() {
            let import = one.get_ref().as_str().ok_or_else(not_texts)?;
            imports.push(import.to_owned());
        }
    }
    Ok(Configuration {
        // An empty one is containerd's own.
        root: root.filter(|root| !root.is_empty()).map(str::to_owned),
        imports,
    })
}

/// Where a store has the files of its layers and of running containers.
pub(crate) fn layers(host: &Arc<Inner>, store: &HostPath) -> Vec<HostPath> {
    let names = host.tree.list(store).unwrap_or_default();
    let names = names.into_iter().map(|(name, _)| name);
    let names = names.filter(|name| name.starts_with(b"io.containerd.") || name == b"tmpmounts");
    names.filter_map(|name| store.join(name).ok()).collect()
}

pub(crate) fn images(host: &Arc<Inner>, store: &HostPath, room: &mut Room) -> Images {
    let Some(blobs) = super::below(store, BLOBS) else {
        return Ok(Vec::new());
    };
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
        let size_bytes = opened.node.size_bytes;
        if size_bytes > MANIFEST_LIMIT_BYTES || !room.database(size_bytes) {
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
        if !room.image(layers.len()) {
            continue;
        }
        // One more than are looked into is a sign that there are more.
        let layers = layers.iter().take(MOST_LAYERS_OF_ONE + 1);
        let places = layers.filter_map(|digest| blobs.join(digest).ok());
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
