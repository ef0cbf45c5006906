//! `unit_option`.

use model::plan::Risk;
use model::{Effect, UnitOp};
use resource::Judgement;

use crate::support::{Host, check, judge, refused, resource};

const MAIN: &str = "/usr/lib/systemd/system/x.service";

fn host(main: &str) -> Host {
    Host::new()
        .dir("/etc/systemd/system")
        .file(MAIN, main)
        .unit("x.service", "active", "enabled", &[MAIN])
}

fn yaml(rest: &str) -> String {
    format!("unit_option: {{unit: x, section: Service, {rest}}}")
}

#[test]
fn the_last_assignment_counts() {
    let ours = "/etc/systemd/system/x.service.d/50-steadfast.conf";
    let main = "[Service]\nUMask=0022\nPrivateTmp=yes\n";
    for (rest, expected, after) in [
        (
            "option: PrivateTmp, value: true",
            format!("ok: yes @ {MAIN}:3"),
            None,
        ),
        (
            "option: PrivateTmp, value: 'no'",
            format!("drift: yes, wanted no @ {MAIN}:3"),
            Some("[Service]\nPrivateTmp=no\n"),
        ),
        (
            "option: UMask, value: '0077'",
            format!("drift: 0022, wanted 0077 @ {MAIN}:2"),
            Some("[Service]\nUMask=0077\n"),
        ),
        (
            "option: NoNewPrivileges, value: true",
            "drift: not set, wanted true".to_owned(),
            Some("[Service]\nNoNewPrivileges=true\n"),
        ),
        (
            "option: NoNewPrivileges, value: false, default: 'no'",
            "ok: no by default".to_owned(),
            None,
        ),
        (
            "option: LimitCORE, value: {at_most: 0, set: 0}, default: '1'",
            "drift: 1 by default, wanted at most 0".to_owned(),
            Some("[Service]\nLimitCORE=0\n"),
        ),
    ] {
        let fixed = check(&yaml(rest), &host(main), &expected);
        assert_eq!(fixed.content(ours).as_deref(), after, "{rest}");
        assert_eq!(
            fixed.content(MAIN).as_deref(),
            Some(main),
            "a package's file is not touched"
        );
    }
}

#[test]
fn options_that_add_up_are_reset_first() {
    let ours = "/etc/systemd/system/x.service.d/50-steadfast.conf";
    let main = "[Service]\nExecStart=/a\nExecStart=\nExecStart=/b\nExecStart=/c\n";
    check(
        &yaml("option: ExecStart, value: /b /c"),
        &host(main),
        &format!("ok: /b /c @ {MAIN}:5"),
    );
    let fixed = check(
        &yaml("option: ExecStart, value: /d"),
        &host(main),
        &format!("drift: /b /c, wanted /d @ {MAIN}:5"),
    );
    assert_eq!(
        fixed.content(ours).as_deref(),
        Some("[Service]\nExecStart=\nExecStart=/d\n")
    );
    let fixed = check(
        &yaml("option: ExecStart, value: /e"),
        &fixed,
        &format!("drift: /d, wanted /e @ {ours}:3"),
    );
    assert_eq!(
        fixed.content(ours).as_deref(),
        Some("[Service]\nExecStart=\nExecStart=/e\n")
    );
}

#[test]
fn a_drop_in_that_is_read_last_has_the_last_word() {
    let rest = "option: UMask, value: '0077'";
    let theirs = "/etc/systemd/system/x.service.d/90-site.conf";
    let site = host("[Service]\n").file(theirs, "# ours\n[Service]\nUMask=0022\n");
    let fixed = check(
        &yaml(rest),
        &site,
        &format!("drift: 0022, wanted 0077 @ {theirs}:3"),
    );
    assert_eq!(
        fixed.content(theirs).as_deref(),
        Some("# ours\n[Service]\nUMask=0077\n")
    );
    for (name, expected) in [
        ("90-vendor.conf", ""),
        (
            "zzzzz.conf",
            " (by hand: /usr/lib/systemd/system/x.service.d/zzzzz.conf:2 is read last and wins: change it there)",
        ),
    ] {
        let vendor = format!("/usr/lib/systemd/system/x.service.d/{name}");
        let host = host("[Service]\n")
            .file(&vendor, "[Service]\nUMask=0022\n")
            .unit("x.service", "active", "enabled", &[MAIN, &vendor]);
        let fixed = check(
            &yaml(rest),
            &host,
            &format!("drift: 0022, wanted 0077 @ {vendor}:2{expected}"),
        );
        let ours = fixed.content("/etc/systemd/system/x.service.d/zz-steadfast.conf");
        assert_eq!(ours.is_some(), expected.is_empty(), "{name}");
    }
}

