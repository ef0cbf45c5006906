//! Outcomes, waivers and the score.

use jiff::civil::{Date, date};
use model::value::Reason;
use model::{Finding, Outcome, RuleId, Severity, Waiver};
use plan::{Counts, Score};
use resource::wanted::WantedRole;
use resource::{Applies, WantedRule};
use serde_json::json;

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

/// A role that wants these, each a resource with its own severity where it has one.
fn role(name: &str, want: &[(serde_json::Value, Option<Severity>)]) -> WantedRole {
    let resources: Vec<serde_json::Value> = want.iter().map(|(json, _)| json.clone()).collect();
    let mut wants = rule("x", Severity::Low, &resources).want;
    for (made, (_, severity)) in wants.iter_mut().zip(want) {
        made.severity = *severity;
    }
    WantedRole {
        name: model::RoleName::new(name).expect("a name"),
        severity: Severity::Medium,
        want: wants,
    }
}

fn audit_role(role: WantedRole, waivers: Vec<Waiver>) -> Vec<Finding> {
    let files = [("/etc/motd", "edited by hand\n"), ("/etc/issue", "ours\n")];
    let host = Memory::new(&files, &[("a.good", "1"), ("a.bad", "0")]);
    let wanted = resource::Wanted {
        roles: vec![role],
        waivers,
        ..resource::Wanted::default()
    };
    let mut asked = crate::support::wanted(vec![rule("x", Severity::Low, &[])]);
    asked.rules[0].want.clone_from(&wanted.roles[0].want);
    let answers = host.answers(&asked);
    plan::audit::findings(&wanted, &answers, "web-03", TODAY)
}

/// Case F4 of 2026-11-30: eight drifts by hand were "No rule applies to this host", rc 0.
#[test]
fn each_want_of_a_role_is_a_finding_with_evidence() {
    let file = |path: &str, text: &str| json!({"file": {"path": path, "content": text}});
    let want = [
        (file("/etc/motd", "ours\n"), None),
        (file("/etc/issue", "ours\n"), None),
        (file("/etc/logrotate.d/shop", "x\n"), Some(Severity::High)),
        (sysctl("a.bad", 1), Some(Severity::Low)),
        (sysctl("a.good", 1), None),
    ];
    let findings = audit_role(role("web", &want), Vec::new());
    let said: Vec<String> = findings
        .iter()
        .map(|finding| {
            format!(
                "{} {} {} {}",
                finding.rule.severity,
                finding.rule.id,
                finding.outcome.as_str(),
                finding.drifts.len()
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            "high web/file:/etc/logrotate.d/shop fail 1",
            "medium web/file:/etc/issue pass 0",
            "medium web/file:/etc/motd fail 1",
            "medium web/sysctl:a.good pass 0",
            "low web/sysctl:a.bad fail 1",
        ]
    );
    let motd = &findings[2].drifts[0];
    assert_eq!(motd.at[0].to_string(), "/etc/motd", "{motd:?}");
    assert!(!motd.observed.is_empty() && !motd.wanted.is_empty());
    // The order of the list is nobody's business.
    let mut turned = want;
    turned.reverse();
    assert_eq!(audit_role(role("web", &turned), Vec::new()), findings);
    assert!(!Counts::of(&findings).nothing_judged());
}

#[test]
fn a_want_of_a_role_can_be_waived() {
    let id = "web/sysctl:a.bad".to_owned();
    let waiver = Waiver {
        rule: RuleId::try_from(id).expect("the form of a want"),
        ..waiver("web-*", TODAY)
    };
    let findings = audit_role(role("web", &[(sysctl("a.bad", 1), None)]), vec![waiver]);
    assert_eq!(findings[0].outcome, Outcome::Waived);
}

#[test]
fn where_nothing_could_be_judged_that_is_known() {
    let findings = audit_role(role("web", &[(sysctl("a.absent", 1), None)]), Vec::new());
    assert!(Counts::of(&findings).nothing_judged(), "{findings:?}");
}
