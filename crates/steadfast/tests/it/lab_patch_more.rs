//! Upgrades of packages on booted hosts: windows and deadlines, what a hold keeps open, other
//! package managers that are at work, and kernels.

use std::time::Duration;

use crate::booted::{Host, LIMIT, PROGRAM, differences, listed, wait};
use crate::lab_patch::{MAKE, demo, feed_of, host_with_pending};
use lab::Snapshot;

#[track_caller]
fn untouched(host: &Host, before: &Snapshot) {
    let mut found = differences(before, &host.snapshot());
    // apt's caches of its own lists, which every question to it may make anew.
    found.retain(|found| !found.path.starts_with("/var/cache/apt"));
    assert!(found.is_empty(), "not as it was:\n{}", listed(&found));
    assert_eq!(host.shell("dpkg-query -W -f '${Version}' demo"), "1.0");
}

/// A plan says when this host begins, is saved with that, and is applied at no other time.
#[test]
fn a_plan_keeps_its_window() {
    let Some(host) = host_with_pending("") else {
        return;
    };
    // A day that is neither today nor tomorrow.
    let day = host.shell("LC_ALL=C date -u -d '+3 days' +%a");
    let closed = format!("{} 02:00-05:00", day.trim());
    let before = host.snapshot();
    let words = [
        "patch",
        "plan",
        "--window",
        &closed,
        "--output",
        "/run/p.json",
    ];
    host.steadfast(&words).expect(
        1,
        &[
            "this host may begin at",
            "the window closes at",
            "30 min are reckoned with",
            "on the copy it took",
            "steadfast patch apply /run/p.json",
        ],
    );
    host.steadfast(&["patch", "apply", "/run/p.json", "--yes"])
        .expect(0, &["is closed", "this host begins at"]);
    let other = [
        "patch",
        "apply",
        "/run/p.json",
        "--yes",
        "--window",
        "00:00-23:00",
    ];
    host.steadfast(&other)
        .expect(2, &["this plan has a window of its own"]);
    host.steadfast(&["patch", "plan", "--window", "02:00-02:10"])
        .expect(2, &["is shorter than the", "take a longer window"]);
    let place = |program: &str| {
        let words = format!("{{ {PROGRAM} {program} --format json 2>/dev/null || true; }}");
        let first = r#"perl -0ne 'print $1 if /"begins": ?\{.*?"first": ?"([^"]+)"/s'"#;
        host.shell(&format!("{words} | {first}"))
    };
    let status = place(&format!("patch status --window '{closed}'"));
    assert!(status.contains("T0"), "{status}");
    assert_eq!(place(&format!("patch plan --window '{closed}'")), status);
    untouched(&host, &before);
    // Open all day but for a minute, which only a host whose place is late has to wait for.
    let open = ["patch", "plan", "--window", "00:00-23:59", "--needs", "23h"];
    host.steadfast(&open).expect(1, &["23 h are reckoned with"]);
}

