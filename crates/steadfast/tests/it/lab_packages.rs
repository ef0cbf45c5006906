//! "Package, its configuration file, its service" on a fresh host, in one apply: rehearsed, planned
//! over the copy, applied as planned, and taken back by what it wrote.

use crate::booted::Host;
use crate::lab_patch::{MAKE, expect_same};

/// A service with its configuration, a default that people remove, and a library that comes along.
const DEMO: &str = r#"
d=/root/build/helper; mkdir -p $d/usr/share/helper; echo 1 > $d/usr/share/helper/it
make helper 1.0 ''
d=/root/build/demo; mkdir -p $d/usr/lib/systemd/system $d/etc/demo $d/DEBIAN
printf '# theirs\nsetting = 1\n' > $d/etc/demo/demo.conf
echo '/etc/demo/demo.conf' > $d/DEBIAN/conffiles
printf '[Unit]\nDescription=A demo\n[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n' \
  > $d/usr/lib/systemd/system/demod.service
make demo 1.0 'date +%N > /etc/demo/made
ln -sf demo.conf /etc/demo/default
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -sf /usr/lib/systemd/system/demod.service /etc/systemd/system/multi-user.target.wants/demod.service
if test -d /run/systemd/system; then systemctl daemon-reload; systemctl start demod; fi' 'Depends: helper
'
index
"#;

const ROLE: &str = "  - package: {name: demo}
  - key_value: {path: /etc/demo/demo.conf, syntax: equals, key: setting, value: mine, notify: demod}
  - file: {path: /etc/demo/default, absent: true}
  - service: {name: demod, enabled: true, running: true}
";

#[test]
fn a_role_is_planned_over_its_packages_and_taken_back() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(&format!("{MAKE}{DEMO}"));
    host.role("app", ROLE);
    host.role("nothing", "  - package: {name: bash}\n");
    host.role("odd", "  - package: {name: nosuchpkg}\n");
    host.role(
        "beside",
        "  - file: {path: /etc/beside, content: \"x\\n\"}\n",
    );
    let before = host.snapshot();
    const SELECTED: [&str; 2] = ["--role", "app"];
    let with = |words: &[&'static str]| [words, &SELECTED].concat();
    host.steadfast(&with(&["plan", "--output", "/run/plan.json"]))
        .expect(
            1,
            &[
                "install demo 1.0, with 1 package that it needs",
                "rehearsed on a copy of this host",
                // Case C13 of the sysadmin's look: only a patch said it.
                "demo, helper: nothing says whose packages of file:/srv/archive these are",
                "-setting = 1",
                "+setting = mine",
                "/etc/demo/default",
            ],
        );
    let saved = host.shell("cat /run/plan.json");
    assert!(saved.contains("/etc/demo/made"), "the write set: {saved}");
    // Nothing was installed, and a plan without packages rehearses nothing.
    host.shell("! dpkg -s demo 2>/dev/null");
    let said = host.steadfast(&["plan", "--role", "nothing"]);
    let said = said.expect(0, &["nothing to do"]);
    assert!(!said.err.contains("rehearsing"), "{said}");
    // What can't be had is known when it is planned.
    host.steadfast(&["plan", "--role", "odd"]).expect(
        1,
        &[
            "role odd",
            "Unable to locate package nosuchpkg",
            "nothing can be done",
        ],
    );
    // It costs its own role, and no other.
    let both = ["apply", "--role", "odd", "--role", "beside", "--yes"];
    host.steadfast(&both)
        .expect(1, &["left out for role odd", "nosuchpkg"]);
    host.shell("test -s /etc/beside");
    host.steadfast(&["undo", "last", "--yes"]).expect(0, &[]);

    host.steadfast(&["apply", "/run/plan.json", "--yes"])
        .expect(0, &["is still what this host needs", "is in effect"]);
    assert_eq!(
        host.shell("cat /etc/demo/demo.conf; apt-mark showauto helper; apt-mark showmanual demo"),
        "# theirs\nsetting = mine\nhelper\ndemo\n"
    );
    host.shell(
        "systemctl is-active demod && ! test -e /etc/demo/default && test -s /etc/demo/made",
    );
    let said = host.steadfast(&with(&["apply", "--yes"]));
    let said = said.expect(0, &["nothing to do"]);
    assert!(!said.err.contains("rehearsing"), "{said}");

    host.steadfast(&["undo", "last", "--yes"]).expect(0, &[]);
    host.shell("! systemctl is-active demod && test -z \"$(dpkg --audit)\"");
    expect_same(&host, &before);
}

