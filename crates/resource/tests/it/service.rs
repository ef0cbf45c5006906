//! `service`.

use model::plan::Risk;

use crate::support::{Host, check, fix, refused, resource};

const FILE: &str = "/usr/lib/systemd/system/x.service";

fn host(active: &str, unit_file: &str) -> Host {
    Host::new().unit("x.service", active, unit_file, &[FILE])
}

#[test]
fn services() {
    let at = format!(" @ {FILE}");
    for (active, unit_file, wanted, expected) in [
        (
            "active",
            "enabled",
            "enabled: true, running: true",
            "ok: enabled, active",
        ),
        (
            "reloading",
            "enabled",
            "running: true",
            "ok: enabled, reloading",
        ),
        (
            "inactive",
            "disabled",
            "enabled: true, running: true",
            "drift: not enabled, stopped, wanted enabled, running",
        ),
        (
            "failed",
            "enabled",
            "enabled: true, running: true",
            "drift: failed, wanted running",
        ),
        (
            "active",
            "enabled",
            "enabled: false, running: false",
            "drift: enabled, running, wanted not enabled, stopped",
        ),
        (
            "active",
            "enabled-runtime",
            "enabled: true",
            "drift: enabled until the next boot, wanted enabled",
        ),
        (
            "active",
            "indirect",
            "enabled: true",
            "ok: indirect, active",
        ),
        (
            "active",
            "indirect",
            "enabled: false",
            "ok: indirect, active",
        ),
        ("active", "static", "enabled: false", "ok: static, active"),
        (
            "inactive",
            "masked",
            "enabled: false, running: false",
            "ok: masked, inactive",
        ),
        ("inactive", "masked", "masked: true", "ok: masked, inactive"),
        (
            "inactive",
            "masked-runtime",
            "masked: true",
            "drift: masked until the next boot, wanted masked",
        ),
        (
            "active",
            "enabled",
            "masked: true, running: false",
            "drift: not masked, running, wanted masked, stopped",
        ),
        (
            "inactive",
            "masked",
            "masked: false, enabled: true, running: true",
            "drift: masked, stopped, wanted not masked, enabled, running",
        ),
        ("", "enabled", "enabled: true", "ok: enabled"),
        // What is certainly wrong is said, although the rest can't be told.
        (
            "",
            "disabled",
            "enabled: true, running: true",
            "drift: not enabled, wanted enabled",
        ),
    ] {
        let expected = format!("{expected}{at}");
        if active.is_empty() && expected.starts_with("drift") {
            let judgement = crate::support::judge(
                &format!("service: {{name: x, {wanted}}}"),
                &host(active, unit_file),
            );
            assert_eq!(crate::support::words(&judgement), expected);
            continue;
        }
        check(
            &format!("service: {{name: x, {wanted}}}"),
            &host(active, unit_file),
            &expected,
        );
    }
}

#[test]
fn what_only_a_person_can_do() {
    for (unit_file, wanted, expected) in [
        (
            "static",
            "enabled: true",
            "drift: static, wanted enabled @ /usr/lib/systemd/system/x.service (by hand: a unit that is static can't be enabled: other units start it)",
        ),
        (
            "masked",
            "running: true",
            "drift: stopped, wanted running @ /usr/lib/systemd/system/x.service (by hand: somebody masked it: say `masked: false` to undo that)",
        ),
        (
            "generated",
            "enabled: false",
            "drift: enabled by a generator, wanted not enabled @ /usr/lib/systemd/system/x.service (by hand: a generator makes this unit: change what it reads, or mask the unit)",
        ),
    ] {
        check(
            &format!("service: {{name: x, {wanted}}}"),
            &host("inactive", unit_file),
            expected,
        );
    }
}

#[test]
fn a_unit_that_is_not_there() {
    for (wanted, expected) in [
        ("enabled: false, running: false", "ok: not installed"),
        ("masked: true", "ok: not installed"),
    ] {
        check(
            &format!("service: {{name: y, {wanted}}}"),
            &Host::new(),
            expected,
        );
    }
    // A package of the same plan may bring it.
    let judgement = crate::support::judge(
        "service: {name: y, enabled: true, running: true}",
        &Host::new(),
    );
    assert_eq!(
        crate::support::words(&judgement),
        "drift: not installed, wanted enabled, running"
    );
}

#[test]
fn without_a_manager_running_is_unknown() {
    check(
        "service: {name: x, running: true}",
        &host("", "enabled"),
        "unknown: no systemd can be asked here, so nothing says what is running",
    );
    check(
        "service: {name: x, enabled: true}",
        &host("active", "bad"),
        "unknown: whether it starts at boot can't be told: its unit file is bad",
    );
}

#[test]
fn sockets_and_timers_keep_their_names() {
    let host = Host::new().unit("ssh.socket", "active", "enabled", &[]);
    let (said, _) = fix(
        "service: {name: ssh.socket, running: false, enabled: false}",
        &host,
    );
    assert_eq!(said, "drift: enabled, running, wanted not enabled, stopped");
}

#[test]
fn a_unit_that_carries_connections_is_a_risk_for_them() {
    for (name, risk) in [
        ("ssh", Risk::Connectivity),
        ("ssh.socket", Risk::Connectivity),
        ("cron", Risk::Service),
    ] {
        assert_eq!(
            resource(&format!("service: {{name: {name}, running: false}}")).risk(),
            risk
        );
    }
}

#[test]
fn mistakes_are_refused() {
    for (yaml, why) in [
        (
            "service: {name: x}",
            "say what is wanted: enabled, running or masked",
        ),
        (
            "service: {name: x, masked: true, running: true}",
            "a masked unit can't be enabled or running",
        ),
        (
            "service: {name: ../x, running: true}",
            "`../x` is not the name of a unit",
        ),
    ] {
        refused(yaml, why);
    }
}
