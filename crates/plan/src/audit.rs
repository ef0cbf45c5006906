//! From answers to findings: each rule's outcome on this host, waivers applied.

use jiff::civil::Date;
use model::finding::{AppliedWaiver, Drifted};
use model::plan::LeftAlone;
use model::{BaselineName, Finding, Outcome, RuleId, RuleMeta, Waiver};
use resource::wanted::WantedRole;
use resource::{Answers, Applies, Drift, Judgement, Wanted, WantedResource, WantedRule};

/// The findings of every rule and of every want of the roles, worst severity first, then by rule id.
///
/// `today` is the date in UTC, by which waivers expire.
pub fn findings(wanted: &Wanted, seen: &Answers, hostname: &str, today: Date) -> Vec<Finding> {
    let mut findings: Vec<Finding> = wanted
        .rules
        .iter()
        .map(|rule| judge(rule, seen))
        .chain(of_roles(&wanted.roles, seen))
        .map(|finding| waive(finding, &wanted.waivers, hostname, today))
        .collect();
    findings.sort_by(|a, b| (b.rule.severity, &a.rule.id).cmp(&(a.rule.severity, &b.rule.id)));
    findings
}

/// Takes out of `wanted` what a waiver covers on this host, and gives it with its waiver: what somebody
/// answers for is not fixed. What is met stays, and so does what was `asked` for by its rule's name.
pub fn leave_waived(
    wanted: &mut Wanted,
    seen: &Answers,
    hostname: &str,
    today: Date,
    asked: &[String],
) -> Vec<LeftAlone> {
    let covering: Vec<Waiver> = wanted
        .waivers
        .iter()
        .filter(|waiver| waiver.covers_host(hostname) && !waiver.is_expired(today))
        .cloned()
        .collect();
    let waiver_of = |id: &RuleId| {
        let fitting = covering.iter().filter(|waiver| waiver.rule == *id);
        fitting.max_by_key(|waiver| waiver.expires)
    };
    let mut left = Vec::new();
    if covering.is_empty() {
        return left;
    }
    let leave = |what: String, waiver: &Waiver| LeftAlone {
        what,
        why: format!(
            "waived until {} by {}, approved by {}: {}",
            waiver.expires,
            model::printable(waiver.owner.as_bytes()),
            model::printable(waiver.approver.as_bytes()),
            model::printable(waiver.reason.as_bytes())
        ),
        at: waiver.declared_at.iter().cloned().collect(),
    };
    wanted.rules.retain(|rule| {
        let id = &rule.meta.id;
        let Some(waiver) = waiver_of(id).filter(|_| !asked.contains(&id.to_string())) else {
            return true;
        };
        let is_met = judge(rule, seen).outcome == Outcome::Pass;
        if !is_met {
            left.push(leave(id.to_string(), waiver));
        }
        is_met
    });
    for role in &mut wanted.roles {
        let name = role.name.clone();
        role.want.retain(|want| {
            let key = want.resource.key();
            let Some(waiver) = waiver_of(&RuleId::of_want(&name, &key)) else {
                return true;
            };
            let is_met = matches!(want.judge(seen), Judgement::Compliant { .. });
            if !is_met {
                left.push(leave(format!("role {name}: {key}"), waiver));
            }
            is_met
        });
    }
    left
}

/// The waivers that are past their last day.
pub fn expired_waivers(waivers: &[Waiver], today: Date) -> Vec<Waiver> {
    waivers
        .iter()
        .filter(|waiver| waiver.is_expired(today))
        .cloned()
        .collect()
}

fn judge(rule: &WantedRule, seen: &Answers) -> Finding {
    match &rule.applies {
        Applies::No(why) => return finding(&rule.meta, Outcome::NotApplicable, Some(why.clone())),
        Applies::SwitchedOff(why) => {
            let reason = format!("switched off: {why}");
            return finding(&rule.meta, Outcome::NotApplicable, Some(reason));
        }
        Applies::Unknown(reason) => {
            return finding(&rule.meta, Outcome::Unknown, Some(reason.to_string()));
        }
        Applies::Yes | Applies::NotProven(_) => {}
    }
    Judged::of(&rule.want, seen).finding(&rule.meta, &rule.applies)
}

/// The findings of every want of the roles, one after the other, in the order of the policy and
/// without its waivers.
pub fn of_roles<'a>(
    roles: &'a [WantedRole],
    seen: &'a Answers,
) -> impl Iterator<Item = Finding> + 'a {
    roles.iter().flat_map(move |role| of_role(role, seen))
}

