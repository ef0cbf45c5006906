//! What goes with a change goes back with it: units that start or stop with another, values that the
//! kernel sets with another, accounts that people have taken over, and file systems that are gone.

use crate::booted::{AS_BEFORE, Host};
use crate::lab_patch::MAKE;

fn apply(host: &Host, name: &str, role: &str) {
    host.role(name, role);
    host.steadfast(&["apply", "--role", name, "--yes"])
        .expect(0, &["is in effect"]);
}

fn undo(host: &Host) {
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &[AS_BEFORE]);
}

#[test]
fn units_that_start_and_stop_with_another_go_back_with_it() {
    let Some(host) = Host::fresh() else { return };
    host.shell(
        "cd /etc/systemd/system
         unit() { printf \"[Unit]\\n$2\\n[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n\" > $1.service; }
         unit main ''; unit part 'PartOf=main.service'; unit bound 'BindsTo=main.service\\nAfter=main.service'
         unit engine ''; unit dock 'Requires=engine.service\\nAfter=engine.service'
         unit first ''; unit second 'Conflicts=first.service'
         unit talk ''; printf '[Socket]\\nListenStream=/run/talk.sock\\n' > talk.socket
         mkdir -p graphical.target.wants; ln -s /etc/systemd/system/main.service graphical.target.wants/main.service
         systemctl daemon-reload; systemctl start main part bound first talk.socket talk.service",
    );
    // One stops, and two with it.
    apply(&host, "stop", "  - service: {name: main, running: false}\n");
    host.shell("! systemctl is-active part && ! systemctl is-active bound");
    undo(&host);
    host.shell("systemctl is-active main part bound");

    // One starts, and another for it.
    apply(&host, "start", "  - service: {name: dock, running: true}\n");
    host.shell("systemctl is-active engine");
    undo(&host);
    host.shell("! systemctl is-active dock && ! systemctl is-active engine");

    // Both are wanted, and the first brings the second.
    apply(
        &host,
        "both",
        "  - service: {name: dock, running: true}\n  - service: {name: engine, running: true}\n",
    );
    undo(&host);
    host.shell("! systemctl is-active dock && ! systemctl is-active engine");

    // One that can't run beside another.
    apply(
        &host,
        "other",
        "  - service: {name: second, running: true}\n",
    );
    host.shell("! systemctl is-active first");
    undo(&host);
    host.shell("systemctl is-active first && ! systemctl is-active second");

    // What is written of a unit counts when it is told.
    apply(
        &host,
        "written",
        "  - file: {path: /etc/systemd/system/main.service.d/x.conf, content: \"[Service]\\nEnvironment=NEW=1\\n\", notify: main}\n",
    );
    let environment = "tr '\\0' '\\n' < /proc/$(systemctl show --property=MainPID --value main)/environ | grep -c NEW=1";
    assert_eq!(host.shell(environment), "1\n");
    undo(&host);
    assert_eq!(host.shell(&format!("{environment}; true")), "0\n");
    host.shell("systemctl is-active main part bound");

    // A socket whose service runs.
    apply(
        &host,
        "socket",
        "  - service: {name: talk.socket, running: false}\n",
    );
    undo(&host);
    host.shell("systemctl is-active talk.socket talk.service");

    // Stopped and disabled in one change; its last link's directory goes, and comes back.
    apply(
        &host,
        "off",
        "  - service: {name: main, running: false, enabled: false}\n",
    );
    host.shell("! test -e /etc/systemd/system/graphical.target.wants");
    undo(&host);
    host.shell("systemctl is-active main part bound; test -L /etc/systemd/system/graphical.target.wants/main.service");
}

#[test]
fn what_a_removed_package_ran_runs_again() {
    const SVC: &str = r#"
d=/root/build/svc; mkdir -p $d/usr/lib/systemd/system
printf '[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n' > $d/usr/lib/systemd/system/svc.service
mkdir -p $d/DEBIAN; printf '#!/bin/sh\nset -e\ntest -d /run/systemd/system || exit 0\nsystemctl disable --now svc\n' > $d/DEBIAN/prerm; chmod 755 $d/DEBIAN/prerm
printf '#!/bin/sh\nset -e\nln -sf /dev/null /etc/systemd/system/svc.service\ntest ! -d /run/systemd/system || systemctl daemon-reload\n' > $d/DEBIAN/postrm; chmod 755 $d/DEBIAN/postrm
make svc 1.0 'systemctl daemon-reload; systemctl enable --now svc'
index
apt-get -qq -y install svc
"#;
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(&format!("{MAKE}{SVC}"));
    host.shell("systemctl is-active svc");
    apply(&host, "gone", "  - package: {name: svc, absent: true}\n");
    host.shell("! systemctl is-active svc");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &["undone"]);
    host.shell("systemctl is-active svc");
}

