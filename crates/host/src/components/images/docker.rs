//! The images of Docker with overlay2: `image/overlay2/repositories.json` names them, the
//! content of `imagedb` is an image's configuration (OCI image configuration), whose layers
//! `layerdb` leads to directories below `overlay2`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::value::Reason;
use model::{Digest, HostPath};

use super::{Image, Images, Place, below, database, is_id};
use crate::components::source::malformed;
use crate::local::Inner;

const STORE: &str = "/var/lib/docker";

#[derive(serde::Deserialize)]
struct Repositories {
    /// By repository: the id of each name.
    #[serde(rename = "Repositories")]
    repositories: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(serde::Deserialize)]
struct Configuration {
    rootfs: RootFs,
}

#[derive(serde::Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

pub(crate) fn images(host: &Arc<Inner>) -> Images {
    let path = HostPath::literal("/var/lib/docker/image/overlay2/repositories.json");
    let Some(bytes) = database(host, &path)? else {
        return Ok(Vec::new());
    };
    let store = HostPath::literal(STORE);
    let names = parse_names(&bytes).map_err(|why| (path, why))?;
    let mut images = Vec::new();
    for (id, name) in names {
        let Some(path) = below(
            &store,
            &format!("image/overlay2/imagedb/content/sha256/{id}"),
        ) else {
            continue;
        };
        let Some(configuration) = database(host, &path)? else {
            continue;
        };
        let chain = parse_chain(&configuration).map_err(|why| (path, why))?;
        let mut layers = Vec::new();
        for id in chain {
            let file = below(
                &store,
                &format!("image/overlay2/layerdb/sha256/{id}/cache-id"),
            );
            let directory = match file {
                Some(file) => database(host, &file)?.unwrap_or_default(),
                None => Vec::new(),
            };
            let directory = String::from_utf8_lossy(&directory).trim().to_owned();
            if is_id(&directory) {
                let path = below(&store, &format!("overlay2/{directory}/diff"));
                layers.extend(path.map(Place::Directory));
            }
        }
        images.push(Image { name, layers });
    }
    Ok(images)
}

/// The images by their ids, each with its first name that is no digest.
pub fn parse_names(bytes: &[u8]) -> Result<BTreeMap<String, String>, Reason> {
    let repositories: Repositories = serde_json::from_slice(bytes)
        .map_err(|error| malformed(format!("not Docker's list of images: {error}")))?;
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (name, id) in repositories.repositories.into_values().flatten() {
        let Some(id) = id.strip_prefix("sha256:").filter(|id| is_id(id)) else {
            continue;
        };
        match names.get_mut(id) {
            Some(known) if known.contains('@') && !name.contains('@') => *known = name,
            Some(_) => {}
            None => {
                names.insert(id.to_owned(), name);
            }
        }
    }
    Ok(names)
}

/// The ids of the layers, from the lowest, as `layerdb` has them.
///
/// "ChainID(L₀|...|Lₙ₋₁|Lₙ) = Digest(ChainID(L₀|...|Lₙ₋₁) + " " + DiffID(Lₙ))" (OCI image
/// configuration, "Layer ChainID").
pub fn parse_chain(configuration: &[u8]) -> Result<Vec<String>, Reason> {
    let configuration: Configuration = serde_json::from_slice(configuration)
        .map_err(|error| malformed(format!("not the configuration of an image: {error}")))?;
    let mut chain: Vec<String> = Vec::new();
    for id in configuration.rootfs.diff_ids {
        let id = match chain.last() {
            None => id.strip_prefix("sha256:").unwrap_or(&id).to_owned(),
            Some(last) => Digest::of(format!("sha256:{last} {id}").as_bytes()).to_string(),
        };
        if !is_id(&id) {
            return Err(malformed("a layer without a SHA-256 digest"));
        }
        chain.push(id);
    }
    Ok(chain)
}
