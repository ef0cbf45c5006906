//! Can this path be changed, and put back? Asked of every path of a plan when it is made, and
//! again before anything is touched, so that no change is promised or begun whose way back is
//! known to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use ::plan::outlook::Outlook;
use model::{ActionId, Effect, HostPath, Plan};
use rustix::fs::{FileType, IFlags, Mode, OFlags, Stat, StatVfsMountFlags};

use super::Origin;
use crate::LocalHost;
use crate::act::file::refuse_extra_links;
use crate::act::place::{Place, Rights};
use crate::act::{ActError, LastLink, Root, last_link, runtime, together};
use crate::image::node::{BEYOND_AN_IMAGE, is_beyond_an_image};
use crate::target::Target;

/// What binds the journal to its host (machine-id(5)): with another one no change could be
/// undone any more.
const MACHINE_ID: &str = "/etc/machine-id";
/// Our own units, which take a change back that nobody confirms.
const GUARD: &str = "/etc/systemd/system/steadfast-re";

/// # Errors
/// When it can't, with the cause.
pub(super) fn check(
    root: &Root,
    state: &Path,
    effect: &Effect,
    path: &HostPath,
    last: LastLink,
    origin: Origin,
) -> Result<(), ActError> {
    // Packages bring thousands of paths, and their own tools say what stops them.
    if is_of_packages(effect) {
        return Ok(());
    }
    let place = match root.find(path, last) {
        Ok(place) => place,
        Err(error) if error.is_blocked() => {
            return Err(ActError::refused(
                path,
                "something on the way to it is not a directory",
            ));
        }
        // It lies in a directory that the plan makes.
        Err(error) if error.is_missing() => return Ok(()),
        Err(error) => return Err(error),
    };
    let refuse = |why: &str| Err(ActError::refused(&place.path, why));
    if place.path.as_path() == Path::new(MACHINE_ID) {
        return refuse("it is what binds Steadfast's journal to this host: no undo would work");
    }
    let real = root.path().join(
        place
            .path
            .as_path()
            .strip_prefix("/")
            .unwrap_or(place.path.as_path()),
    );
    if let Effect::SetMeta { mode, owner, .. } = effect
        && state.starts_with(&real)
    {
        let is_open = mode.is_some_and(|mode| mode.bits() & 0o022 != 0);
        let is_others = |owner: &String| !["root", "0"].contains(&owner.as_str());
        if is_open || owner.as_ref().is_some_and(is_others) {
            return refuse(
                "Steadfast's state directory lies below it, and is trusted only where nobody but \
                 root can write on the way to it: no undo would work",
            );
        }
    }
    if real.starts_with(state) || is_of_state(&place, state)? {
        return refuse("it lies in Steadfast's own state directory");
    }
    if origin == Origin::Policy && place.path.to_string().starts_with(GUARD) {
        return refuse("it is what takes back a change that nobody confirms");
    }
    let replaces = !matches!(effect, Effect::SetMeta { .. });
    if let Effect::PutFile { .. } | Effect::Remove { .. } | Effect::SetMeta { .. } = effect
        && (replaces || place.shared)
    {
        refuse_extra_links(&place)?;
    }
    if replaces && place.stat()?.is_some_and(|stat| is_beyond_an_image(&stat)) {
        return refuse(BEYOND_AN_IMAGE);
    }
    if replaces && has_foreign_bits(&place)? {
        return refuse("it has set-ID bits that its directory's owner must not be able to make");
    }
    let makes = matches!(
        effect,
        Effect::PutFile { .. }
            | Effect::Remove { .. }
            | Effect::MakeDir { .. }
            | Effect::Link { .. }
    );
    if makes
        && let Ok(system) = rustix::fs::fstatfs(&place.dir)
        && let Some(name) = of_kernel(system.f_type)
    {
        return Err(ActError::refused(
            &place.path,
            format!("it lies on a file system of the kernel's own ({name}), which keeps no files"),
        ));
    }
    mounts(&place, replaces)?;
    flags(&place, replaces)
}