/// Makes a version of an interpreted service that its package starts anew.
pub const SVC: &str = r#"
svc() {
d=/root/build/svc; mkdir -p $d/usr/lib/systemd/system $d/usr/bin
printf '#!/bin/sh\n: %s\nwhile :; do sleep 1; done\n' "$1" > $d/usr/bin/svcd; chmod 755 $d/usr/bin/svcd
printf 'echo %s > /run/svc.version; exec /usr/bin/svcd' "$1" > $d/usr/bin/svc-start
printf '[Service]\nExecStart=/bin/sh /usr/bin/svc-start\n' > $d/usr/lib/systemd/system/svc.service
make svc $1 'test ! -d /run/systemd/system || { systemctl daemon-reload; systemctl restart svc; }'
}
"#;

/// An interpreted service maps nothing of its own, and runs the new version all the same.
#[test]
fn what_an_upgrade_restarted_runs_the_old_version_again() {
    const VERSIONS: &str = r#"
svc 1
index
apt-get -qq -y install svc
svc 2
index
"#;
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(&format!("{MAKE}{SVC}{VERSIONS}"));
    assert_eq!(host.shell("cat /run/svc.version"), "1\n");
    apply(
        &host,
        "newer",
        "  - package: {name: svc, at_least: \"2\"}\n",
    );
    assert_eq!(host.shell("cat /run/svc.version"), "2\n");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &["undone"]);
    assert_eq!(
        host.shell("cat /run/svc.version; dpkg-query -W svc; systemctl is-active svc"),
        "1\nsvc\t1\nactive\n"
    );
}

#[test]
fn a_home_that_is_there_and_a_way_to_the_state_folder() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell("mkdir /home/app1; echo mine > /home/app1/file; useradd eve; mkdir /home/app2; chown eve /home/app2");
    host.role("app1", "  - user: {name: app1}\n");
    host.role("app2", "  - user: {name: app2}\n");
    host.role("open", "  - directory: {path: /var/lib, owner: eve}\n");
    let before = host.snapshot();
    host.steadfast(&["apply", "--role", "app1", "--yes"])
        .expect(0, &["is in effect"]);
    host.shell("id app1 && test -e /home/app1/file");
    undo(&host);
    host.expect_same(&before);
    // Somebody else's is none; and what failed halfway is taken back.
    host.steadfast(&["apply", "--role", "app2", "--yes"])
        .expect(4, &["/home/app2"]);
    host.shell("! id app2");
    host.expect_same(&before);
    // No undo would work.
    host.steadfast(&["apply", "--role", "open", "--yes"])
        .expect(1, &["state directory lies below it"]);
    host.expect_same(&before);
}

#[test]
fn values_that_the_kernel_sets_with_another_go_back_with_it() {
    let Some(host) = Host::fresh() else { return };
    host.shell(
        "cd /proc/sys/net/ipv4; echo 1 > ip_forward; echo 0 > conf/lo/forwarding; \
         echo 0 > conf/all/accept_redirects",
    );
    let values = "cd /proc/sys/net/ipv4; cat ip_forward conf/*/forwarding conf/*/accept_redirects";
    let before = host.shell(values);
    apply(
        &host,
        "off",
        "  - sysctl: {key: net.ipv4.ip_forward, value: \"0\"}\n",
    );
    undo(&host);
    assert_eq!(host.shell(values), before);
}

