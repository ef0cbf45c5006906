//! `kill -9` of the real program at random moments of an apply, of an undo and of a recovery,
//! on a booted host: afterwards `steadfast recover` leaves it exactly as it was or exactly as
//! planned, and says which.

use std::time::Duration;

use lab::{Difference, Exec, Snapshot};

use crate::booted::{Host, POLICY, PROGRAM, Said, UNDO_KEPT, differences, listed};
use crate::many_kinds::{
    APPLY, ARRANGED, End, MILESTONES, Moments, RUNNING, TEMPLATE, UNDO, role, rounds,
};

/// The longest time between something that can be seen and the kill: past the end of what
/// is at work then, a debug build on a busy machine included.
const JITTER_MS: u64 = 60;

/// A host, and what it looks like without the role and with it.
struct Scene {
    host: Host,
    before: Look,
    planned: Look,
}

/// The files and what runs.
struct Look {
    files: Snapshot,
    running: String,
}

impl Look {
    fn at(host: &Host) -> Self {
        Self {
            files: host.snapshot(),
            running: host.shell(RUNNING),
        }
    }
}

impl Scene {
    fn new(waits: bool) -> Option<Self> {
        let host = Host::installed()?;
        host.shell(ARRANGED);
        host.write(&format!("{POLICY}/roles/kinds.yaml"), role(waits));
        host.write(&format!("{POLICY}/roles/site.conf.j2"), TEMPLATE);
        let before = Look::at(&host);
        apply_in_peace(&host);
        let planned = Look::at(&host);
        assert_ne!(before.running, planned.running, "the role is in effect");
        undo_in_peace(&host);
        let scene = Self {
            host,
            before,
            planned,
        };
        scene.expect_as_before("an undo in peace");
        Some(scene)
    }

    #[track_caller]
    fn expect_as_before(&self, when: &str) {
        let now = Look::at(&self.host);
        let found = differences(&self.before.files, &now.files);
        assert!(
            found.is_empty(),
            "{when}: not as before:\n{}\n{}",
            listed(&found),
            self.told()
        );
        assert_eq!(now.running, self.before.running, "{when}: {}", self.told());
    }

    /// As planned: what was written has the time at which it was written.
    #[track_caller]
    fn expect_as_planned(&self, when: &str) {
        let now = Look::at(&self.host);
        let mut found = differences(&self.planned.files, &now.files);
        found.retain(|found| !Difference::is_only_mtime(found));
        assert!(
            found.is_empty(),
            "{when}: not as planned:\n{}\n{}",
            listed(&found),
            self.told()
        );
        assert_eq!(now.running, self.planned.running, "{when}: {}", self.told());
    }

    fn told(&self) -> Said {
        self.host.steadfast(&["history"])
    }

    /// The newest change's number and state, as the journal's own report has them.
    fn newest(&self) -> (String, String) {
        let said = self.host.steadfast(&["history", "--format", "json"]);
        let said = said.expect(0, &[]);
        let history: serde_json::Value =
            serde_json::from_str(&said.out).expect("the history is JSON");
        let newest = &history["changes"][0];
        let text = |field: &str| newest[field].as_str().expect("text").to_owned();
        (text("id"), text("state"))
    }

    /// What an interrupted program left is dealt with, and all that can be asked says the
    /// same: the recovery, the history, the files and what runs. Gives the end.
    fn recover(&self, when: &str) -> End {
        let (_, interrupted) = self.newest();
        let said = self.host.steadfast(&["recover"]);
        let (id, state) = self.newest();
        let words = said.err.clone();
        let claims = |word: &str| assert!(words.contains(word), "{when}, {interrupted}: {said}");
        assert!(matches!(said.code, Some(0 | 4)), "{when}: {said}");
        if ["committed", "undone", "rolled_back"].contains(&&*interrupted) {
            claims("every change is final");
            assert_eq!(state, interrupted, "{when}");
        } else {
            claims(&format!("change {id}: "));
        }
        let end = match &*state {
            "rolled_back" | "undone" => {
                match &*interrupted {
                    "rolled_back" | "undone" => {}
                    "planned" => claims("nothing had been touched"),
                    "undoing" => claims("undone: the host is as it was before the change"),
                    _ => claims("the host is as it was before"),
                }
                self.expect_as_before(when);
                End::Before
            }
            "awaiting_confirmation" => {
                claims("in effect");
                self.expect_as_planned(when);
                self.host.steadfast(&["confirm", "last"]).expect(0, &[]);
                End::Planned
            }
            "awaiting_undo_confirmation" => {
                self.expect_as_before(when);
                self.host.steadfast(&["confirm", "last"]).expect(0, &[]);
                self.expect_as_before(when);
                End::Before
            }
            "committed" => {
                match &*interrupted {
                    "committed" => {}
                    _ => claims("the undo was taken back, and the change is in effect again"),
                }
                self.expect_as_planned(when);
                End::Planned
            }
            other => panic!("{when}: {interrupted} became {other}: {said}"),
        };
        // Whatever would have taken it back later has nothing left to do, and is gone.
        let units = "systemctl list-units --all --plain --no-legend 'steadfast-revert-*'";
        assert_eq!(self.host.shell(units), "", "{when}");
        let again = self.host.steadfast(&["recover"]);
        again.expect(0, &["every change is final"]);
        end
    }

