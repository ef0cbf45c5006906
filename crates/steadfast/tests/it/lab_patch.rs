//! Upgrades of packages on booted hosts, from an archive of the test's own: planned, rehearsed,
//! applied and taken back; what fails on a copy never reaches the host.

use lab::{Options, Release, Snapshot};

use crate::booted::{Host, PROGRAM, differences, listed};

/// Makes packages and an archive of them, as a distribution does.
pub const MAKE: &str = r#"
set -eu
mkdir -p /srv/archive /root/build
# make NAME VERSION SCRIPT: what lies in /root/build/NAME becomes a package.
make() {
  mkdir -p /root/build/$1/DEBIAN
  printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: A Test <test@example.org>\nInstalled-Size: 64\nDescription: for a test\n%s' \
    "$1" "$2" "${4:-}" > /root/build/$1/DEBIAN/control
  if [ -n "$3" ]; then
    printf '#!/bin/sh\nset -e\n%s\n' "$3" > /root/build/$1/DEBIAN/postinst
    chmod 755 /root/build/$1/DEBIAN/postinst
  fi
  dpkg-deb --root-owner-group -b /root/build/$1 /srv/archive/$1_$2_all.deb >/dev/null
  rm -rf /root/build/$1
}
index() {
  cd /srv/archive
  for deb in *.deb; do
    dpkg-deb -f $deb
    echo "Filename: ./$deb"
    echo "Size: $(stat -c %s $deb)"
    echo "SHA256: $(sha256sum $deb | cut -d' ' -f1)"
    echo
  done > Packages
  printf 'Origin: Test\nLabel: Test-Security\nSuite: test-security\nCodename: test\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n %s %s Packages\n' \
    "$(sha256sum Packages | cut -d' ' -f1)" "$(stat -c %s Packages)" > Release
  echo 'deb [trusted=yes] file:/srv/archive ./' > /etc/apt/sources.list
  rm -f /etc/apt/sources.list.d/*
  apt-get -qq update
}
"#;

pub fn demo(version: &str, more: &str) -> String {
    format!(
        r#"
d=/root/build/demo; mkdir -p $d/usr/bin $d/usr/share/demo $d/etc $d/DEBIAN
echo {version} > $d/usr/share/demo/version
echo "setting = {version}" > $d/etc/demo.conf
echo same > $d/etc/demo-same.conf
printf '/etc/demo.conf\n/etc/demo-same.conf\n' > $d/DEBIAN/conffiles
printf '#!/bin/sh\necho {version}\n' > $d/usr/bin/demo; chmod 4755 $d/usr/bin/demo
{more}
"#
    )
}

/// A host with version 1 installed, as something else needs it, and version 2 pending.
pub fn host_with_pending(postinst: &str) -> Option<Host> {
    let host = Host::installed()?;
    make_pending(&host, postinst);
    Some(host)
}

pub fn make_pending(host: &Host, postinst: &str) {
    let old = demo(
        "1.0",
        "echo old > $d/usr/share/demo/old; mkdir $d/usr/share/demo/folder; \
         echo a > $d/usr/share/demo/folder/a; ln -s version $d/usr/share/demo/link",
    );
    let new = demo(
        "2.0",
        "echo new > $d/usr/share/demo/new; ln -s new $d/usr/share/demo/link",
    );
    host.shell(&format!("{MAKE}{old}make demo 1.0 ''\nindex\n"));
    host.shell("apt-get -qq -y install demo && apt-mark -qq auto demo");
    host.shell("echo 'mine = 1' >> /etc/demo.conf && setcap cap_net_raw+ep /usr/bin/demo || true");
    host.shell(&format!("{MAKE}{new}make demo 2.0 '{postinst}'\nindex\n"));
}

/// But for apt's caches of its own lists, which every question to it may make anew.
#[track_caller]
pub fn expect_same(host: &Host, before: &Snapshot) {
    let mut found = differences(before, &host.snapshot());
    found.retain(|found| !found.path.starts_with("/var/cache/apt"));
    assert!(found.is_empty(), "not as it was:\n{}", listed(&found));
}

#[test]
fn an_upgrade_and_its_undo() {
    let Some(host) = host_with_pending("echo state > /var/lib/demo-state") else {
        return;
    };
    host.steadfast(&["patch", "plan", "--deadline-within", "14d"])
        .expect(3, &["no feed says what is due"]);
    host.steadfast(&["patch", "plan"])
        .expect(1, &["which findings it closes: there is no feed"]);
    feed_of(&host, "2.0");
    let before = host.snapshot();
    host.steadfast(&["patch", "plan"]).expect(
        1,
        &[
            "1 finding: 1 ",
            "CVE-2099-0001 demo",
            "demo 1.0 → 2.0",
            "rehearsed on a copy of this host",
            "/etc/demo.conf: was changed on this host and stays as it is",
            "differs in 3 lines",
            "-mine = 1",
            "MB are written below /",
        ],
    );
    expect_same(&host, &before);
    host.steadfast(&["patch", "apply", "--only", "security", "--yes"])
        .expect(
            0,
            &["upgrade demo 1.0 → 2.0", "looked again: it is as planned"],
        );
    assert_eq!(host.shell("dpkg-query -W -f '${Version}' demo"), "2.0");
    assert_eq!(host.shell("demo; cat /var/lib/demo-state"), "2.0\nstate\n");
    host.steadfast(&["vulns", "CVE-2099-0001"])
        .expect(3, &["fixed", "demo 2.0"]);
    // What the administrator wrote stays, with the maintainer's version beside it.
    host.shell("grep -q 'mine = 1' /etc/demo.conf && test -e /etc/demo.conf.dpkg-dist");
    host.steadfast(&["patch", "plan"])
        .expect(0, &["nothing to do"]);
    host.steadfast(&["undo", "last", "--yes"]).expect(
        0,
        &["come back 1 known vulnerability: CVE-2099-0001 in demo"],
    );
    expect_same(&host, &before);
    assert_eq!(host.shell("demo; apt-mark showauto demo"), "1.0\ndemo\n");
    host.shell("test -z \"$(dpkg --audit)\" && ! test -e /var/lib/demo-state");
}

/// What fails on the copy is said, and the host is as it was; what fails only on the host is
/// taken back there.
#[test]
fn what_fails_is_seen_on_the_copy_or_taken_back() {
    let Some(host) = host_with_pending("echo no way; exit 7") else {
        return;
    };
    let before = host.snapshot();
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(4, &["fails on a copy of this host", "no way"]);
    expect_same(&host, &before);
    // Only on the host is systemd at work.
    let Some(host) = host_with_pending("test ! -d /run/systemd/system") else {
        return;
    };
    let before = host.snapshot();
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(4, &["upgrade demo 1.0 → 2.0", "checked, and as before"]);
    // What is taken back already brings nothing back.
    let said = host.steadfast(&["undo", "c-2", "--yes"]);
    let said = said.expect(2, &["change c-2 is taken back already"]);
    assert!(!said.err.contains("brings back"), "{said}");
    expect_same(&host, &before);
    assert_eq!(host.shell("demo; dpkg --audit"), "1.0\n");
    // Nobody is there to answer, on the copy or on the host.
    let Some(host) = host_with_pending("read answer || exit 8") else {
        return;
    };
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(4, &["fails on a copy of this host", "exit status 8"]);
}

/// A script that hangs is stopped, on the copy and on the host, and what it left goes.
#[test]
fn what_hangs_is_stopped() {
    let Some(host) = host_with_pending("sleep 300") else {
        return;
    };
    let before = host.snapshot();
    host.steadfast(&["patch", "plan", "--limit", "5s"])
        .expect(4, &["fails on a copy of this host", "within 5000 ms"]);
    expect_same(&host, &before);
    let Some(host) = host_with_pending("test ! -d /run/systemd/system || sleep 300") else {
        return;
    };
    let before = host.snapshot();
    host.steadfast(&["patch", "apply", "--yes", "--limit", "5s"])
        .expect(4, &["checked, and as before"]);
    expect_same(&host, &before);
    host.shell("test -z \"$(dpkg --audit)\" && ! pidof sleep");
}

/// A disk that fills while the packages are unpacked and configured.
#[test]
fn a_disk_that_fills_has_it_taken_back() {
    const FILLS: &str = "test ! -d /run/systemd/system || cat /dev/zero > /var/fill";
    let disk = Options {
        disk_bytes: 700 << 20,
        ..Options::default()
    };
    let Some(host) = Host::with(disk) else {
        return;
    };
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    make_pending(&host, FILLS);
    host.shell("touch -r /var /root/time-of-var");
    let before = host.snapshot();
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(4, &["checked, and as before", "/var/fill"]);
    host.shell("rm /var/fill && touch -r /root/time-of-var /var");
    expect_same(&host, &before);
    assert_eq!(host.shell("demo; dpkg --audit"), "1.0\n");
}

/// The same on the newest release.
#[test]
fn an_upgrade_and_its_undo_on_debian_13() {
    let Some(host) = Host::on(Release::Trixie, Options::default()) else {
        return;
    };
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    make_pending(&host, "echo state > /var/lib/demo-state; ldconfig");
    feed_for(&host, "Debian:13", "2.0");
    let before = host.snapshot();
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(0, &["CVE-2099-0001 demo", "looked again: it is as planned"]);
    assert_eq!(host.shell("demo; cat /var/lib/demo-state"), "2.0\nstate\n");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &["checked, and as before"]);
    expect_same(&host, &before);
    host.shell("test -z \"$(dpkg --audit)\" && apt-mark showauto demo | grep -q demo");
}

/// What stands in the way is said, and nothing is touched: a database that is not clean, a file
/// that is not the one that the archive's lists name, a package that is held.
#[test]
fn what_stands_in_the_way_is_said() {
    let Some(host) = host_with_pending("") else {
        return;
    };
    host.shell("apt-mark -qq hold demo");
    host.steadfast(&["patch", "plan"])
        .expect(0, &["demo: held at 1.0; 2.0 is a security update"]);
    // Tomorrow is another day.
    let tomorrow = host.shell("date --utc --date=tomorrow +%a");
    let window = format!("{} 02:00-05:00", tomorrow.trim());
    host.steadfast(&["patch", "apply", "--yes", "--window", &window])
        .expect(0, &["is closed", "this host begins at"]);
    host.shell("apt-mark -qq unhold demo && echo more >> /srv/archive/demo_2.0_all.deb");
    let before = host.snapshot();
    host.steadfast(&["patch", "apply", "--yes"]).expect(
        3,
        &[
            "the mirror gave other bytes than its lists name, for demo (file:",
            "demo_2.0_all.deb)",
        ],
    );
    // Nothing of what was not accepted stays.
    host.shell("! find /var/lib/steadfast/archives -type f | grep .");
    expect_same(&host, &before);
    host.shell("dpkg --unpack /srv/archive/demo_1.0_all.deb >/dev/null");
    let before = host.snapshot();
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(1, &["not all there: demo", "patch plan --repair"]);
    expect_same(&host, &before);
}

/// A maintainer's script on the copy can change neither the kernel nor the host's files, sees
/// no process of the host, and has no network.
#[test]
fn a_rehearsal_reaches_nothing() {
    const SCRIPT: &str = "\
        for f in /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward /proc/sysrq-trigger; do \
          if echo 1 2>/dev/null > $f; then echo wrote $f; exit 9; fi; done; \
        if mount -t tmpfs t /mnt 2>/dev/null; then echo mounted; exit 9; fi; \
        if chmod 600 /dev/null 2>/dev/null; then echo changed a device; exit 9; fi; \
        if ! echo x > /dev/null; then echo no null; exit 9; fi; \
        if grep -E '^CapEff' /proc/self/status | grep -qvi '00000000a00405fb'; then \
          grep CapEff /proc/self/status; exit 9; fi; \
        if mknod /root/disk b 8 0 2>/dev/null; then echo made a device; exit 9; fi; \
        if chroot /proc/1/root test -e /opt/steadfast.never; then exit 9; fi; \
        if test -e /run/systemd/system; then exit 0; fi; \
        if test $(ls -d /proc/[0-9]* | wc -l) -gt 20; then echo sees processes; exit 9; fi; \
        if test $(ls /sys/class/net | wc -l) -gt 1 && ip route | grep -q .; then exit 9; fi; \
        touch /srv/from-the-copy /run/from-the-copy /tmp/from-the-copy";
    let Some(host) = host_with_pending(SCRIPT) else {
        return;
    };
    let (before, mounts) = (host.snapshot(), host.shell("cat /proc/mounts"));
    host.steadfast(&["patch", "plan"])
        .expect(1, &["demo 1.0 → 2.0"]);
    expect_same(&host, &before);
    host.shell("! test -e /run/from-the-copy && ! test -e /tmp/from-the-copy");
    assert_eq!(host.shell("cat /proc/mounts"), mounts);
}

/// Each undo is of what the upgrade left: what somebody changed since is shown, and stays.
#[test]
fn what_changed_since_is_not_written_over() {
    let Some(host) = host_with_pending("") else {
        return;
    };
    host.steadfast(&["patch", "apply", "--yes"]).expect(0, &[]);
    host.shell("echo mine > /usr/share/demo/version");
    host.steadfast(&["undo", "last", "--yes"]).expect(
        5,
        &[
            "security updates closed: demo",
            "/usr/share/demo/version",
            "changed since the upgrade",
        ],
    );
    // What only some may read is shown to nobody.
    host.shell("chmod 600 /usr/share/demo/version && echo psk > /usr/share/demo/version");
    let said = host.steadfast(&["undo", "last", "--yes"]);
    let said = said.expect(5, &["/usr/share/demo/version"]);
    assert!(!format!("{said}").contains("psk"), "{said}");
    host.shell("chmod 644 /usr/share/demo/version && echo mine > /usr/share/demo/version");
    assert_eq!(host.shell("cat /usr/share/demo/version"), "mine\n");
    assert_eq!(host.shell("dpkg-query -W -f '${Version}' demo"), "2.0");
}

/// How urgent it is hangs on what runs: OpenSSL is mapped by sshd, which listens for others, and
/// tzdata by nobody.
#[test]
fn what_listens_with_a_vulnerable_file_is_exposed() {
    let Some(host) = Host::fresh() else {
        return;
    };
    for (cve, package) in [("CVE-2099-0001", "openssl"), ("CVE-2099-0002", "tzdata")] {
        let record = format!(
            r#"{{"schema_version": "1.6.0", "id": "{cve}", "modified": "2026-11-01T00:00:00Z",
            "affected": [{{"package": {{"ecosystem": "Debian:12", "name": "{package}"}},
            "ranges": [{{"type": "ECOSYSTEM",
            "events": [{{"introduced": "0"}}, {{"fixed": "9999:1-1"}}]}}]}}]}}"#
        );
        host.write(&format!("/srv/feed/{cve}.json"), record);
    }
    host.steadfast(&["feed", "import", "/srv/feed", "--name", "debian"])
        .expect(0, &[]);
    host.steadfast(&["vulns", "--max-age", "9999", "CVE-2099-0001"])
        .expect(1, &["openssl", "exposure open (this host:"]);
    host.steadfast(&["vulns", "--max-age", "9999", "CVE-2099-0002"])
        .expect(1, &["tzdata", "exposure small (this host:"]);
}

/// What dpkg and others had not finished when they were killed goes, and what lay there before
/// under such names stays.
#[test]
fn what_was_not_finished_goes_and_what_was_there_stays() {
    const WAITS: &str = "test ! -d /run/systemd/system || sleep 300";
    let Some(host) = host_with_pending(WAITS) else {
        return;
    };
    host.shell(
        "echo mine > /usr/share/demo/version~ && echo mine > /etc/demo.conf.new && \
         mkdir -p /var/lib/dpkg/alternatives && echo mine > /var/lib/dpkg/alternatives/java-new",
    );
    let before = host.snapshot();
    host.shell(&format!(
        "{PROGRAM} patch apply --yes > /run/said 2>&1 & \
         until grep -qs 2.0 /usr/share/demo/version && pidof sleep; do sleep 0.1; done; \
         for path in /var/lib/dpkg/status-new /var/lib/dpkg/triggers/Unincorp.new \
           /var/lib/apt/extended_states.Ab12Cd /etc/demo-same.conf.dpkg-new /etc/ld.so.cache~ /usr/bin/demo.dpkg-tmp; do \
           echo half > $path; done; \
         echo theirs > /root/theirs; echo theirs > /etc/demo.conf.backup; \
         kill -9 $(pidof {PROGRAM} apt-get dpkg demo.postinst sleep) 2>/dev/null; \
         for p in /proc/[0-9]*; do case $(cat $p/comm) in demo.postinst) kill -9 ${{p#/proc/}};; \
           esac; done; true"
    ));
    host.steadfast(&["recover"]).expect(4, &[]);
    host.shell("rm /etc/demo.conf.backup /root/theirs");
    let mut found = differences(&before, &host.snapshot());
    // These directories' times tell of what somebody put there and took away.
    found.retain(|found| {
        !found.is_only_mtime() || !["/etc", "/root"].contains(&&*found.path.to_string_lossy())
    });
    assert!(found.is_empty(), "not as it was:\n{}", listed(&found));
    host.shell("test -z \"$(dpkg --audit)\"");
}

/// What an upgrade does on the host and did not on the copy is told after it, and again when it
/// is taken back: nothing puts it back.
#[test]
fn what_changes_outside_the_write_set_is_told() {
    const SCRIPT: &str = "test ! -d /run/systemd/system || echo more >> /srv/outside";
    let Some(host) = host_with_pending(SCRIPT) else {
        return;
    };
    host.shell("echo first > /srv/outside");
    let told = "1 path outside its write set changed";
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(0, &[told, "/srv/outside"]);
    host.steadfast(&["show", "last"])
        .expect(0, &[told, "/srv/outside"]);
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &[told, "/srv/outside", "checked, and as before"]);
}

/// Feeds that say in which version of `demo` a vulnerability is fixed, and that it is exploited: days
/// are left for it, or none.
pub fn feed_of(host: &Host, fixed: &str) {
    feed_for(host, "Debian:12", fixed);
    exploited(host);
}

fn feed_for(host: &Host, ecosystem: &str, fixed: &str) {
    let record = format!(
        r#"{{"schema_version": "1.6.0", "id": "CVE-2099-0001", "modified": "2026-11-01T00:00:00Z",
        "published": "2026-11-01T00:00:00Z",
        "affected": [{{"package": {{"ecosystem": "{ecosystem}", "name": "demo"}},
        "ranges": [{{"type": "ECOSYSTEM",
        "events": [{{"introduced": "0"}}, {{"fixed": "{fixed}"}}]}}]}}]}}"#
    );
    host.write("/srv/feed/CVE-2099-0001.json", record);
    host.steadfast(&["feed", "import", "/srv/feed", "--name", "debian"])
        .expect(0, &[]);
}

/// A catalogue that says that it is exploited.
fn exploited(host: &Host) {
    const CATALOGUE: &str = r#"{"title": "CISA Catalog of Known Exploited Vulnerabilities",
        "catalogVersion": "2026.11.29", "dateReleased": "2026-11-29T00:00:00.000Z", "count": 1,
        "vulnerabilities": [{"cveID": "CVE-2099-0001", "vendorProject": "Demo", "product": "demo",
        "vulnerabilityName": "a hole", "dateAdded": "2026-11-01", "shortDescription": "a hole",
        "requiredAction": "update", "dueDate": "2026-11-22",
        "knownRansomwareCampaignUse": "Unknown", "notes": "", "cwes": []}]}"#;
    host.write("/srv/kev/known_exploited_vulnerabilities.json", CATALOGUE);
    host.steadfast(&["feed", "import", "/srv/kev", "--name", "kev"])
        .expect(0, &[]);
}

/// Only what is due is taken; and what is not due in time, or has no date, stays.
#[test]
fn what_is_due_is_taken_first() {
    let Some(host) = host_with_pending("") else {
        return;
    };
    feed_of(&host, "2.0");
    host.steadfast(&["patch", "status"])
        .expect(1, &["overdue", "CVE-2099-0001 in demo"]);
    host.steadfast(&["patch", "plan", "--deadline-within", "14d"])
        .expect(1, &["demo 1.0 → 2.0", "--deadline-within 14d", "overdue"]);
    // What somebody answers for until a date is not due, nor overdue.
    host.write(
        "/etc/steadfast/policy/waivers.yaml",
        "- {vulnerability: CVE-2099-0001, hosts: [\"*\"], reason: not reached, owner: ana, \
         approver: li, expires: 2099-01-31}\n",
    );
    host.steadfast(&["patch", "plan", "--deadline-within", "14d"])
        .expect(0, &["nothing to do"]);
    let status = host.steadfast(&["patch", "status"]);
    // The feed is old: nothing else is unknown.
    let status = status.expect(3, &["demo 1.0 → 2.0", "what came out since is unknown"]);
    assert!(!status.out.contains("overdue"), "{status}");
    host.shell("rm -r /etc/steadfast/policy");
    feed_of(&host, "3.0");
    host.steadfast(&["patch", "plan", "--deadline-within", "14d"])
        .expect(1, &["nothing to do", "no pending upgrade closes these"]);
}

/// A service that a script of a package stopped, and did not start again, costs the patch; it runs
/// again afterwards.
#[test]
fn a_service_that_an_upgrade_stops_has_it_taken_back() {
    const SCRIPT: &str = "test ! -d /run/systemd/system || systemctl stop cron";
    let Some(host) = host_with_pending(SCRIPT) else {
        return;
    };
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(4, &["`cron.service` ran before"]);
    assert_eq!(host.shell("demo; dpkg --audit"), "1.0\n");
}

/// What anybody may do with what is theirs costs no patch.
#[test]
fn nobody_can_have_an_upgrade_taken_back() {
    const SCRIPT: &str = "test ! -d /run/systemd/system || chmod 666 /home/eve/x";
    let Some(host) = host_with_pending(SCRIPT) else {
        return;
    };
    host.shell("useradd --create-home eve && touch /home/eve/x && chown eve /home/eve/x");
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(0, &["changed what is theirs meanwhile", "it is as planned"]);
}

/// A host that is not as well as before, by its own baselines, gets its old packages back.
#[test]
fn an_upgrade_that_makes_the_audit_worse_is_taken_back() {
    const SCRIPT: &str = "test ! -d /run/systemd/system || chmod 666 /etc/passwd";
    let Some(host) = host_with_pending(SCRIPT) else {
        return;
    };
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(4, &["passed before, and fails now"]);
    assert_eq!(host.shell("demo; dpkg --audit"), "1.0\n");
}

/// The policy's own checks, and the data of services.
#[test]
fn a_policy_has_its_own_checks_and_says_what_proves_a_backup() {
    let Some(host) = host_with_pending("") else {
        return;
    };
    let policy = |text: &str| host.write("/etc/steadfast/policy/patches.yaml", text);
    // What runs as root is root's.
    policy("checks:\n  - run: [/bin/true]\n");
    host.shell("chmod o+w /etc/steadfast/policy");
    host.steadfast(&["patch", "plan"])
        .expect(2, &["may be written by others than root"]);
    host.shell("chmod o-w /etc/steadfast/policy");
    // Passes where systemd is at work and the old version is there; on the copy it never does.
    policy("checks:\n  - run: [/bin/sh, -c, test -d /run/systemd/system && demo | grep 1.0]\n");
    let before = host.snapshot();
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(4, &["passed before and fails now"]);
    expect_same(&host, &before);
    // One that passes on the copy before the upgrade, and not after it.
    policy("checks:\n  - run: [/usr/bin/grep, \"1.0\", /usr/share/demo/version]\n");
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(4, &["on a copy of this host", "grep 1.0", "fails"]);
    policy("data:\n  - {packages: [demo], restored: /srv/restored, within: 7d}\n");
    host.steadfast(&["patch", "plan"]).expect(
        1,
        &[
            "data of demo",
            "is not there",
            "apply wants --accept-data-loss",
            "next steadfast patch apply --accept-data-loss",
        ],
    );
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(1, &["`demo` keeps data", "patches.yaml"]);
    host.shell("touch /srv/restored && chmod o+w /srv/restored");
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(1, &["`demo` keeps data"]);
    host.shell("chmod o-w /srv/restored && chmod o+w /srv");
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(1, &["`demo` keeps data"]);
    host.shell("chmod o-w /srv");
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(0, &["looked again: it is as planned"]);
    host.steadfast(&["undo", "last", "--yes"]).expect(0, &[]);
    host.shell("rm /srv/restored");
    host.steadfast(&["patch", "apply", "--yes", "--accept-data-loss"])
        .expect(0, &[]);
}

/// What dpkg left unfinished is mended by a plan of its own: rehearsed, applied, and taken back
/// as any other.
#[test]
fn what_dpkg_left_unfinished_is_repaired() {
    let Some(host) = host_with_pending("") else {
        return;
    };
    host.steadfast(&["patch", "plan", "--repair"])
        .expect(0, &["nothing to do"]);
    let breaks = [
        "dpkg --unpack /srv/archive/demo_1.0_all.deb >/dev/null",
        "sed -i '/^Package: demo$/,/^$/s/^Status: .*/Status: install reinstreq half-installed/' \
         /var/lib/dpkg/status && rm /usr/share/demo/version",
        "rm /var/lib/dpkg/info/demo.list",
    ];
    for broken in breaks {
        host.shell(broken);
        let before = host.snapshot();
        host.steadfast(&["patch", "plan"])
            .expect(1, &["not all there: demo", "steadfast patch plan --repair"]);
        host.steadfast(&["patch", "plan", "--repair"])
            .expect(1, &["finish what dpkg left unfinished: demo"]);
        expect_same(&host, &before);
        host.steadfast(&["patch", "apply", "--repair", "--yes"])
            .expect(0, &["looked again: it is as planned"]);
        assert_eq!(
            host.shell("dpkg --audit; dpkg-query -W -f '${Status} ${Version}' demo; demo"),
            "install ok installed 1.01.0\n"
        );
        host.shell("test -s /var/lib/dpkg/info/demo.list && test -s /usr/share/demo/version");
        host.steadfast(&["undo", "last", "--yes"])
            .expect(0, &["checked, and as before"]);
        expect_same(&host, &before);
        host.steadfast(&["patch", "apply", "--repair", "--yes"])
            .expect(0, &[]);
    }
}

