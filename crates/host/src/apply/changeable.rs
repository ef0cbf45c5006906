//! Can this path be changed, and put back? Asked of every path of a plan before anything is
//! touched, so that no change is begun whose way back is known to fail.

use std::path::Path;

use model::{Effect, HostPath};
use rustix::fs::{
    AtFlags, FileType, IFlags, Mode, OFlags, StatVfsMountFlags, StatxAttributes, StatxFlags,
};

use super::Origin;
use crate::act::place::{Place, Rights};
use crate::act::{ActError, Context, LastLink};
use crate::state::State;

/// What binds the journal to its host (machine-id(5)): with another one no change could be
/// undone any more.
const MACHINE_ID: &str = "/etc/machine-id";
/// Our own units, which take a change back that nobody confirms.
const GUARD: &str = "/etc/systemd/system/steadfast-re";

/// # Errors
/// When it can't, with the cause.
pub(super) fn check(
    context: &Context<'_>,
    state: &State,
    effect: &Effect,
    path: &HostPath,
    last: LastLink,
    origin: Origin,
) -> Result<(), ActError> {
    // Packages bring thousands of paths, and their own tools say what stops them.
    if effect.path().is_none() {
        return Ok(());
    }
    let place = match context.root.find(path, last) {
        Ok(place) => place,
        // It lies in a directory that the plan makes.
        Err(error) if error.is_missing() => return Ok(()),
        Err(error) => return Err(error),
    };
    let refuse = |why: &str| Err(ActError::refused(&place.path, why));
    if place.path.as_path() == Path::new(MACHINE_ID) {
        return refuse("it is what binds Steadfast's journal to this host: no undo would work");
    }
    let real = context.root.path().join(
        place
            .path
            .as_path()
            .strip_prefix("/")
            .unwrap_or(place.path.as_path()),
    );
    if real.starts_with(state.directory()) {
        return refuse("it lies in Steadfast's own state directory");
    }
    if origin == Origin::Policy && place.path.to_string().starts_with(GUARD) {
        return refuse("it is what takes back a change that nobody confirms");
    }
    let replaces = !matches!(effect, Effect::SetMeta { .. });
    if replaces && has_foreign_bits(&place)? {
        return refuse("it has set-ID bits that its directory's owner must not be able to make");
    }
    mounts(&place, replaces)?;
    flags(&place, replaces)
}

/// A file like this, in a directory of an account, is never made anew: see `act::file`.
fn has_foreign_bits(place: &Place) -> Result<bool, ActError> {
    let Rights::Account { uid, gid } = place.rights else {
        return Ok(false);
    };
    Ok(place.stat()?.is_some_and(|stat| {
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        is_file && stat.st_mode & 0o6000 != 0 && (stat.st_uid, stat.st_gid) != (uid, gid)
    }))
}

fn mounts(place: &Place, replaces: bool) -> Result<(), ActError> {
    let refuse = |why: &str| Err(ActError::refused(&place.path, why));
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let is_mount = rustix::fs::statx(&place.dir, &*place.name, flags, StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    if is_mount && replaces {
        return refuse("something is mounted on it (findmnt says what), so it can't be replaced");
    }
    // Its own mount decides where it is one.
    let system = match is_mount {
        true => rustix::fs::openat(&place.dir, &*place.name, PATH_ONLY, Mode::empty())
            .and_then(rustix::fs::fstatvfs),
        false => rustix::fs::fstatvfs(&place.dir),
    };
    match system {
        Ok(system) if system.f_flag.contains(StatVfsMountFlags::RDONLY) => {
            refuse("it lies on a file system that is mounted read-only")
        }
        _ => Ok(()),
    }
}

const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// FS_IOC_GETFLAGS(2const). A file system without flags has none that stop us.
fn flags(place: &Place, replaces: bool) -> Result<(), ActError> {
    let stopping = [
        (IFlags::IMMUTABLE, "immutable (chattr +i)"),
        (IFlags::APPEND, "append-only (chattr +a)"),
    ];
    let stops = |flags: IFlags| {
        let found = stopping.iter().find(|(flag, _)| flags.contains(*flag));
        found.map(|(_, name)| *name)
    };
    let of_directory = rustix::fs::ioctl_getflags(&place.dir).ok().and_then(stops);
    if let Some(name) = of_directory.filter(|_| replaces) {
        return Err(ActError::refused(
            &place.path,
            format!("its directory is {name}"),
        ));
    }
    let open = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let is_plain = place.stat()?.is_some_and(|stat| {
        matches!(
            FileType::from_raw_mode(stat.st_mode),
            FileType::Directory | FileType::RegularFile
        )
    });
    if !is_plain {
        return Ok(());
    }
    let own = rustix::fs::openat(&place.dir, &*place.name, open, Mode::empty())
        .and_then(rustix::fs::ioctl_getflags)
        .ok()
        .and_then(stops);
    match own {
        Some(name) => Err(ActError::refused(&place.path, format!("it is {name}"))),
        None => Ok(()),
    }
}
