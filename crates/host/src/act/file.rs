//! Files, directories and links: made under a temporary name in the same directory, given
//! their owner, mode, ACL and attributes, synced, and only then renamed into place, so that
//! each path is at every moment either as it was or as it shall be.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};

use jiff::Timestamp;
use model::{Blob, Effect, HostPath, Mode};
use rustix::fs::{AtFlags, FileType, Gid, IFlags, Mode as RawMode, OFlags, RenameFlags, Timespec};
use rustix::fs::{Statx, StatxAttributes, StatxFlags, StatxTimestamp, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;

use super::place::{LastLink, Place, Rights};
use super::rights::with_rights;
use super::{ActError, Context, Names};
use crate::image::node::{extended, kept_flags, through_proc};
use crate::image::{Attributes, FileTime, Node};

/// POSIX ACLs as the kernel keeps them (acl(5)).
const ACCESS_ACL: &str = "system.posix_acl_access";
/// File capabilities (capabilities(7)); cleared by a change of owner, so set after it.
const CAPABILITY: &str = "security.capability";
/// What a directory gives to all that is made in it.
const DEFAULT_ACL: &str = "system.posix_acl_default";

/// Carries out an effect on a path.
pub fn act(context: &Context<'_>, effect: &Effect) -> Result<(), ActError> {
    match effect {
        Effect::PutFile {
            path,
            content,
            mode,
            owner,
            group,
            as_user,
            drop_acl,
        } => {
            let place = context.root.find(path, LastLink::Follow)?;
            let current = Node::at(&place, None)?;
            let old = match &current {
                Node::Absent => None,
                Node::File { attributes, .. } => Some(attributes),
                other => {
                    return Err(ActError::refused(
                        &place.path,
                        format!("there is {} where a file should be", other.kind()),
                    ));
                }
            };
            refuse_extra_links(&place)?;
            let mut wanted = new_attributes(context, &place, *mode, owner, group, old)?;
            wanted.modified = None;
            if *drop_acl && let Some(extended) = &mut wanted.extended {
                extended.remove(ACCESS_ACL);
                extended.remove(DEFAULT_ACL);
            }
            if current_is_other(&current, content) {
                drop_privilege(&mut wanted, mode.is_some());
            }
            put_file(
                context,
                &place,
                as_user.as_deref(),
                &mut content.as_bytes(),
                &wanted,
            )
        }
        Effect::MakeDir {
            path,
            mode,
            owner,
            group,
            as_user,
        } => {
            let place = context.root.find(path, LastLink::Itself)?;
            let wanted = new_attributes(context, &place, Some(*mode), owner, group, None)?;
            make_directory(context, &place, as_user.as_deref(), &wanted)
        }
        Effect::Remove { path } => {
            let place = context.root.find(path, LastLink::Itself)?;
            refuse_extra_links(&place)?;
            with_rights(context.root, &place, None, || remove(context, &place))
        }
        Effect::Link { path, target } => {
            let place = context.root.find(path, LastLink::Itself)?;
            if !matches!(Node::at(&place, None)?, Node::Absent | Node::Link { .. }) {
                return Err(ActError::refused(
                    &place.path,
                    "there is something else than a link",
                ));
            }
            put_link(context, &place, target, None)
        }
        Effect::SetMeta {
            path,
            mode,
            owner,
            group,
            drop_capabilities,
            drop_acl,
        } => {
            let place = context.root.find(path, LastLink::Itself)?;
            if place.shared {
                refuse_extra_links(&place)?;
            }
            let current = Node::unread_at(&place)?;
            let Some(old) = current.attributes() else {
                return Err(ActError::refused(
                    &place.path,
                    format!("there is {}, which has no mode to change", current.kind()),
                ));
            };
            let mut wanted = new_attributes(
                context,
                &place,
                Some(mode.unwrap_or(old.mode)),
                owner,
                group,
                Some(old),
            )?;
            if *drop_capabilities && let Some(extended) = &mut wanted.extended {
                extended.remove(CAPABILITY);
            }
            if *drop_acl && let Some(extended) = &mut wanted.extended {
                extended.remove(ACCESS_ACL);
                extended.remove(DEFAULT_ACL);
            }
            set_attributes(context, &place, &wanted)
        }
        _ => Err(ActError::Unsupported("not an effect on a path".to_owned())),
    }
}

/// What a new or changed inode shall have.
pub(crate) struct Wanted {
    mode: Mode,
    uid: u32,
    gid: u32,
    /// None: whatever the kernel gives (a directory's default ACL).
    extended: Option<BTreeMap<String, Blob>>,
    /// None: left to the kernel.
    modified: Option<FileTime>,
    /// None: whatever the kernel gives (a directory's flags are inherited).
    flags: Option<u32>,
}

impl From<&Attributes> for Wanted {
    fn from(attributes: &Attributes) -> Self {
        Self {
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            extended: Some(attributes.extended.clone()),
            modified: Some(attributes.modified),
            flags: Some(attributes.flags),
        }
    }
}

fn new_attributes(
    context: &Context<'_>,
    place: &Place,
    mode: Option<Mode>,
    owner: &Option<String>,
    group: &Option<String>,
    old: Option<&Attributes>,
) -> Result<Wanted, ActError> {
    let names = match (owner, group) {
        (None, None) => Names::default(),
        _ => Names::read(context.root)?,
    };
    // What is new belongs to whoever makes it: root, or the account whose directory it is.
    let (our_uid, our_gid) = match place.rights {
        Rights::Own => (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        ),
        Rights::Account { uid, gid } => {
            let primary = Names::read(context.root)?.groups_of(uid);
            (uid, primary.map_or(gid, |(gid, _)| gid))
        }
    };
    let uid = match owner {
        Some(name) => names.uid(name)?,
        None => old.map_or(our_uid, |old| old.uid),
    };
    let gid = match group {
        Some(name) => names.gid(name)?,
        None => old.map_or(our_gid, |old| old.gid),
    };
    Ok(Wanted {
        mode: mode.or(old.map(|old| old.mode)).unwrap_or(Mode::new(0o644)),
        uid,
        gid,
        extended: old.map(|old| old.extended.clone()),
        modified: old.map(|old| old.modified),
        flags: old.map(|old| old.flags),
    })
}

fn current_is_other(current: &Node, content: &Blob) -> bool {
    current.content() != Some(model::Digest::of(content.as_bytes()))
}

/// Bits and capabilities that other bytes had are not given to new ones unsaid.
fn drop_privilege(wanted: &mut Wanted, mode_is_said: bool) {
    if !mode_is_said {
        wanted.mode = Mode::new(wanted.mode.bits() & !SET_ID);
    }
    if let Some(extended) = &mut wanted.extended {
        extended.remove(CAPABILITY);
    }
}

/// Set-user-ID and set-group-ID (inode(7)).
const SET_ID: u32 = 0o6000;

/// Whoever owned the file until it was given over may still hold it open, and write it: it
/// must not be able to do what they can't.
fn refuse_privilege(place: &Place, wanted: &Wanted) -> Result<(), ActError> {
    let Rights::Account { uid, gid } = place.rights else {
        return Ok(());
    };
    let has_bits = wanted.mode.bits() & SET_ID != 0;
    let has_capability = wanted
        .extended
        .as_ref()
        .is_some_and(|extended| extended.contains_key(CAPABILITY));
    match has_capability || has_bits && (wanted.uid, wanted.gid) != (uid, gid) {
        true => Err(ActError::refused(
            &place.path,
            format!("a file with set-ID bits or capabilities in a directory of user id {uid}"),
        )),
        false => Ok(()),
    }
}

/// Replacing or removing one name of a file with several would part them, and no undo could
/// join them again; in a directory that others write, the other name may be anyone's file.
pub(crate) fn refuse_extra_links(place: &Place) -> Result<(), ActError> {
    match place.stat()? {
        Some(stat)
            if stat.st_nlink > 1
                && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile =>
        {
            Err(ActError::refused(
                &place.path,
                format!("the file has {} names (hard links)", stat.st_nlink),
            ))
        }
        _ => Ok(()),
    }
}

/// What has a name in somebody's directory is made and renamed with their rights; the very
/// file that was made is then given its owner through its handle, whoever that is.
fn put_file(
    context: &Context<'_>,
    place: &Place,
    as_user: Option<&str>,
    content: &mut dyn Read,
    wanted: &Wanted,
) -> Result<(), ActError> {
    refuse_privilege(place, wanted)?;
    let name = context.temporary_name();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = with_rights(context.root, place, as_user, || {
        rustix::fs::openat(&place.dir, &name, flags, RawMode::from_raw_mode(0o600))
            .map_err(place.fail("create a file beside"))
    })?;
    context.crash.here("temporary file created");
    let written = write_content(context, place, fd, content, wanted).and_then(|()| {
        context.crash.here("temporary file synced");
        with_rights(context.root, place, as_user, || {
            rustix::fs::renameat(&place.dir, &name, &place.dir, &*place.name)
                .map_err(place.fail("replace"))
        })
    });
    if written.is_err() {
        // The error that counts is the first one; what stays is swept by name later.
        let _ = rustix::fs::unlinkat(&place.dir, &name, AtFlags::empty());
        return written;
    }
    context.crash.here("file renamed");
    sync(context, place)?;
    context.crash.here("directory synced");
    Ok(())
}

pub(super) fn write_content(
    context: &Context<'_>,
    place: &Place,
    fd: OwnedFd,
    content: &mut dyn Read,
    wanted: &Wanted,
) -> Result<(), ActError> {
    let mut file = File::from(fd);
    let fail = |source| ActError::path("write", &place.path, source);
    copy_with_holes(content, &mut file).map_err(fail)?;
    change_attributes(place, &file, wanted)?;
    match context.bulk.is_on() {
        true => Ok(()),
        false => file.sync_all().map_err(fail),
    }
}

/// Nothing is written for a run of zeros of this length: a file with holes does not take more
/// room than it did.
const HOLE_BYTES: usize = 64 << 10;

fn copy_with_holes(content: &mut dyn Read, file: &mut File) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(HOLE_BYTES);
    let mut size_bytes = 0;
    loop {
        buffer.clear();
        content.take(HOLE_BYTES as u64).read_to_end(&mut buffer)?;
        size_bytes += buffer.len() as u64;
        if buffer.len() == HOLE_BYTES && buffer.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(HOLE_BYTES as i64))?;
            continue;
        }
        file.write_all(&buffer)?;
        if buffer.len() < HOLE_BYTES {
            // A hole at the end is part of it.
            return file.set_len(size_bytes);
        }
    }
}

