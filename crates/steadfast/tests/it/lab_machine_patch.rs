//! Power cuts of an emulated machine in the middle of an upgrade of packages and of its undo:
//! after the boot, at which the installed unit recovers by itself, every file that the upgrade
//! writes, dpkg's database among them, is exactly old or exactly new.

use std::time::Duration;

use lab::{Difference, Disk, Exec, Machine, Release, Requirements, Snapshot};

use crate::booted::{PROGRAM, cache, lab_is_wanted, listed};
use crate::lab_machine_power::{
    BOOT_WRITES, EMULATED, SPARED, boot, cut_at, on_machines, run, say, steadfast, stripped,
};
use crate::lab_patch::{MAKE, demo};
use crate::lab_patch_reboot::{MAPPED, library};
use crate::many_kinds::{Moments, all_is_wanted, rounds};

/// Where the upgrade writes.
const WATCHED: [&str; 4] = ["/etc", "/usr/share/demo", "/usr/bin", "/var/lib/dpkg"];
const APPLY: [&str; 3] = ["patch", "apply", "--yes"];
const UNDO: [&str; 3] = ["undo", "last", "--yes"];

/// What can be seen of an upgrade, from its first unpacked file to its end.
const SEEN: [&str; 4] = [
    "test -e /var/lib/dpkg/tmp.ci/control",
    "test -e /usr/share/demo/new.dpkg-new || test -e /usr/share/demo/new",
    "grep -q 2.0 /usr/share/demo/version",
    "test -e /var/lib/demo-state",
];

/// From what can be seen to the cut.
const JITTER_MS: u64 = 600;

fn look(machine: &Machine) -> Snapshot {
    machine.snapshot(&WATCHED).expect("it can be looked at")
}

