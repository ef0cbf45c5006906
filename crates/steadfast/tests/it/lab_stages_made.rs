//! A package of the test's own, whose script makes a part of its configuration anew each time and
//! starts a service: what is edited of that, what is refused, what a kill leaves, what is decided
//! only when the package is there, and what is promised where no copy can be made.

use lab::{Options, Release, Snapshot};

use crate::booted::{Host, STATE, differences, listed};
use crate::lab_patch::expect_same;
use crate::lab_patch_kill::{LIBRARY, die_at, dies};
use crate::many_kinds::rounds;

/// `make VERSION PORT` builds the package and makes it what the only archive has. On a host that
/// systemd runs, which a copy is not, the port is that of the second word.
const MAKE: &str = r#"
set -e
make() {
  d=/run/built; rm -rf $d /srv/demo; mkdir -p /srv/demo $d/DEBIAN $d/usr/sbin $d/usr/lib/systemd/system
  printf '#!/bin/sh\nexec sleep infinity\n' > $d/usr/sbin/demod; chmod 755 $d/usr/sbin/demod
  printf '#!/bin/sh\nif ! test -e "$1"; then echo "no $1"; exit 1; fi\n' > $d/usr/sbin/demo-ask; chmod 755 $d/usr/sbin/demo-ask
  printf '[Unit]\nDescription=demo\n[Service]\nExecStart=/usr/sbin/demod\n[Install]\nWantedBy=multi-user.target\n' > $d/usr/lib/systemd/system/demo.service
  printf 'Package: demo\nVersion: %s\nArchitecture: all\nMaintainer: t <t@t>\nDescription: demo\n' $1 > $d/DEBIAN/control
  cat > $d/DEBIAN/postinst <<END
#!/bin/sh
set -e
port=1
if test -d /run/systemd/system; then port=$2; fi
mkdir -p /etc/demo
if ! test -e /etc/demo/demo.conf; then
  { echo "id = \$(cat /proc/sys/kernel/random/uuid)"; echo "port = \$port"; echo "made = \$(date +%s%N)"; } > /etc/demo/demo.conf
  cat /proc/sys/kernel/random/uuid > /etc/demo/key; chmod 600 /etc/demo/key
fi
if test -d /run/systemd/system; then systemctl daemon-reload; fi
deb-systemd-helper enable demo.service > /dev/null
if test -d /run/systemd/system; then deb-systemd-invoke start demo.service; fi
END
  chmod 755 $d/DEBIAN/postinst
  dpkg-deb --root-owner-group --build $d /srv/demo/demo_$1.deb > /dev/null
  cd /srv/demo
  { dpkg-deb --field demo_$1.deb; echo "Filename: ./demo_$1.deb"; echo "Size: $(stat -c %s demo_$1.deb)"; echo "SHA256: $(sha256sum demo_$1.deb | cut -d' ' -f1)"; } > Packages
  rm -rf $d /etc/apt/sources.list.d/* /var/lib/apt/lists/*
  echo 'deb [trusted=yes] file:/srv/demo ./' > /etc/apt/sources.list
  apt-get -qq update
}
"#;

const ROLE: &str = "  - package: {name: demo}
  - key_value: {path: /etc/demo/demo.conf, syntax: equals, key: port, value: '2', notify: demo}
  - file: {path: /etc/demo/key, mode: '0640'}
  - service: {name: demo, running: true, enabled: true}
";

/// A host whose archive has the package, and what it looks like without it.
fn host_with(port_when_booted: u32, role: &str) -> Option<(Host, Snapshot)> {
    let host = Host::on(Release::Bookworm, Options::default())?;
    host.shell(&format!("{MAKE} make 1.0 {port_when_booted}"));
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    host.role("demo", role);
    let before = host.snapshot();
    Some((host, before))
}

const APPLY: [&str; 4] = ["apply", "--role", "demo", "--yes"];
const PLAN: [&str; 5] = ["plan", "--role", "demo", "--output", "/run/plan.json"];
const APPLY_PLAN: [&str; 3] = ["apply", "/run/plan.json", "--yes"];
const UNDO: [&str; 3] = ["undo", "last", "--yes"];

#[test]
fn an_edit_goes_onto_what_the_script_made_here() {
    let Some((host, before)) = host_with(1, ROLE) else {
        return;
    };
    let said = host
        .steadfast(&PLAN)
        .expect(1, &["-port = 1", "+port = 2", "decided on the host"]);
    expect_same(&host, &before);
    // The plan is made over one copy, and once more over another to be carried out.
    host.steadfast(&APPLY_PLAN).expect(
        0,
        &[
            "is still what this host needs",
            "1 file was made anew here",
            "is in effect",
        ],
    );
    let id = host.shell("grep '^id' /etc/demo/demo.conf");
    assert!(!said.out.contains(id.trim()), "the host's own: {id}");
    host.shell(
        "set -ex; grep -c . /etc/demo/demo.conf | grep -x 3; grep '^port = 2$' /etc/demo/demo.conf; \
         stat -c %a /etc/demo/key | grep -x 640; systemctl is-active demo; systemctl is-enabled demo",
    );
    host.steadfast(&APPLY).expect(0, &["nothing to do"]);
    host.steadfast(&UNDO).expect(0, &["undone"]);
    expect_same(&host, &before);
    host.shell("! systemctl cat demo");
}

/// The very setting has another value on the host than on the copy, so the plan showed something
/// else than what would be done.
#[test]
fn another_value_of_the_setting_than_was_shown_is_refused() {
    let Some((host, before)) = host_with(7, ROLE) else {
        return;
    };
    host.steadfast(&PLAN).expect(1, &["-port = 1"]);
    host.steadfast(&APPLY_PLAN).expect(
        4,
        &[
            "/etc/demo/demo.conf is not as the plan showed it",
            "-port = 1",
            "-port = 7",
        ],
    );
    expect_same(&host, &before);
    host.shell("! dpkg -s demo && ! systemctl cat demo");
}

/// The archive has another package than when the plan was made.
#[test]
fn another_package_than_was_shown_is_refused() {
    let Some((host, _)) = host_with(1, ROLE) else {
        return;
    };
    host.steadfast(&PLAN).expect(1, &["demo 1.0"]);
    host.shell(&format!("{MAKE} make 1.1 1"));
    let before = host.snapshot();
    host.steadfast(&APPLY_PLAN)
        .expect(1, &["is not what this host needs now", "demo 1.1"]);
    // The same version with other bytes, too.
    host.steadfast(&PLAN).expect(1, &["demo 1.1"]);
    host.shell(&format!("{MAKE} make 1.1 3"));
    host.steadfast(&APPLY_PLAN)
        .expect(1, &["is not what this host needs now"]);
    let mut found = differences(&before, &host.snapshot());
    let own = ["/srv", "/etc/apt", "/var/lib/apt/lists", "/var/cache/apt"];
    found.retain(|found| !own.iter().any(|top| found.path.starts_with(top)));
    assert!(found.is_empty(), "{}", listed(&found));
    host.shell("! dpkg -s demo");
}

/// Killed anywhere between the package and the end, it is taken back to what was.
#[test]
fn killed_anywhere_the_merged_file_is_known() {
    let Some((host, _)) = host_with(1, ROLE) else {
        return;
    };
    host.container.copy_in(dies(), LIBRARY).expect("copied");
    let before = host.snapshot();
    let all = die_at(&host, &APPLY, 0, 0).expect("it ends");
    host.steadfast(&UNDO).expect(0, &["undone"]);
    expect_same(&host, &before);
    // Of the later half, in which the package is there: six waits for the disk, or two dozen.
    let mut had_the_edit = 0;
    let parts = u64::from(rounds(12, 48));
    let step = usize::try_from(all / parts).expect("few").max(1);
    for at in (all / 2..=all).step_by(step) {
        die_at(&host, &APPLY, at, 2_000 * (at % 4));
        host.shell(
            "for p in /proc/[0-9]*; do case $(cat $p/comm 2>/dev/null) in \
             apt-get|dpkg|demo.postinst) kill -9 ${p#/proc/};; esac; done; true",
        );
        let edited = host.shell("grep -c '^port = 2$' /etc/demo/demo.conf 2>/dev/null || true");
        had_the_edit += u32::from(edited.trim() == "1");
        let said = host.steadfast(&["recover"]);
        assert!(matches!(said.code, Some(0 | 4)), "wait {at}: {said}");
        assert!(!said.err.contains("someone else"), "wait {at}: {said}");
        if !host
            .shell("dpkg-query -W -f '${Status}' demo 2>/dev/null || true")
            .is_empty()
        {
            host.shell("grep '^port = 2$' /etc/demo/demo.conf && systemctl is-active demo");
            host.steadfast(&UNDO).expect(0, &["undone"]);
        }
        let mut found = differences(&before, &host.snapshot());
        found.retain(|found| !found.path.starts_with("/var/cache/apt"));
        let found = listed(&found);
        assert!(found.is_empty(), "wait {at} of {all}: {found}\n{said}");
    }
    assert!(had_the_edit > 0, "some kill met the edited file");
}

/// Whether a service of the package runs is known when it is there, and decided then.
#[test]
fn what_the_package_starts_is_stopped() {
    let role =
        "  - package: {name: demo}\n  - service: {name: demo, running: false, enabled: false}\n";
    let Some((host, before)) = host_with(1, role) else {
        return;
    };
    host.steadfast(&PLAN).expect(
        1,
        &[
            "stop demo.service",
            "decided on the host",
            "do not start demo.service at boot",
        ],
    );
    host.steadfast(&APPLY_PLAN).expect(0, &["is in effect"]);
    host.shell("! systemctl is-active demo && ! systemctl is-enabled demo && dpkg -s demo");
    host.steadfast(&APPLY).expect(0, &["nothing to do"]);
    host.steadfast(&UNDO).expect(0, &["undone"]);
    expect_same(&host, &before);
    host.shell("! systemctl cat demo");
}

/// A check whose program comes with the package is asked when it is there, and its fix is done only
/// where it says so.
#[test]
fn a_check_of_the_package_is_asked_when_it_is_there() {
    let role = "  - package: {name: demo}
  - command: {name: made, check: [/usr/sbin/demo-ask, /etc/made-by-us], fix: [/usr/bin/touch, /etc/made-by-us], undo: [/usr/bin/rm, /etc/made-by-us]}
  - command: {name: there, check: [/usr/sbin/demo-ask, /etc/demo/demo.conf], fix: [/usr/bin/false], undo: [/usr/bin/false]}
";
    let Some((host, before)) = host_with(1, role) else {
        return;
    };
    host.steadfast(&PLAN).expect(
        1,
        &["/usr/bin/touch", "/usr/bin/false", "decided on the host"],
    );
    host.steadfast(&APPLY_PLAN)
        .expect(0, &["it is as wanted already", "is in effect"]);
    host.shell("test -e /etc/made-by-us && systemctl is-active demo");
    host.steadfast(&APPLY).expect(0, &["nothing to do"]);
    // What a command's way back did nobody can look at.
    host.steadfast(&UNDO)
        .expect(3, &["undone", "`/usr/bin/rm /etc/made-by-us` was run"]);
    expect_same(&host, &before);
}

/// Where no package is to come, go or change nothing is fetched and no copy is made: the archive is
/// gone, and a rehearsal would sweep its folder.
#[test]
fn an_audit_and_an_idle_plan_fetch_and_copy_nothing() {
    let Some((host, _)) = host_with(1, ROLE) else {
        return;
    };
    let swept = format!("{STATE}/rehearsal/marker");
    let mark = format!(
        "rm -rf {STATE}/archives; mkdir -p {STATE}/rehearsal; touch {swept}; mv /srv/demo /srv/away"
    );
    let untouched = format!("test -e {swept} && ! test -e {STATE}/archives && ! test -e /srv/demo");
    // Wanted and not there: an audit only says so.
    host.shell(&mark);
    host.steadfast(&["audit", "--role", "demo"])
        .expect(1, &["demo"]);
    host.shell(&untouched);
    // A plan would: the marker tells.
    host.shell("mv /srv/away /srv/demo");
    host.steadfast(&PLAN)
        .expect(1, &["rehearsing it on a copy"]);
    host.shell(&format!("! test -e {swept}"));
    host.steadfast(&APPLY).expect(0, &["is in effect"]);

    host.shell(&mark);
    let idle: [(&[&str], i32); 3] = [
        (&["audit", "--role", "demo"], 0),
        (&["plan", "--role", "demo"], 0),
        (&APPLY, 0),
    ];
    for (words, code) in idle {
        let said = host.steadfast(words).expect(code, &[]);
        let quiet = !said.err.contains("fetching") && !said.err.contains("rehearsing");
        assert!(quiet, "{words:?}: {said}");
        host.shell(&untouched);
    }
    // Nor where a file alone is not as wanted.
    host.shell("sed -i 's/^port.*/port = 9/' /etc/demo/demo.conf");
    host.steadfast(&PLAN).expect(1, &["+port = 2"]);
    host.steadfast(&APPLY_PLAN).expect(0, &["is in effect"]);
    host.shell(&untouched);
}