/// A hold names the findings that stay open for it; a missed deadline is a finding.
#[test]
fn a_hold_names_what_it_keeps_open() {
    let Some(host) = host_with_pending("") else {
        return;
    };
    // Another package of the archive that can't be upgraded without the one that is held.
    let old = "mkdir -p /root/build/tied\n";
    let depends = |version: &str| format!("'Depends: demo (= {version})\n'");
    host.shell(&format!(
        "{MAKE}{old}make tied 1.0 '' {}\nindex\napt-get -qq -y install tied >/dev/null",
        depends("1.0")
    ));
    host.shell(&format!(
        "{MAKE}{old}make tied 2.0 '' {}\nindex\n",
        depends("2.0")
    ));
    feed_of(&host, "2.0");
    host.steadfast(&["patch", "status"]).expect(
        1,
        &[
            "2 upgrades, 2 of them for security",
            "demo 1.0 → 2.0",
            "overdue",
        ],
    );
    host.steadfast(&["patch", "status", "--deadline-within", "14d"])
        .expect(
            1,
            &["1 upgrade, 1 of them for security", "CVE-2099-0001 in demo"],
        );
    host.shell("apt-mark -qq hold demo");
    let kept = [
        "demo: held at 1.0; 2.0 is a security update, and would close",
        "1 finding: 1 ",
        "1 overdue",
        "CVE-2099-0001 demo",
        "due ",
    ];
    host.steadfast(&["patch", "status"]).expect(1, &kept);
    host.steadfast(&["patch", "status", "--only", "security"])
        .expect(1, &kept);
    host.steadfast(&["patch", "status", "--format", "json"])
        .expect(1, &["\"keeps_open\"", "\"waits_for\"", "\"overdue\""]);
    let said = host.steadfast(&["patch", "plan"]).expect(0, &kept);
    let said = said.expect(
        0,
        &[
            "demo: held at 1.0; 2.0 is a security update",
            "tied: left at 1.0, waiting for demo; 2.0 is a security update",
        ],
    );
    assert!(!said.out.contains("→ 2.0"), "{said}");
    host.shell("apt-mark -qq unhold demo");
    host.steadfast(&["patch", "apply", "--yes"]).expect(0, &[]);
    let status = host.steadfast(&["patch", "status"]);
    let status = status.expect(3, &["no upgrade", "feed `debian` is as of 2026-11-01"]);
    assert!(!status.out.contains("overdue"), "{status}");
}

/// Holds dpkg's lock as apt does (fcntl(2)), until `/run/enough` is there.
const HOLDER: &str = r#"
rm -f /run/enough /run/holds
cat > /run/holder.pl <<'PERL'
use strict; use Fcntl;
$0 = "otherapt";
open(my $lock, "+<", "/var/lib/dpkg/lock-frontend") or die "no lock: $!";
my $whole = pack("s s l! l! i", F_WRLCK, 0, 0, 0, 0);
fcntl($lock, F_SETLK, $whole) or die "not taken: $!";
open(my $holds, ">", "/run/holds") or die; print $holds $$; close $holds;
select(undef, undef, undef, 0.05) until -e "/run/enough";
PERL
setsid perl /run/holder.pl </dev/null >/dev/null 2>&1 &
until test -s /run/holds; do sleep 0.05; done; cat /run/holds
"#;

/// Another package manager at work is named and waited for: not for ever, and nothing is touched.
#[test]
fn who_holds_the_lock_is_named_and_waited_for() {
    let Some(host) = host_with_pending("") else {
        return;
    };
    let before = host.snapshot();
    let holder = host.shell(HOLDER);
    let named = format!("process {holder} (otherapt)");
    host.steadfast(&["patch", "apply", "--yes", "--wait", "5s"])
        .expect(
            1,
            &[
                &format!("waiting for {named}, which holds dpkg's lock"),
                &format!("{named} still holds dpkg's lock"),
                "nothing was changed",
            ],
        );
    untouched(&host, &before);
    // When it ends meanwhile, the patch goes on.
    let apply = format!("{PROGRAM} patch apply --yes > /run/said 2>&1; echo $? > /run/code");
    let running = host
        .container
        .spawn(&lab::Exec::shell(&apply).limit(LIMIT))
        .expect("it starts");
    let waits = format!("grep -q 'waiting for {named}' /run/said");
    host.wait_for(&waits, Duration::from_secs(60));
    host.shell("touch /run/enough");
    wait(running).expect(0, &[]);
    assert_eq!(host.shell("cat /run/code; demo"), "0\n2.0\n");
}