/// A directory's entries become durable; with all others, where there are thousands.
fn sync(context: &Context<'_>, place: &Place) -> Result<(), ActError> {
    match context.bulk.is_on() {
        true => Ok(()),
        false => place.sync(),
    }
}

fn make_directory(
    context: &Context<'_>,
    place: &Place,
    as_user: Option<&str>,
    wanted: &Wanted,
) -> Result<(), ActError> {
    let name = context.temporary_name();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = with_rights(context.root, place, as_user, || {
        rustix::fs::mkdirat(&place.dir, &name, RawMode::from_raw_mode(0o700))
            .map_err(place.fail("create a directory beside"))?;
        context.crash.here("temporary directory created");
        let fd = rustix::fs::openat(&place.dir, &name, flags, RawMode::empty())
            .map_err(place.fail("open the directory beside"))?;
        // Its owner may have put another one there, which need not be theirs.
        let made = rustix::fs::fstat(&fd).map_err(place.fail("look at"))?;
        match place.rights {
            Rights::Account { uid, .. } if made.st_uid != uid => Err(ActError::refused(
                &place.path,
                "it was replaced while we looked",
            )),
            _ => Ok(fd),
        }
    });
    let made = opened
        .and_then(|fd: OwnedFd| {
            change_attributes(place, &fd, wanted)?;
            rustix::fs::fsync(&fd).map_err(place.fail("sync"))
        })
        .and_then(|()| {
            with_rights(context.root, place, as_user, || {
                rustix::fs::renameat_with(
                    &place.dir,
                    &name,
                    &place.dir,
                    &*place.name,
                    RenameFlags::NOREPLACE,
                )
                .map_err(place.fail("create the directory"))
            })
        });
    if made.is_err() {
        let _ = rustix::fs::unlinkat(&place.dir, &name, AtFlags::REMOVEDIR);
        return made;
    }
    context.crash.here("directory renamed");
    sync(context, place)
}