/// Each of a change's values is its own, though the kernel moves some along with others; and what
/// somebody set before the action is theirs.
#[test]
fn one_value_of_several_goes_back_alone() {
    let Some(host) = Host::fresh() else { return };
    host.shell(
        "cd /proc/sys/net/ipv4; echo 0 > ip_forward; \
         for one in log_martians rp_filter secure_redirects; do echo 0 > conf/all/$one; done",
    );
    let role = "  - sysctl: {key: net.ipv4.ip_forward, value: \"1\"}\n\
                \x20 - sysctl: {key: net.ipv4.conf.all.rp_filter, value: \"1\"}\n\
                \x20 - sysctl: {key: net.ipv4.conf.all.log_martians, value: \"1\"}\n";
    let values = "cd /proc/sys/net/ipv4; echo $(cat ip_forward conf/all/forwarding \
                  conf/default/forwarding conf/lo/forwarding conf/all/rp_filter conf/all/log_martians)";
    for (how, left, values_left) in [
        (
            ["--only", "net.ipv4.conf.all.log_martians"],
            "kernel parameter net.ipv4.conf.all.rp_filter kernel parameter net.ipv4.ip_forward",
            "1 1 1 1 1 0\n",
        ),
        (
            ["--except", "net.ipv4.ip_forward"],
            "kernel parameter net.ipv4.ip_forward",
            "1 1 1 1 0 0\n",
        ),
        (
            ["--except", "net.ipv4.conf.all.rp_filter"],
            "kernel parameter net.ipv4.conf.all.rp_filter",
            "0 0 0 0 1 0\n",
        ),
    ] {
        apply(&host, "values", role);
        assert_eq!(host.shell(values), "1 1 1 1 1 1\n");
        host.steadfast(&["undo", "last", "--yes", how[0], how[1]])
            .expect(0, &[left]);
        assert_eq!(host.shell(values), values_left, "{how:?}");
        undo(&host);
        assert_eq!(host.shell(values), "0 0 0 0 0 0\n", "after {how:?}");
    }

    // Somebody routes before the action, while the change is at work.
    host.shell("printf '#!/bin/sh\necho 1 > /proc/sys/net/ipv4/ip_forward\ntouch /opt/made\n' > /opt/make; chmod 755 /opt/make");
    apply(
        &host,
        "meanwhile",
        "  - command: {name: make, check: [/bin/test, -e, /opt/made], fix: [/opt/make], undo: [/bin/rm, /opt/made]}\n\
         \x20 - sysctl: {key: net.ipv4.conf.all.secure_redirects, value: \"1\"}\n",
    );
    // What the command's own way back did can't be looked at.
    host.steadfast(&["undo", "last", "--yes"])
        .expect(3, &["undone"]);
    assert_eq!(host.shell(values), "1 1 1 1 0 0\n");
    assert_eq!(
        host.shell("cat /proc/sys/net/ipv4/conf/all/secure_redirects"),
        "0\n"
    );
}

