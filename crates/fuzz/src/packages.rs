//! What the package manager and the kernel say of packages and of processes: nothing may stop the
//! readers, and what they give is of what was there.

use host::packages::sockets::parse_sockets;
use host::packages::users::{parse_maps, parse_unit};
use host::packages::{parse_listed, parse_pending};

pub fn run(bytes: &[u8]) {
    let (maps, deleted) = parse_maps(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(maps.len() + deleted.len() <= lines);
    if let Some(unit) = parse_unit(bytes) {
        assert!(!unit.contains('/') && !unit.is_empty());
    }
    let sockets = parse_sockets(bytes, "0A");
    assert!(sockets.len() <= lines);
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Ok((pending, removed)) = parse_pending(text) {
        let steps = ["Inst ", "Remv ", "Purg "];
        let steps = |line: &&str| steps.iter().any(|verb| line.starts_with(verb));
        let lines = text.lines().filter(steps).count();
        assert_eq!(pending.len() + removed.len(), lines);
        for pending in pending {
            assert!(text.contains(&pending.name) && text.contains(&pending.to));
        }
    }
    for (name, listed) in parse_listed(text) {
        assert!(name.ends_with(".deb") && text.contains(&listed.sha256));
    }
}