/// What came is not what the lists name: nothing is planned over it, and nobody is told to go on
/// without a rehearsal.
#[test]
fn other_bytes_are_no_reason_to_go_on_unrehearsed() {
    let Some((host, _)) = host_with(1, ROLE) else {
        return;
    };
    host.shell("echo more >> /srv/demo/demo_1.0.deb");
    let before = host.snapshot();
    let said = host.steadfast(&PLAN);
    let told = format!("{}{}", said.out, said.err);
    assert!(!told.contains("unrehearsed"), "{said}");
    assert!(!told.contains("signed lists"), "{said}");
    said.expect(3, &["gave other bytes than its lists name, for demo"]);
    host.steadfast(&APPLY)
        .expect(3, &["gave other bytes than its lists name, for demo"]);
    expect_same(&host, &before);
}

/// The archive can't be reached, and the package is in apt's cache: nothing can be foreseen of what
/// it brings, so no undo is promised, and what follows it is decided when it is there.
#[test]
fn where_no_copy_can_be_made_nothing_is_promised() {
    let Some((host, before)) = host_with(1, ROLE) else {
        return;
    };
    host.shell(
        "set -e; sed -i s/file:/copy:/ /etc/apt/sources.list; apt-get -qq update; \
         rm -f /etc/apt/apt.conf.d/docker-clean; apt-get -qq -y --download-only install demo; \
         test -e /var/cache/apt/archives/demo_1.0_all.deb; mv /srv/demo /srv/away",
    );
    host.steadfast(&PLAN).expect(
        1,
        &[
            "can't be fetched here from this host's own disk",
            "install the package demo",
            "/etc/demo/demo.conf: can't be foreseen",
            "demo.service: can't be foreseen",
            "no undo of them is promised",
            "apply /run/plan.json --unrehearsed",
        ],
    );
    let unchanged = host.snapshot();
    host.steadfast(&APPLY_PLAN)
        .expect(1, &["nothing was changed", "--unrehearsed"]);
    host.steadfast(&APPLY)
        .expect(1, &["nothing was changed", "--unrehearsed"]);
    expect_same(&host, &unchanged);
    host.steadfast(&["apply", "/run/plan.json", "--yes", "--unrehearsed"])
        .expect(0, &["a change of its own", "change c-2", "change c-3"]);
    host.shell(
        "set -ex; grep '^id = ' /etc/demo/demo.conf; grep '^port = 2$' /etc/demo/demo.conf; \
         stat -c %a /etc/demo/key | grep -x 640; systemctl is-active demo; systemctl is-enabled demo",
    );
    host.steadfast(&APPLY).expect(0, &["nothing to do"]);
    // The second is an ordinary one.
    host.steadfast(&UNDO).expect(0, &["c-3 undone"]);
    host.shell("grep '^port = 1$' /etc/demo/demo.conf && stat -c %a /etc/demo/key | grep -x 600");
    drop(before);
}

/// A plan of the form of a day to come is refused by its number, whatever else it holds.
#[test]
fn a_plan_of_a_newer_steadfast_is_refused() {
    let Some((host, before)) = host_with(1, ROLE) else {
        return;
    };
    host.shell("echo '{\"format\": 3, \"waves\": []}' > /run/plan.json");
    host.steadfast(&APPLY_PLAN)
        .expect(2, &["made by a newer steadfast", "its format is 3"]);
    expect_same(&host, &before);
}