/// One finding for each want of a role: it has no rule's metadata, so it says whose it is.
fn of_role<'a>(role: &'a WantedRole, seen: &'a Answers) -> impl Iterator<Item = Finding> + 'a {
    let own = BaselineName::new(role.name.as_str()).expect("a role's name has a baseline's form");
    role.want.iter().map(move |want| {
        let key = want.resource.key();
        let meta = RuleMeta {
            id: RuleId::of_want(&role.name, &key),
            baseline: own.clone(),
            title: format!("{key} is as the role wants it"),
            severity: want.severity.unwrap_or(role.severity),
            why: format!("The role `{}` of the policy declares it.", role.name),
            area: format!("role {}", role.name),
            risk: want.resource.risk(),
        };
        Judged::of(std::slice::from_ref(want), seen).finding(&meta, &Applies::Yes)
    })
}

/// What the parts of one rule came to.
#[derive(Default)]
struct Judged {
    compliant: usize,
    drifts: Vec<(String, Drift)>,
    not_applicable: Vec<String>,
    unknown: Vec<String>,
    errors: Vec<String>,
}

impl Judged {
    fn of(wants: &[WantedResource], seen: &Answers) -> Self {
        let mut judged = Self::default();
        for want in wants {
            let key = want.resource.key();
            match want.judge(seen) {
                Judgement::Compliant { .. } => judged.compliant += 1,
                Judgement::Drift(drifts) => judged
                    .drifts
                    .extend(drifts.into_iter().map(|drift| (key.to_string(), drift))),
                Judgement::NotApplicable(why) => judged.not_applicable.push(why),
                Judgement::Unknown(reason) => judged.unknown.push(reason.to_string()),
                Judgement::Error(why) => judged.errors.push(why),
            }
        }
        judged
    }

    /// The worst part decides: a failure that was seen stands whatever else could not be
    /// told; what could not be told is never a pass; and a rule none of whose parts
    /// applies does not apply.
    fn finding(self, rule: &RuleMeta, applies: &Applies) -> Finding {
        if !self.drifts.is_empty() {
            let not_proven = matches!(applies, Applies::NotProven(_));
            let fixable = !not_proven && self.drifts.iter().all(|(_, drift)| is_fixable(drift));
            let doubts: Vec<String> = self.errors.into_iter().chain(self.unknown).collect();
            let reason = match applies {
                Applies::NotProven(label) => Some(label.clone()),
                _ => (!doubts.is_empty()).then(|| doubts.join("; ")),
            };
            let drifts = self.drifts.into_iter().map(drifted).collect();
            return Finding {
                drifts,
                fixable,
                ..finding(rule, Outcome::Fail, reason)
            };
        }
        let said = |reasons: Vec<String>| {
            let mut distinct = reasons;
            distinct.sort();
            distinct.dedup();
            Some(distinct.join("; "))
        };
        if !self.errors.is_empty() {
            finding(rule, Outcome::Error, said(self.errors))
        } else if !self.unknown.is_empty() {
            finding(rule, Outcome::Unknown, said(self.unknown))
        } else if self.compliant > 0 {
            finding(rule, Outcome::Pass, None)
        } else {
            finding(rule, Outcome::NotApplicable, said(self.not_applicable))
        }
    }
}

/// Is there something to do, and is it not left to a person?
pub(crate) fn is_fixable(drift: &Drift) -> bool {
    !drift.edits.is_empty() || !drift.activate.is_empty()
}

fn finding(rule: &RuleMeta, outcome: Outcome, reason: Option<String>) -> Finding {
    Finding {
        rule: rule.clone(),
        outcome,
        reason,
        drifts: Vec::new(),
        waiver: None,
        fixable: false,
    }
}

fn drifted((resource, drift): (String, Drift)) -> Drifted {
    Drifted {
        resource,
        observed: drift.observed,
        wanted: drift.wanted,
        at: drift.at,
        note: drift.note,
        by_hand: drift.by_hand,
    }
}

/// A waiver covers a failure, never an unknown: nobody accepted what nobody has seen.
/// An expired waiver stays with its finding, which fails again.
fn waive(finding: Finding, waivers: &[Waiver], hostname: &str, today: Date) -> Finding {
    if finding.outcome != Outcome::Fail {
        return finding;
    }
    let fitting = waivers
        .iter()
        .filter(|waiver| waiver.rule == finding.rule.id && waiver.covers_host(hostname));
    // Of several, the one that holds longest speaks for the finding.
    let Some(waiver) = fitting.max_by_key(|waiver| waiver.expires) else {
        return finding;
    };
    let expired = waiver.is_expired(today);
    Finding {
        outcome: if expired {
            Outcome::Fail
        } else {
            Outcome::Waived
        },
        waiver: Some(AppliedWaiver {
            waiver: waiver.clone(),
            expired,
            approver_verified: false,
        }),
        ..finding
    }
}
