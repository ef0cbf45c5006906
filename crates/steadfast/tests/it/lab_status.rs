//! `vulns`, `patch status`, `history` and the end of `patch apply` say one truth: of what still runs
//! old files, of what was interrupted, and of what an undo put back.

use std::time::Duration;

use serde_json::Value;

use crate::booted::{Host, PROGRAM, Said};
use crate::lab_patch::{MAKE, demo, feed_of, host_with_pending};

const CVE: &str = "CVE-2099-0001";
/// Of the tests' feed nothing is open; that it is old is all that is unknown.
const CLEAN: &str = "no finding in what can be told";
const STALE: &str = "feed `debian` is as of 2026-11-01: what came out since is unknown";

/// A program of the package's own that goes on after an upgrade, and a library whose name has its
/// version.
fn with_sleeper(version: &str) -> String {
    let end = if version == "1.0" {
        ""
    } else {
        "; echo >> $d/usr/bin/sleeper"
    };
    demo(version, &format!("cp /bin/sleep $d/usr/bin/sleeper{end}"))
}

/// A host on which a process of nobody runs what is to be replaced, and its id.
fn host_that_runs() -> Option<(Host, String)> {
    let host = Host::installed()?;
    let old = with_sleeper("1.0");
    host.shell(&format!(
        "{MAKE}{old}make demo 1.0 ''\nindex\napt-get -qq -y install demo >/dev/null"
    ));
    let id = host.shell(
        "setsid /usr/bin/sleeper 3000 </dev/null >/dev/null 2>&1 & echo $! > /run/keeper; \
         until grep -q sleeper /proc/$(cat /run/keeper)/comm; do sleep 0.05; done; cat /run/keeper",
    );
    let new = with_sleeper("2.0");
    host.shell(&format!("{MAKE}{new}make demo 2.0 ''\nindex\n"));
    feed_of(&host, "2.0");
    Some((host, id.trim().to_owned()))
}

fn json(host: &Host, words: &[&str]) -> (Said, Value) {
    let said = host.steadfast(&[words, &["--format", "json"]].concat());
    let value = serde_json::from_str(&said.out);
    let value = value.unwrap_or_else(|error| panic!("{error}: {said}"));
    (said, value)
}

/// Names of what is in a list of findings.
fn names(value: &Value) -> Vec<&str> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|one| one["name"].as_str()).collect()
}

/// A finding is closed when nothing runs the old file any more, and everybody says so.
#[test]
fn what_still_runs_keeps_a_finding_open_everywhere() {
    let Some((host, id)) = host_that_runs() else {
        return;
    };
    let until = format!("until sleeper (process {id}) ends");
    host.steadfast(&["patch", "apply", "--yes"]).expect(
        0,
        &[
            "it is as planned",
            &format!("1 finding stays open {until}: {CVE} in demo"),
        ],
    );
    assert_eq!(host.shell("dpkg-query -W -f '${Version}' demo"), "2.0");
    host.steadfast(&["patch", "status"])
        .expect(1, &[&format!("{CVE} in demo, {until}"), "overdue"]);
    // What is due is, whatever was asked.
    let due = ["--deadline-within", "14d"];
    for words in [&["patch", "plan"][..], &["patch", "apply", "--yes"]] {
        let open = format!("a newer version is installed: open {until}");
        let said = host.steadfast(&[words, &due].concat());
        let said = said.expect(1, &["nothing to do", "1 overdue", CVE, &open]);
        assert!(!said.out.contains("no pending upgrade closes"), "{said}");
    }
    let vulns = ["vulns", "--os-only"];
    host.steadfast(&vulns).expect(
        1,
        &[
            "1 finding in 1 package",
            "demo 1.0 → 2.0",
            &format!("a newer version is installed: open {until}"),
        ],
    );
    // By its name as well: what is installed is not all.
    let still = "demo 2.0: fixed in what is installed, and still running as it was: open";
    host.steadfast(&["vulns", CVE]).expect(1, &[still]);
    let (said, asked) = json(&host, &["vulns", CVE]);
    let verdict = &asked["asked"][0]["verdicts"][0][1]["verdict"];
    assert_eq!(verdict, "affected", "{said}");
    let (said, found) = json(&host, &vulns);
    assert_eq!(names(&found["findings"]), [CVE], "{said}");
    assert_eq!(found["findings"][0]["kept_open"][0]["until"], "end");
    let (_, status) = json(&host, &["patch", "status"]);
    assert_eq!(names(&status["open_until_restarted"]), [CVE]);
    assert_eq!(names(&status["overdue"]), [CVE]);
    host.steadfast(&["vulns", "--os-only", "--fail-on", "out-of-cycle"])
        .expect(1, &[]);
    for format in ["sarif", "cyclonedx-vex"] {
        host.steadfast(&["vulns", "--os-only", "--format", format])
            .expect(1, &[CVE, &until]);
    }
    // Of a tree nobody asks what runs here.
    let of_tree = host
        .steadfast(&["vulns", "--os-only", "--root", "/"])
        .expect(3, &[CLEAN, STALE]);
    assert!(!of_tree.out.contains(CVE), "{of_tree}");
    host.shell(&format!(
        "kill {id}; while test -e /proc/{id}; do sleep 0.05; done"
    ));
    for (words, told) in [(&vulns[..], CLEAN), (&["patch", "status"], "no upgrade")] {
        let said = host.steadfast(words).expect(3, &[told, STALE]);
        assert!(!said.out.contains(CVE), "{said}");
    }
}