/// A service that comes up with the old file, however it does, is not patched: taken back.
#[test]
fn a_service_that_still_runs_the_old_file_has_it_taken_back() {
    let Some(host) = Host::installed() else {
        return;
    };
    let sleeper = |more: &str| format!("cp /bin/sleep $d/usr/bin/sleeper{more}\n");
    let old = demo("1.0", &sleeper(""));
    host.shell(&format!(
        "{MAKE}{old}make demo 1.0 ''\nindex\napt-get -qq -y install demo >/dev/null"
    ));
    // The service starts what another process still has: the file as it was before.
    host.shell(
        "setsid /usr/bin/sleeper 3000 </dev/null >/dev/null 2>&1 & echo $! > /run/keeper
         cat > /etc/systemd/system/sticky.service <<'UNIT'
[Service]
ExecStart=/bin/sh -c 'exec /proc/$(cat /run/keeper)/exe 2000'
UNIT
         systemctl daemon-reload && systemctl start sticky",
    );
    let new = demo("2.0", &sleeper("; echo >> $d/usr/bin/sleeper"));
    host.shell(&format!("{MAKE}{new}make demo 2.0 ''\nindex\n"));
    let before = host.snapshot();
    host.steadfast(&["patch", "apply", "--yes"]).expect(
        4,
        &[
            "sticky.service was restarted, and its process",
            "still runs the old /usr/bin/sleeper",
        ],
    );
    untouched(&host, &before);
    assert_eq!(host.shell("systemctl is-active sticky"), "active\n");
    // Started as it should be, the same upgrade stands.
    host.shell(
        "sed -i 's|^ExecStart=.*|ExecStart=/usr/bin/sleeper 2000|' \
         /etc/systemd/system/sticky.service && systemctl daemon-reload",
    );
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(0, &["sticky.service", "it is as planned"]);
    // The other process is no service's: it is told of, and stays.
    host.steadfast(&["patch", "status"])
        .expect(1, &["sleeper", "runs files that are not there any more"]);
}

/// Installed kernels of a container run nowhere, whatever its host runs.
#[test]
fn a_container_has_no_kernel_of_its_own() {
    let Some(host) = Host::installed() else {
        return;
    };
    let name = host.shell("echo linux-image-$(uname -r | tr A-Z_ a-z-)");
    let name = name.trim();
    host.shell(&format!(
        "{MAKE}mkdir -p /root/build/{name}/boot
         touch /root/build/{name}/boot/vmlinuz-9
         make {name} 1.0 '' 'Source: linux\n'\nindex\napt-get -qq -y install {name} >/dev/null"
    ));
    let record = r#"{"schema_version": "1.6.0", "id": "CVE-2099-0002",
        "modified": "2026-11-01T00:00:00Z", "published": "2026-11-01T00:00:00Z",
        "affected": [{"package": {"ecosystem": "Debian:12", "name": "linux"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}]}]}"#;
    host.write("/srv/feed/CVE-2099-0002.json", record);
    host.steadfast(&["feed", "import", "/srv/feed", "--name", "debian"])
        .expect(0, &[]);
    let vulns = host.steadfast(&["vulns", "--os-only"]);
    let said = vulns.expect(
        3,
        &[
            "no finding in what can be told",
            "linux 1.0: 1 vulnerability; a container runs on the kernel of its host",
        ],
    );
    assert!(!said.out.contains("overdue"), "{said}");
    host.steadfast(&["vulns", "CVE-2099-0002", "--os-only"])
        .expect(3, &["dormant", "linux 1.0"]);
    host.steadfast(&["patch", "status"])
        .expect(3, &["is not of this host's packages"]);
}

