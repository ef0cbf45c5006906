//! The images of podman, buildah and CRI-O (containers-storage), kept with overlayfs:
//! `overlay-images/images.json` names them, `overlay-layers/layers.json` what each layer lies
//! on, and `overlay/ID/diff` has its files. Kept by copies (`vfs`), `vfs/dir/ID` has those of the
//! layers below as well.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::HostPath;
use model::value::Reason;
use toml::de::{DeTable, DeValue};

use super::room::Room;
use super::stores::Store;
use super::{
    First, Image, Images, MOST_LAYERS_OF_ONE, Place, below, database, exists, is_id, not_read,
};
use crate::components::lock::{get, string, table};
use crate::components::source::malformed;
use crate::local::Inner;

pub const STORE: &str = "/var/lib/containers/storage";
/// Below a user's home (containers-storage.conf(5), `rootless_storage_path`).
pub const USERS_STORE: &str = "/.local/share/containers/storage";
/// Entries of the two databases that are read: what a registry's mirror has, some times over.
const MOST_IMAGES: usize = 50_000;
const MOST_LAYERS: usize = 500_000;

/// How the layers of a store are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    Overlay,
    Vfs,
}

impl Driver {
    const fn name(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Vfs => "vfs",
        }
    }

    fn layer(self, id: &str) -> String {
        match self {
            Self::Overlay => format!("overlay/{id}/diff"),
            Self::Vfs => format!("vfs/dir/{id}"),
        }
    }
}

#[derive(serde::Deserialize)]
struct ImageRecord<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(default)]
    names: First<String, 1>,
    /// The highest.
    #[serde(default, borrow)]
    layer: Cow<'a, str>,
}

#[derive(serde::Deserialize)]
struct LayerRecord<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(default, borrow)]
    parent: Cow<'a, str>,
}

/// What a `storage.conf` says of places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    graph_root: Option<String>,
    image_stores: Vec<String>,
    /// Where each user's store is, with variables in it.
    pub rootless: Option<String>,
}

impl Configuration {
    /// The stores of whose configuration this is.
    pub fn stores(&self) -> impl Iterator<Item = &str> {
        let stores = self.graph_root.iter().chain(&self.image_stores);
        stores.map(String::as_str)
    }

    /// The same, when it is about stores that users have without root.
    pub fn for_users(self) -> Self {
        Self {
            rootless: self.rootless.or(self.graph_root),
            graph_root: None,
            ..self
        }
    }
}

/// containers-storage.conf(5)
pub fn parse_configuration(bytes: &[u8]) -> Result<Configuration, Reason> {
    let text = str::from_utf8(bytes).map_err(|_| malformed("not TOML: not UTF-8"))?;
    let file = table(text)?;
    let Some(storage) = inner(&file, "storage")? else {
        return Ok(Configuration::default());
    };
    let place = |key: &str| match (get(storage, key), string(storage, key)) {
        // An empty one is the tool's own.
        (None, _) | (_, Some("")) => Ok(None),
        (_, Some(path)) => Ok(Some(path.to_owned())),
        (Some(_), None) => Err(malformed(format!("`{key}` is not a text"))),
    };
    let mut image_stores: Vec<String> = place("imagestore")?.into_iter().collect();
    if let Some(options) = inner(storage, "options")?
        && let Some(more) = get(options, "additionalimagestores")
    {
        let not_texts = || malformed("`additionalimagestores` is not a list of texts");
        for one in more.as_array().ok_or_else(not_texts)?.iter() {
            let path = one.get_ref().as_str().ok_or_else(not_texts)?;
            image_stores.push(path.to_owned());
        }
    }
    Ok(Configuration {
        graph_root: place("graphroot")?,
        image_stores,
        rootless: place("rootless_storage_path")?,
    })
}

