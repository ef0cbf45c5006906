//! A service that takes its new configuration and ends by itself soon after: seen, and the
//! configuration goes back.

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
