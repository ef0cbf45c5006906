//! Container images in the local stores, layer by layer: a file counts when no layer above it
//! has put another in its place or taken it away (OCI image specification, "Layer Filesystem
//! Changeset"; the kernel's overlayfs says the same in its own way).

pub mod containerd;
pub mod docker;
pub mod layer;
pub mod podman;
pub mod room;
pub(crate) mod stores;
mod stream;
pub mod tar;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::HostPath;
use model::count::plural;
use model::value::Reason;

use super::{Collected, Share};
use crate::local::Inner;
use crate::tree::Trouble;
use layer::{Layer, Most};
use room::Room;
use stores::{Store, Stores, Tool};

/// An image database of a store. A registry's mirror with ten thousand images has 30 MB.
const DATABASE_LIMIT_BYTES: u64 = 64 << 20;
/// "The maximum depth of layers" is 127 in Docker, 500 in the kernel's overlayfs.
const MOST_LAYERS_OF_ONE: usize = 512;

/// An image of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub name: String,
    /// From the lowest to the highest.
    pub layers: Vec<Place>,
}

/// Where a layer is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Its files, as overlayfs takes them.
    Directory(HostPath),
    /// A tar archive, packed or not.
    Archive(HostPath),
}

impl Place {
    pub fn path(&self) -> &HostPath {
        match self {
            Self::Directory(path) | Self::Archive(path) => path,
        }
    }
}

/// What a store holds. A trouble is of the path that stands with it.
type Images = Result<Vec<Image>, (HostPath, Reason)>;

/// Looks into all images of all stores.
pub(crate) fn read(
    host: &Arc<Inner>,
    stores: &Stores,
    collected: &mut Collected,
    entries_seen: &(dyn Fn(u64) + Sync),
) {
    for unread in &stores.unread {
        let (path, why) = (unread.path.clone(), unread.why.clone());
        match unread.user {
            None => collected.say(path, why),
            Some(_) => {
                collected.charge(Share::Images(unread.user));
                collected.unread(path, why);
            }
        }
    }
    let mut by_owner: BTreeMap<Option<u32>, Vec<&Store>> = BTreeMap::new();
    for store in &stores.stores {
        by_owner.entry(store.user).or_default().push(store);
    }
    // Root's come first, and each user's take nobody else's place.
    let mut users = Room::of_users();
    for (owner, own) in by_owner {
        collected.charge(Share::Images(owner));
        let mut room = match owner {
            None => Room::of_root(),
            Some(_) => Room::of_user(&users),
        };
        of_owner(host, stores, &own, &mut room, collected, entries_seen);
        room.end(&mut users);
        if let Some(store) = own.first() {
            room.say(&store.path, collected);
        }
    }
    collected.charge(Share::default());
}

/// Looks into the images of stores that are one user's.
fn of_owner(
    host: &Arc<Inner>,
    stores: &Stores,
    own: &[&Store],
    room: &mut Room,
    collected: &mut Collected,
    entries_seen: &(dyn Fn(u64) + Sync),
) {
    let mut images = Vec::new();
    for store in own {
        let found = match store.tool {
            Tool::Podman => podman::images(host, store, room),
            Tool::Docker => docker::images(host, &store.path, room),
            Tool::Containerd => containerd::images(host, &store.path, room),
        };
        match found {
            Ok(found) => images.extend(found),
            Err((path, why)) => collected.unread(path, why),
        }
        let others = match store.tool {
            Tool::Podman => podman::others(host, &store.path),
            Tool::Docker => docker::others(host, &store.path),
            Tool::Containerd => Vec::new(),
        };
        for (path, why) in others {
            collected.unread(path, why);
        }
    }
    images.sort_by(|one, other| one.name.cmp(&other.name));
    let mut layers: BTreeMap<Place, Layer> = BTreeMap::new();
    let mut incomplete = 0;
    for image in &images {
        let mut is_whole = image.layers.len() <= MOST_LAYERS_OF_ONE;
        for place in image.layers.iter().take(MOST_LAYERS_OF_ONE) {
            if layers.contains_key(place) {
                continue;
            }
            match stores.elsewhere(place.path()) {
                // A user can mount something of their own there, which never answers.
                Some(why) => collected.unread(place.path().clone(), why),
                None if !room.layer() => {
                    is_whole = false;
                    break;
                }
                None => {
                    layers.insert(place.clone(), Layer::default());
                }
            }
        }
        incomplete += usize::from(!is_whole);
    }
    if let Some(store) = own.first().filter(|_| incomplete > 0) {
        let why = format!(
            "of {}, not all layers are looked into: the limits are {}, and \
             {MOST_LAYERS_OF_ONE} layers of one image",
            plural(incomplete, "image"),
            room.layers()
        );
        collected.say(store.path.clone(), Reason::Failed { why });
    }
    if layers.is_empty() {
        return;
    }
    let most = match own.first().and_then(|store| store.user) {
        None => Most::OF_ROOT,
        Some(_) => Most::OF_USER,
    };
    layer::read_all(host, &mut layers, most, entries_seen);
    for (place, layer) in &layers {
        if let Some(why) = &layer.unread {
            collected.unread(place.path().clone(), why.clone());
        }
    }
    let left_out = view::look(host, &images, &layers, room, collected);
    if let Some(store) = own.first().filter(|_| left_out > 0) {
        let why = format!(
            "left out: {}, whose files are more than are looked at",
            plural(left_out, "image")
        );
        collected.say(store.path.clone(), Reason::Failed { why });
    }
}

