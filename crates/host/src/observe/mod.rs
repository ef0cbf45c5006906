//! Observing: asks a host what a list of resources needs to know, and nothing else.
//! It works in a few rounds, since an answer can lead to the next question (an include,
//! a `Match` block), and asks the questions of one round in parallel.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use model::probe::WalkTests;
use model::value::Reason;
use model::{Observed, Probe, WalkTest};
use resource::kind::ways_to_root::WaysToRoot;
use resource::{Answers, Resource};

use crate::Host;

/// A directory of includes, what these include, a directory that they name, what lies there, and
/// whose it is: six rounds are enough for every kind, and a kind that would ask forever does not
/// hang an audit.
pub const ROUNDS: u32 = 6;

/// Questions of one round are mostly short system calls; more threads than this only wait.
const MOST_THREADS: usize = 4;

/// What is going on, for whoever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A round begins, from 1.
    Round { number: u32, probes: usize },
    /// The walk goes on; `entries` were looked at so far.
    Walk { entries: u64 },
}

/// Asks `host` everything that `resources` need to be judged.
///
/// Every probe that a resource names has an answer afterwards: one that still asks after
/// the last round has its remaining probes answered [`model::Answer::Unknown`].
pub fn observe<'a>(
    host: &dyn Host,
    resources: impl IntoIterator<Item = &'a Resource>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Answers {
    let mut asking: Vec<&Resource> = resources.into_iter().collect();
    let with_files = asking.iter().any(|one| one.is_of_a_file());
    let mut answers = Answers::default();
    for number in 1..=ROUNDS {
        let probes = open_questions(&mut asking, with_files, &answers);
        if probes.is_empty() {
            return answers;
        }
        progress(Progress::Round {
            number,
            probes: probes.len(),
        });
        for (probe, observed) in ask(host, probes, progress) {
            answers.insert(probe, observed);
        }
    }
    for probe in open_questions(&mut asking, with_files, &answers) {
        answers.insert(
            probe,
            Observed::unknown(Reason::Failed {
                why: format!("asks too much: still asking after {ROUNDS} rounds"),
            }),
        );
    }
    answers
}

/// What is not answered yet. Resources that have all their answers leave the list.
fn open_questions(
    asking: &mut Vec<&Resource>,
    with_files: bool,
    answers: &Answers,
) -> BTreeSet<Probe> {
    let mut open = BTreeSet::new();
    asking.retain(|resource| {
        let mut waits = false;
        for probe in resource.probes(answers) {
            if !answers.contains(&probe) {
                waits = true;
                open.insert(probe);
            }
        }
        waits
    });
    // What is at stake with a file depends on what sudoers and the stacks of PAM include.
    if with_files {
        let (_, probes) = WaysToRoot::read(answers);
        open.extend(probes.into_iter().filter(|probe| !answers.contains(probe)));
    }
    open
}

/// Asks the questions of one round, over a few threads; all walk tests share one walk.
fn ask(
    host: &dyn Host,
    probes: BTreeSet<Probe>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Vec<(Probe, Observed)> {
    let mut tests = WalkTests::new();
    let mut single = Vec::with_capacity(probes.len());
    for probe in probes {
        match probe {
            Probe::Walk { test } => {
                tests.insert(test);
            }
            other => single.push(other),
        }
    }
    // Programs take milliseconds where files take microseconds: they start first, so that
    // the end of the round waits for none of them alone.
    single.sort_by_key(|probe| !runs_a_program(probe));
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(single.len() + tests.len()));
    let threads = thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(2, MOST_THREADS)
        .min(single.len().max(1));
    let work = || {
        let mut mine = Vec::new();
        while let Some(probe) = single.get(next.fetch_add(1, Ordering::Relaxed)) {
            mine.push((probe.clone(), one(host, probe)));
        }
        done.lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .extend(mine);
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        if !tests.is_empty() {
            scope.spawn(|| {
                let walked = walk(host, &tests, progress);
                done.lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .extend(walked);
            });
        }
        work();
    });
    done.into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn runs_a_program(probe: &Probe) -> bool {
    matches!(
        probe,
        Probe::Tool { .. } | Probe::Command { .. } | Probe::Unit { .. } | Probe::AuditRules
    )
}

/// A mistake of ours in answering one probe costs that answer, not the audit.
fn one(host: &dyn Host, probe: &Probe) -> Observed {
    catch_unwind(AssertUnwindSafe(|| host.probe(probe)))
        .unwrap_or_else(|_| Observed::unknown(broke()))
}

fn walk(
    host: &dyn Host,
    tests: &WalkTests,
    progress: &(dyn Fn(Progress) + Sync),
) -> Vec<(Probe, Observed)> {
    let entries_seen = |entries| progress(Progress::Walk { entries });
    let mut seen =
        catch_unwind(AssertUnwindSafe(|| host.walk(tests, &entries_seen))).unwrap_or_default();
    let mut answer = |test: &WalkTest| {
        seen.remove(test)
            .unwrap_or_else(|| Observed::unknown(broke()))
    };
    tests
        .iter()
        .map(|test| (Probe::Walk { test: *test }, answer(test)))
        .collect()
}

fn broke() -> Reason {
    Reason::Failed {
        why: "steadfast failed while it looked; this is a mistake in steadfast".to_owned(),
    }
}
