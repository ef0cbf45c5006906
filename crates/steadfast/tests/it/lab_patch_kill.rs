//! `kill -9` of the real program in the middle of an upgrade of packages, of its undo and of
//! the recovery: afterwards the host is exactly old or exactly new, whatever dpkg was doing.
//!
//! The moments are of two kinds. By the clock, with or without what the program started; that
//! meets apt and dpkg at work. And by what the program makes durable: each transition of the
//! journal waits for the disk, so a kill a moment after the n-th such wait, for n spread evenly
//! over all of them, meets every state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::{Exec, Image, Options, Pending, Release, Snapshot, Update};

use crate::booted::{APPLY_KEPT, Host, LIMIT, PROGRAM, UNDO_KEPT, cache, differences, listed};
use crate::lab_machine_power::say;
use crate::lab_patch::{expect_same, make_pending};
use crate::many_kinds::{Moments, all_is_wanted, rounds, todays_updates_are_wanted};

/// Nobody waits for the confirmation that some of Debian's updates want.
const APPLY: [&str; 4] = ["patch", "apply", "--yes", "--detach"];
const UNDO: [&str; 4] = ["undo", "last", "--yes", "--detach"];
const RECOVER: [&str; 1] = ["recover"];

/// Loaded before libc into the program, and into nothing that it starts (these get an empty
/// environment): kills it `STEADFAST_DIE_AFTER_US` after it waited for the disk
/// `STEADFAST_DIE_AT` times, and writes how often it did where it came to its end.
const DIES: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static long at, after_us, seen;
static pid_t itself;
__attribute__((constructor)) static void begin(void) {
  at = atol(getenv("STEADFAST_DIE_AT") ?: "0");
  after_us = atol(getenv("STEADFAST_DIE_AFTER_US") ?: "0");
  itself = getpid();
}
static void waited(void) {
  if (getpid() != itself || __sync_add_and_fetch(&seen, 1) != at) return;
  if (after_us == 0) kill(itself, SIGKILL);
  struct sigevent dies = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
  struct itimerspec then = {
    .it_value = { after_us / 1000000, after_us % 1000000 * 1000 } };
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &dies, &timer) || timer_settime(timer, 0, &then, 0)) abort();
}
#define WAITS(NAME) int NAME(int file) { \
  static int (*real)(int); \
  if (!real) real = dlsym(RTLD_NEXT, #NAME); \
  int result = real(file); \
  waited(); \
  return result; \
}
WAITS(fsync) WAITS(fdatasync) WAITS(syncfs)
__attribute__((destructor)) static void end(void) {
  if (getpid() != itself) return;
  char text[32];
  int length = snprintf(text, sizeof text, "%ld", seen);
  int file = open("/run/waits", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (write(file, text, length) != length) abort();
}
"#;

/// The library above, built. It is part of a test, so a C compiler is asked for there only.
pub fn dies() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let name = format!("dies-{}", std::process::id());
    let source = folder.join(&name).with_extension("c");
    let library = folder.join(&name).with_extension("so");
    std::fs::write(&source, DIES).expect("written");
    let built = std::process::Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.is_ok_and(|status| status.success()), "cc(1) works");
    library
}

/// A host with an upgrade pending, and what it looks like without it and with it.
struct Scene {
    host: Host,
    before: Snapshot,
    planned: Snapshot,
    versions: [String; 2],
    /// Which states were interrupted, how often.
    met: BTreeMap<String, u32>,
    /// How many ended old, and how many new.
    ended: [u32; 2],
}

const VERSIONS: &str = "dpkg-query -W; apt-mark showauto";

