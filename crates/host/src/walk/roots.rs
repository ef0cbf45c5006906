//! Root file systems of others below this one: chroots, debootstrap trees, machines of
//! systemd-nspawn, unpacked containers, copies of a host. What is in them is not this host's.
//!
//! A tree counts as one when it says which release it is, has `usr` and `etc`, and has the
//! database of a package manager; and when nobody but root may write its top directory, which is
//! root's. Only what root alone can have put there is left out: of each directory in it, as long as
//! that and all above it up to the top are root's and for nobody else to write. What others may
//! write in such a tree (its `/tmp`, the homes in it) is judged as before, so that nobody hides a
//! set-ID program by putting it there, and no user can make a tree that counts. Directories are
//! looked at by their handles: none takes another's place meanwhile.

use std::os::fd::BorrowedFd;

use model::HostPath;
use model::value::OtherRoot;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Statx};

use crate::parse::os_release::parse_os_release;

/// `/etc/os-release` may be a link, of which the target is not looked for.
const RELEASES: [&str; 2] = ["usr/lib/os-release", "etc/os-release"];

/// Where package managers keep what is installed: dpkg (as a file, or as distroless images have it),
/// apk, rpm, pacman, and Portage.
const DATABASES: [&str; 8] = [
    "var/lib/dpkg/status",
    "var/lib/dpkg/status.d",
    "lib/apk/db/installed",
    "usr/lib/apk/db/installed",
    "usr/lib/sysimage/rpm",
    "var/lib/rpm",
    "var/lib/pacman/local",
    "var/db/pkg",
];

/// os-release(5) is a few lines.
const RELEASE_LIMIT: usize = 64 << 10;

/// Is this root's, and for nobody else to write? An ACL that lets others write shows in the bits of
/// the group (acl(5)).
fn is_roots_alone(uid: u32, mode: u32) -> bool {
    uid == 0 && mode & 0o022 == 0
}

/// Is what lies in this directory put there by root alone?
pub(super) fn only_root_writes(directory: BorrowedFd<'_>) -> bool {
    fs::fstat(directory).is_ok_and(|stat| is_roots_alone(stat.st_uid, stat.st_mode))
}

/// Might this directory be the top of a root file system? By what is known of it without opening it:
/// `usr`, `etc` and one more are three directories below it. Some file systems count none.
pub(super) fn may_be_top(stat: &Statx) -> bool {
    is_roots_alone(stat.stx_uid, u32::from(stat.stx_mode))
        && (stat.stx_nlink == 1 || stat.stx_nlink >= 5)
}

/// The root file system of which this is the top directory.
pub(super) fn other_root(directory: BorrowedFd<'_>, path: &HostPath) -> Option<OtherRoot> {
    let is = |name: &str, directories_only: bool| {
        fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
            !directories_only || FileType::from_raw_mode(stat.st_mode) == FileType::Directory
        })
    };
    let counts = is("usr", true)
        && is("etc", true)
        && RELEASES.iter().any(|name| is(name, false))
        && DATABASES.iter().any(|name| is(name, false))
        && only_root_writes(directory);
    counts.then(|| OtherRoot {
        path: path.clone(),
        release: RELEASES.iter().find_map(|name| release(directory, name)),
    })
}

fn release(directory: BorrowedFd<'_>, name: &str) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::openat(directory, name, flags, Mode::empty()).ok()?;
    let stat = fs::fstat(&file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut bytes = Vec::new();
    let mut limited = std::io::Read::take(std::fs::File::from(file), RELEASE_LIMIT as u64);
    std::io::Read::read_to_end(&mut limited, &mut bytes).ok()?;
    Some(parse_os_release(&bytes)?.pretty)
}
