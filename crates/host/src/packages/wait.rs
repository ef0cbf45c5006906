//! Other package managers: who is at work, and when they are done.

use std::time::{Duration, Instant};

use crate::act::package::named_lock_holder;

/// Between two looks at a lock.
const LOOK: Duration = Duration::from_millis(200);

/// How a wait for others ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Nobody is at work.
    Free,
    /// Somebody still is.
    StillHeld(String),
    Interrupted,
}

/// Who holds one of dpkg's locks.
pub fn at_work() -> Option<String> {
    named_lock_holder()
}

/// Waits until nobody holds one of dpkg's locks. Tells once of each that it waits for. It takes
/// none: what begins meanwhile is noticed by apt itself.
pub fn wait_for_others(
    limit: Duration,
    is_interrupted: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(&str),
) -> Waited {
    let until = Instant::now() + limit;
    let mut told = None;
    while let Some(holder) = at_work() {
        if is_interrupted() {
            return Waited::Interrupted;
        }
        if Instant::now() >= until {
            return Waited::StillHeld(holder);
        }
        if told.as_ref() != Some(&holder) {
            tell(&holder);
            told = Some(holder);
        }
        std::thread::sleep(LOOK);
    }
    Waited::Free
}
