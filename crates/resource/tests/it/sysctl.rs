//! `sysctl`.

use crate::support::{Host, check, judge, words};

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
        "ok: 0 for default, eth0, eth0/100",
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

#[test]
fn a_distribution_file_that_is_read_late_is_overruled_later_still() {
    let vendor = "/usr/lib/sysctl.d/99-protect-links.conf";
    let host = Host::new()
        .sysctl("fs.protected_fifos", "1")
        .file(vendor, "fs.protected_fifos = 1\n");
    let after = check(
        "sysctl: {key: fs.protected_fifos, value: 2}",
        &host,
        &format!("drift: 1, wanted 2 @ {vendor}:1"),
    );
    assert_eq!(
        after.content("/etc/sysctl.d/zz-steadfast.conf").as_deref(),
        Some("fs.protected_fifos = 2\n")
    );
}

#[test]
fn a_line_that_names_a_parameter_is_not_overruled_by_a_pattern() {
    let host = interfaces(["0", "0", "1", "0"]).file(
        "/usr/lib/sysctl.d/50-default.conf",
        "net.ipv4.conf.eth0.send_redirects = 1\n",
    );
    let after = check(
        REDIRECTS,
        &host,
        "drift: 1 for eth0, wanted 0 @ /usr/lib/sysctl.d/50-default.conf:1",
    );
    assert_eq!(
        after.content("/etc/sysctl.d/98-steadfast.conf").as_deref(),
        Some("net.ipv4.conf.eth0.send_redirects = 0\n")
    );
}

#[test]
fn sysctl_conf_counts_where_it_is_read() {
    let yaml = "sysctl: {key: kernel.sysrq, value: 0}";
    let host = Host::new()
        .sysctl("kernel.sysrq", "0")
        .file("/etc/sysctl.conf", "-kernel/sysrq=1 \n");
    let at_boot = "drift: 1 at boot, wanted 0 @ /etc/sysctl.conf:1";
    // procps reads it last, systemd where a link leads there; the link itself stays.
    let after = check(yaml, &host, at_boot);
    assert_eq!(
        after.content("/etc/sysctl.conf").as_deref(),
        Some("-kernel/sysrq=0\n")
    );
    let systemd = host.file("/usr/lib/systemd/systemd-sysctl", "");
    check(yaml, &systemd, "ok: 0");
    let linked = systemd.link("/etc/sysctl.d/99-sysctl.conf", "../sysctl.conf");
    check(yaml, &linked, at_boot);
}

#[test]
fn a_link_to_nothing_switches_a_file_off() {
    let host = Host::new()
        .sysctl("kernel.sysrq", "0")
        .file("/usr/lib/sysctl.d/50-a.conf", "kernel.sysrq = 1\n")
        .link("/etc/sysctl.d/50-a.conf", "/dev/null");
    check("sysctl: {key: kernel.sysrq, value: 0}", &host, "ok: 0");
}

#[test]
fn several_numbers_are_compared_whatever_separates_them() {
    let key = "net.ipv4.ip_local_port_range";
    let host = Host::new()
        .sysctl(key, "32768\t60999\n")
        .file("/etc/sysctl.d/1.conf", &format!("{key} = 32768   60999\n"));
    check(
        &format!("sysctl: {{key: {key}, value: 32768 60999}}"),
        &host,
        "ok: 32768 60999 @ /etc/sysctl.d/1.conf:1",
    );
}