impl Scene {
    /// With the updates of the distribution, where these are wanted, and one of the test's own.
    fn new(release: Release, with_updates: bool) -> Option<Self> {
        let host = Host::on(release, Options::default())?;
        host.steadfast(&["recover", "--install"]).expect(0, &[]);
        host.container.copy_in(dies(), LIBRARY).expect("copied");
        if with_updates {
            let updates = really_pending(&host, release);
            say(&format!("with these of Debian: {updates:?}"));
        }
        make_pending(&host, "sleep 0.1; echo state > /var/lib/demo-state");
        let before = host.snapshot();
        let old = host.shell(VERSIONS);
        host.steadfast_confirmed(&APPLY, APPLY_KEPT).expect(0, &[]);
        let planned = host.snapshot();
        let new = host.shell(VERSIONS);
        assert_ne!(old, new);
        host.steadfast_confirmed(&UNDO, UNDO_KEPT).expect(0, &[]);
        expect_same(&host, &before);
        Some(Self {
            host,
            before,
            planned,
            versions: [old, new],
            met: BTreeMap::new(),
            ended: [0, 0],
        })
    }

    /// The state of the newest change.
    fn newest(&self) -> String {
        let said = self.host.steadfast(&["history", "--format", "json"]);
        let said = said.expect(0, &[]);
        let history: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        let state = history["changes"][0]["state"].as_str();
        state.expect("a state").to_owned()
    }

    /// Confirms what waits for it.
    fn confirm(&self) {
        if self.newest().starts_with("awaiting_") {
            self.host.steadfast(&["confirm", "last"]).expect(0, &[]);
        }
    }

    /// Notes what was interrupted, recovers, and compares. The host is old again afterwards.
    /// Gives the state that was interrupted.
    fn recover(&mut self, when: &str) -> String {
        let interrupted = self.newest();
        *self.met.entry(interrupted.clone()).or_default() += 1;
        let when = format!("{when}, {interrupted}");
        let said = self.host.steadfast(&RECOVER);
        assert!(matches!(said.code, Some(0 | 4)), "{when}: {said}");
        self.confirm();
        self.host.shell("test -z \"$(dpkg --audit)\"");
        let versions = self.host.shell(VERSIONS);
        let [old, new] = &self.versions;
        if versions == *old {
            self.ended[0] += 1;
        } else {
            assert_eq!(versions, *new, "{when}: {said}");
            self.ended[1] += 1;
            let mut found = differences(&self.planned, &self.host.snapshot());
            // Another time the same was done: ldconfig's cache has times in it as well.
            found.retain(|found| !found.path.starts_with("/var/cache"));
            found.retain(|found| !found.is_only_mtime());
            // dpkg's own copy of what its database was before.
            found.retain(|found| !found.path.starts_with("/var/lib/dpkg/status-old"));
            assert!(
                found.is_empty(),
                "{when}: not as planned:\n{}",
                listed(&found)
            );
            self.host
                .steadfast_confirmed(&UNDO, UNDO_KEPT)
                .expect(0, &[]);
        }
        let mut found = differences(&self.before, &self.host.snapshot());
        found.retain(|found| !found.path.starts_with("/var/cache/apt"));
        assert!(
            found.is_empty(),
            "{when}: not as it was:\n{}\n{said}",
            listed(&found)
        );
        interrupted
    }

    fn say(&self) {
        let [old, new] = self.ended;
        say(&format!(
            "{old} ended old, {new} ended new; interrupted: {:?}",
            self.met
        ));
    }
}

/// Puts what Debian published since the release into the host's archive.
fn really_pending(host: &Host, release: Release) -> Vec<Update> {
    let mut hear = |said: &str| say(said);
    let image = Image::build(release, &cache(), &mut hear).expect("it is there");
    let pending = Pending::fetch(&image, &[], &mut hear).expect("archives answer");
    for path in pending.after().expect("a folder") {
        let to = Path::new("/srv/archive").join(path.file_name().expect("a file"));
        host.container.copy_in(&path, to).expect("copied");
    }
    pending.updates().to_vec()
}