fn remove(context: &Context<'_>, place: &Place) -> Result<(), ActError> {
    let Some(stat) = place.stat()? else {
        return Ok(());
    };
    let flags = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => AtFlags::REMOVEDIR,
        _ => AtFlags::empty(),
    };
    rustix::fs::unlinkat(&place.dir, &*place.name, flags).map_err(place.fail("remove"))?;
    context.crash.here("removed");
    sync(context, place)
}

fn put_link(
    context: &Context<'_>,
    place: &Place,
    target: &Blob,
    exact: Option<(u32, u32, FileTime)>,
) -> Result<(), ActError> {
    let name = context.temporary_name();
    with_rights(context.root, place, None, || {
        rustix::fs::symlinkat(target.as_bytes(), &place.dir, &name)
            .map_err(place.fail("create a link beside"))
    })?;
    context.crash.here("temporary link created");
    let placed = (|| {
        if let Some((uid, gid, modified)) = exact {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let link = rustix::fs::openat(&place.dir, &name, flags, RawMode::empty())
                .map_err(place.fail("open the link beside"))?;
            let stat = rustix::fs::fstat(&link).map_err(place.fail("look at"))?;
            // Whoever owns the directory may have put something else there.
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink || stat.st_nlink > 1 {
                return Err(ActError::refused(
                    &place.path,
                    "it was replaced while we looked",
                ));
            }
            if (stat.st_uid, stat.st_gid) != (uid, gid) {
                rustix::fs::chownat(
                    &link,
                    "",
                    Some(Uid::from_raw(uid)),
                    Some(Gid::from_raw(gid)),
                    AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW,
                )
                .map_err(place.fail("change the owner of"))?;
            }
            // utimensat(2) takes no handle of a link before Linux 5.8.
            rustix::fs::utimensat(
                &place.dir,
                &name,
                &times(modified),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .map_err(place.fail("set the time of"))?;
        }
        with_rights(context.root, place, None, || {
            rustix::fs::renameat(&place.dir, &name, &place.dir, &*place.name)
                .map_err(place.fail("replace"))
        })
    })();
    if placed.is_err() {
        let _ = rustix::fs::unlinkat(&place.dir, &name, AtFlags::empty());
        return placed;
    }
    context.crash.here("link renamed");
    sync(context, place)
}

/// Changes what is there, through a handle on it: no name is looked up twice.
fn set_attributes(context: &Context<'_>, place: &Place, wanted: &Wanted) -> Result<(), ActError> {
    let stat = place
        .stat()?
        .ok_or_else(|| place.fail("open")(Errno::NOENT))?;
    let plain = matches!(
        FileType::from_raw_mode(stat.st_mode),
        FileType::RegularFile | FileType::Directory
    );
    // Opening a device or a pipe could do something; those get a handle without rights.
    let how = if plain {
        OFlags::RDONLY | OFlags::NONBLOCK
    } else {
        OFlags::PATH
    };
    let flags = how | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&place.dir, &*place.name, flags, RawMode::empty())
        .map_err(place.fail("open"))?;
    let now = rustix::fs::fstat(&fd).map_err(place.fail("look at"))?;
    if FileType::from_raw_mode(now.st_mode) != FileType::from_raw_mode(stat.st_mode)
        || place.shared && plain && now.st_nlink > 1 && !is_directory(now.st_mode)
    {
        return Err(ActError::refused(
            &place.path,
            "it was replaced while we looked",
        ));
    }
    if plain {
        change_attributes_stepwise(context, place, &fd, wanted)?;
        match context.bulk.is_on() {
            true => Ok(()),
            false => rustix::fs::fsync(&fd).map_err(place.fail("sync")),
        }
    } else {
        change_special(place, &fd, wanted)
    }
}

