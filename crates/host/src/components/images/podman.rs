//! The images of podman, buildah and CRI-O (containers-storage), kept with overlayfs:
//! `overlay-images/images.json` names them, `overlay-layers/layers.json` what each layer lies
//! on, and `overlay/ID/diff` has its files.

use std::collections::HashMap;
use std::sync::Arc;

use model::HostPath;
use model::value::Reason;

use super::{Image, Images, Place, below, database, is_id};
use crate::components::source::malformed;
use crate::local::Inner;

const STORE: &str = "/var/lib/containers/storage";
/// A layer that lies on itself would never end.
const MOST_LAYERS: usize = 512;

#[derive(serde::Deserialize)]
struct ImageRecord {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    /// The highest.
    #[serde(default)]
    layer: String,
}

#[derive(serde::Deserialize)]
struct LayerRecord {
    id: String,
    #[serde(default)]
    parent: String,
}

pub(crate) fn images(host: &Arc<Inner>) -> Images {
    let images = HostPath::literal("/var/lib/containers/storage/overlay-images/images.json");
    let Some(bytes) = database(host, &images)? else {
        return Ok(Vec::new());
    };
    let layers = HostPath::literal("/var/lib/containers/storage/overlay-layers/layers.json");
    let layer_bytes = database(host, &layers)?.unwrap_or_else(|| b"[]".to_vec());
    parse(&bytes, &layer_bytes).map_err(|why| (images, why))
}

/// The images that both databases tell of.
pub fn parse(images: &[u8], layers: &[u8]) -> Result<Vec<Image>, Reason> {
    let not_json = |error: serde_json::Error| {
        malformed(format!("not a database of containers-storage: {error}"))
    };
    let images: Vec<ImageRecord> = serde_json::from_slice(images).map_err(not_json)?;
    let layers: Vec<LayerRecord> = serde_json::from_slice(layers).map_err(not_json)?;
    let parents: HashMap<&str, &str> = layers
        .iter()
        .map(|layer| (layer.id.as_str(), layer.parent.as_str()))
        .collect();
    let image = |record: &ImageRecord| {
        let mut places = Vec::new();
        let mut at = record.layer.as_str();
        while !at.is_empty() && places.len() < MOST_LAYERS {
            if is_id(at) {
                let path = below(STORE, &format!("overlay/{at}/diff"));
                places.extend(path.map(Place::Directory));
            }
            at = parents.get(at).copied().unwrap_or_default();
        }
        places.reverse();
        Image {
            name: record.names.first().unwrap_or(&record.id).clone(),
            layers: places,
        }
    };
    Ok(images.iter().map(image).collect())
}