    /// Runs the program and kills it `delay_ms` after `milestone` came true. Gives whether it
    /// was still there to be killed.
    fn kill_at(&self, words: &[&str], milestone: &str, delay_ms: u64, with_children: bool) -> bool {
        let victims = match with_children {
            true => "$pid $(cat /proc/$pid/task/*/children)",
            false => "$pid",
        };
        // `/proc/PID/exe` of what has ended leads nowhere, although it was not waited for yet.
        let line = format!(
            "{PROGRAM} {} > /run/said 2>&1 & pid=$!
            while [ -e /proc/$pid/exe ] && ! {{ {milestone}; }}; do sleep 0.002; done
            sleep {:.3}
            kill -9 {victims} 2> /dev/null
            wait $pid; echo $?",
            words.join(" "),
            Duration::from_millis(delay_ms).as_secs_f32(),
        );
        let exec = Exec::shell(&line).limit(Duration::from_secs(120));
        let output = self.host.container.exec(&exec);
        let output = output.expect("the shell ends").text();
        match output.trim() {
            "137" => true,
            // A recovery that took something back says so with its code.
            "0" => false,
            "4" if words == ["recover"] => false,
            other => panic!(
                "{words:?} ended with {other}: {}",
                self.host.shell("cat /run/said")
            ),
        }
    }
}

/// What waits is confirmed; what does not says that it is final.
fn apply_in_peace(host: &Host) {
    host.steadfast(&APPLY).expect(0, &[]);
    host.steadfast(&["confirm", "last"])
        .expect(0, &["in effect"]);
}

fn undo_in_peace(host: &Host) {
    host.steadfast_confirmed(&UNDO, UNDO_KEPT)
        .expect(0, &["undone"]);
}

/// Which moments met which end.
#[derive(Default)]
struct Tally {
    killed: u32,
    ends: Vec<String>,
}

impl Tally {
    fn note(&mut self, when: &str, killed: bool, end: End) {
        self.killed += u32::from(killed);
        self.ends.push(format!("{when}: {end:?}"));
    }

    /// A sweep in which hardly anything was killed has shown nothing.
    #[expect(clippy::print_stdout, reason = "which moments met which end")]
    fn say(&self, of: u32) {
        println!(
            "{} of {of} were killed\n{}",
            self.killed,
            self.ends.join("\n")
        );
        assert!(self.killed * 2 > of, "most of them came to their end first");
    }
}

#[test]
fn an_apply_is_killed() {
    let Some(scene) = Scene::new(true) else {
        return;
    };
    let mut moments = Moments::seeded();
    let mut tally = Tally::default();
    let rounds = rounds(8, 80);
    for round in 0..rounds {
        let milestone = MILESTONES[moments.below(MILESTONES.len() as u64) as usize];
        let delay_ms = moments.below(JITTER_MS);
        let with_children = moments.below(2) == 0;
        let when = format!(
            "seed {}, round {round}: {delay_ms} ms after {milestone}, children too: {with_children}",
            moments.seed()
        );
        let killed = scene.kill_at(&APPLY, milestone, delay_ms, with_children);
        let end = scene.recover(&when);
        if end == End::Planned {
            undo_in_peace(&scene.host);
            scene.expect_as_before(&when);
        }
        tally.note(&when, killed, end);
    }
    tally.say(rounds);
}

/// An interrupted undo is completed.
#[test]
fn an_undo_is_killed() {
    let Some(scene) = Scene::new(false) else {
        return;
    };
    kill_undos(&scene, rounds(5, 40));
}

/// The undo of what could cut people off is taken back itself, unless somebody confirms it.
#[test]
fn an_undo_that_waits_is_killed() {
    let Some(scene) = Scene::new(true) else {
        return;
    };
    kill_undos(&scene, rounds(5, 40));
}

fn kill_undos(scene: &Scene, rounds: u32) {
    let mut moments = Moments::seeded();
    let mut tally = Tally::default();
    let mut applied = false;
    for round in 0..rounds {
        if !applied {
            apply_in_peace(&scene.host);
        }
        let milestone = MILESTONES[moments.below(MILESTONES.len() as u64) as usize];
        let delay_ms = moments.below(JITTER_MS);
        let with_children = moments.below(2) == 0;
        let when = format!(
            "seed {}, round {round}: {delay_ms} ms after not {milestone}, children too: {with_children}",
            moments.seed()
        );
        let undone = format!("! {milestone}").replace("! [ ! ", "[ ");
        let killed = scene.kill_at(&UNDO, &undone, delay_ms, with_children);
        let end = scene.recover(&when);
        applied = end == End::Planned;
        tally.note(&when, killed, end);
    }
    tally.say(rounds);
}

/// The recovery of a killed apply is killed in turn, twice.
#[test]
fn a_recovery_is_killed() {
    let Some(scene) = Scene::new(true) else {
        return;
    };
    let mut moments = Moments::seeded();
    let mut tally = Tally::default();
    let rounds = rounds(4, 40);
    for round in 0..rounds {
        // Late, when there is much to take back.
        let late = MILESTONES[MILESTONES.len() - 1];
        let was_killed = scene.kill_at(&APPLY, late, moments.below(10), true);
        let mut when = format!("seed {}, round {round}", moments.seed());
        let mut killed = false;
        for _ in 0..2 {
            let milestone = MILESTONES[moments.below(MILESTONES.len() as u64) as usize];
            let delay_ms = moments.below(JITTER_MS / 2);
            when = format!("{when}: {delay_ms} ms after not {milestone}");
            let back = format!("! {milestone}").replace("! [ ! ", "[ ");
            killed |= scene.kill_at(&["recover"], &back, delay_ms, false);
        }
        let end = scene.recover(&when);
        assert!(!was_killed || end == End::Before || !killed, "{when}");
        if end == End::Planned {
            undo_in_peace(&scene.host);
        }
        tally.note(&when, killed, end);
    }
    tally.say(rounds);
}