fn is_directory(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::Directory
}

fn change_attributes_stepwise(
    context: &Context<'_>,
    place: &Place,
    fd: &OwnedFd,
    wanted: &Wanted,
) -> Result<(), ActError> {
    let now = rustix::fs::fstat(fd).map_err(place.fail("look at"))?;
    // While the owner changes, nobody has a right that they lack before or after.
    let narrow = now.st_mode & wanted.mode.bits() & 0o777;
    rustix::fs::fchmod(fd, RawMode::from_raw_mode(narrow))
        .map_err(place.fail("change the mode of"))?;
    context.crash.here("mode narrowed");
    change_attributes(place, fd, wanted)?;
    context.crash.here("attributes changed");
    Ok(())
}

/// Owner first, since a change of owner clears set-id bits and capabilities; then ACL and
/// other attributes; then the mode, which also sets the ACL's mask; the time last.
fn change_attributes(place: &Place, fd: &impl AsFd, wanted: &Wanted) -> Result<(), ActError> {
    let now = rustix::fs::fstat(fd).map_err(place.fail("look at"))?;
    if (now.st_uid, now.st_gid) != (wanted.uid, wanted.gid) {
        rustix::fs::fchown(
            fd,
            Some(Uid::from_raw(wanted.uid)),
            Some(Gid::from_raw(wanted.gid)),
        )
        .map_err(place.fail("change the owner of"))?;
    }
    if let Some(target) = &wanted.extended {
        let has = extended(fd, place)?;
        for name in has.keys().filter(|name| !target.contains_key(*name)) {
            rustix::fs::fremovexattr(fd, name.as_str())
                .map_err(place.fail("remove an extended attribute of"))?;
        }
        let missing = target
            .iter()
            .filter(|(name, value)| has.get(*name) != Some(value));
        // The ACL goes before everything that depends on who may do what.
        let (acl, others): (Vec<_>, Vec<_>) = missing.partition(|(name, _)| *name == ACCESS_ACL);
        for (name, value) in acl.into_iter().chain(others) {
            rustix::fs::fsetxattr(
                fd,
                name.as_str(),
                value.as_bytes(),
                rustix::fs::XattrFlags::empty(),
            )
            .map_err(place.fail("set an extended attribute of"))?;
        }
    }
    rustix::fs::fchmod(fd, RawMode::from_raw_mode(wanted.mode.bits()))
        .map_err(place.fail("change the mode of"))?;
    if let Some(flags) = wanted.flags {
        set_flags(place, fd, IFlags::from_bits_retain(flags))?;
    }
    if let Some(modified) = wanted.modified {
        rustix::fs::futimens(fd, &times(modified)).map_err(place.fail("set the time of"))?;
    }
    Ok(())
}

