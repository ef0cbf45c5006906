//! Power cuts of an emulated machine while the real program applies and undoes a role of many
//! kinds: after the boot, at which the installed unit recovers by itself, the host is exactly
//! as before or exactly as planned. A kill leaves the kernel's caches to be written; only a
//! power cut shows that what was called durable is.
//!
//! One machine for all cuts, since a boot is what's dear. The cut comes when something of the
//! change can be seen on the machine, and a moment later that a seed decides: an emulated
//! machine on a busy one takes ten times as long as on an idle one, so a clock would cut
//! before or after everything.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lab::{Difference, Disk, Exec, Machine, Release, Requirements, Snapshot};

use crate::booted::{POLICY, PROGRAM, cache, lab_is_wanted, listed};
use crate::many_kinds::{
    APPLY, ARRANGED, End, MILESTONES, Moments, RUNNING, TEMPLATE, UNDO, role, rounds,
};

/// Where the role changes something; hashing the rest would take an emulated machine minutes.
const WATCHED: [&str; 3] = ["/etc", "/home", "/usr/lib/systemd/system"];

/// What a boot writes itself, beside the change: systemd's and ifupdown's own notes.
pub const BOOT_WRITES: [&str; 4] = [
    "/etc/resolv.conf",
    "/etc/.updated",
    "/etc/machine-id",
    "/etc/fake-hwclock.data",
];

/// From what can be seen to the cut: as long as a few actions take there.
const JITTER_MS: u64 = 400;

/// What a boot spends its time on, emulated, and this test does not need.
pub const SPARED: &str = "systemctl mask --quiet apparmor auditd e2scrub_reap rsyslog cron \
    unattended-upgrades systemd-timesyncd systemd-logind getty@tty1 serial-getty@ttyS0 \
    apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer dpkg-db-backup.timer \
    dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    modprobe@drm modprobe@efi_pstore modprobe@configfs modprobe@dm_mod modprobe@loop && sync";

/// The program without what a debugger reads, which is half of its size.
pub fn stripped() -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("steadfast-stripped");
    let strip = std::process::Command::new("strip")
        .arg("-o")
        .arg(&program)
        .arg(env!("CARGO_BIN_EXE_steadfast"))
        .status();
    assert!(strip.is_ok_and(|status| status.success()), "strip(1) works");
    program
}

/// Runs a test of emulated machines, and once more if it failed with a crash of the emulator
/// itself, which has been seen and says nothing of what is tested.
pub fn on_machines(test: impl Fn()) {
    let before = lab::emulator_crashes();
    let Err(failed) = catch_unwind(AssertUnwindSafe(&test)) else {
        return;
    };
    if lab::emulator_crashes() == before {
        resume_unwind(failed);
    }
    say("the emulator crashed: once more from the beginning");
    test();
}

/// A debug build, emulated, on a machine that does other things as well.
pub const EMULATED: Duration = Duration::from_secs(300);

struct Scene {
    machine: Machine,
    before: Look,
    planned: Look,
}

struct Look {
    files: Snapshot,
    running: String,
}

impl Look {
    fn at(machine: &Machine) -> Self {
        let files = machine.snapshot(&WATCHED).expect("it can be looked at");
        let running = run(machine, &Exec::shell(RUNNING), 0);
        Self { files, running }
    }

    /// What differs, with or without the times of what was written.
    fn differs(&self, other: &Self, times: bool) -> String {
        let mut found = lab::diff(&self.files, &other.files, &BOOT_WRITES);
        found.retain(|found| times || !Difference::is_only_mtime(found));
        let mut text = listed(&found);
        if self.running != other.running {
            text += &format!("\n{}\ninstead of\n{}", other.running, self.running);
        }
        text
    }
}

#[track_caller]
pub fn run(machine: &Machine, exec: &Exec, code: i32) -> String {
    let output = machine.exec(&exec.clone().limit(EMULATED));
    let output = output.expect("it ends");
    assert_eq!(output.code(), Some(code), "{exec:?}: {output:?}");
    format!("{}{}", output.text(), output.errors())
}

pub fn steadfast(words: &[&str]) -> Exec {
    Exec::new(std::iter::once(PROGRAM).chain(words.iter().copied()))
}

impl Scene {
    fn new() -> Option<Self> {
        if !lab_is_wanted(Requirements::Machines) {
            return None;
        }
        let disk = Disk::build(Release::Bookworm, &cache(), &mut |_| {}).expect("a disk");
        let machine = Machine::start(&disk).expect("a machine boots");
        machine.copy_in(stripped(), PROGRAM).expect("copied");
        run(&machine, &Exec::shell(SPARED), 0);
        run(&machine, &Exec::shell(ARRANGED), 0);
        for (path, text) in [
            ("kinds.yaml", role(true)),
            ("site.conf.j2", TEMPLATE.to_owned()),
        ] {
            let path = format!("{POLICY}/roles/{path}");
            machine.write_file(&path, text).expect("written");
        }
        run(&machine, &steadfast(&["recover", "--install"]), 0);
        let before = Look::at(&machine);
        apply(&machine);
        let planned = Look::at(&machine);
        assert_ne!(before.running, planned.running, "the role is in effect");
        undo(&machine);
        let scene = Self {
            machine,
            before,
            planned,
        };
        let undone = Look::at(&scene.machine);
        let found = scene.before.differs(&undone, true);
        assert!(found.is_empty(), "an undo in peace: {found}");
        Some(scene)
    }

