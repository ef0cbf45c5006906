//! The built-in rules: every one reads, is complete, can fail, and contradicts no other.

use std::collections::{BTreeMap, BTreeSet};

use content::{DEFAULT_PROFILE, Given, Repository, Request, Rule, compile};
use model::{Outcome, Severity};

use crate::support::host;

/// Where a rule may belong in a report. A new area is a decision, not a spelling.
const AREAS: [&str; 16] = [
    "accounts",
    "auditing",
    "authentication",
    "cron",
    "cryptography",
    "kernel",
    "logging",
    "modules",
    "mounts",
    "network",
    "packages",
    "permissions",
    "remote access",
    "services",
    "sources",
    "sudo",
];

fn builtin() -> Repository {
    Repository::builtin().unwrap_or_else(|errors| panic!("{}", errors.plain()))
}

fn is_default(rule: &Rule) -> bool {
    rule.profile
        .as_deref()
        .is_none_or(|profile| profile == DEFAULT_PROFILE)
}

#[test]
fn every_rule_is_complete() {
    for rule in builtin().rules() {
        let id = &rule.id;
        // One line of a report, beside the severity and the id.
        assert!(rule.title.len() <= 80, "{id}: a long title");
        assert!(
            !rule.title.ends_with('.'),
            "{id}: a title is no sentence with a full stop"
        );
        assert!(rule.why.ends_with('.'), "{id}: `why` is made of sentences");
        assert!(rule.why.len() <= 320, "{id}: nobody reads so long a `why`");
        assert!(
            AREAS.contains(&rule.area.as_str()),
            "{id}: area `{}`",
            rule.area
        );
        assert!(
            matches!(rule.profile.as_deref(), None | Some("default" | "strict")),
            "{id}: profile {:?}",
            rule.profile
        );
        assert!(
            rule.tests.iter().any(|test| test.expect == Outcome::Fail),
            "{id} has no bad case"
        );
        for test in &rule.tests {
            assert!(
                !test.given.is_empty(),
                "{id}: `{}` gives nothing",
                test.name
            );
            for given in &test.given {
                if let Given::Want(resource) = given {
                    assert_eq!(resource.check(), Ok(()), "{id}: `{}`", test.name);
                }
            }
        }
    }
}

#[test]
fn the_debian_baseline_is_meant_for_12_and_13() {
    let releases = BTreeMap::from([("debian".to_owned(), vec!["12".to_owned(), "13".to_owned()])]);
    let repository = builtin();
    let rules: Vec<&Rule> = repository
        .rules()
        .filter(|rule| rule.baseline.as_str() == "debian")
        .collect();
    for rule in &rules {
        assert_eq!(rule.releases, releases, "{}", rule.id);
    }
    let in_default = rules.iter().filter(|rule| is_default(rule)).count();
    assert!(
        in_default >= 60,
        "{in_default} rules in the default profile"
    );
    // What is strict must not weigh on anyone's score by being severe.
    for rule in rules.iter().filter(|rule| !is_default(rule)) {
        assert!(rule.severity <= Severity::Medium, "{}", rule.id);
    }
}

/// Two rules that want different things of one resource are refused by the compiler, whatever
/// profiles are switched on together.
#[test]
fn no_two_rules_contradict_each_other() {
    let facts = host(&[
        "sudo",
        "cron",
        "cryptography",
        "rsyslog",
        "auditd",
        "openssh-server",
        "grub-common",
    ]);
    let request = Request {
        profiles: BTreeSet::from(["strict".to_owned()]),
        ..Request::default()
    };
    let wanted =
        compile(&builtin(), &facts, &request).unwrap_or_else(|errors| panic!("{}", errors.plain()));
    let ids: BTreeSet<&str> = wanted
        .rules
        .iter()
        .map(|rule| rule.meta.id.as_str())
        .collect();
    assert_eq!(ids.len(), wanted.rules.len());
    for rule in &wanted.rules {
        for want in &rule.want {
            assert_eq!(want.resource.check(), Ok(()), "{}", rule.meta.id);
        }
    }
}