/// Whoever runs what was there before several upgrades keeps open what the first of them closed.
#[test]
fn what_runs_through_several_upgrades_keeps_all_open() {
    let Some((host, id)) = host_that_runs() else {
        return;
    };
    host.steadfast(&["patch", "apply", "--yes"]).expect(0, &[]);
    // The clock that a process's start is told by is exact to seconds.
    host.shell("sleep 4; setsid /usr/bin/sleeper 2000 </dev/null >/dev/null 2>&1 & sleep 0.2");
    let newer = with_sleeper("3.0");
    host.shell(&format!(
        "{MAKE}{}echo again >> /root/build/demo/usr/bin/sleeper\nmake demo 3.0 ''\nindex\n",
        newer
    ));
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(0, &[&format!("{CVE} in demo"), "stays open"]);
    host.steadfast(&["vulns", "--os-only"])
        .expect(1, &["demo 1.0 → 2.0", "a newer version is installed"]);
    // Who began with the second version has it not.
    host.shell(&format!(
        "kill {id}; while test -e /proc/{id}; do sleep 0.05; done"
    ));
    host.steadfast(&["patch", "status"])
        .expect(1, &["runs files that are not there any more"]);
    let said = host.steadfast(&["vulns", "--os-only"]);
    let said = said.expect(3, &[CLEAN, STALE]);
    assert!(!said.out.contains(CVE), "{said}");
}

/// What is not restarted under everybody's feet waits for a reboot, and everybody says so.
#[test]
fn what_only_a_reboot_ends_says_so() {
    let Some((host, id)) = host_that_runs() else {
        return;
    };
    host.shell(&format!(
        "kill {id}; printf '[Service]\\nExecStart=/usr/bin/sleeper 3000\\n' \
         > /etc/systemd/system/lightdm.service; systemctl daemon-reload; systemctl start lightdm"
    ));
    host.steadfast(&["patch", "plan"]).expect(
        1,
        &[
            "needs a reboot",
            "reboot lightdm.service runs on with the old files until then",
        ],
    );
    let until = "until a reboot: lightdm.service still runs old files";
    host.steadfast(&["patch", "apply", "--yes"]).expect(
        0,
        &[&format!("1 finding stays open {until}: {CVE} in demo")],
    );
    host.steadfast(&["patch", "status"])
        .expect(1, &[&format!("{CVE} in demo, {until}")]);
    host.steadfast(&["vulns", "--os-only"])
        .expect(1, &["1 finding in 1 package", until]);
}

