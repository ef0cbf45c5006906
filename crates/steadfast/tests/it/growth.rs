//! The work for each file of a role does not grow with the number of its files: counted are
//! comparisons of paths and of actions, which a list that is looked through for each file shows.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use content::{Baselines, Repository, Request};
use host::{
    Applied, ApplyOptions, Choice, CrashPoints, Create, Guard, LocalHost, State, Undone, Verdict,
};
use jiff::Timestamp;
use model::compared;
use model::plan::Selection;
use model::{ChangeId, HostPath, Plan};
use steadfast::show;
use steadfast::style::Style;

/// Each file is synced to the disk a dozen times.
const FEW: usize = 25;
const MANY: usize = 150;

/// What was compared for each file, by what was done.
#[derive(Debug)]
struct Compared(Vec<(&'static str, u64)>);

impl Compared {
    fn note<T>(&mut self, what: &'static str, files: usize, work: impl FnOnce() -> T) -> T {
        let before = compared::so_far();
        let done = work();
        let number = compared::so_far() - before;
        self.0.push((what, number / files as u64));
        done
    }
}

/// A role of so many files, in ten directories that are there.
fn policy(folder: &Path, root: &Path, files: usize) -> Repository {
    let mut role = "role: many\nwant:\n".to_owned();
    for number in 0..files {
        let directory = format!("srv/d{:02}", number % 10);
        std::fs::create_dir_all(root.join(&directory)).expect("a directory");
        if number % 2 == 0 {
            std::fs::write(root.join(&directory).join(format!("f{number}")), "old\n")
                .expect("a file");
        }
        role += &format!("  - file: {{path: /{directory}/f{number}, content: \"new {number}\"}}\n");
    }
    std::fs::create_dir_all(folder.join("roles")).expect("a directory");
    std::fs::write(folder.join("roles/many.yaml"), role).expect("a role");
    Repository::load_roles(folder).unwrap_or_else(|errors| panic!("{}", errors.plain()))
}

fn options() -> ApplyOptions<'static> {
    ApplyOptions {
        by: "a test".to_owned(),
        now: &Timestamp::now,
        confirm_within: Duration::from_secs(30),
        lock_wait: Duration::from_secs(5),
        interrupted: &|| false,
        detach: false,
        guard: Guard::Assumed,
        crash: CrashPoints::none(),
        decide_again: None,
    }
}

/// Plans, shows, applies and undoes a role of so many files. `refuted`: the second look says that
/// it is not as wanted, and everything is taken back.
fn work(files: usize, refuted: bool) -> Compared {
    let folder = tempfile::TempDir::with_prefix_in("steadfast-growth-", "/run")
        .or_else(|_| tempfile::TempDir::new())
        .expect("a folder");
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("etc")).expect("a directory");
    let accounts = [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/group", "root:x:0:\n"),
    ];
    for (path, content) in accounts {
        std::fs::write(root.join(path), content).expect("a file");
    }
    let repository = policy(&folder.path().join("policy"), &root, files);
    let host = LocalHost::offline(&root).expect("a host");
    let mut request = Request {
        baselines: Baselines::None,
        ..Request::default()
    };
    request.roles.push("many".parse().expect("a name"));
    let wanted = content::compile(&repository, &host.facts(), &request)
        .unwrap_or_else(|error| panic!("{error}"));
    let resources = wanted.roles.iter().flat_map(|role| &role.want);
    let answers = host::observe(&host, resources.map(|want| &want.resource), &|_| {});
    let state = State::open(&folder.path().join("state"), Create::Yes).expect("a state folder");
    let mut counted = Compared(Vec::new());
    let plan = counted.note("plan", files, || {
        let identity = host.identity();
        plan::converge::plan(&wanted, &answers, identity, Selection::default()).expect("a plan")
    });
    assert_eq!(plan.actions.len(), files);
    let plan = counted.note("outlook", files, || {
        let nothing = BTreeSet::new();
        let outlook = host::outlook(&host, state.directory(), &plan, &nothing).expect("a look");
        plan::outlook::regard(plan, &outlook)
    });
    counted.note("show", files, || {
        let current = |_: &HostPath| None;
        let style = Style::plain(80, false);
        show::plan::write(&mut Vec::new(), &plan, &current, None, &style).expect("shown");
    });
    let verify = |_: &Plan| Verdict {
        failed: match refuted {
            true => vec![("role many".to_owned(), "a test says so".to_owned())],
            false => Vec::new(),
        },
        ..Verdict::default()
    };
    let applied = counted.note("apply", files, || {
        host::apply(&host, &state, &plan, &options(), &verify, &mut |_| {}).expect("applied")
    });
    if refuted {
        assert!(
            matches!(applied, Applied::TakenBack { verified: true, .. }),
            "{applied:?}"
        );
        return counted;
    }
    assert!(matches!(applied, Applied::Committed(_)), "{applied:?}");
    let first = Choice {
        only: vec!["/srv/d00/f0".parse().expect("a path")],
        ..Choice::default()
    };
    for (what, choice) in [("undo of one", first), ("undo", Choice::default())] {
        let undone = counted.note(what, files, || {
            let id = ChangeId(1);
            host::undo_chosen(&host, &state, id, &choice, &options(), &mut |_| {}).expect("undone")
        });
        assert!(matches!(undone, Undone::Done { .. }), "{undone:?}");
    }
    counted
}

#[test]
fn work_for_a_file_does_not_grow_with_the_number_of_files() {
    for refuted in [false, true] {
        let (few, many) = (work(FEW, refuted), work(MANY, refuted));
        for ((what, few), (_, many)) in few.0.iter().zip(&many.0) {
            // Looked up in a map that is six times as large: some steps more for each look.
            assert!(
                *many <= few * 2 + 20,
                "{what}: {few} comparisons for each of {FEW} files, {many} for each of {MANY}"
            );
        }
    }
}