/// Kills the program after a time, and with it all that it started or only itself.
fn kill_after(host: &Host, words: &[&str], delay_ms: u64, with_children: bool) {
    let kill = match with_children {
        true => format!("kill -9 $pid; {KILL_CHILDREN}"),
        false => "kill -9 $pid".to_owned(),
    };
    let line = format!(
        "{PROGRAM} {} > /run/said 2>&1 & pid=$!; sleep {:.3}; {{ {kill}; }} 2>/dev/null; wait $pid; true",
        words.join(" "),
        Duration::from_millis(delay_ms).as_secs_f32()
    );
    host.shell(&line);
}

const KILL_CHILDREN: &str = "for p in /proc/[0-9]*; do case $(cat $p/comm) in \
     apt-get|dpkg|dpkg-deb|demo.postinst|sleep) kill -9 ${p#/proc/};; esac; done";

#[test]
fn killed_anywhere_it_ends_old_or_new() {
    let Some(mut scene) = Scene::new(Release::Bookworm, false) else {
        return;
    };
    let mut moments = Moments::seeded();
    for round in 0..rounds(12, 60) {
        let with_children = round % 2 == 0;
        // An upgrade of one package takes about two seconds here, its undo half of one.
        let undoes = round % 3 == 2;
        if undoes {
            scene
                .host
                .steadfast_confirmed(&APPLY, APPLY_KEPT)
                .expect(0, &[]);
        }
        let (words, most_ms): (&[&str], u64) = match undoes {
            true => (&UNDO, 700),
            false => (&APPLY, 2500),
        };
        let delay_ms = moments.below(most_ms);
        kill_after(&scene.host, words, delay_ms, with_children);
        scene.recover(&format!(
            "{words:?} killed after {delay_ms} ms, children too: {with_children}"
        ));
    }
    scene.say();
}

pub const LIBRARY: &str = "/opt/dies.so";

/// Runs the program until it has waited for the disk `at` times, and `after_us` longer. Gives
/// how often it waited when it came to its end before.
pub fn die_at(host: &Host, words: &[&str], at: u64, after_us: u64) -> Option<u64> {
    let line = format!(
        "rm -f /run/waits; LD_PRELOAD={LIBRARY} STEADFAST_DIE_AT={at} \
         STEADFAST_DIE_AFTER_US={after_us} {PROGRAM} {} > /run/said 2>&1; echo $?; \
         cat /run/waits 2>/dev/null; true",
        words.join(" ")
    );
    let output = host.container.exec(&Exec::shell(&line).limit(LIMIT));
    let said = output.expect("the shell ends").text();
    let mut lines = said.lines();
    match lines.next() {
        Some("137") => None,
        Some("0" | "4") => Some(lines.next().expect("a number").parse().expect("a number")),
        other => panic!(
            "{words:?} ended with {other:?}: {}",
            host.shell("cat /run/said")
        ),
    }
}

/// The states that an upgrade passes through, in this order.
const PASSED: [&str; 4] = ["planned", "imaged", "applying", "validating"];

/// How far an apply had come that was killed: in one of these states, or before or after them.
fn reached(state: &str) -> usize {
    let passed = PASSED.iter().position(|passed| *passed == state);
    match (passed, state) {
        (Some(at), _) => at + 1,
        (None, "awaiting_confirmation" | "committed") => PASSED.len() + 1,
        // The change before it is the newest.
        (None, _) => 0,
    }
}

/// From a wait for the disk to the kill, so that what comes after it has begun.
const JITTER_US: u64 = 20_000;

