//! `timer`: Debian's own timers, and drop-ins as people write them.

use model::value::UnitSeen;

use crate::support::{Host, judge, path, refused, words};

const WANT: &str = "timer: {name: apt-daily-upgrade.timer, every_days: 7, command: /usr/lib/apt/apt.systemd.daily install}";
const TIMER: &str = "/usr/lib/systemd/system/apt-daily-upgrade.timer";
const SERVICE: &str = "/usr/lib/systemd/system/apt-daily-upgrade.service";
const SITE: &str = "/etc/systemd/system/apt-daily-upgrade.timer.d/site.conf";
const OURS: &str = "/etc/systemd/system/apt-daily-upgrade.service.d/site.conf";

fn unit(files: &[&str]) -> UnitSeen {
    UnitSeen {
        load_state: "loaded".to_owned(),
        active_state: Some("active".to_owned()),
        unit_file_state: Some("enabled".to_owned()),
        files: files.iter().map(|file| path(file)).collect(),
        is_to_come: false,
    }
}

/// As Debian 12 and 13 have them.
fn usual() -> Host {
    let mut host = Host::new()
        .file(
            TIMER,
            "[Unit]\nDescription=Daily apt upgrade and clean activities\nAfter=apt-daily.timer\n\n\
             [Timer]\nOnCalendar=*-*-* 6:00\nRandomizedDelaySec=60m\nPersistent=true\n\n\
             [Install]\nWantedBy=timers.target\n",
        )
        .file(
            SERVICE,
            "[Unit]\nConditionACPower=true\n\n[Service]\nType=oneshot\n\
             ExecStartPre=-/usr/lib/apt/apt-helper wait-online\n\
             ExecStart=/usr/lib/apt/apt.systemd.daily install\n",
        );
    host.units
        .insert("apt-daily-upgrade.timer".to_owned(), unit(&[TIMER, SITE]));
    host.units.insert(
        "apt-daily-upgrade.service".to_owned(),
        unit(&[SERVICE, OURS]),
    );
    host
}

#[test]
fn what_a_drop_in_makes_of_it() {
    let check = |drop_in: &str, wanted: &str| {
        let said = words(&judge(WANT, &usual().file(SITE, drop_in)));
        assert!(said.starts_with(wanted), "{drop_in:?}: {said}");
    };
    check(
        "",
        "ok: apt-daily-upgrade.service starts at least every 7 days",
    );
    check("[Timer]\nOnCalendar=\nOnCalendar=Sun 04:00\n", "ok");
    check(
        "[Timer]\nOnCalendar=\nOnCalendar=2099-01-01\n",
        "drift: `OnCalendar=2099-01-01` does not come again",
    );
    // It adds to what is there.
    check("[Timer]\nOnCalendar=2099-01-01\n", "ok");
    check("[Timer]\nOnCalendar=\n", "drift: no time is set");
    check("[Timer]\nOnBootSec=\n", "drift: no time is set");
    check(
        "[Timer]\nOnCalendar=\nOnCalendar=monthly\n",
        "drift: `OnCalendar=monthly` lets up to 31 days pass",
    );
    check(
        "[Timer]\nOnCalendar=\nOnBootSec=15min\n",
        "drift: `OnBootSec=15min` does not come again",
    );
    check(
        "[Timer]\nOnCalendar=\nOnBootSec=15min\nOnUnitActiveSec=1d\n",
        "ok",
    );
    check("[Timer]\nOnCalendar=\nOnUnitActiveSec=1d\n", "drift");
    check(
        "[Timer]\nOnCalendar=\nOnBootSec=10y\nOnUnitActiveSec=1d\n",
        "drift",
    );
    check(
        "[Timer]\nRandomizedDelaySec=5y\n",
        "drift: `RandomizedDelaySec=5y` may put it off",
    );
    check("[Timer]\nAccuracySec=1h\n", "ok");
    check(
        "[Timer]\nAccuracySec=5y\n",
        "drift: `AccuracySec=5y` may put it off",
    );
    // Both together.
    check(
        "[Timer]\nRandomizedDelaySec=4d\nAccuracySec=4d\n",
        "drift: `RandomizedDelaySec=4d` and `AccuracySec=4d` may put it off",
    );
    check("[Timer]\nRandomizedDelaySec=3d\nAccuracySec=3d\n", "ok");
    check(
        "[Timer]\nUnit=true.service\n",
        "drift: it starts true.service instead",
    );
    // systemd ignores a line that it does not take, and refuses a timer that has no other.
    check("[Timer]\nOnCalendar=when it rains\n", "ok");
    check("[Timer]\nOnCalendar=daily Mars\n", "unknown");
    for refused in ["*-*-*/2", "*:*/30", "Fri..Mon", "*-*-1..40"] {
        check(
            &format!("[Timer]\nOnCalendar=\nOnCalendar={refused}\n"),
            &format!("drift: `OnCalendar={refused}`: systemd does not take that"),
        );
    }
    for good in ["daily UTC", "weekly Europe/Berlin", "2020/1-*-*", "Mon-Fri"] {
        check(&format!("[Timer]\nOnCalendar=\nOnCalendar={good}\n"), "ok");
    }
    check("[Unit]\nConditionPathExists=/nowhere\n", "unknown");
    check(
        "[Unit]\nConditionPathExists=/nowhere\nConditionHost=\n",
        "ok",
    );
    // A backslash continues the line, and a comment below it is no part of it.
    check(
        "[Timer]\nOnCalendar=\nOnCalendar=*-*-* \\\n# at night\n 04:00\n",
        "ok",
    );
}