/// A golden image (`audit --root`): its files say what will be set, and nothing else is known.
#[test]
fn a_tree_is_judged_by_its_files() {
    use model::Probe;
    use model::value::Reason;
    let tree = |keys: &[&str]| {
        keys.iter().fold(Host::new(), |host, key| {
            let probe = Probe::Sysctl {
                key: (*key).to_owned(),
            };
            host.cannot_tell(probe, Reason::Offline)
        })
    };
    let wanted = "sysctl: {key: kernel.kptr_restrict, value: {at_least: 1, set: 2}}";
    let file = "/etc/sysctl.d/10-a.conf";
    let one = || tree(&["kernel.kptr_restrict"]);
    check(
        wanted,
        &one().file(file, "kernel.kptr_restrict = 1\n"),
        "ok: 1 at boot @ /etc/sysctl.d/10-a.conf:1",
    );
    check(
        wanted,
        &one().file(file, "kernel.kptr_restrict = 0\n"),
        "drift: 0 at boot, wanted at least 1 @ /etc/sysctl.d/10-a.conf:1",
    );
    check(
        wanted,
        &one(),
        "unknown: no file of this tree sets `kernel.kptr_restrict`, and what its kernel does by itself is not known",
    );
    let both = || {
        tree(&[
            "net.ipv4.conf.all.send_redirects",
            "net.ipv4.conf.default.send_redirects",
        ])
    };
    check(
        REDIRECTS,
        &both().file(file, "net.ipv4.conf.*.send_redirects = 0\n"),
        "ok: 0 for default at boot @ /etc/sysctl.d/10-a.conf:1",
    );
    check(
        REDIRECTS,
        &both().file(
            file,
            "net.ipv4.conf.all.send_redirects = 0\nnet.ipv4.conf.default.send_redirects = 1\n",
        ),
        "drift: 1 for default at boot, wanted 0 @ /etc/sysctl.d/10-a.conf:1 @ /etc/sysctl.d/10-a.conf:2",
    );
    let half = both().file(file, "net.ipv4.conf.all.send_redirects = 0\n");
    let unknown = "unknown: no file of this tree sets `net.ipv4.conf.*.send_redirects`, and what its kernel does by itself is not known";
    check(REDIRECTS, &half, unknown);
}

/// `ip_forward` and the forwarding of all interfaces are one variable of the kernel.
#[test]
fn two_names_of_one_variable() {
    let yaml = "sysctl: {key: net.ipv4.ip_forward, value: 0}";
    let base = || {
        Host::new()
            .sysctl("net.ipv4.ip_forward", "0")
            .file("/usr/lib/systemd/systemd-sysctl", "")
    };
    let other = "/etc/sysctl.d/b.conf";
    for (files, expected) in [
        (
            &[(other, "net.ipv4.conf.all.forwarding=1\n")][..],
            format!("drift: 1 at boot, wanted 0 @ {other}:1"),
        ),
        (
            &[(other, "net/ipv4/conf/*/forwarding=1\n")],
            format!("drift: 1 at boot, wanted 0 @ {other}:1"),
        ),
        (
            &[
                (other, "net.ipv4.conf.all.forwarding=1\n"),
                ("/etc/sysctl.d/98-a.conf", "net.ipv4.ip_forward=0\n"),
            ],
            format!("drift: 1 at boot, wanted 0 @ {other}:1"),
        ),
        (
            &[
                (other, "net.ipv4.conf.all.forwarding=1\n"),
                ("/etc/sysctl.d/c.conf", "net.ipv4.ip_forward=0\n"),
            ],
            "ok: 0 @ /etc/sysctl.d/c.conf:1".to_owned(),
        ),
        // What is said again does not move to the end.
        (
            &[
                ("/etc/sysctl.d/a.conf", "net.ipv4.ip_forward=0\n"),
                (other, "net.ipv4.conf.all.forwarding=1\n"),
                ("/etc/sysctl.d/c.conf", "net.ipv4.ip_forward=0\n"),
            ],
            format!("drift: 1 at boot, wanted 0 @ {other}:1"),
        ),
        (
            &[
                ("/etc/sysctl.d/a.conf", "net.ipv4.ip_forward=0\n"),
                (
                    "/usr/lib/sysctl.d/50-b.conf",
                    "net.ipv4.conf.all.forwarding=1\n",
                ),
                ("/etc/sysctl.d/00-c.conf", "net.ipv4.ip_forward=0\n"),
            ],
            "drift: 1 at boot, wanted 0 @ /usr/lib/sysctl.d/50-b.conf:1".to_owned(),
        ),
    ] {
        let host = files
            .iter()
            .fold(base(), |host, (at, content)| host.file(at, content));
        check(yaml, &host, &expected);
    }
}

/// What a link leads to may be read by another program: it is overruled, not changed.
#[test]
fn a_file_of_another_program_is_not_changed() {
    let theirs = "/etc/ufw/sysctl.conf";
    let host = Host::new()
        .sysctl("net.ipv4.tcp_syncookies", "1")
        .file(theirs, "net/ipv4/tcp_syncookies=0\n")
        .link("/etc/sysctl.d/60-ufw.conf", theirs);
    let fixed = check(
        "sysctl: {key: net.ipv4.tcp_syncookies, value: 1}",
        &host,
        &format!("drift: 0 at boot, wanted 1 @ {theirs}:1"),
    );
    assert_eq!(
        fixed.content(theirs).as_deref(),
        Some("net/ipv4/tcp_syncookies=0\n")
    );
    assert_eq!(
        fixed.content("/etc/sysctl.d/98-steadfast.conf").as_deref(),
        Some("net.ipv4.tcp_syncookies = 1\n")
    );
}

