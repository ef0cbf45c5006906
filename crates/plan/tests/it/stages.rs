//! Plans in stages: the packages first, and over the copy on which they are the rest.

use std::collections::{BTreeMap, BTreeSet};

use model::plan::Selection;
use model::value::PackageSeen;
use model::{
    ActionId, Answer, Digest, Effect, HostPath, Inverse, Observed, PackageOp, PackageUpgrade, Plan,
    Probe, Severity, Value,
};
use plan::compare::differences;
use plan::converge::{passing_now, plan as converge, plan_after_packages};
use plan::stages::{self, Brought, Packages};
use resource::{Answers, Wanted};
use serde_json::json;

use crate::support::{Memory, host, rule, sysctl, wanted};

const CONF: &str = "/etc/demo.conf";

fn package(installed: bool) -> (Probe, Observed) {
    let probe = Probe::Package {
        name: "demo".to_owned(),
    };
    let answer = match installed {
        false => Answer::Absent,
        true => Answer::Known(Value::Package(PackageSeen {
            version: "1.0".to_owned(),
            architecture: "all".to_owned(),
            installed: true,
            status: "install ok installed".to_owned(),
            automatic: Some(false),
        })),
    };
    (probe, Observed::new(answer))
}

fn answers(wanted: &Wanted, files: &[(&str, &str)], installed: bool) -> Answers {
    let mut answers = Memory::new(files, &[("k.a", "0")]).answers(wanted);
    let (probe, seen) = package(installed);
    answers.insert(probe, seen);
    answers
}

fn everything() -> Wanted {
    wanted(vec![
        rule(
            "demo-is-set",
            Severity::Low,
            &[
                json!({"package": {"name": "demo"}}),
                json!({"key_value": {"path": CONF, "syntax": "equals", "key": "setting", "value": "mine"}}),
            ],
        ),
        rule("other", Severity::Low, &[sysctl("k.a", 1)]),
    ])
}

fn made(copy: &[(&str, &str)], installed: bool) -> Result<Plan, stages::StageError> {
    let wanted = everything();
    let plan = |answers: &Answers| {
        converge(&wanted, answers, host(), Selection::default()).expect("a plan")
    };
    let (live, after) = (
        answers(&wanted, &[], false),
        answers(&wanted, copy, installed),
    );
    let first = plan(&live);
    let wants = stages::wanted(&first).expect("no contradiction");
    let install = PackageOp::Install { version: None };
    assert_eq!(wants, BTreeMap::from([("demo".to_owned(), install)]));
    let packages = Packages {
        packages: vec![PackageUpgrade {
            name: "demo".to_owned(),
            architecture: "all".to_owned(),
            from: None,
            to: "1.0".to_owned(),
            source: None,
            origins: Vec::new(),
            security: None,
            archive: Digest::of(b""),
        }],
        removals: Vec::new(),
        answers: Vec::new(),
        writes: BTreeSet::from([HostPath::literal(CONF)]),
        limit_seconds: 60,
        premises: Vec::new(),
    };
    let now = passing_now(&wanted, &live, &after);
    let rest = plan_after_packages(
        &wanted,
        &after,
        host(),
        Selection::default(),
        &Brought::by(&packages.packages, packages.writes.clone()),
    )
    .expect("a plan");
    stages::join(&first, rest, &live, &after, packages, &now)
}

/// The stage over what the package brought, when its file is as `brought` there.
fn on_the_host(plan: &Plan, brought: &str) -> Result<Plan, stages::Differs> {
    let wanted = everything();
    let now = answers(&wanted, &[(CONF, brought)], true);
    let anew = stages::made_anew(plan, ActionId(0), |probe| {
        now.get(probe).expect("it was asked").clone()
    });
    let again = plan_after_packages(
        &wanted,
        &now,
        host(),
        Selection::default(),
        &Brought::of(plan),
    )
    .expect("a plan");
    stages::settle(plan, &again, ActionId(0), &anew)
}

fn written(plan: &Plan) -> &str {
    fn of(effect: &Effect) -> Option<&str> {
        match effect {
            Effect::PutFile { content, .. } => content.as_text(),
            _ => None,
        }
    }
    let mut contents = plan.actions.iter().filter_map(|action| of(&action.effect));
    contents.next().expect("a file is written")
}

/// What the script makes anew each time is kept as it is on the host; what the plan changes is as it
/// was shown, or nothing is done.
#[test]
fn the_edit_goes_onto_what_the_script_made_on_the_host() {
    let shown = made(&[(CONF, "# made: Monday\nsetting = 1\n")], true).expect("stages");
    let settled = on_the_host(&shown, "# made: Tuesday\nsetting = 1\n").expect("the same");
    assert_eq!(written(&settled), "# made: Tuesday\nsetting = mine\n");
    assert_eq!(written(&shown), "# made: Monday\nsetting = mine\n");
    let anew = stages::made_anew(&settled, ActionId(0), |probe| {
        let now = answers(
            &everything(),
            &[(CONF, "# made: Tuesday\nsetting = 1\n")],
            true,
        );
        now.get(probe).expect("it was asked").clone()
    });
    assert!(anew.is_empty(), "the premises are the host's: {anew:?}");

    for (brought, why) in [
        // The very setting has another value there.
        ("# made: Tuesday\nsetting = 2\n", "`-setting = 2`"),
        // It is as wanted already.
        ("# made: Tuesday\nsetting = mine\n", "not needed"),
        // It is set twice there.
        ("# made: Tuesday\nsetting = 1\nsetting = 5\n", "setting = 5"),
        ("# made: Tuesday\n", "`+setting = mine`"),
    ] {
        let error = on_the_host(&shown, brought).expect_err(brought);
        assert!(error.to_string().contains(why), "{brought:?}: {error}");
        assert_ne!(error.action, ActionId(0), "{brought:?}");
    }
}

