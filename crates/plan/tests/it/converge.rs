//! From drifts to a plan.

use model::plan::Selection;
use model::{Effect, Inverse, Plan, Severity};
use plan::converge::plan as converge;
use proptest::prelude::*;
use resource::{Applies, Wanted};
use serde_json::{Value as Json, json};

use crate::support::{Memory, host, rule, sysctl, wanted};

fn plan_of(memory: &Memory, wanted: &Wanted) -> Plan {
    let answers = memory.answers(wanted);
    converge(wanted, &answers, host(), Selection::default()).expect("a plan")
}

#[test]
fn edits_of_one_path_fold_into_one_action_that_names_all_it_serves() {
    let memory = Memory::new(
        &[("/etc/sysctl.d/10-own.conf", "# ours\nk.a = 0\n\nk.b=0\n")],
        &[("k.a", "1"), ("k.b", "1")],
    );
    let wanted = wanted(vec![
        rule("one", Severity::Low, &[sysctl("k.a", 1)]),
        rule("two", Severity::Low, &[sysctl("k.b", 1)]),
    ]);
    let plan = plan_of(&memory, &wanted);
    assert_eq!(plan.actions.len(), 1, "{plan:#?}");
    let action = &plan.actions[0];
    assert_eq!(action.serves, ["one", "two"]);
    assert_eq!(action.inverse, Inverse::Restore);
    let Effect::PutFile { content, mode, .. } = &action.effect else {
        panic!("a file is written: {:?}", action.effect)
    };
    let content = content.as_text().expect("text");
    // Comments, order and blank lines stay; an existing file keeps its own mode.
    assert!(content.starts_with("# ours\n"), "{content}");
    assert_eq!(content.lines().count(), 4, "{content}");
    assert_eq!(*mode, None);
}

#[test]
fn a_running_value_is_taken_back_to_what_it_was() {
    let memory = Memory::new(&[], &[("k.a", "2\n")]);
    let plan = plan_of(
        &memory,
        &wanted(vec![rule("one", Severity::Low, &[sysctl("k.a", 1)])]),
    );
    let running = plan
        .actions
        .iter()
        .find(|action| matches!(action.effect, Effect::Sysctl { .. }))
        .expect("the running value is set");
    let back = Effect::Sysctl {
        key: "k.a".to_owned(),
        value: "2".to_owned(),
    };
    assert_eq!(running.inverse, Inverse::Effect(Box::new(back)));
}

#[test]
fn what_is_left_alone_says_why() {
    let memory = Memory::new(&[], &[("k.good", "1"), ("k.bad", "0")]);
    let mut not_proven = rule("not-proven", Severity::Low, &[sysctl("k.bad", 1)]);
    not_proven.applies = Applies::NotProven("not proven on Debian 14".to_owned());
    let mut off = rule("off", Severity::Low, &[sysctl("k.bad", 1)]);
    off.applies = Applies::SwitchedOff("we need it".to_owned());
    let wanted = wanted(vec![
        rule("good", Severity::Low, &[sysctl("k.good", 1)]),
        rule("absent", Severity::Low, &[sysctl("k.absent", 1)]),
        not_proven,
        off,
    ]);
    let plan = plan_of(&memory, &wanted);
    assert_eq!(plan.actions, []);
    let said: Vec<String> = plan
        .left_alone
        .iter()
        .map(|left| format!("{}: {}", left.what, left.why))
        .collect();
    assert_eq!(said.len(), 4);
    assert!(said[0].starts_with("good: passes already (1)"), "{said:?}");
    assert!(said[1].starts_with("absent: does not apply"), "{said:?}");
    assert_eq!(said[2], "not-proven: not fixed: not proven on Debian 14");
    assert_eq!(said[3], "off: switched off: we need it");
}

#[test]
fn a_premise_holds_what_was_seen_and_its_digest() {
    let memory = Memory::new(&[("/etc/sysctl.d/10.conf", "k.a = 0\n")], &[("k.a", "0")]);
    let plan = plan_of(
        &memory,
        &wanted(vec![rule("one", Severity::Low, &[sysctl("k.a", 1)])]),
    );
    assert!(!plan.premises.is_empty());
    for premise in &plan.premises {
        let seen = premise.seen.as_ref().expect("nothing here is secret");
        assert_eq!(seen.digest, premise.digest);
    }
    for action in &plan.actions {
        assert!(!action.rests_on.is_empty());
        assert!(
            action
                .rests_on
                .iter()
                .all(|at| (*at as usize) < plan.premises.len())
        );
    }
}