/// Two interfaces, by a parameter's values for `all`, `default`, `lo` and `eth0`.
fn of_interfaces(family: &str, parameter: &str, values: [&str; 4]) -> Host {
    ["all", "default", "lo", "eth0"]
        .into_iter()
        .zip(values)
        .fold(Host::new(), |host, (name, value)| {
            host.dir(&format!("/proc/sys/net/{family}/conf/{name}"))
                .sysctl(&format!("net.{family}.conf.{name}.{parameter}"), value)
        })
}

#[test]
fn what_holds_on_an_interface_is_made_of_two_values() {
    let check = |family: &str, parameter: &str, values: [&str; 4], value: &str, wanted: &str| {
        let want = format!("sysctl: {{key: 'net.{family}.conf.*.{parameter}', value: {value}}}");
        let host = of_interfaces(family, parameter, values);
        let said = words(&judge(&want, &host));
        assert!(said.starts_with(wanted), "{parameter} {values:?}: {said}");
    };
    // The larger one; Debian leaves `all` at 0 and sets each interface.
    let loose = "{one_of: ['1', '2'], set: '2'}";
    check("ipv4", "rp_filter", ["0", "2", "2", "2"], loose, "ok");
    check("ipv4", "rp_filter", ["1", "0", "0", "0"], loose, "ok");
    check(
        "ipv4",
        "rp_filter",
        ["0", "2", "2", "0"],
        loose,
        "drift: 0 for eth0",
    );
    check(
        "ipv4",
        "rp_filter",
        ["1", "0", "0", "2"],
        "1",
        "drift: 2 for eth0",
    );
    // Both.
    check(
        "ipv4",
        "accept_source_route",
        ["0", "1", "1", "1"],
        "0",
        "ok",
    );
    check(
        "ipv4",
        "accept_source_route",
        ["1", "0", "0", "0"],
        "0",
        "ok",
    );
    check(
        "ipv4",
        "accept_source_route",
        ["1", "0", "0", "1"],
        "0",
        "drift: 1 for eth0",
    );
    // One of them.
    check("ipv4", "log_martians", ["0", "1", "1", "1"], "1", "ok");
    check("ipv4", "log_martians", ["1", "0", "0", "0"], "1", "ok");
    check(
        "ipv4",
        "log_martians",
        ["0", "1", "1", "0"],
        "1",
        "drift: 0 for eth0",
    );
    check(
        "ipv4",
        "send_redirects",
        ["1", "0", "0", "0"],
        "0",
        "drift: 1 for default, eth0, lo",
    );
    // The smaller one, and that of the interface alone.
    let none = "{at_most: 0, set: 0}";
    check(
        "ipv6",
        "accept_source_route",
        ["0", "1", "1", "1"],
        none,
        "ok",
    );
    check(
        "ipv6",
        "accept_source_route",
        ["1", "0", "0", "1"],
        none,
        "drift: 1 for eth0",
    );
    check("ipv6", "accept_redirects", ["1", "0", "0", "0"], "0", "ok");
    check(
        "ipv6",
        "accept_redirects",
        ["0", "0", "0", "1"],
        "0",
        "drift: 1 for eth0",
    );
    // Each for itself.
    check(
        "ipv4",
        "forwarding",
        ["0", "0", "0", "1"],
        "0",
        "drift: 1 for eth0",
    );
    check(
        "ipv4",
        "forwarding",
        ["0", "1", "0", "0"],
        "0",
        "drift: 1 for default",
    );
    check(
        "ipv4",
        "forwarding",
        ["1", "0", "0", "0"],
        "0",
        "drift: 1 for all",
    );
}

#[test]
fn whether_redirects_are_taken_depends_on_forwarding() {
    const WANT: &str = "sysctl: {key: 'net.ipv4.conf.*.accept_redirects', value: 0}";
    let with = |values: [&str; 4], forwarding: &str| {
        let host = of_interfaces("ipv4", "accept_redirects", values);
        let names = ["default", "lo", "eth0"].into_iter();
        names.fold(host, |host, name| {
            host.sysctl(&format!("net.ipv4.conf.{name}.forwarding"), forwarding)
        })
    };
    check(
        WANT,
        &with(["1", "0", "0", "0"], "1"),
        "ok: 0 for default, eth0, lo",
    );
    check(
        WANT,
        &with(["1", "0", "0", "0"], "0"),
        "drift: 1 for default, eth0, lo, wanted 0",
    );
    check(
        WANT,
        &with(["0", "1", "1", "1"], "1"),
        "ok: 0 for default, eth0, lo",
    );
    check(
        WANT,
        &with(["0", "0", "0", "1"], "0"),
        "drift: 1 for eth0, wanted 0",
    );
}