/// The flags of chattr(1) that are kept; those that are not stay as the file system gave them.
fn set_flags(place: &Place, fd: &impl AsFd, wanted: IFlags) -> Result<(), ActError> {
    let Ok(now) = rustix::fs::ioctl_getflags(fd) else {
        // The file system has none, so there were none.
        return Ok(());
    };
    let target = (now - kept_flags()) | wanted;
    match target == now {
        true => Ok(()),
        false => {
            rustix::fs::ioctl_setflags(fd, target).map_err(place.fail("set the flags (chattr) of"))
        }
    }
}

fn change_special(place: &Place, fd: &OwnedFd, wanted: &Wanted) -> Result<(), ActError> {
    let now = rustix::fs::fstat(fd).map_err(place.fail("look at"))?;
    if (now.st_uid, now.st_gid) != (wanted.uid, wanted.gid) {
        rustix::fs::chownat(
            fd,
            "",
            Some(Uid::from_raw(wanted.uid)),
            Some(Gid::from_raw(wanted.gid)),
            AtFlags::EMPTY_PATH,
        )
        .map_err(place.fail("change the owner of"))?;
    }
    rustix::fs::chmod(through_proc(fd), RawMode::from_raw_mode(wanted.mode.bits()))
        .map_err(place.fail("change the mode of"))?;
    if let Some(modified) = wanted.modified {
        rustix::fs::utimensat(fd, "", &times(modified), AtFlags::EMPTY_PATH)
            .map_err(place.fail("set the time of"))?;
    }
    Ok(())
}

fn times(modified: FileTime) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: modified.seconds,
            tv_nsec: modified.nanoseconds.into(),
        },
    }
}