/// Parameters with values that hold or do not, some set by a file.
fn hosts() -> impl Strategy<Value = (Memory, Vec<(String, i64)>)> {
    prop::collection::btree_map("[a-e]", (0i64..3, 0i64..3, prop::option::of(0i64..3)), 1..5)
        .prop_map(|keys| {
            let mut memory = Memory::default();
            let mut wants = Vec::new();
            let mut file = String::from("# people wrote this\n");
            for (name, (want, running, boot)) in keys {
                let key = format!("k.{name}");
                memory.sysctls.insert(key.clone(), running.to_string());
                if let Some(boot) = boot {
                    file.push_str(&format!("{key} = {boot}\n"));
                }
                wants.push((key, want));
            }
            memory
                .files
                .insert("/etc/sysctl.d/20-people.conf".to_owned(), file);
            (memory, wants)
        })
}

proptest! {
    #[test]
    fn carrying_a_plan_out_leaves_nothing_to_do((mut memory, wants) in hosts()) {
        let rules = wants
            .iter()
            .enumerate()
            .map(|(at, (key, value))| rule(&format!("r{at}"), Severity::Low, &[sysctl(key, *value)]))
            .collect();
        let wanted = wanted(rules);
        let first = plan_of(&memory, &wanted);
        memory.carry_out(&first);
        let second = plan_of(&memory, &wanted);
        prop_assert_eq!(second.actions, []);
        prop_assert!(memory.files["/etc/sysctl.d/20-people.conf"].starts_with("# people wrote this\n"));
    }

    #[test]
    fn order_and_sets_are_sound((memory, wants) in hosts()) {
        let rules = wants
            .iter()
            .enumerate()
            .map(|(at, (key, value))| rule(&format!("r{at}"), Severity::Low, &[sysctl(key, *value)]))
            .collect();
        let plan = plan_of(&memory, &wanted(rules));
        for (place, action) in plan.actions.iter().enumerate() {
            prop_assert_eq!(action.id.0 as usize, place);
            for earlier in &action.after {
                prop_assert!(earlier.0 < action.id.0);
                prop_assert_eq!(plan.actions[earlier.0 as usize].change_set, action.change_set);
            }
        }
    }
}

#[test]
fn options_of_one_file_system_add_up_over_rules() {
    let mut memory = Memory::new(&[("/etc/fstab", "tmpfs /tmp tmpfs rw 0 0\n")], &[]);
    memory.mounts = vec![("/tmp".to_owned(), vec!["rw".to_owned()])];
    let option = |option: &str| json!({"mount_option": {"path": "/tmp", "options": [option]}});
    let wanted = wanted(vec![
        rule("one", Severity::Low, &[option("nodev")]),
        rule("two", Severity::Low, &[option("nosuid")]),
    ]);
    let plan = plan_of(&memory, &wanted);
    let remounts: Vec<&Effect> = plan
        .actions
        .iter()
        .map(|action| &action.effect)
        .filter(|effect| matches!(effect, Effect::Remount { .. }))
        .collect();
    let [Effect::Remount { options, .. }] = remounts[..] else {
        panic!("one remount: {plan:#?}");
    };
    assert_eq!(options, &["rw", "nodev", "nosuid"]);
    let fstab = plan.actions.iter().find_map(|action| match &action.effect {
        Effect::PutFile { content, .. } => content.as_text(),
        _ => None,
    });
    assert_eq!(fstab, Some("tmpfs /tmp tmpfs rw,nodev,nosuid 0 0\n"));
}

#[test]
fn two_rules_may_want_the_very_same_change() {
    let line = "deploy ALL=(ALL) NOPASSWD: ALL\n";
    let memory = Memory::new(&[("/etc/sudoers", line)], &[]);
    let limit = |forbid: &str| json!({"sudo_limit": {"forbid": forbid}});
    let wanted = wanted(vec![
        rule("one", Severity::High, &[limit("passwordless_everything")]),
        rule("two", Severity::Low, &[limit("passwordless")]),
    ]);
    let plan = plan_of(&memory, &wanted);
    assert_eq!(plan.actions.len(), 1, "{plan:#?}");
    let Effect::PutFile { content, .. } = &plan.actions[0].effect else {
        panic!("a file is written: {:?}", plan.actions[0].effect)
    };
    assert_eq!(content.as_text(), Some("deploy ALL=(ALL) ALL\n"));
    assert_eq!(plan.actions[0].serves, ["one", "two"]);
}

/// What two rules do to one file, by what each wants.
fn both(files: &[(&str, &str)], one: Json, two: Json) -> Result<Plan, String> {
    let memory = Memory::new(files, &[]);
    let wanted = wanted(vec![
        rule("one", Severity::Low, &[one]),
        rule("two", Severity::Low, &[two]),
    ]);
    let answers = memory.answers(&wanted);
    converge(&wanted, &answers, host(), Selection::default()).map_err(|error| error.to_string())
}