/// What somebody changed since an upgrade is shown: as a diff where it is text, and by what is
/// known of it otherwise, with the package and with what can be done.
#[test]
fn a_conflict_of_an_undo_is_shown() {
    let Some(host) = host_with_pending("") else {
        return;
    };
    let before = host.snapshot();
    host.steadfast(&["patch", "apply", "--yes"]).expect(0, &[]);
    host.shell(
        "echo 'mine = 1' > /usr/share/demo/version; printf '\\0\\1\\2' > /usr/share/demo/new
         chmod 700 /usr/bin/demo; ln -sfn /nowhere /usr/share/demo/link",
    );
    let left = host.snapshot();
    let said = host.steadfast(&["undo", "last", "--yes"]);
    let said = said.expect(
        5,
        &[
            "/usr/share/demo/version it was changed since the upgrade",
            "its content is another (4 bytes were left, SHA-256",
            "-2.0",
            "+mine = 1",
            "/usr/share/demo/new it was changed since the upgrade",
            "its mode is 0700, and was 4755",
            "it leads to /nowhere, and was left to lead to new",
            "it was last written at 20",
            "it is of the package demo",
            "4 places were changed by someone else since",
            "--keep-theirs leaves these as they are",
        ],
    );
    assert!(!said.err.contains("-new\n"), "no text: {said}");
    let mut found = differences(&left, &host.snapshot());
    found.retain(|found| !found.path.starts_with("/var/cache/apt"));
    assert!(found.is_empty(), "touched:\n{}", listed(&found));
    // As it advises.
    host.shell("apt-get -qq -y install --reinstall demo >/dev/null 2>&1");
    host.steadfast(&["undo", "last", "--yes"]).expect(0, &[]);
    untouched(&host, &before);
}

/// Layers on a disk do not fill it; and where nothing bounds the rehearsal's processes, it is said.
#[test]
fn a_rehearsal_on_disk_is_stopped_before_it_is_full() {
    // 800 MB, on the copy only.
    const FILLS: &str = "test -d /run/systemd/system || \
        for i in $(seq 80); do head -c 10000000 /dev/zero > /var/lib/fill$i; sleep 0.02; done";
    let Some(host) = host_with_pending(FILLS) else {
        return;
    };
    let loops = host.shell(
        "test -e /dev/loop-control || mknod /dev/loop-control c 10 237
         for i in $(seq 0 63); do test -e /dev/loop$i || mknod /dev/loop$i b 7 $i; done
         losetup --find 2>/dev/null || true",
    );
    if loops.trim().is_empty() {
        eprintln!("skipped: this machine has no free loop device");
        return;
    }
    host.shell(
        "echo 'MemAvailable: 1000 kB' > /run/meminfo && mount --bind /run/meminfo /proc/meminfo
         cp -a /var/lib/steadfast /run/kept
         truncate -s 600M /run/disk && mkfs.ext4 -q -m 0 /run/disk
         mount -o loop /run/disk /var/lib/steadfast
         cp -a /run/kept/. /var/lib/steadfast/ && rm -r /run/kept && chmod 700 /var/lib/steadfast
         mount -t tmpfs none /sys/fs/cgroup",
    );
    let before = host.snapshot();
    let least = format!(
        "{PROGRAM} patch plan > /run/said 2>&1 & plan=$!
         while kill -0 $plan 2>/dev/null; do
           df --output=avail -B1 /var/lib/steadfast | tail -1; sleep 0.01
         done | sort -n | head -1"
    );
    let least: u64 = host.shell(&least).trim().parse().expect("a number");
    let said = host.shell("cat /run/said");
    let words: Vec<&str> = said
        .split_whitespace()
        .filter(|word| *word != "│")
        .collect();
    let words = words.join(" ");
    assert!(
        words.contains("stopped, since it had written so much"),
        "{said}"
    );
    // Two fifths of what was free, less what is written between two looks.
    assert!(least > 120_000_000, "{least} bytes were left: {said}");
    untouched(&host, &before);
    host.shell("! test -e /var/lib/steadfast/rehearsal");
    // What fits goes on.
    let new = demo("2.0", "");
    host.shell(&format!("{MAKE}{new}make demo 2.0 ''\nindex\n"));
    host.steadfast(&["patch", "plan"]).expect(
        1,
        &[
            "demo 1.0 → 2.0",
            "the copy was made on disk",
            "had no common limit",
        ],
    );
}