/// Makes `path` what `node` says, exactly. Doing it twice changes nothing.
pub fn put_back(context: &Context<'_>, path: &HostPath, node: &Node) -> Result<(), ActError> {
    let place = match context.root.find(path, LastLink::Itself) {
        Ok(place) => place,
        Err(error) if error.is_missing() && *node == Node::Absent => return Ok(()),
        Err(error) => return Err(error),
    };
    let current = Node::at(&place, None)?;
    if current.exactly(node) {
        return Ok(());
    }
    // Only metadata differs: changed in place, as it was.
    let same_kind = match (&current, node) {
        (Node::File { content: a, .. }, Node::File { content: b, .. }) => a == b,
        (Node::Directory { .. }, Node::Directory { .. })
        | (Node::File { .. } | Node::Unread { .. }, Node::Unread { .. })
        | (Node::Other { .. }, Node::Other { .. }) => true,
        _ => false,
    };
    if same_kind && let Some(attributes) = node.attributes() {
        let mut wanted = Wanted::from(attributes);
        // The time of what others write is theirs.
        if matches!(node, Node::Directory { .. } | Node::Unread { .. }) {
            wanted.modified = None;
        }
        return set_attributes(context, &place, &wanted);
    }
    // Of what somebody has deleted there is no mode to put back, and its content was never ours.
    if node.is_unread() && current == Node::Absent {
        return Ok(());
    }
    if node.is_unread() {
        return Err(ActError::refused(
            path,
            format!(
                "there is {} where a file was of which only the metadata was changed",
                current.kind()
            ),
        ));
    }
    // A rename can't put a file over a directory, nor the other way round.
    let is_directory = matches!(current, Node::Directory { .. });
    if is_directory != matches!(node, Node::Directory { .. }) || matches!(node, Node::Absent) {
        with_rights(context.root, &place, None, || remove(context, &place))?;
    }
    match node {
        Node::Absent => Ok(()),
        Node::File {
            content,
            attributes,
            ..
        } => {
            if let Some(name) = context.bulk.take(path) {
                // Staged only where nobody else can write the directory.
                rustix::fs::renameat(&place.dir, &name, &place.dir, &*place.name)
                    .map_err(place.fail("replace"))?;
                context.crash.here("file renamed");
                return Ok(());
            }
            let mut content = context.images.open(content)?;
            let wanted = Wanted::from(attributes);
            put_file(context, &place, None, &mut content, &wanted)
        }
        Node::Directory { attributes } => {
            let wanted = Wanted::from(attributes);
            if matches!(
                current,
                Node::Absent | Node::File { .. } | Node::Unread { .. } | Node::Link { .. }
            ) {
                if !matches!(current, Node::Absent) {
                    with_rights(context.root, &place, None, || remove(context, &place))?;
                }
                make_directory(context, &place, None, &wanted)
            } else {
                set_attributes(context, &place, &wanted)
            }
        }
        Node::Link {
            target,
            uid,
            gid,
            modified,
        } => put_link(context, &place, target, Some((*uid, *gid, *modified))),
        Node::Other { .. } | Node::Unread { .. } => Err(ActError::refused(
            path,
            "a device, pipe or socket can't be made again",
        )),
    }
}

/// Deep trees are nobody's data.
const MOST_DEPTH: usize = 200;

/// Removes what is meant of what is in a directory. Nothing where there is no directory; links are not
/// followed, and what is mounted in it is an error.
pub fn clear_directory(
    context: &Context<'_>,
    path: &HostPath,
    is_meant: &dyn Fn(&Statx) -> bool,
) -> Result<(), ActError> {
    let place = match context.root.find(path, LastLink::Itself) {
        Ok(place) => place,
        Err(error) if error.is_missing() => return Ok(()),
        Err(error) => return Err(error),
    };
    match place.stat()? {
        Some(stat) if is_directory(stat.st_mode) => {
            clear(&place, &place.dir, &place.name, is_meant, MOST_DEPTH)
        }
        _ => Ok(()),
    }
}

fn clear(
    place: &Place,
    parent: &OwnedFd,
    name: &[u8],
    is_meant: &dyn Fn(&Statx) -> bool,
    depth: usize,
) -> Result<(), ActError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory =
        rustix::fs::openat(parent, name, flags, RawMode::empty()).map_err(place.fail("open"))?;
    let listing = rustix::fs::Dir::read_from(&directory).map_err(place.fail("list"))?;
    for entry in listing {
        let entry = entry.map_err(place.fail("list"))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = rustix::fs::statx(
            &directory,
            name,
            AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT,
            StatxFlags::TYPE | StatxFlags::BTIME | StatxFlags::CTIME,
        )
        .map_err(place.fail("look into"))?;
        if !is_meant(&stat) {
            continue;
        }
        if stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
            return Err(ActError::refused(
                &place.path,
                "something is mounted in it (findmnt says what)",
            ));
        }
        let flags = match is_directory(u32::from(stat.stx_mode)) {
            true if depth == 0 => return Err(ActError::refused(&place.path, "it is too deep")),
            true => {
                clear(place, &directory, name.to_bytes(), is_meant, depth - 1)?;
                AtFlags::REMOVEDIR
            }
            false => AtFlags::empty(),
        };
        match rustix::fs::unlinkat(&directory, name, flags) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(place.fail("empty")(error)),
        }
    }
    Ok(())
}

