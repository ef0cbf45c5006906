//! Power cuts of an emulated machine while a plan is carried out: after the boot and the
//! recovery, the tree is exactly as before or exactly as planned. A kill leaves the kernel's
//! caches to be written; only a power cut shows that what was called durable is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::CrashPoints;
use lab::{Disk, Exec, Machine, Release, Requirements};
use model::ChangeState;

use crate::bench::{Bench, assert_same, skip, timeless};
use crate::change_crash::{self, effects};

/// Which half of the test a process plays: `make`, `apply` or `check`, and the folder.
const PART: &str = "STEADFAST_TEST_POWER";
const COPY: &str = "/opt/it";
const FOLDER: &str = "/srv/power";

/// Moments at which the power goes, in milliseconds after the start of the apply: an
/// emulated machine needs one to two seconds for it.
const MOMENTS_MS: [u64; 10] = [50, 200, 350, 500, 650, 800, 1000, 1300, 1700, 2200];

#[test]
fn the_power_goes_while_a_plan_is_carried_out() {
    if let Err(why) = lab::wanted(
        std::env::var_os("STEADFAST_LAB").as_deref(),
        Requirements::Machines,
    ) {
        return skip(&why.to_string());
    }
    let cache = std::env::var_os("STEADFAST_LAB_CACHE")
        .map_or_else(|| lab::DEFAULT_CACHE.into(), PathBuf::from);
    let disk = Disk::build(Release::Bookworm, &cache, &mut |_| {}).expect("a disk");
    let mut machine = Machine::start(&disk).expect("a machine boots");
    let this = std::env::current_exe().expect("this program");
    machine.copy_in(&this, COPY).expect("copied");
    let part = |what: &str, number: usize| {
        Exec::new([
            COPY,
            "--exact",
            "change_power::inside",
            "--ignored",
            "--nocapture",
        ])
        .env(PART, format!("{what} {FOLDER}-{number}"))
        .limit(Duration::from_secs(120))
    };
    let mut ends = Vec::new();
    for (number, moment_ms) in MOMENTS_MS.into_iter().enumerate() {
        machine
            .exec(&part("make", number))
            .and_then(lab::Output::ok)
            .expect("made");
        machine.shell("sync").expect("synced");
        let running = machine
            .spawn(&part("apply", number))
            .expect("the apply starts");
        std::thread::sleep(Duration::from_millis(moment_ms));
        machine.power_cut();
        let _ = running.kill();
        machine.boot().expect("it boots again");
        let said = machine
            .exec(&part("check", number))
            .and_then(lab::Output::ok)
            .unwrap_or_else(|error| panic!("after {moment_ms} ms: {error:?}"));
        let end = said
            .lines()
            .find(|line| line.starts_with("it is "))
            .expect("a word");
        ends.push(format!("{moment_ms} ms: {end}"));
    }
    say(&ends.join("\n"));
}

#[expect(clippy::print_stdout, reason = "which moments met which state")]
fn say(text: &str) {
    println!("{text}");
}

/// In the machine.
#[test]
#[ignore = "played in a machine by the test above"]
fn inside() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let (what, folder) = part.split_once(' ').expect("two words");
    let folder = Path::new(folder);
    if what == "make" {
        std::fs::create_dir_all(folder).expect("made");
        drop(Bench::inside(folder).open());
        return;
    }
    let bench = Bench::at(&folder.join("root"), &folder.join("state"));
    if what == "apply" {
        bench.apply(&bench.plan(effects())).expect("applied");
        return;
    }
    // A fresh bench is what this one was before.
    let before = Bench::new().snapshot();
    let recovered = bench.recover(&CrashPoints::none());
    let now = bench.snapshot();
    let last = bench.open().history().expect("a history").pop();
    match last.map(|change| change.state) {
        Some(ChangeState::Committed) => {
            assert_same(&change_crash::planned(), &timeless(&now), "as planned");
            say("it is as planned");
        }
        None | Some(ChangeState::RolledBack) => {
            assert_same(&before, &now, &format!("as before: {recovered:?}"));
            say("it is as before");
        }
        other => panic!("{other:?}: {recovered:?}"),
    }
}