/// A file system that is the kernel's way of telling and being told things: nothing is made or
/// replaced there as elsewhere (statfs(2), linux/magic.h).
fn of_kernel(kind: impl Into<i128>) -> Option<&'static str> {
    const KERNEL: [(i128, &str); 14] = [
        (0x0000_9fa0, "proc"),
        (0x6265_6572, "sysfs"),
        (0x0027_e0eb, "cgroup"),
        (0x6367_7270, "cgroup2"),
        (0x6462_6720, "debugfs"),
        (0x7472_6163, "tracefs"),
        (0x7363_6673, "securityfs"),
        (0xf97c_ff8c, "selinuxfs"),
        (0xcafe_4a11, "bpf"),
        (0x6165_676c, "pstore"),
        (0xde5e_81e4, "efivarfs"),
        (0x6265_6570, "configfs"),
        (0x0000_1cd1, "devpts"),
        (0x4249_4e4d, "binfmt_misc"),
    ];
    // Some architectures have it in 32 bits with a sign.
    let kind = kind.into() & 0xffff_ffff;
    let mut known = KERNEL.iter();
    known
        .find(|(magic, _)| *magic == kind)
        .map(|(_, name)| *name)
}

/// Is it the state directory, or in it, by whatever way it is reached: what is mounted elsewhere once
/// more has another path, and the same number.
fn is_of_state(place: &Place, state: &Path) -> Result<bool, ActError> {
    let number = |stat: &Stat| (stat.st_dev, stat.st_ino);
    let Ok(own) = rustix::fs::stat(state) else {
        // Where there is none yet, nothing leads there.
        return Ok(false);
    };
    let mut own = BTreeSet::from([number(&own)]);
    for entry in std::fs::read_dir(state).into_iter().flatten().flatten() {
        if let Ok(stat) = rustix::fs::lstat(entry.path()) {
            own.insert(number(&stat));
        }
    }
    if place
        .stat()?
        .is_some_and(|stat| own.contains(&number(&stat)))
    {
        return Ok(true);
    }
    let open = |directory: BorrowedFd<'_>, name: &str| {
        let flags = PATH_ONLY.union(OFlags::DIRECTORY);
        rustix::fs::openat(directory, name, flags, Mode::empty())
    };
    // Above the root of a mounted file system is what it is mounted in.
    let mut directory = open(place.dir.as_fd(), ".").map_err(place.fail("open"))?;
    let mut below = None;
    loop {
        let here = number(&rustix::fs::fstat(&directory).map_err(place.fail("look at"))?);
        if own.contains(&here) {
            return Ok(true);
        }
        // Above the root directory is the root directory.
        if below == Some(here) {
            return Ok(false);
        }
        below = Some(here);
        directory = open(directory.as_fd(), "..").map_err(place.fail("look above"))?;
    }
}

pub(super) const fn is_of_packages(effect: &Effect) -> bool {
    matches!(effect, Effect::Package { .. } | Effect::Upgrade { .. })
}

