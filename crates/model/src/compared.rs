//! In builds for tests, how often paths and action ids were compared. A list that is looked
//! through again for each of its entries shows in that number, on a busy machine too; how long it
//! took says little. Release builds count nothing.

use std::cell::Cell;

thread_local! {
    static COMPARED: Cell<u64> = const { Cell::new(0) };
}

/// The comparisons of this thread so far.
pub fn so_far() -> u64 {
    COMPARED.get()
}

pub(crate) fn note() {
    if cfg!(debug_assertions) {
        COMPARED.set(COMPARED.get() + 1);
    }
}
