//! A service that takes its new configuration and ends by itself soon after: seen, and the
//! configuration goes back. So does one that a service says it does not take when it is told.

use crate::booted::Host;

const UNIT: &str = "\
[Service]
ExecStart=/bin/sh -c 'grep -q good /etc/demo.conf && exec sleep infinity'
";

#[test]
fn a_service_that_does_not_stay_up_has_it_taken_back() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell("echo good > /etc/demo.conf");
    host.write("/usr/lib/systemd/system/dies.service", UNIT);
    host.shell("systemctl daemon-reload && systemctl start dies");
    host.role(
        "dies",
        "  - file: {path: /etc/demo.conf, content: \"bad\\n\", notify: dies}\n",
    );
    let before = host.snapshot();
    host.steadfast(&["apply", "--role", "dies", "--yes"])
        .expect(4, &["dies.service", "1 of 1 file"]);
    host.expect_same(&before);
    let state = host.shell("systemctl is-active dies");
    assert_eq!(state.trim(), "active", "it runs with what it had");
}

/// It says at its start and at each reload what it always says, and of a bad file what is wrong with it;
/// either way it runs on.
const REFUSES: &str = "\
[Service]
ExecStart=/bin/sh -c 'look() { echo \"<3>no key of kind 7\" >&2; ! grep -q bad /etc/demo.conf || echo \"<3>demo.conf: \
no such word\" >&2; }; trap look HUP; look; while :; do sleep 1 & wait; done'
ExecReload=/bin/kill -HUP $MAINPID
";

#[test]
fn a_reload_that_the_service_refuses_is_not_in_effect() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell("echo good > /etc/demo.conf");
    host.write("/usr/lib/systemd/system/refuses.service", REFUSES);
    host.shell("systemctl daemon-reload && systemctl start refuses; sleep 4");
    let role = |content: &str| {
        host.role(
            "refuses",
            &format!(
                "  - file: {{path: /etc/demo.conf, content: \"{content}\\n\", notify: refuses}}\n"
            ),
        );
    };
    role("bad");
    let before = host.snapshot();
    let apply = ["apply", "--role", "refuses", "--yes"];
    for _ in 0..2 {
        host.steadfast(&apply).expect(
            4,
            &[
                "have `refuses.service` take it",
                "demo.conf: no such word",
                "1 of 1 file",
            ],
        );
        host.expect_same(&before);
    }
    role("better");
    host.steadfast(&apply).expect(0, &["it is as planned"]);
    let state = host.shell("systemctl is-active refuses");
    assert_eq!(state.trim(), "active");
}