/// What the recovery at boot said, and what it came to.
fn told(machine: &Machine) -> String {
    let line = format!(
        "journalctl --boot --unit=steadfast-recover --output=cat --no-pager; {PROGRAM} show last"
    );
    match machine.exec(&Exec::shell(&line).limit(EMULATED)) {
        Ok(output) => format!("{}{}", output.text(), output.errors()),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn expect_same_after(then: &Snapshot, machine: &Machine, times: bool, when: &str) {
    let found = differences(then, &look(machine), times);
    if !found.is_empty() {
        panic!("{when}:\n{}\n{}", listed(&found), told(machine));
    }
}

#[track_caller]
fn expect_same(then: &Snapshot, now: &Snapshot, times: bool, when: &str) {
    let found = differences(then, now, times);
    assert!(found.is_empty(), "{when}:\n{}", listed(&found));
}

fn differences(then: &Snapshot, now: &Snapshot, times: bool) -> Vec<Difference> {
    let mut found = lab::diff(then, now, &BOOT_WRITES);
    found.retain(|found| times || !Difference::is_only_mtime(found));
    // dpkg's copy of what its database was before that.
    found.retain(|found| times || !found.path.ends_with("status-old"));
    found
}

/// A rehearsal's programs are in a control group with limits, which goes with them, as the folder
/// of its layers does.
#[track_caller]
fn rehearsed_in_bounds(machine: &Machine) {
    let watched = format!(
        "{PROGRAM} patch plan > /run/said 2>&1 & plan=$!; \
         cd /sys/fs/cgroup; while kill -0 $plan 2>/dev/null; do \
           cat steadfast-rehearsal-*/pids.max 2>/dev/null; \
           grep -qs . steadfast-rehearsal-*/cgroup.procs && echo inside; \
         done | sort -u; cat /run/said; \
         ls -d steadfast-rehearsal-* /var/lib/steadfast/rehearsal 2>&1"
    );
    let said = run(machine, &Exec::shell(&watched), 2);
    for wanted in ["1024\n", "inside\n", "made on disk", "demo 1.0"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

#[test]
fn the_power_goes_during_an_upgrade_and_during_its_undo() {
    on_machines(|| the_power_goes(Release::Bookworm, rounds(1, 6), rounds(1, 6)));
}

#[test]
fn the_power_goes_during_an_upgrade_on_debian_13() {
    // A boot is dear, and the other release shows the same in each run.
    if !all_is_wanted() {
        return;
    }
    on_machines(|| the_power_goes(Release::Trixie, rounds(1, 4), rounds(0, 4)));
}

fn the_power_goes(release: Release, upgrades: u32, undoes: u32) {
    if !lab_is_wanted(Requirements::Machines) {
        return;
    }
    let disk = Disk::build(release, &cache(), &mut |_| {}).expect("a disk");
    let mut machine = Machine::start(&disk).expect("a machine boots");
    machine.copy_in(stripped(), PROGRAM).expect("copied");
    run(&machine, &Exec::shell(SPARED), 0);
    let old = demo("1.0", "echo old > $d/usr/share/demo/old");
    let new = demo(
        "2.0",
        "head -c 3000000 /dev/urandom > $d/usr/share/demo/new",
    );
    let script = "sleep 0.3; echo state > /var/lib/demo-state; sleep 0.3";
    let made =
        format!("{MAKE}{old}make demo 1.0 ''\nindex\napt-get -qq -y install demo >/dev/null\n");
    run(&machine, &Exec::shell(&made), 0);
    // So much that the copy's layers lie on the disk, and not in memory.
    let make = MAKE.replace("Installed-Size: 64", "Installed-Size: 400000");
    let made = format!("{make}{new}make demo 2.0 '{script}'\nindex\nsync");
    run(&machine, &Exec::shell(&made), 0);
    run(&machine, &steadfast(&["recover", "--install"]), 0);
    let before = look(&machine);
    rehearsed_in_bounds(&machine);
    expect_same(&before, &look(&machine), true, "a plan");
    let mut moments = Moments::seeded();
    let mut planned = None;
    for round in 0..upgrades {
        let seen = SEEN[moments.below(SEEN.len() as u64) as usize];
        let delay = Duration::from_millis(moments.below(JITTER_MS));
        let when = format!("upgrade {round}, {delay:?} after {seen}");
        cut_at(&mut machine, &APPLY, seen, delay);
        let state = boot(&mut machine, &when);
        say(&format!("{when}: {state}"));
        match &*state {
            "rolled_back" => expect_same_after(&before, &machine, true, &when),
            // It was over before the cut.
            "committed" => {
                run(&machine, &steadfast(&UNDO), 0);
                expect_same_after(&before, &machine, true, &when);
            }
            other => panic!("{when}: {other}"),
        }
    }
    for round in 0..undoes {
        run(&machine, &steadfast(&APPLY), 0);
        let planned = planned.get_or_insert_with(|| look(&machine));
        let delay = Duration::from_millis(moments.below(3 * JITTER_MS));
        let when = format!("undo {round}, {delay:?} after it began");
        cut_at(&mut machine, &UNDO, "grep -q taking /run/said", delay);
        let state = boot(&mut machine, &when);
        say(&format!("{when}: {state}"));
        match &*state {
            "undone" => expect_same_after(&before, &machine, true, &when),
            "committed" => {
                expect_same_after(planned, &machine, false, &when);
                run(&machine, &steadfast(&UNDO), 0);
                expect_same_after(&before, &machine, true, &when);
            }
            other => panic!("{when}: {other}"),
        }
    }
    run(
        &machine,
        &Exec::shell("test -z \"$(dpkg --audit)\" && demo"),
        0,
    );
    restarts_for_a_patch(&mut machine);
}

/// A real restart of a machine for what dbus goes on with, and the look at it when it is up.
fn restarts_for_a_patch(machine: &mut Machine) {
    let installs = "apt-get -qq -y install library >/dev/null";
    let made = format!("{MAKE}{}{installs}; {MAPPED}\n", library("library", "1"));
    run(machine, &Exec::shell(&made), 0);
    let made = format!("{MAKE}{}sync", library("library", "2"));
    run(machine, &Exec::shell(&made), 0);
    let boot = "cat /proc/sys/kernel/random/boot_id";
    let before = run(machine, &Exec::shell(boot), 0);
    let apply = [
        "patch",
        "apply",
        "--package",
        "library",
        "--reboot",
        "--yes",
    ];
    let said = run(machine, &steadfast(&apply), 0);
    assert!(said.contains("the machine is restarted now"), "{said}");
    machine.restarts_itself().expect("it is up again");
    assert_ne!(run(machine, &Exec::shell(boot), 0), before);
    let seen = format!(
        "for _ in $(seq 300); do {PROGRAM} show last | tr -s ' \\n' ' ' | \
         grep -q 'the host was well after it' && exit 0; sleep 1; done; {PROGRAM} show last; exit 1"
    );
    run(
        machine,
        &Exec::shell(&seen).limit(Duration::from_secs(400)),
        0,
    );
    say("restarted for a patch, and looked at");
}
