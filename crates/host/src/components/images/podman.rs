//! The images of podman, buildah and CRI-O (containers-storage), kept with overlayfs:
//! `overlay-images/images.json` names them, `overlay-layers/layers.json` what each layer lies
//! on, and `overlay/ID/diff` has its files.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::HostPath;
use model::value::Reason;

use super::{Image, Images, Place, below, database, is_id};
use crate::components::source::malformed;
use crate::local::Inner;
use crate::probe::accounts;

const STORE: &str = "/var/lib/containers/storage";
/// Below a user's home (containers-storage.conf(5), `rootless_storage_path`).
pub const USERS_STORE: &str = "/.local/share/containers/storage";
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

/// The host's store, and those that its users have.
pub(crate) fn stores(host: &Arc<Inner>) -> Vec<HostPath> {
    let mut stores = BTreeSet::from([HostPath::literal(STORE)]);
    let accounts = accounts::passwd(host).map(|passwd| passwd.entries);
    for line in accounts.unwrap_or_default() {
        let home = HostPath::from_bytes(line.entry.home.as_bytes());
        // Nobody lives in `/`, which accounts without a home may have.
        let home = home.ok().filter(|home| home.as_bytes() != b"/");
        stores.extend(home.and_then(|home| home.join(&USERS_STORE[1..]).ok()));
    }
    stores.into_iter().collect()
}

pub(crate) fn images(host: &Arc<Inner>, store: &HostPath) -> Images {
    let read = |rest: &str| match below(store, rest) {
        Some(path) => database(host, &path),
        None => Ok(None),
    };
    let images = match read("overlay-images/images.json") {
        Ok(Some(images)) => images,
        Ok(None) => return Ok(Vec::new()),
        // The walk has said that this home can't be entered.
        Err((_, Reason::NeedsRoot)) if store.as_bytes() != STORE.as_bytes() => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let layers = read("overlay-layers/layers.json")?.unwrap_or_else(|| b"[]".to_vec());
    parse(store, &images, &layers).map_err(|why| (store.clone(), why))
}

/// The images that both databases tell of.
pub fn parse(store: &HostPath, images: &[u8], layers: &[u8]) -> Result<Vec<Image>, Reason> {
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
                let path = below(store, &format!("overlay/{at}/diff"));
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