/// With `many` kills of an apply, and `few` each of an undo and of a recovery.
fn killed_in_every_state(release: Release, with_updates: bool, many: u32, few: u32) {
    let Some(mut scene) = Scene::new(release, with_updates) else {
        return;
    };
    let (many, few) = (u64::from(many), u64::from(few));
    let mut moments = Moments::seeded();
    // How often each waits, when nothing happens to it.
    let applies = die_at(&scene.host, &APPLY, 0, 0).expect("it ends");
    scene.confirm();
    let undoes = die_at(&scene.host, &UNDO, 0, 0).expect("it ends");
    scene.confirm();
    say(&format!(
        "an apply waits {applies} times, an undo {undoes} times"
    ));
    let mut spread = |count: u64, all: u64| -> Vec<(u64, u64)> {
        let point = |index: u64| {
            let at = 1 + (index * all + moments.below(all)) / count;
            (at.min(all), index % 2 * moments.below(JITTER_US))
        };
        (0..count).map(point).collect()
    };
    let (apply_at, undo_at, recover_at) = (
        spread(many, applies),
        spread(few, undoes),
        spread(few, undoes),
    );
    let mut met = BTreeMap::from([(0, 0), (applies + 1, PASSED.len() + 1)]);
    let apply = |scene: &mut Scene, at, after_us| {
        let ended = die_at(&scene.host, &APPLY, at, after_us);
        scene
            .host
            .shell(&format!("{{ {KILL_CHILDREN}; }} 2>/dev/null; true"));
        let when = format!("apply, {after_us} us after wait {at}: {ended:?}");
        reached(&scene.recover(&when))
    };
    for (at, after_us) in apply_at {
        let reached = apply(&mut scene, at, after_us);
        if after_us == 0 {
            met.insert(at, reached);
        }
    }
    // A short state may lie between two of these points: it is looked for by halves.
    for wanted in 1..=PASSED.len() {
        while !scene.met.contains_key(PASSED[wanted - 1]) {
            let before = met.iter().rfind(|(_, reached)| **reached < wanted);
            let after = met.iter().find(|(_, reached)| **reached > wanted);
            let (before, after) = (*before.expect("0").0, *after.expect("the end").0);
            let at = before.midpoint(after);
            assert!(
                at > before,
                "{} was never interrupted: {met:?}",
                PASSED[wanted - 1]
            );
            let reached = apply(&mut scene, at, 0);
            met.insert(at, reached);
        }
    }
    for (at, after_us) in undo_at {
        scene
            .host
            .steadfast_confirmed(&APPLY, APPLY_KEPT)
            .expect(0, &[]);
        let ended = die_at(&scene.host, &UNDO, at, after_us);
        scene.recover(&format!("undo, {after_us} us after wait {at}: {ended:?}"));
    }
    // Late in the upgrade, so that there is much to take back.
    let is_late = |reached: usize| ["applying", "validating"].contains(&PASSED[reached - 1]);
    let mut late = met.iter().filter(|(_, reached)| **reached != 0);
    let late = late.rfind(|(_, reached)| **reached <= PASSED.len() && is_late(**reached));
    let late = *late.expect("it was killed there above").0;
    for (at, after_us) in recover_at {
        let ended = die_at(&scene.host, &APPLY, late, 0);
        assert_eq!(ended, None, "it was killed at wait {late} before");
        scene
            .host
            .shell(&format!("{{ {KILL_CHILDREN}; }} 2>/dev/null; true"));
        let ended = die_at(&scene.host, &RECOVER, at, after_us);
        scene.recover(&format!(
            "recover, {after_us} us after wait {at}: {ended:?}"
        ));
    }
    scene.say();
    for state in ["undoing", "rolling_back"] {
        assert!(
            scene.met.contains_key(state),
            "{state} was never interrupted"
        );
    }
}

#[test]
fn killed_in_every_state_of_the_journal() {
    let (many, few) = (rounds(8, 40), rounds(4, 20));
    killed_in_every_state(Release::Bookworm, false, many, few);
}

/// Where today's updates are wanted: with libraries that what runs has mapped.
#[test]
fn killed_in_every_state_of_the_journal_on_debian_13() {
    let (many, few) = (rounds(8, 40), rounds(4, 20));
    killed_in_every_state(Release::Trixie, todays_updates_are_wanted(), many, few);
}

/// Some twenty packages at once take a minute each time.
#[test]
fn killed_among_all_updates_of_debian_12() {
    if !all_is_wanted() {
        return;
    }
    if !todays_updates_are_wanted() {
        return;
    }
    killed_in_every_state(Release::Bookworm, true, 12, 6);
}