#[test]
fn edits_that_undo_each_other_are_refused() {
    let key = |path: &str, key: &str, value: &str| json!({"key_value": {"path": path, "syntax": "equals", "key": key, "value": value}});
    let file = |content: &str| json!({"file": {"path": "/etc/a", "content": content}});
    let ini = |value: &str| json!({"ini": {"path": "/etc/a", "section": "s", "key": "k", "value": value}});
    let text = [("/etc/a", "k = 1\n"), ("/etc/b", "k = 1\n")];
    let refused =
        "`one` and `two` want different things of /etc/a: each changes what the other has set";
    for (one, two) in [
        (key("/etc/a", "k", "2"), key("/etc/a", "k", "3")),
        (file("k = 2\n"), key("/etc/a", "k", "3")),
        (ini("x"), ini("y")),
    ] {
        assert_eq!(both(&text, one, two).map(|_| ()), Err(refused.to_owned()));
    }
    for (one, two) in [
        (key("/etc/a", "k", "2"), key("/etc/a", "k", "2")),
        (key("/etc/a", "k", "2"), key("/etc/a", "l", "3")),
        (key("/etc/a", "l", "2"), ini("x")),
        (file("k = 2\n"), key("/etc/a", "k", "2")),
        (key("/etc/a", "k", "2"), key("/etc/b", "k", "3")),
    ] {
        let plan = both(&text, one.clone(), two.clone());
        assert!(plan.is_ok(), "{one} {two}: {plan:?}");
    }
}

/// The answers of a host that has no unit and no account of its own.
fn bare(wanted: &Wanted) -> resource::Answers {
    use model::value::AccountsSeen;
    let mut answers = resource::Answers::default();
    for _ in 0..4 {
        let resources = wanted.rules.iter().flat_map(|rule| &rule.want);
        let probes: Vec<_> = resources
            .flat_map(|want| want.resource.probes(&answers))
            .filter(|probe| !answers.contains(probe))
            .collect();
        for probe in probes {
            let answer = match &probe {
                model::Probe::Accounts => {
                    model::Answer::Known(model::Value::Accounts(AccountsSeen {
                        accounts: Vec::new(),
                        groups: Vec::new(),
                        other_sources: Vec::new(),
                        malformed: Vec::new(),
                        shadow_unknown: None,
                    }))
                }
                _ => model::Answer::Absent,
            };
            answers.insert(probe, model::Observed::new(answer));
        }
    }
    answers
}

/// Case F14 of 2026-11-30: "start nosuch.service" was planned.
#[test]
fn a_unit_that_nothing_brings_is_left_alone_with_the_reason() {
    let service = json!({"service": {"name": "shop", "running": true}});
    let unit = json!({"file": {"path": "/etc/systemd/system/shop.service", "content": "[Unit]\n"}});
    let other =
        json!({"file": {"path": "/etc/systemd/system/else.service", "content": "[Unit]\n"}});
    let package = json!({"package": {"name": "shop"}});
    let starts = |want: &[Json]| {
        let wanted = wanted(vec![rule("one", Severity::Low, want)]);
        let plan = converge(&wanted, &bare(&wanted), host(), Selection::default()).expect("a plan");
        let started = plan
            .actions
            .iter()
            .any(|action| matches!(action.effect, Effect::Unit { .. }));
        let named = plan
            .left_alone
            .iter()
            .any(|left| left.why.contains("shop.service"));
        assert_ne!(started, named, "{plan:#?}");
        started
    };
    assert!(!starts(std::slice::from_ref(&service)));
    assert!(!starts(&[other, service.clone()]));
    assert!(starts(&[unit, service.clone()]));
    assert!(starts(&[service, package]));
}

/// "does not apply: there is no shop.timer" was said of a timer whose file the same plan writes.
#[test]
fn what_is_wanted_of_a_unit_to_come_is_unknown_until_it_is_there() {
    let timer = json!({"timer": {"name": "shop.timer", "every_days": 1}});
    let file = |name: &str| {
        let path = format!("/etc/systemd/system/{name}");
        json!({"file": {"path": path, "content": "[Timer]\n"}})
    };
    let why = |want: &[Json]| {
        let wanted = wanted(vec![rule("one", Severity::Low, want)]);
        let plan = converge(&wanted, &bare(&wanted), host(), Selection::default()).expect("a plan");
        let mut left = plan.left_alone.into_iter();
        left.find(|left| left.why.contains("shop.timer"))
            .expect("it is named")
    };
    assert!(why(&[timer.clone(), file("shop.timer")]).is_unknown());
    assert!(why(&[timer.clone(), file("other.timer")]).does_not_apply());
    assert!(why(&[timer]).does_not_apply());
}