/// An upgrade by another hand is told by dpkg's log.
#[test]
fn what_others_upgraded_keeps_a_finding_open_as_well() {
    let Some((host, id)) = host_that_runs() else {
        return;
    };
    host.shell("apt-get -qq -y upgrade >/dev/null 2>&1 && demo | grep -q 2.0");
    let until = format!("until sleeper (process {id}) ends");
    host.steadfast(&["vulns", "--os-only"])
        .expect(1, &["demo 1.0 → 2.0", &until]);
    host.steadfast(&["patch", "status"])
        .expect(1, &[&format!("{CVE} in demo, {until}")]);
    host.shell(&format!(
        "kill {id}; while test -e /proc/{id}; do sleep 0.05; done"
    ));
    let said = host.steadfast(&["vulns", "--os-only"]);
    let said = said.expect(3, &[CLEAN, STALE]);
    assert!(!said.out.contains(CVE), "{said}");
}

/// What others upgraded is ended by restarting who runs it, and everybody else is named. Case 21: a file
/// that a service made for itself and unlinked is no old file, and is not named for ever.
#[test]
fn what_others_upgraded_is_restarted() {
    let Some((host, id)) = host_that_runs() else {
        return;
    };
    let scratch = "import mmap, os, time
for path in ('/tmp/ffi.x', '/var/lib/app.cache'):
    file = open(path, 'w+b'); file.write(b'x' * 4096); file.flush()
    globals()[path] = mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ | (4 if 'ffi' in path else 0))
    os.unlink(path)
time.sleep(3000)
";
    host.write("/root/scratch.py", scratch);
    for (unit, run) in [
        ("first", "/usr/bin/sleeper 3000"),
        ("scratch", "/usr/bin/python3 /root/scratch.py"),
    ] {
        let unit_file = format!("/etc/systemd/system/{unit}.service");
        host.write(&unit_file, format!("[Service]\nExecStart={run}\n"));
    }
    host.shell(
        "systemctl daemon-reload && systemctl start first && \
         if test -x /usr/bin/python3; then systemctl start scratch; \
         until grep -q app.cache /proc/$(systemctl show -P MainPID scratch)/maps; do sleep 0.05; done; fi",
    );
    host.shell("apt-get -qq -y upgrade >/dev/null 2>&1 && demo | grep -q 2.0");
    let said = host.steadfast(&["patch", "status"]);
    let said = said.expect(1, &["first.service runs files that are not there any more"]);
    assert!(!said.out.contains("scratch.service"), "{said}");
    let said = host.steadfast(&["patch", "restart", "--yes"]).expect(
        1,
        &[
            "first.service",
            "sleeper goes on with what it has mapped: it is of no service",
        ],
    );
    assert!(!said.err.contains("scratch"), "{said}");
    host.steadfast(&["history"]).expect(0, &["first.service"]);
    host.shell(&format!(
        "kill {id}; while test -e /proc/{id}; do sleep 0.05; done"
    ));
    host.steadfast(&["patch", "restart", "--yes"])
        .expect(0, &["nothing to restart"]);
    let status = host.steadfast(&["patch", "status"]);
    let status = status.expect(3, &["no upgrade", STALE]);
    assert!(!status.out.contains("runs files"), "{status}");
}

