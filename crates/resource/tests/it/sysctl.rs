//! `sysctl`.

use crate::support::{Host, check};

#[test]
fn a_running_value_and_no_file_is_enough() {
    let host = Host::new().sysctl("kernel.kptr_restrict", "1\n");
    check(
        "sysctl: {key: kernel.kptr_restrict, value: {at_least: 1, set: 2}}",
        &host,
        "ok: 1",
    );
}
