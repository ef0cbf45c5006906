//! Doing one operation with the rights of the account in whose directory it happens, on a
//! thread of its own: credentials of Linux belong to threads (credentials(7)), and one that
//! gave up root's rights ends with its work.

use rustix::io::Errno;
use rustix::process::Gid;
use rustix::thread::set_thread_groups;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::place::{Place, Rights};
use super::{ActError, Names, Root};

/// Runs `work` with the rights that `place` calls for. Where an effect names the account
/// (`as_user`), the directory must be that account's.
pub fn with_rights<T: Send>(
    root: &Root,
    place: &Place,
    as_user: Option<&str>,
    work: impl FnOnce() -> Result<T, ActError> + Send,
) -> Result<T, ActError> {
    let account = match (place.rights, as_user) {
        (Rights::Own, None) => return work(),
        (Rights::Own, Some(name)) => {
            let uid = Names::read(root)?.uid(name)?;
            if uid == rustix::process::geteuid().as_raw() {
                return work();
            }
            uid
        }
        (Rights::Account { uid, .. }, None) => uid,
        (Rights::Account { uid, .. }, Some(name)) => {
            if Names::read(root)?.uid(name)? != uid {
                return Err(ActError::refused(
                    &place.path,
                    format!("it lies in a directory of user id {uid}, not of `{name}`"),
                ));
            }
            uid
        }
    };
    if !rustix::process::geteuid().is_root() {
        return Err(ActError::refused(
            &place.path,
            format!("it lies in a directory of user id {account}"),
        ));
    }
    // An id without an account has no groups; 65534 is `nogroup`, which owns nothing.
    let (gid, groups) = Names::read(root)?
        .groups_of(account)
        .unwrap_or((65534, Vec::new()));
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let groups: Vec<Gid> = groups.into_iter().map(Gid::from_raw).collect();
                take_rights(account, gid, &groups)
                    .map_err(|source| ActError::program("give up root's rights", source))?;
                work()
            })
            .join()
            .unwrap_or_else(|_| Err(ActError::program("act for an account", "it panicked")))
    })
}

/// Gives this thread the account's rights to files, and none besides: no capability stays in
/// effect. Its other ids stay root's, since whoever shares a process's real or saved id may
/// send it signals (kill(2)), and so end or stop a change in the middle (setfsuid(2)).
#[expect(unsafe_code, reason = "rustix has neither setfsuid(2) nor setfsgid(2)")]
fn take_rights(uid: u32, gid: u32, groups: &[Gid]) -> Result<(), Errno> {
    /// No id: the call changes nothing, and still says what the id is.
    const ASK: u32 = u32::MAX;
    set_thread_groups(groups)?;
    // SAFETY: both calls take a number, and change only the calling thread.
    let taken = unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
        (libc::setfsgid(ASK), libc::setfsuid(ASK))
    };
    if (taken.0.cast_unsigned(), taken.1.cast_unsigned()) != (gid, uid) {
        return Err(Errno::PERM);
    }
    set_capabilities(
        None,
        CapabilitySets {
            effective: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
            permitted: capabilities(None)?.permitted,
        },
    )
}
