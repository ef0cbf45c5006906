//! `patch apply --reboot` on booted hosts: the machine is restarted for what only that ends, and the
//! host is looked at when it is up; what waits to be confirmed goes on to wait, guarded as before.

use std::time::Duration;

use crate::booted::{Host, PROGRAM};
use crate::lab_patch::MAKE;

const A_WHILE: Duration = Duration::from_secs(120);

pub fn library(name: &str, version: &str) -> String {
    format!(
        "d=/root/build/{name}; mkdir -p $d/usr/lib/demo\n\
         cp -L /lib/x86_64-linux-gnu/libz.so.1 $d/usr/lib/demo/libdemo.so\n\
         echo {version} >> $d/usr/lib/demo/libdemo.so\nmake {name} {version} ''\nindex\n"
    )
}

/// dbus has the library mapped, from its next start on.
pub const MAPPED: &str = "mkdir -p /etc/systemd/system/dbus.service.d; \
    printf '[Service]\\nEnvironment=LD_PRELOAD=/usr/lib/demo/libdemo.so\\n' \
    > /etc/systemd/system/dbus.service.d/demo.conf; systemctl daemon-reload; systemctl restart dbus";

/// A package `name` with a library that dbus has mapped, which no upgrade restarts.
fn host_with(name: &str) -> Option<Host> {
    let host = Host::installed()?;
    let library = |version: &str| library(name, version);
    host.shell(&format!(
        "{MAKE}{}apt-get -qq -y install {name} >/dev/null",
        library("1")
    ));
    host.write(
        "/etc/systemd/system/enabled.service",
        "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
    );
    host.write(
        "/etc/systemd/system/by-hand.service",
        "[Service]\nExecStart=/bin/sleep infinity\n",
    );
    host.shell(&format!("{MAPPED}; systemctl enable -q --now enabled"));
    host.shell(&format!("{MAKE}{}", library("2")));
    Some(host)
}

/// What the container does when it is restarted from inside.
#[track_caller]
fn comes_up_again(host: &mut Host) {
    host.container.reboot().expect("it boots again");
}

#[track_caller]
fn says(host: &Host, words: &str) {
    host.wait_for(
        &format!("{PROGRAM} show last 2>&1 | tr -s ' \\n' ' ' | grep -q '{words}'"),
        A_WHILE,
    );
}

const RESTARTED: [&str; 2] = ["the machine is restarted now", "dbus.service"];

#[test]
fn a_machine_is_restarted_for_a_patch_and_looked_at() {
    let Some(mut host) = host_with("demo") else {
        return;
    };
    host.steadfast(&["patch", "apply", "--reboot", "--yes"])
        .expect(0, &RESTARTED);
    comes_up_again(&mut host);
    says(&host, "the host was well after it");
    host.steadfast(&["recover"])
        .expect(0, &["nothing to recover"]);
    // Nothing waits for a restart any more.
    host.steadfast(&["patch", "apply", "--reboot", "--yes"])
        .expect(0, &["nothing to do", "no restart of the machine is needed"]);
    host.steadfast(&["undo", "last", "--yes"])
        .expect(1, &["still at work"]);
}

/// What ran before and does not start by itself is named, by every command, until it is seen to.
#[test]
fn what_does_not_come_back_after_the_restart_is_named() {
    let Some(mut host) = host_with("demo") else {
        return;
    };
    host.shell("systemctl start by-hand");
    host.steadfast(&["patch", "apply", "--reboot", "--yes"])
        .expect(0, &RESTARTED);
    comes_up_again(&mut host);
    says(&host, "was not as before after it");
    let named = [
        "`by-hand.service` ran before",
        "steadfast recover looks again",
    ];
    let said = host.steadfast(&["audit", "--baseline", "openssh"]);
    let code = said.code.expect("it ended");
    said.expect(code, &named);
    host.steadfast(&["recover"])
        .expect(1, &["`by-hand.service` ran before"]);
    host.shell("systemctl start by-hand");
    host.steadfast(&["recover"])
        .expect(0, &["the host is well"]);
    says(&host, "the host was well after it");
}

/// With a window the restart is in it, or it waits: one that would end after the window closed is not
/// begun, and the next window has it.
#[test]
fn a_restart_is_in_its_window_or_waits_for_the_next() {
    let Some(mut host) = host_with("demo") else {
        return;
    };
    let window = |from: &str, to: &str| {
        let time = |when: &str| host.shell(&format!("date -u -d '{when}' +%H:%M"));
        format!("daily {}-{}", time(from).trim(), time(to).trim())
    };
    let apply = |window: &str| {
        host.steadfast(&[
            "patch",
            "apply",
            "--reboot",
            "--yes",
            "--window",
            window,
            "--needs",
            "90s",
            "--wait-for-window",
        ])
    };
    let boots =
        "cat /proc/sys/kernel/random/boot_id; systemctl show -P ActiveEnterTimestampMonotonic dbus";
    let before = host.shell(boots);
    // Long enough for the upgrade, and too short for a machine to be up again.
    let said = apply(&window("1 hour ago", "4 minutes"));
    let said = said.expect(
        1,
        &[
            "is in effect",
            "the window closes before it is up again",
            "dbus.service waits for that: steadfast patch apply --reboot in the next one",
        ],
    );
    assert!(!said.err.contains("is restarted now"), "{said}");
    assert_eq!(host.shell("dpkg-query -W -f '${Version}' demo"), "2");
    assert_eq!(host.shell(boots), before);
    // A closed one begins nothing.
    let closed = window("10 hours", "12 hours");
    host.steadfast(&["patch", "apply", "--reboot", "--yes", "--window", &closed])
        .expect(0, &["nothing was changed", "is closed"]);
    assert_eq!(host.shell(boots), before);

    apply(&window("1 hour ago", "2 hours")).expect(0, &RESTARTED);
    comes_up_again(&mut host);
    says(&host, "the host was well after it");
}

/// People may get in through a tunnel: nobody confirmed the upgrade before the restart, so that it waits on
/// after it. A second restart, that is not the patch's, ends that as ever.
#[test]
fn what_waits_to_be_confirmed_waits_on_after_the_restart() {
    let Some(mut host) = host_with("wireguard-tools") else {
        return;
    };
    let apply = [
        "patch",
        "apply",
        "--reboot",
        "--yes",
        "--detach",
        "--confirm-within",
        "60s",
    ];
    host.steadfast(&apply).expect(0, &RESTARTED);
    comes_up_again(&mut host);
    says(&host, "the host was well after it");
    host.steadfast(&["history", "--format", "json"])
        .expect(0, &["awaiting_confirmation"]);
    let timers = host.shell("systemctl list-timers --all --plain --no-legend 'steadfast-revert-*'");
    assert!(timers.contains("steadfast-revert-c-2"), "{timers}");
    host.steadfast(&["confirm", "last"])
        .expect(0, &["in effect"]);
    host.steadfast_confirmed(
        &["undo", "last", "--yes", "--detach"],
        crate::booted::UNDO_KEPT,
    )
    .expect(0, &[]);

    host.shell("systemctl restart dbus");
    host.steadfast(&apply).expect(0, &RESTARTED);
    comes_up_again(&mut host);
    host.wait_for_state("awaiting_confirmation", A_WHILE);
    host.container.reboot().expect("it boots again");
    host.wait_for_state("rolled_back", A_WHILE);
    assert_eq!(
        host.shell("dpkg-query -W -f '${Version}' wireguard-tools"),
        "1"
    );
}
