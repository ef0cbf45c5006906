//! systemd units as their files tell, in a tree where no manager runs.

use model::value::UnitSeen;
use model::{Answer, Probe, Value};

use crate::observe_support::{Tree, path};

fn tree() -> Tree {
    let service = b"[Unit]\nDescription=x\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
    let tree = Tree::with(&[
        (
            "/usr/lib/systemd/system/ssh.service",
            b"[Install]\nWantedBy=multi-user.target\nAlias=sshd.service\n",
        ),
        ("/usr/lib/systemd/system/cron.service", service),
        ("/usr/lib/systemd/system/off.service", service),
        (
            "/usr/lib/systemd/system/plain.service",
            b"[Service]\nExecStart=/bin/true\n",
        ),
        (
            "/usr/lib/systemd/system/also.service",
            b"[Install]\nAlso=cron.service\n",
        ),
        (
            "/usr/lib/systemd/system/getty@.service",
            b"[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n",
        ),
        ("/usr/lib/systemd/system/my-own.service", service),
        ("/usr/lib/systemd/system/away.service", service),
        ("/etc/systemd/system/empty.service", b""),
        ("/run/systemd/generator.late/old.service", b"[Unit]\n"),
        ("/etc/systemd/system/cron.service.d/20-b.conf", b""),
        ("/usr/lib/systemd/system/cron.service.d/10-a.conf", b""),
        ("/usr/lib/systemd/system/cron.service.d/20-b.conf", b""),
        ("/etc/systemd/system/my-.service.d/x.conf", b""),
        ("/etc/systemd/system/service.d/all.conf", b""),
    ]);
    tree.link("/lib", "usr/lib");
    tree.link(
        "/etc/systemd/system/sshd.service",
        "/lib/systemd/system/ssh.service",
    );
    tree.link(
        "/etc/systemd/system/multi-user.target.wants/cron.service",
        "/lib/systemd/system/cron.service",
    );
    tree.link(
        "/etc/systemd/system/getty.target.wants/getty@tty1.service",
        "/lib/systemd/system/getty@.service",
    );
    tree.link("/etc/systemd/system/away.service", "/dev/null");
    tree.link(
        "/run/systemd/system/multi-user.target.wants/my-own.service",
        "/lib/systemd/system/my-own.service",
    );
    tree.link(
        "/usr/lib/systemd/system/multi-user.target.wants/plain.service",
        "../plain.service",
    );
    tree.link("/etc/systemd/system/loop-a.service", "loop-b.service");
    tree.link("/etc/systemd/system/loop-b.service", "loop-a.service");
    tree
}

fn unit(tree: &Tree, name: &str) -> Answer {
    tree.ask(&Probe::Unit {
        name: name.to_owned(),
    })
}

fn known(tree: &Tree, name: &str) -> UnitSeen {
    match unit(tree, name) {
        Answer::Known(Value::Unit(seen)) => seen,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn states_are_those_of_systemctl() {
    let tree = tree();
    let cases = [
        ("ssh", "loaded", "enabled"),
        ("sshd.service", "loaded", "enabled"),
        ("cron.service", "loaded", "enabled"),
        ("off", "loaded", "disabled"),
        ("plain", "loaded", "static"),
        ("also", "loaded", "indirect"),
        ("getty@tty1.service", "loaded", "enabled"),
        ("getty@tty2.service", "loaded", "disabled"),
        ("getty@.service", "loaded", "enabled"),
        ("my-own", "loaded", "enabled-runtime"),
        ("away", "masked", "masked"),
        ("empty", "masked", "masked"),
        ("old", "loaded", "generated"),
    ];
    for (name, load_state, file_state) in cases {
        let seen = known(&tree, name);
        assert_eq!(
            (
                &*seen.load_state,
                seen.unit_file_state.as_deref(),
                seen.active_state
            ),
            (load_state, Some(file_state), None),
            "{name}"
        );
    }
    assert_eq!(unit(&tree, "nothing.service"), Answer::Absent);
    // A loop of aliases ends.
    let _ = unit(&tree, "loop-a");
}

#[test]
fn drop_ins_come_in_their_order() {
    let tree = tree();
    let files = |name| known(&tree, name).files;
    assert_eq!(
        files("cron"),
        [
            path("/usr/lib/systemd/system/cron.service"),
            path("/usr/lib/systemd/system/cron.service.d/10-a.conf"),
            path("/etc/systemd/system/cron.service.d/20-b.conf"),
            path("/etc/systemd/system/service.d/all.conf"),
        ]
    );
    assert_eq!(
        files("my-own"),
        [
            path("/usr/lib/systemd/system/my-own.service"),
            path("/etc/systemd/system/service.d/all.conf"),
            path("/etc/systemd/system/my-.service.d/x.conf"),
        ]
    );
}

#[test]
fn a_name_that_is_none_is_refused() {
    let tree = tree();
    for name in ["../../etc/passwd", "a b", "", "x\u{1b}.service"] {
        let answer = unit(&tree, name);
        assert!(
            matches!(answer, Answer::Unknown(_) | Answer::Absent),
            "{name}: {answer:?}"
        );
    }
}

#[test]
fn facts_list_them_all() {
    let units = tree().host().facts().units;
    let units = units.known().expect("known");
    let state = |name: &str| units.get(name).map(String::as_str);
    assert_eq!(state("cron.service"), Some("enabled"));
    assert_eq!(state("getty@tty1.service"), Some("enabled"));
    assert_eq!(state("sshd.service"), Some("alias"));
    assert_eq!(state("away.service"), Some("masked"));
}