/// An archive whose packages break off in the middle, each time they are asked for.
const BREAKS_OFF: &str = r#"
cat > /root/server.pl <<'PERL'
use strict; use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1:8111", Listen => 5, ReuseAddr => 1) or die;
$SIG{PIPE} = "IGNORE";
open(my $ready, ">", "/run/listening") or die; close $ready;
while (my $client = $server->accept) {
  my $asked = <$client>; while (<$client>) { last if /^\r?$/ }
  my ($path) = $asked =~ m{^GET /(\S+)};
  if (open(my $file, "<", "/srv/archive/$path")) {
    binmode $file; local $/; my $content = <$file>;
    my $sent = $path =~ /deb$/ ? substr($content, 0, length($content) / 2) : $content;
    printf $client "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", length $content;
    print $client $sent;
  } else {
    print $client "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  }
  close $client;
}
PERL
setsid perl /root/server.pl >/dev/null 2>&1 </dev/null &
echo 'deb [trusted=yes] http://127.0.0.1:8111/ ./' > /etc/apt/sources.list
until test -e /run/listening; do sleep 0.05; done
apt-get -qq update -oAPT::Update::Error-Mode=any
apt-get -s upgrade | grep -q '^Inst demo'
"#;

/// The network dies while packages are fetched: nothing is touched, and the next time it works.
#[test]
fn a_network_that_dies_leaves_everything_as_it_was() {
    let Some(host) = host_with_pending("") else {
        return;
    };
    host.shell(BREAKS_OFF);
    let before = host.snapshot();
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(3, &["nothing was installed", "is the network there"]);
    expect_same(&host, &before);
    assert_eq!(host.shell("demo; dpkg --audit"), "1.0\n");
    host.shell(
        "echo 'deb [trusted=yes] file:/srv/archive ./' > /etc/apt/sources.list; apt-get -qq update",
    );
    host.steadfast(&["patch", "apply", "--yes"]).expect(0, &[]);
}