/// What this host says of each action of a plan, where it says something, as far as whoever asks
/// may look. `brought` is what packages bring before. Read-only.
///
/// # Errors
/// When the host can't be looked at.
pub fn outlook(
    host: &LocalHost,
    state: &Path,
    plan: &Plan,
    brought: &BTreeSet<HostPath>,
) -> Result<BTreeMap<ActionId, Outlook>, ActError> {
    let root = Target::of(host)?.root;
    let mut made = Made::by(plan);
    made.directories.extend(brought.iter().cloned());
    let mut outlook = BTreeMap::new();
    for action in &plan.actions {
        if let Effect::Unit { name, op } = &action.effect
            && root.is_live()
            // What can't be asked moves nothing that anybody here could name.
            && let Ok(along) = together::foreseen(name, *op)
            && !along.is_empty()
        {
            outlook.insert(action.id, Outlook::Moves(along));
        }
        if let Effect::Sysctl { key, .. } = &action.effect
            && root.is_live()
            && let Some(why) = runtime::not_settable(key)
        {
            let why = format!("{}: {why}", model::printable(key.as_bytes()));
            outlook.insert(action.id, Outlook::Impossible(why));
        }
        let Some(path) = action.effect.path() else {
            continue;
        };
        let last = last_link(&action.effect);
        if let Some(link) = made.link_above(path) {
            let why = format!(
                "{path}: `{link}` is a link that this plan makes; name the file by where that leads"
            );
            outlook.insert(action.id, Outlook::Impossible(why));
            continue;
        }
        match check(&root, state, &action.effect, path, last, Origin::Policy) {
            Err(ActError::Refused { path, why }) => {
                outlook.insert(action.id, Outlook::Impossible(format!("{path}: {why}")));
                continue;
            }
            // What this user may not look at, root may: apply looks again.
            Err(_) => continue,
            Ok(()) => {}
        }
        match root.find(path, last) {
            Ok(place) => {
                if let Some(what) = dropped(&place, &action.effect)? {
                    outlook.insert(action.id, Outlook::Drops(what));
                }
            }
            Err(error) if error.is_missing() => {
                if let Some(directory) = path.parent().filter(|above| !made.brings(above)) {
                    let why = format!(
                        "{path}: there is no {directory}, and nothing in this plan makes it"
                    );
                    outlook.insert(action.id, Outlook::Impossible(why));
                }
            }
            Err(_) => {}
        }
    }
    Ok(outlook)
}

/// What new content goes without: see `act::file`.
fn dropped(place: &Place, effect: &Effect) -> Result<Option<String>, ActError> {
    let Effect::PutFile { mode, .. } = effect else {
        return Ok(None);
    };
    let Some(stat) = place.stat()? else {
        return Ok(None);
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let mut lost = Vec::new();
    if mode.is_none() && stat.st_mode & 0o4000 != 0 {
        lost.push("set-user-ID bit");
    }
    if mode.is_none() && stat.st_mode & 0o2000 != 0 {
        lost.push("set-group-ID bit");
    }
    let mut capability = [0; 64];
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let has_capability = rustix::fs::openat(&place.dir, &*place.name, flags, Mode::empty())
        .and_then(|file| rustix::fs::fgetxattr(file, "security.capability", &mut capability))
        .is_ok();
    if has_capability {
        lost.push("capabilities");
    }
    Ok((!lost.is_empty()).then(|| {
        format!(
            "{} loses its {}, which its old content had",
            place.path,
            lost.join(" and ")
        )
    }))
}

/// The directories that a plan makes.
struct Made {
    directories: BTreeSet<HostPath>,
    links: BTreeSet<HostPath>,
    /// It has actions that may make any.
    anything: bool,
}

impl Made {
    fn by(plan: &Plan) -> Self {
        let links = plan
            .actions
            .iter()
            .filter_map(|action| match &action.effect {
                Effect::Link { path, .. } => Some(path.clone()),
                _ => None,
            });
        let made = plan
            .actions
            .iter()
            .filter_map(|action| match &action.effect {
                Effect::MakeDir { path, .. } | Effect::Link { path, .. } => Some(path.clone()),
                _ => None,
            });
        Self {
            directories: made.collect(),
            links: links.collect(),
            anything: plan.actions.iter().any(|action| {
                matches!(action.effect, Effect::Account(_) | Effect::Run { .. })
                    || is_of_packages(&action.effect)
            }),
        }
    }

    /// A link of the plan's on the way to the path.
    fn link_above(&self, path: &HostPath) -> Option<HostPath> {
        let mut above = path.parent()?;
        loop {
            if self.links.contains(&above) {
                return Some(above);
            }
            above = above.parent()?;
        }
    }

    fn brings(&self, directory: &HostPath) -> bool {
        self.anything
            || directory
                .ancestors()
                .any(|above| self.directories.contains(&above))
    }
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
    let is_mount = place.is_mount_root();
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
