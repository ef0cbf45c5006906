//! `sysctl`.

use crate::support::{Host, check};

#[test]
fn a_running_value_and_no_file_is_enough() {
    let host = Host::new().sysctl("kernel.kptr_restrict", "1\n");
    check(
        "sysctl: {key: kernel.kptr_restrict, value: {at_least: 1, set: 2}}",
        &host,
        "ok: 1",
    );
}

/// A host with two interfaces beside the two general entries.
fn interfaces(values: [&str; 4]) -> Host {
    ["all", "default", "eth0", "eth0.100"]
        .into_iter()
        .zip(values)
        .fold(Host::new(), |host, (name, value)| {
            let key = format!("net.ipv4.conf.{}.send_redirects", name.replace('.', "/"));
            host.dir(&format!("/proc/sys/net/ipv4/conf/{name}"))
                .sysctl(&key, value)
        })
}

const REDIRECTS: &str = "sysctl: {key: 'net.ipv4.conf.*.send_redirects', value: 0}";

#[test]
fn a_pattern_is_about_every_interface() {
    check(
        REDIRECTS,
        &interfaces(["0", "0", "0", "0"]),
        "ok: 0 for all, default, eth0, eth0/100",
    );
    let after = check(
        REDIRECTS,
        &interfaces(["0", "0", "1", "0"]),
        "drift: 1 for eth0, wanted 0",
    );
    assert_eq!(
        after.content("/etc/sysctl.d/98-steadfast.conf").as_deref(),
        Some("net.ipv4.conf.*.send_redirects = 0\n")
    );
}

#[test]
fn a_pattern_at_boot_counts_unless_a_line_names_the_parameter() {
    let host = interfaces(["0", "0", "0", "0"])
        .file(
            "/etc/sysctl.d/10-a.conf",
            "net.ipv4.conf.eth0.send_redirects = 1\n",
        )
        .file(
            "/etc/sysctl.d/90-b.conf",
            "net.ipv4.conf.*.send_redirects = 0\n",
        );
    let after = check(
        REDIRECTS,
        &host,
        "drift: 1 for eth0 at boot, wanted 0 @ /etc/sysctl.d/10-a.conf:1",
    );
    assert_eq!(
        after.content("/etc/sysctl.d/10-a.conf").as_deref(),
        Some("net.ipv4.conf.eth0.send_redirects = 0\n")
    );
}

#[test]
fn a_line_without_a_value_takes_a_parameter_out_of_patterns() {
    let host = Host::new().sysctl("net.ipv4.conf.all.rp_filter", "2").file(
        "/usr/lib/sysctl.d/50-default.conf",
        "net.ipv4.conf.*.rp_filter = 0\n-net.ipv4.conf.all.rp_filter\n",
    );
    check(
        "sysctl: {key: net.ipv4.conf.all.rp_filter, value: 2}",
        &host,
        "ok: 2",
    );
}

#[test]
fn a_distribution_file_is_overruled_and_not_edited() {
    let host = Host::new()
        .sysctl("kernel.sysrq", "438\n")
        .file("/usr/lib/sysctl.d/50-default.conf", "kernel/sysrq=438\n");
    let after = check(
        "sysctl: {key: kernel.sysrq, value: 0}",
        &host,
        "drift: 438, wanted 0 @ /usr/lib/sysctl.d/50-default.conf:1",
    );
    assert_eq!(
        after.content("/etc/sysctl.d/98-steadfast.conf").as_deref(),
        Some("kernel.sysrq = 0\n")
    );
}

#[test]
fn a_file_that_can_not_be_read_leaves_the_boot_value_unknown() {
    let file = "/etc/sysctl.d/10-a.conf";
    let host = Host::new()
        .sysctl("kernel.sysrq", "0")
        .file(file, "kernel.sysrq = 1\n")
        .cannot_tell(
            model::Probe::file(crate::support::path(file)),
            model::value::Reason::NeedsRoot,
        );
    check(
        "sysctl: {key: kernel.sysrq, value: 0}",
        &host,
        "unknown: needs root: run with sudo",
    );
}
