//! Thousands of paths that go back together: each file is written beside its place first, then
//! all of them become durable at once, and only then does the first get its name. So a power cut
//! never leaves a name on a file that was not written, without a wait for the disk per file.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::HostPath;
use rustix::fs::{AtFlags, Mode as RawMode, OFlags};

use super::file::{Wanted, write_content};
use super::place::{LastLink, Place};
use super::{ActError, Context};
use crate::image::Node;

/// The files that are written and have no name yet.
#[derive(Debug, Default)]
pub struct Bulk {
    on: AtomicBool,
    staged: Mutex<BTreeMap<HostPath, String>>,
    file_systems: Mutex<BTreeMap<u64, OwnedFd>>,
}

impl Bulk {
    /// Does nothing wait for the disk by itself now?
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// The name beside its place under which the file is there already.
    pub(super) fn take(&self, path: &HostPath) -> Option<String> {
        lock(&self.staged).remove(path)
    }

    /// All that was written on each file system becomes durable.
    fn sync(&self) -> Result<(), ActError> {
        for fd in lock(&self.file_systems).values() {
            rustix::fs::syncfs(fd)
                .map_err(|errno| ActError::program("sync a file system", errno))?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes the files of these paths beside their places, durably. From here on nothing waits for
/// the disk by itself, until [`end`]. Where there is no room for all of them at once, they go
/// back one by one.
pub fn begin<'a>(
    context: &Context<'_>,
    ways: impl IntoIterator<Item = (&'a HostPath, &'a Node)>,
) -> Result<(), ActError> {
    context.bulk.on.store(true, Ordering::Relaxed);
    let staged = ways
        .into_iter()
        .try_for_each(|(path, node)| stage(context, path, node))
        .and_then(|()| {
            context.crash.here("files staged");
            context.bulk.sync()
        });
    match staged {
        Ok(()) => {
            context.crash.here("staged files synced");
            Ok(())
        }
        Err(error) => {
            context.bulk.on.store(false, Ordering::Relaxed);
            drop_staged(context);
            match error.is_full() {
                true => Ok(()),
                false => Err(error),
            }
        }
    }
}

fn stage(context: &Context<'_>, path: &HostPath, node: &Node) -> Result<(), ActError> {
    let place = match context.root.find(path, LastLink::Itself) {
        Ok(place) => place,
        // Its directory goes back first, and then it does.
        Err(error) if error.is_missing() => return Ok(()),
        Err(error) => return Err(error),
    };
    remember_file_system(context, &place)?;
    let Node::File {
        content,
        attributes,
        ..
    } = node
    else {
        return Ok(());
    };
    // Where somebody else could turn the way, it is written with their rights, one by one.
    if place.shared || Node::at(&place, None)?.content() == Some(*content) {
        return Ok(());
    }
    let name = context.temporary_name();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&place.dir, &name, flags, RawMode::from_raw_mode(0o600))
        .map_err(place.fail("create a file beside"))?;
    lock(&context.bulk.staged).insert(path.clone(), name);
    let mut source = context.images.open(content)?;
    write_content(context, &place, fd, &mut source, &Wanted::from(attributes))
}

fn remember_file_system(context: &Context<'_>, place: &Place) -> Result<(), ActError> {
    let device = rustix::fs::fstat(&place.dir)
        .map_err(place.fail("look at"))?
        .st_dev;
    if let Entry::Vacant(vacant) = lock(&context.bulk.file_systems).entry(device) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&place.dir, ".", flags, RawMode::empty())
            .map_err(place.fail("open the directory of"))?;
        vacant.insert(fd);
    }
    Ok(())
}

/// They would take the room that is missing.
fn drop_staged(context: &Context<'_>) {
    for (path, name) in std::mem::take(&mut *lock(&context.bulk.staged)) {
        if let Ok(place) = context.root.find(&path, LastLink::Itself) {
            // What stays is swept by its name later.
            let _ = rustix::fs::unlinkat(&place.dir, &name, AtFlags::empty());
        }
    }
}

/// What was staged is not to get its name after all.
pub fn give_up(context: &Context<'_>) {
    context.bulk.on.store(false, Ordering::Relaxed);
    drop_staged(context);
}

/// What was done since [`begin`] becomes durable.
pub fn end(context: &Context<'_>) -> Result<(), ActError> {
    if !context.bulk.on.swap(false, Ordering::Relaxed) {
        return Ok(());
    }
    context.bulk.sync()
}
