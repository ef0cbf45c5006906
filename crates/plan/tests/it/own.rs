//! What Steadfast puts on a host for itself changes no premise.

use model::plan::Premise;
use model::value::{DirEntry, FileType, Meta, Part, WritersSeen};
use model::{Answer, HostPath, Mode, Observed, Probe, Value};
use plan::own::still_holds;

fn path(text: &str) -> HostPath {
    text.parse().expect("test paths are absolute")
}

fn listed(names: &[&str]) -> Observed {
    let entry = |name: &&str| DirEntry {
        name: (*name).into(),
        file_type: FileType::Regular,
    };
    Observed::new(match names {
        [] => Answer::Absent,
        names => Answer::Known(Value::Dir(names.iter().map(entry).collect())),
    })
}

fn writers(paths: &[(&str, u32)]) -> Observed {
    let seen = |(at, uid): &(&str, u32)| WritersSeen {
        path: path(at),
        part: Part::Read,
        meta: Meta {
            file_type: FileType::Regular,
            mode: Mode::new(0o644),
            uid: *uid,
            gid: 0,
            owner: None,
            group: None,
            size_bytes: 0,
            hard_links: 1,
            target: None,
            acl: None,
            default_acl: None,
        },
        acl: None,
        via: None,
    };
    Observed::new(Answer::Known(Value::Writers(
        paths.iter().map(seen).collect(),
    )))
}

/// `seen`: does the plan hold the value, or its digest alone?
fn holds(probe: &Probe, then: &Observed, now: &Observed, seen: bool) -> bool {
    let premise = Premise {
        probe: probe.clone(),
        digest: then.digest,
        seen: seen.then(|| then.clone()),
        after: None,
        form: None,
    };
    still_holds(&premise, now)
}

#[test]
fn our_unit_our_link_and_our_state_are_nobodys_premise() {
    let dir = |at: &str| Probe::Dir { path: path(at) };
    let below = Probe::Writers {
        path: path("/etc/systemd/system"),
        below: true,
    };
    const A: (&str, u32) = ("/etc/systemd/system/a.service", 0);
    const OURS: (&str, u32) = ("/etc/systemd/system/steadfast-recover.service", 0);
    const WANTS: (&str, u32) = ("/etc/systemd/system/sysinit.target.wants", 0);
    const OTHER: (&str, u32) = ("/etc/systemd/system/sysinit.target.wants/b.service", 0);
    let units = dir("/etc/systemd/system");
    let cases = [
        (
            &units,
            listed(&["a.service"]),
            listed(&["a.service", "steadfast-recover.service"]),
        ),
        (
            &units,
            listed(&["a.service"]),
            listed(&[
                "a.service",
                "steadfast-recover-1a2b.service",
                "sysinit.target.wants",
            ]),
        ),
        (
            &dir("/etc/systemd/system/sysinit.target.wants"),
            listed(&[]),
            listed(&["steadfast-recover.service"]),
        ),
        (
            &dir("/var/lib"),
            listed(&["dpkg"]),
            listed(&["dpkg", "steadfast"]),
        ),
        (
            &dir("/run/systemd/transient"),
            listed(&["x.scope"]),
            listed(&["steadfast-revert-c-2-00112233.timer", "x.scope"]),
        ),
        (&below, writers(&[A]), writers(&[A, OURS, WANTS])),
        (
            &below,
            writers(&[A, WANTS, OTHER]),
            writers(&[A, OURS, WANTS, OTHER]),
        ),
    ];
    for (probe, without, with) in &cases {
        assert_ne!(without.digest, with.digest, "{probe}");
        assert!(holds(probe, without, with, false), "{probe}: it came");
        assert!(holds(probe, with, without, true), "{probe}: it went");
    }
    let mine = Probe::file(path(OURS.0));
    assert!(holds(&mine, &listed(&[]), &listed(&["x"]), false));

    // What is somebody else's counts, also beside ours.
    let others = [
        (
            &units,
            listed(&["a.service"]),
            listed(&["a.service", "steadfastly.service"]),
        ),
        (
            &units,
            listed(&["a.service"]),
            listed(&["b.service", "steadfast-recover.service"]),
        ),
        (
            &units,
            listed(&["a.service"]),
            listed(&["a.service", "other.wants"]),
        ),
        (
            &dir("/srv"),
            listed(&[]),
            listed(&["steadfast-recover.service"]),
        ),
        (&below, writers(&[A]), writers(&[(A.0, 1000), OURS])),
        (&below, writers(&[A]), writers(&[A, WANTS, OTHER])),
    ];
    for (probe, then, now) in &others {
        assert!(!holds(probe, then, now, true), "{probe}");
    }
}
