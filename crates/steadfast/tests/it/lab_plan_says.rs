//! What a plan says before anything is touched: what can't be done or not be taken back, by name,
//! and what comes with what it makes.

use crate::booted::Host;

/// Cases A12, A14 and F14 of 2026-11-30.
#[test]
fn what_can_not_be_taken_back_is_known_when_it_is_planned() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(
        "echo x > /etc/bound.conf; mount --bind /etc/bound.conf /etc/bound.conf; \
         mkdir /srv/ro; mount -t tmpfs -o ro none /srv/ro; \
         install -m 4755 /bin/true /usr/local/bin/held",
    );
    let wants = [
        ("/etc/bound.conf", "mounted on it"),
        ("/srv/ro/x", "read-only"),
        ("/etc/machine-id", "no undo would work"),
        ("/var/lib/steadfast/x", "own state"),
    ];
    let mut role = String::from("  - file: {path: /srv/a/b/c.conf, content: \"x\\n\"}\n");
    for (path, _) in wants {
        role += &format!("  - file: {{path: {path}, content: \"new\\n\"}}\n");
    }
    role += "  - file: {path: /usr/local/bin/held, content: \"new\\n\"}\n";
    host.role("ways", &role);
    let before = host.snapshot();
    let mut plan = host.steadfast(&["plan", "--role", "ways"]);
    plan = plan.expect(
        1,
        &["can't be done", "/srv/a/b", "loses its set-user-ID bit"],
    );
    for (path, why) in wants {
        plan = plan.expect(1, &[path, why]);
    }
    host.expect_same(&before);
    // What can be done is done, and that not all could be is told by the exit code.
    host.steadfast(&["apply", "--role", "ways", "--yes"])
        .expect(
            1,
            &["is in effect", "left out for role ways", "/etc/machine-id"],
        );
    assert_eq!(
        host.shell("stat -c '%a %U' /srv/a /srv/a/b"),
        "755 root\n755 root\n"
    );
    assert_eq!(host.shell("cat /etc/bound.conf; ls /srv/ro"), "x\n");
    host.steadfast(&["plan", "--role", "ways"])
        .expect(1, &["nothing can be done"]);
    host.steadfast(&["apply", "--role", "ways", "--yes"])
        .expect(1, &["nothing can be done", "/etc/machine-id"]);
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &["as it was before"]);
    host.expect_same(&before);
}