    /// Boots; the unit recovers by itself. Gives the end, after comparing everything.
    fn boot(&mut self, when: &str) -> End {
        let began = Instant::now();
        let newest = boot(&mut self.machine, when);
        let took = began.elapsed();
        let now = Look::at(&self.machine);
        let (end, found) = match &*newest {
            // Nobody confirmed it before the machine restarted: an apply goes back, and the
            // change whose undo it was is in effect again.
            "rolled_back" | "undone" => (End::Before, self.before.differs(&now, true)),
            "committed" => (End::Planned, self.planned.differs(&now, false)),
            other => panic!("{when}: {other}"),
        };
        assert!(found.is_empty(), "{when}: not as {end:?}: {found}");
        run(&self.machine, &steadfast(&["recover"]), 0);
        say(&format!("{when}: {end:?}, up after {took:?}"));
        end
    }
}

/// Starts the program and cuts the power `delay` after `milestone` came true.
pub fn cut_at(machine: &mut Machine, words: &[&str], milestone: &str, delay: Duration) {
    // What was done before is on the disk, the interrupted work alone is in question.
    run(machine, &Exec::shell("sync"), 0);
    // The machine itself waits, and then says so: asking from outside takes a second.
    let line = format!(
        "{PROGRAM} {} > /run/said 2>&1 & pid=$!
        while [ -e /proc/$pid/exe ] && ! {{ {milestone}; }}; do sleep 0.01; done
        echo seen; wait $pid",
        words.join(" ")
    );
    let exec = Exec::shell(&line).limit(EMULATED);
    let mut running = machine.spawn(&exec).expect("it starts");
    running
        .wait_for_word("seen", EMULATED)
        .expect("seen, or over");
    std::thread::sleep(delay);
    machine.power_cut();
    drop(running);
}

/// Boots; the unit recovers by itself. Gives the newest change's state.
pub fn boot(machine: &mut Machine, when: &str) -> String {
    machine.boot().expect("it boots again");
    let unit = "systemctl show -p Result -p ExecMainStatus steadfast-recover.service";
    let unit = run(machine, &Exec::shell(unit), 0);
    assert!(unit.contains("Result=success"), "{when}: {unit}");
    let history = run(machine, &steadfast(&["history", "--format", "json"]), 0);
    let history: serde_json::Value = serde_json::from_str(&history).expect("JSON");
    let newest = history["changes"][0]["state"].as_str().expect("a state");
    newest.to_owned()
}

fn apply(machine: &Machine) {
    run(machine, &steadfast(&APPLY), 0);
    run(machine, &steadfast(&["confirm", "last", "--unproven"]), 0);
}

fn undo(machine: &Machine) {
    run(machine, &steadfast(&UNDO), 0);
    run(machine, &steadfast(&["confirm", "last", "--unproven"]), 0);
}

#[expect(clippy::print_stdout, reason = "which moments met which end")]
pub fn say(text: &str) {
    println!("{text}");
}

#[test]
fn the_power_goes_during_an_apply_and_during_an_undo() {
    on_machines(an_apply_and_an_undo);
}

fn an_apply_and_an_undo() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let mut moments = Moments::seeded();
    let mut draw = || {
        let milestone = MILESTONES[moments.below(MILESTONES.len() as u64) as usize];
        (milestone, Duration::from_millis(moments.below(JITTER_MS)))
    };
    // In this order a cut leaves what the next one starts from: an apply that nobody confirmed
    // goes back, and an undo that nobody confirmed leaves the change in effect.
    let mut at = End::Before;
    for round in 0..rounds(1, 10) {
        if at == End::Planned {
            undo(&scene.machine);
        }
        let (milestone, delay) = draw();
        let when = format!("apply {round}, {delay:?} after {milestone}");
        cut_at(&mut scene.machine, &APPLY, milestone, delay);
        at = scene.boot(&when);
    }
    for round in 0..rounds(1, 10) {
        if at == End::Before {
            apply(&scene.machine);
        }
        let (milestone, delay) = draw();
        let gone = format!("! {{ {milestone}; }}");
        let when = format!("undo {round}, {delay:?} after not {milestone}");
        cut_at(&mut scene.machine, &UNDO, &gone, delay);
        at = scene.boot(&when);
    }
}