/// Was what is at this path made since?
pub fn is_made_since(path: &HostPath, since: Timestamp) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let mask = StatxFlags::TYPE | StatxFlags::BTIME;
    rustix::fs::statx(rustix::fs::CWD, path.as_path(), flags, mask)
        .is_ok_and(|stat| is_born_since(&stat, since))
}

/// Was it certainly made since? Not where the file system does not tell when a file was made.
pub(crate) fn is_born_since(stat: &Statx, since: Timestamp) -> bool {
    born(stat).is_some_and(|born| born >= since)
}

/// Was it certainly there before that moment? Where the file system does not tell, not what was changed
/// since.
pub(crate) fn was_there(stat: &Statx, moment: Timestamp) -> bool {
    born_or_changed(stat).is_some_and(|at| at < moment)
}

/// When it was made; where the file system does not tell, when it was last changed, which was not before.
pub(crate) fn born_or_changed(stat: &Statx) -> Option<Timestamp> {
    born(stat).or_else(|| changed(stat))
}

fn born(stat: &Statx) -> Option<Timestamp> {
    let told = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    time(stat.stx_btime).filter(|_| told)
}

/// When anything of it was last changed: its content, its name, its rights.
pub(crate) fn changed(stat: &Statx) -> Option<Timestamp> {
    time(stat.stx_ctime)
}

fn time(at: StatxTimestamp) -> Option<Timestamp> {
    Timestamp::new(at.tv_sec, i32::try_from(at.tv_nsec).ok()?).ok()
}

/// Was anything of it changed after that moment?
pub(crate) fn is_changed_since(stat: &Statx, moment: Timestamp) -> bool {
    changed(stat).is_some_and(|changed| changed > moment)
}

