//! The files that `host` itself understands: nothing in them may stop the reader, and no
//! password hash may leave it. The first byte chooses the parser.

use host::parse::{account, dpkg, modprobe, mount, netlink, nsswitch, os_release, unit_file};

pub fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let lines = bytes.split(|byte| *byte == b'\n').count();
    match choice % 12 {
        0 => {
            let parsed = account::parse_passwd(bytes);
            assert!(parsed.entries.len() + parsed.malformed.len() <= lines);
        }
        1 => no_hash_leaves(bytes),
        2 => {
            let parsed = account::parse_group(bytes);
            assert!(parsed.entries.len() + parsed.malformed.len() <= lines);
        }
        3 => assert!(account::malformed_gshadow(bytes).len() <= lines),
        4 => {
            let _ = (
                nsswitch::other_sources(bytes, "passwd"),
                os_release::parse_os_release(bytes),
            );
        }
        5 => assert!(mount::parse_mountinfo(bytes).len() <= lines),
        6 => assert!(mount::parse_fstab(bytes).len() <= lines),
        7 => assert!(modprobe::parse_modprobe(bytes).len() <= lines),
        8 => {
            assert!(modprobe::parse_loaded(bytes).len() <= lines);
            assert!(modprobe::parse_module_paths(bytes).len() <= lines);
            let _ = modprobe::blacklisted_at_boot(bytes);
        }
        9 => {
            assert!(dpkg::parse_status(bytes).len() <= lines);
            let _ = (dpkg::parse_automatic(bytes), dpkg::parse_diversions(bytes));
            assert!(dpkg::parse_overrides(bytes).len() <= lines);
        }
        10 => drop(unit_file::parse_install(bytes)),
        _ => drop(netlink::parse_addresses(bytes)),
    }
}

/// What follows the last `$` of a password field is its hash.
fn no_hash_leaves(bytes: &[u8]) {
    let parsed = account::parse_shadow(bytes);
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    for line in &parsed.entries {
        let text = lines[line.line as usize - 1];
        let field = text.split(|byte| *byte == b':').nth(1).unwrap_or_default();
        let hash = field
            .rsplit(|byte| *byte == b'$')
            .next()
            .unwrap_or_default();
        if let (true, Ok(hash)) = (hash.len() >= 13, str::from_utf8(hash)) {
            assert!(!format!("{:?}", line.entry.password).contains(hash));
        }
    }
}