/// The plan is made once more to be carried out, over another copy of the host.
#[test]
fn what_another_copy_made_anew_is_the_same_plan() {
    let shown = made(&[(CONF, "# made: Monday\nsetting = 1\n")], true).expect("stages");
    let same = made(&[(CONF, "# made: Tuesday, late\nsetting = 1\n")], true).expect("stages");
    assert_eq!(differences(&shown, &same), []);
    assert_ne!(shown, same);
    let other = made(&[(CONF, "# made: Tuesday, late\nsetting = 2\n")], true).expect("stages");
    assert_eq!(differences(&shown, &other).len(), 1);
}

/// Without packages no byte may differ.
#[test]
fn what_is_on_the_host_is_compared_by_all_its_bytes() {
    let wanted = everything();
    let over = |text: &str| {
        let seen = answers(&wanted, &[(CONF, text)], true);
        converge(&wanted, &seen, host(), Selection::default()).expect("a plan")
    };
    let (one, other) = (over("# 1\nsetting = 1\n"), over("# 2\nsetting = 1\n"));
    assert!(one.actions.iter().all(|action| action.edit.is_none()));
    assert_eq!(
        differences(&one, &other).len(),
        2,
        "the file, and its write"
    );
}

#[test]
fn what_the_package_brings_is_edited_and_hangs_on_it() {
    let plan = made(&[(CONF, "# theirs\nsetting = 1\n")], true).expect("stages");
    let Effect::Upgrade { named, .. } = &plan.actions[0].effect else {
        panic!("{plan:#?}");
    };
    assert_eq!(named, &["demo"]);
    assert_eq!(plan.actions[0].serves, ["demo-is-set"]);
    assert_eq!(plan.actions[0].inverse, Inverse::Restore);
    for (place, action) in plan.actions.iter().enumerate() {
        assert_eq!(action.id, ActionId(u32::try_from(place).expect("few")));
        let serves_the_package = action.serves.contains(&"demo-is-set".to_owned());
        assert_eq!(action.change_set == 0, serves_the_package, "{action:#?}");
        if let Effect::PutFile { path, content, .. } = &action.effect
            && path == &HostPath::literal(CONF)
        {
            let content = content.as_text().expect("text");
            assert_eq!(content, "# theirs\nsetting = mine\n");
            assert_eq!(action.after, [ActionId(0)]);
            let premise = &plan.premises[action.rests_on[0] as usize];
            assert_eq!(premise.after, Some(ActionId(0)));
        }
    }
    // What was looked at on the host itself holds before the first action.
    let package = plan
        .premises
        .iter()
        .find(|one| matches!(one.probe, Probe::Package { .. }));
    assert_eq!(package.expect("it decided").after, None);
    // The package is what is done, and not what is left alone.
    assert!(plan.left_alone.is_empty(), "{:#?}", plan.left_alone);
}

#[test]
fn a_copy_that_is_not_as_wanted_makes_no_plan() {
    let error = made(&[], false).expect_err("the package is not there");
    assert!(error.to_string().contains("demo-is-set"), "{error}");
}

#[test]
fn without_a_rehearsal_no_undo_is_promised() {
    let wanted = everything();
    let live = answers(&wanted, &[], false);
    let first = converge(&wanted, &live, host(), Selection::default()).expect("a plan");
    let plan = stages::unforeseen(first, "only root can");
    let package = plan
        .actions
        .iter()
        .find(|action| matches!(action.effect, Effect::Package { .. }))
        .expect("it is planned");
    assert!(matches!(package.inverse, Inverse::Irreversible { .. }));
    let said = plan.left_alone.last().expect("it is said");
    assert!(said.why.contains("--unrehearsed"), "{said:?}");
}

/// Only where packages wrote the copy counts.
#[test]
fn the_host_is_asked_where_no_package_wrote() {
    let seen = |text: &str| Observed::new(Answer::Known(Value::Sysctl(text.to_owned())));
    let (live, copy) = (seen("host"), seen("copy"));
    let writes = BTreeSet::from([
        HostPath::literal("/etc/demo"),
        HostPath::literal("/etc/passwd"),
    ]);
    let file = |path: &'static str| Probe::FileDigest {
        path: HostPath::literal(path),
    };
    for (probe, is_copy) in [
        (file("/etc/demo/a.conf"), true),
        (file("/etc/other"), false),
        (file("/proc/version"), false),
        (
            Probe::Dir {
                path: HostPath::literal("/etc"),
            },
            true,
        ),
        (Probe::Accounts, true),
        (Probe::Mounts, false),
        (Probe::Modules, false),
    ] {
        let after = stages::after(&probe, Some(&live), &writes, || copy.clone());
        let expected = if is_copy { &copy } else { &live };
        assert_eq!(&after, expected, "{probe:?}");
    }
    let after = stages::after(&Probe::Mounts, None, &writes, || copy.clone());
    assert!(matches!(after.answer, Answer::Unknown(_)), "{after:?}");
}