#[test]
fn what_its_service_does() {
    let check = |drop_in: &str, wanted: &str| {
        let said = words(&judge(WANT, &usual().file(OURS, drop_in)));
        assert!(said.starts_with(wanted), "{drop_in:?}: {said}");
    };
    check("[Service]\nNice=19\n", "ok");
    check(
        "[Service]\nExecStart=\nExecStart=/bin/true\n",
        "drift: apt-daily-upgrade.service runs `/bin/true` instead of `/usr/lib/apt/apt.systemd.daily install`, wanted apt-daily-upgrade.service runs `/usr/lib/apt/apt.systemd.daily install` @",
    );
    check("[Service]\nExecCondition=/bin/false\n", "unknown");
    for fails in ["/bin/false", "+/usr/bin/false x"] {
        check(
            &format!("[Service]\nExecStartPre={fails}\n"),
            &format!("drift: apt-daily-upgrade.service runs `{fails}` first, which always fails"),
        );
    }
    check("[Service]\nExecStartPre=-/bin/false\n", "ok");
    check("[Service]\nExecStartPre=/bin/true\n", "ok");
    check("[Service]\nRemainAfterExit=yes\nRemainAfterExit=no\n", "ok");
    check(
        "[Service]\nRemainAfterExit=yes\n",
        "drift: apt-daily-upgrade.service has `RemainAfterExit=yes`: it is active for ever",
    );
}

/// While a service is active its timer starts it no more, and one that is not `oneshot` is active while
/// its command runs.
#[test]
fn a_service_that_does_not_end() {
    let with = |state: &str, drop_in: &str| {
        let mut host = usual().file(OURS, drop_in);
        let unit = host.units.get_mut("apt-daily-upgrade.service");
        unit.expect("it is there").active_state = Some(state.to_owned());
        words(&judge(WANT, &host))
    };
    let simple = "[Service]\nType=simple\n";
    assert!(with("active", simple).starts_with("unknown"));
    assert!(with("inactive", simple).starts_with("ok"));
    assert!(with("activating", "").starts_with("ok"));
}

/// A unit whose files systemd does not take starts nothing, whatever they say.
#[test]
fn a_unit_that_systemd_refuses() {
    for (name, says) in [
        (
            "apt-daily-upgrade.timer",
            "drift: systemd refuses apt-daily-upgrade.timer: bad-setting",
        ),
        (
            "apt-daily-upgrade.service",
            "drift: systemd refuses apt-daily-upgrade.service: bad-setting",
        ),
    ] {
        let mut host = usual();
        let unit = host.units.get_mut(name).expect("it is there");
        unit.load_state = "bad-setting".to_owned();
        let said = words(&judge(WANT, &host));
        assert!(said.starts_with(says), "{said}");
    }
}

/// apt's own service fails as anybody but root.
#[test]
fn the_account_that_its_service_runs_as() {
    let want = WANT.replace("install}", "install, user: root}");
    let check = |drop_in: &str, wanted: &str| {
        let said = words(&judge(&want, &usual().file(OURS, drop_in)));
        assert!(said.starts_with(wanted), "{drop_in:?}: {said}");
    };
    check("", "ok");
    check("[Service]\nUser=root\n", "ok");
    check("[Service]\nUser=0\nDynamicUser=no\n", "ok");
    check("[Service]\nUser=nobody\nUser=\n", "ok");
    check(
        "[Service]\nUser=nobody\n",
        "drift: apt-daily-upgrade.service has `User=nobody`, wanted apt-daily-upgrade.service runs as root @",
    );
    check(
        "[Service]\nDynamicUser=yes\n",
        "drift: apt-daily-upgrade.service has `DynamicUser=yes`",
    );
    let said = words(&judge(
        WANT,
        &usual().file(OURS, "[Service]\nUser=nobody\n"),
    ));
    assert!(said.starts_with("ok"), "{said}");
}

#[test]
fn whether_it_is_on() {
    let with = |change: fn(&mut UnitSeen)| {
        let mut host = usual();
        change(
            host.units
                .get_mut("apt-daily-upgrade.timer")
                .expect("it is there"),
        );
        words(&judge(WANT, &host))
    };
    assert!(
        with(|unit| unit.active_state = Some("inactive".to_owned())).starts_with("drift: stopped")
    );
    assert!(
        with(|unit| unit.unit_file_state = Some("disabled".to_owned()))
            .starts_with("drift: not enabled")
    );
    assert!(with(|unit| unit.load_state = "masked".to_owned()).starts_with("drift: masked"));
    // Of a tree nothing says what runs.
    assert!(with(|unit| unit.active_state = None).starts_with("ok"));
    assert!(with(|unit| unit.load_state = "not-found".to_owned()).starts_with("n/a"));
    refused(
        "timer: {name: apt-daily.service, every_days: 1}",
        "`apt-daily.service` is no timer: NAME.timer",
    );
    refused(
        "timer: {name: apt-daily.timer, every_days: 0}",
        "`every_days` is at least 1",
    );
}