/// Was the file that is at this path, if one is, changed after that moment?
pub(crate) fn is_written_since(
    context: &Context<'_>,
    path: &HostPath,
    moment: Timestamp,
) -> Result<bool, ActError> {
    let place = match context.root.find(path, LastLink::Itself) {
        Ok(place) => place,
        Err(error) if error.is_missing() => return Ok(false),
        Err(error) => return Err(error),
    };
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let mask = StatxFlags::TYPE | StatxFlags::CTIME;
    match rustix::fs::statx(&place.dir, &*place.name, flags, mask) {
        Ok(stat) => Ok(!is_directory(u32::from(stat.stx_mode)) && is_changed_since(&stat, moment)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(place.fail("look at")(error)),
    }
}

/// Sets a directory's modification time, when its entries are back.
pub fn set_directory_time(
    context: &Context<'_>,
    path: &HostPath,
    modified: FileTime,
) -> Result<(), ActError> {
    let place = match context.root.find(path, LastLink::Itself) {
        Ok(place) => place,
        Err(error) if error.is_missing() => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some(stat) = place.stat()? else {
        return Ok(());
    };
    if FileTime::of(&stat) == modified || !is_directory(stat.st_mode) {
        return Ok(());
    }
    rustix::fs::utimensat(
        &place.dir,
        &*place.name,
        &times(modified),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .map_err(place.fail("set the time of"))?;
    sync(context, &place)
}

/// Removes what is left under a temporary name in the directories of these paths: by a
/// crash, or as a reserve.
pub fn sweep<'a>(
    context: &Context<'_>,
    paths: impl IntoIterator<Item = &'a HostPath>,
) -> Result<(), ActError> {
    let directories: BTreeMap<Option<HostPath>, &HostPath> = paths
        .into_iter()
        .map(|path| (path.parent(), path))
        .collect();
    for path in directories.into_values() {
        let place = match context.root.find(path, LastLink::Itself) {
            Ok(place) => place,
            Err(error) if error.is_missing() => continue,
            // Whoever owns a directory on the way has put a link there since. What we left
            // behind is theirs to keep, and must not hold up the change.
            Err(ActError::Refused { .. }) => continue,
            Err(error) => return Err(error),
        };
        let listing = rustix::fs::Dir::read_from(&place.dir).map_err(place.fail("list"))?;
        let prefix = context.temporary_prefix();
        for entry in listing {
            let entry = entry.map_err(place.fail("list"))?;
            let name = entry.file_name();
            if !name.to_bytes().starts_with(prefix.as_bytes()) {
                continue;
            }
            let flags = match entry.file_type() {
                FileType::Directory => AtFlags::REMOVEDIR,
                _ => AtFlags::empty(),
            };
            match rustix::fs::unlinkat(&place.dir, name, flags) {
                Ok(()) | Err(Errno::NOENT) => {}
                // Others may have put something under such a name, to hold up the change.
                Err(_) if place.shared => {}
                Err(error) => return Err(place.fail("tidy up beside")(error)),
            }
        }
    }
    Ok(())
}

/// Takes room beside `path`, so that what was there can be written again when the disk is
/// full. `sweep` gives it back.
pub fn reserve(context: &Context<'_>, path: &HostPath, size_bytes: u64) -> Result<(), ActError> {
    let place = context.root.find(path, LastLink::Itself)?;
    let name = context.temporary_name();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&place.dir, &name, flags, RawMode::from_raw_mode(0o600))
        .map_err(place.fail("reserve room beside"))?;
    let none = rustix::fs::FallocateFlags::empty();
    match rustix::fs::fallocate(&fd, none, 0, size_bytes) {
        // A file system that can't reserve is used without.
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(place.fail("reserve room beside")(error)),
    }
}

/// Is there that much room beside `path`? Asks with a file that never gets a name (open(2),
/// `O_TMPFILE`), so that nothing stays, whatever happens.
pub fn has_room(context: &Context<'_>, path: &HostPath, size_bytes: u64) -> Result<(), ActError> {
    let place = context.root.find(path, LastLink::Itself)?;
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let fd = match rustix::fs::openat(&place.dir, ".", flags, RawMode::from_raw_mode(0o600)) {
        Ok(fd) => fd,
        // A file system that can't tell is used without.
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => return Ok(()),
        Err(error) => return Err(place.fail("find room beside")(error)),
    };
    let none = rustix::fs::FallocateFlags::empty();
    match rustix::fs::fallocate(&fd, none, 0, size_bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(place.fail("find room beside")(error)),
    }
}

/// The file system that holds `path`'s directory; none when there is no such directory.
pub fn device(context: &Context<'_>, path: &HostPath) -> Result<Option<u64>, ActError> {
    match context.root.find(path, LastLink::Itself) {
        Ok(place) if place.rights == Rights::Own => rustix::fs::fstat(&place.dir)
            .map(|stat| Some(stat.st_dev))
            .map_err(place.fail("look at")),
        Ok(_) => Ok(None),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On ext4 with small inodes, on XFS of version 4 and on NFS nothing says when a file was made.
    #[test]
    fn what_came_since_was_not_there_on_any_file_system() {
        let moment = Timestamp::new(1000, 0).expect("a time");
        let own = std::env::current_exe().expect("this test's program");
        let stat = |born: Option<i64>, changed: i64| {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let mask = StatxFlags::BASIC_STATS;
            let mut stat = rustix::fs::statx(rustix::fs::CWD, &own, flags, mask).expect("it runs");
            let told = StatxFlags::BTIME.bits();
            stat.stx_mask = match born {
                Some(_) => stat.stx_mask | told,
                None => stat.stx_mask & !told,
            };
            stat.stx_btime.tv_sec = born.unwrap_or_default();
            stat.stx_ctime.tv_sec = changed;
            stat.stx_btime.tv_nsec = 0;
            stat.stx_ctime.tv_nsec = 0;
            stat
        };
        for (born, changed, was_there, is_born_since) in [
            (Some(900), 900, true, false),
            (Some(900), 1100, true, false),
            (Some(1000), 1000, false, true),
            (Some(1100), 1100, false, true),
            (None, 900, true, false),
            // Perhaps only changed: it is neither left out of what came nor called new.
            (None, 1000, false, false),
            (None, 1100, false, false),
        ] {
            let stat = stat(born, changed);
            let found = (
                super::was_there(&stat, moment),
                super::is_born_since(&stat, moment),
            );
            assert_eq!(found, (was_there, is_born_since), "{born:?} {changed}");
        }
    }
}