#[test]
fn a_file_may_name_an_interface_to_come() {
    const WANT: &str = "sysctl: {key: 'net.ipv4.conf.*.forwarding', value: 0}";
    let site = "/etc/sysctl.d/60-site.conf";
    let host = of_interfaces("ipv4", "forwarding", ["0"; 4])
        .file(site, "net.ipv4.conf.wg0.forwarding = 1\n");
    let after = check(
        WANT,
        &host,
        "drift: 1 for wg0 at boot, wanted 0 @ /etc/sysctl.d/60-site.conf:1",
    );
    assert_eq!(
        after.content(site).as_deref(),
        Some("net.ipv4.conf.wg0.forwarding = 0\n")
    );
    // In general it is off, and for one interface on.
    let host = of_interfaces("ipv4", "forwarding", ["0"; 4]).file(
        site,
        "net.ipv4.ip_forward = 0\nnet/ipv4/conf/eth0/forwarding = 1\n",
    );
    check(
        WANT,
        &host,
        "drift: 1 for eth0 at boot, wanted 0 @ /etc/sysctl.d/60-site.conf:2",
    );
    // Switched on for a while: at boot it is off for each.
    let host =
        of_interfaces("ipv4", "forwarding", ["1"; 4]).file(site, "net.ipv4.ip_forward = 0\n");
    let after = check(WANT, &host, "drift: 1 for all, default, eth0, lo, wanted 0");
    assert_eq!(after.content("/etc/sysctl.d/98-steadfast.conf"), None);
    // The other name of the general one.
    let host =
        of_interfaces("ipv4", "forwarding", ["1"; 4]).file(site, "net.ipv4.ip_forward = 1\n");
    let after = check(
        WANT,
        &host,
        "drift: 1 for all, default, eth0, lo, wanted 0 @ /etc/sysctl.d/60-site.conf:1",
    );
    assert_eq!(
        after.content(site).as_deref(),
        Some("net.ipv4.ip_forward = 0\n")
    );
}

/// systemd-sysctl(8) writes all that stands behind the sign, and the kernel reads numbers of it.
#[test]
fn a_value_is_what_the_kernel_makes_of_it() {
    let key = "net.ipv4.conf.all.log_martians";
    let want = "sysctl: {key: net.ipv4.conf.all.log_martians, value: 1}";
    for (written, is_right) in [
        ("1", true),
        ("1 # yes", true),
        ("1 ; yes", true),
        ("0x1", true),
        ("0X01", true),
        ("01", true),
        ("0x0", false),
        ("0 # 1", false),
        ("010", false),
        // Refused by the kernel: what it was before stays.
        ("1# yes", false),
        ("yes", false),
        ("+1", false),
        ("0x", false),
        ("09", false),
        ("-1", false),
    ] {
        let host = Host::new()
            .sysctl(key, "1\n")
            .file("/etc/sysctl.d/10-a.conf", &format!("{key} = {written}\n"));
        let said = words(&judge(want, &host));
        assert_eq!(said.starts_with("ok"), is_right, "{written}: {said}");
    }
    let range = "sysctl: {key: net.ipv4.ip_local_port_range, value: 32768 60999}";
    let host = Host::new()
        .sysctl("net.ipv4.ip_local_port_range", "32768\t60999\n")
        .file(
            "/etc/sysctl.d/10-a.conf",
            "net.ipv4.ip_local_port_range = 0x8000   60999 # both\n",
        );
    assert!(words(&judge(range, &host)).starts_with("ok"));
    // A text is no number.
    let pattern = "sysctl: {key: kernel.core_pattern, value: core}";
    let host = Host::new()
        .sysctl("kernel.core_pattern", "core # x\n")
        .file(
            "/etc/sysctl.d/10-a.conf",
            "kernel.core_pattern = core # x\n",
        );
    assert!(words(&judge(pattern, &host)).starts_with("drift"));
}
