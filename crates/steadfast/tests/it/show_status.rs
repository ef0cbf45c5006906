//! What `patch status` says of the kernel.

use std::collections::BTreeMap;

use jiff::civil::date;
use steadfast::show::patch_status::{Status, write};

/// The words of the answer to a host on which 6.1.0-32 runs.
fn said(newest: Option<&str>, due: bool, is_older: bool, is_removed: bool) -> String {
    let status = Status {
        format: 1,
        runs_old_files: BTreeMap::new(),
        booted_kernel: "6.1.0-32-amd64".to_owned(),
        newest_kernel: newest.map(str::to_owned),
        reboot_due: due,
        next_boot_is_older: is_older,
        booted_kernel_is_removed: is_removed,
        open_until_restarted: Vec::new(),
        overdue: Vec::new(),
        due: Vec::new(),
        pending: Vec::new(),
        held: Vec::new(),
        begins: None,
        feeds: Vec::new(),
        unknown: Vec::new(),
    };
    let mut out = Vec::new();
    write(&mut out, &status, date(2026, 11, 24)).expect("a vector takes any bytes");
    let text = String::from_utf8(out).expect("UTF-8");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_next_boot_is_told() {
    let own = Some("6.1.0-32-amd64");
    let older = Some("6.1.0-28-amd64");
    let newer = Some("6.1.0-33-amd64");
    let gone = "the package of the one that runs is gone, and until the reboot no more of its \
                modules can be loaded";
    let cases = [
        (
            said(own, false, false, false),
            "is the newest installed.",
            false,
        ),
        (
            said(own, true, false, false),
            "an older build of kernel 6.1.0-32-amd64 runs",
            false,
        ),
        (
            said(own, true, true, false),
            "the next boot runs the older one",
            false,
        ),
        (
            said(newer, true, false, true),
            "kernel 6.1.0-32-amd64 runs, and 6.1.0-33-amd64 is installed;",
            true,
        ),
        (
            said(older, true, true, true),
            "reboot due: kernel 6.1.0-32-amd64 runs, and the next boot runs the older \
             6.1.0-28-amd64, the newest that is installed;",
            true,
        ),
        (
            said(None, false, false, false),
            "is not of this host's packages",
            false,
        ),
    ];
    for (said, wanted, is_gone) in cases {
        assert!(said.contains(wanted), "no `{wanted}`: {said}");
        assert_eq!(said.contains(gone), is_gone, "{said}");
    }
}