#[test]
fn one_unit_of_several_goes_back_alone() {
    let Some(host) = Host::fresh() else { return };
    host.shell(
        "cd /etc/systemd/system
         unit() { printf \"[Unit]\\n$2\\n[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n\" > $1.service; }
         unit aa ''; unit bb 'PartOf=aa.service'; systemctl daemon-reload; systemctl enable --now aa bb",
    );
    let role = "  - service: {name: aa, enabled: false, running: false}\n\
                \x20 - service: {name: bb, enabled: false, running: false}\n";
    let state =
        "echo $(for unit in aa bb; do systemctl is-enabled $unit; systemctl is-active $unit; done)";
    let (on, off) = ("enabled active", "disabled inactive");
    for (how, of_aa, of_bb) in [(["--except", "aa"], off, on), (["--only", "bb"], off, on)] {
        apply(&host, "off", role);
        assert_eq!(host.shell(state), format!("{off} {off}\n"));
        host.steadfast(&["undo", "last", "--yes", how[0], how[1]])
            .expect(0, &["still in effect"]);
        assert_eq!(host.shell(state), format!("{of_aa} {of_bb}\n"), "{how:?}");
        undo(&host);
        assert_eq!(host.shell(state), format!("{on} {on}\n"), "after {how:?}");
    }
}

#[test]
fn an_account_that_people_have_taken_over_is_one_thing() {
    let Some(host) = Host::fresh() else { return };
    apply(&host, "neu", "  - user: {name: neu, groups: [users]}\n");
    host.shell("useradd other; usermod -aG users other; usermod -aG sudo neu; echo neu:secret | chpasswd; install -o neu /dev/null /srv/of-neu");
    let names = "grep -h neu /etc/passwd /etc/shadow /etc/group /etc/gshadow | sort";
    let before = host.shell(names);
    host.steadfast(&["undo", "last", "--yes"]).expect(
        5,
        &[
            "account neu",
            "it is somebody's by now",
            "nothing was touched",
        ],
    );
    host.steadfast(&["undo", "last", "--yes", "--keep-theirs"])
        .expect(1, &["account neu"]);
    assert_eq!(host.shell(names), before);

    // What others did to a group that both are in is told apart.
    apply(&host, "web", "  - user: {name: web, groups: [users]}\n");
    host.shell("useradd third; usermod -aG users third");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &["undone"]);
    host.shell("! grep -q web /etc/passwd /etc/shadow /etc/group /etc/gshadow && grpck -r && pwck -qr && id -nG third | grep -q users");
    // So the role can be applied again.
    host.steadfast(&["apply", "--role", "web", "--yes"])
        .expect(0, &["is in effect"]);
}

#[test]
fn nothing_goes_back_to_another_file_system() {
    let Some(host) = Host::fresh() else { return };
    host.shell("mkdir -p /mnt/t; mount -t tmpfs t /mnt/t; echo old > /mnt/t/b");
    apply(
        &host,
        "files",
        "  - file: {path: /mnt/t/b, absent: true}\n  - file: {path: /mnt/t/n, content: \"new\\n\"}\n",
    );
    // Still there, elsewhere.
    host.shell("mkdir /mnt/kept; mount --bind /mnt/t /mnt/kept; umount /mnt/t");
    host.steadfast(&["undo", "last", "--yes"]).expect(
        5,
        &[
            "it lies on what was mounted at `/mnt/t`, and is not now",
            "nothing was touched",
        ],
    );
    host.shell("test -z \"$(ls /mnt/t)\"; mount --bind /mnt/kept /mnt/t");
    undo(&host);
    assert_eq!(host.shell("cat /mnt/t/b; ls /mnt/t"), "old\nb\n");
}

/// An entry that the change and somebody else changed in the same place stands in the way, and with
/// `--keep-theirs` it alone stays.
#[test]
fn an_entry_in_question_stays_alone() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell("useradd -s /bin/bash ana; useradd -s /bin/bash bo");
    host.role(
        "shells",
        "  - user: {name: ana, shell: /bin/sh}\n  - user: {name: bo, shell: /bin/sh}\n",
    );
    host.steadfast_confirmed(
        &["apply", "--role", "shells", "--yes", "--detach"],
        "stays in effect",
    );
    host.shell("usermod -s /usr/bin/dash ana");
    let shells = "getent passwd ana bo | cut -d: -f7 | tr '\\n' ' '";
    host.steadfast(&["undo", "last", "--yes", "--detach"])
        .expect(5, &["`ana` in it was changed", "nothing was touched"]);
    assert_eq!(host.shell(shells), "/usr/bin/dash /bin/sh ");
    host.steadfast(&["undo", "last", "--yes", "--detach", "--keep-theirs"])
        .expect(1, &["`ana`, which someone else changed since"]);
    assert_eq!(host.shell(shells), "/usr/bin/dash /bin/bash ");
    host.shell("pwck -qr");
}
