//! The images of Docker with overlay2: `image/overlay2/repositories.json` names them, the
//! content of `imagedb` is an image's configuration (OCI image configuration), whose layers
//! `layerdb` leads to directories below `overlay2`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::value::{FileType, Reason};
use model::{Digest, HostPath};

use super::room::Room;
use super::stores::Tool;
use super::{Image, Images, MOST_LAYERS_OF_ONE, Place, below, database, is_id, not_read};
use crate::components::source::malformed;
use crate::local::Inner;

pub const STORE: &str = "/var/lib/docker";
/// The one way of keeping layers that is read.
const DRIVER: &str = "overlay2";

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

/// Where `daemon.json` moves the store to (dockerd(8), `data-root`; `graph` before version 17.05).
pub fn parse_configuration(bytes: &[u8]) -> Result<Option<String>, Reason> {
    let file: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(bytes)
        .map_err(|error| malformed(format!("not the JSON of Docker's daemon: {error}")))?;
    match file.get("data-root").or_else(|| file.get("graph")) {
        None => Ok(None),
        Some(serde_json::Value::String(path)) if path.is_empty() => Ok(None),
        Some(serde_json::Value::String(path)) => Ok(Some(path.clone())),
        Some(_) => Err(malformed("`data-root` is not a text")),
    }
}

/// Where a store has the files of its layers.
pub fn layers(store: &HostPath) -> Vec<HostPath> {
    let names = [
        "aufs",
        "btrfs",
        "devicemapper",
        "fuse-overlayfs",
        "overlay",
        "overlay2",
        "vfs",
        "zfs",
    ];
    let places = names.iter().map(|name| store.join(name));
    places.filter_map(Result::ok).collect()
}

/// Stores within a store: `100000.100000` for containers whose users are mapped (`userns-remap`),
/// and that of a containerd which Docker runs itself.
pub(crate) fn inner(host: &Arc<Inner>, store: &HostPath) -> Vec<(Tool, HostPath)> {
    let names = host.tree.list(store).unwrap_or_default();
    let names = names.into_iter().filter(|(name, file_type)| {
        let mut parts = name.split(|byte| *byte == b'.');
        let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        *file_type == FileType::Directory && parts.clone().count() == 2 && parts.all(is_number)
    });
    let mapped = names.filter_map(|(name, _)| Some((Tool::Docker, store.join(name).ok()?)));
    let containerd = below(store, "containerd/daemon").filter(|path| host.tree.exists(path));
    let containerd = containerd.map(|path| (Tool::Containerd, path));
    mapped.chain(containerd).collect()
}

/// Databases of images that are kept in ways that are not read.
pub(crate) fn others(host: &Arc<Inner>, store: &HostPath) -> Vec<(HostPath, Reason)> {
    let drivers = below(store, "image").map(|path| host.tree.list(&path).unwrap_or_default());
    let drivers = drivers.unwrap_or_default().into_iter();
    let database = |(driver, _): (Vec<u8>, FileType)| {
        let driver = String::from_utf8_lossy(&driver);
        let path = below(store, &format!("image/{driver}/repositories.json"));
        let path = path.filter(|path| driver != DRIVER && host.tree.exists(path))?;
        Some((path, not_read(&driver)))
    };
    drivers.filter_map(database).collect()
}

pub(crate) fn images(host: &Arc<Inner>, store: &HostPath, room: &mut Room) -> Images {
    let Some(path) = below(store, &format!("image/{DRIVER}/repositories.json")) else {
        return Ok(Vec::new());
    };
    let Some(bytes) = database(host, &path, room)? else {
        return Ok(Vec::new());
    };
    let names = parse_names(&bytes).map_err(|why| (path, why))?;
    let mut images = Vec::new();
    for (id, name) in names {
        let Some(path) = below(
            store,
            &format!("image/overlay2/imagedb/content/sha256/{id}"),
        ) else {
            continue;
        };
        let Some(configuration) = database(host, &path, room)? else {
            continue;
        };
        let mut chain = parse_chain(&configuration).map_err(|why| (path, why))?;
        if !room.image(chain.len()) {
            continue;
        }
        // One more than are looked into is a sign that there are more.
        chain.truncate(MOST_LAYERS_OF_ONE + 1);
        let mut layers = Vec::new();
        for id in chain {
            let file = below(
                store,
                &format!("image/overlay2/layerdb/sha256/{id}/cache-id"),
            );
            let directory = match file {
                Some(file) => database(host, &file, room)?.unwrap_or_default(),
                None => Vec::new(),
            };
            let directory = String::from_utf8_lossy(&directory).trim().to_owned();
            if is_id(&directory) {
                let path = below(store, &format!("overlay2/{directory}/diff"));
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
