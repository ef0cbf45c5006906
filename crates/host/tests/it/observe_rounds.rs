//! The rounds of an observation, with hosts that answer, break, and never stop asking.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use host::{Host, Progress, observe};
use model::probe::WalkTests;
use model::value::{DirEntry, FileType, Reason};
use model::{Answer, Blob, Observed, Probe, Value, WalkTest};
use resource::Resource;

use crate::observe_support::path;

/// Answers by a function, and keeps what it was asked.
struct Fake<F> {
    answer: F,
    asked: Mutex<Vec<Probe>>,
    walks: AtomicU32,
}

impl<F: Fn(&Probe) -> Answer + Sync> Fake<F> {
    fn new(answer: F) -> Self {
        Self {
            answer,
            asked: Mutex::default(),
            walks: AtomicU32::new(0),
        }
    }
}

impl<F: Fn(&Probe) -> Answer + Sync> Host for Fake<F> {
    fn probe(&self, probe: &Probe) -> Observed {
        self.asked.lock().expect("no panic").push(probe.clone());
        Observed::new((self.answer)(probe))
    }

    fn walk(&self, tests: &WalkTests, _: &(dyn Fn(u64) + Sync)) -> BTreeMap<WalkTest, Observed> {
        self.walks.fetch_add(1, Ordering::Relaxed);
        tests
            .iter()
            .map(|test| (*test, Observed::new(Answer::Absent)))
            .collect()
    }
}

fn resource(json: &str) -> Resource {
    serde_json::from_str(json).expect("a resource")
}

fn rounds(host: &dyn Host, resources: &[Resource]) -> (resource::Answers, u32) {
    let last = AtomicU32::new(0);
    let answers = observe(host, resources, &|progress| {
        if let Progress::Round { number, .. } = progress {
            last.store(number, Ordering::Relaxed);
        }
    });
    (answers, last.into_inner())
}

#[test]
fn an_answer_leads_to_the_next_question_and_nothing_is_asked_twice() {
    let host = Fake::new(|probe| match probe {
        Probe::Dir { path } if path.as_bytes() == b"/etc/sysctl.d" => {
            Answer::Known(Value::Dir(vec![DirEntry {
                name: Blob::from("10-x.conf"),
                file_type: FileType::Regular,
            }]))
        }
        _ => Answer::Absent,
    });
    let sysctl = resource(r#"{"sysctl": {"key": "a.b", "value": "1"}}"#);
    let (answers, last) = rounds(&host, &[sysctl.clone(), sysctl]);
    assert_eq!(last, 2);
    assert!(answers.contains(&Probe::file(path("/etc/sysctl.d/10-x.conf"))));
    let mut asked = host.asked.into_inner().expect("no panic");
    asked.sort();
    let before = asked.len();
    asked.dedup();
    assert_eq!(asked.len(), before);
}

#[test]
fn a_mistake_of_ours_costs_one_answer() {
    let host = Fake::new(|probe| match probe {
        Probe::Sysctl { .. } => panic!("a mistake"),
        _ => Answer::Absent,
    });
    let sysctl = resource(r#"{"sysctl": {"key": "a.b", "value": "1"}}"#);
    let (answers, _) = rounds(&host, &[sysctl]);
    let probe = Probe::Sysctl {
        key: "a.b".to_owned(),
    };
    assert!(matches!(
        answers.get(&probe).map(|observed| &observed.answer),
        Some(Answer::Unknown(Reason::Failed { .. }))
    ));
    assert!(answers.len() > 1);
}

#[test]
fn all_walk_tests_share_one_walk() {
    let host = Fake::new(|_| Answer::Absent);
    let (answers, _) = rounds(
        &host,
        &[
            resource(r#"{"files_where": {"test": "world_writable_files"}}"#),
            resource(r#"{"files_where": {"test": "unowned"}}"#),
        ],
    );
    assert_eq!(host.walks.into_inner(), 1);
    assert!(answers.contains(&Probe::Walk {
        test: WalkTest::Unowned
    }));
}

#[test]
fn asking_for_ever_ends() {
    // Every configuration of sshd includes another one.
    let host = Fake::new(|probe| match probe {
        Probe::File { path, .. } => {
            let next = format!("Include {path}x\n");
            Answer::Known(Value::File(model::value::FileSeen {
                meta: model::value::Meta {
                    file_type: FileType::Regular,
                    mode: model::Mode::new(0o644),
                    uid: 0,
                    gid: 0,
                    owner: Some("root".to_owned()),
                    group: Some("root".to_owned()),
                    size_bytes: next.len() as u64,
                    hard_links: 1,
                    target: None,
                    acl: None,
                    default_acl: None,
                },
                content: Blob::from(next),
                resolved: None,
            }))
        }
        _ => Answer::Absent,
    });
    let sshd = resource(r#"{"sshd": {"option": "PermitRootLogin", "value": "no"}}"#);
    let (answers, last) = rounds(&host, std::slice::from_ref(&sshd));
    assert!(last <= observe::ROUNDS);
    // Whatever it names has an answer, so it can be judged.
    assert!(
        sshd.probes(&answers)
            .iter()
            .all(|probe| { answers.contains(probe) || last == observe::ROUNDS })
    );
}
