//! Outcomes, waivers and the score.

use jiff::civil::{Date, date};
use model::value::Reason;
use model::{Finding, Outcome, RuleId, Severity, Waiver};
use plan::{Counts, Score};
use resource::{Applies, WantedRule};

use crate::support::{Memory, rule, sysctl, wanted};

const TODAY: Date = date(2026, 11, 23);

fn audit(rules: Vec<WantedRule>, waivers: Vec<Waiver>) -> Vec<Finding> {
    let host = Memory::new(&[], &[("a.good", "1"), ("a.bad", "0")]);
    let mut wanted = wanted(rules);
    wanted.waivers = waivers;
    let answers = host.answers(&wanted);
    plan::audit::findings(&wanted, &answers, "web-03", TODAY)
}

fn outcome_of(want: &[serde_json::Value], applies: Applies) -> Outcome {
    let mut rule = rule("r", Severity::High, want);
    rule.applies = applies;
    audit(vec![rule], Vec::new())[0].outcome
}

#[test]
fn the_worst_part_decides() {
    let good = sysctl("a.good", 1);
    let bad = sysctl("a.bad", 1);
    let absent = sysctl("a.absent", 1);
    let absent_too = absent.clone();
    let cases: [(&[serde_json::Value], Outcome); 6] = [
        (std::slice::from_ref(&good), Outcome::Pass),
        (std::slice::from_ref(&bad), Outcome::Fail),
        (&[good.clone(), bad.clone()], Outcome::Fail),
        (&[good.clone(), absent.clone()], Outcome::Pass),
        (std::slice::from_ref(&absent_too), Outcome::NotApplicable),
        (&[absent, bad.clone()], Outcome::Fail),
    ];
    for (want, expected) in cases {
        assert_eq!(outcome_of(want, Applies::Yes), expected, "{want:?}");
    }
}

#[test]
fn what_was_not_asked_is_never_a_pass() {
    let wanted = wanted(vec![rule("r", Severity::Low, &[sysctl("a.good", 1)])]);
    let findings = plan::audit::findings(&wanted, &resource::Answers::default(), "web-03", TODAY);
    assert_eq!(findings[0].outcome, Outcome::Unknown);
    assert!(findings[0].reason.is_some());
}

#[test]
fn applicability_decides_before_the_host() {
    let bad = [sysctl("a.bad", 1)];
    let cases = [
        (Applies::No("no nginx".to_owned()), Outcome::NotApplicable),
        (
            Applies::SwitchedOff("ours".to_owned()),
            Outcome::NotApplicable,
        ),
        (Applies::Unknown(Reason::NeedsRoot), Outcome::Unknown),
        (Applies::NotProven("Debian 14".to_owned()), Outcome::Fail),
    ];
    for (applies, expected) in cases {
        assert_eq!(outcome_of(&bad, applies.clone()), expected, "{applies:?}");
    }
}

#[test]
fn an_unproven_release_is_audited_and_not_fixed() {
    let mut rule = rule("r", Severity::High, &[sysctl("a.bad", 1)]);
    rule.applies = Applies::NotProven("not proven on Debian 14".to_owned());
    let finding = &audit(vec![rule], Vec::new())[0];
    assert!(!finding.fixable);
    assert_eq!(finding.reason.as_deref(), Some("not proven on Debian 14"));
}

#[test]
fn findings_are_ordered_by_severity_then_id() {
    let rules = [
        ("b", Severity::Low),
        ("c", Severity::Critical),
        ("a", Severity::Low),
    ];
    let rules = rules
        .map(|(id, severity)| rule(id, severity, &[sysctl("a.good", 1)]))
        .to_vec();
    let order: Vec<String> = audit(rules, Vec::new())
        .iter()
        .map(|finding| finding.rule.id.to_string())
        .collect();
    assert_eq!(order, ["c", "a", "b"]);
}

fn waiver(hosts: &str, expires: Date) -> Waiver {
    Waiver {
        rule: RuleId::new("r").expect("a name"),
        hosts: vec![hosts.to_owned()],
        reason: "crash dumps".to_owned(),
        owner: "ana".to_owned(),
        approver: "li".to_owned(),
        expires,
        declared_at: None,
    }
}

#[test]
fn waivers_hold_on_their_hosts_until_their_last_day() {
    let cases = [
        ("web-*", date(2027, 1, 31), Outcome::Waived, Some(false)),
        ("web-*", TODAY, Outcome::Waived, Some(false)),
        ("web-*", date(2026, 11, 22), Outcome::Fail, Some(true)),
        ("WEB-0?", TODAY, Outcome::Waived, Some(false)),
        ("db-*", date(2027, 1, 31), Outcome::Fail, None),
        ("web-", date(2027, 1, 31), Outcome::Fail, None),
    ];
    for (hosts, expires, outcome, expired) in cases {
        let rules = vec![rule("r", Severity::High, &[sysctl("a.bad", 1)])];
        let finding = audit(rules, vec![waiver(hosts, expires)]).remove(0);
        assert_eq!(finding.outcome, outcome, "{hosts} {expires}");
        assert_eq!(
            finding.waiver.map(|waiver| waiver.expired),
            expired,
            "{hosts} {expires}"
        );
    }
}

#[test]
fn a_waiver_covers_a_failure_only() {
    for (key, outcome) in [
        ("a.good", Outcome::Pass),
        ("a.absent", Outcome::NotApplicable),
    ] {
        let rules = vec![rule("r", Severity::High, &[sysctl(key, 1)])];
        let waivers = vec![waiver("*", date(2027, 1, 31))];
        assert_eq!(audit(rules, waivers)[0].outcome, outcome);
    }
}

#[test]
fn of_several_waivers_the_longest_speaks() {
    let rules = vec![rule("r", Severity::High, &[sysctl("a.bad", 1)])];
    let waivers = vec![
        waiver("*", date(2026, 1, 1)),
        waiver("*", date(2027, 1, 31)),
    ];
    assert_eq!(audit(rules, waivers)[0].outcome, Outcome::Waived);
}

#[test]
fn the_score_weighs_by_severity() {
    // critical 10, high 5, medium 2, low 1; not applicable is left out.
    let rules = || {
        vec![
            rule("p10", Severity::Critical, &[sysctl("a.good", 1)]),
            rule("p2", Severity::Medium, &[sysctl("a.good", 1)]),
            rule("f1", Severity::Low, &[sysctl("a.bad", 1)]),
            rule("r", Severity::High, &[sysctl("a.bad", 1)]),
            rule("n", Severity::Critical, &[sysctl("a.absent", 1)]),
        ]
    };
    let findings = audit(rules(), Vec::new());
    // 12 of 18, rounded down.
    assert_eq!(Score::of(&findings).with_waivers, Some(66));
    assert_eq!(Score::of(&findings).without_waivers, Some(66));
    let findings = audit(rules(), vec![waiver("*", TODAY)]);
    // 12 of 13 with, 12 of 18 without.
    assert_eq!(Score::of(&findings).with_waivers, Some(92));
    assert_eq!(Score::of(&findings).without_waivers, Some(66));
    let counts = Counts::of(&findings);
    assert_eq!(
        (
            counts.pass,
            counts.fail,
            counts.waived,
            counts.not_applicable
        ),
        (2, 1, 1, 1)
    );
    assert_eq!(Score::of(&[]).with_waivers, None);
}