/// A unit that the same plan brings is enabled by a link that nobody could know before: it is the
/// change's own all the same, and is not told as what others did.
#[test]
fn the_links_of_its_own_units_are_the_changes_own() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(&format!(
        "{MAKE}mkdir -p /root/build/plain; make plain 1 ''\nindex\n"
    ));
    host.role(
        "app",
        r#"  - package: {name: plain}
  - file: {path: /etc/systemd/system/own.service, content: "[Service]\nExecStart=/bin/true\n"}
  - file: {path: /etc/systemd/system/own.timer, content: "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"}
  - service: {name: own.timer, enabled: true}
"#,
    );
    let said = host.steadfast(&["apply", "--role", "app", "--yes"]);
    let said = said.expect(0, &["is in effect"]);
    host.shell("test -L /etc/systemd/system/timers.target.wants/own.timer");
    assert!(!said.err.contains("outside its write set"), "{said}");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &["as it was before"]);
    host.shell("! test -e /etc/systemd/system/timers.target.wants/own.timer");
}

/// The packages lie in the state directory, and the copy has them wherever that is.
#[test]
fn a_state_directory_on_a_file_system_of_its_own_is_no_obstacle() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(&format!(
        "{MAKE}mkdir -p /root/build/plain; make plain 1 ''\nindex\n\
         mkdir -p /mnt/state; mount -t tmpfs -o mode=0700 tmpfs /mnt/state"
    ));
    host.role("plain", "  - package: {name: plain}\n");
    let state = ["--state", "/mnt/state/of"];
    let words = |words: &[&'static str]| [words, &state].concat();
    host.steadfast(&words(&["apply", "--role", "plain", "--yes"]))
        .expect(0, &["is in effect"]);
    host.shell("dpkg -s plain");
    host.steadfast(&words(&["undo", "last", "--yes"]))
        .expect(0, &[]);
    host.shell("! dpkg -s plain");
}

/// What systemd and Debian's helper write down of a package's timer goes with it.
#[test]
fn the_stamp_of_a_timer_goes_with_its_package() {
    let Some(host) = Host::installed() else {
        return;
    };
    let files = "d=/root/build/often; mkdir -p $d/lib/systemd/system $d/DEBIAN
printf '[Timer]\\nOnCalendar=daily\\nPersistent=true\\n[Install]\\nWantedBy=timers.target\\n' \
  > $d/lib/systemd/system/often.timer
printf '[Service]\\nType=oneshot\\nExecStart=/bin/true\\n' > $d/lib/systemd/system/often.service
make often 1 'deb-systemd-helper enable often.timer
if test -d /run/systemd/system; then systemctl daemon-reload; deb-systemd-invoke start often.timer; fi'
index";
    host.shell(&format!("{MAKE}\n{files}"));
    host.role("often", "  - package: {name: often}\n");
    let kept = "find /var/lib/systemd/timers /var/lib/systemd/deb-systemd* | sort";
    let before = host.shell(kept);
    host.steadfast(&["apply", "--role", "often", "--yes"])
        .expect(0, &["is in effect"]);
    assert!(host.shell(kept).contains("stamp-often.timer"));
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &["as it was before it"]);
    assert_eq!(host.shell(kept), before);
}