/// Without the log nobody can tell which version it is that still runs: that is unknown, and never
/// clean.
#[test]
fn what_nobody_tells_the_version_of_is_unknown_and_not_closed() {
    let Some((host, id)) = host_that_runs() else {
        return;
    };
    let newer = with_sleeper("3.0");
    host.shell(&format!(
        "apt-get -qq -y upgrade >/dev/null 2>&1 && demo | grep -q 2.0\n\
         {MAKE}{newer}echo again >> $d/usr/bin/sleeper\nmake demo 3.0 ''\nindex\n\
         apt-get -qq -y upgrade >/dev/null 2>&1 && demo | grep -q 3.0"
    ));
    // It runs what was there before both.
    host.steadfast(&["vulns", "--os-only"])
        .expect(1, &["demo 1.0 → 2.0", "a newer version is installed"]);
    // What is left of the log begins with the second.
    host.shell(
        "cd /var/log; mv dpkg.log /root/log; rm -f dpkg.log.1; \
         grep ' upgrade demo:' /root/log | tail -1 > dpkg.log",
    );
    let who = format!("sleeper (process {id}) runs an old file");
    let older = format!("{who} of demo from before dpkg's log begins, perhaps older than 2.0");
    host.steadfast(&["vulns", "--os-only"]).expect(3, &[&older]);
    host.shell("rm /var/log/dpkg.log");
    let untold = format!("{who} of demo, and which version it is is not known");
    for words in [&["vulns", "--os-only"][..], &["vulns", CVE]] {
        host.steadfast(words).expect(3, &[&untold]);
    }
    // Nor is it simply fixed in what is installed.
    let named = host.steadfast(&["vulns", CVE]).expect(3, &[]);
    assert!(
        named.out.contains("demo 3.0") && !named.out.contains("fixed"),
        "{named}"
    );
    host.steadfast(&["patch", "status"]).expect(1, &[&untold]);
    // What is of no package; and what users run from elsewhere is theirs.
    host.shell(&format!(
        "kill {id}; while test -e /proc/{id}; do sleep 0.05; done; for d in /usr/lib /tmp; do \
         cp /bin/sleep $d/old-one; setsid $d/old-one 3000 </dev/null >/dev/null 2>&1 & \
         until grep -q old-one /proc/$!/comm; do sleep 0.05; done; rm $d/old-one; done"
    ));
    let said = host
        .steadfast(&["vulns", "--os-only"])
        .expect(3, &["runs an old file /usr/lib/old-one, which is of no"]);
    assert!(!said.out.contains("/tmp/old-one"), "{said}");
    host.shell(
        "for id in $(pidof old-one); do kill $id; done; while pidof old-one >/dev/null; do sleep 0.05; done",
    );
    let said = host
        .steadfast(&["vulns", "--os-only"])
        .expect(3, &["no finding in what can be told"]);
    assert!(!said.out.contains("old file"), "{said}");
}

/// The same bytes as another file, as an undo puts them back, are no old file.
#[test]
fn what_an_undo_put_back_is_no_old_file() {
    let Some((host, id)) = host_that_runs() else {
        return;
    };
    host.steadfast(&["patch", "apply", "--yes"]).expect(0, &[]);
    let runs = "runs files that are not there any more";
    host.steadfast(&["patch", "status"]).expect(1, &[runs]);
    host.steadfast(&["undo", "last", "--yes"]).expect(0, &[]);
    host.shell(&format!("readlink /proc/{id}/exe | grep -q deleted"));
    let status = host.steadfast(&["patch", "status"]);
    let status = status.expect(1, &["demo 1.0 → 2.0"]);
    assert!(!status.out.contains("sleeper"), "{status}");
    // Another content is one.
    host.shell("cp /bin/true /usr/bin/new && mv /usr/bin/new /usr/bin/sleeper");
    host.steadfast(&["patch", "status"])
        .expect(1, &[runs, "/usr/bin/sleeper"]);
}

