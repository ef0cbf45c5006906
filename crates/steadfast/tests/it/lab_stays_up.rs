//! A service that takes its new configuration and ends by itself soon after: seen, and the
//! configuration goes back. So does one that a service says it does not take when it is told.

use crate::booted::{Host, LIMIT};

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

/// One that the journal has a single line of, and goes on with the ports that it had (decision 0027). On
/// this release the journal's reader leaves out the first line after a cursor of somebody else.
#[test]
fn a_port_that_sshd_does_not_get_is_not_in_effect() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell("systemctl start ssh; systemd-run --unit=taken python3 -m http.server 9200 || true");
    host.wait_for("ss -ltn | grep -q :9200", LIMIT);
    host.role(
        "listen",
        "  - file: {path: /etc/ssh/sshd_config.d/01.conf, content: \"ListenAddress 0.0.0.0:22\\nListenAddress \
         0.0.0.0:9200\\n\", notify: ssh}\n",
    );
    let before = host.snapshot();
    host.steadfast(&["apply", "--role", "listen", "--yes", "--detach"])
        .expect(4, &["have `ssh.service` take it", "Bind to port 9200"]);
    host.expect_same(&before);
    host.shell("systemctl is-active ssh");
}

/// As haproxy says it: on its standard error, without a priority; or in its status alone.
const ALERTS: &str = "\
[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/sh -c 'look() { say=Ready.; ! grep -q bad /etc/demo.conf || say=\"Reload failed!\"; \
! grep -q loud /etc/demo.conf || echo \"[ALERT] (1) : Binding [/etc/demo.conf:1]: cannot bind socket (Address already in use)\" >&2; \
systemd-notify --ready --status=\"$say\"; }; trap look HUP; look; while :; do sleep 1 & wait; done'
ExecReload=/bin/kill -HUP $MAINPID
";

#[test]
fn a_reload_that_failed_by_the_service_s_own_word_is_not_in_effect() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell("echo good > /etc/demo.conf");
    host.write("/usr/lib/systemd/system/alerts.service", ALERTS);
    host.shell("systemctl daemon-reload && systemctl start alerts; sleep 4");
    let apply = |content: &str| {
        host.role(
            "alerts",
            &format!(
                "  - file: {{path: /etc/demo.conf, content: \"{content}\\n\", notify: alerts}}\n"
            ),
        );
        host.steadfast(&["apply", "--role", "alerts", "--yes"])
    };
    for (content, said) in [("loud", "cannot bind socket"), ("bad", "Reload failed!")] {
        apply(content).expect(4, &["have `alerts.service` take it", said, "1 of 1 file"]);
        assert_eq!(host.shell("cat /etc/demo.conf"), "good\n");
    }
    apply("better").expect(0, &["it is as planned"]);
}
