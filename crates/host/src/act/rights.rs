//! Doing one operation with the rights of the account in whose directory it happens, on a
//! thread of its own: credentials of Linux belong to threads (credentials(7)), and one that
//! gave up root never gets it back.

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

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
                let (uid, gid) = (Uid::from_raw(account), Gid::from_raw(gid));
                set_thread_groups(&groups)
                    .and_then(|()| set_thread_res_gid(gid, gid, gid))
                    .and_then(|()| set_thread_res_uid(uid, uid, uid))
                    .map_err(|source| ActError::program("give up root's rights", source))?;
                work()
            })
            .join()
            .unwrap_or_else(|_| Err(ActError::program("act for an account", "it panicked")))
    })
}