/// A drop-in that others read too is never changed: ours gets a name that sorts after it.
#[test]
fn what_other_units_read_is_not_touched() {
    let rest = "option: UMask, value: '0077'";
    let theirs = "# for all\n[Service]\nUMask=0022\n";
    for (shared, ours) in [
        ("service.d/zz.conf", "zzzz-steadfast.conf"),
        ("service.d/60-all.conf", "zz-steadfast.conf"),
        ("service.d/10-all.conf", "50-steadfast.conf"),
        ("x@.service.d/60-all.conf", "zz-steadfast.conf"),
        ("x-.service.d/60-all.conf", "zz-steadfast.conf"),
    ] {
        let shared = format!("/etc/systemd/system/{shared}");
        let host = host("[Service]\n").file(&shared, theirs).unit(
            "x.service",
            "active",
            "enabled",
            &[MAIN, &shared],
        );
        let fixed = check(
            &yaml(rest),
            &host,
            &format!("drift: 0022, wanted 0077 @ {shared}:3"),
        );
        assert_eq!(fixed.content(&shared).as_deref(), Some(theirs), "{shared}");
        let ours = format!("/etc/systemd/system/x.service.d/{ours}");
        assert_eq!(
            fixed.content(&ours).as_deref(),
            Some("[Service]\nUMask=0077\n"),
            "{shared}"
        );
    }
    // A drop-in of its own that is a link to what others may read.
    let link = "/etc/systemd/system/x.service.d/90-site.conf";
    let host = host("[Service]\n")
        .file("/etc/site/unit.conf", theirs)
        .link(link, "/etc/site/unit.conf");
    let fixed = check(
        &yaml(rest),
        &host,
        &format!("drift: 0022, wanted 0077 @ {link}:3"),
    );
    assert_eq!(
        fixed.content("/etc/site/unit.conf").as_deref(),
        Some(theirs)
    );
}

/// systemd's own words for yes and no, and an empty assignment, which it ignores.
#[test]
fn words_that_mean_the_same() {
    for (said, expected) in [
        ("t", "ok: t"),
        ("Y", "ok: Y"),
        ("yes\nNoNewPrivileges=", "ok: yes"),
        ("f", "drift: f, wanted true"),
        ("yes\nNoNewPrivileges=n", "drift: n, wanted true"),
    ] {
        let line = 1 + said.lines().filter(|line| !line.ends_with('=')).count();
        let host = host(&format!("[Service]\nNoNewPrivileges={said}\n"));
        let expected = format!("{expected} @ {MAIN}:{line}");
        check(
            &yaml("option: NoNewPrivileges, value: true"),
            &host,
            &expected,
        );
    }
}

