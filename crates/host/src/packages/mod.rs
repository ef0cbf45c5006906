//! Pending upgrades of packages: which there are, fetched, verified and rehearsed, with nothing
//! installed yet; and what runs of what is installed.

mod apt_caches;
mod broken;
pub mod changes;
mod fetch;
pub mod installed;
mod kernels;
pub mod lists;
pub mod log;
pub mod offers;
pub mod old_files;
mod owners;
mod pending;
pub mod reach;
mod rehearsal;
pub mod remembered;
pub mod said;
pub mod sockets;
pub mod unsigned;
pub mod users;
mod wait;
mod wanted;

pub use apt_caches::Caches;
pub use broken::{Broken, Previous, again, broken, parse_broken, previous};
pub use fetch::{
    FetchError, Fetched, Listed, Turn, announced, fetch, fetch_beside, is_known, listed,
    parse_listed,
};
pub use kernels::{build_of, kernel, names_of, newest_file, restart_asked_for};
pub use lists::Lists;
pub use owners::owners;
pub use pending::{
    Held, Pending, left, parse_pending, pending, pending_without, with_holds, with_needed,
};
pub use reach::files_in;
pub use rehearsal::{
    Check, Room, UpgradeError, UpgradeRehearsed, check_room, rehearse_upgrade, rehearse_work,
};
pub use wait::{Waited, at_work, wait_for_others};
pub use wanted::{Together, Wants, read as read_wanted, refused, together};

use crate::act::ActError;
use crate::act::upgrade::check_clean;

/// What stands in the way of every upgrade, said before anything is looked at further.
///
/// # Errors
/// dpkg's database is not clean, or could not be asked.
pub fn check() -> Result<(), ActError> {
    check_clean()
}