fn inner<'a>(of: &'a DeTable<'_>, key: &str) -> Result<Option<&'a DeTable<'a>>, Reason> {
    let table = |value: &'a DeValue<'a>| {
        let table = value.as_table();
        table.ok_or_else(|| malformed(format!("`{key}` is not a table")))
    };
    get(of, key).map(table).transpose()
}

/// Where a store has the files of its layers.
pub fn layers(store: &HostPath) -> Vec<HostPath> {
    let names = ["overlay", "vfs", "btrfs", "zfs", "aufs"];
    let places = names.iter().map(|name| store.join(name));
    places.filter_map(Result::ok).collect()
}

pub(crate) fn images(host: &Arc<Inner>, store: &Store, room: &mut Room) -> Images {
    let mut images = Vec::new();
    for driver in [Driver::Overlay, Driver::Vfs] {
        images.extend(kept_with(host, store, driver, room)?);
    }
    Ok(images)
}

/// Databases of images that are kept in ways that are not read.
pub(crate) fn others(host: &Arc<Inner>, store: &HostPath) -> Vec<(HostPath, Reason)> {
    let drivers = ["aufs", "btrfs", "devicemapper", "zfs"].into_iter();
    let database = |driver| {
        let path = below(store, &format!("{driver}-images/images.json"));
        let path = path.filter(|path| exists(host, path))?;
        Some((path, not_read(driver)))
    };
    drivers.filter_map(database).collect()
}

fn kept_with(host: &Arc<Inner>, store: &Store, driver: Driver, room: &mut Room) -> Images {
    let mut read = |rest: &str| match below(&store.path, &format!("{}-{rest}", driver.name())) {
        Some(path) => database(host, &path, room),
        None => Ok(None),
    };
    let images = match read("images/images.json") {
        Ok(Some(images)) => images,
        Ok(None) => return Ok(Vec::new()),
        // The walk has said that this home can't be entered.
        Err((_, Reason::NeedsRoot)) if store.user.is_some() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let layers = read("layers/layers.json")?.unwrap_or_else(|| b"[]".to_vec());
    parse(&store.path, driver, &images, &layers, room).map_err(|why| (store.path.clone(), why))
}

/// The images that both databases tell of, as far as there is room.
pub fn parse(
    store: &HostPath,
    driver: Driver,
    images: &[u8],
    layers: &[u8],
    room: &mut Room,
) -> Result<Vec<Image>, Reason> {
    let not_json = |error: serde_json::Error| {
        malformed(format!("not a database of containers-storage: {error}"))
    };
    let images: First<ImageRecord<'_>, MOST_IMAGES> =
        serde_json::from_slice(images).map_err(not_json)?;
    let layers: First<LayerRecord<'_>, MOST_LAYERS> =
        serde_json::from_slice(layers).map_err(not_json)?;
    room.leave_out(images.left_out + layers.left_out);
    let parents: HashMap<&str, &str> = layers
        .list
        .iter()
        .map(|layer| (&*layer.id, &*layer.parent))
        .collect();
    let image = |record: &ImageRecord<'_>| {
        let mut ids = Vec::new();
        let mut seen = HashSet::new();
        let mut at = &*record.layer;
        // A layer that lies on itself would never end. One more than are looked into is a sign
        // that there are more.
        while !at.is_empty() && ids.len() <= MOST_LAYERS_OF_ONE && seen.insert(at) {
            ids.push(at);
            at = match driver {
                Driver::Overlay => parents.get(at).copied().unwrap_or_default(),
                // A copy has all that lies below.
                Driver::Vfs => "",
            };
        }
        if !room.image(ids.len()) {
            return None;
        }
        let ids = ids.iter().rev().filter(|id| is_id(id));
        let places = ids.filter_map(|id| below(store, &driver.layer(id)));
        let first = record.names.list.first();
        Some(Image {
            name: first.map_or_else(|| record.id.to_string(), String::clone),
            layers: places.map(Place::Directory).collect(),
        })
    };
    Ok(images.list.iter().filter_map(image).collect())
}