/// A database of a store; none when this host has no such store, or there is no more room, which is
/// said.
fn database(
    host: &Arc<Inner>,
    path: &HostPath,
    room: &mut Room,
) -> Result<Option<Vec<u8>>, (HostPath, Reason)> {
    let limit_bytes = DATABASE_LIMIT_BYTES.min(room.database_bytes());
    match host.read_path(path, limit_bytes) {
        Ok(bytes) => {
            room.database(bytes.len() as u64);
            Ok(Some(bytes))
        }
        Err(Trouble::Unknown(Reason::TooLarge { size_bytes, .. }))
            if size_bytes <= DATABASE_LIMIT_BYTES =>
        {
            room.database(size_bytes);
            Ok(None)
        }
        Err(Trouble::Absent) => Ok(None),
        Err(Trouble::Unknown(why)) => Err((path.clone(), why)),
    }
}

/// Is something there? Of what never answers, which a user may have mounted there, nobody can say
/// that there is nothing.
fn exists(host: &Arc<Inner>, path: &HostPath) -> bool {
    let wanted = path.clone();
    host.look(path, move |host| Ok(host.tree.exists(&wanted)))
        .unwrap_or(true)
}

/// The first of a list in a database; the rest is counted, and not kept.
struct First<T, const MOST: usize> {
    list: Vec<T>,
    left_out: usize,
}

impl<T, const MOST: usize> Default for First<T, MOST> {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            left_out: 0,
        }
    }
}

impl<'de, T: serde::Deserialize<'de>, const MOST: usize> serde::Deserialize<'de>
    for First<T, MOST>
{
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FirstOf(std::marker::PhantomData))
    }
}

struct FirstOf<T, const MOST: usize>(std::marker::PhantomData<T>);

impl<'de, T: serde::Deserialize<'de>, const MOST: usize> serde::de::Visitor<'de>
    for FirstOf<T, MOST>
{
    type Value = First<T, MOST>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut of: A) -> Result<Self::Value, A::Error> {
        let (mut list, mut left_out) = (Vec::new(), 0);
        while list.len() < MOST {
            match of.next_element()? {
                Some(one) => list.push(one),
                None => return Ok(First { list, left_out }),
            }
        }
        while of.next_element::<serde::de::IgnoredAny>()?.is_some() {
            left_out += 1;
        }
        Ok(First { list, left_out })
    }
}

fn not_read(driver: &str) -> Reason {
    let driver = model::printable(driver.as_bytes());
    let what = format!("images that are kept with {driver} are not read yet");
    Reason::Unavailable { what }
}

/// The path below a store; a name in a database that is none is refused.
fn below(store: &HostPath, rest: &str) -> Option<HostPath> {
    let path = store.join(rest).ok()?;
    path.is_within(store).then_some(path)
}

/// Is this a digest's or a layer's name, and no way out of its directory?
fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