/// Case F10 of 2026-11-30: a member was added before there was such an account.
#[test]
fn a_group_is_made_before_its_accounts_and_has_members_after_them() {
    let group = json!({"group": {"name": "sshusers", "members": ["ana"]}});
    let user = json!({"user": {"name": "ana"}});
    for want in [[group.clone(), user.clone()], [user, group]] {
        let wanted = wanted(vec![rule("one", Severity::Low, &want)]);
        let plan = converge(&wanted, &bare(&wanted), host(), Selection::default()).expect("a plan");
        let order: Vec<&str> = plan
            .actions
            .iter()
            .filter_map(|action| match &action.effect {
                Effect::Account(model::AccountOp::CreateGroup { .. }) => Some("group"),
                Effect::Account(model::AccountOp::CreateUser { .. }) => Some("user"),
                Effect::Account(model::AccountOp::AddMember { .. }) => Some("member"),
                _ => None,
            })
            .collect();
        assert_eq!(order, ["group", "user", "member"], "{plan:#?}");
    }
}

/// That there is no such account was found in the middle of an apply.
#[test]
fn members_and_groups_that_nothing_makes_are_left_out_by_name() {
    let members = json!({"group": {"name": "shop", "members": ["ana", "ghost"]}});
    let user = json!({"user": {"name": "ana"}});
    let of = json!({"user": {"name": "ana", "groups": ["nosuch"]}});
    let package = json!({"package": {"name": "ghost"}});
    let made = |want: &[Json]| -> (Vec<String>, Vec<String>) {
        let wanted = wanted(vec![rule("one", Severity::Low, want)]);
        let plan = converge(&wanted, &bare(&wanted), host(), Selection::default()).expect("a plan");
        let added = plan
            .actions
            .iter()
            .filter_map(|action| match &action.effect {
                Effect::Account(model::AccountOp::AddMember { group, user }) => {
                    Some(format!("{user} in {group}"))
                }
                _ => None,
            });
        let left = plan.left_alone.iter().filter(|left| left.is_by_hand());
        (added.collect(), left.map(|left| left.why.clone()).collect())
    };
    let none =
        |what: &str| format!("by hand: there is no {what}, and nothing in this plan makes it");
    assert_eq!(
        made(&[members.clone(), user.clone()]),
        (vec!["ana in shop".to_owned()], vec![none("account ghost")])
    );
    assert_eq!(
        made(std::slice::from_ref(&members)),
        (Vec::new(), vec![none("account ana"), none("account ghost")])
    );
    assert_eq!(made(&[of]), (Vec::new(), vec![none("group nosuch")]));
    // A package may make any.
    let (added, left) = made(&[members, user, package]);
    assert_eq!((added.len(), left), (2, Vec::new()));
}

/// Case F14 of 2026-11-30: `directory: {path: /srv/a/b/c}` was planned, and failed in the middle.
#[test]
fn missing_directories_above_are_made_from_the_top() {
    let directory = |path: &str| json!({"directory": {"path": path, "mode": "0750"}});
    let file = |path: &str| json!({"file": {"path": path, "content": "x\n"}});
    let made = |want: &[Json]| -> Vec<String> {
        let wanted = wanted(vec![rule("one", Severity::Low, want)]);
        let plan = converge(&wanted, &bare(&wanted), host(), Selection::default()).expect("a plan");
        for action in &plan.actions {
            assert!(action.after.iter().all(|before| before.0 < action.id.0));
            assert_eq!(action.change_set, 0, "{plan:#?}");
        }
        let effects = plan.actions.iter().map(|action| match &action.effect {
            Effect::MakeDir { path, mode, .. } => format!("{mode} {path}"),
            Effect::PutFile { path, .. } | Effect::Link { path, .. } => path.to_string(),
            other => panic!("{other:?}"),
        });
        effects.collect()
    };
    assert_eq!(
        made(&[directory("/srv/a/b/c")]),
        [
            "0755 /srv",
            "0755 /srv/a",
            "0755 /srv/a/b",
            "0750 /srv/a/b/c"
        ]
    );
    // What is declared is made as it is declared, wherever it stands in the list.
    assert_eq!(
        made(&[file("/a/b/c/f"), directory("/a/b")]),
        ["0755 /a", "0750 /a/b", "0755 /a/b/c", "/a/b/c/f"]
    );
    let link = json!({"link": {"path": "/a/l", "target": "b"}});
    let key = json!({"key_value": {"path": "/a/k", "syntax": "equals", "key": "k", "value": "v"}});
    assert_eq!(made(&[link, key]), ["0755 /a", "/a/l", "/a/k"]);
}