/// What was interrupted comes first everywhere, with the command that ends it; and its findings are
/// open until then.
#[test]
fn what_was_interrupted_is_told_everywhere() {
    const WAITS: &str = "test ! -d /run/systemd/system || sleep 300";
    let Some(host) = host_with_pending(WAITS) else {
        return;
    };
    feed_of(&host, "2.0");
    host.shell(&format!(
        "{PROGRAM} patch apply --yes > /run/said 2>&1 & \
         until grep -qs 2.0 /usr/share/demo/version && pidof sleep; do sleep 0.1; done; \
         {PROGRAM} patch status > /run/status 2>&1; \
         {PROGRAM} history > /run/history 2>&1; \
         {PROGRAM} recover --wait 5s > /run/recover 2>&1; \
         kill -9 $(pidof {PROGRAM} apt-get dpkg sleep) 2>/dev/null; \
         for p in /proc/[0-9]*; do case $(cat $p/comm) in demo.postinst) kill -9 ${{p#/proc/}};; \
           esac; done; true"
    ));
    let at_work = host.shell("cat /run/status");
    assert!(
        at_work.contains("is at work now (being applied"),
        "{at_work}"
    );
    assert!(!at_work.contains("steadfast recover"), "{at_work}");
    let history = host.shell("cat /run/history");
    assert!(history.contains("; at work now"), "{history}");
    assert!(!history.contains("steadfast recover"), "{history}");
    let recover = host.shell("cat /run/recover");
    assert!(
        recover.contains("is at work (being applied): waiting for it"),
        "{recover}"
    );
    host.wait_for("! pidof apt-get dpkg", Duration::from_secs(30));

    let id = host.shell(&format!(
        "{PROGRAM} history --format json | grep -o '\"c-[0-9]*\"' | tr -d '\"' | head -1"
    ));
    let interrupted = format!(
        "change {} was interrupted while it was being applied",
        id.trim()
    );
    let status = host.steadfast(&["patch", "status"]).expect(
        1,
        &[
            "next steadfast recover",
            &format!("{CVE} in demo, since change {} is not finished", id.trim()),
            "overdue",
        ],
    );
    assert!(status.out.starts_with(&interrupted), "{status}");
    let (_, value) = json(&host, &["patch", "status"]);
    assert_eq!(value["unfinished"][0]["state"], "applying");
    assert_eq!(value["unfinished"][0]["command"], "steadfast recover");
    assert_eq!(names(&value["overdue"]), [CVE]);
    host.steadfast(&["vulns", "--os-only"]).expect(
        1,
        &[
            "1 finding in 1 package",
            "is not finished",
            "next steadfast recover",
        ],
    );
    host.steadfast(&["history"]).expect(
        0,
        &[
            "not finished: steadfast recover ends it",
            "next steadfast recover",
        ],
    );
    for words in [&["patch", "plan"][..], &["patch", "plan", "--repair"]] {
        let said = host
            .steadfast(words)
            .expect(1, &[&interrupted, "steadfast recover"]);
        assert!(!said.err.contains("plan --repair"), "{said}");
    }
    // What changes something ends it first.
    host.steadfast(&["patch", "apply", "--yes", "--limit", "5s"])
        .expect(4, &[&format!("change {}: taken back", id.trim())]);
    let status = host.steadfast(&["patch", "status"]);
    let status = status.expect(1, &["demo 1.0 → 2.0"]);
    assert!(!status.out.contains("interrupted"), "{status}");
    host.shell("test -z \"$(dpkg --audit)\"");
}

/// Of the security updates, those that close what is due.
#[test]
fn only_security_and_a_deadline_go_together() {
    let Some(host) = host_with_pending("") else {
        return;
    };
    feed_of(&host, "2.0");
    let both = ["--only", "security", "--deadline-within", "14d"];
    host.steadfast(&[&["patch", "plan"], &both[..]].concat())
        .expect(
            1,
            &[
                "demo 1.0 → 2.0",
                "steadfast patch apply --only security --deadline-within 14d",
            ],
        );
    host.steadfast(&[&["patch", "status"], &both[..]].concat())
        .expect(
            1,
            &[
                "1 upgrade, 1 of them for security",
                "next steadfast patch plan --only security --deadline-within 14d",
            ],
        );
    // The same package from an archive that is none for security, where there is none that is: which of
    // them are for security can't be told then.
    host.shell(
        "sed -i 's/Security/Updates/; s/security/updates/' /srv/archive/Release; \
         apt-get -qq update --allow-releaseinfo-change",
    );
    host.steadfast(&["patch", "plan", "--deadline-within", "14d"])
        .expect(1, &["demo 1.0 → 2.0"]);
    host.steadfast(&[&["patch", "plan"], &both[..]].concat())
        .expect(
            1,
            &[
                "nothing that is known is to be done",
                "none of apt's sources says so of itself",
                "no pending security update closes these",
            ],
        );
    host.steadfast(&[&["patch", "status"], &both[..]].concat())
        .expect(1, &["no upgrade of those that were asked for"]);
}