#[test]
fn what_runs_is_restarted_and_what_does_not_is_left() {
    let effects = |active: &str, unit: &str| -> Vec<UnitOp> {
        let host = host("[Service]\n").unit(unit, active, "enabled", &[MAIN]);
        let judgement = judge(
            &format!("unit_option: {{unit: {unit}, section: Service, option: A, value: 1}}"),
            &host,
        );
        let Judgement::Drift(drifts) = judgement else {
            panic!("{judgement:?}");
        };
        drifts[0]
            .activate
            .iter()
            .map(|effect| match effect {
                Effect::Unit { op, .. } => *op,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    use UnitOp::{DaemonReload, Restart};
    assert_eq!(effects("active", "x.service"), [DaemonReload, Restart]);
    assert_eq!(effects("inactive", "x.service"), [DaemonReload]);
    assert_eq!(effects("active", "dbus.service"), [DaemonReload]);
    assert_eq!(effects("active", "tmp.mount"), [DaemonReload]);
}

#[test]
fn systemd_s_own_programs() {
    let yaml = "unit_option: {unit: journald.conf, section: Journal, option: Storage, value: persistent, default: auto}";
    let main = "/etc/systemd/journald.conf";
    let ours = "/etc/systemd/journald.conf.d/50-steadfast.conf";
    let base = Host::new().file(main, "[Journal]\n#Storage=auto\n");
    let fixed = check(yaml, &base, "drift: auto by default, wanted persistent");
    assert_eq!(
        fixed.content(ours).as_deref(),
        Some("[Journal]\nStorage=persistent\n")
    );
    assert_eq!(fixed.done, ["Reload systemd-journald.service"]);
    // /etc wins over /usr/lib for one name, and names sort over all directories.
    let vendor = "/usr/lib/systemd/journald.conf.d";
    let shadowed = base
        .clone()
        .file(
            &format!("{vendor}/60-a.conf"),
            "[Journal]\nStorage=volatile\n",
        )
        .file(
            "/etc/systemd/journald.conf.d/60-a.conf",
            "[Journal]\nStorage=persistent\n",
        );
    check(
        yaml,
        &shadowed,
        "ok: persistent @ /etc/systemd/journald.conf.d/60-a.conf:2",
    );
    let later = base.clone().file(
        &format!("{vendor}/60-a.conf"),
        "[Journal]\nStorage=volatile\n",
    );
    let fixed = check(
        yaml,
        &later,
        "drift: volatile, wanted persistent @ /usr/lib/systemd/journald.conf.d/60-a.conf:2",
    );
    assert!(
        fixed
            .content("/etc/systemd/journald.conf.d/zz-steadfast.conf")
            .is_some()
    );
    // A link to /dev/null switches the vendor's drop-in off.
    let masked = later
        .file("/dev/null", "")
        .link("/etc/systemd/journald.conf.d/60-a.conf", "/dev/null");
    check(yaml, &masked, "drift: auto by default, wanted persistent");
}

#[test]
fn what_is_not_there_does_not_apply() {
    check(
        &yaml("option: A, value: 1"),
        &Host::new(),
        "n/a: there is no x",
    );
    check(
        "unit_option: {unit: resolved.conf, section: Resolve, option: DNSSEC, value: 'yes'}",
        &Host::new(),
        "n/a: there is no resolved.conf",
    );
    // Its configuration is gone, but the program is there.
    let host =
        Host::new()
            .dir("/etc/systemd")
            .unit("systemd-journald.service", "active", "static", &[]);
    check(
        "unit_option: {unit: journald.conf, section: Journal, option: Compress, value: 'yes'}",
        &host,
        "drift: not set, wanted yes",
    );
}

#[test]
fn mistakes_are_refused() {
    for (yaml, why) in [
        (
            "{unit: 'x y', section: Service, option: A, value: 1}",
            "`x y` is not the name of a unit",
        ),
        (
            "{unit: x, section: 'S]', option: A, value: 1}",
            "a section and an option are letters, digits and `-`",
        ),
        (
            "{unit: x, section: Unit, option: After, value: y}",
            "`After` can only be added to, so no drop-in can make it exactly this",
        ),
        (
            "{unit: x, section: Service, option: A, value: ''}",
            "an empty value resets an option: give its default value instead",
        ),
        (
            "{unit: x, section: Service, option: A, value: 'b\\'}",
            "`[Service] A` with the value `b\\` can't be written in this syntax",
        ),
    ] {
        refused(&format!("unit_option: {yaml}"), why);
    }
    let risk = |unit: &str| {
        resource(&format!(
            "unit_option: {{unit: {unit}, section: Service, option: A, value: 1}}"
        ))
        .risk()
    };
    assert_eq!(
        (risk("ssh"), risk("cron")),
        (Risk::Connectivity, Risk::Service)
    );
}

/// journald takes one of a few words, as they are written, and no notice of anything else.
#[test]
fn words_that_journald_does_not_know() {
    let yaml = "unit_option: {unit: journald.conf, section: Journal, option: Storage, value: {one_of: [persistent, auto], set: persistent}, default: auto}";
    for (text, is_ok) in [
        ("Storage=volatile\nStorage=\n", false),
        ("Storage=volatile\n", false),
        ("Storage=volatile\nStorage=auto\n", true),
        ("Storage=Volatile\n", true),
        ("Storage=\"volatile\"\n", true),
        ("Storage=volatile # c\n", true),
    ] {
        let host = Host::new().file("/etc/systemd/journald.conf", &format!("[Journal]\n{text}"));
        let judgement = judge(yaml, &host);
        let is = matches!(judgement, Judgement::Compliant { .. });
        assert_eq!(is, is_ok, "{text}: {judgement:?}");
    }
}
